"""HOME: one mutable catalog and immutable files beside it, and the order in which both change.

Floor 2. catalog.sqlite is the only commit point. Everything big is written under a temporary name,
synced, renamed and synced again before one SQLite transaction names it; that transaction is
finality. What the catalog does not name does not exist: leftovers go to quarantine at open.

    HOME/catalog.sqlite     batches, cycles, positions, postings, balances, files, audit chain
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

from switch.errors import EnvironmentFailed, HomeLocked, UsageError, VerificationFailed
from switch.segment import digest_of, sync_file, sync_folder

FORMAT = 1
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
        if not (path / "catalog.sqlite").is_file():
            raise UsageError(f"{path} is no home: make one with `switch init`")
        self._lock = _lock(path, writing)
        try:
            self._db = _connect(path / "catalog.sqlite")
            if self.meta("format") != str(FORMAT):
                raise UsageError(f"{path} has format {self.meta('format')}, this engine {FORMAT}")
            if writing:
                self._recover()
        except sqlite3.DatabaseError as error:
            self._lock.close()
            raise EnvironmentFailed(f"{path / 'catalog.sqlite'}: {error}") from error
        except BaseException:
            self._lock.close()
            raise

    @staticmethod
    def create(path: Path, meta: dict[str, str], at: str, key: bytes | None = None) -> None:
        """A new home with its first audit record. meta: directory, settings, opening balances."""
        skeleton = {"batches", "registers", "quarantine", "lock", "key", "catalog.new"}
        # What an `init` that died left behind may be used again: it holds nothing.
        if path.exists() and (not path.is_dir() or {p.name for p in path.iterdir()} - skeleton):
            raise UsageError(f"{path} exists and is not empty")
        try:
            for folder in (path, path / "batches", path / "registers", path / "quarantine"):
                folder.mkdir(parents=True, exist_ok=True)
            (path / "lock").touch()
            (path / "key").write_bytes(key or secrets.token_bytes(32))
            (path / "key").chmod(0o600)
            sync_file(path / "key")
            # The catalog appears whole or not at all: it is made aside and renamed.
            aside = path / "catalog.new"
            aside.unlink(missing_ok=True)
            db = _connect(aside)
            with _transaction(db):
                for statement in _SCHEMA.split(";"):
                    if statement.strip():
                        db.execute(statement)
                for name, value in {"format": str(FORMAT), **meta}.items():
                    db.execute("INSERT INTO meta VALUES (?, ?)", (name, value))
                _append_audit(db, at, "init", {n: _sha256(v) for n, v in sorted(meta.items())})
            db.close()
            sync_file(aside)
            aside.rename(path / "catalog.sqlite")
            sync_folder(path)
            sync_folder(path.parent)
        except OSError as error:
            raise environment(error, path) from error

    def close(self) -> None:
        self._db.close()
        self._lock.close()

    def __enter__(self) -> Home:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # --- reading --------------------------------------------------------------------------------

    def rows(self, query: str, *values: Any) -> list[sqlite3.Row]:
        return list(self._db.execute(query, values))

    def meta(self, name: str) -> str:
        row = self._db.execute("SELECT value FROM meta WHERE name = ?", (name,)).fetchone()
        return "" if row is None else str(row["value"])

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

    @contextlib.contextmanager
    def draft(self, kind: str) -> Iterator[Path]:
        """A folder under a temporary name; gone again unless `commit` took it."""
        path = self.path / kind / f".draft-{os.getpid()}"
        try:
            shutil.rmtree(path, ignore_errors=True)
            path.mkdir()
            yield path
        except OSError as error:
            if isinstance(error, EnvironmentFailed | HomeLocked):
                raise
            raise environment(error, self.path) from error
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
        relative to it, where already known; others are read back."""
        files: list[tuple[str, str, int]] = []
        try:
            if draft is not None and folder is not None:
                known = digests or {}
                for path in sorted(p for p in draft.rglob("*") if p.is_file()):
                    name = path.relative_to(draft).as_posix()
                    sha256, size = known.get(name) or (digest_of(path), path.stat().st_size)
                    files.append(
                        (f"{folder.relative_to(self.path).as_posix()}/{name}", sha256, size)
                    )
                    sync_file(path)
                for path in sorted(p for p in draft.rglob("*") if p.is_dir()):
                    sync_folder(path)
                sync_folder(draft)
                draft.rename(folder)
                sync_folder(folder.parent)
            with _transaction(self._db):
                for statement, values in statements:
                    self._db.execute(statement, values)
                for row in files:
                    self._db.execute("INSERT INTO files VALUES (?, ?, ?)", row)
                _append_audit(
                    self._db, at, kind, {**detail, "files": {name: d for name, d, _ in files}}
                )
        except OSError as error:
            raise environment(error, self.path) from error
        except sqlite3.OperationalError as error:
            raise EnvironmentFailed(f"the catalog cannot be written: {error}") from error

    def _recover(self) -> None:
        """Put aside what no commit names; stop where a commit's folder is gone."""
        current = self.register_seq()
        for kind in ("batches", "registers"):
            named = {f"{row['seq']:06d}" for row in self.rows(f"SELECT seq FROM {kind}")}
            present = {entry.name for entry in (self.path / kind).iterdir()}
            if kind == "registers":
                # Versions before the current one are not read again.
                for name in {n for n in named if int(n) < current} & present:
                    shutil.rmtree(self.path / kind / name)
                named = {f"{current:06d}"} if current else set()
                present = {entry.name for entry in (self.path / kind).iterdir()}
            if named - present:
                gone = min(named - present)
                raise VerificationFailed(f"{self.path / kind / gone} is gone: restore it")
            for name in sorted(present - named):
                target = self.path / "quarantine" / f"{kind}-{name}"
                while target.exists():
                    target = target.with_name(target.name + "+")
                (self.path / kind / name).rename(target)
                self.quarantined.append(target.name)

    def drop_old_registers(self) -> None:
        """After a commit of a new version: give the room of the old ones back."""
        for entry in (self.path / "registers").iterdir():
            if entry.name.isdigit() and int(entry.name) < self.register_seq():
                shutil.rmtree(entry)


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
    return db


@contextlib.contextmanager
def _transaction(db: sqlite3.Connection) -> Iterator[None]:
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
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


def environment(error: OSError, path: Path) -> EnvironmentFailed:
    """The machine's failure in words, with what is needed."""
    if isinstance(error, EnvironmentFailed):
        return error
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        free = shutil.disk_usage(path if path.exists() else path.parent).free
        return EnvironmentFailed(f"the disk of {path} is full ({free:,} bytes free): make room")
    return EnvironmentFailed(f"{error.filename or path}: {error.strerror or error}")
