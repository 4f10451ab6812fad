"""Exclusive groups: of the benefits of a group one alone is paid to a person in a period.

The programme table names the groups. Benefits of one share the paid bits that posting asks, so that
the second is refused as if it were the first again; here it is told why, and by which.
Columns IN: reason as posting left it, row, benefit, month. OUT: reason EXCLUDED.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from switch.reason import REASONS_COUNT, Reason

Bits = NDArray[np.uint64]
BitsOf = Callable[[int, int], Bits]
"""Pairs of words of a (benefit, month): who was paid before; behind each word, whom this batch
clears (home/paid_bits)."""
Key = tuple[int, int]

_TAKEN = (Reason.PAID_BEFORE, Reason.DUPLICATE_IN_TABLE)


class Exclusive:
    """The paid bits of one batch, each benefit's own and those that a group shares."""

    def __init__(self, groups: NDArray[np.uint16], bits_of: BitsOf) -> None:
        """groups: by benefit the first benefit of its group, itself where it has none. bits_of: a
        benefit's own bits, as earlier batches and the loaded history left them."""
        self._first = groups
        self._bits_of = bits_of
        counts = np.bincount(groups, minlength=len(groups))
        self._is_grouped = counts[groups] > 1
        self.is_used = bool(self._is_grouped.any())
        self._own: dict[Key, Bits] = {}
        self._shared: dict[Key, Bits] = {}
        self._moved: list[tuple[int, int]] = [(0, 0)] * REASONS_COUNT

    def bits_of(self, benefit: int, month: int) -> Bits:
        """Bits that posting asks for a key: all benefits of a group are given the same ones."""
        if not self._is_grouped[benefit]:
            return self._bits_of(benefit, month)
        first = int(self._first[benefit])
        bits = self._shared.get((first, month))
        if bits is None:
            members = np.flatnonzero(self._first == first).tolist()
            bits = self._shared[first, month] = self._bits_of(members[0], month)
            for member in members[1:]:
                bits |= self._bits_of(member, month)
        return bits

    def judge(
        self,
        reason: NDArray[np.uint8],
        row: NDArray[np.uint32],
        benefit: NDArray[np.uint16],
        month: NDArray[np.uint16],
    ) -> NDArray[np.intp]:
        """Write EXCLUDED for lines that posting refused for another benefit of their group; their
        places. All lines that were posted before, or with these, are known to it."""
        grouped = np.flatnonzero(self._is_grouped[np.minimum(benefit, len(self._first) - 1)])
        went = grouped[reason[grouped] == Reason.NONE]
        for key, at in _by_key(went, benefit, month):
            words = self._own_bits(key)[1::2]
            rows = row[at]
            np.bitwise_or.at(words, rows >> 6, np.uint64(1) << (rows & 63).astype(np.uint64))
        excluded = [np.zeros(0, np.intp)]
        taken = grouped[np.isin(reason[grouped], _TAKEN)]
        for key, at in _by_key(taken, benefit, month):
            bits = self._own_bits(key)
            excluded.append(at[~_has(bits[0::2] | bits[1::2], row[at])])
        places = np.sort(np.concatenate(excluded))
        reason[places] = Reason.EXCLUDED
        return places

    def by(self, row: int, benefit: int, month: int) -> int:
        """The benefit by which a person's line is excluded: the first of its group that was paid,
        before or in this batch."""
        members = np.flatnonzero(self._first == self._first[benefit]).tolist()
        for member in members:
            bits = self._own_bits((member, month))
            if member != benefit and _has(bits[0::2] | bits[1::2], np.array([row])).all():
                return int(member)
        raise AssertionError("a line is excluded by no benefit")

    def count(
        self, before: NDArray[np.uint8], now: NDArray[np.uint8], amount: NDArray[np.int64]
    ) -> None:
        """Remember how a tally changes where lines have another reason now. Arrays of equal
        length: reasons as posting counted them, reasons as they are, amounts in minor units."""
        for reasons, sign in ((before, -1), (now, 1)):
            for number in np.unique(reasons).tolist():
                mine = amount[reasons == number]
                count, sum_ = self._moved[number]
                total = sum(mine.tolist())  # Of Python, which knows no bound of 64 bits.
                self._moved[number] = count + sign * len(mine), sum_ + sign * total

    def tally(self, posted: list[tuple[int, int]]) -> list[tuple[int, int]]:
        """(count, sum) by reason number, from those that posting counted."""
        return [(c + d, s + t) for (c, s), (d, t) in zip(posted, self._moved, strict=True)]

    def cleared(self, found: dict[Key, Bits]) -> dict[Key, Bits]:
        """Words of everyone cleared in this batch, each benefit's own. found: as the core has them
        by key, those of a group shared."""
        return {
            key: np.ascontiguousarray(self._own_bits(key)[1::2])
            if self._is_grouped[key[0]]
            else words
            for key, words in found.items()
        }

    def _own_bits(self, key: Key) -> Bits:
        bits = self._own.get(key)
        if bits is None:
            bits = self._own[key] = self._bits_of(*key)
        return bits


def _by_key(
    at: NDArray[np.intp], benefit: NDArray[np.uint16], month: NDArray[np.uint16]
) -> list[tuple[Key, NDArray[np.intp]]]:
    """Places by (benefit, month) of their lines."""
    keys = benefit[at].astype(np.int64) << 16 | month[at]
    return [
        ((int(key) >> 16, int(key) & 0xFFFF), at[keys == key]) for key in np.unique(keys).tolist()
    ]


def _has(words: Bits, rows: NDArray[np.uint32]) -> NDArray[np.bool_]:
    """True by row where its bit is set."""
    shifts = (rows & 63).astype(np.uint64)
    found: NDArray[np.bool_] = (words[rows >> 6] >> shifts & np.uint64(1)).astype(bool)
    return found
