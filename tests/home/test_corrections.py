"""A time that lies before what was signed or recorded is refused at every door, unless somebody
says why it is meant: the why is recorded, and the home is proven with it."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path
from typing import Any

import pytest
import timed
from answering import CALENDAR, back, home_of, said, write
from hypothesis import given
from hypothesis import strategies as st
from scene import asked, command, line, payment_table, run, tree_digest, write_table
from timed import NEW, OF_CYCLES

import switch
from switch.engine import Engine
from switch.errors import InputRefused, UsageError
from switch.home import days
from switch.home.times import is_before

EARLY = "2026-11-26T08:00:00"
WHY = "the tape of yesterday"

DOORS = timed.DOORS | {
    "register": lambda engine, **said: engine.register(population=people(engine), **said),
    "directory": lambda engine, **said: engine.change_directory(settings=engine.settings, **said),
}


def people(engine: Engine) -> Any:
    from scene import people_table, person

    return people_table([person(1)])


def home_for(door: str, path: Path, signed: bool) -> Path:
    """A home in which there is something to do behind the door, and a later time is known: one
    that was recorded, or that of a day that was signed."""
    home = home_of(path / "h", 4, CALENDAR if door in OF_CYCLES else None)
    with switch.open(home) as engine:
        if door in ("write back", "reissue"):
            engine.reconcile(write(path / "back", [back(1)]), at="2026-11-25")
        if signed:
            engine.close_day("2026-11-27")
        else:
            run(engine, [line(6, period=202612)], "LATE", at="2026-11-27T10:00:00")
    return home


def corrections(engine: Engine) -> list[str]:
    """Reasons that stand in audit records."""
    rows = asked(engine.home, "SELECT detail FROM audit ORDER BY seq")
    details = [json.loads(row["detail"]) for row in rows]
    return [detail["correct"] for detail in details if "correct" in detail]


@pytest.mark.parametrize("signed", [False, True], ids=["recorded", "signed"])
@pytest.mark.parametrize("door", DOORS)
def test_time__before_what_is_known_needs_a_why_at_every_door(
    door: str, signed: bool, tmp_path: Path
) -> None:
    home = home_for(door, tmp_path, signed)
    before = "2026-11-27, the last day" if signed else "2026-11-27T10:00:00, the latest time"
    with switch.open(home) as engine:
        clean = tree_digest(home)
        with pytest.raises(InputRefused, match=f"lies before {before}") as refused:
            DOORS[door](engine, at=EARLY)
        assert (refused.value.rule, refused.value.exit_code) == ("DAYS_RUN_BACK", 3)
        assert tree_digest(home) == clean
        DOORS[door](engine, at=EARLY, correct=WHY)
        assert set(corrections(engine)) == {WHY}
        assert days.times(engine.home).now[:10] == "2026-11-27", "the time of a home runs on"
        engine.close_day("2026-11-28", correct=WHY)
        assert len(corrections(engine)) == (2 if door in OF_CYCLES[:2] or door == "abort" else 1)
    assert switch.verify(home)


@pytest.mark.parametrize("at", ["2026-11-27T09:59:59+07:00", "2026-11-27T02:00:00Z"])
def test_time__runs_back_within_a_day_too(at: str, tmp_path: Path) -> None:
    home = home_for("run", tmp_path, signed=False)
    with switch.open(home) as engine:
        with pytest.raises(InputRefused, match="2026-11-27T10:00:00, the latest time"):
            run(engine, NEW, "NEW", at=at)
        run(engine, NEW, "NEW", at="2026-11-27T10:00:00")
        assert corrections(engine) == []


def test_time__a_day_stays_open_at_every_hour_of_it(tmp_path: Path) -> None:
    home = home_of(tmp_path / "h", 4)
    with switch.open(home) as engine:
        engine.close_day("2026-11-27T18:00:00")
        run(engine, NEW, "NEW", at="2026-11-27T08:00:00")
        engine.close_day("2026-11-27")
        assert corrections(engine) == []
    assert switch.verify(home)


def test_settle__at_a_cutoff_is_as_if_nobody_said_a_time(tmp_path: Path) -> None:
    home = home_of(tmp_path / "h", 4, CALENDAR)
    with switch.open(home) as engine:
        closes = asked(engine.home, "SELECT closes FROM cycles")[0]["closes"]
        run(engine, NEW, "NEW", at="2026-11-25T15:00:00")
        (answer,) = engine.settle("20261125-1", at=closes)
        assert (answer["state"], corrections(engine)) == ("SETTLED", [])
    assert switch.verify(home)


def test_close__an_earlier_day_is_signed_for_a_reason_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = home_of(tmp_path / "h", 4)
    with switch.open(home) as engine:
        engine.close_day("2026-11-27")
        first = engine.close_day("2026-11-26", correct=WHY)
        assert first["as_of"] == "2026-11-26"
        assert engine.close_day("2026-11-26", correct=WHY) == first, "it was signed already"
        assert engine.close_day("2026-11-28")["as_of"] == "2026-11-28"
    assert switch.verify(home)
    monkeypatch.setattr(days, "runs_back", lambda *_: "")
    with switch.open(home) as engine:
        engine.close_day("2026-11-26")
    monkeypatch.undo()
    with pytest.raises(switch.VerificationFailed, match="2026-11-28 was closed before"):
        switch.verify(home)


COMMANDS: dict[str, tuple[str, ...]] = {
    "run": ("run", "HOME", "TABLE"),
    "rehearse": ("rehearse", "HOME", "TABLE"),
    "settle": ("settle", "HOME"),
    "abort": ("settle", "HOME", "--cycle", "20261125-1", "--abort", "a test"),
    "write back": ("dispose", "HOME", "--write-back", "--yes"),
    "reissue": ("dispose", "HOME", "--reissue", "--yes"),
    "reconcile": ("reconcile", "HOME"),
    "close": ("close", "HOME"),
    "register": ("register", "HOME", "--population", "PEOPLE"),
    "directory": ("directory", "HOME", "--config", "CONFIG"),
}


@pytest.mark.parametrize("name", COMMANDS)
def test_command__a_time_that_runs_back_is_exit_3_and_may_be_meant(
    name: str, tmp_path: Path
) -> None:
    from scene import people_table, person, write_file

    home = home_for(name, tmp_path, signed=True)
    write_file(people_table([person(1)]), tmp_path / "people", "parquet")
    (tmp_path / "c.toml").write_text("clearing_limit = 1000000\n")
    places = {
        "HOME": home,
        "TABLE": write_table(payment_table(NEW), tmp_path / "t.parquet", batch_id="NEW"),
        "PEOPLE": tmp_path / "people",
        "CONFIG": tmp_path / "c.toml",
    }
    args = [places.get(word, word) for word in COMMANDS[name]]
    clean = tree_digest(home)
    told = command(*args, "--at", EARLY)
    assert told.code == 3, told.err
    assert "DAYS_RUN_BACK" in told.err + told.out
    assert name == "rehearse" or "say --correct WHY" in told.err
    assert tree_digest(home) == clean
    assert command(*args, "--at", EARLY, "--correct", WHY).code == 0
    assert switch.verify(home)


@pytest.mark.parametrize("why", ["", " ", "x" * 141, "two\nlines"])
def test_correct__a_why_that_says_nothing_is_a_mistake(why: str, tmp_path: Path) -> None:
    home = home_for("run", tmp_path, signed=True)
    with switch.open(home) as engine:
        clean = tree_digest(home)
        for door in ("run", "reconcile", "close", "register", "directory"):
            with pytest.raises(UsageError, match="1 to 140 printable characters"):
                DOORS[door](engine, at=EARLY, correct=why)
        assert tree_digest(home) == clean


def test_correct__is_said_of_a_time(tmp_path: Path) -> None:
    home = home_for("run", tmp_path, signed=True)
    with switch.open(home) as engine:
        for door in ("run", "reconcile", "settle", "register", "directory"):
            with pytest.raises(UsageError, match="give that time, with --at"):
                DOORS[door](engine, correct=WHY)


def test_correct__is_recorded_only_where_it_corrects(tmp_path: Path) -> None:
    home = home_for("run", tmp_path, signed=True)
    with switch.open(home) as engine:
        run(engine, NEW, "NEW", at="2026-11-28", correct=WHY)
        assert corrections(engine) == []


# --- days far from the last ----------------------------------------------------------------------


def test_warnings__of_days_far_from_the_last_of_a_home(tmp_path: Path) -> None:
    home = home_of(tmp_path / "h", 4)
    with switch.open(home) as engine:
        engine.close_day("2026-11-27")
        far = "2027-01-12"  # 46 days later
        batch = run(engine, NEW, "NEW", at=far, value_date=dt.date(2062, 11, 25))
        assert [text.split(" lies ")[0] for text in batch.warnings] == [
            "the time 2027-01-12",
            "value date 2062-11-25",
        ]
        assert "46 days after 2026-11-27, the last day of this home" in batch.warnings[0]
        again = run(engine, NEW, "NEW", at=far, value_date=dt.date(2062, 11, 25))
        assert again.warnings == (), "nothing moves"
        (text,) = engine.reconcile(at="2027-03-01")["warnings"]
        assert "48 days after 2027-01-12" in text
        (text,) = engine.close_day("2027-05-01")["warnings"]
        assert "61 days after 2027-03-01" in text
        told: list[str] = []
        DOORS["register"](engine, at="2028-01-01", warn=told.append)
        DOORS["directory"](engine, at="2028-01-01", warn=told.append)
        assert len(told) == 2


def test_command__says_warnings_of_far_days_in_json_too(tmp_path: Path) -> None:
    home = home_of(tmp_path / "h", 4)
    told = command("close", home, "--at", "2027-01-31", "--json")
    assert len(json.loads(told.out)["warnings"]) == 1
    assert "lies 67 days after 2026-11-25" in told.err


# --- one meaning of a time ------------------------------------------------------------------------


@given(st.integers(0, 200), st.integers(0, 200), st.booleans(), st.booleans())
def test_times__are_compared_as_days_where_one_is_a_day(
    a: int, b: int, a_day: bool, b_day: bool
) -> None:
    begin = dt.datetime(2026, 11, 25, 3)
    one, other = (begin + dt.timedelta(hours=n) for n in (a, b))
    texts = [
        str(at.date()) if day else at.isoformat() for at, day in ((one, a_day), (other, b_day))
    ]
    whole = not (a_day or b_day)
    assert is_before(*texts) == (one < other if whole else one.date() < other.date())


@pytest.mark.parametrize("form", ["text", "typed"])
def test_booked_at__without_a_zone_is_vietnams(form: str, tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.csv
    import pyarrow.parquet as pq

    from switch.sim.lives.tables import CONFIRMATIONS

    home = home_of(tmp_path / "h", 4)
    zoned = pa.Table.from_pylist([said(1)], CONFIRMATIONS)
    hour = said(1)["booked_at"].astimezone(dt.timezone(dt.timedelta(hours=7))).replace(tzinfo=None)
    at = zoned.schema.get_field_index("booked_at")
    column = pa.array([hour.isoformat()]) if form == "text" else pa.array([hour], "timestamp[us]")
    plain = zoned.set_column(at, "booked_at", column)
    pq.write_table(zoned, tmp_path / "zoned")
    pa.csv.write_csv(plain, tmp_path / "plain") if form == "text" else pq.write_table(
        plain, tmp_path / "plain"
    )
    with switch.open(home) as engine:
        assert engine.reconcile(tmp_path / "zoned", at="2026-11-26")["new"]["confirmations"] == 1
        again = engine.reconcile(tmp_path / "plain", at="2026-11-26")
        assert again["new"]["confirmations"] == 0, "it is the same record"
