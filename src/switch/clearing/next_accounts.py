"""Next accounts: whoever's first account cannot be paid is paid to the next one that can.

Screening looks at the first account that is valid on the value date alone, as nearly all people
need no more. Of lines that it answers with a reason in that account's participant, and of people
who have a representative, all accounts of the person are looked up in the register's files here,
and the first that can be paid counts. Columns IN: those that screening wrote. OUT: reason,
participant and account of such lines.
"""

from __future__ import annotations

import datetime
import functools
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from switch.clearing.intake import Lines
from switch.errors import VerificationFailed
from switch.reason import AUTHORITY_ENDED, Reason, passed_over
from switch.registry.directory import EPOCH, Directory
from switch.registry.representatives import Representatives
from switch.registry.versions import (
    REFERENCE,
    REPRESENTATIVES,
    AccountFiles,
    Chain,
    accounts_of,
    ranges,
)
from switch.schema import NO_CODE, NOT_GIVEN

ACCOUNTS_PROVEN_MAX = 1 << 25
"""Largest accounts.bin whose digest is proven before few of its records are read; `verify` proves
each. Whatever is read is held against what screening found in people.slots."""
_FIRST, _LAST = Reason.PARTICIPANT_UNKNOWN, Reason.AMOUNT_OVER_PARTICIPANT_LIMIT
_REASONS = 32
"""More than there are reasons."""

Passed = dict[int, str]
"""Words about a line that goes to a later account, by the line's place in its chunk."""


class Found(NamedTuple):
    """Columns that screening wrote, of equal length."""

    reason: NDArray[np.uint8]
    row: NDArray[np.uint32]
    participant: NDArray[np.uint16]
    account: NDArray[np.uint64]


class Entries(NamedTuple):
    """Accounts of the persons of some lines, in order of line."""

    line: NDArray[np.intp]
    """Place of its line among those that were asked for."""
    accounts: NDArray[np.void]
    verdict: NDArray[np.uint8]
    """NONE where the account can be paid; else a reason, or AUTHORITY_ENDED and the like."""


class Receivers:
    """Receivers of a directory: why an account of the register cannot be paid on a day."""

    def __init__(self, names: Sequence[str], directory: Directory, day: datetime.date) -> None:
        """names: participants by their codes in the register. day: the value date."""
        lookups, index = directory.lookups(), directory.index_on(str(day))
        self.names = names
        self.index = np.array([index.get(name, NO_CODE) for name in names], np.uint16)
        # One more for those that the directory lacks.
        self._suspended = np.append(lookups.suspended, np.uint8(0))
        self._amount_max = np.append(lookups.amount_max, np.int64(0))
        self.day = (day - EPOCH).days

    def judge(self, accounts: NDArray[np.void], amount: NDArray[np.int64]) -> NDArray[np.uint8]:
        """A reason why each of some accounts cannot be paid an amount, NONE where it can; those
        that are not valid on the day are ACCOUNT_MISSING."""
        index = self.index[accounts["participant"]]
        place = np.minimum(index, len(self._suspended) - 1)
        reason = np.zeros(len(accounts), np.uint8)
        reason[amount > self._amount_max[place]] = Reason.AMOUNT_OVER_PARTICIPANT_LIMIT
        reason[self._suspended[place] != 0] = Reason.PARTICIPANT_SUSPENDED
        reason[index == NO_CODE] = Reason.PARTICIPANT_UNKNOWN
        is_valid = (accounts["valid_from"] <= self.day) & (self.day <= accounts["valid_to"])
        reason[~is_valid] = Reason.ACCOUNT_MISSING
        return reason


class NextAccounts:
    """Chooses later accounts for lines of one batch. has_passed: accounts of some line's person
    were passed over."""

    def __init__(
        self,
        chain_of: Callable[[], Chain],
        receivers: Receivers,
        heap_size: int,
        has_representatives: bool,
    ) -> None:
        """chain_of: the versions that make the register, opened when they are first needed.
        heap_size: bytes of texts of accounts that it has."""
        self._chain_of, self._receivers = chain_of, receivers
        self._heap_size = np.uint64(heap_size)
        self._has_representatives = has_representatives
        self._said: dict[tuple[int, ...], str] = {}
        self.has_passed = False

    @functools.cached_property
    def _chain(self) -> Chain:
        return self._chain_of()

    @functools.cached_property
    def _files(self) -> list[AccountFiles]:
        return self._chain.account_files(ACCOUNTS_PROVEN_MAX)

    @functools.cached_property
    def _representatives(self) -> Representatives:
        return Representatives(self._chain, self._receivers.day, ACCOUNTS_PROVEN_MAX)

    @functools.cached_property
    def _represented(self) -> NDArray[np.bool_]:
        """bool by row: people who have, or had before the last delta, an account that is a
        representative's."""
        found = np.zeros(self._chain.last.info.rows, bool)
        for link in self._chain.links:
            rows = self._chain.acting(link)["row"]
            if len(rows) and rows.max() >= len(found):
                raise _damaged(REPRESENTATIVES)
            found[rows] = True
        return found

    def choose(self, lines: Lines, found: Found, arrears: NDArray[np.intp]) -> Passed:
        """Let lines go to the first account of their person that can be paid, where the first
        valid one cannot, or is that of a representative whose authority has ended. A line whose
        table names the account stays as it is. arrears: places of lines of people who are deceased.
        Returns words about accounts that were passed over.
        Raises VerificationFailed where the register's files do not fit each other."""
        at = self._asked(lines, found)
        if not len(at):
            return {}
        entries = self.entries(found, at, arrears, lines, is_first=True)
        return self.settle(found, at, entries)

    def entries(
        self,
        found: Found,
        at: NDArray[np.intp],
        arrears: NDArray[np.intp],
        lines: Lines,
        *,
        is_first: bool,
    ) -> Entries:
        """Accounts of the persons of lines at some places, in the order in which they count, but
        for those that are not valid; arrears: as of `choose`. is_first: lines are as screening left
        them; else they can be paid, and `choose` was asked. Raises as that."""
        line, entry, why = self._accounts_of(found.row[at], np.isin(at, arrears))
        verdict = self._receivers.judge(entry, lines.amount[at][line])
        if is_first:
            self._require_fit(found, at, line, entry, verdict)
        verdict[why != Reason.NONE] = why[why != Reason.NONE]
        if not is_first:
            _require_chosen(found, at, line, entry, verdict)
        told = np.flatnonzero(verdict != Reason.ACCOUNT_MISSING)
        return Entries(line[told], entry[told], verdict[told])

    def index_of(self, accounts: NDArray[np.void]) -> NDArray[np.uint16]:
        """Index of the participants of accounts in the directory; NO_CODE where it has none."""
        index: NDArray[np.uint16] = self._receivers.index[accounts["participant"]]
        return index

    def settle(self, found: Found, at: NDArray[np.intp], entries: Entries) -> Passed:
        """Let lines at some places go to the first of their entries that can be paid, and where
        none can be answered by the first that is valid. Returns as `choose`."""
        line, entry, verdict = entries
        first = np.searchsorted(line, np.arange(len(at)))
        chosen = np.searchsorted(line, np.arange(len(at)), "right")
        reason = np.full(len(at), Reason.ACCOUNT_MISSING, np.uint8)
        for wanted in (verdict < AUTHORITY_ENDED, verdict == Reason.NONE):
            able = np.flatnonzero(wanted)
            went, index = np.unique(line[able], return_index=True)
            chosen[went], reason[went] = able[index], verdict[able[index]]
        has = reason != Reason.ACCOUNT_MISSING
        counts = entry[chosen[has]]
        found.reason[at] = reason
        found.participant[at[~has]], found.account[at[~has]] = NO_CODE, 0
        found.participant[at[has]] = self.index_of(counts)
        found.account[at[has]] = counts["account"]
        key = entry["participant"].astype(np.int64) * _REASONS + verdict
        passed = np.flatnonzero(chosen > first)
        # Of a line that cannot be paid nothing else is told than whose authority has ended.
        return self._words(at[passed], first[passed], chosen[passed], key, reason[passed])

    def _asked(self, lines: Lines, found: Found) -> NDArray[np.intp]:
        """Places of lines whose person's accounts are all looked at."""
        asked = found.reason - np.uint8(_FIRST) <= _LAST - _FIRST
        if self._has_representatives:
            at = np.flatnonzero(
                (found.reason == Reason.NONE) | (found.reason == Reason.ACCOUNT_MISSING)
            )
            asked[at] = self._represented[found.row[at]]
        if lines.agent is not None:
            asked &= lines.agent == NOT_GIVEN
        return np.flatnonzero(asked)

    def _accounts_of(
        self, row: NDArray[np.uint32], died: NDArray[np.bool_]
    ) -> tuple[NDArray[np.intp], NDArray[np.void], NDArray[np.uint8]]:
        """All accounts of the persons of some lines: (place among the lines, account, why it does
        not count for want of authority). died: whether each line's person is deceased."""
        line, accounts, whose = accounts_of_each(self._files, row)
        words = accounts["account"]
        is_sound = (words & REFERENCE == 0) | (words & ~REFERENCE < self._heap_size)
        if not is_sound.all() or (accounts["participant"] >= len(self._receivers.names)).any():
            raise _damaged("accounts.bin")
        if not self._has_representatives:
            return line, accounts, np.zeros(len(line), np.uint8)
        return line, accounts, self._representatives.judge(accounts, whose, died[line])

    def _require_fit(
        self,
        found: Found,
        at: NDArray[np.intp],
        line: NDArray[np.intp],
        entry: NDArray[np.void],
        verdict: NDArray[np.uint8],
    ) -> None:
        """The first account that is valid is the one that screening found."""
        valid = np.flatnonzero(verdict != Reason.ACCOUNT_MISSING)
        has = np.flatnonzero(found.reason[at] != Reason.ACCOUNT_MISSING)
        _require_same(line[valid], entry["account"][valid], has, found.account[at[has]])

    def _words(
        self,
        places: NDArray[np.intp],
        first: NDArray[np.intp],
        chosen: NDArray[np.intp],
        key: NDArray[np.int64],
        reason: NDArray[np.uint8],
    ) -> Passed:
        """Words about lines, by place. first, chosen: places of each line's first account and
        of the one that counts, among all; key: participant and why of all; reason: of each line."""
        told, passed = key.tolist(), {}
        columns = (column.tolist() for column in (places, first, chosen, reason))
        for place, begin, end, number in zip(*columns, strict=True):
            keys = (number, *told[begin:end])
            words = self._said.get(keys)
            if words is None:
                names = self._receivers.names
                each = ((names[one // _REASONS], one % _REASONS) for one in keys[1:])
                words = passed_over(each, number)
                self._said[keys] = words
            passed[place] = words
        self.has_passed = self.has_passed or bool(passed)
        return passed


def _require_chosen(
    found: Found,
    at: NDArray[np.intp],
    line: NDArray[np.intp],
    entry: NDArray[np.void],
    verdict: NDArray[np.uint8],
) -> None:
    """The first account that can be paid is the one that was chosen."""
    able = np.flatnonzero(verdict == Reason.NONE)
    _require_same(line[able], entry["account"][able], np.arange(len(at)), found.account[at])


def _require_same(
    line: NDArray[np.intp],
    account: NDArray[np.uint64],
    wanted: NDArray[np.intp],
    wanted_account: NDArray[np.uint64],
) -> None:
    """The first account of each line is the one that is wanted."""
    known, first = np.unique(line, return_index=True)
    if not np.array_equal(known, wanted) or (account[first] != wanted_account).any():
        raise VerificationFailed("accounts.bin of the register does not fit its people.slots")


def _damaged(name: str) -> VerificationFailed:
    return VerificationFailed(f"{name} of the register is damaged")


def accounts_of_each(
    files: Iterable[AccountFiles], row: NDArray[np.uint32]
) -> tuple[NDArray[np.intp], NDArray[np.void], NDArray[np.uint64]]:
    """All accounts of the person of each of some lines: (place among the lines, account, id of its
    representative or NOBODY). files: as of `accounts_of`; row: of the persons, in any order."""
    rows, place = np.unique(row, return_inverse=True)
    accounts, whose = accounts_of(files, rows)
    begin = np.searchsorted(accounts["row"], rows)[place]
    size = np.searchsorted(accounts["row"], rows, "right")[place] - begin
    line = np.repeat(np.arange(len(row)), size)
    at = ranges(begin, size)
    return line, accounts[at], whose[at]
