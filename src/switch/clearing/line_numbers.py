"""Line numbers of a table: they are 1 to n, each once, in any order."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from switch.errors import InputRefused

_COLUMN = "line_no"
_REMEDY = "number the lines 1 to n"


class LineNumbers:
    """Numbers of lines as they come, a chunk at a time. limit: how many lines there are."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._count = 0
        self._seen: NDArray[np.bool_] | None = None
        """Numbers that came; None while they come in order."""

    def take(self, line_no: NDArray[np.uint32], file: str) -> None:
        """The numbers of a chunk, uint32[n]. Raises InputRefused for one above the limit, or one
        that came before."""
        done, count = self._count, len(line_no)
        self._count += count
        in_order = np.arange(done + 1, done + count + 1, dtype=np.uint32)
        if self._seen is None:
            if np.array_equal(line_no, in_order):
                return
            self._seen = np.zeros(self._limit, bool)
            self._seen[:done] = True
        beyond = line_no > self._limit
        if beyond.any():
            what = f"the line number is above the declared count of {self._limit}"
            row = done + int(np.argmax(beyond)) + 1
            raise InputRefused(
                "LINE_NO_RANGE", what, file=file, row=row, column=_COLUMN, remedy=_REMEDY
            )
        index = line_no.astype(np.int64) - 1
        order = np.argsort(index, kind="stable")
        again = np.zeros(count, bool)
        again[order[1:]] = index[order[1:]] == index[order[:-1]]
        again |= self._seen[index]
        if again.any():
            what = "the line number stands twice"
            row = done + int(np.argmax(again)) + 1
            raise InputRefused(
                "LINE_NO_DUPLICATE", what, file=file, row=row, column=_COLUMN, remedy=_REMEDY
            )
        self._seen[index] = True

    def require_all(self, file: str) -> None:
        """As many distinct numbers as lines, none above their count: they are 1 to n."""
        assert self._seen is None or self._seen.all(), file
