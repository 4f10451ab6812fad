"""The day-end match of an agency: its own list against the switch's, in classes that add up."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from cycles import CYCLE, WHY
from paying import AT, bills_table, home_with_bills, payments_table
from scene import Said, command, tree_digest

import switch


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """TAX/1 to TAX/3 are paid on the day, TAX/4 on the next, and a bill of another agency."""
    with home_with_bills(tmp_path / "h") as engine:
        engine.fees.load_bills(bills_table("TAX/4 7"))
        engine.fees.take(
            payments_table("A > TAX/1 100\nA > TAX/2 200\nB > TAX/3 40\nA > POLICE/2 70"), at=AT
        )
        engine.fees.take(payments_table("A > TAX/4 7\nA > TAX/1 100", 9), at="2026-11-26")
    return tmp_path / "h"


def list_of(rows: dict[str, int]) -> pa.Table:
    refs, amounts = pa.array(list(rows), pa.string()), pa.array(list(rows.values()), pa.int64())
    return pa.table({"bill_ref": refs, "amount": amounts})


def match(home: Path, rows: pa.Table, *more: object, agency: str = "TAX", at: str = AT) -> Said:
    path = home.parent / "list.parquet"
    pq.write_table(rows, path)
    return command("match-fees", home, agency, path, "--at", at, *more)


def totals(found: dict[str, Any], *names: str) -> list[tuple[int, int]]:
    return [(found[name]["count"], found[name]["sum"]) for name in names]


def test_match__every_bill_is_in_one_class_and_the_sums_add_up(home: Path) -> None:
    before = tree_digest(home)
    rows = list_of({"1": 100, "2": 199, "4": 7, "none": 5})
    found = match(home, rows, "--json").document
    assert totals(found, "matched", "missing_at_agency", "missing_at_switch") == [
        (1, 100), (1, 40), (2, 12),
    ]  # fmt: skip
    assert found["differs"] == {"count": 1, "switch": 200, "agency": 199}
    assert totals(found, "switch", "agency_list") == [(3, 340), (4, 311)]
    assert tree_digest(home) == before, "nothing is recorded"
    words = match(home, rows).out
    assert "taken by the switch: 3, 340 dong\nlisted by the agency: 4, 311 dong\n" in words
    assert "missing at the switch: 2, 12 dong" in words


def test_match__a_clean_day_has_one_class(home: Path) -> None:
    found = match(home, list_of({"3": 40, "1": 100, "2": 200}), "--json").document
    assert totals(found, "matched", "switch", "agency_list") == [(3, 340)] * 3
    assert (found["differs"]["count"], found["missing_at_agency"]["count"]) == (0, 0)
    other = match(home, list_of({"none": 5}), "--json", at="2026-11-30").document
    assert totals(other, "switch", "agency_list") == [(0, 0), (1, 5)]


def test_match__what_waits_was_paid_all_the_same(home: Path) -> None:
    with switch.open(home) as engine:
        engine.settle(CYCLE, abort=WHY)
    found = match(home, list_of({"1": 100, "2": 200, "3": 40}), "--json").document
    assert found["matched"]["count"] == 3


def test_match__rows_say_which_and_when(home: Path, tmp_path: Path) -> None:
    out = tmp_path / "rows.parquet"
    found = match(home, list_of({"1": 100, "2": 199, "4": 7, "none": 5}), "--out", out, "--json")
    assert found.document["file"] == str(out)
    assert f"files: {out}" in match(home, list_of({"1": 100}), "--out", out).out
    match(home, list_of({"1": 100, "2": 199, "4": 7, "none": 5}), "--out", out)
    rows = {row["bill_ref"]: row for row in pq.read_table(out).to_pylist()}
    assert {ref: row["class"] for ref, row in rows.items()} == {
        "1": "MATCHED",
        "2": "AMOUNT_DIFFERS",
        "3": "MISSING_AT_AGENCY",
        "4": "MISSING_AT_SWITCH",
        "none": "MISSING_AT_SWITCH",
    }
    assert str(rows["4"]["taken_on"]) == "2026-11-26", "it was taken, on another day"
    assert rows["none"]["payment_id"] is None
    with switch.open(home, mode="r") as engine:
        assert rows["2"]["receipt"] == engine.fees.payment("P2")["receipt"]


def test_match__a_list_that_is_none_is_refused(home: Path, tmp_path: Path) -> None:
    twice = pa.concat_tables([list_of({"1": 100}), list_of({"1": 100})])
    error = match(home, twice, "--json").document["error"]
    assert (error["rule"], error["row"], error["column"]) == ("BILL_INVALID", 2, "bill_ref")
    assert match(home, list_of({"": 5}), "--json").document["error"]["rule"] == "REFERENCE_INVALID"
    assert match(home, list_of({}), "--json").document["error"]["rule"] == "NO_LINES"
    foreign = list_of({"1": 100}).append_column("currency", pa.array(["USD"]))
    assert match(home, foreign, "--json").document["error"]["rule"] == "CURRENCY"
    unknown = match(home, list_of({"1": 100}), agency="NOBODY")
    assert (unknown.code, "agency 'NOBODY' is not known" in unknown.err) == (2, True)
    assert match(home, list_of({"1": 100}), at="someday").code == 2
    assert match(home, list_of({"1": 100}), at="").code == 2
    assert match(home, list_of({"1": 100}), "--out", tmp_path / "rows.doc").code == 2
    assert match(home, list_of({"1": 100}), "--out", home / "rows.csv").code == 2
