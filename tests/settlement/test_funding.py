"""What batches reserve of budgets, use up and release; tables beyond a budget; who pays."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from scene import (
    BANK,
    BANK_ACCOUNT,
    PARTICIPANTS,
    SMALL_BANK,
    TREASURY,
    TREASURY_ACCOUNT,
    account,
    accounts_table,
    answers,
    asked,
    command,
    line,
    payment_table,
    people_table,
    person,
    run,
    write_table,
)

import switch
from switch import status
from switch.engine import Engine
from switch.errors import InputRefused
from switch.registry.settings import Settings
from switch.rehearsal import rehearse
from switch.settlement import budgets as budgeting
from switch.settlement.budgets import Stand

ENFORCED = Settings(enforce_budgets=True)
CALENDAR = Settings(enforce_budgets=True, cutoffs=("11:00", "15:30"))
NEXT_DAY = {"at": "2026-11-26"}


def debtors(*budgets: tuple[str, str, str, int | None]) -> pa.Table:
    """(account, agent, programme, budget) a row."""
    names = ("debtor_account", "debtor_agent", "programme", "budget")
    return pa.Table.from_pylist([dict(zip(names, row, strict=True)) for row in budgets])


def two_accounts(pens: int | None, more: int | None = None) -> pa.Table:
    """Pensions are paid out of the treasury's account at the State Bank, or at a bank."""
    return debtors((TREASURY_ACCOUNT, TREASURY, "PENS", pens), (BANK_ACCOUNT, BANK, "PENS", more))


def make(path: Path, settings: Settings = ENFORCED, pens: int | None = 1000) -> Engine:
    """People 1 to 9 have accounts, 10 to 19 have none yet."""
    engine = switch.init(
        path,
        participants=pa.Table.from_pylist(list(PARTICIPANTS)),
        debtors=two_accounts(pens),
        settings=settings,
        key=b"0123456789abcdef",
    )
    engine.register(
        population=people_table(map(person, range(1, 20))),
        accounts=accounts_table(account(n, participant=SMALL_BANK) for n in range(1, 10)),
    )
    return engine


def told(engine: Engine, programme: str = "PENS") -> tuple[Any, ...]:
    """reserved, consumed, released, remaining and available of a programme."""
    (row,) = [r for r in status.budgets(engine.home) if r["programme"] == programme]
    names = ("reserved", "consumed", "released", "remaining", "available")
    return tuple(row[name] for name in names)


def refused(engine: Engine, lines: list[Any], batch: str, **options: Any) -> str:
    before = engine.home.catalog.heads().link, sorted(engine.home.path.rglob("*"))
    with pytest.raises(InputRefused) as error:
        run(engine, lines, batch, **options)
    assert (engine.home.catalog.heads().link, sorted(engine.home.path.rglob("*"))) == before
    assert error.value.rule == "BUDGET_EXCEEDED"
    return str(error.value)


def test_budget__may_be_used_to_its_last_dong_and_no_further(tmp_path: Path) -> None:
    with make(tmp_path / "h") as engine:
        run(engine, [line(1, amount=400)], "A")
        message = refused(engine, [line(2, amount=300), line(3, amount=301)], "B")
        assert "PENS needs 601 and has 600 left of 1,000" in message
        assert "switch directory --debtors" in message
        assert told(engine) == (400, 400, 0, 0, 600)
        run(engine, [line(2, amount=300), line(3, amount=300)], "B")
        assert told(engine) == (1000, 1000, 0, 0, 0)
    assert switch.verify(tmp_path / "h")


def test_budget__refused_lines_reserve_nothing(tmp_path: Path) -> None:
    with make(tmp_path / "h") as engine:
        lines = [line(1, amount=1000), line(1, amount=9), line(2, amount=0), line(3, benefit="NO")]
        batch = run(engine, lines, "A")
        assert [code for _, code in answers(batch)] == [None, "AM05", "AM12", "FF07"]
        assert told(engine)[0] == 1000
    assert switch.verify(tmp_path / "h")


def test_budget__a_line_that_waits_keeps_its_reservation_until_it_is_paid(tmp_path: Path) -> None:
    with make(tmp_path / "h") as engine:
        run(engine, [line(10, amount=900), line(1, amount=50)], "A")
        assert told(engine) == (950, 50, 0, 900, 50)
        refused(engine, [line(2, amount=51)], "B")
        engine.register(accounts=accounts_table([account(10, participant=SMALL_BANK)]))
        run(engine, [line(2, amount=50)], "B")
        assert told(engine) == (1000, 1000, 0, 0, 0)
        stands = budgeting.standing(engine.home)
        assert stands[1, "PENS"] == Stand(950, 950, 0)
        assert stands[2, "PENS"] == Stand(50, 50, 0)
    assert switch.verify(tmp_path / "h")


def test_budget__what_a_waiting_line_releases_is_free_in_the_same_run(tmp_path: Path) -> None:
    with make(tmp_path / "h") as engine:
        run(engine, [line(10, amount=900)], "A")
        engine.register(population=people_table([person(10, status="deceased", status_since=None)]))
        refused(engine, [line(1, amount=1001)], "B")
        batch = run(engine, [line(1, amount=1000)], "B")
        assert batch.summary["represented"]["refused"] == {"count": 1, "sum": 900}
        assert told(engine) == (1900, 1000, 900, 0, 0)
        engine.change_directory(debtors=two_accounts(1001))
        refused(engine, [line(2, amount=2)], "C")
        run(engine, [line(2, amount=1)], "C")
    assert switch.verify(tmp_path / "h")


def test_budget__a_waiting_line_whose_programme_is_gone_releases_it_all_the_same(
    tmp_path: Path,
) -> None:
    with make(tmp_path / "h", Settings()) as engine:
        run(engine, [line(10, amount=900)], "A")
        left = [p for p in engine.directory.programmes if p.benefit != "PENS"]
        engine.change_directory(
            programmes=pa.Table.from_pylist([{"benefit": p.benefit} for p in left])
        )
        run(engine, [line(1, amount=5, benefit="SASS")], "B")
        assert told(engine) == (900, 0, 900, 0, 1000)
        assert told(engine, "SASS") == (5, 5, 0, 0, None)
    assert switch.verify(tmp_path / "h")


def test_budget__is_used_up_when_the_cycle_settles_and_kept_when_it_is_aborted(
    tmp_path: Path,
) -> None:
    with make(tmp_path / "h", CALENDAR) as engine:
        run(engine, [line(1, amount=600)], "A")
        assert told(engine) == (600, 0, 0, 600, 400)
        engine.settle("20261125-1", abort="nothing goes")
        assert told(engine) == (600, 0, 0, 600, 400)
        told_of = budgeting.told_of_batch(engine.home, 1)
        assert told_of["reserve"] == {
            "reserved": 600, "consumed": 0, "released": 600, "remaining": 0,
        }  # fmt: skip
        refused(engine, [line(2, amount=401)], "B", **NEXT_DAY)
        run(engine, [line(2, amount=400)], "B", **NEXT_DAY)
        assert told(engine) == (1000, 0, 0, 1000, 0)
        engine.settle()
        assert told(engine) == (1000, 1000, 0, 0, 0)
        assert budgeting.told_of_batch(engine.home, 2)["reserve"]["consumed"] == 1000
    assert switch.verify(tmp_path / "h")


def test_budget__a_recast_gives_back_what_its_lines_had_not_used(tmp_path: Path) -> None:
    settings = Settings(cutoffs=("11:00",), insufficient_funds="recast")
    with make(tmp_path / "h", settings) as engine:
        own = line(1, amount=70, debtor_account=BANK_ACCOUNT)
        run(engine, [own, line(2, amount=30)], "A")
        engine.change_directory(balances=pa.table({"participant": [BANK], "balance": [1]}))
        assert engine.settle()[0]["rule"] == "recast"
        assert told(engine) == (100, 30, 0, 70, 900)
    assert switch.verify(tmp_path / "h")


def test_budget__of_a_programme_is_the_sum_of_its_accounts_parts(tmp_path: Path) -> None:
    with make(tmp_path / "h") as engine:
        engine.change_directory(debtors=two_accounts(1000, 500))
        run(engine, [line(1, amount=1400)], "A")
        refused(engine, [line(2, amount=101, debtor_account=BANK_ACCOUNT)], "B")
        engine.change_directory(debtors=two_accounts(1000, 501))
        run(engine, [line(2, amount=101, debtor_account=BANK_ACCOUNT)], "B")
        engine.change_directory(debtors=two_accounts(None))
        run(engine, [line(3, amount=10_000)], "C")
        assert told(engine)[-1] is None
    assert switch.verify(tmp_path / "h")


def test_budget__binds_where_the_home_says_so_alone(tmp_path: Path) -> None:
    with make(tmp_path / "h", Settings()) as engine:
        run(engine, [line(1, amount=1500)], "A")
        assert told(engine) == (1500, 1500, 0, 0, -500)
        engine.change_directory(settings=ENFORCED)
        message = refused(engine, [line(2, amount=1)], "B")
        assert "has -500 left" in message
        run(engine, [line(2, benefit="SASS", amount=1)], "B")
    assert switch.verify(tmp_path / "h")


@pytest.mark.parametrize(
    ("row", "column"),
    [
        ((TREASURY_ACCOUNT, TREASURY, "NO", 5), "programme"),
        ((TREASURY_ACCOUNT, TREASURY, "", 5), "programme"),
        ((TREASURY_ACCOUNT, TREASURY, "PENS", -1), "budget"),
    ],
)
def test_budget__of_nothing_is_refused(row: Any, column: str, tmp_path: Path) -> None:
    with make(tmp_path / "h") as engine:
        link = engine.home.catalog.heads().link
        with pytest.raises(InputRefused, match="DIRECTORY_INVALID") as error:
            engine.change_directory(debtors=debtors(row))
        assert (error.value.column, error.value.row) == (column, 1)
        assert engine.home.catalog.heads().link == link
    with pytest.raises(InputRefused, match="DIRECTORY_INVALID"):
        switch.init(
            tmp_path / "other",
            participants=pa.Table.from_pylist(list(PARTICIPANTS)),
            debtors=debtors(row),
            settings=ENFORCED,
        )


def test_funding__the_treasury_pays_by_the_state_bank_or_by_a_bank(tmp_path: Path) -> None:
    """Who pays is the debtor agent of the account: what the treasury pays itself is set aside; by
    the account at a bank that bank is the payer, and what it pays its own customers is on-us."""
    with make(tmp_path / "h", Settings(cutoffs=("11:00",))) as engine:
        engine.register(accounts=accounts_table([account(11, participant=BANK)]))
        by_bank = {"debtor_account": BANK_ACCOUNT, "amount": 50}
        run(engine, [line(1, amount=100), line(2, **by_bank), line(11, **by_bank)], "A")
        rows = asked(engine.home, "SELECT step, debit, credit, amount FROM postings ORDER BY seq")
        assert [tuple(row) for row in rows] == [
            ("P1", "T.EXPENSE[PENS]", "T.PAYABLE[000001]", 200),
            ("P2", f"S.TREASURY[{TREASURY}]", "S.RESERVE[000001]", 100),
            ("P12", f"B.TREASURY[{BANK}]", f"B.CUSTOMER[{BANK}]", 50),
            ("P3", f"N.POSITION[{BANK}]", f"N.POSITION[{SMALL_BANK}]", 50),
            ("P3", f"N.POSITION[{TREASURY}]", f"N.POSITION[{SMALL_BANK}]", 100),
        ]
        engine.settle()
        paid = {r["participant"]: r["net"] for r in asked(engine.home, "SELECT * FROM positions")}
        assert paid == {TREASURY: -100, BANK: -50, SMALL_BANK: 150}
        assert told(engine) == (200, 200, 0, 0, 800)
    assert switch.verify(tmp_path / "h")


def test_status__shows_budgets_and_what_a_batch_has_of_them(tmp_path: Path) -> None:
    home = tmp_path / "h"
    with make(home) as engine:
        run(engine, [line(1, amount=400), line(10, amount=9)], "A")
    budgets = command("--json", "status", home).document["budgets"]
    assert budgets == [
        {
            "programme": "PENS", "budget": 1000, "reserved": 409, "consumed": 400, "released": 0,
            "remaining": 9, "available": 591,
        }
    ]  # fmt: skip
    batch = command("--json", "status", home, "--batch", "A").document
    assert batch["funding"]["budgets"][0]["remaining"] == 9
    assert batch["funding"]["reserve"]["reserved"] == 400
    assert "591" in command("status", home).out
    assert "remaining" in command("status", home, "--batch", "A").out


def test_run__a_table_beyond_its_budget_is_exit_3(tmp_path: Path) -> None:
    home = tmp_path / "h"
    make(home).close()
    table = write_table(payment_table([line(1, amount=1001)]), tmp_path / "t.parquet")
    said = command("--json", "run", home, table)
    assert (said.code, said.document["error"]["rule"]) == (3, "BUDGET_EXCEEDED")
    assert said.document["error"]["file"].endswith("t.parquet")
    rehearsed = rehearse(home, [table])["tables"][0]["error"]
    assert rehearsed["rule"] == "BUDGET_EXCEEDED"
    said = command("--json", "rehearse", home, table)
    assert said.code == 3
    assert said.document["tables"][0]["error"]["rule"] == "BUDGET_EXCEEDED"
    config = tmp_path / "c.toml"
    config.write_text("enforce_budgets = false\n")
    assert command("directory", home, "--config", config).code == 0
    assert command("run", home, table).code == 0


def _a_held_line_reserves_nothing(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(budgeting.Use, "wait", lambda *_: None)


def _nothing_is_released(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(
        budgeting.Use,
        "to_dict",
        lambda use, real=budgeting.Use.to_dict: real(use) | {"released": []},
    )


def _no_budget_holds(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(budgeting, "require_within", lambda *_: None)


@pytest.mark.parametrize(
    ("plant", "check"),
    [
        (_a_held_line_reserves_nothing, "budgets, as they are shown"),
        (_nothing_is_released, "budgets, as they are shown"),
        (_no_budget_holds, "PENS is beyond its budget"),
    ],
    ids=lambda value: getattr(value, "__name__", "").strip("_"),
)
def test_verify__finds_funding_gone_wrong(
    plant: Callable[[pytest.MonkeyPatch], None],
    check: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with make(tmp_path / "h") as engine, monkeypatch.context() as patch:
        plant(patch)
        run(engine, [line(10, amount=700)], "A")
        engine.register(population=people_table([person(10, status="deceased")]))
        run(engine, [line(1, amount=600)], "B")
        if plant is _no_budget_holds:
            run(engine, [line(2, amount=401)], "C")
    with pytest.raises(switch.VerificationFailed, match=check):
        switch.verify(tmp_path / "h")


def test_funding__the_same_for_any_threads_and_chunks(tmp_path: Path) -> None:
    links = []
    for name, threads, chunk_rows in (("a", 1, 1), ("b", 2, 1000)):
        with make(tmp_path / name, pens=None) as engine:
            lines = [line(n, amount=n, benefit=("PENS", "SASS")[n % 2]) for n in range(1, 20)]
            run(engine, lines, "A", threads=threads, chunk_rows=chunk_rows)
            engine.register(accounts=accounts_table([account(12), account(13)]))
            run(engine, [line(12), line(14)], "B", threads=threads, chunk_rows=chunk_rows)
            links.append(engine.home.catalog.heads().link)
    assert links[0] == links[1]
