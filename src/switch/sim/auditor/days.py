"""Days that a home knows of, and which times need a word because they lie far behind all of them.

Of the engine it imports `schema`, `reason` and `errors` alone.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable

LEAP_DAYS = 92
"""Days by which a time may lie behind all that is known, if nobody says that it is meant."""
DEADLINE_DAYS = 1
"""Days for which a settled line may be without an answer, and a record without its line."""


class Days:
    """Days of one home."""

    def __init__(self) -> None:
        self.known: set[dt.date] = set()
        """Days on which something was surely recorded."""
        self.furthest = dt.date.min
        """The last day that was ever said with the word."""
        self.signed = dt.date.min
        """The last day that was closed."""
        self.as_of = dt.date.min
        """The day on which lines were held against answers last."""

    def leaps(self, day: dt.date) -> bool:
        """Tell whether a time may need the word: all known days lie long before it."""
        before = [known for known in self.known if known <= day]
        return bool(before) and (day - max(before)).days > LEAP_DAYS

    def beyond(self, days: int, due: Iterable[dt.date]) -> dt.date:
        """A day so many days too far behind all that anybody ever said, or that is due."""
        last = max(self.known | {*due, self.furthest})
        return last + dt.timedelta(days=LEAP_DAYS + days)

    def is_late(self, day: dt.date) -> bool:
        """Tell whether what was expected on a day is overdue."""
        return (self.as_of - day).days > DEADLINE_DAYS
