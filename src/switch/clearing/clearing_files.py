"""Clearing files: one for each receiver, its lines in table order.

Lines are handed to their receivers' outboxes, which empty as row groups of a fixed size, so that
memory stays bounded and the files' bytes depend on the lines alone.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from switch.clearing.chunk import Chunk
from switch.files.columns import Texts
from switch.files.file_schemas import CLEARING
from switch.files.parquet_writer import Style
from switch.files.segment import Segment, coded, text_array, validity
from switch.native.outbox import Outboxes
from switch.registry.directory import Directory
from switch.schema import MONTHS, period_of

GROUP_ROWS = 1 << 16
_PERIODS = np.array([period_of(month) for month in range(MONTHS)], np.int32)


STYLES = {"transfer_id": Style.SHARED, "end_to_end_id": Style.SHARED}


_NUMBERS = {"amount": np.int64, "purpose": np.int32, "period": np.int32, "debtor_account": np.int32}
_TEXTS = {"transfer_id": 32, "end_to_end_id": 1, "creditor_account": 20, "creditor_name": 32}
"""Columns of texts, and the bytes a line that their buffers begin with."""
_TEXT_SLACK = 1 << 16


class Outbox:
    """Buffers of one receiver, and the segment into which they empty."""

    def __init__(self, path: Path, purposes: Any, debtors: Any) -> None:
        self._segment = Segment(path, CLEARING, STYLES, group_rows=GROUP_ROWS)
        self._dictionaries = {"purpose": purposes, "debtor_account": debtors}
        self.buffers: dict[str, Any] = {
            name: np.empty(GROUP_ROWS, kind) for name, kind in _NUMBERS.items()
        }
        self.buffers["no_end_to_end_id"] = np.empty(GROUP_ROWS, np.uint8)
        for name, size in _TEXTS.items():
            data = np.empty(GROUP_ROWS * size + _TEXT_SLACK, np.uint8)
            ends = np.empty(GROUP_ROWS + 1, np.int32)
            ends[0] = 0
            self.buffers[name] = (ends, data)

    def widen(self, rows: int) -> None:
        """Twice the room for texts of rows lines that fill half of theirs. Where none does, it is
        the next line's text that is long, and all have twice the room."""
        texts = {name: self.buffers[name] for name in _TEXTS}
        half = (
            n for n, (ends, data) in texts.items() if 2 * int(ends[rows]) + _TEXT_SLACK >= len(data)
        )
        for name in tuple(half) or texts:
            ends, data = texts[name]
            wider = np.empty(2 * len(data), np.uint8)
            wider[: ends[rows]] = data[: ends[rows]]
            self.buffers[name] = (ends, wider)

    def write(self, rows: int) -> None:
        """The first rows lines of the buffers as a row group; they are free when it returns."""
        columns = {name: pa.array(self.buffers[name][:rows]) for name in ("amount", "period")}
        for name, values in self._dictionaries.items():
            columns[name] = coded(values, self.buffers[name][:rows])
        for name in _TEXTS:
            ends, data = self.buffers[name]
            absent = self.buffers["no_end_to_end_id"][:rows].view(bool)
            valid = validity(absent) if name == "end_to_end_id" else (None, 0)
            columns[name] = text_array(ends[: rows + 1], data[: ends[rows]], valid)
        self._segment.append(columns)

    def close(self) -> tuple[str, int]:
        """(sha256, bytes) of the finished file."""
        return self._segment.close()

    def abandon(self) -> None:
        self._segment.abandon()


class Dispatch:
    """All outboxes of one batch, opened as their first line comes.

    heap: the register's account texts, to which account words refer.
    """

    def __init__(
        self, folder: Path, directory: Directory, heap: Any, form: str = "parquet"
    ) -> None:
        folder.mkdir(mode=0o700)
        self._folder = folder
        self._heap = heap
        self._form = form
        self._codes = [p.participant for p in directory.participants]
        # A dictionary needs distinct values, and programmes may share a purpose.
        purposes = sorted({p.purpose for p in directory.programmes})
        self._purposes = pa.array(purposes, pa.string())
        self._purpose_of = np.array(
            [purposes.index(p.purpose) for p in directory.programmes], np.int32
        )
        self._debtors = pa.array([d.debtor_account for d in directory.debtors], pa.string())
        self._outboxes: dict[int, Outbox] = {}
        self._lines = Outboxes(len(self._codes), GROUP_ROWS)

    def append(self, chunk: Chunk) -> None:
        """Hand every living line of a chunk to its receiver's outbox."""
        self.send(chunk, chunk.reason, chunk.lines.amount)

    def send(self, chunk: Chunk, reason: NDArray[np.uint8], amount: NDArray[np.int64]) -> None:
        """Hand lines of a chunk to their receivers' outboxes: those with reason NONE, of these
        amounts."""
        lines, ids = chunk.lines, chunk.lines.end_to_end_id
        none = Texts(pa.array([], pa.string()), None)
        columns = (
            reason,
            chunk.participant,
            (*chunk.transfer, None),
            chunk.account,
            self._heap,
            _buffers(none if lines.account is None else lines.account),
            _buffers(lines.name),
            None if ids is None else _buffers(ids),
            amount,
            lines.benefit,
            self._purpose_of,
            lines.month,
            _PERIODS,
            lines.debtor,
        )
        line = self._lines.append(0, *columns)
        while line < len(chunk.reason):
            self._make_room(self._lines.waiting)
            line = self._lines.append(line, *columns)

    def _make_room(self, index: int) -> None:
        outbox = self._outboxes.get(index)
        rows = self._lines.rows(index)
        if outbox is None:
            path = self._folder / self._file_of(index)
            outbox = self._outboxes[index] = Outbox(path, self._purposes, self._debtors)
        elif rows == GROUP_ROWS:
            outbox.write(rows)
            self._lines.empty(index)
            return
        else:
            outbox.widen(rows)
        self._lines.open(index, outbox.buffers)

    def ends(self) -> dict[str, Callable[[], tuple[str, int]]]:
        """Calls that end each file, by its name in the folder, and give its (sha256, bytes); in any
        order, several at a time. Those with the most to write come first."""

        def end(index: int) -> tuple[str, int]:
            self._outboxes[index].write(self._lines.rows(index))
            return self._outboxes[index].close()

        order = sorted(self._outboxes, key=self._lines.rows, reverse=True)
        return {self._file_of(index): partial(end, index) for index in order}

    def _file_of(self, index: int) -> str:
        return f"{self._codes[index]}.{self._form}"

    def abandon(self) -> None:
        for outbox in self._outboxes.values():
            outbox.abandon()


def _buffers(texts: Texts) -> tuple[Any, Any, Any]:
    """(offsets, data, index) of a column; the index of a null is -1."""
    index = texts.index
    if index is None and texts.values.null_count:
        index = np.where(texts.null_rows(), -1, np.arange(len(texts.values), dtype=np.int32))
        index = index.astype(np.int32)
    return (*texts.buffers(), index)
