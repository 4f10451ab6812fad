"""Lines that leave the queue without a run: mistakes and damage that `verify` has to find, whoever
took them out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from scene import asked, new_checkpoint

import switch
from switch.errors import VerificationFailed
from switch.home.store import Home
from switch.settlement import queue as waiting_queue


def another_sum(patch: pytest.MonkeyPatch) -> None:
    """Records say another sum than that of their lines."""
    commit = Home.commit

    def told(self: Home, *, detail: Any, **rest: Any) -> None:
        commit(self, detail={**detail, "sum": "1"}, **rest)

    patch.setattr(Home, "commit", told)


def another_person(patch: pytest.MonkeyPatch) -> None:
    """What stays in the queue is of another person than it was."""

    class Swapped(waiting_queue.Groups):
        def read(self, group: int, columns: list[str] | None = None) -> pa.Table:
            table = super().read(group, columns)
            if columns is None:
                ids = pa.array([1] * len(table), pa.uint64())
                table = table.set_column(2, table.schema.field(2), ids)
            return table

    patch.setattr(waiting_queue, "Groups", Swapped)


def require_flips_found(home: Path, folder: Path) -> None:
    """`verify` finds flipped bits of the last commit, whose files stand in folder: of its files by
    their digests; of its record by that of the catalog, and by the chain where somebody wrote that
    anew."""
    with switch.open(home) as engine:
        ((text,),) = asked(engine.home, "SELECT detail FROM audit ORDER BY seq DESC LIMIT 1")
    files = sorted(folder.iterdir())
    assert [path.name for path in files] == ["held.parquet", "lines.parquet"]
    points = [(path, bit) for path in files for bit in range(0, 8 * path.stat().st_size, 401)]
    start = (home / "catalog.sqlite").read_bytes().index(text.encode())
    bits = range(8 * start, 8 * (start + len(text)), 61)
    points += [(home / "catalog.sqlite", bit) for bit in bits if bit % 8 != 7]  # Still a text.
    checkpoint = (home / "checkpoint").read_bytes()
    for path, bit in points:
        content = path.read_bytes()
        changed = bytearray(content)
        changed[bit // 8] ^= 1 << bit % 8
        path.write_bytes(changed)
        for is_anew in (False, True):
            if is_anew and path.name == "catalog.sqlite":
                new_checkpoint(home)
            with pytest.raises(VerificationFailed, match=f"{path.name}|audit|chain|record"):
                switch.verify(home)
        path.write_bytes(content)
        (home / "checkpoint").write_bytes(checkpoint)
    assert switch.verify(home)
