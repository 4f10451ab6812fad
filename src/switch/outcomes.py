"""Outcomes: answers of calls that show themselves, in a line and as HTML for a notebook.

A document is a dict with the fields of its type in `results`, and rows are a list, whatever else
they do here: they compare, are pickled and become JSON as such. This file imports nothing of the
package.
"""

from __future__ import annotations

import datetime
import html
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, NotRequired, TypedDict, TypeVar

if TYPE_CHECKING:
    import pyarrow as pa

HTML_ROWS = 20
"""Rows of a table that a notebook shows."""
_LINE_MAX, _TEXT_MAX = 150, 40
_Fields = Mapping[str, object]
R = TypeVar("R")


class Check(NamedTuple):
    """One thing that was recomputed, and what is wrong with it ('' where it holds)."""

    name: str
    subject: str
    fault: str


class Damage(NamedTuple):
    """One damaged or missing file, and whether it is (with dry_run: can be) made whole again."""

    side: str
    """home or copy"""
    path: str
    fault: str
    repaired: bool


@dataclass(frozen=True, repr=False)
class Report:
    """Files that show people where money and lines stand."""

    scope: str
    """Kind of its subject: batch, cycle, day or home."""
    name: str
    """The id of the batch or cycle, or the date; '' of a home."""
    page: Path
    picture: Path | None = None
    """Drawing of a batch; None of several."""
    csv: Path | None = None
    """Lines with where each stands now, where they were asked for."""
    svg: str = field(default="", compare=False)
    """The picture itself."""

    def document(self) -> dict[str, str]:
        """The report as the command prints it with --json."""
        files = {"page": self.page, "picture": self.picture, "csv": self.csv}
        told = {"scope": self.scope, "name": self.name}
        return told | {name: str(path) for name, path in files.items() if path is not None}

    def __repr__(self) -> str:
        files = [path.name for path in (self.page, self.picture, self.csv) if path is not None]
        return f"<report of {self.name or 'the home'}: {', '.join(files)}>"

    def _repr_html_(self) -> str:
        return self.svg or f"<p>{html.escape(str(self.page))}</p>"


class Reported(TypedDict):
    """Files that a report was written to."""

    scope: str
    name: str
    page: str
    picture: NotRequired[str]
    csv: NotRequired[str]


class HowReported(TypedDict, total=False):
    """Subject of a report, and what it has besides. At most one of batch, cycle, day and whole."""

    cycle: str
    """Its batches together."""
    day: datetime.date | str
    """The batches of this value date together."""
    whole: bool
    """All batches of the home together."""
    table: str | Path | None
    """The file of the batch's payment table, by which its provinces are told."""
    prove: bool
    """Recompute every invariant, as `verify` does, and show the checks."""
    csv: bool
    """Write the lines of the batch as a sheet, too."""
    language: str
    """Language of the page: en or vi."""
    out: str | Path | None
    """The folder to write to (default HOME/out)."""


class Document(dict[str, Any]):
    """Fields of an answer by their names."""

    __slots__ = ("noun",)

    def __init__(self, noun: str, fields: _Fields) -> None:
        """noun: what it is a document of, such as `line history`."""
        super().__init__(fields)
        self.noun = noun

    def __repr__(self) -> str:
        shown: list[str] = []
        for name, value in self.items():
            text = _in_short(name, value)
            if len(", ".join([*shown, text])) > _LINE_MAX:
                return f"<{self.noun}: {', '.join(shown)} ...>"
            shown += [text] if text else []
        return f"<{self.noun}: {', '.join(shown)}>"

    def _repr_html_(self) -> str:
        return _html(dict(self))


class Rows(list[R], Generic[R]):
    """Rows of an answer, each a document or a record; a list that gives itself as a table."""

    __slots__ = ("noun",)

    def __init__(self, noun: str, rows: Iterable[R]) -> None:
        """noun: what each row is, such as `check`."""
        super().__init__(rows)
        self.noun = noun

    def table(self) -> pa.Table:
        """An Arrow table of the rows, a column for each field; documents in them are structs."""
        import pyarrow as pa

        return pa.Table.from_pylist([dict(_fields(row) or {}) for row in self])

    def __repr__(self) -> str:
        return f"<{len(self):,} x {self.noun}>"

    def _repr_html_(self) -> str:
        return f"<p>{html.escape(repr(self))}</p>{_html(list(self))}"


def shown(answer: object, noun: str) -> object:
    """An answer that shows itself, where it is a plain dict or a plain list of rows. noun: the name
    of its type."""
    if type(answer) is dict:
        return Document(_words(noun), answer)
    if type(answer) is list and all(_fields(row) is not None for row in answer):
        return rows_of(noun, answer)
    return answer


def rows_of(noun: str, rows: Iterable[R]) -> Rows[R]:
    """Rows that show themselves. noun: the name of their type."""
    return Rows(_words(noun), rows)


def brief(record: Any) -> str:
    """The `__repr__` of a record, in a line."""
    return repr(Document(_words(type(record).__name__), record._asdict()))


def in_html(record: Any) -> str:
    """The `_repr_html_` of a record."""
    return _html(record)


def _words(noun: str) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", noun).replace("_", " ").lower()


def html_table(heads: Iterable[str], rows: Iterable[Iterable[object]]) -> str:
    """A table of cells, the first rows alone where they are many."""
    first = "".join(f"<th>{html.escape(name)}</th>" for name in heads)
    first = first and f"<tr>{first}</tr>"
    lines = ("".join(f"<td>{_html(cell)}</td>" for cell in row) for row in rows)
    body = "".join(f"<tr>{line}</tr>" for _, line in zip(range(HTML_ROWS), lines, strict=False))
    return f"<table>{first}{body}</table>"


def _fields(row: object) -> _Fields | None:
    """Fields of a document or of a record; None of anything else."""
    if isinstance(row, Mapping):
        return row
    made: _Fields | None = row._asdict() if hasattr(row, "_asdict") else None
    return made


def _html(value: object) -> str:
    if (fields := _fields(value)) is not None:
        return html_table((), fields.items())
    if isinstance(value, Sequence) and not isinstance(value, str):
        rows = [_fields(row) for row in value]
        known = [row for row in rows if row is not None]
        if not known or len(known) < len(rows):
            return html.escape(", ".join(map(str, value)))
        heads = list(dict.fromkeys(name for row in known for name in row))
        return html_table(heads, ([row.get(name) for name in heads] for row in known))
    is_number = isinstance(value, int) and not isinstance(value, bool)
    return "" if value is None else html.escape(f"{value:,}" if is_number else str(value))


def _in_short(name: str, value: object) -> str:
    """A field for one line: a value that is short, the lines of a total, or how many there are."""
    if isinstance(value, Mapping):
        return f"{name} {value['count']:,}" if {"count", "sum"} <= value.keys() else ""
    if isinstance(value, list | tuple):
        return f"{len(value):,} {name}"
    if hasattr(value, "shape"):
        return f"{'x'.join(map(str, value.shape))} {name}"
    if isinstance(value, Path):
        return f"{name} {_cut(repr(value.name))}"
    return f"{name} {_cut(repr(value))}"


def _cut(text: str) -> str:
    return text if len(text) <= _TEXT_MAX else f"{text[: _TEXT_MAX - 3]}..."
