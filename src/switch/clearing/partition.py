"""Partition: the lines of a share of all persons, judged by themselves.

Whether a line is paid, and whether it was paid before, is asked of its person alone; so lines of
persons of different shares never meet, and each share is cleared wherever its rows are. A share is
a range of the hash by which the register finds people: of the register it needs the records of that
range. The key is the person's id as it is now; benefit and period are in what is asked about a
person, so that rows are parted once.

A `Part` is all that an executor runs, whatever it is: a loop in this process, another process on
this machine (`workers`), a task of a cluster. It is pure: of the same task and the same rows come
the same answers, however often it runs, so that it may be run again. Rows IN: ROWS, in table order.
Rows OUT: ANSWERS, one for each.
"""

from __future__ import annotations

import datetime
import hashlib
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from switch.clearing.chunk import Chunk
from switch.clearing.intake import Lines
from switch.clearing.job import Basis, Job, Prospect
from switch.clearing.kernel import Kernel
from switch.errors import HomeMoved, UsageError
from switch.files.columns import Texts
from switch.home.store import Home
from switch.registry.directory import Directory
from switch.registry.load_registers import current
from switch.registry.settings import Settings
from switch.registry.versions import Share
from switch.schema import NOT_GIVEN

ROWS = pa.schema(
    [
        ("line_no", pa.uint32()),
        ("person_id", pa.uint64()),
        ("name_key", pa.uint64()),
        ("benefit", pa.uint16()),
        ("month", pa.uint16()),
        ("amount", pa.int64()),
        ("debtor", pa.uint16()),
        ("agent", pa.uint16()),
    ]
)
"""Lines as `intake.Lines` has them; agent is NOT_GIVEN where a line names none."""
ANSWERS = pa.schema(
    [
        ("reason", pa.uint8()),
        ("row", pa.uint32()),
        ("participant", pa.uint16()),
        ("account", pa.uint64()),
        ("replaced", pa.bool_()),
        ("passed", pa.string()),
        ("excluded_by", pa.string()),
    ]
)
"""Answers to each row, as `chunk.Chunk` has it. An account that the row names itself
stands as its place among the rows that were given together."""


class Task(msgspec.Struct, frozen=True):
    """One share of the lines of one batch, and all that decides what becomes of them."""

    home: str
    """Folder of the home, which is read."""
    link: str
    """Last link of the home's history: answers are of that history alone."""
    digest: str
    """Digest that is declared of the table; '' where there is none."""
    seq: int
    """Number that the batch gets."""
    value_date: datetime.date
    rule_set: str
    settings: dict[str, Any]
    """Settings of the run."""
    file: str
    """Name of the table, for messages."""
    number: int
    """Number of the share, from 0."""
    of: int
    """Shares that there are."""

    @property
    def name(self) -> str:
        """Name of what comes of the task: run, share, and a digest of all that decides about it."""
        whole = hashlib.sha256(msgspec.json.encode(self, order="sorted")).hexdigest()
        return f"{self.seq:06d}-{self.number:05d}-of-{self.of:05d}-{whole[:32]}"


Cleared = list[tuple[int, int, int, bytes]]
"""Everyone cleared by benefit and month: how many words of bits there are for all rows, and those
words (uint64), or where fewer bytes say the same, the rows (uint32)."""


class Sums(msgspec.Struct, frozen=True):
    """Sums of the lines of a share. Amounts are minor units."""

    pairs: list[tuple[int, int, int, int]]
    """(payer, receiver, count, sum) by directory index, of pairs that have any."""
    benefits: list[int]
    """Cleared amounts by index of the programme."""
    tally: list[tuple[int, int]]
    """(count, sum) by reason number."""
    rule_set: str
    """The oldest rules by which all lines are answered so."""
    has_replaced: bool
    """Some line was for an id of before."""


def require_partible(job: Job, rooms: dict[str, int]) -> None:
    """Raise UsageError where a setting makes lines of different persons depend on each other, so
    that all have to be judged in one place. rooms: of settlement participants with a cap."""
    what = ""
    if rooms:
        what = f"{min(rooms)} may be debited up to a cap, and lines wait for room under it in order"
    elif job.settings.accounts_shared_max is not msgspec.UNSET:
        what = "accounts_shared_max counts the persons of an account"
    else:
        limited = [
            p.participant for p in job.directory.participants if p.amount_month_max is not None
        ]
        if limited:
            what = f"amount_month_max of {limited[0]} adds up what an account was sent"
    if what:
        raise UsageError(f"{what}: that needs one process; run it without workers")


def tasks_of(prospect: Prospect, of: int) -> list[Task]:
    """The tasks that clear a job together. of: how many."""
    home, declared = prospect.home, prospect.declared
    return [
        Task(
            home=str(home.path),
            link=home.catalog.heads().link,
            digest=declared.sha256,
            seq=prospect.seq,
            value_date=declared.value_date,
            rule_set=prospect.rule_set,
            settings=msgspec.to_builtins(prospect.settings),
            file=prospect.file,
            number=number,
            of=of,
        )
        for number in range(of)
    ]


class Part:
    """One task at work, as a context. It reads the home beside whoever writes it."""

    def __init__(self, task: Task) -> None:
        """Raises HomeMoved where the home's history is not that of the task."""
        self._home = Home(Path(task.home), writing=False)
        try:
            if self._home.catalog.heads().link != task.link:
                what = "was committed to since the run began: nothing of it is done"
                raise HomeMoved(f"{task.home} {what}; run the same again")
            directory = Directory.of_json(self._home.catalog.meta("directory").encode())
            basis = Basis(
                home=self._home,
                directory=directory,
                register=current(self._home, share=Share(task.number, task.of)),
                settings=Settings.stored(dict(task.settings)),
                value_date=task.value_date,
                rule_set=task.rule_set,
                threads=1,
                file=task.file,
            )
            self._kernel = Kernel(basis, {})
        except BaseException:
            self._home.close()
            raise
        self._seq = np.uint32(task.seq)

    def __enter__(self) -> Part:
        return self

    def __exit__(self, *_: object) -> None:
        self._kernel.close()
        self._home.close()

    def judge(self, rows: pa.RecordBatch) -> pa.RecordBatch:
        """ANSWERS for ROWS, in their order."""
        chunk = self._kernel.screen(lines_of(rows), self._seq)
        self._kernel.post(chunk)
        return answers_of(chunk)

    def seal(self) -> None:
        """Let what is cleared so far count as paid before for the lines that follow."""
        self._kernel.seal()

    def sums(self) -> Sums:
        """Sums of all lines so far."""
        kernel, core = self._kernel, self._kernel.core
        used = [(int(a), int(b)) for a, b in np.argwhere(core.pair_count)]
        return Sums(
            pairs=[(*pair, int(core.pair_count[pair]), int(core.pair_sum[pair])) for pair in used],
            benefits=core.benefit_sum.tolist(),
            tally=kernel.tally(),
            rule_set=kernel.rule_set,
            has_replaced=kernel.has_replaced,
        )

    def cleared(self) -> Cleared:
        """Everyone cleared in this batch."""
        return [(*key, len(words), packed(words)) for key, words in self._kernel.cleared().items()]


def packed(words: NDArray[np.uint64]) -> bytes:
    """Bits as they are, or the numbers of those that are set, whichever is shorter."""
    if 4 * int(np.bitwise_count(words).sum()) >= words.nbytes:
        return words.tobytes()
    bits = np.unpackbits(words.view(np.uint8), bitorder="little")
    return np.flatnonzero(bits).astype(np.uint32).tobytes()


def unpacked(count: int, content: bytes) -> NDArray[np.uint64]:
    """So many words of bits, of what `packed` gave."""
    if len(content) == 8 * count:
        return np.frombuffer(content, np.uint64).copy()
    rows, words = np.frombuffer(content, np.uint32), np.zeros(count, np.uint64)
    np.bitwise_or.at(words, rows >> 6, np.uint64(1) << (rows & 63).astype(np.uint64))
    return words


def rows_of(lines: Lines, chosen: NDArray[np.intp]) -> pa.RecordBatch:
    """ROWS of some lines."""
    agent = lines.agent
    columns = [
        lines.line_no[chosen],
        lines.person_id[chosen],
        lines.name_key[chosen],
        lines.benefit[chosen],
        lines.month[chosen],
        lines.amount[chosen],
        lines.debtor[chosen],
        np.full(len(chosen), NOT_GIVEN, np.uint16) if agent is None else agent[chosen],
    ]
    return pa.RecordBatch.from_arrays([pa.array(column) for column in columns], schema=ROWS)


def lines_of(rows: pa.RecordBatch) -> Lines:
    """Lines of ROWS, of which nothing but what judging asks is known."""
    columns = zip(ROWS.names, map(np.asarray, rows.columns), strict=True)
    none = Texts(pa.array([], pa.string()), None)
    return Lines(
        **dict(columns), name=none, account=None, end_to_end_id=None, household=None, raw={}
    )


def answers_of(chunk: Chunk) -> pa.RecordBatch:
    """ANSWERS of a chunk."""
    count = len(chunk.reason)
    replaced = np.zeros(count, bool)
    replaced[chunk.replaced] = True
    arrays = [
        pa.array(chunk.reason),
        pa.array(chunk.row),
        pa.array(chunk.participant),
        pa.array(chunk.account),
        pa.array(replaced),
        _sparse(chunk.passed, count),
        _sparse(chunk.excluded_by, count),
    ]
    return pa.RecordBatch.from_arrays(arrays, schema=ANSWERS)


def _sparse(texts: dict[int, str], count: int) -> pa.Array:
    if not texts:
        return pa.nulls(count, pa.string())
    index = np.full(count, -1, np.int32)
    index[list(texts)] = np.arange(len(texts))
    return Texts(pa.array(texts.values(), pa.string()), index).rows()
