"""The process behind the airlock: it opens files of others, so that the engine's own never does.

It runs in a process of its own (`airlock` starts it and says what passes between the two). That
process waits with its libraries loaded, opens no file itself, and forks one child a file. The child
takes limits, decodes, and hands the rows over as an Arrow IPC stream; what goes wrong with it, the
next file does not notice.
"""

from __future__ import annotations

import gc
import json
import os
import resource
import select
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, TypedDict

import pyarrow as pa
import pyarrow.parquet as pq

from switch.errors import InputRefused
from switch.files import formats
from switch.files.airlock import FILE_BAD, HEAD, REQUEST_BYTES, Choice, Fault, chosen
from switch.files.columns import BadValue, first_line, require_short
from switch.files.parquet_reader import RowGroups
from switch.schema import Kind

Batches = Callable[[], Iterator[pa.RecordBatch]]


class _Request(TypedDict):
    """Request as `airlock.ask` makes it."""

    form: str
    wanted: dict[str, str]
    group: int | None
    spare: int | None
    memory: int
    choices: list[Choice]


def _groups(
    path: Path, wanted: dict[str, Kind], group: int | None
) -> tuple[pa.Schema, Batches | None, list[int] | None]:
    """The schema and the rows of each row group of a Parquet file; with group that row group alone,
    as one record batch. Columns of Kind.CODE come as dictionaries where the file has them so."""
    if group is None:
        schema, _, _ = formats.parquet(path, wanted)
        names = [name for name in wanted if name in schema.names]
        for name in names:
            if schema.names.count(name) > 1:
                what = f"column {name!r} stands twice"
                remedy = "keep one column of each name"
                raise InputRefused("HEADER_DUPLICATE", what, column=name, remedy=remedy)
        found = RowGroups(path)
        rows = [found.rows(number) for number in range(len(found))]
        return pa.schema([schema.field(name) for name in names]), None, rows

    def batches() -> Iterator[pa.RecordBatch]:
        meta = pq.read_metadata(path)
        codes = [name for name, kind in wanted.items() if kind is Kind.CODE]
        few = [name for name in codes if formats.has_dictionary_form(meta, name)]
        few += formats.long_worded(path, meta, [n for n in wanted if n not in few], group)
        columns = RowGroups(path, few).read(group, wanted)
        yield pa.RecordBatch.from_arrays(list(columns.values()), list(columns))

    return pa.schema([]), batches, None


_OPENERS: dict[str, Callable[..., tuple[pa.Schema, Batches | None, object]]] = {
    "csv": formats.csv,
    "parquet": formats.parquet,
    "arrow": formats.arrow,
    "groups": _groups,
}


def serve(handle: int) -> None:
    """Fork a child for each request until the engine's end of the socket is closed."""
    requests = socket.socket(fileno=handle)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # A collection in a child would copy every page that it shares with this process.
    gc.disable()
    gc.freeze()
    while True:
        request, files, _, _ = socket.recv_fds(requests, REQUEST_BYTES, 2, socket.MSG_WAITALL)
        if not request:
            return
        if os.fork() == 0:
            try:
                requests.close()
                reply = files[1]
                threading.Thread(target=_leave_with_reader, args=(reply,), daemon=True).start()
                _answer(json.loads(request), *files)
            finally:
                os._exit(0)
        for file in files:
            os.close(file)


def _answer(request: _Request, file: int, reply: int) -> None:
    _limit(request["memory"])
    path = Path(f"/dev/fd/{file}")
    wanted = {name: Kind[kind] for name, kind in request["wanted"].items()}
    with open(reply, "wb") as sink:
        schema, batches, rows = None, None, None
        fault: Fault | None = None
        try:
            form = request["form"]
            more = (request["group"],) if form == "groups" else ()
            schema, batches, rows = _OPENERS[form](path, wanted, *more)
            meant = _meant(schema.names, wanted, request["choices"])
            if not set(schema.names).isdisjoint(wanted.keys() - meant.keys()):
                # What is not meant is not read: whatever it is, it is nobody's matter.
                schema, batches, rows = _OPENERS[form](path, meant)
            wanted = meant
        except Exception as error:
            fault = _fault(error)
        packed = b"" if schema is None else schema.serialize().to_pybytes()
        head = {"pid": os.getpid(), "rows": rows, "fault": fault, "schema": len(packed)}
        _say(sink, head)
        sink.write(packed)
        sink.flush()
        if batches is not None:
            fault = _hand_over(batches(), wanted, request["spare"], sink)
            _say(sink, {"fault": fault})


def _meant(names: list[str], wanted: dict[str, Kind], choices: list[Choice]) -> dict[str, Kind]:
    """The wanted columns of the choice that a file's own columns say; all where none is said."""
    number = chosen(names, choices)
    return wanted if number is None else {n: wanted[n] for n in choices[number]["wanted"]}


def _leave_with_reader(reply: int) -> None:
    """End this child as soon as nobody reads its answer, also where its file holds it up."""
    reader = select.poll()
    reader.register(reply, 0)
    reader.poll()
    os._exit(0)


def _hand_over(
    batches: Iterator[pa.RecordBatch], wanted: dict[str, Kind], spare: int | None, sink: BinaryIO
) -> Fault | None:
    """All wanted columns as one IPC stream; what cut it short, or None: a text that is too long
    does, before the engine makes room for it."""
    writer = None
    done = 0
    fault: Fault | None = None
    try:
        for batch in batches:
            names = [name for name in wanted if name in batch.schema.names]
            part = batch.select(names)
            if spare is not None:
                _require_short(part, done, spare)
            done += part.num_rows
            if writer is None:
                writer = pa.ipc.new_stream(sink, part.schema)
            writer.write_batch(part)
    except BrokenPipeError:
        os._exit(0)  # Nobody reads on.
    except Exception as error:
        fault = _fault(error)
    if writer is None:
        writer = pa.ipc.new_stream(sink, pa.schema([]))
    writer.close()
    return fault


def _require_short(part: pa.RecordBatch, done: int, spare: int) -> None:
    """Refuse a text that is too long; rows are counted from those that are done."""
    for name, column in zip(part.schema.names, part.columns, strict=True):
        try:
            require_short(column, name, spare)
        except BadValue as bad:
            raise InputRefused(
                bad.rule, bad.what, row=done + bad.row + 1, column=name, remedy=bad.remedy
            ) from None


def _say(sink: BinaryIO, content: dict[str, object]) -> None:
    text = json.dumps(content).encode()
    sink.write(HEAD.pack(len(text)) + text)
    sink.flush()


def _fault(error: Exception) -> Fault:
    """An exception as data: a refusal, or the words of the machine or of Arrow, without values."""
    if isinstance(error, InputRefused):
        return {
            "rule": error.rule,
            "what": error.what,
            "remedy": error.remedy,
            "row": error.row,
            "column": error.column,
        }
    if isinstance(error, MemoryError):
        return {
            "rule": "READER_MEMORY",
            "what": "reading the file takes more memory than a file may",
            "remedy": "write row groups or batches of 100,000 rows; or ask for the file again",
        }
    if isinstance(error, UnicodeDecodeError):
        return {
            "rule": "ENCODING",
            "what": "a column's name is not UTF-8",
            "remedy": "send the file again",
        }
    number = getattr(error, "errno", None)
    if isinstance(error, OSError) and number is not None:
        return {"errno": number, "what": os.strerror(number)}
    what = first_line(error) if isinstance(error, pa.ArrowException | OSError) else ""
    return {"rule": FILE_BAD, "what": what or type(error).__name__}


def _limit(memory: int) -> None:
    """No more than memory bytes beyond what is mapped now, no files, no core of personal data."""
    try:
        mapped = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    except OSError:
        mapped = 0
    for what, most in (
        (resource.RLIMIT_AS, mapped + memory),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
    ):
        _, hard = resource.getrlimit(what)
        most = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(what, (most, most))
