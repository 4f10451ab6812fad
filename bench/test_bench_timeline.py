"""The benchmark of timelines in tiny: it goes through, and every person's lines are found.

`python -m bench.timeline` measures; nothing is timed here.
"""

from __future__ import annotations

from pathlib import Path

import switch

from . import timeline


def test_bench_timeline__people_have_lines_in_every_batch(tmp_path: Path) -> None:
    told = list(timeline.measured(tmp_path, batches=4, lines=2_000, people=20, repeat=1))
    assert [line.split(",")[0].split() for line in told[1:3]] == [
        ["1", "batches"],
        ["4", "batches"],
    ]
    assert told[0].startswith("a run of 500 lines:")
    assert not (tmp_path / "aside").exists()
    assert switch.verify(tmp_path / "home")
    with switch.open(tmp_path / "home", mode="r") as engine:
        assert [row["received"]["count"] for row in engine.batches()] == [500] * 4
