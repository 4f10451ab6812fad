"""Account sums: what each of many accounts was sent, in arrays that are asked for whole chunks.

Open addressing without a loop over accounts: all of a chunk look at their slots at once, and those
whose slot is another account's at the next one, until each has found its own.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

SUM_MOST = 1 << 61
"""Sums stop here, far beyond any limit, so that those of one chunk more stay in 64 bits."""
_SLOTS_LEAST = 1 << 12
_FREE = np.uint64(2**64 - 1)
"""Key of a slot that is nobody's: no account has it."""
_STEP, _STEP_WHO = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xD6E8FEB86659FD93)

Slots = NDArray[np.intp]


class AccountSums:
    """Sums in minor units by account: the index of its participant, and its number there. Whoever
    changes them holds the slots that `of` gave last."""

    def __init__(self, slots: int = _SLOTS_LEAST) -> None:
        """slots: a power of two."""
        self._count = 0
        """Slots that are taken, at most: where several lines take one, it is counted for each."""
        self._keys = np.full(slots, _FREE)
        self._who = np.zeros(slots, np.uint16)
        self.sums = np.zeros(slots, np.int64)
        self._shift = np.uint64(64 - (slots.bit_length() - 1))

    def of(self, who: NDArray[np.uint16], key: NDArray[np.uint64]) -> Slots:
        """Slots of accounts; those that were not there have one from now on, with a sum of 0."""
        if 2 * (self._count + len(key)) > len(self._keys):
            self._grow(self._count + len(key))
        slot = self._first(who, key)
        mask, todo = len(self._keys) - 1, np.arange(len(key))
        while len(todo):
            at = slot[todo]
            free = np.flatnonzero(self._keys[at] == _FREE)
            if len(free):
                # Of several that take one slot the last one has it, and the others look on.
                mine = todo[free]
                self._keys[at[free]], self._who[at[free]] = key[mine], who[mine]
                self._count += len(free)
            found = (self._keys[at] == key[todo]) & (self._who[at] == who[todo])
            todo = todo[~found]
            slot[todo] = slot[todo] + 1 & mask
        return slot

    def _first(self, who: NDArray[np.uint16], key: NDArray[np.uint64]) -> Slots:
        mixed = (key ^ who.astype(np.uint64) * _STEP_WHO) * _STEP
        return (mixed >> self._shift).astype(np.intp)

    def _grow(self, count: int) -> None:
        used = np.flatnonzero(self._keys != _FREE)
        wider = AccountSums(1 << (4 * count - 1).bit_length())
        wider.sums[wider.of(self._who[used], self._keys[used])] = self.sums[used]
        vars(self).update(vars(wider))

    def add(self, slots: Slots, amounts: NDArray[np.int64]) -> None:
        """Add amounts of one chunk to the sums of their accounts; they may be taken away again
        before `stop`."""
        np.add.at(self.sums, slots, amounts)

    def take_away(self, slots: Slots, amounts: NDArray[np.int64]) -> None:
        """Take amounts away that were added."""
        np.subtract.at(self.sums, slots, amounts)

    def stop(self, slots: Slots) -> None:
        """Let sums be SUM_MOST at most."""
        self.sums[slots] = np.minimum(self.sums[slots], SUM_MOST)
