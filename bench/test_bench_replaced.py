"""The benchmark of replaced ids in tiny: it goes through, and every line is paid.

`python -m bench.replaced` measures; nothing is timed here.
"""

from __future__ import annotations

from pathlib import Path

from . import replaced


def test_bench_replaced__the_driver_goes_through(tmp_path: Path) -> None:
    told = [name for name, _ in replaced.rows(tmp_path, 4_000, 1_000, 900, 1)]
    assert len(told) == 6
