"""Programs under examples/ run as they stand, and type checkers find no fault in them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
SAYS = {
    "developer": "held, 2,750,000 dong",
    "engineer": "with 100 % of it: 100% in order of the queues, 100% by value",
    "service": "14,676 lines cleared; held: [59, 59, 59, 59]\nSETTLED\n",
}
LINES_MAX = 60


def run(*arguments: object) -> str:
    done = subprocess.run(
        [sys.executable, *map(str, arguments)], capture_output=True, text=True, cwd=ROOT
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_example__runs(example: Path, tmp_path: Path) -> None:
    assert SAYS[example.stem] in run(example, tmp_path / "new")


def test_examples__are_sound_to_type_checkers(tmp_path: Path) -> None:
    empty = tmp_path / "mypy.ini"
    empty.write_text("[mypy]\n")
    options = ("--strict", "--config-file", empty, "--cache-dir", tmp_path / "cache")
    run("-m", "mypy", *options, *EXAMPLES)
    project = tmp_path / "pyrightconfig.json"
    settings = {"include": [str(path) for path in EXAMPLES], "typeCheckingMode": "strict"}
    project.write_text(json.dumps(settings), "utf-8")
    run("-m", "basedpyright", "-p", project, "--pythonpath", sys.executable)


def test_service__is_short() -> None:
    lines = (ROOT / "examples" / "service.py").read_text("utf-8").splitlines()
    assert len(lines) <= LINES_MAX
