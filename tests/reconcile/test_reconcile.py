"""Reconciliation: published cases, every class of break, and what must hold for any records.

Sides that change places mirror the result; an unrelated record never changes a match; files fed
twice, in any order, cut in two, change nothing; breaks close by themselves. Small tables, invented.
"""

from __future__ import annotations

import itertools
import json
import random
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import msgspec
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from record_sets import (
    DAY,
    DUE,
    RECORDS,
    RULES,
    both,
    compare,
    line,
    money,
    names,
    rules_of,
    side,
    transfer,
)

from switch import reconcile as rec
from switch.errors import InputRefused
from switch.native.match import subset_sums
from switch.reconcile.match.records import day_us
from switch.reconcile.match.rules import Pass, Rules, Verdict, read_rules

CASES = {
    case["id"]: case
    for case in json.loads(
        (Path(__file__).parents[1] / "cases" / "reconciliation.json").read_text("utf-8")
    )["cases"]
}


# --- published cases -----------------------------------------------------------------------------


def test_cases__oracle_many_to_many_takes_a_subset_of_the_right() -> None:
    case = CASES["oracle-m2n-subset"]
    sides = [
        [
            {
                "record_id": str(row["id"]),
                "account": str(row["store"]),
                "amount": row["amount"],
                "day": row["day"],
            }
            for row in case[name]
        ]
        for name in ("left", "right")
    ]
    group = {"name": "g", "by": "group", "days": case["rule"]["day_tolerance"], "size_min": 1}
    found = compare(*sides, rules_of(Pass(**group, subset_on="right")))
    comparison = found.sets["confirmations"]
    for one, name in ((comparison.left, "left"), (comparison.right, "right")):
        taken = np.flatnonzero(one.group >= 0)
        ids = one.column("record_id").take(pa.array(taken)).to_pylist()
        assert sorted(map(int, ids)) == case["expected"][f"{name}_group"]
        assert one.amount[taken].sum() == case["expected"][f"{name}_sum"]
    without = compare(*sides, rules_of(Pass(**group)))
    assert set(both(without)[0] + both(without)[1]) == {"MISSING"}


def test_cases__a_difference_equal_to_the_tolerance_matches() -> None:
    case = CASES["oracle-tolerance"]
    for tolerance, verdict in ((case["tolerance"], "MATCHED"), (case["tolerance"] - 1, "MISSING")):
        one = Pass(name="a", by="account", amount=tolerance)
        rules = rules_of(one, amount=tolerance)
        assert both(compare(money([case["left"]]), money([case["right"]]), rules)) == (
            [verdict],
            [verdict],
        )


def test_cases__a_tie_goes_to_the_lowest_id_or_stays_ambiguous() -> None:
    assert "lowest transaction id wins" in CASES["oracle-ambiguous"]["rule"]
    for ties, right in (("lowest", ["MATCHED", "MISSING"]), ("ambiguous", ["AMBIGUOUS"] * 2)):
        rules = rules_of(Pass(name="a", by="account", ties=ties))
        assert both(compare(money([500]), money([500, 500]), rules)) == (right[:1], right)


def subsets(items: list[int], target: int, size_max: int = 64) -> list[list[int]]:
    found = np.empty(100, np.uint64)
    count, complete = subset_sums(np.array(items), target, 0, 1, size_max, 10**6, found)
    assert complete
    return [[v for k, v in enumerate(items) if int(bits) >> k & 1] for bits in found[:count]]


@pytest.mark.parametrize("name", ["dpss-subset-3", "dpss-subset-2-max3"])
def test_cases__subsets_that_sum_to_the_target(name: str) -> None:
    case = CASES[name]
    found = subsets(case["items"], case["target"], case.get("max_size", 64))
    assert sorted(map(sorted, found)) == sorted(map(sorted, case["expected"]))


def test_cases__partitions_are_ambiguous() -> None:
    case = CASES["dpss-one-to-many"]
    keys, targets = case["keys"], case["targets"]
    masks = []
    for key in keys:
        found = np.empty(100, np.uint64)
        count, _ = subset_sums(np.array(targets), key, 0, 1, 64, 10**6, found)
        masks.append([int(m) for m in found[:count]])
    whole = 2 ** len(targets) - 1
    partitions = {
        tuple(tuple(sorted(t for k, t in enumerate(targets) if m >> k & 1)) for m in chosen)
        for chosen in itertools.product(*masks)
        if sum(chosen) == whole and chosen[0] | chosen[1] | chosen[2] == whole
    }
    published = {tuple(tuple(sorted(s)) for s in p) for p in case["expected_all_partitions"]}
    # The published lists order the subsets by their own; as sets of subsets they are the same.
    assert {frozenset(p) for p in partitions} == {frozenset(p) for p in published}
    one = Pass(name="s", by="subset", size_min=1)
    found = compare(money(keys), money(targets), rules_of(one))
    assert set(both(found)[0] + both(found)[1]) == {"AMBIGUOUS"}


def test_cases__many_to_many_leaves_nothing() -> None:
    case = CASES["dpss-many-to-many"]
    passes = Pass(name="a", by="account", ties="lowest"), Pass(name="g", by="group")
    found = compare(money(case["keys"]), money(case["targets"]), rules_of(*passes))
    comparison = found.sets["confirmations"]
    left = np.isin(comparison.left.verdict, (Verdict.MATCHED, Verdict.SPLIT))
    assert left.all()
    assert np.isin(comparison.right.verdict, (Verdict.MATCHED, Verdict.SPLIT)).all()
    assert comparison.left.amount[left].sum() == case["expected"]["matched_amount"]


def test_cases__tolerance_pairs_the_nearest() -> None:
    case = CASES["dpss-tolerance"]
    one = Pass(name="a", by="account", amount=case["tolerance"])
    found = compare(
        money(case["keys"]), money(case["targets"]), rules_of(one, amount=case["tolerance"])
    )
    comparison = found.sets["confirmations"]
    left, right = comparison.left, comparison.right
    assert (left.verdict == Verdict.MATCHED).sum() == case["expected"]["matches"]
    assert sorted(left.amount - right.amount[left.mate]) == case["expected"]["differences"]


def test_cases__what_has_no_counterpart_stays() -> None:
    case = CASES["dpss-partial"]
    rules = rules_of(Pass(name="a", by="account", amount=case["tolerance"]))
    found = compare(money(case["keys"]), money(case["targets"]), rules)
    comparison = found.sets["confirmations"]
    for one, name in ((comparison.left, "keys"), (comparison.right, "targets")):
        assert (one.verdict == Verdict.MATCHED).sum() == case["expected"]["matches"]
        alone = one.amount[one.verdict == Verdict.MISSING].tolist()
        assert alone == case["expected"][f"unmatched_{name}"]


def scaled(text: str) -> int:
    """A decimal text in ten-thousandths, exactly: money is never a float here."""
    whole, _, part = text.removeprefix("-").partition(".")
    return int(whole + part.ljust(4, "0")) * (-1 if text.startswith("-") else 1)


@pytest.mark.parametrize("row", CASES["blnk-amount-boundaries"]["rows"], ids=str)
def test_cases__amount_boundaries_are_inclusive(row: list[Any]) -> None:
    external, group = scaled(row[0]), scaled(row[1])
    # The published rule allows |group| * drift; negative groups as |.| of themselves.
    allowed = abs(group) * scaled(row[2]) // 10_000
    rules = rules_of(Pass(name="a", by="account", amount=allowed), amount=allowed)
    found = compare(money([external]), money([group]), rules)
    assert (both(found) == (["MATCHED"], ["MATCHED"])) is row[3]


@pytest.mark.parametrize("row", CASES["blnk-date-boundaries"]["rows"], ids=str)
def test_cases__date_boundaries_are_inclusive(row: list[Any]) -> None:
    # The published unit is a second; the rule is the same in any unit, here a day.
    rules = rules_of(Pass(name="a", by="account", days=row[1]), days=row[1])
    found = compare(money([5]), money([5], day=row[0]), rules)
    assert (both(found) == (["MATCHED"], ["MATCHED"])) is row[2]


# --- classes -------------------------------------------------------------------------------------


def answer(number: int, amount: int = 1_000_000, **more: Any) -> dict[str, Any]:
    return {**line(number, amount), "end_to_end_id": None, "status": "ACCC", **more}


CLASS_TABLE = [
    ("plain", [line(1)], [answer(1)], "MATCHED", "MATCHED"),
    ("silent", [line(1)], [], "MISSING", ""),
    ("for a line they never got", [], [answer(1)], "", "MISSING"),
    ("not due", [line(1, day=41)], [], "PENDING", ""),
    ("other amount", [line(1)], [answer(1, 999_999)], "AMOUNT", "AMOUNT"),
    ("less a fee", [line(1)], [answer(1, 996_700)], "FEE", "FEE"),
    ("a fee alone", [], [{"account": "9", "amount": -3300}], "", "FEE"),
    ("currency", [line(1)], [answer(1, currency="USD")], "CURRENCY", "CURRENCY"),
    ("currency said", [line(1)], [answer(1, currency="VND")], "MATCHED", "MATCHED"),
    ("twice", [line(1)], [answer(1), answer(1, day=1)], "MATCHED", "MATCHED DUPLICATE"),
    ("the same row again", [line(1)], [answer(1), answer(1)], "MATCHED", "MATCHED REPEATED"),
    ("wrong, then right", [line(1)], [answer(1, 5), answer(1, day=1)], "MATCHED",
     "DUPLICATE MATCHED"),
    ("our line twice", [line(1), line(1, account="7")], [answer(1)], "MATCHED DUPLICATE",
     "MATCHED"),
    ("late", [line(1)], [answer(1, day=3)], "TIMING", "TIMING"),
    ("refused in time", [line(1)], [answer(1, status="RJCT")], "MATCHED", "MATCHED"),
    ("refused by both", [line(1, status="RJCT")], [answer(1, status="RJCT")], "MATCHED", "MATCHED"),
    ("our line refused", [line(1, status="RJCT", day=1)], [answer(1)], "STATUS", "STATUS"),
    ("our currency", [line(1, currency="USD")], [answer(1)], "CURRENCY", "CURRENCY"),
    ("refused late", [line(1)], [answer(1, status="RJCT", day=1)], "STATUS", "STATUS"),
    ("credited and refused", [line(1)], [answer(1), answer(1, status="RJCT", day=1)], "MATCHED",
     "MATCHED STATUS"),
    ("other account", [line(1)], [answer(1, account="5")], "REFERENCE", "REFERENCE"),
    ("typo, by end-to-end id", [line(1)], [answer(7, 5, end_to_end_id="E1")], "AMOUNT", "AMOUNT"),
    ("typo, by account", [line(1)], [answer(7, account=f"{10**9 + 1}")], "REFERENCE", "REFERENCE"),
    ("no id, by account", [line(1)], [answer(1, transfer_id=None)], "MATCHED", "MATCHED"),
    ("split", [line(1)], [answer(1, a) for a in (300_000, 700_000)], "SPLIT", "SPLIT SPLIT"),
    ("split without the id", [line(1)], [answer(a, a, account=f"{10**9 + 1}")
                          for a in (300_000, 700_000)], "SPLIT", "SPLIT SPLIT"),
    ("aggregate", [line(1, account="5"), line(2, account="5")],
     [answer(7, 2_000_000, transfer_id=None, account="5")], "SPLIT SPLIT", "SPLIT"),
    ("ambiguous", [line(1, account="5"), line(2, account="5")],
     [answer(7, transfer_id=None, account="5")], "AMBIGUOUS AMBIGUOUS", "AMBIGUOUS"),
    ("two sums", [line(1, 5)], [answer(k, a, transfer_id=None, account=f"{10**9 + 1}")
                                for k, a in enumerate((1, 4, 2, 3))],
     "AMBIGUOUS", "AMBIGUOUS AMBIGUOUS AMBIGUOUS AMBIGUOUS"),
]  # fmt: skip


@pytest.mark.parametrize("case", CLASS_TABLE, ids=lambda case: case[0])
def test_classes__each_case_ends_in_its_class(case: Any) -> None:
    _, left, right, of_left, of_right = case
    assert both(compare(left, right)) == (of_left.split(), of_right.split())


@pytest.mark.parametrize("case", CLASS_TABLE, ids=lambda case: case[0])
def test_classes__one_break_for_every_problem(case: Any) -> None:
    _, left, right, of_left, of_right = case
    breaks = compare(left, right).breaks
    classes = {v.name for v in rec.CLASSES}
    assert set(breaks["class"].to_pylist()) == classes & {*of_left.split(), *of_right.split()}
    assert len(set(breaks["key"].to_pylist())) == len(breaks)
    assert all(row["owner"] and row["action"] for row in breaks.to_pylist())


def returned(number: int, amount: int = 1_000_000, **more: Any) -> dict[str, Any]:
    return {"transfer_id": transfer(number), "record_id": f"R{number}", "amount": amount,
            "participant": "970436", "status": "RTRN", "reason": "AC04", **more}  # fmt: skip


RETURN_TABLE = [
    ("silent, then back", [], [returned(1, day=4)], "MATCHED", "", "MATCHED"),
    ("credited and back", [answer(1)], [returned(1)], "STATUS", "MATCHED", "STATUS"),
    ("refused late, then back", [answer(1, status="RJCT", day=2)], [returned(1, day=4)], "MATCHED",
     "MATCHED", "MATCHED"),
    ("refused in time and back", [answer(1, status="RJCT")], [returned(1)], "STATUS", "MATCHED",
     "STATUS"),
    ("of another line", [answer(1)], [returned(2)], "MATCHED", "MATCHED", "RETURN_UNMATCHED"),
    ("back twice", [], [returned(1), returned(1, record_id="R1b")], "MATCHED", "",
     "MATCHED DUPLICATE"),
    ("back in part", [answer(1)], [returned(1, 5)], "AMOUNT", "MATCHED", "AMOUNT"),
]  # fmt: skip


@pytest.mark.parametrize("case", RETURN_TABLE, ids=lambda case: case[0])
def test_returns__are_weighed_with_the_confirmations(case: Any) -> None:
    _, said, back, of_line, of_answer, of_return = case
    sets = {"confirmations": side(said), "returns": side(back)}
    found = rec.reconcile(side([line(1)]), sets, DUE)
    assert names(found.verdict) == [of_line]
    assert names(found.sets["confirmations"].right_verdict) == of_answer.split()
    assert names(found.sets["returns"].right_verdict) == of_return.split()


def test_totals__drift_is_a_break_where_all_items_match() -> None:
    left, right = [line(1), line(2, participant="970415")], [answer(1)]
    totals = {"970436": 1_000_001, "970415": 0, "970499": 7}
    breaks = compare(left, right, totals=totals).breaks
    drift = [row for row in breaks.to_pylist() if row["class"] == "TOTAL_DRIFT"]
    # 970415 has an open break that explains its difference; 970499 got nothing from us.
    assert [(r["participant"], r["value"]) for r in drift] == [("970436", 1), ("970499", 7)]
    assert compare(left[:1], right, totals={"970436": 1_000_000}).breaks.num_rows == 0


def test_breaks__age_and_value_raise_the_severity() -> None:
    rows = compare([line(1), line(2, 60_000_000), line(3, day=38)], []).breaks.to_pylist()
    assert [row["severity"] for row in rows] == ["critical", "critical", "high"]
    assert [row["age"] for row in rows] == ["31+", "31+", "3-7"]
    assert rows[1]["value"] == 60_000_000
    assert rows[0]["owner"] == RULES.treatment["MISSING"].owner


def test_explain__says_which_rule_decided() -> None:
    found = compare([line(1), line(2)], [answer(1, 5), answer(9, account=f"{10**9 + 2}")])
    said = rec.explain(found, transfer(1))
    assert len(said) == 2
    assert "AMOUNT" in said[0]
    assert "'transfer-id'" in said[0]
    assert "999,995 dong less" in said[0]
    assert "'account-amount-date'" in rec.explain(found, transfer(2))[0]
    assert rec.explain(found, "nobody") == []


# --- what holds for any records ------------------------------------------------------------------

TIES = st.sampled_from(["ambiguous", "lowest"])


def with_ties(ties: str) -> Rules:
    passes = [msgspec.structs.replace(one, ties=ties, days=1) for one in RULES.passes]
    return rules_of(*passes)


@settings(max_examples=400, deadline=None)
@given(RECORDS, RECORDS, TIES)
def test_reconcile__sides_that_change_places_mirror_the_result(
    left: list[Any], right: list[Any], ties: str
) -> None:
    rules = with_ties(ties)
    there = both(compare(left, right, rules))
    back = both(compare(right, left, mirrored(rules)))
    assert there == back[::-1]


def mirrored(rules: Rules) -> Rules:
    """The same rules for sides that have changed places."""
    turned = {"left": "right", "right": "left", "none": "none"}
    replace = msgspec.structs.replace
    passes = [
        replace(p, anchor=turned[p.anchor], subset_on=turned[p.subset_on]) for p in rules.passes
    ]
    return replace(rules, passes=tuple(passes))


@settings(max_examples=300, deadline=None)
@given(RECORDS, RECORDS, TIES)
def test_reconcile__every_record_has_one_verdict_and_one_counterpart(
    left: list[Any], right: list[Any], ties: str
) -> None:
    found = compare(left, right, with_ties(ties)).sets["confirmations"]
    assert (found.left_verdict > 0).all()
    assert (found.right_verdict > 0).all()
    for one, other in ((found.left, found.right), (found.right, found.left)):
        paired = np.flatnonzero(one.mate >= 0)
        assert (other.mate[one.mate[paired]] == paired).all()
        assert (one.verdict[paired] == other.verdict[one.mate[paired]]).all()
    for number in set(found.left.group.tolist()) - {-1}:
        sums = [s.amount[s.group == number].sum() for s in (found.left, found.right)]
        assert sums[0] == sums[1]


@settings(max_examples=200, deadline=None)
@given(RECORDS, RECORDS, TIES, st.booleans())
def test_reconcile__an_unrelated_record_changes_nothing(
    left: list[Any], right: list[Any], ties: str, ours: bool
) -> None:
    stranger = {**line(77, 77), "account": "777"}
    rules = with_ties(ties)
    before = both(compare(left, right, rules))
    more = ([*left, stranger], right) if ours else (left, [*right, stranger])
    after = both(compare(*more, rules))
    of_left, of_right = after
    assert (of_left if ours else of_right).pop() == "MISSING"
    assert after == before


@settings(max_examples=200, deadline=None)
@given(RECORDS, RECORDS, TIES, st.randoms(use_true_random=False), st.integers(0, 7))
def test_reconcile__files_twice_in_any_order_cut_in_two_by_any_threads_change_nothing(
    left: list[Any], right: list[Any], ties: str, rng: random.Random, cut: int
) -> None:
    rules = with_ties(ties)
    once = compare(left, right, rules)
    mixed = [rng.sample(rows * 2, 2 * len(rows)) for rows in (left, right)]
    parts = [side(rows[:cut]) + side(rows[cut:]) for rows in mixed]
    answers = {"confirmations": parts[1]}
    again = rec.reconcile(parts[0], answers, DUE, rules=rules, threads=1 + cut % 3)
    assert again.breaks.to_pylist() == once.breaks.to_pylist()
    for verdicts, rows, mixed_rows, known in (
        (again.verdict, left, mixed[0], once.verdict),
        (again.sets["confirmations"].right_verdict, right, mixed[1],
         once.sets["confirmations"].right_verdict),
    ):  # fmt: skip
        want = {str(row): v for row, v in zip(rows, known, strict=True) if v != Verdict.REPEATED}
        got = [
            (str(r), v) for r, v in zip(mixed_rows, verdicts, strict=True) if v != Verdict.REPEATED
        ]
        assert sorted(got) == sorted(want.items())


@settings(max_examples=150, deadline=None)
@given(RECORDS, RECORDS, RECORDS, TIES)
def test_fold__events_lead_from_day_to_day_and_back(
    left: list[Any], first: list[Any], later: list[Any], ties: str
) -> None:
    rules = with_ties(ties)
    none = rec.BREAK.empty_table()
    monday, tuesday = (compare(left, rows, rules).breaks for rows in (first, first + later))
    opened = rec.fold(none, monday, DUE)
    assert rec.apply(none, opened).to_pylist() == monday.to_pylist()
    moved = rec.fold(monday, tuesday, DUE)
    assert rec.apply(monday, moved).to_pylist() == tuesday.to_pylist()
    assert rec.apply(tuesday, rec.undo(moved)).to_pylist() == monday.to_pylist()
    assert rec.fold(tuesday, tuesday, DUE).num_rows == 0
    # The same records in the other order, cut in two, and again: the same events.
    again = compare(left, later + first + later, rules).breaks
    assert rec.fold(monday, again, DUE).to_pylist() == moved.to_pylist()


def test_fold__a_break_closes_by_itself_when_the_missing_piece_arrives() -> None:
    silent = compare([line(1)], []).breaks
    answered = compare([line(1)], [answer(1)]).breaks
    events = rec.fold(silent, answered, DUE).to_pylist()
    assert [(e["event"], e["before"]["class"], e["after"]) for e in events] == [
        ("closed", "MISSING", None)
    ]
    wrong = compare([line(1)], [answer(1, 5)]).breaks
    events = rec.fold(silent, wrong, DUE).to_pylist()
    assert [(e["event"], e["after"]["class"]) for e in events] == [("changed", "AMOUNT")]


@pytest.mark.parametrize(
    ("table", "rule"),
    [
        ({"amount": [1.5], "at": [0]}, "TYPE"),
        ({"amount": [None, 1], "at": [0, 0]}, "NULL_REQUIRED"),
        ({"amount": [2**60], "at": [0]}, "AMOUNT_RANGE"),
        ({"at": [0]}, "HEADER_MISMATCH"),
    ],
)
def test_records__money_that_is_no_whole_number_is_refused(table: Any, rule: str) -> None:
    with pytest.raises(InputRefused) as refused:
        rec.reconcile(rec.records(pa.table(table)), {"confirmations": side([])}, DUE)
    assert refused.value.rule == rule


def test_records__any_arrow_form_of_a_column_is_read() -> None:
    plain = pa.table(
        {
            "transfer_id": [transfer(1), transfer(2), "other"],
            "amount": pa.array([5, 6, 7], pa.uint32()),
            "booked_at": pa.array([day_us(DAY)] * 3, pa.timestamp("us", "UTC")),
            "status": ["ACCC", "ACCC", None],
        }
    )
    lines = side([{"transfer_id": t, "amount": 5} for t in plain["transfer_id"].to_pylist()])
    answers = []
    for kind in (pa.string(), pa.large_string(), pa.dictionary(pa.int32(), pa.string())):
        table = plain.set_column(0, "transfer_id", plain["transfer_id"].cast(kind))
        table = table.set_column(3, "status", plain["status"].cast(kind))
        found = rec.reconcile(lines, {"confirmations": rec.confirmations(table)}, DUE)
        answers.append(found.breaks.to_pylist())
        assert names(found.verdict) == ["MATCHED", "AMOUNT", "AMOUNT"]
    assert answers[0] == answers[1] == answers[2]


# --- rules ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new", "key"),
    [
        ("deadline_days = 1", "deadline_days = -1", "deadline_days"),
        ("amount = 0\ndays = 1\n#", "amount = 0.5\ndays = 1\n#", "amount"),
        ("refusal_days = 0", "", None),
        ('by = "subset"', 'by = "guess"', "pass[3].by"),
        ('name = "transfer-id"', 'name = "sums-of-an-account"', "pass[3].name"),
        ("size = 6", "size = 60", "pass[3].size"),
        ("buckets = [0, 1", "buckets = [1, 0", "ageing.buckets"),
        ("[class.FEE]", "[class.FEES]", "class.FEE"),
        ("version = 1", "version = 2", "version"),
        ('by = "end_to_end_id"', 'by = "transfer_id"', "pass"),
        ("fees = [", "fees = [[", None),
    ],
)
def test_rules__a_wrong_file_is_refused_with_key_and_remedy(
    tmp_path: Path, old: str, new: str, key: str | None
) -> None:
    packaged = Path(rec.__file__).parents[1] / "data" / "reconciliation.toml"
    text = packaged.read_text("utf-8")
    assert old in text
    path = tmp_path / "rules.toml"
    path.write_text(text.replace(old, new, 1), "utf-8")
    with pytest.raises(InputRefused) as refused:
        read_rules(path)
    assert refused.value.rule == "RULES_INVALID"
    assert refused.value.file == str(path)
    assert refused.value.column == key
    assert refused.value.remedy


@pytest.mark.parametrize(
    ("content", "why"), [(None, "Is a directory"), (b"\xff", "not UTF-8"), (b"", "required field")]
)
def test_rules__what_is_no_file_of_them_is_refused_by_its_name(
    tmp_path: Path, content: bytes | None, why: str
) -> None:
    path = tmp_path / "rules"
    if content is None:
        path.mkdir()
    else:
        path.write_bytes(content)
    with pytest.raises(InputRefused, match=why) as refused:
        read_rules(path)
    assert (refused.value.rule, refused.value.file) == ("RULES_INVALID", str(path))
    assert "the packaged rules are a model" in refused.value.remedy
    assert ("give a file" in refused.value.remedy) == (content != b"")


def test_rules__json_and_toml_say_the_same(tmp_path: Path) -> None:
    path = tmp_path / "rules.json"
    path.write_bytes(msgspec.json.encode(RULES))
    assert read_rules(path) == RULES


def test_groups__of_more_records_than_a_pass_looks_at_stay_apart() -> None:
    """A subset is looked for among `items` records at most: more of them are left to people."""
    left = [{"record_id": "a", "account": "1", "amount": 3, "day": 0}]
    right = [
        {"record_id": str(n), "account": "1", "amount": amount, "day": 0}
        for n, amount in enumerate((1, 2, 4))
    ]
    for items, taken in ((3, 2), (2, 0)):
        group = Pass(name="g", by="group", size_min=1, items=items, subset_on="right")
        comparison = compare(left, right, rules_of(group)).sets["confirmations"]
        assert (comparison.right.group >= 0).sum() == taken
