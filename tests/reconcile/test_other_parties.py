"""Answers of others, and answers given again: what does not fit in every respect is a break, and
what is said twice is a duplicate, in every pass and every set."""

from __future__ import annotations

import datetime as dt
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from answering import (
    CALENDAR,
    NOON,
    back,
    breaks_of,
    home_of,
    said,
    states_of,
    take,
    transfer,
    write,
)
from hypothesis import given, settings
from record_sets import DAY, DUE, RECORDS, RULES, compare, rules_of, side
from scene import BANK, SMALL_BANK, account, line, make_home, person, run

import switch
from switch import reconcile as rec
from switch.errors import VerificationFailed
from switch.home.history import folders, open_breaks
from switch.proof import answers as proof_of_answers
from switch.reconcile import line_states, take_in
from switch.reconcile.match import certify
from switch.reconcile.match.rules import Pass, Verdict

HEAD = transfer(1)[:15]
FILE = (1, 4, 7, 10)
"""Lines of the clearing file of SMALL_BANK."""
WHOLE = said(1, transfer_id=HEAD, creditor_account=None, amount=sum(1_000_000 + n for n in FILE))
HOUR, DAYS = dt.timedelta(hours=1), dt.timedelta(days=1)


def of_file(engine: Any) -> list[tuple[str, str | None]]:
    """Breaks but for lines of other receivers, which nobody answers."""
    others = [("MISSING", transfer(n)) for n in range(1, 13) if n not in FILE]
    return [found for found in breaks_of(engine) if found not in others]


# --- of other participants --------------------------------


def test_answers__one_of_another_participant_hides_no_line(tmp_path: Path) -> None:
    home = tmp_path / "h"
    numbers = range(1, 6)
    make_home(home, [person(n) for n in numbers], [account(n) for n in numbers])
    with switch.open(home) as engine:
        run(engine, [line(n, amount=1000) for n in numbers], "A")
        one = {"participant": SMALL_BANK, "amount": 1000, "creditor_account": None}
        rows = [said(1, **one), said(5, **one | {"participant": BANK})]
        files = (
            write(tmp_path / "c", rows),
            write(tmp_path / "r", [back(2, participant=SMALL_BANK, amount=1000)]),
        )
        answer = engine.reconcile(*files, at="2026-12-20")
        assert answer["moved"]["returned"]["count"] == 0
        assert breaks_of(engine) == [
            ("MISSING", transfer(1)),
            *[("MISSING", transfer(n)) for n in (1, 2, 3, 4)],
            ("RETURN_UNMATCHED", transfer(2)),
        ]
        assert engine.close_day("2026-12-20")["closed"] == []
    assert switch.verify(home)


def test_answers__nobody_owes_an_answer_before_the_cycle_settles(tmp_path: Path) -> None:
    """What another participant says of a line does not make the line's own answer overdue."""
    with switch.open(home_of(tmp_path / "h", 1, CALENDAR)) as engine:
        engine.reconcile(write(tmp_path / "r", [back(1, participant=BANK)]), at="2026-12-20")
        assert breaks_of(engine) == [("RETURN_UNMATCHED", transfer(1))]
        engine.settle()
        engine.reconcile(at="2026-12-20")
        assert breaks_of(engine) == [("MISSING", transfer(1)), ("RETURN_UNMATCHED", transfer(1))]
    assert switch.verify(tmp_path / "h")


def test_reconcile__the_library_says_it_too() -> None:
    ids = [transfer(n) for n in range(1, 6)]
    sent = pa.table({"transfer_id": ids, "creditor_account": ids, "amount": [1000] * 5})
    told = {"amount": [1000, 1000], "booked_at": [dt.datetime(2026, 11, 25, tzinfo=dt.UTC)] * 2}
    said_ = told | {
        "transfer_id": [ids[0], ids[4]], "participant": ["2", "1"], "status": ["ACCC"] * 2
    }  # fmt: skip
    back_ = {k: v[:1] for k, v in told.items()} | {
        "transfer_id": ids[1:2], "participant": ["2"], "return_id": ["R"], "reason": ["AC04"]
    }  # fmt: skip
    sets = {
        "confirmations": rec.confirmations(pa.table(said_)),
        "returns": rec.returns(pa.table(back_)),
    }
    found = rec.reconcile(rec.clearing_lines(pa.table(sent), "1", DAY), sets, DUE)
    assert [Verdict(v).name for v in found.verdict] == [*["MISSING"] * 4, "MATCHED"]
    assert found.counts()["returns"] == {"RETURN_UNMATCHED": 1}


PASSES = [
    Pass(name="e", by="end_to_end_id"),
    Pass(name="a", by="account", amount=5, days=1),
    Pass(name="s", by="subset"),
    Pass(name="g", by="group", size_min=1),
    Pass(name="h", by="group", size_min=1, subset_on="right"),
]


@pytest.mark.parametrize("name", ["confirmations", "returns", "statement"])
@pytest.mark.parametrize("one", [None, *PASSES], ids=lambda p: p.name if p else "packaged")
@settings(max_examples=60, deadline=None)
@given(left=RECORDS, right=RECORDS)
def test_reconcile__no_pass_brings_two_participants_together(
    one: Pass | None, name: str, left: list[Any], right: list[Any]
) -> None:
    rules = rules_of(one) if one else RULES
    left = [row | {"participant": row["participant"] or "1"} for row in left]
    right = [row | {"participant": row["participant"] or "1"} for row in right]
    found = rec.reconcile(side(left), {name: side(right)}, DUE, rules=rules).sets[name]
    names = [s.column("participant").to_pylist() for s in (found.left, found.right)]
    for i, j in enumerate(found.left.mate.tolist()):
        assert j < 0 or names[0][i] == names[1][j]
    for group in set(found.left.group.tolist()) - {-1}:
        members = {n for n, g in zip(names[0], found.left.group, strict=True) if g == group}
        members |= {n for n, g in zip(names[1], found.right.group, strict=True) if g == group}
        assert len(members) == 1


@pytest.mark.parametrize("many", [2, certify._MANY])
def test_reconcile__participants_beyond_any_number_are_told_apart(
    many: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(certify, "_MANY", many)
    rows = [{"transfer_id": transfer(n), "amount": n, "participant": f"P{n}"} for n in range(6)]
    wrong = [*rows[:3], *[row | {"participant": f"Q{i}"} for i, row in enumerate(rows[3:])]]
    found = compare(rows, wrong)
    assert [Verdict(v).name for v in found.verdict] == ["MATCHED"] * 3 + ["MISSING"] * 3
    nobody = [row | {"participant": None} for row in rows]
    for sides in ((rows, nobody), (nobody, rows), (rows, [*nobody[:3], *rows[3:]])):
        assert set(compare(*sides).verdict.tolist()) == {Verdict.MATCHED}


# --- whole files --------------------------------


@pytest.mark.parametrize("days", [0, 1, 7])
@pytest.mark.parametrize("first", [True, False])
def test_answers__a_whole_file_confirmed_twice_is_a_duplicate(
    tmp_path: Path, days: int, first: bool
) -> None:
    again = WHOLE | {"booked_at": NOON + HOUR + days * DAYS}
    with switch.open(home_of(tmp_path / "h")) as engine:
        for row in (WHOLE, again) if first else (again, WHOLE):
            take(engine, tmp_path / "h", row)
        assert of_file(engine) == [("DUPLICATE", HEAD)]
        assert [states_of(engine)[n] for n in FILE] == ["CREDITED"] * 4
        assert take(engine, tmp_path / "h", again)["number"] == 0
        take(engine, tmp_path / "h", again | {"reason": "x"}, again | {"amount": 5})
        assert of_file(engine) == [
            ("DUPLICATE", HEAD), ("DUPLICATE", HEAD), ("TOTAL_DRIFT", None)
        ]  # fmt: skip
    assert switch.verify(tmp_path / "h")


@pytest.mark.parametrize("changes", [{}, {"creditor_account": None}, {"booked_at": NOON + HOUR}])
@pytest.mark.parametrize("first", [True, False])
def test_answers__a_line_of_a_confirmed_file_again_by_itself_is_a_duplicate(
    tmp_path: Path, changes: Any, first: bool
) -> None:
    own = said(4, **changes)
    with switch.open(home_of(tmp_path / "h")) as engine:
        for row in (WHOLE, own) if first else (own, WHOLE):
            take(engine, tmp_path / "h", row)
        assert of_file(engine) == [("DUPLICATE", transfer(4))]
        assert [states_of(engine)[n] for n in FILE] == ["CREDITED"] * 4
    assert switch.verify(tmp_path / "h")


def test_answers__others_change_nothing_of_a_whole_file(tmp_path: Path) -> None:
    """Neither their refusal of a line nor their credit is one of the file's receiver."""
    with switch.open(home_of(tmp_path / "h")) as engine:
        rows = [said(4, participant=BANK), said(7, "RJCT", participant=BANK), WHOLE]
        take(engine, tmp_path / "h", *rows)
        assert [states_of(engine)[n] for n in FILE] == ["CREDITED"] * 4
        assert of_file(engine) == [("MISSING", transfer(4)), ("MISSING", transfer(7))]
    assert switch.verify(tmp_path / "h")


@pytest.mark.parametrize("who", ["X", BANK])
def test_answers__to_a_file_that_was_never_sent_are_a_break(tmp_path: Path, who: str) -> None:
    """Not even a sum of nothing is right, from an unknown receiver or one who got no line."""
    with switch.open(home_of(tmp_path / "h", 1)) as engine:
        nothing = said(1, transfer_id=HEAD, creditor_account=None, amount=0, participant=who)
        answer = take(engine, tmp_path / "h", said(1), nothing)
        assert answer["breaks"] == {"TOTAL_DRIFT": 1}
        (found,) = open_breaks(engine.home, folders(engine.home)).to_pylist()
        assert (found["participant"], found["expected"], found["found"]) == (f"{who} {HEAD}", 0, 0)
        assert take(engine, tmp_path / "h", nothing)["number"] == 0
    assert switch.verify(tmp_path / "h")


def test_answers__that_nothing_of_a_refused_file_was_credited_is_right(tmp_path: Path) -> None:
    with switch.open(home_of(tmp_path / "h", 1, CALENDAR)) as engine:
        nothing = said(1, transfer_id=HEAD, creditor_account=None, amount=0)
        take(engine, tmp_path / "h", said(1, "RJCT"), nothing, at="2026-11-25")
        assert breaks_of(engine) == []
    assert switch.verify(tmp_path / "h")


@pytest.mark.parametrize("times", [0, 1, 2, 3])
def test_answers__a_return_of_a_whole_file_answers_nothing(tmp_path: Path, times: int) -> None:
    """However often the file was confirmed: money comes back by lines."""
    files = [write(tmp_path / "r", [back(1, transfer_id=HEAD, amount=WHOLE["amount"])])]
    rows = [WHOLE | {"booked_at": NOON + n * HOUR} for n in range(times)]
    files += [write(tmp_path / "c", rows)] if rows else []
    with switch.open(home_of(tmp_path / "h")) as engine:
        engine.reconcile(*files, at="2026-12-20")
        open_now = open_breaks(engine.home, folders(engine.home)).to_pylist()
        found = [row for row in open_now if row["transfer_id"] == HEAD]
        assert [row["class"] for row in found] == [
            *["DUPLICATE"] * max(times - 1, 0), "RETURN_UNMATCHED"
        ]  # fmt: skip
        assert found[-1]["side"] == found[-1]["set"] == "returns"
        assert [states_of(engine)[n] for n in FILE] == (["CREDITED" if times else "UNAPPLIED"] * 4)
    assert switch.verify(tmp_path / "h")


# --- statements --------------------------------


def entries(number: int, **changes: Any) -> pa.Table:
    rows = {
        "account": ["A", "B", "C"],
        "entry_id": [f"{number}-{n}" for n in range(3)],
        "end_to_end_id": ["20261125-1"] * 3,
        "amount": [10, 10, 20],
        "side": ["C", "C", "D"],
        "booked_on": [DAY] * 3,
    }
    return pa.table(rows | changes)


REQUEST = {
    "cycle": "20261125-1",
    "participants": [
        {"account": "A", "participant": "1", "side": "credit", "amount": "10"},
        {"account": "B", "participant": "2", "side": "credit", "amount": "10"},
        {"account": "C", "participant": "3", "side": "debit", "amount": "20"},
    ],
}


@pytest.mark.parametrize("ids", [["20261125-1"] * 3, [None] * 3])
@pytest.mark.parametrize("times", [2, 3])
def test_reconcile__a_statement_sent_again_leaves_good_rows_matched(ids: Any, times: int) -> None:
    ids = pa.array(ids, pa.string())
    parts = [rec.statement(entries(n, end_to_end_id=ids)) for n in range(times)]
    whole = parts[0]
    for part in parts[1:]:
        whole += part
    found = rec.reconcile(rec.requests(REQUEST, DAY), {"settlement": whole}, DUE)
    assert found.counts() == {
        "lines": {"MATCHED": 3}, "settlement": {"MATCHED": 3, "DUPLICATE": 3 * times - 3}
    }  # fmt: skip
    assert found.breaks["class"].to_pylist() == ["DUPLICATE"] * (3 * times - 3)


def test_reconcile__what_is_ambiguous_stays_so_with_its_copies() -> None:
    """Two lines that nothing tells apart, against two entries and the same two again."""
    lines = side([{"transfer_id": n, "account": "1", "amount": 5} for n in "ab"])
    once = [{"record_id": n, "account": "1", "amount": 5} for n in "xy"]
    again = [row | {"record_id": row["record_id"] * 2} for row in once]
    for rows in (once, once + again):
        found = rec.reconcile(lines, {"s": side(rows)}, DUE)
        assert found.counts() == {"lines": {"AMBIGUOUS": 2}, "s": {"AMBIGUOUS": len(rows)}}


def test_reconcile__copies_that_no_line_waits_for_are_summed_as_before() -> None:
    lines = side([{"transfer_id": "a", "account": "1", "amount": 10}])
    rows = [{"record_id": n, "account": "1", "amount": 5} for n in "xy"]
    found = rec.reconcile(lines, {"s": side(rows)}, DUE)
    assert found.counts() == {"lines": {"SPLIT": 1}, "s": {"SPLIT": 2}}


def test_reconcile__every_verdict_is_documented() -> None:
    text = (Path(__file__).parents[2] / "docs" / "reconciliation.md").read_text("utf-8")
    table = text.partition("## Verdicts")[2].partition("## Passes")[0]
    named = {row.split("|")[1].strip() for row in table.splitlines() if row.startswith("|")}
    assert {verdict.name for verdict in Verdict} <= named
    line_ = side([{"transfer_id": "a", "amount": 1}])
    assert rec.reconcile(line_, {"returns": side([])}, DUE).counts() == {
        "lines": {"NONE": 1}, "returns": {}
    }  # fmt: skip


# --- cost --------------------------------


class _Calls:
    """Calls, of Python and of C, while it is entered."""

    def __enter__(self) -> _Calls:
        self.count = 0
        sys.setprofile(self._seen)
        return self

    def _seen(self, _frame: Any, event: str, _arg: Any) -> None:
        self.count += event in ("call", "c_call")

    def __exit__(self, *_: object) -> None:
        sys.setprofile(None)


def calls_of(home: Path, rows: int) -> tuple[int, int]:
    """(calls that judging takes, calls that proving takes) with so many answers to whole files."""
    many = [WHOLE | {"booked_at": NOON + n * HOUR} for n in range(rows)]
    with switch.open(home_of(home)) as engine:
        take(engine, home, *many)
        known = folders(engine.home)
        expected = take_in.SentLines(engine.home, {1})
        heard, booked = take_in.taken_in(engine.home, known, expected)
        heard.close()
        with _Calls() as judging:
            line_states.Verdicts(heard, booked, take_in.rules_of(known), dt.date(2026, 12, 20))
        proof = proof_of_answers.Answered(engine.home)
        out = proof.sent({1})
        with _Calls() as proving:
            proof._credited(out, {1}, known[-1])
    return judging.count, proving.count


def test_answers__many_answers_to_whole_files_cost_no_more_calls(tmp_path: Path) -> None:
    """Each call walks lines or records once: as many calls, whatever stands in the columns."""
    few, many = (calls_of(tmp_path / str(rows), rows) for rows in (20, 200))
    assert many[0] <= few[0] + 20
    assert many[1] <= few[1] + 20


def test_verify__homes_of_before_are_proven_as_they_were_judged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a version in the record, a bank answers for none of its wallets."""
    home = home_of(tmp_path / "h")
    monkeypatch.setattr(take_in, "JUDGEMENT", 1)
    with switch.open(home) as engine:
        take(engine, home, WHOLE, said(4, participant=BANK), said(1), said(3, "RJCT"))
    with pytest.raises(VerificationFailed, match="states of lines"):
        switch.verify(home)
    with switch.open(home) as engine:
        monkeypatch.undo()
        assert take(engine, home, said(2, participant=BANK))["states"]["CREDITED"] == 5
    assert switch.verify(home)
