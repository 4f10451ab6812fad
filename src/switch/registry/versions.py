"""Versions of the register at rest, read as one: a whole version, and the deltas behind it.

One immutable folder a version (docs/formats.md draws the files). A delta has the records, initials
and accounts of those people alone whom it changes, and names the version before. Row numbers never
change, so the record of a later version stands for that of the version that it follows.
"""

from __future__ import annotations

import functools
import hashlib
import mmap
import os
from collections.abc import Callable, Iterable, Mapping
from io import RawIOBase
from pathlib import Path
from typing import NamedTuple, TypeVar

import msgspec
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from switch.errors import EnvironmentFailed, VerificationFailed
from switch.files.columns import NOBODY, S
from switch.files.segment import HashingFile, write_new
from switch.native import names as name_kernel
from switch.native import people_table
from switch.registry import replaced

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
ACTING = np.uint8(1 << 7)
"""Flag of the kind of an account that is a representative's, who receives there for the person."""
REPRESENTATIVES = "representatives.bin"
"""File of those accounts alone, each with the id of the representative in place of its word; only a
version that has any has it."""
SINCE = np.dtype([("row", "<u4"), ("day", "<i4")])
MASK = np.dtype("<u8")
KNOWN, HAS_SINCE, HAS_ACCOUNT, LISTED, UNANSWERED, TWICE = (
    np.uint64(1 << bit) for bit in (43, 44, 45, 46, 47, 48)
)
"""Flags of a person's word (native/types.pxd)."""
ID_MASK = np.uint64((1 << 40) - 1)
"""Bits of a person's word that are the id."""
REFERENCE = np.uint64(1 << 63)
"""Flag of an account word whose text stands in the heap (native/account.pxd)."""
WRITE_BYTES = 1 << 24
MAPPED_PROVEN_MAX = 1 << 25
"""Largest file of the whole version that is proven before few of its records are read: proving a
large one would cost more than all else that is asked. `verify` proves each."""
PROVEN_BYTES_MAX = 1 << 28
"""Largest people.slots whose digest is proven before screening: five million people, 0.2 s. For a
hundred million it would be 4 s and more, a fifth of what opening and a payday of theirs take."""

_SLOT_STEP = np.uint64(0x9E3779B97F4A7C15)
_SLOT_MIX = np.uint64(0xD6E8FEB86659FD93)
_HALF = 1 << 32
_STEP_SLOTS = 1 << 6
"""Slots that are read at a time behind the end of a share."""

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
    representatives: int | msgspec.UnsetType = msgspec.UNSET
    """Accounts of representatives; nothing where there are none."""
    replaced_ids: int | msgspec.UnsetType = msgspec.UNSET
    """Ids that others stand in place of, of the whole; nothing where there are none."""


class AccountFiles(NamedTuple):
    """Bytes of the accounts of one version, of which those are read alone that are looked at."""

    accounts: NDArray[np.uint8]
    acting: NDArray[np.uint8]
    """Those of representatives; empty where there are none."""


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


class Share(NamedTuple):
    """One of several equal parts of all ids, by the hash that finds a person's slot: the people of
    a share stand side by side in people.slots."""

    number: int
    """From 0."""
    of: int
    """Count of parts; at least 1."""

    def slots(self, capacity: int) -> tuple[int, int]:
        """First slot, and that behind the last, at which a search for one of its ids begins."""
        first, last = (-((self.number + more) * -_HALF // self.of) * _HALF for more in (0, 1))
        return first * capacity >> 64, ((last - 1) * capacity >> 64) + 1


def shares_of(ids: NDArray[np.uint64], of: int) -> NDArray[np.uint32]:
    """Number of the share of each id, where there are so many (fewer than 2**32)."""
    scaled: NDArray[np.uint64] = (_mixed(ids) >> np.uint64(32)) * np.uint64(of) >> np.uint64(32)
    return scaled.astype(np.uint32)


def _mixed(ids: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The hash of each id that, scaled to the number of slots, says where a search begins."""
    mixed = ids * _SLOT_STEP
    return (mixed ^ (mixed >> np.uint64(32))) * _SLOT_MIX


def _read_slots(
    stream: RawIOBase, slots: NDArray[np.void], first: int, end: int, path: Path
) -> None:
    """Read slots first to end of a file into their places."""
    view = memoryview(slots[first:end].view(np.uint8).data).cast("B")
    stream.seek(first * PERSON.itemsize)
    done = 0
    while done < len(view):
        got = stream.readinto(view[done : done + WRITE_BYTES])
        if not got:
            raise VerificationFailed(f"{path} is cut off")
        done += got


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

    def acting(self, link: Link) -> NDArray[np.void]:
        """Records of the accounts of representatives of a version."""
        if REPRESENTATIVES not in link.info.files:
            return np.empty(0, ACCOUNT)
        return self.array(link, REPRESENTATIVES, ACCOUNT)

    @functools.cached_property
    def replaced(self) -> replaced.Replaced:
        """Ids that others stand in place of, of all versions."""
        parts = [
            self.array(link, replaced.NAME, replaced.PAIR)
            for link in self.links
            if replaced.NAME in link.info.files
        ]
        return replaced.Replaced(np.concatenate(parts)) if parts else replaced.NONE

    def rows_of_pairs(self) -> tuple[NDArray[np.uint32], NDArray[np.uint32]]:
        """Rows of ids of before, and those of the ids that stand in their place, where both have
        one, without reading the register."""
        known = self.replaced
        if not len(known):
            return np.empty(0, np.uint32), np.empty(0, np.uint32)
        every = np.sort(np.concatenate([known.old, known.last]))
        # `unique` of two million takes fifty times as long.
        every = every[np.append(True, every[1:] != every[:-1])]
        found = self.people(every, MAPPED_PROVEN_MAX)
        ids = found["word"] & ID_MASK
        order = np.argsort(ids)
        before, is_before = replaced.places(ids[order], known.old)
        now, is_now = replaced.places(ids[order], known.last)
        rows, both = found["row"][order], is_before & is_now
        return rows[before[both]], rows[now[both]]

    def account_files(self, proven_max: int) -> list[AccountFiles]:
        """Accounts of all versions, the last one's first, for `accounts_of`. proven_max: as of
        `mapped`."""
        found = []
        for link in reversed(self.links):
            acting = np.empty(0, np.uint8)
            if REPRESENTATIVES in link.info.files:
                acting = self.mapped(link, REPRESENTATIVES, proven_max)
            found.append(AccountFiles(self.mapped(link, "accounts.bin", proven_max), acting))
        return found

    def people(self, ids: NDArray[np.uint64], proven_max: int) -> NDArray[np.void]:
        """Records (PERSON) of those ids that have one, each once, as the last version has them.
        ids: each once; proven_max: as of `mapped`."""
        # In the order of their slots, so that a file is read from its begin to its end.
        ids = ids[np.argsort(_mixed(ids))]
        parts = [np.empty(0, PERSON)]
        for link in reversed(self.links):
            slots = self.mapped(link, "people.slots", proven_max)
            found = np.empty(len(ids), PERSON)
            people_table.PeopleTable.of_file(slots).records(ids, found.view(np.uint8))
            is_here = found["word"] != 0
            parts.append(found[is_here])
            ids = ids[~is_here]
        return np.concatenate(parts)

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

    def share(self, share: Share) -> NDArray[np.uint8]:
        """The slots of the whole version, of which those alone are read in which a search for one
        of a share's people may look; the others are empty, and take no memory."""
        link, name, size = self.whole, "people.slots", PERSON.itemsize
        path, capacity = link.folder / name, self.size(link, name, size)
        memory = mmap.mmap(-1, capacity * size)
        if hasattr(mmap, "MADV_HUGEPAGE"):
            memory.madvise(mmap.MADV_HUGEPAGE)
        slots = np.frombuffer(memory, PERSON)

        def read(path: Path) -> None:
            first, at = share.slots(capacity)
            with path.open("rb", buffering=0) as stream:
                _read_slots(stream, slots, first, at, path)
                # A search goes on beyond its share to the first empty slot, round the end.
                known, is_through = at - first, not slots["word"][at - 1]
                while not is_through and known < capacity:
                    start = at % capacity
                    at = min(start + _STEP_SLOTS, capacity)
                    _read_slots(stream, slots, start, at, path)
                    known += at - start
                    is_through = not slots["word"][start:at].all()

        self._asked(path, read)
        return slots.view(np.uint8)

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


def acting_records(accounts: NDArray[np.void], ids: NDArray[np.uint64]) -> NDArray[np.void]:
    """Records of representatives.bin of some accounts. ids: of the representatives, in order."""
    records: NDArray[np.void] = accounts[accounts["kind"] & ACTING != 0]
    records["account"] = ids
    return records


class Masks:
    """Initials of people by row, read from a saved register one at a time. path: those of a whole
    version; rows, masks: of the people whom deltas changed since, in order of row."""

    def __init__(
        self,
        path: Path,
        rows: NDArray[np.uint32] | None = None,
        masks: NDArray[np.uint64] | None = None,
    ) -> None:
        self._path = path
        self._rows = np.empty(0, np.uint32) if rows is None else rows
        self._masks = np.empty(0, np.uint64) if masks is None else masks

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


def accounts_of(
    files: Iterable[AccountFiles], rows: NDArray[np.uint32]
) -> tuple[NDArray[np.void], NDArray[np.uint64]]:
    """All accounts of some people, in order of row and each person's in their order, and the ids of
    the representatives whose they are, NOBODY for the person's own. files: of the versions of a
    chain, the last one's first; rows: ascending. Few of the bytes are read where there are few
    rows. Raises VerificationFailed where representatives are not those of the accounts."""
    parts, ids = [np.empty(0, ACCOUNT)], [np.empty(0, np.uint64)]
    for entries, acting in files:
        mine, sizes = _of_rows(entries, rows)
        theirs, _ = _of_rows(acting, rows)
        parts.append(mine)
        ids.append(named(mine, theirs))
        # A later version has all accounts of those of whom it has any.
        rows = rows[sizes == 0]
    found, whose = np.concatenate(parts), np.concatenate(ids)
    order = np.argsort(found["row"], kind="stable")
    return found[order], whose[order]


def named(accounts: NDArray[np.void], acting: NDArray[np.void]) -> NDArray[np.uint64]:
    """Ids of the representatives of accounts, NOBODY for a person's own. acting: records of those
    that have one, in the same order."""
    is_acting = accounts["kind"] & ACTING != 0
    whose = np.full(len(accounts), NOBODY)
    if not np.array_equal(accounts["row"][is_acting], acting["row"]):
        raise VerificationFailed(f"{REPRESENTATIVES} of the register does not fit its accounts.bin")
    whose[is_acting] = acting["account"]
    return whose


def _of_rows(
    content: NDArray[np.uint8], rows: NDArray[np.uint32]
) -> tuple[NDArray[np.void], NDArray[np.intp]]:
    """(records of some rows, how many each has) of a file of accounts."""
    first, last = np.empty(len(rows), np.uint32), np.empty(len(rows), np.uint32)
    people_table.spans_of(content, rows, first, last)
    sizes = (last - first).astype(np.intp)
    return content.view(ACCOUNT)[ranges(first, sizes)], sizes


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
