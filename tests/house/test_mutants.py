"""The short form of `make mutants`: every mutant applies, and the test that sees it is there."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

DRIVER = Path(__file__).parents[1] / "mutants/run.py"


def test_mutants__apply_and_have_their_tests() -> None:
    """An anchor that moved is to be moved in tests/mutants/table.py too."""
    done = subprocess.run(
        [sys.executable, str(DRIVER), "--check"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    count = re.fullmatch(r"(\d+) mutants apply\n", done.stdout)
    assert count is not None
    assert int(count[1]) >= 40
