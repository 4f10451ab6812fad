"""Notes about alarms: somebody has seen one, looks after it, lets it sleep for a time.

A note is a commit of its own kind without files. It moves nothing and mends nothing.
"""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from typing import Required, TypedDict, Unpack

import msgspec

from switch.arguments import require_note
from switch.errors import UsageError
from switch.home.days import runs_back, times
from switch.home.history import ALARM, AlarmNote, alarm_notes, said_before, time_of
from switch.home.store import Home
from switch.home.times import is_before, time_text
from switch.watch.alarms import Mark, alarms
from switch.watch.conditions import Limits


class AlarmSaid(TypedDict, total=False):
    """All that a note about alarms may say (`Watch.note`)."""

    by: Required[str]
    """The name of whoever says so."""
    note: str
    """The text."""
    owner: str
    """The desk that looks after them from now on."""
    acknowledged: bool | None
    """Somebody has seen them, or they are to be seen again."""
    until: datetime.datetime | str
    """The time until which they sleep; a note says why."""
    at: datetime.date | str | None
    """The time as of which they are looked at, and that is recorded."""


class AlarmsNoted(TypedDict):
    """A note about alarms as it is recorded; new: false where it was before."""

    at: str
    alarms: list[str]
    by: str
    note: str
    owner: str
    acknowledged: bool | None
    until: str
    new: bool


def note(
    home: Home,
    names: Sequence[str],
    limits: Limits | None = None,
    spool: str = "",
    **said: Unpack[AlarmSaid],
) -> AlarmsNoted:
    """Note something about alarms that are there (`Watch.note`)."""
    at = time_text(said.get("at"))
    words = AlarmNote(
        alarms=[],
        by=said.get("by", ""),
        note=said.get("note", ""),
        owner=said.get("owner", ""),
        acknowledged=said.get("acknowledged"),
        until=time_text(said.get("until")),
    )
    known = times(home)
    # It moves no time by itself, and is never before what was recorded.
    time = time_of(home, None if at and runs_back(known, at) else at, known, far=True)
    _require_words(words, time)
    if not names:
        raise UsageError("name the alarms that the note is about")
    found = alarms(home, at, limits=limits, spool=spool, names=list(names)).rows()
    marks = sorted(Mark(str(row["alarm"]), str(row["since"]), str(row["level"])) for row in found)
    gone = sorted(set(names) - {mark.name for mark in marks})
    if gone:
        raise UsageError(f"alarm {gone[0]!r} is resolved: nothing is to be said of it")
    taken: AlarmsNoted = {
        "at": "",
        "alarms": [mark.name for mark in marks],
        "by": words.by,
        "note": words.note,
        "owner": words.owner,
        "acknowledged": words.acknowledged,
        "until": words.until,
        "new": True,
    }
    before = (
        ([Mark(*one) for one in said.alarms], msgspec.structs.replace(said, alarms=[]), record.at)
        for record, said in alarm_notes(home)
    )
    if stored := said_before(marks, words, before):
        return {**taken, "at": stored, "new": False}
    detail = msgspec.structs.replace(words, alarms=[tuple(mark) for mark in marks])
    home.commit(at=time, kind=ALARM, detail=detail, changes=[])
    return {**taken, "at": time}


def _require_words(words: AlarmNote, at: str) -> None:
    """Refuse words that say nothing. at: the time that is recorded with them."""
    require_note(words.by, words.owner, words.note)
    if words.until and words.acknowledged is not None:
        raise UsageError("an alarm sleeps, or is acknowledged: say one of them")
    if words.until and not words.note:
        raise UsageError("an alarm sleeps for a reason: give a note")
    if words.until and not is_before(at, words.until):
        raise UsageError(f"until {words.until} is over: give a time after {at}")
    if words.acknowledged is None and not (words.note or words.owner or words.until):
        raise UsageError("nothing is noted: acknowledge, let it sleep, give a note, or an owner")
