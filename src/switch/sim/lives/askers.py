"""Askers: puts the population database into a life, which is asked for people, and answers.

Nothing here knows an outcome. Draws come from a generator of its own, so that a life without is
what it would be if there were none of this.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator

from switch.sim.auditor.screening import Row
from switch.sim.lives import operations
from switch.sim.lives.operations import Operation
from switch.sim.lives.village import NAMES, Village

ASKED = 0.2
"""Rate of lives in which the population database is asked."""
ASKS = 0.3
"""Rate at which it is, behind an operation."""
SHARES = (1, 1, 3, 20)


class Askers:
    """People of one life who ask the population database."""

    def __init__(self, rng: random.Random, village: Village) -> None:
        self.rng, self.village = rng, village
        self.is_asked = rng.random() < ASKED

    def asked(self, script: Iterable[Operation]) -> Iterator[Operation]:
        """A script with all requests and answers in it."""
        rng = self.rng
        for operation in script:
            yield operation
            if not self.is_asked or rng.random() > ASKS:
                continue
            for _ in range(rng.choice([1, 1, 2, 3])):
                fault, share = operations.fault_of(rng), rng.choice(SHARES)
                yield operations.Identify(self.village.day, rng.getrandbits(32), share, fault)

    def known(self) -> list[Row]:
        """Rows by which nobody of the village is late; none where nobody was asked for."""
        village = self.village
        ids = [*village.ids(), "001888888888", "001999999999"] if self.is_asked else []
        return [
            {
                "person_id": person,
                "name": village.names.get(person, NAMES[0]),
                "birth_date": village.day,
                "status": "alive",
                "status_since": None,
            }
            for person in ids
        ]
