"""Fixtures that several test files share: one small nation, and homes that are copied, not made."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from scene import account, make_home, person

import switch
from switch.sim.world.generate import Generated


@pytest.fixture(scope="session")
def nation(tmp_path_factory: pytest.TempPathFactory) -> Generated:
    """2,000 invented people and a payday of 3,000 lines, with its truth."""
    return switch.generate(tmp_path_factory.mktemp("nation"), 2000, 3000, 7)


@pytest.fixture(scope="session")
def nation_home(nation: Generated, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with the nation's registers. Not to be changed: copy it."""
    home = tmp_path_factory.mktemp("prepared") / "home"
    with switch.init(
        home,
        participants=nation.participants,
        debtors=nation.debtors,
        key=b"0123456789abcdef",
    ) as engine:
        engine.register(
            population=nation.population, accounts=nation.accounts, paid_history=nation.paid
        )
    return home


@pytest.fixture
def home(nation_home: Path, tmp_path: Path) -> Path:
    """A fresh home with the nation's registers."""
    return shutil.copytree(nation_home, tmp_path / "home")


@pytest.fixture(scope="session")
def village_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home of nine people with one account each. Not to be changed: copy it."""
    home = tmp_path_factory.mktemp("prepared") / "village"
    return make_home(home, map(person, range(1, 10)), map(account, range(1, 10)))


@pytest.fixture
def village(village_home: Path, tmp_path: Path) -> Path:
    """A fresh home of nine people with one account each."""
    return shutil.copytree(village_home, tmp_path / "village")
