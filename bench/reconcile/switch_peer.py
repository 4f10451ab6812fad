"""The engine's own reconciliation."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

import switch
from switch import reconcile as rec

from .generator import VALUE_DAY
from .job import ANSWER, Peer

DAY_0 = datetime.date(1970, 1, 1)
VALUE_DATE = DAY_0 + datetime.timedelta(VALUE_DAY)
NAMES = pa.array([verdict.name for verdict in rec.Verdict], pa.string())


class ToolPeer(Peer):
    name = "switch"
    loaded: list[Any] | None = None

    @staticmethod
    def version() -> str:
        return switch.__version__

    def load(self) -> None:
        self.loaded = [
            [pq.read_table(path) for path in paths]
            for paths in (self.job.lines, self.job.answers, self.job.returns)
        ]

    def _sources(self) -> tuple[rec.Records, dict[str, rec.Records]]:
        job = self.job
        lines, answers, returns = self.loaded or [
            [Path(path) for path in paths] for paths in (job.lines, job.answers, job.returns)
        ]
        if not job.payday:
            return rec.records(lines[0]), {"confirmations": rec.records(answers[0])}
        expected = rec.Records([])
        for path, source in zip(job.lines, lines, strict=True):
            expected += rec.clearing_lines(source, Path(path).stem, VALUE_DATE)
        said, back = rec.Records([]), rec.Records([])
        for source in answers:
            said += rec.confirmations(source)
        for source in returns:
            back += rec.returns(source)
        return expected, {"confirmations": said, "returns": back}

    def solve(self) -> Any:
        lines, sets = self._sources()
        totals = None
        if not self.job.payday:
            table = pq.read_table(self.job.folder / "totals.parquet")
            names, sums = table["participant"].to_pylist(), table["amount"].to_pylist()
            totals = dict(zip(names, sums, strict=True))
        as_of = DAY_0 + datetime.timedelta(self.job.as_of)
        found = rec.reconcile(lines, sets, as_of, totals=totals, threads=self.threads)
        said = found.sets["confirmations"]
        parts = []
        for name, side in (("lines", said.left), ("answers", said.right)):
            at = np.flatnonzero(side.verdict != rec.Verdict.MATCHED)
            some = side.table.select(["transfer_id", "account", "amount"]).take(pa.array(at))
            verdict = NAMES.take(pa.array(side.verdict[at]))
            columns = [pa.repeat(name, len(at)), *some.columns, verdict]
            parts.append(pa.table(columns, schema=ANSWER))
        drift = found.breaks.filter(pc.equal(found.breaks["class"], "TOTAL_DRIFT"))
        nothing = pa.nulls(len(drift), pa.string())
        columns = [pa.repeat("totals", len(drift)), drift["participant"], nothing, drift["found"]]
        parts.append(pa.table([*columns, drift["class"]], schema=ANSWER))
        return pa.concat_tables(parts)
