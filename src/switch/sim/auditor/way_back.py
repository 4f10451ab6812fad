"""The way back judged: what must become of lines once they were sent, by what receivers say of
them.

Of the engine it imports `schema`, `reason` and `errors` alone. Written from docs/contract.md
(Answers), docs/operations.md (Answers, The end of a day) and steps P7 to P10 of docs/domain.md.
Amounts are whole dong.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Iterable, Mapping

from switch.sim.auditor.books import Books
from switch.sim.auditor.cycles import Cycles, business_day
from switch.sim.auditor.days import Days
from switch.sim.auditor.expected import Line, Moved, Owed, Record
from switch.sim.auditor.payments import REISSUED, WRITTEN_BACK, Payments
from switch.sim.auditor.records import Records

OPEN = ("CLEARED", "SETTLED", "UNAPPLIED")
RETURNS = "T.RETURNS"


class WayBack:
    """Refusals, returns and what is decided about them, with the ends of days."""

    def __init__(self, books: Books, cycles: Cycles, payments: Payments, days: Days) -> None:
        self.books, self.cycles, self.payments, self.days = books, cycles, payments, days
        self.records = Records(payments)
        self.folders = 0
        """Commits of answers, dispositions and days."""
        self.deeds: dict[Line, tuple[tuple[int, str], ...]] = {}
        """(number of the commit, status) of what was done to a line."""
        self.refused: set[Line] = set()
        self.returned: dict[Line, str] = {}
        """The cycle through which each came back."""
        self.disposed: dict[Line, str] = {}
        self.asked: dict[Line, dt.date] = {}
        """Days on which receivers were asked for settled lines."""
        self.unproven_asked: set[Line] = set()
        """Cash lines among these that nobody had proven in time."""
        self.recalled: dict[tuple[Line, ...], str] = {}
        """Words in which lines were recalled."""
        self.closed: set[int] = set()
        """Batches that are done with."""

    # --- answers --------------------------------------------------------------------------------

    def reconcile(self, records: Iterable[Record], day: dt.date) -> Moved:
        """Records come in, once each, and lines move by all that was ever said."""
        self.folders += 1
        self.days.as_of = day
        self.days.known.add(day)
        new = self.records.take_in(records, self.folders)
        sent = self.payments.sent.values()
        refused = [owed for owed in sent if self._leaves(owed)]
        for name in sorted({self._cycle_of(owed) for owed in refused}):
            self._refuse(name, [owed for owed in refused if self._cycle_of(owed) == name])
        back = self._payable([owed for owed in sent if self._comes_back(owed)])
        cycle = self._return(back, day) if back else ""
        return Moved(new, sorted(o.line for o in refused), sorted(o.line for o in back), cycle)

    def _cycle_of(self, owed: Owed) -> str:
        return self.payments.run_of(owed).cycle

    def _is_settled(self, owed: Owed) -> bool:
        cycle = self.cycles.known.get(self._cycle_of(owed))
        return cycle is None or cycle.state == "SETTLED"

    def _leaves(self, owed: Owed) -> bool:
        """Refused before its cycle settled."""
        told = owed.line not in self.refused and bool(self.records.clean(owed, "RJCT"))
        return told and not self._is_settled(owed)

    def _comes_back(self, owed: Owed) -> bool:
        gone = owed.line in self.refused or owed.line in self.returned
        return not gone and self._is_settled(owed) and bool(self.records.clean(owed, "RTRN"))

    def _payable(self, back: list[Owed]) -> list[Owed]:
        """Those whose two sides are in the directory, or one, and, where money moves at once,
        whose receivers have the funds; a receiver that has not returns nothing yet."""
        directory = self.cycles.directory
        back = [o for o in back if o.is_on_us or set(o.sides) <= set(directory.participants)]
        while not directory.rules.calendar:
            nets = self.cycles.nets_back(back)
            short = {code for code, net in nets.items() if self.books.lacks(code, net)}
            if not short:
                break
            back = [o for o in back if directory.settler(o.participant) not in short]
        return back

    def _do(self, owed: Owed, status: str, state: str) -> None:
        """Note what this commit does to a line."""
        self.payments.status[owed.line] = state
        self.deeds[owed.line] = (*self.deeds.get(owed.line, ()), (self.folders, status))

    def _refuse(self, name: str, gone: list[Owed]) -> None:
        """P7: lines leave a cycle."""
        for owed in gone:
            self.books.on_us_back(owed)
            self.books.expense_back(owed)
            self.payments.free(owed)
            self.refused.add(owed.line)
            self._do(owed, "RJCT", "RJCT")
        self.cycles.leave(name, gone)

    def _return(self, back: list[Owed], day: dt.date) -> str:
        """P8: money of settled lines comes back, through the next cycle or at once."""
        next_cycle = self.cycles.of_day(day)
        if next_cycle:
            name, closes = next_cycle
            self.cycles.enter_back(name, closes, back)
        else:
            name = f"{day:%Y%m%d}-R{self.folders:06d}"
            self.books.settle(self.cycles.nets_back(back))
        for owed in back:
            self.books.on_us_back(owed)
            self.books.move(owed.amount, owed.payable, RETURNS)
            self.returned[owed.line] = name
            self._do(owed, "RTRN", "RTRN")
        return name

    # --- what is recalled -----------------------------------------------------------------------

    def recall(self, lines: Collection[Line], words: str, day: dt.date) -> bool | None:
        """Lines leave their cycle, or their receivers are asked. Returns true where it is new, None
        where it must be refused."""
        chosen = tuple(sorted(set(lines)))
        if self.recalled.get(chosen) == words:
            return False
        sent = self.payments.sent
        gone = {*self.refused, *self.returned, *self.asked}
        if not chosen or not gone.isdisjoint(chosen) or not set(chosen) <= set(sent):
            return None
        credits_ = {sent[line].named for line in chosen}
        if any(owed.named in credits_ and line not in chosen for line, owed in sent.items()):
            return None  # A credit is recalled whole.
        self.folders += 1
        self.days.known.add(day)
        self.recalled[chosen] = words
        mine = [sent[line] for line in chosen]
        stopped = [owed for owed in mine if not self._is_settled(owed)]
        midnight = dt.datetime.combine(day, dt.time(), dt.UTC) - dt.timedelta(hours=7)
        self.payments.stopped |= {owed.line: midnight for owed in stopped}
        for name in sorted({self._cycle_of(owed) for owed in stopped}):
            self._refuse(name, [owed for owed in stopped if self._cycle_of(owed) == name])
        self.asked |= {owed.line: day for owed in mine if owed not in stopped}
        return True

    def unproven(self, receivers: Collection[str], before: dt.date) -> list[Line]:
        """Lines that went to some receivers and settled before a day, of which nobody said that
        they were credited, that came back, or that they are asked for; of batches that are open."""
        states, sent = self.states(), self.payments.sent
        return sorted(
            line
            for line, owed in sent.items()
            if states[line] in ("SETTLED", "UNAPPLIED")
            and owed.participant in receivers
            and line not in self.asked
            and business_day(self._cycle_of(owed)) < before
        )

    def open_recalls(self) -> list[Line]:
        """Lines that receivers were asked for and neither gave back nor refused to."""
        return [
            line
            for line in self.asked
            if line not in self.returned and not self.records.denies(self.payments.sent[line])
        ]

    def recalls(self) -> dict[Line, str]:
        """States of recalls by line."""
        found = dict.fromkeys(self.payments.stopped, "ACCEPTED")
        pending = set(self.open_recalls())
        for line in self.asked:
            word = "ACCEPTED" if line in self.returned else "REFUSED"
            found[line] = "OPEN" if line in pending else word
        return found

    # --- what is decided ------------------------------------------------------------------------

    def returns_there(self) -> list[Line]:
        """Lines whose money is back, and nothing decided about it."""
        pending = self.cycles.unsettled()
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
        self.folders += bool(chosen)
        for line in chosen:
            owed = self.payments.sent[line]
            self.books.move(owed.amount, RETURNS, owed.expense)
            self.disposed[line] = REISSUED if again else WRITTEN_BACK
            self._do(owed, "RTRN", self.disposed[line])
            if again:
                self.payments.free(owed)
        return chosen

    def close_day(self, day: dt.date) -> tuple[Moved, list[int]]:
        """(what moves by it, the batches that are closed by it)."""
        moved = self.reconcile([], day)
        self.days.signed = max(self.days.signed, day)
        pending = self.cycles.unsettled()
        unfinished = {entry.batch for entry in self.payments.waiting}
        unfinished |= {line[0] for line, state in self.states().items() if state in OPEN}
        unfinished |= {line[0] for line, name in self.returned.items() if name in pending}
        unfinished |= {line[0] for line in self.open_recalls()}
        due = {
            seq
            for seq, ran in self.payments.batches.items()
            if seq not in self.closed | unfinished and ran.cycle not in pending and ran.day <= day
        }
        while True:
            done = due | self.closed
            sent = self.payments.sent.values()
            waits = {owed.entry.batch for owed in sent if owed.cleared_in not in done}
            if not waits & due:
                break
            due -= waits
        self.closed |= due
        return moved, sorted(due)

    # --- where lines stand ----------------------------------------------------------------------

    def day_of(self, owed: Owed) -> dt.date:
        """The business day of a line's cycle, from which on an answer is expected."""
        return business_day(self._cycle_of(owed))

    def is_overdue(self, owed: Owed) -> bool:
        """Tell whether a line settled so long ago that it should have an answer."""
        return self._is_settled(owed) and self.days.is_late(self.day_of(owed))

    def states(self) -> dict[Line, str]:
        """States of all lines that were sent, on the day on which answers were looked at last."""
        credited = self.records.files().credited
        sent = self.payments.sent
        return {line: self._state(owed, credited) for line, owed in sent.items()}

    def state_of(self, line: Line, states: Mapping[Line, str]) -> str:
        """The state of a line now. states: of all lines that were sent."""
        if line in {entry.line for entry in self.payments.waiting}:
            return "HELD"
        if any(line in lines for lines in self.payments.cancelled):
            return "CANCELLED"
        if self.payments.status[line] == "CANC":
            return "EXPIRED"
        word = self.disposed.get(line) or states.get(line, "REJECTED")
        owed = self.payments.sent.get(line)
        if owed is None or word not in ("SETTLED", "UNAPPLIED", "CREDITED"):
            return word
        people = self.cycles.directory.participants
        is_cash = people.get(owed.participant, {}).get("kind") == "cash"
        if line in self.unproven_asked and (word == "SETTLED" or (is_cash and word != "CREDITED")):
            return "EXPIRED"
        return {"CREDITED": "CASH_PAID"}.get(word, "CASH") if is_cash else word

    def _state(self, owed: Owed, credited: Collection[Line]) -> str:
        if owed.line in self.refused:
            return "REFUSED"
        if owed.line in self.returned:
            return "RETURNED"
        if owed.line in credited or self.records.clean(owed, "ACCC"):
            return "CREDITED"
        if not self._is_settled(owed):
            return "CLEARED"
        return "UNAPPLIED" if self.is_overdue(owed) else "SETTLED"

    def statuses(self, line: Line) -> list[str]:
        """Every status that a line ever had, oldest first; none twice in a row."""
        found = list(self.payments.told[line])
        owed = self.payments.sent.get(line)
        if owed is not None and self.folders:
            credits = [(record.at, False, "ACCC") for record in self.records.clean(owed, "ACCC")]
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
        """The time at which what a commit did to a line was said to have happened."""
        if status == "RJCT" and owed.line in self.payments.stopped:
            return self.payments.stopped[owed.line]
        said = self.records.clean(owed, status)
        return min(record.at for record in said if self.records.heard[record] <= commit)
