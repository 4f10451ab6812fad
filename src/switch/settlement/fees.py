"""Fees: citizens pay bills of agencies through their banks, in the cycles in which payouts clear.

Columns IN: a table of payments, and those that wait. OUT: one commit with every payment's answer
and what entered a cycle (docs/fees.md). A payment is judged column by column; what it moves is
posted in sums (P13).
"""

from __future__ import annotations

import datetime
from typing import Any, NamedTuple, TypedDict

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from switch.errors import InputRefused
from switch.files.file_schemas import FEE, FEE_MOVED
from switch.files.segment import read_table, write_table
from switch.files.tables import TableLike
from switch.home.changes import Change, OpenCycle
from switch.home.history import FORMAT_FEES_BY_ROW, PAYMENTS, FeeFolder, fee_folders
from switch.home.store import FEES, ROOM_SPARE, Home, raised
from switch.home.times import day_of
from switch.registry.directory import Directory
from switch.registry.settings import Settings
from switch.results import Total
from switch.schema import FEE_PAYMENTS
from switch.settlement import fee_book
from switch.settlement import postings as books
from switch.settlement.calendar import Slot
from switch.settlement.cycle import slot_for
from switch.settlement.fee_bills import LATE_REFUSED, ROWS_MAX, Rows, dates, keys_of, read
from switch.settlement.fee_rules import ACCEPTED, FEE_RULES, REFUSED, RULES, TAKEN, FeeReason
from switch.settlement.netting import settlement_nets
from switch.settlement.standing import Standing, keep_balances, keep_positions, keep_postings

EPOCH = datetime.date(1970, 1, 1)
REFERENCES = ("payment_id", "agency", "bill_ref", "participant")
"""Columns of a payment that name something."""
_ACCEPTED = pa.array(sorted(ACCEPTED), pa.uint8())


class FeeRefused(TypedDict):
    """Payments of a file that were refused for one reason."""

    reason: str
    sentence: str
    count: int
    sum: int


class FeesTaken(TypedDict):
    """A file of payments of fees, and what became of them."""

    number: int
    """Number of its commit; 0 where nothing came and nothing waits."""
    at: str
    new: bool
    """False where the file was taken before, and would be answered as it was: the stored answer."""
    cycle: str
    """Cycle that payments entered; '' where none did."""
    rows: int
    taken: Total
    known: Total
    """Payments that were taken before, and are answered as they were."""
    refused: Total
    again: Total
    """Payments that had waited and entered the cycle with these."""
    waiting: Total
    """Payments that go on waiting."""
    reasons: list[FeeRefused]
    file: str
    """Place of the answer below the out folder; '' where there is none."""


# --- payments -------------------------------------------------------------------------------------


class Desk(NamedTuple):
    """A home as payments find it. slot: the cycle that takes what comes now; None without a
    calendar, where `cycle` is one of its own."""

    home: Home
    directory: Directory
    settings: Settings
    at: str
    number: int
    slot: Slot | None
    cycle: str
    standing: Standing

    @classmethod
    def of(cls, home: Home, directory: Directory, settings: Settings, at: str) -> Desk:
        number, day = len(fee_folders(home)) + 1, day_of(at)
        slot = slot_for(home, settings, at, day)
        cycle = slot.cycle if slot else f"{day:%Y%m%d}-F{number:06d}"
        return cls(home, directory, settings, at, number, slot, cycle, Standing(home, directory))

    def codes(self) -> dict[str, int]:
        """Index of the participant that a code names on the day."""
        return self.directory.index_on(str(day_of(self.at)))


def take(
    home: Home,
    directory: Directory,
    settings: Settings,
    table: TableLike | None,
    at: str,
    why: dict[str, Any],
) -> FeesTaken:
    """Take a file of payments, behind those that wait; without one these alone (`Fees.take`)."""
    rows = None if table is None else read(home, table, FEE_PAYMENTS, REFERENCES)
    desk = Desk.of(home, directory, settings, at)
    waiting = able(desk, fee_book.waiting(home))
    answers, new = _judged(desk, rows) if rows is not None else (None, FEE_MOVED.empty_table())
    whole = pa.concat_tables([waiting.select(FEE_MOVED.names).cast(FEE_MOVED), new])
    if len(whole) > ROWS_MAX:
        what = f"more than {ROWS_MAX:,} payments enter a cycle together"
        raise InputRefused("TABLE_LONG", what, remedy="split the table")
    goes = covered(desk, whole)
    if answers is not None:
        answers = _without_cover(answers, new, goes[len(waiting) :])
    if rows is not None and (stored := _answered_before(home, rows.digest, answers)):
        return told(home, stored, new=False)
    enters = whole.filter(pa.array(goes)).combine_chunks()
    if answers is None and not len(enters):
        nothing: Total = {"count": 0, "sum": 0}
        rest = _total(fee_book.waiting(home)["amount"])
        return {
            "number": 0, "at": at, "new": True, "cycle": "", "rows": 0, "taken": nothing,
            "known": nothing, "refused": nothing, "again": nothing, "waiting": rest,
            "reasons": [], "file": "",
        }  # fmt: skip
    again = _total(waiting.filter(pa.array(goes[: len(waiting)]))["amount"])
    said = {"content": rows.digest} if rows is not None else {}
    _commit(desk, answers, enters, {**said, "rules": RULES, "again": _filed(again), **why})
    return told(home, fee_folders(home)[-1], new=True)


def _answered_before(home: Home, digest: str, answers: pa.Table) -> FeeFolder | None:
    """The last commit of the same file, where it answered as the file would be answered now."""
    known = [f for f in fee_folders(home) if f.detail.get("content") == digest]
    if not known:
        return None
    before, now = (
        table["reason_number"].to_pylist() for table in (_payments_of(home, known[-1]), answers)
    )
    told = list(map(_code_of, before)) == list(map(_code_of, now))
    return known[-1] if told and FeeReason.NONE not in now else None


def _code_of(number: int) -> str | None:
    """The code of a refusal, as the bank is told it; None where there is none."""
    return None if number in ACCEPTED else FEE_RULES[FeeReason(number)].code


def _payments_of(home: Home, folder: FeeFolder) -> pa.Table:
    """Payments of a file, with their answers: a table of FEE."""
    return read_table(home.proven(home.path / folder.name / "payments.parquet"))


def _judged(desk: Desk, rows: Rows) -> tuple[pa.Table, pa.Table]:
    """(every payment with its answer but for cover, those that are taken): tables of FEE and of
    FEE_MOVED, both in order of the file."""
    home, directory = desk.home, desk.directory
    agencies, codes = fee_book.agencies(home), desk.codes()
    reason = np.zeros(len(rows), np.uint8)

    def refuse(number: FeeReason, bad: Any) -> None:
        reason[(reason == 0) & np.asarray(bad, bool)] = number

    amount = rows.numbers["amount"]
    agency, ref = rows.texts["agency"], rows.texts["bill_ref"]
    ids = keys_of(rows.texts["participant"], rows.texts["payment_id"])
    paid, bills = fee_book.payments(home), fee_book.bills(home)
    refuse(FeeReason.KNOWN, _is_same(rows, ids, paid))
    refuse(FeeReason.AMOUNT_NOT_POSITIVE, amount <= 0)
    refuse(FeeReason.AMOUNT_OVER_LIMIT, amount > desk.settings.clearing_limit)
    refuse(FeeReason.DAY_AHEAD, rows.numbers["paid_on"] > (day_of(desk.at) - EPOCH).days)
    held_at = {code: codes.get(one.participant, -1) for code, one in agencies.items()}
    receiver = _looked_up(agency, held_at)
    payer = _looked_up(rows.texts["participant"], codes)
    suspended = np.array([p.status == "suspended" for p in directory.participants] + [False])
    refuse(FeeReason.AGENCY_UNKNOWN, receiver < 0)
    refuse(FeeReason.AGENCY_SUSPENDED, suspended[receiver])
    refuse(FeeReason.PAYER_UNKNOWN, payer < 0)
    refuse(FeeReason.PAYER_SUSPENDED, suspended[payer])
    refuse(FeeReason.ID_KNOWN, pc.is_in(ids, value_set=_ids_of(paid)))
    refuse(FeeReason.ID_KNOWN, ~_is_first(ids))
    keys = keys_of(agency, ref)
    place = pc.index_in(keys, value_set=keys_of(bills["agency"], bills["bill_ref"]))
    refuse(FeeReason.BILL_UNKNOWN, pc.is_null(place))
    stays = paid.filter(pc.invert(paid["withdrawn"]))
    settled = keys_of(stays["agency"], stays["bill_ref"])
    refuse(FeeReason.BILL_PAID, pc.is_in(keys, value_set=settled))
    bill = bills.take(place)
    refuse(FeeReason.AMOUNT_DIFFERS, amount != np.asarray(pc.fill_null(bill["amount"], 0)))
    due = np.asarray(pc.fill_null(bill["due_on"].cast(pa.int32()), np.iinfo(np.int32).max))
    strict = pa.array([c for c, one in agencies.items() if one.late == LATE_REFUSED], pa.string())
    late = (rows.numbers["paid_on"] > due) & np.asarray(pc.is_in(agency, value_set=strict))
    refuse(FeeReason.PAST_DUE, late)
    alive = np.flatnonzero(reason == 0)
    twice = np.zeros(len(rows), bool)
    twice[alive] = ~_is_first(keys.take(pa.array(alive)))
    refuse(FeeReason.BILL_TWICE, twice)
    answers = pa.table(
        {
            "payment_id": rows.texts["payment_id"],
            "agency": agency,
            "bill_ref": ref,
            "participant": rows.texts["participant"],
            "amount": pa.array(amount, pa.int64()),
            "paid_on": dates(rows.numbers["paid_on"]),
            "reason_number": pa.array(reason, pa.uint8()),
        }
    )
    goes = pa.array(reason == 0)
    names = pa.array([p.participant for p in directory.participants], pa.string())
    new = answers.filter(goes).select(["payment_id", "agency", "bill_ref", "amount"])
    for name, side in (("debtor_agent", payer), ("participant", receiver)):
        new = new.append_column(name, names.take(pa.array(side[reason == 0])))
    number = pa.array(np.full(len(new), desk.number, np.uint32))
    places = pa.array(np.flatnonzero(reason == 0) + 1)
    new = new.append_column("taken_in", number).append_column("row", places)
    new = new.append_column("back", pa.array([False] * len(new)))
    new = new.select(FEE_MOVED.names).cast(FEE_MOVED)
    return answers, new


def _ids_of(paid: pa.Table) -> pa.ChunkedArray:
    """Payments as their banks name them: an id is one of its bank's alone."""
    return keys_of(paid["participant"], paid["payment_id"])


def _is_same(rows: Rows, ids: pa.StringArray, paid: pa.Table) -> NDArray[np.bool_]:
    """bool[n]: just this payment was taken before, and stays so."""
    place = pc.index_in(ids, value_set=_ids_of(paid))
    before = paid.take(place)
    same = pc.and_(pc.is_valid(place), pc.invert(before["withdrawn"]))
    said = {"agency": rows.texts["agency"], "bill_ref": rows.texts["bill_ref"]}
    said |= {"amount": pa.array(rows.numbers["amount"], pa.int64())}
    said |= {"paid_on": dates(rows.numbers["paid_on"])}
    for name, column in said.items():
        same = pc.and_(same, pc.equal(before[name], column))
    found: NDArray[np.bool_] = np.asarray(pc.fill_null(same, False), bool)
    return found


def _looked_up(texts: pa.StringArray, known: dict[str, int]) -> NDArray[np.int64]:
    """int64[n]: the number that each text stands for; -1 for one that is not known."""
    place = pc.index_in(texts, value_set=pa.array(list(known), pa.string()))
    numbers = np.array([*known.values(), -1], np.int64)
    found: NDArray[np.int64] = numbers[np.asarray(pc.fill_null(place, -1))]
    return found


def _is_first(texts: pa.StringArray) -> NDArray[np.bool_]:
    """bool[n]: no text before it is the same."""
    found = np.zeros(len(texts), bool)
    index = np.asarray(texts.dictionary_encode().indices)
    found[np.unique(index, return_index=True)[1]] = True
    return found


def able(desk: Desk, rows: pa.Table) -> pa.Table:
    """Payments that wait and whose two sides are in the directory and not suspended, each with the
    bank that its agency has now."""
    codes, agencies = desk.codes(), fee_book.agencies(desk.home)
    held_at = {code: codes.get(one.participant, -1) for code, one in agencies.items()}
    back = np.asarray(rows["back"], bool)
    of_agency = _looked_up(rows["agency"].combine_chunks(), held_at)
    payer, receiver = (
        np.where(theirs, of_agency, _looked_up(rows[side].combine_chunks(), codes))
        for side, theirs in (("debtor_agent", back), ("participant", ~back))
    )
    active = np.array([p.status == "active" for p in desk.directory.participants] + [False])
    able = active[receiver] & active[payer]
    names = pa.array([p.participant for p in desk.directory.participants], pa.string())
    kept = rows.filter(pa.array(able))
    for name, side in (("debtor_agent", payer), ("participant", receiver)):
        at = kept.schema.get_field_index(name)
        kept = kept.set_column(at, name, names.take(pa.array(side[able])))
    return kept.combine_chunks()


def stuck(home: Home, directory: Directory, settings: Settings, at: str) -> int:
    """Count of payments that wait and of which a bank is suspended or gone."""
    rows = fee_book.waiting(home)
    return len(rows) - len(able(Desk.of(home, directory, settings, at), rows)) if len(rows) else 0


def covered(desk: Desk, rows: pa.Table) -> NDArray[np.bool_]:
    """bool[n] of payments for which their bank has room in the cycle, first in first out: behind
    one without room none of the same settlement account goes."""
    goes = np.ones(len(rows), bool)
    settled_by = {p.participant: p.settled_by for p in desk.directory.participants}
    payer, payee = (
        np.array([settled_by[code] for code in rows[side].to_pylist()], object)
        for side in ("debtor_agent", "participant")
    )
    amount = np.asarray(rows["amount"])
    for code, room in desk.standing.rooms(desk.cycle).items():
        mine = np.flatnonzero((payer == code) & (payee != code))
        goes[mine] = np.cumsum(amount[mine]) <= max(room, 0)
    return goes


def _without_cover(answers: pa.Table, new: pa.Table, goes: NDArray[np.bool_]) -> pa.Table:
    """Answers in which payments that lack cover are refused."""
    reason = np.asarray(answers["reason_number"]).copy()
    alive = np.flatnonzero(reason == 0)
    assert len(alive) == len(new), "a payment is taken that did not pass"
    reason[alive[~goes]] = FeeReason.COVER_MISSING
    at = answers.schema.get_field_index("reason_number")
    return answers.set_column(at, "reason_number", pa.array(reason, pa.uint8()))


def entering(
    desk: Desk, enters: pa.Table, said: dict[str, Any]
) -> tuple[dict[str, Any], list[Change]]:
    """(what the audit record says, changes of the catalog) of payments that enter the cycle. said:
    what the record says beside."""
    directory, changes = desk.directory, list[Change]()
    detail: dict[str, Any] = dict(said)
    rooms = desk.standing.rooms(desk.cycle)
    detail |= {"rooms": rooms} if rooms else {}
    if not len(enters):
        return detail, changes
    positions = fee_book.positions(directory, enters)
    posted = fee_book.postings(directory, enters)
    nets = settlement_nets(positions)
    if desk.slot is None:
        day = str(day_of(desk.at))
        detail["request"] = books.request(directory, desk.cycle, day, nets, batches=[])
        posted += books.settling_postings(directory, desk.cycle, nets, [])
    else:
        detail["closes"] = desk.slot.closes
        changes.append(OpenCycle(*desk.slot))
    after = books.apply(desk.standing.balances, posted)
    books.require_settled(after, desk.cycle)
    detail |= {"cycle": desk.cycle, "postings": {desk.cycle: posted}}
    changes += [*keep_positions(desk.cycle, positions), *keep_postings(0, desk.cycle, posted)]
    return detail, [*changes, *keep_balances(after)]


def _commit(desk: Desk, answers: pa.Table | None, enters: pa.Table, said: dict[str, Any]) -> None:
    """One commit: payments with their answers, and what enters the cycle."""
    home = desk.home
    detail, changes = entering(desk, enters, said)
    changes += raised(home, FORMAT_FEES_BY_ROW)
    size = enters.nbytes + (answers.nbytes if answers is not None else 0)
    home.require_room(2 * size + ROOM_SPARE)
    with home.draft(FEES) as draft:
        write_table(draft / "moved.parquet", enters.cast(FEE_MOVED))
        write_table(draft / "payments.parquet", _answered(home, answers))
        home.commit(
            at=desk.at,
            kind=PAYMENTS,
            detail=detail,
            changes=changes,
            draft=draft,
            folder=home.folder(FEES, desk.number),
        )


def _answered(home: Home, answers: pa.Table | None) -> pa.Table:
    """Payments as their banks are answered: a table of FEE."""
    if answers is None:
        return FEE.empty_table()
    numbers = answers["reason_number"].to_pylist()
    codes = list(map(_code_of, numbers))
    words = [TAKEN if n in ACCEPTED else REFUSED for n in numbers]
    kept = answers.append_column("status", pa.array(words, pa.string()))
    kept = kept.append_column("reason", pa.array(codes, pa.string()))
    receipts = [
        receipt_of(home, row) if row["reason_number"] in ACCEPTED else None
        for row in answers.to_pylist()
    ]
    kept = kept.append_column("receipt", pa.array(receipts, pa.string()))
    return kept.select(FEE.names).cast(FEE)


def receipt_of(home: Home, row: dict[str, Any]) -> str:
    """The receipt of a payment: a keyed hash of all that it says."""
    said = (row[n] for n in ("payment_id", "agency", "bill_ref", "participant", "amount"))
    return home.id_hash("\t".join(["receipt", *map(str, said), str(row["paid_on"])]))


# --- answers --------------------------------------------------------------------------------------


def told(home: Home, folder: FeeFolder, *, new: bool) -> FeesTaken:
    """The answer of a commit of payments."""
    rows = _payments_of(home, folder)
    reasons: list[FeeRefused] = []
    numbers = rows["reason_number"]
    for number in sorted(numbers.unique().to_pylist()):
        if number not in ACCEPTED:
            rule = FEE_RULES[FeeReason(number)]
            total = _total(rows["amount"].filter(pc.equal(numbers, number)))
            reasons.append({"reason": rule.code, "sentence": rule.sentence, **total})
    again = folder.detail["again"]
    return {
        "number": folder.number,
        "at": folder.at,
        "new": new,
        "cycle": folder.detail.get("cycle", ""),
        "rows": len(rows),
        "taken": _total(rows["amount"].filter(pc.equal(numbers, FeeReason.NONE))),
        "known": _total(rows["amount"].filter(pc.equal(numbers, FeeReason.KNOWN))),
        "refused": _total(rows["amount"].filter(pc.invert(pc.is_in(numbers, value_set=_ACCEPTED)))),
        "again": {"count": again["count"], "sum": int(again["sum"])},
        "waiting": _total(fee_book.waiting(home)["amount"]),
        "reasons": reasons,
        "file": f"{folder.name}.parquet",
    }


def _total(amounts: pa.ChunkedArray) -> Total:
    return {"count": len(amounts), "sum": sum(amounts.to_pylist())}


def _filed(total: Total) -> dict[str, Any]:
    return {"count": total["count"], "sum": str(total["sum"])}
