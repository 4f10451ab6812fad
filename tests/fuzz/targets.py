"""What is fuzzed: every reader of a file from outside, by the door through which the file comes.

A target takes bytes as the file and calls the engine as the command line does. Either that is done,
or it raises a SwitchError and the home is as before; anything else is a finding.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

import scene  # noqa: E402
import sent  # noqa: E402

import switch  # noqa: E402
from switch.clearing.intake import dossier_path  # noqa: E402
from switch.cli.context import Context, new_settings  # noqa: E402
from switch.errors import SwitchError  # noqa: E402
from switch.proof.verify import Verifier  # noqa: E402
from switch.reconcile import default_rules, read_rules  # noqa: E402

PEOPLE = sent.PEOPLE
LINES = [
    *(scene.line(n) for n in PEOPLE),
    scene.line(1, creditor_agent=scene.WALLET, creditor_account="0912345678", benefit="SASS"),
    scene.line(2, period=202612, commune="00004", end_to_end_id="E2E-1", amount=5),
    scene.line(3, person_name="Hoà", debtor_account=scene.BANK_ACCOUNT),
]
TABLE = scene.payment_table(LINES)
PARTICIPANTS, DEBTORS = (
    pa.Table.from_pylist(list(rows)) for rows in (scene.PARTICIPANTS, scene.DEBTORS)
)
PROGRAMMES = pa.table(
    {"benefit": ["PENS", "SASS"], "name": ["Pension", "Aid"], "purpose": ["", "x"]}
)
BALANCES = pa.table({"participant": [scene.TREASURY, scene.BANK], "balance": [10**12, 0]})
HISTORY = scene.paid_table([scene.entitlement(n, period=202601 + n) for n in PEOPLE])
CONFIGURATIONS = (
    b'clearing_limit = 500000000\nthreads = 2\nout = "out"\n',
    b"clearing_limit = 1e3\n[more]\na = 1979-05-27T07:32:00Z\n",
)
RULES = files("switch").joinpath("data", "reconciliation.toml").read_bytes()
RUNS_A_HOME = 200
"""How many things may be committed before the home is made anew."""
ANSWERS_A_HOME = 20
"""The same of answers, which are held against all that were taken in before."""
ANSWERED_AT = "2026-11-30"


class HomeChanged(AssertionError):
    """A refusal left something behind."""


class Bench:
    """A home that is as before each time, and a file to be read."""

    def __init__(self, folder: Path, name: str) -> None:
        """name: of the target. Answers come to a home whose lines were sent, and rules to one that
        has answers."""
        self.folder = folder
        self.file = folder / "file"
        self._most = RUNS_A_HOME
        if name in WAY_BACK:
            self._made, told = sent.make(folder)
            self._most = ANSWERS_A_HOME
            if name in RULED:
                for kind, table in told.items():
                    pq.write_table(table, folder / kind)
                with switch.open(self._made) as engine:
                    engine.reconcile(*(folder / kind for kind in told), at=ANSWERED_AT)
        else:
            self._made = scene.make_home(
                folder / "made", map(scene.person, PEOPLE), map(scene.account, PEOPLE)
            )
        self.number = 0
        """Files that were taken so far."""
        self.home = folder / "home"
        self._engine: Any = None

    @property
    def engine(self) -> Any:
        if self._engine is None or self.number % self._most == 0:
            if self._engine is not None:
                self._engine.close()
            shutil.rmtree(self.home, ignore_errors=True)
            shutil.copytree(self._made, self.home)
            self._engine = switch.open(self.home)
            self.number += 1
        return self._engine

    def state(self) -> list[tuple[str, int, int]]:
        """Name, size and time of every file of the home."""
        return sorted(_files(str(self.home)))

    def unchanged(self, act: Callable[[Any], Any]) -> None:
        """act on the open engine; where it refuses, nothing has moved."""
        engine = self.engine
        before = self.state()
        try:
            act(engine)
            self.number += 1
        except SwitchError as error:
            _require_words(error)
            if self.state() != before:
                raise HomeChanged(f"{error}") from error

    def makes(self, **tables: Any) -> None:
        """init with these tables; where it refuses, there is no home."""
        new = self.folder / "new"
        given = {"participants": PARTICIPANTS, "debtors": DEBTORS} | tables
        try:
            switch.init(new, **given).close()
            self.number += 1
        except SwitchError as error:
            _require_words(error)
            if new.exists():
                raise HomeChanged(f"{error}") from error
        shutil.rmtree(new, ignore_errors=True)


def _require_words(error: SwitchError) -> None:
    """A refusal can be shown, on a terminal and as JSON."""
    assert str(error)
    str(error).encode("utf-8")


def _files(folder: str) -> Iterator[tuple[str, int, int]]:
    for entry in os.scandir(folder):
        if entry.is_dir(follow_symlinks=False):
            yield from _files(entry.path)
        else:
            status = entry.stat(follow_symlinks=False)
            yield entry.path, status.st_size, status.st_mtime_ns


def _payment(bench: Bench) -> None:
    def act(engine: Any) -> None:
        engine.run(
            bench.file,
            source="VSS",
            batch_id=f"B{bench.number}",
            value_date=scene.VALUE_DATE,
            count=TABLE.num_rows,
            sum=sum(TABLE["amount"].to_pylist()),
            out=bench.folder / "out",
            threads=1,
        )

    bench.unchanged(act)


def _dossier(bench: Bench) -> None:
    table = bench.folder / "table"
    if not table.exists():
        scene.write_file(TABLE, table, "parquet")
    shutil.copyfile(bench.file, dossier_path(table))
    bench.unchanged(lambda engine: engine.run(table, out=bench.folder / "out", threads=1))


def _registers(name: str) -> Callable[[Bench], None]:
    return lambda bench: bench.unchanged(lambda engine: engine.register(**{name: bench.file}))


def _directory(name: str) -> Callable[[Bench], None]:
    return lambda bench: bench.makes(**{name: bench.file})


def _configuration(bench: Bench) -> None:
    context = Context()
    context.config = bench.file
    try:
        new_settings(context)
        bench.number += 1
    except SwitchError as error:
        _require_words(error)


def _answers(bench: Bench) -> None:
    bench.unchanged(lambda engine: _reconciled(bench, engine, bench.file))


def _rules(name: str) -> Callable[[Bench], None]:
    """By the name of the file, which says what form the rules have."""

    def act(bench: Bench) -> None:
        path = bench.file.rename(bench.folder / name)
        bench.unchanged(lambda engine: _reconciled(bench, engine, rules=read_rules(path)))

    return act


def _reconciled(bench: Bench, engine: Any, *paths: Path, **options: Any) -> None:
    """What was taken in can be read again, to no effect, and is proven."""
    options |= {"at": ANSWERED_AT, "out": bench.folder / "out"}
    if engine.reconcile(*paths, **options)["number"]:
        again = engine.reconcile(*paths, **options)
        assert again["number"] == 0, f"the same again: {again}"
        faults = [check for check in Verifier(engine.home).checks() if check.fault]
        assert faults == [], faults


class Target(NamedTuple):
    act: Callable[[Bench], None]
    seeds: Callable[[Path], list[bytes]]


def _forms(table: pa.Table, *forms: str) -> Callable[[Path], list[bytes]]:
    def seeds(folder: Path) -> list[bytes]:
        return [scene.write_file(table, folder / f"s{f}", f).read_bytes() for f in forms]

    return seeds


def _rows(table: pa.Table) -> Callable[[Path], list[bytes]]:
    """CSV by hand (the scene's writer wants a person), Parquet and Arrow."""

    def seeds(folder: Path) -> list[bytes]:
        lines = [",".join(table.schema.names)]
        for row in table.to_pylist():
            lines.append(",".join("" if value is None else str(value) for value in row.values()))
        text = "\n".join(lines).encode() + b"\n"
        return [text, *_forms(table, "parquet", "arrow", "stream")(folder)]

    return seeds


def _told(kind: str) -> Callable[[Path], list[bytes]]:
    """What simulated receivers say, in every form."""
    return lambda folder: _rows(sent.make(folder)[1][kind])(folder)


def _dossiers(folder: Path) -> list[bytes]:
    path = scene.write_file(TABLE, folder / "table", "parquet")
    total = sum(TABLE["amount"].to_pylist())
    good = scene.write_dossier(path, TABLE.num_rows, total).read_bytes()
    number = json.dumps(json.loads(good) | {"sum": total, "count": str(TABLE.num_rows)})
    return [good, number.encode()]


_ALL = ("csv", "parquet", "arrow", "stream")
TARGETS = {
    "csv": Target(_payment, _forms(TABLE, "csv")),
    "parquet": Target(_payment, _forms(TABLE, "parquet")),
    "arrow": Target(_payment, _forms(TABLE, "arrow")),
    "stream": Target(_payment, _forms(TABLE, "stream")),
    "dossier": Target(_dossier, _dossiers),
    "population": Target(
        _registers("population"), _forms(scene.people_table(map(scene.person, PEOPLE)), *_ALL)
    ),
    "accounts": Target(
        _registers("accounts"), _forms(scene.accounts_table(map(scene.account, PEOPLE)), *_ALL)
    ),
    "paid": Target(_registers("paid_history"), _forms(HISTORY, *_ALL)),
    "participants": Target(_directory("participants"), _rows(PARTICIPANTS)),
    "debtors": Target(_directory("debtors"), _rows(DEBTORS)),
    "programmes": Target(_directory("programmes"), _rows(PROGRAMMES)),
    "balances": Target(_directory("balances"), _rows(BALANCES)),
    "configuration": Target(_configuration, lambda _: list(CONFIGURATIONS)),
    "confirmations": Target(_answers, _told("confirmations")),
    "returns": Target(_answers, _told("returns")),
    "statement": Target(_answers, _told("statement")),
    "treasury": Target(_answers, _told("treasury")),
    "rules": Target(_rules("rules.toml"), lambda _: [RULES]),
    "rules-json": Target(_rules("rules.json"), lambda _: [msgspec.json.encode(default_rules())]),
}
RULED = ("rules", "rules-json")
WAY_BACK = ("confirmations", "returns", "statement", "treasury", *RULED)
"""Targets whose files come in after lines were sent."""


def work_folder() -> tempfile.TemporaryDirectory[str]:
    """In memory where there is room in memory: syncs cost nothing there."""
    shm = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    return tempfile.TemporaryDirectory(prefix="fuzz-", dir=shm)


def feed(name: str, bench: Bench, data: bytes) -> None:
    """One file to one reader. Raises whatever is a finding."""
    bench.file.write_bytes(data)
    TARGETS[name].act(bench)


def case_name(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]
