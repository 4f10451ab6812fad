"""What durability costs: the number of syncs, which on a disk are what takes the time."""

from __future__ import annotations

import json
from pathlib import Path

import interposer
import pytest

SYNCS_MAX = 17
"""Eight files, the folder of clearing files, the draft and the folder that names it: 11. SQLite's
journal twice, its name, the catalog, the journal's end: 5. Checkpoint: 1."""
NOTICE = interposer.unavailable()


@pytest.mark.skipif(bool(NOTICE), reason=NOTICE)
def test_commit__of_one_line_needs_few_syncs(tmp_path: Path) -> None:
    """Opening the home and running the batch, SQLite's own syncs included."""
    done = interposer.start(interposer.build(tmp_path), "syncs.py")
    assert done.returncode == 0, done.stderr[-3000:]
    calls = json.loads(done.stdout)
    print(calls)
    assert 8 <= calls["SYNC"] <= SYNCS_MAX, calls
