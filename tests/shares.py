"""Lines of a table, judged in shares by workers that are in this process."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable

from switch.clearing.job import Executor, Job, Judge, Prospect
from switch.clearing.kernel import Kernel
from switch.clearing.partition import Task
from switch.clearing.partitioned import Partitioned
from switch.clearing.workers import Serial, Worker
from switch.errors import UsageError
from switch.registry.load_registers import current


@dataclasses.dataclass(frozen=True)
class Shares:
    """An executor whose workers are here."""

    of: int
    worker: Callable[[Task], Worker] = Serial

    def prepared(self, _: Prospect) -> contextlib.AbstractContextManager[Executor]:
        return contextlib.nullcontext(self)

    def judge(self, job: Job, rooms: dict[str, int]) -> Judge:
        return Partitioned(job, rooms, self.of, self.worker)


@dataclasses.dataclass(frozen=True)
class WhereTheyMay:
    """The same; lines that have to be judged in one place are. judged: how many runs were which."""

    of: int
    judged: list[bool] = dataclasses.field(default_factory=list)

    def prepared(self, _: Prospect) -> contextlib.AbstractContextManager[Executor]:
        return contextlib.nullcontext(self)

    def judge(self, job: Job, rooms: dict[str, int]) -> Judge:
        try:
            judge: Judge = Partitioned(job, rooms, self.of, Serial)
        except UsageError:
            self.judged.append(False)
            whole = dataclasses.replace(job, register=current(job.home))
            return Kernel(whole.basis, rooms)
        self.judged.append(True)
        return judge

    def instead(self, _: int | Executor) -> Executor:
        """Stand in for `partitioned.executor_of`."""
        return self
