"""Cancel: lines that wait leave the queue for good.

Columns IN: the queue of lines that wait. OUT: a draft for one commit: the lines that are cancelled
(CANCELLED_LINES, which names nobody), and the whole queue without them (docs/formats.md); where
nothing waits any more there is none. Their money was never set aside at the State Bank, and their
entitlements were never taken: only what they reserved of budgets is free by it, and that follows
from the lines (`budgets`).
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Sequence
from typing import TypedDict

import pyarrow.compute as pc

from switch.arguments import require_said
from switch.errors import UsageError
from switch.files.segment import write_table
from switch.home.batch import batch_row
from switch.home.days import times
from switch.home.history import (
    CANCELLATION,
    Cancellation,
    cancellations,
    cancelled_lines,
    lines_of,
    queue_of,
    time_of,
)
from switch.home.store import CANCELLED, ROOM_SPARE, Home
from switch.home.times import time_text
from switch.results import LineName
from switch.settlement.queue import Line, waiting, write_queue


class LinesCancelled(TypedDict):
    """Lines that waited and were cancelled, with who said so, why and when."""

    number: int
    at: str
    by: str
    why: str
    count: int
    sum: int
    lines: list[LineName]


def cancel(
    home: Home,
    lines: Sequence[tuple[str, int]],
    what_is: Callable[[Home, int, int], str],
    *,
    by: str,
    why: str,
    at: datetime.date | str | None,
) -> LinesCancelled:
    """Cancel lines that wait (`Engine.cancel_lines`), all of them or none. what_is: says in words
    what a line is that does not. Returns the answer; the stored one where just these lines were
    cancelled in the same words."""
    require_said("cancelled", by, why)
    chosen = sorted({(batch_row(home, name).seq, line_no) for name, line_no in lines})
    if not chosen:
        raise UsageError("name the lines that are to be cancelled")
    if stored := _stored(home, chosen, by, why):
        return _answer(home, stored, chosen)
    gone = waiting(home, chosen)
    there = set(lines_of(gone))
    for line in chosen:
        if line not in there:
            name = home.catalog.batch(line[0]).batch_id
            raise UsageError(
                f"line {line[1]} of batch {name} does not wait: {what_is(home, *line)}"
            )
    time = time_of(
        home, time_text(at) or None, times(home), far=True
    )  # It moves no time by itself.
    number, after = len(cancellations(home)) + 1, home.catalog.next_batch() - 1
    sum_: int = sum(gone["amount"].to_pylist())
    done = Cancellation(number, after, time, by, why, len(gone), sum_)
    path, _ = queue_of(home) or ("", "")
    home.require_room(2 * (home.path / path).stat().st_size + gone.nbytes + ROOM_SPARE)
    with home.draft(CANCELLED) as draft:
        write_table(draft / "lines.parquet", gone)
        write_queue(home.proven(home.path / path), draft / "held.parquet", gone)
        said = {"by": by, "why": why, "count": len(gone), "sum": str(sum_)}
        home.commit(
            at=time,
            kind=CANCELLATION,
            detail={"after": after, **said},
            changes=[],
            draft=draft,
            folder=home.path / done.folder,
        )
    return _answer(home, done, chosen)


def _stored(home: Home, chosen: list[Line], by: str, why: str) -> Cancellation | None:
    """The commit by which just these lines were cancelled in these words, so that what was broken
    off may be given again."""
    lines = cancelled_lines(home)
    for one in cancellations(home):
        mine = lines.filter(pc.equal(lines["number"], one.number))
        if (one.by, one.why) == (by, why) and sorted(lines_of(mine)) == chosen:
            return one
    return None


def _answer(home: Home, one: Cancellation, lines: list[Line]) -> LinesCancelled:
    names = {seq: home.catalog.batch(seq).batch_id for seq, _ in lines}
    return {
        "number": one.number,
        "at": one.at,
        "by": one.by,
        "why": one.why,
        "count": one.lines,
        "sum": one.amount,
        "lines": [{"batch_id": names[seq], "line_no": line_no} for seq, line_no in lines],
    }
