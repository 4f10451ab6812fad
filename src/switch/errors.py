"""Errors of a file, a peer or the machine, as a handful of exceptions.

A wrong *line* is never an exception: it is a reason code in its row (`switch.reason`). Each child
also inherits the builtin that a caller would expect to catch, and knows the exit code of the
command line (contract: 2 usage, 3 input refused, 4 locked, 5 verification failed, 6 environment).
"""

from __future__ import annotations

from collections.abc import Sequence

from switch.results import Refusal, Summary


def counted(count: int, noun: str) -> str:
    """A number with its noun, for messages: 1 line, 2 lines."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def plain(text: str) -> str:
    """Text of others for people, on one line: what does not print (escape codes, line breaks, marks
    that turn the direction, bytes that are not UTF-8) is shown as an escape such as \\x1b."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


class SwitchError(Exception):
    """Base of all errors that name a cause and a remedy."""

    exit_code = 2


class UsageError(SwitchError, ValueError):
    """The call itself is wrong: an unknown option, a home that is not one."""

    exit_code = 2


class InputRefused(SwitchError, ValueError):
    """A file cannot be read or proven, so nothing of it is used and the home is as before.

    Says what is wrong, where (file, row counted from 1, column) and what to do. `rule` is a stable
    word for programs, such as ``AMOUNT_FORMAT``.
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


class CopyFailed(EnvironmentFailed):
    """A copy for people could not be written; what it is a copy of is committed.

    cause: the failure alone. done: summaries of the batches that the call had committed.
    """

    def __init__(self, cause: EnvironmentFailed) -> None:
        self.cause = cause
        self.done: Sequence[Summary] = ()
        remedy = "the same command writes its copies again"
        super().__init__(f"{cause}. What this is a copy of is committed: {remedy}")
