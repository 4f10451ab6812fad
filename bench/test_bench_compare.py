"""The comparison stays honest: on a tiny nation every tool gives the engine's answer, line for line
and file for file. Nothing is timed here; `python -m bench.compare.run` does that.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from switch.reason import Reason

from .compare import job as compare
from .compare.job import Job, Peer, digest, peer_of

LINES = 2_000
PEERS = ("numpy", "polars", "duckdb", "pandas", "python")
ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def job(
    nation: Callable[[int], Path],
    home: Callable[[int], Path],
    tmp_path_factory: pytest.TempPathFactory,
) -> Job:
    """The nation with a home of its own beside its files."""
    folder = tmp_path_factory.mktemp("compare") / "nation"
    shutil.copytree(nation(LINES), folder)
    shutil.copytree(home(LINES), folder / "home")
    return Job(folder)


def peer(tool: str, job: Job, threads: int = 1) -> Peer:
    if tool not in ("python", "switch"):
        pytest.importorskip(tool)
    return peer_of(tool, job, threads)


def in_memory(tool: str, job: Job, form: str, threads: int = 1) -> tuple[str, str]:
    one = peer(tool, job, threads)
    try:
        one.load_register(form)
        one.load_lines(form)
        one.prepare(form, Path())
        one.screen(form)
        answer = one.answer(cleared=True)
        return digest(answer), compare.detail_digest(answer)
    finally:
        one.close()


def to_files(tool: str, job: Job, out: Path, threads: int = 1) -> tuple[str, str]:
    out.mkdir()
    one = peer(tool, job, threads)
    try:
        one.load_register("files")
        one.prepare("files", out)
        one.run_files(out)
        answer, detail = one.read_files(out)
        return digest(answer), detail
    finally:
        one.close()


@pytest.fixture(scope="module")
def expected(job: Job, tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[str, str]]:
    """The engine's answers by form."""
    return {
        "memory": in_memory("switch", job, "memory"),
        "names": in_memory("switch", job, "names"),
        "files": to_files("switch", job, tmp_path_factory.mktemp("switch") / "out"),
    }


def test_bench_compare__the_engine_answers_alike_in_all_forms(
    expected: dict[str, tuple[str, str]],
) -> None:
    assert len({answer for answer, _ in expected.values()}) == 1
    assert expected["memory"] == expected["names"]


@pytest.mark.parametrize("form", ["memory", "names"])
@pytest.mark.parametrize("tool", PEERS)
def test_bench_compare__a_peer_gives_the_engines_answer(
    job: Job, expected: dict[str, tuple[str, str]], tool: str, form: str
) -> None:
    assert in_memory(tool, job, form) == expected[form]


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("tool", PEERS)
def test_bench_compare__a_peer_writes_the_engines_files(
    job: Job, expected: dict[str, tuple[str, str]], tool: str, threads: int, tmp_path: Path
) -> None:
    assert to_files(tool, job, tmp_path / "out", threads) == expected["files"]


def test_bench_compare__arrow_files_say_what_parquet_files_say(
    job: Job, expected: dict[str, tuple[str, str]], tmp_path: Path
) -> None:
    one = peer("switch", job)
    try:
        one.load_register("ipc")
        one.prepare("ipc", tmp_path)
        one.run_files(tmp_path)
        answer, detail = one.read_files(tmp_path)
        assert (digest(answer), detail) == expected["files"]
        assert not list(tmp_path.glob("*/status.parquet"))
    finally:
        one.close()


def test_bench_compare__names_fold_by_the_rule_of_the_contract() -> None:
    letters = "aZ đĐăẵỳộÕ\t\u0301\u0323\u200b\u2028\u00a0ßŉ中\x7fﬁ"
    rng = np.random.default_rng(5)
    texts = ["".join(rng.choice(list(letters), rng.integers(0, 7))) for _ in range(20_000)]
    texts += ["", " ", "  a  b  ", "x" * 140, "x" * 141]
    folded, bad = compare.fold_names(pa.array(texts, pa.string()))
    for text, form, unusable in zip(texts, folded.to_pylist(), bad, strict=True):
        wanted = compare.fold_slowly(text)
        assert bool(unusable) == (wanted == ""), text
        assert unusable or form == wanted, text


def test_bench_compare__every_reason_happens(job: Job) -> None:
    one = peer("python", job)
    one.load_register("memory")
    one.load_lines("memory")
    one.screen("memory")
    # Nobody of this nation has a limit or is late, its lines name sound accounts, its benefits
    # exclude none, and these are not counted.
    never = {"COVER_MISSING", "ACCOUNT_MALFORMED", "ACCOUNT_SHARED", "EXCLUDED"}
    never |= {"IDENTITY_PENDING", "IDENTITY_DUPLICATE", "ACCOUNT_OVER_MONTH"}
    happen = {r.name for r in Reason} - never
    assert set(compare.counts(one.answer(cleared=False).reasons)) == happen
    assert one.went, "some lines go to a later account of their person"


def test_bench_compare__the_bare_loop_compiles_and_runs(job: Job) -> None:
    from .compare import light_peer

    if light_peer.compiler() is None:
        pytest.skip("no C compiler")
    bare = light_peer.ToolPeer(job, 2)
    try:
        bare.load_register("memory")
        bare.load_lines("memory")
        bare.prepare("memory", Path())
        bare.screen("memory")
        assert set(bare.measures()) == {"read_gb_s", "memcpy_gb_s", "probe_m_s"}
    finally:
        bare.close()


def test_bench_compare__a_worker_measures(job: Job, tmp_path: Path) -> None:
    path = os.pathsep.join([str(ROOT / "src"), str(ROOT)])
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "bench.compare.worker",
            "--tool",
            "numpy",
            "--form",
            "memory",
            "--data",
            str(job.folder),
            "--out",
            str(tmp_path),
        ],
        input="go\ngo\n",
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": path},
    )
    ready, *repetitions = map(json.loads, done.stdout.splitlines())
    assert ready["ready"]
    assert len(repetitions) == 2
    assert repetitions[0]["digest"] == repetitions[1]["digest"]
    assert all(r["wall"] > 0 and r["peak"] > 0 for r in repetitions)


def test_national__every_step_is_measured_and_shown(tmp_path: Path) -> None:
    options = ["--lines", "400", "--data", "data", "--out", "out", "--docs", "."]
    done = subprocess.run(
        [sys.executable, "-m", "bench.compare.national", *options],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(Path.cwd()), *sys.path])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    page = (tmp_path / "benchmarks.md").read_text("utf-8")
    for step in ("generate", "register", "open", "run", "verify"):
        assert f"| 400 | {step} |" in page


@pytest.mark.parametrize("name", ["run", "national"])
def test_compare__a_folder_for_pages_that_is_missing_is_refused_before_any_work(
    name: str, tmp_path: Path
) -> None:
    options = ["--data", "data", "--out", "out", "--docs", "missing"]
    done = subprocess.run(
        [sys.executable, "-m", f"bench.compare.{name}", *options],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(Path.cwd()), *sys.path])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert "--docs missing is no folder" in done.stderr
    assert list(tmp_path.iterdir()) == []
