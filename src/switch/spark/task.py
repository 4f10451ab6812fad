"""Tasks of a cluster: what its executors run, on rows that Spark hands them as Arrow batches.

Rows pass through two tasks, with one shuffle between them:

    take_in   rows of the payment table, any of them   ->  ROWS and the share of each
    judge     ROWS of whole shares, in table order     ->  one part a share, and what is in it

Spark runs a task again where an executor is lost, and sometimes twice at a time. A part has the
name of its task, comes of its rows alone, and gets its name when it is whole and on the disk; so
whoever comes later puts the same bytes in its place. Spark knows no unsigned numbers: on the way
columns are wider, and ids stand as the signed numbers of the same bits.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec
import numpy as np
import pyarrow as pa

from switch.clearing.intake import Intake, Lines
from switch.clearing.partition import ANSWERS, ROWS, Cleared, Part, Sums, Task, rows_of
from switch.files.segment import HashingFile, sync_file, sync_folder
from switch.files.tables import Source, TableReader, open_own
from switch.home.history import queue_of
from switch.home.store import Home
from switch.registry.directory import Directory
from switch.registry.load_registers import current_chain
from switch.registry.versions import shares_of
from switch.schema import HELD, PAYMENT

WIDER = {
    pa.uint16(): pa.int32(),
    pa.uint32(): pa.int64(),
    pa.uint64(): pa.int64(),
}
MOVED = pa.schema([("share", pa.int32()), *((f.name, WIDER.get(f.type, f.type)) for f in ROWS)])
"""Rows on their way from one executor to another: 52 bytes each."""
PART = pa.schema([*ROWS, *ANSWERS])
"""Rows of a part: lines that had waited first, then those of the table; what was asked stands
beside what was answered, so that whoever puts parts together knows that it is of the same rows."""
MADE = pa.schema([("made", pa.binary())])
"""Parts that a task made: a Made each."""


class Made(msgspec.Struct, frozen=True):
    """A part that is on the disk."""

    number: int
    """Number of its share."""
    file: str
    sha256: str
    waited: int
    """Rows in it that had waited."""
    rows: int
    before: Sums
    """Sums of those that had waited."""
    whole: Sums
    cleared: Cleared


class Taking:
    """Intake of any rows of a table, with the share of each."""

    def __init__(self, task: Task, home: Home) -> None:
        chain = current_chain(home)
        directory = Directory.of_json(home.catalog.meta("directory").encode())
        self._replaced, self._of = chain.replaced, task.of
        self._intake = Intake(
            directory, rule_set=task.rule_set, fold=chain.last.info.fold, day=task.value_date
        )

    def lines(self, reader: TableReader) -> Iterator[tuple[Lines, np.ndarray]]:
        """Lines of a reader in chunks, each with the shares (uint32[n]) of its lines."""
        for columns in reader.chunks():
            lines = self._intake.take(columns, reader.name)
            yield lines, shares_of(self._replaced.of(lines.person_id), self._of)


def take_in(task: Task, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """MOVED, of record batches with the columns of a payment table. Raises InputRefused where one
    cannot be read as what it is."""
    given = iter(batches)
    first = next((batch for batch in given if batch.num_rows), None)
    if first is None:
        return
    source = Source(task.file, first.schema, lambda: itertools.chain([first], given))
    with Home(Path(task.home), writing=False) as home:
        taking = Taking(task, home)
        for lines, share in taking.lines(TableReader(PAYMENT, source)):
            rows = rows_of(lines, np.arange(len(lines)))
            yield pa.RecordBatch.from_arrays(
                [pa.array(share.astype(np.int32)), *map(_wider, rows.columns)], schema=MOVED
            )


def judge(
    tasks: list[Task], folder: str, batches: Iterable[pa.RecordBatch]
) -> Iterator[pa.RecordBatch]:
    """MADE, of MOVED: whole shares, one behind the other, each in table order."""
    for number, rows in itertools.groupby(_by_share(batches), lambda piece: piece[0]):
        made = make_part(tasks[number], Path(folder), (batch for _, batch in rows))
        yield pa.RecordBatch.from_arrays([pa.array([msgspec.msgpack.encode(made)])], schema=MADE)


def make_part(task: Task, folder: Path, rows: Iterable[pa.RecordBatch]) -> Made:
    """Judge a share, and put its part on the disk. rows: ROWS, in table order."""
    # Another attempt at the same task may be at work.
    aside = folder / f".{task.name}-{os.getpid()}-{os.urandom(4).hex()}"
    waited = count = 0
    with Part(task) as part:
        file = HashingFile(aside)
        with pa.PythonFile(file, mode="w") as sink, pa.ipc.new_file(sink, PART) as writer:
            for batch in _waiting(task):
                waited += batch.num_rows
                writer.write_batch(_answered(part, batch))
            part.seal()
            before = part.sums()
            for batch in rows:
                count += batch.num_rows
                writer.write_batch(_answered(part, batch))
        file.close()
        made = Made(
            number=task.number,
            file=task.name,
            sha256=file.sha256,
            waited=waited,
            rows=count,
            before=before,
            whole=part.sums(),
            cleared=part.cleared(),
        )
    sync_file(aside)
    aside.rename(folder / task.name)
    sync_folder(folder)
    return made


def pack(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Batches as bytes, one a row, each an Arrow IPC stream."""
    for batch in batches:
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, batch.schema) as writer:
            writer.write_batch(batch)
        piece = pa.array([sink.getvalue().to_pybytes()], pa.binary())
        yield pa.RecordBatch.from_arrays([piece], names=["piece"])


def _waiting(task: Task) -> Iterator[pa.RecordBatch]:
    """ROWS of the lines of a share that wait in the home."""
    with Home(Path(task.home), writing=False) as home:
        queue = queue_of(home)
        if queue is None:
            return
        taking = Taking(task, home)
        for lines, share in taking.lines(open_own(home.path / queue[0], HELD, queue[1])):
            chosen = np.flatnonzero(share == task.number)
            if len(chosen):
                yield rows_of(lines, chosen)


def _answered(part: Part, rows: pa.RecordBatch) -> pa.RecordBatch:
    answers = part.judge(rows)
    return pa.RecordBatch.from_arrays([*rows.columns, *answers.columns], schema=PART)


def _by_share(batches: Iterable[pa.RecordBatch]) -> Iterator[tuple[int, pa.RecordBatch]]:
    """ROWS of one share each, of MOVED in order of share."""
    for batch in batches:
        share = np.asarray(batch.column(0))
        starts = np.flatnonzero(np.diff(share, prepend=-1))
        for start, end in itertools.pairwise([*starts.tolist(), len(share)]):
            columns = [
                _narrower(column.slice(start, end - start), field)
                for column, field in zip(batch.columns[1:], ROWS, strict=True)
            ]
            yield int(share[start]), pa.RecordBatch.from_arrays(columns, schema=ROWS)


def _wider(column: pa.Array) -> pa.Array:
    if column.type == pa.uint64():
        return pa.array(np.asarray(column).view(np.int64))
    return column.cast(WIDER.get(column.type, column.type))


def _narrower(column: pa.Array, field: pa.Field) -> pa.Array:
    if field.type == pa.uint64():
        return pa.array(np.asarray(column).view(np.uint64))
    return column.cast(field.type)
