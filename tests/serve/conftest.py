"""A home of two agencies, whose pages are tried."""

from __future__ import annotations

from pathlib import Path

import pytest
from answering import back, home_of, take
from scene import account, accounts_table, line, people_table, person, run

import switch

CALENDAR = switch.Settings(cutoffs=("11:00", "15:30"), held_days=30)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two agencies with a batch each, lines that wait, came back and were not answered."""
    home = home_of(tmp_path_factory.mktemp("pages") / "home", settings=CALENDAR)
    with switch.open(home) as engine:
        engine.settle("20261125-1", at="2026-11-25T11:05")
        take(engine, home, *(back(n) for n in (1, 2)), at="2026-11-27T10:00")
        engine.settle("20261127-1", at="2026-11-27T11:30")
        engine.register(
            population=people_table([person(70), person(71), person(72)]),
            accounts=accounts_table([account(71)]),
        )
        rows = [line(n, period=202512) for n in (72, 6)]
        day = {"value_date": "2026-12-01", "at": "2026-12-01T07:00"}
        run(engine, rows, "OTHER", source="VSS", **day)
        run(engine, [line(7, period=202512)], "BOTH", source="VSS", **day)
        run(engine, [line(8, period=202512)], "BOTH", source="MOH", **day)
        rows = [line(n, period=202512) for n in (70, 71, 5)]
        run(engine, rows, "M", source="MOH", value_date="2026-12-01", at="2026-12-01T08:00")
    return home
