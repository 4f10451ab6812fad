"""Files at rest: Parquet segments in row groups of a fixed size, with digest and durable sync.

The bytes of a segment depend on its rows alone: row groups are cut at fixed row numbers and columns
are contiguous before they are encoded, whatever the sizes in which rows arrive.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import hashlib
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Literal

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from switch.errors import VerificationFailed
from switch.files import parquet_writer
from switch.files.parquet_writer import Style

if TYPE_CHECKING:
    from typing_extensions import Buffer

GROUP_ROWS = 1 << 17
BUFFER_BYTES = 1 << 20
FEW_ROWS = 1 << 14
"""Rows up to which threads that decode columns side by side only cost time."""
BEGIN_BYTES = 1 << 16
"""A write of so many bytes is worth telling the disk of."""


Validity = tuple[pa.Buffer | None, int]
"""Bitmap of the rows that are not null (None: all), and how many are null."""


def new_file(path: Path, mode: Literal["wb", "xb", "ab"] = "wb", buffering: int = -1) -> BinaryIO:
    """A new file that only its owner may read: most of what is written names people or money."""
    return open(path, mode, buffering=buffering, opener=_owner_only)


def _owner_only(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def write_new(path: Path, content: Buffer) -> None:
    """A whole file for its owner alone; not yet on the disk."""
    with new_file(path) as file:
        file.write(content)


def json_of(content: object) -> bytes:
    """A document for people and machines: the same bytes for the same content."""
    text: bytes = msgspec.json.format(msgspec.json.encode(content, order="sorted"), indent=1)
    return text


def write_json(path: Path, content: object) -> None:
    write_new(path, json_of(content))


_sync_file_range: Callable[..., object] | None = getattr(ctypes.CDLL(None), "sync_file_range", None)
"""Linux alone has it."""
_RANGE_WRITE = 2
"""SYNC_FILE_RANGE_WRITE of sync_file_range(2): start, and do not wait."""


def _begin_writing(handle: int, start: int, size: int) -> None:
    """Hint that the disk begins with these bytes now, so that the sync of the commit, which alone
    makes them durable, has little to wait for. What becomes of the hint does not matter."""
    if _sync_file_range is not None:
        _sync_file_range(handle, ctypes.c_int64(start), ctypes.c_int64(size), _RANGE_WRITE)


class HashingFile:
    """A new binary file that keeps the SHA-256 and the size of what is written to it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = new_file(path, "xb", 0)
        self._hash = hashlib.sha256()
        self.bytes = 0
        self.closed = False
        self.abandoned = False

    def write(self, data: Buffer) -> int:
        view = memoryview(data).cast("B")
        if self.abandoned:
            return len(view)
        done = 0
        try:
            while done < len(view):
                done += self._file.write(view[done:]) or 0
        except OSError:
            # What Arrow still holds goes nowhere: the file is lost, and one error is enough.
            self.abandoned = True
            raise
        if done >= BEGIN_BYTES:
            _begin_writing(self._file.fileno(), self.bytes, done)
        self._hash.update(view)
        self.bytes += done
        return done

    def flush(self) -> None:
        """Do nothing: this process holds nothing back, and `sync` makes it durable."""

    def tell(self) -> int:
        return self.bytes

    def readable(self) -> bool:
        return False

    def writable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return False

    def close(self) -> None:
        if not self.closed:
            self.closed = True
            self._file.close()

    @property
    def sha256(self) -> str:
        return self._hash.hexdigest()


FORMS = ("parquet", "arrow")
"""Forms of the files that others read: Parquet is small, Arrow IPC (LZ4) is quick."""


class Segment:
    """Writes one file, Parquet or Arrow IPC as its suffix says: append columns of any length,
    close once. styles: of the columns of texts that have one, for Parquet.
    """

    def __init__(
        self,
        path: Path,
        schema: pa.Schema,
        styles: Mapping[str, Style],
        *,
        group_rows: int = GROUP_ROWS,
    ) -> None:
        self.path = path
        self.schema = schema
        self.rows = 0
        self._group_rows = group_rows
        self._pending: list[list[pa.Array]] = []
        self._pending_rows = 0
        self._file = HashingFile(path)
        self._write: Callable[[list[pa.Array]], None]
        self._ends: list[Callable[[], object]]
        if path.suffix == ".arrow":
            # Messages are small; the buffer spares a call into Python for each.
            sink = pa.BufferedOutputStream(pa.PythonFile(self._file, mode="w"), BUFFER_BYTES)
            options = pa.ipc.IpcWriteOptions(compression="lz4", use_threads=False)
            arrow = pa.ipc.new_file(sink, schema, options=options)
            self._write = lambda arrays: arrow.write_batch(
                pa.RecordBatch.from_arrays(arrays, schema=schema)
            )
            self._ends = [arrow.close, sink.close, self._file.close]
        else:
            writer = parquet_writer.Writer(self._file.write, schema, styles)
            self._write = writer.write_group
            self._ends = [writer.close, self._file.close]

    def append(self, columns: Mapping[str, pa.Array]) -> None:
        """Columns by name: arrow arrays of equal length."""
        arrays = [columns[name] for name in self.schema.names]
        rows = len(arrays[0])
        start = 0
        while start < rows:
            take = min(rows - start, self._group_rows - self._pending_rows)
            self._pending.append([array.slice(start, take) for array in arrays])
            self._pending_rows += take
            start += take
            if self._pending_rows == self._group_rows:
                self._flush()

    def _flush(self) -> None:
        if self._pending_rows == 0:
            return
        if len(self._pending) == 1:
            arrays = self._pending[0]
        else:
            arrays = [
                pa.concat_arrays([part[i] for part in self._pending])
                for i in range(len(self.schema))
            ]
        self._write(arrays)
        self.rows += self._pending_rows
        self._pending = []
        self._pending_rows = 0

    def close(self) -> tuple[str, int]:
        """Write what is left; (sha256, bytes) of the file."""
        self._flush()
        for end in self._ends:
            end()
        return self._file.sha256, self._file.bytes

    def abandon(self) -> None:
        """Let go of a file that nobody will read, in whatever state it is."""
        self._file.abandoned = True
        for end in self._ends:
            with contextlib.suppress(OSError, pa.ArrowException):
                end()


def read_table(path: Path, columns: list[str] | None = None) -> pa.Table:
    """A Parquet file of this home as one table. Most have a few rows, for which `pq.read_table`
    takes nine times as long: it prepares for data sets of many files. Raises VerificationFailed
    where it is gone or damaged."""
    with _as_written(path), pq.ParquetFile(path, pre_buffer=False) as file:
        return file.read(columns, use_threads=file.metadata.num_rows > FEW_ROWS)


@contextlib.contextmanager
def _as_written(path: Path) -> Iterator[None]:
    """Raise VerificationFailed where a file of this home is not what was written: what else reading
    fails at is the machine's."""
    try:
        yield
    except (OSError, pa.ArrowException) as error:
        # Arrow has no number for what it finds wrong in the bytes.
        if isinstance(error, OSError) and error.errno not in (None, errno.ENOENT):
            raise
        what = "is damaged" if path.exists() else "is gone"
        remedy = "restore it from a copy (`switch scrub HOME --copy DIR`)"
        raise VerificationFailed(f"{path} {what}: {remedy}") from error


class Groups:
    """The row groups of a segment, in order: `len`, and `read` one as a table. Both raise
    VerificationFailed where the file is gone or damaged."""

    def __init__(self, path: Path) -> None:
        self._path = path
        with _as_written(path):
            if path.suffix == ".arrow":
                self._arrow = pa.ipc.open_file(pa.OSFile(str(path)))
                self._count = self._arrow.num_record_batches
            else:
                self._arrow = None
                self._parquet = pq.ParquetFile(path, pre_buffer=False)
                self._count = self._parquet.num_row_groups

    def __len__(self) -> int:
        return int(self._count)

    def read(self, group: int, columns: list[str] | None = None) -> pa.Table:
        with _as_written(self._path):
            if self._arrow is None:
                many = self._parquet.metadata.num_rows > FEW_ROWS
                return self._parquet.read_row_group(group, columns=columns, use_threads=many)
            table = pa.Table.from_batches([self._arrow.get_batch(group)])
        return self._as_texts(table if columns is None else table.select(columns))

    @property
    def names(self) -> list[str]:
        """Columns of the file."""
        return list(self.none().column_names)

    def none(self) -> pa.Table:
        """The table of a file that has no rows."""
        of = self._parquet.schema_arrow if self._arrow is None else self._arrow.schema
        return self._as_texts(of.empty_table())

    @staticmethod
    def _as_texts(table: pa.Table) -> pa.Table:
        """Parquet gives texts; the same table looks the same in either form."""
        kinds = [
            pa.field(f.name, f.type.value_type if pa.types.is_dictionary(f.type) else f.type)
            for f in table.schema
        ]
        return table.cast(pa.schema(kinds))


def segment_at(folder: Path, name: str) -> Path:
    """The file of a segment, in whichever form it was written."""
    paths = [folder / f"{name}.{form}" for form in FORMS]
    return next((path for path in paths if path.exists()), paths[0])


def read_segment(path: Path) -> pa.Table:
    """A whole segment as a table."""
    groups = Groups(path)
    parts = [groups.read(group) for group in range(len(groups))]
    return pa.concat_tables(parts or [groups.none()], promote_options="default")


def sync_file(path: Path) -> None:
    """Put the file's bytes on the disk before this returns. After a failure nothing may be said of
    them: the caller stops, and recovers from disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


sync_folder = sync_file
"""A folder's entries are synced through its own handle, as files are."""


def digest_of(path: Path) -> str:
    """SHA-256 of a file's bytes."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def text_array(
    offsets: NDArray[np.int32], data: NDArray[np.uint8], valid: Validity = (None, 0)
) -> pa.StringArray:
    """A pa.StringArray over kernel output: offsets int32[n + 1], data uint8, null as valid says.

    Data ends with the last text: Arrow IPC writes whole buffers, and what stood in the memory
    behind it would be in the file.
    """
    bits, nulls = valid
    texts = pa.py_buffer(data).slice(0, int(offsets[-1]))
    return pa.StringArray.from_buffers(len(offsets) - 1, pa.py_buffer(offsets), texts, bits, nulls)


def validity(nulls: NDArray[np.bool_]) -> Validity:
    """(validity bitmap or None, count of nulls) of bool[n], for several columns at once."""
    count = int(np.count_nonzero(nulls))
    bits = pa.py_buffer(np.packbits(~nulls, bitorder="little")) if count else None
    return bits, count


def coded(
    values: pa.StringArray, index: NDArray[np.int32], valid: Validity = (None, 0)
) -> pa.DictionaryArray:
    """A dictionary array: values (pa.StringArray) by index (int32[n]), null as valid says."""
    bits, nulls = valid
    indices = pa.Array.from_buffers(
        pa.int32(), len(index), [bits, pa.py_buffer(index)], null_count=nulls
    )
    return pa.DictionaryArray.from_arrays(indices, values, safe=False)


def write_table(target: Path | BinaryIO, table: pa.Table) -> None:
    """A small table as Parquet, into a new file or an open one: the same bytes for equal rows."""
    if isinstance(target, Path):
        with new_file(target) as file:
            write_table(file, table)
        return
    pq.write_table(table, target, compression="zstd", write_statistics=False, store_schema=False)
