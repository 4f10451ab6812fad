"""Times: how a time is written, read and compared. Times of day are those of Vietnam."""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterable
from typing import Any

from switch.errors import UsageError
from switch.schema import YEAR_MAX, YEAR_MIN, is_in_years

LOCAL = datetime.timezone(datetime.timedelta(hours=7))
"""Vietnam has one time the whole year."""

DAY = "2026-11-25"
"""A day as a time: it has no time of day."""
_TIME_FORM = re.compile("[0-9]{4}-[0-9]{2}-[0-9]{2}([T ].*)?")
"""The form of a time at a door: its day is written out, whatever else ISO 8601 allows."""


def is_past(closes: str, at: str) -> bool:
    """The time is not before the cut-off."""
    return _local(at) >= _local(closes)


def is_before(at: str, other: str) -> bool:
    """A time lies before another one; as days, where one of them is a day without a time."""
    if len(DAY) in (len(at), len(other)):
        return day_of(at) < day_of(other)
    return _local(at) < _local(other)


def day_of(at: str) -> datetime.date:
    """The local day of a time."""
    return _local(at).date()


def micros_of(at: str) -> int:
    """Microseconds since 1970 (UTC) of a time; a day begins at midnight of Vietnam."""
    since = _local(at) - datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
    return since // datetime.timedelta(microseconds=1)


def local_text(at: str) -> str:
    """A time for people, by Vietnam's clock, without a zone; a day without a time stays one."""
    return at if len(at) == len(DAY) else f"{_local(at):%Y-%m-%dT%H:%M:%S}"


def latest(times: Iterable[str]) -> str:
    """The last of these times, as it was given; '' where there is none."""
    return max((at for at in times if at), key=_local, default="")


def time_text(at: datetime.date | str | None) -> str:
    """A time as it is recorded: ISO 8601 text; '' where none is given. Raises UsageError. What is
    recorded once can never be mended, so every door asks here before it begins."""
    if not at:
        return ""
    text = at.isoformat() if isinstance(at, datetime.date) else at
    if not isinstance(text, str) or not _TIME_FORM.fullmatch(text):
        raise _no_time(text)
    # A year at the edge of what Python has cannot be moved to local time, so its own comes first.
    if not YEAR_MIN <= int(text[:4]) <= YEAR_MAX or not is_in_years(_local(text)):
        raise UsageError(f"{text!r} is not of {YEAR_MIN} to {YEAR_MAX}")
    return text


def _no_time(text: Any) -> UsageError:
    return UsageError(f"{text!r} is no ISO 8601 time, such as 2026-11-25T08:00:00")


def _local(at: str) -> datetime.datetime:
    try:
        given = datetime.datetime.fromisoformat(at)
        return given.replace(tzinfo=LOCAL) if given.tzinfo is None else given.astimezone(LOCAL)
    except (TypeError, ValueError, OverflowError):
        raise _no_time(at) from None
