"""Arrears: what a person was still owed for the months before that of the death is paid."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from cycles import CUTOFFS
from home_reads import clearing_rows, line_states
from scene import (
    BANK,
    BANK_ACCOUNT,
    CLOSED_BANK,
    PARTICIPANTS,
    SMALL_BANK,
    SMALL_LIMIT,
    VALUE_DATE,
    account,
    accounts_table,
    answers,
    command,
    entitlement,
    line,
    make_home,
    paid_table,
    pay,
    payment_table,
    people_table,
    person,
    person_id,
    reasons,
    run,
    tree_digest,
    write_table,
)
from stored_batches import details, rule_set, stored

import switch
from switch.clearing import kernel, payday
from switch.reason import ARREARS, DEATH_STOPS_ALL, EACH_BY_ITSELF, FIRST_ACCOUNT, PASSED_OVER
from switch.registry.settings import Settings
from switch.sim.auditor.screening import Registers, by_person, screened

DAY = dt.timedelta(days=1)
DECEASED = "the person is deceased on the value date"
APRIL = dt.date(2026, 4, 10)
MARCH, MAY = dt.date(2026, 3, 25), dt.date(2026, 5, 25)

Row = dict[str, Any]


def dead(number: int, since: dt.date | None = APRIL, **changes: Any) -> Row:
    return person(number, status="deceased", status_since=since, **changes)


def home_of(path: Path, people: list[Row], **options: Any) -> Path:
    """A home of people who have an account each."""
    accounts = [account(int(row["person_id"]) % 10**9) for row in people]
    return make_home(path, people, accounts, **options)


def verified(home: Path) -> None:
    said = command("verify", home)
    assert said.code == 0, said.err


CASES: dict[str, tuple[str, dt.date | None, int, dt.date, str | None]] = {
    "the month before": ("deceased", APRIL, 202603, MAY, None),
    "long before": ("deceased", APRIL, 190001, MAY, None),
    "the year before": ("deceased", dt.date(2026, 1, 1), 202512, MAY, None),
    "the month of the death": ("deceased", APRIL, 202604, MAY, "MD07"),
    "the month behind it": ("deceased", APRIL, 202605, MAY, "MD07"),
    "the year behind it": ("deceased", dt.date(2025, 12, 31), 202601, MAY, "MD07"),
    "on the first of a month": ("deceased", dt.date(2026, 4, 1), 202603, MAY, None),
    "on the first, for that month": ("deceased", dt.date(2026, 4, 1), 202604, MAY, "MD07"),
    "on the last of a month": ("deceased", dt.date(2026, 3, 31), 202603, MAY, "MD07"),
    "on the value date": ("deceased", MAY, 202604, MAY, None),
    "on the value date, for its month": ("deceased", MAY, 202605, MAY, "MD07"),
    "on no day that is known": ("deceased", None, 202603, MAY, "MD07"),
    "before all periods": ("deceased", dt.date(1900, 1, 1), 190001, MAY, "MD07"),
    "missing is no death": ("missing", APRIL, 202603, MAY, "RR04"),
    "revoked is no death": ("revoked", APRIL, 202603, MAY, "RR04"),
    "late is no death": ("late", APRIL, 202603, MAY, "G003"),
}  # fmt: skip
LIVING: dict[str, tuple[str, dt.date | None, int, dt.date, str | None]] = {
    "alive": ("alive", APRIL, 202605, MAY, None),
    "behind the value date": ("deceased", MAY + DAY, 202604, MAY, None),
    "behind it, for its month": ("deceased", MAY + DAY, 202605, MAY, None),
    "behind it, for a month after the death": ("deceased", MAY + DAY, 202606, MAY, None),
    "in the month of the value date": ("deceased", MARCH + DAY, 202603, MARCH, None),
}


@pytest.mark.parametrize("case", [*CASES, *LIVING])
def test_arrears__months_before_the_death_are_paid(case: str, tmp_path: Path) -> None:
    """Asks the command, and the auditor; `replay` and `verify` hold."""
    status, since, period, day, code = (CASES | LIVING)[case]
    people = [person(1, status=status, status_since=since)]
    home = home_of(tmp_path / "home", people)
    table = write_table(
        payment_table([line(1, period=period)]), tmp_path / "t.parquet", value_date=str(day)
    )
    assert command("run", home, table).code == 0
    batch = stored(home)
    assert reasons(batch) == [code]
    is_owed = code is None and case in CASES
    detail = batch.status["reason_detail"].to_pylist()[0]
    assert (detail == ARREARS, detail == DECEASED) == (is_owed, code == "MD07")
    assert rule_set(batch) == (EACH_BY_ITSELF if is_owed else FIRST_ACCOUNT)
    registers = Registers(
        {person_id(1): people[0]}, by_person([account(1)]),
        {row["participant"]: row for row in PARTICIPANTS}, {line(1)["debtor_account"]}, {"PENS"},
        day, 500_000_000,
    )  # fmt: skip
    said = screened(line(1, period=period), registers)
    assert said.code == code
    assert code is not None or said.passed == (ARREARS if is_owed else None)
    assert command("replay", home, "B", table).code == 0
    verified(home)


@pytest.mark.parametrize(("threads", "chunk_rows"), [(1, 1), (1, 3), (2, 100)])
def test_arrears__are_judged_by_all_rows_behind(
    tmp_path: Path, threads: int, chunk_rows: int
) -> None:
    """Mixes people who are dead and alive, and accounts that the table names."""
    people = [dead(n) for n in range(1, 12)] + [person(n) for n in range(12, 15)]
    accounts = [account(n) for n in (1, 2, 3, 11, 12, 13)]
    accounts += [account(4, participant=CLOSED_BANK), account(5, participant="999999")]
    accounts += [account(6, participant=SMALL_BANK), account(7, valid_to=VALUE_DATE - DAY)]
    accounts += [account(8, valid_to=VALUE_DATE), account(9, valid_from=VALUE_DATE + DAY)]
    accounts += [account(11, participant=CLOSED_BANK, account="2", priority=0)]
    home = make_home(tmp_path / "home", people, accounts)
    named = {"creditor_agent": BANK}
    march = {"period": 202603}
    cases: list[tuple[Row, str | None]] = [
        (line(1, **march), None),
        (line(2, **march, person_name="Lê Văn Bình"), "BE01"),
        (line(2, **march, person_name=" "), "BE22"),
        (line(2, **march, amount=0), "AM12"),
        (line(2, **march, amount=500_000_001), "AM13"),
        (line(2, **march, benefit="NONE"), "FF07"),
        (line(2, **march, debtor_account="0"), "AC02"),
        (line(4, **march), "AB08"),
        (line(5, **march), "CNOR"),
        (line(6, **march, amount=SMALL_LIMIT + 1), "AM02"),
        (line(6, **march, amount=SMALL_LIMIT), None),
        (line(7, **march), "AC03"),
        (line(8, **march), None),
        (line(9, **march), "AC03"),
        (line(10, **march), "AC03"),
        (line(10, **march, **named, creditor_account="1010"), None),
        (line(9, **march, **named, creditor_account="?!"), "AC01"),
        (line(7, **march, creditor_agent=CLOSED_BANK, creditor_account="7"), "AB08"),
        (line(14, **named, creditor_account="1414"), None),
        (line(9, **march, **named, creditor_account="0909"), None),
        (line(11, **march), None),
        (line(1, **march), "AM05"),
        (line(1, period=202602), None),
        (line(1), "MD07"),
        (line(12, **march), None),
        (line(99, **march), "BE06"),
    ]
    rows = [row for row, _ in cases]
    with switch.open(home) as engine:
        batch = run(engine, rows, threads=threads, chunk_rows=chunk_rows)
        assert reasons(batch) == [code for _, code in cases]
        engine.replay("B", payment_table(rows))
    sent = [(r["creditor_account"], r["amount"]) for r in clearing_rows(batch)[BANK]]
    assert [text for text, _ in sent] == [
        "1000000001", "1000000008", "1010", "1414", "0909", "1000000011", "1000000001",
        "1000000012",
    ]  # fmt: skip
    suspended = "the account's participant is suspended"
    said = {n: text for n, text in enumerate(details(batch)) if cases[n][1] is None}
    assert said == {
        0: ARREARS, 10: ARREARS, 12: ARREARS, 15: ARREARS, 18: None, 19: ARREARS,
        20: f"{ARREARS}; {PASSED_OVER}: {CLOSED_BANK} ({suspended})", 22: ARREARS, 24: None,
    }  # fmt: skip
    verified(home)


def test_arrears__timelines_say_it(tmp_path: Path) -> None:
    """Looks at a line and a person, in English and Vietnamese, and at what is told of a refusal."""
    people = [dead(1, dt.date(2026, 11, 1))]
    accounts = [account(1, participant=CLOSED_BANK, priority=1),
                account(1, account="9", priority=2)]  # fmt: skip
    home = make_home(tmp_path / "home", people, accounts)
    rows = [line(1, period=202610), line(1)]
    table = write_table(payment_table(rows), tmp_path / "table.parquet")
    assert command("run", home, table).code == 0
    words = "Arrears of a deceased person: the line is for a month before that of the death;"
    for who in (["--line", "B:1"], ["--person", person_id(1)]):
        said = " ".join(command("status", home, *who).out.split())
        assert f"settled between institutions. {words} the next account of the" in said, said
    said = " ".join(command("status", home, "--line", "B:2").out.split())
    assert f"Refused: it was not paid. Reason: {DECEASED}." in said
    said = " ".join(command("--lang", "vi", "status", home, "--line", "B:1").out.split())
    assert (
        "Khoản còn nợ người đã qua đời: dòng này chi cho một tháng trước tháng qua đời;"
        " tính tài khoản tiếp theo của người này; đã bỏ qua: 970003" in said
    ), said
    document = command("--json", "status", home, "--line", "B:1").document
    assert [state["reason"] for state in document["states"]] == [None]


def test_arrears__what_waited_is_judged_by_the_death_that_came(tmp_path: Path) -> None:
    """Holds March and May; a delta brings the death of April, an account comes in May."""
    people = [person(n) for n in range(1, 60)]
    home = make_home(tmp_path / "home", people, [account(n) for n in range(2, 60)])
    early = [line(1, period=202603), line(1, period=202605), line(1, period=202604)]
    table = write_table(payment_table(early), tmp_path / "m.parquet", batch_id="M",
                        value_date=str(MARCH))  # fmt: skip
    assert command("run", home, table).code == 0
    assert reasons(stored(home)) == ["AC03"] * 3
    with switch.open(home) as engine:
        engine.register(population=people_table([dead(1)]))
    assert (home / "registers" / "000002").exists()
    # Nothing is refused before its turn: March waits on, April and May never come to be paid.
    pay(home, [line(2, period=202604)], "A", value_date=dt.date(2026, 4, 25))
    assert line_states(home, "M", 1) == [("PDNG", "AC03")]
    refused = [("PDNG", "AC03"), ("RJCT", "MD07")]
    assert [line_states(home, "M", n) for n in (2, 3)] == [refused] * 2
    with switch.open(home) as engine:
        engine.register(accounts=accounts_table([account(1)]))
    later = write_table(payment_table([line(2, period=202605)]), tmp_path / "l.parquet",
                        batch_id="L", value_date=str(MAY))  # fmt: skip
    assert command("run", home, later).code == 0
    assert line_states(home, "M", 1) == [("PDNG", "AC03"), ("ACSC", None)]
    with switch.open(home, mode="r") as engine:
        assert "Arrears of a deceased person" in engine.line("M", 1)["states"][-1]["text"]
        assert engine.held().table.num_rows == 0
    assert [rule_set(stored(home, n)) for n in (1, 2, 3)] == [
        FIRST_ACCOUNT,
        EACH_BY_ITSELF,
        EACH_BY_ITSELF,
    ]
    for name, file in (("M", table), ("L", later)):
        said = command("replay", home, name, file)
        # The version by which M was judged stands before the deltas of the chain.
        assert said.code == 0, said.err
    verified(home)


def test_arrears__what_waits_for_cover_goes_when_the_table_is_through(tmp_path: Path) -> None:
    capped = [row | {"net_debit_cap": 10 if row["participant"] == BANK else None}
              for row in PARTICIPANTS]  # fmt: skip
    people = [dead(1), dead(2), person(3)]
    accounts = [account(1, participant=SMALL_BANK), account(2, participant=SMALL_BANK), account(3)]
    home = make_home(tmp_path / "home", people, accounts, participants=capped)
    owes = {"debtor_account": BANK_ACCOUNT, "period": 202603}
    rows = [line(1, amount=30, **owes), line(2, amount=5, **owes)]
    table = write_table(payment_table(rows), tmp_path / "a.parquet", batch_id="A")
    assert command("run", home, table).code == 0
    assert answers(stored(home)) == [("PDNG", "AM23")] * 2
    rows = [line(2, amount=1, benefit="SASS", **owes), line(3, amount=40)]
    table = write_table(payment_table(rows), tmp_path / "b.parquet", batch_id="B")
    assert command("run", home, table).code == 0
    assert details(stored(home, 2)) == [ARREARS, None]
    assert [line_states(home, "A", n)[-1] for n in (1, 2)] == [("ACSC", None)] * 2
    assert command("replay", home, "B", table).code == 0
    verified(home)


def test_arrears__lines_of_a_cycle_that_was_given_up_are_judged_anew(tmp_path: Path) -> None:
    home = home_of(tmp_path / "home", [person(1), person(2)], settings=CUTOFFS)
    with switch.open(home) as engine:
        batch = run(engine, [line(1, period=202610), line(1)], "A")
        assert answers(batch) == [("ACSP", None)] * 2
        engine.settle(batch.summary["cycle"], abort="the State Bank was not to be reached")
        engine.register(population=people_table([dead(1, VALUE_DATE)]))
        again = run(engine, [line(2)], "B", at="2026-11-26")
        assert answers(again) == [("ACSP", None)]
        last = [engine.line("A", n)["states"][-1] for n in (1, 2)]
    assert [(state["status"], state["reason"]) for state in last] == [
        ("ACSP", None), ("RJCT", "MD07"),
    ]  # fmt: skip
    assert last[0]["text"].endswith("Arrears of a deceased person: the line is for a month before"
                                    " that of the death.")  # fmt: skip
    verified(home)


def test_arrears__an_advance_is_paid_up_to_the_month_before_the_death(tmp_path: Path) -> None:
    """Pays three months at once; what was paid of the months behind a death is not paid again."""
    february = dt.date(2026, 2, 14)
    home = home_of(tmp_path / "home", [dead(1, february), person(2), dead(3, february)])
    with switch.open(home) as engine:
        engine.register(paid_history=paid_table([entitlement(3, period=202601)]))
    rows = [line(n, period=202600 + month) for n in (1, 2, 3) for month in (1, 2, 3)]
    batch = pay(home, rows, value_date=MARCH)
    md07 = ["MD07"] * 2
    assert reasons(batch) == [None, *md07, None, None, None, "AM05", *md07]
    assert details(batch)[6] == "the entitlement was cleared or paid before"
    national = pay(home, [line(n, period=202601) for n in (1, 2)], "N", value_date=MARCH)
    assert reasons(national) == ["AM05", "AM05"]
    verified(home)


def test_arrears__one_gift_of_an_exclusive_group_is_owed(tmp_path: Path) -> None:
    table = pa.Table.from_pylist(
        [{"benefit": c, "name": c, "purpose": "SSBE", "exclusive_group": "tet"}
         for c in ("SASS", "MERT")]
    )  # fmt: skip
    home = home_of(tmp_path / "home", [dead(1)], programmes=table)
    gifts = [line(1, benefit=b, period=p) for p in (202603, 202604) for b in ("SASS", "MERT")]
    batch = pay(home, gifts)
    assert reasons(batch) == [None, "AM05", "MD07", "MD07"]
    assert str(details(batch)[1]).endswith("paid for the period: SASS")
    verified(home)


def test_arrears__a_full_account_takes_no_more_of_them(tmp_path: Path) -> None:
    accounts = [account(n, account="77") for n in (1, 2, 3)]
    people = [person(1), dead(2), dead(3)]
    home = make_home(tmp_path / "home", people, accounts, settings=Settings(accounts_shared_max=2))
    named = {"creditor_agent": BANK, "creditor_account": "77"}
    rows = [line(n, period=202603) for n in (1, 2, 3)] + [line(3, period=202602, **named)]
    batch = pay(home, rows)
    assert reasons(batch) == [None, None, "NOCM", "NOCM"]
    with switch.open(home, mode="r") as engine:
        (row,) = engine.shared_accounts("B").to_pylist()
    assert (row["persons"], row["held_persons"]) == (2, 1)
    verified(home)


def test_arrears__a_day_that_no_longer_counts_owes_nothing(tmp_path: Path) -> None:
    """Corrects a death to one of no known day, in a delta and in a register that is whole."""
    home = home_of(tmp_path / "home", [dead(n) for n in range(1, 60)])
    rows = [line(n, period=202603) for n in (1, 2)]
    assert reasons(pay(home, rows, "A")) == [None, None]
    for again in range(2):
        with switch.open(home) as engine:
            engine.register(population=people_table([dead(1, None)]))
            if again:
                engine.compact()
        rows = [line(n, period=202602, benefit=b) for n, b in ((1, "PENS"), (2, "SASS"))]
        batch = pay(home, rows, f"B{again}", value_date=VALUE_DATE + again * DAY)
        assert reasons(batch) == ["MD07", "AM05" if again else None]
    # A death that was said in error: the person lives, and is owed nothing in arrears.
    with switch.open(home) as engine:
        engine.register(population=people_table([person(1)]))
    batch = pay(home, [line(1, period=202601)], "C")
    assert (reasons(batch), details(batch)) == ([None], [None])
    verified(home)


def test_arrears__a_rehearsal_and_totals_say_the_same(tmp_path: Path) -> None:
    home = home_of(tmp_path / "home", [dead(1), dead(2), person(3)])
    rows = [line(1, period=202603), line(2, period=202604), line(3, period=202603)]
    table = write_table(payment_table(rows), tmp_path / "table.parquet")
    before = tree_digest(home)
    told = command("--json", "rehearse", home, table)
    assert tree_digest(home) == before
    assert command("run", home, table).code == 0
    batch = command("--json", "status", home, "--batch", "B").document
    assert told.document["tables"][0]["cleared"] == batch["cleared"]
    assert [(row["reason"], row["count"]) for row in batch["reasons"]] == [("MD07", 1)]
    totals = command("--json", "totals", home, table, "--by", "period").document
    assert {r["key"]: (r["settled_lines"], r["refused_lines"]) for r in totals["totals"]} == {
        "2026-03": (2, 0), "2026-04": (0, 1),
    }  # fmt: skip
    again = command("run", home, table)
    assert again.code == 0
    assert len(list((home / "batches").iterdir())) == 1


def test_arrears__batches_of_the_rules_before_are_replayed_by_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Refused such lines; what was refused is free, and is paid by the rules of today."""
    people = [dead(1), person(2)]
    accounts = [account(1), account(2, participant=CLOSED_BANK, priority=1),
                account(2, account="22", priority=2)]  # fmt: skip
    home = make_home(tmp_path / "home", people, accounts)
    owed = [line(1, period=202603)]
    tables = [
        write_table(payment_table(rows), tmp_path / f"{name}.parquet", batch_id=name)
        for name, rows in (("OLD", owed), ("BOTH", [*owed, line(2)]), ("NEW", owed))
    ]
    for rules, table, seq in ((FIRST_ACCOUNT, tables[0], 1), (DEATH_STOPS_ALL, tables[1], 2)):
        with monkeypatch.context() as patch:
            patch.setattr(payday, "RULE_SET", rules)
            with switch.open(home) as engine:
                engine.run(table)
        assert reasons(stored(home, seq))[0] == "MD07"
    assert rule_set(stored(home, 2)) == DEATH_STOPS_ALL, "a line went to a later account"
    assert command("run", home, tables[2]).code == 0
    assert reasons(stored(home, 3)) == [None]
    assert [rule_set(stored(home, n)) for n in (1, 3)] == [FIRST_ACCOUNT, EACH_BY_ITSELF]
    for name, table in zip(("OLD", "BOTH", "NEW"), tables, strict=True):
        said = command("replay", home, name, table)
        assert said.code == 0, said.err
    verified(home)


def test_arrears__nobody_is_judged_twice_where_nothing_is_owed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def again(*_: Any) -> Any:
        raise AssertionError("a line was screened again")

    monkeypatch.setattr(kernel, "Screen", again)
    home = home_of(tmp_path / "home", [dead(1), dead(2, None), person(3)])
    rows = [line(1), line(2, period=202603), line(3, period=202603), line(1, period=202604)]
    assert reasons(pay(home, rows)) == ["MD07", "MD07", None, "MD07"]
