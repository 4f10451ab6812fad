"""Queue: the lines that wait, since when and until when they may, and the queue without some of
them.

Columns IN: the queue of lines that wait (HELD_SCHEMA). OUT: days by line, and the whole queue
written anew without the lines that leave it (docs/formats.md); where nothing waits any more there
is none.
"""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from switch.files.file_schemas import CANCELLED_LINES, HELD_SCHEMA
from switch.files.lines_file import LinesFile, as_kept
from switch.files.segment import Groups
from switch.home.days import Times
from switch.home.history import lines_of, queue_of, recasts, went_back
from switch.home.store import Home
from switch.home.times import day_of
from switch.registry.settings import Settings

Line = tuple[int, int]
"""Number of the batch, and of the line in it."""
WARNING_DAYS = 14
"""Days before its deadline from which on `status` warns of a line."""
EPOCH = datetime.date(1970, 1, 1)


def waiting(home: Home, chosen: Sequence[Line] | None = None) -> pa.Table:
    """Lines that wait, oldest first, without persons and accounts: a table of CANCELLED_LINES.
    chosen: those among these alone."""
    parts = [CANCELLED_LINES.empty_table()]
    if queue := queue_of(home):
        groups = Groups(home.proven(home.path / queue[0]))
        for number in range(len(groups)):
            table = groups.read(number, CANCELLED_LINES.names)
            if chosen is not None:
                table = table.filter(_among(table, chosen))
            parts.append(table.cast(CANCELLED_LINES))
    return pa.concat_tables(parts).combine_chunks()


def write_queue(path: Path, into: Path, gone: pa.Table) -> None:
    """Write the queue of lines that wait without some of them, as far as any is left. path: the
    queue as it is."""
    groups, chosen = Groups(path), lines_of(gone)
    file: LinesFile | None = None
    for number in range(len(groups)):
        table = as_kept(groups.read(number), HELD_SCHEMA)
        table = table.filter(pc.invert(_among(table, chosen))).combine_chunks()
        for part in table.to_batches():
            file = file or LinesFile(into, HELD_SCHEMA)
            file.append({name: part.column(name) for name in table.column_names})
    if file:
        file.close()


def _among(table: pa.Table, chosen: Sequence[Line]) -> pa.Array:
    """bool array of the lines of a table that are among these."""
    wanted = np.array([seq << 32 | number for seq, number in chosen], np.int64)
    return pa.array(np.isin(_keys(table), wanted))


def _keys(lines: pa.Table) -> NDArray[np.int64]:
    """A number for each line: that of its batch, and its own."""
    batch, line = (np.asarray(lines[name]).astype(np.int64) for name in ("batch", "line_no"))
    keys: NDArray[np.int64] = batch << 32 | line
    return keys


def since(home: Home, known: Times, lines: pa.Table) -> tuple[pa.Array, pa.Array]:
    """(day since which each of some lines waits, how many runs tried it since then): that of its
    batch, or of the recast or abort that sent it back last."""
    rows = home.catalog.batches()
    last = len(rows)
    batch = np.asarray(lines["batch"]).astype(np.int64)
    days = np.array([0, *(_number(known.day_of_batch(row)) for row in rows)], np.int32)
    began, tried = days[batch], last - batch + 1
    keys = _keys(lines)
    for recast in recasts(home):
        if len(keys):
            mine = np.isin(keys, _keys(went_back(home, recast)))
            began[mine], tried[mine] = _number(day_of(recast.at)), last - recast.after
    return pa.array(began).cast(pa.date32()), pa.array(tried)


def deadlines(settings: Settings, benefits: pa.ChunkedArray, began: pa.Array) -> pa.Array:
    """The last day on which each line may wait; null where it may for ever. benefits: of the lines;
    began: the day since which each waits."""
    of, rest = settings.held_days_of or {}, settings.held_days or 0
    known = pa.array([*of, None], pa.string())
    days = np.array([*of.values(), rest, rest], np.int64)
    at = pc.index_in(benefits.cast(pa.string()), known[:-1]).fill_null(len(of))
    most = days[np.asarray(at)]
    last = np.asarray(began.cast(pa.int32())).astype(np.int64) + most
    return pa.array(last.astype(np.int32), mask=most == 0).cast(pa.date32())


def _number(day: datetime.date) -> int:
    return (day - EPOCH).days
