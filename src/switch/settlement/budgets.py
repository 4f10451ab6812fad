"""Budgets: what batches reserve of their programmes' money, what is used up, and what comes back.

IN: lines as they are answered. OUT: three sums a run, kept in its manifest, from which everything
else follows:

    reserved    by programme: the table's own lines that cleared or wait
    cleared     by batch and programme: lines that cleared in this run, own ones and older
    released    by batch and programme: lines of older batches that waited and were refused

A line reserves its amount when its batch is taken in, keeps it while it waits, and uses it up when
the cycle settles in which it clears. A line that a recast or an abort sends back waits again, on
what it reserved. One that its receiver refuses before settlement releases it, and so does one that
is cancelled while it waits, or expires, or came back and was disposed of: its re-issue reserves
anew.
"""

from __future__ import annotations

from typing import NamedTuple, TypeVar

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from switch.errors import InputRefused
from switch.files.columns import Columns
from switch.files.file_schemas import is_held
from switch.home.history import (
    SETTLED,
    folders,
    left_lines,
    moved_lines,
    recasts,
    went_back,
)
from switch.home.store import Home
from switch.reason import Reason
from switch.registry.directory import Directory
from switch.results import BatchBudget, BudgetUse, Funding, ProgrammeBudget
from switch.settlement import accounts

K = TypeVar("K")
ByBatch = dict[tuple[int, str], int]
"""Money by (number of the batch a line came in, programme)."""


class Stand(NamedTuple):
    """A batch's part of a programme's budget: consumed and released are parts of reserved."""

    reserved: int = 0
    consumed: int = 0
    released: int = 0

    @property
    def remaining(self) -> int:
        """Stands of lines that wait, or whose cycle has not settled."""
        return self.reserved - self.consumed - self.released

    def told(self) -> BudgetUse:
        return {
            "reserved": self.reserved,
            "consumed": self.consumed,
            "released": self.released,
            "remaining": self.remaining,
        }

    def plus(self, other: Stand) -> Stand:
        return Stand(*(a + b for a, b in zip(self, other, strict=True)))


class Use:
    """The three sums of one run, as its lines are answered. seq: number of its batch."""

    def __init__(self, seq: int) -> None:
        self.seq = seq
        self.reserved: dict[str, int] = {}
        self.cleared: ByBatch = {}
        self.released: ByBatch = {}

    def own(self, benefits: list[str], sums: list[int]) -> None:
        """Count own lines of the table that cleared at once. sums: minor units by programme."""
        for benefit, amount in zip(benefits, sums, strict=True):
            if amount:
                add(self.reserved, benefit, amount)
                add(self.cleared, (self.seq, benefit), amount)

    def wait(self, raw: Columns, reason: NDArray[np.uint8]) -> None:
        """A chunk of the table's own lines, of which some wait."""
        batch = np.full(len(reason), self.seq)
        for (_, benefit), amount in _sums(batch, raw, is_held(reason)).items():
            add(self.reserved, benefit, amount)

    def move(self, batch: NDArray[np.integer], raw: Columns, reason: NDArray[np.uint8]) -> None:
        """A chunk of lines that waited, and what became of them."""
        cleared = reason == Reason.NONE
        for key, amount in _sums(batch, raw, cleared).items():
            add(self.cleared, key, amount)
        for key, amount in _sums(batch, raw, ~cleared & ~is_held(reason)).items():
            if key[0] == self.seq:
                add(self.reserved, key[1], -amount)  # It was never accepted.
            else:
                add(self.released, key, amount)

    def to_dict(self) -> dict[str, object]:
        """As the manifest has it; nothing that is zero."""
        return {
            "reserved": {name: sum_ for name, sum_ in sorted(self.reserved.items()) if sum_},
            "cleared": [[*key, sum_] for key, sum_ in sorted(self.cleared.items())],
            "released": [[*key, sum_] for key, sum_ in sorted(self.released.items())],
        }


def add(sums: dict[K, int], key: K, amount: int) -> None:
    sums[key] = sums.get(key, 0) + amount


def _sums(batch: NDArray[np.integer], raw: Columns, mine: NDArray[np.bool_]) -> ByBatch:
    """Amounts of the chosen lines of a chunk; none of theirs passes AMOUNT_MAX, so that the sum of
    a chunk fits in 64 bits."""
    chosen = np.flatnonzero(mine)
    if not len(chosen):
        return {}
    columns = {
        "batch": pa.array(batch[chosen].astype(np.int64)),
        # As the table has it: the programme may be gone by now.
        "benefit": raw["benefit"].take(chosen).rows().cast(pa.string()),
        "amount": pa.array(raw["amount"][chosen]),
    }
    return summed(pa.table(columns))


def summed(lines: pa.Table) -> ByBatch:
    """Amounts of a table of lines by batch and benefit."""
    grouped = lines.group_by(["batch", "benefit"]).aggregate([("amount", "sum")])
    return {(row["batch"], row["benefit"]): row["amount_sum"] for row in grouped.to_pylist()}


def budgets(directory: Directory) -> dict[str, int]:
    """By programme: the sum of what its debtor accounts state; who states none adds nothing, and a
    programme for which none does has no limit."""
    found: dict[str, int] = {}
    for debtor in directory.debtors:
        if debtor.budget is not None:
            add(found, debtor.programme, debtor.budget)
    return found


def require_programmes(directory: Directory) -> None:
    """Every budget is one of a programme that is there."""
    known = {programme.benefit for programme in directory.programmes}
    for row, debtor in enumerate(directory.debtors, start=1):
        if debtor.budget is not None and debtor.programme not in known:
            raise InputRefused(
                "DIRECTORY_INVALID",
                f"a budget of {debtor.programme!r}, which is no programme",
                file="debtor directory",
                row=row,
                column="programme",
                remedy="name a benefit of the programme table, or leave the budget out",
            )


def standing(home: Home) -> dict[tuple[int, str], Stand]:
    """Stands of every batch and programme, in order."""
    found: dict[tuple[int, str], Stand] = {}
    settled: set[int] = set()

    def enter(key: tuple[int, str], **part: int) -> None:
        found[key] = found.get(key, Stand()).plus(Stand(**part))

    sent_back = recasts(home)
    aborted = {recast.cycle for recast in sent_back if recast.aborted}
    fundings = home.catalog.fundings()
    for run in home.catalog.batches():
        use = msgspec.json.decode(fundings[run.seq])
        for benefit, amount in use["reserved"].items():
            enter((run.seq, benefit), reserved=amount)
        if run.state in SETTLED and run.cycle not in aborted:
            settled.add(run.seq)
            for batch, benefit, amount in use["cleared"]:
                enter((batch, benefit), consumed=amount)
        for batch, benefit, amount in use["released"]:
            enter((batch, benefit), released=amount)
    for recast in sent_back:
        # Of an aborted cycle nothing was used up in the first place.
        for key, amount in ({} if recast.aborted else summed(went_back(home, recast))).items():
            enter(key, consumed=-amount)
    for key, amount in summed(left_lines(home)).items():
        enter(key, released=amount)
    for folder in folders(home):
        refused, disposed = (moved_lines(home, folder, name) for name in ("refused", "disposed"))
        # A line that its receiver refused stands in what its cycle has used up since.
        used = pc.is_in(refused["cleared_in"], pa.array(sorted(settled), pa.uint32()))
        for key, amount in summed(pa.concat_tables([refused, disposed])).items():
            enter(key, released=amount)
        for key, amount in summed(pa.concat_tables([refused.filter(used), disposed])).items():
            enter(key, consumed=-amount)
    return dict(sorted(found.items()))


def by_programme(stands: dict[tuple[int, str], Stand]) -> dict[str, Stand]:
    found: dict[str, Stand] = {}
    for (_, benefit), stand in stands.items():
        found[benefit] = found.get(benefit, Stand()).plus(stand)
    return dict(sorted(found.items()))


def told(home: Home, directory: Directory) -> list[ProgrammeBudget]:
    """For people: every programme with a budget, or with money reserved. available: of the budget,
    None where there is none; below zero where it was lowered since."""
    stands, limits = by_programme(standing(home)), budgets(directory)
    rows: list[ProgrammeBudget] = []
    for benefit in sorted(stands.keys() | limits.keys()):
        stand, budget = stands.get(benefit, Stand()), limits.get(benefit)
        left = None if budget is None else budget - stand.reserved + stand.released
        rows.append({"programme": benefit, "budget": budget, **stand.told(), "available": left})
    return rows


def told_of_batch(home: Home, seq: int) -> Funding:
    """For people: what a batch has of budgets by programme, and the money that was set aside for it
    at the State Bank (S.RESERVE)."""
    stands: list[BatchBudget] = [
        {"programme": benefit, **stand.told()}
        for (batch, benefit), stand in standing(home).items()
        if batch == seq
    ]
    account = accounts.reserve(seq)
    sums = {"reserved": 0, "consumed": 0, "released": 0}
    for row in home.catalog.postings_on(account):
        back = "consumed" if row.step == accounts.SETTLE else "released"
        sums[back if row.debit == account else "reserved"] += row.amount
    return {"budgets": stands, "reserve": Stand(**sums).told()}


def require_within(home: Home, limits: dict[str, int], use: Use, file: str) -> None:
    """No programme of the table has more reserved than its budget, with what this run releases."""
    stands = by_programme(standing(home))
    freed: dict[str, int] = {}
    for (_, benefit), amount in use.released.items():
        add(freed, benefit, amount)
    beyond = []
    for benefit, needed in sorted(use.reserved.items()):
        if benefit not in limits or not needed:
            continue
        stand, budget = stands.get(benefit, Stand()), limits[benefit]
        left = budget - stand.reserved + stand.released + freed.get(benefit, 0)
        if needed > left:
            beyond.append(f"{benefit} needs {needed:,} and has {left:,} left of {budget:,}")
    if beyond:
        what = f"the table is beyond the budget of its programmes: {'; '.join(beyond)}"
        remedy = "raise the budget with `switch directory --debtors`, or send fewer lines"
        raise InputRefused("BUDGET_EXCEEDED", what, file=file, column="amount", remedy=remedy)
