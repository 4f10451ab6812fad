"""Name keys: a name as 64 bits, equal for all spellings that the contract calls one name.

Phase authenticate. IN: names as Arrow strings (offsets and UTF-8). OUT: key u64 a name, 0 where
the name is unusable (BE22), and on wish its initials, which are all that a message may show.
Rule (contract): NFD, combining and zero-width marks dropped, upper case, all letters that look like
a D with stroke to D, all apostrophes to one, runs of white space to one blank, trimmed. Unusable:
nothing left, more than 140 characters, or another character of the Unicode categories Cc, Cf, Zl,
Zp. Registers keep keys and no names, so that the fold before stays for those that were made by it:
it had d with stroke alone, no apostrophes, and zero-width marks were unusable.
"""

import unicodedata

from libc.stdint cimport int32_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy

from switch.native.types cimport uint128

cdef enum:
    FOLD_SIZE = 0x2070      # code points below fold by table; names with others go through Python
    TABLED = 0x2000         # above, the table has apostrophes and zero-width marks alone
    FOLDS = 2
    NAME_CHARACTERS_MAX = 140
    # What the table says instead of a folded code point.
    DROPPED = 1
    BLANK = 2
    UNUSABLE = 3
    SLOW = 4
    MASKED_WORDS_MAX = 8
    FOLDED_BYTES_MAX = 560  # four bytes for each of 140 characters: a longer name has more
    KEY_UNUSABLE = 0

cdef extern from *:
    """
    #define SW_KEY_SEED 0x9E3779B97F4A7C15ULL
    #define SW_KEY_STEP 0xD6E8FEB86659FD93ULL
    """
    const uint64_t KEY_SEED "SW_KEY_SEED"
    const uint64_t KEY_STEP "SW_KEY_STEP"

cdef uint16_t FOLD[FOLDS][FOLD_SIZE]
BEFORE, NOW = range(FOLDS)
ZERO_WIDTH = "\u200b\u200c\u200d\u2060\ufeff"
APOSTROPHES = "\u2018\u2019\u02bc`"
ALIKE = str.maketrans(
    dict.fromkeys("\u0110\u00d0\u0189", "D") | dict.fromkeys(APOSTROPHES, "'")
    | dict.fromkeys(ZERO_WIDTH, None)
)


def fold(text: str, version: int = NOW) -> str:
    """The canonical form of a name: what two spellings must share to be one name."""
    bare = "".join(c for c in unicodedata.normalize("NFD", text) if not unicodedata.combining(c))
    if version == BEFORE:
        return " ".join(bare.replace("đ", "d").replace("Đ", "D").upper().split())
    return " ".join(bare.upper().translate(ALIKE).split())


def _is_unusable(text: str, version: int) -> bool:
    return any(
        unicodedata.category(c) in ("Cc", "Cf", "Zl", "Zp")
        and (version == BEFORE or c not in ZERO_WIDTH)
        for c in text
    )


cdef int _fill_fold(int version) except -1:
    cdef int point
    for point in range(FOLD_SIZE):
        character = chr(point)
        if point >= TABLED and (version == BEFORE or character not in APOSTROPHES + ZERO_WIDTH):
            FOLD[version][point] = SLOW
        elif _is_unusable(character, version):
            FOLD[version][point] = UNUSABLE
        elif character.isspace():
            FOLD[version][point] = BLANK
        else:
            folded = fold(character, version)
            if not folded:
                FOLD[version][point] = DROPPED
            elif len(folded) == 1 and ord(folded) < TABLED:
                FOLD[version][point] = <uint16_t> ord(folded)
            else:
                FOLD[version][point] = SLOW
    return 0


_fill_fold(BEFORE)
_fill_fold(NOW)


cdef inline uint64_t mix(uint64_t key, uint64_t word) noexcept nogil:
    cdef uint128 product = <uint128> (key ^ word) * KEY_STEP
    return <uint64_t> product ^ <uint64_t> (product >> 64)


cdef inline int decode(
    const uint8_t *data, Py_ssize_t left, uint32_t *point
) noexcept nogil:
    """One strict UTF-8 character of two bytes or more: its length, or 0 where there is none."""
    cdef uint8_t lead = data[0]
    cdef uint32_t value
    if lead < 0xC2:
        return 0
    if lead < 0xE0:
        if left < 2 or data[1] & 0xC0 != 0x80:
            return 0
        point[0] = (<uint32_t> (lead & 0x1F) << 6) | (data[1] & 0x3F)
        return 2
    if lead < 0xF0:
        if left < 3 or data[1] & 0xC0 != 0x80 or data[2] & 0xC0 != 0x80:
            return 0
        value = (
            (<uint32_t> (lead & 0x0F) << 12) | (<uint32_t> (data[1] & 0x3F) << 6) | (data[2] & 0x3F)
        )
        if value < 0x800 or 0xD800 <= value <= 0xDFFF:
            return 0
        point[0] = value
        return 3
    if (
        lead > 0xF4 or left < 4 or data[1] & 0xC0 != 0x80 or data[2] & 0xC0 != 0x80
        or data[3] & 0xC0 != 0x80
    ):
        return 0
    value = (
        (<uint32_t> (lead & 0x07) << 18) | (<uint32_t> (data[1] & 0x3F) << 12)
        | (<uint32_t> (data[2] & 0x3F) << 6) | (data[3] & 0x3F)
    )
    if value < 0x10000 or value > 0x10FFFF:
        return 0
    point[0] = value
    return 4


cdef int key_of(
    const uint16_t *table, const uint8_t *data, Py_ssize_t length, int characters_max,
    uint64_t *key_out, uint64_t *mask_out,
) noexcept nogil:
    """Key and initials (unless NULL) of one name: 0 done, 1 needs the slow way, -1 is not UTF-8."""
    cdef uint8_t text[FOLDED_BYTES_MAX + 16]
    cdef uint32_t point = 0, folded
    cdef int total = 0, step
    cdef bint unusable = False, slow = False
    cdef uint8_t byte
    cdef Py_ssize_t i = 0
    key_out[0] = KEY_UNUSABLE
    if mask_out != NULL:
        mask_out[0] = 0
    if length > FOLDED_BYTES_MAX:
        return 0 if characters_of(data, length) >= 0 else -1
    while i < length:
        byte = data[i]
        if byte < 0x80:
            folded = table[byte]
            i += 1
            if folded > SLOW:
                text[total] = <uint8_t> folded
                total += 1
                continue
        elif byte == 0xE1 and i + 2 < length and (
            data[i + 1] & 0xC0 == 0x80 and data[i + 2] & 0xC0 == 0x80
        ):
            folded = table[0x1000 | (<uint32_t> (data[i + 1] & 0x3F) << 6) | (data[i + 2] & 0x3F)]
            i += 3
        elif 0xC2 <= byte < 0xE0 and i + 1 < length and data[i + 1] & 0xC0 == 0x80:
            folded = table[(<uint32_t> (byte & 0x1F) << 6) | (data[i + 1] & 0x3F)]
            i += 2
        else:
            step = decode(data + i, length - i, &point)
            if step == 0:
                return -1
            i += step
            folded = table[point] if point < FOLD_SIZE else SLOW
        # No character folds to more bytes than it has, so text cannot overflow.
        if SLOW < folded < 0x80:
            text[total] = <uint8_t> folded
            total += 1
        elif folded > SLOW:
            # Code points beyond ASCII enter as two bytes; both ways through this file agree.
            text[total] = <uint8_t> (0x80 | (folded >> 7))
            text[total + 1] = <uint8_t> (folded & 0x7F)
            total += 2
        elif folded == BLANK:
            # One blank between words; the one that may stand at the end is taken off below.
            text[total] = 32
            total += total > 0 and text[total - 1] != 32
        elif folded == UNUSABLE:
            unusable = True
        elif folded != DROPPED:
            slow = True
    if unusable or (length > characters_max and characters_of(data, length) > characters_max):
        return 0
    if slow:
        return 1
    if total and text[total - 1] == 32:
        total -= 1
    if total:
        key_out[0] = hash_text(text, total)
        if mask_out != NULL:
            mask_out[0] = initials(text, total)
    return 0


cdef Py_ssize_t characters_of(const uint8_t *data, Py_ssize_t length) noexcept nogil:
    """Characters of a text, or -1 where it is not UTF-8."""
    cdef Py_ssize_t i = 0, characters = 0
    cdef uint32_t point = 0
    cdef int step
    while i < length:
        step = 1 if data[i] < 0x80 else decode(data + i, length - i, &point)
        if step == 0:
            return -1
        i += step
        characters += 1
    return characters


cdef inline uint64_t hash_text(uint8_t *text, int total) noexcept nogil:
    """Key of folded text; text has room for eight bytes more."""
    cdef uint64_t key = KEY_SEED, word = 0
    cdef int i = 0
    memcpy(text + total, &word, 8)
    while i <= total:
        memcpy(&word, text + i, 8)
        key = mix(key, word)
        i += 8
    key = mix(key, <uint64_t> total)
    return key if key != KEY_UNUSABLE else 1


cdef inline uint64_t initials(const uint8_t *text, int total) noexcept nogil:
    """First letters of up to eight words, a byte each; '?' for letters beyond ASCII."""
    cdef uint64_t mask = 0
    cdef int i, words = 0
    for i in range(total):
        if (i == 0 or text[i - 1] == 32) and words < MASKED_WORDS_MAX:
            mask |= <uint64_t> (text[i] if text[i] < 0x80 else 63) << (8 * words)
            words += 1
    return mask


cdef int key_of_slow(
    int version, const uint8_t *data, Py_ssize_t length, uint64_t *key_out, uint64_t *mask_out
) noexcept with gil:
    """The same for names with rare characters: folded by Python, then keyed as UTF-8 text."""
    cdef bytes folded
    cdef uint64_t key = KEY_SEED ^ KEY_STEP
    cdef int i = 0
    try:
        text = data[:length].decode("utf-8")
        canonical = fold(text, version)
        if not canonical or _is_unusable(text, version):
            return 0
        folded = canonical.encode("utf-8")
        if len(folded) < FOLDED_BYTES_MAX and all(
            ord(c) < TABLED and FOLD[version][ord(c)] == ord(c) for c in canonical.replace(" ", "")
        ):
            return key_of(
                FOLD[version], folded, len(folded), FOLDED_BYTES_MAX, key_out, mask_out
            )
        for i in range(len(folded)):
            key = mix(key, <uint64_t> folded[i])
        if mask_out != NULL:
            for i, word in enumerate(canonical.split(" ")[:MASKED_WORDS_MAX]):
                mask_out[0] |= <uint64_t> (ord(word[0]) if ord(word[0]) < 0x80 else 63) << (8 * i)
        key_out[0] = key if key != KEY_UNUSABLE else 1
    except Exception:
        return -1  # the caller refuses the file; nothing is keyed by accident
    return 0


cdef Py_ssize_t walk_keys(
    int version, const int32_t *offsets, const uint8_t *data, Py_ssize_t count, uint64_t *keys,
    uint64_t *masks,
) noexcept nogil:
    """Keys (and initials unless NULL) of all names; the first that is not UTF-8, or -1."""
    cdef Py_ssize_t i
    cdef uint64_t *mask_at
    cdef int done
    for i in range(count):
        if not offsets[0] <= offsets[i] <= offsets[i + 1] <= offsets[count]:
            return i
        mask_at = NULL if masks == NULL else &masks[i]
        done = key_of(
            FOLD[version], data + offsets[i], offsets[i + 1] - offsets[i], NAME_CHARACTERS_MAX,
            &keys[i], mask_at,
        )
        if done == 1:
            done = key_of_slow(
                version, data + offsets[i], offsets[i + 1] - offsets[i], &keys[i], mask_at
            )
        if done != 0:
            return i
    return -1


def name_keys(
    const int32_t[::1] offsets, const uint8_t[::1] data, uint64_t[::1] keys, uint64_t[::1] masks,
    int version=NOW,
):
    """Fill keys (and masks, unless None) for the names of an Arrow string array.

    offsets: int32, one more than there are keys, absolute in data. version: of
    the fold, NOW or BEFORE. Returns the index of the first
    name that is not UTF-8, or -1.
    """
    cdef Py_ssize_t count = keys.shape[0]
    cdef uint64_t *mask_at = NULL
    cdef const uint8_t *data_at = NULL
    cdef Py_ssize_t bad
    assert offsets.shape[0] >= count + 1 and 0 <= version < FOLDS
    if count == 0:
        return -1
    assert 0 <= offsets[0] <= offsets[count] <= data.shape[0]
    if masks is not None:
        assert masks.shape[0] == count
        mask_at = &masks[0]
    if data.shape[0]:
        data_at = &data[0]
    with nogil:
        bad = walk_keys(version, &offsets[0], data_at, count, &keys[0], mask_at)
    return bad
