"""Somebody at the pages of a home, without a network: what a browser without scripts does."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

pytest.importorskip("starlette")

from starlette.testclient import TestClient

from switch.serve.app import app
from switch.serve.front import Front
from switch.serve.house import House
from switch.serve.staff import Person, Staff

TIME = "2026-12-01T09:00:00"
"""Time as of which these pages look."""
ORIGIN = "http://127.0.0.1:8010"


class Browser:
    """Somebody who opens pages and sends their forms."""

    def __init__(self, client: TestClient) -> None:
        self.client = client

    def get(self, path: str, **options: Any) -> httpx2.Response:
        return self.client.get(path, headers={"accept": "text/html"}, **options)

    def post(self, path: str, **fields: str) -> httpx2.Response:
        """Send a form with the token that our own page has in it."""
        page = self.get("/deeds").text
        found = re.search(r'name="token" value="([0-9a-f]{64})"', page + self.get("/lines").text)
        token = {"token": found[1]} if found else {}
        return self.client.post(path, data={**token, **fields}, headers={"origin": ORIGIN})


@contextlib.contextmanager
def browser(
    home: Path,
    name: str = "an",
    *roles: str,
    sources: tuple[str, ...] = (),
    staff: Staff | None = None,
    log: Callable[[Any], object] = lambda _: None,
    tls: bool = False,
    at: str = TIME,
) -> Iterator[Browser]:
    """Somebody with these roles at a home that is served."""
    house = House(home, name=str(home))
    person = Person(name, frozenset(roles or ("auditor",)), frozenset(sources))
    front = Front(house, staff, person, lambda: at, lambda done: log(done) and None)
    try:
        with TestClient(app(front, tls=tls), base_url=ORIGIN) as client:
            yield Browser(client)
    finally:
        house.close()
