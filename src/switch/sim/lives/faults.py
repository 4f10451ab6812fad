"""Faults of the machine, injected where the engine touches the disk.

The places are the few operations through which a home and its segments reach the disk; while a
fault is armed, they are wrapped. A crash is told from what stands on the disk at that moment: the
home is copied before anything can tidy up behind it, and life goes on with the copy. A loss of
power also takes from the copy what was not synced: contents of files, entries of folders.
"""

from __future__ import annotations

import contextlib
import errno
import os
import random
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from switch.files import segment
from switch.home import store
from switch.home.catalog import Catalog
from switch.home.chain import Chain
from switch.sim.lives.operations import Fault

KINDS = store.KINDS
CHECKPOINT = "checkpoint"


class Crash(BaseException):
    """The process is gone. No handler of the engine may take it for an error."""


@contextlib.contextmanager
def unlocked() -> Iterator[None]:
    """Homes open in here though another writer has them: the file system obeys no lock."""
    locked = store.lock
    store.lock = lambda path, writing, wait=0: (path / "lock").open("rb")
    try:
        yield
    finally:
        store.lock = locked


class Faults:
    """Arms one fault for one operation on a home: a context manager.

    Afterwards `fired` says where it struck ('' where the operation touched the disk less often),
    and `committed` whether the catalog's transaction had ended before.
    """

    def __init__(self, home: Path, fault: Fault | None) -> None:
        self.home = home
        self.fault = fault
        self.fired = ""
        self.committed = False
        self.aside = home.with_name(home.name + ".crashed")
        self._touches = 0
        self._inodes: set[int] = set()
        self._entries: dict[int, set[str]] = {}
        self._undo = contextlib.ExitStack()

    def __enter__(self) -> Faults:
        if self.fault is None:
            return self
        if self.fault.kind == "power":
            for path in self._paths():
                self._synced(path)
        write, sync = segment.HashingFile.write, segment.sync_file
        append, transaction = Chain.append, Catalog.transaction
        copy, drop = shutil.copyfile, store.Home.drop_old_registers

        def hashing_write(file: segment.HashingFile, data: bytes) -> int:
            if not file.abandoned:
                self._touch("write")
            return write(file, data)

        def sync_path(path: Path) -> None:
            self._touch("sync")
            sync(path)
            self._synced(path)

        def append_audit(*values: Any) -> None:
            self._touch("statement")
            append(*values)
            self._touch("statement")

        @contextlib.contextmanager
        def whole_transaction(*values: Any) -> Iterator[None]:
            self._touch("begin")
            with transaction(*values):
                yield
            self.committed = True
            self._touch("committed")

        def copyfile(source: Path, target: Path, *, follow_symlinks: bool = True) -> Path:
            self._touch("copy")
            return copy(source, target, follow_symlinks=follow_symlinks)

        def drop_old(home: store.Home) -> None:
            self._touch("drop")
            drop(home)

        self._patch(segment.HashingFile, "write", hashing_write)
        self._patch(segment, "sync_file", sync_path)
        self._patch(segment, "sync_folder", sync_path)
        self._patch(Chain, "append", append_audit)
        self._patch(Catalog, "transaction", whole_transaction)
        self._patch(shutil, "copyfile", copyfile)
        self._patch(store.Home, "drop_old_registers", drop_old)
        return self

    def __exit__(self, *_: object) -> None:
        self._undo.close()

    def strike_after(self) -> bool:
        """The operation has answered without having met its fault: the machine dies now. Says
        whether it did; a full disk does not strike the idle."""
        if self.fault is None or self.fired or self.fault.kind == "full":
            return False
        self._die("answered")
        return True

    def survive(self) -> None:
        """After a crash, and with the home closed: what was on the disk takes its place."""
        assert self.fired
        shutil.rmtree(self.home)
        self.aside.rename(self.home)

    def _patch(self, owner: object, name: str, wrapped: Callable[..., object]) -> None:
        self._undo.callback(setattr, owner, name, getattr(owner, name))
        setattr(owner, name, wrapped)

    def _touch(self, where: str) -> None:
        assert self.fault is not None
        if self.fired:
            return
        self._touches += 1
        if self._touches <= self.fault.point:
            return
        if self.fault.kind == "full":
            if where in ("committed", "drop", "begin"):
                return
            self.fired = where
            if where == "statement":
                raise sqlite3.OperationalError("database or disk is full")
            number = errno.EIO if where == "sync" else errno.ENOSPC
            raise OSError(number, os.strerror(number))
        self._die(where)
        raise Crash(where)

    def _die(self, where: str) -> None:
        """Keep what stands on the disk at this moment."""
        assert self.fault is not None
        self.fired = where
        shutil.copytree(self.home, self.aside, symlinks=True)
        if self.fault.kind == "power":
            self._lose(random.Random(self.fault.salt))

    # --- a loss of power ------------------------------------------------------------------------

    def _paths(self) -> list[Path]:
        """Paths that the store promises to be durable, in a fixed order."""
        tops = [self.home / kind for kind in KINDS if (self.home / kind).exists()]
        found = [*tops, *(path for top in tops for path in top.rglob("*"))]
        checkpoint = self.home / CHECKPOINT
        return sorted([*found, *([checkpoint] if checkpoint.exists() else [])])

    def _synced(self, path: Path) -> None:
        inode = path.stat().st_ino
        self._inodes.add(inode)
        if path.is_dir():
            self._entries[inode] = {entry.name for entry in path.iterdir()}

    def _lose(self, rng: random.Random) -> None:
        """Take from the copy what nothing has made durable; each part may also have survived."""
        for path in self._paths():
            there = self.aside / path.relative_to(self.home)
            inode = path.stat().st_ino
            if not there.exists():
                continue
            if path.is_file() and inode not in self._inodes:
                fate = rng.randrange(3)
                if fate == 0:
                    there.unlink()
                elif fate == 1:
                    os.truncate(there, there.stat().st_size // 2)
            elif path.is_dir():
                for name in sorted(
                    {p.name for p in path.iterdir()} - self._entries.get(inode, set())
                ):
                    entry = there / name
                    if rng.random() < 0.5 and entry.is_dir():
                        shutil.rmtree(entry)
                    elif rng.random() < 0.5 and entry.is_file():
                        entry.unlink()
