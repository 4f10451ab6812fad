"""Tables as a life hands them over: rows as Arrow, Parquet or CSV.

Rows are dicts as the auditor has them.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from switch.sim.auditor.expected import Record
from switch.sim.auditor.screening import Row

PEOPLE = pa.schema(
    {
        "person_id": pa.string(),
        "name": pa.string(),
        "birth_date": pa.date32(),
        "status": pa.string(),
        "status_since": pa.date32(),
    }
)
ACCOUNTS = pa.schema(
    {
        "person_id": pa.string(),
        "participant": pa.string(),
        "account": pa.string(),
        "kind": pa.string(),
        "priority": pa.uint8(),
        "valid_from": pa.date32(),
        "valid_to": pa.date32(),
    }
)
PAID = pa.schema({"person_id": pa.string(), "benefit": pa.string(), "period": pa.int32()})
PAYMENT = pa.schema(
    {
        "line_no": pa.uint32(),
        "person_id": pa.string(),
        "person_name": pa.string(),
        "benefit": pa.string(),
        "period": pa.int32(),
        "amount": pa.int64(),
        "debtor_account": pa.string(),
        "creditor_agent": pa.string(),
        "creditor_account": pa.string(),
        "commune": pa.string(),
        "end_to_end_id": pa.string(),
    }
)
CONFIRMATIONS = pa.schema(
    {
        "participant": pa.string(),
        "transfer_id": pa.string(),
        "amount": pa.int64(),
        "creditor_account": pa.string(),
        "status": pa.string(),
        "reason": pa.string(),
        "booked_at": pa.timestamp("us", "UTC"),
    }
)
RETURNS = pa.schema(
    {
        "participant": pa.string(),
        "return_id": pa.string(),
        "transfer_id": pa.string(),
        "amount": pa.int64(),
        "reason": pa.string(),
        "booked_at": pa.timestamp("us", "UTC"),
    }
)
STATEMENT = pa.schema(
    {
        "account": pa.string(),
        "entry_id": pa.string(),
        "transfer_id": pa.string(),
        "end_to_end_id": pa.string(),
        "amount": pa.int64(),
        "side": pa.string(),
        "booked_on": pa.date32(),
    }
)
_ANSWERS = {"confirmations": CONFIRMATIONS, "returns": RETURNS, "statement": STATEMENT}


def answers_of(records: Sequence[Record]) -> bytes:
    """A file of confirmations, of returns, or a statement."""
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


def rows_table(rows: Iterable[Row], schema: Any = None) -> Any:
    return pa.Table.from_pylist([dict(row) for row in rows], schema=schema)


def given(rows: Iterable[Row] | None, schema: Any = None) -> Any:
    return None if rows is None else rows_table(rows, schema)


def typed(table: Any) -> Any:
    """The same rows as numbers and dictionaries."""
    ids = [int(text) for text in table["person_id"].to_pylist()]
    periods = [f"{p // 100}-{p % 100:02d}" for p in table["period"].to_pylist()]
    columns = {name: table[name] for name in table.schema.names}
    columns |= {"person_id": pa.array(ids, pa.uint64()), "period": pa.array(periods)}
    for name in ("benefit", "debtor_account", "creditor_agent"):
        columns[name] = table[name].combine_chunks().dictionary_encode()
    return pa.table(columns)


def parquet_of(rows: Iterable[Row]) -> bytes:
    sink = io.BytesIO()
    pq.write_table(rows_table(rows, PAYMENT), sink, store_schema=False)
    return sink.getvalue()


def csv_of(rows: Iterable[Row]) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC)
    writer.writerow(PAYMENT.names)
    for row in rows:
        writer.writerow(["" if row[name] is None else row[name] for name in PAYMENT.names])
    return text.getvalue().encode()
