"""One row: a value found at its place is the one that decoding the whole file gives."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from switch.errors import VerificationFailed
from switch.files.file_schemas import STYLES
from switch.files.one_row import OneRow
from switch.files.segment import Segment, read_segment
from switch.native import parquet_encode, parquet_row

CODE = pa.dictionary(pa.int32(), pa.string())
SCHEMA = pa.schema(
    [
        pa.field("row", pa.uint32(), nullable=False),
        pa.field("amount", pa.int64(), nullable=False),
        pa.field("small", pa.uint8(), nullable=False),
        pa.field("signed", pa.int32(), nullable=False),
        pa.field("always", CODE, nullable=False),
        pa.field("some", CODE),
        pa.field("transfer_id", pa.string()),
        pa.field("reason_detail", pa.string()),
    ]
)


def coded(rng: np.random.Generator, rows: int, words: int, nulls: float) -> pa.DictionaryArray:
    """Codes in runs and apart, some of them null."""
    index = np.repeat(rng.integers(0, words, rows), rng.integers(1, 40, rows))[:rows]
    gone = rng.random(rows) < nulls
    texts = pa.array([f"word {n}" * (n % 3) for n in range(words)])
    return pa.DictionaryArray.from_arrays(pa.array(index.astype(np.int32), mask=gone), texts)


def table(rows: int, seed: int) -> dict[str, pa.Array]:
    rng = np.random.default_rng(seed)
    ids = [f"20261125-000001-{n:010d}" if n % 3 else None for n in range(rows)]
    return {
        "row": pa.array(rng.integers(0, 1 << 32, rows, np.uint32)),
        "amount": pa.array(rng.integers(-(1 << 63), (1 << 63) - 1, rows, np.int64)),
        "small": pa.array((rng.random(rows) < 0.01).astype(np.uint8) * np.uint8(200)),
        "signed": pa.array(rng.integers(-(1 << 31), (1 << 31) - 1, rows, np.int32)),
        "always": coded(rng, rows, 70, 0),
        "some": coded(rng, rows, 3, rng.choice([0, 0.01, 0.5, 1])),
        "transfer_id": pa.array(ids, pa.string()),
        "reason_detail": pa.array([f"why {n}" if n % 5 == 0 else None for n in range(rows)]),
    }


def written(path: Path, columns: dict[str, pa.Array], group_rows: int) -> Path:
    segment = Segment(path, SCHEMA, STYLES, group_rows=group_rows)
    segment.append(columns)
    segment.close()
    return path


@pytest.mark.parametrize("form", ["parquet", "arrow"])
@pytest.mark.parametrize("seed", range(4))
def test_read__a_row_is_the_one_that_decoding_all_gives(
    form: str, seed: int, tmp_path: Path
) -> None:
    path = written(tmp_path / f"lines.{form}", table(1000, seed), 300)
    rows = read_segment(path).to_pylist()
    file = OneRow(path, SCHEMA)
    for place in range(0, 1000, 1 if form == "parquet" else 83):
        assert file.read(place, SCHEMA.names) == rows[place], place


def test_read__rows_of_another_writer_are_read_whole(tmp_path: Path) -> None:
    """pyarrow packs numbers and codes in other ways."""
    path = tmp_path / "lines.parquet"
    columns = table(50, 1)
    pq.write_table(pa.table(columns), path)
    file = OneRow(path, SCHEMA)
    for place, row in enumerate(read_segment(path).to_pylist()):
        assert file.read(place, SCHEMA.names) == row


def test_read__behind_the_last_row_there_is_none(tmp_path: Path) -> None:
    for form in ("parquet", "arrow"):
        file = OneRow(written(tmp_path / f"lines.{form}", table(10, 1), 4), SCHEMA)
        with pytest.raises(VerificationFailed, match="damaged"):
            file.read(10, ["row"])


def test_read__a_file_that_is_gone(tmp_path: Path) -> None:
    with pytest.raises(VerificationFailed, match="is gone"):
        OneRow(tmp_path / "lines.parquet", SCHEMA)


@pytest.mark.parametrize("size", [0, 1, 7, 8, 11, 40])
def test_read__a_file_that_is_cut_off(size: int, tmp_path: Path) -> None:
    path = written(tmp_path / "lines.parquet", table(10, 1), 4)
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(VerificationFailed, match="damaged"):
        OneRow(path, SCHEMA).read(0, ["row"])


def test_read__a_damaged_file_gives_values_or_is_refused(tmp_path: Path) -> None:
    """Bytes are changed one at a time: nothing is read beyond the file, and no other error comes
    out. That a value is the committed one is for `verify` to say."""
    path = written(tmp_path / "lines.parquet", table(64, 3), 32)
    whole, rng, refused = path.read_bytes(), random.Random(5), 0
    names = [name for name in SCHEMA.names if name != "transfer_id"]
    for _ in range(400):
        broken = bytearray(whole)
        broken[rng.randrange(len(whole))] ^= 1 << rng.randrange(8)
        path.unlink()
        path.write_bytes(broken)
        try:
            OneRow(path, SCHEMA).read(rng.randrange(64), names)
        except VerificationFailed:
            refused += 1
    assert 0 < refused < 400


@settings(max_examples=60, deadline=None)
@given(st.sampled_from([np.int32, np.int64]), st.data())
def test_number_at__is_the_packed_number(kind: Any, data: st.DataObject) -> None:
    numbers = data.draw(arrays(kind, st.integers(1, 300)))
    packed = np.empty(parquet_encode.room_delta(len(numbers)), np.uint8)
    page = packed[: parquet_encode.delta(numbers, packed)]
    mask = (1 << 8 * numbers.itemsize) - 1
    for place, number in enumerate(numbers.tolist()):
        found = parquet_row.number_at(page, 0, place, len(numbers))
        assert found & mask == number & mask


def test_at__noise_is_refused_and_never_read_beyond() -> None:
    """Under `make sanitize` a byte too many ends the test."""
    rng = np.random.default_rng(4)
    for turn in range(3000):
        data = rng.integers(0, 256 if turn % 2 else 4, rng.integers(0, 60), np.uint8)
        count = int(rng.integers(1, 40))
        place, width = int(rng.integers(0, count)), int(rng.integers(0, 32))
        for call, said in (
            (parquet_row.number_at, (0, place, count)),
            (parquet_row.code_at, (0, width, place)),
            (parquet_row.count_of, (0,)),
            (parquet_row.footer, ()),
        ):
            try:
                call(data, *said)
            except ValueError:
                continue
