"""Bad input is refused with its rule, row and column, shows no personal data, and moves nothing.

Numbers are those of the project's list of bad inputs: 1-86 tables, 87-95 XML, 96-97 confirmations.
A number is refused as a file (CASES), answered in its line (LINES), accepted on purpose (ACCEPTED),
tested by itself (OWN), or waits for the feature that it is about (PENDING).
"""

from __future__ import annotations

import codecs
import contextlib
import gzip
import io
import json
import os
import struct
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import scene
from scene import (
    CLOSED_BANK,
    FORMATS,
    NAME,
    SMALL_BANK,
    TREASURY_ACCOUNT,
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
    people_table,
    person,
    person_id,
    reasons,
    run,
    tree_digest,
    write_dossier,
    write_file,
    write_table,
)

import switch
from switch.clearing.intake import Declared, Intake
from switch.errors import InputRefused
from switch.files.tables import open_table
from switch.schema import PAYMENT

PENDING = {
    37: "account rules of receivers",
    40: "numbering plans of mobile-money operators",
    47: "windows of value dates, where the configuration sets one",
    56: "sums by bank in the dossier",
    57: "hash totals in the dossier",
    58: "signatures",
    59: "signatures; one changed bit is FILE_HASH until then (67)",
    **dict.fromkeys(range(87, 96), "XML messages"),
    96: "confirmations",
    97: "confirmations",
}

SECRETS = ("001000000001", "001000000002", "001000000003", "Nguyễn", "Nguyen", "NGUYEN")
COLUMNS = ("line_no", "person_id", "person_name", "benefit", "period", "amount", "debtor_account")
TOTAL = 6


# --- writing bad files ----------------------------------------------------------------------------


def cells() -> list[list[str]]:
    """A good CSV table of three lines, header first."""
    return [
        list(COLUMNS),
        *(
            [str(n), person_id(n), NAME, "PENS", "202611", str(n), TREASURY_ACCOUNT]
            for n in (1, 2, 3)
        ),
    ]


def text_of(rows: list[list[str]]) -> str:
    return "".join(",".join(row) + "\n" for row in rows)


def put(folder: Path, content: bytes | str, **changes: Any) -> Path:
    """Any bytes as a table, with a dossier that knows them."""
    path = folder / "table"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    write_dossier(path, **({"rows": 3, "total": TOTAL} | changes))
    return path


def with_cell(column: str, value: str, row: int = 2) -> Callable[[Path], Path]:
    """The good CSV with another value in one cell."""

    def make(folder: Path) -> Path:
        rows = cells()
        rows[row][COLUMNS.index(column)] = value
        return put(folder, text_of(rows))

    return make


def with_text(change: Callable[[str], str | bytes]) -> Callable[[Path], Path]:
    """The good CSV with its text changed."""
    return lambda folder: put(folder, change(text_of(cells())))


def without(column: str) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        at = COLUMNS.index(column)
        return put(folder, text_of([row[:at] + row[at + 1 :] for row in cells()]))

    return make


def good_table() -> pa.Table:
    return payment_table([line(n, amount=n) for n in (1, 2, 3)])


def with_column(name: str, values: Any, form: str = "parquet") -> Callable[[Path], Path]:
    """The good table with another column in place of one."""

    def make(folder: Path) -> Path:
        table = good_table()
        at = table.schema.get_field_index(name)
        path = write_file(table.set_column(at, name, values), folder / "table", form)
        write_dossier(path, 3, TOTAL)
        return path

    return make


def stream_of(table: pa.Table, **options: Any) -> bytes:
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, table.schema, options=pa.ipc.IpcWriteOptions(**options)) as out:
        out.write_table(table)
    return sink.getvalue()


def parquet_of(table: pa.Table, **options: Any) -> bytes:
    sink = io.BytesIO()
    pq.write_table(table, sink, **options)
    return sink.getvalue()


LONG_NAMES = ["a" * 11, "b" * 23, "c" * 37]
OFFSETS = struct.pack("<4i", 0, 11, 34, 71)


def with_offsets(*offsets: int) -> Callable[[Path], Path]:
    """An Arrow stream whose names have these offsets."""

    def make(folder: Path) -> Path:
        table = good_table().set_column(2, "person_name", pa.array(LONG_NAMES))
        raw = stream_of(table)
        assert raw.count(OFFSETS) == 1
        return put(folder, raw.replace(OFFSETS, struct.pack("<4i", *offsets)))

    return make


def not_utf8() -> pa.Array:
    return pa.array([b"An", b"\xff\xfe", b"An"], pa.binary()).view(pa.string())


def dictionary_out_of_range() -> pa.Array:
    return pa.DictionaryArray.from_arrays(pa.array([0, 9, 0]), pa.array(["PENS"]), safe=False)


def two_schemas() -> bytes:
    """A stream whose second batch lacks a column."""
    first, second = good_table(), good_table().drop_columns(["commune"])
    head = len(stream_of(second.slice(0, 0))) - 8
    return stream_of(first)[:-8] + stream_of(second)[head:]


def oversized_buffer() -> bytes:
    """A compressed stream that declares a buffer of 2**60 bytes."""
    raw = bytearray(stream_of(good_table(), compression="zstd"))
    at = raw.index(b"\x28\xb5\x2f\xfd") - 8
    raw[at : at + 8] = struct.pack("<q", 1 << 60)
    return bytes(raw)


def encrypted() -> bytes:
    """A Parquet file with an encrypted footer."""
    import pyarrow.parquet.encryption as pe

    class Keys(pe.KmsClient):
        def wrap_key(self, key: bytes, name: str) -> bytes:
            return key

        def unwrap_key(self, key: bytes, name: str) -> bytes:
            return key

    factory = pe.CryptoFactory(lambda _: Keys())
    properties = factory.file_encryption_properties(
        pe.KmsConnectionConfig(),
        pe.EncryptionConfiguration(footer_key="k", uniform_encryption=True, double_wrapping=False),
    )
    sink = io.BytesIO()
    table = good_table()
    with pq.ParquetWriter(sink, table.schema, encryption_properties=properties) as writer:
        writer.write_table(table)
    return sink.getvalue()


def many_groups() -> pa.Table:
    return pa.concat_tables([good_table().slice(0, 1)] * 1100)


def archive() -> bytes:
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w") as out:
        out.writestr("../table.csv", text_of(cells()))
    return sink.getvalue()


def flipped(folder: Path) -> Path:
    path = write_table(good_table(), folder / "table")
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 4] ^= 1
    path.write_bytes(raw)
    return path


def cut(folder: Path) -> Path:
    """The last line cut, after the dossier was made."""
    path = put(folder, text_of(cells()))
    path.write_bytes(path.read_bytes()[:-5])
    return path


def link(folder: Path) -> Path:
    target = put(folder, text_of(cells()))
    target.rename(folder / "elsewhere")
    target.symlink_to(folder / "elsewhere")
    return target


def pipe(folder: Path) -> Path:
    os.mkfifo(folder / "table")
    write_dossier(folder / "table", 3, TOTAL)
    return folder / "table"


def directory(folder: Path) -> Path:
    (folder / "table").mkdir()
    write_dossier(folder / "table", 3, TOTAL)
    return folder / "table"


def absent(folder: Path) -> Path:
    write_dossier(folder / "table", 3, TOTAL)
    return folder / "table"


def huge(folder: Path) -> Path:
    """Few bytes that declare many rows."""
    rows = 400_000
    table = pa.table({name: pa.repeat(good_table()[name][0], rows) for name in COLUMNS})
    raw = parquet_of(table, compression="zstd")
    assert len(raw) < 60_000
    return put(folder, raw)


class Case(NamedTuple):
    number: int
    what: str
    make: Callable[[Path], Path]
    rule: str
    row: int | None = None
    column: str | None = None

    @property
    def id(self) -> str:
        return f"{self.number}-{self.what}"


def _amount(number: int, value: str, rule: str = "AMOUNT_FORMAT") -> Case:
    return Case(number, f"amount {value!r}", with_cell("amount", value), rule, 2, "amount")


CASES = (
    Case(1, "empty file", lambda f: put(f, ""), "FILE_EMPTY"),
    Case(2, "header only", lambda f: put(f, text_of(cells()[:1])), "NO_LINES"),
    *(
        Case(3, f"no {name}", without(name), "HEADER_MISMATCH", None, name)
        for name in COLUMNS
    ),
    Case(3, "no header", lambda f: put(f, text_of(cells()[1:])), ""),
    Case(
        5, "duplicate column", with_text(lambda t: t.replace("period,", "amount,")),
        "HEADER_DUPLICATE", None, "amount",
    ),
    Case(
        7, "semicolons", with_text(lambda t: t.replace(",", ";")), "HEADER_MISMATCH", None,
        "line_no",
    ),
    Case(
        7, "tabs", with_text(lambda t: t.replace(",", "\t")), "HEADER_MISMATCH", None, "line_no"
    ),
    Case(9, "UTF-16 without a mark", with_text(lambda t: t.encode("utf-16-le")), "ENCODING"),
    Case(9, "UTF-16 BE without a mark", with_text(lambda t: t.encode("utf-16-be")), "ENCODING"),
    Case(9, "spreadsheet", with_text(lambda t: b"PK\x03\x04" + t.encode()), "ENCODING"),
    Case(9, "gzip", with_text(lambda t: gzip.compress(t.encode())), "ENCODING"),
    Case(9, "UTF-16", with_text(lambda t: t.encode("utf-16")), "ENCODING"),
    Case(9, "UTF-16 BE", with_text(lambda t: b"\xfe\xff" + t.encode("utf-16-be")), "ENCODING"),
    Case(
        10, "invalid UTF-8", with_text(lambda t: t.encode().replace("ễ".encode(), b"\xe1\xbb", 1)),
        "ENCODING", 1, "person_name",
    ),
    Case(
        11, "TCVN3", with_text(lambda t: t.replace(NAME, "@").encode().replace(b"@", b"Nguy\xd4n")),
        "ENCODING", 1, "person_name",
    ),
    Case(14, "open quote", with_cell("person_name", f'"{NAME}'), "CSV_QUOTE", 2, "person_name"),
    Case(14, "quote inside", with_cell("person_name", f'{NAME}"'), "CSV_QUOTE", 2, "person_name"),
    Case(
        15, "few fields", with_text(lambda t: t.replace(",PENS,202611,2,", ",PENS,202611,")),
        "ROW_WIDTH", 2, "amount",
    ),
    Case(16, "many fields", with_cell("benefit", "PENS,X"), "ROW_WIDTH", 2),
    Case(
        17, "blank line", with_text(lambda t: t.replace("\n2,", "\n\n2,")), "ROW_BLANK", 2,
        "line_no",
    ),
    Case(17, "blank end", with_text(lambda t: t + "\n"), "ROW_BLANK", 4, "line_no"),
    Case(18, "last line cut", cut, "FILE_HASH"),
    Case(18, "last line gone", lambda f: put(f, text_of(cells()[:-1]), total=3), "CONTROL_COUNT"),
    Case(19, "CR only", with_text(lambda t: t.replace("\n", "\r")), "LINE_END"),
    Case(
        20, "long line", with_cell("person_name", "x" * (1 << 20)), "LINE_TOO_LONG", 2,
        "person_name",
    ),
    _amount(21, "", "AMOUNT_MISSING"),
    _amount(21, "NA"),
    _amount(21, "null"),
    _amount(22, "0x10"),
    _amount(23, " 5"),
    _amount(23, "5 "),
    _amount(24, "1e6"),
    _amount(25, "1000.50"),
    _amount(25, "1000.0"),
    _amount(26, "1.000"),
    Case(26, "1,000", with_cell("amount", '"1,000"'), "AMOUNT_FORMAT", 2, "amount"),
    _amount(27, "+5"),
    _amount(27, "\u22125"),
    _amount(27, "-"),
    _amount(28, "9223372036854775808", "AMOUNT_RANGE"),
    _amount(28, "1" * 40, "AMOUNT_RANGE"),
    Case(
        29, "sum overflows",
        lambda f: put(f, text_of(cells()).replace(",202611,", ",202611,922337203685477580")),
        "TOTAL_RANGE", None, "amount",
    ),
    _amount(31, "\uff15"),
    _amount(31, "\u0665"),
    Case(32, "lost zero", with_cell("person_id", "1000000002"), "ID_LENGTH", 2, "person_id"),
    Case(32, "13 digits", with_cell("person_id", "0010000000021"), "ID_LENGTH", 2, "person_id"),
    Case(33, "old card", with_cell("person_id", "000000002"), "ID_LENGTH", 2, "person_id"),
    *(
        Case(48, f"period {value!r}", with_cell("period", value), "PERIOD_INVALID", 2, "period")
        for value in ("202613", "202600", "2026-13", "26-11", "", "2026/11", "189912", " 202611")
    ),
    Case(
        48, "period of a typed table", with_column("period", pa.array([202611, 202613, 202611])),
        "PERIOD_INVALID", 2, "period",
    ),
    Case(54, "count", lambda f: put(f, text_of(cells()), rows=4), "CONTROL_COUNT"),
    Case(54, "count, one less", lambda f: put(f, text_of(cells()), rows=2), "CONTROL_COUNT"),
    Case(55, "sum", lambda f: put(f, text_of(cells()), total=7), "CONTROL_SUM", None, "amount"),
    Case(60, "gzip", lambda f: put(f, gzip.compress(b"0" * 10**7)), "ENCODING"),
    Case(61, "zip", lambda f: put(f, archive()), ""),
    Case(63, "link", link, "NOT_REGULAR"),
    Case(63, "pipe", pipe, "NOT_REGULAR"),
    Case(63, "folder", directory, "NOT_REGULAR"),
    Case(63, "nothing there", absent, "FILE_MISSING"),
    Case(65, "cut off", lambda f: put(f, parquet_of(good_table())[:-20]), "PARQUET_BAD"),
    Case(65, "only the magic", lambda f: put(f, b"PAR1PAR1"), "PARQUET_BAD"),
    Case(
        66, "footer beyond",
        lambda f: put(f, parquet_of(good_table())[:-8] + b"\xff\xff\xff\x7fPAR1"),
        "PARQUET_BAD",
    ),
    Case(67, "one bit", flipped, "FILE_HASH"),
    Case(68, "many rows", huge, "CONTROL_COUNT"),
    *(
        Case(number, f"{name} as {values.type}", with_column(name, values), "TYPE", None, name)
        for number, name, values in (
            (69, "amount", pa.array([1.0, 2.0, 3.0])),
            (69, "amount", pa.array([1.0, 2.0, 3.0], pa.float32())),
            (70, "amount", pa.array([1, 2, 3]).cast(pa.decimal128(38, 2))),
            (71, "amount", pa.array(["1", "2", "3"])),
            (71, "amount", pa.array([True, False, True])),
            (73, "amount", pa.array([[1], [2], [3]])),
            (73, "person_name", pa.array([{"a": "An"}] * 3)),
            (73, "person_name", pa.array([["An"]] * 3)),
            (73, "person_name", pa.array([b"An"] * 3)),
            (73, "person_id", pa.array([1.0, 2.0, 3.0])),
            (73, "person_id", pa.array([b"0" * 16] * 3, pa.uuid())),
            (73, "period", pa.array([VALUE_DATE] * 3)),
            (73, "line_no", pa.array(["1", "2", "3"])),
            (74, "benefit", pa.nulls(3)),
        )
    ),
    Case(
        71, "amount above 63 bits", with_column("amount", pa.array([1, 2**63, 3], pa.uint64())),
        "AMOUNT_RANGE", 2, "amount",
    ),
    *(
        Case(
            74, f"null {name}",
            with_column(name, pa.array([*good_table()[name].to_pylist()[:2], None], kind)),
            "AMOUNT_MISSING" if name == "amount" else "NULL_REQUIRED", 3, name,
        )
        for name, kind in {n: good_table().schema.field(n).type for n in COLUMNS}.items()
    ),
    *(
        Case(
            74, f"null in the dictionary of {name}",
            with_column(
                name, pa.DictionaryArray.from_arrays([0, 1, 0], pa.array([None, value])), form
            ),
            "NULL_REQUIRED", 1, name,
        )
        for form in ("arrow", "stream")
        for name, value in (("person_id", person_id(2)), ("person_name", NAME), ("benefit", "PENS"))
    ),
    *(
        Case(
            75, f"no rows, {form}",
            lambda f, form=form: write_table(good_table().slice(3), f / "table", form, count=1),
            "NO_LINES",
        )
        for form in FORMATS
    ),
    Case(
        75, "many row groups", lambda f: put(f, parquet_of(many_groups(), row_group_size=1)),
        "ROWGROUP_LIMIT",
    ),
    Case(76, "encrypted", lambda f: put(f, encrypted()), "PARQUET_UNSUPPORTED"),
    *(
        Case(
            77, f"columns {name!r}",
            lambda f, name=name: put(
                f, parquet_of(good_table().append_column(name, pa.array([1, 2, 3])))
            ),
            "HEADER_DUPLICATE", None, name,
        )
        for name in ("Amount", "PERSON_ID")
    ),
    Case(79, "offset beyond", with_offsets(0, 11, 34, 1 << 30), "ARROW_INVALID"),
    Case(79, "last offset beyond", with_offsets(0, 11, 34, 4000), "ARROW_INVALID"),
    Case(80, "decreasing offsets", with_offsets(0, 34, 11, 71), "ARROW_INVALID"),
    Case(80, "negative offset", with_offsets(0, -11, 34, 71), "ARROW_INVALID"),
    *(
        Case(81, f"{name} not UTF-8", with_column(name, not_utf8(), form), rule, row, column)
        for name in ("person_name", "benefit", "commune", "end_to_end_id")
        for form, rule, row, column in (
            ("arrow", "ARROW_INVALID", None, None),
            ("stream", "ARROW_INVALID", None, None),
        )
    ),
    Case(
        81, "person_name not UTF-8 in Parquet", with_column("person_name", not_utf8()),
        "ENCODING", 2, "person_name",
    ),
    *(
        Case(
            82, f"index out of range, {form}",
            with_column("benefit", dictionary_out_of_range(), form), "ARROW_INVALID",
        )
        for form in ("arrow", "stream")
    ),
    Case(83, "no end mark", lambda f: put(f, stream_of(good_table())[:-8]), "ARROW_TRUNCATED"),
    Case(83, "cut off", lambda f: put(f, stream_of(good_table())[:-40]), "ARROW_INVALID"),
    Case(84, "two schemas", lambda f: put(f, two_schemas()), "ARROW_INVALID"),
    Case(86, "2**60 bytes", lambda f: put(f, oversized_buffer()), "ARROW_INVALID"),
)  # fmt: skip


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
}
REGISTER_CASES: tuple[tuple[str, str, Any, str, int | None], ...] = (
    ("population", "person_id", ["001000000001", "00100000000"], "ID_FORMAT", 2),
    ("population", "status", ["alive", "dead"], "VALUE_UNKNOWN", 2),
    ("population", "name", ["An", None], "NULL_REQUIRED", 2),
    ("population", "birth_date", ["1950-01-01", "1950-01-02"], "", None),
    ("accounts", "person_id", [1, 10**12], "ID_FORMAT", 2),
    ("accounts", "account", ["1", ""], "ACCOUNT_LENGTH", 2),
    ("accounts", "account", ["1", "9" * 256], "ACCOUNT_LENGTH", 2),
    ("accounts", "kind", ["bank", "cash"], "VALUE_UNKNOWN", 2),
    ("accounts", "priority", [1, 256], "RANGE", 2),
    ("accounts", "priority", [1.0, 2.0], "TYPE", None),
    ("paid", "person_id", ["001000000001", "x"], "ID_FORMAT", 2),
    ("paid", "period", [202611, 202600], "PERIOD_INVALID", 2),
    ("paid", "benefit", ["PENS", None], "NULL_REQUIRED", 2),
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


# --- the dossier ----------------------------------------------------------------------------------

DOSSIERS: tuple[tuple[str, dict[str, Any], str], ...] = (
    ("count", {"count": 4}, "CONTROL_COUNT"),
    ("count as text", {"count": "2"}, "CONTROL_COUNT"),
    ("count of none", {"count": 0}, "CONTROL_COUNT"),
    ("negative count", {"count": -3}, "CONTROL_COUNT"),
    ("count beyond any table", {"count": 10**18}, "ROW_LIMIT"),
    ("sum", {"sum": "7"}, "CONTROL_SUM"),
    ("sum as number", {"sum": 5}, "CONTROL_SUM"),
    ("negative sum", {"sum": "-6"}, "CONTROL_SUM"),
    ("sum beyond 64 bits", {"sum": str(2**63)}, "TOTAL_RANGE"),
    ("sum with a fraction", {"sum": "6.0"}, "DOSSIER_INVALID"),
    ("sum with blanks", {"sum": " 6"}, "DOSSIER_INVALID"),
    ("sum in other digits", {"sum": "\uff16"}, "DOSSIER_INVALID"),
    ("sum as real", {"sum": 6.5}, "DOSSIER_INVALID"),
    ("sum as truth", {"sum": True}, "DOSSIER_INVALID"),
    ("other digest", {"sha256": "0" * 64}, "FILE_HASH"),
    ("short digest", {"sha256": "0" * 63}, "DOSSIER_INVALID"),
    ("digest in capitals", {"sha256": "A" * 64}, "DOSSIER_INVALID"),
    ("currency", {"currency": "USD"}, "CURRENCY"),
    ("no value date", {"value_date": ""}, "DOSSIER_INVALID"),
    ("impossible date", {"value_date": "2026-02-31"}, "DOSSIER_INVALID"),
    ("date of another order", {"value_date": "25/11/2026"}, "DOSSIER_INVALID"),
    ("no source", {"source": ""}, "NAME_UNSAFE"),
    ("long source", {"source": "x" * 65}, "NAME_UNSAFE"),
    ("source with a line break", {"source": "a\nb"}, "NAME_UNSAFE"),
    ("source as number", {"source": 5}, "DOSSIER_INVALID"),
    *(
        (f"lacks {name}", {name: None}, "DOSSIER_INVALID")
        for name in ("source", "batch_id", "currency", "count", "sum", "sha256", "value_date")
    ),
)  # fmt: skip


@pytest.mark.parametrize("form", ["csv", "parquet"])
@pytest.mark.parametrize(
    ("changes", "rule"), [case[1:] for case in DOSSIERS], ids=[case[0] for case in DOSSIERS]
)
def test_dossier__that_differs_refuses_the_table(
    changes: dict[str, Any], rule: str, form: str, village: Path, tmp_path: Path
) -> None:
    path = write_table(good_table(), tmp_path / "t", form, **changes)
    before = tree_digest(village)
    said = command("--json", "run", village, path)
    assert said.code == 3, said
    error = said.document["error"]
    assert error["rule"] == rule
    assert error["file"] in (str(path), str(tmp_path / "t.dossier.json"))
    assert tree_digest(village) == before


@pytest.mark.parametrize(
    "content",
    [b"", b"x", b"[]", b"{", b"null", b'{"source": "\xff"}', b"\xff\xfe{\x00}\x00", b"[" * 5000],
)
def test_dossier__that_cannot_be_read_refuses_the_table(
    content: bytes, village: Path, tmp_path: Path
) -> None:
    path = write_table(good_table(), tmp_path / "t")
    (tmp_path / "t.dossier.json").write_bytes(content)
    before = tree_digest(village)
    said = command("--json", "run", village, path)
    assert (said.code, said.document["error"]["rule"]) == (3, "DOSSIER_INVALID")
    assert tree_digest(village) == before


@pytest.mark.parametrize("case", ["missing", "too large", "link"])
def test_dossier__is_a_file_beside_the_table(case: str, village: Path, tmp_path: Path) -> None:
    path = write_table(good_table(), tmp_path / "t")
    dossier = tmp_path / "t.dossier.json"
    if case == "missing":
        dossier.unlink()
    elif case == "too large":
        dossier.write_bytes(dossier.read_bytes() + b" " * (1 << 20))
    else:
        dossier.rename(tmp_path / "other")
        dossier.symlink_to(tmp_path / "other")
    before = tree_digest(village)
    said = command("--json", "run", village, path)
    rule = {"missing": "DOSSIER_MISSING", "too large": "SIZE_LIMIT", "link": "NOT_REGULAR"}[case]
    assert (said.code, said.document["error"]["rule"]) == (3, rule)
    assert tree_digest(village) == before


def test_dossier__of_a_table_that_is_not_there(village: Path, tmp_path: Path) -> None:
    """Whoever mistyped the table's name is not sent to look for its dossier."""
    said = command("--json", "run", village, tmp_path / "t")
    error = said.document["error"]
    assert (said.code, error["rule"], error["file"]) == (3, "FILE_MISSING", str(tmp_path / "t"))


def test_dossier__may_begin_with_a_byte_order_mark(village: Path, tmp_path: Path) -> None:
    path = write_table(good_table(), tmp_path / "t")
    dossier = tmp_path / "t.dossier.json"
    dossier.write_bytes(codecs.BOM_UTF8 + dossier.read_bytes())
    assert command("run", village, path).code == 0


@pytest.mark.parametrize(
    ("change", "hint"),
    [
        (lambda t: t.replace(",", ";"), "separated by semicolons"),
        (lambda t: t.replace(",", "\t"), "separated by tabs"),
        (lambda t: t.encode("utf-16-le"), "is UTF-16"),
        (lambda t: b"PK\x03\x04" + t.encode(), "is a spreadsheet"),
        (lambda t: gzip.compress(t.encode()), "is compressed"),
    ],
)
def test_csv__what_people_send_in_its_place_is_named(
    change: Callable[[str], str | bytes], hint: str, tmp_path: Path
) -> None:
    with pytest.raises(InputRefused, match=hint):
        open_table(with_text(change)(tmp_path), PAYMENT)


def test_dossier__may_say_more_than_is_asked(village: Path, tmp_path: Path) -> None:
    path = write_table(good_table(), tmp_path / "t", signatures=[{"by": "x"}], count="3", sum=6)
    with switch.open(village) as engine:
        assert reasons(engine.run(path)) == [None] * 3


@pytest.mark.parametrize("given", ["count", "sum", "batch_id", "source", "value_date"])
def test_dossier__given_as_arguments_is_given_whole(given: str, village: Path) -> None:
    with switch.open(village) as engine, pytest.raises(switch.UsageError):
        run(engine, [line(1)], **{given: None})


@pytest.mark.parametrize(("count", "total"), [(2, 6), (4, 6), (3, 5), (3, 7)])
@pytest.mark.parametrize("chunk_rows", [1, 2, 1000])
def test_dossier__control_totals_given_as_arguments_are_proven(
    count: int, total: int, chunk_rows: int, village: Path
) -> None:
    before = tree_digest(village)
    for table in (good_table(), good_table().to_reader()):
        with pytest.raises(InputRefused, match="CONTROL_"), switch.open(village) as engine:
            engine.run(
                table,
                source="VSS",
                batch_id="B",
                value_date=VALUE_DATE,
                count=count,
                sum=total,
                chunk_rows=chunk_rows,
            )
    assert tree_digest(village) == before


# --- damage ---------------------------------------------------------------------------------------


def take_in(path: Path, directory: Any) -> None:
    """Read a table to its end and prove its control totals, without its digest."""
    declared = Declared("VSS", "B", VALUE_DATE, 3, TOTAL)
    for _ in Intake(directory).lines(open_table(path, PAYMENT), declared, 1000):
        pass


@pytest.mark.parametrize("form", FORMATS)
def test_damage__file_cut_at_any_length_is_refused(
    form: str, village: Path, tmp_path: Path
) -> None:
    # The amount stands last, so that in CSV no cut leaves the totals as they were.
    table = good_table().select([*(c for c in COLUMNS if c != "amount"), "amount"])
    path = write_file(table, tmp_path / "t", form)
    content = path.read_bytes()
    if form == "csv":
        content = content.rstrip(b"\n")
    with switch.open(village) as engine:
        directory = engine.directory
    path.write_bytes(content)
    take_in(path, directory)
    for length in range(0, len(content), 1 + len(content) // 900):
        path.write_bytes(content[:length])
        with pytest.raises(InputRefused):
            take_in(path, directory)


FLIP = """
import sys
from pathlib import Path
import switch
home, path = Path(sys.argv[1]), Path(sys.argv[2])
content = path.read_bytes()
with switch.open(home) as engine:
    for at in range(0, len(content), 2):
        changed = bytearray(content)
        changed[at] ^= 1 << at // 2 % 8
        path.write_bytes(changed)
        try:
            engine.run(path)
        except switch.InputRefused:
            continue
        raise SystemExit(f"byte {at} was accepted")
print("done")
"""


@pytest.mark.parametrize("form", FORMATS)
def test_damage__any_flipped_bit_is_refused(form: str, village: Path, tmp_path: Path) -> None:
    """In a process of its own, for a damaged file may end the process that decodes it."""
    path = write_table(good_table(), tmp_path / "t", form)
    before = tree_digest(village)
    source = str(Path(switch.__file__).resolve().parents[1])
    done = subprocess.run(
        [sys.executable, "-c", FLIP, str(village), str(path)],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"PYTHONPATH": source},
        timeout=120,
    )
    assert (done.returncode, done.stdout) == (0, "done\n"), done.stderr[-2000:]
    assert tree_digest(village) == before


@pytest.mark.parametrize("form", ["parquet", "arrow", "stream"])
def test_damage__without_a_digest_is_refused_or_read_but_no_other_error(
    form: str, village: Path, tmp_path: Path
) -> None:
    """Damage to the data part; that to a Parquet footer may end the process, which is why digests
    are judged first."""
    path = write_file(good_table(), tmp_path / "t", form)
    content = path.read_bytes()
    with switch.open(village) as engine:
        directory = engine.directory
    end = len(content)
    if form == "parquet":
        end -= 8 + struct.unpack("<i", content[-8:-4])[0]
    for at in range(0, end, 3):
        changed = bytearray(content)
        changed[at] ^= 1 << at * 5 % 8
        path.write_bytes(changed)
        with contextlib.suppress(InputRefused):
            take_in(path, directory)


def test_bad_inputs__answers_are_whole_or_not_there(village: Path, tmp_path: Path) -> None:
    """A refusal late in the table leaves neither an answer nor a draft."""
    lines = [line(n % 9 + 1, period=190001 + n // 9 * 100) for n in range(2000)]
    path = write_table(payment_table(lines), tmp_path / "t", sum="1")
    before = tree_digest(village)
    said = command("--json", "run", village, path)
    assert (said.code, said.document["error"]["rule"]) == (3, "CONTROL_SUM")
    assert tree_digest(village) == before
    assert not list((village / "batches").iterdir())
    assert json.loads(said.out)["error"]["exit_code"] == 3
    assert answers(pay(village, [line(1)])) == [("ACSC", None)]
