"""Money in answers as JSON: one type, a whole number of minor units, in every command."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from answering import back, home_of, said, write
from scene import command, line, payment_table, write_table

import switch

MONEY = {
    *("sum", "amount", "net", "needs", "gross", "settled", "reserved", "consumed", "released"),
    *("credit_sum", "debit_sum", "remaining", "budget", "available", "at_least", "expected"),
    *("short", "shares", "vanished", "totals", "nets", "given", "net_debit_cap", "amount_max"),
}
"""Keys of money, or of objects all of whose values are."""


def money_in(document: Any, is_money: bool = False) -> list[Any]:
    """All values of keys of money, at any depth."""
    if isinstance(document, dict):
        return [v for k, part in document.items() for v in money_in(part, is_money or k in MONEY)]
    if isinstance(document, list):
        return [value for part in document for value in money_in(part, is_money)]
    return [document] if is_money and document is not None else []


def test_commands__say_money_in_whole_numbers(tmp_path: Path) -> None:
    settings = switch.Settings(cutoffs=("11:00", "15:30"), insufficient_funds="recast")
    home = home_of(tmp_path / "h", settings=settings)
    table = write_table(payment_table([line(1, period=202612)]), tmp_path / "B", batch_id="B")
    answers = write(tmp_path / "a", [said(n) for n in range(2, 9)])
    returns = write(tmp_path / "r", [back(1)])
    found: dict[str, list[Any]] = {}
    for words in (
        ("settle", home, "--close"),
        ("settle", home),
        ("rehearse", home, table),
        ("run", home, table),
        ("settle", home, "--cycle", "20261125-2", "--abort", "it was drawn"),
        ("reconcile", home, answers, returns, "--at", "2026-11-30"),
        ("settle", home),
        ("dispose", home, "--write-back", "--yes"),
        ("close", home, "--at", "2026-11-30"),
        ("status", home),
        ("status", home, "--batch", "A"),
        ("status", home, "--line", "A:1"),
        ("shared", home),
        ("directory", home),
        ("generate", tmp_path / "w", "--people", "20", "--lines", "9", "--seed", "1"),
    ):
        told = command("--json", *words)
        if told.code == 0:
            found.setdefault(str(words[0]), []).extend(money_in(told.document))
    wanted = {"settle", "rehearse", "run", "reconcile", "dispose", "close", "status", "generate"}
    for name in wanted:
        assert found.get(name), f"{name} said no money"
    for name, values in found.items():
        assert {type(value) for value in values} <= {int}, name


@pytest.mark.parametrize(
    "words",
    [
        ("status", "nowhere"),
        ("pay",),
        ("run", "village"),
        ("run", "village", "table", "--at", "yesterday"),
        ("run", "village", "table", "--threads", "0"),
        ("status", "village", "--line", "B"),
        ("status", "village", "--batch", "B"),
        ("run", "village", "table", "--out", ""),
    ],
)
def test_commands__have_one_word_for_a_wrong_call(words: tuple[str, ...], village: Path) -> None:
    given = [str(village) if word == "village" else word for word in words]
    told = command("--json", *given)
    assert (told.code, told.document["error"]["rule"]) == (2, "USAGE")


def test_errors__tell_the_same_to_callers_as_to_commands(village: Path) -> None:
    with switch.open(village) as engine, pytest.raises(switch.UsageError) as caught:
        engine.line("X", 1)
    told = command("--json", "status", village, "--line", "X:1").document["error"]
    assert told == {**caught.value.told(), "exit_code": 2}
