"""A queue of payments between participants, and the liquidity that it needs.

Participants are numbers from 0. Payments stand in the order in which they were queued; a payment's
number is its place in the columns. Money is int64 in minor units. All sums stay below 2**62, which
is proven once, here, so that kernels add and subtract without checks.
"""

from __future__ import annotations

from typing import TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from switch.arguments import checked, whole
from switch.errors import InputRefused, UsageError
from switch.native import flow

SUM_MAX = 2**62 - 1
PARTICIPANTS_MAX = 1_024
PAYMENTS_MAX = 2**31 - 1
CLASSES_MAX = 16

Amounts = NDArray[np.int64]
Whole = TypeVar("Whole", bound=np.integer)


def column(values: ArrayLike, dtype: type[Whole], name: str) -> NDArray[Whole]:
    """A contiguous one-dimensional column of whole numbers, each unchanged by the conversion."""
    given = whole(values, name)
    if given.ndim != 1:
        raise UsageError(f"{name} is no column of whole numbers")
    if given.dtype == dtype:
        return np.ascontiguousarray(given)
    info = np.iinfo(dtype)
    if given.size and (int(given.min()) < info.min or int(given.max()) > info.max):
        raise UsageError(f"{name} holds a number out of range")
    return np.ascontiguousarray(given, dtype)


def amounts(values: ArrayLike, count: int, name: str) -> Amounts:
    """One amount for each participant, within +-2**62; a single one counts for all."""
    given = whole(values, name)
    if given.ndim == 0:
        given = np.full(count, given)
    out = column(given, np.int64, name)
    if len(out) != count:
        raise UsageError(f"{name} has {len(out)} values for {count} participants")
    if count and max(int(out.max()), -int(out.min())) > SUM_MAX:
        raise InputRefused("TOTAL_RANGE", f"{name} leaves 62 bits", remedy="check the amounts")
    return out


@checked
class PaymentQueue:
    """Payments that wait, as columns; they do not change.

    sender, receiver u16[N], of so many participants; amount i64[N], at least 1; priority u8[N] or
    none: class 0 is the most urgent, and within a class the order of the columns counts. pair_sum
    i64[P, P]: what is queued from row to column. Raises UsageError where a column cannot be one,
    InputRefused where the amounts together leave 62 bits.
    """

    __slots__ = ("amount", "pair_sum", "participants", "priority", "receiver", "sender")

    def __init__(
        self,
        sender: ArrayLike,
        receiver: ArrayLike,
        amount: ArrayLike,
        participants: int,
        priority: ArrayLike | None = None,
    ) -> None:
        if not 0 < participants <= PARTICIPANTS_MAX:
            raise UsageError(f"{participants} participants, not 1 to {PARTICIPANTS_MAX}")
        self.participants = participants
        self.sender = column(sender, np.uint16, "sender")
        self.receiver = column(receiver, np.uint16, "receiver")
        self.amount = column(amount, np.int64, "amount")
        self.priority: NDArray[np.uint8] | None = None
        if priority is not None:
            self.priority = column(priority, np.uint8, "priority")
            if self.priority.size and int(self.priority.max()) >= CLASSES_MAX:
                raise UsageError(f"a priority class above {CLASSES_MAX - 1}")
        columns = (self.sender, self.receiver, self.priority)
        if any(c is not None and len(c) != len(self.amount) for c in columns):
            raise UsageError("the columns of a queue differ in length")
        if len(self.amount) > PAYMENTS_MAX:
            raise UsageError(f"more than {PAYMENTS_MAX} payments")
        pair_sum = np.zeros(participants * participants, np.int64)
        bad = flow.pair_sums(self.sender, self.receiver, self.amount, participants, pair_sum)
        if bad >= 0:
            self._refuse(bad)
        self.pair_sum: Amounts = pair_sum.reshape(participants, participants)

    def _refuse(self, bad: int) -> None:
        sender, receiver = int(self.sender[bad]), int(self.receiver[bad])
        if max(sender, receiver) >= self.participants:
            raise UsageError(f"payment {bad} names a participant that is none")
        if sender == receiver:
            raise UsageError(f"payment {bad} goes from {sender} to itself: nothing to settle")
        if self.amount[bad] < 1:
            raise UsageError(f"payment {bad} has amount {self.amount[bad]}, below 1")
        raise InputRefused(
            "TOTAL_RANGE", f"with payment {bad} the amounts leave 62 bits", remedy="split the queue"
        )

    def __len__(self) -> int:
        return len(self.amount)

    def __repr__(self) -> str:
        return f"<payment queue: {len(self):,} payments, {self.participants:,} participants>"

    @property
    def columns(self) -> tuple[NDArray[np.uint16], NDArray[np.uint16], Amounts]:
        """sender, receiver and amount, as the kernels take them."""
        return self.sender, self.receiver, self.amount

    @property
    def value(self) -> int:
        """All that is queued."""
        return int(self.pair_sum.sum())

    def classes(self) -> int:
        """Priority classes in use: the highest number and those below it."""
        if self.priority is None or not len(self):
            return 1
        return int(self.priority.max()) + 1

    def net(self) -> Amounts:
        """i64[P]: what each gets less what it pays when everything settles; sums to zero."""
        net: Amounts = self.pair_sum.sum(axis=0) - self.pair_sum.sum(axis=1)
        return net

    def value_of(self, kept: NDArray[np.bool_]) -> int:
        """Value of those payments that kept, bool[N], marks."""
        if kept.dtype != np.bool_ or kept.shape != self.amount.shape:
            raise UsageError(f"kept is no column of {len(self)} marks (bool)")
        return int(self.amount[kept].sum())


def floors(balance: Amounts, floor: Amounts) -> Amounts:
    """Levels below which nobody may end: the smaller of the balance before and the floor."""
    return np.minimum(balance, floor)


@checked
def liquidity_needed(queue: PaymentQueue) -> tuple[Amounts, Amounts]:
    """(one by one, together): the balance that each participant needs so that all of a queue
    settles, i64[P] each.

    One by one, in the order of the columns: the deepest overdraft that it would run into from zero.
    Together: its net debit. The second is the least that any order can need (for the first, the
    best order is NP-hard to find: Hayakawa, Ishii, Ono and Uno 2017).
    """
    together = np.maximum(-queue.net(), 0)
    # Each payment twice, as a debit and a credit, grouped by participant in order of time.
    who = np.stack([queue.sender, queue.receiver], axis=1).ravel()
    change = np.stack([-queue.amount, queue.amount], axis=1).ravel()
    grouped = np.argsort(who, kind="stable")
    running = np.cumsum(change[grouped])
    counts = np.bincount(who, minlength=queue.participants)
    ends = np.cumsum(counts)
    in_turn = np.zeros(queue.participants, np.int64)
    for p in np.flatnonzero(counts):
        first = ends[p] - counts[p]
        start = int(running[first - 1]) if first else 0
        in_turn[p] = max(0, start - int(running[first : ends[p]].min()))
    return in_turn, together
