"""A cycle settles without the payments of those who lack the funds for it, and their lines wait."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from cycles import (
    NEXT_DAY,
    RECAST,
    balances_of,
    held_of,
    lines,
    make,
    short,
    switch_verify,
    table_of,
    told,
)
from scene import (
    account,
    accounts_table,
    answers,
    command,
    line,
    participant,
    payment_table,
    people_table,
    person,
    run,
    write_table,
)

import switch
from switch import status
from switch.engine import Engine
from switch.home.changes import AddMeta
from switch.proof.replay import replay
from switch.rehearsal import rehearse
from switch.settlement import cycle as settling
from switch.settlement import recast as recasting
from switch.settlement import reversal
from switch.settlement.liquidity.loss import recast


def test_recast__a_defaulters_lines_wait_again_and_the_others_settle(tmp_path: Path) -> None:
    """A lacks 30 of 80, so its lines go; B had counted on its 50 and becomes a payer of 40."""
    with short(tmp_path / "h", "recast") as engine:
        engine.change_directory(balances=table_of({"B": 40}))
        [answer] = engine.settle()
        assert (answer["state"], answer["rule"]) == ("SETTLED", "recast")
        assert answer["short"] == {"A": 30}
        assert answer["vanished"] == {"B": 50, "C": 30}
        assert answer["turned_payer"] == ["B"]
        assert answer["recalled"] == {
            "B": {"count": 1, "sum": 50},
            "C": {"count": 1, "sum": 30},
        }
        assert balances_of(engine) == {
            "S.BANK[A]": 50,
            "S.BANK[C]": 40,
            "S.RTGS[A]": 50,
            "S.RTGS[B]": -40,
        }
        folder = tmp_path / "h" / "out" / "cycles" / "20261125-1"
        recall = pq.read_table(folder / "recall" / "B.parquet").to_pylist()
        assert recall == [{"transfer_id": "20261125-000001-0000000001", "amount": 50}]
        positions = pq.read_table(folder / "positions.parquet").to_pylist()
        nets = [(p["participant"], p["net"]) for p in positions]
        assert nets == [("A", 0), ("B", -40), ("C", 40)]
        assert told(engine, "X", 1) == ["ACSP", "PDNG"]
        assert switch_verify(engine)
        second = run(engine, lines("C > A 1", 9), "Y", **NEXT_DAY)
        assert second.summary["represented"]["cleared"] == {"count": 1, "sum": 50}
        assert second.summary["represented"]["held"] == {"count": 1, "sum": 30}
        assert switch_verify(engine)
        assert [a["state"] for a in engine.settle()] == ["SETTLED"]
        states = status.line(engine.home, "X", 1)["states"]
        assert [s["status"] for s in states] == ["ACSP", "PDNG", "ACSP", "ACSC"]
        assert (states[1]["reason"], states[1]["file"]) == ("AM23", "recasts/000001")
        assert states[0]["transfer_id"] == states[2]["transfer_id"], "who had it knows it again"
        assert told(engine, "X", 2) == ["ACSP", "PDNG"]
        assert held_of(engine) == [(1, 2)]
        (mine,) = status.person(engine.home, f"001{1:09d}")["lines"]
        assert [s["status"] for s in mine["states"]] == ["ACSP", "PDNG", "ACSP", "ACSC"]
    assert switch.verify(tmp_path / "h")


def test_recast__a_damaged_recall_is_not_handed_out(tmp_path: Path) -> None:
    with short(tmp_path / "h", "recast") as engine:
        engine.change_directory(balances=table_of({"B": 40}))
        engine.settle()
        path = engine.home.path / "recasts" / "000001" / "recall" / "B.parquet"
        path.write_bytes(path.read_bytes()[:-1])
        with pytest.raises(switch.VerificationFailed, match=r"recall/B\.parquet"):
            engine.settle(out=tmp_path / "again")


def test_recast__who_falls_short_by_it_is_taken_out_as_well(tmp_path: Path) -> None:
    """B pays 40 of the 50 that A owes it. C is to get from both, and pays D nothing more."""
    with short(tmp_path / "h", "recast") as engine:
        [answer] = engine.settle()
        assert answer["short"] == {"A": 30, "B": 40}
        assert answer["vanished"] == {"B": 50, "C": 70}
        assert answer["turned_payer"] == []
        assert answer["participants"] == []
        assert held_of(engine) == [(1, 1), (1, 2), (1, 3)]
    assert switch.verify(tmp_path / "h")


def test_recast__what_others_pay_to_a_defaulter_stays(tmp_path: Path) -> None:
    with make(tmp_path / "h", RECAST, {"A": 100}) as engine:
        run(engine, lines("A > B 80\nC > A 20\nC > B 5"))
        engine.change_directory(balances=table_of({"A": 10}))
        [answer] = engine.settle()
        assert answer["short"] == {"A": 50}
        assert {name: sum_ for name, sum_ in balances_of(engine).items() if "BANK" in name} == {
            "S.BANK[A]": 30,
            "S.BANK[B]": 5,
            "S.BANK[C]": -25,
        }
        assert held_of(engine) == [(1, 1)]
    assert switch.verify(tmp_path / "h")


def test_recast__what_a_treasury_set_aside_goes_back(tmp_path: Path) -> None:
    with make(tmp_path / "h", RECAST, {"KBNN": 100}) as engine:
        run(engine, lines("KBNN > A 60"), "X")
        run(engine, lines("KBNN > A 30\nB > C 1", 2), "Y")
        engine.change_directory(balances=table_of({"KBNN": 0}))
        assert balances_of(engine)["S.RESERVE[000001]"] == 60
        [answer] = engine.settle()
        assert answer["short"] == {}, "what is set aside is enough"


def test_recast__a_treasury_that_counted_on_receipts_gets_back_what_it_set_aside(
    tmp_path: Path,
) -> None:
    with make(tmp_path / "h", RECAST, {"KBNN": 30, "A": 50}) as engine:
        run(engine, lines("A > KBNN 50\nKBNN > B 80\nB > C 1"), "X")
        assert balances_of(engine) == {"S.RESERVE[000001]": 30, "S.BANK[A]": 50}
        engine.change_directory(balances=table_of({"A": 49}))
        [answer] = engine.settle()
        assert answer["short"] == {"A": 1, "KBNN": 50}
        assert answer["vanished"] == {"B": 80, "KBNN": 50}
        assert balances_of(engine) == {
            "S.BANK[A]": 49,
            "S.BANK[B]": -1,
            "S.BANK[C]": 1,
            "S.RTGS[A]": 1,
            "S.TREASURY[KBNN]": 30,
        }
    assert switch.verify(tmp_path / "h")


def test_recast__lines_within_one_settlement_account_stay(tmp_path: Path) -> None:
    """W settles through A: what A's customers pay to A and W moves nothing between banks. What W
    pays to B is A's debt, and goes."""
    codes = [participant("A"), participant("B"), participant("W", "wallet", settled_by="A")]
    with switch.init(
        tmp_path / "h",
        participants=pa.Table.from_pylist(codes),
        debtors=pa.Table.from_pylist(
            [{"debtor_account": c, "debtor_agent": c} for c in ("A", "B", "W")]
        ),
        balances=table_of({"A": 100}),
        settings=RECAST,
    ) as engine:
        engine.register(population=people_table(person(n) for n in range(1, 60)))
        run(engine, lines("A > A 10\nA > W 20\nW > B 30\nA > B 40\nB > W 5"), "PAY")
        engine.change_directory(balances=table_of({"A": 64}))
        [answer] = engine.settle()
        assert answer["short"] == {"A": 1}
        assert answer["recalled"] == {"B": {"count": 2, "sum": 70}}
        assert held_of(engine) == [(1, 3), (1, 4)]
        assert [told(engine, "PAY", n)[-1] for n in range(1, 6)] == [
            "ACSC", "ACSC", "PDNG", "PDNG", "ACSC",
        ]  # fmt: skip
    assert switch.verify(tmp_path / "h")


def test_recast__all_that_waits_stands_in_one_queue_oldest_first(tmp_path: Path) -> None:
    with make(tmp_path / "h", RECAST, {"A": 100}) as engine:
        no_account = line(4, line_no=4, amount=7, debtor_account="C")
        run(engine, [*lines("A > B 60\nA > C 41\nC > B 1"), no_account], "X")
        assert held_of(engine) == [(1, 2), (1, 4)]
        run(engine, lines("A > C 30\nA > C 11", 5), "Y", at="2026-11-25T12:00:00")
        assert held_of(engine) == [(1, 2), (1, 4), (2, 1), (2, 2)]
        engine.change_directory(balances=table_of({"A": 10}))
        assert [a["short"] for a in engine.settle()] == [{"A": 50}, {}]
        assert held_of(engine) == [(1, 1), (1, 2), (1, 4), (2, 1), (2, 2)]
        engine.change_directory(balances=table_of({"A": 101}))
        third = run(engine, lines("C > B 1", 9), "Z", **NEXT_DAY)
        assert third.summary["represented"]["cleared"] == {"count": 2, "sum": 101}
        assert held_of(engine) == [(1, 4), (2, 1), (2, 2)]
    assert switch.verify(tmp_path / "h")


def test_recast__two_cycles_before_the_next_run_make_one_queue(tmp_path: Path) -> None:
    with make(tmp_path / "h", RECAST, {"A": 100, "B": 100}) as engine:
        run(engine, lines("B > C 60"), "X")
        run(engine, lines("A > C 70", 2), "Y", at="2026-11-25T12:00:00")
        engine.change_directory(balances=table_of({"A": 1, "B": 1}))
        assert [a["short"] for a in engine.settle()] == [{"B": 59}, {"A": 69}]
        assert held_of(engine) == [(1, 1), (2, 1)]
        assert switch_verify(engine)
        again = [line(1, amount=60, debtor_account="C", creditor_agent="A", creditor_account="1")]
        batch = run(engine, again, "Z", **NEXT_DAY)
        assert answers(batch) == [("ACSP", None)], "the entitlement is free again"
        assert batch.summary["represented"]["refused"] == {"count": 1, "sum": 60}
        engine.change_directory(balances=table_of({"A": 70, "B": 60}))
        after = run(engine, lines("C > B 1", 9), "AFTER", **NEXT_DAY)
        assert after.summary["represented"]["cleared"] == {"count": 1, "sum": 70}
        assert told(engine, "X", 1) == ["ACSP", "PDNG", "RJCT"]
        [answer] = engine.settle()
        assert answer["state"] == "SETTLED"
    assert switch.verify(tmp_path / "h")


def test_recast__a_line_may_go_back_twice(tmp_path: Path) -> None:
    with make(tmp_path / "h", RECAST, {"A": 60}) as engine:
        run(engine, lines("A > B 60"), "X")
        for day, batch in (("2026-11-26", "Y"), ("2026-11-27", "Z")):
            engine.change_directory(balances=table_of({"A": 59}))
            assert engine.settle()[0]["short"] == {"A": 1}
            engine.change_directory(balances=table_of({"A": 60}))
            run(engine, lines("C > B 1", int(day[-2:])), batch, at=day)
        [answer] = engine.settle()
        assert answer["short"] == {}
        cycle = ["ACSP", "PDNG"]
        assert told(engine, "X", 1) == [*cycle, *cycle, "ACSP", "ACSC"]
    assert switch.verify(tmp_path / "h")


def test_recast__goes_by_the_rule_of_the_day_on_which_it_settles(tmp_path: Path) -> None:
    with short(tmp_path / "h", "wait") as engine:
        engine.change_directory(settings=RECAST)
        [answer] = engine.settle()
        assert (answer["state"], answer["rule"]) == ("SETTLED", "recast")
        assert held_of(engine) == [(1, 1), (1, 2), (1, 3)]
    assert switch.verify(tmp_path / "h")


def test_recast__changes_no_byte_of_what_was_answered(tmp_path: Path) -> None:
    with short(tmp_path / "h", "recast") as engine:
        folder = engine.home.folder("batches", 1)
        before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
        engine.settle()
        after = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
        assert before == after
        with pytest.raises(switch.InputRefused, match="REFERENCE_REUSED"):
            run(engine, lines("A > B 51"), "X")


def test_recast__the_same_bytes_for_any_threads_and_chunks(tmp_path: Path) -> None:
    links = []
    for name, threads, chunk_rows in (("a", 1, 1), ("b", 2, 1000)):
        with make(tmp_path / name, RECAST, {"A": 100, "B": 0}) as engine:
            text = "A > B 50\nA > C 30\nB > C 40\nA > C 21\nC > A 1"
            run(engine, lines(text), "X", threads=threads, chunk_rows=chunk_rows)
            engine.change_directory(balances=table_of({"A": 50}))
            engine.settle()
            run(engine, lines("C > A 30", 9), "Y", threads=threads, chunk_rows=chunk_rows)
            links.append(engine.home.catalog.heads().link)
    assert links[0] == links[1]


def test_recast__is_settled_whole_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with short(tmp_path / "h", "recast") as engine:
        before = balances_of(engine)
        with monkeypatch.context() as patch:
            patch.setattr(settling, "keep_balances", lambda _: [AddMeta("opening", "")])
            with pytest.raises(sqlite3.IntegrityError):
                engine.settle()
    with Engine(tmp_path / "h") as engine:
        assert balances_of(engine) == before
        assert engine.home.quarantined == ["recasts-000001"]
        assert held_of(engine) == []
        assert switch_verify(engine)
        [answer] = engine.settle()
        assert answer["state"] == "SETTLED"
    assert switch.verify(tmp_path / "h")


def test_recast__a_lost_folder_stops_everything(tmp_path: Path) -> None:
    with short(tmp_path / "h", "recast") as engine:
        engine.settle()
    folder = tmp_path / "h" / "recasts"
    folder.rename(tmp_path / "aside")
    with pytest.raises(switch.VerificationFailed, match="000001 is gone"):
        switch.open(tmp_path / "h")
    with pytest.raises(switch.VerificationFailed):
        switch.verify(tmp_path / "h")


def _entitlements_stay_taken(patch: pytest.MonkeyPatch) -> None:
    free = reversal.free

    def taken(home: Any, draft: Path, went: Any) -> Any:
        names = free(home, draft, went)
        for name in names.values():
            words = reversal.paid_bits.read(draft / name)
            (draft / name).unlink()
            reversal.paid_bits.write(draft / name, np.full_like(words, 14))
        return names

    patch.setattr(reversal, "free", taken)


def _postings_stay(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(reversal, "reversals", lambda *_: [])


def _the_queue_is_left_out(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(recasting, "queue_of", lambda _: None)


def _somebody_is_not_told(patch: pytest.MonkeyPatch) -> None:
    unique = recasting.pc.unique
    patch.setattr(recasting.pc, "unique", lambda column: unique(column)[:1])


def _nobody_turned(patch: pytest.MonkeyPatch) -> None:
    unwind = recasting.unwind_cycle
    patch.setattr(recasting, "unwind_cycle", lambda *a: unwind(*a)._replace(turned=[]))


def _another_line_goes(patch: pytest.MonkeyPatch) -> None:
    """B's line for C goes in place of A's for C, of the same amount."""
    lines_of = recasting.lines_of

    def other(*values: Any) -> Any:
        went, held = lines_of(*values)
        numbers = pa.array([3 if n == 2 else n for n in went["line_no"].to_pylist()], pa.uint32())
        return went.set_column(1, "line_no", numbers), held.set_column(1, "line_no", numbers)

    patch.setattr(recasting, "lines_of", other)


@pytest.mark.parametrize(
    ("plant", "check"),
    [
        (_entitlements_stay_taken, "I6 paid bits"),
        (_postings_stay, "recast postings"),
        (_the_queue_is_left_out, "held lines"),
        (_somebody_is_not_told, "recall lists"),
        (_nobody_turned, "recast answer"),
        (_another_line_goes, "recast lines"),
    ],
    ids=lambda value: getattr(value, "__name__", "").strip("_"),
)
def test_verify__finds_a_recast_gone_wrong(
    plant: Callable[[pytest.MonkeyPatch], None],
    check: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with make(tmp_path / "h", RECAST, {"A": 100, "B": 40}) as engine:
        run(engine, lines("A > B 50\nA > C 30\nB > C 30\nA > C 21"), "X")
        engine.change_directory(balances=table_of({"A": 50}))
        with monkeypatch.context() as patch:
            plant(patch)
            assert engine.settle()[0]["short"] == {"A": 30}
    with pytest.raises(switch.VerificationFailed, match=check):
        switch.verify(tmp_path / "h")


def test_recast__copies_are_written_again_and_proven(tmp_path: Path) -> None:
    home = tmp_path / "h"
    with short(home, "recast") as engine:
        engine.settle()
        copy = home / "out" / "cycles" / "20261125-1" / "recall" / "B.parquet"
        content = copy.read_bytes()
        copy.write_bytes(b"x")
        with pytest.raises(switch.VerificationFailed, match=r"recall/B\.parquet is no copy"):
            switch_verify(engine)
        engine.home = Engine(home).home
        engine.settle("20261125-1")
        assert copy.read_bytes() == content
    assert switch.verify(home)


def test_verify__takes_a_copy_of_before_a_crash_for_what_it_is(tmp_path: Path) -> None:
    home = tmp_path / "h"
    with short(home, "recast") as engine:
        engine.settle(close_only=True)
        folder = home / "out" / "cycles" / "20261125-1"
        request, copy = folder / "settlement.json", folder / "answer.json"
        asked, before = request.read_bytes(), copy.read_bytes()
        engine.settle()
        assert request.read_bytes() != asked, "less is asked for after it"
        request.write_bytes(asked)
        copy.write_bytes(before)
        assert switch_verify(engine)
    for wrong in (b"[]", b"{}", b"x", before.replace(b"CLOSED", b"OPEN")):
        copy.write_bytes(wrong)
        with pytest.raises(switch.VerificationFailed, match="no copy of what was committed"):
            switch.verify(home)


def test_replay__derives_batches_after_recasts_and_aborts(tmp_path: Path) -> None:
    """Of lines that went back some clear again, go back once more, or wait."""
    home = tmp_path / "h"
    tables = {
        name: lines(text, first)
        for name, text, first in (
            ("X", "A > B 50\nA > C 30\nB > C 40", 1),
            ("Y", "C > B 1\nB > B 3", 9),
            ("Z", "C > A 2", 20),
            ("Q", "C > A 90", 30),
        )
    }
    with short(home, "recast") as engine:
        engine.settle()
        engine.change_directory(balances=table_of({"A": 50, "B": 50}))
        run(engine, tables["Y"], "Y", **NEXT_DAY)
        engine.settle("20261126-1", abort="why not")
        run(engine, tables["Z"], "Z", at="2026-11-27")
        engine.settle()
        run(engine, tables["Q"], "Q", at="2026-11-28")
        assert told(engine, "X", 1) == ["ACSP", "PDNG", "ACSP", "PDNG", "ACSP", "ACSC"]
    for name, rows in tables.items():
        assert "represented" in replay(home, name, payment_table(rows)) or name == "X"


def test_rehearse__counts_what_a_recast_sent_back(tmp_path: Path) -> None:
    home = tmp_path / "h"
    with short(home, "recast") as engine:
        engine.settle()
    table = write_table(payment_table(lines("C > B 1", 9)), tmp_path / "t.parquet", batch_id="T")
    said = rehearse(home, [table], at="2026-11-26")
    assert said["tables"][0]["represented"]["cleared"] == {"count": 2, "sum": 90}
    assert said["waiting"]["payers"] == [{"participant": "A", "count": 1, "sum": 30}]
    assert said["injection"]["given"] == {"A": 30}


def test_settle__the_command_says_who_was_taken_out(tmp_path: Path) -> None:
    with short(tmp_path / "h", "recast") as engine:
        engine.change_directory(balances=table_of({"B": 40}))
    out = command("settle", tmp_path / "h").out
    assert "A lacks 30 dong" in out
    assert "B is not to credit 1 line of 50 dong: see recall/B.parquet" in out
    assert "B would now have to pay, and had nothing to pay before" in " ".join(out.split())


def test_unwind__receipts_of_a_defaulter_may_stay() -> None:
    pairs = [[0, 50, 30], [10, 0, 40], [0, 0, 0]]
    assert recast(pairs, [0]).after.tolist() == [0, -40, 40]
    kept = recast(pairs, [0], keep_receipts=True)
    assert (kept.after.tolist(), kept.turned) == ([10, -50, 40], [1])


def test_recast__a_line_is_judged_again_when_it_comes_back(tmp_path: Path) -> None:
    """Its account came from the register, which has another one by then."""
    with make(tmp_path / "h", RECAST, {"A": 60}) as engine:
        engine.register(accounts=accounts_table([account(1, participant="B")]))
        run(engine, [line(1, amount=60, debtor_account="A")], "X")
        engine.change_directory(balances=table_of({"A": 59}))
        engine.settle()
        engine.change_directory(balances=table_of({"A": 60}))
        engine.register(accounts=accounts_table([account(1, participant="C")]), replace=True)
        run(engine, lines("C > B 1", 9), "Y", **NEXT_DAY)
        states = status.line(engine.home, "X", 1)["states"]
        assert [s["participant"] for s in states] == ["B", "B", "C"]
    assert switch.verify(tmp_path / "h")
