"""Day end: everything is held against everything, what is done is closed, and the day is signed.

A day is one commit like that of answers, with a statement for each receiver and the totals of the
treasury, the switch, the State Bank and the receivers beside it. They have to tie, or nothing is
signed.
"""

from __future__ import annotations

from functools import partial
from typing import Any, cast

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from switch.files.segment import read_table, write_table
from switch.home.changes import Change, CloseBatch
from switch.home.history import moved_lines, queue_of
from switch.home.store import Home
from switch.home.times import day_of
from switch.reconcile import take_in
from switch.reconcile.line_states import OPEN, State, Verdicts
from switch.registry.directory import Directory
from switch.registry.settings import Settings
from switch.results import DaySigned
from switch.settlement import accounts
from switch.settlement.accounts import RETURNED

STATEMENT = pa.schema(
    [
        ("batch", pa.uint32()),
        ("cycle", pa.string()),
        ("state", pa.string()),
        ("count", pa.int64()),
        ("amount", pa.int64()),
    ]
)
"""A statement: lines sent to a receiver by batch (whose run cleared them) and state."""
STANDING = (State.CLEARED, State.SETTLED, State.UNAPPLIED, State.CREDITED)
"""Lines that the treasury owes, or has paid: they neither left their cycle nor came back."""
KIND = "day"
"""Kind of the audit record of a day."""


def is_due(before: take_in.Before) -> bool:
    """A day is signed once, and again where something happened since."""
    audit = before.home.catalog.audit
    if audit.record(audit.head()[0]).kind != KIND:
        return True
    return bool(before.known[-1].detail.answer["as_of"] != str(before.as_of))


def sign(
    before: take_in.Before, judged: take_in.Judged, returned: pa.Table, balances: dict[str, int]
) -> tuple[dict[str, Any], list[Change]]:
    """Statements of receivers, in the draft; what the audit record says of the day; and what closes
    batches. returned, balances: as `take_in.Extra` has them."""
    verdicts, draft = judged.verdicts, judged.draft
    states = verdicts.states()
    later, slips = _later(before)
    lines = _by_receiver(verdicts, states)
    lines = lines.filter(pc.invert(pc.is_in(lines["batch"], pa.array(later, pa.uint32()))))
    (draft / "statements").mkdir(mode=0o700)
    for code in pc.unique(lines["participant"]).to_pylist():
        mine = lines.filter(pc.equal(lines["participant"], code)).select(STATEMENT.names)
        write_table(draft / "statements" / f"{code}.parquet", mine.cast(STATEMENT))
    totals = _totals(before, lines, returned, balances, later)
    closed = _closed(before, verdicts, states, returned, later)
    signed = {"closed": closed, "later": later, "totals": totals}
    return signed | ({"slips": slips} if slips else {}), [CloseBatch(seq) for seq in closed]


def _later(before: take_in.Before) -> tuple[list[int], list[int]]:
    """Batches of later days, of which this one signs nothing, and such as it does sign, though they
    were recorded on later ones: their time does not count."""
    rows = [run for run in before.home.catalog.batches() if day_of(run.at) > before.as_of]
    later = [run.seq for run in rows if before.times.day_of_batch(run) > before.as_of]
    return later, [run.seq for run in rows if run.seq not in later]


def _later_cycles(before: take_in.Before) -> set[str]:
    """Cycles that settled on later days."""
    home, times, as_of = before.home, before.times, before.as_of
    cycles = home.catalog.cycles()
    ended = [cycle for cycle in cycles if cycle.state == "SETTLED"]
    found = {cycle.cycle for cycle in ended if times.day_of_cycle(cycle) > as_of}
    of_calendar = {cycle.cycle for cycle in cycles}
    ours = [run for run in home.catalog.batches() if run.cycle not in of_calendar]
    found |= {run.cycle for run in ours if times.day_of_batch(run) > as_of}
    alone = [folder for folder in before.known if folder.detail.request]
    alone = [folder for folder in alone if folder.detail.cycle not in times.slips]
    return found | {f.detail.cycle for f in alone if day_of(f.at) > as_of}


def _totals(
    before: take_in.Before,
    lines: pa.Table,
    returned: pa.Table,
    balances: dict[str, int],
    later: list[int],
) -> dict[str, str]:
    """Sums that the treasury, the switch, the State Bank and the receivers have in their books, of
    batches that are not closed. Raises AssertionError where they do not tie."""
    home = before.home
    runs = [
        run.seq for run in home.catalog.batches() if run.state != "CLOSED" and run.seq not in later
    ]
    after = _later_cycles(before)
    lines = lines.filter(pc.is_in(lines["batch"], pa.array(runs, pa.uint32())))
    sums = {state.name: 0 for state in State if state is not State.NOT_SENT}
    for row in lines.group_by("state").aggregate([("amount", "sum")]).to_pylist():
        sums[row["state"]] = row["amount_sum"]
    came = [moved_lines(home, folder, "returned") for folder in before.known]
    gone = [moved_lines(home, folder, "disposed") for folder in before.known]
    books = {
        "payable": sum(balances.get(accounts.payable(run), 0) for run in runs),
        "returns": balances.get(RETURNED, 0),
        "asked": _asked(before, after),
    }
    told = {
        "payable": sum(sums[state.name] for state in STANDING),
        "returns": _sum(returned) + sum(map(_sum, came)) - sum(map(_sum, gone)),
        "asked": _moved(before, after),
    }
    assert books == told, f"totals do not tie: {books} and {told}"
    return {name: str(sum_) for name, sum_ in {**books, **sums}.items()}


def _asked(before: take_in.Before, after: set[str]) -> int:
    """Dong that settled cycles were to bring to receivers: by their answers, or requests where
    there is no calendar. after: cycles of later days."""
    sum_ = 0
    for settled in before.home.catalog.cycles("SETTLED"):
        if settled.cycle in after:
            continue
        sides = msgspec.json.decode(settled.answer)["participants"]
        sum_ += sum(int(side["amount"]) for side in sides if side["side"] == "credit")
    asked = [
        request for request in take_in.requests_at_once(before) if request["cycle"] not in after
    ]
    return sum_ + sum(int(request["sum"]) for request in asked)


def _moved(before: take_in.Before, after: set[str]) -> int:
    """Dong that left clearing accounts. after: cycles of later days."""
    cleared = before.home.catalog.cleared_by_cycle()
    return sum(sum_ for cycle, sum_ in cleared.items() if cycle not in after)


def _closed(
    before: take_in.Before,
    verdicts: Verdicts,
    states: NDArray[np.uint8],
    returned: pa.Table,
    later: list[int],
) -> list[int]:
    """Batches that are done with: no line waits, is unanswered, or is on its way back; nor is one
    of those whose runs cleared their lines open."""
    home, lines = before.home, verdicts.lines
    open_lines = np.isin(states, OPEN) | verdicts.open_recalls()
    pending = {row.cycle for row in home.catalog.cycles() if row.state != "SETTLED"}
    coming = [
        moved_lines(home, folder, "returned")
        for folder in before.known
        if folder.detail.cycle in pending
    ]
    for table in (*coming, *([returned] if before.has_calendar else [])):
        mine = table.filter(pc.is_in(table["batch"], pa.array(lines.batches, pa.uint32())))
        open_lines[lines.at(mine["batch"], mine["line_no"])] = True
    origin = lines.batch()
    queue = queue_of(home)
    unfinished = set(np.unique(origin[open_lines]).tolist())
    if queue is not None:
        held = read_table(home.path / queue[0], columns=["batch"])["batch"]
        unfinished |= set(pc.unique(held).to_pylist())
    rows = home.catalog.batches()
    closed = {run.seq for run in rows if run.state == "CLOSED"}
    due = {run.seq for run in rows if run.state in ("SETTLED", "HELD")} - unfinished
    due -= set(later)
    sent = lines.sent()
    pairs = np.unique(origin[sent].astype(np.int64) << 32 | lines.run[sent])
    while True:
        stays = {int(p) >> 32 for p in pairs if (int(p) & 0xFFFFFFFF) not in due | closed}
        if not stays & due:
            return sorted(due)
        due -= stays


def _sum(table: pa.Table) -> int:
    return int(pc.sum(table["amount"]).as_py() or 0)


def _by_receiver(verdicts: Verdicts, states: NDArray[np.uint8]) -> pa.Table:
    """Counts and sums of lines by receiver, run and state, in this order."""
    lines = verdicts.lines
    sent = lines.sent()
    table = pa.table(
        {
            "code": lines.participant[sent],
            "batch": lines.run[sent],
            "number": states[sent],
            "money": lines.amount[sent],
        }
    )
    keys = ["code", "batch", "number"]
    grouped = table.group_by(keys).aggregate([("money", "sum"), ([], "count_all")])
    names = np.array([state.name for state in State], object)
    cycles = {run.seq: run.cycle for run in lines.runs}
    columns = {
        "participant": pa.array(lines.codes, pa.string()).take(grouped["code"]),
        "batch": grouped["batch"],
        "cycle": pa.array([cycles[seq] for seq in grouped["batch"].to_pylist()], pa.string()),
        "number": grouped["number"],
        "state": pa.array(names[np.asarray(grouped["number"])], pa.string()),
        "count": grouped["count_all"],
        "amount": grouped["money_sum"],
    }
    order = [(name, "ascending") for name in ("participant", "batch", "number")]
    return pa.table(columns).sort_by(order).combine_chunks()


def close(
    home: Home,
    directory: Directory,
    settings: Settings,
    *,
    at: str,
    far: bool = False,
    why: str | None = None,
) -> DaySigned:
    """End a day: hold everything against everything at that time, age breaks, write a statement for
    each receiver, tie the totals, close batches that are done with, and sign. Returns the answer; a
    day that was signed, and in which nothing happened since, is answered from what was stored."""
    before = take_in.prepare(home, directory, settings, at=at, far=far, why=why)
    extra = take_in.Extra(KIND, is_due(before), partial(sign, before))
    answer, _ = take_in.carry_out(before, take_in.AnswerFiles(), extra)
    if not answer["number"]:
        last = before.known[-1]
        answer = {"number": last.number, **last.signed()}
    totals = {name: int(sum_) for name, sum_ in answer["totals"].items()}
    return cast(DaySigned, {**take_in.told(answer), "totals": totals})
