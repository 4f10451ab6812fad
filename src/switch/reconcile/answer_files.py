"""Answer files: those of receivers, of the State Bank and of the treasury, as records.

IN: confirmations, returns or a statement, read as other files of others are (batch.open_table).
OUT: tables of reconcile's RECORD, part by part. A word, an amount or a day that none is refuses the
file, so that nothing that was taken in can stop a later reconciliation.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from switch.errors import InputRefused
from switch.files.columns import Columns
from switch.files.file_schemas import RECORD
from switch.files.tables import TableReader, open_table
from switch.reconcile.match.records import DAY_US
from switch.reconcile.match.rules import AMOUNT_BOUND
from switch.schema import CONFIRMATIONS, RESOLUTIONS, RESOLVED, RETURNS, STATEMENT, Table

TABLES: dict[str, Table] = {
    "confirmations": CONFIRMATIONS,
    "returns": RETURNS,
    "statement": STATEMENT,
    "resolutions": RESOLUTIONS,
}
WORDS = {"status": ("ACCC", "RJCT"), "side": ("C", "D")}
"""The words that a column may have; the status of a resolution has its own."""
_NAMES = {
    "participant": "participant",
    "transfer_id": "transfer_id",
    "end_to_end_id": "end_to_end_id",
    "return_id": "record_id",
    "entry_id": "record_id",
    "creditor_account": "account",
    "account": "account",
    "status": "status",
    "reason": "reason",
}
"""Columns of texts of the files, as a record calls them."""


def opened(
    path: Path | pa.Table, kind: str | None, strict: bool, room: Path, digest: bool = True
) -> TableReader:
    """A file, or a table in memory, of the kind that is named, or its columns say. room: for a copy
    of a long file."""
    tables = tuple(TABLES.values()) if kind is None else TABLES[kind]
    try:
        return open_table(path, tables, strict_columns=strict, digest=digest, room=room)
    except InputRefused as refused:
        if refused.rule != "KIND_UNKNOWN":
            raise
        what = (
            "the columns are those of neither confirmations, returns, a statement nor resolutions"
        )
        remedy = "give the columns that docs/contract.md has, or say with --kind what it is"
        raise InputRefused("KIND_UNKNOWN", what, file=refused.file, remedy=remedy) from None


def kind_of(reader: TableReader) -> str:
    return next(name for name, table in TABLES.items() if table is reader.table)


def records_in(reader: TableReader, most: int) -> Iterator[pa.Table]:
    """Tables of RECORD from a file, which may be without rows: then nothing happened that it could
    tell. Raises InputRefused for a word, an amount or a day that none is, and for more than most
    rows, as soon as the file declares or has them."""
    done = 0
    _require_few(reader, reader.rows or 0, most)
    for chunk in _chunks(reader):
        # An answer to a recall names no amount.
        is_resolution = reader.table is RESOLUTIONS
        amount = np.zeros(len(chunk["booked_at"]), np.int64) if is_resolution else chunk["amount"]
        rows = len(amount)
        _require_few(reader, done + rows, most)
        beyond = (amount <= -AMOUNT_BOUND) | (amount >= AMOUNT_BOUND)
        if beyond.any():
            raise InputRefused(
                "AMOUNT_RANGE",
                "an amount is beyond 2^56 dong",
                file=reader.name,
                row=done + int(np.argmax(beyond)) + 1,
                column="amount",
                remedy="correct the amount",
            )
        columns = {ours: chunk[name].rows() for name, ours in _NAMES.items() if name in chunk}
        for name, words in ({"status": RESOLVED} if is_resolution else WORDS).items():
            if name in chunk:
                known = np.asarray(pc.is_in(chunk[name].rows(), pa.array(words)))
                if not known.all():
                    raise InputRefused(
                        "VALUE_UNKNOWN",
                        f"a {name} is none of {', '.join(words)}",
                        file=reader.name,
                        row=done + int(np.argmin(known)) + 1,
                        column=name,
                        remedy="use one of the named words",
                    )
        if "side" in chunk:
            amount = np.where(np.asarray(pc.equal(chunk["side"].rows(), "D")), -amount, amount)
        if "booked_on" in chunk:
            columns["at"] = pa.array(chunk["booked_on"].astype(np.int64) * DAY_US)
        else:
            columns["at"] = pa.array(chunk["booked_at"])
        if reader.table is RETURNS:
            columns["status"] = pa.repeat("RTRN", rows)
        columns["amount"] = pa.array(amount)
        nothing = pa.nulls(rows, pa.string())
        yield pa.table([columns.get(n, nothing) for n in RECORD.names], schema=RECORD)
        done += rows


def _require_few(reader: TableReader, rows: int, most: int) -> None:
    if rows > most:
        reader.close()
        what = f"the file has more than the {most:,} rows that all that was sent leaves room for"
        remedy = "send what was sent to you answered once, in several reconciliations if need be"
        raise InputRefused("ROW_LIMIT", what, file=reader.name, remedy=remedy)


def _chunks(reader: TableReader) -> Iterator[Columns]:
    try:
        yield from reader.chunks()
    except InputRefused as refused:
        if refused.rule != "NO_LINES":
            raise
