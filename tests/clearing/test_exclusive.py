"""Exclusive groups: of two gifts that exclude each other a person is paid one."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from covering import make, scene, told
from scene import (
    BANK,
    CLOSED_BANK,
    PARTICIPANTS,
    VALUE_DATE,
    account,
    command,
    entitlement,
    line,
    make_home,
    paid_table,
    pay,
    payment_table,
    person,
    run,
    write_table,
)

import switch
from switch.errors import VerificationFailed
from switch.home import paid_bits
from switch.home.store import Home
from switch.registry.directory import Directory

WORDS = "another benefit of its exclusive group was cleared or paid for the period"
TET = "tet 2026"


def programmes(**groups: str) -> pa.Table:
    """Benefits with the group of each that has one."""
    codes = ("PENS", "SASS", "MERT", "UNEM")
    rows = [{"benefit": c, "name": c, "purpose": "SSBE", "exclusive_group": groups.get(c)}
            for c in codes]  # fmt: skip
    return pa.Table.from_pylist(rows)


GIFTS = programmes(SASS=TET, MERT=TET)


def home_of(path: Path, table: pa.Table = GIFTS, **options: Any) -> Path:
    people = [person(n) for n in range(1, 9)]
    accounts = [account(n) for n in range(1, 8)]
    return make_home(path, people, accounts, programmes=table, **options)


def details(batch: switch.Batch) -> list[str | None]:
    found: list[str | None] = batch.status["reason_detail"].to_pylist()
    return found


def verified(home: Path) -> None:
    with switch.open(home, mode="r") as engine:
        engine.verify()


@pytest.mark.parametrize("chunk_rows", [1, 2, 100])
def test_exclusive__the_second_gift_of_a_table_names_the_first(
    tmp_path: Path, chunk_rows: int
) -> None:
    home = home_of(tmp_path / "home")
    rows = [
        line(1, benefit="SASS"),
        line(2, benefit="MERT"),
        line(1, benefit="MERT"),
        line(2, benefit="SASS"),
        line(1, benefit="PENS"),
        line(1, benefit="SASS"),
        line(1, benefit="MERT", period=202612),
        line(1, benefit="UNEM"),
    ]
    with switch.open(home) as engine:
        batch = run(engine, rows, chunk_rows=chunk_rows)
        assert details(batch) == [
            None,
            None,
            f"{WORDS}: SASS",
            f"{WORDS}: MERT",
            None,
            "the entitlement stands earlier in the same table",
            None,
            None,
        ]
        said = {row["sentence"]: (row["count"], row["sum"]) for row in batch.summary["reasons"]}
        assert said[WORDS] == (2, 2_000_003)
        assert batch.summary["cleared"] == {"count": 5, "sum": 5_000_006}
    verified(home)


def test_exclusive__a_gift_of_another_batch_or_of_the_history_counts(tmp_path: Path) -> None:
    home = home_of(tmp_path / "home")
    with switch.open(home) as engine:
        engine.register(paid_history=paid_table([entitlement(3, benefit="MERT")]))
        run(engine, [line(1, benefit="MERT")], "ONE")
        batch = run(engine, [line(n, benefit="SASS") for n in (1, 2, 3)], "TWO")
        assert details(batch) == [f"{WORDS}: MERT", None, f"{WORDS}: MERT"]
        again = run(engine, [line(2, benefit="SASS"), line(2, benefit="MERT")], "THREE")
        assert details(again) == ["the entitlement was cleared or paid before", f"{WORDS}: SASS"]
        engine.replay("THREE", payment_table([line(2, benefit="SASS"), line(2, benefit="MERT")]))
    verified(home)


def test_exclusive__each_benefit_keeps_its_own_bits(tmp_path: Path) -> None:
    home = home_of(tmp_path / "home")
    pay(home, [line(1, benefit="SASS"), line(2, benefit="MERT"), line(3, benefit="MERT")])
    with Home(home, writing=False) as opened:
        kept = {key[0]: paid_bits.read(*file) for key, file in opened.paid_files("cleared").items()}
    rows = {name: [n for n in range(8) if paid_bits.is_set(bits, n)] for name, bits in kept.items()}
    assert rows == {"SASS": [0], "MERT": [1, 2]}


def test_exclusive__a_group_that_ends_lets_the_other_gift_through(tmp_path: Path) -> None:
    home = home_of(tmp_path / "home")
    with switch.open(home) as engine:
        run(engine, [line(1, benefit="SASS")], "ONE")
        engine.change_directory(programmes=programmes())
        assert details(run(engine, [line(1, benefit="MERT")], "TWO")) == [None]
        engine.change_directory(programmes=GIFTS)
        both = run(engine, [line(1, benefit="MERT"), line(2, benefit="MERT")], "THREE")
        assert details(both) == ["the entitlement was cleared or paid before", None]
    verified(home)


def test_exclusive__a_line_that_waited_is_excluded_when_its_turn_comes(tmp_path: Path) -> None:
    home = home_of(tmp_path / "home")
    with switch.open(home) as engine:
        away = {"creditor_agent": CLOSED_BANK, "creditor_account": "7"}
        first = run(engine, [line(1, benefit="SASS", **away)], "ONE")
        assert first.status["status"].to_pylist() == ["PDNG"]
        own = {"creditor_agent": BANK, "creditor_account": "8"}
        assert details(run(engine, [line(1, benefit="MERT", **own)], "TWO")) == [None]
        active = [dict(row) | {"status": "active"} for row in PARTICIPANTS]
        engine.change_directory(participants=pa.Table.from_pylist(active))
        run(engine, [line(2)], "THREE")
        last = engine.line("ONE", 1)["states"][-1]
        assert (last["state"], last["reason"]) == ("REJECTED", "AM05")
        assert f"{WORDS}: MERT" in last["text"]
    verified(home)


def test_exclusive__a_line_that_waits_for_cover_is_excluded_late_in_its_run(tmp_path: Path) -> None:
    table = pa.Table.from_pylist(
        [
            {"benefit": "PENS", "name": "", "purpose": "", "priority": 1, "exclusive_group": TET},
            {"benefit": "SASS", "name": "", "purpose": "", "priority": 2, "exclusive_group": TET},
        ]
    )
    text = """
        2 A > B 90 ACSC
        2 A > B 20 AM05
        1 C > A 50 ACSC person 2
        2 A > C 60 ACSC
    """
    with make(tmp_path / "home", {"A": 100}) as engine:
        engine.change_directory(programmes=table)
        rows, expected = scene(text)
        batch = run(engine, rows)
        assert told(batch) == expected
        assert details(batch)[1] == f"{WORDS}: PENS"
        assert batch.summary["refused"] == {"count": 1, "sum": 20}
    verified(tmp_path / "home")


def test_exclusive__a_gift_whose_line_was_refused_leaves_room_for_the_other(tmp_path: Path) -> None:
    home = home_of(tmp_path / "home", settings={"cutoffs": ("11:00",)})
    with switch.open(home) as engine:
        run(engine, [line(1, benefit="SASS")], "ONE")
        answer = pa.table(
            {
                "participant": [BANK],
                "transfer_id": ["20261125-000001-0000000001"],
                "status": ["RJCT"],
                "amount": [1_000_001],
                "reason": ["AC04"],
                "booked_at": pa.array([dt.datetime(2026, 11, 25, 1, tzinfo=dt.UTC)]),
            }
        )
        engine.reconcile(answer, at="2026-11-25T02:00Z")
        assert details(run(engine, [line(1, benefit="MERT")], "TWO")) == [None]
    verified(home)


def test_exclusive__through_the_command_line(tmp_path: Path) -> None:
    home = home_of(tmp_path / "home")
    pq.write_table(programmes(SASS=TET, MERT=TET, UNEM=TET), tmp_path / "programmes.parquet")
    said = command("directory", home, "--programmes", tmp_path / "programmes.parquet")
    assert said.code == 0, said.err
    table = write_table(
        pa.Table.from_pylist(
            [{"line_no": n, **line(1, benefit=b)} for n, b in enumerate(("UNEM", "SASS"), 1)]
        ),
        tmp_path / "gift.parquet",
        value_date=str(VALUE_DATE),
    )
    assert command("run", home, table).code == 0
    shown = command("status", home, "--line", "B:2")
    assert f"{WORDS}: UNEM" in " ".join(shown.out.split())
    assert command("verify", home).code == 0


def test_advance__of_three_months_refuses_in_january_exactly_who_had_it(tmp_path: Path) -> None:
    """Pensions of December to February, paid at once where floods were: a line a period."""
    home = home_of(tmp_path / "home")
    months = (202612, 202701, 202702)
    lines = [line(n, period=month) for n in (1, 4) for month in months]
    advance = write_table(payment_table(lines), tmp_path / "advance.parquet", batch_id="ADVANCE")
    assert command("run", home, advance).code == 0
    january = [line(n, period=202701) for n in range(1, 8)]
    national = write_table(
        payment_table(january),
        tmp_path / "january.parquet",
        batch_id="N01",
        value_date="2027-01-04",
    )
    assert command("run", home, national).code == 0
    with switch.open(home, mode="r") as engine:
        answers = engine.batch("N01")
        assert (answers["cleared"]["count"], answers["refused"]["count"]) == (5, 2)
    for number, person_number in enumerate(range(1, 8), start=1):
        said = " ".join(command("status", home, "--line", f"N01:{number}").out.split())
        assert ("cleared or paid before" in said) == (person_number in (1, 4)), said
    assert command("verify", home).code == 0


def test_exclusive__verify_finds_two_gifts_of_a_group(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An engine that knows no groups pays both; what the chain says of them proves it wrong."""
    home = home_of(tmp_path / "home")
    with monkeypatch.context() as patch:
        patch.setattr(Directory, "_groups", lambda directory: list(range(4)))
        pay(home, [line(1, benefit="SASS"), line(2, benefit="MERT")], "ONE")
        verified(home)
        pay(home, [line(1, benefit="MERT")], "TWO")
    with pytest.raises(VerificationFailed, match="MERT and SASS of one group are paid"):
        verified(home)


def test_exclusive__verify_finds_a_gift_that_the_history_excludes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = home_of(tmp_path / "home")
    with switch.open(home) as engine:
        engine.register(paid_history=paid_table([entitlement(3, benefit="MERT")]))
    with monkeypatch.context() as patch:
        patch.setattr(Directory, "_groups", lambda directory: list(range(4)))
        pay(home, [line(3, benefit="SASS")])
    with pytest.raises(VerificationFailed, match="SASS and MERT of one group are paid"):
        verified(home)
