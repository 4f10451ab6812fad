"""The making of a home: everything stands on the disk before its catalog makes a home of it."""

from __future__ import annotations

import contextlib
import hashlib
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from switch.errors import UsageError
from switch.files import segment
from switch.files.disk import CATALOG, SERVED, machine, require_new
from switch.files.segment import new_file
from switch.home import signing
from switch.home.catalog import Catalog
from switch.home.changes import AddMeta
from switch.home.checkpoint import (
    SIGNED,
    SIGNING_KEY,
    SIGNING_PUB,
    sign,
    write_checkpoint,
    write_durably,
)
from switch.home.store import FORMAT, FORMAT_OBJECTS, KINDS, OBJECTS, lock

if TYPE_CHECKING:
    from switch.home.served import Server

_ASIDE, _JOURNAL = "catalog.new", "catalog.new-journal"
_NOTES = ("checkpoint", SIGNED, SIGNING_KEY, SIGNING_PUB, "key")
_SKELETON = {"batches", "registers", "quarantine", "lock", "checkpoint.new", *_NOTES}
"""Names that an `init` which died may have left behind; they hold nothing."""


def create_home(
    path: Path,
    meta: dict[str, str],
    at: str,
    key: bytes | None = None,
    signing_key: bytes | None = None,
    address: str = "",
) -> None:
    """A new home with its first audit record. meta: directory, settings, opening balances.
    signing_key: in the form of `signing`; without one nothing is signed. address: that of the
    server that keeps its catalog; without one a file does."""
    with machine(path), _served(path, address) as server:
        _require_empty(path)
        made = [folder for folder in (path, *path.parents) if not folder.exists()]
        for folder in (path, path / "batches", path / "registers", path / "quarantine"):
            folder.mkdir(parents=True, exist_ok=True)
            folder.chmod(0o700)
        with lock(path, writing=True):
            _require_empty(path)
            marks = _keep_keys(path, key or secrets.token_bytes(32), signing_key)
            _make_catalog(path, meta, at, marks, server)
            # Everything else stands before the catalog makes a home of the folder.
            segment.sync_folder(path)
            for folder in made:
                segment.sync_folder(folder.parent)
            (path / _ASIDE).rename(path / (CATALOG if server is None else SERVED))
            segment.sync_folder(path)


@contextlib.contextmanager
def _served(path: Path, address: str) -> Iterator[Server | None]:
    """The server at an address, before anything is made; None where none is named."""
    if not address:
        yield None
        return
    from switch.home.served import Server, kept_at

    _require_empty(path)
    with contextlib.closing(Server(path, alone=True, kept=kept_at(address))) as server:
        yield server


def _require_empty(path: Path) -> None:
    """Raises UsageError for a folder that holds something, or was a home."""
    require_new(path, (*KINDS, "quarantine"), ("checkpoint", SIGNED), path / _ASIDE)
    # What an `init` that died left behind may be used again: it holds nothing.
    left = _SKELETON | {_ASIDE, _JOURNAL}
    if path.exists() and (not path.is_dir() or {p.name for p in path.iterdir()} - left):
        raise UsageError(f"{path} exists and is not empty")


def _keep_keys(path: Path, key: bytes, signing_key: bytes | None) -> dict[str, object]:
    """Write the keys of a home; returns the marks by which they are known later."""
    kept = {"key": key}
    marks: dict[str, object] = {"key": signing.keyed(key, signing.KEY_MARK)}
    if signing_key is not None:
        kept[SIGNING_KEY] = signing_key
        kept[SIGNING_PUB] = signing.public_of(signing_key)
        marks["signing"] = hashlib.sha256(kept[SIGNING_PUB]).hexdigest()
    # While these go, catalog.new still says that no home was here.
    for name in _NOTES:
        (path / name).unlink(missing_ok=True)
    segment.sync_folder(path)
    for name, content in kept.items():
        write_durably(path / name, content)
    return marks


def _make_catalog(
    path: Path, meta: dict[str, str], at: str, marks: dict[str, object], server: Server | None
) -> None:
    """The catalog appears whole or not at all: it is made aside, and renamed later. A journal that
    was left would be played back into a new file of the old name. On a server its schema is left
    over where `init` dies before that: no home names it."""
    aside, journal = path / _ASIDE, path / _JOURNAL
    for left in (journal, aside):
        left.unlink(missing_ok=True)
    with new_file(aside) as file:
        file.write(b"" if server is None else server.kept.bytes())
    with contextlib.closing(Catalog(aside, keeper=server)) as catalog:
        with catalog.transaction():
            catalog.make()
            made = str(FORMAT_OBJECTS if OBJECTS in meta else FORMAT)
            catalog.apply(AddMeta(*pair) for pair in {"format": made, **meta}.items())
            catalog.audit.append(at, "init", dict(meta))
            # Beside the history: no answer may depend on a key made at random.
            catalog.events.append(at, "keys", marks)
        write_checkpoint(path, catalog)
        sign(path, catalog)
    segment.sync_file(aside)
    journal.unlink(missing_ok=True)
