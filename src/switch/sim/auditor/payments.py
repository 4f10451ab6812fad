"""Payments of a home: every line that was ever taken in, its batch and its states.

Of the engine it imports `schema`, `reason` and `errors` alone. Amounts are whole dong.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Collection, Mapping

from switch.sim.auditor.expected import Expected, Line, Owed, Ran, Ruled, Table, Waiting
from switch.sim.auditor.screening import Entitlement, entitlement

WRITTEN_BACK, REISSUED = "WRITTEN_BACK", "REISSUED"
RELEASED = ("RJCT", "CANC", WRITTEN_BACK, REISSUED)
"""States of lines that take nothing of a budget any more."""


class Payments:
    """Lines by (number of their batch, line number)."""

    def __init__(self) -> None:
        self.batches: dict[int, Ran] = {}
        """Batches by number."""
        self.cleared: set[Entitlement] = set()
        self.waiting: list[Waiting] = []
        """Held lines, oldest first."""
        self.status: dict[Line, str] = {}
        """Present status of every line, or what was decided about it."""
        self.told: dict[Line, tuple[str, ...]] = {}
        """All statuses of a line until it was answered, oldest first."""
        self.sent: dict[Line, Owed] = {}
        """Lines as they were sent last; those that a recast or an abort took back are not there."""
        self.stopped: dict[Line, dt.datetime] = {}
        """Lines that were recalled before their cycle settled, with the time of that."""
        self.cancelled: dict[tuple[Line, ...], str] = {}
        """Words in which lines were cancelled while they waited."""
        self.since: dict[Line, dt.date] = {}
        """Days since which lines wait, or waited last."""
        self._amounts: dict[Line, tuple[str, int]] = {}
        """(benefit, amount)."""
        self._cleared_as: dict[Line, tuple[str, str]] = {}
        """(status when it cleared, cycle)."""

    def number_of(self, table: Table) -> int | None:
        """Number of the batch that a table of this name became; None where there is none."""
        name = table.source, table.batch_id
        return next((seq for seq, ran in self.batches.items() if ran.name == name), None)

    def by_id(self, transfer_id: str) -> Owed:
        """The line that was sent by this id, or one of those that were."""
        return next(owed for owed in self.sent.values() if owed.named == transfer_id)

    def heads(self) -> dict[str, int]:
        """Numbers of batches by the beginning of their transfer ids."""
        return {ran.head: seq for seq, ran in self.batches.items()}

    def run_of(self, owed: Owed) -> Ran:
        """The batch in which a line cleared."""
        return self.batches[owed.cleared_in]

    def add(self, table: Table, expected: Expected, day: dt.date) -> None:
        """Add a batch of a business day, and what it did to older lines."""
        seq = expected.seq
        head = f"{table.value_date:%Y%m%d}-{seq:06d}"
        name = table.source, table.batch_id
        self.batches[seq] = Ran(name, table.content, table.declared, head, expected.cycle, day)
        for owed in expected.owed:
            key = entitlement(owed.entry.row)
            assert key not in self.cleared, f"{key} would be paid twice"
            self.cleared.add(key)
            self.sent[owed.line] = owed
        for row in table.rows:
            self._amounts[seq, row["line_no"]] = row["benefit"], row["amount"]
        for outcome in expected.outcomes:
            line = outcome.line
            assert self.status.get(line) in (None, "PDNG"), "a line left a terminal state"
            self.status[line] = outcome.status
            self.told[line] = (*self.told.get(line, ()), outcome.status)
            if outcome.cycle is not None:
                self._cleared_as[line] = outcome.status, outcome.cycle
        for outcome in expected.own:
            self.since[outcome.line] = day
        self.waiting = list(expected.held)

    def settle(self, cycles: Collection[str]) -> None:
        """Lines that cleared in these cycles, which have settled, are settled with them."""
        for line, (status, cycle) in self._cleared_as.items():
            if status == "ACSP" and cycle in cycles and self.status[line] == "ACSP":
                self.status[line] = "ACSC"
                self.told[line] += ("ACSC",)

    def take_back(self, gone: Collection[Owed], day: dt.date) -> dict[str, list[tuple[str, int]]]:
        """Let lines that cleared wait again from a day on, oldest first, and free their
        entitlements. Returns (transfer id, amount) of the lines that each receiver must not
        credit."""
        recall: dict[str, list[tuple[str, int]]] = {}
        for owed in sorted(gone, key=lambda owed: owed.line):
            line = owed.line
            self.free(owed)
            self.status[line] = "PDNG"
            self.since[line] = day
            self.told[line] += ("PDNG",)
            del self._cleared_as[line], self.sent[line]
            told = recall.setdefault(owed.participant, [])
            told += [(owed.named, owed.due)] if (owed.named, owed.due) not in told else []
        if gone:
            self.waiting += [owed.entry for owed in gone]
            self.waiting.sort(key=lambda entry: entry.line)
        return recall

    def cancel(self, lines: Collection[Line], words: str) -> bool | None:
        """Let lines wait no more, for good. Returns true where it is new, None where it must be
        refused: one of them does not wait."""
        chosen = tuple(sorted(set(lines)))
        if self.cancelled.get(chosen) == words:
            return False
        if not chosen or not set(chosen) <= {entry.line for entry in self.waiting}:
            return None
        self.cancelled[chosen] = words
        self.waiting = [entry for entry in self.waiting if entry.line not in chosen]
        for line in chosen:
            self.status[line] = "RJCT"
            self.told[line] += ("RJCT",)
        return True

    def expire(self, rules: Ruled, day: dt.date) -> list[tuple[Line, dt.date]]:
        """Let lines wait no more whose deadline lies before a day. Returns them, oldest first, each
        with its deadline."""
        gone = []
        for entry in self.waiting:
            days = rules.days_held(entry.row["benefit"])
            last = self.since[entry.line] + dt.timedelta(days=days)
            if days and last < day:
                gone.append((entry.line, last))
                self.status[entry.line] = "CANC"
                self.told[entry.line] += ("CANC",)
        lines = {line for line, _ in gone}
        self.waiting = [entry for entry in self.waiting if entry.line not in lines]
        return gone

    def free(self, owed: Owed) -> None:
        """Let the entitlement of a line be paid once more."""
        self.cleared.remove(entitlement(owed.entry.row))

    def taken(self) -> Counter[str]:
        """Sums that lines take of budgets, by programme: all lines that were ever taken in and
        neither refused nor decided about."""
        return _taken(self.status, self._amounts)

    def is_beyond(self, budgets: Counter[str], table: Table, expected: Expected) -> bool:
        """Tell whether a table takes more of a programme than its budget."""
        seq = expected.seq
        amounts = {(seq, row["line_no"]): (row["benefit"], row["amount"]) for row in table.rows}
        states = {outcome.line: outcome.status for outcome in expected.outcomes}
        taken = _taken(self.status | states, self._amounts | amounts)
        mine = {
            row["benefit"]
            for row, outcome in zip(table.rows, expected.own, strict=True)
            if outcome.status not in RELEASED
        }
        return any(taken[benefit] > budgets[benefit] for benefit in mine & set(budgets))


def _taken(status: Mapping[Line, str], amounts: Mapping[Line, tuple[str, int]]) -> Counter[str]:
    found: Counter[str] = Counter()
    for line, state in status.items():
        if state not in RELEASED:
            benefit, amount = amounts[line]
            found[benefit] += amount
    return found
