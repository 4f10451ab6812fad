"""Job: one payment table to clear, and all that its clearing needs to know."""

from __future__ import annotations

from dataclasses import dataclass

from switch.clearing.intake import Declared
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


@dataclass(frozen=True)
class Options:
    """Options of a run. form: format of status and clearing files, one of FORMS. Threads, rows a
    chunk and progress change no byte of the result. Raises UsageError."""

    form: str = "parquet"
    threads: int = 2
    chunk_rows: int = CHUNK_ROWS
    progress: Progress | None = None

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
    def cycle(self) -> str:
        """The calendar's cycle, or a cycle of the batch's own."""
        own = f"{self.declared.value_date:%Y%m%d}-{self.seq:06d}"
        return self.slot.cycle if self.slot else own
