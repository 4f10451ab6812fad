"""Credits: lines of one household that clear to one account are sent as one payment.

Phase dispatch, behind posting. IN: what lines say, and reason, participant and account as they were
found. OUT: chunks as clearing files take them, with the sum of a credit on its first line and no
row for its others; and credits.parquet, which says which lines these are. Nothing that a line is
answered depends on it: who is refused, waits or is paid elsewhere is in no credit, and nobody waits
for the others of a household.

A household is a run of neighbours in the table that name it, for one benefit, period and debtor
account; among lines that had waited one in their queue, and of one batch. What stands open at the
end of a chunk is kept until the run is over, so that chunks do not show.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from switch.clearing.admitting import key_of
from switch.clearing.chunk import Chunk
from switch.clearing.intake import empty_rows
from switch.files.columns import Texts
from switch.files.file_schemas import CREDITS, CREDITS_OF_BATCHES
from switch.files.segment import Segment
from switch.reason import REASONS_COUNT, Reason
from switch.results import CreditTotal
from switch.schema import HOUSEHOLD_LINES_MAX

JOINED = np.uint8(REASONS_COUNT)
"""In place of a reason: the line clears, and has no row of its own in a clearing file."""
_PLACE = np.uint64((1 << 62) - 1)


class Piece(NamedTuple):
    """A chunk as clearing files take it: a line with reason NONE has a row, of this amount."""

    chunk: Chunk
    reason: NDArray[np.uint8]
    amount: NDArray[np.int64]


class _Part(NamedTuple):
    """Lines of a chunk, from one up to another."""

    chunk: Chunk
    begin: int
    end: int

    def of(self, column: NDArray[np.generic]) -> NDArray[np.generic]:
        return column[self.begin : self.end]


class Credits:
    """Credits of one batch. Chunks of lines that had waited come first, oldest first, then `end`,
    then its own in table order. count, lines, sum: credits of two lines or more, the lines in them,
    and their money; of_batches: some are of lines that had waited."""

    def __init__(
        self, path: Path, seq: int, most: NDArray[np.int64], heap: NDArray[np.uint8]
    ) -> None:
        """path: of the file that tells of them. seq: number of the batch. most: dong that a credit
        may come to, by participant. heap: the register's texts of accounts."""
        self._path, self._seq, self._most, self._heap = path, seq, most, heap
        self._segment: Segment | None = None
        self._open: list[_Part] = []
        """Lines of the household that may go on in the next chunk."""
        self._length = 0
        """Lines of it so far, those in `_open`."""
        self._last: tuple[object, ...] = ()
        """Household, batch, benefit, month and debtor account of the last line."""
        self.count = self.lines = self.sum = 0
        self.of_batches = False

    def add(self, chunk: Chunk) -> Iterator[Piece]:
        """Chunks, or parts of them, of which all credits are known by now."""
        household = chunk.lines.household
        if household is None or not len(chunk.lines):
            yield from self.end()
            yield Piece(chunk, chunk.reason, chunk.lines.amount)
            return
        begins, has = self._begins(chunk, household)
        marks, count = np.flatnonzero(begins), len(begins)
        first = int(marks[0]) if len(marks) else count
        if first:
            self._open.append(_Part(chunk, 0, first))
        if not len(marks):
            return
        yield from self._flush()
        last = int(marks[-1]) if has[-1] else count
        if first < last:
            yield from self._joined([_Part(chunk, first, last)], np.cumsum(begins[first:last]))
        if last < count:
            self._open.append(_Part(chunk, last, count))

    def end(self) -> Iterator[Piece]:
        """No line comes behind the last one: all that is left."""
        yield from self._flush()
        self._last = ()
        self._length = 0

    def close(self) -> tuple[str, int]:
        """(sha256, bytes) of the finished file, which is there where `count` is not zero."""
        assert self._segment is not None
        return self._segment.close()

    @property
    def total(self) -> CreditTotal:
        """Counts and dong of credits of two lines or more."""
        return {"count": self.count, "lines": self.lines, "sum": self.sum}

    def abandon(self) -> None:
        """Let go of a file that nobody will have."""
        if self._segment is not None:
            self._segment.abandon()

    # --- households -----------------------------------------------------------------------------

    def _begins(
        self, chunk: Chunk, household: Texts
    ) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """(lines that do not go on with the household of the line before, lines with a household).
        A household that is longer than HOUSEHOLD_LINES_MAX begins anew there."""
        lines, count = chunk.lines, len(chunk.lines)
        has, names = ~empty_rows(household), household.rows()
        goes_on = np.zeros(count, bool)
        keys = (_batches(chunk), lines.benefit, lines.month, lines.debtor)

        def line(at: int) -> tuple[object, ...]:
            return names[at].as_py() if has[at] else None, *(int(key[at]) for key in keys)

        goes_on[0] = has[0] and line(0) == self._last
        same = pc.fill_null(pc.equal(names.slice(1), names.slice(0, count - 1)), False)
        goes_on[1:] = np.asarray(same) & has[1:]
        for key in keys:
            goes_on[1:] &= key[1:] == key[:-1]
        place = np.arange(count)
        start = np.maximum.accumulate(np.where(goes_on, -self._length, place))
        begins = ~goes_on | ((place - start) % HOUSEHOLD_LINES_MAX == 0)
        marks = np.flatnonzero(begins)
        self._length = count - int(marks[-1]) if len(marks) else self._length + count
        self._last = line(count - 1)
        return begins, has

    def _flush(self) -> Iterator[Piece]:
        """The household that was open is over."""
        parts, self._open = self._open, []
        if parts:
            rows = sum(part.end - part.begin for part in parts)
            yield from self._joined(parts, np.zeros(rows, np.int64))

    # --- credits --------------------------------------------------------------------------------

    def _joined(self, parts: Sequence[_Part], run: NDArray[np.int64]) -> Iterator[Piece]:
        """Parts that stand one behind the other, with the lines of each credit joined. run: number
        of the household that each line is of, in order."""
        reason = np.concatenate([part.of(part.chunk.reason) for part in parts])
        amount = np.concatenate([part.of(part.chunk.lines.amount) for part in parts])
        participant = np.concatenate([part.of(part.chunk.participant) for part in parts])
        line_no = np.concatenate([part.of(part.chunk.lines.line_no) for part in parts])
        at = np.flatnonzero(reason == Reason.NONE)
        money, who = amount[at], participant[at]
        first = _first_lines(run[at], who, self._accounts(parts, run, at))
        self._cut(first, money, self._most[who])
        if (first != np.arange(len(at))).any():
            total = np.zeros(len(at), np.int64)
            np.add.at(total, first, money)
            amount[at] = total
            reason[at[first != np.arange(len(at))]] = JOINED
            batch = np.concatenate([part.of(_batches(part.chunk)) for part in parts])
            self._keep(batch[at], line_no[at], first, money)
        done = 0
        for chunk, begin, end in parts:
            rows = slice(done, done + end - begin)
            told = np.full(len(chunk.reason), JOINED, np.uint8)
            dong = chunk.lines.amount.copy()
            told[begin:end], dong[begin:end] = reason[rows], amount[rows]
            done = rows.stop
            yield Piece(chunk, told, dong)

    def _accounts(
        self, parts: Sequence[_Part], run: NDArray[np.int64], at: NDArray[np.intp]
    ) -> NDArray[np.uint64]:
        """Numbers of the accounts of lines at some places, which are equal where accounts are; of a
        line that is alone in its household any number."""
        words = np.concatenate([part.of(part.chunk.account) for part in parts])[at]
        near = np.zeros(len(at), bool)
        near[1:] = run[at][1:] == run[at][:-1]
        near[:-1] |= near[1:]
        kind = words >> np.uint64(62)
        texts: list[Any] = []
        places = [np.flatnonzero(near & (kind == 2))]
        for word in (words[places[0]] & _PLACE).tolist():
            texts.append(self._heap[word + 1 : word + 1 + int(self._heap[word])].tobytes())
        done = 0
        for part in parts:
            begin, done = done, done + part.end - part.begin
            named = part.chunk.lines.account
            mine = np.flatnonzero(near & (kind == 3) & (at >= begin) & (at < done))
            if named is not None and len(mine):
                rows = named.take((words[mine] & _PLACE).astype(np.int64)).rows()
                places.append(mine)
                texts += rows.cast(pa.binary()).to_pylist()
        known: dict[bytes, int] = {}
        for text in texts:
            if text not in known:
                key = key_of(text.decode())
                known[text] = key if isinstance(key, int) else 1 << 63 | len(known)
        numbers = np.array([known[text] for text in texts], np.uint64)
        words[np.concatenate(places)] = numbers
        return words

    def _cut(
        self, first: NDArray[np.intp], money: NDArray[np.int64], most: NDArray[np.int64]
    ) -> None:
        """Let a credit end before the line by which it would come to more than it may; that one
        begins another. No line alone is more."""
        total = np.zeros(len(first), np.int64)
        np.add.at(total, first, money)
        for head in np.flatnonzero(total > most).tolist():
            lead, sum_ = head, 0
            for place in range(head, min(head + HOUSEHOLD_LINES_MAX, len(first))):
                if first[place] != head:
                    continue
                if sum_ + int(money[place]) > most[place]:
                    lead, sum_ = place, 0
                sum_ += int(money[place])
                # What was given to a later lead is looked at no more.
                first[place] = lead

    def _keep(
        self,
        batch: NDArray[np.uint32],
        line_no: NDArray[np.uint32],
        first: NDArray[np.intp],
        money: NDArray[np.int64],
    ) -> None:
        """Write which lines are in credits of two or more."""
        size = np.bincount(first, minlength=len(first))
        many = size[first] > 1
        if self._segment is None:
            # Lines that had waited come first: there is a credit of some, or none.
            self.of_batches = bool((batch != self._seq).any())
            schema = CREDITS_OF_BATCHES if self.of_batches else CREDITS
            self._segment = Segment(self._path, schema, {})
        columns = (line_no[many], line_no[first[many]], money[many])
        arrays = dict(zip(CREDITS.names, map(pa.array, columns), strict=True))
        if self.of_batches:
            arrays = {"batch": pa.array(batch[many]), **arrays}
        self._segment.append(arrays)
        self.count += int((size > 1).sum())
        self.lines += int(many.sum())
        self.sum += int(money[many].sum())


def _batches(chunk: Chunk) -> NDArray[np.uint32]:
    """The batch that each line of a chunk came in."""
    return np.broadcast_to(chunk.batch, len(chunk.lines))


def _first_lines(
    run: NDArray[np.int64], participant: NDArray[np.uint16], account: NDArray[np.uint64]
) -> NDArray[np.intp]:
    """The place of the first of those lines that are in one credit, of each. run: rises."""
    begins = np.ones(len(run), bool)
    begins[1:] = (
        (run[1:] != run[:-1])
        | (participant[1:] != participant[:-1])
        | (account[1:] != account[:-1])
    )
    heads = np.flatnonzero(begins)
    first: NDArray[np.intp] = heads[np.cumsum(begins) - 1] if len(heads) else heads
    # Accounts may take turns within a household.
    turns = np.unique(run[heads[1:]][run[heads[1:]] == run[heads[:-1]]])
    bounds = np.searchsorted(run, turns), np.searchsorted(run, turns, "right")
    for begin, end in zip(*(bound.tolist() for bound in bounds), strict=True):
        known: dict[tuple[int, int], int] = {}
        pairs = zip(participant[begin:end].tolist(), account[begin:end].tolist(), strict=True)
        for place, pair in enumerate(pairs, start=begin):
            first[place] = known.setdefault(pair, place)
    return first
