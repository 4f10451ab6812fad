"""Parquet in: row groups of common files natively, all else through pyarrow.

Flat columns of texts, of int64 and of microseconds, in version 1 pages as this project, pyarrow,
Polars and DuckDB write them, are decoded by `parquet_decode` in half of the time: there is one form
of a column for each kind, and no builder. Whatever is otherwise, or damaged, is left to pyarrow,
column by column: it gives the values, or the error. Which pages are read natively never shows in
the values.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from switch.native import parquet_decode

# parquet.thrift: enums PageType and Encoding.
_DATA_PAGE, _DICTIONARY_PAGE = 0, 2
_PLAIN, _PLAIN_DICTIONARY, _RLE, _DELTA, _DELTA_LENGTH, _DELTA_BYTES, _CODED = 0, 2, 3, 5, 6, 7, 8
_CODECS = {"UNCOMPRESSED": None, "SNAPPY": "snappy", "ZSTD": "zstd"}
_SLACK = 64
"""Room behind texts, so that the last ones too are copied in pieces of fixed size."""
_BYTES_MAX = (1 << 31) - 1


class RowGroups:
    """The row groups of one file. Any number of threads may read.

    few: columns of few texts, which come as dictionaries where the file has them so.
    """

    def __init__(self, path: Path, few: Collection[str] = ()) -> None:
        self._path = path
        self._few = set(few)
        self._metadata = pq.read_metadata(path)
        arrow = self._metadata.schema.to_arrow_schema()
        self.names: list[str] = arrow.names
        self._forms = _forms(self._metadata.schema, arrow)
        self._idle: list[pq.ParquetFile] = []

    def __len__(self) -> int:
        return int(self._metadata.num_row_groups)

    def rows(self, group: int) -> int:
        return int(self._metadata.row_group(group).num_rows)

    def read(self, group: int, columns: Iterable[str]) -> dict[str, pa.Array]:
        """Columns of a row group by name, each as one Arrow array."""
        found, others = {}, []
        about = self._metadata.row_group(group)
        handle = os.open(self._path, os.O_RDONLY)
        try:
            for name in columns:
                try:
                    found[name] = self._column(handle, about, name)
                except (ValueError, OverflowError, OSError, MemoryError):
                    others.append(name)
        finally:
            os.close(handle)
        if others:
            table = self._by_pyarrow(group, others)
            found.update({name: in_one(table[name]) for name in others})
        return found

    def _by_pyarrow(self, group: int, columns: list[str]) -> pa.Table:
        # Several threads read, each with a reader of its own.
        try:
            file = self._idle.pop()
        except IndexError:
            file = pq.ParquetFile(
                self._path,
                metadata=self._metadata,
                pre_buffer=False,
                read_dictionary=[name for name in self.names if name in self._few],
            )
        table = file.read_row_group(group, columns=columns, use_threads=False)
        self._idle.append(file)
        return table

    def _column(self, handle: int, about: pq.RowGroupMetaData, name: str) -> pa.Array:
        """One column. Raises ValueError where it is not of those that are decoded here."""
        if name not in self._forms:
            raise ValueError("not decoded here")
        place, kind, nullable = self._forms[name]
        chunk, rows = about.column(place), about.num_rows
        codec, room, size = (
            chunk.compression, chunk.total_uncompressed_size, chunk.total_compressed_size
        )  # fmt: skip
        if codec not in _CODECS or max(room, size) > _BYTES_MAX:
            raise ValueError("not decoded here")
        column: _Texts | _Numbers
        column = _Numbers(rows, kind) if kind else _Texts(rows, room, name in self._few)
        start = chunk.data_page_offset
        if chunk.has_dictionary_page and chunk.dictionary_page_offset:
            start = min(start, chunk.dictionary_page_offset)
        data = np.frombuffer(os.pread(handle, size, start), np.uint8)
        pages = _pages(data, _CODECS[codec], room)
        while column.filled < rows:
            sort, page, count, encoding, levels = next(pages)
            if sort == _DICTIONARY_PAGE:
                column.learn(page, count)
                continue
            odd = sort != _DATA_PAGE or (nullable and levels != _RLE)
            if odd or count > rows - column.filled:
                raise ValueError("not decoded here")
            begin, valid = _levels(page, count) if nullable else (0, None)
            column.take(page, begin, encoding, count, valid)
        return column.array()


def in_one(column: pa.ChunkedArray) -> pa.Array:
    """A chunked column as one array."""
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()


def _forms(
    schema: pq.ParquetSchema, arrow: pa.Schema
) -> dict[str, tuple[int, pa.DataType | None, bool]]:
    """Columns that can be decoded here, by name: (place, Arrow type of numbers or None for texts,
    true where there may be nulls)."""
    forms = {}
    if len(schema) != len(arrow):
        # Some column is no flat one.
        return {}
    for place, field in enumerate(arrow):
        column, kind = schema.column(place), field.type
        word = kind.value_type if pa.types.is_dictionary(kind) else kind
        text = column.physical_type == "BYTE_ARRAY" and pa.types.is_string(word)
        whole = column.physical_type == "INT64" and _is_whole(kind, column.logical_type)
        if (text or whole) and column.max_repetition_level == 0:
            forms[field.name] = place, kind if whole else None, column.max_definition_level == 1
    return forms


def _is_whole(kind: pa.DataType, logical: pq.ParquetLogicalType) -> bool:
    """True where the numbers of the file are those of the Arrow type."""
    if pa.types.is_timestamp(kind):
        return kind.unit == "us" and "timeUnit=microseconds" in str(logical)
    return bool(pa.types.is_int64(kind))


class _Page(NamedTuple):
    """A page of a column chunk: its type, how many values it holds, and their encodings."""

    kind: int
    content: NDArray[np.uint8]
    values: int
    encoding: int
    levels: int


def _pages(data: NDArray[np.uint8], codec: str | None, room: int) -> Iterator[_Page]:
    """The pages of a column chunk, of at most room bytes."""
    at = 0
    while True:
        at, kind, plain_size, size, count, encoding, levels = parquet_decode.page_header(data, at)
        page = data[at : at + size]
        at += size
        if codec is not None:
            if plain_size > room:
                raise ValueError("a page is larger than its column")
            page = np.frombuffer(pa.decompress(page, plain_size, codec), np.uint8)
        yield _Page(kind, page, count, encoding, levels)


def _levels(page: NDArray[np.uint8], count: int) -> tuple[int, NDArray[np.bool_] | None]:
    """(where values begin, bool[count]: which are there; None: all)."""
    if len(page) < 4:
        raise ValueError("levels are missing")
    size = int.from_bytes(page[:4].tobytes(), "little")
    if size > len(page) - 4:
        raise ValueError("levels are longer than their page")
    levels = page[4 : 4 + size]
    if count and parquet_decode.one_run(levels, 0, 1, count) == 1:
        return 4 + size, None
    there = np.empty(count, np.int32)
    parquet_decode.hybrid(levels, 0, 1, 2, there)
    return 4 + size, there == 1


class _Column:
    """A column that fills page by page."""

    def __init__(self, rows: int) -> None:
        self.rows = rows
        self.filled = 0
        self._valid: NDArray[np.bool_] | None = None

    def _note(self, count: int, valid: NDArray[np.bool_] | None) -> int:
        """Take note of the nulls among the next rows; how many values there are."""
        if valid is None:
            return count
        if self._valid is None:
            self._valid = np.ones(self.rows, bool)
        self._valid[self.filled : self.filled + count] = valid
        return int(np.count_nonzero(valid))

    def _bitmap(self) -> tuple[pa.Buffer | None, int]:
        if self._valid is None:
            return None, 0
        bits = np.packbits(self._valid, bitorder="little")
        return pa.py_buffer(bits), self.rows - int(np.count_nonzero(self._valid))


class _Numbers(_Column):
    """int64, or microseconds."""

    def __init__(self, rows: int, kind: pa.DataType) -> None:
        super().__init__(rows)
        self._kind = kind
        self._out = np.empty(rows, np.int64)
        self._words = np.empty(0, np.int64)

    def learn(self, page: NDArray[np.uint8], count: int) -> None:
        self._words = np.frombuffer(page, "<i8", count)

    def take(
        self,
        page: NDArray[np.uint8],
        at: int,
        encoding: int,
        count: int,
        valid: NDArray[np.bool_] | None,
    ) -> None:
        there = self._note(count, valid)
        out = self._out[self.filled : self.filled + count]
        values = out if valid is None else np.empty(there, np.int64)
        if encoding == _PLAIN:
            values[:] = np.frombuffer(page, "<i8", there, at) if there else 0
        elif encoding == _DELTA:
            parquet_decode.delta(page, at, values)
        elif encoding in (_CODED, _PLAIN_DICTIONARY):
            np.take(self._words, _codes(page, at, there, len(self._words)), out=values)
        else:
            raise ValueError("not decoded here")
        if valid is not None:
            out[:] = 0
            out[valid] = values
        self.filled += count

    def array(self) -> pa.Array:
        bits, nulls = self._bitmap()
        buffers = [bits, pa.py_buffer(self._out)]
        return pa.Array.from_buffers(self._kind, self.rows, buffers, null_count=nulls)


class _Texts(_Column):
    """Texts row by row; as codes of words as long as few is wanted and all pages have codes."""

    def __init__(self, rows: int, plain_size: int, few: bool) -> None:
        super().__init__(rows)
        self._few = few
        self._ends = np.empty(rows + 1, np.int32)
        self._ends[0] = 0
        self._room = plain_size
        self._data = np.empty(0, np.uint8)
        self._word_ends = np.zeros(1, np.int32)
        self._words = np.empty(0, np.uint8)

    def learn(self, page: NDArray[np.uint8], count: int) -> None:
        if 4 * count > len(page):
            raise ValueError("words are missing")
        self._word_ends = np.zeros(count + 1, np.int32)
        self._words = np.empty(len(page) + _SLACK, np.uint8)
        parquet_decode.plain_texts(page, 0, self._word_ends, self._words)

    def take(
        self,
        page: NDArray[np.uint8],
        at: int,
        encoding: int,
        count: int,
        valid: NDArray[np.bool_] | None,
    ) -> None:
        there = self._note(count, valid)
        coded = encoding in (_CODED, _PLAIN_DICTIONARY)
        if self._few:
            if not coded:
                raise ValueError("not decoded here")
            # Until `array`, the codes of rows stand where the ends of texts would.
            codes = _codes(page, at, there, len(self._word_ends) - 1)
            _spread(codes, valid, self._ends[self.filled : self.filled + count])
            self.filled += count
            return
        ends = self._ends[self.filled : self.filled + count + 1]
        self.filled += count
        if there == 0:
            ends[1:] = ends[0]
            return
        values = ends
        if valid is not None:
            values = np.empty(there + 1, np.int32)
            values[0] = ends[0]
        if encoding == _PLAIN:
            self._make_room(ends[0], len(page))
            parquet_decode.plain_texts(page, at, values, self._data)
        elif encoding == _DELTA_LENGTH:
            self._behind_lengths(page, at, values)
        elif encoding == _DELTA_BYTES:
            self._behind_shares(page, at, values)
        elif coded:
            codes = _codes(page, at, there, len(self._word_ends) - 1)
            sizes = np.diff(self._word_ends)
            self._make_room(ends[0], int(sizes[codes].sum(dtype=np.int64)))
            parquet_decode.picked_texts(codes, self._word_ends, self._words, values, self._data)
        else:
            raise ValueError("not decoded here")
        if valid is not None:
            # A null is an empty text behind the one before.
            ends[1:] = values[np.cumsum(valid)]

    def _make_room(self, used: int, more: int) -> None:
        wanted = int(used) + more + _SLACK
        if wanted > _BYTES_MAX:
            raise ValueError("texts of more than 2 GiB")
        if wanted > len(self._data):
            wider = np.empty(min(max(wanted, self._room + _SLACK, 2 * len(self._data)), _BYTES_MAX),
                             np.uint8)  # fmt: skip
            wider[:used] = self._data[:used]
            self._data = wider

    def _behind_lengths(self, page: NDArray[np.uint8], at: int, ends: NDArray[np.int32]) -> None:
        lengths = np.empty(len(ends) - 1, np.int32)
        at = parquet_decode.delta(page, at, lengths)
        size = parquet_decode.summed(lengths)
        if size > len(page) - at:
            raise ValueError("texts are longer than their page")
        begin = int(ends[0])
        self._make_room(begin, size)
        parquet_decode.laid(lengths, ends)
        self._data[begin : begin + size] = page[at : at + size]

    def _behind_shares(self, page: NDArray[np.uint8], at: int, ends: NDArray[np.int32]) -> None:
        prefix, suffix = np.empty(len(ends) - 1, np.int32), np.empty(len(ends) - 1, np.int32)
        at = parquet_decode.delta(page, at, prefix)
        at = parquet_decode.delta(page, at, suffix)
        self._make_room(ends[0], parquet_decode.summed(prefix) + parquet_decode.summed(suffix))
        parquet_decode.shared_texts(prefix, suffix, page, at, ends, self._data)

    def array(self) -> pa.Array:
        bits, nulls = self._bitmap()
        if self._few:
            codes = pa.Array.from_buffers(
                pa.int32(), self.rows, [bits, pa.py_buffer(self._ends)], null_count=nulls
            )
            words = _string_array(self._word_ends, self._words)
            return pa.DictionaryArray.from_arrays(codes, words, safe=False)
        return _string_array(self._ends, self._data, bits, nulls)


def _string_array(
    ends: NDArray[np.int32], data: NDArray[np.uint8], bits: pa.Buffer | None = None, nulls: int = 0
) -> pa.StringArray:
    return pa.StringArray.from_buffers(
        len(ends) - 1, pa.py_buffer(ends), pa.py_buffer(data), bits, nulls
    )


def _codes(page: NDArray[np.uint8], at: int, count: int, limit: int) -> NDArray[np.int32]:
    """int32[count] below limit, behind the byte that says their width."""
    codes = np.empty(count, np.int32)
    if count:
        width = int(page[at]) if at < len(page) else 32
        if width > 31:
            raise ValueError("codes are missing")
        parquet_decode.hybrid(page, at + 1, width, limit, codes)
    return codes


def _spread(
    values: NDArray[np.int32], valid: NDArray[np.bool_] | None, out: NDArray[np.int32]
) -> None:
    if valid is None:
        out[:] = values
    else:
        out[:] = 0
        out[valid] = values
