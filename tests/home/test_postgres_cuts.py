"""A server that dies, or cannot be reached any more, at every message of a commit: nothing is lost,
nothing is there in part, and nothing is paid twice.

A twin of files alone does the same, undisturbed: both have the same links, rows and files behind
each step. CLUSTER=1 (`make cluster-test`): every message; else every eleventh.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from postgres import Ends, Postgres, Way, cut_before, cut_behind
from served_homes import STEPS, files, links, pay, rows_of, small

import switch
from switch.engine import Engine
from switch.errors import EnvironmentFailed
from switch.home.served import Server

psycopg = pytest.importorskip("psycopg", reason="psycopg is not installed")
EVERY = 1 if os.environ.get("CLUSTER") else 11
NEVER = -1
MESSAGES_MIN = 15

Deed = Callable[[Ends, bytes], bool]


def deeds(postgres: Postgres) -> dict[str, Deed]:
    """What comes between a home and its server."""

    def terminated(ends: Ends, content: bytes) -> bool:
        postgres.end_sessions()
        return True

    def died(ends: Ends, content: bytes) -> bool:
        postgres.crash_and_start()
        return False

    def died_behind(ends: Ends, content: bytes) -> bool:
        cut_behind(ends, content)
        return died(ends, content)

    return {
        "cut before it": cut_before,
        "cut behind it": cut_behind,
        "backend terminated": terminated,
        "server died before it": died,
        "server died behind it": died_behind,
    }


def struck(
    home: Path, way: Way, at: int, deed: Deed, step: Callable[[Engine], object]
) -> tuple[bool, bool]:
    """A step of a home, disturbed at a message. Says whether it said that it did all of it, and
    whether it had fewer messages."""
    way.do_at(at, deed)
    is_told = False
    with contextlib.suppress(EnvironmentFailed), switch.open(home) as engine:
        step(engine)
        is_told = True
    is_beyond = way.messages <= at
    assert is_beyond or way.over.wait(60)
    way.do_at(NEVER, deed)
    return is_told, is_beyond


@pytest.mark.parametrize("name", STEPS)
@pytest.mark.parametrize("kind", range(5))
def test_commit__disturbed_at_a_message_happens_once(
    kind: int, name: str, postgres: Postgres, way: Way, tmp_path: Path
) -> None:
    what, deed = list(deeds(postgres).items())[kind]
    home, twin = small(tmp_path / "h", way.address), small(tmp_path / "t")
    seen = dict.fromkeys((True, False), 0)
    at, number, done = (kind * 3 + len(name)) % EVERY, 0, False
    while not done:
        number += 1
        before = links(twin)
        with switch.open(twin) as engine:
            STEPS[name](engine, number)
        after = links(twin)
        told, done = struck(home, way, at, deed, partial(STEPS[name], number=number))
        found = links(home)
        assert found in (before, after), (what, at, "in part, or lost")
        assert not told or found == after, (what, at, "acknowledged, and lost")
        seen[found == before] += 1
        if found == before or name == "run":
            with switch.open(home) as engine:
                STEPS[name](engine, number)
        assert links(home) == after, (what, at, "not done, or twice")
        at += EVERY
    print(f"{name}, {what}: disturbed at {number - 1} messages, {seen[True]} times undone")
    assert at > MESSAGES_MIN
    assert seen[True], "some were undone"
    mine, its = ({n: d for n, d in files(p).items() if "quarantine" not in n} for p in (home, twin))
    assert mine == its
    assert rows_of(home) == rows_of(twin)
    assert switch.verify(home)


def test_commit__that_the_server_gave_up_is_none(
    postgres: Postgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It says so by the word of its answer alone."""
    home = small(tmp_path / "h", postgres.address)
    before = links(home)
    commit = Server._commit

    def spoiled(server: Server) -> None:
        with contextlib.suppress(psycopg.Error):
            server._session.execute("SELECT 1 / 0")
        commit(server)

    monkeypatch.setattr(Server, "_commit", spoiled)
    with switch.open(home) as engine:
        with pytest.raises(EnvironmentFailed, match=r"gave up a commit \(ROLLBACK\)"):
            pay(engine, 1)
        with pytest.raises(EnvironmentFailed, match="was broken off"):
            engine.status()
    monkeypatch.undo()
    assert links(home) == before
    with switch.open(home) as engine:
        assert not pay(engine, 1).replayed
    assert switch.verify(home)


def test_writer__that_was_killed_is_followed_at_once(postgres: Postgres, tmp_path: Path) -> None:
    """Whoever is next needs not wait for what the server has not noticed yet."""
    home = small(tmp_path / "h", postgres.address)
    code = f"import os, switch; switch.open({str(home)!r}); os.kill(os.getpid(), 9)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == -9
    with switch.open(home) as engine:
        pay(engine, 1)
    assert switch.verify(home)
