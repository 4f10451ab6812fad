"""A run from files to files: intake, screening, netting, settlement, clearing files, commit.

The home is opened and its register read outside the clock; left out is nothing else.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from switch.engine import Engine
from switch.home.batch import Batch

from .test_bench_core import SIZES, report


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("size", SIZES, indirect=True)
def test_bench_run__files_to_files(
    benchmark: Any,
    nation: Callable[[int], Path],
    home: Callable[[int], Path],
    size: int,
    threads: int,
    tmp_path: Path,
) -> None:
    table = nation(size) / "payday.parquet"
    opened: list[Engine] = []

    def fresh() -> tuple[tuple[Engine], dict[str, Any]]:
        while opened:
            opened.pop().close()
        shutil.rmtree(tmp_path / "home", ignore_errors=True)
        shutil.copytree(home(size), tmp_path / "home")
        opened.append(Engine(tmp_path / "home"))
        opened[0].open_register()
        return (opened[0],), {}

    def run(engine: Engine) -> Batch:
        return engine.run(table, threads=threads)

    batch = benchmark.pedantic(run, setup=fresh, rounds=5, warmup_rounds=1)
    assert batch.summary["received"]["count"] == size
    report(benchmark, size, batch.content_digest)
    while opened:
        opened.pop().close()
