"""Account words: an account's text in 64 bits where it is up to 17 digits, else a reference.

bit 63 = 0: digits: length in bits 57..61, value in bits 0..56 (10**17 < 2**57).
bit 63 = 1, bit 62 = 0: offset in the register's heap (one length byte, then UTF-8).
bit 63 = 1, bit 62 = 1: row of the payment table's own creditor_account column in this chunk.
"""

from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy

cdef extern from *:
    """
    #define SW_REFERENCE (1ULL << 63)
    #define SW_IN_TABLE  (1ULL << 62)
    """
    const uint64_t REFERENCE "SW_REFERENCE"
    const uint64_t IN_TABLE "SW_IN_TABLE"

cdef enum:
    PACKED_DIGITS_MAX = 17
    ACCOUNT_BYTES_MAX = 255


cdef inline uint64_t account_pack(const uint8_t *text, Py_ssize_t length) noexcept nogil:
    """The account word of digits, or REFERENCE where the text does not fit one."""
    cdef uint64_t value = 0
    cdef Py_ssize_t i
    if length < 1 or length > PACKED_DIGITS_MAX:
        return REFERENCE
    for i in range(length):
        if text[i] < 48 or text[i] > 57:
            return REFERENCE
        value = value * 10 + (text[i] - 48)
    return value | (<uint64_t> length << 57)


cdef inline uint64_t eight_digits(uint32_t value) noexcept nogil:
    """A number below 10**8 as eight ASCII digits, the first in the lowest byte: each step halves
    the lanes, 10486 / 2**20 and 103 / 2**10 being 1/100 and 1/10 closely enough for them."""
    cdef uint64_t lanes = value // 10000 | <uint64_t> (value % 10000) << 32
    cdef uint64_t high = (lanes * 10486 >> 20) & 0x0000007F0000007FULL
    lanes = (lanes - high * 100) << 16 | high
    high = (lanes * 103 >> 10) & 0x000F000F000F000FULL
    lanes = (lanes - high * 10) << 8 | high
    return lanes | 0x3030303030303030ULL


cdef inline Py_ssize_t account_text(
    uint64_t word, const uint8_t *heap, uint8_t *out
) noexcept nogil:
    """Write the text of a word that is digits or stands in the register's heap; its length.
    out has room for 256 bytes, whatever the length."""
    cdef Py_ssize_t length
    cdef uint64_t value, digits
    cdef uint8_t text[41]   # copied in one piece of 17 from where the digits begin
    if word & REFERENCE:
        length = heap[word & ~REFERENCE]
        memcpy(out, heap + (word & ~REFERENCE) + 1, length)
        return length
    length = word >> 57
    value = word & ((<uint64_t> 1 << 57) - 1)
    digits = eight_digits(value % 100000000)
    memcpy(text + 16, &digits, 8)
    value = value // 100000000
    digits = eight_digits(value % 100000000)
    memcpy(text + 8, &digits, 8)
    text[7] = <uint8_t> (48 + value // 100000000)
    memcpy(out, text + 24 - length, 17)
    return length
