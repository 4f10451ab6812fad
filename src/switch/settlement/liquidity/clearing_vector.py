"""Clearing vector: what everyone can pay when some cannot pay all, and who fails in which round.

Eisenberg and Noe, Systemic Risk in Financial Systems, Management Science 47 (2001); Rogers and
Veraart, Failure and Rescue in an Interbank Network, Management Science 59 (2013).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from decimal import Decimal
from fractions import Fraction
from typing import Generic, Literal, NamedTuple, TypeVar, overload

import numpy as np

from switch.arguments import fit
from switch.errors import UsageError
from switch.outcomes import brief

TOLERANCE = 1e-12
"""Part of a debt that may be missing in floats, and it is paid in full all the same."""
Given = float | str | Fraction | Decimal
N = TypeVar("N", float, Fraction)


class Clearing(NamedTuple, Generic[N]):
    """payment: what each pays in all; owed: what it should; shortfall: owed less payment. failed:
    who fails, round by round; equity: what is left to each that does not fail, 0 for others.
    Numbers are Fractions in exact mode, else floats."""

    payment: list[N]
    owed: list[N]
    shortfall: list[N]
    failed: list[list[int]]
    equity: list[N]

    def __repr__(self) -> str:
        return brief(self)


class _System(NamedTuple, Generic[N]):
    """Debts between participants and to others outside, cash, and shares that failing ones pay."""

    owes: list[list[N]]
    outside: list[N]
    has: list[N]
    alpha: N
    beta: N


@overload
def clearing_vector(
    liabilities: Sequence[Sequence[Given]],
    cash: Sequence[Given],
    external: Sequence[Given] | None = None,
    *,
    recovery_cash: Given = 1,
    recovery_claims: Given = 1,
    exact: Literal[False] = False,
) -> Clearing[float]: ...
@overload
def clearing_vector(
    liabilities: Sequence[Sequence[Given]],
    cash: Sequence[Given],
    external: Sequence[Given] | None = None,
    *,
    recovery_cash: Given = 1,
    recovery_claims: Given = 1,
    exact: Literal[True],
) -> Clearing[Fraction]: ...
def clearing_vector(
    liabilities: Sequence[Sequence[Given]],
    cash: Sequence[Given],
    external: Sequence[Given] | None = None,
    *,
    recovery_cash: Given = 1,
    recovery_claims: Given = 1,
    exact: bool = False,
) -> Clearing[float] | Clearing[Fraction]:
    """The greatest clearing vector: limited liability, equal treatment of all creditors.

    liabilities[i][j]: what i owes j; external[i]: what i owes to others outside; cash[i]: what i
    has. Whoever cannot pay everything in full fails and pays recovery_cash * cash +
    recovery_claims * what it receives, in proportion to what it owes; both 1 is Eisenberg and Noe,
    below 1 is Rogers and Veraart with default costs. Fictitious default algorithm: all pay in
    full; who then cannot fails (round 1); what failed participants pay solves a linear system; who
    can no longer pay fails (next round), until nobody does. At most one round a participant.
    exact: in fractions, for small systems (numbers may be text such as "0.1").
    """
    fit("exact", exact, bool)
    shares = recovery_cash, recovery_claims
    if exact:
        return _cleared(_read(_exactly, liabilities, external, cash, shares), Fraction(0), _solve)
    return _cleared(_read(float, liabilities, external, cash, shares), TOLERANCE, _solve_in_floats)


def _exactly(number: Given) -> Fraction:
    return Fraction(number)


def _read(
    number: Callable[[Given], N],
    liabilities: Sequence[Sequence[Given]],
    external: Sequence[Given] | None,
    cash: Sequence[Given],
    shares: tuple[Given, Given],
) -> _System[N]:
    try:
        owes = [[number(x) for x in row] for row in liabilities]
        has = [number(x) for x in cash]
        outside = [number(x) for x in ([0] * len(has) if external is None else external)]
        alpha, beta = map(number, shares)
    except (TypeError, ValueError, ArithmeticError):
        what = "liabilities, cash, external or a recovery holds something that is no number"
        raise UsageError(what) from None
    n = len(has)
    if len(owes) != n or any(len(row) != n for row in owes) or len(outside) != n:
        raise UsageError(f"liabilities and external are not those of {n} participants")
    if any(x < 0 for row in owes for x in row) or any(x < 0 for x in has + outside):
        raise UsageError("a liability or cash is negative")
    if not (0 <= alpha <= 1 and 0 <= beta <= 1):
        raise UsageError("recovery is a share from 0 to 1")
    # A sum of floats that is none would end in no answer, or in none that is one.
    if not sum(map(sum, owes), sum(has + outside)) < math.inf:
        raise UsageError("the amounts together leave the range of floats")
    return _System(owes, outside, has, alpha, beta)


def _cleared(
    system: _System[N], slack: N, solve: Callable[[list[list[N]], list[N]], list[N]]
) -> Clearing[N]:
    owes, outside, has = system.owes, system.outside, system.has
    alpha, beta = system.alpha, system.beta
    n, zero = len(has), 0 * alpha
    owed = [sum(row, zero) + outside[i] for i, row in enumerate(owes)]
    share = [[x / owed[i] if owed[i] else zero for x in row] for i, row in enumerate(owes)]
    payment = list(owed)
    failing: list[int] = []
    failed: list[list[int]] = []
    while True:
        assets = [
            has[i] + sum((share[j][i] * payment[j] for j in range(n)), zero) for i in range(n)
        ]
        new = [i for i in range(n) if i not in failing and owed[i] - assets[i] > slack * owed[i]]
        if not new:
            break
        failed.append(new)
        failing = sorted(failing + new)
        # x = alpha * cash + beta * (claims on those who pay in full + share of what others pay)
        matrix = [[int(i == j) - beta * share[j][i] for j in failing] for i in failing]
        paid_in_full = [j for j in range(n) if j not in failing]
        known = [
            alpha * has[i] + beta * sum((owes[j][i] for j in paid_in_full), zero) for i in failing
        ]
        for i, x in zip(failing, solve(matrix, known), strict=True):
            payment[i] = x
    equity = [zero if i in failing else assets[i] - owed[i] for i in range(n)]
    shortfall = [owed[i] - payment[i] for i in range(n)]
    return Clearing(payment, owed, shortfall, failed, equity)


def _solve_in_floats(matrix: list[list[float]], known: list[float]) -> list[float]:
    solved: list[float] = np.linalg.solve(matrix, known).tolist()
    return solved


def _solve(matrix: list[list[Fraction]], known: list[Fraction]) -> list[Fraction]:
    """Gaussian elimination in fractions. The system has one solution: participants that owe only
    one another, of whom none pays in full, would have to lose money among themselves."""
    n = len(known)
    rows = [[*row, known[i]] for i, row in enumerate(matrix)]
    for c in range(n):
        pivot = next(r for r in range(c, n) if rows[r][c])
        rows[c], rows[pivot] = rows[pivot], rows[c]
        rows[c] = [x / rows[c][c] for x in rows[c]]
        for r in range(n):
            if r != c and rows[r][c]:
                factor = rows[r][c]
                rows[r] = [x - factor * y for x, y in zip(rows[r], rows[c], strict=True)]
    return [row[n] for row in rows]
