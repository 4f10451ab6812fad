"""Runs on a real cluster: a master of Spark and two workers on loopback."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import spark_cluster
from answering import switch_verify
from scene import command
from spark_cluster import Standalone, session
from two_months import make, ran, written

from switch.engine import Engine
from switch.errors import EnvironmentFailed, InputRefused, UsageError

pytestmark = [
    pytest.mark.skipif(bool(spark_cluster.missing()), reason=f"no {spark_cluster.missing()} here"),
    pytest.mark.filterwarnings("ignore"),
    pytest.mark.xdist_group("spark"),
]
SAID = {"source": "VSS", "batch_id": "FRAME", "value_date": "2026-12-25"}


@pytest.fixture(scope="module")
def nation(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("nation"))


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Standalone]:
    cluster = Standalone(tmp_path_factory.mktemp("cluster"), 2)
    yield cluster
    cluster.close()


@pytest.fixture(scope="module")
def spark(cluster: Standalone) -> Iterator[Any]:
    with session(cluster.url, **{"spark.executor.memory": "1g"}) as found:
        yield found


def frame_of(spark: Any, nation: Path) -> Any:
    return spark.read.parquet(str(nation / "later" / "payday.parquet"))


def on(spark: Any, nation: Path, shares: int | None = None) -> Any:
    from switch.spark import Cluster

    return Cluster(frame_of(spark, nation), shares)


@pytest.fixture(scope="module")
def alone(nation: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return ran(nation, tmp_path_factory.mktemp("alone") / "home", 0)


@pytest.mark.parametrize("shares", [None, 1, 9])
def test_cluster__writes_what_one_process_writes(
    spark: Any, nation: Path, alone: dict[str, str], tmp_path: Path, shares: int | None
) -> None:
    assert ran(nation, tmp_path / "home", on(spark, nation, shares)) == alone
    with Engine(tmp_path / "home") as engine:
        assert not engine.home.quarantined
        assert switch_verify(engine)


def test_cluster__of_a_frame_writes_what_its_rows_in_memory_write(
    spark: Any, nation: Path, tmp_path: Path
) -> None:
    from switch.spark import clear

    frame = frame_of(spark, nation).repartition(3)
    table = pq.read_table(nation / "later" / "payday.parquet")
    said = {**SAID, "count": len(table), "sum": sum(table["amount"].to_pylist())}
    found = []
    for name in ("frame", "memory"):
        home = tmp_path / name
        shutil.copytree(nation / "home", home)
        with Engine(home) as engine:
            batch = clear(frame, engine, **said) if name == "frame" else engine.run(table, **said)
        found.append(written(home, batch))
    assert found[0] == found[1]


def test_cluster__that_loses_an_executor_pays_nobody_twice(
    cluster: Standalone, spark: Any, nation: Path, alone: dict[str, str], tmp_path: Path
) -> None:
    """Killed as soon as some part is begun; Spark starts another one and runs its tasks again."""
    batches, killed = tmp_path / "home" / "batches", []

    def kill() -> None:
        end = time.monotonic() + 120
        while not killed and time.monotonic() < end:
            if list(batches.glob(".draft-parts-*/*")):
                killed.extend(cluster.executors()[:1])
                for number in killed:
                    spark_cluster._kill(number)
            time.sleep(0.001)

    thread = threading.Thread(target=kill)
    thread.start()
    found = ran(nation, tmp_path / "home", on(spark, nation, 40))
    thread.join()
    assert killed
    assert found == alone
    with Engine(tmp_path / "home") as engine:
        assert switch_verify(engine)


def test_cluster__refuses_rows_by_file_row_and_column(
    spark: Any, nation: Path, tmp_path: Path
) -> None:
    table = pq.read_table(nation / "later" / "payday.parquet")
    periods = table["period"].to_pylist()
    periods[1234] = 202613
    at = table.column_names.index("period")
    bad = table.set_column(at, "period", pa.array(periods, table.schema.field("period").type))
    path = tmp_path / "bad.parquet"
    pq.write_table(bad, path)
    home = tmp_path / "home"
    shutil.copytree(nation / "home", home)
    from switch.spark import Cluster

    said = {**SAID, "count": len(table), "sum": sum(table["amount"].to_pylist())}
    with Engine(home) as engine:
        before = engine.home.catalog.heads()
        with pytest.raises(InputRefused) as refused:
            engine.run(path, workers=Cluster(spark.read.parquet(str(path))), **said)
        assert engine.home.catalog.heads() == before
        assert [p.name for p in (home / "batches").iterdir()] == ["000001"]
    found = refused.value
    assert (found.rule, found.row, found.column) == ("PERIOD_INVALID", 1235, "period")


def test_cluster__that_has_no_such_table_changes_nothing(
    spark: Any, nation: Path, tmp_path: Path
) -> None:
    from switch.spark import Cluster

    home = tmp_path / "home"
    shutil.copytree(nation / "home", home)
    gone = tmp_path / "gone.parquet"
    shutil.copy(nation / "later" / "payday.parquet", gone)
    frame = spark.read.parquet(str(gone))
    gone.unlink()
    with Engine(home) as engine:
        with pytest.raises(EnvironmentFailed, match=r"Spark could not judge.*run the same again"):
            engine.run(nation / "later" / "payday.parquet", workers=Cluster(frame))
        assert len(engine.home.catalog.batches()) == 1
        assert [p.name for p in (home / "batches").iterdir()] == ["000001"]


def test_command__runs_on_a_cluster(
    cluster: Standalone, spark: Any, nation: Path, alone: dict[str, str], tmp_path: Path
) -> None:
    home = tmp_path / "home"
    shutil.copytree(nation / "home", home)
    table = nation / "later" / "payday.parquet"
    said = command("run", home, table, "--spark", cluster.url)
    assert said.code == 0, said.err
    with Engine(home, mode="r") as engine:
        assert engine.home.catalog.heads().link == alone["link"]


def test_command__takes_one_executor_and_parquet_alone(
    cluster: Standalone, spark: Any, nation: Path, tmp_path: Path
) -> None:
    table = nation / "later" / "payday.parquet"
    both = command("run", nation / "home", table, "--spark", cluster.url, "--workers", 2)
    assert (both.code, "not both" in both.err) == (2, True)
    other = command("run", nation / "home", nation / "debtors.csv", "--spark", cluster.url)
    assert (other.code, "no Parquet file" in other.err) == (2, True)


def test_cluster__has_at_least_one_share(spark: Any, nation: Path) -> None:
    for shares in (0, 1 << 16):
        with pytest.raises(UsageError, match=r"shares .* is not in 1\.\.65535"):
            on(spark, nation, shares)
