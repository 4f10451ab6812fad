"""Notes about breaks: recorded for good, shown with them, and proven."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path
from typing import Any

import pytest
from answering import NOON, home_of, said, take
from home_reads import catalog, forged
from scene import change_catalog, command, new_checkpoint

import switch
from switch.engine import Engine
from switch.errors import HomeMoved, SwitchError, UsageError, VerificationFailed
from switch.home.chain import link_of

LATE = "2026-12-30"


@pytest.fixture
def late(tmp_path: Path) -> Path:
    """A home of twelve lines, of which one is credited with another amount and ten are silent."""
    home = home_of(tmp_path / "home")
    with switch.open(home) as engine:
        take(engine, home, said(1), said(5, amount=5), at="2026-11-26")
        take(engine, home, at=LATE)
    return home


def rows(engine: Engine, **asked: Any) -> dict[int, dict[str, Any]]:
    return {int(str(row["line_no"])): row for row in engine.breaks(**asked).rows()}


def test_note__is_recorded_once_and_shown_with_its_break(late: Path) -> None:
    with switch.open(late) as engine:
        before, balances = rows(engine), engine.home.catalog.balances()
        seq = engine.home.catalog.heads().seq
        name = before[5]["break"]
        taken = engine.note_breaks([name[:6]], by="an", note="the bank was asked", owner="night")
        assert taken == {
            "at": LATE,
            "breaks": [name],
            "by": "an",
            "note": "the bank was asked",
            "owner": "night",
            "accepted": None,
            "new": True,
        }
        after = rows(engine)
        assert engine.home.catalog.heads().seq == seq + 1
        assert engine.home.catalog.balances() == balances
    noted = {"owner": "night", "note": "the bank was asked", "noted_by": "an", "noted_at": LATE}
    assert after[5] == before[5] | noted
    assert {n: row for n, row in after.items() if n != 5} == {
        n: row for n, row in before.items() if n != 5
    }
    assert switch.verify(late)
    kind, detail = catalog(late, "SELECT kind, detail FROM audit ORDER BY seq DESC LIMIT 1")[0]
    assert kind == "note"
    assert json.loads(detail) == {
        "breaks": [[name, "AMOUNT", 1_000_000]],
        "by": "an",
        "note": "the bank was asked",
        "owner": "night",
        "files": {},
    }


def test_note__library_and_command_say_the_same(late: Path, tmp_path: Path) -> None:
    with switch.open(late) as engine:
        name = rows(engine)[5]["break"]
    words = ("--by", "an", "--note", "the bank was asked", "--assign", "night")
    answer = command("breaks", late, "--class", "AMOUNT", *words, "--json")
    assert answer.code == 0, answer.err
    assert answer.document["breaks"] == [name]
    said = command(
        "breaks", late, "--break", name[:8], "--accept", "--note", "so be it", "--by", "b"
    )
    assert said.code == 0
    assert "1 break accepted" in said.out
    with switch.open(late) as engine:
        one = rows(engine)[5]
        assert (one["accepted"], one["owner"], one["note"]) == (True, "night", "so be it")
        assert set(rows(engine, accepted=True)) == {5}
        assert 5 not in rows(engine, accepted=False)
        assert set(rows(engine, owner="night")) == {5}
        assert set(rows(engine, ids=name[:7])) == {5}
    listed = command("breaks", late, "--accepted", "--json").document
    assert [row["break"] for row in listed["breaks"]] == [name]
    assert "yes" in command("breaks", late, "--accepted").out
    assert (
        command("breaks", late, "--break", name, "--withdraw", "--note", "no", "--by", "b").code
        == 0
    )
    with switch.open(late) as engine:
        assert rows(engine)[5]["accepted"] is False
    assert switch.verify(late)


def test_note__same_again_records_nothing(late: Path) -> None:
    with switch.open(late) as engine:
        found = rows(engine)
        names = [found[5]["break"], found[6]["break"]]
        first = engine.note_breaks(names, by="an", note="so be it", accepted=True, at="2026-12-31")
        seq = engine.home.catalog.heads().seq
        again = engine.note_breaks(names, by="an", note="so be it", accepted=True)
        assert (first["new"], again) == (True, {**first, "new": False})
        assert engine.note_breaks(names[:1], by="an", note="so be it", accepted=True)["at"]
        assert engine.home.catalog.heads().seq == seq
        engine.note_breaks(names, by="another", note="so be it", accepted=True)
        engine.note_breaks(names, by="an", note="so be it", accepted=True)
        assert engine.home.catalog.heads().seq == seq + 2


WRONG: dict[str, dict[str, Any]] = {
    "nobody": {"note": "x"},
    "no name": {"by": "", "note": "x"},
    "nothing": {"by": "an"},
    "accepted without words": {"by": "an", "accepted": True},
    "withdrawn without words": {"by": "an", "accepted": False, "owner": "night"},
    "blank": {"by": "an", "note": " x"},
    "long": {"by": "an", "note": "x" * 141},
    "control": {"by": "an", "note": "x\n"},
    "no text": {"by": "an", "note": 5},
    "no truth": {"by": "an", "note": "x", "accepted": "yes"},
    "no time": {"by": "an", "note": "x", "at": "yesterday"},
}


@pytest.mark.parametrize("name", WRONG)
def test_note__without_its_words_is_refused(late: Path, name: str) -> None:
    with switch.open(late) as engine:
        seq = engine.home.catalog.heads().seq
        chosen = rows(engine)[5]["break"]
        with pytest.raises(UsageError):
            engine.note_breaks([chosen], **WRONG[name])
        with pytest.raises(TypeError):
            engine.note_breaks([chosen], by="an", note="x", colour="red")
        assert engine.home.catalog.heads().seq == seq


@pytest.mark.parametrize("name", ["", "12345", "0123456789abcdef", "zzzzzz"])
def test_note__of_a_break_that_is_not_open_is_refused(late: Path, name: str) -> None:
    with switch.open(late) as engine:
        seq = engine.home.catalog.heads().seq
        with pytest.raises(UsageError):
            engine.note_breaks([name], by="an", note="x")
        with pytest.raises(UsageError):
            engine.note_breaks([], by="an", note="x")
        assert engine.home.catalog.heads().seq == seq


def test_note__by_command_wants_breaks_that_are_chosen(late: Path) -> None:
    note = ("--note", "x", "--by", "an")
    assert command("breaks", late, *note).code == 2
    assert command("breaks", late, "--sort", "age", *note).code == 2
    assert command("breaks", late, "--class", "FEE", *note).code == 2
    assert command("breaks", late, "--class", "AMOUNT", "--note", "x").code == 2
    assert command("breaks", late, "--class", "AMOUNT", "--by", "an").code == 2
    assert command("breaks", late, "--class", "AMOUNT", "--accept", "--by", "an").code == 2
    assert command("breaks", late, "--class", "AMOUNT", *note, "--at", "2026-13-01").code == 2


def test_accepted__ends_where_the_break_is_another(late: Path) -> None:
    def now(engine: Engine) -> dict[str, Any]:
        (row,) = (row for row in engine.breaks().rows() if row["break"] == before["break"])
        return row

    with switch.open(late) as engine:
        before = rows(engine)[5]
        engine.note_breaks([before["break"]], by="an", note="so be it", accepted=True)
        take(engine, late, said(2), at=LATE)
        assert now(engine)["accepted"] is True
        # An answer that was booked earlier takes its place.
        take(engine, late, said(5, amount=7, booked_at=NOON - dt.timedelta(hours=1)), at=LATE)
        after = now(engine)
        assert (before["value"], after["value"]) == (1_000_000, 999_998)
        assert (after["accepted"], after["note"]) == (False, "so be it")
        engine.note_breaks([before["break"]], by="an", note="this, too", accepted=True)
        assert now(engine)["accepted"] is True
    assert switch.verify(late)


def test_accepted__is_no_open_critical_break_of_a_day(late: Path) -> None:
    with switch.open(late) as engine:
        critical = engine.breaks(severity="critical")
        assert len(critical) > 2
        first = engine.close_day(LATE)
        assert first["critical"] == len(critical)
        names = critical.table["break"].to_pylist()
        engine.note_breaks(names[:2], by="an", note="so be it", accepted=True)
        second = engine.close_day(LATE)
        assert second["critical"] == len(critical) - 2
        assert second["breaks"] == first["breaks"]
        engine.note_breaks(names[:1], by="an", note="not so", accepted=False)
        assert engine.close_day(LATE)["critical"] == len(critical) - 1
    told = command("close", late, "--at", LATE, "--json")
    assert (told.code, told.document["critical"]) == (1, len(names) - 1)
    accept = ("--accept", "--note", "so be it", "--by", "an")
    assert command("breaks", late, "--severity", "critical", "--not-accepted", *accept).code == 0
    told = command("close", late, "--at", LATE, "--json")
    assert (told.code, told.document["critical"]) == (0, 0)
    assert switch.verify(late)


def test_note__lies_in_no_day_that_is_closed(late: Path) -> None:
    with switch.open(late) as engine:
        engine.close_day(LATE)
        name = rows(engine)[5]["break"]
        with pytest.raises(switch.SwitchError):
            engine.note_breaks([name], by="an", note="x", at="2026-12-01")
        engine.note_breaks([name], by="an", note="x", at="2027-12-31")
        # Its time is recorded alone: nothing ages by it.
        assert engine.breaks().as_of == LATE
        assert engine.held().as_of == LATE


def test_note__of_another_history_is_refused(late: Path) -> None:
    with switch.open(late) as engine:
        name = rows(engine)[5]["break"]
        change_catalog(
            late,
            "INSERT INTO audit SELECT seq + 1, at, kind, detail, link, 'x' FROM audit"
            " ORDER BY seq DESC LIMIT 1",
        )
        with pytest.raises(HomeMoved):
            engine.note_breaks([name], by="an", note="x")


FORGED: dict[str, dict[str, Any]] = {
    "another break": {"breaks": [["0123456789abcdef", "AMOUNT", 1_000_000]]},
    "no break": {"breaks": []},
    "nobody": {"by": ""},
    "no words": {"note": ""},
}


@pytest.mark.parametrize("name", FORGED)
def test_verify__finds_a_note_of_what_was_not_open(late: Path, name: str) -> None:
    with switch.open(late) as engine:
        chosen = rows(engine)[5]["break"]
        engine.note_breaks([chosen], by="an", note="so be it", accepted=True)
    assert switch.verify(late)
    forged(late, **FORGED[name])
    with pytest.raises(VerificationFailed, match="notes about breaks"):
        switch.verify(late)


def test_verify__finds_a_note_with_another_value(late: Path) -> None:
    with switch.open(late) as engine:
        chosen = rows(engine)[5]["break"]
        engine.note_breaks([chosen], by="an", note="so be it", accepted=True)
    forged(late, breaks=[[chosen, "AMOUNT", 1]])
    with pytest.raises(VerificationFailed, match="notes about breaks"):
        switch.verify(late)


def test_verify__finds_a_note_of_what_was_not_open_yet(tmp_path: Path) -> None:
    home = home_of(tmp_path / "home")
    with switch.open(home) as engine:
        take(engine, home, said(5, amount=5), at="2026-11-26")
        early = rows(engine)[5]["break"]
        engine.note_breaks([early], by="an", note="x")
    note = catalog(home, "SELECT max(seq) FROM audit")[0][0]
    with switch.open(home) as engine:
        take(engine, home, at=LATE)
        later = next(row for n, row in rows(engine).items() if n != 5)
    breaks = [[later["break"], later["class"], later["value"]]]
    rows_of = catalog(home, "SELECT seq, at, kind, detail FROM audit ORDER BY seq")
    previous = catalog(home, f"SELECT link FROM audit WHERE seq = {note - 1}")[0][0]
    for seq, at, kind, detail in rows_of[note - 1 :]:
        text = detail
        if seq == note:
            forged_detail = {**json.loads(detail), "breaks": breaks}
            text = json.dumps(forged_detail, sort_keys=True, separators=(",", ":"))
        link = link_of(previous, seq, at, kind, text)
        change_catalog(
            home,
            "UPDATE audit SET detail = ?, previous = ?, link = ? WHERE seq = ?",
            *(text, previous, link, seq),
        )
        previous = link
    new_checkpoint(home)
    with pytest.raises(VerificationFailed, match="notes about breaks"):
        switch.verify(home)


def test_verify__finds_every_flipped_bit_of_a_note(late: Path) -> None:
    """By the digest of the catalog, and by the chain where somebody wrote that anew."""
    with switch.open(late) as engine:
        engine.note_breaks([rows(engine)[5]["break"]], by="an", note="so be it", accepted=True)
    ((text,),) = catalog(late, "SELECT detail FROM audit ORDER BY seq DESC LIMIT 1")
    file, checkpoint = late / "catalog.sqlite", late / "checkpoint"
    content, said = file.read_bytes(), checkpoint.read_bytes()
    start = content.index(text.encode())
    assert content.count(text.encode()) == 1
    for bit in range(0, 8 * len(text), 37):
        changed = bytearray(content)
        changed[start + bit // 8] ^= 1 << bit % 8
        file.write_bytes(changed)
        for is_anew in (False, True):
            if is_anew:
                new_checkpoint(late)
            with pytest.raises(SwitchError):
                switch.verify(late)
        file.write_bytes(content)
        checkpoint.write_bytes(said)
    assert switch.verify(late)
