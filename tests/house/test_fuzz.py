"""What fuzzing found stays found: each case is read or refused, in a process of its own.

`make fuzz` looks for more (tests/fuzz/run.py); here its targets are shown to reach their readers.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import pytest

FUZZ = Path(__file__).parents[1] / "fuzz"
CASES = sorted(path for path in (FUZZ / "cases").rglob("*") if path.is_file())


def load(name: str) -> Any:
    """A file of tests/fuzz as a module of that name."""
    spec = importlib.util.spec_from_file_location(f"fuzz_{name}", FUZZ / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


run, targets = load("run"), load("targets")


@pytest.mark.parametrize("case", CASES, ids=lambda path: f"{path.parent.name}-{path.name}")
def test_fuzz__case_is_read_or_refused(case: Path) -> None:
    assert run.replay(case.parent.name, case) == ""


@pytest.mark.parametrize("name", targets.TARGETS)
def test_fuzz__target_takes_its_seeds(name: str, tmp_path: Path) -> None:
    """A good file is taken, so that the fuzzer begins behind the door and not before it."""
    bench = targets.Bench(tmp_path, name)
    (tmp_path / "seeds").mkdir()
    seeds = targets.TARGETS[name].seeds(tmp_path / "seeds")
    for number, seed in enumerate(seeds):
        targets.feed(name, bench, seed)
        taken = bench.number - (bench._engine is not None)
        assert taken > number or name == "configuration", f"seed {number} is refused"
    assert bench.number > 0


def test_fuzz__a_home_that_changed_is_a_finding(tmp_path: Path) -> None:
    bench = targets.Bench(tmp_path, "population")

    def leave_a_file(engine: Any) -> None:
        (engine.home.path / "left").write_text("x")
        engine.register(population=tmp_path / "nothing")

    with pytest.raises(targets.HomeChanged):
        bench.unchanged(leave_a_file)
