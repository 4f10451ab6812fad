"""Fee match: what an agency says that it was paid on a day, against what the switch took for it.

Columns IN: the agency's list of the day. OUT: every bill of either side in one class, and sums of
the classes that add up to both sides. Nothing is recorded.
"""

from __future__ import annotations

import datetime
from typing import Any, NamedTuple, TypedDict

import pyarrow as pa

from switch.errors import InputRefused, UsageError
from switch.files.tables import TableLike
from switch.home.history import PAYMENTS, fee_folders
from switch.home.store import Home
from switch.home.times import day_of
from switch.results import Total
from switch.schema import FEE_LIST
from switch.settlement import fee_book
from switch.settlement.fee_bills import read

MATCHED = "MATCHED"
MISSING_AT_AGENCY = "MISSING_AT_AGENCY"
MISSING_AT_SWITCH = "MISSING_AT_SWITCH"
AMOUNT_DIFFERS = "AMOUNT_DIFFERS"
ROW = pa.schema(
    [
        ("class", pa.string()),
        ("bill_ref", pa.string()),
        ("payment_id", pa.string()),
        ("receipt", pa.string()),
        ("switch_amount", pa.int64()),
        ("agency_amount", pa.int64()),
        ("taken_on", pa.date32()),
    ]
)
"""A bill of either side. taken_on: the day on which the switch took its payment, which of one that
is missing there may be another day."""


class Differing(TypedDict):
    """Bills of which the two sides say another amount."""

    count: int
    switch: int
    """Dong by the switch."""
    agency: int
    """Dong by the agency."""


class FeesMatched(TypedDict):
    """The day of an agency: what both sides have, and where they differ."""

    agency: str
    day: str
    switch: Total
    """Payments that the switch took on the day: matched, missing at the agency and differing."""
    agency_list: Total
    """Rows of the agency's list: matched, missing at the switch and differing."""
    matched: Total
    missing_at_agency: Total
    missing_at_switch: Total
    differs: Differing
    file: str
    """Path of the rows that were written; '' where none were asked for."""


class Matched(NamedTuple):
    """A match: what is said of it, and its rows (ROW), in order of class and bill."""

    said: FeesMatched
    rows: pa.Table


def match(home: Home, agency: str, table: TableLike, day: datetime.date) -> Matched:
    """Hold the list of an agency against the payments that were taken for it on a day
    (`Fees.match`)."""
    if agency not in fee_book.agencies(home):
        raise UsageError(f"agency {agency!r} is not known; `switch agencies` lists them")
    given = _list_of(home, table)
    taken = _taken(home, agency)
    rows = [_row(ref, amount, taken.get(ref), day) for ref, amount in given.items()]
    rows += [
        _row(ref, None, one, day)
        for ref, one in taken.items()
        if one["taken_on"] == day and ref not in given
    ]
    rows.sort(key=lambda row: (row["class"], row["bill_ref"]))
    parts = {
        word: [row for row in rows if row["class"] == word]
        for word in (MATCHED, MISSING_AT_AGENCY, MISSING_AT_SWITCH, AMOUNT_DIFFERS)
    }
    differing = parts[AMOUNT_DIFFERS]
    said: FeesMatched = {
        "agency": agency,
        "day": str(day),
        "switch": _total(rows, "switch_amount"),
        "agency_list": _total(rows, "agency_amount"),
        "matched": _total(parts[MATCHED], "switch_amount"),
        "missing_at_agency": _total(parts[MISSING_AT_AGENCY], "switch_amount"),
        "missing_at_switch": _total(parts[MISSING_AT_SWITCH], "agency_amount"),
        "differs": {
            "count": len(differing),
            "switch": _total(differing, "switch_amount")["sum"],
            "agency": _total(differing, "agency_amount")["sum"],
        },
        "file": "",
    }
    return Matched(said, pa.Table.from_pylist(rows, ROW))


def _list_of(home: Home, table: TableLike) -> dict[str, int]:
    """Amounts of an agency's list by bill. Raises InputRefused for a bill that stands twice."""
    rows = read(home, table, FEE_LIST, ("bill_ref",))
    found: dict[str, int] = {}
    refs = rows.texts["bill_ref"].to_pylist() if len(rows) else []
    for row, (ref, amount) in enumerate(zip(refs, rows.numbers["amount"].tolist(), strict=True), 1):
        if ref in found:
            raise InputRefused(
                "BILL_INVALID",
                "the bill stands twice in the list",
                file=rows.name,
                row=row,
                column="bill_ref",
                remedy="give each bill that was paid one row",
            )
        found[ref] = amount
    return found


def _taken(home: Home, agency: str) -> dict[str, dict[str, Any]]:
    """Payments that were taken for an agency and not withdrawn, by bill, each with the day on which
    it was taken."""
    files = (folder for folder in fee_folders(home) if folder.kind == PAYMENTS)
    taken_on = {folder.number: day_of(folder.at) for folder in files}
    return {
        row["bill_ref"]: {**row, "taken_on": taken_on[row["taken_in"]]}
        for row in fee_book.payments(home).to_pylist()
        if row["agency"] == agency and not row["withdrawn"]
    }


def _row(
    ref: str, amount: int | None, one: dict[str, Any] | None, day: datetime.date
) -> dict[str, Any]:
    """A bill of either side. amount: by the agency; one: the payment by the switch."""
    is_there = one is not None and one["taken_on"] == day
    word = MISSING_AT_AGENCY if amount is None else MISSING_AT_SWITCH
    if is_there and one is not None and amount is not None:
        word = MATCHED if amount == one["amount"] else AMOUNT_DIFFERS
    return {
        "class": word,
        "bill_ref": ref,
        "payment_id": one["payment_id"] if one else None,
        "receipt": one["receipt"] if one else None,
        "switch_amount": one["amount"] if one and is_there else None,
        "agency_amount": amount,
        "taken_on": one["taken_on"] if one else None,
    }


def _total(rows: list[dict[str, Any]], column: str) -> Total:
    amounts = [row[column] for row in rows if row[column] is not None]
    return {"count": len(amounts), "sum": sum(amounts)}
