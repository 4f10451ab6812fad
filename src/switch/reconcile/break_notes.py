"""Notes about breaks: who looks after one, what was found out, and that it is taken as it is.

A note is a commit of its own kind without files. It moves nothing, and closes no break: one that is
accepted stays open, and its acceptance ends where its class or value changes.
"""

from __future__ import annotations

import datetime
from collections.abc import Collection, Sequence
from typing import Required, TypedDict, Unpack

import msgspec

from switch.arguments import require_note
from switch.errors import UsageError
from switch.home.days import times
from switch.home.history import (
    BREAK_ID_CHARACTERS,
    NOTE,
    Note,
    break_id,
    folders,
    notes,
    open_breaks,
    said_before,
    time_of,
)
from switch.home.store import Home
from switch.home.times import time_text
from switch.results import NoteTaken

ID_MIN = 6
Mark = tuple[str, str, int]
"""A break as it was open: its id, class and value."""


class NoteSaid(TypedDict, total=False):
    """All that a note may say (`Engine.note_breaks`)."""

    by: Required[str]
    """The name of whoever says so."""
    note: str
    """The text."""
    owner: str
    """The desk that looks after the breaks from now on."""
    accepted: bool | None
    """They are taken as they are, or no more; a note says why."""
    at: datetime.date | str | None
    """Time that is recorded."""


def noted(home: Home, breaks: Sequence[str], **said: Unpack[NoteSaid]) -> NoteTaken:
    """Note something about open breaks (`Engine.note_breaks`)."""
    note = Note(
        breaks=[],
        by=said.get("by", ""),
        note=said.get("note", ""),
        owner=said.get("owner", ""),
        accepted=said.get("accepted"),
    )
    return take(home, breaks, note, at=time_text(said.get("at")) or None)


def take(home: Home, breaks: Sequence[str], note: Note, *, at: str | None = None) -> NoteTaken:
    """Note something about open breaks. breaks: ids, or the first characters of one. note: all but
    its breaks. Raises UsageError for a break that is not open, and for words that are none."""
    _require_words(note)
    found = open_breaks(home, folders(home))
    rows = zip(*(found[name].to_pylist() for name in ("key", "class", "value")), strict=True)
    there = {break_id(key): (name, value) for key, name, value in rows}
    chosen = sorted({whole(text, there) for text in breaks})
    if not chosen:
        raise UsageError("name the breaks that the note is about")
    marks = [(name, *there[name]) for name in chosen]
    taken: NoteTaken = {
        "at": "",
        "breaks": chosen,
        "by": note.by,
        "note": note.note,
        "owner": note.owner,
        "accepted": note.accepted,
        "new": True,
    }
    before = (
        (said.breaks, msgspec.structs.replace(said, breaks=[]), r.at) for r, said in notes(home)
    )
    if stored := said_before(marks, note, before):
        return {**taken, "at": stored, "new": False}
    time = time_of(home, at, times(home), far=True)  # It moves nothing, and no time by itself.
    detail = msgspec.structs.replace(note, breaks=marks)
    home.commit(at=time, kind=NOTE, detail=detail, changes=[])
    return {**taken, "at": time}


def _require_words(note: Note) -> None:
    require_note(note.by, note.owner, note.note)
    if note.accepted is not None and not note.note:
        raise UsageError("a break is accepted, or no more, for a reason: give a note")
    if not (note.note or note.owner):
        raise UsageError("nothing is noted: give a note, or an owner")


def whole(text: str, there: Collection[str]) -> str:
    """The id of an open break that begins so."""
    found = [name for name in there if name.startswith(text)]
    if len(text) < ID_MIN or not found:
        raise UsageError(
            f"no open break {text!r}: ids have {BREAK_ID_CHARACTERS} characters, of which {ID_MIN}"
            " may do; `switch breaks HOME` lists them"
        )
    if len(found) > 1:
        raise UsageError(f"{len(found)} open breaks begin with {text!r}: give more of the id")
    return found[0]
