"""Dispatch: one clearing file a receiver, its lines in table order.

Floor 3. Lines are gathered receiver by receiver into row groups of a fixed size, so that memory
stays bounded and the files' bytes depend on the lines alone.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from switch import _wire
from switch.columns import Texts
from switch.directory import Directory
from switch.schema import MONTHS, period_of
from switch.segment import Segment, Style, coded, text_array, validity

GROUP_ROWS = 1 << 16
_PERIODS = np.array([period_of(month) for month in range(MONTHS)], np.int32)

CLEARING = pa.schema(
    [
        pa.field("transfer_id", pa.string(), nullable=False),
        pa.field("end_to_end_id", pa.string()),
        pa.field("creditor_account", pa.string(), nullable=False),
        pa.field("creditor_name", pa.string(), nullable=False),
        pa.field("amount", pa.int64(), nullable=False),
        pa.field("purpose", pa.dictionary(pa.int32(), pa.string()), nullable=False),
        pa.field("period", pa.int32(), nullable=False),
        pa.field("debtor_account", pa.dictionary(pa.int32(), pa.string()), nullable=False),
    ]
)


STYLES = {
    "transfer_id": Style.QUICK_TEXT,
    "end_to_end_id": Style.QUICK_TEXT,
    "creditor_account": Style.TEXT,
    "creditor_name": Style.QUICK_TEXT,
    "amount": Style.NUMBER,
}


class _TextColumn:
    """Texts under construction: Arrow string buffers that grow."""

    def __init__(self) -> None:
        self.offsets = np.zeros(GROUP_ROWS + 1, np.int32)
        self.data = np.empty(1 << 16, np.uint8)

    def append(self, order: Any, offsets: Any, data: Any, index: Any, row: int) -> None:
        while _wire.gather_text(order, offsets, data, index, self.offsets, self.data, row) < 0:
            wider = np.empty(2 * len(self.data), np.uint8)
            wider[: len(self.data)] = self.data
            self.data = wider

    def take(self, rows: int, nulls: Any = None) -> Any:
        """The finished array of rows; the buffers are then free for the next."""
        offsets = self.offsets[: rows + 1].copy()
        valid = validity(nulls) if nulls is not None else (None, 0)
        return text_array(offsets, self.data[: offsets[-1]].copy(), valid)


class Outbox:
    """The lines of one receiver on their way into its clearing file."""

    def __init__(self, path: Path, purposes: Any, purpose_of: Any, debtors: Any) -> None:
        self._segment = Segment(
            path,
            CLEARING,
            STYLES,
            group_rows=GROUP_ROWS,
        )
        self._purposes, self._purpose_of, self._debtors = purposes, purpose_of, debtors
        self._rows = 0
        self._transfer, self._account = _TextColumn(), _TextColumn()
        self._name, self._end_to_end = _TextColumn(), _TextColumn()
        self._no_end_to_end = np.empty(GROUP_ROWS, bool)
        self._amount = np.empty(GROUP_ROWS, np.int64)
        self._month = np.empty(GROUP_ROWS, np.uint16)
        self._purpose = np.empty(GROUP_ROWS, np.int32)
        self._debtor = np.empty(GROUP_ROWS, np.int32)

    def append(self, order: Any, cleared: Cleared) -> None:
        """Rows order (uint32) of the chunk, in that order."""
        start = 0
        while start < len(order):
            part = order[start : start + GROUP_ROWS - self._rows]
            self._take_in(part, cleared)
            start += len(part)
            if self._rows == GROUP_ROWS:
                self._flush()

    def _take_in(self, order: Any, cleared: Cleared) -> None:
        row, end = self._rows, self._rows + len(order)
        self._transfer.append(order, *cleared.transfer, None, row)
        self._account.append(order, *cleared.account, None, row)
        self._name.append(order, *cleared.name.buffers(), cleared.name.index, row)
        end_to_end = cleared.end_to_end_id
        if end_to_end is None:
            self._no_end_to_end[row:end] = True
            self._end_to_end.offsets[row + 1 : end + 1] = self._end_to_end.offsets[row]
        else:
            self._no_end_to_end[row:end] = end_to_end.null_rows()[order]
            self._end_to_end.append(order, *end_to_end.buffers(), end_to_end.index, row)
        self._amount[row:end] = cleared.amount[order]
        self._month[row:end] = cleared.month[order]
        self._purpose[row:end] = self._purpose_of[cleared.benefit[order]]
        self._debtor[row:end] = cleared.debtor[order]
        self._rows = end

    def _flush(self) -> None:
        rows = self._rows
        if rows == 0:
            return
        self._segment.append(
            {
                "transfer_id": self._transfer.take(rows),
                "end_to_end_id": self._end_to_end.take(rows, self._no_end_to_end[:rows]),
                "creditor_account": self._account.take(rows),
                "creditor_name": self._name.take(rows),
                "amount": pa.array(self._amount[:rows]),
                "purpose": coded(self._purposes, self._purpose[:rows]),
                "period": pa.array(_PERIODS[self._month[:rows]]),
                "debtor_account": coded(self._debtors, self._debtor[:rows]),
            }
        )
        self._rows = 0

    def close(self) -> tuple[str, int]:
        """(sha256, bytes) of the finished file."""
        self._flush()
        return self._segment.close()

    def abandon(self) -> None:
        self._segment.abandon()


class Cleared:
    """What dispatch needs of one chunk: columns in table order, texts as (offsets, data)."""

    __slots__ = (
        "account",
        "amount",
        "benefit",
        "debtor",
        "end_to_end_id",
        "month",
        "name",
        "participant",
        "reason",
        "transfer",
    )

    def __init__(self, **columns: Any) -> None:
        for name, column in columns.items():
            setattr(self, name, column)

    reason: Any
    participant: Any
    transfer: tuple[Any, Any]
    account: tuple[Any, Any]
    name: Texts
    end_to_end_id: Texts | None
    amount: Any
    month: Any
    benefit: Any
    debtor: Any


class Dispatch:
    """All outboxes of one batch, opened as their first line comes."""

    def __init__(self, folder: Path, directory: Directory, form: str = "parquet") -> None:
        folder.mkdir()
        self._folder = folder
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

    def append(self, cleared: Cleared) -> None:
        """Hand every living line of a chunk to its receiver's outbox."""
        rows = len(cleared.reason)
        order = np.empty(rows, np.uint32)
        starts = np.empty(len(self._codes) + 1, np.int64)
        _wire.partition(cleared.reason, cleared.participant, order, starts)
        for i in np.flatnonzero(np.diff(starts)).tolist():
            outbox = self._outboxes.get(i)
            if outbox is None:
                path = self._folder / self._file_of(i)
                outbox = self._outboxes[i] = Outbox(
                    path, self._purposes, self._purpose_of, self._debtors
                )
            outbox.append(order[starts[i] : starts[i + 1]], cleared)

    def close(self) -> dict[str, tuple[str, int]]:
        """(sha256, bytes) of every file by its name in the folder."""
        return {self._file_of(i): outbox.close() for i, outbox in self._outboxes.items()}

    def _file_of(self, index: int) -> str:
        return f"{self._codes[index]}.{self._form}"

    def abandon(self) -> None:
        for outbox in self._outboxes.values():
            outbox.abandon()


def account_texts(words: Any, heap: Any, given: Texts | None) -> tuple[Any, Any]:
    """(offsets, data) of account words in table order; see `_account.pxd` for the words."""
    offsets = np.empty(len(words) + 1, np.int32)
    table_offsets, table_data = (
        given.buffers() if given is not None else (np.zeros(1, np.int32), np.empty(0, np.uint8))
    )
    room = 32 * len(words) + 512
    while True:
        data = np.empty(room, np.uint8)
        used = _wire.account_texts(words, heap, table_offsets, table_data, offsets, data)
        if used >= 0:
            return offsets, data
        room *= 2
