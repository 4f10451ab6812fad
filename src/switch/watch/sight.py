"""Sight: all that rules of alarms look at, gathered once for a home and a time."""

from __future__ import annotations

import datetime
import functools
import shutil
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from switch.control.portal import Kept, kept
from switch.control.take import Book
from switch.doctor import Finding, looked_at
from switch.home import days
from switch.home.store import Home
from switch.home.times import LOCAL, local_text
from switch.open_items.awaited import Receivers, awaited
from switch.open_items.breaks import breaks
from switch.open_items.cycles import cycles
from switch.open_items.dossiers import dossiers
from switch.open_items.held import held, returned
from switch.outlook import Deadlines, HomeStatus, OpenCash, deadlines, home_status, open_cash
from switch.present import Present
from switch.settlement import setup
from switch.settlement.standing import Standing

COMMITTED = frozenset(
    {
        *("status", "present", "receivers", "breaks", "cycles", "held", "returned", "dossiers"),
        *("deliveries", "owed"),
    }
)
"""Parts of a sight that follow from what is committed, at whatever time."""


class Owed(NamedTuple):
    """Money that a participant is to pay in a cycle that has not settled."""

    participant: str
    cycle: str
    owes: int
    room: int
    """Money that it may owe there besides, by its cap and its funds; below zero: too much."""


class Sight:
    """A home as rules see it. Rows are dicts, as listings give them."""

    def __init__(self, home: Home, at: str = "", name: str = "") -> None:
        """at: the time as of which it is looked at; default: that of the home. name: of the home in
        commands; default: that of its folder."""
        self.home, self.name = home, name or home.path.name
        self.times = days.times(home)
        self.now = local_text(at or self.times.now) if at or self.times.now else ""

    def again(self, at: str) -> Sight:
        """The same home at another time, where nothing was committed since: lines are not read
        again, and the machine is looked at anew."""
        twin = Sight(self.home, at, self.name)
        vars(twin).update({name: found for name, found in vars(self).items() if name in COMMITTED})
        return twin

    @functools.cached_property
    def moment(self) -> datetime.datetime:
        """The time as a datetime of Vietnam; a day counts from its midnight."""
        return moment_of(self.now)

    @functools.cached_property
    def status(self) -> HomeStatus:
        return home_status(self.home, self.name, self.present)

    @functools.cached_property
    def present(self) -> Present:
        return Present(self.home)

    @functools.cached_property
    def receivers(self) -> Receivers:
        return Receivers(self.present)

    @functools.cached_property
    def awaited(self) -> list[dict[str, Any]]:
        return awaited(self.home, at=self.now, known=self.receivers).rows()

    @functools.cached_property
    def breaks(self) -> list[dict[str, Any]]:
        return breaks(self.home, accepted=False).rows()

    @functools.cached_property
    def cycles(self) -> list[dict[str, Any]]:
        return cycles(self.home).rows()

    @functools.cached_property
    def held(self) -> pa.Table:
        return held(self.home).table

    @functools.cached_property
    def returned(self) -> pa.Table:
        return returned(self.home).table

    @functools.cached_property
    def deadlines(self) -> Deadlines | None:
        """Lines that wait and are near their deadline, or beyond it, at the time that is meant."""
        return deadlines(self.home, self.times, self.moment.date())

    @functools.cached_property
    def cash(self) -> OpenCash | None:
        """Lines that pay points are to pay, at the time that is meant."""
        return open_cash(self.home, self.moment.date())

    def older(self, lines: pa.Table, days: int) -> pa.Array:
        """Lines that wait for so many days at the time that is meant."""
        first = self.moment.date() - datetime.timedelta(days=days)
        return pc.less_equal(lines["since"], pa.scalar(first, pa.date32()))

    @functools.cached_property
    def dossiers(self) -> list[dict[str, Any]]:
        return dossiers(self.home).rows() if Book(self.home).dossiers else []

    @functools.cached_property
    def deliveries(self) -> list[tuple[str, Kept]]:
        return kept(self.home)

    @functools.cached_property
    def examined(self) -> list[Finding]:
        """Findings of the doctor about the home."""
        return list(looked_at(self.home))

    @property
    def free_bytes(self) -> int:
        """Room on the disk of the home."""
        return shutil.disk_usage(self.home.path).free

    @functools.cached_property
    def owed(self) -> list[Owed]:
        """Participants whose money of a cycle has a limit, by cycle."""
        directory, _ = setup.chosen(self.home)
        standing = Standing(self.home, directory)
        return [
            Owed(code, cycle, -net, rooms[code])
            for cycle in sorted(standing.nets)
            for rooms in [standing.rooms(cycle)]
            for code, net in standing.nets_of(cycle).items()
            if net < 0 and code in rooms
        ]


def moment_of(at: str) -> datetime.datetime:
    """A time as a datetime of Vietnam; a day counts from its midnight."""
    given = datetime.datetime.fromisoformat(at)
    return given.replace(tzinfo=LOCAL) if given.tzinfo is None else given.astimezone(LOCAL)


def hours_since(then: str, now: datetime.datetime) -> float:
    """Hours from one time to another; of a day from its end, so that nothing is late too soon."""
    start = moment_of(then)
    if len(then) == len("2026-11-25"):
        start += datetime.timedelta(days=1)
    return (now - start).total_seconds() / 3600
