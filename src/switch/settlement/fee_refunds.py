"""Fee refunds: an agency gives back what was paid to it, through the next cycle, once.

IN: one payment that has settled. OUT: a draft for one commit, with the one row that enters a cycle.
The bill stays paid: who owes again is given another one.
"""

from __future__ import annotations

from typing import Any, NamedTuple, TypedDict

import pyarrow as pa
import pyarrow.compute as pc

from switch.arguments import require_said
from switch.errors import UsageError
from switch.files.file_schemas import FEE_MOVED
from switch.files.segment import write_table
from switch.home.history import REFUND, FeeFolder, fee_folders
from switch.home.store import FEES, ROOM_SPARE, Home
from switch.registry.directory import Directory
from switch.registry.settings import Settings
from switch.settlement import fee_book
from switch.settlement.fee_standing import SETTLED, WAITING, WAY_OUT, WITHDRAWN, payment
from switch.settlement.fees import Desk, able, covered, entering


class FeeRefunded(TypedDict):
    """A refund of a payment."""

    number: int
    """Number of its commit."""
    at: str
    new: bool
    """False where it was refunded before in the same words: the stored answer."""
    payment_id: str
    agency: str
    participant: str
    """The payer's bank."""
    amount: int
    cycle: str
    by: str
    why: str


class Back(NamedTuple):
    """A refund as somebody asks for it. bank: '' where the id is of one bank alone; amount: None
    for all that was paid."""

    payment_id: str
    bank: str
    amount: int | None
    by: str
    why: str


def refund(
    home: Home,
    directory: Directory,
    settings: Settings,
    said: Back,
    at: str,
    noted: dict[str, Any],
) -> FeeRefunded:
    """Refund a payment (`Fees.refund`). noted: what its record says of its time."""
    require_said("refunded", said.by, said.why)
    payment_id = said.payment_id
    one, _, _, before = payment(home, payment_id, said.bank)
    wanted = one["amount"] if said.amount is None else said.amount
    if before is not None and one["refund_state"] != WITHDRAWN:
        detail = before.folder.detail
        if (detail["by"], detail["why"], int(detail["amount"])) == (said.by, said.why, wanted):
            return _told(home, before.folder, new=False)
        raise UsageError(f"payment {payment_id!r} was refunded before, which is done once")
    if not 0 < wanted <= one["amount"]:
        raise UsageError(f"a refund is above zero, and at most what was paid: {one['amount']:,}")
    if one["state"] != SETTLED:
        out = f"; {WAY_OUT.format(payment_id)}" if one["state"] == WAITING else ""
        raise UsageError(f"payment {payment_id!r} has not settled: it is {one['state']}{out}")
    desk = Desk.of(home, directory, settings, at)
    row = {
        "payment_id": payment_id,
        "agency": one["agency"],
        "bill_ref": one["bill_ref"],
        "debtor_agent": "",
        "participant": one["participant"],
        "amount": wanted,
        "taken_in": desk.number,
        "row": 1,
        "back": True,
    }
    enters = able(desk, pa.Table.from_pylist([row], FEE_MOVED))
    if not len(enters):
        raise UsageError("one of the two banks is suspended, or not in the directory any more")
    if not covered(desk, enters).all():
        raise UsageError("the agency's bank has no room for the refund in the cycle: wait, or fund")
    words = {"payment_id": payment_id, "bank": one["participant"], "amount": str(wanted)}
    words |= {"by": said.by, "why": said.why}
    detail, changes = entering(desk, enters, {**words, **noted})
    home.require_room(ROOM_SPARE)
    with home.draft(FEES) as draft:
        write_table(draft / "moved.parquet", enters.cast(FEE_MOVED))
        home.commit(
            at=at,
            kind=REFUND,
            detail=detail,
            changes=changes,
            draft=draft,
            folder=home.folder(FEES, desk.number),
        )
    return _told(home, fee_folders(home)[-1], new=True)


def _told(home: Home, folder: FeeFolder, *, new: bool) -> FeeRefunded:
    """The answer of a refund."""
    detail: dict[str, Any] = folder.detail
    rows = fee_book.moved(home)
    (row,) = rows.filter(pc.equal(rows["number"], folder.number)).to_pylist()
    return {
        "number": folder.number,
        "at": folder.at,
        "new": new,
        "payment_id": detail["payment_id"],
        "agency": row["agency"],
        "participant": row["participant"],
        "amount": int(detail["amount"]),
        "cycle": detail["cycle"],
        "by": detail["by"],
        "why": detail["why"],
    }
