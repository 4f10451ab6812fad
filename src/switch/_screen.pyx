"""Screening: every line gets one reason or none, and the receiver its account belongs to.

Phases authenticate and route. IN, a chunk of lines as columns: line amounts (int64, minor units),
person ids (uint64, 2**64-1 where the text was no id), name keys, codes of benefit, debtor account
and, where the table names one, creditor agent. OUT: reason u8 (1 to 14, 0 alive), row u32,
participant u16, account word u64. The rules and their order are the contract's; reference.py in
the tests is the slow twin.
"""

import numpy as np

from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from switch._account cimport IN_TABLE, REFERENCE
from switch._reason cimport *
from switch._table cimport PeopleTable, fetch_ahead, find
from switch._types cimport (
    DECEASED, HAS_ACCOUNT, HAS_SINCE, KNOWN, LISTED, NO_CODE, NO_ROW, NOT_GIVEN,
    STATUS_SHIFT, USED, Account, Person, prefetch,
)

cdef enum:
    BLOCK = 32              # lines between the prefetch of a person and its use
    ID_PER_PROVINCE = 1000000000
    PROVINCES = 1000

# Flags of a person of whom nothing needs a second look: known, alive, one account for any day
# from valid_from on.
cdef uint64_t PLAIN = (USED | KNOWN | HAS_ACCOUNT) >> STATUS_SHIFT

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
    const uint8_t *suspended            # by directory index
    const int64_t *amount_max           # by directory index
    const uint8_t *province             # 1 where a province code exists
    const int64_t *ceiling              # by register's code: what may be sent there, -1 for nothing
    int64_t clearing_limit
    int32_t value_day


cdef class Screen:
    """Registers and directory as of one value date. Borrows its arrays; holds no line."""

    cdef PeopleTable people
    cdef object _keep
    cdef Rules rules

    def __init__(
        self, PeopleTable people not None, const uint8_t[::1] since, const uint8_t[::1] lists,
        const uint16_t[::1] participant_of, const uint8_t[::1] suspended,
        const int64_t[::1] amount_max, const uint8_t[::1] province, int64_t clearing_limit,
        int32_t value_day,
    ):
        """since: (row u32, day i32) records in order of row; lists: Account records in order of
        row; participant_of u16, suspended u8, amount_max i64, province u8[1000] as lookups.
        value_day: days since 1970-01-01."""
        assert since.shape[0] % sizeof(Since) == 0 and lists.shape[0] % sizeof(Account) == 0
        assert suspended.shape[0] == amount_max.shape[0] and province.shape[0] == PROVINCES
        self.people = people
        cdef int64_t[::1] ceiling = np.full(participant_of.shape[0] + 1, -1, np.int64)
        for i in range(participant_of.shape[0]):
            code = participant_of[i]
            if code != NO_CODE and not suspended[code]:
                ceiling[i] = min(amount_max[code], clearing_limit)
        self._keep = (since, lists, participant_of, suspended, amount_max, province, ceiling)
        self.rules.ceiling = &ceiling[0]
        self.rules.slots = people.slots
        self.rules.capacity = people.capacity
        self.rules.since_count = since.shape[0] // sizeof(Since)
        self.rules.since = <const Since *> &since[0] if since.shape[0] else NULL
        self.rules.lists_count = lists.shape[0] // sizeof(Account)
        self.rules.lists = <const Account *> &lists[0] if lists.shape[0] else NULL
        self.rules.participant_of = &participant_of[0] if participant_of.shape[0] else NULL
        self.rules.suspended = &suspended[0] if suspended.shape[0] else NULL
        self.rules.amount_max = &amount_max[0] if amount_max.shape[0] else NULL
        self.rules.province = &province[0]
        self.rules.clearing_limit = clearing_limit
        self.rules.value_day = value_day

    def lines(
        self, const int64_t[::1] amount, const uint64_t[::1] person_id,
        const uint64_t[::1] name_key, const uint16_t[::1] benefit, const uint16_t[::1] debtor,
        const uint16_t[::1] agent, uint8_t[::1] reason, uint32_t[::1] row,
        uint16_t[::1] participant, uint64_t[::1] account, Py_ssize_t first,
    ):
        """Screen lines first, first + 1, ... of a chunk.

        agent: directory index, NO_CODE (named but unknown) or NOT_GIVEN; None where the table
        names no agents. All columns have the length of amount.
        """
        cdef Py_ssize_t n = amount.shape[0]
        assert person_id.shape[0] == name_key.shape[0] == benefit.shape[0] == debtor.shape[0] == n
        assert reason.shape[0] == row.shape[0] == participant.shape[0] == account.shape[0] == n
        assert agent is None or agent.shape[0] == n
        if n == 0:
            return
        with nogil:
            walk_lines(
                self.rules, n, &amount[0], &person_id[0], &name_key[0], &benefit[0], &debtor[0],
                NULL if agent is None else &agent[0],
                &reason[0], &row[0], &participant[0], &account[0], first,
            )


cdef inline bint well_formed(const Rules *rules, uint64_t person_id) noexcept nogil:
    return (
        person_id < <uint64_t> PROVINCES * ID_PER_PROVINCE
        and rules.province[person_id // ID_PER_PROVINCE]
    )


cdef inline bint in_force(const Rules *rules, const Person *person) noexcept nogil:
    """Whether a status other than alive holds on the value date."""
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
        return PERSON_DECEASED if life == DECEASED else PERSON_RECORD_INVALID
    if person.name_key != name_key:
        return NAME_DIFFERS
    return NONE


cdef inline uint8_t route(
    const Rules *rules, const Person *person, int64_t amount, uint16_t agent, Py_ssize_t line,
    uint16_t *participant, uint64_t *account,
) noexcept nogil:
    cdef uint16_t code
    cdef const Account *entry
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


cdef inline void find_block(
    const Rules *rules, const Person **who, const uint64_t *person_id, Py_ssize_t count,
    Py_ssize_t left, uint32_t *row,
) noexcept nogil:
    """The records of count ids, while those of the next block are on their way to the cache.

    who: NULL where an id is malformed; an empty record where nobody has it.
    """
    cdef Person *slots = rules.slots
    cdef uint64_t capacity = rules.capacity
    cdef Person *person
    cdef Py_ssize_t i
    for i in range(count):
        if i + BLOCK < left:
            fetch_ahead(slots, capacity, person_id[i + BLOCK])
        person = NULL
        row[i] = NO_ROW
        if well_formed(rules, person_id[i]):
            person = find(slots, capacity, person_id[i])
            if person.word:
                row[i] = person.row
                if person.word & LISTED:
                    prefetch(&rules.lists[person.account])
        who[i] = person


cdef inline bint is_plain(
    const Rules *rules, const Person *person, uint64_t name_key, int64_t amount
) noexcept nogil:
    """Whether a line breaks no rule about its person, account and amount, as nearly all do not;
    the others are judged rule by rule."""
    return (
        person != NULL and person.word >> STATUS_SHIFT == PLAIN
        and person.name_key == name_key and name_key != 0
        and person.valid_from <= rules.value_day
        and 0 < amount <= rules.ceiling[person.participant]
    )


cdef void walk_lines(
    Rules rules, Py_ssize_t n, const int64_t *amount, const uint64_t *person_id,
    const uint64_t *name_key, const uint16_t *benefit, const uint16_t *debtor,
    const uint16_t *agent, uint8_t *reason, uint32_t *row, uint16_t *participant,
    uint64_t *account, Py_ssize_t first,
) noexcept nogil:
    cdef const Person *who[BLOCK]
    cdef const Person *person
    cdef Py_ssize_t i, start = 0, end = 0
    cdef uint8_t verdict
    for i in range(min(BLOCK, n)):
        fetch_ahead(rules.slots, rules.capacity, person_id[i])
    while end < n:
        start = end
        end = min(start + BLOCK, n)
        find_block(&rules, who, &person_id[start], end - start, n - start, &row[start])
        for i in range(start, end):
            person = who[i - start]
            if (
                is_plain(&rules, person, name_key[i], amount[i]) and benefit[i] != NO_CODE
                and debtor[i] != NO_CODE and (agent == NULL or agent[i] == NOT_GIVEN)
            ):
                participant[i] = rules.participant_of[person.participant]
                account[i] = person.account
                reason[i] = NONE
                continue
            participant[i] = NO_CODE
            account[i] = 0
            if amount[i] <= 0:
                verdict = AMOUNT_NOT_POSITIVE
            elif amount[i] > rules.clearing_limit:
                verdict = AMOUNT_OVER_CLEARING_LIMIT
            elif benefit[i] == NO_CODE:
                verdict = BENEFIT_UNKNOWN
            elif debtor[i] == NO_CODE:
                verdict = DEBTOR_ACCOUNT_UNKNOWN
            elif person == NULL:
                verdict = PERSON_ID_MALFORMED
            elif name_key[i] == 0:
                verdict = NAME_UNUSABLE
            else:
                verdict = judge_person(&rules, person, name_key[i])
                if verdict == NONE:
                    verdict = route(
                        &rules, person, amount[i], NOT_GIVEN if agent == NULL else agent[i],
                        first + i, &participant[i], &account[i],
                    )
            reason[i] = verdict
