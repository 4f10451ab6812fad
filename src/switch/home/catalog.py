"""The catalog of a home: named reads that return typed rows, and one transaction of typed changes.

Catalog.sqlite is the only mutable file of a home. All SQL stands here, in `changes` and in `chain`;
no one else knows which database it is. A catalog that a server keeps (`served`) is asked here too,
in a mirror that has all of its rows.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

from switch.errors import VerificationFailed
from switch.files import segment
from switch.files.disk import machine
from switch.files.segment import digest_of
from switch.home.chain import Chain, Heads
from switch.home.changes import STATEMENTS, Change
from switch.home.rows import (
    BatchRow,
    CycleRow,
    FileRow,
    PaidRow,
    PositionRow,
    PostingRow,
    RegisterRow,
)

SCHEMA = """
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
    request TEXT NOT NULL, answer TEXT NOT NULL) STRICT;
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
CREATE TABLE events (
    seq INTEGER PRIMARY KEY, at TEXT NOT NULL, kind TEXT NOT NULL, detail TEXT NOT NULL,
    previous TEXT NOT NULL, link TEXT NOT NULL) STRICT;
"""
PENDING = ("OPEN", "CLOSED")
"""States of a cycle that has not ended; SETTLED and ABORTED are final."""
LOOK_SECONDS = 60
"""Longest time for which a commit waits for those who look at the catalog, and they for it: either
takes milliseconds, where nobody is stopped in the middle."""
CatalogError = sqlite3.Error
"""Raised where a catalog's content is damaged; failures of the machine are EnvironmentFailed."""


_BATCH = ", ".join(BatchRow._fields)
_POSTING = ", ".join(PostingRow._fields)
_PENDING = f"(SELECT cycle FROM cycles WHERE state IN {PENDING})"


class Keeper(Protocol):
    """A server that keeps a catalog, as `Catalog` speaks to it."""

    called: str
    """The catalog in words, for messages."""
    is_held: bool
    """A transaction is open."""

    def mirror(self) -> sqlite3.Connection: ...
    def digest(self, mirror: sqlite3.Connection) -> str: ...
    def transaction(self) -> contextlib.AbstractContextManager[None]: ...
    def heads(self) -> Heads: ...
    def make(self) -> None: ...
    def apply(self, kind: type[Change], rows: Sequence[Change]) -> None: ...
    def write(self, statement: str, values: Sequence[object]) -> None: ...


class Catalog:
    """An open catalog. content: the bytes that its file had at one time, of which alone it tells
    then; without them it is the file itself, for the one who writes. keeper: the server that keeps
    it, where its file says so. needed: about how many bytes the work at hand takes, told on a full
    disk."""

    def __init__(
        self, path: Path, content: bytes | None = None, keeper: Keeper | None = None
    ) -> None:
        self.path = path
        self.needed = 0
        self._content = content
        self._keeper = keeper
        if keeper is not None:
            self._db = keeper.mirror()
        elif content is None:
            self._db = _connect(path)
        else:
            self._db = sqlite3.connect(":memory:", check_same_thread=False)
            self._db.deserialize(content)
        self.audit = Chain("audit", self._query, self._write)
        self.events = Chain("events", self._query, self._write)

    def close(self) -> None:
        self._db.close()

    @property
    def called(self) -> str:
        """The catalog in words, for messages."""
        return str(self.path) if self._keeper is None else self._keeper.called

    @property
    def is_served(self) -> bool:
        """True where a server keeps it."""
        return self._keeper is not None

    def digest(self) -> str:
        """SHA-256 of the catalog's bytes, or of the rows that a server keeps."""
        if self._keeper is not None:
            return self._keeper.digest(self._db)
        if self._content is None:
            return digest_of(self.path)
        return hashlib.sha256(self._content).hexdigest()

    def write_to(self, path: Path) -> None:
        """Write the catalog's bytes into a new file, one of SQLite whoever keeps it."""
        segment.write_new(path, self._db.serialize())

    def _query(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        with machine(self.path.parent, self.needed):
            return list(self._db.execute(query, values))

    def _write(self, statement: str, *values: Any) -> None:
        self._query(statement, *values)
        if self._keeper is not None:
            self._keeper.write(statement, values)

    # --- what is kept once ----------------------------------------------------------------------

    def meta(self, name: str) -> str:
        """A setting, such as `directory`; '' where there is none of the name."""
        rows = self._query("SELECT value FROM meta WHERE name = ?", name)
        return str(rows[0][0]) if rows else ""

    def metas(self) -> dict[str, str]:
        return dict(self._query("SELECT name, value FROM meta"))

    def tables(self) -> dict[str, str]:
        """Statements that the catalog is made of, by name: a trigger would change what later
        commits write."""
        return _tables(self._db)

    def heads(self) -> Heads:
        """Heads of both chains: in a transaction those of whoever keeps the catalog."""
        if self._keeper is not None and self._keeper.is_held:
            return self._keeper.heads()
        return Heads(*self.audit.head(), *self.events.head())

    def balances(self) -> dict[str, int]:
        return dict(self._query("SELECT account, balance FROM balances"))

    def register_seq(self) -> int:
        """The current version of the register; 0 where there is none."""
        return int(self._query("SELECT coalesce(max(seq), 0) FROM registers")[0][0])

    def register_chain(self) -> list[int]:
        """Versions of which the current register is made: a whole one and the deltas behind it."""
        query = "SELECT json_extract(manifest, '$.register.before') FROM registers WHERE seq = ?"
        chain: list[int] = []
        seq = self.register_seq()
        while seq and seq not in chain:
            chain.insert(0, seq)
            found = self._query(query, seq)
            seq = int(found[0][0] or 0) if found else 0
        return chain

    def registers(self) -> list[RegisterRow]:
        rows = self._query("SELECT seq, manifest FROM registers ORDER BY seq")
        return [RegisterRow._make(row) for row in rows]

    # --- batches --------------------------------------------------------------------------------

    def batches(self, *, cycle: str | None = None, after: int = 0) -> list[BatchRow]:
        """Batches behind a number, oldest first. cycle: those of it alone."""
        query = f"SELECT {_BATCH} FROM batches WHERE seq > ?"
        if cycle is None:
            return [BatchRow._make(row) for row in self._query(f"{query} ORDER BY seq", after)]
        rows = self._query(f"{query} AND cycle = ? ORDER BY seq", after, cycle)
        return [BatchRow._make(row) for row in rows]

    def batch(self, seq: int) -> BatchRow:
        """The batch of a number, which is there."""
        (row,) = self._query(f"SELECT {_BATCH} FROM batches WHERE seq = ?", seq)
        return BatchRow._make(row)

    def batches_called(self, batch_id: str) -> list[BatchRow]:
        """Batches of an id, oldest first: of several sources, where they use the same."""
        query = f"SELECT {_BATCH} FROM batches WHERE batch_id = ? ORDER BY seq"
        return [BatchRow._make(row) for row in self._query(query, batch_id)]

    def batch_of(self, source: str, batch_id: str) -> BatchRow | None:
        """The batch of a source's id; None where it was not run."""
        query = f"SELECT {_BATCH} FROM batches WHERE source = ? AND batch_id = ?"
        rows = self._query(query, source, batch_id)
        return BatchRow._make(rows[0]) if rows else None

    def manifest(self, seq: int) -> str:
        """The manifest of a batch without its postings: JSON text."""
        return str(self._query("SELECT manifest FROM batches WHERE seq = ?", seq)[0][0])

    def summary(self, seq: int) -> str:
        """The summary of a batch as people and machines are shown it: JSON text."""
        return str(self._query("SELECT summary FROM batches WHERE seq = ?", seq)[0][0])

    def fundings(self) -> dict[int, str]:
        """Money that each batch reserved, cleared and released of budgets: JSON text."""
        query = "SELECT seq, json_extract(manifest, '$.funding') FROM batches ORDER BY seq"
        return dict(self._query(query))

    def next_batch(self) -> int:
        return int(self._query("SELECT coalesce(max(seq), 0) + 1 FROM batches")[0][0])

    def out_name(self, batch_id: str, seq: int) -> str:
        """Folder of a batch's answer. Two sources may use one batch id; the later one's folder
        says which it is (no batch id has an @)."""
        first = self._query("SELECT min(seq) FROM batches WHERE batch_id = ?", batch_id)[0][0]
        return batch_id if first == seq else f"{batch_id}@{seq:06d}"

    # --- cycles and positions -------------------------------------------------------------------

    def cycles(self, *states: str) -> list[CycleRow]:
        """Cycles of the calendar in some states (default: all), in the order of their opening."""
        where = f" WHERE state IN ({', '.join('?' * len(states))})" if states else ""
        rows = self._query(f"SELECT * FROM cycles{where} ORDER BY rowid", *states)
        return [CycleRow._make(row) for row in rows]

    def cycle(self, name: str) -> CycleRow | None:
        """A cycle of the calendar; None where there is none of the name."""
        rows = self._query("SELECT * FROM cycles WHERE cycle = ?", name)
        return CycleRow._make(rows[0]) if rows else None

    def positions(self, cycle: str) -> list[PositionRow]:
        """Positions of a cycle, in the order of their participants."""
        query = "SELECT * FROM positions WHERE cycle = ? ORDER BY participant"
        return [PositionRow._make(row) for row in self._query(query, cycle)]

    def agents(self, cycle: str) -> dict[str, str]:
        """Settlement participant of each participant of a cycle."""
        return {row.participant: row.settled_by for row in self.positions(cycle)}

    def positions_pending(self) -> list[PositionRow]:
        """Positions of all cycles of the calendar that have not ended."""
        query = f"SELECT * FROM positions WHERE cycle IN {_PENDING} ORDER BY cycle, participant"
        return [PositionRow._make(row) for row in self._query(query)]

    # --- postings -------------------------------------------------------------------------------

    def postings(self, batch: int) -> list[PostingRow]:
        """Postings of a batch in their order; of 0 those that are of no batch."""
        return self._postings("WHERE batch = ?", batch)

    def postings_of_cycle(self, cycle: str) -> list[PostingRow]:
        """All postings of a cycle, in their order."""
        return self._postings("WHERE cycle = ?", cycle)

    def postings_on(self, account: str) -> list[PostingRow]:
        """Postings that debit or credit an account, in their order."""
        return self._postings("WHERE ? IN (debit, credit)", account)

    def reserves_pending(self) -> list[PostingRow]:
        """Postings of cycles that have not ended by which money was set aside (P2), or released
        again (P7), in their order."""
        where = f"WHERE cycle IN {_PENDING}"
        return self._postings(
            f"{where} AND (step = 'P2' OR step = 'P7' AND debit LIKE 'S.RESERVE[%')"
        )

    def _postings(self, where: str, *values: Any) -> list[PostingRow]:
        rows = self._query(f"SELECT {_POSTING} FROM postings {where} ORDER BY seq", *values)
        return [PostingRow._make(row) for row in rows]

    def accounts_of(self, step: str) -> set[str]:
        """Accounts that postings of a step debit or credit."""
        rows = self._query("SELECT DISTINCT debit, credit FROM postings WHERE step = ?", step)
        return {account for pair in rows for account in pair}

    def pair_sums(self, cycle: str, step: str | None = None) -> dict[tuple[str, str], int]:
        """Amounts of a cycle by (debit, credit). step: of its postings alone."""
        query = "SELECT debit, credit, sum(amount) FROM postings WHERE cycle = ?"
        end = "GROUP BY debit, credit"
        if step is None:
            rows = self._query(f"{query} {end}", cycle)
        else:
            rows = self._query(f"{query} AND step = ? {end}", cycle, step)
        return {(debit, credit): amount for debit, credit, amount in rows}

    def cleared_by_cycle(self) -> dict[str, int]:
        """Amounts that left clearing accounts in settlement (P4), by cycle."""
        query = "SELECT cycle, sum(amount) FROM postings WHERE step = 'P4' AND debit"
        return dict(self._query(f"{query} LIKE 'S.CLEARING[%' GROUP BY cycle"))

    def is_answered(self, cycle: str) -> bool:
        """Lines were refused out of a cycle, or come back through it, so that what was cleared in
        it is not all that stands in it."""
        query = "SELECT 1 FROM postings WHERE cycle = ? AND batch = 0 AND step IN ('P7', 'P8')"
        return bool(self._query(f"{query} LIMIT 1", cycle))

    # --- files ----------------------------------------------------------------------------------

    def file(self, path: str) -> FileRow | None:
        """A committed file; None where no commit named the path."""
        rows = self._query("SELECT path, sha256, bytes FROM files WHERE path = ?", path)
        return FileRow._make(rows[0]) if rows else None

    def files(self, start: str = "") -> list[FileRow]:
        """Committed files whose path begins so, in the order of their paths."""
        query = "SELECT path, sha256, bytes FROM files WHERE substr(path, 1, ?) = ? ORDER BY path"
        return [FileRow._make(row) for row in self._query(query, len(start), start)]

    def folders(self, kind: str) -> set[str]:
        """Names of the folders of a kind that commits made."""
        if kind in ("batches", "registers"):
            return {f"{seq:06d}" for (seq,) in self._query(f"SELECT seq FROM {kind}")}
        query = "SELECT DISTINCT substr(path, ?, 6) FROM files WHERE path LIKE ?"
        return {name for (name,) in self._query(query, len(kind) + 2, f"{kind}/%")}

    def paid(self, origin: str | None = None) -> list[PaidRow]:
        """Files of paid bits (default: of both origins)."""
        query = "SELECT origin, benefit, period, path, coalesce(sha256, '') FROM paid"
        rows = self._query(f"{query} LEFT JOIN files USING (path) ORDER BY origin, benefit, period")
        return [PaidRow._make(row) for row in rows if origin in (None, row[0])]

    def bytes_again(self, path: str) -> int:
        """Bytes of a file, and of all paid bits of who was cleared."""
        query = "SELECT coalesce(sum(bytes), 0) FROM files WHERE path = ?"
        cleared = "SELECT path FROM paid WHERE origin = 'cleared'"
        return int(self._query(f"{query} OR path IN ({cleared})", path)[0][0])

    # --- changes --------------------------------------------------------------------------------

    def apply(self, changes: Iterable[Change]) -> None:
        """Make changes in their order; inside a transaction."""
        if self._keeper is None:
            for change in changes:
                self._db.execute(STATEMENTS[type(change)], change)
            return
        for kind, same in itertools.groupby(changes, type):
            rows = list(same)
            self._db.executemany(STATEMENTS[kind], rows)
            self._keeper.apply(kind, rows)

    def make(self) -> None:
        """Make the tables of a new catalog; inside a transaction."""
        if self._keeper is not None:  # Its mirror has them.
            self._keeper.make()
            return
        for statement in _statements():
            self._db.execute(statement)

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """All changes of the block, or none; they are final when it ends."""
        named = self.path.with_name(f"{self.path.name}-journal").exists()
        self._db.execute("BEGIN IMMEDIATE")
        try:
            with contextlib.nullcontext() if self._keeper is None else self._keeper.transaction():
                yield
            # The journal must be found after a power cut. SQLite syncs its name too, but goes on
            # where that fails.
            if self._keeper is None and not named:
                segment.sync_folder(self.path.parent)
            self._db.execute("COMMIT")
        except BaseException:
            with contextlib.suppress(sqlite3.Error):
                self._db.execute("ROLLBACK")
            raise


class CatalogFile:
    """The catalog's file for those who read beside its writer: looked at for a moment at a time,
    which no commit can be in the middle of."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._db = _connect(path)
        self._seen = -1
        self._file = self._place()

    def close(self) -> None:
        self._db.close()

    def moved(self) -> bool:
        """Say whether anything was committed since the last `read`, or the home was restored: the
        file is another one then, and that of before would be read for ever."""
        place = self._place()
        if place != self._file:
            self._db.close()
            self._db, self._file, self._seen = _connect(self._path), place, -1
        return self._version() != self._seen

    def _place(self) -> tuple[int, int]:
        """Device and number of the file."""
        with machine(self._path.parent):
            found = self._path.stat()
        return found.st_dev, found.st_ino

    def read(self) -> bytes:
        """All bytes of the catalog as the last commit left them.

        They come through SQLite and never from the file itself: whoever closes a file of a process
        gives back the locks that a writer in another thread of it holds on the same file.
        """
        with machine(self._path.parent):
            self._db.execute("BEGIN")
            try:
                self._seen = self._version()
                content = self._db.serialize()
                behind = self._path.stat().st_size - len(content)
            finally:
                self._db.execute("ROLLBACK")
        if behind:
            raise VerificationFailed(f"{self._path} was changed: restore it")
        return content

    def _version(self) -> int:
        with machine(self._path.parent):
            return int(self._db.execute("PRAGMA data_version").fetchone()[0])


def tables_as_made() -> dict[str, str]:
    """Statements that a catalog is made of, by name, where nobody changed them."""
    with contextlib.closing(sqlite3.connect(":memory:")) as db:
        for statement in _statements():
            db.execute(statement)
        return _tables(db)


def _statements() -> list[str]:
    return [statement for statement in SCHEMA.split(";") if statement.strip()]


def _tables(db: sqlite3.Connection) -> dict[str, str]:
    query = "SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL"
    return {name: " ".join(sql.split()) for name, sql in db.execute(query)}


def _connect(path: Path) -> sqlite3.Connection:
    """One connection, rollback journal, synchronous=EXTRA: SQLite's write-ahead log is not used
    (its reset can lose a commit before 3.51.3). An engine makes its calls one at a time, from any
    thread; who reads and who commits wait for each other, which takes a moment."""
    db = sqlite3.connect(path, LOOK_SECONDS, isolation_level=None, check_same_thread=False)
    # The journal keeps its name, which is then synced once in the life of a home.
    db.execute("PRAGMA journal_mode = TRUNCATE")
    db.execute("PRAGMA synchronous = EXTRA")
    db.execute("PRAGMA foreign_keys = ON")
    # Nothing of a transaction reaches the catalog before its COMMIT.
    db.execute("PRAGMA cache_spill = OFF")
    return db
