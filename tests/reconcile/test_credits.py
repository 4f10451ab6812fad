"""Answers to credits of households: they fan out to the lines, whole or not at all."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from answering import (
    CALENDAR,
    NOON,
    books,
    breaks_of,
    said,
    states_of,
    switch_verify,
    take,
    transfer,
    write,
)
from households import amount, answer, home_of, lines, members, returned, rows_sent
from scene import (
    BANK,
    SMALL_BANK,
    WALLET,
    answers,
    command,
    participant,
    payment_table,
    run,
    write_table,
)

import switch
from switch.engine import Engine
from switch.errors import UsageError
from switch.sim.lives.tables import RESOLUTIONS, STATEMENT

WORDS = {"reason": "DUPL", "by": "a clerk", "why": "paid twice"}


@pytest.fixture
def settled(tmp_path: Path) -> Path:
    """Six households, of 3, 1, 4, 2, 1 and 3, whose cycle has settled."""
    return ran(home_of(tmp_path / "h"))


@pytest.fixture
def cleared(tmp_path: Path) -> Path:
    """The same in a cycle of a calendar, which is open."""
    return ran(home_of(tmp_path / "h", settings=CALENDAR))


def ran(path: Path) -> Path:
    with switch.open(path) as engine:
        run(engine, lines(), "A")
    return path


def by_home(engine: Engine) -> list[set[str]]:
    """States of the lines of each household."""
    states = states_of(engine)
    return [{states[n] for n in home} for home in members()]


def told(engine: Engine, number: int) -> list[str]:
    return [state["state"] for state in engine.line("A", number)["states"]]


# --- credited, refused ----------------------------------------------------------------------------


def test_credit__an_answer_of_the_sum_credits_every_line(settled: Path) -> None:
    with switch.open(settled) as engine:
        take(engine, settled, *(answer(at) for at in range(6)))
        assert by_home(engine) == [{"CREDITED"}] * 6
        assert breaks_of(engine) == []
        assert told(engine, 1) == told(engine, 3) == told(engine, 14) == ["SETTLED", "CREDITED"]
        assert engine.line("A", 3)["states"][0]["transfer_id"] == transfer(3)
        assert engine.batch("A")["now"]["credited"] == {"count": 14, "sum": amount(range(1, 15))}
        assert engine.close_day("2026-12-01")["closed"] == [1]
        assert switch_verify(engine)
    assert switch.verify(settled)


def test_credit__a_whole_file_credits_every_line(settled: Path) -> None:
    mine = [n for at in (0, 3) for n in members()[at]]
    whole = said(1, transfer_id=transfer(1)[:-11], amount=amount(mine), participant=BANK)
    whole["creditor_account"] = None
    with switch.open(settled) as engine:
        take(engine, settled, whole)
        assert [at for at, states in enumerate(by_home(engine)) if states == {"CREDITED"}] == [0, 3]
        assert told(engine, 2) == ["SETTLED", "CREDITED"]
        assert breaks_of(engine)[0][0] == "MISSING"
        assert switch_verify(engine)
        one = answer(0, "ACCC", booked_at=NOON + dt.timedelta(hours=1))
        take(engine, settled, one)
        assert ("DUPLICATE", transfer(1)) in breaks_of(engine)
        assert switch_verify(engine)


def test_credit__a_whole_file_but_for_a_credit_that_is_refused(cleared: Path) -> None:
    rest = said(9, transfer_id=transfer(9)[:-11], amount=amount(members()[3]), participant=BANK)
    rest["creditor_account"] = None
    with switch.open(cleared) as engine:
        take(engine, cleared, answer(0, "RJCT"), at="2026-11-25")
        engine.settle()
        take(engine, cleared, rest)
        assert by_home(engine)[0] == {"REFUSED"}
        assert by_home(engine)[3] == {"CREDITED"}
        assert switch_verify(engine)


def test_credit__a_refusal_in_time_refuses_every_line(cleared: Path, tmp_path: Path) -> None:
    """Each leaves the cycle, and each entitlement is free: as three lines refused one by one."""
    plain = home_of(tmp_path / "plain", settings=CALENDAR)
    with switch.open(plain) as engine:
        run(engine, [{**row, "household": None} for row in lines()], "A")
        each = [said(n, "RJCT", participant=BANK, creditor_account=None) for n in (1, 2, 3)]
        take(engine, plain, *each, at="2026-11-25")
        expected = books(engine), engine.home.catalog.positions("20261125-1")
    with switch.open(cleared) as engine:
        found = take(engine, cleared, answer(0, "RJCT"), at="2026-11-25")
        assert found["moved"]["refused"] == {"count": 3, "sum": amount((1, 2, 3))}
        assert (books(engine), engine.home.catalog.positions("20261125-1")) == expected
        assert by_home(engine)[0] == {"REFUSED"}
        assert told(engine, 2) == ["CLEARED", "REFUSED"]
        assert engine.line("A", 2)["states"][-1]["reason"] == "AC04"
        again = run(engine, lines((3,)), "B", at="2026-11-25")
        assert answers(again) == [("ACSP", None)] * 3
        engine.settle()
        assert switch_verify(engine)
    assert switch.verify(cleared)


def test_credit__a_refusal_after_it_settled_moves_no_line(settled: Path) -> None:
    with switch.open(settled) as engine:
        take(engine, settled, answer(0, "RJCT"), *(answer(at) for at in range(1, 6)))
        assert by_home(engine)[0] == {"UNAPPLIED"}
        assert breaks_of(engine) == [("STATUS", transfer(1))]
        assert switch_verify(engine)


@pytest.mark.parametrize("status", ["ACCC", "RJCT"])
@pytest.mark.parametrize("part", [1_000_001, 3_000_005, 3_000_007])
def test_credit__another_amount_is_a_break_and_moves_no_line(
    settled: Path, status: str, part: int
) -> None:
    """That of its first line, too: nobody but the receiver knows whose part it is."""
    with switch.open(settled) as engine:
        others = [answer(at) for at in range(1, 6)]
        take(engine, settled, answer(0, status, amount=part), *others)
        assert by_home(engine) == [{"UNAPPLIED"}, *[{"CREDITED"}] * 5]
        assert [name for _, name in breaks_of(engine)] == [transfer(1)]
        for number in (1, 2, 3):
            story = engine.line("A", number)
            assert [row["found"] for row in story["breaks"]] == [part]
            assert story["breaks"][0]["expected"] == amount((1, 2, 3))
            assert told(engine, number)[-1] == "UNAPPLIED"
        (row,) = engine.breaks().rows()
        assert (row["batch_id"], row["line_no"], row["participant"]) == ("A", 1, BANK)
        assert switch_verify(engine)


def test_credit__answers_by_parts_move_no_line(settled: Path) -> None:
    """A part each line, under the credit's id, or under ids that nobody was told."""
    with switch.open(settled) as engine:
        others = [answer(at) for at in range(1, 6)]
        parts = [answer(0, amount=1_000_000 + n) for n in (1, 2, 3)]
        own = [said(n, participant=WALLET, creditor_account=None) for n in (6, 7, 8)]
        take(engine, settled, *parts, *own, *others)
        assert by_home(engine) == [{"UNAPPLIED"}, *[{"CREDITED"}] * 5]
        named = {name for _, name in breaks_of(engine)}
        assert {transfer(6), transfer(7), transfer(8)} <= named
        assert told(engine, 6) == ["SETTLED", "CREDITED"]
        assert switch_verify(engine)


def test_credit__the_same_answer_twice_is_one(settled: Path) -> None:
    with switch.open(settled) as engine:
        every = [answer(at) for at in range(6)]
        assert take(engine, settled, *every)["number"] == 1
        assert take(engine, settled, *every)["number"] == 0
        later = answer(2, booked_at=NOON + dt.timedelta(minutes=5))
        take(engine, settled, later)
        assert breaks_of(engine) == [("DUPLICATE", transfer(5))]
        assert by_home(engine)[2] == {"CREDITED"}
        assert switch_verify(engine)


def test_credit__an_account_of_another_is_no_answer(settled: Path) -> None:
    with switch.open(settled) as engine:
        others = [answer(at) for at in range(1, 6)]
        take(engine, settled, answer(0, creditor_account="1000000002"), *others)
        assert by_home(engine)[0] == {"UNAPPLIED"}
        assert switch_verify(engine)


# --- returned -------------------------------------------------------------------------------------


def test_credit__a_return_of_the_sum_returns_every_line(settled: Path) -> None:
    """Each is disposed of by itself, and may be grouped anew."""
    with switch.open(settled) as engine:
        take(engine, settled, *(answer(at) for at in (0, 1, 3, 4, 5)))
        found = take(engine, settled, returned(2))
        assert found["moved"]["returned"] == {"count": 4, "sum": amount((5, 6, 7, 8))}
        assert by_home(engine)[2] == {"RETURNED"}
        assert books(engine)["T.RETURNS"] == amount((5, 6, 7, 8))
        assert told(engine, 7) == ["SETTLED", "RETURNED"]
        assert engine.reissue([("A", 5), ("A", 7), ("A", 8)])["count"] == 3
        assert engine.write_back([("A", 6)])["count"] == 1
        rows = [row for n, row in enumerate(lines(), start=1) if n in (5, 6, 7, 8)]
        assert answers(run(engine, rows, "B", at="2026-12-01")) == [
            ("ACSC", None), ("RJCT", "AM05"), ("ACSC", None), ("ACSC", None),
        ]  # fmt: skip
        assert rows_sent(engine, 2) == {WALLET: [(1, amount((5, 7, 8)))]}
        assert switch_verify(engine)
    assert switch.verify(settled)


def test_credit__a_return_of_a_part_is_a_break(settled: Path) -> None:
    with switch.open(settled) as engine:
        take(engine, settled, *(answer(at) for at in range(6)))
        take(engine, settled, returned(2, amount=1_000_005))
        assert by_home(engine)[2] == {"CREDITED"}
        assert transfer(5) in {name for _, name in breaks_of(engine)}
        assert switch_verify(engine)


def test_credit__the_treasury_books_a_return_once(settled: Path, tmp_path: Path) -> None:
    entry = {
        "account": "T.RETURNS", "entry_id": "E1", "transfer_id": transfer(5),
        "end_to_end_id": None, "amount": amount((5, 6, 7, 8)), "side": "C",
        "booked_on": dt.date(2026, 11, 27),
    }  # fmt: skip
    file = tmp_path / "statement.parquet"
    pq.write_table(pa.Table.from_pylist([entry], STATEMENT), file)
    with switch.open(settled) as engine:
        take(engine, settled, *(answer(at) for at in (0, 1, 3, 4, 5)))
        take(engine, settled, returned(2))
        engine.reconcile(file, at="2026-12-04")
        assert breaks_of(engine) == []
        assert switch_verify(engine)


def test_credit__who_lacks_the_funds_returns_nothing_of_it(tmp_path: Path) -> None:
    """The whole credit waits until its receiver has them."""
    path = home_of(tmp_path / "h")
    with switch.open(path) as engine:
        funds = [{"participant": "KBNN", "balance": 10**12}, {"participant": BANK, "balance": 0}]
        engine.change_directory(balances=pa.Table.from_pylist(funds))
        run(engine, lines(), "A")
        own = [{"participant": BANK, "balance": 2_000_000}]
        engine.change_directory(balances=pa.Table.from_pylist(own))
        take(engine, path, returned(0))
        assert by_home(engine)[0] == {"UNAPPLIED"}
        own = [{"participant": BANK, "balance": 30_000_000}]
        engine.change_directory(balances=pa.Table.from_pylist(own))
        take(engine, path, answer(1))
        assert by_home(engine)[0] == {"RETURNED"}
        assert switch_verify(engine)


# --- recalled, recast, aborted --------------------------------------------------------------------


def test_recall__asks_for_a_whole_credit(settled: Path, tmp_path: Path) -> None:
    """By command: of a part it is refused, and names a line that is missing."""
    words = ("--reason", "DUPL", "--by", "a clerk", "--why", "paid twice")
    refused = command("recall", settled, "A:5", "A:7", *words)
    assert refused.code == 2
    assert "line 5 of batch A was sent in one credit with line 6: recall all lines" in refused.err
    assert command("recalls", settled, "--json").document["count"] == 0
    every = [f"A:{n}" for n in (5, 6, 7, 8)]
    told_of = command("recall", settled, *every, *words, "--json").document
    assert told_of["asked"] == {"count": 4, "sum": amount((5, 6, 7, 8))}
    (row,) = pq.read_table(settled / "out" / "recalls" / "000001" / f"{WALLET}.parquet").to_pylist()
    assert (row["transfer_id"], row["amount"], row["action"]) == (
        transfer(5), amount((5, 6, 7, 8)), "RETURN",
    )  # fmt: skip
    with switch.open(settled) as engine:
        take(engine, settled, returned(2, reason="FOCR"))
        assert {row["state"] for row in engine.recalls().rows()} == {"ACCEPTED"}
        assert by_home(engine)[2] == {"RETURNED"}
        assert switch_verify(engine)
    assert switch.verify(settled)


def test_recall__a_refusal_speaks_for_the_whole_credit(settled: Path, tmp_path: Path) -> None:
    no = {"participant": WALLET, "transfer_id": transfer(5), "status": "RJCR", "reason": "NOAS"}
    row = no | {"booked_at": NOON + dt.timedelta(days=3)}
    file = tmp_path / "no.parquet"
    pq.write_table(pa.Table.from_pylist([row], RESOLUTIONS), file)
    with switch.open(settled) as engine:
        engine.recall([("A", n) for n in (5, 6, 7, 8)], **WORDS)
        take(engine, settled, *(answer(at) for at in range(6)), at="2026-11-28")
        assert {row["state"] for row in engine.recalls().rows()} == {"OPEN"}
        engine.reconcile(file, at="2026-11-30")
        assert {row["state"] for row in engine.recalls().rows()} == {"REFUSED"}
        assert engine.close_day("2026-12-01")["closed"] == [1]
        assert switch_verify(engine)


def test_recall__an_id_that_nobody_was_told_answers_nothing(settled: Path, tmp_path: Path) -> None:
    no = {"participant": WALLET, "transfer_id": transfer(6), "status": "RJCR", "reason": "NOAS"}
    file = tmp_path / "no.parquet"
    row = no | {"booked_at": NOON + dt.timedelta(days=3)}
    pq.write_table(pa.Table.from_pylist([row], RESOLUTIONS), file)
    with switch.open(settled) as engine:
        engine.recall([("A", n) for n in (5, 6, 7, 8)], **WORDS)
        take(engine, settled, *(answer(at) for at in range(6)), at="2026-11-28")
        engine.reconcile(file, at="2026-11-30")
        assert {row["state"] for row in engine.recalls().rows()} == {"OPEN"}
        assert breaks_of(engine) == [("RECALL_UNMATCHED", transfer(6))]
        assert switch_verify(engine)


def test_recall__nobody_answers_a_credit_too_late(settled: Path) -> None:
    with switch.open(settled) as engine:
        engine.recall([("A", n) for n in (5, 6, 7, 8)], **WORDS)
        take(engine, settled, *(answer(at) for at in range(6)), at="2026-12-20")
        assert breaks_of(engine) == [("RECALL_OVERDUE", transfer(5))]
        assert switch_verify(engine)


def test_recall__before_the_cycle_has_settled_stops_a_whole_credit(cleared: Path) -> None:
    with switch.open(cleared) as engine:
        with pytest.raises(UsageError, match="one credit with line 2"):
            engine.recall([("A", 1), ("A", 4)], **WORDS, at="2026-11-25")
        engine.recall([("A", n) for n in (1, 2, 3, 4)], **WORDS, at="2026-11-25")
        lists = cleared / "out" / "recalls" / "000001"
        (row,) = pq.read_table(lists / f"{BANK}.parquet").to_pylist()
        assert (row["transfer_id"], row["amount"]) == (transfer(1), amount((1, 2, 3)))
        assert [path.stem for path in sorted(lists.iterdir())] == [BANK, SMALL_BANK]
        engine.settle()
        take(engine, cleared, *(answer(at) for at in range(2, 6)))
        assert by_home(engine) == [*[{"REFUSED"}] * 2, *[{"CREDITED"}] * 4]
        assert breaks_of(engine) == []
        assert switch_verify(engine)


def test_abort__lists_a_credit_in_one_row_and_sends_it_again(cleared: Path) -> None:
    """Lines that wait again keep their household, and go as one credit by the next run: by the id
    that the credit had, so that receivers are answered as they know it."""
    with switch.open(cleared) as engine:
        cycle = engine.cycles().rows()[0]["cycle"]
        engine.settle(cycle, close_only=True)
        engine.settle(cycle, abort="it was drawn")
        recall = cleared / "out" / "cycles" / str(cycle) / "recall"
        rows = {p.stem: pq.read_table(p).to_pylist() for p in recall.glob("*.parquet")}
        assert rows[BANK] == [
            {"transfer_id": transfer(members()[at][0]), "amount": amount(members()[at])}
            for at in (0, 3)
        ]
        assert switch_verify(engine)
        run(engine, [{**lines()[0], "benefit": "SASS", "household": None}], "B")
        engine.settle()
        sent = rows_sent(engine, 2)
        assert sum(map(len, sent.values())) == 7
        assert sent[BANK] == [(1, amount((1, 2, 3))), (9, amount((9, 10))), (1, 1_000_001)]
        one = said(1, participant=BANK, creditor_account=None, booked_at=NOON)
        take(engine, cleared, one, answer(3))
        states = states_of(engine)
        assert (states[1], states[2], states[9]) == ("UNAPPLIED", "UNAPPLIED", "CREDITED")
        assert states[10] == "CREDITED"
        assert switch_verify(engine)
    assert switch.verify(cleared)
    assert switch.replay(cleared, "A", payment_table(lines()))


# --- cash, days, other questions ------------------------------------------------------------------


def test_cash__a_pay_point_pays_a_household_at_once(tmp_path: Path) -> None:
    rows = [participant(code, "cash") for code in (BANK, SMALL_BANK, WALLET)]
    participants = [participant("KBNN", "treasury"), *rows]
    path = home_of(tmp_path / "h", participants=participants)
    with switch.open(path) as engine:
        engine.change_directory(settings={"cash_days": 5})
        run(engine, lines(), "A")
        told_of = engine.cash("A")
        assert told_of["sent"] == {"count": 6, "sum": amount(range(1, 15))}
        take(engine, path, answer(0), answer(3), at="2026-11-26")
        assert engine.cash("A")["paid"] == {"count": 2, "sum": amount((1, 2, 3, 9, 10))}
        assert told(engine, 3) == ["CASH", "CASH_PAID"]
        asked = engine.expire("2026-12-20")
        assert asked["cash"]["count"] == 9
        assert told(engine, 6)[-1] == "EXPIRED"
        assert switch_verify(engine)
    lists = path / "out" / "recalls" / "000002" / f"{WALLET}.parquet"
    assert [row["amount"] for row in pq.read_table(lists).to_pylist()] == [
        amount(members()[at]) for at in (2, 5)
    ]
    assert switch.verify(path)


def test_day__statements_are_of_lines(settled: Path) -> None:
    with switch.open(settled) as engine:
        take(engine, settled, *(answer(at) for at in range(6)))
        closed = engine.close_day("2026-12-01")
        assert closed["totals"]["CREDITED"] == amount(range(1, 15))
        folder = settled / "out" / "days" / "2026-12-01" / "statements"
        (row,) = pq.read_table(folder / f"{BANK}.parquet").to_pylist()
        assert (row["count"], row["amount"]) == (5, amount((1, 2, 3, 9, 10)))
        assert switch_verify(engine)


def test_exchange__simulated_receivers_answer_credits(settled: Path) -> None:
    """They know clearing files alone, so that what they say is of credits."""
    done = command("exchange", settled, "--batch", "A", "--plain", "--json")
    assert done.code == 0
    folder = settled / "out" / "A" / "answers"
    files = sorted(str(path) for path in (folder / "confirmations").iterdir())
    said_of = command("reconcile", settled, *files, "--json").document
    assert said_of["read"]["confirmations"] == 6
    assert said_of["states"]["CREDITED"] == 14
    assert command("verify", settled).code == 0


def test_person__every_member_has_the_credit_in_the_own_timeline(settled: Path) -> None:
    with switch.open(settled) as engine:
        take(engine, settled, answer(0))
    for number in (1, 2, 3):
        story = command("status", settled, "--person", f"001{number:09d}", "--json").document
        (found,) = story["lines"]
        assert [state["state"] for state in found["states"]] == ["SETTLED", "CREDITED"]
        assert found["amount"] == 1_000_000 + number


def test_rehearse__tells_what_a_run_would(tmp_path: Path) -> None:
    path = home_of(tmp_path / "h")
    table = write_table(payment_table(lines()), tmp_path / "t.parquet", batch_id="A")
    (found,) = command("rehearse", path, table, "--out", tmp_path / "o", "--json").document[
        "tables"
    ]
    assert found["cleared"]["count"] == 14
    assert command("run", path, table).code == 0
    for code in (BANK, SMALL_BANK, WALLET):
        tried, sent = (
            at / "A" / "clearing" / f"{code}.parquet" for at in (tmp_path / "o", path / "out")
        )
        assert tried.read_bytes() == sent.read_bytes()


def test_answers__files_of_csv_name_credits(settled: Path, tmp_path: Path) -> None:
    rows = [answer(at) for at in range(6)]
    table = pq.read_table(write(tmp_path / "a.parquet", rows))
    names = [n for n in table.schema.names if n != "booked_at"]
    text = ",".join([*names, "booked_at"]) + "\n"
    for row in rows:
        cells = ["" if row[n] is None else str(row[n]) for n in names]
        text += ",".join([*cells, row["booked_at"].isoformat()]) + "\n"
    file = tmp_path / "a.csv"
    file.write_text(text)
    found = command("reconcile", settled, file, "--at", "2026-11-26", "--json").document
    assert found["states"]["CREDITED"] == 14
