"""Sheet: tables of a batch as CSV, for people who open them in a spreadsheet.

The contract's answer is the status file; this is a copy of it for the eye. No cell of it runs as a
formula (`files/exports`).
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa

from switch import present
from switch.files.disk import landing
from switch.files.exports import defused
from switch.files.segment import Groups, segment_at
from switch.home.store import Home


def write_status(home: Home, seq: int, out: Path, name: str) -> Path:
    """The lines of a batch as a sheet, as out/name: the status file, and beside it benefit, period,
    amount, and where each line stands now. Nobody's name is in it, for a home keeps none."""
    folder = home.folder("batches", seq)
    status, lines = (Groups(segment_at(folder, name)) for name in ("status", "lines"))
    states = present.line_states(home, seq)
    words = pa.array([present.now_of(code) for code in range(len(present.STANDS))], pa.string())

    def tables() -> Iterator[pa.Table]:
        for group in range(len(status)):
            answers, inner = status.read(group), lines.read(group)
            for name in ("benefit", "period", "amount"):
                answers = answers.append_column(name, inner[name])
            numbers = np.asarray(answers["line_no"])
            yield answers.append_column("now", words.take(pa.array(states[numbers - 1])))

    return write_sheet(tables(), out, name)


def write_sheet(tables: Iterable[pa.Table], out: Path, name: str) -> Path:
    """Tables of the same columns as one CSV with a header (UTF-8 with the mark that Excel needs),
    as out/name, for its owner alone."""
    with landing(out, name) as raw:
        file = io.TextIOWrapper(raw, "utf-8-sig", newline="")
        writer = csv.writer(file, quoting=csv.QUOTE_ALL, lineterminator="\r\n")
        for number, table in enumerate(tables):
            if number == 0:
                writer.writerow(table.schema.names)
            columns = [map(defused, column.to_pylist()) for column in table.columns]
            writer.writerows(zip(*columns, strict=True))
        file.flush()
        file.detach()
    return out / name
