"""Lines that were recalled: who asked for them, when, and whether the money is back."""

from __future__ import annotations

from typing import Unpack

import pyarrow as pa

from switch.home.batch import batch_row
from switch.home.days import times
from switch.home.history import folders
from switch.home.store import Home
from switch.home.times import day_of
from switch.open_items.held import days_since, period_texts
from switch.open_items.listing import (
    SORTS,
    Choice,
    Listing,
    RecallsAsked,
    Words,
    batch_names,
    listing,
    names_of,
    participants,
    require_known,
)
from switch.reconcile.asked import ACCEPTED, OPEN, REFUSED, standing
from switch.reconcile.recalls import reasons

STATES = (OPEN, ACCEPTED, REFUSED)


def recalls(home: Home, **asked: Unpack[RecallsAsked]) -> Listing:
    """Lines that were recalled (`Engine.recalls`)."""
    known, sort = times(home), asked.get("sort", "age")
    require_known("sort", sort, SORTS)
    require_known("state", asked.get("state"), STATES)
    require_known("reason", asked.get("reason"), reasons())
    require_known("receiver", asked.get("receiver"), participants(home))
    wanted: dict[str, Words] = {
        "state": asked.get("state"),
        "reason": asked.get("reason"),
        "participant": asked.get("receiver"),
    }
    if (batch := asked.get("batch")) is not None:
        wanted["batch_id"] = batch_names(home)[batch_row(home, batch).seq]
    lines = standing(home, folders(home))
    since = pa.array([day_of(at) for at in lines["at"].to_pylist()], pa.date32())
    whole = {
        "batch_id": names_of(lines["batch"], batch_names(home)),
        "line_no": lines["line_no"].cast(pa.int64()),
        "benefit": lines["benefit"],
        "period": period_texts(lines["period"]),
        "amount": lines["amount"],
        "state": lines["state"],
        "reason": lines["code"],
        "participant": lines["participant"],
        "transfer_id": lines["transfer_id"],
        "action": lines["action"],
        "by": lines["by"],
        "why": lines["why"],
        "since": since,
        "days": days_since(known, since),
        "number": lines["batch"].cast(pa.int64()),
    }
    choice = Choice(
        wanted, {"days": asked.get("age")}, SORTS[sort], asked.get("limit"), ("number",)
    )
    return listing(home, "recalls", known.now, pa.table(whole), choice, "amount", "state")
