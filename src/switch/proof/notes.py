"""The proof of notes: those about breaks name breaks that were open when they were made, and those
about alarms say who noted what of which occurrence."""

from __future__ import annotations

from collections.abc import Iterator

from switch.files.segment import read_table
from switch.home.history import Folder, alarm_notes, break_id, notes
from switch.home.store import Home
from switch.home.times import is_before
from switch.outcomes import Check


def checks(home: Home, known: list[Folder], seqs: list[int]) -> Iterator[Check]:
    """A check of every note. known: folders of answers; seqs: their audit records, in order."""
    open_then: set[tuple[str, str, int]] = set()
    read = 0
    for record, note in notes(home):
        while read < len(known) and seqs[read] < record.seq:
            path = home.path / known[read].name / "open.parquet"
            if path.exists():
                table = read_table(path, ["key", "class", "value"])
                rows = zip(*(column.to_pylist() for column in table.columns), strict=True)
                open_then = {(break_id(key), name, value) for key, name, value in rows}
            read += 1
        gone = [name for name, *mark in note.breaks if (name, *mark) not in open_then]
        fault = f"no break {gone[0]} was open then as it says" if gone else ""
        if not note.breaks or not note.by or (note.accepted is not None and not note.note):
            fault = fault or "it does not say who noted what"
        yield Check("notes about breaks", f"record {record.seq}", fault)


LEVELS = {"warning", "raised"}


def alarm_checks(home: Home) -> Iterator[Check]:
    """A check of every note about alarms. Alarms are conditions of their time, of which nothing is
    kept but what people said: who, of what, and until when."""
    for record, note in alarm_notes(home):
        marks = [tuple(mark) for mark in note.alarms]
        fault = ""
        if not marks or marks != sorted(set(marks)):
            fault = "it names no alarm, or one twice"
        elif not all(name and since and level in LEVELS for name, since, level in marks):
            fault = "it names no occurrence of an alarm"
        elif not note.by or not (note.note or note.owner or note.acknowledged is not None):
            fault = "it does not say who noted what"
        elif note.until and (note.acknowledged is not None or not note.note):
            fault = "it lets an alarm sleep that is acknowledged, or for no reason"
        elif note.until and not is_before(record.at, note.until):
            fault = "it lets an alarm sleep until a time that was over"
        yield Check("notes about alarms", f"record {record.seq}", fault)
