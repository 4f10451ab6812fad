"""The directory: participants, whose settlement account pays for them, and the accounts that pay.

Everything here is tens to thousands of rows, so it is plain Python; the core gets lookups by index.
A participant's index is its place in the order of codes.
"""

from __future__ import annotations

import csv
import datetime
import io
import re
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
    AMOUNT_MAX,
    CLEARING_LIMIT,
    DEBTOR_COLUMNS,
    NO_CODE,
    PARTICIPANT_COLUMNS,
    PARTICIPANT_KINDS,
    PARTICIPANT_STATUS,
    YEAR_MAX,
    YEAR_MIN,
    Column,
    Kind,
    Table,
    is_in_years,
)

PARTICIPANTS_MAX = 1024
"""The pair matrix of positions is the square of this: 8 MiB of int64."""
DEBTORS_MAX = 60_000
BENEFITS_MAX = 1024
NO_LIMIT = 2**63 - 1
RECAST = "recast"
FUNDS_RULES = ("wait", "share", RECAST)
_CUTOFF = re.compile(r"([01][0-9]|2[0-3]):[0-5][0-9]")
PRIORITY_LAST = 9
"""Classes of priority are 1 to this one, which is that of a programme without."""

Row = dict[str, Any]
"""A row of a small table: text, or amounts that may be None."""

_KINDS = dict.fromkeys(("net_debit_cap", "amount_max", "budget", "balance"), Kind.AMOUNT)
_KINDS["priority"] = Kind.PRIORITY
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
    ("benefit", "name", "purpose", "priority"),
    # For the generator: the packaged table has them.
    ("recipients_per_month", "amount_model", "amount_min", "account_share", "basis"),
)
BALANCES = _table("table of balances", ("participant", "balance"))


class Participant(msgspec.Struct, frozen=True):
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


class Settings(msgspec.Struct, forbid_unknown_fields=True):
    """Decisions of a home's owner, kept in the catalog with an audit record. A run may be given
    others, which its manifest records."""

    clearing_limit: int = CLEARING_LIMIT
    cutoffs: tuple[str, ...] | msgspec.UnsetType = msgspec.UNSET
    """Local times HH:MM at which the cycles of a business day close. Without them there is no
    calendar: every batch settles in a cycle of its own, at once."""
    holidays: tuple[datetime.date, ...] | msgspec.UnsetType = msgspec.UNSET
    """Days off beside the packaged ones."""
    holidays_only: bool | msgspec.UnsetType = msgspec.UNSET
    """True where `holidays` and `working_days` are all there are; unset: they add."""
    working_days: tuple[datetime.date, ...] | msgspec.UnsetType = msgspec.UNSET
    """Days that count though they are weekends, or packaged as off: Saturdays that are worked."""
    insufficient_funds: str | msgspec.UnsetType = msgspec.UNSET
    """Rule for a cycle whose payer lacks funds, one of FUNDS_RULES; unset: wait."""
    enforce_budgets: bool | msgspec.UnsetType = msgspec.UNSET
    """True where a table beyond the budget of one of its programmes is refused; unset: it is
    not."""
    accounts_shared_max: int | msgspec.UnsetType = msgspec.UNSET
    """Number of persons for whom an account may receive in a batch; lines of more wait. Unset:
    any."""

    def check(self) -> Settings:
        """Settings as these, with values of their types. Raises UsageError where they are none."""
        try:
            return msgspec.convert(msgspec.to_builtins(self), Settings)._check()._said_in_full()
        except msgspec.ValidationError as error:
            raise UsageError(f"settings: {error}") from error

    def _check(self) -> Settings:
        # What is given as nothing is taken away, and kept as if it had never been given.
        self.cutoffs = self.cutoffs or msgspec.UNSET
        self.accounts_shared_max = self.accounts_shared_max or msgspec.UNSET
        if self.cutoffs is not msgspec.UNSET:
            times = list(self.cutoffs)
            if times != sorted(set(times)) or not all(map(_CUTOFF.fullmatch, times)):
                raise UsageError("cutoffs are not times HH:MM in ascending order")
        both = set(self.holidays or ()) & set(self.working_days or ())
        if both:
            raise UsageError(f"{min(both)} stands in both holidays and working_days")
        if self.insufficient_funds not in (msgspec.UNSET, *FUNDS_RULES):
            raise UsageError(f"insufficient_funds is none of {', '.join(FUNDS_RULES)}")
        if self.holidays is not msgspec.UNSET and not all(map(is_in_years, self.holidays)):
            raise UsageError(f"holidays are not of {YEAR_MIN} to {YEAR_MAX}")
        most = self.accounts_shared_max
        if most is not msgspec.UNSET and not 0 < most < 2**31:
            raise UsageError("accounts_shared_max is not between 1 and 2147483647; 0 is any")
        if not 0 < self.clearing_limit <= AMOUNT_MAX:
            raise UsageError(f"clearing_limit is not between 1 and {AMOUNT_MAX}")
        return self

    def _said_in_full(self) -> Settings:
        """The same; whether days off add is said, for `stored` reads silence otherwise."""
        if self.holidays is msgspec.UNSET or self.holidays_only is not msgspec.UNSET:
            return self
        return msgspec.structs.replace(self, holidays_only=False)

    @staticmethod
    def stored(kept: dict[str, object]) -> Settings:
        """Settings as a commit kept them. Days off without a word of whether they add were kept
        before they could: they are all there are."""
        if "holidays" in kept:
            kept = {"holidays_only": True, **kept}
        return msgspec.convert(kept, Settings)


class Lookups(NamedTuple):
    """The directory as the core takes it, all by index."""

    suspended: NDArray[np.uint8]
    amount_max: NDArray[np.int64]
    """Limit of each participant; NO_LIMIT where there is none."""
    debtor_agent: NDArray[np.uint16]
    """Index of a participant by debtor; one more is NO_CODE, for unknown debtors."""
    settle: NDArray[np.uint16]
    """Index of the participant that settles for each."""
    priority: NDArray[np.uint8]
    """Class of priority by programme."""


class Directory(msgspec.Struct, frozen=True):
    """Participants in order of code, debtors in order of account, programmes as given."""

    participants: tuple[Participant, ...]
    debtors: tuple[Debtor, ...]
    programmes: tuple[Programme, ...]

    def index(self) -> dict[str, int]:
        return {p.participant: i for i, p in enumerate(self.participants)}

    def settlement_index(self) -> list[int]:
        """Index of the one that settles, for each participant."""
        index = self.index()
        return [index[p.settled_by] for p in self.participants]

    def lookups(self) -> Lookups:
        index = self.index()
        return Lookups(
            np.array([p.status == "suspended" for p in self.participants], np.uint8),
            np.array(
                [NO_LIMIT if p.amount_max is None else p.amount_max for p in self.participants],
                np.int64,
            ),
            np.array([*(index[d.debtor_agent] for d in self.debtors), NO_CODE], np.uint16),
            np.array(self.settlement_index(), np.uint16),
            np.array([p.priority for p in self.programmes], np.uint8),
        )

    def to_json(self) -> bytes:
        return msgspec.json.encode(self)

    @staticmethod
    def of_json(text: bytes) -> Directory:
        return msgspec.json.decode(text, type=Directory)


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
        assert old is not None, "a first directory has participants"
        known = old.participants
    kept = () if old is None else old.debtors
    if programmes is None:
        found = packaged_programmes() if old is None else old.programmes
    else:
        found = _programmes(programmes)
    return Directory(known, tuple(_debtors(debtors, kept, known)), found)


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
        for column in ("net_debit_cap", "amount_max"):
            if row[column] is not None and row[column] < 0:
                raise refuse(i, column, f"{column} is negative", "leave it empty for no limit")
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
    return [Participant(**row) for row in rows]


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
