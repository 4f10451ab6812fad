"""Benchmarks: simulated nations of the sizes asked for, made once.

`make bench` runs them in full; in every test run they go through once at a tiny size, so that they
cannot rot. Each prints lines per second and a digest of its result.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from switch.engine import Engine, init
from switch.sim.world.generate import DEFAULT_RATES, generate

TINY = 2_000
SEED = 11


@pytest.fixture(scope="session")
def nation(tmp_path_factory: pytest.TempPathFactory) -> Callable[[int], Path]:
    """Folder of a nation with as many people as lines."""
    made: dict[int, Path] = {}

    def make(lines: int) -> Path:
        if lines not in made:
            made[lines] = tmp_path_factory.mktemp(f"nation-{lines}")
            # As in compare/run: of people who died since, the other tools know no months.
            rates = DEFAULT_RATES._replace(arrears=0.0)
            generate(made[lines], lines, lines, SEED, rates=rates)
        return made[lines]

    return make


@pytest.fixture(scope="session")
def home(
    nation: Callable[[int], Path], tmp_path_factory: pytest.TempPathFactory
) -> Callable[[int], Path]:
    """A home with the nation's registers, no batch yet. Copy it before a run."""
    made: dict[int, Path] = {}

    def make(lines: int) -> Path:
        if lines not in made:
            folder = nation(lines)
            made[lines] = tmp_path_factory.mktemp(f"home-{lines}") / "home"
            with init(
                made[lines],
                participants=folder / "participants.csv",
                debtors=folder / "debtors.csv",
            ) as engine:
                engine.register(
                    population=folder / "population.parquet",
                    accounts=folder / "accounts.parquet",
                    paid_history=folder / "paid.parquet",
                )
            assert isinstance(engine, Engine)
        return made[lines]

    return make


@pytest.fixture
def size(request: pytest.FixtureRequest) -> int:
    """The size of the case, or tiny where benchmarks are switched off."""
    return TINY if request.config.getoption("benchmark_disable") else int(request.param)
