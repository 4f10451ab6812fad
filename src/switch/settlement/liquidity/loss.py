"""Loss: when a net payer does not pay, the cycle without it, or its shortfall shared by the others.

Concepts: Lamfalussy report (BIS 1990), Principles for Financial Market Infrastructures (CPMI-IOSCO
2012), principles 4 and 13.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple, TypeVar, cast, overload

import numpy as np
from numpy.typing import ArrayLike

from switch.arguments import checked, fit, whole
from switch.errors import InputRefused, UsageError
from switch.outcomes import brief
from switch.settlement.liquidity.queue import Amounts

Who = TypeVar("Who", str, int)
"""Participants by code or by number."""


class Recast(NamedTuple):
    """Net positions i64[P] before and after, both summing to zero, and the change. turned: those
    who were to receive or had nothing to pay and now pay, through no doing of their own."""

    before: Amounts
    after: Amounts
    change: Amounts
    turned: list[int]

    def __repr__(self) -> str:
        return brief(self)


@checked
def recast(
    pair_sum: ArrayLike, defaulters: Collection[int], *, keep_receipts: bool = False
) -> Recast:
    """A cycle without its defaulters: every payment to or from them is taken out, and the others'
    positions are computed again. pair_sum i64[P, P], row pays column. keep_receipts: what others
    pay to a defaulter stays, so that only those go whom nobody can pay."""
    pairs = whole(pair_sum, "pair_sum")
    if pairs.ndim != 2 or pairs.shape[0] != pairs.shape[1]:
        raise UsageError("pair sums are no square table")
    if pairs.size and int(pairs.max()) >= 2**63:
        raise UsageError("pair_sum holds a number out of range")
    pairs = pairs.astype(np.int64)
    if any(not 0 <= p < len(pairs) for p in defaulters):
        raise UsageError("a defaulter is no participant")
    without = pairs.copy()
    for p in defaulters:
        without[p, :] = 0
        if not keep_receipts:
            without[:, p] = 0
    before, after = _net(pairs), _net(without)
    turned = np.flatnonzero((before >= 0) & (after < 0)).tolist()
    return Recast(before, after, after - before, turned)


def _net(pairs: Amounts) -> Amounts:
    # In Python integers: a row of sums may leave 64 bits, which must not wrap.
    rows = pairs.tolist()
    columns = pairs.T.tolist()
    net = [sum(got) - sum(paid) for got, paid in zip(columns, rows, strict=True)]
    assert sum(net) == 0, "positions do not sum to zero"
    if net and max(max(net), -min(net)) >= 2**63:
        raise InputRefused("TOTAL_RANGE", "positions leave 64 bits", remedy="check the amounts")
    return np.array(net, np.int64)


@overload
def share_loss(amount: int, weights: Mapping[Who, int]) -> dict[Who, int]: ...
@overload
def share_loss(amount: int, weights: Sequence[int]) -> dict[int, int]: ...
def share_loss(
    amount: int, weights: Mapping[Who, int] | Sequence[int]
) -> dict[Who, int] | dict[int, int]:
    """Split an amount by weights, to the last unit.

    Largest remainder: everyone gets the whole part of its share, and those with the largest
    fractions one more, ties to the lower id. weights by id, or in order of participants.
    """
    if isinstance(weights, Mapping):
        return _shared(amount, weights)
    return _shared(amount, dict(enumerate(whole(weights, "weights").ravel().tolist())))


def _shared(amount: int, given: Mapping[Who, int]) -> dict[Who, int]:
    amount = cast(int, fit("amount", amount, int))
    given = {who: cast(int, fit("weights", weight, int)) for who, weight in given.items()}
    if len({type(who) for who in given}) > 1:
        raise UsageError("weights are of participants by code or by number, not of both")
    total = sum(given.values())
    if amount < 0:
        raise UsageError("a loss is not negative")
    if any(w < 0 for w in given.values()) or (amount and not total):
        raise UsageError("a loss is shared by weights that are not negative and not all zero")
    out = {p: amount * w // total if total else 0 for p, w in given.items()}
    left = amount - sum(out.values())
    by_fraction = sorted(given, key=lambda p: (-(amount * given[p] % max(total, 1)), p))
    for p in by_fraction[:left]:
        out[p] += 1
    return out
