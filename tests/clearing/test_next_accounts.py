"""Next accounts: who has several is paid to the first that can be paid, and is told why."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import pytest
from scene import (
    BANK,
    BANK_ACCOUNT,
    CLOSED_BANK,
    PARTICIPANTS,
    SMALL_BANK,
    SMALL_LIMIT,
    VALUE_DATE,
    WALLET,
    account,
    accounts_table,
    answers,
    command,
    line,
    make_home,
    participant,
    pay,
    payment_table,
    person,
    reasons,
    run,
    write_table,
)
from stored_batches import details, rule_set, sent, stored

import switch
from switch.clearing import kernel, next_accounts, payday
from switch.errors import VerificationFailed
from switch.home.store import Home
from switch.reason import DEATH_STOPS_ALL, FIRST_ACCOUNT, PASSED_OVER
from switch.registry.settings import Settings
from switch.sim.auditor.screening import Registers, by_person, screened

DAY = dt.timedelta(days=1)
SUSPENDED = "the account's participant is suspended"
UNKNOWN = "the account's participant is not in the directory"
OVER = "the amount is above the participant's limit"
MORE = SMALL_LIMIT + 1
COUNTER = participant("POST", "cash")

Row = dict[str, Any]


def passed(*accounts: tuple[str, str]) -> str:
    return f"{PASSED_OVER}: " + ", ".join(f"{who} ({why})" for who, why in accounts)


def held_by(number: int, *participants: str | tuple[str, Row]) -> list[Row]:
    """Accounts of a person, in this order of priority; with an account that tells it, and changes
    of a row."""
    rows = []
    for priority, one in enumerate(participants, start=1):
        who, changes = (one, {}) if isinstance(one, str) else one
        text = f"{number}{priority}"
        rows.append(account(number, participant=who, account=text, priority=priority) | changes)
    return rows


def home_of(path: Path, *accounts: list[Row], **options: Any) -> Path:
    """A home in which person 1 has the first of these, and so on."""
    people = [person(n) for n in range(1, len(accounts) + 1)]
    return make_home(path, people, [row for rows in accounts for row in rows], **options)


CASES: dict[str, tuple[list[Row], int, str | None, str, str | None, str | None]] = {
    "the first is suspended": (
        held_by(1, CLOSED_BANK, BANK), 5, None, BANK, "12", passed((CLOSED_BANK, SUSPENDED)),
    ),
    "the first is unknown": (
        held_by(1, "999999", WALLET), 5, None, WALLET, "12", passed(("999999", UNKNOWN)),
    ),
    "the first has a limit": (
        held_by(1, SMALL_BANK, BANK), MORE, None, BANK, "12", passed((SMALL_BANK, OVER)),
    ),
    "the first takes just that": (
        held_by(1, SMALL_BANK, BANK), SMALL_LIMIT, None, SMALL_BANK, "11", None,
    ),
    "the limit of the second counts, too": (
        held_by(1, CLOSED_BANK, SMALL_BANK, BANK), MORE, None, BANK, "13",
        passed((CLOSED_BANK, SUSPENDED), (SMALL_BANK, OVER)),
    ),
    "two at one participant are named once": (
        held_by(1, CLOSED_BANK, CLOSED_BANK, BANK), 5, None, BANK, "13",
        passed((CLOSED_BANK, SUSPENDED)),
    ),
    "one that is not valid is passed over in silence": (
        held_by(1, CLOSED_BANK, (BANK, {"valid_to": VALUE_DATE - DAY}), WALLET), 5,
        None, WALLET, "13", passed((CLOSED_BANK, SUSPENDED)),
    ),
    "none is valid beside it": (
        held_by(1, CLOSED_BANK, (BANK, {"valid_from": VALUE_DATE + DAY})), 5,
        "AB08", CLOSED_BANK, None, SUSPENDED,
    ),
    "dates at their edges": (
        held_by(
            1,
            (CLOSED_BANK, {"valid_to": VALUE_DATE}),
            (BANK, {"valid_from": VALUE_DATE, "valid_to": VALUE_DATE}),
        ), 5, None, BANK, "12", passed((CLOSED_BANK, SUSPENDED)),
    ),
    "none can: the answer is that of the first": (
        held_by(1, CLOSED_BANK, SMALL_BANK, "999999"), MORE,
        "AB08", CLOSED_BANK, None, SUSPENDED,
    ),
    "none can: the limit of the first": (
        held_by(1, SMALL_BANK, CLOSED_BANK), MORE, "AM02", SMALL_BANK, None, OVER,
    ),
    "one account alone": (held_by(1, CLOSED_BANK), 5, "AB08", CLOSED_BANK, None, SUSPENDED),
    "the first since a day comes first": (
        [
            account(1, participant=BANK, account="B", valid_from=VALUE_DATE),
            account(1, participant=WALLET, account="A", valid_from=VALUE_DATE - DAY),
            account(1, participant=CLOSED_BANK, account="C"),
        ], 5, None, WALLET, "A", passed((CLOSED_BANK, SUSPENDED)),
    ),
    "texts that are no digits": (
        held_by(1, CLOSED_BANK, (BANK, {"account": "VN-12/7"})), 5,
        None, BANK, "VN-12/7", passed((CLOSED_BANK, SUSPENDED)),
    ),
    "over the counter, where nothing else can be paid": (
        held_by(1, CLOSED_BANK, (COUNTER["participant"], {"kind": "cash"})), 5,
        None, COUNTER["participant"], "12", passed((CLOSED_BANK, SUSPENDED)),
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_next__the_first_account_that_can_be_paid_counts(case: str, tmp_path: Path) -> None:
    """Asks the command, and the auditor, who was told the words alone."""
    accounts, amount, reason, to, text, detail = CASES[case]
    participants = [*PARTICIPANTS, COUNTER]
    home = home_of(tmp_path / "home", accounts, participants=participants)
    table = write_table(payment_table([line(1, amount=amount)]), tmp_path / "table.parquet")
    assert command("run", home, table).code == 0
    batch = stored(home)
    status = batch.status.to_pylist()[0]
    assert (status["reason"], status["participant"], status["reason_detail"]) == (
        reason, to, detail,
    )  # fmt: skip
    assert sent(batch) == ({} if text is None else {to: [text]})
    assert rule_set(batch) == (DEATH_STOPS_ALL if text and detail else FIRST_ACCOUNT)
    registers = Registers(
        {person(1)["person_id"]: person(1)},
        by_person(accounts),
        {row["participant"]: row for row in participants},
        {line(1)["debtor_account"]},
        {"PENS"},
        VALUE_DATE,
        500_000_000,
    )
    said = screened(line(1, amount=amount), registers)
    assert (said.code, said.participant) == (reason, to)
    assert said.passed == (detail if text else None)
    assert command("replay", home, "B", table).code == 0
    assert command("verify", home).code == 0


def test_next__a_limit_of_a_later_account_is_taken_in_full(tmp_path: Path) -> None:
    home = home_of(tmp_path / "home", held_by(1, CLOSED_BANK, SMALL_BANK, BANK))
    assert sent(pay(home, [line(1, amount=SMALL_LIMIT)])) == {SMALL_BANK: ["12"]}


def test_next__an_account_that_the_table_names_is_never_replaced(tmp_path: Path) -> None:
    home = home_of(tmp_path / "home", held_by(1, BANK, WALLET), held_by(2, BANK, WALLET))
    away = {"creditor_agent": CLOSED_BANK, "creditor_account": "7"}
    small = {"creditor_agent": SMALL_BANK, "creditor_account": "7", "amount": MORE}
    gone = {"creditor_agent": "999999", "creditor_account": "7"}
    rows = [line(1, **away), line(2, **small), line(1, **gone), line(2)]
    table = write_table(payment_table(rows), tmp_path / "table.parquet")
    assert command("run", home, table).code == 0
    batch = stored(home)
    assert answers(batch) == [
        ("PDNG", "AB08"), ("RJCT", "AM02"), ("RJCT", "CNOR"), ("ACSC", None),
    ]  # fmt: skip
    assert sent(batch) == {BANK: ["21"]}


def test_next__the_command_says_which_account_was_passed_over(tmp_path: Path) -> None:
    """Looks at timelines of a line and of a person, and in Vietnamese."""
    home = home_of(tmp_path / "home", held_by(1, CLOSED_BANK, BANK))
    table = write_table(payment_table([line(1)]), tmp_path / "table.parquet")
    assert command("run", home, table).code == 0
    words = f"{CLOSED_BANK} ({SUSPENDED})."
    for who in (["--line", "B:1"], ["--person", person(1)["person_id"]]):
        said = " ".join(command("status", home, *who).out.split())
        assert f"The next account of the person counts; passed over: {words}" in said, said
    said = " ".join(command("--lang", "vi", "status", home, "--line", "B:1").out.split())
    assert (
        "Tính tài khoản tiếp theo của người này; đã bỏ qua: 970003"
        " (thành viên giữ tài khoản đang bị tạm ngừng)" in said
    ), said
    document = command("--json", "status", home, "--line", "B:1").document
    assert [state["participant"] for state in document["states"]] == [BANK]


def test_next__over_the_counter_a_timeline_says_both(tmp_path: Path) -> None:
    accounts = held_by(1, CLOSED_BANK, (COUNTER["participant"], {"kind": "cash"}))
    home = home_of(tmp_path / "home", accounts, participants=[*PARTICIPANTS, COUNTER])
    pay(home, [line(1)])
    with switch.open(home, mode="r") as engine:
        state = engine.line("B", 1)["states"][-1]
    assert state["state"] == "CASH"
    assert state["text"].endswith(f"passed over: {CLOSED_BANK} ({SUSPENDED}).")
    assert not state["text"].startswith("Paid to the receiver")


@pytest.mark.parametrize(("threads", "chunk_rows"), [(1, 1), (2, 3), (1, 100)])
def test_next__many_lines_of_many_people(tmp_path: Path, threads: int, chunk_rows: int) -> None:
    """Some of each kind in one table, several lines of a person, and a delta behind the whole."""
    kinds = [held_by(n, *([CLOSED_BANK, BANK], [BANK], [SMALL_BANK, WALLET])[n % 3])
             for n in range(1, 41)]  # fmt: skip
    home = home_of(tmp_path / "home", *kinds)
    with switch.open(home) as engine:
        came = [account(3, participant=WALLET, account="W3", priority=1)]
        engine.register(accounts=accounts_table(came))
        amounts = {1: 7, 2: MORE, 0: 7}
        rows = [line(n, amount=amounts[n % 3], period=p) for p in (202610, 202611)
                for n in range(40, 0, -1)]  # fmt: skip
        batch = run(engine, rows, threads=threads, chunk_rows=chunk_rows)
    assert reasons(batch) == [None] * 80
    assert sorted(sent(batch)) == [BANK, WALLET]
    # Person 3: the account of the delta has the first priority, beside the one that is suspended.
    expected = [
        {1: None, 2: passed((SMALL_BANK, OVER)), 0: passed((CLOSED_BANK, SUSPENDED))}[n % 3]
        for n in range(40, 0, -1)
    ]
    assert details(batch) == expected * 2
    assert sent(batch)[WALLET].count("W3") == 2
    assert switch.verify(home)


def test_next__what_waited_goes_to_an_account_that_came_later(tmp_path: Path) -> None:
    home = home_of(tmp_path / "home", held_by(1, CLOSED_BANK), held_by(2, BANK))
    tables = [
        write_table(payment_table([line(n)]), tmp_path / f"{n}.parquet", batch_id=f"B{n}")
        for n in (1, 2)
    ]
    assert command("run", home, tables[0]).code == 0
    with switch.open(home) as engine:
        assert answers(stored(home)) == [("PDNG", "AB08")]
        engine.register(accounts=accounts_table(held_by(1, CLOSED_BANK, BANK)))
    assert command("run", home, tables[1]).code == 0
    with switch.open(home, mode="r") as engine:
        last = engine.line("B1", 1)["states"][-1]
    assert (last["state"], last["participant"]) == ("SETTLED", BANK)
    assert f"passed over: {CLOSED_BANK} ({SUSPENDED})" in last["text"]
    assert command("replay", home, "B2", tables[1]).code == 0
    assert command("verify", home).code == 0


def test_next__a_line_that_goes_late_in_its_run_says_it_too(tmp_path: Path) -> None:
    """Lets a line wait for cover at first, so that its rows are written again."""
    capped = [row | {"net_debit_cap": 10 if row["participant"] == BANK else None}
              for row in PARTICIPANTS]  # fmt: skip
    accounts = [held_by(1, CLOSED_BANK, WALLET), held_by(2, CLOSED_BANK, SMALL_BANK)]
    home = home_of(tmp_path / "home", *accounts, held_by(3, BANK), participants=capped)
    owes = {"debtor_account": BANK_ACCOUNT}
    batch = pay(home, [line(2, amount=30, **owes), line(1, amount=1, **owes), line(3, amount=40)])
    assert reasons(batch) == [None] * 3
    assert details(batch) == [passed((CLOSED_BANK, SUSPENDED))] * 2 + [None]
    assert (batch.folder / "released.parquet").exists()
    assert switch.verify(home)


def test_next__a_refused_line_says_its_own_reason(tmp_path: Path) -> None:
    home = home_of(tmp_path / "home", held_by(1, CLOSED_BANK, BANK))
    batch = pay(home, [line(1), line(1)])
    assert details(batch) == [
        passed((CLOSED_BANK, SUSPENDED)),
        "the entitlement stands earlier in the same table",
    ]
    assert batch.status["participant"].to_pylist() == [BANK, BANK]


def test_next__batches_of_the_rules_before_are_replayed_by_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first account was the only one; a home may have batches of both."""
    home = home_of(tmp_path / "home", held_by(1, CLOSED_BANK, BANK), held_by(2, BANK))
    tables = [
        write_table(payment_table([line(n)]), tmp_path / f"{name}.parquet", batch_id=name)
        for name, n in (("OLD", 1), ("NEW", 2))
    ]
    with monkeypatch.context() as patch:
        patch.setattr(payday, "RULE_SET", FIRST_ACCOUNT)
        with switch.open(home) as engine:
            old = engine.run(tables[0])
            assert answers(old) == [("PDNG", "AB08")]
            assert rule_set(old) == FIRST_ACCOUNT
    assert command("replay", home, "OLD", tables[0]).code == 0
    assert command("run", home, tables[1]).code == 0
    with switch.open(home, mode="r") as engine:
        assert engine.line("OLD", 1)["states"][-1]["state"] == "SETTLED"
    assert rule_set(stored(home, 2)) == DEATH_STOPS_ALL, "a line that had waited"
    for name, table in zip(("OLD", "NEW"), tables, strict=True):
        assert command("replay", home, name, table).code == 0
    assert command("verify", home).code == 0


def test_next__a_later_account_is_full_as_others_are(tmp_path: Path) -> None:
    """Admits the first person; `shared` says in which account the second waits."""
    both = {"account": "77"}
    accounts = [held_by(n, CLOSED_BANK, (BANK, both)) for n in (1, 2)]
    home = home_of(tmp_path / "home", *accounts, settings=Settings(accounts_shared_max=1))
    table = write_table(payment_table([line(1), line(2)]), tmp_path / "table.parquet")
    assert command("run", home, table).code == 0
    with switch.open(home, mode="r") as engine:
        assert answers(stored(home)) == [("ACSC", None), ("PDNG", "NOCM")]
        rows = engine.shared_accounts("B").to_pylist()
    assert [(row["participant"], row["persons"], row["held_persons"]) for row in rows] == [
        (BANK, 1, 1)
    ]
    assert rows[0]["creditor_account"] == "77"
    assert switch.verify(home)


def test_next__accounts_that_do_not_fit_the_people_stop_the_run(tmp_path: Path) -> None:
    """A register of five million is not proven whole before a few of its accounts are read."""
    home = home_of(tmp_path / "home", held_by(1, CLOSED_BANK, BANK), held_by(2, BANK, WALLET))
    with Home(home, writing=False) as opened:
        path = opened.folder("registers", 1) / "accounts.bin"
    content = bytearray(path.read_bytes())
    content[0] ^= 1
    path.chmod(0o600)
    path.write_bytes(content)
    table = write_table(payment_table([line(1)]), tmp_path / "table.parquet")
    before = command("run", home, table)
    assert before.code == 5, before.err
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(next_accounts, "ACCOUNTS_PROVEN_MAX", 0)
        with switch.open(home) as engine, pytest.raises(VerificationFailed, match="does not fit"):
            engine.run(table)


def test_next__nobody_is_looked_up_where_first_accounts_can_be_paid(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever has one account costs nothing: the register's accounts are not even opened."""

    def opened(home: Any) -> Any:
        raise AssertionError("accounts.bin was opened")

    monkeypatch.setattr(kernel, "current_chain", opened)
    home = home_of(tmp_path / "home", held_by(1, BANK, WALLET), held_by(2, BANK))
    away = {"creditor_agent": CLOSED_BANK, "creditor_account": "7"}
    assert reasons(pay(home, [line(1), line(2), line(1, **away)])) == [None, None, "AB08"]
