"""File formats: how batches of rows come out of CSV, Parquet and Arrow files.

Each opener takes a path and the wanted columns (`Opened`).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from csv import reader
from pathlib import Path

import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from switch.errors import InputRefused
from switch.files.columns import Opened, first_line, is_long_worded, shown
from switch.native import csv_text
from switch.schema import Kind

CHUNK_ROWS = 1 << 17
ROW_BYTES_MAX = 1 << 20
READ_BYTES = 1 << 22
ROWS_PER_GROUP_MIN = 64
GROUPS_FREE = 1024
DICTIONARY_BYTES_PER_ROW = 6
SIGNATURE_BYTES = 28
"""Nonce and tag behind a footer in plain text of a file of which something is encrypted."""
PROBE_BYTES = 1 << 16
"""Bytes that are read at once of a column of which one row is wanted."""


def form_of(file: int) -> tuple[bool, str]:
    """(true where an open file is a text, the opener for it), by its first bytes."""
    head = os.pread(file, 8, 0)
    if head[:4] in (b"PAR1", b"PARE"):
        return False, "parquet"
    if head[:6] == b"ARROW1" or head[:4] == b"\xff\xff\xff\xff":
        return False, "arrow"
    return True, "csv"


def judge_csv(scan: csv_text.CsvScan, file: int, path: Path) -> None:
    """Refuse a file that is no CSV in UTF-8, by the faults that the walk over its bytes found. The
    first bytes of file, the same open, tell what people send in its place."""
    head = os.pread(file, 8, 0)
    is_wide = head[:2] in (b"\xff\xfe", b"\xfe\xff") or 0 in head[:2]
    for is_such, what, remedy in (
        (is_wide, "UTF-16", "save it as UTF-8"),
        (head[:4] == b"PK\x03\x04", "a spreadsheet or another ZIP archive", "save it as CSV"),
        (head[:2] == b"\x1f\x8b", "compressed (gzip)", "unpack it"),
    ):
        if is_such:
            raise InputRefused("ENCODING", f"the file is {what}", file=str(path), remedy=remedy)
    if scan.finish():
        return
    fault = csv_text.Fault
    rule, what, remedy = {
        fault.ENCODING: ("ENCODING", "the text is not UTF-8", "save the file as UTF-8"),
        fault.ROW_WIDTH: (
            "ROW_WIDTH",
            f"the row does not have {scan.columns} cells as the header has",
            "quote cells that hold commas; check that the file is whole",
        ),
        fault.ROW_BLANK: ("ROW_BLANK", "the row is blank", "remove blank rows"),
        fault.QUOTE: ("CSV_QUOTE", "a quote is not closed or stands inside a cell", "quote cells"),
        fault.LINE_END: ("LINE_END", "a line ends with CR alone", "end lines with LF or CRLF"),
        fault.LINE_LENGTH: ("LINE_TOO_LONG", f"a row exceeds {ROW_BYTES_MAX} bytes", "check it"),
    }[fault(scan.fault)]
    row = int(scan.rows)
    names = _header(Path(f"/dev/fd/{file}")) if row else []
    column = shown(names[scan.column]) if 0 <= scan.column < len(names) else None
    raise InputRefused(rule, what, file=str(path), row=row or None, column=column, remedy=remedy)


def _header(path: Path) -> list[str]:
    with path.open("rb") as stream:
        line = stream.readline(ROW_BYTES_MAX).decode("utf-8-sig", "replace").rstrip("\r\n")
    return next(reader([line]), [])


def csv(path: Path, wanted: dict[str, Kind]) -> Opened:
    names = _header(path)
    schema = pa.schema([(name, pa.string()) for name in names])

    def batches() -> Iterator[pa.RecordBatch]:
        yield from pacsv.open_csv(
            str(path),
            read_options=pacsv.ReadOptions(
                use_threads=False, block_size=READ_BYTES, encoding="utf-8"
            ),
            parse_options=pacsv.ParseOptions(newlines_in_values=True, ignore_empty_lines=False),
            convert_options=pacsv.ConvertOptions(
                check_utf8=False,
                column_types=schema,
                include_columns=[name for name in names if name in wanted],
                strings_can_be_null=False,
            ),
        )

    return Opened(schema, batches, None)


def parquet(path: Path, wanted: dict[str, Kind]) -> Opened:
    try:
        parquet = pq.ParquetFile(path, pre_buffer=False, buffer_size=PROBE_BYTES)
        schema = parquet.schema_arrow
        meta = parquet.metadata
        if _footer_bytes(path) == meta.serialized_size + SIGNATURE_BYTES:
            # Some columns may be encrypted all the same, and whoever asks for them dies of it.
            raise ValueError("encrypted, with a footer in plain text, which is signed")
    except pa.ArrowNotImplementedError as error:
        raise _no_type(error, path) from error
    except (pa.ArrowException, OSError, ValueError) as error:
        encrypted = "encrypt" in str(error).lower()
        raise InputRefused(
            "PARQUET_UNSUPPORTED" if encrypted else "PARQUET_BAD",
            "the file is encrypted" if encrypted else "the file is no Parquet file, or is cut off",
            file=str(path),
            remedy="write it without encryption" if encrypted else "send the file again",
        ) from error
    if meta.num_row_groups > GROUPS_FREE + meta.num_rows // ROWS_PER_GROUP_MIN:
        what = f"{meta.num_row_groups} row groups for {meta.num_rows} rows"
        remedy = "write row groups of 100,000 rows or more"
        raise InputRefused("ROWGROUP_LIMIT", what, file=str(path), remedy=remedy)
    columns = [name for name in wanted if name in schema.names]
    as_dictionary = [
        name
        for name in columns
        if has_dictionary_form(meta, name)
        and (wanted[name] is Kind.CODE or (wanted[name] is Kind.TEXT and _is_compact(meta, name)))
    ]

    def batches() -> Iterator[pa.RecordBatch]:
        others = [name for name in columns if name not in as_dictionary]
        words = as_dictionary + long_worded(path, meta, others)
        reader = pq.ParquetFile(path, metadata=meta, read_dictionary=words, pre_buffer=False)
        with reader:
            yield from reader.iter_batches(
                batch_size=CHUNK_ROWS, columns=columns, use_threads=False
            )

    return Opened(schema, batches, meta.num_rows)


def _footer_bytes(path: Path) -> int:
    with path.open("rb") as stream:
        stream.seek(-8, os.SEEK_END)
        return int.from_bytes(stream.read(4), "little")


def _chunks(meta: pq.FileMetaData, name: str) -> Iterator[pq.ColumnChunkMetaData]:
    """Metadata of a column from the footer, row group by row group."""
    names = [meta.schema.column(index).path for index in range(meta.num_columns)]
    if name in names:
        for group in range(meta.num_row_groups):
            yield meta.row_group(group).column(names.index(name))


def has_dictionary_form(meta: pq.FileMetaData, name: str) -> bool:
    """True where pyarrow can read a text column as a dictionary: not where it is delta encoded."""
    return not any(
        encoding.startswith("DELTA")
        for chunk in _chunks(meta, name)
        for encoding in chunk.encodings
    )


def long_worded(
    path: Path, meta: pq.FileMetaData, names: list[str], group: int | None = None
) -> list[str]:
    """Columns of which a dictionary holds a text beyond what the column takes, in all row
    groups or in one. Row by row it would stand as often as there are rows: they are to be read as
    dictionaries, in which it stands once, and refused by it."""
    coded = [
        name
        for name in names
        if has_dictionary_form(meta, name)
        and any(
            chunk.physical_type == "BYTE_ARRAY" and _is_coded(chunk)
            for chunk in _chunks(meta, name)
        )
    ]
    found: set[str] = set()
    if coded:
        with pq.ParquetFile(
            path,
            metadata=meta,
            read_dictionary=coded,
            pre_buffer=False,
            buffer_size=PROBE_BYTES,
        ) as reader:
            for number in range(meta.num_row_groups) if group is None else (group,):
                # The first row comes with all of its row group's dictionary.
                for batch in reader.iter_batches(
                    batch_size=1, row_groups=[number], columns=coded, use_threads=False
                ):
                    found.update(
                        name
                        for name, column in zip(coded, map(batch.column, coded), strict=True)
                        if is_long_worded(column, name)
                    )
                    break
    return [name for name in coded if name in found]


def _is_coded(chunk: pq.ColumnChunkMetaData) -> bool:
    return "RLE_DICTIONARY" in chunk.encodings or "PLAIN_DICTIONARY" in chunk.encodings


def _is_compact(meta: pq.FileMetaData, name: str) -> bool:
    """True where a text column stands as a dictionary that is much smaller than its rows."""
    chunk = next(_chunks(meta, name), None)
    return (
        chunk is not None
        and _is_coded(chunk)
        and chunk.total_uncompressed_size < DICTIONARY_BYTES_PER_ROW * chunk.num_values
    )


def _no_type(error: Exception, path: Path) -> InputRefused:
    """The refusal of a sound file with a type that is not known here. Its reader does not say which
    column has it."""
    what = f"a column is of a type that cannot be read ({first_line(error)})"
    remedy = "leave that column out, or write it as a type that docs/contract.md has"
    return InputRefused("TYPE", what, file=str(path), remedy=remedy)


def arrow(path: Path, wanted: dict[str, Kind]) -> Opened:
    def fail(error: Exception) -> InputRefused:
        if isinstance(error, pa.ArrowNotImplementedError):
            return _no_type(error, path)
        what = f"the file is no sound Arrow file ({first_line(error)})"
        remedy = "send the file again; it is damaged or cut off"
        return InputRefused("ARROW_INVALID", what, file=str(path), remedy=remedy)

    with path.open("rb") as stream:
        is_file = stream.read(6) == b"ARROW1"
    try:
        reader = (pa.ipc.open_file if is_file else pa.ipc.open_stream)(pa.OSFile(str(path)))
        schema = reader.schema
    except (pa.ArrowException, OSError) as error:
        raise fail(error) from error

    def batches() -> Iterator[pa.RecordBatch]:
        try:
            if is_file:
                for index in range(reader.num_record_batches):
                    yield _valid(reader.get_batch(index))
            else:
                for batch in reader:
                    yield _valid(batch)
                _require_end_mark(path)
        except (pa.ArrowException, OSError) as error:
            raise fail(error) from error

    return Opened(schema, batches, None)


def _valid(batch: pa.RecordBatch) -> pa.RecordBatch:
    """A batch that was judged as a whole: one altered offset would crash a reader on access."""
    batch.validate(full=True)
    return batch


def _require_end_mark(path: Path) -> None:
    with path.open("rb") as stream:
        stream.seek(-8, os.SEEK_END)
        if stream.read(8) != b"\xff\xff\xff\xff\x00\x00\x00\x00":
            what = "the stream has no end mark"
            remedy = "send the file again; it was cut off"
            raise InputRefused("ARROW_TRUNCATED", what, file=str(path), remedy=remedy)
