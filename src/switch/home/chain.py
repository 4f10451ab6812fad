"""The two chains of a home's records: `audit`, its history, and `events` beside it.

Each record holds the hash of the one before it. The audit chain records what changed answers or
money; quarantine, repair and keys are events, so that a crash changes no link of the history.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import msgspec

GENESIS = "0" * 64
"""Previous link of the first record."""


class Record(NamedTuple):
    """One record of a chain; detail is JSON text."""

    seq: int
    at: str
    kind: str
    detail: str
    previous: str
    link: str


class Stamp(NamedTuple):
    """A record without what it says, which may be long."""

    seq: int
    at: str
    kind: str


class Heads(NamedTuple):
    """Number and link of the last record of either chain; 0 and GENESIS where it has none."""

    seq: int
    link: str
    events: int
    events_link: str


class Chain:
    """One chain of records of a catalog, each with the hash of the one before. query: asks for
    rows. write: runs a statement that changes them."""

    def __init__(
        self,
        name: str,
        query: Callable[..., list[tuple[Any, ...]]],
        write: Callable[..., None],
    ) -> None:
        self._name, self._query, self._write = name, query, write

    def append(self, at: str, kind: str, detail: Mapping[str, object]) -> None:
        """Add a record behind the last one; inside a transaction."""
        last, previous = self.head()
        seq = last + 1
        text = msgspec.json.encode(detail, order="sorted").decode()
        link = link_of(previous, seq, at, kind, text)
        self._write(
            f"INSERT INTO {self._name} VALUES (?, ?, ?, ?, ?, ?)",
            *(seq, at, kind, text, previous, link),
        )

    def head(self) -> tuple[int, str]:
        """(seq, link) of the last record; 0 and GENESIS where there is none."""
        rows = self._query(f"SELECT seq, link FROM {self._name} ORDER BY seq DESC LIMIT 1")
        return (rows[0][0], rows[0][1]) if rows else (0, GENESIS)

    def link(self, seq: int) -> str | None:
        """The link of a record; None where there is no such record."""
        rows = self._query(f"SELECT link FROM {self._name} WHERE seq = ?", seq)
        return rows[0][0] if rows else None

    def links(self, after: int = 0) -> list[tuple[int, str]]:
        """(seq, link) of all records behind one, in order."""
        query = f"SELECT seq, link FROM {self._name} WHERE seq > ? ORDER BY seq"
        return [(seq, link) for seq, link in self._query(query, after)]

    def record(self, seq: int) -> Record:
        """The record of a number, which is there."""
        (row,) = self._query(f"SELECT * FROM {self._name} WHERE seq = ?", seq)
        return Record._make(row)

    def records(self, *kinds: str) -> list[Record]:
        """Records of some kinds (default: of all), in order."""
        query = f"SELECT * FROM {self._name}{_of(kinds)} ORDER BY seq"
        return [Record._make(row) for row in self._query(query, *kinds)]

    def stamps(self, *kinds: str) -> list[Stamp]:
        """Stamps of the records of some kinds (default: of all), in order."""
        query = f"SELECT seq, at, kind FROM {self._name}{_of(kinds)} ORDER BY seq"
        return [Stamp._make(row) for row in self._query(query, *kinds)]


def _of(kinds: tuple[str, ...]) -> str:
    return f" WHERE kind IN ({', '.join('?' * len(kinds))})" if kinds else ""


def link_of(previous: str, seq: int, at: str, kind: str, detail: str) -> str:
    """The hash that chains one record to the one before it."""
    record = msgspec.json.encode([previous, seq, at, kind, detail])
    return hashlib.sha256(record).hexdigest()
