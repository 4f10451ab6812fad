"""The people table: one fused 32-byte record a person, found by id in about one cache miss.

Phases authenticate and route (the register's side of them). `text_before` says which account of a
person counts first. A person keeps the dense row number that it was given first, whatever happens
to the table later: paid bits are numbered by it. The slots are the file format too
(docs/formats.md): opening a home is one sequential read.
"""

from libc.stdint cimport int32_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy

from switch.native.account cimport REFERENCE, account_pack, account_text
from switch.native.pages cimport Pages
from switch.native.types cimport (
    DAY_MAX, DAY_MIN, DUPLICATE, HAS_ACCOUNT, HAS_SINCE, KNOWN, LATE, LISTED, NO_ROW, REVOKED,
    STATUS_SHIFT, TWICE, UNANSWERED, UNKNOWN, USED,
)

cdef enum:
    AHEAD = 24              # lines between a prefetch and its use
    SLOTS_NUMERATOR = 5     # slots a person: 5/3, a load of 0.6 (measured: 0.75 probes 1.3 times
    SLOTS_DENOMINATOR = 3   # as long, 0.5 is no faster)
    SLOTS_MIN = 64
    ROWS_MAX = 0xFFFFFFF0
    ACCOUNTS_PER_PERSON_MAX = 255


cdef class PeopleTable:
    """People by id. count: rows given so far (people, and strangers seen in other registers)."""

    def __cinit__(self, uint64_t people=0):
        self.count = 0
        self._allocate(people)

    cdef int _allocate(self, uint64_t people) except -1:
        cdef Pages pages
        self.capacity = max(people * SLOTS_NUMERATOR // SLOTS_DENOMINATOR + 1, SLOTS_MIN)
        pages = Pages(self.capacity * sizeof(Person))
        self._memory = pages
        self.slots = <Person *> pages.at
        return 0

    @property
    def nbytes(self):
        """Bytes of the slots."""
        return self.capacity * sizeof(Person)

    def memory(self):
        """The slots as writable bytes, for reading and writing the file."""
        return memoryview(self._memory)

    @staticmethod
    def of_memory(Pages pages not None, uint64_t count):
        """The table whose slots were read into pages. Refuses sizes that cannot be a table."""
        cdef PeopleTable table = PeopleTable.__new__(PeopleTable, 0)
        if pages.size % sizeof(Person) or count > pages.size // sizeof(Person):
            raise ValueError("the file's size is not that of a people table")
        table._memory = pages
        table.slots = <Person *> pages.at
        table.capacity = pages.size // sizeof(Person)
        table.count = count
        return table

    @staticmethod
    def of_file(const uint8_t[::1] slots not None, uint64_t count=0):
        """The table whose slots stand in a file that is mapped: for `records` alone; or, where
        count says how many rows are given, in memory of which a part was filled: for the people
        of that part alone."""
        cdef PeopleTable table = PeopleTable.__new__(PeopleTable, 0)
        if slots.shape[0] == 0 or slots.shape[0] % sizeof(Person):
            raise ValueError("the file's size is not that of a people table")
        table._memory = slots
        table.slots = <Person *> &slots[0]
        table.capacity = slots.shape[0] // sizeof(Person)
        table.count = count
        return table

    cpdef int reserve(self, uint64_t people) except -1:
        """Room for people rows in all; the records move, the row numbers stay."""
        cdef PeopleTable wider
        cdef uint64_t at
        cdef Person *to
        if people > ROWS_MAX:
            raise ValueError(f"a register holds at most {ROWS_MAX} people")
        if people * SLOTS_NUMERATOR // SLOTS_DENOMINATOR < self.capacity:
            return 0
        if self.count:
            people = max(people, self.count + self.count // 2)
        wider = PeopleTable(people)
        with nogil:
            for at in range(self.capacity):
                if self.slots[at].word:
                    to = find(wider.slots, wider.capacity, self.slots[at].word & ID_MASK)
                    to[0] = self.slots[at]
        self._memory = wider._memory
        self.slots = wider.slots
        self.capacity = wider.capacity
        return 0

    def rows(self, const uint64_t[::1] ids, uint32_t[::1] rows, bint add):
        """Fill rows with the row number of every id (all below 10**12); NO_ROW for a stranger
        unless add, which gives strangers the next numbers."""
        cdef Py_ssize_t i, n = ids.shape[0]
        cdef Py_ssize_t strangers = 0
        cdef Person *person
        assert rows.shape[0] == n
        with nogil:
            for i in range(n):
                if i + AHEAD < n:
                    fetch_ahead(self.slots, self.capacity, ids[i + AHEAD])
                person = find(self.slots, self.capacity, ids[i])
                rows[i] = person.row if person.word else NO_ROW
                strangers += person.word == 0
        if not add or strangers == 0:
            return
        self.reserve(self.count + strangers)
        with nogil:
            for i in range(n):
                if rows[i] == NO_ROW:
                    person = find(self.slots, self.capacity, ids[i])
                    if person.word == 0:
                        person.word = ids[i] | USED
                        person.row = <uint32_t> self.count
                        self.count += 1
                    rows[i] = person.row

    def records(self, const uint64_t[::1] ids, uint8_t[::1] found):
        """Fill found, 32 bytes an id, with the record of every id (all below 10**12), which is
        empty for a stranger."""
        cdef Py_ssize_t i, n = ids.shape[0]
        cdef Person *out
        assert found.shape[0] == n * <Py_ssize_t> sizeof(Person)
        if n == 0:
            return
        out = <Person *> &found[0]
        with nogil:
            for i in range(n):
                if i + AHEAD < n:
                    fetch_ahead(self.slots, self.capacity, ids[i + AHEAD])
                out[i] = find(self.slots, self.capacity, ids[i])[0]

    def put_records(self, const uint8_t[::1] records, uint64_t count):
        """Put whole records in place of those of their ids, or beside them; empty ones are passed
        over. count: rows given then. Raises ValueError where they do not come to so many."""
        cdef Py_ssize_t i, n = records.shape[0] // sizeof(Person)
        cdef uint64_t added = 0
        cdef bint sound = True
        cdef const Person *given
        cdef Person *person
        assert records.shape[0] % sizeof(Person) == 0
        if not self.count <= count < self.capacity:
            sound = False
        elif n:
            given = <const Person *> &records[0]
            with nogil:
                for i in range(n):
                    if given[i].word == 0:
                        continue
                    person = find(self.slots, self.capacity, given[i].word & ID_MASK)
                    added += person.word == 0
                    sound = given[i].row < count and (
                        person.word == 0 or person.row == given[i].row
                    )
                    if not sound or self.count + added > count:
                        break
                    person[0] = given[i]
        if not sound or self.count + added != count:
            raise ValueError("records of people are damaged: they are not so many, or rows moved")
        self.count = count

    def put_people(
        self, const uint64_t[::1] ids, const uint64_t[::1] keys, const uint8_t[::1] status,
        const uint8_t[::1] dated, uint32_t[::1] rows,
    ):
        """Insert or replace people. status: 0 alive, 1 deceased, 2 missing, 3 revoked, 4 late,
        5 a duplicate identity, 6 not in the population register, whoever was there before; dated: 1
        where the status begins on a day of the since list. rows receives the row numbers."""
        cdef Py_ssize_t i, n = ids.shape[0]
        cdef uint64_t kept, life
        cdef Person *person
        assert keys.shape[0] == status.shape[0] == dated.shape[0] == n
        self.rows(ids, rows, True)
        with nogil:
            for i in range(n):
                if i + AHEAD < n:
                    fetch_ahead(self.slots, self.capacity, ids[i + AHEAD])
                person = find(self.slots, self.capacity, ids[i])
                kept = person.word & (HAS_ACCOUNT | LISTED)
                if status[i] == UNKNOWN:
                    person.word = ids[i] | USED | kept
                    person.name_key = 0
                    continue
                life = <uint64_t> status[i] << STATUS_SHIFT
                if status[i] == LATE:
                    life = (<uint64_t> REVOKED << STATUS_SHIFT) | UNANSWERED
                elif status[i] == DUPLICATE:
                    life = (<uint64_t> REVOKED << STATUS_SHIFT) | TWICE
                person.word = (
                    ids[i] | USED | KNOWN | kept | life | (HAS_SINCE if dated[i] else 0)
                )
                person.name_key = keys[i]

    def forget_people(self):
        """Nobody is in the population register any more; rows and accounts stay."""
        cdef uint64_t at
        with nogil:
            for at in range(self.capacity):
                if self.slots[at].word:
                    self.slots[at].word &= ID_MASK | USED | HAS_ACCOUNT | LISTED
                    self.slots[at].name_key = 0

    def put_accounts(
        self, const uint32_t[::1] starts, const uint8_t[::1] accounts,
        const uint32_t[::1] list_starts,
    ):
        """Set everyone's inline account. starts u32[count + 1]: a row's accounts are
        accounts[starts[row]:starts[row + 1]], the first that counts first. list_starts u32[count]:
        where a row's accounts begin in the list of those for whom it depends on the day which
        account counts. The inline account never ends, and only a sole one has a beginning."""
        cdef const Account *entries = NULL
        cdef uint64_t at
        cdef uint32_t first, last
        cdef Person *person
        assert starts.shape[0] == <Py_ssize_t> self.count + 1
        assert list_starts.shape[0] == <Py_ssize_t> self.count
        assert starts[self.count] * sizeof(Account) == <size_t> accounts.shape[0]
        if accounts.shape[0]:
            entries = <const Account *> &accounts[0]
        with nogil:
            for at in range(self.capacity):
                person = &self.slots[at]
                if person.word == 0:
                    continue
                person.word &= ~(HAS_ACCOUNT | LISTED)
                person.account = 0
                person.participant = 0
                person.valid_from = 0
                first = starts[person.row]
                last = starts[person.row + 1]
                if first == last:
                    continue
                person.word |= HAS_ACCOUNT
                if entries[first].valid_to != DAY_MAX or (
                    entries[first].valid_from != DAY_MIN
                    and (last - first > 1 or not 0 < entries[first].valid_from < 0xFFFF)
                ):
                    person.word |= LISTED
                    person.account = list_starts[person.row]
                    continue
                person.account = entries[first].account
                person.participant = entries[first].participant
                if entries[first].valid_from != DAY_MIN:
                    person.valid_from = <uint16_t> entries[first].valid_from

    def ids(self, uint64_t[::1] out):
        """Fill out u64[count] with the id of every row."""
        cdef uint64_t at
        assert <uint64_t> out.shape[0] == self.count
        with nogil:
            for at in range(self.capacity):
                if self.slots[at].word:
                    out[self.slots[at].row] = self.slots[at].word & ID_MASK

    def audit(self):
        """Check what probing relies on: every row once, every record reachable.

        Returns (people in the population register, people with accounts, people who are late).
        """
        cdef uint64_t at, people = 0, holders = 0, late = 0, used = 0
        cdef bint sound = True
        cdef Pages seen = Pages(self.count + 1)
        with nogil:
            for at in range(self.capacity):
                if self.slots[at].word == 0:
                    continue
                used += 1
                if (
                    self.slots[at].row >= self.count or seen.at[self.slots[at].row]
                    or find(self.slots, self.capacity, self.slots[at].word & ID_MASK)
                    != &self.slots[at]
                ):
                    sound = False
                    break
                seen.at[self.slots[at].row] = 1
                people += (self.slots[at].word & KNOWN) != 0
                holders += (self.slots[at].word & HAS_ACCOUNT) != 0
                late += (self.slots[at].word & UNANSWERED) != 0
        if not sound or used != self.count:
            raise ValueError("the people table is damaged: a row stands twice or out of reach")
        return people, holders, late


cdef inline bint text_before(
    const Account *a, const Account *b, const uint8_t *heap, const uint16_t *rank
) noexcept nogil:
    """Order of a person's accounts: priority, valid_from, participant, account as text."""
    cdef uint8_t left[256]
    cdef uint8_t right[256]
    cdef Py_ssize_t m, n, i
    if a.priority != b.priority:
        return a.priority < b.priority
    if a.valid_from != b.valid_from:
        return a.valid_from < b.valid_from
    if a.participant != b.participant:
        return rank[a.participant] < rank[b.participant]
    m = account_text(a.account, heap, left)
    n = account_text(b.account, heap, right)
    for i in range(min(m, n)):
        if left[i] != right[i]:
            return left[i] < right[i]
    return m < n


cdef inline bint same_account(
    const Account *a, const Account *b, const uint8_t *heap
) noexcept nogil:
    """True where two entries of one person are one account (key: participant, account)."""
    cdef uint8_t left[256]
    cdef uint8_t right[256]
    cdef Py_ssize_t m, n, i
    if a.participant != b.participant:
        return False
    if a.account == b.account:
        return True
    if not (a.account & REFERENCE and b.account & REFERENCE):
        return False
    m = account_text(a.account, heap, left)
    n = account_text(b.account, heap, right)
    if m != n:
        return False
    for i in range(m):
        if left[i] != right[i]:
            return False
    return True


def order_accounts(
    const uint8_t[::1] given, uint64_t people, const uint16_t[::1] rank,
    const uint8_t[::1] heap, uint8_t[::1] ordered, uint32_t[::1] starts,
):
    """Group account entries by row, drop all but the last of equal key, order each person's.

    given, ordered: Account records; starts u32[people + 1]. rank u16: place of each participant
    code in text order. Returns the number of entries kept at the front of ordered.
    """
    cdef Py_ssize_t n = given.shape[0] // sizeof(Account)
    cdef Py_ssize_t i, j, k
    cdef uint32_t row, first, last, kept, write = 0
    cdef const Account *source = NULL
    cdef Account *target = NULL
    cdef const uint8_t *heap_at = &heap[0] if heap.shape[0] else NULL
    cdef const uint16_t *rank_at = &rank[0] if rank.shape[0] else NULL
    cdef Account entry
    cdef bint again, crowded = False
    assert ordered.shape[0] == given.shape[0]
    assert <uint64_t> starts.shape[0] == people + 1
    starts[:] = 0
    if n == 0:
        return 0
    if n > 0xFFFFFFF0:
        raise ValueError("too many accounts")
    source = <const Account *> &given[0]
    target = <Account *> &ordered[0]
    with nogil:
        # A counting sort by row keeps the order in which entries came; then each person's few.
        for i in range(n):
            starts[source[i].row] += 1
        first = 0
        for i in range(<Py_ssize_t> people):
            last = starts[i]
            starts[i] = first
            first += last
        starts[people] = first
        for i in range(n):
            row = source[i].row
            target[starts[row]] = source[i]
            starts[row] += 1
        first = 0
        for i in range(<Py_ssize_t> people):
            last = starts[i]        # now the end of row i
            kept = write
            if last - first > ACCOUNTS_PER_PERSON_MAX:
                crowded = True
                break
            for j in range(first, last):
                entry = target[j]
                again = False
                for k in range(kept, write):
                    if same_account(&target[k], &entry, heap_at):
                        # The later entry takes the place of the earlier; order comes after.
                        target[k] = entry
                        again = True
                        break
                if not again:
                    target[write] = entry
                    write += 1
            for j in range(kept + 1, write):
                entry = target[j]
                k = j
                while k > kept and text_before(&entry, &target[k - 1], heap_at, rank_at):
                    target[k] = target[k - 1]
                    k -= 1
                target[k] = entry
            first = last
            starts[i] = kept
        starts[people] = write
    if crowded:
        raise ValueError(f"a person has more than {ACCOUNTS_PER_PERSON_MAX} accounts")
    return write


def spans_of(
    const uint8_t[::1] accounts, const uint32_t[::1] rows, uint32_t[::1] first, uint32_t[::1] last,
):
    """Fill first and last with where the accounts of each row begin and end. accounts: Account
    records in order of row; rows: ascending. Looked for from the row before on, in steps that
    double, so that few rows read little of a long file."""
    cdef Py_ssize_t i, n = accounts.shape[0] // sizeof(Account)
    cdef Py_ssize_t low = 0, high, middle, step
    cdef const Account *entries = NULL
    assert rows.shape[0] == first.shape[0] == last.shape[0]
    if n:
        entries = <const Account *> &accounts[0]
    with nogil:
        for i in range(rows.shape[0]):
            step = 1
            high = low
            while high < n and entries[high].row < rows[i]:
                low = high + 1
                high += step
                step *= 2
            high = min(high, n)
            while low < high:
                middle = (low + high) // 2
                if entries[middle].row < rows[i]:
                    low = middle + 1
                else:
                    high = middle
            first[i] = <uint32_t> low
            while high < n and entries[high].row == rows[i]:
                high += 1
            last[i] = <uint32_t> high


def pack_accounts(
    const int32_t[::1] offsets, const uint8_t[::1] data, uint64_t[::1] words,
    uint8_t[::1] heap, uint64_t heap_start,
):
    """Account words of an Arrow string array. Texts that are not digits go to heap (room for all
    of them), whose first byte has the offset heap_start in the register's heap.

    Returns (heap bytes written, index of the first text that is empty or longer than 255 bytes,
    or -1).
    """
    cdef Py_ssize_t i, length, n = words.shape[0]
    cdef uint64_t used = 0
    cdef const uint8_t *text
    assert offsets.shape[0] >= n + 1
    for i in range(n):
        length = offsets[i + 1] - offsets[i]
        if length < 1 or length > 255:
            return used, i
        text = &data[offsets[i]]
        words[i] = account_pack(text, length)
        if words[i] & REFERENCE:
            assert used + length + 1 <= <uint64_t> heap.shape[0]
            words[i] = REFERENCE | (heap_start + used)
            heap[used] = <uint8_t> length
            memcpy(&heap[used + 1], text, length)
            used += length + 1
    return used, -1
