"""The commit protocol from inside: what must be durable, what is refused, what must be noticed.

tests/crash breaks it from outside, call by call; here single promises of its parts stand by
themselves, so that a mistake in one of them is named.
"""

from __future__ import annotations

import errno
import os
import shutil
import sqlite3
import sys
from pathlib import Path
from typing import Any

import pytest
from scene import (
    BANK,
    PARTICIPANTS,
    TREASURY,
    account,
    entitlement,
    line,
    make_home,
    paid_table,
    pay,
    person,
    reasons,
    run,
    tree_digest,
)

import switch
from switch.clearing import kernel
from switch.errors import UsageError
from switch.files import segment
from switch.home import commit
from switch.settlement import postings


def test_catalog__is_opened_with_a_journal_on_disk(village: Path) -> None:
    """Rollback journal as a file, everything synced, nothing in the catalog before COMMIT."""
    with switch.open(village) as engine:
        settings = {
            name: engine.home.catalog._db.execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("journal_mode", "synchronous", "cache_spill", "foreign_keys")
        }
    assert settings == {
        "journal_mode": "truncate",
        "synchronous": 3,
        "cache_spill": 0,
        "foreign_keys": 1,
    }


def test_catalog__takes_no_batch_twice(village: Path) -> None:
    pay(village, [line(1)])
    db = sqlite3.connect(village / "catalog.sqlite")
    columns = [row[1] for row in db.execute("PRAGMA table_info(batches)")]
    others = ", ".join("seq + 1" if name == "seq" else name for name in columns)
    with pytest.raises(sqlite3.IntegrityError, match=r"batches\.source, batches\.batch_id"):
        db.execute(f"INSERT INTO batches SELECT {others} FROM batches")
    db.close()


@pytest.mark.parametrize("named", [False, True])
def test_transaction__the_journals_name_is_synced_before_the_commit(
    village: Path, monkeypatch: pytest.MonkeyPatch, named: bool
) -> None:
    """A journal whose name is lost cannot be played back, and SQLite passes over a failure there.
    It keeps its name, so that this is done once."""
    journal = village / "catalog.sqlite-journal"
    if not named:
        journal.unlink()
    assert journal.exists() is named
    said: list[str] = []
    real = segment.sync_folder

    def sync_folder(path: Path) -> None:
        said.append(f"sync {path.name}")
        real(path)

    monkeypatch.setattr(segment, "sync_folder", sync_folder)
    with switch.open(village) as engine:
        engine.home.catalog._db.set_trace_callback(said.append)
        run(engine, [line(1)])
        engine.home.catalog._db.set_trace_callback(None)
    end = said.index("COMMIT")
    assert (said[end - 1] == f"sync {village.name}") is not named
    assert journal.stat().st_size == 0
    assert any(words.startswith("INSERT INTO audit") for words in said[:end])


@pytest.mark.skipif(sys.platform != "linux", reason="reads the names of open files in /proc")
def test_commit__everything_is_synced_before_it_has_its_name(
    village: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each file, each folder and the draft; then the rename; then the folder that has the name."""
    said: list[tuple[str, Path]] = []
    fsync, rename = os.fsync, Path.rename

    def record_sync(handle: int) -> None:
        said.append(("sync", Path(os.readlink(f"/proc/self/fd/{handle}"))))
        fsync(handle)

    def record_rename(path: Path, target: Path) -> Path:
        if target.parent.name == "batches":
            inside = set(path.rglob("*"))
            synced = {p for what, p in said if what == "sync"}
            said.append(("rename", path))
            assert inside | {path} <= synced, sorted(map(str, inside - synced))
        return rename(path, target)

    monkeypatch.setattr(os, "fsync", record_sync)
    monkeypatch.setattr(Path, "rename", record_rename)
    batch = pay(village, [line(1), line(20)])
    assert {path.suffix for path in batch.folder.rglob("*")} >= {".parquet", ".json", ".bits", ""}
    renamed = next(i for i, (what, _) in enumerate(said) if what == "rename")
    assert said[renamed + 1] == ("sync", village / "batches")


@pytest.mark.parametrize("batches", [1, 2, 3])
def test_paid__of_every_earlier_batch_is_remembered(village: Path, batches: int) -> None:
    """Bits of a batch are those of all batches before it too, and of every paid history."""
    with switch.open(village) as engine:
        engine.register(paid_history=paid_table([entitlement(8)]))
        engine.register(paid_history=paid_table([entitlement(9)]))
        for number in range(1, batches + 1):
            assert reasons(run(engine, [line(number)], f"B{number}")) == [None]
        last = run(engine, [line(n) for n in range(1, 10)], "LAST")
    assert reasons(last) == ["AM05"] * batches + [None] * (7 - batches) + ["AM05"] * 2
    assert switch.verify(village)


@pytest.mark.parametrize("lost", ["count", "sum"])
def test_run__a_lost_line_stops_it(
    village: Path, monkeypatch: pytest.MonkeyPatch, lost: str
) -> None:
    """A core that forgets a line, or a dong, is found out before anything is committed."""

    class Forgetful(kernel.Core):  # type: ignore[misc]
        def tally(self) -> Any:
            (count, money), *others = super().tally()
            forgotten = (int(lost == "count"), int(lost == "sum")) if count else (0, 0)
            return [(count - forgotten[0], money - forgotten[1]), *others]

    before = tree_digest(village)
    with monkeypatch.context() as patch:
        patch.setattr(kernel, "Core", Forgetful)
        with pytest.raises(AssertionError, match=r"missing|add up"):
            pay(village, [line(1), line(2)])
    assert tree_digest(village) == before
    assert reasons(pay(village, [line(1), line(2)])) == [None, None]


def test_run__money_left_on_the_clearing_account_stops_it(
    village: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = postings.apply

    def leave_a_dong(*args: Any) -> dict[str, int]:
        after = real(*args)
        (clearing,) = (name for name in after if name.startswith("S.CLEARING"))
        return after | {clearing: 1}

    before = tree_digest(village)
    with monkeypatch.context() as patch:
        patch.setattr(postings, "apply", leave_a_dong)
        with pytest.raises(AssertionError, match="is not zero"):
            pay(village, [line(1)])
    assert tree_digest(village) == before


@pytest.mark.parametrize(("cap", "waits"), [(1_000_001, False), (1_000_000, True)])
def test_settlement__a_cap_may_be_reached_and_not_passed(
    tmp_path: Path, cap: int, waits: bool
) -> None:
    participants = [
        row | {"net_debit_cap": cap if row["participant"] == TREASURY else None}
        for row in PARTICIPANTS
    ]
    home = make_home(tmp_path / "h", [person(1)], [account(1)], participants=participants)
    batch = pay(home, [line(1)])
    assert reasons(batch) == ["AM23" if waits else None]
    moved = {} if waits else {BANK: 1_000_001, TREASURY: -1_000_001}
    assert batch.summary["settlement"]["nets"] == moved


@pytest.mark.parametrize("count", [1, commit.SYNC_TOGETHER_MIN - 1, commit.SYNC_TOGETHER_MIN, 40])
def test_sync__every_file_is_synced_and_a_failure_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    """However many files there are, and whether they are synced one by one or side by side."""
    paths = [tmp_path / str(i) for i in range(count)]
    synced: list[Path] = []
    monkeypatch.setattr(segment, "sync_file", synced.append)
    commit.sync_files(paths)
    assert sorted(synced) == sorted(paths)

    def fail(path: Path) -> None:
        if path == paths[-1]:
            raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(segment, "sync_file", fail)
    with pytest.raises(OSError, match="Input/output"):
        commit.sync_files(paths)


# --- where a home stands --------------------------------------------------------------------------


@pytest.mark.parametrize("place", [".", "batches", "batches/000001", "registers", "quarantine"])
def test_out__takes_no_place_inside_a_home(place: str, village: Path) -> None:
    """A batch of the name 000001 would write over the answer of the first one."""
    pay(village, [line(1)], "A")
    before = tree_digest(village)
    with switch.open(village) as engine:
        with pytest.raises(UsageError, match="inside the home"):
            run(engine, [line(2)], "000001", out=village / place)
        with pytest.raises(UsageError, match="inside the home"):
            engine.close_day("2026-11-30", out=village / place)
    assert tree_digest(village) == before
    assert pay(village, [line(2)], "000001", out=village / "out" / "more").seq == 2
    assert switch.verify(village)


def test_open__a_home_stays_the_one_that_was_opened(
    village: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever folder becomes the current one, also where there is a copy of the home."""
    away = tmp_path / "away"
    shutil.copytree(village, away / "village")
    before = tree_digest(away)
    monkeypatch.chdir(village.parent)
    with switch.open("village") as engine:
        monkeypatch.chdir(away)
        run(engine, [line(1)], "A")
    assert tree_digest(away) == before
    assert switch.verify(village)
