"""Paid bits: who was paid for one (benefit, period), one bit a row of the register.

At rest a file a key: 16 bytes of header, then the bits as little-endian 64-bit words, compressed
(docs/formats.md). In memory pairs of words, as the ledger takes them: before, now.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from switch.errors import VerificationFailed
from switch.files.segment import write_new
from switch.native import ledger
from switch.native.pages import Pages

MAGIC = b"SWPAID01"
_HEADER = struct.Struct("<8sQ")


def words_of(rows: int) -> int:
    """64-bit words that hold a bit for every row."""
    return (rows + 63) // 64


def pairs(rows: int, *words: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Words [2 * words_of(rows)] in big pages: in front of each pair the union of words (each may
    be shorter), behind it nothing yet."""
    out = np.frombuffer(memoryview(Pages(16 * words_of(rows))), np.uint64)
    before = out[0::2]
    for part in words:
        before[: len(part)] |= part
    return out


def mark(bits: NDArray[np.uint64], rows: NDArray[np.uint32]) -> None:
    """Set the bits of rows as paid before."""
    if len(rows):
        assert int(rows.max()) < 32 * len(bits)
        ledger.set_bits(bits, np.ascontiguousarray(rows, np.uint32))


def join(bits: NDArray[np.uint64], rows: NDArray[np.uint32], others: NDArray[np.uint32]) -> None:
    """Set the bits of others as paid before where those of rows are. Arrays of equal length."""
    words, shifts = bits[0::2][rows >> 6], (rows & 63).astype(np.uint64)
    mark(bits, others[(words >> shifts & np.uint64(1)).astype(bool)])


def is_set(words: Sequence[int] | NDArray[np.uint64], row: int) -> bool:
    """True where the bit of a row is set; words may be shorter than the register."""
    return row >> 6 < len(words) and bool(int(words[row >> 6]) >> (row & 63) & 1)


def write(path: Path, words: NDArray[np.uint64]) -> None:
    """Write words to a new file."""
    content = np.ascontiguousarray(words, "<u8")
    packed = pa.compress(content.view(np.uint8), codec="zstd", asbytes=True)
    write_new(path, _HEADER.pack(MAGIC, len(content)) + packed)


def read(path: Path, sha256: str | None = None) -> NDArray[np.uint64]:
    """The words of a file. sha256: that of its commit. Raises VerificationFailed for another."""
    content = path.read_bytes()
    if sha256 is not None and hashlib.sha256(content).hexdigest() != sha256:
        raise VerificationFailed(f"{path} is not as it was committed: restore it from a copy")
    try:
        magic, count = _HEADER.unpack_from(content)
        if magic != MAGIC:
            raise VerificationFailed(f"{path} holds no paid bits")
        words = pa.decompress(
            memoryview(content)[_HEADER.size :], 8 * count, codec="zstd", asbytes=True
        )
    except (struct.error, pa.ArrowException, OSError) as error:
        raise VerificationFailed(f"{path} is damaged: restore it from a copy") from error
    return np.frombuffer(words, "<u8")
