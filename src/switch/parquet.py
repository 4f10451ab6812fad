"""Parquet files of our own making: the few encodings in which answers leave, quickly.

Floor 2. pyarrow's writer takes about a third of a run from files to files; `_encode` needs a
fifth of that, for it does only what these files need: flat columns, one page a column and row
group, no statistics. Sources: parquet-format's parquet.thrift (structures, field numbers) and
Encodings.md. Reading is left to pyarrow, and so are all other Parquet files.

| column | encoding | |
|---|---|---|
| dictionary of texts | RLE_DICTIONARY | few values |
| integers | DELTA_BINARY_PACKED | |
| texts | DELTA_LENGTH_BYTE_ARRAY | lengths, then all bytes in a row, as Arrow holds them |
| texts, `Style.SHARED` | DELTA_BYTE_ARRAY | what a text shares with the one before is not written |
| texts, `Style.SQUEEZED` | DELTA_LENGTH_BYTE_ARRAY, zstd | long or seldom ones |
"""

from __future__ import annotations

import functools
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from enum import Enum
from typing import Any

import numpy as np
import pyarrow as pa

from switch import _encode

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


class Style(Enum):
    """How a column of texts is encoded, where it is not as its type has it."""

    SHARED = "texts that begin like the one before"
    SQUEEZED = "long texts, or seldom ones"


class Writer:
    """Writes one Parquet file, row group by row group.

    write: takes bytes. schema: flat, of dictionary<int32, string>, string, and integers, these
    without nulls. styles: of the columns of texts that have one.
    """

    def __init__(
        self, write: Callable[[bytes], object], schema: Any, styles: Mapping[str, Style]
    ) -> None:
        self._write = write
        self._columns = [_column(field, styles.get(field.name)) for field in schema]
        self._groups: list[bytes] = []
        self._rows = 0
        # Nothing is written before there are rows: how early a file is opened may not show.
        self._head = _MAGIC
        self._at = len(_MAGIC)

    def write_group(self, arrays: Iterable[Any]) -> None:
        """One row group: an Arrow array of equal length for each column of the schema."""
        parts: list[Any] = [self._head]
        chunks = []
        start, rows = self._at, 0
        for column, array in zip(self._columns, arrays, strict=True):
            rows = len(array)
            pages, chunk = column.chunk(array, self._at)
            parts += pages
            self._at += sum(len(memoryview(page)) for page in pages)
            chunks.append(chunk)
        self._write(b"".join(parts))
        self._head = b""
        self._rows += rows
        size = self._at - start
        self._groups.append(
            _struct((1, _list(_STRUCT, chunks)), (2, size), (3, rows), (5, start), (6, size))
        )

    def close(self) -> None:
        """The footer: without it the file is none."""
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


class _Column(ABC):
    """One column: its element of the schema, and the pages of its chunks. It has no state."""

    physical = _BYTE_ARRAY
    codec = _NOT_COMPRESSED
    encodings = (_RLE, _DELTA_LENGTH)

    def __init__(self, field: Any) -> None:
        self.name = field.name.encode()
        self.nullable = field.nullable
        self.element = _struct(
            (1, _i32(self.physical)),
            (3, _i32(int(self.nullable))),
            (4, self.name),
            *self.logical(field.type),
        )
        # What all pages and all chunks of the column have in common.
        self._page_tail = _fields(1, (2, _i32(self.encodings[1])), (3, _i32(_RLE)), (4, _i32(_RLE)))
        self._page_tail += _END + _END
        self._head = _fields(
            0,
            (1, _i32(self.physical)),
            (2, _list(_I32, [_zigzag(encoding) for encoding in self.encodings])),
            (3, _list(_BINARY, [_binary(self.name)])),
            (4, _i32(self.codec)),
        )

    def logical(self, _kind: Any) -> Iterable[tuple[int, Any]]:
        return (6, _i32(_UTF8)), (10, _Tagged(_STRUCT, _struct((1, _Tagged(_STRUCT, b"\0")))))

    @abstractmethod
    def chunk(self, array: Any, at: int) -> tuple[list[Any], bytes]:
        """(pieces of the column chunk at this place of the file, its entry in the footer)."""

    def _data_page(self, count: int, pieces: list[Any]) -> tuple[list[Any], int]:
        plain = sum(len(memoryview(piece)) for piece in pieces)
        size = plain
        if self.codec:
            pieces = [_ZSTD.compress(b"".join(pieces), asbytes=True)]
            size = len(pieces[0])
        # A struct of fields 1, 2, 3 (i32) and 5, itself a struct that begins with an i32.
        numbers = _zigzag(plain), b"\x15", _zigzag(size), b"\x2c\x15", _zigzag(count)
        header = b"".join((_PAGE, *numbers, self._page_tail))
        return [header, *pieces], len(header) + plain

    def _entry(
        self, count: int, pages: list[Any], plain: int, at: int, dictionary: int = 0
    ) -> bytes:
        size = sum(len(memoryview(page)) for page in pages)
        where = ((9, at + dictionary), (11, at)) if dictionary else ((9, at),)
        metadata = self._head + _fields(4, (5, count), (6, plain), (7, size), *where) + _END
        return _struct((2, 0), (3, _Tagged(_STRUCT, metadata)))


class _OnePage(_Column):
    """A column whose chunk is one page of values, with nothing before it."""

    @abstractmethod
    def values(self, array: Any, valid: Any) -> list[Any]:
        """The encoded values that are not null, as pieces of a page."""

    def chunk(self, array: Any, at: int) -> tuple[list[Any], bytes]:
        valid = _validity(array) if self.nullable and array.null_count else None
        pieces = [] if not self.nullable else _levels(len(array), valid)
        pieces += self.values(array, valid)
        pages, plain = self._data_page(len(array), pieces)
        return pages, self._entry(len(array), pages, plain, at)


class _Numbers(_OnePage):
    encodings = (_RLE, _DELTA)

    def __init__(self, field: Any) -> None:
        assert not field.nullable, "a number may not be null"
        self.physical = _INT64 if field.type.bit_width == 64 else _INT32
        super().__init__(field)

    def logical(self, kind: Any) -> Iterable[tuple[int, Any]]:
        if pa.types.is_signed_integer(kind):
            return ()
        whole = _struct((1, _Tagged(_BYTE, bytes([kind.bit_width]))), (2, _Tagged(_FALSE, b"")))
        kinds = _struct((10, _Tagged(_STRUCT, whole)))
        return (6, _i32(_UNSIGNED[kind.bit_width])), (10, _Tagged(_STRUCT, kinds))

    def values(self, array: Any, valid: Any) -> list[Any]:
        numbers = np.frombuffer(array.buffers()[1], array.type.to_pandas_dtype())
        numbers = numbers[array.offset : array.offset + len(array)]
        if numbers.itemsize < 4:
            numbers = numbers.astype(np.uint32)
        return [_delta(numbers)]


class _Texts(_OnePage):
    def values(self, array: Any, valid: Any) -> list[Any]:
        offsets, data = _text(array)
        lengths = np.diff(offsets)
        if valid is not None:
            assert not lengths[~valid].any(), "a null has text"
            lengths = lengths[valid]
        return [_delta(lengths), data[offsets[0] : offsets[-1]]]


class _Squeezed(_Texts):
    codec = _COMPRESSED_ZSTD


class _Shared(_OnePage):
    encodings = (_RLE, _DELTA_BYTES)

    def values(self, array: Any, valid: Any) -> list[Any]:
        offsets, data = _text(array)
        if valid is not None:
            # A null is an empty text, so the ends of the others are where they follow each other.
            offsets = np.concatenate([offsets[:1], offsets[1:][valid]])
        count = len(offsets) - 1
        prefix, suffix = np.empty(count, np.int32), np.empty(count, np.int32)
        out = np.empty(int(offsets[-1] - offsets[0]), np.uint8)
        used = _encode.shared(offsets, data, prefix, suffix, out)
        return [_delta(prefix), _delta(suffix), out[:used]]


class _Coded(_Column):
    encodings = (_PLAIN, _RLE_DICTIONARY)

    def chunk(self, array: Any, at: int) -> tuple[list[Any], bytes]:
        valid = _validity(array) if array.null_count else None
        texts = tuple(array.dictionary.to_pylist())
        dictionary = _dictionary_page(texts)
        codes = np.frombuffer(array.indices.buffers()[1], np.int32)
        codes = codes[array.offset : array.offset + len(array)]
        codes = codes if valid is None else codes[valid]
        width = max(1, (len(texts) - 1).bit_length())
        out = np.empty(_encode.room_hybrid(len(codes), width), np.uint8)
        used = _encode.hybrid(codes, width, out)
        pieces = [] if not self.nullable else _levels(len(array), valid)
        pages, plain = self._data_page(len(array), [*pieces, bytes([width]), out[:used]])
        pages = [dictionary, *pages]
        before = len(dictionary)
        return pages, self._entry(len(array), pages, before + plain, at, before)


@functools.cache
def _column(field: Any, style: Style | None) -> _Column:
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


def _validity(array: Any) -> Any:
    """bool[n]: rows that are not null."""
    bits = np.frombuffer(array.buffers()[0], np.uint8)
    end = array.offset + len(array)
    return np.unpackbits(bits, count=end, bitorder="little")[array.offset :].view(bool)


def _levels(count: int, valid: Any) -> list[Any]:
    """Definition levels, length first: 1 where there is a value."""
    levels = np.ones(count, np.int32) if valid is None else valid.astype(np.int32)
    out = np.empty(_encode.room_hybrid(count, 1), np.uint8)
    used = _encode.hybrid(levels, 1, out)
    return [used.to_bytes(4, "little"), out[:used]]


def _delta(numbers: Any) -> Any:
    out = np.empty(_encode.room_delta(len(numbers)), np.uint8)
    return out[: _encode.delta(np.ascontiguousarray(numbers), out)]


def _text(array: Any) -> tuple[Any, Any]:
    """(offsets int32[n + 1], data uint8) of a string array."""
    _, offsets, data = array.buffers()
    starts = np.frombuffer(offsets, np.int32)[array.offset : array.offset + len(array) + 1]
    return starts, np.frombuffer(data, np.uint8) if data is not None else np.empty(0, np.uint8)


# --- Thrift, compact protocol: fields of a struct by rising number -------------------------------

_END = b"\0"
_FALSE, _BYTE, _I32, _I64, _BINARY, _LIST, _STRUCT = 2, 3, 5, 6, 8, 9, 12


class _Tagged:
    """A value whose Thrift type does not follow from its Python type."""

    __slots__ = ("body", "kind")

    def __init__(self, kind: int, body: bytes) -> None:
        self.kind, self.body = kind, body


def _struct(*fields: tuple[int, Any]) -> bytes:
    """Fields (number, value): int as i64, bytes as binary, else `_Tagged`."""
    return _fields(0, *fields) + _END


def _fields(last: int, *fields: tuple[int, Any]) -> bytes:
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
