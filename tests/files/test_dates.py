"""Dates at the doors: years are 1900 to 2999 in every form, texts are exactly yyyy-mm-dd.

Every door is tried with the same edges: what is odd is refused and changes nothing, what is just in
bounds is taken. A home from before this rule, with batches of years below 1000, goes on.
"""

from __future__ import annotations

import datetime as dt
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import scene
from hypothesis import given
from hypothesis import strategies as st
from scene import BANK, account, command, line, make_home, person, person_id, run, tree_digest

import switch
from switch.clearing.intake import Declared
from switch.errors import InputRefused, UsageError
from switch.files import columns
from switch.files.tables import open_table
from switch.schema import ACCOUNTS, DAY_FIRST, DAY_LAST, DAY_MAX, DAY_MIN, POPULATION, STATEMENT

EPOCH = dt.date(1970, 1, 1)
FIRST, LAST = dt.date(1900, 1, 1), dt.date(2999, 12, 31)
ODD_TEXTS = {
    "0001-01-01": "DATE_INVALID",
    "0999-12-31": "DATE_INVALID",
    "1899-12-31": "DATE_INVALID",
    "3000-01-01": "DATE_INVALID",
    "9999-12-31": "DATE_INVALID",
    "2026-02-29": "DATE_INVALID",
    "0000-01-01": "DATE_INVALID",
    "1999999999": "DATE_FORMAT",
    "9999999-01": "DATE_FORMAT",
    "0912345678": "DATE_FORMAT",
    "20261125": "DATE_FORMAT",
    "2026-W48-3": "DATE_FORMAT",
    "2026-330": "DATE_FORMAT",
    "31/12/2025": "DATE_FORMAT",
    "2026-11-25T00:00": "DATE_FORMAT",
    " 2026-11-25": "DATE_FORMAT",
    "２０２６-11-25": "DATE_FORMAT",
    "+2026-11-2": "DATE_FORMAT",
    "NaT": "DATE_FORMAT",
    "today": "DATE_FORMAT",
}
DOORS = [
    (table, column.name)
    for table in (POPULATION, ACCOUNTS, STATEMENT)
    for column in table.columns
    if column.kind.name == "DATE"
]
ROWS: dict[str, dict[str, Any]] = {
    POPULATION.name: person(1) | {"status_since": dt.date(1990, 1, 1)},
    ACCOUNTS.name: account(1) | {"valid_from": FIRST, "valid_to": LAST},
    STATEMENT.name: {
        "account": "T.RETURNS",
        "entry_id": "E",
        "transfer_id": None,
        "end_to_end_id": "X",
        "amount": 5,
        "side": "C",
        "booked_on": dt.date(2026, 11, 27),
    },
}


def csv_of(path: Path, table: Any, column: str, values: list[str]) -> Path:
    rows = [ROWS[table.name] | {column: value} for value in values]
    lines = [",".join(rows[0]), *(",".join(str(v or "") for v in r.values()) for r in rows)]
    path.write_text("\n".join(lines) + "\n", "utf-8")
    return path


def typed(table: Any, column: str, values: pa.Array) -> pa.Table:
    rows = pa.Table.from_pylist([ROWS[table.name]] * len(values))
    return rows.set_column(rows.schema.get_field_index(column), column, values)


@pytest.mark.parametrize(("table", "column"), DOORS)
def test_dates__of_a_text_are_exactly_written_and_of_known_years(
    table: Any, column: str, tmp_path: Path
) -> None:
    for text, rule in ODD_TEXTS.items():
        path = csv_of(tmp_path / "odd.csv", table, column, ["2026-11-25", text])
        with pytest.raises(InputRefused) as refused:
            list(open_table(path, table).chunks())
        found = refused.value
        assert (found.rule, found.row, found.column) == (rule, 2, column), text
        assert found.file == str(path)
    path = csv_of(tmp_path / "good.csv", table, column, ["1900-01-01", "2999-12-31"])
    [chunk] = open_table(path, table).chunks()
    assert chunk[column].tolist() == [DAY_FIRST, DAY_LAST]


@pytest.mark.parametrize(("table", "column"), DOORS)
@pytest.mark.parametrize("form", ["date32", "date64", "s", "ms", "us", "ns"])
def test_dates__of_a_type_are_of_known_years(table: Any, column: str, form: str) -> None:
    kinds = {"date32": pa.date32(), "date64": pa.date64()}
    kind = kinds.get(form) or pa.timestamp(form)
    size = {"date32": 1, "date64": 86_400_000}.get(form) or columns._DAY_UNITS[form]
    width = 32 if form == "date32" else 64
    good, odd = [DAY_FIRST, DAY_LAST], [DAY_FIRST - 1, DAY_LAST + 1, -719_163, 10**7]
    fits = [day for day in good if abs(day * size) < 2 ** (width - 1)]

    def column_of(values: list[int]) -> pa.Array:
        return pa.array(values, pa.int32() if width == 32 else pa.int64()).cast(kind)

    if fits:
        [chunk] = open_table(
            typed(table, column, column_of([d * size for d in fits])), table
        ).chunks()
        assert chunk[column].tolist() == fits
    edges = [-(2 ** (width - 1)), 2 ** (width - 1) - 1]
    for value in [d * size for d in odd if abs(d * size) < 2 ** (width - 1)] + edges:
        with pytest.raises(InputRefused) as refused:
            list(open_table(typed(table, column, column_of([0, value])), table).chunks())
        # An edge of the type has a time of day, too.
        assert refused.value.rule == "DATE_INVALID" or (
            value in edges and refused.value.rule == "TYPE"
        )
        assert (refused.value.row, refused.value.column) == (2, column)


def test_dates__that_are_absent_are_before_or_after_all_others(tmp_path: Path) -> None:
    days = pa.array([None, dt.date(2026, 11, 25)])
    for column, absent in (("valid_from", DAY_MIN), ("valid_to", DAY_MAX)):
        [chunk] = open_table(typed(ACCOUNTS, column, days), ACCOUNTS).chunks()
        assert chunk[column].tolist() == [absent, (dt.date(2026, 11, 25) - EPOCH).days]
    path = csv_of(tmp_path / "none.csv", POPULATION, "birth_date", [""])
    with pytest.raises(InputRefused, match=r"DATE_MISSING: the date is empty.*column birth_date"):
        list(open_table(path, POPULATION).chunks())


@given(st.text("0123456789-/ WT:+Z", min_size=8, max_size=12) | st.dates().map(str))
def test_dates__of_any_text_are_those_that_python_writes(text: str) -> None:
    """The slow twin: a text is a date where writing that date gives the text again."""
    try:
        day = dt.date.fromisoformat(text)
        is_date = day.isoformat() == text and FIRST <= day <= LAST
    except ValueError:
        is_date = False
    array = pa.array([text])
    if is_date:
        assert columns.read_days(array, DAY_MIN).tolist() == [(day - EPOCH).days]
    else:
        with pytest.raises(columns.BadValue):
            columns.read_days(array, DAY_MIN)


def test_dates__a_deceased_person_is_not_paid_by_a_date_that_wraps(tmp_path: Path) -> None:
    home = make_home(tmp_path / "home", [person(1)], [account(1)])
    path = tmp_path / "people.csv"
    for since in ("1999999999", "9999999-01", "0912345678"):
        path.write_text(
            "person_id,name,birth_date,status,status_since\n"
            f"{person_id(1)},{scene.NAME},1950-01-01,deceased,{since}\n"
        )
        before = tree_digest(home)
        assert command("register", home, "--population", path).code == 3
        assert tree_digest(home) == before


# --- the dossier, and times -----------------------------------------------------------------------


@pytest.mark.parametrize("day", ["0001-01-01", "0999-12-31", "1899-12-31", "3000-01-01"])
def test_dates__a_value_date_of_no_known_year_is_refused(day: str, tmp_path: Path) -> None:
    home = make_home(tmp_path / "home", [person(1)], [account(1)])
    table = scene.payment_table([line(1)])
    path = scene.write_table(table, tmp_path / "table", value_date=day)
    before = tree_digest(home)
    for words in (("run", home, path), ("run", home, path, "--at", "2026-11-25")):
        said = command("--json", *words)
        error = said.document["error"]
        assert (said.code, error["rule"], error["column"]) == (3, "DATE_INVALID", "value_date")
    with switch.open(home) as engine:
        for value in (day, dt.date.fromisoformat(day)):
            with pytest.raises(InputRefused, match=r"DATE_INVALID.*column value_date"):
                run(engine, table, value_date=value)
        for odd in ("20261125", "2026-W48-3", "1999999999", "9999999-01", "", None, 5):
            with pytest.raises(UsageError):
                run(engine, table, value_date=odd)
    assert tree_digest(home) == before


@pytest.mark.parametrize("day", ["1900-01-01", "2999-12-31"])
def test_dates__the_first_and_the_last_day_are_taken(day: str, tmp_path: Path) -> None:
    home = make_home(tmp_path / "home", [person(1)], [account(1)])
    with switch.open(home) as engine:
        assert run(engine, [line(1)], value_date=day).cycle == f"{day.replace('-', '')}-000001"
        engine.reconcile()
        engine.close_day(day)
    assert command("verify", home).code == 0


ODD_TIMES = [
    *("0001-01-01", "0999-12-31", "1899-12-31", "3000-01-01", "9999-12-31"),
    *("9999-12-31T23:59:59+00:00", "0001-01-01T00:00:00+14:00", "2999-12-31T23:00:00Z"),
    "1899-12-31T20:00:00Z",
    *("20261125", "2026-W48-3", "20261125T080000", "2026-11-25T25:00", "2026-11-25 ", "x"),
    *("1999999999", "9999999-01", "2026-11-25\n", "２０２６-11-25"),
]


@pytest.mark.parametrize("at", ODD_TIMES)
def test_dates__of_a_time_are_of_known_years_at_every_door(at: str, tmp_path: Path) -> None:
    tables = make_home(tmp_path / "home", [person(1)], [account(1)]), tmp_path / "people.parquet"
    home, people = tables
    pq.write_table(scene.people_table([person(1)]), people)
    path = scene.write_table(scene.payment_table([line(1)]), tmp_path / "table")
    directory = tmp_path / "participants.parquet"
    pq.write_table(pa.Table.from_pylist(list(scene.PARTICIPANTS)), directory)
    before = tree_digest(home)
    commands: list[tuple[Any, ...]] = [
        ("directory", home, "--participants", directory),
        ("register", home, "--population", people),
        ("run", home, path),
        ("rehearse", home, path),
        ("settle", home),
        ("reconcile", home),
        ("dispose", home, "--write-back", "--yes"),
        ("close", home),
        ("scrub", home, "--copy", home),
    ]
    for words in commands:
        assert command(*words, "--at", at).code == 2, words
    with switch.open(home) as engine:
        calls: list[Callable[[], Any]] = [
            lambda: run(engine, [line(1)], at=at),
            lambda: engine.register(population=people, at=at),
            lambda: engine.change_directory(participants=directory, at=at),
            lambda: engine.settle(at=at),
            lambda: engine.reconcile(at=at),
            lambda: engine.write_back(at=at),
            lambda: engine.reissue(at=at),
            lambda: engine.close_day(at),
        ]
        for call in calls:
            with pytest.raises(UsageError):
                call()
    with pytest.raises(UsageError):
        make_home(tmp_path / "other", at=at)
    assert tree_digest(home) == before


@pytest.mark.parametrize("days", ['["0999-12-31"]', "[0001-01-01]", "[3000-01-01]", '["20260101"]'])
def test_dates__of_holidays_are_of_known_years(days: str, tmp_path: Path) -> None:
    home = make_home(tmp_path / "home")
    config = tmp_path / "config.toml"
    config.write_text(f'cutoffs = ["11:00"]\nholidays = {days}\n')
    before = tree_digest(home)
    assert command("directory", home, "--config", config).code == 2
    assert tree_digest(home) == before


# --- homes from before ----------------------------------------------------------------------------


@pytest.fixture
def old_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home with batches of the years 999, 1 and 2026, as it could be made before."""
    home = make_home(tmp_path / "old", map(person, range(1, 8)), map(account, range(1, 8)))
    monkeypatch.setattr(Declared, "check", lambda self, _: self)
    monkeypatch.setattr(Declared, "require_new", lambda *_: None)
    with switch.open(home) as engine:
        for number, day in enumerate(("0999-12-31", "0001-01-01", "2026-11-25")):
            lines = [line(2 * number + n) for n in (1, 2)]
            run(engine, lines, f"B{number}", value_date=dt.date.fromisoformat(day))
    monkeypatch.undo()
    return home


def test_dates__a_home_with_old_years_reconciles_closes_and_goes_on(
    old_home: Path, tmp_path: Path
) -> None:
    with switch.open(old_home) as engine:
        ids = [engine.line(f"B{n}", 1)["states"][-1]["transfer_id"] for n in range(3)]
        assert ids == [
            *("9991231-000001-0000000001", "10101-000002-0000000001", "20261125-000003-0000000001"),
        ]
        late = engine.reconcile(at="2026-12-20")
        assert late["states"]["UNAPPLIED"] == 6
        rows = {
            "participant": [BANK] * 5,
            "transfer_id": [*ids, "9991231-000001", "009991231-000001-0000000002"],
            "amount": [1_000_001, 1_000_003, 1_000_005, 2_000_003, 1],
            "status": ["ACCC"] * 5,
            "booked_at": pa.array([dt.datetime(2026, 12, 21)] * 5, pa.timestamp("us", "UTC")),
        }
        pq.write_table(pa.table(rows), tmp_path / "answers.parquet")
        found = engine.reconcile(tmp_path / "answers.parquet", at="2026-12-21")
        assert found["states"]["CREDITED"] >= 3
        assert [engine.line(f"B{n}", 1)["states"][-1]["state"] for n in range(3)] == [
            "CREDITED"
        ] * 3
        assert run(engine, [line(7)], "NEW").cycle == "20261125-000004"
        engine.close_day("2026-12-22")
    assert command("verify", old_home).code == 0
    again = shutil.copytree(old_home, tmp_path / "copy")
    closed = command("close", again, "--at", "2026-12-23")
    assert closed.code == ("critical and not accepted" in closed.out)
    assert command("verify", again).code == 0


def test_dates__a_dossier_says_its_date_as_text_alone(tmp_path: Path) -> None:
    table = scene.write_table(scene.payment_table([line(1)]), tmp_path / "table")
    dossier = tmp_path / "table.dossier.json"
    content = json.loads(dossier.read_text())
    home = make_home(tmp_path / "home", [person(1)], [account(1)])
    for odd in ("20261125", "2026-W48-3", "1999999999", "2026-11-25T08:00:00", 20261125, None):
        dossier.write_bytes(msgspec.json.encode(content | {"value_date": odd}))
        said = command("--json", "run", home, table)
        assert (said.code, said.document["error"]["rule"]) == (3, "DOSSIER_INVALID"), odd
        assert said.document["error"]["column"] == "value_date"


@pytest.mark.parametrize("year", [9998, 9999])
def test_exchange__of_a_year_whose_days_end_is_no_traceback(
    year: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = make_home(tmp_path / "old", map(person, range(1, 8)), map(account, range(1, 8)))
    monkeypatch.setattr(Declared, "check", lambda self, _: self)
    monkeypatch.setattr(Declared, "require_new", lambda self, _: None)
    with switch.open(home) as engine:
        run(engine, [line(n) for n in range(1, 8)], "B", value_date=dt.date(year, 12, 31))
    monkeypatch.undo()
    codes = {command("exchange", home, "--seed", seed).code for seed in range(10)}
    assert codes <= ({0, 2} if year == 9999 else {0})
