"""Record sets: what is held against each other, whatever file or table it came in.

A record has the columns of RECORD, however its set calls them. Sets are read part by part, so that
a set of files of any length never stands in memory whole; `take` reads single records again.
"""

from __future__ import annotations

import datetime
import functools
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple, TypeAlias, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from switch.errors import InputRefused
from switch.files.columns import LOCAL_US, first_line
from switch.files.file_schemas import RECORD
from switch.files.parquet_reader import in_one
from switch.files.threads import in_order
from switch.reconcile.match.files import File
from switch.reconcile.match.rules import AMOUNT_BOUND
from switch.schema import YEAR_MAX, YEAR_MIN

PART_ROWS = 1 << 17
_FEW = ("participant", "status", "reason", "currency", "side")
"""Columns of few distinct values: they are read as the dictionaries that files hold."""
DAY_US = 86_400_000_000
Chunk = dict[str, pa.Array]
"""Columns of a part by name, as Arrow arrays; absent where the set has no such column."""
Source: TypeAlias = str | Path | pa.Table
"""A Parquet file, or an Arrow table."""
Fixed = dict[str, str | int]
"""Values of columns that stand for all rows of a source."""
Read = Callable[[Iterable[str]], Chunk]
T = TypeVar("T")


def day_us(day: datetime.date) -> int:
    """The beginning of a day in microseconds since 1970."""
    return (day - datetime.date(1970, 1, 1)).days * DAY_US


_AT_FIRST = day_us(datetime.date(YEAR_MIN, 1, 1))
_AT_END = day_us(datetime.date(YEAR_MAX + 1, 1, 1))


def _in_utc(column: pa.Array) -> pa.Array:
    """Times as UTC's: those without a zone are Vietnam's. A day without a time stays that day."""
    is_zoned = pa.types.is_timestamp(column.type) and column.type.tz is not None
    is_day = pa.types.is_date(column.type)
    found = column.cast(pa.timestamp("us"))
    if is_zoned or is_day:
        return found
    local = pc.subtract(found, pa.scalar(LOCAL_US, pa.duration("us")))
    if pa.types.is_timestamp(column.type):
        return local
    return pc.if_else(pc.greater(pc.utf8_length(column), len("2026-11-25")), local, found)


class ByDay:
    """Some records by day, so that those near a day are found without the others. at: their
    places, rising; day: of each."""

    def __init__(self, at: NDArray[np.int64], day: NDArray[np.int64]) -> None:
        order = np.argsort(day, kind="stable")
        self._at, self._days = at[order], day[order]

    def count(self, day: NDArray[np.int64], days: int) -> NDArray[np.int64]:
        """Number of records within so many days of each day."""
        first, end = (np.searchsorted(self._days, at) for at in (day - days, day + days + 1))
        return end - first

    def near(self, day: int, days: int) -> NDArray[np.int64]:
        """Those that stand within so many days of a day, lowest first."""
        first, end = np.searchsorted(self._days, [day - days, day + days + 1])
        return np.sort(self._at[first:end])


class Records:
    """One record set: parts in order, with rows numbered through. in_files: how many of them stand
    in files, of which a few bytes may hold any number."""

    def __init__(self, parts: Iterable[tuple[int, Read]], in_files: int = 0) -> None:
        self._parts = list(parts)
        self.in_files = in_files
        self._starts = np.cumsum([0, *(rows for rows, _ in self._parts)])

    def __len__(self) -> int:
        return int(self._starts[-1])

    def __add__(self, other: Records) -> Records:
        return Records([*self._parts, *other._parts], self.in_files + other.in_files)

    def chunks(
        self, columns: Iterable[str], form: Callable[[Chunk], T], threads: int
    ) -> Iterator[T]:
        """Each part's columns of these names, in order, as form makes them. With more than one
        thread, so many parts are read at a time, at most twice as many ahead."""
        columns = tuple(columns)
        calls = (partial(_formed, read, columns, form) for rows, read in self._parts if rows)
        return in_order(calls, threads)

    def take(
        self, rows: NDArray[np.int64], told: Mapping[str, pa.Array] = MappingProxyType({})
    ) -> pa.Table:
        """The records of these row numbers (rising) as a table of RECORD, in that order. told:
        columns that are known, and need not be read."""
        edges = np.searchsorted(rows, self._starts)
        names = [name for name in RECORD.names if name not in told]
        parts = [RECORD.empty_table()]
        for i, (_, read) in enumerate(self._parts):
            chosen = slice(edges[i], edges[i + 1])
            at = rows[chosen] - self._starts[i]
            if len(at):
                known = {name: column[chosen] for name, column in told.items()}
                parts.append(records_at(read(names), at, known))
        return in_bounds(pa.concat_tables(parts).combine_chunks())


def _formed(read: Read, columns: tuple[str, ...], form: Callable[[Chunk], T]) -> T:
    return form(read(columns))


def records_at(
    chunk: Chunk, rows: NDArray[np.int64], told: Mapping[str, pa.Array] = MappingProxyType({})
) -> pa.Table:
    """These rows of a chunk as a table of RECORD. told: columns that stand for these rows."""
    at = pa.array(rows)
    columns = []
    for field in RECORD:
        if field.name in told:
            columns.append(told[field.name])
        elif field.name in chunk:
            column = pc.take(chunk[field.name], at, boundscheck=False)
            columns.append(column if column.type == field.type else column.cast(field.type))
        else:
            columns.append(pa.nulls(len(at), field.type))
    return pa.Table.from_arrays(columns, schema=RECORD)


def in_bounds(table: pa.Table) -> pa.Table:
    """The same table of RECORD. Raises InputRefused for an amount beyond 2^56 dong."""
    bounds = pc.min_max(table["amount"])
    if len(table) and not (
        -AMOUNT_BOUND < bounds["min"].as_py() and bounds["max"].as_py() < AMOUNT_BOUND
    ):
        what = "an amount is beyond 2^56 dong"
        raise InputRefused("AMOUNT_RANGE", what, column="amount", remedy="correct the amount")
    return table


def records(table: pa.Table) -> Records:
    """A table with columns of RECORD; transfer_id and the like may be absent, at and amount not."""
    return _of(table, {name: name for name in RECORD.names}, {})


def clearing_lines(source: Source, participant: str, day: datetime.date) -> Records:
    """The lines of a receiver's clearing file, expected to be answered from day on."""
    names = {
        "transfer_id": "transfer_id",
        "end_to_end_id": "end_to_end_id",
        "account": "creditor_account",
        "amount": "amount",
    }
    return _of(source, names, {"participant": participant, "at": day_us(day)})


def confirmations(source: Source) -> Records:
    """Receivers' confirmations: a line credited (ACCC) or refused (RJCT)."""
    names = {
        "transfer_id": "transfer_id",
        "account": "creditor_account",
        "amount": "amount",
        "participant": "participant",
        "status": "status",
        "reason": "reason",
        "currency": "currency",
        "at": "booked_at",
    }
    return _of(source, names, {})


def returns(source: Source) -> Records:
    """Receivers' returns: money that comes back after settlement."""
    names = {
        "transfer_id": "transfer_id",
        "record_id": "return_id",
        "amount": "amount",
        "participant": "participant",
        "reason": "reason",
        "currency": "currency",
        "at": "booked_at",
    }
    return _of(source, names, {"status": "RTRN"})


def statement(source: Source) -> Records:
    """Entries of a statement of account; debits (side D) count negative."""
    names = {
        "transfer_id": "transfer_id",
        "end_to_end_id": "end_to_end_id",
        "record_id": "entry_id",
        "account": "account",
        "amount": "amount",
        "side": "side",
        "currency": "currency",
        "at": "booked_on",
    }
    return _of(source, names, {})


def requests(source: Mapping[str, Any], day: datetime.date) -> Records:
    """Records of a settlement request: its parsed JSON document (settlement.json)."""
    document = source
    rows = document["participants"]
    signs = [1 if row["side"] == "credit" else -1 for row in rows]
    table = pa.table(
        {
            "end_to_end_id": pa.array([document["cycle"]] * len(rows), pa.string()),
            "account": pa.array([row["account"] for row in rows], pa.string()),
            "participant": pa.array([row["participant"] for row in rows], pa.string()),
            "amount": pa.array(
                [s * int(row["amount"]) for s, row in zip(signs, rows, strict=True)], pa.int64()
            ),
            "at": pa.array([day_us(day)] * len(rows), pa.int64()),
        }
    )
    return records(table)


def equals(column: pa.Array, value: str) -> pa.Array:
    """True where a text column, plain or of a dictionary, is value; null where it is null."""
    if pa.types.is_dictionary(column.type):
        return pc.equal(column.dictionary, value).take(column.indices)
    return pc.equal(column, value)


def _of(source: Source, names: dict[str, str], fixed: Fixed) -> Records:
    """source: a path (Parquet) or an Arrow table. names: the source's column of each column."""
    if isinstance(source, str | Path):
        few = [names.get(name, name) for name in _FEW]
        file = File(Path(source), names.values(), few)
        form = _Form(_held(names, file.names, fixed, str(source)), fixed, str(source))

        def read(group: int, wanted: Iterable[str]) -> Chunk:
            return form.chunk(partial(file.read, group), file.rows[group], wanted)

        parts = [(rows, partial(read, group)) for group, rows in enumerate(file.rows)]
        return Records(parts, sum(file.rows))
    table = pa.table(source)
    form = _Form(_held(names, table.column_names, fixed, None), fixed, None)

    def cut(start: int, columns: Iterable[str]) -> Chunk:
        return {name: in_one(table[name].slice(start, PART_ROWS)) for name in columns}

    def part(start: int, rows: int, wanted: Iterable[str]) -> Chunk:
        return form.chunk(partial(cut, start), rows, wanted)

    return Records(
        ((rows := min(PART_ROWS, len(table) - start)), partial(part, start, rows))
        for start in range(0, len(table), PART_ROWS)
    )


def _held(
    names: dict[str, str], columns: list[str], fixed: Fixed, file: str | None
) -> dict[str, str]:
    """The names that a source has. Raises InputRefused where it has no amount or no time."""
    for ours in ("amount", "at"):
        if ours not in fixed and names[ours] not in columns:
            what = f"the records lack the column {names[ours]!r}"
            remedy = f"give the columns {', '.join(names.values())}"
            raise InputRefused(
                "HEADER_MISMATCH", what, file=file, column=names[ours], remedy=remedy
            )
    return {ours: theirs for ours, theirs in names.items() if theirs in columns}


class _Form(NamedTuple):
    """Names that a source gives the columns that it has, what stands for all of its rows, and its
    file.

    A column comes as int64 or as a text, plain or of a dictionary, whatever the source has; what
    cannot be read so is refused.
    """

    names: dict[str, str]
    fixed: Fixed
    file: str | None

    def chunk(self, read: Callable[[list[str]], Chunk], rows: int, wanted: Iterable[str]) -> Chunk:
        """Columns of so many rows. read: gives the source's own columns by its names."""
        wanted = list(wanted)
        needed = [*wanted, "side"] if "amount" in wanted else wanted
        found = read([self.names[name] for name in needed if name in self.names])
        out: Chunk = {}
        for name in needed:
            if name in self.fixed:
                out[name] = _everywhere(pa.scalar(self.fixed[name], RECORD.field(name).type), rows)
            elif name in self.names:
                column = found[self.names[name]]
                whole = name in ("at", "amount")
                out[name] = self._whole(column, name) if whole else self._text(column, name)
        if "side" in out:
            debit = equals(out.pop("side"), "D")
            out["amount"] = pc.if_else(debit, pc.negate(out["amount"]), out["amount"])
        return out

    def _whole(self, column: pa.Array, name: str) -> pa.Array:
        """An amount or a time as int64. Raises InputRefused for a null, a fraction as money, or a
        time of a file that is not of 1900 to 2999."""
        if column.null_count:
            what = f"column {self.names[name]!r} has no value"
            raise self._refused("NULL_REQUIRED", what, name, "fill it in")
        kind, kinds = column.type, pa.types
        money = kinds.is_integer(kind) or (kinds.is_decimal(kind) and kind.scale == 0)
        remedy = "write it as timestamp[us, UTC]" if name == "at" else "write it as int64, in dong"
        if name == "amount" and not money:
            raise self._refused("TYPE", f"{self.names[name]!r} is {kind}", name, remedy)
        try:
            if name == "at" and not kinds.is_int64(kind):
                column = _in_utc(column)
            column = column.cast(pa.int64())
        except pa.ArrowException as error:
            what = f"{self.names[name]!r} of {kind} cannot be read ({first_line(error)})"
            raise self._refused("TYPE", what, name, remedy) from error
        if name == "at" and self.file is not None and len(column):
            bounds = pc.min_max(column)
            if bounds["min"].as_py() < _AT_FIRST or bounds["max"].as_py() >= _AT_END:
                what = f"a time is not of {YEAR_MIN} to {YEAR_MAX}"
                raise self._refused("TIME_INVALID", what, name, remedy)
        return column

    def _text(self, column: pa.Array, name: str) -> pa.Array:
        """A text, as Arrow has it: plain, or codes of a dictionary."""
        kind = column.type
        if pa.types.is_string(kind.value_type if pa.types.is_dictionary(kind) else kind):
            return column
        try:
            return column.cast(pa.string())
        except pa.ArrowException as error:
            what = f"{self.names[name]!r} of {kind} is no text ({first_line(error)})"
            raise self._refused("TYPE", what, name, "write it as a text (utf8)") from error

    def _refused(self, rule: str, what: str, name: str, remedy: str) -> InputRefused:
        return InputRefused(rule, what, file=self.file, column=self.names[name], remedy=remedy)


def _everywhere(value: pa.Scalar, rows: int) -> pa.Array:
    """A column of one value; of a text its one word is held."""
    if not pa.types.is_string(value.type):
        return _repeated(value, PART_ROWS)[:rows] if rows <= PART_ROWS else pa.repeat(value, rows)
    return pa.DictionaryArray.from_arrays(np.zeros(rows, np.int32), pa.repeat(value, 1))


_repeated = functools.lru_cache(maxsize=8)(pa.repeat)
"""Columns of one day, which the parts of clearing files share; 1 MiB each."""
