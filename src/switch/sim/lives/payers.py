"""Payers: puts fees to the state into a life: agencies, their bills, and files of banks.

Nothing here knows an outcome. Draws come from a generator of its own, so that a life without is
what it would be if there were none of this.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator

from switch.sim.lives import operations
from switch.sim.lives.operations import Operation
from switch.sim.lives.village import Village

PAID = 0.2
"""Rate of lives in which citizens pay fees."""
PAYS = 0.3
"""Rate at which something of it happens, behind an operation."""


class Payers:
    """Citizens of one life who pay fees, and the agencies that take them."""

    def __init__(self, rng: random.Random, village: Village, settles: bool) -> None:
        self.rng, self.village, self.settles = rng, village, settles
        self.is_paid = rng.random() < PAID

    def paid(self, script: Iterable[Operation]) -> Iterator[Operation]:
        """A script with all bills and payments in it."""
        rng = self.rng
        for operation in script:
            yield operation
            if not self.is_paid or rng.random() > PAYS:
                continue
            for _ in range(rng.choice([1, 1, 2, 3])):
                fault = operations.fault_of(rng)
                yield operations.PayFees(self.village.day, rng.getrandbits(32), fault)
            if self.settles and rng.random() < 0.25:
                yield operations.Abort(operations.fault_of(rng))

    def last(self, script: Iterable[Operation]) -> Iterator[Operation]:
        """The end of a life, in which all payments that wait enter a cycle, and settle."""
        yield from script
        if self.is_paid:
            yield operations.PayFees(self.village.day, 0)
            if self.settles:
                yield operations.Settle()
