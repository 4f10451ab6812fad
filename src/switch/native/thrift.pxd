"""Bytes of Parquet files that are read one by one: Thrift's compact protocol, and packed bits.

Nothing that a file says is believed: what reaches beyond the bytes that are there sets broken, and
the caller raises.
"""

from libc.stdint cimport int64_t, uint8_t, uint64_t
from libc.string cimport memcpy

cdef enum:
    DEPTH_MAX = 8           # structs within structs of a page header that are skipped
    BLOCK_MAX = 1 << 16     # deltas of a block
    WIDTH_FAST = 57         # bits that eight bytes hold wherever in their first byte they begin

# Kinds of Thrift's compact protocol; a map is in no page header.
cdef enum:
    TRUE = 1
    FALSE = 2
    I8 = 3
    I16 = 4
    I32 = 5
    I64 = 6
    REAL = 7
    BINARY = 8
    LIST = 9
    SET = 10
    STRUCT = 12

# What is left of the bytes; broken is set where something reached beyond them, and stays.
cdef struct Bytes:
    const uint8_t *at
    const uint8_t *end
    bint broken

# How packed deltas begin: how many numbers there are, the first of them, and the miniblocks of a
# block with the deltas of each.
cdef struct Deltas:
    uint64_t count
    uint64_t first
    uint64_t minis
    uint64_t mini


cdef inline uint64_t varint(Bytes *b) noexcept nogil:
    cdef uint64_t value = 0
    cdef int bits = 0
    cdef uint8_t byte
    while b.at < b.end and bits < 64:
        byte = b.at[0]
        b.at += 1
        value |= <uint64_t> (byte & 0x7F) << bits
        if byte < 0x80:
            return value
        bits += 7
    b.broken = True
    return 0


cdef inline int64_t zigzag(Bytes *b) noexcept nogil:
    cdef uint64_t value = varint(b)
    return <int64_t> (value >> 1) ^ -<int64_t> (value & 1)


cdef inline void advance(Bytes *b, uint64_t count) noexcept nogil:
    if count > <uint64_t> (b.end - b.at):
        b.broken = True
    else:
        b.at += count


cdef inline int field_of(Bytes *b, int *number_) noexcept nogil:
    """The kind of the next field of a struct, and its number; 0 at the end of the struct."""
    cdef int head
    if b.at >= b.end:
        b.broken = True
        return 0
    head = b.at[0]
    b.at += 1
    if head & 0x0F:
        number_[0] = number_[0] + (head >> 4) if head >> 4 else <int> zigzag(b)
    return head & 0x0F


cdef inline void skip(Bytes *b, int kind, int depth) noexcept nogil:
    """Pass over a value of this kind."""
    cdef int inner, ignored = 0
    cdef uint64_t count
    if depth == DEPTH_MAX:
        b.broken = True
    elif kind == I8:
        advance(b, 1)
    elif kind == I16 or kind == I32 or kind == I64:
        varint(b)
    elif kind == REAL:
        advance(b, 8)
    elif kind == BINARY:
        advance(b, varint(b))
    elif kind == STRUCT:
        inner = field_of(b, &ignored)
        while inner and not b.broken:
            skip(b, inner, depth + 1)
            inner = field_of(b, &ignored)
    elif kind == LIST or kind == SET:
        if b.at >= b.end:
            b.broken = True
            return
        inner, count = b.at[0] & 0x0F, b.at[0] >> 4
        b.at += 1
        if count == 15:
            count = varint(b)
        for _ in range(count):
            if b.broken or b.at >= b.end:
                b.broken = True
                return
            # Of a list, unlike of a struct, a truth value is a byte.
            skip(b, I8 if inner == TRUE or inner == FALSE else inner, depth + 1)
    elif kind != TRUE and kind != FALSE:
        b.broken = True


cdef inline uint64_t bits_at(const uint8_t *data, const uint8_t *end, uint64_t bit) noexcept nogil:
    """64 bits from this one on, of which at least 57 are there; zeros beyond the end."""
    cdef uint64_t word = 0
    cdef const uint8_t *at = data + (bit >> 3)
    if end - at >= 8:
        memcpy(&word, at, 8)
    elif at < end:
        memcpy(&word, at, end - at)
    return word >> (bit & 7)


cdef inline uint64_t wide_at(
    const uint8_t *data, const uint8_t *end, uint64_t bit, int width
) noexcept nogil:
    """A number of up to 64 bits from this one on, with what stands behind it above."""
    cdef uint64_t word = bits_at(data, end, bit)
    if width > WIDTH_FAST:
        # What eight bytes lack of so wide a number stands in the ninth.
        word &= (<uint64_t> 1 << WIDTH_FAST) - 1
        word |= bits_at(data, end, bit + WIDTH_FAST) << WIDTH_FAST
    return word


cdef inline Deltas deltas_of(Bytes *b) noexcept nogil:
    """The beginning of packed deltas; a form that none can have sets broken."""
    cdef Deltas found
    cdef uint64_t block = varint(b)
    found.minis = varint(b)
    found.count = varint(b)
    found.first = <uint64_t> zigzag(b)
    found.mini = 0
    if not 0 < found.minis <= block <= BLOCK_MAX or block % (found.minis * 8):
        b.broken = True
    if not b.broken:
        found.mini = block // found.minis
    return found
