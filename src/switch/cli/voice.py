"""Voice: stdout and stderr that never fail, so that what is said never changes what is done.

A disk that is full, a stream that was closed, a pipe that nobody reads and a locale without the
letters are no matter of payments: what cannot be written is dropped, and letters that an encoding
lacks are written as escapes. The exit code says what was done.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import select
import shlex
import sys
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, TextIO

import click

from switch.errors import plain
from switch.words import said

if TYPE_CHECKING:
    from typing_extensions import Buffer

STANDARD = (("stdout", 1), ("stderr", 2))


class Sink(io.RawIOBase):
    """The end of a stream at a handle. It takes all bytes, whatever becomes of them."""

    def __init__(self, handle: int) -> None:
        self._handle = handle
        self.lost = ""
        """Reason why words were dropped; "" where none were."""

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._handle

    def isatty(self) -> bool:
        return os.isatty(self._handle)

    def write(self, data: Buffer) -> int:
        left = memoryview(data).cast("B")
        size = len(left)
        while left and not self.lost:
            try:
                left = left[os.write(self._handle, left) :]
            except BlockingIOError:
                # Whoever made the stream lets nobody wait at it, but words can.
                select.select((), (self._handle,), ())
            except OSError as error:
                self.lost = error.strerror or type(error).__name__
        return size


@contextlib.contextmanager
def kept() -> Iterator[None]:
    """Keep commands from failing where their words cannot be written; a lost answer is told on
    stderr."""
    _fill_handles()
    were, sinks = {}, {}
    for name, handle in STANDARD:
        stream = getattr(sys, name)
        if stream is not None and not _is_at(stream, handle):
            continue  # Somebody in this process listens, who may fail as they like.
        were[name], sinks[name] = stream, Sink(handle)
        text = io.TextIOWrapper(
            io.BufferedWriter(sinks[name]),
            getattr(stream, "encoding", None) or "utf-8",
            "backslashreplace",
            line_buffering=name == "stderr" or sinks[name].isatty(),
        )
        setattr(sys, name, text)
    try:
        yield
    finally:
        if "stdout" in sinks:
            sys.stdout.flush()
            if lost := sinks["stdout"].lost:
                tell(f"warning: stdout could not be written ({lost}); what was done stands", True)
        for name, stream in were.items():
            getattr(sys, name).flush()
            setattr(sys, name, stream)


def _fill_handles() -> None:
    """Take the numbers of a closed stdin, stdout or stderr, so that no file that is opened later
    gets one: words that a library prints there would land in it."""
    while (handle := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(handle, True)
    os.close(handle)


def _is_at(stream: TextIO, handle: int) -> bool:
    try:
        return bool(stream.fileno() == handle)
    except (AttributeError, OSError, ValueError):
        return False


def tell(text: str, err: bool = False, bold: bool | None = None) -> None:
    """A line for people. Names that others gave do not steer a terminal."""
    click.secho(plain(text if err else said(text)), err=err, bold=bold)


def tell_next(command: str, *words: object, files: Iterable[object] = ()) -> None:
    """The end of what a command says: where its files are, and the command that comes next, to be
    copied. words: its arguments; those in capitals stand for what only its user knows."""
    for file in files:
        tell(f"files: {file}")
    tell(f"next: switch {command} {' '.join(shlex.quote(str(word)) for word in words)}")


def json_line(document: object) -> str:
    """A document as one line of JSON. What does not print is written as its escape, and so is all
    beyond ASCII where stdout has another encoding than UTF-8."""
    import msgspec

    text = json.dumps(msgspec.to_builtins(document), ensure_ascii=False, separators=(",", ":"))
    wide = (sys.stdout.encoding or "utf-8").lower().replace("_", "-") in ("utf-8", "utf8")
    if not wide or not text.isprintable():
        text = re.sub(r"[^ -~]", lambda found: _escaped(found[0], wide), text)
    return text + "\n"


def _escaped(sign: str, wide: bool) -> str:
    if wide and sign.isprintable():
        return sign
    if "\ud800" <= sign <= "\udfff":  # A byte of a name that is not UTF-8.
        sign = "\ufffd"
    return json.dumps(sign)[1:-1]


def names_in_utf8() -> None:
    """Begin again where the locale writes names of files in another encoding than UTF-8: names in a
    home are the same for everybody. What is said keeps the encoding of the locale."""
    if sys.getfilesystemencoding().lower() == "utf-8" or os.environ.get("PYTHONUTF8") == "1":
        return
    streams = (sys.stdout, sys.stderr)
    spoken = next((stream.encoding for stream in streams if stream is not None), "utf-8")
    more = {"PYTHONUTF8": "1", "PYTHONIOENCODING": f"{spoken}:backslashreplace"}
    os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], {**os.environ, **more})
