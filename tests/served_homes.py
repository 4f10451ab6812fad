"""Homes whose catalog a server keeps, and the same ones of files alone."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from answering import CALENDAR, back, said, write
from scene import (
    BANK,
    BANK_ACCOUNT,
    SMALL_BANK,
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
from switch.home import dialect
from switch.home.store import Home

BESIDE = ("catalog.", "checkpoint", "lock")
"""Files by which a home on a server differs from one of files alone."""


def people() -> list[dict[str, Any]]:
    return [person(n) for n in range(1, 13)]


def accounts() -> list[dict[str, Any]]:
    return [account(n, participant=(BANK, SMALL_BANK)[n % 2]) for n in range(1, 12)]


def rows(period: int = 202611) -> list[dict[str, Any]]:
    """Twelve lines; the last is held, for its person has no account."""
    payer = {"debtor_account": BANK_ACCOUNT}
    return [line(n, period=period, **(payer if n % 4 == 0 else {})) for n in range(1, 13)]


def small(path: Path, address: str = "") -> Path:
    return make_home(path, people(), accounts(), catalog=address)


def life(home: Path, address: str = "") -> None:
    """A home that is made, and in which each kind of commit happens."""
    make_home(home, people(), accounts(), settings=CALENDAR, catalog=address)
    with switch.open(home) as engine:
        run(engine, rows())
        run(engine, rows())
        engine.settle("20261125-1", close_only=True)
        engine.settle("20261125-1", at="2026-11-25T12:00:00")
        run(engine, rows(202612), "SECOND")
        engine.settle("20261125-2", abort="short")
        engine.register(accounts=accounts_table([account(12)]))
        run(engine, rows(202701), "THIRD", value_date="2026-11-26")
        engine.settle("20261126-1", at="2026-11-26T12:00:00")
        answers = [said(n, participant=(BANK, SMALL_BANK)[n % 2]) for n in (1, 2)]
        engine.reconcile(write(home.with_name(f"{home.name}-a"), answers), at="2026-11-27")
        gone = [back(3, participant=SMALL_BANK)]
        engine.reconcile(write(home.with_name(f"{home.name}-b"), gone), at="2026-11-27")
        engine.write_back(at="2026-11-27")
        engine.change_directory(settings=engine.settings)
        engine.close_day("2026-11-30")


def links(home: Path) -> list[tuple[int, str]]:
    with Home(home, writing=False) as opened:
        return opened.catalog.audit.links()


def schema_of(home: Path) -> str:
    return str(json.loads((home / "catalog.postgresql").read_text())["schema"])


def files(home: Path) -> dict[str, str]:
    return {n: d for n, d in tree_digest(home).items() if not n.startswith(BESIDE)}


def rows_of(home: Path) -> str:
    """SHA-256 of all rows but events, of which a crash has some."""
    with switch.open(home, mode="r") as engine:
        db = engine.home.catalog._db
        db.execute("DELETE FROM events")
        return dialect.digest(db)


# --- steps that are disturbed ---------------------------------------------------------------------


def month(number: int) -> int:
    return (2026 + number // 12) * 100 + number % 12 + 1


def pay(engine: Engine, number: int) -> Any:
    return run(engine, rows(month(number)), f"B{number}")


def register(engine: Engine, number: int) -> Any:
    changed = account(1, account=f"2000{number:06d}", valid_from=None)
    return engine.register(accounts=accounts_table([changed]))


STEPS: dict[str, Callable[[Engine, int], Any]] = {"run": pay, "register": register}
