"""Cover: which lines there is room for, as plain lists, line by line and without regard for speed.

Of the engine it imports `schema`, `reason` and `errors` alone. A settlement participant may owe so
much in a cycle, and no more. A line that would pass it waits, and behind it every line of its
debtor agent of the same class of priority or a later one.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import NamedTuple

from switch.reason import Reason
from switch.sim.auditor.screening import Entitlement

PRIORITY_LAST = 9


class Claim(NamedTuple):
    """A line that passed rows 1 to 14, as far as cover looks at it."""

    number: int
    """Its place among all lines of the run, held ones first."""
    agent: str
    payer: str
    """Holder of the settlement account that pays for the debtor agent."""
    payee: str
    priority: int
    amount: int
    key: Entitlement

    @property
    def moves(self) -> bool:
        """Something between two settlement accounts."""
        return self.payer != self.payee


class Cover:
    """Rooms and queues of one run. `verdicts` says what became of every claim, by number."""

    def __init__(
        self,
        rooms: Mapping[str, int],
        paid: Collection[Entitlement],
        groups: Mapping[str, str] | None = None,
    ) -> None:
        """rooms: by settlement participant; who is not named has no limit. groups: the exclusive
        group of each benefit that has one."""
        self.rooms = dict(rooms)
        self.groups = dict(groups or {})
        self.before = set(paid)
        """Entitlements that were taken before the table's own lines."""
        self.taken: set[Entitlement] = set()
        self.waiting: list[Claim] = []
        self.verdicts: dict[int, Reason] = {}
        self.order: list[int] = []
        """Numbers of the lines that went, in the order in which they did."""

    def present(self, claim: Claim) -> None:
        """A line of the table, in its turn."""
        if claim.key in self.before:
            self.verdicts[claim.number] = Reason.PAID_BEFORE
        elif claim.key in self.taken:
            self.verdicts[claim.number] = Reason.DUPLICATE_IN_TABLE
        elif self._is_excluded(claim):
            self.verdicts[claim.number] = Reason.EXCLUDED
        elif self._behind(claim, self.waiting) or not self._fits(claim):
            self.wait(claim)
        else:
            self._go(claim)

    def wait(self, claim: Claim) -> None:
        self.verdicts[claim.number] = Reason.COVER_MISSING
        self.waiting.append(claim)

    def release(self) -> None:
        """Whoever is first in line and fits goes: the first class first, in it the oldest."""
        while True:
            for claim in list(self.waiting):
                if claim.key in self.before | self.taken:
                    self._leave(claim, Reason.PAID_BEFORE)
                elif self._is_excluded(claim):
                    self._leave(claim, Reason.EXCLUDED)
            first = min(
                (c for c in self.waiting if not self._behind_others(c) and self._fits(c)),
                key=lambda c: (c.priority, c.number),
                default=None,
            )
            if first is None:
                return
            self.waiting.remove(first)
            self._go(first)

    def _is_excluded(self, claim: Claim) -> bool:
        """Another benefit of its group was taken by the same person for the same period."""
        person, benefit, period = claim.key
        group = self.groups.get(benefit)
        return group is not None and any(
            (person, other, period) in self.before | self.taken
            for other, of in self.groups.items()
            if of == group and other != benefit
        )

    def _leave(self, claim: Claim, reason: Reason) -> None:
        self.waiting.remove(claim)
        self.verdicts[claim.number] = reason

    def _go(self, claim: Claim) -> None:
        self.verdicts[claim.number] = Reason.NONE
        self.order.append(claim.number)
        self.taken.add(claim.key)
        if claim.moves:
            for code, change in ((claim.payer, -claim.amount), (claim.payee, claim.amount)):
                if code in self.rooms:
                    self.rooms[code] += change
            # A receiver may be below: its cap or its funds were lowered since.
            assert self.rooms.get(claim.payer, 0) >= 0, f"{claim.payer} is below its cap"

    def _fits(self, claim: Claim) -> bool:
        return not claim.moves or claim.amount <= self.rooms.get(claim.payer, claim.amount)

    def _behind(self, claim: Claim, others: list[Claim]) -> bool:
        return claim.moves and any(
            other.agent == claim.agent and other.priority <= claim.priority for other in others
        )

    def _behind_others(self, claim: Claim) -> bool:
        """Somebody of the same agent waits in a class before, or longer in the same."""
        before: Callable[[Claim], bool] = lambda other: (  # noqa: E731
            (other.priority, other.number) < (claim.priority, claim.number)
        )
        return self._behind(claim, [other for other in self.waiting if before(other)])
