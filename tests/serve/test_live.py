"""Events: pages hear of each commit, once, and of life in between; one look is for all of them."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
import urllib.request
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from answering import home_of
from scene import BANK

import switch

pytest.importorskip("starlette")

from switch.serve import live as at_work
from switch.serve.front import Front
from switch.serve.house import House
from switch.serve.live import Live
from switch.serve.staff import Person


@pytest.fixture
def front(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(at_work, "HEAD_SECONDS", 0.01)
    house = House(home_of(tmp_path / "home"))
    yield Front(house, None, Person("an", frozenset({"auditor"})), lambda: "2026-11-25T09:00:00")
    house.close()


BEAT = ": live\n\n"


async def heard(events: AsyncIterator[bytes]) -> dict[str, int]:
    told = BEAT
    while told == BEAT:  # A slow machine may say that it lives before it has looked.
        told = (await asyncio.wait_for(anext(events), 60)).decode()
    assert told.startswith("event: head\ndata: ")
    assert told.endswith("\n\n")
    found: dict[str, int] = json.loads(told.split("data: ")[1])
    return found


def test_events__tell_each_commit_to_every_page(front: Front) -> None:
    async def follow() -> tuple[list[dict[str, int]], list[dict[str, int]]]:
        live = Live(front)
        looking = asyncio.create_task(live.run())
        pages = [live.events(), live.events()]
        first = [await heard(page) for page in pages]

        def commit() -> None:
            with switch.open(front.house.path) as engine:
                engine.control.participant(BANK, by="an", why="x", status="suspended")

        await asyncio.to_thread(commit)
        second = [await heard(page) for page in pages]
        live.ended = True
        looking.cancel()
        return first, second

    first, second = asyncio.run(follow())
    with switch.open(front.house.path, mode="r") as engine:
        records = engine.home.catalog.audit.head()[0]
    assert first[0] == first[1]
    assert second[0] == second[1]
    assert second[0]["records"] == records == first[0]["records"] + 1


def test_events__tell_of_life_where_nothing_happens(
    front: Front, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(at_work, "BEAT_SECONDS", 0.05)

    async def follow() -> bytes:
        live = Live(front)
        looking = asyncio.create_task(live.run())
        page = live.events()
        await heard(page)
        beat = await asyncio.wait_for(anext(page), 60)
        looking.cancel()
        return beat

    assert asyncio.run(follow()) == BEAT.encode()


def test_look__asks_for_alarms_after_a_commit_and_now_and_then(
    front: Front, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not with each look at the chain: that is for pages that are open all day."""
    asked: list[str] = []
    looked: list[object] = []
    alarms, head = front.house.watch.alarms, front.house.head
    monkeypatch.setattr(
        front.house, "watch", _Counting(lambda at: (asked.append(at), alarms(at))[1])
    )
    monkeypatch.setattr(front.house, "head", lambda: (looked.append(1), head())[1])

    async def follow(until: list[object], more: int) -> None:
        live = Live(front)
        looking = asyncio.create_task(live.run())
        begun = len(until)
        while len(until) < begun + more:
            await asyncio.sleep(0.01)
        looking.cancel()

    monkeypatch.setattr(at_work, "ALARM_SECONDS", 1e9)
    asyncio.run(follow(looked, 6))
    assert len(asked) == 1
    monkeypatch.setattr(at_work, "ALARM_SECONDS", 0.02)
    asyncio.run(follow(asked, 3))  # type: ignore[arg-type]


class _Counting:
    def __init__(self, alarms: Any) -> None:
        self.alarms = alarms


@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM])
def test_server__that_stops_is_held_up_by_no_page(tmp_path: Path, sign: signal.Signals) -> None:
    """Whoever ends it has a page open, as a rule: no error is said of that."""
    home = home_of(tmp_path / "home")
    words = [sys.executable, "-m", "switch", "serve", str(home), "--port", "0"]
    with subprocess.Popen(
        words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=_hears_signals
    ) as server:
        assert server.stdout is not None
        address = server.stdout.readline().split()[0]
        with urllib.request.urlopen(f"{address}events", timeout=60) as page:
            assert b"event: head\n" in iter(page.readline, b"")
            server.send_signal(sign)
            _, said = server.communicate(timeout=60)
    assert "Traceback" not in said
    assert "ERROR" not in said


def _hears_signals() -> None:
    """A process in the background of a shell would pass over Ctrl-C."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
