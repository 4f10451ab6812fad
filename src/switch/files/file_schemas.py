"""File schemas: the columns of every file that the engine writes, among them the status file."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from switch.files.parquet_writer import Style
from switch.reason import REASONS_COUNT, status_of
from switch.schema import HOUSEHOLD

_CODE = pa.dictionary(pa.int32(), pa.string())

STATUS = pa.schema(
    [
        pa.field("line_no", pa.uint32(), nullable=False),
        pa.field("status", _CODE, nullable=False),
        pa.field("reason", _CODE),
        pa.field("reason_detail", pa.string()),
        pa.field("transfer_id", pa.string()),
        pa.field("participant", _CODE),
        pa.field("cycle", _CODE),
    ]
)

LINES = pa.schema(
    [
        pa.field("row", pa.uint32(), nullable=False),
        pa.field("amount", pa.int64(), nullable=False),
        pa.field("benefit", _CODE),
        pa.field("period", pa.int32(), nullable=False),
        pa.field("debtor_agent", _CODE),
        pa.field("reason_number", pa.uint8(), nullable=False),
    ]
)

REPRESENTED = pa.schema([pa.field("batch", pa.uint32(), nullable=False), *STATUS, *LINES])

STYLES = {
    "transfer_id": Style.SHARED,
    "end_to_end_id": Style.SHARED,
    "reason_detail": Style.SQUEEZED,
    "person_name": Style.SQUEEZED,
    "benefit": Style.SQUEEZED,
    "debtor_account": Style.SQUEEZED,
    "commune": Style.SQUEEZED,
    HOUSEHOLD: Style.SQUEEZED,
}
"""Encodings of text columns of all these files, as far as they are not codes."""

HELD_SCHEMA = pa.schema(
    [
        pa.field("batch", pa.int64(), nullable=False),
        pa.field("line_no", pa.uint32(), nullable=False),
        pa.field("person_id", pa.uint64(), nullable=False),
        pa.field("person_name", pa.string(), nullable=False),
        pa.field("benefit", pa.string(), nullable=False),
        pa.field("period", pa.int32(), nullable=False),
        pa.field("amount", pa.int64(), nullable=False),
        pa.field("debtor_account", pa.string(), nullable=False),
        pa.field("creditor_agent", pa.string()),
        pa.field("creditor_account", pa.string()),
        pa.field("commune", pa.string()),
        pa.field("end_to_end_id", pa.string()),
    ]
)

HOUSEHOLD_FIELD = pa.field(HOUSEHOLD, pa.string())
"""Last column of the files of lines as they came, where one of their lines names a household."""

CREDITS_FILE = "credits.parquet"
CREDITS = pa.schema(
    [
        pa.field("line_no", pa.uint32(), nullable=False),
        pa.field("first", pa.uint32(), nullable=False),
        pa.field("amount", pa.int64(), nullable=False),
    ]
)
"""Lines of a batch that were sent together, two or more as one credit, in table order. first: the
number of its first line, whose transfer id it has."""
CREDITS_OF_BATCHES = pa.schema([pa.field("batch", pa.uint32(), nullable=False), *CREDITS])
"""The same of a run that sent lines together which had waited: they stand first, with the number of
the batch that they came in."""

CANCELLED_LINES = pa.schema(
    [
        ("batch", pa.uint32()),
        ("line_no", pa.uint32()),
        ("benefit", pa.string()),
        ("period", pa.int32()),
        ("amount", pa.int64()),
    ]
)
"""Lines that waited and were cancelled; no person is named."""

EXPIRED_LINES = pa.schema(
    [
        *CANCELLED_LINES,
        ("source", pa.string()),
        ("batch_id", pa.string()),
        ("since", pa.date32()),
        ("deadline", pa.date32()),
        ("reason", pa.string()),
    ]
)
"""Lines that waited beyond their deadline, as they are told to who sent them; no person is named.
deadline: the last day on which a line may wait."""

CLEARED_SCHEMA = pa.schema(
    [
        *HELD_SCHEMA,
        pa.field("row", pa.uint32(), nullable=False),
        pa.field("transfer_id", pa.string(), nullable=False),
        pa.field("participant", pa.string(), nullable=False),
        pa.field("debtor_agent", pa.string(), nullable=False),
    ]
)
"""Lines that cleared, as they came and as they were routed, where a recast may send them back."""

_IS_HELD = np.array([status_of(n) == "PDNG" for n in range(REASONS_COUNT)])


def is_held(reason: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """bool array of lines that wait."""
    return _IS_HELD.take(reason)


POSITIONS = pa.schema(
    [
        ("participant", pa.string()),
        ("settled_by", pa.string()),
        ("credit_count", pa.int64()),
        ("credit_sum", pa.int64()),
        ("debit_count", pa.int64()),
        ("debit_sum", pa.int64()),
        ("net", pa.int64()),
    ]
)


def positions_table(cycle: Sequence[tuple[object, ...]]) -> pa.Table:
    """positions.parquet of a cycle: rows as POSITIONS has them."""
    columns = list(zip(*cycle, strict=True)) or [()] * len(POSITIONS)
    return pa.table(
        [pa.array(list(c), f.type) for c, f in zip(columns, POSITIONS, strict=True)],
        schema=POSITIONS,
    )


RECORD = pa.schema(
    [
        pa.field("transfer_id", pa.string()),
        pa.field("record_id", pa.string()),
        pa.field("at", pa.int64(), nullable=False),
        pa.field("amount", pa.int64(), nullable=False),
        pa.field("end_to_end_id", pa.string()),
        pa.field("account", pa.string()),
        pa.field("participant", pa.string()),
        pa.field("currency", pa.string()),
        pa.field("status", pa.string()),
        pa.field("reason", pa.string()),
    ]
)
"""A record. `at`: microseconds since 1970 (UTC) at which it was booked, for a line the beginning of
its value date. `amount`: dong; what left an account is negative. A null currency is VND. The whole
content is the identity: a row that is equal in all is the same record, read again. The order of the
columns is the order of records, where the lowest one counts."""


BREAK = pa.schema(
    [
        pa.field("key", pa.string(), nullable=False),
        pa.field("set", pa.string(), nullable=False),
        pa.field("side", pa.string(), nullable=False),
        pa.field("class", pa.string(), nullable=False),
        pa.field("transfer_id", pa.string()),
        pa.field("record_id", pa.string()),
        pa.field("participant", pa.string()),
        pa.field("account", pa.string()),
        pa.field("counterpart", pa.string()),
        pa.field("expected", pa.int64()),
        pa.field("found", pa.int64()),
        pa.field("value", pa.int64(), nullable=False),
        pa.field("day", pa.date32(), nullable=False),
        pa.field("age", pa.string(), nullable=False),
        pa.field("severity", pa.string(), nullable=False),
        pa.field("owner", pa.string(), nullable=False),
        pa.field("action", pa.string(), nullable=False),
        pa.field("rule", pa.string(), nullable=False),
    ]
)
"""A break. side: of the record that it is about, `lines` or the set's name; counterpart: what that
record was brought together with. value: dong at stake: the difference of an AMOUNT, FEE or total,
else the record's amount. age: a bucket of the rules, in days. rule: the pass that decided, or
`deadline` where none did."""

_ROW = pa.struct(list(BREAK))

EVENT = pa.schema(
    [
        pa.field("event", pa.string(), nullable=False),
        pa.field("key", pa.string(), nullable=False),
        pa.field("as_of", pa.date32(), nullable=False),
        pa.field("before", _ROW),
        pa.field("after", _ROW),
    ]
)
"""An event of a break: opened (no before), changed, closed (no after)."""


WENT_BACK = pa.schema(
    [
        ("batch", pa.uint32()),
        ("line_no", pa.uint32()),
        ("cleared_in", pa.uint32()),
        ("transfer_id", pa.string()),
        ("participant", pa.string()),
        ("debtor_agent", pa.string()),
        ("row", pa.uint32()),
        ("benefit", pa.string()),
        ("period", pa.int32()),
        ("amount", pa.int64()),
    ]
)

ASKED = pa.schema(
    [
        ("transfer_id", pa.string()),
        ("amount", pa.int64()),
        ("reason", pa.string()),
        ("action", pa.string()),
    ]
)
"""The list of a receiver: lines that it must not credit (STOP), or is asked to give back (RETURN),
by the transfer id that it knows them by."""

IDENTITY = [("batch", "ascending"), ("line_no", "ascending")]


TAKEN = pa.schema(
    [*WENT_BACK, ("record_id", pa.string()), ("reason", pa.string()), ("booked_at", pa.int64())]
)
"""A line that was refused or sent back, and what its receiver said; booked_at: microseconds since
1970 (UTC)."""


BILL = pa.schema(
    [
        ("agency", pa.string()),
        ("bill_ref", pa.string()),
        ("person", pa.string()),
        ("amount", pa.int64()),
        ("due_on", pa.date32()),
    ]
)
"""A bill of an agency. person: a keyed hash of whose it is, null where nobody is named."""

FEE = pa.schema(
    [
        ("payment_id", pa.string()),
        ("agency", pa.string()),
        ("bill_ref", pa.string()),
        ("participant", pa.string()),
        ("amount", pa.int64()),
        ("paid_on", pa.date32()),
        ("status", pa.string()),
        ("reason", pa.string()),
        ("reason_number", pa.uint8()),
        ("receipt", pa.string()),
    ]
)
"""A payment of a fee as it came, and what became of it."""

FEE_MOVED = pa.schema(
    [
        ("payment_id", pa.string()),
        ("agency", pa.string()),
        ("bill_ref", pa.string()),
        ("debtor_agent", pa.string()),
        ("participant", pa.string()),
        ("amount", pa.int64()),
        ("taken_in", pa.uint32()),
        ("row", pa.uint32()),
        ("back", pa.bool_()),
    ]
)
"""A payment that enters a cycle, or its refund (back). debtor_agent: who pays, the payer's bank or,
of a refund, the agency's; participant: the other; taken_in: number of the commit that took it, row:
its row there."""


CLEARING = pa.schema(
    [
        pa.field("transfer_id", pa.string(), nullable=False),
        pa.field("end_to_end_id", pa.string()),
        pa.field("creditor_account", pa.string(), nullable=False),
        pa.field("creditor_name", pa.string(), nullable=False),
        pa.field("amount", pa.int64(), nullable=False),
        pa.field("purpose", pa.dictionary(pa.int32(), pa.string()), nullable=False),
        pa.field("period", pa.int32(), nullable=False),
        pa.field("debtor_account", pa.dictionary(pa.int32(), pa.string()), nullable=False),
    ]
)
