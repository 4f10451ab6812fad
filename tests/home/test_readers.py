"""Readers beside a writer: each sees the last commit, waits for no run, and holds none up."""

from __future__ import annotations

import asyncio
import pickle
import shutil
import sqlite3
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from scene import (
    account,
    accounts_table,
    command,
    line,
    pay,
    payment_table,
    person_id,
    reasons,
    run,
    tree_digest,
    write_table,
)

import switch
from switch import status
from switch.errors import HomeLocked, SwitchError, UsageError, VerificationFailed
from switch.files import segment
from switch.home import store
from switch.home.store import Home
from switch.rehearsal import rehearse


def states(engine: switch.Engine, number: int, batch_id: str = "B") -> list[str]:
    return [state["state"] for state in engine.line(batch_id, number)["states"]]


ASKING = {
    "status": ["status"],
    "a batch": ["status", "--batch", "B"],
    "a line": ["status", "--line", "B:1"],
    "a person": ["status", "--person", person_id(1)],
    "report": ["report", "--csv"],
    "verify": ["verify"],
    "exchange": ["exchange", "--batch", "B"],
    "shared": ["shared", "--batch", "B"],
    "breaks": ["breaks"],
    "cycles": ["cycles"],
    "balances": ["balances"],
    "held": ["held"],
    "returned": ["returned"],
    "doctor": ["doctor"],
}


@pytest.mark.parametrize("what", ASKING)
def test_command__that_asks_works_beside_a_writer(what: str, village: Path, tmp_path: Path) -> None:
    pay(village, [line(1), line(2)], out=tmp_path / "out")
    name, *options = ASKING[what]
    if name in ("report", "exchange", "shared"):
        options += ["--out", tmp_path / "out"]
    with switch.open(village) as writer:
        before = tree_digest(village)
        with_writer = command("--json", name, village, *options)
        assert with_writer.code == 0, with_writer.err
        assert tree_digest(village) == before
        assert reasons(run(writer, [line(3)], "NEXT")) == [None]
    assert switch.verify(village)


def test_rehearse__and_replay_work_beside_a_writer(village: Path, tmp_path: Path) -> None:
    table = write_table(payment_table([line(1), line(2)]), tmp_path / "t", batch_id="B")
    with switch.open(village) as writer:
        batch = writer.run(table)
        assert command("--quiet", "replay", village, batch.batch_id, table).code == 0
        next_one = write_table(payment_table([line(3)]), tmp_path / "n", batch_id="N")
        shown = rehearse(village, [next_one])["tables"]
        assert [row["cleared"]["count"] for row in shown] == [1]
        assert reasons(writer.run(next_one)) == [None]


def test_reader__sees_the_last_commit_and_never_less(village: Path) -> None:
    with switch.open(village) as writer, switch.open(village, mode="r") as reader:
        assert (writer.mode, reader.mode) == ("w", "r")
        with pytest.raises(UsageError, match="no batch 'B'"):
            reader.line("B", 1)
        run(writer, [line(1)])
        assert states(reader, 1) == ["SETTLED"]
        run(writer, [line(2)], "C")
        assert states(reader, 1, "C") == ["SETTLED"]
        writer.change_directory(settings=switch.Settings(clearing_limit=7))
        reader.line("B", 1)
        assert reader.settings.clearing_limit == 7


def test_reader__outlives_its_writer_and_any_number_read(village: Path) -> None:
    pay(village, [line(1)])
    readers = [switch.open(village, mode="r") for _ in range(5)]
    shutil.rmtree(village / "out", ignore_errors=True)
    pay(village, [line(2)], "C")
    assert [states(reader, 1, "C") for reader in readers] == [["SETTLED"]] * 5
    for reader in readers:
        reader.close()
        with pytest.raises(UsageError, match="was closed here"):
            reader.line("B", 1)


def test_reader__writes_nothing(village: Path) -> None:
    with switch.open(village, mode="r") as reader:
        before = tree_digest(village)
        acts = [
            lambda: run(reader, [line(1)]),
            lambda: reader.register(accounts=accounts_table([account(3)])),
            lambda: reader.change_directory(settings=switch.Settings()),
            reader.settle,
            reader.reconcile,
            reader.write_back,
            reader.reissue,
            lambda: reader.close_day("2026-11-25"),
            lambda: reader.home.note("keys", {}),
            lambda: reader.home.commit(at="", kind="x", detail={}, changes=[]),
            lambda: reader.home.draft("batches").__enter__(),
        ]
        for act in acts:
            with pytest.raises(UsageError, match=r'is open for reading: .*without mode="r"'):
                act()
    assert tree_digest(village) == before
    with pytest.raises(UsageError, match="mode 'a' is no one of r, w"):
        switch.open(village, mode="a")  # type: ignore[arg-type]


def test_reader__of_a_home_that_nobody_may_write(village: Path) -> None:
    pay(village, [line(1)])
    with Home(village, writing=False) as home, sqlite3.connect(village / store.CATALOG) as db:
        assert home.catalog.digest() == segment.digest_of(village / store.CATALOG)
        db.execute("SELECT 1")


def test_reader__what_a_commit_took_away_is_asked_again(
    village: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A register is dropped when the next one is committed, also while somebody looks a person
    up."""
    pay(village, [line(1)])
    look, loads = status.rows_of_person, []
    with switch.open(village) as writer, Home(village, writing=False) as home:

        def looked(chain: Any, person: int) -> Any:
            loads.append(home.catalog.register_seq())
            if len(loads) == 1:
                writer.register(accounts=accounts_table([account(9)]), replace=True)
            return look(chain, person)

        monkeypatch.setattr(status, "rows_of_person", looked)
        found = home.of_last_commit(lambda: status.person(home, person_id(1)))
        assert [one["batch_id"] for one in found["lines"]] == ["B"]
    assert len(loads) == 2
    assert loads[0] < loads[1]


def test_reader__gives_up_where_commits_never_stop(village: Path) -> None:
    pay(village, [line(1)])
    with switch.open(village) as writer, Home(village, writing=False) as home:

        def ask() -> None:
            writer.change_directory(settings=writer.settings)
            raise VerificationFailed("what was looked for is gone")

        with pytest.raises(HomeLocked, match="each time that it was read: ask again"):
            home.of_last_commit(ask)
        with pytest.raises(VerificationFailed):
            home.of_last_commit(lambda: segment.read_table(village / "none"))


TAKES_NO_LOCK = """
import sqlite3, sys
db = sqlite3.connect(sys.argv[1], 0, isolation_level=None)
try:
    db.execute("BEGIN IMMEDIATE")
except sqlite3.OperationalError as error:
    sys.exit(7 if "locked" in str(error) else 8)
"""


def test_reader__in_the_writers_process_gives_none_of_its_locks_back(
    village: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """POSIX locks of a process on a file go when any handle of it on the file is closed."""
    pay(village, [line(1)])
    codes = []
    sync = segment.sync_folder
    with switch.open(village) as writer, switch.open(village, mode="r") as reader:

        def in_the_middle(path: Path) -> None:
            sync(path)
            if path.name == "batches" and not codes:
                for ask in (lambda: states(reader, 1), lambda: switch.verify(village)):
                    assert ask()
                    catalog = village / store.CATALOG
                    took = subprocess.run([sys.executable, "-c", TAKES_NO_LOCK, catalog])
                    codes.append(took.returncode)

        monkeypatch.setattr(segment, "sync_folder", in_the_middle)
        run(writer, [line(2)], "C")
    assert codes == [7, 7]


LIVES = """
import sys, switch
home, times = sys.argv[1], 0
with switch.open(home, mode="r") as reader:
    print("ready", flush=True)
    while True:
        switch.verify(home)
        times += 1
        try:
            reader.line("B9", 1)
        except switch.UsageError:
            continue
        break
print(times)
"""


def test_verify__holds_at_any_moment_of_ten_runs(village: Path) -> None:
    """Another process proves the home again and again while it is written."""
    with subprocess.Popen(
        [sys.executable, "-c", LIVES, village], stdout=subprocess.PIPE, text=True
    ) as proving:
        assert proving.stdout is not None
        assert proving.stdout.readline() == "ready\n"
        with switch.open(village) as writer:
            for number in range(10):
                run(writer, [line(number + 1)], f"B{number}")
                writer.register(accounts=accounts_table([account(number + 20)]))
        out, _ = proving.communicate(timeout=120)
    assert proving.returncode == 0
    assert int(out) >= 1


def test_catalog__with_more_behind_it_was_changed(village: Path) -> None:
    with (village / store.CATALOG).open("ab") as file:
        file.write(b"\0" * 4096)
    with pytest.raises(VerificationFailed, match="was changed: restore it"):
        switch.open(village, mode="r")
    with pytest.raises(VerificationFailed, match="was changed: restore it"):
        switch.verify(village)


@pytest.mark.parametrize("form", ["parquet", "arrow"])
@pytest.mark.parametrize("how", ["is gone", "is damaged"])
def test_status__of_a_damaged_file_says_what_restores_it(
    how: str, form: str, village: Path
) -> None:
    with switch.open(village) as engine:
        folder = run(engine, [line(1)], form=form).folder
    path = folder / f"status.{form}"
    if how == "is gone":
        path.unlink()
    else:
        path.write_bytes(b"PAR1" + b"x" * 100)
    said = command("--json", "status", village, "--line", "B:1")
    assert said.code == 5
    assert how in said.document["error"]["what"]
    assert "switch scrub" in said.document["error"]["what"]


# --- waiting, threads ---


def test_open__waits_for_a_writer(village: Path, tmp_path: Path) -> None:
    table = write_table(payment_table([line(1)]), tmp_path / "t")
    first = switch.open(village)
    with pytest.raises(HomeLocked, match=r"in use for 0\.1 s: .*--wait SECONDS"):
        switch.open(village, wait=0.1)
    timer = threading.Timer(0.3, first.close)
    timer.start()
    assert command("--quiet", "run", village, table, "--wait", "60").code == 0
    timer.join()
    for wrong in (-1, float("nan")):
        with pytest.raises(UsageError, match="wait is"):
            switch.open(village, wait=wrong)


def test_engine__works_from_any_thread(village: Path) -> None:
    with switch.open(village) as engine, ThreadPoolExecutor(4) as pool:
        jobs = [pool.submit(run, engine, [line(n)], f"B{n}") for n in range(1, 9)]
        assert [reasons(job.result()) for job in jobs] == [[None]] * 8
        asked = [pool.submit(engine.line, f"B{n}", 1) for n in range(1, 9)]
        assert [job.result()["batch_id"] for job in asked] == [f"B{n}" for n in range(1, 9)]
        pool.submit(engine.close).result()
    assert switch.verify(village)


def test_engine__works_under_asyncio(village: Path) -> None:
    async def payday() -> list[str]:
        engine = await asyncio.to_thread(switch.open, village)
        reader = await asyncio.to_thread(switch.open, village, mode="r")
        await asyncio.to_thread(run, engine, [line(1)])
        told = await asyncio.gather(*(asyncio.to_thread(states, reader, 1) for _ in range(4)))
        await asyncio.to_thread(engine.close)
        await asyncio.to_thread(reader.close)
        return [state for one in told for state in one]

    assert asyncio.run(payday()) == ["SETTLED"] * 4


def test_engine__ends_a_call_before_it_closes(village: Path) -> None:
    engine = switch.open(village)
    began, closes, ended = threading.Event(), threading.Event(), []

    def slow(*_: object) -> None:
        began.set()
        assert closes.wait(60)
        closing.join(0.2)
        ended.append(closing.is_alive())

    table = payment_table([line(1)])
    closing = threading.Thread(target=engine.close)
    working = threading.Thread(target=lambda: run(engine, table, progress=slow))
    working.start()
    assert began.wait(60)
    closing.start()
    closes.set()
    working.join()
    closing.join()
    assert ended
    assert all(ended)
    with pytest.raises(SwitchError):
        engine.line("B", 1)
    assert states(switch.open(village, mode="r"), 1) == ["SETTLED"]


def test_engine__says_what_it_is_and_stays_in_its_process(village: Path) -> None:
    with switch.open(village, mode="r") as reader:
        assert repr(reader) == f"<Engine of {village}, to read>"
        with pytest.raises(UsageError, match="is for the process that opened it"):
            pickle.dumps(reader)
    assert repr(reader) == f"<Engine of {village}, closed>"
