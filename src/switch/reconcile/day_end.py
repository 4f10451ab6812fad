"""Day end: everything is held against everything, what is done is closed, and the day is signed.

A day is one commit like that of answers, with a statement for each receiver and the totals of the
treasury, the switch, the State Bank and the receivers beside it. They have to tie, or nothing is
signed.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from switch.files.segment import read_table, write_table
from switch.home.history import moved_lines, queue_of
from switch.home.store import Home
from switch.home.times import day_of
from switch.reconcile.line_states import OPEN, State, Verdicts
from switch.reconcile.take_in import TakingIn
from switch.registry.directory import Directory, Settings
from switch.settlement.booking import BACK
from switch.settlement.cycle import Statements

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
_CALENDAR = "SELECT cycle FROM cycles"
PENDING = "SELECT 1 FROM cycles WHERE cycle = ? AND state != 'SETTLED'"


class DayEnd(TakingIn):
    """The end of a day. It is signed once, and again where something happened since."""

    kind = "day"

    def is_due(self) -> bool:
        (row,) = self.home.rows("SELECT kind FROM audit ORDER BY seq DESC LIMIT 1")
        if row["kind"] != self.kind:
            return True
        return bool(self.known[-1].detail["answer"]["as_of"] != str(self.as_of))

    def sign(
        self, draft: Path, verdicts: Verdicts, returned: Any, balances: dict[str, int]
    ) -> tuple[dict[str, Any], Statements]:
        states = verdicts.states()
        self.later, slips = self._later()
        lines = _by_receiver(verdicts, states)
        later = pa.array(self.later, pa.uint32())
        lines = lines.filter(pc.invert(pc.is_in(lines["batch"], later)))
        (draft / "statements").mkdir(mode=0o700)
        for code in pc.unique(lines["participant"]).to_pylist():
            mine = lines.filter(pc.equal(lines["participant"], code)).select(STATEMENT.names)
            write_table(draft / "statements" / f"{code}.parquet", mine.cast(STATEMENT))
        totals = self._totals(lines, returned, balances)
        closed = self._closed(verdicts, states, returned)
        statements: Statements = [
            ("UPDATE batches SET state = 'CLOSED' WHERE seq = ?", (seq,)) for seq in closed
        ]
        signed = {"closed": closed, "later": self.later, "totals": totals}
        return signed | ({"slips": slips} if slips else {}), statements

    def _later(self) -> tuple[list[int], list[int]]:
        """Batches of later days, of which this one signs nothing, and such as it does sign, though
        they were recorded on later ones: their time does not count."""
        rows = self.home.rows("SELECT seq, at, value_date FROM batches ORDER BY seq")
        rows = [row for row in rows if day_of(row["at"]) > self.as_of]
        later = [row["seq"] for row in rows if self.times.day_of_batch(row) > self.as_of]
        return later, [row["seq"] for row in rows if row["seq"] not in later]

    def _later_cycles(self) -> set[str]:
        """Cycles that settled on later days."""
        ended = self.home.rows("SELECT cycle, at, closes FROM cycles WHERE state = 'SETTLED'")
        found = {row["cycle"] for row in ended if self.times.day_of_cycle(row) > self.as_of}
        ours = self.home.rows(f"SELECT * FROM batches WHERE cycle NOT IN ({_CALENDAR})")
        found |= {row["cycle"] for row in ours if self.times.day_of_batch(row) > self.as_of}
        alone = [folder for folder in self.known if "request" in folder.detail]
        alone = [folder for folder in alone if folder.detail["cycle"] not in self.times.slips]
        return found | {f.detail["cycle"] for f in alone if day_of(f.at) > self.as_of}

    def _totals(self, lines: Any, returned: Any, balances: dict[str, int]) -> dict[str, Any]:
        """What the treasury, the switch, the State Bank and the receivers have in their books, of
        batches that are not closed. Raises AssertionError where they do not tie."""
        runs = [
            row["seq"]
            for row in self.home.rows("SELECT seq FROM batches WHERE state != 'CLOSED'")
            if row["seq"] not in self.later
        ]
        after = self._later_cycles()
        lines = lines.filter(pc.is_in(lines["batch"], pa.array(runs, pa.uint32())))
        sums = {state.name: 0 for state in State if state is not State.NOT_SENT}
        for row in lines.group_by("state").aggregate([("amount", "sum")]).to_pylist():
            sums[row["state"]] = row["amount_sum"]
        came = [moved_lines(self.home, folder, "returned") for folder in self.known]
        gone = [moved_lines(self.home, folder, "disposed") for folder in self.known]
        books = {
            "payable": sum(balances.get(f"T.PAYABLE[{run:06d}]", 0) for run in runs),
            "returns": balances.get(BACK, 0),
            "asked": self._asked(after),
        }
        told = {
            "payable": sum(sums[state.name] for state in STANDING),
            "returns": _sum(returned) + sum(map(_sum, came)) - sum(map(_sum, gone)),
            "asked": self._moved(after),
        }
        assert books == told, f"totals do not tie: {books} and {told}"
        return {name: str(sum_) for name, sum_ in {**books, **sums}.items()}

    def _asked(self, after: set[str]) -> int:
        """Dong that settled cycles were to bring to receivers: by their answers, or requests where
        there is no calendar. after: cycles of later days."""
        sum_ = 0
        for row in self.home.rows("SELECT cycle, answer FROM cycles WHERE state = 'SETTLED'"):
            if row["cycle"] in after:
                continue
            sides = msgspec.json.decode(row["answer"])["participants"]
            sum_ += sum(int(side["amount"]) for side in sides if side["side"] == "credit")
        return sum_ + sum(int(request["sum"]) for request in self._at_once(after))

    def _at_once(self, after: set[str]) -> list[dict[str, Any]]:
        return [asked for asked in self.requests_at_once() if asked["cycle"] not in after]

    def _moved(self, after: set[str]) -> int:
        """Dong that left clearing accounts. after: cycles of later days."""
        query = "SELECT cycle, sum(amount) AS sum FROM postings WHERE step = 'P4' AND debit"
        rows = self.home.rows(query + " LIKE 'S.CLEARING[%' GROUP BY cycle")
        return sum(row["sum"] for row in rows if row["cycle"] not in after)

    def _closed(self, verdicts: Verdicts, states: Any, returned: Any) -> list[int]:
        """Batches that are done with: no line waits, is unanswered, or is on its way back; nor is
        one of those whose runs cleared their lines open."""
        lines = verdicts.lines
        open_lines = np.isin(states, OPEN)
        coming = [
            moved_lines(self.home, folder, "returned")
            for folder in self.known
            if self.home.rows(PENDING, folder.detail.get("cycle"))
        ]
        for table in (*coming, *([returned] if self.has_calendar else [])):
            mine = table.filter(pc.is_in(table["batch"], pa.array(lines.batches, pa.uint32())))
            open_lines[lines.at(mine["batch"], mine["line_no"])] = True
        origin = lines.batch()
        queue = queue_of(self.home)
        unfinished = set(np.unique(origin[open_lines]).tolist())
        if queue is not None:
            held = read_table(self.home.path / queue[0], columns=["batch"])["batch"]
            unfinished |= set(pc.unique(held).to_pylist())
        rows = self.home.rows("SELECT seq, state FROM batches")
        closed = {row["seq"] for row in rows if row["state"] == "CLOSED"}
        due = {row["seq"] for row in rows if row["state"] in ("SETTLED", "HELD")} - unfinished
        due -= set(self.later)
        sent = lines.sent()
        pairs = np.unique(origin[sent].astype(np.int64) << 32 | lines.run[sent])
        while True:
            stays = {int(p) >> 32 for p in pairs if (int(p) & 0xFFFFFFFF) not in due | closed}
            if not stays & due:
                return sorted(due)
            due -= stays


def _sum(table: Any) -> int:
    return int(pc.sum(table["amount"]).as_py() or 0)


def _by_receiver(verdicts: Verdicts, states: Any) -> Any:
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
    home: Home, directory: Directory, settings: Settings, *, at: str, far: bool = False
) -> dict[str, Any]:
    """End a day: hold everything against everything at that time, age breaks, write a statement for
    each receiver, tie the totals, close batches that are done with, and sign. Returns the answer; a
    day that was signed, and in which nothing happened since, is answered from what was stored."""
    task = DayEnd(home, directory, settings, None, at, far)
    answer = task.carry_out([], None, False)
    if answer["number"]:
        return answer
    last = task.known[-1]
    detail = last.detail
    # A day that was signed before batches of later days were told apart does not name them.
    names = ("closed", "later", "totals", "slips")
    signed = {name: detail[name] for name in names if name in detail}
    return {"number": last.number, **detail["answer"], **signed}
