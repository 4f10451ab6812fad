"""Slots proven: the cycle that payments of fees enter, and the rooms that their records must tell.

A record is judged by what those before it say: cycles that were opened and had not ended, the
cut-offs in force, and who may not owe without limit. Which days are off, the packaged ones among
them, is taken from the cycles that are there: a working day that has one skips none of its
cut-offs, and no more than FREE_DAYS_MAX weekdays in a row have none.
"""

from __future__ import annotations

import datetime
from typing import Any

import msgspec

from switch.home.chain import Record
from switch.home.store import Home
from switch.home.times import day_of, micros_of
from switch.settlement.accounts import LIQUIDITY, owner_of

FREE_DAYS_MAX = 20
"""Weekdays in a row that are off at most; the holidays of the settings do not count."""
SATURDAY = 5
Row = dict[str, Any]


class Slots:
    """Cycles of a home's calendar, and bound accounts, as far as records were looked at."""

    def __init__(self, home: Home) -> None:
        self.closes = {row.cycle: row.closes for row in home.catalog.cycles()}
        """Cut-offs of all cycles that were ever opened; compared elsewhere with who opened them."""
        self.opened: set[str] = set()
        self.ended: set[str] = set()
        """Cycles that take nothing more."""
        opening = msgspec.json.decode(home.catalog.meta("opening"))
        self.bound = set(map(owner_of, opening))
        """Participants that may not owe more than they hold."""

    def see(self, record: Record, detail: Row) -> None:
        """Take in a record."""
        cycle = detail.get("cycle", "")
        if cycle in self.closes:
            self.opened.add(cycle)
        if record.kind in ("cycle", "settlement"):
            self.ended.add(cycle)
        if record.kind == "liquidity":
            self.bound.update(detail.get("bound", ()))
            for step, debit, credit, _ in detail["postings"]:
                if step == LIQUIDITY:
                    self.bound.update(map(owner_of, (debit, credit)))

    def rooms_fault(self, people: dict[str, Row], detail: Row) -> str:
        """The room of everybody is told who has a cap or a bound account, and of nobody else."""
        limited = {
            code
            for code, row in people.items()
            if row["settled_by"] == code
            and (row.get("net_debit_cap") is not None or code in self.bound)
        }
        return "" if set(detail.get("rooms", ())) == limited else "rooms are missing, or too many"

    def fault(self, at: str, detail: Row, settings: Row) -> str:
        """Payments entered the first cycle of the calendar that took what came at their time."""
        cycle, closes = detail["cycle"], detail["closes"]
        if cycle not in self.closes or cycle in self.ended:
            return "the cycle took nothing more"
        if closes != self.closes[cycle]:
            return "it closes at another time"
        moment, last = micros_of(at), micros_of(closes)
        if last < moment:
            return "its cut-off had passed"
        days = {_day(name) for name in self.opened | {cycle}}
        for day in sorted(days):
            if any(moment <= micros_of(t) < last for t in self._open_on(day, settings)):
                return "an earlier cycle took what came"
        gap = _weekdays(day_of(at), _day(cycle), settings.get("holidays") or ())
        return "" if gap <= FREE_DAYS_MAX else "it lies too far ahead"

    def _open_on(self, day: datetime.date, settings: Row) -> list[str]:
        """Cut-offs of a working day at which something could be taken."""
        if day.weekday() >= SATURDAY or str(day) in (settings.get("holidays") or ()):
            return []
        mine = {name: self.closes[name] for name in self.opened if _day(name) == day}
        fresh = [f"{day}T{text}:00+07:00" for text in settings.get("cutoffs") or ()]
        known = set(map(micros_of, mine.values()))
        return [
            *(time for name, time in mine.items() if name not in self.ended),
            *(time for time in fresh if micros_of(time) not in known),
        ]


def _day(cycle: str) -> datetime.date:
    return datetime.datetime.strptime(cycle[:8], "%Y%m%d").date()


def _weekdays(first: datetime.date, end: datetime.date, holidays: Any) -> int:
    """Weekdays before a day, from the first on, but for holidays of the settings."""
    days = (first + datetime.timedelta(n) for n in range(max((end - first).days, 0)))
    return sum(day.weekday() < SATURDAY and str(day) not in holidays for day in days)
