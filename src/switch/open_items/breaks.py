"""Breaks that are open, as an operator works through them."""

from __future__ import annotations

import datetime
from typing import NamedTuple, Unpack

import pyarrow as pa
import pyarrow.compute as pc

from switch.clearing.chunk import prefix_of
from switch.errors import UsageError
from switch.home.batch import batch_row
from switch.home.history import Folder, break_id, folders, notes, open_breaks
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
    several,
)
from switch.reconcile.break_notes import whole
from switch.reconcile.match import rules
from switch.reconcile.match.rules import SEVERITIES
from switch.registry.holdings import masked
from switch.results import Total

CLASSES = tuple(verdict.name for verdict in (*rules.CLASSES, *rules.RECALL_CLASSES))
SORTS = {
    "severity": [("rank", "descending"), ("value", "descending"), ("break", "ascending")],
    "value": [("value", "descending"), ("break", "ascending")],
    "age": [("days", "descending"), ("value", "descending"), ("break", "ascending")],
    "class": [("class", "ascending"), ("value", "descending"), ("break", "ascending")],
    "owner": [("owner", "ascending"), ("rank", "descending"), ("value", "descending")],
    "receiver": [("participant", "ascending"), ("rank", "descending"), ("value", "descending")],
}


def breaks(home: Home, **asked: Unpack[BreaksAsked]) -> Listing:
    """Open breaks, as they were found last (`Engine.breaks`)."""
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
    if asked.get("ids") is not None:
        ids = rows["break"].to_pylist()
        wanted["break"] = [whole(text, ids) for text in several(asked["ids"])]
    if asked.get("accepted") is not None:
        rows = rows.filter(pc.equal(rows["accepted"], asked["accepted"]))
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


def _rows(home: Home, known: list[Folder]) -> pa.Table:
    """All open breaks, with the lines that they are about."""
    found = open_breaks(home, known)
    day = datetime.date.fromisoformat(as_of(known)) if len(found) else datetime.date(1970, 1, 1)
    seqs, numbers = _lines(home, found["transfer_id"])
    ids = [break_id(key) for key in found["key"].to_pylist()]
    noted = _noted(home)
    stands = [noted.get(name, _NOTHING) for name in ids]
    marks = zip(found["class"].to_pylist(), found["value"].to_pylist(), strict=True)
    columns = {
        "break": pa.array(ids, pa.string()),
        **{name: found[name] for name in ("class", "severity")},
        "owner": pc.coalesce(pa.array((s.owner for s in stands), pa.string()), found["owner"]),
        "accepted": pa.array(
            (s.accepted == mark for s, mark in zip(stands, marks, strict=True)), pa.bool_()
        ),
        "participant": found["participant"],
        "batch_id": names_of(seqs, batch_names(home)),
        "line_no": numbers,
        **{name: found[name] for name in ("expected", "found", "value", "day", "age")},
        "days": pc.subtract(
            pa.scalar(day, pa.date32()).cast(pa.int32()), found["day"].cast("int32")
        ),
        **{name: found[name] for name in ("set", "side", "transfer_id", "record_id")},
        "account": pa.array((a and masked(a) for a in found["account"].to_pylist()), pa.string()),
        **{name: found[name] for name in ("counterpart", "rule", "action")},
        "note": pa.array((s.note for s in stands), pa.string()),
        "noted_by": pa.array((s.by for s in stands), pa.string()),
        "noted_at": pa.array((s.at for s in stands), pa.string()),
        "rank": pc.index_in(found["severity"], pa.array(SEVERITIES)),
    }
    return pa.table(columns)


class _Stand(NamedTuple):
    """All that notes say of a break: the last words of each kind."""

    owner: str | None = None
    accepted: tuple[str, int] | None = None
    """Class and value with which it was accepted: it is so as long as it has them."""
    note: str | None = None
    by: str | None = None
    at: str | None = None


_NOTHING = _Stand()


def _noted(home: Home) -> dict[str, _Stand]:
    """Breaks of which there is a note, by id."""
    found: dict[str, _Stand] = {}
    for record, note in notes(home):
        for name, class_, value in note.breaks:
            before = found.get(name, _NOTHING)
            accepted = before.accepted
            if note.accepted is not None:
                accepted = (class_, value) if note.accepted else None
            words = note.note or before.note
            found[name] = _Stand(note.owner or before.owner, accepted, words, note.by, record.at)
    return found


def critical(home: Home) -> Total:
    """Open breaks that are critical and that nobody has accepted."""
    found = open_breaks(home, folders(home))
    found = found.filter(pc.equal(found["severity"], SEVERITIES[-1]))
    noted = _noted(home)
    marks = (found[name].to_pylist() for name in ("key", "class", "value"))
    values = [
        value
        for key, class_, value in zip(*marks, strict=True)
        if not noted or noted.get(break_id(key), _NOTHING).accepted != (class_, value)
    ]
    return {"count": len(values), "sum": sum(values)}


def _lines(home: Home, ids: pa.ChunkedArray) -> tuple[pa.Array, pa.Array]:
    """Number of the batch, and of the line in it, that each transfer id names; null where this home
    has none such. An id may be that of a whole clearing file."""
    of = {
        prefix_of(datetime.date.fromisoformat(row.value_date), row.seq).decode()[:-1]: row
        for row in home.catalog.batches()
    }
    names, rows = pa.array(of, pa.string()), [(row.seq, row.lines) for row in of.values()]
    seqs, most = (pa.array([r[k] for r in rows], pa.int64()) for k in (0, 1))
    ids = ids.combine_chunks()
    is_line = pc.fill_null(pc.match_substring_regex(ids, r"-\d{6,}-\d{10}$"), False)
    batch = pc.if_else(is_line, pc.utf8_slice_codeunits(ids, 0, -11), ids)
    number = pc.if_else(is_line, pc.utf8_slice_codeunits(ids, -10), pa.scalar(None, pa.string()))
    at = pc.index_in(batch, names)
    number = pc.if_else(pc.is_valid(at), number, pa.scalar(None, pa.string())).cast(pa.int64())
    is_there = pc.and_(pc.greater(number, 0), pc.less_equal(number, most.take(at)))
    return seqs.take(at), pc.if_else(is_there, number, pa.scalar(None, pa.int64()))
