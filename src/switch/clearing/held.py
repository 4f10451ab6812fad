"""Held lines: what becomes of lines that found no cover when their turn came, and of their answers.

A line that clears late in its own run is answered as if it had cleared at once: its rows of status
and lines are written again, all others as they were.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from switch.clearing.answer_columns import Columns
from switch.files.file_schemas import LINES, STATUS, STYLES
from switch.files.segment import Groups, Segment, write_table
from switch.reason import REASONS_COUNT, RULES, Reason, status_of
from switch.registry.directory import Directory

Tally = list[tuple[int, int]]
"""(count, sum) by reason number."""

RELEASED = pa.schema([("batch", pa.uint32()), ("line_no", pa.uint32())])


class Moved(NamedTuple):
    """A line that waited for cover and waits no more."""

    batch: int
    line_no: int
    reason: int
    transfer_id: str
    amount: int
    detail: str = ""
    """Words about it; empty where it clears and there is nothing to say."""


def tally_of(reason: Any, amount: Any) -> Tally:
    """The tally of lines that are held or were: none of their amounts passes AMOUNT_MAX, so that
    the sum of a chunk fits in 64 bits."""
    parts = [amount[reason == number] for number in range(REASONS_COUNT)]
    return [(len(part), int(part.sum())) for part in parts]


def add(left: Tally, right: Tally) -> Tally:
    return [(c + d, s + t) for (c, s), (d, t) in zip(left, right, strict=True)]


def shift(moved: list[Moved]) -> Tally:
    """Changes of a tally where lines leave COVER_MISSING for another reason."""
    out = [[0, 0] for _ in range(REASONS_COUNT)]
    for line in moved:
        for number, sign in ((int(Reason.COVER_MISSING), -1), (line.reason, 1)):
            out[number][0] += sign
            out[number][1] += sign * line.amount
    return [(count, sum_) for count, sum_ in out]


def cover_of(directory: Directory, rooms: dict[str, int]) -> tuple[Any, Any, Any, Any]:
    """(settle, capped, room, priority) as `Core.limit` takes them. rooms: minor units by settlement
    participant; who is not named has no limit."""
    lookups = directory.lookups()
    codes = [p.participant for p in directory.participants]
    capped = np.array([code in rooms for code in codes], np.uint8)
    room = np.array([rooms.get(code, 0) for code in codes], np.int64)
    return lookups.settle, capped, room, lookups.priority


def write_released(path: Path, moved: list[Moved]) -> None:
    """The lines that cleared when the table was through, in that order."""
    went = [line for line in moved if line.reason == Reason.NONE]
    if went:
        columns = [[line.batch for line in went], [line.line_no for line in went]]
        arrays = [pa.array(c, f.type) for c, f in zip(columns, RELEASED, strict=True)]
        write_table(path, pa.table(arrays, schema=RELEASED))


def amend(status: Path, lines: Path, moved: list[Moved], columns: Columns, cycle: str) -> None:
    """Write both segments again with the answers that moved lines of this batch have now."""
    moved = sorted(moved, key=lambda line: line.line_no)
    numbers = np.array([line.line_no for line in moved], np.uint32)
    went = [line.reason == Reason.NONE for line in moved]
    rules = [None if line.reason == Reason.NONE else RULES[Reason(line.reason)] for line in moved]
    cleared = columns.dictionaries["status"][0].as_py()
    now = {
        "status": pa.array([status_of(line.reason) if line.reason else cleared for line in moved]),
        "reason": pa.array([rule and rule.code for rule in rules], pa.string()),
        "reason_detail": pa.array([line.detail or None for line in moved], pa.string()),
        "transfer_id": pa.array([line.transfer_id or None for line in moved], pa.string()),
        "cycle": pa.array([cycle if gone else None for gone in went], pa.string()),
        "reason_number": pa.array([line.reason for line in moved], pa.uint8()),
    }
    old = [path.with_name(f".{path.name}.old{path.suffix}") for path in (status, lines)]
    for path, aside in zip((status, lines), old, strict=True):
        path.rename(aside)
    written = [Segment(status, STATUS, STYLES), Segment(lines, LINES, STYLES)]
    for groups in _groups(old):
        at = np.asarray(groups[0]["line_no"])
        mask = np.isin(at, numbers)
        order = pa.array(np.searchsorted(numbers, at[mask]))
        for table, segment in zip(groups, written, strict=True):
            segment.append(
                {
                    name: _coded(
                        _replaced(table[name], mask, now[name].take(order))
                        if name in now and mask.any()
                        else table[name].combine_chunks(),
                        columns.dictionaries.get(name),
                    )
                    for name in segment.schema.names
                }
            )
    for segment in written:
        segment.close()
    for aside in old:
        aside.unlink()


def _groups(paths: list[Path]) -> Iterator[list[Any]]:
    files = [Groups(path) for path in paths]
    for group in range(len(files[0])):
        yield [file.read(group) for file in files]


def _replaced(column: Any, mask: Any, values: Any) -> Any:
    return pc.replace_with_mask(column.combine_chunks(), pa.array(mask), values)


def _coded(values: Any, dictionary: Any) -> Any:
    """The column as it is written first: by the same dictionary, so that bytes are the same."""
    if dictionary is None:
        return values
    index = pc.index_in(values, value_set=dictionary).cast(pa.int32())
    return pa.DictionaryArray.from_arrays(index, dictionary)
