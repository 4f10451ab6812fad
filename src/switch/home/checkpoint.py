"""Checkpoints: notes beside the catalog of what its last records are.

HOME/checkpoint holds the heads of both chains and the digest of the catalog, so that an older or
another catalog is recognised. HOME/checkpoints.signed holds a signed line for every audit record;
whoever keeps a copy of it can prove later what the history was.
"""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from switch.errors import VerificationFailed
from switch.files import segment
from switch.files.segment import new_file, write_new
from switch.home import signing
from switch.home.catalog import Catalog
from switch.home.chain import Heads

SIGNING_KEY, SIGNING_PUB, SIGNED = "signing.key", "signing.pub", "checkpoints.signed"
SIGNED_LINE_MAX = 512


class Checkpoint(msgspec.Struct, forbid_unknown_fields=True):
    """The heads of both chains after the last commit, and the catalog that holds them."""

    seq: int
    link: str
    events: int
    events_link: str
    catalog: str
    """SHA-256 of catalog.sqlite: bits that no query reads may change unseen otherwise. Of a catalog
    that a server keeps, of its rows (`dialect.digest`)."""

    @property
    def heads(self) -> Heads:
        return Heads(self.seq, self.link, self.events, self.events_link)


def read_checkpoint(home: Path) -> Checkpoint:
    """The content of HOME/checkpoint. Raises VerificationFailed where it cannot be read."""
    path = home / "checkpoint"
    try:
        content = path.read_bytes()
        said = msgspec.json.decode(content, type=Checkpoint)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
        raise VerificationFailed(f"{path} cannot be read: restore it ({error})") from error
    if msgspec.json.encode(said) != content:
        raise VerificationFailed(f"{path} is not as it was written: restore it")
    return said


def write_checkpoint(home: Path, catalog: Catalog) -> None:
    """Note the last records beside the catalog, whole or not at all. The new name is not synced:
    after a power cut an older checkpoint may stand there, and the next writer mends it."""
    # The heads first: where another writer commits meanwhile, this one is old, and never false.
    said = catalog.heads()
    digest = catalog.digest()
    aside = home / "checkpoint.new"
    write_durably(aside, msgspec.json.encode(Checkpoint(*said, digest)))
    aside.rename(home / "checkpoint")


def is_behind(said: Checkpoint, catalog: Catalog, *, judging: bool) -> bool:
    """True where the checkpoint is behind a catalog that was read after it: a crash between commit
    and checkpoint leaves it so, and so does a commit in between. Raises VerificationFailed where
    the catalog is not that of the last acknowledged commit, or a later one. judging: a changed
    catalog is for the caller to say."""
    if any(
        seq and chain.link(seq) != link
        for chain, seq, link in (
            (catalog.audit, said.seq, said.link),
            (catalog.events, said.events, said.events_link),
        )
    ):
        raise VerificationFailed(
            f"{catalog.called} is not the catalog of commit {said.seq}, which was"
            " acknowledged (checkpoint): an older or another one was put in its place; restore"
            " the last one"
        )
    if catalog.heads() != said.heads:
        return True
    if not judging and catalog.digest() != said.catalog:
        raise VerificationFailed(f"{catalog.called} was changed: restore it")
    return False


def sign(home: Path, catalog: Catalog) -> None:
    """Append a signed checkpoint for every audit record that has none, if the home has a key."""
    if not (home / SIGNING_KEY).exists():
        return
    path = home / SIGNED
    done, size = 0, 0
    if path.exists():
        with path.open("rb") as file:
            start = max(0, os.fstat(file.fileno()).st_size - SIGNED_LINE_MAX)
            file.seek(start)
            tail = file.read()
        # A crash may have cut the last line off: it is written again.
        whole = tail[: tail.rfind(b"\n") + 1]
        size = start + len(whole)
        if whole:
            (said,) = signing.read_checkpoints(whole.splitlines(keepends=True)[-1], str(path))
            done = said.seq
            if catalog.audit.link(done) != said.link:
                raise VerificationFailed(f"{path} tells of another history: restore the whole home")
    records = catalog.audit.links(after=done)
    if not records:
        return
    signed = signing.sign((home / SIGNING_KEY).read_bytes(), records)
    made = not path.exists()
    with new_file(path, "ab") as file:
        file.truncate(size)
        file.write(b"".join(said.line() for said in signed))
    segment.sync_file(path)
    if made:
        segment.sync_folder(home)


def write_durably(path: Path, content: bytes) -> None:
    """A file for its owner alone, whose bytes are on the disk when this returns."""
    write_new(path, content)
    segment.sync_file(path)
