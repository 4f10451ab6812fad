"""One row: single rows of a batch's files, read without decoding what they stand among.

A file that this project wrote has one page a column and row group (`parquet_writer`), so that a
value is found from its place: behind packed numbers up to it, in the run that holds its code, or
behind the lengths of texts. Whatever is otherwise is left to `segment.Groups`.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from io import FileIO
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from switch.errors import VerificationFailed
from switch.files.segment import Groups
from switch.native import parquet_decode, parquet_row

Value = int | str | None

# parquet.thrift: enums PageType, Encoding and CompressionCodec.
_DATA_PAGE, _DICTIONARY_PAGE = 0, 2
_DELTA, _DELTA_LENGTH, _CODED = 5, 6, 8
_PLAIN_BYTES, _ZSTD = 0, 6
_ROOM_MAX = 1 << 28
"""Bytes of a page that are unpacked at most."""
_TAIL = 8
"""Bytes behind a footer: its length and a mark."""
_TAIL_READ = 1 << 13
"""Bytes that are read from the end at once: most footers are shorter."""
_LEVELS = 4
"""Bytes that say how long the levels of a column with nulls are."""


class _Group(NamedTuple):
    """A row group: its first row, how many it has, and where its columns stand."""

    first: int
    rows: int
    columns: dict[str, tuple[int, int, int, int]]
    """(codec, values, where they begin, bytes) by name."""


class OneRow:
    """A file of rows, as a context: `read` gives some columns of one of them.

    schema: of the file; its types and nulls say how columns are encoded. Raises VerificationFailed
    where the file is gone or damaged.
    """

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        self._path, self._schema = path, schema
        self._groups: list[_Group] | None = None
        self._others: Groups | None = None
        self._file: FileIO | None = None
        if path.suffix == ".arrow":
            return
        try:
            self._file = path.open("rb", buffering=0)
            self._groups = _groups(self._file.fileno())
        except FileNotFoundError:
            raise _damaged(path, "is gone") from None
        except (ValueError, OverflowError) as error:
            self.close()
            raise _damaged(path) from error

    def __enter__(self) -> OneRow:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file."""
        if self._file is not None:
            self._file.close()

    def read(self, place: int, names: Sequence[str]) -> dict[str, Value]:
        """Columns of the row at a place by their names. Raises VerificationFailed."""
        if self._groups is None:
            return self._by_groups(place, names)
        group = next((g for g in self._groups if g.first <= place < g.first + g.rows), None)
        if group is None:
            raise _damaged(self._path)
        found: dict[str, Value] = {}
        others: list[str] = []
        for name in names:
            try:
                found[name] = self._value(group, place - group.first, name)
            except (ValueError, OverflowError, KeyError, OSError):
                others.append(name)
        return found | self._by_groups(place, others) if others else found

    def _by_groups(self, place: int, names: Sequence[str]) -> dict[str, Value]:
        """Values by decoding the whole row group."""
        self._others = groups = self._others or Groups(self._path)
        done = 0
        for number in range(len(groups)):
            table = groups.read(number, list(names))
            if place < done + len(table):
                try:
                    row: dict[str, Value] = table.slice(place - done, 1).to_pylist()[0]
                except ValueError as error:  # A text that is not UTF-8.
                    raise _damaged(self._path) from error
                return row
            done += len(table)
        raise _damaged(self._path)

    def _value(self, group: _Group, place: int, name: str) -> Value:
        """One value. Raises ValueError where it is not of those that are found here."""
        field = self._schema.field(name)
        codec, values, start, size = group.columns[name]
        if values != group.rows:
            raise ValueError("a column of another length")
        assert self._file is not None
        data = np.frombuffer(os.pread(self._file.fileno(), size, start), np.uint8)
        at, words = 0, np.empty(0, np.uint8)
        if pa.types.is_dictionary(field.type):
            at, kind, _, length, _, _, _ = parquet_decode.page_header(data, 0)
            if kind != _DICTIONARY_PAGE:
                raise ValueError("not found here")
            words, at = data[at : at + length], at + length
        at, kind, room, length, count, encoding, _ = parquet_decode.page_header(data, at)
        if kind != _DATA_PAGE or count != group.rows or room > _ROOM_MAX:
            raise ValueError("not found here")
        page = data[at : at + length]
        if codec == _ZSTD:
            page = np.frombuffer(pa.decompress(page, room, "zstd"), np.uint8)
        elif codec != _PLAIN_BYTES:
            raise ValueError("not found here")
        if pa.types.is_integer(field.type) and encoding == _DELTA:
            return _number(parquet_row.number_at(page, 0, place, count), field.type)
        at, there = 0, place
        if field.nullable:
            at, there = _behind_levels(page, place)
            if there < 0:
                return None
        if pa.types.is_dictionary(field.type) and encoding == _CODED:
            return _word(page, at, there, words)
        if pa.types.is_string(field.type) and encoding == _DELTA_LENGTH:
            return _text(page, at, there, count)
        raise ValueError("not found here")


def _number(value: int, kind: pa.DataType) -> int:
    """A number modulo 2^64 as one of its type."""
    value &= (1 << kind.bit_width) - 1
    if pa.types.is_signed_integer(kind) and value >> kind.bit_width - 1:
        value -= 1 << kind.bit_width
    return value


def _behind_levels(page: NDArray[np.uint8], place: int) -> tuple[int, int]:
    """(where the values of a page with nulls begin, place of a row among them), -1 for a null."""
    size = int.from_bytes(page[:_LEVELS].tobytes(), "little")
    if size > len(page) - _LEVELS:
        raise ValueError("levels are longer than their page")
    is_there, before = parquet_row.code_at(page[_LEVELS : _LEVELS + size], 0, 1, place)
    return _LEVELS + size, before if is_there else -1


def _word(page: NDArray[np.uint8], at: int, place: int, words: NDArray[np.uint8]) -> str:
    """The text whose code stands at a place of a page."""
    if at >= len(page) or page[at] > 31:
        raise ValueError("codes are missing")
    code, _ = parquet_row.code_at(page, at + 1, int(page[at]), place)
    begin, content = 0, words.tobytes()
    for _ in range(min(code, len(content))):
        begin += 4 + int.from_bytes(content[begin : begin + 4], "little")
    length = int.from_bytes(content[begin : begin + 4], "little")
    if begin + 4 + length > len(content):
        raise ValueError("a code without a word")
    return content[begin + 4 : begin + 4 + length].decode()


def _text(page: NDArray[np.uint8], at: int, place: int, rows: int) -> str:
    """The text at a place of a page of texts behind all their lengths, at most so many as rows."""
    count = parquet_row.count_of(page, at)
    if not place < count <= rows:
        raise ValueError("texts are missing")
    lengths = np.empty(count, np.int32)
    begin = parquet_decode.delta(page, at, lengths)
    if lengths.min() < 0:
        raise ValueError("a text of negative length")
    begin += int(lengths[:place].sum(dtype=np.int64))
    if begin + int(lengths[place]) > len(page):
        raise ValueError("texts are longer than their page")
    return page[begin : begin + int(lengths[place])].tobytes().decode()


def _groups(handle: int) -> list[_Group]:
    """The row groups of an open file. Raises ValueError for what is none."""
    size = os.fstat(handle).st_size
    tail = os.pread(handle, _TAIL_READ, max(size - _TAIL_READ, 0))
    length = int.from_bytes(tail[-_TAIL:-4], "little")
    if size < _TAIL or length > size - _TAIL:
        raise ValueError("the metadata is missing")
    if length > len(tail) - _TAIL:
        tail = os.pread(handle, length + _TAIL, size - length - _TAIL)
    data = np.frombuffer(tail, np.uint8)[len(tail) - _TAIL - length : len(tail) - _TAIL]
    found: list[_Group] = []
    first = 0
    for rows, columns in parquet_row.footer(data):
        where = {
            name.decode(): (codec, count, start, length)
            for name, codec, count, start, length in columns
        }
        if rows < 0 or any(min(part) < 0 or sum(part[2:]) > size for part in where.values()):
            raise ValueError("the metadata is damaged")
        found.append(_Group(first, rows, where))
        first += rows
    return found


def _damaged(path: Path, what: str = "is damaged") -> VerificationFailed:
    remedy = "restore it from a copy (`switch scrub HOME --copy DIR`)"
    return VerificationFailed(f"{path} {what}: {remedy}")
