"""Screening: every line gets one reason or none, and the receiver its account belongs to.

Phases authenticate and route. IN, a chunk of lines as columns: line amounts (int64, minor units),
person ids (uint64, 2**64-1 where the text was no id), name keys, codes of benefit, debtor account
and, where the table names one, creditor agent. OUT: reason u8 (1 to 14, 18, 21 or 22, 0 alive), row
u32, participant u16, account word u64. The rules and their order are the contract's;
reference.py in the tests is the slow twin.
"""

import numpy as np

from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from switch.native.account cimport IN_TABLE, REFERENCE
from switch.native.reason cimport *
from switch.native.people_table cimport PeopleTable, fetch_ahead, find_from
from switch.native.types cimport (
    DECEASED, HAS_ACCOUNT, HAS_SINCE, KNOWN, LISTED, NO_CODE, NO_ROW, NOT_GIVEN, STATUS_SHIFT,
    TWICE, UNANSWERED, USED, Account, Person, prefetch,
)

cdef enum:
    BLOCK = 8               # lines that go through a step together
    FETCHED = 4             # blocks between the prefetch of a person and the judgement
    FOUND = 2               # blocks between the search for a person and the judgement
    RING = 8                # blocks under way: more than FETCHED, a power of two
    MALFORMED = 0xFFFD      # creditor agent of a line whose account is none
    LIST_END = 40           # bytes from an entry of a list into the one behind it

cdef extern from *:
    """
    #define SW_ID_LIMIT 1000000000000ULL
    """
    const uint64_t ID_LIMIT "SW_ID_LIMIT"     # the first number that is no id of 12 digits

cdef packed struct Since:
    uint32_t row
    int32_t day


# What the rules of one value date read. Kernels take a copy into their frame: stores to the output
# columns could otherwise alias every field, and each would be loaded again for every line.
cdef struct Rules:
    Person *slots
    uint64_t capacity
    const Since *since
    Py_ssize_t since_count
    const Account *lists
    Py_ssize_t lists_count
    const uint16_t *participant_of      # register's code -> directory's index or NO_CODE
    const uint64_t *ceiling             # register's code -> what may be sent there, 0 for nothing
    const uint8_t *suspended            # by directory index
    const int64_t *amount_max           # by directory index
    int64_t clearing_limit
    int32_t value_day


# The columns of a chunk. agent is NULL where the table names none.
cdef struct Lines:
    const int64_t *amount
    const uint64_t *person_id
    const uint64_t *name_key
    const uint16_t *benefit
    const uint16_t *debtor
    const uint16_t *agent
    uint8_t *reason
    uint32_t *row
    uint16_t *participant
    uint64_t *account
    Py_ssize_t first            # place of the first of them in the chunk


cdef class Screen:
    """Registers and directory as of one value date. Borrows its arrays; holds no line."""

    cdef PeopleTable people
    cdef object _keep
    cdef Rules rules

    def __init__(
        self, PeopleTable people not None, const uint8_t[::1] since, const uint8_t[::1] lists,
        const uint16_t[::1] participant_of, const uint8_t[::1] suspended,
        const int64_t[::1] amount_max, int64_t clearing_limit, int32_t value_day,
    ):
        """since: (row u32, day i32) records in order of row; lists: Account records in order of
        row; participant_of u16, suspended u8, amount_max i64 as lookups.
        value_day: days since 1970-01-01."""
        assert since.shape[0] % sizeof(Since) == 0 and lists.shape[0] % sizeof(Account) == 0
        assert suspended.shape[0] == amount_max.shape[0]
        self.people = people
        # One more for the empty slot, which is read like any other before it is told apart.
        cdef uint64_t[::1] ceiling = np.zeros(participant_of.shape[0] + 1, np.uint64)
        cdef uint16_t[::1] code_of = np.append(participant_of, np.uint16(NO_CODE))
        for i in range(participant_of.shape[0]):
            code = participant_of[i]
            if code != NO_CODE and not suspended[code]:
                ceiling[i] = max(min(amount_max[code], clearing_limit), 0)
        self._keep = (since, lists, code_of, suspended, amount_max, ceiling)
        self.rules.slots = people.slots
        self.rules.capacity = people.capacity
        self.rules.since_count = since.shape[0] // sizeof(Since)
        self.rules.since = <const Since *> &since[0] if since.shape[0] else NULL
        self.rules.lists_count = lists.shape[0] // sizeof(Account)
        self.rules.lists = <const Account *> &lists[0] if lists.shape[0] else NULL
        self.rules.participant_of = &code_of[0]
        self.rules.ceiling = &ceiling[0]
        self.rules.suspended = &suspended[0] if suspended.shape[0] else NULL
        self.rules.amount_max = &amount_max[0] if amount_max.shape[0] else NULL
        self.rules.clearing_limit = clearing_limit
        self.rules.value_day = value_day

    def lines(
        self, const int64_t[::1] amount, const uint64_t[::1] person_id,
        const uint64_t[::1] name_key, const uint16_t[::1] benefit, const uint16_t[::1] debtor,
        const uint16_t[::1] agent, uint8_t[::1] reason, uint32_t[::1] row,
        uint16_t[::1] participant, uint64_t[::1] account, Py_ssize_t first,
    ):
        """Screen lines first, first + 1, ... of a chunk.

        agent: directory index, NO_CODE (named but unknown), NOT_GIVEN, or MALFORMED (its account
        is none); None where the table names no agents. All columns have the length of amount.
        """
        cdef Py_ssize_t n = amount.shape[0]
        assert person_id.shape[0] == name_key.shape[0] == benefit.shape[0] == debtor.shape[0] == n
        assert reason.shape[0] == row.shape[0] == participant.shape[0] == account.shape[0] == n
        assert agent is None or agent.shape[0] == n
        cdef Lines lines
        if n == 0:
            return
        lines.amount = &amount[0]
        lines.person_id = &person_id[0]
        lines.name_key = &name_key[0]
        lines.benefit = &benefit[0]
        lines.debtor = &debtor[0]
        lines.agent = NULL
        if agent is not None:
            lines.agent = &agent[0]
        lines.reason = &reason[0]
        lines.row = &row[0]
        lines.participant = &participant[0]
        lines.account = &account[0]
        lines.first = first
        with nogil:
            walk_lines(self.rules, lines, n)


cdef inline bint in_force(const Rules *rules, const Person *person) noexcept nogil:
    """True where a status other than alive holds on the value date."""
    cdef Py_ssize_t low = 0, high = rules.since_count, middle
    if not person.word & HAS_SINCE:
        return True
    while low < high:
        middle = (low + high) // 2
        if rules.since[middle].row < person.row:
            low = middle + 1
        else:
            high = middle
    return (
        low == rules.since_count or rules.since[low].row != person.row
        or rules.since[low].day <= rules.value_day
    )


cdef inline const Account *listed_account(const Rules *rules, const Person *person) noexcept nogil:
    """The first account of a listed person that is valid on the value date, or NULL."""
    cdef Py_ssize_t at = <Py_ssize_t> person.account
    while at < rules.lists_count and rules.lists[at].row == person.row:
        if rules.lists[at].valid_from <= rules.value_day <= rules.lists[at].valid_to:
            return &rules.lists[at]
        at += 1
    return NULL


cdef inline uint8_t judge_person(
    const Rules *rules, const Person *person, uint64_t name_key
) noexcept nogil:
    cdef int life
    if person.word & KNOWN == 0:
        return PERSON_UNKNOWN
    life = (person.word >> STATUS_SHIFT) & 3
    if life and in_force(rules, person):
        if life == DECEASED:
            return PERSON_DECEASED
        if person.word & UNANSWERED:
            return IDENTITY_PENDING
        return IDENTITY_DUPLICATE if person.word & TWICE else PERSON_RECORD_INVALID
    if person.name_key != name_key:
        return NAME_DIFFERS
    return NONE


cdef inline uint8_t route(
    const Rules *rules, const Person *person, int64_t amount, uint16_t agent, Py_ssize_t line,
    uint16_t *participant, uint64_t *account,
) noexcept nogil:
    cdef uint16_t code
    cdef const Account *entry
    if agent == MALFORMED:
        return ACCOUNT_MALFORMED
    if agent != NOT_GIVEN:
        code = agent
        account[0] = REFERENCE | IN_TABLE | <uint64_t> line
    else:
        if person.word & HAS_ACCOUNT == 0:
            return ACCOUNT_MISSING
        if person.word & LISTED:
            entry = listed_account(rules, person)
            if entry == NULL:
                return ACCOUNT_MISSING
            code = rules.participant_of[entry.participant]
            account[0] = entry.account
        elif person.valid_from != 0 and person.valid_from > rules.value_day:
            return ACCOUNT_MISSING
        else:
            code = rules.participant_of[person.participant]
            account[0] = person.account
    participant[0] = code
    if code == NO_CODE:
        return PARTICIPANT_UNKNOWN
    if rules.suspended[code]:
        return PARTICIPANT_SUSPENDED
    if amount > rules.amount_max[code]:
        return AMOUNT_OVER_PARTICIPANT_LIMIT
    return NONE


cdef inline bint is_plain(
    const Rules *rules, const Lines *lines, Py_ssize_t i, const Person *person
) noexcept nogil:
    """True where a line breaks no rule and its person, known and alive, has one account, for any
    day from valid_from on; as nearly all do. The others are judged rule by rule."""
    cdef uint64_t key = lines.name_key[i]
    if (
        person.name_key != key or key == 0 or rules.value_day < person.valid_from
        or <uint64_t> lines.amount[i] - 1 >= rules.ceiling[person.participant]
        or lines.benefit[i] == NO_CODE or lines.debtor[i] == NO_CODE
        or (lines.agent != NULL and lines.agent[i] != NOT_GIVEN)
    ):
        return False
    # One in five has a list of accounts, which nobody foretells: this is no branch.
    return person.word == lines.person_id[i] | USED | KNOWN | HAS_ACCOUNT


cdef inline uint8_t judge_line(
    const Rules *rules, const Lines *lines, Py_ssize_t i, const Person *person
) noexcept nogil:
    cdef bint formed = lines.person_id[i] < ID_LIMIT
    cdef int64_t amount = lines.amount[i]
    cdef uint8_t verdict
    lines.row[i] = person.row if formed and person.word else NO_ROW
    lines.participant[i] = NO_CODE
    lines.account[i] = 0
    if amount <= 0:
        return AMOUNT_NOT_POSITIVE
    if amount > rules.clearing_limit:
        return AMOUNT_OVER_CLEARING_LIMIT
    if lines.benefit[i] == NO_CODE:
        return BENEFIT_UNKNOWN
    if lines.debtor[i] == NO_CODE:
        return DEBTOR_ACCOUNT_UNKNOWN
    if not formed:
        return PERSON_ID_MALFORMED
    if lines.name_key[i] == 0:
        return NAME_UNUSABLE
    verdict = judge_person(rules, person, lines.name_key[i])
    if verdict:
        return verdict
    return route(
        rules, person, amount, NOT_GIVEN if lines.agent == NULL else lines.agent[i],
        lines.first + i, &lines.participant[i], &lines.account[i],
    )


cdef inline void fetch_block(
    const Rules *rules, const Lines *lines, Person **who, Py_ssize_t start, Py_ssize_t end,
) noexcept nogil:
    """Ask for the records of lines start to end - 1."""
    cdef Py_ssize_t i
    for i in range(start, end):
        who[i - start] = fetch_ahead(rules.slots, rules.capacity, lines.person_id[i])


cdef inline void find_block(
    const Rules *rules, const Lines *lines, Person **who, Py_ssize_t start, Py_ssize_t end,
) noexcept nogil:
    """The records of lines start to end - 1, empty where nobody has the id; asks for the accounts
    of those who have a list."""
    cdef Py_ssize_t i
    cdef Person *person
    cdef const uint8_t *entry
    cdef uint64_t listed
    for i in range(start, end):
        person = find_from(rules.slots, rules.capacity, who[i - start], lines.person_id[i])
        who[i - start] = person
        # All bits or none: without a branch, and people without a list ask for the first entry.
        listed = -<uint64_t> ((person.word & LISTED) != 0)
        entry = <const uint8_t *> &rules.lists[person.account & listed]
        prefetch(entry)
        prefetch(entry + LIST_END)


cdef inline void judge_block(
    const Rules *rules, const Lines *lines, Person **who, Py_ssize_t start, Py_ssize_t end,
) noexcept nogil:
    cdef const Person *person
    cdef Py_ssize_t odd[BLOCK]      # lines of the block that are not plain
    cdef Py_ssize_t i, j, odds = 0
    for i in range(start, end):
        person = who[i - start]
        lines.reason[i] = NONE
        lines.row[i] = person.row
        lines.participant[i] = rules.participant_of[person.participant]
        lines.account[i] = person.account
        odd[odds] = i
        odds += not is_plain(rules, lines, i, person)
    for j in range(odds):
        i = odd[j]
        lines.reason[i] = judge_line(rules, lines, i, who[i - start])


cdef void walk_lines(Rules rules, Lines lines, Py_ssize_t n) noexcept nogil:
    """Three steps a block, some blocks apart, so that what a step reads is in the cache by then."""
    cdef Person *who[RING][BLOCK]
    cdef Py_ssize_t block, at
    for block in range(-FETCHED, (n + BLOCK - 1) // BLOCK):
        at = (block + FETCHED) * BLOCK
        fetch_block(&rules, &lines, who[(block + FETCHED) & (RING - 1)], at, min(at + BLOCK, n))
        at = (block + FOUND) * BLOCK
        if at >= 0:
            find_block(&rules, &lines, who[(block + FOUND) & (RING - 1)], at, min(at + BLOCK, n))
        at = block * BLOCK
        if at >= 0:
            judge_block(&rules, &lines, who[block & (RING - 1)], at, min(at + BLOCK, n))
