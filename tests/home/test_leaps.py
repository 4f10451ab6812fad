"""A time that leaps needs the word at every door, and what leapt without it takes no money away."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from pathlib import Path

import pytest
from answering import CALENDAR, back, home_of, said, write
from hypothesis import given
from hypothesis import strategies as st
from scene import asked, command, line, make_home, payment_table, run, tree_digest, write_table
from timed import DOORS, NEW, OF_CYCLES

import switch
from switch.engine import Engine
from switch.errors import UsageError, VerificationFailed
from switch.home import days
from switch.home.history import folders
from switch.home.times import local_text
from switch.reconcile import dispositions, take_in
from switch.rehearsal import rehearse

FAR = "2062-11-25T09:00:00"
SAYS = "13,149 days after all that this home knows"


def home_for(door: str, path: Path) -> Path:
    """A home in which there is something to do behind the door."""
    of_cycles = door in OF_CYCLES
    home = home_of(path / "h", 4, CALENDAR if of_cycles else None)
    if door in ("write back", "reissue"):
        with switch.open(home) as engine:
            engine.reconcile(write(path / "back", [back(1)]), at="2026-11-25")
    return home


def words(engine: Engine) -> list[str]:
    """Kinds of the audit records that have the word."""
    rows = asked(engine.home, "SELECT kind, detail FROM audit ORDER BY seq")
    return [row["kind"] for row in rows if '"leap":true' in row["detail"]]


@pytest.fixture
def before(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """The engine of before asked for no word, and recorded none. Returns what ends that."""
    patch = pytest.MonkeyPatch()
    patch.setattr(days, "word", lambda *_: {})
    patch.setattr(take_in, "leaps", lambda *_: False)
    patch.setattr(dispositions, "leaps", lambda *_: False)
    patch.setattr(days.Times, "day_of_batch", lambda _, row: days.day_of(row.at))
    patch.setattr(days.Times, "day_of_cycle", lambda _, row: days.day_of(row.at))
    return patch.undo


@pytest.mark.parametrize("door", DOORS)
def test_leap__needs_the_word_at_every_door(door: str, tmp_path: Path) -> None:
    home = home_for(door, tmp_path)
    with switch.open(home) as engine:
        clean = tree_digest(home)
        with pytest.raises(UsageError, match=SAYS):
            DOORS[door](engine, at=FAR)
        assert tree_digest(home) == clean
        DOORS[door](engine, at=FAR, leap=True)
        if door != "close a cycle":
            assert len(words(engine)) == 1
            assert days.times(engine.home).now == FAR
        engine.close_day(FAR, leap=door == "close a cycle")
    assert switch.verify(home)


@pytest.mark.parametrize("door", DOORS)
def test_leap__of_as_many_days_as_may_be_needs_no_word(door: str, tmp_path: Path) -> None:
    home = home_for(door, tmp_path)
    with switch.open(home) as engine:
        known = dt.date(2026, 11, 25)
        with pytest.raises(UsageError, match="lies 93 days after"):
            DOORS[door](engine, at=known + dt.timedelta(days.LEAP_DAYS + 1))
        DOORS[door](engine, at=known + dt.timedelta(days.LEAP_DAYS))
        assert words(engine) == []
    assert switch.verify(home)


COMMANDS: dict[str, tuple[str, ...]] = {
    "run": ("run", "HOME", "TABLE"),
    "rehearse": ("rehearse", "HOME", "TABLE"),
    "settle": ("settle", "HOME"),
    "abort": ("settle", "HOME", "--cycle", "20261125-1", "--abort", "a test"),
    "write back": ("dispose", "HOME", "--write-back", "--yes"),
    "reissue": ("dispose", "HOME", "--reissue", "--yes"),
    "reconcile": ("reconcile", "HOME"),
    "close": ("close", "HOME"),
}


@pytest.mark.parametrize("name", COMMANDS)
def test_command__a_leap_is_exit_2_and_may_be_meant(name: str, tmp_path: Path) -> None:
    home = home_for(name, tmp_path)
    table = write_table(payment_table(NEW), tmp_path / "t.parquet", batch_id="NEW")
    places = {"HOME": home, "TABLE": table}
    args = [places.get(word, word) for word in COMMANDS[name]]
    clean = tree_digest(home)
    told = command(*args, "--at", FAR)
    assert (told.code, SAYS in told.err) == (2, True), told.err
    assert tree_digest(home) == clean
    # A day that is closed so late has critical breaks open.
    assert command(*args, "--at", FAR, "--leap").code == (1 if name == "close" else 0)
    assert switch.verify(home)


def test_rehearse__says_of_a_leap_what_run_says(tmp_path: Path) -> None:
    home = home_of(tmp_path / "h", 4)
    table = write_table(payment_table(NEW), tmp_path / "t.parquet", batch_id="NEW")
    with pytest.raises(UsageError, match=SAYS):
        rehearse(home, [table], at=FAR)
    assert rehearse(home, [table], at=FAR, leap=True)["tables"][0]["cleared"]["count"] == 1


def first_of(path: Path) -> Path:
    from scene import account, person

    return make_home(path, [person(n) for n in range(1, 9)], [account(n) for n in range(1, 9)])


def test_run__first_of_a_home_is_held_against_its_value_date(tmp_path: Path) -> None:
    home = first_of(tmp_path / "h")
    with switch.open(home) as engine:
        with pytest.raises(UsageError, match=SAYS):
            run(engine, [line(1)], "A", at=FAR)
        run(engine, [line(1)], "A", at="2026-12-24T09:00:00")
        assert words(engine) == []
        assert days.times(engine.home).now == "2026-12-24T09:00:00"


def test_run__at_its_own_value_date_is_as_if_nobody_said_a_time(tmp_path: Path) -> None:
    home = home_of(tmp_path / "h", 4)
    with switch.open(home) as engine:
        run(engine, NEW, "FAR", value_date=dt.date(2062, 11, 25), at="2062-11-25")
        known = days.times(engine.home)
        assert (known.now, known.beyond, words(engine)) == ("2026-11-25", "2062-11-25", [])
    assert switch.verify(home)


# --- homes made before ----------------------------------------------------------------------------


def test_close__of_a_home_whose_first_run_slipped_signs_its_batch(
    before: Callable[[], None], tmp_path: Path
) -> None:
    home = first_of(tmp_path / "h")
    with switch.open(home) as engine:
        run(engine, [line(n) for n in range(1, 5)], "A", at=FAR, leap=True)
        engine.reconcile(at="2026-11-27", leap=True)
        first = engine.close_day("2026-11-28")
    assert (first["later"], first["totals"]["payable"], "slips" in first) == ([1], 0, False)
    before()
    assert switch.verify(home), "it was signed when all times counted"
    with switch.open(home) as engine:
        known = days.times(engine.home)
        assert (known.now, known.slips, known.beyond) == ("2026-11-28", {1}, FAR)
        answer = engine.reconcile()
        assert answer["as_of"] == "2026-11-28"
        assert "2062-11-25 was recorded, but lies more than 92 days" in answer["warnings"][0]
        assert engine.reconcile(at="2026-11-28")["warnings"] == []
        second = engine.close_day("2026-11-29")
        assert (second["later"], second["slips"]) == ([], [1])
        assert second["totals"]["payable"] == second["totals"]["asked"] == 4_000_010
        assert engine.close_day("2026-11-29") == second, "it was signed already"
    assert switch.verify(home)


def test_close__of_a_home_whose_settlement_slipped_asks_for_its_money(
    before: Callable[[], None], tmp_path: Path
) -> None:
    home = home_of(tmp_path / "h", 4, CALENDAR)
    with switch.open(home) as engine:
        engine.settle(at=FAR, leap=True)
        first = engine.close_day("2026-11-28")
    assert (first["totals"]["payable"], first["totals"]["asked"]) == (4_000_010, 0)
    before()
    assert switch.verify(home)
    with switch.open(home) as engine:
        assert days.times(engine.home).slips == {"20261125-1"}
        second = engine.close_day("2026-11-29")
        assert second["totals"]["asked"] > 0
        assert "slips" not in second
    assert switch.verify(home)


def test_close__of_a_home_whose_return_slipped_counts_it(
    before: Callable[[], None], tmp_path: Path
) -> None:
    home = home_of(tmp_path / "h", 4)
    with switch.open(home) as engine:
        engine.reconcile(write(tmp_path / "a", [back(1)]), at=FAR, leap=True)
    before()
    with switch.open(home) as engine:
        (folder,) = folders(engine.home)
        assert days.times(engine.home).slips == {folder.detail.cycle}
        engine.close_day("2026-11-28")
    assert switch.verify(home)


def test_times__of_a_home_that_rested_go_on_by_themselves(
    before: Callable[[], None], tmp_path: Path
) -> None:
    home = home_of(tmp_path / "h", 4)
    rested = [("B", "2027-04-01", "2027-04-02"), ("C", "2027-05-03", "2027-05-04")]
    with switch.open(home) as engine:
        engine.close_day("2026-11-25")
        for number, (name, day, due) in enumerate(rested, 6):
            run(engine, [line(number)], name, at=f"{day}T09:00:00", value_date=due, leap=True)
    before()
    with switch.open(home) as engine:
        known = days.times(engine.home)
        assert (known.now, known.slips, known.beyond) == ("2027-05-03T09:00:00", {2}, "")
        early = engine.close_day("2026-11-26", correct="signed late")
        assert (early["later"], "slips" in early) == ([2, 3], False), "nor is it of a day before"
        assert engine.close_day("2027-05-05")["later"] == []
    assert switch.verify(home)


def test_verify__finds_slips_that_are_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = home_of(tmp_path / "h", 4)
    with monkeypatch.context() as patch:
        early = dt.date(2026, 11, 25)
        patch.setattr(days.Times, "day_of_batch", lambda _, row: early)
        with switch.open(home) as engine:
            run(engine, NEW, "LATER", at="2026-12-24")
            engine.reconcile(write(tmp_path / "a", [said(1)]), at="2026-12-24")
            answer = engine.close_day("2026-11-28", correct="signed late")
    assert answer["slips"] == [2]
    with pytest.raises(VerificationFailed, match="batches of later days"):
        switch.verify(home)


# --- value dates ----------------------------------------------------------------------------------


def test_now__is_made_by_value_dates_of_each_month(tmp_path: Path) -> None:
    home = home_of(tmp_path / "h", 4)
    dates = ("2026-12-28", "2027-01-25", "2027-02-25", "2027-03-25", "2027-06-25")
    with switch.open(home) as engine:
        for number, day in enumerate(dates, 6):
            run(engine, [line(number)], f"B{number}", value_date=day)
        answer = engine.reconcile()
        assert (answer["as_of"], answer["warnings"]) == ("2027-06-25", [])
        run(engine, [line(12)], "FAR", value_date="2027-09-26")
        answer = engine.reconcile()
        assert answer["as_of"] == "2027-06-25"
        assert "2027-09-26 was recorded" in answer["warnings"][0]
    assert switch.verify(home)


# --- one home, as any life of it ------------------------------------------------------------------


@given(st.lists(st.tuples(st.integers(0, 500), st.booleans()), min_size=1, max_size=12))
def test_leaps__only_what_is_refused_needs_the_word(said: list[tuple[int, bool]]) -> None:
    begin, known = dt.date(2026, 1, 1), days.Times("", "", frozenset(), frozenset(), "")
    for number, is_due in said:
        day = begin + dt.timedelta(number)
        due = str(day if is_due else begin)
        far = days.leaps(known, str(day), due)
        assert (days.word(known, str(day), due) == {"leap": True}) == far
        if far:
            with pytest.raises(UsageError):
                days.require_likely(known, str(day), due)
        else:
            days.require_likely(known, str(day), due)
            known = known._replace(days=known.days | {day})


# --- places and zones -----------------------------------------------------------------------------

OUT = {
    "run": ("run", "HOME", "TABLE"),
    "settle": ("settle", "HOME"),
    "reconcile": ("reconcile", "HOME"),
    "close": ("close", "HOME", "--at", "2026-11-25"),
    "report": ("report", "HOME"),
    "exchange": ("exchange", "HOME"),
    "shared": ("shared", "HOME"),
}


@pytest.mark.parametrize("name", OUT)
def test_command__an_empty_place_for_copies_is_exit_2(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = home_of(tmp_path / "h", 4, CALENDAR)
    table = write_table(payment_table(NEW), tmp_path / "t.parquet", batch_id="NEW")
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    clean = tree_digest(home)
    args = [{"HOME": home, "TABLE": table}.get(word, word) for word in OUT[name]]
    told = command(*args, "--out", "")
    assert (told.code, "--out is empty" in told.err) == (2, True)
    assert tree_digest(home) == clean
    assert list(Path().iterdir()) == []


def test_command__other_empty_places_are_exit_2(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = home_of(tmp_path / "h", 4)
    table = write_table(payment_table(NEW), tmp_path / "t.parquet", batch_id="NEW")
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    assert command("rehearse", home, table, "--picture", "").code == 2
    assert command("demo", "--dir", "").code == 2
    config = tmp_path / "c.toml"
    config.write_text('out = ""\n')
    assert "out is empty" in command("run", home, table, "--config", config).err
    with switch.open(home) as engine, pytest.raises(UsageError, match="is empty"):
        run(engine, NEW, "NEW", out="")
    assert list(Path().iterdir()) == []


def test_local_text__is_of_one_zone() -> None:
    assert local_text("2026-11-25T08:25:00+00:00") == "2026-11-25T15:25:00"
    assert local_text("2026-11-25T11:30") == local_text("2026-11-25T11:30:00+07:00")
    assert local_text("2026-11-25") == "2026-11-25"


def test_command__a_line_is_told_in_one_zone(tmp_path: Path) -> None:
    home = home_of(tmp_path / "h", 4, CALENDAR)
    with switch.open(home) as engine:
        engine.settle()
        engine.reconcile(write(tmp_path / "a", [said(1)]), at="2026-11-26")
    told = command("status", home, "--line", "A:1").out
    assert "+0" not in told
    assert ["2026-11-25T11:00:00", "2026-11-25T19:00:00"] == [
        word for word in told.split() if word.startswith("2026-11-25T")
    ]
    assert "2026-11-25T12:00:00+00:00" in command("status", home, "--line", "A:1", "--json").out
