"""Days: the time of a home, as far as it was said, and why it neither runs back nor leaps.

A function of the audit chain, never of a clock. A value date and a cut-off say when money is due;
they do not say what day it is, and move no time by themselves. A time that leaps counts where the
word was said with it. Homes made before have such without it: what was recorded then stands as if
nobody had said a time, at its value date or cut-off.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from typing import NamedTuple

import msgspec

from switch.arguments import WHY_MAX
from switch.errors import InputRefused, UsageError, counted
from switch.home.rows import BatchRow, CycleRow
from switch.home.store import Home
from switch.home.times import day_of, is_before, latest, local_text, time_text

LEAP_DAYS = 92
"""So far behind all that was recorded before it a time may lie that was said, without a word; and
where none was ever said, each value date behind the one before."""
FAR_DAYS = 45
"""So far from the last of a home a day may lie without a warning: a payday is left out by then."""
DEEDS = ("batch", "settlement", "answers", "disposition", "day", "recall", "expiry")
"""Kinds of audit records whose times count."""


class Times(NamedTuple):
    """Times that a home knows."""

    now: str
    """The latest that was said, or what value dates come to; '' in a home that has no batch."""
    closed: str
    """That of the last day that was closed; '' where none was."""
    days: frozenset[datetime.date]
    """All days that were recorded and count."""
    slips: frozenset[int | str]
    """Batches, by number, and cycles that were recorded at a time that does not count."""
    beyond: str
    """The latest behind now that was recorded and does not count, as it leaps; '' where none."""
    said: str = ""
    """The latest that was said, of a closed day its day alone; '' where none was ever said."""

    def day_of_batch(self, batch: BatchRow) -> datetime.date:
        """A batch is of the day of its run."""
        day = day_of(batch.at)
        return min(day, day_of(batch.value_date)) if batch.seq in self.slips else day

    def day_of_cycle(self, cycle: CycleRow) -> datetime.date:
        """A settled cycle of the calendar is of the day of its settlement."""
        return day_of(cycle.closes if cycle.cycle in self.slips else cycle.at)


@dataclass(frozen=True)
class SaidTime:
    """A time as a caller says it, '' where none is said. leap: it is meant, far after all that is
    known as it may be; why: it is meant, though it lies before what was recorded."""

    at: str
    leap: bool = False
    why: str | None = None

    @classmethod
    def of(
        cls, at: datetime.date | str | None, leap: bool = False, why: str | None = None
    ) -> SaidTime:
        """Raises UsageError for a text that is no time."""
        return cls(time_text(at), leap, why)


def times(home: Home) -> Times:
    batches = {batch.seq: batch.value_date for batch in home.catalog.batches()}
    cycles = {cycle.cycle: cycle.closes for cycle in home.catalog.cycles()}
    due = {*batches.values(), *cycles.values()}
    days: set[datetime.date] = set()
    slips: set[int | str] = set()
    dated: list[str] = []
    slipped: list[str] = []
    said, closed, last = "", "", ""
    for seq, at, kind in home.catalog.audit.stamps(*DEEDS):
        day = day_of(at)
        deed = _Deed("", False, "")
        if not days or (day not in days and leap(days, day) > LEAP_DAYS):
            deed = _deed(home, seq, kind, batches, cycles)
            if not deed.word and _is_far(days, at, deed.due):
                slips |= {deed.name} if deed.name else set()
                slipped.append(at)
                if deed.due:
                    dated.append(min(at, deed.due, key=day_of))
                    days.add(day_of(dated[-1]))
                continue
        if kind != "day" and at in due and not deed.word:
            dated.append(at)
        else:
            said = latest([said, at])
            last = latest([last, str(day) if kind == "day" else at])
            closed = latest([closed, at]) if kind == "day" else closed
        days.add(day)
    now = said or _reached(dated)
    far = latest(slipped if said else [*slipped, *dated])
    beyond = far if far and day_of(far) > day_of(now) else ""
    return Times(now, closed, frozenset(days), frozenset(slips), beyond, last)


class _Deed(NamedTuple):
    """Fields of an audit record beside its time."""

    name: int | str
    """Number of its batch, or its cycle; '' where it has none."""
    word: bool
    """It was said that the time is meant, far away as it is."""
    due: str
    """The value date of its batch, or the cut-off of its cycle; '' where it has none."""


def _deed(
    home: Home, seq: int, kind: str, batches: dict[int, str], cycles: dict[str, str]
) -> _Deed:
    detail = msgspec.json.decode(home.catalog.audit.record(seq).detail)
    word = bool(detail.get("leap"))
    if kind == "batch":
        return _Deed(detail["seq"], word, batches.get(detail["seq"], ""))
    name = detail.get("cycle", "")
    return _Deed(name, word, cycles.get(name, "") if kind == "settlement" else "")


def leap(days: Iterable[datetime.date], day: datetime.date) -> int:
    """Days from the last that was recorded up to a day; 0 where none was."""
    before = [known for known in days if known <= day]
    return (day - max(before)).days if before else 0


def _reached(dated: Iterable[str]) -> str:
    """The last of these times that is reached from the first in steps: one far away is not."""
    reached = ""
    for at in sorted(dated, key=day_of):
        if reached and (day_of(at) - day_of(reached)).days > LEAP_DAYS:
            break
        reached = at
    return reached


def not_before(known: Times, at: str) -> str:
    """A time that nobody said, such as a value date, or that of the last closed day if it is later:
    nothing is added to a day that was signed."""
    if known.closed and day_of(at) < day_of(known.closed):
        return known.closed
    return at


def runs_back(known: Times, at: str, due: str = "") -> str:
    """A sentence of the closed day, or the latest time that was said, before which a time lies; ''
    where it lies before neither. A closed day stays open for more, at any hour of it; and what is
    recorded when it was due is as if nobody had said a time."""
    if known.closed and day_of(at) < day_of(known.closed):
        return f"{day_of(known.closed)}, the last day that was closed"
    if known.said and at != due and is_before(at, known.said):
        return f"{local_text(known.said)}, the latest time that was recorded"
    return ""


def require_forward(known: Times, at: str, why: str | None = None, due: str = "") -> bool:
    """A time that was said lies before nothing that was signed or recorded, unless somebody says
    why it is meant. Returns true where it does, and is. Raises InputRefused."""
    before = runs_back(known, at, due)
    if before and why is None:
        first = before.partition(",")[0]
        raise InputRefused(
            "DAYS_RUN_BACK",
            f"{at} lies before {before}, and days do not run back",
            remedy=f"give --at {first}, or a later time; where it is meant, say --correct WHY,"
            " which is recorded",
        )
    return bool(before)


def require_why(why: str | None, at: str) -> None:
    """A reason that is said for a time says something, and a time is said with it. Raises
    UsageError."""
    if why is None:
        return
    if not why.strip() or len(why) > WHY_MAX or not why.isprintable():
        raise UsageError(
            f"a time is corrected for a reason of 1 to {WHY_MAX} printable characters: --correct"
        )
    if not at:
        raise UsageError(
            "--correct says why a time lies before what was recorded: give that time, with --at"
        )


def leaps(known: Times, at: str, due: str = "") -> bool:
    """A time lies so far behind all that a home knows that the word is needed. due: the value date
    or cut-off of what it is for, which is all that is known in a home without any day."""
    return _is_far(known.days, at, due)


def _is_far(days: Collection[datetime.date], at: str, due: str) -> bool:
    return at != due and leap(days or _day(due), day_of(at)) > LEAP_DAYS


def _day(due: str) -> set[datetime.date]:
    return {day_of(due)} if due else set()


def word(known: Times, at: str, due: str = "", why: str | None = None) -> dict[str, bool | str]:
    """Fields of an audit record that say that a time is meant, which leaps or runs back."""
    leap: dict[str, bool | str] = {"leap": True} if leaps(known, at, due) else {}
    return leap | corrected(known, at, why, due)


def corrected(known: Times, at: str, why: str | None, due: str = "") -> dict[str, str]:
    """The field of an audit record that says why a time lies before what was recorded."""
    said = correction(known, at, why, due)
    return {"correct": said} if said else {}


def correction(known: Times, at: str, why: str | None, due: str = "") -> str:
    """The reason for which a time lies before what was recorded; '' where it does not."""
    return why if why and at and runs_back(known, at, due) else ""


def require_likely(known: Times, at: str, due: str = "") -> None:
    """A time by which lines and breaks age does not leap. Raises UsageError."""
    if leaps(known, at, due):
        far = leap(known.days or _day(due), day_of(at))
        raise UsageError(
            f"{day_of(at)} lies {far:,} days after all that this home knows: correct --at, or say"
            " --leap where it is meant, for days do not run back"
        )


def behind(known: Times) -> list[str]:
    """A warning to who says no time, where the home's stands before one that was recorded."""
    if not known.beyond:
        return []
    return [
        f"no --at was given, and the time of this home is {day_of(known.now)}:"
        f" {day_of(known.beyond)} was recorded, but lies more than {LEAP_DAYS} days after all that"
        " is known before it, and does not count; give --at where it is later"
    ]


def time_for(home: Home, said: str, due: str, leap: bool, why: str | None) -> str:
    """The time of a commit: what was said, else when it is due; not before what was signed or
    recorded, nor far after all that is known, without the word for it. Raises UsageError and
    InputRefused."""
    known = times(home)
    if not said:
        return not_before(known, due)
    leap |= require_forward(known, said, why, due)
    if not leap:
        require_likely(known, said, due)
    return said


def noted(
    home: Home, at: str, why: str | None, warn: Callable[[str], None]
) -> tuple[str, dict[str, str]]:
    """A time that is recorded alone, as nothing ages by it, and what its record says of it. Raises
    as `time_for`."""
    require_why(why, at)
    if not at:
        return "", {}
    known = times(home)
    require_forward(known, at, why)
    for text in unusual(known, at):
        warn(text)
    return at, corrected(known, at, why)


def unusual(known: Times, at: str, due: str = "") -> list[str]:
    """Warnings of days that lie far from the last of a home: a time, and the value date of what it
    is for. Neither is refused, as it may be meant."""
    last = known.now or at
    days = {day_of(text): name for text, name in ((at, "the time"), (due, "value date")) if text}
    return [
        f"{name} {day} lies {counted(abs((day - day_of(last)).days), 'day')}"
        f" {'after' if day > day_of(last) else 'before'} {day_of(last)}, the last day of this home:"
        " make sure that it is meant"
        for day, name in days.items()
        if last and abs((day - day_of(last)).days) > FAR_DAYS
    ]
