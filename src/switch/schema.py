"""The tables at the doors: columns, what they hold, who may leave them out. One table each.

Source: the contract (docs/contract.md). `Kind` says how a column is read; docs/formats.md draws the
files that the engine itself keeps.
"""

from __future__ import annotations

import datetime
from enum import Enum
from typing import NamedTuple

AMOUNT_MAX = 10**12
"""No clearing limit may be set above this (VND: one thousand billion dong a line)."""
MONEY_BOUND = 2**56
"""Caps, limits, budgets and balances are below this, far above all money that there is: so that no
sum of them with what tables move leaves 64 bits."""
CHUNK_ROWS_MAX = 1 << 20
"""Most lines that one call of a kernel takes."""
assert AMOUNT_MAX * CHUNK_ROWS_MAX < 2**63, "the sum of a chunk must fit in 64 bits"

CLEARING_LIMIT = 500_000_000
"""Default clearing limit in minor units (VND)."""
LINES_MAX = 0xFFFF_FFF0
PARTS_MAX = 5_000
"""Programmes, and debtor accounts, by which a dossier divides the sum of its table: as a file, and
in each act that is signed, it is small."""
CURRENCY = "VND"
YEAR_MIN, YEAR_MAX = 1900, 2999
MONTHS = (YEAR_MAX - YEAR_MIN + 1) * 12
NO_ROW = 0xFFFF_FFFF
NO_CODE = 0xFFFF
NOT_GIVEN = 0xFFFE
MALFORMED = 0xFFFD
"""Creditor agent of a line whose account is none."""
DAY_MIN, DAY_MAX = -(2**31), 2**31 - 1
"""In place of a day that is not given: before, and after, all days."""
DAY_FIRST, DAY_LAST = (
    (datetime.date(year, month, day) - datetime.date(1970, 1, 1)).days
    for year, month, day in ((YEAR_MIN, 1, 1), (YEAR_MAX, 12, 31))
)
"""Days since 1970 that a date at a door may be."""
TRANSFER_ID_MAX = 35
DELIVERED = ("table", "act", "confirmations", "returns", "statement")
"""Kinds of what parties deliver through the portal."""
TEXT_BYTES_MAX, WORDS_BYTES_MAX = 140, 560
"""Bytes that a text may take which comes in by a door: a code or an id (those of ISO 20022 have 35
characters, accounts 34), and what stands in words (140 characters of up to four bytes). Rows are
bounded, and a few bytes of a file can stand for the same long text in each of them."""
JUDGED_BY_LINE = ("person_id", "person_name", "creditor_account", "account")
"""Columns in which a text that is too long has a reason of its own, so that it does not refuse the
file where tables give it room: `Table.spare`."""
SPARE_BYTES = 1 << 20
IN_WORDS = ("person_name", "name", "short_name", "purpose", "reason")
BATCH_ID_RULE = r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,63}"


def is_in_years(day: datetime.date) -> bool:
    """True where a date or time is of YEAR_MIN to YEAR_MAX, as all are that come in by a door."""
    return YEAR_MIN <= day.year <= YEAR_MAX


class Kind(Enum):
    """Manner in which a column is read. Arrow types that are taken stand in batch.py, one reader a
    kind."""

    LINE_NO = "uint32 or int64, 1..n, unique"
    ID = "12 digits: uint64, int64 or utf8"
    AMOUNT = "int64 minor units, or decimal128 with scale 0"
    PERIOD = "int32 yyyymm, or utf8 yyyy-mm"
    DATE = "date32"
    PRIORITY = "uint8, 1 first"
    CODE = "utf8 with few values, or dictionary"
    TEXT = "utf8"
    INSTANT = "timestamp[us, UTC]"


class Column(NamedTuple):
    name: str
    kind: Kind
    nullable: bool = False
    """Nulls are allowed, and the column may be absent."""


class Table(NamedTuple):
    name: str
    columns: tuple[Column, ...]
    is_closed: bool = False
    """It is small and made by hand: an unknown column is refused, not only named."""
    beside: tuple[str, ...] = ()
    """Columns that it may have and that are not read."""
    spare: int = 0
    """Bytes of texts that are too long, in each column of JUDGED_BY_LINE and each batch of rows, up
    to which they are judged one by one: beyond, and everywhere else, they refuse the file."""

    def column(self, name: str) -> Column:
        return next(column for column in self.columns if column.name == name)


HOUSEHOLD = "household"
"""Column of a payment table by which neighbours are sent as one credit. A home keeps it with lines
that wait, and with those that a cycle may send back."""
HOUSEHOLD_LINES_MAX = 256
"""Lines of one household that may stand together in a credit: what is open is bounded."""
assert AMOUNT_MAX * HOUSEHOLD_LINES_MAX < 2**63, "the sum of a credit must fit in 64 bits"

PAYMENT = Table(
    "payment table",
    (
        Column("line_no", Kind.LINE_NO),
        Column("person_id", Kind.ID),
        Column("person_name", Kind.TEXT),
        Column("benefit", Kind.CODE),
        Column("period", Kind.PERIOD),
        Column("amount", Kind.AMOUNT),
        Column("debtor_account", Kind.CODE),
        Column("creditor_agent", Kind.CODE, nullable=True),
        Column("creditor_account", Kind.TEXT, nullable=True),
        Column("commune", Kind.CODE, nullable=True),
        Column("end_to_end_id", Kind.TEXT, nullable=True),
        Column(HOUSEHOLD, Kind.TEXT, nullable=True),
    ),
    spare=SPARE_BYTES,
)

NOT_OF_HOUSEHOLDS = tuple(c.name for c in PAYMENT.columns if c.name != HOUSEHOLD)
"""Columns that were read of a payment table before there were households."""

HELD = Table(
    "held lines",
    (Column("batch", Kind.AMOUNT), *PAYMENT.columns),
)
"""Lines that wait, as the payment table had them, with the number of the batch they came in."""

POPULATION = Table(
    "population register",
    (
        Column("person_id", Kind.ID),
        Column("name", Kind.TEXT),
        Column("birth_date", Kind.DATE),
        Column("status", Kind.CODE),
        Column("status_since", Kind.DATE, nullable=True),
        Column("household_id", Kind.TEXT, nullable=True),
        Column("commune", Kind.CODE, nullable=True),
    ),
)

ACCOUNTS = Table(
    "account register",
    (
        Column("person_id", Kind.ID),
        Column("participant", Kind.CODE),
        Column("account", Kind.TEXT),
        Column("kind", Kind.CODE),
        Column("priority", Kind.PRIORITY),
        Column("valid_from", Kind.DATE, nullable=True),
        Column("valid_to", Kind.DATE, nullable=True),
        Column("representative", Kind.ID, nullable=True),
    ),
    spare=SPARE_BYTES,
)

PAID = Table(
    "paid history",
    (
        Column("person_id", Kind.ID),
        Column("benefit", Kind.CODE),
        Column("period", Kind.PERIOD),
    ),
)

REPLACED = Table(
    "replaced ids",
    (
        Column("person_id", Kind.ID),
        Column("replaced_by", Kind.ID),
    ),
)
"""Ids of before, each with the one that the population database has in its place."""

IDENTITY_REQUEST = Table(
    "identity request",
    (
        Column("request", Kind.CODE),
        Column("table", Kind.CODE),
        Column("asked_at", Kind.CODE),
        Column("person_id", Kind.ID),
        Column("name", Kind.TEXT),
        Column("held", Kind.TEXT),
    ),
    is_closed=True,
)
"""Persons whom the population database is asked for, by a home."""

IDENTITY_ANSWERS = ("MATCH", "NAME_DIFFERS", "NOT_FOUND", "DECEASED", "DUPLICATE", "LATE")
"""Words by which the population database answers for a person."""
IDENTITY_ANSWER = Table(
    "identity answer",
    (
        Column("request", Kind.CODE),
        Column("person_id", Kind.ID),
        Column("answer", Kind.CODE),
        Column("name", Kind.TEXT, nullable=True),
        Column("died_on", Kind.DATE, nullable=True),
    ),
    is_closed=True,
)

FEE_AGENCIES = Table(
    "table of agencies",
    (
        Column("agency", Kind.TEXT),
        Column("name", Kind.TEXT),
        Column("participant", Kind.TEXT),
        Column("account", Kind.TEXT, nullable=True),
        Column("late", Kind.TEXT, nullable=True),
    ),
    is_closed=True,
)
"""Agencies that take fees, and where the account of each stands."""

BILLS = Table(
    "bills",
    (
        Column("agency", Kind.CODE),
        Column("bill_ref", Kind.TEXT),
        Column("person_id", Kind.ID, nullable=True),
        Column("amount", Kind.AMOUNT),
        Column("currency", Kind.CODE, nullable=True),
        Column("due_on", Kind.DATE, nullable=True),
    ),
    is_closed=True,
)

FEE_PAYMENTS = Table(
    "payments of fees",
    (
        Column("payment_id", Kind.TEXT),
        Column("agency", Kind.CODE),
        Column("bill_ref", Kind.TEXT),
        Column("participant", Kind.CODE),
        Column("amount", Kind.AMOUNT),
        Column("currency", Kind.CODE, nullable=True),
        Column("paid_on", Kind.DATE),
    ),
    is_closed=True,
)

FEE_LIST = Table(
    "list of an agency",
    (
        Column("bill_ref", Kind.TEXT),
        Column("amount", Kind.AMOUNT),
        Column("currency", Kind.CODE, nullable=True),
    ),
    is_closed=True,
)
"""Bills that an agency says were paid on a day."""

FEE_STATES = Table(
    "payments of fees by state",
    (
        Column("payment_id", Kind.TEXT),
        Column("participant", Kind.CODE),
        Column("agency", Kind.CODE),
        Column("bill_ref", Kind.TEXT),
        Column("amount", Kind.AMOUNT),
        Column("paid_on", Kind.DATE),
        Column("receipt", Kind.TEXT),
        Column("kind", Kind.CODE),
        Column("state", Kind.CODE),
        Column("cycle", Kind.CODE),
    ),
    is_closed=True,
)
"""Payments that were taken, and refunds, as the engine lists them: cycle is that which one entered
last. participant: the payer's bank, as its code was given; amount: what was paid, or goes back."""
FEE_KINDS = ("payment", "refund")
FEE_STATE_WORDS = ("CLEARED", "SETTLED", "WAITING", "WITHDRAWN")
"""States of a payment of a fee that was taken, and of a refund."""

CONFIRMATIONS = Table(
    "confirmations",
    (
        Column("participant", Kind.CODE),
        Column("transfer_id", Kind.TEXT),
        Column("amount", Kind.AMOUNT),
        Column("creditor_account", Kind.TEXT, nullable=True),
        Column("status", Kind.CODE),
        Column("reason", Kind.CODE, nullable=True),
        Column("booked_at", Kind.INSTANT),
    ),
)

RETURNS = Table(
    "returns",
    (
        Column("participant", Kind.CODE),
        Column("return_id", Kind.TEXT),
        Column("transfer_id", Kind.TEXT),
        Column("amount", Kind.AMOUNT),
        Column("reason", Kind.CODE),
        Column("booked_at", Kind.INSTANT),
    ),
)

STATEMENT = Table(
    "statement",
    (
        Column("account", Kind.CODE),
        Column("entry_id", Kind.TEXT),
        Column("transfer_id", Kind.TEXT, nullable=True),
        Column("end_to_end_id", Kind.TEXT, nullable=True),
        Column("amount", Kind.AMOUNT),
        Column("side", Kind.CODE),
        Column("booked_on", Kind.DATE),
    ),
)

RESOLUTIONS = Table(
    "resolutions",
    (
        Column("participant", Kind.CODE),
        Column("transfer_id", Kind.TEXT),
        Column("status", Kind.CODE),
        Column("reason", Kind.CODE, nullable=True),
        Column("booked_at", Kind.INSTANT),
    ),
)
"""Answers to recalls (the meaning of camt.029)."""

DECIDED = ("CNCL", "RJCR")
RESOLVED = (*DECIDED, "PDCR")
"""ISO 20022 status of a resolution: it is given back, it is not, or that is not decided yet."""
LATE = "late"
"""Status of a person for whom the population database has not answered yet."""
PRIORITY_MAX = 255
"""Highest priority of an account, which counts last."""
DUPLICATE = "duplicate"
"""Status of a person whose identity is not one alone in the population database."""
UNKNOWN = "unknown"
"""Status of a person whom the population database does not have (any more): it is as if the
register had never named them, but that their row and what they were paid stay."""
LIFE = ("alive", "deceased", "missing", "revoked", LATE, DUPLICATE, UNKNOWN)
"""Status of a person; the index is the number that the native table takes."""
CASH = "cash"
"""Kind of a participant that pays over a counter, and of an account there: a pay point."""
ACCOUNT_KINDS = ("bank", "wallet", "mobile_money", CASH)
PARTICIPANT_KINDS = ("bank", "wallet", "mobile_money", "treasury", CASH)
PARTICIPANT_STATUS = ("active", "suspended")

PARTICIPANT_COLUMNS = (
    "participant",
    "short_name",
    "name",
    "bic",
    "kind",
    "settled_by",
    "net_debit_cap",
    "amount_max",
    "status",
    "replaced_by",
    "replaced_from",
    "amount_month_max",
)
DEBTOR_COLUMNS = ("debtor_account", "debtor_agent", "programme", "budget")


def bytes_max(column: str) -> int:
    """Bytes that a text of a column may take."""
    return WORDS_BYTES_MAX if column in IN_WORDS else TEXT_BYTES_MAX


def month_of(period: int) -> int | None:
    """Months since 1900-01 of a yyyymm period, or None where it is no month."""
    year, month = divmod(period, 100)
    if YEAR_MIN <= year <= YEAR_MAX and 1 <= month <= 12:
        return (year - YEAR_MIN) * 12 + month - 1
    return None


def period_of(month: int) -> int:
    """The yyyymm period of months since 1900-01."""
    return (YEAR_MIN + month // 12) * 100 + month % 12 + 1
