"""The exchange: receivers answer a batch of a home, and credit nothing before it is final."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from cycles import CUTOFFS, CYCLE, NEXT_DAY, lines, make, short
from scene import answers, run

import switch
from switch.errors import UsageError
from switch.sim.receivers.behaviour import LIMITS

MANY = "\n".join(f"A > B {100 + n}" for n in range(58))


def said(home: Path, kind: str = "confirmations", batch: str = "X") -> list[dict[str, Any]]:
    """All rows of a kind that receivers wrote."""
    folder = home / "out" / batch / "answers" / kind
    return [row for path in sorted(folder.iterdir()) for row in pq.read_table(path).to_pylist()]


@pytest.fixture
def refusing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Receivers that refuse what is above 130 dong."""
    monkeypatch.setitem(LIMITS, "bank", 130)


@pytest.mark.usefixtures("refusing")
@pytest.mark.parametrize("closed", [False, True], ids=["open", "closed"])
def test_exchange__credits_nothing_before_the_cycle_has_settled(
    tmp_path: Path, closed: bool
) -> None:
    home = tmp_path / "h"
    with make(home, CUTOFFS) as engine:
        assert answers(run(engine, lines(MANY), "X")) == [("ACSP", None)] * 58
        if closed:
            engine.settle(close_only=True)
        before = switch.exchange(home, "X")
        early = said(home)
        assert {row["status"] for row in early} == {"RJCT"}, "a credit before finality"
        assert len(early) == before["confirmations"] == before["lines"] >= 27
        assert (before["returns"], said(home, "returns")) == (0, [])
        assert not list((home / "out" / "X" / "answers").glob("statement-*"))
        taken = engine.reconcile(*sorted((home / "out/X/answers/confirmations").iterdir()))
        assert taken["moved"]["refused"]["count"] == len(early)
        engine.settle()
        after = switch.exchange(home, "X")
    late = said(home)
    assert after["lines"] == 58
    assert {row["status"] for row in late} == {"ACCC", "RJCT"}
    assert {row["transfer_id"] for row in early} <= {
        row["transfer_id"] for row in late if row["status"] == "RJCT"
    }
    assert (home / "out" / "X" / "answers" / "statement-SBV.parquet").exists()


def test_exchange__answers_no_line_that_a_recast_recalled(tmp_path: Path) -> None:
    home = tmp_path / "h"
    with short(home, "recast") as engine:
        (answer,) = engine.settle()
        gone = sum(part["count"] for part in answer["recalled"].values())
        done = switch.exchange(home, "X", plain=True)
    assert gone
    assert done["lines"] == 3 - gone
    assert len(said(home)) + len(said(home, "returns")) == 3 - gone


def test_exchange__of_an_aborted_cycle_answers_nothing(tmp_path: Path) -> None:
    home = tmp_path / "h"
    with make(home) as engine:
        run(engine, lines("A > B 50\nB > C 30"), "X")
        engine.settle(CYCLE, abort="the State Bank is closed")
        assert switch.exchange(home, "X", plain=True)["lines"] == 0
        run(engine, lines("C > A 1", 9), "Y", **NEXT_DAY)
        engine.settle()
        # Its lines cleared again with the next batch, and are answered with that.
        assert switch.exchange(home, "Y", plain=True)["lines"] == 3
        assert switch.exchange(home, "X", plain=True)["lines"] == 0
    assert {row["status"] for row in said(home, batch="Y")} <= {"ACCC"}


def test_exchange__of_closed_days_still_answers(tmp_path: Path) -> None:
    home = tmp_path / "h"
    with make(home) as engine:
        run(engine, lines("A > B 50"), "X")
        engine.settle()
        switch.exchange(home, plain=True)
        files = (home / "out/X/answers").rglob("*.parquet")
        engine.reconcile(*(path for path in files if path.parent.name in ("confirmations",)))
        engine.close_day("2026-11-26")
        assert switch.exchange(home, plain=True)["lines"] == 1
    with pytest.raises(UsageError, match="no clearing files"):
        switch.exchange(home, out=tmp_path / "elsewhere")


WORDS: Any = {"reason": "DUPL", "by": "Lan", "why": "paid by two agencies"}


def test_exchange__answers_recalls_of_settled_lines(tmp_path: Path) -> None:
    """Most are given back, some kept; what was given back before is not there any more."""
    home = tmp_path / "h"
    with make(home) as engine:
        run(engine, lines(MANY), "X")
        engine.settle()
        switch.exchange(home, "X", seed=4)
        given = [
            p for p in (home / "out/X/answers").rglob("*.parquet") if p.parent.name != "answers"
        ]
        engine.reconcile(*sorted(given))
        engine.recall([("X", number) for number in range(1, 41)], **WORDS)
        told = switch.exchange(home, "X", seed=4)
        words = said(home, "resolutions")
        assert told["resolutions"] == len(words) > 30
        kept = {row["transfer_id"] for row in words if row["status"] == "RJCR"}
        back = {row["transfer_id"] for row in words if row["status"] == "CNCL"}
        assert kept
        assert back
        sent = [row for row in said(home, "returns") if row["reason"] == "FOCR"]
        assert {row["transfer_id"] for row in sent} == back
        engine.reconcile(
            *sorted((home / "out/X/answers/resolutions").iterdir()),
            *sorted((home / "out/X/answers/returns").iterdir()),
            at="2026-12-05",
        )
        states = {row["transfer_id"]: row["state"] for row in engine.recalls().rows()}
    assert {name for name, state in states.items() if state == "REFUSED"} == kept
    assert {name for name, state in states.items() if state == "ACCEPTED"} == back
    assert len(states) == 40
    assert switch.verify(home)


def test_exchange__credits_no_line_that_was_recalled_before_it_settled(tmp_path: Path) -> None:
    home = tmp_path / "h"
    with make(home, CUTOFFS) as engine:
        run(engine, lines(MANY), "X")
        engine.recall([("X", 1), ("X", 3)], **WORDS)
        engine.settle()
        assert switch.exchange(home, "X", plain=True)["lines"] == 56
        assert not (home / "out/X/answers/resolutions").exists()
