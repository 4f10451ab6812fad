"""Row indexes: the index by person of a batch, made again from its lines and compared.

Written from docs/formats.md, with numpy alone: it shares nothing with who writes or asks an index.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from switch.files.segment import Groups
from switch.home.batch import answered
from switch.home.store import Home
from switch.outcomes import Check
from switch.schema import NO_ROW

NAME = "rows.index"
_PART_LINES = 1 << 22
_BUCKET_LINES = 64
_OWN, _MOVED = 0, 1


class RowIndexes:
    """Indexes of a home's batches, oldest first. A batch of before there were any has none; once
    one has, all later ones do."""

    def __init__(self, home: Home) -> None:
        self._home = home
        self._begun = False

    def checks(self, seq: int) -> Iterator[Check]:
        """Check the index of a batch; nothing where it may have none."""
        folder = self._home.folder("batches", seq)
        path = folder / NAME
        kept = self._home.catalog.file(path.relative_to(self._home.path).as_posix()) is not None
        if not kept and not self._begun:
            return
        self._begun = True
        fault = "it is missing" if not kept else ""
        if kept and _expected(folder) != path.read_bytes():
            fault = "it is not what the lines of the batch say"
        yield Check("index by person", f"batch {seq}", fault)


def _expected(folder: Path) -> bytes:
    """The bytes that the lines of a batch make: parts of its own, then of older ones that moved."""
    rows = {_OWN: np.empty(0, np.uint32), _MOVED: np.empty(0, np.uint32)}
    for _, lines in answered(folder):
        groups = Groups(lines)
        kind = _MOVED if "batch" in groups.names else _OWN
        found = [np.asarray(groups.read(n, ["row"])["row"]) for n in range(len(groups))]
        rows[kind] = np.concatenate([rows[kind], *found]).astype(np.uint32)
    return b"".join(
        _part(kind, first, mine[first : first + _PART_LINES])
        for kind, mine in rows.items()
        for first in range(0, len(mine), _PART_LINES)
    )


def _part(kind: int, first: int, rows: NDArray[np.uint32]) -> bytes:
    place = np.flatnonzero(rows != NO_ROW)
    row = rows[place].astype(np.int64)
    least = int(row.min()) if len(row) else NO_ROW
    spread = int(row.max()) - least if len(row) else 0
    bits = max(int(len(rows) - 1).bit_length(), 1)
    wanted = max(len(row) // _BUCKET_LINES, 1)
    low = next((n for n in range(32 - bits) if spread >> n < wanted), 32 - bits)
    bucket = (row - least) >> low
    order = np.argsort(bucket, kind="stable")
    words = ((row - least) % (1 << low) << bits | place)[order]
    starts = np.searchsorted(bucket[order], np.arange((spread >> low) + 2))
    header = [kind, first, len(rows), len(row), least, low, bits, (spread >> low) + 1]
    return b"".join(np.asarray(part).astype("<u4").tobytes() for part in (header, starts, words))
