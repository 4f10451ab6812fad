"""Lines file: lines as they came, with the column of households where one of them names one.

Whether any does is known only as they come, and the file of a home without households has no such
column. So lines are kept back until one names a household, or there are as many as a row group has;
where the first who names one comes later, the file is written anew with the column.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from switch.files.file_schemas import HOUSEHOLD_FIELD, STYLES
from switch.files.segment import GROUP_ROWS, Groups, Segment
from switch.schema import HOUSEHOLD

_Columns = Mapping[str, pa.Array]


class LinesFile:
    """Writes one file, as `Segment` does. has_households: one of its lines names one."""

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        """schema: of the columns without households."""
        self.path, self.schema = path, schema
        self.has_households = False
        self._segment: Segment | None = None
        self._kept: list[_Columns] = []
        """Lines that are not in the file yet, none of which names a household."""
        self._kept_rows = 0

    def append(self, columns: _Columns) -> None:
        """Columns by name; that of households may be absent."""
        names = columns.get(HOUSEHOLD)
        if names is not None and not self.has_households and _names_any(names):
            self._widen()
        self._kept.append(columns)
        self._kept_rows += len(columns[self.schema.names[0]])
        if self.has_households or self._kept_rows >= GROUP_ROWS:
            self._write()

    def close(self) -> tuple[str, int]:
        """(sha256, bytes) of the finished file."""
        return self._write().close()

    def abandon(self) -> None:
        """Let go of a file that nobody will have."""
        if self._segment is not None:
            self._segment.abandon()

    def _write(self) -> Segment:
        """Write what was kept back."""
        wide = self.schema.append(HOUSEHOLD_FIELD) if self.has_households else self.schema
        if self._segment is None:
            self._segment = Segment(self.path, wide, STYLES)
        for columns in self._kept:
            self._segment.append(_with_households(columns) if self.has_households else columns)
        self._kept, self._kept_rows = [], 0
        return self._segment

    def _widen(self) -> None:
        """Begin anew with the column, and with the lines that are there: they name none."""
        self.has_households = True
        if self._segment is None:
            return
        narrow, self._segment = self._segment, None
        narrow.close()
        aside = self.path.with_name(f".narrow-{self.path.name}")
        self.path.rename(aside)
        kept, self._kept = self._kept, []
        groups = Groups(aside)
        for number in range(len(groups)):
            table = groups.read(number).cast(self.schema)
            self._kept.append({name: table[name].combine_chunks() for name in table.column_names})
            self._write()
        self._kept = kept
        aside.unlink()


def as_kept(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """Lines of such a file with the columns of a schema and that of households, which is null where
    the file has none."""
    wide = schema.append(HOUSEHOLD_FIELD)
    if HOUSEHOLD not in table.column_names:
        table = table.append_column(HOUSEHOLD_FIELD, pa.nulls(len(table), pa.string()))
    return table.select(wide.names).cast(wide)


def _names_any(names: pa.Array) -> bool:
    return bool(pc.any(pc.greater(pc.binary_length(names), 0)).as_py())


def _with_households(columns: _Columns) -> _Columns:
    if HOUSEHOLD in columns:
        return columns
    rows = len(next(iter(columns.values())))
    return {**columns, HOUSEHOLD: pa.nulls(rows, pa.string())}
