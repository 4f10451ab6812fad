"""Bugs in who may receive for others, planted in the engine for its auditor to find."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from switch.reason import AUTHORITY_ENDED
from switch.registry.representatives import Representatives


def _an_authority_never_ends(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Representatives, "judge", lambda _, accounts, *__: np.zeros(len(accounts), "u1"))


def _the_last_day_of_an_authority_is_none_of_it(patch: pytest.MonkeyPatch) -> None:
    judge = Representatives.judge

    def early(chosen: Any, accounts: Any, *rest: Any) -> Any:
        shorter = accounts.copy()
        # An end that is open stays so.
        shorter["valid_to"] -= accounts["valid_to"] < np.iinfo(np.int32).max
        return judge(chosen, shorter, *rest)

    patch.setattr(Representatives, "judge", early)


def _the_deceased_represent(patch: pytest.MonkeyPatch) -> None:
    living = Representatives.living

    def ignorant(chosen: Any, ids: Any) -> Any:
        why = living(chosen, ids)
        why[why == AUTHORITY_ENDED] = 0
        return why

    patch.setattr(Representatives, "living", ignorant)


def _who_is_unknown_represents(patch: pytest.MonkeyPatch) -> None:
    living = Representatives.living
    patch.setattr(
        Representatives,
        "living",
        lambda chosen, ids: living(chosen, ids) * (living(chosen, ids) == AUTHORITY_ENDED),
    )


PLANTED = [
    _an_authority_never_ends,
    _the_last_day_of_an_authority_is_none_of_it,
    _the_deceased_represent,
    _who_is_unknown_represents,
]
