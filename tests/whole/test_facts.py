"""Facts that change: cut-offs, days off, kinds and every other column, between any two commands."""

from __future__ import annotations

import contextlib
import datetime as dt
import json
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pytest
from scene import (
    answers,
    asked,
    line,
    new_checkpoint,
    participant,
    payment_table,
    people_table,
    person,
    run,
)

import switch
from switch import rehearsal
from switch.engine import Engine
from switch.errors import InputRefused, UsageError, VerificationFailed
from switch.home.changes import SetMeta
from switch.proof.replay import replay
from switch.proof.verify import verify
from switch.registry.settings import Settings
from switch.rehearsal import rehearse
from switch.settlement import calendar as cycles
from switch.settlement.calendar import Calendar, Slot

DAY = dt.date(2026, 11, 25)
CODES = ("A", "B", "C", "W", "KBNN")
PARTICIPANTS = [
    participant(c, "treasury" if c == "KBNN" else "bank", settled_by="B" if c == "W" else "")
    for c in CODES
]
DEBTORS = [
    {"debtor_account": c, "debtor_agent": c, "programme": "PENS", "budget": None} for c in CODES
]
PROGRAMMES = [
    {"benefit": b, "name": b, "purpose": "PENS", "priority": None} for b in ("PENS", "SASS")
]
OLD, NEW = Settings(cutoffs=("11:00", "16:00")), Settings(cutoffs=("08:00", "11:00", "16:00"))
PLAIN = Settings()
CALENDARS = pytest.mark.parametrize("settings", [PLAIN, OLD], ids=["plain", "calendar"])


def made(path: Path, settings: Settings, balances: dict[str, int] | None = None) -> Engine:
    engine = switch.init(
        path,
        participants=pa.Table.from_pylist(PARTICIPANTS),
        debtors=pa.Table.from_pylist(DEBTORS),
        programmes=pa.Table.from_pylist(PROGRAMMES),
        balances=funds(balances) if balances else None,
        settings=settings,
        key=b"0123456789abcdef",
    )
    engine.register(population=people_table(person(n) for n in range(1, 60)))
    return engine


def funds(balances: dict[str, int]) -> pa.Table:
    return pa.table({"participant": [*balances], "balance": [*balances.values()]})


def lines(text: str, first: int = 1, **changes: Any) -> list[dict[str, Any]]:
    """`A > B 100` a line, each for another person."""
    rows = []
    for number, (payer, _, payee, amount) in enumerate(map(str.split, text.splitlines()), first):
        given = {"creditor_agent": payee, "creditor_account": f"{number}", **changes}
        rows.append(line(number, amount=int(amount), debtor_account=payer, **given))
    return rows


def changed(code: str, **changes: Any) -> pa.Table:
    """The participants, one of which is another now."""
    rows = [p | changes if p["participant"] == code else p for p in PARTICIPANTS]
    return pa.Table.from_pylist(rows)


def is_sound(engine: Engine) -> bool:
    """The home proves; it is closed by that."""
    engine.close()
    return bool(verify(engine.home.path))


def closes(engine: Engine) -> dict[str, str]:
    rows = asked(engine.home, "SELECT cycle, closes FROM cycles ORDER BY closes")
    return {row["cycle"]: row["closes"][11:16] for row in rows}


# --- cut-offs -------------------------------------------------------------------------------------


def test_cutoffs__changed_between_two_runs_leave_a_sound_home(tmp_path: Path) -> None:
    with made(tmp_path / "home", OLD) as engine:
        run(engine, lines("A > B 100"), "1", at="2026-11-25T10:00:00")
        engine.change_directory(settings=NEW)
        early = run(engine, lines("A > B 10", 2), "2", at="2026-11-25T07:30:00", correct="late")
        same = run(engine, lines("A > B 20", 3), "3", at="2026-11-25T10:30:00")
        late = run(engine, lines("A > B 30", 4), "4", at="2026-11-25T12:00:00")
        assert [b.cycle for b in (early, same, late)] == ["20261125-4", "20261125-1", "20261125-3"]
        assert closes(engine) == {
            "20261125-4": "08:00",
            "20261125-1": "11:00",
            "20261125-3": "16:00",
        }
        assert [a["cycle"] for a in engine.settle()] == ["20261125-4", "20261125-1", "20261125-3"]
        assert is_sound(engine)


@pytest.mark.parametrize(
    ("opened", "cutoffs", "expected"),
    [
        ({}, "08 11", {"1": "08", "2": "11"}),
        ({"1": "11"}, "08 11 16", {"4": "08", "1": "11", "3": "16"}),
        ({"1": "08", "2": "11"}, "11 16", {"1": "08", "2": "11", "3": "16"}),
        ({"2": "16"}, "11 16", {"1": "11", "2": "16"}),
        ({"2": "16"}, "11 14 16", {"1": "11", "4": "14", "2": "16"}),
        ({"1": "11", "2": "11"}, "11 16", {"1": "11", "2": "11", "3": "16"}),
        ({"5": "09"}, "11", {"5": "09", "1": "11"}),
    ],
)
def test_calendar__an_opened_cycle_keeps_its_name_and_cut_off(
    opened: dict[str, str], cutoffs: str, expected: dict[str, str]
) -> None:
    calendar = Calendar(Settings(cutoffs=tuple(f"{hour}:00" for hour in cutoffs.split())))
    there = [Slot(f"20261125-{n}", f"2026-11-25T{hour}:00:00+07:00") for n, hour in opened.items()]
    found = calendar.slots(DAY, there)
    assert [slot.closes for slot in found] == sorted(slot.closes for slot in found)
    assert set(there) <= set(found)
    times = {slot.closes[11:13] for slot in found}
    assert times == set(cutoffs.split()) | set(opened.values())
    assert {slot.cycle[9:]: slot.closes[11:13] for slot in found} == expected
    for slot in found:
        assert calendar.slot_named(slot.cycle, there) == slot
    assert calendar.slot_of("2026-11-25", DAY, (), there) == found[0]


def _as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cycles take the cut-off that the settings give their number, as they did before."""
    slots = Calendar.slots
    monkeypatch.setattr(Calendar, "slots", lambda calendar, day, _=(): slots(calendar, day))


@pytest.mark.parametrize("first", ["a batch", "a return", "a closing"])
def test_cutoffs__a_home_that_failed_verify_by_them_is_sound_and_goes_on(
    first: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as before:
        _as_before(before)
        engine = made(tmp_path / "home", OLD)
        if first == "a batch":
            run(engine, lines("A > B 100"), "1", at="2026-11-25T10:00:00")
        elif first == "a closing":
            engine.settle("20261125-2")
        engine.change_directory(settings=NEW)
        run(engine, lines("A > B 10", 2), "2", at="2026-11-25T07:30:00", correct="late")
        run(engine, lines("A > B 10", 3), "3", at="2026-11-25T15:30:00")
        manifests = [
            msgspec.json.decode(row["manifest"])
            for row in asked(engine.home, "SELECT * FROM batches")
        ]
    if first == "a batch":
        assert [m["closes"][11:16] for m in manifests] == ["11:00", "08:00", "16:00"]
        assert closes(engine)["20261125-1"] == "11:00"
    assert is_sound(engine)  # before the closings say once more when their cycles closed
    engine = switch.open(engine.home.path)
    more = run(engine, lines("A > B 10", 4), "4", at="2026-11-25T10:30:00", correct="late")
    engine.settle()
    engine.close_day("2026-11-25")
    assert is_sound(engine)
    for number, name in enumerate(["2", "3", "4"], start=2):
        table = payment_table(lines("A > B 10", number))
        assert replay(engine.home.path, name, table)
    assert more.cycle.startswith("20261125")


@pytest.mark.parametrize("at", ["2026-11-25T08:00:00+07:00", "2026-11-25T12:00:00+07:00"])
def test_verify__a_cut_off_that_nobody_gave_a_cycle_is_found(at: str, tmp_path: Path) -> None:
    with made(tmp_path / "home", OLD) as engine:
        run(engine, lines("A > B 100"), "1", at="2026-11-25T10:00:00")
        engine.change_directory(settings=NEW)
    with contextlib.closing(sqlite3.connect(tmp_path / "home" / "catalog.sqlite")) as db, db:
        db.execute("UPDATE cycles SET closes = ? WHERE cycle = '20261125-1'", (at,))
    new_checkpoint(tmp_path / "home")
    with pytest.raises(VerificationFailed, match="cut-offs of cycles"):
        verify(tmp_path / "home")


def test_settle__cycles_of_a_calendar_that_was_taken_away_come_to_their_end(tmp_path: Path) -> None:
    with made(tmp_path / "home", OLD) as engine:
        run(engine, lines("A > B 100"), "1", at="2026-11-25T10:00:00")
        engine.change_directory(settings=PLAIN)
        at_once = run(engine, lines("A > B 10", 2), "2", at="2026-11-25T10:00:00")
        assert answers(at_once) == [("ACSC", None)]
        with pytest.raises(UsageError, match="no calendar"):
            engine.settle("20261125-2")
        assert [a["state"] for a in engine.settle()] == ["SETTLED"]
        assert engine.settle() == []
        assert is_sound(engine)


def test_rehearse__settles_cycles_of_a_calendar_that_was_taken_away(tmp_path: Path) -> None:
    with made(tmp_path / "home", OLD) as engine:
        run(engine, lines("A > B 100"), "1", at="2026-11-25T10:00:00")
        engine.change_directory(settings=PLAIN)
    assert rehearsal.rehearse is rehearse
    told = rehearse(tmp_path / "home", [])
    assert told["tables"] == []


# --- kinds and accounts ---------------------------------------------------------------------------


@CALENDARS
def test_verify__two_treasuries_that_pay_in_one_batch_are_sound(
    settings: Settings, tmp_path: Path
) -> None:
    with made(tmp_path / "home", settings) as engine:
        engine.change_directory(participants=changed("A", kind="treasury"))
        run(engine, lines("A > B 100\nKBNN > B 200\nB > A 30\nA > KBNN 5"), "1")
        if settings is OLD:
            engine.settle()
        balances = engine.home.catalog.balances()
        assert balances["S.TREASURY[A]"] == 30 - 105
        assert balances["S.TREASURY[KBNN]"] == 5 - 200
        assert balances["S.BANK[B]"] == 270
        assert is_sound(engine)


@CALENDARS
@pytest.mark.parametrize("path", [("bank", "treasury"), ("treasury", "bank"), ("bank", "wallet")])
def test_cover__a_bound_account_stays_bound_when_its_kind_changes(
    path: tuple[str, str], settings: Settings, tmp_path: Path
) -> None:
    """An account of 1,000: its line of 5,000 waits, and waits on under its other name."""
    before, after = path
    with made(tmp_path / "home", settings) as engine:
        engine.change_directory(participants=changed("A", kind=before))
        engine.change_directory(balances=funds({"A": 1000}))
        first = run(engine, lines("A > B 100\nA > B 5000"), "1")
        assert [code for _, code in answers(first)] == [None, "AM23"]
        if settings is OLD:
            engine.settle()
        engine.change_directory(participants=changed("A", kind=after))
        second = run(engine, lines("A > C 1\nB > A 50", 3), "2")
        assert [code for _, code in answers(second)] == ["AM23", None]
        if settings is OLD:
            engine.settle()
        held = {
            k: v for k, v in engine.home.catalog.balances().items() if "[A]" in k and k[:2] == "S."
        }
        assert sum(v for k, v in held.items() if "RTGS" not in k) == 1000 - 100 + 50
        engine.change_directory(balances=funds({"A": 6000}))
        third = run(engine, lines("B > C 1", 5), "3")
        assert third.summary["represented"]["cleared"]["count"] == 2
        if settings is OLD:
            engine.settle()
        held = {
            k: v
            for k, v in engine.home.catalog.balances().items()
            if k in ("S.BANK[A]", "S.TREASURY[A]")
        }
        assert sum(held.values()) == 6000 - 5001
        assert is_sound(engine)


def test_directory__no_kind_changes_under_an_unsettled_cycle(tmp_path: Path) -> None:
    with made(tmp_path / "home", OLD) as engine:
        run(engine, lines("W > A 100"), "1")
        for code in ("A", "B"):
            with pytest.raises(InputRefused, match="not settled"):
                engine.change_directory(participants=changed(code, kind="treasury"))
        engine.change_directory(participants=changed("C", kind="treasury"))
        engine.settle()
        engine.change_directory(participants=changed("A", kind="treasury"))
        assert is_sound(engine)


def test_balances__who_holds_what_is_given_is_bound_too(tmp_path: Path) -> None:
    with made(tmp_path / "home", PLAIN) as engine:
        engine.change_directory(balances=funds({"A": 0}))
        table = payment_table(lines("A > B 100"))
        assert answers(run(engine, table, "1")) == [("PDNG", "AM23")]
        assert is_sound(engine)
    assert replay(tmp_path / "home", "1", table)


# --- every column ---------------------------------------------------------------------------------


def _row(rows: list[dict[str, Any]], at: int, **changes: Any) -> pa.Table:
    return pa.Table.from_pylist([row | changes if i == at else row for i, row in enumerate(rows)])


COLUMNS: dict[str, Callable[[], dict[str, Any]]] = {
    "participant": lambda: {
        "participants": pa.Table.from_pylist([*PARTICIPANTS, participant("Z")])
    },
    "short_name": lambda: {"participants": changed("A", short_name="x")},
    "name": lambda: {"participants": changed("A", name="x (y)")},
    "bic": lambda: {"participants": changed("A", bic="X")},
    "kind": lambda: {"participants": changed("A", kind="treasury")},
    "kind, of a treasury": lambda: {"participants": changed("KBNN", kind="bank")},
    "settled_by": lambda: {"participants": changed("W", settled_by="")},
    "settled_by, of a settler": lambda: {"participants": changed("A", settled_by="C")},
    "net_debit_cap": lambda: {"participants": changed("A", net_debit_cap=5)},
    "amount_max": lambda: {"participants": changed("B", amount_max=5)},
    "status": lambda: {"participants": changed("B", status="suspended")},
    "debtor_account": lambda: {"debtors": pa.Table.from_pylist(DEBTORS[1:])},
    "debtor_agent": lambda: {"debtors": _row(DEBTORS, 0, debtor_agent="C")},
    "programme": lambda: {"debtors": _row(DEBTORS, 0, programme="SASS")},
    "budget": lambda: {"debtors": _row(DEBTORS, 0, budget=0)},
    "benefit": lambda: {"programmes": pa.Table.from_pylist(PROGRAMMES[1:])},
    "programme's name": lambda: {"programmes": _row(PROGRAMMES, 0, name="x")},
    "purpose": lambda: {"programmes": _row(PROGRAMMES, 0, purpose="SSBE")},
    "priority": lambda: {"programmes": _row(PROGRAMMES, 0, priority=1)},
    "balances": lambda: {"balances": funds({"A": 10, "B": 0})},
    "clearing_limit": lambda: {"settings": {"clearing_limit": 50}},
    "cutoffs": lambda: {"settings": {"cutoffs": ("08:00", "11:00", "16:00")}},
    "fewer cutoffs": lambda: {"settings": {"cutoffs": ("16:00",)}},
    "no cutoffs": lambda: {"settings": {"cutoffs": msgspec.UNSET}},
    "holidays": lambda: {"settings": {"holidays": (DAY,)}},
    "holidays_only": lambda: {"settings": {"holidays": (DAY,), "holidays_only": True}},
    "working_days": lambda: {"settings": {"working_days": (dt.date(2026, 11, 28),)}},
    "insufficient_funds": lambda: {"settings": {"insufficient_funds": "recast"}},
    "shared losses": lambda: {"settings": {"insufficient_funds": "share"}},
    "enforce_budgets": lambda: {"settings": {"enforce_budgets": True}},
    "accounts_shared_max": lambda: {"settings": {"accounts_shared_max": 1}},
    "held_days": lambda: {"settings": {"held_days": 1}},
    "held_days_of": lambda: {"settings": {"held_days_of": {"PENS": 1}}},
    "cash_days": lambda: {"settings": {"cash_days": 1}},
}


@pytest.mark.parametrize("name", COLUMNS)
@CALENDARS
def test_directory__every_column_may_change_between_any_two_commands(
    settings: Settings, name: str, tmp_path: Path
) -> None:
    """Lines clear and wait, the fact changes, lines go on, settle, come back, and a day ends: the
    home proves and its batches derive again."""
    change = COLUMNS[name]()
    engine = made(tmp_path / "home", settings, {"A": 1000})
    tables = {
        "1": payment_table(lines("A > B 100\nA > B 5000\nKBNN > C 7\nC > A 3\nW > A 9")),
        "2": payment_table(lines("A > C 20\nKBNN > B 40\nB > W 8", 11)),
    }
    run(engine, tables["1"], "1", at="2026-11-25T09:00:00")
    moves = engine.settle() if settings is OLD else []
    if "settings" in change:
        change = {"settings": msgspec.structs.replace(engine.settings, **change["settings"])}
    engine.change_directory(**change)
    run(engine, tables["2"], "2", at="2026-11-25T10:00:00")
    if asked(engine.home, "SELECT 1 FROM cycles"):
        moves += engine.settle()
    back = tmp_path / "returns.csv"
    back.write_text(
        "participant,return_id,transfer_id,amount,reason,booked_at\n"
        "C,1,20261125-000001-0000000003,7,AC04,2026-11-25T10:00:00Z\n"
    )
    assert engine.reconcile(back, at="2026-11-26")["moved"]["returned"]["count"] == 1
    if asked(engine.home, "SELECT 1 FROM cycles"):
        moves += engine.settle()
    engine.write_back()
    engine.close_day("2026-11-26")
    assert not any(answer["short"] for answer in moves)
    assert is_sound(engine)
    for batch, table in tables.items():
        assert replay(engine.home.path, batch, table)


# --- days off -------------------------------------------------------------------------------------


def test_calendar__the_second_of_january_2026_was_off_and_the_tenth_was_worked() -> None:
    calendar = Calendar(OLD)
    assert not calendar.is_business_day(dt.date(2026, 1, 2))
    assert calendar.is_business_day(dt.date(2026, 1, 10))
    assert not calendar.is_business_day(dt.date(2026, 1, 17))
    new_year = calendar.slot_of("2026-01-01", dt.date(2026, 1, 1), ())
    assert new_year.cycle == "20260105-1"
    assert calendar.slot_of("2026-01-09T17:00:00", DAY.replace(year=2025), ()).cycle == "20260110-1"


def test_calendar__every_substituted_day_off_has_its_day_that_is_worked() -> None:
    rows = cycles.packaged_rows("holidays_vn.csv")
    named = [row["name"] for row in rows if "substituted from" in row["name"]]
    told = {dt.datetime.strptime(name[-11:-1], "%m/%d/%Y").date() for name in named}
    worked = {dt.date.fromisoformat(r["date"]) for r in cycles.packaged_rows("working_days_vn.csv")}
    assert told == worked
    assert all(day.weekday() == cycles.SATURDAY for day in worked)


SATURDAY, WEDNESDAY = dt.date(2026, 11, 28), dt.date(2026, 11, 25)


@pytest.mark.parametrize(
    ("given", "business"),
    [
        ({}, {"2026-11-24": False, "2026-11-25": True, "2026-01-10": True, "2026-11-28": False}),
        ({"holidays": (WEDNESDAY,)}, {"2026-11-24": False, "2026-11-25": False}),
        (
            {"holidays": (WEDNESDAY,), "holidays_only": True},
            {"2026-11-24": True, "2026-11-25": False, "2026-01-10": False, "2026-01-02": True},
        ),
        ({"working_days": (SATURDAY,)}, {"2026-11-28": True, "2026-11-24": False}),
        ({"working_days": (dt.date(2026, 11, 24),)}, {"2026-11-24": True}),
        ({"holidays": (dt.date(2026, 1, 10),)}, {"2026-01-10": False}),
        (
            {
                "holidays": (WEDNESDAY,),
                "holidays_only": True,
                "working_days": (SATURDAY,),
            },
            {"2026-11-28": True, "2026-01-10": False},
        ),
    ],
)
def test_calendar__own_days_add_to_the_packaged_ones_unless_they_are_all(
    given: dict[str, Any], business: dict[str, bool]
) -> None:
    calendar = Calendar(Settings(cutoffs=("11:00",), **given).check())
    found = {day: calendar.is_business_day(dt.date.fromisoformat(day)) for day in business}
    assert found == business


@pytest.mark.parametrize(
    ("settings", "year", "known"),
    [
        (Settings(cutoffs=("11:00",)), 2028, "2025, 2026, 2027"),
        (Settings(cutoffs=("11:00",), holidays=(DAY,), holidays_only=True), 2025, "2026"),
        (Settings(cutoffs=("11:00",), holidays_only=True), 2026, "none"),
    ],
)
def test_calendar__a_year_that_it_does_not_know_is_refused_with_those_it_does(
    settings: Settings, year: int, known: str
) -> None:
    with pytest.raises(InputRefused, match="CALENDAR_RANGE") as refused:
        Calendar(settings).slot_of(f"{year}-06-01", dt.date(year, 6, 1), ())
    assert f"those of {known})" in str(refused.value)


def test_settings__a_day_is_off_or_worked() -> None:
    with pytest.raises(UsageError, match="2026-11-25 stands in both"):
        Settings(holidays=(DAY,), working_days=(DAY,)).check()


def test_settings__days_off_that_were_kept_before_are_all_there_are(tmp_path: Path) -> None:
    """A home with `holidays` and no word of whether they add: they replaced the packaged ones."""
    kept = {"clearing_limit": 500_000_000, "cutoffs": ["11:00"], "holidays": ["2026-11-26"]}
    with made(tmp_path / "home", OLD) as engine:
        text = json.dumps(kept)
        change = SetMeta(text, "settings")
        engine.home.commit(at="", kind="directory", detail={"settings": text}, changes=[change])
    with switch.open(tmp_path / "home") as engine:
        assert engine.settings.holidays_only is True
        # The day of culture is packaged as off.
        batch = run(engine, lines("A > B 1"), "1", value_date=dt.date(2026, 11, 24))
        assert batch.cycle == "20261124-1"
        engine.change_directory(participants=changed("A", bic="X"))
    with switch.open(tmp_path / "home") as engine:
        assert engine.settings.holidays_only is True
        added = msgspec.structs.replace(engine.settings, holidays_only=False)
        engine.change_directory(settings=added)
        batch = run(engine, lines("A > B 1", 2), "2", value_date=dt.date(2026, 11, 24))
        assert batch.cycle == "20261125-1"
        assert is_sound(engine)


def test_settings__days_off_that_are_given_now_say_whether_they_add(tmp_path: Path) -> None:
    given = Settings(cutoffs=("11:00",), holidays=(DAY,))
    with made(tmp_path / "home", given) as engine:
        assert engine.settings.holidays_only is False
        batch = run(engine, lines("A > B 1"), "1", value_date=dt.date(2026, 11, 24))
        assert batch.cycle == "20261126-1"
        assert is_sound(engine)


def test_replay__a_batch_stands_in_the_cycle_of_the_calendar_of_its_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was run before 2 January 2026 was packaged as a day off."""
    packaged = cycles.packaged_rows
    day = dt.date(2026, 1, 2)
    table = payment_table(lines("A > B 1"))
    with monkeypatch.context() as before:

        def older(name: str) -> list[dict[str, str]]:
            return [row for row in packaged(name) if row["date"] not in (f"{day}", "2026-01-10")]

        before.setattr(cycles, "packaged_rows", older)
        with made(tmp_path / "home", OLD) as engine:
            assert run(engine, table, "1", value_date=day).cycle == "20260102-1"
    with switch.open(tmp_path / "home") as engine:
        # It takes nothing more, and settles.
        assert run(engine, lines("A > B 1", 2), "2", value_date=day).cycle == "20260105-1"
        assert [a["cycle"] for a in engine.settle()] == ["20260102-1", "20260105-1"]
        assert is_sound(engine)
    assert replay(tmp_path / "home", "1", table)
