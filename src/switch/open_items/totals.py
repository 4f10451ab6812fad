"""Totals: the lines of a batch by a column of its own table, and where they stand now.

A home keeps no commune of a line, nor other columns of a ministry: its table does. So the table is
held against the batch that ran it, by its digest, and each line's present state is put beside it.
All is added up in columns, and has to come to what the batch received, in every state.
"""

from __future__ import annotations

import contextlib
import html
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NotRequired, TypedDict

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from switch import present
from switch.clearing.intake import OF_A_FILE, LogicalDigest
from switch.errors import InputRefused, UsageError, VerificationFailed, counted
from switch.files import exports
from switch.files.columns import Columns, Texts
from switch.files.formats import CHUNK_ROWS
from switch.files.tables import TableLike, TableReader, open_table
from switch.home.batch import batch_row
from switch.home.days import times
from switch.home.rows import BatchRow
from switch.home.store import Home
from switch.open_items.listing import batch_names
from switch.outcomes import HTML_ROWS, html_table
from switch.present import STANDS, Present
from switch.registry.directory import Directory, packaged_rows
from switch.results import Total
from switch.schema import HOUSEHOLD, NO_CODE, PAYMENT, Column, Kind, Table, period_of

COMMUNE, PROVINCE, PARTICIPANT, PERIOD = "commune", "province", "participant", "period"
KEYS = (COMMUNE, PROVINCE, "benefit", "debtor_account", PARTICIPANT, PERIOD, "creditor_agent")
"""Keys that every table has; any other is a column of texts of its own."""
PERSONAL = (
    "line_no",
    "person_id",
    "person_name",
    "amount",
    "creditor_account",
    "end_to_end_id",
    HOUSEHOLD,
)
"""Columns that are no keys: they name a person, or one line."""
KEYS_MAX = 100_000
"""Keys beyond which a column tells lines apart, and does not bring them together."""
PERSON_DIGITS = 12
_LOW = (1 << 32) - 1
assert CHUNK_ROWS << 32 <= 2**53, "halves of the amounts of a chunk add up exactly as floats"


@dataclass(frozen=True, repr=False, eq=False)
class Totals:
    """Lines and money of a batch by a key, and by where they stand now: an Arrow table, with
    columns key, name, lines, sum, and STATE_lines and STATE_sum for each state. Money is int64,
    minor units; each column adds up to the batch."""

    batch_id: str
    by: str
    as_of: str
    """Time of the home of which it tells."""
    table: pa.Table
    total: Total
    """All lines of the batch, and their money."""
    states: dict[str, Total]
    """Lines and money by state, of states that have lines."""
    home: Path

    def __len__(self) -> int:
        return len(self.table)

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        return self.table.__arrow_c_stream__(requested_schema)

    def rows(self) -> list[dict[str, Any]]:
        """A row for each key, as JSON has it."""
        rows: list[dict[str, Any]] = self.table.to_pylist()
        return rows

    def document(self) -> dict[str, object]:
        """The totals as `switch totals --json` prints them."""
        told = {"batch_id": self.batch_id, "by": self.by, "as_of": self.as_of, **self.total}
        return {**told, "states": self.states, "totals": self.rows()}

    def write(self, path: str | Path) -> Path:
        """Write exactly these rows as the ending says: .csv, .parquet or .arrow. Raises UsageError
        for another ending, or a place in the home that is not in its folder out."""
        return exports.export(self.table, path, self.home)

    def __repr__(self) -> str:
        lines = f"{counted(self.total['count'], 'line')}, {self.total['sum']:,} dong"
        return f"<{self.batch_id} by {self.by}: {len(self):,} rows, {lines}, as of {self.as_of}>"

    def _repr_html_(self) -> str:
        first = self.table[:HTML_ROWS]
        rows = (row.values() for row in first.to_pylist())
        return f"<p>{html.escape(repr(self))}</p>{html_table(first.column_names, rows)}"


class TotalsRow(TypedDict):
    """Lines of a batch with one key (null: those without one), and where they stand now."""

    key: str | None
    name: str | None
    """A commune, a province, a benefit or a participant, as far as its name is known."""
    lines: int
    sum: int
    held_lines: int
    held_sum: int
    cleared_lines: int
    cleared_sum: int
    settled_lines: int
    settled_sum: int
    unapplied_lines: int
    unapplied_sum: int
    credited_lines: int
    credited_sum: int
    returned_lines: int
    returned_sum: int
    written_back_lines: int
    written_back_sum: int
    reissued_lines: int
    reissued_sum: int
    refused_lines: int
    refused_sum: int
    """Money refused by a run or by the receiver; what was refused otherwise stands below."""
    cancelled_lines: int
    cancelled_sum: int
    expired_lines: int
    expired_sum: int
    recalled_lines: int
    recalled_sum: int
    """Money of lines that left their cycle by a recall, before it settled."""


class TotalsShown(TypedDict):
    """Totals of a batch by a key, and by state those of all its lines."""

    batch_id: str
    by: str
    as_of: str
    count: int
    sum: int
    file: NotRequired[str]
    """The file that the rows were written to."""
    states: dict[str, Total]
    totals: list[TotalsRow]


def totals(home: Home, table: TableLike, *, by: str, batch: str | None = None) -> Totals:
    """Totals of a batch by a key (`Engine.totals`)."""
    if by in PERSONAL:
        raise UsageError(f"{by} names a person or one line: it is no key to add lines up by")
    named = None if batch is None else batch_row(home, batch)
    if named is None and not isinstance(table, str | Path):
        raise UsageError("a table in memory does not say which batch it is: name it (batch)")
    wanted = None if named and not named.digest.startswith(OF_A_FILE) else _columns_for(by)
    reader = open_table(table, _with(by), only=wanted, room=home.path, bounded=False)
    with contextlib.closing(reader):
        row = _batch_of(home, reader, named)
        sums = _added_up(home, reader, row, by)
    return _told(home, row, by, sums)


# --- which batch ----------------------------------------------------------------------------------


def _columns_for(by: str) -> tuple[str, ...]:
    """Columns that are read of a table whose file is known by its digest."""
    key = {PROVINCE: (COMMUNE,), PARTICIPANT: ()}.get(by, (by,))
    return ("line_no", "amount", *key)


def _with(by: str) -> Table:
    """The payment table, with a column of the ministry's own where that is the key."""
    if by in KEYS:
        return PAYMENT
    return PAYMENT._replace(columns=(*PAYMENT.columns, Column(by, Kind.CODE, nullable=True)))


def _batch_of(home: Home, reader: TableReader, named: BatchRow | None) -> BatchRow:
    """The batch that ran the file, or the one that is named: of a file its digest is held against
    it here, of rows from memory when they were read. Raises InputRefused for another file."""
    remedy = "give the very file that was run"
    mine = f"{OF_A_FILE}{reader.sha256}"
    if named is None:
        rows = [row for row in home.catalog.batches() if row.digest == mine]
        if len(rows) == 1:
            return rows[0]
        if rows:
            names = ", ".join(f"{row.source}:{row.batch_id}" for row in rows)
            raise UsageError(f"{reader.name} was run as {names}: say which is meant (--batch)")
        what = "no batch of this home ran this file"
        remedy += "; or name its batch (--batch) where that was run from memory"
    elif not named.digest.startswith(OF_A_FILE) or named.digest == mine:
        return named
    else:
        what = f"batch {named.batch_id!r} of {named.source!r} ran another file"
    raise InputRefused("OTHER_TABLE", what, file=reader.name, remedy=remedy)


# --- adding up ------------------------------------------------------------------------------------


class _Sums:
    """Lines and money by key and state. A sum is kept in two halves, so that none overflows."""

    def __init__(self) -> None:
        self.keys: dict[str | None, int] = {}
        self._lines: NDArray[np.int64] = np.zeros((0, len(STANDS)), np.int64)
        self._high: NDArray[np.int64] = self._lines.copy()
        self._low: NDArray[np.uint64] = self._lines.astype(np.uint64)

    def numbers(self, keys: list[str | None]) -> NDArray[np.int64]:
        """Numbers of keys, new ones among them."""
        found = [self.keys.setdefault(key, len(self.keys)) for key in keys]
        if len(self.keys) > KEYS_MAX:
            raise UsageError(f"more than {KEYS_MAX:,} keys: the column tells single lines apart")
        wider = [(0, len(self.keys) - len(self._lines)), (0, 0)]
        self._lines, self._low = np.pad(self._lines, wider), np.pad(self._low, wider)
        self._high = np.pad(self._high, wider)
        return np.array(found, np.int64)

    def add(
        self, key: NDArray[np.int64], state: NDArray[np.uint8], amount: NDArray[np.int64]
    ) -> None:
        """Add lines of a chunk, each with the number of its key."""
        size = self._lines.size
        at = key * len(STANDS) + state
        high, low = amount >> 32, amount & _LOW
        self._lines += np.bincount(at, minlength=size).reshape(self._lines.shape)
        self._high += np.bincount(at, high, size).reshape(self._high.shape).astype(np.int64)
        self._low += np.bincount(at, low, size).reshape(self._low.shape).astype(np.uint64)

    def of(self, key: str | None) -> list[tuple[int, int]]:
        """Lines and money of a key, by state."""
        at = self.keys[key]
        parts = (self._lines[at].tolist(), self._high[at].tolist(), self._low[at].tolist())
        return [(lines, (high << 32) + low) for lines, high, low in zip(*parts, strict=True)]


def _added_up(home: Home, reader: TableReader, row: BatchRow, by: str) -> _Sums:
    """Sums of a table that a batch ran. Raises InputRefused where its rows are others, and
    VerificationFailed where lines do not come to what the batch received."""
    digest = None if row.digest.startswith(OF_A_FILE) else LogicalDigest()
    keys_of = _keys(home, row, by, reader.name)
    states = present.line_states(home, row.seq)
    sums = _Sums()
    has_key = by in KEYS
    for columns in reader.chunks(CHUNK_ROWS):
        if digest is not None:
            digest.update(columns)
        has_key |= by in columns
        line = columns["line_no"].astype(np.int64) - 1
        if line.max() >= len(states):
            break  # These are no rows of the batch: its digest says so below.
        keys, index = keys_of(columns)
        sums.add(sums.numbers(keys).take(index), states.take(line), columns["amount"])
    if digest is not None and row.digest not in digest.told():
        what = f"batch {row.batch_id!r} of {row.source!r} ran other rows"
        remedy = "give the very table that was run"
        raise InputRefused("OTHER_TABLE", what, file=reader.name, remedy=remedy)
    if not has_key:
        known = ", ".join(KEYS)
        raise UsageError(f"the table has no column {by!r} with a text; known keys are {known}")
    return sums


KeysOf = Callable[[Columns], tuple[list[str | None], NDArray[np.int64]]]
"""Keys of a chunk, each once or several times, and the index of the one of each line."""


def _keys(home: Home, row: BatchRow, by: str, file: str) -> KeysOf:
    """A function that finds the keys of lines. It raises UsageError for ids of people."""
    if by == PARTICIPANT:
        codes, names = present.line_receivers(home, row.seq)
        codes = np.where(codes == NO_CODE, len(names), codes)

        def receivers(columns: Columns) -> tuple[list[str | None], NDArray[np.int64]]:
            return [*names, None], codes.take(columns["line_no"].astype(np.int64) - 1)

        return receivers
    if by == PERIOD:

        def months(columns: Columns) -> tuple[list[str | None], NDArray[np.int64]]:
            found, index = np.unique(columns["period"], return_inverse=True)
            texts = (str(period_of(month)) for month in found.tolist())
            return [f"{text[:4]}-{text[4:]}" for text in texts], index

        return months
    provinces = {code: told["province"] for code, told in _communes().items()}
    is_own = by not in KEYS or by in (COMMUNE, PROVINCE)

    def texts(columns: Columns) -> tuple[list[str | None], NDArray[np.int64]]:
        column: Texts | None = columns.get(COMMUNE if by == PROVINCE else by)
        if column is None:
            return [None], np.zeros(len(columns["line_no"]), np.int64)
        if column.index is None:
            encoded = column.values.dictionary_encode()
            found = encoded.dictionary.to_pylist()
            index = np.asarray(encoded.indices.fill_null(len(found)))
        else:
            found = column.values.to_pylist()
            index = np.where(column.index < 0, len(found), column.index)
        if is_own and any(map(_is_person, found)):
            raise UsageError(f"{file}: column {by!r} holds ids of people, by which nothing adds up")
        if by == PROVINCE:
            found = [provinces.get(code) for code in found]
        return [*(key or None for key in found), None], index

    return texts


def _is_person(text: str | None) -> bool:
    return text is not None and len(text) == PERSON_DIGITS and text.isascii() and text.isdigit()


# --- what is told ---------------------------------------------------------------------------------


def _told(home: Home, row: BatchRow, by: str, sums: _Sums) -> Totals:
    """The totals as a table, once they come to what the batch received."""
    keys = sorted((key for key in sums.keys if key is not None), key=str)
    found = {key: sums.of(key) for key in [*keys, *([None] if None in sums.keys else [])]}
    found = {key: parts for key, parts in found.items() if any(lines for lines, _ in parts)}
    whole = [
        (sum(parts[code][0] for parts in found.values()), sum(p[code][1] for p in found.values()))
        for code in range(len(STANDS))
    ]
    _require_all(home, row, whole)
    names = _names(home, by)
    columns: dict[str, list[object]] = {
        "key": list(found),
        "name": [None if key is None else names.get(key) for key in found],
        "lines": [sum(lines for lines, _ in parts) for parts in found.values()],
        "sum": [sum(money for _, money in parts) for parts in found.values()],
    }
    for code, state in enumerate(STANDS):
        columns[f"{state}_lines"] = [parts[code][0] for parts in found.values()]
        columns[f"{state}_sum"] = [parts[code][1] for parts in found.values()]
    texts = ("key", "name")
    try:
        arrays = [
            pa.array(column, pa.string() if name in texts else pa.int64())
            for name, column in columns.items()
        ]
    except (OverflowError, pa.ArrowInvalid):
        what = "the amounts of a key leave 64 bits, as those of the whole table do not"
        raise UsageError(f"{what}: add up by another column") from None
    return Totals(
        batch_id=batch_names(home)[row.seq],
        by=by,
        as_of=times(home).now,
        table=pa.table(arrays, names=list(columns)),
        total={"count": row.lines, "sum": int(row.amount)},
        states={
            state: {"count": lines, "sum": money}
            for state, (lines, money) in zip(STANDS, whole, strict=True)
            if lines
        },
        home=home.path,
    )


def _require_all(home: Home, row: BatchRow, whole: list[tuple[int, int]]) -> None:
    """Raise VerificationFailed where the lines in some state are others than those of which the
    home's own sums tell, which are made without looking at lines."""
    here = Present(home, row.seq)
    now, left = here.now(row.seq), here.left(row.seq)
    for state in now:
        mine = [told for code, told in enumerate(whole) if present.now_of(code) == state]
        _require_same(row, state, mine, now[state])  # type: ignore[literal-required]
    for state in ("cancelled", "expired"):
        total: Total = left.get(state, {"count": 0, "sum": 0})  # type: ignore[assignment]
        _require_same(row, state, [whole[STANDS.index(state)]], total)
    _require_same(row, "all", whole, {"count": row.lines, "sum": int(row.amount)})


def _require_same(row: BatchRow, state: str, mine: list[tuple[int, int]], told: Total) -> None:
    lines, money = (sum(part[at] for part in mine) for at in (0, 1))
    if (lines, money) != (told["count"], told["sum"]):
        raise VerificationFailed(
            f"batch {row.batch_id!r}: lines that are {state} come to {lines:,} of {money:,} dong,"
            f" its sums to {told['count']:,} of {told['sum']:,}: look with `switch verify`"
        )


def _names(home: Home, by: str) -> Mapping[str, str]:
    """Names of keys, where they are known."""
    directory = Directory.of_json(home.catalog.meta("directory").encode())
    if by == COMMUNE:
        return {code: told["name"] for code, told in _communes().items()}
    if by == PROVINCE:
        rows = packaged_rows("provinces.csv")
        return {_province(row["gso_code_2025"]): row["province_2025"] for row in rows}
    if by in (PARTICIPANT, "creditor_agent"):
        return {p.participant: p.short_name for p in directory.participants if p.short_name}
    if by == "benefit":
        return {p.benefit: p.name for p in directory.programmes if p.name}
    return {}


def _communes() -> dict[str, dict[str, str]]:
    """Communes of the package by code, each with the code of its province."""
    rows = packaged_rows("communes.csv")
    return {row["code"]: {**row, "province": _province(row["province"])} for row in rows}


def _province(code: str) -> str:
    """The official code of a province, which has two digits."""
    return code.zfill(2)
