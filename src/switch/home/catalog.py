"""The catalog: its tables, and how it is opened."""

from __future__ import annotations

import sqlite3
from pathlib import Path

SCHEMA = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
CREATE TABLE registers (seq INTEGER PRIMARY KEY, manifest TEXT NOT NULL) STRICT;
CREATE TABLE batches (
    seq INTEGER PRIMARY KEY, source TEXT NOT NULL, batch_id TEXT NOT NULL, digest TEXT NOT NULL,
    value_date TEXT NOT NULL, at TEXT NOT NULL, cycle TEXT NOT NULL, lines INTEGER NOT NULL,
    amount TEXT NOT NULL, state TEXT NOT NULL, manifest TEXT NOT NULL, summary TEXT NOT NULL,
    UNIQUE (source, batch_id)) STRICT;
CREATE TABLE files (
    path TEXT PRIMARY KEY, sha256 TEXT NOT NULL, bytes INTEGER NOT NULL) STRICT;
CREATE TABLE cycles (
    cycle TEXT PRIMARY KEY, closes TEXT NOT NULL, state TEXT NOT NULL, at TEXT NOT NULL,
    request TEXT NOT NULL, answer TEXT NOT NULL) STRICT;
CREATE TABLE positions (
    cycle TEXT NOT NULL, participant TEXT NOT NULL, settled_by TEXT NOT NULL,
    credit_count INTEGER NOT NULL, credit_sum INTEGER NOT NULL, debit_count INTEGER NOT NULL,
    debit_sum INTEGER NOT NULL, net INTEGER NOT NULL, PRIMARY KEY (cycle, participant)) STRICT;
CREATE TABLE postings (
    seq INTEGER PRIMARY KEY, batch INTEGER NOT NULL, cycle TEXT NOT NULL, step TEXT NOT NULL,
    debit TEXT NOT NULL, credit TEXT NOT NULL, amount INTEGER NOT NULL) STRICT;
CREATE TABLE balances (account TEXT PRIMARY KEY, balance INTEGER NOT NULL) STRICT;
CREATE TABLE paid (
    origin TEXT NOT NULL, benefit TEXT NOT NULL, period INTEGER NOT NULL, path TEXT NOT NULL,
    PRIMARY KEY (origin, benefit, period)) STRICT;
CREATE TABLE audit (
    seq INTEGER PRIMARY KEY, at TEXT NOT NULL, kind TEXT NOT NULL, detail TEXT NOT NULL,
    previous TEXT NOT NULL, link TEXT NOT NULL) STRICT;
CREATE TABLE events (
    seq INTEGER PRIMARY KEY, at TEXT NOT NULL, kind TEXT NOT NULL, detail TEXT NOT NULL,
    previous TEXT NOT NULL, link TEXT NOT NULL) STRICT;
"""


def connect(path: Path) -> sqlite3.Connection:
    """One connection, rollback journal, synchronous=EXTRA: SQLite's write-ahead log is not used
    (its reset can lose a commit before 3.51.3)."""
    db = sqlite3.connect(path, isolation_level=None)
    db.row_factory = sqlite3.Row
    # The journal keeps its name, which is then synced once in the life of a home.
    db.execute("PRAGMA journal_mode = TRUNCATE")
    db.execute("PRAGMA synchronous = EXTRA")
    db.execute("PRAGMA foreign_keys = ON")
    # Nothing of a transaction reaches the catalog before its COMMIT.
    db.execute("PRAGMA cache_spill = OFF")
    return db
