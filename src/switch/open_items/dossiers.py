"""Dossiers: each table on its way to release, what was signed, and who has to sign next."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from switch.control.dossiers import Dossier
from switch.control.take import Book
from switch.home.days import times
from switch.home.store import Home
from switch.home.times import local_text
from switch.open_items.listing import Choice, Listing, Words, listing, require_known
from switch.present import Present

STATES = (
    *("DRAFT", "SUBMITTED", "CONTROLLED", "CERTIFIED", "FUNDED", "RELEASED"),
    *("REFUSED", "HELD", "CANCELLED", "CLEARING", "SETTLED", "RECONCILED", "CLOSED"),
)
"""States of a batch: docs/domain.md, section 2."""
_TEXT = pa.string()
DOSSIER = pa.schema(
    [
        ("dossier", pa.int64()),
        ("source", _TEXT),
        ("batch_id", _TEXT),
        ("state", _TEXT),
        ("value_date", _TEXT),
        ("count", pa.int64()),
        ("sum", pa.int64()),
        ("digest", _TEXT),
        ("policy", pa.int64()),
        ("due", _TEXT),
        ("missing", pa.int64()),
        ("may_sign", _TEXT),
        ("signed", _TEXT),
        ("last_at", _TEXT),
        ("last_by", _TEXT),
        ("why", _TEXT),
    ]
)
"""A dossier. due: the step that is next, missing: signatures that it takes yet, may_sign: people
who may give them, with a blank between them. signed: steps with who signed them, oldest first. why:
the words of the last act."""


def dossiers(home: Home, *, state: Words = None, limit: int | None = None) -> Listing:
    """All dossiers, oldest first (`Control.dossiers`)."""
    require_known("state", state, STATES)
    book = Book(home)
    states = states_of(book)
    rows = [_row(book, dossier, states[dossier.number]) for dossier in book.dossiers]
    table = pa.Table.from_pylist(rows, DOSSIER)
    choice = Choice({"state": state}, {}, [("dossier", "ascending")], limit)
    return listing(home, "dossiers", times(home).now, table, choice, "sum", "state")


def states_of(book: Book) -> dict[int, str]:
    """One of STATES by number of a dossier: its own until its table is run, then that of its
    batch."""
    found: dict[int, str] = {}
    present: Present | None = None
    for dossier in book.dossiers:
        table = dossier.table
        found[dossier.number] = dossier.state
        batch = book.home.catalog.batch_of(table.source, table.batch_id)
        if batch is None or dossier.is_final:
            continue
        found[dossier.number] = batch.state
        if batch.state == "SETTLED":
            present = present or Present(book.home)
            if present.is_reconciled(batch.seq):
                found[dossier.number] = "RECONCILED"
    return found


def _row(book: Book, dossier: Dossier, state: str) -> dict[str, Any]:
    table, last = dossier.table, dossier.acts[-1]
    due = None if dossier.stop or book.ran(dossier) else dossier.due
    signed = {name for act in dossier.acts for name in (act.by, act.behalf)}
    people = dossier.policy.with_role(due.step) if due else []
    return {
        "dossier": dossier.number,
        "source": table.source,
        "batch_id": table.batch_id,
        "state": state,
        "value_date": table.value_date,
        "count": table.count,
        "sum": table.sum,
        "digest": table.digest,
        "policy": dossier.version,
        "due": due.step if due else "",
        "missing": dossier.missing() if due else 0,
        "may_sign": " ".join(person.name for person in people if person.name not in signed),
        "signed": ", ".join(f"{act.step} {act.by}" for act in dossier.acts),
        "last_at": local_text(last.at),
        "last_by": last.by,
        "why": last.why,
    }
