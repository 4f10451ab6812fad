"""Days do not run back, and time does not leap: what day it is follows from what was said."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from answering import CALENDAR, back, home_of, said, write
from hypothesis import given
from hypothesis import strategies as st
from scene import VALUE_DATE, command, line, payment_table, run, tree_digest, write_table

import switch
from switch.engine import Engine
from switch.errors import InputRefused
from switch.home import days
from switch.home.store import Home
from switch.reconcile import day_end, take_in

FAR = dt.date(2999, 1, 1)


def states(answer: dict[str, Any]) -> dict[str, int]:
    return {name: count for name, count in answer["states"].items() if count}


SAID: dict[str, Callable[[Engine, str], Any]] = {
    "run": lambda engine, at: run(engine, [line(2, period=202612)], "NEW", at=at),
    "reconcile": lambda engine, at: engine.reconcile(at=at),
    "close": lambda engine, at: engine.close_day(at),
    "write back": lambda engine, at: engine.write_back(at=at),
    "reissue": lambda engine, at: engine.reissue(at=at),
}


@pytest.mark.parametrize("what", SAID)
def test_days__do_not_run_back(what: str, tmp_path: Path) -> None:
    home = home_of(tmp_path / "h", 4)
    with switch.open(home) as engine:
        engine.reconcile(write(tmp_path / "a", [back(1)]), at="2026-12-01")
        engine.close_day("2026-12-02T18:00:00")
        before = tree_digest(home)
        for at in ("2026-12-01", "2026-11-20", "2026-12-01T23:59:59"):
            with pytest.raises(InputRefused, match="lies before 2026-12-02, the last day that was"):
                SAID[what](engine, at)
        assert tree_digest(home) == before
        SAID[what](engine, "2026-12-02")
    assert switch.verify(home)


def test_days__do_not_run_back_by_a_cycle(tmp_path: Path) -> None:
    home = home_of(tmp_path / "h", 4, CALENDAR)
    with switch.open(home) as engine:
        engine.close_day("2026-12-02")
        with pytest.raises(InputRefused, match="days do not run back"):
            engine.settle(at="2026-12-01T12:00:00")
        (answer,) = engine.settle()
        assert answer["at"] == "2026-12-02", "a cut-off before it is recorded on the closed day"
        assert engine.settle("20261125-1", at="2026-11-25T12:00:00") == [answer], "it was answered"
    assert switch.verify(home)


def test_command__a_day_that_ran_back_is_exit_3(tmp_path: Path) -> None:
    home = home_of(tmp_path / "h", 4)
    assert command("close", home, "--at", "2026-12-02").code == 0
    for name in ("close", "reconcile"):
        told = command(name, home, "--at", "2026-12-01")
        assert told.code == 3
        assert "give --at 2026-12-02, or a later time" in told.err


def test_run__due_before_a_closed_day_is_recorded_on_it(tmp_path: Path) -> None:
    home = home_of(tmp_path / "h", 4)
    with switch.open(home) as engine:
        engine.close_day("2026-12-02")
        batch = run(engine, [line(2, period=202612)], "LATE")
        assert (batch.summary["at"], batch.summary["value_date"]) == ("2026-12-02", "2026-11-25")
        assert run(engine, [line(2, period=202612)], "LATE", at="2026-11-25").replayed
        assert engine.close_day("2026-12-02")["later"] == []
    assert switch.verify(home)


def test_close__signs_nothing_of_later_days(tmp_path: Path) -> None:
    home = home_of(tmp_path / "h", 4)
    with switch.open(home) as engine:
        run(engine, [line(5), line(6)], "LATER", value_date=dt.date(2026, 11, 28))
        engine.reconcile(
            write(tmp_path / "a", [said(n) for n in range(1, 5)]),
            at="2026-11-25",
        )
        first = engine.close_day("2026-11-25")
        assert (first["later"], first["closed"]) == ([2], [1])
        assert first["totals"]["payable"] == sum(1_000_000 + n for n in range(1, 5))
        second = engine.close_day("2026-11-28")
        assert second["later"] == []
        assert second["totals"]["payable"] == 2_000_011
    assert switch.verify(home)


def test_now__a_far_value_date_moves_no_time(tmp_path: Path) -> None:
    home = home_of(tmp_path / "h", 4)
    with switch.open(home) as engine:
        run(engine, [line(5)], "FAR", value_date=FAR)
        answer = engine.reconcile(write(tmp_path / "a", [said(1)]))
        assert (answer["as_of"], states(answer)) == ("2026-11-25", {"SETTLED": 4, "CREDITED": 1})
        engine.close_day("2026-11-26")
        run(engine, [line(6)], "NEAR", value_date=dt.date(2026, 12, 20))
        late = engine.reconcile(write(tmp_path / "b", [said(2)]))
        assert (late["as_of"], states(late)) == ("2026-11-26", {"SETTLED": 4, "CREDITED": 2})
    assert switch.verify(home)


def test_now__is_made_by_value_dates_where_no_time_was_said(tmp_path: Path) -> None:
    home = home_of(tmp_path / "h", 4)
    with switch.open(home) as engine:
        for number, day in enumerate(("2026-12-25", "2027-01-25", "2027-06-01"), 6):
            run(engine, [line(number)], f"B{number}", value_date=day)
        assert days.times(engine.home).now == "2027-01-25"


@pytest.mark.parametrize("what", ["reconcile", "close"])
def test_days__a_leap_needs_a_word(what: str, tmp_path: Path) -> None:
    home = home_of(tmp_path / "h", 4)
    before = tree_digest(home)
    told = command(what, home, "--at", "2062-12-01")
    assert told.code == 2
    assert "13,155 days after all that this home knows" in told.err
    assert tree_digest(home) == before
    # No answer came to four lines in all these years: breaks that nobody accepted.
    assert command(what, home, "--at", "2062-12-01", "--leap").code == (what == "close")
    with switch.open(home) as engine:
        assert days.times(engine.home).now == "2062-12-01"
    assert switch.verify(home)


@given(st.lists(st.integers(0, 300), min_size=1, max_size=6), st.integers(0, 400))
def test_leap__is_from_the_last_day_before(known: list[int], day: int) -> None:
    begin = dt.date(2026, 1, 1)
    found = days.leap([begin + dt.timedelta(n) for n in known], begin + dt.timedelta(day))
    assert found == min((day - n for n in known if n <= day), default=0)


def test_days__a_slip_of_an_older_engine_does_not_stop_a_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was closed for 2062, and then for a day before, when nothing was said against it."""
    home = home_of(tmp_path / "h", 4)
    sign = day_end.sign

    def as_before(*values: Any) -> Any:
        signed, statements = sign(*values)
        del signed["later"]
        return signed, statements

    with monkeypatch.context() as patch:
        patch.setattr(day_end, "sign", as_before)
        patch.setattr(take_in, "leaps", lambda *_: False)
        with switch.open(home) as engine:
            engine.close_day("2062-12-01", leap=True)
    with switch.open(home) as engine:
        assert days.times(engine.home) == days.Times(
            "2026-11-25", "", frozenset([VALUE_DATE]), frozenset(), "2062-12-01"
        )
        assert engine.reconcile()["as_of"] == "2026-11-25"
        engine.close_day("2026-11-25")
    assert switch.verify(home)


def test_times__of_a_home_without_batches(village: Path) -> None:
    with Home(village, writing=False) as home:
        assert days.times(home) == days.Times("", "", frozenset(), frozenset(), "")


# --- declared again -------------------------------------------------------------------------------

OTHER = {"value_date": "2026-11-28", "count": 4, "sum": "9"}
"""Another value for each fact of a dossier that a table sent again could change."""
RULE = {
    "currency": ("USD", "CURRENCY"),
    "sha256": ("0" * 64, "FILE_HASH"),
}


@pytest.mark.parametrize("name", [*OTHER, *RULE])
def test_run__again_with_another_declaration_is_refused(name: str, tmp_path: Path) -> None:
    home = home_of(tmp_path / "h", 1)
    table = payment_table([line(2), line(3)])
    path = write_table(table, tmp_path / "t.parquet", batch_id="T")
    value, rule = RULE[name] if name in RULE else (OTHER[name], "REFERENCE_REUSED")
    with switch.open(home) as engine:
        engine.run(path)
        before = tree_digest(home)
        write_table(table, path, batch_id="T", **{name: value})
        with pytest.raises(InputRefused) as refused:
            engine.run(path)
        assert refused.value.rule == rule
        assert name not in OTHER or refused.value.column == name
        assert tree_digest(home) == before
        write_table(table, path, batch_id="T")
        assert engine.run(path).replayed


def test_run__every_declared_fact_is_looked_at_again() -> None:
    from switch.clearing.intake import FIELDS, STORED

    assert {*STORED, *RULE, "source", "batch_id"} == set(FIELDS)
    assert set(OTHER) == set(STORED)


def test_close__signs_no_cycle_that_settled_later(tmp_path: Path) -> None:
    home = home_of(tmp_path / "h", 4, CALENDAR)
    with switch.open(home) as engine:
        engine.settle(at="2026-11-27T12:00:00")
        first = engine.close_day("2026-11-26", correct="signed late")
        second = engine.close_day("2026-11-27")
        assert first["totals"]["payable"] == second["totals"]["payable"] == 4_000_010
        assert (first["totals"]["asked"], second["totals"]["asked"] > 0) == (0, True)
    assert switch.verify(home)
