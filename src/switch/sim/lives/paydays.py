"""Paydays lived: a table is handed over, from memory or as a file, once or to two writers."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from pathlib import Path
from typing import Any, TypedDict

import pyarrow as pa

from switch.clearing.payday import batch_of
from switch.engine import Engine
from switch.errors import HomeMoved, InputRefused
from switch.home.batch import Batch
from switch.sim.auditor.control import sheet_of
from switch.sim.auditor.expected import Table
from switch.sim.lives.comparison import Comparison
from switch.sim.lives.difference import Difference, require
from switch.sim.lives.faults import unlocked
from switch.sim.lives.operations import Payday
from switch.sim.lives.sides import Sides
from switch.sim.lives.tables import csv_of, parquet_of, payment, typed


class Declared(TypedDict, total=False):
    """Declarations of a table from memory."""

    source: str
    batch_id: str
    value_date: dt.date
    count: int
    sum: int


class Paydays:
    """Runs tables on both sides."""

    def __init__(
        self, sides: Sides, comparison: Comparison, folder: Path, chunk_rows: int | None
    ) -> None:
        """folder: for the tables. chunk_rows: instead of what a life says."""
        self.sides, self.comparison = sides, comparison
        self.folder, self.chunk_rows = folder, chunk_rows

    def run(self, operation: Payday) -> str:
        """Hand a table over. Returns what happened, in words."""
        sides = self.sides
        after = sides.auditor.copy()
        verdict = after.run(operation.table, in_memory=operation.form.endswith("rows"))
        source, declared = self.hand_over(operation)

        def act() -> Batch:
            return self._run_on(sides.engine, operation, source, declared)

        replay = verdict.replay is not None
        word, batch = sides.attempt(act, operation.fault, after, verdict.refusals, replay)
        if verdict.batch is not None and sides.auditor is after:
            batch = batch or self._committed(operation.table)
            self.comparison.new_batch(verdict.batch, batch)
        elif batch is not None:
            self.comparison.stored_batch(verdict.replay, batch)
        return f"{word} {batch.seq if batch else ''} {batch.content_digest if batch else ''}"

    def race(self, operation: Payday) -> str:
        """Let two writers work on one history. The second comes to its commit when the first's is
        done: it is refused, and nothing moves."""
        sides = self.sides
        with unlocked():
            other = Engine(sides.home)
        commit, commits = other.home.commit, sides.auditor.commits
        words: list[str] = []

        def late(**values: Any) -> None:
            words.append(self.run(operation))
            commit(**values)

        other.home.commit = late  # type: ignore[method-assign]
        source, declared = self.hand_over(operation)
        said = "answered"
        try:
            self._run_on(other, operation, source, declared)
        except HomeMoved:
            said = "moved"
        except InputRefused:
            said = "refused"
        finally:
            other.close()
        words = words or [self.run(operation)]
        moved = sides.auditor.commits != commits
        require("the second of two writers is refused", moved, said == "moved")
        drafts = [path.name for path in (sides.home / "batches").glob(".draft*")]
        require("drafts that a refused writer leaves", [], drafts)
        return f"{words[0]} {said if moved else ''}"

    def _run_on(
        self, engine: Engine, operation: Payday, source: Path | pa.Table, declared: Declared
    ) -> Batch:
        rows = self.chunk_rows or operation.chunk_rows
        return engine.run(source, threads=1, chunk_rows=rows, **declared)

    def hand_over(self, operation: Payday) -> tuple[Path | pa.Table, Declared]:
        """The table as `Engine.run` takes it: from memory with arguments, or a file."""
        table, form = operation.table, operation.form
        if form in ("rows", "typed rows"):
            arrow = payment(table.rows)
            return typed(arrow) if form == "typed rows" else arrow, {
                "source": table.source,
                "batch_id": table.batch_id,
                "value_date": table.value_date,
                "count": table.declared_count,
                "sum": table.declared_sum,
            }
        for old in self.folder.iterdir():
            old.unlink()
        path = self.folder / f"table.{form}"
        content = csv_of(table.rows) if form == "csv" else parquet_of(table.rows)
        path.write_bytes(content)
        if table.dossier:
            digest = hashlib.sha256(content if table.digest_true else b"").hexdigest()
            dossier: dict[str, object] = {
                "source": table.source,
                "batch_id": table.batch_id,
                "currency": table.currency,
                "count": table.declared_count,
                "sum": str(table.declared_sum),
                "sha256": digest,
                "value_date": table.value_date.isoformat(),
            }
            if self.sides.auditor.control.versions:
                sheet = sheet_of(table)
                dossier |= {"programmes": dict(sheet.programmes), "debtors": dict(sheet.debtors)}
            path.with_name("table.dossier.json").write_text(json.dumps(dossier), "utf-8")
        return path, {}

    def _committed(self, table: Table) -> Batch:
        """The stored batch of a table whose run did not live to answer."""
        row = self.sides.engine.home.catalog.batch_of(table.source, table.batch_id)
        if row is None:
            raise Difference("batch after a crash behind its commit", table.batch_id, None)
        return batch_of(self.sides.engine.home, row, replayed=False)
