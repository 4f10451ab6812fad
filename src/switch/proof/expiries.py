"""Expiries proven: each took out of the queue all that had waited beyond its deadline, and nothing
else.

How long each line may wait is read from the settings that the audit chain had then, and since when
it waits is counted again from batches and recasts.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from switch.files.segment import read_table
from switch.home.history import Expiry
from switch.home.store import Home
from switch.home.times import day_of
from switch.outcomes import Check
from switch.proof import line_sums
from switch.proof.budgets import Funded
from switch.proof.chains import compare
from switch.reason import EXPIRED

LINE = ["batch", "line_no"]
TOLD = ["batch", "line_no", "source", "batch_id", "benefit", "period", "amount"]
Line = tuple[int, int]
Days = Mapping[int, tuple[str, str]]


def checks(
    home: Home,
    one: Expiry,
    before: str,
    funded: Funded,
    days: Days,
    back: Mapping[Line, datetime.date],
) -> Iterator[Check]:
    """All that is proven of one commit. before: the folder that had the queue until then; funded:
    lines that waited then, by what they reserved; days: of batches, recorded
    and as they count; back: days on which lines were
    sent back to wait, of each the last before this commit."""
    subject = f"expiry {one.number}"
    lines = read_table(home.path / one.folder / "lines.parquet")
    sums = [len(lines), sum(lines["amount"].to_pylist())]
    yield compare("expired lines", subject, sums, [one.lines, one.amount])
    yield Check("expired lines", subject, "" if sums[0] else "no line expired by it")
    yield Check("expired lines", subject, funded.leave(lines, "expired"))
    due = _due(home, one, line_sums.queue(home, before), days, back)
    told = list(line_sums.tuples(lines, [*TOLD, "since", "deadline", "reason"]))
    fault = "" if told == due else "they are not those that were beyond their deadline"
    yield Check("expired lines", subject, fault)
    yield Check("held lines", subject, line_sums.queue_fault(home, before, one.folder, lines))


def _due(
    home: Home,
    one: Expiry,
    queue: Any,
    days: Days,
    back: Mapping[Line, datetime.date],
) -> list[tuple[Any, ...]]:
    """Lines of a queue that were beyond their deadline, as they must be told."""
    settings: dict[str, Any] = {}
    for record in home.catalog.audit.records("init", "directory"):
        if record.seq < one.seq:
            settings = msgspec.json.decode(msgspec.json.decode(record.detail)["settings"])
    of, rest = settings.get("held_days_of", {}), settings.get("held_days", 0)
    today, found = day_of(one.at), []
    for seq, line_no, benefit, period, amount in line_sums.tuples(
        queue, [*LINE, "benefit", "period", "amount"]
    ):
        since = back.get((seq, line_no)) or datetime.date.fromisoformat(days[seq][1])
        most = of.get(benefit, rest)
        last = since + datetime.timedelta(days=most)
        if most and today > last:
            batch = home.catalog.batch(seq)
            name = (seq, line_no, batch.source, batch.batch_id, benefit, period, amount)
            found.append((*name, since, last, EXPIRED.code))
    return found
