"""Rows of the catalog, as its reads return them and its changes add them."""

from __future__ import annotations

from typing import NamedTuple


class BatchRow(NamedTuple):
    """A committed batch. Its manifest and summary, which are long, are read by its number."""

    seq: int
    source: str
    batch_id: str
    digest: str
    value_date: str
    at: str
    cycle: str
    lines: int
    amount: str
    """Declared sum of the table; it may be beyond 64 bits."""
    state: str


class CycleRow(NamedTuple):
    """A cycle of the calendar. request and answer are JSON text, '' while there is none."""

    cycle: str
    closes: str
    state: str
    at: str
    request: str
    answer: str


class PositionRow(NamedTuple):
    """A participant's position in a cycle."""

    cycle: str
    participant: str
    settled_by: str
    credit_count: int
    credit_sum: int
    debit_count: int
    debit_sum: int
    net: int


class PostingRow(NamedTuple):
    """An amount that was booked; batch is 0 where it is of no batch, cycle '' where of none."""

    batch: int
    cycle: str
    step: str
    debit: str
    credit: str
    amount: int


class PaidRow(NamedTuple):
    """A file of paid bits; origin is history or cleared."""

    origin: str
    benefit: str
    period: int
    path: str
    sha256: str
    """'' where no committed file has the path."""


class FileRow(NamedTuple):
    """A committed file, by its path below the home."""

    path: str
    sha256: str
    bytes: int


class RegisterRow(NamedTuple):
    """A version of the register; manifest is JSON text."""

    seq: int
    manifest: str
