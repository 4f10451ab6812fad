"""Cycles and balances, asked by the library and by commands: both say the same, at any time."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import pytest
from answering import home_of, said, take
from cycles import BOUND, lines, make, table_of
from scene import command, line, pay, run

import switch
from switch.engine import Engine
from switch.errors import UsageError
from switch.home.times import is_past
from switch.registry.settings import Settings

WAIT = Settings(cutoffs=("11:00", "15:30"))
RECAST = Settings(cutoffs=("11:00", "15:30"), insufficient_funds="recast")


def rows(engine: Engine) -> dict[str, Any]:
    return {row["cycle"]: row for row in engine.cycles().rows()}


def test_cycles__tell_what_they_wait_for(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with make(home, WAIT, BOUND) as engine:
        run(engine, lines("A > B 60\nB > C 50"), "ONE", at="2026-11-25T09:00")
        first = rows(engine)["20261125-1"]
        assert (first["state"], first["lines"], first["sum"]) == ("OPEN", 2, 110)
        assert (first["opened_at"], first["batch_ids"]) == ("2026-11-25T09:00", "ONE")
        assert first["closes"] == "2026-11-25T11:00:00+07:00"
        assert first["waits"] == "its cut-off, 2026-11-25T11:00:00"
        engine.settle(at="2026-11-25T11:00", close_only=True)
        assert rows(engine)["20261125-1"]["waits"] == "its settlement"
        engine.change_directory(balances=table_of({"A": 10}), at="2026-11-25T11:01")
        assert rows(engine)["20261125-1"]["waits"] == "funds: A lacks 50"
        engine.settle(at="2026-11-25T11:05")
        assert rows(engine)["20261125-1"]["state"] == "CLOSED"
        engine.change_directory(balances=table_of({"A": 60}), at="2026-11-25T11:10")
        run(engine, lines("C > A 7", 11), "TWO", at="2026-11-25T11:30")
        engine.settle("20261125-1", at="2026-11-25T11:40")
        found = rows(engine)
        assert (found["20261125-1"]["state"], found["20261125-1"]["waits"]) == ("SETTLED", "")
        assert found["20261125-1"]["ended_at"] == "2026-11-25T11:40"
        assert found["20261125-2"]["state"] == "OPEN"
        only = engine.cycles(state="OPEN")
        assert [row["cycle"] for row in only.rows()] == ["20261125-2"]
        whole = engine.cycles()
        assert whole.parts["states"] == {
            "OPEN": {"count": 1, "sum": 7},
            "SETTLED": {"count": 1, "sum": 110},
        }
        with pytest.raises(UsageError):
            engine.cycles(state="RECAST")
    assert command("cycles", home, "--json").document == whole.document()
    assert command("cycles", home, "--state", "OPEN", "--json").document == only.document()
    text = command("cycles", home).out
    assert "its cut-off, 2026-11-25T15:30:00" in " ".join(text.split())


def test_cycles__recast_and_aborted_say_what_went_back(tmp_path: Path) -> None:
    with make(tmp_path / "home", RECAST, {"A": 100}) as engine:
        run(engine, lines("A > B 60\nB > C 50\nA > C 5"), "ONE", at="2026-11-25T09:00")
        engine.change_directory(balances=table_of({"A": 10}), at="2026-11-25T10:00")
        engine.settle(at="2026-11-25T11:00")
        run(engine, lines("B > C 8", 11), "TWO", at="2026-11-25T12:00")
        engine.settle("20261125-2", abort="the bank is shut", at="2026-11-25T16:00")
        found = rows(engine)
        held = engine.held().rows()
    one, two = found["20261125-1"], found["20261125-2"]
    assert (one["state"], one["rule"], one["lines"], one["sum"]) == ("SETTLED", "recast", 1, 50)
    assert (one["went_back_lines"], one["went_back_sum"]) == (2, 65)
    assert (two["state"], two["rule"], two["lines"], two["sum"]) == ("ABORTED", "abort", 0, 0)
    assert two["went_back_lines"] >= 1
    told = {(r["batch_id"], r["line_no"]): (r["reason"], r["tried"]) for r in held}
    assert told[("TWO", 1)] == ("ED05", 0)
    assert told[("ONE", 1)][0] == "AM23"


def test_cycles__refused_lines_left_theirs(tmp_path: Path) -> None:
    home = home_of(tmp_path / "home", settings=WAIT)
    with switch.open(home) as engine:
        before = rows(engine)["20261125-1"]
        take(engine, home, said(1, "RJCT"), said(2, "RJCT"), at="2026-11-25T10:00")
        after = rows(engine)["20261125-1"]
    assert before["lines"] - after["lines"] == after["went_back_lines"] == 2
    assert before["sum"] - after["sum"] == after["went_back_sum"] == 2_000_003


def test_cycles__of_batches_without_a_calendar_are_told_too(village: Path) -> None:
    pay(village, [line(1), line(2)], "A")
    with switch.open(village) as engine:
        (row,) = engine.cycles().rows()
    assert (row["state"], row["closes"], row["ended_at"]) == ("SETTLED", None, "2026-11-25")
    assert (row["lines"], row["batch_ids"]) == (2, "A")


# --- balances -------------------------------------------------------------------------------------


def a_day(engine: Engine) -> None:
    """Commits of every kind that moves money, at times of their own."""
    run(engine, lines("A > B 60\nKBNN > C 50\nKBNN > KBNN 3"), "ONE", at="2026-11-25T09:00")
    engine.change_directory(balances=table_of({"A": 500, "C": 20}), at="2026-11-25T10:00")
    engine.settle(at="2026-11-25T11:00")
    run(engine, lines("KBNN > A 7", 11), "TWO", at="2026-11-25T12:00")
    engine.settle("20261125-2", abort="the bank is shut", at="2026-11-25T16:00")
    run(engine, lines("KBNN > B 9", 21), "THREE", at="2026-11-26T09:00", value_date="2026-11-26")


def held_by(engine: Engine, at: str = "") -> dict[str, tuple[Any, ...]]:
    names = ("balance", "reserved", "bound", "moved_by")
    return {
        str(row["participant"]): tuple(row[name] for name in names)
        for row in engine.balances(at=at).rows()
    }


def test_balances__are_those_of_the_catalog_and_of_any_time_before(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with make(home, WAIT, BOUND) as engine:
        assert held_by(engine)["A"] == (100, 0, True, None)
        a_day(engine)
        now = held_by(engine)
        assert now["A"] == (440, 0, True, "cycle 20261125-1")
        assert now["B"][:3] == (60, 0, True)
        assert now["KBNN"][:3] == (-66, 16, False)
        stored = engine.home.catalog.balances()
        for row in engine.balances().rows():
            assert row["balance"] == stored.get(str(row["account"]), 0)
        then = held_by(engine, "2026-11-25T09:30")
        assert then["A"] == (100, 0, True, None)
        assert then["C"] == (0, 0, False, None)
        assert then["KBNN"] == (-50, 50, False, "batch ONE")
        assert held_by(engine, "2026-11-25T10:00")["A"] == (500, 0, True, "balances given")
        assert held_by(engine, "2026-11-25T11:00")["KBNN"][:2] == (-50, 0)
        assert held_by(engine, "2026-11-25") == held_by(engine, "2026-11-25T23:59:59")
        assert held_by(engine, "2026-11-24")["A"] == (100, 0, True, None)
        assert held_by(engine, "2027-01-01") == now
        whole, past = engine.balances(), engine.balances(at=dt.date(2026, 11, 25))
        assert (whole.as_of, past.as_of) == ("2026-11-26T09:00", "2026-11-25")
        with pytest.raises(UsageError):
            engine.balances(at="yesterday")
    assert command("balances", home, "--json").document == whole.document()
    assert command("balances", home, "--at", "2026-11-25", "--json").document == past.document()
    assert command("balances", home, "--at", "yesterday").code == 2


def test_balances__of_a_record_each_are_what_was_stored_then(tmp_path: Path) -> None:
    """What is asked for of the past is what stood in the catalog then."""
    home = tmp_path / "home"
    stored: dict[str, dict[str, int]] = {}
    with make(home, WAIT, BOUND) as engine:
        real = engine.home.commit

        def commit(**what: Any) -> None:
            real(**what)
            if not stored or is_past(max(stored), what["at"]):
                stored[what["at"]] = engine.home.catalog.balances()

        engine.home.commit = commit  # type: ignore[method-assign]
        a_day(engine)
        assert len(stored) >= 5
        for at, balances in stored.items():
            for row in engine.balances(at=at).rows():
                assert row["balance"] == balances.get(str(row["account"]), 0), (at, row)
        whole = engine.balances()
    text = command("balances", home).out
    for row in whole.rows():
        assert f"{row['balance']:,}" in text


@pytest.mark.parametrize("name", ["breaks", "cycles", "balances", "held", "returned"])
@pytest.mark.parametrize("width", [30, 80, 200])
def test_commands__break_no_number_at_any_width(
    tmp_path: Path, name: str, width: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    home = home_of(tmp_path / "home")
    with switch.open(home) as engine:
        engine.change_directory(balances=table_of({"970001": 2**55}), at="2026-11-26")
        take(engine, home, said(1, amount=2**54 + 1), said(2), at="2026-12-20")
        found: dict[str, Any] = {
            "breaks": engine.breaks().rows(),
            "balances": engine.balances().rows(),
            "cycles": engine.cycles().rows(),
        }
    text = command(name, home).out
    column = {"breaks": "value", "balances": "balance", "cycles": "sum"}.get(name, "amount")
    for row in found.get(name, []):
        assert f"{row[column]:,}" in text, text
