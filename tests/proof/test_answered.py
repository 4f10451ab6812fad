"""The proof of answers finds what is wrong, whatever the engine says of it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from answering import CALENDAR, LATER, back, home_of, said, switch_verify, transfer, write
from scene import BANK, BANK_ACCOUNT, SMALL_BANK, command, line, payment_table, run

import switch
from switch import status
from switch.errors import VerificationFailed
from switch.proof.replay import replay
from switch.reconcile import day_end, dispositions, line_states, take_in
from switch.reconcile.line_states import State, Verdicts
from switch.registry.settings import Settings
from switch.settlement import returns, reversal
from switch.settlement.postings import Posting


def everything(tmp_path: Path) -> Path:
    """A refusal in time, then a return, its write-back, a re-issue and a day."""
    home = home_of(tmp_path / "h", settings=CALENDAR)
    with switch.open(home) as engine:
        rows = [said(n) for n in range(4, 12)]
        engine.reconcile(write(tmp_path / "a", [said(1, "RJCT"), *rows]), at="2026-11-25")
        engine.settle()
        engine.reconcile(write(tmp_path / "b", [back(2), back(3)]), at="2026-11-27")
        engine.settle()
        engine.write_back([("A", 2)], at="2026-11-27")
        engine.reissue([("A", 3)], at="2026-11-27")
        engine.close_day("2026-11-28")
        run(engine, [line(3)], "B")
    return home


def moved_too_much(patch: pytest.MonkeyPatch, name: str) -> None:
    """One line more than answers say goes back."""
    kind = f"newly_{name}"

    class Wrong(Verdicts):
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments)
            if len(getattr(self, kind)):
                setattr(self, kind, np.append(getattr(self, kind), 11))
                self.refused[11] |= name == "refused"

        def taken(self, table: Any, of: str) -> Any:
            is_wrong = pc.equal(table["line_no"], 12)
            told = super().taken(table.filter(pc.invert(is_wrong)), of)
            rows = told.to_pylist() + [
                told.to_pylist()[0] | row for row in table.filter(is_wrong).to_pylist()
            ]
            return pa.Table.from_pylist(rows, told.schema)

    patch.setattr(take_in, "Verdicts", Wrong)


def refuses_too_much(patch: pytest.MonkeyPatch) -> None:
    moved_too_much(patch, "refused")


def returns_too_much(patch: pytest.MonkeyPatch) -> None:
    moved_too_much(patch, "returned")


def credits_too_much(patch: pytest.MonkeyPatch) -> None:
    whole = line_states.Verdicts.states

    def states(self: Verdicts) -> Any:
        found = whole(self)
        found[11] = State.CREDITED
        return found

    patch.setattr(line_states.Verdicts, "states", states)


def entitlements_stay(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(reversal, "free", lambda *_: {})


def less_is_posted(patch: pytest.MonkeyPatch) -> None:
    def disposed(lines: Any, step: str) -> list[Posting]:
        return [Posting(step, "T.RETURNS", "T.EXPENSE[PENS]", 1)]

    patch.setattr(returns, "disposed", disposed)
    patch.setattr(day_end, "_totals", lambda *_: {})


def paid_by_another(patch: pytest.MonkeyPatch) -> None:
    right = returns.returned

    def returned(directory: Any, cycle: str, lines: Any) -> Any:
        moved = right(directory, cycle, lines)
        first = moved.postings[0]
        moved.postings[0] = first._replace(debit=first.credit, credit=first.debit)
        return moved

    patch.setattr(returns, "returned", returned)


def a_break_is_lost(patch: pytest.MonkeyPatch) -> None:
    right = take_in.rec.fold
    patch.setattr(take_in.rec, "fold", lambda *found: right(*found).slice(1))


def closes_too_much(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(day_end, "_closed", lambda *_: [1])


def disposes_twice(patch: pytest.MonkeyPatch) -> None:
    right = dispositions.returned

    def returned(home: Any, known: Any) -> Any:
        there, coming = right(home, [f for f in known if f.kind != "disposition"])
        return there.filter(pc.equal(there["line_no"], 2)), coming

    patch.setattr(dispositions, "returned", returned)
    patch.setattr(switch.Engine, "reissue", lambda self, _, at: self.write_back(at=at))
    patch.setattr(day_end, "_totals", lambda *_: {})


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (refuses_too_much, "refused lines.*no answer says so"),
        (returns_too_much, "returned lines.*no answer says so"),
        (credits_too_much, "I5 states of lines"),
        (entitlements_stay, "I6 paid bits"),
        (less_is_posted, "answers posted"),
        (paid_by_another, "answers posted"),
        (a_break_is_lost, "breaks follow from events"),
        (closes_too_much, "closed batches.*a line is open"),
        (disposes_twice, "disposed of twice"),
    ],
)
def test_verify__finds_answers_gone_wrong(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    wrong: Callable[[pytest.MonkeyPatch], None],
    says: str,
) -> None:
    with monkeypatch.context() as patch:
        wrong(patch)
        home = everything(tmp_path)
    with pytest.raises(VerificationFailed, match=says):
        switch.verify(home)


def test_verify__of_the_same_without_a_fault(tmp_path: Path) -> None:
    home = everything(tmp_path)
    names = {check.name for check in switch.verify(home)}
    assert names >= {"I5 returned", "I5 states of lines", "statements", "closed batches"}


@pytest.mark.parametrize("name", ["confirmations", "returned", "disposed", "open", "breaks"])
def test_verify__finds_a_changed_file(tmp_path: Path, name: str) -> None:
    home = everything(tmp_path)
    path = sorted((home / "answers").glob(f"*/{name}.parquet"))[0]
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))
    with pytest.raises(VerificationFailed, match=f"{name}.parquet was changed"):
        switch.verify(home)


def test_home__stops_where_a_folder_of_answers_is_gone(tmp_path: Path) -> None:
    home = everything(tmp_path)
    shutil.rmtree(home / "answers" / "000002")
    assert command("settle", home).code == 5


def test_answers__of_a_damaged_file_are_not_used(tmp_path: Path) -> None:
    home = everything(tmp_path)
    path = home / "answers" / "000001" / "confirmations.parquet"
    path.write_bytes(path.read_bytes()[:-1])
    with switch.open(home) as engine, pytest.raises(VerificationFailed, match="restore it"):
        engine.reconcile(at=LATER)


def test_replay__derives_what_was_run_before_answers_moved_money(tmp_path: Path) -> None:
    home = home_of(tmp_path / "h", 2)
    with switch.open(home) as engine:
        engine.reconcile(write(tmp_path / "a", [said(1)]), at=LATER)
        second = payment_table([line(20)])
        run(engine, second, "B")
        engine.reconcile(write(tmp_path / "b", [back(1)]), at=LATER)
        third = payment_table([line(21)])
        run(engine, third, "C")
    assert replay(home, "B", second)
    with pytest.raises(switch.UsageError, match="moved money"):
        replay(home, "C", third)


def test_settle__a_cycle_that_answers_changed_is_not_recast(tmp_path: Path) -> None:
    rule = Settings(cutoffs=("11:00",), insufficient_funds="recast")
    home = home_of(tmp_path / "h", settings=rule)
    with switch.open(home) as engine:
        engine.settle()
        to_small = {"creditor_agent": SMALL_BANK, "debtor_account": BANK_ACCOUNT}
        owed = [line(n, period=202612, **to_small, creditor_account=str(n)) for n in (1, 2)]
        run(engine, owed, "B")
        no = said(1, "RJCT", transfer_id=transfer(1, 2), creditor_account=None)
        engine.reconcile(write(tmp_path / "a", [no]), at="2026-11-25")
        for funds, state in ((1, "CLOSED"), (1_000_002, "SETTLED")):
            given = pa.table({"participant": [BANK], "balance": [funds]})
            engine.change_directory(balances=given)
            [answer] = engine.settle()
            assert (answer["state"], answer["rule"]) == (state, "wait" if funds == 1 else "")
    assert switch.verify(home)


def test_answers__a_line_that_went_back_to_wait_is_answered_when_it_is_sent_again(
    tmp_path: Path,
) -> None:
    """Its first receiver may not credit it: it knows the transfer, and says so all the same."""
    rule = Settings(cutoffs=("11:00",), insufficient_funds="recast")
    home = home_of(tmp_path / "h", 2, settings=rule)
    with switch.open(home) as engine:
        engine.settle()
        to_small = {"creditor_agent": SMALL_BANK, "debtor_account": BANK_ACCOUNT}
        run(engine, [line(1, period=202612, **to_small, creditor_account="1")], "B")
        engine.change_directory(balances=pa.table({"participant": [BANK], "balance": [1]}))
        engine.close_day("2026-11-25")
        [answer] = engine.settle()
        assert answer["rule"] == "recast"
        assert switch_verify(engine)
        credit = said(1, transfer_id=transfer(1, 2), creditor_account="1")
        file = write(tmp_path / "a", [credit])
        told = engine.reconcile(file, at="2026-11-27")
        assert told["states"]["CREDITED"] == 0
        assert told["breaks"] == {"MISSING": 3}, "two lines, and an answer to one not sent"
        rich = pa.table({"participant": [BANK], "balance": [9_000_000]})
        engine.change_directory(balances=rich)
        run(engine, [line(9, period=202612)], "C", at="2026-11-27")
        engine.settle()
        told = engine.reconcile(file, at="2026-11-27")
        assert told["states"]["CREDITED"] == 1
        assert told["events"] == {"closed": 1, "opened": 1}
        assert told["breaks"] == {"MISSING": 2, "TIMING": 1}, "it was told before the new cycle"
        states = status.line(engine.home, "B", 1)["states"]
        assert [s["state"] for s in states] == ["CLEARED", "HELD", "CLEARED", "SETTLED", "CREDITED"]
    assert switch.verify(home)
