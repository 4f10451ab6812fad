"""Tables in: any of Parquet, Arrow IPC, CSV or an Arrow C stream, as chunks of strict columns.

A reader either yields columns that are exactly what the schema says, or refuses the whole file with
its row and column. What is read is never guessed: text is not turned into numbers but in CSV,
floats are never money, and a column that is not ours is named in a warning.
"""

from __future__ import annotations

import contextlib
import difflib
import hashlib
import os
import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from switch.errors import EnvironmentFailed, InputRefused, SwitchError, VerificationFailed
from switch.files import airlock, columns, formats, given
from switch.files.columns import plain
from switch.files.formats import CHUNK_ROWS, ROW_BYTES_MAX
from switch.files.frames import Frame, conversion, kept, maker_of, stream_of
from switch.files.threads import Progress
from switch.native import csv_text
from switch.schema import DAY_MAX, DAY_MIN, LINES_MAX, Column, Kind, Table

_NUMBERS = (Kind.LINE_NO, Kind.AMOUNT, Kind.PRIORITY)
LIKE_RATIO = 0.82
"""Ratio from which on two names are alike: one letter of six is another, or missing."""
LIKE_CHARACTERS = 64
"""So many of a name are looked at: those of columns are shorter."""
UNKNOWN_MAX = 1000
"""Unknown columns of a table; each is compared with each column that is absent, and told."""


TableLike = str | Path | Frame
"""A table as callers give it: a path, or one in memory."""


@dataclass(frozen=True, slots=True)
class Terms:
    """Terms on which a table is read.

    strict_columns: unknown columns are refused. only: the columns that the caller wants (None:
    all). bounded: a text beyond what its column takes (`schema.bytes_max`) is refused, and an
    unknown column that looks like one which is absent; not so in files of the home, or in a table
    that was taken before there was a bound, or before there was the column.
    """

    strict_columns: bool = False
    only: tuple[str, ...] | None = None
    bounded: bool = True

    def wanted(self, table: Table) -> dict[str, Kind]:
        """Kinds of the wanted columns by name."""
        return {c.name: c.kind for c in table.columns if self.only is None or c.name in self.only}


@dataclass(frozen=True, slots=True)
class Source:
    """A table that is open: its name for messages, its Arrow schema, and its record batches.

    rows: as many as the file declares, where its format says so before reading. sha256: digest of
    the file's bytes, where it was computed. close: lets go of a table that is not read to its end.
    maker: the package that made a table in memory.
    """

    name: str
    schema: pa.Schema
    batches: Callable[[], Iterator[pa.RecordBatch]]
    rows: int | None = None
    sha256: str | None = None
    from_text: bool = False
    require_unchanged: Callable[[], None] = lambda: None
    close: Callable[[], None] = lambda: None
    maker: str = ""


class TableReader:
    """One table, opened once. Iterate `chunks()` once; `sha256` is that of the file's bytes."""

    def __init__(self, table: Table, source: Source, terms: Terms | None = None) -> None:
        self.table = table
        self.name, self.rows, self.sha256 = source.name, source.rows, source.sha256
        self.close = source.close
        """Let go of a table that is not read to its end."""
        self.progress: Progress | None = None
        """Is told of rows as chunks are taken."""
        self._source, self._terms = source, terms or Terms()
        schema = source.schema
        self.extra = self._check_columns(list(schema.names))
        for column in table.columns:
            # Of a table of before, columns that nobody read then may be of any type.
            is_held_to = self._terms.bounded or column.name in self._terms.wanted(table)
            if is_held_to and column.name in schema.names and not source.from_text:
                self._check_type(column, schema.field(column.name).type)

    def _check_columns(self, names: list[str]) -> list[str]:
        """Refuse a header that is not the table's. Returns the names of unknown columns."""
        seen: set[str] = set()
        for name in names:
            key = unicodedata.normalize("NFC", name).casefold()
            if key in seen:
                raise self._refuse_column(
                    columns.shown(name),
                    f"column {columns.shown(name)} stands twice",
                    "keep one column of each name",
                    "HEADER_DUPLICATE",
                )
            seen.add(key)
        every = f"give the columns {', '.join(c.name for c in self.table.columns)}"
        known = {column.name for column in self.table.columns}
        missing = [c.name for c in self.table.columns if not c.nullable and c.name not in names]
        extra = [name for name in names if name not in known and name not in self.table.beside]
        if missing:
            hint = self._meant_by(missing[0], extra)
            for mark, word in ((";", "semicolons"), ("\t", "tabs")):
                if len(names) == 1 and mark in names[0]:
                    hint += f"; the file seems to be separated by {word}, use commas"
            what = f"column {missing[0]!r} of the {self.table.name} is missing"
            raise self._refuse_column(missing[0], what, every + hint)
        if len(extra) > UNKNOWN_MAX:
            what = f"{len(extra)} unknown columns, more than {UNKNOWN_MAX}"
            raise self._refuse_column(columns.shown(extra[0]), what, every)
        absent = [c for c in self.table.columns if c.nullable and c.name not in names]
        for name in extra:
            self._check_unknown(name, absent)
        return extra

    def _meant_by(self, missing: str, extra: list[str]) -> str:
        """Words on those unknown columns that look like one which must be there."""
        column = self.table.column(missing)
        like = [columns.shown(name) for name in extra[:UNKNOWN_MAX] if _nearest(name, [column])]
        return f"; is {' or '.join(like)} the column {missing}? then call it so" if like else ""

    def _check_unknown(self, name: str, absent: list[Column]) -> None:
        """Refuse an unknown column that looks like an absent one, or that may not be there."""
        like = _nearest(name, absent) if self._terms.bounded or self.table.is_closed else []
        strict = self._terms.strict_columns
        if not (like or strict or self.table.is_closed):
            return
        quoted = " or ".join(map(repr, like))
        raise self._refuse_column(
            columns.shown(name),
            f"unknown column {columns.shown(name)}"
            + (f", which looks like {quoted}" if like else ""),
            f"call it {' or '.join(like)}, if it is that; else remove it or give it another name"
            if like
            else "remove it"
            if self.table.is_closed
            else "remove it, or read without --strict-columns",
        )

    def _refuse_column(
        self, column: str, what: str, remedy: str, rule: str = "HEADER_MISMATCH"
    ) -> InputRefused:
        return InputRefused(rule, what, file=self.name, column=column, remedy=remedy)

    @property
    def warnings(self) -> tuple[str, ...]:
        """Sentences about columns that are not read."""
        return tuple(f"unknown column {columns.shown(name)} is ignored" for name in self.extra)

    def _check_type(self, column: Column, kind: pa.DataType) -> None:
        value = kind.value_type if pa.types.is_dictionary(kind) else kind
        types = pa.types
        text, whole = columns.is_text_type(value), columns.is_whole_type(kind)
        plain_integer = types.is_integer(kind)
        fits = {
            Kind.LINE_NO: whole,
            Kind.ID: text or whole,
            Kind.AMOUNT: whole,
            Kind.PERIOD: text or plain_integer,
            Kind.DATE: types.is_date(kind) or (types.is_timestamp(kind) and kind.tz is None),
            Kind.PRIORITY: whole,
            Kind.CODE: text,
            Kind.TEXT: text or (column.name == "household_id" and plain_integer),
            Kind.INSTANT: types.is_timestamp(kind),
        }[column.kind]
        # A column of nothing but nulls has no type of its own; the null check speaks for it.
        if not fits and not (types.is_null(kind) and column.nullable):
            maker = self._source.maker
            call = conversion(maker, column) if maker else ""
            remedy = f"write it as {column.kind.value}" + (f": {call}" if call else "")
            what = f"column {column.name!r} is {kind}"
            raise self._refuse_column(column.name, what, remedy, "TYPE")

    def chunks(self, rows: int = CHUNK_ROWS) -> Iterator[columns.Columns]:
        """The table as chunks of at most rows rows, in order."""
        done = 0
        try:
            for batch in self._source.batches():
                for start in range(0, batch.num_rows, rows):
                    part = batch.slice(start, rows)
                    yield self._columns(part, done)
                    done += part.num_rows
                    if self.progress is not None:
                        self.progress(self.table.name, done, self.rows or 0)
                    if done > LINES_MAX:
                        raise self._refuse("ROW_LIMIT", f"more than {LINES_MAX} rows", "split it")
        except (pa.ArrowException, OSError) as error:
            # Arrow calls damaged data an I/O error too; those of the machine have a number.
            if getattr(error, "errno", None) is not None:
                raise
            raise InputRefused(
                "FILE_BAD",
                f"the file cannot be read to its end: {columns.first_line(error)}",
                file=self.name,
                row=done + 1,
                remedy="ask for the file again; it is damaged or cut off",
            ) from error
        self._source.require_unchanged()
        if done == 0:
            raise self._refuse("NO_LINES", "the table has no rows", "send a table with rows")

    def _refuse(
        self, rule: str, what: str, remedy: str, row: int | None = None, column: str | None = None
    ) -> InputRefused:
        return InputRefused(rule, what, remedy=remedy, file=self.name, row=row, column=column)

    def _columns(self, batch: pa.RecordBatch, done: int) -> columns.Columns:
        out: columns.Columns = {}
        names, wanted = batch.schema.names, self._terms.wanted(self.table)
        for column in self.table.columns:
            if column.name not in names or column.name not in wanted:
                continue
            array = batch.column(names.index(column.name))
            try:
                if self._terms.bounded and column.kind not in _NUMBERS:
                    columns.require_short(array, column.name, self.table.spare)
                if pa.types.is_dictionary(array.type) and array.dictionary.null_count:
                    array = plain(array)
            except columns.BadValue as bad:
                raise self._refuse(
                    bad.rule, bad.what, bad.remedy, done + bad.row + 1, column.name
                ) from None
            if self._source.from_text and column.nullable:
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
            except columns.BadValue as bad:
                raise self._refuse(
                    bad.rule, bad.what, bad.remedy, done + bad.row + 1, column.name
                ) from None
        return out

    def _read(self, column: Column, array: pa.Array) -> NDArray[np.generic] | columns.Texts:
        kind = column.kind
        if kind is Kind.AMOUNT:
            # What is lent, capped or held is bounded; a line's amount has a reason of its own.
            bounded = column.nullable or column.name == "balance"
            return columns.read_limits(array) if bounded else columns.read_amounts(array)
        if kind is Kind.ID:
            read = columns.read_named if column.nullable else columns.read_ids
            return read(array, self._source.from_text)
        if kind is Kind.CODE or (kind is Kind.TEXT and column.name == "person_name"):
            return columns.read_texts(array, kind is Kind.CODE, check=kind is Kind.CODE)
        if kind is Kind.TEXT:
            return columns.read_texts(array, False, check=True)
        if kind is Kind.PERIOD:
            return columns.read_months(array)
        if kind is Kind.DATE:
            return columns.read_days(array, DAY_MAX if column.name == "valid_to" else DAY_MIN)
        if kind is Kind.INSTANT:
            return columns.read_instants(array)
        if kind is Kind.PRIORITY:
            if column.nullable:
                return columns.read_given(array, columns.read_priorities, 2**63 - 1)
            return columns.read_priorities(array).astype(np.uint8)
        assert kind is Kind.LINE_NO, kind
        return columns.read_integers(array, 1, LINES_MAX, "line number").astype(np.uint32)


def _nearest(name: str, absent: list[Column]) -> list[str]:
    """Names of those columns that may be absent for which an unknown one may be meant: the nearest,
    several where none is nearer. By a date somebody is paid or not, so that a name which begins
    with the same word is enough there."""
    plain = re.sub(r"[\W_]+", "_", name[:LIKE_CHARACTERS].casefold()).strip("_")
    ratios = {}
    for column in absent:
        match = difflib.SequenceMatcher(None, plain, column.name)
        first, of_column = (text.partition("_")[0] for text in (plain, column.name))
        least = 0 if column.kind is Kind.DATE and first == of_column else LIKE_RATIO
        if match.real_quick_ratio() >= least and match.ratio() >= least:
            ratios[column.name] = match.ratio()
    return [name for name, ratio in ratios.items() if ratio == max(ratios.values())]


def open_table(
    source: TableLike,
    table: Table | Sequence[Table],
    *,
    strict_columns: bool = False,
    digest: bool = True,
    only: tuple[str, ...] | None = None,
    sha256: str = "",
    room: Path | None = None,
    bounded: bool = True,
) -> TableReader:
    """Open a file (path), or a table in memory (`frames`), whose rows are read once.

    The format of a file is known by its content. It is hashed and decoded in one copy that nobody
    else can write to (`given.sealed`); room: the folder for a long one. digest: compute `sha256`
    before any of it is used. sha256: the digest that a file must have ('' for any); another is
    refused, whatever a decoder makes of it. strict_columns, only, bounded: as `Terms` has them. Of
    several tables a file is the first of which it lacks no column that must be there.
    Raises InputRefused (KIND_UNKNOWN where it is none of several), or EnvironmentFailed where the
    file cannot be read at all.
    """
    tables = (table,) if isinstance(table, Table) else tuple(table)
    terms = Terms(strict_columns, only, bounded)
    if isinstance(source, str | os.PathLike):
        return _open_file(Path(source), tables, terms, _Proof(digest, sha256, room=room))
    name = tables[0].name if len(tables) == 1 else "table"
    reader = stream_of(source, name)
    rows = getattr(source, "num_rows", None)
    opened = Source(
        name,
        reader.schema,
        reader.__iter__,
        rows if isinstance(rows, int) else None,
        maker=maker_of(source),
    )
    return TableReader(_meant(tables, _choices(tables, terms), opened), opened, terms)


def lasting(table: TableLike) -> Path | pa.Table:
    """A table that can be read more than once: a path, or all rows of one in memory."""
    return Path(table) if isinstance(table, str | Path) else kept(table, "table")


def open_own(path: Path, table: Table, sha256: str) -> TableReader:
    """Open a Parquet file of this home, which has the digest of its commit. That is proven before
    decoding: it needs no process of its own, as files of others do (`airlock`). Raises
    VerificationFailed where the file is another."""
    assert sha256, "a file of a home is proven by its digest"
    return _open_file(path, (table,), Terms(bounded=False), _Proof(False, sha256, own=True))


@dataclass(frozen=True, slots=True)
class _Proof:
    """Proof of a file before it is used, as arguments of `open_table` and `open_own` have it."""

    digest: bool
    sha256: str
    own: bool = False
    room: Path | None = None

    def carry_out(self, file: int, path: Path, is_text: bool) -> str | None:
        """Read an open file once, and judge it where it is a text. Returns its digest, where that
        is wanted. Raises what `open_table` raises."""
        hasher, scan = hashlib.sha256(), csv_text.CsvScan(ROW_BYTES_MAX)
        try:
            if self.digest or is_text or self.sha256:
                for block in given.blocks(file):
                    hasher.update(block)
                    if is_text and not scan.feed(block):
                        break
            if is_text:
                formats.judge_csv(scan, file, path)
        except EnvironmentFailed:
            raise
        except OSError as error:
            raise EnvironmentFailed(f"{path} cannot be read: {error.strerror}") from error
        found = hasher.hexdigest()
        if self.sha256 and found != self.sha256:
            raise _other_content(str(path), self.own)
        return found if self.digest else None


def _open_file(path: Path, tables: tuple[Table, ...], terms: Terms, proof: _Proof) -> TableReader:
    name = str(path)
    if not proof.own:
        airlock.start()
    wanted = {column: kind for t in tables for column, kind in terms.wanted(t).items()}
    choices = _choices(tables, terms)
    (spare,) = {t.spare if terms.bounded else None for t in tables}
    with contextlib.ExitStack() as refused:
        with given.opened(path) as (file, before), contextlib.ExitStack() as copied:
            if before.st_size == 0:
                raise InputRefused(
                    "FILE_EMPTY", "the file is empty", file=name, remedy="send it again"
                )
            if not proof.own:
                file = copied.enter_context(given.sealed(path, file, before.st_size, proof.room))
            is_text, form = formats.form_of(file)

            def ask() -> airlock.Answer:
                answer = airlock.ask(file, name, form, wanted, None, spare, choices)
                refused.callback(answer.close)
                return answer

            # The child begins while the copy is hashed here; with a text, when that is judged.
            asked = None if proof.own or is_text else ask()
            sha256 = proof.carry_out(file, path, is_text)
            if is_text and not proof.own:
                asked = ask()
        opened = formats.parquet(path, wanted) if asked is None else airlock.opened(asked)
        source = Source(
            name,
            opened.schema,
            opened.batches,
            opened.rows,
            sha256,
            is_text,
            lambda: given.require_unchanged(path, before),
            (lambda: None) if asked is None else asked.close,
        )
        reader = TableReader(_meant(tables, choices, source), source, terms)
        refused.pop_all()
        return reader


def _choices(tables: tuple[Table, ...], terms: Terms) -> list[airlock.Choice]:
    """Columns by which a table is known for one of several; none where there is no choice."""
    if len(tables) == 1:
        return []
    needed = ([c.name for c in t.columns if not c.nullable] for t in tables)
    pairs = zip(tables, needed, strict=True)
    return [{"wanted": list(terms.wanted(t)), "needed": names} for t, names in pairs]


def _meant(tables: tuple[Table, ...], choices: Sequence[airlock.Choice], source: Source) -> Table:
    """The table of several that the columns of a file say."""
    number = airlock.chosen(source.schema.names, choices) if choices else 0
    if number is None:
        raise InputRefused(
            "KIND_UNKNOWN",
            f"the columns are those of none of {', '.join(t.name for t in tables)}",
            file=source.name,
            remedy="give the columns that docs/contract.md has",
        )
    return tables[number]


def _other_content(name: str, own: bool) -> SwitchError:
    """The refusal of a file that has not the digest that it must have."""
    if own:
        return VerificationFailed(f"{name} is not as it was committed: restore it")
    return InputRefused(
        "FILE_HASH",
        "the table's SHA-256 is not the one that the dossier declares",
        file=name,
        remedy="send the table that the dossier was made for",
    )
