"""Cash: lists of pay points, proofs that lines were paid, and lines that nobody proved in time."""

from __future__ import annotations

import csv
import datetime as dt
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from cycles import switch_verify
from scene import (
    BANK,
    PARTICIPANTS,
    account,
    answers,
    asked,
    command,
    line,
    make_home,
    participant,
    person,
    run,
    tree_digest,
)

import switch
from switch.engine import Engine
from switch.errors import InputRefused, UsageError, VerificationFailed
from switch.reconcile import cash as counter
from switch.reconcile import recalls as recalling
from switch.registry.settings import Settings

POST = "VNPOST"
MEMBERS = [*PARTICIPANTS, participant(POST, "cash")]
DAYS = Settings(cash_days=10)
LAST, LATE = "2026-12-05", "2026-12-06"
"""The last day of lines of 25 November, and the day after it."""


def at_counter(number: int, point: str) -> dict[str, Any]:
    return account(number, participant=POST, account=point, kind="cash", priority=9)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Line 1 goes to an account, 2 to 4 to the counter of post office 10, 5 to that of 11, which
    the table names."""
    people = [person(n) for n in range(1, 6)]
    accounts = [account(1), at_counter(1, "10/A"), *(at_counter(n, "10/A") for n in (2, 3, 4))]
    path = make_home(tmp_path / "home", people, accounts, participants=MEMBERS, settings=DAYS)
    with switch.open(path) as engine:
        rows = [*(line(n) for n in range(1, 5))]
        rows.append(line(5, creditor_agent=POST, creditor_account="11"))
        assert answers(run(engine, rows, "A")) == [("ACSC", None)] * 5
    return path


def confirm(home: Path, *numbers: int, status: str = "ACCC", **other: Any) -> Path:
    """A proof list: confirmations of lines."""
    ids = {f"20261125-000001-{n:010d}": n for n in numbers}
    rows = [
        {
            "participant": POST,
            "transfer_id": name,
            "amount": 1_000_000 + n,
            "status": status,
            "booked_at": dt.datetime(2026, 11, 26, 3, tzinfo=dt.UTC),
        }
        | other
        for name, n in ids.items()
    ]
    path = home.parent / f"proof-{'-'.join(map(str, numbers))}-{status}.csv"
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows({**row, "booked_at": row["booked_at"].isoformat()} for row in rows)
    return path


def give_back(home: Path, *numbers: int, reason: str = "NOAS", day: int = 27) -> Path:
    rows = [
        {
            "participant": POST,
            "return_id": f"R{n}",
            "transfer_id": f"20261125-000001-{n:010d}",
            "amount": 1_000_000 + n,
            "reason": reason,
            "booked_at": dt.datetime(2026, 11, 1, 3, tzinfo=dt.UTC) + dt.timedelta(days=day - 1),
        }
        for n in numbers
    ]
    path = home.parent / f"back-{'-'.join(map(str, numbers))}.parquet"
    pq.write_table(pa.Table.from_pylist(rows), path)
    return path


def rows_of(path: Path) -> list[dict[str, str]]:
    return [*csv.DictReader(path.read_text("utf-8-sig").splitlines())]


def total(*amounts: int) -> dict[str, int]:
    return {"count": len(amounts), "sum": sum(1_000_000 + amount for amount in amounts)}


def stands(engine: Engine, number: int) -> tuple[str, str, str]:
    state = engine.line("A", number)["states"][-1]
    return state["state"], state["status"], state["text"]


def test_cash__lists_have_what_is_to_be_paid_and_totals_add_up(home: Path) -> None:
    with switch.open(home) as engine:
        told = engine.cash()
        assert (told["batch_id"], told["as_of"], told["until"]) == ("A", "2026-11-25", LAST)
        assert told["sent"] == told["to_pay"] == total(2, 3, 4, 5)
        ten, eleven = told["points"]
        assert (ten["participant"], ten["point"], ten["to_pay"]) == (POST, "10/A", total(2, 3, 4))
        assert ten["file"] == f"A/cash/{POST}/10%2FA.csv"
        assert (eleven["point"], eleven["to_pay"]) == ("11", total(5))
        listed = rows_of(home / "out" / ten["file"])
        assert [row["transfer_id"][-2:] for row in listed] == ["02", "03", "04"]
        assert list(listed[0]) == ["transfer_id", "creditor_name", "amount", "purpose", "period"]
        assert listed[0]["amount"] == "1000002"
        text = "".join(path.read_text() for path in (home / "out/A/cash").rglob("*.csv"))
        assert "001000000002" not in text, "nobody's id stands there"
        engine.reconcile(confirm(home, 2), give_back(home, 3), at="2026-11-28")
        told = engine.cash("A")
        assert told["points"][0]["to_pay"] == told["points"][0]["paid"] | total(4)
        assert told["points"][0]["back"] == total(3)
        for word, number in (("sent", 4), ("to_pay", 2), ("paid", 1), ("back", 1), ("waits", 0)):
            assert told[word]["count"] == number  # type: ignore[literal-required]
        rows = rows_of(home / "out" / told["file"])
        for row in rows:
            for unit in ("count", "sum"):
                parts = [int(row[f"{w}_{unit}"]) for w in ("to_pay", "paid", "back", "waits")]
                assert sum(parts) == int(row[f"sent_{unit}"])
        assert sum(int(row["sent_sum"]) for row in rows) == told["sent"]["sum"]
        assert [row["transfer_id"][-2:] for row in rows_of(home / "out" / ten["file"])] == ["04"]


def test_cash__a_proof_closes_a_line_and_a_return_brings_its_money_back(home: Path) -> None:
    with switch.open(home) as engine:
        assert stands(engine, 2)[:2] == ("CASH", "ACSC")
        assert "over its counter" in stands(engine, 2)[2]
        assert stands(engine, 1)[0] == "SETTLED", "an account is no counter"
        engine.reconcile(confirm(home, 2, 5), give_back(home, 3), at="2026-11-28")
        assert stands(engine, 2)[:2] == ("CASH_PAID", "ACCC")
        assert "paid over its counter" in stands(engine, 2)[2]
        assert stands(engine, 3)[0] == "RETURNED"
        assert engine.write_back()["count"] == 1
        assert switch_verify(engine)
        (mine,) = engine.person(f"001{2:09d}")["lines"]
        assert [state["state"] for state in mine["states"]] == ["CASH", "CASH_PAID"]
    assert switch.verify(home)


def test_cash__a_proof_that_does_not_fit_is_a_break(home: Path) -> None:
    with switch.open(home) as engine:
        engine.reconcile(confirm(home, 2, amount=5), at="2026-11-28")
        assert stands(engine, 2)[0] == "CASH"
        assert "AMOUNT" in [row["class"] for row in engine.breaks().rows()]
        assert engine.cash()["to_pay"] == total(2, 3, 4, 5)


def test_expire__asks_back_what_nobody_proved_in_time(home: Path) -> None:
    with switch.open(home) as engine:
        engine.reconcile(confirm(home, 2), at="2026-11-28")
        seq = engine.home.catalog.heads().seq
        assert "cash" not in engine.expire(LAST), "a line may be proven on that day itself"
        assert engine.home.catalog.heads().seq == seq
        told = engine.expire(LATE)
        assert (told["count"], told["cash"]) == (0, {"number": 2, **total(3, 4, 5)})
        asks = pq.read_table(home / f"out/recalls/000002/{POST}.parquet").to_pylist()
        assert [(row["transfer_id"][-1], row["action"], row["reason"]) for row in asks] == [
            (n, "RETURN", "NARR") for n in "345"
        ]
        state, status, text = stands(engine, 3)
        assert (state, status) == ("EXPIRED", "ACSC")
        assert "not proven by its deadline" in text
        assert engine.cash()["to_pay"] == total()
        assert engine.cash()["back"] == total(3, 4, 5)
        assert engine.expire(LATE)["cash"] == told["cash"]
        engine.reconcile(give_back(home, 3, reason="FOCR", day=37), at="2026-12-08")
        assert stands(engine, 3)[0] == "RETURNED"
        states = {row["line_no"]: row["state"] for row in engine.recalls().rows()}
        assert states == {3: "ACCEPTED", 4: "OPEN", 5: "OPEN"}
        assert "cash" not in engine.expire("2026-12-20"), "they were asked back before"
        assert switch_verify(engine)
    assert switch.verify(home)


def test_expire__a_late_proof_is_no_return(home: Path) -> None:
    """The pay point says that it had paid: the recall stays open until it refuses it."""
    with switch.open(home) as engine:
        engine.expire(LATE)
        engine.reconcile(confirm(home, 2), at="2026-12-08")
        refusal = {
            "participant": POST,
            "transfer_id": "20261125-000001-0000000002",
            "status": "RJCR",
            "reason": "CUST",
            "booked_at": dt.datetime(2026, 12, 8, 2, tzinfo=dt.UTC),
        }
        pq.write_table(pa.Table.from_pylist([refusal]), home.parent / "no.parquet")
        engine.reconcile(home.parent / "no.parquet", at="2026-12-08")
        states = {row["line_no"]: row["state"] for row in engine.recalls().rows()}
        assert (states[2], states[3]) == ("REFUSED", "OPEN")
        assert engine.cash()["paid"] == total(2)
        assert switch_verify(engine)
    assert switch.verify(home)


def test_status__warns_before_the_deadline_of_cash(home: Path) -> None:
    with switch.open(home) as engine:
        told = engine.status()
        assert told.open["cash"] == {
            **total(2, 3, 4, 5),
            "past": total(),
            "near": total(2, 3, 4, 5),
            "next": LAST,
        }
        assert f"4 cash lines to be proven within 14 days: the first by {LAST}" in [
            step["why"] for step in told.next
        ]
        engine.close_day("2026-12-06")
        late = engine.status()
        assert late.open["cash"]["past"] == total(2, 3, 4, 5)
        (step,) = (s for s in late.next if "cash lines not proven" in s["why"])
        assert step["command"] == f"switch expire {home} --at 2026-12-06"
        engine.change_directory(settings={"cash_days": 0})
        assert engine.status().open["cash"]["past"] == total()
        assert engine.cash()["until"] is None
        with pytest.raises(UsageError, match="has no deadlines"):
            engine.expire(LATE)


def test_cash__nobody_pays_before_the_cycle_has_settled(tmp_path: Path) -> None:
    settings = Settings(cutoffs=("11:00",), cash_days=10)
    path = make_home(
        tmp_path / "h", [person(2)], [at_counter(2, "10")], participants=MEMBERS, settings=settings
    )
    with switch.open(path) as engine:
        run(engine, [line(2)], "A", at="2026-11-25T09:00")
        assert (engine.cash()["waits"], engine.cash()["to_pay"]) == (total(2), total())
        assert "cash" not in engine.status().open
        engine.settle()
        assert engine.cash()["to_pay"] == total(2)
        assert "cash" in engine.expire(LATE)
        assert switch_verify(engine)
    assert switch.verify(path)


def test_cash__an_account_goes_before_the_counter_until_it_is_over(home: Path) -> None:
    """The first valid account is paid; who has none any more is paid over the counter."""
    with switch.open(home) as engine:
        over = account(1, valid_to=dt.date(2026, 12, 1))
        engine.register(accounts=pa.Table.from_pylist([over, at_counter(1, "10/A")]), replace=True)
        batch = run(engine, [line(1, period=202612)], "B", value_date=dt.date(2026, 12, 2))
        assert answers(batch) == [("ACSC", None)]
        assert engine.cash("B")["sent"] == total(1)
        assert engine.cash("A")["sent"] == total(2, 3, 4, 5)


def test_command__cash_and_its_refusals(home: Path) -> None:
    said = command("cash", home, "--json")
    assert (said.code, said.document["to_pay"]["count"]) == (0, 4)
    shown = command("cash", home, "--batch", "A").out
    assert "4 lines, 4,000,014 dong: to pay" in shown
    assert f"to be proven by {LAST}" in shown
    before = tree_digest(home)
    assert command("cash", home, "--batch", "X").code == 2
    assert command("cash", home, "--out", home / "batches").code == 2
    bad = confirm(home, 2)
    bad.write_text(bad.read_text().replace("1000002", "1000002.5"))
    assert command("reconcile", home, bad, "--at", "2026-11-28").code == 3
    assert command("expire", home, "--at", "2027-11-28").code == 2
    assert tree_digest(home) == before
    expired = command("expire", home, "--at", LATE)
    assert "4 cash lines, 4,000,014 dong: not proven, asked back by recall 1" in expired.out
    assert command("verify", home).code == 0
    empty = make_home(home.parent / "none", [person(1)])
    none = command("cash", empty)
    assert (none.code, "has no batch yet" in none.err) == (2, True)


def test_expire__days_do_not_run_back(home: Path) -> None:
    with switch.open(home) as engine:
        engine.close_day("2026-12-20")
        link = engine.home.catalog.heads().link
        with pytest.raises(InputRefused, match="days do not run back"):
            engine.expire(LATE)
        assert engine.home.catalog.heads().link == link
        engine.expire(LATE, correct="it came late")
        ((text,),) = asked(engine.home, "SELECT detail FROM audit WHERE kind = 'recall'")
        assert '"correct":"it came late"' in text
        assert '"days":10' in text


@pytest.mark.parametrize("days", [-1, 36_501])
def test_settings__of_cash_are_checked(days: int, home: Path) -> None:
    with switch.open(home) as engine, pytest.raises(UsageError, match="cash_days is not between"):
        engine.change_directory(settings={"cash_days": days})


# --- proof ----------------------------------------------------------------------------------------


def _fewer(patch: pytest.MonkeyPatch) -> None:
    overdue = counter.overdue
    patch.setattr(counter, "overdue", lambda *given: overdue(*given)[:-1])


def _sooner(patch: pytest.MonkeyPatch) -> None:
    overdue = counter.overdue
    patch.setattr(
        counter, "overdue", lambda h, d, s, day: overdue(h, d, s, day + dt.timedelta(days=1))
    )


def _others(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(counter, "payers", lambda _: {POST, BANK})


def _proven(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(counter, "LEFT", (*counter.LEFT, counter.State.CREDITED))


def _deadline(patch: pytest.MonkeyPatch) -> None:
    said = recalling.Said
    patch.setattr(recalling, "Said", lambda a, b, c, days=0: said(a, b, c, days and days - 1))


WRONG = {
    "fewer": (_fewer, LATE),
    "sooner": (_sooner, LAST),
    "others": (_others, LATE),
    "proven": (_proven, LATE),
    "deadline": (_deadline, LATE),
}


@pytest.mark.parametrize("name", WRONG)
def test_verify__finds_a_deadline_of_cash_that_is_wrong(
    name: str, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong, at = WRONG[name]
    with switch.open(home) as engine:
        engine.reconcile(confirm(home, 2), at="2026-11-28")
        wrong(monkeypatch)
        engine.expire(at)
    monkeypatch.undo()
    with pytest.raises(VerificationFailed, match="cash lines, answers 2"):
        switch.verify(home)


def test_verify__finds_every_flipped_bit_of_what_was_asked_back(home: Path) -> None:
    with switch.open(home) as engine:
        engine.expire(LATE)
    for path in sorted((home / "answers" / "000001").rglob("*.parquet")):
        content = path.read_bytes()
        for bit in range(0, 8 * len(content), 997):
            changed = bytearray(content)
            changed[bit // 8] ^= 1 << bit % 8
            path.write_bytes(changed)
            with pytest.raises(VerificationFailed, match=path.name):
                switch.verify(home)
        path.write_bytes(content)
    assert switch.verify(home)
