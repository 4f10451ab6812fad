"""Months: how much an account is sent in a month, where its participant has a limit of that.

Phase route, behind the choice of accounts. IN: columns as screening and `next_accounts` left them.
OUT: reason, participant and account of lines whose account would be sent more than its limit in the
month of the value date: they go to the next account of the person that takes them, or wait with
ACCOUNT_OVER_MONTH. Lines take room in table order, those that had waited first, whatever becomes of
them behind this phase; chunks and threads do not show. Lines may be screened again, and are
answered the same.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from switch.clearing.account_sums import SUM_MOST, AccountSums, Slots
from switch.clearing.intake import Lines
from switch.clearing.next_accounts import Entries, Found, NextAccounts, Passed
from switch.clearing.sent_before import Keys, SentBefore
from switch.home.store import Home
from switch.reason import Reason
from switch.registry.directory import NO_LIMIT, Directory
from switch.schema import NOT_GIVEN

_OVER = np.uint8(Reason.ACCOUNT_OVER_MONTH)

Line = tuple[int, int]
"""(number of the batch that a line came in, its own number)."""
Batch = np.uint32 | NDArray[np.uint32]


class Went(NamedTuple):
    """An answer that this phase gave to a line."""

    reason: int
    participant: int
    account: int
    words: str | None


class Accounts(NamedTuple):
    """Columns of accounts, of equal length."""

    who: NDArray[np.uint16]
    """Index of the participant whose code stands for theirs in the end."""
    key: NDArray[np.uint64]
    limit: NDArray[np.int64]
    counted: NDArray[np.bool_]
    """True where sums of what they are sent are kept."""

    def take(self, chosen: NDArray[np.integer] | NDArray[np.bool_]) -> Accounts:
        who, key, limit, counted = self
        return Accounts(who[chosen], key[chosen], limit[chosen], counted[chosen])

    def before(self, others: Accounts) -> Accounts:
        """These and others behind them."""
        return Accounts(
            np.concatenate([self.who, others.who]),
            np.concatenate([self.key, others.key]),
            np.concatenate([self.limit, others.limit]),
            np.concatenate([self.counted, others.counted]),
        )


def months_of(
    home: Home,
    directory: Directory,
    heap: NDArray[np.uint8],
    day: datetime.date,
    following: NextAccounts,
    *,
    again: bool,
) -> Months | None:
    """Limits of a month of a directory; None where it has none. day: the value date. following: the
    later accounts of people. again: lines may be screened again."""
    if all(p.amount_month_max is None for p in directory.participants):
        return None
    index = directory.index()
    who = np.array([index[p.replaced_by or p.participant] for p in directory.participants])
    limits = directory.lookups().amount_month_max
    tracked = np.isin(who, who[limits != NO_LIMIT])
    codes = [p.participant for p in directory.participants]
    keys = Keys(heap)
    names = {n: [c for c, w in zip(codes, who, strict=True) if w == n] for n in set(who[tracked])}
    before = SentBefore(home, str(day)[:7], [c for group in names.values() for c in group], keys)
    return Months(
        who, tracked, limits, keys, lambda n: before.of(names.get(n, ())), following, again
    )


class Months:
    """Room that accounts have left in one month. has_acted: some line found its account full."""

    def __init__(
        self,
        who: NDArray[np.integer],
        tracked: NDArray[np.bool_],
        limits: NDArray[np.int64],
        keys: Keys,
        before: Callable[[int], Iterator[tuple[NDArray[np.uint64], NDArray[np.int64]]]],
        following: NextAccounts,
        again: bool,
    ) -> None:
        """who, tracked, limits: by index of the directory the participant that stands for each,
        whether accounts there are counted, and NO_LIMIT or the limit. before: accounts and amounts
        of lines of the month to a participant, asked for once. again: lines may be screened
        again."""
        # One more for those that the directory lacks.
        self._who = np.append(who, 0).astype(np.uint16)
        self._tracked = np.append(tracked, False)
        self._limits = np.append(limits, NO_LIMIT)
        self._keys, self._of_month, self._following = keys, before, following
        self._sums, self._met = AccountSums(), np.zeros(len(self._who), bool)
        self._went: dict[Line, Went] | None = {} if again else None
        self.has_acted = False

    def hold(
        self,
        lines: Lines,
        batch: Batch,
        found: Found,
        arrears: NDArray[np.intp],
        passed: Passed,
        *,
        again: bool,
    ) -> None:
        """Judge lines of one chunk, in which passed are words by place. arrears: places of lines of
        people who are deceased. again: all were judged before."""
        alive = found.reason == Reason.NONE
        place = np.minimum(found.participant, len(self._tracked) - 1)
        at = np.flatnonzero(alive & self._tracked[place])
        if not len(at):
            return
        if again:
            self._repeat(lines, batch, found, at, passed)
            return
        accounts = self._accounts(found.participant[at], found.account[at], lines, None)
        slots, amount = self._slots(accounts), lines.amount[at]
        self._sums.add(slots, amount)
        full = self._sums.sums[slots] > accounts.limit
        if not full.any():
            self._sums.stop(slots)
            return
        self._sums.take_away(slots, amount)
        mine, entries, of_entries = self._meeting(lines, found, at, accounts, full, arrears)
        others = np.ones(len(at), bool)
        others[mine] = False
        self._sums.add(slots[others], amount[others])
        self._sums.stop(slots[others])
        is_over = self._in_turn(lines, at[mine], accounts.take(mine), entries, of_entries)
        changed = self._settle(found, at[mine], entries, is_over, passed)
        self.has_acted |= bool(len(changed))
        if self._went is not None:
            for line, place in zip(_names(lines, batch, changed), changed.tolist(), strict=True):
                reason, participant = int(found.reason[place]), int(found.participant[place])
                account = int(found.account[place])
                self._went[line] = Went(reason, participant, account, passed.get(place))

    def _repeat(
        self, lines: Lines, batch: Batch, found: Found, at: NDArray[np.intp], passed: Passed
    ) -> None:
        """Answer lines as before."""
        assert self._went is not None, "lines are screened again in a run that waits for no cover"
        for line, place in zip(_names(lines, batch, at), at.tolist(), strict=True):
            went = self._went.get(line)
            if went is None:
                continue
            found.reason[place], found.participant[place] = went.reason, went.participant
            passed.pop(place, None)
            if went.reason == Reason.NONE:
                found.account[place] = went.account
            if went.words is not None:
                passed[place] = went.words

    def _accounts(
        self,
        participant: NDArray[np.uint16],
        account: NDArray[np.uint64],
        lines: Lines,
        entries: Entries | None,
    ) -> Accounts:
        """Accounts by participants of the directory and words. entries: whose they are, where they
        are none of the lines' own."""
        place = np.minimum(participant, len(self._tracked) - 1)
        named = None if entries is not None else lines.account
        key = self._keys.of_words(account, named)
        return Accounts(self._who[place], key, self._limits[place], self._tracked[place])

    def _slots(self, accounts: Accounts) -> Slots:
        """Slots of accounts, with what the month's batches sent to their participants."""
        for who in np.unique(accounts.who[~self._met[accounts.who]]).tolist():
            self._met[who] = True
            for key, amount in self._of_month(who):
                slots = self._sums.of(np.full(len(key), who, np.uint16), key)
                self._sums.add(slots, amount)
                self._sums.stop(slots)
        return self._sums.of(accounts.who, accounts.key)

    # --- lines that meet at a full account ------------------------------------------------------

    def _meeting(
        self,
        lines: Lines,
        found: Found,
        at: NDArray[np.intp],
        accounts: Accounts,
        full: NDArray[np.bool_],
        arrears: NDArray[np.intp],
    ) -> tuple[NDArray[np.intp], Entries, Accounts]:
        """(places in `at` of lines whose turn matters, all accounts of their persons, the same as
        columns): those at accounts that may be full, and those at accounts to which one of these
        may go instead."""
        mine = full.copy()
        while True:
            chosen = np.flatnonzero(mine)
            own = self._registered(lines, at[chosen])
            places = at[chosen[own]]
            entries = self._following.entries(found, places, arrears, lines, is_first=False)
            index = self._following.index_of(entries.accounts)
            of_entries = self._accounts(index, entries.accounts["account"], lines, entries)
            able = (entries.verdict == Reason.NONE) & of_entries.counted
            more = _is_among(accounts, of_entries.take(able)) & ~mine
            if not more.any():
                line = chosen[own][entries.line]
                # By place among the chosen, as those that a table names have no entry.
                line = np.searchsorted(chosen, line)
                return chosen, entries._replace(line=line), of_entries
            mine |= more

    def _registered(self, lines: Lines, at: NDArray[np.intp]) -> NDArray[np.bool_]:
        """Tell of lines whether their account is the register's."""
        if lines.agent is None:
            return np.ones(len(at), bool)
        return np.asarray(lines.agent[at] == NOT_GIVEN)

    def _in_turn(
        self,
        lines: Lines,
        at: NDArray[np.intp],
        accounts: Accounts,
        entries: Entries,
        of_entries: Accounts,
    ) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Let lines go one after the other. Returns (by entry, by line) which accounts were full
        for it; a line of whose account nothing stands in the register has no entries."""
        full, is_full = np.zeros(len(entries.line), bool), np.zeros(len(at), bool)
        begin = np.searchsorted(entries.line, np.arange(len(at) + 1)).tolist()
        able = (entries.verdict == Reason.NONE).tolist()
        counted = of_entries.counted.tolist()
        # Asked for at once, for a second call may move what the first has found.
        slots = self._slots(of_entries.before(accounts)).tolist()
        limits, own_limits = of_entries.limit.tolist(), accounts.limit.tolist()
        own = slots[len(limits) :]
        registered = self._registered(lines, at).tolist()
        for line, amount in enumerate(lines.amount[at].tolist()):
            if not registered[line]:
                is_full[line] = not self._goes(own[line], own_limits[line], amount)
                continue
            for entry in range(begin[line], begin[line + 1]):
                if not able[entry]:
                    continue
                if not counted[entry] or self._goes(slots[entry], limits[entry], amount):
                    break
                full[entry] = is_full[line] = True
        return full, is_full

    def _goes(self, slot: int, limit: int, amount: int) -> bool:
        """Send an account an amount, where its limit allows it."""
        now = int(self._sums.sums[slot])
        if now + amount > limit:
            return False
        self._sums.sums[slot] = min(now + amount, SUM_MOST)
        return True

    def _settle(
        self,
        found: Found,
        at: NDArray[np.intp],
        entries: Entries,
        over: tuple[NDArray[np.bool_], NDArray[np.bool_]],
        passed: Passed,
    ) -> NDArray[np.intp]:
        """Write what becomes of lines whose account was full. Returns their places."""
        full, is_full = over
        changed = np.flatnonzero(is_full)
        entries.verdict[full] = _OVER
        has = np.isin(changed, entries.line)
        found.reason[at[changed[~has]]] = _OVER
        mine = np.isin(entries.line, changed)
        line = np.searchsorted(changed[has], entries.line[mine])
        places = at[changed[has]]
        for place in at[changed].tolist():
            passed.pop(place, None)
        some = Entries(line, entries.accounts[mine], entries.verdict[mine])
        passed.update(self._following.settle(found, places, some))
        return np.asarray(at[changed])


def _names(lines: Lines, batch: Batch, at: NDArray[np.intp]) -> Iterator[Line]:
    """Names of lines at some places."""
    batches = np.broadcast_to(batch, len(lines.line_no))[at]
    return zip(batches.tolist(), lines.line_no[at].tolist(), strict=True)


def _is_among(accounts: Accounts, others: Accounts) -> NDArray[np.bool_]:
    """Tell by account whether it is one of others."""
    found = np.zeros(len(accounts.who), bool)
    for who in np.unique(others.who).tolist():
        theirs = others.key[others.who == who]
        found |= (accounts.who == who) & np.isin(accounts.key, theirs)
    return found
