"""Tables of every command at every width: each number stands whole on one line."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from answering import LATER, back, said, write
from cycles import CODES, PARTICIPANTS, lines, table_of
from scene import (
    account,
    accounts_table,
    command,
    line,
    payment_table,
    people_table,
    person,
    run,
    write_table,
)

import switch
from switch.registry.settings import Settings

WIDTHS = (60, 80, 100, 200)
WIDE = 500
BIG = 490_000_000
NUMBER = re.compile(r"(?<![\w.])[−-]?\d[\d,]*\d(?![\w.])")
"""A number or a part of a day: what would be torn shows as one that stands nowhere else."""


def owed(number: int, **changes: Any) -> dict[str, Any]:
    """A line of the treasury in a large amount."""
    return line(number, amount=BIG, debtor_account="KBNN", **changes)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with everything open that commands have tables of, in large amounts."""
    path = tmp_path_factory.mktemp("widths") / "home"
    debtors = [
        {"debtor_account": c, "debtor_agent": c, "programme": "PENS", "budget": 10**16}
        for c in CODES
    ]
    rows: list[dict[str, Any]] = [
        {
            **row,
            "net_debit_cap": 10**15,
            "short_name": f"The Long Name of Bank {row['participant']}",
        }
        for row in PARTICIPANTS
    ]
    with switch.init(
        path,
        participants=pa.Table.from_pylist(rows),
        debtors=pa.Table.from_pylist(debtors),
        balances=table_of(dict.fromkeys(CODES, 10**14)),
        settings=Settings(cutoffs=("11:00", "15:30")),
        key=b"0123456789abcdef",
    ) as engine:
        engine.register(
            population=people_table(person(n) for n in range(1, 100)),
            accounts=accounts_table(
                account(n, participant="A", account="70007") for n in range(80, 90)
            ),
        )
        text = [f"KBNN > {'ABC'[n % 3]} {BIG + n}" for n in range(60)]
        run(engine, [*lines("\n".join(text)), owed(90), owed(91)], "FIRST-PAYDAY-2026-11")
        run(engine, [owed(n) for n in range(80, 90)], "SHARED")
        engine.settle()
        sent = [engine.line("FIRST-PAYDAY-2026-11", n) for n in range(1, 9)]
        made = []
        for told, row in zip(sent, (said(1), said(2, "RJCT"), back(3), back(4)), strict=False):
            state = told["states"][-1]
            about = {"participant": state["participant"], "transfer_id": state["transfer_id"]}
            made.append(row | about | {"amount": told["amount"]})
            if "creditor_account" in row:
                made[-1]["creditor_account"] = None
        engine.reconcile(
            write(path.parent / "c", made[:2]), write(path.parent / "r", made[2:]), at=LATER
        )
        engine.settle()
        run(
            engine, [owed(n, period=202612) for n in range(80, 90)], "OPEN", value_date="2026-12-01"
        )
    table = [owed(n, period=202701) for n in range(80, 86)]
    write_table(payment_table(table), path.parent / "next.parquet", batch_id="NEXT")
    return path


COMMANDS = {
    "status": ["status", "HOME"],
    "batch": ["status", "HOME", "--batch", "FIRST-PAYDAY-2026-11"],
    "directory": ["directory", "HOME"],
    "shared": ["shared", "HOME", "--batch", "SHARED"],
    "rehearse": ["rehearse", "HOME", "NEXT"],
    "breaks": ["breaks", "HOME"],
    "cycles": ["cycles", "HOME"],
    "balances": ["balances", "HOME"],
    "held": ["held", "HOME"],
    "returned": ["returned", "HOME"],
    "settle": ["settle", "HOME", "--at", "2026-12-01T09:00:00"],
}


def numbers(text: str) -> set[str]:
    return set(NUMBER.findall(text))


@pytest.mark.parametrize("name", COMMANDS)
def test_tables__no_number_is_broken(
    name: str, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = {"HOME": home, "NEXT": home.parent / "next.parquet"}
    call = [words.get(word, word) for word in COMMANDS[name]]

    def shown(width: int) -> str:
        monkeypatch.setenv("COLUMNS", str(width))
        told = command(*call)
        assert told.code == 0, told
        return re.sub(r"[0-9.]+ seconds on this machine|/[^ ]+", "", told.out)

    whole = numbers(shown(WIDE))
    assert any("," in number for number in whole), shown(WIDE)
    for width in WIDTHS:
        assert numbers(shown(width)) - whole == set(), width


def test_tables__of_a_run_break_no_number(
    tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second time the run is answered from what is stored."""
    call = ["run", home, home.parent / "next.parquet", "--at", "2026-12-01T09:00:00"]
    monkeypatch.setenv("COLUMNS", str(WIDE))
    assert command(*call).code == 0

    def shown(width: int) -> str:
        monkeypatch.setenv("COLUMNS", str(width))
        told = command(*call)
        assert told.code == 0, told
        return re.sub(r"in [0-9.]+ s(, [0-9,]+ lines/s)?|/[^ ]+", "", told.out)

    whole = numbers(shown(WIDE))
    for width in WIDTHS:
        assert numbers(shown(width)) - whole == set(), width
