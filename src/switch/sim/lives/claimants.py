"""Claimants: puts citizens into a life, who bind devices and register accounts, rightly and not.

Nothing here knows an outcome. Draws come from a generator of its own, so that a life without them
is what it would be if there were none of this.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator

from switch.sim.lives import operations
from switch.sim.lives.operations import Operation
from switch.sim.lives.village import Village

SERVED = 0.25
"""Rate of lives in which citizens serve themselves."""
VISITS = 0.25
"""Rate at which somebody comes behind an operation, and how many come then."""
TOGETHER = (1, 1, 2, 3, 7)


class Claimants:
    """Citizens of one life who come to the door."""

    def __init__(self, rng: random.Random, village: Village) -> None:
        self.rng, self.village = rng, village
        self.is_served = rng.random() < SERVED

    def served(self, script: Iterable[Operation]) -> Iterator[Operation]:
        """A script with all that citizens do in it."""
        rng = self.rng
        for operation in script:
            yield operation
            if not self.is_served or rng.random() > VISITS:
                continue
            for _ in range(rng.choice(TOGETHER)):
                fault = operations.fault_of(rng)
                kind = operations.Bind if rng.random() < 0.3 else operations.Claim
                visit = kind(self.village.day, rng.getrandbits(32), fault)
                yield visit
                if fault is not None and kind is operations.Bind:
                    yield visit._replace(fault=None)
