"""Credits: which lines of a batch its run sent together, as one payment for a household.

Receivers know a credit by the transfer id of its first line, and by its sum; the other lines keep
their ids, which nobody else is told. credits.parquet of a batch says so of all credits of two lines
or more that its run sent, of its own lines and of such as had waited, and is there where there are
any.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from switch.files.file_schemas import CREDITS, CREDITS_FILE
from switch.files.segment import read_table
from switch.home.store import Home

_LINE_DIGITS = 10
Joined = dict[str, NDArray[np.int64]]
"""Columns of CREDITS_OF_BATCHES."""


def credits_of(home: Home, seq: int) -> Joined | None:
    """Lines that the run of a batch sent in credits of two or more; None where there are none.
    Raises VerificationFailed where the file is not as it was committed."""
    path = home.folder("batches", seq) / CREDITS_FILE
    if home.catalog.file(path.relative_to(home.path).as_posix()) is None:
        return None
    table = read_table(home.proven(path))
    found = {name: np.asarray(table[name]).astype(np.int64) for name in CREDITS.names}
    found["batch"] = np.full(len(table), seq)
    if "batch" in table.column_names:
        found["batch"] = np.asarray(table["batch"]).astype(np.int64)
    return found


def told_line(
    home: Home, run: int, line: tuple[int, int], transfer_id: str
) -> tuple[str, int | None]:
    """(transfer id by which its receiver knows a line that a run cleared, dong that came with it;
    None where it came alone). line: number of its batch, and its own."""
    joined = credits_of(home, run)
    if joined is None:
        return transfer_id, None
    of_batch = joined["batch"] == line[0]
    mine = of_batch & (joined["line_no"] == line[1])
    if not mine.any():
        return transfer_id, None
    first = int(joined["first"][np.argmax(mine)])
    sum_ = int(joined["amount"][of_batch & (joined["first"] == first)].sum())
    return f"{transfer_id[:-_LINE_DIGITS]}{first:0{_LINE_DIGITS}d}", sum_


def told_ids(home: Home, lines: pa.Table) -> pa.Array:
    """Transfer ids by which receivers know lines. lines: with columns as WENT_BACK has them."""
    ids = lines["transfer_id"].combine_chunks()
    first, line_no = _first(home, lines), np.asarray(lines["line_no"])
    at = np.flatnonzero(first != line_no)
    if not len(at):
        return ids
    # Lines of a credit came in one batch, so that their ids begin alike.
    names = ids.to_pylist()
    for place in at.tolist():
        names[place] = f"{names[place][:-_LINE_DIGITS]}{first[place]:0{_LINE_DIGITS}d}"
    return pa.array(names, pa.string())


def as_told(home: Home, lines: pa.Table) -> pa.Table:
    """Lines as receivers know them: a row a credit, in place of the first of its lines that stands
    here, with its transfer id and the sum of these. lines: as of `told_ids`, each once."""
    first, batch = _first(home, lines), np.asarray(lines["batch"]).astype(np.int64)
    _, at, which = np.unique(batch << 32 | first, return_index=True, return_inverse=True)
    if len(at) == len(lines):
        return lines
    total = np.zeros(len(at), np.int64)
    np.add.at(total, which, np.asarray(lines["amount"]))
    order = np.argsort(at)
    table = lines.set_column(
        lines.schema.get_field_index("transfer_id"),
        lines.schema.field("transfer_id"),
        told_ids(home, lines),
    ).take(pa.array(at[order]))
    amount = lines.schema.get_field_index("amount")
    return table.set_column(amount, lines.schema.field(amount), pa.array(total[order]))


def _first(home: Home, lines: pa.Table) -> NDArray[np.int64]:
    """Number of the first line of the credit that each line was sent in: its own, as a rule."""
    batch = np.asarray(lines["batch"]).astype(np.int64)
    first = np.asarray(lines["line_no"]).astype(np.int64)
    run = np.asarray(lines["cleared_in"]).astype(np.int64)
    keys = batch << 32 | first
    for seq in np.unique(run).tolist():
        joined = credits_of(home, seq)
        if joined is None:
            continue
        numbers = joined["batch"] << 32 | joined["line_no"]
        order = np.argsort(numbers)
        known = numbers[order]
        at = np.flatnonzero(run == seq)
        place = np.searchsorted(known, keys[at]).clip(max=len(known) - 1)
        found = known[place] == keys[at]
        first[at[found]] = joined["first"][order[place[found]]]
    return first
