"""Breaks that are open, as an operator works through them."""

from __future__ import annotations

import datetime
import hashlib
from typing import Unpack

import pyarrow as pa
import pyarrow.compute as pc

from switch.clearing.chunk import prefix_of
from switch.clearing.shared_accounts import masked
from switch.errors import UsageError
from switch.home.history import Folder, folders, open_breaks
from switch.home.store import Home
from switch.open_items.listing import (
    BreaksAsked,
    Choice,
    Listing,
    Words,
    batch_names,
    listing,
    names_of,
    participants,
    require_known,
    taken,
)
from switch.reconcile.match import rules
from switch.reconcile.match.rules import SEVERITIES
from switch.status import batch_row

CLASSES = tuple(verdict.name for verdict in rules.CLASSES)
SORTS = {
    "severity": [("rank", "descending"), ("value", "descending"), ("break", "ascending")],
    "value": [("value", "descending"), ("break", "ascending")],
    "age": [("days", "descending"), ("value", "descending"), ("break", "ascending")],
    "class": [("class", "ascending"), ("value", "descending"), ("break", "ascending")],
    "owner": [("owner", "ascending"), ("rank", "descending"), ("value", "descending")],
    "receiver": [("participant", "ascending"), ("rank", "descending"), ("value", "descending")],
}
ID_CHARACTERS = 16


def breaks(home: Home, **asked: Unpack[BreaksAsked]) -> Listing:
    """Open breaks, as they were found last (`Engine.breaks`)."""
    asked = taken(asked, BreaksAsked)
    sort, batch = asked.get("sort", "severity"), asked.get("batch")
    if sort not in SORTS:
        raise UsageError(f"sort {sort!r} is none of {', '.join(SORTS)}")
    known = folders(home)
    rows = _rows(home, known)
    wanted: dict[str, Words] = {
        "class": asked.get("class_"),
        "severity": asked.get("severity"),
        "owner": asked.get("owner"),
        "participant": asked.get("receiver"),
    }
    require_known("class", wanted["class"], CLASSES)
    require_known("severity", wanted["severity"], SEVERITIES)
    there = {*participants(home), *pc.unique(rows["participant"]).to_pylist()} - {None}
    require_known("receiver", wanted["participant"], there)
    if batch is not None:
        wanted["batch_id"] = batch_names(home)[batch_row(home, batch).seq]
    least = {"days": asked.get("age")}
    choice = Choice(wanted, least, SORTS[sort], asked.get("limit"), ("rank",))
    return listing(home, "breaks", as_of(known), rows, choice, "value", "class", "severity")


def as_of(known: list[Folder]) -> str:
    """The day on which everything was held against everything last; '' where it never was."""
    return next((str(f.detail.answer["as_of"]) for f in reversed(known) if f.judges), "")


def id_of(key: str) -> str:
    """The id by which people name a break: its key may hold an account, and is long."""
    return hashlib.sha256(key.encode()).hexdigest()[:ID_CHARACTERS]


def _rows(home: Home, known: list[Folder]) -> pa.Table:
    """All open breaks, with the lines that they are about."""
    found = open_breaks(home, known)
    day = datetime.date.fromisoformat(as_of(known)) if len(found) else datetime.date(1970, 1, 1)
    seqs, numbers = _lines(home, found["transfer_id"])
    columns = {
        "break": pa.array(map(id_of, found["key"].to_pylist()), pa.string()),
        **{name: found[name] for name in ("class", "severity", "owner", "participant")},
        "batch_id": names_of(seqs, batch_names(home)),
        "line_no": numbers,
        **{name: found[name] for name in ("expected", "found", "value", "day", "age")},
        "days": pc.subtract(
            pa.scalar(day, pa.date32()).cast(pa.int32()), found["day"].cast("int32")
        ),
        **{name: found[name] for name in ("set", "side", "transfer_id", "record_id")},
        "account": pa.array((a and masked(a) for a in found["account"].to_pylist()), pa.string()),
        **{name: found[name] for name in ("counterpart", "rule", "action")},
        "rank": pc.index_in(found["severity"], pa.array(SEVERITIES)),
    }
    return pa.table(columns)


def _lines(home: Home, ids: pa.ChunkedArray) -> tuple[pa.Array, pa.Array]:
    """Number of the batch, and of the line in it, that each transfer id names; null where it names
    none of this home. An id may be that of a whole clearing file."""
    of = {
        prefix_of(datetime.date.fromisoformat(row.value_date), row.seq).decode()[:-1]: row.seq
        for row in home.catalog.batches()
    }
    names, seqs = pa.array(of, pa.string()), pa.array(of.values(), pa.int64())
    ids = ids.combine_chunks()
    is_line = pc.fill_null(pc.match_substring_regex(ids, r"-\d{6,}-\d{10}$"), False)
    batch = pc.if_else(is_line, pc.utf8_slice_codeunits(ids, 0, -11), ids)
    number = pc.if_else(is_line, pc.utf8_slice_codeunits(ids, -10), pa.scalar(None, pa.string()))
    at = pc.index_in(batch, names)
    number = pc.if_else(pc.is_valid(at), number, pa.scalar(None, pa.string()))
    return seqs.take(at), number.cast(pa.int64())
