"""The settlement of a cycle is given up: it is as if its lines had never cleared, and they wait."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from cycles import (
    CUTOFFS,
    CYCLE,
    NEXT_DAY,
    RECAST,
    WAIT,
    WHY,
    aborted,
    balances_of,
    held_of,
    lines,
    make,
    states,
    switch_verify,
    table_of,
    told,
)
from scene import answers, asked, command, line, participant, people_table, person, run

import switch
from switch import status
from switch.engine import Engine
from switch.errors import UsageError
from switch.home.changes import AddMeta
from switch.registry.settings import Settings
from switch.settlement import cycle, recast, reversal


@pytest.mark.parametrize("settings", [CUTOFFS, WAIT, RECAST])
def test_abort__everything_is_undone_and_all_lines_wait(tmp_path: Path, settings: Settings) -> None:
    with aborted(tmp_path / "h", settings) as engine:
        assert states(engine) == {CYCLE: "ABORTED"}
        left = {name: sum_ for name, sum_ in engine.home.catalog.balances().items() if sum_}
        assert left == {"S.TREASURY[KBNN]": 100, "S.BANK[A]": 50}, "as before the first table"
        rows = asked(engine.home, "SELECT * FROM positions")
        assert {row["participant"]: tuple(row)[3:] for row in rows} == dict.fromkeys(
            ("A", "B", "C", "KBNN"), (0, 0, 0, 0, 0)
        )
        assert held_of(engine) == [(1, 1), (1, 2), (1, 3), (2, 1), (2, 2)]
        assert {row["state"] for row in asked(engine.home, "SELECT state FROM batches")} == {"HELD"}
        back = status.line(engine.home, "X", 3)["states"][-1]
        assert (back["status"], back["reason"], back["file"]) == ("PDNG", "ED05", "recasts/000001")
        assert "given up" in back["text"]
    assert switch.verify(tmp_path / "h")


def test_abort__says_why_and_tells_every_receiver(tmp_path: Path) -> None:
    with aborted(tmp_path / "h") as engine:
        folder = tmp_path / "h" / "out" / "cycles" / CYCLE
        answer = json.loads((folder / "answer.json").read_text())
        assert (answer["state"], answer["rule"], answer["why"]) == ("ABORTED", "abort", WHY)
        assert answer["participants"] == []
        sums = {code: told["sum"] for code, told in answer["recalled"].items()}
        assert sums == {"A": "67", "B": "30", "C": "50", "KBNN": "5"}
        recall = pq.read_table(folder / "recall" / "A.parquet")["amount"].to_pylist()
        assert recall == [60, 7]
        assert json.loads((folder / "settlement.json").read_text())["participants"] == []
        (record,) = asked(engine.home, "SELECT detail FROM audit WHERE kind = 'settlement'")
        assert json.loads(record["detail"])["answer"]["why"] == WHY
        assert engine.settle() == [], "it is done with"
        [again] = engine.settle(CYCLE, abort="another reason")
        sums = {
            code: {**told, "sum": int(told["sum"])} for code, told in answer["recalled"].items()
        }
        assert again == {**answer, "recalled": sums}, "the stored answer"


def test_abort__lines_clear_in_the_next_run_and_are_paid_once(tmp_path: Path) -> None:
    with aborted(tmp_path / "h") as engine:
        batch = run(engine, lines("C > B 1", 9), "Z", **NEXT_DAY)
        assert batch.summary["represented"]["cleared"] == {"count": 5, "sum": 152}
        [answer] = engine.settle()
        assert (answer["cycle"], answer["state"]) == ("20261126-1", "SETTLED")
        assert told(engine, "X", 1) == ["ACSP", "PDNG", "ACSP", "ACSC"]
        assert balances_of(engine) == {
            "S.TREASURY[KBNN]": 15,
            "S.BANK[A]": 60,
            "S.BANK[B]": 31,
            "S.BANK[C]": 44,
        }
    assert switch.verify(tmp_path / "h")


def test_abort__entitlements_are_free_for_whoever_comes_first(tmp_path: Path) -> None:
    with aborted(tmp_path / "h") as engine:
        again = [line(1, amount=60, debtor_account="C", creditor_agent="A", creditor_account="1")]
        batch = run(engine, again, "Z", **NEXT_DAY)
        assert answers(batch) == [("RJCT", "AM05")], "the line that waits came first"
        assert batch.summary["represented"]["cleared"]["count"] == 5
    assert switch.verify(tmp_path / "h")


def test_abort__takes_no_more_lines_and_leaves_other_cycles_alone(tmp_path: Path) -> None:
    with make(tmp_path / "h") as engine:
        run(engine, lines("A > B 50"), "X")
        run(engine, lines("A > C 20", 2), "Y", at="2026-11-25T12:00:00")
        engine.settle(CYCLE, abort=WHY)
        assert states(engine) == {CYCLE: "ABORTED", "20261125-2": "OPEN"}
        batch = run(engine, lines("B > C 1", 3), "Z")
        assert batch.cycle == "20261125-2"
        assert batch.summary["represented"]["cleared"] == {"count": 1, "sum": 50}
        assert [a["state"] for a in engine.settle()] == ["SETTLED"]
    assert switch.verify(tmp_path / "h")


def test_abort__a_cycle_that_waits_for_funds_may_be_given_up(tmp_path: Path) -> None:
    with make(tmp_path / "h", WAIT, {"A": 80}) as engine:
        run(engine, lines("A > B 80"), "X")
        engine.change_directory(balances=table_of({"A": 1}))
        assert [a["state"] for a in engine.settle()] == ["CLOSED"]
        [answer] = engine.settle(CYCLE, abort=WHY)
        assert answer["state"] == "ABORTED"
        assert balances_of(engine) == {"S.BANK[A]": 1, "S.RTGS[A]": 79}
        batch = run(engine, lines("C > B 1", 2), "Y", **NEXT_DAY)
        assert batch.summary["represented"]["held"]["count"] == 1
    assert switch.verify(tmp_path / "h")


def test_abort__within_one_settlement_account_nothing_was_posted(tmp_path: Path) -> None:
    """W settles through A: their lines are in positions, and in no posting between accounts."""
    codes = [participant("A"), participant("B"), participant("W", "wallet", settled_by="A")]
    debtors = [{"debtor_account": c, "debtor_agent": c} for c in ("A", "B", "W")]
    with switch.init(
        tmp_path / "h",
        participants=pa.Table.from_pylist(codes),
        debtors=pa.Table.from_pylist(debtors),
        settings=CUTOFFS,
    ) as engine:
        engine.register(population=people_table(person(n) for n in range(1, 9)))
        run(engine, lines("A > W 20\nW > W 3\nW > B 30"), "X")
        [answer] = engine.settle(CYCLE, abort=WHY)
        assert answer["recalled"]["W"] == {"count": 2, "sum": 23}
        assert not any(engine.home.catalog.balances().values())
        assert held_of(engine) == [(1, 1), (1, 2), (1, 3)]
    assert switch.verify(tmp_path / "h")


def test_abort__a_cycle_with_nothing_in_it_is_aborted_as_nothing(tmp_path: Path) -> None:
    with make(tmp_path / "h") as engine:
        [answer] = engine.settle(CYCLE, abort=WHY)
        assert (answer["state"], answer["recalled"]) == ("ABORTED", {})
        assert not (tmp_path / "h" / "recasts").exists()
        assert run(engine, lines("A > B 5"), "X").cycle == "20261125-2"
    assert switch.verify(tmp_path / "h")


def test_abort__bad_requests_change_nothing(tmp_path: Path) -> None:
    with make(tmp_path / "h") as engine:
        run(engine, lines("A > B 50"))
        link = engine.home.catalog.heads().link
        for why in ("", "  ", "x" * 141, "two\nlines"):
            with pytest.raises(UsageError, match="printable"):
                engine.settle(CYCLE, abort=why)
        with pytest.raises(UsageError, match="--cycle"):
            engine.settle(abort=WHY)
        with pytest.raises(UsageError, match="--cycle"):
            engine.settle(CYCLE, abort=WHY, close_only=True)
        with pytest.raises(UsageError, match="no cycle"):
            engine.settle("20261129-1", abort=WHY)
        assert engine.home.catalog.heads().link == link
        engine.settle()
        link = engine.home.catalog.heads().link
        with pytest.raises(UsageError, match="final"):
            engine.settle(CYCLE, abort=WHY)
        assert engine.home.catalog.heads().link == link


def test_abort__happens_whole_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with make(tmp_path / "h") as engine:
        run(engine, lines("A > B 50"))
        before = balances_of(engine)
        with monkeypatch.context() as patch:
            patch.setattr(cycle, "keep_balances", lambda _: [AddMeta("opening", "")])
            with pytest.raises(sqlite3.IntegrityError):
                engine.settle(CYCLE, abort=WHY)
    with Engine(tmp_path / "h") as engine:
        assert (balances_of(engine), states(engine)) == (before, {CYCLE: "CLOSED"})
        assert held_of(engine) == []
        assert switch_verify(engine)
        [answer] = engine.settle(CYCLE, abort=WHY)
        assert answer["state"] == "ABORTED"
    assert switch.verify(tmp_path / "h")


def test_abort__the_command_says_what_went_back(tmp_path: Path) -> None:
    with make(tmp_path / "h") as engine:
        run(engine, lines("A > B 50"))
    said = command("settle", tmp_path / "h", "--cycle", CYCLE, "--abort", WHY)
    assert (said.code, "ABORTED, 0 dong moved" in said.out) == (0, True)
    assert "B is not to credit 1 line of 50 dong" in said.out
    assert command("settle", tmp_path / "h", "--abort", WHY).code == 2


def _a_posting_stays(patch: pytest.MonkeyPatch) -> None:
    reversals = reversal.reversals
    patch.setattr(reversal, "reversals", lambda *a: reversals(*a)[:-1])


def _an_on_us_line_stays_posted(patch: pytest.MonkeyPatch) -> None:
    reversals = reversal.reversals
    patch.setattr(
        reversal,
        "reversals",
        lambda *a: [posting for posting in reversals(*a) if "B." not in posting.debit],
    )


def _a_line_stays(patch: pytest.MonkeyPatch) -> None:
    """The on-us line, whose absence no position tells."""
    lines_of = recast.lines_of
    patch.setattr(recast, "lines_of", lambda *a: tuple(t.slice(0, 2) for t in lines_of(*a)))


@pytest.mark.parametrize(
    ("plant", "check"),
    [
        (_a_posting_stays, "aborted cycle is empty"),
        (_an_on_us_line_stays_posted, "recast postings"),
        (_a_line_stays, "recast lines"),
    ],
    ids=lambda value: getattr(value, "__name__", "").strip("_"),
)
def test_verify__finds_an_abort_gone_wrong(
    plant: Callable[[pytest.MonkeyPatch], None],
    check: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with make(tmp_path / "h") as engine:
        run(engine, lines("A > B 50\nB > C 30\nA > A 7"))
        with monkeypatch.context() as patch:
            plant(patch)
            engine.settle(CYCLE, abort=WHY)
    with pytest.raises(switch.VerificationFailed, match=check):
        switch.verify(tmp_path / "h")


def test_abort__the_same_bytes_for_any_threads_and_chunks(tmp_path: Path) -> None:
    links: list[Any] = []
    for name, threads, chunk_rows in (("a", 1, 1), ("b", 2, 1000)):
        with make(tmp_path / name) as engine:
            text = "A > B 50\nA > C 30\nB > B 40\nKBNN > C 21\nC > A 1"
            run(engine, lines(text), "X", threads=threads, chunk_rows=chunk_rows)
            engine.settle(CYCLE, abort=WHY)
            run(engine, lines("C > A 30", 9), "Y", threads=threads, chunk_rows=chunk_rows)
            links.append(engine.home.catalog.heads().link)
    assert links[0] == links[1]
