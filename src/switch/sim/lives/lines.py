"""Lines lived: what is said of single lines, done on engine and auditor."""

from __future__ import annotations

import random

from switch import status
from switch.sim.auditor.expected import Line
from switch.sim.lives.comparison import Comparison
from switch.sim.lives.difference import require
from switch.sim.lives.operations import CancelLines
from switch.sim.lives.sides import Sides

REASONS = ("sent in error", "the agency asked for it")


class Lines:
    """Single lines of a home and its auditor."""

    def __init__(self, sides: Sides, comparison: Comparison) -> None:
        self.sides, self.comparison = sides, comparison

    def cancel(self, operation: CancelLines) -> str:
        """Cancel lines that wait. Returns what came of it, in words."""
        sides, rng = self.sides, random.Random(operation.salt)
        chosen, why = self._chosen(rng), rng.choice(REASONS)
        after = sides.auditor.copy()
        is_new = after.cancel(chosen, why)
        named = [(self._name(seq), number) for seq, number in chosen]

        def act() -> object:
            return sides.engine.cancel_lines(named, by="a clerk", why=why)

        if is_new is None:
            return sides.refused(act)
        word, _ = sides.attempt(act, operation.fault, after, replay=not is_new)
        self.comparison.queue()
        if sides.auditor is after:
            for line in chosen[:2]:
                self._compare_story(line, why)
        return f"{word} {chosen}"

    def _chosen(self, rng: random.Random) -> list[Line]:
        """Some lines that wait, and rarely one of all, or what was cancelled before."""
        payments = self.sides.auditor.payments
        waiting = [entry.line for entry in payments.waiting]
        chosen = rng.sample(waiting, min(len(waiting), rng.randint(0, 3)))
        if payments.cancelled and rng.random() < 0.15:
            return list(rng.choice(list(payments.cancelled)))
        if payments.status and rng.random() < 0.2:
            chosen.append(rng.choice(sorted(payments.status)))
        return chosen

    def _name(self, seq: int) -> str:
        return ":".join(self.sides.auditor.payments.batches[seq].name)

    def _compare_story(self, line: Line, why: str) -> None:
        seq, number = line
        told = status.line(self.sides.engine.home, self._name(seq), number)["states"][-1]
        said = told["state"], told["status"], told["reason"], why in told["text"]
        require(f"line {line}", ("CANCELLED", "RJCT", "DS02", True), said)
