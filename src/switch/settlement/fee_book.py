"""Fee book: agencies, bills and payments of a home, and where the money of each payment stands.

Nothing of it is kept but what commits of bills and payments wrote: a payment is paid once for ever,
and stands in the cycle that it entered last. Where that was aborted, or recast and the payment was
a defaulter's, it waits. Columns: FEE_MOVED, whose sides are named as those of a line.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from switch.files.file_schemas import BILL, FEE, FEE_MOVED
from switch.files.segment import read_table
from switch.home.history import ABORTED, BILLS, PAYMENTS, FeeFolder, fee_folders
from switch.home.store import Home
from switch.registry.directory import Directory
from switch.registry.settings import RECAST
from switch.settlement import accounts
from switch.settlement.netting import Position
from switch.settlement.postings import Posting
from switch.settlement.reversal import positions_gone, summed

AGENCIES = "agencies"
"""Kind of the audit records of tables of agencies; they have no folder."""
_KEPT = pa.schema([*FEE_MOVED, ("cycle", pa.string()), ("number", pa.uint32())])


class Agency(NamedTuple):
    """An agency that takes fees."""

    agency: str
    name: str
    participant: str
    """Code of the institution that holds its account."""
    account: str
    late: str
    """Fate of a payment after the due day: taken or refused."""


def agencies(home: Home) -> dict[str, Agency]:
    """Agencies by code, as they were loaded last."""
    records = home.catalog.audit.records(AGENCIES)
    rows = msgspec.json.decode(records[-1].detail)["agencies"] if records else []
    return {row[0]: Agency(*row) for row in rows}


def bills(home: Home) -> pa.Table:
    """All bills: a table of BILL."""
    return _all(home, BILLS, "bills", BILL)


def payments(home: Home) -> pa.Table:
    """All payments that were taken: a table of FEE."""
    rows = _all(home, PAYMENTS, "payments", FEE)
    return rows.filter(pc.equal(rows["reason_number"], 0))


def _all(home: Home, kind: str, name: str, schema: pa.Schema) -> pa.Table:
    parts = [schema.empty_table()]
    for folder in fee_folders(home):
        if folder.kind == kind:
            parts.append(read_table(_proven(home, folder, name)).cast(schema))
    return pa.concat_tables(parts).combine_chunks()


def _proven(home: Home, folder: FeeFolder, name: str) -> Path:
    return home.proven(home.path / folder.name / f"{name}.parquet")


def moved(home: Home, cycle: str | None = None) -> pa.Table:
    """Payments that entered cycles, oldest first, with the cycle and the number of the commit: a
    table of FEE_MOVED and both. cycle: the only one."""
    parts = [_KEPT.empty_table()]
    for folder in fee_folders(home):
        mine = folder.detail.get("cycle", "")
        if mine and cycle in (None, mine):
            table = read_table(_proven(home, folder, "moved")).cast(FEE_MOVED)
            table = table.append_column("cycle", pa.repeat(mine, len(table)))
            number = pa.array(np.full(len(table), folder.number, np.uint32))
            parts.append(table.append_column("number", number))
    return pa.concat_tables(parts).combine_chunks()


def leaving(
    home: Home, settled_by: dict[str, str], cycle: str, defaulters: Collection[str] | None
) -> pa.Table:
    """Payments of a cycle that leave it: those of customers of defaulters that move something
    between settlement accounts, or, where None is given, all. settled_by: by participant."""
    rows = moved(home, cycle)
    if defaulters is None or not len(rows):
        return rows
    payer, payee = (
        pa.array([settled_by.get(code) for code in rows[side].to_pylist()], pa.string())
        for side in ("debtor_agent", "participant")
    )
    owed = pc.is_in(payer, value_set=pa.array(sorted(defaulters), pa.string()))
    return rows.filter(pc.and_(owed, pc.fill_null(pc.not_equal(payer, payee), False)))


def waiting(home: Home) -> pa.Table:
    """Payments that were taken, and whose cycle they left: oldest first, as `moved` has them."""
    broken = {}
    for row in home.catalog.cycles("SETTLED", ABORTED):
        answer = msgspec.json.decode(row.answer)
        if row.state == ABORTED or answer["rule"] == RECAST:
            broken[row.cycle] = None if row.state == ABORTED else answer["short"]
    parts = [
        leaving(home, home.catalog.agents(cycle), cycle, short) for cycle, short in broken.items()
    ]
    gone = pa.concat_tables([_KEPT.empty_table(), *parts]).combine_chunks()
    if not len(gone):
        return gone
    last = last_moved(home)
    at = np.asarray(pc.index_in(_keys(gone), value_set=_keys(last)))
    mine = np.asarray(last["number"])[at] == np.asarray(gone["number"])
    order = [("taken_in", "ascending"), ("row", "ascending")]
    return gone.filter(pa.array(mine)).sort_by(order).combine_chunks()


def last_moved(home: Home) -> pa.Table:
    """Payments and refunds, each as it entered a cycle last: as `moved` has them."""
    keys, rows = ["payment_id", "back"], moved(home)
    last = rows.group_by(keys).aggregate([("number", "max")])
    last = last.rename_columns({"number_max": "number"})
    return rows.join(last, [*keys, "number"], join_type="inner").combine_chunks()


def _keys(rows: pa.Table) -> pa.StringArray:
    """A text for each payment, and another one for its refund."""
    word = pc.if_else(rows["back"], "back", "").combine_chunks()
    return pc.binary_join_element_wise(rows["payment_id"].combine_chunks(), word, "\x1f")


def positions(directory: Directory, rows: pa.Table) -> list[Position]:
    """Positions that payments bring into their cycle, by participant."""
    return [
        Position(*gone[:2], *(-part for part in gone[2:]))
        for gone in positions_gone(directory, rows)
    ]


def postings(directory: Directory, rows: pa.Table) -> list[Posting]:
    """Postings of payments that enter a cycle (P13): of positions by pair, then of what agencies
    have by it."""
    settled_by = {p.participant: p.settled_by for p in directory.participants}
    pairs: dict[tuple[str, str], int] = {}
    for row in summed(rows, ["debtor_agent", "participant"]):
        if row["debtor_agent"] != row["participant"]:
            pair = settled_by[row["debtor_agent"]], settled_by[row["participant"]]
            pairs[pair] = pairs.get(pair, 0) + row["amount_sum"]
    between = [
        Posting(accounts.FEE, accounts.position(payer), accounts.position(payee), sum_)
        for (payer, payee), sum_ in sorted(pairs.items())
        if payer != payee
    ]
    paid, back = (rows.filter(pc.equal(rows["back"], word)) for word in (False, True))
    books = [
        (accounts.customers_at(row["debtor_agent"]), accounts.fees(row["agency"]), row)
        for row in summed(paid, ["debtor_agent", "agency"])
    ]
    books += [
        (accounts.fees(row["agency"]), accounts.customers_at(row["participant"]), row)
        for row in summed(back, ["agency", "participant"])
    ]
    return between + [
        Posting(accounts.FEE, debit, credit, row["amount_sum"]) for debit, credit, row in books
    ]


def taken_back(directory: Directory, rows: pa.Table) -> list[Posting]:
    """Postings by which payments leave their cycle: the same, turned round (P7)."""
    return [
        Posting(accounts.REVERSAL, credit, debit, amount)
        for _, debit, credit, amount in postings(directory, rows)
    ]
