"""Lines judged by several workers: byte for byte what one process answers."""

from __future__ import annotations

import csv
import os
import re
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from answering import switch_verify
from numpy.typing import NDArray
from scene import (
    account,
    accounts_table,
    answers,
    command,
    line,
    make_home,
    pay,
    payment_table,
    person,
    person_id,
    run,
)
from shares import Shares
from two_months import PEOPLE, make, ran, written

import switch
from switch.clearing import payday
from switch.clearing.partition import Sums, Task, packed, unpacked
from switch.clearing.reduced import Reduced
from switch.clearing.workers import JUDGE, Process, Serial, Worker
from switch.engine import Engine
from switch.errors import (
    EnvironmentFailed,
    HomeMoved,
    InputRefused,
    UsageError,
    WorkerLost,
)
from switch.reason import DEATH_STOPS_ALL, EACH_BY_ITSELF, FIRST_ACCOUNT, REASONS_COUNT, RULE_SET
from switch.registry import register as registers
from switch.registry.load_registers import current, current_chain
from switch.registry.register import Register
from switch.registry.versions import PERSON, Share, shares_of


@pytest.fixture(scope="module")
def nation(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("nation"))


@pytest.fixture(autouse=True)
def _shares(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each share reads its own slots, as it does of a register that is too large to be proven."""
    monkeypatch.setattr(registers, "PROVEN_BYTES_MAX", 0)


@pytest.fixture(scope="module")
def alone(nation: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What one process writes."""
    return ran(nation, tmp_path_factory.mktemp("alone") / "home", 0)


@pytest.mark.parametrize("of", [1, 2, 7])
def test_partitioned__any_number_of_shares_writes_the_same_bytes(
    nation: Path, alone: dict[str, str], tmp_path: Path, of: int
) -> None:
    """Also of lines that had waited, whatever the chunks, and with sums of none in a share."""
    assert ran(nation, tmp_path / "home", Shares(of), chunk_rows=777) == alone


def test_partitioned__processes_write_the_same_bytes(
    nation: Path, alone: dict[str, str], tmp_path: Path
) -> None:
    assert ran(nation, tmp_path / "home", 2) == alone


def test_partitioned__the_command_takes_workers(
    nation: Path, alone: dict[str, str], tmp_path: Path
) -> None:
    home = tmp_path / "home"
    shutil.copytree(nation / "home", home)
    said = command("run", home, nation / "later" / "payday.parquet", "--workers", 2)
    assert said.code == 0, said.err
    with Engine(home, mode="r") as engine:
        assert engine.home.catalog.heads().link == alone["link"]
        assert switch_verify(engine)


class Killed(Process):
    """A process that is killed by its second chunk, in some of the runs."""

    left = 0

    def judge(self, rows: pa.RecordBatch) -> object:
        self.chunks = getattr(self, "chunks", 0) + 1
        if self.chunks == 2 and Killed.left:
            Killed.left -= 1
            os.kill(self._process.pid, signal.SIGKILL)
        return super().judge(rows)


def test_partitioned__a_process_that_is_killed_changes_nothing(
    nation: Path, alone: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Killed, "left", payday.TRIES - 1)
    assert ran(nation, tmp_path / "home", Shares(2, Killed), chunk_rows=500) == alone
    assert Killed.left == 0


def test_partitioned__processes_that_are_always_killed_leave_the_home_as_it_was(
    nation: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Killed, "left", 99)
    with Engine(nation / "home", mode="r") as engine:
        before = engine.home.catalog.heads()
    with pytest.raises(WorkerLost, match=r"share [12] of 2 is gone.*run the same again"):
        ran(nation, tmp_path / "home", Shares(2, Killed), chunk_rows=500)
    assert Killed.left <= 99 - payday.TRIES
    with Engine(tmp_path / "home") as engine:
        assert engine.home.catalog.heads() == before
        assert not engine.home.quarantined
        assert switch_verify(engine)


def test_partitioned__a_table_in_memory_is_not_taken_twice(
    nation: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What comes as a stream can be read once."""
    monkeypatch.setattr(Killed, "left", 1)
    shutil.copytree(nation / "home", tmp_path / "home")
    table = pq.read_table(nation / "later" / "payday.parquet")
    said = {"source": "S", "batch_id": "B", "value_date": "2026-12-25", "count": len(table)}
    total = int(np.asarray(table["amount"]).sum())
    with Engine(tmp_path / "home") as engine, pytest.raises(EnvironmentFailed):
        engine.run(table, **said, sum=total, workers=Shares(2, Killed), chunk_rows=500)


@pytest.mark.parametrize("kind", [Serial, Process])
def test_partitioned__a_home_that_moved_on_is_not_judged_by_its_past(
    nation: Path, tmp_path: Path, kind: Callable[[Task], Worker]
) -> None:
    def late(task: Task) -> Worker:
        return kind(msgspec.structs.replace(task, link="0" * 64))

    with pytest.raises(HomeMoved, match="run the same again"):
        ran(nation, tmp_path / "home", Shares(2, late))


def refused(home: Path, table: Path, workers: int) -> str:
    said = command("run", home, table, "--workers", workers)
    assert said.code == 2, said.out
    return said.err


@pytest.mark.parametrize(
    ("settings", "columns", "says"),
    [
        ({"accounts_shared_max": 3}, {}, "accounts_shared_max counts the persons of an account"),
        ({}, {"amount_month_max": "100000000"}, "amount_month_max of .* adds up what an account"),
        ({}, {"net_debit_cap": "1"}, "may be debited up to a cap"),
    ],
)
def test_partitioned__settings_that_join_persons_are_refused_by_name(
    nation: Path, tmp_path: Path, settings: dict[str, object], columns: dict[str, str], says: str
) -> None:
    with (nation / "participants.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    names = [*dict.fromkeys([*rows[0], *columns])]
    with (tmp_path / "participants.csv").open("w", newline="") as stream:
        writer = csv.DictWriter(stream, names)
        writer.writeheader()
        payer = next(row for row in rows if not row["settled_by"])
        writer.writerows({**row, **(columns if row is payer else {})} for row in rows)
    home = tmp_path / "home"
    with switch.init(
        home,
        participants=tmp_path / "participants.csv",
        debtors=nation / "debtors.csv",
        settings=settings,
    ) as engine:
        engine.register(
            population=nation / "population.parquet", accounts=nation / "accounts.parquet"
        )
        before = engine.home.catalog.heads()
    said = refused(home, nation / "payday.parquet", 2)
    assert re.search(says, said)
    assert "run it without workers" in said
    with Engine(home, mode="r") as engine:
        assert engine.home.catalog.heads() == before


def test_workers__beyond_what_there_may_be_are_refused(nation: Path) -> None:
    for workers in (-1, 257):
        refused = pytest.raises(UsageError, match=r"0\.\.256")
        with Engine(nation / "home") as engine, refused:
            engine.run(nation / "payday.parquet", workers=workers)


# --- shares ---------------------------------------------------------------------------------------


def test_shares__have_each_person_once_and_find_what_the_whole_register_finds(nation: Path) -> None:
    with Engine(nation / "home", mode="r") as engine:
        whole = current(engine.home)
        ids = np.empty(whole.rows, np.uint64)
        whole.table.ids(ids)
        strangers = ids + np.uint64(1)
        for of in (1, 2, 3, 64):
            share = shares_of(ids, of)
            assert set(share.tolist()) <= set(range(of))
            for number in range(of):
                part = current(engine.home, share=Share(number, of))
                for some in (ids[share == number], strangers[shares_of(strangers, of) == number]):
                    assert records(part, some) == records(whole, some)
        assert (np.bincount(shares_of(ids, 3)) > PEOPLE // 4).all()


def records(register: Register, ids: NDArray[np.uint64]) -> list[bytes]:
    found = np.empty(len(ids), PERSON)
    register.table.records(np.ascontiguousarray(ids), found.view(np.uint8))
    return [record.tobytes() for record in found]


def test_shares__read_their_own_slots_alone(nation: Path) -> None:
    """But for those behind them, to the first empty one."""
    with Engine(nation / "home", mode="r") as engine:
        chain, rows = current_chain(engine.home), current(engine.home).rows
        found = [chain.share(Share(number, 4)).view(PERSON) for number in range(4)]
    used = [np.count_nonzero(slots["word"]) for slots in found]
    assert rows <= sum(used) < rows * 1.2
    assert max(used) < rows * 0.4


def sums(**changes: object) -> Sums:
    said = {"pairs": [], "benefits": [0], "tally": [(0, 0)] * REASONS_COUNT, "rule_set": RULE_SET}
    return Sums(**{**said, "has_replaced": False, **changes})


def test_reduced__sums_that_leave_64_bits_together_are_refused() -> None:
    half = sums(pairs=[(0, 1, 1, 1 << 62)])
    assert Reduced(2, "t", [half]).core.pair_sum[0, 1] == 1 << 62
    with pytest.raises(InputRefused, match="TOTAL_RANGE"):
        Reduced(2, "t", [half, half])
    with pytest.raises(InputRefused, match="TOTAL_RANGE"):
        Reduced(2, "t", [sums(benefits=[1 << 62])] * 2)


def test_reduced__names_the_newest_rules_that_some_share_needs() -> None:
    shares = [sums(rule_set=rules) for rules in (FIRST_ACCOUNT, EACH_BY_ITSELF, DEATH_STOPS_ALL)]
    assert Reduced(2, "t", shares).rule_set == EACH_BY_ITSELF


def test_reduced__joins_everyone_cleared_and_bounds_the_keys() -> None:
    reduced = Reduced(2, "t", [sums()])
    words = [np.array([bits], np.uint64).tobytes() for bits in (1, 6)]
    found = reduced.cleared([[(0, 5, 1, words[0])], [(0, 5, 1, words[1]), (0, 4, 1, words[1])]])
    assert {key: bits.tolist() for key, bits in found.items()} == {(0, 4): [6], (0, 5): [7]}
    many = [[(key // 2000, key % 2000, 1, words[0])] for key in range(4097)]
    assert len(reduced.cleared(many[:-1])) == 4096
    with pytest.raises(InputRefused, match="PERIOD_LIMIT"):
        reduced.cleared(many)


# --- two ids, one person --------------------------------------------------------------------------


def test_partitioned__who_was_paid_by_an_id_of_before_is_not_paid_again(tmp_path: Path) -> None:
    """Whichever shares the two ids fall into."""
    numbers = range(1, 41)
    home = make_home(tmp_path / "home", [person(n) for n in numbers], [account(n) for n in numbers])
    pay(home, [line(n) for n in range(1, 21)], "A")
    ids = [[person_id(n + start) for n in range(1, 21)] for start in (0, 20)]
    with switch.open(home) as engine:
        engine.register(replaced=pa.table({"person_id": ids[0], "replaced_by": ids[1]}))
        engine.compact()
        table = payment_table([line(n) for n in (*range(21, 41), *range(1, 21))])
        batch = run(engine, table, "B", workers=Shares(3))
        assert answers(batch) == [("RJCT", "AM05")] * 40
        table = payment_table([line(n, benefit="MERT") for n in (*range(21, 41), *range(1, 21))])
        batch = run(engine, table, "C", workers=Shares(3))
        assert answers(batch) == [("ACSC", None)] * 20 + [("RJCT", "AM05")] * 20
        assert switch_verify(engine)


def test_partitioned__what_had_waited_counts_as_paid_before(tmp_path: Path) -> None:
    """For lines of the table: it is no second line of theirs."""
    found = []
    for name, workers in (("one", 0), ("shares", Shares(2))):
        people = [person(n) for n in range(1, 9)]
        home = make_home(tmp_path / name, people, [account(8)])
        pay(home, [line(n) for n in range(1, 8)], "A")
        with switch.open(home) as engine:
            engine.register(accounts=accounts_table([account(n) for n in range(1, 8)]))
            batch = run(engine, [line(n) for n in range(1, 9)], "B", workers=workers)
            assert answers(batch) == [("RJCT", "AM05")] * 7 + [("ACSC", None)]
        found.append(written(home, batch))
    assert found[0] == found[1]


@pytest.mark.parametrize("density", [0.0, 0.001, 0.5, 1.0])
def test_packed__bits_come_out_as_they_went_in(density: float) -> None:
    """Whichever form is shorter."""
    bits = np.random.default_rng(5).random(64 * 200) < density
    words = np.packbits(bits, bitorder="little").view(np.uint64)
    content = packed(words)
    assert len(content) == min(words.nbytes, 4 * np.count_nonzero(bits))
    assert (unpacked(len(words), content) == words).all()


def test_process__tells_what_failed_in_it(nation: Path, tmp_path: Path) -> None:
    """As it was raised, also where it is no error of ours: a slip of the engine has to be seen."""

    class Slips(Process):
        def judge(self, rows: pa.RecordBatch) -> object:
            return self._pool.submit(self._ask, JUDGE, b"no rows")

    with pytest.raises(pa.ArrowInvalid):
        ran(nation, tmp_path / "home", Shares(2, Slips))
    with Engine(tmp_path / "home") as engine:
        assert len(engine.home.catalog.batches()) == 1
