"""Cycles of the calendar: what each owes, who lacks funds for it, and how it ends.

Of the engine it imports `schema`, `reason` and `errors` alone. Amounts are whole dong.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from switch.sim.auditor.books import Books
from switch.sim.auditor.directory import Directory
from switch.sim.auditor.expected import Cycle, Expected, FeePaid, Owed, Settled
from switch.sim.auditor.screening import Row

ENDED = ("SETTLED", "ABORTED")
EMPTY = Cycle("OPEN", {}, Counter(), Counter(), Counter())


def business_day(cycle: str) -> dt.date:
    """The day in the name of a cycle."""
    return dt.datetime.strptime(cycle[:8], "%Y%m%d").date()


class Cycles:
    """Cycles that were heard of, by name."""

    def __init__(self, directory: Directory, books: Books) -> None:
        self.directory, self.books = directory, books
        self.known: dict[str, Cycle] = {}

    def unsettled(self) -> dict[str, Cycle]:
        """Cycles that have not come to their end, in order of their cut-offs."""
        order = sorted(self.known, key=lambda name: (name[:8], self.known[name].closes, name))
        return {n: self.known[n] for n in order if self.known[n].state not in ENDED}

    def settled(self) -> set[str]:
        """Names of cycles that have settled."""
        return {name for name, cycle in self.known.items() if cycle.state == "SETTLED"}

    def of_day(self, day: dt.date) -> tuple[str, str] | None:
        """(name, cut-off) of the cycle that takes what comes in on a day; None without a
        calendar."""
        calendar = self.directory.rules.calendar
        return calendar.cycle_of(day, self.known) if calendar else None

    def keep_their_accounts(self, before: Mapping[str, Row]) -> bool:
        """Tell whether all with a position in a cycle that has not ended have the same settlement
        account as before. before: participants by code."""
        now = self.directory.participants
        return all(
            self.directory.settler(code) == settler
            and settler in now
            and now[settler]["kind"] == before[settler]["kind"]
            for cycle in self.unsettled().values()
            for code, settler in cycle.positions.items()
        )

    def enter(self, expected: Expected) -> None:
        """Let a batch's positions and reserves join their cycle."""
        cycle = self.known.get(expected.cycle, EMPTY._replace(closes=expected.closes))
        nets, positions = Counter(cycle.nets), dict(cycle.positions)
        for position in expected.positions:
            nets[position.settled_by] += position.net
            positions[position.participant] = position.settled_by
        reserved, reserves = Counter(cycle.reserved), Counter(cycle.reserves)
        for posting, amount in expected.postings.items():
            if posting.step == "P2":
                reserved[posting.debit.partition("[")[2][:-1]] += amount
                reserves[posting.credit] += amount
        self.known[expected.cycle] = cycle._replace(
            positions=positions,
            nets=nets,
            reserved=reserved,
            reserves=reserves,
            owed=cycle.owed + expected.owed,
        )

    def enter_back(self, name: str, closes: str, back: Iterable[Owed]) -> None:
        """Let lines whose money comes back join a cycle."""
        cycle = self.known.get(name, EMPTY._replace(closes=closes))
        nets = Counter(cycle.nets)
        nets.update(self.nets_back(back))
        codes = {code for owed in back if not owed.is_on_us for code in owed.sides}
        positions = cycle.positions | {code: self.directory.settler(code) for code in codes}
        self.known[name] = cycle._replace(positions=positions, nets=nets, answered=True)

    def enter_fees(self, name: str, closes: str, fees: Sequence[FeePaid]) -> None:
        """Let payments of fees join a cycle."""
        cycle = self.known.get(name, EMPTY._replace(closes=closes))
        nets, positions = Counter(cycle.nets), dict(cycle.positions)
        for fee in fees:
            if fee.bank != fee.agent:
                positions |= {fee.bank: fee.payer, fee.agent: fee.payee}
                nets[fee.payer] -= fee.amount
                nets[fee.payee] += fee.amount
        both = cycle.fees + tuple(fees)
        self.known[name] = cycle._replace(positions=positions, nets=nets, fees=both)

    def _fees_back(self, fees: Iterable[FeePaid]) -> None:
        for fee in fees:
            self.books.move(fee.amount, *reversed(fee.books))

    def leave(self, name: str, gone: Iterable[Owed]) -> None:
        """Take lines out of a cycle. What its treasury had set aside beyond what it owes now is
        released, what was set aside last at first."""
        cycle = self.known[name]
        nets = Counter(cycle.nets)
        nets.update(self.nets_back(gone))
        reserved, reserves = Counter(cycle.reserved), Counter(cycle.reserves)
        for code in cycle.reserved:
            spare = reserved[code] - max(-nets[code], 0)
            for account in sorted(reserves, reverse=True):
                free = min(reserves[account], max(spare, 0))
                self.books.move(free, account, self.directory.account(code))
                reserves[account] -= free
                reserved[code] -= free
                spare -= free
        self.known[name] = cycle._replace(
            nets=nets, reserved=reserved, reserves=reserves, answered=True
        )

    def nets_back(self, back: Iterable[Owed]) -> Counter[str]:
        """Changes of nets by settlement participant when receivers pay lines back."""
        nets: Counter[str] = Counter()
        for owed in back:
            if not owed.is_on_us:
                nets[self.directory.settler(owed.participant)] -= owed.amount
                nets[self.directory.settler(owed.agent)] += owed.amount
        return nets

    def rooms(self, name: str) -> dict[str, int]:
        """Sums that each settlement participant may owe beyond what it owes in a cycle; others may
        owe anything."""
        found: dict[str, int] = {}
        cycle = self.known.get(name, EMPTY)
        others = [known for other, known in self.unsettled().items() if other != name]
        for code, row in self.directory.participants.items():
            if self.directory.settler(code) == code:
                cap, net = row["net_debit_cap"], cycle.nets[code]
                limits = [] if cap is None else [int(cap) + net]
                if code in self.books.guarded:
                    taken = sum(min(o.nets[code] + o.reserved[code], 0) for o in others)
                    holds = self.books.holds(code) + cycle.reserved[code]
                    limits.append(holds + net + taken)
                found |= {code: min(limits)} if limits else {}
        return found

    # --- the end of a cycle ---------------------------------------------------------------------

    def close(self, name: str) -> None:
        """Let a cycle take no more lines."""
        self.known[name] = self.known[name]._replace(state="CLOSED")

    def settle(self, name: str) -> tuple[Settled, list[Owed]]:
        """(the end of a cycle, lines that are taken out of it): it settles where nobody lacks
        funds, or without those who do where settings and answers allow it."""
        cycle = self.known[name]
        assert sum(cycle.nets.values()) == 0
        short, nets = self._without_defaulters(cycle)
        if short and not self._may_recast(cycle):
            self.close(name)
            return Settled(name, "CLOSED", short, [], {}), []
        for code, net in nets.items():
            assert not self.books.lacks(code, net, cycle.reserved[code]), (
                "a bound payer lacks funds"
            )
        self.books.settle(cycle.reserved)
        self.books.settle(nets)
        self.books.release(cycle.reserves)
        out = [f for f in cycle.fees if f.payer in short and f.payer != f.payee]
        self._fees_back(out)
        stay = tuple(fee for fee in cycle.fees if fee not in out)
        self.known[name] = cycle._replace(state="SETTLED", fees=stay)
        turned = sorted(code for code, net in nets.items() if cycle.nets[code] >= 0 > net)
        gone = [owed for owed in cycle.owed if owed.payer in short and owed.payer != owed.payee]
        return Settled(name, "SETTLED", short, turned, {}), gone

    def abort(self, name: str) -> list[Owed]:
        """Give up a cycle: it is as if its lines had never cleared. Returns these."""
        cycle = self.known[name]
        for owed in cycle.owed:
            self.books.on_us_back(owed)
        self.books.settle(cycle.reserved)
        self.books.release(cycle.reserves)
        self._fees_back(cycle.fees)
        self.known[name] = cycle._replace(state="ABORTED", fees=())
        return list(cycle.owed)

    def _may_recast(self, cycle: Cycle) -> bool:
        return self.directory.rules.recasts and not cycle.answered

    def _without_defaulters(self, cycle: Cycle) -> tuple[dict[str, int], Counter[str]]:
        """(sum that each defaulter lacked, nets without their payments) of a cycle."""
        short: dict[str, int] = {}
        nets = Counter(cycle.nets)
        while True:
            missing = {c: self.books.lacks(c, net, cycle.reserved[c]) for c, net in nets.items()}
            lacks = {code: sum_ for code, sum_ in missing.items() if sum_}
            short |= lacks
            if not lacks or not self._may_recast(cycle):
                return short, nets
            nets = Counter(dict.fromkeys(nets, 0))
            both: tuple[Owed | FeePaid, ...] = (*cycle.owed, *cycle.fees)
            for owed in both:
                if owed.payer != owed.payee and owed.payer not in short:
                    nets[owed.payer] -= owed.amount
                    nets[owed.payee] += owed.amount
