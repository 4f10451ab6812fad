"""Fee bills: agencies that take fees, what citizens owe them, and how tables of fees are read.

Columns IN: a table of agencies, or of bills. OUT: one commit for each (docs/fees.md).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any, NamedTuple, TypedDict

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from switch.errors import InputRefused, UsageError
from switch.files.columns import NOBODY
from switch.files.file_schemas import BILL
from switch.files.segment import write_table
from switch.files.tables import TableLike, open_table
from switch.home import days
from switch.home.days import SaidTime
from switch.home.history import BILLS as BILLS_LOADED
from switch.home.history import fee_folders
from switch.home.store import FEES, FORMAT_FEES, ROOM_SPARE, Home, raised
from switch.home.times import day_of, latest
from switch.registry.directory import Directory, read_rows
from switch.schema import AMOUNT_MAX, BILLS, CURRENCY, DAY_MIN, FEE_AGENCIES, Table
from switch.settlement import fee_book
from switch.settlement.fee_book import AGENCIES, Agency

ROWS_MAX = 1 << 22
"""Rows that one commit may take."""
assert ROWS_MAX * AMOUNT_MAX < 2**63, "the sum of a file must fit in 64 bits"
REF_MAX = 35
"""Characters of a reference, as ISO 20022 has them."""
LATE_TAKEN, LATE_REFUSED = "taken", "refused"
_UNIT = "\x1f"
"""Stands between the parts of a key; no reference holds it."""


class AgenciesLoaded(TypedDict):
    """Agencies that take fees."""

    agencies: list[dict[str, str]]
    """agency, name, participant, account and late of each, in order of code."""
    new: bool
    """False where nothing changed, and nothing is recorded."""


class BillsLoaded(TypedDict):
    """A file of bills that was loaded."""

    number: int
    """Number of its commit; 0 where all of its bills were known."""
    at: str
    count: int
    """Bills that are new."""
    sum: int
    known: int
    """Bills that had been loaded before."""


class Rows(NamedTuple):
    """Columns of a table at the door."""

    name: str
    texts: dict[str, pa.StringArray]
    numbers: dict[str, NDArray[Any]]
    digest: str
    """SHA-256 of what all rows say, whatever form they came in."""

    def __len__(self) -> int:
        return len(self.numbers["amount"])


# --- agencies -------------------------------------------------------------------------------------


def load_agencies(
    home: Home, directory: Directory, table: TableLike, at: str, why: dict[str, Any]
) -> AgenciesLoaded:
    """Replace the table of agencies (`Fees.load_agencies`)."""
    codes = {p.participant for p in directory.participants}
    found: dict[str, Agency] = {}
    for row, said in enumerate(read_rows(table, FEE_AGENCIES), start=1):
        one = Agency(*(str(said[column.name]) for column in FEE_AGENCIES.columns))
        one = one._replace(late=one.late or LATE_TAKEN)
        _require_agency(table, row, one, found, codes)
        found[one.agency] = one
    before = fee_book.agencies(home)
    gone = before.keys() - found.keys()
    if gone and gone & set(fee_book.bills(home)["agency"].unique().to_pylist()):
        what = f"agency {min(gone)!r} has bills, and is not in the table"
        raise InputRefused("AGENCY_INVALID", what, remedy="give it a row as before")
    rows = [list(found[code]) for code in sorted(found)]
    is_new = rows != [list(before[code]) for code in sorted(before)]
    if is_new:
        detail = {"agencies": rows, **why}
        home.commit(at=at, kind=AGENCIES, detail=detail, changes=raised(home, FORMAT_FEES))
    return {"agencies": listed(found), "new": is_new}


def listed(found: dict[str, Agency]) -> list[dict[str, str]]:
    """Agencies for people, in order of code."""
    return [found[code]._asdict() for code in sorted(found)]


def _require_agency(
    table: TableLike, row: int, one: Agency, found: dict[str, Agency], codes: set[str]
) -> None:
    column, what, remedy = "", "", ""
    if not _is_ref(one.agency) or "]" in one.agency or one.agency in found:
        column, what = "agency", f"agency {one.agency!r} stands twice, or is no code"
        remedy = f"give each agency one row, and a code of 1 to {REF_MAX} printable characters"
    elif one.participant not in codes:
        column, what = "participant", f"participant {one.participant!r} is not in the directory"
        remedy = "name the treasury or the bank that holds the agency's account"
    elif one.late not in (LATE_TAKEN, LATE_REFUSED):
        column, what = "late", f"late {one.late!r} is not known"
        remedy = f"use {LATE_TAKEN} or {LATE_REFUSED}, or leave it empty"
    if column:
        name = str(table) if isinstance(table, str) or hasattr(table, "__fspath__") else ""
        raise InputRefused(
            "AGENCY_INVALID",
            what,
            file=name or FEE_AGENCIES.name,
            row=row,
            column=column,
            remedy=remedy,
        )


def _is_ref(text: str) -> bool:
    return 1 <= len(text) <= REF_MAX and text.isprintable() and text.strip() == text


# --- reading --------------------------------------------------------------------------------------


def read(home: Home, table: TableLike, form: Table, refs: tuple[str, ...]) -> Rows:
    """All rows of a table. refs: columns of references. Raises InputRefused for another currency,
    and for a reference that is none."""
    reader = open_table(table, form, digest=False, room=home.path)
    texts: dict[str, list[pa.StringArray]] = {}
    numbers: dict[str, list[NDArray[Any]]] = {}
    done = 0
    for chunk in reader.chunks():
        for name, values in chunk.items():
            if isinstance(values, np.ndarray):
                numbers.setdefault(name, []).append(values)
            else:
                texts.setdefault(name, []).append(values.rows())
        done += len(chunk["amount"])
        if done > ROWS_MAX:
            what = f"the table has more than {ROWS_MAX:,} rows"
            raise InputRefused("TABLE_LONG", what, file=reader.name, remedy="split it")
    joined = {name: pa.concat_arrays(parts) for name, parts in texts.items()}
    columns = {name: np.concatenate(parts) for name, parts in numbers.items()}
    for name in refs:
        for row, text in enumerate(joined.get(name, pa.array([], pa.string())).to_pylist(), 1):
            if not _is_ref(text or ""):
                what = f"{name} is empty, too long, or holds what does not print"
                remedy = f"write 1 to {REF_MAX} printable characters"
                raise InputRefused(
                    "REFERENCE_INVALID", what, file=reader.name, row=row, column=name, remedy=remedy
                )
    _require_currency(reader.name, joined.pop("currency", None))
    columns.setdefault("amount", np.empty(0, np.int64))
    return Rows(reader.name, joined, columns, _digest(joined, columns))


def _require_currency(name: str, given: pa.StringArray | None) -> None:
    for row, text in enumerate(given.to_pylist() if given is not None else (), start=1):
        if text not in (None, "", CURRENCY):
            what = f"the currency is {text!r}, and not {CURRENCY}"
            raise InputRefused(
                "CURRENCY", what, file=name, row=row, column="currency", remedy="convert it first"
            )


def _digest(texts: dict[str, pa.StringArray], numbers: dict[str, NDArray[Any]]) -> str:
    """SHA-256 over what rows say, column by column in order of name."""
    whole = hashlib.sha256()
    for name in sorted(texts):
        values = texts[name].to_pylist()
        whole.update(f"{name}\0{len(values)}\0".encode())
        whole.update(_UNIT.join("" if text is None else text for text in values).encode())
    for name in sorted(numbers):
        whole.update(f"{name}\0{len(numbers[name])}\0".encode())
        whole.update(np.ascontiguousarray(numbers[name], "<i8").tobytes())
    return whole.hexdigest()


def keys_of(*parts: pa.Array) -> pa.StringArray:
    return pc.binary_join_element_wise(*parts, _UNIT)


def dates(values: NDArray[np.int32]) -> pa.Array:
    return pa.array(values, pa.int32(), mask=values == DAY_MIN).cast(pa.date32())


# --- bills ----------------------------------------------------------------------------------------


def load_bills(home: Home, table: TableLike, at: str, why: dict[str, Any]) -> BillsLoaded:
    """Load bills of agencies (`Fees.load_bills`)."""
    rows = read(home, table, BILLS, ("agency", "bill_ref"))
    count = len(rows)
    agency, ref = rows.texts["agency"], rows.texts["bill_ref"]
    amount = rows.numbers["amount"]
    nobody = np.full(count, NOBODY, np.uint64)
    person = _persons(home, rows, rows.numbers.get("person_id", nobody))
    due = dates(rows.numbers.get("due_on", np.full(count, DAY_MIN, np.int32)))
    new = pa.table([agency, ref, person, pa.array(amount, pa.int64()), due], schema=BILL)
    _require_bills(rows, new, set(fee_book.agencies(home)))
    known = fee_book.bills(home)
    place = pc.index_in(keys_of(agency, ref), value_set=keys_of(known["agency"], known["bill_ref"]))
    is_known = np.asarray(pc.is_valid(place))
    same = known.take(place.filter(pc.is_valid(place)))
    again = new.filter(pa.array(is_known))
    if not same.equals(again):
        pairs = zip(same.to_pylist(), again.to_pylist(), strict=True)
        at_fault = next(i for i, (one, other) in enumerate(pairs) if one != other)
        row = int(np.flatnonzero(is_known)[at_fault]) + 1
        raise InputRefused(
            "BILL_CHANGED",
            "the bill was loaded before, and says something else",
            file=rows.name,
            row=row,
            column="bill_ref",
            remedy="give the bill as it was, or another one with a reference of its own",
        )
    fresh = new.filter(pa.array(~is_known))
    sum_ = sum(fresh["amount"].to_pylist())
    number = len(fee_folders(home)) + 1 if len(fresh) else 0
    if number:
        home.require_room(2 * fresh.nbytes + ROOM_SPARE)
        with home.draft(FEES) as draft:
            write_table(draft / "bills.parquet", fresh)
            home.commit(
                at=at,
                kind=BILLS_LOADED,
                detail={"count": len(fresh), "sum": str(sum_), **why},
                changes=[],
                draft=draft,
                folder=home.folder(FEES, number),
            )
    known_count = count - len(fresh)
    return {"number": number, "at": at, "count": len(fresh), "sum": sum_, "known": known_count}


def _persons(home: Home, rows: Rows, ids: NDArray[np.uint64]) -> pa.Array:
    """Keyed hashes of whose bills they are. Raises InputRefused for an id that is none."""
    bad = (ids != NOBODY) & (ids >= 10**12)
    if bad.any():
        row = int(np.argmax(bad)) + 1
        what = "the person's id is not 12 digits"
        raise InputRefused(
            "ID_FORMAT", what, file=rows.name, row=row, column="person_id", remedy="mend it"
        )
    return pa.array(
        [None if n == int(NOBODY) else home.id_hash(f"{n:012d}") for n in ids.tolist()], pa.string()
    )


def _require_bills(rows: Rows, new: pa.Table, codes: set[str]) -> None:
    """Bills are of agencies that are known, ask for money, and stand once."""
    agency, amount = new["agency"].to_pylist(), rows.numbers["amount"]
    seen: set[tuple[str, str]] = set()
    for row, (code, ref, sum_) in enumerate(
        zip(agency, new["bill_ref"].to_pylist(), amount.tolist(), strict=True), start=1
    ):
        column, what, remedy = "", "", ""
        if code not in codes:
            column, what = "agency", f"agency {code!r} is not known"
            remedy = "load it first: switch agencies"
        elif not 0 < sum_ <= AMOUNT_MAX:
            column, what = "amount", f"a bill is above zero and at most {AMOUNT_MAX:,} dong"
            remedy = "mend it, or divide the bill"
        elif (code, ref) in seen:
            column, what = "bill_ref", "the bill stands twice in the table"
            remedy = "give each bill one row"
        if column:
            raise InputRefused(
                "BILL_INVALID", what, file=rows.name, row=row, column=column, remedy=remedy
            )
        seen.add((code, ref))


def time_of(
    home: Home, said: SaidTime, warn: Callable[[str], None], needed: bool = True
) -> tuple[str, dict[str, Any]]:
    """The time of a commit of fees, and what its record says of it: what was said, else that of the
    home, or of its last payments where it has none. It is recorded alone. needed: raise UsageError
    where none is known. Raises UsageError for one that leaps without the word for it."""
    at, noted = days.noted(home, said.at, said.why, warn)
    known, last = _with_payments(home)
    detail: dict[str, Any] = dict(noted)
    if at and not said.leap:
        days.require_likely(known, at)
    elif at and days.leaps(known, at):
        detail["leap"] = True
    time = at or known.now or last
    if needed and not time:
        raise UsageError("say when it is: --at, for this home knows no time yet")
    return time, detail


def _with_payments(home: Home) -> tuple[days.Times, str]:
    """(times that a home knows, with the days of payments and refunds; the latest time of these).
    One that leaps does not count, unless the word was said with it; nor do those of bills."""
    known, last = days.times(home), ""
    for folder in fee_folders(home):
        if folder.kind == BILLS_LOADED:
            continue
        if folder.detail.get("leap") or not days.leaps(known, folder.at):
            known = known._replace(days=known.days | {day_of(folder.at)})
            last = latest([last, folder.at])
    return known, last
