"""The benchmark of register deltas in tiny: it goes through, and a delta is smaller than the whole.

`python -m bench.registers` measures; nothing is timed here.
"""

from __future__ import annotations

from pathlib import Path

from . import registers


def test_bench_registers__the_driver_goes_through(tmp_path: Path) -> None:
    told = {name: size for name, *_, size in registers.rows(tmp_path / "home", 8_000, 100)}
    sizes = {name: float(size) for name, size in told.items() if size}
    assert sizes["delta 1"] < sizes["all people, from tables"] / 10
    assert sizes["delta 2"] < sizes["compact"] / 10
    assert sizes["the same change, whole"] >= sizes["all people, from tables"]
