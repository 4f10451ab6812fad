"""A home whose lines were sent, and what receivers, the State Bank and the treasury say of them."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import scene

import switch
from switch.engine import Engine
from switch.registry.settings import Settings
from switch.sim.receivers import exchange
from switch.sim.receivers.behaviour import Manner, Rates

PEOPLE = range(1, 10)
RECEIVERS = (scene.BANK, scene.SMALL_BANK, scene.WALLET)
BATCHES = {
    "CLOSED": Rates(*[0.0] * 8),
    "SETTLED": Rates(refused=0.1, returned=0.3, silent=0.1, late=0.1, twice=0.2, amount=0.1),
    "CLEARED": Rates(refused=0.3, stray=0.2),
}
"""What becomes of each batch, and how receivers answer it: the first as they should, and the others
so that a few lines come to every fate."""
ANSWERS = {
    "confirmations": "confirmations/*.parquet",
    "returns": "returns/*.parquet",
    "statement": "statement-SBV.parquet",
    "treasury": "statement-treasury.parquet",
}
"""Where simulated receivers leave what they say."""


def make(folder: Path) -> tuple[Path, dict[str, pa.Table]]:
    """A home of BATCHES in folder, and ANSWERS to those of them that are not closed."""
    home = scene.make_home(
        folder / "made",
        map(scene.person, PEOPLE),
        (scene.account(n, participant=RECEIVERS[n % len(RECEIVERS)]) for n in PEOPLE),
        settings=Settings(cutoffs=("11:00", "15:30")),
    )
    said: dict[str, list[pa.Table]] = {name: [] for name in ANSWERS}
    with switch.open(home) as engine:
        for number, (state, rates) in enumerate(BATCHES.items(), 1):
            told = _answered(engine, folder, state, rates, number)
            if state == "CLOSED":
                files = sorted(told.glob(ANSWERS["confirmations"]))
                engine.reconcile(*files, at=str(scene.VALUE_DATE))
                assert engine.close_day(str(scene.VALUE_DATE))["closed"] == [number]
                continue
            for name, pattern in ANSWERS.items():
                said[name] += map(pq.read_table, sorted(told.glob(pattern)))
    return home, {name: _whole(parts) for name, parts in said.items()}


def _answered(engine: Engine, folder: Path, state: str, rates: Rates, number: int) -> Path:
    """The folder of answers to a batch of its own period."""
    lines = [scene.line(n, period=202600 + number) for n in PEOPLE]
    scene.run(engine, lines, state, out=folder)
    asked = [] if state == "CLEARED" else engine.settle()
    told = folder / state / "answers"
    kinds = {row["participant"]: row["kind"] for row in scene.PARTICIPANTS}
    exchange.exchange(
        folder / state / "clearing",
        told,
        kinds,
        {code: Manner(rates) for code in kinds},
        number,
        scene.VALUE_DATE,
    )
    exchange.statements(asked, told / "returns", told, scene.VALUE_DATE)
    return told


def _whole(parts: list[pa.Table]) -> pa.Table:
    """One table of one chunk: an Arrow file has one dictionary a column."""
    return pa.concat_tables(parts).unify_dictionaries().combine_chunks()
