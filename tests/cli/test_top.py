"""`switch top`: a home in the terminal, as it moves."""

from __future__ import annotations

from pathlib import Path

import pytest
from answering import home_of, said, take
from scene import command, process

import switch

LATE = "2026-11-30T09:00"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return home_of(tmp_path / "home")


def test_top__shows_what_the_library_tells(home: Path) -> None:
    with switch.open(home, mode="r") as engine:
        alarms = engine.watch.alarms(LATE)
        sent = sum(total["settled"]["sum"] for total in (b["now"] for b in engine.batches()))
        sent += sum(total["unapplied"]["sum"] for total in (b["now"] for b in engine.batches()))
    told = command("top", home, "--at", LATE, "--times", "1").out
    assert f"{alarms.total['count']:,} alarms" in told
    for row in alarms.rows():
        assert str(row["alarm"]) in told
    assert f"{sent:,}" in told
    assert "next: switch" in told


def test_top__looks_again(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each look is of the last commit."""
    from switch.cli import top

    def answer(_: float) -> None:
        with switch.open(home) as engine:
            take(engine, home, *(said(n) for n in range(1, 13)), at="2026-11-26T08:00:00")

    monkeypatch.setattr(top.time, "sleep", answer)
    told = command("top", home, "--at", LATE, "--times", "2").out
    assert "settled" in told.partition("credited")[0]
    assert "credited" in told


def test_top__needs_a_terminal_or_a_number_of_looks(home: Path) -> None:
    assert command("top", home).code == 2
    assert command("top", home, "--json").code == 2


def test_top__is_a_command_of_its_own_process(home: Path) -> None:
    told = process("top", home, "--at", LATE, "--times", "1")
    assert told.code == 0
    assert "Answers awaited" in told.out
