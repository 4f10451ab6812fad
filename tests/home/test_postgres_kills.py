"""A writer whose catalog is on a server, killed at its calls to the file system, or failed there:
files and server end as one, and so does the same command again.

A twin of files alone does the same, undisturbed. CLUSTER=1 (`make cluster-test`): every call; else
every fortieth.
"""

from __future__ import annotations

import os
from pathlib import Path

import interposer
import pytest
from postgres import Postgres
from served_homes import STEPS, files, links, rows_of, small

import switch
from switch.errors import EnvironmentFailed

EVERY = 1 if os.environ.get("CLUSTER") else 40
KILLED = -9


@pytest.fixture(scope="module")
def preload(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if why := interposer.unavailable():
        pytest.skip(why)
    return interposer.build(tmp_path_factory.mktemp("preload"))


@pytest.mark.parametrize("name", STEPS)
@pytest.mark.parametrize("mode", ["kill", "eio", "enospc-on"])
def test_writer__struck_at_a_call_ends_as_one(
    mode: str, name: str, preload: Path, postgres: Postgres, tmp_path: Path
) -> None:
    home, twin = small(tmp_path / "h", postgres.address), small(tmp_path / "t")
    call, number, undone, struck = 1 + len(name + mode) % EVERY, 0, 0, 0
    while True:
        number += 1
        before = links(twin)
        with switch.open(twin) as engine:
            STEPS[name](engine, number)
        after = links(twin)
        done = interposer.start(preload, "one_step.py", home, name, number, mode, call)
        assert done.returncode in (0, EnvironmentFailed.exit_code, KILLED), done.stderr
        found = links(home)
        assert found in (before, after), (call, "in part, or lost")
        assert done.returncode or found == after, (call, "acknowledged, and lost")
        undone += found == before
        if found == before or name == "run":
            with switch.open(home) as engine:
                STEPS[name](engine, number)
        assert links(home) == after, (call, "not done, or twice")
        if done.returncode == 0 and int(done.stdout) < call:
            break
        struck += 1
        call += EVERY
    print(f"{name}, {mode}: struck at {struck} calls, {undone} times undone")
    assert struck
    assert undone or EVERY > 1, "some were undone"
    mine, its = ({n: d for n, d in files(p).items() if "quarantine" not in n} for p in (home, twin))
    assert mine == its
    assert rows_of(home) == rows_of(twin)
    assert switch.verify(home)
