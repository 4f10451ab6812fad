"""Credits: which lines of a batch its run sent together, as one payment for a household.

Receivers know a credit by the transfer id of its first line, and by its sum; the other lines keep
their ids, which nobody else is told. credits.parquet of a batch says so of all credits of two lines
or more, and is there where there are any.
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
"""Columns of CREDITS."""


def credits_of(home: Home, seq: int) -> Joined | None:
    """Lines of a batch that its run sent in credits of two or more; None where there are none.
    Raises VerificationFailed where the file is not as it was committed."""
    path = home.folder("batches", seq) / CREDITS_FILE
    if home.catalog.file(path.relative_to(home.path).as_posix()) is None:
        return None
    table = read_table(home.proven(path))
    return {name: np.asarray(table[name]).astype(np.int64) for name in CREDITS.names}


def told_line(home: Home, seq: int, line_no: int, transfer_id: str) -> tuple[str, int | None]:
    """(transfer id by which its receiver knows a line that its own batch cleared, dong that came
    with it; None where it came alone)."""
    joined = credits_of(home, seq)
    if joined is None or not (mine := joined["line_no"] == line_no).any():
        return transfer_id, None
    first = int(joined["first"][np.argmax(mine)])
    sum_ = int(joined["amount"][joined["first"] == first].sum())
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
    own = batch == np.asarray(lines["cleared_in"]).astype(np.int64)
    for seq in np.unique(batch[own]).tolist():
        joined = credits_of(home, seq)
        if joined is None:
            continue
        order = np.argsort(joined["line_no"])
        known = joined["line_no"][order]
        at = np.flatnonzero(own & (batch == seq))
        place = np.searchsorted(known, first[at]).clip(max=len(known) - 1)
        found = known[place] == first[at]
        first[at[found]] = joined["first"][order[place[found]]]
    return first
