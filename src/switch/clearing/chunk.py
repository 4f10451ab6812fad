"""Chunk: consecutive lines on their road, with one column for each thing that is found out.

Transfer ids are made here: a batch's prefix and the number of the line.
"""

from __future__ import annotations

import datetime
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from switch.clearing.intake import Lines
from switch.native.outbox import transfer_ids
from switch.reason import OF_ACCOUNTS, Reason, sentence_of, with_replaced
from switch.schema import TRANSFER_ID_MAX

ID_SLACK = 40
"""Bytes behind the last transfer id that its kernel may touch."""

IdTexts = tuple[NDArray[np.int32], NDArray[np.uint8]]
"""Offsets and bytes of transfer ids; a line that does not clear has an empty text."""


def _no_ids() -> IdTexts:
    return np.zeros(1, np.int32), np.zeros(1, np.uint8)


@dataclass
class Chunk:
    """Lines and their columns, of equal length. batch: number of the batch that each line came in,
    or one number for all. Screening fills reason, row of the person, participant and account word;
    posting writes further reasons; then living lines get their transfer ids."""

    lines: Lines
    batch: np.uint32 | NDArray[np.uint32]
    reason: NDArray[np.uint8]
    row: NDArray[np.uint32]
    participant: NDArray[np.uint16]
    account: NDArray[np.uint64]
    transfer: IdTexts = field(default_factory=_no_ids)
    excluded_by: dict[int, str] = field(default_factory=dict)
    """Benefit that was paid in place of a line with reason EXCLUDED, by the line's place."""
    replaced: NDArray[np.intp] = field(default_factory=lambda: np.empty(0, np.intp))
    """Places of lines for ids that others stand in place of, ascending."""
    passed: dict[int, str] = field(default_factory=dict)
    """Words about a line, by its place: if it clears, that it is arrears of a deceased person; and
    of accounts of its person that were passed over, with the reason where no other one is paid."""

    def detail(self, place: int) -> str:
        """Words about a line; empty where it clears and there is nothing to say."""
        reason = int(self.reason[place])
        said = sentence_of(reason, self.excluded_by.get(place))
        said = self.passed.get(place, said) if reason in OF_ACCOUNTS else said
        return with_replaced(said) if place in self.replaced else said

    def take(self, verdict: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Give lines that passed screening their verdicts, in order; the verdicts that are left."""
        alive = np.flatnonzero(self.reason == Reason.NONE)
        self.reason[alive] = verdict[: len(alive)]
        return verdict[len(alive) :]


def prefix_of(value_date: datetime.date, seq: int) -> bytes:
    """The beginning of all transfer ids of a batch: its value date and its number."""
    prefix = f"{value_date:%Y%m%d}-{seq:06d}-".encode()
    assert len(prefix) + 10 <= TRANSFER_ID_MAX
    return prefix


def ids_of(prefix: bytes, line_no: NDArray[np.uint32], reason: NDArray[np.uint8]) -> IdTexts:
    """Transfer ids of lines of one batch."""
    offsets = np.empty(len(line_no) + 1, np.int32)
    data = np.empty(len(line_no) * (len(prefix) + 10) + ID_SLACK, np.uint8)
    alive = (reason == 0).view(np.uint8)
    transfer_ids(np.frombuffer(prefix, np.uint8), line_no, alive, offsets, data)
    return offsets, data


def ids_of_each(
    prefixes: list[bytes], line_no: NDArray[np.uint32], reason: NDArray[np.uint8]
) -> IdTexts:
    """Transfer ids of lines of several batches, each with the prefix of its own."""
    texts = [
        b"%s%010d" % (prefix, number) if alive == 0 else b""
        for prefix, number, alive in zip(prefixes, line_no, reason, strict=True)
    ]
    offsets = np.zeros(len(texts) + 1, np.int32)
    np.cumsum([len(text) for text in texts], out=offsets[1:])
    return offsets, np.frombuffer(b"".join(texts) or b"\0", np.uint8)
