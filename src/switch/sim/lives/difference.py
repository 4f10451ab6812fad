"""Differences: what must be equal, and is not."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq

from switch.sim.auditor.screening import Row


class Difference(AssertionError):
    """The engine did other than the auditor says."""

    def __init__(self, where: str, expected: object, got: object) -> None:
        self.where, self.expected, self.got = where, expected, got
        super().__init__(f"{where}\n  expected {expected!r}\n  got      {got!r}")


def require(where: str, expected: object, got: object) -> None:
    """Raise Difference where two things differ; of lists and dicts, at their first difference."""
    if expected == got:
        return
    if isinstance(expected, dict) and isinstance(got, dict):
        for key in sorted({**expected, **got}, key=str):
            require(f"{where}, {key}", expected.get(key), got.get(key))
    if isinstance(expected, list) and isinstance(got, list):
        for i, pair in enumerate(zip(expected, got, strict=False)):
            require(f"{where}, row {i + 1}", *pair)
        raise Difference(f"{where}, rows", len(expected), len(got))
    raise Difference(where, expected, got)


def read_rows(path: Path) -> list[Row]:
    """Rows of a Parquet file."""
    with pq.ParquetFile(path) as file:
        rows: list[Row] = file.read(use_threads=False).to_pylist()
    return rows
