"""Disk: what the machine fails at, in words, and copies that land whole.

Whatever the system or SQLite says becomes an EnvironmentFailed, with what was needed and what there
is.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import sqlite3
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

from switch.errors import CopyFailed, EnvironmentFailed, SwitchError, UsageError

CATALOG, SERVED = "catalog.sqlite", "catalog.postgresql"
"""Files of which one makes a home of a folder: the catalog, or what says which server keeps it."""


def is_home(path: Path) -> bool:
    """Say whether a folder is a home: one of the files that make it one is there."""
    return any(os.path.lexists(path / name) for name in (CATALOG, SERVED))


@contextlib.contextmanager
def machine(path: Path, needed: int = 0) -> Iterator[None]:
    """Turn failures of the machine into EnvironmentFailed. needed: bytes that the work takes,
    about, where known."""
    try:
        yield
    except SwitchError:
        raise
    except OSError as error:
        raise environment(error, path, needed) from error
    except UnicodeEncodeError as error:
        raise UsageError("a text is not UTF-8") from error
    except OverflowError as error:
        raise UsageError("a number is beyond 64 bits") from error
    except sqlite3.OperationalError as error:
        if getattr(error, "sqlite_errorcode", sqlite3.SQLITE_IOERR) & 0xFF not in _OF_THE_MACHINE:
            raise
        free = shutil.disk_usage(path).free
        raise EnvironmentFailed(
            f"the catalog in {path} cannot be used: {error} ({free:,} bytes free{_about(needed)})"
        ) from error


_OF_THE_MACHINE = {
    sqlite3.SQLITE_PERM,
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_NOMEM,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_CANTOPEN,
}


def environment(error: OSError, path: Path, needed: int = 0) -> EnvironmentFailed:
    """The machine's failure in words, with what is needed."""
    if isinstance(error, EnvironmentFailed):
        return error
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        there = next(folder for folder in (path, *path.absolute().parents) if folder.exists())
        free = shutil.disk_usage(there).free
        return EnvironmentFailed(no_room(path, free, needed))
    return EnvironmentFailed(f"{error.filename or path}: {error.strerror or error}")


@contextlib.contextmanager
def landing(out: Path, name: str | Path) -> Iterator[BinaryIO]:
    """A new file to write a copy for people to; the copy lands whole as out/name, or not at all. It
    is not synced: what a power cut takes of it, the same command writes again.

    out is a folder of the caller's choice. Whoever can write into it may have put links there, so
    nothing below it is reached through one: folders are entered by their handles, and the file is a
    new one. Only its owner may read it, whatever the umask."""
    target = out / name
    part = f".{target.name}.part"
    try:
        with _entered(out, target.relative_to(out).parent.parts) as folder:
            _require_replaceable(target, folder)
            with contextlib.suppress(FileNotFoundError):
                os.unlink(part, dir_fd=folder)
            try:
                handle = os.open(part, _NEW, 0o600, dir_fd=folder)
                with open(handle, "wb") as file:
                    os.fchmod(handle, 0o600)
                    yield file
                os.rename(part, target.name, src_dir_fd=folder, dst_dir_fd=folder)
            except BaseException:
                with contextlib.suppress(OSError):
                    os.unlink(part, dir_fd=folder)
                raise
    except OSError as error:
        raise CopyFailed(environment(error, target.parent)) from error


def _require_replaceable(target: Path, folder: int) -> None:
    """Raise OSError where a device, a pipe or a folder has the name of a file that is to land: who
    may do anything on the machine would put the file in its place, for all others, too."""
    try:
        mode = os.stat(target.name, dir_fd=folder, follow_symlinks=False).st_mode
    except FileNotFoundError:
        return
    if not (stat.S_ISREG(mode) or stat.S_ISLNK(mode)):
        what = "no file that may be replaced: give the name of a new one"
        raise OSError(errno.EEXIST, what, str(target))


_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


def land(path: Path, content: bytes) -> None:
    """Write a file of people whole or not at all. Raises EnvironmentFailed."""
    try:
        with landing(path.parent, path.name) as file:
            file.write(content)
    except CopyFailed as error:  # Of nothing that is committed.
        raise error.cause from error


@contextlib.contextmanager
def _entered(out: Path, names: Sequence[str]) -> Iterator[int]:
    """The handle of a folder below out. What is missing of it is made, for its owner alone."""
    missing = [folder for folder in (out, *out.parents) if not folder.exists()]
    for folder in reversed(missing):
        with contextlib.suppress(FileExistsError):
            folder.mkdir(0o700)
    place = out
    handle = os.open(out, _FOLDER)
    try:
        for name in names:
            place /= name
            with contextlib.suppress(FileExistsError):
                os.mkdir(name, 0o700, dir_fd=handle)
            try:
                inner = os.open(name, _FOLDER | os.O_NOFOLLOW, dir_fd=handle)
            except OSError as error:
                if error.errno in (errno.ELOOP, errno.ENOTDIR):
                    raise EnvironmentFailed(
                        f"{place} is a link or a file, where copies need a folder: remove it"
                    ) from error
                raise
            os.close(handle)
            handle = inner
        yield handle
    finally:
        os.close(handle)


def copy_into(file: BinaryIO, source: Path) -> None:
    """All bytes of a file, the way that the system has for that: a new file has this name, too,
    which leads through no link."""
    shutil.copyfile(source, f"/dev/fd/{file.fileno()}")


def out_folder(home: Path, out: str | Path | None) -> Path:
    """The folder for copies for people: HOME/out, or the one that is given. Raises UsageError for
    one inside a home, where a copy could take the place of what was committed."""
    if out == "":
        raise UsageError("the place for copies is empty: name one, or leave it out")
    return require_outside(home / "out" if out is None else Path(out), home)


def require_outside(path: Path, home: Path | None = None) -> Path:
    """The path, which is in no home: nothing that is made for people may stand among what was
    committed. home: whose folder out is free all the same. Raises UsageError."""
    try:
        real = path.resolve()
        mine = None if home is None else home.resolve()
    except (OSError, RuntimeError) as error:
        raise UsageError(f"{path} leads nowhere: {error}") from error
    for place in (real, *real.parents):
        if place != mine and not is_home(place):
            continue
        if place != mine or not real.is_relative_to(place / "out"):
            raise UsageError(
                f"{path} is inside the home {place}: give a place beside it, or HOME/out"
            )
    return path


def require_new(path: Path, folders: Sequence[str], files: Sequence[str], aside: Path) -> None:
    """Refuse a folder that was a home, or is in one: folders that commits fill have to be empty,
    and files that tell of a commit may stand only beside the catalog that an `init` made aside, and
    died. Raises UsageError."""
    require_outside(path.absolute().parent)
    if is_home(path):
        return
    was = any(any((path / name).iterdir()) for name in folders if (path / name).is_dir())
    if was or (not aside.exists() and any((path / name).exists() for name in files)):
        raise UsageError(f"{path} is a home whose {CATALOG} is gone: restore it")


def sizes(path: Path) -> dict[str, int]:
    """Bytes of every file of a folder, or of the one file, by name."""
    files = [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file())
    return {file.relative_to(path.parent).as_posix(): file.stat().st_size for file in files}


def no_room(path: Path, free: int, needed: int) -> str:
    """needed: about how many bytes the work takes, 0 where that is not known."""
    return f"the disk of {path} is full ({free:,} bytes free{_about(needed)}): make room"


def _about(needed: int) -> str:
    return f", about {needed:,} are needed" if needed else ""
