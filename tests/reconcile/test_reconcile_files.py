"""Files that sets of records come in: opened by children alone, and judged when they arrive."""

from __future__ import annotations

import datetime as dt
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from switch import reconcile as rec
from switch.errors import InputRefused, SwitchError
from switch.reconcile import take_in
from switch.reconcile.match.files import ROWS_FREE, ROWS_PER_BYTE, File

DAY, DUE = dt.date(2026, 11, 25), dt.date(2026, 12, 9)
HOUR = dt.datetime(2026, 11, 25, 9, tzinfo=dt.UTC)
COUNT = 12
IDS = [f"20261125-000001-{number:010d}" for number in range(1, COUNT + 1)]
SAID: dict[str, Any] = {
    "transfer_id": IDS,
    "amount": list(range(100, 100 + COUNT)),
    "creditor_account": [f"19{number}" for number in range(COUNT)],
    "participant": ["970436"] * COUNT,
    "status": ["ACCC"] * COUNT,
    "reason": pa.nulls(COUNT, pa.string()),
    "currency": ["VND"] * COUNT,
    "booked_at": [HOUR] * COUNT,
}
MICROS = int(HOUR.timestamp()) * 1_000_000
READERS: dict[str, tuple[Callable[[Any], rec.Records], dict[str, Any]]] = {
    "records": (
        rec.records,
        {
            "transfer_id": IDS,
            "at": [MICROS] * COUNT,
            "amount": SAID["amount"],
            "status": SAID["status"],
        },
    ),
    "clearing_lines": (
        lambda source: rec.clearing_lines(source, "970436", DAY),
        {name: SAID[name] for name in ("transfer_id", "amount", "creditor_account")},
    ),
    "confirmations": (rec.confirmations, SAID),
    "returns": (
        rec.returns,
        {
            "transfer_id": IDS,
            "return_id": IDS,
            "amount": SAID["amount"],
            "participant": SAID["participant"],
            "reason": ["AC04"] * COUNT,
            "booked_at": SAID["booked_at"],
        },
    ),
    "statement": (
        rec.statement,
        {
            "transfer_id": IDS,
            "entry_id": IDS,
            "account": SAID["creditor_account"],
            "amount": SAID["amount"],
            "side": ["C", "D"] * (COUNT // 2),
            "booked_on": [DAY] * COUNT,
        },
    ),
}
"""Each reader with columns of a file of it."""


def said(path: Path, **changed: Any) -> Path:
    pq.write_table(pa.table(SAID | changed), path)
    return path


def whole(some: rec.Records) -> Any:
    return some.take(np.arange(len(some)))


def refused(source: Any, reader: Callable[[Any], rec.Records] = rec.confirmations) -> InputRefused:
    """How a set is refused, as it is opened or read; a file is named in it."""
    with pytest.raises(InputRefused) as fault:
        whole(reader(source))
    if isinstance(source, Path):
        assert fault.value.file == str(source)
    assert fault.value.remedy
    return fault.value


@pytest.mark.parametrize("name", READERS)
def test_files__an_altered_bit_of_a_footer_is_refused_or_shows_nowhere(
    name: str, tmp_path: Path
) -> None:
    """No abort, nothing but a SwitchError; what is not refused are the records as they were, of
    which a column whose name was altered may be absent."""
    reader, columns = READERS[name]
    path = tmp_path / "file.parquet"
    pq.write_table(pa.table(columns), path)
    right = reader(path).take(np.arange(COUNT))
    assert right.equals(reader(pa.table(columns)).take(np.arange(COUNT)))
    content = path.read_bytes()
    footer = int.from_bytes(content[-8:-4], "little") + 8
    faults = 0
    for place in random.Random(name).sample(range(8 * footer), 120):
        broken = bytearray(content)
        broken[place // 8 - footer] ^= 1 << place % 8
        path.write_bytes(broken)
        try:
            found = reader(path).take(np.arange(COUNT))
        except SwitchError:
            faults += 1
            continue
        for column, known in zip(right.column_names, right.columns, strict=True):
            mine = found[column]
            is_absent = mine.null_count == COUNT
            if column == "amount" and name == "statement":
                # Without the column that says so, nothing is a debit.
                mine, known = pc.abs(mine), pc.abs(known)
            assert is_absent or mine.equals(known), (place, column)
    assert 0 < faults < 120


def read_footers_of_unknown_codecs(name: str, path: Path) -> int:
    """Files in which one byte 2 of the footer is 32, as a codec of 16: how many are refused."""
    reader, columns = READERS[name]
    pq.write_table(pa.table(columns), path)
    content = path.read_bytes()
    footer = len(content) - int.from_bytes(content[-8:-4], "little") - 8
    faults = 0
    for place in range(footer, len(content) - 8):
        if content[place] == 2:
            path.write_bytes(content[:place] + b"\x20" + content[place + 1 :])
            try:
                whole(reader(path))
            except SwitchError:
                faults += 1
    return faults


@pytest.mark.parametrize("name", READERS)
def test_files__an_unknown_codec_ends_no_caller(name: str, tmp_path: Path) -> None:
    """In a process of its own, which an abort would end."""
    code = (
        "import sys, pathlib, test_reconcile_files as t;"
        "print(t.read_footers_of_unknown_codecs(sys.argv[1], pathlib.Path(sys.argv[2])))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, name, tmp_path / "f.parquet"],
        capture_output=True, text=True, cwd=Path(__file__).parent,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert int(done.stdout) > 0


@pytest.mark.parametrize(
    ("changed", "rule"),
    [
        ({"transfer_id": [["a"]] * COUNT}, "TYPE"),
        ({"status": [{"a": 1}] * COUNT}, "TYPE"),
        ({"amount": pa.array([2**63] * COUNT, pa.uint64())}, "TYPE"),
        ({"amount": [0.5] * COUNT}, "TYPE"),
        ({"amount": [None] * COUNT}, "NULL_REQUIRED"),
        ({"amount": pa.array([None] * COUNT, pa.int64())}, "NULL_REQUIRED"),
        ({"booked_at": ["yesterday"] * COUNT}, "TYPE"),
        ({"booked_at": [[1]] * COUNT}, "TYPE"),
    ],
)
def test_files__what_cannot_be_read_as_a_column_is_refused_by_its_name(
    changed: dict[str, Any], rule: str, tmp_path: Path
) -> None:
    for source in (pa.table(SAID | changed), said(tmp_path / "file", **changed)):
        fault = refused(source)
        assert (fault.rule, [fault.column]) == (rule, list(changed))


@pytest.mark.parametrize("year", [1899, 3000])
def test_files__a_time_of_no_likely_year_is_refused(year: int, tmp_path: Path) -> None:
    fault = refused(said(tmp_path / "file", booked_at=[HOUR.replace(year=year)] * COUNT))
    assert (fault.rule, fault.column) == ("TIME_INVALID", "booked_at")
    for near in (1900, 2999):
        path = said(tmp_path / "file", booked_at=[HOUR.replace(year=near)] * COUNT)
        assert len(rec.confirmations(path).take(np.arange(COUNT))) == COUNT


@pytest.mark.parametrize("coded", [True, False])
def test_files__texts_are_read_however_they_are_written(coded: bool, tmp_path: Path) -> None:
    table = pa.table(SAID)
    right = rec.confirmations(table).take(np.arange(COUNT))
    for kind in (pa.string(), pa.large_string(), pa.binary(), pa.string_view()):
        some = table.set_column(4, "status", table["status"].cast(kind))
        encoding = None if coded else {"status": "DELTA_BYTE_ARRAY"}
        pq.write_table(some, tmp_path / "f", use_dictionary=coded, column_encoding=encoding)
        assert rec.confirmations(tmp_path / "f").take(np.arange(COUNT)).equals(right), kind


def test_files__what_arrives_is_judged(tmp_path: Path) -> None:
    path = said(tmp_path / "file")
    file = File(path, SAID, ["status"])
    assert (file.rows, file.read(0, ["amount"])["amount"].to_pylist()) == ([COUNT], SAID["amount"])
    file.rows[0] += 1
    with pytest.raises(InputRefused, match=r"not the rows.*file"):
        file.read(0, ["amount"])
    offsets, data = np.arange(COUNT + 1, dtype=np.int32), b"\xff" * COUNT
    noise = pa.StringArray.from_buffers(COUNT, pa.py_buffer(offsets), pa.py_buffer(data))
    for name in ("transfer_id", "status"):
        assert refused(said(path, **{name: noise})).rule == "PARQUET_BAD"
    twice = pa.table(SAID)
    pq.write_table(twice.append_column("amount", twice["amount"]), path)
    assert refused(path).rule == "HEADER_DUPLICATE"


def test_files__one_that_changes_between_two_readings_is_refused(tmp_path: Path) -> None:
    path = said(tmp_path / "file")
    some = rec.confirmations(path)
    assert len(some.take(np.arange(COUNT))) == COUNT
    said(path, amount=[7] * COUNT)
    with pytest.raises(InputRefused, match=r"CHANGED_DURING_READ.*file"):
        some.take(np.arange(COUNT))


def test_files__no_more_rows_than_bytes_and_lines_leave_room_for(tmp_path: Path) -> None:
    """A few bytes stand for any number of rows that are all the same."""
    assert (rec.ROWS_FREE, rec.ROWS_TIMES_LINES) == (take_in.ROWS_FREE, take_in.ROWS_TIMES_LINES)
    one = pa.table(SAID).slice(0, 1)
    path = tmp_path / "file"
    many = ROWS_FREE + ROWS_PER_BYTE * 20_000
    pq.write_table(one.take(pa.array(np.zeros(many, np.int32))), path)
    assert path.stat().st_size < 20_000
    assert refused(path).rule == "ROW_LIMIT"
    lines = rec.clearing_lines(pa.table(READERS["clearing_lines"][1]), "970436", DAY)
    most = rec.ROWS_FREE + rec.ROWS_TIMES_LINES * COUNT
    pq.write_table(one.take(pa.array(np.zeros(most, np.int32))), path)
    fits = rec.confirmations(path)
    assert rec.reconcile(lines, {"confirmations": fits}, DUE).counts()["lines"]["MATCHED"] == 1
    for sets in ({"a": fits + rec.confirmations(said(tmp_path / "b"))},
                 {"a": fits, "b": rec.confirmations(tmp_path / "b")}):  # fmt: skip
        with pytest.raises(InputRefused, match="ROW_LIMIT"):
            rec.reconcile(lines, sets, DUE)
    # A table stands in memory already.
    assert rec.confirmations(pa.table(SAID)).in_files == 0
