"""Interrupt: Ctrl-C at a command, from its first import to the end of its process.

Before the command begins and after it has ended nothing can be broken off: the process ends at
once, or ends as it would have. Between, Python's KeyboardInterrupt unwinds what is being done.
"""

from __future__ import annotations

import _thread
import contextlib
import os
import signal
import sys
from collections.abc import Iterator

INTERRUPTED = 130
"""Exit code of a command that was interrupted."""
TOLD = "interrupted: nothing that was not committed has happened"


def begin() -> None:
    """Take Ctrl-C from Python, while modules are imported; a process that ignores it goes on to."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _end)


def _end(*_: object) -> None:
    with contextlib.suppress(OSError):
        os.write(2, f"{TOLD}\n".encode())
    os._exit(INTERRUPTED)


def _once(*_: object) -> None:
    """Break off what is done. A second time would break off what puts things in order after it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    raise KeyboardInterrupt


def _again(found: sys.UnraisableHookArgs) -> None:
    """Break off once more where that was lost in a place that no exception leaves."""
    if not issubclass(found.exc_type, KeyboardInterrupt):
        sys.__unraisablehook__(found)
        return
    signal.signal(signal.SIGINT, _once)
    _thread.interrupt_main()


@contextlib.contextmanager
def allowed() -> Iterator[None]:
    """Let Ctrl-C break off what is done here, where `begin` took it. Afterwards it is too late."""
    if signal.getsignal(signal.SIGINT) is not _end:
        yield  # Whoever runs a command in a process of their own has their own way with it.
        return
    try:
        sys.unraisablehook = _again
        signal.signal(signal.SIGINT, _once)
        yield
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
