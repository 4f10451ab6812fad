"""Fees in tests: homes with agencies and bills, payments written as `A > TAX/1 100`, and where
their money stands."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from cycles import CUTOFFS, WEDNESDAY, make

from switch.engine import Engine
from switch.registry.settings import Settings

AT = "2026-11-25"
AGENCIES = (
    {"agency": "TAX", "name": "Tax department", "participant": "KBNN", "account": "7111"},
    {"agency": "POLICE", "name": "Traffic police", "participant": "C", "late": "refused"},
)
"""One agency whose account the treasury holds, and one at a bank, which takes nothing late."""
NO_CALENDAR = Settings()


def agencies_table(rows: tuple[dict[str, Any], ...] = AGENCIES) -> pa.Table:
    names = ("agency", "name", "participant", "account", "late")
    columns = {name: [row.get(name) for row in rows] for name in names}
    return pa.table({n: pa.array(values, pa.string()) for n, values in columns.items()})


def bills_table(text: str) -> pa.Table:
    """`TAX/1 100` a line, or `TAX/1 100 2026-11-30` with a due day."""
    rows = [(*name.split("/"), *rest) for name, *rest in map(str.split, text.splitlines())]
    due = [dt.date.fromisoformat(row[3]) if len(row) > 3 else None for row in rows]
    return pa.table(
        {
            "agency": pa.array([row[0] for row in rows], pa.string()),
            "bill_ref": pa.array([row[1] for row in rows], pa.string()),
            "amount": pa.array([int(row[2]) for row in rows], pa.int64()),
            "due_on": pa.array(due, pa.date32()),
        }
    )


def payments_table(text: str, first: int = 1, day: dt.date = WEDNESDAY) -> pa.Table:
    """`A > TAX/1 100` a line: a customer of A pays a bill. Ids are P1, P2, ..., or a word behind
    the amount."""
    rows = list(map(str.split, text.splitlines()))
    bills = [row[2].split("/") for row in rows]
    ids = [row[4] if len(row) > 4 else f"P{n}" for n, row in enumerate(rows, first)]
    return pa.table(
        {
            "payment_id": pa.array(ids, pa.string()),
            "agency": pa.array([bill[0] for bill in bills], pa.string()),
            "bill_ref": pa.array([bill[1] for bill in bills], pa.string()),
            "participant": pa.array([row[0] for row in rows], pa.string()),
            "amount": pa.array([int(row[3]) for row in rows], pa.int64()),
            "paid_on": pa.array([day] * len(rows), pa.date32()),
        }
    )


BILLS = "\n".join(
    ["TAX/1 100", "TAX/2 200", "TAX/3 40", "POLICE/1 50 2026-11-20", "POLICE/2 70 2026-12-01"]
)


def home_with_bills(
    path: Path, settings: Settings = CUTOFFS, balances: dict[str, int] | None = None
) -> Engine:
    """An open home of three banks and the treasury, two agencies and five bills."""
    engine = make(path, settings, balances)
    engine.fees.load_agencies(agencies_table())
    engine.fees.load_bills(bills_table(BILLS))
    return engine


def answers_of(engine: Engine, number: int) -> list[tuple[str, str | None]]:
    """(status, reason) of the payments of a commit, as their banks are answered."""
    rows = pq.read_table(engine.home.path / "out" / "fees" / f"{number:06d}.parquet").to_pylist()
    assert all((row["receipt"] is None) == (row["status"] == "RJCT") for row in rows)
    return [(row["status"], row["reason"]) for row in rows]


def state_of(engine: Engine, payment_id: str) -> tuple[str, str]:
    """(state, cycle) of a payment."""
    one = engine.fees.payment(payment_id)
    return one["state"], one["cycle"]


def fees_of(engine: Engine) -> dict[str, int]:
    """Money of agencies, and what customers of banks paid, but for what is zero."""
    kept = ("T.FEES", "B.CUSTOMER")
    balances = engine.home.catalog.balances().items()
    return {name: sum_ for name, sum_ in balances if name.startswith(kept) and sum_}
