"""Answers to a home of one batch whose lines went to three receivers, and where they left it."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
from scene import (
    BANK,
    BANK_ACCOUNT,
    SMALL_BANK,
    WALLET,
    account,
    line,
    make_home,
    person,
    run,
)

import switch
from switch.engine import Engine
from switch.home.history import folders, open_breaks
from switch.reconcile import take_in
from switch.registry.settings import Settings
from switch.sim.lives.tables import CONFIRMATIONS, RETURNS

CALENDAR = Settings(cutoffs=("11:00", "15:30"))
LATER = "2026-11-30"
RECEIVERS = (BANK, SMALL_BANK, WALLET)
NOON = dt.datetime(2026, 11, 25, 12, tzinfo=dt.UTC)


def transfer(number: int, batch: int = 1, day: str = "20261125") -> str:
    return f"{day}-{batch:06d}-{number:010d}"


def said(number: int, status: str = "ACCC", **changes: Any) -> dict[str, Any]:
    """What the receiver of line `number` of batch 1 says: credited, unless told otherwise."""
    row = {
        "participant": RECEIVERS[number % 3],
        "transfer_id": transfer(number),
        "amount": 1_000_000 + number,
        "creditor_account": f"1000{number:06d}",
        "status": status,
        "reason": "AC04" if status == "RJCT" else None,
        "booked_at": NOON,
    }
    return row | changes


def back(number: int, **changes: Any) -> dict[str, Any]:
    row = {
        "participant": RECEIVERS[number % 3],
        "return_id": f"R{number}",
        "transfer_id": transfer(number),
        "amount": 1_000_000 + number,
        "reason": "AC04",
        "booked_at": NOON + dt.timedelta(days=2),
    }
    return row | changes


def home_of(path: Path, lines: int = 12, settings: Settings | None = None) -> Path:
    """One batch: line n goes to the receiver n % 3; every fourth is paid by BANK, so that some are
    on-us and some stay between BANK and the wallet that it settles for."""
    numbers = range(1, lines + 1)
    people = [person(n) for n in range(1, 60)]
    accounts = [
        account(n, participant=RECEIVERS[n % 3], kind="wallet" if n % 3 == 2 else "bank")
        for n in range(1, 60)
    ]
    make_home(path, people, accounts, settings=settings)
    with switch.open(path) as engine:
        rows = [
            line(n, **({"debtor_account": BANK_ACCOUNT} if n % 4 == 0 else {})) for n in numbers
        ]
        assert run(engine, rows, "A").summary["cleared"]["count"] == lines
    return path


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    schema = RETURNS if rows and "return_id" in rows[0] else CONFIRMATIONS
    pq.write_table(pa.Table.from_pylist(rows, schema), path)
    return path


def take(engine: Engine, path: Path, *rows: dict[str, Any], **options: Any) -> dict[str, Any]:
    """Give rows as a file."""
    file = path.parent / f"{path.name}-answers.parquet"
    return engine.reconcile(write(file, list(rows)), **({"at": LATER} | options))


def states_of(engine: Engine) -> dict[int, str]:
    """State by line number of batch 1."""
    from switch.reconcile.line_states import State, Verdicts

    known = folders(engine.home)
    expected = take_in.SentLines(engine.home, {1})
    heard, booked = take_in.taken_in(engine.home, known, expected)
    heard.close()
    rules = take_in.rules_of(known)
    found = Verdicts(heard, booked, rules, dt.date.fromisoformat(LATER)).states()
    return {n: State(state).name for n, state in enumerate(found.tolist(), 1)}


def breaks_of(engine: Engine) -> list[tuple[str, str | None]]:
    table = open_breaks(engine.home, folders(engine.home))
    return sorted(zip(table["class"].to_pylist(), table["transfer_id"].to_pylist(), strict=True))


def books(engine: Engine) -> dict[str, int]:
    return {name: sum_ for name, sum_ in engine.home.catalog.balances().items() if sum_}


def switch_verify(engine: Engine) -> bool:
    """Prove a home that is open."""
    from switch.proof.verify import Verifier

    faults = [check for check in Verifier(engine.home).checks() if check.fault]
    assert faults == []
    return True
