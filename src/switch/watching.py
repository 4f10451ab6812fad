"""Watching: alarms of one open home, answers that are awaited, and numbers for a monitor."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NotRequired, Protocol, TypedDict, Unpack

import msgspec

from switch.arguments import checked
from switch.errors import UsageError
from switch.files.disk import land
from switch.finding import LIMIT, Found, find
from switch.home.store import Home
from switch.home.times import time_text
from switch.home.turns import Turns, acts, asks
from switch.open_items.awaited import awaited
from switch.open_items.cut_offs import cut_offs
from switch.open_items.listing import Listing, Words
from switch.open_items.positions import positions
from switch.open_items.records import records
from switch.results import Total
from switch.watch import alarms, metrics, notes
from switch.watch.alarms import AlarmsAsked
from switch.watch.conditions import Limits
from switch.watch.notes import AlarmSaid, AlarmsNoted
from switch.watch.poll import Change
from switch.watch.sight import Sight


class Told(TypedDict):
    """Totals of all that a listing could show; file: where its rows were written."""

    as_of: str
    count: int
    sum: int
    file: NotRequired[str]


class AlarmRow(TypedDict):
    """An alarm: what is wrong, since when, what people said of it, and the command that is next."""

    alarm: str
    rule: str
    subject: str
    severity: str
    level: str
    state: str
    since: str
    hours: int
    what: str
    lines: int
    value: int
    owner: str
    note: str
    noted_by: str
    noted_at: str
    until: str
    next: str


class AlarmsTold(Told):
    """Alarms that are there."""

    severities: dict[str, Total]
    states: dict[str, Total]
    rules: dict[str, Total]
    alarms: list[AlarmRow]


class AwaitedRow(TypedDict):
    """Lines that a receiver got with a cycle and has not answered."""

    participant: str
    short_name: str
    cycle: str
    settled_at: str
    deadline: str
    sent: int
    lines: int
    sum: int
    silent: bool
    overdue: bool
    days: int


class AwaitedTold(Told):
    """Answers that are awaited."""

    participants: dict[str, Total]
    awaited: list[AwaitedRow]


class PositionRow(TypedDict):
    """A settlement participant in a cycle."""

    cycle: str
    state: str
    participant: str
    short_name: str
    debit_sum: int
    credit_sum: int
    net: int
    cap: int | None
    room: int | None
    balance: int


class PositionsTold(Told):
    """Positions by cycle."""

    cycles: dict[str, Total]
    positions: list[PositionRow]


class RecordRow(TypedDict):
    """A record of the audit chain."""

    record: int
    at: str
    kind: str
    subject: str
    by: str
    why: str
    link: str


class RecordsTold(Told):
    """Records of the audit chain."""

    kinds: dict[str, Total]
    records: list[RecordRow]


class CutOffRow(TypedDict):
    """A day, or one of its cycles; a day off has none."""

    day: str
    weekday: str
    business_day: bool
    cycle: str | None
    closes: str | None
    state: str | None


class CutOffsTold(Told):
    """Days of the calendar."""

    cut_offs: list[CutOffRow]


class MetricsTold(TypedDict):
    """Numbers for a monitor: the text, and the file that has it."""

    metrics: str
    file: NotRequired[str]


class Watched(TypedDict):
    """Looks at a home; told: how many of them found changes that were taken; changes: these."""

    looks: int
    told: int
    changes: list[Change]


class StaffAdded(TypedDict):
    """Somebody who may come in where a home is served; token: told once, and kept nowhere."""

    file: str
    name: str
    roles: list[str]
    sources: list[str]
    token: str


DOCUMENTS: dict[str, dict[str, object]] = {
    "alarms": {"": AlarmsTold, "--by": AlarmsNoted},
    "awaited": {"": AwaitedTold},
    "audit": {"": RecordsTold},
    "calendar": {"": CutOffsTold},
    "find": {"": Found},
    "metrics": {"": MetricsTold},
    "positions": {"": PositionsTold},
    "staff": {"": StaffAdded},
    "watch": {"": Watched},
}
"""Documents of the commands that watch, by their forms."""


class Open(Protocol):
    """An engine, as watching knows it."""

    turns: Turns
    home: Home

    def look(self) -> None:
        """Take in what the last commit says of the home as a whole."""


@checked
class Watch:
    """One home, watched (`Engine.watch`). Nothing here reads a clock: without a time the home is
    looked at as of its own.

    engine: the open home, whose turns it takes. limits: bounds of the rules, or those that differ,
    by name. spool: the folder of its portal, where inboxes are looked at, too. name: of the home in
    the commands that are next; default: that of its folder.
    """

    def __init__(
        self,
        engine: Open,
        *,
        limits: Limits | Mapping[str, object] | None = None,
        spool: str | Path | None = None,
        name: str = "",
    ) -> None:
        self._engine = engine
        self.turns, self.home = engine.turns, engine.home
        self._limits, self._spool, self._name = bounds(limits), str(spool or ""), name
        self._seen: tuple[str, Sight] | None = None
        """Last link of the audit chain, and the home as it was seen then."""

    def __repr__(self) -> str:
        return f"<Watch of {self.home.path}>"

    def look(self) -> None:
        """Take in the home as the last commit left it."""
        self._engine.look()

    def within(
        self,
        limits: Limits | Mapping[str, object] | None = None,
        *,
        spool: str | Path | None = None,
        name: str = "",
    ) -> Watch:
        """The same with other bounds. limits: all of them, or those that differ, by name
        (`switch.watch.conditions.Limits`). spool: the folder of its portal. name: of the home in
        commands."""
        return Watch(self._engine, limits=limits, spool=spool, name=name)

    @asks
    def alarms(self, at: datetime.date | str = "", **asked: Unpack[AlarmsAsked]) -> Listing:
        """Alarms that are there, the worst first, each with its life and the command that is next.
        at: the time as of which they are judged (ISO 8601); default: that of the home. rule,
        severity, state, level, names: one word or several. limit: rows at most. Resolved ones are
        told where state asks for them. Many of a rule that nobody has seen stand as one, a storm,
        unless rule or names ask for them. Raises UsageError for a word that is not known here."""
        return alarms.alarms(
            self.home,
            limits=self._limits,
            spool=self._spool,
            sight=self._sight(time_text(at)),
            **asked,
        )

    @acts
    def note(self, /, names: Sequence[str], **said: Unpack[AlarmSaid]) -> AlarmsNoted:
        """Note something about alarms that are there, for good. names: of alarms. by: the name of
        whoever says so. note: the text. owner: the desk that looks after them. acknowledged:
        somebody has seen them, or they are to be seen again. until: the time until which they
        sleep, and the note says why. at: the time as of which they are judged, and that is
        recorded. Raises UsageError for an alarm that is not there."""
        return notes.note(self.home, names, self._limits, self._spool, **said)

    @asks
    def awaited(
        self, *, receiver: Words = None, limit: int | None = None, at: datetime.date | str = ""
    ) -> Listing:
        """Settled lines that were not answered, by receiver and cycle, the oldest first. receiver:
        codes of participants. limit: rows at most. at: as of `alarms`."""
        time = time_text(at)
        known = self._sight(time).receivers
        return awaited(self.home, receiver=receiver, limit=limit, at=time, known=known)

    @asks
    def positions(
        self,
        *,
        cycle: Words = None,
        participant: Words = None,
        state: Words = None,
        limit: int | None = None,
    ) -> Listing:
        """Positions: what settlement participants pay and receive in each cycle, with caps and
        room; the newest cycle first, in it who pays most. cycle: names; participant: codes; state:
        OPEN, CLOSED, SETTLED or ABORTED. limit: rows at most. Raises UsageError for a word that is
        not known here."""
        return positions(self.home, cycle=cycle, participant=participant, state=state, limit=limit)

    @asks
    def records(
        self,
        *,
        kind: Words = None,
        by: Words = None,
        since: datetime.date | str = "",
        until: datetime.date | str = "",
        limit: int | None = None,
    ) -> Listing:
        """The audit chain: what was committed, when, by whom, why, and its link; the newest first.
        kind, by: one word or several. since, until: days, both of them in it. limit: rows at most.
        Raises UsageError for a word that is not known here."""
        days = time_text(since), time_text(until)
        return records(self.home, kind=kind, by=by, since=days[0], until=days[1], limit=limit)

    @asks
    def cut_offs(self, at: datetime.date | str = "", *, days: int = 14) -> Listing:
        """Days from a time on, and the cycles that close on them, those that were opened and those
        that are yet to come. at: as of `alarms`. days: so many. Raises UsageError for a home
        without a calendar, InputRefused for a year of which it knows no holidays."""
        return cut_offs(self.home, at=time_text(at), days=days)

    @asks
    def find(self, text: str, *, limit: int = LIMIT, sources: Words = None) -> Found:
        """Lines and batches that fit a text: BATCH LINE, a transfer id, a citizen id or four of its
        digits or more, or a piece of the name of a batch. limit: lines at most; `more` says that
        there may be others. sources: agencies whose batches are looked through; default: all. Of
        an id no digit is told that was not asked for. Raises UsageError for a text by which nobody
        is found."""
        return find(self.home, text, limit=limit, sources=sources)

    @asks
    def metrics(self, at: datetime.date | str = "", *, out: str | Path | None = None) -> str:
        """Numbers for a monitor, in the text format of Prometheus (docs/watch.md lists them). at:
        as of `alarms`. out: a file that takes them, whole or not at all. Needs the extra [http].
        Raises EnvironmentFailed without it."""
        seen = self._sight(time_text(at))
        text = metrics.metrics(self.home, limits=self._limits, spool=self._spool, sight=seen)
        if out is not None:
            land(Path(out), text.encode())
        return text

    def _sight(self, at: str) -> Sight:
        """The home at a time. What was seen at the last commit is not looked up again."""
        link = self.home.catalog.heads().link
        if self._seen is not None and self._seen[0] == link:
            seen = self._seen[1].again(at)
        else:
            seen = Sight(self.home, at, self._name)
        self._seen = link, seen
        return seen


def bounds(limits: Limits | Mapping[str, object] | None) -> Limits:
    """Bounds of rules, as they are given: all of them, or those that differ, by name. Raises
    UsageError for a name or a value that is none."""
    if isinstance(limits, Limits):
        return limits
    try:
        found = msgspec.convert(dict(limits or {}), Limits)
    except msgspec.ValidationError as error:
        known = ", ".join(Limits.__struct_fields__)
        raise UsageError(f"limits of alarms: {error}; known are {known}") from error
    low = [name for name in Limits.__struct_fields__ if not getattr(found, name) > 0]
    if low:
        raise UsageError(f"limits of alarms: {low[0]} is not above zero")
    return found
