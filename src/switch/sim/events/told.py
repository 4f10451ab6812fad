"""Reports of events: counts and shares, a line of text each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from switch.sim.events.sheets import STATES, Sheet


class Told(NamedTuple):
    """An event that went as whoever made its tables knows."""

    name: str
    facts: Mapping[str, str]
    sheets: Sequence[Sheet]
    communes: int
    """Communes with lines, each of whose totals came to those of the tables."""
    checks: int
    """Proofs that held."""

    def lines(self) -> list[str]:
        """Lines of a report, of 80 characters at most."""
        found = [self.name, "-" * len(self.name)]
        found += [f"  {name}: {text}" for name, text in self.facts.items()]
        total = dict.fromkeys(STATES, 0)
        for sheet in self.sheets:
            for state, count in sheet.counts().items():
                total[state] += count
        whole = sum(total.values())
        for state, count in total.items():
            if count:
                name = state.replace("_", " ")
                found.append(f"  {name + ':':14}{count:>9,} lines {count / whole:>7.2%}")
        money = sum(int(sheet.amount.sum()) for sheet in self.sheets)
        found.append(f"  {'in all:':14}{whole:>9,} lines, {money:,} dong")
        tables = f"{len(self.sheets)} table{'s' if len(self.sheets) > 1 else ''}"
        found.append(f"  {tables}, {self.communes:,} communes, {self.checks:,} proofs: all hold")
        return found
