"""Office: puts control into a life. Behind its first policy each table is prepared and signed
before it is handed over, mostly; between, people sign, stop and deliver, rightly and not.

Nothing here knows an outcome. Draws come from a generator of its own, so that a life without a
policy is what it would be if there were none of this.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator

from switch.sim.auditor.expected import Table
from switch.sim.lives import operations
from switch.sim.lives.operations import Operation, Payday
from switch.sim.lives.sender import content_of

CONTROLLED = 0.15
"""Rate of lives with a policy."""
FIRST_MAX = 12
"""Operations before the first policy, at most."""
FILES = {"rows": "parquet", "typed rows": "csv"}
"""Forms of tables that are signed, for those that have no file."""
IN_MEMORY = 0.06
"""Rates: a table is handed over in memory all the same; it is not signed to the end; its file is
changed behind the last signature."""
UNSIGNED = 0.12
CHANGED = 0.08


class Office:
    """Control of one life."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.is_controlled = rng.random() < CONTROLLED
        self._first = rng.randint(1, FIRST_MAX)
        """Number of operations before the first policy."""

    def controlled(self, script: Iterable[Operation]) -> Iterator[Operation]:
        """A script with all that is said of control in it."""
        number = 0
        for number, operation in enumerate(script):
            if self.is_controlled and number == self._first:
                yield from self._again(operations.SetPolicy(self._salt(), self._fault()))
            if not self.is_controlled or number < self._first:
                yield operation
                continue
            yield from self._says()
            if isinstance(operation, Payday):
                yield from self._signed(operation)
            elif isinstance(operation, operations.Race):
                *before, payday = self._signed(operation.payday)
                yield from before
                assert isinstance(payday, Payday)
                yield operations.Race(payday)
            else:
                yield operation
        if self.is_controlled and number < self._first:
            yield operations.SetPolicy(self._salt(), None)

    def last(self, repair: Iterable[Operation]) -> Iterator[Operation]:
        """The end of a life, in which all is signed as it must be."""
        for operation in repair:
            if self.is_controlled and isinstance(operation, Payday):
                payday = filed(operation)
                yield operations.Prepare(payday.table, payday.form, 0, None)
                yield operations.Release(payday.table.source, payday.table.batch_id, 0)
                yield payday
            else:
                yield operation

    def _salt(self) -> int:
        return self.rng.getrandbits(32)

    def _fault(self) -> operations.Fault | None:
        return operations.fault_of(self.rng)

    def _again(self, operation: operations.SetPolicy) -> Iterator[Operation]:
        """Say again what was broken off."""
        yield operation
        if operation.fault is not None:
            yield operation._replace(fault=None)

    def _says(self) -> Iterator[Operation]:
        """People sign, stop and deliver."""
        rng = self.rng
        yield from self._signs([0, 0, 0, 1])
        if rng.random() < 0.15:
            yield operations.Stop(self._salt(), self._fault())
        if rng.random() < 0.3:
            yield operations.Deliver(self._salt(), self._fault())
        if rng.random() < 0.1:
            yield from self._again(operations.SetPolicy(self._salt(), self._fault()))

    def _signs(self, counts: list[int]) -> Iterator[Operation]:
        for _ in range(self.rng.choice(counts)):
            yield operations.Sign(self._salt(), self._fault())

    def _signed(self, payday: Payday) -> Iterator[Operation]:
        """A table on its way to release, and handed over."""
        rng = self.rng
        if rng.random() < IN_MEMORY:
            yield payday
            return
        payday = filed(payday)
        table = payday.table
        yield operations.Prepare(table, payday.form, self._salt(), self._fault())
        yield from self._signs([1, 2, 3, 5, 8])
        yield from self._says()
        yield from self._signs([0, 1, 2])
        if rng.random() > UNSIGNED:
            yield operations.Release(table.source, table.batch_id, self._salt())
        if rng.random() < CHANGED:
            payday = payday._replace(table=_edited(table, payday.form))
        yield payday


def filed(payday: Payday) -> Payday:
    """A payday whose table is a file."""
    form = FILES.get(payday.form, payday.form)
    content = content_of(payday.table.rows, form)
    return payday._replace(form=form, table=payday.table._replace(content=content))


def _edited(table: Table, form: str) -> Table:
    """The same table with a line that says more, and a dossier that fits it."""
    first, *others = table.rows
    rows = ({**first, "amount": first["amount"] + 1}, *others)
    return table._replace(
        rows=rows, declared_sum=table.declared_sum + 1, content=content_of(rows, form)
    )
