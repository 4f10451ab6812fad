"""The way back judged: what must become of lines once they were sent, by what receivers say of
them.

Of the engine it imports `schema`, `reason` and `errors` alone. Written from docs/contract.md
(Answers), docs/operations.md (Answers, The end of a day) and steps P7 to P10 of docs/domain.md.
Amounts are whole dong.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Collection, Iterable
from typing import NamedTuple

from switch.sim.auditor.expected import BOOKED, Breaks, Cycle, Line, Moved, Owed, Record, Waiting
from switch.sim.auditor.money import Money
from switch.sim.auditor.screening import Entitlement, entitlement

DEADLINE_DAYS = 1
"""For which a settled line may be without an answer, and a record without its line."""
APART_DAYS = 1
"""By which a booking may differ from the business day of its line's cycle."""
LEAP_DAYS = 92
"""By which a time may lie behind all that is known, if nobody says that it is meant."""
OPEN = ("CLEARED", "SETTLED", "UNAPPLIED")
WRITTEN_BACK, REISSUED = "WRITTEN_BACK", "REISSUED"
RELEASED = ("RJCT", WRITTEN_BACK, REISSUED)
"""Of lines that take nothing of a budget any more."""
RETURNS = "T.RETURNS"


class Files(NamedTuple):
    """What answers to whole clearing files say."""

    credited: dict[Line, dt.datetime]
    """Lines that one of them credits, with its time."""
    twice: dict[Line, dt.datetime]
    """Lines of which an answer of their own says so, too."""
    drifts: set[str]
    """Receivers and files whose sum is not ours."""
    again: Counter[str]
    """Answers too many, by file."""


class Aftermath(Money):
    """The way back of one home as it must be."""

    commits: int
    cleared: set[Entitlement]
    queue: list[Waiting]
    lines: dict[Line, str]
    told: dict[Line, tuple[str, ...]]

    def open_way_back(self) -> None:
        """Nothing was said yet."""
        self.standing: dict[Line, Owed] = {}
        """Lines as they were sent last; those that a recast or an abort took back are not there."""
        self.cycle_of_run: dict[int, str] = {}
        self.heads: dict[str, int] = {}
        """Batches by what their transfer ids begin with."""
        self.said: dict[str, tuple[Record, ...]] = {}
        """By transfer id."""
        self.booked: dict[str, dt.date] = {}
        """Days of the treasury's entries by transfer id."""
        self.heard: dict[Record, int] = {}
        """Every record, with the number of the commit that took it in."""
        self.as_of = dt.date.min
        """The day on which lines were held against answers last."""
        self.folders = 0
        """Commits of answers, dispositions and days."""
        self.deeds: dict[Line, tuple[tuple[int, str], ...]] = {}
        """(number of the commit, status) of what was done to a line."""
        self.refused: set[Line] = set()
        self.returned: dict[Line, str] = {}
        """The cycle through which each came back."""
        self.disposed: dict[Line, str] = {}
        self.signed = dt.date.min
        self.days: set[dt.date] = set()
        """Days on which something was surely recorded."""
        self.furthest = dt.date.min
        """The last that was ever said with the word."""
        """The last day that was closed."""
        self.day_of_run: dict[int, dt.date] = {}
        self.closed: set[int] = set()
        """Batches that are done with."""

    # --- answers --------------------------------------------------------------------------------

    def reconcile(self, records: Iterable[Record], day: dt.date) -> Moved:
        """Records come in, once each, and lines move by all that was ever said."""
        self.folders += 1
        self.commits += 1
        self.as_of = day
        self.days.add(day)
        new = Counter(confirmations=0, returns=0, statement=0)
        sent = {owed.transfer_id: owed for owed in self.standing.values()}
        for record in records:
            if not self._is_heard(record, sent.get(record.transfer_id)):
                self.heard[record] = self.folders
                new[record.kind] += 1
                if record.status == BOOKED:
                    self.booked[record.transfer_id] = record.at.date()
                    continue
                before = self.said.get(record.transfer_id, ())
                self.said[record.transfer_id] = (*before, record)
        refused = [o for o in self.standing.values() if self._leaves(o)]
        for name in sorted({self.cycle_of_run[o.cleared_in] for o in refused}):
            self._refuse(name, [o for o in refused if self.cycle_of_run[o.cleared_in] == name])
        back = self._payable([o for o in self.standing.values() if self._comes_back(o)])
        cycle = self._return(back, day) if back else ""
        return Moved(
            dict(new), sorted(o.line for o in refused), sorted(o.line for o in back), cycle
        )

    def _is_heard(self, record: Record, owed: Owed | None) -> bool:
        """It was said before. What a settlement bank says as its wallet did, or the other way
        round, is the line's first clean answer once more."""
        if owed is None or record.kind != "confirmations" or not record.fits(owed):
            return record in self.heard
        said = self.said.get(record.transfer_id, ())
        first = next((r for r in said if r.kind == record.kind and r.fits(owed)), None)
        as_first = first and record._replace(participant=first.participant)
        return record in self.heard or (first is not None and as_first == first)

    def _of(self, owed: Owed, status: str) -> list[Record]:
        """Clean records of a line."""
        found = self.said.get(owed.transfer_id, ())
        return [record for record in found if record.status == status and record.fits(owed)]

    def _settled(self, owed: Owed) -> bool:
        cycle = self.cycles.get(self.cycle_of_run[owed.cleared_in])
        return cycle is None or cycle.state == "SETTLED"

    def _leaves(self, owed: Owed) -> bool:
        """Refused before its cycle settled."""
        told = owed.line not in self.refused and bool(self._of(owed, "RJCT"))
        return told and not self._settled(owed)

    def _comes_back(self, owed: Owed) -> bool:
        gone = owed.line in self.refused or owed.line in self.returned
        return not gone and self._settled(owed) and bool(self._of(owed, "RTRN"))

    def _payable(self, back: list[Owed]) -> list[Owed]:
        """Those whose two sides are in the directory, or one, and, where money moves at once,
        whose receivers have the funds; a receiver that has not returns nothing yet."""
        sides = self.participants
        back = [
            o
            for o in back
            if o.agent == o.participant or (o.agent in sides and o.participant in sides)
        ]
        while self.calendar is None and back:
            short = {
                code
                for code, net in self._nets_back(back).items()
                if code in self.guarded and net < 0 and self._holds(code) + net < 0
            }
            if not short:
                break
            back = [o for o in back if self._settles(o.participant) not in short]
        return back

    def _nets_back(self, back: Iterable[Owed]) -> Counter[str]:
        """What changes by settlement participant when receivers pay lines back."""
        nets: Counter[str] = Counter()
        for owed in back:
            if owed.agent != owed.participant:
                nets[self._settles(owed.participant)] -= owed.amount
                nets[self._settles(owed.agent)] += owed.amount
        return nets

    def _move(self, amount: int, debit: str, credit: str) -> None:
        for account, change in ((debit, -amount), (credit, amount)):
            self.balances[account] = self.balances.get(account, 0) + change

    def _deed(self, owed: Owed, status: str) -> None:
        self.deeds[owed.line] = (*self.deeds.get(owed.line, ()), (self.folders, status))

    def _undo_on_us(self, owed: Owed) -> None:
        if owed.agent == owed.participant:
            self._move(owed.amount, f"B.CUSTOMER[{owed.agent}]", f"B.TREASURY[{owed.agent}]")

    def _refuse(self, name: str, gone: list[Owed]) -> None:
        """P7: lines leave a cycle. What its treasury had set aside beyond what it owes now is
        released, what was set aside last at first."""
        cycle = self.cycles[name]
        nets = Counter(cycle.nets)
        nets.update(self._nets_back(gone))
        for owed in gone:
            self._undo_on_us(owed)
            benefit = owed.entry.row["benefit"]
            self._move(owed.amount, f"T.PAYABLE[{owed.cleared_in:06d}]", f"T.EXPENSE[{benefit}]")
            self.cleared.remove(entitlement(owed.entry.row))
            self.refused.add(owed.line)
            self.lines[owed.line] = "RJCT"
            self._deed(owed, "RJCT")
        reserved, reserves = Counter(cycle.reserved), Counter(cycle.reserves)
        for code in cycle.reserved:
            spare = reserved[code] - max(-nets[code], 0)
            for account in sorted(reserves, reverse=True):
                free = min(reserves[account], max(spare, 0))
                self._move(free, account, self._account(code))
                reserves[account] -= free
                reserved[code] -= free
                spare -= free
        self.cycles[name] = cycle._replace(
            nets=nets, reserved=reserved, reserves=reserves, answered=True
        )

    def _return(self, back: list[Owed], day: dt.date) -> str:
        """P8: money of settled lines comes back, through the next cycle or at once."""
        nets = self._nets_back(back)
        if self.calendar is None:
            name = f"{day:%Y%m%d}-R{self.folders:06d}"
            for code, net in nets.items():
                account = self._account(code)
                self.balances[account] = self.balances.get(account, 0) + net
        else:
            name, closes = self.calendar.cycle_of(day, self.cycles)
            empty = Cycle("OPEN", {}, Counter(), Counter(), Counter(), closes=closes)
            cycle = self.cycles.get(name, empty)
            nets.update(cycle.nets)
            sides = {c for o in back if o.agent != o.participant for c in (o.agent, o.participant)}
            positions = cycle.positions | {code: self._settles(code) for code in sides}
            self.cycles[name] = cycle._replace(positions=positions, nets=nets, answered=True)
        for owed in back:
            self._undo_on_us(owed)
            self._move(owed.amount, f"T.PAYABLE[{owed.cleared_in:06d}]", RETURNS)
            self.returned[owed.line] = name
            self.lines[owed.line] = "RTRN"
            self._deed(owed, "RTRN")
        return name

    # --- what is decided ------------------------------------------------------------------------

    def returns_there(self) -> list[Line]:
        """Lines whose money is back, and nothing decided about it."""
        pending = self.unsettled()
        return sorted(
            line
            for line, cycle in self.returned.items()
            if line not in self.disposed and cycle not in pending
        )

    def dispose(self, lines: Collection[Line] | None, again: bool) -> list[Line] | None:
        """P9 or P10. Returns the lines it is about; None where it must be refused."""
        there = self.returns_there()
        if lines is not None and not set(lines) <= set(there):
            return None
        chosen = there if lines is None else sorted(set(lines))
        if not chosen:
            return chosen
        self.folders += 1
        self.commits += 1
        for line in chosen:
            owed = self.standing[line]
            self._move(owed.amount, RETURNS, f"T.EXPENSE[{owed.entry.row['benefit']}]")
            self.disposed[line] = self.lines[line] = REISSUED if again else WRITTEN_BACK
            self._deed(owed, "RTRN")
            if again:
                self.cleared.remove(entitlement(owed.entry.row))
        return chosen

    def close_day(self, day: dt.date) -> tuple[Moved, list[int]]:
        """(what moves by it, the batches that are closed by it)."""
        moved = self.reconcile([], day)
        self.signed = day
        states, pending = self.states(), self.unsettled()
        unfinished = {entry.batch for entry in self.queue}
        unfinished |= {line[0] for line, state in states.items() if state in OPEN}
        unfinished |= {line[0] for line, name in self.returned.items() if name in pending}
        due = {
            seq
            for seq, name in self.cycle_of_run.items()
            if seq not in self.closed | unfinished
            and name not in pending
            and self.day_of_run[seq] <= day
        }
        while True:
            done = due | self.closed
            waits = {o.line[0] for o in self.standing.values() if o.cleared_in not in done}
            if not waits & due:
                break
            due -= waits
        self.closed |= due
        return moved, sorted(due)

    # --- what day it is -------------------------------------------------------------------------

    def leaps(self, day: dt.date) -> bool:
        """A time that may need the word: all days that are surely known lie long before."""
        before = [known for known in self.days if known <= day]
        return bool(before) and (day - max(before)).days > LEAP_DAYS

    def beyond(self, days: int) -> dt.date:
        """A day so many days too far behind all that anybody ever said, or that is due."""
        due = {dt.datetime.strptime(name[:8], "%Y%m%d").date() for name in self.cycles}
        return max(self.days | due | {self.furthest}) + dt.timedelta(days=LEAP_DAYS + days)

    # --- where lines stand ----------------------------------------------------------------------

    def day_of(self, owed: Owed) -> dt.date:
        """From which on an answer is expected: the business day of its cycle."""
        return dt.datetime.strptime(self.cycle_of_run[owed.cleared_in][:8], "%Y%m%d").date()

    def _own(self, owed: Owed) -> tuple[Record, ...]:
        """What those say of a line who may answer to it."""
        return tuple(r for r in self.said.get(owed.transfer_id, ()) if r.is_of(owed))

    def _files(self) -> Files:
        """What answers to whole clearing files say."""
        credited: dict[Line, dt.datetime] = {}
        twice: dict[Line, dt.datetime] = {}
        drifts, again = set(), Counter[str]()
        for head, seq in self.heads.items():
            right: dict[str, list[dt.datetime]] = {}
            for record in self.said.get(head, ()):
                mine = [
                    owed
                    for owed in self.standing.values()
                    if owed.cleared_in == seq and owed.participant == record.participant
                ]
                said = {o.line: {r.status for r in self._own(o)} for o in mine}
                due = sum(o.amount for o in mine if "RJCT" not in said[o.line])
                if not mine or record.amount != due:
                    drifts.add(f"{record.participant} {head}")
                    continue
                times = right.setdefault(record.participant, [])
                times.append(record.at)
                for owed in mine:
                    if not said[owed.line] & {"ACCC", "RJCT"}:
                        credited[owed.line] = min(times)
                    elif self._of(owed, "ACCC") and "RJCT" not in said[owed.line]:
                        twice[owed.line] = min(times)
            again[head] += sum(len(times) - 1 for times in right.values())
        return Files(credited, twice, drifts, again)

    def states(self) -> dict[Line, str]:
        """Of every line that was sent, on the day on which answers were looked at last."""
        credited = self._files().credited
        return {line: self._state(owed, credited) for line, owed in self.standing.items()}

    def _state(self, owed: Owed, credited: Collection[Line]) -> str:
        if owed.line in self.refused:
            return "REFUSED"
        if owed.line in self.returned:
            return "RETURNED"
        if owed.line in credited or self._of(owed, "ACCC"):
            return "CREDITED"
        if not self._settled(owed):
            return "CLEARED"
        return "UNAPPLIED" if self._is_overdue(owed) else "SETTLED"

    def _is_overdue(self, owed: Owed) -> bool:
        return self._settled(owed) and (self.as_of - self.day_of(owed)).days > DEADLINE_DAYS

    def statuses(self, line: Line) -> list[str]:
        """Every status that a line ever had, oldest first; none twice in a row."""
        found = list(self.told[line])
        owed = self.standing.get(line)
        if owed is not None and self.folders:
            credits = [(record.at, False, "ACCC") for record in self._of(owed, "ACCC")]
            deeds = self.deeds.get(line, ())
            # A line ends once; what is decided about it comes behind.
            ends = [(self._said_at(owed, *deed), True, deed[1]) for deed in deeds[:1]]
            ended = False
            for _, ends_it, status in sorted([*credits, *ends]):
                found += [status] if not ended else []
                ended |= ends_it
            found += [status for _, status in deeds[1:]]
            if self.states()[line] == "CREDITED" and not credits:
                found.append("ACCC")
        return [s for i, s in enumerate(found) if i == 0 or found[i - 1] != s]

    def _said_at(self, owed: Owed, commit: int, status: str) -> dt.datetime:
        """When what a commit did to a line was said to have happened."""
        return min(r.at for r in self._of(owed, status) if self.heard[r] <= commit)

    # --- breaks ---------------------------------------------------------------------------------

    def breaks(self) -> Breaks:
        """Of what receivers said, as far as it follows from one line's records alone."""
        files = self._files()
        by_id = {owed.transfer_id: owed for owed in self.standing.values()}
        classes: dict[str, list[str]] = {}
        unsure: set[str] = set()
        shared: set[str] = set()
        """Accounts by which a record may find another line than the one it names."""
        for name, records in self.said.items():
            owed = by_id.get(name)
            others = owed is not None and any(not record.is_of(owed) for record in records)
            if name not in self.heads and (owed is None or others or len(records) > 1):
                shared |= {record.account for record in records if record.account}
            if owed is None and name not in self.heads:
                found = self._strays(records)
                classes |= {name: found or []}
                unsure |= {name} if found is None else set()
        for name, owed in by_id.items():
            strange = tuple(r for r in self.said.get(name, ()) if not r.is_of(owed))
            parts = [
                self._line_breaks(owed, files.credited.get(owed.line), files.twice.get(owed.line)),
                self._strays(strange) if strange else [],
            ]
            classes[name] = sorted(word for part in parts for word in part or [])
            if None in parts or owed.account in shared:
                unsure.add(name)
        classes |= {head: ["DUPLICATE"] * many for head, many in files.again.items()}
        classes = {name: words for name, words in classes.items() if words}
        return Breaks(classes, unsure, files.drifts, self._unbooked())

    def _unbooked(self) -> list[str]:
        """Returned lines that no statement books in time, from the first day that one covers."""
        begin = min(self.booked.values(), default=dt.date.max)
        found = []
        for line in self.returned:
            owed = self.standing[line]
            day = min(record.at.date() for record in self._of(owed, "RTRN"))
            late = day >= begin and (self.as_of - day).days > DEADLINE_DAYS
            found += [owed.transfer_id] if late and owed.transfer_id not in self.booked else []
        return sorted(found)

    def _strays(self, records: tuple[Record, ...]) -> list[str] | None:
        """Records of no line that was sent to who gives them; None where the rules have to
        choose."""
        (record, *more) = records
        batch = self.heads.get(record.transfer_id[:15])
        if more or record.account or batch in self.closed:
            return None
        late = (self.as_of - record.at.date()).days > DEADLINE_DAYS
        word = "RETURN_UNMATCHED" if record.status == "RTRN" else "MISSING"
        return [word] if late else []

    def _line_breaks(
        self, owed: Owed, by_file: dt.datetime | None, twice: dt.datetime | None
    ) -> list[str] | None:
        """Classes of breaks about a line; None where the rules have to choose. by_file: when an
        answer to all of its file credited it; twice: beside its own."""
        records = self._own(owed)
        refused, returned = owed.line in self.refused, owed.line in self.returned
        if not records:
            if by_file is not None:
                return self._timing(owed, by_file)
            return ["MISSING"] if self._is_overdue(owed) else []
        clean = all(record.fits(owed) for record in records)
        statuses = sorted(record.status for record in records)
        if not clean:
            (record, *more) = records
            if more or record.status != "ACCC":
                return None
            return ["AMOUNT"] if record.amount != owed.amount else ["REFERENCE"]
        if twice is not None:
            late = self._timing(owed, twice) or self._timing(owed, records[0].at)
            return ["DUPLICATE"] if len(records) == 1 and not late else None
        if statuses == ["ACCC"]:
            return self._timing(owed, records[0].at)
        if statuses == ["RJCT"]:
            return [] if refused else ["STATUS"]
        if returned and statuses in (["RTRN"], ["RJCT", "RTRN"], ["ACCC", "RTRN"]):
            credits = [record.at for record in records if record.status == "ACCC"]
            credits += [] if by_file is None else [by_file]
            return [word for at in credits for word in ("STATUS", *self._timing(owed, at))]
        on_time = not any(self._timing(owed, record.at) for record in records)
        return ["DUPLICATE"] if statuses == ["ACCC", "ACCC"] and on_time else None

    def _timing(self, owed: Owed, at: dt.datetime) -> list[str]:
        apart = abs((at.date() - self.day_of(owed)).days)
        return ["TIMING"] if apart > APART_DAYS else []
