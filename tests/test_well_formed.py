"""Ids, accounts and names by their form alone: what is one, what is none, and old homes."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest
import reference
from hypothesis import given
from hypothesis import strategies as st
from scene import account, line, make_home, pay, payment_table, person, reasons, run

import switch
from switch.reason import RULE_SET_BEFORE
from switch.replay import replay

# --- ids ------------------------------------------------------------------------------------------

TWELVE = (
    "000000000000", "000000000001", "003150000001", "100150000017", "999999999999",
)  # fmt: skip
"""No province of Viet Nam has these codes; births registered abroad have some of them."""


@pytest.mark.parametrize("form", ["text", "number"])
def test_id__any_twelve_digits_are_an_id(tmp_path: Path, form: str) -> None:
    """Who is registered is paid, whatever the id begins with; who is not is BE06."""
    people = [person(1, person_id=one) for one in TWELVE]
    home = make_home(tmp_path / "home", people, [account(1, person_id=one) for one in TWELVE])
    strangers = ["003150000002", "888888888888", "999999999998"]
    lines = [line(1, person_id=one) for one in (*TWELVE, *strangers)]
    table = payment_table(lines)
    if form == "number":
        numbers = pa.array([int(one["person_id"]) for one in lines], pa.uint64())
        numbers = pa.concat_arrays([numbers, pa.array([10**12, 2**40 - 1, 2**64 - 1], pa.uint64())])
        table = payment_table([*lines, line(1), line(1), line(1)])
        table = table.set_column(1, "person_id", numbers)
    answers = reasons(pay(home, table))
    assert answers[:8] == [None] * 5 + ["BE06"] * 3
    assert answers[8:] == ["BE17"] * (3 if form == "number" else 0)


@given(st.text(alphabet="0123456789O ٣", min_size=10, max_size=13))
def test_id__the_twin_asks_for_twelve_ascii_digits(text: str) -> None:
    digits = text.isascii() and text.isdigit() and len(text) == 12
    assert reference.id_well_formed(text) == digits


def test_replay__what_the_rules_before_judged_is_judged_by_them(tmp_path: Path) -> None:
    """A batch of a home made before: an id without a province was BE17."""
    home = make_home(tmp_path / "home", [person(1), person(2, person_id="999000000002")])
    with switch.open(home) as engine:
        engine.register(accounts=pa.Table.from_pylist([account(1)]))
        engine.rule_set = RULE_SET_BEFORE
        table = payment_table([line(1), line(2, person_id="999000000002"), line(3)])
        before = run(engine, table, "BEFORE")
        engine.rule_set = switch.reason.RULE_SET
        now = run(engine, table, "NOW")
    assert reasons(before) == [None, "BE17", "BE06"]
    detail = before.status["reason_detail"].to_pylist()[1]
    assert detail == "the person's id is not 12 digits with a known province code"
    assert reasons(now) == ["AM05", "AC03", "BE06"]
    assert replay(home, "BEFORE", table)
    assert replay(home, "NOW", table)
