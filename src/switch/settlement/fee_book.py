"""Fee book: agencies, bills and payments of a home, and where the money of each payment stands.

Nothing of it is kept but what commits of bills and payments wrote: a payment is paid once for ever,
and stands in the cycle that it entered last. Where that was aborted, or recast and the payment was
a defaulter's, it waits, until it enters the next one or somebody withdraws it. A payment is named
by its bank and its id there; here by the commit that took it and its row there. Columns: FEE_MOVED,
whose sides are named as those of a line.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from switch.files.file_schemas import BILL, FEE, FEE_MOVED
from switch.files.segment import read_table
from switch.home.history import (
    ABORTED,
    BILLS,
    PAYMENTS,
    REFUND,
    WITHDRAWAL,
    FeeFolder,
    fee_folders,
)
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
_TAKEN = pa.schema(
    [*FEE, ("taken_in", pa.uint32()), ("row", pa.uint32()), ("withdrawn", pa.bool_())]
)


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
    tables = [table for _, table in _tables(home, BILLS, "bills", BILL)]
    return pa.concat_tables([BILL.empty_table(), *tables]).combine_chunks()


def payments(home: Home) -> pa.Table:
    """All payments that were taken, with what names each (taken_in, row), and whether it was
    withdrawn: a table of FEE and these three."""
    parts = [_TAKEN.empty_table()]
    for number, table in _tables(home, PAYMENTS, "payments", FEE):
        at = pa.array(np.full(len(table), number, np.uint32))
        row = pa.array(np.arange(1, len(table) + 1, dtype=np.uint32))
        table = table.append_column("taken_in", at).append_column("row", row)
        parts.append(table.filter(pc.equal(table["reason_number"], 0)))
    rows = pa.concat_tables([part.select(_TAKEN.names[:-1]) for part in parts]).combine_chunks()
    gone = pc.is_in(names_of(rows), value_set=withdrawn(home))
    return rows.append_column("withdrawn", gone)


def _tables(home: Home, kind: str, name: str, schema: pa.Schema) -> Iterator[tuple[int, pa.Table]]:
    """(number, table) of all commits of a kind, oldest first."""
    for folder in fee_folders(home):
        if folder.kind == kind:
            yield folder.number, read_table(_proven(home, folder, name)).cast(schema)


def names_of(rows: pa.Table) -> pa.UInt64Array:
    """The name of each payment, or refund, of a table that has taken_in and row: a number."""
    taken_in, row = (np.asarray(rows[name], np.uint64) for name in ("taken_in", "row"))
    return pa.array(taken_in << np.uint64(32) | row)


def withdrawn(home: Home) -> pa.UInt64Array:
    """Names of payments and refunds that were withdrawn."""
    details = (msgspec.json.decode(r.detail) for r in home.catalog.audit.records(WITHDRAWAL))
    return pa.array([one["taken_in"] << 32 | one["row"] for one in details], pa.uint64())


class Refund(NamedTuple):
    """A refund, and the payment that it is of: what names it, its bank and its id."""

    folder: FeeFolder
    taken_in: int
    row: int
    bank: str
    payment_id: str


def refunds(home: Home) -> list[Refund]:
    """All refunds, oldest first. Records of before name no bank: an id was of one then."""
    done = [folder for folder in fee_folders(home) if folder.kind == REFUND]
    if not done:
        return []
    names = ("payment_id", "participant", "taken_in", "row")
    columns = [payments(home)[name].to_pylist() for name in names]
    known: dict[str, list[tuple[str, int, int]]] = {}
    for payment_id, *name in zip(*columns, strict=True):
        known.setdefault(payment_id, []).append((name[0], name[1], name[2]))
    found = []
    for folder in done:
        payment_id, bank = folder.detail["payment_id"], folder.detail.get("bank")
        code, taken_in, row = next(
            one
            for one in known[payment_id]
            if one[0] == bank or (bank is None and one[1] < folder.number)
        )
        found.append(Refund(folder, taken_in, row, code, payment_id))
    return found


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
    """Payments that were taken, and whose cycle they left, but for those that were withdrawn:
    oldest first, as `moved` has them."""
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
    last, names = last_moved(home), names_of(gone)
    at = np.asarray(pc.index_in(names, value_set=names_of(last)))
    mine = np.asarray(last["number"])[at] == np.asarray(gone["number"])
    mine &= ~np.asarray(pc.is_in(names, value_set=withdrawn(home)))
    order = [("taken_in", "ascending"), ("row", "ascending")]
    return gone.filter(pa.array(mine)).sort_by(order).combine_chunks()


def last_moved(home: Home) -> pa.Table:
    """Payments and refunds, each as it entered a cycle last: as `moved` has them."""
    keys, rows = ["taken_in", "row"], moved(home)
    last = rows.group_by(keys).aggregate([("number", "max")])
    last = last.rename_columns({"number_max": "number"})
    return rows.join(last, [*keys, "number"], join_type="inner").combine_chunks()


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
