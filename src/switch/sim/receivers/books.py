"""The receivers' own books, in double entry: sums by day, step and pair of accounts.

Steps and accounts are the domain's (docs/domain.md): P5 inward, P6 credit, P8 return. A bank gets
the money on B.NOSTRO and owes it on B.INWARD until the customer has it; a wallet holds it safe on
W.SAFEGUARD against the e-money that it has issued, W.EMONEY, or has yet to issue, W.INWARD.
"""

from __future__ import annotations

import datetime

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from switch.sim.receivers.behaviour import DAY_US, NEVER_CAME, Answers, Fate

BOOKS = pa.schema(
    [
        ("participant", pa.string()),
        ("booked_on", pa.date32()),
        ("step", pa.string()),
        ("debit", pa.string()),
        ("credit", pa.string()),
        ("count", pa.int64()),
        ("amount", pa.int64()),
    ]
)
_NOT_CREDITED = (*NEVER_CAME, Fate.RETURNED, Fate.SILENT, Fate.REFUSED_LATE)


def _accounts(kind: str) -> tuple[str, str, str]:
    """Accounts of a kind of participant: its money, what it owes, what its customers have."""
    if kind in ("wallet", "mobile_money"):
        return "W.SAFEGUARD", "W.INWARD", "W.EMONEY"
    return "B.NOSTRO", "B.INWARD", "B.CUSTOMER"


class Books:
    """Postings of all receivers of a batch, summed as they come."""

    def __init__(self, booked_on: datetime.date) -> None:
        self._begin = (booked_on - datetime.date(1970, 1, 1)).days
        self._sums: dict[tuple[str, int, str, str, str], tuple[int, int]] = {}

    def post(
        self,
        code: str,
        kind: str,
        fate: NDArray[np.uint8],
        amount: NDArray[np.int64],
        said: Answers,
        back: Answers,
    ) -> None:
        """One chunk of lines. What was confirmed with another amount is credited with that."""
        asset, owed, held = _accounts(kind)
        inward = amount[~np.isin(fate, NEVER_CAME)]
        self._add(code, self._begin, "P5", asset, owed, inward)
        first = np.ones(len(said.row), bool)
        first[1:] = said.row[1:] != said.row[:-1]
        credited = first & ~np.isin(fate[said.row], _NOT_CREDITED)
        self._by_day(code, "P6", owed, held, said, credited)
        self._by_day(code, "P8", owed, asset, back, np.ones(len(back.row), bool))

    def give_back(self, code: str, kind: str, fate: NDArray[np.uint8], back: Answers) -> None:
        """Lines of a chunk that were asked for, from where they are."""
        asset, owed, held = _accounts(kind)
        credited = ~np.isin(fate[back.row], _NOT_CREDITED)
        self._by_day(code, "P8", held, asset, back, credited)
        self._by_day(code, "P8", owed, asset, back, ~credited)

    def _by_day(
        self,
        code: str,
        step: str,
        debit: str,
        credit: str,
        which: Answers,
        chosen: NDArray[np.bool_],
    ) -> None:
        days = which.at // DAY_US
        for day in np.unique(days[chosen]).tolist():
            amounts = which.amount[chosen & (days == day)]
            self._add(code, day, step, debit, credit, amounts)

    def _add(
        self, code: str, day: int, step: str, debit: str, credit: str, amounts: NDArray[np.int64]
    ) -> None:
        if len(amounts):
            key = (code, day, step, f"{debit}[{code}]", f"{credit}[{code}]")
            count, total = self._sums.get(key, (0, 0))
            self._sums[key] = count + len(amounts), total + int(amounts.sum())

    def balances(self) -> dict[str, int]:
        """Credit less debit by account."""
        out: dict[str, int] = {}
        for (_, _, _, debit, credit), (_, amount) in self._sums.items():
            out[debit] = out.get(debit, 0) - amount
            out[credit] = out.get(credit, 0) + amount
        return out

    def require_balanced(self) -> None:
        """Assert that what is held is owed: all balances sum to zero (I1)."""
        assert sum(self.balances().values()) == 0, "the receivers' books do not balance"

    def table(self) -> pa.Table:
        """The postings as a table of BOOKS, in order."""
        rows = [
            (code, datetime.date(1970, 1, 1) + datetime.timedelta(day), step, *accounts, *sums)
            for (code, day, step, *accounts), sums in sorted(self._sums.items())
        ]
        return pa.table(
            [pa.array([row[i] for row in rows], f.type) for i, f in enumerate(BOOKS)], BOOKS
        )
