"""Expire: lines that waited beyond their deadline leave the queue for good.

Columns IN: the queue of lines that wait, and the settings held_days and held_days_of. OUT: a draft
for one commit: the lines that expired (EXPIRED_LINES, which names nobody and is copied to HOME/out
for who sent them), and the whole queue without them (docs/formats.md). As of lines that are
cancelled, nothing was set aside for them at the State Bank and their entitlements were never taken:
their part of the budget is free by it.
"""

from __future__ import annotations

import datetime
from typing import NotRequired, TypedDict

import pyarrow as pa
import pyarrow.compute as pc

from switch.errors import UsageError
from switch.files.file_schemas import EXPIRED_LINES
from switch.files.segment import read_table, write_table
from switch.home import days
from switch.home.days import SaidTime, Times, times
from switch.home.history import EXPIRY, Expiry, expiries, queue_of, time_of
from switch.home.store import EXPIRED, ROOM_SPARE, Home
from switch.home.times import day_of
from switch.reason import EXPIRED as RULE
from switch.registry.settings import Settings
from switch.results import Total
from switch.settlement.queue import deadlines, since, waiting, write_queue


class CashAsked(TypedDict):
    """Cash lines that nobody proved in time, and that are asked back by a recall."""

    number: int
    """Number of the recall."""
    count: int
    sum: int


class LinesExpired(TypedDict):
    """Lines that waited beyond their deadline and left the queue."""

    number: int | None
    """Number of the commit; None where no line was beyond its deadline, and nothing is recorded."""
    at: str
    count: int
    sum: int
    programmes: dict[str, Total]
    """The same by benefit."""
    file: str | None
    """Place of the list of the lines below the out folder; None where there are none."""
    cash: NotRequired[CashAsked]
    """Cash lines that are asked back, where there are any."""
    warnings: NotRequired[list[str]]


def expire(home: Home, settings: Settings, when: SaidTime) -> LinesExpired:
    """Let lines that waited beyond their deadline at a time leave the queue (`Engine.expire`).
    Returns the answer; the stored one where this was done at that time."""
    if not settings.has_deadlines:
        raise UsageError(
            "this home has no deadlines: lines wait for ever; give held_days, held_days_of or"
            " cash_days with `switch directory --config`"
        )
    known = times(home)
    warnings = days.unusual(known, when.at)
    time = time_of(home, when.at, known, far=when.leap, why=when.why)
    lines = overdue(home, settings, known, day_of(time))
    done = next((one for one in reversed(expiries(home)) if one.at == time), None)
    if len(lines):
        done = _commit(home, known, when, time, lines)
    answer = _answer(home, time, done)
    return {**answer, "warnings": warnings} if warnings else answer


def overdue(home: Home, settings: Settings, known: Times, day: datetime.date) -> pa.Table:
    """Lines that wait and whose deadline lies before a day, oldest first: a table of
    EXPIRED_LINES."""
    lines = waiting(home)
    began, _ = since(home, known, lines)
    deadline = deadlines(settings, lines["benefit"], began)
    past = pc.less(deadline, pa.scalar(day, pa.date32())).fill_null(False)
    mine = lines.filter(past)
    named = {row.seq: row for row in home.catalog.batches()}
    rows = [named[seq] for seq in mine["batch"].to_pylist()]
    more = {
        "source": pa.array([row.source for row in rows], pa.string()),
        "batch_id": pa.array([row.batch_id for row in rows], pa.string()),
        "since": began.filter(past),
        "deadline": deadline.filter(past),
        "reason": pa.array([RULE.code] * len(rows), pa.string()),
    }
    for name, column in more.items():
        mine = mine.append_column(name, column)
    return mine.cast(EXPIRED_LINES)


def _commit(home: Home, known: Times, when: SaidTime, time: str, lines: pa.Table) -> Expiry:
    """One commit by which lines leave the queue."""
    sum_: int = sum(lines["amount"].to_pylist())
    number, after = len(expiries(home)) + 1, home.catalog.next_batch() - 1
    done = Expiry(number, after, time, len(lines), sum_, home.catalog.heads().seq + 1)
    path, _ = queue_of(home) or ("", "")
    home.require_room(2 * (home.path / path).stat().st_size + lines.nbytes + ROOM_SPARE)
    with home.draft(EXPIRED) as draft:
        write_table(draft / "lines.parquet", lines)
        write_queue(home.proven(home.path / path), draft / "held.parquet", lines)
        sums = {"count": len(lines), "sum": str(sum_)}
        home.commit(
            at=time,
            kind=EXPIRY,
            detail={"after": after, **sums, **days.word(known, time, why=when.why)},
            changes=[],
            draft=draft,
            folder=home.path / done.folder,
        )
    return done


def _answer(home: Home, time: str, done: Expiry | None) -> LinesExpired:
    if done is None:
        return {
            "number": None,
            "at": time,
            "count": 0,
            "sum": 0,
            "programmes": {},
            "file": None,
        }
    lines = read_table(home.path / done.folder / "lines.parquet")
    programmes: dict[str, Total] = {}
    for benefit in sorted(pc.unique(lines["benefit"]).to_pylist()):
        mine = lines["amount"].filter(pc.equal(lines["benefit"], benefit)).to_pylist()
        programmes[benefit] = {"count": len(mine), "sum": sum(mine)}
    return {
        "number": done.number,
        "at": done.at,
        "count": done.lines,
        "sum": done.amount,
        "programmes": programmes,
        "file": f"{done.folder}.parquet",
    }
