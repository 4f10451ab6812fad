"""The comparison of reconciliations stays honest: on small sides every tool gives the planted
truth, record for record, and a payday's breaks are what its receivers did. Nothing is timed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from .reconcile import generator, payday
from .reconcile.job import Job, digest, peer_of, truth

RECORDS = 6_000
PEERS = ("switch", "polars", "duckdb", "pandas")
ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def sides(tmp_path_factory: pytest.TempPathFactory) -> Job:
    folder = tmp_path_factory.mktemp("sides")
    generator.generate(folder, RECORDS, 3)
    return Job(folder)


@pytest.fixture(scope="module")
def answered(tmp_path_factory: pytest.TempPathFactory) -> Job:
    folder = tmp_path_factory.mktemp("payday") / "day"
    payday.generate(folder, RECORDS, 3)
    return Job(folder)


@pytest.mark.parametrize("loaded", [True, False])
@pytest.mark.parametrize("tool", PEERS)
def test_bench_reconcile__a_tool_gives_the_planted_truth(
    sides: Job, tool: str, loaded: bool
) -> None:
    if tool != "switch":
        pytest.importorskip(tool)
    peer = peer_of(tool, sides, 1)
    if loaded:
        peer.load()
    assert digest(peer.solve()) == digest(truth(sides))


def test_bench_reconcile__every_class_is_planted(sides: Job) -> None:
    from switch.reconcile import CLASSES

    planted = set(truth(sides)["verdict"].to_pylist())
    assert planted == {verdict.name for verdict in CLASSES} | {"PENDING"}


@pytest.mark.parametrize("tool", PEERS)
def test_bench_reconcile__a_tool_answers_a_payday_alike(answered: Job, tool: str) -> None:
    if tool != "switch":
        pytest.importorskip(tool)
    own = digest(peer_of("switch", answered, 1).solve())
    assert digest(peer_of(tool, answered, 1).solve()) == own


def test_bench_reconcile__breaks_of_a_payday_are_the_injected_faults(answered: Job) -> None:
    assert payday.require_truth(answered.folder)["MISSING"] > 0


def test_bench_reconcile__the_run_measures_every_tool(tmp_path: Path) -> None:
    path = os.pathsep.join([str(ROOT / "src"), str(ROOT)])
    subprocess.run(
        [sys.executable, "-m", "bench.reconcile.run", "--records", "3000", "--repeat", "1",
         "--tools", "switch,pandas", "--data", str(tmp_path)],
        check=True, capture_output=True, cwd=ROOT, env={**os.environ, "PYTHONPATH": path},
    )  # fmt: skip
    results = json.loads((tmp_path / "sides-3000" / "results.json").read_text("utf-8"))["results"]
    assert {(r["tool"], r["form"]) for r in results} == {
        (tool, form) for tool in ("switch", "pandas") for form in ("memory", "files")
    }
    assert all(r["wall"] > 0 and r["peak"] > 0 for r in results)
