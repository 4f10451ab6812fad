"""Scenes of cover: a text names who pays whom how much, and how each line is answered."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
from scene import (
    answers,
    line,
    participant,
    people_table,
    person,
)

import switch
from switch.engine import Engine

CODES = ("A", "B", "C", "W")


BENEFIT_OF = {"1": "PENS", "2": "SASS"}
PROGRAMMES = [
    {"benefit": "PENS", "name": "", "purpose": "PENS", "priority": 1},
    {"benefit": "SASS", "name": "", "purpose": "SSBE", "priority": None},
]


def participants(caps: dict[str, int]) -> list[dict[str, Any]]:
    """Banks A, B and C; wallet W is settled by bank B."""
    settled = {"W": "B"}
    return [
        participant(code, settled_by=settled.get(code, ""), net_debit_cap=caps.get(code))
        for code in CODES
    ]


def caps_table(caps: dict[str, int]) -> pa.Table:
    return pa.Table.from_pylist(participants(caps))


def make(path: Path, caps: dict[str, int], balances: dict[str, int] | None = None) -> Engine:
    engine = switch.init(
        path,
        participants=caps_table(caps),
        debtors=pa.Table.from_pylist([{"debtor_account": c, "debtor_agent": c} for c in CODES]),
        programmes=pa.Table.from_pylist(PROGRAMMES),
        balances=pa.table({"participant": [*balances], "balance": [*balances.values()]})
        if balances
        else None,
        key=b"0123456789abcdef",
    )
    engine.register(population=people_table(person(n) for n in range(1, 100)))
    return engine


class Scene(NamedTuple):
    rows: list[dict[str, Any]]
    expected: list[str]


def scene(text: str, first: int = 1) -> Scene:
    """Lines of a table: class, payer > receiver, amount, answer, and if not the next the person."""
    rows, expected = [], []
    for number, said in enumerate(text.strip().splitlines(), start=first):
        priority, payer, _, receiver, amount, answer, *rest = said.split()
        who = int(rest[1]) if rest[:1] == ["person"] else number
        rows.append(
            line(
                who,
                benefit=BENEFIT_OF[priority],
                amount=int(amount),
                debtor_account=payer,
                creditor_agent=receiver,
                creditor_account=f"{who}",
            )
        )
        expected.append(answer)
    return Scene(rows, expected)


def told(batch: Any) -> list[str]:
    return [reason or status for status, reason in answers(batch)]
