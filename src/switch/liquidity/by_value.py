"""Gridlock resolution by value: payments may overtake each other, and the most value settles.

To choose the set of the highest value is NP-hard (it holds the knapsack), but how much can settle
at all is known from the pair matrix: with payments divisible, it is a flow over P x P pairs,
whatever the number of payments. That flow bounds every answer, prices liquidity, and guides the
choice.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from switch import _choice, _flow
from switch.liquidity.in_order import settle_in_order
from switch.liquidity.queue import Amounts, PaymentQueue, amounts, floors

STEPS_MAX = 20_000_000
"""Payments looked at; some tens of milliseconds. It is work and not time, so that an answer does
not depend on the machine."""
ALL_SUBSETS_MAX = 20
"""Up to so many payments every subset is looked at."""
FLOWS_MAX = 32
"""How often the flow is asked again before payments are cancelled without it."""


class ByValue(NamedTuple):
    """What settles together, and how far it can be from the best.

    kept bool[N]; balance i64[P] afterwards; value and payments_count: of what settles. bound:
    nothing above it can settle; gap: (bound - value) / bound. level i64[P] proves the bound: what
    one unit more of liquidity at a participant would let settle. complete: the search ended by
    itself, and not with its steps or its time.
    """

    kept: NDArray[np.bool_]
    balance: Amounts
    value: int
    payments_count: int
    bound: int
    gap: float
    level: Amounts
    complete: bool


class Flow(NamedTuple):
    """A flow of least cost over the pair matrix: cancel i64[P, P], and the level of each."""

    cancel: Amounts
    level: Amounts


def least_cancelled(pair_sum: Amounts, left: Amounts) -> Flow:
    """The least value to cancel so that nobody is below zero, payments being divisible.

    pair_sum i64[P, P]; left i64[P]: what each has left above its floor if all of it settles. With
    left = net positions (no liquidity at all) what is not cancelled is the largest circulation:
    what obligation clearing can set off without anybody paying.
    """
    p = len(left)
    cancel = np.zeros(p * p, np.int64)
    level = np.zeros(p, np.int64)
    _flow.least_cancelled(
        np.ascontiguousarray(pair_sum).ravel(),
        -left,
        cancel,
        level,
        np.empty(p, np.int64),
        np.empty(p, np.int32),
        np.empty(p, np.int32),
        np.empty(p, np.uint8),
    )
    return Flow(cancel.reshape(p, p), level)


def settle_by_value(
    queue: PaymentQueue,
    balance: ArrayLike,
    floor: ArrayLike = 0,
    *,
    steps_max: int = STEPS_MAX,
) -> ByValue:
    """Settle at once a set of payments of high value, in whatever order they are queued.

    balance and floor as in `settle_in_order`. Whole payments are cancelled as the flow cancels
    parts of pairs; what is then still lacking is freed from the highest level down, at the least
    cost by the levels; the flow is asked again for what that leaves. In the end payments are added
    back in descending amount, and exchanged as long as that gains. Never below what settles in
    order; with too few steps it is that. Up to 20 payments the answer is the best, and its own
    bound.
    """
    p, n = queue.participants, len(queue)
    before = amounts(balance, p, "balance")
    least = floors(before, amounts(floor, p, "floor"))
    ordered = settle_in_order(queue, before, least)
    left = before - least + queue.net()
    flow = least_cancelled(queue.pair_sum, left)
    bound = queue.value - int(flow.cancel.sum())
    kept, balance_after, complete = ordered.kept, ordered.balance, True
    if ordered.payments_count < n:
        level = flow.level.copy()
        pair_sum = queue.pair_sum.ravel().copy()
        chosen = np.ones(n, np.uint8)
        ranked = np.empty(n, np.int32)
        _choice.rank(queue.amount, ranked, np.empty(n, np.int32))
        choice = _choice.ByValue(
            queue.sender,
            queue.receiver,
            queue.amount,
            ranked,
            np.empty(n, np.int32),
            np.empty(p + 1, np.int32),
            level,
            left,
            pair_sum,
            chosen,
            steps_max,
        )
        guided = _follow(choice, flow, pair_sum, left, level)
        if not guided or queue.value_of(chosen.view(np.bool_)) < ordered.value:
            chosen[:] = ordered.kept
            left[:] = ordered.balance - least
            pair_sum[:] = _sums(queue, ordered.kept)
        level[:] = flow.level
        if n <= ALL_SUBSETS_MAX:
            choice.try_all()
            bound = queue.value_of(chosen.view(np.bool_))
        else:
            complete = choice.improve()
        kept, balance_after = chosen.view(np.bool_), left + least
    value = queue.value_of(kept)
    gap = (bound - value) / bound if bound else 0.0
    count = int(np.count_nonzero(kept))
    return ByValue(kept, balance_after, value, count, bound, gap, flow.level, complete)


def _follow(
    choice: _choice.ByValue, flow: Flow, pair_sum: Amounts, left: Amounts, level: Amounts
) -> bool:
    """Cancel along flows until nobody lacks anything; False out of steps. choice keeps pair_sum and
    left as what settles, and reads level."""
    p = len(left)
    for _ in range(FLOWS_MAX):
        if not choice.follow(flow.cancel.ravel().copy()):
            return False
        if left.min() >= 0:
            return True
        flow = least_cancelled(pair_sum.reshape(p, p), left)
        level[:] = flow.level
    return choice.free_all()


def _sums(queue: PaymentQueue, kept: NDArray[np.bool_]) -> Amounts:
    p = queue.participants
    sums = np.zeros(p * p, np.int64)
    _flow.pair_sums(queue.sender[kept], queue.receiver[kept], queue.amount[kept], p, sums)
    return sums
