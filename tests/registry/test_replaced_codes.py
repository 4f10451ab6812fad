"""A participant's code that changes on a date: old and new are one receiver from then on."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from scene import (
    BANK,
    CLOSED_BANK,
    PARTICIPANTS,
    SMALL_BANK,
    VALUE_DATE,
    WALLET,
    account,
    command,
    line,
    make_home,
    participant,
    pay,
    payment_table,
    person,
    reasons,
    write_table,
)

import switch
from switch.registry.directory import Directory
from switch.registry.settings import Settings

NEW = "971009"
DAY = dt.timedelta(days=1)
Row = dict[str, Any]


def members(old: Row | None = None, new: Row | None = None) -> list[Row]:
    """The directory, in which the wallet's code is replaced on the value date. old, new: changes of
    its rows."""
    moved = {"replaced_by": NEW, "replaced_from": VALUE_DATE} | (old or {})
    rows = [row | {"replaced_by": None, "replaced_from": None} for row in PARTICIPANTS]
    rows = [row | (moved if row["participant"] == WALLET else {}) for row in rows]
    later = participant(NEW, "wallet", settled_by=BANK, replaced_by=None, replaced_from=None)
    return [*rows, later | (new or {})]


def home_of(path: Path, **options: Any) -> Path:
    people = [person(n) for n in range(1, 5)]
    accounts = [account(1, participant=WALLET), account(2), account(3, participant=NEW)]
    options.setdefault("participants", members())
    return make_home(path, people, accounts, **options)


def to(home: Path, name: str) -> dict[str, int]:
    """Lines by receiver, as the clearing files of a batch have them."""
    files = sorted((home / "out" / name / "clearing").glob("*.parquet"))
    return {path.stem: pq.read_metadata(path).num_rows for path in files}


def test_replaced__registers_and_tables_of_the_old_code_pay_at_the_new_one(tmp_path: Path) -> None:
    home = home_of(tmp_path / "home")
    named = {"creditor_agent": WALLET, "creditor_account": "7"}
    rows = [line(1), line(2), line(3), line(4, **named)]
    before = write_table(
        payment_table(rows), tmp_path / "a.parquet", batch_id="BEFORE",
        value_date=str(VALUE_DATE - DAY),
    )  # fmt: skip
    since = write_table(
        payment_table([row | {"period": 202610} for row in rows]), tmp_path / "b.parquet",
        batch_id="SINCE", value_date=str(VALUE_DATE),
    )  # fmt: skip
    for table in (before, since):
        assert command("run", home, table).code == 0
    assert to(home, "BEFORE") == {BANK: 1, WALLET: 2, NEW: 1}
    assert to(home, "SINCE") == {BANK: 1, NEW: 3}
    said = " ".join(command("status", home, "--line", "SINCE:1").out.split())
    assert f"to {NEW}" in said
    for name, table in (("BEFORE", before), ("SINCE", since)):
        assert command("replay", home, name, table).code == 0
    assert command("verify", home).code == 0


def test_replaced__positions_of_both_are_one(tmp_path: Path) -> None:
    """Old and new lines stand in one cycle of a calendar, and one account is paid."""
    home = home_of(tmp_path / "home", settings=Settings(cutoffs=("11:00",)))
    with switch.open(home) as engine:
        early = payment_table([line(1)])
        engine.run(early, source="VSS", batch_id="A", value_date=VALUE_DATE - DAY, count=1,
                   sum=1_000_001, at=f"{VALUE_DATE}T01:00:00")  # fmt: skip
        late = payment_table([line(1, period=202610), line(3)])
        engine.run(late, source="VSS", batch_id="B", value_date=VALUE_DATE, count=2,
                   sum=2_000_004, at=f"{VALUE_DATE}T02:00:00")  # fmt: skip
        answer = engine.settle(at=f"{VALUE_DATE}T20:00:00")[0]
        got = {row["participant"]: row["amount"] for row in answer["participants"]}
    assert got[BANK] == 3_000_005
    assert not {WALLET, NEW} & set(got)
    assert switch.verify(home)


def test_replaced__the_state_of_the_new_code_counts(tmp_path: Path) -> None:
    home = home_of(tmp_path / "a", participants=members(old={"status": "suspended"}))
    assert reasons(pay(home, [line(1)])) == [None]
    home = home_of(tmp_path / "b", participants=members(new={"status": "suspended"}))
    assert reasons(pay(home, [line(1)])) == ["AB08"]
    home = home_of(tmp_path / "c", participants=members(new={"amount_max": 1_000_000}))
    assert reasons(pay(home, [line(1)])) == ["AM02"]


def test_replaced__an_account_of_either_code_is_one(tmp_path: Path) -> None:
    """Admits one person, whichever code a line names."""
    home = home_of(tmp_path / "home", settings=Settings(accounts_shared_max=1))
    both = [{"creditor_agent": code, "creditor_account": "7"} for code in (WALLET, NEW)]
    assert reasons(pay(home, [line(1, **both[0]), line(2, **both[1])])) == [None, "NOCM"]
    with switch.open(home, mode="r") as engine:
        shown = engine.shared_accounts("B").to_pylist()
    assert [(row["participant"], row["held_persons"]) for row in shown] == [(NEW, 1)]


@pytest.mark.parametrize(
    ("column", "old", "new"),
    [
        ("replaced_from", {"replaced_from": None}, {}),
        ("replaced_by", {"replaced_by": None}, {}),
        ("replaced_by", {"replaced_by": WALLET}, {}),
        ("replaced_by", {"replaced_by": "971999"}, {}),
        ("replaced_by", {}, {"replaced_by": BANK, "replaced_from": VALUE_DATE}),
        ("settled_by", {}, {"settled_by": SMALL_BANK}),
        ("settled_by", {"settled_by": CLOSED_BANK}, {}),
    ],
)
def test_replaced__what_does_not_fit_is_refused(
    column: str, old: Row, new: Row, tmp_path: Path
) -> None:
    home = make_home(tmp_path / "home")
    table = tmp_path / "participants.parquet"
    pq.write_table(pa.Table.from_pylist(members(old, new)), table)
    said = command("--json", "directory", home, "--participants", table)
    assert said.code == 3, said.out
    error = said.document["error"]
    assert (error["rule"], error["column"]) == ("DIRECTORY_INVALID", column)
    assert error["row"] == [r["participant"] for r in PARTICIPANTS].index(WALLET) + 1
    pq.write_table(pa.Table.from_pylist(members()), table)
    assert command("directory", home, "--participants", table).code == 0


def test_replaced__a_directory_without_is_kept_as_before(tmp_path: Path) -> None:
    home = make_home(tmp_path / "home")
    with switch.open(home, mode="r") as engine:
        text = engine.directory.to_json()
        assert b"replaced" not in text
        assert Directory.of_json(text).index_on("2999-12-31") == engine.directory.index()
