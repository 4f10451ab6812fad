"""Repair: a home compared with a copy of it, and made whole again from what the copy still has.

What a file must be stands in the catalog, and what the catalog must be in the checkpoint; nothing
is taken from a copy that is not byte for byte that. A file is written beside its place, synced and
renamed, so that a scrub that dies leaves no half of one. What was repaired is an event.
"""

from __future__ import annotations

import datetime
import hashlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from switch.arguments import checked
from switch.errors import EnvironmentFailed, SwitchError, UsageError, VerificationFailed
from switch.files.disk import CATALOG, SERVED, machine
from switch.files.segment import digest_of, new_file, sync_file, sync_folder
from switch.home.checkpoint import SIGNED, SIGNING_KEY, read_checkpoint, write_durably
from switch.home.store import KINDS, Home, lock
from switch.home.times import time_text
from switch.outcomes import Damage
from switch.proof.chains import Records, file_faults

COPY_BYTES = 1 << 20


@checked
def scrub(
    path: str | Path,
    copy: str | Path,
    *,
    dry_run: bool = False,
    at: datetime.date | str = "",
    wait: float = 0,
) -> list[Damage]:
    """Compare the home at path with a copy of its folder, file by file against the catalog's
    digests, and repair the home. Each damaged or missing file is a finding; the copy's are reported
    only.

    dry_run: nothing is written. at: the time to record. wait: seconds for which a writer of the
    home is waited for. Raises VerificationFailed where catalog and checkpoint do not belong
    together and the copy cannot help.
    """
    home, copy, at = Path(path), Path(copy), time_text(at)
    is_home = any((copy / name).exists() for name in (CATALOG, SERVED, *KINDS))
    if not is_home or copy.resolve() == home.resolve():
        raise UsageError(f"{copy} is no copy of {home}")
    with machine(home):
        # Catalog and checkpoint of a home that is written to differ for moments.
        with lock(home, True, wait):
            findings = _heads(home, copy, dry_run)
        if dry_run and any(finding.side == "home" for finding in findings):
            return findings  # Until they are repaired, nothing says what the other files must be.
        with Home(home, writing=False, mending=True, wait=wait) as opened:
            findings += _files(opened, copy, dry_run)
            findings += _keys(opened, copy, dry_run)
            repaired = {f.path: f.fault for f in findings if f.repaired}
            if repaired and not dry_run:
                opened.note("repair", {"repaired": repaired}, at)
    return findings


def _heads(home: Path, copy: Path, dry_run: bool) -> list[Damage]:
    """Catalog and checkpoint belong together, or one of them can be had from the copy. Of a catalog
    that a server keeps a copy has none: whoever opens the home says whether it is that of its
    checkpoint."""
    if (home / SERVED).exists():
        return []
    found = []
    if not _belong(copy, copy):
        found.append(Damage("copy", CATALOG, "is not that of its checkpoint", False))
    if _belong(home, home):
        return found
    for name, catalog, checkpoint in ((CATALOG, copy, home), ("checkpoint", home, copy)):
        if _matches(catalog, checkpoint):
            if not dry_run:
                _take(copy / name, home / name, None)
            return [*found, Damage("home", name, "was changed or is gone", True)]
    raise VerificationFailed(
        f"{home / CATALOG} is not that of its checkpoint, and {copy} has neither the one nor the"
        " other: restore the whole home"
    )


def _matches(catalog: Path, checkpoint: Path) -> bool:
    try:
        return digest_of(catalog / CATALOG) == read_checkpoint(checkpoint).catalog
    except (OSError, VerificationFailed):
        return False


def _belong(catalog: Path, checkpoint: Path) -> bool:
    """True where catalog and checkpoint are of one commit, or a crash left the catalog ahead."""
    if _matches(catalog, checkpoint):
        return True
    try:
        with Home(catalog, writing=False) as opened:
            said = read_checkpoint(checkpoint)
            ahead = opened.catalog.heads() != said.heads
            return ahead and not any(check.fault for check in Records(opened).chains())
    except (SwitchError, sqlite3.Error, ValueError):
        return False


def _files(home: Home, copy: Path, dry_run: bool) -> Iterator[Damage]:
    there = file_faults(home, copy)
    digests = {file.path: file.sha256 for file in home.catalog.files()}
    for path, fault in file_faults(home, home.path).items():
        if path not in there and not dry_run:
            _take(copy / path, home.path / path, digests[path])
        yield Damage("home", path, fault, path not in there)
    for path, fault in there.items():
        yield Damage("copy", path, fault, False)


def _keys(home: Home, copy: Path, dry_run: bool) -> Iterator[Damage]:
    """Keys are those that the first event marks; signatures are made again from the chain."""
    records = Records(home)
    there = records.key_faults(copy)
    for name, fault in records.key_faults(home.path).items():
        if name == SIGNED:
            continue
        if name not in there and not dry_run:
            _take(copy / name, home.path / name, None)
        yield Damage("home", name, fault, name not in there)
    for name, fault in there.items():
        if name != SIGNED:  # A copy's may be older than the home's.
            yield Damage("copy", name, fault, False)
    unsigned = records.key_faults(home.path).get(SIGNED)
    if unsigned is not None:
        if not dry_run:
            key = (home.path / SIGNING_KEY).read_bytes()
            _replace(home.path / SIGNED, b"".join(records.signed(key)))
        yield Damage("home", SIGNED, unsigned, True)


def _replace(target: Path, content: bytes) -> None:
    aside = target.with_name(f".{target.name}.part")
    write_durably(aside, content)
    aside.rename(target)
    sync_folder(target.parent)


def _take(source: Path, target: Path, sha256: str | None) -> None:
    """Put a file of the copy in its place, if it still has the digest that it must have."""
    made = [folder for folder in target.parents if not folder.exists()]
    for folder in reversed(made):
        folder.mkdir(mode=0o700)
        sync_folder(folder.parent)
    aside = target.with_name(f".{target.name}.part")
    found = hashlib.sha256()
    with source.open("rb") as stored, new_file(aside) as file:
        while block := stored.read(COPY_BYTES):
            found.update(block)
            file.write(block)
    if sha256 is not None and found.hexdigest() != sha256:
        aside.unlink()
        raise EnvironmentFailed(f"{source} changed while it was read: try again")
    sync_file(aside)
    aside.rename(target)
    sync_folder(target.parent)
