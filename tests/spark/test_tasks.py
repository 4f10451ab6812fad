"""Tasks of a cluster without one: pure, so that whoever runs them again changes nothing."""

from __future__ import annotations

import datetime as dt
import shutil
from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from answering import switch_verify
from shares import Shares
from two_months import make, ran

from switch.clearing.partition import ROWS, Task
from switch.clearing.workers import Worker
from switch.engine import Engine
from switch.errors import InputRefused, VerificationFailed
from switch.reason import RULE_SET
from switch.spark import task as tasks
from switch.spark.cluster import Answered
from switch.spark.task import Made, make_part, take_in

OF = 3


@pytest.fixture(scope="module")
def nation(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("nation"))


def table_of(nation: Path) -> pa.Table:
    return pq.read_table(nation / "later" / "payday.parquet")


def moved_of(task: Task, table: pa.Table) -> pa.Table:
    """Rows of a table as they leave `take_in`, in the order that Spark brings them into."""
    pieces = [
        piece
        for start in range(0, len(table), 700)
        for piece in take_in(task, iter(table.slice(start, 700).to_batches()))
    ]
    whole = pa.Table.from_batches(pieces, tasks.MOVED)
    return whole.sort_by([("share", "ascending"), ("line_no", "ascending")])


def made_of(task: Task, folder: Path, table: pa.Table) -> Made:
    """The part of one share."""
    mine = moved_of(task, table).filter(pc.field("share") == task.number)
    (row,) = tasks.judge(_all(task), str(folder), mine.to_batches(max_chunksize=500))
    return msgspec.msgpack.decode(row.column("made")[0].as_py(), type=Made)


def _all(task: Task) -> list[Task]:
    return [msgspec.structs.replace(task, number=number) for number in range(task.of)]


class Elsewhere:
    """Workers whose parts were made before, as by a cluster."""

    def __init__(self, folder: Path, table: pa.Table) -> None:
        self.folder, self.table = folder, table
        self.made: list[Made] = []

    def worker(self, task: Task) -> Worker:
        self.made.append(made_of(task, self.folder, self.table))
        return Answered(self.folder, self.made[-1])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "parts").mkdir()
    return tmp_path / "parts"


def test_tasks__make_what_one_process_makes(nation: Path, tmp_path: Path, folder: Path) -> None:
    """To the byte, with lines that had waited; rows come in any order."""
    table = table_of(nation)
    mixed = table.take(pa.array(np.random.default_rng(3).permutation(len(table))))
    elsewhere = Elsewhere(folder, mixed)
    found = ran(nation, tmp_path / "home", Shares(OF, elsewhere.worker), chunk_rows=777)
    assert found == ran(nation, tmp_path / "one", 0)
    assert sum(made.rows for made in elsewhere.made) == len(table)
    assert sum(made.waited for made in elsewhere.made) > 0


def test_tasks__that_run_again_put_the_same_in_its_place(
    nation: Path, tmp_path: Path, folder: Path
) -> None:
    task = task_of(nation)
    first = made_of(task, folder, table_of(nation))
    content = (folder / first.file).read_bytes()
    assert made_of(task, folder, table_of(nation)) == first
    assert (folder / first.file).read_bytes() == content
    assert [path.name for path in folder.iterdir()] == [task.name]


def test_part__of_a_task_that_dies_has_no_name(nation: Path, folder: Path) -> None:
    def rows() -> Iterator[pa.RecordBatch]:
        yield pa.RecordBatch.from_pylist([], schema=ROWS)
        raise MemoryError

    with pytest.raises(MemoryError):
        make_part(task_of(nation), folder, rows())
    assert not list(folder.glob("[!.]*"))


def test_part__that_was_changed_is_found(nation: Path, folder: Path) -> None:
    made = made_of(task_of(nation), folder, table_of(nation))
    path = folder / made.file
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(VerificationFailed, match="not as its task wrote it"):
        Answered(folder, made)


@pytest.mark.parametrize("what", ["amount", "person_id", "fewer", "more"])
def test_part__of_other_rows_is_none_of_the_table(
    nation: Path, tmp_path: Path, folder: Path, what: str
) -> None:
    """The executors read the table's file by themselves: somebody may have written it meanwhile."""
    table = table_of(nation)
    ids = table["person_id"].combine_chunks()
    count = pa.array([len(table) + 1]).cast(table.schema.field("line_no").type)
    other = {
        "amount": _with(table, "amount", pc.add(table["amount"], 1)),
        "person_id": _with(table, "person_id", pa.concat_arrays([ids[1:], ids[:1]])),
        "fewer": table.slice(1),
        "more": pa.concat_tables([table, _with(table.slice(0, 1), "line_no", count)]),
    }[what]
    elsewhere = Elsewhere(folder, other)
    with pytest.raises(InputRefused, match="CHANGED_DURING_READ"):
        ran(nation, tmp_path / "home", Shares(OF, elsewhere.worker))
    with Engine(tmp_path / "home") as engine:
        assert len(engine.home.catalog.batches()) == 1


def _with(table: pa.Table, name: str, values: pa.Array | pa.ChunkedArray) -> pa.Table:
    return table.set_column(table.column_names.index(name), name, values)


def test_take_in__refuses_what_no_table_has(nation: Path) -> None:
    table = table_of(nation).drop_columns(["amount"])
    with pytest.raises(InputRefused, match="HEADER_MISMATCH"):
        list(take_in(task_of(nation), iter(table.to_batches())))


def test_take_in__of_nothing_is_nothing(nation: Path) -> None:
    assert list(take_in(task_of(nation), iter([]))) == []


def test_task__of_other_circumstances_has_another_name(nation: Path) -> None:
    task = task_of(nation)
    others = [
        msgspec.structs.replace(task, **change)
        for change in ({"seq": 3}, {"number": 2}, {"of": 9}, {"link": "b" * 64}, {"rule_set": "x"},
                       {"digest": "c" * 64}, {"settings": {}})
    ]  # fmt: skip
    assert len({task.name, *(other.name for other in others)}) == 8


def task_of(nation: Path) -> Task:
    with Engine(nation / "home", mode="r") as engine:
        link = engine.home.catalog.heads().link
        settings = msgspec.to_builtins(engine.settings)
    return Task(
        home=str(nation / "home"),
        link=link,
        digest="a" * 64,
        seq=2,
        value_date=dt.date(2026, 12, 25),
        rule_set=RULE_SET,
        settings=settings,
        file="payday.parquet",
        number=1,
        of=OF,
    )


def test_parts__of_a_process_that_died_are_put_aside(
    nation: Path, tmp_path: Path, folder: Path
) -> None:
    """What the cluster made for a run that is gone counts for none."""
    home = tmp_path / "home"
    shutil.copytree(nation / "home", home)
    left = home / "batches" / ".draft-parts-000002-0123456789abcdef"
    left.mkdir()
    made_of(task_of(nation), left, table_of(nation))
    with Engine(home) as engine:
        assert engine.home.quarantined
        assert not left.exists()
        engine.run(nation / "later" / "payday.parquet")
        assert switch_verify(engine)
