"""Bytes at rest, links of the chains and answers of commands change by decision alone."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import story

CONSTRAINTS = Path(__file__).resolve().parents[2] / "constraints.txt"
REMEDY = (
    "the golden homes hold something else now: where that is meant, run"
    " `python tests/golden/story.py --record`, and say why in the commit"
)


def test_golden__homes_hold_what_was_recorded(golden: Any) -> None:
    """Every file, row, link and answer of six homes that went through every command. Without the
    extra that one of them needs, of the others: `make test` installs it."""
    record = json.loads(story.RECORD.read_text("utf-8"))
    if record["pyarrow"] != pa.__version__:
        pytest.skip(f"recorded with pyarrow {record['pyarrow']}: another one may encode otherwise")
    found = golden.held
    differing = [*differences({name: record["homes"][name] for name in found}, found)]
    assert not differing, f"{REMEDY}:\n" + "\n".join(differing[:20])


def test_golden__is_recorded_with_the_arrow_that_this_project_installs() -> None:
    """So the test above is skipped on machines with another one alone, and never in CI."""
    pinned = re.findall(r"^pyarrow==(.+)$", CONSTRAINTS.read_text("utf-8"), re.MULTILINE)
    assert [json.loads(story.RECORD.read_text("utf-8"))["pyarrow"]] == pinned


def differences(recorded: Any, found: Any, name: str = "") -> Any:
    """Names of what differs, the first of a chain alone: all links behind it differ as well."""
    if isinstance(recorded, dict) and isinstance(found, dict):
        for key in sorted(recorded.keys() | found.keys()):
            yield from differences(recorded.get(key), found.get(key), f"{name}/{key}")
    elif recorded != found:
        if isinstance(recorded, list) and isinstance(found, list) and "answers" not in name:
            same = [a == b for a, b in zip(recorded, found, strict=False)]
            first = same.index(False) if False in same else len(same)
            yield f"{name}: record {first + 1}"
        else:
            yield name
