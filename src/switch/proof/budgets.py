"""Budgets proven: what batches reserved, used up and released, counted again from their lines.

Every line that is answered is followed to where it is now: it waits, or stands in a cycle that has
settled or not, or was refused. So what remains of a reservation is counted by itself, and not as a
difference.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa

from switch.home.history import Folder, moved_lines
from switch.home.rows import BatchRow
from switch.home.store import Home
from switch.outcomes import Check
from switch.proof import line_sums
from switch.proof.chains import compare
from switch.reason import Reason
from switch.settlement.budgets import standing

Line = tuple[int, int]
"""(batch, line number)."""


class Funded:
    """All batches of a home, told one after the other, with the recasts between them."""

    def __init__(self) -> None:
        self.waiting: dict[Line, tuple[str, int]] = {}
        """(programme, amount) of lines that wait."""
        self.stands: dict[str, dict[tuple[int, str], int]] = {"reserved": {}, "released": {}}
        self.in_cycles: dict[str, dict[tuple[int, str], int]] = {}
        """By cycle: money of lines that cleared in it, by batch and programme."""
        self.fault = ""

    def take(self, batch: BatchRow, status: Any, lines: Any, reason: Any, amount: Any) -> None:
        """A row group of a batch's answers: of its own lines, or of older ones that moved."""
        seq = batch.seq
        own = "batch" not in status.schema.names
        cleared, held = reason == Reason.NONE, line_sums.held_numbers(reason)
        in_cycle = self.in_cycles.setdefault(batch.cycle, {})
        if own:
            taken: dict[str, int] = {}
            line_sums.by_text(taken, lines["benefit"], amount, cleared)
            for benefit, sum_ in taken.items():
                _add(in_cycle, (seq, benefit), sum_)
                _add(self.stands["reserved"], (seq, benefit), sum_)
        moved = held if own else np.ones(len(reason), bool)
        chosen = np.flatnonzero(moved)
        numbers = np.asarray(status["line_no"])[chosen].tolist()
        batches = [seq] * len(chosen) if own else np.asarray(status["batch"]).tolist()
        benefits = lines["benefit"].take(pa.array(chosen)).cast(pa.string()).to_pylist()
        amounts = amount[chosen].tolist()
        for row, line in enumerate(zip(batches, numbers, strict=True)):
            if own:
                self.waiting[line] = benefits[row], amounts[row]
                _add(self.stands["reserved"], (seq, benefits[row]), amounts[row])
            elif line in self.waiting:
                benefit, held_amount = self.waiting.pop(line)
                into = in_cycle if cleared[row] else self.stands["released"]
                _add(into, (line[0], benefit), held_amount)
            else:
                self.fault = f"batch {line[0]}, line {line[1]} did not wait"

    def send_back(self, cycle: str, went: Any) -> None:
        """Lines of a cycle wait again."""
        names = ["batch", "line_no", "benefit", "amount"]
        for batch, line_no, benefit, amount in line_sums.tuples(went, names):
            _add(self.in_cycles.setdefault(cycle, {}), (batch, benefit), -amount)
            self.waiting[batch, line_no] = benefit, amount

    def leave(self, lines: Any, word: str) -> str:
        """Lines that left the queue without a run wait no more, and take nothing. word: the
        participle of what was done to them. Returns what is wrong with that."""
        fault = ""
        for batch, line_no, benefit, amount in line_sums.tuples(
            lines, ["batch", "line_no", "benefit", "amount"]
        ):
            if self.waiting.pop((batch, line_no), None) != (benefit, amount):
                fault = fault or f"batch {batch}, line {line_no} did not wait as it was {word}"
            _add(self.stands["released"], (batch, benefit), amount)
        return fault

    def release(self, home: Home, folder: Folder) -> None:
        """Lines that receivers refused, and those that came back and were disposed of."""
        cycle_of = {batch.seq: batch.cycle for batch in home.catalog.batches()}
        for name in ("refused", "disposed"):
            lines = moved_lines(home, folder, name)
            names = ["cleared_in", "batch", "benefit", "amount"]
            for cleared_in, batch, benefit, amount in line_sums.tuples(lines, names):
                _add(self.in_cycles[cycle_of[cleared_in]], (batch, benefit), -amount)
                _add(self.stands["released"], (batch, benefit), amount)

    def within(self, subject: str, budgets: dict[str, int]) -> Check:
        """After a batch no programme of it has more reserved than the budget it was held to."""
        taken: dict[str, int] = {}
        for name, sign in (("reserved", 1), ("released", -1)):
            for (_, benefit), amount in self.stands[name].items():
                _add(taken, benefit, sign * amount)
        over = [name for name, budget in budgets.items() if taken.get(name, 0) > budget]
        fault = f"{over[0]} is beyond its budget" if over else ""
        return Check("budgets", subject, fault)

    def checks(self, home: Home, states: dict[str, str]) -> Iterator[Check]:
        """states: of the calendar's cycles; all others have settled."""
        yield Check("budgets", "lines that moved had waited", self.fault)
        consumed: dict[tuple[int, str], int] = {}
        remaining: dict[tuple[int, str], int] = {}
        for cycle, cleared in self.in_cycles.items():
            ended = states.get(cycle, "SETTLED") == "SETTLED"
            for key, amount in cleared.items():
                _add(consumed if ended else remaining, key, amount)
        for (batch, _), (benefit, amount) in self.waiting.items():
            _add(remaining, (batch, benefit), amount)
        reserved, released = self.stands["reserved"], self.stands["released"]
        keys = sorted({*reserved, *released, *consumed, *remaining})
        four = (reserved, consumed, released, remaining)
        found = {key: [part.get(key, 0) for part in four] for key in keys}
        found = {key: parts for key, parts in found.items() if any(parts)}
        open_ = [key for key, (whole, *parts) in found.items() if whole != sum(parts)]
        fault = f"not so of batch {open_[0][0]}, {open_[0][1]}" if open_ else ""
        yield Check("budgets", "reserved = consumed + released + remaining", fault)
        shown = {key: [*stand, stand.remaining] for key, stand in standing(home).items()}
        shown = {key: parts for key, parts in shown.items() if any(parts)}
        yield compare("budgets", "as they are shown", found, shown)


def _add(into: dict[Any, int], key: Any, amount: int) -> None:
    into[key] = into.get(key, 0) + amount
