"""Next accounts: whoever's first account cannot be paid is paid to the next one that can.

Screening looks at the first account that is valid on the value date alone, as nearly all people
need no more. Of lines that it answers with a reason in that account's participant, all accounts of
the person are looked up in the register's files here, and the first that can be paid counts.
Columns IN: those that screening wrote. OUT: reason NONE, participant and account of lines that go.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from switch.clearing.intake import Lines
from switch.errors import VerificationFailed
from switch.reason import Reason, passed_over
from switch.registry.directory import EPOCH, Directory
from switch.registry.versions import REFERENCE, Chain, accounts_of, ranges
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
        self._day = (day - EPOCH).days

    def judge(self, accounts: NDArray[np.void], amount: NDArray[np.int64]) -> NDArray[np.uint8]:
        """A reason why each of some accounts cannot be paid an amount, NONE where it can; those
        that are not valid on the day are ACCOUNT_MISSING."""
        index = self.index[accounts["participant"]]
        place = np.minimum(index, len(self._suspended) - 1)
        reason = np.zeros(len(accounts), np.uint8)
        reason[amount > self._amount_max[place]] = Reason.AMOUNT_OVER_PARTICIPANT_LIMIT
        reason[self._suspended[place] != 0] = Reason.PARTICIPANT_SUSPENDED
        reason[index == NO_CODE] = Reason.PARTICIPANT_UNKNOWN
        is_valid = (accounts["valid_from"] <= self._day) & (self._day <= accounts["valid_to"])
        reason[~is_valid] = Reason.ACCOUNT_MISSING
        return reason


class NextAccounts:
    """Chooses later accounts for lines of one batch. has_passed: some line went to one."""

    def __init__(self, chain_of: Callable[[], Chain], receivers: Receivers, heap_size: int) -> None:
        """chain_of: the versions that make the register, opened when they are first needed.
        heap_size: bytes of texts of accounts that it has."""
        self._chain_of, self._receivers = chain_of, receivers
        self._heap_size = np.uint64(heap_size)
        self._files: list[NDArray[np.uint8]] | None = None
        self._said: dict[tuple[int, ...], str] = {}
        self.has_passed = False

    def choose(self, lines: Lines, found: Found) -> Passed:
        """Let lines go to the first account of their person that can be paid, where the first
        valid one cannot. A line whose table names the account stays as it is, and so does one of
        whose person no account can be paid. Raises VerificationFailed where the register's files
        do not fit each other."""
        at = np.flatnonzero(found.reason - np.uint8(_FIRST) <= _LAST - _FIRST)
        if lines.agent is not None:
            at = at[lines.agent[at] == NOT_GIVEN]
        if not len(at):
            return {}
        line, entry = self._accounts_of(found.row[at])
        verdict = self._receivers.judge(entry, lines.amount[at][line])
        is_valid = verdict != Reason.ACCOUNT_MISSING
        line, entry, verdict = line[is_valid], entry[is_valid], verdict[is_valid]
        known, first = np.unique(line, return_index=True)
        if len(known) != len(at) or (entry["account"][first] != found.account[at]).any():
            raise VerificationFailed("accounts.bin of the register does not fit its people.slots")
        able = np.flatnonzero(verdict == Reason.NONE)
        went, index = np.unique(line[able], return_index=True)
        if not len(went):
            return {}
        chosen = able[index]
        found.reason[at[went]] = Reason.NONE
        found.participant[at[went]] = self._receivers.index[entry["participant"][chosen]]
        found.account[at[went]] = entry["account"][chosen]
        self.has_passed = True
        key = entry["participant"].astype(np.int64) * _REASONS + verdict
        return self._words(at[went], first[went], chosen, key)

    def _accounts_of(self, row: NDArray[np.uint32]) -> tuple[NDArray[np.intp], NDArray[np.void]]:
        """All accounts of the persons of some lines: (place among the lines, account)."""
        if self._files is None:
            chain, name = self._chain_of(), "accounts.bin"
            self._files = [
                chain.mapped(link, name, ACCOUNTS_PROVEN_MAX) for link in reversed(chain.links)
            ]
        line, accounts = accounts_of_each(self._files, row)
        words = accounts["account"]
        is_sound = (words & REFERENCE == 0) | (words & ~REFERENCE < self._heap_size)
        if not is_sound.all() or (accounts["participant"] >= len(self._receivers.names)).any():
            raise VerificationFailed("accounts.bin of the register is damaged")
        return line, accounts

    def _words(
        self,
        places: NDArray[np.intp],
        first: NDArray[np.intp],
        chosen: NDArray[np.intp],
        key: NDArray[np.int64],
    ) -> Passed:
        """Words about lines, by place. first, chosen: places of each line's first account and
        of the one that counts, among all; key: participant and reason of all."""
        told, passed = key.tolist(), {}
        for place, begin, end in zip(places.tolist(), first.tolist(), chosen.tolist(), strict=True):
            keys = tuple(told[begin:end])
            words = self._said.get(keys)
            if words is None:
                names = self._receivers.names
                words = passed_over((names[one // _REASONS], one % _REASONS) for one in keys)
                self._said[keys] = words
            passed[place] = words
        return passed


def accounts_of_each(
    files: Iterable[NDArray[np.uint8]], row: NDArray[np.uint32]
) -> tuple[NDArray[np.intp], NDArray[np.void]]:
    """All accounts of the person of each of some lines: (place among the lines, account). files: as
    of `accounts_of`; row: of the persons, in any order."""
    rows, place = np.unique(row, return_inverse=True)
    accounts = accounts_of(files, rows)
    begin = np.searchsorted(accounts["row"], rows)[place]
    size = np.searchsorted(accounts["row"], rows, "right")[place] - begin
    line = np.repeat(np.arange(len(row)), size)
    return line, accounts[ranges(begin, size)]
