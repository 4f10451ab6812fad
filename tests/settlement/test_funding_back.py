"""What receivers refuse or send back releases its part of a budget; who has refusals is not
aborted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from answering import CALENDAR, LATER, back, home_of, said, switch_verify, take, transfer
from scene import answers, asked, line, run

import switch
from switch import status
from switch.engine import Engine
from switch.errors import UsageError

AMOUNT = 1_000_000


def told(engine: Engine) -> tuple[Any, ...]:
    """reserved, consumed, released, remaining of pensions."""
    (row,) = status.budgets(engine.home)
    return tuple(row[name] for name in ("reserved", "consumed", "released", "remaining"))


def test_budget__what_a_receiver_refuses_in_time_is_released(tmp_path: Path) -> None:
    with switch.open(home_of(tmp_path / "h", 3, CALENDAR)) as engine:
        whole = 3 * AMOUNT + 6
        assert told(engine) == (whole, 0, 0, whole)
        take(engine, tmp_path / "h", said(1, "RJCT"), at="2026-11-25")
        assert told(engine) == (whole, 0, AMOUNT + 1, whole - AMOUNT - 1)
        assert switch_verify(engine)
        engine.settle(at=LATER)
        assert told(engine) == (whole, whole - AMOUNT - 1, AMOUNT + 1, 0)
    assert switch.verify(tmp_path / "h")


@pytest.mark.parametrize("step", ["write_back", "reissue"])
def test_budget__what_comes_back_is_released_once_it_is_decided(tmp_path: Path, step: str) -> None:
    with switch.open(home_of(tmp_path / "h", 3)) as engine:
        whole, one = 3 * AMOUNT + 6, AMOUNT + 2
        take(engine, tmp_path / "h", back(2))
        assert told(engine) == (whole, whole, 0, 0)
        getattr(engine, step)()
        assert told(engine) == (whole, whole - one, one, 0)
        assert switch_verify(engine)
        batch = run(engine, [line(2)], "B")
        if step == "write_back":
            assert answers(batch) == [("RJCT", "AM05")]
            assert told(engine) == (whole, whole - one, one, 0)
        else:
            assert answers(batch) == [("ACSC", None)]
            assert told(engine) == (whole + one, whole, one, 0)
    assert switch.verify(tmp_path / "h")


def test_abort__what_is_paid_later_closes_with_the_day(tmp_path: Path) -> None:
    with switch.open(home_of(tmp_path / "h", 3, CALENDAR)) as engine:
        whole = told(engine)[0]
        (row,) = asked(engine.home, "SELECT cycle FROM cycles")
        engine.settle(row["cycle"], abort="a mistake")
        run(engine, [line(4)], "B", at="2026-11-25T12:00:00")
        engine.settle(at=LATER)
        sent = [*(said(n) for n in (1, 2, 3)), said(4, transfer_id=transfer(1, 2))]
        take(engine, tmp_path / "h", *sent)
        assert engine.close_day(LATER)["closed"] == [1, 2]
        states = [row["state"] for row in asked(engine.home, "SELECT state FROM batches")]
        assert states == ["CLOSED", "CLOSED"]
        assert told(engine) == (whole + AMOUNT + 4, whole + AMOUNT + 4, 0, 0)
    assert switch.verify(tmp_path / "h")


def test_abort__leaves_a_cycle_with_refusals_as_it_is(tmp_path: Path) -> None:
    with switch.open(home_of(tmp_path / "h", 3, CALENDAR)) as engine:
        take(engine, tmp_path / "h", said(1, "RJCT"), at="2026-11-25")
        (cycle,) = asked(engine.home, "SELECT cycle, state FROM cycles")
        with pytest.raises(UsageError, match="has refusals or returns"):
            engine.settle(cycle["cycle"], abort="a mistake")
        assert asked(engine.home, "SELECT cycle, state FROM cycles")[0]["state"] == "OPEN"
        engine.settle(at=LATER)
    assert switch.verify(tmp_path / "h")
