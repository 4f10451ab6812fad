"""The month of docs/tutorial.md is lived as it stands, and says what it says there."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

import pytest
from documents import ROOT
from typed_lines import played, typed

import switch

TUTORIAL = (ROOT / "docs" / "tutorial.md").read_text("utf-8")
BLOCKS = re.findall(r"^```(sh|text)\n(.*?)^```$", TUTORIAL, re.DOTALL | re.MULTILINE)


def plain(text: str) -> str:
    """Text on one line, with single blanks: a table may be drawn wider or narrower."""
    return " ".join(text.split())


def test_tutorial__is_true(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    said, names = "", dict[str, str]()
    for kind, block in BLOCKS:
        if kind == "text":
            for line in block.splitlines():
                assert plain(line) in said, f"{line!r} is not in: {said}"
            continue
        said = ""
        for line in typed(block):
            if name := re.fullmatch(r"(\w+)=(\S+)", line):
                names[f"${name[1]}"] = name[2]
                continue
            for name, value in names.items():
                line = line.replace(name, value)
            done = played(line, tmp_path, {**os.environ, "PATH": path})
            code = re.search(r"# exit (\d+)$", line)
            assert done.code == (int(code[1]) if code else 0), done.out + done.err
            said += plain(f" {done.out} {done.err}")
    assert switch.verify(tmp_path / "home")


def test_tutorial__looks_into_no_file_of_a_home() -> None:
    typed = "\n".join(block for kind, block in BLOCKS if kind == "sh")
    places = set(re.findall(r"\bhome/(\w+)", typed))
    assert places <= {"out"}
