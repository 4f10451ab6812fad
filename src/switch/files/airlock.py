"""Airlock: files of others are opened by another process, and only their rows come in.

One altered byte of a Parquet footer may abort the process that reads it, hang it, or make it ask
for more memory than there is. So `opened` passes the open file to a child (`decoder` is its side)
and reads an Arrow IPC stream from a pipe:

    engine  --- request, file, pipe --->  waiting process  --- fork --->  a child a file
    engine  <--- head, schema, IPC stream, fault or none ---------------  the same child

A child that dies, keeps silent or takes too much memory refuses its file, and nothing else. The
waiting process is started once (`start`), and shared by whoever was forked since: each request is
one message, each answer has a pipe of its own.
"""

from __future__ import annotations

import atexit
import contextlib
import fcntl
import io
import json
import os
import select
import signal
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Collection, Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypedDict

from switch.errors import EnvironmentFailed, InputRefused, SwitchError
from switch.schema import Kind

if TYPE_CHECKING:
    import pyarrow as pa
    from typing_extensions import Buffer

    from switch.files.columns import Opened

MEMORY_MAX = 4 << 30
"""Bytes that a child may take beyond its libraries."""
SILENCE_SECONDS_MAX = 60
"""Seconds for which a child may give no sign while the engine waits for it."""
GONE_SECONDS = 0.2
"""Seconds that a process may take to be gone after its last handle is."""
REQUEST_BYTES = 2048
"""Every request is padded to this, so that each is one message."""
PIPE_BYTES = 1 << 20
SAID_BYTES_MAX = 1 << 20
HEAD = struct.Struct("<Q")
"""Length of a JSON text in the answer."""
TUNABLES = (
    "glibc.malloc.hugetlb=1:glibc.malloc.top_pad=33554432"
    ":glibc.malloc.mmap_threshold=33554432:glibc.malloc.trim_threshold=1073741824"
)
"""Settings of a child's memory: large pages where the system has them, and it keeps those that it
has. A sixth of its time went into pages that were new each time."""
FILE_BAD = "FILE_BAD"

PROGRAM = "from switch.files.airlock_child import serve; serve(HANDLE)"
"""The program of the waiting process, which finds modules as the engine does."""

_waiting: tuple[socket.socket, subprocess.Popen[bytes], int] | None = None
"""The engine's end of the socket, the process, and who started it. It is no state of an engine: it
opens no file, and a child knows nothing of another one."""
_starting = threading.Lock()


def start() -> socket.socket:
    """The way to the waiting process, which is started where there is none: it takes a fifth of a
    second to be ready, in which the caller can do other things."""
    global _waiting
    with _starting:
        if _waiting is None:
            ours, theirs = socket.socketpair()
            paths = [os.path.abspath(path) for path in sys.path]
            program = f"import sys; sys.path[:] = {paths!r}\n"
            program += PROGRAM.replace("HANDLE", str(theirs.fileno()))
            try:
                process = subprocess.Popen(
                    [sys.executable, "-I", "-c", program],
                    pass_fds=[theirs.fileno()],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,  # An abort may quote what it read.
                    env=os.environ | _memory(),
                )
            except OSError as error:
                raise EnvironmentFailed(f"no process for reading files: {error}") from error
            theirs.close()
            _waiting = (ours, process, os.getpid())
        return _waiting[0]


def _memory() -> dict[str, str]:
    """Variables that tell a child of memory. Settings of the machine's owner for glibc stay, and
    win."""
    theirs = os.environ.get("GLIBC_TUNABLES")
    return {
        "ARROW_DEFAULT_MEMORY_POOL": "system",  # Its own pools reserve more than a child may have.
        "GLIBC_TUNABLES": f"{TUNABLES}:{theirs}" if theirs else TUNABLES,
        "OPENBLAS_NUM_THREADS": "1",  # Others would spin for a tenth of a second, and do nothing.
    }


@atexit.register
def stop() -> None:
    """End the waiting process; the next `start` makes another."""
    global _waiting
    with _starting:
        if _waiting is not None:
            ours, process, starter = _waiting
            _waiting = None
            ours.close()
            if starter == os.getpid():
                # Whoever was forked meanwhile may hold the socket, too, and starts another.
                process.terminate()
                process.wait()


def ask(
    file: int,
    name: str,
    form: str,
    wanted: dict[str, Kind],
    group: int | None = None,
    spare: int | None = 0,
    choices: Sequence[Choice] = (),
) -> Answer:
    """Have a child open a file, which `opened` then gives; the caller may do other things first.

    file: a handle of the open file; name: what messages call it; group: the row group that is
    wanted, of the form that has them; spare: bytes of texts beyond what their columns take
    up to which they pass, where these judge them one by one; None: all do. choices: of wanted,
    where the file's own columns say which are meant (`chosen`).
    """
    request = {
        "form": form,
        "wanted": {column: kind.name for column, kind in wanted.items()},
        "group": group,
        "spare": spare,
        "memory": MEMORY_MAX,
        "choices": choices,
    }
    return Answer(_send(json.dumps(request).encode().ljust(REQUEST_BYTES), file), name)


def chosen(names: Collection[str], choices: Sequence[Choice]) -> int | None:
    """The number of the first choice of which a file with columns of these names lacks none that it
    must have; None where there is none."""
    known = set(names)
    fitting = (i for i, choice in enumerate(choices) if known.issuperset(choice["needed"]))
    return next(fitting, None)


def opened(answer: Answer) -> Opened:
    """Open a file as the opener of its form does (`formats`), but in a child: the record batches
    have the wanted columns. Raises InputRefused."""
    import pyarrow as pa

    from switch.files.columns import Opened

    schema, rows = _head(answer)

    def batches() -> Iterator[pa.RecordBatch]:
        with answer:
            try:
                rows = pa.ipc.open_stream(answer.stream)
                yield from rows
            except (pa.ArrowException, OSError) as error:
                raise answer.died() from error
            fault = answer.said()["fault"]
            if fault is not None and fault["rule"] == FILE_BAD:
                raise pa.ArrowInvalid(fault["what"])
            answer.require_sound(fault)

    return Opened(schema, batches, rows)


def groups(answer: Answer) -> tuple[pa.Schema, list[int]]:
    """(Arrow schema of the wanted columns, rows of each row group) of a Parquet file that was asked
    for by groups. Raises InputRefused."""
    return _head(answer)


def _head(answer: Answer) -> tuple[pa.Schema, Any]:
    """(Arrow schema, rows that the file declares) from a child."""
    import pyarrow as pa

    head = answer.said()
    answer.pid = head["pid"]
    answer.require_sound(head["fault"])
    try:
        return pa.ipc.read_schema(pa.py_buffer(answer.take(head["schema"]))), head["rows"]
    except pa.ArrowException as error:
        raise answer.died() from error


def _send(request: bytes, file: int) -> int:
    """Pass a file and a request on; the handle from which the answer comes."""
    assert len(request) == REQUEST_BYTES
    ours, theirs = os.pipe()
    with contextlib.suppress(AttributeError, OSError):  # Linux alone lets a pipe grow.
        fcntl.fcntl(theirs, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
    try:
        try:
            socket.send_fds(start(), [request], [file, theirs])
        except (BrokenPipeError, ConnectionResetError):
            # Somebody ended the waiting process.
            stop()
            socket.send_fds(start(), [request], [file, theirs])
    except OSError as error:
        raise EnvironmentFailed(f"the process that reads files has ended: {error}") from error
    finally:
        os.close(theirs)
    return ours


def _is_gone() -> bool:
    """True where the waiting process itself has ended, so that no file is to blame."""
    if _waiting is None or _waiting[2] != os.getpid():
        return False
    try:
        _waiting[1].wait(GONE_SECONDS)
    except subprocess.TimeoutExpired:
        return False
    return True


class _Pipe(io.RawIOBase):
    """The reading end of a pipe, which does not wait for ever."""

    def __init__(self, handle: int) -> None:
        self._handle = handle
        self._poll = select.poll()
        self._poll.register(handle, select.POLLIN)
        self.silent = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Buffer) -> int:
        if not self._poll.poll(SILENCE_SECONDS_MAX * 1000):
            self.silent = True
            raise TimeoutError
        return os.readv(self._handle, [buffer])

    def close(self) -> None:
        if not self.closed:
            os.close(self._handle)
        super().close()


class Fault(TypedDict, total=False):
    """Refusal by a child, or an error of the machine, which has a number."""

    rule: str
    what: str
    remedy: str
    row: int | None
    column: str | None
    errno: int


class Choice(TypedDict):
    """Columns of one kind of tables."""

    wanted: list[str]
    needed: list[str]
    """Columns among them that a file must have."""


class Answer:
    """The answer of a child. Leaving it, closing it, or forgetting it ends the child."""

    def __init__(self, handle: int, name: str) -> None:
        self._pipe = _Pipe(handle)
        self.stream = io.BufferedReader(self._pipe, PIPE_BYTES)
        self.name = name
        self.pid = 0

    def __enter__(self) -> Answer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self.stream.close()

    def take(self, size: int) -> bytes:
        try:
            content = self.stream.read(size)
        except TimeoutError as error:
            raise self.died() from error
        if len(content) < size:
            raise self.died()
        return content

    def said(self) -> dict[str, Any]:
        """The next JSON text."""
        (size,) = HEAD.unpack(self.take(HEAD.size))
        if size > SAID_BYTES_MAX:
            raise self.died()
        try:
            said: dict[str, Any] = json.loads(self.take(size))
        except ValueError as error:
            raise self.died() from error
        return said

    def died(self) -> SwitchError:
        """The refusal of a file whose reader is gone, or is ended here because it is silent."""
        if self.pid == 0 and _is_gone():
            return EnvironmentFailed("the process that reads files has ended: try again")
        if self._pipe.silent:
            if self.pid:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(self.pid, signal.SIGKILL)
            what = f"reading the file gave no sign for {SILENCE_SECONDS_MAX} seconds"
            remedy = "ask for the file again; it is damaged"
            return InputRefused("READER_TIME", what, file=self.name, remedy=remedy)
        what = "the process that read the file died of it"
        remedy = "ask for the file again; it is damaged"
        return InputRefused("READER_CRASHED", what, file=self.name, remedy=remedy)

    def require_sound(self, fault: Fault | None) -> None:
        """Raise what the child could not get over."""
        if fault is None:
            return
        if "errno" in fault:
            raise EnvironmentFailed(f"{self.name} cannot be read: {fault['what']}")
        if fault["rule"] == FILE_BAD:
            what = f"the file cannot be opened: {fault['what']}"
            remedy = "ask for the file again; it is damaged or cut off"
            raise InputRefused(FILE_BAD, what, file=self.name, remedy=remedy)
        raise InputRefused(
            fault["rule"],
            fault["what"],
            remedy=fault["remedy"],
            file=self.name,
            row=fault.get("row"),
            column=fault.get("column"),
        )
