"""Records: the audit chain as people read it: what was committed, when, by whom, why, its link."""

from __future__ import annotations

from typing import Any

import msgspec
import pyarrow as pa

from switch.home.chain import Record
from switch.home.store import Home
from switch.home.times import day_of
from switch.open_items.listing import Choice, Listing, Words, listing, require_known

RECORD = pa.schema(
    [
        ("record", pa.int64()),
        ("at", pa.string()),
        ("kind", pa.string()),
        ("subject", pa.string()),
        ("by", pa.string()),
        ("why", pa.string()),
        ("link", pa.string()),
    ]
)
"""A record of the audit chain. subject: the batch, cycle, participant, day or step that it is
about; by, why: who said so, and the reason, where it has them; link: its digest, which follows from
that of the record before it."""
_SUBJECTS = ("batch_id", "cycle", "participant", "date", "payment_id", "seq")
"""Fields that say what a record is about, the first that is there; none names a person."""


def records(
    home: Home,
    *,
    kind: Words = None,
    by: Words = None,
    since: str = "",
    until: str = "",
    limit: int | None = None,
) -> Listing:
    """Records of the audit chain, the newest first (`Watch.records`). since, until: days, both of
    them in it."""
    found = [_row(record) for record in home.catalog.audit.records()]
    require_known("kind", kind, {row["kind"] for row in found})
    require_known("by", by, {row["by"] for row in found})
    if since:
        found = [row for row in found if row["at"] and day_of(row["at"]) >= day_of(since)]
    if until:
        found = [row for row in found if row["at"] and day_of(row["at"]) <= day_of(until)]
    choice = Choice({"kind": kind, "by": by}, {}, [("record", "descending")], limit)
    as_of = next((row["at"] for row in reversed(found) if row["at"]), "")
    table = pa.Table.from_pylist(found, RECORD)
    return listing(home, "records", as_of, table, choice, "", "kind")


def _row(record: Record) -> dict[str, Any]:
    said = msgspec.json.decode(record.detail)
    parts = [said, *(said[name] for name in ("said", "table") if isinstance(said.get(name), dict))]

    def first(*names: str) -> str:
        values = (part.get(name) for part in parts for name in names)
        return next((str(value) for value in values if value not in (None, "")), "")

    step = f" {said['step']}" if "step" in said else ""
    return {
        "record": record.seq,
        "at": record.at,
        "kind": record.kind,
        "subject": first(*_SUBJECTS) + step,
        "by": first("by"),
        "why": first("why", "note", "correct"),
        "link": record.link,
    }
