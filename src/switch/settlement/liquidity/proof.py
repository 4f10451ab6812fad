"""Proofs of what a resolution says, gone through again from the columns alone.

They share no code with what they judge, and use plain Python integers. Slow and short on purpose.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from switch.errors import VerificationFailed

if TYPE_CHECKING:
    from switch.settlement.liquidity.by_value import ByValue
    from switch.settlement.liquidity.in_order import InOrder
    from switch.settlement.liquidity.queue import PaymentQueue

Each = int | np.integer | Sequence[int] | NDArray[np.integer]
"""Amounts by participant, or a single one for all."""
Square = Sequence[Sequence[int]] | NDArray[np.integer]
"""Amounts in rows by participant."""


def require(holds: bool, what: str) -> None:
    if not holds:
        raise VerificationFailed(f"PROOF: {what}")


def require_in_order(
    queue: PaymentQueue,
    balance: Each,
    answer: InOrder,
    floor: Each = 0,
    *,
    reserved: Square | None = None,
    limit: Square | None = None,
) -> None:
    """The answer settles the largest set that is a prefix of every queue; VerificationFailed else.

    From everything, each dropped payment is taken out: it must be the last of its queue, and its
    sender unable to pay. Such a payment is in no valid set; so what is left at the end, if everyone
    can pay, is the largest. (That every rejected head would take its sender below the floor does
    not prove as much: of two who owe each other 10 and have nothing, neither head can be paid
    alone.) Arguments as for `settle_in_order`.
    """
    rows = _rows(queue)
    urgency = [0] * len(rows) if queue.priority is None else queue.priority.tolist()
    people = range(queue.participants)
    have = [_of(balance, p) for p in people]
    line: list[list[int]] = [[] for _ in people]
    owed: dict[tuple[int, int], int] = {}
    paid: dict[tuple[int, int], int] = {}
    left = list(have)
    for k in sorted(range(len(rows)), key=lambda k: (urgency[k], k)):
        sender, receiver, amount = rows[k]
        line[sender].append(k)
        left[sender], left[receiver] = left[sender] - amount, left[receiver] + amount
        owed[sender, receiver] = owed.get((sender, receiver), 0) + amount
        paid[sender, urgency[k]] = paid.get((sender, urgency[k]), 0) + amount

    classes = [] if reserved is None else reserved

    def can_pay(p: int) -> bool:
        if not line[p]:
            return True
        kept_back, spent = 0, 0
        for c in range(0 if reserved is None else urgency[line[p][-1]]):
            spent += paid.get((p, c), 0)
            kept_back = max(kept_back, int(classes[p][c]) - spent)
        return left[p] >= min(have[p], _of(floor, p) + kept_back) and (
            limit is None
            or all(owed.get((p, q), 0) - owed.get((q, p), 0) <= limit[p][q] for q in people)
        )

    for k in answer.dropped.tolist():
        sender, receiver, amount = rows[k]
        require(bool(line[sender]) and line[sender][-1] == k, f"payment {k} is not the last")
        require(not can_pay(sender), f"payment {k} could stay")
        line[sender].pop()
        left[sender], left[receiver] = left[sender] + amount, left[receiver] - amount
        owed[sender, receiver] -= amount
    for p in people:
        require(can_pay(p), f"participant {p} cannot pay")
        require(left[p] == answer.balance[p], f"the balance of participant {p} is another")
    settled = sorted(k for queued in line for k in queued)
    require(answer.kept.nonzero()[0].tolist() == settled, "other payments settle")
    require(answer.payments_count == len(settled), "the count is another")
    require(answer.value == sum(rows[k][2] for k in settled), "the value is another")


def require_by_value(queue: PaymentQueue, balance: Each, answer: ByValue, floor: Each = 0) -> None:
    """Prove that nobody ends too low, no money is lost, and nothing above the bound of the levels
    can settle.

    The bound is weak duality: for any prices y >= 0 of liquidity, what settles is at most
    sum(room * y) + sum(pair * max(0, 1 - y[sender] + y[receiver])). An answer of the exact model
    has a tighter bound, which only its solver knows.
    """
    people = range(queue.participants)
    have = [_of(balance, p) for p in people]
    low = [min(have[p], _of(floor, p)) for p in people]
    left, value, price = list(have), 0, answer.level.tolist()
    bound = sum((have[p] - low[p]) * price[p] for p in people)
    require(min(price) >= 0, "a level is negative")
    for k, (s, r, a) in enumerate(_rows(queue)):
        bound += a * max(0, 1 - price[s] + price[r])
        if answer.kept[k]:
            left[s], left[r], value = left[s] - a, left[r] + a, value + a
    require(all(left[p] >= low[p] for p in people), "somebody ends too low")
    require(left == answer.balance.tolist() and value == answer.value, "the sums are others")
    require(value <= answer.bound <= bound, "the bound is not proven")


def _rows(queue: PaymentQueue) -> list[tuple[int, int, int]]:
    columns = (queue.sender.tolist(), queue.receiver.tolist(), queue.amount.tolist())
    return list(zip(*columns, strict=True))


def _of(values: Each, p: int) -> int:
    """The amount of one participant, where a single one counts for all."""
    return int(values[p] if isinstance(values, Sequence | np.ndarray) else values)
