"""Gridlock resolution by value, to the optimum or close: the 0-1 model, solved by HiGHS.

Needs `highspy` (the extra `exact`). One variable a payment, one row a participant; good for some
thousand payments.
"""

from __future__ import annotations

import importlib
import math
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from switch.arguments import checked
from switch.errors import UsageError
from switch.settlement.liquidity.by_value import ByValue, settle_by_value
from switch.settlement.liquidity.queue import Amounts, PaymentQueue, amounts, floors

if TYPE_CHECKING:
    from highspy import HighsLp

SECONDS_MAX = 60.0
TOLERANCE = 1e-6
"""Tolerance of the solver, for rows and for its bound."""
GAP_MIN = 1e-4
"""Gap at which the solver may stop: a ten-thousandth from its own bound."""


@checked
def settle_exactly(
    queue: PaymentQueue,
    balance: ArrayLike,
    floor: ArrayLike = 0,
    *,
    seconds_max: float = SECONDS_MAX,
    gap_min: float = GAP_MIN,
) -> ByValue:
    """Settle as `settle_by_value` does, from which it starts and below which it never falls, but by
    an exhaustive search.

    queue, balance and floor as in `settle_in_order`. gap_min: part of the bound that may be missing
    when the search ends. seconds_max is given to the solver, which looks at its clock now and then
    only: an answer that ends with it may differ from run to run, and is valid all the same. Its
    bound, which is tighter than that of the flow, is known as a float; it is rounded up by the
    solver's tolerance. complete: the solver ended by itself.
    """
    try:
        highspy = importlib.import_module("highspy")
    except ImportError as error:
        remedy = "pip install 'payment-switch[exact]'"
        raise UsageError(f"the exact model needs highspy: {remedy}") from error
    start = settle_by_value(queue, balance, floor)
    n = len(queue)
    if start.payments_count == n or start.value == start.bound:
        return start
    before = amounts(balance, queue.participants, "balance")
    least = floors(before, amounts(floor, queue.participants, "floor"))
    # Amounts as floats of about one: the solver's tolerances are absolute.
    unit = float(queue.amount.mean())
    solver = highspy.Highs()
    solver.setOptionValue("output_flag", False)
    solver.setOptionValue("threads", 1)
    solver.setOptionValue("time_limit", float(seconds_max))
    solver.setOptionValue("mip_rel_gap", float(gap_min))
    solver.passModel(_model(highspy, queue, (before - least) / unit, unit))
    solution = highspy.HighsSolution()
    solution.col_value = start.kept.astype(float).tolist()
    solver.setSolution(solution)
    solver.run()
    found = np.asarray(solver.getSolution().col_value)
    kept = found > 0.5 if len(found) == n else start.kept
    ended = solver.getModelStatus() == highspy.HighsModelStatus.kOptimal
    bound = start.bound
    proven = -solver.getInfo().mip_dual_bound * unit
    if math.isfinite(proven):
        bound = min(bound, math.floor(proven * (1 + TOLERANCE)))
    left = _left(queue, before, kept)
    # The solver allows a row to be missed by its tolerance; here it is not.
    if (left < least).any() or queue.value_of(kept) < start.value:
        kept, left = start.kept, start.balance
    value = queue.value_of(kept)
    bound = max(bound, value)
    count = int(np.count_nonzero(kept))
    gap = (bound - value) / bound if bound else 0.0
    return ByValue(kept, left, value, count, bound, gap, start.level, ended)


def _model(
    highspy: ModuleType, queue: PaymentQueue, room: NDArray[np.float64], unit: float
) -> HighsLp:
    """Maximise what settles; what each pays less what it gets stays within its room."""
    n = len(queue)
    scaled = queue.amount / unit
    lp: HighsLp = highspy.HighsLp()
    lp.num_col_, lp.num_row_ = n, queue.participants
    lp.col_cost_ = -scaled
    lp.col_lower_, lp.col_upper_ = np.zeros(n), np.ones(n)
    lp.row_lower_ = np.full(queue.participants, -highspy.kHighsInf)
    lp.row_upper_ = room
    lp.a_matrix_.format_ = highspy.MatrixFormat.kColwise
    lp.a_matrix_.start_ = np.arange(0, 2 * n + 1, 2)
    lp.a_matrix_.index_ = np.stack([queue.sender, queue.receiver], axis=1).ravel().astype(np.int32)
    lp.a_matrix_.value_ = np.stack([scaled, -scaled], axis=1).ravel()
    lp.integrality_ = [highspy.HighsVarType.kInteger] * n
    return lp


def _left(queue: PaymentQueue, before: Amounts, kept: NDArray[np.bool_]) -> Amounts:
    left = before.copy()
    np.subtract.at(left, queue.sender[kept], queue.amount[kept])
    np.add.at(left, queue.receiver[kept], queue.amount[kept])
    return left
