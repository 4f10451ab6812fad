"""Lives in which citizens come to the door: both sides agree, and planted bugs are found."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from planted_seeds import is_found

pytest.importorskip("pyotp")

from switch.registry import claims, self_service
from switch.registry.self_service import CitizenSaid, Standing
from switch.sim import simulate
from switch.sim.simulate import Failure, live_twice, script_of

VISITS = ("Bind", "Claim")


def visits(seed: int) -> int:
    """Visits of citizens in the life of a seed."""
    return sum(type(one).__name__ in VISITS for one in script_of(seed).operations)


SERVED = [seed for seed in range(1, 80) if visits(seed) >= 20]
"""Seeds of lives in which citizens come often."""


def test_simulation__citizens_come_with_faults_of_every_kind() -> None:
    assert len(SERVED) >= 5
    words = {
        (type(operation).__name__, fault.kind if fault else None)
        for seed in SERVED
        for operation in script_of(seed).operations
        for fault in [getattr(operation, "fault", None)]
    }
    faults = ("crash", "power", "full", None)
    assert {(name, fault) for name in VISITS for fault in faults} <= words


@pytest.mark.parametrize("seed", SERVED[:2])
def test_simulation__lives_of_citizens_have_no_difference(seed: int) -> None:
    result = live_twice(seed)
    assert not isinstance(result, Failure), str(result)


def _nobody_is_locked(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(self_service, "TRIES_MAX", 99)


def _a_lock_ends_at_once(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Standing, "is_locked", lambda *_: False)


def _a_code_counts_twice(patch: pytest.MonkeyPatch) -> None:
    take = Standing.take

    def forget(person: Standing, at: str, said: CitizenSaid) -> None:
        take(person, at, said)
        person.step = -1

    patch.setattr(Standing, "take", forget)


def _anybody_holds_an_account(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(claims, "is_of_another", lambda *_: False)


def _the_account_before_goes_on(patch: pytest.MonkeyPatch) -> None:
    table: Callable[..., Any] = claims._table
    patch.setattr(claims, "_table", lambda person, rows: table(person, rows[:1]))


def _what_citizens_did_is_forgotten(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(claims, "CITIZEN", "resident")


@pytest.mark.parametrize(
    "plant",
    [
        _nobody_is_locked,
        _a_lock_ends_at_once,
        _a_code_counts_twice,
        _anybody_holds_an_account,
        _the_account_before_goes_on,
        _what_citizens_did_is_forgotten,
    ],
    ids=lambda plant: plant.__name__.strip("_"),
)
def test_simulation__finds_a_bug_planted_among_citizens(
    plant: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    # `verify` proves much of this by itself: the auditor has to find it without that help.
    monkeypatch.setattr(simulate, "VERIFY_EVERY", 10**9)
    plant(monkeypatch)
    assert is_found(plant, SERVED)
