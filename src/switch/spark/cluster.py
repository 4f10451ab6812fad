"""Cluster: an executor of runs whose lines are judged on Spark.

The process that calls takes the table in, writes answers and commits, as every run does; it finds
what each line came to in the parts that the cluster made (`task`), share by share, in table order.
Whatever Spark did to make them, each share is counted once, and each part is proven by its digest
and by the rows that it was asked about.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import sys
from collections.abc import Mapping
from concurrent.futures import Future
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pyarrow as pa

from switch.clearing.intake import Intake
from switch.clearing.job import Job, Judge, Prospect
from switch.clearing.partition import ANSWERS, ROWS, Cleared, Sums, Task, require_partible, tasks_of
from switch.clearing.partitioned import Partitioned
from switch.clearing.workers import known
from switch.errors import EnvironmentFailed, InputRefused, UsageError, VerificationFailed
from switch.files.disk import machine
from switch.files.segment import digest_of
from switch.home.batch import Batch
from switch.schema import PAYMENT
from switch.spark import task as tasks
from switch.spark.task import Made, make_part

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

    from switch.engine import Engine

SETTINGS = {
    "spark.driver.maxResultSize": "0",
    "spark.sql.execution.arrow.maxRecordsPerBatch": "131072",
}
"""Settings of a session that is made here: parts are told whole, and pieces are as large as a
chunk of the engine's."""
SHARES_A_SLOT = 2
"""Shares for each task that the cluster runs at a time, so that none waits long for the last."""


class Cluster:
    """Executors of a Spark session, for `Engine.run(..., workers=)`.

    frame: the payment table as Spark reads it, its columns those of the table that is run. shares:
    parts of all persons (default: two for each task that the cluster runs at a time). The home and
    this package have to be where the executors are, by the same path.
    """

    def __init__(self, frame: DataFrame, shares: int | None = None) -> None:
        self._frame = frame
        slots = frame.sparkSession.sparkContext.defaultParallelism
        self.shares = SHARES_A_SLOT * slots if shares is None else shares
        if not 1 <= self.shares < 1 << 16:
            raise UsageError(f"shares {self.shares} is not in 1..65535")

    def prepared(self, prospect: Prospect) -> contextlib.AbstractContextManager[Cluster]:
        """Do nothing before the table is open (`job.Executor`)."""
        return contextlib.nullcontext(self)

    def judge(self, job: Job, rooms: dict[str, int]) -> Judge:
        """Have all lines of a job judged (`job.Executor`). Raises EnvironmentFailed where Spark
        cannot, InputRefused where rows cannot be read."""
        require_partible(job, rooms)
        name = f".draft-parts-{job.seq:06d}-{job.home.catalog.heads().link[:16]}"
        folder = job.home.path / "batches" / name
        with machine(job.home.path):
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(mode=0o700)
        with contextlib.ExitStack() as opened:
            opened.callback(shutil.rmtree, folder, ignore_errors=True)
            made = self._made(job, tasks_of(job.prospect, self.shares), folder)
            judge = Partitioned(
                job, rooms, self.shares, lambda task: Answered(folder, made[task.number])
            )
            judge.afterwards(opened.pop_all().close)
        return judge

    def _made(self, job: Job, wanted: list[Task], folder: Path) -> dict[int, Made]:
        """Parts of all shares, each counted once."""
        made: dict[int, Made] = {}
        for row in self._collected(job, wanted, folder):
            part = msgspec.msgpack.decode(row["made"], type=Made)
            if made.setdefault(part.number, part) != part:
                raise VerificationFailed(f"share {part.number} came to two answers: run it again")
        for task in wanted:
            if task.number not in made:  # No line of the table is of it; some may wait.
                made[task.number] = make_part(task, folder, ())
        return made

    def _collected(self, job: Job, wanted: list[Task], folder: Path) -> list[Any]:
        from py4j.protocol import Py4JError
        from pyspark.errors import PySparkException

        names = [column.name for column in PAYMENT.columns]
        columns = [name for name in self._frame.columns if name in names]
        moved = self._frame.select(*columns).mapInArrow(
            partial(tasks.take_in, wanted[0]), _ddl(tasks.MOVED)
        )
        parted = moved.repartition(self.shares, "share").sortWithinPartitions("share", "line_no")
        made = parted.mapInArrow(partial(tasks.judge, wanted, str(folder)), "made binary")
        try:
            rows: list[Any] = made.collect()
            return rows
        except (PySparkException, Py4JError) as error:
            if "InputRefused" in str(error):
                _refuse_here(job)
            what = f"Spark could not judge the lines, nothing was committed: {_last_line(error)}"
            raise EnvironmentFailed(f"{what}; run the same again") from error


def _refuse_here(job: Job) -> None:
    """Read a table that an executor could not: here its fault is found by row and column."""
    intake = Intake(job.directory, rule_set=job.rule_set, fold=job.register.fold)
    for _ in intake.lines(job.reader, job.declared, job.options.chunk_rows):
        pass


def clear(frame: DataFrame, engine: Engine, *, shares: int | None = None, **how: Any) -> Batch:
    """Clear a payment table that Spark has, judged by its executors.

    frame: the columns of a payment table; it is computed twice, so it should be read from files or
    kept. engine: the home, open to write. shares: parts of all persons. how: source, batch_id,
    value_date, count and sum (minor units), and what else `Engine.run` takes. Raises as that does,
    and EnvironmentFailed where Spark cannot.
    """
    return engine.run(Rows(frame), workers=Cluster(frame, shares), **how)


def session_of(master: str, settings: Mapping[str, str] | None = None) -> SparkSession:
    """A session of a cluster, whose tasks run the Python that runs here. master: its address, as
    Spark has it, such as spark://HOST:7077 or local[2]. settings: more of Spark's. Raises
    UsageError without pyspark, EnvironmentFailed where there is no such cluster, or no Java."""
    if find_spec("pyspark") is None or find_spec("pandas") is None:
        raise UsageError("runs on Spark need pyspark: install payment-switch[spark]")
    from py4j.protocol import Py4JError
    from pyspark.errors import PySparkException
    from pyspark.sql import SparkSession as Sessions

    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    builder = Sessions.builder.master(master).appName("switch")
    for name, value in {**SETTINGS, **(settings or {})}.items():
        builder = builder.config(name, value)
    try:
        return builder.getOrCreate()
    except (PySparkException, Py4JError, OSError) as error:
        raise EnvironmentFailed(f"no session of Spark at {master}: {_last_line(error)}") from error


def frame_of(session: SparkSession, table: Path) -> DataFrame:
    """The frame of a table's file, which the executors read. Raises UsageError for other forms than
    Parquet."""
    if table.suffix != ".parquet":
        raise UsageError(f"{table} is no Parquet file (.parquet): Spark reads no other table here")
    return session.read.parquet(str(table.absolute()))


class Rows:
    """Rows of a frame in order of line, for `Engine.run`: they come here one piece of the cluster's
    at a time."""

    def __init__(self, frame: DataFrame) -> None:
        self._frame = frame.orderBy("line_no")

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        from pyspark.sql.pandas.types import to_arrow_schema

        schema = to_arrow_schema(self._frame.schema)
        packed = self._frame.mapInArrow(tasks.pack, "piece binary")
        pieces = (pa.ipc.open_stream(row["piece"]) for row in packed.toLocalIterator())
        batches = (batch.cast(schema) for piece in pieces for batch in piece)
        reader = pa.RecordBatchReader.from_batches(schema, batches)
        return reader.__arrow_c_stream__(requested_schema)


class Answered:
    """A share that was judged before (`workers.Worker`): gives its answers, in order."""

    def __init__(self, folder: Path, made: Made) -> None:
        path = folder / made.file
        if digest_of(path) != made.sha256:
            raise VerificationFailed(f"{path} is not as its task wrote it: run the same again")
        self._made, self._done = made, 0
        self._file = pa.ipc.open_file(pa.memory_map(str(path)))
        self._next, self._left = 0, pa.RecordBatch.from_pylist([], schema=tasks.PART)

    def judge(self, rows: pa.RecordBatch) -> Future[pa.RecordBatch]:
        """The answers to the next rows, which have to be those that the task had."""
        pieces, missing = [], rows.num_rows
        while missing:
            if not self._left.num_rows:
                if self._next == self._file.num_record_batches:
                    raise _changed()
                self._left = self._file.get_batch(self._next)
                self._next += 1
                continue
            piece = self._left.slice(0, missing)
            self._left = self._left.slice(piece.num_rows)
            missing -= piece.num_rows
            pieces.append(piece)
        self._done += rows.num_rows
        found = pa.Table.from_batches(pieces, tasks.PART).combine_chunks().to_batches()[0]
        if not found.select(ROWS.names).equals(rows):
            raise _changed()
        return known(found.select(ANSWERS.names))

    def seal(self) -> Future[None]:
        """All lines that had waited are through."""
        if self._done != self._made.waited:
            raise _changed()
        return known(None)

    def sums(self) -> Future[Sums]:
        """Sums of the lines so far: of those that had waited, or of all. Raises InputRefused where
        rows were judged that are none here."""
        if self._done == self._made.waited + self._made.rows:
            return known(self._made.whole)
        if self._done != self._made.waited:
            raise _changed()
        return known(self._made.before)

    def cleared(self) -> Future[Cleared]:
        """Everyone cleared."""
        return known(self._made.cleared)

    def close(self) -> None:
        """Let go of the part."""


_ERROR = re.compile(r"[\w.]+(Error|Exception|Failed|Refused|Moved)\b")


def _last_line(error: Exception) -> str:
    """Last words of an error of Spark, whose first ones are where it came from."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    errors = [line for line in lines if _ERROR.match(line)]
    return (errors or lines or [type(error).__name__])[-1][:300]


def _changed() -> InputRefused:
    return InputRefused(
        "CHANGED_DURING_READ",
        "the rows that Spark read are not those of the table",
        remedy="see to it that nobody writes the table, and run it again",
    )


def _ddl(schema: pa.Schema) -> str:
    """A schema in the words of Spark."""
    words = {pa.int32(): "int", pa.int64(): "bigint"}
    return ", ".join(f"{field.name} {words[field.type]}" for field in schema)
