"""Decodings of Parquet pages: the bytes of a page in, columns out.

At rest, the way back of `parquet_encode`. Reconciliation reads lines and answers through it.
Sources: parquet-format's parquet.thrift (page headers, in Thrift's compact protocol) and
Encodings.md: plain (0), RLE / bit-packing hybrid (3, 8), delta binary packed (5), delta length
byte array (6) and delta byte array (7). Nothing that a file says is believed: whatever does not
fit into the bytes and the room that are there raises ValueError, and the caller reads the column
in another way.
"""

from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy, memmove

from switch.native.thrift cimport (
    I32, STRUCT, WIDTH_FAST, Bytes, Deltas, advance, bits_at, deltas_of, field_of, skip, varint,
    wide_at, zigzag,
)

cdef enum:
    STEP = 32               # bytes that are copied at once

ctypedef fused number:
    int32_t
    int64_t


def page_header(const uint8_t[::1] data, Py_ssize_t at):
    """The header of the page at this place: (its end, type of page, bytes of the page in plain and
    as stored, values, encoding of the values, encoding of the definition levels)."""
    cdef Bytes b
    cdef int64_t said[9]        # by field number; those of the inner struct behind 4
    cdef int kind, field = 0, inner
    assert 0 <= at <= data.shape[0]
    if at == data.shape[0]:
        raise ValueError("a page is missing")
    b.at, b.end, b.broken = &data[0] + at, &data[0] + data.shape[0], False
    for kind in range(9):
        said[kind] = -1
    with nogil:
        kind = field_of(&b, &field)
        while kind and not b.broken:
            if kind == I32 and 1 <= field <= 3:
                said[field] = zigzag(&b)
            elif kind == STRUCT and (field == 5 or field == 7):
                inner = 0
                kind = field_of(&b, &inner)
                while kind and not b.broken:
                    if kind == I32 and 1 <= inner <= 3:
                        said[4 + inner] = zigzag(&b)
                    else:
                        skip(&b, kind, 0)
                    kind = field_of(&b, &inner)
            else:
                skip(&b, kind, 0)
            kind = field_of(&b, &field)
    at = b.at - &data[0]
    if b.broken or min(said[1], said[2], said[3], said[5], said[6]) < 0:
        raise ValueError("a page header is damaged")
    if said[3] > data.shape[0] - at:
        raise ValueError("a page ends beyond its column")
    return at, said[1], said[2], said[3], said[5], said[6], said[7]


def one_run(const uint8_t[::1] data, Py_ssize_t at, int width, Py_ssize_t count):
    """The number that all of count numbers are, where one run says so; else -1."""
    cdef Bytes b
    cdef uint64_t head
    cdef uint32_t value = 0
    assert 0 <= at <= data.shape[0] and 0 <= width <= 31
    if at == data.shape[0]:
        raise ValueError("numbers are missing")
    b.at, b.end, b.broken = &data[0] + at, &data[0] + data.shape[0], False
    head = varint(&b)
    if b.broken or head & 1 or head >> 1 < <uint64_t> count or (width + 7) // 8 > b.end - b.at:
        return -1
    memcpy(&value, b.at, (width + 7) // 8)
    return value


def hybrid(const uint8_t[::1] data, Py_ssize_t at, int width, int32_t limit, int32_t[::1] out):
    """Numbers below limit, of width bits each, from runs and packed groups of eight; out is filled.
    """
    cdef Bytes b
    cdef uint64_t head, k, count, i = 0, n = out.shape[0], mask = (<uint64_t> 1 << width) - 1
    cdef uint32_t value, most = 0
    assert 0 <= at <= data.shape[0] and 0 <= width <= 31
    if n == 0:
        return
    if at == data.shape[0]:
        raise ValueError("numbers are missing")
    b.at, b.end, b.broken = &data[0] + at, &data[0] + data.shape[0], False
    with nogil:
        while i < n:
            head = varint(&b)
            count = head >> 1
            if head & 1:
                # Whole groups are stored, though the last may hold more than is wanted.
                if count > <uint64_t> data.shape[0] or \
                        count * width > <uint64_t> (b.end - b.at):
                    b.broken = True
                    break
                for k in range(min(count * 8, n - i)):
                    value = bits_at(b.at, b.end, k * width) & mask
                    most = max(most, value)
                    out[i + k] = <int32_t> value
                b.at += count * width
                i += min(count * 8, n - i)
            else:
                value = 0
                if (width + 7) // 8 > b.end - b.at:
                    b.broken = True
                    break
                memcpy(&value, b.at, (width + 7) // 8)
                b.at += (width + 7) // 8
                most = max(most, value)
                for k in range(min(count, n - i)):
                    out[i + k] = <int32_t> value
                i += min(count, n - i)
            if b.broken or count == 0:
                b.broken = True
                break
    if b.broken or most >= <uint32_t> limit:
        raise ValueError("runs of numbers are damaged")


def delta(const uint8_t[::1] data, Py_ssize_t at, number[::1] out):
    """Numbers from packed deltas; out is filled. Returns where they end.

    Deltas wrap around at the width of the type, as the format has it.
    """
    cdef Bytes b
    cdef Deltas said
    cdef uint64_t mini, count, least, k, j, i = 1
    cdef uint64_t n = out.shape[0], value, mask
    cdef const uint8_t *widths
    cdef int width
    assert 0 <= at <= data.shape[0]
    if at == data.shape[0]:
        raise ValueError("numbers are missing")
    b.at, b.end, b.broken = &data[0] + at, &data[0] + data.shape[0], False
    said = deltas_of(&b)
    if b.broken or said.count != n:
        raise ValueError("packed numbers are damaged")
    mini, value = said.mini, said.first
    if n:
        out[0] = <number> value
    with nogil:
        while i < n and not b.broken:
            least = <uint64_t> zigzag(&b)
            widths = b.at
            advance(&b, said.minis)
            if b.broken:
                break
            for k in range(said.minis):
                if i >= n:
                    # The widths of what is not there say nothing, and it takes no bytes.
                    break
                width = widths[k]
                if width > 64 or mini * width // 8 > <uint64_t> (b.end - b.at):
                    b.broken = True
                    break
                count = min(mini, n - i)
                if width == 0:
                    for j in range(count):
                        value += least
                        out[i + j] = <number> value
                else:
                    mask = <uint64_t> 0xFFFFFFFFFFFFFFFF >> (64 - width)
                    unpack(b.at, b.end, width, mask, least, &value, count, &out[i])
                b.at += mini * width // 8
                i += count
    if b.broken:
        raise ValueError("packed numbers are damaged")
    return b.at - &data[0]


cdef inline void unpack(
    const uint8_t *data, const uint8_t *end, int width, uint64_t mask, uint64_t least,
    uint64_t *value, uint64_t count, number *out,
) noexcept nogil:
    """Add count deltas of width bits, each least more than it says, to value one by one."""
    cdef uint64_t k, total = value[0]
    if width <= WIDTH_FAST:
        for k in range(count):
            total += (bits_at(data, end, k * width) & mask) + least
            out[k] = <number> total
    else:
        for k in range(count):
            total += (wide_at(data, end, k * width, width) & mask) + least
            out[k] = <number> total
    value[0] = total


cdef inline bint copied(
    uint8_t *to, const uint8_t *room_end, const uint8_t *text, const uint8_t *end, uint64_t length
) noexcept nogil:
    """Copy a text, in one piece of fixed size where it is short and neither side ends soon; False
    where either is too short."""
    cdef uint8_t piece[STEP]
    if length <= STEP and end - text >= STEP and room_end - to >= STEP:
        memcpy(piece, text, STEP)
        memcpy(to, piece, STEP)
        return True
    if length > <uint64_t> (end - text) or length > <uint64_t> (room_end - to):
        return False
    memmove(to, text, length)
    return True


def summed(const int32_t[::1] lengths):
    """Their sum."""
    cdef Py_ssize_t i
    cdef int64_t total = 0
    cdef int32_t signs = 0
    with nogil:
        for i in range(lengths.shape[0]):
            total += lengths[i]
            signs |= lengths[i]
    if signs < 0:
        raise ValueError("a text of negative length")
    return total


def laid(const int32_t[::1] lengths, int32_t[::1] ends):
    """Texts of these lengths, none negative, behind each other: ends i32[texts + 1], of which the
    first says where they begin, receives where each ends; what they sum to fits."""
    cdef Py_ssize_t i
    cdef int32_t end = ends[0]
    assert ends.shape[0] == lengths.shape[0] + 1
    with nogil:
        for i in range(lengths.shape[0]):
            end += lengths[i]
            ends[i + 1] = end


def plain_texts(const uint8_t[::1] data, Py_ssize_t at, int32_t[::1] ends, uint8_t[::1] out):
    """Texts that stand behind their lengths (u32). ends i32[texts + 1]: the first says where in out
    they begin, the others receive where each ends."""
    cdef Py_ssize_t i, n = ends.shape[0] - 1
    cdef uint32_t length
    cdef const uint8_t *text
    cdef const uint8_t *end
    cdef uint8_t *to
    cdef uint8_t *room_end
    cdef bint fine = True
    assert n >= 0 and 0 <= at <= data.shape[0]
    assert 0 <= ends[0] <= out.shape[0] and 0 < out.shape[0] <= 0x7FFFFFFF
    if n == 0:
        return
    if at == data.shape[0]:
        raise ValueError("texts are missing")
    text, end = &data[0] + at, &data[0] + data.shape[0]
    to, room_end = &out[0] + ends[0], &out[0] + out.shape[0]
    with nogil:
        for i in range(n):
            if end - text < 4:
                fine = False
                break
            memcpy(&length, text, 4)
            text += 4
            if length > <uint64_t> (end - text) or not copied(to, room_end, text, end, length):
                fine = False
                break
            text += length
            to += length
            ends[i + 1] = <int32_t> (to - &out[0])
    if not fine:
        raise ValueError("a text is longer than its page")


def shared_texts(
    const int32_t[::1] prefix, const int32_t[::1] suffix, const uint8_t[::1] data, Py_ssize_t at,
    int32_t[::1] ends, uint8_t[::1] out,
):
    """Texts of which each begins with prefix i32[texts] bytes of the one before and goes on with
    its own suffix i32[texts] of the data from at on. ends as for `plain_texts`."""
    cdef Py_ssize_t i, n = ends.shape[0] - 1
    cdef int64_t length = 0
    cdef const uint8_t *text
    cdef const uint8_t *end
    cdef uint8_t *to
    cdef uint8_t *room_end
    cdef bint fine = True
    assert prefix.shape[0] == suffix.shape[0] == n and 0 <= at <= data.shape[0]
    assert 0 <= ends[0] <= out.shape[0] and 0 < out.shape[0] <= 0x7FFFFFFF
    if data.shape[0] == 0:
        raise ValueError("texts are missing")
    text, end = &data[0] + at, &data[0] + data.shape[0]
    to, room_end = &out[0] + ends[0], &out[0] + out.shape[0]
    with nogil:
        for i in range(n):
            if (
                not 0 <= prefix[i] <= length or not 0 <= suffix[i] <= end - text
                or not copied(to, room_end, to - length, room_end, prefix[i])
                or not copied(to + prefix[i], room_end, text, end, suffix[i])
            ):
                fine = False
                break
            length = <int64_t> prefix[i] + suffix[i]
            text += suffix[i]
            to += length
            ends[i + 1] = <int32_t> (to - &out[0])
    if not fine:
        raise ValueError("a text shares more than there is")


def picked_texts(
    const int32_t[::1] codes, const int32_t[::1] word_ends, const uint8_t[::1] words,
    int32_t[::1] ends, uint8_t[::1] out,
):
    """Texts by their codes, each below the number of words. word_ends i32[words + 1] says where
    they stand in words. ends as for `plain_texts`."""
    cdef Py_ssize_t i, n = ends.shape[0] - 1
    cdef const uint8_t *first = &words[0] if words.shape[0] else NULL
    cdef uint8_t *to
    cdef uint8_t *room_end
    cdef int32_t length
    cdef bint fine = True
    assert codes.shape[0] == n
    assert 0 <= ends[0] <= out.shape[0] and 0 < out.shape[0] <= 0x7FFFFFFF
    assert 0 <= word_ends[0] <= word_ends[word_ends.shape[0] - 1] <= words.shape[0]
    to, room_end = &out[0] + ends[0], &out[0] + out.shape[0]
    with nogil:
        for i in range(n):
            length = word_ends[codes[i] + 1] - word_ends[codes[i]]
            if not copied(
                to, room_end, first + word_ends[codes[i]], first + words.shape[0], length
            ):
                fine = False
                break
            to += length
            ends[i + 1] = <int32_t> (to - &out[0])
    if not fine:
        raise ValueError("texts are longer than their room")
