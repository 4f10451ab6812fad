"""Recast: a cycle settles without the payments of those who lack the funds for it; a cycle that
is aborted does without any.

Columns IN: cleared.parquet of the cycle's batches and the queue of lines that wait. OUT: a draft
for one commit: the lines that went back, the whole queue as it is now, paid bits without them, and
for each receiver the list of what it must not credit (docs/formats.md).

Who cannot pay is a defaulter. Its payments leave the cycle; what others pay to it stays, for those
have the funds. So the others' positions can only get worse, and whoever falls short by that is a
defaulter as well: the set of them does not depend on an order.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from switch.files.file_schemas import CLEARED_SCHEMA, HELD_SCHEMA, IDENTITY, WENT_BACK
from switch.files.lines_file import LinesFile, as_kept
from switch.files.segment import Groups, write_table
from switch.home.credits import as_told
from switch.home.history import queue_of
from switch.home.store import Home
from switch.registry.directory import Directory
from switch.settlement import reversal
from switch.settlement.accounts import CLEAR, FEE, POSITION, kind_of, owner_of
from switch.settlement.liquidity import loss

RECALL = ("transfer_id", "amount")
"""Columns of a receiver's list."""


class Unwound(NamedTuple):
    """A cycle without the payments of its defaulters, by settlement participant."""

    defaulters: dict[str, int]
    """Money that each defaulter lacked when its payments were taken out."""
    nets: dict[str, int]
    vanished: dict[str, int]
    """Money that receivers were to get from defaulters."""
    turned: list[str]
    """Participants that had nothing to pay and now pay."""


def unwind_cycle(
    home: Home,
    cycle: str,
    nets: dict[str, int],
    short: dict[str, int],
    short_of: Callable[[dict[str, int]], dict[str, int]],
) -> Unwound:
    """Take out the payments of those who are short, and of whoever is short without them.

    nets: of the cycle, by settlement participant. short_of: who lacks how much, given nets.
    """
    codes = list(nets)
    at = {code: i for i, code in enumerate(codes)}
    pairs = np.zeros((len(codes), len(codes)), np.int64)
    for (debit, credit), amount in owed_between(home, cycle).items():
        pairs[at[owner_of(debit)], at[owner_of(credit)]] = amount
    defaulters: dict[str, int] = {}
    while short:
        defaulters |= short
        out = [at[code] for code in defaulters]
        answer = loss.recast(pairs, out, keep_receipts=True)
        assert answer.before.tolist() == list(nets.values()), "postings and positions differ"
        after = dict(zip(codes, answer.after.tolist(), strict=True))
        short = short_of(after)
        assert not short.keys() & defaulters.keys(), "who pays nothing lacks nothing"
    gone = {code: sum(int(pairs[i, at[code]]) for i in out) for code in codes}
    return Unwound(
        dict(sorted(defaulters.items())),
        after,
        {code: sum_ for code, sum_ in gone.items() if sum_},
        [codes[i] for i in answer.turned],
    )


def owed_between(home: Home, cycle: str) -> dict[tuple[str, str], int]:
    """Money that a cycle moves between positions, by both: of lines, and of fees."""
    found = home.catalog.pair_sums(cycle, CLEAR)
    for pair, amount in home.catalog.pair_sums(cycle, FEE).items():
        if kind_of(pair[0]) == POSITION:
            found[pair] = found.get(pair, 0) + amount
    return found


def lines_of(
    home: Home, directory: Directory, cycle: str, defaulters: Collection[str] | None
) -> tuple[pa.Table, pa.Table]:
    """The defaulters' lines of a cycle that move something between settlement accounts, or, where
    None is given, all of its lines; oldest first: tables of WENT_BACK, and of HELD_SCHEMA with
    households."""
    settled_by = {p.participant: p.settled_by for p in directory.participants}
    codes = pa.array(list(settled_by), pa.string())
    settlers = pa.array(list(settled_by.values()), pa.string())

    def settler(column: pa.ChunkedArray) -> pa.Array:
        return settlers.take(pc.index_in(column, value_set=codes).combine_chunks())

    wide = as_kept(CLEARED_SCHEMA.empty_table(), CLEARED_SCHEMA).schema
    parts = [wide.append(WENT_BACK.field("cleared_in")).empty_table()]
    for batch in home.catalog.batches(cycle=cycle):
        path = f"batches/{batch.seq:06d}/cleared.parquet"
        for group in _groups(home, path):
            leaves = as_kept(group, CLEARED_SCHEMA)
            if defaulters is not None:
                payer, payee = settler(leaves["debtor_agent"]), settler(leaves["participant"])
                owed = pc.is_in(payer, value_set=pa.array(sorted(defaulters), pa.string()))
                leaves = leaves.filter(pc.and_(owed, pc.not_equal(payer, payee)))
            seq = pa.array(np.full(len(leaves), batch.seq, np.uint32))
            parts.append(leaves.append_column("cleared_in", seq).cast(parts[0].schema))
    lines = pa.concat_tables(parts).sort_by(IDENTITY)
    return lines.select(WENT_BACK.names).cast(WENT_BACK), as_kept(lines, HELD_SCHEMA)


def _groups(home: Home, path: str) -> Iterator[pa.Table]:
    """Row groups of a committed file that is proven first; none where it was not written."""
    if home.catalog.file(path) is None:
        return
    file = home.proven(home.path / path)
    groups = Groups(file)
    for number in range(len(groups)):
        yield groups.read(number)


def write(home: Home, draft: Path, went: pa.Table, held: pa.Table) -> dict[tuple[str, int], str]:
    """Files of a recast: lines that went back (a table of WENT_BACK), and the same as they were in
    their payment tables. Returns names of paid bits by (benefit, period)."""
    write_table(draft / "lines.parquet", went)
    queue = queue_of(home)
    waiting = [] if queue is None else list(_groups(home, queue[0]))
    kept = (as_kept(part, HELD_SCHEMA).cast(held.schema) for part in waiting)
    whole = pa.concat_tables([held, *kept])
    file = LinesFile(draft / "held.parquet", HELD_SCHEMA)
    for part in whole.sort_by(IDENTITY).to_batches():
        file.append({name: part.column(name) for name in whole.column_names})
    file.close()
    (draft / "recall").mkdir(mode=0o700)
    told = as_told(home, went)
    for code in pc.unique(told["participant"]).to_pylist():
        mine = told.filter(pc.equal(told["participant"], code)).select(RECALL)
        write_table(draft / "recall" / f"{code}.parquet", mine)
    return reversal.free(home, draft, went)
