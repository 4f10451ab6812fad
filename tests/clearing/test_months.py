"""Months: an account is sent no more in a month than its participant's limit, over all batches."""

from __future__ import annotations

import csv
import datetime as dt
import random
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from answering import NOON
from cycles import CUTOFFS, CYCLE, WHY
from scene import (
    BANK,
    BANK_ACCOUNT,
    CLOSED_BANK,
    DEBTORS,
    PARTICIPANTS,
    SMALL_BANK,
    VALUE_DATE,
    WALLET,
    account,
    answers,
    command,
    line,
    make_home,
    participant,
    pay,
    payment_table,
    person,
    reasons,
    run,
    tree_digest,
    write_file,
    write_table,
)
from stored_batches import details, rule_set, sent, stored

import switch
from switch.clearing import account_sums, kernel, payday
from switch.clearing.account_sums import SUM_MOST, AccountSums
from switch.clearing.months import Months
from switch.errors import VerificationFailed
from switch.reason import FIRST_ACCOUNT, NO_MONTHS, PASSED_OVER, RULES, WAITS_ALONE, Reason
from switch.registry.settings import Settings
from switch.sim.auditor.auditor import Auditor
from switch.sim.auditor.expected import Ruled, Table
from switch.sim.lives.tables import CONFIRMATIONS, RETURNS, rows_table
from switch.sim.world.institutions import package_rows

LIMIT = 10_000_000
MONEY, OTHER = "971005", "971011"
"""Operators of mobile money, of which the first has a limit of a month."""
OVER = RULES[Reason.ACCOUNT_OVER_MONTH].sentence
DECEMBER = dt.date(2026, 12, 1)

Row = dict[str, Any]


def limited(limit: int | None = LIMIT, **changes: Any) -> list[Row]:
    """The usual participants and two operators. changes: of the first."""
    first = participant(MONEY, "mobile_money", **changes)
    rows = [*PARTICIPANTS, first, participant(OTHER, "mobile_money")]
    return [row | {"amount_month_max": limit if row is first else None} for row in rows]


def held_by(number: int, *accounts: str | tuple[str, str]) -> list[Row]:
    """Accounts of a person in this order of priority: at participants, or such texts there."""
    rows = []
    for priority, one in enumerate(accounts, start=1):
        who, text = (one, f"{number}{priority}") if isinstance(one, str) else one
        rows.append(account(number, participant=who, account=text, priority=priority))
    return rows


def home_of(path: Path, *accounts: list[Row], **options: Any) -> Path:
    """A home in which person 1 has the first of these, and so on."""
    people = [person(n) for n in range(1, len(accounts) + 1)]
    options = {"participants": limited(), **options}
    return make_home(path, people, [row for rows in accounts for row in rows], **options)


def owed(number: int, millions: int, period: int = 202611, **changes: Any) -> Row:
    return line(number, amount=millions * 1_000_000, period=period, **changes)


def passed(*accounts: tuple[str, str]) -> str:
    return f"{PASSED_OVER}: " + ", ".join(f"{who} ({why})" for who, why in accounts)


def proven(home: Path, path: Path, *tables: tuple[str, Path]) -> None:
    """The home holds, and each batch is derived again from its table."""
    assert command("verify", home).code == 0
    for name, table in tables:
        assert command("replay", home, name, table).code == 0, path


# --- in table order -------------------------------------------------------------------------------


def test_months__an_account_is_full_at_its_limit_and_empty_in_the_next_month(
    tmp_path: Path,
) -> None:
    home = home_of(tmp_path / "home", held_by(1, MONEY), held_by(2, MONEY))
    rows = [owed(1, 6, 202610), owed(1, 5), owed(1, 4, 202612), owed(2, 10), owed(2, 1, 202610)]
    first = write_table(payment_table(rows), tmp_path / "a.parquet", batch_id="A")
    assert command("run", home, first).code == 0
    batch = stored(home)
    assert answers(batch) == [
        ("ACSC", None), ("PDNG", "AM21"), ("ACSC", None), ("ACSC", None), ("PDNG", "AM21"),
    ]  # fmt: skip
    assert details(batch)[1] == OVER
    assert batch.status["participant"].to_pylist() == [MONEY] * 5
    assert rule_set(batch) == WAITS_ALONE
    # The last day of the month is of it, and what waited is tried before the table's own lines.
    last = payment_table([owed(1, 1, 202609), owed(2, 1, 202609)])
    second = write_table(last, tmp_path / "b.parquet", batch_id="B", value_date="2026-11-30")
    assert command("run", home, second).code == 0
    assert reasons(stored(home, 2)) == ["AM21", "AM21"]
    third = write_table(
        payment_table([owed(1, 4, 202608), owed(1, 1, 202607)]),
        tmp_path / "c.parquet",
        batch_id="C",
        value_date=str(DECEMBER),
    )
    assert command("run", home, third).code == 0
    # 5 and 1 of before go first, then 4 of its own; the last million has no room.
    assert reasons(stored(home, 3)) == [None, "AM21"]
    with switch.open(home, mode="r") as engine:
        assert [engine.line(*which)["states"][-1]["status"] for which in (
            ("A", 2), ("A", 5), ("B", 1), ("B", 2), ("C", 2),
        )] == ["ACSC", "ACSC", "ACSC", "ACSC", "PDNG"]  # fmt: skip
    proven(home, tmp_path, ("A", first), ("B", second), ("C", third))


def test_months__an_amount_beyond_the_limit_itself_waits(tmp_path: Path) -> None:
    home = home_of(tmp_path / "home", held_by(1, MONEY), held_by(2, MONEY, BANK))
    batch = pay(home, [owed(1, 11), owed(2, 11), owed(1, 10, 202610)])
    assert reasons(batch) == ["AM21", None, None]
    assert sent(batch) == {BANK: ["22"], MONEY: ["11"]}
    assert details(batch) == [OVER, passed((MONEY, OVER)), None]
    assert switch.verify(home)


def test_months__a_full_account_is_passed_over_and_the_command_says_so(tmp_path: Path) -> None:
    home = home_of(
        tmp_path / "home",
        held_by(1, MONEY, CLOSED_BANK, OTHER),
        held_by(2, CLOSED_BANK, MONEY, BANK),
        held_by(3, MONEY, CLOSED_BANK),
        held_by(4, CLOSED_BANK, MONEY),
    )
    rows = [owed(n, 8, period) for period in (202610, 202611) for n in (1, 2, 3, 4)]
    table = write_table(payment_table(rows), tmp_path / "table.parquet")
    assert command("run", home, table).code == 0
    batch = stored(home)
    closed = (CLOSED_BANK, "the account's participant is suspended")
    assert reasons(batch) == [None] * 6 + ["AM21", "AB08"]
    assert details(batch) == [
        None, passed(closed), None, passed(closed),
        passed((MONEY, OVER), closed), passed(closed, (MONEY, OVER)), OVER, closed[1],
    ]  # fmt: skip
    assert sent(batch) == {OTHER: ["13"], BANK: ["23"], MONEY: ["11", "22", "31", "42"]}
    said = " ".join(command("status", home, "--line", "B:5").out.split())
    assert f"passed over: {MONEY} ({OVER})" in said, said
    said = " ".join(command("status", home, "--line", "B:7").out.split())
    assert f"Reason: {OVER}" in said, said
    said = " ".join(command("--lang", "vi", "status", home, "--line", "B:7").out.split())
    assert "tài khoản sẽ nhận trong tháng nhiều hơn hạn mức tháng của thành viên" in said, said
    assert "AM21" in command("held", home, "--json").out
    proven(home, tmp_path, ("B", table))


def test_months__a_line_that_goes_elsewhere_takes_room_there(tmp_path: Path) -> None:
    """A small line fits where a larger one did not, and one that was passed on fills an account
    that is another person's first."""
    shared = (MONEY, "0912345678")
    home = home_of(
        tmp_path / "home",
        held_by(1, (MONEY, "1"), shared),
        held_by(2, shared),
        held_by(3, (BANK, "3")),
    )
    rows = [
        owed(1, 8, 202601),
        owed(2, 4, 202601),
        owed(1, 5, 202602),
        owed(2, 2, 202602),
        owed(2, 1, 202603),
        owed(1, 2, 202603),
    ]
    assert reasons(pay(home, rows)) == [None, None, None, "AM21", None, None]
    assert sent(stored(home)) == {MONEY: ["1", "0912345678", "0912345678", "0912345678", "1"]}


@pytest.mark.parametrize("text", ["0912345678", "7", "12345678901234567", "123456789012345678",
                                  "VN-12/7", "A" * 34])  # fmt: skip
def test_months__an_account_is_the_same_named_registered_and_sent_before(
    text: str, tmp_path: Path
) -> None:
    home = home_of(tmp_path / "home", held_by(1, (MONEY, text)), held_by(2, (MONEY, text)),
                   held_by(3, BANK), held_by(4, (OTHER, text)))  # fmt: skip
    named = {"creditor_agent": MONEY, "creditor_account": text}
    first = pay(home, [owed(1, 3), owed(3, 3, **named), owed(4, 9)], "A")
    assert reasons(first) == [None] * 3
    rows = [owed(2, 5), owed(3, 5, 202610, **named), owed(2, 4, 202610), owed(1, 1, 202610)]
    assert reasons(pay(home, rows, "B")) == ["AM21", "AM21", None, "AM21"]
    assert switch.verify(home)


def test_months__an_account_that_the_table_names_is_never_replaced(tmp_path: Path) -> None:
    home = home_of(tmp_path / "home", held_by(1, BANK))
    named = {"creditor_agent": MONEY, "creditor_account": "7"}
    table = write_table(
        payment_table([owed(1, 9, **named), owed(1, 9, 202610, **named)]), tmp_path / "t.parquet"
    )
    assert command("run", home, table).code == 0
    assert answers(stored(home)) == [("ACSC", None), ("PDNG", "AM21")]
    proven(home, tmp_path, ("B", table))


def test_months__gives_way_to_the_reasons_before_and_goes_before_those_behind(
    tmp_path: Path,
) -> None:
    """What fails by a later row has taken room in its batch all the same, as in row 14b."""
    settings = Settings(accounts_shared_max=1)
    small = limited(amount_max=9_000_000)
    to = (MONEY, "77")
    home = home_of(tmp_path / "home", held_by(1, to), held_by(2, to), participants=small,
                   settings=settings)  # fmt: skip
    rows = [
        owed(1, 10),
        owed(1, 5),
        owed(1, 5),
        owed(1, 1, 202610),
        owed(2, 5, person_name="Lê B"),
        owed(2, 1),
        owed(1, 0),
    ]
    said = ["AM02", None, "AM05", "AM21", "BE01", "AM21", "AM12"]
    assert reasons(pay(home, rows, "A")) == said
    # The line that was refused was never sent; one that finds its account shared takes room.
    assert reasons(pay(home, [owed(1, 4, 202609), owed(2, 1)], "B")) == ["AM21", "NOCM"]
    with switch.open(home) as engine:
        assert engine.line("A", 4)["states"][-1]["status"] == "ACSC"
    assert switch.verify(home)


def test_months__limits_of_no_month_change_no_byte(tmp_path: Path) -> None:
    """A column that is empty or 0 is as none, and a limit that nobody meets shows nowhere."""
    rows = [owed(1, 9), owed(2, 9)]
    homes = {}
    for name, people in {
        "none": PARTICIPANTS,
        "empty": [row | {"amount_month_max": None} for row in PARTICIPANTS],
        "zero": [row | {"amount_month_max": 0} for row in PARTICIPANTS],
    }.items():
        home = home_of(tmp_path / name, held_by(1, BANK), held_by(2, WALLET), participants=people)
        pay(home, rows)
        homes[name] = {k: v for k, v in tree_digest(home).items() if not k.startswith("check")}
    assert homes["none"] == homes["empty"] == homes["zero"]
    batch = pay(home_of(tmp_path / "wide", held_by(1, MONEY), held_by(2, MONEY)), rows)
    assert rule_set(batch) == FIRST_ACCOUNT


# --- what gives room back -------------------------------------------------------------------------


def answer(number: int, batch: int, **changes: Any) -> Row:
    """What the operator says of a line of 9 million."""
    return {
        "participant": MONEY,
        "transfer_id": f"20261125-{batch:06d}-{number:010d}",
        "amount": 9_000_000,
        "reason": "AC04",
        "booked_at": NOON,
    } | changes


@pytest.mark.parametrize("form", ["parquet", "arrow"])
def test_months__what_came_back_was_not_sent(form: str, tmp_path: Path) -> None:
    home = home_of(tmp_path / "home", held_by(1, MONEY), held_by(2, MONEY), held_by(3, BANK))
    with switch.open(home) as engine:
        first = [owed(1, 9, 202601), owed(2, 9, 202601)]
        assert reasons(run(engine, first, "A", form=form)) == [None] * 2
        assert reasons(run(engine, [owed(1, 9), owed(2, 9)], "B", form=form)) == ["AM21"] * 2
        back = answer(1, 1, return_id="R1")
        engine.reconcile(pa.Table.from_pylist([back], RETURNS), at="2026-11-26")
        assert reasons(run(engine, [owed(3, 9)], "C", form=form)) == [None]
        assert engine.line("B", 1)["states"][-1]["status"] == "ACSC", "room of what was returned"
        assert engine.line("B", 2)["states"][-1]["status"] == "PDNG", "nothing of it came back"
        # Written back or not: only what is sent anew counts again.
        engine.write_back([("A", 1)])
        assert reasons(run(engine, [owed(1, 2, 202602)], "D", form=form)) == ["AM21"]
    assert switch.verify(home)


def test_months__a_refusal_gives_room_back(tmp_path: Path) -> None:
    home = home_of(tmp_path / "home", held_by(1, MONEY), held_by(2, MONEY), settings=CUTOFFS)
    with switch.open(home) as engine:
        rows = [owed(1, 9, 202601), owed(2, 9, 202601)]
        assert reasons(run(engine, rows, "A", at="2026-11-25T08:00:00")) == [None, None]
        no = answer(1, 1, status="RJCT", creditor_account=None)
        engine.reconcile(pa.Table.from_pylist([no], CONFIRMATIONS), at="2026-11-25T09:00:00")
        rows = [owed(1, 9, 202602), owed(2, 9, 202602)]
        assert reasons(run(engine, rows, "B", at="2026-11-25T10:00:00")) == [None, "AM21"]
    assert switch.verify(home)


def test_months__an_abort_gives_room_back(tmp_path: Path) -> None:
    """All lines of the cycle wait again, oldest first, and nothing of it was sent."""
    home = home_of(tmp_path / "home", held_by(1, MONEY), held_by(2, MONEY), settings=CUTOFFS)
    with switch.open(home) as engine:
        rows = [owed(1, 9, 202601), owed(1, 9, 202602), owed(2, 3)]
        assert reasons(run(engine, rows, "A", at="2026-11-25T08:00:00")) == [None, "AM21", None]
        engine.settle(CYCLE, abort=WHY)
        rows = [owed(1, 1, 202603), owed(1, 1, 202604)]
        assert reasons(run(engine, rows, "B", at="2026-11-25T14:00:00")) == [None, "AM21"]
        said = [engine.line("A", n)["states"][-1]["status"] for n in (1, 2, 3)]
        assert said == ["ACSP", "PDNG", "ACSP"]
    assert switch.verify(home)


def test_months__what_waits_for_cover_keeps_its_room_and_its_answer(tmp_path: Path) -> None:
    """Lines are screened up to three times in a run with caps: where they went the first time, they
    go; in the end the cap of the payer leaves room for some."""
    capped = [row | {"net_debit_cap": 12_000_000 if row["participant"] == BANK else None}
              for row in limited()]  # fmt: skip
    by = {"debtor_account": BANK_ACCOUNT}
    accounts = [held_by(1, MONEY, OTHER), held_by(2, MONEY), held_by(3, BANK)]
    home = home_of(tmp_path / "home", *accounts, participants=capped)
    rows = [
        owed(1, 8, 202601, **by),
        owed(2, 8, 202601, **by),
        owed(1, 7, 202602, **by),
        owed(2, 7, 202602, **by),
        owed(3, 9),
    ]
    first = pay(home, rows, "A")
    # The cap lets 8 go; line 5 brings 9, with which 8 go more, and then none of the last 7.
    assert reasons(first) == [None, None, "AM23", "AM21", None]
    assert details(first)[2:4] == [RULES[Reason.COVER_MISSING].sentence, OVER]
    second = pay(home, [owed(3, 9, 202610)], "B")
    assert reasons(second) == [None]
    with switch.open(home) as engine:
        last = engine.line("A", 3)["states"][-1]
        assert (last["status"], last["participant"]) == ("ACSC", OTHER)
        assert passed((MONEY, OVER)) in last["text"].replace("The next", "the next")
        assert engine.line("A", 4)["states"][-1]["status"] == "PDNG"
    assert switch.verify(home)


# --- participants ---------------------------------------------------------------------------------


def test_months__a_code_that_changes_has_one_month_with_the_new_one(tmp_path: Path) -> None:
    day = VALUE_DATE + dt.timedelta(days=1)
    new = "971005N"
    rows = [row | {"replaced_by": None, "replaced_from": None} for row in limited()]
    rows.append(participant(new, "mobile_money", settled_by=new) | {
        "replaced_by": None, "replaced_from": None, "amount_month_max": LIMIT,
    })  # fmt: skip
    for row in rows:
        if row["participant"] == MONEY:
            row |= {"replaced_by": new, "replaced_from": day, "settled_by": new}
    home = home_of(tmp_path / "home", held_by(1, (MONEY, "7")), held_by(2, (new, "7")),
                   participants=rows)  # fmt: skip
    assert sent(pay(home, [owed(1, 6)], "A")) == {MONEY: ["7"]}
    assert reasons(pay(home, [owed(2, 5)], "B")) == ["AM21"]
    batch = pay(home, [owed(1, 4, 202610), owed(1, 1, 202609)], "C", value_date=day)
    assert reasons(batch) == [None, "AM21"]
    assert sent(batch) == {new: ["7"]}
    assert switch.verify(home)


def test_months__the_command_takes_shows_and_refuses_limits(tmp_path: Path) -> None:
    home = home_of(tmp_path / "home", held_by(1, MONEY))
    assert "amount_month_max" in command("directory", home).out
    shown = command("--json", "directory", home).document["participants"]
    assert {row["participant"]: row["amount_month_max"] for row in shown
            if "amount_month_max" in row} == {MONEY: LIMIT}  # fmt: skip
    before = tree_digest(home)
    wrong = write_file(pa.Table.from_pylist(limited(-1)), tmp_path / "wrong.parquet", "parquet")
    told = command("directory", home, "--participants", wrong)
    assert told.code == 3
    for word in ("wrong.parquet", "row 7", "amount_month_max", "is negative", "leave it empty"):
        assert word in told.err, told.err
    assert tree_digest(home) == before
    text = tmp_path / "rows.csv"
    with text.open("w", encoding="utf-8", newline="") as file:
        rows = limited(5_000_000)
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    assert command("directory", home, "--participants", text).code == 0
    assert reasons(pay(home, [owed(1, 6)])) == ["AM21"]
    near = pa.Table.from_pylist([{("amount_month_maxi" if k == "amount_month_max" else k): v
                                  for k, v in row.items()} for row in limited()])  # fmt: skip
    told = command("directory", home, "--participants", write_file(near, wrong, "parquet"))
    assert told.code == 3
    assert "amount_month_max" in told.err


def test_months__a_limit_that_is_lowered_stops_what_comes_behind_it(tmp_path: Path) -> None:
    home = home_of(tmp_path / "home", held_by(1, MONEY))
    pay(home, [owed(1, 9)], "A")
    with switch.open(home) as engine:
        engine.change_directory(participants=rows_table(limited(5_000_000)))
        assert reasons(run(engine, [owed(1, 1, 202610)], "B")) == ["AM21"]
        engine.change_directory(participants=rows_table(limited(None)))
        assert reasons(run(engine, [owed(1, 90, 202609)], "C")) == [None]
        assert engine.line("B", 1)["states"][-1]["status"] == "ACSC"
    assert switch.verify(home)


# --- proof ----------------------------------------------------------------------------------------


def test_months__a_batch_that_sent_too_much_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = home_of(tmp_path / "home", held_by(1, MONEY))
    pay(home, [owed(1, 6)], "A")
    with monkeypatch.context() as patch:
        patch.setattr(Months, "hold", lambda *_, **__: None)
        pay(home, [owed(1, 6, 202610)], "B")
    with pytest.raises(VerificationFailed, match="limits of a month, batch 2: an account at 971005"
                       " was sent 12000000 in 2026-11, of 10000000"):  # fmt: skip
        switch.verify(home)


def test_months__lines_that_wait_by_no_limit_are_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = home_of(tmp_path / "home", held_by(1, CLOSED_BANK), participants=PARTICIPANTS)
    hold = payday.clear

    def planted(job: Any) -> None:
        screen = kernel.Kernel.screen

        def careless(core: Any, *args: Any, **options: Any) -> Any:
            chunk = screen(core, *args, **options)
            chunk.reason[:] = Reason.ACCOUNT_OVER_MONTH
            return chunk

        with monkeypatch.context() as patch:
            patch.setattr(kernel.Kernel, "screen", careless)
            hold(job)

    monkeypatch.setattr(payday, "clear", planted)
    pay(home, [owed(1, 6)])
    with pytest.raises(VerificationFailed, match="a limit that the directory did not have"):
        switch.verify(home)


def test_months__a_clearing_file_that_was_changed_stops_the_run(tmp_path: Path) -> None:
    home = home_of(tmp_path / "home", held_by(1, MONEY), held_by(2, BANK))
    pay(home, [owed(1, 6)], "A")
    path = home / "batches" / "000001" / "clearing" / f"{MONEY}.parquet"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(VerificationFailed, match="is not as it was committed"):
        pay(home, [owed(1, 1, 202610)], "B")
    assert reasons(pay(home, [owed(2, 1)], "C")) == [None], "nobody asked"


def test_months__batches_of_the_rules_before_are_replayed_by_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = home_of(tmp_path / "home", held_by(1, MONEY), participants=PARTICIPANTS)
    with switch.open(home) as engine:
        engine.change_directory(participants=rows_table(limited()))
    table = write_table(payment_table([owed(1, 6), owed(1, 6, 202610)]), tmp_path / "t.parquet")
    with monkeypatch.context() as patch:
        patch.setattr(payday, "RULE_SET", NO_MONTHS)
        with switch.open(home) as engine:
            assert reasons(engine.run(table)) == [None, None]
    assert command("replay", home, "B", table).code == 0


def test_months__a_batch_is_replayed_as_it_was_before_later_ones(tmp_path: Path) -> None:
    home = home_of(tmp_path / "home", held_by(1, MONEY, BANK), held_by(2, MONEY))
    tables = []
    for name, rows in {
        "A": [owed(1, 6), owed(2, 6)],
        "B": [owed(1, 6, 202610), owed(2, 6, 202610), owed(2, 4, 202609)],
        "C": [owed(1, 4, 202609), owed(1, 4, 202608)],
    }.items():
        path = write_table(payment_table(rows), tmp_path / f"{name}.parquet", batch_id=name)
        assert command("run", home, path).code == 0
        tables.append((name, path))
    assert sent(stored(home, 3)) == {BANK: ["12"], MONEY: ["11"]}
    proven(home, tmp_path, *tables)
    assert command("rehearse", home, tables[0][1], "--dry").code == 0


# --- beside the auditor ---------------------------------------------------------------------------


def some_life(draw: random.Random) -> tuple[list[Row], list[list[Row]], list[list[Row]]]:
    """Participants, accounts by person, and tables of lines."""
    rows = limited()
    for row in rows:
        if row["participant"] in (MONEY, OTHER, WALLET, SMALL_BANK):
            row["amount_month_max"] = draw.choice([None, LIMIT, 7_000_000, 15_000_000])
        if row["participant"] == BANK and draw.random() < 0.6:
            row["net_debit_cap"] = draw.choice([0, 10_000_000, 40_000_000])
    places = (MONEY, MONEY, OTHER, WALLET, SMALL_BANK, BANK, CLOSED_BANK)
    texts = ("1", "2", "VN-1", "9" * 20)
    people = [
        [account(n, participant=draw.choice(places), account=draw.choice(texts), priority=p)
         for p in range(draw.randint(1, 3))]
        for n in range(1, 13)
    ]  # fmt: skip
    tables = []
    for _ in range(3):
        lines = []
        for _ in range(draw.randint(10, 40)):
            named = {"creditor_agent": draw.choice(places), "creditor_account": draw.choice(texts)}
            period = draw.choice([202609, 202610, 202611])
            lines.append(owed(
                draw.randint(1, 12), draw.randint(1, 6), period,
                debtor_account=draw.choice(DEBTORS)["debtor_account"],
                **(named if draw.random() < 0.15 else {}),
            ))  # fmt: skip
        tables.append(lines)
    return rows, people, tables


@pytest.mark.parametrize("seed", range(24))
def test_months__engine_and_auditor_agree_for_any_chunks(seed: int, tmp_path: Path) -> None:
    rows, people, tables = some_life(random.Random(seed))
    accounts = list({(a["person_id"], a["participant"], a["account"]): a
                     for mine in people for a in mine}.values())  # fmt: skip
    persons = [person(n) for n in range(1, 13)]
    days = [VALUE_DATE, VALUE_DATE + dt.timedelta(days=1), DECEMBER]
    trees = []
    for number, (threads, chunk_rows) in enumerate([(1, 1), (2, 3), (1, 1000)]):
        home = make_home(tmp_path / f"home{number}", persons, accounts, participants=rows)
        with switch.open(home) as engine:
            auditor = Auditor(rows, DEBTORS, _programmes(), {}, Ruled())
            auditor.register(persons, accounts, None, False)
            for name, lines, day in zip("ABC", tables, days, strict=True):
                batch = run(engine, lines, name, value_date=day, threads=threads,
                            chunk_rows=chunk_rows)  # fmt: skip
                numbered = [{"line_no": n} | row for n, row in enumerate(lines, start=1)]
                expected = auditor.run(_table(name, numbered, day), in_memory=True).batch
                assert expected is not None
                assert reasons(batch) == [outcome.code for outcome in expected.own]
                assert sent(batch) == {
                    who: [one.creditor_account for one in each]
                    for who, each in sorted(expected.sent.items())
                }
        assert switch.verify(home)
        trees.append({k: v for k, v in tree_digest(home).items() if k.startswith("batches")})
    assert trees[0] == trees[1] == trees[2]


def _programmes() -> list[Row]:
    return [{name: row[name] for name in ("benefit", "name", "purpose")} | {"priority": None}
            for row in package_rows("programmes.csv")]  # fmt: skip


def _table(name: str, rows: list[Row], day: dt.date) -> Table:
    total = sum(row["amount"] for row in rows)
    return Table("VSS", name, day, len(rows), total, tuple(rows), f"rows:{rows}")


@pytest.mark.parametrize("step", [account_sums._STEP_WHO, np.uint64(0)])
def test_months__sums_are_those_of_a_dict_and_stop_far_beyond_any_limit(
    step: np.uint64, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Many accounts, few of whose slots are their first. step: by 0 an account has the same first
    slot at all participants."""
    monkeypatch.setattr(account_sums, "_STEP_WHO", step)
    draw, sums, known = np.random.default_rng(7), AccountSums(), {}
    for _ in range(40):
        who = draw.integers(0, 3, 500).astype(np.uint16)
        key = draw.integers(0, 5000, 500).astype(np.uint64)
        amount = draw.integers(1, 10**12, 500)
        for one in zip(who.tolist(), key.tolist(), amount.tolist(), strict=True):
            known[one[:2]] = known.get(one[:2], 0) + one[2]
        slots = sums.of(who, key)
        sums.add(slots, amount)
        sums.take_away(slots[:100], amount[:100])
        sums.add(slots[:100], amount[:100])
        sums.stop(slots)
    keys = list(known)
    slots = sums.of(np.array([w for w, _ in keys], np.uint16), np.array([k for _, k in keys],
                    np.uint64))  # fmt: skip
    assert len(set(slots.tolist())) == len(keys)
    assert sums.sums[slots].tolist() == list(known.values())
    sums.add(slots[:1], np.array([2**61]))
    sums.stop(slots[:1])
    assert sums.sums[slots[0]] == SUM_MOST
