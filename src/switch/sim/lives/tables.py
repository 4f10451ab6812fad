"""Tables as a life hands them over: rows as Arrow, Parquet or CSV.

Rows are dicts as the auditor has them.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence

import pyarrow as pa
import pyarrow.parquet as pq

from switch import schema
from switch.sim.auditor.expected import Record
from switch.sim.auditor.screening import Row
from switch.sim.world.draw import arrow_schema

PEOPLE = arrow_schema(schema.POPULATION, without={"household_id", "commune"})
ACCOUNTS = arrow_schema(schema.ACCOUNTS)
PAID = arrow_schema(schema.PAID)
HOUSEHOLDS = arrow_schema(schema.PAYMENT)
PAYMENT = arrow_schema(schema.PAYMENT, without={schema.HOUSEHOLD})
"""A payment table with and without households."""
CONFIRMATIONS = arrow_schema(schema.CONFIRMATIONS)
RETURNS = arrow_schema(schema.RETURNS)
STATEMENT = arrow_schema(schema.STATEMENT)
RESOLUTIONS = arrow_schema(schema.RESOLUTIONS)
_ANSWERS = {
    "confirmations": CONFIRMATIONS,
    "returns": RETURNS,
    "statement": STATEMENT,
    "resolutions": RESOLUTIONS,
}


def answers_of(records: Sequence[Record]) -> bytes:
    """A file of confirmations, of returns, a statement, or of answers to recalls."""
    rows = [
        {
            **record._asdict(),
            "creditor_account": record.account,
            "booked_at": record.at,
            "booked_on": record.at.date(),
            "entry_id": record.return_id,
            "side": "C",
        }
        for record in records
    ]
    sink = io.BytesIO()
    table = pa.Table.from_pylist(rows, _ANSWERS[records[0].kind])
    pq.write_table(table, sink, store_schema=False)
    return sink.getvalue()


def rows_table(rows: Iterable[Row], columns: pa.Schema | None = None) -> pa.Table:
    """Rows as an Arrow table. columns: those that rows themselves show, where it is None."""
    return pa.Table.from_pylist([dict(row) for row in rows], schema=columns)


def payment(rows: Sequence[Row]) -> pa.Table:
    """Lines as an Arrow table, with households where there are any."""
    has = any(row.get(schema.HOUSEHOLD) for row in rows)
    return rows_table(rows, HOUSEHOLDS if has else PAYMENT)


def given(rows: Iterable[Row] | None, columns: pa.Schema | None = None) -> pa.Table | None:
    """Rows as an Arrow table, or None where there are none given."""
    return None if rows is None else rows_table(rows, columns)


def typed(table: pa.Table) -> pa.Table:
    """The same rows as numbers and dictionaries."""
    ids = [int(text) for text in table["person_id"].to_pylist()]
    periods = [f"{p // 100}-{p % 100:02d}" for p in table["period"].to_pylist()]
    columns = {name: table[name] for name in table.schema.names}
    columns |= {"person_id": pa.array(ids, pa.uint64()), "period": pa.array(periods)}
    for name in ("benefit", "debtor_account", "creditor_agent"):
        columns[name] = table[name].combine_chunks().dictionary_encode()
    return pa.table(columns)


def parquet_of(rows: Sequence[Row]) -> bytes:
    """A payment table as a Parquet file."""
    sink = io.BytesIO()
    pq.write_table(payment(rows), sink, store_schema=False)
    return sink.getvalue()


def csv_of(rows: Sequence[Row]) -> bytes:
    """A payment table as a CSV file."""
    text, table = io.StringIO(newline=""), payment(rows)
    writer = csv.writer(text, lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC)
    writer.writerow(table.schema.names)
    for row in rows:
        cells = (row.get(name) for name in table.schema.names)
        writer.writerow(["" if cell is None else cell for cell in cells])
    return text.getvalue().encode()
