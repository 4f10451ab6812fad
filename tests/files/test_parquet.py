"""Parquet files of our own making, as other readers see them."""

import io
from concurrent.futures import ThreadPoolExecutor

import duckdb
import numpy as np
import polars
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from parquet_bytes import written

from switch.files.parquet_writer import Style, Writer
from switch.native import parquet_encode

NUMBERS = (np.uint8, np.uint32, np.int32, np.int64, np.uint64)


def read(data):
    return pq.read_table(io.BytesIO(data))


def require_same(table, columns):
    for name, column in columns.items():
        expected = column.dictionary_decode() if pa.types.is_dictionary(column.type) else column
        got = table[name].combine_chunks()
        assert got.type == expected.type, name
        assert got.equals(expected), name


def nation(rows, nulls, seed=1):
    """Columns of every kind that answers have, a share of the texts null."""
    rng = np.random.default_rng(seed)
    absent = rng.random(rows) < nulls
    ids = np.cumsum(rng.integers(1, 60, rows))
    lengths = rng.integers(0, 30, rows).tolist()
    words = ["ễ" * (n // 3) + "x" * (n % 7) + str(i) * (n > 2) for i, n in enumerate(lengths)]
    runs = np.repeat(rng.integers(0, 60, rows), rng.integers(1, 40, rows))[:rows].astype(np.int32)

    def texts(values):
        return pa.array(np.array(values, object), pa.string(), mask=absent)

    def codes(index, names):
        return pa.DictionaryArray.from_arrays(pa.array(index, mask=absent), pa.array(names))

    return {
        **{
            f"n_{kind.__name__}": pa.array(
                rng.integers(np.iinfo(kind).min, np.iinfo(kind).max, rows, kind, endpoint=True)
            )
            for kind in NUMBERS
        },
        "line_no": pa.array(np.arange(1, rows + 1, dtype=np.uint32)),
        "period": pa.array(np.full(rows, 202611, np.int32)),
        "text": texts(words),
        "squeezed": texts(words),
        "shared": texts([f"20260901-000001-{i:010d}" for i in ids]),
        "code": codes(runs, [f"P{i}" for i in range(60)]),
        "one": codes(np.zeros(rows, np.int32), ["20260901-000001"]),
    }


STYLES = {"shared": Style.SHARED, "squeezed": Style.SQUEEZED}


@pytest.mark.parametrize("nulls", [0, 0.02, 0.5, 1])
@pytest.mark.parametrize("rows", [1, 2, 8, 9, 32, 33, 127, 128, 129, 130, 257, 5003])
def test_writer__what_is_written_is_read(rows, nulls):
    columns = nation(rows, nulls)
    require_same(read(written(columns, STYLES)), columns)
    require_same(read(written(columns, STYLES, groups=3)), columns)


def test_writer__a_file_without_rows_is_a_file():
    columns = nation(0, 0)
    table = read(written(columns, STYLES))
    assert table.num_rows == 0
    assert table.column_names == list(columns)


def test_writer__other_readers_read_it_alike(tmp_path):
    columns = nation(5000, 0.3)
    path = tmp_path / "t.parquet"
    path.write_bytes(written(columns, STYLES, groups=2))
    known = pq.read_table(path)
    for other in (
        polars.read_parquet(path).to_arrow(),
        duckdb.sql(f"SELECT * FROM '{path}'").to_arrow_table(),
    ):
        for name in known.column_names:
            got = other[name].cast(known[name].type).combine_chunks()
            assert got.equals(known[name].combine_chunks()), name


def test_writer__a_damaged_footer_is_no_file():
    with pytest.raises(pa.ArrowInvalid):
        read(written(nation(10, 0), STYLES)[:-1])


@pytest.mark.parametrize("kind", NUMBERS[1:])
@settings(deadline=None)
@given(data=st.data())
def test_delta__numbers_of_any_size_come_back(kind, data):
    numbers = data.draw(arrays(kind, st.integers(0, 300)))
    columns = {"n": pa.array(numbers)}
    require_same(read(written(columns)), columns)


@settings(deadline=None)
@given(texts=st.lists(st.one_of(st.none(), st.text("ab", max_size=20)), max_size=60))
def test_shared__texts_that_share_beginnings_come_back(texts):
    columns = {"t": pa.array(texts, pa.string())}
    require_same(read(written(columns, {"t": Style.SHARED})), columns)


@settings(deadline=None)
@given(
    width=st.integers(1, 20),
    runs=st.lists(st.tuples(st.integers(0, 2**20 - 1), st.integers(1, 40)), max_size=40),
)
def test_hybrid__runs_and_packed_groups_come_back(width, runs):
    index = np.repeat(
        np.array([value % 2**width for value, _ in runs], np.int32), [n for _, n in runs]
    )
    names = [str(i) for i in range(max(2, int(index.max(initial=0)) + 1))]
    if len(names) <= 5000:
        codes = pa.DictionaryArray.from_arrays(pa.array(index), pa.array(names))
        require_same(read(written({"c": codes})), {"c": codes})
    out = np.empty(parquet_encode.room_hybrid(len(index), width), np.uint8)
    assert parquet_encode.hybrid(index, width, out) <= len(out) - 8


def test_numbers__may_not_be_null():
    schema = pa.schema([pa.field("n", pa.int64())])
    with pytest.raises(AssertionError, match="may not be null"):
        Writer(io.BytesIO().write, schema, {})


def test_texts__a_null_has_none():
    text = pa.py_buffer(np.array([0, 1, 2], np.int32)), pa.py_buffer(b"ab")
    half = pa.StringArray.from_buffers(2, *text, pa.py_buffer(b"\x01"), 1)
    for style in ({}, {"t": Style.SHARED}, {"t": Style.SQUEEZED}):
        with pytest.raises(AssertionError, match="a null has text"):
            written({"t": half}, style)


def test_writer__threads_write_side_by_side_what_one_writes():
    made = [nation(rows, 0.1, seed) for seed, rows in enumerate((3, 5003, 40_000, 131_072) * 3)]
    alone = [written(columns, STYLES) for columns in made]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda columns: written(columns, STYLES), made)) == alone
