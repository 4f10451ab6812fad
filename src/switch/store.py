"""HOME: one mutable catalog and immutable files beside it, and the order in which both change.

Floor 2. catalog.sqlite is the only commit point. Everything big is written under a temporary name,
synced, renamed and synced again before one SQLite transaction names it; that transaction is
finality. What the catalog does not name does not exist: leftovers go to quarantine at open.

    HOME/catalog.sqlite     batches, cycles, positions, postings, balances, files, audit chain
    HOME/checkpoint         last audit record, by which an older catalog is recognised
    HOME/lock               flock: one writer, or readers
    HOME/key                secret of keyed hashes, by which ids are told apart in logs
    HOME/batches/000001/    one committed batch (docs/formats.md)
    HOME/registers/000001/  one version of the register
    HOME/quarantine/        what a crash left behind
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import hmac
import os
import secrets
import shutil
import sqlite3
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from switch.errors import EnvironmentFailed, HomeLocked, SwitchError, UsageError, VerificationFailed
from switch.segment import digest_of, sync_file, sync_folder

FORMAT = 2
CATALOG = "catalog.sqlite"
GENESIS = "0" * 64
"""Previous link of the first audit record."""

_SCHEMA = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
CREATE TABLE registers (seq INTEGER PRIMARY KEY, manifest TEXT NOT NULL) STRICT;
CREATE TABLE batches (
    seq INTEGER PRIMARY KEY, source TEXT NOT NULL, batch_id TEXT NOT NULL, digest TEXT NOT NULL,
    value_date TEXT NOT NULL, at TEXT NOT NULL, cycle TEXT NOT NULL, lines INTEGER NOT NULL,
    amount TEXT NOT NULL, state TEXT NOT NULL, manifest TEXT NOT NULL, summary TEXT NOT NULL,
    UNIQUE (source, batch_id)) STRICT;
CREATE TABLE files (
    path TEXT PRIMARY KEY, sha256 TEXT NOT NULL, bytes INTEGER NOT NULL) STRICT;
CREATE TABLE cycles (
    cycle TEXT PRIMARY KEY, closes TEXT NOT NULL, state TEXT NOT NULL, at TEXT NOT NULL,
    answer TEXT NOT NULL) STRICT;
CREATE TABLE positions (
    cycle TEXT NOT NULL, participant TEXT NOT NULL, settled_by TEXT NOT NULL,
    credit_count INTEGER NOT NULL, credit_sum INTEGER NOT NULL, debit_count INTEGER NOT NULL,
    debit_sum INTEGER NOT NULL, net INTEGER NOT NULL, PRIMARY KEY (cycle, participant)) STRICT;
CREATE TABLE postings (
    seq INTEGER PRIMARY KEY, batch INTEGER NOT NULL, cycle TEXT NOT NULL, step TEXT NOT NULL,
    debit TEXT NOT NULL, credit TEXT NOT NULL, amount INTEGER NOT NULL) STRICT;
CREATE TABLE balances (account TEXT PRIMARY KEY, balance INTEGER NOT NULL) STRICT;
CREATE TABLE paid (
    origin TEXT NOT NULL, benefit TEXT NOT NULL, period INTEGER NOT NULL, path TEXT NOT NULL,
    PRIMARY KEY (origin, benefit, period)) STRICT;
CREATE TABLE audit (
    seq INTEGER PRIMARY KEY, at TEXT NOT NULL, kind TEXT NOT NULL, detail TEXT NOT NULL,
    previous TEXT NOT NULL, link TEXT NOT NULL) STRICT;
"""


class Home:
    """An open home. Use as a context manager; `writing` holds the lock for one process alone."""

    def __init__(self, path: Path, *, writing: bool) -> None:
        self.path = path
        self.writing = writing
        self.quarantined: list[str] = []
        self.stopped = ""
        """Why nothing more can be done here: a commit was broken off, and only the disk knows."""
        self._needed = 0
        if not (path / CATALOG).is_file():
            raise UsageError(f"{path} is no home: make one with `switch init`")
        with contextlib.ExitStack() as opened:
            opened.enter_context(_lock(path, writing))
            try:
                self._db = opened.enter_context(contextlib.closing(_connect(path / CATALOG)))
                if self.meta("format") != str(FORMAT):
                    raise UsageError(
                        f"{path} has format {self.meta('format')}, this engine {FORMAT}"
                    )
                self._require_checkpoint()
                if writing:
                    with machine(path):
                        self._recover()
            except sqlite3.DatabaseError as error:
                raise EnvironmentFailed(f"{path / CATALOG}: {error}") from error
            self._opened = opened.pop_all()

    @staticmethod
    def create(path: Path, meta: dict[str, str], at: str, key: bytes | None = None) -> None:
        """A new home with its first audit record. meta: directory, settings, opening balances."""
        aside = path / "catalog.new"
        journal = path / "catalog.new-journal"
        skeleton = {"batches", "registers", "quarantine", "lock", "key", aside.name, journal.name}
        skeleton |= {"checkpoint", "checkpoint.new"}

        def require_empty() -> None:
            # What an `init` that died left behind may be used again: it holds nothing.
            if path.exists() and (not path.is_dir() or {p.name for p in path.iterdir()} - skeleton):
                raise UsageError(f"{path} exists and is not empty")

        with machine(path):
            require_empty()
            made = [folder for folder in (path, *path.parents) if not folder.exists()]
            for folder in (path, path / "batches", path / "registers", path / "quarantine"):
                folder.mkdir(parents=True, exist_ok=True)
            with _lock(path, writing=True):
                require_empty()
                (path / "key").write_bytes(key or secrets.token_bytes(32))
                (path / "key").chmod(0o600)
                sync_file(path / "key")
                # The catalog appears whole or not at all: it is made aside and renamed. A journal
                # that was left would be played back into a new file of the old name.
                for left in (journal, aside):
                    left.unlink(missing_ok=True)
                with contextlib.closing(_connect(aside)) as db:
                    with _transaction(db):
                        for statement in _SCHEMA.split(";"):
                            if statement.strip():
                                db.execute(statement)
                        for name, value in {"format": str(FORMAT), **meta}.items():
                            db.execute("INSERT INTO meta VALUES (?, ?)", (name, value))
                        digests = {n: _sha256(v) for n, v in sorted(meta.items())}
                        _append_audit(db, at, "init", digests)
                    _write_checkpoint(path, db)
                sync_file(aside)
                # Everything else stands before the catalog makes a home of the folder.
                sync_folder(path)
                for folder in made:
                    sync_folder(folder.parent)
                aside.rename(path / CATALOG)
                sync_folder(path)

    def close(self) -> None:
        self._opened.close()

    def __enter__(self) -> Home:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # --- reading --------------------------------------------------------------------------------

    def rows(self, query: str, *values: Any) -> list[sqlite3.Row]:
        self._require_known()
        with machine(self.path):
            return list(self._db.execute(query, values))

    def meta(self, name: str) -> str:
        rows = self.rows("SELECT value FROM meta WHERE name = ?", name)
        return str(rows[0]["value"]) if rows else ""

    def batch(self, source: str, batch_id: str) -> sqlite3.Row | None:
        rows = self.rows(
            "SELECT * FROM batches WHERE source = ? AND batch_id = ?", source, batch_id
        )
        return rows[0] if rows else None

    def out_name(self, batch_id: str, seq: int) -> str:
        """Folder of a batch's answer. Two sources may use one batch id; the later one's folder
        says which it is (no batch id has an @)."""
        first = self.rows("SELECT min(seq) AS seq FROM batches WHERE batch_id = ?", batch_id)[0]
        return batch_id if first["seq"] == seq else f"{batch_id}@{seq:06d}"

    def next_batch(self) -> int:
        return int(self.rows("SELECT coalesce(max(seq), 0) + 1 AS seq FROM batches")[0]["seq"])

    def register_seq(self) -> int:
        """The current version of the register; 0 where there is none."""
        return int(self.rows("SELECT coalesce(max(seq), 0) AS seq FROM registers")[0]["seq"])

    def balances(self) -> dict[str, int]:
        return {r["account"]: r["balance"] for r in self.rows("SELECT * FROM balances")}

    def last_link(self) -> str:
        rows = self.rows("SELECT link FROM audit ORDER BY seq DESC LIMIT 1")
        return str(rows[0]["link"]) if rows else GENESIS

    def id_hash(self, text: str) -> str:
        """A keyed hash by which an id can be recognised in logs without being readable."""
        key = (self.path / "key").read_bytes()
        return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()[:16]

    def folder(self, kind: str, seq: int) -> Path:
        return self.path / kind / f"{seq:06d}"

    # --- writing --------------------------------------------------------------------------------

    def _require_known(self) -> None:
        if self.stopped:
            raise EnvironmentFailed(self.stopped)

    def require_room(self, needed: int) -> None:
        """About needed bytes are free, before any of them is written."""
        self._needed = needed
        free = shutil.disk_usage(self.path).free
        if free < needed:
            raise EnvironmentFailed(_no_room(self.path, free, needed))

    @contextlib.contextmanager
    def draft(self, kind: str) -> Iterator[Path]:
        """A folder under a temporary name; gone again unless `commit` took it."""
        self._require_known()
        path = self.path / kind / f".draft-{os.getpid()}"
        try:
            with machine(self.path, self._needed):
                shutil.rmtree(path, ignore_errors=True)
                path.mkdir()
                yield path
        finally:
            shutil.rmtree(path, ignore_errors=True)

    def commit(
        self,
        *,
        at: str,
        kind: str,
        detail: dict[str, Any],
        statements: Iterable[tuple[str, tuple[Any, ...]]],
        draft: Path | None = None,
        folder: Path | None = None,
        digests: dict[str, tuple[str, int]] | None = None,
    ) -> None:
        """Make a draft durable and final. digests: (sha256, bytes) of the draft's files by name
        relative to it, where already known; others are read back.

        Where it is broken off, nobody but the disk knows whether it happened: the home then does
        nothing more, and the next one to open it finds out."""
        self._require_known()
        self.stopped = (
            f"a commit in {self.path} was broken off, and whether it happened stands on the disk"
            " alone: open the home again, and run the same again"
        )
        files: list[tuple[str, str, int]] = []
        try:
            with machine(self.path, self._needed):
                if draft is not None and folder is not None:
                    files = self._make_durable(draft, folder, digests or {})
                with _transaction(self._db):
                    for statement, values in statements:
                        self._db.execute(statement, values)
                    for row in files:
                        self._db.execute("INSERT INTO files VALUES (?, ?, ?)", row)
                    _append_audit(
                        self._db, at, kind, {**detail, "files": {name: d for name, d, _ in files}}
                    )
                _write_checkpoint(self.path, self._db)
        except EnvironmentFailed as error:
            raise EnvironmentFailed(f"{error}. Then run the same again") from error
        self.stopped = ""

    def _make_durable(
        self, draft: Path, folder: Path, known: dict[str, tuple[str, int]]
    ) -> list[tuple[str, str, int]]:
        """Everything in draft on the disk, under its final name: (path, sha256, bytes) by file."""
        files = []
        for path in sorted(p for p in draft.rglob("*") if p.is_file()):
            name = path.relative_to(draft).as_posix()
            sha256, size = known.get(name) or (digest_of(path), path.stat().st_size)
            files.append((f"{folder.relative_to(self.path).as_posix()}/{name}", sha256, size))
            sync_file(path)
        for path in sorted(p for p in draft.rglob("*") if p.is_dir()):
            sync_folder(path)
        sync_folder(draft)
        draft.rename(folder)
        sync_folder(folder.parent)
        return files

    def _require_checkpoint(self) -> None:
        """The catalog is that of the last acknowledged commit, or a later one. A crash between
        commit and checkpoint leaves the checkpoint behind, which the next writer mends."""
        path = self.path / "checkpoint"
        try:
            said = msgspec.json.decode(path.read_bytes(), type=_Checkpoint)
        except (OSError, msgspec.DecodeError) as error:
            raise VerificationFailed(f"{path} cannot be read: restore it ({error})") from error
        links = self.rows("SELECT link FROM audit WHERE seq = ?", said.seq)
        if not links or links[0]["link"] != said.link:
            raise VerificationFailed(
                f"{self.path / 'catalog.sqlite'} is not the catalog of commit {said.seq}, which was"
                f" acknowledged: an older or another one was put in its place; restore the last one"
            )
        if self.writing and self.last_link() != said.link:
            try:
                _write_checkpoint(self.path, self._db)
            except OSError as error:
                raise environment(error, self.path) from error

    def _recover(self) -> None:
        """Put aside what no commit names; stop where a commit's folder is gone."""
        current = self.register_seq()
        for kind in ("batches", "registers"):
            named = {f"{row['seq']:06d}" for row in self.rows(f"SELECT seq FROM {kind}")}
            present = {entry.name for entry in (self.path / kind).iterdir()}
            if kind == "registers":
                # Versions before the current one are not read again.
                self.drop_old_registers()
                named = {f"{current:06d}"} if current else set()
                present = {entry.name for entry in (self.path / kind).iterdir()}
            if named - present:
                gone = min(named - present)
                raise VerificationFailed(f"{self.path / kind / gone} is gone: restore it")
            for name in sorted(present - named):
                (self.path / "quarantine").mkdir(exist_ok=True)
                target = self.path / "quarantine" / f"{kind}-{name}"
                while target.exists():
                    target = target.with_name(target.name + "+")
                (self.path / kind / name).rename(target)
                self.quarantined.append(target.name)

    def drop_old_registers(self) -> None:
        """Give the room of versions before the current one back. What cannot be removed now is
        tried again at the next open: it is in nobody's way."""
        current = self.register_seq()
        for entry in (self.path / "registers").iterdir():
            if entry.name.isdigit() and int(entry.name) < current:
                shutil.rmtree(entry, ignore_errors=True)


class _Checkpoint(msgspec.Struct):
    seq: int
    link: str


def _write_checkpoint(home: Path, db: sqlite3.Connection) -> None:
    """Note the last audit record beside the catalog, whole or not at all."""
    row = db.execute("SELECT seq, link FROM audit ORDER BY seq DESC LIMIT 1").fetchone()
    aside = home / "checkpoint.new"
    aside.write_bytes(msgspec.json.encode(_Checkpoint(row["seq"], row["link"])))
    sync_file(aside)
    aside.rename(home / "checkpoint")
    sync_folder(home)


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def link_of(previous: str, seq: int, at: str, kind: str, detail: str) -> str:
    """The hash that chains one audit record to the one before it."""
    record = msgspec.json.encode([previous, seq, at, kind, detail])
    return hashlib.sha256(record).hexdigest()


def _append_audit(db: sqlite3.Connection, at: str, kind: str, detail: dict[str, Any]) -> None:
    last = db.execute("SELECT seq, link FROM audit ORDER BY seq DESC LIMIT 1").fetchone()
    seq, previous = (last["seq"] + 1, last["link"]) if last else (1, GENESIS)
    text = msgspec.json.encode(detail, order="sorted").decode()
    db.execute(
        "INSERT INTO audit VALUES (?, ?, ?, ?, ?, ?)",
        (seq, at, kind, text, previous, link_of(previous, seq, at, kind, text)),
    )


def _connect(path: Path) -> sqlite3.Connection:
    """One connection, rollback journal, synchronous=EXTRA: SQLite's write-ahead log is not used
    (its reset can lose a commit before 3.51.3)."""
    db = sqlite3.connect(path, isolation_level=None)
    db.row_factory = sqlite3.Row
    db.execute("PRAGMA journal_mode = DELETE")
    db.execute("PRAGMA synchronous = EXTRA")
    db.execute("PRAGMA foreign_keys = ON")
    # Nothing of a transaction reaches the catalog before its COMMIT.
    db.execute("PRAGMA cache_spill = OFF")
    return db


@contextlib.contextmanager
def _transaction(db: sqlite3.Connection) -> Iterator[None]:
    folder = Path(db.execute("PRAGMA database_list").fetchone()["file"]).parent
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
        # The journal must be found after a power cut. SQLite syncs its name too, but goes on
        # where that fails.
        sync_folder(folder)
        db.execute("COMMIT")
    except BaseException:
        with contextlib.suppress(sqlite3.Error):
            db.execute("ROLLBACK")
        raise


def _lock(path: Path, writing: bool) -> Any:
    try:
        handle = (path / "lock").open("a" if writing else "r")
        fcntl.flock(handle, (fcntl.LOCK_EX if writing else fcntl.LOCK_SH) | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise HomeLocked(
            f"{path} is in use by another process; try again when it is done"
        ) from error
    except OSError as error:
        raise environment(error, path) from error
    return handle


@contextlib.contextmanager
def machine(path: Path, needed: int = 0) -> Iterator[None]:
    """What the machine fails at in here is an EnvironmentFailed. needed: about how many bytes the
    work takes, where known."""
    try:
        yield
    except SwitchError:
        raise
    except OSError as error:
        raise environment(error, path, needed) from error
    except sqlite3.OperationalError as error:
        if getattr(error, "sqlite_errorcode", sqlite3.SQLITE_IOERR) & 0xFF not in _OF_THE_MACHINE:
            raise
        free = shutil.disk_usage(path).free
        raise EnvironmentFailed(
            f"the catalog in {path} cannot be used: {error} ({free:,} bytes free{_about(needed)})"
        ) from error


_OF_THE_MACHINE = {
    sqlite3.SQLITE_PERM,
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_NOMEM,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_CANTOPEN,
}


def environment(error: OSError, path: Path, needed: int = 0) -> EnvironmentFailed:
    """The machine's failure in words, with what is needed."""
    if isinstance(error, EnvironmentFailed):
        return error
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        there = next(folder for folder in (path, *path.absolute().parents) if folder.exists())
        free = shutil.disk_usage(there).free
        return EnvironmentFailed(_no_room(path, free, needed))
    return EnvironmentFailed(f"{error.filename or path}: {error.strerror or error}")


def json_of(content: Any) -> bytes:
    """A document for people and machines: the same bytes for the same content."""
    return msgspec.json.format(msgspec.json.encode(content, order="sorted"), indent=1)


def write_json(path: Path, content: Any) -> None:
    path.write_bytes(json_of(content))


@contextlib.contextmanager
def landing(target: Path) -> Iterator[Path]:
    """A path to write a copy for people to; the copy lands whole under its name, or not at all."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        aside = target.with_name(f".{target.name}.part")
        yield aside
        aside.replace(target)
    except OSError as error:
        raise environment(error, target.parent) from error


def _no_room(path: Path, free: int, needed: int) -> str:
    return f"the disk of {path} is full ({free:,} bytes free{_about(needed)}): make room"


def _about(needed: int) -> str:
    return f", about {needed:,} are needed" if needed else ""
