"""Interrupt: Ctrl-C at a command, from its first import to the end of its process.

Before the command begins and after it has ended nothing can be broken off: the process ends at
once, or ends as it would have. Between, Python's KeyboardInterrupt unwinds what is being done; a
module that is being imported is imported first, since many cannot be once more in one process.
"""

from __future__ import annotations

import _thread
import contextlib
import os
import signal
import sys
from collections.abc import Iterator
from types import FrameType

INTERRUPTED = 130
"""Exit code of a command that was interrupted."""
TOLD = "interrupted: nothing that was not committed has happened"
SOON = 0.001
"""Seconds after which it is looked again whether an import has ended."""


def begin() -> None:
    """Take Ctrl-C from Python, while modules are imported; a process that ignores it goes on to."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _end)


def _end(*_: object) -> None:
    with contextlib.suppress(OSError):
        os.write(2, f"{TOLD}\n".encode())
    os._exit(INTERRUPTED)


def _once(_: int, frame: FrameType | None) -> None:
    """Break off what is done. A second time would break off what puts things in order after it."""
    if _imports(frame):
        signal.setitimer(signal.ITIMER_REAL, SOON)
        return
    _never()
    raise KeyboardInterrupt


def _imports(frame: FrameType | None) -> bool:
    """True where what is done there is, or is done for, an import."""
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            return True
        frame = frame.f_back
    return False


def _never() -> None:
    """Let nothing be broken off any more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.setitimer(signal.ITIMER_REAL, 0)


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
        signal.signal(signal.SIGALRM, _once)
        signal.signal(signal.SIGINT, _once)
        yield
    finally:
        _never()
