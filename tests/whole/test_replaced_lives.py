"""Lives in which ids change or are merged: both sides agree, and planted bugs are found."""

from __future__ import annotations

from collections.abc import Callable

import planted_replaced
import pytest
from planted_seeds import is_found

pytest.importorskip("pyotp")

from switch.sim import simulate
from switch.sim.lives.operations import Register
from switch.sim.simulate import Failure, live_twice, script_of

SEEDS = [58, 64, 326]
"""Seeds of lives in which ids change often: beside citizens at the door, and beside requests to the
population database."""


def test_simulation__ids_change_beside_citizens_and_requests_with_faults_of_every_kind() -> None:
    ids, words = set(), set()
    for seed in SEEDS:
        for operation in script_of(seed).operations:
            words.add(type(operation).__name__)
            if isinstance(operation, Register) and operation.replaced:
                ids.add(operation.fault.kind if operation.fault else None)
    assert {"Payday", "Bind", "Claim", "Identify"} <= words
    assert ids == {"crash", "power", "full", None}


@pytest.mark.parametrize("seed", SEEDS)
def test_simulation__lives_with_changed_ids_have_no_difference(seed: int) -> None:
    result = live_twice(seed)
    assert not isinstance(result, Failure), str(result)


@pytest.mark.parametrize(
    "plant", planted_replaced.PLANTED, ids=lambda plant: plant.__name__.strip("_")
)
def test_simulation__finds_a_bug_planted_in_changed_ids(
    plant: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(simulate, "VERIFY_EVERY", 10**9)
    plant(monkeypatch)
    assert is_found(plant, SEEDS)
