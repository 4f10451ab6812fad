"""Intake: the dossier, and the payment table as lines that screening can take.

Columns IN: the payment table's. Columns OUT: the same as numbers: codes of benefit, debtor account
and creditor agent, months, name keys. What the table declares (count, sum, digest) is proven here,
or the whole table is refused.
"""

from __future__ import annotations

import codecs
import datetime
import hashlib
import operator
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, SupportsIndex

import msgspec
import numpy as np
from numpy.typing import NDArray

from switch.clearing.line_numbers import LineNumbers
from switch.clearing.parts import PARTS, Parts
from switch.errors import InputRefused, UsageError
from switch.files.columns import Columns, Texts, day_of_text, looked_up, text_buffers
from switch.files.given import name_twice, read_small, regular_file
from switch.files.tables import TableLike, TableReader
from switch.home.rows import BatchRow
from switch.native import csv_text, ledger
from switch.native.names import NOW
from switch.reason import RULE_SET, RULE_SET_BEFORE
from switch.registry.directory import Directory, packaged_rows
from switch.registry.register import name_keys, require_utf8
from switch.schema import (
    BATCH_ID_RULE,
    CURRENCY,
    HOUSEHOLD,
    LINES_MAX,
    MALFORMED,
    NO_CODE,
    NOT_GIVEN,
    PAYMENT,
    YEAR_MAX,
    YEAR_MIN,
    is_in_years,
)

NO_ID = np.uint64(2**64 - 1)
"""Id of a line whose text was none."""
SOURCE_MAX = 64
_UNSAFE = f"the source is not 1 to {SOURCE_MAX} of A-Z a-z 0-9 . _ - without a leading dot"
_IDS_A_PROVINCE = np.uint64(10**9)


@dataclass(frozen=True, slots=True)
class Declared:
    """Facts that the maker of a table declares. sha256: of the table's file, '' without a file."""

    source: str
    batch_id: str
    value_date: datetime.date
    count: int
    sum: int
    sha256: str = ""
    currency: str = CURRENCY
    programmes: Mapping[str, int] | None = None
    """Minor units of the lines above zero, by benefit; None where nothing is said of them."""
    debtors: Mapping[str, int] | None = None
    """The same by debtor account."""

    @property
    def parts(self) -> dict[str, Mapping[str, int] | None]:
        """Parts of the sum, by name of the field."""
        return {name: getattr(self, name) for name in PARTS}

    def check(self, file: str) -> Declared:
        """Refuse what no batch was ever declared by. What is new is held to more: `require_new`."""

        def refuse(rule: str, what: str, column: str, remedy: str) -> InputRefused:
            return InputRefused(rule, what, file=file, column=column, remedy=remedy)

        if not re.fullmatch(BATCH_ID_RULE, self.batch_id):
            what = "the batch id is not 1 to 64 of A-Z a-z 0-9 . _ - without a leading dot"
            raise refuse("NAME_UNSAFE", what, "batch_id", "name the batch by that rule")
        if not 1 <= len(self.source) <= SOURCE_MAX or not self.source.isprintable():
            raise refuse("NAME_UNSAFE", _UNSAFE, "source", "name the source by that rule")
        if self.currency != CURRENCY:
            raise refuse(
                "CURRENCY", f"the currency is not {CURRENCY}", "currency", f"send {CURRENCY} alone"
            )
        if self.count < 1:
            raise refuse("CONTROL_COUNT", "the declared count is below 1", "count", "correct it")
        if self.count > LINES_MAX:
            raise refuse("ROW_LIMIT", f"more than {LINES_MAX} lines", "count", "split the table")
        if not -(2**63) < self.sum < 2**63:
            raise refuse("TOTAL_RANGE", "the declared sum leaves 64 bits", "sum", "split the table")
        totals = [sum(parts.values()) for parts in self.parts.values() if parts is not None]
        if any(total != totals[0] or total < self.sum for total in totals):
            what = f"sums by {' and by '.join(PARTS)} add up to {totals}: not the same, or less"
            column, remedy = "programmes", "correct them, or write the dossier anew"
            raise refuse("CONTROL_PARTS", f"{what} than the declared sum", column, remedy)
        return self

    def require_new(self, file: str) -> None:
        """Refuse what no new batch may be declared by. Batches that were run before there were
        these rules are answered again and replayed as they were declared."""
        if not re.fullmatch(BATCH_ID_RULE, self.source):
            remedy = "name the source by that rule"
            raise InputRefused("NAME_UNSAFE", _UNSAFE, file=file, column="source", remedy=remedy)
        if not is_in_years(self.value_date):
            what = f"the value date is not of {YEAR_MIN} to {YEAR_MAX}"
            remedy = "correct it"
            raise InputRefused("DATE_INVALID", what, file=file, column="value_date", remedy=remedy)

    def require_as_stored(self, batch: BatchRow, file: str) -> None:
        """A table that was run before is declared as it was then: nothing of it changes by being
        sent again. batch: its row of the catalog."""
        for name, column in STORED.items():
            stored = str(getattr(batch, column))
            if str(getattr(self, name)) != stored:
                what = (
                    f"batch {self.batch_id!r} of {self.source!r} was run with {name}"
                    f" {stored}, which another dossier does not change"
                )
                remedy = "declare it as it was, or give a new table a new batch id"
                raise InputRefused("REFERENCE_REUSED", what, file=file, column=name, remedy=remedy)

    def require_content(self, batch: BatchRow, digests: Collection[str], file: str) -> None:
        """A table that was run before holds what it held then. digests: that of it now, and others
        that it may have been taken with."""
        if batch.digest not in digests:
            remedy = "give the new table a new batch id"
            raise self._reused(batch, "was run with other content", file, remedy)

    def require_file(self, batch: BatchRow, sha256: str | None, file: str) -> None:
        """A batch that was run as a file is known again by the file's SHA-256: its rows were not
        kept as they came."""
        if sha256 is None:
            what = "was run as a file, and a table in memory is not known to be the same"
            remedy = "send the file again, as it was; or give a new table a new batch id"
            raise self._reused(batch, what, file, remedy)
        self.require_content(batch, {f"{OF_A_FILE}{sha256}"}, file)

    def _reused(self, batch: BatchRow, what: str, file: str, remedy: str) -> InputRefused:
        what = f"batch {batch.batch_id!r} of {batch.source!r} {what}"
        return InputRefused("REFERENCE_REUSED", what, file=file, column="batch_id", remedy=remedy)


OF_A_FILE, OF_MEMORY = "sha256:", "logical:"
"""Begin of the digest of a batch that was run as a file; else it is that of its rows."""
STORED = {"value_date": "value_date", "count": "lines", "sum": "amount"}
"""Fields declared beside identity, currency and digest, and where a batch keeps it."""


class _Dossier(msgspec.Struct):
    source: str
    batch_id: str
    currency: str
    count: int | str
    sum: int | str
    sha256: str
    value_date: datetime.date
    programmes: dict[str, int | str] | None = None
    debtors: dict[str, int | str] | None = None


FIELDS = tuple(name for name in _Dossier.__struct_fields__ if name not in PARTS)


def dossier_path(table: Path) -> Path:
    """NAME.dossier.json beside NAME.parquet (or .csv, .arrow)."""
    if not table.name:
        regular_file(table)  # `.` and `/` have no name, and are folders.
    return table.with_name(f"{table.stem}.dossier.json")


def read_dossier(table: Path) -> Declared:
    """The dossier of a table's file, checked in itself."""
    path = dossier_path(table)
    if not path.exists():
        regular_file(table)  # A name that was mistyped is no matter of the dossier.
        what = "the table has no dossier"
        remedy = f"put it beside the table; it declares {', '.join(FIELDS)}"
        raise InputRefused("DOSSIER_MISSING", what, file=str(path), remedy=remedy)
    regular_file(path)
    content = read_small(path)
    try:
        text = content.removeprefix(codecs.BOM_UTF8)  # Editors of Windows write one.
        dossier = msgspec.json.decode(text, type=_Dossier)
        _require_single(text, path)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        column = re.search(r"`\$\.(\w+)`|field `(\w+)`", str(error))
        raise InputRefused(
            "DOSSIER_INVALID",
            f"the dossier cannot be read: {str(error).split(' - ')[0][:120]}",
            file=str(path),
            column=next(filter(None, column.groups())) if column else None,
            remedy=f"write {', '.join(FIELDS)} (yyyy-mm-dd) as a JSON object",
        ) from None
    if not re.fullmatch(r"[0-9a-f]{64}", dossier.sha256):
        what = "sha256 is not 64 hexadecimal digits in lower case"
        remedy = "give the digest of the table's file"
        raise InputRefused("DOSSIER_INVALID", what, file=str(path), column="sha256", remedy=remedy)
    return Declared(
        source=dossier.source,
        batch_id=dossier.batch_id,
        value_date=dossier.value_date,
        count=_whole(dossier.count, "count", path),
        sum=_whole(dossier.sum, "sum", path),
        sha256=dossier.sha256,
        currency=dossier.currency,
        programmes=_parts(dossier.programmes, "programmes", path),
        debtors=_parts(dossier.debtors, "debtors", path),
    ).check(str(path))


def _parts(parts: dict[str, int | str] | None, column: str, path: Path) -> dict[str, int] | None:
    if parts is None:
        return None
    return {name: _whole(part, column, path) for name, part in parts.items()}


def _require_single(text: bytes, path: Path) -> None:
    twice = name_twice(text)
    if twice is not None:
        raise InputRefused(
            "DOSSIER_INVALID",
            "a field stands twice",
            file=str(path),
            column=twice if twice in FIELDS else None,
            remedy="keep one field of each name",
        )


def _whole(value: int | str, column: str, path: Path) -> int:
    if isinstance(value, int):
        return value
    if not re.fullmatch(r"-?[0-9]{1,20}", value, re.ASCII):
        what = f"{column} is no whole number"
        remedy = "write plain digits"
        raise InputRefused("DOSSIER_INVALID", what, file=str(path), column=column, remedy=remedy)
    return int(value)


def declare(
    table: TableLike,
    source: str | None,
    batch_id: str | None,
    value_date: datetime.date | str | None,
    count: int | None,
    sum_: int | None,
) -> Declared:
    """Read what a table declares: its dossier, or what is given in place of one, all of it. Raises
    UsageError for what is none of that, InputRefused for what no batch can be named by."""
    given = (source, batch_id, value_date, count, sum_)
    path = Path(table) if isinstance(table, str | Path) else None
    if path is not None and all(value is None for value in given):
        return read_dossier(path)
    if source is None or batch_id is None or value_date is None or count is None or sum_ is None:
        raise UsageError(
            "a table without a dossier needs source, batch_id, value_date, count and sum"
            + (f"; or put {dossier_path(path).name} beside it" if path is not None else "")
        )
    for name, text in (("source", source), ("batch_id", batch_id)):
        if not isinstance(text, str):
            raise UsageError(f"{name} {text!r} is no text")
    count, sum_ = _number("count", count), _number("sum", sum_)
    return Declared(source, batch_id, as_date(value_date), count, sum_).check(PAYMENT.name)


def declared_in(table: TableLike, declared: Declared) -> str:
    """Name of what declares a table, for messages: its dossier, where one was read."""
    is_read = isinstance(table, str | Path) and declared.sha256
    return str(dossier_path(Path(str(table)))) if is_read else PAYMENT.name


def _number(name: str, value: SupportsIndex) -> int:
    """A whole number of Python, numpy or whatever calls itself one."""
    try:
        return operator.index(value)
    except TypeError:
        raise UsageError(f"{name} {value!r} is no whole number") from None


def as_date(value: datetime.date | str) -> datetime.date:
    """A date, or its ISO text. Raises UsageError."""
    if isinstance(value, datetime.datetime):
        raise UsageError("a value date has no time of day")
    if isinstance(value, datetime.date):
        return value
    day = day_of_text(value) if isinstance(value, str) else None
    if day is None:
        raise UsageError(f"{value!r} is no date: write yyyy-mm-dd")
    return day


@dataclass(slots=True)
class Lines:
    """A chunk of lines on their way in: columns of equal length, in table order."""

    line_no: NDArray[np.uint32]
    """Unique in the table."""
    person_id: NDArray[np.uint64]
    """2**64-1 where the text was no id."""
    name: Texts
    name_key: NDArray[np.uint64]
    """0 where the name is unusable."""
    benefit: NDArray[np.uint16]
    """Index of the programme, NO_CODE."""
    month: NDArray[np.uint16]
    """Months since 1900-01."""
    amount: NDArray[np.int64]
    """Minor units."""
    debtor: NDArray[np.uint16]
    """Index of the debtor account, NO_CODE."""
    agent: NDArray[np.uint16] | None
    """Directory index, NO_CODE, MALFORMED or NOT_GIVEN; None where no line names one."""
    account: Texts | None
    end_to_end_id: Texts | None
    household: Texts | None
    """Names of households, by which neighbours are sent as one credit; None without the column."""
    raw: Columns
    """The columns as read: what a held line keeps."""

    def __len__(self) -> int:
        return len(self.line_no)


class Intake:
    """Turns a reader's chunks into lines; after the last one `count` and `sum` are proven."""

    def __init__(
        self,
        directory: Directory,
        *,
        digest: bool = False,
        rule_set: str = RULE_SET,
        fold: int = NOW,
        day: datetime.date | None = None,
    ) -> None:
        """digest: take the logical digest of the rows. rule_set: of RULE_SETS, what judges them.
        fold: version of the fold of the register's names. day: the value date, by which codes of
        participants are replaced; None: by none."""
        self.count = 0
        self.sum = 0
        self._benefit = {p.benefit: i for i, p in enumerate(directory.programmes)}
        self._debtor = {d.debtor_account: i for i, d in enumerate(directory.debtors)}
        self._agent = directory.index() if day is None else directory.index_on(str(day))
        self._fold = fold
        self._key_cache: tuple[Any, Any, int] = (None, None, -1)
        self._digest = LogicalDigest() if digest else None
        self._known = _province_codes() if rule_set == RULE_SET_BEFORE else None

    @property
    def logical_digest(self) -> str:
        """Digest of the rows taken so far, equal for every format, dictionary and chunk size."""
        assert self._digest is not None
        return self._digest.hexdigest()

    @property
    def digests(self) -> set[str]:
        """Digests by which a batch of these rows may be known (`LogicalDigest.told`)."""
        assert self._digest is not None
        return self._digest.told()

    def lines(self, reader: TableReader, declared: Declared, rows: int) -> Iterator[Lines]:
        """All lines; raises InputRefused where the table is not what it declares."""
        numbers = LineNumbers(declared.count)
        is_parted = any(parts is not None for parts in declared.parts.values())
        parts = Parts() if is_parted else None
        if reader.rows and reader.rows != declared.count:
            raise _count_differs(reader.name, reader.rows, declared.count)
        for columns in reader.chunks(rows):
            if self.count + len(columns["line_no"]) > declared.count:
                raise _count_differs(reader.name, self.count, declared.count, more=True)
            numbers.take(columns["line_no"], reader.name)
            if parts is not None:
                parts.take(columns)
            yield self.take(columns, reader.name)
        if self.count != declared.count:
            raise _count_differs(reader.name, self.count, declared.count)
        numbers.require_all(reader.name)
        if not -(2**63) < self.sum < 2**63:
            what = "the sum of the amounts leaves 64 bits"
            raise InputRefused(
                "TOTAL_RANGE", what, file=reader.name, column="amount", remedy="split the table"
            )
        if self.sum != declared.sum:
            what = f"the amounts add up to {self.sum}, the dossier declares {declared.sum}"
            remedy = "send the table that the dossier was made for"
            raise InputRefused(
                "CONTROL_SUM", what, file=reader.name, column="amount", remedy=remedy
            )
        if parts is not None:
            parts.require(declared.parts, reader.name)

    def take(self, columns: Columns, file: str) -> Lines:
        """One chunk of columns as lines."""
        done = self.count
        line_no = columns["line_no"]
        amount = np.ascontiguousarray(columns["amount"])
        self.sum += exact_sum(amount)
        self.count += len(line_no)
        agent, account = self._given_accounts(columns, file, done)
        if self._digest is not None:
            self._digest.update(columns)
        return Lines(
            line_no=np.ascontiguousarray(line_no),
            person_id=self._person_ids(columns["person_id"]),
            name=columns["person_name"],
            name_key=self._name_keys(columns["person_name"], file, done),
            benefit=code_lookup(columns["benefit"], self._benefit),
            month=np.ascontiguousarray(columns["period"]),
            amount=amount,
            debtor=code_lookup(columns["debtor_account"], self._debtor),
            agent=agent,
            account=account,
            end_to_end_id=columns.get("end_to_end_id"),
            household=columns.get(HOUSEHOLD),
            raw=columns,
        )

    def _person_ids(self, ids: NDArray[np.uint64]) -> NDArray[np.uint64]:
        """The ids; where the rules before judge, those without a province code are none."""
        if self._known is not None:
            province = np.minimum(ids // _IDS_A_PROVINCE, np.uint64(len(self._known) - 1))
            ids = np.where(self._known.take(province.astype(np.int64)), ids, NO_ID)
        return np.ascontiguousarray(ids)

    def _name_keys(self, names: Texts, file: str, done: int) -> NDArray[np.uint64]:
        if names.index is None:
            keys, _, bad = name_keys(names, fold=self._fold)
        else:
            # A row group's chunks share one dictionary; its keys are computed once.
            offsets, data = names.buffers()
            mark = (offsets.ctypes.data, data.ctypes.data, len(offsets), len(data))
            if self._key_cache[0] != mark:
                keys, _, bad = name_keys(Texts(names.values, None), fold=self._fold)
                self._key_cache = (mark, (keys, names.values), bad)
            keys, bad = looked_up(self._key_cache[1][0], names.index), self._key_cache[2]
            if bad >= 0:
                here = names.index == bad
                bad = int(np.argmax(here)) if here.any() else 0
        require_utf8(bad, file, done, "person_name")
        return keys

    def _given_accounts(
        self, columns: Columns, file: str, done: int
    ) -> tuple[NDArray[np.uint16] | None, Texts | None]:
        agents: Texts | None = columns.get("creditor_agent")
        accounts: Texts | None = columns.get("creditor_account")
        if agents is None and accounts is None:
            return None, None
        count = len(columns["line_no"])
        none = np.ones(count, bool)
        no_agent = none if agents is None else empty_rows(agents)
        no_account = none if accounts is None else empty_rows(accounts)
        odd = no_agent != no_account
        if odd.any():
            row = int(np.argmax(odd))
            column = "creditor_agent" if no_agent[row] else "creditor_account"
            raise InputRefused(
                "ACCOUNT_INCOMPLETE",
                "creditor_agent and creditor_account are not both given",
                file=file,
                row=done + row + 1,
                column=column,
                remedy="give both, or neither",
            )
        if no_agent.all():
            return None, None
        assert agents is not None
        assert accounts is not None
        lookup = code_lookup(agents, self._agent)
        if self._known is None:
            lookup[_odd_rows(accounts)] = MALFORMED
        lookup[no_agent] = NOT_GIVEN
        return lookup, Texts(accounts.rows(), None)


def _count_differs(file: str, count: int, declared: int, more: bool = False) -> InputRefused:
    return InputRefused(
        "CONTROL_COUNT",
        f"the table has {'more than ' if more else ''}{declared if more else count} lines, "
        f"the dossier declares {declared}",
        file=file,
        remedy="send the table that the dossier was made for",
    )


def exact_sum(amount: NDArray[np.int64]) -> int:
    """The sum of a chunk, also where it leaves 64 bits: what counts is the table's, not that of
    the chunks in which it comes."""
    try:
        return int(ledger.total(amount, 0))
    except OverflowError:
        return sum(map(int, amount))


def _province_codes() -> NDArray[np.bool_]:
    """True where the first three digits of an id are a province code; the last entry stands for
    all that is longer."""
    known = np.zeros(1001, bool)
    for row in packaged_rows("provinces.csv"):
        known[int(row["cccd_province_code"])] = True
    return known


def code_lookup(texts: Texts, index: dict[str, int]) -> NDArray[np.uint16]:
    """Index of every row's text, NO_CODE where it is not known."""
    assert texts.index is not None
    values = [index.get(value, NO_CODE) for value in texts.values.to_pylist()]
    return looked_up(np.array([*values, NO_CODE], np.uint16), texts.index)


def empty_rows(texts: Texts) -> NDArray[np.bool_]:
    """True in rows without a text (null or of no characters)."""
    offsets, _ = texts.buffers()
    count = len(texts.values)
    empty: NDArray[np.bool_] = offsets[1 : count + 1] == offsets[:count]
    if texts.index is None:
        return empty | texts.null_rows()
    return looked_up(np.append(empty, True), texts.index)


def _odd_rows(accounts: Texts) -> NDArray[np.bool_]:
    """True in rows whose text is no account."""
    offsets, data = accounts.buffers()
    odd = np.empty(len(accounts.values), np.uint8)
    csv_text.odd_accounts(offsets, data, odd)
    if accounts.index is None:
        return odd.view(bool)
    return looked_up(np.append(odd.view(bool), True), accounts.index)


class LogicalDigest:
    """SHA-256 over the canonical columns of a table: one hash a column, so that neither chunk
    sizes nor dictionaries nor the file format show in it."""

    def __init__(self) -> None:
        self._hashes: dict[str, Any] = {}
        self._has_households = False

    def _hash(self, name: str) -> Any:
        return self._hashes.setdefault(name, hashlib.sha256())

    def update(self, columns: Columns) -> None:
        for column in PAYMENT.columns:
            values = columns.get(column.name)
            if column.name == HOUSEHOLD and values is not None:
                self._has_households |= not values.null_rows().all()
            if values is None:
                # An absent column and one of nulls are the same table.
                lengths = np.full(len(columns["line_no"]), -1, "<i4")
                self._hash(column.name).update(lengths)
            elif isinstance(values, Texts):
                rows = values.rows()
                offsets, data = text_buffers(rows.fill_null(""))
                lengths = np.diff(offsets).astype("<i4")
                lengths[np.asarray(rows.is_null())] = -1
                self._hash(column.name).update(lengths)
                self._hash(column.name + "=").update(data[offsets[0] : offsets[-1]])
            else:
                self._hash(column.name).update(np.ascontiguousarray(values))

    def told(self) -> set[str]:
        """Digests by which a batch of these rows may be known: also that of before there were
        households, when a column of that name was one that nobody read."""
        return {f"{OF_MEMORY}{self.hexdigest(households=has)}" for has in (True, False)}

    def hexdigest(self, *, households: bool = True) -> str:
        whole = hashlib.sha256()
        has = self._has_households and households
        for name in sorted(self._hashes):
            if name.rstrip("=") == HOUSEHOLD and not has:
                continue  # Tables that name none have the digest that they had before there were.
            whole.update(name.encode() + b"\0" + self._hashes[name].digest())
        return whole.hexdigest()
