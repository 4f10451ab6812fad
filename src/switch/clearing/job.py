"""Job: one payment table to clear, what its clearing needs to know, and who judges its lines."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from switch.clearing.chunk import Chunk
from switch.clearing.intake import Declared, Lines
from switch.errors import UsageError
from switch.files.formats import CHUNK_ROWS
from switch.files.segment import FORMS
from switch.files.tables import TableReader
from switch.files.threads import Progress
from switch.home.store import Home
from switch.registry.directory import Directory
from switch.registry.register import Register
from switch.registry.settings import Settings
from switch.schema import CHUNK_ROWS_MAX
from switch.settlement.calendar import Slot

THREADS_MAX = 256


class Totals(Protocol):
    """Sums of what cleared (minor units) and counts, payer by receiver by directory index, and sums
    by index of the programme."""

    @property
    def pair_sum(self) -> NDArray[np.int64]: ...

    @property
    def pair_count(self) -> NDArray[np.int64]: ...

    @property
    def benefit_sum(self) -> NDArray[np.int64]: ...


class Judge(Protocol):
    """Whoever screens and posts the lines of one batch, in table order."""

    def screen(
        self, lines: Lines, batch: np.uint32 | NDArray[np.uint32], *, again: bool = False
    ) -> Chunk:
        """Authenticate and route lines: their chunk, which `post` takes next."""
        ...

    def post(self, chunk: Chunk) -> None:
        """Post the lines that passed."""
        ...

    def judged(
        self, lines: Iterable[Lines], batch: np.uint32 | NDArray[np.uint32]
    ) -> Iterator[Chunk]:
        """Chunks of lines, screened and posted, in their order."""
        ...

    def seal(self) -> None:
        """Let what is cleared so far count as paid before for the lines that follow."""
        ...

    @property
    def core(self) -> Totals: ...

    def tally(self) -> list[tuple[int, int]]:
        """(count, sum) by reason number so far; sums are exact."""
        ...

    def cleared(self) -> dict[tuple[int, int], NDArray[np.uint64]]:
        """Words of everyone cleared in this batch, by (benefit, month)."""
        ...

    @property
    def rule_set(self) -> str:
        """The oldest rules by which all lines are answered as they were."""
        ...

    @property
    def has_replaced(self) -> bool:
        """Some line was for an id that another stands in place of."""
        ...

    def close(self) -> None:
        """Let go of what is held."""
        ...


class Executor(Protocol):
    """Place where the lines of a batch are judged, if not in this process."""

    def prepared(self, prospect: Prospect) -> AbstractContextManager[Executor]:
        """Get ready for a run while its table is opened: the executor that judges it."""
        ...

    def judge(self, job: Job, rooms: dict[str, int]) -> Judge:
        """Begin to judge a job. rooms: how much more each settlement participant may be debited.
        Raises UsageError where lines have to be judged in one place."""
        ...


@dataclass(frozen=True, kw_only=True)
class Prospect:
    """All that is known of a job before its table is open. file: name of the table, for messages.
    seq: number of the batch that it becomes."""

    home: Home
    settings: Settings
    declared: Declared
    seq: int
    rule_set: str
    file: str


@dataclass(frozen=True)
class Options:
    """Options of a run. form: format of status and clearing files, one of FORMS. executor: where
    lines are judged; None: here. Threads, rows a chunk, progress and executor change no byte of the
    result. Raises UsageError."""

    form: str = "parquet"
    threads: int = 2
    chunk_rows: int = CHUNK_ROWS
    progress: Progress | None = None
    executor: Executor | None = None

    def __post_init__(self) -> None:
        if self.form not in FORMS:
            raise UsageError(f"form {self.form!r} is none of {', '.join(FORMS)}")
        for name, most in (("threads", THREADS_MAX), ("chunk_rows", CHUNK_ROWS_MAX)):
            if not 1 <= getattr(self, name) <= most:
                raise UsageError(f"{name} {getattr(self, name)} is not in 1..{most}")

    def tell(self, phase: str, done: int, rows: int) -> None:
        """Say how far a phase is, where somebody asked."""
        if self.progress is not None:
            self.progress(phase, done, rows)


@dataclass(frozen=True, kw_only=True)
class Basis:
    """All that lines are judged by, one after the other.

    value_date: the day that they are paid on. threads: how many screen a chunk. file: name of their
    table, for messages.
    """

    home: Home
    directory: Directory
    register: Register
    settings: Settings
    value_date: datetime.date
    rule_set: str
    threads: int
    file: str


@dataclass(frozen=True, kw_only=True)
class Job:
    """One table, and the home that it is cleared into.

    seq: number of the batch that the table becomes. at: time of the commit; why: it lies before
    what was recorded. slot: the cycle that takes the lines, where the home has a calendar.
    """

    home: Home
    directory: Directory
    register: Register
    settings: Settings
    declared: Declared
    reader: TableReader
    seq: int
    at: str
    slot: Slot | None
    rule_set: str
    options: Options
    why: str | None = None

    @property
    def prospect(self) -> Prospect:
        """All that was known of it before its table was open."""
        return Prospect(
            home=self.home,
            settings=self.settings,
            declared=self.declared,
            seq=self.seq,
            rule_set=self.rule_set,
            file=self.reader.name,
        )

    @property
    def basis(self) -> Basis:
        """All that its lines are judged by."""
        return Basis(
            home=self.home,
            directory=self.directory,
            register=self.register,
            settings=self.settings,
            value_date=self.declared.value_date,
            rule_set=self.rule_set,
            threads=self.options.threads,
            file=self.reader.name,
        )

    @property
    def cycle(self) -> str:
        """The calendar's cycle, or a cycle of the batch's own."""
        own = f"{self.declared.value_date:%Y%m%d}-{self.seq:06d}"
        return self.slot.cycle if self.slot else own
