"""The engine: the only place that knows the order of phases.

Floor 4. One engine works on one home. A run is intake - screen - post, chunk by chunk, then netting
and settlement on tens of rows, then one commit; until that commit nothing has happened, and after
it everything has. No result depends on a clock, on threads or on chunk sizes.
"""

from __future__ import annotations

import datetime
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from switch import paid, segment, settlement
from switch._core import Core
from switch._wire import transfer_ids
from switch.batch import CHUNK_ROWS, TableReader, Texts, open_table
from switch.directory import BALANCES, Directory, provinces, read_directory, read_rows
from switch.dispatch import Cleared, Dispatch, account_texts
from switch.errors import InputRefused, UsageError
from switch.intake import Declared, Intake, Lines, as_date, dossier_path, read_dossier
from switch.netting import Position, gross_of, positions, settlement_nets
from switch.overlap import Behind, ahead
from switch.reason import Reason
from switch.register import Masks, Register, name_keys
from switch.report import (
    HELD_SCHEMA,
    LINES,
    REPRESENTED,
    STATUS,
    Columns,
    held_rows,
    is_held,
    outcome,
    positions_table,
    receivers,
    write_table,
)
from switch.schema import (
    ACCOUNTS,
    AMOUNT_MAX,
    CHUNK_ROWS_MAX,
    CLEARING_LIMIT,
    HELD,
    PAID,
    PAYMENT,
    POPULATION,
    TRANSFER_ID_MAX,

    period_of,
)
from switch.store import Home

ENGINE = "switch 0.1"
RULE_SET = "contract 2026-11"
EPOCH = datetime.date(1970, 1, 1)
Progress = Callable[[str, int, int], None]
"""(phase, rows done, rows in all) as work goes on; nothing may depend on it."""


class Settings(msgspec.Struct, forbid_unknown_fields=True):
    """What a home's owner decides; kept in the catalog, changed only with an audit record."""

    clearing_limit: int = CLEARING_LIMIT

    def check(self) -> Settings:
        if not 0 < self.clearing_limit <= AMOUNT_MAX:
            raise UsageError(f"clearing_limit is not between 1 and {AMOUNT_MAX}")
        return self


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
    def status(self) -> Any:
        """One row a line, in table order: a pyarrow Table."""
        import pyarrow.parquet as pq

        return pq.read_table(self.folder / "status.parquet")

    @property
    def positions(self) -> Any:
        """The cycle's positions, one row a participant: a pyarrow Table."""
        import pyarrow.parquet as pq

        return pq.read_table(self.folder / "positions.parquet")


def init(
    home: str | Path,
    *,
    participants: Any,
    debtors: Any,
    programmes: Any = None,
    balances: Any = None,
    settings: Settings | None = None,
    key: bytes | None = None,
    at: str = "",
) -> Engine:
    """Make a new home and open it. Tables: paths or Arrow tables, as the contract has them.

    balances: opening balances of settlement accounts, which then may not go below zero. key: the
    secret of keyed hashes. Raises UsageError where home is not empty, InputRefused for bad tables.
    """
    directory = read_directory(participants, debtors, programmes)
    opening = _opening(directory, balances)
    Home.create(
        Path(home),
        {
            "directory": directory.to_json().decode(),
            "settings": msgspec.json.encode((settings or Settings()).check()).decode(),
            "opening": msgspec.json.encode(opening, order="sorted").decode(),
        },
        at,
        key,
    )
    return Engine(home)


def _opening(directory: Directory, balances: Any) -> dict[str, int]:
    if balances is None:
        return {}
    out: dict[str, int] = {}
    for i, row in enumerate(read_rows(balances, BALANCES)):
        known = {p.participant for p in directory.participants if p.settled_by == p.participant}
        account = row["participant"]
        if account not in known or account in out:
            raise InputRefused(
                "DIRECTORY_INVALID",
                f"{account!r} has no settlement account, or stands twice",
                file=BALANCES.name,
                row=i + 1,
                column="participant",
                remedy="name participants that settle for themselves, once each",
            )
        out[account] = row["balance"]
    return {settlement.settlement_account(directory, code): sum_ for code, sum_ in out.items()}


class Engine:
    """One home, open for writing. Close it, or use it as a context manager."""

    def __init__(self, home: str | Path) -> None:
        self.home = Home(Path(home), writing=True)
        self.directory = Directory.of_json(self.home.meta("directory").encode())
        self.settings = msgspec.json.decode(self.home.meta("settings"), type=Settings)
        self._register: Register | None = None

    def __enter__(self) -> Engine:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._register = None
        self.home.close()

    # --- directory and registers ----------------------------------------------------------------

    def change_directory(
        self,
        *,
        participants: Any = None,
        debtors: Any = None,
        programmes: Any = None,
        settings: Settings | None = None,
        at: str = "",
    ) -> None:
        """Replace tables of the directory, or the settings; what is None stays."""
        encode = msgspec.to_builtins
        import pyarrow as pa

        def table(rows: Any) -> Any:
            return pa.Table.from_pylist([encode(row) for row in rows])

        new = read_directory(
            table(self.directory.participants) if participants is None else participants,
            table(self.directory.debtors) if debtors is None else debtors,
            table(self.directory.programmes) if programmes is None else programmes,
        )
        chosen = (settings or self.settings).check()
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
        at: str = "",
        strict_columns: bool = False,
        progress: Progress | None = None,
    ) -> dict[str, int]:
        """Load registers: upsert by key, or with replace swap the whole of each that is given.

        Returns rows read by table. All of it is committed, or nothing.
        """
        version = self.home.register_seq()
        register = (
            Register.load(self.home.folder("registers", version), whole=True)
            if version
            else Register()
        )
        counts = {}
        only = ("person_id", "name", "status", "status_since")
        if population is not None:
            if replace:
                register.forget_people()
            reader = open_table(
                population, POPULATION, strict_columns=strict_columns, digest=False, only=only
            )
            counts["population"] = register.put_people(_counted(reader, progress))
        if accounts is not None:
            if replace:
                register.forget_accounts()
            reader = open_table(accounts, ACCOUNTS, strict_columns=strict_columns, digest=False)
            counts["accounts"] = register.put_accounts(_counted(reader, progress))
        history: dict[tuple[str, int], Any] = {}
        if paid_history is not None:
            reader = open_table(paid_history, PAID, strict_columns=strict_columns, digest=False)
            counts["paid"], history = _read_history(_counted(reader, progress), register)
        self._commit_register(register, history, replace and paid_history is not None, counts, at)
        return counts

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
            (row["benefit"], row["period"]): self.home.path / row["path"]
            for row in self.home.rows("SELECT * FROM paid WHERE origin = 'history'")
        }
        statements: list[tuple[str, tuple[Any, ...]]] = [
            ("DELETE FROM paid WHERE origin = 'history'", ()),
            ("DELETE FROM files WHERE path LIKE 'registers/%'", ()),
        ]
        with self.home.draft("registers") as draft:
            info = register.save(draft)
            keys = sorted(set(history) | (set() if replace_history else set(old)))
            for number, key in enumerate(keys):
                name = f"paid-{number:04d}.bits"
                words = [] if replace_history or key not in old else [paid.read(old[key])]
                if key in history:
                    words.append(paid.pairs(register.rows, history[key])[0::2])
                paid.write(draft / name, paid.pairs(register.rows, *words)[0::2])
                path = f"{folder.relative_to(self.home.path).as_posix()}/{name}"
                statements.append(("INSERT INTO paid VALUES ('history', ?, ?, ?)", (*key, path)))
            manifest = msgspec.json.encode(
                {"counts": counts, "register": info, "replaced": replace_history}, order="sorted"
            ).decode()
            statements.append(("INSERT INTO registers VALUES (?, ?)", (version, manifest)))
            self.home.commit(
                at=at,
                kind="register",
                detail={"version": version, **counts},
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
            self._register = Register.load(self.home.folder("registers", version))
        return self._register

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
        at: str | None = None,
        strict_columns: bool = False,
        progress: Progress | None = None,
    ) -> Batch:
        """Clear and settle one payment table; the same table again answers what was stored.

        table: a path with its dossier beside it, or an Arrow table, which then needs source,
        batch_id, value_date, count and sum (minor units) here. out: where the answer is copied to
        (default HOME/out). at: the time that is recorded, else the value date. Raises InputRefused
        where the table is not what it declares: nothing of it is paid, the home is as before.
        """
        if not 1 <= chunk_rows <= CHUNK_ROWS_MAX or threads < 1:
            raise UsageError(f"chunk_rows is not in 1..{CHUNK_ROWS_MAX}, or threads below 1")
        declared = _declared(table, source, batch_id, value_date, count, sum)
        known = self.home.batch(declared.source, declared.batch_id)
        reader = open_table(table, PAYMENT, strict_columns=strict_columns)
        if declared.sha256 and reader.sha256 != declared.sha256:
            raise InputRefused(
                "FILE_HASH",
                "the table's SHA-256 is not the one that the dossier declares",
                file=reader.name,
                remedy="send the table that the dossier was made for",
            )
        at = at if at is not None else declared.value_date.isoformat()
        if known is not None:
            batch = self._answer(known, reader, declared)
        else:
            job = _Run(self, declared, reader, threads, chunk_rows, at, progress)
            job.carry_out()
            row = self.home.batch(declared.source, declared.batch_id)
            assert row is not None
            batch = self._batch(row, replayed=False)
        self.export(batch, self.home.path / "out" if out is None else Path(out))
        warnings = tuple(f"unknown column {name!r} is ignored" for name in reader.extra)
        return Batch(
            *(getattr(batch, field) for field in Batch.__dataclass_fields__ if field != "warnings"),
            warnings=warnings,
        )

    def _answer(self, known: Any, reader: TableReader, declared: Declared) -> Batch:
        """The stored answer to a table that was run before."""
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
        return Batch(
            seq=row["seq"],
            source=row["source"],
            batch_id=row["batch_id"],
            cycle=row["cycle"],
            replayed=replayed,
            summary={**msgspec.json.decode(row["summary"]), "replayed": replayed},
            folder=self.home.folder("batches", row["seq"]),
        )

    def export(self, batch: Batch, out: Path) -> Path:
        """Copy a batch's answer to out/<batch_id> and out/cycles/<cycle>; each file lands whole."""
        namesake = self.home.rows(
            "SELECT min(seq) AS seq FROM batches WHERE batch_id = ?", batch.batch_id
        )[0]["seq"]
        # Two sources may use one batch id; the later one's folder says which it is.
        name = batch.batch_id if namesake == batch.seq else f"{batch.batch_id}.{batch.seq:06d}"
        copies = {
            path.relative_to(batch.folder): out / name / path.relative_to(batch.folder)
            for path in [
                batch.folder / "status.parquet",
                *sorted((batch.folder / "clearing").iterdir()),
                *batch.folder.glob("represented.parquet"),
            ]
        }
        for cycle_file in ("positions.parquet", "settlement.json"):
            copies[Path(cycle_file)] = out / "cycles" / batch.cycle / cycle_file
        try:
            for source, target in copies.items():
                target.parent.mkdir(parents=True, exist_ok=True)
                aside = target.with_name(f".{target.name}.part")
                shutil.copyfile(batch.folder / source, aside)
                aside.replace(target)
        except OSError as error:
            from switch.store import environment

            raise environment(error, out) from error
        return out / name


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


def _declared(
    table: Any,
    source: str | None,
    batch_id: str | None,
    value_date: datetime.date | str | None,
    count: int | None,
    sum_: int | None,
) -> Declared:
    given = (source, batch_id, value_date, count, sum_)
    is_file = isinstance(table, str | Path)
    if is_file and all(value is None for value in given):
        return read_dossier(Path(table))
    if source is None or batch_id is None or value_date is None or count is None or sum_ is None:
        raise UsageError(
            "a table without a dossier needs source, batch_id, value_date, count and sum"
            + (f"; or put {dossier_path(Path(table)).name} beside it" if is_file else "")
        )
    return Declared(source, batch_id, as_date(value_date), count, sum_).check(PAYMENT.name)


class _Run:
    """One table on its road. Everything it writes stands in a draft until the commit."""

    def __init__(
        self,
        engine: Engine,
        declared: Declared,
        reader: TableReader,
        threads: int,
        chunk_rows: int,
        at: str,
        progress: Progress | None,
    ) -> None:
        self.engine, self.home, self.directory = engine, engine.home, engine.directory
        self.declared, self.reader, self.at = declared, reader, at
        self.threads, self.chunk_rows = threads, chunk_rows
        self.progress = progress or (lambda *_: None)
        self.register = engine.open_register()
        self.seq = self.home.next_batch()
        self.cycle = f"{declared.value_date:%Y%m%d}-{self.seq:06d}"
        self.prefix = _prefix(declared.value_date, self.seq)
        self.masks = Masks(self.home.folder("registers", self.home.register_seq()))
        self.columns = Columns(self.directory, self.cycle, self.masks)
        self.paid_before = {
            (row["origin"], row["benefit"], row["period"]): self.home.path / row["path"]
            for row in self.home.rows("SELECT * FROM paid")
        }
        self.digests: dict[str, tuple[str, int]] = {}

    def _core(self) -> Core:
        lookups = self.directory.lookups()
        register = self.register
        return Core(
            register.table,
            register.since.view(np.uint8),
            register.lists.view(np.uint8),
            register.participant_lookup(self.directory.index()),
            lookups.suspended,
            lookups.amount_max,
            lookups.debtor_agent,
            provinces(),
            len(self.directory.programmes),
            self.engine.settings.clearing_limit,
            (self.declared.value_date - EPOCH).days,
            self._bits_of,
            self.threads,
        )

    def _bits_of(self, benefit: int, month: int) -> Any:
        key = (self.directory.programmes[benefit].benefit, period_of(month))
        files = [self.paid_before.get((origin, *key)) for origin in ("history", "cleared")]
        return paid.pairs(self.register.rows, *(paid.read(f) for f in files if f is not None))

    def carry_out(self) -> None:
        """Everything from the first line to the commit."""
        self.core = self._core()
        depth = 2 if self.threads > 1 else 0
        self.status_writer, self.clearing_writer = Behind(depth), Behind(depth)
        try:
            with self.home.draft("batches") as draft:
                self._open(draft)
                try:
                    self._represent()
                    self.carried = self.core.tally()
                    self._lines()
                    self.status_writer.finish()
                    self.clearing_writer.finish()
                except BaseException:
                    self._abandon()
                    raise
                self._close(draft)
                self._settle(draft)
        finally:
            self.status_writer.close()
            self.clearing_writer.close()
            self.core.close()

    def _open(self, draft: Path) -> None:
        self.draft = draft
        self.dispatch = Dispatch(draft / "clearing", self.directory)
        self.status = segment.Segment(
            draft / "status.parquet", STATUS, plain=("transfer_id",), delta=("line_no",)
        )
        self.lines = segment.Segment(draft / "lines.parquet", LINES, plain=("row", "amount"))
        self.held: segment.Segment | None = None
        self.represented: segment.Segment | None = None

    def _segments(self) -> dict[str, segment.Segment | None]:
        return {
            "status.parquet": self.status,
            "lines.parquet": self.lines,
            "held.parquet": self.held,
            "represented.parquet": self.represented,
        }

    def _abandon(self) -> None:
        self.status_writer.close()
        self.clearing_writer.close()
        self.dispatch.abandon()
        for part in self._segments().values():
            if part is not None:
                part.abandon()

    def _close(self, draft: Path) -> None:
        for name, part in self._segments().items():
            if part is not None:
                self.digests[name] = part.close()
        for name, digest in self.dispatch.close().items():
            self.digests[f"clearing/{name}"] = digest

    # --- lines ----------------------------------------------------------------------------------

    def _lines(self) -> None:
        intake = Intake(self.directory, digest=self.reader.sha256 is None)
        chunks = intake.lines(self.reader, self.declared, self.chunk_rows)
        done = 0
        for lines in ahead(chunks, 2 if self.threads > 1 else 0):
            reason, row, participant, account = self._screen_and_post(lines)
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

    def _screen_and_post(self, lines: Lines) -> tuple[Any, Any, Any, Any]:
        reason, row, participant, account = self.core.screen(
            lines.amount, lines.person_id, lines.name_key, lines.benefit, lines.debtor, lines.agent
        )
        try:
            self.core.post(
                reason, row, lines.benefit, lines.month, lines.debtor, participant, lines.amount
            )
        except (OverflowError, ValueError) as error:
            raise InputRefused(
                "TOTAL_RANGE", str(error), file=self.reader.name, remedy="split the table"
            ) from error
        return reason, row, participant, account

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
                account=account_texts(account, self.register.heap, lines.account),
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
        self.status.append(self._status_columns(lines, reason, row, participant, transfer))
        self.lines.append(
            self.columns.lines(
                row, lines.amount, lines.benefit, lines.month, lines.debtor, reason
            )
        )
        self._hold(np.uint32(self.seq), lines, reason)

    def _status_columns(
        self, lines: Lines, reason: Any, row: Any, participant: Any, transfer: Any
    ) -> dict[str, Any]:
        masks = {}
        differs = np.flatnonzero(reason == Reason.NAME_DIFFERS)
        if len(differs):
            names = Texts(lines.name.rows().take(differs), None)
            masks = dict(zip(differs, name_keys(names, with_masks=True)[1], strict=True))
        ids = segment.text_array(*transfer, reason != 0)
        return self.columns.status(lines.line_no, reason, participant, ids, row, masks)

    def _hold(self, batch: Any, lines: Lines, reason: Any) -> None:
        waiting = np.flatnonzero(is_held(reason))
        if len(waiting):
            if self.held is None:
                self.held = segment.Segment(
                    self.draft / "held.parquet", HELD_SCHEMA, plain=("person_id", "person_name")
                )
            self.held.append(held_rows(batch, lines.raw, waiting))

    # --- held lines -----------------------------------------------------------------------------

    def _represent(self) -> None:
        """Try the lines that wait, oldest first, before the table's own."""
        path = self.home.folder("batches", self.seq - 1) / "held.parquet"
        if self.seq == 1 or not path.exists():
            return
        prefixes = {
            row["seq"]: _prefix(datetime.date.fromisoformat(row["value_date"]), row["seq"])
            for row in self.home.rows("SELECT seq, value_date FROM batches")
        }
        self.represented = segment.Segment(
            self.draft / "represented.parquet", REPRESENTED, plain=("transfer_id", "row", "amount")
        )
        intake = Intake(self.directory)
        reader = open_table(path, HELD, digest=False)
        for raw in reader.chunks(self.chunk_rows):
            lines = intake.take(raw, reader.name)
            reason, row, participant, account = self._screen_and_post(lines)
            heads = [prefixes[int(batch)] for batch in raw["batch"]]
            transfer = _transfer_ids_each(heads, lines.line_no, reason)
            self._dispatch(lines, reason, participant, account, transfer)
            self.status_writer(
                self._answer_held, raw["batch"], lines, reason, row, participant, transfer
            )

    def _answer_held(
        self, batch: Any, lines: Lines, reason: Any, row: Any, participant: Any, transfer: Any
    ) -> None:
        assert self.represented is not None
        moved = np.flatnonzero(~is_held(reason))
        columns = {
            "batch": _arrow(batch.astype(np.uint32)),
            **self._status_columns(lines, reason, row, participant, transfer),
            **self.columns.lines(
                row, lines.amount, lines.benefit, lines.month, lines.debtor, reason
            ),
        }
        if len(moved):
            self.represented.append({name: c.take(_arrow(moved)) for name, c in columns.items()})
        self._hold(batch, lines, reason)

    # --- netting, settlement, commit ------------------------------------------------------------

    def _settle(self, draft: Path) -> None:
        core, directory = self.core, self.directory
        cycle = positions(directory, core.pair_sum, core.pair_count)
        nets = settlement_nets(cycle)
        balances = self.home.balances() or msgspec.json.decode(self.home.meta("opening"))
        guarded = set(msgspec.json.decode(self.home.meta("opening")))
        settlement.require_cover(directory, nets, balances, guarded)
        name = f"{self.seq:06d}"
        postings = settlement.postings_of(
            directory, name, self.cycle, core.benefit_sum, core.pair_sum, nets
        )
        after = settlement.apply(balances, postings)
        settlement.require_settled(after, self.cycle)
        summary = self._summary(cycle, nets)
        self._require_nothing_lost(summary)
        write_table(draft / "positions.parquet", positions_table(cycle))
        request = settlement.request(
            directory, self.declared.batch_id, self.cycle, str(self.declared.value_date), nets
        )
        _write_json(draft / "settlement.json", request)
        _write_json(draft / "postings.json", [list(p) for p in postings])
        (draft / "paid").mkdir()
        paid_rows = []
        for number, ((benefit, month), words) in enumerate(core.paid().items()):
            file = f"paid/{number:04d}.bits"
            paid.write(draft / file, words)
            key = (directory.programmes[benefit].benefit, period_of(month))
            paid_rows.append((*key, f"batches/{name}/{file}"))
        manifest = self._manifest(summary)
        _write_json(draft / "manifest.json", manifest)
        self.home.commit(
            at=self.at,
            kind="batch",
            detail={
                "seq": self.seq,
                "batch_id": self.declared.batch_id,
                "source": self.declared.source,
                "digest": self.digest,
                "cycle": self.cycle,
                "nets": nets,
            },
            statements=self._statements(summary, manifest, cycle, postings, after, paid_rows),
            draft=draft,
            folder=self.home.folder("batches", self.seq),
            digests=self.digests,
        )

    def _summary(self, cycle: list[Position], nets: dict[str, int]) -> dict[str, Any]:
        core = self.core
        tally = core.tally()
        own = [(c - c0, s - s0) for (c, s), (c0, s0) in zip(tally, self.carried, strict=True)]
        gross = gross_of(core.pair_sum)
        return {
            "source": self.declared.source,
            "batch_id": self.declared.batch_id,
            "seq": self.seq,
            "cycle": self.cycle,
            "value_date": self.declared.value_date.isoformat(),
            "at": self.at,
            "currency": self.declared.currency,
            "digest": self.digest,
            **outcome(own),
            "represented": outcome(self.carried) if self.represented is not None else None,
            "receivers": receivers(self.directory, core.pair_sum, core.pair_count),
            "positions": [position._asdict() for position in cycle],
            "settlement": {
                "gross": gross,
                "settled": sum(net for net in nets.values() if net > 0),
                "payers": sum(net < 0 for net in nets.values()),
                "receivers": sum(net > 0 for net in nets.values()),
                "nets": nets,
            },
        }

    def _require_nothing_lost(self, summary: dict[str, Any]) -> None:
        """I4: lines by state add up to the declared count and sum, and cleared money by receiver
        to cleared money by line."""
        states = [summary[state] for state in ("cleared", "held", "refused")]
        assert sum(s["count"] for s in states) == self.declared.count, "lines are missing"
        assert sum(s["sum"] for s in states) == self.declared.sum, "money is missing"
        cleared = summary["cleared"]["sum"] + self.carried[0][1]
        assert sum(r["sum"] for r in summary["receivers"]) == cleared, "receivers do not add up"
        assert sum(map(int, self.core.benefit_sum)) == cleared, "programmes do not add up"

    def _manifest(self, summary: dict[str, Any]) -> dict[str, Any]:
        return {
            "engine": ENGINE,
            "rule_set": RULE_SET,
            "settings": msgspec.to_builtins(self.engine.settings),
            "declared": {
                "source": self.declared.source,
                "batch_id": self.declared.batch_id,
                "count": self.declared.count,
                "sum": str(self.declared.sum),
                "value_date": self.declared.value_date.isoformat(),
                "sha256": self.declared.sha256,
            },
            "digest": self.digest,
            "seq": self.seq,
            "cycle": self.cycle,
            "at": self.at,
            "register": self.home.register_seq(),
            "previous": self.home.last_link(),
            "outcome": {key: summary[key] for key in ("received", "cleared", "held", "refused")},
            "files": {name: digest for name, (digest, _) in sorted(self.digests.items())},
        }

    def _statements(
        self,
        summary: dict[str, Any],
        manifest: dict[str, Any],
        cycle: list[Position],
        postings: list[settlement.Posting],
        balances: dict[str, int],
        paid_rows: list[tuple[str, int, str]],
    ) -> Iterator[tuple[str, tuple[Any, ...]]]:
        yield (
            "INSERT INTO batches VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 'SETTLED', ?, ?)",
            (
                self.seq,
                self.declared.source,
                self.declared.batch_id,
                self.digest,
                self.declared.value_date.isoformat(),
                self.at,
                self.cycle,
                self.declared.count,
                str(self.declared.sum),
                msgspec.json.encode(manifest, order="sorted").decode(),
                msgspec.json.encode(summary).decode(),
            ),
        )
        for position in cycle:
            yield (
                "INSERT INTO positions VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (self.cycle, *position),
            )
        for posting in postings:
            yield (
                "INSERT INTO postings (batch, cycle, step, debit, credit, amount)"
                " VALUES (?, ?, ?, ?, ?, ?)",
                (self.seq, self.cycle, *posting),
            )
        for account, balance in sorted(balances.items()):
            yield "INSERT OR REPLACE INTO balances VALUES (?, ?)", (account, balance)
        for benefit, period, path in paid_rows:
            yield (
                "INSERT OR REPLACE INTO paid VALUES ('cleared', ?, ?, ?)",
                (benefit, period, path),
            )


def _arrow(values: Any) -> Any:
    import pyarrow as pa

    return pa.array(values)


def _prefix(value_date: datetime.date, seq: int) -> bytes:
    """What all transfer ids of a batch begin with: its value date and its number."""
    prefix = f"{value_date:%Y%m%d}-{seq:06d}-".encode()
    assert len(prefix) + 10 <= TRANSFER_ID_MAX
    return prefix


def _transfer_ids(prefix: Any, line_no: Any, reason: Any) -> tuple[Any, Any]:
    """(offsets, data) of the ids of living lines; others have an empty text."""
    offsets = np.empty(len(line_no) + 1, np.int32)
    data = np.empty(len(line_no) * (len(prefix) + 10), np.uint8)
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


def _write_json(path: Path, content: Any) -> None:
    path.write_bytes(msgspec.json.format(msgspec.json.encode(content, order="sorted"), indent=1))


