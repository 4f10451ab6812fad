"""Fee standing: fees of a home by agency, and one payment, as they stand now."""

from __future__ import annotations

from typing import TypedDict

import pyarrow as pa
import pyarrow.compute as pc

from switch.errors import UsageError
from switch.home.catalog import PENDING
from switch.home.store import Home
from switch.results import Total
from switch.settlement import fee_book

CLEARED = "CLEARED"
SETTLED = "SETTLED"
WAITING = "WAITING"
"""States of a payment that was taken."""


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


class FeesStanding(TypedDict):
    """Fees of a home."""

    agencies: list[AgencyStanding]


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
    """CLEARED, SETTLED or WAITING."""
    cycle: str
    """Cycle that it entered last."""


def _stands(home: Home) -> pa.Table:
    """Payments that were taken, each with the cycle that it entered last and its state."""
    rows, waits = fee_book.moved(home), fee_book.waiting(home)
    last = rows.group_by("payment_id").aggregate([("number", "max")])
    last = last.rename_columns({"number_max": "number"})
    rows = rows.join(last, ["payment_id", "number"], join_type="inner")
    open_ = pa.array([cycle.cycle for cycle in home.catalog.cycles(*PENDING)], pa.string())
    state = pc.if_else(pc.is_in(rows["cycle"], value_set=open_), CLEARED, SETTLED)
    is_waiting = pc.is_in(rows["payment_id"], value_set=waits["payment_id"].combine_chunks())
    return rows.append_column("state", pc.if_else(is_waiting, WAITING, state))


def standing(home: Home) -> FeesStanding:
    """Fees by agency (`Fees.standing`)."""
    bills, rows = fee_book.bills(home), _stands(home)
    found: list[AgencyStanding] = []
    for code, one in sorted(fee_book.agencies(home).items()):
        mine = rows.filter(pc.equal(rows["agency"], code))
        parts = {
            state: _total(mine["amount"].filter(pc.equal(mine["state"], state)))
            for state in (CLEARED, SETTLED, WAITING)
        }
        found.append(
            {
                "agency": code,
                "name": one.name,
                "bills": _total(bills["amount"].filter(pc.equal(bills["agency"], code))),
                "paid": _total(mine["amount"]),
                "cleared": parts[CLEARED],
                "settled": parts[SETTLED],
                "waiting": parts[WAITING],
            }
        )
    return {"agencies": found}


def payment(home: Home, payment_id: str) -> FeePayment:
    """One payment that was taken (`Fees.payment`)."""
    rows = fee_book.payments(home)
    mine = rows.filter(pc.equal(rows["payment_id"], payment_id)).to_pylist()
    if not mine:
        raise UsageError(f"no payment {payment_id!r} was taken here; one that is refused has none")
    stands = _stands(home)
    (at,) = stands.filter(pc.equal(stands["payment_id"], payment_id)).to_pylist()
    (one,) = mine
    return {
        "payment_id": payment_id,
        "agency": one["agency"],
        "bill_ref": one["bill_ref"],
        "participant": one["participant"],
        "amount": one["amount"],
        "paid_on": str(one["paid_on"]),
        "receipt": one["receipt"],
        "state": at["state"],
        "cycle": at["cycle"],
    }


def _total(amounts: pa.ChunkedArray) -> Total:
    return {"count": len(amounts), "sum": sum(amounts.to_pylist())}
