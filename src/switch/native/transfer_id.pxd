"""Transfer ids in 96 bits, and accounts in 64, as matching reads them from their texts.

An id of the engine's own form (YYYYMMDD-NNNNNN-LLLLLLLLLL) is its digits, any other text a keyed
hash; so is an account that is not up to 17 digits.
"""

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy

from switch.native.account cimport PACKED_DIGITS_MAX, REFERENCE, eight_digits
from switch.native.types cimport uint128

cdef enum:
    ID_BYTES = 26
    IN_USE = 0x80000000
    IS_TEXT = 0x40000000

cdef extern from *:
    """
    #define SW_ZEROS 0x3030303030303030ULL
    #define SW_HYPHENS 0x1D0000000000001DULL
    static const unsigned long long SW_POWERS[8] = {
        1, 10, 100, 1000, 10000, 100000, 1000000, 10000000
    };
    """
    const uint64_t ZEROS "SW_ZEROS"             # eight digits
    const uint64_t HYPHENS "SW_HYPHENS"         # what the first and last are beside a hyphen
    const uint64_t *POWERS "SW_POWERS"

# An id in 96 bits. Own form: the 14 digits of date and batch in bits 0..46 of word and the low 17
# bits of the line number above them, the other 17 in tail. Text: 94 bits of hash.
cdef struct Key:
    uint64_t word
    uint32_t tail           # IN_USE, IS_TEXT, then 17 or 30 bits; 0 where there is no id

# "YYYYMMDD" and "-NNNNNN-" of an id of own form, as they stand there, and what their digits say.
# Most ids begin like the one before.
cdef struct Head:
    uint64_t date, batch, digits


cdef inline Head no_head() noexcept nogil:
    """The head of an id of which all digits are zeros."""
    return Head(ZEROS, ZEROS ^ HYPHENS, 0)


cdef inline uint64_t batch_of(const Key *key) noexcept nogil:
    return key.word & (<uint64_t> 1 << 47) - 1


cdef inline uint64_t number_of(const Key *key) noexcept nogil:
    """The line number of an id of own form."""
    return key.word >> 47 | <uint64_t> (key.tail & (IS_TEXT - 1)) << 17


cdef inline uint64_t fold(uint64_t a, uint64_t b) noexcept nogil:
    cdef uint128 product = <uint128> a * b
    return <uint64_t> product ^ <uint64_t> (product >> 64)


cdef inline uint64_t hash_text(
    const uint8_t *text, Py_ssize_t length, uint64_t seed
) noexcept nogil:
    """A keyed hash of bytes: eight a step, the last padded with zeros, then the length."""
    cdef uint64_t word, key = seed
    cdef Py_ssize_t at = 0
    while at + 8 <= length:
        memcpy(&word, text + at, 8)
        key = fold(key ^ word, <uint64_t> 0xD6E8FEB86659FD93)
        at += 8
    word = 0
    memcpy(&word, text + at, length - at)
    key = fold(key ^ word, <uint64_t> 0x9E3779B97F4A7C15)
    return fold(key ^ <uint64_t> length, <uint64_t> 0xD6E8FEB86659FD93 ^ seed)


cdef inline uint64_t eight(uint64_t word, bint *fine) noexcept nogil:
    """The number that eight ASCII digits say, the first in the lowest byte; fine is cleared where
    one is no digit. Pairs, then fours, are joined by one multiplication each."""
    cdef uint64_t high = <uint64_t> 0xF0F0F0F0F0F0F0F0
    fine[0] &= (word & high) == ZEROS and ((word + <uint64_t> 0x0606060606060606) & high) == ZEROS
    word -= ZEROS
    word = word * 10 + (word >> 8)
    return (
        (word & <uint64_t> 0x000000FF000000FF) * <uint64_t> 0x000F424000000064
        + ((word >> 16) & <uint64_t> 0x000000FF000000FF) * <uint64_t> 0x0000271000000001
    ) >> 32


cdef inline void key_of(
    const uint8_t *text, Py_ssize_t length, uint64_t secret, Head *head, Key *out
) noexcept nogil:
    """The key of an id that is not empty. head: of an id before it."""
    cdef bint fine = length == ID_BYTES
    cdef uint64_t date, batch, word, line
    if fine:
        memcpy(&date, text, 8)
        memcpy(&batch, text + 8, 8)
        if date != head.date or batch != head.batch:
            fine = text[8] == 45 and text[15] == 45
            # "-NNNNNN-": hyphens become zeros, so that the number is ten times too large.
            word = eight(date, &fine) * 1000000
            word += eight(batch ^ HYPHENS, &fine) // 10
            if fine:
                head.date, head.batch, head.digits = date, batch, word
    if fine:
        memcpy(&word, text + 18, 8)
        line = eight(word, &fine)
        fine &= text[16] >= 48 and text[16] <= 57 and text[17] >= 48 and text[17] <= 57
        if fine:
            line += (<uint64_t> (text[16] - 48) * 10 + (text[17] - 48)) * 100000000
            out.word = head.digits | line << 47
            out.tail = <uint32_t> (IN_USE | line >> 17)
            return
    out.word = hash_text(text, length, secret)
    out.tail = <uint32_t> (
        IN_USE | IS_TEXT | (hash_text(text, length, ~secret) & (IS_TEXT - 1))
    )


cdef inline void write_id(const Key *key, uint8_t *out) noexcept nogil:
    """The 26 bytes of an id of own form."""
    cdef uint64_t number = number_of(key)
    cdef uint64_t batch = eight_digits(batch_of(key) % 1000000)
    cdef uint64_t date = eight_digits(batch_of(key) // 1000000)
    cdef uint64_t last = eight_digits(number % 100000000)
    memcpy(out + 7, &batch, 8)
    memcpy(out, &date, 8)
    memcpy(out + 18, &last, 8)
    out[8] = out[15] = 45
    out[16] = <uint8_t> (48 + number // 1000000000)
    out[17] = <uint8_t> (48 + number // 100000000 % 10)


cdef inline uint64_t account_word(
    const uint8_t *text, Py_ssize_t length, uint64_t secret
) noexcept nogil:
    """Up to 17 digits exactly, as account words are; another text as 63 bits of keyed hash, marked
    REFERENCE."""
    cdef bint fine = length <= PACKED_DIGITS_MAX
    cdef uint64_t word = ZEROS, value = 0
    cdef Py_ssize_t at = 0, rest = length % 8
    while fine and at + 8 <= length:
        memcpy(&word, text + at, 8)
        value = value * 100000000 + eight(word, &fine)
        at += 8
    if fine and rest:
        # The last few behind zeros: with what stands before them, or copied where that is little.
        if at:
            memcpy(&word, text + length - 8, 8)
            word = (word >> (8 * (8 - rest)) << (8 * (8 - rest))) | ZEROS >> (8 * rest)
        else:
            memcpy(<uint8_t *> &word + 8 - rest, text, rest)
        value = value * POWERS[rest] + eight(word, &fine)
    if fine:
        return value | <uint64_t> length << 57
    return REFERENCE | hash_text(text, length, secret)


cdef inline bint fits(
    int64_t due, uint64_t account, int64_t amount, const uint8_t *named, Py_ssize_t length,
    uint64_t secret,
) noexcept nogil:
    """True where an answer fits a line: in amount and, where it names one, in account. due,
    account: amount and account word of the line; named: NULL where the answer names no account."""
    return amount == due and (named == NULL or account_word(named, length, secret) == account)
