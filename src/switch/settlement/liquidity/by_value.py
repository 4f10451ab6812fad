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

from switch.arguments import checked
from switch.errors import UsageError
from switch.native import branch, by_value
from switch.native import flow as flow_kernel
from switch.outcomes import brief
from switch.settlement.liquidity.in_order import InOrder, settle_in_order
from switch.settlement.liquidity.queue import Amounts, PaymentQueue, amounts, floors

STEPS_BOUND = 2**40
"""More steps than anybody waits for, and few enough that no product of them leaves 64 bits."""
STEPS_MAX = 8_000_000
"""Payments looked at; some tens of milliseconds. It is work and not time, so that an answer does
not depend on the machine."""
ALL_SUBSETS_MAX = 20
"""Up to so many payments every subset is looked at."""
BRANCHED_MAX = 512
"""Up to so many payments a set of the quick search is searched again, branch by branch,"""
BRANCHED_TIMES = 32
"""with so many times the steps, some seconds at most,"""
BRANCHED_FULLY_MAX = 256
"""up to so many payments, and fewer by the square of what there is more,"""
BRANCHED_SHARE = 64
"""where more than this part of the bound may be missing."""
FLOWS_MAX = 32
"""Times that the flow is asked again before payments are cancelled without it."""
LARGEST_MAX = 8
LARGEST_SHARE = 1000
"""Payments among those that a flow cancels in part which are tried both ways, at most: those on
which more than a thousandth of the queue's value depends."""
MANY_A_PAIR = 16
"""Payments a pair from which on whole payments fit into what a flow cancels without more ado; so
the search begins both ways, with half of the steps each."""
LARGE_FLOWS_MAX = 96
"""Times that the flow is asked, at most, while payments are decided that it would cancel in
part."""


class ByValue(NamedTuple):
    """Payments that settle together, and how far they can be from the best.

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

    def __repr__(self) -> str:
        return brief(self)


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
    return _flow_of(pair_sum, -left)


def _flow_of(pair_sum: Amounts, need: Amounts) -> Flow:
    """The flow; need i64[P] afterwards: what is still lacking where pair_sum is not enough."""
    p = len(need)
    cancel = np.zeros(p * p, np.int64)
    level = np.zeros(p, np.int64)
    sums, narrow = np.ascontiguousarray(pair_sum).ravel(), np.empty((2, p), np.int32)
    room = np.empty(p, np.int64), *narrow, np.empty(p, np.uint8)
    flow_kernel.least_cancelled(sums, need, cancel, level, *room)
    return Flow(cancel.reshape(p, p), level)


@checked
def settle_by_value(
    queue: PaymentQueue, balance: ArrayLike, floor: ArrayLike = 0, *, steps_max: int = STEPS_MAX
) -> ByValue:
    """Settle at once a set of payments of high value, in whatever order they are queued.

    queue, balance and floor as in `settle_in_order`. steps_max: so far it is searched. Payments
    that the flow would cancel in part are decided first, the flow being asked after each few of
    them. Then whole payments are cancelled as the flow cancels parts of pairs; what is then still
    lacking is freed from the highest level down, at the least cost by the levels; the flow is asked
    again for what that leaves. In the end payments are added back in descending amount, and
    exchanged as long as that gains. Never below what settles in order; with too few steps it is
    that. Up to 20 payments the answer is the best, and its own bound. Up to 512 payments it is
    searched on, branch by branch, where more than a 64th of the bound may be missing: up to 256
    payments with 32 times the steps, which fall to eight times for 512; if complete, at most a 64th
    of it is missing to the best.
    """
    if not 0 <= steps_max <= STEPS_BOUND:
        raise UsageError(f"steps_max is not in 0..{STEPS_BOUND}")
    p, n = queue.participants, len(queue)
    before = amounts(balance, p, "balance")
    least = floors(before, amounts(floor, p, "floor"))
    ordered = settle_in_order(queue, before, least)
    # More than everything together changes nothing, and keeps what each has left within 63 bits.
    room = np.minimum(before - least, queue.value)
    left = room + queue.net()
    flow = least_cancelled(queue.pair_sum, left)
    bound = queue.value - int(flow.cancel.sum())
    kept, balance_after, complete = ordered.kept, ordered.balance, True
    if ordered.payments_count < n:
        starts = (True, False) if n >= MANY_A_PAIR * p * p else (True,)
        found = [
            _search(queue, ordered, room, flow, steps_max // len(starts), large) for large in starts
        ]
        kept, complete = max(found, key=lambda one: queue.value_of(one[0]))
        if ALL_SUBSETS_MAX < n <= BRANCHED_MAX:
            lacking = bound - queue.value_of(kept)
            if lacking > bound // BRANCHED_SHARE:
                steps = BRANCHED_TIMES * steps_max
                steps = steps * BRANCHED_FULLY_MAX**2 // max(n, BRANCHED_FULLY_MAX) ** 2
                kept, ended = _branched(queue, room, kept, steps)
                complete = complete and ended
        balance_after = before + _net_of(queue, kept)
        if n <= ALL_SUBSETS_MAX:
            bound = queue.value_of(kept)
    value = queue.value_of(kept)
    gap = (bound - value) / bound if bound else 0.0
    count = int(np.count_nonzero(kept))
    return ByValue(kept, balance_after, value, count, bound, gap, flow.level, complete)


def _branched(
    queue: PaymentQueue, room: Amounts, kept: NDArray[np.bool_], steps_max: int
) -> tuple[NDArray[np.bool_], bool]:
    """(kept or a better set, complete). room i64[P]: what each has above its floor, at most the
    value of the queue."""
    p, n = queue.participants, len(queue)
    ranked = np.empty(n, np.int32)
    by_value.rank(queue.amount, ranked, np.empty(n, np.int32))
    chosen = kept.astype(np.uint8)
    wide = np.empty(2 * p + 10 * n + 256 * (n + 1), np.int64)
    narrow, small = np.empty(2 * p + 7 * n + 2, np.int32), np.empty(3 * n + 1, np.int8)
    ended = branch.improve(*queue.columns, ranked, room, chosen, wide, narrow, small, steps_max)
    return chosen.view(np.bool_), ended


def _net_of(queue: PaymentQueue, kept: NDArray[np.bool_]) -> Amounts:
    """Net position i64[P] of each in a set: receipts less payments."""
    p = queue.participants
    sums = _sums(queue, kept).reshape(p, p)
    net: Amounts = sums.sum(axis=0) - sums.sum(axis=1)
    return net


def _search(
    queue: PaymentQueue, ordered: InOrder, room: Amounts, flow: Flow, steps_max: int, large: bool
) -> tuple[NDArray[np.bool_], bool]:
    """(kept, complete). room i64[P]: what each has above its floor, at most the value of the queue.
    flow: of the whole queue. large: payments that it cancels in part are decided first."""
    p, n = queue.participants, len(queue)
    left, level = room + queue.net(), flow.level.copy()
    pair_sum = queue.pair_sum.ravel().copy()
    chosen = np.ones(n, np.uint8)
    ranked = np.empty(n, np.int32)
    by_value.rank(queue.amount, ranked, np.empty(n, np.int32))
    by_sender = np.empty(n, np.int32), np.empty(p + 1, np.int32)
    choice = by_value.ByValue(
        *queue.columns, ranked, *by_sender, level, left, pair_sum, chosen, steps_max
    )
    rounded = _settle_large(choice, queue, flow, pair_sum, left, chosen) if large else flow
    level[:] = rounded.level
    guided = _follow(choice, rounded, pair_sum, left, level)
    if not guided or queue.value_of(chosen.view(np.bool_)) < ordered.value:
        chosen[:] = ordered.kept
        left[:] = room + _net_of(queue, ordered.kept)
        pair_sum[:] = _sums(queue, ordered.kept)
    level[:] = flow.level
    complete = True
    if n <= ALL_SUBSETS_MAX:
        choice.try_all()
    else:
        complete = choice.improve()
    return chosen.view(np.bool_), complete


class _Large(NamedTuple):
    """Payments that are not decided yet while large ones are. free i64[P*P]: sums by pair; head
    i32[P*P], after i32[N]: its payments by pair, the largest first; fixed u8[N]: decided to
    settle."""

    free: Amounts
    head: NDArray[np.int32]
    after: NDArray[np.int32]
    fixed: NDArray[np.uint8]


def _settle_large(
    choice: by_value.ByValue,
    queue: PaymentQueue,
    flow: Flow,
    pair_sum: Amounts,
    left: Amounts,
    chosen: NDArray[np.uint8],
) -> Flow:
    """Decide payments that a flow cancels in part, until it does so no more; the last flow. choice
    keeps pair_sum, left and chosen as what settles.

    Such payments cost the most where they are decided last: what one of them leaves over or takes
    too much nobody else may need. Decided first, the flow finds another way."""
    p, n = len(left), len(queue)
    large = _Large(
        pair_sum.copy(), np.empty(p * p, np.int32), np.empty(n, np.int32), np.zeros(n, np.uint8)
    )
    choice.begin_large(large.head, large.after)
    for turn in range(LARGE_FLOWS_MAX):
        tried = None
        if turn < LARGEST_MAX:
            tried = _try_largest(queue, flow, large, pair_sum, left, chosen)
        if tried is not None:
            flow, need = tried
        elif choice.settle_large(flow.cancel.ravel(), *large):
            need = -left
            flow = _flow_of(large.free.reshape(p, p), need)
        else:
            break
        while need.max() > 0:
            if not _give_up(queue, need, large, pair_sum, left, chosen):
                # Too much was decided: from here on all that settles may be cancelled again.
                return least_cancelled(pair_sum.reshape(p, p), left)
            need = -left
            flow = _flow_of(large.free.reshape(p, p), need)
    return flow


def _try_largest(
    queue: PaymentQueue,
    flow: Flow,
    large: _Large,
    pair_sum: Amounts,
    left: Amounts,
    chosen: NDArray[np.uint8],
) -> tuple[Flow, Amounts] | None:
    """Decide the payment with the most to lose by trying it both ways: the flow afterwards, and
    what it could not free. None where too little depends on it."""
    cancel = flow.cancel.ravel()
    pairs = np.flatnonzero((cancel > 0) & (cancel < large.free))
    amount = queue.amount[large.head[pairs]]
    others = large.free[pairs] - amount
    loss = np.minimum(cancel[pairs] - others, amount - cancel[pairs])
    if not len(loss) or loss.max() < queue.value // LARGEST_SHARE:
        return None
    pair = int(pairs[loss.argmax()])
    k = int(large.head[pair])
    size = int(queue.amount[k])
    large.head[pair] = large.after[k]
    large.free[pair] -= size
    freed = left.copy()
    freed[queue.sender[k]] += size
    freed[queue.receiver[k]] -= size
    shape = 2 * (len(left),)
    kept_need, gone_need = -left, -freed
    kept, gone = (_flow_of(large.free.reshape(shape), need) for need in (kept_need, gone_need))
    costs = int(kept.cancel.sum()), int(gone.cancel.sum()) + size
    if (kept_need.max() > 0, costs[0]) < (gone_need.max() > 0, costs[1]):
        large.fixed[k] = 1
        return kept, kept_need
    _cancel(queue, k, pair_sum, left, chosen)
    return gone, gone_need


def _give_up(
    queue: PaymentQueue,
    need: Amounts,
    large: _Large,
    pair_sum: Amounts,
    left: Amounts,
    chosen: NDArray[np.uint8],
) -> bool:
    """Cancel, for each who lacks something though the flow did all it could, one payment that was
    decided to settle: the smallest that is enough, or the biggest. False where there is none."""
    found = False
    for p in np.flatnonzero(need > 0):
        mine = np.flatnonzero((large.fixed == 1) & (queue.sender == p))
        if not len(mine):
            continue
        amount = queue.amount[mine]
        enough = np.flatnonzero(amount >= need[p])
        at = enough[amount[enough].argmin()] if len(enough) else amount.argmax()
        large.fixed[mine[at]] = 0
        _cancel(queue, int(mine[at]), pair_sum, left, chosen)
        found = True
    return found


def _cancel(
    queue: PaymentQueue, k: int, pair_sum: Amounts, left: Amounts, chosen: NDArray[np.uint8]
) -> None:
    sender, receiver, amount = int(queue.sender[k]), int(queue.receiver[k]), queue.amount[k]
    chosen[k] = 0
    pair_sum[sender * queue.participants + receiver] -= amount
    left[sender] += amount
    left[receiver] -= amount


def _follow(
    choice: by_value.ByValue, flow: Flow, pair_sum: Amounts, left: Amounts, level: Amounts
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
    flow_kernel.pair_sums(queue.sender[kept], queue.receiver[kept], queue.amount[kept], p, sums)
    return sums
