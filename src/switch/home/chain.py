"""The two chains of a home's records, and the checkpoint by which their ends are known.

Each record holds the hash of the one before it; HOME/checkpoint holds the last of both chains, so
that an older catalog, or another one, is recognised.
"""

from __future__ import annotations

import hashlib
import sqlite3
from pathlib import Path
from typing import Any

import msgspec

from switch.errors import VerificationFailed

GENESIS = "0" * 64
"""Previous link of the first audit record."""


class Checkpoint(msgspec.Struct, forbid_unknown_fields=True):
    """The heads of both chains after the last commit, and the catalog that holds them."""

    seq: int
    link: str
    events: int
    events_link: str
    catalog: str
    """SHA-256 of catalog.sqlite: bits that no query reads may change unseen otherwise."""


def read_checkpoint(home: Path) -> Checkpoint:
    """What HOME/checkpoint says. Raises VerificationFailed where it says nothing."""
    path = home / "checkpoint"
    try:
        content = path.read_bytes()
        said = msgspec.json.decode(content, type=Checkpoint)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
        raise VerificationFailed(f"{path} cannot be read: restore it ({error})") from error
    if msgspec.json.encode(said) != content:
        raise VerificationFailed(f"{path} is not as it was written: restore it")
    return said


def heads(db: sqlite3.Connection) -> tuple[int, str, int, str]:
    found: list[Any] = []
    for chain in ("audit", "events"):
        row = db.execute(f"SELECT seq, link FROM {chain} ORDER BY seq DESC LIMIT 1").fetchone()
        found += [row["seq"], row["link"]] if row else [0, GENESIS]
    return tuple(found)


def link_of(previous: str, seq: int, at: str, kind: str, detail: str) -> str:
    """The hash that chains one audit record to the one before it."""
    record = msgspec.json.encode([previous, seq, at, kind, detail])
    return hashlib.sha256(record).hexdigest()
