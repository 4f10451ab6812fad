"""The commit: how a draft, and what the catalog says of it, become final together.

In this order, and nothing is tried again after a failure:

    digest of every file of the draft; fsync of each file, each folder, the draft
    each file into the store of files, where the home has one
    BEGIN: the heads of both chains are those that the work began from, or it is refused
    the draft gets its name; fsync of the folder that has the name
    changes of the catalog, the names of the files, the audit record
    COMMIT (fsync of the home before it, where the journal is new): finality
    checkpoint, written aside, synced and renamed; then a signed line for the record
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from msgspec import Struct, to_builtins

from switch.errors import HomeMoved
from switch.files import segment
from switch.files.segment import digest_of
from switch.home.catalog import Catalog
from switch.home.changes import AddFile, Change
from switch.home.checkpoint import sign, write_checkpoint
from switch.home.objects import Objects
from switch.home.rows import FileRow

SYNC_TOGETHER_MIN, SYNC_THREADS = 16, 8


@dataclass(frozen=True, slots=True)
class Commit:
    """Everything that becomes final together."""

    at: str
    kind: str
    detail: Mapping[str, object] | Struct
    changes: Iterable[Change]
    draft: Path | None = None
    folder: Path | None = None
    """The name that the draft gets."""
    digests: dict[str, tuple[str, int]] = field(default_factory=dict)
    """(sha256, bytes) of files of the draft by name in it, where known; others are read back."""


class Writer:
    """The history of a home that work began from, and the one way to add to it. The lock keeps
    other writers out only where the file system, and whoever copies a process, obey it."""

    def __init__(self, home: Path, catalog: Catalog, objects: Objects | None = None) -> None:
        """objects: the store that files of commits are put into, too."""
        self._home, self._catalog, self._objects = home, catalog, objects
        self._began = catalog.heads()

    def commit(self, commit: Commit) -> None:
        """Make a draft durable and final. Raises HomeMoved, and nothing is done, where history is
        not the one that the work began from."""
        home, catalog = self._home, self._catalog
        found = [] if commit.draft is None else durable(commit.draft, commit.digests)
        if self._objects is not None and commit.draft is not None:
            self._objects.keep(commit.draft, found)
        with self._going_on():
            files: list[AddFile] = []
            if commit.draft is not None and commit.folder is not None:
                # Its name is given inside, so that a draft of old history gets none.
                commit.draft.rename(commit.folder)
                segment.sync_folder(commit.folder.parent)
                top = commit.folder.relative_to(home).as_posix()
                files = [AddFile(f"{top}/{file.path}", file.sha256, file.bytes) for file in found]
            catalog.apply(commit.changes)
            catalog.apply(files)
            named = {file.path: file.sha256 for file in files}
            said = to_builtins(commit.detail)
            catalog.audit.append(commit.at, commit.kind, {**said, "files": named})
        write_checkpoint(home, catalog)
        sign(home, catalog)

    def note(self, at: str, kind: str, detail: Mapping[str, object]) -> None:
        """Add an event, which changes no link of the history."""
        with self._going_on():
            self._catalog.events.append(at, kind, detail)
        write_checkpoint(self._home, self._catalog)

    @contextlib.contextmanager
    def _going_on(self) -> Iterator[None]:
        """A transaction that goes on from the history which the work began from."""
        with self._catalog.transaction():
            if self._catalog.heads() != self._began:
                raise HomeMoved(
                    f"{self._home} was written by another process since it was opened here, though"
                    " its lock was held: nothing of this is done; make sure that one process alone"
                    " works on it, then run the same again"
                )
            yield
            moved = self._catalog.heads()
        self._began = moved


def durable(draft: Path, known: dict[str, tuple[str, int]]) -> list[FileRow]:
    """The files of a draft by their names in it, when all of it is on the disk."""
    files = []
    paths = sorted(p for p in draft.rglob("*") if p.is_file())
    for path in paths:
        name = path.relative_to(draft).as_posix()
        files.append(FileRow(name, *(known.get(name) or (digest_of(path), path.stat().st_size))))
    sync_files(paths)
    for path in sorted(p for p in draft.rglob("*") if p.is_dir()):
        segment.sync_folder(path)
    segment.sync_folder(draft)
    return files


def sync_files(paths: list[Path]) -> None:
    """Sync files, many of them side by side: what waits for the disk at the same time shares a
    commit of the file system's journal, so that 66 files take a quarter of the time."""
    if len(paths) < SYNC_TOGETHER_MIN:
        for path in paths:
            segment.sync_file(path)
        return
    with ThreadPoolExecutor(SYNC_THREADS) as pool:
        list(pool.map(segment.sync_file, paths))
