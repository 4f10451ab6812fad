"""Lines that wait are tried again, oldest first; lines without funds or room wait too."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pyarrow as pa
import pytest
from home_reads import catalog, clearing_rows, line_states
from scene import (
    BANK,
    BANK_ACCOUNT,
    CLOSED_BANK,
    PARTICIPANTS,
    SMALL_BANK,
    TREASURY,
    account,
    accounts_table,
    answers,
    command,
    line,
    make_home,
    pay,
    payment_table,
    people_table,
    person,
    reasons,
    run,
    tree_digest,
    write_table,
)

import switch
from switch.engine import Settings
from switch.errors import InputRefused

APRIL, MARCH = dt.date(2026, 4, 25), dt.date(2026, 3, 25)


# --- held lines -----------------------------------------------------------------------------------


def test_run__held_line_clears_when_an_account_appears(tmp_path: Path) -> None:
    home = make_home(tmp_path / "h", [person(1), person(2)], [account(2)])
    first = pay(home, [line(1)], "A")
    assert answers(first) == [("PDNG", "AC03")]
    stored = tree_digest(first.folder)
    with switch.open(home) as engine:
        engine.register(accounts=accounts_table([account(1)]))
        second = run(engine, [line(2)], "B")
    assert [row["creditor_account"] for row in clearing_rows(second)[BANK]] == [
        "1000000001",
        "1000000002",
    ]
    assert second.summary["represented"]["cleared"] == {"count": 1, "sum": 1_000_001}
    assert second.summary["cleared"]["count"] == 1
    assert tree_digest(first.folder) == stored, "an old answer never changes"
    assert line_states(home, "A", 1) == [("PDNG", "AC03"), ("ACSC", None)]
    assert switch.verify(home)


def test_run__held_line_clears_when_its_participant_is_active_again(tmp_path: Path) -> None:
    home = make_home(
        tmp_path / "h", [person(1), person(2)], [account(1, participant=CLOSED_BANK), account(2)]
    )
    given = {"creditor_agent": CLOSED_BANK, "creditor_account": "0099"}
    assert reasons(pay(home, [line(1), line(2, **given)], "A")) == ["AB08", "AB08"]
    assert reasons(pay(home, [line(2, benefit="SASS")], "B")) == [None]
    assert line_states(home, "A", 1) == [("PDNG", "AB08")]
    active = [row | {"status": "active"} for row in PARTICIPANTS]
    with switch.open(home) as engine:
        engine.change_directory(participants=pa.Table.from_pylist(active))
        batch = run(engine, [line(2, benefit="MERT")], "C")
    assert [row["creditor_account"] for row in clearing_rows(batch)[CLOSED_BANK]] == [
        "1000000001",
        "0099",
    ]
    assert line_states(home, "A", 2) == [("PDNG", "AB08"), ("ACSC", None)]
    assert switch.verify(home)


def test_run__held_lines_are_tried_oldest_first_before_the_tables_own(tmp_path: Path) -> None:
    home = make_home(tmp_path / "h", [person(1), person(2)], [account(2)])
    pay(home, [line(1, amount=11), line(1, amount=12)], "A")
    pay(home, [line(1, amount=13)], "B")
    with switch.open(home) as engine:
        engine.register(accounts=accounts_table([account(1)]))
        batch = run(engine, [line(1, amount=14), line(2)], "C")
    assert reasons(batch) == ["AM05", None]
    assert [row["amount"] for row in clearing_rows(batch)[BANK]] == [11, 1_000_002]
    assert line_states(home, "A", 1) == [("PDNG", "AC03"), ("ACSC", None)]
    assert line_states(home, "A", 2) == [("PDNG", "AC03"), ("RJCT", "AM05")]
    assert line_states(home, "B", 1) == [("PDNG", "AC03"), ("RJCT", "AM05")]
    assert switch.verify(home)


def test_run__held_line_consumes_no_entitlement(tmp_path: Path) -> None:
    home = make_home(tmp_path / "h", [person(1)], [])
    given = {"creditor_agent": BANK, "creditor_account": "55"}
    assert answers(pay(home, [line(1), line(1, **given)], "A")) == [
        ("PDNG", "AC03"),
        ("ACSC", None),
    ]
    batch = pay(home, [line(1, benefit="SASS", **given)], "B")
    assert batch.summary["represented"]["refused"]["count"] == 0, "still no account: it waits on"
    with switch.open(home) as engine:
        engine.register(accounts=accounts_table([account(1)]))
        run(engine, [line(1, benefit="MERT")], "C")
    assert line_states(home, "A", 1) == [("PDNG", "AC03"), ("RJCT", "AM05")]
    assert switch.verify(home)


def test_run__held_line_is_judged_by_the_new_runs_value_date(tmp_path: Path) -> None:
    people = [person(1, status="deceased", status_since=APRIL), person(2)]
    home = make_home(tmp_path / "h", people, [account(2)])
    assert reasons(pay(home, [line(1)], "A", value_date=MARCH)) == ["AC03"]
    pay(home, [line(2)], "B", value_date=APRIL)
    assert line_states(home, "A", 1) == [("PDNG", "AC03"), ("RJCT", "MD07")]
    assert switch.verify(home)


def test_run__refused_table_leaves_held_lines_waiting(tmp_path: Path) -> None:
    home = make_home(tmp_path / "h", [person(1), person(2)], [account(2)])
    pay(home, [line(1)], "A")
    with switch.open(home) as engine:
        engine.register(accounts=accounts_table([account(1)]))
    before = tree_digest(home)
    with pytest.raises(InputRefused, match="CONTROL_SUM"):
        pay(home, [line(2)], "B", sum=1)
    assert tree_digest(home) == before
    assert line_states(home, "A", 1) == [("PDNG", "AC03")]


def test_run__replay_does_not_try_held_lines(tmp_path: Path) -> None:
    home = make_home(tmp_path / "h", [person(1)], [])
    pay(home, [line(1)], "A")
    with switch.open(home) as engine:
        engine.register(accounts=accounts_table([account(1)]))
        assert run(engine, [line(1)], "A").replayed
    assert line_states(home, "A", 1) == [("PDNG", "AC03")]


def test_run__held_lines_survive_many_runs_and_registers(tmp_path: Path) -> None:
    home = make_home(tmp_path / "h", [person(1), person(2)], [account(2)])
    pay(home, [line(1), line(1, benefit="SASS")], "A")
    for month in range(1, 6):
        pay(home, [line(2, period=202600 + month)], f"M{month}")
        with switch.open(home) as engine:
            engine.register(population=people_table([person(100 + month)]))
    with switch.open(home) as engine:
        engine.register(accounts=accounts_table([account(1)]))
        batch = run(engine, [line(2, period=202612)], "Z")
    assert batch.summary["represented"]["cleared"]["count"] == 2
    assert not (batch.folder / "held.parquet").exists()
    assert line_states(home, "A", 2) == [("PDNG", "AC03"), ("ACSC", None)]
    assert switch.verify(home)


# --- guards ---------------------------------------------------------------------------------------


def guarded(path: Path, balance: int) -> Path:
    balances = pa.table({"participant": [TREASURY], "balance": [balance]})
    return make_home(path, map(person, (1, 2)), map(account, (1, 2)), balances=balances)


def test_run__a_line_without_funds_of_a_guarded_account_waits(tmp_path: Path) -> None:
    home = guarded(tmp_path / "h", 99)
    table = write_table(payment_table([line(1, amount=100)]), tmp_path / "t")
    said = command("--json", "run", home, table, "--fail-on-refused")
    assert said.code == 1
    assert said.document["batches"][0]["reasons"][0]["reason"] == "AM23"
    assert ("S.TREASURY[KBNN]", 99) in catalog(home, "SELECT * FROM balances")


def test_run__guarded_account_pays_to_its_last_dong_and_no_further(tmp_path: Path) -> None:
    home = guarded(tmp_path / "h", 100)
    assert reasons(pay(home, [line(1, amount=100)], "A")) == [None]
    assert ("S.TREASURY[KBNN]", 0) in catalog(home, "SELECT * FROM balances")
    assert reasons(pay(home, [line(2, amount=1)], "B")) == ["AM23"]
    assert switch.verify(home)


def test_run__unguarded_accounts_may_go_below_zero(tmp_path: Path) -> None:
    home = guarded(tmp_path / "h", 0)
    given = {"creditor_agent": SMALL_BANK, "creditor_account": "1"}
    pay(home, [line(1, debtor_account=BANK_ACCOUNT, amount=100, **given)])
    assert ("S.BANK[970001]", -100) in catalog(home, "SELECT * FROM balances")
    assert switch.verify(home)


def test_run__a_line_above_the_net_debit_cap_waits(tmp_path: Path) -> None:
    capped = [
        r | ({"net_debit_cap": 100} if r["participant"] == TREASURY else {}) for r in PARTICIPANTS
    ]
    home = make_home(tmp_path / "h", map(person, (1, 2)), map(account, (1, 2)), participants=capped)
    assert answers(pay(home, [line(1, amount=101)], "A")) == [("PDNG", "AM23")]
    assert reasons(
        pay(home, [line(2, amount=100, creditor_agent=SMALL_BANK, creditor_account="1")], "B")
    ) == ["AM23"]
    assert switch.verify(home)


@pytest.mark.parametrize("at", ["before", "after"])
def test_run__clearing_limit_comes_from_the_configuration(
    at: str, village: Path, tmp_path: Path
) -> None:
    config = tmp_path / "switch.toml"
    config.write_text("clearing_limit = 50\n")
    table = write_table(payment_table([line(1, amount=50), line(2, amount=51)]), tmp_path / "t")
    options = ["--config", config]
    said = (
        command(*options, "--json", "run", village, table)
        if at == "before"
        else command("run", village, table, "--json", *options)
    )
    assert said.code == 0
    assert [r["reason"] for r in said.document["batches"][0]["reasons"]] == ["AM13"]


def test_run__clearing_limit_of_the_home_holds(tmp_path: Path) -> None:
    home = make_home(tmp_path / "h", [person(1)], [account(1)], settings=Settings(clearing_limit=5))
    assert reasons(pay(home, [line(1, amount=6), line(1, amount=5)])) == ["AM13", None]
