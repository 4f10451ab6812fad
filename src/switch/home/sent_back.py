"""Sent back: sums of lines that recasts and aborts sent back to wait, by the batch they came in."""

from __future__ import annotations

from typing import TypeVar

import msgspec
import pyarrow as pa

from switch.home.history import Recast, recasts, went_back
from switch.home.store import Home
from switch.results import SentBack

K = TypeVar("K")
Pair = tuple[int, int]
"""The batch that lines came in, and the batch whose run cleared them."""
PAIR = ["batch", "cleared_in"]


class Sums(dict[K, tuple[int, int]]):
    """Lines and their dong, by key; what is not there is nothing."""

    def __missing__(self, key: K) -> tuple[int, int]:
        return 0, 0

    def put(self, key: K, count: int, amount: int) -> None:
        self[key] = self[key][0] + count, self[key][1] + amount

    def move(self, other: Sums[K], sign: int) -> None:
        for key, (count, amount) in other.items():
            self.put(key, sign * count, sign * amount)


def by_pair(lines: pa.Table) -> Sums[Pair]:
    """Sums of a table of lines that has the columns of a pair, and amount."""
    grouped = lines.group_by(PAIR).aggregate([("amount", "sum"), ([], "count_all")])
    found: Sums[Pair] = Sums()
    for row in grouped.to_pylist():
        found.put((row["batch"], row["cleared_in"]), row["count_all"], row["amount_sum"])
    return found


def sent_back(home: Home, seq: int) -> list[SentBack]:
    """Recasts and aborts that sent lines of a batch back to wait, oldest first."""
    found = (sent_back_by(home, one, by_pair(went_back(home, one))) for one in recasts(home))
    return [told[seq] for told in found if seq in told]


def sent_back_by(home: Home, recast: Recast, gone: Sums[Pair]) -> dict[int, SentBack]:
    """One of them by batch. gone: lines that went back by it."""
    row = home.catalog.cycle(recast.cycle)
    assert row is not None, "a cycle that was recast is of the calendar"
    why = msgspec.json.decode(row.answer).get("why", "")
    rule = "abort" if recast.aborted else "recast"
    by_batch: Sums[int] = Sums()
    for (batch, _), total in gone.items():
        by_batch.put(batch, *total)
    return {
        seq: {
            "cycle": recast.cycle,
            "at": recast.at,
            "rule": rule,
            "why": why,
            "count": count,
            "sum": sum_,
        }
        for seq, (count, sum_) in sorted(by_batch.items())
    }
