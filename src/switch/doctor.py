"""Doctor: the machine and a home, looked at before a payday: each finding with its remedy.

Nothing is changed, and nothing of the money is proven: that is `proof/verify`.
"""

from __future__ import annotations

import datetime
import hashlib
import os
import platform
import re
import resource
import shutil
import sqlite3
import stat
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from importlib import import_module, metadata
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from switch.arguments import checked
from switch.errors import EnvironmentFailed, SwitchError, UsageError, counted
from switch.files.disk import SERVED, is_home
from switch.home import signing
from switch.home.checkpoint import SIGNED, SIGNING_KEY, SIGNING_PUB, is_behind, read_checkpoint
from switch.home.days import times
from switch.home.store import FORMAT, KINDS, ROOM_SPARE, Home
from switch.home.times import LOCAL, day_of, local_text
from switch.outcomes import in_html

if TYPE_CHECKING:
    from switch.home.served import Server

OK, WARN, FAIL = "ok", "warn", "fail"
ENVIRONMENT, HOME = "environment", "home"
PACKAGE = "payment-switch"
NATIVE = (
    *("alone", "branch", "by_row", "by_value", "csv_text", "flow", "in_order", "ledger", "match"),
    *("names", "outbox", "pages", "parquet_decode", "parquet_encode", "parquet_row", "parts"),
    *("people_table", "screen", "sent"),
)
"""Native modules beside `_core`."""
DISK_BYTES, TEMPORARY_BYTES, MEMORY_BYTES = 1 << 30, 1 << 28, 1 << 30
"""Free bytes below which a payday may run short."""
FILES_MIN = 256
SQLITE_MIN = (3, 37)
"""The first that has STRICT tables."""
CPU_FLAGS = ("sse4_2", "avx2", "avx512f", "sha_ni", "asimd", "sve")
KEY_BYTES_MIN = 16


class Finding(NamedTuple):
    """One thing that was looked at."""

    area: str
    """environment or home."""
    subject: str
    state: str
    """ok, warn (work goes on), or fail."""
    text: str
    remedy: str = ""


class Examination(NamedTuple):
    """Findings in the order in which they were made."""

    findings: list[Finding]

    def __repr__(self) -> str:
        return f"<examination of {len(self.findings)} things: {self.state}>"

    def _repr_html_(self) -> str:
        return in_html(self)

    @property
    def state(self) -> str:
        """The worst of all."""
        states = {finding.state for finding in self.findings}
        return next(state for state in (FAIL, WARN, OK) if state in states)

    @property
    def exit_code(self) -> int:
        """0, or 6 where the environment fails, or 5 where the home does."""
        failed = {finding.area for finding in self.findings if finding.state == FAIL}
        return 6 if ENVIRONMENT in failed else 5 if HOME in failed else 0


@checked
def examine(home: str | Path | None = None) -> Examination:
    """Look at the environment and, where one is given, at a home: that it opens, its keys,
    permissions, signatures, leftovers and files. Raises UsageError for a folder that is none."""
    path = None if home is None else Path(home)
    if path is not None and not is_home(path) and not any(path.glob("[br]*/[0-9]*")):
        raise UsageError(f"{path} is no home: make one with `switch init`")
    findings = [*_environment(path)]
    if path is not None:
        findings += _home(path)
    return Examination(findings)


def _finding(
    area: str, subject: str, text: str, problem: str = "", remedy: str = "", state: str = WARN
) -> Finding:
    """A finding that is ok where there is no problem, and of that state else."""
    if not problem:
        return Finding(area, subject, OK, text)
    return Finding(area, subject, state, f"{text}: {problem}" if text else problem, remedy)


# --- the environment ------------------------------------------------------------------------------


def _environment(home: Path | None) -> Iterator[Finding]:
    yield _python()
    yield _native()
    yield from _libraries()
    yield _processor()
    yield _memory()
    place = Path.cwd() if home is None else home
    yield _disk("disk", place, DISK_BYTES, ROOM_SPARE)
    yield _disk("temporary files", Path(tempfile.gettempdir()), TEMPORARY_BYTES, 0)
    yield _clock()
    yield _words()
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    few = "too few" if most < FILES_MIN else ""
    yield _finding(
        ENVIRONMENT, "open files", f"{most:,} at most", few, f"raise it: ulimit -n {FILES_MIN}"
    )


def _python() -> Finding:
    found = f"{platform.python_version()} ({platform.python_implementation()}), {sys.executable}"
    old = "older than 3.11" if sys.version_info < (3, 11) else ""
    return _finding(ENVIRONMENT, "python", found, old, "install Python 3.11 or newer", FAIL)


def _native() -> Finding:
    missing = []
    for name in ("switch._core", *(f"switch.native.{name}" for name in NATIVE)):
        try:
            import_module(name)
        except ImportError as error:
            missing.append(f"{name} ({error})")
    text = f"{counted(len(NATIVE) + 1, 'module')} compiled"
    problem = f"{missing[0]} cannot be loaded" if missing else ""
    remedy = "install the package again, or `make build` in a clone"
    return _finding(ENVIRONMENT, "native core", text, problem, remedy, FAIL)


def _libraries() -> Iterator[Finding]:
    try:
        wanted = metadata.requires(PACKAGE) or []
        version = metadata.version(PACKAGE)
    except metadata.PackageNotFoundError:
        wanted, version = [], "of a folder that is not installed"
    yield _finding(ENVIRONMENT, PACKAGE, version)
    for requirement in wanted:
        found = re.match(r"([\w-]+)\s*>=\s*([\d.]+)\s*(;.*)?$", requirement)
        if found and (not found[3] or '"sign"' in found[3].replace("'", '"')):
            yield _library(found[1], found[2], optional=bool(found[3]))
    sqlite = sqlite3.sqlite_version
    old = "older than 3.37" if sqlite3.sqlite_version_info[:2] < SQLITE_MIN else ""
    yield _finding(ENVIRONMENT, "sqlite", sqlite, old, "install a newer Python", FAIL)


def _library(name: str, least: str, *, optional: bool) -> Finding:
    extra = f"{PACKAGE}[sign]" if optional else f"{name}>={least}"
    remedy = f"pip install '{extra}'"
    try:
        version = metadata.version(name)
    except metadata.PackageNotFoundError:
        what = "not installed" + (", so that commits are not signed" if optional else "")
        return _finding(ENVIRONMENT, name, "", what, remedy, WARN if optional else FAIL)
    old = f"older than {least}" if _numbers(version) < _numbers(least) else ""
    return _finding(ENVIRONMENT, name, version, old, remedy, FAIL)


def _numbers(version: str) -> list[int]:
    return [int(part) for part in re.findall(r"\d+", version)[:3]]


def _processor() -> Finding:
    flags: set[str] = set()
    info = Path("/proc/cpuinfo")
    if info.exists():
        found = re.search(r"^(?:flags|Features)\s*:(.*)$", info.read_text(), re.MULTILINE)
        flags = set(found[1].split()) if found else set()
    has = [flag for flag in CPU_FLAGS if flag in flags]
    cores = counted(os.cpu_count() or 1, "core")
    return _finding(
        ENVIRONMENT, "processor", f"{platform.machine()}, {cores}, {' '.join(has) or 'plain'}"
    )


def _memory() -> Finding:
    pages = {name: os.sysconf(name) for name in ("SC_PHYS_PAGES", "SC_PAGE_SIZE")}
    whole = free = pages["SC_PHYS_PAGES"] * pages["SC_PAGE_SIZE"]
    info = Path("/proc/meminfo")
    if info.exists():
        found = re.search(r"^MemAvailable:\s*(\d+) kB$", info.read_text(), re.MULTILINE)
        free = int(found[1]) << 10 if found else free
    few = "little for a large table" if free < MEMORY_BYTES else ""
    text = f"{free >> 20:,} of {whole >> 20:,} MiB available"
    return _finding(ENVIRONMENT, "memory", text, few, "close what else runs, or add memory")


def _disk(subject: str, place: Path, little: int, nothing: int) -> Finding:
    try:
        free = shutil.disk_usage(place).free
    except OSError as error:
        return Finding(ENVIRONMENT, subject, FAIL, f"{place}: {error.strerror}", "make it readable")
    problem = "little for a payday" if free < little else ""
    state = FAIL if free < nothing else WARN
    text = f"{free >> 20:,} MiB free at {place}"
    return _finding(ENVIRONMENT, subject, text, problem, "make room", state)


def _clock() -> Finding:
    now = datetime.datetime.now(LOCAL)
    zone = time.strftime("%z") or "unknown"
    text = f"{now:%Y-%m-%dT%H:%M} in Vietnam; the machine's zone, {zone}, is used nowhere"
    odd = "not of our years" if not 2024 <= now.year < 2100 else ""
    return _finding(ENVIRONMENT, "clock", text, odd, "set the clock")


def _words() -> Finding:
    spoken = getattr(sys.stdout, "encoding", None) or "utf-8"
    odd = "not UTF-8" if spoken.lower().replace("_", "-") not in ("utf-8", "utf8") else ""
    remedy = "set LANG to a UTF-8 locale; letters are written as escapes else"
    return _finding(ENVIRONMENT, "text", spoken, odd, remedy)


# --- a home ---------------------------------------------------------------------------------------


def _home(path: Path) -> Iterator[Finding]:
    yield _permissions(path)
    try:
        with Home(path, writing=False) as home:
            yield _finding(
                HOME, "opens", f"{path}, format {FORMAT}; its checkpoint is of its last commit"
            )
            yield from looked_at(home)
    except SwitchError as error:
        if isinstance(error, EnvironmentFailed) and (path / SERVED).exists():
            yield Finding(ENVIRONMENT, "catalog", FAIL, str(error), "docs/scale.md")
            return
        remedy = "restore HOME from a copy: `switch scrub HOME --copy DIR`, docs/operations.md"
        yield Finding(HOME, "opens", FAIL, str(error), remedy)


def looked_at(home: Home) -> Iterator[Finding]:
    """Findings of a home that is open: the server that keeps its catalog, where one does, its
    checkpoint, time, keys, signatures, files, leftovers."""
    if home.server is not None:
        yield _catalog(home.server)
    for look in (_checkpoint, _time, _key, _signing, _signatures, _files, _leftovers):
        yield _looked(look, home)


def _catalog(server: Server) -> Finding:
    wrong = server.undurable()
    text = f"PostgreSQL {server.settings()['server_version']}, schema {server.kept.schema}"
    return _finding(ENVIRONMENT, "catalog", text, wrong and f"may lose what was committed, {wrong}",
                    "set fsync and full_page_writes on, in a database in UTF8", FAIL)  # fmt: skip


def _looked(look: Callable[[Home], Finding], home: Home) -> Finding:
    """A finding, also where what is looked at cannot be read."""
    try:
        return look(home)
    except (SwitchError, OSError) as error:
        if isinstance(error, EnvironmentFailed):
            raise
        subject = look.__name__.strip("_").replace("_", " ")
        text = getattr(error, "strerror", None) or str(error)
        return Finding(HOME, subject, FAIL, text, "restore it from a copy: `switch scrub`")


def _permissions(path: Path) -> Finding:
    open_to_others, others = [], []
    for entry in (path, *path.rglob("*")):
        try:
            status = entry.lstat()
        except OSError:
            continue  # It went meanwhile.
        if not stat.S_ISLNK(status.st_mode) and stat.S_IMODE(status.st_mode) & 0o077:
            open_to_others.append(entry)
        if status.st_uid != os.geteuid():
            others.append(entry)
    problem = ""
    if others:
        problem = f"{counted(len(others), 'entry')} of another owner, such as {others[0]}"
    if open_to_others:
        names = f"such as {open_to_others[0]}"
        problem = f"others may reach {counted(len(open_to_others), 'name')} of it, {names}"
    return _finding(HOME, "permissions", "its owner's alone" if not problem else "", problem,
                    "chmod -R go-rwx HOME, as its owner")  # fmt: skip


def _checkpoint(home: Home) -> Finding:
    behind = is_behind(read_checkpoint(home.path), home.catalog, judging=False)
    problem = "a crash came between it and the checkpoint" if behind else ""
    text = f"commit {home.catalog.audit.head()[0]} is the last"
    return _finding(HOME, "checkpoint", text, problem, "nothing: the next writer mends it")


def _time(home: Home) -> Finding:
    now = times(home).now
    if not now:
        return _finding(HOME, "time", "no batch was run yet")
    today = datetime.datetime.now(LOCAL).date()
    days = (day_of(now) - today).days
    problem = f"{counted(days, 'day')} after the machine's clock" if days > 0 else ""
    return _finding(HOME, "time", f"the last that was said to it is {local_text(now)}", problem,
                    "look whether the clock is right, or a date was mistyped")  # fmt: skip


def _marks(home: Home) -> dict[str, str]:
    """Marks by which the keys of a home are known."""
    record = home.catalog.events.records("keys")[-1]
    marks: dict[str, str] = msgspec.json.decode(record.detail)
    return marks


def _key(home: Home) -> Finding:
    key = (home.path / "key").read_bytes()
    problem = f"shorter than {KEY_BYTES_MIN} bytes" if len(key) < KEY_BYTES_MIN else ""
    if signing.keyed(key, signing.KEY_MARK) != _marks(home)["key"]:
        problem = "not the key that the home was made with"
    return _finding(HOME, "key", f"{counted(len(key), 'byte')}", problem,
                    "restore HOME/key from a copy", FAIL)  # fmt: skip


def _signing(home: Home) -> Finding:
    mark = _marks(home).get("signing")
    if mark is None:
        return Finding(HOME, "signing key", WARN, "none: commits are not signed",
                       f"a new home gets one where {PACKAGE}[sign] is installed")  # fmt: skip
    public = (home.path / SIGNING_PUB).read_bytes()
    if hashlib.sha256(public).hexdigest() != mark:
        return Finding(HOME, "signing key", FAIL, f"{SIGNING_PUB} is not the home's",
                       "restore it from a copy")  # fmt: skip
    private = home.path / SIGNING_KEY
    if not private.exists():
        return Finding(HOME, "signing key", WARN, f"{SIGNING_KEY} is kept elsewhere: commits are"
                       " not signed", "put it back before the payday")  # fmt: skip
    problem = "not of its public one" if signing.public_of(private.read_bytes()) != public else ""
    return _finding(HOME, "signing key", "Ed25519", problem, "restore it from a copy", FAIL)


def _signatures(home: Home) -> Finding:
    links = [link for _, link in home.catalog.audit.links()]
    path = home.path / SIGNED
    if not path.exists():
        return _finding(HOME, "signatures", f"none, of {counted(len(links), 'commit')}")
    said = signing.read_checkpoints(path.read_bytes(), str(path))
    signing.require_signed((home.path / SIGNING_PUB).read_bytes(), said, str(path))
    if gone := signing.departure(links, said):
        return Finding(HOME, "signatures", FAIL, gone, "restore the whole home from a copy")
    behind = len(links) - len(said)
    problem = f"{counted(behind, 'commit')} not signed yet" if behind else ""
    return _finding(HOME, "signatures", f"{counted(len(said), 'commit')} signed", problem,
                    "the next writer signs them, where the signing key is there")  # fmt: skip


def _files(home: Home) -> Finding:
    files = home.catalog.files()
    wrong = []
    for file in files:
        path = home.path / file.path
        if not path.is_file() or path.stat().st_size != file.bytes:
            wrong.append(file.path)
    problem = f"{wrong[0]} is gone or has another size" if wrong else ""
    text = f"{counted(len(files), 'file')} of {sum(f.bytes for f in files) >> 20:,} MiB are there"
    remedy = "`switch scrub HOME --copy DIR` repairs it; `switch verify HOME` proves the rest"
    return _finding(HOME, "files", text, problem, remedy, FAIL)


def _leftovers(home: Home) -> Finding:
    left = [
        *home.path.glob("*/.draft-*"),
        *home.path.glob("*.new"),
        *home.path.glob("out/**/.*.part"),
    ]
    for kind in KINDS:
        named = home.catalog.folders(kind)
        entries = [e for e in (home.path / kind).glob("[0-9]*") if e.name not in named]
        left += entries if kind != "registers" else []
    aside = [*(home.path / "quarantine").glob("*")]
    problem, remedy = "", ""
    if aside:
        problem = f"{counted(len(aside), 'thing')} in HOME/quarantine, which nobody reads"
        remedy = "look at them, and remove them"
    if left:
        problem = f"a crash left {counted(len(left), 'thing')}, such as {left[0].name}"
        remedy = "nothing: the next writer puts aside what counts for nothing"
    return _finding(HOME, "leftovers", "none" if not problem else "", problem, remedy)
