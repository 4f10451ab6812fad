"""Frames: tables in memory, of whatever make, as one Arrow stream; and the calls that mend them.

pyarrow, Polars, DuckDB and pandas hand over what they hold; a query that waits is collected, a data
set is scanned, a mapping is taken by its columns. What is none of that is refused with the call
that would make a table of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import pyarrow as pa

from switch.errors import InputRefused
from switch.files.columns import shown
from switch.schema import Column, Kind


class ArrowStream(Protocol):
    """A table in memory that hands over its rows: of pyarrow, Polars, DuckDB or pandas."""

    def __arrow_c_stream__(self, requested_schema: None = None, /) -> object: ...


class Query(Protocol):
    """A table that is computed when it is asked for: a LazyFrame of Polars."""

    def collect(self) -> ArrowStream: ...


class Scanned(Protocol):
    """A scan of rows: a Scanner of pyarrow."""

    def to_reader(self) -> object: ...


class DataSet(Protocol):
    """Files that are one table: a Dataset of pyarrow."""

    def scanner(self) -> Scanned: ...


Frame = ArrowStream | Query | DataSet | Scanned | Mapping[str, object]
"""A table in memory."""

INTEGERS = (Kind.LINE_NO, Kind.ID, Kind.AMOUNT, Kind.PERIOD, Kind.PRIORITY)
CASTS = {
    "pandas": ('table[{0!r}] = table[{0!r}].astype("{1}")', "Int64", "string"),
    "polars": ("table.with_columns(pl.col({0!r}).cast(pl.{1}))", "Int64", "String"),
    "duckdb": ("table.project('* REPLACE (CAST({0} AS {1}) AS {0})')", "BIGINT", "VARCHAR"),
    "pyarrow": (
        "table.set_column(table.schema.get_field_index({0!r}), {0!r}, table[{0!r}].cast({1!r}))",
        "int64",
        "string",
    ),
}
"""Calls that convert a column, and the names of a whole number and a text, by who makes tables."""
REMEDY = "give a path, or a pyarrow, Polars, DuckDB or pandas table"


def stream_of(source: Frame, name: str) -> pa.RecordBatchReader:
    """The rows of a table in memory, once. name: for messages. Raises InputRefused for what is
    none, with the call that makes one of it."""
    found: Any = source
    try:
        if not hasattr(found, "__arrow_c_stream__"):
            found = _collected(found, name)
        if type(getattr(found, "index", None)).__name__ == "Index" and found.index.name is None:
            # Numbers of rows that nobody named are no column.
            found = pa.Table.from_pandas(found, preserve_index=False)
        return pa.RecordBatchReader.from_stream(found)
    except InputRefused:
        raise
    except Exception as error:  # Whatever a table of others fails with, it cannot be read.
        column = _streamless(found)
        what = "a column is of a type that no Arrow stream holds"
        if column is None and not isinstance(error, pa.ArrowException | TypeError):
            what = f"its rows cannot be handed over ({type(error).__name__})"
        remedy = "leave that column out, or write it as a type that docs/contract.md has"
        if hasattr(found, "to_frame") and not hasattr(found, "columns"):
            remedy = "give a frame of all columns: a series is one of them"
        raise InputRefused("TYPE", what, file=name, column=column, remedy=remedy) from error


def kept(source: Frame, name: str) -> pa.Table:
    """All rows of a table in memory, for who reads them more than once."""
    reader = stream_of(source, name)
    try:
        return reader.read_all()
    except (pa.ArrowException, OSError) as error:
        raise InputRefused(
            "FILE_BAD",
            f"its rows cannot be read to their end ({type(error).__name__})",
            file=name,
            remedy="give a table whose rows are there",
        ) from error


def _collected(source: Any, name: str) -> Any:
    """A table that hands over its rows, made of one that does not."""
    if isinstance(source, Mapping):
        return _of_columns(source, name)
    if hasattr(source, "__arrow_c_array__"):
        return pa.table(pa.record_batch(source))
    if maker_of(source) == "polars" and hasattr(source, "collect"):
        return source.collect()
    if maker_of(source) == "pyarrow" and hasattr(source, "scanner"):
        source = source.scanner()
    if maker_of(source) == "pyarrow" and hasattr(source, "to_reader"):
        return source.to_reader()
    remedy = REMEDY
    if isinstance(source, list | tuple):
        remedy = "give pyarrow.Table.from_pylist(rows), where it holds rows as dictionaries"
    elif hasattr(source, "toArrow"):
        remedy = "give table.toArrow()"
    raise InputRefused("TYPE", f"a {type(source).__name__} is no table", remedy=remedy)


def _of_columns(columns: Mapping[Any, Any], name: str) -> pa.Table:
    """A table of a mapping: columns of equal length by their names."""
    arrays = {}
    for title, values in columns.items():
        try:
            if not isinstance(title, str):
                raise TypeError("a name is no text")
            array = values if isinstance(values, pa.ChunkedArray) else pa.array(values)
        except Exception as error:
            raise InputRefused(
                "TYPE",
                "the column holds values of several types, or none that Arrow has",
                file=name,
                column=shown(str(title)),
                remedy="give a list, an array or a series of values of one type",
            ) from error
        arrays[title] = array
    if len({len(array) for array in arrays.values()}) > 1:
        remedy = "give every column as many values"
        raise InputRefused("TYPE", "the columns differ in length", file=name, remedy=remedy)
    return pa.table(arrays)


def maker_of(source: object) -> str:
    """The package whose table it is; "pyarrow" where it is of no known one."""
    module = type(source).__module__.partition(".")[0].lstrip("_")
    return module if module in CASTS else "duckdb" if module.startswith("duckdb") else "pyarrow"


def conversion(maker: str, column: Column) -> str:
    """The call that converts a column to what it is read as; '' where there is no short one."""
    call, whole, text = CASTS[maker]
    if column.kind in INTEGERS:
        return call.format(column.name, whole)
    return call.format(column.name, text) if column.kind in (Kind.CODE, Kind.TEXT) else ""


def _streamless(source: Any) -> str | None:
    """The column for which a frame cannot be handed over; None where it does not say which."""
    if not hasattr(source, "__arrow_c_stream__") or not hasattr(source, "columns"):
        return None
    names = list(source.columns)
    for name in names:
        try:
            pa.RecordBatchReader.from_stream(source[[name]])
        except Exception:
            return shown(str(name))
    return None
