"""Texts longer than their columns take are refused at every door, before they stand in each row."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
import pytest
from scene import (
    command,
    line,
    make_home,
    pay,
    payment_table,
    person,
    run,
    tree_digest,
    write_table,
)

import switch
from switch import reconcile as rec
from switch.errors import InputRefused
from switch.files import airlock, tables
from switch.files.columns import BadValue, is_long_worded, require_short
from switch.files.tables import open_table
from switch.registry.directory import BALANCES, DEBTORS, PARTICIPANTS, PROGRAMMES
from switch.schema import (
    ACCOUNTS,
    CONFIRMATIONS,
    JUDGED_BY_LINE,
    PAID,
    PAYMENT,
    POPULATION,
    RETURNS,
    SPARE_BYTES,
    STATEMENT,
    Kind,
    Table,
    bytes_max,
)

TABLES = (
    *(PARTICIPANTS, DEBTORS, PROGRAMMES, BALANCES, PAYMENT, POPULATION, ACCOUNTS, PAID),
    *(CONFIRMATIONS, RETURNS, STATEMENT),
)
FORMS = ("csv", "plain", "dictionary", "arrow", "frame", "views")
ROWS = 3
DAY = dt.date(2026, 11, 25)
VALUES: dict[Kind, tuple[Any, Any]] = {
    Kind.LINE_NO: ([1, 2, 3], pa.uint32()),
    Kind.ID: (["001050000001", "001050000002", "001050000003"], pa.string()),
    Kind.AMOUNT: ([1, 2, 3], pa.int64()),
    Kind.PERIOD: (["2026-11"] * ROWS, pa.string()),
    Kind.DATE: ([DAY] * ROWS, pa.date32()),
    Kind.PRIORITY: ([1] * ROWS, pa.uint8()),
    Kind.CODE: (["A", "B", "C"], pa.string()),
    Kind.TEXT: (["A", "B", "C"], pa.string()),
    Kind.INSTANT: ([dt.datetime(2026, 11, 25)] * ROWS, pa.timestamp("us")),
}
BIG, MANY = "x" * 300_000, 3000
"""A text and rows: a gigabyte, row by row, from a few kilobytes of a dictionary."""
CHILD_BYTES = 400 << 20


def with_text(table: Table, column: str, text: str, form: str, path: Path) -> Any:
    """A table whose second row has a text in one column, as a file or a frame of a form."""
    made = {c.name: pa.array(*VALUES[c.kind]) for c in table.columns}
    words = made[column].to_pylist()
    words[1] = text
    made[column] = pa.array(words, pa.string_view() if form == "views" else pa.string())
    if form in ("dictionary", "arrow"):
        made[column] = made[column].dictionary_encode()
    whole = pa.table(made)
    if form in ("frame", "views"):
        return whole
    if form == "csv":
        pacsv.write_csv(whole, path)
    elif form == "arrow":
        with pa.ipc.new_file(str(path), whole.schema) as sink:
            sink.write_table(whole)
    else:
        pq.write_table(whole, path, use_dictionary=form == "dictionary")
    return path


def read(source: Any, table: Table, **options: Any) -> InputRefused | None:
    try:
        for _ in open_table(source, table, **options).chunks():
            pass
    except InputRefused as refused:
        return refused
    return None


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_long_texts__of_any_column_at_any_door_refuse_the_file(
    tmp_path: Path, table: Table, form: str
) -> None:
    """What fits is taken; one byte more is named by its row and column, and never quoted."""
    for column in table.columns:
        if column.kind not in (Kind.CODE, Kind.TEXT, Kind.ID):
            continue
        longest = "ờ" * (bytes_max(column.name) // 3)
        longest += "x" * (bytes_max(column.name) - 3 * len(longest))
        path = tmp_path / column.name
        if column.kind is not Kind.ID:
            assert read(with_text(table, column.name, longest, form, path), table) is None
        spare = table.spare if column.name in JUDGED_BY_LINE else 0
        bad = with_text(table, column.name, longest + "x" * (spare + 1), form, path)
        found = read(bad, table)
        if form == "csv" and spare:
            # A row of a text is bounded, too.
            assert found is not None
            assert found.rule == "LINE_TOO_LONG"
            continue
        assert found is not None, column.name
        assert (found.rule, found.row, found.column) == ("FIELD_TOO_LONG", 2, column.name)
        assert found.remedy
        assert "xxx" not in str(found)
        if column.kind is not Kind.ID:
            assert read(bad, table, bounded=False) is None


@pytest.mark.parametrize("form", ["plain", "dictionary", "frame"])
def test_long_texts__that_lines_have_reasons_for_are_judged_by_line(
    tmp_path: Path, form: str
) -> None:
    text = "1" * 1000
    source = with_text(PAYMENT, "creditor_account", text, form, tmp_path / "t")
    assert read(source, PAYMENT) is None
    assert SPARE_BYTES > len(text)


def coded(names: dict[str, Any], column: str) -> pa.Table:
    """So many rows that all have one long text in one column, which stands once."""
    whole = pa.table({name: pa.array([value] * MANY) for name, value in names.items()})
    words = pa.DictionaryArray.from_arrays(pa.array([0] * MANY, pa.int32()), pa.array([BIG]))
    return whole.append_column(column, words)


SAID = {
    "participant": "970436",
    "transfer_id": "20261125-000001-0000000001",
    "amount": 5,
    "status": "ACCC",
    "booked_at": dt.datetime(2026, 11, 25),
}


def test_long_texts__are_judged_before_they_stand_in_each_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The memory of a child is no matter: the text is never there as often as there are rows."""
    monkeypatch.setattr(airlock, "MEMORY_MAX", CHILD_BYTES)
    path = tmp_path / "said.parquet"
    for column in ("reason", "creditor_account"):
        pq.write_table(coded(SAID, column), path)
        found = read(path, CONFIRMATIONS)
        assert found is not None
        assert (found.rule, found.row, found.column) == ("FIELD_TOO_LONG", 1, column)
    row = payment_table([line(1)]).to_pylist()[0]
    whole = pa.table({n: pa.repeat(v, MANY) for n, v in row.items() if v is not None})
    for column in ("end_to_end_id", "creditor_account", "person_name", "person_id", "period"):
        these = whole.drop([n for n in (column,) if n in whole.schema.names])
        words = pa.DictionaryArray.from_arrays(pa.array([0] * MANY, pa.int32()), pa.array([BIG]))
        pq.write_table(these.append_column(column, words), path)
        found = read(path, PAYMENT)
        assert found is not None
        assert (found.rule, found.row, found.column) == ("FIELD_TOO_LONG", 1, column)


def test_long_texts__of_the_library_s_files_are_refused_by_their_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(airlock, "MEMORY_MAX", CHILD_BYTES)
    path = tmp_path / "said.parquet"
    fine = pa.table({n: pa.array([v] * MANY) for n, v in SAID.items()})
    for column in ("reason", "creditor_account"):
        fine_too = fine.append_column(column, pa.array(["AC04"] * MANY).dictionary_encode())
        with pq.ParquetWriter(path, fine_too.schema) as writer:
            writer.write_table(fine_too)
            writer.write_table(coded(SAID, column))
        said = rec.confirmations(path)
        with pytest.raises(InputRefused) as refused:
            rec.reconcile(said, {"confirmations": said}, DAY)
        found = refused.value
        assert (found.rule, found.file) == ("FIELD_TOO_LONG", str(path))
        assert (found.row, found.column) == (MANY + 1, column)


def test_long_texts__of_answers_leave_a_home_as_it_was(tmp_path: Path) -> None:
    home = make_home(tmp_path / "home", [person(1)])
    pay(home, [line(1)])
    before = tree_digest(home)
    path = tmp_path / "said.parquet"
    pq.write_table(coded(SAID, "reason"), path)
    said = command("--json", "reconcile", home, path)
    assert (said.code, said.document["error"]["rule"]) == (3, "FIELD_TOO_LONG")
    assert tree_digest(home) == before


def test_long_texts__that_homes_have_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A home took them when nothing was refused: it verifies, reconciles, and answers again."""
    long = "R" * 5000
    home = make_home(tmp_path / "home", [person(1), person(2)])
    table = payment_table([line(1, end_to_end_id=long)])
    path = write_table(table, tmp_path / "B", "parquet")
    in_memory = payment_table([line(2, end_to_end_id=long)])
    answers = tmp_path / "said.parquet"
    row = {n: pa.array([v]) for n, v in {**SAID, "reason": long}.items()}
    pq.write_table(pa.table(row), answers)
    ask = airlock.ask
    with monkeypatch.context() as before:
        before.setattr(tables.columns, "require_short", lambda *_: None)
        before.setattr(airlock, "ask", lambda *given: ask(*given[:4], None, None))
        with switch.open(home) as engine:
            engine.run(path)
            run(engine, in_memory, "M")
            engine.reconcile(answers)
    assert command("verify", home).code == 0
    with switch.open(home) as engine:
        assert engine.run(path).replayed
        # A table in memory is known by what it says, so that all of it is read.
        assert run(engine, in_memory, "M").replayed
        assert engine.reconcile()["number"] in (0, 2)
    assert command("replay", home, "B", path).code == 0
    again = command("--json", "reconcile", home, answers)
    assert (again.code, again.document["error"]["rule"]) == (3, "FIELD_TOO_LONG")


def test_long_texts__of_damaged_arrays_are_told_as_damage() -> None:
    """Offsets that are wrong tell of no length."""
    words = pa.array(["a", "b"])
    offsets = pa.py_buffer(b"\0\0\0\0\xff\xff\xff\x7f\x01\0\0\0")
    odd = pa.StringArray.from_buffers(2, offsets, words.buffers()[2])
    with pytest.raises(BadValue) as bad:
        require_short(odd, "reason")
    assert bad.value.rule == "ARROW_INVALID"


def test_long_texts__that_no_row_has_are_nobody_s() -> None:
    unused = pa.DictionaryArray.from_arrays(pa.array([0, None], pa.int8()), ["a", "x" * 600])
    require_short(unused, "reason")
    assert is_long_worded(unused, "reason")
    assert not is_long_worded(pa.array([1]), "reason")
    under_null = pa.array(["a", None, "b"])
    require_short(under_null, "reason")
    require_short(pa.array([], pa.string()), "reason")
    require_short(pa.array(["x" * 600], pa.large_string()).slice(1), "reason")
    with pytest.raises(BadValue):
        require_short(pa.array(["x" * 600], pa.large_string()), "reason")
