"""Turns: one call at a time on an engine, whichever thread makes it.

A method that asks answers, on an engine that is open for reading, from the last commit; one that
acts is refused there.
"""

from __future__ import annotations

import contextlib
import functools
import threading
from collections.abc import Callable, Iterator
from typing import Concatenate, ParamSpec, Protocol, TypeVar

from switch.errors import UsageError
from switch.home.store import Home


class Turns:
    """Turns of the threads that call one engine."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._calls = 0

    def __reduce__(self) -> str:
        raise UsageError("an engine is for the process that opened it: open the home in the other")

    @contextlib.contextmanager
    def taken(self) -> Iterator[bool]:
        """Wait until no other thread has a call here. Yields True for a call from outside, else
        False, for one that another method makes."""
        with self._lock:
            self._calls += 1
            try:
                yield self._calls == 1
            finally:
                self._calls -= 1


class InTurn(Protocol):
    """An engine, as turns know it."""

    turns: Turns
    home: Home

    def look(self) -> None:
        """Take in what the last commit says of the home as a whole."""


Self = TypeVar("Self", bound=InTurn)
Asked = ParamSpec("Asked")
Answer = TypeVar("Answer")
Method = Callable[Concatenate[Self, Asked], Answer]


def asks(method: Method[Self, Asked, Answer]) -> Method[Self, Asked, Answer]:
    """A method that changes nothing. An engine open for reading answers from the last commit."""

    @functools.wraps(method)
    def call(self: Self, /, *args: Asked.args, **options: Asked.kwargs) -> Answer:
        with self.turns.taken() as is_first:
            if not (is_first and self.home.is_read):
                return method(self, *args, **options)

            def ask() -> Answer:
                self.look()
                return method(self, *args, **options)

            return self.home.of_last_commit(ask)

    return call


def acts(method: Method[Self, Asked, Answer]) -> Method[Self, Asked, Answer]:
    """A method that commits. Raises UsageError on an engine that is open for reading."""

    @functools.wraps(method)
    def call(self: Self, /, *args: Asked.args, **options: Asked.kwargs) -> Answer:
        with self.turns.taken():
            self.home.require_writer()
            return method(self, *args, **options)

    return call
