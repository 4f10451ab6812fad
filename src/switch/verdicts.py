"""Verdicts: where lines stand by all that was said of them, and what does not fit.

Floor 4, above claims. IN: lines by place, and every record that was taken in (`Said`). OUT: the
state of each line, the lines that are refused or returned by it, and the breaks. All of it is a
function of the set of records, of the cycles that have settled, and of a day: neither the order in
which records came nor their files show.
"""

from __future__ import annotations

import datetime
from enum import IntEnum
from typing import Any, NamedTuple

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from switch import reconcile as rec
from switch.claims import BACK, ELSEWHERE, GROUPED, NEVER, REFUSED, Expected, text_of
from switch.reconcile import RECORD, Rules
from switch.reconcile.breaks import drifts
from switch.reconcile.records import DAY_US

CONFIRMATIONS, RETURNS, STATEMENT = "confirmations", "returns", "statement"
SETTLEMENT, TREASURY = "settlement", "treasury"
"""Sets that a statement is read as: what the State Bank moved, and what came back."""
NEVER_IN_TIME = -1
"""Days of a refusal that is late in any case: what was refused in time has left its cycle."""


class State(IntEnum):
    """Where a line stands once it was sent."""

    NOT_SENT = 0
    CLEARED = 1
    SETTLED = 2
    UNAPPLIED = 3
    CREDITED = 4
    RETURNED = 5
    REFUSED = 6


OPEN = (State.CLEARED, State.SETTLED, State.UNAPPLIED)


class Kept:
    """Records of one kind that are looked at one by one, each once.

    table: of RECORD; place i64: of their lines, or -1; fit: they fit their line; new: they were not
    taken in before.
    """

    def __init__(self) -> None:
        self._parts: list[Any] = []
        self.table = RECORD.empty_table()
        self.place: NDArray[np.int64] = np.empty(0, np.int64)
        self.fit: NDArray[np.bool_] = np.empty(0, bool)
        self.new: NDArray[np.bool_] = np.empty(0, bool)

    def add(self, table: Any, place: Any, fit: Any, new: bool) -> None:
        extra = {
            "_place": pa.array(place),
            "_fit": pa.array(fit),
            "_new": pa.array(np.full(len(table), new)),
        }
        for name, column in extra.items():
            table = table.append_column(name, column)
        self._parts.append(table)

    def close(self) -> None:
        """Put what was added in one table, each record once: the one that was there before."""
        if not self._parts:
            return
        whole = pa.concat_tables(self._parts).combine_chunks()
        rows = whole.append_column("_row", pa.array(np.arange(len(whole))))
        grouped = rows.group_by(RECORD.names, use_threads=False).aggregate([("_row", "min")])
        chosen = np.sort(np.asarray(grouped["_row_min"]))
        whole = whole.take(pa.array(chosen))
        self.table = whole.select(RECORD.names).cast(RECORD).combine_chunks()
        self.place = np.asarray(whole["_place"])
        self.fit = np.asarray(whole["_fit"])
        self.new = np.asarray(whole["_new"])


class Said:
    """Everything that was said of some lines, record by record as it is read."""

    def __init__(self, expected: Expected) -> None:
        self.expected = expected
        self.kept = {kind: Kept() for kind in (CONFIRMATIONS, RETURNS, STATEMENT)}

    def hear(self, kind: str, table: Any, *, new: bool) -> Any:
        """Take in records (a table of RECORD). Returns those of them that are new for certain and
        clean; what else is new stands in `kept`."""
        if kind == STATEMENT:
            nowhere = np.full(len(table), -1, np.int64)
            self.kept[kind].add(table, nowhere, nowhere >= 0, new)
            return RECORD.empty_table()
        place = self.expected.places(text_of(table["transfer_id"]))
        elsewhere = place == ELSEWHERE
        if elsewhere.any():
            table, place = table.filter(pa.array(~elsewhere)), place[~elsewhere]
        fit, named = self.expected.fits(table, place)
        if kind == RETURNS:
            self.kept[kind].add(table, place, fit, new)
            return RECORD.empty_table()
        fresh, known = self.expected.say(table, place, fit, named)
        rest = np.ones(len(table), bool)
        rest[fresh] = rest[known] = False
        if rest.any():
            some = pa.array(rest)
            self.kept[kind].add(table.filter(some), place[rest], fit[rest], new)
        return table.take(pa.array(fresh))

    def close(self) -> None:
        for kept in self.kept.values():
            kept.close()


class Booked(NamedTuple):
    """What was done to lines by answers of before, by place."""

    refused: NDArray[np.bool_]
    returned: NDArray[np.bool_]


class Verdicts:
    """The lines of some batches judged. as_of: the day on which deadlines are looked at."""

    def __init__(self, said: Said, booked: Booked, rules: Rules, as_of: datetime.date) -> None:
        self.said, self.rules, self.as_of = said, rules, as_of
        self.today = (as_of - datetime.date(1970, 1, 1)).days
        self.lines = said.expected
        self.confirmations, self.returns = said.kept[CONFIRMATIONS], said.kept[RETURNS]
        self.group_rows, self.drifts = self._groups()
        self.refused, self.returned = booked.refused.copy(), booked.returned.copy()
        sent, settled = self.lines.sent(), self.lines.settled()
        refusing = _is(self.confirmations.table, "RJCT")
        said_no = (self.lines.said_at != NEVER) & (self.lines.said & REFUSED > 0)
        said_no[self.confirmations.place[self.confirmations.fit & refusing]] = True
        self.newly_refused = np.flatnonzero(said_no & sent & ~settled & ~self.refused)
        self.refused[self.newly_refused] = True
        back = np.zeros(len(self.lines), bool)
        back[self.returns.place[self.returns.fit]] = True
        back &= settled & ~self.refused & ~self.returned
        self.newly_returned = np.flatnonzero(back)
        self._sent, self._settled = sent, settled

    def _groups(self) -> tuple[NDArray[np.bool_], Any]:
        """Answers to a whole clearing file but for the lines that are named: they speak for all
        others where they come to the sum of what was not refused. (rows, breaks of the others)"""
        kept, lines = self.confirmations, self.lines
        named = np.zeros(len(kept.table), bool)
        ours: dict[str, int] = {}
        theirs: dict[str, int] = {}
        heads = {head: run for run, head in lines.heads().items()}
        strays = np.flatnonzero((kept.place < 0) & ~_is(kept.table, "RJCT"))
        ids = kept.table["transfer_id"].take(pa.array(strays))
        of_runs = strays[np.asarray(pc.is_in(ids, pa.array(sorted(heads), pa.string())))]
        # Of several that are wrong the last one stands in the break, whichever came first.
        order = pc.sort_indices(
            kept.table.take(pa.array(of_runs)),
            sort_keys=[("at", "ascending"), ("amount", "ascending")],
        )
        for i in of_runs[np.asarray(order)].tolist():
            row = kept.table.slice(i, 1).to_pylist()[0]
            named[i] = True
            mine = lines.run == heads[row["transfer_id"]]
            # To a receiver that stands nowhere here nothing was sent.
            mine &= lines.sent_to(row["participant"])
            own = np.zeros(len(lines), bool)
            refused = (lines.said_at != NEVER) & (lines.said & REFUSED > 0)
            own[kept.place[kept.place >= 0]] = True
            refused[kept.place[(kept.place >= 0) & _is(kept.table, "RJCT")]] = True
            due = int(lines.amount[mine & ~refused].sum())
            if row["amount"] != due:
                scope = f"{row['participant']} {row['transfer_id']}"
                ours[scope], theirs[scope] = due, row["amount"]
                continue
            silent = mine & ~own & ((lines.said_at == NEVER) | (lines.said & GROUPED > 0))
            earlier = (lines.said_at == NEVER) | (lines.said_at > row["at"])
            lines.said_at[silent & earlier] = row["at"]
            lines.said[silent] = GROUPED
        return named, drifts(ours, theirs, set(), self.rules, self.today)

    def credited(self) -> NDArray[np.bool_]:
        """Lines of which a clean answer says that they were credited."""
        found: NDArray[np.bool_] = self.lines.said_at != NEVER
        found &= self.lines.said & REFUSED == 0
        kept = self.confirmations
        found[kept.place[kept.fit & ~_is(kept.table, "RJCT")]] = True
        return found

    def _overdue(self) -> NDArray[np.bool_]:
        late: NDArray[np.bool_] = self.today - self.lines.day() > self.rules.deadline_days
        return self._settled & late

    def states(self) -> NDArray[np.uint8]:
        """State by place. A line is RETURNED from when its return enters a cycle."""
        state = np.where(self._sent, State.CLEARED, State.NOT_SENT).astype(np.uint8)
        state[self._settled] = State.SETTLED
        state[self._overdue()] = State.UNAPPLIED
        state[self.credited() & self._sent] = State.CREDITED
        state[self.returned] = State.RETURNED
        state[self.refused] = State.REFUSED
        return state

    def taken(self, table: Any, kind: str) -> Any:
        """The same lines with what was said of them: of several records the lowest. table: lines
        with batch and line_no; kind: whose records."""
        kept = self.said.kept[kind]
        places = self.lines.at(table["batch"], table["line_no"])
        fit = kept.fit & (_is(kept.table, "RJCT") if kind == CONFIRMATIONS else True)
        chosen = np.flatnonzero(fit & np.isin(kept.place, places))
        some = kept.table.take(pa.array(chosen)).select(["at", "record_id", "reason"])
        some = some.append_column("place", pa.array(kept.place[chosen]))
        if kind == CONFIRMATIONS:
            first = places[(self.lines.said_at[places] != NEVER)]
            first = first[self.lines.said[first] & REFUSED > 0]
            clean = self.lines.said_of(first)
            some = pa.concat_tables([some.cast(clean.schema), clean])
        order = [(name, "ascending") for name in ("place", "at", "record_id", "reason")]
        some = some.sort_by(order).combine_chunks()
        place, row = np.unique(np.asarray(some["place"]), return_index=True)
        some = some.take(pa.array(row[np.searchsorted(place, places)]))
        for name, column in (("record_id",) * 2, ("reason",) * 2, ("booked_at", "at")):
            table = table.append_column(name, some[column])
        return table

    # --- breaks ---------------------------------------------------------------------------------

    def breaks(self, requests: rec.Records, returned: Any, open_breaks: Any) -> Any:
        """What does not fit: a table of BREAK. requests: what cycles asked the State Bank to move;
        returned: a table of TAKEN, of which the treasury's statement has to tell; open_breaks:
        those of before, which keep their keys."""
        totals = rec.Outcome(np.empty(0, np.uint8), {}, self.drifts, 0, self.drifts)
        outcomes = [totals, self._weighed(), *self._statements(requests, returned)]
        found = rec.kept(outcomes, open_breaks)
        assert len(pc.unique(found["key"])) == len(found), "a break stands twice"
        return found

    def explain(self, transfer_id: str) -> list[str]:
        """Sentences on what the rules made of every record of a transfer; none where all of it was
        plain."""
        return rec.explain(self._weighed(), transfer_id)

    def _weighed(self) -> rec.Outcome:
        """Lines that are not plain, against all answers but those that are."""
        lines, kept = self.lines, self.confirmations
        own = ~self.group_rows
        chosen = np.zeros(len(lines), bool)
        for records in (kept, self.returns):
            chosen[records.place[records.place >= 0]] = True
        spoken = lines.said_at != NEVER
        apart = np.abs(lines.said_at // DAY_US - lines.day())
        refused = lines.said & REFUSED > 0
        chosen |= spoken & ~refused & (apart > self.rules.days)
        chosen |= spoken & refused & ~self.refused
        chosen |= ~spoken & self._overdue() & ~self.returned
        chosen &= self._sent
        strays = kept.table.filter(pa.array((kept.place < 0) & own))
        table = lines.records(chosen, pc.unique(strays["account"]).drop_null())
        places = lines.places(text_of(table["transfer_id"]))
        status = pc.if_else(pa.array(self.refused[places]), "RJCT", pa.scalar(None, pa.string()))
        table = table.set_column(RECORD.get_field_index("status"), RECORD.field("status"), status)
        said = spoken[places]
        clean = lines.spoken(places[said], table.filter(pa.array(said)))
        sets = {
            CONFIRMATIONS: pa.concat_tables([kept.table.filter(pa.array(own)), clean]),
            RETURNS: self.returns.table,
        }
        rules = msgspec.structs.replace(self.rules, refusal_days=NEVER_IN_TIME)
        return self._compare(rec.records(table), sets, rules)

    def _statements(self, requests: rec.Records, returned: Any) -> list[rec.Outcome]:
        """From the first day on of which a statement tells."""
        table = self.said.kept[STATEMENT].table
        own = np.asarray(pc.equal(table["account"], BACK))
        back = pa.table(
            {
                "transfer_id": returned["transfer_id"],
                "at": returned["booked_at"],
                "amount": returned["amount"],
                "account": pa.repeat(BACK, len(returned)),
            }
        )
        found = []
        for name, entries, lines in (
            (SETTLEMENT, table.filter(pa.array(~own)), requests.take(np.arange(len(requests)))),
            (TREASURY, table.filter(pa.array(own)), back),
        ):
            if len(entries):
                begin = pc.min(entries["at"]).as_py() // DAY_US * DAY_US
                due = lines.filter(pc.greater_equal(lines["at"], begin))
                found.append(self._compare(rec.records(due), {name: entries}, self.rules))
        return found

    def _compare(self, lines: rec.Records, sets: dict[str, Any], rules: Rules) -> rec.Outcome:
        held = {name: rec.records(table) for name, table in sets.items()}
        return rec.reconcile(lines, held, self.as_of, rules=rules)


def _is(table: Any, status: str) -> Any:
    return np.asarray(pc.fill_null(pc.equal(table["status"], status), False))
