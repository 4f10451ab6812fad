"""Settings of a configuration: those that a home keeps are changed with its directory alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
from scene import command, line, make_home, pay, payment_table, person, tree_digest, write_table

import switch
from switch.errors import UsageError
from switch.registry.settings import Settings

KEPT = {
    "cutoffs": '["11:00"]',
    "holidays": '["2026-11-27"]',
    "holidays_only": "true",
    "working_days": '["2026-11-28"]',
    "insufficient_funds": '"share"',
    "enforce_budgets": "true",
    "accounts_shared_max": "3",
    "held_days": "30",
    "held_days_of": "{ PENS = 30 }",
    "cash_days": "30",
}


@pytest.mark.parametrize("name", KEPT)
def test_settings__that_a_home_keeps_are_told_by_a_run_that_has_others(
    tmp_path: Path, name: str
) -> None:
    home = make_home(tmp_path / "home", [person(1)])
    table = write_table(payment_table([line(1)]), tmp_path / "B.parquet")
    config = tmp_path / "c.toml"
    config.write_text(f"{name} = {KEPT[name]}\n")
    before = tree_digest(home)
    for words in (("run", home, table), ("rehearse", home, table), ("settle", home)):
        said = command(*words, "--config", config)
        assert said.code == 2, words
        assert name in said.err
        assert f"switch directory HOME --config {config}" in said.err
    assert tree_digest(home) == before
    with switch.open(home) as engine:
        engine.change_directory(settings=msgspec.convert(_given(config), Settings))
    for words in (("run", home, table), ("rehearse", home, table)):
        assert command(*words, "--config", config).code == 0, "as the home has it"


def _given(config: Path) -> Any:
    import tomllib

    return tomllib.loads(config.read_text())


def test_settings__of_a_run_hold_for_its_rehearsal_too(tmp_path: Path) -> None:
    home = make_home(tmp_path / "home", [person(1)])
    table = write_table(payment_table([line(1, amount=1000)]), tmp_path / "B.parquet")
    config = tmp_path / "c.toml"
    config.write_text("clearing_limit = 999\n")
    told = command("--json", "rehearse", home, table, "--config", config).document
    done = command("--json", "run", home, table, "--config", config).document
    cleared = (told["tables"][0]["cleared"], done["batches"][0]["cleared"])
    assert [part["count"] for part in cleared] == [0, 0]


def test_settings__that_are_given_as_nothing_are_taken_away(tmp_path: Path) -> None:
    """A calendar by no cut-off, a limit of persons by 0; open cycles come to their end."""
    home = make_home(tmp_path / "home", [person(n) for n in (1, 2)])
    config = tmp_path / "c.toml"
    config.write_text('cutoffs = ["11:00"]\naccounts_shared_max = 3\nheld_days = 3\n')
    assert command("directory", home, "--config", config).code == 0
    pay(home, [line(1)])
    config.write_text("cutoffs = []\naccounts_shared_max = 0\nheld_days = 0\n")
    said = command("--json", "directory", home, "--config", config)
    assert {"cutoffs", "accounts_shared_max", "held_days"}.isdisjoint(said.document["settings"])
    assert "20261125-1: SETTLED" in command("settle", home).out
    assert pay(home, [line(2)], "C").cycle == "20261125-000002"
    assert command("verify", home).code == 0


def test_settings__of_nothing_are_those_of_a_home_without() -> None:
    assert Settings(cutoffs=(), accounts_shared_max=0).check() == Settings()
    assert Settings(held_days=0, held_days_of={}).check() == Settings()
    with pytest.raises(UsageError, match="0 is any"):
        Settings(accounts_shared_max=-1).check()
