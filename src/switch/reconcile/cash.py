"""Cash: lines that pay points pay over a counter, listed for them, and asked back where nobody
proved in time that they were paid.

A pay point is an account at a participant of the kind `cash`: a post office, a commune. A line to
it takes the road of every other line: it clears, its money is settled with that participant, a
confirmation proves that it was paid, a return brings the money back. IN: clearing files of such
participants, and all that was said of their lines. OUT: lists for pay points, with totals that add
up; and the lines that are beyond their deadline (the setting cash_days).
"""

from __future__ import annotations

import datetime
from collections.abc import Collection
from pathlib import Path
from typing import NamedTuple, TypedDict
from urllib.parse import quote

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from switch.errors import UsageError
from switch.files.disk import landing
from switch.files.exports import ENDINGS
from switch.files.segment import Groups, segment_at
from switch.home.batch import batch_row
from switch.home.days import times
from switch.home.history import folders
from switch.home.rows import BatchRow
from switch.home.store import Home
from switch.home.times import day_of
from switch.reconcile import take_in
from switch.reconcile.line_states import State, Verdicts
from switch.reconcile.sent_lines import SentLines, day_of_cycle, text_of, together
from switch.registry.directory import Directory
from switch.registry.settings import Settings
from switch.results import Total
from switch.schema import CASH
from switch.settlement import setup

LEFT = (State.SETTLED, State.UNAPPLIED)
"""States of lines that are to be paid over the counter: their money is there."""
STANDS = ("to_pay", "paid", "back", "waits")
LIST = pa.schema(
    [
        ("transfer_id", pa.string()),
        ("creditor_name", pa.string()),
        ("amount", pa.int64()),
        ("purpose", pa.string()),
        ("period", pa.int32()),
    ]
)
"""A list of a pay point: nobody's id stands there."""


class PointSums(TypedDict):
    """Lines of a run that went to pay points, by where they stand; all together are sent."""

    sent: Total
    to_pay: Total
    """Settled, and neither proven nor asked back: they stand on the lists."""
    paid: Total
    """Proven (CASH_PAID)."""
    back: Total
    """Returned, refused, recalled, or asked back at their deadline."""
    waits: Total
    """Their cycle has not settled: nobody may pay them yet."""


class CashPoint(PointSums):
    """A pay point: its participant, its account there, and its list below the out folder."""

    participant: str
    point: str
    file: str


class CashLists(PointSums):
    """Lists of the pay points of a run."""

    batch_id: str
    as_of: str
    until: str | None
    """The last day on which a line may be proven; null where there is no deadline."""
    points: list[CashPoint]
    file: str
    """The totals, a row a pay point."""


class Left(NamedTuple):
    """Lines that are to be paid over a counter: (batch, line number), amounts, and the day of each
    cycle."""

    lines: list[tuple[int, int]]
    amounts: NDArray[np.int64]
    days: NDArray[np.int32]


def payers(directory: Directory) -> set[str]:
    """Codes of participants that pay over a counter."""
    return {p.participant for p in directory.participants if p.kind == CASH}


def left(home: Home, directory: Directory, day: datetime.date) -> Left:
    """All lines of a home that are to be paid over a counter, as of a day, oldest batch first."""
    batches = {row.seq for row in home.catalog.batches() if row.state != "CLOSED"}
    mine = payers(directory)
    if not mine or not batches:
        return Left([], np.empty(0, np.int64), np.empty(0, np.int32))
    verdicts = _judged(home, batches, day)
    lines = verdicts.lines
    ours = np.array([n for n, code in enumerate(lines.codes) if code in mine], np.uint16)
    chosen = np.isin(lines.participant, ours) & _to_pay(verdicts)
    batch = lines.batch()
    first = np.searchsorted(batch, batch)  # The place of the first line of each line's batch.
    number = np.arange(len(lines)) - first + 1
    named = zip(batch[chosen].tolist(), number[chosen].tolist(), strict=True)
    return Left(list(named), lines.amount[chosen], lines.day()[chosen])


def overdue(
    home: Home, directory: Directory, settings: Settings, day: datetime.date
) -> list[tuple[str, int]]:
    """Lines, (batch, line number), that were to be paid over a counter and whose deadline lies
    before a day."""
    if not settings.cash_days:
        return []
    found = left(home, directory, day)
    late = (day - datetime.date(1970, 1, 1)).days - found.days > settings.cash_days
    names = {row.seq: f"{row.source}:{row.batch_id}" for row in home.catalog.batches()}
    lines = zip(found.lines, late.tolist(), strict=True)
    return [(names[seq], number) for (seq, number), is_late in lines if is_late]


def write_lists(home: Home, batch: str | None, out: Path) -> CashLists:
    """Write the lists of the pay points of a run (`Engine.cash`). Returns what they come to."""
    directory, settings = setup.chosen(home)
    rows = home.catalog.batches()
    if not rows:
        raise UsageError(f"{home.path} has no batch yet")
    row = batch_row(home, batch) if batch else rows[-1]
    day = day_of(times(home).now)
    lines = _sent(home, row, payers(directory), day)
    name = f"{home.catalog.out_name(row.batch_id, row.seq)}/cash"
    points: list[CashPoint] = []
    keys = lines.group_by(["participant", "creditor_account"]).aggregate([]).to_pylist()
    for key in sorted(keys, key=lambda key: (key["participant"], key["creditor_account"])):
        code, point = key["participant"], key["creditor_account"]
        mine = lines.filter(
            pc.and_(
                pc.equal(lines["participant"], code), pc.equal(lines["creditor_account"], point)
            )
        )
        file = f"{name}/{code}/{quote(point, safe='')}.csv"
        listed = mine.filter(pc.equal(mine["stands"], "to_pay")).select(LIST.names).cast(LIST)
        with landing(out, file) as target:
            ENDINGS[".csv"](listed, target)
        points.append({"participant": code, "point": point, "file": file, **_sums(mine)})
    total = f"{name}/totals.csv"
    with landing(out, total) as target:
        ENDINGS[".csv"](_totals(points), target)
    until = day_of_cycle(row.cycle) + datetime.timedelta(days=settings.cash_days or 0)
    return {
        "batch_id": row.batch_id,
        "as_of": str(day),
        "until": str(until) if settings.cash_days else None,
        **_sums(lines),
        "points": points,
        "file": total,
    }


def _judged(home: Home, batches: Collection[int], day: datetime.date) -> Verdicts:
    known = folders(home)
    lines = SentLines(home, together(home, batches))
    said, booked = take_in.taken_in(home, known, lines)
    said.close()
    return Verdicts(said, booked, take_in.rules_of(known), day)


def _to_pay(verdicts: Verdicts) -> NDArray[np.bool_]:
    found: NDArray[np.bool_] = np.isin(verdicts.states(), LEFT) & ~verdicts.asked
    return found


def _sent(home: Home, row: BatchRow, codes: Collection[str], day: datetime.date) -> pa.Table:
    """Lines that a run sent to pay points, as in its clearing files, with participant and where
    they stand (a word of STANDS)."""
    verdicts = _judged(home, {row.seq}, day)
    state, to_pay = verdicts.states(), _to_pay(verdicts)
    words = np.full(len(state), "back", object)
    words[to_pay] = "to_pay"
    words[(state == State.CREDITED) & ~verdicts.open_recalls()] = "paid"
    words[state == State.CLEARED] = "waits"
    folder = home.folder("batches", row.seq)
    names = [*LIST.names, "creditor_account"]
    more = {"participant": pa.string(), "stands": pa.string()}
    empty = pa.schema([*LIST, ("creditor_account", pa.string()), *more.items()]).empty_table()
    parts = [empty]
    for name in sorted(home.digests(folder)):
        code = Path(name).stem
        if not name.startswith("clearing/") or code not in codes:
            continue
        groups = Groups(home.proven(segment_at(folder / "clearing", code)))
        for number in range(len(groups)):
            table = groups.read(number, names).select(names)
            place = verdicts.lines.places(text_of(table["transfer_id"]))
            # What was sent back and cleared again stands in the list of another run.
            stands = np.where(verdicts.lines.run[place] == row.seq, words[place], "back")
            table = table.append_column("participant", pa.array([code] * len(table)))
            table = table.append_column("stands", pa.array(stands, pa.string()))
            parts.append(table.cast(empty.schema))
    return pa.concat_tables(parts).combine_chunks()


def _sums(lines: pa.Table) -> PointSums:
    def total(word: str = "") -> Total:
        mine = lines.filter(pc.equal(lines["stands"], word)) if word else lines
        return {"count": len(mine), "sum": sum(mine["amount"].to_pylist())}

    return {
        "sent": total(),
        "to_pay": total("to_pay"),
        "paid": total("paid"),
        "back": total("back"),
        "waits": total("waits"),
    }


def _totals(points: list[CashPoint]) -> pa.Table:
    """Rows of totals.csv: sent = to_pay + paid + back + waits, in lines and in money."""
    columns: dict[str, list[object]] = {
        "participant": [point["participant"] for point in points],
        "point": [point["point"] for point in points],
    }
    for word in ("sent", *STANDS):
        totals: list[Total] = [point[word] for point in points]  # type: ignore[literal-required]
        columns[f"{word}_count"] = [total["count"] for total in totals]
        columns[f"{word}_sum"] = [total["sum"] for total in totals]
    types = [pa.string(), pa.string(), *[pa.int64()] * (len(columns) - 2)]
    return pa.table(
        [pa.array(column, kind) for column, kind in zip(columns.values(), types, strict=True)],
        names=list(columns),
    )
