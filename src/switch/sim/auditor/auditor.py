"""The auditor: what must become of every line, every posting and every balance of a home.

Of the engine it imports `schema`, `reason` and `errors` alone. Written from docs/contract.md and
docs/domain.md as plain dicts and lists, without regard for speed: it is told the same operations as
the engine, and predicts what the engine must answer. Amounts are whole dong.

An operation is tried on a copy (`Auditor.copy`): where the machine fails in the middle of it, the
home must be as one of the two says, and nothing in between.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import TypeVar

from switch.sim.auditor.books import Books
from switch.sim.auditor.breaks import OpenBreaks
from switch.sim.auditor.citizens import Citizens, Claim
from switch.sim.auditor.clearing import Clearing
from switch.sim.auditor.control import Act, Control, Vote, unequal_parts, unproven
from switch.sim.auditor.cycles import Cycles, business_day
from switch.sim.auditor.days import Days
from switch.sim.auditor.directory import Directory
from switch.sim.auditor.expected import (
    Breaks,
    Line,
    Moved,
    Owed,
    Record,
    Ruled,
    Settled,
    Table,
    Verdict,
    is_again,
)
from switch.sim.auditor.fees import Bill, Fees, Name, Owing, Payment
from switch.sim.auditor.notes import AlarmNotes, AlarmWords, Mark, Notes, Occurrence
from switch.sim.auditor.payments import Payments
from switch.sim.auditor.people import Holding, People, Said
from switch.sim.auditor.policy import Policy
from switch.sim.auditor.portal import Portal, Told
from switch.sim.auditor.records import Records
from switch.sim.auditor.screening import Row, entitlement
from switch.sim.auditor.way_back import WayBack

PARTS = (
    *(Books, Citizens, Clearing, Control, Cycles, Days, Directory, Fees),
    *(AlarmNotes, Notes, Payments, People, Portal, Records, WayBack),
)
Part = TypeVar("Part")


class Auditor:
    """One home as it must be."""

    def __init__(
        self,
        participants: Iterable[Row],
        debtors: Iterable[Row],
        programmes: Iterable[Row],
        opening: Mapping[str, int],
        rules: Ruled | None = None,
    ) -> None:
        """opening: balances by participant, which may not go below zero."""
        self.directory = Directory()
        self.directory.replace(participants, debtors, programmes, rules)
        assert self.directory.is_sound(), "a home begins with a sound directory"
        self.people = People()
        self.days = Days()
        self.books = Books(self.directory, opening)
        self.cycles = Cycles(self.directory, self.books)
        self.fees = Fees(self.directory, self.books, self.cycles, self.days)
        self.payments = Payments()
        self.clearing = Clearing(self.directory, self.people, self.payments, self.cycles)
        self.way_back = WayBack(self.books, self.cycles, self.payments, self.days)
        self.notes, self.alarms = Notes(), AlarmNotes()
        self.control = Control(self.books, self.cycles, self.days, self.payments, self.way_back)
        self.portal = Portal(self.control)
        self.citizens = Citizens(self.people, self.directory, self.control)
        self.commits = 1
        """Operations that took place: as many as there are audit records."""

    def copy(self) -> Auditor:
        """Another auditor that knows the same. Rows are shared: nobody changes them."""
        return _twin(self, {})

    # --- directory and registers ----------------------------------------------------------------

    def change(
        self,
        participants: Iterable[Row] | None = None,
        debtors: Iterable[Row] | None = None,
        programmes: Iterable[Row] | None = None,
        rules: Ruled | None = None,
    ) -> frozenset[str]:
        """Replace tables of the directory, or the settings; what is None stays. Returns the rules
        by which it must be refused."""
        before = self.directory.participants
        self.directory.replace(participants, debtors, programmes, rules)
        self.commits += 1
        sound = self.directory.is_sound() and self.cycles.keep_their_accounts(before)
        return frozenset() if sound else frozenset({"DIRECTORY_INVALID"})

    def register(
        self,
        people: Iterable[Row] | None,
        accounts: Iterable[Row] | None,
        paid: Iterable[Row] | None,
        replace: bool,
        share: int = 20,
        replaced: Iterable[tuple[str, str]] = (),
    ) -> str:
        """Upsert registers by key, or replace the whole of what is given; or take in pairs of ids.
        share: one in so many people may be changed by deltas. Returns the rule by which they must
        be refused, which is no commit; '' for none."""
        if self.people.is_of_themself(accounts or ()):
            return "REPRESENTATIVE_SELF"
        if replaced:
            if rule := self.people.refusal_of(replaced):
                return rule
            self.people.put_replaced(replaced, share)
        else:
            self.people.upsert(people, accounts, paid, replace, share)
        self.commits += 1
        return ""

    def bind(self, person: str, device: str, at: dt.datetime) -> str | None:
        """Bind a device to a person. Returns the rule by which it must be refused, which is a
        commit as well; '' for none; None where it was bound so, and nothing is recorded."""
        rule = self.citizens.bind(person, device, at)
        self.commits += rule is not None
        return rule

    def claim(self, said: Claim) -> str:
        """Register an account of a citizen. Returns the rule by which it must be refused, which is
        a commit as well; '' for none."""
        self.commits += 1
        return self.citizens.claim(said)

    def identify(
        self, asked: Mapping[str, tuple[str, Holding]], said: Mapping[str, Said], share: int
    ) -> int:
        """Take an answer of the population database (`People.identify`). Returns how many people
        are held otherwise by it: none is no commit."""
        count = self.people.identify(asked, said, share)
        self.commits += count > 0
        return count

    def compact(self) -> bool:
        """Write the register whole. Returns true where it had deltas."""
        is_new = self.people.compact()
        self.commits += is_new
        return is_new

    def note(self, marks: list[Mark], words: str, owner: str, accepted: bool | None) -> bool:
        """Note something about breaks: nothing else changes. Returns true where it is new."""
        is_new = self.notes.take(marks, words, owner, accepted)
        self.commits += is_new
        return is_new

    def note_alarms(self, found: list[Occurrence], words: AlarmWords) -> bool:
        """Note something about alarms: nothing else changes. Returns true where it is new."""
        is_new = self.alarms.take(found, words)
        self.commits += is_new
        return is_new

    # --- the run --------------------------------------------------------------------------------

    def run(self, table: Table, *, in_memory: bool = False) -> Verdict:
        """Take a table in. in_memory: it is no file. Returns what must become of it."""
        faults = table.faults()
        if self.control.versions and not in_memory:
            faults |= unequal_parts(table)
        number = self.payments.number_of(table)
        if number is None:
            faults |= self.control.may_run(table, in_memory)
        if number is not None:
            ran = self.payments.batches[number]
            if not is_again(ran.content, table.content) or ran.declared != table.declared:
                return Verdict(frozenset(faults | {"REFERENCE_REUSED"}), None, None)
            return Verdict(frozenset(faults), number, None)
        if faults:
            return Verdict(frozenset(faults), None, None)
        day = max(table.value_date, self.days.signed)
        expected = self.clearing.clear(table, day)
        budgets = self.directory.budgets() if self.directory.rules.budgets else None
        if budgets and self.payments.is_beyond(budgets, table, expected):
            return Verdict(frozenset({"BUDGET_EXCEEDED"}), None, None)
        for owed in expected.owed:
            assert entitlement(owed.entry.row) not in self.people.history, "paid twice"
        self.payments.add(table, expected, day)
        self.people.take_in(expected.seq, table.rows)
        self.days.known.add(day)
        if self.directory.rules.calendar:
            self.cycles.enter(expected)
        self.books.post(expected.postings)
        self.commits += 1
        return Verdict(frozenset(), None, expected)

    def cancel(self, lines: Collection[Line], words: str) -> bool | None:
        """Cancel lines that wait, all or none. Returns true where it is new, None where it must be
        refused."""
        is_new = self.payments.cancel(lines, words)
        self.commits += is_new is True
        return is_new

    def expire(self, day: dt.date) -> list[tuple[Line, dt.date]] | None:
        """Let lines that waited beyond their deadline on a day leave the queue. Returns them, each
        with its deadline; None where it must be refused."""
        rules = self.directory.rules
        days = [rules.held_days, rules.cash_days, *(days for _, days in rules.held_days_of)]
        if not any(days):
            return None
        gone = self.payments.expire(rules, day)
        if gone:
            self.days.known.add(day)
            self.commits += 1
        return gone

    def ask_back(self, day: dt.date) -> list[Line]:
        """Recall cash lines that nobody had proven by their deadline. Returns them."""
        days, people = self.directory.rules.cash_days, self.directory.participants
        cash = {code for code, row in people.items() if row["kind"] == "cash"}
        mine = self.way_back.unproven(cash, day - dt.timedelta(days=days)) if days else []
        if mine:
            self.commits += 1
            assert self.way_back.recall(mine, f"cash {day}", day)
            self.way_back.unproven_asked |= set(mine)
        return mine

    # --- fees to the state ------------------------------------------------------------------------

    def load_agencies(self, rows: dict[str, tuple[str, str]]) -> bool | None:
        """Replace the agencies that take fees (`Fees.load_agencies`)."""
        is_new = self.fees.load_agencies(rows)
        self.commits += is_new is True
        return is_new

    def load_bills(self, rows: dict[Bill, Owing]) -> int | None:
        """Load bills of agencies (`Fees.load_bills`)."""
        count = self.fees.load_bills(rows)
        self.commits += bool(count)
        return count

    def take_fees(self, rows: tuple[Payment, ...], day: dt.date) -> tuple[list[str], bool]:
        """Take payments of fees (`Fees.take`)."""
        codes, is_new = self.fees.take(rows, day)
        self.commits += is_new
        return codes, is_new

    def refund(self, name: Name, amount: int, words: str, day: dt.date) -> bool | None:
        """Refund a payment of a fee (`Fees.refund`)."""
        is_new = self.fees.refund(name, amount, words, day)
        self.commits += is_new is True
        return is_new

    def withdraw(self, name: Name, words: str) -> bool | None:
        """Withdraw what waits of a payment (`Fees.withdraw`)."""
        is_new = self.fees.withdraw(name, words)
        self.commits += is_new is True
        return is_new

    # --- cycles of the calendar ------------------------------------------------------------------

    def fund(self, balances: Mapping[str, int]) -> dict[str, int]:
        """Let settlement accounts hold so much. Returns the balances of those that have an account
        of their own: no others may be given."""
        settler = self.directory.settler
        own = {code: balance for code, balance in balances.items() if settler(code) == code}
        for code, balance in own.items():
            self.books.fund(code, balance)
        self.commits += bool(own)
        return own

    def settle(self, day: dt.date | None = None) -> list[Settled]:
        """Close and settle all that is not, oldest cycle first. day: on which it is done; None: on
        that of each."""
        found = []
        for name, cycle in self.cycles.unsettled().items():
            settled, gone = self.cycles.settle(name)
            self.commits += (cycle.state == "OPEN") + (settled.state == "SETTLED")
            found.append(settled._replace(recall=self._take_back(name, gone, day)))
        self.payments.settle(self.cycles.settled())
        return found

    def close(self, name: str) -> None:
        """Let a cycle take no more lines."""
        self.commits += self.cycles.known[name].state == "OPEN"
        self.cycles.close(name)

    def abort(self) -> Settled:
        """Give up the oldest cycle that is not settled: it is as if its lines had never cleared."""
        name, cycle = next(iter(self.cycles.unsettled().items()))
        self.commits += 1 + (cycle.state == "OPEN")
        return Settled(name, "ABORTED", {}, [], self._take_back(name, self.cycles.abort(name)))

    def _take_back(
        self, name: str, gone: list[Owed], day: dt.date | None = None
    ) -> dict[str, list[tuple[str, int]]]:
        """Let lines of a cycle wait again. day: as of `settle`. Returns what receivers are told."""
        for owed in gone:
            self.books.expense_back(owed)
        return self.payments.take_back(gone, day or max(business_day(name), self.days.signed))

    # --- control --------------------------------------------------------------------------------

    def set_policy(self, policy: Policy, day: dt.date, votes: Collection[Vote]) -> frozenset[str]:
        """Set the next version of the policy. Returns the rules by which it must be refused."""
        rules = self.control.set_policy(policy, day, votes)
        self.commits += not rules
        return rules

    def sign(self, act: Act, table: Table | None = None) -> frozenset[str]:
        """Take an act. table: the file that is prepared. Returns the rules by which it must be
        refused."""
        unsound = unproven(table) if table else frozenset()
        rules = unsound or self.control.take(act)
        self.commits += not rules
        return rules

    def take_deliveries(self, committed: Callable[[], None]) -> list[Told] | None:
        """Take what parties delivered. committed: is told of each commit. Returns what must become
        of each; None where nobody may deliver."""

        def one() -> None:
            self.commits += 1
            committed()

        return self.portal.take_all(one)

    # --- the way back ---------------------------------------------------------------------------

    def reconcile(self, records: Iterable[Record], day: dt.date) -> Moved:
        """Take in what receivers say. Returns what moves by it."""
        self.commits += 1
        return self.way_back.reconcile(records, day)

    def recall(self, lines: Collection[Line], words: str, day: dt.date) -> bool | None:
        """Recall lines that were sent, all or none. Returns true where it is new, None where it
        must be refused."""
        is_new = self.way_back.recall(lines, words, day)
        self.commits += is_new is True
        return is_new

    def dispose(self, lines: Collection[Line] | None, again: bool) -> list[Line] | None:
        """Decide about money that came back. Returns the lines it is about; None where it must be
        refused."""
        chosen = self.way_back.dispose(lines, again)
        self.commits += bool(chosen)
        return chosen

    def close_day(self, day: dt.date) -> tuple[Moved, list[int]]:
        """End a day. Returns what moves by it, and the batches that are closed by it."""
        self.commits += 1
        return self.way_back.close_day(day)

    def breaks(self) -> Breaks:
        """Breaks that must be open."""
        return OpenBreaks(self.way_back).all()

    def beyond(self, days: int) -> dt.date:
        """A day so many days too far behind all that anybody ever said, or that is due."""
        return self.days.beyond(days, map(business_day, self.cycles.known))


def _twin(part: Part, twins: dict[int, object]) -> Part:
    """A part with containers of its own. A part that several hold has one twin."""
    twin = twins.get(id(part))
    if twin is None:
        twin = twins[id(part)] = object.__new__(type(part))
        for name, value in vars(part).items():
            if isinstance(value, PARTS):
                vars(twin)[name] = _twin(value, twins)
            elif isinstance(value, dict | set | list):
                vars(twin)[name] = value.copy()
            else:
                vars(twin)[name] = value
    assert isinstance(twin, type(part))
    return twin
