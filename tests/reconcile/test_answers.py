"""Answers come into a home: states, money and breaks follow from the set of records alone."""

from __future__ import annotations

import datetime as dt
import random
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pytest
from answering import (
    CALENDAR,
    LATER,
    NOON,
    back,
    books,
    breaks_of,
    home_of,
    said,
    states_of,
    switch_verify,
    take,
    transfer,
    write,
)
from scene import (
    BANK,
    BANK_ACCOUNT,
    SMALL_BANK,
    TREASURY,
    asked,
    command,
    line,
    run,
    tree_digest,
)

import switch
from switch.errors import UsageError, VerificationFailed
from switch.home.history import folders, open_breaks
from switch.registry.settings import Settings


def test_answers__a_damaged_request_is_not_believed(tmp_path: Path) -> None:
    home = home_of(tmp_path / "h", 3)
    path = home / "batches" / "000001" / "settlement.json"
    path.write_bytes(path.read_bytes().replace(b"1", b"2"))
    with (
        switch.open(home) as engine,
        pytest.raises(VerificationFailed, match=r"settlement\.json"),
    ):
        take(engine, home, said(1))


def test_answers__lines_of_a_lost_file_are_not_taken_for_unsent(tmp_path: Path) -> None:
    home = home_of(tmp_path / "h", 3)
    (home / "batches" / "000001" / "clearing" / f"{SMALL_BANK}.parquet").unlink()
    with switch.open(home) as engine, pytest.raises(VerificationFailed, match=SMALL_BANK):
        take(engine, home, said(1))


# --- states --------------------------------


def test_answers__a_credited_line_is_credited_and_a_silent_one_unapplied(tmp_path: Path) -> None:
    with switch.open(home_of(tmp_path / "h", 3)) as engine:
        answer = take(engine, tmp_path / "h", said(1), said(2, creditor_account=None))
        assert answer["states"]["CREDITED"] == 2
        assert states_of(engine) == {1: "CREDITED", 2: "CREDITED", 3: "UNAPPLIED"}
        assert breaks_of(engine) == [("MISSING", transfer(3))]
        assert take(engine, tmp_path / "h", said(3))["events"] == {"closed": 1}
        assert breaks_of(engine) == []
    assert switch.verify(tmp_path / "h")


@pytest.mark.parametrize(
    ("row", "kind"),
    [
        (said(1, amount=5), "AMOUNT"),
        (said(1, creditor_account="77"), "REFERENCE"),
        (said(1, "RJCT"), "STATUS"),
        (said(1, booked_at=NOON + dt.timedelta(days=4)), "TIMING"),
    ],
)
def test_answers__what_does_not_fit_is_a_break(tmp_path: Path, row: Any, kind: str) -> None:
    with switch.open(home_of(tmp_path / "h", 1)) as engine:
        take(engine, tmp_path / "h", row)
        assert breaks_of(engine) == [(kind, transfer(1))]
        late = "CREDITED" if kind == "TIMING" else "UNAPPLIED"
        assert states_of(engine) == {1: late}
    assert switch.verify(tmp_path / "h")


def test_answers__unknown_ids_and_second_answers_are_breaks(tmp_path: Path) -> None:
    strange = [
        "20261125-000001-0000000002",
        "20261124-000001-0000000001",
        "x",
        "20261125-000009-0000000001",
    ]
    with switch.open(home_of(tmp_path / "h", 1)) as engine:
        rows = [said(1, transfer_id=name, creditor_account="9", amount=9) for name in strange]
        again = said(1, booked_at=NOON + dt.timedelta(hours=1))
        take(engine, tmp_path / "h", said(1), again, *rows)
        found = [("MISSING", name) for name in sorted(strange)]
        assert breaks_of(engine) == [("DUPLICATE", transfer(1)), *found]
        assert states_of(engine) == {1: "CREDITED"}
    assert switch.verify(tmp_path / "h")


def test_answers__an_answer_of_another_receiver_claims_nothing(tmp_path: Path) -> None:
    with switch.open(home_of(tmp_path / "h", 1)) as engine:
        take(engine, tmp_path / "h", said(1, participant=TREASURY))
        assert states_of(engine) == {1: "UNAPPLIED"}
    assert switch.verify(tmp_path / "h")


def test_answers__one_row_answers_for_a_whole_clearing_file(tmp_path: Path) -> None:
    """Lines 1, 4, 7 and 10 went to SMALL_BANK. It refuses 4 and credits all others."""
    head = transfer(1)[:15]
    sum_ = sum(1_000_000 + n for n in (1, 7, 10))
    whole = said(1, transfer_id=head, creditor_account=None, amount=sum_)
    with switch.open(home_of(tmp_path / "h")) as engine:
        take(engine, tmp_path / "h", whole)
        assert states_of(engine)[1] == "UNAPPLIED", "the sum is that of all but line 4"
        assert ("TOTAL_DRIFT", None) in breaks_of(engine)
        take(engine, tmp_path / "h", said(4, "RJCT"))
        found = states_of(engine)
        assert [found[n] for n in (1, 4, 7, 10)] == ["CREDITED", "UNAPPLIED", *["CREDITED"] * 2]
        assert found[2] == "UNAPPLIED"
        assert ("TOTAL_DRIFT", None) not in breaks_of(engine)
    assert switch.verify(tmp_path / "h")


# --- refusals before the cycle settles --------------------------------


def test_answers__a_refusal_in_time_leaves_the_cycle(tmp_path: Path) -> None:
    """Line 1 between institutions, 8 by the wallet of its payer, 12 on-us; and the same lines may
    be paid again."""
    with switch.open(home_of(tmp_path / "h", settings=CALENDAR)) as engine:
        before = books(engine)
        answer = take(
            engine, tmp_path / "h", *(said(n, "RJCT") for n in (1, 8, 12)), at="2026-11-25"
        )
        assert answer["moved"]["refused"] == {"count": 3, "sum": 3000021}
        assert [states_of(engine)[n] for n in (1, 8, 12)] == ["REFUSED"] * 3
        assert breaks_of(engine) == []
        assert books(engine)["S.RESERVE[000001]"] == before["S.RESERVE[000001]"] - 1_000_001
        assert switch_verify(engine)
        again = [line(1), line(8, debtor_account=BANK_ACCOUNT), line(2)]
        batch = run(engine, again, "B")
        assert batch.status["reason"].to_pylist() == [None, None, "AM05"]
        [settled] = engine.settle()
        assert settled["state"] == "SETTLED"
        assert engine.home.catalog.balances()["S.RESERVE[000001]"] == 0
    assert switch.verify(tmp_path / "h")


def test_answers__a_refusal_changes_the_request_of_a_closed_cycle(tmp_path: Path) -> None:
    import json

    with switch.open(home_of(tmp_path / "h", settings=CALENDAR)) as engine:
        engine.settle(close_only=True)
        copy = tmp_path / "h" / "out" / "cycles" / "20261125-1" / "settlement.json"
        before = int(json.loads(copy.read_bytes())["sum"])
        take(engine, tmp_path / "h", said(1, "RJCT"), at="2026-11-25")
        take(engine, tmp_path / "h", said(7, "RJCT"), at="2026-11-25")
        assert int(json.loads(copy.read_bytes())["sum"]) == before - 2_000_008
        assert switch_verify(engine)
        engine.settle()
        take(engine, tmp_path / "h", said(10, "RJCT"), at="2026-11-25")
        assert states_of(engine)[10] == "UNAPPLIED"
        assert ("STATUS", transfer(10)) in breaks_of(engine)
    assert switch.verify(tmp_path / "h")


def test_answers__a_refusal_in_time_counts_whatever_else_is_said(tmp_path: Path) -> None:
    ends = []
    for name, order in (("a", (0, 1)), ("b", (1, 0))):
        rows = [said(1), said(1, "RJCT")]
        with switch.open(home_of(tmp_path / name, 1, settings=CALENDAR)) as engine:
            for i in order:
                take(engine, tmp_path / name, rows[i], at="2026-11-25")
            ends.append((states_of(engine), breaks_of(engine), books(engine)))
        assert switch.verify(tmp_path / name)
    assert ends[0] == ends[1]
    assert ends[0][0] == {1: "REFUSED"}


# --- returns --------------------------------


def test_answers__a_return_comes_back_into_the_returns_account(tmp_path: Path) -> None:
    """Line 1 from SMALL_BANK to the treasury; 12 is on-us at BANK, 8 from its wallet."""
    with switch.open(home_of(tmp_path / "h")) as engine:
        before = books(engine)
        answer = engine.reconcile(write(tmp_path / "r", [back(1), back(8), back(12)]), at=LATER)
        assert answer["cycle"] == "20261130-R000001"
        assert [states_of(engine)[n] for n in (1, 8, 12)] == ["RETURNED"] * 3
        after = books(engine)
        assert after["T.RETURNS"] == 3_000_021
        assert after["T.PAYABLE[000001]"] == before["T.PAYABLE[000001]"] - 3_000_021
        assert after[f"S.TREASURY[{TREASURY}]"] == before[f"S.TREASURY[{TREASURY}]"] + 1_000_001
        assert after[f"S.BANK[{SMALL_BANK}]"] == before[f"S.BANK[{SMALL_BANK}]"] - 1_000_001
        assert f"B.CUSTOMER[{BANK}]" not in after
        assert 0 == before[f"B.CUSTOMER[{BANK}]"] - 1_000_012
        assert sum(after.values()) == sum(before.values()) == 0
    assert switch.verify(tmp_path / "h")


def test_answers__a_return_goes_through_the_next_cycle_of_the_calendar(tmp_path: Path) -> None:
    with switch.open(home_of(tmp_path / "h", settings=CALENDAR)) as engine:
        file = write(tmp_path / "r", [back(1)])
        early = engine.reconcile(file, at="2026-11-25")
        assert early["moved"]["returned"]["count"] == 0, "it has not settled yet"
        engine.settle()
        answer = engine.reconcile(file, at="2026-11-27T12:00:00")
        assert (answer["moved"]["returned"]["count"], answer["cycle"]) == (1, "20261127-2")
        with pytest.raises(UsageError, match="on its way"):
            engine.write_back([("A", 1)])
        assert engine.write_back()["number"] == 0
        assert switch_verify(engine)
        [settled] = engine.settle()
        moved = {r["participant"]: (r["side"], r["amount"]) for r in settled["participants"]}
        assert moved == {SMALL_BANK: ("debit", 1000001), TREASURY: ("credit", 1000001)}
        assert engine.write_back([("A", 1)])["sum"] == 1000001
    assert switch.verify(tmp_path / "h")


def test_answers__one_cycle_may_lose_a_line_and_bring_another_back(tmp_path: Path) -> None:
    with switch.open(home_of(tmp_path / "h", settings=CALENDAR)) as engine:
        engine.settle()
        batch = run(engine, [line(n, period=202612) for n in (1, 4)], "B")
        no = said(1, "RJCT", transfer_id=transfer(1, 2))
        files = write(tmp_path / "a", [no]), write(tmp_path / "b", [back(1)])
        answer = engine.reconcile(*files, at="2026-11-25T12:00:00")
        assert answer["cycle"] == batch.cycle
        assert [answer["moved"][name]["count"] for name in ("refused", "returned")] == [1, 1]
        [settled] = engine.settle()
        moved = {r["participant"]: (r["side"], r["amount"]) for r in settled["participants"]}
        assert moved == {SMALL_BANK: ("credit", 3), TREASURY: ("debit", 3)}
    assert switch.verify(tmp_path / "h")


def test_answers__a_bound_receiver_without_funds_returns_later(tmp_path: Path) -> None:
    with switch.open(home_of(tmp_path / "h")) as engine:
        poor = pa.table({"participant": [SMALL_BANK], "balance": [1_000_000]})
        engine.change_directory(balances=poor)
        file = write(tmp_path / "r", [back(1), back(3)])
        answer = engine.reconcile(file, at=LATER)
        assert answer["moved"]["returned"] == {"count": 1, "sum": 1000003}
        assert states_of(engine)[1] == "UNAPPLIED"
        rich = pa.table({"participant": [SMALL_BANK], "balance": [1_000_001]})
        engine.change_directory(balances=rich)
        assert engine.reconcile(at=LATER)["moved"]["returned"] == {"count": 1, "sum": 1000001}
    assert switch.verify(tmp_path / "h")


def test_answers__what_came_back_is_written_back_or_paid_once_more(tmp_path: Path) -> None:
    with switch.open(home_of(tmp_path / "h")) as engine:
        engine.reconcile(write(tmp_path / "r", [back(1), back(2), back(3)]), at=LATER)
        expense = books(engine)["T.EXPENSE[PENS]"]
        assert engine.write_back([("A", 1)], at=LATER)["count"] == 1
        assert books(engine)["T.EXPENSE[PENS]"] == expense + 1_000_001
        assert engine.reissue([("A", 2)], at=LATER)["count"] == 1
        assert books(engine)["T.RETURNS"] == 1_000_003
        for again in ([("A", 1)], [("A", 2)], [("A", 4)]):
            with pytest.raises(UsageError, match=r"not on T\.RETURNS"):
                engine.reissue(again)
        batch = run(engine, [line(n) for n in (1, 2, 3, 2)], "B")
        assert batch.status["reason"].to_pylist() == ["AM05", None, "AM05", "AM05"]
        assert switch_verify(engine)
        assert engine.write_back(at=LATER) == {
            "number": 4, "step": "P10", "count": 1, "sum": 1000003, "warnings": []
        }  # fmt: skip
    assert switch.verify(tmp_path / "h")


# --- the set of records alone --------------------------------


def everything(settled: bool) -> list[dict[str, Any]]:
    """Answers of every sort to 30 lines, some of them contradictory, and some about none."""
    later = NOON + dt.timedelta(days=3)
    rows = [said(n) for n in range(1, 16)]
    rows += [said(n, "RJCT") for n in range(15, 20)]
    rows += [said(20, amount=1), said(20), said(21, amount=2), said(22, creditor_account="1")]
    rows += [said(23, booked_at=later), said(24), said(24, booked_at=later)]
    rows += [said(1, transfer_id="nobody's"), said(1, transfer_id=transfer(31)), said(14, "RJCT")]
    rows += [said(25, participant="970009"), said(26, reason="MS03"), said(26)]
    mine = [n for n in range(1, 31) if n % 3 == 2 and n not in (14, 17, 20)]
    whole = sum(1_000_000 + n for n in mine)
    rows += [said(2, transfer_id=transfer(1)[:15], amount=whole, creditor_account=None)]
    if settled:
        rows += [back(n) for n in (3, 15, 27, 28)] + [
            back(28, return_id="again"),
            back(29, amount=3),
        ]
        rows += [back(30, transfer_id="lost")]
    return rows


def feed(path: Path, settings: Settings | None, seed: int | None) -> Any:
    """What a home holds after all answers: in one go, or shuffled, cut in pieces, some twice."""
    home = home_of(path / "h", 30, settings)
    rows = everything(settings is None)
    with switch.open(home) as engine:
        parts = [rows]
        if seed is not None:
            luck = random.Random(seed)
            rows = rows + luck.sample(rows, len(rows) // 2)
            luck.shuffle(rows)
            cut = sorted(luck.sample(range(1, len(rows)), 6))
            parts = [rows[a:b] for a, b in zip([0, *cut], [*cut, len(rows)], strict=True)]
        for number, part in enumerate(parts):
            files = []
            for kind in ("creditor_account", "return_id"):
                mine = [row for row in part if kind in row]
                if mine:
                    files.append(write(path / f"{number}-{kind}.parquet", mine))
            at = LATER if settings is None else "2026-11-25"
            if files and (seed is None or number % 2):
                engine.reconcile(*files, at=at)
            for file in files:
                engine.reconcile(file, at=at)
        assert switch_verify(engine)
        if settings is not None:
            engine.settle()
        engine.reconcile(at=LATER)
        table = open_breaks(engine.home, folders(engine.home))
        bits = {
            (r["benefit"], r["period"]): switch.home.paid_bits.read(
                engine.home.path / r["path"]
            ).tobytes()
            for r in asked(engine.home, "SELECT * FROM paid WHERE origin = 'cleared'")
        }
        positions = [tuple(r) for r in asked(engine.home, "SELECT * FROM positions WHERE net != 0")]
        kept = [p[1:] if "-R" in p[0] else p for p in positions]
        balances = {n: s for n, s in books(engine).items() if "CLEARING" not in n}
        result = states_of(engine), table.to_pylist(), balances, bits, sorted(map(str, kept))
    assert switch.verify(home)
    return result


@pytest.mark.parametrize("settings", [None, CALENDAR], ids=["at once", "calendar"])
def test_answers__neither_order_nor_cut_nor_repetition_shows(
    tmp_path: Path, settings: Settings | None
) -> None:
    (tmp_path / "whole").mkdir()
    whole = feed(tmp_path / "whole", settings, None)
    kinds = {"AMOUNT", "REFERENCE", "DUPLICATE", "MISSING"}
    assert kinds <= {row["class"] for row in whole[1]}
    for seed in range(4):
        (tmp_path / str(seed)).mkdir()
        found = feed(tmp_path / str(seed), settings, seed)
        if settings is None:
            # Each return is booked when it comes: several cycles in place of one.
            found, expected = found[:4], whole[:4]
        else:
            expected = whole
        assert found == expected, seed


def test_answers__a_file_that_brings_nothing_new_changes_no_byte(tmp_path: Path) -> None:
    home = home_of(tmp_path / "h")
    file = write(tmp_path / "a", everything(False))
    with switch.open(home) as engine:
        assert engine.reconcile(file, at=LATER)["number"] == 1
        before = tree_digest(home)
        answer = engine.reconcile(file, file, at=LATER)
        assert answer["number"] == 0
        assert answer["new"] == {"confirmations": 0, "returns": 0, "statement": 0}
    assert tree_digest(home) == before


# --- commands --------------------------------


def test_command__takes_answers_in_and_disposes_of_returns(tmp_path: Path) -> None:
    home = home_of(tmp_path / "h", 3)
    file = write(tmp_path / "a.parquet", [said(1)])
    back_file = write(tmp_path / "b.parquet", [back(2), back(3)])
    told = command("reconcile", home, file, back_file, "--at", LATER)
    assert told.code == 0, told.err
    assert "answers 1" in told.out
    assert "2 lines returned" in told.out
    assert command("reconcile", home, file, "--at", LATER, "--json").document["number"] == 0
    assert command("reconcile", home, tmp_path / "none").code == 3
    assert command("dispose", home).code == 2
    assert command("dispose", home, "--reissue", "--write-back").code == 2, "one or the other"
    assert "line 9 of batch A" in command("dispose", home, "A:9", "--reissue").err
    assert command("dispose", home, "nonsense", "--reissue").code == 2
    assert "1 line, " in command("dispose", home, "A:2", "--write-back", "--yes").out
    assert command("dispose", home, "--reissue", "--yes", "--json").document["count"] == 1
    assert command("verify", home).code == 0


def test_reconcile__of_a_home_that_never_ran_a_table_names_what_it_does_not_know(
    village: Path,
) -> None:
    with switch.open(village) as engine:
        take(engine, village, said(1))
        assert [kind for kind, _ in breaks_of(engine)] == ["MISSING"]
