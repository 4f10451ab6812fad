"""Totals of a table that was run, by its own columns and by where its lines stand: all add up."""

from __future__ import annotations

import sqlite3
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from answering import CALENDAR, RECEIVERS, back, said, take, transfer
from scene import (
    BANK_ACCOUNT,
    account,
    command,
    line,
    make_home,
    new_checkpoint,
    payment_table,
    person,
    run,
    write_file,
    write_table,
)

import switch
from switch.engine import Engine
from switch.errors import InputRefused, UsageError, VerificationFailed
from switch.open_items import totals as adding
from switch.present import STANDS
from switch.registry.settings import Settings

HOAN_KIEM, BA_DINH, TRUONG_SA = "00070", "00004", "22736"
COMMUNES = (HOAN_KIEM, BA_DINH, TRUONG_SA, "99999", None)
TOLD = {"REJECTED": "refused"}
"""States of a timeline by another word than that of totals."""


def rows_of(count: int) -> list[dict[str, Any]]:
    """Lines of three receivers in five communes, one of which nobody knows and one of which is
    none; two debtor accounts, two benefits, two periods. Nobody has an account but for the first
    fourteen, and there are sixteen people."""
    return [
        line(
            n,
            commune=COMMUNES[n % 5],
            benefit="PENS" if n % 2 else "SASS",
            period=202611 if n % 7 else 202610,
            **({"debtor_account": BANK_ACCOUNT} if n % 4 == 0 else {}),
        )
        for n in range(1, count + 1)
    ]


def home_of(path: Path, settings: Settings | None = None) -> Path:
    accounts = [
        account(n, participant=RECEIVERS[n % 3], kind="wallet" if n % 3 == 2 else "bank")
        for n in range(1, 15)
    ]
    return make_home(path, [person(n) for n in range(1, 17)], accounts, settings=settings)


@pytest.fixture
def plain(tmp_path: Path) -> tuple[Path, Path]:
    """A home and the file that it ran, of which a line or more stands in each state that a home
    without a calendar has."""
    home = home_of(tmp_path / "h", Settings(held_days=3))
    table = write_table(payment_table(rows_of(18)), tmp_path / "a.parquet", batch_id="A")
    with switch.open(home) as engine:
        engine.run(table)
        engine.cancel_lines([("A", 15)], by="a clerk", why="moved away")
        engine.expire("2026-12-05")
        take(engine, home, *(said(n) for n in (1, 2, 3)), at="2026-12-05")
        take(engine, home, *(back(n) for n in (4, 5, 6, 7)), at="2026-12-05")
        engine.write_back([("A", 4)])
        engine.reissue([("A", 5)])
    return home, table


@pytest.fixture
def calendar(tmp_path: Path) -> tuple[Path, Path]:
    """Totals with a calendar: a line was recalled in time, another refused by its receiver, two
    that waited cleared later, and a cycle is open."""
    home = home_of(tmp_path / "h", CALENDAR)
    table = write_table(payment_table(rows_of(18)), tmp_path / "a.parquet", batch_id="A")
    with switch.open(home) as engine:
        engine.run(table, at="2026-11-25T09:00")
        engine.recall([("A", 1)], reason="DUPL", by="a clerk", why="twice", at="2026-11-25T10:00")
        take(engine, home, said(2, "RJCT"), at="2026-11-25T10:00")
        engine.settle("20261125-1")
        more = [account(n, participant=RECEIVERS[n % 3]) for n in (15, 16)]
        engine.register(accounts=pa.Table.from_pylist(more))
        run(engine, [line(14, period=202612)], "B", at="2026-11-25T14:00")
    return home, table


def by_hand(engine: Engine, table: Path, key: str) -> dict[str | None, Counter[str]]:
    """Lines and money by state of each key, from the timeline of every single line."""
    found: dict[str | None, Counter[str]] = {}
    for row in pq.read_table(table).to_pylist():
        states = engine.line("A", row["line_no"])["states"]
        state = TOLD.get(states[-1]["state"], states[-1]["state"].lower())
        if "recalled before its cycle settled" in states[-1]["text"]:
            state = "recalled"
        value = states[-1]["participant"] if key == "participant" else row[key]
        sums = found.setdefault(value, Counter())
        for name, number in (("lines", 1), ("sum", row["amount"])):
            sums[name] += number
            sums[f"{state}_{name}"] += number
    return found


@pytest.mark.parametrize("key", ["commune", "benefit", "debtor_account", "participant"])
@pytest.mark.parametrize("kind", ["plain", "calendar"])
def test_totals__are_those_of_the_timelines_of_all_lines(
    kind: str, key: str, request: pytest.FixtureRequest
) -> None:
    home, table = request.getfixturevalue(kind)
    with switch.open(home, mode="r") as engine:
        found = engine.totals(table, by=key)
        expected = by_hand(engine, table, key)
        for row in found.rows():
            sums = expected.pop(row["key"])
            assert {n: v for n, v in row.items() if v and n not in ("key", "name")} == dict(sums)
        assert not expected
        now = engine.batch("A")["now"]
    keys = [row["key"] for row in found.rows()]
    assert keys == sorted(keys, key=lambda one: (one is None, one or ""))
    states = {
        "plain": "settled unapplied credited returned written_back reissued refused cancelled",
        "calendar": "cleared settled refused recalled",
    }[kind]
    assert set(states.split()) - {"settled" if kind == "plain" else ""} <= set(found.states)
    for column in found.table.column_names[2:]:
        total = sum(found.table[column].to_pylist())
        state, _, what = column.rpartition("_")
        name = "count" if what == "lines" else "sum"
        told = found.total if not state else found.states.get(state, {"count": 0, "sum": 0})
        assert total == told[name]  # type: ignore[literal-required]
    refused = sum(found.states.get(name, {"count": 0})["count"] for name in STANDS[8:])
    assert refused == now["refused"]["count"]
    assert found.total == {"count": 18, "sum": sum(1_000_000 + n for n in range(1, 19))}


def test_totals__name_communes_provinces_benefits_and_participants(
    plain: tuple[Path, Path],
) -> None:
    home, table = plain
    with switch.open(home, mode="r") as engine:

        def named(by: str) -> list[tuple[str | None, str | None, int]]:
            rows = engine.totals(table, by=by).rows()
            return [(row["key"], row["name"], row["lines"]) for row in rows]

        assert named("commune") == [
            (BA_DINH, "Phường Ba Đình", 4),
            (HOAN_KIEM, "Phường Hoàn Kiếm", 3),
            (TRUONG_SA, "Đặc khu Trường Sa", 4),
            ("99999", None, 4),
            (None, None, 3),
        ]
        assert named("province") == [("01", "Hà Nội", 7), ("56", "Khánh Hòa", 4), (None, None, 7)]
        assert named("period") == [("2026-10", None, 2), ("2026-11", None, 16)]
        assert [(key, lines) for key, _, lines in named("participant")] == [
            (RECEIVERS[0], 4), (RECEIVERS[1], 5), (RECEIVERS[2], 5), (None, 4)
        ]  # fmt: skip
        assert named("participant")[0][1] == f"B{RECEIVERS[0]}"
        assert named("creditor_agent") == [(None, None, 18)]
        assert [key for key, _, _ in named("benefit")] == ["PENS", "SASS"]
        assert all(name for _, name, _ in named("benefit"))


def test_totals__take_any_other_column_of_texts(tmp_path: Path) -> None:
    home = home_of(tmp_path / "h")
    table = payment_table(rows_of(6))
    desk = pa.array(["north", "south", None, "north", "", "south"])
    table = table.append_column("desk", desk.dictionary_encode())
    table = table.append_column("number", pa.array(range(6)))
    table = table.append_column("cccd", pa.array([f"{n:012d}" for n in range(6)]))
    file = write_table(table, tmp_path / "a.parquet", batch_id="A")
    assert command("run", home, file).code == 0
    found = command("totals", home, file, "--by", "desk", "--json").document
    assert [(row["key"], row["lines"]) for row in found["totals"]] == [
        ("north", 2), ("south", 2), (None, 2)
    ]  # fmt: skip
    for key, what in (("number", "is int64"), ("nothing", "has no column 'nothing' with a text")):
        refused = command("totals", home, file, "--by", key)
        assert refused.code in (2, 3)
        assert what in refused.err
    refused = command("totals", home, file, "--by", "cccd")
    assert refused.code == 2
    assert "ids of people" in refused.err
    assert "000000000001" not in refused.err


@pytest.mark.parametrize("key", adding.PERSONAL)
def test_totals__name_nobody(key: str, plain: tuple[Path, Path]) -> None:
    refused = command("totals", *plain, "--by", key)
    assert refused.code == 2
    assert "names a person or one line" in refused.err


def test_totals__refuse_a_column_that_brings_no_lines_together(
    plain: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(adding, "KEYS_MAX", 4)
    refused = command("totals", *plain, "--by", "commune")
    assert refused.code == 2
    assert "more than 4 keys" in refused.err


def test_totals__refuse_another_file_and_say_which_is_meant(
    plain: tuple[Path, Path], tmp_path: Path
) -> None:
    home, table = plain
    other = write_file(payment_table(rows_of(17)), tmp_path / "b.parquet", "parquet")
    refused = command("totals", home, other, "--by", "commune")
    assert (refused.code, "no batch of this home ran this file" in refused.err) == (3, True)
    assert "give the very file that was run" in refused.err
    refused = command("totals", home, other, "--by", "commune", "--batch", "A")
    assert (refused.code, "batch 'A' of 'VSS' ran another file" in refused.err) == (3, True)
    same = write_file(payment_table(rows_of(18)), tmp_path / "c.csv", "csv")
    assert command("totals", home, same, "--by", "commune", "--batch", "A").code == 3
    assert command("totals", home, table, "--by", "commune", "--batch", "NONE").code == 2
    again = write_table(pq.read_table(table), tmp_path / "again.parquet", batch_id="TWICE")
    assert command("run", home, again).code == 0
    refused = command("totals", home, table, "--by", "commune")
    assert (refused.code, "was run as VSS:A, VSS:TWICE" in refused.err) == (2, True)
    second = command("totals", home, table, "--by", "commune", "--batch", "TWICE", "--json")
    assert second.document["states"]["refused"]["count"] > 10
    first = command("totals", home, table, "--by", "commune", "--batch", "A", "--json")
    assert first.document["states"]["credited"]["count"] == 3


@pytest.mark.parametrize("form", ["memory", "parquet", "csv"])
def test_totals__know_rows_from_memory_in_any_form(form: str, tmp_path: Path) -> None:
    home = home_of(tmp_path / "h")
    table = payment_table(rows_of(18))
    other = table.set_column(5, "amount", pa.array(range(1, 19)))
    with switch.open(home) as engine:
        run(engine, table, "A")

        def of(rows: pa.Table, batch: str | None = "A") -> Any:
            given: Any = rows
            if form != "memory":
                given = write_file(rows, tmp_path / "x", form)
            return engine.totals(given, by="province", batch=batch)

        assert [row["lines"] for row in of(table).rows()] == [7, 4, 7]
        for wrong in (
            other,
            table[:17],
            payment_table(rows_of(19)),
            table.take([*range(17, -1, -1)]),
        ):
            with pytest.raises(InputRefused, match="ran other rows"):
                of(wrong)
        error = UsageError if form == "memory" else InputRefused
        with pytest.raises(error, match="name it" if form == "memory" else "name its batch"):
            of(table, None)


def test_totals__are_the_same_whatever_the_chunks(
    plain: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    home, table = plain
    with switch.open(home, mode="r") as engine:
        whole = {by: engine.totals(table, by=by).table for by in adding.KEYS}
        monkeypatch.setattr(adding, "CHUNK_ROWS", 5)
        for by, expected in whole.items():
            assert engine.totals(table, by=by).table.equals(expected)


def test_totals__refuse_to_tell_what_does_not_add_up(
    plain: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    home, table = plain
    with sqlite3.connect(home / "catalog.sqlite") as catalog:
        catalog.execute("UPDATE batches SET summary = replace(summary, '18000171', '18000172')")
    new_checkpoint(home)
    refused = command("totals", home, table, "--by", "commune")
    assert refused.code == 5
    assert "look with `switch verify`" in refused.err


def test_totals__add_up_in_each_state_alone(
    plain: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A line too many in one state and too few in another is found, though the whole is right."""
    home, table = plain
    states = adding.present.line_states

    def wrong(*asked: Any) -> Any:
        found = states(*asked)
        found[0], found[15] = found[15], found[0]
        return found

    monkeypatch.setattr(adding.present, "line_states", wrong)
    with (
        switch.open(home, mode="r") as engine,
        pytest.raises(VerificationFailed, match="lines that are credited come to"),
    ):
        engine.totals(table, by="commune")


def test_totals__of_amounts_beyond_64_bits(tmp_path: Path) -> None:
    """Amounts that are refused may be as large as they like: halves of them are added up."""
    home = home_of(tmp_path / "h")
    amounts = [2**62, 2**62, -(2**63) + 5, -7, 2**40 - 1, 2**33 + 1]
    rows = payment_table([line(n, amount=a) for n, a in enumerate(amounts, 1)])
    rows = rows.set_column(9, "commune", pa.array(["a", "a", "b", "b", "c", "c"]))
    with switch.open(home) as engine:
        run(engine, rows, "A")
        found = engine.totals(rows, by="benefit", batch="A")
        assert found.rows()[0]["refused_sum"] == sum(amounts)
        with pytest.raises(UsageError, match="leave 64 bits"):
            engine.totals(rows, by="commune", batch="A")


def test_totals__are_written_and_shown(plain: tuple[Path, Path], tmp_path: Path) -> None:
    home, table = plain
    shown = command("totals", home, table, "--by", "commune")
    assert shown.code == 0
    assert "Phường Ba Đình" in shown.out
    assert "none" in shown.out
    assert "18 lines, 18,000,171 dong" in shown.out
    told = command("totals", home, table, "--by", "commune", "--lang", "vi")
    assert "Các dòng của A, tính đến" in told.out
    for name in ("t.csv", "t.parquet", "t.arrow"):
        out = tmp_path / name
        assert command("totals", home, table, "--by", "commune", "--out", out).code == 0
    found = pq.read_table(tmp_path / "t.parquet")
    assert found["key"].to_pylist()[-1] is None
    assert sum(found["lines"].to_pylist()) == 18
    text = (tmp_path / "t.csv").read_text("utf-8-sig").splitlines()
    assert len(text) == 6
    assert text[-1].startswith(",,3,")
    assert command("totals", home, table, "--by", "commune", "--out", home / "x.csv").code == 2
    with switch.open(home, mode="r") as engine:
        totals = engine.totals(table, by="commune")
        assert pa.table(totals).equals(totals.table)
        assert repr(totals).startswith("<A by commune: 5 rows, 18 lines, 18,000,171 dong")
        assert "Phường Ba Đình" in totals._repr_html_()
        assert totals.as_of == engine.status().at


def test_totals__know_a_line_by_its_number_and_not_by_its_place(tmp_path: Path) -> None:
    home = home_of(tmp_path / "h")
    table = payment_table(rows_of(18)).take(np.random.default_rng(1).permutation(18).tolist())
    file = write_table(table, tmp_path / "a.parquet", batch_id="A")
    assert command("run", home, file).code == 0
    with switch.open(home) as engine:
        take(engine, home, said(3), at="2026-11-27")
        credited = [
            row["key"] for row in engine.totals(file, by="commune").rows() if row["credited_lines"]
        ]
        assert credited == [COMMUNES[3]]
    assert transfer(3) == "20261125-000001-0000000003"
