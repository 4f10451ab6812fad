"""The month of docs/tutorial.md is lived as it stands, and says what it says there."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from documents import ROOT

import switch

TUTORIAL = (ROOT / "docs" / "tutorial.md").read_text("utf-8")
BLOCKS = re.findall(r"^```(sh|text)\n(.*?)^```$", TUTORIAL, re.DOTALL | re.MULTILINE)


def plain(text: str) -> str:
    """Text on one line, with single blanks: a table may be drawn wider or narrower."""
    return " ".join(text.split())


def test_tutorial__is_true(tmp_path: Path) -> None:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    said = ""
    for kind, block in BLOCKS:
        if kind == "text":
            for line in block.splitlines():
                assert plain(line) in said, f"{line!r} is not in: {said}"
            continue
        done = subprocess.run(
            ["sh", "-c", block],
            cwd=tmp_path,
            env={**os.environ, "PATH": path},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        code = re.search(r"# exit (\d+)$", block, re.MULTILINE)
        assert done.returncode == (int(code[1]) if code else 0), done.stdout
        said = plain(done.stdout)
    assert switch.verify(tmp_path / "home")


def test_tutorial__looks_into_no_file_of_a_home() -> None:
    typed = "\n".join(block for kind, block in BLOCKS if kind == "sh")
    places = set(re.findall(r"\bhome/(\w+)", typed))
    assert places <= {"out"}
