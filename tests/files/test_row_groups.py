"""Row groups that are decoded natively: pyarrow reads the same, and damage is left to it."""

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
from parquet_bytes import CODE, written

from switch.files.parquet_reader import RowGroups
from switch.files.parquet_writer import Style
from switch.native import parquet_decode, parquet_encode

FEW = ("status",)
FORMS = [
    {"use_dictionary": ["status"]},
    {"use_dictionary": True},
    {"use_dictionary": True, "dictionary_pagesize_limit": 2000, "data_page_size": 1000},
    {"use_dictionary": ["status"], "data_page_size": 512},
    {
        "use_dictionary": ["status"],
        "column_encoding": {
            "text": "DELTA_BYTE_ARRAY",
            "id": "DELTA_LENGTH_BYTE_ARRAY",
            "amount": "DELTA_BINARY_PACKED",
            "at": "DELTA_BINARY_PACKED",
        },
    },
]
"""As pyarrow may write: plain, coded, coded until the words are too many, many pages, deltas."""


class Watched(RowGroups):
    """Notes what is left to pyarrow."""

    left: list[str]

    def _by_pyarrow(self, group: int, columns: list[str]) -> Any:
        self.left = [*getattr(self, "left", []), *columns]
        return super()._by_pyarrow(group, columns)


def columns(rows: int, nulls: float, seed: int) -> dict[str, Any]:
    """Columns of every kind that sets of records have, a share of each null."""
    rng = np.random.default_rng(seed)
    absent = rng.random(rows) < nulls
    numbers = np.cumsum(rng.integers(0, 2 ** rng.integers(1, 40), rows))
    words = [f"{n:026}" if n % 3 else "ễ" * (n % 50) for n in numbers.tolist()]
    status = np.array(["ACCC", "RJCT", "é"])[np.sort(rng.integers(0, 3, rows))]
    return {
        "id": pa.array([f"20261125-000001-{n:010d}"[:26] for n in range(rows)], pa.string()),
        "text": pa.array(np.array(words, object), pa.string(), mask=absent),
        "amount": pa.array(rng.integers(-(2**62), 2**62, rows)),
        "some": pa.array(numbers, mask=absent),
        "at": pa.array(numbers).cast(pa.timestamp("us")).cast(pa.timestamp("us", "UTC")),
        "status": pa.array(status.astype(object), pa.string(), mask=absent),
        "nothing": pa.nulls(rows, pa.string()),
    }


def require_as_pyarrow(path: Path) -> list[str]:
    """Values, types and nulls are those of pyarrow. The columns that were left to it."""
    mine = Watched(path, FEW)
    file = pq.ParquetFile(path, read_dictionary=[n for n in FEW if n in mine.names])
    assert len(mine) == file.num_row_groups
    for group in range(len(mine)):
        wanted = file.read_row_group(group)
        assert mine.rows(group) == len(wanted)
        found = mine.read(group, mine.names)
        for name in mine.names:
            column = wanted[name].combine_chunks()
            found[name].validate(full=True)
            assert found[name].type == column.type, name
            assert found[name].equals(column), name
    return getattr(mine, "left", [])


@pytest.mark.parametrize("compression", ["none", "snappy", "zstd"])
@pytest.mark.parametrize("form", range(len(FORMS)))
@pytest.mark.parametrize("nulls", [0, 0.3, 1])
def test_row_groups__common_files_are_read_natively(
    tmp_path: Path, compression: str, form: int, nulls: float
) -> None:
    path = tmp_path / "file.parquet"
    table = pa.table(columns(3000, nulls, form))
    options: dict[str, Any] = FORMS[form]
    pq.write_table(table, path, compression=compression, row_group_size=1100, **options)
    assert require_as_pyarrow(path) == []


def test_row_groups__all_else_is_left_to_pyarrow(tmp_path: Path) -> None:
    path = tmp_path / "file.parquet"
    table = pa.table(columns(300, 0.1, 1))
    names = table.column_names
    for options in (
        {"compression": "gzip"},
        {"data_page_version": "2.0"},
        {"use_byte_stream_split": ["amount"], "use_dictionary": False},
    ):
        pq.write_table(table, path, **options)
        left = require_as_pyarrow(path)
        assert left == (["amount", "status"] if "use_dictionary" in options else names)
    day = pa.array([1, 2], pa.int32()).cast(pa.date32())
    odd = {
        "list": pa.array([["a"], []]),
        "day": day,
        "second": pa.array([1, 2], pa.timestamp("s")),
        "nano": pa.array([1, 2], pa.timestamp("ns")),
        "exact": pa.array([1, 2], pa.decimal128(18, 0)),
        "short": pa.array([1, 2], pa.int32()),
        "large": pa.array(["a", "b"], pa.large_string()),
        "bytes": pa.array([b"a", b"b"]),
    }
    pq.write_table(pa.table(odd), path)
    assert require_as_pyarrow(path) == list(odd)
    odd.pop("list")
    pq.write_table(pa.table({**odd, "text": pa.array(["a", "b"])}), path)
    assert require_as_pyarrow(path) == list(odd)


@pytest.mark.parametrize("style", [None, Style.SHARED, Style.SQUEEZED])
def test_row_groups__files_of_our_own_are_read_natively(
    tmp_path: Path, style: Style | None
) -> None:
    path = tmp_path / "file.parquet"
    some = columns(2000, 0.2, 3)
    made = {name: some[name] for name in ("id", "text", "amount", "nothing")}
    made["status"] = some["status"].dictionary_encode().cast(CODE)
    styles = {name: style for name in ("id", "text", "nothing") if style}
    path.write_bytes(written(made, styles, groups=3))
    assert require_as_pyarrow(path) == []


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.one_of(st.none(), st.text(max_size=80)), min_size=1, max_size=80),
    st.sampled_from([None, *Style]),
)
def test_row_groups__any_text_is_read_back(
    tmp_path_factory: Any, texts: list[str | None], style: Style | None
) -> None:
    path = tmp_path_factory.mktemp("any") / "file.parquet"
    column = pa.array([t.replace("\0", "") if t else t for t in texts], pa.string())
    path.write_bytes(written({"text": column}, {"text": style} if style else ()))
    assert require_as_pyarrow(path) == []


@settings(max_examples=60, deadline=None)
@given(st.sampled_from([np.int32, np.int64]), st.data())
def test_decode__packed_numbers_are_read_back(kind: Any, data: st.DataObject) -> None:
    """Numbers of any size, whose differences need up to 64 bits."""
    numbers = data.draw(arrays(kind, st.integers(0, 300)))
    packed = np.empty(parquet_encode.room_delta(len(numbers)), np.uint8)
    used = parquet_encode.delta(numbers, packed)
    found = np.empty(len(numbers), kind)
    assert parquet_decode.delta(packed[:used], 0, found) == used
    assert found.tolist() == numbers.tolist()
    if len(numbers):
        with pytest.raises(ValueError, match="damaged"):
            parquet_decode.delta(packed[: used - 1] if len(numbers) > 1 else packed[:1], 0, found)


def filled(call: Any, *given_: Any) -> bool:
    """Whether a kernel filled what it is to fill; else it says ValueError."""
    try:
        call(*given_)
    except ValueError:
        return False
    return True


def test_decode__noise_is_refused_and_never_read_beyond() -> None:
    """Under `make sanitize` a byte too many ends the test."""
    rng = np.random.default_rng(4)
    for turn in range(3000):
        data = rng.integers(0, 256 if turn % 2 else 4, rng.integers(0, 40), np.uint8)
        count = int(rng.integers(0, 40))
        numbers, ends = np.empty(count, np.int32), np.zeros(count + 1, np.int32)
        out = np.empty(rng.integers(1, 100), np.uint8)
        filled(parquet_decode.page_header, data, 0)
        if filled(parquet_decode.hybrid, data, 0, int(rng.integers(0, 32)), 5, numbers):
            assert numbers.max(initial=0) < 5
        filled(parquet_decode.one_run, data, 0, int(rng.integers(0, 32)), count)
        filled(parquet_decode.delta, data, 0, numbers)
        filled(parquet_decode.delta, data, 0, np.empty(count, np.int64))
        filled(parquet_decode.plain_texts, data, 0, ends, out)
        assert 0 <= ends.min() <= ends.max() <= len(out)
        prefix, suffix = rng.integers(-1, 5, (2, count), np.int32)
        ends[:] = 0
        filled(parquet_decode.shared_texts, prefix, suffix, data, 0, ends, out)
        assert 0 <= ends.min() <= ends.max() <= len(out)


def test_row_groups__a_damaged_file_is_read_as_pyarrow_reads_it_or_refused(tmp_path: Path) -> None:
    """Bytes of pages are changed one at a time: nothing but values or pyarrow's own errors."""
    path = tmp_path / "file.parquet"
    rng = random.Random(6)
    for form, options in enumerate(FORMS):
        table = pa.table(columns(200, 0.1, form))
        for compression in ("none", "zstd"):
            pq.write_table(table, path, compression=compression, **options)
            whole = path.read_bytes()
            footer = int.from_bytes(whole[-8:-4], "little") + 8
            refused = 0
            for _ in range(150):
                broken = bytearray(whole)
                broken[rng.randrange(4, len(whole) - footer)] ^= 1 << rng.randrange(8)
                path.write_bytes(broken)
                mine = RowGroups(path, FEW)
                try:
                    found = mine.read(0, mine.names)
                except (OSError, pa.ArrowException):
                    refused += 1
                    continue
                for column in found.values():
                    assert len(column) == 200
            assert refused < 150
