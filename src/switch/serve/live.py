"""Live: the state of the home, told to the pages that are open as it moves (server-sent events)."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import NamedTuple

from starlette.concurrency import run_in_threadpool

from switch.serve.front import Front

HEAD_SECONDS = 1.0
"""Between looks at the audit chain."""
ALARM_SECONDS = 15.0
"""Between looks at alarms, which are looked at after each commit, too."""
BEAT_SECONDS = 15.0
"""Between signs of life, by which a page knows that it is live."""


class Pulse(NamedTuple):
    """State that pages are told: records of the audit chain, alarms that are there."""

    records: int
    alarms: int


class Live:
    """One look for all pages that are open, however many."""

    def __init__(self, front: Front) -> None:
        self._front = front
        self.pulse = Pulse(-1, -1)
        self.ended = False

    def end(self) -> None:
        """End the events of all pages, which a server that stops would else wait for."""
        self.ended = True

    async def run(self) -> None:
        """Look again and again, until the task is cancelled."""
        looked = -ALARM_SECONDS
        loop = asyncio.get_running_loop()
        while True:
            # A page that asks is told what is wrong; whatever it is, the next look comes.
            with contextlib.suppress(Exception):
                head = await run_in_threadpool(self._front.house.head)
                moved = head.records != self.pulse.records
                if moved or loop.time() - looked >= ALARM_SECONDS:
                    looked = loop.time()
                    alarms = await run_in_threadpool(self._alarms)
                    self.pulse = Pulse(head.records, alarms)
            await asyncio.sleep(HEAD_SECONDS)

    def _alarms(self) -> int:
        return len(self._front.house.watch.alarms(self._front.clock()))

    async def events(self, *, counts: bool = True) -> AsyncIterator[bytes]:
        """Events of one page: the state at once, then each change of it, and signs of life. counts:
        of alarms, too."""
        told: Pulse | None = None
        loop = asyncio.get_running_loop()
        beat = loop.time()
        while not self.ended:
            now = loop.time()
            if self.pulse != told and self.pulse.records >= 0:
                told, beat = self.pulse, now
                shown = told if counts else told._replace(alarms=0)
                yield f"event: head\ndata: {json.dumps(shown._asdict())}\n\n".encode()
            elif now - beat >= BEAT_SECONDS:
                beat = now
                yield b": live\n\n"
            await asyncio.sleep(HEAD_SECONDS / 4)
