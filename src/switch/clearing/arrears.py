"""Arrears: lines of people who are deceased, for months before that of the death.

Screening refuses every line of a person who is deceased on the value date. Of these, lines for an
earlier month than that of the death are screened again here, as if the person lived.
Columns IN: those that screening wrote. OUT: all of them, of lines that are judged so.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from switch.clearing.intake import Lines
from switch.clearing.next_accounts import Found
from switch.native.screen import Screen
from switch.reason import Reason
from switch.registry.versions import SINCE
from switch.schema import YEAR_MIN

_DECEASED = np.uint8(Reason.PERSON_DECEASED)
_NEVER = np.iinfo(np.int32).max
"""A day on which no status is in force yet."""
_MONTHS_TO_1970 = (1970 - YEAR_MIN) * 12
_IN_TABLE = np.uint64(3 << 62)
"""Bits of an account word that refers to the table's own column."""


class Arrears:
    """Judges lines of one batch about people who are deceased. has_found: of some line the month
    lay before that of the death."""

    def __init__(
        self, since: NDArray[np.void], screen_of: Callable[[NDArray[np.void]], Screen]
    ) -> None:
        """since: days since which the status of people holds, in order of row. screen_of: a screen
        of the same registers and value date, by other such days."""
        self._since, self._screen_of = since, screen_of
        self._rows: NDArray[np.uint32] | None = None
        self.has_found = False

    def judge(self, lines: Lines, found: Found) -> NDArray[np.intp]:
        """Screen lines of deceased people again that are for a month before that of the death, by
        the rules for the living. Returns the places of these lines; all others stay as they are,
        and so do those of people of whose death no day is known."""
        at: NDArray[np.intp] = np.flatnonzero(found.reason == _DECEASED)
        if len(at):
            at = at[lines.month[at] < self._died(found.row[at])]
        if not len(at):
            return at
        days = np.unique(found.row[at])
        since = np.empty(len(days), SINCE)
        since["row"], since["day"] = days, _NEVER
        again = Found(found.reason[at], found.row[at], found.participant[at], found.account[at])
        self._screen_of(since).lines(
            lines.amount[at],
            lines.person_id[at],
            lines.name_key[at],
            lines.benefit[at],
            lines.debtor[at],
            None if lines.agent is None else lines.agent[at],
            *again,
            0,
        )
        # A row may keep a day of a record before, which counts no more: such people died always.
        dated = again.reason != _DECEASED
        named = again.account >= _IN_TABLE
        again.account[named] = _IN_TABLE | at[named].astype(np.uint64)
        at = at[dated]
        found.reason[at], found.row[at] = again.reason[dated], again.row[dated]
        found.participant[at] = again.participant[dated]
        found.account[at] = again.account[dated]
        self.has_found |= bool(len(at))
        return at

    def _died(self, row: NDArray[np.uint32]) -> NDArray[np.int64]:
        """Months since 1900-01 in which some people died; below zero where no day is known."""
        if not len(self._since):
            return np.full(len(row), -1, np.int64)
        if self._rows is None:
            self._rows = np.ascontiguousarray(self._since["row"])
        place = np.minimum(np.searchsorted(self._rows, row), len(self._rows) - 1)
        days = self._since["day"][place].astype("datetime64[D]")
        month = days.astype("datetime64[M]").astype(np.int64) + _MONTHS_TO_1970
        month[self._rows[place] != row] = -1
        return month
