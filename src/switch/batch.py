"""Tables in: any of Parquet, Arrow IPC, CSV or an Arrow C stream, as chunks of strict columns.

Floor 2. A reader either yields columns that are exactly what the schema says, or refuses the whole
file with its row and column. What is read is never guessed: text is not turned into numbers but in
CSV, floats are never money, and a column that is not ours is named in a warning.
"""

from __future__ import annotations

import csv
import hashlib
import os
import stat
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from switch import _text
from switch.errors import EnvironmentFailed, InputRefused
from switch.schema import (
    DAY_MAX,
    DAY_MIN,
    LINES_MAX,
    NO_CODE,
    YEAR_MAX,
    YEAR_MIN,
    Column,
    Kind,
    Table,
    month_of,
)

CHUNK_ROWS = 1 << 17
ROW_BYTES_MAX = 1 << 20
READ_BYTES = 1 << 22
ROWS_PER_GROUP_MIN = 64
GROUPS_FREE = 1024
DICTIONARY_BYTES_PER_ROW = 6
PERIOD_MIN, PERIOD_MAX = YEAR_MIN * 100 + 1, YEAR_MAX * 100 + 12
_MONTH_OF = np.array(
    [NO_CODE if (m := month_of(p)) is None else m for p in range(PERIOD_MIN, PERIOD_MAX + 1)],
    np.uint16,
)


@dataclass(slots=True)
class Texts:
    """A text column: values, and where it came as a dictionary the index of each row's value.

    values: pa.StringArray (int32 offsets). index: int32[rows], -1 for null, or None where values
    stand row by row (nulls as the array says).
    """

    values: Any
    index: np.ndarray[Any, np.dtype[np.int32]] | None

    def buffers(self) -> tuple[Any, Any]:
        """(offsets int32, data uint8) of values, as the kernels take them."""
        return text_buffers(self.values)

    def rows(self) -> Any:
        """The column as a plain pa.StringArray, row by row."""
        if self.index is None:
            return self.values
        mask = self.index < 0
        return self.values.take(pa.array(np.where(mask, 0, self.index), mask=mask))

    def null_rows(self) -> np.ndarray[Any, np.dtype[np.bool_]]:
        if self.index is not None:
            return self.index < 0
        return np.asarray(self.values.is_null())


Columns = dict[str, Any]
"""Columns of one chunk by name: numpy arrays for LINE_NO (uint32), ID (uint64, 2**64-1 where the
text is no id), AMOUNT (int64), PERIOD (uint16 months since 1900-01), DATE (int32 days), PRIORITY
(uint8); `Texts` for CODE and TEXT. A nullable column that the file lacks is absent."""


def text_buffers(array: Any) -> tuple[Any, Any]:
    """(offsets int32[n + 1], data uint8) of a pa.StringArray; offsets are absolute in data."""
    _, offsets, data = array.buffers()
    if offsets is None or len(array) == 0:
        return np.zeros(1, np.int32), np.empty(0, np.uint8)
    start = array.offset
    return (
        np.frombuffer(offsets, np.int32)[start : start + len(array) + 1],
        np.frombuffer(data, np.uint8) if data is not None else np.empty(0, np.uint8),
    )


class TableReader:
    """One table, opened once. Iterate `chunks()` once; `sha256` is that of the file's bytes."""

    def __init__(
        self,
        table: Table,
        name: str,
        schema: Any,
        batches: Callable[[], Iterator[Any]],
        *,
        rows: int | None = None,
        sha256: str | None = None,
        from_text: bool = False,
        strict_columns: bool = False,
        unchanged: Callable[[], None] | None = None,
        only: tuple[str, ...] | None = None,
    ) -> None:
        self.table = table
        self.name = name
        self.rows = rows
        """Rows that the file declares, where its format says so before reading."""
        self.sha256 = sha256
        self.from_text = from_text
        self._batches = batches
        self._unchanged = unchanged
        self._only = only
        self.extra = self._check_columns(list(schema.names), strict_columns)
        for column in table.columns:
            if column.name in schema.names and not from_text:
                self._check_type(column, schema.field(column.name).type)

    def _check_columns(self, names: list[str], strict: bool) -> list[str]:
        seen: dict[str, str] = {}
        for name in names:
            key = unicodedata.normalize("NFC", name).casefold()
            if key in seen:
                raise InputRefused(
                    "HEADER_DUPLICATE",
                    f"column {name!r} stands twice",
                    file=self.name,
                    column=name,
                    remedy="keep one column of each name",
                )
            seen[key] = name
        known = {column.name for column in self.table.columns}
        missing = [c.name for c in self.table.columns if not c.nullable and c.name not in names]
        if missing:
            hint = ""
            if len(names) == 1 and ";" in names[0]:
                hint = "; the file seems to be separated by semicolons, use commas"
            raise InputRefused(
                "HEADER_MISMATCH",
                f"the {self.table.name} lacks the column {missing[0]!r}",
                file=self.name,
                column=missing[0],
                remedy=f"give the columns {', '.join(c.name for c in self.table.columns)}{hint}",
            )
        extra = [name for name in names if name not in known]
        if extra and strict:
            raise InputRefused(
                "HEADER_MISMATCH",
                f"unknown column {extra[0]!r}",
                file=self.name,
                column=extra[0],
                remedy="remove it, or read without --strict-columns",
            )
        return extra

    def _check_type(self, column: Column, kind: Any) -> None:
        value = kind.value_type if pa.types.is_dictionary(kind) else kind
        types = pa.types
        text = types.is_string(value) or types.is_large_string(value) or types.is_string_view(value)
        plain_integer = types.is_integer(kind)
        fits = {
            Kind.LINE_NO: plain_integer,
            Kind.ID: text or plain_integer,
            Kind.AMOUNT: plain_integer or (types.is_decimal(kind) and kind.scale == 0),
            Kind.PERIOD: text or plain_integer,
            Kind.DATE: types.is_date(kind) or (types.is_timestamp(kind) and kind.tz is None),
            Kind.PRIORITY: plain_integer,
            Kind.CODE: text,
            Kind.TEXT: text or (column.name == "household_id" and plain_integer),
            Kind.INSTANT: types.is_timestamp(kind),
        }[column.kind]
        # A column of nothing but nulls has no type of its own; the null check speaks for it.
        if not fits and not (types.is_null(kind) and column.nullable):
            raise InputRefused(
                "TYPE",
                f"column {column.name!r} is {kind}",
                file=self.name,
                column=column.name,
                remedy=f"write it as {column.kind.value}",
            )

    def chunks(self, rows: int = CHUNK_ROWS) -> Iterator[Columns]:
        """The table as chunks of at most rows rows, in order."""
        done = 0
        try:
            for batch in self._batches():
                for start in range(0, batch.num_rows, rows):
                    part = batch.slice(start, rows)
                    yield self._columns(part, done)
                    done += part.num_rows
                    if done > LINES_MAX:
                        raise self._refuse("ROW_LIMIT", f"more than {LINES_MAX} rows", "split it")
        except pa.ArrowException as error:
            raise InputRefused(
                "FILE_BAD",
                f"the file cannot be read to its end: {_first_line(error)}",
                file=self.name,
                row=done + 1,
                remedy="ask for the file again; it is damaged or cut off",
            ) from error
        if self._unchanged is not None:
            self._unchanged()
        if done == 0:
            raise self._refuse("NO_LINES", "the table has no rows", "send a table with rows")

    def _refuse(
        self, rule: str, what: str, remedy: str, row: int | None = None, column: str | None = None
    ) -> InputRefused:
        return InputRefused(rule, what, remedy=remedy, file=self.name, row=row, column=column)

    def _columns(self, batch: Any, done: int) -> Columns:
        out: Columns = {}
        names = batch.schema.names
        for column in self.table.columns:
            if column.name not in names or (self._only and column.name not in self._only):
                continue
            array = batch.column(names.index(column.name))
            if self.from_text and column.nullable:
                array = pc.replace_with_mask(
                    array, pc.equal(array, ""), pa.scalar(None, pa.string())
                )
            if array.null_count and not column.nullable:
                row = int(np.argmax(np.asarray(array.is_null())))
                raise self._refuse(
                    "NULL_REQUIRED" if column.kind is not Kind.AMOUNT else "AMOUNT_MISSING",
                    f"column {column.name!r} has no value",
                    "fill it in; this column may not be empty",
                    done + row + 1,
                    column.name,
                )
            if pa.types.is_null(array.type):
                continue
            try:
                out[column.name] = self._read(column, array)
            except _BadValue as bad:
                raise self._refuse(
                    bad.rule, bad.what, bad.remedy, done + bad.row + 1, column.name
                ) from None
        return out

    def _read(self, column: Column, array: Any) -> Any:
        kind = column.kind
        if kind is Kind.AMOUNT:
            return _limits(array) if column.nullable else _amounts(array)
        if kind is Kind.ID:
            return _ids(array, self.from_text)
        if kind is Kind.CODE or (kind is Kind.TEXT and column.name == "person_name"):
            return _texts(array, kind is Kind.CODE, check=kind is Kind.CODE)
        if kind is Kind.TEXT:
            return _texts(array, False, check=True)
        if kind is Kind.PERIOD:
            return _months(array)
        if kind is Kind.DATE:
            return _days(array, DAY_MAX if column.name == "valid_to" else DAY_MIN)
        if kind is Kind.PRIORITY:
            return _integers(array, 0, 255, "priority", self.from_text).astype(np.uint8)
        if kind is Kind.LINE_NO:
            return _integers(array, 1, LINES_MAX, "line number", self.from_text).astype(np.uint32)
        raise AssertionError(kind)


class _BadValue(Exception):
    """A value that cannot be read as its type: row is 0-based in the chunk."""

    def __init__(self, rule: str, row: int, what: str, remedy: str) -> None:
        self.rule, self.row, self.what, self.remedy = rule, row, what, remedy


def _first_line(error: Exception) -> str:
    """An Arrow message without the data that it may quote."""
    text = str(error).splitlines()[0] if str(error) else type(error).__name__
    return text.split(":")[0][:80]


def _validate(array: Any) -> None:
    try:
        array.validate(full=True)
    except pa.ArrowException as error:
        raise _BadValue(
            "ARROW_INVALID",
            0,
            f"the column's data is damaged ({_first_line(error)}, in this row or after it)",
            "ask for the file again; text must be UTF-8 and offsets in order",
        ) from None


def _as_string(array: Any) -> Any:
    """Any text array as pa.StringArray with int32 offsets."""
    if not pa.types.is_string(array.type):
        try:
            array = array.cast(pa.string())
        except pa.ArrowInvalid:
            raise _BadValue(
                "FIELD_TOO_LONG", 0, "a chunk of text exceeds 2 GiB", "shorten the values"
            ) from None
    return array


def _texts(array: Any, encode: bool, check: bool) -> Texts:
    """Text as is, or with encode as dictionary. check: validate UTF-8 and bounds in full."""
    if pa.types.is_integer(array.type):
        return Texts(array.cast(pa.string()), None)
    if not pa.types.is_dictionary(array.type):
        array = _as_string(array)
        if check:
            _validate(array)
        if not encode:
            return Texts(array, None)
        array = array.dictionary_encode()
    else:
        if pa.types.is_dictionary(array.type.value_type):
            raise _BadValue("TYPE", 0, "a dictionary of dictionaries", "write plain text")
        bounds = pc.min_max(array.indices)
        if len(array.indices) > array.indices.null_count and (
            bounds["min"].as_py() < 0 or bounds["max"].as_py() >= len(array.dictionary)
        ):
            raise _BadValue(
                "ARROW_INVALID", 0, "a dictionary index is out of range", "ask for the file again"
            )
        if check:
            _validate(array.dictionary)
    values = _as_string(array.dictionary)
    indices = array.indices
    if values.null_count:
        nulls = np.asarray(values.is_null())
        index = np.asarray(pc.fill_null(indices.cast(pa.int32()), -1))
        index = np.where((index >= 0) & nulls[index], -1, index).astype(np.int32)
        values = pc.fill_null(values, "")
    else:
        if indices.null_count:
            indices = pc.fill_null(indices.cast(pa.int32()), -1)
        elif indices.type != pa.int32():
            indices = indices.cast(pa.int32())
        index = np.asarray(indices)
    return Texts(values, index)


def _ids(array: Any, from_text: bool) -> Any:
    if pa.types.is_dictionary(array.type):
        array = array.cast(array.type.value_type)
    if not pa.types.is_integer(array.type):
        array = _as_string(array)
        _validate(array)
        ids = np.empty(len(array), np.uint64)
        odd = _text.parse_ids(*text_buffers(array), ids)
        if from_text and odd >= 0:
            raise _BadValue(
                "ID_LENGTH",
                odd,
                "the id is not 12 characters long",
                "write ids as text with their leading zeros",
            )
        return ids
    values = np.asarray(array)
    # Negative numbers wrap to more than 12 digits: malformed ids, a reason code of their line.
    return values.astype(np.uint64)


def _amounts(array: Any) -> Any:
    if pa.types.is_string(array.type):
        amounts = np.empty(len(array), np.int64)
        row, fault = _text.parse_amounts(*text_buffers(array), amounts)
        if row >= 0:
            rule = {_text.Fault.MISSING: "AMOUNT_MISSING", _text.Fault.RANGE: "AMOUNT_RANGE"}
            raise _BadValue(
                rule.get(fault, "AMOUNT_FORMAT"),
                row,
                "the amount is not a whole number in plain digits that fits 64 bits",
                "write whole dong without marks, signs, blanks or decimals",
            )
        return amounts
    if not pa.types.is_int64(array.type):
        try:
            array = array.cast(pa.int64())
        except pa.ArrowInvalid:
            values = array.cast(pa.decimal128(38, 0)).to_pylist()
            row = next(i for i, v in enumerate(values) if not -(2**63) <= v < 2**63)
            raise _BadValue(
                "AMOUNT_RANGE", row, "the amount does not fit 64 bits", "correct the amount"
            ) from None
    return np.asarray(array)


def _limits(array: Any) -> Any:
    """Amounts of which some are absent: 2**63-1, no limit."""
    given = ~np.asarray(array.is_null())
    limits = np.full(len(array), 2**63 - 1, np.int64)
    try:
        limits[given] = _amounts(array.drop_null())
    except _BadValue as bad:
        bad.row = int(np.flatnonzero(given)[bad.row])
        raise
    return limits


def _integers(array: Any, low: int, high: int, what: str, from_text: bool) -> Any:
    if from_text:
        values = _amounts(array)
    else:
        try:
            values = np.asarray(array.cast(pa.int64()))
        except pa.ArrowInvalid:
            values = np.asarray(array.cast(pa.float64()))
    outside = (values < low) | (values > high)
    if outside.any():
        raise _BadValue(
            "RANGE",
            int(np.argmax(outside)),
            f"the {what} is not between {low} and {high}",
            f"correct the {what}",
        )
    return values


def _months(array: Any) -> Any:
    bad = _BadValue("PERIOD_INVALID", 0, "the period is no month", "write it as yyyymm or yyyy-mm")
    if pa.types.is_integer(array.type):
        periods = np.asarray(array.cast(pa.int64(), safe=False))
        outside = (periods < PERIOD_MIN) | (periods > PERIOD_MAX)
        found = _MONTH_OF[np.where(outside, 0, periods - PERIOD_MIN)]
        outside |= found == NO_CODE
        if outside.any():
            bad.row = int(np.argmax(outside))
            raise bad
        return found
    texts = _texts(array, True, check=True)
    assert texts.index is not None
    values = texts.values.to_pylist()
    month_by_value = np.array([_month_of_text(value) for value in values] or [-1], np.int64)
    months = month_by_value[texts.index]
    if (months < 0).any():
        bad.row = int(np.argmax(months < 0))
        raise bad
    return months.astype(np.uint16)


def _month_of_text(text: str) -> int:
    digits = text.replace("-", "", 1) if len(text) == 7 and text[4] == "-" else text
    if len(digits) != 6 or not (digits.isascii() and digits.isdigit()):
        return -1
    month = month_of(int(digits))
    return -1 if month is None else month


def _days(array: Any, null: int) -> Any:
    if pa.types.is_dictionary(array.type):
        array = array.cast(array.type.value_type)
    if pa.types.is_string(array.type):
        texts = _texts(array, True, check=True)
        assert texts.index is not None
        days = [_day_of_text(value) for value in texts.values.to_pylist()]
        lookup = np.array([*(-1 if d is None else d for d in days), null], np.int64)
        broken = np.array([*(d is None for d in days), False])
        if broken[texts.index].any():
            raise _BadValue(
                "DATE_INVALID",
                int(np.argmax(broken[texts.index])),
                "the date does not exist",
                "write dates as yyyy-mm-dd",
            )
        return lookup[texts.index].astype(np.int32)
    if not pa.types.is_date32(array.type):
        dates = array.cast(pa.date32(), safe=False)
        back = dates.cast(array.type)
        if not pc.all(pc.fill_null(pc.equal(back, array), True)).as_py():
            row = pc.index(pc.fill_null(pc.equal(back, array), True), False).as_py()
            raise _BadValue("TYPE", row, "the date has a time of day", "write dates as date32")
        array = dates
    days = array.cast(pa.int32())
    return np.asarray(pc.fill_null(days, null) if days.null_count else days)


def _day_of_text(text: str) -> int | None:
    try:
        value = np.datetime64(text, "D") if len(text) == 10 else None
    except ValueError:
        return None
    return None if value is None else int(value.astype(np.int64))


# --- opening -----------------------------------------------------------------------------------


def open_table(
    source: Any,
    table: Table,
    *,
    strict_columns: bool = False,
    digest: bool = True,
    only: tuple[str, ...] | None = None,
) -> TableReader:
    """Open a file (path) or an Arrow C stream (any object with `__arrow_c_stream__`).

    The format of a file is known by its content. digest: compute `sha256` of a file before any of
    it is decoded. only: the columns that the caller wants. Raises InputRefused, or
    EnvironmentFailed where the file cannot be read at all.
    """
    if isinstance(source, str | os.PathLike):
        return _open_file(Path(source), table, strict_columns, digest, only)
    if isinstance(source, pa.RecordBatch):
        source = pa.Table.from_batches([source])
    if not hasattr(source, "__arrow_c_stream__"):
        raise InputRefused(
            "TYPE",
            f"a {type(source).__name__} is no table",
            remedy="give a path, or a pyarrow, Polars, DuckDB or pandas table",
        )
    reader = pa.RecordBatchReader.from_stream(source)

    def batches() -> Iterator[Any]:
        yield from reader

    rows = getattr(source, "num_rows", None)
    return TableReader(
        table,
        table.name,
        reader.schema,
        batches,
        rows=rows if isinstance(rows, int) else None,
        strict_columns=strict_columns,
        only=only,
    )


def _open_file(
    path: Path, table: Table, strict_columns: bool, digest: bool, only: tuple[str, ...] | None
) -> TableReader:
    name = str(path)
    before = regular_file(path)
    if before.st_size == 0:
        raise InputRefused("FILE_EMPTY", "the file is empty", file=name, remedy="send it again")
    scan = _text.CsvScan(ROW_BYTES_MAX)
    hasher = hashlib.sha256()
    try:
        with path.open("rb") as stream:
            head = stream.read(8)
            stream.seek(0)
            is_text = not (head[:4] in (b"PAR1", b"PARE") or head[:6] == b"ARROW1") and (
                head[:4] != b"\xff\xff\xff\xff"
            )
            if digest or is_text:
                while block := stream.read(READ_BYTES):
                    hasher.update(block)
                    if is_text and not scan.feed(block):
                        break
    except OSError as error:
        raise EnvironmentFailed(f"{name} cannot be read: {error.strerror}") from error
    if is_text:
        _judge_csv(scan, head, path)

    def unchanged() -> None:
        after = path.stat()
        same = ("st_dev", "st_ino", "st_size", "st_mtime_ns")
        if any(getattr(before, field) != getattr(after, field) for field in same):
            raise InputRefused(
                "CHANGED_DURING_READ",
                "the file changed while it was read",
                file=name,
                remedy="send it again when its writer is done",
            )

    opener = _csv if is_text else _parquet if head[:3] == b"PAR" else _arrow
    wanted = {c.name: c.kind for c in table.columns if only is None or c.name in only}
    schema, batches, rows = opener(path, wanted)
    return TableReader(
        table,
        name,
        schema,
        batches,
        rows=rows,
        sha256=hasher.hexdigest() if digest else None,
        from_text=is_text,
        strict_columns=strict_columns,
        unchanged=unchanged,
        only=only,
    )


def regular_file(path: Path) -> os.stat_result:
    """The file's status; refuses what is no plain file (links, pipes, devices, folders)."""
    try:
        status = path.lstat()
    except (OSError, ValueError) as error:
        what = getattr(error, "strerror", None) or "its name is not usable"
        raise InputRefused(
            "FILE_MISSING", f"the file cannot be opened: {what}", file=str(path), remedy="check it"
        ) from error
    if not stat.S_ISREG(status.st_mode):
        raise InputRefused(
            "NOT_REGULAR",
            "not a regular file",
            file=str(path),
            remedy="give the file itself, not a link, pipe, device or folder",
        )
    return status


def _judge_csv(scan: Any, head: bytes, path: Path) -> None:
    if head[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise InputRefused(
            "ENCODING", "the file is UTF-16", file=str(path), remedy="save it as UTF-8"
        )
    if scan.finish():
        return
    fault = _text.Fault
    rule, what, remedy = {
        fault.ENCODING: ("ENCODING", "the text is not UTF-8", "save the file as UTF-8"),
        fault.ROW_WIDTH: (
            "ROW_WIDTH",
            f"the row does not have {scan.columns} cells as the header has",
            "quote cells that hold commas; check that the file is whole",
        ),
        fault.ROW_BLANK: ("ROW_BLANK", "the row is blank", "remove blank rows"),
        fault.QUOTE: ("CSV_QUOTE", "a quote is not closed or stands inside a cell", "quote cells"),
        fault.LINE_END: ("LINE_END", "a line ends with CR alone", "end lines with LF or CRLF"),
        fault.LINE_LENGTH: ("LINE_TOO_LONG", f"a row exceeds {ROW_BYTES_MAX} bytes", "check it"),
    }[fault(scan.fault)]
    row = int(scan.rows)
    names = _header(path) if row else []
    column = names[scan.column] if 0 <= scan.column < len(names) else None
    raise InputRefused(
        rule, what, file=str(path), row=row or None, column=column, remedy=remedy
    )


def _header(path: Path) -> list[str]:
    with path.open("rb") as stream:
        line = stream.readline(ROW_BYTES_MAX).decode("utf-8-sig", "replace").rstrip("\r\n")
    return next(csv.reader([line]), [])


def _csv(path: Path, wanted: dict[str, Kind]) -> tuple[Any, Callable[[], Iterator[Any]], None]:
    names = _header(path)
    schema = pa.schema([(name, pa.string()) for name in names])

    def batches() -> Iterator[Any]:
        yield from pacsv.open_csv(
            str(path),
            read_options=pacsv.ReadOptions(
                use_threads=False, block_size=READ_BYTES, encoding="utf-8"
            ),
            parse_options=pacsv.ParseOptions(newlines_in_values=True, ignore_empty_lines=False),
            convert_options=pacsv.ConvertOptions(
                check_utf8=False,
                column_types=schema,
                include_columns=[name for name in names if name in wanted],
                strings_can_be_null=False,
            ),
        )

    return schema, batches, None


def _parquet(path: Path, wanted: dict[str, Kind]) -> tuple[Any, Callable[[], Iterator[Any]], int]:
    try:
        parquet = pq.ParquetFile(path, pre_buffer=False)
        schema = parquet.schema_arrow
        meta = parquet.metadata
    except (pa.ArrowException, OSError, ValueError) as error:
        encrypted = "encrypt" in str(error).lower()
        raise InputRefused(
            "PARQUET_UNSUPPORTED" if encrypted else "PARQUET_BAD",
            "the file is encrypted" if encrypted else "the file is no Parquet file, or is cut off",
            file=str(path),
            remedy="write it without encryption" if encrypted else "send the file again",
        ) from error
    if meta.num_row_groups > GROUPS_FREE + meta.num_rows // ROWS_PER_GROUP_MIN:
        raise InputRefused(
            "ROWGROUP_LIMIT",
            f"{meta.num_row_groups} row groups for {meta.num_rows} rows",
            file=str(path),
            remedy="write row groups of 100,000 rows or more",
        )
    columns = [name for name in wanted if name in schema.names]
    as_dictionary = [
        name
        for name in columns
        if wanted[name] is Kind.CODE or (wanted[name] is Kind.TEXT and _is_compact(meta, name))
    ]

    def batches() -> Iterator[Any]:
        reader = pq.ParquetFile(path, read_dictionary=as_dictionary, pre_buffer=False)
        with reader:
            yield from reader.iter_batches(
                batch_size=CHUNK_ROWS, columns=columns, use_threads=False
            )

    return schema, batches, meta.num_rows


def _is_compact(meta: Any, name: str) -> bool:
    """Whether a text column stands as a dictionary that is much smaller than its rows."""
    if meta.num_row_groups == 0:
        return False
    group = meta.row_group(0)
    for index in range(group.num_columns):
        column = group.column(index)
        if column.path_in_schema == name:
            return (
                "RLE_DICTIONARY" in column.encodings or "PLAIN_DICTIONARY" in column.encodings
            ) and column.total_uncompressed_size < DICTIONARY_BYTES_PER_ROW * group.num_rows
    return False


def _arrow(
    path: Path, wanted: dict[str, Kind]
) -> tuple[Any, Callable[[], Iterator[Any]], int | None]:
    def fail(error: Exception) -> InputRefused:
        return InputRefused(
            "ARROW_INVALID",
            f"the file is no sound Arrow file ({_first_line(error)})",
            file=str(path),
            remedy="send the file again; it is damaged or cut off",
        )

    with path.open("rb") as stream:
        is_file = stream.read(6) == b"ARROW1"
    try:
        reader = (pa.ipc.open_file if is_file else pa.ipc.open_stream)(pa.OSFile(str(path)))
        schema = reader.schema
    except (pa.ArrowException, OSError) as error:
        raise fail(error) from error

    def batches() -> Iterator[Any]:
        try:
            if is_file:
                for index in range(reader.num_record_batches):
                    yield _valid(reader.get_batch(index))
            else:
                for batch in reader:
                    yield _valid(batch)
                _require_end_mark(path)
        except (pa.ArrowException, OSError) as error:
            raise fail(error) from error

    return schema, batches, None


def _valid(batch: Any) -> Any:
    """One altered offset crashes a reader on access: everything is judged before it is touched."""
    batch.validate(full=True)
    return batch


def _require_end_mark(path: Path) -> None:
    with path.open("rb") as stream:
        stream.seek(-8, os.SEEK_END)
        if stream.read(8) != b"\xff\xff\xff\xff\x00\x00\x00\x00":
            raise InputRefused(
                "ARROW_TRUNCATED",
                "the stream has no end mark",
                file=str(path),
                remedy="send the file again; it was cut off",
            )
