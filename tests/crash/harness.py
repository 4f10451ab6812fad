"""Faults at chosen file-system calls: kill, tear, fail or cut short, recover, verify, go on.

A *step* is one command on a home. A *point* is one call of a step at which one fault strikes. One
warm process (started with preload.so, see `interposer.start`) forks a child a point: it arms the
interposer, does the step and dies or says how it ended; the parent then recovers, proves the home,
repeats the step and compares everything with what the step leaves behind without a fault.

interposer.py has the ways to fail, steps.py the commands; sweep.py is the program, which
test_crash.py and `make crash` start. Nothing here knows how the store works: calls are counted and
ends compared.
"""

from __future__ import annotations

import errno
import functools
import json
import os
import random
import shutil
import sqlite3
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from interposer import COUNT, KILL, MODES, TORN, Interposer, Mode
from steps import Failed, Step

import switch
from switch.home import store
from switch.home.store import Home

# --- what a home holds ----------------------------------------------------------------------------


def catalog_of(home: Path) -> Any:
    """Every row of the catalog but events, which tell of recoveries; None where it is not."""
    if not (home / "catalog.sqlite").exists():
        return None
    db = sqlite3.connect(home / "catalog.sqlite")
    try:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        query = "SELECT name FROM sqlite_schema WHERE type='table' AND name <> 'events'"
        names = [row[0] for row in db.execute(query)]
        return {name: list(db.execute(f"SELECT * FROM {name} ORDER BY 1, 2")) for name in names}
    finally:
        db.close()


def state_of(home: Path) -> Any:
    """All that must be the same after every fault: rows and bytes, but not the quarantine and what
    tells of it."""
    files = {}
    for folder, _, names in os.walk(home):
        inside = folder[len(str(home)) + 1 :]
        for name in names if not inside.startswith("quarantine") else ():
            if name != "lock" and not name.startswith("catalog.sqlite"):
                with open(f"{folder}/{name}", "rb") as stream:
                    files[f"{inside}/{name}"] = stream.read()
    if "/checkpoint" in files:
        said = json.loads(files["/checkpoint"])
        files["/checkpoint"] = json.dumps([said["seq"], said["link"]]).encode()
    return catalog_of(home), files


def difference(found: Any, expected: Any) -> str:
    """Where two states part, in a few words."""
    names = {n for n in {**found[1], **expected[1]} if found[1].get(n) != expected[1].get(n)}
    rows = [n for n in expected[0] or () if (found[0] or {}).get(n) != expected[0][n]]
    return f"files {sorted(names)[:4]}, tables {rows}"


# --- points ---------------------------------------------------------------------------------------


def _committed(files: dict[str, bytes]) -> dict[str, bytes]:
    """Files that commits name: what a proof looks at beside the catalog."""
    return {
        name: content
        for name, content in files.items()
        if name.startswith(tuple(f"{kind}/" for kind in store.KINDS))
    }


class Wrong(Exception):
    """A promise that a point broke."""


def require(holds: Any, what: str) -> None:
    if not holds:
        raise Wrong(what)


class States:
    """States before each step, and behind the last: read when one is asked for."""

    def __init__(self, folders: list[Path]) -> None:
        self.folders = folders

    @functools.cache  # noqa: B019  A process has one of them, to its end.
    def __getitem__(self, step: int) -> Any:
        home = self.folders[step] / "home"
        return state_of(home) if home.exists() else (None, {})


class Scenario:
    """Steps on one home, with the state before and after each of them, made without faults."""

    def __init__(
        self,
        steps: list[Step],
        made: Path,
        work: Path,
        interposer: Interposer,
        prove_every: int = 1,
    ) -> None:
        """made: folder of the homes before each step, which are made where none stand; work: where
        they are struck; prove_every: see `recover`."""
        self.steps, self.work, self.interposer = steps, work, interposer
        self.prove_every, self.recovered, self.ends_every = prove_every, 0, 0
        self.point = work / "point"
        self.home = self.point / "home"
        self.before = [made / f"before-{i}" for i in range(len(steps) + 1)]
        self.states = States(self.before)
        if not self.before[0].exists():
            self.make()

    def make(self) -> None:
        """Do all steps, each on a copy of the home behind the last. Each home is proven; where not
        all points are, each fourth and the last, whose history is that of all."""
        self.before[0].mkdir()
        every = min(self.prove_every, 4)
        for i, step in enumerate(self.steps):
            home = self.before[i + 1] / "home"
            shutil.copytree(self.before[i], self.before[i + 1])
            step.do(home)
            if i % every == 0 or i + 1 == len(self.steps):
                switch.verify(home)

    def restore(self, folder: Path) -> None:
        shutil.rmtree(self.point, ignore_errors=True)
        shutil.copytree(folder, self.point)

    def child(self, do: Callable[[Path], Any], mode: Mode, number: int) -> str:
        """Do it in a child under a fault: how it ended, 'killed' or 'done' or the error."""
        reader, writer = os.pipe()
        pid = os.fork()
        if pid == 0:
            ignored: list[str] = []
            sys.unraisablehook = lambda hook: ignored.append(f"unraisable {hook.exc_value!r}")
            self.interposer.arm(self.point, mode.how, number, mode.error, mode.bits)
            try:
                do(self.home)
                said = "done"
            except (Failed, switch.SwitchError) as error:
                said = f"{type(error).__name__}: {error}"
            except BaseException:
                said = f"fault: {traceback.format_exc()}"
            self.interposer.disarm()
            os.write(writer, "; ".join([said, *ignored]).encode()[:60_000])
            os._exit(0)
        os.close(writer)
        with os.fdopen(reader, "rb") as stream:
            said = stream.read().decode()
        status = os.waitpid(pid, 0)[1]
        return "killed" if os.WIFSIGNALED(status) else said

    def kinds(self, step: int) -> list[str]:
        """The calls of a step, without a fault."""
        self.restore(self.before[step])
        require(self.child(self.steps[step].do, Mode(COUNT), 0) == "done", "it fails by itself")
        return self.interposer.kinds

    def strike(self, step: int, mode: Mode, number: int) -> str:
        """One point, up to the fault."""
        self.restore(self.before[step])
        said = self.child(self.steps[step].do, mode, number)
        if mode.how in (KILL, TORN):
            require(said == "killed" or not self.interposer.state.fired, f"not killed: {said}")
            return said
        failed = ("EnvironmentFailed: ", "CopyFailed: ", "Failed: exit 6: ")
        right = said == "done" or said.startswith(failed)
        require(right, f"it ended with {said}")
        if mode.error == errno.ENOSPC and said != "done":
            require("bytes free" in said, f"does not say what is free: {said}")
        require(said == "done" or not mode.must_succeed, f"it failed: {said}")
        if said == "done" and mode.error == errno.EIO:
            require(not self._a_sync_that_counts(), "acknowledged after a failed sync")
        return said

    def _a_sync_that_counts(self) -> bool:
        """Whether the fault struck a sync. One does not count: SQLite syncs the folder right after
        its journal and passes over a failure; the store has synced the same before."""
        fired, kinds = self.interposer.state.fired, self.interposer.kinds
        if not fired or kinds[fired - 1] != "SYNC":
            return False
        of_sqlite = self.interposer.state.path == os.fsencode(self.home)
        return not (of_sqlite and kinds[fired - 2] == "SYNC")

    def recover(self, step: int, said: str, to_the_end: bool = False) -> None:
        """After the fault: open, prove, repeat, compare.

        A home that equals, byte for byte and row for row, one that was proven without a fault
        needs no second proof. With prove_every 1 the home is proven after each recovery all the
        same, before the step is repeated; else after each such number of points."""
        here = self.steps[step]
        before, after = self.states[step], self.states[step + 1]
        if (self.home / "catalog.sqlite").exists():
            held = self._names("quarantine")
            with Home(self.home, writing=True) as home:
                done = here.done is not None and here.done(home)
                reported = sorted(home.quarantined)
            require(sorted(self._names("quarantine") - held) == reported, "quarantine: not told")
            for kind in store.KINDS:
                require(all(n.isdigit() for n in self._names(kind)), f"left in {kind}")
            now, files = state_of(self.home)
            require(now in (before[0], after[0]), "the catalog is neither old nor new")
            as_proven = _committed(files) == _committed((before, after)[now == after[0]][1])
            self.recovered += 1
            if not as_proven or self.recovered % self.prove_every == 0:
                self.prove()
            require(said != "done" or now == after[0], "acknowledged, and not there")
            copied = "is a copy of is committed" in said
            require(not copied or now == after[0], "it said that it is committed, and it is not")
            done = done or (step == 0 and now == after[0])
        else:
            require(before[0] is None and said != "done", "the catalog is gone")
            done = False
        if not done:
            here.do(self.home)
        found = state_of(self.home)
        require(found == after, f"another end than without a fault: {difference(found, after)}")
        if to_the_end:
            for later in range(step + 1, len(self.steps)):
                self.steps[later].do(self.home)
            switch.verify(self.home)
            require(state_of(self.home) == self.states[-1], "another end after the last step")

    def prove(self) -> None:
        """After recovery, before the step is repeated."""
        switch.verify(self.home)

    def _names(self, folder: str) -> set[str]:
        path = self.home / folder
        return {p.name for p in path.iterdir()} if path.is_dir() else set()

    def recover_under_faults(self, step: int, number: int, seen: set[Any]) -> Iterator[None]:
        """A kill at call number, then every call of the recovery killed, torn and failed, once for
        each sequence of calls that a recovery may be. Yields after each point."""
        self.strike(step, MODES["kill"], number)
        if not (self.home / "catalog.sqlite").exists():
            return
        crashed = self.work / "crashed"
        shutil.rmtree(crashed, ignore_errors=True)
        shutil.copytree(self.point, crashed)

        def open_home(home: Path) -> None:
            Home(home, writing=True).close()

        require(self.child(open_home, Mode(COUNT), 0) == "done", "it does not open")
        kinds = self.interposer.kinds
        if tuple(kinds) in seen:
            return
        seen.add(tuple(kinds))
        for name in ("kill", "torn", "eio"):
            mode = MODES[name]
            for again in points_of(kinds, mode):
                self.restore(crashed)
                said = self.child(open_home, mode, again)
                right = said in ("killed", "done") or said.startswith("EnvironmentFailed: ")
                require(right, f"recovery, {name} at {again}: it ended with {said}")
                try:
                    self.recover(step, "killed")
                except Exception as error:
                    raise Wrong(
                        f"recovery, {name} at {again} {kinds[again - 1]}: {error}"
                    ) from error
                yield


def points_of(kinds: list[str], mode: Mode) -> list[int]:
    """Numbers of the calls at which a mode strikes."""
    return [n for n, kind in enumerate(kinds, start=1) if not mode.kinds or kind in mode.kinds]


TURN = 5
"""Calls by which one mode begins later than the one before, where not all calls are struck."""
FAULTS_MAX = 25
"""So many are enough to stop for."""


class Report:
    """Counts of points and what they found."""

    def __init__(self) -> None:
        self.points: Counter[str] = Counter()
        self.ends: Counter[str] = Counter()
        self.faults: list[str] = []
        self.began = time.monotonic()

    def document(self) -> dict[str, Any]:
        return {
            "points": dict(self.points),
            "ends": dict(self.ends),
            "faults": self.faults,
            "seconds": round(time.monotonic() - self.began, 1),
        }


def sweep(
    scenario: Scenario, steps: list[int], modes: list[str], every: int, part: tuple[int, int]
) -> dict[str, Any]:
    """Every `every`th call of the steps by every mode, by each mode from another one on; of two
    parts, part (0 or 1, 2) alone."""
    report = Report()
    for step in steps:
        kinds = scenario.kinds(step)
        for turn, name in enumerate(modes, start=step):
            mode = MODES[name]
            for i, number in enumerate(points_of(kinds, mode)[turn * TURN % every :: every]):
                if (i + turn) % part[1] != part[0] or len(report.faults) >= FAULTS_MAX:
                    continue
                struck, ends = report.points.total(), scenario.ends_every
                to_the_end = struck % ends == 0 if ends else i % 20 == 0
                _try(report, scenario, step, name, mode, number, kinds, to_the_end)
    return report.document()


def _try(
    report: Report,
    scenario: Scenario,
    step: int,
    name: str,
    mode: Mode,
    number: int,
    kinds: list[str],
    to_the_end: bool,
) -> None:
    report.points[name] += 1
    try:
        said = scenario.strike(step, mode, number)
        report.ends[said.partition(":")[0]] += 1
        scenario.recover(step, said, to_the_end)
    except Exception as error:
        kind = kinds[number - 1] if number <= len(kinds) else "?"
        what = str(error) if isinstance(error, Wrong) else traceback.format_exc()
        report.faults.append(f"{scenario.steps[step].name}, {name} at {number} {kind}: {what}")


def sweep_recovery(scenario: Scenario, steps: list[int], part: tuple[int, int]) -> dict[str, Any]:
    """Faults during the recovery from a kill at every call."""
    report = Report()
    for step in steps:
        seen: set[Any] = set()
        for number in points_of(scenario.kinds(step), MODES["kill"]):
            if number % part[1] != part[0]:
                continue
            try:
                for _ in scenario.recover_under_faults(step, number, seen):
                    report.points["recovery"] += 1
            except Exception as error:
                what = str(error) if isinstance(error, Wrong) else traceback.format_exc()
                report.faults.append(f"{scenario.steps[step].name}, kill at {number}: {what}")
    return report.document()


def random_points(scenario: Scenario, count: int, seed: int) -> dict[str, Any]:
    """Faults drawn at random; with threads the calls do not come in one order, so a number names
    another call each time."""
    report = Report()
    draw = random.Random(seed)
    kinds = [scenario.kinds(step) for step in range(len(scenario.steps))]
    runs = [i for i, step in enumerate(scenario.steps) if step.name.startswith("run")]
    for _ in range(count):
        if len(report.faults) >= FAULTS_MAX:
            break
        step = draw.choice(runs * 3 + list(range(len(kinds))))
        name = draw.choice(["kill"] * 3 + list(MODES))
        number = draw.choice(points_of(kinds[step], MODES[name]))
        _try(report, scenario, step, name, MODES[name], number, kinds[step], draw.random() < 0.05)
    return report.document()


def crowd(scenario: Scenario, count: int, rounds: int, seed: int) -> dict[str, Any]:
    """Many processes with one table at once: paid once. In the first round each tries once; later
    those that find the home locked try again, and every third is killed somewhere."""
    report = Report()
    draw = random.Random(seed)
    step = next(i for i, step in enumerate(scenario.steps) if step.name == "run B")
    calls = len(scenario.kinds(step))
    for number in range(rounds):
        scenario.restore(scenario.before[step])
        ends: Counter[str] = Counter()
        children = [
            _start(
                scenario,
                step,
                draw.randrange(1, calls + 40) if number and i % 3 == 0 else 0,
                again=number > 0,
            )
            for i in range(count)
        ]
        for gate, _, _ in children:
            os.write(gate, b"!")
        for gate, reader, pid in children:
            with os.fdopen(reader, "rb") as stream:
                said = stream.read().decode()
            os.close(gate)
            killed = os.WIFSIGNALED(os.waitpid(pid, 0)[1])
            ends["killed" if killed else said.partition(":")[0]] += 1
        report.points["processes"] += count
        report.ends += ends
        try:
            require(not set(ends) - {"new", "stored", "killed", "HomeLocked"}, f"ends: {ends}")
            require(ends["new"] <= 1, "committed twice")
            require(number or ends["new"] == 1, "committed by none")
            scenario.recover(step, "done" if ends["new"] or ends["stored"] else "killed")
        except Exception as error:
            report.faults.append(f"round {number}: {error}")
    return report.document()


def _start(scenario: Scenario, step: int, kill_at: int, again: bool) -> tuple[int, int, int]:
    """A child that waits at a gate, then runs the step: (gate, what it says, process)."""
    waits, gate = os.pipe()
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.read(waits, 1)
        if kill_at:
            scenario.interposer.arm(scenario.point, KILL, kill_at)
        try:
            while True:
                try:
                    batch = scenario.steps[step].do(scenario.home)
                    break
                except switch.HomeLocked:
                    if not again:
                        raise
                    time.sleep(0.01)
            said = "stored" if batch.replayed else "new"
        except switch.SwitchError as error:
            said = f"{type(error).__name__}: {error}"
        except BaseException:
            said = f"fault {traceback.format_exc()}"
        scenario.interposer.disarm()
        os.write(writer, said.encode()[:60_000])
        os._exit(0)
    os.close(waits)
    os.close(writer)
    return gate, reader, pid


def work_folder() -> tempfile.TemporaryDirectory[str]:
    """Where homes of points stand: in memory if it can be, for a sync then costs nothing."""
    memory = Path("/dev/shm")
    return tempfile.TemporaryDirectory(
        prefix="switch-crash-", dir=memory if os.access(memory, os.W_OK) else None
    )
