"""A nation of two months: the second table is run on a home in which lines of the first wait."""

from __future__ import annotations

import datetime as dt
import hashlib
import shutil
from pathlib import Path

import switch
from switch.clearing.job import Executor
from switch.engine import Engine
from switch.sim.world.generate import generate

PEOPLE, LINES, SEED = 3000, 4000, 11


def make(folder: Path) -> Path:
    """A nation with a home whose first batch left lines that wait."""
    generate(folder, PEOPLE, LINES, SEED)
    again = {"period": 202612, "value_date": dt.date(2026, 12, 25)}
    generate(folder / "later", PEOPLE, LINES, SEED, **again)
    dossier = folder / "later" / "payday.dossier.json"
    dossier.write_text(dossier.read_text().replace("PAYDAY-2026-11", "PAYDAY-2026-12"))
    with switch.init(
        folder / "home",
        participants=folder / "participants.csv",
        debtors=folder / "debtors.csv",
    ) as engine:
        engine.register(
            population=folder / "population.parquet",
            accounts=folder / "accounts.parquet",
            paid_history=folder / "paid.parquet",
        )
        assert engine.run(folder / "payday.parquet").summary["held"]["count"]
    return folder


def written(home: Path, batch: switch.Batch) -> dict[str, str]:
    files = {
        path.relative_to(home).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(batch.folder.rglob("*"))
        if path.is_file()
    }
    with Engine(home, mode="r") as engine:
        return files | {"link": engine.home.catalog.heads().link}


def ran(nation: Path, home: Path, how: int | Executor, **options: int) -> dict[str, str]:
    """Digests of all that a run of the second table wrote, and the last link of the chain."""
    shutil.copytree(nation / "home", home)
    with Engine(home) as engine:
        batch = engine.run(nation / "later" / "payday.parquet", workers=how, **options)
        assert batch.summary["represented"] is not None
    return written(home, batch)
