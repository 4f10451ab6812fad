"""Renumberers: puts ids that change, or are merged, into a life, rightly and not.

Nothing here knows an outcome. Draws come from a generator of its own, so that a life without is
what it would be if there were none of this.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator

from switch.sim.lives import operations
from switch.sim.lives.operations import Operation
from switch.sim.lives.village import Village

RENUMBERED = 0.25
"""Rate of lives in which ids change."""
CHANGES = 0.2
"""Rate at which some do, behind an operation."""
SHARES = (1, 1, 3, 20)
STRANGER = "001777777777"
"""An id that no register has."""


class Renumberers:
    """The population database of one life, as it gives people other ids."""

    def __init__(self, rng: random.Random, village: Village) -> None:
        self.rng, self.village = rng, village
        self.is_busy = rng.random() < RENUMBERED

    def renumbered(self, script: Iterable[Operation]) -> Iterator[Operation]:
        """A script with all changes of ids in it."""
        rng = self.rng
        for operation in script:
            yield operation
            if not self.is_busy or rng.random() > CHANGES:
                continue
            ids = [*self.village.ids(), STRANGER]
            pairs = tuple(
                (rng.choice(ids), rng.choice(ids)) for _ in range(rng.choice([1, 1, 1, 2, 3]))
            )
            fault, share = operations.fault_of(rng), rng.choice(SHARES)
            yield operations.Register(None, None, None, False, fault, share, pairs)
