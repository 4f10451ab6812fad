"""State machines: the store by itself against a list of what was committed, and the engine against
the auditor, in whatever order hypothesis thinks of."""

from __future__ import annotations

import datetime as dt
import hashlib
import shutil
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from scene import (
    BANK,
    BANK_ACCOUNT,
    CLOSED_BANK,
    DEBTORS,
    PARTICIPANTS,
    SMALL_BANK,
    TREASURY_ACCOUNT,
    VALUE_DATE,
    WALLET,
    account,
    asked,
    entitlement,
    line,
    person,
)

from switch.errors import EnvironmentFailed, VerificationFailed
from switch.home.chain import GENESIS, link_of
from switch.home.changes import AddBatch
from switch.home.create import create_home
from switch.home.store import Home
from switch.sim.auditor.expected import Table
from switch.sim.lives.faults import Crash, Faults
from switch.sim.lives.lockstep import Lockstep
from switch.sim.lives.operations import Change, Fault, Nation, OldCatalog, Payday, Register, Reopen
from switch.sim.lives.sender import content_of
from switch.sim.simulate import ROOM

DAY = dt.timedelta(days=1)
QUIET = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]

some_fault = st.one_of(
    st.none(),
    st.builds(
        Fault,
        kind=st.sampled_from(["crash", "power", "full"]),
        point=st.integers(0, 24),
        salt=st.integers(0, 2**16),
    ),
)


class StoreMachine(RuleBasedStateMachine):
    """Commits of batches of a few files, cut short anywhere: what was committed stays, whole, and
    nothing else is there."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="switch-store-", dir=ROOM))
        self.path = self.folder / "home"
        self.committed: dict[str, bytes] = {}
        """Files by path."""
        self.batches = 0
        self.commits = 1
        create_home(self.path, {"opening": "{}"}, "", b"0" * 32)
        self.home = Home(self.path, writing=True)
        self.catalogs = [(1, (self.path / "catalog.sqlite").read_bytes())]

    def teardown(self) -> None:
        self.home.close()
        shutil.rmtree(self.folder)

    @rule(files=st.lists(st.binary(max_size=40), max_size=3), fault=some_fault)
    def commit(self, files: list[bytes], fault: Fault | None) -> None:
        number = self.batches + 1
        contents = {f"part/{i}" if i else "first": data for i, data in enumerate(files)}
        columns = ("VSS", f"B{number}", "", "", "", f"C{number}", 0, "0", "SETTLED", "{}", "{}")
        said = "done"
        with Faults(self.path, fault) as faults:
            try:
                with self.home.draft("batches") as draft:
                    (draft / "part").mkdir()
                    for name, data in contents.items():
                        (draft / name).write_bytes(data)
                    self.home.commit(
                        at="",
                        kind="batch",
                        detail={"seq": number},
                        changes=[AddBatch(number, *columns)],
                        draft=draft,
                        folder=self.home.folder("batches", number),
                    )
                if faults.strike_after():
                    assert faults.committed
                    said = "crashed"
            except Crash:
                said = "crashed"
            except EnvironmentFailed:
                said = "failed"
        if faults.fired:
            assert said == ("failed" if fault and fault.kind == "full" else "crashed")
            self.home.close()
            if said == "crashed":
                faults.survive()
            self.home = Home(self.path, writing=True)
        else:
            assert said == "done"
        if faults.committed or not faults.fired:
            self.batches += 1
            self.commits += 1
            folder = f"batches/{number:06d}"
            self.committed |= {f"{folder}/{name}": data for name, data in contents.items()}
            self.catalogs.append((self.commits, (self.path / "catalog.sqlite").read_bytes()))

    @rule()
    def note(self) -> None:
        """A commit without files."""
        self.home.commit(at="", kind="directory", detail={}, changes=[])
        self.commits += 1
        self.catalogs.append((self.commits, (self.path / "catalog.sqlite").read_bytes()))

    @rule()
    def reopen(self) -> None:
        self.home.close()
        self.home = Home(self.path, writing=True)

    @precondition(lambda self: len(self.catalogs) > 1)
    @rule(data=st.data(), writing=st.booleans())
    def old_catalog(self, data: st.DataObject, writing: bool) -> None:
        _, old = data.draw(st.sampled_from(self.catalogs[:-1]))
        self.home.close()
        catalog = self.path / "catalog.sqlite"
        current = catalog.read_bytes()
        catalog.write_bytes(old)
        with pytest.raises(VerificationFailed):
            Home(self.path, writing=writing)
        catalog.write_bytes(current)
        self.home = Home(self.path, writing=True)

    @invariant()
    def what_was_committed_is_there_and_nothing_else(self) -> None:
        present = {
            path.relative_to(self.path).as_posix(): path.read_bytes()
            for path in (self.path / "batches").rglob("*")
            if path.is_file()
        }
        assert present == self.committed
        named = {row["path"]: row["sha256"] for row in asked(self.home, "SELECT * FROM files")}
        assert named == {p: hashlib.sha256(data).hexdigest() for p, data in present.items()}
        assert self.home.catalog.next_batch() == self.batches + 1

    @invariant()
    def the_audit_chain_holds(self) -> None:
        previous = GENESIS
        rows = asked(self.home, "SELECT * FROM audit ORDER BY seq")
        assert len(rows) == self.commits
        for seq, row in enumerate(rows, start=1):
            assert (row["seq"], row["previous"]) == (seq, previous)
            previous = row["link"]
            assert previous == link_of(row["previous"], seq, row["at"], row["kind"], row["detail"])


days = st.sampled_from([VALUE_DATE - DAY, VALUE_DATE, VALUE_DATE + DAY])
numbers = st.integers(1, 4)
people = st.builds(
    lambda n, **row: person(n, **row),
    numbers,
    status=st.sampled_from(["alive", "alive", "deceased"]),
    status_since=st.one_of(st.none(), days),
)
accounts = st.builds(
    lambda n, **row: account(n, **row),
    numbers,
    participant=st.sampled_from([BANK, SMALL_BANK, CLOSED_BANK, WALLET]),
    priority=st.integers(1, 2),
    valid_from=st.one_of(st.none(), days),
    valid_to=st.one_of(st.none(), days),
)
history = st.builds(entitlement, numbers)
lines = st.builds(
    lambda n, **row: line(n, **row),
    numbers,
    benefit=st.sampled_from(["PENS", "SASS"]),
    amount=st.sampled_from([1, 1_000_000, 20_000_000]),
    debtor_account=st.sampled_from([TREASURY_ACCOUNT, BANK_ACCOUNT]),
)


def maybe(rows: Any) -> Any:
    return st.one_of(st.none(), st.lists(rows, min_size=1, max_size=3).map(tuple))


class EngineMachine(RuleBasedStateMachine):
    """A home of four people, told anything; the lockstep raises where the auditor disagrees."""

    @initialize()
    def begin(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="switch-engine-", dir=ROOM))
        programmes = tuple(
            {"benefit": code, "name": code, "purpose": "SSBE"} for code in ("PENS", "SASS")
        )
        nation = Nation(PARTICIPANTS, DEBTORS, programmes, {})
        self.lockstep = Lockstep(self.folder, nation)
        first = tuple(person(n) for n in range(1, 5))
        self.lockstep.step(Register(first, (account(1),), None, replace=False))
        self.sent: list[Payday] = []

    def teardown(self) -> None:
        self.lockstep.verify()
        self.lockstep.close()
        shutil.rmtree(self.folder)

    @rule(
        people=maybe(people),
        accounts=maybe(accounts),
        paid=maybe(history),
        replace=st.booleans(),
        fault=some_fault,
    )
    def register(
        self, people: Any, accounts: Any, paid: Any, replace: bool, fault: Fault | None
    ) -> None:
        self.lockstep.step(Register(people, accounts, paid, replace, fault))

    @rule(suspended=st.sets(st.sampled_from([BANK, WALLET, CLOSED_BANK])), fault=some_fault)
    def change(self, suspended: set[str], fault: Fault | None) -> None:
        rows = tuple(
            row | {"status": "suspended" if row["participant"] in suspended else "active"}
            for row in PARTICIPANTS
        )
        self.lockstep.step(Change(participants=rows, fault=fault))

    @rule(
        rows=st.lists(lines, min_size=1, max_size=5),
        day=days,
        form=st.sampled_from(["rows", "typed rows", "parquet", "csv"]),
        short=st.sampled_from([0, 0, 0, 1]),
        chunk_rows=st.integers(1, 4),
        fault=some_fault,
    )
    def run(
        self,
        rows: list[Any],
        day: dt.date,
        form: str,
        short: int,
        chunk_rows: int,
        fault: Fault | None,
    ) -> None:
        numbered = tuple(row | {"line_no": n} for n, row in enumerate(rows, start=1))
        total = sum(row["amount"] for row in rows) - short
        name, content = f"B{len(self.sent)}", content_of(numbered, form)
        table = Table("VSS", name, day, len(rows), total, numbered, content)
        operation = Payday(table, form, chunk_rows, fault)
        self.lockstep.step(operation)
        self.sent.append(operation._replace(fault=None))

    @precondition(lambda self: self.sent)
    @rule(data=st.data(), fault=some_fault)
    def replay(self, data: st.DataObject, fault: Fault | None) -> None:
        self.lockstep.step(data.draw(st.sampled_from(self.sent))._replace(fault=fault))

    @precondition(lambda self: self.sent)
    @rule(data=st.data())
    def run_other_content_under_the_same_id(self, data: st.DataObject) -> None:
        old = data.draw(st.sampled_from(self.sent))
        row, *rest = old.table.rows
        rows = ({**row, "amount": row["amount"] + 1}, *rest)
        total = old.table.declared_sum + 1
        table = old.table._replace(
            rows=rows, declared_sum=total, content=content_of(rows, old.form)
        )
        self.lockstep.step(old._replace(table=table))

    @rule(back=st.integers(1, 3))
    def put_an_old_catalog_back(self, back: int) -> None:
        self.lockstep.step(OldCatalog(back))

    @rule()
    def reopen(self) -> None:
        self.lockstep.step(Reopen())


def _case(machine: type[RuleBasedStateMachine], examples: int, steps: int) -> Any:
    case = machine.TestCase
    case.settings = settings(
        max_examples=examples,
        stateful_step_count=steps,
        deadline=None,
        suppress_health_check=QUIET,
    )
    return case


TestStore = _case(StoreMachine, 40, 15)
TestEngine = _case(EngineMachine, 30, 14)
