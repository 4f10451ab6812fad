"""The job: give every record of two sides its verdict, from the same files, with the same rules.

Files are those of generator.py, or a payday that simulated receivers answered (payday.py). An
answer is a table of what is not simply matched: side, transfer_id, account, amount, verdict; all
tools must give the same. The rules are the packaged ones. Peers are spared two things: the search
for subsets (they compare the sums of what is left of an account, enough for what is planted here),
and copies of an id beyond one pair.
"""

from __future__ import annotations

import hashlib
import importlib
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from .generator import AS_OF, FEES

__all__ = ["AS_OF", "FEES", "Job", "Peer", "digest", "peer_of"]

TOOLS = ("switch", "polars", "duckdb", "pandas")
LINE_COLUMNS = ("transfer_id", "end_to_end_id", "account", "amount", "at")
ANSWER_COLUMNS = (*LINE_COLUMNS, "currency", "status")
ANSWER = pa.schema(
    [
        ("side", pa.string()),
        ("transfer_id", pa.string()),
        ("account", pa.string()),
        ("amount", pa.int64()),
        ("verdict", pa.string()),
    ]
)


class Job:
    """Where the files of one job stand, and on which day it is done."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.payday = (folder / "clearing").exists()
        """Clearing files and answers by receiver, with returns; else two sides and totals."""
        self.as_of = AS_OF + (20 if self.payday else 0)
        if self.payday:
            self.lines = sorted(map(str, folder.glob("clearing/*.parquet")))
            self.answers = sorted(map(str, folder.glob("out/confirmations/*.parquet")))
            self.returns = sorted(map(str, folder.glob("out/returns/*.parquet")))
        else:
            self.lines = [str(folder / "lines.parquet")]
            self.answers = [str(folder / "answers.parquet")]
            self.returns = []

    def records(self) -> int:
        return sum(pq.read_metadata(path).num_rows for path in self.lines)


class Peer:
    """One tool. load: files to its own form of columns in memory; solve: the answer."""

    name = ""

    def __init__(self, job: Job, threads: int) -> None:
        self.job, self.threads = job, threads

    def load(self) -> None:
        raise NotImplementedError

    def solve(self) -> Any:
        raise NotImplementedError


def peer_of(tool: str, job: Job, threads: int) -> Peer:
    """The peer of a tool; raises ImportError where the tool is not installed."""
    module = importlib.import_module(f".{tool}_peer", __package__)
    peer: Peer = module.ToolPeer(job, threads)
    return peer


def digest(answer: Any) -> str:
    """SHA-256 of an answer, whatever the order of its rows."""
    columns = [
        ["" if v is None else str(v) for v in answer[name].to_pylist()] for name in ANSWER.names
    ]
    rows = sorted("|".join(row) for row in zip(*columns, strict=True))
    return hashlib.sha256("\n".join(rows).encode()).hexdigest()


def counts(answer: Any) -> dict[str, int]:
    """Records by side and verdict."""
    pairs = np.array(
        [f"{s} {v}" for s, v in zip(answer["side"].to_pylist(), answer["verdict"].to_pylist(),
                                    strict=True)]
    )  # fmt: skip
    names, number = np.unique(pairs, return_counts=True)
    return dict(zip(names.tolist(), number.tolist(), strict=True))


def truth(job: Job) -> Any:
    """The answer that the generator knows (two sides only)."""
    planted = pq.read_table(job.folder / "truth.parquet")
    side, row = np.array(planted["side"].to_pylist()), planted["row"].to_numpy()
    verdict = planted["verdict"].combine_chunks()
    parts = []
    for name, file in (("lines", "lines"), ("answers", "answers"), ("totals", "totals")):
        at = np.flatnonzero(side == name)
        table = pq.read_table(job.folder / f"{file}.parquet").take(pa.array(row[at]))
        if name == "totals":
            key, account = table["participant"], pa.nulls(len(at), pa.string())
        else:
            key, account = table["transfer_id"], table["account"]
        parts.append(
            pa.table(
                [pa.repeat(name, len(at)), key, account, table["amount"], verdict.take(at)],
                schema=ANSWER,
            )
        )
    return pa.concat_tables(parts)
