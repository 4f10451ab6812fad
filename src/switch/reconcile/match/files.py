"""Files: Parquet files that sets of records come in, opened by children of the airlock alone.

Each reading opens the file anew, in a child of its own, so that a set of any number of files holds
no handle, no copy and no process. A file that is no longer what it was is refused. What arrives is
judged before it is used: no row too many, no text that is none, nothing that points elsewhere.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pyarrow as pa

from switch.errors import InputRefused
from switch.files import airlock, given
from switch.files.columns import first_line
from switch.schema import Kind

ROWS_FREE, ROWS_PER_BYTE = 100_000, 8
"""Rows that a file may declare: some, and so many for each of its bytes. Room is made for what is
declared, and one altered byte of a footer declares more than any machine has."""


class File:
    """The row groups of one file. Any number of threads may read.

    wanted: the columns that may be asked for; few: those of few texts, which come as dictionaries
    where the file has them so. names: those of wanted that it has; rows: of each row group.
    """

    def __init__(self, path: Path, wanted: Iterable[str], few: Iterable[str]) -> None:
        self._path = path
        few = set(few)
        self._kinds = {name: Kind.CODE if name in few else Kind.TEXT for name in wanted}
        with given.opened(path) as (file, self._was):
            answer = airlock.ask(file, str(path), "groups", self._kinds)
        with answer:
            schema, rows = airlock.groups(answer)
        for field in schema:
            if pa.types.is_nested(field.type):
                what = f"{field.name!r} is {field.type}"
                remedy = "write it as a text (utf8) or a whole number (int64)"
                raise InputRefused("TYPE", what, file=str(path), column=field.name, remedy=remedy)
        self.names: list[str] = schema.names
        self.rows: list[int] = rows
        self._require_likely()

    def read(self, group: int, columns: Iterable[str]) -> dict[str, pa.Array]:
        """Columns of a row group by name, each as one Arrow array. Raises InputRefused."""
        wanted = {name: self._kinds[name] for name in columns}
        with given.opened(self._path) as (file, now):
            self._require_same(now)
            answer = airlock.ask(file, str(self._path), "groups", wanted, group)
        with answer:
            try:
                _, batches, _ = airlock.opened(answer)
                found = self._placed(batches, group)
                for batch in found:
                    batch.validate(full=True)
            except pa.ArrowException as error:
                raise self._bad(first_line(error)) from error
        if [batch.num_rows for batch in found] != [self.rows[group]]:
            raise self._bad("a row group has not the rows that the footer declares")
        (batch,) = found
        return dict(zip(batch.schema.names, batch.columns, strict=True))

    def _placed(
        self, batches: Callable[[], Iterator[pa.RecordBatch]], group: int
    ) -> list[pa.RecordBatch]:
        """All batches of a row group, whose rows a refusal counts from the file's first one."""
        try:
            return list(batches())
        except InputRefused as refused:
            if refused.row is not None:
                refused.row += sum(self.rows[:group])
            raise

    def _require_likely(self) -> None:
        most = ROWS_FREE + ROWS_PER_BYTE * self._was.st_size
        if min(self.rows, default=0) < 0 or sum(self.rows) > most:
            what = f"the file declares more than the {most:,} rows that so many bytes may hold"
            remedy = "ask for the file again; it is damaged"
            raise InputRefused("ROW_LIMIT", what, file=str(self._path), remedy=remedy)

    def _require_same(self, now: os.stat_result) -> None:
        if given.is_changed(self._was, now):
            raise given.changed(self._path)

    def _bad(self, what: str) -> InputRefused:
        what = f"the file cannot be read to its end: {what}"
        remedy = "ask for the file again; it is damaged or cut off"
        return InputRefused("PARQUET_BAD", what, file=str(self._path), remedy=remedy)
