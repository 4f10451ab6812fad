"""Fewest transfers: positions that sum to zero, settled with as few transfers as possible.

n participants who pay or receive need n less the number of groups that settle among themselves:
a group of g needs g - 1. To find the most groups is NP-hard; up to 20 movers it is done exactly.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from switch.arguments import checked
from switch.errors import InputRefused, UsageError
from switch.native import flow
from switch.outcomes import brief
from switch.settlement.liquidity.queue import column

MOVERS_MAX = 20


class Transfer(NamedTuple):
    payer: int
    receiver: int
    amount: int


class Transfers(NamedTuple):
    """transfers in order; no settlement can do with less than lower_bound; exact: this one cannot
    be bettered."""

    transfers: list[Transfer]
    lower_bound: int
    exact: bool

    def __repr__(self) -> str:
        return brief(self)


@checked
def fewest_transfers(position: ArrayLike) -> Transfers:
    """Transfers that settle positions that sum to zero. position: i64[P], positive receives.

    Equal and opposite positions are paired first, which is never wrong: any grouping in which they
    stand apart or among others can be changed so that they are a pair, and has as many groups. Of
    what is left, up to 20 movers are grouped exactly. Above that a transfer from the largest payer
    to the largest receiver settles one of them, and the rest is looked at again. The lower bound
    is max(payers, receivers), for each transfer has one of each.
    """
    given = column(position, np.int64, "position").tolist()
    if sum(given):
        raise UsageError(f"positions sum to {sum(given)}, not to zero")
    if sum(p for p in given if p > 0) > 2**62:
        raise InputRefused("TOTAL_RANGE", "positions leave 62 bits", remedy="check the amounts")
    rest = {p: amount for p, amount in enumerate(given) if amount}
    lower_bound = max(sum(a < 0 for a in rest.values()), sum(a > 0 for a in rest.values()))
    out: list[Transfer] = []
    exact = True
    while rest:
        out += _pairs(rest)
        if len(rest) <= MOVERS_MAX:
            for group in _groups(rest):
                out += _largest_first({p: rest[p] for p in group})
            break
        exact = False
        out.append(_largest(rest))
    return Transfers(out, lower_bound, exact or len(out) == lower_bound)


def _largest_first(rest: dict[int, int]) -> list[Transfer]:
    """The largest payer pays the largest receiver, again and again, until the rest is settled.

    Each settles one of the two at least, the last one both: at most one less than movers.
    """
    out = []
    while rest:
        out.append(_largest(rest))
    return out


def _largest(rest: dict[int, int]) -> Transfer:
    """The transfer between the largest of both sides, the first where equal; rest is changed."""
    payer = min(rest, key=lambda p: (rest[p], p))
    receiver = min(rest, key=lambda p: (-rest[p], p))
    amount = min(-rest[payer], rest[receiver])
    for p, change in ((payer, amount), (receiver, -amount)):
        rest[p] += change
        if not rest[p]:
            del rest[p]
    return Transfer(payer, receiver, amount)


def _pairs(rest: dict[int, int]) -> list[Transfer]:
    """Transfers between equal and opposite positions, which leave the rest."""
    receivers: dict[int, list[int]] = {}
    for p in sorted(rest, reverse=True):
        if rest[p] > 0:
            receivers.setdefault(rest[p], []).append(p)
    out = []
    for p in sorted(rest):
        opposite = receivers.get(-rest[p])
        if rest[p] < 0 and opposite:
            out.append(Transfer(p, opposite.pop(), -rest[p]))
    for payer, receiver, _ in out:
        del rest[payer], rest[receiver]
    return out


def _groups(rest: dict[int, int]) -> list[list[int]]:
    """Groups that sum to zero each, as many as possible."""
    movers = sorted(rest)
    if not movers:
        return []
    n = len(movers)
    group = np.empty(n, np.uint8)
    position = np.array([rest[p] for p in movers], np.int64)
    count = flow.zero_groups(
        position, np.empty(1 << n, np.uint8), np.empty(1 << n, np.int64), group
    )
    out: list[list[int]] = [[] for _ in range(count)]
    for p, number in zip(movers, group.tolist(), strict=True):
        out[number].append(p)
    return out
