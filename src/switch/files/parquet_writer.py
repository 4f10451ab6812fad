"""Parquet out: the few encodings in which answers leave, quickly.

pyarrow's writer takes about a third of a run from files to files; `parquet_encode` needs a fifth of
that, for it does only what these files need: flat columns, one page a column and row group, no
statistics. Sources: parquet-format's parquet.thrift (structures, field numbers) and Encodings.md.
Reading is left to pyarrow, and so are all other Parquet files.

| column | encoding | | |---|---|---| | dictionary of texts | RLE_DICTIONARY | few values | |
integers | DELTA_BINARY_PACKED | | | texts | DELTA_LENGTH_BYTE_ARRAY | lengths, then all bytes in a
row, as Arrow holds them | | texts, `Style.SHARED` | DELTA_BYTE_ARRAY | what a text shares with the
one before is not written | | texts, `Style.SQUEEZED` | DELTA_LENGTH_BYTE_ARRAY, zstd | long or
seldom ones |
"""

from __future__ import annotations

import contextlib
import functools
import itertools
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from enum import Enum
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from switch.files.columns import valid_rows
from switch.native import parquet_encode

CREATED_BY = "switch 0.1"
_ZSTD = pa.Codec("zstd", compression_level=1)

# parquet.thrift: enums Type, Encoding, CompressionCodec, PageType, ConvertedType.
_INT32, _INT64, _BYTE_ARRAY = 1, 2, 6
_PLAIN, _RLE, _DELTA, _DELTA_LENGTH, _DELTA_BYTES, _RLE_DICTIONARY = 0, 3, 5, 6, 7, 8
_NOT_COMPRESSED, _COMPRESSED_ZSTD = 0, 6
_DATA_PAGE, _DICTIONARY_PAGE = 0, 2
_UTF8 = 0
_UNSIGNED = {8: 11, 16: 12, 32: 13, 64: 14}
_MAGIC = b"PAR1"

ROOMS_MAX = 4
ROOM_BYTES_MAX = 1 << 26
"""Rooms that are kept for the next row group, and how large one may be."""


class Style(Enum):
    """Encoding of a column of texts, where it is not that of its type."""

    SHARED = "texts that begin like the one before"
    SQUEEZED = "long texts, or seldom ones"


class Writer:
    """Writes one Parquet file, row group by row group.

    write: is handed bytes, which it may use until it returns. schema: flat, of
    dictionary<int32, string>, string, and integers, these without nulls. styles: of the columns of
    texts that have one.
    """

    def __init__(
        self,
        write: Callable[[bytes | memoryview], object],
        schema: pa.Schema,
        styles: Mapping[str, Style],
    ) -> None:
        self._write = write
        self._columns = [_column(field, styles.get(field.name)) for field in schema]
        self._groups: list[bytes] = []
        self._rows = 0
        # Nothing is written before there are rows: how early a file is opened may not show.
        self._head = _MAGIC
        self._at = len(_MAGIC)

    def write_group(self, arrays: Iterable[pa.Array]) -> None:
        """One row group: an Arrow array of equal length for each column of the schema."""
        parts = [column.part(array) for column, array in zip(self._columns, arrays, strict=True)]
        start, rows = self._at, parts[0].rows
        head = _Part(parquet_encode.Kind.READY, rows, before=self._head)
        with _rooms.taken([head, *parts]) as (out, ends):
            self._write(out.data)
        self._at += ends[-1] - ends[0]
        chunks = [
            column.entry(part, start + begin - ends[0], end - begin)
            for column, part, (begin, end) in zip(
                self._columns, parts, itertools.pairwise(ends), strict=True
            )
        ]
        self._head = b""
        self._rows += rows
        size = self._at - start
        self._groups.append(
            _struct((1, _list(_STRUCT, chunks)), (2, size), (3, rows), (5, start), (6, size))
        )

    def close(self) -> None:
        """Write the footer: without it this is no valid Parquet file."""
        schema = [
            _struct((4, b"schema"), (5, _i32(len(self._columns)))),
            *(column.element for column in self._columns),
        ]
        footer = _struct(
            (1, _i32(2)),
            (2, _list(_STRUCT, schema)),
            (3, self._rows),
            (4, _list(_STRUCT, self._groups)),
            (6, CREATED_BY.encode()),
        )
        self._write(self._head + footer + len(footer).to_bytes(4, "little") + _MAGIC)


class _Part(NamedTuple):
    """Arguments of `parquet_encode.pages` for one page."""

    kind: parquet_encode.Kind
    rows: int
    values: NDArray[np.integer] | None = None
    data: NDArray[np.uint8] | None = None
    valid: NDArray[np.uint8] | None = None
    optional: bool = False
    width: int = 0
    before: bytes = b""
    tail: bytes = b""
    saved: int = 0
    """Bytes by which its compression made it smaller."""


class _Rooms:
    """Room in which pages are made, taken by one thread at a time and used again: memory that is
    new each time has to be cleared by the system first, which takes longer than the pages."""

    def __init__(self) -> None:
        self._free: list[tuple[NDArray[np.uint8], NDArray[np.int32]]] = []

    @contextlib.contextmanager
    def taken(
        self, parts: list[_Part], *, headers: bool = True
    ) -> Iterator[tuple[NDArray[np.uint8], list[int]]]:
        """(the pages of the parts in a row, where each of them ends)."""
        head = _PAGE if headers else b""
        try:
            out, work = self._free.pop()
        except IndexError:
            out, work = np.empty(0, np.uint8), np.empty(0, np.int32)
        room, working = parquet_encode.room_pages(parts, head)
        if len(out) < room or len(work) < working:
            out, work = np.empty(room, np.uint8), np.empty(max(working, 1), np.int32)
        ends = parquet_encode.pages(parts, head, out, work)
        yield out[: ends[-1]], ends
        if len(self._free) < ROOMS_MAX and len(out) <= ROOM_BYTES_MAX:
            self._free.append((out, work))


class _Column(ABC):
    """One column: its element of the schema, and the pages of its chunks. It has no state."""

    physical = _BYTE_ARRAY
    codec = _NOT_COMPRESSED
    encodings = (_RLE, _DELTA_LENGTH)
    coded = False

    def __init__(self, field: pa.Field) -> None:
        self.name = field.name.encode()
        self.nullable = field.nullable
        self.element = _struct(
            (1, _i32(self.physical)),
            (3, _i32(int(self.nullable))),
            (4, self.name),
            *self.logical(field.type),
        )
        # What all pages and all chunks of the column have in common.
        self.tail = _fields(1, (2, _i32(self.encodings[1])), (3, _i32(_RLE)), (4, _i32(_RLE)))
        self.tail += _END + _END
        self._head = _fields(
            0,
            (1, _i32(self.physical)),
            (2, _list(_I32, [_zigzag(encoding) for encoding in self.encodings])),
            (3, _list(_BINARY, [_binary(self.name)])),
            (4, _i32(self.codec)),
        )

    def logical(self, _kind: pa.DataType) -> Iterable[tuple[int, _Tagged]]:
        return (6, _i32(_UTF8)), (10, _Tagged(_STRUCT, _struct((1, _Tagged(_STRUCT, b"\0")))))

    @abstractmethod
    def part(self, array: pa.Array) -> _Part:
        """The page of a column chunk, to be made."""

    def entry(self, part: _Part, at: int, size: int) -> bytes:
        """Metadata of a column chunk of so many bytes at this place of the file, for the footer."""
        where = ((9, at + len(part.before)), (11, at)) if self.coded else ((9, at),)
        sizes = (5, part.rows), (6, size + part.saved), (7, size)
        metadata = self._head + _fields(4, *sizes, *where) + _END
        return _struct((2, 0), (3, _Tagged(_STRUCT, metadata)))

    def valid(self, array: pa.Array) -> NDArray[np.uint8] | None:
        """u8[n]: 1 where a row is not null; None where no row is."""
        if not self.nullable or not array.null_count:
            return None
        return valid_rows(array).view(np.uint8)


class _Numbers(_Column):
    encodings = (_RLE, _DELTA)

    def __init__(self, field: pa.Field) -> None:
        assert not field.nullable, "a number may not be null"
        self.width = 64 if field.type.bit_width == 64 else 32
        self.physical = _INT64 if self.width == 64 else _INT32
        sign = "i" if pa.types.is_signed_integer(field.type) else "u"
        self.dtype = np.dtype(f"{sign}{field.type.bit_width // 8}")
        super().__init__(field)

    def logical(self, kind: pa.DataType) -> Iterable[tuple[int, _Tagged]]:
        if pa.types.is_signed_integer(kind):
            return ()
        whole = _struct((1, _Tagged(_BYTE, bytes([kind.bit_width]))), (2, _Tagged(_FALSE, b"")))
        kinds = _struct((10, _Tagged(_STRUCT, whole)))
        return (6, _i32(_UNSIGNED[kind.bit_width])), (10, _Tagged(_STRUCT, kinds))

    def part(self, array: pa.Array) -> _Part:
        numbers = np.frombuffer(array.buffers()[1], self.dtype)
        numbers = numbers[array.offset : array.offset + len(array)]
        if numbers.itemsize < 4:
            numbers = numbers.astype(np.uint32)
        return _Part(
            parquet_encode.Kind.NUMBERS, len(array), numbers, width=self.width, tail=self.tail
        )


class _Texts(_Column):
    kind = parquet_encode.Kind.TEXTS

    def part(self, array: pa.Array) -> _Part:
        _, offsets, data = array.buffers()
        starts = np.frombuffer(offsets, np.int32)[array.offset : array.offset + len(array) + 1]
        starts = starts if len(array) else np.zeros(1, np.int32)
        text = np.frombuffer(data, np.uint8) if data is not None else np.empty(0, np.uint8)
        return _Part(
            self.kind, len(array), starts, text, self.valid(array), self.nullable, tail=self.tail
        )


class _Shared(_Texts):
    kind = parquet_encode.Kind.SHARED
    encodings = (_RLE, _DELTA_BYTES)


class _Squeezed(_Texts):
    codec = _COMPRESSED_ZSTD

    def part(self, array: pa.Array) -> _Part:
        plain = super().part(array)._replace(tail=b"")
        with _rooms.taken([plain], headers=False) as (body, ends):
            squeezed = _ZSTD.compress(body, asbytes=True)
        sizes = _zigzag(ends[-1]), b"\x15", _zigzag(len(squeezed)), b"\x2c\x15"
        page = b"".join((_PAGE, *sizes, _zigzag(plain.rows), self.tail, squeezed))
        return _Part(
            parquet_encode.Kind.READY, plain.rows, before=page, saved=ends[-1] - len(squeezed)
        )


class _Coded(_Column):
    coded = True
    encodings = (_PLAIN, _RLE_DICTIONARY)

    def part(self, array: pa.Array) -> _Part:
        texts = tuple(array.dictionary.to_pylist())
        codes = np.frombuffer(array.indices.buffers()[1], np.int32)
        codes = codes[array.offset : array.offset + len(array)]
        return _Part(
            parquet_encode.Kind.CODES,
            len(array),
            codes,
            valid=self.valid(array),
            optional=self.nullable,
            width=max(1, (len(texts) - 1).bit_length()),
            before=_dictionary_page(texts),
            tail=self.tail,
        )


@functools.cache
def _column(field: pa.Field, style: Style | None) -> _Column:
    if pa.types.is_dictionary(field.type):
        return _Coded(field)
    if pa.types.is_integer(field.type):
        return _Numbers(field)
    if style is Style.SHARED:
        return _Shared(field)
    return _Squeezed(field) if style is Style.SQUEEZED else _Texts(field)


@functools.lru_cache(maxsize=64)
def _dictionary_page(texts: tuple[str, ...]) -> bytes:
    body = b"".join(
        len(utf8).to_bytes(4, "little") + utf8 for utf8 in (text.encode() for text in texts)
    )
    inner = _struct((1, _i32(len(texts))), (2, _i32(_PLAIN)))
    return (
        _struct(
            (1, _i32(_DICTIONARY_PAGE)),
            (2, _i32(len(body))),
            (3, _i32(len(body))),
            (7, _Tagged(_STRUCT, inner)),
        )
        + body
    )


# --- Thrift, compact protocol: fields of a struct by rising number -------------------------------

_END = b"\0"
_FALSE, _BYTE, _I32, _I64, _BINARY, _LIST, _STRUCT = 2, 3, 5, 6, 8, 9, 12


class _Tagged:
    """A value whose Thrift type does not follow from its Python type."""

    __slots__ = ("body", "kind")

    def __init__(self, kind: int, body: bytes) -> None:
        self.kind, self.body = kind, body


def _struct(*fields: tuple[int, int | bytes | _Tagged]) -> bytes:
    """Fields (number, value): int as i64, bytes as binary, else `_Tagged`."""
    return _fields(0, *fields) + _END


def _fields(last: int, *fields: tuple[int, int | bytes | _Tagged]) -> bytes:
    """Some fields of a struct, behind field number last."""
    out = bytearray()
    for number, value in fields:
        if isinstance(value, int):
            value = _Tagged(_I64, _zigzag(value))
        elif isinstance(value, bytes):
            value = _Tagged(_BINARY, _binary(value))
        assert 0 < number - last < 16
        out.append((number - last) << 4 | value.kind)
        out += value.body
        last = number
    return bytes(out)


def _i32(value: int) -> _Tagged:
    return _Tagged(_I32, _zigzag(value))


def _list(kind: int, items: list[bytes]) -> _Tagged:
    head = bytes([len(items) << 4 | kind]) if len(items) < 15 else bytes([0xF0 | kind])
    return _Tagged(
        _LIST, head + (b"" if len(items) < 15 else _varint(len(items))) + b"".join(items)
    )


def _binary(value: bytes) -> bytes:
    return _varint(len(value)) + value


@functools.lru_cache(maxsize=4096)
def _zigzag(value: int) -> bytes:
    return _varint(value << 1)


def _varint(value: int) -> bytes:
    assert value >= 0
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


_PAGE = _fields(0, (1, _i32(_DATA_PAGE))) + b"\x15"
_rooms = _Rooms()
