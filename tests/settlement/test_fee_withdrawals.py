"""Payments of fees that wait are withdrawn: their bank is gone, and their bills are open again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from cycles import CYCLE, PARTICIPANTS, WHY, balances_of
from paying import AT, fees_of, home_with_bills, payments_table, state_of
from scene import Said, command, tree_digest

import switch
from switch.engine import Engine
from switch.errors import VerificationFailed
from switch.home.store import Home
from switch.settlement import fee_withdrawals

SAID = {"by": "an officer", "why": "its bank left"}
WORDS = ("--by", SAID["by"], "--why", SAID["why"])


def left(engine: Engine, code: str) -> None:
    """A participant leaves the directory."""
    rows = [row for row in PARTICIPANTS if row["participant"] != code]
    names = [row["participant"] for row in rows]
    debtors = [{"debtor_account": n, "debtor_agent": n} for n in names]
    engine.change_directory(
        participants=pa.Table.from_pylist(rows), debtors=pa.Table.from_pylist(debtors)
    )


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home in which a payment of A and one of B wait, and A has left."""
    with home_with_bills(tmp_path / "h") as engine:
        engine.fees.take(payments_table("A > TAX/1 100\nB > TAX/2 200"), at=AT)
        engine.settle(CYCLE, abort=WHY)
        left(engine, "A")
    return tmp_path / "h"


def withdraw(home: Path, payment: str, *more: object) -> Said:
    return command("fees", home, "--withdraw", payment, *WORDS, *more, "--json")


def test_withdrawal__opens_the_bill_and_the_payment_enters_no_cycle(home: Path) -> None:
    again = command("fees", home, "--again", "--json").document
    assert (again["again"]["count"], again["waiting"]) == (1, {"count": 1, "sum": 100})
    said = withdraw(home, "P1").document
    assert (said["new"], said["refund"], said["amount"]) == (True, False, 100)
    assert (said["participant"], said["bill_ref"]) == ("A", "1")
    with switch.open(home) as engine:
        assert state_of(engine, "P1") == ("WITHDRAWN", CYCLE)
        tax = engine.fees.standing()["agencies"][1]
        assert (tax["paid"]["sum"], tax["withdrawn"]["sum"], tax["waiting"]["sum"]) == (200, 100, 0)
        taken = engine.fees.take(payments_table("C > TAX/1 100", 7), at=AT)
        assert taken["taken"] == {"count": 1, "sum": 100}
        engine.settle()
        assert fees_of(engine)["T.FEES[TAX]"] == 300
        assert "S.BANK[A]" not in balances_of(engine)
        assert engine.fees.take_waiting()["number"] == 0
    assert "bills withdrawn: 1, 100 dong" in command("fees", home).out
    assert switch.verify(home)


def test_withdrawal__the_same_payment_is_not_taken_again(home: Path) -> None:
    withdraw(home, "P1")
    with switch.open(home) as engine:
        engine.change_directory(participants=pa.Table.from_pylist(list(PARTICIPANTS)))
    pq.write_table(payments_table("A > TAX/1 100\nB > TAX/2 200"), home.parent / "paid.parquet")
    said = command("fees", home, home.parent / "paid.parquet", "--at", AT, "--json").document
    assert (said["known"]["count"], said["reasons"][0]["reason"]) == (1, "DU03")
    assert said["again"]["count"] == 1, "P2 had waited"
    assert switch.verify(home)


def test_withdrawal__is_made_once_and_the_same_again_is_told(home: Path) -> None:
    first = withdraw(home, "P1").document
    before = tree_digest(home)
    assert withdraw(home, "P1").document == {**first, "new": False}
    other = command("fees", home, "--withdraw", "P1", "--by", "B", "--why", "another", "--json")
    assert (other.code, "does not wait: it is WITHDRAWN" in other.document["error"]["what"]) == (
        2,
        True,
    )
    assert tree_digest(home) == before
    words = command("fees", home, "--withdraw", "P2", *WORDS).out
    assert "P2: withdrawn, its bill is open; 200 dong stay at B" in words
    vi = command("--lang", "vi", "fees", home, "--withdraw", "P2", *WORDS).out
    assert "đã rút" in vi
    assert "withdrawn" not in vi


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--withdraw", "P9", *WORDS), "no payment 'P9' was taken"),
        (("--withdraw", "P1", "--by", "B"), "say who withdraws it, and why"),
        (("--withdraw", "P1", "--by", "B", "--why", " "), "why is 1 to 140 printable characters"),
        (("--withdraw", "P1", "--again", *WORDS), "give one of TABLE"),
        (WORDS, "--by and --why go with --withdraw"),
    ],
)
def test_withdrawal__says_what_it_needs(words: tuple[str, ...], said: str, home: Path) -> None:
    before = tree_digest(home)
    told = command("fees", home, *words)
    assert (told.code, said in told.err) == (2, True), told
    assert tree_digest(home) == before


def test_withdrawal__of_what_clears_or_has_settled_is_refused(tmp_path: Path) -> None:
    with home_with_bills(tmp_path / "h") as engine:
        engine.fees.take(payments_table("A > TAX/1 100"), at=AT)
        for state in ("CLEARED", "SETTLED"):
            with pytest.raises(switch.UsageError, match=f"does not wait: it is {state}"):
                engine.fees.withdraw("P1", **SAID)
            engine.settle()


def test_withdrawal__of_a_refund_lets_the_payment_stand(tmp_path: Path) -> None:
    home = tmp_path / "h"
    with home_with_bills(home) as engine:
        engine.fees.take(payments_table("A > TAX/1 100"), at=AT)
        engine.settle()
        engine.fees.refund("P1", by="an officer", why="in error")
        engine.settle("20261125-2", abort=WHY)
    said = withdraw(home, "P1").document
    assert (said["refund"], said["amount"]) == (True, 100)
    assert withdraw(home, "P1").document["new"] is False
    with switch.open(home) as engine:
        one = engine.fees.payment("P1")
        assert (one["state"], one["refunded"], one["refund_state"]) == ("SETTLED", 0, "WITHDRAWN")
        assert engine.fees.take_waiting()["number"] == 0
        assert engine.fees.refund("P1", by="an officer", why="in error")["new"] is True
        engine.settle()
        assert engine.fees.payment("P1")["refund_state"] == "SETTLED"
        assert fees_of(engine) == {}
    assert "refunded: 100 dong, SETTLED" in command("fees", home, "--payment", "P1").out
    assert switch.verify(home)


def test_withdrawal__is_the_remedy_that_errors_name(home: Path) -> None:
    refused = command("refund", home, "P1", *WORDS)
    assert (refused.code, "switch fees HOME --withdraw P1" in refused.err) == (2, True)
    again = command("fees", home, "--again")
    assert "1 payment waits whose bank is suspended or gone" in again.err, again
    assert "--withdraw" in again.err


FORGED: dict[str, Callable[[dict[str, Any]], Any]] = {
    "nobody took the payment": lambda d: d.update(payment_id="P9"),
    "it did not wait": lambda d: d.update(row=2),
    "by whom and why": lambda d: d.update(by=""),
}


@pytest.mark.parametrize("words", FORGED)
def test_verify__finds_a_withdrawal_that_says_something_else(
    words: str, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = Home.commit

    def said(self: Home, *, detail: Any, **rest: Any) -> None:
        FORGED[words](detail)
        commit(self, detail=detail, **rest)

    with switch.open(home) as engine:
        monkeypatch.setattr(Home, "commit", said)
        engine.fees.withdraw("P1", **SAID)
    monkeypatch.undo()
    with pytest.raises(VerificationFailed, match=words):
        switch.verify(home)


def test_verify__finds_a_withdrawal_of_what_does_not_wait(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with home_with_bills(tmp_path / "h") as engine:
        engine.fees.take(payments_table("A > TAX/1 100"), at=AT)
        monkeypatch.setattr(fee_withdrawals, "WAITING", "CLEARED")
        engine.fees.withdraw("P1", **SAID)
    with pytest.raises(VerificationFailed, match="withdrawal: it did not wait"):
        switch.verify(tmp_path / "h")
