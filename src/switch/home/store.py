"""The home: a mutable catalog and immutable files beside it, open for one writer or for readers.

Catalog.sqlite is the only commit point. Everything big is written under a temporary name, synced,
renamed and synced again before one transaction of the catalog names it (`commit` has the order);
that transaction is finality. What the catalog does not name does not exist: leftovers go to
quarantine at open.

    HOME/catalog.sqlite     batches, cycles, positions, postings, balances, files, audit chain
    HOME/checkpoint         last audit record, by which an older catalog is recognised
    HOME/lock               flock: one writer, or readers
    HOME/signing.key        private key of signed checkpoints, where the home has one
    HOME/signing.pub        the public one
    HOME/checkpoints.signed a signed line for every audit record, for others to keep
    HOME/key                secret of keyed hashes, by which ids are told apart in logs
    HOME/batches/000001/    one committed batch (docs/formats.md)
    HOME/registers/000001/  one version of the register
    HOME/recasts/000001/    what one recast took out of a cycle
    HOME/answers/000001/    answers taken in, and what came of them
    HOME/quarantine/        what a crash left behind
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import BinaryIO

import msgspec

from switch.errors import EnvironmentFailed, HomeLocked, HomeMoved, UsageError, VerificationFailed
from switch.files import segment
from switch.files.disk import CATALOG, environment, machine, no_room, sizes
from switch.files.segment import digest_of, new_file
from switch.home import signing
from switch.home.catalog import Catalog, CatalogError
from switch.home.changes import Change
from switch.home.checkpoint import SIGNING_KEY, is_behind, sign, write_checkpoint
from switch.home.commit import Commit, Writer

FORMAT = 3
RECASTS, ANSWERS = "recasts", "answers"
KINDS = ("batches", "registers", RECASTS, ANSWERS)
"""Folders that commits are renamed into. The last two are made with their first commit."""
ROOM_SPARE = 1 << 22
"""Bytes for small files by receiver, and for the catalog and its journal."""


class Home:
    """An open home. Use as a context manager; `writing` holds the lock for one process alone.
    mending: hold it, but leave everything as it is, also where folders are gone. judging: also
    where the catalog was changed, which is then for the caller to say."""

    def __init__(
        self, path: Path, *, writing: bool, mending: bool = False, judging: bool = False
    ) -> None:
        self.path = path.absolute()
        self.quarantined: list[str] = []
        self.stopped = ""
        """Reason why no more is done here: a commit was broken off, and only the disk knows."""
        self.closed = False
        self._process = os.getpid()
        with machine(path):
            if not (path / CATALOG).is_file():
                if any(path.glob("[br]*/[0-9]*")):
                    raise VerificationFailed(f"{path / CATALOG} is gone: restore it")
                raise UsageError(f"{path} is no home: make one with `switch init`")
        with contextlib.ExitStack() as opened:
            opened.callback(unlock, lock(path, writing or mending))
            try:
                self._catalog = opened.enter_context(
                    contextlib.closing(Catalog(self.path / CATALOG))
                )
                made = self._catalog.meta("format")
                if made != str(FORMAT):
                    raise UsageError(f"{path} has format {made}, this engine {FORMAT}")
                # All work here is computed from this history, and from what is committed here.
                self._writer = Writer(self.path, self._catalog)
                behind = is_behind(self.path, self._catalog, judging=judging)
                if writing:
                    self._mend(behind)
            except CatalogError as error:
                raise EnvironmentFailed(f"{path / CATALOG}: {error}") from error
            self._opened = opened.pop_all()

    def _mend(self, behind: bool) -> None:
        """Make up for a crash: checkpoint, signatures, leftovers."""
        with machine(self.path):
            if behind:
                write_checkpoint(self.path, self._catalog)
        if (self.path / SIGNING_KEY).exists():
            signing.require_library()
        with machine(self.path):
            sign(self.path, self._catalog)
            self._recover()

    def close(self) -> None:
        """Let go of the home. A forked process holds copies alone: it lets go of nothing, for the
        lock and the catalog are still its parent's."""
        self.closed = True
        if os.getpid() == self._process:
            self._opened.close()

    def __enter__(self) -> Home:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # --- reading --------------------------------------------------------------------------------

    @property
    def catalog(self) -> Catalog:
        """The catalog of the open home. Raises where the home is closed, of another process, or
        stopped."""
        self._require_known()
        return self._catalog

    def folder(self, kind: str, seq: int) -> Path:
        return self.path / kind / f"{seq:06d}"

    def digests(self, folder: Path) -> dict[str, str]:
        """SHA-256 of the files of a committed folder by their names in it."""
        start = folder.relative_to(self.path).as_posix() + "/"
        return {file.path[len(start) :]: file.sha256 for file in self.catalog.files(start)}

    def paid_files(self, origin: str) -> dict[tuple[str, int], tuple[Path, str]]:
        """Files of paid bits of one origin, with their digests, by (benefit, period)."""
        return {
            (paid.benefit, paid.period): (self.path / paid.path, paid.sha256)
            for paid in self.catalog.paid(origin)
        }

    def proven(self, path: Path) -> Path:
        """A committed file, with the digest of its commit."""
        file = self.catalog.file(path.relative_to(self.path).as_posix())
        if not path.is_file() or file is None or digest_of(path) != file.sha256:
            raise VerificationFailed(f"{path} is not as it was committed: restore it from a copy")
        return path

    def id_hash(self, text: str) -> str:
        """A keyed hash by which an id can be recognised in logs without being readable."""
        return signing.keyed((self.path / "key").read_bytes(), text)

    # --- writing --------------------------------------------------------------------------------

    def _require_known(self) -> None:
        if self.closed:
            raise UsageError(f"{self.path} was closed here: open it again")
        if os.getpid() != self._process:
            raise UsageError(f"{self.path} was opened in another process: open it in this one")
        if self.stopped:
            raise EnvironmentFailed(self.stopped)

    def require_room(self, needed: int) -> None:
        """About needed bytes are free, before any of them is written."""
        self._catalog.needed = needed
        free = shutil.disk_usage(self.path).free
        if free < needed:
            raise EnvironmentFailed(no_room(self.path, free, needed))

    @contextlib.contextmanager
    def draft(self, kind: str) -> Iterator[Path]:
        """A folder under a temporary name; gone again unless `commit` took it."""
        self._require_known()
        path = self.path / kind / f".draft-{self._process}"
        with machine(self.path, self._catalog.needed):
            # The first recast, or answer, makes the folder of its kind.
            if not path.parent.exists():
                path.parent.mkdir(mode=0o700)
                segment.sync_folder(self.path)
            # Never a folder that is there: another writer may be at work in it.
            while path.exists():
                path = path.with_name(path.name + "+")
            path.mkdir(mode=0o700)
            try:
                yield path
            finally:
                if os.getpid() == self._process:
                    shutil.rmtree(path, ignore_errors=True)

    def commit(
        self,
        *,
        at: str,
        kind: str,
        detail: Mapping[str, object] | msgspec.Struct,
        changes: Iterable[Change],
        draft: Path | None = None,
        folder: Path | None = None,
        digests: dict[str, tuple[str, int]] | None = None,
    ) -> None:
        """Make a draft durable and final (`commit.Commit` says what each is).

        Where it is broken off, nobody but the disk knows whether it happened: the home then does
        nothing more, and the next one to open it finds out. Raises HomeMoved, and nothing is done,
        where history is not the one that this was computed from."""
        self._require_known()
        self.stopped = (
            f"a commit in {self.path} was broken off, and whether it happened stands on the disk"
            " alone: open the home again, and run the same again"
        )
        try:
            with machine(self.path, self._catalog.needed):
                self._writer.commit(Commit(at, kind, detail, changes, draft, folder, digests or {}))
        except HomeMoved:
            self.stopped = ""
            raise
        except EnvironmentFailed as error:
            raise EnvironmentFailed(f"{error}. Then run the same again") from error
        self.stopped = ""

    def note(self, kind: str, detail: Mapping[str, object], at: str = "") -> None:
        """Record what was done to the home beside its history: it has a chain of its own, so that
        a crash and its repair change no link and no byte of an answer."""
        self._writer.note(at, kind, detail)

    def _recover(self) -> None:
        """Put aside what no commit names; stop where a commit's folder is gone, or where more is
        there than the one commit that a crash can cut off."""
        moves: dict[Path, Path] = {}
        later: list[Path] = []
        current = self.catalog.register_seq()
        for kind in KINDS:
            top, named = self.path / kind, self.catalog.folders(kind)
            present = {entry.name for entry in top.iterdir()} if top.exists() else set()
            if kind == "registers":
                # Versions before the current one are not read again.
                self.drop_old_registers()
                named = {f"{current:06d}"} if current else set()
                present = {entry.name for entry in (self.path / kind).iterdir()}
            if named - present:
                gone = min(named - present)
                raise VerificationFailed(f"{self.path / kind / gone} is gone: restore it")
            for name in sorted(present - named):
                (self.path / "quarantine").mkdir(mode=0o700, exist_ok=True)
                target = self.path / "quarantine" / f"{kind}-{name}"
                while target.exists():
                    target = target.with_name(target.name + "+")
                moves[top / name] = target
                if name.isdigit() and name > max(named, default=""):
                    later.append(top / name)
        if len(later) > 1:
            raise VerificationFailed(f"{self.path / CATALOG} is older than {later[-1]}: restore it")
        if moves:
            # What was never committed may be large: its sizes are recorded, not its digests.
            moved = {target.name: sizes(source) for source, target in moves.items()}
            self.note("quarantine", {"moved": moved})
        for source, target in moves.items():
            source.rename(target)
            self.quarantined.append(target.name)

    def drop_old_registers(self) -> None:
        """Give the room of versions before the current one back. What cannot be removed now is
        tried again at the next open: it is in nobody's way."""
        current = self.catalog.register_seq()
        for entry in (self.path / "registers").iterdir():
            if entry.name.isdigit() and int(entry.name) < current:
                shutil.rmtree(entry, ignore_errors=True)


def lock(path: Path, writing: bool) -> BinaryIO:
    """The lock of a home, for one writer or for readers; never waited for."""
    try:
        name = path / "lock"
        handle = new_file(name, "ab") if writing else name.open("rb")
        fcntl.flock(handle, (fcntl.LOCK_EX if writing else fcntl.LOCK_SH) | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise HomeLocked(
            f"{path} is in use: another process, or another engine of this one, has it open; try"
            " again when it is closed"
        ) from error
    except OSError as error:
        raise environment(error, path) from error
    return handle


def unlock(handle: BinaryIO) -> None:
    """Give the lock back, also where a forked process still has a copy of its handle."""
    # A callback and no generator, which would give the parent's lock back where a forked process
    # collects it.
    with handle:
        fcntl.flock(handle, fcntl.LOCK_UN)
