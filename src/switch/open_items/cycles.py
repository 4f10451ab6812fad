"""Cycles: each with its times, lines and money, and what it waits for."""

from __future__ import annotations

from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from switch.home.days import times
from switch.home.history import SETTLED, fee_folders, folders, moved_lines, recasts, went_back
from switch.home.rows import BatchRow, CycleRow
from switch.home.store import Home
from switch.home.times import local_text
from switch.open_items.listing import Choice, Listing, Words, batch_names, listing, require_known
from switch.registry.directory import Directory
from switch.results import StoredSummary, Total
from switch.settlement.fee_standing import in_cycles
from switch.settlement.standing import Standing

NONE: Total = {"count": 0, "sum": 0}
STATES = ("OPEN", "CLOSED", "SETTLED", "ABORTED")
_TEXT, _MONEY = pa.string(), pa.int64()
CYCLE = pa.schema(
    [
        ("cycle", _TEXT),
        ("state", _TEXT),
        ("rule", _TEXT),
        ("opened_at", _TEXT),
        ("closes", _TEXT),
        ("ended_at", _TEXT),
        ("batches", pa.int64()),
        ("lines", pa.int64()),
        ("sum", _MONEY),
        ("went_back_lines", pa.int64()),
        ("went_back_sum", _MONEY),
        ("returned_lines", pa.int64()),
        ("returned_sum", _MONEY),
        ("fees", pa.int64()),
        ("fees_sum", _MONEY),
        ("waits", _TEXT),
        ("batch_ids", _TEXT),
    ]
)
"""A cycle. opened_at: time of its first batch; closes: its cut-off; lines, sum: of what stands in
it now. went_back: lines that a recast, an abort or their receivers took out of it. returned: lines
of other cycles whose money comes back through it. fees: payments of fees, and refunds, that stand
in it. rule: by which it ended (recast, share, abort; ''
for none). waits: in words, '' where it has ended. batch_ids: with a blank between them."""


def cycles(home: Home, *, state: Words = None, limit: int | None = None) -> Listing:
    """All cycles, oldest first (`Engine.cycles`)."""
    require_known("state", state, STATES)
    rows = pa.Table.from_pylist(_rows(home), CYCLE)
    rows = rows.append_column("place", pa.array(range(len(rows)), pa.int64()))
    choice = Choice({"state": state}, {}, [("place", "ascending")], limit, ("place",))
    return listing(home, "cycles", times(home).now, rows, choice, "sum", "state")


def _rows(home: Home) -> list[dict[str, Any]]:
    """Cycles in the order of their opening: those of the calendar, and those that batches and
    returns have of their own where there is none."""
    of: dict[str, list[BatchRow]] = {}
    for batch in home.catalog.batches():
        of.setdefault(batch.cycle, []).append(batch)
    calendar = {row.cycle: row for row in home.catalog.cycles()}
    back = {f.detail.cycle: f.at for f in folders(home) if f.detail.cycle}
    names = batch_names(home)
    standing = Standing(home, Directory.of_json(home.catalog.meta("directory").encode()))
    moved = _Moved(home)
    rows = []
    fees, paid = in_cycles(home), dict[str, str]()
    for folder in fee_folders(home):
        paid.setdefault(folder.detail.get("cycle", ""), folder.at)
    paid.pop("", None)
    opened = {cycle: batches[0].at for cycle, batches in of.items()}
    for cycle in {**calendar, **back, **paid}:
        opened.setdefault(cycle, back.get(cycle, "") or paid.get(cycle, ""))
    for cycle in sorted(opened, key=lambda c: local_text(opened[c] or calendar[c].closes)):
        batches, row = of.get(cycle, []), calendar.get(cycle)
        count, money = moved.cleared(home, batches)
        gone, gone_sum = moved.gone.get(cycle, (0, 0))
        came, came_sum = moved.came.get(cycle, (0, 0))
        at = opened[cycle]
        rows.append(
            {
                "cycle": cycle,
                **(_at_once(batches, at) if row is None else _of_calendar(standing, row)),
                "opened_at": at,
                "batches": len(batches),
                "lines": count - gone,
                "sum": money - gone_sum,
                "went_back_lines": gone,
                "went_back_sum": gone_sum,
                "returned_lines": came,
                "returned_sum": came_sum,
                "fees": fees.get(cycle, NONE)["count"],
                "fees_sum": fees.get(cycle, NONE)["sum"],
                "batch_ids": " ".join(names[batch.seq] for batch in batches),
            }
        )
    return rows


def _at_once(batches: list[BatchRow], at: str) -> dict[str, Any]:
    """A cycle that settled in the commit that made it."""
    assert all(batch.state in SETTLED for batch in batches), "a batch without a calendar settles"
    return {"state": "SETTLED", "rule": "", "closes": None, "ended_at": at, "waits": ""}


def _of_calendar(standing: Standing, row: CycleRow) -> dict[str, Any]:
    ended = bool(row.answer)
    return {
        "state": row.state,
        "rule": msgspec.json.decode(row.answer)["rule"] if ended else "",
        "closes": row.closes,
        "ended_at": row.at if ended else None,
        "waits": "" if ended else _waits(standing, row),
    }


def _waits(standing: Standing, row: CycleRow) -> str:
    if row.state == "OPEN":
        return f"its cut-off, {local_text(row.closes)}"
    short = standing.short(row.cycle, standing.nets_of(row.cycle))
    if not short:
        return "its settlement"
    return "funds: " + ", ".join(f"{code} lacks {sum_:,}" for code, sum_ in short.items())


class _Moved:
    """Lines and money that left cycles after they had cleared, or come back through them."""

    def __init__(self, home: Home) -> None:
        self.gone: dict[str, tuple[int, int]] = {}
        self.came: dict[str, tuple[int, int]] = {}
        for recast in recasts(home):
            _add(self.gone, recast.cycle, went_back(home, recast))
        cycle_of = {batch.seq: batch.cycle for batch in home.catalog.batches()}
        for folder in folders(home):
            refused = moved_lines(home, folder, "refused")
            for seq in pc.unique(refused["cleared_in"]).to_pylist():
                mine = refused.filter(pc.equal(refused["cleared_in"], seq))
                _add(self.gone, cycle_of[seq], mine)
            if folder.detail.cycle:
                _add(self.came, folder.detail.cycle, moved_lines(home, folder, "returned"))

    @staticmethod
    def cleared(home: Home, batches: list[BatchRow]) -> tuple[int, int]:
        """Lines and money that runs cleared, their own and such as had waited."""
        count = money = 0
        for batch in batches:
            stored: StoredSummary = msgspec.json.decode(home.catalog.summary(batch.seq))
            for part in (stored, stored["represented"]):
                count += part["cleared"]["count"] if part else 0
                money += part["cleared"]["sum"] if part else 0
        return count, money


def _add(sums: dict[str, tuple[int, int]], cycle: str, lines: pa.Table) -> None:
    count, money = sums.get(cycle, (0, 0))
    sums[cycle] = count + len(lines), money + sum(lines["amount"].to_pylist())
