"""Exports: a table for people, written in the form that the ending of its name says.

CSV is for spreadsheets: a spreadsheet runs a cell that begins like a formula, so a text of that
kind gets an apostrophe in front, which shows it as text (OWASP, CSV injection). Numbers stand as
they are.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from switch.errors import CopyFailed, UsageError
from switch.files.disk import landing, require_outside

FORMULA_BEGINS = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
"""Signs that make a cell a formula, full-width forms too: some spreadsheets take them for the
same."""


def defused(cell: object) -> str:
    """A cell that no spreadsheet runs."""
    text = "" if cell is None else str(cell)
    return f"'{text}" if text.startswith(FORMULA_BEGINS) else text


def require_ending(path: str | Path) -> Path:
    """The path of an export, whose ending is one of ENDINGS. Raises UsageError."""
    path = Path(path)
    if path.suffix not in ENDINGS:
        raise UsageError(f"{path} has no known ending: name it {', '.join(ENDINGS)}")
    return path


def export(table: pa.Table, path: str | Path, home: Path | None = None) -> Path:
    """Write a table as its ending says, whole or not at all, for its owner alone. home: one below
    whose folder out it may stand. Raises UsageError for another ending or a place in a home."""
    path = require_ending(path)
    require_outside(path.absolute(), home)
    try:
        with landing(path.absolute().parent, path.name) as file:
            ENDINGS[path.suffix](table, file)
    except CopyFailed as error:  # Of nothing that is committed.
        raise error.cause from error
    return path


def _csv(table: pa.Table, raw: BinaryIO) -> None:
    file = io.TextIOWrapper(raw, "utf-8-sig", newline="")
    writer = csv.writer(file, quoting=csv.QUOTE_MINIMAL, lineterminator="\r\n")
    writer.writerow(table.schema.names)
    columns = [
        map(defused, column.to_pylist()) if pa.types.is_string(column.type) else column.to_pylist()
        for column in table.columns
    ]
    writer.writerows(zip(*columns, strict=True))
    file.flush()
    file.detach()


def _parquet(table: pa.Table, file: BinaryIO) -> None:
    pq.write_table(table, file)


def _arrow(table: pa.Table, file: BinaryIO) -> None:
    with pa.ipc.new_file(file, table.schema) as writer:
        writer.write_table(table)


ENDINGS: dict[str, Callable[[pa.Table, BinaryIO], None]] = {
    ".csv": _csv,
    ".parquet": _parquet,
    ".arrow": _arrow,
}
"""Writers by the ending of a name."""
