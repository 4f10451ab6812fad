"""Lives in which citizens pay fees: both sides agree, and planted bugs are found."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from planted_seeds import is_found

from switch.settlement import cycle, fee_bills, fee_book, fees
from switch.settlement.accounts import kind_of
from switch.sim import simulate
from switch.sim.simulate import Failure, live_twice, script_of

Patch = pytest.MonkeyPatch


def pays(seed: int) -> int:
    """Operations with fees in the life of a seed."""
    return sum(type(one).__name__ == "PayFees" for one in script_of(seed).operations)


def gives_up(seed: int) -> int:
    """Cycles that are given up, or so, in the life of a seed."""
    return sum(type(one).__name__ == "Abort" for one in script_of(seed).operations)


PAID = [seed for seed in range(1, 60) if pays(seed) >= 8]
"""Seeds of lives in which fees are often paid."""
GIVEN_UP = sorted(PAID, key=gives_up, reverse=True)
"""The same, those with cycles that are given up first."""


def test_simulation__fees_are_paid_with_faults_of_every_kind() -> None:
    assert len(PAID) >= 5
    faults = {
        operation.fault.kind if operation.fault else None
        for seed in PAID
        for operation in script_of(seed).operations
        if type(operation).__name__ == "PayFees"
    }
    assert faults == {"crash", "power", "full", None}


@pytest.mark.parametrize("seed", PAID[:2])
def test_simulation__lives_with_fees_have_no_difference(seed: int) -> None:
    result = live_twice(seed)
    assert not isinstance(result, Failure), str(result)


def _a_bill_is_paid_twice(patch: Patch) -> None:
    """Payments before this file are not known, but for their ids."""

    class Lax:
        def __getattr__(self, name: str) -> Any:
            if name != "payments":
                return getattr(fee_book, name)
            return lambda home: _without_bills(fee_book.payments(home))

    patch.setattr(fees, "fee_book", Lax())


def _without_bills(table: pa.Table) -> pa.Table:
    at = table.schema.get_field_index("bill_ref")
    return table.set_column(at, "bill_ref", pa.array(["?"] * len(table), pa.string()))


def _a_file_is_recorded_twice(patch: Patch) -> None:
    patch.setattr(fees, "_answered_before", lambda *_: None)


def _known_payments_are_refused(patch: Patch) -> None:
    patch.setattr(fees, "_is_same", lambda rows, *_: np.zeros(len(rows), bool))


def _ids_are_of_all_banks(patch: Patch) -> None:
    keys_of = fees.keys_of

    def of_id(*parts: Any) -> Any:
        is_id = len(parts[-1]) and parts[-1][0].as_py().startswith("F")
        return keys_of(parts[-1]) if is_id else keys_of(*parts)

    patch.setattr(fees, "keys_of", of_id)


def _bills_of_withdrawn_payments_stay_paid(patch: Patch) -> None:
    patch.setattr(fees, "pc", _Kept())


class _Kept:
    """Nothing that was withdrawn is told apart."""

    def __getattr__(self, name: str) -> Any:
        if name != "invert":
            return getattr(pc, name)
        return lambda values: pa.array([True] * len(values))


def _who_waits_is_forgotten(patch: Patch) -> None:
    waiting = fee_book.waiting
    patch.setattr(fee_book, "waiting", lambda home: waiting(home).slice(0, 0))


def _banks_have_always_room(patch: Patch) -> None:
    patch.setattr(fees, "covered", lambda _, rows: np.ones(len(rows), bool))


def _late_payments_are_taken(patch: Patch) -> None:
    patch.setattr(fees, "LATE_REFUSED", "never")


def _an_abort_keeps_what_agencies_have(patch: Patch) -> None:
    postings = fee_book.taken_back

    def positions(*args: Any) -> Any:
        return [one for one in postings(*args) if kind_of(one.debit) != "T.FEES"]

    patch.setattr(cycle.fee_book, "taken_back", positions)


def _known_bills_are_counted_as_new(patch: Patch) -> None:
    index_in = pc.index_in

    class Blind:
        def __getattr__(self, name: str) -> Any:
            if name != "index_in":
                return getattr(pc, name)
            return lambda keys, value_set: index_in(keys, value_set=value_set.slice(0, 0))

    patch.setattr(fee_bills, "pc", Blind())


@pytest.mark.parametrize(
    "plant",
    [
        _a_bill_is_paid_twice,
        _a_file_is_recorded_twice,
        _known_payments_are_refused,
        _ids_are_of_all_banks,
        _bills_of_withdrawn_payments_stay_paid,
        _who_waits_is_forgotten,
        _banks_have_always_room,
        _late_payments_are_taken,
        _an_abort_keeps_what_agencies_have,
        _known_bills_are_counted_as_new,
    ],
    ids=lambda plant: plant.__name__.strip("_"),
)
def test_simulation__finds_a_bug_planted_among_fees(
    plant: Callable[[Patch], None], monkeypatch: Patch
) -> None:
    # `verify` proves much of this by itself: the auditor has to find it without that help.
    monkeypatch.setattr(simulate, "VERIFY_EVERY", 10**9)
    monkeypatch.setattr("switch.sim.lives.sides.Sides.verify", lambda _: "not looked at")
    plant(monkeypatch)
    assert is_found(plant, GIVEN_UP)
