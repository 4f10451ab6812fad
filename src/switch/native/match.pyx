"""Matching: expected lines by transfer id, the answers that settle them, and bounded subset sums.

Phase reconcile. A transfer id of the engine's own form (`transfer_id.pxd`) stands in its line.
Line numbers of a batch are dense, so such an id is a place in a leaf of 4,096 numbers, and its line
is found there. Where leaves would be mostly empty, and for any other text, which is compared byte
by byte, a keyed hash finds the line. A pair is certified here only where nothing is left to decide:
one line, one answer, everything equal. All else is handed back, to be judged with every column in
sight (`switch.reconcile`).
"""

from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport free, realloc
from libc.string cimport memcmp, memcpy, memset

from switch.native.account cimport PACKED_DIGITS_MAX, REFERENCE, account_text
from switch.native.pages cimport Pages
from switch.native.transfer_id cimport (
    ID_BYTES, IS_TEXT, Head, Key, account_word, batch_of, fits, fold, key_of, no_head,
    number_of, write_id,
)
from switch.native.types cimport NO_ROW, prefetch, uint128

cdef enum:
    BLOCK = 64              # records whose slots are on their way while others are read
    NEAR = 4                # lines that are tried before an answer is looked up
    SLOTS_NUMERATOR = 5     # slots a line: 5/3, as in the people table
    SLOTS_DENOMINATOR = 3
    SLOTS_MIN = 64
    LEAF_BITS = 12
    LEAF = 1 << LEAF_BITS   # line numbers of a leaf
    LEAVES_NUMERATOR = 2    # places that leaves may have a line
    CROWD = 0xFFFFFFFE
    ROWS_MAX = 0xFFFFFFF0
    ITEMS_MAX = 64
    ITEM_BITS = 56          # 64 items below 2**56 sum to less than 2**62

cdef extern from *:
    """
    #define SW_DAY_US 86400000000LL
    """
    const int64_t DAY_US "SW_DAY_US"

CROWDED = <uint32_t> CROWD
"""Claim of a line about which more is to be said than "matched"."""

# One line, half a cache line. A slot that points to it is the low half of the hash, then row + 1.
cdef struct Line:
    uint64_t word           # of the key; of a text: its place in the heap
    int64_t amount
    uint64_t account        # account word, see account_word; 0 = not given
    uint32_t tail           # of the key; 0 = another line is found by this id, or there is none
    int32_t day


# 4,096 line numbers of a batch in a row, whose places are at[..]: row + 1, or 0.
cdef struct Leaf:
    uint64_t batch          # the 14 digits of date and batch
    uint32_t number         # line number >> LEAF_BITS
    uint32_t *at            # NULL: an empty slot of the directory


cdef inline uint32_t row_of(uint64_t slot) noexcept nogil:
    return <uint32_t> slot - 1


cdef inline int32_t day_of(int64_t at) noexcept nogil:
    """Days since 1970 of microseconds since then, rounded down; INT32 holds them all."""
    return <int32_t> ((at if at >= 0 else at - (DAY_US - 1)) // DAY_US)


cdef class Lines:
    """The lines that answers are expected for: at most rows of them, the first row is 0.

    secret keys the hashes, so that nobody who writes a file can aim at one slot; no result depends
    on it. `expect` takes the lines chunk by chunk, then `answer` the answers. What claims a line is
    the caller's, so that any number of sets is held against the same lines.
    """

    cdef readonly uint64_t rows, count
    cdef uint64_t slots_count, secret
    cdef uint64_t *slots            # NULL until a line needs one
    cdef Line *lines
    cdef Leaf *leaves               # a directory by hash, no more than half full
    cdef Leaf *leaf                 # that of the last id, or an empty one
    cdef uint64_t leaves_count, leaves_max, directory_count
    cdef uint32_t *places
    cdef object _slots_memory, _lines_memory, _leaves_memory, _places_memory
    cdef uint8_t *heap              # ids of other forms, each behind its length (u32)
    cdef size_t heap_used, heap_room

    def __cinit__(self, uint64_t rows, uint64_t secret):
        cdef Pages pages
        if rows > ROWS_MAX:
            raise ValueError(f"at most {ROWS_MAX} lines are reconciled at a time")
        self.rows = rows
        self.count = 0
        self.secret = secret
        self.slots_count = max(rows * SLOTS_NUMERATOR // SLOTS_DENOMINATOR + 1, SLOTS_MIN)
        pages = Pages(max(rows, 1) * sizeof(Line), zeroed=False)
        self._lines_memory, self.lines = pages, <Line *> pages.at
        self.leaves_max = rows * LEAVES_NUMERATOR // LEAF + 1
        self.directory_count = 2 * self.leaves_max
        pages = Pages(self.directory_count * sizeof(Leaf))
        self._leaves_memory, self.leaves = pages, <Leaf *> pages.at
        self.leaf = self.leaves
        pages = Pages(self.leaves_max * LEAF * sizeof(uint32_t), zeroed=False)
        self._places_memory, self.places = pages, <uint32_t *> pages.at

    def __dealloc__(self):
        free(self.heap)

    @property
    def nbytes(self):
        """Bytes held, whatever the length of the answers."""
        return (
            self.rows * sizeof(Line)
            + self.directory_count * sizeof(Leaf)
            + self.leaves_count * LEAF * sizeof(uint32_t)
            + (self.slots_count * sizeof(uint64_t) if self.slots != NULL else 0)
            + self.heap_room
        )

    cdef inline void _read(
        self, const int32_t[::1] offsets, const uint8_t[::1] data, Py_ssize_t i, Head *head,
        Key *out,
    ) noexcept nogil:
        out.tail = 0
        if offsets[i + 1] > offsets[i]:
            key_of(&data[offsets[i]], offsets[i + 1] - offsets[i], self.secret, head, out)

    cdef inline uint64_t _hash(self, const Key *key) noexcept nogil:
        """A keyed hash of an id; few of own form are ever asked for theirs."""
        if key.tail & IS_TEXT:
            return key.word
        return <uint64_t> 0xD6E8FEB86659FD93 * fold(
            key.word ^ self.secret, <uint64_t> 0x9E3779B97F4A7C15 ^ key.tail
        )

    cdef inline uint64_t _home(self, uint64_t hash) noexcept nogil:
        return <uint64_t> ((<uint128> hash * self.slots_count) >> 64)

    cdef inline bint _has(
        self, uint32_t row, const Key *key, const uint8_t *text, uint32_t length
    ) noexcept nogil:
        """True where the line of this row is found by the id."""
        cdef const Line *line = &self.lines[row]
        cdef const uint8_t *stored
        cdef uint32_t size
        if line.tail != key.tail:
            return False
        if not key.tail & IS_TEXT:
            return line.word == key.word
        stored = self.heap + line.word
        memcpy(&size, stored, sizeof(size))
        return size == length and memcmp(stored + sizeof(size), text, length) == 0

    cdef inline uint32_t *_place(self, const Key *key) noexcept nogil:
        """The place of an id of own form; NULL where it has no leaf. The leaf is remembered."""
        cdef uint64_t batch = batch_of(key), number = number_of(key)
        cdef Leaf *leaf = self.leaf
        cdef uint64_t hash
        if leaf.at == NULL or leaf.batch != batch or leaf.number != number >> LEAF_BITS:
            hash = fold(batch ^ self.secret, number >> LEAF_BITS ^ <uint64_t> 0x9E3779B97F4A7C15)
            hash *= <uint64_t> 0xD6E8FEB86659FD93
            leaf = &self.leaves[<uint64_t> ((<uint128> hash * self.directory_count) >> 64)]
            while leaf.at != NULL and not (
                leaf.batch == batch and leaf.number == number >> LEAF_BITS
            ):
                leaf += 1
                if leaf == self.leaves + self.directory_count:
                    leaf = self.leaves
            self.leaf = leaf
            if leaf.at == NULL:
                return NULL
        return &leaf.at[number & (LEAF - 1)]

    cdef inline uint32_t *_take_place(self, const Key *key) noexcept nogil:
        """The same, with a new leaf where there is room for one. Once there is none there never is
        again: so all lines of a leaf have their places there, or none has."""
        cdef uint32_t *place
        if key.tail == 0 or key.tail & IS_TEXT:
            return NULL
        place = self._place(key)
        if place == NULL and self.leaves_count < self.leaves_max:
            # The search ended at the empty slot of the directory where the leaf belongs.
            self.leaf.batch = batch_of(key)
            self.leaf.number = <uint32_t> (number_of(key) >> LEAF_BITS)
            self.leaf.at = self.places + self.leaves_count * LEAF
            memset(self.leaf.at, 0, LEAF * sizeof(uint32_t))
            self.leaves_count += 1
            place = self._place(key)
        return place

    cdef inline uint64_t *_slot(
        self, const Key *key, const uint8_t *text, uint32_t length
    ) noexcept nogil:
        """The slot of an id, or the empty one where it would stand."""
        cdef uint64_t hash = self._hash(key), at = self._home(hash), slot = self.slots[at]
        while slot != 0 and not (
            slot >> 32 == <uint32_t> hash and self._has(row_of(slot), key, text, length)
        ):
            at += 1
            if at == self.slots_count:
                at = 0
            slot = self.slots[at]
        return &self.slots[at]

    cdef inline uint32_t _row(
        self, const Key *key, const uint8_t *text, uint32_t length
    ) noexcept nogil:
        """The row of the line that is found by an id, or NO_ROW."""
        cdef uint32_t *place = NULL if key.tail & IS_TEXT else self._place(key)
        cdef uint64_t slot
        if place != NULL:
            return place[0] - 1 if place[0] else NO_ROW
        if self.slots == NULL:
            return NO_ROW
        slot = self._slot(key, text, length)[0]
        return row_of(slot) if slot else NO_ROW

    cdef inline void _ask(self, const Key *key, const uint32_t *place) noexcept nogil:
        """Have fetched what says where the line of an id is, in its place or a slot."""
        if place != NULL:
            prefetch(place)
        elif self.slots != NULL:
            prefetch(&self.slots[self._home(self._hash(key))])

    cdef int _make_slots(self) except -1 with gil:
        cdef Pages pages = Pages(self.slots_count * sizeof(uint64_t))
        self._slots_memory, self.slots = pages, <uint64_t *> pages.at
        return 0

    cdef int _keep(self, const uint8_t *text, uint32_t length) except -1 nogil:
        """Put a text behind the others of the heap."""
        self.heap = <uint8_t *> grown(
            self.heap, &self.heap_room, self.heap_used + sizeof(length) + length
        )
        memcpy(self.heap + self.heap_used, &length, sizeof(length))
        memcpy(self.heap + self.heap_used + sizeof(length), text, length)
        self.heap_used += sizeof(length) + length
        return 0

    def expect(
        self, const int32_t[::1] offsets, const uint8_t[::1] data,
        const int32_t[::1] account_offsets, const uint8_t[::1] account_data,
        const int64_t[::1] amount, const int64_t[::1] at, uint32_t[::1] first,
    ):
        """Take in a chunk of lines. offsets, data: transfer ids; account_offsets, account_data:
        creditor accounts; '' where there is none; at: microseconds since 1970. first u32 receives
        the row of the first line with the same id (its own row where that is the line itself),
        NO_ROW where there is no id."""
        cdef Py_ssize_t i, n = amount.shape[0]
        cdef uint32_t row, length
        cdef const uint8_t *text
        cdef Key keys[BLOCK]
        cdef Head head = no_head()
        cdef uint32_t *places[BLOCK]
        cdef Key *key
        cdef Line *line
        assert offsets.shape[0] == account_offsets.shape[0] == n + 1
        assert at.shape[0] == first.shape[0] == n
        if self.count + n > self.rows:
            raise ValueError("more lines than were announced")
        with nogil:
            for i in range(min(<Py_ssize_t> BLOCK, n)):
                self._read(offsets, data, i, &head, &keys[i])
                places[i] = self._take_place(&keys[i])
                self._ask(&keys[i], places[i])
            for i in range(n):
                row = <uint32_t> (self.count + i)
                key, line = &keys[i % BLOCK], &self.lines[row]
                line.amount, line.day, line.tail = amount[i], day_of(at[i]), 0
                length = account_offsets[i + 1] - account_offsets[i]
                line.account = account_word(
                    &account_data[account_offsets[i]], length, self.secret
                ) if length else 0
                first[i] = NO_ROW
                if key.tail != 0:
                    text, length = &data[offsets[i]], offsets[i + 1] - offsets[i]
                    first[i] = self._stand(key, places[i % BLOCK], text, length, row)
                    if first[i] == row:
                        line.tail = key.tail
                        line.word = self.heap_used if key.tail & IS_TEXT else key.word
                        if key.tail & IS_TEXT:
                            self._keep(text, length)
                if i + BLOCK < n:
                    self._read(offsets, data, i + BLOCK, &head, key)
                    places[i % BLOCK] = self._take_place(key)
                    self._ask(key, places[i % BLOCK])
        self.count += n

    cdef inline uint32_t _stand(
        self, const Key *key, uint32_t *place, const uint8_t *text, uint32_t length, uint32_t row
    ) except? NO_ROW nogil:
        """The row of the line that stands for an id: from now on this one, where there is none."""
        cdef uint64_t *slot
        if place != NULL:
            if place[0] == 0:
                place[0] = row + 1
            return place[0] - 1
        if self.slots == NULL:
            self._make_slots()
        slot = self._slot(key, text, length)
        if slot[0] == 0:
            slot[0] = self._hash(key) << 32 | (row + 1)
        return row_of(slot[0])

    def answer(
        self, const int32_t[::1] offsets, const uint8_t[::1] data,
        const int32_t[::1] account_offsets, const uint8_t[::1] account_data,
        const int64_t[::1] amount, const int64_t[::1] at, const uint8_t[::1] plain,
        uint32_t row, int32_t days, int32_t refusal_days, uint32_t[::1] claim,
        uint8_t[::1] clean, uint32_t[::1] ousted,
    ):
        """Hold a chunk of answers, the first of which has the number row, against the lines.

        plain u8: 1 where the answer says "paid" and no more, 2 where it says "refused", else 0.
        claim u32, by line: the answer that claims it; NO_ROW; CROWDED.
        clean u8 receives 1 where line and answer are matched: the same id, amount and account
        (where the answer has one), plain, at most days (refused: refusal_days) apart, and neither
        has been claimed. Else the line is CROWDED; ousted u32 receives the answer that had claimed
        the line before and is not clean any more, or NO_ROW.

        Answers mostly come in the order of the lines: the next few behind the line of the last one
        are tried before an id is looked up.
        """
        cdef Py_ssize_t i, k, start, end = 0, n = amount.shape[0]
        cdef uint32_t near = 0, step, length
        cdef const uint8_t *text
        cdef Key keys[BLOCK]
        cdef Head head = no_head()
        cdef uint32_t rows[BLOCK]
        cdef const uint32_t *claims = &claim[0] if claim.shape[0] else NULL
        assert offsets.shape[0] == account_offsets.shape[0] == n + 1
        assert at.shape[0] == plain.shape[0] == clean.shape[0] == ousted.shape[0] == n
        assert <uint64_t> claim.shape[0] == self.count
        if row + n > ROWS_MAX:
            raise ValueError(f"at most {ROWS_MAX} records are reconciled at a time")
        with nogil:
            while end < n:
                start, end = end, min(end + BLOCK, n)
                for i in range(start, end):
                    k = i - start
                    self._read(offsets, data, i, &head, &keys[k])
                    rows[k] = NO_ROW
                    if keys[k].tail == 0:
                        continue
                    text, length = &data[offsets[i]], offsets[i + 1] - offsets[i]
                    for step in range(near, <uint32_t> min(near + <uint64_t> NEAR, self.count)):
                        if self._has(step, &keys[k], text, length):
                            rows[k], near = step, step + 1
                            break
                    else:
                        self._ask(
                            &keys[k], NULL if keys[k].tail & IS_TEXT else self._place(&keys[k])
                        )
                for k in range(end - start):
                    if rows[k] == NO_ROW and keys[k].tail != 0:
                        self._ask_line(&keys[k], claims)
                for i in range(start, end):
                    k = i - start
                    if rows[k] == NO_ROW and keys[k].tail != 0:
                        rows[k] = self._row(
                            &keys[k], &data[offsets[i]], offsets[i + 1] - offsets[i]
                        )
                        if rows[k] != NO_ROW and i + 1 == end:
                            near = rows[k] + 1
                    clean[i], ousted[i] = 0, NO_ROW
                    if rows[k] == NO_ROW:
                        continue
                    if claim[rows[k]] == NO_ROW:
                        length = account_offsets[i + 1] - account_offsets[i]
                        clean[i] = self._settles(
                            &self.lines[rows[k]], &account_data[account_offsets[i]] if length
                            else NULL, length, amount[i], at[i],
                            plain[i], days if plain[i] == 1 else refusal_days,
                        )
                    elif claim[rows[k]] != CROWD:
                        ousted[i] = claim[rows[k]]
                    claim[rows[k]] = row + <uint32_t> i if clean[i] else CROWD

    cdef inline void _ask_line(self, const Key *key, const uint32_t *claim) noexcept nogil:
        """Have fetched the line that an id leads to, most likely, and its claim."""
        cdef uint32_t *place = NULL if key.tail & IS_TEXT else self._place(key)
        cdef uint32_t row = NO_ROW
        cdef uint64_t slot
        if place != NULL:
            row = place[0] - 1 if place[0] else NO_ROW
        elif self.slots != NULL:
            slot = self.slots[self._home(self._hash(key))]
            row = row_of(slot) if slot else NO_ROW
        if row != NO_ROW:
            prefetch(&self.lines[row])
            prefetch(&claim[row])

    cdef inline bint _settles(
        self, const Line *line, const uint8_t *account, uint32_t length, int64_t amount,
        int64_t at, uint8_t plain, int64_t days,
    ) noexcept nogil:
        """True where an answer leaves nothing to be said about the line. account: NULL for none."""
        cdef int64_t apart = <int64_t> day_of(at) - line.day
        return (
            plain != 0 and -days <= apart <= days
            and fits(line.amount, line.account, amount, account, length, self.secret)
        )

    def tell(self, const uint32_t[::1] claim, uint8_t[::1] state):
        """Compare claims with lines. state u8 receives 0 where an answer claims the line alone, 1
        where none has its id, 2 where it is CROWDED."""
        cdef Py_ssize_t i, n = claim.shape[0]
        assert state.shape[0] == n
        with nogil:
            for i in range(n):
                state[i] = (claim[i] >= CROWD) + (claim[i] == CROWD)

    def spell(
        self, const int64_t[::1] rows, uint8_t[::1] known, uint8_t[::1] ids,
        int32_t[::1] account_offsets, uint8_t[::1] accounts, int64_t[::1] amounts,
    ):
        """Write transfer ids, accounts and amounts of lines again. known u8[n] receives 1 where
        the first two are known to the letter, for the id is of own form and the account of at most
        17 digits. Of these, one behind the other: ids 26 bytes each; account_offsets i32[n + 1] and
        accounts, which has room for 17 bytes each and 17 more; amounts. Returns their count."""
        cdef Py_ssize_t i, n = rows.shape[0], found = 0, used = 0
        cdef Line *line
        cdef Key key
        assert known.shape[0] == amounts.shape[0] == n and account_offsets.shape[0] == n + 1
        assert ids.shape[0] == n * ID_BYTES
        assert accounts.shape[0] == (n + 1) * PACKED_DIGITS_MAX
        account_offsets[0] = 0
        with nogil:
            for i in range(n):
                line = &self.lines[rows[i]]
                known[i] = (
                    line.tail != 0 and not line.tail & IS_TEXT
                    and line.account != 0 and not line.account & REFERENCE
                )
                if known[i]:
                    key.word, key.tail = line.word, line.tail
                    write_id(&key, &ids[found * ID_BYTES])
                    used += account_text(line.account, NULL, &accounts[used])
                    amounts[found] = line.amount
                    found += 1
                    account_offsets[found] = <int32_t> used
        return found


cdef void *grown(void *at, size_t *room, size_t wanted) except NULL nogil:
    """Memory of at least wanted bytes with the old content, room its new size."""
    if at != NULL and wanted <= room[0]:
        return at
    wanted = max(wanted, room[0] + room[0] // 2, <size_t> 64)
    at = realloc(at, wanted)
    if at == NULL:
        with gil:
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
