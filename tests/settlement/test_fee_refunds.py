"""Refunds of fees: an agency gives back what was paid to it, through the next cycle, once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from cycles import CYCLE, PARTICIPANTS, RECAST, WHY, balances_of, lines, table_of
from paying import AT, NO_CALENDAR, fees_of, home_with_bills, payments_table, state_of
from scene import Said, command, run, tree_digest

import switch
from switch.engine import Engine
from switch.errors import VerificationFailed
from switch.home.store import Home

SAID = {"by": "an officer", "why": "it was paid in error"}
WORDS = ("--by", SAID["by"], "--why", SAID["why"])


def paid(path: Path, **options: Any) -> Engine:
    """A home in which two bills of the tax department have settled, and one of the police."""
    engine = home_with_bills(path, **options)
    text = "A > TAX/1 100\nB > TAX/2 200\nA > POLICE/2 70"
    engine.fees.take(payments_table(text), at=AT)
    if engine.home.catalog.cycles():
        engine.settle(CYCLE)
    return engine


def refund_of(engine: Engine, payment_id: str) -> tuple[int, str]:
    one = engine.fees.payment(payment_id)
    return one["refunded"], one["refund_state"]


def test_refund__money_goes_back_through_the_next_cycle(tmp_path: Path) -> None:
    with paid(tmp_path / "h") as engine:
        done = engine.fees.refund("P1", **SAID)
        assert (done["cycle"], done["amount"], done["new"]) == ("20261125-2", 100, True)
        assert refund_of(engine, "P1") == (100, "CLEARED")
        assert state_of(engine, "P1") == ("SETTLED", CYCLE)
        run(engine, lines("KBNN > A 600"), "X")
        engine.fees.take(payments_table("B > TAX/3 40", 9), at=AT)
        [answer] = engine.settle()
        sides = {s["participant"]: (s["side"], s["amount"]) for s in answer["participants"]}
        assert sides == {"A": ("credit", 700), "B": ("debit", 40), "KBNN": ("debit", 660)}
        assert refund_of(engine, "P1") == (100, "SETTLED")
        assert fees_of(engine) == {
            "T.FEES[TAX]": 240, "T.FEES[POLICE]": 70,
            "B.CUSTOMER[A]": -70, "B.CUSTOMER[B]": -240,
        }  # fmt: skip
        tax = engine.fees.standing()["agencies"][1]
        assert (tax["paid"]["sum"], tax["refunded"]["sum"]) == (340, 100)
    assert switch.verify(tmp_path / "h")


def test_refund__without_a_calendar_settles_at_once(tmp_path: Path) -> None:
    with paid(tmp_path / "h", settings=NO_CALENDAR) as engine:
        done = engine.fees.refund("P2", amount=50, **SAID)
        assert done["cycle"] == "20261125-F000003"
        assert refund_of(engine, "P2") == (50, "SETTLED")
        assert balances_of(engine)["S.BANK[B]"] == -150
        request = tmp_path / "h" / "out" / "cycles" / done["cycle"] / "settlement.json"
        assert request.exists()
    assert switch.verify(tmp_path / "h")


def test_refund__within_one_bank_moves_no_position(tmp_path: Path) -> None:
    with home_with_bills(tmp_path / "h") as engine:
        engine.fees.take(payments_table("C > POLICE/2 70"), at=AT)
        engine.settle()
        engine.fees.refund("P1", **SAID)
        [answer] = engine.settle()
        assert answer["participants"] == []
        assert fees_of(engine) == {}
    assert switch.verify(tmp_path / "h")


def test_refund__the_bill_stays_paid(tmp_path: Path) -> None:
    with paid(tmp_path / "h") as engine:
        engine.fees.refund("P1", **SAID)
        again = engine.fees.take(payments_table("A > TAX/1 100", 9), at=AT)
        assert again["reasons"][0]["sentence"] == "the bill is paid already"


def test_refund__leaves_an_aborted_cycle_and_goes_with_the_next(tmp_path: Path) -> None:
    with paid(tmp_path / "h") as engine:
        engine.fees.refund("P1", **SAID)
        engine.fees.take(payments_table("B > TAX/3 40", 9), at=AT)
        [answer] = engine.settle("20261125-2", abort=WHY)
        assert answer["fees"] == {"count": 2, "sum": 140}
        assert refund_of(engine, "P1") == (100, "WAITING")
        assert fees_of(engine)["T.FEES[TAX]"] == 300
        assert engine.fees.take_waiting()["again"] == {"count": 2, "sum": 140}
        engine.settle()
        assert refund_of(engine, "P1") == (100, "SETTLED")
        assert fees_of(engine)["T.FEES[TAX]"] == 240
    assert switch.verify(tmp_path / "h")


def test_refund__of_an_agency_that_cannot_pay_is_taken_out(tmp_path: Path) -> None:
    with paid(tmp_path / "h", settings=RECAST, balances={"C": 0}) as engine:
        engine.fees.refund("P3", **SAID)
        engine.change_directory(balances=table_of({"C": 10}))
        [answer] = engine.settle()
        assert (answer["rule"], answer["vanished"]) == ("recast", {"A": 70})
        assert refund_of(engine, "P3") == (70, "WAITING")
    assert switch.verify(tmp_path / "h")


def give_back(home: Path, *args: object) -> Said:
    return command("refund", home, *args, *WORDS)


def test_refund__is_made_once_and_the_same_again_is_told(tmp_path: Path) -> None:
    home = tmp_path / "h"
    paid(home).close()
    assert "100 dong go back to A, cycle 20261125-2" in give_back(home, "P1").out
    before = tree_digest(home)
    assert "it was refunded before: 100 dong go back to A" in give_back(home, "P1").out
    assert command("refund", home, "P1", *WORDS, "--json").document["new"] is False
    other = give_back(home, "P1", "--amount", 5)
    assert (other.code, "was refunded before, which is done once" in other.err) == (2, True)
    assert tree_digest(home) == before


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (("P9",), "no payment 'P9' was taken"),
        (("P2", "--amount", 0), "above zero, and at most what was paid: 200"),
        (("P2", "--amount", 201), "above zero, and at most what was paid: 200"),
        (("P3",), "has no room for the refund"),
        (("P4",), "has not settled: it is CLEARED"),
    ],
)
def test_refund__what_may_not_go_back_is_refused(
    args: tuple[object, ...], words: str, tmp_path: Path
) -> None:
    home = tmp_path / "h"
    with paid(home) as engine:
        engine.change_directory(balances=table_of({"C": 5}))
        engine.fees.take(payments_table("B > TAX/3 40", 4), at=AT)
    before = tree_digest(home)
    said = give_back(home, *args)
    assert (said.code, words in said.err) == (2, True), said.err
    assert tree_digest(home) == before


def test_refund__needs_words_and_banks_that_are_there(tmp_path: Path) -> None:
    home = tmp_path / "h"
    people = [
        {**row, "status": "suspended" if row["participant"] == "A" else "active"}
        for row in PARTICIPANTS
    ]
    with paid(home) as engine:
        engine.change_directory(participants=pa.Table.from_pylist(people))
    assert "one of the two banks is suspended" in give_back(home, "P1").err
    assert command("refund", home, "P2", "--by", "an officer", "--why", " ").code == 2
    assert command("refund", home, "P2", "--by", "an officer").code == 2


FORGED: dict[str, tuple[Callable[[dict[str, Any]], Any], str]] = {
    "more": (lambda d: d.update(amount="101"), "how much went back"),
    "less": (lambda d: d.update(amount="99"), "another row entered the cycle"),
    "nobody": (lambda d: d.update(by=""), "by whom and why"),
    "another": (lambda d: d.update(payment_id="P2", bank="B"), "another row entered the cycle"),
    "none": (lambda d: d.update(payment_id="P9"), "nobody took the payment"),
    "room": (lambda d: d.update(rooms={"KBNN": 99}), "had no room for it"),
}


@pytest.mark.parametrize("what", FORGED)
def test_verify__finds_a_refund_that_says_something_else(
    what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    change, words = FORGED[what]
    commit = Home.commit

    def said(self: Home, *, detail: Any, **rest: Any) -> None:
        if rest["kind"] == "refund":
            change(detail)
        commit(self, detail=detail, **rest)

    with paid(tmp_path / "h") as engine:
        monkeypatch.setattr(Home, "commit", said)
        try:
            engine.fees.refund("P1", **SAID)
        except switch.UsageError:
            assert what == "none"
    monkeypatch.undo()
    with pytest.raises(VerificationFailed, match=words):
        switch.verify(tmp_path / "h")


@pytest.mark.parametrize("twice", [False, True])
def test_verify__finds_a_refund_that_was_made_too_early_or_twice(
    twice: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from switch.settlement import fee_refunds

    with home_with_bills(tmp_path / "h") as engine:
        engine.fees.take(payments_table("A > TAX/1 100"), at=AT)
        if twice:
            engine.settle()
            engine.fees.refund("P1", **SAID)
            found = fee_refunds.payment
            monkeypatch.setattr(fee_refunds, "payment", lambda *n: found(*n)._replace(refund=None))
        else:
            monkeypatch.setattr(fee_refunds, "SETTLED", "CLEARED")
        engine.fees.refund("P1", **SAID)
    monkeypatch.undo()
    words = "refunded before" if twice else "the payment had not settled"
    with pytest.raises(VerificationFailed, match=words):
        switch.verify(tmp_path / "h")
