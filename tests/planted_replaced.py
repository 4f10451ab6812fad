"""Bugs in ids that changed or were merged, planted in the engine for its auditor to find."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from switch.clearing.kernel import Kernel
from switch.home import paid_bits
from switch.registry import identities, replaced
from switch.registry.register import Register


def _a_line_is_judged_by_the_old_id(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Kernel, "_put_right", lambda *_: np.empty(0, np.intp))


def _who_was_paid_by_the_old_id_is_paid_again(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(paid_bits, "join", lambda *_: None)


def _accounts_of_the_old_id_are_lost(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Register, "_join_accounts", lambda *_: None)


def _a_chain_ends_behind_its_first_step(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(replaced, "_ends", lambda old, by: (by.copy(), np.zeros(len(old), bool)))


def _the_population_database_is_asked_by_the_old_id(patch: pytest.MonkeyPatch) -> None:
    begin = identities._Persons.__init__

    def strange(persons: Any, _: replaced.Replaced) -> None:
        begin(persons, replaced.NONE)

    patch.setattr(identities._Persons, "__init__", strange)


def _a_citizen_is_at_the_door_by_the_old_id(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(replaced.Replaced, "id_of", lambda _, person_id: person_id)


PLANTED = [
    _a_line_is_judged_by_the_old_id,
    _who_was_paid_by_the_old_id_is_paid_again,
    _accounts_of_the_old_id_are_lost,
    _a_chain_ends_behind_its_first_step,
    _the_population_database_is_asked_by_the_old_id,
    _a_citizen_is_at_the_door_by_the_old_id,
]
