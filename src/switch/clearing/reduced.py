"""Reduced: what all shares of a batch add up to, in integers, whoever judged them.

Read as `_core.Core` and `kernel.Kernel` are by whoever nets a batch.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from switch.clearing.exclusive import Key
from switch.clearing.held import Tally, add
from switch.clearing.partition import Cleared, Sums, unpacked
from switch.errors import InputRefused
from switch.reason import REASONS_COUNT, RULE_SETS

KEYS_MAX = 4096
"""Distinct (benefit, period) of one batch (native/ledger)."""
INT64_MAX = 2**63 - 1


class Totals(NamedTuple):
    """Sums of what cleared, as `_core.Core` has them: by payer and receiver, and by programme."""

    pair_sum: NDArray[np.int64]
    pair_count: NDArray[np.int64]
    benefit_sum: NDArray[np.int64]


class Reduced:
    """Sums of all shares. Raises InputRefused where what one process would refuse is beyond what
    a batch may hold."""

    def __init__(self, participants: int, file: str, shares: list[Sums]) -> None:
        """participants: of the directory. file: name of the table, for messages."""
        self._file = file
        self.core = self._totals(participants, shares)
        self.tally: Tally = [(0, 0)] * REASONS_COUNT
        """(count, sum) by reason number; sums are exact."""
        for share in shares:
            self.tally = add(self.tally, share.tally)
        self.rule_set = min((share.rule_set for share in shares), key=RULE_SETS.index)
        """The oldest rules by which all lines are answered as they were."""
        self.has_replaced = any(share.has_replaced for share in shares)
        """Some line was for an id that another stands in place of."""

    def _totals(self, participants: int, shares: list[Sums]) -> Totals:
        counts: dict[tuple[int, int], int] = {}
        sums: dict[tuple[int, int], int] = {}
        benefits = [0] * len(shares[0].benefits)
        for share in shares:
            for payer, receiver, count, sum_ in share.pairs:
                counts[payer, receiver] = counts.get((payer, receiver), 0) + count
                sums[payer, receiver] = sums.get((payer, receiver), 0) + sum_
            benefits = [a + b for a, b in zip(benefits, share.benefits, strict=True)]
        if max([0, *sums.values(), *benefits]) > INT64_MAX:
            raise self._refused("TOTAL_RANGE", "a sum of cleared amounts leaves 64 bits")
        pair_sum, pair_count = np.zeros((2, participants, participants), np.int64)
        for pair, sum_ in sums.items():
            pair_sum[pair], pair_count[pair] = sum_, counts[pair]
        return Totals(pair_sum, pair_count, np.array(benefits, np.int64))

    def cleared(self, shares: Iterable[Cleared]) -> dict[Key, NDArray[np.uint64]]:
        """Words of everyone cleared in this batch, by (benefit, month)."""
        found: dict[Key, NDArray[np.uint64]] = {}
        for benefit, month, count, content in (part for share in shares for part in share):
            bits = unpacked(count, content)
            if (benefit, month) in found:
                bits |= found[benefit, month]
            found[benefit, month] = bits
        if len(found) > KEYS_MAX:
            what = f"more than {KEYS_MAX} distinct (benefit, period) in one batch"
            raise self._refused("PERIOD_LIMIT", what)
        return dict(sorted(found.items()))

    def _refused(self, rule: str, what: str) -> InputRefused:
        return InputRefused(rule, what, file=self._file, remedy="split the table")
