"""The golden home of cash, beside the others of `story`."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from scene import DEBTORS, PARTICIPANTS, account, accounts_table, line, participant


def the_counter_home(told: Any) -> None:
    """Lines that are paid over counters: listed, proven, given back, asked back at a deadline."""
    from story import init, returned, settings, table  # Which has this one among its stories.

    folder = Path("counters")
    folder.mkdir()
    members = [*PARTICIPANTS, participant("VNPOST", "cash")]
    pq.write_table(pa.Table.from_pylist(members), folder / "participants.csv")
    pq.write_table(pa.Table.from_pylist(list(DEBTORS)), folder / "debtors.csv")
    init(told, "counter", "--config", settings("cash.toml", cash_days="10"), directory="counters")
    points = [account(n, participant="VNPOST", account="10/A", kind="cash") for n in (54, 55, 56)]
    pq.write_table(accounts_table(points), "points.parquet")
    told("counter: points", "register", "counter", "--accounts", "points.parquet")
    named = {"creditor_agent": "VNPOST", "creditor_account": "11"}
    rows = [line(1), *(line(n) for n in (54, 55, 56)), line(57, **named)]
    told("counter: run", "run", "counter", table(Path("cash.parquet"), rows, "CASH"))
    told("counter: lists", "cash", "counter")
    sent = pq.read_table("counter/out/CASH/clearing/VNPOST.parquet")
    proof = {
        "participant": "VNPOST",
        "transfer_id": sent["transfer_id"][0].as_py(),
        "amount": sent["amount"][0].as_py(),
        "status": "ACCC",
        "booked_at": dt.datetime(2026, 11, 26, 2, tzinfo=dt.UTC),
    }
    pq.write_table(pa.Table.from_pylist([proof]), "proof.parquet")
    pq.write_table(
        pa.Table.from_pylist([returned(sent, 1, "VNPOST", "C1", "NOAS")]), "unpaid.parquet"
    )
    files = ("proof.parquet", "unpaid.parquet")
    told("counter: proof", "reconcile", "counter", *files, "--at", "2026-11-28")
    told("counter: in time", "expire", "counter", "--at", "2026-12-05")
    told("counter: expire", "expire", "counter", "--at", "2026-12-06")
    told("counter: expire again", "expire", "counter", "--at", "2026-12-06")
    told("counter: lists after", "cash", "counter", "--batch", "CASH")
    told("counter: write back", "dispose", "counter", "--write-back", "--yes")
    told("counter: status", "status", "counter")
    told("counter: paid", "status", "counter", "--line", "CASH:2")
    told("counter: asked", "status", "counter", "--line", "CASH:4")
    told("counter: no batch", "cash", "counter", "--batch", "NONE", code=2)
