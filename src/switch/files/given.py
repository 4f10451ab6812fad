"""Given: files that people name, each a plain file, opened once, and taken as one copy.

Whoever sends a file may still write into it, by a page that it has mapped without a trace in the
times of the file. So what is hashed and what is decoded are one copy that nobody else can write to
(`sealed`). A small file is read whole, within its limit (`read_small`).
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

import msgspec

from switch.errors import EnvironmentFailed, InputRefused

T = TypeVar("T")
SMALL_BYTES_MAX = 1 << 20
"""Bytes of a configuration, of rules, of a dossier and of a key."""
CHECKPOINTS_BYTES_MAX = 1 << 26
"""Bytes of signed checkpoints that somebody kept; a commit adds some 250."""
IN_MEMORY_BYTES_MAX = 1 << 28
"""Bytes of a copy that is held in memory; a longer one is a file without a name."""
COPY_BYTES = 1 << 30
"""Bytes that one call may copy."""
CANNOT_SEND = (errno.EINVAL, errno.ENOSYS, errno.ENOTSOCK, errno.EOPNOTSUPP)
"""Some systems send to sockets alone, and some file systems do not send."""
BLOCK_BYTES = 1 << 20
"""Bytes that are read of a copy at once: little enough to stay in the processor's cache."""


def regular_file(path: Path) -> os.stat_result:
    """The file's status; refuses what is no plain file (links, pipes, devices, folders)."""
    try:
        status = path.lstat()
    except (OSError, ValueError) as error:
        raise _missing(path, error) from error
    if not stat.S_ISREG(status.st_mode):
        raise _not_regular(path)
    return status


@contextlib.contextmanager
def opened(path: Path) -> Iterator[tuple[int, os.stat_result]]:
    """A plain file, open for reading, and its status. Nothing else is opened, not even for a
    moment, nor what takes its place meanwhile. Raises InputRefused, or EnvironmentFailed."""
    before = regular_file(path)
    try:
        file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENXIO):
            raise _not_regular(path) from error
        raise EnvironmentFailed(f"{path} cannot be read: {error.strerror}") from error
    try:
        status = os.fstat(file)
        if not os.path.samestat(before, status):
            raise changed(path)
        yield file, status
    finally:
        os.close(file)


def name_twice(text: bytes) -> str | None:
    """A name that stands twice in one object of a JSON text, at any depth: readers differ in which
    of two they take, so that whoever signs a document could read another one than the switch.
    text: sound JSON."""

    def pairs(found: list[tuple[str, object]]) -> None:
        known: set[str] = set()
        for name, _ in found:
            if name in known:
                twice.append(name)
            known.add(name)

    twice: list[str] = []
    json.loads(text, object_pairs_hook=pairs, parse_int=str, parse_float=str)
    return twice[0] if twice else None


def decode_once(text: bytes, kind: type[T]) -> T:
    """The document of a JSON text in which no name stands twice (`name_twice`). kind: the type that
    it has. Raises msgspec.MsgspecError, UnicodeDecodeError or RecursionError."""
    document = msgspec.json.decode(text, type=kind)
    if (twice := name_twice(text)) is not None:
        raise msgspec.DecodeError(f"{twice} stands twice")
    return document


def read_small(path: Path, most: int = SMALL_BYTES_MAX) -> bytes:
    """All of a small file, to which a link may lead. Raises InputRefused for what is no plain file
    or has more than most bytes, or EnvironmentFailed."""
    try:
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            raise _not_regular(path) from IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        if not stat.S_ISREG(mode):
            raise _not_regular(path)
        file = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except InputRefused:
        raise
    except (FileNotFoundError, NotADirectoryError, ValueError) as error:
        raise _missing(path, error) from error
    except OSError as error:
        raise EnvironmentFailed(f"{path} cannot be read: {error.strerror}") from error
    with open(file, "rb", buffering=0) as stream:
        if not stat.S_ISREG(os.fstat(file).st_mode):
            raise _not_regular(path)
        content = bytearray()
        try:
            # One byte beyond the limit is asked for, whatever the file says its size is.
            while len(content) <= most and (block := stream.read(most + 1 - len(content))):
                content += block
        except OSError as error:
            raise EnvironmentFailed(f"{path} cannot be read: {error.strerror}") from error
    if len(content) > most:
        raise InputRefused(
            "SIZE_LIMIT",
            f"the file has more than {most:,} bytes",
            file=str(path),
            remedy="give the file that is meant; none of its kind is so long",
        )
    return bytes(content)


def reason_of(error: Exception) -> str:
    """Words of the system in a refusal by `read_small`, or else those of the refusal."""
    return getattr(error.__cause__, "strerror", None) or str(error)


@contextlib.contextmanager
def sealed(path: Path, file: int, size: int, room: Path | None) -> Iterator[int]:
    """A handle of a copy of the first size bytes of an open file, to which nobody can write any
    more: in memory and sealed, or, where it is long or memory cannot be sealed, in a file without a
    name. room: the folder for that; None: the one for temporary files. Raises InputRefused where
    the file is shorter by now, or EnvironmentFailed where there is no room."""
    try:
        copy = _in_memory() if size <= IN_MEMORY_BYTES_MAX else None
        is_sealed = copy is not None
        if copy is None:
            copy = _without_name(Path(tempfile.gettempdir()) if room is None else room)
    except OSError as error:
        raise EnvironmentFailed(f"no room to copy {path}: {error.strerror}") from error
    try:
        try:
            done = _copied(file, copy, size)
            if is_sealed:
                seals = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW
                fcntl.fcntl(copy, fcntl.F_ADD_SEALS, seals | fcntl.F_SEAL_WRITE)
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.ENOMEM):
                raise EnvironmentFailed(f"no room to copy {path}: {error.strerror}") from error
            raise EnvironmentFailed(f"{path} cannot be read: {error.strerror}") from error
        if done < size:
            raise changed(path)
        yield copy
    finally:
        os.close(copy)


def blocks(copy: int) -> Iterator[memoryview]:
    """The bytes of a copy in order; each block lasts until the next."""
    room = bytearray(BLOCK_BYTES)
    block, at = memoryview(room), 0
    while count := os.preadv(copy, [room], at):
        yield block[:count]
        at += count


def require_unchanged(path: Path, before: os.stat_result) -> None:
    """Raise InputRefused where a file is not the one that it was. A writer can set the time of
    writing back, but not that of the change."""
    if is_changed(before, path.stat()):
        raise changed(path)


def is_changed(before: os.stat_result, after: os.stat_result) -> bool:
    """True where a file is no longer the one that it was, by its status then and now."""
    same = ("st_dev", "st_ino", "st_size", "st_mtime_ns", "st_ctime_ns")
    return any(getattr(before, field) != getattr(after, field) for field in same)


def _in_memory() -> int | None:
    """A file of memory that can be sealed; None where the system has none."""
    if not hasattr(os, "memfd_create") or not hasattr(fcntl, "F_ADD_SEALS"):
        return None
    try:
        return os.memfd_create("switch-given", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    except OSError:
        return None


def _without_name(folder: Path) -> int:
    """A file in the folder that has no name, so that no other process finds it."""
    if hasattr(os, "O_TMPFILE"):
        with contextlib.suppress(OSError):  # Not every file system can.
            flags = os.O_TMPFILE | os.O_RDWR | os.O_EXCL | os.O_CLOEXEC
            return os.open(folder, flags, 0o600)
    file, name = tempfile.mkstemp(prefix=".given-", dir=folder)
    os.unlink(name)
    return file


def _copied(file: int, copy: int, size: int) -> int:
    """Copy the first size bytes; how many there were."""
    done = 0
    try:
        while done < size:
            count = os.sendfile(copy, file, done, min(size - done, COPY_BYTES))
            if count == 0:
                break
            done += count
        return done
    except OSError as error:
        if done or error.errno not in CANNOT_SEND:
            raise
    room = bytearray(BLOCK_BYTES)
    block = memoryview(room)
    while done < size and (count := os.preadv(file, [block[: size - done]], done)):
        done += os.pwrite(copy, block[:count], done)
    return done


def _missing(path: Path, error: Exception) -> InputRefused:
    what = getattr(error, "strerror", None) or "its name is not usable"
    return InputRefused(
        "FILE_MISSING",
        f"the file cannot be opened: {what}",
        file=str(path),
        remedy="check the path",
    )


def _not_regular(path: Path) -> InputRefused:
    return InputRefused(
        "NOT_REGULAR",
        "not a regular file",
        file=str(path),
        remedy="give the file itself, not a link, pipe, device or folder",
    )


def changed(path: Path) -> InputRefused:
    """The refusal of a file that is no longer the one that it was."""
    return InputRefused(
        "CHANGED_DURING_READ",
        "the file changed while it was read",
        file=str(path),
        remedy="send it again when its writer is done",
    )
