"""The server of a catalog: one PostgreSQL schema a home, of which HOME/catalog.postgresql tells.

No question of the engine goes there. Whoever opens the home takes all rows in one snapshot into a
mirror, a SQLite database in memory, and asks that. Its writer changes both in one transaction of
the server, whose COMMIT is finality:

    BEGIN; the row of the format is locked; the heads of both chains are read
    every change and record, in the mirror and on the server
    COMMIT of the server, then of the mirror

One session alone holds the advisory lock of the schema, beside HOME/lock, which other machines may
not see. A COMMIT whose answer never came is told by the next snapshot, for the next writer gets the
lock when the session of the one before has ended. Needs the extra `[postgres]` (psycopg).
"""

from __future__ import annotations

import contextlib
import hashlib
import re
import secrets
import sqlite3
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from switch.errors import EnvironmentFailed, HomeLocked, UsageError, VerificationFailed, plain
from switch.files.disk import SERVED
from switch.home.catalog import LOOK_SECONDS, SCHEMA
from switch.home.chain import GENESIS, Heads
from switch.home.changes import Change
from switch.home.dialect import PARTS, Table, change, digest, on_server, strange, tables

SCHEMA_NAME = re.compile(r"switch_[0-9a-f]{12}")
SCHEMES = ("postgresql://", "postgres://")
LOCK_POLL_SECONDS = 0.05
GONE_SECONDS = 2
"""Time for a server to notice that the writer before was killed: on this machine HOME/lock says who
is alive, and at once."""
REMEDY = (
    "look whether the server runs and lets you in (a password comes from PGPASSWORD, ~/.pgpass or a"
    " service)"
)
_CONNECTION = {
    "connect_timeout": 10,
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 60_000,
    "application_name": "switch",
}
"""Options of a connection, where the address has no others: who is gone is noticed in a minute."""
_SESSION = {
    "synchronous_commit": "on",
    "lock_timeout": f"{LOOK_SECONDS}s",
    "statement_timeout": "0",
    "idle_in_transaction_session_timeout": "0",
    "default_transaction_read_only": "off",
    "row_security": "off",
    "tcp_keepalives_idle": "30",
    "tcp_keepalives_interval": "10",
    "tcp_keepalives_count": "3",
}
"""Settings of a session, whatever those of the server, the database or the user are."""
_DURABLE = {"fsync": "on", "full_page_writes": "on", "server_encoding": "UTF8"}
"""Settings of a server without which a commit may be lost, or a name be another."""
_HEADS = """
SELECT coalesce((SELECT max(seq) FROM audit), 0),
    (SELECT link FROM audit ORDER BY seq DESC LIMIT 1),
    coalesce((SELECT max(seq) FROM events), 0),
    (SELECT link FROM events ORDER BY seq DESC LIMIT 1)
"""


class Kept(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """The content of HOME/catalog.postgresql."""

    address: str
    """Address of the database, without a password."""
    schema: str
    """Schema of this home alone."""

    def bytes(self) -> bytes:
        return msgspec.json.encode(self) + b"\n"


def kept_at(address: str) -> Kept:
    """A new schema at an address. Raises UsageError for an address that is none, or that has a
    password; EnvironmentFailed without psycopg."""
    if not address.startswith(SCHEMES):
        raise UsageError(f"a catalog is at postgresql://HOST/DATABASE, and not at {address!r}")
    psycopg = _library()
    try:
        parts = psycopg.conninfo.conninfo_to_dict(address)
    except psycopg.Error as error:
        # It may say the password that it could not make out.
        raise UsageError("the address of the catalog cannot be read: see postgresql://") from error
    if any("password" in name for name in parts):
        raise UsageError(
            "the address of the catalog has a password, which would stand in HOME for all to read:"
            " leave it out, and give it by PGPASSWORD, ~/.pgpass or a service"
        )
    return Kept(address, f"switch_{secrets.token_hex(6)}")


def read_kept(path: Path) -> Kept:
    """The content of HOME/catalog.postgresql. Raises VerificationFailed where it is not as it was
    written."""
    try:
        content = path.read_bytes()
        kept = msgspec.json.decode(content, type=Kept)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
        raise VerificationFailed(f"{path} cannot be read: restore it ({error})") from error
    if kept.bytes() != content or not SCHEMA_NAME.fullmatch(kept.schema):
        raise VerificationFailed(f"{path} is not as it was written: restore it")
    return kept


def _library() -> Any:
    try:
        import psycopg
    except ImportError as error:
        raise EnvironmentFailed(
            "a catalog on PostgreSQL needs the extra [postgres]: pip install"
            " 'payment-switch[postgres]'"
        ) from error
    return psycopg


class Server:
    """A session with the server of a home's catalog. home: its folder. alone: as its one writer.
    wait: seconds for which another writer is waited for. kept: of a home that is being made; else
    its file tells. Raises HomeLocked, EnvironmentFailed."""

    def __init__(
        self, home: Path, *, alone: bool, wait: float = 0, kept: Kept | None = None
    ) -> None:
        self.kept = kept or read_kept(home / SERVED)
        self.called = f"the catalog of {home} ({self.kept.schema} on PostgreSQL)"
        self.is_held = False
        """A transaction is open."""
        self._is_made = kept is None
        self._is_alone = alone
        self._seen: Heads | None = None
        self._session = self._connected()
        try:
            if alone:
                self._require_durable()
                self._be_alone(home, wait)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """End the session, and give back its lock: at once, for a server notices later that a
        session is gone."""
        if self._is_alone:
            with contextlib.suppress(_library().Error):
                self._session.execute("SELECT pg_advisory_unlock_all()")
        self._session.close()

    # --- a session ------------------------------------------------------------------------------

    @contextlib.contextmanager
    def _speaking(self) -> Iterator[None]:
        """Turn what the server, or the way to it, fails at into an error with a remedy."""
        psycopg = _library()
        try:
            yield
        except (psycopg.errors.UndefinedTable, psycopg.errors.UndefinedColumn) as error:
            raise VerificationFailed(f"{self.called} was changed: restore it ({_of(error)})") from (
                error
            )
        except psycopg.Error as error:
            raise EnvironmentFailed(
                f"{self.called} cannot be used: {_of(error)}; {REMEDY}"
            ) from error

    def _connected(self) -> Any:
        """A new session, with the settings that it has to have."""
        psycopg = _library()
        with self._speaking():
            given = psycopg.conninfo.conninfo_to_dict(self.kept.address)
            options: dict[str, Any] = {**_CONNECTION, **given, "client_encoding": "utf8"}
            session = psycopg.connect(**options, autocommit=True)
            try:
                settings = {**_SESSION, "search_path": self.kept.schema}
                calls = ", ".join("set_config(%s, %s, false)" for _ in settings)
                words = [word for setting in settings.items() for word in setting]
                session.execute(f"SELECT {calls}".encode(), words)
            except BaseException:
                session.close()
                raise
        return session

    def _run(self, query: str, values: Sequence[object] | None = None) -> list[tuple[Any, ...]]:
        """Rows of a query; of one that has none nothing."""
        with self._speaking():
            cursor = self._session.execute(query.encode(), values)
            return [] if cursor.description is None else cursor.fetchall()

    def _asked(self, query: str) -> list[tuple[Any, ...]]:
        """The same for those who read, by a new session where the old one was cut off: a server
        that was started again is asked again."""
        try:
            return self._run(query)
        except EnvironmentFailed:
            if self._is_alone or not self._session.closed:
                raise
        self._session = self._connected()
        return self._run(query)

    # --- what is asked of a server --------------------------------------------------------------

    def settings(self) -> dict[str, str]:
        """Settings that durability rests on, and the version, as the server has them."""
        names = ("server_version", *_DURABLE)
        return {name: self._asked(f"SHOW {name}")[0][0] for name in names}

    def undurable(self) -> str:
        """The settings by which the server may lose commits, in words; '' where there are none."""
        found = self.settings()
        wrong = [f"{name} is {found[name]}" for name, due in _DURABLE.items() if found[name] != due]
        return ", ".join(wrong)

    def _require_durable(self) -> None:
        if wrong := self.undurable():
            due = ", ".join(f"{name} = {value}" for name, value in _DURABLE.items())
            raise EnvironmentFailed(
                f"the server of {self.called} may lose what was committed: {wrong}; it needs {due}"
            )

    def _be_alone(self, home: Path, wait: float) -> None:
        """Take the lock of the schema, which ends with this session."""
        number = int.from_bytes(hashlib.sha256(self.kept.schema.encode()).digest()[:8], "big")
        query = f"SELECT pg_try_advisory_lock({number - (1 << 63)})"
        until = time.monotonic() + max(wait, GONE_SECONDS)
        while not self._run(query)[0][0]:
            if time.monotonic() >= until:
                waited = f" for {wait:g} s" if wait else ""
                raise HomeLocked(
                    f"{home} is in use{waited}: another machine, or a session that has not ended"
                    " yet, writes to its catalog; try again when it is closed, or wait for it"
                    " (--wait SECONDS)"
                )
            time.sleep(LOCK_POLL_SECONDS)

    # --- reading --------------------------------------------------------------------------------

    def moved(self) -> bool:
        """Say whether anything was committed since the last snapshot."""
        return _heads(self._asked(_HEADS)) != self._seen

    def mirror(self) -> sqlite3.Connection:
        """All rows of the catalog as one commit left them, in a database of SQLite in memory.
        Raises VerificationFailed where its tables are not as a home makes them."""
        if not self._is_made:
            return _empty()
        self._asked("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        try:
            with self._speaking():
                parts = self._session.execute(PARTS, {"schema": self.kept.schema}).fetchall()
            if fault := strange(set(parts)):
                raise VerificationFailed(f"{self.called} was changed: {fault}; restore it")
            mirror = _empty()
            for table in tables():
                self._fill(mirror, table)
            self._seen = _heads(self._run(_HEADS))
        finally:
            with contextlib.suppress(_library().Error):
                self._session.execute("ROLLBACK")
        return mirror

    def _fill(self, mirror: sqlite3.Connection, table: Table) -> None:
        """Put the rows of a table into the mirror."""
        marks = ", ".join("?" * len(table.columns))
        with self._speaking(), self._session.cursor() as cursor:
            cursor.execute(f"SELECT {', '.join(table.columns)} FROM {table.name}".encode())
            mirror.executemany(
                f"INSERT INTO {table.name} ({table.mirrored}) VALUES ({marks})", cursor
            )

    # --- writing --------------------------------------------------------------------------------

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """All changes of the block on the server, or none; they are final when it ends."""
        psycopg = _library()
        try:
            self._run("BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE")
            self.is_held = True
            if self._is_made:
                self._run("SELECT value FROM meta WHERE name = 'format' FOR UPDATE")
            yield
            self._commit()
        except BaseException:
            with contextlib.suppress(psycopg.Error):
                self._session.execute("ROLLBACK")
            raise
        finally:
            self.is_held = False

    def _commit(self) -> None:
        """End a transaction well. A server that gives one up says so by another word alone."""
        with self._speaking():
            said = self._session.execute("COMMIT").statusmessage
        if said != "COMMIT":
            raise EnvironmentFailed(f"{self.called} gave up a commit ({said})")

    def heads(self) -> Heads:
        """Heads of both chains on the server; inside a transaction."""
        return _heads(self._run(_HEADS))

    def make(self) -> None:
        """Make the schema and its tables; inside a transaction."""
        made = (table.making() for table in tables())
        self._run("; ".join((f"CREATE SCHEMA {self.kept.schema}", *made)))
        self._is_made = True

    def apply(self, kind: type[Change], rows: Sequence[Change]) -> None:
        """Make changes of one kind; inside a transaction."""
        with self._speaking(), self._session.cursor() as cursor:
            cursor.executemany(change(kind).encode(), rows)

    def write(self, statement: str, values: Sequence[object]) -> None:
        """Run a statement of the mirror's dialect; inside a transaction."""
        self._run(on_server(statement), values)

    def digest(self, mirror: sqlite3.Connection) -> str:
        """SHA-256 of all rows, wherever they are kept (`dialect.digest`)."""
        return digest(mirror)


def _empty() -> sqlite3.Connection:
    """A mirror without rows."""
    mirror = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
    mirror.executescript(SCHEMA)
    return mirror


def _heads(rows: list[tuple[Any, ...]]) -> Heads:
    ((seq, link, events, events_link),) = rows
    return Heads(seq, link or GENESIS, events, events_link or GENESIS)


def _of(error: Exception) -> str:
    """Words of psycopg on one line."""
    return plain("; ".join(str(error).split("\n")).strip("; ")) or type(error).__name__
