"""A committed batch: its answer, and the files that it stands in."""

from __future__ import annotations

import html
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from switch.errors import UsageError, counted
from switch.files import segment
from switch.home.rows import BatchRow
from switch.home.store import Home
from switch.outcomes import html_table
from switch.results import OUTCOMES, Summary, Total


def answered(folder: Path, *, own: bool = True) -> list[tuple[Path, Path]]:
    """Files of a batch's answers, each with the one that has more of the same lines: of lines that
    had waited (they have a column batch) it is the same file; then of its own."""
    again = folder / "represented.parquet"
    files = [(again, again)] if again.exists() else []
    return files + ([(segment.segment_at(folder, "status"), folder / "lines.parquet")] * own)


def batch_row(home: Home, name: str) -> BatchRow:
    """The batch of a name: its id, or SOURCE:ID where several sources use the id."""
    source, _, batch_id = name.rpartition(":")
    rows = [r for r in home.catalog.batches_called(batch_id) if source in ("", r.source)]
    if not rows:
        raise UsageError(f"no batch {name!r} here; `switch status HOME` lists them")
    if len(rows) > 1:
        sources = ", ".join(row.source for row in rows)
        raise UsageError(f"batch {batch_id!r} came from {sources}: ask for SOURCE:{batch_id}")
    return rows[0]


@dataclass(frozen=True, slots=True, repr=False)
class Batch:
    """A payment table that was run. `summary` is what people and machines are shown."""

    seq: int
    """Number of the batch in its home, from 1."""
    source: str
    """Agency that sent the table."""
    batch_id: str
    """The agency's name for it."""
    cycle: str
    """Cycle that its cleared lines settle in."""
    replayed: bool
    """The table had been run before: this is the stored answer."""
    summary: Summary
    folder: Path
    """The committed files, which are not to be changed; copies stand in the out folder."""
    warnings: tuple[str, ...] = ()
    """Sentences on what is odd about the table, and was taken all the same."""

    def __hash__(self) -> int:
        return hash((self.folder, self.seq))

    def __repr__(self) -> str:
        state = f"{self.summary['state']}, run before" if self.replayed else self.summary["state"]
        lines = counted(self.summary["received"]["count"], "line")
        return f"<Batch {self.source}:{self.batch_id} of {lines}: {state}, cycle {self.cycle}>"

    def _repr_html_(self) -> str:
        """A table of its lines by what became of them, for a notebook."""
        rows: list[tuple[str, Total]] = [
            *((name, self.summary[name]) for name in OUTCOMES),
            *((f"{why['reason']}: {why['sentence']}", why) for why in self.summary["reasons"]),
        ]
        cells = ((name, total["count"], total["sum"]) for name, total in rows)
        heads = ("", "lines", "dong")
        return f"<p>{html.escape(repr(self))}</p>{html_table(heads, cells)}"

    @property
    def content_digest(self) -> str:
        """One digest over the digests of all committed files."""
        return segment.digest_of(self.folder / "manifest.json")

    @property
    def status(self) -> pa.Table:
        """One row a line, in table order; `files.file_schemas.STATUS` has the columns."""
        return segment.read_segment(segment.segment_at(self.folder, "status"))

    @property
    def positions(self) -> pa.Table:
        """One row a participant of the cycle; `files.file_schemas.POSITIONS` has the columns."""
        return segment.read_table(self.folder / "positions.parquet")
