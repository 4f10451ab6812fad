"""Lines that wait are cancelled: they leave the queue for good, with one reason."""

from __future__ import annotations

import datetime as dt
import shutil
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from cycles import NEXT_DAY, aborted, held_of, lines, short, switch_verify, table_of, told
from leaving_the_queue import another_person, another_sum, require_flips_found
from scene import (
    account,
    accounts_table,
    answers,
    command,
    line,
    make_home,
    participant,
    payment_table,
    people_table,
    person,
    run,
)

import switch
from switch import status
from switch.engine import Engine
from switch.errors import InputRefused, UsageError, VerificationFailed
from switch.home.store import Home
from switch.proof.repair import scrub
from switch.proof.replay import replay
from switch.registry.settings import Settings
from switch.settlement import cancel as cancelling

BY = {"by": "a clerk", "why": "sent in error"}
SAID = ("--by", "a clerk", "--why", "sent in error")


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Lines 1 and 2 clear, 3 to 5 wait for an account, 6 is refused."""
    people = [person(n) for n in range(1, 7)]
    path = make_home(tmp_path / "home", people, [account(1), account(2)])
    with switch.open(path) as engine:
        rows = [*(line(n) for n in range(1, 6)), line(6, amount=0)]
        assert answers(run(engine, rows, "A"))[1:4] == [("ACSC", None), *[("PDNG", "AC03")] * 2]
    return path


def test_cancel__a_line_waits_no_more_and_is_refused_for_one_reason(home: Path) -> None:
    with switch.open(home) as engine:
        before = engine.batches()[0]["now"]
        answer = engine.cancel_lines([("A", 4)], **BY, at="2026-11-26")
        assert answer == {
            "number": 1,
            "at": "2026-11-26",
            **BY,
            "count": 1,
            "sum": 1_000_004,
            "lines": [{"batch_id": "A", "line_no": 4}],
        }
        assert held_of(engine) == [(1, 3), (1, 5)]
        (row,) = engine.batches()
        assert row["now"]["held"]["count"] == before["held"]["count"] - 1
        assert row["now"]["refused"]["count"] == before["refused"]["count"] + 1
        assert row["cancelled"] == {"count": 1, "sum": 1_000_004}
        assert engine.batch("A")["cancelled"] == row["cancelled"]
        states = engine.line("A", 4)["states"]
        assert [(s["state"], s["status"], s["reason"]) for s in states] == [
            ("HELD", "PDNG", "AC03"),
            ("CANCELLED", "RJCT", "DS02"),
        ]
        assert "sent in error" in states[-1]["text"]
        assert "a clerk" in states[-1]["text"]
        assert states[-1]["at"] == "2026-11-26"
        assert (states[-1]["file"], states[-1]["transfer_id"]) == ("cancelled/000001", None)
        assert [r["line_no"] for r in engine.held().rows()] == [3, 5]
        (mine,) = engine.person(f"001{4:09d}")["lines"]
        assert mine["states"] == states
        assert engine.status().open["held"]["count"] == 2
        assert "2 lines held" in engine.status().next[-1]["why"]
        assert told(engine, "A", 3) == ["PDNG"]
        assert switch_verify(engine)
    assert switch.verify(home)


def test_cancel__no_later_run_pays_it_and_the_entitlement_is_free(home: Path) -> None:
    with switch.open(home) as engine:
        engine.cancel_lines([("A", 4)], **BY)
        engine.register(accounts=accounts_table([account(n) for n in range(3, 6)]))
        batch = run(engine, [line(4)], "B")
        assert answers(batch) == [("ACSC", None)], "it is paid by the line that came again"
        assert batch.summary["represented"]["cleared"]["count"] == 2
        assert told(engine, "A", 4) == ["PDNG", "RJCT"]
        assert told(engine, "A", 3) == ["PDNG", "ACSC"]
        assert answers(run(engine, [line(4)], "C")) == [("RJCT", "AM05")]
        assert switch_verify(engine)
    assert switch.verify(home)
    assert replay(home, "B", payment_table([line(4)]))


def test_cancel__the_last_line_leaves_no_queue_and_the_batch_can_be_closed(home: Path) -> None:
    with switch.open(home) as engine:
        engine.reconcile(rules=None, at="2026-11-25")
        assert engine.close_day("2026-11-26")["closed"] == []
        engine.cancel_lines([("A", n) for n in (3, 4, 5)], **BY)
        assert held_of(engine) == []
        assert not (home / "cancelled" / "000001" / "held.parquet").exists()
        assert engine.status().open["held"]["count"] == 0
        assert engine.batches()[0]["now"]["held"]["count"] == 0
        answered = home / "answers.parquet"
        batch = pq.read_table(home / "out/A/clearing/970001.parquet")
        said = {
            "participant": ["970001"] * 2,
            "transfer_id": batch["transfer_id"],
            "amount": batch["amount"],
            "status": ["ACCC"] * 2,
            "booked_at": [dt.datetime(2026, 11, 25, 12, tzinfo=dt.UTC)] * 2,
        }
        pq.write_table(pa.table(said), answered)
        engine.reconcile(answered, at="2026-11-27")
        answered.unlink()
        assert engine.close_day("2026-11-27")["closed"] == [1]
        assert answers(run(engine, [line(1, period=202612)], "B", at="2026-11-28"))
        assert switch_verify(engine)
    assert switch.verify(home)


def test_cancel__same_again_records_nothing(home: Path) -> None:
    with switch.open(home) as engine:
        first = engine.cancel_lines([("A", 4), ("VSS:A", 3), ("A", 4)], **BY, at="2026-11-26")
        seq = engine.home.catalog.heads().seq
        assert engine.cancel_lines([("A", 3), ("A", 4)], **BY, at="2026-11-28") == first
        assert engine.home.catalog.heads().seq == seq
        assert first["lines"] == [{"batch_id": "A", "line_no": n} for n in (3, 4)]


@pytest.mark.parametrize(
    ("named", "what"),
    [
        (1, "it is SETTLED"),
        (6, "it is REJECTED"),
        (4, "it is CANCELLED"),
        (7, "has lines 1 to 6, and no line 7"),
    ],
)
def test_cancel__only_what_waits(named: int, what: str, home: Path) -> None:
    """All of the lines that are named, or none: the other one waits."""
    with switch.open(home) as engine:
        engine.cancel_lines([("A", 4)], **BY)
        link = engine.home.catalog.heads().link
        with pytest.raises(UsageError, match=what):
            engine.cancel_lines([("A", 3), ("A", named)], **BY)
        assert engine.home.catalog.heads().link == link
        assert held_of(engine) == [(1, 3), (1, 5)]


@pytest.mark.parametrize(
    ("said", "what"),
    [
        ({"by": ""}, "say by"),
        ({"why": ""}, "say why"),
        ({"by": "x" * 65}, "by is 1 to 64"),
        ({"why": "x" * 141}, "why is 1 to 140"),
        ({"why": "a\nb"}, "why is 1 to 140"),
        ({"by": " a"}, "without blanks"),
    ],
)
def test_cancel__somebody_says_why(said: dict[str, str], what: str, home: Path) -> None:
    with switch.open(home) as engine:
        with pytest.raises(UsageError, match=what):
            engine.cancel_lines([("A", 3)], **(BY | said))
        with pytest.raises(UsageError, match="name the lines"):
            engine.cancel_lines([], **BY)
        with pytest.raises(UsageError, match="no batch 'X'"):
            engine.cancel_lines([("X", 3)], **BY)
        assert held_of(engine) == [(1, 3), (1, 4), (1, 5)]


def test_cancel__no_time_before_what_was_signed(home: Path) -> None:
    with switch.open(home) as engine:
        engine.close_day("2026-11-27")
        with pytest.raises(InputRefused, match="days do not run back"):
            engine.cancel_lines([("A", 3)], **BY, at="2026-11-26")
        assert engine.cancel_lines([("A", 3)], **BY)["at"] == "2026-11-27"


def test_command__cancels_and_says_what_is_wrong(home: Path) -> None:
    said = command("cancel-line", home, "A:3", "A:5", *SAID, "--at", "2026-11-26", "--json")
    assert (said.code, said.document["count"], said.document["sum"]) == (0, 2, 2_000_008)
    shown = command("cancel-line", home, "A:3", "A:5", *SAID)
    assert (shown.code, shown.out.strip()) == (0, "2 lines, 2,000,008 dong: cancelled")
    again = command("cancel-line", home, "A:3", *SAID)
    assert again.code == 2
    assert "does not wait: it is CANCELLED" in again.err
    assert command("cancel-line", home, "A:1", *SAID).code == 2
    assert command("cancel-line", home, "A:4", "--by", "me").code == 2
    assert command("cancel-line", home, "A4", *SAID).code == 2
    assert "2 lines of 2,000,008 dong waited and were cancelled" in command("status", home).out
    assert "Cancelled while it waited" in command("status", home, "--line", "A:3").out


def test_cancel__releases_its_part_of_the_budget(tmp_path: Path) -> None:
    """A new table may take what a line that waited had reserved."""
    members = [{"debtor_account": "1", "debtor_agent": "KBNN", "programme": "PENS", "budget": 100}]
    with switch.init(
        tmp_path / "h",
        participants=pa.Table.from_pylist([participant("KBNN", "treasury"), participant("A")]),
        debtors=pa.Table.from_pylist(members),
        settings=Settings(enforce_budgets=True),
    ) as engine:
        engine.register(
            population=people_table(person(n) for n in range(1, 4)),
            accounts=accounts_table([account(3, participant="A")]),
        )
        paid = {"debtor_account": "1", "benefit": "PENS"}
        run(engine, [line(1, amount=60, **paid), line(2, amount=30, **paid)], "A")
        with pytest.raises(InputRefused, match="beyond the budget"):
            run(engine, [line(3, amount=70, **paid)], "B")
        engine.cancel_lines([("A", 1)], **BY)
        (row,) = status.budgets(engine.home)
        assert (row["reserved"], row["released"], row["remaining"]) == (90, 60, 30)
        assert row["available"] == 70
        assert engine.batch("A")["funding"]["budgets"][0]["released"] == 60
        assert answers(run(engine, [line(3, amount=70, **paid)], "B")) == [("ACSC", None)]
        assert switch_verify(engine)
    assert switch.verify(tmp_path / "h")


def test_cancel__lines_that_a_recast_or_an_abort_sent_back(tmp_path: Path) -> None:
    with short(tmp_path / "h", "recast") as engine:
        engine.change_directory(balances=table_of({"B": 40}))
        engine.settle()
        assert held_of(engine) == [(1, 1), (1, 2)]
        engine.cancel_lines([("X", 1)], **BY)
        assert held_of(engine) == [(1, 2)]
        assert told(engine, "X", 1) == ["ACSP", "PDNG", "RJCT"]
        assert engine.batches()[0]["now"]["held"]["count"] == 1
        second = run(engine, lines("C > A 1", 9), "Y", **NEXT_DAY)
        assert second.summary["represented"]["received"]["count"] == 1
        assert switch_verify(engine)
    with aborted(tmp_path / "a") as engine:
        queue = held_of(engine)
        engine.cancel_lines([("X", 2), ("Y", 1)], **BY)
        assert held_of(engine) == [one for one in queue if one not in ((1, 2), (2, 1))]
        assert switch_verify(engine)


def test_cancel__an_abort_after_it_sends_back_to_what_is_left(tmp_path: Path) -> None:
    """The queue is written anew by each in turn, before the same next batch."""
    with short(tmp_path / "h", "recast") as engine:
        engine.change_directory(balances=table_of({"B": 40}))
        engine.settle()
        run(engine, lines("C > A 1", 9), "Y", **NEXT_DAY)
        waits = held_of(engine)
        assert waits
        name, number = ("X", waits[0][1])
        engine.cancel_lines([(name, number)], **BY)
        cycle = engine.batches()[1]["cycle"]
        engine.settle(cycle, abort="it is given up")
        assert held_of(engine) == sorted({*waits[1:], (2, 1), *_cleared(engine, cycle)})
        engine.cancel_lines([("Y", 1)], **BY)
        assert (2, 1) not in held_of(engine)
        table = lines("C > A 2", 12)
        run(engine, table, "Z", at="2026-11-27")
        assert switch_verify(engine)
    assert switch.verify(tmp_path / "h")
    assert replay(tmp_path / "h", "Z", payment_table(table))


def _cleared(engine: Engine, cycle: str) -> set[tuple[int, int]]:
    """Lines of earlier batches that a cycle had cleared."""
    path = engine.home.path / "recasts" / "000002" / "lines.parquet"
    rows = pq.read_table(path).to_pylist()
    return {(row["batch"], row["line_no"]) for row in rows}


def _another_queue(patch: pytest.MonkeyPatch) -> None:
    write = cancelling.write_queue
    patch.setattr(cancelling, "write_queue", lambda *a: write(*a[:2], _more(a[2])))


def _more(gone: pa.Table) -> pa.Table:
    """Line 5 of batch 1, too."""
    return pa.concat_tables([gone, gone.set_column(1, "line_no", pa.array([5], pa.uint32()))])


def _another_line(patch: pytest.MonkeyPatch) -> None:
    write = cancelling.write_table
    patch.setattr(
        cancelling,
        "write_table",
        lambda path, t: write(path, t.set_column(1, "line_no", pa.array([5], pa.uint32()))),
    )


def _another_amount(patch: pytest.MonkeyPatch) -> None:
    waiting = cancelling.waiting

    def less(home: Home, chosen: Any) -> pa.Table:
        return waiting(home, chosen).set_column(4, "amount", pa.array([1], pa.int64()))

    patch.setattr(cancelling, "waiting", less)


def _another_name(patch: pytest.MonkeyPatch) -> None:
    commit = Home.commit

    def told(self: Home, *, detail: Any, **rest: Any) -> None:
        commit(self, detail={**detail, "by": ""}, **rest)

    patch.setattr(Home, "commit", told)


WRONG = {
    "cancellation 1: those that wait are others": _another_queue,
    "batch 1, line 5 did not wait as it was cancelled|those that wait": _another_line,
    "did not wait as it was cancelled": _another_amount,
    "cancelled lines, cancellation 1": another_sum,
    "does not say who cancelled what": _another_name,
}


@pytest.mark.parametrize("what", WRONG)
def test_verify__finds_a_cancellation_that_is_wrong(
    what: str, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with switch.open(home) as engine:
        WRONG[what](monkeypatch)
        engine.cancel_lines([("A", 4)], **BY)
    monkeypatch.undo()
    with pytest.raises(VerificationFailed, match=what):
        switch.verify(home)


def test_verify__finds_another_person_in_the_queue(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every column of what stays in the queue is what it was."""

    with switch.open(home) as engine:
        another_person(monkeypatch)
        engine.cancel_lines([("A", 4)], **BY)
    monkeypatch.undo()
    with pytest.raises(VerificationFailed, match="those that wait are others"):
        switch.verify(home)


def test_verify__finds_every_flipped_bit_of_a_cancellation(home: Path) -> None:
    with switch.open(home) as engine:
        engine.cancel_lines([("A", 4)], **BY)
    require_flips_found(home, home / "cancelled" / "000001")


def test_open__a_cancellation_that_was_cut_off_never_was(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cut(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    with switch.open(home) as engine:
        monkeypatch.setattr(Home, "commit", cut)
        with pytest.raises(KeyboardInterrupt):
            engine.cancel_lines([("A", 4)], **BY)
    monkeypatch.undo()
    assert [p.name for p in (home / "cancelled").iterdir()] == []
    with switch.open(home) as engine:
        assert held_of(engine) == [(1, 3), (1, 4), (1, 5)]
    assert switch.verify(home)


def test_scrub__repairs_a_cancellation(home: Path, tmp_path: Path) -> None:
    with switch.open(home) as engine:
        engine.cancel_lines([("A", 4)], **BY)
    copy = shutil.copytree(home, tmp_path / "copy")
    for name in ("held.parquet", "lines.parquet"):
        path = home / "cancelled" / "000001" / name
        content = path.read_bytes()
        path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
        with pytest.raises(VerificationFailed, match=name):
            switch.verify(home)
        path.unlink()
        with pytest.raises(VerificationFailed, match=name):
            switch.verify(home)
        assert scrub(home, copy)
        assert switch.verify(home)
