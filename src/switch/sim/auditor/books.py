"""The books of a home: balances by account, credit less debit, and who may not go below zero.

Of the engine it imports `schema`, `reason` and `errors` alone. Amounts are whole dong.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from switch.sim.auditor.directory import Directory
from switch.sim.auditor.expected import Owed, Posting

KEPT = ("T.", "S.", "B.")
"""Beginnings of accounts whose balances are carried over from batch to batch."""


class Books:
    """Balances in double entry."""

    def __init__(self, directory: Directory, opening: Mapping[str, int]) -> None:
        """opening: balances by participant, which may not go below zero."""
        self.directory = directory
        self.guarded = set(opening)
        """Participants that may not owe more than they hold."""
        self.balances = {directory.account(code): sum_ for code, sum_ in opening.items()}

    def holds(self, code: str) -> int:
        """Money of a participant at the State Bank, by whichever name its account goes."""
        return sum(self.balances.get(f"S.{kind}[{code}]", 0) for kind in ("BANK", "TREASURY"))

    def lacks(self, code: str, net: int, reserved: int = 0) -> int:
        """Money that a participant is short of to pay a net, with what is set aside for it."""
        has = max(self.holds(code) + reserved, 0)
        return max(-net - has, 0) if code in self.guarded else 0

    def move(self, amount: int, debit: str, credit: str) -> None:
        """Post an amount from one account to another."""
        for account, change in ((debit, -amount), (credit, amount)):
            self.balances[account] = self.balances.get(account, 0) + change

    def post(self, postings: Counter[Posting]) -> None:
        """Post what a batch posts, as far as balances of its accounts are kept."""
        for posting, amount in postings.items():
            assert amount > 0
            if posting.debit.startswith(KEPT):
                self.move(amount, posting.debit, posting.credit)

    def settle(self, nets: Mapping[str, int]) -> None:
        """Add nets to the settlement accounts of participants."""
        for code, net in nets.items():
            account = self.directory.account(code)
            self.balances[account] = self.balances.get(account, 0) + net

    def release(self, reserves: Mapping[str, int]) -> None:
        """Empty accounts in which money was set aside."""
        self.balances |= dict.fromkeys(reserves, 0)

    def fund(self, code: str, balance: int) -> None:
        """Let a settlement account hold so much; from now on it may not go below zero."""
        change = balance - self.holds(code)
        self.move(change, f"S.RTGS[{code}]", self.directory.account(code))
        self.guarded.add(code)

    def expense_back(self, owed: Owed) -> None:
        """Take back the expense of a line that cleared."""
        self.move(owed.amount, owed.payable, owed.expense)

    def on_us_back(self, owed: Owed) -> None:
        """Take back the credit of a line whose payer is its receiver, too."""
        if owed.is_on_us:
            self.move(owed.amount, f"B.CUSTOMER[{owed.agent}]", f"B.TREASURY[{owed.agent}]")
