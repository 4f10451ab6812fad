"""Partitioned: the kernel of a run whose lines are judged by workers, each those of a share.

It stands where `kernel.Kernel` does: whoever takes lines in and writes their answers sees the same
chunks, in table order, and the same sums. Each chunk is parted by person, its rows go to the
workers of their shares, and what these answer is put together again; some chunks are on their way
at a time.
"""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from switch.clearing.chunk import Chunk
from switch.clearing.exclusive import Key
from switch.clearing.held import Tally
from switch.clearing.intake import Lines
from switch.clearing.job import THREADS_MAX, Executor, Job, Judge, Prospect
from switch.clearing.partition import Task, require_partible, rows_of, tasks_of
from switch.clearing.reduced import Reduced, Totals
from switch.clearing.workers import Process, Worker
from switch.errors import UsageError
from switch.files.columns import valid_rows
from switch.registry.versions import shares_of

AHEAD = 4
"""Chunks that are with the workers at a time."""
IN_TABLE, IN_TABLE_SHIFT = np.uint64(3), np.uint64(62)
"""Upper two bits of an account that its line names; below them is the line's place."""


@dataclass(frozen=True)
class Workers:
    """Processes of this machine that judge the lines of a batch."""

    of: int
    """Count of them."""

    @contextlib.contextmanager
    def prepared(self, prospect: Prospect) -> Iterator[Executor]:
        """Start them (`job.Executor`): they open the register while the table is opened."""
        with contextlib.ExitStack() as started:
            yield Started(
                [
                    (task, started.enter_context(contextlib.closing(Process(task))))
                    for task in tasks_of(prospect, self.of)
                ]
            )

    def judge(self, job: Job, rooms: dict[str, int]) -> Judge:
        """Start them for a job, and have it judged."""
        return Partitioned(job, rooms, self.of, Process)


@dataclass(frozen=True)
class Started:
    """Processes that have begun with the tasks of one run."""

    workers: list[tuple[Task, Worker]]

    def prepared(self, prospect: Prospect) -> contextlib.AbstractContextManager[Executor]:
        """Do nothing more."""
        return contextlib.nullcontext(self)

    def judge(self, job: Job, rooms: dict[str, int]) -> Judge:
        """Have the job judged by them (`job.Executor`), for which they were started."""

        def worker(task: Task) -> Worker:
            begun, found = self.workers[task.number]
            assert begun == task, "processes were started for another run"
            return found

        return Partitioned(job, rooms, len(self.workers), worker)


def executor_of(workers: int | Executor) -> Executor | None:
    """Executor of a run: so many processes, or one of the caller's; None, by 0, for this process.
    Raises UsageError."""
    if not isinstance(workers, int):
        return workers
    if not 0 <= workers <= THREADS_MAX:
        raise UsageError(f"workers {workers} is not in 0..{THREADS_MAX}")
    return Workers(workers) if workers else None


class _Sent(NamedTuple):
    """A chunk on its way: places of each share's lines in it, and what is answered for them."""

    lines: Lines
    batch: np.uint32 | NDArray[np.uint32]
    parts: list[tuple[NDArray[np.intp], Future[pa.RecordBatch]]]


class Partitioned:
    """Judges chunks in table order by several workers. Raises UsageError where lines of different
    persons depend on each other."""

    def __init__(
        self, job: Job, rooms: dict[str, int], of: int, worker: Callable[[Task], Worker]
    ) -> None:
        """of: how many workers. worker: starts the one of a task."""
        require_partible(job, rooms)
        self._replaced = job.register.replaced
        self._file = job.reader.name
        self._participants = len(job.directory.participants)
        self._known: Reduced | None = None
        """Sums of all lines so far; None where more were sent since."""
        self._workers: list[Worker] = []
        with contextlib.ExitStack() as opened:
            for task in tasks_of(job.prospect, of):
                self._workers.append(worker(task))
                opened.callback(self._workers[-1].close)
            self._opened = opened.pop_all()

    def close(self) -> None:
        """Let go of the workers."""
        self._opened.close()

    def afterwards(self, call: Callable[[], object]) -> None:
        """Make a call when it is closed."""
        self._opened.callback(call)

    def screen(
        self, lines: Lines, batch: np.uint32 | NDArray[np.uint32], *, again: bool = False
    ) -> Chunk:
        """Judge lines: their chunk, posted."""
        assert not again, "lines that wait for cover are judged in one place"
        return self._answered(self._send(lines, batch))

    def post(self, chunk: Chunk) -> None:
        """Do nothing: whoever screened a line posted it."""

    def judged(
        self, lines: Iterable[Lines], batch: np.uint32 | NDArray[np.uint32]
    ) -> Iterator[Chunk]:
        """Chunks of lines, screened and posted, in their order."""
        sent: deque[_Sent] = deque()
        for one in lines:
            sent.append(self._send(one, batch))
            if len(sent) > AHEAD:
                yield self._answered(sent.popleft())
        while sent:
            yield self._answered(sent.popleft())

    def seal(self) -> None:
        """Let what is cleared so far count as paid before for the lines that follow."""
        for asked in [worker.seal() for worker in self._workers]:
            asked.result()

    # --- what lines add up to --------------------------------------------------------------------

    @property
    def _reduced(self) -> Reduced:
        if self._known is None:
            shares = [asked.result() for asked in [w.sums() for w in self._workers]]
            self._known = Reduced(self._participants, self._file, shares)
        return self._known

    @property
    def core(self) -> Totals:
        """Sums of all shares."""
        return self._reduced.core

    def tally(self) -> Tally:
        """(count, sum) by reason number so far; sums are exact."""
        return self._reduced.tally

    def cleared(self) -> dict[Key, NDArray[np.uint64]]:
        """Words of everyone cleared in this batch, by (benefit, month)."""
        asked = [worker.cleared() for worker in self._workers]
        return self._reduced.cleared(each.result() for each in asked)

    @property
    def rule_set(self) -> str:
        """The oldest rules by which all lines are answered as they were."""
        return self._reduced.rule_set

    @property
    def has_replaced(self) -> bool:
        """Some line was for an id that another stands in place of."""
        return self._reduced.has_replaced

    # --- a chunk, parted and put together --------------------------------------------------------

    def _send(self, lines: Lines, batch: np.uint32 | NDArray[np.uint32]) -> _Sent:
        self._known = None
        share = shares_of(self._replaced.of(lines.person_id), len(self._workers))
        parts = []
        for number, worker in enumerate(self._workers):
            places = np.flatnonzero(share == number)
            if len(places):
                parts.append((places, worker.judge(rows_of(lines, places))))
        return _Sent(lines, batch, parts)

    def _answered(self, sent: _Sent) -> Chunk:
        answers = [(places, asked.result()) for places, asked in sent.parts]
        return put_together(sent.lines, sent.batch, answers)


def put_together(
    lines: Lines,
    batch: np.uint32 | NDArray[np.uint32],
    answers: Iterable[tuple[NDArray[np.intp], pa.RecordBatch]],
) -> Chunk:
    """The chunk of lines that were judged in parts: places of each part's lines, and ANSWERS."""
    count = len(lines)
    reason, row = np.empty(count, np.uint8), np.empty(count, np.uint32)
    participant, account = np.empty(count, np.uint16), np.empty(count, np.uint64)
    replaced = np.zeros(count, bool)
    passed: dict[int, str] = {}
    excluded_by: dict[int, str] = {}
    for places, answer in answers:
        reason[places] = answer.column("reason")
        row[places] = answer.column("row")
        participant[places] = answer.column("participant")
        account[places] = _named(np.asarray(answer.column("account")), places)
        replaced[places] = answer.column("replaced").to_numpy(zero_copy_only=False)
        for name, words in (("passed", passed), ("excluded_by", excluded_by)):
            column = answer.column(name)
            said = np.flatnonzero(valid_rows(column))
            texts = column.take(pa.array(said)).to_pylist()
            words.update(zip(places[said].tolist(), texts, strict=True))
    return Chunk(
        lines,
        batch,
        reason,
        row,
        participant,
        account,
        excluded_by=excluded_by,
        replaced=np.flatnonzero(replaced),
        passed=passed,
    )


def _named(account: NDArray[np.uint64], places: NDArray[np.intp]) -> NDArray[np.uint64]:
    """Account words in which those that lines name themselves stand as the lines' own places."""
    named = account >> IN_TABLE_SHIFT == IN_TABLE
    found: NDArray[np.uint64] = np.where(
        named, IN_TABLE << IN_TABLE_SHIFT | places.astype(np.uint64), account
    )
    return found
