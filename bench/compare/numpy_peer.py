"""The job in numpy: a hash table of people built and probed in vector steps, an optimistic pass.

People stand in a table of 32-byte rows (id, name key, row and receiver), open addressing, filled
and probed by whole blocks: a block that misses goes on to the next slot with what is left of it.
Of each block the lines that are plainly right are found by six comparisons; every rule in full is
asked only of the others. The first line of a person is found by writing line numbers backwards
over an array by person; only people with several lines are sorted. Blocks of 2**16 lines keep
temporaries in the cache; with more threads they share the blocks, for numpy lets go of the GIL.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from . import columns as c
from .job import DUPLICATE, NO_CODE, NOT_GIVEN, PAID_BEFORE, Answer, Job, Peer, engine_columns
from .later import Later

BLOCK = 1 << 16
MIX = np.uint64(0x9E3779B97F4A7C15)
ROW_MASK = np.uint64(0xFFFF_FFFF)


class PeopleTable:
    """Open addressing over rows of four uint64: id, key, row | participant << 32, unused."""

    def __init__(self, ids: Any) -> None:
        bits = max(int(np.ceil(np.log2(max(len(ids), 1) * 1.9))), 4)
        self.shift = np.uint64(64 - bits)
        self.slots = np.zeros(((1 << bits) + 64, 4), np.uint64)
        self.slots[:, 1] = c.NO_NAME
        self.slot_of = np.empty(len(ids), np.int64)
        for start in range(0, len(ids), 1 << 20):
            self._add(ids[start : start + (1 << 20)], start)

    def home(self, ids: Any) -> Any:
        return ((ids * MIX) >> self.shift).view(np.int64)

    def _add(self, ids: Any, first: int) -> None:
        left, at = np.arange(len(ids)), self.home(ids)
        slots = self.slots[:, 0]
        # An id of 0 would look like an empty slot; those of the generator are above it.
        while len(left):
            free = slots[at] == 0
            slots[at[free]] = ids[left[free]]
            own = slots[at] == ids[left]
            self.slot_of[first + left[own]] = at[own]
            left, at = left[~own], at[~own] + 1
            if len(at) and at.max() >= len(slots):
                raise ValueError("the last run of the table is full")

    def find(self, ids: Any, out: Any) -> Any:
        """Rows of the table for ids: theirs, or an empty one."""
        at = self.home(ids)
        rows = self.slots.take(at, axis=0, out=out[: len(ids)], mode="clip")
        miss = np.flatnonzero((rows[:, 0] != ids) & (rows[:, 0] != 0))
        at = at[miss]
        while len(miss):
            at += 1
            there = self.slots[at]
            rows[miss] = there
            on = (there[:, 0] != ids[miss]) & (there[:, 0] != 0)
            miss, at = miss[on], at[on]
        return rows

    def rows(self, ids: Any) -> Any:
        """int64 rows of ids, -1 for strangers."""
        out, room = np.empty(len(ids), np.int64), np.empty((BLOCK, 4), np.uint64)
        for start in range(0, len(ids), BLOCK):
            part = ids[start : start + BLOCK]
            found = self.find(part, room)
            row = (found[:, 2] & ROW_MASK).astype(np.int64)
            out[start : start + BLOCK] = np.where(found[:, 0] == part, row, -1)
        return out


class ToolPeer(Peer):
    name = "numpy"

    def __init__(self, job: Job, threads: int) -> None:
        super().__init__(job, threads)
        self.limits = c.limit_lookup(job)
        self.pool = ThreadPoolExecutor(threads) if threads > 1 else None
        self.lines: dict[str, Any] = {}
        self.result: dict[str, Any] = {}

    @staticmethod
    def version() -> str:
        return np.__version__

    def load_register(self, form: str) -> None:
        def table_of(people: c.People) -> Any:
            self.table = PeopleTable(people.ids)
            self.table.slots[self.table.slot_of, 2] = np.arange(len(people.ids), dtype=np.uint64)
            return self.table.rows

        people = self.people = c.load_people(self.job, form, self.threads, table_of)
        self.later = Later(self.job)
        slot_of = self.table.slot_of
        clean = c.clean_people(self.job, people)
        self.table.slots[slot_of, 1] = np.where(clean, people.key, c.NO_NAME)
        packed = people.participant.astype(np.uint64) << np.uint64(32)
        self.table.slots[slot_of, 2] |= packed
        del self.table.slot_of, packed
        self._load_paid()
        self.first = np.empty(len(people.ids), np.int32)

    def _load_paid(self) -> None:
        """Bits by (benefit, month) and row of the register."""
        ids, benefit, month = c.load_paid(self.job, self.threads)
        keys = benefit.astype(np.int32) * c.MONTHS + month
        distinct, at = np.unique(keys, return_inverse=True)
        self.paid_of = np.zeros(len(self.job.benefits) * c.MONTHS, np.int64)
        self.words = (len(self.people.ids) + 63) // 64
        bits = np.zeros((len(distinct) + 1, self.words), np.uint64)
        row = self.table.rows(ids)
        for i in range(len(distinct)):
            self.paid_of[distinct[i]] = (i + 1) * self.words
            rows = row[(at == i) & (row >= 0)]
            flags = np.zeros(self.words * 64, bool)
            flags[rows] = True
            bits[i + 1] = np.packbits(flags, bitorder="little").view(np.uint64)
        self.paid = bits.reshape(-1)

    def load_lines(self, form: str) -> None:
        self.lines = engine_columns(self.job, keys=form == "memory")

    def prepare(self, form: str, out: Path) -> None:
        self.result = {}
        if form == "files":
            self.lines = {}

    def screen(self, form: str) -> None:
        lines = self.lines
        key = lines["name_key"] if form == "memory" else c.name_codes(lines, self.people)
        self._screen(lines, key)

    def _screen(self, lines: dict[str, Any], key: Any) -> None:
        count, size = len(key), len(self.job.participants)
        result = {
            "reason": np.zeros(count, np.uint8),
            "row": np.empty(count, np.uint32),
            "participant": np.empty(count, np.uint16),
            "went": {},
        }
        starts = range(0, count, BLOCK)
        if self.pool is None:
            parts = [self._blocks(lines, key, result, starts)]
        else:
            shares = [starts[i :: self.threads] for i in range(self.threads)]
            parts = list(self.pool.map(lambda s: self._blocks(lines, key, result, s), shares))
        pair_count = sum(p[0] for p in parts)
        pair_sum = sum(p[1] for p in parts)
        again = self._duplicates(lines, result)
        if len(again):
            result["reason"][again] = DUPLICATE
            pair = self._pairs(lines["debtor"][again], result["participant"][again])
            np.subtract.at(pair_count, pair, 1)
            np.subtract.at(pair_sum, pair, lines["amount"][again])
        result["pair_count"] = pair_count.reshape(size, size)
        result["pair_sum"] = pair_sum.reshape(size, size)
        self.result = result

    def _pairs(self, debtor: Any, participant: Any) -> Any:
        agents = self.job.debtor_agent.astype(np.int64) * len(self.job.participants)
        return agents[debtor] + participant

    def _blocks(
        self, lines: dict[str, Any], key: Any, result: dict[str, Any], starts: Any
    ) -> tuple[Any, Any]:
        """Screen the blocks that begin at starts; (count, sum) of what lives, by pair."""
        size = len(self.job.participants) ** 2
        pair_count, pair_sum = np.zeros(size, np.int64), np.zeros(size, np.int64)
        room = np.empty((BLOCK, 4), np.uint64)
        agents = np.append(self.job.debtor_agent, 0).astype(np.int64) * len(self.job.participants)
        for start in starts:
            part = slice(start, start + BLOCK)
            ids, amount, wanted = lines["person_id"][part], lines["amount"][part], key[part]
            benefit, debtor = lines["benefit"][part], lines["debtor"][part]
            agent = lines["agent"][part]
            found = self.table.find(ids, room)
            row, participant = result["row"][part], result["participant"][part]
            halves = found[:, 2].astype("<u8").view("<u4").reshape(-1, 2)
            row[:] = halves[:, 0]
            participant[:] = halves[:, 1]
            right = found[:, 1] == wanted
            right &= amount > 0
            right &= amount <= self.limits[participant]
            right &= benefit != NO_CODE
            right &= debtor != NO_CODE
            right &= agent == NOT_GIVEN
            reason = result["reason"][part]
            odd = np.flatnonzero(~right)
            if len(odd):
                who = row[odd]
                reason[odd], participant[odd] = c.first_reason(
                    self.job,
                    ids[odd],
                    wanted[odd],
                    amount[odd],
                    benefit[odd],
                    debtor[odd],
                    agent[odd],
                    found[odd, 0] == ids[odd],
                    self.people.life[who],
                    self.people.key[who],
                    participant[odd],
                    self.limits,
                )
                self._to_later(start, odd, (ids, amount, agent, reason, participant), result)
            live = np.flatnonzero(reason == 0)
            paid = self._paid(benefit[live], lines["month"][part][live], row[live])
            if paid.any():
                reason[live[paid]] = PAID_BEFORE
                live = live[~paid]
            pair = agents[debtor[live]] + participant[live]
            pair_count += np.bincount(pair, minlength=size)
            # Exact: no sum of a block reaches 2**53.
            sums = np.bincount(pair, weights=amount[live], minlength=size)
            pair_sum += sums.astype(np.int64)
        return pair_count, pair_sum

    def _to_later(self, start: int, odd: Any, columns: Any, result: dict[str, Any]) -> None:
        """Let odd lines of a block go to later accounts. columns: of the block."""
        ids, amount, agent, reason, participant = columns
        why, who = reason[odd], participant[odd]
        part = ids[odd], amount[odd], agent[odd]
        self.later.apply(result["went"], start + odd, *part, why, who)
        reason[odd], participant[odd] = why, who

    def _paid(self, benefit: Any, month: Any, row: Any) -> Any:
        at = self.paid_of[benefit.astype(np.int32) * c.MONTHS + month]
        at += row >> np.uint32(6)
        word = self.paid[at]
        return (word >> (row & np.uint32(63)).astype(np.uint64)) & np.uint64(1) != 0

    def _duplicates(self, lines: dict[str, Any], result: dict[str, Any]) -> Any:
        """Living lines whose entitlement an earlier living line has."""
        live = np.flatnonzero(result["reason"] == 0).astype(np.int32)
        rows = result["row"][live]
        # Written from the last line to the first: each person's first line is what stays.
        self.first[rows[::-1]] = live[::-1]
        first = self.first[rows]
        later = np.flatnonzero(first != live)
        if len(later) == 0:
            return later
        some = np.unique(np.concatenate([live[later], first[later]]))
        key = result["row"][some].astype(np.uint64) << np.uint64(32)
        key |= lines["benefit"][some].astype(np.uint64) << np.uint64(16)
        key |= lines["month"][some].astype(np.uint64)
        order = np.argsort(key, kind="stable")
        again = key[order][1:] == key[order][:-1]
        return some[order[1:][again]]

    def run_files(self, out: Path) -> None:
        self.lines = c.read_lines(self.job, self.people, self.threads)
        self._screen(self.lines, c.name_codes(self.lines, self.people))
        c.write_files(self.job, self.people, self.lines, self.result, out, self.threads)

    def answer(self, *, cleared: bool) -> Answer:
        return c.answer_of(self.job, self.people, self.lines, self.result, cleared=cleared)
