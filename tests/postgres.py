"""A PostgreSQL server for tests, and a way to it that can be cut.

The server is the one that is installed (in PATH, or where Debian puts it); it listens on a socket
in a temporary folder, runs as another user where the tests run as root, and needs no password.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

SOCKET = ".s.PGSQL.5432"
USER = "switch"
TERMINATE = b"X"
"""First byte of a message by which a session says that it ends; it has no answer."""


def programs() -> Path | None:
    """The folder of initdb and postgres; None where they are not installed."""
    found = shutil.which("initdb")
    places = [Path(found).resolve().parent] if found else []
    places += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return next((place for place in places if (place / "postgres").exists()), None)


def skip_without() -> Path:
    """The programs; the test skips by name where they, or psycopg, are missing."""
    pytest.importorskip("psycopg", reason="psycopg is not installed: no catalog on PostgreSQL")
    found = programs()
    if found is None:
        pytest.skip("PostgreSQL is not installed: no catalog on it")
    return found


class Postgres:
    """A server with a database of its own; stopped and removed by `close`."""

    def __init__(self, bin_folder: Path) -> None:
        self._bin = bin_folder
        # Its user has to reach it, and a socket's name is short.
        self.folder = Path(tempfile.mkdtemp(prefix="pg-"))
        self._user: dict[str, Any] = {}
        if os.geteuid() == 0:
            names = {entry.pw_name: entry for entry in pwd.getpwall()}
            user = names.get("postgres") or names["nobody"]
            os.chown(self.folder, user.pw_uid, user.pw_gid)
            self._user = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
        data = ("-D", str(self.folder / "data"))
        made = self._call("initdb", *data, *("-U", USER, "-A", "trust", "-N", "-E", "UTF8"),
                          "--locale=C")  # fmt: skip
        if made.returncode:
            shutil.rmtree(self.folder, ignore_errors=True)
            pytest.skip(f"PostgreSQL cannot be set up here: {made.stdout[-300:]}")
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    def _call(self, name: str, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(self._bin / name), *words], cwd="/", text=True, check=False, timeout=60,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            **self._user,
        )  # fmt: skip

    @property
    def address(self) -> str:
        return self.through(self.folder)

    def through(self, folder: Path) -> str:
        """The address of the database by the socket of another folder."""
        return f"postgresql://{USER}@/postgres?host={folder}"

    def start(self) -> None:
        settings = {
            "listen_addresses": "",
            "unix_socket_directories": self.folder,
            "shared_buffers": "16MB",
            "max_connections": 40,
        }
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [str(self._bin / "postgres"), "-D", str(self.folder / "data"),
                 *(word for name, value in settings.items() for word in ("-c", f"{name}={value}"))],
                cwd="/", stdin=subprocess.DEVNULL, stdout=log, stderr=log, **self._user,
            )  # fmt: skip
        self._until(lambda: bool(self.ask("SELECT 1")))

    def _until(self, is_so: Callable[[], bool]) -> None:
        until = time.monotonic() + 30
        while time.monotonic() < until:
            with contextlib.suppress(Exception):
                if is_so():
                    return
            time.sleep(0.02)
        raise TimeoutError((self.folder / "log").read_text()[-2000:])

    def crash(self) -> None:
        """All processes of the server end at once, as in a crash."""
        assert self._process is not None
        self._process.send_signal(signal.SIGQUIT)
        self._process.wait(30)

    def crash_and_start(self) -> None:
        self.crash()
        self.start()

    def close(self) -> None:
        self.crash()
        shutil.rmtree(self.folder, ignore_errors=True)

    def ask(self, query: str, schema: str = "public") -> list[tuple[Any, ...]]:
        """Rows of a query, or of a statement that changes something, by somebody else."""
        import psycopg

        with psycopg.connect(self.address, autocommit=True) as session:
            session.execute(f"SET search_path = {schema}".encode())
            cursor = session.execute(query.encode())
            return cursor.fetchall() if cursor.description else []

    def set(self, name: str, value: str) -> None:
        """Set the server to something, and see it set."""
        self.ask(f"ALTER SYSTEM SET {name} = {value}")
        self.ask("SELECT pg_reload_conf()")
        self._until(lambda: self.ask(f"SHOW {name}") == [(value,)])

    def copied(self, schema: str) -> str:
        """A copy of a home's schema, as a dump of it would be; its name."""
        from switch.home.dialect import tables

        name = f"switch_{secrets.token_hex(6)}"
        self.ask(f"CREATE SCHEMA {name}")
        for table in tables():
            self.ask(table.making(), name)
            self.ask(f"INSERT INTO {table.name} SELECT * FROM {schema}.{table.name}", name)
        return name

    def end_sessions(self) -> None:
        """Terminate the backend of every session of a switch, and see them gone."""
        ours = "FROM pg_stat_activity WHERE application_name = 'switch'"
        self.ask(f"SELECT pg_terminate_backend(pid) {ours}")
        self._until(lambda: not self.ask(f"SELECT pid {ours}"))


class Way:
    """A socket between a home and its server, which may do something at the n-th message to it.

    deed: called with the session's two ends at that message, before it is handed on; what it
    returns says whether it is. Messages are counted from `count_from_now`."""

    def __init__(self, server: Postgres) -> None:
        self._server = server
        self.folder = Path(tempfile.mkdtemp(prefix="way-"))
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(self.folder / SOCKET))
        self._listener.listen()
        self.messages = 0
        self.over = threading.Event()
        """What was to be done is done."""
        self._at = -1
        self._deed: Callable[[Ends, bytes], bool] = _nothing
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def address(self) -> str:
        return self._server.through(self.folder)

    def close(self) -> None:
        self._listener.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def do_at(self, number: int, deed: Callable[[Ends, bytes], bool]) -> None:
        """Do something at a message, counted from now: 0 is the next. -1: never."""
        self.messages = 0
        self.over = threading.Event()
        self._at, self._deed = number, deed

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.socket(socket.AF_UNIX)
                try:
                    server.connect(str(self._server.folder / SOCKET))
                except OSError:
                    client.close()
                    continue
                ends = Ends(client, server)
                for source, target, asks in ((client, server, True), (server, client, False)):
                    threading.Thread(
                        target=self._hand_on, args=(ends, source, target, asks), daemon=True
                    ).start()

    def _hand_on(
        self, ends: Ends, source: socket.socket, target: socket.socket, asks: bool
    ) -> None:
        with contextlib.suppress(OSError):
            while content := source.recv(1 << 20):
                if asks:
                    number, self.messages = self.messages, self.messages + 1
                    if number == self._at and not self._do(ends, content):
                        break
                elif ends.is_deaf:
                    ends.answered.set()
                    continue
                target.sendall(content)
        ends.cut()

    def _do(self, ends: Ends, content: bytes) -> bool:
        try:
            return self._deed(ends, content)
        finally:
            self.over.set()


class Ends:
    """Both ends of one session."""

    def __init__(self, client: socket.socket, server: socket.socket) -> None:
        self.client, self.server = client, server
        self.is_deaf = False
        """What the server answers is not handed on."""
        self.answered = threading.Event()

    def cut(self) -> None:
        for end in (self.client, self.server):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()


def _nothing(ends: Ends, content: bytes) -> bool:
    return True


def cut_before(ends: Ends, content: bytes) -> bool:
    """The message never comes to the server."""
    return False


def cut_behind(ends: Ends, content: bytes) -> bool:
    """The server does what the message says, and its answer never comes back."""
    ends.is_deaf = True
    ends.server.sendall(content)
    ends.answered.wait(1 if content[:1] != TERMINATE else 0)
    return False
