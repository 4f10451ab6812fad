"""Same input and same home, same bytes: for threads, chunks, hash seeds, zones, locales and clocks,
and for every Python that `make pythons` has made ready."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from scene import VALUE_DATE, write_dossier

import switch
from switch.schema import CHUNK_ROWS_MAX

HERE = Path(__file__).parents[1] / "everywhere"
CHUNKS = (1, 7, 1000, 65_536, CHUNK_ROWS_MAX)
TEN_YEARS = 10 * 365 * 24 * 3600
ENVIRONMENTS: dict[str, dict[str, str]] = {
    "hash seed 0": {"PYTHONHASHSEED": "0", "TZ": "Asia/Ho_Chi_Minh"},
    "hash seed 1": {"PYTHONHASHSEED": "1", "TZ": "America/Los_Angeles"},
    "any hash seed": {"PYTHONHASHSEED": "random", "TZ": "Pacific/Kiritimati"},
    "half an hour": {"TZ": "XXX-12:45", "LC_ALL": "vi_VN.UTF-8", "LANG": "vi_VN.UTF-8"},
    "dotless i": {"LC_ALL": "tr_TR.UTF-8", "LANG": "tr_TR.UTF-8"},
    "comma": {"LC_ALL": "de_DE.UTF-8", "LC_NUMERIC": "de_DE.UTF-8"},
    "ASCII": {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    "bytes of Latin-1": {"LC_ALL": "en_US.ISO-8859-1", "PYTHONIOENCODING": "latin-1"},
    "optimised": {"PYTHONOPTIMIZE": "1"},
    "memory that held something": {
        "MALLOC_PERTURB_": "165",
        "ARROW_DEFAULT_MEMORY_POOL": "system",
    },
}
"""What a process may find around it. A locale that the machine lacks is the C locale to Python."""


@pytest.fixture(scope="session")
def small_nation(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """400 people, a payday of 400 lines, accounts for some who wait, and a second payday."""
    folder = tmp_path_factory.mktemp("everywhere")
    made = switch.generate(folder, 400, 400, 4)
    payday = pq.read_table(made.payday)
    truth = pq.read_table(made.truth)
    held = payday.filter(pc.equal(truth["reason"], "AC03"))
    waiting = sorted(set(held["person_id"].to_pylist()))
    assert len(waiting) >= 2
    accounts = pq.read_table(made.accounts)
    late = [
        accounts.slice(0, 1).to_pylist()[0]
        | {"person_id": who, "account": f"77{n:08d}", "valid_from": None, "valid_to": None}
        for n, who in enumerate(waiting)
    ]
    pq.write_table(pa.Table.from_pylist(late, schema=accounts.schema), folder / "late.parquet")
    second = payday.slice(0, 250)
    benefit = pa.array(["SICK"] * 200 + second["benefit"].to_pylist()[200:])
    at = second.schema.names.index("benefit")
    second = second.set_column(at, "benefit", benefit)
    path = folder / "second.parquet"
    pq.write_table(second, path)
    write_dossier(
        path, 250, sum(second["amount"].to_pylist()), batch_id="SECOND",
        value_date=VALUE_DATE.isoformat(),
    )  # fmt: skip
    return folder


def run_program(
    nation: Path,
    work: Path,
    threads: int = 1,
    chunks: Any = (65_536,),
    python: str = sys.executable,
    **environment: str,
) -> dict[str, Any]:
    """What program.py says in a process of its own."""
    source = str(Path(switch.__file__).resolve().parents[1])
    known = {k: v for k, v in os.environ.items() if not k.startswith(("LC_", "LANG", "PYTHONHASH"))}
    done = subprocess.run(
        [python, str(HERE / "program.py"), str(nation), str(work), str(threads), *map(str, chunks)],
        env=known | {"PYTHONPATH": source} | environment,
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return dict(json.loads(done.stdout))


@pytest.fixture(scope="session")
def expected(small_nation: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    said = run_program(small_nation, tmp_path_factory.mktemp("expected"))
    (digests,) = said["found"].values()
    return digests


@pytest.mark.parametrize("threads", [1, 2])
def test_everywhere__threads_and_chunks(
    threads: int, small_nation: Path, expected: Any, tmp_path: Path
) -> None:
    found = run_program(small_nation, tmp_path, threads, CHUNKS)["found"]
    assert found == {str(rows): expected for rows in CHUNKS}


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_everywhere__environments(
    name: str, small_nation: Path, expected: Any, tmp_path: Path
) -> None:
    found = run_program(small_nation, tmp_path, 2, [1000], **ENVIRONMENTS[name])["found"]
    assert found == {"1000": expected}


@pytest.mark.skipif(shutil.which("cc") is None, reason="a shifted clock needs a C compiler")
@pytest.mark.parametrize("shift", [-TEN_YEARS, TEN_YEARS])
def test_everywhere__clock_ten_years_off(
    shift: int, small_nation: Path, expected: Any, tmp_path: Path
) -> None:
    shim = tmp_path / "clock.so"
    subprocess.run(
        ["cc", "-shared", "-fPIC", "-O1", "-o", shim, HERE / "clock.c", "-ldl"], check=True
    )
    preload = f"{os.environ.get('LD_PRELOAD', '')} {shim}".strip()
    said = run_program(small_nation, tmp_path, LD_PRELOAD=preload, CLOCK_SHIFT=str(shift))
    assert abs(said["year"] - time.localtime().tm_year) in (9, 10)
    assert said["found"] == {"65536": expected}


@pytest.mark.parametrize("version", ["3.11", "3.12", "3.13"])
def test_everywhere__every_python(
    version: str, small_nation: Path, expected: Any, tmp_path: Path
) -> None:
    """Where it has pyarrow of this version, for another one may encode otherwise."""
    python = HERE.parents[1] / f"build/pythons/{version}/bin/python"
    if sys.version.startswith(f"{version}."):
        python = Path(sys.executable)
    elif not python.exists():
        pytest.skip(f"NO PYTHON {version}: `make pythons` makes those ready that are there")
    elif os.environ.get("LD_PRELOAD"):
        pytest.skip("other Pythons have no build for sanitizers")
    said = run_program(small_nation, tmp_path, 2, [7], str(python))
    assert said["python"].startswith(f"{version}.")
    assert said["found"] == {"7": expected}
