"""The home: a mutable catalog and immutable files beside it, open for one writer and for readers.

Whoever reads takes the catalog's bytes as the last commit left them, and then needs no lock: what
they name is never written again.

Catalog.sqlite, or a server in its place (`served`), is the only commit point. Everything big is
written under a temporary name, synced, renamed and synced again before one transaction of the
catalog names it (`commit` has the order); that transaction is finality. What the catalog does not
name does not exist: leftovers go to quarantine at open.

    HOME/catalog.sqlite     batches, cycles, positions, postings, balances, files, audit chain
    HOME/catalog.postgresql in its place: which server keeps all that, and in which schema
    HOME/checkpoint         last audit record, by which an older catalog is recognised
    HOME/lock               flock of the one writer
    HOME/signing.key        private key of signed checkpoints, where the home has one
    HOME/signing.pub        the public one
    HOME/checkpoints.signed a signed line for every audit record, for others to keep
    HOME/key                secret of keyed hashes, by which ids are told apart in logs
    HOME/batches/000001/    one committed batch (docs/formats.md)
    HOME/registers/000001/  one version of the register
    HOME/recasts/000001/    what one recast took out of a cycle
    HOME/cancelled/000001/  lines that waited and were cancelled, and the queue without them
    HOME/expired/000001/    lines that waited beyond their deadline, and the queue without them
    HOME/answers/000001/    answers taken in, and what came of them
    HOME/fees/000001/       bills of agencies, or payments of fees and what became of each
    HOME/quarantine/        what a crash left behind
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, TypeVar

import msgspec

from switch.errors import EnvironmentFailed, HomeLocked, HomeMoved, UsageError, VerificationFailed
from switch.files import segment
from switch.files.disk import CATALOG, SERVED, environment, machine, no_room, sizes
from switch.files.segment import digest_of, new_file, write_new
from switch.home import signing
from switch.home.catalog import Catalog, CatalogError, CatalogFile
from switch.home.changes import Change, SetMeta
from switch.home.checkpoint import (
    SIGNING_KEY,
    Checkpoint,
    is_behind,
    read_checkpoint,
    sign,
    write_checkpoint,
)
from switch.home.commit import Commit, Writer
from switch.home.objects import Objects

if TYPE_CHECKING:
    from switch.home.served import Server

FORMAT, FORMAT_DELTAS, FORMAT_REPRESENTATIVES, FORMAT_FEES, FORMAT_CREDITS = 3, 4, 5, 6, 7
FORMAT_REPLACED, FORMAT_HOUSEHOLDS, FORMAT_SAID, FORMAT_OBJECTS = 8, 9, 10, 11
"""Format of a home; of one from its first delta of the register on, for an engine that knows no
deltas would take the versions before it for old ones, and drop them; from the first account of a
representative on, for an engine that knows none would pay one who is deceased; from the first table
of agencies on, for an engine that knows no fees would abort a cycle without them; and from the
first credit of several lines on, for an engine that knows none would take its answers for those to
one line. From the first id on that another stands in place of: an engine that knows none would pay
its person twice. From the first line on that waits with its household: an engine that knows none
would lose it, and look for the credits of such lines among those of their own batches. From the
first record on that says on whose word one participant was changed: an older `verify` takes it for
a fault. A home with a store of files: an engine that knows none would put nothing there."""
FORMATS = (
    *map(str, (FORMAT, FORMAT_DELTAS, FORMAT_REPRESENTATIVES, FORMAT_FEES, FORMAT_CREDITS)),
    *map(str, (FORMAT_REPLACED, FORMAT_HOUSEHOLDS, FORMAT_SAID, FORMAT_OBJECTS)),
)
OBJECTS = "store"
"""Name under which the catalog has the address of the store of files, where there is one."""
RECASTS, ANSWERS, CANCELLED, EXPIRED = "recasts", "answers", "cancelled", "expired"
FEES = "fees"
KINDS = ("batches", "registers", RECASTS, ANSWERS, CANCELLED, EXPIRED, FEES)
"""Folders that commits are renamed into. All but the first two are made with their first commit."""
ROOM_SPARE = 1 << 22
"""Bytes for small files by receiver, and for the catalog and its journal."""


LOCK_POLL_SECONDS = 0.05
READ_AGAIN_MAX = 5
"""Times that a question is asked again because a commit came in between."""

Answer = TypeVar("Answer")


class Home:
    """An open home, as a context manager. writing: this process alone holds its lock; else it is
    the home as the last commit left it when it was opened. mending: hold the lock, but leave
    everything as it is, also where folders are gone. judging: read where the catalog was changed,
    too, which is then for the caller to say. wait: seconds for which another writer is waited for.
    """

    def __init__(
        self,
        path: Path,
        *,
        writing: bool,
        mending: bool = False,
        judging: bool = False,
        wait: float = 0,
    ) -> None:
        if not wait >= 0:
            raise UsageError(f"wait is a number of seconds, and not {wait!r}")
        self.path = path.absolute()
        self.quarantined: list[str] = []
        self.stopped = ""
        """Reason why no more is done here: a commit was broken off, and only the disk knows."""
        self.closed = False
        self._process = os.getpid()
        with machine(path):
            is_served = _is_served(path)
        self._judging, self._mending = judging, mending
        self._objects: Objects | None = None
        """Store that has the files of commits, too."""
        self._file: CatalogFile | Server | None = None
        """The catalog of a home that is open for reading, as it comes to be asked."""
        self.server: Server | None = None
        """The one that keeps the catalog, where no file does."""
        alone = writing or mending
        with contextlib.ExitStack() as opened:
            if alone:
                opened.callback(unlock, lock(path, True, wait))
            try:
                if is_served:
                    self.server = _server(self.path, alone, wait)
                    opened.callback(self.server.close)
                if not alone:
                    self._file = self.server or CatalogFile(self.path / CATALOG)
                    opened.callback(self._file.close)
                self.checkpoint, self._catalog, behind = self._look()
                opened.callback(lambda: self._catalog.close())
                # All work here is computed from this history, and from what is committed here.
                self._writer = Writer(self.path, self._catalog, self._objects)
                if writing:
                    self._mend(behind)
            except CatalogError as error:
                at = path / (SERVED if is_served else CATALOG)
                raise EnvironmentFailed(f"{at}: {error}") from error
            self._opened = opened.pop_all()

    def _look(self) -> tuple[Checkpoint, Catalog, bool]:
        """Open the catalog as it is now. Returns its checkpoint, too, and whether that is behind.

        The checkpoint is read first: so it never tells of a commit that the catalog lacks."""
        said = read_checkpoint(self.path)
        if self.server is not None:
            catalog = Catalog(self.path / SERVED, keeper=self.server)
        else:
            content = self._file.read() if isinstance(self._file, CatalogFile) else None
            catalog = Catalog(self.path / CATALOG, content)
        try:
            made = catalog.meta("format")
            if made not in FORMATS:
                raise UsageError(f"{self.path} has format {made}, this engine {FORMATS[-1]}")
            behind = is_behind(said, catalog, judging=self._judging)
            if (address := catalog.meta(OBJECTS)) and not self._mending:
                self._objects = Objects(address)
                self._objects.fetch(self.path, catalog.files())
        except BaseException:
            catalog.close()
            raise
        return said, catalog, behind

    def of_last_commit(
        self, ask: Callable[[], Answer], is_sound: Callable[[Answer], bool] = lambda _: True
    ) -> Answer:
        """The answer to a question about the home as the last commit left it.

        A commit may take away what is just being read, such as a register that it replaces: where
        one came in between, what failed or is not sound is asked again. Raises HomeLocked where
        they never stop."""
        if self._file is None:
            return ask()
        for _ in range(READ_AGAIN_MAX):
            self._require_known()
            if self._file.moved():
                older = self._catalog
                self.checkpoint, self._catalog, _ = self._look()
                older.close()
            try:
                answer = ask()
                if is_sound(answer) or not self._file.moved():
                    return answer
            except Exception:
                if not self._file.moved():
                    raise
        raise HomeLocked(f"{self.path} was committed to each time that it was read: ask again")

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

    def write_heads(self, folder: Path) -> None:
        """Put catalog, checkpoint, lock and key as they are read here into another folder."""
        self._catalog.write_to(folder / CATALOG)
        said = self.checkpoint
        if self._catalog.is_served:  # A copy has its catalog beside it, in a file.
            said = msgspec.structs.replace(said, catalog=digest_of(folder / CATALOG))
        write_new(folder / "checkpoint", msgspec.json.encode(said))
        write_new(folder / "lock", b"")
        write_new(folder / "key", (self.path / "key").read_bytes())

    def id_hash(self, text: str) -> str:
        """A keyed hash by which an id can be recognised in logs without being readable."""
        return signing.keyed((self.path / "key").read_bytes(), text)

    # --- writing --------------------------------------------------------------------------------

    @property
    def is_read(self) -> bool:
        """True where the home is open for reading, beside whoever writes."""
        return self._file is not None

    def require_writer(self) -> None:
        """Raise UsageError where the home is closed, or open for reading."""
        self._require_known()
        if self.is_read:
            raise UsageError(f'{self.path} is open for reading: to write, open it without mode="r"')

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
        self.require_writer()
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
        self.require_writer()
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
        self.require_writer()
        self.stopped = f"a note in {self.path} was broken off: open the home again"
        with machine(self.path, self._catalog.needed):
            self._writer.note(at, kind, detail)
        self.stopped = ""

    def _recover(self) -> None:
        """Put aside what no commit names; stop where a commit's folder is gone, or where more is
        there than the one commit that a crash can cut off."""
        moves: dict[Path, Path] = {}
        later: list[Path] = []
        for kind in KINDS:
            top, named = self.path / kind, self.catalog.folders(kind)
            present = {entry.name for entry in top.iterdir()} if top.exists() else set()
            if kind == "registers":
                # Versions of which the current one is not made are not read again.
                self.drop_old_registers()
                named = {f"{seq:06d}" for seq in self.catalog.register_chain()}
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
            raise VerificationFailed(
                f"{self._catalog.called} is older than {later[-1]}: restore it"
            )
        if moves:
            # What was never committed may be large: its sizes are recorded, not its digests.
            moved = {target.name: sizes(source) for source, target in moves.items()}
            self.note("quarantine", {"moved": moved})
        for source, target in moves.items():
            source.rename(target)
            self.quarantined.append(target.name)

    def drop_old_registers(self) -> None:
        """Give the room of versions back of which the current one is not made. What cannot be
        removed now is tried again at the next open: it is in nobody's way."""
        chain = self.catalog.register_chain()
        for entry in (self.path / "registers").iterdir():
            is_old = entry.name.isdigit() and int(entry.name) < max(chain, default=0)
            if is_old and int(entry.name) not in chain:
                shutil.rmtree(entry, ignore_errors=True)


def raised(home: Home, least: int) -> list[Change]:
    """The change by which a home has a format at least, where it has an older one: an engine that
    does not know what is in it then leaves it alone."""
    return [SetMeta(str(least), "format")] if int(home.catalog.meta("format")) < least else []


def _is_served(path: Path) -> bool:
    """Say whether a server keeps the catalog of a home. Raises UsageError for a folder that is no
    home, VerificationFailed where its catalog is gone, or it has two."""
    served = (path / SERVED).is_file()
    if served and os.path.lexists(path / CATALOG):
        raise VerificationFailed(
            f"{path} has {CATALOG} and {SERVED}: one of them is not its own; take that away"
        )
    if not served and not (path / CATALOG).is_file():
        if any(path.glob("[br]*/[0-9]*")):
            raise VerificationFailed(f"{path / CATALOG} is gone: restore it")
        raise UsageError(f"{path} is no home: make one with `switch init`")
    return served


def _server(path: Path, alone: bool, wait: float) -> Server:
    """The server that keeps the catalog of a home. Other homes need nothing of it."""
    from switch.home.served import Server

    return Server(path, alone=alone, wait=wait)


def asked(path: Path, question: Callable[[Home], Answer]) -> Answer:
    """The answer to a question about a home, as the last commit left it."""
    with Home(path, writing=False) as home:
        return home.of_last_commit(lambda: question(home))


def lock(path: Path, writing: bool, wait: float = 0) -> BinaryIO:
    """The lock of a home, for one alone: its writer, or who must know that there is none.
    wait: seconds for which another one is waited for."""
    until = time.monotonic() + wait
    try:
        name = path / "lock"
        handle = new_file(name, "ab") if writing else name.open("rb")
        while not _is_taken(handle):
            if time.monotonic() >= until:
                handle.close()
                waited = f" for {wait:g} s" if wait else ""
                raise HomeLocked(
                    f"{path} is in use{waited}: another process, or another engine of this one,"
                    " writes to it; try again when it is closed, or wait for it (--wait SECONDS)"
                )
            time.sleep(LOCK_POLL_SECONDS)
    except HomeLocked:
        raise
    except OSError as error:
        raise environment(error, path) from error
    return handle


def _is_taken(handle: BinaryIO) -> bool:
    """Take the lock of a file; False where somebody else holds it."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def unlock(handle: BinaryIO) -> None:
    """Give the lock back, also where a forked process still has a copy of its handle."""
    # A callback and no generator, which would give the parent's lock back where a forked process
    # collects it.
    with handle:
        fcntl.flock(handle, fcntl.LOCK_UN)
