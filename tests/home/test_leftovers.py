"""A home after a crash or a failing disk: leftovers go to quarantine, a loss stops."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from scene import (
    command,
    line,
    pay,
    payment_table,
    reasons,
    tree_digest,
    write_table,
)

import switch
from switch.errors import VerificationFailed

# --- after a crash --------------------------------------------------------------------------------


@pytest.mark.parametrize("folder", ["batches/000001", "registers/000002"])
def test_open__leftovers_of_a_crash_go_to_quarantine(
    folder: str, village: Path, tmp_path: Path
) -> None:
    """A crash leaves drafts, and at most one folder that was renamed."""
    clean = shutil.copytree(village, tmp_path / "clean")
    draft = village / "batches" / ".draft-99"
    draft.mkdir()
    (draft / "status.parquet").write_bytes(b"half")
    shutil.copytree(draft, village / folder)
    shutil.copytree(draft, village / "registers" / ".draft-98")
    table = write_table(payment_table([line(1), line(2)]), tmp_path / "t")
    said = command("--json", "run", village, table)
    assert said.code == 0, said.err
    assert said.err.count("quarantine") == 3
    assert len(list((village / "quarantine").iterdir())) == 3
    assert command("--quiet", "run", clean, table).code == 0
    for name in ("batches", "registers", "out"):
        assert tree_digest(village / name) == tree_digest(clean / name)
    assert switch.verify(village)


def test_open__leftovers_are_no_answer(village: Path) -> None:
    """A whole batch folder that no commit names was never paid."""
    twin = shutil.copytree(village, village.with_name("twin"))
    pay(twin, [line(1)])
    shutil.copytree(twin / "batches" / "000001", village / "batches" / "000001")
    assert not pay(village, [line(1), line(2)], "OTHER").replayed
    assert reasons(pay(village, [line(3)], "B")) == [None]
    assert switch.verify(village)


def test_open__lost_batch_folder_stops(rich_home: Path, tmp_path: Path) -> None:
    home = shutil.copytree(rich_home, tmp_path / "home")
    shutil.rmtree(home / "batches" / "000001")
    with pytest.raises(VerificationFailed):
        switch.open(home)


def test_run__failing_disk_leaves_the_home_as_it_was(
    village: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from switch.files import segment

    before = tree_digest(village)

    def fail(path: Path) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(segment, "sync_file", fail)
        with pytest.raises(switch.EnvironmentFailed, match="full"):
            pay(village, [line(1)])
    assert tree_digest(village) == before
    assert reasons(pay(village, [line(1)])) == [None]
