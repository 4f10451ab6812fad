"""Identities: what the population database is asked about people, and what it answers, in one open
home."""

from __future__ import annotations

import datetime
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import pyarrow as pa

from switch.arguments import checked
from switch.files.exports import export, require_ending
from switch.files.tables import TableLike, lasting
from switch.home import days
from switch.home.store import Home
from switch.home.times import time_text
from switch.home.turns import Turns, acts, asks
from switch.registry import identities
from switch.registry.identities import Authority, IdentityAsked, IdentityTaken
from switch.registry.register import Register


class Open(Protocol):
    """An engine, as the population database knows it."""

    turns: Turns
    home: Home

    def look(self) -> None:
        """Take in what the last commit says of the home as a whole."""

    def open_register(self) -> Register:
        """The current register."""


@checked
class Identities:
    """The population database (C06) of one home (`Engine.identities`): it is asked for people, and
    what it answers is a change of the population register.

    engine: the open home, whose turns it takes.
    """

    def __init__(self, engine: Open) -> None:
        self._engine = engine
        self.turns, self.home = engine.turns, engine.home

    def __repr__(self) -> str:
        return f"<Identities of {self.home.path}>"

    def look(self) -> None:
        """Take in the home as the last commit left it."""
        self._engine.look()

    @asks
    def identify(
        self,
        table: TableLike,
        *,
        out: str | Path,
        everybody: bool = False,
        at: datetime.date | str | None = None,
    ) -> IdentityAsked:
        """Write a request to the population database: the persons whom a payment table names, and
        those of lines that wait, whose answer the register does not hold, or who are late. table:
        a path or rows in memory, as of `run`. out: the file to write, .csv, .parquet or .arrow, in
        no home; none is written where there is nobody to ask for. everybody: whatever the register
        holds of them. at: when it is asked (default: the time of the home). Nothing is recorded.
        Raises InputRefused for a table that is none."""
        require_ending(out)
        request, said = self._ask(table, everybody, at)
        if request.num_rows:
            said["file"] = str(export(request, out))
        return said

    @acts
    def identified(
        self,
        request: TableLike,
        answer: TableLike,
        *,
        at: datetime.date | str = "",
        warn: Callable[[str], None] = warnings.warn,
        correct: str | None = None,
    ) -> IdentityTaken:
        """Take the answer to a request: one version of the register, or none where it changes
        nothing. The same again answers what is stored. request: as `identify` wrote it. answer: a
        row a person (request, person_id, answer, name, died_on); who has none is late. at, warn,
        correct: as of `Engine.register`. Raises InputRefused, and nothing changes, for a request of
        another home, an answer to another one, or a row that is no answer to it."""
        return self._take(request, answer, at, warn, correct)

    @acts
    def authenticate(
        self,
        authority: Authority,
        table: TableLike,
        *,
        everybody: bool = False,
        at: datetime.date | str,
        warn: Callable[[str], None] = warnings.warn,
    ) -> IdentityTaken | None:
        """Ask an authority at once, and take what it answers, without files. authority: has a
        method `answer`, which takes a request and returns the answer, as tables. table, everybody:
        as of `identify`. at: when it is asked and answered. warn: as of `Engine.register`. None
        where there is nobody to ask for. Raises as `identified` does."""
        request, _ = self._ask(table, everybody, at)
        if not request.num_rows:
            return None
        return self._take(request, authority.answer(request), at, warn, None)

    def _ask(
        self, table: TableLike, everybody: bool, at: datetime.date | str | None
    ) -> tuple[pa.Table, IdentityAsked]:
        return identities.ask(self.home, self._register(), table, everybody=everybody, at=at)

    def _take(
        self,
        request: TableLike,
        answer: TableLike,
        at: datetime.date | str,
        warn: Callable[[str], None],
        correct: str | None,
    ) -> IdentityTaken:
        time, why = days.noted(self.home, time_text(at), correct, warn)
        given = lasting(request), lasting(answer)
        return identities.take(self.home, self._register(), *given, at=time, warn=warn, why=why)

    def _register(self) -> Register | None:
        has_one = self.home.catalog.register_seq()
        return self._engine.open_register() if has_one else None
