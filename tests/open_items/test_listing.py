"""What is open, asked by the library and by commands: both say the same, in every form."""

from __future__ import annotations

import csv
import datetime as dt
import shutil
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet as pq
import pytest
from answering import BANK, CALENDAR, RECEIVERS, back, home_of, said, take
from scene import CLOSED_BANK, account, command, line, make_home, pay, person, run

import switch
from switch.errors import UsageError, VerificationFailed
from switch.home.history import break_id, folders, open_breaks, queue_of
from switch.open_items.held import SENTENCES
from switch.open_items.listing import Listing

LATE = "2026-12-30"


def same(home: Path, found: Listing, *words: object) -> dict[str, Any]:
    """The document of a command, which is that of the library."""
    answer = command(words[0], home, *words[1:], "--json")
    assert answer.code == 0, answer.err
    assert answer.document == found.document()
    return answer.document


@pytest.fixture(scope="module")
def answered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home of twelve lines: four are credited, one comes back, one differs, one is refused late
    and one credited twice; the others are silent."""
    home = home_of(tmp_path_factory.mktemp("answered") / "home")
    with switch.open(home) as engine:
        rows = [said(n) for n in (1, 2, 3, 4)]
        rows += [said(5, amount=5), said(6, "RJCT"), said(7), said(8, participant=RECEIVERS[0])]
        rows += [said(3, booked_at=dt.datetime(2026, 11, 26, tzinfo=dt.UTC))]
        take(engine, home, *rows, at="2026-11-26")
        take(engine, home, back(9), at="2026-11-28")
        take(engine, home, at=LATE)
    return home


# --- breaks ---------------------------------------------------------------------------------------


def test_breaks__are_those_of_the_home_with_their_lines(answered: Path) -> None:
    with switch.open(answered) as engine:
        found = engine.breaks()
        stored = open_breaks(engine.home, folders(engine.home))
    assert found.as_of == LATE
    assert len(found) == len(stored) > 5
    assert sorted(found.table["break"].to_pylist()) == sorted(
        map(break_id, stored["key"].to_pylist())
    )
    assert found.table["value"].type == found.table["expected"].type == pa.int64()
    assert found.total == {"count": len(stored), "sum": sum(stored["value"].to_pylist())}
    for row in found.rows():
        if row["transfer_id"]:
            assert row["batch_id"] == "A"
            assert row["line_no"] == int(str(row["transfer_id"])[-10:])
    for part in ("classes", "severities"):
        assert sum(one["count"] for one in found.parts[part].values()) == len(stored)
    same(answered, found, "breaks")


def test_breaks__name_no_account_whole(answered: Path) -> None:
    text = command("breaks", answered, "--json").out + command("breaks", answered).out
    assert "********" in text
    for number in range(1, 13):
        assert f"1000{number:06d}" not in text


FILTERS: dict[str, tuple[dict[str, Any], list[str]]] = {
    "class": ({"class_": "MISSING"}, ["--class", "MISSING"]),
    "classes": (
        {"class_": ["MISSING", "AMOUNT"]},
        ["--class", "MISSING", "--class", "AMOUNT"],
    ),
    "severity": ({"severity": "critical"}, ["--severity", "critical"]),
    "owner": ({"owner": "operations"}, ["--owner", "operations"]),
    "receiver": ({"receiver": RECEIVERS[1]}, ["--receiver", RECEIVERS[1]]),
    "age": ({"age": 33}, ["--age", "33"]),
    "batch": ({"batch": "VSS:A"}, ["--batch", "VSS:A"]),
    "limit": ({"limit": 2, "sort": "value"}, ["--limit", "2", "--sort", "value"]),
    "nothing": ({"class_": "FEE"}, ["--class", "FEE"]),
}
FITS = {
    "class": lambda row: row["class"] == "MISSING",
    "classes": lambda row: row["class"] in ("MISSING", "AMOUNT"),
    "severity": lambda row: row["severity"] == "critical",
    "owner": lambda row: row["owner"] == "operations",
    "receiver": lambda row: row["participant"] == RECEIVERS[1],
    "age": lambda row: row["days"] >= 33,
    "batch": lambda row: row["batch_id"] == "A",
    "limit": lambda _: True,
    "nothing": lambda _: False,
}


@pytest.mark.parametrize("name", FILTERS)
def test_breaks__are_filtered_alike_by_library_and_command(answered: Path, name: str) -> None:
    asked, words = FILTERS[name]
    with switch.open(answered) as engine:
        whole, found = engine.breaks(), engine.breaks(**asked)
    fit = [row for row in whole.rows() if FITS[name](row)]
    assert found.total == {"count": len(fit), "sum": sum(int(str(r["value"])) for r in fit)}
    assert len(found) == min(len(fit), asked.get("limit", len(fit)))
    assert all(FITS[name](row) for row in found.rows())
    same(answered, found, "breaks", *words)


@pytest.mark.parametrize("sort", ["severity", "value", "age", "class", "owner", "receiver"])
def test_breaks__sorted_in_any_way_are_the_same(answered: Path, sort: str) -> None:
    with switch.open(answered) as engine:
        rows = engine.breaks(sort=sort).rows()
        assert sorted(map(str, rows)) == sorted(map(str, engine.breaks().rows()))
    column = {"age": "days", "receiver": "participant"}.get(sort, sort)
    values: list[Any] = [row[column] for row in rows]
    if sort == "severity":
        values = [-("low", "medium", "high", "critical").index(value) for value in values]
    elif sort in ("value", "age"):
        values = [-value for value in values]
    values = [value for value in values if value is not None]
    assert values == sorted(values)


@pytest.mark.parametrize("ending", ["csv", "parquet", "arrow"])
def test_breaks__export_is_exactly_the_filtered_list(
    answered: Path, tmp_path: Path, ending: str
) -> None:
    asked = ("breaks", answered, "--class", "MISSING", "--sort", "value")
    file = tmp_path / f"open.{ending}"
    answer = command(*asked, "--out", file, "--json")
    assert answer.code == 0, answer.err
    assert answer.document == command(*asked, "--json").document | {"file": str(file)}
    with switch.open(answered) as engine:
        table = engine.breaks(class_="MISSING", sort="value").table
    if ending == "csv":
        with file.open(encoding="utf-8-sig", newline="") as text:
            rows = list(csv.DictReader(text))
        assert list(rows[0]) == table.column_names
        assert [row["break"] for row in rows] == table["break"].to_pylist()
        assert [int(row["value"]) for row in rows] == table["value"].to_pylist()
    elif ending == "parquet":
        assert pq.read_table(file).equals(table)
    else:
        assert pa.ipc.open_file(str(file)).read_all().equals(table)
    assert file.stat().st_mode & 0o777 == 0o600


WRONG = {
    "class": {"class_": "FOO"},
    "severity": {"severity": "dire"},
    "receiver": {"receiver": "970999"},
    "batch": {"batch": "Z"},
    "sort": {"sort": "colour"},
    "limit": {"limit": -1},
    "age": {"age": "old"},
    "number": {"class_": 5},
    "mixed": {"receiver": [BANK, 5]},
    "batch of no text": {"batch": 1},
    "unknown": {"colour": "red"},
}


@pytest.mark.parametrize("name", WRONG)
def test_breaks__wrong_filter_is_told_and_is_no_empty_answer(answered: Path, name: str) -> None:
    wrong: Any = WRONG[name]
    with switch.open(answered) as engine, pytest.raises((UsageError, TypeError)) as told:
        engine.breaks(**wrong)
    assert isinstance(told.value, UsageError) or name == "unknown"


def test_breaks__command_refuses_what_the_library_does(answered: Path, tmp_path: Path) -> None:
    for words in (
        ("--class", "FOO"),
        ("--receiver", "970999"),
        ("--sort", "colour"),
        ("--out", tmp_path / "open.xlsx"),
        ("--out", answered / "open.csv"),
        ("--out", ""),
    ):
        assert command("breaks", answered, *words).code == 2, words
    assert command("breaks", tmp_path).code == 2


def test_breaks__damaged_list_is_exit_5(answered: Path, tmp_path: Path) -> None:
    home = shutil.copytree(answered, tmp_path / "home")
    file = max(home.glob("answers/*/open.parquet"))
    file.write_bytes(file.read_bytes()[:-1] + b"?")
    assert command("breaks", home).code == 5
    with switch.open(home) as engine, pytest.raises(VerificationFailed):
        engine.breaks()


def test_breaks__of_a_home_without_answers_are_none(village: Path) -> None:
    with switch.open(village) as engine:
        found = engine.breaks()
    assert same(village, found, "breaks") == {
        "as_of": "",
        "count": 0,
        "sum": 0,
        "classes": {},
        "severities": {},
        "breaks": [],
    }


def test_listing__is_a_table_for_others_and_short_for_people(answered: Path) -> None:
    with switch.open(answered) as engine:
        found = engine.breaks(limit=3)
    assert pl.DataFrame(found).height == 3 == len(found)
    assert repr(found).startswith("<3 of ")
    assert len(repr(found)) < 80
    page = found._repr_html_()
    assert page.count("<tr>") == 4
    assert "&lt;3 of " in page
    assert str(answered) not in page


# --- lines that wait ------------------------------------------------------------------------------


@pytest.fixture
def waiting(tmp_path: Path) -> Path:
    """Three batches, each with lines that wait: for an account, and for a suspended bank."""
    accounts = [account(n) for n in range(1, 10)]
    accounts += [account(n, participant=CLOSED_BANK) for n in (20, 21)]
    home = make_home(tmp_path / "home", map(person, range(1, 40)), accounts)
    pay(home, [line(1), line(20), line(30)], "A", at="2026-11-20T09:00")
    pay(home, [line(21), line(2)], "B", at="2026-11-24T09:00")
    pay(home, [line(3), line(31), line(31)], "C", at="2026-11-25T09:00")
    return home


def test_held__tells_why_since_when_and_how_often(waiting: Path) -> None:
    with switch.open(waiting) as engine:
        found = engine.held()
        queue = pq.read_table(engine.home.path / queue_of(engine.home)[0])  # type: ignore[index]
    names = ("batch_id", "line_no", "reason", "participant", "since", "days", "tried", "amount")
    rows = [tuple(row[name] for name in names) for row in found.rows()]
    assert rows == [
        ("A", 2, "AB08", CLOSED_BANK, "2026-11-20", 5, 3, 1_000_020),
        ("A", 3, "AC03", None, "2026-11-20", 5, 3, 1_000_030),
        ("B", 1, "AB08", CLOSED_BANK, "2026-11-24", 1, 2, 1_000_021),
        ("C", 2, "AC03", None, "2026-11-25", 0, 1, 1_000_031),
        ("C", 3, "AC03", None, "2026-11-25", 0, 1, 1_000_031),
    ]
    assert found.total == {"count": len(queue), "sum": sum(queue["amount"].to_pylist())}
    assert found.parts["reasons"]["AC03"] == {"count": 3, "sum": 3_000_092}
    same(waiting, found, "held")
    assert {row["why"] for row in found.rows()} <= set(SENTENCES.values())


def test_held__names_no_person(waiting: Path) -> None:
    text = command("held", waiting, "--json").out + command("held", waiting).out
    for column in ("person_id", "person_name", "creditor_account", "Nguy", "001000000"):
        assert column not in text


@pytest.mark.parametrize(
    ("asked", "words", "lines"),
    [
        ({"reason": "AB08"}, ["--reason", "AB08"], ["A:2", "B:1"]),
        ({"batch": "A"}, ["--batch", "A"], ["A:2", "A:3"]),
        ({"receiver": CLOSED_BANK}, ["--receiver", CLOSED_BANK], ["A:2", "B:1"]),
        ({"age": 1}, ["--age", "1"], ["A:2", "A:3", "B:1"]),
        ({"sort": "amount", "limit": 1}, ["--sort", "amount", "--limit", "1"], ["C:2"]),
        ({"reason": ["AM23", "NOCM"]}, ["--reason", "AM23", "--reason", "NOCM"], []),
    ],
)
def test_held__is_filtered_alike_by_library_and_command(
    waiting: Path, asked: Any, words: list[str], lines: list[str]
) -> None:
    with switch.open(waiting) as engine:
        found = engine.held(**asked)
    assert [f"{row['batch_id']}:{row['line_no']}" for row in found.rows()] == lines
    same(waiting, found, "held", *words)


def test_held__export_has_the_same_rows(waiting: Path, tmp_path: Path) -> None:
    file = tmp_path / "held.parquet"
    assert command("held", waiting, "--reason", "AC03", "--out", file).code == 0
    with switch.open(waiting) as engine:
        assert pq.read_table(file).equals(engine.held(reason="AC03").table)
        with pytest.raises(UsageError):
            engine.held(reason="AM05")


def test_held__line_that_went_is_held_no_more(waiting: Path) -> None:
    with switch.open(waiting) as engine:
        engine.register(accounts=pa.Table.from_pylist([account(30)]))
        run(engine, [line(4)], "D", at="2026-11-26T09:00")
        rows = engine.held().rows()
    assert [f"{row['batch_id']}:{row['line_no']}:{row['tried']}" for row in rows] == [
        "A:2:4", "B:1:3", "C:2:2", "C:3:2"
    ]  # fmt: skip


def test_held__of_an_empty_home_is_nothing(village: Path) -> None:
    with switch.open(village) as engine:
        listings = (engine.held(), engine.returned(), engine.cycles())
    for found in listings:
        assert found.total == {"count": 0, "sum": 0}
        same(village, found, found.name)


# --- lines that came back -------------------------------------------------------------------------


def test_returned__waits_until_it_is_disposed_of(answered: Path, tmp_path: Path) -> None:
    home = shutil.copytree(answered, tmp_path / "home")
    with switch.open(home) as engine:
        found = engine.returned()
    (row,) = found.rows()
    assert (row["batch_id"], row["line_no"], row["state"]) == ("A", 9, "WAITS")
    assert (row["reason"], row["amount"], row["days"]) == ("AC04", 1_000_009, 33)
    assert {"row", "person_id", "record_id"} & set(row) == set()
    same(home, found, "returned")
    assert len(command("returned", home, "--reason", "MS03", "--json").document["returned"]) == 0
    with switch.open(home) as engine:
        engine.write_back([("A", 9)])
        assert len(engine.returned()) == 0


def test_returned__on_its_way_is_told_so(tmp_path: Path) -> None:
    home = home_of(tmp_path / "home", settings=CALENDAR)
    with switch.open(home) as engine:
        engine.settle(at="2026-11-25T15:30")
        take(engine, home, back(1), at="2026-11-27T09:00")
        (row,) = engine.returned().rows()
        assert (row["line_no"], row["state"]) == (1, "COMING")
        cycle = engine.cycles().rows()[-1]
        assert (cycle["returned_lines"], cycle["returned_sum"]) == (1, 1_000_001)
        engine.settle(at="2026-11-27T15:30")
        assert engine.returned().rows()[0]["state"] == "WAITS"
