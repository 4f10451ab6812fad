"""Alarms of a life: what the engine tells of them, and of answers that are awaited, against the
auditor, and notes about them."""

from __future__ import annotations

import random
from collections import Counter

from switch.sim.auditor.notes import AlarmWords, Occurrence
from switch.sim.lives.difference import require
from switch.sim.lives.sides import Sides

LATER = "2199-12-31"
"""A time behind all that a life knows."""


class Alarms:
    """Alarms of the home of a life."""

    def __init__(self, sides: Sides) -> None:
        self.sides = sides

    def note(self, salt: int) -> None:
        """Note something about alarms that are there, with draws of its own, and compare."""
        sides, rng = self.sides, random.Random(f"alarms {salt}")
        self._compare_awaited()
        found = self._there()
        chosen = sorted(rng.sample(sorted(found), min(len(found), rng.randint(1, 2))))
        words = rng.choice(
            [
                AlarmWords("", "", True, ""),
                AlarmWords("the bank is called", "night desk", None, ""),
                AlarmWords("it was a slip", "", False, ""),
                AlarmWords("its bank is closed", "", None, LATER),
            ]
        )
        if not chosen:
            return
        after = sides.auditor.copy()
        is_new = after.note_alarms(chosen, words)

        def act() -> object:
            return sides.engine.watch.note(
                [one.name for one in chosen],
                by="a clerk",
                note=words.note,
                owner=words.owner,
                acknowledged=words.seen,
                until=words.until,
            )

        sides.attempt(act, None, after, replay=not is_new)
        self._compare()

    def _there(self) -> dict[Occurrence, tuple[str, str]]:
        """State and owner of each alarm that is there, as the engine tells them."""
        rows = self.sides.engine.watch.alarms().rows()
        return {
            Occurrence(str(r["alarm"]), str(r["since"]), str(r["level"])): (
                str(r["state"]),
                str(r["owner"]),
            )
            for r in rows
        }

    def _compare(self) -> None:
        alarms = self.sides.auditor.alarms
        for one, told in self._there().items():
            require(f"alarm {one}", (alarms.state(one), alarms.owner(one.name)), told)

    def _compare_awaited(self) -> None:
        """Compare who has not answered, by the auditor's own states of all lines."""
        auditor = self.sides.auditor
        expected: Counter[str] = Counter()
        for line, state in auditor.way_back.states().items():
            if state in ("SETTLED", "UNAPPLIED"):
                expected[auditor.payments.sent[line].participant] += 1
        told: Counter[str] = Counter()
        for row in self.sides.engine.watch.awaited().rows():
            told[str(row["participant"])] += int(str(row["lines"]))
        require("answers awaited", expected, told)
