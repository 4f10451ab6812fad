"""Encodings of Parquet pages: columns in, the bytes of a page out.

At rest. Every answer of a batch leaves through these loops, so they are measured with the core.
Encodings are those of the Parquet format's Encodings.md: RLE / bit-packing hybrid (3), delta binary
packed (5), delta length byte array (6) and delta byte array (7). Kernels write into room that the
caller gives and return the bytes used; `room_*` says how much is always enough.
"""

from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy

cdef enum:
    BLOCK = 128             # values of a block of deltas
    MINI = 32               # values of a miniblock
    MINIS = 4               # miniblocks of a block
    REPEAT = 16             # equal values from which a run is worth a header of its own

cdef extern from *:
    int leading_zeros "__builtin_clzll" (unsigned long long) noexcept nogil

ctypedef fused number:
    int32_t
    uint32_t
    int64_t
    uint64_t


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
    """How many values from the first on equal it, counted up to most."""
    cdef Py_ssize_t i = 1
    if count > most:
        count = most
    while i < count and values[i] == values[0]:
        i += 1
    return i if count else 0


def hybrid(const int32_t[::1] values, int width, uint8_t[::1] out):
    """Values below 2**width as runs and bit-packed groups of eight. Returns the bytes written."""
    cdef Py_ssize_t i = 0, k, start, groups, run, n = values.shape[0], at = 0
    cdef uint64_t eight[8]
    assert 0 < width <= 31 and out.shape[0] >= room_hybrid(n, width)
    with nogil:
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


def delta(const number[::1] values, uint8_t[::1] out):
    """Numbers as deltas, packed in blocks of 128. Returns the bytes written.

    Deltas wrap around at the width of the type, as the format has it; 32-bit numbers need no more
    than 32 bits.
    """
    cdef Py_ssize_t i, j, k, m, count, n = values.shape[0], at = 0
    cdef uint64_t mask = 0xFFFFFFFF if sizeof(number) == 4 else 0xFFFFFFFFFFFFFFFF
    cdef uint64_t spread[BLOCK]
    cdef int64_t least, step
    cdef uint64_t all_bits
    cdef int width
    assert out.shape[0] >= room_delta(n)
    with nogil:
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


cdef inline int64_t signed(number value) noexcept nogil:
    return <int32_t> value if number is int32_t or number is uint32_t else <int64_t> value


cdef inline int64_t difference(number value, number before) noexcept nogil:
    if number is int32_t or number is uint32_t:
        return <int32_t> (<uint32_t> value - <uint32_t> before)
    return <int64_t> (<uint64_t> value - <uint64_t> before)


def shared(
    const int32_t[::1] offsets, const uint8_t[::1] data, int32_t[::1] prefix, int32_t[::1] suffix,
    uint8_t[::1] out,
):
    """Texts as what each shares with the one before it, and what it adds: prefix and suffix i32
    [texts], out the suffixes in a row (no more than the texts themselves). Returns their bytes."""
    cdef Py_ssize_t i, n = offsets.shape[0] - 1, at = 0, before = 0, length = 0, now, same, least
    cdef uint64_t a, b
    assert prefix.shape[0] == suffix.shape[0] == n
    if n == 0:
        return 0
    assert 0 <= offsets[0] <= offsets[n] <= data.shape[0]
    assert out.shape[0] >= offsets[n] - offsets[0]
    if offsets[n] == 0:
        prefix[:] = 0
        suffix[:] = 0
        return 0
    before = offsets[0]
    with nogil:
        for i in range(n):
            now = offsets[i]
            least = min(length, <Py_ssize_t> (offsets[i + 1] - now))
            same = 0
            while same + 8 <= least:
                memcpy(&a, &data[before + same], 8)
                memcpy(&b, &data[now + same], 8)
                if a != b:
                    break
                same += 8
            while same < least and data[before + same] == data[now + same]:
                same += 1
            length = offsets[i + 1] - now
            prefix[i] = <int32_t> same
            suffix[i] = <int32_t> (length - same)
            for least in range(same, length):
                out[at] = data[now + least]
                at += 1
            before = now
    return at
