"""Days: the time of a home, as far as it was said, and why it neither runs back nor leaps.

A function of the audit chain, never of a clock. A value date and a cut-off say when money is due;
they do not say what day it is, and move no time by themselves.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable
from typing import NamedTuple

from switch.errors import UsageError
from switch.home.store import Home
from switch.home.times import day_of, latest

LEAP_DAYS = 92
"""A time that was said may lie so far behind all that was recorded before it, without a word."""
STEP_DAYS = 31
"""Where no time was ever said, value dates make it, each at most so far behind the one before."""
DEEDS = ("batch", "settlement", "answers", "disposition", "day")
"""Kinds of audit records whose times count."""


class Times(NamedTuple):
    """What a home knows of time."""

    now: str
    """The latest that was said, or what value dates come to; '' in a home that has no batch."""
    closed: str
    """That of the last day that was closed; '' where none was."""
    days: frozenset[datetime.date]
    """All days that were recorded."""


def times(home: Home) -> Times:
    marks = ", ".join("?" * len(DEEDS))
    due = {row["at"] for row in home.rows("SELECT value_date AS at FROM batches")}
    due |= {row["at"] for row in home.rows("SELECT closes AS at FROM cycles")}
    days: set[datetime.date] = set()
    dated, said, closed = [], "", ""
    query = (
        "SELECT at, kind, CASE WHEN kind IN ('answers', 'day') THEN json_extract(detail, '$.leap')"
        f" END AS leap FROM audit WHERE kind IN ({marks}) ORDER BY seq"
    )
    for row in home.rows(query, *DEEDS):
        at = row["at"]
        day = day_of(at)
        if row["kind"] != "day" and at in due:
            dated.append(at)
        elif leap(days, day) > LEAP_DAYS and not row["leap"]:
            # A slip that was recorded before anybody asked for the word.
            continue
        else:
            said = latest([said, at])
            closed = latest([closed, at]) if row["kind"] == "day" else closed
        days.add(day)
    return Times(said or _reached(dated), closed, frozenset(days))


def leap(days: Iterable[datetime.date], day: datetime.date) -> int:
    """Days from the last that was recorded up to a day; 0 where none was."""
    before = [known for known in days if known <= day]
    return (day - max(before)).days if before else 0


def _reached(dated: Iterable[str]) -> str:
    """The last of these times that is reached from the first in steps: one far away is not."""
    reached = ""
    for at in sorted(dated, key=day_of):
        if reached and (day_of(at) - day_of(reached)).days > STEP_DAYS:
            break
        reached = at
    return reached


def not_before(known: Times, at: str) -> str:
    """A time that nobody said, such as a value date, or that of the last closed day if it is later:
    nothing is added to a day that was signed."""
    if known.closed and day_of(at) < day_of(known.closed):
        return known.closed
    return at


def require_open(known: Times, at: str) -> str:
    """A time that was said does not lie before the last day that was closed. Raises UsageError."""
    if known.closed and day_of(at) < day_of(known.closed):
        raise UsageError(
            f"{day_of(at)} lies before {day_of(known.closed)}, the last day that was closed, and"
            f" days do not run back: give --at {day_of(known.closed)}, or a later day"
        )
    return at


def require_likely(known: Times, at: str) -> None:
    """A time by which lines and breaks age does not leap. Raises UsageError."""
    far = leap(known.days, day_of(at))
    if far > LEAP_DAYS:
        raise UsageError(
            f"{day_of(at)} lies {far:,} days after all that this home knows: correct --at, or say"
            " --leap where it is meant, for days do not run back"
        )
