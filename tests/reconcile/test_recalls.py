"""Lines that were sent are asked back: before their cycle has settled, and after."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from answering import (
    CALENDAR,
    NOON,
    RECEIVERS,
    back,
    books,
    breaks_of,
    home_of,
    said,
    states_of,
    switch_verify,
    take,
    transfer,
)
from scene import answers, command, line, run

import switch
from switch.engine import Engine
from switch.errors import InputRefused, UsageError, VerificationFailed
from switch.home.store import Home
from switch.reconcile import recalls as recalling

SAID = {"reason": "DUPL", "by": "a clerk", "why": "paid twice"}
WORDS = ("--reason", "DUPL", "--by", "a clerk", "--why", "paid twice")
NAMES = ("action", "amount", "reason", "transfer_id")


def recalled(number: int, **changes: Any) -> dict[str, Any]:
    return back(number, reason="FOCR") | changes


def listed(home: Path, number: int, code: str) -> list[dict[str, Any]]:
    return pq.read_table(home / "out" / "recalls" / f"{number:06d}" / f"{code}.parquet").to_pylist()


@pytest.fixture
def settled(tmp_path: Path) -> Path:
    """Twelve lines that settled at once."""
    return home_of(tmp_path / "h")


@pytest.fixture
def cleared(tmp_path: Path) -> Path:
    """Twelve lines in a cycle of a calendar."""
    return home_of(tmp_path / "h", settings=CALENDAR)


# --- a line whose cycle has not settled -----------------------------------------------------------


def test_recall__a_line_leaves_its_cycle_as_a_refused_one_does(
    cleared: Path, tmp_path: Path
) -> None:
    """Books, positions and entitlements are those of a home whose receiver refused the line."""
    other = home_of(tmp_path / "other", settings=CALENDAR)
    with switch.open(other) as engine:
        take(engine, other, said(3, "RJCT"), at="2026-11-25")
        expected = books(engine), engine.home.catalog.positions("20261125-1")
        settled = engine.settle()[0]["participants"]
    with switch.open(cleared) as engine:
        answer = engine.recall([("A", 3)], **SAID, at="2026-11-25")
        assert answer["stopped"] == {"count": 1, "sum": 1_000_003}
        assert answer["asked"] == {"count": 0, "sum": 0}
        assert answer["receivers"] == {RECEIVERS[0]: {"count": 1, "sum": 1_000_003}}
        assert (books(engine), engine.home.catalog.positions("20261125-1")) == expected
        row = {"transfer_id": transfer(3), "amount": 1_000_003, "reason": "DUPL", "action": "STOP"}
        assert listed(cleared, 1, RECEIVERS[0]) == [row]
        assert [s["state"] for s in engine.line("A", 3)["states"]] == ["CLEARED", "REFUSED"]
        last = engine.line("A", 3)["states"][-1]
        assert (last["reason"], last["file"]) == ("DUPL", "answers/000001")
        assert "recalled before its cycle settled" in last["text"]
        assert "paid twice. By: a clerk" in last["text"]
        assert engine.batches()[0]["now"]["refused"]["count"] == 1
        assert switch_verify(engine)
        assert engine.settle()[0]["participants"] == settled
        assert states_of(engine)[3] == "REFUSED"
        assert answers(run(engine, [line(3)], "B", at="2026-11-25")) == [("ACSP", None)]
        (row,) = engine.recalls().rows()
        assert (row["state"], row["action"], row["line_no"]) == ("ACCEPTED", "STOP", 3)
        assert switch_verify(engine)
    assert switch.verify(cleared)


def test_recall__of_a_closed_cycle_asks_the_state_bank_anew(cleared: Path) -> None:
    with switch.open(cleared) as engine:
        engine.settle(close_only=True)
        before = engine.home.catalog.cycle("20261125-1")
        engine.recall([("A", 1), ("A", 3)], **SAID)
        after = engine.home.catalog.cycle("20261125-1")
        assert before is not None
        assert after is not None
        assert before.request != after.request
        copy = cleared / "out" / "cycles" / "20261125-1" / "settlement.json"
        assert copy.read_text().replace(" ", "").replace("\n", "") != ""
        with pytest.raises(UsageError, match="can settle alone"):
            engine.settle("20261125-1", abort="no")
        assert engine.settle()[0]["state"] == "SETTLED"
        assert switch_verify(engine)
    assert switch.verify(cleared)


def test_recall__nobody_owes_an_answer_to_what_left_its_cycle(cleared: Path) -> None:
    """Nor does a whole file come to another sum by it; a credit of it is a break."""
    with switch.open(cleared) as engine:
        engine.recall([("A", 3)], **SAID, at="2026-11-25")
        engine.settle()
        mine = [n for n in range(1, 13) if n % 3 == 0]
        whole = said(3, transfer_id=transfer(3)[:-11], amount=sum(1_000_000 + n for n in mine[1:]))
        whole["creditor_account"] = None
        others = [said(n) for n in range(1, 13) if n % 3]
        take(engine, cleared, whole, *others)
        assert breaks_of(engine) == []
        assert states_of(engine)[6] == "CREDITED"
        assert states_of(engine)[3] == "REFUSED"
        take(engine, cleared, said(3, "RJCT"))
        assert breaks_of(engine) == []
        assert engine.close_day("2026-12-01")["closed"] == [1]
        assert switch_verify(engine)
        twice = said(3, booked_at=dt.datetime(2026, 11, 26, tzinfo=dt.UTC))
        take(engine, cleared, twice, at="2026-12-02")
        assert [name for name, _ in breaks_of(engine)] in (["STATUS"], ["DUPLICATE"])
        assert switch_verify(engine)


def test_recall__a_credit_of_what_left_its_cycle_is_a_break(cleared: Path) -> None:
    """In time, and though nothing else was said of it."""
    with switch.open(cleared) as engine:
        engine.recall([("A", 3)], **SAID, at="2026-11-25")
        engine.settle()
        take(engine, cleared, said(3), at="2026-11-26")
        assert breaks_of(engine) == [("STATUS", transfer(3))]
        assert states_of(engine)[3] == "REFUSED"
        assert switch_verify(engine)


def test_recall__what_a_stranger_says_of_a_line_makes_nobody_owe_an_answer(cleared: Path) -> None:
    """Found by simulation (seed 567): the line was missing at its receiver beside the stray."""
    with switch.open(cleared) as engine:
        engine.recall([("A", 3)], **SAID, at="2026-11-25")
        engine.settle()
        take(engine, cleared, *(said(n) for n in range(1, 13) if n != 3), at="2026-11-26")
        take(engine, cleared, back(3, participant=RECEIVERS[1]), at="2026-12-02")
        assert breaks_of(engine) == [("RETURN_UNMATCHED", transfer(3))]
        assert switch_verify(engine)


# --- a line that has settled ----------------------------------------------------------------------


@pytest.mark.parametrize("answered", [True, False])
def test_recall__the_receiver_is_asked_and_a_return_closes_it(
    answered: bool, settled: Path
) -> None:
    """With or without a credit before it, which then is no contradiction."""
    with switch.open(settled) as engine:
        if answered:
            take(engine, settled, *(said(n) for n in range(1, 13)), at="2026-11-26")
        answer = engine.recall([("A", 4), ("A", 5)], **SAID, at="2026-11-26")
        assert answer["asked"] == {"count": 2, "sum": 2_000_009}
        row = {"transfer_id": transfer(4), "amount": 1_000_004, "reason": "DUPL"}
        assert listed(settled, answer["number"], RECEIVERS[1]) == [row | {"action": "RETURN"}]
        before = engine.line("A", 4)["states"]
        assert before[-1]["state"] == ("CREDITED" if answered else "SETTLED")
        assert any("asked to give the money back" in state["text"] for state in before)
        assert [r["state"] for r in engine.recalls(state="OPEN").rows()] == ["OPEN"] * 2
        assert engine.close_day("2026-11-27")["closed"] == []
        rest = () if answered else (said(n) for n in range(1, 13) if n not in (4, 5))
        take(engine, settled, recalled(4), recalled(5), at="2026-11-28")
        take(engine, settled, *rest, at="2026-11-28")
        assert breaks_of(engine) == []
        assert states_of(engine)[4] == "RETURNED"
        assert {r["state"] for r in engine.recalls().rows()} == {"ACCEPTED"}
        assert engine.recalls(state="OPEN").total["count"] == 0
        last = engine.line("A", 4)["states"][-1]
        assert (last["state"], last["reason"]) == ("RETURNED", "FOCR")
        assert engine.close_day("2026-11-29")["closed"] == [1]
        assert engine.write_back(at="2026-11-29")["count"] == 2
        assert switch_verify(engine)
    assert switch.verify(settled)


def test_recall__of_a_closed_batch_is_open_until_the_money_comes(settled: Path) -> None:
    with switch.open(settled) as engine:
        take(engine, settled, *(said(n) for n in range(1, 13)), at="2026-11-26")
        assert engine.close_day("2026-11-26")["closed"] == [1]
        engine.recall([("A", 4)], **SAID, at="2026-12-20")
        assert engine.batches()[0]["state"] == "CLOSED"
        take(engine, settled, recalled(4), at="2026-12-21")
        (row,) = engine.recalls().rows()
        assert (row["state"], row["days"]) == ("ACCEPTED", 1)
        assert engine.batches()[0]["now"]["returned"]["count"] == 1
        assert switch_verify(engine)
    assert switch.verify(settled)


def test_recall__same_again_records_nothing(settled: Path) -> None:
    with switch.open(settled) as engine:
        first = engine.recall([("A", 4), ("A", 5)], **SAID, at="2026-11-26")
        link = engine.home.catalog.heads().link
        (settled / "out" / "recalls" / "000001" / f"{RECEIVERS[1]}.parquet").unlink()
        assert engine.recall([("A", 5), ("VSS:A", 4)], **SAID, at="2026-11-27") == first
        assert engine.home.catalog.heads().link == link
        assert listed(settled, 1, RECEIVERS[1])
        with pytest.raises(UsageError, match="it was recalled before"):
            engine.recall([("A", 4)], **SAID)
        assert engine.home.catalog.heads().link == link


def test_recall__what_came_back_was_refused_or_waits_is_refused(settled: Path) -> None:
    with switch.open(settled) as engine:
        run(engine, [line(60), line(1)], "B")
        take(engine, settled, back(4))
        link = engine.home.catalog.heads().link
        for name, number, what in (
            ("A", 4, "it is RETURNED"),
            ("B", 1, "it is REJECTED"),
            ("B", 2, "it is REJECTED"),
            ("A", 99, "has lines 1 to 12, and no line 99"),
        ):
            with pytest.raises(UsageError, match=what):
                engine.recall([("A", 6), (name, number)], **SAID)
        for changed, what in (
            ({"reason": "XXXX"}, "no code of a recall"),
            ({"by": ""}, "say by"),
            ({"why": " "}, "without blanks"),
        ):
            with pytest.raises(UsageError, match=what):
                engine.recall([("A", 6)], **(SAID | changed))
        with pytest.raises(UsageError, match="name the lines"):
            engine.recall([], **SAID)
        with pytest.raises(InputRefused, match="days do not run back"):
            engine.recall([("A", 6)], **SAID, at="2026-11-20")
        assert engine.home.catalog.heads().link == link


def test_command__recalls_and_lists(settled: Path) -> None:
    made = command("recall", settled, "A:4", *WORDS, "--at", "2026-11-26")
    assert made.code == 0, made.err
    assert "1 line, 1,000,004 dong: are asked for" in made.out
    again = command("recall", settled, "A:4", *WORDS, "--json")
    assert (again.code, again.document["asked"]["count"]) == (0, 1)
    assert command("recall", settled, "A:99", *WORDS).code == 2
    assert command("recall", settled, "A:5", *WORDS[2:]).code == 2
    shown = command("recalls", settled)
    assert shown.code == 0
    assert "1 OPEN" in shown.out
    told = command("recalls", settled, "--state", "OPEN", "--receiver", RECEIVERS[1], "--json")
    (row,) = told.document["recalls"]
    assert (row["line_no"], row["reason"], row["by"]) == (4, "DUPL", "a clerk")
    assert command("recalls", settled, "--state", "LOST").code == 2
    assert command("recalls", settled, "--reason", "AC03", "--json").document["count"] == 0
    file = settled.parent / "recalls.csv"
    assert command("recalls", settled, "--out", file).code == 0
    assert file.read_text().count("\n") == 2
    assert "asked to give the money back" in command("status", settled, "--line", "A:4").out


# --- what receivers answer ------------------------------------------------------------------------


def resolved(number: int, status: str = "RJCR", **changes: Any) -> dict[str, Any]:
    row = {
        "participant": RECEIVERS[number % 3],
        "transfer_id": transfer(number),
        "status": status,
        "reason": "NOAS" if status == "RJCR" else None,
        "booked_at": NOON + dt.timedelta(days=3),
    }
    return row | changes


def answer(engine: Engine, home: Path, *rows: dict[str, Any], at: str) -> dict[str, Any]:
    file = home.parent / "resolutions.parquet"
    pq.write_table(pa.Table.from_pylist(list(rows), SCHEMA), file)
    return engine.reconcile(file, at=at)


SCHEMA = switch.table_template("resolutions").schema


def test_resolution__a_refusal_closes_the_recall_and_the_line_stays(settled: Path) -> None:
    with switch.open(settled) as engine:
        take(engine, settled, *(said(n) for n in range(1, 13)), at="2026-11-26")
        engine.recall([("A", 4), ("A", 5), ("A", 7)], **SAID, at="2026-11-26")
        assert engine.status().open["recalls"]["count"] == 3
        assert "3 recalls without an answer" in str(engine.status().next)
        told = answer(
            engine,
            settled,
            *(resolved(4), resolved(5, "PDCR"), resolved(7, "CNCL")),
            at="2026-11-28",
        )
        assert told["new"]["resolutions"] == told["read"]["resolutions"] == 3
        found = {r["line_no"]: r["state"] for r in engine.recalls().rows()}
        assert found == {4: "REFUSED", 5: "OPEN", 7: "OPEN"}
        assert states_of(engine)[4] == "CREDITED"
        texts = [state["text"] for state in engine.line("A", 4)["states"]]
        assert any("refuses to give the money back" in text for text in texts)
        assert engine.line("A", 4)["states"][-1]["state"] == "CREDITED"
        assert breaks_of(engine) == []
        answer(engine, settled, resolved(5), at="2026-11-29")
        take(engine, settled, recalled(7), at="2026-11-29")
        found = {r["line_no"]: r["state"] for r in engine.recalls().rows()}
        assert found == {4: "REFUSED", 5: "REFUSED", 7: "ACCEPTED"}
        assert "recalls" not in engine.status().open
        assert engine.close_day("2026-11-30")["closed"] == [1]
        assert answer(engine, settled, resolved(4), at="2026-11-30")["number"] == 0
        with pytest.raises(UsageError, match="it was recalled before"):
            engine.recall([("A", 4)], **(SAID | {"reason": "FRAD"}))
        assert switch_verify(engine)
    assert switch.verify(settled)


@pytest.mark.parametrize(
    ("first", "then", "state"),
    [("CNCL", "RJCR", "REFUSED"), ("RJCR", "CNCL", "OPEN"), ("RJCR", "PDCR", "REFUSED")],
)
def test_resolution__the_last_that_decides_counts_in_any_order(
    first: str, then: str, state: str, settled: Path
) -> None:
    rows = [resolved(4, first), resolved(4, then, booked_at=NOON + dt.timedelta(days=4))]
    with switch.open(settled) as engine:
        engine.recall([("A", 4)], **SAID, at="2026-11-26")
        for row in reversed(rows):
            answer(engine, settled, row, at="2026-11-30")
        assert [r["state"] for r in engine.recalls().rows()] == [state]
        assert ("recalls" in engine.status().open) == (state == "OPEN")
        assert switch_verify(engine)


def test_resolution__an_answer_to_no_recall_is_a_break(cleared: Path) -> None:
    """Of a line that nobody recalled, of no line, by another receiver, or against a stop."""
    with switch.open(cleared) as engine:
        engine.recall([("A", 3)], **SAID, at="2026-11-25")
        engine.settle()
        engine.recall([("A", 5)], **SAID, at="2026-11-26")
        mine = [
            resolved(4),
            resolved(5, participant=RECEIVERS[1]),
            resolved(3),
            resolved(1, transfer_id="20261125-000009-0000000001"),
        ]
        answer(engine, cleared, *mine, resolved(3, "CNCL"), resolved(5, "PDCR"), at="2026-11-27")
        found = engine.breaks(class_="RECALL_UNMATCHED").rows()
        assert sorted(str(r["transfer_id"]) for r in found) == sorted(
            r["transfer_id"] for r in mine
        )
        assert {(r["severity"], r["owner"], r["set"]) for r in found} == {
            ("medium", "operations", "recalls")
        }
        engine.recall([("A", 4)], **SAID, at="2026-11-27")
        take(engine, cleared, at="2026-11-28")
        assert len(engine.breaks(class_="RECALL_UNMATCHED")) == 3, "it answers a recall now"
        assert {r["line_no"]: r["state"] for r in engine.recalls().rows()}[4] == "REFUSED"
        assert switch_verify(engine)
    assert switch.verify(cleared)


def test_resolution__no_answer_by_the_deadline_is_a_break(settled: Path, tmp_path: Path) -> None:
    with switch.open(settled) as engine:
        take(engine, settled, *(said(n) for n in range(1, 13)), at="2026-11-26")
        assert engine.close_day("2026-11-26")["closed"] == [1]
        engine.recall([("A", 4), ("A", 5)], **SAID, at="2026-11-26")
        take(engine, settled, at="2026-12-11")
        assert breaks_of(engine) == []
        take(engine, settled, at="2026-12-12")
        assert breaks_of(engine) == [("RECALL_OVERDUE", transfer(n)) for n in (4, 5)]
        (row, _) = engine.breaks(sort="value").rows()
        assert (row["expected"], row["value"], row["days"]) == (1_000_005, 1_000_005, 16)
        answer(engine, settled, resolved(4), at="2026-12-13")
        take(engine, settled, recalled(5), at="2026-12-13")
        assert breaks_of(engine) == []
        engine.recall([("A", 7)], **SAID, at="2026-12-13")
        rules = tmp_path / "rules.toml"
        text = Path(switch.__file__).parent.joinpath("data/reconciliation.toml").read_text()
        more = '[class.RECALL_OVERDUE]\nseverity="low"\nowner="night desk"\naction="call"\n'
        rules.write_text(text.replace("refusal_days", "recall_days = 1\nrefusal_days", 1) + more)
        engine.reconcile(rules=rules, at="2026-12-14")
        assert breaks_of(engine) == []
        engine.reconcile(at="2026-12-15")
        (row,) = engine.breaks().rows()
        assert (row["class"], row["severity"], row["owner"]) == (
            "RECALL_OVERDUE",
            "low",
            "night desk",
        )
        assert switch_verify(engine)
    assert switch.verify(settled)


def test_resolution__a_word_that_none_is_refuses_the_file(settled: Path) -> None:
    with switch.open(settled) as engine, pytest.raises(InputRefused, match="CNCL, RJCR, PDCR"):
        answer(engine, settled, resolved(4, "ACCC"), at="2026-11-28")


# --- the proof ------------------------------------------------------------------------------------


def _other_detail(**wrong: Any) -> Any:
    def patch(monkeypatch: pytest.MonkeyPatch) -> None:
        commit = Home.commit

        def told(self: Home, *, detail: Any, **rest: Any) -> None:
            import msgspec

            commit(self, detail=msgspec.structs.replace(detail, **wrong), **rest)

        monkeypatch.setattr(Home, "commit", told)

    return patch


def _other_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    write = recalling.write_table

    def less(path: Path, table: pa.Table) -> None:
        if path.name == "recalled.parquet":
            at = table.schema.names.index("amount")
            table = table.set_column(at, "amount", pa.array([7] * len(table), pa.int64()))
        write(path, table)

    monkeypatch.setattr(recalling, "write_table", less)


def _other_list(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recalling, "RETURN", "STOP")


WRONG = {
    "does not say who recalled what": _other_detail(by=""),
    "does not say who recalled what|another": _other_detail(count=3),
    "named batches": _other_detail(named=[]),
    "went out as it is asked for|who recalled what": _other_lines,
    "recall lists": _other_list,
}


@pytest.mark.parametrize("what", WRONG)
def test_verify__finds_a_recall_that_is_wrong(
    what: str, settled: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with switch.open(settled) as engine:
        WRONG[what](monkeypatch)
        engine.recall([("A", 4)], **SAID, at="2026-11-26")
    monkeypatch.undo()
    with pytest.raises(VerificationFailed, match=what):
        switch.verify(settled)


def test_verify__finds_a_line_that_was_asked_for_though_it_had_not_settled(
    cleared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = recalling.SentLines
    with switch.open(cleared) as engine:
        monkeypatch.setattr(lines, "settled", lambda self: self.sent())
        engine.recall([("A", 4)], **SAID, at="2026-11-25")
    monkeypatch.undo()
    with pytest.raises(VerificationFailed, match="before it settled"):
        switch.verify(cleared)


def test_verify__finds_a_list_that_was_handed_out_otherwise(settled: Path) -> None:
    with switch.open(settled) as engine:
        engine.recall([("A", 4)], **SAID)
    copy = settled / "out" / "recalls" / "000001" / f"{RECEIVERS[1]}.parquet"
    content = copy.read_bytes()
    copy.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(VerificationFailed, match="recall the lines again"):
        switch.verify(settled)
    assert command("recall", settled, "A:4", *WORDS).code == 0
    assert switch.verify(settled)
