"""The present: where the lines of each batch stand now, in `status`, in JSON and on the picture.

Every total is held against the states of the lines, one by one, as `status --line` tells them.
"""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from answering import CALENDAR, LATER, back, home_of, said, take, write
from cycles import CYCLE, NEXT_DAY, WHY, aborted, held_of, lines, make, short
from scene import (
    DEBTORS,
    PARTICIPANTS,
    account,
    accounts_table,
    command,
    line,
    make_home,
    person,
    run,
)

import switch
from switch import present
from switch.engine import Engine
from switch.registry.settings import Settings
from switch.report.payday_svg import payday_svg

WORDS = {"REJECTED": "refused"}


def tie(engine: Engine) -> dict[str, dict[str, int]]:
    """Counts of each batch by where its lines stand, held against every line of it."""
    found: dict[str, dict[str, int]] = {}
    for row in engine.batches():
        totals: dict[str, Any] = dict(row["now"])
        for key in ("count", "sum"):
            assert sum(total[key] for total in totals.values()) == row["received"][key]
        counts: Counter[str] = Counter()
        sums: Counter[str] = Counter()
        for number in range(1, row["received"]["count"] + 1):
            told = engine.line(row["batch_id"], number)
            word = told["states"][-1]["state"]
            word = WORDS.get(word, word.lower())
            counts[word] += 1
            sums[word] += told["amount"]
        assert {n: t["count"] for n, t in totals.items() if t["count"]} == dict(counts)
        assert {n: t["sum"] for n, t in totals.items() if t["count"]} == dict(sums)
        found[row["batch_id"]] = dict(counts)
        by_line = Counter(map(present.now_of, present.line_states(engine.home, row["seq"])))
        assert by_line == counts
    held = sum(found[name].get("held", 0) for name in found)
    assert len(held_of(engine)) == held
    assert engine.status().open["held"]["count"] == held
    return found


def texts(svg: str) -> str:
    nodes = ElementTree.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")
    return "\n".join(node.text or "" for node in nodes)


def test_present__a_held_line_that_cleared_is_held_no_more(tmp_path: Path) -> None:
    home = make_home(tmp_path / "h", [person(n) for n in (1, 2, 3)], [account(1)])
    with switch.open(home) as engine:
        run(engine, [line(1), line(2), line(3)], "A")
        assert tie(engine) == {"A": {"settled": 1, "held": 2}}
        engine.register(accounts=accounts_table([account(2)]))
        run(engine, [line(1, period=202612)], "B")
        assert tie(engine) == {"A": {"settled": 2, "held": 1}, "B": {"settled": 1}}
        assert engine.batch("A")["held"]["count"] == 2  # As its run answered.
        assert engine.batch("A")["now"]["held"]["count"] == 1


def test_present__an_aborted_batch_waits_and_says_so_everywhere(tmp_path: Path) -> None:
    with aborted(tmp_path / "h") as engine:
        assert tie(engine) == {"X": {"held": 3}, "Y": {"held": 2}}
        batch = engine.batch("X")
        assert (batch["cycle_state"], batch["state"]) == ("ABORTED", "HELD")
        (sent_back,) = batch["sent_back"]
        assert sent_back == {
            "cycle": CYCLE, "at": sent_back["at"], "rule": "abort", "why": WHY,
            "count": 3, "sum": 117,
        }  # fmt: skip
        drawn = texts(payday_svg(batch))
    assert f"Cycle {CYCLE} was aborted ({WHY}): 3 lines of 117 ₫ went back to wait." in drawn
    assert "Now: 3 held = 3 lines" in drawn
    assert "2 accounts were to be paid" in drawn
    assert "Had cleared" in drawn
    for claim in ("Nothing was lost.", "are paid", "is paid", "pays in", "moves; netting"):
        assert claim not in drawn
    for words in (["status"], ["status", "--batch", "X"]):
        out = " ".join(command(words[0], tmp_path / "h", *words[1:]).out.split())
        assert f"cycle {CYCLE} was aborted ({WHY}), and 3 lines of 117 dong went back" in out
    (x, _) = command("status", tmp_path / "h", "--json").document["batches"]
    assert x["cycle_state"] == "ABORTED"
    assert x["now"]["held"] == {"count": 3, "sum": 117}


def test_present__a_recast_batch_is_not_told_as_settled(tmp_path: Path) -> None:
    with short(tmp_path / "h", "recast") as engine:
        engine.settle()
        assert tie(engine) == {"X": {"held": 3}}
        (sent_back,) = engine.batch("X")["sent_back"]
        assert (sent_back["rule"], sent_back["count"], sent_back["sum"]) == ("recast", 3, 120)
        drawn = texts(payday_svg(engine.batch("X")))
        assert "its cycle was recast" in drawn
        assert "at the State Bank, final" not in drawn
        again = run(engine, lines("A > B 50\nA > C 30\nB > C 40"), "X")
        assert again.replayed
        assert again.summary["sent_back"] == [sent_back]
    out = command("status", tmp_path / "h").out
    assert "SETTLED, recast" in out
    assert "cycle 20261125-1 was recast" in out


def test_present__what_was_sent_back_clears_again(tmp_path: Path) -> None:
    with aborted(tmp_path / "h") as engine:
        run(engine, lines("KBNN > A 1", 9), "Z", **NEXT_DAY)
        found = tie(engine)
        assert found["Z"] == {"cleared": 1}
        assert set(found["X"]) <= {"cleared", "held"}
        (cycle,) = engine.status().open["cycles"]
        assert cycle["state"] == "OPEN"
        assert cycle["count"] == sum(counts.get("cleared", 0) for counts in found.values())
        engine.settle()
        assert tie(engine)["Z"] == {"settled": 1}


def test_present__answers_returns_and_dispositions_move_lines(tmp_path: Path) -> None:
    with switch.open(home_of(tmp_path / "h")) as engine:
        rows = [said(3), said(4, "RJCT"), said(5, amount=4), said(6)]
        engine.reconcile(
            write(tmp_path / "a", rows),
            write(tmp_path / "b", [back(1), back(2), back(6)]),
            at=LATER,
        )
        assert tie(engine) == {"A": {"credited": 1, "returned": 3, "unapplied": 8}}
        assert engine.status().open["returned"]["count"] == 3
        engine.write_back([("A", 1)], at=LATER)
        engine.reissue([("A", 2)], at=LATER)
        expected = {"credited": 1, "returned": 1, "written_back": 1, "reissued": 1, "unapplied": 8}
        assert tie(engine) == {"A": expected}
        run(engine, [line(2)], "B", at=LATER)
        assert tie(engine)["A"] == expected


def test_present__refused_by_the_receiver_before_the_cycle_settles(tmp_path: Path) -> None:
    with switch.open(home_of(tmp_path / "h", settings=CALENDAR)) as engine:
        take(engine, tmp_path / "h", said(1, "RJCT"), said(3), at="2026-11-25")
        assert tie(engine) == {"A": {"refused": 1, "credited": 1, "cleared": 10}}
        (cycle,) = engine.status().open["cycles"]
        assert cycle["count"] == 11
        engine.settle()
        assert tie(engine) == {"A": {"refused": 1, "credited": 1, "settled": 10}}


def test_present__lines_are_not_read_where_small_files_say_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a day was closed its statements say what was credited."""
    with switch.open(home_of(tmp_path / "h")) as engine:
        take(engine, tmp_path / "h", *(said(n) for n in range(1, 6)), at=LATER)
        run(engine, [line(20), line(21)], "B", at=LATER)
        told = tie(engine)
        engine.close_day(LATER)

        def never(*_: Any) -> Any:
            raise AssertionError("lines were read")

        with monkeypatch.context() as patch:
            patch.setattr(present, "judged", never)
            told = {row["batch_id"]: row["now"]["credited"]["count"] for row in engine.batches()}
        assert told == {"A": 5, "B": 0}
        tie(engine)
        take(engine, tmp_path / "h", said(7), at=LATER)
        assert tie(engine)["A"]["credited"] == 6
        rest = [said(n) for n in (6, *range(8, 13))]
        take(engine, tmp_path / "h", *rest, at=LATER)
        engine.close_day(LATER)
        assert engine.batches()[0]["state"] == "CLOSED"
        with monkeypatch.context() as patch:
            patch.setattr(present, "judged", never)
            assert engine.batches()[0]["now"]["credited"]["count"] == 12


def test_present__a_line_is_recalled_that_a_signed_day_has_as_credited(tmp_path: Path) -> None:
    with switch.open(home_of(tmp_path / "h", settings=CALENDAR)) as engine:
        take(engine, tmp_path / "h", said(1), said(2), said(3), at="2026-11-25")
        engine.close_day("2026-11-25")
        assert tie(engine) == {"A": {"credited": 3, "cleared": 9}}
        engine.recall([("A", 2)], reason="DUPL", by="a clerk", why="paid twice", at="2026-11-25")
        assert tie(engine) == {"A": {"refused": 1, "credited": 2, "cleared": 9}}


def test_present__the_same_by_statements_and_by_lines_where_runs_mix_batches(
    tmp_path: Path,
) -> None:
    people = [person(n) for n in range(1, 9)]
    home = make_home(tmp_path / "h", people, [account(n) for n in range(1, 5)])
    with switch.open(home) as engine:
        first = run(engine, [line(n) for n in range(1, 9)], "A")
        engine.register(accounts=accounts_table([account(5), account(6)]))
        second = run(engine, [line(n, period=202612) for n in range(1, 3)], "B")
        ids = [
            (row["transfer_id"], row["amount"])
            for batch in (first, second)
            for row in pq.read_table(batch.folder / "clearing" / "970001.parquet").to_pylist()
        ]
        for at, (name, amount) in enumerate(ids[:-1]):
            told = said(1, transfer_id=name, amount=amount, participant="970001")
            del told["creditor_account"]
            take(engine, tmp_path / "h", told | {"creditor_account": None}, at=LATER)
            if at % 2:
                engine.close_day(LATER)
            found = tie(engine)
        assert sum(counts.get("credited", 0) for counts in found.values()) == len(ids) - 1


def test_settle__says_which_cycle_is_open_and_until_when(tmp_path: Path) -> None:
    home = tmp_path / "h"
    with make(home, Settings(cutoffs=("11:00",))) as engine:
        run(engine, lines("KBNN > A 60\nA > C 50"), "X")
    early = ("settle", home, "--at", "2026-11-25T09:00:00")
    out = " ".join(command(*early).out.split())
    assert out == (
        "cycle 20261125-1 is OPEN with 2 lines of 110 dong: its cut-off is 2026-11-25T11:00:00"
        f" next: switch settle {home} --cycle 20261125-1"
    )
    (waiting,) = command(*early, "--json").document["waiting"]
    assert (waiting["cycle"], waiting["count"], waiting["sum"]) == ("20261125-1", 2, 110)
    assert "SETTLED" in command("settle", home).out
    assert command("settle", home).out == "no cycle waits for settlement\n"
    assert command("settle", home, "--json").document["waiting"] == []


def test_status__says_what_is_open_and_what_to_do_next(tmp_path: Path) -> None:
    home = tmp_path / "h"
    with make(home, Settings(cutoffs=("11:00",))) as engine:
        (step,) = engine.status().next
        assert step == {"why": "no table was run yet", "command": f"switch run {home} TABLE"}
        run(engine, lines("KBNN > A 60\nA > C 50"), "X")
        told = engine.status()
        assert [step["command"] for step in told.next] == [
            f"switch settle {home} --cycle 20261125-1",
            f"switch close {home} --at 2026-11-25",
        ]
        engine.settle()
        told = engine.status()
        assert told.open["unanswered"]["count"] == 2
        assert told.next[0]["why"] == "2 settled lines without an answer"
        assert told.next[0]["command"] == f"switch reconcile {home} ANSWERS... --at 2026-11-25"
        assert "2 settled lines without an answer" in repr(told)
        assert "<table>" in told._repr_html_()
        document = told.to_dict()
    assert command("status", home, "--json").document == document
    out = command("status", home).out
    for step in document["next"]:
        assert f"    {step['command']}\n" in out


def test_status__of_a_home_without_anything(tmp_path: Path) -> None:
    home = tmp_path / "h"
    participants = pa.Table.from_pylist(list(PARTICIPANTS))
    debtors = pa.Table.from_pylist(list(DEBTORS))
    with switch.init(home, participants=participants, debtors=debtors) as engine:
        told = engine.status()
        assert (told.batches, told.at) == ([], "")
        assert told.next[0]["command"].startswith(f"switch register {home} ")
        assert "0 batches" in repr(told)
        assert "<table>" in told._repr_html_()
