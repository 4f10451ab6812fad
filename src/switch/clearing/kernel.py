"""Kernel: the native core of one run, which screens and posts its chunks.

What a batch may not go beyond (sums in 64 bits, keys, persons an account) is said here as a refusal
of the table or as a reason of the line.
"""

from __future__ import annotations

import contextlib
import datetime
from collections.abc import Iterator
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from switch._core import Core
from switch.clearing.admitting import Admitted
from switch.clearing.chunk import Chunk
from switch.clearing.held import cover_of
from switch.clearing.intake import Lines
from switch.clearing.job import Job
from switch.errors import InputRefused
from switch.home import paid_bits
from switch.home.store import Home
from switch.registry.directory import Directory
from switch.registry.register import Register
from switch.registry.settings import Settings
from switch.schema import period_of

EPOCH = datetime.date(1970, 1, 1)


def core_of(
    home: Home,
    directory: Directory,
    register: Register,
    settings: Settings,
    value_date: datetime.date,
    threads: int = 1,
) -> Core:
    """A native core for one batch: registers, directory and who was paid before, as of a day."""
    lookups = directory.lookups()
    before = [home.paid_files(origin) for origin in ("history", "cleared")]

    def bits_of(benefit: int, month: int) -> NDArray[np.uint64]:
        key = (directory.programmes[benefit].benefit, period_of(month))
        files = [known.get(key) for known in before]
        words = (paid_bits.read(*file) for file in files if file is not None)
        pairs: NDArray[np.uint64] = paid_bits.pairs(register.rows, *words)
        return pairs

    return Core(
        register.table,
        register.since.view(np.uint8),
        register.lists.view(np.uint8),
        register.participant_lookup(directory.index()),
        lookups.suspended,
        lookups.amount_max,
        lookups.debtor_agent,
        len(directory.programmes),
        settings.clearing_limit,
        (value_date - EPOCH).days,
        bits_of,
        threads,
    )


class Kernel:
    """Screens and posts chunks in table order. core: its sums are read by whoever nets them."""

    def __init__(self, job: Job, rooms: dict[str, int]) -> None:
        """rooms: how much more each settlement participant may be debited; lines wait for it."""
        date, most = job.declared.value_date, job.settings.accounts_shared_max
        self.core = core_of(
            job.home, job.directory, job.register, job.settings, date, job.options.threads
        )
        if rooms:
            self.core.limit(*cover_of(job.directory, rooms))
        self._admitted: Admitted | None = None
        if most is not msgspec.UNSET:
            self._admitted = Admitted(most, job.register.heap)
        self._file = job.reader.name

    def close(self) -> None:
        """Let go of the core's memory."""
        self.core.close()

    def screen(self, lines: Lines, batch: np.uint32 | NDArray[np.uint32]) -> Chunk:
        """Authenticate and route lines: their chunk."""
        found = self.core.screen(
            lines.amount, lines.person_id, lines.name_key, lines.benefit, lines.debtor, lines.agent
        )
        if self._admitted is not None:
            self._admitted.hold(*found, lines.account)
        return Chunk(lines, batch, *found)

    def post(self, chunk: Chunk) -> None:
        """Post lines that passed screening: a line clears, waits for cover or is paid already."""
        with self._within_limits():
            self.core.post(*_columns(chunk))

    def queue(self, chunk: Chunk) -> None:
        """Put lines that passed screening at the end of the queues for cover, whether there is room
        or not; `release` says what becomes of them."""
        with self._within_limits():
            self.core.wait(*_columns(chunk))

    def release(self) -> NDArray[np.uint8]:
        """Post lines that wait for cover, as far as there is room: a reason for each that waits."""
        with self._within_limits():
            verdict: NDArray[np.uint8] = self.core.release()
        return verdict

    @contextlib.contextmanager
    def _within_limits(self) -> Iterator[None]:
        try:
            yield
        except (OverflowError, ValueError) as error:
            raise InputRefused(
                "TOTAL_RANGE" if isinstance(error, OverflowError) else "PERIOD_LIMIT",
                str(error),
                file=self._file,
                remedy="split the table",
            ) from error


def _columns(chunk: Chunk) -> tuple[NDArray[Any], ...]:
    """Columns that posting looks at, as `Core.post` takes them."""
    lines = chunk.lines
    said = (lines.benefit, lines.month, lines.debtor)
    return chunk.reason, chunk.row, *said, chunk.participant, lines.amount
