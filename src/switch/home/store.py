"""The store: one mutable catalog and immutable files beside it, and the order in which both change.

Catalog.sqlite is the only commit point. Everything big is written under a temporary name, synced,
renamed and synced again before one SQLite transaction names it; that transaction is finality. What
the catalog does not name does not exist: leftovers go to quarantine at open.

    HOME/catalog.sqlite     batches, cycles, positions, postings, balances, files, audit chain
    HOME/checkpoint         last audit record, by which an older catalog is recognised
    HOME/lock               flock: one writer, or readers
    HOME/signing.key        private key of signed checkpoints, where the home has one
    HOME/signing.pub        the public one
    HOME/checkpoints.signed a signed line for every audit record, for others to keep
    HOME/key                secret of keyed hashes, by which ids are told apart in logs
    HOME/batches/000001/    one committed batch (docs/formats.md)
    HOME/registers/000001/  one version of the register
    HOME/recasts/000001/    what one recast took out of a cycle
    HOME/answers/000001/    answers taken in, and what came of them
    HOME/quarantine/        what a crash left behind
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import secrets
import shutil
import sqlite3
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec

from switch.errors import EnvironmentFailed, HomeLocked, HomeMoved, UsageError, VerificationFailed
from switch.files.disk import CATALOG, environment, machine, no_room, require_new, sizes
from switch.files.segment import digest_of, new_file, sync_file, sync_folder, write_new
from switch.home import signing
from switch.home.catalog import SCHEMA, connect
from switch.home.chain import GENESIS, Checkpoint, heads, link_of, read_checkpoint

FORMAT = 3
SYNC_TOGETHER_MIN, SYNC_THREADS = 16, 8
RECASTS, ANSWERS = "recasts", "answers"
KINDS = ("batches", "registers", RECASTS, ANSWERS)
"""Folders that commits are renamed into. The last two are made with their first commit."""
SIGNING_KEY, SIGNING_PUB, SIGNED = "signing.key", "signing.pub", "checkpoints.signed"
SIGNED_LINE_MAX = 512


class Home:
    """An open home. Use as a context manager; `writing` holds the lock for one process alone.
    mending: hold it, but leave everything as it is, also where folders are gone. judging: also
    where the catalog was changed, which is then for the caller to say."""

    def __init__(
        self, path: Path, *, writing: bool, mending: bool = False, judging: bool = False
    ) -> None:
        self.path = path.absolute()
        self.writing = writing
        self.quarantined: list[str] = []
        self.stopped = ""
        """Why nothing more can be done here: a commit was broken off, and only the disk knows."""
        self.closed = False
        self._process = os.getpid()
        self._needed = 0
        if not (path / CATALOG).is_file():
            if any(path.glob("[br]*/[0-9]*")):
                raise VerificationFailed(f"{path / CATALOG} is gone: restore it")
            raise UsageError(f"{path} is no home: make one with `switch init`")
        with contextlib.ExitStack() as opened:
            opened.callback(_unlock, _lock(path, writing or mending))
            try:
                self._db = opened.enter_context(contextlib.closing(connect(path / CATALOG)))
                made = self.meta("format")
                if made != str(FORMAT):
                    raise UsageError(f"{path} has format {made}, this engine {FORMAT}")
                # All work here is computed from this history, and from what is committed here.
                self._began = self.heads()
                self._require_checkpoint(judging)
                if writing:
                    if (path / SIGNING_KEY).exists():
                        signing.require_library()
                    with machine(path):
                        _sign(path, self._db)
                        self._recover()
            except sqlite3.DatabaseError as error:
                raise EnvironmentFailed(f"{path / CATALOG}: {error}") from error
            self._opened = opened.pop_all()

    @staticmethod
    def create(
        path: Path,
        meta: dict[str, str],
        at: str,
        key: bytes | None = None,
        signing_key: bytes | None = None,
    ) -> None:
        """A new home with its first audit record. meta: directory, settings, opening balances.
        signing_key: in the form of `signing`; without one nothing is signed."""
        aside = path / "catalog.new"
        journal = path / "catalog.new-journal"
        skeleton = {"batches", "registers", "quarantine", "lock", "key", aside.name, journal.name}
        skeleton |= {"checkpoint", "checkpoint.new", SIGNING_KEY, SIGNING_PUB, SIGNED}

        def require_empty() -> None:
            require_new(path, (*KINDS, "quarantine"), ("checkpoint", SIGNED), aside)
            # What an `init` that died left behind may be used again: it holds nothing.
            if path.exists() and (not path.is_dir() or {p.name for p in path.iterdir()} - skeleton):
                raise UsageError(f"{path} exists and is not empty")

        with machine(path):
            require_empty()
            made = [folder for folder in (path, *path.parents) if not folder.exists()]
            for folder in (path, path / "batches", path / "registers", path / "quarantine"):
                folder.mkdir(parents=True, exist_ok=True)
                folder.chmod(0o700)
            with _lock(path, writing=True):
                require_empty()
                key = key or secrets.token_bytes(32)
                kept = {"key": key}
                marks = {"key": signing.keyed(key, signing.KEY_MARK)}
                if signing_key is not None:
                    kept[SIGNING_KEY] = signing_key
                    kept[SIGNING_PUB] = signing.public_of(signing_key)
                    marks["signing"] = _sha256(kept[SIGNING_PUB].decode())
                # While these go, catalog.new still says that no home was here.
                for name in ("checkpoint", SIGNED, SIGNING_KEY, SIGNING_PUB, "key"):
                    (path / name).unlink(missing_ok=True)
                sync_folder(path)
                for name, content in kept.items():
                    write_durably(path / name, content)
                # The catalog appears whole or not at all: it is made aside and renamed. A journal
                # that was left would be played back into a new file of the old name.
                for left in (journal, aside):
                    left.unlink(missing_ok=True)
                new_file(aside).close()
                with contextlib.closing(connect(aside)) as db:
                    with _transaction(db):
                        for statement in SCHEMA.split(";"):
                            if statement.strip():
                                db.execute(statement)
                        for name, value in {"format": str(FORMAT), **meta}.items():
                            db.execute("INSERT INTO meta VALUES (?, ?)", (name, value))
                        _append_audit(db, at, "init", meta)
                        # Beside the history: no answer may depend on a key made at random.
                        _append_audit(db, at, "keys", marks, "events")
                    _write_checkpoint(path, db, aside)
                    _sign(path, db)
                sync_file(aside)
                journal.unlink(missing_ok=True)
                # Everything else stands before the catalog makes a home of the folder.
                sync_folder(path)
                for folder in made:
                    sync_folder(folder.parent)
                aside.rename(path / CATALOG)
                sync_folder(path)

    def close(self) -> None:
        """Let go of the home. A forked process holds copies alone: it lets go of nothing, for the
        lock and the catalog are still its parent's."""
        self.closed = True
        if os.getpid() == self._process:
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

    def digest(self, path: str) -> str | None:
        """SHA-256 of a committed file, by its path below the home; None where there is none."""
        rows = self.rows("SELECT sha256 FROM files WHERE path = ?", path)
        return str(rows[0]["sha256"]) if rows else None

    def digests(self, folder: Path) -> dict[str, str]:
        """SHA-256 of the files of a committed folder by their names in it."""
        start = folder.relative_to(self.path).as_posix() + "/"
        query = "SELECT path, sha256 FROM files WHERE substr(path, 1, ?) = ?"
        rows = self.rows(query, len(start), start)
        return {row["path"][len(start) :]: row["sha256"] for row in rows}

    def proven(self, path: Path) -> Path:
        """A committed file, with the digest of its commit."""
        name = path.relative_to(self.path).as_posix()
        if not path.is_file() or digest_of(path) != self.digest(name):
            raise VerificationFailed(f"{path} is not as it was committed: restore it from a copy")
        return path

    def balances(self) -> dict[str, int]:
        return {r["account"]: r["balance"] for r in self.rows("SELECT * FROM balances")}

    def last_link(self) -> str:
        return self.heads()[1]

    def heads(self) -> tuple[int, str, int, str]:
        """(seq, link) of the last audit record, and of the last event (0 and GENESIS if none)."""
        self._require_known()
        with machine(self.path):
            return heads(self._db)

    def id_hash(self, text: str) -> str:
        """A keyed hash by which an id can be recognised in logs without being readable."""
        return signing.keyed((self.path / "key").read_bytes(), text)

    def folder(self, kind: str, seq: int) -> Path:
        return self.path / kind / f"{seq:06d}"

    # --- writing --------------------------------------------------------------------------------

    def _require_known(self) -> None:
        if self.closed:
            raise UsageError(f"{self.path} was closed here: open it again")
        if os.getpid() != self._process:
            raise UsageError(f"{self.path} was opened in another process: open it in this one")
        if self.stopped:
            raise EnvironmentFailed(self.stopped)

    def require_room(self, needed: int) -> None:
        """About needed bytes are free, before any of them is written."""
        self._needed = needed
        free = shutil.disk_usage(self.path).free
        if free < needed:
            raise EnvironmentFailed(no_room(self.path, free, needed))

    @contextlib.contextmanager
    def draft(self, kind: str) -> Iterator[Path]:
        """A folder under a temporary name; gone again unless `commit` took it."""
        self._require_known()
        path = self.path / kind / f".draft-{self._process}"
        with machine(self.path, self._needed):
            # The first recast, or answer, makes the folder of its kind.
            if not path.parent.exists():
                path.parent.mkdir(mode=0o700)
                sync_folder(self.path)
            # Never a folder that is there: another writer may be at work in it.
            while path.exists():
                path = path.with_name(path.name + "+")
            path.mkdir(mode=0o700)
            try:
                yield path
            finally:
                if os.getpid() == self._process:
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
        nothing more, and the next one to open it finds out. Raises HomeMoved, and nothing is done,
        where history is not the one that this was computed from."""
        self._require_known()
        self.stopped = (
            f"a commit in {self.path} was broken off, and whether it happened stands on the disk"
            " alone: open the home again, and run the same again"
        )
        try:
            with machine(self.path, self._needed):
                found = [] if draft is None else self._durable(draft, digests or {})
                with self._going_on():
                    files: list[tuple[str, str, int]] = []
                    if draft is not None and folder is not None:
                        # Its name is given inside, so that a draft of old history gets none.
                        draft.rename(folder)
                        sync_folder(folder.parent)
                        top = folder.relative_to(self.path).as_posix()
                        files = [(f"{top}/{name}", sha256, size) for name, sha256, size in found]
                    for statement, values in statements:
                        self._db.execute(statement, values)
                    for row in files:
                        self._db.execute("INSERT INTO files VALUES (?, ?, ?)", row)
                    _append_audit(
                        self._db, at, kind, {**detail, "files": {name: d for name, d, _ in files}}
                    )
                _write_checkpoint(self.path, self._db)
                _sign(self.path, self._db)
        except HomeMoved:
            self.stopped = ""
            raise
        except EnvironmentFailed as error:
            raise EnvironmentFailed(f"{error}. Then run the same again") from error
        self.stopped = ""

    @contextlib.contextmanager
    def _going_on(self) -> Iterator[None]:
        """A transaction that goes on from the history which the work began from. The lock keeps
        other writers out only where the file system, and whoever copies a process, obey it."""
        with _transaction(self._db):
            if heads(self._db) != self._began:
                raise HomeMoved(
                    f"{self.path} was written by another process since it was opened here, though"
                    " its lock was held: nothing of this is done; make sure that one process alone"
                    " works on it, then run the same again"
                )
            yield
            moved = heads(self._db)
        self._began = moved

    def note(self, kind: str, detail: dict[str, Any], at: str = "") -> None:
        """Record what was done to the home beside its history: it has a chain of its own, so that
        a crash and its repair change no link and no byte of an answer."""
        with self._going_on():
            _append_audit(self._db, at, kind, detail, "events")
        _write_checkpoint(self.path, self._db)

    def _durable(
        self, draft: Path, known: dict[str, tuple[str, int]]
    ) -> list[tuple[str, str, int]]:
        """Everything in draft on the disk: (name in it, sha256, bytes) by file."""
        files = []
        paths = sorted(p for p in draft.rglob("*") if p.is_file())
        for path in paths:
            name = path.relative_to(draft).as_posix()
            sha256, size = known.get(name) or (digest_of(path), path.stat().st_size)
            files.append((name, sha256, size))
        _sync_files(paths)
        for path in sorted(p for p in draft.rglob("*") if p.is_dir()):
            sync_folder(path)
        sync_folder(draft)
        return files

    def _require_checkpoint(self, judging: bool) -> None:
        """The catalog is that of the last acknowledged commit, or a later one. A crash between
        commit and checkpoint leaves the checkpoint behind, which the next writer mends."""
        said = read_checkpoint(self.path)
        if any(
            seq and [row["link"] for row in self.rows(query, seq)] != [link]
            for query, seq, link in (
                ("SELECT link FROM audit WHERE seq = ?", said.seq, said.link),
                ("SELECT link FROM events WHERE seq = ?", said.events, said.events_link),
            )
        ):
            raise VerificationFailed(
                f"{self.path / 'catalog.sqlite'} is not the catalog of commit {said.seq}, which was"
                " acknowledged (checkpoint): an older or another one was put in its place; restore"
                " the last one"
            )
        if heads(self._db) == (said.seq, said.link, said.events, said.events_link):
            if not judging and digest_of(self.path / CATALOG) != said.catalog:
                raise VerificationFailed(f"{self.path / CATALOG} was changed: restore it")
        elif self.writing:
            with machine(self.path):
                _write_checkpoint(self.path, self._db)

    def _recover(self) -> None:
        """Put aside what no commit names; stop where a commit's folder is gone, or where more is
        there than the one commit that a crash can cut off."""
        moves: dict[Path, Path] = {}
        later: list[Path] = []
        current = self.register_seq()
        for kind in KINDS:
            top, named = self.path / kind, self._committed(kind)
            present = {entry.name for entry in top.iterdir()} if top.exists() else set()
            if kind == "registers":
                # Versions before the current one are not read again.
                self.drop_old_registers()
                named = {f"{current:06d}"} if current else set()
                present = {entry.name for entry in (self.path / kind).iterdir()}
            if named - present:
                gone = min(named - present)
                raise VerificationFailed(f"{self.path / kind / gone} is gone: restore it")
            for name in sorted(present - named):
                (self.path / "quarantine").mkdir(mode=0o700, exist_ok=True)
                target = self.path / "quarantine" / f"{kind}-{name}"
                while target.exists():
                    target = target.with_name(target.name + "+")
                moves[top / name] = target
                if name.isdigit() and name > max(named, default=""):
                    later.append(top / name)
        if len(later) > 1:
            raise VerificationFailed(f"{self.path / CATALOG} is older than {later[-1]}: restore it")
        if moves:
            # What was never committed may be large: its sizes are recorded, not its digests.
            moved = {target.name: sizes(source) for source, target in moves.items()}
            self.note("quarantine", {"moved": moved})
        for source, target in moves.items():
            source.rename(target)
            self.quarantined.append(target.name)

    def _committed(self, kind: str) -> set[str]:
        """Names of a kind's folders that a commit made."""
        if kind in (RECASTS, ANSWERS):
            query = "SELECT DISTINCT substr(path, ?, 6) AS name FROM files WHERE path LIKE ?"
            return {row["name"] for row in self.rows(query, len(kind) + 2, f"{kind}/%")}
        return {f"{row['seq']:06d}" for row in self.rows(f"SELECT seq FROM {kind}")}

    def drop_old_registers(self) -> None:
        """Give the room of versions before the current one back. What cannot be removed now is
        tried again at the next open: it is in nobody's way."""
        current = self.register_seq()
        for entry in (self.path / "registers").iterdir():
            if entry.name.isdigit() and int(entry.name) < current:
                shutil.rmtree(entry, ignore_errors=True)


def _sync_files(paths: list[Path]) -> None:
    """Many files are synced side by side: what waits for the disk at the same time shares a commit
    of the file system's journal, so that 66 files take a quarter of the time."""
    if len(paths) < SYNC_TOGETHER_MIN:
        for path in paths:
            sync_file(path)
        return
    with ThreadPoolExecutor(SYNC_THREADS) as pool:
        list(pool.map(sync_file, paths))


def _write_checkpoint(home: Path, db: sqlite3.Connection, catalog: Path | None = None) -> None:
    """Note the last records beside the catalog, whole or not at all. The new name is not synced:
    after a power cut an older checkpoint may stand there, and the next writer mends it."""
    # The heads first: where another writer commits meanwhile, this one is old, and never false.
    said = heads(db)
    digest = digest_of(catalog or home / CATALOG)
    aside = home / "checkpoint.new"
    write_durably(aside, msgspec.json.encode(Checkpoint(*said, digest)))
    aside.rename(home / "checkpoint")


def write_durably(path: Path, content: bytes) -> None:
    """A file for its owner alone, whose bytes are on the disk when this returns."""
    write_new(path, content)
    sync_file(path)


def _sign(home: Path, db: sqlite3.Connection) -> None:
    """Append a signed checkpoint for every audit record that has none, if the home has a key. Who
    keeps a copy of the file can prove later what the history was."""
    if not (home / SIGNING_KEY).exists():
        return
    path = home / SIGNED
    done, size = 0, 0
    if path.exists():
        with path.open("rb") as file:
            start = max(0, os.fstat(file.fileno()).st_size - SIGNED_LINE_MAX)
            file.seek(start)
            tail = file.read()
        # A crash may have cut the last line off: it is written again.
        whole = tail[: tail.rfind(b"\n") + 1]
        size = start + len(whole)
        if whole:
            (said,) = signing.read_checkpoints(whole.splitlines(keepends=True)[-1], str(path))
            done = said.seq
            row = db.execute("SELECT link FROM audit WHERE seq = ?", (done,)).fetchone()
            if row is None or row["link"] != said.link:
                raise VerificationFailed(f"{path} tells of another history: restore the whole home")
    query = "SELECT seq, link FROM audit WHERE seq > ? ORDER BY seq"
    records = [(row["seq"], row["link"]) for row in db.execute(query, (done,))]
    if not records:
        return
    signed = signing.sign((home / SIGNING_KEY).read_bytes(), records)
    made = not path.exists()
    with new_file(path, "ab") as file:
        file.truncate(size)
        file.write(b"".join(said.line() for said in signed))
    sync_file(path)
    if made:
        sync_folder(home)


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _append_audit(
    db: sqlite3.Connection, at: str, kind: str, detail: dict[str, Any], chain: str = "audit"
) -> None:
    last = db.execute(f"SELECT seq, link FROM {chain} ORDER BY seq DESC LIMIT 1").fetchone()
    seq, previous = (last["seq"] + 1, last["link"]) if last else (1, GENESIS)
    text = msgspec.json.encode(detail, order="sorted").decode()
    db.execute(
        f"INSERT INTO {chain} VALUES (?, ?, ?, ?, ?, ?)",
        (seq, at, kind, text, previous, link_of(previous, seq, at, kind, text)),
    )


@contextlib.contextmanager
def _transaction(db: sqlite3.Connection) -> Iterator[None]:
    catalog = Path(db.execute("PRAGMA database_list").fetchone()["file"])
    named = catalog.with_name(f"{catalog.name}-journal").exists()
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
        # The journal must be found after a power cut. SQLite syncs its name too, but goes on
        # where that fails.
        if not named:
            sync_folder(catalog.parent)
        db.execute("COMMIT")
    except BaseException:
        with contextlib.suppress(sqlite3.Error):
            db.execute("ROLLBACK")
        raise


def _lock(path: Path, writing: bool) -> Any:
    try:
        name = path / "lock"
        handle = new_file(name, "ab") if writing else name.open("rb")
        fcntl.flock(handle, (fcntl.LOCK_EX if writing else fcntl.LOCK_SH) | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise HomeLocked(
            f"{path} is in use: another process, or another engine of this one, has it open; try"
            " again when it is closed"
        ) from error
    except OSError as error:
        raise environment(error, path) from error
    return handle


def _unlock(handle: Any) -> None:
    """Give the lock back, also where a forked process still has a copy of its handle."""
    with handle:
        fcntl.flock(handle, fcntl.LOCK_UN)


ROOM_SPARE = 1 << 22
"""Bytes for small files by receiver, and for the catalog and its journal."""
