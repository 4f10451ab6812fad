"""Payment tables and dossiers that are wrong in one way each, and the rule that refuses them."""

from __future__ import annotations

import gzip
import io
import os
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
from scene import (
    FORMATS,
    NAME,
    TREASURY_ACCOUNT,
    VALUE_DATE,
    line,
    payment_table,
    person_id,
    write_dossier,
    write_file,
    write_table,
)

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
