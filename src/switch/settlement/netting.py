"""Netting: positions of a cycle from the sums by debtor agent and receiver.

IN: pair_sum, pair_count int64[participants, participants], row the debtor agent, column the
creditor agent. OUT: one position a participant that took part. Lines whose debtor agent is their
creditor agent are on-us (domain P12): they need no interbank leg and enter no position.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from switch.arguments import checked, whole
from switch.errors import UsageError
from switch.registry.directory import Directory


class Position(NamedTuple):
    """A participant's position in a cycle, in minor units. net: credit - debit."""

    participant: str
    settled_by: str
    credit_count: int
    credit_sum: int
    debit_count: int
    debit_sum: int
    net: int


def require_balanced(nets: list[int]) -> None:
    """I2: positions of a cycle sum to zero."""
    assert sum(nets) == 0, "positions do not sum to zero"


def positions(
    directory: Directory, pair_sum: NDArray[np.int64], pair_count: NDArray[np.int64]
) -> list[Position]:
    """Multilateral positions, in order of participant code."""
    between_sum, between_count = pair_sum.copy(), pair_count.copy()
    np.fill_diagonal(between_sum, 0)
    np.fill_diagonal(between_count, 0)
    out = []
    for i, participant in enumerate(directory.participants):
        # Sums in Python integers: a column of checked sums may still leave 64 bits together.
        credit_sum = sum(map(int, between_sum[:, i]))
        debit_sum = sum(map(int, between_sum[i, :]))
        credit_count, debit_count = int(between_count[:, i].sum()), int(between_count[i, :].sum())
        if credit_count or debit_count:
            sums = credit_count, credit_sum, debit_count, debit_sum, credit_sum - debit_sum
            out.append(Position(participant.participant, participant.settled_by, *sums))
    require_balanced([p.net for p in out])
    return out


def settlement_nets(cycle: list[Position]) -> dict[str, int]:
    """Net by settlement participant: indirect participants count with the one that settles for
    them. In order of code; nets of zero are kept."""
    nets: dict[str, int] = {}
    for position in cycle:
        nets[position.settled_by] = nets.get(position.settled_by, 0) + position.net
    require_balanced(list(nets.values()))
    return dict(sorted(nets.items()))


def gross_of(pair_sum: NDArray[np.int64]) -> int:
    """Everything that was cleared between different participants, before netting."""
    return sum(map(int, pair_sum.ravel())) - sum(map(int, np.diagonal(pair_sum)))


class Netting(NamedTuple):
    """Money to be paid before netting and after it, in minor units.

    gross: every payment by itself. bilateral: the difference of each pair. multilateral: the net
    positions of the payers, which no netting that keeps positions can get below.
    """

    gross: int
    bilateral: int
    multilateral: int

    @property
    def bilateral_ratio(self) -> float:
        """Share of the gross amount that bilateral netting saves."""
        return 1 - self.bilateral / self.gross if self.gross else 0.0

    @property
    def multilateral_ratio(self) -> float:
        """Share of the gross amount that multilateral netting saves."""
        return 1 - self.multilateral / self.gross if self.gross else 0.0


@checked
def netting_of(pair_sum: ArrayLike) -> Netting:
    """The three amounts from a matrix of sums, row pays column; the diagonal is on-us and left out.

    pair_sum i64[P, P], from zero up. Sums are Python integers, so that none can leave 64 bits.
    """
    given = whole(pair_sum, "pair_sum")
    if given.ndim != 2 or given.shape[0] != given.shape[1]:
        raise UsageError("pair sums are no square table")
    if given.size and int(given.min()) < 0:
        raise UsageError("pair_sum holds a negative amount")
    pairs = given.tolist()
    n = range(len(pairs))
    bilateral = sum(abs(pairs[i][j] - pairs[j][i]) for i in n for j in range(i))
    nets = [sum(pairs[j][i] for j in n) - sum(pairs[i]) for i in n]
    require_balanced(nets)
    netting = Netting(gross_of(given), bilateral, sum(net for net in nets if net > 0))
    assert netting.multilateral <= netting.bilateral <= netting.gross, netting
    return netting
