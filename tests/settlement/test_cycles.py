"""Cycles of the calendar: business days and cut-offs, and how a cycle is closed and settled."""

from __future__ import annotations

import datetime as dt
import json
import shutil
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from cycles import (
    CUTOFFS,
    PARTICIPANTS,
    WEDNESDAY,
    balances_of,
    lines,
    make,
    short,
    states,
    switch_verify,
    table_of,
)
from scene import (
    answers,
    command,
    participant,
    payment_table,
    run,
    tree_digest,
    write_table,
)

import switch
from switch import status
from switch.errors import InputRefused, UsageError
from switch.registry.settings import Settings
from switch.settlement.calendar import Calendar

# --- the calendar ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("at", "cycle", "why"),
    [
        ("2026-11-25", "20261125-1", "a day is its beginning"),
        ("2026-11-25T11:00:00", "20261125-1", "the cut-off itself is in time"),
        ("2026-11-25T11:00:01", "20261125-2", ""),
        ("2026-11-25T08:30:00+00:00", "20261125-2", "15:30 in Vietnam"),
        ("2026-11-25T08:30:01+00:00", "20261126-1", ""),
        ("2026-11-27T18:00:00", "20261130-1", "Friday evening is Monday morning"),
        ("2026-11-24T09:00:00", "20261125-1", "never before the value date"),
        ("2026-12-31T16:00:00", "20270104-1", "the first of January is a holiday, then a weekend"),
    ],
)
def test_calendar__a_time_has_its_cycle(at: str, cycle: str, why: str) -> None:
    assert Calendar(CUTOFFS).slot_of(at, WEDNESDAY, ()).cycle == cycle


def test_calendar__tet_has_no_cycle() -> None:
    slot = Calendar(CUTOFFS).slot_of("2026-02-13T16:00:00", dt.date(2026, 2, 13), ())
    assert slot == ("20260223-1", "2026-02-23T11:00:00+07:00")


def test_calendar__a_closed_cycle_takes_nothing() -> None:
    slot = Calendar(CUTOFFS).slot_of("2026-11-25", WEDNESDAY, {"20261125-1", "20261125-2"})
    assert slot.cycle == "20261126-1"


def test_calendar__a_year_without_holidays_is_refused() -> None:
    with pytest.raises(InputRefused, match="CALENDAR_RANGE"):
        Calendar(CUTOFFS).slot_of("2031-01-06", dt.date(2031, 1, 6), ())
    own = Settings(cutoffs=("09:00",), holidays=(dt.date(2031, 1, 1),))
    assert Calendar(own).slot_of("2031-01-01", dt.date(2031, 1, 1), ()).cycle == "20310102-1"


@pytest.mark.parametrize("name", ["20261125-3", "20261125-0", "20261129-1", "20261124-1", "x", ""])
def test_calendar__has_no_cycle_of_that_name(name: str) -> None:
    with pytest.raises(UsageError, match="no cycle"):
        Calendar(CUTOFFS).slot_named(name)


@pytest.mark.parametrize(
    "wrong",
    [
        {"cutoffs": ("9:00",)},
        {"cutoffs": ("24:00",)},
        {"cutoffs": ("15:30", "11:00")},
        {"insufficient_funds": "hope"},
    ],
)
def test_settings__of_the_calendar_are_checked(wrong: Any) -> None:
    with pytest.raises(UsageError):
        Settings(**wrong).check()


def test_settings__without_a_calendar_are_written_as_ever() -> None:
    assert msgspec.json.encode(Settings()) == b'{"clearing_limit":500000000}'


# --- a home with a calendar -----------------------------------------------------------------------


def test_settle__two_batches_settle_as_one_cycle(tmp_path: Path) -> None:
    with make(tmp_path / "h") as engine:
        first = run(engine, lines("KBNN > A 100\nA > B 30"), "X")
        second = run(engine, lines("B > KBNN 20\nC > A 5", 3), "Y", at="2026-11-25T10:59:00")
        third = run(engine, lines("C > A 7", 5), "Z", at="2026-11-25T12:00:00")
        assert [b.cycle for b in (first, second, third)] == ["20261125-1"] * 2 + ["20261125-2"]
        assert answers(first) == [("ACSP", None)] * 2
        assert not (tmp_path / "h" / "out" / "cycles").exists()
        assert balances_of(engine) == {"S.RESERVE[000001]": 100, "S.TREASURY[KBNN]": -100}
        assert states(engine) == {"20261125-1": "OPEN", "20261125-2": "OPEN"}
        assert switch_verify(engine)
        [answer] = engine.settle(at="2026-11-25T11:00:00+07:00")
        assert (answer["cycle"], answer["state"]) == ("20261125-1", "SETTLED")
        assert states(engine) == {"20261125-1": "SETTLED", "20261125-2": "OPEN"}
        assert balances_of(engine) == {
            "S.BANK[A]": 75,
            "S.BANK[B]": 10,
            "S.BANK[C]": -5,
            "S.TREASURY[KBNN]": -80,
        }
        told = status.line(engine.home, "X", 1)["states"]
        assert [(s["status"], s["at"][:16]) for s in told] == [
            ("ACSP", "2026-11-25"),
            ("ACSC", "2026-11-25T11:00"),
        ]
        folder = tmp_path / "h" / "out" / "cycles" / "20261125-1"
        request = json.loads((folder / "settlement.json").read_text())
        assert (request["batches"], request["sum"]) == (["X", "Y"], "85")
        moved = json.loads((folder / "answer.json").read_text())["participants"]
        assert moved == request["participants"]
        assert sum(pq.read_table(folder / "positions.parquet")["net"].to_pylist()) == 0
        assert switch_verify(engine)
        assert [a["cycle"] for a in engine.settle()] == ["20261125-2"]
        assert engine.settle() == []
    assert switch.verify(tmp_path / "h")


def test_settle__a_cycle_with_nothing_in_it_settles_as_nothing(tmp_path: Path) -> None:
    with make(tmp_path / "h") as engine:
        [answer] = engine.settle("20261125-1")
        assert (answer["state"], answer["participants"]) == ("SETTLED", [])
        assert run(engine, lines("A > B 1")).cycle == "20261125-2", "it takes nothing any more"
        assert engine.settle("20261125-1") == [answer], "the stored answer"
        with pytest.raises(UsageError, match="no cycle"):
            engine.settle("20261125-9")
        with pytest.raises(UsageError, match="ISO 8601"):
            engine.settle(at="noon")
    assert switch.verify(tmp_path / "h")


def test_settle__copies_are_written_again_when_a_participant_has_left(tmp_path: Path) -> None:
    with make(tmp_path / "h") as engine:
        run(engine, lines("A > B 5\nC > B 2"), "X")
        engine.settle()
        out = tmp_path / "h" / "out"
        before = tree_digest(out / "cycles")
        shutil.rmtree(out)
        left = [row["participant"] for row in PARTICIPANTS if row["participant"] != "C"]
        engine.change_directory(
            participants=pa.Table.from_pylist(
                [p for p in PARTICIPANTS if p["participant"] in left]
            ),
            debtors=pa.table({"debtor_account": left, "debtor_agent": left}),
        )
        assert engine.settle() == []
        assert tree_digest(out / "cycles") == before
    assert switch.verify(tmp_path / "h")


def test_settle__without_a_calendar_is_a_usage_error(tmp_path: Path) -> None:
    with make(tmp_path / "h", Settings()) as engine:
        assert answers(run(engine, lines("A > B 1"))) == [("ACSC", None)]
        with pytest.raises(UsageError, match="no calendar"):
            engine.settle()


def test_settle__a_replay_comes_to_the_same_cycles_and_bytes(tmp_path: Path) -> None:
    found = []
    for name in ("a", "b"):
        with make(tmp_path / name) as engine:
            run(engine, lines("KBNN > A 100\nA > B 30"), "X", threads=1 + (name == "b"))
            engine.settle("20261125-1")
            run(engine, lines("C > A 7", 5), "Z", chunk_rows=1 + 99 * (name == "b"))
            found.append(
                (engine.home.catalog.heads().link, tree_digest(tmp_path / name / "batches"))
            )
    assert found[0] == found[1]


def test_settle__waits_for_funds_and_is_tried_again(tmp_path: Path) -> None:
    with short(tmp_path / "h") as engine:
        before = balances_of(engine)
        [answer] = engine.settle()
        assert (answer["state"], answer["rule"], answer["short"]) == ("CLOSED", "wait", {"A": 30})
        assert balances_of(engine) == before, "all or nothing"
        assert states(engine) == {"20261125-1": "CLOSED"}
        assert run(engine, lines("C > B 1", 9), "Y").cycle == "20261125-2"
        assert switch_verify(engine)
        engine.change_directory(balances=table_of({"A": 80}))
        [answer] = engine.settle("20261125-1")
        assert (answer["state"], answer["short"]) == ("SETTLED", {})
        assert balances_of(engine) | {"S.RTGS[A]": 0} == {
            "S.BANK[B]": 10,
            "S.BANK[C]": 70,
            "S.RTGS[A]": 0,
        }
    assert switch.verify(tmp_path / "h")


def test_settle__shares_the_loss_by_what_was_owed(tmp_path: Path) -> None:
    """Of the 30 that A lacks, B bears 5/8 and C 3/8: 18.75 and 11.25, the larger remainder up.
    B, which was to receive 10, has to pay 9 now, and has them."""
    with short(tmp_path / "h", "share") as engine:
        engine.change_directory(balances=table_of({"B": 9}))
        [answer] = engine.settle()
        assert (answer["state"], answer["rule"]) == ("SETTLED", "share")
        assert (answer["short"], answer["shares"]) == ({"A": 30}, {"B": 19, "C": 11})
        assert answer["turned_payer"] == ["B"]
        assert balances_of(engine) == {"S.BANK[C]": 59, "S.RTGS[A]": 50, "S.RTGS[B]": -9}
    assert switch.verify(tmp_path / "h")


def test_settle__a_loss_that_others_cannot_bear_waits(tmp_path: Path) -> None:
    with short(tmp_path / "h", "share") as engine:
        [answer] = engine.settle()
        assert (answer["state"], answer["short"]) == ("CLOSED", {"B": 9})
    assert switch.verify(tmp_path / "h")


def test_settle__a_loss_among_defaulters_alone_waits(tmp_path: Path) -> None:
    """A had to pay B alone, who lacks funds itself: nobody is there to bear what A lacks."""
    settings = Settings(cutoffs=("11:00",), insufficient_funds="share")
    with make(tmp_path / "h", settings, {"A": 50, "B": 100}) as engine:
        run(engine, lines("A > B 50\nB > C 100"), "X")
        engine.change_directory(balances=table_of({"A": 20, "B": 0}))
        before = balances_of(engine)
        [answer] = engine.settle()
        assert (answer["state"], answer["rule"]) == ("CLOSED", "wait")
        assert (answer["short"], answer["shares"]) == ({"A": 30, "B": 50}, {})
        assert balances_of(engine) == before
    assert switch.verify(tmp_path / "h")


def test_settle__room_counts_what_open_cycles_will_take(tmp_path: Path) -> None:
    with make(tmp_path / "h", balances={"A": 100, "KBNN": 50}) as engine:
        assert answers(run(engine, lines("A > B 60\nKBNN > B 50"), "X")) == [("ACSP", None)] * 2
        later = {"at": "2026-11-25T12:00:00"}
        batch = run(engine, lines("A > B 41\nKBNN > B 1\nB > A 1", 3), "Y", **later)
        assert [reason for _, reason in answers(batch)] == [None, "AM23", None]
        assert balances_of(engine) == {"S.BANK[A]": 100, "S.RESERVE[000001]": 50}
        assert [a["state"] for a in engine.settle()] == ["SETTLED"] * 2
        assert balances_of(engine) == {"S.BANK[B]": 150}
    assert switch.verify(tmp_path / "h")


def test_settle__nobody_leaves_an_unsettled_cycle(tmp_path: Path) -> None:
    with make(tmp_path / "h") as engine:
        run(engine, lines("A > B 1"))
        some = pa.Table.from_pylist(
            [
                participant("A", settled_by="KBNN"),
                participant("B"),
                participant("C"),
                participant("KBNN", "treasury"),
            ]
        )
        with pytest.raises(InputRefused, match="participant A stands in a cycle"):
            engine.change_directory(participants=some)
        with pytest.raises(UsageError, match="given alone"):
            engine.change_directory(participants=some, balances=table_of({"A": 1}))
        engine.settle()
        engine.change_directory(participants=some)


def test_settle__closing_alone_takes_no_more_lines(tmp_path: Path) -> None:
    with make(tmp_path / "h") as engine:
        run(engine, lines("A > B 1"), "X")
        [answer] = engine.settle("20261125-1", close_only=True)
        assert (answer["state"], answer["participants"]) == ("CLOSED", [])
        assert run(engine, lines("A > B 1", 2), "Y").cycle == "20261125-2"
        assert [a["state"] for a in engine.settle()] == ["SETTLED"] * 2


def test_settle__the_command_says_what_moved(tmp_path: Path) -> None:
    config = tmp_path / "calendar.toml"
    config.write_text('cutoffs = ["11:00"]\ninsufficient_funds = "wait"\n')
    with make(tmp_path / "h", Settings()) as engine:
        pass
    home = tmp_path / "h"
    table = write_table(payment_table(lines("A > B 1", 40)), tmp_path / "t.parquet", batch_id="T")
    said = command("--json", "--config", config, "run", home, table)
    assert (said.code, "cutoffs" in said.err) == (2, True), "a run brings no calendar"
    said = command("--json", "run", home, table)
    assert said.document["batches"][0]["cycle"] == "20261125-000001"
    said = command("--json", "--config", config, "directory", home)
    assert said.document["settings"]["cutoffs"] == ["11:00"]
    assert said.document["settings"]["clearing_limit"] == 500_000_000
    with switch.open(home) as engine:
        run(engine, lines("A > B 60"))
    assert "SETTLED, 60 dong moved" in command("settle", home).out
    assert "no cycle waits" in command("settle", home).out
    assert command("settle", home, "--cycle", "no").code == 2
    config.write_text('cutoffs = ["eleven"]\n')
    assert command("--config", config, "directory", home).code == 2
    config.write_text('holidays = ["2027-13-01"]\n')
    assert command("--config", config, "directory", home).code == 2
    assert switch.verify(home)
