"""Batch writer: the files of one batch, written into its draft while its chunks go by.

Two threads work behind the loop over chunks, each in order: one hands cleared lines to the outboxes
of their receivers, the other answers every line.
"""

from __future__ import annotations

from pathlib import Path
from types import TracebackType

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from switch.clearing.answer_columns import Columns, Known, held_rows
from switch.clearing.chunk import Chunk
from switch.clearing.clearing_files import Dispatch
from switch.clearing.credits import Credits
from switch.clearing.job import Job
from switch.files import file_schemas, row_index
from switch.files.columns import Texts
from switch.files.lines_file import LinesFile
from switch.files.row_index import RowIndex
from switch.files.segment import Segment
from switch.files.threads import Behind, in_order
from switch.reason import JOIN_CREDITS, KEEP_HOUSEHOLDS, Reason
from switch.registry.register import name_keys
from switch.schema import HOUSEHOLD
from switch.settlement import budgets

SCHEMAS = {
    "lines.parquet": file_schemas.LINES,
    "held.parquet": file_schemas.HELD_SCHEMA,
    "represented.parquet": file_schemas.REPRESENTED,
    "cleared.parquet": file_schemas.CLEARED_SCHEMA,
}
"""Files of lines beside the status file, in the order in which they are ended."""
AS_THEY_CAME = ("held.parquet", "cleared.parquet")
"""Those that keep lines as they came, with their households."""

Digests = dict[str, tuple[str, int]]
"""SHA-256 and size of files, by their name in the draft."""


class BatchWriter:
    """Writes a batch's files; as a context it abandons them where the run fails.

    columns: builds the columns of answers. use: what the lines take of budgets, counted as they are
    answered.
    """

    def __init__(self, job: Job, draft: Path, columns: Columns, use: budgets.Use) -> None:
        self.draft, self.status = draft, f"status.{job.options.form}"
        self._columns, self._use = columns, use
        self._seq, self._threads, self._fold = job.seq, job.options.threads, job.register.fold
        self._is_open = job.slot is not None
        depth = 2 if job.options.threads > 1 else 0
        self._answers, self._outboxes = Behind(depth), Behind(depth)
        self._dispatch = Dispatch(
            draft / "clearing", job.directory, job.register.heap, job.options.form
        )
        most = np.minimum(job.directory.lookups().amount_max, job.settings.clearing_limit)
        path = draft / file_schemas.CREDITS_FILE
        self.credits = Credits(path, job.seq, most, job.register.heap)
        """Credits of households; none where older rules judge."""
        self._joins = job.rule_set in JOIN_CREDITS
        self._keeps = job.rule_set in KEEP_HOUSEHOLDS
        self._schemas = {self.status: file_schemas.STATUS, **SCHEMAS}
        self._segments: dict[str, Segment | LinesFile] = {}
        self.begin(self.status)
        self.begin("lines.parquet")
        self._index = RowIndex(draft / row_index.NAME)

    def __enter__(self) -> BatchWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._answers.close()
        self._outboxes.close()
        if kind is not None:
            self._dispatch.abandon()
            self.credits.abandon()
            self._index.abandon()
            for part in self._segments.values():
                part.abandon()

    @property
    def keeps_households(self) -> bool:
        """A line that waits, or that its cycle may send back, names a household."""
        files = self._segments.values()
        return any(isinstance(file, LinesFile) and file.has_households for file in files)

    def begin(self, name: str) -> Segment | LinesFile:
        """The file of a name, begun where it is not there yet."""
        if name not in self._segments:
            path, schema = self.draft / name, self._schemas[name]
            self._segments[name] = (
                LinesFile(path, schema)
                if name in AS_THEY_CAME
                else Segment(path, schema, file_schemas.STYLES)
            )
        return self._segments[name]

    def own(self, chunk: Chunk) -> None:
        """Write a chunk of the table's own lines."""
        self._outboxes(self._send if self._joins else self._dispatch.append, chunk)
        self._answers(self._answer, chunk)

    def older(self, chunk: Chunk) -> None:
        """Write a chunk of lines that had waited since earlier batches, before the table's own."""
        self._outboxes(self._send if self._keeps else self._dispatch.append, chunk)
        self._answers(self._answer_again, chunk)

    def own_end(self) -> None:
        """The table's own lines are through."""
        self._outboxes(self._send, None)

    def waited(self, chunk: Chunk) -> None:
        """Write a chunk of lines that waited for the receipts of the table, of this batch or
        earlier ones: each goes by itself."""
        self._outboxes(self._dispatch.append, chunk)
        self._answers(self._answer_again, chunk)

    def set_queue_aside(self) -> tuple[Path, str]:
        """End the file of lines that wait, so that they are read again and a new one can begin:
        where it stands now, and its SHA-256."""
        self._answers.finish()
        queue = self._segments["held.parquet"]
        digest, _ = queue.close()
        del self._segments["held.parquet"]
        aside = self.draft / ".held.parquet"
        queue.path.rename(aside)
        return aside, digest

    def finish(self) -> None:
        """All that was given is written, or the first failure raises."""
        self._answers.finish()
        self._outboxes.finish()

    def end(self) -> Digests:
        """End every file, as many at a time as the run has threads."""
        ends = {name: self._segments[name].close for name in self._schemas
                if name in self._segments}  # fmt: skip
        ends |= {f"clearing/{name}": end for name, end in self._dispatch.ends().items()}
        ends[row_index.NAME] = self._index.close
        if self.credits.count:
            ends[file_schemas.CREDITS_FILE] = self.credits.close
        return dict(zip(ends, in_order(ends.values(), self._threads), strict=True))

    # --- on the two threads ---------------------------------------------------------------------

    def _send(self, chunk: Chunk | None) -> None:
        for piece in self.credits.end() if chunk is None else self.credits.add(chunk):
            self._dispatch.send(*piece)

    def _answer(self, chunk: Chunk) -> None:
        status, inner = self._status_columns(chunk), self._line_columns(chunk)
        self._segments[self.status].append(status)
        self._segments["lines.parquet"].append(inner)
        self._index.add(chunk.row)
        self._hold(chunk)
        self._use.wait(chunk.lines.raw, chunk.reason)
        self._keep(chunk, status | inner)

    def _answer_again(self, chunk: Chunk) -> None:
        batch, reason = np.asarray(chunk.batch), chunk.reason
        self._use.move(batch, chunk.lines.raw, reason)
        gone = ~file_schemas.is_held(reason)
        if gone.any():
            columns = {
                "batch": pa.array(batch),
                **self._status_columns(chunk),
                **self._line_columns(chunk),
            }
            self._keep(chunk, columns)
            older = np.flatnonzero(gone & (batch != self._seq))
            if len(older):
                chosen = pa.array(older)
                taken = {name: column.take(chosen) for name, column in columns.items()}
                self._index.add_moved(chunk.row[older])
                self._segments["represented.parquet"].append(taken)
        self._hold(chunk)

    def _line_columns(self, chunk: Chunk) -> dict[str, pa.Array]:
        lines = chunk.lines
        return self._columns.lines(
            chunk.row, lines.amount, lines.benefit, lines.month, lines.debtor, chunk.reason
        )

    def _status_columns(self, chunk: Chunk) -> dict[str, pa.Array]:
        masks = {}
        differs = np.flatnonzero(chunk.reason == Reason.NAME_DIFFERS)
        if len(differs):
            names = Texts(chunk.lines.name.take(differs).rows(), None)
            masks = dict(zip(differs, name_keys(names, True, self._fold)[1], strict=True))
        return self._columns.status(
            chunk.lines.line_no,
            chunk.reason,
            chunk.participant,
            chunk.transfer,
            chunk.row,
            Known(masks, chunk.excluded_by, chunk.passed, chunk.replaced),
        )

    def _hold(self, chunk: Chunk) -> None:
        """Write lines that wait, as they came."""
        held = np.flatnonzero(file_schemas.is_held(chunk.reason))
        if len(held):
            self.begin("held.parquet").append(self._as_they_came(chunk, held))

    def _keep(self, chunk: Chunk, answer: dict[str, pa.Array]) -> None:
        """Write lines that clear, as they came: an open cycle may still send them back to wait."""
        alive = np.flatnonzero(chunk.reason == Reason.NONE)
        if not self._is_open or not len(alive):
            return
        chosen, kept = pa.array(alive), self._as_they_came(chunk, alive)
        for field in file_schemas.CLEARED_SCHEMA:
            if field.name not in kept:
                kept[field.name] = answer[field.name].take(chosen).cast(field.type)
        self.begin("cleared.parquet").append(kept)

    def _as_they_came(self, chunk: Chunk, chosen: NDArray[np.intp]) -> dict[str, pa.Array]:
        """Columns of lines, without their households where older rules judge."""
        kept: dict[str, pa.Array] = held_rows(chunk.batch, chunk.lines.raw, chosen)
        if not self._keeps:
            kept.pop(HOUSEHOLD, None)
        return kept
