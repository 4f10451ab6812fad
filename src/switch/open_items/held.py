"""Lines that wait, and lines that came back: for which reason, since when, how often tried.

Ids, names and accounts of people stand in the queue; none of them is shown.
"""

from __future__ import annotations

from typing import Unpack

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from switch.errors import UsageError
from switch.files.segment import Groups, read_table, segment_at
from switch.home.batch import batch_row
from switch.home.days import Times, times
from switch.home.history import folders, queue_of, recasts, went_back
from switch.home.store import Home
from switch.home.times import day_of
from switch.open_items.listing import (
    SORTS,
    Choice,
    LinesAsked,
    Listing,
    Words,
    batch_names,
    listing,
    names_of,
    participants,
    require_known,
)
from switch.reason import GIVEN_UP, HELD, RULES, Reason
from switch.reconcile import dispositions
from switch.settlement import queue, setup

SENTENCES = {rule.code: rule.sentence for rule in (*(RULES[r] for r in HELD), GIVEN_UP)}
"""Reasons for which a line waits."""
WAITS, COMING = "WAITS", "COMING"
"""States of money that came back: on T.RETURNS, for a disposition; on its way through a cycle."""


def held(home: Home, **asked: Unpack[LinesAsked]) -> Listing:
    """Lines that wait now (`Engine.held`)."""
    require_known("reason", asked.get("reason"), SENTENCES)
    known, choice = times(home), _choice(home, asked)
    return listing(home, "held", known.now, _waiting(home, known), choice, "amount", "reason")


def returned(home: Home, **asked: Unpack[LinesAsked]) -> Listing:
    """Lines whose money came back and has no disposition yet (`Engine.returned`)."""
    known, choice = times(home), _choice(home, asked)
    return listing(home, "returned", known.now, _returned(home, known), choice, "amount", "state")


def _choice(home: Home, asked: LinesAsked) -> Choice:
    sort, batch = asked.get("sort", "age"), asked.get("batch")
    if sort not in SORTS:
        raise UsageError(f"sort {sort!r} is none of {', '.join(SORTS)}")
    wanted: dict[str, Words] = {
        "reason": asked.get("reason"),
        "participant": asked.get("receiver"),
    }
    require_known("receiver", wanted["participant"], participants(home))
    if batch is not None:
        wanted["batch_id"] = batch_names(home)[batch_row(home, batch).seq]
    return Choice(wanted, {"days": asked.get("age")}, SORTS[sort], asked.get("limit"), ("number",))


# --- lines that wait ------------------------------------------------------------------------------


def _waiting(home: Home, known: Times) -> pa.Table:
    """All lines of the queue, oldest first."""
    columns = ["batch", "line_no", "benefit", "period", "amount"]
    found = queue_of(home)
    lines = (
        pa.table({n: pa.array([], pa.string() if n == "benefit" else pa.int64()) for n in columns})
        if found is None
        else read_table(home.proven(home.path / found[0]), columns)
    )
    reason, participant = _reasons(home, lines)
    since, tried = queue.since(home, known, lines)
    _, settings = setup.chosen(home)
    whole = {
        "batch_id": names_of(lines["batch"], batch_names(home)),
        "line_no": lines["line_no"].cast(pa.int64()),
        "benefit": lines["benefit"],
        "period": period_texts(lines["period"]),
        "amount": lines["amount"],
        "reason": reason,
        "participant": participant,
        "since": since,
        "days": days_since(known, since),
        "deadline": queue.deadlines(settings, lines["benefit"], since),
        "tried": tried,
        "why": _sentences(reason),
        "number": lines["batch"].cast(pa.int64()),
    }
    return pa.table(whole)


def _keys(lines: pa.Table) -> NDArray[np.int64]:
    """A number for each line: that of its batch, and its own."""
    batch, line = (np.asarray(lines[name]).astype(np.int64) for name in ("batch", "line_no"))
    keys: NDArray[np.int64] = batch << 32 | line
    return keys


def _reasons(home: Home, lines: pa.Table) -> tuple[pa.Array, pa.Array]:
    """Reason for which each line began to wait, and its receiver, if it had one: as its batch
    answered it, or a recast or abort that sent it back later."""
    parts = [ANSWER.empty_table()]
    for seq in pc.unique(lines["batch"]).to_pylist():
        path = segment_at(home.folder("batches", seq), "status")
        answers = Groups(home.proven(path))
        for group in range(len(answers)):
            some = answers.read(group, ["line_no", "status", "reason", "participant"])
            some = some.filter(pc.equal(some["status"], "PDNG"))
            batch = pa.array(np.full(len(some), seq, np.int64))
            parts.append(_answer(some.append_column("batch", batch), some["reason"]))
    for recast in recasts(home) if len(lines) else ():
        back = went_back(home, recast)
        code = GIVEN_UP.code if recast.aborted else RULES[Reason.COVER_MISSING].code
        parts.append(_answer(back, pa.array([code] * len(back), pa.string())))
    said = pa.concat_tables(parts).combine_chunks()
    keys, wanted = _keys(said), _keys(lines)
    order = np.argsort(keys, kind="stable")  # Of several answers to a line the last one counts.
    at = np.searchsorted(keys[order], wanted, side="right") - 1
    assert (keys[order][at] == wanted).all(), "a line waits of which no answer says why"
    chosen = said.take(pa.array(order[at]))
    return chosen["reason"], chosen["participant"]


ANSWER = pa.schema(
    [
        ("batch", pa.int64()),
        ("line_no", pa.int64()),
        ("reason", pa.string()),
        ("participant", pa.string()),
    ]
)


def _answer(lines: pa.Table, reason: pa.Array | pa.ChunkedArray) -> pa.Table:
    """Lines with a reason, as a table of ANSWER."""
    columns = (lines["batch"], lines["line_no"], reason, lines["participant"])
    return pa.table([c.cast(f.type) for c, f in zip(columns, ANSWER, strict=True)], schema=ANSWER)


def days_since(known: Times, since: pa.Array) -> pa.Array:
    """Days for which something waits, as the home knows the time; 0 for what lies behind it."""
    now = (day_of(known.now) - queue.EPOCH).days if known.now else 0
    return pc.max_element_wise(pc.subtract(pa.scalar(now, pa.int32()), since.cast(pa.int32())), 0)


def period_texts(periods: pa.ChunkedArray) -> pa.Array:
    texts = (f"{period // 100}-{period % 100:02d}" for period in periods.to_pylist())
    return pa.array(texts, pa.string())


def _sentences(reason: pa.Array) -> pa.Array:
    at = pc.index_in(reason, pa.array(SENTENCES, pa.string()))
    return pa.array(SENTENCES.values(), pa.string()).take(at)


# --- lines that came back -------------------------------------------------------------------------


def _returned(home: Home, known: Times) -> pa.Table:
    """Lines without a disposition, of those whose money is there and of those on their way."""
    parts = dispositions.returned(home, folders(home))
    lines = pa.concat_tables(parts).combine_chunks()
    there = len(parts[0])
    booked = lines["booked_at"].cast(pa.timestamp("us", tz="UTC"))
    since = pa.array((day_of(at.isoformat()) for at in booked.to_pylist()), pa.date32())
    whole = {
        "batch_id": names_of(lines["batch"], batch_names(home)),
        "line_no": lines["line_no"].cast(pa.int64()),
        "benefit": lines["benefit"],
        "period": period_texts(lines["period"]),
        "amount": lines["amount"],
        "state": pa.array([WAITS] * there + [COMING] * len(parts[1]), pa.string()),
        "reason": lines["reason"],
        "participant": lines["participant"],
        "transfer_id": lines["transfer_id"],
        "booked_at": booked,
        "since": since,
        "days": days_since(known, since),
        "number": lines["batch"].cast(pa.int64()),
    }
    return pa.table(whole)
