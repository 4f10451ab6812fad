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
    refunded: Total
    """Refunds of them, wherever their money stands."""


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
    refunded: int
    """Dong that were refunded; 0 for none."""
    refund_state: str
    """CLEARED, SETTLED or WAITING; '' where nothing was refunded."""


def _stands(home: Home) -> pa.Table:
    """Payments that were taken, each with the cycle that it entered last and its state."""
    rows, waits = fee_book.last_moved(home), fee_book.waiting(home)
    open_ = pa.array([cycle.cycle for cycle in home.catalog.cycles(*PENDING)], pa.string())
    state = pc.if_else(pc.is_in(rows["cycle"], value_set=open_), CLEARED, SETTLED)
    names = _names(waits)
    keys = zip(rows["payment_id"].to_pylist(), rows["back"].to_pylist(), strict=True)
    is_waiting = pa.array([key in names for key in keys], pa.bool_())
    return rows.append_column("state", pc.if_else(is_waiting, WAITING, state))


def _names(rows: pa.Table) -> set[tuple[str, bool]]:
    return set(zip(rows["payment_id"].to_pylist(), rows["back"].to_pylist(), strict=True))


def standing(home: Home) -> FeesStanding:
    """Fees by agency (`Fees.standing`)."""
    bills, whole = fee_book.bills(home), _stands(home)
    rows, back = (whole.filter(pc.equal(whole["back"], word)) for word in (False, True))
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
                "refunded": _total(back["amount"].filter(pc.equal(back["agency"], code))),
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
    both = stands.filter(pc.equal(stands["payment_id"], payment_id)).to_pylist()
    (at,) = (row for row in both if not row["back"])
    back = next((row for row in both if row["back"]), None)
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
        "refunded": back["amount"] if back else 0,
        "refund_state": back["state"] if back else "",
    }


def _total(amounts: pa.ChunkedArray) -> Total:
    return {"count": len(amounts), "sum": sum(amounts.to_pylist())}
