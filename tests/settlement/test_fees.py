"""Fees to the state: bills and payments, the cycles that they clear in, and where they net."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from cycles import (
    CYCLE,
    PARTICIPANTS,
    RECAST,
    WEDNESDAY,
    WHY,
    balances_of,
    lines,
    states,
    table_of,
)
from paying import (
    AT,
    NO_CALENDAR,
    answers_of,
    fees_of,
    home_with_bills,
    payments_table,
    state_of,
)
from scene import (
    account,
    accounts_table,
    change_catalog,
    command,
    new_checkpoint,
    payment_table,
    person_id,
    run,
)

import switch
from switch.errors import UsageError, VerificationFailed
from switch.registry import delta
from switch.registry.settings import Settings


def test_fees__a_bank_that_receives_payouts_pays_its_customers_fees_out_of_them(
    tmp_path: Path,
) -> None:
    with home_with_bills(tmp_path / "h", balances={"KBNN": 1000, "A": 0}) as engine:
        run(engine, lines("KBNN > A 600\nKBNN > B 50"), "X")
        taken = engine.fees.take(payments_table("A > TAX/1 100\nB > TAX/2 200"), at=AT)
        assert (taken["cycle"], taken["taken"]) == (CYCLE, {"count": 2, "sum": 300})
        assert state_of(engine, "P1") == ("CLEARED", CYCLE)
        [answer] = engine.settle()
        sides = {s["participant"]: (s["side"], s["amount"]) for s in answer["participants"]}
        assert sides == {"A": ("credit", 500), "B": ("debit", 150), "KBNN": ("debit", 350)}
        assert balances_of(engine) == {"S.BANK[A]": 500, "S.BANK[B]": -150, "S.TREASURY[KBNN]": 650}
        assert fees_of(engine) == {
            "T.FEES[TAX]": 300,
            "B.CUSTOMER[A]": -100,
            "B.CUSTOMER[B]": -200,
        }
        assert state_of(engine, "P1") == ("SETTLED", CYCLE)
    assert switch.verify(tmp_path / "h")


def test_fees__without_a_calendar_a_file_settles_in_a_cycle_of_its_own(tmp_path: Path) -> None:
    with home_with_bills(tmp_path / "h", NO_CALENDAR) as engine:
        taken = engine.fees.take(payments_table("A > TAX/1 100\nC > POLICE/2 70"), at=AT)
        assert taken["cycle"] == "20261125-F000002"
        assert balances_of(engine) == {"S.BANK[A]": -100, "S.TREASURY[KBNN]": 100}
        assert fees_of(engine)["T.FEES[POLICE]"] == 70
        assert state_of(engine, "P2") == ("SETTLED", "20261125-F000002")
        run(engine, lines("KBNN > A 600"), "X")
    assert switch.verify(tmp_path / "h")


def test_fees__an_abort_takes_payments_out_and_they_enter_the_next_cycle(tmp_path: Path) -> None:
    with home_with_bills(tmp_path / "h") as engine:
        run(engine, lines("KBNN > A 600"), "X")
        engine.fees.take(payments_table("A > TAX/1 100\nC > POLICE/2 70"), at=AT)
        [answer] = engine.settle(CYCLE, abort=WHY)
        assert answer["fees"] == {"count": 2, "sum": 170}
        assert fees_of(engine) == {}
        assert balances_of(engine) == {}
        assert state_of(engine, "P1") == ("WAITING", CYCLE)
        again = payments_table("B > TAX/1 100\nB > TAX/2 200", 11)
        taken = engine.fees.take(again, at=AT)
        assert answers_of(engine, 3) == [("RJCT", "AM05"), ("ACSP", None)]
        assert taken["again"] == {"count": 2, "sum": 170}
        assert state_of(engine, "P1") == ("CLEARED", "20261125-2")
        engine.settle()
        assert fees_of(engine) == {
            "T.FEES[TAX]": 300, "T.FEES[POLICE]": 70,
            "B.CUSTOMER[A]": -100, "B.CUSTOMER[B]": -200, "B.CUSTOMER[C]": -70,
        }  # fmt: skip
    assert switch.verify(tmp_path / "h")


def test_fees__alone_in_a_cycle_that_is_aborted_wait(tmp_path: Path) -> None:
    with home_with_bills(tmp_path / "h") as engine:
        engine.fees.take(payments_table("A > TAX/1 100"), at=AT)
        engine.settle(CYCLE, abort=WHY)
        assert states(engine) == {CYCLE: "ABORTED"}
        assert not (tmp_path / "h" / "recasts").exists()
        assert engine.fees.take_waiting()["again"] == {"count": 1, "sum": 100}
        assert engine.fees.take_waiting()["number"] == 0
        engine.settle()
        assert state_of(engine, "P1") == ("SETTLED", "20261125-2")
    assert switch.verify(tmp_path / "h")


def test_fees__a_recast_takes_out_what_customers_of_a_defaulter_paid(tmp_path: Path) -> None:
    with home_with_bills(tmp_path / "h", RECAST, {"A": 150, "B": 0}) as engine:
        run(engine, lines("KBNN > B 60"), "X")
        engine.fees.take(payments_table("A > TAX/1 100\nB > TAX/3 40"), at=AT)
        engine.change_directory(balances=table_of({"A": 50}))
        [answer] = engine.settle()
        assert (answer["rule"], answer["short"]) == ("recast", {"A": 50})
        assert answer["vanished"] == {"KBNN": 100}
        sums = {"S.BANK[A]": 50, "S.BANK[B]": 20, "S.TREASURY[KBNN]": -20, "S.RTGS[A]": 100}
        assert balances_of(engine) == sums
        assert fees_of(engine) == {"T.FEES[TAX]": 40, "B.CUSTOMER[B]": -40}
        assert [state_of(engine, p)[0] for p in ("P1", "P2")] == ["WAITING", "SETTLED"]
        assert engine.fees.take_waiting()["waiting"] == {"count": 1, "sum": 100}, "A has no room"
        engine.change_directory(balances=table_of({"A": 100}))
        assert engine.fees.take_waiting()["again"] == {"count": 1, "sum": 100}
        engine.settle()
    assert switch.verify(tmp_path / "h")


def test_fees__what_treasuries_receive_they_need_not_set_aside(tmp_path: Path) -> None:
    with home_with_bills(tmp_path / "h") as engine:
        engine.fees.take(payments_table("A > TAX/1 100"), at=AT)
        run(engine, lines("KBNN > A 600"), "X")
        assert engine.home.catalog.balances()["S.RESERVE[000001]"] == 500
        engine.settle()
        assert balances_of(engine) == {"S.BANK[A]": 500, "S.TREASURY[KBNN]": -500}
    assert switch.verify(tmp_path / "h")


def test_fees__a_shared_loss_counts_what_a_defaulter_owes_by_fees(tmp_path: Path) -> None:
    share = Settings(cutoffs=("11:00",), insufficient_funds="share")
    with home_with_bills(tmp_path / "h", share, {"A": 200}) as engine:
        run(engine, lines("A > B 100"), "X")
        engine.fees.take(payments_table("A > TAX/1 100"), at=AT)
        engine.change_directory(balances=table_of({"A": 150}))
        [answer] = engine.settle()
        assert answer["shares"] == {"B": 25, "KBNN": 25}
    assert switch.verify(tmp_path / "h")


def test_fees__a_payment_that_was_recast_twice_is_paid_once(tmp_path: Path) -> None:
    with home_with_bills(tmp_path / "h") as engine:
        engine.fees.take(payments_table("A > TAX/1 100\nB > TAX/2 200"), at=AT)
        engine.settle(CYCLE, abort=WHY)
        engine.fees.take_waiting()
        engine.settle("20261125-2", abort=WHY)
        assert engine.fees.take_waiting()["again"]["count"] == 2
        engine.settle()
        assert state_of(engine, "P1") == ("SETTLED", "20261126-1")
        assert fees_of(engine)["T.FEES[TAX]"] == 300
    assert switch.verify(tmp_path / "h")


def test_fees__who_waits_goes_before_who_comes(tmp_path: Path) -> None:
    """A has room for one of two payments: it is that of the one that waited."""
    with home_with_bills(tmp_path / "h", balances={"A": 150}) as engine:
        engine.fees.take(payments_table("A > TAX/1 100"), at=AT)
        engine.settle(CYCLE, abort=WHY)
        taken = engine.fees.take(payments_table("A > TAX/2 200\nA > TAX/3 40\nB > TAX/3 40", 11))
        assert answers_of(engine, 3) == [("RJCT", "AM23"), ("RJCT", "AM23"), ("RJCT", "AM05")]
        assert taken["again"] == {"count": 1, "sum": 100}
    assert switch.verify(tmp_path / "h")


def test_fees__who_is_suspended_meanwhile_goes_on_waiting(tmp_path: Path) -> None:
    people = [
        {**row, "status": "suspended" if row["participant"] == "A" else "active"}
        for row in PARTICIPANTS
    ]
    with home_with_bills(tmp_path / "h") as engine:
        engine.fees.take(payments_table("A > TAX/1 100\nB > TAX/2 200"), at=AT)
        engine.settle(CYCLE, abort=WHY)
        engine.change_directory(participants=pa.Table.from_pylist(people))
        assert engine.fees.take_waiting()["waiting"] == {"count": 1, "sum": 100}
        engine.settle()
        assert [state_of(engine, p)[0] for p in ("P1", "P2")] == ["WAITING", "SETTLED"]
    assert switch.verify(tmp_path / "h")


def test_fees__an_old_code_of_a_bank_pays_as_the_new_one(tmp_path: Path) -> None:
    moved = [
        {**row, "replaced_by": "B", "replaced_from": dt.date(2026, 11, 1)}
        if row["participant"] == "A"
        else {**row, "replaced_by": "", "replaced_from": None}
        for row in PARTICIPANTS
    ]
    moved = [{**row, "settled_by": "B" if row["participant"] == "A" else ""} for row in moved]
    with home_with_bills(tmp_path / "h") as engine:
        engine.change_directory(participants=pa.Table.from_pylist(moved))
        engine.fees.take(payments_table("A > TAX/1 100"), at=AT)
        engine.settle()
        assert fees_of(engine) == {"T.FEES[TAX]": 100, "B.CUSTOMER[B]": -100}
    assert switch.verify(tmp_path / "h")


def test_fees__a_batch_behind_fees_says_that_it_cannot_be_replayed(tmp_path: Path) -> None:
    with home_with_bills(tmp_path / "h") as engine:
        first = lines("KBNN > B 50")
        run(engine, first, "X")
        engine.fees.take(payments_table("A > TAX/1 100"), at=AT)
        second = lines("KBNN > A 600", 9)
        run(engine, second, "Y")
        assert engine.replay("X", payment_table(first))
        with pytest.raises(UsageError, match="fees moved money before"):
            engine.replay("Y", payment_table(second))


def test_fees__a_statement_of_the_state_bank_finds_what_they_moved(tmp_path: Path) -> None:
    with home_with_bills(tmp_path / "h", NO_CALENDAR) as engine:
        run(engine, lines("KBNN > B 50"), "X")
        engine.fees.take(payments_table("A > TAX/1 100"), at=AT)
        table = pa.table(
            {
                "account": ["S.BANK[A]", "S.TREASURY[KBNN]"],
                "entry_id": ["1", "2"],
                "amount": [100, 100],
                "side": ["D", "C"],
                "transfer_id": ["20261125-F000002"] * 2,
                "booked_on": [WEDNESDAY] * 2,
            }
        )
        answer = engine.reconcile(table, kind="statement", at="2026-11-25")
        assert "UNEXPECTED" not in answer["breaks"], answer


def test_fees__what_stays_within_a_bank_takes_no_room(tmp_path: Path) -> None:
    with home_with_bills(tmp_path / "h", balances={"C": 50}) as engine:
        engine.fees.take(payments_table("C > POLICE/2 70\nC > TAX/3 40"), at=AT)
        assert answers_of(engine, 2) == [("ACSP", None), ("ACSP", None)]
        engine.settle()
        assert balances_of(engine) == {"S.BANK[C]": 10, "S.TREASURY[KBNN]": 40}
    assert switch.verify(tmp_path / "h")


def test_fees__stand_where_a_cycle_is_shown(tmp_path: Path) -> None:
    home = tmp_path / "h"
    with home_with_bills(home) as engine:
        run(engine, lines("KBNN > A 600"), "X")
        engine.fees.take(payments_table("A > TAX/1 100\nB > TAX/2 200"), at=AT)
    (one,) = command("cycles", home, "--json").document["cycles"]
    assert (one["lines"], one["sum"], one["fees"], one["fees_sum"]) == (1, 600, 2, 300)
    (one,) = command("status", home, "--json").document["open"]["cycles"]
    assert one["fees"] == {"count": 2, "sum": 300}
    assert "fees in cycle 20261125-1" in command("status", home).out
    words = "1 line of 600 dong, 2 payments of fees of 300 dong"
    assert words in command("settle", home, "--at", "2026-11-25T08:00:00").out
    assert "fees" in command("cycles", home).out
    late = ("alarms", home, "--rule", "cycle-unclosed", "--at", "2026-11-25T11:15:00", "--json")
    (alarm,) = command(*late).document["alarms"]
    assert alarm["what"] == f"cycle {CYCLE} with 1 line and 2 payments of fees closed at 11:00"
    assert alarm["value"] == 900
    told = command("--lang", "vi", *late[:-1]).out
    assert "phí" in told
    assert "payment" not in told
    with switch.open(home) as engine:
        engine.report("X")
    assert command("report", home, "--cycle", CYCLE, "--out", tmp_path / "out").code == 0
    (page,) = (tmp_path / "out").rglob("*.html")
    assert "300" in page.read_text("utf-8")


def test_fees__of_cycles_without_a_calendar_are_listed(tmp_path: Path) -> None:
    with home_with_bills(tmp_path / "h", NO_CALENDAR) as engine:
        engine.fees.take(payments_table("A > TAX/1 100"), at=AT)
    (one,) = command("cycles", tmp_path / "h", "--json").document["cycles"]
    assert (one["cycle"], one["state"], one["fees_sum"]) == ("20261125-F000002", "SETTLED", 100)


def test_fees__are_listed_by_state_and_cycle(tmp_path: Path) -> None:
    home = tmp_path / "h"
    with home_with_bills(home) as engine:
        engine.fees.take(payments_table("A > TAX/1 100\nB > TAX/2 200"), at=AT)
        engine.settle()
        engine.fees.refund("P2", by="an officer", why="in error", amount=50)
        engine.fees.take(payments_table("C > TAX/3 40", 7), at=AT)
        engine.settle("20261125-2", abort=WHY)
        engine.fees.withdraw("P7", by="an officer", why="x")
    out = tmp_path / "list.csv"
    said = command("fees", home, "--state", "WAITING", "--out", out, "--json").document
    assert (said["count"], said["sum"], said["file"]) == (1, 50, str(out))
    (row,) = said["rows"]
    assert (row["payment_id"], row["participant"], row["kind"]) == ("P2", "B", "refund")
    head, line = out.read_text("utf-8-sig").splitlines()
    assert head.split(",")[:3] == ["payment_id", "participant", "agency"]
    assert head.split(",")[7:] == ["kind", "state", "cycle"]
    assert line.startswith("P2,B,TAX,2,50,2026-11-25,")
    assert command("fees", home, "--out", tmp_path / "p.parquet", "--cycle", CYCLE).code == 0
    assert pq.read_schema(tmp_path / "p.parquet") == switch.table_template("fee-states").schema
    shown = command("schema", "fee-states", "--json").document["columns"]
    assert [column["column"] for column in shown] == [*row]
    both = command("fees", home, "--state", "SETTLED", "--state", "WITHDRAWN").out
    assert "C P7: WITHDRAWN, cycle 20261125-2; TAX 3, 40 dong\npayments: 3, 340 dong" in both
    assert command("fees", home, "--cycle", CYCLE, "--json").document["sum"] == 300
    unknown = command("fees", home, "--state", "LOST")
    assert (unknown.code, "state 'LOST' is not known: use CLEARED" in unknown.err) == (2, True)
    twice = command("fees", home, "--state", "SETTLED", "--again")
    assert (twice.code, "give one of TABLE" in twice.err) == (2, True)
    vi = command("--lang", "vi", "fees", home, "--state", "WAITING").out
    assert "B P2: hoàn trả, WAITING, phiên 20261125-2; TAX 2, 50 đồng\ngiao dịch: 1" in vi


def test_fees__stand_beside_deltas_of_the_register(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Deltas and representatives had a format of their own before fees had one."""
    monkeypatch.setattr(delta, "CHANGES_SHARE", 1)
    mine = account(1, account="07", valid_to=WEDNESDAY, representative=person_id(2))
    with home_with_bills(tmp_path / "h") as engine:
        engine.register(accounts=accounts_table([account(2)]))
        assert engine.home.catalog.meta("format") == "6"
        assert switch.verify(tmp_path / "h")
        engine.register(accounts=accounts_table([mine]))
        assert engine.home.catalog.meta("format") == "6"
    assert switch.verify(tmp_path / "h")
    change_catalog(tmp_path / "h", "UPDATE meta SET value = '5' WHERE name = 'format'")
    new_checkpoint(tmp_path / "h")
    with pytest.raises(VerificationFailed, match="format of a home with fees"):
        switch.verify(tmp_path / "h")
