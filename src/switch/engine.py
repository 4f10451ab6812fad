"""The engine: one home, open for work, with everything a caller may do to it.

It makes a home, changes its directory and registers, runs payment tables and answers again what was
run before.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import importlib
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Literal, Unpack, cast

import msgspec
import pyarrow as pa

from switch import results, status
from switch.arguments import checked
from switch.clearing import shared_accounts as shared
from switch.clearing.intake import Declared, Intake, declare, declared_in
from switch.clearing.job import Job, Options
from switch.clearing.run import clear, room_for
from switch.errors import CopyFailed, UsageError
from switch.files.disk import out_folder
from switch.files.formats import CHUNK_ROWS
from switch.files.tables import TableLike, TableReader, lasting, open_table
from switch.files.threads import Progress
from switch.home import days, signing
from switch.home.batch import Batch
from switch.home.changes import SetMeta
from switch.home.copies import export_batch, export_cycle, export_day, export_requests, not_exported
from switch.home.create import create_home
from switch.home.rows import BatchRow
from switch.home.store import Home
from switch.home.times import time_text
from switch.home.turns import Turns, acts, asks
from switch.open_items import balances as accounts_held
from switch.open_items import breaks, cycles, held
from switch.open_items.listing import BreaksAsked, LinesAsked, Listing, Words
from switch.outlook import HomeStatus, home_status
from switch.present import sent_back
from switch.reason import RULE_SET
from switch.reconcile import Rules, break_notes, day_end, dispositions, read_rules, take_in
from switch.reconcile.break_notes import NoteSaid
from switch.registry.directory import Directory, read_directory
from switch.registry.load_registers import Tables, current, load_registers
from switch.registry.register import Register
from switch.registry.settings import Settings
from switch.results import HowRehearsed, Rehearsal
from switch.schema import PAYMENT
from switch.settlement import budgets, standing
from switch.settlement import cycle as settling
from switch.settlement.accounts import REISSUE, WRITE_BACK
from switch.settlement.calendar import Calendar, Slot


@checked
def init(
    home: str | Path,
    *,
    participants: TableLike,
    debtors: TableLike,
    programmes: TableLike | None = None,
    balances: TableLike | None = None,
    settings: Settings | Mapping[str, object] | None = None,
    key: bytes | None = None,
    signing_key: bytes | None = None,
    at: datetime.date | str = "",
) -> Engine:
    """Make a new home and open it. Tables: paths or Arrow tables, as the contract has them.

    balances: opening balances of settlement accounts, which then may not go below zero. key: the
    secret of keyed hashes. signing_key: an Ed25519 private key as PEM, with which every commit is
    signed (`switch.home.signing.new_key` makes one). Raises UsageError where home is not empty,
    InputRefused for bad tables.
    """
    directory = read_directory(participants, debtors, programmes)
    chosen = Settings.of(settings)
    if chosen.enforce_budgets is True:
        budgets.require_programmes(directory)
    opening = standing.opening_balances(directory, balances)
    create_home(
        Path(home),
        {
            "directory": directory.to_json().decode(),
            "settings": msgspec.json.encode(chosen).decode(),
            "opening": msgspec.json.encode(opening, order="sorted").decode(),
        },
        time_text(at),
        key,
        None if signing_key is None else signing.read_key(signing_key),
    )
    return Engine(home)


@checked
class Engine:
    """One home, open for work, as a context manager; else close it.

    home: its folder. mode: "w" to write, as one alone can at a time; "r" to read, as any number can
    beside a writer: each call answers from the last commit, waits for no run and holds none up.
    wait: seconds for which another writer is waited for (default: not at all). Raises HomeLocked
    where it still writes then, UsageError where the folder is no home.

    Any thread may call it. It does one call at a time; others wait for their turn.
    """

    def __init__(self, home: str | Path, *, mode: Literal["r", "w"] = "w", wait: float = 0) -> None:
        self.turns = Turns()
        self.home = Home(Path(home), writing=mode == "w", wait=wait)
        self.directory, self.settings = _chosen(self.home)
        self._register: tuple[int, Register] | None = None

    @property
    def mode(self) -> Literal["r", "w"]:
        """The way it is open: "w" where it writes, "r" where it reads beside whoever writes."""
        return "r" if self.home.is_read else "w"

    def __repr__(self) -> str:
        how = "closed" if self.home.closed else {"r": "to read", "w": "to write"}[self.mode]
        return f"<Engine of {self.home.path}, {how}>"

    def __enter__(self) -> Engine:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the home when calls of other threads have ended; twice is no mistake."""
        with self.turns.taken():
            self._register = None
            self.home.close()

    def look(self) -> None:
        """Take in directory and settings as the last commit left them."""
        self.directory, self.settings = _chosen(self.home)

    # --- directory and registers ----------------------------------------------------------------

    @acts
    def change_directory(
        self,
        *,
        participants: TableLike | None = None,
        debtors: TableLike | None = None,
        programmes: TableLike | None = None,
        balances: TableLike | None = None,
        settings: Settings | Mapping[str, object] | None = None,
        at: datetime.date | str = "",
        correct: str | None = None,
        warn: Callable[[str], None] = warnings.warn,
    ) -> None:
        """Replace tables of the directory, or the settings; what is None stays. balances: what
        settlement accounts hold at the State Bank now; they are bound from now on. correct: as of
        `run`. warn: is told of a day far from the home's last."""
        at, why = days.noted(self.home, time_text(at), correct, warn)
        if balances is not None:
            if any(part is not None for part in (participants, debtors, programmes, settings)):
                raise UsageError("balances are given alone: they are a commit of their own")
            held = standing.opening_balances(self.directory, balances)
            standing.set_balances(self.home, self.directory, held, at, why)
            return

        new = read_directory(participants, debtors, programmes, self.directory)
        standing.require_nobody_leaves(self.home, self.directory, new)
        chosen = self.settings if settings is None else Settings.of(settings, self.settings)
        if chosen.enforce_budgets is True:
            budgets.require_programmes(new)
        changed = {
            "directory": new.to_json().decode(),
            "settings": msgspec.json.encode(chosen).decode(),
        }
        self.home.commit(
            at=at,
            kind="directory",
            detail={**changed, **why},
            changes=[SetMeta(value, name) for name, value in changed.items()],
        )
        self.directory, self.settings = new, chosen

    @acts
    def register(
        self,
        *,
        population: TableLike | None = None,
        accounts: TableLike | None = None,
        paid_history: TableLike | None = None,
        replace: bool = False,
        at: datetime.date | str = "",
        strict_columns: bool = False,
        progress: Progress | None = None,
        warn: Callable[[str], None] = warnings.warn,
        correct: str | None = None,
    ) -> dict[str, int]:
        """Load registers: upsert by key, or with replace swap the whole of each that is given.

        warn: is told of ignored columns, and of a day far from the home's last. correct: as of
        `run`. Returns rows read by table. All is committed, or nothing.
        """
        at, why = days.noted(self.home, time_text(at), correct, warn)
        return load_registers(
            self.home,
            Tables(population, accounts, paid_history),
            replace=replace,
            at=at,
            strict_columns=strict_columns,
            progress=progress,
            warn=warn,
            why=why,
        )

    @asks
    def open_register(self) -> Register:
        """The current register, opened once."""
        version = self.home.catalog.register_seq()
        if version == 0:
            raise UsageError(f"{self.home.path} has no register: load one with `switch register`")
        if self._register is None or self._register[0] != version:
            self._register = version, current(self.home)
        return self._register[1]

    # --- cycles of the calendar ------------------------------------------------------------------

    @acts
    def settle(
        self,
        cycle: str | None = None,
        *,
        at: datetime.date | str | None = None,
        out: str | Path | None = None,
        close_only: bool = False,
        abort: str | None = None,
        leap: bool = False,
        correct: str | None = None,
        warn: Callable[[str], None] = warnings.warn,
    ) -> list[results.CycleAnswer]:
        """Close and settle a cycle of the calendar, or all whose cut-off is not after `at`.

        at: the time that is recorded; without it every cycle that is not settled is taken, each at
        its cut-off. close_only: they take no more lines, and their requests are written. Returns
        the answers, oldest cycle first; a state of CLOSED is one that waits for funds. abort: why
        the settlement of the named cycle is given up: its lines wait again. out: where positions,
        request and answer are copied to (default HOME/out). leap: the time is meant, far after all
        that is known as it may be. correct: as of `run`. warn: is told of a day far from the
        home's last. Raises UsageError without a calendar, or to abort what has settled.
        """
        at = time_text(at) or None
        days.require_why(correct, at or "")
        rows = settling.cycle_rows(self.home, cycle, at)
        settling.require_calendar(self.home, self.settings, rows if cycle else None)
        if abort is not None:
            if cycle is None or close_only:
                raise UsageError("name the one cycle that is to be aborted, with --cycle alone")
            settling.require_abortable(self.home, cycle, abort)
        folder = out_folder(self.home.path, out)
        slots = [Slot(row.cycle, row.closes) for row in rows]
        if cycle is not None and not slots:
            slots = [Calendar(self.settings).slot_named(cycle, settling.slots_of(self.home)[1])]
        answers: list[results.CycleFile] = []
        ended = {row.cycle for row in rows if row.answer}
        if at is not None and slots:
            for text in days.unusual(days.times(self.home), at):
                warn(text)
        for slot in slots:
            time = at or slot.closes
            if slot.cycle not in ended:
                time = days.time_for(self.home, at or "", slot.closes, leap, correct)
            when = settling.When(time, correct)
            answer = settling.close(self.home, self.directory, *slot, when)
            if abort is not None and answer["state"] == "SETTLED":
                raise UsageError(f"cycle {cycle} is settled, which is final")
            if abort is not None and answer["state"] == "CLOSED":
                answer = settling.abort(self.home, self.directory, slot.cycle, abort, when)
            elif not close_only and answer["state"] == "CLOSED":
                answer = settling.settle(self.home, self.directory, self.settings, slot.cycle, when)
            answers.append(answer)
        settled = {answer["cycle"]: answer for answer in not_exported(self.home, folder)}
        for answer in (settled | {answer["cycle"]: answer for answer in answers}).values():
            export_cycle(self.home, answer, folder)
        return [settling.told(answer) for answer in answers]

    # --- the run --------------------------------------------------------------------------------

    @acts
    def run(
        self,
        table: TableLike,
        *,
        source: str | None = None,
        batch_id: str | None = None,
        value_date: datetime.date | str | None = None,
        count: int | None = None,
        sum: int | None = None,
        out: str | Path | None = None,
        threads: int = 2,
        chunk_rows: int = CHUNK_ROWS,
        at: datetime.date | str | None = None,
        strict_columns: bool = False,
        form: str = "parquet",
        progress: Progress | None = None,
        leap: bool = False,
        correct: str | None = None,
    ) -> Batch:
        """Clear and settle one payment table; the same table again answers what was stored.

        table: a path with its dossier beside it, or an Arrow table, which then needs source,
        batch_id, value_date, count and sum (minor units) here. out: where the answer is copied to
        (default HOME/out). form: of the status and clearing files, "parquet" or "arrow". at: the
        time that is recorded (ISO 8601), else the value date (of a day that was closed, the last
        closed one). leap: it is meant, far after all that is known as it may be. correct: why it
        is recorded though it lies before what was signed or recorded. Raises InputRefused where
        it does without a why, or the table is not what it declares: nothing of it is paid, the
        home is as before.
        """
        options = Options(form, threads, chunk_rows, progress)
        folder, at = out_folder(self.home.path, out), time_text(at)
        days.require_why(correct, at)
        far: list[str] = []
        declared = declare(table, source, batch_id, value_date, count, sum)
        known = self.home.catalog.batch_of(declared.source, declared.batch_id)
        if is_new := known is None:
            declared.require_new(declared_in(table, declared))
        reader = open_table(
            table,
            PAYMENT,
            strict_columns=strict_columns,
            sha256=declared.sha256,
            room=self.home.path,
            bounded=is_new,
        )
        with contextlib.closing(reader):
            if known is not None:
                batch = self._answer(known, reader, declared)
            else:
                self.open_register()
                due = declared.value_date.isoformat()
                far = days.unusual(days.times(self.home), at, due)
                at = days.time_for(self.home, at, due, leap, correct)
                self.home.require_room(room_for(self.home, self.settings, table, declared))
                clear(self._job(declared, reader, settling.When(at, correct), options))
                row = self.home.catalog.batch_of(declared.source, declared.batch_id)
                assert row is not None
                batch = self._batch(row, replayed=False)
        try:
            export_batch(self.home, batch, folder, threads)
        except CopyFailed as error:
            error.done = (batch.summary,)
            raise
        told = (*far, *(self._twins(batch) if is_new else ()), *reader.warnings)
        return dataclasses.replace(batch, warnings=told)

    def _job(
        self, declared: Declared, reader: TableReader, when: settling.When, options: Options
    ) -> Job:
        return Job(
            home=self.home,
            directory=self.directory,
            register=self.open_register(),
            settings=self.settings,
            declared=declared,
            reader=reader,
            seq=self.home.catalog.next_batch(),
            at=when.at,
            why=when.why,
            slot=settling.slot_for(self.home, self.settings, when.at, declared.value_date),
            rule_set=RULE_SET,
            options=options,
        )

    def _answer(self, known: BatchRow, reader: TableReader, declared: Declared) -> Batch:
        """The stored answer to a table that was run before. Raises InputRefused where the table, or
        anything that is declared of it, is other than it was then."""
        declared.require_as_stored(known, reader.name)
        digest = reader.sha256 and f"sha256:{reader.sha256}"
        if digest is None:
            intake = Intake(self.directory, digest=True)
            for _ in intake.lines(reader, declared, CHUNK_ROWS):
                pass
            digest = f"logical:{intake.logical_digest}"
        declared.require_content(known, digest, reader.name)
        return self._batch(known, replayed=True)

    def _twins(self, batch: Batch) -> list[str]:
        """Warnings of a new batch whose content was run before under another name."""
        same = [b for b in self.home.catalog.batches() if b.digest == batch.summary["digest"]]
        names = [f"{b.source}:{b.batch_id}" for b in same if b.seq != batch.seq]
        what = "what cleared there is refused here as paid already (AM05)"
        return [f"the same content was run before as {name}: {what}" for name in names]

    def _batch(self, row: BatchRow, *, replayed: bool) -> Batch:
        stored: results.StoredSummary = msgspec.json.decode(self.home.catalog.summary(row.seq))
        back = sent_back(self.home, row.seq) if replayed else []
        return Batch(
            seq=row.seq,
            source=row.source,
            batch_id=row.batch_id,
            cycle=row.cycle,
            replayed=replayed,
            summary={**stored, "state": row.state, "replayed": replayed, "sent_back": back},
            folder=self.home.folder("batches", row.seq),
        )

    @asks
    def export(self, batch: Batch | str, out: str | Path | None = None) -> Path:
        """Copy the answer to a batch once more, as `run` did: status, clearing files, positions and
        the request. batch: what `run` gave, or its id (SOURCE:ID where several sources use it).
        out: the folder to copy to (default HOME/out). Returns the folder of the batch in it."""
        if not isinstance(batch, str):
            batch = f"{batch.source}:{batch.batch_id}"
        found = self._batch(status.batch_row(self.home, batch), replayed=True)
        return export_batch(self.home, found, out_folder(self.home.path, out))

    # --- what came back -------------------------------------------------------------------------

    @acts
    def reconcile(
        self,
        *files: TableLike,
        kind: str | None = None,
        rules: Rules | str | Path | None = None,
        at: datetime.date | str | None = None,
        out: str | Path | None = None,
        strict_columns: bool = False,
        leap: bool = False,
        correct: str | None = None,
    ) -> results.TakenIn:
        """Take files of confirmations, returns and statements into the home, in one commit, and
        hold everything against everything (`take_in.take_in`). files: paths, or tables as of `run`.
        kind: of all, where columns do not say it. rules: from now on, or their file. at: what is
        recorded (ISO 8601), else that of the home: the last that was said to it. leap: it is meant,
        far after all that is known as it may be. correct: as of `run`. out: where requests that
        changed by it are copied to (default HOME/out)."""
        folder = out_folder(self.home.path, out)
        answer = take_in.take_in(
            self.home,
            self.directory,
            self.settings,
            take_in.AnswerFiles([*map(lasting, files)], kind, strict_columns),
            rules=read_rules(rules) if isinstance(rules, str | Path) else rules,
            at=time_text(at) or None,
            far=leap,
            why=correct,
        )
        export_requests(self.home, folder)
        return answer

    @asks
    def line(self, batch_id: str, line_no: int) -> results.LineHistory:
        """A line's states, oldest first, and the open breaks about it, as `status --line`.
        batch_id: SOURCE:ID where several sources use the id. Raises UsageError for none."""
        return status.line(self.home, batch_id, line_no)

    @asks
    def status(self) -> HomeStatus:
        """The home as it stands now, what is open, and what to do next, as `switch status`."""
        return home_status(self.home)

    @asks
    def batches(self) -> list[results.BatchRow]:
        """All batches as they stand now, oldest first."""
        return status.batches(self.home)

    @asks
    def batch(self, batch_id: str) -> results.BatchStatus:
        """One batch, as `switch status --batch`. batch_id: as of `line`. Raises UsageError."""
        return status.batch(self.home, batch_id, answered=True)

    @asks
    def person(self, person_id: str) -> results.PersonHistory:
        """All lines of one person (12 digits). Raises UsageError for who is in no register."""
        return status.person(self.home, person_id)

    @asks
    def breaks(self, **asked: Unpack[BreaksAsked]) -> Listing:
        """Breaks that are open, as `switch breaks` lists them (filters: `BreaksAsked`). Raises
        UsageError for a word that is not known here."""
        return breaks.breaks(self.home, **asked)

    @acts
    def note_breaks(self, /, breaks: Sequence[str], **said: Unpack[NoteSaid]) -> results.NoteTaken:
        """Note something about open breaks, for good. breaks: ids, or the first six characters or
        more. The rest as `NoteSaid` has it. Raises UsageError for a break that is not open."""
        return break_notes.noted(self.home, breaks, **said)

    @asks
    def cycles(self, *, state: Words = None, limit: int | None = None) -> Listing:
        """All cycles in the order of their opening, each with its times, lines and money, and what
        it waits for. state: OPEN, CLOSED, SETTLED or ABORTED. limit: rows at most."""
        return cycles.cycles(self.home, state=state, limit=limit)

    @asks
    def balances(self, *, at: datetime.date | str = "") -> Listing:
        """Settlement accounts: what each holds, whether it may go below zero, what is set aside,
        and what moved it last. at: as of a time (ISO 8601), a day to its end; default: now."""
        return accounts_held.balances(self.home, at=at)

    @asks
    def held(self, **asked: Unpack[LinesAsked]) -> Listing:
        """Lines that wait now, oldest first (`LinesAsked` has the filters): since when, for which
        reason they began to, and how many runs tried them; no person is named."""
        return held.held(self.home, **asked)

    @asks
    def returned(self, **asked: Unpack[LinesAsked]) -> Listing:
        """Lines that came back and wait (state WAITS), or are on their way (COMING); as `held`."""
        return held.returned(self.home, **asked)

    @asks
    def rehearse(self, tables: Sequence[TableLike], **how: Unpack[HowRehearsed]) -> Rehearsal:
        """All that would happen if tables were run now (`switch.rehearse`): the home stays as it
        is. out: a folder in no home, for the answers that runs would give; the rest as of `run`."""
        told = importlib.import_module("switch.rehearsal").rehearse(self.home.path, tables, **how)
        return cast(Rehearsal, told)

    @asks
    def shared_accounts(self, batch_id: str) -> pa.Table:
        """A table of the accounts of more than one person in a batch, paid or full: the columns of
        shared.csv, most persons first. batch_id: as of `line`. Raises UsageError for none."""
        return shared.shared_accounts(self.home, status.batch_row(self.home, batch_id).seq)

    @acts
    def close_day(
        self,
        at: datetime.date | str,
        *,
        out: str | Path | None = None,
        leap: bool = False,
        correct: str | None = None,
    ) -> results.DaySigned:
        """End a day and sign it (`day_end.close`). at: its date, or a time of it, not before what
        was signed or recorded. leap: it is meant, far after all that is known as it may be.
        correct: as of `run`. out: where the statements are copied to, in days/DATE (default
        HOME/out)."""
        folder, time = out_folder(self.home.path, out), time_text(at)
        far = days.unusual(days.times(self.home), time)
        answer = day_end.close(
            self.home, self.directory, self.settings, at=time, far=leap, why=correct
        )
        export_requests(self.home, folder)
        export_day(self.home, folder)
        critical = breaks.critical(self.home)["count"]
        return {**answer, "warnings": far, "critical": critical}

    @acts
    def write_back(
        self,
        lines: Sequence[tuple[str, int]] | None = None,
        *,
        at: datetime.date | str | None = None,
        leap: bool = False,
        correct: str | None = None,
    ) -> results.Disposed:
        """Returned lines, (batch id, line number), to the budget; without any, all that wait. leap:
        the time is meant, far after all that is known as it may be. correct: as of `run`."""
        return self._dispose(WRITE_BACK, lines, at, leap, correct)

    @acts
    def reissue(
        self,
        lines: Sequence[tuple[str, int]] | None = None,
        *,
        at: datetime.date | str | None = None,
        leap: bool = False,
        correct: str | None = None,
    ) -> results.Disposed:
        """Let each of these returned lines be paid once more, by the next line for the same person,
        benefit and period. leap, correct: as of `write_back`."""
        return self._dispose(REISSUE, lines, at, leap, correct)

    def _dispose(
        self,
        step: str,
        lines: Sequence[tuple[str, int]] | None,
        at: datetime.date | str | None,
        leap: bool,
        correct: str | None,
    ) -> results.Disposed:
        chosen = None
        if lines is not None:
            chosen = [(status.batch_row(self.home, name).seq, line) for name, line in lines]
        time = time_text(at)
        far = days.unusual(days.times(self.home), time)
        said = time or None
        answer = dispositions.dispose(self.home, step, chosen, at=said, far=leap, why=correct)
        return {**answer, "warnings": far}


def _chosen(home: Home) -> tuple[Directory, Settings]:
    """The directory and the settings that a home keeps."""
    kept = msgspec.json.decode(home.catalog.meta("settings"))
    return Directory.of_json(home.catalog.meta("directory").encode()), Settings.stored(kept)
