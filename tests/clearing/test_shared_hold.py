"""`accounts_shared_max`: an account receives for so many persons in a batch, and others wait."""

from __future__ import annotations

import csv
import random
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from scene import (
    BANK,
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
    pay,
    payment_table,
    person,
    reasons,
    write_table,
)

import switch
from switch.clearing import shared_accounts
from switch.clearing.admitting import Admitted
from switch.errors import UsageError, VerificationFailed
from switch.proof.replay import replay
from switch.registry.settings import Settings
from switch.sim.auditor.screening import Registers, admitted, by_person, screened

TO = {"creditor_agent": SMALL_BANK, "creditor_account": "77"}
TEXTS = ["1000000009", "7", "007", "X-7", "12345678901234567", "123456789012345678", "A" * 34]
"""Accounts of all forms: digits in a word, digits too many for it, and texts."""


def home_of(path: Path, most: int, people: int = 9, **options: Any) -> Path:
    settings = Settings(accounts_shared_max=most)
    numbers = range(1, people + 1)
    return make_home(
        path, map(person, numbers), map(account, numbers), settings=settings, **options
    )


@pytest.mark.parametrize("most", [1, 2, 3, 9])
def test_hold__an_account_admits_so_many_persons_in_table_order(most: int, tmp_path: Path) -> None:
    home = home_of(tmp_path / "home", most)
    batch = pay(home, [line(n, **TO) for n in range(1, 9)] + [line(9)])
    assert reasons(batch) == [None] * min(most, 8) + ["NOCM"] * (8 - min(most, 8)) + [None]
    assert set(batch.status["status"].to_pylist()) <= {"ACSC", "PDNG"}
    assert switch.verify(home)


def test_hold__all_lines_of_who_is_admitted_pass(tmp_path: Path) -> None:
    home = home_of(tmp_path / "home", 1)
    again = {"period": 202610}
    lines = [line(1, **TO), line(2, **TO), line(1, **again, **TO), line(2, **again), line(3)]
    assert reasons(pay(home, lines)) == [None, "NOCM", None, None, None]


@pytest.mark.parametrize("text", TEXTS)
def test_hold__an_account_of_the_register_is_the_same_in_a_table(text: str, tmp_path: Path) -> None:
    """Named or registered, and for either that comes first."""
    people = list(map(person, range(1, 6)))
    holdings = [account(1, account=text), account(2, account=text), account(3, account=text + "0")]
    settings = Settings(accounts_shared_max=1)
    named = {"creditor_agent": BANK, "creditor_account": text}
    elsewhere = {"creditor_agent": SMALL_BANK, "creditor_account": text}
    holdings = holdings if len(text) < 34 else holdings[:2]
    home = make_home(tmp_path / "home", people, holdings, settings=settings)
    lines = [line(1), line(2), line(4, **named), line(5, **elsewhere)]
    assert reasons(pay(home, lines)) == [None, "NOCM", "NOCM", None]
    other = make_home(tmp_path / "other", people, holdings, settings=settings)
    lines = [line(4, **named), line(1), line(4, period=202610, **named), line(2)]
    assert reasons(pay(other, lines)) == [None, "NOCM", None, "NOCM"]


def test_hold__gives_way_to_the_reasons_before_it_and_goes_before_those_behind(
    tmp_path: Path,
) -> None:
    home = home_of(tmp_path / "home", 1, paid=[entitlement(2), entitlement(4)])
    closed = {"creditor_agent": CLOSED_BANK, "creditor_account": "77"}
    lines = [
        line(1, **TO),
        line(2, amount=0, **TO),
        line(3, amount=SMALL_LIMIT + 1, **TO),
        line(3, person_name="Lê B", **TO),
        line(3, **closed),
        line(5, **closed),
        line(2, **TO),
        line(1, **TO),
        # Who was paid before is admitted, and the account is full by it.
        line(4, creditor_agent=BANK, creditor_account="5"),
        line(6, creditor_agent=BANK, creditor_account="5"),
    ]
    said = [None, "AM12", "AM02", "BE01", "AB08", "AB08", "NOCM", "AM05", "AM05", "NOCM"]
    assert reasons(pay(home, lines)) == said


def test_hold__lines_that_waited_come_first_in_the_next_batch(tmp_path: Path) -> None:
    home = home_of(tmp_path / "home", 2)
    pay(home, [line(n, **TO) for n in range(1, 7)], "A")
    second = pay(home, [line(7, **TO), line(5, period=202610, **TO)], "B")
    assert reasons(second) == ["NOCM", "NOCM"], "3 and 4 have waited longer"
    third = pay(home, [line(8, **TO)], "C")
    assert reasons(third) == ["NOCM"]
    with switch.open(home) as engine:
        states = [engine.line("A", n)["states"] for n in range(1, 7)]
        assert [state[-1]["status"] for state in states] == ["ACSC"] * 6
        assert states[4][0]["reason"] == "NOCM"
        moved = [engine.line(*which)["states"][-1]["status"] for which in (("B", 1), ("B", 2))]
        assert moved == ["PDNG", "ACSC"], "all lines of 5, who is admitted, pass"
        assert [len(engine.shared_accounts(name)) for name in "ABC"] == [1, 1, 1]
        engine.change_directory(settings=Settings(accounts_shared_max=100))
    pay(home, [line(9)], "D")
    with switch.open(home) as engine:
        assert engine.line("C", 1)["states"][-1]["status"] == "ACSC", "nothing is lost"
    assert switch.verify(home)


def test_hold__without_the_setting_answers_have_no_word_of_it(village: Path) -> None:
    batch = pay(village, [line(n, **TO) for n in range(1, 9)] + [line(9, amount=0)])
    reason = pq.read_table(batch.folder / "status.parquet", read_dictionary=["reason"])["reason"]
    assert "NOCM" not in reason.combine_chunks().dictionary.to_pylist()
    assert reasons(batch) == [None] * 8 + ["AM12"]


def some_lines(draw: random.Random) -> list[dict[str, Any]]:
    """Lines of few persons and accounts; each has a period of its own, so that none is twice."""
    rows = []
    for number in range(draw.randint(1, 60)):
        given = draw.random() < 0.7
        rows.append(
            line(
                draw.randint(1, 9),
                period=200001 + 100 * (number % 20) + number // 20,
                amount=draw.choice([1, 1, 1, 0, SMALL_LIMIT + 1]),
                creditor_agent=draw.choice([BANK, SMALL_BANK, CLOSED_BANK]) if given else None,
                creditor_account=draw.choice(TEXTS[:4]) if given else None,
            )
        )
    return rows


@pytest.mark.parametrize("seed", range(12))
def test_hold__answers_are_those_of_the_slow_twin_for_any_chunks(seed: int, tmp_path: Path) -> None:
    draw = random.Random(seed)
    most = draw.randint(1, 3)
    people = list(map(person, range(1, 10)))
    holdings = [account(n, account=draw.choice(TEXTS[:4])) for n in range(1, 10)]
    registers = Registers(
        people={row["person_id"]: row for row in people},
        accounts=by_person(holdings),
        participants={row["participant"]: row for row in PARTICIPANTS},
        debtors={line(1)["debtor_account"]},
        benefits={"PENS"},
        value_date=VALUE_DATE,
        clearing_limit=500_000_000,
    )
    rows = some_lines(draw)
    said = [a.code for a in admitted([screened(row, registers) for row in rows], rows, most)]
    stored = []
    for number, (chunk_rows, threads) in enumerate([(131_072, 1), (1, 1), (7, 2)]):
        settings = Settings(accounts_shared_max=most)
        home = make_home(tmp_path / f"{number}", people, holdings, settings=settings)
        batch = pay(home, rows, chunk_rows=chunk_rows, threads=threads)
        assert reasons(batch) == said
        stored.append(batch.content_digest)
        assert switch.verify(home)
    assert len(set(stored)) == 1


def test_hold__waits_beside_lines_that_wait_for_cover(tmp_path: Path) -> None:
    """Lines are screened again when they are released: who is admitted stays so."""
    capped = [p | {"net_debit_cap": 10 if p["participant"] == BANK else None} for p in PARTICIPANTS]
    home = home_of(tmp_path / "home", 1, participants=capped)
    owes = {"debtor_account": "952701000001", **TO}
    rows = [
        line(1, amount=8, **owes),
        line(1, amount=8, **(owes | {"period": 202610})),
        line(2, amount=1, **owes),
        line(3, amount=30, creditor_agent=BANK, creditor_account="5"),
    ]
    batch = pay(home, rows)
    assert answers(batch) == [("ACSC", None), ("ACSC", None), ("PDNG", "NOCM"), ("ACSC", None)]
    assert (batch.folder / "released.parquet").exists()
    assert switch.verify(home)
    later = pay(home, [line(1, amount=30, period=202609, **owes), line(4, amount=1, **owes)], "C")
    assert reasons(later) == ["NOCM", "NOCM"], "2 has waited, and is the one of this batch"
    assert switch.verify(home)


def test_hold__is_replayed_by_the_setting_of_its_batch(tmp_path: Path) -> None:
    home = home_of(tmp_path / "home", 2)
    first = write_table(payment_table([line(n, **TO) for n in range(1, 5)]), tmp_path / "a")
    assert command("run", home, first).code == 0
    with switch.open(home) as engine:
        engine.change_directory(settings=Settings())
    second = write_table(
        payment_table([line(6, **TO), line(7, **TO)]), tmp_path / "b", batch_id="C"
    )
    assert command("run", home, second).code == 0
    assert replay(home, "B", first)
    assert replay(home, "C", second)


# --- the report -----------------------------------------------------------------------------------


def listed(home: Path, batch_id: str = "B") -> list[tuple[Any, ...]]:
    """(account, persons, lines, sum, held_persons, held_lines, held_sum), as they are listed."""
    numbers = ["persons", "lines", "sum", "held_persons", "held_lines", "held_sum"]
    with switch.open(home) as engine:
        table = engine.shared_accounts(batch_id)
    assert table.schema == shared_accounts.SHARED
    rows = table.select(["creditor_account", *numbers]).to_pylist()
    return [tuple(row.values()) for row in rows]


def test_shared__an_account_of_which_nearly_all_wait_is_listed_first(tmp_path: Path) -> None:
    """It was listed last, as one of two persons: the setting hid what it had found."""
    home = home_of(tmp_path / "home", 2, people=30)
    pair = {"creditor_agent": BANK, "creditor_account": "5"}
    lines = [line(n, amount=1000, **pair) for n in (1, 2)]
    lines += [line(n, amount=10, **TO) for n in range(3, 30)]
    pay(home, [*lines, line(29, amount=7, period=202610, **TO), line(30)])
    assert listed(home) == [("77", 2, 2, 20, 25, 26, 257), ("5", 2, 2, 2000, 0, 0, 0)]


def test_shared__one_who_was_paid_and_one_who_waits_are_two(tmp_path: Path) -> None:
    """And so are two who wait where nobody was paid, at a receiver that was sent nothing, too."""
    home = home_of(tmp_path / "home", 1, paid=[entitlement(4)])
    lines = [line(1, amount=3, **TO), line(2, amount=4, **TO)]
    to = {"creditor_agent": BANK, "creditor_account": "5"}
    lines += [line(4, **to), line(6, amount=5, **to), line(7, amount=6, **to), line(9, **to)]
    assert reasons(pay(home, lines)) == [None, "NOCM", "AM05", *["NOCM"] * 3]
    at_bank = ("5", 0, 0, 0, 3, 3, 11 + 1_000_009)
    assert listed(home) == [at_bank, ("77", 1, 1, 3, 1, 1, 4)]
    with switch.open(home) as engine:
        row = engine.shared_accounts("B").to_pylist()[0]
    assert (row["participant"], row["names"], row["same_name"]) == (BANK, 0, 0)


@pytest.mark.parametrize("text", TEXTS)
def test_shared__lines_that_name_no_account_wait_for_that_of_the_register(
    text: str, tmp_path: Path
) -> None:
    """The account that counts on the value date; one that is named is the same."""
    ended = {"valid_to": VALUE_DATE.replace(day=24), "account": "1"}
    begins = {"valid_from": VALUE_DATE.replace(day=26), "account": "2"}
    holdings = [account(n, account=text, priority=2) for n in range(1, 5)]
    holdings += [account(n, **ended) for n in (3, 4)] + [account(2, **begins)]
    holdings += [account(n, account=text, participant=SMALL_BANK, priority=3) for n in (1, 2)]
    settings = Settings(accounts_shared_max=1)
    home = make_home(tmp_path / "home", map(person, range(1, 6)), holdings, settings=settings)
    named = {"creditor_agent": BANK, "creditor_account": text}
    batch = pay(home, [line(n, amount=n) for n in range(1, 5)] + [line(5, amount=5, **named)])
    assert reasons(batch) == [None] + ["NOCM"] * 4
    assert listed(home) == [(text, 1, 1, 1, 4, 4, 14)]


def test_shared__lines_of_batches_before_count_while_they_wait(tmp_path: Path) -> None:
    home = home_of(tmp_path / "home", 2)
    pay(home, [line(n, amount=10, **TO) for n in range(1, 7)], "A")
    pay(home, [line(7, amount=1, **TO)], "B")
    pay(home, [line(8, amount=100, creditor_agent=BANK, creditor_account="5")], "C")
    with switch.open(home) as engine:
        engine.change_directory(settings=Settings())
    pay(home, [line(9, amount=1)], "D")
    assert listed(home, "A") == [("77", 2, 2, 20, 4, 4, 40)]
    assert listed(home, "B") == [("77", 2, 2, 20, 3, 3, 21)], "3 and 4 went; 5, 6 and 7 wait"
    assert listed(home, "C") == [("77", 2, 2, 20, 1, 1, 1)]
    assert listed(home, "D") == [], "nothing waits without the setting"


def test_shared__without_the_setting_nothing_is_held(tmp_path: Path) -> None:
    """Lines that waited by it may wait on for another reason."""
    home = home_of(tmp_path / "home", 1)
    pay(home, [line(n, **TO) for n in range(1, 4)], "A")
    closed = [
        p | {"status": "suspended" if p["participant"] == SMALL_BANK else p["status"]}
        for p in PARTICIPANTS
    ]
    with switch.open(home) as engine:
        engine.change_directory(settings=Settings(), participants=pa.Table.from_pylist(closed))
    pay(home, [line(9)], "B")
    assert listed(home, "B") == []


def test_shared__a_person_without_account_now_counts_for_none(tmp_path: Path) -> None:
    people = list(map(person, range(1, 6)))
    holdings = [account(n, account="5") for n in range(1, 4)]
    settings = Settings(accounts_shared_max=1)
    home = make_home(tmp_path / "home", people, holdings, settings=settings)
    pay(home, [line(n, amount=1) for n in range(1, 4)])
    assert listed(home) == [("5", 1, 1, 1, 2, 2, 2)]
    with switch.open(home) as engine:
        engine.register(accounts=accounts_table([account(3, account="5")]), replace=True)
    assert listed(home) == [("5", 1, 1, 1, 1, 1, 1)]
    with switch.open(home) as engine:
        engine.register(accounts=accounts_table([account(5, account="5")]), replace=True)
    assert listed(home) == []


def counted(pairs: Iterable[tuple[Any, dict[str, Any]]]) -> dict[Any, tuple[int, int, int]]:
    """(persons, lines, sum) of each account."""
    found = defaultdict(list)
    for key, row in pairs:
        found[key].append(row)
    return {
        key: (len({row["person_id"] for row in rows}), len(rows), sum(r["amount"] for r in rows))
        for key, rows in found.items()
    }


@pytest.mark.parametrize("seed", range(8))
def test_shared__counts_those_who_wait_as_the_slow_twin_does(seed: int, tmp_path: Path) -> None:
    """Over two batches; a bank opens between them, so that what had waited for it waits on for its
    account."""
    draw = random.Random(seed)
    most = draw.randint(1, 3)
    people = list(map(person, range(1, 10)))
    holdings = [account(n, account=draw.choice(TEXTS[:4])) for n in range(1, 10)]
    home = make_home(
        tmp_path / "home", people, holdings, settings=Settings(accounts_shared_max=most)
    )
    waiting: list[dict[str, Any]] = []
    for number, status in enumerate(("suspended", "active")):
        present = [
            p | {"status": status if p["participant"] == CLOSED_BANK else p["status"]}
            for p in PARTICIPANTS
        ]
        registers = Registers(
            people={row["person_id"]: row for row in people},
            accounts=by_person(holdings),
            participants={row["participant"]: row for row in present},
            debtors={line(1)["debtor_account"]},
            benefits={"PENS"},
            value_date=VALUE_DATE,
            clearing_limit=500_000_000,
        )
        with switch.open(home) as engine:
            engine.change_directory(participants=pa.Table.from_pylist(present))
        fresh = [row | {"period": row["period"] - 10_000 * number} for row in some_lines(draw)]
        rows = waiting + fresh
        found = admitted([screened(row, registers) for row in rows], rows, most)
        form = draw.choice(["parquet", "arrow"])
        pay(home, fresh, f"{number}", chunk_rows=draw.choice([1, 7, 131_072]), form=form)
        said = [((a.participant, a.account), a, row) for a, row in zip(found, rows, strict=True)]
        paid = counted((key, row) for key, a, row in said if a.status == "ACSC")
        held = counted((key, row) for key, a, row in said if a.code == "NOCM")
        want = {}
        for key in paid.keys() | held.keys():
            numbers = paid.get(key, (0, 0, 0)), held.get(key, (0, 0, 0))
            if numbers[0][0] + numbers[1][0] > 1:
                want[key] = numbers
        with switch.open(home) as engine:
            table = engine.shared_accounts(f"{number}").to_pylist()
        names = ["persons", "lines", "sum"]
        got = {
            (row["participant"], row["creditor_account"]): (
                tuple(row[name] for name in names),
                tuple(row[f"held_{name}"] for name in names),
            )
            for row in table
        }
        assert got == want
        order = [
            (*(-row[name] - row[f"held_{name}"] for name in names), row["participant"])
            for row in table
        ]
        assert order == sorted(order)
        waiting = [row for _, a, row in said if a.status == "PDNG"]


def test_command__says_what_waits_by_account(tmp_path: Path) -> None:
    home = home_of(tmp_path / "home", 2)
    pay(home, [line(n, amount=10, **TO) for n in range(1, 9)])
    said = command("shared", home)
    assert "1 account of several persons: 2 lines, 20 dong" in said.out
    heads = next(text for text in said.out.splitlines() if "receiver" in text)
    words = ["receiver", "account", "persons", "held", "same", "name", "dong", "dong", "held"]
    assert heads.split() == words
    assert "wait as their account is full (NOCM): 6 lines of 6 persons, 60 dong" in said.out
    document = command("--json", "shared", home).document
    numbers = {"held_persons": 6, "held_lines": 6, "held_sum": 60}
    assert document == document | numbers
    assert document["shown"][0] == document["shown"][0] | numbers
    with (home / "out" / "B" / "shared.csv").open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.reader(file))
    assert rows[0][-3:] == list(numbers)
    assert rows[1:] == [[SMALL_BANK, "77", "2", "2", "20", "1", "2", "6", "6", "60"]]


@pytest.mark.parametrize(
    "name",
    [
        "batches/000002/held.parquet",
        "batches/000001/status.parquet",
        "batches/000001/lines.parquet",
        "registers/000001/accounts.bin",
        "registers/000001/heap.bin",
        "registers/000001/register.json",
    ],
)
def test_shared__reads_nothing_of_what_waits_that_is_not_as_committed(
    name: str, tmp_path: Path
) -> None:
    home = home_of(tmp_path / "home", 1)
    pay(home, [line(n, **TO) for n in range(1, 5)], "A")
    pay(home, [line(5, **TO)], "B")
    path = home / name
    path.write_bytes(path.read_bytes()[:-1] + b"?" if path.stat().st_size else b"?")
    said = command("shared", home)
    assert (said.code, path.name in said.err, "Traceback" in said.err) == (5, True, False)


# --- the proof ------------------------------------------------------------------------------------


def test_verify__finds_an_account_that_received_for_too_many(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = home_of(tmp_path / "home", 2)
    monkeypatch.setattr(Admitted, "hold", lambda *_: None)
    pay(home, [line(n, **TO) for n in range(1, 4)])
    with pytest.raises(VerificationFailed, match="receives for more than 2 persons"):
        switch.verify(home)


def test_verify__finds_lines_that_wait_by_no_setting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = home_of(tmp_path / "home", 1)
    monkeypatch.setattr(
        "switch.clearing.close.msgspec.to_builtins",
        lambda settings: {"clearing_limit": 500_000_000},
    )
    pay(home, [line(n, **TO) for n in range(1, 3)])
    monkeypatch.undo()
    with pytest.raises(VerificationFailed, match="by a setting that the batch did not have"):
        switch.verify(home)


def test_verify__finds_a_line_that_was_sent_and_not_answered(village: Path) -> None:
    batch = pay(village, [line(1)])
    with switch.open(village) as engine:
        people = shared_accounts._People(engine.home, batch.folder, batch.seq)
        sent = batch.status["transfer_id"]
        assert people.lines_of(sent).row.tolist() == [0]
        people._keys = people._keys + 1
        with pytest.raises(VerificationFailed, match="not answered as cleared"):
            people.lines_of(sent)
        people._keys = people._keys[:0]
        with pytest.raises(VerificationFailed, match="not answered as cleared"):
            people.lines_of(sent)


# --- the setting ----------------------------------------------------------------------------------


@pytest.mark.parametrize("most", [-1, 2**31, True, 1.5, "2"])
def test_setting__is_a_number_of_persons(most: Any, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="accounts_shared_max"):
        Settings(accounts_shared_max=most).check()


def test_setting__is_kept_by_directory(village: Path, tmp_path: Path) -> None:
    config = tmp_path / "c.toml"
    config.write_text("accounts_shared_max = 3\n")
    assert command("directory", village, "--config", config).code == 0
    assert '"accounts_shared_max": 3' in command("--json", "directory", village).out.replace(
        '":3', '": 3'
    )
    batch = pay(village, [line(n, **TO) for n in range(1, 6)])
    assert reasons(batch) == [None] * 3 + ["NOCM"] * 2
    for text in ('"3"', "true", "-1", "[1]"):
        config.write_text(f"accounts_shared_max = {text}\n")
        assert command("directory", village, "--config", config).code == 2, text
