"""Types at the doors: each Arrow type is read exactly or refused as TYPE, each text in its words.

The sweep holds every column of every door against every type of pyarrow, in memory and as files.
"""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import scene
from hypothesis import given
from hypothesis import strategies as st
from scene import account, command, line, make_home, person, person_id, tree_digest

import switch
from switch.errors import InputRefused
from switch.files import columns
from switch.files.tables import open_table
from switch.registry.directory import BALANCES, DEBTORS, PARTICIPANTS, PROGRAMMES
from switch.schema import (
    ACCOUNTS,
    CONFIRMATIONS,
    PAID,
    PAYMENT,
    POPULATION,
    RETURNS,
    STATEMENT,
    Kind,
)

DECIMALS = (pa.decimal32(9), pa.decimal64(18), pa.decimal128(38), pa.decimal256(76))


# --- words ----------------------------------------------------------------------------------------

VIETNAM_US = 7 * 3_600_000_000
NUMBERS = {
    "": ("NUMBER_MISSING", "is empty"),
    "2.0": ("NUMBER_FORMAT", "is not a whole number"),
    "1e3": ("NUMBER_FORMAT", "is not a whole number"),
    "0x1": ("NUMBER_FORMAT", "is not a whole number"),
    "９": ("NUMBER_FORMAT", "is not a whole number"),
    " 1": ("NUMBER_FORMAT", "is not a whole number"),
    "-1": ("RANGE", "is not between"),
    "99999999999999999999": ("RANGE", "is not between"),
    "4294967296": ("RANGE", "is not between"),
}


def csv_of(path: Path, row: dict[str, Any], column: str, value: str) -> Path:
    rows = [row, row | {column: value}]
    text = [
        ",".join(row),
        *(",".join("" if v is None else str(v) for v in r.values()) for r in rows),
    ]
    path.write_text("\n".join(text) + "\n", "utf-8")
    return path


@pytest.mark.parametrize("value", NUMBERS)
@pytest.mark.parametrize(
    ("table", "row", "column", "noun"),
    [
        (PAYMENT, {"line_no": 1} | line(1), "line_no", "line number"),
        (ACCOUNTS, account(1), "priority", "priority"),
        (PROGRAMMES, {"benefit": "P", "priority": 1}, "priority", "priority"),
    ],
)
def test_numbers__have_words_of_their_own(
    table: Any, row: dict[str, Any], column: str, noun: str, value: str, tmp_path: Path
) -> None:
    rule, what = NUMBERS[value]
    path = csv_of(tmp_path / "table.csv", row, column, value)
    if table is PROGRAMMES and not value:
        [chunk] = open_table(path, table).chunks()
        assert chunk["priority"].tolist() == [1, 2**63 - 1]
        return
    with pytest.raises(InputRefused) as refused:
        list(open_table(path, table).chunks())
    found = refused.value
    assert (found.rule, found.row, found.column) == (rule, 2, column)
    assert found.what.startswith(f"the {noun} {what}")
    assert "dong" not in str(found)


def test_numbers__that_are_money_keep_their_words(tmp_path: Path) -> None:
    doors = [
        (PAYMENT, {"line_no": 1} | line(1), "amount"),
        (PARTICIPANTS, scene.PARTICIPANTS[0] | {"amount_max": 1, "net_debit_cap": 1}, "amount_max"),
        (DEBTORS, scene.DEBTORS[0] | {"budget": 1}, "budget"),
        (BALANCES, {"participant": "X", "balance": 1}, "balance"),
    ]
    for table, row, column in doors:
        path = csv_of(tmp_path / "table.csv", row, column, "1.0")
        with pytest.raises(InputRefused, match=rf"AMOUNT_FORMAT: the amount .*column {column}"):
            list(open_table(path, table).chunks())


def test_dates__in_words_of_their_own(tmp_path: Path) -> None:
    home = make_home(tmp_path / "home", [person(1)], [account(1)])
    before = tree_digest(home)
    for value, rule, what in (
        ("31/12/2025", "DATE_FORMAT", "the date is not written as yyyy-mm-dd"),
        ("2025-12-32", "DATE_INVALID", "the date does not exist"),
    ):
        path = csv_of(tmp_path / "accounts.csv", account(1), "valid_to", value)
        error = command("--json", "register", home, "--accounts", path).document["error"]
        assert (error["rule"], error["row"], error["column"]) == (rule, 2, "valid_to")
        assert error["what"].startswith(what)
    assert tree_digest(home) == before


# --- decimals -------------------------------------------------------------------------------------


def decimals(values: list[int], kind: Any) -> pa.Array:
    return pa.array([Decimal(value) for value in values], kind)


@pytest.mark.parametrize("kind", DECIMALS, ids=str)
@given(st.data())
def test_numbers__of_a_decimal_are_exact_or_refused(kind: Any, data: st.DataObject) -> None:
    most = 10**kind.precision - 1
    edges = [n for n in (2**63 - 1, -(2**63), 2**63, -(2**63) - 1, 2**64, 0, -1) if abs(n) <= most]
    number = st.integers(-most, most) | st.sampled_from(edges) | st.integers(-9, 9)
    values = data.draw(st.lists(number, min_size=1, max_size=5))
    array = decimals([7, *values], kind)[1:]
    beyond = [i for i, n in enumerate(values) if not -(2**63) <= n < 2**63]
    if beyond:
        with pytest.raises(columns.BadValue) as bad:
            columns.read_amounts(array)
        assert (bad.value.rule, bad.value.row) == ("AMOUNT_RANGE", beyond[0])
    else:
        assert columns.read_amounts(array).tolist() == values


@pytest.mark.parametrize("kind", DECIMALS, ids=str)
@given(st.data())
def test_ids__of_a_decimal_are_exact(kind: Any, data: st.DataObject) -> None:
    most = 10**kind.precision - 1
    edges = [n for n in (0, 2**64 - 1, 2**64, 10**12, 10**12 - 1, 1_000_000_001) if n <= most]
    values = data.draw(st.lists(st.integers(-5, most) | st.sampled_from(edges), min_size=1))
    ids = columns.read_ids(decimals(values, kind), False).tolist()
    for value, found in zip(values, ids, strict=True):
        if 0 <= value < 2**64:
            assert found == value
        else:
            assert found >= 10**12, "no well-formed id"


def test_ids__as_spark_writes_them_pay_the_same_people(tmp_path: Path) -> None:
    ids = [int(person_id(n)) for n in (1, 2)]
    home = make_home(tmp_path / "home", map(person, (1, 2)), map(account, (1, 2)))
    table = scene.payment_table([line(1), line(2)])
    for number, kind in enumerate((pa.decimal128(20), pa.decimal64(18), pa.decimal256(40))):
        at = table.schema.get_field_index("person_id")
        same = table.set_column(at, "person_id", decimals(ids, kind))
        same = same.set_column(
            same.schema.get_field_index("period"), "period", pa.array([202600 + number + 1] * 2)
        )
        batch = scene.pay(home, same, f"B{number}")
        assert scene.reasons(batch) == [None, None]


def test_numbers__of_no_rows_are_none() -> None:
    for kind in DECIMALS:
        assert len(columns.read_amounts(decimals([], kind))) == 0
        assert columns.read_limits(pa.array([None], kind)).tolist() == [2**63 - 1]


# --- the sweep ------------------------------------------------------------------------------------

DAY = dt.date(2026, 11, 25)
NOON = dt.datetime(2026, 11, 25, 8, 30)
TEXT_TYPES = (pa.string(), pa.large_string(), pa.string_view())
INTEGERS = tuple(
    kind()
    for kind in (pa.int8, pa.int16, pa.int32, pa.int64, pa.uint8, pa.uint16, pa.uint32, pa.uint64)
)
WHOLE = (*INTEGERS, *DECIMALS)
INDEXES = INTEGERS
DATES = (pa.date32(), pa.date64(), *map(pa.timestamp, ("s", "ms", "us", "ns")))
TIMES = tuple(
    pa.timestamp(unit, zone)
    for unit in ("s", "ms", "us", "ns")
    for zone in (None, "UTC", "+07:00", "Asia/Ho_Chi_Minh")
)
CODES = (*TEXT_TYPES, *(pa.dictionary(i, v) for i in INDEXES for v in TEXT_TYPES))
OTHERS = (
    *(pa.null(), pa.bool_(), pa.float16(), pa.float32(), pa.float64()),
    *(pa.binary(), pa.large_binary(), pa.binary_view(), pa.binary(4)),
    *(pa.time32("s"), pa.time64("us"), pa.duration("s"), pa.month_day_nano_interval()),
    *(pa.list_(pa.int64()), pa.large_list(pa.int64()), pa.list_(pa.string(), 1)),
    *(pa.list_view(pa.string()), pa.large_list_view(pa.int64())),
    *(pa.struct({"x": pa.int64()}), pa.map_(pa.string(), pa.int64())),
    *(pa.dense_union([pa.field("x", pa.int64())]), pa.sparse_union([pa.field("x", pa.string())])),
    *(pa.run_end_encoded(pa.int32(), pa.int64()), pa.run_end_encoded(pa.int16(), pa.string())),
    *(pa.decimal128(20, 2), pa.decimal32(5, 1), pa.decimal256(40, 3), pa.decimal128(20, -1)),
    *(pa.dictionary(pa.int32(), pa.int64()), pa.dictionary(pa.int8(), pa.binary())),
    *(pa.uuid(), pa.json_(), pa.bool8(), pa.opaque(pa.int64(), "t", "v")),
)
EVERY = tuple(dict.fromkeys((*CODES, *WHOLE, *DATES, *TIMES, *OTHERS)))
TAKEN = {
    Kind.LINE_NO: WHOLE,
    Kind.ID: (*CODES, *WHOLE),
    Kind.AMOUNT: WHOLE,
    Kind.PERIOD: (*CODES, *INTEGERS),
    Kind.DATE: DATES,
    Kind.PRIORITY: WHOLE,
    Kind.CODE: CODES,
    Kind.TEXT: CODES,
    Kind.INSTANT: TIMES,
}
TABLES = (
    *(PAYMENT, POPULATION, ACCOUNTS, PAID, CONFIRMATIONS, RETURNS, STATEMENT),
    *(PARTICIPANTS, DEBTORS, PROGRAMMES, BALANCES),
)
GOOD: dict[Kind, Any] = {
    Kind.LINE_NO: 7,
    Kind.ID: "000000000007",
    Kind.AMOUNT: 7,
    Kind.PERIOD: "202611",
    Kind.DATE: DAY,
    Kind.PRIORITY: 7,
    Kind.CODE: "x",
    Kind.TEXT: "x",
    Kind.INSTANT: NOON,
}
PLAIN = {
    Kind.LINE_NO: pa.uint32(),
    Kind.AMOUNT: pa.int64(),
    Kind.DATE: pa.date32(),
    Kind.PRIORITY: pa.uint8(),
    Kind.INSTANT: pa.timestamp("us", "UTC"),
}


def made(kind: Kind, arrow: Any) -> pa.Array:
    """A good value of a kind as an array of a type, or any array of that type. Raises what pyarrow
    does where it has none."""
    value = GOOD[kind]
    if arrow in WHOLE and kind in (Kind.ID, Kind.PERIOD):
        value = int(value)
    if arrow in DATES and isinstance(value, dt.date) and pa.types.is_timestamp(arrow):
        value = dt.datetime(2026, 11, 25) if kind is Kind.DATE else value
    if arrow in CODES and pa.types.is_dictionary(arrow):
        values = pa.array(["x" if not isinstance(value, str) else value]).cast(arrow.value_type)
        return pa.DictionaryArray.from_arrays(pa.array([0], arrow.index_type), values)
    try:
        if arrow in DECIMALS:
            return pa.array([Decimal(value)], arrow)
        return pa.array([value], arrow)
    except (pa.ArrowException, TypeError, ValueError, OverflowError, ArithmeticError):
        return pa.nulls(1, arrow)


def sweep() -> list[Any]:
    return [
        pytest.param(table, column, id=f"{table.name}-{column.name}")
        for table in TABLES
        for column in table.columns
    ]


def with_type(table: Any, column: Any, array: pa.Array) -> pa.Table:
    columns_: dict[str, pa.Array] = {
        one.name: pa.array([GOOD[one.kind]], PLAIN.get(one.kind, pa.string()))
        for one in table.columns
    }
    return pa.table(columns_ | {column.name: array})


def read_back(source: Any, table: Any, name: str) -> Any:
    [chunk] = open_table(source, table).chunks()
    if name not in chunk:
        return None
    value = chunk[name]
    return value.rows().to_pylist()[0] if isinstance(value, columns.Texts) else value.tolist()[0]


def judge(source: Any, table: Any, column: Any, arrow: Any, file: str, array_is_null: bool) -> str:
    """What became of a column of a type: taken, refused, or absent."""
    refused = None
    try:
        found = read_back(source, table, column.name)
    except InputRefused as error:
        refused = error
    if refused is not None:
        assert (refused.column, refused.file) == (column.name, file), (arrow, str(refused))
        assert refused.remedy
        return refused.rule
    if found is None:
        return "absent"
    if array_is_null:
        return "taken"
    right = read_back(
        with_type(table, column, made(column.kind, PLAIN.get(column.kind, pa.string()))),
        table,
        column.name,
    )
    if column.kind is Kind.INSTANT and pa.types.is_timestamp(arrow) and arrow.tz is None:
        right -= VIETNAM_US  # A time without a zone is Vietnam's.
    assert found == right, (arrow, found, right)
    return "taken"


@pytest.mark.parametrize(("table", "column"), sweep())
def test_types__each_is_read_exactly_or_refused(table: Any, column: Any, tmp_path: Path) -> None:
    for arrow in EVERY:
        array = made(column.kind, arrow)
        whole = with_type(table, column, array)
        taken = arrow in TAKEN[column.kind]
        doors: list[tuple[Any, str, Any]] = [(whole, table.name, arrow)]
        for form in ("parquet", "arrow"):
            path = tmp_path / form
            try:
                if form == "parquet":
                    pq.write_table(whole, path)
                else:
                    with pa.ipc.new_file(str(path), whole.schema) as writer:
                        writer.write_table(whole)
            except (pa.ArrowException, OSError):
                continue  # This format has no such type.
            doors.append((path, str(path), arrow))
        for source, file, kind in doors[: 3 if arrow in FILED else 1]:
            found = judge(source, table, column, kind, file, bool(array.null_count))
            if array.null_count:
                fine = (
                    {"absent", "TYPE"}
                    if column.nullable
                    else {"TYPE", "NULL_REQUIRED", "AMOUNT_MISSING"}
                )
                if taken:
                    fine |= {"taken"}
                assert found in fine, (arrow, found, file)
            else:
                same = taken or (file != table.name and found == "taken")
                assert found == ("taken" if same else "TYPE"), (arrow, found, file)


FILED = (
    *(pa.decimal32(9), pa.string_view(), pa.dictionary(pa.uint32(), pa.string_view())),
    *(pa.float64(), pa.run_end_encoded(pa.int32(), pa.int64())),
)
"""Types that are also tried as files, of which each is a process."""


@pytest.mark.parametrize("arrow", OTHERS, ids=str)
def test_types__of_a_column_that_is_not_read_do_not_matter(arrow: Any, tmp_path: Path) -> None:
    whole = with_type(PAYMENT, PAYMENT.columns[0], pa.array([7], pa.uint32()))
    whole = whole.append_column("note", pa.nulls(1, arrow))
    for source in (whole, tmp_path / "table"):
        if isinstance(source, Path):
            with pa.ipc.new_file(str(source), whole.schema) as writer:
                writer.write_table(whole)
        reader = open_table(source, PAYMENT)
        assert reader.extra == ["note"]
        assert len(list(reader.chunks())) == 1


# --- other libraries ------------------------------------------------------------------------------


def test_types__of_polars_are_read_or_refused(tmp_path: Path) -> None:
    ids = [person_id(n) for n in (1, 2)]
    home = make_home(tmp_path / "home", map(person, (1, 2)), map(account, (1, 2)))
    frame = pl.DataFrame(scene.payment_table([line(1), line(2)]).set_column(1, "person_id", [ids]))
    codes = frame.with_columns(pl.col("person_id", "benefit", "person_name").cast(pl.Categorical))
    assert codes.schema["person_id"] == pl.Categorical
    assert scene.reasons(scene.pay(home, codes.to_arrow(), "A")) == [None, None]
    declared = {"source": "VSS", "value_date": scene.VALUE_DATE, "count": 2, "sum": 2_000_003}
    path = tmp_path / "table"
    with switch.open(home) as engine:
        for number, write in enumerate((None, codes.write_ipc, codes.write_parquet), start=1):
            later = codes.with_columns(period=pl.lit(202600 + number))
            if write is not None:
                getattr(later, write.__name__)(path)
            source = later if write is None else path
            batch = engine.run(source, batch_id=f"B{number}", **declared)
            assert scene.reasons(batch) == [None, None]
        wide = frame.with_columns(note=pl.lit(1).cast(pl.Int128))
        for source in (wide, path):
            if source is path:
                wide.write_ipc(path)
            with pytest.raises(InputRefused) as refused:
                engine.run(source, batch_id="W", **declared)
            assert refused.value.rule == "TYPE"
            assert refused.value.file == (str(path) if source is path else PAYMENT.name)
            assert refused.value.column == (None if source is path else "note")
            assert "leave that column out" in refused.value.remedy


def test_types__of_duckdb_are_read_exactly() -> None:
    row = duckdb.sql(
        "SELECT 7::HUGEINT AS amount, 1::UBIGINT AS line_no, 1000000007::DECIMAL(18, 0)"
        " AS person_id, 'An' AS person_name, 'PENS'::ENUM('PENS') AS benefit,"
        " 202611 AS period, '3713' AS debtor_account"
    )
    [chunk] = open_table(row, PAYMENT).chunks()
    found = [chunk[name].tolist() for name in ("amount", "line_no", "person_id", "period")]
    assert found[:3] == [[7], [1], [1_000_000_007]]
    limits = duckdb.sql(
        "SELECT 'X' AS participant, 'active' AS status, 5::DECIMAL(4, 0) AS amount_max"
    )
    [chunk] = open_table(limits, PARTICIPANTS).chunks()
    assert chunk["amount_max"].tolist() == [5]


def test_types__a_frame_that_names_no_column_is_refused_as_well() -> None:
    class Odd:
        def __arrow_c_stream__(self, requested_schema: Any = None) -> Any:
            raise pa.ArrowInvalid("Nguyễn Văn An is no type")

    with pytest.raises(InputRefused, match="TYPE: a column is of a type") as refused:
        open_table(Odd(), PAYMENT)
    assert refused.value.column is None
    assert "Nguy" not in str(refused.value)
