"""Deeds: what people may do from a page: each is one call of the library, with the command that
does the same. By whom it is follows from who came in, never from a form."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from switch.engine import Engine
from switch.errors import UsageError
from switch.serve.house import House
from switch.serve.staff import APPROVER, OPERATOR, Person
from switch.settlement.participants import NO_CAP

_WHOLE = re.compile(r"[0-9]{1,3}(?:([ .,\u202f])[0-9]{3})(?:\1[0-9]{3}){0,4}|[0-9]{1,18}")
"""Digits, or thousands with one sign between them all: 1.5 and 1,000.00 are none."""
Given = Mapping[str, str]
"""Fields of a form."""


class Field(NamedTuple):
    """A field of a form. kind: text, why, number, time, line or words (several, blanks between).
    option: of the command; '' for an argument. needed: it may not be empty."""

    name: str
    label: str
    option: str = ""
    kind: str = "text"
    needed: bool = True


class Doing(NamedTuple):
    """An action that is to be taken. engine: the home, open for writing."""

    engine: Engine
    house: House
    given: Given
    person: Person


class Deed(NamedTuple):
    """An action. words: of the command, before its fields. flags: behind them. by: the command
    says who; timed: it takes --at."""

    name: str
    title: str
    roles: tuple[str, ...]
    command: str
    fields: tuple[Field, ...]
    act: Callable[[Doing], Any]
    flags: tuple[str, ...] = ()
    by: bool = True
    timed: bool = False
    """Without a time in the form it is that of the clock."""


# --- fields ---------------------------------------------------------------------------------------

WHY = Field("why", "reason", "--why", "why")
NOTE = Field("note", "note", "--note", "why")
AT = Field("at", "time to record", "--at", "time", False)
AT_NEEDED = AT._replace(needed=True)
LINE = Field("line", "line (BATCH:NUMBER)", "", "words")
ALARM = Field("alarm", "alarm", "--alarm", "words")
BREAK = Field("break", "break", "--break", "words")
CYCLE = Field("cycle", "cycle", "--cycle")
CODE = Field("code", "participant")
DESK = Field("owner", "desk that looks after it", "--assign", "text", False)


def lines_of(given: Given) -> list[tuple[str, int]]:
    """Lines of a form, (batch id, line number). Raises UsageError for what is none."""
    found = []
    for text in given["line"].split():
        batch, _, number = text.rpartition(":")
        if not batch or not (number.isascii() and number.isdigit() and len(number) <= 10):
            raise UsageError(f"line {text!r} is none: say BATCH:NUMBER")
        found.append((batch, int(number)))
    return found


def number_of(field: str, text: str) -> int:
    """A whole number of a form, with blanks, dots or commas between its digits or without. Raises
    UsageError."""
    if len(text) > 32 or not _WHOLE.fullmatch(text):
        raise UsageError(f"{field} {text[:32]!r} is no whole number of dong, such as 1.000.000")
    return int("".join(sign for sign in text if sign.isdigit()))


# --- actions --------------------------------------------------------------------------------------


def _alarm(doing: Doing, **said: Any) -> Any:
    words: dict[str, Any] = {"by": doing.person.name, "at": doing.given["at"]}
    words["note"] = doing.given.get("note", "")
    words["owner"] = doing.given.get("owner", "")
    watch = doing.house.watching(doing.engine)
    return watch.note(doing.given["alarm"].split(), **words, **said)


def _break(doing: Doing, accepted: bool | None) -> Any:
    given = doing.given
    return doing.engine.note_breaks(
        given["break"].split(),
        by=doing.person.name,
        note=given.get("note", ""),
        owner=given.get("owner", ""),
        accepted=accepted,
        at=given.get("at") or None,
    )


def _settle(doing: Doing, *, close_only: bool = False, abort: bool = False) -> Any:
    given = doing.given
    return doing.engine.settle(
        given["cycle"],
        at=given.get("at") or None,
        close_only=close_only,
        abort=f"{given['why']} ({doing.person.name})" if abort else None,
        warn=lambda _: None,
    )


def _participant(doing: Doing, **change: Any) -> Any:
    given = doing.given
    return doing.engine.control.participant(
        given["code"],
        by=doing.person.name,
        why=given["why"],
        at=given.get("at") or None,
        warn=lambda _: None,
        **change,
    )


def _cap(doing: Doing) -> Any:
    text = doing.given["cap"].strip()
    return _participant(doing, cap=NO_CAP if text == "none" else number_of("cap", text))


def _recall(doing: Doing) -> Any:
    given = doing.given
    return doing.engine.recall(
        lines_of(given),
        reason=given["reason"],
        by=doing.person.name,
        why=given["why"],
        at=given.get("at") or None,
    )


DEEDS = (
    Deed(
        "acknowledge",
        "Acknowledge an alarm",
        (OPERATOR, APPROVER),
        "alarms",
        (ALARM, DESK, NOTE._replace(needed=False), AT),
        lambda doing: _alarm(doing, acknowledged=True),
        ("--acknowledge",),
        timed=True,
    ),
    Deed(
        "unseen",
        "Show an alarm again",
        (OPERATOR, APPROVER),
        "alarms",
        (ALARM, NOTE._replace(needed=False), AT),
        lambda doing: _alarm(doing, acknowledged=False),
        ("--unseen",),
        timed=True,
    ),
    Deed(
        "snooze",
        "Let an alarm sleep",
        (OPERATOR, APPROVER),
        "alarms",
        (ALARM, Field("until", "until", "--snooze", "time"), NOTE, AT),
        lambda doing: _alarm(doing, until=doing.given["until"]),
        timed=True,
    ),
    Deed(
        "note-break",
        "Note something about a break",
        (OPERATOR,),
        "breaks",
        (BREAK, DESK, NOTE, AT),
        lambda doing: _break(doing, None),
    ),
    Deed(
        "accept-break",
        "Accept a break as it is",
        (OPERATOR,),
        "breaks",
        (BREAK, NOTE, AT),
        lambda doing: _break(doing, True),
        ("--accept",),
    ),
    Deed(
        "withdraw-break",
        "Accept a break no more",
        (OPERATOR,),
        "breaks",
        (BREAK, NOTE, AT),
        lambda doing: _break(doing, False),
        ("--withdraw",),
    ),
    Deed(
        "cancel-line",
        "Cancel lines that wait",
        (OPERATOR,),
        "cancel-line",
        (LINE, WHY, AT),
        lambda doing: doing.engine.cancel_lines(
            lines_of(doing.given),
            by=doing.person.name,
            why=doing.given["why"],
            at=doing.given.get("at") or None,
        ),
    ),
    Deed(
        "recall",
        "Recall lines that were sent",
        (OPERATOR,),
        "recall",
        (LINE, Field("reason", "reason code, such as DUPL", "--reason"), WHY, AT),
        _recall,
    ),
    Deed(
        "write-back",
        "Write lines that came back to the budget",
        (OPERATOR,),
        "dispose",
        (LINE, AT),
        lambda doing: doing.engine.write_back(
            lines_of(doing.given), at=doing.given.get("at") or None
        ),
        ("--write-back", "--yes"),
        by=False,
    ),
    Deed(
        "reissue",
        "Let lines that came back be paid once more",
        (OPERATOR,),
        "dispose",
        (LINE, AT),
        lambda doing: doing.engine.reissue(lines_of(doing.given), at=doing.given.get("at") or None),
        ("--reissue", "--yes"),
        by=False,
    ),
    Deed(
        "expire",
        "Let lines beyond their deadline leave the queue",
        (OPERATOR,),
        "expire",
        (AT_NEEDED,),
        lambda doing: doing.engine.expire(doing.given["at"]),
        by=False,
    ),
    Deed(
        "close-cycle",
        "Close a cycle",
        (OPERATOR,),
        "settle",
        (CYCLE, AT),
        lambda doing: _settle(doing, close_only=True),
        ("--close",),
        by=False,
    ),
    Deed(
        "settle",
        "Settle a cycle",
        (OPERATOR,),
        "settle",
        (CYCLE, AT),
        _settle,
        by=False,
    ),
    Deed(
        "close-day",
        "End a day and sign it",
        (OPERATOR,),
        "close",
        (AT_NEEDED,),
        lambda doing: doing.engine.close_day(doing.given["at"]),
        by=False,
    ),
    Deed(
        "abort",
        "Give a cycle up",
        (APPROVER,),
        "settle",
        (CYCLE, WHY._replace(option="--abort"), AT),
        lambda doing: _settle(doing, abort=True),
        by=False,
    ),
    Deed(
        "participant-suspend",
        "Suspend a participant",
        (APPROVER,),
        "participant",
        (CODE, WHY, AT),
        lambda doing: _participant(doing, status="suspended"),
        ("--suspend",),
    ),
    Deed(
        "participant-enable",
        "Enable a participant",
        (APPROVER,),
        "participant",
        (CODE, WHY, AT),
        lambda doing: _participant(doing, status="active"),
        ("--enable",),
    ),
    Deed(
        "participant-cap",
        "Change the cap of a participant",
        (APPROVER,),
        "participant",
        (CODE, Field("cap", "cap in dong, or none", "--cap"), WHY, AT),
        _cap,
    ),
    Deed(
        "participant-balance",
        "Say what a settlement account holds",
        (APPROVER,),
        "participant",
        (CODE, Field("balance", "balance in dong", "--balance", "number"), WHY, AT),
        lambda doing: _participant(doing, balance=number_of("balance", doing.given["balance"])),
    ),
)
"""All actions, in the order of the page that lists them."""
BY_NAME = {deed.name: deed for deed in DEEDS}


def may(person: Person, deed: Deed) -> bool:
    """True where somebody may do it."""
    return person.has(*deed.roles)


def read(deed: Deed, form: Given, now: str) -> dict[str, str]:
    """Fields of a deed out of a form. now: the time by the clock. Raises UsageError for one that is
    missing or too long."""
    found: dict[str, str] = {}
    for field in deed.fields:
        text = form.get(field.name, "").strip()
        text = " ".join(text.split()) if field.kind == "why" else text
        if field.needed and not text:
            raise UsageError(f"{field.label} is empty: say it")
        if len(text) > 4096:
            raise UsageError(f"{field.label} is too long")
        if text:
            found[field.name] = text
    if deed.timed:
        found.setdefault("at", now)
    return found


def command_of(deed: Deed, house: House, given: Given, person: Person) -> str:
    """The command that does the same."""
    told = ["switch", deed.command, house.name]
    options: list[str] = []
    for field in deed.fields:
        text = given.get(field.name, "")
        if not text:
            continue
        words = text.split() if field.kind == "words" else [_as_said(field, text, deed, person)]
        for word in words:
            if field.option:
                options += [field.option, word]
            else:
                told.append(word)
    by = ["--by", person.name] if deed.by else []
    by += house.bounds if deed.command == "alarms" else ()
    return shlex.join([*told, *options, *deed.flags, *by])


def _as_said(field: Field, text: str, deed: Deed, person: Person) -> str:
    """The value of a field as the command takes it."""
    if field.name == "why" and deed.name == "abort":
        return f"{text} ({person.name})"
    if field.name in ("cap", "balance") and text != "none":
        return str(number_of(field.name, text))
    return text
