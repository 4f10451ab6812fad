"""Looks at a home: what changed between them, told to a webhook until it is taken."""

from __future__ import annotations

import hashlib
import hmac
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from answering import home_of, said, take
from scene import BANK, command

import switch
from switch.errors import UsageError
from switch.open_items import awaited
from switch.watch.poll import Poll, Webhook, is_new

AT = "2026-11-26T06:30:00"


class Desk:
    """A webhook that answers what it is told to."""

    def __init__(self) -> None:
        self.got: list[tuple[dict[str, Any], bytes, str]] = []
        self.answers: list[int] = []
        desk = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                desk.got.append((json.loads(body), body, self.headers["X-Switch-Signature"]))
                code = desk.answers.pop(0) if desk.answers else 204
                self.send_response(code)
                if code == 302:
                    self.send_header("Location", "/elsewhere")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/alarms"


@pytest.fixture
def desk() -> Iterator[Desk]:
    found = Desk()
    thread = threading.Thread(target=found.server.serve_forever, args=(0.01,))
    thread.start()
    yield found
    found.server.shutdown()
    thread.join()
    found.server.server_close()


@pytest.fixture
def silent(tmp_path: Path) -> Path:
    return home_of(tmp_path / "home")


def names(change: dict[str, Any], word: str) -> list[str]:
    return [row["alarm"] for row in change[word]]


def test_watch__tells_what_is_raised_once_and_signs_it(
    silent: Path, desk: Desk, tmp_path: Path
) -> None:
    key = tmp_path / "key"
    key.write_text("a secret\n")
    numbers = tmp_path / "switch.prom"
    told = command(
        *("watch", silent, "--at", AT, "--times", 2, "--every", 0.1, "--webhook", desk.url),
        *("--secret", key, "--out", numbers, "--json"),
    )
    assert told.code == 0, told.err
    assert (told.document["looks"], told.document["told"]) == (2, 1)
    assert len(desk.got) == 1
    change, body, signature = desk.got[0]
    assert change == told.document["changes"][0]
    assert (change["home"], change["at"]) == ("home", AT)
    assert f"answers-silent:{BANK}" in names(change, "raised")
    assert signature == hmac.new(b"a secret", body, hashlib.sha256).hexdigest()
    assert 'switch_alarms{level="raised",rule="answers-silent"' in numbers.read_text()
    assert "raised high answers-silent" in command("watch", silent, "--at", AT, "--times", 1).out


@pytest.mark.parametrize("code", [500, 302])
def test_watch__tells_again_what_was_not_taken(silent: Path, desk: Desk, code: int) -> None:
    desk.answers = [code, 200]
    told = command(
        *(
            "watch",
            silent,
            "--at",
            AT,
            "--times",
            3,
            "--every",
            0.1,
            "--webhook",
            desk.url,
            "--json",
        )
    )
    assert told.document["told"] == 1
    assert f"it answered {code}" in told.err
    assert [body for _, body, _ in desk.got] == [desk.got[0][1]] * 2


def test_watch__nobody_listens(silent: Path) -> None:
    told = command(
        *("watch", silent, "--at", AT, "--times", 1, "--webhook", "http://127.0.0.1:9/", "--json")
    )
    assert (told.code, told.document["told"]) == (0, 0)
    assert "did not take it" in told.err


def test_poll__tells_what_changed_and_what_was_mended(silent: Path) -> None:
    name, poll = f"answers-silent:{BANK}", Poll("home")
    with switch.open(silent) as engine:

        def look(at: str = AT) -> dict[str, Any]:
            rows = engine.watch.alarms(at).rows()
            change: Any = poll.change(at, rows)
            poll.take(rows)
            return dict(change)

        early = look("2026-11-26T04:30:00")
        assert name in names(early, "raised")
        assert name in names(look(), "raised")  # Another occurrence: it is no warning any more.
        assert not is_new(look("2026-11-26T06:40:00"))
        engine.watch.note([name], acknowledged=True, by="an", at=AT)
        change = look()
        assert (names(change, "raised"), names(change, "cleared")) == ([], [])
        assert name in names(change, "changed")
        take(engine, silent, *(said(n) for n in range(1, 13)), at="2026-11-26T08:00:00")
        assert name in names(look("2026-11-26T08:30:00"), "cleared")


@pytest.mark.parametrize(
    "url",
    ["", "desk", "ftp://127.0.0.1/", "http://desk.example/", "file:///etc/passwd", "http://[::1"],
)
def test_webhook__that_is_none_is_refused(silent: Path, url: str) -> None:
    with pytest.raises(UsageError, match="webhook"):
        Webhook(url).check()
    assert command("watch", silent, "--times", 1, "--webhook", url).code == 2


def test_watch__words_that_do_not_fit_are_refused(silent: Path, tmp_path: Path) -> None:
    for words in (("--json",), ("--times", 1, "--secret", tmp_path / "key"), ("--times", 0)):
        assert command("watch", silent, *words).code == 2
    for url in ("https://desk.example/", "http://localhost:1/", "http://[::1]:1/"):
        assert Webhook(url).check().url == url


def test_watch__reads_lines_once_a_commit(silent: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[int] = []
    whole = awaited.line_runs

    def reads(home: Any, seq: int, present: Any = None) -> Any:
        read.append(seq)
        return whole(home, seq, present)

    monkeypatch.setattr(awaited, "line_runs", reads)
    with switch.open(silent) as engine:
        take(engine, silent, said(1), at="2026-11-26")
        watch = engine.watch
        first = watch.alarms(AT).rows()
        assert watch.alarms(AT).rows() == first
        assert watch.alarms("2026-11-28T08:00:00").rows() != first
        watch.metrics(AT)
        watch.awaited(at=AT)
        assert read == [1]
        take(engine, silent, said(2), at="2026-11-26")
        assert watch.alarms(AT).rows() == engine.watch.alarms(AT).rows()
        assert read == [1, 1, 1]
