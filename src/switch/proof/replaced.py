"""Replaced ids proven: who carries an id now, by every version of the register.

Pairs are read from the bytes that docs/formats.md draws and followed one by one. They only become
more: each names the version from which on it holds, so that what a batch was judged by is known
though its version was dropped.
"""

from __future__ import annotations

import functools
from collections.abc import Collection, Iterator
from typing import Any, NamedTuple

import msgspec
import numpy as np

from switch.home.rows import RegisterRow
from switch.home.store import Home
from switch.outcomes import Check
from switch.proof.registers import entries_of_rows, kept, rows_of_ids

NAME = "replaced.bin"
FORMAT = 8
"""The least format of a home with pairs."""
_PAIR = np.dtype("<u8,<u8,<u8")
_ID_LIMIT = 10**12


class _Pair(NamedTuple):
    """An id of before, that in its place, and the version from which on it is so."""

    old: int
    by: int
    version: int


class Joined(NamedTuple):
    """Rows that are of one person, by a version: those of ids of before, and of the present ids."""

    old: Any
    now: Any

    def with_rows(self, rows: Any) -> Any:
        """Rows with all that are of the same persons. rows: of present ids."""
        return np.concatenate([rows, self.old[np.isin(self.now, rows)]])

    def of_row(self, row: int) -> set[int]:
        """All rows of the person of a row."""
        there = self.now[self.old == row]
        now = int(there[0]) if len(there) else row
        return {now, *self.old[self.now == now].tolist()}


class ReplacedIds:
    """Pairs of a home. faults: files that are not as they were committed, which are left alone."""

    def __init__(self, home: Home, faults: Collection[str] = ()) -> None:
        self._home = home
        self._joined: dict[int, Joined] = {}
        self._is_broken = any(path.startswith("registers/") for path in faults)

    @functools.cached_property
    def _by_version(self) -> dict[int, list[_Pair]]:
        """Pairs of each kept version's file."""
        found = {}
        for version in [] if self._is_broken else kept(self._home):
            path = self._home.folder("registers", version.seq) / NAME
            if NAME in _info(version)["files"]:
                found[version.seq] = [_Pair(*one) for one in np.fromfile(path, _PAIR).tolist()]
        return found

    @functools.cached_property
    def _pairs(self) -> list[_Pair]:
        return [pair for pairs in self._by_version.values() for pair in pairs]

    @functools.cached_property
    def _rows(self) -> dict[int, int]:
        return rows_of_ids(self._home, {one for pair in self._pairs for one in pair[:2]})

    def of(self, version: int) -> Joined:
        """Rows that are of one person by a version of the register."""
        if version not in self._joined:
            self._joined[version] = self._join(version)
        return self._joined[version]

    def _join(self, version: int) -> Joined:
        by = {pair.old: pair.by for pair in self._pairs if pair.version <= version}
        ends = {old: _end(old, by) for old in by}
        both = [
            (self._rows[old], self._rows[now])
            for old, now in ends.items()
            if now is not None and old in self._rows and now in self._rows
        ]
        found = np.array(both, np.int64).reshape(-1, 2)
        return Joined(found[:, 0], found[:, 1])

    def checks(self) -> Iterator[Check]:
        """All that pairs say of themselves, and of the accounts of their people."""
        versions = self._home.catalog.registers()
        if not any(_info(version).get("replaced_ids") for version in versions):
            return
        made = int(self._home.catalog.meta("format"))
        fault = "" if made >= FORMAT else f"a home with replaced ids has format {made}"
        yield Check("register", "format of a home with replaced ids", fault)
        chain = kept(self._home)
        yield Check("register", "replaced ids", self._fault(chain))
        before = 0
        for version in versions:
            yield Check(
                "register",
                f"version {version.seq}, replaced ids",
                self._count_fault(version, before),
            )
            before = _info(version).get("replaced_ids", 0)
        yield Check("register", "accounts of replaced ids", self._accounts_fault(chain))

    def _fault(self, chain: list[RegisterRow]) -> str:
        """The fault of the pairs that are kept."""
        whole = chain[0].seq
        for seq, pairs in self._by_version.items():
            olds = [pair.old for pair in pairs]
            if olds != sorted(set(olds)):
                return f"those of version {seq} stand in no order, or twice"
            if any(pair.version != seq for pair in pairs if seq != whole or pair.version > seq):
                return f"version {seq} has pairs of another version"
        by = {pair.old: pair.by for pair in self._pairs}
        if len(by) != len(self._pairs):
            return "an id is replaced twice"
        if any(not 0 <= one < _ID_LIMIT for pair in self._pairs for one in pair[:2]):
            return "an id has more than 12 digits"
        if any(_end(old, by) is None for old in by):
            return "ids replace each other in a circle"
        if any(_end(old, by) not in self._rows for old in by):
            return "an id at the end of a chain is in no register"
        return ""

    def _count_fault(self, version: RegisterRow, before: int) -> str:
        """The fault of how many pairs a version says that it has. before: in the one before it."""
        info, counts = _info(version), msgspec.json.decode(version.manifest)["counts"]
        said = info.get("replaced_ids", 0)
        there = sum(pair.version <= version.seq for pair in self._pairs)
        if said != there:
            return f"it says {said}, and {there} are there"
        if not 0 <= said - before <= counts.get("replaced_ids", 0):
            return "it has other pairs than those before and those that came"
        return ""

    def _accounts_fault(self, chain: list[RegisterRow]) -> str:
        """The fault of a person whose present id lacks an account of one of before, which is not
        that of a representative who is the same person."""
        by = {pair.old: pair.by for pair in self._pairs}
        joined = self.of(chain[-1].seq)
        accounts = entries_of_rows(self._home, chain, {*joined.old.tolist(), *joined.now.tolist()})
        ids = {row: one for one, row in self._rows.items()}
        for old, now in zip(joined.old.tolist(), joined.now.tolist(), strict=True):
            person = _end(ids[now], by)
            own = {
                key
                for key, whose in accounts.get(old, {}).items()
                if whose is None or _end(whose, by) != person
            }
            if not own <= accounts.get(now, {}).keys():
                return f"row {now} lacks an account of row {old}, which is the same person's"
        return ""


def _end(person: int, by: dict[int, int]) -> int | None:
    """The id at the end of a chain; None where it has no end."""
    seen = set()
    while person in by:
        if person in seen:
            return None
        seen.add(person)
        person = by[person]
    return person


def _info(version: RegisterRow) -> dict[str, Any]:
    found: dict[str, Any] = msgspec.json.decode(version.manifest)["register"]
    return found
