"""Versions of the register at rest, read as one: a whole version, and the deltas behind it.

One immutable folder a version (docs/formats.md draws the files). A delta has the records, initials
and accounts of those people alone whom it changes, and names the version before. Row numbers never
change, so the record of a later version stands for that of the version that it follows.
"""

from __future__ import annotations

import functools
import hashlib
import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import NamedTuple, TypeVar

import msgspec
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from switch.errors import EnvironmentFailed, VerificationFailed
from switch.files.columns import S
from switch.files.segment import HashingFile, write_new
from switch.native import names as name_kernel
from switch.native import people_table

PERSON = np.dtype(
    [
        ("word", "<u8"),
        ("name_key", "<u8"),
        ("account", "<u8"),
        ("row", "<u4"),
        ("participant", "<u2"),
        ("valid_from", "<u2"),
    ]
)
ACCOUNT = np.dtype(
    [
        ("account", "<u8"),
        ("row", "<u4"),
        ("valid_from", "<i4"),
        ("valid_to", "<i4"),
        ("participant", "<u2"),
        ("priority", "u1"),
        ("kind", "u1"),
    ]
)
SINCE = np.dtype([("row", "<u4"), ("day", "<i4")])
MASK = np.dtype("<u8")
KNOWN, HAS_ACCOUNT, LISTED, UNANSWERED, TWICE = (
    np.uint64(1 << bit) for bit in (43, 45, 46, 47, 48)
)
"""Flags of a person's word (native/types.pxd)."""
REFERENCE = np.uint64(1 << 63)
"""Flag of an account word whose text stands in the heap (native/account.pxd)."""
WRITE_BYTES = 1 << 24
PROVEN_BYTES_MAX = 1 << 28
"""Largest people.slots whose digest is proven before screening: five million people, 0.2 s. For a
hundred million it would be 4 s and more, a fifth of what opening and a payday of theirs take."""


A = TypeVar("A")


class RegisterInfo(msgspec.Struct):
    """register.json: what the files hold, and their digests. Of a delta rows, people and accounts
    are those of the whole that it makes with the versions before, slots its own."""

    rows: int
    people: int
    accounts: int
    slots: int
    participants: list[str]
    files: dict[str, str]
    fold: int = name_kernel.BEFORE
    """Version of the fold that made the name keys; the one before where nothing is said."""
    before: int | msgspec.UnsetType = msgspec.UNSET
    """Version that a delta changes; a whole version has none."""
    changed: int | msgspec.UnsetType = msgspec.UNSET
    """Records of all deltas since the whole version."""
    late: int | msgspec.UnsetType = msgspec.UNSET
    """People for whom the population database has not answered; nothing where there are none."""


class Link(NamedTuple):
    """One version of a chain."""

    folder: Path
    info: RegisterInfo


def write_parts(folder: Path, parts: Mapping[str, memoryview]) -> dict[str, str]:
    """Write files of a version; returns their digests by name."""
    digests = {}
    for name, view in parts.items():
        file = HashingFile(folder / name)
        for start in range(0, len(view), WRITE_BYTES):
            file.write(view[start : start + WRITE_BYTES])
        file.close()
        digests[name] = file.sha256
    return digests


def write_info(folder: Path, info: RegisterInfo) -> None:
    write_new(folder / "register.json", msgspec.json.format(msgspec.json.encode(info), indent=1))


class Chain:
    """A version and those that it follows from, the whole one first. digests: of all files of
    versions by folder and name, as committed; None where the caller has proven them. Raises
    VerificationFailed for files that are others, EnvironmentFailed for those that cannot be read.
    """

    def __init__(self, folder: Path, digests: Mapping[str, str] | None) -> None:
        self._digests = digests
        links = [Link(folder, self._info(folder))]
        while links[0].info.before is not msgspec.UNSET:
            before = folder.parent / f"{links[0].info.before:06d}"
            if before.name >= links[0].folder.name:
                raise VerificationFailed(f"{links[0].folder} follows no version before it")
            links.insert(0, Link(before, self._info(before)))
        self.links = links

    @property
    def whole(self) -> Link:
        """The version that was written whole."""
        return self.links[0]

    @property
    def last(self) -> Link:
        return self.links[-1]

    @property
    def deltas(self) -> list[Link]:
        return self.links[1:]

    def size(self, link: Link, name: str, record: int = 1) -> int:
        """Records of a file of a version. Raises VerificationFailed where one is cut off."""
        size = self._asked(link.folder / name, lambda path: path.stat().st_size)
        if size % record or (name == "people.slots" and size != link.info.slots * record):
            raise VerificationFailed(f"{link.folder / name} is cut off")
        return size // record

    def array(self, link: Link, name: str, kind: np.dtype[S]) -> NDArray[S]:
        """All records of a proven file of a version."""
        found = np.empty(self.size(link, name, kind.itemsize), kind)
        self.fill(link, name, found.view(np.uint8).data)
        return found

    def joined(self, name: str, kind: np.dtype[S]) -> NDArray[S]:
        """Records of a file of all versions, one behind the other."""
        sizes = [self.size(link, name, kind.itemsize) for link in self.links]
        found, start = np.empty(sum(sizes), kind), 0
        for link, size in zip(self.links, sizes, strict=True):
            self.fill(link, name, found[start : start + size].view(np.uint8).data)
            start += size
        return found

    def fill(self, link: Link, name: str, view: memoryview, *, proven: bool = True) -> None:
        """Read a file of a version, which is as long as view. proven: with its digest."""
        path, found = link.folder / name, hashlib.sha256()

        def read(path: Path) -> None:
            with path.open("rb", buffering=0) as stream:
                done = 0
                while done < len(view):
                    got = stream.readinto(view[done : done + WRITE_BYTES])
                    if not got:
                        raise VerificationFailed(f"{path} is cut off")
                    if proven and self._digests is not None:
                        found.update(view[done : done + got])
                    done += got

        self._asked(path, read)
        if proven:
            self._require(path, found.hexdigest())

    def mapped(self, link: Link, name: str, proven_max: int) -> NDArray[np.uint8]:
        """The bytes of a file of a version, of which those are read alone that are looked at. It is
        proven where it has at most proven_max bytes."""
        size = self.size(link, name, PERSON.itemsize if name == "people.slots" else 1)
        if size == 0:
            return np.empty(0, np.uint8)
        found = self._asked(link.folder / name, lambda path: np.memmap(path, np.uint8, "r"))
        if self._digests is not None and found.nbytes <= proven_max:
            self._require(link.folder / name, hashlib.sha256(found.data).hexdigest())
        return found

    def _info(self, folder: Path) -> RegisterInfo:
        path = folder / "register.json"
        text = self._asked(path, Path.read_bytes)
        if self._digests is not None:
            self._require(path, hashlib.sha256(text).hexdigest())
        try:
            return msgspec.json.decode(text, type=RegisterInfo)
        except msgspec.DecodeError as error:
            raise VerificationFailed(f"{path} is damaged: {error}") from error

    def _require(self, path: Path, found: str) -> None:
        if self._digests is not None and found != self._digests.get(
            f"{path.parent.name}/{path.name}"
        ):
            raise VerificationFailed(f"{path} is not as it was committed: restore it from a copy")

    def _asked(self, path: Path, ask: Callable[[Path], A]) -> A:
        try:
            return ask(path)
        except OSError as error:
            raise EnvironmentFailed(
                f"the register in {path.parent} cannot be read: {error}"
            ) from error


class Masks:
    """Initials of people by row, read from a saved register one at a time. path: those of a whole
    version; rows, masks: of the people whom deltas changed since, in order of row."""

    def __init__(self, path: Path, rows: NDArray[np.uint32], masks: NDArray[np.uint64]) -> None:
        self._path, self._rows, self._masks = path, rows, masks

    def of_rows(self, rows: NDArray[np.integer]) -> NDArray[np.uint64]:
        """Initials by rows (few of them: those whose names differ)."""
        out = np.zeros(len(rows), np.uint64)
        place = np.searchsorted(self._rows, rows)
        with self._path.open("rb", buffering=0) as stream:
            handle = stream.fileno()
            for i, row in enumerate(rows.tolist()):
                if place[i] < len(self._rows) and self._rows[place[i]] == row:
                    out[i] = self._masks[place[i]]
                else:
                    out[i] = int.from_bytes(os.pread(handle, 8, 8 * row), "little")
        return out

    def put_into(self, masks: NDArray[np.uint64]) -> None:
        """Put the initials of those whom deltas changed into those of all rows."""
        masks[self._rows] = self._masks


@functools.lru_cache(maxsize=1 << 16)
def mask_text(mask: int) -> str:
    """Initials as a person may read them: 'N* V* A*'."""
    initials = mask.to_bytes(8, "little").rstrip(b"\0").decode("ascii", "replace")
    return " ".join(f"{c}*" for c in initials)


def accounts_of(files: Iterable[NDArray[np.uint8]], rows: NDArray[np.uint32]) -> NDArray[np.void]:
    """All accounts of some people, in order of row and each person's in their order. files: bytes
    of accounts.bin of the versions of a chain, the last one's first; rows: ascending. Few of
    the bytes are read where there are few rows."""
    parts = [np.empty(0, ACCOUNT)]
    for entries in files:
        first, last = np.empty(len(rows), np.uint32), np.empty(len(rows), np.uint32)
        people_table.spans_of(entries, rows, first, last)
        sizes = (last - first).astype(np.intp)
        parts.append(entries.view(ACCOUNT)[ranges(first, sizes)])
        # A later version has all accounts of those of whom it has any.
        rows = rows[sizes == 0]
    found = np.concatenate(parts)
    return found[np.argsort(found["row"], kind="stable")]


def ranges(starts: NDArray[np.integer], sizes: NDArray[np.intp]) -> NDArray[np.intp]:
    """All numbers of ranges, one behind the other: starts and sizes of each."""
    ends = np.cumsum(sizes)
    offsets = np.repeat(starts.astype(np.intp) - (ends - sizes), sizes)
    return offsets + np.arange(len(offsets))


def account_texts(
    chain: Chain, accounts: NDArray[np.void], proven: Callable[[Path], Path]
) -> tuple[pa.StringArray, pa.StringArray]:
    """(participants, accounts) in words. proven: called with each file before it is read."""
    heaps = [np.fromfile(proven(link.folder / "heap.bin"), np.uint8) for link in chain.links]
    heap = np.concatenate(heaps)
    words, which = np.unique(accounts["account"], return_inverse=True)
    texts = pa.array([account_text(word, heap) for word in words.tolist()], pa.string())
    participants = pa.array(chain.last.info.participants, pa.string())
    return participants.take(accounts["participant"]), texts.take(pa.array(which))


def account_text(word: int, heap: NDArray[np.uint8]) -> str:
    """The text of an account word of the register (native/account.pxd)."""
    if word >> 63:
        start = word - (1 << 63)
        return bytes(heap[start + 1 : start + 1 + int(heap[start])]).decode()
    return f"{word & (1 << 57) - 1:0{word >> 57}d}"
