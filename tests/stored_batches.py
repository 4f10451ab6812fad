"""Answered batches, as their files have them: what each line was told, and who was sent what."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

import switch


class Stored(NamedTuple):
    """A batch of a home, as its files have it."""

    folder: Path

    @property
    def status(self) -> pa.Table:
        return pq.read_table(self.folder / "status.parquet")


def stored(home: Path, seq: int = 1) -> Any:
    return Stored(home / "batches" / f"{seq:06d}")


def sent(batch: switch.Batch) -> dict[str, list[str]]:
    """Accounts by receiver, as clearing files have them."""
    folder = batch.folder / "clearing"
    return {
        path.stem: pq.read_table(path)["creditor_account"].to_pylist()
        for path in sorted(folder.glob("*.parquet"))
    }


def details(batch: switch.Batch) -> list[str | None]:
    found: list[str | None] = batch.status["reason_detail"].to_pylist()
    return found


def rule_set(batch: switch.Batch) -> str:
    return str(json.loads((batch.folder / "manifest.json").read_text())["rule_set"])
