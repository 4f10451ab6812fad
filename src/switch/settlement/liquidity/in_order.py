"""Gridlock resolution in order: the largest set that is a prefix of every sender's queue."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from switch.arguments import checked, whole
from switch.errors import UsageError
from switch.native import in_order
from switch.outcomes import brief
from switch.settlement.liquidity.queue import SUM_MAX, Amounts, PaymentQueue, amounts, floors

NO_LIMIT = 2**63 - 1


class InOrder(NamedTuple):
    """Payments that settle together in order, with the proof that nothing more can.

    kept bool[N]; balance i64[P] afterwards; value and payments_count: of what settles. dropped i32:
    payments in the order in which they had to go, each the last of its sender's at a moment when
    its sender could not pay all that was left, so that no other set with the property holds it.
    head i64[P]: the first payment of each queue that does not settle, -1 for none.
    `switch.settlement.liquidity.proof.require_in_order` goes through it again.
    """

    kept: NDArray[np.bool_]
    balance: Amounts
    value: int
    payments_count: int
    dropped: NDArray[np.int32]
    head: Amounts

    def __repr__(self) -> str:
        return brief(self)


@checked
def settle_in_order(
    queue: PaymentQueue,
    balance: ArrayLike,
    floor: ArrayLike = 0,
    *,
    reserved: ArrayLike | None = None,
    limit: ArrayLike | None = None,
) -> InOrder:
    """Settle at once the largest set of payments that respects the order of every queue.

    balance: what each participant has. floor: how low it may go, zero by default, below it with
    credit; whoever is lower already may not sink further. A queue is ordered by class, then by
    time. reserved i64[P, classes]: what a participant keeps for its payments of a class and more
    urgent ones: as long as they do not use it up, less urgent payments may not touch the rest.
    limit i64[P, P]: the most that the row may pay the column beyond what it gets from it,
    NO_LIMIT for none.

    There is one largest set, whatever way it is found. Settle everything; while a participant
    cannot pay, take its last payment out. Nothing that could stay is ever taken out: *whether a
    participant can pay depends on its own prefix in any way, but on what others pay only so that
    more of it helps*. So if it cannot pay its prefix while others still pay at least as much as in
    some valid set, that set holds less of its queue. Floors, classes, reservations (they follow
    from the own prefix alone) and bilateral limits (more from the other side helps) keep that form;
    a cap on what somebody receives, or payments that go only together, would break it. The time is
    that of reading the queue and of taking out, O(N + P); there is no search for cycles.
    """
    p, n, classes = queue.participants, len(queue), queue.classes()
    before = amounts(balance, p, "balance")
    low = amounts(floor, p, "floor")
    if reserved is None:
        least = np.repeat(floors(before, low), classes)
    else:
        kept_back = table(reserved, (p, classes), "reserved")
        least = _least(queue, before, low, kept_back)
    limits = np.zeros(0, np.int64)
    if limit is not None:
        limits = table(limit, (p, p), "limit").ravel()
    left = before + queue.net()
    dropped = np.empty(n, np.int32)
    kept = np.empty(n, np.uint8)
    priority = np.zeros(0, np.uint8) if queue.priority is None else queue.priority
    pair_sum = np.zeros(0, np.int64) if limit is None else queue.pair_sum.ravel().copy()
    room = np.empty(p, np.int32), np.empty(p * classes, np.int32), np.empty(p, np.int32)
    more = np.empty(n, np.int32), np.empty(p, np.int32)
    count = in_order.settle_in_order(
        *queue.columns, priority, least, limits, left, pair_sum, *room, *more, kept, dropped
    )
    dropped = dropped[:count].copy()
    # The head of a queue goes last.
    head = np.full(p, -1, np.int64)
    head[queue.sender[dropped]] = dropped
    stays = kept.view(np.bool_)
    value = queue.value - int(queue.amount[dropped].sum())
    return InOrder(stays, left, value, n - count, dropped, head)


def table(values: ArrayLike, shape: tuple[int, int], name: str) -> Amounts:
    """Amounts from zero up, in rows and columns."""
    given = whole(values, name)
    if given.shape != shape or (given.size and int(given.max()) > NO_LIMIT):
        raise UsageError(f"{name} is no table of {shape[0]} by {shape[1]} whole numbers")
    out = np.ascontiguousarray(given, np.int64)
    if out.size and int(out.min()) < 0:
        raise UsageError(f"{name} holds a negative amount")
    return out


def _least(queue: PaymentQueue, before: Amounts, low: Amounts, reserved: Amounts) -> Amounts:
    """i64[P * classes]: what must be left with a participant while the last payment of it that
    settles is of a class.

    Everything more urgent settles then, so that what is still kept back for it is known beforehand:
    the reserve of each class, less what is paid in this class and in more urgent ones.
    """
    p, classes = reserved.shape
    paid = np.zeros((p, classes), np.int64)
    priority = np.zeros(len(queue), np.uint8) if queue.priority is None else queue.priority
    np.add.at(paid, (queue.sender, priority), queue.amount)
    rest = np.minimum(reserved, SUM_MAX) - paid.cumsum(axis=1)
    kept_back = np.zeros((p, classes), np.int64)
    for c in range(1, classes):
        kept_back[:, c] = np.maximum(kept_back[:, c - 1], rest[:, c - 1])
    least = np.minimum(before[:, None], low[:, None] + kept_back)
    return np.ascontiguousarray(least).ravel()
