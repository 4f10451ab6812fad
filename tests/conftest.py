"""Fixtures that several test files share: one small nation, and homes that are copied, not made."""

from __future__ import annotations

import datetime as dt
import shutil
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest
import story
from answer_forms import form_said
from home_reads import catalog
from scene import (
    BANK_ACCOUNT,
    Said,
    account,
    accounts_table,
    command,
    entitlement,
    line,
    make_home,
    person,
    run,
)
from shares import WhereTheyMay

import switch
from switch import engine as engines
from switch.registry import register
from switch.sim.world.generate import Generated


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--shares", type=int, default=0, help="judge lines in so many shares")


@pytest.fixture(autouse=True)
def _shares(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every run is judged in shares where `--shares` says so, and has to come to the same."""
    if of := request.config.getoption("--shares"):
        monkeypatch.setattr(engines, "executor_of", WhereTheyMay(of).instead)
        monkeypatch.setattr(register, "PROVEN_BYTES_MAX", 0)


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


@pytest.fixture(scope="session")
def paid_home(
    nation: Generated, nation_home: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The nation's home after its payday. Not to be changed."""
    home = shutil.copytree(nation_home, tmp_path_factory.mktemp("paid") / "home")
    with switch.open(home) as engine:
        engine.run(nation.payday)
    return home


@pytest.fixture
def payday(paid_home: Path) -> switch.Batch:
    """The nation's payday as it was answered."""
    folder = paid_home / "batches" / "000001"
    (text,) = catalog(paid_home, "SELECT summary, cycle FROM batches")
    return switch.Batch(
        1, "VSS", "PAYDAY-2026-11", text[1], False, msgspec.json.decode(text[0]), folder
    )


@pytest.fixture(scope="session")
def rich_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with every kind of file: two batches, held lines, history, long accounts."""
    ends = {"valid_to": dt.date(2030, 1, 1)}
    home = make_home(
        tmp_path_factory.mktemp("rich") / "home",
        [
            *map(person, range(1, 9)),
            person(9, status="deceased", status_since=dt.date(2026, 4, 25)),
        ],
        [account(1), account(2, account="IBAN-2"), account(3, **ends)],
        paid=[entitlement(8)],
    )
    lines = [line(1), line(2), line(3), line(4), line(5), line(9), line(1, person_name="X Y")]
    with switch.open(home) as engine:
        run(engine, [*lines, line(1, benefit="SASS", debtor_account=BANK_ACCOUNT)], "A")
        engine.register(accounts=accounts_table([account(4)]))
        run(engine, [line(1, period=202612), line(3)], "B")
    assert switch.verify(home)
    return home


class Golden(NamedTuple):
    """The golden homes: their folder, what they hold, and the form of each answer that the commands
    which made them printed, as (command, form)."""

    folder: Path
    held: dict[str, Any]
    forms: set[tuple[str, str]]


@pytest.fixture(scope="session")
def golden(tmp_path_factory: pytest.TempPathFactory) -> Golden:
    """The golden homes, which know every command. Not to be changed: copy them."""
    folder = tmp_path_factory.mktemp("golden") / "homes"
    forms: set[tuple[str, str]] = set()

    def heard(*words: object) -> Said:
        said = command(*words)
        form = form_said(words, said.out)
        if form is not None:
            forms.add(form)
        return said

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(story, "command", heard)
        return Golden(folder, story.tell(folder), forms)


@pytest.fixture
def golden_homes(golden: Golden, tmp_path: Path) -> Path:
    """A copy of the golden homes, with the tables that they were made of."""
    return shutil.copytree(golden.folder, tmp_path / "homes")
