"""Workers: who judges the lines of a share, here or in a process of its own.

A worker is asked one thing after the other and answers each in turn, so that it holds no more than
one batch of rows:

    engine  --- task, then rows | seal | sums | cleared --->  worker: partition.Part
    engine  <--- ready, then answers | done | sums | bits ---

A process that dies takes nothing with it, for nothing is committed before all shares are through;
whoever waits for its answer is told WorkerLost.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import signal
import socket
import struct
import subprocess
import sys
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Protocol, TypeVar

import msgspec
import pyarrow as pa

from switch.clearing.partition import ANSWERS, ROWS, Cleared, Part, Sums, Task
from switch.errors import EnvironmentFailed, WorkerLost

HEAD = struct.Struct("<cQ")
"""Kind of a message, and how many bytes follow."""
TASK, JUDGE, SEAL, SUMS, CLEARED = b"t", b"j", b"l", b"s", b"c"
DONE, FAILED = b"d", b"f"
PROGRAM = "from switch.clearing.workers import serve; serve(HANDLE)"
"""Program of a worker's process, which finds modules as the engine does."""
GONE_SECONDS = 10

T = TypeVar("T")


class _Stream(Protocol):
    def read(self, size: int, /) -> bytes: ...

    def write(self, content: bytes | memoryview, /) -> int: ...

    def flush(self) -> None: ...


class Worker(Protocol):
    """Judges the lines of one share, in the order in which they are given."""

    def judge(self, rows: pa.RecordBatch) -> Future[pa.RecordBatch]: ...

    def seal(self) -> Future[None]: ...

    def sums(self) -> Future[Sums]: ...

    def cleared(self) -> Future[Cleared]: ...

    def close(self) -> None: ...


class Serial:
    """A share that is judged here, when it is asked: for a look at what workers do, and for whoever
    may start no process."""

    def __init__(self, task: Task) -> None:
        self._part = Part(task)

    def judge(self, rows: pa.RecordBatch) -> Future[pa.RecordBatch]:
        return known(self._part.judge(rows))

    def seal(self) -> Future[None]:
        self._part.seal()
        return known(None)

    def sums(self) -> Future[Sums]:
        return known(self._part.sums())

    def cleared(self) -> Future[Cleared]:
        return known(self._part.cleared())

    def close(self) -> None:
        self._part.__exit__()


class Process:
    """A share that is judged by a process of its own. Raises EnvironmentFailed where none can be
    started."""

    def __init__(self, task: Task) -> None:
        self._share = f"share {task.number + 1} of {task.of}"
        ours, theirs = socket.socketpair()
        with theirs:
            paths = [os.path.abspath(path) for path in sys.path]
            program = f"import sys; sys.path[:] = {paths!r}\n"
            program += PROGRAM.replace("HANDLE", str(theirs.fileno()))
            try:
                self._process = subprocess.Popen(
                    [sys.executable, "-I", "-c", program],
                    pass_fds=[theirs.fileno()],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,  # What fails is told; an abort may quote a line.
                    env=os.environ | {"OPENBLAS_NUM_THREADS": "1"},
                )
            except OSError as error:
                ours.close()
                raise EnvironmentFailed(f"no process for {self._share}: {error}") from error
        self._ours = ours
        self._stream = ours.makefile("rwb")
        self._pool = ThreadPoolExecutor(1, "switch-share")
        self._begun = self._pool.submit(self._exchanged, TASK, msgspec.json.encode(task))

    def judge(self, rows: pa.RecordBatch) -> Future[pa.RecordBatch]:
        return self._pool.submit(self._judge, rows)

    def seal(self) -> Future[None]:
        return self._pool.submit(self._seal)

    def sums(self) -> Future[Sums]:
        return self._pool.submit(self._sums)

    def cleared(self) -> Future[Cleared]:
        return self._pool.submit(self._cleared)

    def close(self) -> None:
        """End the process, whatever it does; twice is no mistake."""
        self._process.kill()
        self._pool.shutdown(cancel_futures=True)
        with contextlib.suppress(OSError):
            self._stream.close()
        self._ours.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(GONE_SECONDS)

    def _judge(self, rows: pa.RecordBatch) -> pa.RecordBatch:
        return pa.ipc.read_record_batch(pa.py_buffer(self._ask(JUDGE, rows.serialize())), ANSWERS)

    def _seal(self) -> None:
        self._ask(SEAL)

    def _sums(self) -> Sums:
        return msgspec.msgpack.decode(self._ask(SUMS), type=Sums)

    def _cleared(self) -> Cleared:
        return msgspec.msgpack.decode(self._ask(CLEARED), type=Cleared)

    def _ask(self, what: bytes, content: bytes | pa.Buffer = b"") -> bytes:
        self._begun.result()  # Whoever could not begin says why each time that it is asked.
        return self._exchanged(what, content)

    def _exchanged(self, what: bytes, content: bytes | pa.Buffer) -> bytes:
        try:
            said, answer = _exchange(self._stream, what, content)
        except (OSError, EOFError, ValueError) as error:
            raise WorkerLost(
                f"the process of {self._share} is gone, killed or out of memory: nothing was"
                " committed; run the same again"
            ) from error
        if said == FAILED:
            raise pickle.loads(answer)
        return answer


def known(answer: T) -> Future[T]:
    """An answer that is there already."""
    future: Future[T] = Future()
    future.set_result(answer)
    return future


def _exchange(stream: _Stream, what: bytes, content: bytes | pa.Buffer) -> tuple[bytes, bytes]:
    _send(stream, what, content)
    return _receive(stream)


def _send(stream: _Stream, what: bytes, content: bytes | pa.Buffer) -> None:
    view = memoryview(content)
    stream.write(HEAD.pack(what, view.nbytes))
    stream.write(view)
    stream.flush()


def _receive(stream: _Stream) -> tuple[bytes, bytes]:
    head = stream.read(HEAD.size)
    if len(head) < HEAD.size:
        raise EOFError
    what, size = HEAD.unpack(head)
    content = stream.read(size)
    if len(content) < size:
        raise EOFError
    return what, content


def serve(handle: int) -> None:
    """Judge a share until whoever asks is gone: what a worker's process does."""
    # Ctrl-C reaches all processes of a terminal; the engine says what becomes of this one.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    gone = contextlib.suppress(EOFError, ConnectionError)
    with socket.socket(fileno=handle) as asking, asking.makefile("rwb") as stream, gone:
        _serve(stream)


def _serve(stream: _Stream) -> None:
    part: Part | None = None
    while True:
        what, content = _receive(stream)
        try:
            answer: bytes | pa.Buffer = b""
            if what == TASK:
                part = Part(msgspec.json.decode(content, type=Task))
            elif part is not None and what == JUDGE:
                rows = pa.ipc.read_record_batch(pa.py_buffer(content), ROWS)
                answer = part.judge(rows).serialize()
            elif part is not None and what == SEAL:
                part.seal()
            elif part is not None:
                answer = msgspec.msgpack.encode(part.sums() if what == SUMS else part.cleared())
            _send(stream, DONE, answer)
        except (EOFError, ConnectionError):
            raise
        except Exception as error:
            _send(stream, FAILED, _told(error))


def _told(error: Exception) -> bytes:
    """An error for whoever asked, as it was raised; its name where it is none that can be sent."""
    try:
        return pickle.dumps(error)
    except Exception:
        return pickle.dumps(EnvironmentFailed(f"a worker failed: {type(error).__name__}"))
