"""The engine: one home, open for work, with everything a caller may do to it.

It makes a home, changes its directory and registers, runs payment tables and answers again what was
run before.
"""

from __future__ import annotations

import datetime
import importlib
import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal, Unpack, cast

import pyarrow as pa

from switch import results, status
from switch.arguments import checked
from switch.citizens import Citizens
from switch.clearing import payday
from switch.clearing import shared_accounts as shared
from switch.clearing.job import Executor, Options
from switch.clearing.partitioned import executor_of
from switch.control.release import require_released
from switch.controlled import Control
from switch.fees import Fees
from switch.files.disk import out_folder
from switch.files.formats import CHUNK_ROWS
from switch.files.tables import TableLike, lasting
from switch.files.threads import Progress
from switch.home import days
from switch.home.batch import Batch, batch_row
from switch.home.days import SaidTime
from switch.home.store import Home
from switch.home.times import time_text
from switch.home.turns import Turns, acts, asks
from switch.identities import Identities
from switch.open_items import balances as accounts_held
from switch.open_items import breaks, cycles, held, recalls
from switch.open_items import totals as added_up
from switch.open_items.listing import BreaksAsked, LinesAsked, Listing, RecallsAsked, Words
from switch.outcomes import Check, Damage, HowReported, Report, Rows, rows_of
from switch.outlook import HomeStatus, home_status
from switch.reconcile import Rules, break_notes, cash, commits
from switch.reconcile.break_notes import NoteSaid
from switch.reconcile.recalls import Said as Recall
from switch.reconcile.take_in import AnswerFiles
from switch.registry import load_registers as registers
from switch.registry.register import Register
from switch.registry.settings import Settings
from switch.results import HowRehearsed, Rehearsal
from switch.settlement import cancel, due, expire, setup
from switch.settlement.accounts import REISSUE, WRITE_BACK
from switch.settlement.setup import Given
from switch.watching import Watch


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
    catalog: str = "",
    files: str = "",
) -> Engine:
    """Make a new home and open it. Tables: paths or Arrow tables, as the contract has them.

    home: a new or an empty folder. participants, debtors: banks and wallets, and accounts that pay.
    programmes: their budgets. balances: opening balances of settlement accounts, which then may not
    go below zero. settings: `switch.Settings`, or a mapping of them by name. key: the secret of
    keyed hashes (default: a new one). signing_key: an Ed25519 private key as PEM, to sign commits.
    at: the time that is recorded (ISO 8601). catalog: postgresql://HOST/DATABASE that keeps it.
    files: s3://BUCKET/FOLDER or the like, for files, too. Raises UsageError, InputRefused.
    """
    given = Given(participants, debtors, programmes, balances, settings, catalog, files)
    setup.begin(Path(home), given, time_text(at), key, signing_key)
    return Engine(home)


def _above(name: str) -> Any:
    """A module over the engine, for a call of it that is a method here as well."""
    return importlib.import_module(f"switch.{name}")


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
        self.directory, self.settings = setup.chosen(self.home)
        self._register = registers.Opened()

    @property
    def mode(self) -> Literal["r", "w"]:
        """The way it is open: "w" where it writes, "r" where it reads beside whoever writes."""
        return "r" if self.home.is_read else "w"

    @property
    def control(self) -> Control:
        """Control of the home: its policy, and the tables that it lets run."""
        return Control(self)

    @property
    def citizens(self) -> Citizens:
        """Self-service of citizens: devices that are bound, and accounts that they register."""
        return Citizens(self)

    @property
    def identities(self) -> Identities:
        """The population database: who is asked for, and what it answers."""
        return Identities(self)

    @property
    def fees(self) -> Fees:
        """Fees to the state: agencies, their bills, and payments of citizens' banks."""
        return Fees(self)

    @property
    def watch(self) -> Watch:
        """The home, watched: alarms, answers that are awaited, numbers for a monitor."""
        return Watch(self)

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
            self._register.forget()
            self.home.close()

    def look(self) -> None:
        """Take in directory and settings as the last commit left them."""
        self.directory, self.settings = setup.chosen(self.home)

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
        """Replace tables of the directory, or the settings; what is None stays.
        participants, debtors, programmes: whole tables, as of `init`. balances: what settlement
        accounts hold at the State Bank now; they are bound from now on, and are given alone.
        settings: new ones, or those of a mapping that change. at: the time that is recorded.
        correct: as of `run`. warn: is told of a day far from the home's last.
        """
        given = Given(participants, debtors, programmes, balances, settings)
        when = SaidTime.of(at, why=correct)
        self.directory, self.settings = setup.change(
            self.home, self.directory, self.settings, given, when, warn
        )

    @acts
    def register(
        self,
        *,
        population: TableLike | None = None,
        accounts: TableLike | None = None,
        paid_history: TableLike | None = None,
        replaced: TableLike | None = None,
        replace: bool = False,
        at: datetime.date | str = "",
        strict_columns: bool = False,
        progress: Progress | None = None,
        warn: Callable[[str], None] = warnings.warn,
        correct: str | None = None,
    ) -> dict[str, int]:
        """Load registers, all or nothing: upsert by key, or with replace swap each that is given.

        population, accounts: people, and accounts that receive. paid_history: who was paid before
        this home. replaced: ids of before with those in their place, for good. at: the time that is
        recorded. strict_columns: unknown columns are refused. progress, warn: are told how far it
        is, and what is odd. correct: as of `run`. Few changes are a delta. Returns rows by table.
        """
        at, why = days.noted(self.home, time_text(at), correct, warn)
        return registers.load_registers(
            self.home,
            registers.Tables(population, accounts, paid_history, replaced),
            replace=replace,
            at=at,
            strict_columns=strict_columns,
            progress=progress,
            warn=warn,
            why=why,
        )

    @acts
    def compact(
        self,
        *,
        at: datetime.date | str = "",
        warn: Callable[[str], None] = warnings.warn,
        correct: str | None = None,
    ) -> registers.RegisterCompacted:
        """Write the register whole, with its deltas in place; without any nothing is done. It
        happens by itself once it pays. at, warn, correct: as of `register`. Raises UsageError."""
        at, why = days.noted(self.home, time_text(at), correct, warn)
        return registers.compact(self.home, at=at, why=why)

    @asks
    def open_register(self) -> Register:
        """The current register, opened once."""
        return self._register.of(self.home)

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
    ) -> Rows[results.CycleAnswer]:
        """Close and settle a cycle of the calendar, or all whose cut-off is not after `at`.

        cycle: its name, such as 20261125-1. at: the time that is recorded; without it every cycle
        that is not settled is taken, each at its cut-off. close_only: they take no more lines, and
        their requests are written. Returns the answers, oldest cycle first; a state of CLOSED is
        one that waits for funds. abort: why the settlement of the named cycle is given up: its
        lines wait again. out: where positions, request and answer are copied to (default HOME/out).
        leap, correct: as of `run`. warn: is told of a day far from the home's last. Raises
        UsageError without a calendar, or to abort what has settled.
        """
        wanted, when = due.Wanted(cycle, close_only, abort), SaidTime.of(at, leap, correct)
        found = due.settle(self.home, self.directory, self.settings, wanted, when, out, warn)
        return rows_of("CycleAnswer", found)

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
        workers: int | Executor = 0,
        leap: bool = False,
        correct: str | None = None,
    ) -> Batch:
        """Clear and settle one payment table; the same table again answers what was stored.

        table: a path with its dossier beside it, or an Arrow table, which then needs source,
        batch_id, value_date, count and sum (minor units) here. out: where the answer is copied to
        (default HOME/out). threads, chunk_rows: how many work, and the lines that they take at a
        time; workers: processes that judge lines, or another executor (0: this process does); they
        change no byte. at: the time that is recorded (ISO 8601), else the value date (of
        a day that was closed, the last closed one). strict_columns: unknown columns are refused.
        form: of the status and clearing files, "parquet" or "arrow". progress: is told how far each
        phase is. leap: it is meant, far after all that is known as it may be. correct: why it is
        recorded though it lies before what was signed or recorded. Raises InputRefused where it
        does without a why, or the table is not what it declares: nothing of it is paid, the home is
        as before.
        """
        given = payday.HandedIn(
            table=table, when=SaidTime.of(at, leap, correct), source=source, batch_id=batch_id,
            value_date=value_date, count=count, sum=sum, out=out, strict_columns=strict_columns,
        )  # fmt: skip
        payer = payday.Payer(
            self.home, self.directory, self.settings, partial(self._register.of, self.home),
            lambda declared: require_released(self.home, declared),
        )  # fmt: skip
        how = Options(form, threads, chunk_rows, progress, executor_of(workers))
        return payday.run(payer, given, how)

    @asks
    def export(self, batch: Batch | str, out: str | Path | None = None) -> Path:
        """Copy the answer to a batch once more, as `run` did: status, clearing files, positions and
        the request. batch: what `run` gave, or its id (SOURCE:ID where several sources use it).
        out: the folder to copy to (default HOME/out). Returns the folder of the batch in it."""
        return payday.export(self.home, batch, out)

    @asks
    def report(self, batch: Batch | str | None = None, **how: Unpack[HowReported]) -> Report:
        """Show people where money and lines stand: a page (HTML, without a network), and of a batch
        a picture, below OUT. batch: as of `export`, by default the last. cycle, day, whole: several
        together. table: the file of the batch, for its provinces. prove: show every check of
        `verify`. csv: its lines as a sheet. language: of the page. out: where to. Raises UsageError
        for what is not there."""
        name = f"{batch.source}:{batch.batch_id}" if isinstance(batch, Batch) else batch
        return cast(Report, _above("report.drawing").report(self.home, name, **how))

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
        recorded (ISO 8601), else that of the home: the last that was said to it. out: where
        requests that changed by it are copied to (default HOME/out). strict_columns: unknown
        columns are refused. leap, correct: as of `run`."""
        given = AnswerFiles([*map(lasting, files)], kind, strict_columns)
        when, folder = SaidTime.of(at, leap, correct), out_folder(self.home.path, out)
        return commits.reconcile(
            self.home, self.directory, self.settings, given, rules, when, folder
        )

    @asks
    def line(self, batch_id: str, line_no: int) -> results.LineHistory:
        """A line's states, oldest first, and the open breaks about it, as `status --line`.
        batch_id: SOURCE:ID where several sources use the id. line_no: its number in the table.
        Raises UsageError for none."""
        return status.line(self.home, batch_id, line_no)

    @asks
    def status(self) -> HomeStatus:
        """The home as it stands now, what is open, and what to do next, as `switch status`."""
        return home_status(self.home)

    @asks
    def batches(self) -> Rows[results.BatchRow]:
        """All batches as they stand now, oldest first; `table()` of them is an Arrow table."""
        return rows_of("BatchRow", status.batches(self.home))

    @asks
    def batch(self, batch_id: str) -> results.BatchStatus:
        """One batch, as `switch status --batch`. batch_id: as of `line`. Raises UsageError."""
        return status.batch(self.home, batch_id, answered=True)

    @asks
    def person(self, person_id: str) -> results.PersonHistory:
        """All lines of one person. person_id: 12 digits. Raises UsageError for who is in no
        register."""
        return status.person(self.home, person_id)

    @asks
    def breaks(self, **asked: Unpack[BreaksAsked]) -> Listing:
        """Breaks that are open, as `switch breaks` lists them.
        Filters, one word or several: class_ such as MISSING; owner, the desk; severity; ids, or
        their first six characters or more; receiver, the code of a participant. batch: the only
        one. accepted: by a note, or not. age: least days. sort: severity, value, age, class, owner
        or receiver. limit: rows at most. Raises UsageError for a word that is not known here.
        """
        return breaks.breaks(self.home, **asked)

    @acts
    def note_breaks(self, /, breaks: Sequence[str], **said: Unpack[NoteSaid]) -> results.NoteTaken:
        """Note something about open breaks, for good. breaks: ids, or the first six characters or
        more. by: the name of whoever says so. note: the text. owner: the desk that looks after them
        from now on. accepted: they are taken as they are, or no more, and the note says why. at:
        the time that is recorded. Raises UsageError for a break that is not open."""
        return break_notes.noted(self.home, breaks, **said)

    @acts
    def cancel_lines(
        self,
        lines: Sequence[tuple[str, int]],
        *,
        by: str,
        why: str,
        at: datetime.date | str | None = None,
    ) -> cancel.LinesCancelled:
        """Cancel lines that wait, (batch id, line number), all of them or none: they are paid by no
        run, and their entitlements are free. by: the name of whoever says so; why: the reason, 1 to
        140 characters, both for good. at: the time that is recorded, else that of the home. The
        same again answers what is stored. Raises UsageError for a line that does not wait."""
        return cancel.cancel(self.home, lines, status.what_is, by=by, why=why, at=at)

    @acts
    def expire(
        self,
        at: datetime.date | str,
        *,
        out: str | Path | None = None,
        leap: bool = False,
        correct: str | None = None,
    ) -> expire.LinesExpired:
        """Let lines that waited beyond their deadline (settings held_days, held_days_of) leave the
        queue: no run pays them any more, and their entitlements are free. Cash lines that nobody
        proved by theirs (cash_days) are recalled. at: the time that is recorded, of the day after a
        deadline or later. out: where lists are copied to, in expired/NNNNNN.parquet and recalls
        (default HOME/out). leap, correct: as of `write_back`. Raises UsageError without deadlines.
        """
        when, folder = SaidTime.of(at, leap, correct), out_folder(self.home.path, out)
        return commits.expire(self.home, when, folder, status.what_is)

    @asks
    def cash(self, batch: str | None = None, *, out: str | Path | None = None) -> cash.CashLists:
        """Write the lists of the pay points of a run: settled lines that were neither proven nor
        asked back, and totals. batch: its id, as of `line`; default: the last. out: the folder to
        write to, in ID/cash (default HOME/out). Raises UsageError where there is none."""
        return cash.write_lists(self.home, batch, out_folder(self.home.path, out))

    @acts
    def recall(
        self,
        lines: Sequence[tuple[str, int]],
        *,
        reason: str,
        by: str,
        why: str,
        at: datetime.date | str | None = None,
        out: str | Path | None = None,
        leap: bool = False,
        correct: str | None = None,
    ) -> results.Recalled:
        """Recall lines that were sent, (batch id, line number), all of them or none: one whose
        cycle has not settled leaves it, and its entitlement is free; of one that has settled its
        receiver is asked to give it back. reason: an ISO 20022 cancellation reason code. by, why:
        as of `cancel_lines`. out: where the lists of receivers are copied to, in recalls/NNNNNN
        (default HOME/out). The same again answers what is stored. at, leap, correct: as of
        `write_back`. Raises UsageError for a line that came back, was refused or waits."""
        said, when = Recall(reason, by, why), SaidTime.of(at, leap, correct)
        folder, what_is = out_folder(self.home.path, out), status.what_is
        return commits.recall(
            self.home, self.directory, self.settings, lines, said, when, folder, what_is
        )

    @asks
    def recalls(self, **asked: Unpack[RecallsAsked]) -> Listing:
        """Lines that were recalled, oldest recall first, each with its state. state: OPEN, ACCEPTED
        or REFUSED. reason, batch, receiver, age, sort, limit: as of `held` (`RecallsAsked`)."""
        return recalls.recalls(self.home, **asked)

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
        """Lines that wait now, oldest first: since when, for which reason they began to, and how
        many runs tried them; no person is named.

        Filters, one word or several: reason, an ISO code such as AC03; receiver, the code of a
        participant. batch: the only one. age: least days. sort: age, amount, reason, receiver or
        batch. limit: rows at most. Raises UsageError for a word that is not known here.
        """
        return held.held(self.home, **asked)

    @asks
    def returned(self, **asked: Unpack[LinesAsked]) -> Listing:
        """Lines that came back and wait (state WAITS), or are on their way (COMING). reason, batch,
        receiver, age, sort, limit: as of `held`."""
        return held.returned(self.home, **asked)

    @asks
    def rehearse(self, tables: Sequence[TableLike], **how: Unpack[HowRehearsed]) -> Rehearsal:
        """All that would happen if tables were run now (`switch.rehearse`): the home stays as it
        is. out: a folder in no home, for the answers that runs would give. at, threads,
        strict_columns, leap, correct: as of `run`."""
        return cast(Rehearsal, _above("rehearsal").rehearse(self.home.path, tables, **how))

    @asks
    def shared_accounts(self, batch_id: str) -> pa.Table:
        """A table of the accounts of more than one person in a batch, paid or full: the columns of
        shared.csv, most persons first. batch_id: as of `line`. Raises UsageError for none."""
        return shared.shared_accounts(self.home, batch_row(self.home, batch_id).seq)

    @asks
    def totals(self, table: TableLike, *, by: str, batch: str | None = None) -> added_up.Totals:
        """Add up the lines of a table that was run, by a key and by where they stand now. table:
        the very file that was run, or those rows. by: commune, province, benefit, debtor_account,
        participant, period, creditor_agent, or a column of texts that the table has besides. batch:
        as of `line`, of rows from memory, or of a file that was run twice. Raises InputRefused for
        another table, UsageError for a column that names people or single lines."""
        return added_up.totals(self.home, table, by=by, batch=batch)

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
        was signed or recorded. leap, correct: as of `run`. out: where the statements are copied to,
        in days/DATE (default HOME/out)."""
        when, folder = SaidTime.of(at, leap, correct), out_folder(self.home.path, out)
        signed = commits.close_day(self.home, self.directory, self.settings, when, folder)
        return {**signed, "critical": breaks.critical(self.home)["count"]}

    @acts
    def write_back(
        self,
        lines: Sequence[tuple[str, int]] | None = None,
        *,
        at: datetime.date | str | None = None,
        leap: bool = False,
        correct: str | None = None,
    ) -> results.Disposed:
        """Returned lines, (batch id, line number), to the budget; without any, all that wait. at:
        the time that is recorded. leap, correct: as of `run`."""
        return commits.dispose(self.home, WRITE_BACK, lines, SaidTime.of(at, leap, correct))

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
        benefit and period. at, leap, correct: as of `write_back`."""
        return commits.dispose(self.home, REISSUE, lines, SaidTime.of(at, leap, correct))

    @asks
    def verify(
        self, *, checkpoint: str | Path | None = None, public_key: bytes | None = None
    ) -> Rows[Check]:
        """Recompute every invariant of the home from its files (`switch.verify`); all checks, which
        hold. checkpoint: a file of signed checkpoints that somebody kept; public_key: what they
        were signed with (PEM). Raises VerificationFailed with the faults, if there are any."""
        proof = _above("proof.verify")
        told = proof.verify(self.home.path, checkpoint=checkpoint, public_key=public_key)
        return rows_of("Check", told)

    @asks
    def replay(
        self, batch_id: str, table: TableLike, *, register: str | Path | None = None
    ) -> dict[str, str]:
        """Derive a batch again from its table, and compare it with what was committed
        (`switch.replay`); logical digests of its files by name. batch_id: as of `line`. table: a
        path or an Arrow table. register: a folder kept of the register that judged the batch, where
        it is not the current one. Raises VerificationFailed where anything differs."""
        told = _above("proof.replay").replay(self.home.path, batch_id, table, register=register)
        return cast(dict[str, str], told)

    @acts
    def scrub(
        self, copy: str | Path, *, dry_run: bool = False, at: datetime.date | str = ""
    ) -> Rows[Damage]:
        """Repair the home from a copy of its folder (`switch.scrub`, which also mends one that does
        not open any more). The home is closed for it and opened again. copy: the copy's folder.
        dry_run: nothing is written. at: the time to record. Returns what is or was damaged."""
        place = self.home.path
        self._register.forget()
        self.home.close()
        try:
            told = _above("proof.repair").scrub(place, copy, dry_run=dry_run, at=at)
        finally:
            self.home = Home(place, writing=True)
            self.look()
        return rows_of("Damage", told)
