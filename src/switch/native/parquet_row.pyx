"""One row of a Parquet file among many, without decoding those behind it.

At rest: the footer of a file that `parquet_encode` wrote (parquet-format's parquet.thrift), and a
value at a place of a page. IN: bytes of the footer, or of a page. OUT: Python numbers. Nothing that
a file says is believed, as in `parquet_decode`.
"""

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy

from switch.native.thrift cimport (
    BINARY, I32, I64, LIST, STRUCT, WIDTH_FAST, Bytes, Deltas, advance, bits_at, deltas_of,
    field_of, skip, varint, wide_at, zigzag,
)

cdef enum:
    STEP = 32               # bits that are counted at once
    WIDTH_TWICE = 28        # bits of which eight bytes hold two wherever the first one begins

cdef extern from *:
    int popcount "__builtin_popcountll"(unsigned long long word) noexcept nogil


def footer(const uint8_t[::1] data):
    """Row groups of a file's metadata: of each its rows, and of its columns (name, codec, values,
    where they begin, bytes), a dictionary's page among them."""
    cdef Bytes b
    cdef int kind, field = 0
    cdef uint64_t count
    cdef list groups = []
    if data.shape[0] == 0:
        raise ValueError("the metadata is missing")
    b.at, b.end, b.broken = &data[0], &data[0] + data.shape[0], False
    kind = field_of(&b, &field)
    while kind and not b.broken:
        if kind == LIST and field == 4:
            count = structs(&b)
            for _ in range(count):
                if b.broken:
                    break
                groups.append(group_of(&b))
        else:
            skip(&b, kind, 0)
        kind = field_of(&b, &field)
    if b.broken:
        raise ValueError("the metadata is damaged")
    return groups


cdef uint64_t structs(Bytes *b) noexcept nogil:
    """Number of the structs of a list that begins here; none may be without a byte."""
    cdef uint64_t count
    if b.at >= b.end or b.at[0] & 0x0F != STRUCT:
        b.broken = True
        return 0
    count = b.at[0] >> 4
    b.at += 1
    if count == 15:
        count = varint(b)
    if count > <uint64_t> (b.end - b.at):
        b.broken = True
        return 0
    return count


cdef tuple group_of(Bytes *b):
    cdef int kind, field = 0, inner
    cdef uint64_t count
    cdef int64_t rows = -1
    cdef list columns = []
    kind = field_of(b, &field)
    while kind and not b.broken:
        if kind == LIST and field == 1:
            count = structs(b)
            for _ in range(count):
                inner = 0
                kind = field_of(b, &inner)
                while kind and not b.broken:
                    if kind == STRUCT and inner == 3:
                        columns.append(column_of(b))
                    else:
                        skip(b, kind, 0)
                    kind = field_of(b, &inner)
                if b.broken:
                    break
        elif kind == I64 and field == 3:
            rows = zigzag(b)
        else:
            skip(b, kind, 0)
        kind = field_of(b, &field)
    return rows, columns


cdef tuple column_of(Bytes *b):
    """(name, codec, values, where they begin, bytes) of a column's metadata."""
    cdef int kind, field = 0
    cdef uint64_t length
    cdef int64_t codec = -1, values = -1, size = -1, start = -1, words = -1
    cdef bytes name = b""
    kind = field_of(b, &field)
    while kind and not b.broken:
        if kind == LIST and field == 3 and b.end - b.at > 1 and b.at[0] == 0x10 + BINARY:
            b.at += 1
            length = varint(b)
            if length <= <uint64_t> (b.end - b.at):
                name = (<const char *> b.at)[:length]
            advance(b, length)
        elif kind == I32 and field == 4:
            codec = zigzag(b)
        elif kind == I64 and field == 5:
            values = zigzag(b)
        elif kind == I64 and field == 7:
            size = zigzag(b)
        elif kind == I64 and field == 9:
            start = zigzag(b)
        elif kind == I64 and field == 11:
            words = zigzag(b)
        else:
            skip(b, kind, 0)
        kind = field_of(b, &field)
    return name, codec, values, start if words < 0 else words, size


def count_of(const uint8_t[::1] data, Py_ssize_t at):
    """Count of the numbers in packed deltas that begin here, as they say."""
    cdef Bytes b
    cdef uint64_t count
    assert 0 <= at <= data.shape[0]
    if at == data.shape[0]:
        raise ValueError("numbers are missing")
    b.at, b.end, b.broken = &data[0] + at, &data[0] + data.shape[0], False
    varint(&b)
    varint(&b)
    count = varint(&b)
    if b.broken:
        raise ValueError("packed numbers are damaged")
    return count


cdef inline uint64_t sum_of_eights(
    const uint8_t *at, uint64_t eights, int width
) noexcept nogil:
    """The sum of numbers of at most WIDTH_TWICE bits, eight of which fill as many bytes as one has
    bits: two at a time, at places that are the same in each eight."""
    cdef uint64_t mask = <uint64_t> 0xFFFFFFFFFFFFFFFF >> (64 - width)
    cdef uint64_t first, second, third, fourth, even = 0, odd = 0
    cdef int two = width * 2, four = width * 4, six = width * 6
    for _ in range(eights):
        memcpy(&first, at, 8)
        memcpy(&second, at + (two >> 3), 8)
        memcpy(&third, at + (four >> 3), 8)
        memcpy(&fourth, at + (six >> 3), 8)
        second >>= two & 7
        third >>= four & 7
        fourth >>= six & 7
        even += (first & mask) + (second & mask) + (third & mask) + (fourth & mask)
        odd += (first >> width & mask) + (second >> width & mask)
        odd += (third >> width & mask) + (fourth >> width & mask)
        at += width
    return even + odd


def number_at(const uint8_t[::1] data, Py_ssize_t at, int64_t place, int64_t count):
    """The number at a place of count numbers in packed deltas, modulo 2^64."""
    cdef Bytes b
    cdef Deltas said
    cdef uint64_t mini, least, k, j, i = 1, n
    cdef uint64_t value, mask, some, word
    cdef const uint8_t *widths
    cdef int width
    assert 0 <= at <= data.shape[0] and 0 <= place < count
    if at == data.shape[0]:
        raise ValueError("numbers are missing")
    b.at, b.end, b.broken = &data[0] + at, &data[0] + data.shape[0], False
    said = deltas_of(&b)
    if b.broken or said.count != <uint64_t> count:
        raise ValueError("packed numbers are damaged")
    mini, value = said.mini, said.first
    n = <uint64_t> place + 1
    with nogil:
        while i < n and not b.broken:
            least = <uint64_t> zigzag(&b)
            widths = b.at
            advance(&b, said.minis)
            if b.broken:
                break
            for k in range(said.minis):
                if i >= n:
                    break
                width = widths[k]
                if width > 64 or mini * width // 8 > <uint64_t> (b.end - b.at):
                    b.broken = True
                    break
                some = min(mini, n - i)
                value += least * some
                if width and width <= WIDTH_FAST and mini * width // 8 + 8 <= \
                        <uint64_t> (b.end - b.at):
                    # Eight bytes are there wherever a number of these begins.
                    mask = <uint64_t> 0xFFFFFFFFFFFFFFFF >> (64 - width)
                    j = 0
                    if width <= WIDTH_TWICE:
                        value += sum_of_eights(b.at, some >> 3, width)
                        j = some & ~<uint64_t> 7
                    while j < some:
                        memcpy(&word, b.at + (j * width >> 3), 8)
                        value += word >> (j * width & 7) & mask
                        j += 1
                elif width:
                    mask = <uint64_t> 0xFFFFFFFFFFFFFFFF >> (64 - width)
                    for j in range(some):
                        value += wide_at(b.at, b.end, j * width, width) & mask
                b.at += mini * width // 8
                i += some
    if b.broken:
        raise ValueError("packed numbers are damaged")
    return value


cdef inline uint64_t ones(const uint8_t *data, const uint8_t *end, uint64_t bits) noexcept nogil:
    """Number of ones among the first bits."""
    cdef uint64_t k = 0, found = 0, some
    while k < bits:
        some = min(bits - k, <uint64_t> STEP)
        found += popcount(bits_at(data, end, k) & ((<uint64_t> 1 << some) - 1))
        k += some
    return found


def code_at(const uint8_t[::1] data, Py_ssize_t at, int width, int64_t place):
    """The number at a place among runs and packed groups of eight. Returns it, and of numbers of
    one bit how many before it are one."""
    cdef Bytes b
    cdef uint64_t head, count, i = 0, n = <uint64_t> place, mask = (<uint64_t> 1 << width) - 1
    cdef uint64_t before = 0
    cdef uint32_t value = 0
    cdef bint found = False
    assert 0 <= at <= data.shape[0] and 0 <= width <= 31 and place >= 0
    if at == data.shape[0]:
        raise ValueError("numbers are missing")
    b.at, b.end, b.broken = &data[0] + at, &data[0] + data.shape[0], False
    with nogil:
        while not found and not b.broken:
            head = varint(&b)
            count = head >> 1
            if b.broken or count == 0:
                b.broken = True
            elif head & 1:
                if count > <uint64_t> data.shape[0] or \
                        count * width > <uint64_t> (b.end - b.at):
                    b.broken = True
                    break
                if n - i < count * 8:
                    value = bits_at(b.at, b.end, (n - i) * width) & mask
                    found = True
                if width == 1:
                    before += ones(b.at, b.end, min(count * 8, n - i))
                b.at += count * width
                i += min(count * 8, n - i)
            else:
                value = 0
                if (width + 7) // 8 > b.end - b.at:
                    b.broken = True
                    break
                memcpy(&value, b.at, (width + 7) // 8)
                b.at += (width + 7) // 8
                found = n - i < count
                before += value * min(count, n - i)
                i += min(count, n - i)
    if b.broken:
        raise ValueError("runs of numbers are damaged")
    return value, before
