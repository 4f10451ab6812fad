"""Lines lived: what is said of single lines, done on engine and auditor."""

from __future__ import annotations

import random

from switch import status
from switch.settlement import expire
from switch.sim.auditor.expected import Line
from switch.sim.lives.comparison import Comparison
from switch.sim.lives.difference import read_rows, require
from switch.sim.lives.operations import CancelLines, ExpireLines, RecallLines
from switch.sim.lives.sides import Sides

LATE = "it came late"
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

    def expire(self, operation: ExpireLines) -> str:
        """Let lines beyond their deadline leave the queue. Returns what came of it, in words."""
        sides, day = self.sides, operation.day
        if day < sides.auditor.days.signed or not sides.auditor.payments.batches:
            return "nothing"
        leap = sides.auditor.days.leaps(day)
        after = sides.auditor.copy()
        gone = after.expire(day)

        def act() -> expire.LinesExpired:
            return sides.engine.expire(day.isoformat(), leap=leap, correct=LATE)

        if gone is None:
            return sides.refused(act)
        left = after.copy()
        asked = after.ask_back(day)
        between = [left] if gone and asked else []
        word, answer = sides.attempt(
            act, operation.fault, after, replay=not gone and not asked, between=between
        )
        self.comparison.queue()
        if answer is not None and sides.auditor is after and asked:
            require("cash asked back", len(asked), answer["cash"]["count"])
        if sides.auditor is not after or not gone:
            return f"{word} {len(gone)}"
        for (seq, number), _ in gone[:2]:
            told = status.line(sides.engine.home, self._name(seq), number)["states"][-1]
            said = told["state"], told["status"], told["reason"]
            require(f"line {seq, number}", ("EXPIRED", "CANC", "AB01"), said)
        if answer is not None:
            rows = read_rows(sides.home / "out" / str(answer["file"]))
            listed = [((row["batch"], row["line_no"]), row["deadline"]) for row in rows]
            require("the list of what expired", gone, listed)
        return f"{word} {[line for line, _ in gone]}"

    def recall(self, operation: RecallLines) -> str:
        """Recall lines that were sent. Returns what came of it, in words."""
        sides, rng, day = self.sides, random.Random(operation.salt), operation.day
        if day < sides.auditor.days.signed or not sides.auditor.payments.batches:
            return "nothing"
        leap = sides.auditor.days.leaps(day)
        chosen, why = self._sent(rng), rng.choice(REASONS)
        after = sides.auditor.copy()
        is_new = after.recall(chosen, why, day)
        named = [(self._name(seq), number) for seq, number in chosen]

        def act() -> object:
            return sides.engine.recall(
                named,
                reason="CUST",
                by="a clerk",
                why=why,
                at=day.isoformat(),
                leap=leap,
                correct=LATE,
            )

        if is_new is None:
            return sides.refused(act)
        word, _ = sides.attempt(act, operation.fault, after, replay=not is_new)
        names = {self._name(seq): seq for seq in sides.auditor.payments.batches}
        names |= {name.partition(":")[2]: seq for name, seq in names.items()}
        rows = sides.engine.recalls().rows()
        found = {(names[str(r["batch_id"])], r["line_no"]): r["state"] for r in rows}
        require("recalls", sides.auditor.way_back.recalls(), found)
        return f"{word} {chosen}"

    def _sent(self, rng: random.Random) -> list[Line]:
        """Some lines that were sent and can be recalled, and rarely one of all, or again."""
        way_back, payments = self.sides.auditor.way_back, self.sides.auditor.payments
        gone = {*way_back.refused, *way_back.returned, *way_back.asked}
        there = sorted(set(payments.sent) - gone)
        if way_back.recalled and rng.random() < 0.15:
            return list(rng.choice(list(way_back.recalled)))
        chosen = rng.sample(there, min(len(there), rng.randint(0, 3)))
        credits_ = {payments.sent[line].credit for line in chosen} - {""}
        if credits_ and rng.random() < 0.8:
            # A credit is recalled whole, or not at all.
            more = [line for line in there if payments.sent[line].credit in credits_]
            chosen += [line for line in more if line not in chosen]
        if payments.status and rng.random() < 0.15:
            chosen.append(rng.choice(sorted(payments.status)))
        return chosen

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
