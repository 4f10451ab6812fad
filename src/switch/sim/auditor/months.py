"""Months judged: how much each account was sent in a month, and what its participant's limit is.

Of the engine it imports `schema`, `reason` and `errors` alone. Written from docs/contract.md (row
14a). Amounts are whole dong.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from switch.sim.auditor.expected import Owed
from switch.sim.auditor.payments import REISSUED, WRITTEN_BACK, Payments
from switch.sim.auditor.screening import Row

TAKEN_BACK = ("RJCT", "RTRN", WRITTEN_BACK, REISSUED)
"""States of lines that were sent, and that count as if they had not been."""


class Months:
    """Accounts in the month of one value date, while a table is run."""

    def __init__(self, participants: Mapping[str, Row], payments: Payments, month: str) -> None:
        """participants: by code. month: yyyy-mm."""
        self.participants = participants
        self.sums: Counter[tuple[str, str]] = Counter()
        """Sums by account: the code that stands for its participant in the end, and its text."""
        for owed in payments.sent.values():
            if self._counts(owed, payments) and _month_of(owed, payments) == month:
                self.take(owed.participant, owed.account, owed.amount)

    def is_full(self, participant: str, account: str, amount: int) -> bool:
        """Tell whether an account would be beyond its limit with an amount."""
        limit = self.participants[participant].get("amount_month_max")
        if limit in ("", None, 0):
            return False
        return self.sums[self._key(participant, account)] + amount > int(str(limit))

    def take(self, participant: str, account: str, amount: int) -> None:
        """Count what an account is sent."""
        self.sums[self._key(participant, account)] += amount

    def _key(self, participant: str, account: str) -> tuple[str, str]:
        row = self.participants.get(participant) or {}
        return row.get("replaced_by") or participant, account

    @staticmethod
    def _counts(owed: Owed, payments: Payments) -> bool:
        return payments.status[owed.line] not in TAKEN_BACK


def _month_of(owed: Owed, payments: Payments) -> str:
    value_date = payments.run_of(owed).declared[0]
    return f"{value_date:%Y-%m}"
