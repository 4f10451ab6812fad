"""Accounts that receive for many persons in a batch, and persons who have two ids: reported."""

from __future__ import annotations

import csv
import random
import stat
from collections import defaultdict
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from scene import (
    BANK,
    CLOSED_BANK,
    NAME,
    PARTICIPANTS,
    SMALL_BANK,
    WALLET,
    account,
    command,
    line,
    make_home,
    pay,
    payment_table,
    person,
    write_table,
)

import switch
from switch.clearing import shared_accounts
from switch.errors import UsageError, VerificationFailed
from switch.sim.world.generate import Generated

THEIRS = {"creditor_agent": SMALL_BANK, "creditor_account": "6660001234567"}
"""An account that a hostile agency names for everybody."""


def shared_of(home: Path, batch_id: str = "B") -> list[dict[str, Any]]:
    with switch.open(home) as engine:
        table = engine.shared_accounts(batch_id)
    assert table.schema == shared_accounts.SHARED
    return table.to_pylist()


def entry(participant: str, number: str, *numbers: int) -> dict[str, Any]:
    """A row of SHARED of an account for which nothing waits."""
    values = (participant, number, *numbers, 0, 0, 0)
    return dict(zip(shared_accounts.SHARED.names, values, strict=True))


# --- the report -----------------------------------------------------------------------------------


def test_shared__an_agency_that_sends_all_to_one_account_is_seen(village: Path) -> None:
    batch = pay(village, [line(n, **THEIRS) for n in range(1, 9)] + [line(9)])
    assert batch.summary["cleared"]["count"] == 9, "the account of a table wins: reported alone"
    said = entry(SMALL_BANK, "6660001234567", 8, 8, 8_000_036, 1, 8)
    assert shared_of(village) == [said]


def test_shared__several_lines_of_one_person_share_nothing(village: Path) -> None:
    own = {"creditor_agent": BANK, "creditor_account": "1000000001"}
    pay(village, [line(1), line(1, period=202606), line(1, period=202610, **own), line(2)])
    assert shared_of(village) == []


def test_shared__accounts_of_the_register_count_as_those_of_the_table(village: Path) -> None:
    to = {"creditor_agent": BANK, "creditor_account": "1000000001"}
    pay(village, [line(1, amount=5), line(2, amount=7, **to), line(2, period=202606, amount=9)])
    assert shared_of(village) == [entry(BANK, "1000000001", 2, 2, 12, 1, 2)]


def test_shared__one_number_at_two_receivers_is_two_accounts(village: Path) -> None:
    places = [BANK, SMALL_BANK, WALLET, WALLET]
    lines = [
        line(n, amount=10, creditor_agent=code, creditor_account="77")
        for n, code in enumerate(places, start=1)
    ]
    pay(village, lines)
    assert shared_of(village) == [entry(WALLET, "77", 2, 2, 20, 1, 2)]


def test_shared__what_did_not_clear_counts_for_nobody(village: Path) -> None:
    refused = [line(2, amount=0, **THEIRS), line(3, person_name="Lê B", **THEIRS)]
    pay(village, [line(1, **THEIRS), *refused, line(99, **THEIRS)])
    assert shared_of(village) == []
    pay(village, [line(1, amount=0, **THEIRS)], "NOTHING")
    assert shared_of(village, "NOTHING") == [], "a batch of which nothing cleared"


def test_shared__names_differ_by_the_fold_of_the_contract(tmp_path: Path) -> None:
    """A couple has two names; one person with two ids has one, however it is written."""
    names = ["Trần Thị Hoà", "Lê Văn Đức", "Trần Thị Hòa", "TRAN THI HOA", "Phạm Thị Bé"]
    people = [person(n, name=name) for n, name in enumerate(names, start=1)]
    home = make_home(tmp_path / "home", people)
    lines = [
        line(n, amount=10, person_name=name, **THEIRS) for n, name in enumerate(names[:4], start=1)
    ]
    couple = {"creditor_agent": BANK, "creditor_account": "55"}
    lines += [
        line(5, amount=3, person_name=names[4], **couple),
        line(2, amount=4, person_name=names[1], period=202606, **couple),
    ]
    pay(home, lines)
    assert shared_of(home) == [
        entry(SMALL_BANK, "6660001234567", 4, 4, 40, 2, 3),
        entry(BANK, "55", 2, 2, 7, 2, 0),
    ]


def test_shared__one_person_with_two_ids_is_seen_by_account_and_name(tmp_path: Path) -> None:
    people = [person(n, name=name) for n, name in ((1, NAME), (2, NAME), (3, "Võ C"), (4, NAME))]
    numbers = ["88", "88", "88", "99"]
    holdings = [account(n, account=text) for n, text in enumerate(numbers, start=1)]
    home = make_home(tmp_path / "home", people, holdings)
    pay(home, [line(n, amount=1, person_name=people[n - 1]["name"]) for n in range(1, 5)])
    assert shared_of(home) == [entry(BANK, "88", 3, 3, 3, 2, 2)], "another account: no sign of it"


def test_shared__lines_that_waited_count_where_they_clear(tmp_path: Path) -> None:
    home = make_home(tmp_path / "home", map(person, range(1, 10)), map(account, range(1, 10)))
    to = {"creditor_agent": CLOSED_BANK, "creditor_account": "7"}
    pay(home, [line(1, amount=10, **to), line(2, amount=20, **to), line(3)], "A")
    opened = [p | {"status": "active"} for p in PARTICIPANTS]
    with switch.open(home) as engine:
        engine.change_directory(participants=pa.Table.from_pylist(opened))
    pay(home, [line(5, amount=40, **to), line(1, amount=80, period=202606, **to)], "B")
    assert shared_of(home, "A") == []
    assert shared_of(home, "B") == [entry(CLOSED_BANK, "7", 3, 4, 150, 1, 3)]
    assert shared_of(home, "VSS:B") == shared_of(home, "B")


def test_shared__most_persons_come_first_then_lines_then_money(village: Path) -> None:
    to = {f"{n}": {"creditor_agent": BANK, "creditor_account": f"{n}"} for n in range(1, 6)}
    lines = [line(n, amount=1, **to["3"]) for n in (1, 2, 3)]
    lines += [line(n, amount=1, period=202606, **to["1"]) for n in (1, 2)]
    lines += [line(n, amount=2, period=202610, **to["2"]) for n in (1, 2)]
    lines += [line(n, amount=1, period=202609, **to["4"]) for n in (1, 2)]
    lines += [line(1, amount=1, period=202608, **to["4"])]
    lines += [line(n, amount=1, period=202607, **to["5"]) for n in (1, 2)]
    pay(village, lines)
    assert [row["creditor_account"] for row in shared_of(village)] == ["3", "4", "2", "1", "5"]


def recount(home: Path, payday: pa.Table) -> list[dict[str, Any]]:
    """The same, line by line, from the clearing files and the table that came in."""
    whose = {
        row["line_no"]: (row["person_id"], row["person_name"])
        for row in payday.select(["line_no", "person_id", "person_name"]).to_pylist()
    }
    found: dict[tuple[str, str], list[Any]] = defaultdict(list)
    for path in (home / "batches" / "000001" / "clearing").iterdir():
        table = pq.read_table(path) if path.suffix == ".parquet" else pa.ipc.open_file(path)
        rows = table.to_pylist() if path.suffix == ".parquet" else table.read_all().to_pylist()
        for row in rows:
            person_id, name = whose[int(row["transfer_id"].rpartition("-")[2])]
            one = (person_id, switch.native.names.fold(name), row["amount"])
            found[path.stem, row["creditor_account"]].append(one)
    out = []
    for (code, number), lines in found.items():
        ids = {one[0] for one in lines}
        by_name = defaultdict(set)
        for one in lines:
            by_name[one[1]].add(one[0])
        twins = sum(len(known) for known in by_name.values() if len(known) > 1)
        if len(ids) > 1:
            money = sum(one[2] for one in lines)
            out.append(entry(code, number, len(ids), len(lines), money, len(by_name), twins))
    return sorted(
        out,
        key=lambda row: (
            *(-row[name] for name in ("persons", "lines", "sum")),
            row["participant"],
            row["creditor_account"],
        ),
    )


@pytest.mark.parametrize(
    ("form", "threads", "chunk_rows"), [("parquet", 1, 131_072), ("arrow", 2, 7), ("parquet", 2, 1)]
)
def test_shared__is_what_a_count_line_by_line_finds(
    form: str, threads: int, chunk_rows: int, home: Path, nation: Generated
) -> None:
    """A payday of a nation in which a third of the lines goes to few accounts."""
    payday = pq.read_table(nation.payday)
    draw = random.Random(3)
    rows = payday.to_pylist()
    for row in rows:
        if draw.random() < 0.3:
            code = draw.choice(["970436", "970415"])
            row |= {"creditor_agent": code, "creditor_account": f"9{draw.randrange(200)}"}
    table = pa.Table.from_pylist(rows, schema=payday.schema)
    pay(home, table, threads=threads, chunk_rows=chunk_rows, form=form)
    found = shared_of(home)
    assert len(found) > 100
    assert found == recount(home, table)


# --- the command ----------------------------------------------------------------------------------


def test_command__masks_accounts_and_writes_them_whole_for_the_owner(village: Path) -> None:
    pay(village, [line(n, **THEIRS) for n in range(1, 4)])
    said = command("shared", village, "--batch", "B")
    assert said.code == 0, said.err
    assert "**********567" in said.out
    assert "1 account of several persons: 3 lines, 3,000,006 dong" in said.out
    path = village / "out" / "B" / "shared.csv"
    document = command("--json", "shared", village).document
    assert document == {
        "batch_id": "B",
        "accounts": 1,
        "lines": 3,
        "sum": 3_000_006,
        "same_name": 3,
        "held_persons": 0,
        "held_lines": 0,
        "held_sum": 0,
        "shown": [entry(SMALL_BANK, "**********567", 3, 3, 3_000_006, 1, 3)],
        "file": str(path),
    }
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.reader(file))
    assert rows == [
        shared_accounts.SHARED.names,
        [SMALL_BANK, "6660001234567", "3", "3", "3000006", "1", "3", "0", "0", "0"],
    ]


def test_command__shows_a_hundred_accounts_and_the_totals_of_all(tmp_path: Path) -> None:
    count = shared_accounts.SHOWN + 5
    home = make_home(tmp_path / "home", map(person, range(1, 2 * count + 1)))
    to = [{"creditor_agent": BANK, "creditor_account": f"5{n:07d}"} for n in range(count)]
    pay(home, [line(n, amount=n, **to[(n - 1) // 2]) for n in range(1, 2 * count + 1)])
    found = command("--json", "shared", home).document
    assert (found["accounts"], found["lines"]) == (count, 2 * count)
    assert found["sum"] == sum(range(1, 2 * count + 1))
    assert len(found["shown"]) == shared_accounts.SHOWN
    assert found["shown"][0]["sum"] == 4 * count - 1, "largest first"
    said = command("shared", home, "--out", tmp_path / "elsewhere")
    assert "105 accounts of several persons" in said.out
    with (tmp_path / "elsewhere" / "B" / "shared.csv").open(encoding="utf-8-sig") as file:
        assert len(list(csv.reader(file))) == 1 + count


def test_command__says_where_there_is_nothing(village: Path, tmp_path: Path) -> None:
    said = command("shared", village)
    assert (said.code, "has no batch yet" in said.err) == (2, True)
    pay(village, [line(1), line(2)])
    said = command("shared", village)
    assert said.code == 0
    assert "0 accounts of several persons: 0 lines, 0 dong" in said.out
    said = command("shared", village, "--batch", "C")
    assert (said.code, "no batch 'C'" in said.err) == (2, True)
    (tmp_path / "file").write_text("x")
    said = command("shared", village, "--out", tmp_path / "file")
    assert (said.code, "Traceback" in said.err) == (6, False)
    with switch.open(village) as engine, pytest.raises(UsageError, match="no batch"):
        engine.shared_accounts("C")


def test_command__of_two_sources_the_last_batch_is_meant(village: Path, tmp_path: Path) -> None:
    for number, source in ((1, "VSS"), (2, "MOLISA")):
        lines = [line(2 * number - k, **THEIRS) for k in (0, 1)]
        table = write_table(payment_table(lines), tmp_path / source, source=source)
        assert command("run", village, table).code == 0
    assert command("shared", village, "--batch", "B").code == 2
    found = command("--json", "shared", village).document
    assert found["sum"] == 2_000_007
    assert found["file"].endswith("B@000002/shared.csv")


@pytest.mark.parametrize("name", ["status.parquet", "lines.parquet", f"clearing/{BANK}.parquet"])
def test_shared__reads_nothing_that_is_not_as_it_was_committed(name: str, village: Path) -> None:
    pay(village, [line(1), line(2)])
    path = village / "batches" / "000001" / name
    before = path.read_bytes()
    pq.write_table(pq.read_table(path), path, compression="none")  # It can be read, all the same.
    assert path.read_bytes() != before
    with switch.open(village) as engine, pytest.raises(VerificationFailed, match=path.name):
        engine.shared_accounts("B")
    said = command("shared", village)
    assert (said.code, "Traceback" in said.err) == (5, False)
    assert not (village / "out" / "B" / "shared.csv").exists()


@pytest.mark.parametrize(
    ("number", "shown"),
    [
        ("", ""),
        ("1", "*"),
        ("123", "***"),
        ("1234", "***4"),
        ("1234567", "******7"),
        ("12345678", "******78"),
        ("1234567890123456", "************3456"),
        ("9" * 34, "*" * 30 + "9999"),
    ],
)
def test_masked__shows_a_quarter_at_most(number: str, shown: str) -> None:
    assert shared_accounts.masked(number) == shown
