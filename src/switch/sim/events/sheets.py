"""Sheets: payment tables of an event, each with all that whoever made it knows of its lines: how
each will be answered, what its receiver does, and where it then stands."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from switch import schema
from switch.sim.events.people import People, Rows
from switch.sim.world import draw

Answer = tuple[str, str | None]
"""Status and reason of a line at the commit of its batch."""
CLEARED: Answer = ("ACSC", None)
NO_ACCOUNT: Answer = ("PDNG", "AC03")
NOT_JOINED: Answer = ("PDNG", "AB08")
TWICE: Answer = ("RJCT", "AM05")
DEAD: Answer = ("RJCT", "MD07")
OTHER_NAME: Answer = ("RJCT", "BE01")
STRANGER: Answer = ("RJCT", "BE06")
ANSWERS = (CLEARED, NO_ACCOUNT, NOT_JOINED, TWICE, DEAD, OTHER_NAME, STRANGER)

CREDITS, RETURNS, SILENT = range(3)
"""Deeds of a receiver: it credits a line, gives it back, or says nothing."""
STATES = (
    *("held", "settled", "credited", "returned", "written_back", "reissued", "refused"),
    "expired",
)
"""States of a line that events play, by their names in totals."""


@dataclass
class Sheet:
    """A payment table and the truth about it, in columns by line; line numbers are 1 to n."""

    batch_id: str
    source: str
    value_date: str
    benefit: str
    person: Rows
    period: NDArray[np.int32]
    amount: NDArray[np.int64]
    wrong_name: NDArray[np.bool_]
    answer: NDArray[np.uint8]
    """Indices of ANSWERS, as the run is to answer each line."""
    receiver: NDArray[np.int64]
    """The participant to which a line goes in the end; -1 where to none."""
    fate: NDArray[np.uint8]
    """Deeds of the receivers."""
    state: NDArray[np.uint8]
    """Indices of STATES, as far as the event has come."""
    names_point: NDArray[np.bool_]
    """The table names the pay point of its commune itself."""
    head: Rows = field(default_factory=lambda: np.empty(0, np.int64))
    """The household of each line, where lines are paid by one credit a household."""
    path: Path = Path()
    number: int = 0
    """The number of its batch."""

    def __len__(self) -> int:
        return len(self.person)

    def write(self, folder: Path, people: People, rng: np.random.Generator, post: str) -> None:
        """Write the payment table. post: the participant of pay points."""
        rows = len(self)
        points = people.communes(self.person).cast(pa.string())
        nothing = pa.scalar(None, pa.string())
        named = pa.array(self.names_point)
        table = pa.table(
            [
                pa.array(np.arange(1, rows + 1, dtype=np.uint32)),
                pa.array(people.ids[self.person]),
                people.written(rng, self.person, self.wrong_name),
                draw.dictionary(np.zeros(rows, np.int16), [self.benefit]),
                pa.array(self.period),
                pa.array(self.amount),
                draw.dictionary(np.zeros(rows, np.int16), [account_of(self.benefit)]),
                pa.compute.if_else(named, post, nothing).dictionary_encode(),
                pa.compute.if_else(named, points, nothing),
                people.communes(self.person),
                pa.nulls(rows, pa.string()),
            ],
            schema=draw.arrow_schema(
                schema.PAYMENT, codes=draw.CODES, ids=pa.uint64(), without={schema.HOUSEHOLD}
            ),
        )
        if len(self.head):
            names = pa.array(self.head).cast(pa.string())
            table = table.append_column(schema.HOUSEHOLD, names)
        self.path = folder / f"{self.batch_id}.parquet"
        pq.write_table(table, self.path)

    def put(self, chosen: NDArray[np.bool_], state: str) -> None:
        """The chosen lines stand in a state now."""
        self.state[chosen] = STATES.index(state)

    def stands(self, state: str) -> NDArray[np.bool_]:
        """Lines that stand in a state."""
        found: NDArray[np.bool_] = self.state == STATES.index(state)
        return found

    def counts(self) -> dict[str, int]:
        """Lines by state, of those that have any."""
        return {name: n for name, n in Counter(map(STATES.__getitem__, self.state)).items() if n}


def account_of(benefit: str) -> str:
    """The account from which a benefit is paid."""
    return f"37130100{sum(benefit.encode()):04d}"


def sheet(
    batch: tuple[str, str, str],
    benefit: str,
    person: Rows,
    period: NDArray[np.int32] | int,
    amount: NDArray[np.int64] | int,
) -> Sheet:
    """A table of lines that all clear and are credited, as long as nothing else is said. batch: its
    id, source and value date."""
    rows = len(person)
    return Sheet(
        *batch,
        benefit,
        person,
        np.broadcast_to(period, rows).astype(np.int32),
        np.broadcast_to(amount, rows).astype(np.int64),
        np.zeros(rows, bool),
        np.zeros(rows, np.uint8),
        np.full(rows, -1, np.int64),
        np.zeros(rows, np.uint8),
        np.zeros(rows, np.uint8),
        np.zeros(rows, bool),
    )
