"""A committed batch: its answer, and the files that it stands in."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from switch.files import segment


@dataclass(frozen=True, slots=True)
class Batch:
    """A payment table that was run. `summary` is what people and machines are shown."""

    seq: int
    source: str
    batch_id: str
    cycle: str
    replayed: bool
    """The table had been run before: this is the stored answer."""
    summary: dict[str, Any]
    folder: Path
    """The committed files, which are not to be changed; copies stand in the out folder."""
    warnings: tuple[str, ...] = ()

    @property
    def content_digest(self) -> str:
        """One digest over the digests of all committed files."""
        return segment.digest_of(self.folder / "manifest.json")

    @property
    def status(self) -> Any:
        """One row a line, in table order: a pyarrow Table."""
        return segment.read_segment(segment.segment_at(self.folder, "status"))

    @property
    def positions(self) -> Any:
        """The cycle's positions, one row a participant: a pyarrow Table."""
        return segment.read_table(self.folder / "positions.parquet")
