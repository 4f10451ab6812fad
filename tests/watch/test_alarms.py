"""Alarms: their life, which people give them, and the list of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from answering import home_of, said, take
from home_reads import forged
from scene import BANK, SMALL_BANK, WALLET, command, line, participant, run

import switch
from switch.engine import Engine
from switch.errors import UsageError, VerificationFailed
from switch.watch.conditions import Limits, rules

SILENT = "2026-11-26T06:30:00"
"""Six hours and a half after the day of the batch."""
NAME = f"answers-silent:{BANK}"
SAID: dict[str, Any] = {"by": "an", "at": SILENT}


@pytest.fixture
def silent(tmp_path: Path) -> Path:
    """A home of twelve lines that three receivers have not answered."""
    return home_of(tmp_path / "home")


def rows(engine: Engine, at: str = SILENT, **asked: Any) -> dict[str, dict[str, Any]]:
    return {str(row["alarm"]): row for row in engine.watch.alarms(at, **asked).rows()}


def test_alarm__is_seen_and_stays_until_it_is_mended(silent: Path) -> None:
    with switch.open(silent) as engine:
        assert rows(engine)[NAME]["state"] == "open"
        balances = engine.home.catalog.balances()
        taken = engine.watch.note([NAME], acknowledged=True, owner="night", **SAID)
        assert taken == {
            "at": SILENT,
            "alarms": [NAME],
            "by": "an",
            "note": "",
            "owner": "night",
            "acknowledged": True,
            "until": "",
            "new": True,
        }
        row = rows(engine)[NAME]
        assert (row["state"], row["owner"], row["noted_by"]) == ("acknowledged", "night", "an")
        assert rows(engine)[f"answers-silent:{SMALL_BANK}"]["state"] == "open"
        assert engine.home.catalog.balances() == balances
        take(engine, silent, *(said(n) for n in range(1, 13)), at="2026-11-26T08:00:00")
        assert NAME not in rows(engine, "2026-11-26T09:00:00")
        gone = rows(engine, "2026-11-26T09:00:00", state="resolved")[NAME]
        assert (gone["owner"], gone["level"], gone["next"]) == ("night", "", "")
        with pytest.raises(UsageError, match="is resolved"):
            engine.watch.note([NAME], by="an", acknowledged=True, at="2026-11-26T09:00:00")
    assert switch.verify(silent)


def test_alarm__that_was_seen_as_a_warning_opens_again_when_it_is_raised(silent: Path) -> None:
    with switch.open(silent) as engine:
        early = "2026-11-26T04:30:00"
        assert rows(engine, early)[NAME]["level"] == "warning"
        assert rows(engine, early)[NAME]["severity"] == "medium"
        engine.watch.note([NAME], by="an", acknowledged=True, at=early)
        assert rows(engine, early)[NAME]["state"] == "acknowledged"
        row = rows(engine)[NAME]
        assert (row["level"], row["state"], row["severity"]) == ("raised", "reopened", "high")
        engine.watch.note([NAME], acknowledged=True, **SAID)
        assert rows(engine)[NAME]["state"] == "acknowledged"
        engine.watch.note([NAME], acknowledged=False, note="the bank hung up", **SAID)
        assert rows(engine)[NAME]["state"] == "open"


def test_alarm__sleeps_until_its_time(silent: Path) -> None:
    with switch.open(silent) as engine:
        engine.watch.note([NAME], until="2026-11-26T07:00:00", note="they restart", **SAID)
        assert rows(engine)[NAME]["state"] == "snoozed"
        assert rows(engine, "2026-11-26T06:59:59")[NAME]["state"] == "snoozed"
        assert rows(engine, "2026-11-26T07:00:00")[NAME]["state"] == "open"
        engine.watch.note([NAME], acknowledged=True, **SAID)
        row = rows(engine)[NAME]
        assert (row["state"], row["until"], row["note"]) == ("acknowledged", "", "they restart")


def test_note__same_again_records_nothing(silent: Path) -> None:
    with switch.open(silent) as engine:
        first = engine.watch.note([NAME], acknowledged=True, **SAID)
        seq = engine.home.catalog.heads().seq
        again = engine.watch.note([NAME], acknowledged=True, by="an", at="2026-11-26T06:45:00")
        assert again == {**first, "new": False}
        assert engine.home.catalog.heads().seq == seq
        engine.watch.note([NAME], acknowledged=True, by="another", at=SILENT)
        assert engine.home.catalog.heads().seq == seq + 1


def test_note__moves_no_time_and_goes_back_behind_none(silent: Path) -> None:
    with switch.open(silent) as engine:
        now = engine.status().at
        engine.watch.note([NAME], acknowledged=True, **SAID)
        assert engine.status().at == now
        take(engine, silent, said(1), at="2026-11-27")
        taken = engine.watch.note(
            [f"answers-silent:{WALLET}"], by="an", acknowledged=True, at=SILENT
        )
        assert taken["at"] == "2026-11-27"
    assert switch.verify(silent)


def test_note__of_a_look_before_the_home_sleeps_until_what_is_to_come(silent: Path) -> None:
    """It is recorded at the home's time, so a sleep that is over then is none."""
    name = f"answers-silent:{WALLET}"
    with switch.open(silent) as engine:
        take(engine, silent, said(1), at="2026-11-27")
        words: dict[str, Any] = {"by": "an", "note": "they restart", "at": SILENT}
        with pytest.raises(UsageError, match="is over: give a time after 2026-11-27"):
            engine.watch.note([name], until="2026-11-26T09:00:00", **words)
        assert engine.watch.note([name], until="2026-11-28", **words)["at"] == "2026-11-27"
    assert switch.verify(silent)


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "nobody": ({"note": "x"}, "by"),
    "nothing": ({"by": "an"}, "nothing is noted"),
    "no reason to sleep": ({"by": "an", "until": "2026-11-27"}, "for a reason"),
    "over": ({"by": "an", "until": "2026-11-25", "note": "x"}, "is over"),
    "both": (
        {"by": "an", "until": "2026-11-27", "note": "x", "acknowledged": True},
        "say one of them",
    ),
    "long": ({"by": "an", "note": "x" * 141}, "140"),
    "no time": ({"by": "an", "note": "x", "until": "soon"}, "no ISO 8601 time"),
}


@pytest.mark.parametrize("name", WRONG)
def test_note__without_its_words_is_refused(silent: Path, name: str) -> None:
    said, why = WRONG[name]
    with switch.open(silent) as engine:
        seq = engine.home.catalog.heads().seq
        with pytest.raises((UsageError, TypeError), match=why):
            engine.watch.note([NAME], at=SILENT, **{"by": "", **said})
        assert engine.home.catalog.heads().seq == seq


def test_note__of_an_alarm_that_is_not_there_is_refused(silent: Path) -> None:
    with switch.open(silent) as engine:
        with pytest.raises(UsageError, match="not known here"):
            engine.watch.note(["answers-silent:970009"], acknowledged=True, **SAID)
        with pytest.raises(UsageError, match="name the alarms"):
            engine.watch.note([], acknowledged=True, **SAID)
    with (
        switch.open(silent, mode="r") as engine,
        pytest.raises(UsageError, match="open for reading"),
    ):
        engine.watch.note([NAME], acknowledged=True, **SAID)


def test_command__says_the_same_as_the_library(silent: Path, tmp_path: Path) -> None:
    at = ("--at", SILENT)
    listed = command("alarms", silent, *at, "--json").document
    with switch.open(silent, mode="r") as engine:
        assert listed == engine.watch.within(name=str(silent)).alarms(SILENT).document()
    assert all(str(silent) in row["next"] for row in listed["alarms"])
    told = command(
        *("alarms", silent, "--alarm", NAME, "--acknowledge", "--assign", "night"),
        *("--by", "an", *at, "--json"),
    )
    assert told.document["alarms"] == [NAME]
    asleep = command(
        *("alarms", silent, "--alarm", NAME, "--snooze", "2026-11-26T08:00:00"),
        *("--note", "they restart", "--by", "an", *at),
    )
    assert "1 alarm asleep until 2026-11-26T08:00:00" in asleep.out
    assert (
        "nothing is new"
        in command(
            *("alarms", silent, "--alarm", NAME, "--snooze", "2026-11-26T08:00:00"),
            *("--note", "they restart", "--by", "an", *at),
        ).out
    )
    file = tmp_path / "alarms.csv"
    assert command("alarms", silent, *at, "--out", file).code == 0
    assert file.read_text("utf-8-sig").startswith("alarm,rule,subject")
    assert len(file.read_text().splitlines()) == listed["count"] + 1
    for wrong in (
        ("--by", "an"),
        ("--acknowledge", "--by", "an"),
        ("--rule", "nothing"),
        ("--rule", "disk-full", "--acknowledge", "--by", "an"),
        ("--at", "soon"),
    ):
        assert command("alarms", silent, *at[: 0 if "--at" in wrong else 2], *wrong).code == 2


def test_command__takes_the_clock_and_the_time_of_the_home(silent: Path) -> None:
    own = command("alarms", silent, "--at", "home", "--json").document
    assert (own["as_of"], own["count"]) == ("2026-11-25", 0)
    now = command("alarms", silent, "--json").document["as_of"]
    assert now > "2026-11-28T"


def test_limits__are_those_of_a_file_and_wrong_ones_are_refused(
    silent: Path, tmp_path: Path
) -> None:
    file = tmp_path / "limits.toml"
    file.write_text("silent_hours = 12")
    asked = ("alarms", silent, "--at", SILENT, "--limits", file, "--json")
    assert NAME not in {row["alarm"] for row in command(*asked).document["alarms"]}
    for text, why in (
        ("silent = 1", "silent"),
        ("silent_hours = 'x'", "silent_hours"),
        ("storm = 0", "storm is not above zero"),
        ("= 1", "limits"),
    ):
        file.write_text(text)
        told = command(*asked)
        assert told.code == 2
        assert why in told.err
    with switch.open(silent, mode="r") as engine:
        found = engine.watch.within({"silent_hours": 12}).alarms(SILENT).rows()
        assert found == engine.watch.within(Limits(silent_hours=12)).alarms(SILENT).rows()


def test_storm__stands_for_many_and_clears_none(tmp_path: Path) -> None:
    silent = home_of(tmp_path / "home")
    with switch.open(silent) as engine:
        watch = engine.watch.within({"storm": 2})
        told = watch.alarms(SILENT).rows()
        names = {row["alarm"] for row in told}
        assert "storm:answers-silent" in names
        assert NAME not in names
        storm = next(row for row in told if row["rule"] == "storm")
        assert (storm["lines"], storm["severity"]) == (12, "critical")
        every = {row["alarm"] for row in watch.alarms(SILENT, rule="answers-silent").rows()}
        assert every == {f"answers-silent:{code}" for code in (BANK, SMALL_BANK, WALLET)}
        counted = [r for r in watch.metrics(SILENT).splitlines() if 'rule="answers-silent"' in r]
        assert sum(float(row.rsplit(" ", 1)[1]) for row in counted) == 3
        watch.note(["storm:answers-silent"], acknowledged=True, **SAID)
        state = {row["alarm"]: row["state"] for row in watch.alarms(SILENT).rows()}
        assert state["storm:answers-silent"] == "acknowledged"
        watch.note([NAME], acknowledged=True, **SAID)
        there = {row["alarm"] for row in watch.alarms(SILENT).rows()}
        assert NAME in there
        assert "storm:answers-silent" not in there


def test_alarms__of_a_home_without_a_batch_are_those_of_the_machine(tmp_path: Path) -> None:
    home = tmp_path / "home"
    switch.init(
        home,
        participants=pa.Table.from_pylist([participant("KBNN", "treasury")]),
        debtors=pa.table({"debtor_account": ["1"], "debtor_agent": ["KBNN"]}),
    ).close()
    told = command("alarms", home, "--json")
    assert (told.code, told.document["count"]) == (0, 0)
    assert command("awaited", home, "--json").document["awaited"] == []
    assert "switch_audit_records 1" in command("metrics", home).out


FORGED: dict[str, dict[str, Any]] = {
    "of none": {"alarms": []},
    "of no occurrence": {"alarms": [[NAME, "2026-11-25", "sometimes"]]},
    "twice": {"alarms": [[NAME, "2026-11-25", "raised"]] * 2},
    "by nobody": {"by": ""},
    "of nothing": {"acknowledged": None},
    "asleep and seen": {"until": "2026-12-01", "note": "x"},
    "asleep for no reason": {"until": "2026-12-01", "acknowledged": None, "owner": "night"},
    "asleep in the past": {"until": "2026-11-01", "note": "x", "acknowledged": None},
}


@pytest.mark.parametrize("name", FORGED)
def test_verify__finds_a_note_that_says_nothing(silent: Path, name: str) -> None:
    with switch.open(silent) as engine:
        engine.watch.note([NAME], acknowledged=True, **SAID)
    assert switch.verify(silent)
    forged(silent, **FORGED[name])
    with pytest.raises(VerificationFailed, match="notes about alarms"):
        switch.verify(silent)


def test_alarm__of_a_rule_of_another_engine_is_told_as_resolved(silent: Path) -> None:
    with switch.open(silent) as engine:
        engine.watch.note([NAME], acknowledged=True, **SAID)
    forged(silent, alarms=[["of-tomorrow:x", "2026-11-25", "raised"]])
    assert switch.verify(silent)
    with switch.open(silent, mode="r") as engine:
        assert rows(engine, state="resolved")["of-tomorrow:x"]["what"] == "of-tomorrow"


def test_alarm__of_batches_of_two_sources_is_one_each(silent: Path) -> None:
    with switch.open(silent) as engine:
        for source in ("VSS", "MOH"):
            run(engine, [line(n) for n in range(1, 5)], "A2", source=source, at="2026-11-25")
        found = rows(engine, "2026-11-25T12:00:00", rule="batch-refused")
    assert set(found) == {"batch-refused:VSS:A2", "batch-refused:MOH:A2"}


def test_rules__each_has_its_page() -> None:
    pages = Path(__file__).parents[2] / "docs" / "runbooks"
    assert {path.stem for path in pages.glob("*.md")} == {*rules()} | {"README"}
