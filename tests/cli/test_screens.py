"""Screens as people read them: numbers add up, names can be asked for, words are of daily life, and
it is said what comes next."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from answering import CALENDAR, LATER, back, home_of, said, take, transfer, write
from cycles import lines, make
from scene import (
    DEBTORS,
    PARTICIPANTS,
    account,
    accounts_table,
    command,
    line,
    make_home,
    payment_table,
    people_table,
    person,
    run,
    write_dossier,
    write_table,
)

import switch
from switch.cli.writing import DONE
from switch.registry.settings import Settings


def flat(text: str) -> str:
    """Text on one line with single blanks, however wide a table was drawn."""
    return " ".join(text.split())


def wide(monkeypatch: pytest.MonkeyPatch, columns: int) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))


@pytest.fixture
def coming(tmp_path: Path) -> Path:
    """A home whose open cycle holds nothing but two returned lines."""
    home = home_of(tmp_path / "h", 6, CALENDAR)
    with switch.open(home) as engine:
        engine.settle()
        take(engine, tmp_path / "back", back(1), back(2))
    return home


def test_screens__a_cycle_of_returns_alone_shows_their_money(
    coming: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wide(monkeypatch, 200)
    row = next(r for r in command("cycles", coming).out.splitlines() if " OPEN " in r)
    assert "2,000,003" in row
    status = flat(command("status", coming).out)
    (cycle,) = command("status", coming, "--json").document["open"]["cycles"]
    assert f"coming back with cycle {cycle['cycle']}, OPEN" in status
    assert "0 lines of 0 dong" not in status
    assert f"cycle {cycle['cycle']} is open until" in status
    assert "2 returned lines of 2,000,003 dong" in status
    early = command("settle", coming, "--at", LATER, "--leap").out
    assert "with 2 returned lines of 2,000,003 dong" in early


def test_screens__batches_of_one_id_have_their_sources(tmp_path: Path) -> None:
    home = home_of(tmp_path / "h", 2)
    with switch.open(home) as engine:
        run(engine, [line(5)], "A", source="OTHER")
        run(engine, [line(6)], "B")
    said_ = command("status", home).out
    for name in ("VSS:A", "OTHER:A"):
        assert name in said_
        assert command("status", home, "--batch", name).code == 0
    assert "VSS:B" not in said_


@pytest.mark.parametrize("name", ["cycles", "balances", "breaks", "returned", "status"])
def test_screens__times_have_no_zone(
    name: str, coming: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wide(monkeypatch, 300)
    out = command(name, coming).out
    assert not re.search(r"\d[+]\d\d:\d\d|\dZ\b", out)
    if name in ("cycles", "balances", "status"):
        assert re.search(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?!\S)", out)


@pytest.mark.parametrize("columns", [60, 70, 80, 200])
def test_screens__a_break_has_its_line_at_any_width(
    columns: int, coming: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with switch.open(coming) as engine:
        take(engine, tmp_path / "odd", said(5, amount=7))
    wide(monkeypatch, columns)
    out = command("breaks", coming, "--class", "AMOUNT").out
    assert re.search(r"\bA\s+5\s+999,998\b|\bline: 5\b", out), out


def test_screens__a_record_that_names_no_line_shows_none(tmp_path: Path) -> None:
    home = home_of(tmp_path / "h", 4)
    with switch.open(home) as engine:
        odd = [back(99), back(0, return_id="R", participant="970001"), back(4)]
        take(engine, tmp_path / "back", *odd)
        found = {row["transfer_id"]: row for row in engine.breaks(class_="RETURN_UNMATCHED").rows()}
        for number in (99, 0):
            row = found[transfer(number)]
            assert (row["batch_id"], row["line_no"]) == ("A", None)
        with pytest.raises(switch.UsageError):
            engine.line("A", 99)


def test_screens__the_line_of_a_break_is_said_in_words(tmp_path: Path) -> None:
    home = home_of(tmp_path / "h", 4)
    with switch.open(home) as engine:
        take(engine, tmp_path / "odd", said(1, amount=7))
    out = command("status", home, "--line", "A:1").out
    assert "line of 1,000,001 dong, AMOUNT: it goes with" in out
    assert "1,000,001 dong and" not in out
    assert "999,994 dong less" in out
    assert "the rules allow 0 dong and 1 day" in out
    assert not re.search(r"\d{4,} dong|days away|allowed:", out)


def test_screens__a_line_of_no_known_benefit_says_so(tmp_path: Path) -> None:
    home = make_home(tmp_path / "h", [person(1)], [account(1)])
    with switch.open(home) as engine:
        run(engine, [line(1, benefit="NONE")], "A")
    out = command("status", home, "--line", "A:1")
    assert "None" not in out.out
    assert out.out.startswith("A:1  - 2026-11")
    assert command("status", home, "--line", "A:1", "--json").document["benefit"] is None


def test_screens__totals_of_a_day_add_up(tmp_path: Path) -> None:
    home = home_of(tmp_path / "h", 6)
    with switch.open(home) as engine:
        take(engine, tmp_path / "said", said(1), said(2))
        take(engine, tmp_path / "back", back(3))
    out = command("close", home, "--at", LATER).out
    found = re.search(r"payable to receivers: ([\d,]+) = (.*)", out)
    assert found is not None, out
    whole, parts = found.groups()
    number = [int(n.replace(",", "")) for n in (whole, *re.findall(r"[\d,]{2,}", parts))]
    assert number[0] == sum(number[1:]) > 0
    assert "returned: 1,000,003" in out
    empty = make_home(tmp_path / "empty", [person(1)], [account(1)])
    with switch.open(empty) as engine:
        run(engine, [line(9)], "A")
    out = command("close", empty, "--at", "2026-11-26").out
    assert "lines: none" in out
    assert not re.search(r": *$", out.replace("in dong:", ""), re.MULTILINE)


def test_screens__a_reissue_is_open_until_it_is_paid(tmp_path: Path) -> None:
    home = home_of(tmp_path / "h", 4)
    with switch.open(home) as engine:
        take(engine, tmp_path / "back", back(1), back(2))
        assert engine.status().open["reissued"]["count"] == 0
        engine.reissue([("A", 1), ("A", 2)], at=LATER)
        free = engine.status().open["reissued"]
        assert (free["count"], free["sum"], free["since"]) == (2, 2_000_003, LATER)
    out = flat(command("status", home).out)
    assert f"free for a re-issue, not paid again 2 2,000,003 {LATER}" in out
    assert "2 lines free for a re-issue, not paid again: switch run" in out
    with switch.open(home) as engine:
        run(engine, [line(1)], "AGAIN", value_date="2026-12-01")
        assert engine.status().open["reissued"]["count"] == 1
        run(engine, [line(2)], "MORE", value_date="2026-12-02")
        assert engine.status().open["reissued"]["count"] == 0
    assert "re-issue" not in command("status", home).out


def test_screens__answers_are_those_of_a_day_and_lines_are_not(tmp_path: Path) -> None:
    home = home_of(tmp_path / "h", 4)
    with switch.open(home) as engine:
        take(engine, tmp_path / "said", said(1))
    out = command("status", home, "--batch", "A").out
    assert f"Sent lines by what was answered, as of {LATER}" in out


def test_screens__a_note_says_what_it_did(tmp_path: Path) -> None:
    home = home_of(tmp_path / "h", 4)
    with switch.open(home) as engine:
        take(engine, tmp_path / "odd", said(1, amount=7))
    words = ("breaks", home, "--class", "AMOUNT", "--by", "An", "--note", "so be it")
    assert command(*words, "--accept").out == "1 break accepted\n"
    assert command(*words, "--accept").out == (
        f"1 break accepted already, at {LATER}: nothing is new\n"
    )
    assert command(*words, "--accept", "--json").document["new"] is False
    assert command(*words, "--withdraw").out == "1 break no more accepted\n"
    assert command(*words[:-1], "asked").out == "1 break noted\n"
    assert "noted already" in command(*words[:-1], "asked").out


# --- interrupted ----------------------------------------------------------------------------------


def _interrupted_in(monkeypatch: pytest.MonkeyPatch, before: bool) -> None:
    """Ctrl-C before the next commit of a home, or when it has happened."""
    from switch.home.store import Home

    commit = Home.commit

    def broken_off(home: Home, **said: Any) -> Any:
        if not before:
            commit(home, **said)
        raise KeyboardInterrupt

    monkeypatch.setattr(Home, "commit", broken_off)


def _calendar(folder: Path) -> Path:
    return home_of(folder / "h", 4, CALENDAR)


def _plain(folder: Path) -> Path:
    home = home_of(folder / "h", 4)
    with switch.open(home) as engine:
        take(engine, folder / "odd", said(1, amount=7))
        take(engine, folder / "back", back(2))
    pq.write_table(accounts_table([account(50)]), folder / "accounts")
    pq.write_table(pa.Table.from_pylist(list(PARTICIPANTS)), folder / "participants")
    pq.write_table(pa.table({"participant": ["970001"], "balance": [5]}), folder / "balances")
    write(folder / "said", [said(3)])
    return home


CASES: dict[str, tuple[Callable[[Path], Path], list[str], str]] = {
    "settle": (_calendar, ["settle", "HOME"], "a cycle is closed"),
    "register": (_plain, ["register", "HOME", "--accounts", "DIR/accounts"],
                 "the registers are loaded"),
    "directory": (_plain, ["directory", "HOME", "--participants", "DIR/participants"],
                  "the directory is changed"),
    "balances": (_plain, ["directory", "HOME", "--balances", "DIR/balances"],
                 "the balances are set"),
    "reconcile": (_plain, ["reconcile", "HOME", "DIR/said"], "the answers are taken in"),
    "dispose": (_plain, ["dispose", "HOME", "--write-back", "--yes"], "the lines are disposed of"),
    "close": (_plain, ["close", "HOME", "--at", LATER], "the day is signed"),
    "breaks": (_plain, ["breaks", "HOME", "--class", "AMOUNT", "--note", "x", "--by", "An"],
               "the note is recorded"),
}  # fmt: skip


def test_interrupt__has_words_for_every_record() -> None:
    """Of audit records that a command makes; others are told by their kind."""
    source = "".join(p.read_text("utf-8") for p in Path(switch.__file__).parent.rglob("*.py"))
    kinds = set(re.findall(r"kind=\"([a-z]+)\",\n\s+detail", source))
    assert kinds <= set(DONE), kinds - set(DONE)


@pytest.mark.parametrize("before", [True, False])
@pytest.mark.parametrize("name", CASES)
def test_interrupt__says_what_stands_now(
    name: str, before: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, words, done = CASES[name]
    home = made(tmp_path)
    _interrupted_in(monkeypatch, before)
    words = [w.replace("HOME", str(home)).replace("DIR", str(tmp_path)) for w in words]
    told = command(*words, "--json")
    last = told.err.splitlines()[-1]
    assert told.code == 130
    assert told.document["error"]["what"] == last
    if before:
        assert last == f"interrupted: nothing of it is done, and {home} is as before it"
    else:
        assert last.startswith(f"interrupted: {done}: this stands")
    monkeypatch.undo()
    assert command(*words, "--json").code in (0, 1)


@pytest.mark.parametrize("before", [True, False])
def test_interrupt__says_whether_a_home_is_made(
    before: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pq.write_table(pa.Table.from_pylist(list(PARTICIPANTS)), tmp_path / "p")
    pq.write_table(pa.Table.from_pylist(list(DEBTORS)), tmp_path / "d")
    from switch.settlement import setup

    create = setup.create_home

    def broken_off(*given: Any) -> None:
        if not before:
            create(*given)
        raise KeyboardInterrupt

    monkeypatch.setattr(setup, "create_home", broken_off)
    new = tmp_path / "new"
    told = command("init", new, "--participants", tmp_path / "p", "--debtors", tmp_path / "d")
    assert told.code == 130
    text = f"{new} is not made" if before else f"{new} is made, and complete"
    assert told.err.splitlines()[-1] == f"interrupted: {text}"
    assert (new / "catalog.sqlite").exists() is not before


# --- what comes next ------------------------------------------------------------------------------


def test_settle__says_what_comes_next(tmp_path: Path) -> None:
    home = tmp_path / "h"
    with make(home, Settings(cutoffs=("11:00", "15:30")), {"A": 1, "B": 0}) as engine:
        run(engine, lines("KBNN > A 60"), "X", at="2026-11-25T08:00")
    early = command("settle", home, "--at", "2026-11-25T09:00").out
    assert f"next: switch settle {home} --cycle 20261125-1" in early
    closed = command("settle", home, "--close", "--at", "2026-11-25T11:00").out
    assert f"next: switch settle {home} --cycle 20261125-1" in closed
    done = command("settle", home, "--at", "2026-11-25T11:05").out
    assert f"files: {home}/out/cycles/20261125-1" in done
    assert f"next: switch reconcile {home} ANSWERS..." in done


def test_settle__asks_for_funds_where_they_lack(tmp_path: Path) -> None:
    home = tmp_path / "h"
    with make(home, Settings(cutoffs=("11:00",)), {"A": 100, "B": 0}) as engine:
        run(engine, lines("A > B 80"), "X", at="2026-11-25T08:00")
        less = pa.table({"participant": ["A"], "balance": [10]})
        engine.change_directory(balances=less, at="2026-11-25T09:00")
    out = command("settle", home, "--at", "2026-11-25T11:00").out
    assert "A lacks 70 dong" in out
    assert f"next: switch directory {home} --balances FILE" in out


def test_screens__one_is_not_many(tmp_path: Path) -> None:
    tables = {
        "participants": pa.Table.from_pylist(list(PARTICIPANTS[:1])),
        "debtors": pa.Table.from_pylist(list(DEBTORS[:1])),
        "population": people_table([person(1)]),
        "accounts": accounts_table([account(1)]),
    }
    for name, table in tables.items():
        pq.write_table(table, tmp_path / name)
    home = tmp_path / "home"
    words = [w for n in ("participants", "debtors") for w in (f"--{n}", tmp_path / n)]
    assert "1 participant, 1 debtor, " in command("init", home, *words).out
    words = [w for n in ("population", "accounts") for w in (f"--{n}", tmp_path / n)]
    assert "loaded 1 person, 1 account\n" in command("register", home, *words).out
    assert "1 participant, 1 debtor" in command("directory", home).out


# --- wrong columns, and what stands already -------------------------------------------------------


@pytest.mark.parametrize(
    ("column", "wrong"), [("benefit", "benefits"), ("amount", "amounts"), ("period", "Period")]
)
def test_missing_column__names_one_that_looks_like_it(
    column: str, wrong: str, tmp_path: Path
) -> None:
    home = make_home(tmp_path / "h", [person(1)], [account(1)])
    table = payment_table([line(1)]).rename_columns({column: wrong})
    path = tmp_path / "t.parquet"
    write_table(payment_table([line(1)]), path)
    pq.write_table(table.append_column("zone", pa.array(["x"])), path)
    write_dossier(path, 1, 1_000_001)
    error = command("run", home, path, "--json").document["error"]
    assert (error["rule"], error["column"]) == ("HEADER_MISMATCH", column)
    assert f"is {wrong} the column {column}? then call it so" in error["remedy"]


def test_rehearse__counts_what_stands_in_the_open_cycle(tmp_path: Path) -> None:
    home = tmp_path / "h"
    with make(home, Settings(cutoffs=("11:00",))) as engine:
        run(engine, lines("A > B 50"), "X")
    table = write_table(payment_table(lines("A > C 30", 11)), tmp_path / "t", batch_id="T")
    told = switch.rehearse(home, [table])
    (cycle,) = told["cycles"]
    nets = {row["participant"]: (row["net"], row["needs"]) for row in cycle["participants"]}
    assert nets == {"A": (-80, 80), "B": (50, 0), "C": (30, 0)}
    assert [(p["batch_id"], p["nets"].get("A")) for p in told["curve"]] == [("", -50), ("T", -30)]
    with switch.open(home) as engine:
        engine.run(table)
        (answer,) = engine.settle()
    paid = {row["participant"]: row["amount"] for row in answer["participants"]}
    assert paid == {"A": 80, "B": 50, "C": 30}
    picture = tmp_path / "p.svg"
    assert command("rehearse", home, table, "--picture", picture).code == 0
