"""Replaced ids: who carries an id now that was of before, as the population database says.

A pair (old id, id in its place) holds for good: what was paid by the old one was paid to a person
whom only the pair knows, so that none is ever taken back or given another end. Chains end at the
last id. IN: tables of pairs, pairs of versions at rest. OUT: the last id of every one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
from numpy.typing import NDArray

from switch.errors import InputRefused, VerificationFailed

NAME = "replaced.bin"
"""File of the pairs that came with a version; only a version with which any came has it."""
PAIR = np.dtype([("old", "<u8"), ("by", "<u8"), ("version", "<u8")])
"""An id, that in its place, and the version of the register from which on it is so."""
_STEPS_MAX = 64
"""Doublings that reach the end of every chain of fewer than 2**64 ids."""

Ids = NDArray[np.uint64]


class Replaced:
    """Pairs of one version of the register, in order of the old id."""

    def __init__(self, pairs: NDArray[np.void]) -> None:
        """pairs: PAIR, in any order. Raises VerificationFailed for an id twice, or a cycle."""
        self.pairs = pairs[np.argsort(pairs["old"], kind="stable")]
        self._old = self.pairs["old"].astype(np.uint64)
        if (self._old[1:] == self._old[:-1]).any():
            raise VerificationFailed(f"{NAME} has an id twice")
        self._last, is_open = _ends(self._old, self.pairs["by"].astype(np.uint64))
        if is_open.any():
            raise VerificationFailed(f"{NAME} goes round in a circle")

    def __len__(self) -> int:
        return len(self._old)

    @property
    def old(self) -> Ids:
        """All ids of before, ascending."""
        return self._old

    @property
    def last(self) -> Ids:
        """The id that each of them has now."""
        return self._last

    def of(self, ids: NDArray[np.integer]) -> Ids:
        """Ids (uint64[n]) as they are now: each that was not replaced is itself."""
        given: Ids = np.ascontiguousarray(ids, np.uint64)
        if not len(self):
            return given
        place, is_old = places(self._old, given)
        return np.where(is_old, self._last[place], given)

    def id_of(self, person_id: str) -> str:
        """The id (12 digits) that a person has now, of one that they have or had."""
        return f"{int(self.of(np.array([int(person_id)], np.uint64))[0]):012d}"

    def olds_of(self, person_id: int) -> list[int]:
        """Ids of before of the person who carries an id now, ascending."""
        found: list[int] = self._old[self._last == np.uint64(person_id)].tolist()
        return found

    def with_table(
        self,
        table: tuple[Ids, Ids],
        version: int,
        file: str,
        are_known: Callable[[Ids], NDArray[np.bool_]],
    ) -> tuple[Replaced, Ids]:
        """(these pairs and those of a table, old ids of those that are new). table: old ids, and
        those in their places, row by row; are_known: which of some ids the population register has.
        Raises InputRefused, which names file, row and column."""
        old, by = table
        if (rows := np.flatnonzero(old == by)).size:
            raise _refused(_SELF, int(rows[0]), file)
        place, is_there = places(self._old, old)
        known = self.pairs["by"].astype(np.uint64)
        other = is_there & (known[place] != by) if len(self) else np.zeros(len(old), bool)
        fresh, first, which = np.unique(old, return_index=True, return_inverse=True)
        other |= by != by[first][which]
        if other.any():
            raise _refused(_OTHERWISE, int(np.argmax(other)), file)
        is_new = ~is_there[first]
        fresh, first = fresh[is_new], first[is_new]
        made = np.empty(len(fresh), PAIR)
        made["old"], made["by"], made["version"] = fresh, by[first], version
        joined = np.concatenate([self.pairs, made])
        joined = joined[np.argsort(joined["old"], kind="stable")]
        olds = joined["old"].astype(np.uint64)
        ends, is_open = _ends(olds, joined["by"].astype(np.uint64))
        place, _ = places(olds, old)
        if is_open.any():
            raise _refused(_CYCLE, int(np.argmax(is_open[place])), file)
        lacks = ~are_known(ends[place])
        if lacks.any():
            raise _refused(_UNKNOWN, int(np.argmax(lacks)), file)
        return Replaced(joined), fresh


def named(before: Replaced, tables: Iterable[tuple[Ids, Ids]]) -> Ids:
    """All ids that a change by tables of pairs is about: those of before, and those at the ends of
    their chains. What is wrong with a table is not said here."""
    parts = list(tables)
    old = np.concatenate([before.old, *(part[0] for part in parts)])
    by = np.concatenate([before.pairs["by"].astype(np.uint64), *(part[1] for part in parts)])
    olds, first = np.unique(old, return_index=True)
    ends, _ = _ends(olds, by[first])
    mine = np.unique(np.concatenate([part[0] for part in parts]))
    return np.concatenate([mine, ends[np.searchsorted(olds, mine)]])


def places(old: Ids, ids: Ids) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
    """(place of each of some ids among the old ones, which are there)."""
    if not len(old):
        return np.zeros(len(ids), np.intp), np.zeros(len(ids), bool)
    # In their order a million is found in a fifth of the time.
    order = np.argsort(ids)
    place = np.empty(len(ids), np.intp)
    place[order] = np.searchsorted(old, ids[order]).clip(max=len(old) - 1)
    return place, old[place] == ids


def _ends(old: Ids, by: Ids) -> tuple[Ids, NDArray[np.bool_]]:
    """(the ends of the chains of old ids, which have none as they go round). old: ascending."""
    last = by.copy()
    for _ in range(_STEPS_MAX):
        place, goes_on = places(old, last)
        if not goes_on.any():
            break
        last[goes_on] = last[place[goes_on]]
    return last, goes_on


_SELF = (
    "REPLACED_SELF",
    "the id is replaced by itself",
    "write the id that the person has now, or leave the row out",
)
_OTHERWISE = (
    "REPLACED_OTHERWISE",
    "the id was replaced by another one already, here or before",
    "a pair holds for good: leave it as it was; where the id in its place changed, too, give that"
    " one's own row",
)
_CYCLE = (
    "REPLACED_CYCLE",
    "the ids replace each other in a circle",
    "leave out the row that leads back: a chain ends at the id that the person has now",
)
_UNKNOWN = (
    "REPLACED_UNKNOWN",
    "the population register does not have the id at the end of the chain",
    "load the record of the person with the new id before it, or in the same command"
    " (--population)",
)


def _refused(why: tuple[str, str, str], row: int, file: str) -> InputRefused:
    rule, what, remedy = why
    return InputRefused(rule, what, file=file, row=row + 1, column="replaced_by", remedy=remedy)


NONE = Replaced(np.empty(0, PAIR))
"""Pairs of a register that has none."""
