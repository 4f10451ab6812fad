"""The catalog's second dialect: its tables, changes and digest where PostgreSQL keeps it.

Everything follows from the tables and the statements of SQLite, but for the few that differ; so
there is one list of tables, and a change that is forgotten here cannot be.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import sqlite3
from typing import NamedTuple

import msgspec

from switch.home.catalog import SCHEMA
from switch.home.changes import (
    STATEMENTS,
    AddPosition,
    AddPosting,
    Change,
    CloseCycle,
    OpenCycle,
    PutCycle,
    SetBalance,
    SetPaid,
)

OPENED = "opened"
"""Column in which the server counts cycles in the order of their opening: SQLite's rowid there."""
_TYPES = {"INTEGER": "bigint", "TEXT": "text"}
_NEXT_CYCLE = f"(SELECT coalesce(max({OPENED}), 0) + 1 FROM cycles)"
_NEXT_POSTING = "(SELECT coalesce(max(seq), 0) + 1 FROM postings)"
_SUMS = ("credit_count", "credit_sum", "debit_count", "debit_sum", "net")

_OTHERS: dict[type[Change], str] = {
    OpenCycle: f"INSERT INTO cycles VALUES (?, ?, 'OPEN', '', '', '', {_NEXT_CYCLE})"
    " ON CONFLICT DO NOTHING",
    CloseCycle: f"INSERT INTO cycles VALUES (?, ?, 'CLOSED', ?, ?, '', {_NEXT_CYCLE})"
    " ON CONFLICT (cycle) DO UPDATE"
    " SET state = 'CLOSED', at = excluded.at, request = excluded.request",
    PutCycle: f"INSERT INTO cycles VALUES (?, ?, ?, ?, '', '', {_NEXT_CYCLE})"
    " ON CONFLICT (cycle) DO UPDATE SET closes = excluded.closes, state = excluded.state,"
    " at = excluded.at, request = '', answer = '', opened = excluded.opened",
    AddPosition: "INSERT INTO positions VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
    " ON CONFLICT (cycle, participant) DO UPDATE SET "
    + ", ".join(f"{name} = positions.{name} + excluded.{name}" for name in _SUMS),
    AddPosting: f"INSERT INTO postings VALUES ({_NEXT_POSTING}, ?, ?, ?, ?, ?, ?)",
    SetBalance: "INSERT INTO balances VALUES (?, ?)"
    " ON CONFLICT (account) DO UPDATE SET balance = excluded.balance",
    SetPaid: "INSERT INTO paid VALUES (?, ?, ?, ?)"
    " ON CONFLICT (origin, benefit, period) DO UPDATE SET path = excluded.path",
}
"""Statements that PostgreSQL takes in other words."""


class Table(NamedTuple):
    """A table of the catalog on the server."""

    name: str
    columns: dict[str, str]
    """Types by name, in order."""
    key: tuple[str, ...]
    uniques: tuple[tuple[str, ...], ...]

    @property
    def mirrored(self) -> str:
        """Its columns as the mirror calls them."""
        return ", ".join("rowid" if name == OPENED else name for name in self.columns)

    def making(self) -> str:
        """The statement that makes it."""
        parts = [f"{name} {kind} NOT NULL" for name, kind in self.columns.items()]
        parts.append(f"PRIMARY KEY ({', '.join(self.key)})")
        parts += [f"UNIQUE ({', '.join(columns)})" for columns in self.uniques]
        return f"CREATE TABLE {self.name} ({', '.join(parts)})"

    def parts(self) -> set[tuple[str, str]]:
        """All parts of it, as `PARTS` tells them of the one on the server."""
        found = {"a table", f"primary key ({', '.join(self.key)})"}
        found |= {f"column {name} {kind} not null" for name, kind in self.columns.items()}
        found |= {f"unique ({', '.join(columns)})" for columns in self.uniques}
        return {(self.name, part) for part in found}


@functools.cache
def tables() -> tuple[Table, ...]:
    """All tables of the catalog, as SQLite understands its own."""
    found = []
    with contextlib.closing(sqlite3.connect(":memory:")) as db:
        db.executescript(SCHEMA)
        names = db.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY rowid")
        for (name,) in names.fetchall():
            rows = db.execute("SELECT name, type, pk FROM pragma_table_info(?)", (name,)).fetchall()
            columns = {column: _TYPES[kind] for column, kind, _ in rows}
            key = tuple(
                column for _, column in sorted((pk, column) for column, _, pk in rows if pk)
            )
            indexes = db.execute(
                "SELECT name FROM pragma_index_list(?) WHERE origin = 'u'", (name,)
            )
            uniques = [
                tuple(c for (c,) in db.execute("SELECT name FROM pragma_index_info(?)", index))
                for index in indexes.fetchall()
            ]
            if name == "cycles":
                columns[OPENED] = "bigint"
                uniques.append((OPENED,))
            found.append(Table(name, columns, key, tuple(uniques)))
    return tuple(found)


def on_server(statement: str) -> str:
    """A statement with the marks of values that psycopg has."""
    return statement.replace("%", "%%").replace("?", "%s")


def change(kind: type[Change]) -> str:
    """The statement of a change on the server."""
    return on_server(_OTHERS.get(kind) or STATEMENTS[kind])


def digest(mirror: sqlite3.Connection) -> str:
    """SHA-256 of all rows: of each table its name, then each row as a JSON array without blanks in
    the order of the primary key, a line each. It depends on no server, and on no file of SQLite."""
    found = hashlib.sha256()
    for table in tables():
        found.update(f"{table.name}\n".encode())
        query = f"SELECT {table.mirrored} FROM {table.name} ORDER BY {', '.join(table.key)}"
        for row in mirror.execute(query):
            found.update(msgspec.json.encode(row) + b"\n")
    return found.hexdigest()


PARTS = """
WITH ours AS (SELECT * FROM pg_class WHERE relnamespace = to_regnamespace(%(schema)s))
SELECT relname, CASE WHEN relkind = 'r' AND relpersistence = 'p' AND NOT relrowsecurity
        AND NOT relispartition THEN 'a table' ELSE 'a relation of another kind' END
    FROM ours WHERE relkind NOT IN ('i', 'I')
UNION ALL SELECT relname, 'column ' || attname || ' ' || format_type(atttypid, atttypmod)
        || CASE WHEN attnotnull THEN ' not null' ELSE '' END
        || CASE WHEN atthasdef OR attidentity <> '' THEN ' with a value of its own' ELSE '' END
    FROM ours JOIN pg_attribute ON attrelid = ours.oid
    WHERE relkind NOT IN ('i', 'I') AND attnum > 0 AND NOT attisdropped
UNION ALL SELECT relname, CASE contype WHEN 'p' THEN 'primary key (' WHEN 'u' THEN 'unique ('
        ELSE 'constraint ' || conname || ' (' END || coalesce((
            SELECT string_agg(attname, ', ' ORDER BY place)
            FROM unnest(conkey) WITH ORDINALITY AS named (number, place)
            JOIN pg_attribute ON attrelid = conrelid AND attnum = number), '') || ')'
        || CASE WHEN condeferrable THEN ' deferrable' ELSE '' END
    FROM ours JOIN pg_constraint ON conrelid = ours.oid WHERE contype <> 'n'
UNION ALL SELECT relname, 'index ' || indexrelid::regclass
    FROM ours JOIN pg_index ON indrelid = ours.oid
    WHERE NOT EXISTS (SELECT FROM pg_constraint WHERE conindid = indexrelid AND conrelid = indrelid)
UNION ALL SELECT relname, 'trigger ' || tgname FROM ours JOIN pg_trigger ON tgrelid = ours.oid
UNION ALL SELECT relname, 'rule ' || rulename FROM ours JOIN pg_rewrite ON ev_class = ours.oid
UNION ALL SELECT relname, 'policy ' || polname FROM ours JOIN pg_policy ON polrelid = ours.oid
UNION ALL SELECT relname, 'an heir' FROM ours JOIN pg_inherits ON inhparent = ours.oid
UNION ALL SELECT relname, 'inherits' FROM ours JOIN pg_inherits ON inhrelid = ours.oid
"""
"""Everything that the tables of a schema are made of: (table, part)."""


def strange(found: set[tuple[str, str]]) -> str:
    """The first part of a schema that no home makes, or that is gone, in words; '' where it is made
    as a home makes it."""
    made = {part for table in tables() for part in table.parts()}
    for table, part in sorted(found - made):
        return f"{table} has {part}, which no home makes"
    for table, part in sorted(made - found):
        return f"{table} lacks {part}"
    return ""
