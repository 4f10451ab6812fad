"""Participants: one of them suspended, enabled, capped or funded, on somebody's word.

The audit record says who said so, and why; nothing else of the directory changes with it.
"""

from __future__ import annotations

import datetime
import warnings
from collections.abc import Callable
from typing import Any, Required, TypedDict, Unpack

import msgspec

from switch.arguments import BY_MAX, WHY_MAX, require_words
from switch.errors import UsageError
from switch.home import days
from switch.home.changes import SetMeta
from switch.home.store import FORMAT_SAID, Home, raised
from switch.home.times import time_text
from switch.registry.directory import Directory, Participant
from switch.schema import MONEY_BOUND, PARTICIPANT_STATUS
from switch.settlement import accounts, standing
from switch.settlement.postings import settlement_account

NO_CAP = -1
"""Cap of a participant that nothing limits."""


class ParticipantChanged(TypedDict):
    """A participant after a change; new: False where it was so already, and nothing is recorded."""

    participant: Participant
    balance: int | None
    """Balance of its settlement account; None where it settles by another's."""
    by: str
    why: str
    at: str
    new: bool


class ParticipantSaid(TypedDict, total=False):
    """Change of a participant: what becomes of it, by whose word, when (`Control.participant`)."""

    by: Required[str]
    """The name of whoever says so."""
    why: Required[str]
    """The reason, 1 to 140 characters."""
    status: str | None
    """active or suspended."""
    cap: int | None
    """Most that it may owe in a cycle, in minor units; -1: no limit."""
    balance: int | None
    """Money of its settlement account at the State Bank now, in minor units."""
    at: datetime.date | str | None
    """Time that is recorded."""
    correct: str | None
    """Reason for which it is recorded though it lies before what was recorded."""
    warn: Callable[[str], None]
    """Is told of a day far from the home's last."""


def change_participant(
    home: Home, directory: Directory, code: str, **said: Unpack[ParticipantSaid]
) -> ParticipantChanged:
    """Change one participant, for a reason, in one commit (`Control.participant`)."""
    by, why = said["by"], said["why"]
    require_reason(by, why)
    now = {p.participant: p for p in directory.participants}
    if code not in now:
        raise UsageError(f"participant {code!r} is not in the directory of this home")
    status, cap, balance = said.get("status"), said.get("cap"), said.get("balance")
    if (status is None and cap is None) == (balance is None):
        raise UsageError("say status or cap, or the balance alone, which is a commit of its own")
    when, warn = time_text(said.get("at")), said.get("warn", warnings.warn)
    at, beside = days.noted(home, when, said.get("correct"), warn)
    word = {"participant": code, "by": by, "why": why}
    old = now[code]
    if balance is not None:
        return _balance(home, directory, old, balance, at, {**beside, "said": word})
    new = _changed(old, status, cap)
    if new != old:
        known = tuple(new if p is old else p for p in directory.participants)
        whole = msgspec.structs.replace(directory, participants=known).to_json().decode()
        home.commit(
            at=at,
            kind="directory",
            detail={
                "directory": whole,
                "settings": home.catalog.meta("settings"),  # As every record of its kind.
                "said": word,
                **beside,
            },
            changes=[SetMeta(whole, "directory"), *raised(home, FORMAT_SAID)],
        )
    return {
        "participant": new,
        "balance": _held_by(home, directory, new),
        "by": by,
        "why": why,
        "at": at,
        "new": new != old,
    }


def require_reason(by: str, why: str) -> None:
    """Require a name and a reason. Raises UsageError."""
    for name, text, most in (("by", by, BY_MAX), ("why", why, WHY_MAX)):
        require_words(name, text, most)
        if not text:
            raise UsageError(f"a participant is changed by somebody, for a reason: say {name}")


def _changed(old: Participant, status: str | None, cap: int | None) -> Participant:
    """A participant with another status or cap."""
    if status is not None and status not in PARTICIPANT_STATUS:
        raise UsageError(f"status {status!r} is not known: {' or '.join(PARTICIPANT_STATUS)}")
    if cap is not None and not NO_CAP <= cap < MONEY_BOUND:
        raise UsageError(f"cap {cap} is no amount: say dong, or {NO_CAP} for no limit")
    found = old if status is None else msgspec.structs.replace(old, status=status)
    if cap is None:
        return found
    return msgspec.structs.replace(found, net_debit_cap=None if cap == NO_CAP else cap)


def _balance(
    home: Home,
    directory: Directory,
    one: Participant,
    balance: int,
    at: str,
    said: dict[str, Any],
) -> ParticipantChanged:
    """The settlement account of a participant holds what is given, and is bound from now on."""
    if one.settled_by != one.participant:
        raise UsageError(f"{one.participant!r} settles by the account of {one.settled_by!r}")
    if not 0 <= balance < MONEY_BOUND:
        raise UsageError(f"balance {balance} is no amount of dong")
    here = standing.Standing(home, directory)
    is_new = one.participant not in here.bound or _held_by(home, directory, one) != balance
    if is_new:
        account = settlement_account(directory, one.participant)
        standing.set_balances(home, directory, {account: balance}, at, said)
    word = said["said"]
    return {
        "participant": one,
        "balance": balance,
        "by": word["by"],
        "why": word["why"],
        "at": at,
        "new": is_new,
    }


def _held_by(home: Home, directory: Directory, one: Participant) -> int | None:
    if one.settled_by != one.participant:
        return None
    return accounts.held(standing.Standing(home, directory).balances, one.participant)
