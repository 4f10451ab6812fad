"""Bad input is refused with its rule, row and column, shows no personal data, and moves nothing.

Numbers are those of the project's list of bad inputs: 1-86 tables, 87-95 XML, 96-97 confirmations.
A number is refused as a file (CASES), answered in its line (LINES), accepted on purpose (ACCEPTED),
tested by itself (OWN), or waits for the feature that it is about (PENDING).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import scene
from bad_tables import (
    CASES,
    PENDING,
    SECRETS,
    TOTAL,
    Case,
    cells,
    good_table,
    put,
    text_of,
    with_cell,
    with_column,
    with_text,
)
from scene import (
    CLOSED_BANK,
    FORMATS,
    NAME,
    SMALL_BANK,
    account,
    accounts_table,
    command,
    entitlement,
    line,
    make_home,
    pay,
    payment_table,
    people_table,
    person,
    reasons,
    tree_digest,
    write_table,
)

import switch
from switch.errors import InputRefused


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_bad_inputs__file_is_refused_whole(case: Case, village: Path, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    path = case.make(folder)
    before = tree_digest(village)
    said = command("--json", "run", village, path)
    assert said.code == 3, said
    error = said.document["error"]
    assert error["file"] == str(path)
    if case.rule:
        assert (error["rule"], error["row"], error["column"]) == (case.rule, case.row, case.column)
    assert error["remedy"]
    assert not [secret for secret in SECRETS if secret in said.out + said.err]
    assert tree_digest(village) == before


# --- wrong lines that can be read -----------------------------------------------------------------

SPREAD = {"creditor_agent": SMALL_BANK, "creditor_account": "1.90345678901E+13"}
BLANKS = {"creditor_agent": SMALL_BANK, "creditor_account": "1903 4567"}
ODD_BANK = {"creditor_agent": "999999", "creditor_account": "1"}
LINES = (
    (12, "NUL in the name", {"person_name": f"{NAME}\x00"}, "BE22"),
    (13, "line break in the name", {"person_name": "Nguyễn\nVăn An"}, "BE22"),
    (27, "amount -5", {"amount": -5}, "AM12"),
    (27, "amount 0", {"amount": 0}, "AM12"),
    (30, "amount above the limit", {"amount": 500_000_001}, "AM13"),
    (34, "letters in the id", {"person_id": "00100000000O"}, "BE17"),
    (34, "other digits in the id", {"person_id": "00100000٠٠"}, "BE17"),
    (35, "nobody of that id", {"person_id": "999000000002"}, "BE06"),
    (36, "account with blanks", BLANKS, "AC01"),
    (36, "account of a spreadsheet", SPREAD, "AC01"),
    (38, "unknown bank", ODD_BANK, "CNOR"),
    (39, "suspended bank", {"creditor_agent": CLOSED_BANK, "creditor_account": "1"}, "AB08"),
    (41, "no name", {"person_name": ""}, "BE22"),
    (41, "blank name", {"person_name": "  "}, "BE22"),
    (43, "right-to-left mark", {"person_name": "Nguyễn\u202e Văn An"}, "BE22"),
    (44, "10,000 characters", {"person_name": "Nguyen " * 1429}, "BE22"),
    (45, "TAB before the name", {"person_name": f"\t{NAME}"}, "BE22"),
    (45, "CR before the name", {"person_name": f"\r{NAME}"}, "BE22"),
    (45, "formula before the name", {"person_name": f"={NAME}"}, "BE01"),
)


@pytest.mark.parametrize("form", ["csv", "parquet"])
@pytest.mark.parametrize(
    ("changes", "reason"),
    [case[2:] for case in LINES],
    ids=[f"{number}-{what}" for number, what, *_ in LINES],
)
def test_bad_inputs__wrong_line_has_a_reason(
    changes: dict[str, Any], reason: str, form: str, village: Path, tmp_path: Path
) -> None:
    table = payment_table([line(1), line(2, **changes), line(3)])
    path = write_table(table, tmp_path / "table", form)
    with switch.open(village) as engine:
        batch = engine.run(path)
    assert reasons(batch) == [None, reason, None]
    detail = batch.status["reason_detail"].to_pylist()[1]
    assert not [secret for secret in SECRETS if secret in detail]


@pytest.mark.parametrize("value", ["1000000002", "000000002", "", "0010000000021"])
def test_bad_inputs__33_odd_id_of_a_typed_table_is_a_line(value: str, village: Path) -> None:
    assert reasons(pay(village, [line(1), line(2, person_id=value)])) == [None, "BE17"]


@pytest.mark.parametrize(
    "values", [[1, 10**12, -1], [1, 2**62, -(2**63)]], ids=["13 digits", "far beyond"]
)
def test_bad_inputs__34_odd_number_as_id_is_a_line(values: list[int], village: Path) -> None:
    table = good_table().set_column(1, "person_id", pa.array(values, pa.int64()))
    assert reasons(pay(village, table)) == ["BE06", "BE17", "BE17"]


def test_bad_inputs__49_same_line_twice_clears_once(village: Path) -> None:
    assert reasons(pay(village, [line(1), line(1)])) == [None, "AM05"]


def test_bad_inputs__50_line_paid_in_an_earlier_batch(village: Path) -> None:
    pay(village, [line(1)], "A")
    assert reasons(pay(village, [line(1), line(2)], "B")) == ["AM05", None]


def test_bad_inputs__51_same_entitlement_to_another_account(village: Path) -> None:
    other = line(1, creditor_agent=SMALL_BANK, creditor_account="9")
    assert reasons(pay(village, [line(1), other])) == [None, "AM05"]


# --- odd but right --------------------------------------------------------------------------------


def accepted(folder: Path, village: Path, make: Callable[[Path], Path]) -> None:
    with switch.open(village) as engine:
        batch = engine.run(make(folder))
    assert reasons(batch) == [None, None, None]
    assert batch.summary["cleared"]["sum"] == TOTAL


def reordered(folder: Path) -> Path:
    return put(folder, text_of([row[::-1] for row in cells()]))


def decomposed(folder: Path) -> Path:
    import unicodedata

    return put(folder, unicodedata.normalize("NFD", text_of(cells())))


ACCEPTED = (
    (6, "columns in other order", reordered),
    (8, "byte-order mark", with_text(lambda t: b"\xef\xbb\xbf" + t.encode())),
    (19, "CRLF", with_text(lambda t: t.replace("\n", "\r\n"))),
    (19, "no last line end", with_text(lambda t: t[:-1])),
    (25, "quoted cells", with_text(lambda t: t.replace("PENS", '"PENS"'))),
    (26, "leading zeros", with_cell("amount", "0002")),
    (42, "decomposed names", decomposed),
    (43, "zero-width mark", with_text(lambda t: t.replace(NAME, NAME + "\u200b"))),
    (42, "plain names", with_text(lambda t: t.replace(NAME, "NGUYEN  VAN AN"))),
    (48, "future period", with_text(lambda t: t.replace("202611", "2031-01"))),
    (71, "amount as int32", with_column("amount", pa.array([1, 2, 3], pa.int32()))),
    (71, "amount as uint64", with_column("amount", pa.array([1, 2, 3], pa.uint64()))),
    (70, "amount as decimal", with_column("amount", pa.array([1, 2, 3]).cast(pa.decimal128(38)))),
    (72, "id as int64", with_column("person_id", pa.array([10**9 + n for n in (1, 2, 3)]))),
    (73, "large text", with_column("person_name", pa.array([NAME] * 3, pa.large_string()))),
    (73, "text view", with_column("person_name", pa.array([NAME] * 3, pa.string_view()), "stream")),
    (74, "nulls where they may stand", with_column("commune", pa.nulls(3))),
)  # fmt: skip


@pytest.mark.parametrize(
    "make", [case[2] for case in ACCEPTED], ids=[f"{number}-{what}" for number, what, _ in ACCEPTED]
)
def test_bad_inputs__odd_but_right_is_accepted(
    make: Callable[[Path], Path], village: Path, tmp_path: Path
) -> None:
    accepted(tmp_path, village, make)


def test_bad_inputs__45_name_that_looks_like_a_formula_is_data(tmp_path: Path) -> None:
    names = ["=1+1", "+84", "-An", "@An"]
    people = [person(n, name=name) for n, name in enumerate(names, start=1)]
    home = make_home(tmp_path / "h", people, [account(n) for n in range(1, 5)])
    lines = [line(n, person_name=name) for n, name in enumerate(names, start=1)]
    batch = pay(home, lines)
    assert reasons(batch) == [None] * 4
    sent = pq.read_table(batch.folder / "clearing" / f"{scene.BANK}.parquet")
    assert sent["creditor_name"].to_pylist() == names


def test_bad_inputs__85_slices_are_read_as_what_they_show(village: Path) -> None:
    lines = [line(9, person_name="x"), *(line(n, amount=n) for n in (1, 2, 3))]
    table = payment_table(lines).slice(1)
    for name in ("benefit", "debtor_account"):
        at = table.schema.get_field_index(name)
        table = table.set_column(at, name, table[name].dictionary_encode())
    table = table.set_column(0, "line_no", pa.array([9, 1, 2, 3], pa.uint32()).slice(1))
    agents = pa.array(["x", None, SMALL_BANK, None]).slice(1)
    accounts = pa.array(["y", None, "77", None]).slice(1)
    table = table.set_column(7, "creditor_agent", agents).set_column(
        8, "creditor_account", accounts
    )
    batch = pay(village, table)
    assert reasons(batch) == [None] * 3
    assert batch.status["participant"].to_pylist() == [scene.BANK, SMALL_BANK, scene.BANK]


# --- cases with a scene of their own --------------------------------------------------------------

OWN = {4, 46, 52, 53, 62, 64, 78, 85, *(33, 34, 45, 49, 50, 51)}


@pytest.mark.parametrize("form", FORMATS)
def test_bad_inputs__4_unknown_column_is_a_warning_unless_strict(
    form: str, village: Path, tmp_path: Path
) -> None:
    table = good_table().append_column("note", pa.array(["Nguyễn"] * 3))
    path = write_table(table, tmp_path / "table", form)
    before = tree_digest(village)
    with switch.open(village) as engine:
        with pytest.raises(InputRefused, match="HEADER_MISMATCH"):
            engine.run(path, strict_columns=True)
        assert tree_digest(village) == before
        batch = engine.run(path)
    assert len(batch.warnings) == 1
    assert "note" in batch.warnings[0]
    assert reasons(batch) == [None] * 3


@pytest.mark.parametrize(
    ("value", "rule"),
    [
        *((value, "DATE_INVALID") for value in ("2026-02-31", "2026-13-01", "0999-12-31")),
        *((value, "DATE_FORMAT") for value in ("31/12/2025", "2026-2-1", "20260201", "x")),
        *((value, "DATE_FORMAT") for value in ("1999999999", "9999999-01", "0912345678")),
        *((value, "DATE_FORMAT") for value in ("2026-02-1١", "2026-02-01 ", "26-02-2001")),
    ],
)
def test_bad_inputs__46_dates_that_do_not_exist(
    value: str, rule: str, village: Path, tmp_path: Path
) -> None:
    path = tmp_path / "accounts.csv"
    path.write_text(
        "person_id,participant,account,kind,priority,valid_from,valid_to\n"
        f"001000000001,970001,1,bank,1,,\n001000000002,970001,2,bank,1,{value},\n"
    )
    before = tree_digest(village)
    said = command("--json", "register", village, "--accounts", path)
    error = said.document["error"]
    assert (said.code, error["rule"]) == (3, rule)
    assert (error["file"], error["row"], error["column"]) == (str(path), 2, "valid_from")
    assert tree_digest(village) == before


REGISTERS = {
    "population": people_table([person(1), person(2)]),
    "accounts": accounts_table([account(1), account(2)]),
    "paid": scene.paid_table([entitlement(1), entitlement(2)]),
    "replaced": pa.table(
        {"person_id": ["001000000001", "001000000002"], "replaced_by": ["001000000003"] * 2}
    ),
}
REGISTER_CASES: tuple[tuple[str, str, Any, str, int | None], ...] = (
    ("population", "person_id", ["001000000001", "00100000000"], "ID_FORMAT", 2),
    ("population", "status", ["alive", "dead"], "VALUE_UNKNOWN", 2),
    ("population", "name", ["An", None], "NULL_REQUIRED", 2),
    ("population", "birth_date", ["1950-01-01", "1950-01-02"], "", None),
    ("accounts", "person_id", [1, 10**12], "ID_FORMAT", 2),
    ("accounts", "account", ["1", ""], "ACCOUNT_LENGTH", 2),
    ("accounts", "account", ["1", "9" * 256], "ACCOUNT_LENGTH", 2),
    ("accounts", "kind", ["bank", "coins"], "VALUE_UNKNOWN", 2),
    ("accounts", "priority", [1, 256], "RANGE", 2),
    ("accounts", "priority", [1.0, 2.0], "TYPE", None),
    ("paid", "person_id", ["001000000001", "x"], "ID_FORMAT", 2),
    ("paid", "period", [202611, 202600], "PERIOD_INVALID", 2),
    ("paid", "benefit", ["PENS", None], "NULL_REQUIRED", 2),
    ("replaced", "person_id", ["001000000001", "00100000000"], "ID_FORMAT", 2),
    ("replaced", "person_id", ["001000000001", None], "NULL_REQUIRED", 2),
    ("replaced", "replaced_by", ["001000000003", "0010000000030"], "ID_FORMAT", 2),
    ("replaced", "replaced_by", ["001000000003", "001000000002"], "REPLACED_SELF", 2),
    ("replaced", "person_id", ["001000000003", "x"], "ID_FORMAT", 2),
    ("replaced", "replaced_by", ["001000000002", "001000000001"], "REPLACED_CYCLE", 1),
    ("replaced", "replaced_by", ["001000000003", "001999999999"], "REPLACED_UNKNOWN", 2),
)


@pytest.mark.parametrize(
    ("register", "column", "values", "rule", "row"),
    REGISTER_CASES,
    ids=[f"{register}-{column}-{rule}" for register, column, _, rule, _ in REGISTER_CASES],
)
def test_bad_inputs__register_is_refused_whole(
    register: str,
    column: str,
    values: Any,
    rule: str,
    row: int | None,
    village: Path,
    tmp_path: Path,
) -> None:
    table = REGISTERS[register]
    table = table.set_column(table.schema.get_field_index(column), column, pa.array(values))
    pq.write_table(table, tmp_path / "t")
    before = tree_digest(village)
    said = command("--json", "register", village, f"--{register}", tmp_path / "t")
    assert said.code == 3
    error = said.document["error"]
    assert error["file"] == str(tmp_path / "t")
    if rule:
        assert (error["rule"], error["row"], error["column"]) == (rule, row, column)
    assert "00100000000" not in said.out + said.err
    assert tree_digest(village) == before


def test_bad_inputs__52_same_bytes_again_is_the_first_answer(village: Path, tmp_path: Path) -> None:
    path = write_table(good_table(), tmp_path / "t")
    first = command("--json", "run", village, path)
    before = tree_digest(village)
    again = command("--json", "run", village, path)
    assert again.document["batches"] == [first.document["batches"][0] | {"replayed": True}]
    assert tree_digest(village) == before


def test_bad_inputs__53_same_reference_other_bytes(village: Path, tmp_path: Path) -> None:
    pay(village, good_table())
    before = tree_digest(village)
    path = write_table(payment_table([line(4)]), tmp_path / "t")
    said = command("--json", "run", village, path)
    assert (said.code, said.document["error"]["rule"]) == (3, "REFERENCE_REUSED")
    assert tree_digest(village) == before


UNSAFE = (
    "../x",
    "a/b",
    "a\\b",
    "",
    ".",
    "..",
    ".hidden",
    "a\x00",
    "a\nb",
    "x" * 65,
    "x" * 300,
    "ă",
    "a b",
)


@pytest.mark.parametrize("name", UNSAFE, ids=ascii)
def test_bad_inputs__62_unsafe_batch_id(name: str, village: Path, tmp_path: Path) -> None:
    path = write_table(good_table(), tmp_path / "t", batch_id=name)
    before = tree_digest(tmp_path)
    said = command("--json", "run", village, path)
    assert (said.code, said.document["error"]["rule"]) == (3, "NAME_UNSAFE")
    assert said.document["error"]["column"] == "batch_id"
    assert tree_digest(tmp_path) == before


@pytest.mark.parametrize("name", ["CON", "a.b", "-a", "_", "x" * 64, "cycles"])
def test_bad_inputs__62_safe_batch_id(name: str, village: Path, tmp_path: Path) -> None:
    pay(village, good_table(), name, out=tmp_path / "out")
    assert (tmp_path / "out" / name / "status.parquet").is_file()
    assert switch.verify(village)


@pytest.mark.parametrize("form", FORMATS)
def test_bad_inputs__64_file_that_changes_while_it_is_read(
    form: str, village: Path, tmp_path: Path
) -> None:
    path = write_table(good_table(), tmp_path / "t", form)
    before = tree_digest(village)

    def grow(*_: Any) -> None:
        with path.open("ab") as file:
            file.write(b" ")

    with switch.open(village) as engine, pytest.raises(InputRefused) as refusal:
        engine.run(path, threads=1, chunk_rows=1, progress=grow)
    # A stream that grows lacks its end mark before it is asked for its size.
    assert refusal.value.rule in ("CHANGED_DURING_READ", "ARROW_TRUNCATED")
    assert tree_digest(village) == before


@pytest.mark.parametrize(
    "values",
    [
        pa.array([0, 0], pa.timestamp("us", "Asia/Ho_Chi_Minh")),
        pa.array([0, 0]),
        pa.array([0, 1], pa.timestamp("us")),
    ],
    ids=["zoned", "number", "time of day"],
)
def test_bad_inputs__78_date_of_another_type(
    values: pa.Array, village: Path, tmp_path: Path
) -> None:
    table = REGISTERS["accounts"]
    table = table.set_column(table.schema.get_field_index("valid_from"), "valid_from", values)
    pq.write_table(table, tmp_path / "t")
    before = tree_digest(village)
    said = command("--json", "register", village, "--accounts", tmp_path / "t")
    error = said.document["error"]
    assert (said.code, error["rule"], error["column"]) == (3, "TYPE", "valid_from")
    assert tree_digest(village) == before


def test_bad_inputs__every_number_is_tested_or_pending() -> None:
    tested = {case.number for case in CASES} | {n for n, *_ in LINES} | {n for n, *_ in ACCEPTED}
    tested |= OWN
    assert tested | set(PENDING) == set(range(1, 98))
    assert not tested & set(PENDING)
    names = " ".join(name for name in globals() if name.startswith("test_bad_inputs__"))
    assert all(f"__{number}_" in names for number in OWN)


# --- line numbers and accounts of the table -------------------------------------------------------

PAIRS: tuple[tuple[str, dict[str, Any], str, str], ...] = (
    ("twice", {"line_no": 1}, "LINE_NO_DUPLICATE", "line_no"),
    ("gap", {"line_no": 4}, "LINE_NO_RANGE", "line_no"),
    ("zero", {"line_no": 0}, "RANGE", "line_no"),
    ("agent alone", {"creditor_agent": SMALL_BANK}, "ACCOUNT_INCOMPLETE", "creditor_account"),
    ("account alone", {"creditor_account": "1"}, "ACCOUNT_INCOMPLETE", "creditor_agent"),
    (
        "empty agent",
        {"creditor_agent": "", "creditor_account": "1"},
        "ACCOUNT_INCOMPLETE",
        "creditor_agent",
    ),
)


@pytest.mark.parametrize("chunk_rows", [1, 1000])
@pytest.mark.parametrize("form", ["csv", "parquet"])
@pytest.mark.parametrize(
    ("changes", "rule", "column"), [p[1:] for p in PAIRS], ids=[p[0] for p in PAIRS]
)
def test_bad_inputs__line_that_breaks_its_table(
    changes: dict[str, Any], rule: str, column: str, form: str, chunk_rows: int, village: Path,
    tmp_path: Path,
) -> None:  # fmt: skip
    table = payment_table([line(1), line(2, **changes), line(3)])
    path = write_table(table, tmp_path / "t", form)
    before = tree_digest(village)
    with switch.open(village) as engine, pytest.raises(InputRefused) as refusal:
        engine.run(path, chunk_rows=chunk_rows)
    found = refusal.value
    assert (found.rule, found.row, found.column) == (rule, 2, column)
    assert tree_digest(village) == before
