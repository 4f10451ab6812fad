"""Homes with a calendar: lines written as `A > B 100`, funds that are short, cycles given up."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from scene import (
    answers,
    asked,
    line,
    participant,
    people_table,
    person,
    run,
)

import switch
from switch import status
from switch.engine import Engine
from switch.home.history import queue_of
from switch.registry.settings import Settings

WEDNESDAY = dt.date(2026, 11, 25)
CODES = ("A", "B", "C", "KBNN")
PARTICIPANTS = [participant(c, "treasury" if c == "KBNN" else "bank") for c in CODES]
CUTOFFS = Settings(cutoffs=("11:00", "15:30"))
BOUND = {"A": 100, "B": 0}


def make(
    path: Path, settings: Settings = CUTOFFS, balances: dict[str, int] | None = None
) -> Engine:
    engine = switch.init(
        path,
        participants=pa.Table.from_pylist(PARTICIPANTS),
        debtors=pa.Table.from_pylist([{"debtor_account": c, "debtor_agent": c} for c in CODES]),
        balances=table_of(balances) if balances else None,
        settings=settings,
        key=b"0123456789abcdef",
    )
    engine.register(population=people_table(person(n) for n in range(1, 60)))
    return engine


def table_of(balances: dict[str, int]) -> pa.Table:
    return pa.table({"participant": [*balances], "balance": [*balances.values()]})


def lines(text: str, first: int = 1) -> list[dict[str, Any]]:
    """`A > B 100` a line, each for another person."""
    rows = []
    for number, (payer, _, payee, amount) in enumerate(map(str.split, text.splitlines()), first):
        given = {"creditor_agent": payee, "creditor_account": f"{number}"}
        rows.append(line(number, amount=int(amount), debtor_account=payer, **given))
    return rows


def balances_of(engine: Engine) -> dict[str, int]:
    return {
        name: sum_
        for name, sum_ in engine.home.catalog.balances().items()
        if name[:2] == "S." and sum_
    }


def states(engine: Engine) -> dict[str, str]:
    return {row["cycle"]: row["state"] for row in asked(engine.home, "SELECT * FROM cycles")}


def short(path: Path, rule: str | None = None) -> Engine:
    """A owes 80, of which 30 are gone when its cycle is to settle; B passes on what it gets."""
    settings = CUTOFFS if rule is None else Settings(cutoffs=("11:00",), insufficient_funds=rule)
    engine = make(path, settings, BOUND)
    batch = run(engine, lines("A > B 50\nA > C 30\nB > C 40"), "X")
    assert answers(batch) == [("ACSP", None)] * 3
    engine.change_directory(balances=table_of({"A": 50}))
    return engine


def switch_verify(engine: Engine) -> Any:
    """What verify makes of a home that is open."""
    path = engine.home.path
    engine.home.close()
    checks = switch.verify(path)
    engine.home = Engine(path).home
    return checks


RECAST = Settings(cutoffs=("11:00", "15:30"), insufficient_funds="recast")


NEXT_DAY = {"at": "2026-11-26"}


def held_of(engine: Engine) -> list[tuple[int, int]]:
    """(batch, line number) of the lines that wait, as the next run will read them."""
    queue = queue_of(engine.home)
    rows = [] if queue is None else pq.read_table(engine.home.path / queue[0]).to_pylist()
    return [(row["batch"], row["line_no"]) for row in rows]


def told(engine: Engine, batch: str, line_no: int) -> list[str]:
    return [state["status"] for state in status.line(engine.home, batch, line_no)["states"]]


CYCLE = "20261125-1"
WHY = "the State Bank was not to be reached"
WAIT, RECAST = (
    Settings(cutoffs=("11:00", "15:30"), insufficient_funds=rule) for rule in ("wait", "recast")
)


def aborted(path: Path, settings: Settings = CUTOFFS) -> Engine:
    """A treasury pays A and B, A pays C and itself, in two batches of one cycle that is aborted."""
    engine = make(path, settings, {"KBNN": 100, "A": 50})
    run(engine, lines("KBNN > A 60\nA > C 50\nA > A 7"), "X")
    run(engine, lines("KBNN > B 30\nC > KBNN 5", 4), "Y")
    engine.settle(CYCLE, abort=WHY)
    return engine
