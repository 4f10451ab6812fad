"""Cancellations proven: each took out of the queue what waited as it says, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator

from switch.files.segment import read_table
from switch.home.history import Cancellation
from switch.home.store import Home
from switch.outcomes import Check
from switch.proof import line_sums
from switch.proof.budgets import Funded
from switch.proof.chains import compare

LINE = ["batch", "line_no"]


def checks(home: Home, one: Cancellation, before: str, funded: Funded) -> Iterator[Check]:
    """All that is proven of one commit. before: the folder that had the queue until then; funded:
    lines that waited then, by what they reserved."""
    subject = f"cancellation {one.number}"
    lines = read_table(home.path / one.folder / "lines.parquet")
    amounts = lines["amount"].to_pylist()
    yield compare("cancelled lines", subject, [len(lines), sum(amounts)], [one.lines, one.amount])
    said = one.by and one.why and len(lines)
    yield Check("cancelled lines", subject, "" if said else "it does not say who cancelled what")
    yield Check("cancelled lines", subject, funded.leave(lines, "cancelled"))
    yield Check("held lines", subject, line_sums.queue_fault(home, before, one.folder, lines))
