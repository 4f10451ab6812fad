"""Types at the doors: each Arrow type is read exactly or refused as TYPE, each text in its words.

The sweep holds every column of every door against every type of pyarrow, in memory and as files.
"""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import scene
from hypothesis import given
from hypothesis import strategies as st
from scene import account, command, line, make_home, person, person_id, tree_digest

from switch import columns
from switch.batch import open_table
from switch.directory import BALANCES, DEBTORS, PARTICIPANTS, PROGRAMMES
from switch.errors import InputRefused
from switch.schema import ACCOUNTS, PAYMENT

DECIMALS = (pa.decimal32(9), pa.decimal64(18), pa.decimal128(38), pa.decimal256(76))


# --- words ----------------------------------------------------------------------------------------

NUMBERS = {
    "": ("NUMBER_MISSING", "is empty"),
    "2.0": ("NUMBER_FORMAT", "is not a whole number"),
    "1e3": ("NUMBER_FORMAT", "is not a whole number"),
    "0x1": ("NUMBER_FORMAT", "is not a whole number"),
    "９": ("NUMBER_FORMAT", "is not a whole number"),
    " 1": ("NUMBER_FORMAT", "is not a whole number"),
    "-1": ("RANGE", "is not between"),
    "99999999999999999999": ("RANGE", "is not between"),
    "4294967296": ("RANGE", "is not between"),
}


def csv_of(path: Path, row: dict[str, Any], column: str, value: str) -> Path:
    rows = [row, row | {column: value}]
    text = [
        ",".join(row),
        *(",".join("" if v is None else str(v) for v in r.values()) for r in rows),
    ]
    path.write_text("\n".join(text) + "\n", "utf-8")
    return path


@pytest.mark.parametrize("value", NUMBERS)
@pytest.mark.parametrize(
    ("table", "row", "column", "noun"),
    [
        (PAYMENT, {"line_no": 1} | line(1), "line_no", "line number"),
        (ACCOUNTS, account(1), "priority", "priority"),
        (PROGRAMMES, {"benefit": "P", "priority": 1}, "priority", "priority"),
    ],
)
def test_numbers__have_words_of_their_own(
    table: Any, row: dict[str, Any], column: str, noun: str, value: str, tmp_path: Path
) -> None:
    rule, what = NUMBERS[value]
    path = csv_of(tmp_path / "table.csv", row, column, value)
    if table is PROGRAMMES and not value:
        [chunk] = open_table(path, table).chunks()
        assert chunk["priority"].tolist() == [1, 2**63 - 1]
        return
    with pytest.raises(InputRefused) as refused:
        list(open_table(path, table).chunks())
    found = refused.value
    assert (found.rule, found.row, found.column) == (rule, 2, column)
    assert found.what.startswith(f"the {noun} {what}")
    assert "dong" not in str(found)


def test_numbers__that_are_money_keep_their_words(tmp_path: Path) -> None:
    doors = [
        (PAYMENT, {"line_no": 1} | line(1), "amount"),
        (PARTICIPANTS, scene.PARTICIPANTS[0] | {"amount_max": 1, "net_debit_cap": 1}, "amount_max"),
        (DEBTORS, scene.DEBTORS[0] | {"budget": 1}, "budget"),
        (BALANCES, {"participant": "X", "balance": 1}, "balance"),
    ]
    for table, row, column in doors:
        path = csv_of(tmp_path / "table.csv", row, column, "1.0")
        with pytest.raises(InputRefused, match=rf"AMOUNT_FORMAT: the amount .*column {column}"):
            list(open_table(path, table).chunks())


def test_dates__in_words_of_their_own(tmp_path: Path) -> None:
    home = make_home(tmp_path / "home", [person(1)], [account(1)])
    before = tree_digest(home)
    for value, rule, what in (
        ("31/12/2025", "DATE_FORMAT", "the date is not written as yyyy-mm-dd"),
        ("2025-12-32", "DATE_INVALID", "the date does not exist"),
    ):
        path = csv_of(tmp_path / "accounts.csv", account(1), "valid_to", value)
        error = command("--json", "register", home, "--accounts", path).document["error"]
        assert (error["rule"], error["row"], error["column"]) == (rule, 2, "valid_to")
        assert error["what"].startswith(what)
    assert tree_digest(home) == before


# --- decimals -------------------------------------------------------------------------------------


def decimals(values: list[int], kind: Any) -> pa.Array:
    return pa.array([Decimal(value) for value in values], kind)


@pytest.mark.parametrize("kind", DECIMALS, ids=str)
@given(st.data())
def test_numbers__of_a_decimal_are_exact_or_refused(kind: Any, data: st.DataObject) -> None:
    most = 10**kind.precision - 1
    edges = [n for n in (2**63 - 1, -(2**63), 2**63, -(2**63) - 1, 2**64, 0, -1) if abs(n) <= most]
    number = st.integers(-most, most) | st.sampled_from(edges) | st.integers(-9, 9)
    values = data.draw(st.lists(number, min_size=1, max_size=5))
    array = decimals([7, *values], kind)[1:]
    beyond = [i for i, n in enumerate(values) if not -(2**63) <= n < 2**63]
    if beyond:
        with pytest.raises(columns.BadValue) as bad:
            columns.read_amounts(array)
        assert (bad.value.rule, bad.value.row) == ("AMOUNT_RANGE", beyond[0])
    else:
        assert columns.read_amounts(array).tolist() == values


@pytest.mark.parametrize("kind", DECIMALS, ids=str)
@given(st.data())
def test_ids__of_a_decimal_are_exact(kind: Any, data: st.DataObject) -> None:
    most = 10**kind.precision - 1
    edges = [n for n in (0, 2**64 - 1, 2**64, 10**12, 10**12 - 1, 1_000_000_001) if n <= most]
    values = data.draw(st.lists(st.integers(-5, most) | st.sampled_from(edges), min_size=1))
    ids = columns.read_ids(decimals(values, kind), False).tolist()
    for value, found in zip(values, ids, strict=True):
        if 0 <= value < 2**64:
            assert found == value
        else:
            assert found >= 10**12, "no well-formed id"


def test_ids__as_spark_writes_them_pay_the_same_people(tmp_path: Path) -> None:
    ids = [int(person_id(n)) for n in (1, 2)]
    home = make_home(tmp_path / "home", map(person, (1, 2)), map(account, (1, 2)))
    table = scene.payment_table([line(1), line(2)])
    for number, kind in enumerate((pa.decimal128(20), pa.decimal64(18), pa.decimal256(40))):
        at = table.schema.get_field_index("person_id")
        same = table.set_column(at, "person_id", decimals(ids, kind))
        same = same.set_column(
            same.schema.get_field_index("period"), "period", pa.array([202600 + number + 1] * 2)
        )
        batch = scene.pay(home, same, f"B{number}")
        assert scene.reasons(batch) == [None, None]


def test_numbers__of_no_rows_are_none() -> None:
    for kind in DECIMALS:
        assert len(columns.read_amounts(decimals([], kind))) == 0
        assert columns.read_limits(pa.array([None], kind)).tolist() == [2**63 - 1]
