"""Held queue: lines that wait are tried again, before the table's own lines and after them."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from switch.clearing import held
from switch.clearing.batch_writer import BatchWriter
from switch.clearing.chunk import Chunk, ids_of_each, prefix_of
from switch.clearing.held import Moved, Tally
from switch.clearing.intake import Intake
from switch.clearing.job import Job, Judge
from switch.clearing.kernel import Kernel
from switch.files.tables import open_own
from switch.home.history import queue_of
from switch.reason import Reason
from switch.schema import HELD


class HeldQueue:
    """Lines that wait, oldest first. moved: lines that waited for cover and went when the table was
    through, in that order."""

    def __init__(self, job: Job, judge: Judge, writer: BatchWriter, is_limited: bool) -> None:
        """is_limited: lines may wait for cover, which a kernel alone can judge."""
        self._job, self._judge, self._writer = job, judge, writer
        self._kernel: Kernel | None = None
        if is_limited:
            assert isinstance(judge, Kernel)
            self._kernel = judge
        self._prefixes = {
            batch.seq: prefix_of(datetime.date.fromisoformat(batch.value_date), batch.seq)
            for batch in job.home.catalog.batches()
        }
        self._prefixes[job.seq] = prefix_of(job.declared.value_date, job.seq)
        self.moved: list[Moved] = []

    def represent(self) -> Tally:
        """Try the lines that wait since earlier batches; their tally."""
        queue, judge, kernel = queue_of(self._job.home), self._judge, self._kernel
        if queue is None:
            return judge.tally()
        path, digest = self._job.home.path / queue[0], queue[1]
        self._writer.begin("represented.parquet")
        if kernel is None:
            for chunk in self._chunks(path, digest):
                judge.post(chunk)
                self._writer.older(self._named(chunk))
            return judge.tally()
        for chunk in self._chunks(path, digest):
            kernel.queue(chunk)
        verdict = kernel.release()
        tally = kernel.tally()
        for chunk in self._chunks(path, digest, again=True):
            verdict = chunk.take(verdict)
            tally = held.add(tally, held.tally_of(chunk.reason, chunk.lines.amount))
            kernel.name_excluding(chunk)
            self._writer.older(self._named(chunk))
        return tally

    def release(self) -> None:
        """Let lines that wait for cover go, as far as the table's receipts have made room."""
        kernel = self._kernel
        if kernel is None:
            return
        verdict = kernel.release()
        if (verdict == Reason.COVER_MISSING).all():
            return
        path, digest = self._writer.set_queue_aside()
        for chunk in self._chunks(path, digest, again=True):
            waited = np.flatnonzero(chunk.reason == Reason.NONE)
            verdict = chunk.take(verdict)
            kernel.name_excluding(chunk)
            self._writer.waited(self._named(chunk))
            went = waited[chunk.reason[waited] != Reason.COVER_MISSING]
            self.moved.extend(_moved(chunk, went))
        self._writer.finish()
        path.unlink()

    def _chunks(self, path: Path, sha256: str, *, again: bool = False) -> Iterator[Chunk]:
        """Held lines, screened. sha256: what the file was written with, proven before it is
        decoded. again: they were screened before in this run."""
        job = self._job
        day = job.declared.value_date
        intake = Intake(job.directory, rule_set=job.rule_set, fold=job.register.fold, day=day)
        reader = open_own(path, HELD, sha256)
        for raw in reader.chunks(job.options.chunk_rows):
            lines = intake.take(raw, reader.name)
            yield self._judge.screen(lines, raw["batch"].astype(np.uint32), again=again)

    def _named(self, chunk: Chunk) -> Chunk:
        """The chunk with transfer ids of the lines that clear, each of its own batch."""
        heads = [self._prefixes[number] for number in np.asarray(chunk.batch).tolist()]
        chunk.transfer = ids_of_each(heads, chunk.lines.line_no, chunk.reason)
        return chunk


def _moved(chunk: Chunk, went: np.typing.NDArray[np.intp]) -> Iterator[Moved]:
    """The chosen lines (int indices), each with its reason and, where it clears, transfer id."""
    offsets, data = chunk.transfer
    batch = np.asarray(chunk.batch)
    for i in went.tolist():
        name = data[offsets[i] : offsets[i + 1]].tobytes().decode()
        number, line_no = int(batch[i]), int(chunk.lines.line_no[i])
        reason, amount = int(chunk.reason[i]), int(chunk.lines.amount[i])
        yield Moved(number, line_no, reason, name, amount, chunk.detail(i))
