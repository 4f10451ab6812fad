"""House: the home that is served: read as its last commit left it, written to for one call."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from switch.engine import Engine
from switch.errors import HomeLocked
from switch.home.store import Home
from switch.home.turns import Turns, asks
from switch.report.facts import Facts, Scope, facts
from switch.watching import Watch

WRITE_WAIT = 10.0
"""Seconds for which an action waits for another writer, such as a run."""
FACTS_KEPT = 16


class Head(NamedTuple):
    """The state of the audit chain: pages of the same head tell of the same home."""

    records: int
    link: str


class House:
    """One home, open for reading as long as it is served.

    path: its folder. name: as people type it in commands. limits: bounds of alarms. spool: the
    folder of its portal. bounds: options by which commands have the same.
    """

    def __init__(
        self,
        path: Path,
        *,
        name: str = "",
        limits: dict[str, object] | None = None,
        spool: Path | None = None,
        bounds: tuple[str, ...] = (),
    ) -> None:
        self.path, self.name = path, name or str(path)
        self.engine = Engine(path, mode="r")
        self.home: Home = self.engine.home
        self.turns: Turns = self.engine.turns
        self._limits, self._spool = limits, spool
        self.bounds = bounds
        self.watch: Watch = self.watching(self.engine)
        self._facts: dict[tuple[str, Scope], Facts] = {}
        self._writing = threading.Lock()

    def close(self) -> None:
        """Let go of the home."""
        self.engine.close()

    def look(self) -> None:
        """Take in what the last commit says of the home as a whole."""
        self.engine.look()

    def watching(self, engine: Engine) -> Watch:
        """An engine's watch, with the bounds of this house."""
        return engine.watch.within(self._limits, spool=self._spool, name=self.name)

    @asks
    def head(self) -> Head:
        """The last record of the audit chain."""
        return Head(*self.home.catalog.audit.head())

    @asks
    def facts(self, scope: Scope) -> Facts:
        """Facts of a report (`Engine.report`), gathered once a commit."""
        key = self.home.catalog.audit.head()[1], scope
        if key not in self._facts:
            while len(self._facts) >= FACTS_KEPT:
                self._facts.pop(next(iter(self._facts)))
            self._facts[key] = facts(self.home, scope, name=self.name)
        return self._facts[key]

    @contextlib.contextmanager
    def writing(self) -> Iterator[Engine]:
        """The home open for one action. Raises HomeLocked where another process writes on for
        longer than an action waits."""
        if not self._writing.acquire(timeout=WRITE_WAIT):
            raise HomeLocked(f"{self.path} is written to by other actions: try it again")
        try:
            with Engine(self.path, wait=WRITE_WAIT) as engine:
                yield engine
        finally:
            self._writing.release()
