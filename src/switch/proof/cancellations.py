"""Cancellations proven: each took out of the queue what waited as it says, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa

from switch.files.file_schemas import HELD_SCHEMA
from switch.files.segment import read_segment, read_table
from switch.home.history import Cancellation
from switch.home.store import Home
from switch.outcomes import Check
from switch.proof import line_sums
from switch.proof.budgets import Funded
from switch.proof.chains import compare

LINE = ["batch", "line_no"]


def names(home: Home, one: Cancellation) -> list[tuple[int, int]]:
    """(batch, number) of each line that a commit cancelled."""
    return list(line_sums.tuples(read_table(home.path / one.folder / "lines.parquet"), LINE))


def checks(home: Home, one: Cancellation, before: str, funded: Funded) -> Iterator[Check]:
    """All that is proven of one commit. before: the folder that had the queue until then; funded:
    lines that waited then, by what they reserved."""
    subject = f"cancellation {one.number}"
    lines = read_table(home.path / one.folder / "lines.parquet")
    amounts = lines["amount"].to_pylist()
    yield compare("cancelled lines", subject, [len(lines), sum(amounts)], [one.lines, one.amount])
    said = one.by and one.why and len(lines)
    yield Check("cancelled lines", subject, "" if said else "it does not say who cancelled what")
    yield Check("cancelled lines", subject, funded.cancel(lines))
    queue, left = _queue(home, before), _queue(home, one.folder)
    stays = pa.array(~np.isin(_keys(queue), _keys(lines)))
    fault = "" if queue.filter(stays).equals(left) else "those that wait are others"
    yield Check("held lines", subject, fault)


def _queue(home: Home, folder: str) -> Any:
    """All lines that wait by a folder, whole."""
    path = home.path / folder / "held.parquet"
    table = read_segment(path) if path.exists() else HELD_SCHEMA.empty_table()
    return table.select(HELD_SCHEMA.names).cast(HELD_SCHEMA).combine_chunks()


def _keys(lines: Any) -> Any:
    batch, line_no = (np.asarray(lines[name]).astype(np.int64) for name in LINE)
    return batch << 32 | line_no
