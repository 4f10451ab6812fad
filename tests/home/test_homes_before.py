"""Homes that an engine made before open, verify and go on.

tests/golden/homes-before.tar.xz holds homes as the engine of format 3 left them before faults were
mended that changed what is at rest: the three golden homes, and four that stood still or did not
verify then. Their out folders, which are copies, are left out.
"""

from __future__ import annotations

import tarfile
from pathlib import Path

import pytest
from scene import command, line, payment_table, write_table

ARCHIVE = Path(__file__).parents[1] / "golden" / "homes-before.tar.xz"
LATER = "2027-02-01"
SOUND = ("plain", "calendar", "budget")
STOOD_STILL = {
    "breaks": "three confirmations whose break keys were one",
    "year": "a batch of the value date 0999-12-31",
    "cutoffs": "cut-offs that changed between two runs",
    "treasuries": "two participants of kind treasury that paid in one batch",
}


@pytest.fixture
def before(tmp_path: Path) -> Path:
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(tmp_path, filter="data")
    return tmp_path


@pytest.mark.parametrize("name", [*SOUND, *STOOD_STILL])
def test_before__a_home_opens_verifies_and_goes_on(name: str, before: Path) -> None:
    home = before / name
    assert command("verify", home).code == 0
    debtor = "A" if name == "calendar" else "371301000001"
    creditor = {"creditor_agent": "C", "creditor_account": "77"} if name == "calendar" else {}
    rows = [line(n, period=202701, debtor_account=debtor, **creditor) for n in (14, 15)]
    table = write_table(
        payment_table(rows), before / "next.parquet", batch_id="NEXT", value_date="2027-01-25"
    )
    steps: list[tuple[object, ...]] = [("run", home, table)]
    if name in ("calendar", "cutoffs"):
        steps.append(("settle", home))
    steps += [
        ("reconcile", home, "--at", LATER),
        ("close", home, "--at", LATER),
        ("verify", home),
        ("status", home, "--line", "NEXT:1"),
    ]
    for step in steps:
        said = command(*step)
        unaccepted = step[0] == "close" and "critical and not accepted" in said.out
        assert said.code == unaccepted, (step[0], said.out, said.err)
