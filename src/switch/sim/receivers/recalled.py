"""Recalled: what a simulated receiver does about lines that it is asked to give back.

Lines to stop it never credits. Of those that it has, it gives most back, and says so (CNCL); some
it keeps, as its customer objects (RJCR). What it has sent back by itself is not there any more
(RJCR); who is silent about a line is silent here too.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from switch.sim.receivers.behaviour import DAY_US, NEVER_CAME, Answers, Draws, Fate, Manner

GIVEN_BACK, KEPT = "CNCL", "RJCR"
OBJECTS, GONE = "CUST", "ARDT"
"""Reasons of KEPT, of ISO 20022: the customer objects, the money was returned already."""
FOLLOWS = "FOCR"
"""Reason of a return that follows a cancellation request."""


class Asked(NamedTuple):
    """A list of recalled lines: its file, and when it was handed out."""

    path: Path
    at: int
    """Microseconds since 1970"""


class Lists:
    """Lines of all lists. stopped: transfer ids that nobody credits."""

    def __init__(self, lists: Sequence[Asked]) -> None:
        stopped: list[pa.Table] = []
        self._at: dict[str, int] = {}
        for asked in lists:
            table = pq.read_table(asked.path)
            if "action" in table.schema.names:
                back = table.filter(pc.equal(table["action"], "RETURN"))
                self._at |= dict.fromkeys(back["transfer_id"].to_pylist(), asked.at)
                table = table.filter(pc.equal(table["action"], "STOP"))
            stopped.append(table["transfer_id"])
        chunks = [chunk for column in stopped for chunk in column.chunks]
        self.stopped = pa.chunked_array(chunks, pa.string())

    def back(self, ids: pa.StringArray) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """(places among ids of lines that are asked back, times at which they were)."""
        if not self._at:
            return np.empty(0, np.int64), np.empty(0, np.int64)
        known = pc.is_in(ids, pa.array(self._at, pa.string()))
        places = np.flatnonzero(known.to_numpy(zero_copy_only=False))
        times = [self._at[name] for name in ids.take(pa.array(places)).to_pylist()]
        return places, np.array(times, np.int64)


class Said(NamedTuple):
    """Answers to recalls, in order of line. row: the place of the line in the chunk."""

    row: NDArray[np.int64]
    kept: NDArray[np.bool_]
    gone: NDArray[np.bool_]
    """Sent back before, of those that are kept"""
    at: NDArray[np.int64]
    """Microseconds since 1970"""

    def returns(self, amount: NDArray[np.int64]) -> Answers:
        """The returns that follow: a day after the word. amount: of all lines of the chunk."""
        row = self.row[~self.kept]
        return Answers(row, amount[row], np.zeros(len(row), bool), self.at[~self.kept] + DAY_US)


def resolve(
    draws: Draws, manner: Manner, places: NDArray[np.int64], times: NDArray[np.int64]
) -> Said:
    """Answer of a receiver to the recall of lines. places, times: as of `Lists.back`."""
    fate, luck = draws.fate[places], draws.luck[places].astype(np.int64)
    gone = fate == Fate.RETURNED
    kept = gone | (luck % 1000 < 1000 * manner.objects)
    speaks = ~np.isin(fate, (*NEVER_CAME, Fate.SILENT))
    at = times + (1 + luck % 3) * DAY_US
    return Said(places[speaks], kept[speaks], gone[speaks], at[speaks])
