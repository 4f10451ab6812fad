"""Line states: where lines stand by all that was said of them, and what does not fit.

IN: lines by place, and every record that was taken in (`Said`). OUT: the state of each line, the
lines that are refused or returned by it, and the breaks. All of it is a function of the set of
records, of the cycles that have settled, and of a day: neither the order in which records came nor
their files show.
"""

from __future__ import annotations

import datetime
from enum import IntEnum
from typing import NamedTuple

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from switch import reconcile as rec
from switch.files.file_schemas import BREAK
from switch.home.credits import as_told
from switch.native.sent import ELSEWHERE, FRESH, NOWHERE, REST
from switch.reconcile import RECORD, Rules
from switch.reconcile.asked import refusals
from switch.reconcile.match.breaks import drifts, of_recalls
from switch.reconcile.match.records import DAY_US
from switch.reconcile.sent_lines import GROUPED, NEVER, REFUSED, SentLines, text_of
from switch.schema import NO_CODE
from switch.settlement.accounts import RETURNED

CONFIRMATIONS, RETURNS, STATEMENT = "confirmations", "returns", "statement"
RESOLUTIONS = "resolutions"
SETTLEMENT, TREASURY = "settlement", "treasury"
"""Sets that a statement is read as: what the State Bank moved, and what came back."""
_PARTICIPANT = RECORD.get_field_index("participant")
NEVER_IN_TIME = -1
"""Days of a refusal that is late in any case: what was refused in time has left its cycle."""


Place = NDArray[np.int64]
Flags = NDArray[np.bool_]


class State(IntEnum):
    """State of a line once it was sent."""

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

    table: of RECORD; place i64: of their lines, or -1; own: they come from who got their line; fit:
    and fit it in every other respect; new: they were not taken in before.
    """

    def __init__(self) -> None:
        self._parts: list[pa.Table] = []
        self.table = RECORD.empty_table()
        self.place: NDArray[np.int64] = np.empty(0, np.int64)
        self.own: NDArray[np.bool_] = np.empty(0, bool)
        self.fit: NDArray[np.bool_] = np.empty(0, bool)
        self.new: NDArray[np.bool_] = np.empty(0, bool)

    def add(self, table: pa.Table, place: Place, own: Flags, fit: Flags, new: bool) -> None:
        extra = {
            "_place": pa.array(place),
            "_own": pa.array(own),
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
        self.own = np.asarray(whole["_own"])
        self.fit = np.asarray(whole["_fit"])
        self.new = np.asarray(whole["_new"])


class Said:
    """Everything that was said of some lines, record by record as it is read."""

    def __init__(self, lines: SentLines) -> None:
        self.lines = lines
        self.kept = {kind: Kept() for kind in (CONFIRMATIONS, RETURNS, STATEMENT, RESOLUTIONS)}

    def hear(self, kind: str, table: pa.Table, *, new: bool) -> tuple[pa.Table, Place]:
        """Take in records (a table of RECORD). Returns those of them that are new for certain and
        clean, and their places; what else is new stands in `kept`."""
        nothing = RECORD.empty_table(), np.empty(0, np.int64)
        if kind == STATEMENT:
            nowhere = np.full(len(table), NOWHERE, np.int64)
            self.kept[kind].add(table, nowhere, nowhere >= 0, nowhere >= 0, new)
            return nothing
        place = self.lines.places(text_of(table["transfer_id"]))
        elsewhere = place == ELSEWHERE
        if elsewhere.any():
            table, place = table.filter(pa.array(~elsewhere)), place[~elsewhere]
        fit = self.lines.fits(table, place)
        if kind == RESOLUTIONS:
            self.kept[kind].add(table, place, fit.own, fit.own, new)
            return nothing
        if kind == RETURNS:
            self.kept[kind].add(table, place, fit.own, fit.clean, new)
            return nothing
        outcome = self.lines.hear(table, place, fit)
        rest = outcome == REST
        if rest.any():
            some = table.filter(pa.array(rest))
            self.kept[kind].add(some, place[rest], fit.own[rest], fit.clean[rest], new)
        fresh = outcome == FRESH
        return (table, place) if fresh.all() else (table.filter(pa.array(fresh)), place[fresh])

    def close(self) -> None:
        for kept in self.kept.values():
            kept.close()


class Booked(NamedTuple):
    """Effects of earlier answers on lines, by place."""

    refused: NDArray[np.bool_]
    returned: NDArray[np.bool_]
    stopped: NDArray[np.bool_]
    """They were refused by a recall, and not by their receiver, who need not say so."""
    asked: NDArray[np.int32]
    """Day since 1970 on which a recall asked for them, as they had settled; 0 where none did."""


class Groups(NamedTuple):
    """Claims of answers to whole clearing files say."""

    rows: NDArray[np.bool_]
    """Confirmations that are such answers."""
    drifts: pa.Table
    """Breaks of those whose sum is another."""
    twice: NDArray[np.int64]
    """Places of lines that were credited by an answer of their own, too, and `by` which of them."""
    by: pa.Table
    leads: pa.Table
    """The answer that counts for each file that was answered for several times; `again` has all."""
    again: pa.Table

    def lines(self) -> pa.Table:
        """Files that were answered for several times, as lines that are expected once."""
        status = RECORD.get_field_index("status")
        nothing = pa.nulls(len(self.leads), pa.string())
        return self.leads.set_column(status, RECORD.field(status), nothing)

    def records(self, twice: pa.Table) -> pa.Table:
        """Those answers, and the part of each that is said of a line which has one of its own.
        twice: `SentLines.records` of these lines, in the order of their places."""
        columns = {
            "transfer_id": twice["transfer_id"],
            "record_id": self.by["transfer_id"],
            "at": self.by["at"],
            "amount": twice["amount"],
            "participant": twice["participant"],
            "status": self.by["status"],
        }
        nothing = pa.nulls(len(twice), pa.string())
        parts = pa.table([columns.get(n, nothing) for n in RECORD.names], schema=RECORD)
        return pa.concat_tables([self.again, parts])


class Verdicts:
    """The lines of some batches judged. as_of: the day on which deadlines are looked at."""

    def __init__(self, said: Said, booked: Booked, rules: Rules, as_of: datetime.date) -> None:
        self.said, self.rules, self.as_of = said, rules, as_of
        self.today = (as_of - datetime.date(1970, 1, 1)).days
        self.lines = said.lines
        self.stopped, self.asked_on, self.asked = booked.stopped, booked.asked, booked.asked > 0
        self.confirmations, self.returns = said.kept[CONFIRMATIONS], said.kept[RETURNS]
        self.groups = self._groups()
        self.refused, self.returned = booked.refused.copy(), booked.returned.copy()
        sent, settled = self.lines.sent(), self.lines.settled()
        refusing = _is(self.confirmations.table, "RJCT")
        said_no = (self.lines.said_at != NEVER) & (self.lines.said & REFUSED > 0)
        said_no[self.confirmations.place[self.confirmations.fit & refusing]] = True
        said_no = self.lines.spread(said_no)
        self.newly_refused = np.flatnonzero(said_no & sent & ~settled & ~self.refused)
        self.refused[self.newly_refused] = True
        back = np.zeros(len(self.lines), bool)
        back[self.returns.place[self.returns.fit]] = True
        back = self.lines.spread(back)
        back &= settled & ~self.refused & ~self.returned
        self.newly_returned = np.flatnonzero(back)
        self._sent, self._settled = sent, settled
        self.denied = np.zeros(len(self.lines), bool)
        """Lines that their receiver refuses to give back."""
        denied = refusals(self._resolutions(own=True))
        self.denied[self.lines.places(text_of(pa.array(sorted(denied), pa.string())))] = True
        self.denied = self.lines.spread(self.denied)

    def _groups(self) -> Groups:
        """Answers to a whole clearing file: they speak for all its lines but those that are named,
        where they come to the sum of what was not refused. Each line and each record is looked at
        once, however many records there are."""
        kept, lines = self.confirmations, self.lines
        rows = np.zeros(len(kept.table), bool)
        heads = pa.array([lines.heads()[run.seq] for run in lines.runs], pa.string())
        run = np.asarray(pc.index_in(kept.table["transfer_id"], heads).fill_null(-1)) + 1
        rows[(run > 0) & (kept.place < 0) & ~_is(kept.table, "RJCT")] = True
        if not rows.any():
            none, nothing = np.empty(0, np.int64), RECORD.empty_table()
            return Groups(rows, BREAK.empty_table(), none, nothing, nothing, nothing)
        order = [(name, "ascending") for name in ("at", *RECORD.names)]
        at = np.flatnonzero(rows)
        at = at[np.asarray(pc.sort_indices(kept.table.take(pa.array(at)), sort_keys=order))]
        table = kept.table.take(pa.array(at))
        # To a receiver that stands nowhere here nothing was sent.
        code = pc.index_in(table["participant"], pa.array(lines.codes, pa.string()))
        code = np.asarray(code.fill_null(NO_CODE)).astype(np.int64)
        files, which = np.unique(run[at].astype(np.int64) << 16 | code, return_inverse=True)
        # What was recalled in time is in no sum that its receiver may have credited.
        sent = np.flatnonzero(lines.told() & ~self.stopped & np.isin(lines.run, run[at]))
        file_of = lines.run[sent].astype(np.int64) << 16 | lines.participant[sent]
        place = np.minimum(np.searchsorted(files, file_of), len(files) - 1)
        sent, place = (array[files[place] == file_of] for array in (sent, place))
        refused = (lines.said_at != NEVER) & (lines.said & REFUSED > 0)
        refused[kept.place[kept.own & _is(kept.table, "RJCT")]] = True
        due = np.zeros(len(files), np.int64)
        np.add.at(due, place[~refused[sent]], lines.due[sent[~refused[sent]]])
        # Of a file that was never sent nothing can be right, not even that it was of nothing.
        is_sent = np.bincount(place, minlength=len(files)) > 0
        right = (table["amount"].to_numpy() == due[which]) & is_sent[which]
        # Of several that are wrong the last one stands in the break, whichever came first.
        ours: dict[str, int] = {}
        theirs: dict[str, int] = {}
        wrong = np.flatnonzero(~right)
        told = table.select(["participant", "transfer_id", "amount"]).take(pa.array(wrong))
        for row, sum_ in zip(told.to_pylist(), due[which[wrong]].tolist(), strict=True):
            scope = f"{row['participant']} {row['transfer_id']}"
            ours[scope], theirs[scope] = sum_, row["amount"]
        # The first one speaks; every other one is a second booking of the same.
        lead = np.full(len(files), -1, np.int64)
        lead[which[right][::-1]] = np.flatnonzero(right)[::-1]
        told_of = lead[place] >= 0
        sent, by = sent[told_of], lead[place[told_of]]
        named = np.zeros(len(lines), bool)
        named[kept.place[kept.own]] = True
        silent = ~named[sent] & ((lines.said_at[sent] == NEVER) | (lines.said[sent] & GROUPED > 0))
        credited = self._credits()[sent] & ~silent
        lines.said_at[sent[silent]] = table["at"].to_numpy()[by[silent]]
        lines.said[sent[silent]] = GROUPED
        again = right & (np.bincount(which[right], minlength=len(files)) > 1)[which]
        lead = lead[which[again]]
        return Groups(
            rows,
            drifts(ours, theirs, set(), self.rules, self.today, always=True),
            sent[credited],
            table.take(pa.array(by[credited])),
            table.take(pa.array(np.unique(lead))),
            table.filter(pa.array(again)),
        )

    def _credits(self) -> NDArray[np.bool_]:
        """Lines of which a clean answer of their own says that they were credited."""
        found: NDArray[np.bool_] = (self.lines.said_at != NEVER) & (self.lines.said & GROUPED == 0)
        found &= self.lines.said & REFUSED == 0
        kept = self.confirmations
        found[kept.place[kept.fit & ~_is(kept.table, "RJCT")]] = True
        return found

    def credited(self) -> NDArray[np.bool_]:
        """Lines of which a clean answer says that they were credited, their own or one to all of
        their clearing file."""
        return self.lines.spread(self._credits() | (self.lines.said & GROUPED > 0))

    def _overdue(self) -> NDArray[np.bool_]:
        late: NDArray[np.bool_] = self.today - self.lines.day() > self.rules.deadline_days
        return self._settled & late

    def open_recalls(self) -> NDArray[np.bool_]:
        """Lines that a recall asks for, and that did not come back."""
        found: NDArray[np.bool_] = self.asked & ~self.returned & ~self.denied
        return found

    def _resolutions(self, *, own: bool) -> pa.Table:
        """Answers to recalls by who may give them, of lines that were recalled; or all others, and
        those that refuse what has left its cycle."""
        kept = self.said.kept[RESOLUTIONS]
        if not len(kept.table) or not len(self.lines):
            return RECORD.empty_table() if own else kept.table
        place = np.maximum(kept.place, 0)
        fits = kept.own & (self.asked | self.stopped)[place]
        fits &= ~(self.stopped[place] & _is(kept.table, "RJCR"))
        return kept.table.filter(pa.array(fits if own else ~fits))

    def _recall_breaks(self) -> pa.Table:
        """Recalls that nobody answered in time, and answers to none."""
        strays = self._resolutions(own=False)
        late = self.open_recalls() & (self.today - self.asked_on > self.rules.recall_deadline)
        if not late.any() and not len(strays):
            return BREAK.empty_table()
        table = self.lines.records(late, pa.array([], pa.string()))
        places = self.lines.places(text_of(table["transfer_id"]))
        at = pa.array(self.asked_on[places].astype(np.int64) * DAY_US)
        table = table.set_column(RECORD.get_field_index("at"), RECORD.field("at"), at)
        return of_recalls(table.cast(RECORD), strays, self.rules, self.today)

    def states(self) -> NDArray[np.uint8]:
        """State by place. A line is RETURNED from when its return enters a cycle."""
        state = np.where(self._sent, State.CLEARED, State.NOT_SENT).astype(np.uint8)
        state[self._settled] = State.SETTLED
        state[self._overdue()] = State.UNAPPLIED
        state[self.credited() & self._sent] = State.CREDITED
        state[self.returned] = State.RETURNED
        state[self.refused] = State.REFUSED
        return state

    def taken(self, table: pa.Table, kind: str) -> pa.Table:
        """The same lines with what was said of them: of several records the lowest. table: lines
        with batch and line_no; kind: whose records."""
        kept = self.said.kept[kind]
        places = self.lines.lead(self.lines.at(table["batch"], table["line_no"]))
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

    def breaks(self, requests: rec.Records, returned: pa.Table, open_breaks: pa.Table) -> pa.Table:
        """Find what does not fit: a table of BREAK. requests: what cycles asked the State Bank to
        move; returned: a table of TAKEN, of which the treasury's statement has to tell;
        open_breaks: those of before, which keep their keys."""
        totals = rec.Outcome(np.empty(0, np.uint8), {}, self.groups.drifts, 0, self.groups.drifts)
        looked_at = (self._weighed(), self._returns_of_files())
        outcomes = [totals, *looked_at, *self._statements(requests, returned)]
        found = self._due(rec.kept(outcomes, open_breaks))
        if len(recalls := self._recall_breaks()):
            found = pa.concat_tables([found, recalls]).sort_by("key")
        assert len(pc.unique(found["key"])) == len(found), "a break stands twice"
        return found

    def _due(self, breaks: pa.Table) -> pa.Table:
        """Without what is missing of lines whose cycle has not settled, or which were recalled
        before it did: nobody owes an answer to them, though somebody else may have given one."""
        place = self.lines.places(text_of(breaks["transfer_id"]))
        missing = np.asarray(pc.equal(breaks["class"], "MISSING"))
        missing &= np.asarray(pc.equal(breaks["side"], "lines"))
        missing &= (place >= 0) & self._sent[np.maximum(place, 0)] if len(self._sent) else False
        missing[missing] = ~self._settled[place[missing]] | self.stopped[place[missing]]
        return breaks.filter(pa.array(~missing))

    def explain(self, transfer_id: str) -> list[str]:
        """Sentences on what the rules made of every record of a transfer; none where all of it was
        plain."""
        outcomes = (self._weighed(), self._returns_of_files())
        return [text for one in outcomes for text in rec.explain(one, transfer_id)]

    def _weighed(self) -> rec.Outcome:
        """Lines that are not plain, against all answers but those that are."""
        lines, kept = self.lines, self.confirmations
        rest = ~self.groups.rows
        chosen = np.zeros(len(lines), bool)
        for records in (kept, self.returns):
            chosen[records.place[records.place >= 0]] = True
        spoken = lines.said_at != NEVER
        apart = np.abs(lines.said_at // DAY_US - lines.day())
        refused = lines.said & REFUSED > 0
        chosen |= spoken & ~refused & (apart > self.rules.days)
        chosen |= spoken & refused & ~self.refused
        chosen |= spoken & ~refused & self.stopped
        chosen |= ~spoken & self._overdue() & ~self.returned & ~self.stopped
        chosen[self.groups.twice] = True
        chosen &= lines.told()
        strays = kept.table.filter(pa.array(~kept.own & rest))
        table = lines.records(chosen, pc.unique(strays["account"]).drop_null())
        places = lines.places(text_of(table["transfer_id"]))
        status = pc.if_else(pa.array(self.refused[places]), "RJCT", pa.scalar(None, pa.string()))
        table = table.set_column(RECORD.get_field_index("status"), RECORD.field("status"), status)
        # A credit that was recalled and came back is in order.
        undone = self.asked & self.returned & ~refused
        said = (spoken & ~undone)[places]
        clean = lines.spoken(places[said], table.filter(pa.array(said)))
        order = np.argsort(places)
        twice = order[np.searchsorted(places, self.groups.twice, sorter=order)]
        by_file = self.groups.records(table.take(pa.array(twice)))
        sets = {
            CONFIRMATIONS: pa.concat_tables(
                [self._of_lines(kept).filter(pa.array(rest)), clean, by_file]
            ),
            RETURNS: self._of_lines(self.returns).filter(pa.array(~self._names_file())),
        }
        table = pa.concat_tables([table, self.groups.lines()])
        rules = msgspec.structs.replace(self.rules, refusal_days=NEVER_IN_TIME)
        return self._compare(rec.records(table), sets, rules)

    def _names_file(self) -> NDArray[np.bool_]:
        """Returns that name a whole file which is held against its answers as a line."""
        named = pc.is_in(self.returns.table["transfer_id"], self.groups.leads["transfer_id"])
        found: NDArray[np.bool_] = np.asarray(named)
        return found

    def _returns_of_files(self) -> rec.Outcome:
        """Those returns: money comes back by lines, so that they answer nothing, however often
        their file was confirmed."""
        table = self.returns.table.filter(pa.array(self._names_file()))
        return self._compare(rec.records(RECORD.empty_table()), {RETURNS: table}, self.rules)

    def _of_lines(self, kept: Kept) -> pa.Table:
        """Records, those of who settles for a receiver as if the receiver had sent them."""
        at = np.flatnonzero(kept.own)
        names = self.lines.receiver_of(kept.place[at])
        column = kept.table["participant"].combine_chunks()
        told = pc.replace_with_mask(column, pa.array(kept.own), names)
        return kept.table.set_column(_PARTICIPANT, RECORD.field(_PARTICIPANT), told)

    def _statements(self, requests: rec.Records, returned: pa.Table) -> list[rec.Outcome]:
        """Hold entries of statements against requests and returned lines, from the first day that a
        statement covers."""
        table = self.said.kept[STATEMENT].table
        own = np.asarray(pc.equal(table["account"], RETURNED))
        returned = as_told(self.lines.home, returned)
        back = pa.table(
            {
                "transfer_id": returned["transfer_id"],
                "at": returned["booked_at"],
                "amount": returned["amount"],
                "account": pa.repeat(RETURNED, len(returned)),
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

    def _compare(self, lines: rec.Records, sets: dict[str, pa.Table], rules: Rules) -> rec.Outcome:
        held = {name: rec.records(table) for name, table in sets.items()}
        return rec.reconcile(lines, held, self.as_of, rules=rules)


def _is(table: pa.Table, status: str) -> Flags:
    found: Flags = np.asarray(pc.fill_null(pc.equal(table["status"], status), False))
    return found
