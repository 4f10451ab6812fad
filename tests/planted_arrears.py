"""Bugs in what is still owed to the deceased, planted in the engine for its auditor to find."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from switch.clearing import kernel
from switch.clearing.arrears import Arrears
from switch.reason import Reason


def _nothing_is_owed_to_the_deceased(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(kernel.Arrears, "judge", lambda *_: np.empty(0, np.intp))


def _the_month_of_a_death_is_owed(patch: pytest.MonkeyPatch) -> None:
    died = Arrears._died
    patch.setattr(Arrears, "_died", lambda judge, row: died(judge, row) + 1)


def _who_died_on_no_known_day_is_owed_all(patch: pytest.MonkeyPatch) -> None:
    """Screens such people as if their record were alive, too."""
    judge = Arrears.judge

    def careless(chosen: Any, lines: Any, found: Any) -> Any:
        known = judge(chosen, lines, found)
        at = np.flatnonzero(found.reason == Reason.PERSON_DECEASED)
        unknown = at[chosen._died(found.row[at]) < 0]
        found.reason[unknown] = Reason.ACCOUNT_MISSING
        return np.union1d(known, unknown)

    patch.setattr(kernel.Arrears, "judge", careless)


def _what_is_owed_is_paid_without_a_look_at_the_rest(patch: pytest.MonkeyPatch) -> None:
    """Gives no such line a reason of names, accounts and receivers."""
    judge = Arrears.judge

    def careless(chosen: Any, lines: Any, found: Any) -> Any:
        at = judge(chosen, lines, found)
        found.participant[at] = np.where(found.participant[at] == 0xFFFF, 0, found.participant[at])
        found.reason[at] = Reason.NONE
        return at

    patch.setattr(kernel.Arrears, "judge", careless)


def _what_is_owed_is_not_said(patch: pytest.MonkeyPatch) -> None:
    judge = Arrears.judge

    def silent(chosen: Any, lines: Any, found: Any) -> Any:
        return judge(chosen, lines, found)[:0]

    patch.setattr(kernel.Arrears, "judge", silent)


PLANTED = [
    _nothing_is_owed_to_the_deceased,
    _the_month_of_a_death_is_owed,
    _who_died_on_no_known_day_is_owed_all,
    _what_is_owed_is_paid_without_a_look_at_the_rest,
    _what_is_owed_is_not_said,
]
