"""Lines that wait beyond their deadline leave the queue when `expire` is called, and not before."""

from __future__ import annotations

import datetime as dt
import shutil
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from cycles import CUTOFFS, held_of, lines, make, short, switch_verify, table_of, told
from leaving_the_queue import another_person, another_sum, require_flips_found
from scene import (
    account,
    accounts_table,
    answers,
    asked,
    command,
    line,
    make_home,
    payment_table,
    person,
    run,
    tree_digest,
)

import switch
from switch import status
from switch.engine import Engine
from switch.errors import InputRefused, UsageError, VerificationFailed
from switch.home.store import Home
from switch.proof.repair import scrub
from switch.proof.replay import replay
from switch.registry.settings import Settings
from switch.settlement import expire as expiring

DAYS = Settings(held_days=30, held_days_of={"SICK": 10})
SICK_LAST, LAST = "2026-12-05", "2026-12-25"
"""Deadlines of lines that wait since 25 November."""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Lines 1 and 2 clear, 3 to 5 wait for an account, 5 for ten days alone, 6 is refused."""
    people = [person(n) for n in range(1, 7)]
    path = make_home(tmp_path / "home", people, [account(1), account(2)], settings=DAYS)
    with switch.open(path) as engine:
        rows = [*(line(n) for n in range(1, 5)), line(5, benefit="SICK"), line(6, amount=0)]
        assert answers(run(engine, rows, "A"))[1:5] == [("ACSC", None), *[("PDNG", "AC03")] * 3]
    return path


def test_expire__a_line_waits_no_more_and_the_sender_is_told(home: Path) -> None:
    with switch.open(home) as engine:
        answer = engine.expire("2026-12-06")
        assert answer == {
            "number": 1,
            "at": "2026-12-06",
            "count": 1,
            "sum": 1_000_005,
            "programmes": {"SICK": {"count": 1, "sum": 1_000_005}},
            "file": "expired/000001.parquet",
        }
        assert held_of(engine) == [(1, 3), (1, 4)]
        (row,) = engine.batches()
        assert row["expired"] == engine.batch("A")["expired"] == {"count": 1, "sum": 1_000_005}
        assert "cancelled" not in row
        assert (row["now"]["held"]["count"], row["now"]["refused"]["count"]) == (2, 2)
        states = engine.line("A", 5)["states"]
        assert [(s["state"], s["status"], s["reason"]) for s in states] == [
            ("HELD", "PDNG", "AC03"),
            ("EXPIRED", "CANC", "AB01"),
        ]
        assert (states[-1]["at"], states[-1]["file"]) == ("2026-12-06", "expired/000001")
        assert f"Deadline: {SICK_LAST}." in states[-1]["text"]
        (mine,) = engine.person(f"001{5:09d}")["lines"]
        assert mine["states"] == states
        assert told(engine, "A", 3) == ["PDNG"]
        assert switch_verify(engine)
    assert pq.read_table(home / "out/expired/000001.parquet").to_pylist() == [
        {
            "batch": 1,
            "line_no": 5,
            "benefit": "SICK",
            "period": 202611,
            "amount": 1_000_005,
            "source": "VSS",
            "batch_id": "A",
            "since": dt.date(2026, 11, 25),
            "deadline": dt.date.fromisoformat(SICK_LAST),
            "reason": "AB01",
        }
    ]
    assert switch.verify(home)


def test_expire__a_line_may_wait_on_the_day_of_its_deadline_itself(home: Path) -> None:
    with switch.open(home) as engine:
        before = engine.home.catalog.heads().seq
        none = engine.expire(SICK_LAST)
        assert (none["number"], none["count"], none["file"]) == (None, 0, None)
        assert engine.home.catalog.heads().seq == before, "nothing is recorded"
        assert held_of(engine) == [(1, 3), (1, 4), (1, 5)]
        assert engine.expire("2026-12-05T23:59:59")["count"] == 0
        assert engine.expire("2026-12-05T17:00:00Z")["count"] == 1, "of the 6th in Vietnam"
        assert engine.expire(LAST)["count"] == 0
        assert engine.expire("2026-12-26")["count"] == 2
        assert held_of(engine) == []
        assert not (home / "expired" / "000002" / "held.parquet").exists()
        assert switch_verify(engine)
    assert switch.verify(home)


def test_expire__until_it_is_called_a_run_pays_it_and_after_that_another_line(home: Path) -> None:
    with switch.open(home) as engine:
        engine.register(accounts=accounts_table([account(5)]))
        batch = run(engine, [line(1, period=202612)], "B", at="2026-12-20", leap=True)
        assert batch.summary["represented"]["cleared"]["count"] == 1, "beyond its deadline"
        assert told(engine, "A", 5) == ["PDNG", "ACSC"]
        engine.expire("2026-12-26")
        engine.register(accounts=accounts_table([account(3), account(4)]))
        third = run(engine, [line(3)], "C", at="2026-12-27")
        assert answers(third) == [("ACSC", None)], "it is paid by the line that came again"
        assert third.summary["represented"] is None
        assert told(engine, "A", 3) == ["PDNG", "CANC"]
        assert answers(run(engine, [line(3)], "D", at="2026-12-28")) == [("RJCT", "AM05")]
        assert switch_verify(engine)
    assert switch.verify(home)
    assert replay(home, "C", payment_table([line(3)]))


def test_expire__same_again_records_nothing_and_writes_the_list_again(home: Path) -> None:
    with switch.open(home) as engine:
        first = engine.expire("2026-12-06")
        seq = engine.home.catalog.heads().seq
        copy = home / "out" / str(first["file"])
        content = copy.read_bytes()
        copy.write_bytes(b"cut short")
        assert engine.expire("2026-12-06") == first
        assert engine.home.catalog.heads().seq == seq
        assert copy.read_bytes() == content
        copy.unlink()
        elsewhere = home.parent / "elsewhere"
        second = engine.expire("2026-12-26", out=elsewhere)
        assert (second["number"], second["count"]) == (2, 2)
        assert sorted(path.name for path in (elsewhere / "expired").iterdir()) == [
            "000001.parquet",
            "000002.parquet",
        ]


def test_expire__settings_may_change_and_count_from_the_same_day(home: Path) -> None:
    with switch.open(home) as engine:
        engine.change_directory(settings={"held_days": 5, "held_days_of": {"SICK": 0}})
        assert engine.expire("2026-12-01")["programmes"].keys() == {"PENS"}
        assert held_of(engine) == [(1, 5)], "it may wait for ever"
        assert engine.expire("2027-02-01")["count"] == 0
        engine.change_directory(settings={"held_days_of": {}})
        assert engine.expire("2027-02-01")["count"] == 1
        assert switch_verify(engine)
    assert switch.verify(home)


def test_expire__closes_what_waited_for_nothing_else(home: Path) -> None:
    with switch.open(home) as engine:
        answered = home / "answers.parquet"
        sent = pq.read_table(home / "out/A/clearing/970001.parquet")
        said = {
            "participant": ["970001"] * 2,
            "transfer_id": sent["transfer_id"],
            "amount": sent["amount"],
            "status": ["ACCC"] * 2,
            "booked_at": [dt.datetime(2026, 11, 25, 12, tzinfo=dt.UTC)] * 2,
        }
        pq.write_table(pa.table(said), answered)
        engine.reconcile(answered, at="2026-11-27")
        answered.unlink()
        assert engine.close_day("2026-12-24")["closed"] == []
        engine.expire("2026-12-26")
        assert engine.close_day("2026-12-26")["closed"] == [1]
        assert switch_verify(engine)
    assert switch.verify(home)


def test_expire__releases_its_part_of_the_budget(home: Path) -> None:
    with switch.open(home) as engine:
        before = {row["programme"]: row for row in status.budgets(engine.home)}["SICK"]
        assert (before["reserved"], before["remaining"]) == (1_000_005, 1_000_005)
        engine.expire("2026-12-06")
        row = {row["programme"]: row for row in status.budgets(engine.home)}["SICK"]
        assert (row["reserved"], row["released"], row["remaining"]) == (1_000_005, 1_000_005, 0)


def test_expire__counts_from_the_day_on_which_a_line_was_sent_back(tmp_path: Path) -> None:
    """A recast or an abort begins its time anew, also behind lines that were cancelled."""
    with short(tmp_path / "h", "recast") as engine:
        engine.change_directory(balances=table_of({"B": 40}))
        engine.settle(at="2026-11-30T11:00")
        engine.change_directory(settings={"held_days": 3})
        assert held_of(engine) == [(1, 1), (1, 2)]
        assert {str(row["deadline"]) for row in engine.held().rows()} == {"2026-12-03"}
        engine.cancel_lines([("X", 1)], by="a clerk", why="sent in error")
        assert engine.expire("2026-12-03")["count"] == 0
        assert engine.expire("2026-12-04")["count"] == 1
        assert told(engine, "X", 2) == ["ACSP", "PDNG", "CANC"]
        assert switch_verify(engine)


def test_held__tells_the_deadline_and_status_warns_before_it(home: Path) -> None:
    with switch.open(home) as engine:
        rows = engine.held().rows()
        assert [(r["line_no"], r["deadline"]) for r in rows] == [
            (3, LAST),
            (4, LAST),
            (5, SICK_LAST),
        ]
        near = engine.status()
        assert near.open["deadlines"] == {
            "past": {"count": 0, "sum": 0},
            "near": {"count": 1, "sum": 1_000_005},
            "next": SICK_LAST,
        }
        assert f"1 line held until a deadline within 14 days: the first is {SICK_LAST}" in [
            step["why"] for step in near.next
        ]
        engine.close_day("2026-12-10")
        past = engine.status()
        assert past.open["deadlines"]["past"] == {"count": 1, "sum": 1_000_005}
        assert past.open["deadlines"]["near"]["count"] == 0, "15 days are left"
        (step,) = (step for step in past.next if "held beyond" in step["why"])
        assert step["command"] == f"switch expire {home} --at 2026-12-10"
        engine.close_day("2026-12-11")
        assert engine.status().open["deadlines"]["near"]["count"] == 2
        engine.expire("2026-12-26")
        assert "deadlines" not in engine.status().open
        engine.change_directory(settings={"held_days": 0, "held_days_of": {}})
        assert engine.held().table["deadline"].null_count == len(engine.held())


def test_status__warns_of_nothing_where_lines_may_wait_for_ever(tmp_path: Path) -> None:
    path = make_home(tmp_path / "h", [person(1)], [])
    with switch.open(path) as engine:
        run(engine, [line(1)], "A")
        engine.close_day("2027-01-20")
        assert "deadlines" not in engine.status().open
        assert [row["deadline"] for row in engine.held().rows()] == [None]
        link = engine.home.catalog.heads().link
        with pytest.raises(UsageError, match="has no deadlines: lines wait for ever"):
            engine.expire("2027-01-20")
        engine.change_directory(settings={"held_days_of": {"SICK": 0}})
        link = engine.home.catalog.heads().link
        with pytest.raises(UsageError, match="has no deadlines"):
            engine.expire("2027-01-20")
        assert engine.home.catalog.heads().link == link


def test_expire__no_time_before_what_was_signed_and_none_that_leaps(home: Path) -> None:
    with switch.open(home) as engine:
        engine.close_day("2026-12-07")
        link = engine.home.catalog.heads().link
        with pytest.raises(InputRefused, match="days do not run back"):
            engine.expire("2026-12-06")
        with pytest.raises(UsageError, match="--leap"):
            engine.expire("2027-12-06")
        assert engine.home.catalog.heads().link == link
        engine.expire("2026-12-06", correct="it came late")
        engine.expire("2027-12-06", leap=True)
        records = asked(engine.home, "SELECT detail FROM audit WHERE kind = 'expiry' ORDER BY seq")
        assert '"correct":"it came late"' in records[0]["detail"]
        assert '"leap":true' in records[1]["detail"]
        assert engine.status().at == "2027-12-06"
        with pytest.raises(InputRefused, match="days do not run back"):
            engine.close_day("2027-12-05")
        assert switch_verify(engine)
    assert switch.verify(home)


@pytest.mark.parametrize(
    ("given", "what"),
    [
        ({"held_days": -1}, "held_days is not between 0 and 36500"),
        ({"held_days": 36_501}, "held_days is not between 0 and 36500"),
        ({"held_days_of": {"SICK": -1}}, "held_days_of SICK is not between"),
        ({"held_days_of": {"X": 3}}, "held_days_of 'X' is no programme here; there are"),
        ({"held_days": "3"}, "settings"),
        ({"held_days_of": {"SICK": "3"}}, "settings"),
    ],
)
def test_settings__of_deadlines_are_checked(given: dict[str, Any], what: str, home: Path) -> None:
    with switch.open(home) as engine, pytest.raises(UsageError, match=what):
        engine.change_directory(settings=given)
    with pytest.raises(UsageError, match=what):
        make_home(home.parent / "other", settings=given)


def test_settings__of_a_programme_that_went_stay(home: Path) -> None:
    with switch.open(home) as engine:
        rows = [{"benefit": "PENS", "name": "x", "purpose": "PENS", "priority": 1}]
        engine.change_directory(programmes=pa.Table.from_pylist(rows))
        engine.change_directory(settings={"clearing_limit": 5})
        assert engine.expire("2026-12-06")["programmes"].keys() == {"SICK"}
        assert switch_verify(engine)


def test_command__expires_and_says_what_is_wrong(home: Path) -> None:
    config = home.parent / "c.toml"
    assert "deadline" in command("held", home).out
    before = tree_digest(home)
    assert command("expire", home).code == 2, "a day is said"
    assert command("expire", home, "--at", "soon").code == 2
    assert command("expire", home, "--at", "2027-12-06").code == 2
    assert tree_digest(home) == before
    assert command("close", home, "--at", "2026-11-26").code == 0
    assert command("expire", home, "--at", "2026-11-25").code == 3
    said = command("expire", home, "--at", "2026-12-06", "--json")
    assert (said.code, said.document["count"]) == (0, 1)
    shown = command("expire", home, "--at", "2026-12-06").out
    assert "1 line, 1,000,005 dong: beyond the deadline" in shown
    assert "SICK: 1 line, 1,000,005 dong" in shown
    assert "expired/000001.parquet" in shown
    assert "1 line of 1,000,005 dong waited beyond their deadline" in command("status", home).out
    assert "waited beyond its deadline" in command("status", home, "--line", "A:5").out
    vi = command("status", home, "--line", "A:5", "--lang", "vi").out
    assert "quá thời hạn" in vi
    config.write_text("held_days = 0\n[held_days_of]\n")
    assert command("directory", home, "--config", config).code == 0
    none = command("expire", home, "--at", "2026-12-26")
    assert (none.code, "has no deadlines" in none.err) == (2, True)
    config.write_text("held_days = 3\n[held_days_of]\nX = 1\n")
    assert "is no programme here" in command("directory", home, "--config", config).err
    config.write_text('held_days_of = "SICK"\n')
    assert command("directory", home, "--config", config).code == 2


# --- proof ----------------------------------------------------------------------------------------


def _lines(**columns: Any) -> Any:
    """Overdue lines, told with other columns."""

    def spoil(patch: pytest.MonkeyPatch) -> None:
        overdue = expiring.overdue

        def other(*given: Any) -> pa.Table:
            found = overdue(*given)
            for name, value in columns.items():
                at = found.schema.get_field_index(name)
                field = found.schema.field(name)
                found = found.set_column(at, field, pa.array([value] * len(found), field.type))
            return found

        patch.setattr(expiring, "overdue", other)

    return spoil


def _later(patch: pytest.MonkeyPatch) -> None:
    """Lines that may wait still are taken out, too."""
    deadlines = expiring.deadlines

    def sooner(*given: Any) -> pa.Array:
        ago = pc.subtract(deadlines(*given).cast(pa.int32()), pa.scalar(30, pa.int32()))
        return ago.cast(pa.date32())

    patch.setattr(expiring, "deadlines", sooner)


def _fewer(patch: pytest.MonkeyPatch) -> None:
    """One line beyond its deadline stays."""
    overdue = expiring.overdue
    patch.setattr(expiring, "overdue", lambda *given: overdue(*given)[:1])


def _another_queue(patch: pytest.MonkeyPatch) -> None:
    write = expiring.write_queue
    patch.setattr(expiring, "write_queue", lambda *a: write(*a[:2], a[2][:1]))


WRONG = {
    "expiry 1: those that wait are others": _another_queue,
    "not those that were beyond their deadline": _later,
    "expired lines, expiry 1: they are not those": _fewer,
    "did not wait as it was expired": _lines(amount=1),
    "expired lines, expiry 1: the files say": another_sum,
}
TOLD = {
    "since": dt.date(2026, 11, 24),
    "deadline": dt.date(2026, 12, 24),
    "batch_id": "B",
    "source": "X",
    "reason": "AB05",
    "period": 202612,
}


@pytest.mark.parametrize("what", WRONG)
def test_verify__finds_an_expiry_that_is_wrong(
    what: str, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with switch.open(home) as engine:
        WRONG[what](monkeypatch)
        engine.expire("2026-12-26")
    monkeypatch.undo()
    with pytest.raises(VerificationFailed, match=what):
        switch.verify(home)


@pytest.mark.parametrize("column", TOLD)
def test_verify__finds_what_senders_are_told_wrong(
    column: str, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with switch.open(home) as engine:
        _lines(**{column: TOLD[column]})(monkeypatch)
        engine.expire("2026-12-26")
    monkeypatch.undo()
    with pytest.raises(VerificationFailed, match="not those that were beyond their deadline"):
        switch.verify(home)


def test_verify__goes_by_the_settings_of_then(home: Path) -> None:
    with switch.open(home) as engine:
        assert engine.expire(LAST)["count"] == 1, "lines 3 and 4 may wait on that day"
        engine.change_directory(settings={"held_days": 300, "held_days_of": {}})
        assert switch_verify(engine)
    assert switch.verify(home)


def test_verify__finds_another_person_in_the_queue(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every column of what stays in the queue is what it was."""

    with switch.open(home) as engine:
        another_person(monkeypatch)
        engine.expire("2026-12-06")
    monkeypatch.undo()
    with pytest.raises(VerificationFailed, match="those that wait are others"):
        switch.verify(home)


def test_verify__finds_a_list_that_was_changed_after_it_was_handed_out(home: Path) -> None:
    with switch.open(home) as engine:
        engine.expire("2026-12-06")
    copy = home / "out/expired/000001.parquet"
    content = copy.read_bytes()
    copy.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(VerificationFailed, match="expire the lines again"):
        switch.verify(home)
    copy.unlink()
    assert switch.verify(home)


def test_verify__finds_every_flipped_bit_of_an_expiry(home: Path) -> None:
    with switch.open(home) as engine:
        engine.expire("2026-12-06")
    require_flips_found(home, home / "expired" / "000001")


def test_open__an_expiry_that_was_cut_off_never_was(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cut(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    with switch.open(home) as engine:
        monkeypatch.setattr(Home, "commit", cut)
        with pytest.raises(KeyboardInterrupt):
            engine.expire("2026-12-06")
    monkeypatch.undo()
    assert [p.name for p in (home / "expired").iterdir()] == []
    with switch.open(home) as engine:
        assert held_of(engine) == [(1, 3), (1, 4), (1, 5)]
    assert switch.verify(home)


def test_scrub__repairs_an_expiry(home: Path, tmp_path: Path) -> None:
    with switch.open(home) as engine:
        engine.expire("2026-12-06")
    copy = shutil.copytree(home, tmp_path / "copy")
    for name in ("held.parquet", "lines.parquet"):
        path = home / "expired" / "000001" / name
        content = path.read_bytes()
        path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
        with pytest.raises(VerificationFailed, match=name):
            switch.verify(home)
        path.unlink()
        with pytest.raises(VerificationFailed, match=name):
            switch.verify(home)
        assert scrub(home, copy)
        assert switch.verify(home)


def test_expire__after_an_abort_in_a_calendar(tmp_path: Path) -> None:
    settings = Settings(cutoffs=CUTOFFS.cutoffs, held_days=2)
    with make(tmp_path / "h", settings) as engine:
        run(engine, lines("A > B 50\nB > C 40"), "X", at="2026-11-25T09:00")
        engine.settle("20261125-1", abort="it is given up", at="2026-11-25T12:00")
        assert _deadlines(engine) == ["2026-11-27", "2026-11-27"]
        assert engine.expire("2026-11-28")["count"] == 2
        assert [row["state"] for row in engine.line("X", 1)["states"]] == [
            "CLEARED",
            "HELD",
            "EXPIRED",
        ]
        assert engine.status().open["held"]["count"] == 0
        assert switch_verify(engine)


def _deadlines(engine: Engine) -> list[object]:
    return [row["deadline"] for row in engine.held().rows()]
