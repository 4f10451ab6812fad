"""Person's lines: the lines of one person in the committed batches, each found where it stands.

The index of each batch (`files/row_index`) says where; batches of before there was one are looked
through. What a batch answered is read from its files, a row at a time.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from switch.files.file_schemas import LINES, REPRESENTED, STATUS
from switch.files.one_row import OneRow
from switch.files.row_index import MOVED, NAME, OWN, damaged, places, rows_there
from switch.files.segment import Groups, read_table, segment_at
from switch.home.rows import BatchRow
from switch.home.store import Home
from switch.reason import SAY_MORE

_STATUS = ("line_no", "status", "reason", "participant", "cycle")
_LINES = ("row", "benefit", "period", "amount")
_REASON_DETAIL = "reason_detail"


class _Judged(msgspec.Struct):
    """Rules by which lines were judged, as a manifest has them."""

    rule_set: str
    replaced_ids: bool = False


class PersonLines:
    """Lines of a person, who has a row for each id that they had. Each batch is asked once, however
    many lines it has."""

    def __init__(self, home: Home, rows: Sequence[int]) -> None:
        self.home, self.rows = home, rows
        self._found: dict[int, list[dict[str, Any]]] = {}

    @functools.cached_property
    def batches(self) -> list[BatchRow]:
        """All batches of the home, oldest first."""
        return self.home.catalog.batches()

    @functools.cached_property
    def _dates(self) -> dict[int, str]:
        return {row.seq: row.value_date.replace("-", "") for row in self.batches}

    def own(self, run: BatchRow) -> list[dict[str, Any]]:
        """Answers to the person's lines of a batch's own, in their order: the columns of its status
        file, and row, benefit, period and amount; batch: the number of the batch."""
        return [answer for answer in self._of(run) if answer["batch"] == run.seq]

    def moved(self, run: BatchRow) -> list[dict[str, Any]]:
        """Answers to older lines of the person that moved in a batch."""
        return [answer for answer in self._of(run) if answer["batch"] != run.seq]

    def _of(self, run: BatchRow) -> list[dict[str, Any]]:
        if run.seq not in self._found:
            folder = self.home.folder("batches", run.seq)
            try:
                path = folder / NAME
                found = sorted(place for row in self.rows for place in places(path, row))
            except FileNotFoundError:
                _require_none(self.home, folder)
                self._found[run.seq] = list(self._searched(folder, run))
            else:
                self._found[run.seq] = list(self._indexed(folder, run, found)) if found else []
        return self._found[run.seq]

    def _indexed(
        self, folder: Path, run: BatchRow, found: list[tuple[int, int]]
    ) -> Iterator[dict[str, Any]]:
        """Answers that stand at these places. found: (kind, place) of each."""
        own = [place for kind, place in found if kind == OWN]
        older = [place for kind, place in found if kind == MOVED]
        if own:
            with (
                OneRow(folder / "lines.parquet", LINES) as lines,
                OneRow(segment_at(folder, "status"), STATUS) as status,
            ):
                for place in own:
                    yield self._told(run, [(lines, _LINES), (status, _STATUS)], place)
        if older:
            with OneRow(folder / "represented.parquet", REPRESENTED) as both:
                for place in older:
                    yield self._told(run, [(both, (*_LINES, *_STATUS, "batch"))], place)

    def _told(
        self, run: BatchRow, files: list[tuple[OneRow, tuple[str, ...]]], place: int
    ) -> dict[str, Any]:
        """The answer to a line at a place of these files. Raises VerificationFailed where it is of
        somebody else."""
        answer: dict[str, Any] = {"batch": run.seq}
        for file, names in files:
            answer |= file.read(place, names)
        if answer["row"] not in self.rows:
            path = self.home.folder("batches", run.seq) / NAME
            raise damaged(path)
        answer[_REASON_DETAIL] = answer["transfer_id"] = None
        if answer["reason"] is not None or self._says_more(run):
            answer |= files[-1][0].read(place, [_REASON_DETAIL])
        if answer["reason"] is None:
            seq = answer["batch"]
            answer["transfer_id"] = f"{self._dates[seq]}-{seq:06d}-{answer['line_no']:010d}"
        return answer

    def _says_more(self, run: BatchRow) -> bool:
        """True where words may stand beside lines that a batch cleared."""
        manifest = self.home.catalog.manifest(run.seq)
        judged = msgspec.json.decode(manifest, type=_Judged)
        return judged.rule_set in SAY_MORE or judged.replaced_ids

    def _searched(self, folder: Path, run: BatchRow) -> Iterator[dict[str, Any]]:
        """The same of a batch without an index."""
        lines, status = (Groups(segment_at(folder, name)) for name in ("lines", "status"))
        for group in range(len(lines)):
            rows = np.asarray(lines.read(group, ["row"])["row"])
            for at in np.flatnonzero(np.isin(rows, self.rows)):
                answer: dict[str, Any] = {"batch": run.seq}
                for part in (status, lines):
                    answer |= part.read(group).slice(at, 1).to_pylist()[0]
                yield answer
        again = folder / "represented.parquet"
        if again.exists():
            table = read_table(again)
            mine = pc.is_in(table["row"], pa.array(self.rows, table["row"].type))
            yield from table.filter(mine).to_pylist()


def with_lines(home: Home, run: BatchRow, rows: NDArray[np.int64]) -> NDArray[np.bool_]:
    """True for each of some rows that have own lines in a batch; of one with an index, also those
    of whom older lines moved there. Raises VerificationFailed where that is damaged or gone."""
    folder = home.folder("batches", run.seq)
    try:
        return rows_there(folder / NAME, rows)
    except FileNotFoundError:
        _require_none(home, folder)
    lines = Groups(segment_at(folder, "lines"))
    found = np.zeros(len(rows), np.bool_)
    for group in range(len(lines)):
        found |= np.isin(rows, np.asarray(lines.read(group, ["row"])["row"]))
    return found


def _require_none(home: Home, folder: Path) -> None:
    """Require that a batch was committed without an index. Raises VerificationFailed."""
    if home.catalog.file(f"batches/{folder.name}/{NAME}"):
        raise damaged(folder / NAME, "is gone") from None
