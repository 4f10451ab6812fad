"""Households: neighbours in a table whose money goes to the account of the first of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from answering import RECEIVERS, back, said
from scene import account, accounts_table, line, make_home, person, run

import switch
from switch.engine import Engine
from switch.registry.settings import Settings

Row = dict[str, Any]
SIZES = (3, 1, 4, 2, 1, 3)
"""Members of each household."""


def members(sizes: Sequence[int] = SIZES) -> list[list[int]]:
    """Numbers of persons, and of their lines, by household."""
    found, done = [], 0
    for size in sizes:
        found.append(list(range(done + 1, done + size + 1)))
        done += size
    return found


def receiver(number: int) -> str:
    """Receiver of the households in turn, from 0."""
    return RECEIVERS[number % 3]


def accounts(sizes: Sequence[int] = SIZES) -> list[Row]:
    """One account a person, that of the head: a bank, a small bank, a wallet, in turn."""
    return [
        account(n, participant=receiver(at), account=f"1000{home[0]:06d}")
        for at, home in enumerate(members(sizes))
        for n in home
    ]


def lines(sizes: Sequence[int] = SIZES, **changes: Any) -> list[Row]:
    """The table: a line a person, households one behind the other."""
    return [
        line(n, household=f"H{at}") | changes
        for at, home in enumerate(members(sizes), start=1)
        for n in home
    ]


def home_of(
    path: Path, sizes: Sequence[int] = SIZES, settings: Settings | None = None, **options: Any
) -> Path:
    """A home that knows these people, and has run nothing."""
    everybody = [person(n) for home in members(sizes) for n in home]
    return make_home(path, everybody, accounts(sizes), settings=settings, **options)


def amount(numbers: Iterable[int]) -> int:
    """Dong of lines."""
    return sum(1_000_000 + n for n in numbers)


def answer(at: int, status: str = "ACCC", sizes: Sequence[int] = SIZES, **changes: Any) -> Row:
    """What the receiver of a household (from 0) says of its credit."""
    mine = members(sizes)[at]
    told = {"participant": receiver(at), "amount": amount(mine)}
    return said(mine[0], status, **{**told, "creditor_account": f"1000{mine[0]:06d}", **changes})


def returned(at: int, sizes: Sequence[int] = SIZES, **changes: Any) -> Row:
    """The credit of a household comes back."""
    mine = members(sizes)[at]
    return back(mine[0], **{"participant": receiver(at), "amount": amount(mine), **changes})


def joined(engine: Engine, batch: int = 1) -> list[list[int]]:
    """Lines of each credit of two or more that the run of a batch sent."""
    path = engine.home.folder("batches", batch) / "credits.parquet"
    if not path.exists():
        return []
    found: dict[tuple[int, int], list[int]] = {}
    for row in pq.read_table(path).to_pylist():
        key = row.get("batch", batch), row["first"]
        found.setdefault(key, []).append(row["line_no"])
    return list(found.values())


def rows_sent(engine: Engine, batch: int = 1) -> dict[str, list[tuple[int, int]]]:
    """(number of the line that names it, dong) of each row of the clearing files, by receiver."""
    folder = engine.home.folder("batches", batch) / "clearing"
    return {
        path.stem: [
            (int(row["transfer_id"][-10:]), row["amount"])
            for row in pq.read_table(path).to_pylist()
        ]
        for path in sorted(folder.iterdir())
    }


def that_waited(path: Path) -> None:
    """Let a household of a home that knows persons 1 to 8 wait, and be sent as one credit by the
    next run, while one of it waits on."""
    with switch.open(path) as engine:
        run(engine, [line(n, period=202612, household="H6") for n in (6, 7, 8)], "C")
        own = [account(n, account="1000000007") for n in (7, 8)]
        engine.register(accounts=accounts_table(own))
        run(engine, [line(1, period=202701)], "D")
        assert joined(engine, 4) == [[2, 3]]


def capped_and_funded(home: Path, code: str) -> None:
    """A participant is capped, and funded, on somebody's word."""
    with switch.open(home) as engine:
        engine.control.participant(code, by="An", why="it is silent", cap=7)
        engine.control.participant(code, by="An", why="it is silent", balance=2)
