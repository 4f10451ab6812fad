"""What became of lines is told, and days end: statements, totals, batches that are done with."""

from __future__ import annotations

import contextlib
import datetime as dt
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from answering import (
    CALENDAR,
    LATER,
    back,
    breaks_of,
    home_of,
    said,
    switch_verify,
    take,
    transfer,
    write,
)
from scene import BANK, command, line, run, tree_digest

import switch
from switch import status
from switch.engine import Engine
from switch.errors import InputRefused
from switch.home.history import folders, open_breaks
from switch.reconcile import take_in
from switch.reconcile.line_states import State
from switch.sim.receivers.behaviour import PAYDAY, Fate, Manner, Rates
from switch.sim.receivers.exchange import exchange

# --- status ---------------------------------------------------------------------------------


def told(engine: Engine, number: int, batch: str = "A") -> list[tuple[str, str, str | None]]:
    states = status.line(engine.home, batch, number)["states"]
    return [(state["state"], state["status"], state["reason"]) for state in states]


def test_status__tells_what_was_answered_and_decided(tmp_path: Path) -> None:
    with switch.open(home_of(tmp_path / "h")) as engine:
        rows = [said(3), said(4, "RJCT"), said(5, amount=4)]
        engine.reconcile(
            write(tmp_path / "a", rows), write(tmp_path / "b", [back(1), back(2)]), at=LATER
        )
        engine.write_back([("A", 1)], at=LATER)
        engine.reissue([("A", 2)], at=LATER)
        settled = ("SETTLED", "ACSC", None)
        returned = ("RETURNED", "RTRN", "AC04")
        late = ("SETTLED", "ACSC", "AC04")
        unapplied = ("UNAPPLIED", "ACSC", None)
        assert told(engine, 1) == [settled, returned, ("WRITTEN_BACK", "RTRN", None)]
        assert told(engine, 2) == [settled, returned, ("REISSUED", "RTRN", None)]
        assert told(engine, 3) == [settled, ("CREDITED", "ACCC", None)]
        assert told(engine, 4) == [settled, late, unapplied]
        assert told(engine, 5) == [settled, settled, unapplied]
        assert told(engine, 6) == [settled, unapplied]
        line_4 = status.line(engine.home, "A", 4)
        assert [b["class"] for b in line_4["breaks"]] == ["STATUS"]
        (why, _) = line_4["explained"]
        assert why.startswith("line of 1,000,004 dong, STATUS: it goes with ")
        assert "(rule 'transfer-id')" in why
        assert status.line(engine.home, "A", 3)["explained"] == []
        (why, *rest) = status.line(engine.home, "A", 1)["explained"]
        assert why.startswith("line of 1,000,001 dong, MATCHED: its money came back")
        assert all("transfer-id" in sentence for sentence in rest)
        (why,) = status.line(engine.home, "A", 6)["explained"]
        assert why.endswith("nothing fits it, for which the rules allow 1 day")
        assert line_4["states"][1]["at"] == "2026-11-25T12:00:00+00:00"
        assert line_4["states"][1]["file"] == "answers/000001"
        run(engine, [line(2)], "B")
        text = status.line(engine.home, "A", 2)["states"][2]["text"]
        assert text.endswith("one more line: it is B:1.")
        assert status.line(engine.home, "B", 1)["reissue_of"] == {"batch_id": "A", "line_no": 2}
        mine = status.person(engine.home, "001000000002")["lines"]
        assert [(row["batch_id"], len(row["states"])) for row in mine] == [("A", 3), ("B", 2)]
    now = command("status", tmp_path / "h", "--batch", "A", "--json").document["answered"]
    assert now == {
        "as_of": LATER,
        "lines": {
            "UNAPPLIED": {"count": 9, "sum": 9_000_072},
            "CREDITED": {"count": 1, "sum": 1_000_003},
            "RETURNED": {"count": 2, "sum": 2_000_003},
        },
    }
    assert (
        "by what was answered, as of 2026-11-30"
        in command("status", tmp_path / "h", "--batch", "A").out
    )
    shown = command("status", tmp_path / "h", "--line", "A:4").out
    assert "break STATUS (transfer-id): critical, 3-7 days, operations" in shown
    assert "re-issue of A:2" in command("status", tmp_path / "h", "--line", "B:1").out


def test_status__tells_of_a_refusal_in_time(tmp_path: Path) -> None:
    with switch.open(home_of(tmp_path / "h", settings=CALENDAR)) as engine:
        take(engine, tmp_path / "h", said(1, "RJCT"), said(3), at="2026-11-25")
        engine.settle()
        assert told(engine, 1) == [("CLEARED", "ACSP", None), ("REFUSED", "RJCT", "AC04")]
        found = [("CLEARED", "ACSP", None), ("SETTLED", "ACSC", None)]
        assert told(engine, 3) == [*found, ("CREDITED", "ACCC", None)]


def test_status__an_answer_to_a_whole_file_credits_its_lines(tmp_path: Path) -> None:
    with switch.open(home_of(tmp_path / "h", 3)) as engine:
        whole = said(3, transfer_id=transfer(3)[:15], creditor_account=None)
        take(engine, tmp_path / "h", whole)
        assert told(engine, 3) == [("SETTLED", "ACSC", None), ("CREDITED", "ACCC", None)]


# --- the end of a day ---------------------------------------------------------------------------


def statement_row(batch: int, state: str, count: int, amount: int) -> dict[str, Any]:
    cycle = f"20261125-{batch:06d}"
    return {"batch": batch, "cycle": cycle, "state": state, "count": count, "amount": amount}


def test_close__ends_a_day_and_closes_what_is_done(tmp_path: Path) -> None:
    home = home_of(tmp_path / "h")
    with switch.open(home) as engine:
        run(engine, [line(n, period=202612) for n in (20, 21)] + [line(99)], "B")
        rows = [said(n) for n in range(1, 12)]
        engine.reconcile(write(tmp_path / "a", rows), at="2026-11-25")
        first = engine.close_day("2026-11-25")
        assert (first["number"], first["closed"], first["breaks"]) == (2, [], {})
        assert (first["states"]["CREDITED"], first["states"]["SETTLED"]) == (11, 3)
        before = tree_digest(home)
        assert engine.close_day("2026-11-25") == first
        assert tree_digest(home) == before
        late = engine.close_day("2026-11-27")
        assert (late["number"], late["states"]["UNAPPLIED"], late["breaks"]) == (
            3,
            3,
            {"MISSING": 3},
        )
        engine.reconcile(write(tmp_path / "b", [said(12)]), at="2026-11-28")
        done = engine.close_day("2026-11-28")
        assert (done["number"], done["closed"]) == (5, [1])
        assert done["totals"]["payable"] == 12 * 1_000_000 + 78 + 2_000_041
        assert [row["state"] for row in status.batches(engine.home)] == ["CLOSED", "SETTLED"]
        statement = pq.read_table(
            home / "out" / "days" / "2026-11-28" / "statements" / f"{BANK}.parquet"
        )
        assert statement.to_pylist() == [
            statement_row(1, "CREDITED", 4, 4_000_030),
            statement_row(2, "UNAPPLIED", 1, 1_000_021),
        ]
        assert switch_verify(engine)
        again = engine.reconcile(write(tmp_path / "c", [back(12)]), at="2026-11-29")
        assert again["moved"]["returned"]["count"] == 1, "a batch that is closed may be answered"
        assert ("STATUS", transfer(12)) in breaks_of(engine)
        assert engine.close_day("2026-11-29")["totals"]["payable"] == 2_000_041
    assert switch.verify(home)
    (home / "out" / "days" / "2026-11-28" / "statements" / f"{BANK}.parquet").write_bytes(b"")
    with pytest.raises(switch.VerificationFailed, match="close the day again"):
        switch.verify(home)


def test_close__a_file_that_changes_while_it_is_read_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with switch.open(home_of(tmp_path / "h", 1)) as engine:
        engine.reconcile(write(tmp_path / "a", [said(1)]), at="2026-11-25")
        assert engine.close_day("2026-11-25")["closed"] == [1]
        monkeypatch.setattr(take_in, "_named", lambda *_: set())
        for row in (back(1), said(1, transfer_id=transfer(1)[:15])):
            with pytest.raises(InputRefused, match="CHANGED_DURING_READ"):
                engine.reconcile(write(tmp_path / "b", [row]), at="2026-11-26")


def test_close__what_is_on_its_way_back_keeps_a_batch_open(tmp_path: Path) -> None:
    with switch.open(home_of(tmp_path / "h", 3, CALENDAR)) as engine:
        assert engine.close_day("2026-11-24")["closed"] == []
        engine.settle()
        rows = [said(1), said(2), back(3)]
        engine.reconcile(
            write(tmp_path / "a", rows[:2]), write(tmp_path / "b", rows[2:]), at="2026-11-27"
        )
        assert engine.close_day("2026-11-27")["closed"] == []
        engine.settle()
        assert engine.close_day("2026-11-28")["closed"] == [1]
    assert switch.verify(tmp_path / "h")


def test_command__closes_a_day(tmp_path: Path) -> None:
    home = home_of(tmp_path / "h", 2)
    assert command("close", home).code == 2
    command("reconcile", home, write(tmp_path / "a", [said(1), said(2)]), "--at", "2026-11-25")
    told = command("close", home, "--at", "2026-11-25")
    assert told.code == 0, told.err
    assert "batches closed: 1" in told.out
    assert command("close", home, "--at", "2026-11-25", "--json").document["number"] == 2
    assert command("verify", home).code == 0


# --- ten days in a row ----------------------------------------------------------------------------

DAYS = [dt.date(2026, 11, 25) + dt.timedelta(n) for n in (0, 1, 2, 5, 6, 7, 8, 9, 12, 13)]
AFTERWARDS = [dt.date(2026, 12, 9) + dt.timedelta(n) for n in (0, 1, 5, 6, 7)]
"""Business days."""
BROKEN, AWAY = "970436", "970415"


def behaviour_of(kinds: dict[str, str]) -> dict[str, Manner]:
    """Everybody does everything, but for one whose files are broken, and one who is away."""
    limits = {"wallet": 100_000_000, "mobile_money": 10_000_000}
    wild = Rates(*[0.06] * len(PAYDAY))
    manners = {code: Manner(wild, limits.get(kind, 0)) for code, kind in kinds.items()}
    manners[BROKEN] = Manner(wild, broken=True)
    manners[AWAY] = Manner(wild, back_after=3)
    return manners


def arrived(folder: Path, until: dt.date, out: Path) -> list[Path]:
    """All that receivers have said by the end of a day."""
    files = []
    end = pa.scalar(dt.datetime.combine(until, dt.time.max, dt.UTC))
    for kind in ("confirmations", "returns"):
        parts = []
        for path in sorted(folder.glob(f"*/answers/{kind}/*.parquet")):
            with contextlib.suppress(pa.ArrowInvalid):
                parts.append(pq.read_table(path))
        table = pa.concat_tables(parts).unify_dictionaries()
        some = table.filter(pc.less_equal(table["booked_at"], end.cast(table["booked_at"].type)))
        files.append(out / f"{kind}.parquet")
        pq.write_table(some, files[-1])
    return files


def test_ten_days__end_with_every_line_explained_and_books_equal(tmp_path: Path) -> None:
    nation = switch.generate(tmp_path / "nation", 600, 1_000, 11)
    truth = pq.read_table(nation.folder / "truth.parquet")
    table = pq.read_table(nation.payday)
    table = table.filter(pc.equal(truth["status"], "ACSC")).slice(0, 500)
    parts = [table.slice(50 * n, 50) for n in range(10)]
    home, world, mail = tmp_path / "home", tmp_path / "answers", tmp_path / "mail"
    mail.mkdir()
    with switch.init(
        home,
        participants=nation.participants,
        debtors=nation.debtors,
        settings=CALENDAR,
        key=b"0123456789abcdef",
    ) as engine:
        engine.register(population=nation.population, accounts=nation.accounts)
        kinds = {p.participant: p.kind for p in engine.directory.participants}
        given: dict[tuple[int, int], dict[str, Any]] = {}
        again: list[dict[str, Any]] = []
        for number, day in enumerate([*DAYS, *AFTERWARDS], 1):
            rows = [*(parts[number - 1].to_pylist() if number <= 10 else []), *again]
            if rows:
                rows = [row | {"line_no": n} for n, row in enumerate(rows, 1)]
                batch = run(
                    engine, pa.Table.from_pylist(rows, table.schema), f"D{number}", value_date=day
                )
                assert batch.summary["cleared"]["count"] > 0
                given |= {(batch.seq, row["line_no"]): row for row in rows}
                out = world / f"{batch.seq}" / "answers"
                exchange(batch.folder / "clearing", out, kinds, behaviour_of(kinds), 3, day)
            engine.settle(at=f"{day}T11:00:00", close_only=True)
            engine.reconcile(*arrived(world, day, mail), at=f"{day}T11:00:00")
            engine.settle(at=f"{day}T15:30:00")
            again = dispose_of(engine, given, day)
            signed = engine.close_day(f"{day}T18:00:00")
            assert signed["as_of"] == str(day)
            still = engine.reconcile(*arrived(world, day, mail), at=f"{day}T18:00:00")
            assert still["number"] == 0, still["events"]
        assert switch_verify(engine)
        judge(engine, world, kinds)
    assert switch.verify(home)


def dispose_of(engine: Engine, given: Any, day: dt.date) -> list[dict[str, Any]]:
    """Every other line that is back is written back, the others come again the next day."""
    from switch.reconcile.dispositions import returned

    waiting, _ = returned(engine.home, folders(engine.home))
    names = {row["seq"]: row["batch_id"] for row in status.batches(engine.home)}
    lines = list(zip(waiting["batch"].to_pylist(), waiting["line_no"].to_pylist(), strict=True))
    chosen = [(names[batch], number) for batch, number in lines]
    if chosen[::2]:
        engine.write_back(chosen[::2], at=str(day))
    if chosen[1::2] and day < AFTERWARDS[1]:
        engine.reissue(chosen[1::2], at=str(day))
        return [given[line] for line in lines[1::2]]
    return []


def judge(engine: Engine, world: Path, kinds: dict[str, str]) -> None:
    """Each line is terminal, or aged with a break; and what receivers have in their own books is
    what we have in ours."""
    known = folders(engine.home)
    batches = {row["seq"] for row in status.batches(engine.home)}
    verdicts = take_in.judged(engine.home, known, batches)
    lines, states = verdicts.lines, verdicts.states()
    assert len(lines) > 500, "some came again"
    assert set(np.unique(states)) - {State.NOT_SENT} == {
        State.UNAPPLIED, State.CREDITED, State.RETURNED, State.REFUSED
    }  # fmt: skip
    breaks = open_breaks(engine.home, known)
    open_lines = np.flatnonzero(states == State.UNAPPLIED)
    broken = {row["transfer_id"]: row for row in breaks.to_pylist()}
    ids = {}
    fates: dict[str, str] = {}
    ours = {code: dict.fromkeys(("P5", "P6", "P8"), 0) for code in kinds}
    for folder in sorted(world.iterdir()):
        seq = int(folder.name)
        truth = pq.read_table(folder / "answers" / "truth.parquet").to_pylist()
        fates |= {row["transfer_id"]: row["fate"] for row in truth}
        clearing = engine.home.folder("batches", seq) / "clearing"
        for path in clearing.iterdir():
            for row in pq.read_table(path).to_pylist():
                (place,) = lines.places(pa.array([row["transfer_id"]])).tolist()
                ids[place] = row["transfer_id"]
                mine, state = ours[path.stem], states[place]
                mine["P5"] += row["amount"] * (state != State.REFUSED)
                mine["P8"] += row["amount"] * (state == State.RETURNED)
                mine["P6"] += row["amount"] * (state == State.CREDITED)
                if fates.get(row["transfer_id"]) == Fate.AMOUNT.name:
                    mine["P6"] += broken[row["transfer_id"]]["found"]
                if fates.get(row["transfer_id"]) == Fate.BROKEN.name:
                    assert state == State.UNAPPLIED
                    mine["P6"] += row["amount"]
    for place in open_lines.tolist():
        assert fates[ids[place]] in ("SILENT", "BROKEN", "AMOUNT", "REFUSED_LATE")
        assert ids[place] in broken, "an open line has a break, which grows old"
    assert {row["age"] for row in broken.values()} >= {"8-30"}
    theirs = {code: dict.fromkeys(("P5", "P6", "P8"), 0) for code in kinds}
    for path in world.glob("*/answers/books.parquet"):
        for row in pq.read_table(path).to_pylist():
            theirs[row["participant"]][row["step"]] += row["amount"]
    assert theirs == ours
    told = {row["seq"]: row["state"] for row in status.batches(engine.home)}
    origin = lines.batch()
    done = {seq for seq in batches if (origin[open_lines] != seq).all()}
    assert {seq for seq, state in told.items() if state == "CLOSED"} <= done
    assert set(fates.values()) >= {fate.name for fate in Fate} - {"CREDITED", "LIMIT"}
    found = {(row["class"], row["set"]) for row in breaks.to_pylist()}
    assert {name for name, _ in found} >= {"MISSING", "AMOUNT", "STATUS", "TIMING", "DUPLICATE"}
