"""docs/security.md says which test shows each control: each of them exists, and so do the names."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
from documents import ROOT, cells

from switch.files import airlock

NAMED = [row[2].strip("`") for row in cells("docs/security.md") if "::" in row[-1]]


def test_security__every_threat_has_a_test() -> None:
    rows = [row for row in cells("docs/security.md") if len(row) == 3]
    threats = [row for row in rows if row[0] != "threat" and "what" not in row]
    assert len([row for row in threats if "::" in row[2]]) == len(NAMED) >= 20


@pytest.mark.parametrize("name", sorted(set(NAMED)))
def test_security__the_test_exists(name: str) -> None:
    file, _, function = name.partition("::")
    tree = ast.parse((ROOT / file).read_text("utf-8"))
    assert function in {n.name for n in tree.body if isinstance(n, ast.FunctionDef)}


def test_security__limits_are_those_of_the_code() -> None:
    text = Path(ROOT / "docs/security.md").read_text("utf-8")
    assert f"{airlock.MEMORY_MAX >> 30} GiB (RLIMIT_AS)" in text
    assert f"silent for {airlock.SILENCE_SECONDS_MAX} seconds" in text
    assert re.search(r"`terminal\.LOG_FIELDS`", text)
