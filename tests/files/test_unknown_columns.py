"""Unknown columns are told by every door that reads a table, and refused where one may be meant."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import scene
from hypothesis import given
from hypothesis import strategies as st
from scene import BANK, account, command, line, make_home, person, tree_digest

import switch
from switch.cli.main import cli
from switch.errors import InputRefused
from switch.files import tables
from switch.files.tables import UNKNOWN_MAX, _nearest, open_table
from switch.registry.directory import BALANCES, DEBTORS, PARTICIPANTS, PROGRAMMES, packaged_rows
from switch.schema import (
    ACCOUNTS,
    CONFIRMATIONS,
    PAID,
    PAYMENT,
    POPULATION,
    RETURNS,
    STATEMENT,
    Column,
    Kind,
    Table,
)

HAND_MADE = (PARTICIPANTS, DEBTORS, PROGRAMMES, BALANCES)
BIG = (PAYMENT, POPULATION, ACCOUNTS, PAID, CONFIRMATIONS, RETURNS, STATEMENT)


def refused(names: list[str], table: Table, **options: Any) -> InputRefused | None:
    """The refusal of a header, before any row is looked at. Nulls have no type of their own."""
    header = pa.table({name: pa.array([""]) for name in names})
    try:
        open_table(header, table, **options)
    except InputRefused as error:
        return error if error.rule == "HEADER_MISMATCH" else None
    return None


def names_of(table: Table, without: str = "") -> list[str]:
    return [column.name for column in table.columns if column.name != without]


@pytest.mark.parametrize("table", HAND_MADE, ids=lambda table: table.name)
def test_unknown_columns__of_tables_made_by_hand_are_refused(table: Table) -> None:
    found = refused([*names_of(table), "note"], table)
    assert found is not None
    assert (found.column, found.remedy) == ("note", "remove it")
    assert refused(names_of(table), table) is None


@pytest.mark.parametrize(
    ("table", "column", "wrong"),
    [
        (DEBTORS, "budget", "budjet"),
        (PARTICIPANTS, "net_debit_cap", "net_debit_cap_vnd"),
        (PARTICIPANTS, "amount_max", "max_amount"),
        (PROGRAMMES, "priority", "prio"),
        *((ACCOUNTS, "valid_to", wrong) for wrong in ("valid_until", "valid_till", "Valid_To")),
        *((ACCOUNTS, "valid_to", wrong) for wrong in ("valid to", "validto", "valid_end", "valid")),
        (ACCOUNTS, "valid_from", "valid_since"),
        (ACCOUNTS, "valid_from", "valid_form"),
        (POPULATION, "status_since", "status_date"),
        (POPULATION, "status_since", "statussince"),
        (PAYMENT, "creditor_account", "creditor_acount"),
        (PAYMENT, "creditor_agent", "creditor_agents"),
        (PAYMENT, "end_to_end_id", "endtoend_id"),
        (CONFIRMATIONS, "creditor_account", "creditor-account"),
        (CONFIRMATIONS, "reason", "reasom"),
        (STATEMENT, "transfer_id", "transferid"),
    ],
)
def test_unknown_columns__that_look_like_an_absent_one_are_refused(
    table: Table, column: str, wrong: str
) -> None:
    found = refused([*names_of(table, column), wrong], table)
    assert found is not None
    assert found.column in (wrong, "(not a usual name)")
    if table not in HAND_MADE:
        assert f"looks like {column!r}" in found.what or "valid_from" in found.what
        # Where the column is there, the other is one more.
        assert refused([*names_of(table), wrong], table) is None or "Valid" in wrong


@pytest.mark.parametrize("table", BIG, ids=lambda table: table.name)
@pytest.mark.parametrize("name", ["note", "branch", "zone", "gender", "comment_2"])
def test_unknown_columns__of_big_tables_are_told_and_refused_where_strict(
    table: Table, name: str
) -> None:
    names = [column.name for column in table.columns if not column.nullable]
    found = refused([*names, name], table, strict_columns=True)
    assert found is not None
    assert "--strict-columns" in found.remedy
    assert refused([*names, name], table) is None


@given(st.text("abcdefghijklmnopqrstuvwxyz_", min_size=1, max_size=20))
def test_unknown_columns__are_never_silent(name: str) -> None:
    for table in BIG:
        if name in names_of(table):
            continue
        header = [c.name for c in table.columns if not c.nullable] + [name]
        if refused(header, table) is None:
            assert refused(header, table, strict_columns=True) is not None
    for table in HAND_MADE:
        if name not in (*names_of(table), *table.beside):
            assert refused([*names_of(table), name], table) is not None


# --- commands -------------------------------------------------------------------------------------


def written(path: Path, table: pa.Table, **more: Any) -> Path:
    for name, value in more.items():
        table = table.append_column(name, pa.array([value] * len(table)))
    pq.write_table(table, path)
    return path


def test_unknown_columns__of_a_directory_change_nothing(tmp_path: Path) -> None:
    home = make_home(tmp_path / "home", [person(1)], [account(1)])
    before = tree_digest(home)
    debtors = [{k: v for k, v in row.items() if k != "budget"} for row in scene.DEBTORS]
    tables = {
        "--debtors": written(tmp_path / "d", pa.Table.from_pylist(debtors), budjet=5),
        "--participants": written(
            tmp_path / "p", pa.Table.from_pylist(list(scene.PARTICIPANTS)), limit=5
        ),
        "--programmes": written(tmp_path / "g", pa.table({"benefit": ["PENS"]}), class_=1),
        "--balances": written(
            tmp_path / "b", pa.table({"participant": [BANK], "balance": [5]}), currency="VND"
        ),
    }
    good = {
        "--participants": written(tmp_path / "p2", pa.Table.from_pylist(list(scene.PARTICIPANTS))),
        "--debtors": written(tmp_path / "d2", pa.Table.from_pylist(list(scene.DEBTORS))),
    }
    for option, path in tables.items():
        said = command("--json", "directory", home, option, path)
        error = said.document["error"]
        assert (said.code, error["rule"], error["file"]) == (3, "HEADER_MISMATCH", str(path))
        words = [word for pair in (good | {option: path}).items() for word in pair]
        assert command("init", tmp_path / "new", *words).code == 3
        assert not (tmp_path / "new").exists()
    assert tree_digest(home) == before


def test_unknown_columns__of_registers_are_told_by_command_and_library(tmp_path: Path) -> None:
    home = make_home(tmp_path / "home")
    people = written(tmp_path / "people", scene.people_table([person(1)]), gender="f")
    accounts = written(tmp_path / "accounts", scene.accounts_table([account(1)]), branch="x")
    paid = written(tmp_path / "paid", scene.paid_table([scene.entitlement(2)]), note="x")
    words = ("register", home, "--population", people, "--accounts", accounts, "--paid", paid)
    before = tree_digest(home)
    assert command(*words, "--strict-columns").code == 3
    assert tree_digest(home) == before
    said = command(*words)
    assert said.code == 0
    for path, name in ((people, "gender"), (accounts, "branch"), (paid, "note")):
        assert f"{path}: unknown column {name} is ignored" in said.err
    with switch.open(home) as engine:
        with pytest.warns(UserWarning, match="unknown column gender is ignored"):
            assert engine.register(population=people) == {"population": 1}
        told: list[str] = []
        engine.register(accounts=accounts, warn=told.append)
    assert told == [f"{accounts}: unknown column branch is ignored"]


def test_unknown_columns__an_account_does_not_live_for_ever_by_a_wrong_name(
    tmp_path: Path,
) -> None:
    home = make_home(tmp_path / "home", [person(1)])
    path = tmp_path / "accounts.csv"
    path.write_text(
        "person_id,participant,account,kind,priority,valid_from,valid_until\n"
        f"{scene.person_id(1)},{BANK},1,bank,1,,2020-12-31\n"
    )
    before = tree_digest(home)
    said = command("--json", "register", home, "--accounts", path)
    assert (said.code, said.document["error"]["column"]) == (3, "valid_until")
    assert "'valid_to'" in said.document["error"]["what"]
    assert tree_digest(home) == before


def test_unknown_columns__stand_in_the_answer_as_json(tmp_path: Path) -> None:
    home = make_home(tmp_path / "home")
    people = written(tmp_path / "people", scene.people_table([person(1)]), gender="f")
    told = command("--json", "register", home, "--population", people).document
    assert told == {"population": 1, "warnings": [f"{people}: unknown column gender is ignored"]}
    table = scene.payment_table([line(1)]).append_column("note", pa.array(["x"]))
    path = scene.write_table(table, tmp_path / "table")
    told = command("--json", "run", home, path).document
    assert told["warnings"] == [f"{path}: unknown column note is ignored"]
    assert command("--json", "directory", home).document["warnings"] == []


def test_unknown_columns__of_a_rehearsal_are_told(tmp_path: Path) -> None:
    home = make_home(tmp_path / "home", [person(1)], [account(1)])
    table = scene.payment_table([line(1)]).append_column("note", pa.array(["x"]))
    path = scene.write_table(table, tmp_path / "table")
    said = command("--json", "rehearse", home, path)
    assert said.document["tables"][0]["warnings"] == ["unknown column note is ignored"]
    assert "unknown column note is ignored" in said.err


def test_unknown_columns__the_packaged_programmes_have_are_known(tmp_path: Path) -> None:
    rows = packaged_rows("programmes.csv")
    assert set(rows[0]) <= {*names_of(PROGRAMMES), *PROGRAMMES.beside}
    home = make_home(tmp_path / "home")
    source = Path(switch.__file__).parent / "data" / "programmes.csv"
    assert command("directory", home, "--programmes", source).code == 0


@pytest.mark.parametrize(
    "words",
    [
        ("status",),
        ("verify",),
        ("report",),
        ("shared",),
        ("settle",),
        ("reconcile",),
        ("directory",),
    ],
    ids=lambda words: words[0],
)
def test_unknown_keys__of_a_configuration_are_told_by_every_command(
    words: tuple[str, ...], tmp_path: Path
) -> None:
    home = make_home(tmp_path / "home")
    config = tmp_path / "config.toml"
    config.write_text("enforce_budget = true\n")
    said = command(*words, home, "--config", config)
    assert said.code == 2
    assert "unknown 'enforce_budget'" in said.err


@pytest.mark.parametrize(
    ("names", "table", "name", "quoted"),
    [
        (("valid_from", "valid_to"), ACCOUNTS, "valid_until", "'valid_to'"),
        (("creditor_agent", "creditor_account"), PAYMENT, "creditor_acount", "'creditor_account'"),
        (("valid_from", "valid_to"), ACCOUNTS, "valid_z", "'valid_to'"),
    ],
)
def test_unknown_columns__look_like_the_nearest(
    names: tuple[str, ...], table: Table, name: str, quoted: str
) -> None:
    """Not like the first one that is near enough."""
    given = [n for n in names_of(table) if n not in names]
    found = refused([*given, name], table)
    assert found is not None
    assert found.what == f"unknown column {name}, which looks like {quoted}"


def test_unknown_columns__as_near_to_two_name_both() -> None:
    columns = [Column("cap_one", Kind.TEXT, True), Column("cap_two", Kind.TEXT, True)]
    assert _nearest("cap_one", columns) == ["cap_one"]
    assert _nearest("caps_one_two", [*columns]) == []
    assert _nearest("cap_onetwo", columns) == ["cap_one", "cap_two"]
    twins = [Column("aaaab", Kind.TEXT, True), Column("aaaac", Kind.TEXT, True)]
    assert _nearest("aaaa", twins) == ["aaaab", "aaaac"]
    table = Table("twins", (Column("line_no", Kind.LINE_NO), *twins))
    found = refused(["line_no", "aaaa"], table)
    assert found is not None
    assert found.what.endswith("which looks like 'aaaab' or 'aaaac'")
    assert found.remedy.startswith("call it aaaab or aaaac, if it is that")


@pytest.mark.parametrize("table", BIG, ids=lambda table: table.name)
def test_unknown_columns__without_end_are_not_compared(
    table: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each comparison costs; so many names that a header may have are none that anybody meant."""
    compared = []
    nearest = tables._nearest
    monkeypatch.setattr(tables, "_nearest", lambda *said: compared.append(said) or nearest(*said))
    many = [*names_of(table), *(f"x{number}" for number in range(UNKNOWN_MAX))]
    assert refused(many, table) is None
    assert len(compared) == UNKNOWN_MAX
    found = refused([*many, "y"], table)
    assert found is not None
    assert (found.column, len(compared)) == ("(not a usual name)", UNKNOWN_MAX)
    long = refused([*names_of(table), "valid_" + "x" * 100_000], table)
    assert long is None


# --- every door -----------------------------------------------------------------------------------


def _doors(folder: Path) -> dict[str, tuple[list[object], list[object], Path, bool]]:
    """By door: words of a call without its table, words that name the table, the table with one
    column too many, and whether it is closed. The home is folder/home."""
    small = {
        "participants": pa.Table.from_pylist(list(scene.PARTICIPANTS)),
        "debtors": pa.Table.from_pylist(list(scene.DEBTORS)),
        "programmes": pa.table({"benefit": ["PENS"]}),
        "balances": pa.table({"participant": [BANK], "balance": [5]}),
    }
    home = folder / "home"
    found: dict[str, tuple[list[object], list[object], Path, bool]] = {}
    good = {name: written(folder / f"good-{name}", small[name]) for name in [*small][:2]}
    for name, table in small.items():
        odd = written(folder / f"odd-{name}", table, zone="x")
        others = [word for n, path in good.items() if n != name for word in (f"--{n}", path)]
        found[f"init {name}"] = (["init", folder / "new", *others], [f"--{name}"], odd, True)
        found[f"directory {name}"] = (["directory", home], [f"--{name}"], odd, True)
    registers = {
        "population": scene.people_table([person(1)]),
        "accounts": scene.accounts_table([account(1)]),
        "paid": scene.paid_table([scene.entitlement(2)]),
    }
    for name, table in registers.items():
        odd = written(folder / f"odd-{name}", table, zone="x")
        found[f"register {name}"] = (["register", home], [f"--{name}"], odd, False)
    payment = scene.payment_table([line(1)]).append_column("zone", pa.array(["x"]))
    paid = scene.write_table(payment, folder / "payment.parquet")
    for name in ("rehearse", "run"):
        found[name] = ([name, home], [], paid, False)
    about = ["--source", "VSS", "--batch-id", "D", "--value-date", "2026-11-25", "--force"]
    found["dossier"] = (["dossier", *about], [], paid, False)
    record = {"participant": BANK, "transfer_id": "20261125-000009-0000000001", "amount": 5}
    booked = {"booked_at": dt.datetime(2026, 11, 26, tzinfo=dt.UTC)}
    answers = {
        "confirmations": {**record, "status": "ACCC", **booked},
        "returns": {**record, "return_id": "R1", "reason": "AC04", **booked},
        "statement": {
            "account": "T.RETURNS",
            "entry_id": "E1",
            "amount": 5,
            "side": "C",
            "booked_on": dt.date(2026, 11, 26),
        },
    }
    for name, row in answers.items():
        odd = written(folder / f"odd-{name}", pa.Table.from_pylist([row]), zone="x")
        found[f"reconcile {name}"] = (["reconcile", home, "--kind", name], [], odd, False)
    return found


DOORS = (
    *(f"{c} {t}" for c in ("init", "directory")
      for t in ("participants", "debtors", "programmes", "balances")),
    *(f"register {t}" for t in ("population", "accounts", "paid")),
    *("rehearse", "run", "dossier"),
    *(f"reconcile {t}" for t in ("confirmations", "returns", "statement")),
)  # fmt: skip


@pytest.mark.parametrize("door", DOORS)
def test_unknown_columns__at_every_door(door: str, tmp_path: Path) -> None:
    """Told in a warning and in JSON, refused with --strict-columns; a closed table refuses it with
    and without, and takes the option all the same."""
    with switch.open(make_home(tmp_path / "home", [person(1)], [account(1)])) as engine:
        scene.run(engine, [line(1)], "A")
    doors = _doors(tmp_path)
    assert sorted(doors) == sorted(DOORS)
    words, option, path, is_closed = doors[door]
    before = tree_digest(tmp_path / "home")
    said = command(*words, *option, path, "--strict-columns", "--json")
    error = said.document.get("error") or said.document["tables"][0]["error"]
    assert (said.code, error["rule"], error["column"]) == (3, "HEADER_MISMATCH", "zone")
    assert tree_digest(tmp_path / "home") == before
    said = command(*words, *option, path, "--json")
    if is_closed:
        assert (said.code, said.document["error"]["remedy"]) == (3, "remove it")
        return
    told = said.document
    warnings = told["tables"][0]["warnings"] if "tables" in told else told["warnings"]
    assert said.code == 0
    assert [text for text in warnings if "unknown column zone is ignored" in text]
    assert "unknown column zone is ignored" in said.err


def test_strict_columns__is_an_option_of_every_command_that_reads_a_table() -> None:
    named = {door.partition(" ")[0] for door in DOORS}
    for name, found in cli.commands.items():
        has = any("--strict-columns" in option.opts for option in found.params)
        assert has == (name in named), name
