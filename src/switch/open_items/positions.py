"""Positions: what each participant pays and receives in a cycle, with its cap and its room."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from switch.home.days import times
from switch.home.store import Home
from switch.open_items.listing import (
    Choice,
    Listing,
    Words,
    listing,
    participants,
    require_known,
)
from switch.registry.directory import Directory
from switch.settlement.accounts import held
from switch.settlement.standing import Standing

POSITION = pa.schema(
    [
        ("cycle", pa.string()),
        ("state", pa.string()),
        ("participant", pa.string()),
        ("short_name", pa.string()),
        ("debit_sum", pa.int64()),
        ("credit_sum", pa.int64()),
        ("net", pa.int64()),
        ("cap", pa.int64()),
        ("room", pa.int64()),
        ("balance", pa.int64()),
    ]
)
"""A settlement participant in a cycle: payouts, returns and fees together. cap: the most that it
may owe there, null where nothing limits it. room: what it may still owe, of a cycle that has not
settled; null where nothing limits it. balance: of its settlement account now."""


def positions(
    home: Home,
    *,
    cycle: Words = None,
    participant: Words = None,
    state: Words = None,
    limit: int | None = None,
) -> Listing:
    """Positions of cycles, the newest cycle first, in it who pays most (`Watch.positions`)."""
    rows = _rows(home)
    require_known("cycle", cycle, {row["cycle"] for row in rows})
    require_known("participant", participant, participants(home))
    require_known("state", state, {row["state"] for row in rows})
    choice = Choice(
        {"cycle": cycle, "participant": participant, "state": state},
        {},
        [("place", "descending"), ("net", "ascending"), ("participant", "ascending")],
        limit,
        ("place",),
    )
    schema = POSITION.append(pa.field("place", pa.int64()))
    table = pa.Table.from_pylist(rows, schema)
    return listing(home, "positions", times(home).now, table, choice, "net", "cycle")


def _rows(home: Home) -> list[dict[str, Any]]:
    directory = Directory.of_json(home.catalog.meta("directory").encode())
    known = {one.participant: one for one in directory.participants}
    standing = Standing(home, directory)
    states = {row.cycle: row.state for row in home.catalog.cycles()}
    states |= {b.cycle: "SETTLED" for b in home.catalog.batches() if b.cycle not in states}
    rows = []
    for place, (cycle, state) in enumerate(states.items()):
        rooms = standing.rooms(cycle) if cycle in standing.nets else {}
        sums: dict[str, list[int]] = {}
        for row in home.catalog.positions(cycle):
            both = sums.setdefault(row.settled_by, [0, 0])
            both[0] += row.debit_sum
            both[1] += row.credit_sum
        for code, (debit, credit) in sums.items():
            one = known.get(code)
            rows.append(
                {
                    "cycle": cycle,
                    "state": state,
                    "participant": code,
                    "short_name": one.short_name if one else "",
                    "debit_sum": debit,
                    "credit_sum": credit,
                    "net": credit - debit,
                    "cap": one.net_debit_cap if one else None,
                    "room": rooms.get(code),
                    "balance": held(standing.balances, code),
                    "place": place,
                }
            )
    return rows
