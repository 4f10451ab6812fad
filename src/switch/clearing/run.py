"""The run of one table: every phase in order, chunk by chunk, up to the commit.

A run is intake - screen - post, then netting and settlement on tens of rows, then one commit; until
that commit nothing has happened, and after it everything has. No result depends on a clock, on
threads or on chunk sizes.
"""

from __future__ import annotations

import contextlib
from pathlib import Path

import msgspec
import numpy as np

from switch.clearing import close, held
from switch.clearing.answer_columns import Columns
from switch.clearing.batch_writer import BatchWriter, Digests
from switch.clearing.chunk import ids_of, prefix_of
from switch.clearing.close import Through
from switch.clearing.held import Moved, Tally
from switch.clearing.held_queue import HeldQueue
from switch.clearing.intake import OF_A_FILE, OF_MEMORY, Declared, Intake
from switch.clearing.job import Job, Judge
from switch.clearing.kernel import Kernel
from switch.files.threads import ahead
from switch.home.history import bytes_again
from switch.home.store import ROOM_SPARE, Home
from switch.reason import LIMIT_MONTHS, NO_MONTHS, RULE_SET, Reason
from switch.registry.settings import Settings
from switch.settlement import budgets
from switch.settlement.standing import Standing

ROOM_A_LINE, ROOM_TIMES_FILE = 80, 4
"""Bytes that a line takes in a batch and its copies (60 of a simulated nation), and how often a
run writes its table at most, for a table of fewer bytes a line."""
ROOM_KEPT_LINE = 40
"""More where lines are kept as they came, as their cycle may send them back (33 of a simulated
nation)."""


def clear(job: Job) -> None:
    """Clear one table: everything from its first line to the commit. Raises InputRefused where the
    table is not what it declares; its draft is removed then."""
    home = job.home
    standing = Standing(home, job.directory)
    rooms = standing.rooms(job.cycle)
    columns, use = _columns(job, bool(rooms)), budgets.Use(job.seq)
    executor = job.options.executor
    judge = Kernel(job.basis, rooms) if executor is None else executor.judge(job, rooms)
    with contextlib.closing(judge), home.draft("batches") as draft:
        with BatchWriter(job, draft, columns, use) as writer:
            queue = HeldQueue(job, judge, writer, bool(rooms))
            carried = queue.represent()
            judge.seal()
            before, older = judge.tally(), judge.core.benefit_sum.copy()
            digest = _own_lines(job, judge, writer)
            cleared = (judge.core.benefit_sum - older).tolist()
            queue.release()
            writer.finish()
            use.own([p.benefit for p in job.directory.programmes], cleared)
            digests = writer.end()
            own = [(c - b, s - t) for (c, s), (b, t) in zip(judge.tally(), before, strict=True)]
            late = [line for line in queue.moved if line.batch == job.seq]
            earlier = [line for line in queue.moved if line.batch != job.seq]
            own, carried = _with(own, late), _with(carried, earlier)
            held.write_released(draft / "released.parquet", queue.moved)
            _amend(job, draft, late, columns, digests)
        through = Through(
            judge.core,
            judge.cleared(),
            standing,
            rooms,
            use,
            digest,
            own,
            carried,
            digests,
            _rules(judge, writer),
            writer.credits.total,
            writer.keeps_households,
            judge.has_replaced,
        )
        close.settle(job, through, draft)


def _rules(judge: Judge, writer: BatchWriter) -> str:
    """The oldest rules by which all lines are answered, and sent, as they were."""
    if writer.keeps_households or writer.credits.of_batches:
        return RULE_SET
    found = judge.rule_set
    return NO_MONTHS if writer.credits.count and found not in LIMIT_MONTHS else found


def _columns(job: Job, is_limited: bool) -> Columns:
    masks = job.register.initials
    waits = set()
    if job.settings.accounts_shared_max is not msgspec.UNSET:
        waits |= {Reason.COVER_MISSING, Reason.ACCOUNT_SHARED}
    if is_limited:
        waits.add(Reason.COVER_MISSING)
    if any(p.amount_month_max is not None for p in job.directory.participants):
        waits.add(Reason.ACCOUNT_OVER_MONTH)
    if job.register.late:
        waits.add(Reason.IDENTITY_PENDING)
    is_open = job.slot is not None
    return Columns(job.directory, job.cycle, masks, waits, is_open, job.rule_set)


def _own_lines(job: Job, judge: Judge, writer: BatchWriter) -> str:
    """Take in, screen, post and answer the table's own lines; the digest of the table."""
    reader, threads = job.reader, job.options.threads
    intake = Intake(
        job.directory,
        digest=reader.sha256 is None,
        rule_set=job.rule_set,
        fold=job.register.fold,
        day=job.declared.value_date,
    )
    chunks = intake.lines(reader, job.declared, job.options.chunk_rows)
    batch, prefix = np.uint32(job.seq), prefix_of(job.declared.value_date, job.seq)
    done = 0
    for chunk in judge.judged(ahead(chunks, 2 if threads > 1 else 0), batch):
        chunk.transfer = ids_of(prefix, chunk.lines.line_no, chunk.reason)
        writer.own(chunk)
        done += len(chunk.lines)
        job.options.tell("clearing", done, job.declared.count)
    writer.own_end()
    if reader.sha256 is not None:
        return f"{OF_A_FILE}{reader.sha256}"
    return f"{OF_MEMORY}{intake.logical_digest}"


def _with(tally: Tally, moved: list[Moved]) -> Tally:
    """A tally after lines left COVER_MISSING."""
    return held.add(tally, held.shift(moved))


def _amend(job: Job, draft: Path, late: list[Moved], columns: Columns, digests: Digests) -> None:
    """Write answers again where own lines went when the table was through."""
    if late:
        status, lines = f"status.{job.options.form}", "lines.parquet"
        held.amend(draft / status, draft / lines, late, columns, job.cycle)
        del digests[status], digests[lines]


def room_for(home: Home, settings: Settings, table: object, declared: Declared) -> int:
    """Bytes that a run will write, as far as they can be known before it: its answer and the
    copies of that, the lines that wait, and paid bits of the keys that were touched so far."""
    if isinstance(table, str | Path):
        size = ROOM_TIMES_FILE * Path(table).stat().st_size
    else:
        size = _bytes_of(table)
    lines = min(ROOM_A_LINE * declared.count, size) if size else ROOM_A_LINE * declared.count
    if settings.cutoffs is not msgspec.UNSET:
        lines += ROOM_KEPT_LINE * declared.count
    return lines + ROOM_TIMES_FILE * bytes_again(home) + ROOM_SPARE


def _bytes_of(table: object) -> int:
    """Size of a table in memory; 0 where it does not say."""
    size = getattr(table, "nbytes", 0)
    return size if isinstance(size, int) else 0
