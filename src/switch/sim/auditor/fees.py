"""Fees to the state: bills, what becomes of each payment, and where its money stands.

Of the engine it imports `schema`, `reason` and `errors` alone. Written from docs/fees.md. Amounts
are whole dong.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter
from typing import NamedTuple

from switch.sim.auditor.books import Books
from switch.sim.auditor.cycles import Cycles
from switch.sim.auditor.days import LEAP_DAYS, Days
from switch.sim.auditor.directory import Directory
from switch.sim.auditor.expected import FeePaid

Bill = tuple[str, str]
"""(agency, reference)."""
Name = tuple[str, str]
"""A payment as its bank names it: the bank's code, and its id there."""
Key = tuple[Name, bool]
"""A payment, or (true) its refund."""


class Owing(NamedTuple):
    """Money that a bill asks for, and its due day."""

    amount: int
    due: dt.date | None


class Payment(NamedTuple):
    """A payment as a bank hands it in."""

    payment_id: str
    agency: str
    ref: str
    bank: str
    amount: int
    day: dt.date

    @property
    def bill(self) -> Bill:
        return self.agency, self.ref

    @property
    def name(self) -> Name:
        return self.bank, self.payment_id


class Fees:
    """Agencies, bills and payments of a home."""

    def __init__(self, directory: Directory, books: Books, cycles: Cycles, days: Days) -> None:
        self.directory, self.books, self.cycles, self.days = directory, books, cycles, days
        self.agencies: dict[str, tuple[str, str]] = {}
        """(participant, what becomes of late payments) by agency."""
        self.bills: dict[Bill, Owing] = {}
        self.taken: dict[Name, Payment] = {}
        """Payments that were taken, in their order."""
        self.refunds: dict[Name, tuple[int, str]] = {}
        """(amount, words) of refunds by payment."""
        self.withdrawn: dict[Name, str] = {}
        """Words of payments that were withdrawn."""
        self.refunds_withdrawn: dict[Name, str] = {}
        """Words of the last refund that was withdrawn, of payments without another one since."""
        self.paid_on: set[dt.date] = set()
        """Days on which payments or refunds were recorded."""
        self.entered: dict[Key, str] = {}
        """By payment and refund, oldest first: the cycle that it entered last; '' for one of its
        own, which has settled."""
        self.banks: dict[Key, str] = {}
        """Code of the payer's bank by payment and refund, as it entered a cycle last: one that was
        replaced may leave the directory."""
        self.files: dict[tuple[Payment, ...], list[str]] = {}
        """Files of payments, with their answers as they were given last."""

    def load_agencies(self, rows: dict[str, tuple[str, str]]) -> bool | None:
        """Replace the agencies. Returns true where that is new, None where it must be refused."""
        strangers = {code for code, _ in rows.values()} - set(self.directory.participants)
        if strangers or {agency for agency, _ in self.bills} - set(rows):
            return None
        is_new = rows != self.agencies
        self.agencies = dict(rows)
        return is_new

    def load_bills(self, rows: dict[Bill, Owing]) -> int | None:
        """Load bills. Returns how many are new, None where they must be refused."""
        for bill, owing in rows.items():
            if bill[0] not in self.agencies or owing.amount <= 0:
                return None
            if self.bills.get(bill, owing) != owing:
                return None
        count = len(rows.keys() - self.bills.keys())
        self.bills |= rows
        return count

    def waiting(self) -> list[Key]:
        """Payments and refunds whose cycle they left, oldest first."""
        stay = {name: {fee.key for fee in cycle.fees} for name, cycle in self.cycles.known.items()}
        return [
            key
            for key, name in self.entered.items()
            if name and key not in stay[name] and (key[1] or key[0] not in self.withdrawn)
        ]

    def leaps(self, day: dt.date) -> bool:
        """Tell whether a time needs the word: what is known, payments too, lies long before it."""
        before = [known for known in self.days.known | self.paid_on if known <= day]
        return bool(before) and (day - max(before)).days > LEAP_DAYS

    def state(self, key: Key) -> str:
        """CLEARED, SETTLED, WAITING or WITHDRAWN."""
        name = self.entered[key]
        if not key[1] and key[0] in self.withdrawn:
            return "WITHDRAWN"
        if key in self.waiting():
            return "WAITING"
        return "SETTLED" if not name or name in self.cycles.settled() else "CLEARED"

    def withdraw(self, name: Name, words: str) -> bool | None:
        """Give up what waits of a payment. Returns true where that is new, None where it must be
        refused."""
        if name in self.withdrawn:
            return False if self.withdrawn[name] == words else None
        waiting = self.waiting()
        if (name, True) in waiting:
            del self.entered[name, True], self.refunds[name], self.banks[name, True]
            self.refunds_withdrawn[name] = words
            return True
        if (name, False) in waiting:
            self.withdrawn[name] = words
            return True
        return False if self.refunds_withdrawn.get(name) == words else None

    def refund(self, name: Name, amount: int, words: str, day: dt.date) -> bool | None:
        """Give back a payment. Returns true where that is new, None where it must be refused."""
        payment = self.taken.get(name)
        if payment is None:
            return None
        if name in self.refunds:
            return False if self.refunds[name] == (amount, words) else None
        if not 0 < amount <= payment.amount or self.state((name, False)) != "SETTLED":
            return None
        slot = self.cycles.of_day(day)
        self.refunds[name] = amount, words
        fee = self._fee((name, True), day)
        if fee is None or not self._has_room(fee, self.cycles.rooms(slot[0] if slot else "")):
            del self.refunds[name]
            return None
        self.paid_on.add(day)
        self.refunds_withdrawn.pop(name, None)
        self.entered[fee.key] = slot[0] if slot else ""
        self._enter([fee], slot)
        return True

    def take(self, rows: tuple[Payment, ...], day: dt.date) -> tuple[list[str], bool]:
        """(code of each payment of a file, '' where it is taken, now or before; whether something
        is recorded). Those that wait go first; no rows: these alone."""
        slot = self.cycles.of_day(day)
        rooms = self.cycles.rooms(slot[0] if slot else "")
        entering = [fee for key in self.waiting() if (fee := self._fee(key, day))]
        entering = [fee for fee in entering if self._has_room(fee, rooms)]
        codes: list[str] = []
        ids, count = set(self.taken), len(self.taken)
        before = {
            payment.bill for name, payment in self.taken.items() if name not in self.withdrawn
        }
        passed = set[Bill]()
        taken_before = {self.taken[name] for name in ids if name not in self.withdrawn}
        for payment in rows:
            if payment in taken_before:
                codes.append("")
                continue
            code = self._code(payment, day, ids, before)
            if not code and payment.bill in passed:
                code = "AM05"
            ids.add(payment.name)
            if not code:
                passed.add(payment.bill)
                self.taken[payment.name] = payment
                fee = self._fee((payment.name, False), day)
                assert fee is not None
                if self._has_room(fee, rooms):
                    entering.append(fee)
                else:
                    del self.taken[payment.name]
                    code = "AM23"
            codes.append(code)
        if len(self.taken) == count and rows and self.files.get(rows) == codes:
            return codes, False
        for fee in entering:
            self.entered[fee.key] = slot[0] if slot else ""
        self._enter(entering, slot)
        if rows:
            self.files[rows] = codes
        if rows or entering:
            self.paid_on.add(day)
        return codes, bool(rows or entering)

    def _enter(self, fees: list[FeePaid], slot: tuple[str, str] | None) -> None:
        for fee in fees:
            self.banks[fee.key] = fee.agent if fee.back else fee.bank
            self.books.move(fee.amount, *fee.books)
        if slot is not None:
            if fees:
                self.cycles.enter_fees(*slot, fees)
            return
        nets: Counter[str] = Counter()
        for fee in fees:
            nets[fee.payer] -= fee.amount
            nets[fee.payee] += fee.amount
        self.books.settle({code: net for code, net in nets.items() if net})

    def _named(self, code: str, day: dt.date) -> str:
        """The participant that a code names on a day; '' for none."""
        row = self.directory.participants.get(code)
        if row is None:
            return ""
        since = row.get("replaced_from")
        return str(row["replaced_by"]) if since is not None and since <= day else code

    def _fee(self, key: Key, day: dt.date) -> FeePaid | None:
        """A payment or refund between the banks of a day; None where one is gone or suspended."""
        payment, back = self.taken[key[0]], key[1]
        held_by, _ = self.agencies.get(payment.agency, ("", ""))
        bank = self._named(self.banks.get(key, payment.bank), day)
        agent = self._named(held_by, day)
        people, amount = self.directory.participants, payment.amount
        if any(not code or people[code]["status"] != "active" for code in (bank, agent)):
            return None
        if back:
            bank, agent, amount = agent, bank, self.refunds[key[0]][0]
        sides = self.directory.settler(bank), self.directory.settler(agent)
        return FeePaid(key[0], payment.agency, bank, agent, *sides, amount, back)

    @staticmethod
    def _has_room(fee: FeePaid, rooms: dict[str, int]) -> bool:
        """The payer's settlement account has room for a payment; where it has none, nothing behind
        it goes."""
        if fee.payer == fee.payee or fee.payer not in rooms:
            return True
        rooms[fee.payer] = rooms[fee.payer] - fee.amount
        return rooms[fee.payer] >= 0

    def _code(self, payment: Payment, day: dt.date, ids: set[Name], paid: set[Bill]) -> str:
        """Code of the first rule that is in the way of a payment, but for cover; '' for none."""
        held_by, late = self.agencies.get(payment.agency, ("", ""))
        bank, agent = self._named(payment.bank, day), self._named(held_by, day)
        people, owing = self.directory.participants, self.bills.get(payment.bill)
        if payment.amount <= 0:
            return "AM12"
        if payment.amount > self.directory.rules.clearing_limit:
            return "AM13"
        if payment.day > day:
            return "DT01"
        if not agent:
            return "CNOR"
        if people[agent]["status"] == "suspended":
            return "AB08"
        if not bank:
            return "RC08"
        if people[bank]["status"] == "suspended":
            return "AB07"
        if payment.name in ids:
            return "DU03"
        if owing is None:
            return "NARR"
        if payment.bill in paid:
            return "AM05"
        if payment.amount != owing.amount:
            return "AM09"
        if late == "refused" and owing.due is not None and payment.day > owing.due:
            return "TM01"
        return ""
