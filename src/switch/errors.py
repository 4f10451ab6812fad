"""Errors of a file, a peer or the machine, as a handful of exceptions.

A wrong *line* is never an exception: it is a reason code in its row (`switch.reason`). Each child
also inherits the builtin that a caller would expect to catch, and knows the exit code of the
command line (contract: 2 usage, 3 input refused, 4 locked, 5 verification failed, 6 environment).
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence

from switch.results import Refusal, Summary

USAGE = "USAGE"
"""The rule of every usage error, of commands and of calls."""


def counted(count: int, noun: str, several: str = "") -> str:
    """A number with its noun, for messages: 1 line, 2 lines. several: 2 people."""
    return f"{count:,} {noun if count == 1 else several or f'{noun}s'}"


def plain(text: str) -> str:
    """Text of others for people, on one line: what does not print (escape codes, line breaks, marks
    that turn the direction, bytes that are not UTF-8) is shown as an escape such as \\x1b."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


class SwitchError(Exception):
    """Base of all errors that name a cause and a remedy. Each can be pickled with all that it says,
    so that it comes out of a pool of processes as it was raised."""

    exit_code = 2

    def __reduce__(self) -> tuple[object, ...]:
        return _restored, (type(self), self.args, dict(self.__dict__))

    def told(self) -> Mapping[str, object]:
        """The same as data, for answers in JSON: a word for programs (rule), and what is wrong."""
        return {"rule": type(self).__name__, "what": str(self)}


def _restored(
    kind: type[SwitchError], said: tuple[object, ...], fields: dict[str, object]
) -> SwitchError:
    """A pickled error; its parts are given back as they were, whatever its class asks for."""
    error = kind.__new__(kind, *said)
    error.args = said
    error.__dict__.update(fields)
    return error


class UsageError(SwitchError, ValueError):
    """The call itself is wrong: an unknown option, a home that is not one."""

    exit_code = 2

    def told(self) -> Mapping[str, object]:
        """The same as data; `rule` is that of a command that cannot be understood, too."""
        return {"rule": USAGE, "what": str(self)}


class InputRefused(SwitchError, ValueError):
    """A file cannot be read or proven, so nothing of it is used and the home is as before.

    Says what is wrong, where (file, row counted from 1, column) and what to do, its remedy. `rule`
    is a stable word for programs, such as ``AMOUNT_FORMAT``.
    """

    exit_code = 3

    def __init__(
        self,
        rule: str,
        what: str,
        *,
        remedy: str,
        file: str | None = None,
        row: int | None = None,
        column: str | None = None,
    ) -> None:
        self.rule = rule
        self.what = what
        self.remedy = remedy
        self.file = file
        self.row = row
        self.column = column
        super().__init__(what)

    def __str__(self) -> str:
        where = [
            text
            for text in (
                f"file {self.file}" if self.file else "",
                f"row {self.row}" if self.row is not None else "",
                f"column {self.column}" if self.column else "",
            )
            if text
        ]
        place = f" ({', '.join(where)})" if where else ""
        return f"{self.rule}: {self.what}{place}. Remedy: {self.remedy}"

    def told(self) -> Refusal:
        """The same as data, for answers in JSON."""
        return {
            "rule": self.rule,
            "what": self.what,
            "file": self.file,
            "row": self.row,
            "column": self.column,
            "remedy": self.remedy,
        }

    def at(self, file: str) -> InputRefused:
        """The same refusal with the file's name, for readers that only know their stream."""
        if self.file is None:
            self.file = file
        return self


class HomeLocked(SwitchError, BlockingIOError):
    """Another process works on this home."""

    exit_code = 4


class HomeMoved(HomeLocked):
    """Another process has committed to this home since it was opened here, though its lock was
    held: what was computed from the old history is not committed, and nothing of it is done."""


class VerificationFailed(SwitchError, AssertionError):
    """Files and catalog that differ."""

    exit_code = 5


class EnvironmentFailed(SwitchError, OSError):
    """The machine failed: disk full, read-only, an I/O error."""

    exit_code = 6


class WorkerLost(EnvironmentFailed):
    """A process that judged lines for a run is gone: killed, or out of memory. Nothing was
    committed."""


class CopyFailed(EnvironmentFailed):
    """A copy for people could not be written; what it is a copy of is committed.

    cause: the failure alone. done: summaries of the batches that the call had committed.
    """

    def __init__(self, cause: EnvironmentFailed) -> None:
        self.cause = cause
        self.done: Sequence[Summary] = ()
        remedy = "the same command writes its copies again"
        super().__init__(f"{cause}. What this is a copy of is committed: {remedy}")


def of_the_machine(error: Exception) -> EnvironmentFailed | None:
    """The failure of the machine that an error is, or None: memory, disks, and threads, for which
    Python has no error of its own."""
    if isinstance(error, MemoryError):
        return EnvironmentFailed("not enough memory")
    if isinstance(error, RuntimeError) and "start new thread" in str(error):
        return EnvironmentFailed("no memory or no leave for more threads: give fewer (--threads)")
    if _is_arrow_at_its_limits(error):
        return EnvironmentFailed("no memory or no leave for threads: see `ulimit -v` and -u")
    if not isinstance(error, OSError):
        return None
    where = f"{error.filename}: " if error.filename is not None else ""
    return EnvironmentFailed(f"{where}{error.strerror or error}")


def _is_arrow_at_its_limits(error: Exception) -> bool:
    """True where Arrow got no thread or no memory, of which it tells by its base class alone, or
    its libraries could not be loaded for that."""
    arrow = sys.modules.get("pyarrow")
    if arrow is not None and type(error) is arrow.ArrowException:
        return any(word in str(error) for word in ("Resource temporarily", "memory", "thread"))
    causes = (error, error.__cause__, error.__context__)
    return isinstance(error, ImportError) and any(
        word in str(cause) for cause in causes for word in ("failed to map", "Cannot allocate")
    )
