"""Fee standing: fees of a home by agency, and one payment, as they stand now."""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple, TypedDict

import pyarrow as pa
import pyarrow.compute as pc

from switch.errors import UsageError
from switch.home.catalog import PENDING
from switch.home.history import PAYMENTS, fee_folders
from switch.home.store import Home
from switch.registry.templates import table_template
from switch.results import Total
from switch.schema import FEE_KINDS, FEE_STATE_WORDS
from switch.settlement import fee_book

CLEARED, SETTLED, WAITING, WITHDRAWN = FEE_STATE_WORDS
"""States of a payment that was taken."""
WAY_OUT = "where its bank does not come back, withdraw it: switch fees HOME --withdraw {}"
"""The remedy of a payment that waits for ever."""


class AgencyStanding(TypedDict):
    """Fees of one agency."""

    agency: str
    name: str
    bills: Total
    paid: Total
    """Bills that were paid: cleared, settled and waiting."""
    cleared: Total
    settled: Total
    waiting: Total
    withdrawn: Total
    """Payments that were taken, but do not go any more: their bills are open."""
    refunded: Total
    """Refunds of them, wherever their money stands."""


class FeesStanding(TypedDict):
    """Fees of a home."""

    agencies: list[AgencyStanding]


class FeeListed(TypedDict):
    """A payment in a list, or its refund."""

    payment_id: str
    participant: str
    """The payer's bank."""
    agency: str
    bill_ref: str
    amount: int
    """Money that was paid, or goes back."""
    paid_on: str
    receipt: str
    kind: str
    """payment or refund."""
    state: str
    """CLEARED, SETTLED, WAITING or WITHDRAWN."""
    cycle: str
    """Cycle that it entered last."""


class FeesListed(TypedDict):
    """Payments and refunds, by what becomes of them."""

    count: int
    sum: int
    rows: list[FeeListed]
    file: str
    """Path of the rows that were written; '' where none were asked for."""


class FeePayment(TypedDict):
    """A payment that was taken, as it stands now."""

    payment_id: str
    agency: str
    bill_ref: str
    participant: str
    amount: int
    paid_on: str
    receipt: str
    state: str
    """CLEARED, SETTLED, WAITING or WITHDRAWN."""
    cycle: str
    """Cycle that it entered last."""
    refunded: int
    """Dong that were refunded; 0 for none."""
    refund_state: str
    """CLEARED, SETTLED, WAITING or WITHDRAWN; '' where nothing was refunded."""


def stands(home: Home) -> pa.Table:
    """Payments that were taken and refunds, each with the cycle that it entered last and its
    state."""
    rows, waits = fee_book.last_moved(home), fee_book.waiting(home)
    open_ = pa.array([cycle.cycle for cycle in home.catalog.cycles(*PENDING)], pa.string())
    state = pc.if_else(pc.is_in(rows["cycle"], value_set=open_), CLEARED, SETTLED)
    names = fee_book.names_of(rows)
    for word, among in ((WAITING, fee_book.names_of(waits)), (WITHDRAWN, fee_book.withdrawn(home))):
        state = pc.if_else(pc.is_in(names, value_set=among), word, state)
    return rows.append_column("state", state)


def listed(home: Home, states: Collection[str], cycle: str) -> pa.Table:
    """Payments and refunds (`Fees.listed`), oldest first: a table as
    `switch.json_schema("fee-states")` says. states, cycle: those in them alone, where any are
    named."""
    for state in states:
        if state not in FEE_STATE_WORDS:
            raise UsageError(f"state {state!r} is not known: use {', '.join(FEE_STATE_WORDS)}")
    given = {(row["taken_in"], row["row"]): row for row in fee_book.payments(home).to_pylist()}
    of_refund = {(one.folder.number, 1): (one.taken_in, one.row) for one in fee_book.refunds(home)}
    rows = []
    for row in sorted(stands(home).to_pylist(), key=lambda row: (row["taken_in"], row["row"])):
        name = row["taken_in"], row["row"]
        one = given[of_refund.get(name, name)]
        said = {"kind": FEE_KINDS[row["back"]], "amount": row["amount"], "cycle": row["cycle"]}
        rows.append({**one, **said, "state": row["state"]})
    table = pa.Table.from_pylist(rows, table_template("fee-states").schema)
    if states:
        table = table.filter(pc.is_in(table["state"], value_set=pa.array([*states], pa.string())))
    return table.filter(pc.equal(table["cycle"], cycle)) if cycle else table


def in_cycles(home: Home) -> dict[str, Total]:
    """Payments and refunds that stand in each cycle now, by cycle; none of a home without fees."""
    if not any(folder.kind == PAYMENTS for folder in fee_folders(home)):
        return {}
    rows = stands(home)
    stay = rows.filter(pc.is_in(rows["state"], value_set=pa.array([CLEARED, SETTLED])))
    found: dict[str, Total] = {}
    for row in stay.group_by("cycle").aggregate([("amount", "sum"), ([], "count_all")]).to_pylist():
        found[row["cycle"]] = {"count": row["count_all"], "sum": row["amount_sum"]}
    return found


def standing(home: Home) -> FeesStanding:
    """Fees by agency (`Fees.standing`)."""
    bills, whole = fee_book.bills(home), stands(home)
    rows, back = (whole.filter(pc.equal(whole["back"], word)) for word in (False, True))
    gone = back.filter(pc.not_equal(back["state"], WITHDRAWN))
    found: list[AgencyStanding] = []
    for code, one in sorted(fee_book.agencies(home).items()):
        mine = rows.filter(pc.equal(rows["agency"], code))
        parts = {
            state: _total(mine["amount"].filter(pc.equal(mine["state"], state)))
            for state in FEE_STATE_WORDS
        }
        found.append(
            {
                "agency": code,
                "name": one.name,
                "bills": _total(bills["amount"].filter(pc.equal(bills["agency"], code))),
                "paid": _total(mine["amount"].filter(pc.not_equal(mine["state"], WITHDRAWN))),
                "cleared": parts[CLEARED],
                "settled": parts[SETTLED],
                "waiting": parts[WAITING],
                "withdrawn": parts[WITHDRAWN],
                "refunded": _total(gone["amount"].filter(pc.equal(gone["agency"], code))),
            }
        )
    return {"agencies": found}


class Found(NamedTuple):
    """A payment, what names it here, and its last refund."""

    said: FeePayment
    taken_in: int
    row: int
    refund: fee_book.Refund | None


def payment(home: Home, payment_id: str, bank: str) -> Found:
    """One payment that was taken (`Fees.payment`). bank: '' where its id is of one bank alone."""
    rows = fee_book.payments(home)
    mine = rows.filter(pc.equal(rows["payment_id"], payment_id)).to_pylist()
    banks = sorted(row["participant"] for row in mine)
    mine = [row for row in mine if bank in ("", row["participant"])]
    if not mine:
        of_bank = f" of {bank}" if bank else ""
        raise UsageError(
            f"no payment {payment_id!r}{of_bank} was taken here; one that is refused has none"
        )
    if len(mine) > 1:
        raise UsageError(
            f"payment {payment_id!r} was taken of several banks: name the one with --bank:"
            f" {', '.join(banks)}"
        )
    (one,) = mine
    name = one["taken_in"], one["row"]
    done = [back for back in fee_book.refunds(home) if (back.taken_in, back.row) == name]
    standing = {(row["taken_in"], row["row"]): row for row in stands(home).to_pylist()}
    at = standing[name]
    back = standing[done[-1].folder.number, 1] if done else None
    said: FeePayment = {
        "payment_id": payment_id,
        "agency": one["agency"],
        "bill_ref": one["bill_ref"],
        "participant": one["participant"],
        "amount": one["amount"],
        "paid_on": str(one["paid_on"]),
        "receipt": one["receipt"],
        "state": at["state"],
        "cycle": at["cycle"],
        "refunded": back["amount"] if back and back["state"] != WITHDRAWN else 0,
        "refund_state": back["state"] if back else "",
    }
    return Found(said, *name, done[-1] if done else None)


def _total(amounts: pa.ChunkedArray) -> Total:
    return {"count": len(amounts), "sum": sum(amounts.to_pylist())}
