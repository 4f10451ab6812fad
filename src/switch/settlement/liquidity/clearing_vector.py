"""Clearing vector: what everyone can pay when some cannot pay all, and who fails in which round.

Eisenberg and Noe, Systemic Risk in Financial Systems, Management Science 47 (2001); Rogers and
Veraart, Failure and Rescue in an Interbank Network, Management Science 59 (2013).
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np

from switch.errors import UsageError

TOLERANCE = 1e-12
"""In floats: who has less than it owes by no more than this part of it pays in full."""


class Clearing(NamedTuple):
    """payment: what each pays in all; owed: what it should; shortfall: owed less payment. failed:
    who fails, round by round; equity: what is left to each that does not fail, 0 for others.
    Numbers are Fractions in exact mode, else floats."""

    payment: list[Any]
    owed: list[Any]
    shortfall: list[Any]
    failed: list[list[int]]
    equity: list[Any]


def clearing_vector(
    liabilities: Sequence[Sequence[Any]],
    cash: Sequence[Any],
    external: Sequence[Any] | None = None,
    *,
    recovery_cash: Any = 1,
    recovery_claims: Any = 1,
    exact: bool = False,
) -> Clearing:
    """The greatest clearing vector: limited liability, equal treatment of all creditors.

    liabilities[i][j]: what i owes j; external[i]: what i owes to others outside; cash[i]: what i
    has. Whoever cannot pay everything in full fails and pays recovery_cash * cash +
    recovery_claims * what it receives, in proportion to what it owes; both 1 is Eisenberg and Noe,
    below 1 is Rogers and Veraart with default costs. Fictitious default algorithm: all pay in
    full; who then cannot fails (round 1); what failed participants pay solves a linear system; who
    can no longer pay fails (next round), until nobody does. At most one round a participant.
    exact: in fractions, for small systems (numbers may be text such as "0.1").
    """
    number: Any = Fraction if exact else float
    n = len(cash)
    owes = [[number(x) for x in row] for row in liabilities]
    has = [number(x) for x in cash]
    outside = [number(x) for x in external] if external is not None else [number(0)] * n
    alpha, beta = number(recovery_cash), number(recovery_claims)
    if len(owes) != n or any(len(row) != n for row in owes) or len(outside) != n:
        raise UsageError(f"liabilities and external are not those of {n} participants")
    if any(x < 0 for row in (*owes, has, outside) for x in row):
        raise UsageError("a liability or cash is negative")
    if not (0 <= alpha <= 1 and 0 <= beta <= 1):
        raise UsageError("recovery is a share from 0 to 1")
    owed = [sum(row, number(0)) + outside[i] for i, row in enumerate(owes)]
    share = [[x / owed[i] if owed[i] else number(0) for x in row] for i, row in enumerate(owes)]
    payment = list(owed)
    failing: list[int] = []
    failed: list[list[int]] = []
    slack = 0 if exact else TOLERANCE
    while True:
        assets = [has[i] + sum(share[j][i] * payment[j] for j in range(n)) for i in range(n)]
        new = [i for i in range(n) if i not in failing and owed[i] - assets[i] > slack * owed[i]]
        if not new:
            break
        failed.append(new)
        failing = sorted(failing + new)
        # x = alpha * cash + beta * (claims on those who pay in full + share of what others pay)
        matrix: list[list[Any]] = [
            [(i == j) - beta * share[j][i] for j in failing] for i in failing
        ]
        paid_in_full = [j for j in range(n) if j not in failing]
        known = [
            alpha * has[i] + beta * sum((owes[j][i] for j in paid_in_full), number(0))
            for i in failing
        ]
        solved = _solve(matrix, known) if exact else np.linalg.solve(matrix, known).tolist()
        for i, x in zip(failing, solved, strict=True):
            payment[i] = x
    equity = [number(0) if i in failing else assets[i] - owed[i] for i in range(n)]
    shortfall = [owed[i] - payment[i] for i in range(n)]
    return Clearing(payment, owed, shortfall, failed, equity)


def _solve(matrix: list[list[Any]], known: list[Any]) -> list[Any]:
    """Gaussian elimination in fractions. The system has one solution: participants that owe only
    one another, of whom none pays in full, would have to lose money among themselves."""
    n = len(known)
    rows = [[Fraction(x) for x in row] + [Fraction(known[i])] for i, row in enumerate(matrix)]
    for c in range(n):
        pivot = next(r for r in range(c, n) if rows[r][c])
        rows[c], rows[pivot] = rows[pivot], rows[c]
        rows[c] = [x / rows[c][c] for x in rows[c]]
        for r in range(n):
            if r != c and rows[r][c]:
                factor = rows[r][c]
                rows[r] = [x - factor * y for x, y in zip(rows[r], rows[c], strict=True)]
    return [row[n] for row in rows]
