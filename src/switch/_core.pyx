"""The face of the native core: the state of one batch, and one method a phase.

It owns what lives between the chunks of a batch (sums, paid bits in use) and lends it to the loops
in the rooms behind it: `screen` (authenticate, route), `ledger` (duplicate check, clear, net).
It holds no file, no clock and no line; two cores in one process share nothing.
"""

from concurrent.futures import ThreadPoolExecutor

import numpy as np

from switch.native.ledger import Ledger
from switch.native.screen import Screen

from switch.native.reason cimport COVER_MISSING, NONE

MONTHS = 13200
PART_ROWS_MIN = 4096
WAITING = (np.uint32, np.uint16, np.uint16, np.uint16, np.uint16, np.int64)
"""Fields kept of a line that waits: row, benefit, month, debtor agent, participant, amount."""


class Core:
    """Clears one batch: `screen` and `post` every chunk in table order, then read the sums.

    people, since, lists: the register (`people_table.PeopleTable`; uint8 views of its records).
    participant_of uint16: directory index of the register's participant codes. suspended uint8,
    amount_max int64 (minor units): by directory index. debtor_agent uint16: directory index by
    debtor account, one more for unknown ones. bits_of(benefit, month) -> uint64 pairs: the paid
    bits of a key, asked for when a key first comes.
    """

    def __init__(
        self, people, since, lists, participant_of, suspended, amount_max, debtor_agent,
        int benefits, long long clearing_limit, int value_day, bits_of, int threads=1,
    ):
        cdef Py_ssize_t participants = len(suspended)
        self._screen = Screen(
            people, since, lists, participant_of, suspended, amount_max, clearing_limit, value_day,
        )
        self._debtor_agent = debtor_agent
        self._bits_of = bits_of
        self._bits = {}
        self.pair_sum = np.zeros((participants, participants), np.int64)
        self.pair_count = np.zeros((participants, participants), np.int64)
        self.benefit_sum = np.zeros(benefits, np.int64)
        self.benefit_count = np.zeros(benefits, np.int64)
        self._ledger = Ledger(
            benefits, participants, self.pair_sum.reshape(-1), self.pair_count.reshape(-1),
            self.benefit_sum, self.benefit_count,
        )
        self._waiting = []
        self._threads = threads
        self._pool = ThreadPoolExecutor(threads) if threads > 1 else None

    def screen(
        self, amount, person_id, name_key, benefit, debtor, agent=None,
    ):
        """Authenticate and route one chunk.

        amount int64, person_id uint64 (2**64-1: no id), name_key uint64, benefit uint16, debtor
        uint16, agent uint16 or None. Returns (reason uint8, row uint32, participant uint16,
        account uint64), all of the chunk's length.
        """
        cdef Py_ssize_t n = len(amount)
        reason = np.empty(n, np.uint8)
        row = np.empty(n, np.uint32)
        participant = np.empty(n, np.uint16)
        account = np.empty(n, np.uint64)
        inputs = (amount, person_id, name_key, benefit, debtor)
        outputs = (reason, row, participant, account)

        def part(Py_ssize_t start, Py_ssize_t end):
            self._screen.lines(
                *(column[start:end] for column in inputs),
                None if agent is None else agent[start:end],
                *(column[start:end] for column in outputs),
                start,
            )

        if self._pool is None or n < 2 * PART_ROWS_MIN:
            part(0, n)
        else:
            step = -(-n // self._threads)
            list(self._pool.map(
                part, range(0, n, step), [min(n, at + step) for at in range(0, n, step)]
            ))
        return reason, row, participant, account

    def post(self, reason, row, benefit, month, debtor, participant, amount):
        """Check one chunk for duplicates and post what lives; chunks come in table order.

        Writes the reasons DUPLICATE_IN_TABLE, PAID_BEFORE and, under `limit`, COVER_MISSING.
        Raises OverflowError where a sum leaves 64 bits.
        """
        cdef Py_ssize_t n = len(reason), at = 0
        while at < n:
            at = self._ledger.post(
                reason, row, benefit, month, debtor, self._debtor_agent, participant, amount, at
            )
            if at < n:
                self._use(int(benefit[at]), int(month[at]))
        if self._ledger.limited:
            waits = np.flatnonzero(reason == COVER_MISSING)
            self._keep_waiting(waits, row, benefit, month, debtor, participant, amount)

    def _use(self, int benefit, int month):
        bits = self._bits_of(benefit, month)
        self._ledger.use(benefit * MONTHS + month, bits)
        self._bits[benefit, month] = bits

    def _keep_waiting(self, waits, row, benefit, month, debtor, participant, amount):
        if len(waits):
            agent = self._debtor_agent[debtor[waits]]
            columns = [column[waits] for column in (row, benefit, month)]
            self._waiting.append([*columns, agent, participant[waits], amount[waits]])

    def limit(self, settle, capped, room, priority):
        """Lines wait from now on where the settlement participant that pays has no room.

        settle uint16: directory index of whose account pays. capped uint8, room int64 (minor
        units): by directory index, of settlement participants. priority uint8: class by benefit.
        """
        self.room = room.copy()
        self._settle, self._priority = settle, priority
        self._ledger.limit(settle, capped, self.room, priority, np.empty(len(settle), np.uint8))

    def wait(self, reason, row, benefit, month, debtor, participant, amount):
        """Lines that live join those that wait, without being posted: `release` judges them."""
        alive = np.flatnonzero(reason == NONE)
        for key in np.unique(benefit[alive] * np.uint32(MONTHS) + month[alive]).tolist():
            if (key // MONTHS, key % MONTHS) not in self._bits:
                self._use(key // MONTHS, key % MONTHS)
        self._keep_waiting(alive, row, benefit, month, debtor, participant, amount)

    def release(self):
        """Give room to what waits. Returns the reason (uint8) of each line that waited, in order
        of age: NONE, PAID_BEFORE, or COVER_MISSING for those that go on waiting."""
        parts = [[np.empty(0, kind) for kind in WAITING], *self._waiting]
        columns = [np.concatenate(column) for column in zip(*parts)]
        row, benefit, month, agent, participant, amount = columns
        verdict = np.full(len(row), COVER_MISSING, np.uint8)
        # What moves nothing between settlement accounts waits in no queue but its own.
        moves = self._settle[agent] != self._settle[participant]
        key = (self._priority[benefit].astype(np.int64) << 1 | moves) << 16 | agent
        order = np.argsort(key, kind="stable")
        queues, head = np.unique(key[order], return_index=True)
        end = np.append(head[1:], len(order)).astype(np.int64)[:len(queues)]
        last = {}
        ahead = np.empty(len(queues), np.int64)
        for q, of in enumerate((queues & 0x1FFFF).tolist()):
            ahead[q] = last.get(of, -1)
            if of >> 16:
                last[of] = q
        self._ledger.release(
            verdict, row, benefit, month, agent, participant, amount, order, head.astype(np.int64),
            end, queues >> 17, ahead,
        )
        stay = verdict == COVER_MISSING
        self._waiting = [[column[stay] for column in columns]]
        return verdict

    def waiting(self):
        """(row uint32, benefit uint16, month uint16) of the lines that wait, in order of age."""
        parts = [[np.empty(0, kind) for kind in WAITING[:3]], *(w[:3] for w in self._waiting)]
        return tuple(np.concatenate(column) for column in zip(*parts))

    def tally(self):
        """[(count, sum)] by reason number so far; sums are exact."""
        return self._ledger.tally()

    def seal(self):
        """Let what is cleared so far count as paid before for the lines that follow."""
        for bits in self._bits.values():
            bits[0::2] |= bits[1::2]

    def cleared(self):
        """{(benefit, month): uint64 words} of everyone cleared in this batch, by key."""
        return {key: np.ascontiguousarray(self._bits[key][1::2]) for key in sorted(self._bits)}

    def close(self):
        if self._pool is not None:
            self._pool.shutdown()
