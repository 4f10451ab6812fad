"""The engine: one home, open for work, with everything a caller may do to it.

Floor 4, above the road. It makes a home, changes its directory and registers, runs payment tables
and answers again what was run before.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import hashlib
import warnings
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa

from switch import days, funding, paid, recasting, road, segment, settlement, settling, signing
from switch._core import Core
from switch.batch import TableReader, open_table
from switch.cycles import Calendar, Slot, time_text
from switch.directory import BALANCES, Directory, Settings, read_directory, read_rows
from switch.disk import copy_into, landing, out_folder
from switch.errors import CopyFailed, InputRefused, UsageError
from switch.formats import CHUNK_ROWS
from switch.intake import Declared, Intake, declare
from switch.overlap import in_order
from switch.reason import RULE_SET
from switch.register import Register
from switch.road import Progress, Run
from switch.schema import ACCOUNTS, CHUNK_ROWS_MAX, PAID, PAYMENT, POPULATION, Table, period_of
from switch.store import Home
from switch.wayback import WayBack

ROOM_A_LINE, ROOM_TIMES_FILE = 80, 4
"""Bytes that a line takes in a batch and its copies (60 of a simulated nation), and how often a
run writes its table at most, for a table of fewer bytes a line."""
ROOM_KEPT_LINE = 40
"""More where lines are kept as they came, as their cycle may send them back (33 of a simulated
nation)."""


@dataclass(frozen=True, slots=True)
class Batch:
    """What was done with a payment table. `summary` is what people and machines are shown."""

    seq: int
    source: str
    batch_id: str
    cycle: str
    replayed: bool
    """The table had been run before: this is the stored answer."""
    summary: dict[str, Any]
    folder: Path
    """The committed files, which are not to be changed; copies stand in the out folder."""
    warnings: tuple[str, ...] = ()

    @property
    def content_digest(self) -> str:
        """One digest over the digests of all committed files."""
        return segment.digest_of(self.folder / "manifest.json")

    @property
    def status(self) -> Any:
        """One row a line, in table order: a pyarrow Table."""
        return segment.read_segment(segment.segment_at(self.folder, "status"))

    @property
    def positions(self) -> Any:
        """The cycle's positions, one row a participant: a pyarrow Table."""
        return segment.read_table(self.folder / "positions.parquet")


def init(
    home: str | Path,
    *,
    participants: Any,
    debtors: Any,
    programmes: Any = None,
    balances: Any = None,
    settings: Settings | None = None,
    key: bytes | None = None,
    signing_key: bytes | None = None,
    at: datetime.date | str = "",
) -> Engine:
    """Make a new home and open it. Tables: paths or Arrow tables, as the contract has them.

    balances: opening balances of settlement accounts, which then may not go below zero. key: the
    secret of keyed hashes. signing_key: an Ed25519 private key as PEM, with which every commit is
    signed (`switch.signing.new_key` makes one). Raises UsageError where home is not empty,
    InputRefused for bad tables.
    """
    directory = read_directory(participants, debtors, programmes)
    if settings is not None and settings.enforce_budgets is True:
        funding.require_programmes(directory)
    opening = _opening(directory, balances)
    Home.create(
        Path(home),
        {
            "directory": directory.to_json().decode(),
            "settings": msgspec.json.encode((settings or Settings()).check()).decode(),
            "opening": msgspec.json.encode(opening, order="sorted").decode(),
        },
        time_text(at),
        key,
        None if signing_key is None else signing.read_key(signing_key),
    )
    return Engine(home)


def _opening(directory: Directory, balances: Any) -> dict[str, int]:
    if balances is None:
        return {}
    file = str(balances) if isinstance(balances, str | Path) else BALANCES.name

    def refuse(row: int, column: str, what: str, remedy: str) -> InputRefused:
        return InputRefused(
            "DIRECTORY_INVALID", what, file=file, row=row, column=column, remedy=remedy
        )

    out: dict[str, int] = {}
    for i, row in enumerate(read_rows(balances, BALANCES), start=1):
        known = {p.participant for p in directory.participants if p.settled_by == p.participant}
        account = row["participant"]
        if account not in known or account in out:
            what = f"{account!r} has no settlement account, or stands twice"
            remedy = "name participants that settle for themselves, once each"
            raise refuse(i, "participant", what, remedy)
        if row["balance"] < 0:
            what = "an opening balance that binds is below zero"
            raise refuse(i, "balance", what, "give what the account holds, or leave it out")
        out[account] = row["balance"]
    return {settlement.settlement_account(directory, code): sum_ for code, sum_ in out.items()}


class Engine(WayBack):
    """One home, open for writing. Close it, or use it as a context manager."""

    def __init__(self, home: str | Path) -> None:
        self.home = Home(Path(home), writing=True)
        self.directory = Directory.of_json(self.home.meta("directory").encode())
        self.settings = Settings.stored(msgspec.json.decode(self.home.meta("settings")))
        self.rule_set = RULE_SET
        """What lines are judged by; `replay` sets what judged them when they came."""
        self._register: Register | None = None

    def __enter__(self) -> Engine:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the home, for others to open; closing it twice is no mistake."""
        self._register = None
        self.home.close()

    # --- directory and registers ----------------------------------------------------------------

    def change_directory(
        self,
        *,
        participants: Any = None,
        debtors: Any = None,
        programmes: Any = None,
        balances: Any = None,
        settings: Settings | None = None,
        at: datetime.date | str = "",
    ) -> None:
        """Replace tables of the directory, or the settings; what is None stays. balances: what
        settlement accounts hold at the State Bank now; they are bound from now on."""
        at = time_text(at)
        if balances is not None:
            if any(part is not None for part in (participants, debtors, programmes, settings)):
                raise UsageError("balances are given alone: they are a commit of their own")
            settling.set_balances(self.home, self.directory, _opening(self.directory, balances), at)
            return

        def table(rows: Any) -> Any:
            return pa.Table.from_pylist([msgspec.structs.asdict(row) for row in rows])

        new = read_directory(
            table(self.directory.participants) if participants is None else participants,
            table(self.directory.debtors) if debtors is None else debtors,
            table(self.directory.programmes) if programmes is None else programmes,
        )
        settling.require_nobody_leaves(self.home, self.directory, new)
        chosen = self.settings if settings is None else settings.check()
        if chosen.enforce_budgets is True:
            funding.require_programmes(new)
        changed = {
            "directory": new.to_json().decode(),
            "settings": msgspec.json.encode(chosen).decode(),
        }
        self.home.commit(
            at=at,
            kind="directory",
            detail=changed,
            statements=[
                ("UPDATE meta SET value = ? WHERE name = ?", (value, name))
                for name, value in changed.items()
            ],
        )
        self.directory, self.settings = new, chosen

    def register(
        self,
        *,
        population: Any = None,
        accounts: Any = None,
        paid_history: Any = None,
        replace: bool = False,
        at: datetime.date | str = "",
        strict_columns: bool = False,
        progress: Progress | None = None,
        warn: Callable[[str], None] = warnings.warn,
    ) -> dict[str, int]:
        """Load registers: upsert by key, or with replace swap the whole of each that is given.

        warn: is told of ignored columns. Returns rows read by table. All is committed, or nothing.
        """
        at = time_text(at)
        version = self.home.register_seq()
        register = self._load_register(whole=True) if version else Register()
        counts: dict[str, int] = {}
        only = ("person_id", "name", "status", "status_since")
        opened = partial(self._opened, strict=strict_columns, warn=warn, progress=progress)
        if population is not None:
            if replace:
                register.forget_people()
            counts["population"] = register.put_people(opened(population, POPULATION, only))
        if accounts is not None:
            if replace:
                register.forget_accounts()
            counts["accounts"] = register.put_accounts(opened(accounts, ACCOUNTS))
        history: dict[tuple[str, int], Any] = {}
        if paid_history is not None:
            counts["paid"], history = _read_history(opened(paid_history, PAID), register)
        self._commit_register(register, history, replace and paid_history is not None, counts, at)
        return counts

    def _opened(
        self, table: Any, kind: Table, only: tuple[str, ...] | None = None, **how: Any
    ) -> TableReader:
        """A table of the register, whose digest nothing records."""
        reader = open_table(
            table, kind, strict_columns=how["strict"], digest=False, only=only, room=self.home.path
        )
        for text in reader.warnings:
            how["warn"](f"{reader.name}: {text}")
        return _counted(reader, how["progress"])

    def _commit_register(
        self,
        register: Register,
        history: dict[tuple[str, int], Any],
        replace_history: bool,
        counts: dict[str, int],
        at: str,
    ) -> None:
        version = self.home.register_seq() + 1
        folder = self.home.folder("registers", version)
        old = {
            (row["benefit"], row["period"]): (self.home.path / row["path"], row["sha256"])
            for row in self.home.rows(
                "SELECT * FROM paid JOIN files USING (path) WHERE origin = 'history'"
            )
        }
        bits = 8 * paid.words_of(register.rows) * (len(old) + len(history))
        self.home.require_room(register.nbytes + bits + settling.ROOM_SPARE)
        statements: list[tuple[str, tuple[Any, ...]]] = [
            ("DELETE FROM paid WHERE origin = 'history'", ()),
            ("DELETE FROM files WHERE path LIKE 'registers/%'", ()),
        ]
        with self.home.draft("registers") as draft:
            info = register.save(draft)
            named = []
            keys = sorted(set(history) | (set() if replace_history else set(old)))
            for number, key in enumerate(keys):
                name = f"paid-{number:04d}.bits"
                words = [] if replace_history or key not in old else [paid.read(*old[key])]
                if key in history:
                    words.append(paid.pairs(register.rows, history[key])[0::2])
                paid.write(draft / name, paid.pairs(register.rows, *words)[0::2])
                path = f"{folder.relative_to(self.home.path).as_posix()}/{name}"
                statements.append(("INSERT INTO paid VALUES ('history', ?, ?, ?)", (*key, path)))
                named.append([*key, name])
            content = {
                "counts": counts,
                "history": named,
                "register": info,
                "replaced": replace_history,
            }
            manifest = msgspec.json.encode(content, order="sorted").decode()
            statements.append(("INSERT INTO registers VALUES (?, ?)", (version, manifest)))
            self.home.commit(
                at=at,
                kind="register",
                detail={
                    "version": version,
                    **counts,
                    "manifest": hashlib.sha256(manifest.encode()).hexdigest(),
                },
                statements=statements,
                draft=draft,
                folder=folder,
            )
        self.home.drop_old_registers()
        self._register = None

    def open_register(self) -> Register:
        """The current register, opened once."""
        if self._register is None:
            version = self.home.register_seq()
            if version == 0:
                raise UsageError(
                    f"{self.home.path} has no register: load one with `switch register`"
                )
            self._register = self._load_register(whole=False)
        return self._register

    def _load_register(self, *, whole: bool) -> Register:
        folder = self.home.folder("registers", self.home.register_seq())
        return Register.load(folder, whole=whole, digests=self.home.digests(folder))

    # --- cycles of the calendar ------------------------------------------------------------------

    def settle(
        self,
        cycle: str | None = None,
        *,
        at: datetime.date | str | None = None,
        out: str | Path | None = None,
        close_only: bool = False,
        abort: str | None = None,
    ) -> list[dict[str, Any]]:
        """Close and settle a cycle of the calendar, or all whose cut-off is not after `at`.

        at: the time that is recorded; without it every cycle that is not settled is taken, each at
        its cut-off. close_only: they take no more lines, and their requests are written. Returns
        the answers, oldest cycle first; a state of CLOSED is one that waits for funds. abort: why
        the settlement of the named cycle is given up: its lines wait again. out: where positions,
        request and answer are copied to (default HOME/out).
        Raises UsageError without a calendar, or to abort what is settled.
        """
        at = time_text(at) or None
        rows = settling.cycle_rows(self.home, cycle, at)
        settling.require_calendar(self.home, self.settings, rows if cycle else None)
        if abort is not None:
            if cycle is None or close_only:
                raise UsageError("name the one cycle that is to be aborted, with --cycle alone")
            settling.require_abortable(self.home, cycle, abort)
        folder = out_folder(self.home.path, out)
        slots = [Slot(row["cycle"], row["closes"]) for row in rows]
        if cycle is not None and not slots:
            slots = [Calendar(self.settings).slot_named(cycle, settling.slots_of(self.home)[1])]
        answers = []
        ended = {row["cycle"] for row in rows if row["answer"]}
        for slot in slots:
            time = at or slot.closes
            if slot.cycle not in ended:
                time = self._time(at or "", slot.closes)
            answer = settling.close(self.home, self.directory, *slot, time)
            if abort is not None and answer["state"] == "SETTLED":
                raise UsageError(f"cycle {cycle} is settled, which is final")
            if abort is not None and answer["state"] == "CLOSED":
                answer = settling.abort(self.home, self.directory, slot.cycle, abort, time)
            elif not close_only and answer["state"] == "CLOSED":
                answer = settling.settle(self.home, self.directory, self.settings, slot.cycle, time)
            answers.append(answer)
        settled = {answer["cycle"]: answer for answer in settling.not_exported(self.home, folder)}
        for answer in (settled | {answer["cycle"]: answer for answer in answers}).values():
            settling.export(self.home, answer, folder)
        return answers

    # --- the run --------------------------------------------------------------------------------

    def run(
        self,
        table: Any,
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
    ) -> Batch:
        """Clear and settle one payment table; the same table again answers what was stored.

        table: a path with its dossier beside it, or an Arrow table, which then needs source,
        batch_id, value_date, count and sum (minor units) here. out: where the answer is copied to
        (default HOME/out). form: of the status and clearing files, "parquet" or "arrow". at: the
        time that is recorded (ISO 8601), else the value date (of a day that was closed, the last
        closed one). Raises InputRefused where the table
        is not what it declares: nothing of it is paid, the home is as before.
        """
        if form not in segment.FORMS:
            raise UsageError(f"form {form!r} is none of {', '.join(segment.FORMS)}")
        if not 1 <= chunk_rows <= CHUNK_ROWS_MAX or threads < 1:
            raise UsageError(f"chunk_rows is not in 1..{CHUNK_ROWS_MAX}, or threads below 1")
        folder, at = out_folder(self.home.path, out), time_text(at)
        declared = declare(table, source, batch_id, value_date, count, sum)
        known = self.home.batch(declared.source, declared.batch_id)
        reader = open_table(
            table,
            PAYMENT,
            strict_columns=strict_columns,
            sha256=declared.sha256,
            room=self.home.path,
        )
        with contextlib.closing(reader):
            if known is not None:
                batch = self._answer(known, reader, declared)
            else:
                register = self.open_register()
                at = self._time(at, declared.value_date.isoformat())
                self.home.require_room(self._room_for(table, declared))
                Run(
                    self.home,
                    self.directory,
                    register,
                    self.settings,
                    declared,
                    reader,
                    threads,
                    chunk_rows,
                    at,
                    progress,
                    form,
                    self.rule_set,
                    self._slot(at, declared.value_date),
                ).carry_out()
                row = self.home.batch(declared.source, declared.batch_id)
                assert row is not None
                batch = self._batch(row, replayed=False)
        try:
            self.export(batch, folder, threads)
        except CopyFailed as error:
            error.done = (batch.summary,)
            raise
        return dataclasses.replace(batch, warnings=reader.warnings)

    def _time(self, said: str, due: str) -> str:
        """The time of a commit: what was said, else when it is due; not in a day that is closed."""
        known = days.times(self.home)
        return days.require_open(known, said) if said else days.not_before(known, due)

    def _slot(self, at: str, value_date: datetime.date) -> Slot | None:
        return settling.slot_for(self.home, self.settings, at, value_date)

    def _room_for(self, table: Any, declared: Declared) -> int:
        """Bytes that a run will write, as far as they can be known before it: its answer and the
        copies of that, the lines that wait, and paid bits of the keys that were touched so far."""
        is_file = isinstance(table, str | Path)
        size = ROOM_TIMES_FILE * Path(table).stat().st_size if is_file else _bytes_of(table)
        lines = min(ROOM_A_LINE * declared.count, size) if size else ROOM_A_LINE * declared.count
        if self.settings.cutoffs is not msgspec.UNSET:
            lines += ROOM_KEPT_LINE * declared.count
        return lines + ROOM_TIMES_FILE * recasting.bytes_again(self.home) + settling.ROOM_SPARE

    def _answer(self, known: Any, reader: TableReader, declared: Declared) -> Batch:
        """The stored answer to a table that was run before. Raises InputRefused where the table, or
        anything that is declared of it, is other than it was then."""
        declared.require_as_stored(known, reader.name)
        digest = reader.sha256 and f"sha256:{reader.sha256}"
        if digest is None:
            intake = Intake(self.directory, digest=True)
            for _ in intake.lines(reader, declared, CHUNK_ROWS):
                pass
            digest = f"logical:{intake.logical_digest}"
        if digest != known["digest"]:
            raise InputRefused(
                "REFERENCE_REUSED",
                f"batch {declared.batch_id!r} of {declared.source!r} was run with other content",
                file=reader.name,
                column="batch_id",
                remedy="give the new table a new batch id",
            )
        return self._batch(known, replayed=True)

    def _batch(self, row: Any, *, replayed: bool) -> Batch:
        now = {"state": row["state"], "replayed": replayed}
        return Batch(
            seq=row["seq"],
            source=row["source"],
            batch_id=row["batch_id"],
            cycle=row["cycle"],
            replayed=replayed,
            summary=msgspec.json.decode(row["summary"]) | now,
            folder=self.home.folder("batches", row["seq"]),
        )

    def export(self, batch: Batch, out: Path, threads: int = 1) -> Path:
        """Copy a batch's answer to out/<batch_id> and out/cycles/<cycle>; each file lands whole.
        threads: how many files are copied at a time."""
        name = Path(self.home.out_name(batch.batch_id, batch.seq))
        copies = {
            path.relative_to(batch.folder): name / path.relative_to(batch.folder)
            for path in [
                segment.segment_at(batch.folder, "status"),
                *sorted((batch.folder / "clearing").iterdir()),
            ]
        }
        if (batch.folder / "settlement.json").exists():
            for cycle_file in ("positions.parquet", "settlement.json"):
                copies[Path(cycle_file)] = Path("cycles", batch.cycle, cycle_file)
        sent = {Path(n) for n in self.home.digests(batch.folder) if n.startswith("clearing/")}
        for source in sorted(copies.keys() | sent) if batch.replayed else ():
            self.home.proven(batch.folder / source)

        def copy(source: Path, target: Path) -> None:
            with landing(out, target) as file:
                copy_into(file, batch.folder / source)

        deque(in_order((partial(copy, *names) for names in copies.items()), threads), maxlen=0)
        return out / name


def _bytes_of(table: Any) -> int:
    """Size of a table in memory; 0 where it does not say."""
    size = getattr(table, "nbytes", 0)
    return size if isinstance(size, int) else 0


def _counted(reader: TableReader, progress: Progress | None) -> TableReader:
    """The reader, telling progress as its chunks are taken."""
    if progress is None:
        return reader
    chunks = reader.chunks

    def counted(rows: int = CHUNK_ROWS) -> Iterator[Any]:
        done = 0
        for chunk in chunks(rows):
            yield chunk
            done += len(chunk["person_id"])
            progress(reader.table.name, done, reader.rows or 0)

    reader.chunks = counted  # type: ignore[method-assign]
    return reader


def _read_history(
    reader: TableReader, register: Register
) -> tuple[int, dict[tuple[str, int], Any]]:
    """Rows of a paid history as words by (benefit, period)."""
    count = 0
    bits: dict[tuple[str, int], Any] = {}
    for chunk in reader.chunks():
        ids = chunk["person_id"]
        if (ids >= 10**12).any():
            raise InputRefused(
                "ID_FORMAT",
                "the person's id is not 12 digits",
                file=reader.name,
                row=count + int(np.argmax(ids >= 10**12)) + 1,
                column="person_id",
                remedy="write the 12 digits of the citizen id",
            )
        rows = register.give_rows(ids)
        benefit = chunk["benefit"]
        values = benefit.values.to_pylist()
        keys = benefit.index.astype(np.int64) << 16 | chunk["period"]
        for key in np.unique(keys):
            name = (values[key >> 16], period_of(int(key & 0xFFFF)))
            had = bits.get(name)
            if had is None or len(had) < 2 * paid.words_of(register.rows):
                bits[name] = paid.pairs(
                    max(register.rows, 0 if had is None else len(had) * 64),
                    *(() if had is None else (had[0::2],)),
                )
            paid.mark(bits[name], rows[keys == key])
        count += len(ids)
    size = paid.words_of(register.rows)
    return count, {name: had[0::2][:size].copy() for name, had in bits.items()}


def core_of(engine: Engine, value_date: datetime.date, threads: int = 1) -> Core:
    """A native core for one batch on an open engine: for benchmarks of the core alone."""
    return road.core_of(
        engine.home,
        engine.directory,
        engine.open_register(),
        engine.settings,
        value_date,
        threads,
    )
