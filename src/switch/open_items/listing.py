"""Listings: rows that fit a question, as an Arrow table with its totals; how they are chosen."""

from __future__ import annotations

import datetime
import html
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from switch.errors import UsageError, counted
from switch.files import exports
from switch.home.store import Home
from switch.outcomes import HTML_ROWS, html_table
from switch.registry.directory import Directory
from switch.results import Total

Words = str | Sequence[str] | None
"""One word or several, of which each is meant; None: all."""


class BreaksAsked(TypedDict, total=False):
    """Filters, order and limit of breaks (`Engine.breaks`)."""

    class_: Words
    """Such as MISSING."""
    owner: Words
    """The desk that looks after it, by the rules or by a note."""
    severity: Words
    """Low, medium, high or critical."""
    ids: Words
    """Ids of breaks, or their first six characters or more."""
    accepted: bool | None
    """By a note, or not."""
    age: int | None
    """Least age in days."""
    receiver: Words
    """Code of a participant."""
    batch: str | None
    """Its id, or SOURCE:ID where several sources use it."""
    sort: str
    """One of severity, value, age, class, owner and receiver."""
    limit: int | None
    """Rows at most."""


class LinesAsked(TypedDict, total=False):
    """Filters, order and limit of lines (`Engine.held`, `Engine.returned`)."""

    reason: Words
    """ISO code, such as AC03."""
    batch: str | None
    """Its id, or SOURCE:ID where several sources use it."""
    receiver: Words
    """Code of a participant."""
    age: int | None
    """Least days since it waits, or came back."""
    sort: str
    """One of age, amount, reason, receiver and batch."""
    limit: int | None
    """Rows at most."""


class RecallsAsked(LinesAsked, total=False):
    """Filters, order and limit of lines that were recalled (`Engine.recalls`)."""

    state: Words
    """OPEN, ACCEPTED or REFUSED."""


LINE = [("number", "ascending"), ("line_no", "ascending")]
SORTS = {
    "age": [("since", "ascending"), *LINE],
    "amount": [("amount", "descending"), *LINE],
    "reason": [("reason", "ascending"), ("since", "ascending"), *LINE],
    "receiver": [("participant", "ascending"), ("since", "ascending"), *LINE],
    "batch": LINE,
}
"""Orders of lines that are open, by the word for each."""


@dataclass(frozen=True, repr=False, eq=False)
class Listing:
    """Rows that fit a question, as an Arrow table; anything that takes `__arrow_c_stream__` takes
    the listing itself. Money is int64, minor units."""

    name: str
    """Noun of the rows, such as `breaks`."""
    as_of: str
    """Time or day of which it tells, '' where nothing was said yet."""
    table: pa.Table
    total: Total
    """All that fits, also beyond a limit. sum: minor units."""
    parts: dict[str, dict[str, Total]]
    """The same by a column's values, such as `classes`."""
    home: Path
    has_money: bool = True
    """False where the rows are of no money, so that their sum is none."""

    def __len__(self) -> int:
        return len(self.table)

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        return self.table.__arrow_c_stream__(requested_schema)

    def rows(self) -> list[dict[str, object]]:
        """Rows as JSON has them: days and times are ISO 8601 texts."""
        return [{k: _plain(v) for k, v in row.items()} for row in self.table.to_pylist()]

    def document(self) -> dict[str, object]:
        """The listing as commands print it with --json."""
        return {"as_of": self.as_of, **self.total, **self.parts, self.name: self.rows()}

    def write(self, path: str | Path) -> Path:
        """Write exactly these rows as the ending says: .csv, .parquet or .arrow. Raises UsageError
        for another ending, or a place in the home that is not in its folder out."""
        return exports.export(self.table, path, self.home)

    def __repr__(self) -> str:
        shown = "" if len(self) == self.total["count"] else f"{len(self):,} of "
        told = f"{shown}{self.total['count']:,} {self.name.replace('_', ' ')}"
        told += f", {self.total['sum']:,} dong" if self.has_money else ""
        return f"<{told}, as of {self.as_of}>" if self.as_of else f"<{told}>"

    def _repr_html_(self) -> str:
        first = self.table[:HTML_ROWS]
        rows = (map(_plain, row.values()) for row in first.to_pylist())
        return f"<p>{html.escape(repr(self))}</p>{html_table(first.column_names, rows)}"


def _plain(value: object) -> object:
    return value.isoformat() if isinstance(value, datetime.date) else value


@dataclass(frozen=True)
class Choice:
    """Columns that a question asks for: values by column, each of which has to fit."""

    values: dict[str, Words]
    least: dict[str, int | None]
    """Least values by column."""
    sort: list[tuple[str, str]]
    limit: int | None
    hidden: tuple[str, ...] = ()
    """Columns to sort by that are not shown."""


def listing(
    home: Home, name: str, as_of: str, rows: pa.Table, choice: Choice, money: str, *by: str
) -> Listing:
    """The rows that a choice takes, sorted, and their totals, also by some columns. money: the
    column that is summed; '' where rows are of none."""
    for column, words in choice.values.items():
        if words is not None:
            rows = rows.filter(pc.is_in(rows[column], pa.array(several(words), pa.string())))
    for column, least in choice.least.items():
        if least is not None:
            _require_whole(column, least)
            rows = rows.filter(pc.greater_equal(rows[column], least))
    amounts = rows[money] if money else pa.chunked_array([np.zeros(len(rows), np.int64)])
    parts = {plural(column): _parts(rows[column], amounts) for column in by}
    total: Total = {"count": len(rows), "sum": _sum(amounts)}
    rows = rows.sort_by(choice.sort).drop_columns(list(choice.hidden))
    if choice.limit is not None:
        _require_whole("limit", choice.limit)
        rows = rows.slice(0, choice.limit)
    return Listing(name, as_of, rows.combine_chunks(), total, parts, home.path, bool(money))


def several(words: Words) -> list[str]:
    """The words that are meant. Raises UsageError for what is no word."""
    found = [words] if isinstance(words, str) else words or ()
    if not isinstance(found, Sequence) or not all(isinstance(word, str) for word in found):
        raise UsageError(f"{words!r} is neither a word nor a list of words")
    return list(found)


def _require_whole(name: str, number: object) -> None:
    if type(number) is not int or not 0 <= number < 2**31:
        raise UsageError(f"{name} {number!r} is no whole number from 0 on")


def plural(noun: str) -> str:
    if noun.endswith("y"):
        return f"{noun[:-1]}ies"
    return f"{noun}es" if noun.endswith("s") else f"{noun}s"


def _parts(values: pa.ChunkedArray, amounts: pa.ChunkedArray) -> dict[str, Total]:
    """Totals by a column's values, the most lines first."""
    found: dict[str, Total] = {}
    for value in pc.unique(values).to_pylist():
        mine = amounts.filter(pc.equal(values, value))
        if value is not None:
            found[value] = {"count": len(mine), "sum": _sum(mine)}
    return dict(sorted(found.items(), key=lambda part: (-part[1]["count"], part[0])))


def _sum(amounts: pa.ChunkedArray) -> int:
    return sum(amounts.to_pylist())  # Of Python, which knows no bound of 64 bits.


def require_known(option: str, words: Words, known: Collection[str]) -> None:
    """Raise UsageError for a word that nothing here has: an empty answer would say that nothing of
    it is open."""
    for word in several(words):
        if word not in known:
            shown = ", ".join(sorted(known)) if len(known) <= 20 else counted(len(known), "name")
            raise UsageError(f"{option} {word!r} is not known here; known are: {shown or 'none'}")


def participants(home: Home) -> set[str]:
    """Codes of the directory."""
    directory = Directory.of_json(home.catalog.meta("directory").encode())
    return {p.participant for p in directory.participants}


def batch_names(home: Home) -> dict[int, str]:
    """Names by which `status` is asked for batches, by their numbers: SOURCE:ID where several
    sources use the id."""
    rows = home.catalog.batches()
    ids = [row.batch_id for row in rows]
    return {
        row.seq: f"{row.source}:{row.batch_id}" if ids.count(row.batch_id) > 1 else row.batch_id
        for row in rows
    }


def names_of(numbers: pa.ChunkedArray, names: dict[int, str]) -> pa.ChunkedArray:
    """Names of batches for a column of their numbers."""
    keys = pa.array(list(names), pa.int64())
    return pa.array(list(names.values()), pa.string()).take(
        pc.index_in(numbers.cast(pa.int64()), keys)
    )
