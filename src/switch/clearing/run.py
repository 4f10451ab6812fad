"""The run of one table: every phase in order, chunk by chunk, up to the commit.

A run is intake - screen - post, then netting and settlement on tens of rows, then one commit; until
that commit nothing has happened, and after it everything has. No result depends on a clock, on
threads or on chunk sizes.
"""

from __future__ import annotations

import contextlib
import datetime
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa

from switch._core import Core
from switch.clearing import held as waiting
from switch.clearing.admitting import Admitted
from switch.clearing.answer_columns import Columns, held_rows
from switch.clearing.clearing_files import Cleared, Dispatch
from switch.clearing.close import Closing
from switch.clearing.intake import Declared, Intake, Lines
from switch.errors import InputRefused
from switch.files import segment
from switch.files.columns import Texts
from switch.files.layout import (
    CLEARED_SCHEMA,
    HELD_SCHEMA,
    LINES,
    REPRESENTED,
    STATUS,
    STYLES,
    is_held,
)
from switch.files.tables import TableReader, open_own
from switch.files.threads import Behind, Progress, ahead, in_order
from switch.home import paid_bits
from switch.home.history import bytes_again, queue_of
from switch.home.store import ROOM_SPARE, Home
from switch.native.outbox import transfer_ids
from switch.reason import RULE_SET, Reason
from switch.registry.directory import Directory, Settings
from switch.registry.register import Masks, Register, name_keys
from switch.schema import HELD, TRANSFER_ID_MAX, period_of
from switch.settlement import budgets
from switch.settlement.calendar import Slot
from switch.settlement.standing import Standing

EPOCH = datetime.date(1970, 1, 1)
ROOM_A_LINE, ROOM_TIMES_FILE = 80, 4
"""Bytes that a line takes in a batch and its copies (60 of a simulated nation), and how often a
run writes its table at most, for a table of fewer bytes a line."""
ROOM_KEPT_LINE = 40
"""More where lines are kept as they came, as their cycle may send them back (33 of a simulated
nation)."""
ID_SLACK = 40
"""Bytes behind the last transfer id that its kernel may touch."""


def core_of(
    home: Home,
    directory: Directory,
    register: Register,
    settings: Settings,
    value_date: datetime.date,
    threads: int = 1,
) -> Core:
    """A native core for one batch: registers, directory and who was paid before, as of a day."""
    lookups = directory.lookups()
    before = {
        (row["origin"], row["benefit"], row["period"]): (home.path / row["path"], row["sha256"])
        for row in home.rows("SELECT * FROM paid JOIN files USING (path)")
    }

    def bits_of(benefit: int, month: int) -> Any:
        key = (directory.programmes[benefit].benefit, period_of(month))
        files = [before.get((origin, *key)) for origin in ("history", "cleared")]
        return paid_bits.pairs(register.rows, *(paid_bits.read(*f) for f in files if f is not None))

    return Core(
        register.table,
        register.since.view(np.uint8),
        register.lists.view(np.uint8),
        register.participant_lookup(directory.index()),
        lookups.suspended,
        lookups.amount_max,
        lookups.debtor_agent,
        len(directory.programmes),
        settings.clearing_limit,
        (value_date - EPOCH).days,
        bits_of,
        threads,
    )


class Run(Closing):
    """One table on its road. Everything it writes stands in a draft until the commit."""

    def __init__(
        self,
        home: Home,
        directory: Directory,
        register: Register,
        settings: Settings,
        declared: Declared,
        reader: TableReader,
        threads: int,
        chunk_rows: int,
        at: str,
        progress: Progress | None,
        form: str = "parquet",
        rule_set: str = RULE_SET,
        slot: Slot | None = None,
    ) -> None:
        """slot: the cycle of the calendar that takes the lines, where there is a calendar."""
        self.home, self.directory = home, directory
        self.register, self.settings = register, settings
        self.declared, self.reader, self.at = declared, reader, at
        self.threads, self.chunk_rows = threads, chunk_rows
        self.form, self.rule_set = form, rule_set
        self.progress = progress or (lambda *_: None)
        self.seq = self.home.catalog.next_batch()
        self.slot = slot
        own_cycle = f"{declared.value_date:%Y%m%d}-{self.seq:06d}"
        self.cycle = self.slot.cycle if self.slot else own_cycle
        self.prefixes = {
            row["seq"]: _prefix(datetime.date.fromisoformat(row["value_date"]), row["seq"])
            for row in home.rows("SELECT seq, value_date FROM batches")
        }
        self.prefix = self.prefixes[self.seq] = _prefix(declared.value_date, self.seq)
        self.masks = Masks(self.home.folder("registers", self.home.catalog.register_seq()))
        self.standing = Standing(home, directory)
        self.rooms = self.standing.rooms(self.cycle)
        is_open = self.slot is not None
        self.columns = Columns(
            self.directory,
            self.cycle,
            self.masks,
            bool(self.rooms),
            is_open,
            self.rule_set,
            settings.accounts_shared_max is not msgspec.UNSET,
        )
        self.admitted: Admitted | None = None
        if settings.accounts_shared_max is not msgspec.UNSET:
            self.admitted = Admitted(settings.accounts_shared_max, register.heap)
        self.moved: list[waiting.Moved] = []
        self.use = budgets.Use(self.seq)
        self.digests: dict[str, tuple[str, int]] = {}

    def carry_out(self) -> None:
        """Everything from the first line to the commit."""
        self.core = core_of(
            self.home,
            self.directory,
            self.register,
            self.settings,
            self.declared.value_date,
            self.threads,
        )
        if self.rooms:
            self.core.limit(*waiting.cover_of(self.directory, self.rooms))
        depth = 2 if self.threads > 1 else 0
        self.status_writer, self.clearing_writer = Behind(depth), Behind(depth)
        try:
            with self.home.draft("batches") as draft:
                self._open(draft)
                try:
                    self.carried = self._represent()
                    self.core.seal()
                    self.before = self.core.tally()
                    older = self.core.benefit_sum.copy()
                    self._lines()
                    own = (self.core.benefit_sum - older).tolist()
                    self._release()
                    self.status_writer.finish()
                    self.clearing_writer.finish()
                    self.use.own([p.benefit for p in self.directory.programmes], own)
                    self._close()
                    self._amend(draft)
                except BaseException:
                    self._abandon()
                    raise
                self._settle(draft)
        finally:
            self.status_writer.close()
            self.clearing_writer.close()
            self.core.close()

    def _open(self, draft: Path) -> None:
        self.draft = draft
        self.dispatch = Dispatch(draft / "clearing", self.directory, self.register.heap, self.form)
        self.status = segment.Segment(draft / f"status.{self.form}", STATUS, STYLES)
        self.lines = segment.Segment(draft / "lines.parquet", LINES, STYLES)
        self.held: segment.Segment | None = None
        self.represented: segment.Segment | None = None
        self.cleared: segment.Segment | None = None

    def _segments(self) -> dict[str, segment.Segment | None]:
        return {
            f"status.{self.form}": self.status,
            "lines.parquet": self.lines,
            "held.parquet": self.held,
            "represented.parquet": self.represented,
            "cleared.parquet": self.cleared,
        }

    def _abandon(self) -> None:
        self.status_writer.close()
        self.clearing_writer.close()
        self.dispatch.abandon()
        for part in self._segments().values():
            if part is not None:
                part.abandon()

    def _close(self) -> None:
        """End every file of the draft, as many at a time as the run has threads."""
        ends = {n: part.close for n, part in self._segments().items() if part is not None}
        ends |= {f"clearing/{name}": end for name, end in self.dispatch.ends().items()}
        self.digests |= zip(ends, in_order(ends.values(), self.threads), strict=True)

    # --- lines ----------------------------------------------------------------------------------

    def _lines(self) -> None:
        intake = Intake(
            self.directory,
            digest=self.reader.sha256 is None,
            rule_set=self.rule_set,
            fold=self.register.fold,
        )
        chunks = intake.lines(self.reader, self.declared, self.chunk_rows)
        done = 0
        for lines in ahead(chunks, 2 if self.threads > 1 else 0):
            reason, row, participant, account = self._screen(lines)
            self._post(self.core.post, lines, reason, row, participant)
            prefix = np.frombuffer(self.prefix, np.uint8)
            transfer = _transfer_ids(prefix, lines.line_no, reason)
            self._dispatch(lines, reason, participant, account, transfer)
            self.status_writer(self._answer_lines, lines, reason, row, participant, transfer)
            done += len(lines)
            self.progress("clearing", done, self.declared.count)
        if self.reader.sha256 is not None:
            self.digest = f"sha256:{self.reader.sha256}"
        else:
            self.digest = f"logical:{intake.logical_digest}"

    def _screen(self, lines: Lines) -> tuple[Any, Any, Any, Any]:
        found: tuple[Any, Any, Any, Any] = self.core.screen(
            lines.amount, lines.person_id, lines.name_key, lines.benefit, lines.debtor, lines.agent
        )
        if self.admitted is not None:
            self.admitted.hold(*found, lines.account)
        return found

    def _post(
        self, post: Callable[..., None], lines: Lines, reason: Any, row: Any, participant: Any
    ) -> None:
        """Post what lives, or let it wait."""
        with self._within_limits():
            post(reason, row, lines.benefit, lines.month, lines.debtor, participant, lines.amount)

    @contextlib.contextmanager
    def _within_limits(self) -> Iterator[None]:
        try:
            yield
        except (OverflowError, ValueError) as error:
            raise InputRefused(
                "TOTAL_RANGE" if isinstance(error, OverflowError) else "PERIOD_LIMIT",
                str(error),
                file=self.reader.name,
                remedy="split the table",
            ) from error

    def _dispatch(
        self, lines: Lines, reason: Any, participant: Any, account: Any, transfer: Any
    ) -> None:
        self.clearing_writer(self._hand_over, lines, reason, participant, account, transfer)

    def _hand_over(
        self, lines: Lines, reason: Any, participant: Any, account: Any, transfer: Any
    ) -> None:
        self.dispatch.append(
            Cleared(
                reason=reason,
                participant=participant,
                transfer=transfer,
                account=account,
                accounts=lines.account,
                name=lines.name,
                end_to_end_id=lines.end_to_end_id,
                amount=lines.amount,
                month=lines.month,
                benefit=lines.benefit,
                debtor=lines.debtor,
            )
        )

    def _answer_lines(
        self, lines: Lines, reason: Any, row: Any, participant: Any, transfer: Any
    ) -> None:
        status = self._status_columns(lines, reason, row, participant, transfer)
        inner = self._line_columns(lines, reason, row)
        self.status.append(status)
        self.lines.append(inner)
        self._hold(np.uint32(self.seq), lines, reason)
        self.use.wait(lines.raw, reason)
        self._keep(np.uint32(self.seq), lines, reason, status | inner)

    def _line_columns(self, lines: Lines, reason: Any, row: Any) -> dict[str, Any]:
        return self.columns.lines(
            row, lines.amount, lines.benefit, lines.month, lines.debtor, reason
        )

    def _status_columns(
        self, lines: Lines, reason: Any, row: Any, participant: Any, transfer: tuple[Any, Any]
    ) -> dict[str, Any]:
        masks = {}
        differs = np.flatnonzero(reason == Reason.NAME_DIFFERS)
        if len(differs):
            names = Texts(lines.name.take(differs).rows(), None)
            masks = dict(zip(differs, name_keys(names, True, self.register.fold)[1], strict=True))
        return self.columns.status(lines.line_no, reason, participant, transfer, row, masks)

    def _hold(self, batch: Any, lines: Lines, reason: Any) -> None:
        waiting = np.flatnonzero(is_held(reason))
        if len(waiting):
            if self.held is None:
                self.held = segment.Segment(self.draft / "held.parquet", HELD_SCHEMA, STYLES)
            self.held.append(held_rows(batch, lines.raw, waiting))

    # --- held lines -----------------------------------------------------------------------------

    def _represent(self) -> waiting.Tally:
        """Try the lines that wait, oldest first, before the table's own; their tally."""
        queue = queue_of(self.home)
        if queue is None:
            return self.core.tally()
        path, digest = self.home.path / queue[0], queue[1]
        self.represented = segment.Segment(self.draft / "represented.parquet", REPRESENTED, STYLES)
        if not self.rooms:
            for batch, lines, (reason, row, participant, account) in self._held_lines(path, digest):
                self._post(self.core.post, lines, reason, row, participant)
                self._present(batch, lines, reason, row, participant, account)
            return self.core.tally()
        for _, lines, (reason, row, participant, _) in self._held_lines(path, digest):
            self._post(self.core.wait, lines, reason, row, participant)
        with self._within_limits():
            verdict = self.core.release()
        tally = self.core.tally()
        for batch, lines, (reason, row, participant, account) in self._held_lines(path, digest):
            verdict = _judge(reason, verdict)
            tally = waiting.add(tally, waiting.tally_of(reason, lines.amount))
            self._present(batch, lines, reason, row, participant, account)
        return tally

    def _held_lines(
        self, path: Path, sha256: str
    ) -> Iterator[tuple[Any, Lines, tuple[Any, Any, Any, Any]]]:
        """Held lines in chunks: (number of the batch of each, lines, what `screen` says).

        sha256: what the file was written with, proven before it is decoded.
        """
        intake = Intake(self.directory, rule_set=self.rule_set, fold=self.register.fold)
        reader = open_own(path, HELD, sha256)
        for raw in reader.chunks(self.chunk_rows):
            lines = intake.take(raw, reader.name)
            yield raw["batch"], lines, self._screen(lines)

    def _present(
        self, batch: Any, lines: Lines, reason: Any, row: Any, participant: Any, account: Any
    ) -> None:
        heads = [self.prefixes[int(number)] for number in batch]
        transfer = _transfer_ids_each(heads, lines.line_no, reason)
        self._dispatch(lines, reason, participant, account, transfer)
        self.status_writer(self._answer_held, batch, lines, reason, row, participant, transfer)

    def _answer_held(
        self, batch: Any, lines: Lines, reason: Any, row: Any, participant: Any, transfer: Any
    ) -> None:
        self.use.move(batch, lines.raw, reason)
        gone = ~is_held(reason)
        moved = np.flatnonzero(gone & (batch != self.seq))
        if gone.any():
            columns = {
                "batch": pa.array(batch.astype(np.uint32)),
                **self._status_columns(lines, reason, row, participant, transfer),
                **self._line_columns(lines, reason, row),
            }
            self._keep(batch, lines, reason, columns)
        if len(moved):
            assert self.represented is not None
            self.represented.append({name: c.take(pa.array(moved)) for name, c in columns.items()})
        self._hold(batch, lines, reason)

    def _keep(self, batch: Any, lines: Lines, reason: Any, answer: dict[str, Any]) -> None:
        """Lines that clear, as they came: their cycle may still send them back to wait."""
        alive = np.flatnonzero(reason == Reason.NONE)
        if self.slot is None or not len(alive):
            return
        if self.cleared is None:
            path = self.draft / "cleared.parquet"
            self.cleared = segment.Segment(path, CLEARED_SCHEMA, STYLES)
        chosen, kept = pa.array(alive), held_rows(batch, lines.raw, alive)
        for field in CLEARED_SCHEMA:
            if field.name not in kept:
                kept[field.name] = answer[field.name].take(chosen).cast(field.type)
        self.cleared.append(kept)

    def _release(self) -> None:
        """Lines that wait for cover go now, as far as the table's receipts have made room."""
        with self._within_limits():
            verdict = self.core.release() if self.rooms else np.empty(0, np.uint8)
        if (verdict == Reason.COVER_MISSING).all():
            return
        self.status_writer.finish()
        assert self.held is not None
        digest, _ = self.held.close()
        path = self.draft / ".held.parquet"
        self.held.path.rename(path)
        self.held = None
        for batch, lines, (reason, row, participant, account) in self._held_lines(path, digest):
            waited = np.flatnonzero(reason == Reason.NONE)
            verdict = _judge(reason, verdict)
            for i in waited[reason[waited] != Reason.COVER_MISSING]:
                number, line_no = int(batch[i]), int(lines.line_no[i])
                name = b"%s%010d" % (self.prefixes[number], line_no) if reason[i] == 0 else b""
                moved = waiting.Moved(
                    number, line_no, int(reason[i]), name.decode(), int(lines.amount[i])
                )
                self.moved.append(moved)
            self._present(batch, lines, reason, row, participant, account)
        self.status_writer.finish()
        path.unlink()

    def _amend(self, draft: Path) -> None:
        """Answers and sums of lines that moved when the table was through."""
        own = [line for line in self.moved if line.batch == self.seq]
        older = [line for line in self.moved if line.batch != self.seq]
        self.carried = waiting.add(self.carried, waiting.shift(older))
        self.own = [
            (c - b, s - t) for (c, s), (b, t) in zip(self.core.tally(), self.before, strict=True)
        ]
        self.own = waiting.add(self.own, waiting.shift(own))
        waiting.write_released(draft / "released.parquet", self.moved)
        if own:
            status = f"status.{self.form}"
            waiting.amend(draft / status, draft / "lines.parquet", own, self.columns, self.cycle)
            del self.digests[status], self.digests["lines.parquet"]


def _judge(reason: Any, verdict: Any) -> Any:
    """Give lines that passed screening their verdicts, in order; the verdicts that are left."""
    alive = np.flatnonzero(reason == Reason.NONE)
    reason[alive] = verdict[: len(alive)]
    return verdict[len(alive) :]


def _prefix(value_date: datetime.date, seq: int) -> bytes:
    """What all transfer ids of a batch begin with: its value date and its number."""
    prefix = f"{value_date:%Y%m%d}-{seq:06d}-".encode()
    assert len(prefix) + 10 <= TRANSFER_ID_MAX
    return prefix


def _transfer_ids(prefix: Any, line_no: Any, reason: Any) -> tuple[Any, Any]:
    """(offsets, data) of the ids of living lines; others have an empty text."""
    offsets = np.empty(len(line_no) + 1, np.int32)
    data = np.empty(len(line_no) * (len(prefix) + 10) + ID_SLACK, np.uint8)
    given = (reason == 0).view(np.uint8)
    transfer_ids(prefix, line_no, given, offsets, data)
    return offsets, data


def _transfer_ids_each(heads: list[bytes], line_no: Any, reason: Any) -> tuple[Any, Any]:
    """The same for lines of several batches."""
    texts = [
        b"%s%010d" % (head, number) if alive == 0 else b""
        for head, number, alive in zip(heads, line_no, reason, strict=True)
    ]
    offsets = np.zeros(len(texts) + 1, np.int32)
    np.cumsum([len(text) for text in texts], out=offsets[1:])
    return offsets, np.frombuffer(b"".join(texts) or b"\0", np.uint8)


def _bytes_of(table: Any) -> int:
    """Size of a table in memory; 0 where it does not say."""
    size = getattr(table, "nbytes", 0)
    return size if isinstance(size, int) else 0


def room_for(home: Home, settings: Settings, table: Any, declared: Declared) -> int:
    """Bytes that a run will write, as far as they can be known before it: its answer and the
    copies of that, the lines that wait, and paid bits of the keys that were touched so far."""
    is_file = isinstance(table, str | Path)
    size = ROOM_TIMES_FILE * Path(table).stat().st_size if is_file else _bytes_of(table)
    lines = min(ROOM_A_LINE * declared.count, size) if size else ROOM_A_LINE * declared.count
    if settings.cutoffs is not msgspec.UNSET:
        lines += ROOM_KEPT_LINE * declared.count
    return lines + ROOM_TIMES_FILE * bytes_again(home) + ROOM_SPARE
