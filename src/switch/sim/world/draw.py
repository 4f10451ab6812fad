"""The draw of the tables of the world: streams of randomness, choices, and files in chunks.

Everything follows from the seed: each chunk of each table has a numpy Generator of its own, so no
table depends on another one's draws.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from switch.schema import Kind, Table

Progress = Callable[[str, int, int], None]
"""Told (table, rows done, rows in all)."""
Day = int
"""Days since 1970-01-01."""

GROUP_ROWS = 1 << 20
"""Rows of a chunk and of a row group."""


def generator(seed: int, table: int, chunk: int = 0) -> np.random.Generator:
    """The only source of randomness: a stream of its own for each chunk of each table.

    Tables: 1 population, 2 accounts, 3 the plan of a payday, 4 its lines, 5 the paid history.
    """
    sequence = np.random.SeedSequence(entropy=seed, spawn_key=(table, chunk))
    return np.random.Generator(np.random.PCG64(sequence))


def fields(rng: np.random.Generator, rows: int) -> NDArray[np.uint16]:
    """Uniform 16-bit fields, the input of choice tables."""
    return rng.integers(0, 1 << 16, rows, dtype=np.uint16)


def choice_table(weights: Sequence[float] | NDArray[np.float64]) -> NDArray[np.uint16]:
    """A table of 65,536 entries that turns a uniform 16-bit field into a weighted choice."""
    total = np.cumsum(np.asarray(weights, dtype=np.float64))
    edges = np.rint(total / total[-1] * 65536).astype(np.int64)
    counts = np.diff(edges, prepend=0)
    return np.repeat(np.arange(len(counts), dtype=np.uint16), counts)


def sparse(
    rng: np.random.Generator, rows: int, rates: Sequence[float]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows that are hit, ascending, and by which of the exclusive rates (any size, exactly)."""
    uniform = rng.random(rows)
    edges = np.cumsum(np.asarray(rates, dtype=np.float64))
    hits = np.flatnonzero(uniform < edges[-1])
    return hits, np.searchsorted(edges, uniform[hits], side="right")


def chunks(rows: int) -> list[tuple[int, int, int]]:
    """(number, first row, end row) of each chunk of at most GROUP_ROWS rows."""
    return [
        (number, first, min(first + GROUP_ROWS, rows))
        for number, first in enumerate(range(0, rows, GROUP_ROWS))
    ]


def dictionary(index: NDArray[np.integer], values: Sequence[str]) -> pa.DictionaryArray:
    """Dictionary array of these values; an index outside them is null."""
    narrow = index.astype(np.int16)
    missing = narrow >= len(values)
    indices = pa.array(narrow, mask=missing if missing.any() else None)
    return pa.DictionaryArray.from_arrays(indices, pa.array(values, pa.string()))


def days(values: NDArray[np.int32], missing: NDArray[np.bool_]) -> pa.Array:
    """Date column from days since 1970; null where missing."""
    return pa.array(values, pa.int32(), mask=missing).cast(pa.date32())


_TEXT = pa.string()
_TYPES = {
    Kind.LINE_NO: pa.uint32(),
    Kind.AMOUNT: pa.int64(),
    Kind.PERIOD: pa.int32(),
    Kind.DATE: pa.date32(),
    Kind.PRIORITY: pa.uint8(),
    Kind.TEXT: _TEXT,
    Kind.INSTANT: pa.timestamp("us", "UTC"),
}


def arrow_schema(
    table: Table,
    *,
    codes: pa.DataType = _TEXT,
    ids: pa.DataType = _TEXT,
    without: Collection[str] = (),
) -> pa.Schema:
    """A table of the doors as Arrow has it. codes, ids: types of these columns."""
    types = _TYPES | {Kind.CODE: codes, Kind.ID: ids}
    columns = [column for column in table.columns if column.name not in without]
    return pa.schema([(column.name, types[column.kind]) for column in columns])


CODES = pa.dictionary(pa.int32(), pa.string())
"""Type of columns with few values in tables of the world."""


class Shuffle:
    """A seeded permutation of 0..size-1 that computes any entry and keeps only small tables.

    A Feistel network on (column, row) of a near square grid; the few cells of the grid beyond
    `size` are walked on (Black and Rogaway 2002, "Ciphers with arbitrary finite domains").
    """

    ROUNDS = 4

    def __init__(self, size: int, rng: np.random.Generator) -> None:
        self.size = size
        self._columns = max(1, math.isqrt(size))
        self._rows = -(-size // self._columns)
        self._tables = [
            (
                rng.integers(0, self._columns, self._rows, dtype=np.uint32),
                rng.integers(0, self._rows, self._columns, dtype=np.uint32),
            )
            for _ in range(self.ROUNDS // 2)
        ]

    def _once(self, index: NDArray[np.uint64]) -> NDArray[np.uint64]:
        row64 = index // np.uint64(self._columns)
        column = (index - row64 * np.uint64(self._columns)).astype(np.uint32)
        row = row64.astype(np.uint32)
        columns, rows = np.uint32(self._columns), np.uint32(self._rows)
        for by_row, by_column in self._tables:
            column += by_row[row]
            column -= (column >= columns) * columns
            row += by_column[column]
            row -= (row >= rows) * rows
        return row.astype(np.uint64) * np.uint64(self._columns) + column

    def at(self, index: NDArray[np.uint64]) -> NDArray[np.uint64]:
        """Entries of the permutation."""
        result = self._once(index)
        while len(beyond := np.flatnonzero(result >= self.size)):
            result[beyond] = self._once(result[beyond])
        return result


class TableFile:
    """A Parquet file of full row groups, whatever the sizes of the pieces that come in.

    Columns may be dictionary arrays while the file declares them utf8: the declared schema is what
    readers see, the dictionaries are only how the bytes are laid.
    """

    def __init__(
        self, path: Path, declared: pa.Schema, encodings: Mapping[str, str] | None = None
    ) -> None:
        # A handle: pyarrow takes a name with a colon for an address, and none that is not UTF-8.
        self._file = path.open("wb")
        self._declared = declared
        self._encodings = dict(encodings or {})
        self._writer: pq.ParquetWriter | None = None
        self._pending: list[pa.Table] = []
        self._pending_rows = 0
        self.rows = 0

    def write(self, columns: Sequence[pa.Array]) -> None:
        table = pa.Table.from_arrays(list(columns), names=self._declared.names)
        self._pending.append(table)
        self._pending_rows += table.num_rows
        self.rows += table.num_rows
        while self._pending_rows >= GROUP_ROWS:
            self._flush(GROUP_ROWS)

    def _flush(self, rows: int) -> None:
        table = pa.concat_tables(self._pending)
        self._group(table.slice(0, rows))
        rest = table.slice(rows)
        self._pending = [rest] if rest.num_rows else []
        self._pending_rows = rest.num_rows

    def _group(self, table: pa.Table) -> None:
        if self._writer is None:
            schema = table.schema
            numeric = [f.name for f in schema if pa.types.is_primitive(f.type)]
            self._writer = pq.ParquetWriter(
                self._file,
                schema,
                compression="zstd",
                compression_level=1,
                use_dictionary=[f.name for f in schema if pa.types.is_dictionary(f.type)],
                column_encoding=self._encodings or None,
                dictionary_pagesize_limit=1 << 27,
                write_statistics=numeric,
                store_schema=False,
            )
        self._writer.write_table(table, row_group_size=GROUP_ROWS)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        with self._file:
            self._end(kind is None)

    def _end(self, is_whole: bool) -> None:
        if is_whole and (self._pending or self._writer is None):
            empty = pa.Table.from_batches([], self._declared)
            self._pending = self._pending or [empty]
            self._flush(self._pending_rows)
        if self._writer is not None:
            stored = base64.b64encode(self._declared.serialize().to_pybytes())
            self._writer.add_key_value_metadata({"ARROW:schema": stored.decode("ascii")})
            self._writer.close()
