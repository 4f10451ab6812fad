"""Fee withdrawals: a payment that waits, and cannot enter a cycle any more, is given up.

IN: one payment, or refund, that waits. OUT: one audit record. It moves no money, for what it moved
was taken back when it left its cycle; the bill of a payment is open again, and its bank gives the
citizen back what it took.
"""

from __future__ import annotations

from typing import Any, TypedDict

import msgspec

from switch.arguments import require_said
from switch.errors import UsageError
from switch.home.history import FORMAT_FEES_BY_ROW, WITHDRAWAL
from switch.home.store import Home, raised
from switch.settlement.fee_standing import WAITING, WITHDRAWN, payment


class FeeWithdrawn(TypedDict):
    """A payment that was withdrawn, or its refund."""

    at: str
    new: bool
    """False where it was withdrawn before in the same words."""
    payment_id: str
    agency: str
    bill_ref: str
    participant: str
    """The payer's bank."""
    amount: int
    refund: bool
    """It is the refund of the payment; the payment itself has settled and stays so."""
    by: str
    why: str


def withdraw(
    home: Home, payment_id: str, bank: str, said: tuple[str, str], at: str, noted: dict[str, Any]
) -> FeeWithdrawn:
    """Withdraw what waits of a payment (`Fees.withdraw`). said: by whom, and why; noted: what its
    record says of its time."""
    require_said("withdrawn", *said)
    one, taken_in, row, refund = payment(home, payment_id, bank)
    back = refund is not None and one["refund_state"] in (WAITING, WITHDRAWN)
    if refund is not None and back:
        taken_in, row = refund.folder.number, 1
    state = one["refund_state"] if back else one["state"]
    new = state == WAITING
    detail: dict[str, Any] = {
        "payment_id": payment_id,
        "bank": one["participant"],
        "taken_in": taken_in,
        "row": row,
        "by": said[0],
        "why": said[1],
    }
    if not new:
        at = _time_before(home, detail) if state == WITHDRAWN else ""
        if not at:
            word = "its refund" if refund is not None else "it"
            raise UsageError(
                f"payment {payment_id!r} does not wait: {word} is {one['refund_state'] or state}"
            )
    else:
        home.commit(
            at=at,
            kind=WITHDRAWAL,
            detail={**detail, **noted},
            changes=raised(home, FORMAT_FEES_BY_ROW),
        )
    amount = one["amount"]
    if refund is not None and back:
        amount = int(refund.folder.detail["amount"])
    return {
        "at": at,
        "new": new,
        "payment_id": payment_id,
        "agency": one["agency"],
        "bill_ref": one["bill_ref"],
        "participant": one["participant"],
        "amount": amount,
        "refund": back,
        "by": said[0],
        "why": said[1],
    }


def _time_before(home: Home, detail: dict[str, Any]) -> str:
    """The time at which just this was withdrawn in the same words; '' where it was in others."""
    for record in home.catalog.audit.records(WITHDRAWAL):
        known = msgspec.json.decode(record.detail)
        if all(known[name] == value for name, value in detail.items()):
            return record.at
    return ""
