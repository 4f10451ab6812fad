"""The bench command: the pace of this machine, on a simulated nation, in a minute or two.

The suite that compares with other tools stands in bench/.
"""

from __future__ import annotations

import datetime
import hashlib
import shutil
import statistics
import tempfile
import time
from pathlib import Path

from switch._core import Core
from switch.clearing import kernel
from switch.clearing.intake import Intake, read_dossier
from switch.cli.context import Context, generate
from switch.documents import Figure, Pace
from switch.engine import Engine, init
from switch.files.formats import CHUNK_ROWS
from switch.files.tables import open_table
from switch.schema import PAYMENT

SEED = 11


def run_bench(context: Context, lines: int, threads: int, repeat: int) -> Pace:
    """Lines per second (median of repeat runs) and digests: of the core alone, with its columns in
    memory, and of a run from files to files with the register open."""
    with tempfile.TemporaryDirectory(prefix="switch-bench-") as name:
        folder = Path(name)
        nation, home = folder / "nation", folder / "home"
        generate(context, nation, lines, lines, SEED)
        tables = [nation / f"{kind}.csv" for kind in ("participants", "debtors")]
        with init(home, participants=tables[0], debtors=tables[1]) as engine:
            engine.register(
                population=nation / "population.parquet",
                accounts=nation / "accounts.parquet",
                paid_history=nation / "paid.parquet",
            )
            core = _core(engine, nation / "payday.parquet", threads, repeat)
        return {
            "lines": lines,
            "threads": threads,
            "repeat": repeat,
            "core": core,
            "files_to_files": _files(home, nation / "payday.parquet", threads, repeat, folder),
        }


def core_of(engine: Engine, value_date: datetime.date, threads: int = 1) -> Core:
    """A native core for one batch on an open engine: for benchmarks of the core alone."""
    how = engine.open_register(), engine.settings, value_date, threads
    return kernel.core_of(engine.home, engine.directory, *how)


def _core(engine: Engine, table: Path, threads: int, repeat: int) -> Figure:
    declared = read_dossier(table)
    intake = Intake(engine.directory)
    chunks = list(intake.lines(open_table(table, PAYMENT), declared, CHUNK_ROWS))
    seconds = []
    for _ in range(repeat):
        core = core_of(engine, declared.value_date, threads)
        digest = hashlib.sha256()
        began = time.perf_counter()
        for c in chunks:
            reason, row, participant, _ = core.screen(
                c.amount, c.person_id, c.name_key, c.benefit, c.debtor, c.agent
            )
            core.post(reason, row, c.benefit, c.month, c.debtor, participant, c.amount)
        seconds.append(time.perf_counter() - began)
        core.close()
        digest.update(core.pair_sum.tobytes())
    return _figure(declared.count, seconds, digest.hexdigest())


def _files(home: Path, table: Path, threads: int, repeat: int, folder: Path) -> Figure:
    seconds = []
    count, digest = 0, ""
    for _ in range(repeat):
        copy = folder / "copy"
        shutil.copytree(home, copy)
        with Engine(copy) as engine:
            engine.open_register()
            began = time.perf_counter()
            batch = engine.run(table, threads=threads)
            seconds.append(time.perf_counter() - began)
            count, digest = batch.summary["received"]["count"], batch.content_digest
        shutil.rmtree(copy)
    return _figure(count, seconds, digest)


def _figure(lines: int, seconds: list[float], digest: str) -> Figure:
    return {"lines_per_second": round(lines / statistics.median(seconds)), "digest": digest[:16]}
