"""Money: whose settlement account pays, and what clearing posts, in steps of the domain's table.

Of the engine it imports `schema`, `reason` and `errors` alone. Amounts are whole dong.
"""

from __future__ import annotations

from collections import Counter

from switch.sim.auditor.expected import Calendar, Cycle, Position, Posting
from switch.sim.auditor.screening import Answer, Row

TREASURY_KIND = "treasury"


class Money:
    """What the books of a home are kept by: its directory and its cycles."""

    participants: dict[str, Row]
    debtors: dict[str, Row]
    calendar: Calendar | None
    cycles: dict[str, Cycle]
    """Cycles of the calendar that were heard of."""

    balances: dict[str, int]
    guarded: set[str]
    """Participants that may not owe more than they hold."""

    def unsettled(self) -> dict[str, Cycle]:
        """Cycles that have not come to their end, in order of their cut-offs."""
        ended = ("SETTLED", "ABORTED")
        order = sorted(self.cycles, key=lambda name: (name[:8], self.cycles[name].closes, name))
        return {n: self.cycles[n] for n in order if self.cycles[n].state not in ended}

    def _holds(self, code: str) -> int:
        """At the State Bank, whatever it calls the account."""
        return sum(self.balances.get(f"S.{kind}[{code}]", 0) for kind in ("BANK", "TREASURY"))

    def treasuries(self) -> list[str]:
        return [c for c, row in self.participants.items() if row["kind"] == TREASURY_KIND]

    def _settles(self, code: str) -> str:
        """Whose settlement account pays; '' where the directory lacks it."""
        return (
            str(self.participants[code]["settled_by"] or code) if code in self.participants else ""
        )

    def _account(self, code: str) -> str:
        """The settlement account of a participant that settles for itself."""
        treasury = self.participants[code]["kind"] == TREASURY_KIND
        return f"S.TREASURY[{code}]" if treasury else f"S.BANK[{code}]"

    def _agent(self, row: Row) -> str:
        return str(self.debtors[row["debtor_account"]]["debtor_agent"])

    def _positions(self, cleared: list[tuple[Row, Answer, str]]) -> list[Position]:
        """Positions of those who took part; a line within one institution enters none."""
        sums: dict[str, list[int]] = {}
        for row, answer, _ in cleared:
            payer, payee = self._agent(row), str(answer.participant)
            if payer != payee:
                for code, at in ((payee, 0), (payer, 2)):
                    mine = sums.setdefault(code, [0, 0, 0, 0])
                    mine[at] += 1
                    mine[at + 1] += row["amount"]
        return [
            Position(code, self._settles(code), *(*mine, mine[1] - mine[3]))
            for code, mine in sorted(sums.items())
        ]

    def _postings(
        self,
        batch: str,
        cycle: str,
        cleared: list[tuple[Row, Answer, str]],
        positions: list[Position],
    ) -> Counter[Posting]:
        """Steps P1, P2, P3, P4 and P12 of the domain's table: what a run posts for a batch."""
        found: Counter[Posting] = Counter()
        reserve, clearing = f"S.RESERVE[{batch}]", f"S.CLEARING[{cycle}]"
        funded: Counter[str] = Counter()
        for row, answer, _ in cleared:
            amount, payer, payee = row["amount"], self._agent(row), str(answer.participant)
            found[Posting("P1", f"T.EXPENSE[{row['benefit']}]", f"T.PAYABLE[{batch}]")] += amount
            if payer == payee:
                found[Posting("P12", f"B.TREASURY[{payer}]", f"B.CUSTOMER[{payer}]")] += amount
                continue
            debit, credit = self._settles(payer), self._settles(payee)
            if debit != credit:
                found[Posting("P3", f"N.POSITION[{debit}]", f"N.POSITION[{credit}]")] += amount
            if self.participants[debit]["kind"] == TREASURY_KIND:
                funded[debit] += amount
        nets: Counter[str] = Counter()
        for position in positions:
            nets[position.settled_by] += position.net
        if self.calendar is not None:
            # What the cycle owes beyond what is set aside, for whoever sets aside.
            known = self.cycles.get(cycle)
            if known:
                # Of all of it: when lines paid to a treasury are refused, it owes more than before.
                nets.update(known.nets)
            for code in set(nets) & set(self.treasuries()):
                lacks = -nets[code] - (known.reserved[code] if known else 0)
                found[Posting("P2", self._account(code), reserve)] += max(lacks, 0)
            return +found
        for code, amount in funded.items():
            found[Posting("P2", self._account(code), reserve)] += amount
            found[Posting("P2", reserve, self._account(code))] += amount + min(nets[code], 0)
        for code, net in nets.items():
            if net < 0:
                payer = reserve if code in funded else self._account(code)
                found[Posting("P4", payer, clearing)] += -net
            else:
                found[Posting("P4", clearing, self._account(code))] += net
        return +found
