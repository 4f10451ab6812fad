"""Kernel: the native core of one run, which screens and posts its chunks.

What a batch may not go beyond (sums in 64 bits, keys, persons an account) is said here as a refusal
of the table or as a reason of the line.
"""

from __future__ import annotations

import contextlib
import datetime
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from switch._core import Core
from switch.clearing.admitting import Admitted
from switch.clearing.arrears import Arrears
from switch.clearing.chunk import Chunk
from switch.clearing.exclusive import Exclusive, Key
from switch.clearing.held import Tally, cover_of
from switch.clearing.intake import Lines
from switch.clearing.job import Basis
from switch.clearing.months import months_of
from switch.clearing.next_accounts import Found, NextAccounts, Receivers
from switch.errors import InputRefused
from switch.home import paid_bits
from switch.home.store import Home
from switch.native.screen import Screen
from switch.reason import (
    ARREARS,
    DEATH_STOPS_ALL,
    EACH_BY_ITSELF,
    FIRST_ACCOUNT,
    LIMIT_MONTHS,
    PAY_ARREARS,
    SAY_MORE,
    WAITS_ALONE,
    Reason,
)
from switch.registry.directory import EPOCH, Directory
from switch.registry.load_registers import current_chain
from switch.registry.register import Register
from switch.registry.settings import Settings
from switch.schema import period_of


def core_of(
    home: Home,
    directory: Directory,
    register: Register,
    settings: Settings,
    value_date: datetime.date,
    threads: int = 1,
    exclusive: Exclusive | None = None,
) -> Core:
    """A native core for one batch: registers, directory and who was paid before, as of a day.
    exclusive: of the same home and directory, where its groups are judged."""
    lookups = directory.lookups()
    exclusive = exclusive or exclusive_of(home, directory, register)
    return Core(
        register.table,
        register.since.view(np.uint8),
        register.lists.view(np.uint8),
        codes_of(directory, register, value_date),
        lookups.suspended,
        lookups.amount_max,
        lookups.debtor_agent,
        len(directory.programmes),
        settings.clearing_limit,
        (value_date - EPOCH).days,
        exclusive.bits_of,
        threads,
    )


def codes_of(
    directory: Directory, register: Register, value_date: datetime.date
) -> NDArray[np.uint16]:
    """Directory index of the register's participant codes, as of a day."""
    return register.participant_lookup(directory.index_on(str(value_date)))


def next_accounts_of(
    home: Home, directory: Directory, register: Register, value_date: datetime.date
) -> NextAccounts:
    """Later accounts of people, as of a day."""
    receivers = Receivers(register.participants, directory, value_date)
    has = bool(register.info and register.info.representatives)
    return NextAccounts(lambda: current_chain(home), receivers, len(register.heap), has)


def arrears_of(
    directory: Directory, register: Register, settings: Settings, value_date: datetime.date
) -> Arrears:
    """Arrears of people who are deceased on a day."""

    def screen_of(since: NDArray[np.void]) -> Screen:
        lookups = directory.lookups()
        return Screen(
            register.table,
            since.view(np.uint8),
            register.lists.view(np.uint8),
            codes_of(directory, register, value_date),
            lookups.suspended,
            lookups.amount_max,
            settings.clearing_limit,
            (value_date - EPOCH).days,
        )

    return Arrears(register.since, screen_of)


def exclusive_of(home: Home, directory: Directory, register: Register) -> Exclusive:
    """Exclusive groups of a directory, with who was paid before."""
    before = [home.paid_files(origin) for origin in ("history", "cleared")]
    replaced = register.replaced_rows()

    def bits_of(benefit: int, month: int) -> NDArray[np.uint64]:
        key = (directory.programmes[benefit].benefit, period_of(month))
        files = [known.get(key) for known in before]
        words = (paid_bits.read(*file) for file in files if file is not None)
        pairs: NDArray[np.uint64] = paid_bits.pairs(register.rows, *words)
        paid_bits.join(pairs, *replaced)
        return pairs

    return Exclusive(directory.lookups().group, bits_of)


class Kernel:
    """Screens and posts chunks in table order. core: its sums are read by whoever nets them."""

    def __init__(self, basis: Basis, rooms: dict[str, int]) -> None:
        """rooms: how much more each settlement participant may be debited; lines wait for it."""
        home, directory, register = basis.home, basis.directory, basis.register
        date, most = basis.value_date, basis.settings.accounts_shared_max
        self._benefits = [p.benefit for p in directory.programmes]
        self._exclusive = exclusive_of(home, directory, register)
        self.core = core_of(
            home, directory, register, basis.settings, date, basis.threads, self._exclusive
        )
        if rooms:
            self.core.limit(*cover_of(directory, rooms))
        self._rule_set = basis.rule_set
        self._replaced = register.replaced
        self.has_replaced = False
        """Some line was for an id that another stands in place of."""
        self._arrears = arrears_of(directory, register, basis.settings, date)
        self._next = next_accounts_of(home, directory, register, date)
        self._months = None
        if basis.rule_set in LIMIT_MONTHS:
            known = home, directory, register.heap, date, self._next
            self._months = months_of(*known, again=bool(rooms))
        self._admitted: Admitted | None = None
        if most is not msgspec.UNSET:
            self._admitted = Admitted(most, register.heap)
        self._file = basis.file

    def close(self) -> None:
        """Let go of the core's memory."""
        self.core.close()

    def screen(
        self, lines: Lines, batch: np.uint32 | NDArray[np.uint32], *, again: bool = False
    ) -> Chunk:
        """Authenticate and route lines: their chunk. again: they were screened in this run before,
        and are answered the same."""
        replaced = self._put_right(lines)
        who = lines.amount, lines.person_id, lines.name_key
        found = Found(*self.core.screen(*who, lines.benefit, lines.debtor, lines.agent))
        judged = np.empty(0, np.intp)
        if self._rule_set in PAY_ARREARS:
            judged = self._arrears.judge(lines, found)
        passed = self._next.choose(lines, found, judged) if self._rule_set in SAY_MORE else {}
        if self._months is not None:
            self._months.hold(lines, batch, found, judged, passed, again=again)
        for place in judged:
            if found.reason[place] != Reason.NONE:
                continue
            words = passed.get(int(place))
            passed[int(place)] = ARREARS if words is None else f"{ARREARS}; {words}"
        if self._admitted is not None:
            self._admitted.hold(*found, lines.account)
        return Chunk(lines, batch, *found, replaced=replaced, passed=passed)

    def _put_right(self, lines: Lines) -> NDArray[np.intp]:
        """Put the ids that persons have now in place of those of before; places of these lines.
        What is kept of a line that waits is as it came."""
        now = self._replaced.of(lines.person_id)
        places = np.flatnonzero(now != lines.person_id)
        lines.person_id = now
        self.has_replaced |= bool(len(places))
        return places

    @property
    def rule_set(self) -> str:
        """The oldest rules by which all lines are answered as they were, whatever was sent as one
        credit."""
        if self._months is not None and self._months.has_acted:
            return WAITS_ALONE
        if self._rule_set in PAY_ARREARS and self._arrears.has_found:
            return EACH_BY_ITSELF
        if self._rule_set in SAY_MORE:
            return DEATH_STOPS_ALL if self._next.has_passed else FIRST_ACCOUNT
        return self._rule_set

    def judged(
        self, lines: Iterable[Lines], batch: np.uint32 | NDArray[np.uint32]
    ) -> Iterator[Chunk]:
        """Chunks of lines, screened and posted, in their order."""
        for one in lines:
            chunk = self.screen(one, batch)
            self.post(chunk)
            yield chunk

    def post(self, chunk: Chunk) -> None:
        """Post lines that passed screening: a line clears, waits for cover or is paid already."""
        with self._within_limits():
            self.core.post(*_columns(chunk))
        if self._exclusive.is_used:
            lines, posted = chunk.lines, chunk.reason.copy()
            at = self._exclusive.judge(chunk.reason, chunk.row, lines.benefit, lines.month)
            self._exclusive.count(posted[at], chunk.reason[at], lines.amount[at])
            self.name_excluding(chunk)

    def queue(self, chunk: Chunk) -> None:
        """Put lines that passed screening at the end of the queues for cover, whether there is room
        or not; `release` says what becomes of them."""
        with self._within_limits():
            self.core.wait(*_columns(chunk))

    def release(self) -> NDArray[np.uint8]:
        """Post lines that wait for cover, as far as there is room: a reason for each that waits."""
        waiting = self.core.waiting() if self._exclusive.is_used else None
        with self._within_limits():
            verdict: NDArray[np.uint8] = self.core.release()
        if waiting is not None:
            self._exclusive.judge(verdict, *waiting)
        return verdict

    def seal(self) -> None:
        """Let what is cleared so far count as paid before for the lines that follow."""
        self.core.seal()

    def name_excluding(self, chunk: Chunk) -> None:
        """Name the benefit that was paid in place of each line with reason EXCLUDED."""
        lines = chunk.lines
        for at in np.flatnonzero(chunk.reason == Reason.EXCLUDED).tolist():
            line = int(chunk.row[at]), int(lines.benefit[at]), int(lines.month[at])
            chunk.excluded_by[at] = self._benefits[self._exclusive.by(*line)]

    def tally(self) -> Tally:
        """(count, sum) by reason number so far; sums are exact."""
        return self._exclusive.tally(self.core.tally())

    def cleared(self) -> dict[Key, NDArray[np.uint64]]:
        """Words of everyone cleared in this batch, by (benefit, month)."""
        return self._exclusive.cleared(self.core.cleared())

    @contextlib.contextmanager
    def _within_limits(self) -> Iterator[None]:
        try:
            yield
        except (OverflowError, ValueError) as error:
            raise InputRefused(
                "TOTAL_RANGE" if isinstance(error, OverflowError) else "PERIOD_LIMIT",
                str(error),
                file=self._file,
                remedy="split the table",
            ) from error


def _columns(chunk: Chunk) -> tuple[NDArray[Any], ...]:
    """Columns that posting looks at, as `Core.post` takes them."""
    lines = chunk.lines
    said = (lines.benefit, lines.month, lines.debtor)
    return chunk.reason, chunk.row, *said, chunk.participant, lines.amount
