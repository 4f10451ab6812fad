"""Faults at chosen file-system calls: kill, tear, fail or cut short, recover, verify, go on.

A *step* is one command on a home. A *point* is one call of a step at which one fault strikes. One
warm process (started with preload.so, see `start`) forks a child a point: the child arms the
interposer, does the step and dies or says how it ended; the parent then recovers, proves the home,
repeats the step and compares everything with what the step leaves behind without a fault.

sweep.py is the program; test_crash.py and `make crash` start it. Nothing here knows how the store
works: calls are counted and ends compared.
"""

from __future__ import annotations

import ctypes
import datetime
import errno
import json
import os
import random
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
import scene

import switch
from switch.home import store
from switch.home.store import Home
from switch.registry.settings import Settings

HERE = Path(__file__).parent
OFF, COUNT, KILL, TORN, FAIL_ONCE, FAIL_FROM, SHORT, RECORD, POWER_CUT = range(9)
KINDS = (
    "open write sync rename link unlink rmdir mkdir truncate copy chmod".upper().split()
)  # as in preload.c
ALL = (1 << len(KINDS)) - 1
GROWS = ("OPEN", "WRITE", "LINK", "MKDIR", "COPY")
"""What needs room on a disk."""
WRITES = ("WRITE", "COPY")


class Mode(NamedTuple):
    """A way to fail. kinds: the calls it strikes at ('' is all of them)."""

    how: int
    error: int = 0
    kinds: tuple[str, ...] = ()
    must_succeed: bool = False

    @property
    def bits(self) -> int:
        return sum(1 << KINDS.index(kind) for kind in self.kinds) or ALL


MODES = {
    # Killed after call n is killed before call n + 1: the disk holds the same.
    "kill": Mode(KILL),
    "torn": Mode(TORN, kinds=WRITES),
    "eio": Mode(FAIL_ONCE, errno.EIO),
    "eio-on": Mode(FAIL_FROM, errno.EIO),
    "enospc": Mode(FAIL_ONCE, errno.ENOSPC, GROWS),
    "enospc-on": Mode(FAIL_FROM, errno.ENOSPC, GROWS),
    "read-only": Mode(FAIL_FROM, errno.EROFS, tuple(k for k in KINDS if k != "SYNC")),
    "eintr": Mode(FAIL_ONCE, errno.EINTR, ("OPEN", "WRITE", "SYNC")),
    "short": Mode(SHORT, kinds=WRITES, must_succeed=True),
}


# --- the interposer -------------------------------------------------------------------------------


class State(ctypes.Structure):
    _fields_ = (
        ("calls", ctypes.c_long),
        ("fired", ctypes.c_long),
        ("path", ctypes.c_char * 4096),
        ("kinds", ctypes.c_ubyte * 65536),
    )


class Interposer:
    """preload.so in this process, which must have been started with it."""

    def __init__(self) -> None:
        self._library = ctypes.CDLL(os.environ["LD_PRELOAD"].split()[-1])
        self._library.crash_state.restype = ctypes.POINTER(State)
        self._library.crash_arm.argtypes = (
            ctypes.c_char_p,
            ctypes.c_int,
            ctypes.c_long,
            ctypes.c_int,
            ctypes.c_uint,
        )
        self.state = self._library.crash_state().contents

    def arm(self, folder: Path, how: int, number: int, error: int = 0, kinds: int = ALL) -> None:
        self._library.crash_arm(os.fsencode(folder), how, number, error, kinds)

    def record(self, folder: Path, log: Path) -> None:
        self._library.crash_record(os.fsencode(folder), os.fsencode(log))

    def disarm(self) -> None:
        self._library.crash_disarm()

    @property
    def kinds(self) -> list[str]:
        return [KINDS[kind] for kind in self.state.kinds[: self.state.calls]]


def unavailable() -> str:
    """Why nothing can be interposed here; '' where it can."""
    if sys.platform != "linux":
        return "crash tests need Linux (LD_PRELOAD)"
    if shutil.which("cc") is None:
        return "crash tests need a C compiler, and there is no `cc`"
    return ""


def build(folder: Path) -> Path:
    """preload.so, compiled into folder."""
    library = folder / "preload.so"
    subprocess.run(
        ["cc", "-shared", "-fPIC", "-O1", "-o", library, HERE / "preload.c", "-ldl"], check=True
    )
    return library


def start(library: Path, program: str, *args: object) -> subprocess.CompletedProcess[str]:
    """A program of this folder under the interposer, to its end."""
    paths = [HERE, HERE.parent, Path(switch.__file__).parents[1]]
    # Behind what is preloaded already: the runtimes of sanitizers come first.
    preload = f"{os.environ.get('LD_PRELOAD', '')} {library}".strip()
    return subprocess.run(
        [sys.executable, str(HERE / program), *map(str, args)],
        env=os.environ | {"LD_PRELOAD": preload, "PYTHONPATH": os.pathsep.join(map(str, paths))},
        capture_output=True,
        text=True,
        check=False,
    )


# --- steps ----------------------------------------------------------------------------------------


class Step(NamedTuple):
    """One command. done: whether it has happened, for commands that would happen twice."""

    name: str
    do: Callable[[Path], Any]
    done: Callable[[Home], bool] | None = None


class Failed(Exception):
    """A command that ended with an exit code other than 0."""


def _init(participants: Any, debtors: Any) -> Callable[[Path], None]:
    def do(home: Path) -> None:
        switch.init(
            home, participants=participants, debtors=debtors, key=b"0123456789abcdef"
        ).close()

    return do


def _register(version: int, **tables: Any) -> Step:
    def do(home: Path) -> None:
        with switch.open(home) as engine:
            engine.register(**tables)

    return Step(f"register {version}", do, lambda home: home.catalog.register_seq() >= version)


def _pay(batch_id: str, lines: list[Any]) -> Step:
    table = scene.payment_table(lines)

    def do(home: Path) -> Any:
        return scene.pay(home, table, batch_id, threads=1)

    return Step(f"run {batch_id}", do)


def _command(name: str, *args: object) -> Step:
    """A command as a person gives it; HOME is put in as its first argument."""
    verb, *rest = args

    def do(home: Path) -> None:
        said = scene.command(verb, home, *rest)
        if said.code:
            raise Failed(f"exit {said.code}: {said.err.strip().splitlines()[-1]}")

    return Step(name, do)


def small_steps(folder: Path) -> list[Step]:
    """Several small batches in a row: lines that clear, wait, are refused, and are presented
    again after registers or the directory changed; a table from a file by the command line; a
    table that had been run before; a cycle of a calendar, closed and settled; one that is settled
    without the lines of a payer that lacks funds; answers, by which a line is refused and another
    one comes back, what is decided of it, and the end of the day; and a cycle that is aborted."""
    directory = [pa.Table.from_pylist(list(t)) for t in (scene.PARTICIPANTS, scene.DEBTORS)]
    opened = pa.Table.from_pylist(
        [p | {"status": "active"} for p in scene.PARTICIPANTS],
        schema=directory[0].schema,
    )
    people = [scene.person(n) for n in range(1, 13)]
    accounts = [scene.account(n) for n in range(1, 8)]
    accounts += [
        scene.account(8, participant=scene.CLOSED_BANK),
        scene.account(9, participant=scene.SMALL_BANK),
    ]
    first = [scene.line(n) for n in range(1, 12)]
    second = [
        scene.line(3),
        *(scene.line(n, period=202612) for n in range(1, 10)),
        scene.line(11),
        scene.line(1, debtor_account=scene.BANK_ACCOUNT, benefit="SICK"),
    ]
    third = [scene.line(n, benefit="SICK", debtor_account=scene.BANK_ACCOUNT) for n in range(1, 12)]
    file = scene.write_table(scene.payment_table(third), folder / "third.parquet", batch_id="C")

    def change(home: Path) -> None:
        with switch.open(home) as engine:
            engine.change_directory(participants=opened)

    def is_changed(home: Home) -> bool:
        return bool(scene.asked(home, "SELECT 1 FROM audit WHERE kind = 'directory'"))

    def calendar(home: Path) -> None:
        with switch.open(home) as engine:
            engine.change_directory(settings=Settings(cutoffs=("11:00",)))

    def rule(home: Path) -> None:
        with switch.open(home) as engine:
            recast = Settings(cutoffs=("11:00",), insufficient_funds="recast")
            engine.change_directory(settings=recast)

    def funding(name: str, times: int, balance: int) -> Step:
        def fund(home: Path) -> None:
            with switch.open(home) as engine:
                given = {"participant": [scene.BANK], "balance": [balance]}
                engine.change_directory(balances=pa.table(given))

        def is_funded(home: Home) -> bool:
            return len(scene.asked(home, "SELECT 1 FROM audit WHERE kind = 'liquidity'")) == times

        return Step(name, fund, is_funded)

    owed = [
        scene.line(
            n,
            period=202703,
            debtor_account=scene.BANK_ACCOUNT,
            creditor_agent=scene.SMALL_BANK,
            creditor_account=str(n),
        )
        for n in range(1, 4)
    ]

    def has_calendar(home: Home) -> bool:
        return "cutoffs" in home.catalog.meta("settings")

    return [
        Step("init", _init(*directory)),
        _register(
            1,
            population=scene.people_table(people),
            accounts=scene.accounts_table(accounts),
            paid_history=scene.paid_table([scene.entitlement(5)]),
        ),
        _pay("A", first),
        _register(2, accounts=scene.accounts_table([scene.account(10)])),
        _pay("B", second),
        Step("directory", change, is_changed),
        _command("run C", "run", file, "--threads", 1),
        _pay("A", first)._replace(name="replay A"),
        Step("calendar", calendar, has_calendar),
        _pay("D", [scene.line(n, period=202701) for n in range(1, 8)]),
        _command("close", "settle", "--close"),
        _command("settle", "settle"),
        Step("rule", rule, lambda home: "recast" in home.catalog.meta("settings")),
        _pay("E", owed),
        funding("fund", 1, 1),
        _command("close E", "settle", "--close"),
        _command("recast", "settle"),
        _pay("F", [scene.line(n, period=202704) for n in range(1, 4)]),
        _command("reconcile", "reconcile", *_answers(folder), "--at", "2026-11-25T08:00:00"),
        funding("fund F", 2, 10_000_000),
        _command("close F", "settle", "--close"),
        _command("settle F", "settle"),
        _command("dispose", "dispose", "--write-back"),
        _command("day", "close", "--at", "2026-11-27"),
        _pay("G", [scene.line(n, period=202705) for n in range(1, 4)]),
        _command("close G", "settle", "--close"),
        _command("abort", "settle", "--cycle", "20261130-1", "--abort", "it is given up"),
        _pay("H", [scene.line(n, period=202706) for n in range(1, 3)]),
    ]


def _answers(folder: Path) -> list[Path]:
    """A line of F refused before its cycle settles, lines of D credited, and one sent back."""
    head, at = (
        "20261125-00000{}-000000000{}",
        datetime.datetime(2026, 11, 25, 5, tzinfo=datetime.UTC),
    )

    def row(batch: int, number: int, **said: str) -> dict[str, Any]:
        transfer = head.format(batch, number)
        known = {"participant": scene.BANK, "transfer_id": transfer, "amount": 1_000_000 + number}
        return known | said | {"booked_at": at}

    files = [folder / "confirmations.parquet", folder / "returns.parquet"]
    said = [row(6, 1, status="RJCT"), *(row(4, n, status="ACCC") for n in (2, 3))]
    pq.write_table(pa.Table.from_pylist(said), files[0])
    back = [row(4, 1, return_id="R1", reason="AC04")]
    pq.write_table(pa.Table.from_pylist(back), files[1])
    return files


def large_steps(folder: Path) -> list[Step]:
    """A nation and three paydays of it, in several chunks and with threads."""
    nation = switch.generate(folder / "nation", 12_000, 24_000, 7)
    table = pq.read_table(nation.payday)
    parts = [table.slice(0, 16_000), table.slice(12_000, 12_000)]
    shared = {"threads": 2, "chunk_rows": 3_000}

    def payday(number: int, part: Any) -> Step:
        numbers = pa.array(range(1, part.num_rows + 1), pa.uint32())
        part = part.set_column(part.schema.get_field_index("line_no"), "line_no", numbers)

        def do(home: Path) -> None:
            scene.pay(home, part, f"P{number}", **shared)

        return Step(f"run P{number}", do)

    return [
        Step("init", _init(nation.participants, nation.debtors)),
        _register(
            1, population=nation.population, accounts=nation.accounts, paid_history=nation.paid
        ),
        payday(1, parts[0]),
        payday(2, parts[1]),
        _register(2, population=nation.population),
        payday(3, parts[0].slice(0, 9_000)),
    ]


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


class Scenario:
    """Steps on one home, with the state before and after each of them, made without faults."""

    def __init__(self, steps: list[Step], work: Path, interposer: Interposer) -> None:
        self.steps, self.work, self.interposer = steps, work, interposer
        self.prove_every, self.recovered = 1, 0
        self.point = work / "point"
        self.home = self.point / "home"
        self.before = [work / f"before-{i}" for i in range(len(steps) + 1)]
        self.states: list[Any] = [(None, {})]
        self.before[0].mkdir()
        for i, step in enumerate(steps):
            shutil.copytree(self.before[i], self.before[i + 1])
            step.do(self.before[i + 1] / "home")
            switch.verify(self.before[i + 1] / "home")
            self.states.append(state_of(self.before[i + 1] / "home"))

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
    """Every `every`th call of the steps by every mode; of two parts, part (0 or 1, 2) alone."""
    report = Report()
    for step in steps:
        kinds = scenario.kinds(step)
        for name in modes:
            mode = MODES[name]
            for i, number in enumerate(points_of(kinds, mode)[::every]):
                if i % part[1] != part[0] or len(report.faults) >= FAULTS_MAX:
                    continue
                _try(report, scenario, step, name, mode, number, kinds, to_the_end=i % 20 == 0)
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
