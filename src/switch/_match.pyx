"""Matching: expected lines by transfer id, the answers that settle them, and bounded subset sums.

Phase reconcile. A transfer id of the engine's own form (YYYYMMDD-NNNNNN-LLLLLLLLLL) is 81 bits and
stands in its slot whole; any other text is found by a keyed hash and compared byte by byte. A pair
is certified here only where nothing is left to decide: one line, one answer, everything equal. All
else is handed back, to be judged with every column in sight (`switch.reconcile`).
"""

from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport free, realloc
from libc.string cimport memcmp, memcpy

from switch._account cimport PACKED_DIGITS_MAX, REFERENCE
from switch._pages cimport Pages
from switch._types cimport NO_ROW, prefetch, uint128

cdef enum:
    AHEAD = 32              # records between a prefetch and its use
    AHEAD_LINE = 16         # the same for the line, once its slot is known
    SLOTS_NUMERATOR = 5     # slots a line: 5/3, as in the people table
    SLOTS_DENOMINATOR = 3
    SLOTS_MIN = 64
    CROWDED = 0xFFFFFFFE    # claim of a line about which more is to be said than "matched"
    ROWS_MAX = 0xFFFFFFF0
    ID_BYTES = 26
    IN_USE = 0x80000000
    IS_TEXT = 0x40000000
    ITEMS_MAX = 64
    ITEM_BITS = 56          # 64 items below 2**56 sum to less than 2**62

# An id in 96 bits. Own form: the 14 digits of date and batch in bits 0..46 of word and the low 17
# bits of the line number above them, the other 17 in tail. Text: 94 bits of hash.
cdef struct Key:
    uint64_t word
    uint32_t tail           # IN_USE, IS_TEXT, then 17 or 30 bits
    uint32_t row            # of the line; of a text: its place among the texts

cdef struct Line:
    int64_t amount
    uint64_t account        # account word, see account_word; 0 = not given
    int32_t day
    uint32_t claim          # row of the answer that claims it; NO_ROW; CROWDED

cdef struct Text:
    uint64_t offset
    uint32_t length
    uint32_t row


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
    cdef uint64_t zeros = <uint64_t> 0x3030303030303030, high = <uint64_t> 0xF0F0F0F0F0F0F0F0
    fine[0] &= (word & high) == zeros and ((word + <uint64_t> 0x0606060606060606) & high) == zeros
    word -= zeros
    word = word * 10 + (word >> 8)
    return (
        (word & <uint64_t> 0x000000FF000000FF) * <uint64_t> 0x000F424000000064
        + ((word >> 16) & <uint64_t> 0x000000FF000000FF) * <uint64_t> 0x0000271000000001
    ) >> 32


cdef inline void key_of(
    const uint8_t *text, Py_ssize_t length, uint64_t secret, Key *out
) noexcept nogil:
    """The key of an id that is not empty; row is left as it is."""
    cdef bint fine = length == ID_BYTES and text[8] == 45 and text[15] == 45
    cdef uint64_t word, prefix, line, last
    if fine:
        memcpy(&word, text, 8)
        prefix = eight(word, &fine) * 1000000
        # "-NNNNNN-": hyphens become zeros, so that the number is ten times too large.
        memcpy(&word, text + 8, 8)
        prefix += eight(word ^ <uint64_t> 0x1D0000000000001D, &fine) // 10
        memcpy(&word, text + 16, 8)
        line = eight(word, &fine) * 100
        last = <uint64_t> (text[24] - 48) * 10 + (text[25] - 48)
        fine &= text[24] >= 48 and text[24] <= 57 and text[25] >= 48 and text[25] <= 57
        if fine:
            line += last
            out.word = prefix | line << 47
            out.tail = <uint32_t> (IN_USE | line >> 17)
            return
    out.word = hash_text(text, length, secret)
    out.tail = <uint32_t> (
        IN_USE | IS_TEXT | (hash_text(text, length, ~secret) & (IS_TEXT - 1))
    )


cdef inline uint64_t account_word(
    const uint8_t *text, Py_ssize_t length, uint64_t secret
) noexcept nogil:
    """Up to 17 digits exactly, as account words are; another text as 63 bits of keyed hash, marked
    REFERENCE."""
    cdef bint fine = length <= PACKED_DIGITS_MAX
    cdef uint64_t word, value = 0
    cdef Py_ssize_t at = 0
    while fine and at < length:
        if at + 8 <= length:
            memcpy(&word, text + at, 8)
            value = value * 100000000 + eight(word, &fine)
            at += 8
        else:
            fine = text[at] >= 48 and text[at] <= 57
            value = value * 10 + (text[at] - 48)
            at += 1
    if fine:
        return value | <uint64_t> length << 57
    return REFERENCE | hash_text(text, length, secret)


cdef inline uint64_t home_slot(const Key *key, uint64_t secret, uint64_t slots) noexcept nogil:
    cdef uint64_t h = fold(key.word ^ secret, <uint64_t> 0x9E3779B97F4A7C15 ^ key.tail)
    h = h * <uint64_t> 0xD6E8FEB86659FD93
    return <uint64_t> ((<uint128> h * slots) >> 64)


cdef class Lines:
    """The lines that answers are expected for: at most rows of them, the first row is 0.

    secret keys the hashes, so that nobody who writes a file can aim at one slot; no result depends
    on it. `expect` takes the lines chunk by chunk, then `answer` the answers; `release` forgets
    all claims before another set of records is held against the same lines.
    """

    cdef readonly uint64_t rows, count
    cdef uint64_t slots_count, secret
    cdef Key *slots
    cdef Line *lines
    cdef object _slots_memory, _lines_memory
    cdef Key *keys                  # of the chunk in work
    cdef size_t keys_room
    cdef Text *texts
    cdef size_t texts_count, texts_room
    cdef uint8_t *heap
    cdef size_t heap_used, heap_room

    def __cinit__(self, uint64_t rows, uint64_t secret):
        cdef Pages pages
        if rows > ROWS_MAX:
            raise ValueError(f"at most {ROWS_MAX} lines are reconciled at a time")
        self.rows = rows
        self.count = 0
        self.secret = secret
        self.slots_count = max(rows * SLOTS_NUMERATOR // SLOTS_DENOMINATOR + 1, SLOTS_MIN)
        pages = Pages(self.slots_count * sizeof(Key))
        self._slots_memory, self.slots = pages, <Key *> pages.at
        pages = Pages(max(rows, 1) * sizeof(Line))
        self._lines_memory, self.lines = pages, <Line *> pages.at

    def __dealloc__(self):
        free(self.keys)
        free(self.texts)
        free(self.heap)

    @property
    def nbytes(self):
        """Bytes held, whatever the length of the answers."""
        return (
            self.slots_count * sizeof(Key) + self.rows * sizeof(Line)
            + self.keys_room + self.texts_room + self.heap_room
        )

    cdef int _read_ids(
        self, const int32_t[::1] offsets, const uint8_t[::1] data, Py_ssize_t n, bint keep
    ) except -1:
        """Keys of a chunk; tail 0 where an id is empty. keep: room for texts to stay."""
        cdef Py_ssize_t i, texts = 0
        cdef size_t text_bytes = 0
        self.keys = <Key *> grown(self.keys, &self.keys_room, n * sizeof(Key))
        with nogil:
            for i in range(n):
                self.keys[i].tail = 0
                if offsets[i + 1] > offsets[i]:
                    key_of(
                        &data[offsets[i]], offsets[i + 1] - offsets[i], self.secret, &self.keys[i]
                    )
                    if self.keys[i].tail & IS_TEXT:
                        texts += 1
                        text_bytes += offsets[i + 1] - offsets[i]
        if keep and texts:
            self.texts = <Text *> grown(
                self.texts, &self.texts_room, (self.texts_count + texts) * sizeof(Text)
            )
            self.heap = <uint8_t *> grown(self.heap, &self.heap_room, self.heap_used + text_bytes)
        return 0

    cdef inline Key *_find(self, const Key *key, const uint8_t *text, size_t length) noexcept nogil:
        """The slot of an id, or the empty one where it would stand."""
        cdef uint64_t at = home_slot(key, self.secret, self.slots_count)
        cdef Text *stored
        while self.slots[at].tail != 0:
            if self.slots[at].word == key.word and self.slots[at].tail == key.tail:
                if not key.tail & IS_TEXT:
                    break
                stored = &self.texts[self.slots[at].row]
                if stored.length == length and memcmp(
                    self.heap + stored.offset, text, length
                ) == 0:
                    break
            at += 1
            if at == self.slots_count:
                at = 0
        return &self.slots[at]

    cdef inline uint32_t _row_of(self, const Key *slot) noexcept nogil:
        return self.texts[slot.row].row if slot.tail & IS_TEXT else slot.row

    def expect(
        self, const int32_t[::1] offsets, const uint8_t[::1] data,
        const int32_t[::1] account_offsets, const uint8_t[::1] account_data,
        const int64_t[::1] amount, const int32_t[::1] day, uint32_t[::1] first,
    ):
        """Take in a chunk of lines. offsets, data: transfer ids; account_offsets, account_data:
        creditor accounts; '' where there is none. first u32 receives the row of the first line with
        the same id (its own row where that is the line itself), NO_ROW where there is no id."""
        cdef Py_ssize_t i, n = amount.shape[0]
        cdef uint32_t row
        cdef size_t length
        cdef const uint8_t *text
        cdef Key *slot
        cdef Text *stored
        assert offsets.shape[0] == account_offsets.shape[0] == n + 1
        assert day.shape[0] == first.shape[0] == n
        if self.count + n > self.rows:
            raise ValueError("more lines than were announced")
        self._read_ids(offsets, data, n, True)
        with nogil:
            for i in range(n):
                if i + AHEAD < n:
                    prefetch(&self.slots[
                        home_slot(&self.keys[i + AHEAD], self.secret, self.slots_count)
                    ])
                row = <uint32_t> (self.count + i)
                self.lines[row].amount = amount[i]
                self.lines[row].day = day[i]
                self.lines[row].claim = NO_ROW
                length = account_offsets[i + 1] - account_offsets[i]
                self.lines[row].account = account_word(
                    &account_data[account_offsets[i]], length, self.secret
                ) if length else 0
                if self.keys[i].tail == 0:
                    first[i] = NO_ROW
                    continue
                text, length = &data[offsets[i]], offsets[i + 1] - offsets[i]
                slot = self._find(&self.keys[i], text, length)
                if slot.tail != 0:
                    first[i] = self._row_of(slot)
                    self.lines[first[i]].claim = CROWDED
                    continue
                first[i] = row
                slot[0] = self.keys[i]
                slot.row = row
                if slot.tail & IS_TEXT:
                    stored = &self.texts[self.texts_count]
                    stored.offset, stored.length, stored.row = self.heap_used, length, row
                    memcpy(self.heap + self.heap_used, text, length)
                    self.heap_used += length
                    slot.row = <uint32_t> self.texts_count
                    self.texts_count += 1
        self.count += n

    def answer(
        self, const int32_t[::1] offsets, const uint8_t[::1] data,
        const int32_t[::1] account_offsets, const uint8_t[::1] account_data,
        const int64_t[::1] amount, const int32_t[::1] day, const uint8_t[::1] plain,
        uint32_t row, int32_t days, int32_t refusal_days, uint8_t[::1] clean, uint32_t[::1] ousted,
    ):
        """Hold a chunk of answers, the first of which has the number row, against the lines.

        plain u8: 1 where the answer says "paid" and no more, 2 where it says "refused", else 0.
        clean u8 receives 1 where line and answer are matched: the same id, amount and account
        (where the answer has one), plain, at most days (refused: refusal_days) apart, and neither
        has been claimed. Else the line is CROWDED; ousted u32
        receives the answer that had claimed the line before and is not clean any more, or NO_ROW.
        """
        cdef Py_ssize_t i, n = amount.shape[0]
        cdef size_t length
        cdef Line *line
        cdef uint64_t word
        cdef int64_t apart, most
        assert offsets.shape[0] == account_offsets.shape[0] == n + 1
        assert day.shape[0] == plain.shape[0] == clean.shape[0] == ousted.shape[0] == n
        if row + n > ROWS_MAX:
            raise ValueError(f"at most {ROWS_MAX} records are reconciled at a time")
        self._read_ids(offsets, data, n, False)
        with nogil:
            for i in range(min(<Py_ssize_t> AHEAD_LINE, n)):
                self._look_up(i, offsets, data)
            for i in range(n):
                if i + AHEAD < n:
                    prefetch(&self.slots[
                        home_slot(&self.keys[i + AHEAD], self.secret, self.slots_count)
                    ])
                if i + AHEAD_LINE < n:
                    self._look_up(i + AHEAD_LINE, offsets, data)
                clean[i] = 0
                ousted[i] = NO_ROW
                if self.keys[i].row == NO_ROW:
                    continue
                line = &self.lines[self.keys[i].row]
                if line.claim == NO_ROW:
                    length = account_offsets[i + 1] - account_offsets[i]
                    word = line.account
                    if length:
                        word = account_word(
                            &account_data[account_offsets[i]], length, self.secret
                        )
                    apart = <int64_t> day[i] - line.day
                    most = days if plain[i] == 1 else refusal_days
                    clean[i] = (
                        plain[i] != 0 and line.amount == amount[i] and line.account == word
                        and -most <= apart <= most
                    )
                elif line.claim != CROWDED:
                    ousted[i] = line.claim
                line.claim = row + <uint32_t> i if clean[i] else CROWDED

    cdef inline void _look_up(
        self, Py_ssize_t i, const int32_t[::1] offsets, const uint8_t[::1] data
    ) noexcept nogil:
        """Leave the row of the line in the key, NO_ROW where no line has the id, and ask for it."""
        cdef Key *slot
        if self.keys[i].tail != 0:
            slot = self._find(&self.keys[i], &data[offsets[i]], offsets[i + 1] - offsets[i])
            if slot.tail != 0:
                self.keys[i].row = self._row_of(slot)
                prefetch(&self.lines[self.keys[i].row])
                return
        self.keys[i].row = NO_ROW

    def open(self, uint8_t[::1] out):
        """Fill out u8[count]: 0 where a line is matched, 1 unanswered, 2 to be judged."""
        cdef uint64_t row
        assert <uint64_t> out.shape[0] == self.count
        with nogil:
            for row in range(self.count):
                out[row] = 2 if self.lines[row].claim == CROWDED else (
                    self.lines[row].claim == NO_ROW
                )

    def release(self, const uint32_t[::1] crowded):
        """Forget all claims. crowded: the first line of every id of which no pair is certified, for
        several lines share it, or the line says more than that it was paid."""
        cdef uint64_t row
        cdef Py_ssize_t i
        with nogil:
            for row in range(self.count):
                self.lines[row].claim = NO_ROW
            for i in range(crowded.shape[0]):
                self.lines[crowded[i]].claim = CROWDED


cdef void *grown(void *at, size_t *room, size_t wanted) except NULL:
    """Memory of at least wanted bytes with the old content, room its new size."""
    if at != NULL and wanted <= room[0]:
        return at
    wanted = max(wanted, room[0] + room[0] // 2, <size_t> 64)
    at = realloc(at, wanted)
    if at == NULL:
        raise MemoryError(f"no memory for {wanted} bytes")
    room[0] = wanted
    return at


# One search for subsets: what it walks over and what it found, copied into the frame.
cdef struct Search:
    const int64_t *items
    int count, size_min, size_max
    int64_t low, high
    int64_t gains[ITEMS_MAX + 1]    # most that items from here on can add
    int64_t losses[ITEMS_MAX + 1]   # least
    int64_t work, work_max
    uint64_t *found
    int found_count, found_max


cdef bint walk(Search *s, int at, int size, int64_t total, uint64_t chosen) noexcept nogil:
    """Try items from at on; False where a bound ends the search."""
    if s.work == s.work_max:
        return False
    s.work += 1
    if total + s.gains[at] < s.low or total + s.losses[at] > s.high:
        return True
    if at == s.count or size == s.size_max:
        if s.low <= total <= s.high and size >= s.size_min:
            if s.found_count == s.found_max:
                return False
            s.found[s.found_count] = chosen
            s.found_count += 1
        return True
    if not walk(s, at + 1, size + 1, total + s.items[at], chosen | <uint64_t> 1 << at):
        return False
    return walk(s, at + 1, size, total, chosen)


def subset_sums(
    const int64_t[::1] items, int64_t target, int64_t tolerance, int size_min, int size_max,
    int64_t work_max, uint64_t[::1] found,
):
    """Subsets of size_min to size_max of at most 64 items whose sum is target, give or take
    tolerance (inclusive); items with low places first. found u64 receives each as bits by place.

    Returns (count, complete): complete is False where work_max steps or the room of found ended
    the search. Raises ValueError above 64 items, or for values beyond 2**56.
    """
    cdef Search search
    cdef int i, n = <int> min(items.shape[0], <Py_ssize_t> ITEMS_MAX)
    cdef bint complete
    cdef int64_t limit = <int64_t> 1 << ITEM_BITS
    if items.shape[0] > ITEMS_MAX:
        raise ValueError(f"at most {ITEMS_MAX} items are searched")
    if not (-limit < target < limit and 0 <= tolerance < limit):
        raise ValueError("target or tolerance beyond 2**56")
    assert found.shape[0] > 0 and size_min >= 1
    search.items = &items[0] if n else NULL
    search.count, search.size_min, search.size_max = n, size_min, size_max
    search.low, search.high = target - tolerance, target + tolerance
    search.work, search.work_max = 0, work_max
    search.found, search.found_count, search.found_max = &found[0], 0, <int> found.shape[0]
    search.gains[n] = search.losses[n] = 0
    for i in range(n - 1, -1, -1):
        if not -limit < items[i] < limit:
            raise ValueError("an item beyond 2**56")
        search.gains[i] = search.gains[i + 1] + max(items[i], <int64_t> 0)
        search.losses[i] = search.losses[i + 1] + min(items[i], <int64_t> 0)
    with nogil:
        complete = walk(&search, 0, 0, 0, 0)
    return search.found_count, complete
