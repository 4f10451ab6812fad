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
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from switch.arguments import require_said
from switch.errors import UsageError
from switch.files.file_schemas import CANCELLED_LINES, HELD_SCHEMA, STYLES
from switch.files.segment import Groups, Segment, write_table
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
from switch.results import LinesCancelled

Line = tuple[int, int]
"""Number of the batch, and of the line in it."""


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
    gone = _waiting(home, chosen)
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
        _write_queue(home.proven(home.path / path), draft / "held.parquet", gone)
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
        mine = lines.filter(pc.equal(lines["cancellation"], one.number))
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


def _waiting(home: Home, chosen: list[Line]) -> pa.Table:
    """Those of the lines that wait, oldest first: a table of CANCELLED_LINES."""
    parts = [CANCELLED_LINES.empty_table()]
    if queue := queue_of(home):
        groups = Groups(home.proven(home.path / queue[0]))
        for number in range(len(groups)):
            table = groups.read(number, CANCELLED_LINES.names)
            parts.append(table.filter(_among(table, chosen)).cast(CANCELLED_LINES))
    return pa.concat_tables(parts).combine_chunks()


def _write_queue(path: Path, into: Path, gone: pa.Table) -> None:
    """Write the queue of lines that wait without some of them, as far as any is left."""
    groups, chosen = Groups(path), lines_of(gone)
    segment: Segment | None = None
    for number in range(len(groups)):
        table = groups.read(number).cast(HELD_SCHEMA)
        table = table.filter(pc.invert(_among(table, chosen))).combine_chunks()
        for part in table.to_batches():
            segment = segment or Segment(into, HELD_SCHEMA, STYLES)
            segment.append({name: part.column(name) for name in HELD_SCHEMA.names})
    if segment:
        segment.close()


def _among(table: pa.Table, chosen: list[Line]) -> pa.Array:
    """bool array of the lines of a table that are among these."""
    batch, line_no = (np.asarray(table[name]).astype(np.int64) for name in ("batch", "line_no"))
    wanted = np.array([seq << 32 | number for seq, number in chosen], np.int64)
    return pa.array(np.isin(batch << 32 | line_no, wanted))
