"""A committed batch: its answer, and the files that it stands in."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from switch.files import segment
from switch.results import Summary


def answered(folder: Path, *, own: bool = True) -> list[tuple[Path, Path]]:
    """Files of a batch's answers, each with the one that has more of the same lines: of lines that
    had waited (they have a column batch) it is the same file; then of its own."""
    again = folder / "represented.parquet"
    files = [(again, again)] if again.exists() else []
    return files + ([(segment.segment_at(folder, "status"), folder / "lines.parquet")] * own)


@dataclass(frozen=True, slots=True)
class Batch:
    """A payment table that was run. `summary` is what people and machines are shown."""

    seq: int
    source: str
    batch_id: str
    cycle: str
    replayed: bool
    """The table had been run before: this is the stored answer."""
    summary: Summary
    folder: Path
    """The committed files, which are not to be changed; copies stand in the out folder."""
    warnings: tuple[str, ...] = ()

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
