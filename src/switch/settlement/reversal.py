"""Reversal: a clearing is taken back, in the books, in positions and in entitlements.

Columns IN: lines that went back (WENT_BACK): those of a recast or an abort, those that a receiver
refused, and those whose money it returned.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from switch.home import paid_bits
from switch.home.store import Home
from switch.registry.directory import Directory
from switch.results import FiledTotal
from switch.settlement import accounts
from switch.settlement.accounts import REVERSAL
from switch.settlement.netting import Position
from switch.settlement.postings import Posting


def free(home: Home, draft: Path, went: pa.Table) -> dict[tuple[str, int], str]:
    """Paid bits without those of lines that went back: their entitlements are free again."""
    names = {}
    keys = went.group_by(["benefit", "period"]).aggregate([])
    keys = keys.sort_by([("benefit", "ascending"), ("period", "ascending")])
    taken = home.paid_files("cleared")
    for number, key in enumerate(keys.to_pylist()):
        benefit, period = key["benefit"], key["period"]
        words = paid_bits.read(*taken[benefit, period])
        bits = np.unpackbits(words.view(np.uint8), bitorder="little")
        mine = pc.and_(pc.equal(went["benefit"], benefit), pc.equal(went["period"], period))
        rows = np.asarray(went["row"].filter(mine))
        assert bits[rows].all(), "an entitlement is not taken"
        assert len(np.unique(rows)) == len(rows), "an entitlement was taken twice"
        bits[rows] = 0
        name = names[benefit, period] = f"paid-{number:04d}.bits"
        paid_bits.write(draft / name, np.packbits(bits, bitorder="little").view("<u8"))
    return names


def positions_gone(directory: Directory, went: pa.Table) -> list[Position]:
    """Positions that take the lines out again, by participant."""
    settled_by = {p.participant: p.settled_by for p in directory.participants}
    sums: dict[str, list[int]] = {}
    for row in summed(went, ["debtor_agent", "participant"]):
        if row["participant"] == row["debtor_agent"]:
            continue  # An on-us line enters no position.
        for code, first in ((row["participant"], 0), (row["debtor_agent"], 2)):
            mine = sums.setdefault(code, [0, 0, 0, 0])
            mine[first] -= row["count_all"]
            mine[first + 1] -= row["amount_sum"]
    return [
        Position(code, settled_by[code], paid, credit, owing, debit, credit - debit)
        for code, (paid, credit, owing, debit) in sorted(sums.items())
    ]


def reversals(directory: Directory, went: pa.Table) -> list[Posting]:
    """Postings that take back the clearing of lines (went: a table of WENT_BACK): of positions by
    pair (P3), of payments within one participant (P12), then of what batches owe (P1)."""
    settled_by = {p.participant: p.settled_by for p in directory.participants}
    pairs: dict[tuple[str, str], int] = {}
    on_us: list[Posting] = []
    for row in summed(went, ["debtor_agent", "participant"]):
        agent, participant, sum_ = row["debtor_agent"], row["participant"], row["amount_sum"]
        if agent == participant:
            # Its lines enter no position, so that it may have left the directory since.
            sides = accounts.customers_at(agent), accounts.treasury_at(agent)
            on_us.append(Posting(REVERSAL, *sides, sum_))
            continue
        pair = settled_by[agent], settled_by[participant]
        if pair[0] != pair[1]:
            pairs[pair] = pairs.get(pair, 0) + sum_
    return [
        *(
            Posting(REVERSAL, accounts.position(payee), accounts.position(payer), sum_)
            for (payer, payee), sum_ in sorted(pairs.items())
        ),
        *on_us,
        *(
            Posting(
                REVERSAL,
                accounts.payable(row["cleared_in"]),
                accounts.expense(row["benefit"]),
                row["amount_sum"],
            )
            for row in summed(went, ["cleared_in", "benefit"])
        ),
    ]


def recalled(went: pa.Table) -> dict[str, FiledTotal]:
    """Count and sum of what each receiver must not credit."""
    return {
        row["participant"]: {"count": row["count_all"], "sum": str(row["amount_sum"])}
        for row in summed(went, ["participant"])
    }


def summed(went: pa.Table, keys: list[str]) -> list[dict[str, Any]]:
    """Counts and sums by keys, in their order."""
    grouped = went.group_by(keys).aggregate([("amount", "sum"), ([], "count_all")])
    rows: list[dict[str, Any]] = grouped.sort_by([(k, "ascending") for k in keys]).to_pylist()
    return rows
