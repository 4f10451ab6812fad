"""Registers: which account counts on a day, who may receive, and how versions follow."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from home_reads import clearing_rows
from scene import (
    BANK,
    CLOSED_BANK,
    ORPHAN,
    PARTICIPANTS,
    SMALL_BANK,
    SMALL_LIMIT,
    VALUE_DATE,
    account,
    accounts_table,
    answers,
    entitlement,
    line,
    make_home,
    paid_table,
    pay,
    people_table,
    person,
    reasons,
    run,
    tree_digest,
)

import switch
from switch.errors import InputRefused, UsageError
from switch.reason import RULES, Reason

APRIL, MARCH = dt.date(2026, 4, 25), dt.date(2026, 3, 25)
DAY = dt.timedelta(days=1)


# --- registers ------------------------------------------------------------------------------------

BEFORE, ON, AFTER = VALUE_DATE - DAY, VALUE_DATE, VALUE_DATE + DAY
A, B, C = ({"account": name} for name in ("111", "222", "333"))
ACCOUNT_CASES: dict[str, tuple[list[dict[str, Any]], str | None]] = {
    "none": ([], None),
    "ends_on_the_value_date": ([A | {"valid_to": ON}], "111"),
    "ended_the_day_before": ([A | {"valid_to": BEFORE}], None),
    "begins_on_the_value_date": ([A | {"valid_from": ON}], "111"),
    "begins_the_day_after": ([A | {"valid_from": AFTER}], None),
    "begins_before_1970": ([A | {"valid_from": dt.date(1965, 1, 1)}], "111"),
    "begins_after_2150": ([A | {"valid_from": dt.date(2150, 1, 1)}, B | {"priority": 2}], "222"),
    "ended_before_1970": ([A | {"valid_to": dt.date(1965, 1, 1)}], None),
    "lower_priority_number": ([A | {"priority": 2}, B], "222"),
    "next_priority_when_the_first_ended": ([A | {"valid_to": BEFORE}, B | {"priority": 9}], "222"),
    "next_priority_when_the_first_begins": (
        [A | {"valid_from": AFTER}, B | {"priority": 9}],
        "222",
    ),
    "earlier_start_of_equal_priority": (
        [A | {"valid_from": ON}, B | {"valid_from": BEFORE}],
        "222",
    ),
    "no_start_is_the_earliest": ([A | {"valid_from": dt.date(1900, 1, 1)}, B], "222"),
    "smaller_participant": ([A | {"participant": SMALL_BANK}, B | {"participant": BANK}], "222"),
    "smaller_account_as_text": ([A | {"account": "9"}, B | {"account": "10"}], "10"),
    "prefix_comes_first": ([A | {"account": "1234"}, B | {"account": "123"}], "123"),
    "third_of_three": (
        [A | {"valid_to": BEFORE}, B | {"valid_from": AFTER}, C | {"priority": 3}],
        "333",
    ),
    "leading_zeros_stay": ([A | {"account": "0001"}], "0001"),
    "letters_and_signs": ([A | {"account": "VN-00.ab/+"}], "VN-00.ab/+"),
    "34_characters": ([A | {"account": "x" * 34}], "x" * 34),
    "18_digits": ([A | {"account": "123456789012345678"}], "123456789012345678"),
}


@pytest.mark.parametrize("case", ACCOUNT_CASES)
def test_run__account_that_counts_on_the_value_date(case: str, tmp_path: Path) -> None:
    accounts, expected = ACCOUNT_CASES[case]
    home = make_home(
        tmp_path / "h", [person(1), person(2)], [account(1, **a) for a in accounts] + [account(2)]
    )
    batch = pay(home, [line(1)])
    if expected is None:
        assert answers(batch) == [("PDNG", "AC03")]
    else:
        ((row,),) = clearing_rows(batch).values()
        assert row["creditor_account"] == expected


def test_run__order_of_register_rows_does_not_matter(tmp_path: Path) -> None:
    accounts = [account(1, priority=p, account=str(p * 7 % 10)) for p in range(1, 9)]
    for name, rows in (("a", accounts), ("b", accounts[::-1])):
        batch = pay(make_home(tmp_path / name, [person(1)], rows), [line(1)])
        ((row,),) = clearing_rows(batch).values()
        assert row["creditor_account"] == "7"


def test_run__account_of_the_table_wins(village: Path) -> None:
    given = {"creditor_agent": SMALL_BANK, "creditor_account": "007"}
    batch = pay(village, [line(1, **given), line(2)])
    assert [r["creditor_account"] for r in clearing_rows(batch)[SMALL_BANK]] == ["007"]
    assert batch.status["participant"].to_pylist() == [SMALL_BANK, BANK]


def test_run__account_of_the_table_needs_none_in_the_register(tmp_path: Path) -> None:
    home = make_home(tmp_path / "h", [person(1)], [])
    given = {"creditor_agent": BANK, "creditor_account": "007"}
    assert reasons(pay(home, [line(1, **given)])) == [None]


RECEIVER_CASES = {
    "CNOR": (line(1, creditor_agent="999999", creditor_account="1"), "RJCT"),
    "AB08": (line(1, creditor_agent=CLOSED_BANK, creditor_account="1"), "PDNG"),
    "AM02": (
        line(1, creditor_agent=SMALL_BANK, creditor_account="1", amount=SMALL_LIMIT + 1),
        "RJCT",
    ),
}


@pytest.mark.parametrize("reason", RECEIVER_CASES)
def test_run__receiver_of_the_table_is_judged_as_one_of_the_register(
    reason: str, village: Path
) -> None:
    sent, status = RECEIVER_CASES[reason]
    assert answers(pay(village, [sent])) == [(status, reason)]


def test_run__own_participant_counts_not_the_one_that_settles(village: Path) -> None:
    given = {"creditor_agent": ORPHAN, "creditor_account": "1"}
    assert reasons(pay(village, [line(1, **given)])) == [None]


def test_run__amount_at_the_limits_is_fine(village: Path) -> None:
    given = {"creditor_agent": SMALL_BANK, "creditor_account": "1"}
    lines = [line(1, amount=500_000_000), line(2, amount=500_000_001)]
    lines += [line(3, amount=SMALL_LIMIT, **given), line(4, amount=SMALL_LIMIT + 1, **given)]
    # An account that the table names is looked at the long way.
    named = {"creditor_agent": BANK, "creditor_account": "1"}
    lines += [line(5, amount=500_000_000, **named), line(6, amount=500_000_001, **named)]
    assert reasons(pay(village, lines)) == [None, "AM13", None, "AM02", None, "AM13"]


def test_run__deceased_in_april_is_alive_in_march(tmp_path: Path) -> None:
    people = [
        person(1, status="deceased", status_since=APRIL),
        person(2, status="deceased", status_since=APRIL + DAY),
        person(3, status="deceased"),
        person(4, status="missing", status_since=APRIL),
        person(5, status="revoked", status_since=APRIL),
        person(6, status="alive", status_since=APRIL),
        person(7, status="late", status_since=APRIL),
    ]
    home = make_home(tmp_path / "h", people, map(account, range(1, 8)))
    march = [line(n, period=202603) for n in range(1, 8)]
    april = [line(n, period=202604) for n in range(1, 8)]
    assert reasons(pay(home, march, "M", value_date=MARCH)) == [None, None, "MD07"] + [None] * 4
    assert reasons(pay(home, april, "A", value_date=APRIL)) == [
        "MD07", None, "MD07", "RR04", "RR04", None, "G003",
    ]  # fmt: skip


def test_run__line_of_a_person_who_is_late_waits(tmp_path: Path) -> None:
    people = [person(n, status="late") for n in range(1, 7)]
    home = make_home(tmp_path / "h", people, map(account, (1, 2, 3, 4, 5)))
    first = [line(1), line(2), line(3), line(4, person_name="Lê Văn Bình"), line(5), line(6)]
    assert answers(pay(home, first, "A")) == [("PDNG", "G003")] * 6, "it comes before the name"
    assert reasons(pay(home, [line(1, amount=0), line(2, person_name=" ")], "B")) == [
        "AM12", "BE22",
    ]  # fmt: skip
    told = [
        person(1),
        person(2, status="deceased"),
        person(3, status="revoked"),
        person(4),
        person(6),
    ]
    with switch.open(home) as engine:
        engine.register(population=people_table(told))
        assert reasons(run(engine, [line(1)], "C")) == ["AM05"], "the line that waited was paid"
        states = [engine.line("A", n)["states"][-1] for n in range(1, 7)]
        assert engine.held(reason=["G003"]).table.num_rows == 2, "why they began to wait"
    assert [state["reason"] for state in states] == [None, "MD07", "RR04", "BE01", "G003", "G003"]
    assert states[4]["text"].endswith("has not answered for the person yet.")


def test_verify__who_does_not_know_the_bit_of_who_is_late_refuses(tmp_path: Path) -> None:
    """Reads the two bits of the status alone: somebody who is not paid."""
    home = make_home(tmp_path / "h", [person(1, status="late")], [account(1)])
    slots = np.fromfile(home / "registers" / "000001" / "people.slots", "<u8").reshape(-1, 4)
    (word,) = slots[slots[:, 0] != 0][:, 0]
    assert (int(word) >> 40 & 3, int(word) >> 47) == (3, 1)


def test_run__line_of_a_duplicate_identity_is_refused_with_a_reason_of_its_own(
    tmp_path: Path,
) -> None:
    people = [
        person(1, status="duplicate"),
        person(2, status="duplicate", status_since=APRIL),
        person(3, status="duplicate", name="Lê Thị Bé"),
    ]
    home = make_home(tmp_path / "h", people, map(account, (1, 2, 3)))
    slots = np.fromfile(home / "registers" / "000001" / "people.slots", "<u8").reshape(-1, 4)
    words = slots[slots[:, 0] != 0][:, 0].tolist()
    assert {(word >> 40 & 3, word >> 47) for word in words} == {(3, 2)}, "as one that is revoked"
    batch = pay(home, [line(1), line(2), line(3), line(1, period=202610)], "A", value_date=APRIL)
    assert answers(batch) == [("RJCT", "BE17")] * 4, "it comes before the name"
    assert batch.status["reason_detail"][0].as_py() == RULES[Reason.IDENTITY_DUPLICATE].sentence
    assert reasons(pay(home, [line(2)], "M", value_date=MARCH)) == [None], "not in March"
    with switch.open(home) as engine:
        engine.register(population=people_table([person(1)]))
        assert reasons(run(engine, [line(1)], "B")) == [None], "there is one of them alone now"
        engine.verify()


def test_run__line_of_who_is_not_in_the_population_database_any_more_is_refused(
    tmp_path: Path,
) -> None:
    home = make_home(tmp_path / "h", map(person, (1, 2, 3)), map(account, (1, 2, 3)))
    assert reasons(pay(home, [line(1), line(2)], "A")) == [None, None]
    gone = [person(1, status="unknown"), person(2, status="unknown", status_since=APRIL)]
    with switch.open(home) as engine:
        engine.register(population=people_table([*gone, person(9, status="unknown")]))
        later = [line(n, period=202612) for n in (1, 2, 3, 9)]
        assert reasons(run(engine, later, "B")) == ["BE06", "BE06", None, "BE06"]
        engine.verify()
        engine.register(population=people_table([person(1), person(2)]))
        batch = run(engine, [line(1), line(1, period=202612), line(2, period=202612)], "C")
        assert reasons(batch) == ["AM05", None, None], "what they were paid stays"
        engine.verify()


def test_register__upsert_replaces_by_key_and_keeps_the_rest(village: Path) -> None:
    with switch.open(village) as engine:
        engine.register(
            population=people_table([person(1, name="Lê Thị Bé"), person(10)]),
            accounts=accounts_table([account(2, priority=5), account(2, account="77", priority=4)]),
        )
        batch = run(engine, [line(1), line(2), line(3), line(10)])
    assert reasons(batch) == ["BE01", None, None, "AC03"]
    assert [r["creditor_account"] for r in clearing_rows(batch)[BANK]] == ["77", "1000000003"]


def test_register__person_may_come_back_to_life(tmp_path: Path) -> None:
    home = make_home(
        tmp_path / "h", [person(1, status="deceased", status_since=APRIL)], [account(1)]
    )
    assert reasons(pay(home, [line(1)], "A")) == ["MD07"]
    with switch.open(home) as engine:
        engine.register(population=people_table([person(1)]))
        assert reasons(run(engine, [line(1)], "B")) == [None]
        engine.register(population=people_table([person(1, status="revoked")]))
        assert reasons(run(engine, [line(1, period=202612)], "C")) == ["RR04"]


def test_register__replace_swaps_the_whole_of_what_is_given(village: Path) -> None:
    with switch.open(village) as engine:
        engine.register(population=people_table([person(2), person(3)]), replace=True)
        assert reasons(run(engine, [line(1), line(2)], "A")) == ["BE06", None]
        engine.register(accounts=accounts_table([account(2)]), replace=True)
        assert reasons(run(engine, [line(2, period=202601), line(3)], "B")) == [None, "AC03"]


def test_register__replaced_history_is_not_paid_before_any_more(tmp_path: Path) -> None:
    people = list(range(1, 5))
    home = make_home(
        tmp_path / "h",
        map(person, people),
        map(account, people),
        paid=[entitlement(1), entitlement(2)],
    )
    assert reasons(pay(home, [line(3), line(2)], "A")) == [None, "AM05"]
    with switch.open(home) as engine:
        engine.register(paid_history=paid_table([entitlement(4)]), replace=True)
    assert switch.verify(home)
    lines = [line(n) for n in people]
    assert reasons(pay(home, lines, "B")) == [None, None, "AM05", "AM05"]
    assert switch.verify(home)


def test_register__history_grows_by_upsert(village: Path) -> None:
    with switch.open(village) as engine:
        engine.register(paid_history=paid_table([entitlement(1)]))
        engine.register(paid_history=paid_table([entitlement(2), entitlement(77)]))
        assert reasons(run(engine, [line(1), line(2), line(3)])) == ["AM05", "AM05", None]
    assert switch.verify(village)


def test_register__paid_bits_stay_true_while_the_register_grows(village: Path) -> None:
    pay(village, [line(n) for n in range(1, 6)], "A")
    with switch.open(village) as engine:
        more = range(1000, 0, -1)
        engine.register(
            population=people_table(map(person, more)), accounts=accounts_table(map(account, more))
        )
        batch = run(engine, [line(n) for n in range(1, 900)], "B")
    assert reasons(batch) == ["AM05"] * 5 + [None] * 894
    assert switch.verify(village)


def test_register__refused_file_changes_nothing(village: Path) -> None:
    before = tree_digest(village)
    with switch.open(village) as engine, pytest.raises(InputRefused):
        engine.register(
            population=people_table([person(10)]), accounts=accounts_table([account(1, kind="?")])
        )
    assert tree_digest(village) == before
    assert reasons(pay(village, [line(10)])) == ["BE06"]


def test_register__refused_file_leaves_the_open_engine_as_it_was(village: Path) -> None:
    with switch.open(village) as engine:
        with pytest.raises(InputRefused):
            engine.register(
                population=people_table([person(1, name="Other"), person(2, status="?")])
            )
        assert reasons(run(engine, [line(1)])) == [None]


def test_run__without_a_register_is_refused(tmp_path: Path) -> None:
    directory = {
        "participants": pa.Table.from_pylist(list(PARTICIPANTS)),
        "debtors": pa.table({"debtor_account": ["1"], "debtor_agent": [BANK]}),
    }
    with switch.init(tmp_path / "h", **directory) as engine, pytest.raises(UsageError):
        run(engine, [line(1)])
