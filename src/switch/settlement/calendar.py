"""Calendar: business days, their cut-offs, and the cycle in which a line is cleared.

A function of the time that is given, the calendar and what was closed before, never of a clock: the
same tables in the same order come to the same cycles. Times of day are those of Vietnam. What a
cut-off may be is said in `registry/settings`.
"""

from __future__ import annotations

import datetime
import itertools
from collections.abc import Collection, Iterable
from typing import NamedTuple

import msgspec

from switch.errors import InputRefused, UsageError
from switch.home.times import LOCAL, _local
from switch.registry.directory import packaged_rows
from switch.registry.settings import Settings

SATURDAY = 5


class Slot(NamedTuple):
    """One cycle of a calendar."""

    cycle: str
    """Business day and number of its cut-off: 20261125-1."""
    closes: str
    """Its cut-off: local time, ISO 8601."""


class Calendar:
    """Business days and cut-offs as a home's settings have them."""

    def __init__(self, settings: Settings) -> None:
        assert settings.cutoffs is not msgspec.UNSET
        self.cutoffs = [datetime.time.fromisoformat(text) for text in settings.cutoffs]
        self.holidays, self.working_days = set(settings.holidays or ()), set()
        if settings.holidays_only is not True:
            self.working_days = _packaged("working_days_vn.csv") - self.holidays
            self.holidays |= _packaged("holidays_vn.csv")
        self.working_days |= set(settings.working_days or ())
        self._years = {day.year for day in self.holidays}

    def is_business_day(self, day: datetime.date) -> bool:
        """Raises InputRefused for a year of which the calendar knows no holidays."""
        if day.year not in self._years:
            known = ", ".join(map(str, sorted(self._years))) or "none"
            what = f"the calendar has no holidays of {day.year} (it has those of {known})"
            remedy = "give `holidays` of that year with `switch directory HOME --config FILE`"
            raise InputRefused("CALENDAR_RANGE", what, remedy=remedy)
        return day in self.working_days or (day.weekday() < SATURDAY and day not in self.holidays)

    def slots(self, day: datetime.date, opened: Iterable[Slot] = ()) -> list[Slot]:
        """Cycles of a day in order of their cut-offs; a day off has none.

        opened: cycles that are there. Name and cut-off of these stay, whatever the settings say
        since; a cut-off that is new on a day that has some takes its own number, or, where another
        one has that, the next that is free.
        """
        if not self.is_business_day(day):
            return []
        head = f"{day:%Y%m%d}-"
        found = {slot.cycle: slot.closes for slot in opened if slot.cycle.startswith(head)}
        there, spare = set(found.values()), len(self.cutoffs)
        for number, cutoff in enumerate(self.cutoffs, start=1):
            closes = datetime.datetime.combine(day, cutoff, LOCAL).isoformat()
            if closes in there:
                continue
            name = f"{head}{number}"
            while name in found:
                spare += 1
                name = f"{head}{spare}"
            found[name] = closes
        return sorted(itertools.starmap(Slot, found.items()), key=lambda s: (s.closes, s.cycle))

    def slot_of(
        self,
        at: str,
        value_date: datetime.date,
        closed: Collection[str],
        opened: Collection[Slot] = (),
    ) -> Slot:
        """The first cycle that takes what comes at a time: on the value date or after it, not past
        its cut-off, and not closed before."""
        begins = datetime.datetime.combine(value_date, datetime.time.min, LOCAL)
        moment = max(_local(at), begins)
        day = moment.date()
        while True:
            for slot in self.slots(day, opened):
                if moment <= _local(slot.closes) and slot.cycle not in closed:
                    return slot
            day += datetime.timedelta(days=1)

    def slot_named(self, cycle: str, opened: Collection[Slot] = ()) -> Slot:
        """The cycle of a name. Raises UsageError where the calendar has none."""
        try:
            day = datetime.datetime.strptime(cycle.partition("-")[0], "%Y%m%d").date()
        except ValueError:
            slots = []
        else:
            slots = self.slots(day, opened)
        for slot in slots:
            if slot.cycle == cycle:
                return slot
        raise UsageError(f"the calendar has no cycle {cycle!r}: it is such as 20261125-1")


def _packaged(name: str) -> set[datetime.date]:
    return {datetime.date.fromisoformat(row["date"]) for row in packaged_rows(name)}
