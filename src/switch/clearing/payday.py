"""Payday: one table that is handed in, from its dossier to the copies of its answer.

A table of which nothing is known is cleared (`run.clear`). One that was run before is answered from
what was stored, and has to be what it was then.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import msgspec

from switch.clearing.intake import OF_A_FILE, Declared, Intake, declare, declared_in
from switch.clearing.job import Job, Options, Prospect
from switch.clearing.run import clear, room_for
from switch.errors import CopyFailed, WorkerLost
from switch.files.disk import out_folder
from switch.files.formats import CHUNK_ROWS
from switch.files.tables import TableLike, TableReader, open_table
from switch.home import days
from switch.home.batch import Batch, batch_row
from switch.home.copies import export_batch
from switch.home.days import SaidTime
from switch.home.rows import BatchRow
from switch.home.sent_back import sent_back
from switch.home.store import Home
from switch.reason import RULE_SET
from switch.registry.directory import Directory
from switch.registry.register import Register
from switch.registry.settings import Settings
from switch.results import StoredSummary
from switch.schema import NOT_OF_HOUSEHOLDS, PAYMENT
from switch.settlement.cycle import slot_for

TRIES = 3
"""Times that the table of a file is cleared where processes that judge it are lost."""


@dataclass(frozen=True)
class Payer:
    """A home that pays, with its directory and settings, and its register, opened when asked."""

    home: Home
    directory: Directory
    settings: Settings
    register: Callable[..., Register]
    """Opens it; with people=False for whoever has others judge lines."""
    admit: Callable[[Declared], None]
    """Raises InputRefused for a new table that the home may not run."""


@dataclass(frozen=True, kw_only=True)
class HandedIn:
    """A table, what is declared of it where it has no dossier, and when it is run.

    out: the folder for copies of the answer. strict_columns: unknown columns are refused.
    """

    table: TableLike
    when: SaidTime
    source: str | None = None
    batch_id: str | None = None
    value_date: datetime.date | str | None = None
    count: int | None = None
    sum: int | None = None
    out: str | Path | None = None
    strict_columns: bool = False


def run(payer: Payer, given: HandedIn, options: Options) -> Batch:
    """Clear a table, or give its stored answer again (`Engine.run`)."""
    home, table, when = payer.home, given.table, given.when
    folder = out_folder(home.path, given.out)
    days.require_why(when.why, when.at)
    declared = declare(
        table, given.source, given.batch_id, given.value_date, given.count, given.sum
    )
    known = home.catalog.batch_of(declared.source, declared.batch_id)
    if is_new := known is None:
        declared.require_new(declared_in(table, declared))
        payer.admit(declared)
    tries = TRIES if isinstance(table, str | Path) else 1
    for left in reversed(range(tries)):
        try:
            batch, told = _answered(payer, given, declared, known, options)
            break
        except WorkerLost:
            if not left:
                raise
    try:
        export_batch(home, batch, folder, options.threads)
    except CopyFailed as error:
        error.done = (batch.summary,)
        raise
    return dataclasses.replace(batch, warnings=(*told, *(_twins(home, batch) if is_new else ())))


def _answered(
    payer: Payer, given: HandedIn, declared: Declared, known: BatchRow | None, options: Options
) -> tuple[Batch, list[str]]:
    """Clear a new table, or find the answer to one that was run before (known); with warnings."""
    home, when, executor = payer.home, given.when, options.executor
    with contextlib.ExitStack() as opened:
        if known is None and executor is not None:
            ready = executor.prepared(_prospect(payer, given.table, declared))
            options = dataclasses.replace(options, executor=opened.enter_context(ready))
        reader = open_table(
            given.table,
            PAYMENT,
            strict_columns=given.strict_columns,
            sha256=declared.sha256,
            room=home.path,
            bounded=known is None,
            only=NOT_OF_HOUSEHOLDS if known and known.digest.startswith(OF_A_FILE) else None,
        )
        opened.callback(reader.close)
        if known is not None:
            _require_same(payer.directory, known, reader, declared)
            return batch_of(home, known, replayed=True), [*reader.warnings]
        register = payer.register(people=executor is None)
        due = declared.value_date.isoformat()
        far = days.unusual(days.times(home), when.at, due)
        at = days.time_for(home, when.at, due, when.leap, when.why)
        home.require_room(room_for(home, payer.settings, given.table, declared))
        when = dataclasses.replace(when, at=at)
        clear(_job(payer, register, declared, reader, when, options))
    row = home.catalog.batch_of(declared.source, declared.batch_id)
    assert row is not None
    return batch_of(home, row, replayed=False), [*far, *reader.warnings]


def _prospect(payer: Payer, table: TableLike, declared: Declared) -> Prospect:
    return Prospect(
        home=payer.home,
        settings=payer.settings,
        declared=declared,
        seq=payer.home.catalog.next_batch(),
        rule_set=RULE_SET,
        file=str(table) if isinstance(table, str | Path) else PAYMENT.name,
    )


def _job(
    payer: Payer,
    register: Register,
    declared: Declared,
    reader: TableReader,
    when: SaidTime,
    options: Options,
) -> Job:
    home, settings = payer.home, payer.settings
    return Job(
        home=home,
        directory=payer.directory,
        register=register,
        settings=settings,
        declared=declared,
        reader=reader,
        seq=home.catalog.next_batch(),
        at=when.at,
        why=when.why,
        slot=slot_for(home, settings, when.at, declared.value_date),
        rule_set=RULE_SET,
        options=options,
    )


def _require_same(
    directory: Directory, known: BatchRow, reader: TableReader, declared: Declared
) -> None:
    """Raises InputRefused where a table, or anything that is declared of it, is other than it was
    when it was run. Rows that came from memory are known again in any form; of a file its digest
    alone was kept."""
    declared.require_as_stored(known, reader.name)
    if known.digest.startswith(OF_A_FILE):
        declared.require_file(known, reader.sha256, reader.name)
    else:
        intake = Intake(directory, digest=True)
        for _ in intake.lines(reader, declared, CHUNK_ROWS):
            pass
        declared.require_content(known, intake.digests, reader.name)


def _twins(home: Home, batch: Batch) -> list[str]:
    """Warnings of a new batch whose content was run before under another name."""
    same = [b for b in home.catalog.batches() if b.digest == batch.summary["digest"]]
    names = [f"{b.source}:{b.batch_id}" for b in same if b.seq != batch.seq]
    what = "what cleared there is refused here as paid already (AM05)"
    return [f"the same content was run before as {name}: {what}" for name in names]


def batch_of(home: Home, row: BatchRow, *, replayed: bool) -> Batch:
    """The batch of a row of the catalog, with its answer as it was stored."""
    stored: StoredSummary = msgspec.json.decode(home.catalog.summary(row.seq))
    back = sent_back(home, row.seq) if replayed else []
    return Batch(
        seq=row.seq,
        source=row.source,
        batch_id=row.batch_id,
        cycle=row.cycle,
        replayed=replayed,
        summary={**stored, "state": row.state, "replayed": replayed, "sent_back": back},
        folder=home.folder("batches", row.seq),
    )


def export(home: Home, batch: Batch | str, out: str | Path | None) -> Path:
    """Copy the answer to a batch once more (`Engine.export`). Returns its folder."""
    name = batch if isinstance(batch, str) else f"{batch.source}:{batch.batch_id}"
    found = batch_of(home, batch_row(home, name), replayed=True)
    return export_batch(home, found, out_folder(home.path, out))
