"""Interposer: libc's file-system calls counted, and made to fail, where preload.c stands before it.

Modes say how a call fails; a process of its own, started here, has the interposer loaded.
"""

from __future__ import annotations

import ctypes
import errno
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import switch

HERE = Path(__file__).parent
OFF, COUNT, KILL, TORN, FAIL_ONCE, FAIL_FROM, SHORT, RECORD, POWER_CUT = range(9)
KINDS = (
    "open write sync rename link unlink rmdir mkdir truncate copy chmod".upper().split()
)  # as in preload.c
ALL = (1 << len(KINDS)) - 1
GROWS = ("OPEN", "WRITE", "LINK", "MKDIR", "COPY")
"""What needs room on a disk."""
WRITES = ("WRITE", "COPY")


class Mode(NamedTuple):
    """A way to fail. kinds: the calls it strikes at ('' is all of them)."""

    how: int
    error: int = 0
    kinds: tuple[str, ...] = ()
    must_succeed: bool = False

    @property
    def bits(self) -> int:
        return sum(1 << KINDS.index(kind) for kind in self.kinds) or ALL


MODES = {
    # Killed after call n is killed before call n + 1: the disk holds the same.
    "kill": Mode(KILL),
    "torn": Mode(TORN, kinds=WRITES),
    "eio": Mode(FAIL_ONCE, errno.EIO),
    "eio-on": Mode(FAIL_FROM, errno.EIO),
    "enospc": Mode(FAIL_ONCE, errno.ENOSPC, GROWS),
    "enospc-on": Mode(FAIL_FROM, errno.ENOSPC, GROWS),
    "read-only": Mode(FAIL_FROM, errno.EROFS, tuple(k for k in KINDS if k != "SYNC")),
    "eintr": Mode(FAIL_ONCE, errno.EINTR, ("OPEN", "WRITE", "SYNC")),
    "short": Mode(SHORT, kinds=WRITES, must_succeed=True),
}


# --- the interposer -------------------------------------------------------------------------------


class State(ctypes.Structure):
    _fields_ = (
        ("calls", ctypes.c_long),
        ("fired", ctypes.c_long),
        ("path", ctypes.c_char * 4096),
        ("kinds", ctypes.c_ubyte * 65536),
    )


class Interposer:
    """preload.so in this process, which must have been started with it."""

    def __init__(self) -> None:
        self._library = ctypes.CDLL(os.environ["LD_PRELOAD"].split()[-1])
        self._library.crash_state.restype = ctypes.POINTER(State)
        self._library.crash_arm.argtypes = (
            ctypes.c_char_p,
            ctypes.c_int,
            ctypes.c_long,
            ctypes.c_int,
            ctypes.c_uint,
        )
        self.state = self._library.crash_state().contents

    def arm(self, folder: Path, how: int, number: int, error: int = 0, kinds: int = ALL) -> None:
        self._library.crash_arm(os.fsencode(folder), how, number, error, kinds)

    def record(self, folder: Path, log: Path) -> None:
        self._library.crash_record(os.fsencode(folder), os.fsencode(log))

    def disarm(self) -> None:
        self._library.crash_disarm()

    @property
    def kinds(self) -> list[str]:
        return [KINDS[kind] for kind in self.state.kinds[: self.state.calls]]


def unavailable() -> str:
    """Why nothing can be interposed here; '' where it can."""
    if sys.platform != "linux":
        return "crash tests need Linux (LD_PRELOAD)"
    if shutil.which("cc") is None:
        return "crash tests need a C compiler, and there is no `cc`"
    return ""


def build(folder: Path) -> Path:
    """preload.so, compiled into folder."""
    library = folder / "preload.so"
    subprocess.run(
        ["cc", "-shared", "-fPIC", "-O1", "-o", library, HERE / "preload.c", "-ldl"], check=True
    )
    return library


def start(library: Path, program: str, *args: object) -> subprocess.CompletedProcess[str]:
    """A program of this folder under the interposer, to its end."""
    paths = [HERE, HERE.parent, Path(switch.__file__).parents[1]]
    # Behind what is preloaded already: the runtimes of sanitizers come first.
    preload = f"{os.environ.get('LD_PRELOAD', '')} {library}".strip()
    return subprocess.run(
        [sys.executable, str(HERE / program), *map(str, args)],
        env=os.environ | {"LD_PRELOAD": preload, "PYTHONPATH": os.pathsep.join(map(str, paths))},
        capture_output=True,
        text=True,
        check=False,
    )
