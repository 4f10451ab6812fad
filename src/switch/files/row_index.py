"""Row index: where the lines of each person stand in a batch, so that nobody has to look for them.

One file beside a batch (docs/formats.md draws it): parts, one behind the other, each of the lines
at consecutive places of one file of the batch.

    header   32 bytes: kind, first place, lines, words, least row, low, bits, buckets (u32 each)
    starts   u32[buckets + 1]: where the words of each bucket begin
    words    u32[words]: (row - least) mod 2^low above the place less the first, of `bits` bits

A bucket holds the lines of 2^low neighbouring rows, some 64 of them, in order of their places; so a
question reads a header, two numbers and a bucket of each part.
"""

from __future__ import annotations

import os
import struct
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from switch.errors import VerificationFailed
from switch.files.segment import HashingFile
from switch.native import by_row
from switch.schema import NO_ROW

NAME = "rows.index"
OWN, MOVED = 0, 1
"""Kinds of parts: of the batch's own lines, which stand in its status and lines files; of older
lines that moved in it, which stand in represented.parquet."""
PART_LINES = 1 << 22
"""Lines of a part: 32 MB of memory while it is made, whatever the length of a table."""
BUCKET_LINES = 64
"""Lines that a bucket has on average, where rows are spread evenly."""
_WORD_BITS = 32
_HEADER = struct.Struct("<8I")


class _Header(NamedTuple):
    """The header of a part."""

    kind: int
    first: int
    lines: int
    words: int
    least: int
    low: int
    bits: int
    buckets: int

    @property
    def size(self) -> int:
        """Bytes of the whole part."""
        return _HEADER.size + 4 * (self.buckets + 1 + self.words)


class RowIndex:
    """Writes the index of one batch while its lines go by."""

    def __init__(self, path: Path) -> None:
        self._file = HashingFile(path)
        self._own: list[NDArray[np.uint32]] = []
        self._moved = [np.empty(0, np.uint32)]
        self._waiting = self._first = 0

    def add(self, rows: NDArray[np.uint32]) -> None:
        """Take in the rows of the people of the batch's next own lines, NO_ROW for strangers."""
        done = 0
        while done < len(rows):
            some = rows[done : done + PART_LINES - self._waiting]
            self._own.append(some)
            self._waiting += len(some)
            done += len(some)
            if self._waiting == PART_LINES:
                self._end_part()

    def add_moved(self, rows: NDArray[np.uint32]) -> None:
        """Take in the rows of the people of the next older lines that moved. Their parts stand
        behind those of the batch's own, so that they are kept until the end."""
        self._moved.append(rows)

    def _end_part(self) -> None:
        """Write the part of own lines that came since the last one."""
        if self._waiting:
            self._write(OWN, self._first, np.concatenate(self._own))
        self._first += self._waiting
        self._own, self._waiting = [], 0

    def _write(self, kind: int, first: int, rows: NDArray[np.uint32]) -> None:
        header, starts, words = part_of(kind, first, rows)
        for piece in (header, starts.data, words.data):
            self._file.write(piece)

    def close(self) -> tuple[str, int]:
        """Write what is left; (sha256, bytes) of the file."""
        self._end_part()
        moved = np.concatenate(self._moved)
        for first in range(0, len(moved), PART_LINES):
            self._write(MOVED, first, moved[first : first + PART_LINES])
        self._file.close()
        return self._file.sha256, self._file.bytes

    def abandon(self) -> None:
        """Let go of a file that nobody will read."""
        self._file.abandoned = True
        self._file.close()


def part_of(
    kind: int, first: int, rows: NDArray[np.uint32]
) -> tuple[bytes, NDArray[np.uint32], NDArray[np.uint32]]:
    """(header, starts, words) of the part of lines whose people have these rows, at places from
    first on."""
    least, most, count = by_row.span(rows)
    bits = max((len(rows) - 1).bit_length(), 1)
    spread = most - least if count else 0
    low, wanted = 0, max(count // BUCKET_LINES, 1)
    while low < _WORD_BITS - bits and spread >> low >= wanted:
        low += 1
    starts = np.empty((spread >> low) + 2, np.uint32)
    words = np.empty(count, np.uint32)
    by_row.sort(rows, least, low, bits, starts, words)
    header = _Header(kind, first, len(rows), count, least, low, bits, len(starts) - 1)
    return _HEADER.pack(*header), starts, words


def places(path: Path, row: int) -> list[tuple[int, int]]:
    """(kind, place) of every line of the person of a row, in their order. Raises VerificationFailed
    where the file is no such index, FileNotFoundError where there is none; that it says what the
    lines say, `verify` proves."""
    found: list[tuple[int, int]] = []
    handle = os.open(path, os.O_RDONLY)
    try:
        at, size = 0, os.fstat(handle).st_size
        while at < size:
            head = os.pread(handle, _HEADER.size, at)
            if len(head) < _HEADER.size:
                raise damaged(path)
            part = _Header(*_HEADER.unpack(head))
            if not _is_whole(part, size - at):
                raise damaged(path)
            found += [(part.kind, place) for place in _in_part(handle, path, at, part, row)]
            at += part.size
    finally:
        os.close(handle)
    return found


def rows_there(path: Path, rows: NDArray[np.int64]) -> NDArray[np.bool_]:
    """True for each of some rows that has lines in a file, as `places` says of one; none of them is
    NO_ROW. For many at once: some half a microsecond each in every part."""
    if not path.stat().st_size:
        return np.zeros(len(rows), np.bool_)
    content = np.memmap(path, np.uint8, "r")
    there, at = np.zeros(len(rows), np.bool_), 0
    while at < len(content):
        head = content[at : at + _HEADER.size].tobytes()
        if len(head) < _HEADER.size:
            raise damaged(path)
        part = _Header(*_HEADER.unpack(head))
        if not _is_whole(part, len(content) - at):
            raise damaged(path)
        there |= _rows_in_part(content[at : at + part.size].view("<u4"), path, part, rows)
        at += part.size
    return there


def _rows_in_part(
    content: NDArray[np.uint32], path: Path, part: _Header, rows: NDArray[np.int64]
) -> NDArray[np.bool_]:
    """True for each of some rows that has lines in a part: its bucket is looked through."""
    begins = content[_HEADER.size // 4 :][: part.buckets + 1].astype(np.int64)
    words = content[_HEADER.size // 4 + part.buckets + 1 :]
    counts = np.diff(begins)
    if begins[0] or begins[-1] != part.words or (counts < 0).any():
        raise damaged(path)
    away = rows - part.least
    asked = np.flatnonzero((away >= 0) & (away >> part.low < part.buckets))
    away = away[asked]
    there = np.zeros(len(rows), np.bool_)
    mine = counts[away >> part.low]
    if mine.sum() > part.words:  # It costs less to look through all of them, once.
        bucket = np.repeat(np.arange(part.buckets), counts)
        there[asked] = np.isin(away, (bucket << part.low) + (words >> part.bits))
        return there
    asker = np.repeat(np.arange(len(asked)), mine)
    first = begins[away >> part.low] - (np.cumsum(mine) - mine)
    seen = words[np.arange(len(asker)) + first[asker]] >> part.bits
    there[asked[asker[seen == (away & ((1 << part.low) - 1))[asker]]]] = True
    return there


def _is_whole(part: _Header, room: int) -> bool:
    """A header that can be true of a part in so many bytes."""
    fits = 1 <= part.bits and part.low + part.bits <= _WORD_BITS
    return fits and part.kind in (OWN, MOVED) and part.size <= room


def _in_part(handle: int, path: Path, at: int, part: _Header, row: int) -> list[int]:
    """Places of a person's lines in a part of the file that begins at a byte."""
    bucket = (row - part.least) >> part.low
    if row == NO_ROW or not 0 <= bucket < part.buckets:
        return []
    starts = at + _HEADER.size
    ends = os.pread(handle, 8, starts + 4 * bucket)
    begin, end = struct.unpack("<2I", ends) if len(ends) == 8 else (1, 0)
    if not begin <= end <= part.words:
        raise damaged(path)
    content = os.pread(handle, 4 * (end - begin), starts + 4 * (part.buckets + 1 + begin))
    if len(content) != 4 * (end - begin):
        raise damaged(path)
    words = np.frombuffer(content, "<u4")
    mine = (row - part.least) & ((1 << part.low) - 1)
    place = words[words >> part.bits == mine] & ((1 << part.bits) - 1)
    if len(place) and int(place.max()) >= part.lines:
        raise damaged(path)
    return [part.first + one for one in place.tolist()]


def damaged(path: Path, what: str = "is damaged") -> VerificationFailed:
    """An error that says what is wrong with an index, to be raised."""
    remedy = "restore it from a copy (`switch scrub HOME --copy DIR`)"
    return VerificationFailed(f"{path} {what}: {remedy}")
