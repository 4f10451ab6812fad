"""`verify` finds what was changed, lost or added, and changes nothing."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from scene import (
    BANK,
    change_catalog,
    command,
    make_home,
    tree_digest,
)

import switch
from switch.errors import VerificationFailed

# --- verify ---------------------------------------------------------------------------------------


RICH_FILES = (
    "batches/000001/status.parquet",
    "batches/000001/lines.parquet",
    "batches/000001/held.parquet",
    "batches/000001/positions.parquet",
    "batches/000001/settlement.json",
    "batches/000001/manifest.json",
    "batches/000001/rows.index",
    f"batches/000001/clearing/{BANK}.parquet",
    "batches/000001/paid-0000.bits",
    "batches/000002/represented.parquet",
    "batches/000002/held.parquet",
    "registers/000002/people.slots",
    "registers/000002/since.bin",
    "registers/000002/accounts.bin",
    "registers/000002/lists.bin",
    "registers/000002/heap.bin",
    "registers/000002/masks.bin",
    "registers/000002/register.json",
    "registers/000002/paid-0000.bits",
)


def test_verify__every_kind_of_file_is_named_here(rich_home: Path) -> None:
    """A new kind of file has to be added to RICH_FILES."""

    def kinds(names: Any) -> set[str]:
        return {Path(name).name for name in names if not name.startswith(("out/", "quarantine/"))}

    beside = {"catalog.sqlite", "catalog.sqlite-journal", "checkpoint", "key"}
    others = {"paid-0001.bits", "paid-0002.bits"}
    assert kinds(tree_digest(rich_home)) - beside - others == kinds(RICH_FILES)


@pytest.mark.parametrize("name", RICH_FILES)
def test_verify__one_changed_byte_is_found(name: str, rich_home: Path, tmp_path: Path) -> None:
    home = shutil.copytree(rich_home, tmp_path / "home")
    content = bytearray((home / name).read_bytes())
    for at in {0, 5, len(content) // 3, len(content) // 2, len(content) - 1} & set(
        range(len(content))
    ):
        changed = content.copy()
        changed[at] ^= 0x40
        (home / name).write_bytes(changed)
        with pytest.raises(VerificationFailed) as failure:
            switch.verify(home)
        assert failure.value.exit_code == 5


@pytest.mark.parametrize("name", RICH_FILES)
def test_verify__a_lost_file_is_found(name: str, rich_home: Path, tmp_path: Path) -> None:
    home = shutil.copytree(rich_home, tmp_path / "home")
    (home / name).unlink()
    with pytest.raises(VerificationFailed):
        switch.verify(home)


def test_verify__a_strange_file_is_found(rich_home: Path, tmp_path: Path) -> None:
    home = shutil.copytree(rich_home, tmp_path / "home")
    (home / "batches" / "000001" / "clearing" / "970002.parquet").write_bytes(b"PAR1")
    with pytest.raises(VerificationFailed, match="not in the catalog"):
        switch.verify(home)


CATALOG_CHANGES = {
    "balance": "UPDATE balances SET balance = balance + 1 WHERE account LIKE 'S.BANK%'",
    "balance_gone": "DELETE FROM balances WHERE account LIKE 'S.BANK%'",
    "position": "UPDATE positions SET credit_sum = credit_sum + 1",
    "position_net": "UPDATE positions SET net = net + 1",
    "position_gone": "DELETE FROM positions WHERE participant = 'KBNN'",
    "posting": "UPDATE postings SET amount = amount + 1 WHERE seq = 1",
    "posting_gone": "DELETE FROM postings WHERE seq = 2",
    "audit_detail": "UPDATE audit SET detail = replace(detail, 'VSS', 'VSX') WHERE kind = 'batch'",
    "audit_time": "UPDATE audit SET at = '2020-01-01' WHERE kind = 'batch'",
    "audit_gone": "DELETE FROM audit WHERE seq = 2",
    "audit_last_gone": "DELETE FROM audit WHERE seq = (SELECT max(seq) FROM audit)",
    "file_digest": "UPDATE files SET sha256 = 'x' WHERE path LIKE '%status.parquet'",
    "file_gone": "DELETE FROM files WHERE path LIKE '%status.parquet'",
    "batch_digest": "UPDATE batches SET digest = 'sha256:0'",
    "batch_id": "UPDATE batches SET batch_id = 'OTHER' WHERE seq = 1",
    "batch_source": "UPDATE batches SET source = 'OTHER' WHERE seq = 1",
    "batch_summary": "UPDATE batches SET summary = replace(summary, '\"count\":8', '\"count\":7')",
    "batch_gone": "DELETE FROM batches WHERE seq = 2",
    "paid_gone": "DELETE FROM paid WHERE origin = 'cleared'",
    "paid_history_gone": "DELETE FROM paid WHERE origin = 'history'",
    "paid_elsewhere": "UPDATE paid SET period = period + 1000 WHERE origin = 'cleared'",
    "opening": "UPDATE meta SET value = '{\"S.BANK[970001]\":5}' WHERE name = 'opening'",
    "settings": "UPDATE meta SET value = '{\"clearing_limit\":7}' WHERE name = 'settings'",
    "directory": "UPDATE meta SET value = replace(value, 'suspended', 'active') "
    "WHERE name = 'directory'",
}


@pytest.mark.parametrize("case", CATALOG_CHANGES)
def test_verify__changed_catalog_is_found(case: str, rich_home: Path, tmp_path: Path) -> None:
    home = shutil.copytree(rich_home, tmp_path / "home")
    change_catalog(home, CATALOG_CHANGES[case])
    with pytest.raises(VerificationFailed):
        switch.verify(home)


def test_verify__a_damaged_catalog_is_no_crash(rich_home: Path, tmp_path: Path) -> None:
    home = shutil.copytree(rich_home, tmp_path / "home")
    content = (home / "catalog.sqlite").read_bytes()
    for start in range(0, len(content), len(content) // 12):
        changed = bytearray(content)
        changed[start : start + 600] = b"\xa5" * len(changed[start : start + 600])
        (home / "catalog.sqlite").write_bytes(changed)
        assert command("verify", home).code in (0, 2, 5, 6), "free pages hold nothing; no crash"


def test_verify__command_exits_5(rich_home: Path, tmp_path: Path) -> None:
    home = shutil.copytree(rich_home, tmp_path / "home")
    change_catalog(home, CATALOG_CHANGES["balance"])
    said = command("--json", "verify", home)
    assert said.code == 5
    assert "I8" in said.document["error"]["what"]


def test_verify__changes_nothing(rich_home: Path) -> None:
    before = tree_digest(rich_home)
    switch.verify(rich_home)
    assert tree_digest(rich_home) == before


def test_verify__fresh_home_holds(tmp_path: Path) -> None:
    assert switch.verify(make_home(tmp_path / "h"))
