"""Disk: what the machine fails at, in words, and copies that land whole.

Floor 2, below the home. Whatever the system or SQLite says becomes an EnvironmentFailed, with what
was needed and what there is.
"""

from __future__ import annotations

import contextlib
import errno
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from switch.errors import CopyFailed, EnvironmentFailed, SwitchError, UsageError


@contextlib.contextmanager
def machine(path: Path, needed: int = 0) -> Iterator[None]:
    """What the machine fails at in here is an EnvironmentFailed. needed: about how many bytes the
    work takes, where known."""
    try:
        yield
    except SwitchError:
        raise
    except OSError as error:
        raise environment(error, path, needed) from error
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
def landing(target: Path) -> Iterator[Path]:
    """A path to write a copy for people to; the copy lands whole under its name, or not at all. It
    is not synced: what a power cut takes of it, the same command writes again."""
    aside = target.with_name(f".{target.name}.part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        yield aside
        aside.replace(target)
    except BaseException as error:
        with contextlib.suppress(OSError):
            aside.unlink()
        if isinstance(error, OSError):
            raise CopyFailed(environment(error, target.parent)) from error
        raise


def out_folder(home: Path, out: str | Path | None) -> Path:
    """Where copies for people go: HOME/out, or the folder that is given. Raises UsageError for one
    inside the home, where a copy could take the place of what was committed."""
    if out is None:
        return home / "out"
    folder, inside = Path(out).resolve(), home.resolve()
    if folder.is_relative_to(inside) and not folder.is_relative_to(inside / "out"):
        raise UsageError(f"{out} is inside the home: give a folder beside it, or HOME/out")
    return Path(out)


def sizes(path: Path) -> dict[str, int]:
    """Bytes of every file of a folder, or of the one file, by name."""
    files = [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file())
    return {file.relative_to(path.parent).as_posix(): file.stat().st_size for file in files}


def no_room(path: Path, free: int, needed: int) -> str:
    """needed: about how many bytes the work takes, 0 where that is not known."""
    return f"the disk of {path} is full ({free:,} bytes free{_about(needed)}): make room"


def _about(needed: int) -> str:
    return f", about {needed:,} are needed" if needed else ""
