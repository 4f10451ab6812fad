"""Encodings of Parquet pages: columns in, the pages of a row group out.

At rest. Every answer of a batch leaves through these loops, so they are measured with the core.
Encodings are those of the Parquet format's Encodings.md: RLE / bit-packing hybrid (3), delta binary
packed (5), delta length byte array (6) and delta byte array (7). Kernels write into room that the
caller gives and return the bytes used; `room_*` says how much is always enough.

`pages` makes all pages of a row group without the interpreter, so that files are written side by
side: threads that hand it to each other column by column wait more than they work. `hybrid`,
`delta` and `shared` are its loops alone, for tests and counts.
"""

from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memmove

cdef enum:
    BLOCK = 128             # values of a block of deltas
    MINI = 32               # values of a miniblock
    MINIS = 4               # miniblocks of a block
    REPEAT = 16             # equal values from which a run is worth a header of its own
    HEADER = 64             # more than the header of a page takes

cdef extern from *:
    int leading_zeros "__builtin_clzll" (unsigned long long) noexcept nogil
    int trailing_zeros "__builtin_ctzll" (unsigned long long) noexcept nogil

cpdef enum Kind:
    READY = 0               # made already
    NUMBERS = 1             # delta binary packed
    TEXTS = 2               # delta length byte array
    SHARED = 3              # delta byte array
    CODES = 4               # of a dictionary, RLE / bit-packing hybrid

ctypedef fused number:
    int32_t
    uint32_t
    int64_t
    uint64_t

cdef struct Page:
    int kind
    bint optional           # it begins with definition levels
    Py_ssize_t rows
    const uint8_t *valid    # a byte a row; NULL: all rows have a value
    const void *values      # numbers, codes, or offsets int32[rows + 1]
    const uint8_t *data     # of texts
    Py_ssize_t data_bytes
    int width               # bits of a number or a code
    const char *before      # goes out as it is, ahead of the page
    Py_ssize_t before_bytes
    const char *head        # of the page's header: sizes and count follow, then its tail
    Py_ssize_t head_bytes   # 0: the page has no header
    const char *tail
    Py_ssize_t tail_bytes


def room_hybrid(count: int, width: int) -> int:
    """Bytes that `hybrid` never exceeds: packed bits, or a header and a value a run."""
    return (count + 8) * max(width, 1) // 8 + count + 64


def room_delta(count: int) -> int:
    """Bytes that `delta` never exceeds: 64-bit deltas in whole miniblocks, and their headers."""
    return 8 * (count + BLOCK) + (count // BLOCK + 1) * 14 + 32


cdef inline Py_ssize_t put_varint(uint8_t *out, uint64_t value) noexcept nogil:
    cdef Py_ssize_t at = 0
    while value >= 0x80:
        out[at] = <uint8_t> (value | 0x80)
        value >>= 7
        at += 1
    out[at] = <uint8_t> value
    return at + 1


cdef inline uint64_t zigzag(int64_t value) noexcept nogil:
    return (<uint64_t> value << 1) ^ <uint64_t> (value >> 63)


cdef inline int width_of(uint64_t value) noexcept nogil:
    """Bits that value needs."""
    return 64 - leading_zeros(value) if value else 0


cdef inline Py_ssize_t pack(
    const uint64_t *values, Py_ssize_t count, int width, uint8_t *out
) noexcept nogil:
    """count values (a multiple of 8) of width bits each, lowest bit first; eight bytes of room
    beyond the end are written too."""
    cdef uint64_t word = 0
    cdef int bits = 0
    cdef Py_ssize_t i, at = 0
    if width == 0:
        return 0
    if width <= 8:
        for i in range(0, count, 8):    # Eight values are as many bytes as one has bits.
            word = (
                values[i] | values[i + 1] << width | values[i + 2] << 2 * width
                | values[i + 3] << 3 * width | values[i + 4] << 4 * width
                | values[i + 5] << 5 * width | values[i + 6] << 6 * width
                | values[i + 7] << 7 * width
            )
            memcpy(out + at, &word, 8)
            at += width
        return at
    for i in range(count):
        word |= values[i] << bits
        bits += width
        if bits >= 64:
            memcpy(out + at, &word, 8)
            at += 8
            bits -= 64
            word = values[i] >> (width - bits) if bits else 0
    memcpy(out + at, &word, 8)
    return count * width // 8


cdef inline Py_ssize_t equal_from(
    const int32_t *values, Py_ssize_t count, Py_ssize_t most
) noexcept nogil:
    """Number of values from the first on that equal it, counted up to most."""
    cdef Py_ssize_t i = 1
    if count > most:
        count = most
    while i < count and values[i] == values[0]:
        i += 1
    return i if count else 0


cdef Py_ssize_t put_hybrid(
    const int32_t *values, Py_ssize_t n, int width, uint8_t *out
) noexcept nogil:
    cdef Py_ssize_t i = 0, k, start, groups, run, at = 0
    cdef uint64_t eight[8]
    while i < n:
        run = equal_from(&values[i], n - i, n)
        if run >= REPEAT or run == n - i:
            at += put_varint(&out[at], <uint64_t> run << 1)
            memcpy(&out[at], &values[i], 4)
            at += (width + 7) // 8
            i += run
            continue
        start = i
        i += 8
        while i < n and equal_from(&values[i], n - i, REPEAT) < REPEAT:
            i += 8
        groups = (i - start) // 8
        at += put_varint(&out[at], <uint64_t> groups << 1 | 1)
        for start in range(start, i, 8):
            for k in range(8):
                eight[k] = <uint64_t> values[start + k] if start + k < n else 0
            at += pack(eight, 8, width, &out[at])
    return at


def hybrid(const int32_t[::1] values, int width, uint8_t[::1] out):
    """Values below 2**width as runs and bit-packed groups of eight. Returns the bytes written."""
    cdef Py_ssize_t n = values.shape[0], at = 0
    assert 0 < width <= 31 and out.shape[0] >= room_hybrid(n, width)
    if n:
        with nogil:
            at = put_hybrid(&values[0], n, width, &out[0])
    return at


cdef Py_ssize_t put_delta(const number *values, Py_ssize_t n, uint8_t *out) noexcept nogil:
    cdef Py_ssize_t i, j, k, m, count, at
    cdef uint64_t mask = 0xFFFFFFFF if sizeof(number) == 4 else 0xFFFFFFFFFFFFFFFF
    cdef uint64_t spread[BLOCK]
    cdef int64_t least, step
    cdef uint64_t all_bits
    cdef int width
    at = put_varint(&out[0], BLOCK)
    at += put_varint(&out[at], MINIS)
    at += put_varint(&out[at], n)
    at += put_varint(&out[at], zigzag(signed(values[0])) if n else 0)
    i = 1
    while i < n:
        count = min(n - i, <Py_ssize_t> BLOCK)
        least = difference(values[i], values[i - 1])
        for k in range(count):
            step = difference(values[i + k], values[i + k - 1])
            spread[k] = <uint64_t> step
            if step < least:
                least = step
        at += put_varint(&out[at], zigzag(least))
        for k in range(count):
            spread[k] = (spread[k] - <uint64_t> least) & mask
        for k in range(count, BLOCK):
            spread[k] = 0
        m = at
        at += MINIS
        for k in range(MINIS):
            all_bits = 0
            for j in range(MINI):
                all_bits |= spread[k * MINI + j]
            width = width_of(all_bits)
            out[m + k] = <uint8_t> width
            at += pack(&spread[k * MINI], MINI, width, &out[at])
        i += count
    return at


def delta(const number[::1] values, uint8_t[::1] out):
    """Numbers as deltas, packed in blocks of 128. Returns the bytes written.

    Deltas wrap around at the width of the type, as the format has it; 32-bit numbers need no more
    than 32 bits.
    """
    cdef Py_ssize_t n = values.shape[0], at
    cdef const number *first = &values[0] if n else NULL
    assert out.shape[0] >= room_delta(n)
    with nogil:
        at = put_delta(first, n, &out[0])
    return at


cdef inline int64_t signed(number value) noexcept nogil:
    return <int32_t> value if number is int32_t or number is uint32_t else <int64_t> value


cdef inline int64_t difference(number value, number before) noexcept nogil:
    if number is int32_t or number is uint32_t:
        return <int32_t> (<uint32_t> value - <uint32_t> before)
    return <int64_t> (<uint64_t> value - <uint64_t> before)


cdef inline Py_ssize_t common(
    const uint8_t *a, const uint8_t *b, Py_ssize_t most, Py_ssize_t room
) noexcept nogil:
    """Number of equal bytes from the first on, up to most; room: bytes that b may be read."""
    cdef Py_ssize_t same = 0
    cdef uint64_t x, y
    while same < most:
        if same + 8 > room:
            while same < most and a[same] == b[same]:
                same += 1
            return same
        memcpy(&x, a + same, 8)
        memcpy(&y, b + same, 8)
        if x != y:
            same += trailing_zeros(x ^ y) // 8
            break
        same += 8
    return min(same, most)


cdef Py_ssize_t put_shared(
    const int32_t *offsets, const uint8_t *data, Py_ssize_t data_bytes, const uint8_t *valid,
    Py_ssize_t n, int32_t *prefix, int32_t *suffix,
) noexcept nogil:
    """Find what each text shares with the one before it, and how much it adds; their count."""
    cdef Py_ssize_t i, now, same, length, last = 0, before = 0, count = 0
    for i in range(n):
        if valid != NULL and not valid[i]:
            continue
        now = offsets[i]
        length = offsets[i + 1] - now
        same = common(data + before, data + now, min(last, length), data_bytes - now)
        prefix[count] = <int32_t> same
        suffix[count] = <int32_t> (length - same)
        count += 1
        before, last = now, length
    return count


cdef Py_ssize_t put_suffixes(
    const int32_t *offsets, const uint8_t *data, Py_ssize_t data_bytes, const uint8_t *valid,
    Py_ssize_t n, const int32_t *suffix, uint8_t *out,
) noexcept nogil:
    """Copy what the texts add, in a row; eight bytes of room beyond the end may be written too."""
    cdef Py_ssize_t i, end, size, count = 0, at = 0
    for i in range(n):
        if valid != NULL and not valid[i]:
            continue
        size, end = suffix[count], offsets[i + 1]
        if size <= 8 and end - size + 8 <= data_bytes:
            memcpy(out + at, data + end - size, 8)
        elif size:
            memcpy(out + at, data + end - size, size)
        at += size
        count += 1
    return at


def shared(
    const int32_t[::1] offsets, const uint8_t[::1] data, int32_t[::1] prefix, int32_t[::1] suffix,
    uint8_t[::1] out,
):
    """Texts as what each shares with the one before it, and what it adds: prefix and suffix i32
    [texts], out the suffixes in a row (no more than the texts themselves, and eight bytes of room).
    Returns their bytes."""
    cdef Py_ssize_t n = offsets.shape[0] - 1, at = 0, size = data.shape[0]
    cdef const uint8_t *first = &data[0] if size else NULL
    assert prefix.shape[0] == suffix.shape[0] == n
    if n == 0:
        return 0
    assert 0 <= offsets[0] <= offsets[n] <= size
    assert out.shape[0] >= offsets[n] - offsets[0] + 8
    with nogil:
        put_shared(&offsets[0], first, size, NULL, n, &prefix[0], &suffix[0])
        at = put_suffixes(&offsets[0], first, size, NULL, n, &suffix[0], &out[0])
    return at


# --- Pages ---------------------------------------------------------------------------------------

cdef Py_ssize_t put_levels(const Page *page, int32_t *work, uint8_t *out) noexcept nogil:
    """Definition levels, length first: 1 where there is a value."""
    cdef Py_ssize_t i
    cdef uint32_t size
    if page.valid == NULL:
        size = 0
        if page.rows:
            size = <uint32_t> put_varint(out + 4, <uint64_t> page.rows << 1)
            out[4 + size] = 1
            size += 1
    else:
        for i in range(page.rows):
            work[i] = page.valid[i]
        size = <uint32_t> put_hybrid(work, page.rows, 1, out + 4)
    memcpy(out, &size, 4)
    return 4 + size


cdef Py_ssize_t put_body(const Page *page, int32_t *work, uint8_t *out) noexcept nogil:
    """A page without its header; -1 where a null has text. work: i32[2 * rows]."""
    cdef const int32_t *offsets = <const int32_t *> page.values
    cdef int32_t *other = work + page.rows
    cdef Py_ssize_t i, count = 0, at = 0
    if page.optional:
        at = put_levels(page, work, out)
    if page.kind == Kind.NUMBERS:
        if page.width == 64:
            return at + put_delta(<const int64_t *> page.values, page.rows, out + at)
        return at + put_delta(offsets, page.rows, out + at)
    if page.kind == Kind.CODES:
        if page.valid != NULL:
            for i in range(page.rows):
                work[count] = offsets[i]
                count += page.valid[i]
            offsets = work
        else:
            count = page.rows
        out[at] = <uint8_t> page.width
        return at + 1 + put_hybrid(offsets, count, page.width, out + at + 1)
    if page.valid != NULL:
        for i in range(page.rows):
            if not page.valid[i] and offsets[i + 1] != offsets[i]:
                return -1
    if page.kind == Kind.SHARED:
        count = put_shared(
            offsets, page.data, page.data_bytes, page.valid, page.rows, work, other
        )
        at += put_delta(<const int32_t *> work, count, out + at)
        at += put_delta(<const int32_t *> other, count, out + at)
        return at + put_suffixes(
            offsets, page.data, page.data_bytes, page.valid, page.rows, other, out + at
        )
    for i in range(page.rows):
        work[count] = offsets[i + 1] - offsets[i]
        count += 1 if page.valid == NULL else page.valid[i]
    at += put_delta(<const int32_t *> work, count, out + at)
    count = offsets[page.rows] - offsets[0]
    if count:
        memcpy(out + at, page.data + offsets[0], count)
    return at + count


cdef Py_ssize_t put_page(const Page *page, int32_t *work, uint8_t *out) noexcept nogil:
    """Write what goes before a page, its header, and the page; -1 where a null has text."""
    cdef Py_ssize_t size, at = page.before_bytes
    cdef uint8_t *body = out + at + HEADER + page.head_bytes + page.tail_bytes
    memcpy(out, page.before, page.before_bytes)
    if page.kind == Kind.READY:
        return at
    size = put_body(page, work, body)
    if size < 0:
        return -1
    if page.head_bytes:
        # A struct of fields 1, 2, 3 (i32) and 5, itself a struct that begins with an i32.
        memcpy(out + at, page.head, page.head_bytes)
        at += page.head_bytes
        at += put_varint(out + at, <uint64_t> size << 1)
        out[at] = 0x15
        at += 1 + put_varint(out + at + 1, <uint64_t> size << 1)
        out[at] = 0x2C
        out[at + 1] = 0x15
        at += 2 + put_varint(out + at + 2, <uint64_t> page.rows << 1)
        memcpy(out + at, page.tail, page.tail_bytes)
        at += page.tail_bytes
    memmove(out + at, body, size)
    return at + size


def room_pages(list parts, bytes head):
    """(bytes that `pages` never exceeds, i32 that it works in)."""
    room, rows_most = 0, 0
    for kind, rows, _, data, _, optional, width, before, tail, *_ in parts:
        room += len(before) + len(head) + HEADER + len(tail)
        if kind != Kind.READY:
            room += 4 + room_hybrid(rows, 1) if optional else 0
            if kind == Kind.CODES:
                room += 1 + room_hybrid(rows, width)
            else:
                room += (2 if kind == Kind.SHARED else 1) * room_delta(rows)
            room += 0 if data is None else len(data)
            rows_most = max(rows_most, rows)
    return room, 2 * rows_most


def pages(list parts, bytes head, uint8_t[::1] out, int32_t[::1] work):
    """Pages one after the other, in the given room. Returns where in out each of them ends.

    parts: (kind, rows, values, data, valid, optional, width, before, tail) each. values: numbers
    or i32 codes, or i32 offsets [rows + 1] of texts, whose bytes are data (u8). valid: u8 [rows],
    None where no row is null; a null text is empty. optional: nulls are allowed. before: bytes
    ahead of the page, which is all there is of one that is READY. head, tail: of each page's
    header, with sizes and count between; b'' for pages without a header.
    """
    cdef Py_ssize_t i, used, at = 0, fault = -1, count = len(parts)
    cdef const uint8_t[::1] view
    cdef Page *todo = <Page *> calloc(max(count, 1), sizeof(Page))
    cdef Page *page
    if todo == NULL:
        raise MemoryError
    try:
        room, working = room_pages(parts, head)
        assert out.shape[0] >= room and work.shape[0] >= max(working, 1)
        for i in range(count):
            page = &todo[i]
            kind, rows, values, data, valid, optional, width, before, tail, *_ = parts[i]
            page.kind, page.rows, page.optional, page.width = kind, rows, optional, width
            page.before, page.before_bytes = <bytes> before, len(before)
            page.head, page.head_bytes = head, len(head)
            page.tail, page.tail_bytes = <bytes> tail, len(tail)
            if page.kind == Kind.READY:
                continue
            view = values.view("u1")
            size = 4 * (rows + 1) if page.kind in (Kind.TEXTS, Kind.SHARED) else (
                width // 8 if page.kind == Kind.NUMBERS else 4
            ) * rows
            assert view.shape[0] == size
            page.values = &view[0] if view.shape[0] else NULL
            if data is not None:
                view = data
                page.data, page.data_bytes = &view[0] if len(data) else NULL, len(data)
            if valid is not None:
                view = valid
                assert view.shape[0] == rows
                page.valid = &view[0] if rows else NULL
            assert page.kind != Kind.CODES or 0 < width <= 31
            if page.kind in (Kind.TEXTS, Kind.SHARED):
                assert 0 <= values[0] <= values[rows] <= page.data_bytes
        with nogil:
            for i in range(count):
                used = put_page(&todo[i], &work[0], &out[at])
                if used < 0:
                    fault = i
                    break
                at += used
                todo[i].rows = at   # The page is done; what is asked of it now is its end.
        assert fault < 0, "a null has text"
        return [todo[i].rows for i in range(count)]
    finally:
        free(todo)
