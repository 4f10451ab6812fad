"""What all sweeps came to, in one table after the tests: `make crash` prints its figures."""

from __future__ import annotations

from collections import Counter

import pytest

KINDS = {
    "calls": "calls failed, in each of the ways",
    "recovery": "calls of a recovery failed",
    "random": "faults at random on larger batches",
    "reorder": "selections of what was not synced",
    "power": "power cuts of a file system",
    "crowd": "processes with the same table",
}


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    points: Counter[str] = Counter()
    faults: Counter[str] = Counter()
    for outcome in ("passed", "failed"):
        for report in terminalreporter.stats.get(outcome, ()):
            for name, value in getattr(report, "user_properties", ()):
                if report.when == "call" and name == "swept":
                    what, struck, found = value
                    points[what] += struck
                    faults[what] += found
    if not points:
        return
    terminalreporter.section("faults that were struck")
    for what, words in KINDS.items():
        if what in points:
            wrong = f"{faults[what]} not as they must be"
            found = wrong if faults[what] else "0 lost, 0 partial, 0 paid twice"
            terminalreporter.line(f"{points[what]:>8,} {words}: {found}")
