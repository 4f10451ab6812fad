"""Answers awaited: lines that were sent, by receiver and the run that sent them.

Lines are read only of batches of which some moved: what a run cleared stands in its summary by
receiver, and goes one way as long as nobody answered, or once all of it is credited.
"""

from __future__ import annotations

import datetime
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from switch.files.segment import Groups, segment_at
from switch.home.days import times
from switch.home.rows import BatchRow
from switch.home.store import Home
from switch.home.times import day_of, local_text
from switch.open_items.listing import (
    Choice,
    Listing,
    Words,
    listing,
    participants,
    require_known,
)
from switch.present import STANDS, Present, line_receivers, line_runs
from switch.reconcile.sent_lines import day_of_cycle
from switch.registry.directory import Directory
from switch.schema import NO_CODE

AWAITED = ("settled", "unapplied")
"""States of lines whose receiver has not said that it credited them."""
SENT = (*AWAITED, "credited", "returned", "written_back", "reissued")
"""States of lines whose cycle has settled."""
SCHEMA = pa.schema(
    [
        ("participant", pa.string()),
        ("short_name", pa.string()),
        ("cycle", pa.string()),
        ("settled_at", pa.string()),
        ("deadline", pa.date32()),
        ("sent", pa.int64()),
        ("lines", pa.int64()),
        ("sum", pa.int64()),
        ("silent", pa.bool_()),
        ("overdue", pa.bool_()),
        ("days", pa.int64()),
    ]
)
"""Lines that a receiver got with a cycle and has not answered. sent: all that it got with it;
silent: it has answered none of them; overdue: the deadline is over; days: since settlement."""


class Part(NamedTuple):
    """Lines of a batch that went to one participant and stand in one state."""

    participant: str
    run: int
    """Number of the batch whose run sent them: a later one where they had waited."""
    state: str
    """One of SENT."""
    lines: int
    money: int


def parts(here: Present, seq: int) -> list[Part]:
    """Receivers lines of a batch by receiver, run and state."""
    state, summary = here.same_state(seq), here.summaries[seq]
    told = summary["receivers"]  # With lines of older batches that the run cleared, if any.
    if state and sum(one["count"] for one in told) == summary["cleared"]["count"]:
        return [
            Part(one["participant"], seq, state, one["count"], one["sum"])
            for one in told
            if one["count"] and state in SENT
        ]
    states, runs = line_runs(here.home, seq, here)
    codes, names = line_receivers(here.home, seq, here)
    wanted = np.array([STANDS.index(state) for state in SENT])
    mine = np.flatnonzero(np.isin(states, wanted) & (codes != NO_CODE))
    keys = (runs[mine] * len(names) + codes[mine]) * len(STANDS) + states[mine]
    found, place = np.unique(keys, return_inverse=True)
    counts, sums = np.bincount(place, minlength=len(found)), np.zeros(len(found), np.int64)
    # Amounts of lines that clear are below AMOUNT_MAX each, so that no sum of them leaves 64 bits.
    np.add.at(sums, place, _amounts(here.home, seq)[mine])
    told_of = []
    for key, count, sum_ in zip(found.tolist(), counts.tolist(), sums.tolist(), strict=True):
        rest, stand = divmod(key, len(STANDS))
        run, code = divmod(rest, len(names))
        told_of.append(Part(names[code], run, STANDS[stand], count, sum_))
    return told_of


def _amounts(home: Home, seq: int) -> NDArray[np.int64]:
    """Amounts of the lines of a batch by line number from 1."""
    folder = home.folder("batches", seq)
    status, lines = (Groups(segment_at(folder, name)) for name in ("status", "lines"))
    read = [
        (
            np.asarray(status.read(group, ["line_no"])["line_no"]) - 1,
            np.asarray(lines.read(group, ["amount"])["amount"]),
        )
        for group in range(len(status))
    ]
    found = np.zeros(sum(len(at) for at, _ in read), np.int64)
    for at, amounts in read:
        found[at] = amounts
    return found


class _Got:
    """Lines that a receiver got with a cycle."""

    def __init__(self) -> None:
        self.sent = self.lines = self.sum = 0


class Receivers:
    """All that receivers got, by receiver and cycle, as far as answers go now."""

    def __init__(self, present: Present) -> None:
        self.present = present
        self.got: dict[tuple[str, str], _Got] = {}
        for row in present.rows:
            for part in parts(present, row.seq):
                cycle = present.runs[part.run].cycle
                one = self.got.setdefault((part.participant, cycle), _Got())
                one.sent += part.lines
                if part.state in AWAITED:
                    one.lines, one.sum = one.lines + part.lines, one.sum + part.money


def awaited(
    home: Home,
    *,
    receiver: Words = None,
    limit: int | None = None,
    at: str = "",
    known: Receivers | None = None,
) -> Listing:
    """Answers awaited by receiver and cycle, the oldest first (`Watch.awaited`). at: the time as of
    which deadlines are judged; default: that of the home. known: of it, where it was gathered."""
    require_known("receiver", receiver, participants(home))
    known = known or Receivers(Present(home))
    now = at or times(home).now
    today = day_of(now) if now else None
    directory = Directory.of_json(home.catalog.meta("directory").encode())
    names = {one.participant: one.short_name for one in directory.participants}
    rows = [
        _row(known.present, code, cycle, got, names, today)
        for (code, cycle), got in known.got.items()
        if got.lines
    ]
    choice = Choice(
        {"participant": receiver},
        {},
        [(n, "ascending") for n in ("deadline", "participant")],
        limit,
    )
    table = pa.Table.from_pylist(rows, SCHEMA)
    return listing(home, "awaited", now, table, choice, "sum", "participant")


def _row(
    here: Present,
    code: str,
    cycle: str,
    got: _Got,
    names: dict[str, str],
    today: datetime.date | None,
) -> dict[str, object]:
    settled = settled_at(here, cycle)
    deadline = day_of_cycle(cycle) + datetime.timedelta(days=here.deadline_days)
    return {
        "participant": code,
        "short_name": names.get(code, ""),
        "cycle": cycle,
        "settled_at": local_text(settled),
        "deadline": deadline,
        "sent": got.sent,
        "lines": got.lines,
        "sum": got.sum,
        "silent": got.sent == got.lines,
        "overdue": today is not None and today > deadline,
        "days": max((today - day_of(settled)).days, 0) if today else 0,
    }


def settled_at(here: Present, cycle: str) -> str:
    """The time at which a cycle settled: that of its last batch, where it has no calendar."""
    row = here.cycles.get(cycle)
    if row is not None:
        return row.at
    mine: list[BatchRow] = [batch for batch in here.rows if batch.cycle == cycle]
    return mine[-1].at
