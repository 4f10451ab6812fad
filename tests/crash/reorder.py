"""All that a power cut may leave of a commit: the operations that were not yet synced, in any
selection.

The calls of a step are recorded and played into a strict model of a file system: what is written
to a file is durable when that file was synced after it; an entry of a folder when that folder was.
Everything else may have reached the disk or not, each by itself, in any order. That is more than
any file system does to us.

A cut is placed before every sync (what was open earlier is a selection of what is open then) and
after the last call. Operations are of two sorts:

  seen    entries of HOME, batches/, registers/; contents of the catalog, its journal, the
          checkpoint, the key
  unseen  anything inside a folder that no commit names yet

The engine never looks into a folder that the catalog does not name, so before the catalog is
touched a state is the same to it whatever became of unseen operations: such states are counted,
and a few of each kind are played through. Once the catalog is touched nothing unseen may be open
any more, which is required. Of seen operations every selection is taken where at most EXACT are
open: those are our own. SQLite's page writes are more; of them none, all, each alone, each
missing, each torn, all prefixes, and a seeded sample are taken.
"""

from __future__ import annotations

import itertools
import random
import shutil
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from harness import FAULTS_MAX, Report, Scenario, Wrong, require
from interposer import COUNT, KINDS, Mode

EXACT = 8
SAMPLES = 24
PLAYED_ALIKE = 2
"""How many states that are the same to the engine are played through."""


class Call(NamedTuple):
    kind: str
    offset: int
    path: str
    to: str
    data: bytes


def read_log(path: Path, root: Path) -> list[Call]:
    """The recorded calls, with paths relative to root; copies for people are no part of it."""
    content, at, calls = path.read_bytes(), 0, []
    while at < len(content):
        kind, offset, length, to_length, size = struct.unpack_from("<5q", content, at)
        at += 40
        name = content[at : at + length].decode()
        to = content[at + length : at + length + to_length].decode()
        at += length + to_length
        data = b""
        if KINDS[kind] == "WRITE":
            data = content[at : at + size]
            at += size
        call = Call(KINDS[kind], offset, _relative(name, root), _relative(to, root), data)
        if not call.path.startswith("home/out"):
            calls.append(call)
    return calls


def _relative(path: str, root: Path) -> str:
    return path[len(str(root)) + 1 :] if path else ""


class Change(NamedTuple):
    """One effect of a call on one object: an inode's bytes, or a folder's entries."""

    call: int
    object: int
    seen: bool
    entry: tuple[str, str, int] | None
    """(name to remove or '', name to add or '', inode) in folder `object`."""
    data: tuple[int, bytes] | None
    """(offset, bytes); offset -1 - n cuts the file to n bytes."""


class Model:
    """What the calls changed, and when each change became durable."""

    def __init__(self, before: Path, calls: list[Call]) -> None:
        self.calls = calls
        self.files: dict[int, bytes] = {}
        self.folders: dict[int, dict[str, int]] = {0: {}}
        self._numbers = itertools.count(1)
        self._load(before, 0)
        self.base_files = dict(self.files)
        self.base_folders = {n: dict(entries) for n, entries in self.folders.items()}
        self.changes: list[Change] = []
        self.durable: list[int] = []
        for number, call in enumerate(calls):
            self._play(number, call)

    def _load(self, path: Path, number: int) -> None:
        for child in sorted(path.iterdir()):
            inode = next(self._numbers)
            self.folders[number][child.name] = inode
            if child.is_dir():
                self.folders[inode] = {}
                self._load(child, inode)
            else:
                self.files[inode] = child.read_bytes()

    def _find(self, path: str) -> int:
        inode = 0
        for name in path.split("/") if path else ():
            inode = self.folders[inode][name]
        return inode

    def _place(self, path: str) -> tuple[int, str]:
        folder, _, name = path.rpartition("/")
        return self._find(folder), name

    def _note(
        self, number: int, inode: int, path: str, entry: Any = None, data: Any = None
    ) -> None:
        # home/batches/000001/... is unseen; home/batches/000001 and home/... are seen.
        seen = path.count("/") < 3
        self.changes.append(Change(number, inode, seen, entry, data))
        self.durable.append(len(self.calls) + 1)

    def _play(self, number: int, call: Call) -> None:
        kind, path = call.kind, call.path
        if kind == "SYNC":
            inode = self._find(path)
            for i, change in enumerate(self.changes):
                if change.object == inode and self.durable[i] > len(self.calls):
                    self.durable[i] = number
            return
        if kind == "CHMOD":
            return
        if kind in ("WRITE", "TRUNCATE"):
            inode = self._find(path)
            cut = kind == "TRUNCATE"
            data = (-1 - call.offset, b"") if cut else (call.offset, call.data)
            self.files[inode] = _written(self.files[inode], data)
            self._note(number, inode, path, data=data)
            return
        folder, name = self._place(path)
        entries = self.folders[folder]
        if kind in ("OPEN", "MKDIR"):
            if name in entries:
                if call.offset:
                    self._note(number, entries[name], path, data=(-1, b""))
                return
            inode = entries[name] = next(self._numbers)
            if kind == "MKDIR":
                self.folders[inode] = {}
            else:
                self.files[inode] = b""
            self._note(number, folder, path, entry=("", name, inode))
        elif kind in ("UNLINK", "RMDIR"):
            inode = entries.pop(name)
            self._note(number, folder, path, entry=(name, "", inode))
        else:
            require(kind == "RENAME", f"the model knows no {kind}")
            to_folder, to_name = self._place(call.to)
            require(folder == to_folder, "the model renames within a folder only")
            inode = entries.pop(name)
            entries[to_name] = inode
            self._note(number, folder, call.to, entry=(name, to_name, inode))

    # --- cuts -----------------------------------------------------------------------------------

    def cuts(self) -> Iterator[tuple[int, list[int], list[int]]]:
        """(call before which the power goes, changes that are durable, changes that are open)."""
        for cut, call in enumerate([*self.calls, None]):
            if call is None or call.kind == "SYNC":
                issued = [i for i, change in enumerate(self.changes) if change.call < cut]
                safe = [i for i in issued if self.durable[i] < cut]
                yield cut, safe, [i for i in issued if self.durable[i] >= cut]

    def touched_catalog(self, cut: int) -> bool:
        return any(
            call.kind == "WRITE" and call.path.rpartition("/")[2] == "catalog.sqlite"
            for call in self.calls[:cut]
        )

    def state(self, chosen: set[int], torn: int | None = None) -> dict[str, bytes | None]:
        """Files by path (None: a folder) after the chosen changes, in order."""
        files = dict(self.base_files)
        folders = {n: dict(entries) for n, entries in self.base_folders.items()}
        for i in sorted(chosen):
            change = self.changes[i]
            if change.entry is not None:
                gone, come, inode = change.entry
                entries = folders.setdefault(change.object, {})
                if gone and entries.get(gone) == inode:
                    del entries[gone]
                if come:
                    entries[come] = inode
            elif change.data is not None:
                data = change.data
                if i == torn:
                    data = (data[0], data[1][: len(data[1]) // 2])
                files[change.object] = _written(files.get(change.object, b""), data)
        out: dict[str, bytes | None] = {}

        def walk(folder: int, prefix: str) -> None:
            for name, inode in folders.get(folder, {}).items():
                if inode in self.folders or inode in self.base_folders:
                    out[prefix + name] = None
                    walk(inode, f"{prefix}{name}/")
                else:
                    out[prefix + name] = files.get(inode, b"")

        walk(0, "")
        return out


def _written(content: bytes, data: tuple[int, bytes]) -> bytes:
    offset, new = data
    if offset < 0:
        size = -1 - offset
        return content[:size] + bytes(max(0, size - len(content)))
    return content[:offset].ljust(offset, b"\0") + new + content[offset + len(new) :]


Selection = tuple[frozenset[int], int | None]
"""Changes that reached the disk, and one of them that did by half."""


def selections(model: Model, open_: list[int], draw: random.Random) -> Iterator[Selection]:
    """The selections of open changes that are tried at a cut (see above)."""
    seen = [i for i in open_ if model.changes[i].seen]
    unseen = [i for i in open_ if not model.changes[i].seen]
    inside = [frozenset(unseen)]
    if unseen:
        inside += [frozenset(), *(frozenset([i]) for i in unseen)]
        inside += [frozenset(unseen) - {i} for i in unseen]
    every = frozenset(seen)
    if len(seen) <= EXACT:
        outside = [
            frozenset(part)
            for n in range(len(seen) + 1)
            for part in itertools.combinations(seen, n)
        ]
    else:
        outside = [frozenset(), every]
        outside += [part for i in seen for part in (frozenset([i]), every - {i})]
        outside += [frozenset(seen[:n]) for n in range(len(seen))]
        outside += [frozenset(i for i in seen if draw.random() < 0.5) for _ in range(SAMPLES)]
    for part in dict.fromkeys(outside):
        yield part | inside[0], None
    for part, rest in itertools.product((every, frozenset[int]()), inside[1:]):
        yield part | rest, None
    for i in seen:
        data = model.changes[i].data
        if data is not None and len(data[1]) > 1:
            yield frozenset([i]), i
            yield every | frozenset(unseen), i


def reorderings(
    scenario: Scenario, steps: list[int], every: int = 1, faults_max: int = FAULTS_MAX
) -> dict[str, Any]:
    """Every selection at every cut of the steps, played through: of those that are not alike every
    `every`th, and each that may be left when the step has ended."""
    report = Report()
    for step in steps:
        _reorder(scenario, step, report, every, faults_max)
    return report.document()


def _reorder(scenario: Scenario, step: int, report: Report, every: int, faults_max: int) -> None:
    log = scenario.work / "calls.log"
    scenario.restore(scenario.before[step])

    def recorded(home: Path) -> None:
        scenario.interposer.record(scenario.point, log)
        scenario.steps[step].do(home)

    require(scenario.child(recorded, Mode(COUNT), 0) == "done", "it fails by itself")
    calls = read_log(log, scenario.point)
    model = Model(scenario.before[step], calls)
    name, draw = scenario.steps[step].name, random.Random(step)
    played: dict[Any, int] = {}
    unlike = 0
    base = scenario.work / "cut"
    for cut, safe, open_ in model.cuts():
        touched = model.touched_catalog(cut)
        unseen = [model.changes[i] for i in open_ if not model.changes[i].seen]
        # What is removed after a commit may be open: an old register, which nothing reads.
        if touched and any(change.entry is None or change.entry[1] for change in unseen):
            report.faults.append(
                f"{name}, call {cut}: the catalog is written before its files are safe"
            )
        for chosen, torn in selections(model, open_, draw):
            if len(report.faults) >= faults_max:
                return
            report.points["states"] += 1
            state = model.state(chosen | set(safe), torn)
            alike = frozenset(
                (path, content) for path, content in state.items() if touched or path.count("/") < 3
            )
            ended = cut == len(calls)
            played[alike, ended] = played.get((alike, ended), 0) + 1
            if played[alike, ended] > (1 if touched else PLAYED_ALIKE):
                continue
            unlike += 1
            if not ended and unlike % every != 1 % every:
                continue
            report.points["played"] += 1
            shutil.rmtree(base, ignore_errors=True)
            base.mkdir()
            for path, content in state.items():
                target = base / path
                if content is None:
                    target.mkdir()
                else:
                    target.write_bytes(content)
            scenario.restore(base)
            try:
                scenario.recover(step, "done" if ended else "killed")
            except Exception as error:
                missing = [model.calls[model.changes[i].call] for i in open_ if i not in chosen]
                lost = ", ".join(f"{c.kind} {c.path}" for c in missing[:6])
                what = repr(error) if not isinstance(error, Wrong) else str(error)
                report.faults.append(f"{name}, cut before call {cut}, without {lost}: {what}")
    report.points["kinds"] += len(played)
    report.points["calls"] += len(calls)
