"""The proof of notes about breaks: each names breaks that were open when it was made."""

from __future__ import annotations

from collections.abc import Iterator

from switch.files.segment import read_table
from switch.home.history import Folder, break_id, notes
from switch.home.store import Home
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
