"""A run that is killed, cut short or failed at any call: recovered, proven, repeated, same end.

`make test` kills every call of one small batch with held lines and every twelfth of the commands
around it, and takes every twelfth and every 96th for the other modes (torn, failed once, full from
there on, interrupted, written short, ...), for each mode and step from another call on; of what a
power cut may leave it plays every 24th state of each sort of commit. Homes made without a fault are
proven at every fourth step and the last then, and such as equal them, byte for byte, after every
24th point. CRASH=1 (`make crash`) strikes every call of everything by every mode, plays every state
and proves each home, adds 2,000 random points on larger batches, and cuts the power of a file
system, where root may mount one.
"""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import harness
import interposer
import powercut
import pytest
import scene
from scene import (
    account,
    answers,
    asked,
    command,
    line,
    make_home,
    new_checkpoint,
    payment_table,
    person,
    tree_digest,
    write_table,
)

import switch
from switch.files import segment
from switch.home import store
from switch.home.chain import Chain

WHOLE = bool(os.environ.get("CRASH"))
AROUND = (
    *("0", "1", "2", "3", "5", "6", "7", "9", "10"),
    *("11", "16", "18", "22", "23", "26", "29", "32", "41", "42", "44", "46"),
    *(("47", "48", "49", "56", "58") if find_spec("pyotp") else ()),
    *(("50", "51", "52", "53") if WHOLE and find_spec("pyotp") else ()),
)
"""Steps around the batch, which is 4. Those of citizens need an extra, which `make` installs, and
without it those of fees, the last two of these, have other numbers; `make crash` takes registers
that change by deltas, too."""
HALVES = [pytest.param(("--part", n, 2), id=f"half {n + 1}") for n in (0, 1)]
COMMITS = ("0", "3", "4", "5", "10", "11", "16", "18", "22", "23", "26", "29", "30", "32", "33")
COMMITS += ("34", "36", "41", "44", "46")
COMMITS += (
    ("47", "48", "49", "51", "54", "55", "56", "62", "65", "66", "67") if find_spec("pyotp") else ()
)
"""One commit of each kind: init, register, run, directory, close, settle, recast, answers,
disposition, day, abort, note, alarm, a household's credit and its recall, policy, act, recall,
expiry, cash asked back, a device, a refusal, an account, ids that change, agencies, bills, fees, a
refund, its withdrawal, a participant that is suspended, and one that is funded."""
GROUPS = [(step,) for step in COMMITS] if WHOLE else [COMMITS[n::4] for n in range(4)]
"""Commits that one process cuts: each alone, or few processes for all, which each begin anew."""
NOTICE = interposer.unavailable()
needs_cc = pytest.mark.skipif(bool(NOTICE), reason=NOTICE)
whole_only = pytest.mark.skipif(not WHOLE, reason="`make crash` runs this")


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interposer, compiled."""
    return interposer.build(tmp_path_factory.mktemp("preload"))


@pytest.fixture(scope="session")
def made(library: Path) -> Iterator[Path]:
    """Homes before each small step, which sweeps copy: each was proven when it was made."""
    with harness.work_folder() as name:
        found(library, "make", "--made", name)
        yield Path(name)


def found(library: Path, *args: object) -> dict[str, Any]:
    """What a sweep found."""
    thin = () if WHOLE else ("--prove-every", 24, "--ends-every", 90)
    done = interposer.start(library, "sweep.py", *args, *thin)
    assert done.returncode in (0, 1), done.stderr[-3000:]
    assert done.stdout, done.stderr[-3000:]
    return dict(json.loads(done.stdout))


Sweep = Callable[..., dict[str, Any]]
Require = Callable[[dict[str, Any], int], None]


@pytest.fixture
def sweep(library: Path, made: Path) -> Sweep:
    """Sweeps over the small steps: what it strikes, then options of the program."""
    return lambda what, *args: found(library, what, "--made", made, *args)


@pytest.fixture
def require_none(record_property: Callable[[str, object], None]) -> Require:
    """Asks that a sweep struck so many points and found no fault, and keeps both for the table."""

    def require(found: dict[str, Any], at_least: int) -> None:
        points = sum(found["points"].values())
        record_property("swept", (found["what"], points, len(found["faults"])))
        assert not found["faults"], "\n".join(found["faults"][:5])
        assert points >= at_least

    return require


# --- faults at calls ------------------------------------------------------------------------------


@needs_cc
@pytest.mark.timeout(7200 if WHOLE else 900)
@pytest.mark.parametrize("part", HALVES)
def test_run__every_call_of_a_batch_may_fail(
    sweep: Sweep, part: Any, require_none: Require
) -> None:
    modes = list(interposer.MODES) if WHOLE else ["kill"]
    require_none(sweep("calls", "--steps", 4, *part, "--modes", *modes), 300 if WHOLE else 60)


@needs_cc
@pytest.mark.skipif(WHOLE, reason="every call is struck by every mode")
@pytest.mark.timeout(900)
def test_run__some_calls_may_fail_otherwise(sweep: Sweep, require_none: Require) -> None:
    modes = [mode for mode in interposer.MODES if mode != "kill"]
    require_none(sweep("calls", "--steps", 4, "--every", 12, "--modes", *modes), 50)


@needs_cc
@pytest.mark.timeout(7200 if WHOLE else 900)
@pytest.mark.parametrize("part", HALVES)
def test_commands__some_calls_may_be_the_last(
    sweep: Sweep, part: Any, require_none: Require
) -> None:
    every = 1 if WHOLE else 12
    require_none(
        sweep("calls", "--every", every, "--modes", "kill", "--steps", *AROUND, *part),
        250 if WHOLE else 40,
    )


@needs_cc
@pytest.mark.timeout(7200 if WHOLE else 1800)
@pytest.mark.parametrize("part", HALVES)
def test_commands__calls_may_fail(sweep: Sweep, part: Any, require_none: Require) -> None:
    modes = [mode for mode in interposer.MODES if mode != "kill"]
    every = 1 if WHOLE else 96
    require_none(
        sweep("calls", "--every", every, "--modes", *modes, "--steps", *AROUND, *part),
        100 if WHOLE else 20,
    )


@needs_cc
@pytest.mark.timeout(7200 if WHOLE else 1800)
def test_recovery__may_fail_at_every_call(sweep: Sweep, require_none: Require) -> None:
    """Once for each sequence of calls that a recovery may be."""
    steps = () if WHOLE else ("--steps", 4)
    require_none(sweep("recovery", *steps), 50)


@needs_cc
@whole_only
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("seed", [1, 2])
def test_large_batches__faults_at_random(library: Path, seed: int, require_none: Require) -> None:
    require_none(found(library, "random", "--count", 1000, "--seed", seed), 1000)


# --- what a power cut may leave -------------------------------------------------------------------


@needs_cc
@pytest.mark.timeout(7200 if WHOLE else 900)
@pytest.mark.parametrize("steps", GROUPS, ids=lambda steps: f"step {' '.join(steps)}")
def test_commit__unsynced_operations_may_be_lost_in_any_selection(
    sweep: Sweep, steps: tuple[str, ...], require_none: Require
) -> None:
    every = 1 if WHOLE else 24
    require_none(
        sweep("reorder", "--every", every, "--steps", *steps), (100 if WHOLE else 50) * len(steps)
    )


@needs_cc
@whole_only
@pytest.mark.timeout(7200 if WHOLE else 900)
@pytest.mark.parametrize("forgotten", ["sync_file", "sync_folder"])
def test_commit__a_forgotten_sync_would_be_found(sweep: Sweep, forgotten: str) -> None:
    assert sweep("reorder", "--steps", 4, "--forget", forgotten)["faults"]


@needs_cc
@whole_only
@pytest.mark.timeout(7200 if WHOLE else 3600)
def test_power_cut__of_a_file_system_at_every_call(sweep: Sweep, require_none: Require) -> None:
    notice = powercut.unavailable()
    if notice:
        pytest.skip(f"NO POWER CUTS: {notice}")
    require_none(sweep("power"), 700)


# --- many at once ---------------------------------------------------------------------------------


@needs_cc
@pytest.mark.timeout(7200 if WHOLE else 900)
def test_run__one_table_by_many_processes_is_paid_once(sweep: Sweep, require_none: Require) -> None:
    require_none(sweep("crowd", "--count", 100 if WHOLE else 20), 60)


def test_run__eight_commands_with_one_table(village: Path, tmp_path: Path) -> None:
    """One commits, the others answer 4 or what was stored."""
    table = write_table(payment_table([line(1), line(2)]), tmp_path / "t")
    source = str(Path(switch.__file__).resolve().parents[1])
    words = [sys.executable, "-m", "switch", "--json", "run", str(village), str(table)]
    running = [
        subprocess.Popen(
            words,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=os.environ | {"PYTHONPATH": source},
        )
        for _ in range(8)
    ]
    replayed = []
    for process in running:
        out, _ = process.communicate(timeout=120)
        assert process.returncode in (0, 4)
        if process.returncode == 0:
            replayed.append(json.loads(out)["batches"][0]["replayed"])
    assert replayed.count(False) == 1
    switch.verify(village)


# --- the machine ----------------------------------------------------------------------------------


def test_run__space_is_checked_before_the_start(
    village: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = write_table(payment_table([line(1)]), tmp_path / "t")
    before = tree_digest(village)
    usage = shutil.disk_usage(village)._replace(free=1000)
    monkeypatch.setattr(store.shutil, "disk_usage", lambda path: usage)
    said = command("run", village, table)
    assert said.code == 6
    assert "1,000 bytes free, about 4," in said.err
    assert tree_digest(village) == before
    people = scene.people_table([person(20)])
    with switch.open(village) as engine, pytest.raises(switch.EnvironmentFailed, match="about 4,"):
        engine.register(population=people)
    monkeypatch.undo()
    assert command("run", village, table).code == 0


def test_run__a_wrong_count_is_refused_and_no_matter_of_space(
    village: Path, tmp_path: Path
) -> None:
    table = write_table(payment_table([line(1)]), tmp_path / "t", count=4_000_000_000)
    said = command("run", village, table)
    assert said.code == 3
    assert "CONTROL_COUNT" in said.err


@pytest.mark.parametrize("struck", ["sync_folder", "append", "COMMIT"])
def test_commit__broken_off_stops_the_engine(
    village: Path, monkeypatch: pytest.MonkeyPatch, struck: str
) -> None:
    """Only the disk knows what happened, so the open home does nothing more."""

    def fail(*_: Any) -> None:
        raise OSError(5, "Input/output error")

    with switch.open(village) as engine:
        with monkeypatch.context() as patch:
            if struck == "COMMIT":
                # Something else reads the catalog, so that it cannot be written.
                other = sqlite3.connect(village / "catalog.sqlite")
                other.execute("BEGIN")
                other.execute("SELECT * FROM meta").fetchall()
                engine.home.catalog._db.execute("PRAGMA busy_timeout = 10")
            else:
                owner = Chain if struck == "append" else segment
                patch.setattr(owner, struck, fail)
            with pytest.raises(switch.EnvironmentFailed, match="run the same again"):
                scene.run(engine, [line(1)])
            if struck == "COMMIT":
                other.close()
        with pytest.raises(switch.EnvironmentFailed, match="stands on the disk alone"):
            scene.run(engine, [line(1)])
    with switch.open(village) as engine:
        assert answers(scene.run(engine, [line(1)])) == [("ACSC", None)]
        assert len(asked(engine.home, "SELECT * FROM batches")) == 1
    switch.verify(village)


def test_open__quarantine_may_have_been_deleted(village: Path) -> None:
    shutil.rmtree(village / "quarantine")
    (village / "batches" / ".draft-1").mkdir()
    with switch.open(village) as engine:
        assert engine.home.quarantined == ["batches-.draft-1"]


def test_open__takes_well_under_a_second_after_many_batches(tmp_path: Path) -> None:
    """3,000 batches: opening reads their numbers, the names of their folders, and the bytes of the
    catalog once, and again for the checkpoint of what it put aside."""
    home = make_home(tmp_path / "home", [person(1)], [account(1)])
    scene.pay(home, [line(1)])
    db = sqlite3.connect(home / "catalog.sqlite")
    db.execute("UPDATE batches SET summary = summary || ?", (" " * 20_000,))
    for seq in range(2, 3001):
        db.execute(
            "INSERT INTO batches SELECT ?, source, ?, digest, value_date, at, cycle, lines, amount,"
            " state, manifest, summary FROM batches WHERE seq = 1",
            (seq, f"B{seq}"),
        )
        (home / "batches" / f"{seq:06d}").mkdir()
    db.commit()
    db.close()
    new_checkpoint(home)
    (home / "batches" / ".draft-1").mkdir()
    began = time.monotonic()
    with switch.open(home) as engine:
        assert engine.home.catalog.next_batch() == 3001
        assert len(engine.home.quarantined) == 1
    assert time.monotonic() - began < 1
