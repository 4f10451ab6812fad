"""The directory: participants, whose settlement account pays for them, and the accounts that pay.

Everything here is tens to thousands of rows, so it is plain Python; the core gets lookups by index.
A participant's index is its place in the order of codes.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable
from datetime import date, timedelta
from functools import partial
from importlib import resources
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from switch.errors import InputRefused, UsageError
from switch.files.columns import Texts
from switch.files.tables import TableLike, open_table
from switch.schema import (
    DAY_MIN,
    DEBTOR_COLUMNS,
    NO_CODE,
    PARTICIPANT_COLUMNS,
    PARTICIPANT_KINDS,
    PARTICIPANT_STATUS,
    Column,
    Kind,
    Table,
)

PARTICIPANTS_MAX = 1024
"""The pair matrix of positions is the square of this: 8 MiB of int64."""
DEBTORS_MAX = 60_000
BENEFITS_MAX = 1024
NO_LIMIT = 2**63 - 1
EPOCH = date(1970, 1, 1)
PRIORITY_LAST = 9
"""Classes of priority are 1 to this one, which is that of a programme without."""

Row = dict[str, Any]
"""A row of a small table: text, or amounts that may be None."""

_KINDS = dict.fromkeys(
    ("net_debit_cap", "amount_max", "amount_month_max", "budget", "balance"), Kind.AMOUNT
)
_KINDS["priority"] = Kind.PRIORITY
_KINDS["replaced_from"] = Kind.DATE
_REQUIRED = ("participant", "status", "debtor_account", "debtor_agent", "benefit", "balance")


def _table(name: str, columns: tuple[str, ...], beside: tuple[str, ...] = ()) -> Table:
    return Table(
        name,
        tuple(Column(c, _KINDS.get(c, Kind.TEXT), c not in _REQUIRED) for c in columns),
        True,
        beside,
    )


PARTICIPANTS = _table("participant directory", PARTICIPANT_COLUMNS)
DEBTORS = _table("debtor directory", DEBTOR_COLUMNS)
PROGRAMMES = _table(
    "programme table",
    ("benefit", "name", "purpose", "priority", "exclusive_group"),
    # For the generator: the packaged table has them.
    ("recipients_per_month", "amount_model", "amount_min", "account_share", "basis"),
)
BALANCES = _table("table of balances", ("participant", "balance"))


class Participant(msgspec.Struct, frozen=True, omit_defaults=True):
    """A bank, wallet, mobile-money operator or the treasury. None: no limit."""

    participant: str
    short_name: str
    name: str
    bic: str
    kind: str
    settled_by: str
    """Participant whose settlement account pays for it; its own code where that is its own."""
    net_debit_cap: int | None
    amount_max: int | None
    status: str
    replaced_by: str = ""
    """Code that stands for it from a day on; empty where its code stays."""
    replaced_from: str = ""
    """Day from which it does, yyyy-mm-dd; empty where its code stays."""
    amount_month_max: int | None = None
    """Limit of what one account is sent in a month, in minor units."""


class Debtor(msgspec.Struct, frozen=True):
    """An account that pays, and the participant (debtor agent) that holds it."""

    debtor_account: str
    debtor_agent: str
    programme: str
    budget: int | None


class Programme(msgspec.Struct, frozen=True, omit_defaults=True):
    benefit: str
    name: str
    purpose: str
    priority: int = PRIORITY_LAST
    """Class of priority where cover is missing: lines of class 1 go before all others."""
    exclusive_group: str = ""
    """Name of the group of benefits of which a person is paid one a period; empty: none."""


class Lookups(NamedTuple):
    """The directory as the core takes it, all by index."""

    suspended: NDArray[np.uint8]
    amount_max: NDArray[np.int64]
    """Limit of each participant; NO_LIMIT where there is none."""
    amount_month_max: NDArray[np.int64]
    """The same for what one account is sent in a month."""
    debtor_agent: NDArray[np.uint16]
    """Index of a participant by debtor; one more is NO_CODE, for unknown debtors."""
    settle: NDArray[np.uint16]
    """Index of the participant that settles for each."""
    priority: NDArray[np.uint8]
    """Class of priority by programme."""
    group: NDArray[np.uint16]
    """By programme the first one of its exclusive group; itself where it has none."""


class Directory(msgspec.Struct, frozen=True):
    """Participants in order of code, debtors in order of account, programmes as given."""

    participants: tuple[Participant, ...]
    debtors: tuple[Debtor, ...]
    programmes: tuple[Programme, ...]

    def index(self) -> dict[str, int]:
        return {p.participant: i for i, p in enumerate(self.participants)}

    def index_on(self, day: str) -> dict[str, int]:
        """Index by the code that registers and tables of a value date (yyyy-mm-dd) name: a code
        that is replaced by then is the new one."""
        index = self.index()
        moved = [p for p in self.participants if p.replaced_by and p.replaced_from <= day]
        return index | {p.participant: index[p.replaced_by] for p in moved}

    def settlement_index(self) -> list[int]:
        """Index of the one that settles, for each participant."""
        index = self.index()
        return [index[p.settled_by] for p in self.participants]

    def lookups(self) -> Lookups:
        index = self.index()
        return Lookups(
            np.array([p.status == "suspended" for p in self.participants], np.uint8),
            _limits(p.amount_max for p in self.participants),
            _limits(p.amount_month_max for p in self.participants),
            np.array([*(index[d.debtor_agent] for d in self.debtors), NO_CODE], np.uint16),
            np.array(self.settlement_index(), np.uint16),
            np.array([p.priority for p in self.programmes], np.uint8),
            np.array(self._groups(), np.uint16),
        )

    def _groups(self) -> list[int]:
        first: dict[str, int] = {}
        return [
            first.setdefault(p.exclusive_group, i) if p.exclusive_group else i
            for i, p in enumerate(self.programmes)
        ]

    def to_json(self) -> bytes:
        return msgspec.json.encode(self)

    @staticmethod
    def of_json(text: bytes) -> Directory:
        return msgspec.json.decode(text, type=Directory)


def _limits(limits: Iterable[int | None]) -> NDArray[np.int64]:
    return np.array([NO_LIMIT if limit is None else limit for limit in limits], np.int64)


def read_rows(source: TableLike, table: Table) -> list[Row]:
    """A small table as dicts: text str ('' where absent), amounts int or None."""
    rows: list[Row] = []
    absent = {c.name: "" if c.kind is Kind.TEXT else None for c in table.columns}
    for columns in open_table(source, table, digest=False).chunks():
        lists: list[list[str | int | None]] = []
        for values in columns.values():
            if isinstance(values, Texts):
                lists.append([text or "" for text in values.rows().to_pylist()])
            else:
                lists.append([None if v == NO_LIMIT else int(v) for v in values])
        rows += [absent | dict(zip(columns, row, strict=True)) for row in zip(*lists, strict=True)]
    return rows


def _refuse(
    table: Table, source: object, row: int, column: str, what: str, remedy: str
) -> InputRefused:
    file = str(source) if isinstance(source, str) or hasattr(source, "__fspath__") else table.name
    return InputRefused(
        "DIRECTORY_INVALID", what, file=file, row=row + 1, column=column, remedy=remedy
    )


def read_directory(
    participants: TableLike | None,
    debtors: TableLike | None,
    programmes: TableLike | None = None,
    old: Directory | None = None,
) -> Directory:
    """The directory from its tables. None: the table stays as old has it, which may have been taken
    when less was refused; without old the packaged programmes."""
    if participants is not None:
        known = tuple(sorted(_participants(participants), key=lambda p: p.participant))
    else:
        known = _kept(old, PARTICIPANTS).participants
    kept = _kept(old, DEBTORS).debtors if debtors is None else ()
    if programmes is None:
        found = packaged_programmes() if old is None else old.programmes
    else:
        found = _programmes(programmes)
    return Directory(known, tuple(_debtors(debtors, kept, known)), found)


def _kept(old: Directory | None, table: Table) -> Directory:
    if old is None:
        raise UsageError(f"a first directory needs a {table.name}")
    return old


def _participants(source: TableLike) -> list[Participant]:
    rows = read_rows(source, PARTICIPANTS)
    refuse = partial(_refuse, PARTICIPANTS, source)
    codes: set[str] = set()
    for i, row in enumerate(rows):
        code = row["participant"]
        if code in codes or not code:
            what = f"participant {code!r} stands twice or is empty"
            raise refuse(i, "participant", what, "give each participant one row")
        if "/" in code or "\\" in code or code.startswith(".") or not code.isprintable():
            what = f"participant {code!r} cannot name a file"
            raise refuse(i, "participant", what, "use letters, digits, '-' and '_'")
        codes.add(code)
        if row["status"] not in PARTICIPANT_STATUS:
            remedy = f"use {' or '.join(PARTICIPANT_STATUS)}"
            raise refuse(i, "status", f"status {row['status']!r} is not known", remedy)
        if row["kind"] not in ("", *PARTICIPANT_KINDS):
            remedy = f"use one of {', '.join(PARTICIPANT_KINDS)}, or leave it empty"
            raise refuse(i, "kind", f"kind {row['kind']!r} is not known", remedy)
        for column in ("net_debit_cap", "amount_max", "amount_month_max"):
            if row[column] is not None and row[column] < 0:
                raise refuse(i, column, f"{column} is negative", "leave it empty for no limit")
        row["amount_month_max"] = row["amount_month_max"] or None
    if len(rows) > PARTICIPANTS_MAX:
        what = f"more than {PARTICIPANTS_MAX} participants"
        raise refuse(PARTICIPANTS_MAX, "participant", what, "split the scheme")
    own = {r["participant"]: r["settled_by"] or r["participant"] for r in rows}
    for i, row in enumerate(rows):
        agent = own[row["participant"]]
        if own.get(agent) != agent:
            what = f"settled_by {agent!r} is no participant that settles for itself"
            remedy = "name a participant with an own settlement account, or leave it empty"
            raise refuse(i, "settled_by", what, remedy)
        row["settled_by"] = agent
    for i, row in enumerate(rows):
        _take_replacement(row, {r["participant"]: r for r in rows}, partial(refuse, i))
    return [Participant(**row) for row in rows]


def _take_replacement(
    row: Row, known: dict[str, Row], refuse: Callable[[str, str, str], InputRefused]
) -> None:
    """Check the code that replaces a participant's, and put its day into words. known: all rows by
    code, who settles for them said."""
    code, new, day = row["participant"], row["replaced_by"], row["replaced_from"]
    row["replaced_from"] = "" if day in (None, DAY_MIN) else str(EPOCH + timedelta(days=day))
    if not new and not row["replaced_from"]:
        return
    if not new or not row["replaced_from"]:
        column = "replaced_from" if new else "replaced_by"
        raise refuse(column, f"{column} of {code!r} is empty", "give both, or neither")
    if new == code or new not in known or known[new]["replaced_by"]:
        what = f"replaced_by {new!r} is no participant whose own code stays"
        raise refuse("replaced_by", what, "name the code that stands for it, with a row of its own")
    if row["settled_by"] != known[new]["settled_by"]:
        what = f"{code!r} and {new!r} are settled by two, and are to have one position"
        raise refuse("settled_by", what, f"name {known[new]['settled_by']!r}")


def _debtors(
    source: TableLike | None, kept: tuple[Debtor, ...], participants: tuple[Participant, ...]
) -> list[Debtor]:
    codes = {p.participant for p in participants}
    debtors: dict[str, Debtor] = {}
    refuse = partial(_refuse, DEBTORS, source)
    rows = map(msgspec.structs.asdict, kept) if source is None else read_rows(source, DEBTORS)
    for i, row in enumerate(rows):
        account = row["debtor_account"]
        if account in debtors or not account:
            what = "the debtor account stands twice or is empty"
            raise refuse(i, "debtor_account", what, "give each debtor account one row")
        if row["debtor_agent"] not in codes:
            what = f"debtor agent {row['debtor_agent']!r} is no participant"
            raise refuse(i, "debtor_agent", what, "add it to the participants first")
        if row["budget"] is not None and row["budget"] < 0:
            raise refuse(i, "budget", "budget is negative", "leave it empty for no limit")
        debtors[account] = Debtor(**row)
    if len(debtors) > DEBTORS_MAX:
        what = f"more than {DEBTORS_MAX} debtor accounts"
        raise refuse(DEBTORS_MAX, "debtor_account", what, "split the scheme")
    return sorted(debtors.values(), key=lambda d: d.debtor_account)


def _programmes(source: TableLike) -> tuple[Programme, ...]:
    rows = read_rows(source, PROGRAMMES)
    refuse = partial(_refuse, PROGRAMMES, source)
    codes: set[str] = set()
    for i, row in enumerate(rows):
        code = row["benefit"]
        if code in codes or not code or i >= BENEFITS_MAX:
            what = f"benefit {code!r} stands twice, is empty or one too many"
            remedy = f"give each of at most {BENEFITS_MAX} benefits one row"
            raise refuse(i, "benefit", what, remedy)
        codes.add(code)
        if row["priority"] is None:
            row["priority"] = PRIORITY_LAST
        if not 1 <= row["priority"] <= PRIORITY_LAST:
            what = f"priority {row['priority']} is no class"
            remedy = f"use 1 to {PRIORITY_LAST}, or leave it empty for the last class"
            raise refuse(i, "priority", what, remedy)
    return tuple(Programme(**row) for row in rows)


def packaged_rows(name: str) -> list[dict[str, str]]:
    """Rows of a table that comes with the package, as text."""
    text = resources.files("switch").joinpath("data", name).read_text("utf-8")
    return list(csv.DictReader(io.StringIO(text)))


def packaged_programmes() -> tuple[Programme, ...]:
    return tuple(
        Programme(row["benefit"], row["name"], row["purpose"])
        for row in packaged_rows("programmes.csv")
    )
