"""Templates of the tables at the doors: empty ones, their Arrow schema and their JSON Schema."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa

from switch import schema
from switch.arguments import checked
from switch.errors import UsageError
from switch.files import exports
from switch.registry.directory import BALANCES, DEBTORS, PARTICIPANTS, PROGRAMMES
from switch.schema import Column, Kind, Table

KINDS: dict[str, Table] = {
    "payment": schema.PAYMENT,
    "population": schema.POPULATION,
    "accounts": schema.ACCOUNTS,
    "paid": schema.PAID,
    "replaced": schema.REPLACED,
    "request": schema.IDENTITY_REQUEST,
    "answer": schema.IDENTITY_ANSWER,
    "participants": PARTICIPANTS,
    "debtors": DEBTORS,
    "programmes": PROGRAMMES,
    "balances": BALANCES,
    "confirmations": schema.CONFIRMATIONS,
    "returns": schema.RETURNS,
    "statement": schema.STATEMENT,
    "resolutions": schema.RESOLUTIONS,
    "agencies": schema.FEE_AGENCIES,
    "bills": schema.BILLS,
    "fees": schema.FEE_PAYMENTS,
    "fee-list": schema.FEE_LIST,
    "fee-states": schema.FEE_STATES,
}
"""Tables by the names that options and documents have for them."""
TYPES = {
    Kind.LINE_NO: pa.uint32(),
    Kind.ID: pa.string(),
    Kind.AMOUNT: pa.int64(),
    Kind.PERIOD: pa.int32(),
    Kind.DATE: pa.date32(),
    Kind.PRIORITY: pa.uint8(),
    Kind.CODE: pa.string(),
    Kind.TEXT: pa.string(),
    Kind.INSTANT: pa.timestamp("us", "UTC"),
}
"""The type that is written best, of those that a column may have."""
JSON_TYPES: dict[Kind, dict[str, object]] = {
    Kind.LINE_NO: {"type": "integer", "minimum": 1, "maximum": schema.LINES_MAX},
    Kind.ID: {"type": "string", "pattern": "^[0-9]{12}$"},
    Kind.AMOUNT: {"type": "integer", "minimum": -(2**63), "maximum": 2**63 - 1},
    Kind.PERIOD: {"type": "string", "pattern": "^[0-9]{4}-(0[1-9]|1[0-2])$"},
    Kind.DATE: {"type": "string", "format": "date"},
    Kind.PRIORITY: {"type": "integer", "minimum": 1, "maximum": 255},
    Kind.CODE: {"type": "string"},
    Kind.TEXT: {"type": "string"},
    Kind.INSTANT: {"type": "string", "format": "date-time"},
}
WORDS = {
    (schema.POPULATION.name, "status"): schema.LIFE,
    (schema.ACCOUNTS.name, "kind"): schema.ACCOUNT_KINDS,
    (PARTICIPANTS.name, "kind"): (*schema.PARTICIPANT_KINDS, ""),
    (PARTICIPANTS.name, "status"): schema.PARTICIPANT_STATUS,
    (schema.IDENTITY_ANSWER.name, "answer"): schema.IDENTITY_ANSWERS,
    (schema.CONFIRMATIONS.name, "status"): ("ACCC", "RJCT"),
    (schema.STATEMENT.name, "side"): ("C", "D"),
    (schema.RESOLUTIONS.name, "status"): schema.RESOLVED,
    (schema.FEE_STATES.name, "kind"): schema.FEE_KINDS,
    (schema.FEE_STATES.name, "state"): schema.FEE_STATE_WORDS,
}
"""All values that a column takes, by table and column."""


def table_of(kind: str) -> Table:
    """The table of a name. Raises UsageError where there is none."""
    if kind not in KINDS:
        raise UsageError(f"{kind!r} is no table at a door; there are {', '.join(KINDS)}")
    return KINDS[kind]


@checked
def table_template(kind: str) -> pa.Table:
    """An empty table of a kind (`KINDS`), to be filled: columns, types, and which may be null."""
    fields = [pa.field(c.name, TYPES[c.kind], c.nullable) for c in table_of(kind).columns]
    return pa.schema(fields).empty_table()


@checked
def json_schema(kind: str) -> dict[str, object]:
    """The JSON Schema (2020-12) of the rows of a kind, as an array of objects."""
    table = table_of(kind)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": table.name,
        "type": "array",
        "items": {
            "type": "object",
            "properties": {c.name: _json_type(table, c) for c in table.columns},
            "required": [c.name for c in table.columns if not c.nullable],
            "additionalProperties": not table.is_closed,
        },
    }


@checked
def write_template(kind: str, path: str | Path) -> Path:
    """Write an empty table of a kind as the ending of path says: .csv, .parquet or .arrow. Raises
    UsageError, also for a file that is there."""
    table, path = table_template(kind), exports.require_ending(path)
    if path.exists():
        raise UsageError(f"{path} is there already: give another name")
    return exports.export(table, path)


def _json_type(table: Table, column: Column) -> dict[str, object]:
    found = {"description": column.kind.value, **JSON_TYPES[column.kind]}
    if column.kind in (Kind.CODE, Kind.TEXT):
        found["maxLength"] = schema.bytes_max(column.name)
    words: tuple[str | None, ...] | None = WORDS.get((table.name, column.name))
    if column.nullable:
        found["type"] = [found["type"], "null"]
        words = words and (*words, None)
    if words:
        found["enum"] = list(words)
    return found
