"""Answers where the directory changed since, days are absurd, and batches hang together."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from answering import (
    CALENDAR,
    LATER,
    NOON,
    back,
    books,
    breaks_of,
    home_of,
    said,
    switch_verify,
    take,
    transfer,
    write,
)
from scene import (
    BANK,
    BANK_ACCOUNT,
    DEBTORS,
    PARTICIPANTS,
    SMALL_BANK,
    WALLET,
    account,
    accounts_table,
    line,
    make_home,
    person,
    run,
    tree_digest,
)

import switch
from switch.engine import Engine
from switch.errors import InputRefused
from switch.home.history import folders, open_breaks
from switch.sim.lives.tables import STATEMENT


def now_there(engine: Engine, *gone: str, **changes: Any) -> None:
    """The directory without some, and the wallet with changes."""
    rows = [
        row | (changes if row["participant"] == WALLET else {})
        for row in PARTICIPANTS
        if row["participant"] not in gone
    ]
    debtors = [row for row in DEBTORS if row["debtor_agent"] not in gone]
    engine.change_directory(
        participants=pa.Table.from_pylist(rows), debtors=pa.Table.from_pylist(debtors)
    )


def changes_nothing(engine: Engine, at: str = LATER) -> dict[str, Any]:
    """One more reconciliation finds nothing, and the proof finds no fault."""
    assert switch_verify(engine)
    answer = engine.reconcile(at=at)
    assert answer["number"] == 0
    return answer


def test_return__of_who_has_left_waits_until_it_is_back(tmp_path: Path) -> None:
    with switch.open(home_of(tmp_path / "h")) as engine:
        before = books(engine)
        now_there(engine, SMALL_BANK)
        told = take(engine, tmp_path / "h", back(1), back(2))
        assert told["moved"]["returned"] == {"count": 1, "sum": 1000002}
        assert books(engine)[f"S.BANK[{SMALL_BANK}]"] == before[f"S.BANK[{SMALL_BANK}]"]
        [warning] = changes_nothing(engine)["warnings"]
        assert "the return of 1 line waits" in warning
        now_there(engine)
        told = engine.reconcile(at=LATER)
        assert (told["moved"]["returned"]["count"], told["warnings"]) == (1, [])
        assert engine.home.catalog.balances()["T.RETURNS"] == 2_000_003
        changes_nothing(engine)
    assert switch.verify(tmp_path / "h")


@pytest.mark.parametrize("way", ["abort", "refusal", "return"])
def test_on_us__lines_of_who_has_left_go_back(tmp_path: Path, way: str) -> None:
    """They enter no position, so that nothing keeps their bank in the directory."""
    home = make_home(tmp_path / "h", [person(1)], [account(1)], settings=CALENDAR)
    with switch.open(home) as engine:
        batch = run(engine, [line(1, debtor_account=BANK_ACCOUNT)], "A")
        if way == "return":
            engine.settle()
        now_there(engine, BANK, WALLET)
        if way == "abort":
            engine.settle(batch.cycle, abort="a mistake")
        else:
            row = said(1, "RJCT") if way == "refusal" else back(1)
            take(engine, tmp_path / "h", row | {"participant": BANK}, at="2026-11-25")
            engine.settle()
        left = {"T.RETURNS": 1_000_001, "T.EXPENSE[PENS]": -1_000_001}
        assert books(engine) == (left if way == "return" else {})
        assert switch_verify(engine)
    assert switch.verify(home)


def test_verify__of_a_wallet_that_changed_its_agent_between_answers(tmp_path: Path) -> None:
    with switch.open(home_of(tmp_path / "h", settings=CALENDAR)) as engine:
        take(engine, tmp_path / "h", said(2, "RJCT"), at="2026-11-25")
        engine.settle()
        take(engine, tmp_path / "h", back(5), at="2026-11-27")
        engine.settle()
        now_there(engine, settled_by=SMALL_BANK)
        take(engine, tmp_path / "h", back(8), back(11), at="2026-11-28")
        [settled] = engine.settle()
        sides = {row["participant"]: row["side"] for row in settled["participants"]}
        assert sides[SMALL_BANK] == "debit", "its agent of today pays"
        engine.reconcile(at=LATER)
        changes_nothing(engine)
    assert switch.verify(tmp_path / "h")


@pytest.mark.parametrize("day", [-(2**31), 2**31 - 1, 106_751_992, -719_163])
def test_statement__of_a_day_that_is_none_is_refused(tmp_path: Path, day: int) -> None:
    """Its microseconds do not fit in 64 bits, or no calendar has it."""
    row = {"account": "T.RETURNS", "entry_id": "E", "transfer_id": None, "amount": 5, "side": "C"}
    sound = row | {"end_to_end_id": "X", "booked_on": dt.date(2026, 11, 27)}
    table = pa.Table.from_pylist([sound, sound], STATEMENT)
    days = pa.array([20_000, day], pa.int32()).cast(pa.date32())
    at = table.schema.get_field_index("booked_on")
    pq.write_table(table.set_column(at, "booked_on", days), tmp_path / "s")
    with switch.open(home_of(tmp_path / "h", 1)) as engine:
        link = engine.home.catalog.heads().link
        with pytest.raises(InputRefused, match=r"DATE_INVALID.*row 2"):
            engine.reconcile(tmp_path / "s", at=LATER)
        assert engine.home.catalog.heads().link == link


def test_group__of_two_wrong_answers_the_order_does_not_show(tmp_path: Path) -> None:
    ends = []
    rows = [
        said(1, transfer_id=transfer(1)[:15], creditor_account=None, amount=sum_) for sum_ in (5, 7)
    ]
    for name, order in (("a", (0, 1)), ("b", (1, 0))):
        with switch.open(home_of(tmp_path / name)) as engine:
            for i in order:
                take(engine, tmp_path / name, rows[i])
            found = open_breaks(engine.home, folders(engine.home)).to_pylist()
            ends.append([row for row in found if row["class"] == "TOTAL_DRIFT"])
    assert ends[0] == ends[1]
    assert [row["found"] for row in ends[0]] == [7]


def test_return__of_a_closed_batch_leaves_those_it_hangs_together_with(tmp_path: Path) -> None:
    """Run 2 clears a line of batch 1, and run 3 one of batch 2, which one row for the whole file of
    run 3 credits: that row counts when a line of batch 1 comes back, too."""
    home = make_home(
        tmp_path / "h",
        map(person, range(1, 40)),
        [*(account(n, participant=SMALL_BANK) for n in range(1, 20)), account(30)],
    )
    with switch.open(home) as engine:
        for batch, own, later in (("A", 1, 21), ("B", 2, 22), ("C", 30, None)):
            run(engine, [line(n) for n in (own, later) if n], batch)
            if later:
                engine.register(accounts=accounts_table([account(later, participant=SMALL_BANK)]))
        sent = [(1, 1, 1), (2, 1, 21), (1, 2, 2), (1, 3, 30)]
        rows = [
            said(
                number,
                participant=BANK if who == 30 else SMALL_BANK,
                transfer_id=transfer(number, batch),
                amount=1_000_000 + who,
                creditor_account=None,
            )
            for number, batch, who in sent
        ]
        whole = rows[0] | {"transfer_id": transfer(1, 3)[:15], "amount": 1_000_022}
        engine.reconcile(write(tmp_path / "a", [*rows, whole]), at="2026-11-25")
        assert engine.close_day("2026-11-30")["closed"] == [1, 2, 3]
        told = take(engine, tmp_path / "h", back(1))
        assert told["states"]["UNAPPLIED"] == 0
        assert told["breaks"] == {"STATUS": 1}, "credited, and sent back"
        changes_nothing(engine)
    assert switch.verify(home)


@pytest.mark.parametrize("amount", [-(2**63), -(2**56), 2**56, 2**63 - 1])
def test_mail__an_amount_beyond_all_bounds_is_refused_with_its_row(
    tmp_path: Path, amount: int
) -> None:
    with switch.open(home_of(tmp_path / "h", 2)) as engine:
        before = tree_digest(tmp_path / "h")
        with pytest.raises(InputRefused, match="2\\^56 dong") as refused:
            take(engine, tmp_path / "h", said(1), said(2, amount=amount))
        where = (refused.value.rule, refused.value.row, refused.value.column)
        assert where == ("AMOUNT_RANGE", 2, "amount")
        assert refused.value.file == str(tmp_path / "h-answers.parquet")
        assert tree_digest(tmp_path / "h") == before
        bound = said(2, amount=-(2**56) + 1)
        assert take(engine, tmp_path / "h", bound)["breaks"]["AMOUNT"] == 1


def test_close__a_sum_that_drifts_stays_a_break_once_its_batch_is_closed(tmp_path: Path) -> None:
    whole = said(1, transfer_id=transfer(1)[:15], creditor_account=None, amount=5)
    with switch.open(home_of(tmp_path / "h", 3)) as engine:
        take(engine, tmp_path / "h", *(said(n) for n in (1, 2, 3)), whole, at="2026-11-25")
        first = engine.close_day(LATER)
        assert (first["closed"], first["breaks"]) == ([1], {"TOTAL_DRIFT": 1})
        again = engine.close_day(LATER)
        assert (again["number"], again["breaks"]) == (first["number"], first["breaks"])
        assert changes_nothing(engine)["breaks"] == first["breaks"]
    assert switch.verify(tmp_path / "h")


def test_close__so_does_the_sum_of_a_receiver_that_got_nothing(tmp_path: Path) -> None:
    """Whatever other batches are looked at, in which it stands or not."""
    whole = said(0, transfer_id=transfer(1)[:15], creditor_account=None, amount=5)
    with switch.open(home_of(tmp_path / "h", 2)) as engine:
        take(engine, tmp_path / "h", said(1), said(2), whole, at="2026-11-25")
        run(engine, [line(21)], "B")
        assert engine.close_day("2026-11-25")["closed"] == [1]
        engine.reconcile(write(tmp_path / "b", [said(21, transfer_id=transfer(1, 2))]))
        assert engine.close_day("2026-11-25")["closed"] == [2]
        assert changes_nothing(engine, "2026-11-25")["breaks"] == {"TOTAL_DRIFT": 1}
    assert switch.verify(tmp_path / "h")


@pytest.mark.parametrize("lines", [0, 2])
def test_verify__of_a_day_on_which_no_line_is_open(tmp_path: Path, lines: int) -> None:
    """No batch is there yet, or all of them are closed."""
    home = make_home(tmp_path / "h", map(person, (1, 2)), map(account, (1, 2)))
    with switch.open(home) as engine:
        if lines:
            run(engine, [line(n) for n in range(1, lines + 1)], "A")
            rows = [said(n, participant=BANK, creditor_account=None) for n in (1, 2)]
            take(engine, tmp_path / "h", *rows, at="2026-11-25")
            assert engine.close_day("2026-11-25")["closed"] == [1]
        assert engine.close_day("2026-11-26")["closed"] == []
    assert switch.verify(home)


def test_return__of_a_line_that_was_credited_late_contradicts_it(tmp_path: Path) -> None:
    """That the booking was late is one thing, that the money is with both another."""
    late = said(1, booked_at=NOON + dt.timedelta(days=7))
    with switch.open(home_of(tmp_path / "h", 1)) as engine:
        engine.reconcile(write(tmp_path / "a", [late]), write(tmp_path / "b", [back(1)]), at=LATER)
        assert breaks_of(engine) == [("STATUS", transfer(1)), ("TIMING", transfer(1))]
        changes_nothing(engine)
    assert switch.verify(tmp_path / "h")
