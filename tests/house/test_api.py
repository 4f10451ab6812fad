"""The reference of the library is what its docstrings say today."""

from __future__ import annotations

import subprocess
import sys

from documents import ROOT

import switch


def test_api__is_current() -> None:
    made = [sys.executable, ROOT / "docs" / "make_api.py", "--check"]
    done = subprocess.run(made, check=False, capture_output=True, text=True)
    assert done.returncode == 0, f"run `make docs`. {done.stderr}"


def test_api__has_every_public_name() -> None:
    text = (ROOT / "docs" / "api.md").read_text("utf-8")
    for name in switch.__all__:
        assert f"## {name}\n" in text
