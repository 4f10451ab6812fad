"""Files of others are opened in a process of their own: what kills, hangs or bloats it refuses the
file, names it, and changes nothing."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import scene
from doors import DOORS, tables
from scene import (
    FORMATS,
    command,
    line,
    payment_table,
    run,
    tree_digest,
    write_table,
)

import switch
from switch import reconcile as rec
from switch.errors import InputRefused
from switch.files import airlock, formats

PLANTED = {
    "abort": "os.abort()",
    "segment": "os.kill(os.getpid(), signal.SIGSEGV)",
    "killed": "os.kill(os.getpid(), signal.SIGKILL)",
    "hang": "time.sleep(1000)",
    "memory": "bytearray(1 << 40)",
}
"""What a file could make its reader do."""
RULES = {"hang": "READER_TIME", "memory": "READER_MEMORY"}


@pytest.fixture
def plant(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str, str], None]]:
    """Make every reader do something: as it opens its file, or after the first rows."""

    def do(what: str, when: str) -> None:
        lines = [
            "import os, signal, time, switch.files.airlock_child as d",
            "def bad(opener):",
            "    def opened(path, wanted, *more):",
            "        schema, batches, rows = opener(path, wanted, *more)",
            "        def later():",
            "            yield next(batches())",
            f"            {what}",
            f"        {what if when == 'open' else 'pass'}",
            "        return schema, later, rows",
            "    return opened",
            "d._OPENERS = {k: bad(v) for k, v in d._OPENERS.items()}",
            "d.serve(HANDLE)",
        ]
        monkeypatch.setattr(airlock, "PROGRAM", "\n".join(lines))
        if what == PLANTED["hang"]:
            monkeypatch.setattr(airlock, "SILENCE_SECONDS_MAX", 2)
        airlock.stop()

    yield do
    airlock.stop()


@pytest.mark.parametrize("what", PLANTED)
@pytest.mark.parametrize("when", ["open", "rows"])
@pytest.mark.parametrize("door", ["table", "csv", "arrow"])
def test_airlock__what_a_reader_dies_of_refuses_the_table(
    what: str, when: str, door: str, village: Path, tmp_path: Path, plant: Callable[..., None]
) -> None:
    file = tables(tmp_path)[door]
    before = tree_digest(village)
    plant(PLANTED[what], when)
    said = command("--json", "run", village, file)
    assert said.code == 3, said
    assert said.document["error"]["file"] == str(file)
    assert said.document["error"]["rule"] == RULES.get(what, "READER_CRASHED")
    assert tree_digest(village) == before


@pytest.mark.parametrize("door", DOORS)
def test_airlock__every_door_has_one(
    door: str, village: Path, tmp_path: Path, plant: Callable[..., None]
) -> None:
    file = tables(tmp_path)[door]
    before = tree_digest(village)
    plant(PLANTED["abort"], "open")
    call = [part.format(home=village, file=file) for part in DOORS[door]]
    said = command(*call)
    assert said.code == 3, said
    assert "READER_CRASHED" in said.err
    assert str(file) in said.err
    assert tree_digest(village) == before


def test_airlock__a_real_bomb_of_memory_is_refused(
    village: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A few kilobytes that become gigabytes when they are decoded."""
    count = 40_000
    text = pa.DictionaryArray.from_arrays(
        pa.array([0] * count, pa.int32()), pa.array(["A" * 10_000])
    )
    table = payment_table([line(1)]).take(pa.array([0] * count))
    at = table.schema.get_field_index("end_to_end_id")
    path = tmp_path / "bomb.parquet"
    table = table.set_column(at, "end_to_end_id", text)
    pq.write_table(table, path, use_dictionary=False, compression="zstd", store_schema=False)
    assert path.stat().st_size < 4 << 20
    scene.write_dossier(path, count, count * 1_000_001)
    monkeypatch.setattr(airlock, "MEMORY_MAX", 256 << 20)
    before = tree_digest(village)
    said = command("--json", "run", village, path)
    assert (said.code, said.document["error"]["rule"]) == (3, "READER_MEMORY"), said
    assert tree_digest(village) == before


def children(pid: int) -> list[int]:
    found = []
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(entry.read_text().rpartition(")")[2].split()[1])
        except (OSError, IndexError):
            continue
        if parent == pid:
            found.append(int(entry.parent.name))
    return found


READERS = pytest.mark.skipif(
    not Path("/proc/self/stat").exists(), reason="looks at processes in /proc"
)


def readers_left() -> list[int]:
    """Children that the waiting process still has after a while in which they could go."""
    waiting = airlock._waiting
    assert waiting is not None
    # Requests are taken in order: when this one is answered, those before it have their readers.
    with Path(__file__).open("rb") as file, airlock.ask(file.fileno(), "", "none", {}) as answer:
        assert answer.said()["fault"]
    for _ in range(500):
        left = children(waiting[1].pid)
        if not left:
            break
        time.sleep(0.01)
    return left


@READERS
def test_airlock__a_refused_table_leaves_no_reader_behind(village: Path, tmp_path: Path) -> None:
    rows = payment_table([line(n % 9 + 1) for n in range(40_000)])
    path = write_table(rows, tmp_path / "t.parquet", sum="1")
    with switch.open(village) as engine, pytest.raises(InputRefused, match="CONTROL_SUM"):
        engine.run(path)
    assert not readers_left()


@READERS
@pytest.mark.parametrize("form", ["parquet", "arrow", "csv"])
@pytest.mark.parametrize(
    ("rule", "changes"),
    [
        ("FILE_HASH", {"sha256": "1" * 64}),
        ("CONTROL_COUNT", {"count": 3}),
        ("REFERENCE_REUSED", {"batch_id": "KNOWN"}),
        ("HEADER_MISMATCH", {}),
    ],
)
def test_airlock__a_refusal_that_is_kept_keeps_no_reader(
    rule: str, changes: dict[str, Any], form: str, village: Path, tmp_path: Path
) -> None:
    """Its traceback holds the frames in which the file was opened."""
    rows = payment_table([line(n % 9 + 1) for n in range(40_000)])
    total = sum(rows["amount"].to_pylist())
    if rule == "HEADER_MISMATCH":
        rows = rows.drop_columns(["benefit"])
    path = scene.write_file(rows, tmp_path / "t", form)
    scene.write_dossier(path, rows.num_rows, total, **changes)
    kept = []
    with switch.open(village) as engine:
        run(engine, [line(1)], "KNOWN")
        airlock.start()
        handles = len(os.listdir("/proc/self/fd"))
        for _ in range(3):
            with pytest.raises(InputRefused) as refusal:
                engine.run(path)
            assert refusal.value.rule == rule
            kept.append(refusal.value)
        assert not readers_left()
        assert len(os.listdir("/proc/self/fd")) == handles


@READERS
@pytest.mark.parametrize("sha256", ["1" * 64, None])
def test_airlock__a_reader_that_hangs_as_it_opens_is_ended_with_its_answer(
    sha256: str | None, village: Path, tmp_path: Path, plant: Callable[..., None]
) -> None:
    changes = {} if sha256 is None else {"sha256": sha256}
    path = write_table(payment_table([line(1)]), tmp_path / "t.parquet", **changes)
    plant(PLANTED["hang"], "open")
    with switch.open(village) as engine, pytest.raises(InputRefused) as refusal:
        engine.run(path)
    assert refusal.value.rule == ("READER_TIME" if sha256 is None else "FILE_HASH")
    assert not readers_left()


def test_airlock__somebody_ends_the_waiting_process(village: Path, tmp_path: Path) -> None:
    path = write_table(payment_table([line(1)]), tmp_path / "t.parquet")
    airlock.start()
    waiting = airlock._waiting
    assert waiting is not None
    os.kill(waiting[1].pid, signal.SIGKILL)
    waiting[1].wait()
    with switch.open(village) as engine:
        assert engine.run(path).summary["cleared"]["count"] == 1


def test_airlock__no_file_is_blamed_where_no_process_starts(
    village: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_table(payment_table([line(1)]), tmp_path / "t.parquet")
    monkeypatch.setattr(airlock, "PROGRAM", "raise ImportError")
    airlock.stop()
    assert command("run", village, path).code == 6
    monkeypatch.undo()
    assert command("run", village, path).code == 0


def test_airlock__refusals_say_row_and_column_as_ever(village: Path, tmp_path: Path) -> None:
    path = write_table(payment_table([line(1), line(2)]), tmp_path / "t.csv", "csv")
    text = path.read_text("utf-8")
    path.write_text(re.sub(r"1000002", "1e6", text), "utf-8")
    scene.write_dossier(path, 2, 2_000_003)
    with switch.open(village) as engine, pytest.raises(InputRefused) as refusal:
        engine.run(path)
    found = refusal.value
    assert (found.rule, found.row, found.column) == ("AMOUNT_FORMAT", 2, "amount")
    assert found.file == str(path)


@pytest.mark.parametrize("what", PLANTED)
@pytest.mark.parametrize("when", ["open", "rows"])
def test_airlock__files_of_the_library_have_one(
    what: str, when: str, plant: Callable[[str, str], None], tmp_path: Path
) -> None:
    path = tmp_path / "returns.parquet"
    pq.write_table(pa.table({"amount": [1], "booked_at": [0]}), path)
    before = rec.returns(path)
    plant(PLANTED[what], when)
    with pytest.raises(InputRefused) as refused:
        before.take(np.arange(1))
    assert refused.value.rule == RULES.get(what, "READER_CRASHED")
    assert refused.value.file == str(path)


def test_airlock__two_files_at_once_do_not_meet(tmp_path: Path) -> None:
    from switch.files.tables import open_table
    from switch.schema import PAYMENT

    paths = [
        write_table(payment_table([line(n)] * 2), tmp_path / f"{n}.parquet") for n in range(1, 9)
    ]
    readers = [open_table(path, PAYMENT) for path in paths]
    for number, reader in reversed(list(enumerate(readers, start=1))):
        (chunk,) = reader.chunks()
        assert chunk["amount"].tolist() == [1_000_000 + number] * 2


def test_airlock__forked_processes_share_the_waiting_one(village: Path, tmp_path: Path) -> None:
    path = write_table(payment_table([line(1), line(2)]), tmp_path / "t.parquet")
    airlock.start()
    from switch.files.tables import open_table
    from switch.schema import PAYMENT

    pids = []
    for _ in range(4):
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                code = int(sum(len(c["amount"]) for c in open_table(path, PAYMENT).chunks()) != 2)
            finally:
                os._exit(code)
        pids.append(pid)
    assert [os.waitpid(pid, 0)[1] for pid in pids] == [0] * 4


def test_airlock__what_the_owner_asks_of_memory_stays(
    village: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert airlock._memory()["GLIBC_TUNABLES"] == airlock.TUNABLES
    monkeypatch.setenv("GLIBC_TUNABLES", "glibc.malloc.check=1")
    assert airlock._memory()["GLIBC_TUNABLES"] == f"{airlock.TUNABLES}:glibc.malloc.check=1"
    airlock.stop()
    with switch.open(village) as engine:
        assert engine.run(tables(tmp_path)["table"]).summary["received"]["count"]
    airlock.stop()


def test_airlock__in_memory_tables_need_no_process(village: Path) -> None:
    airlock.stop()
    with switch.open(village) as engine:
        run(engine, [line(1)])
    assert airlock._waiting is None


@pytest.mark.parametrize("form", FORMATS)
def test_airlock__a_time_of_writing_that_is_set_back_hides_no_change(
    form: str, village: Path, tmp_path: Path
) -> None:
    path = write_table(payment_table([line(1), line(2)]), tmp_path / "t", form)
    before = tree_digest(village)

    def touch(*_: object) -> None:
        written = path.stat().st_mtime_ns
        path.write_bytes(path.read_bytes())
        os.utime(path, ns=(written, written))

    with switch.open(village) as engine, pytest.raises(InputRefused, match="CHANGED_DURING_READ"):
        engine.run(path, threads=1, progress=touch)
    assert tree_digest(village) == before


@pytest.mark.parametrize("form", FORMATS)
def test_airlock__what_is_decoded_is_what_was_hashed(
    form: str, village: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where another file is put in place of the table once its structure was judged."""
    path = write_table(payment_table([line(1)]), tmp_path / "t", form)
    aside, other = tmp_path / "aside", tmp_path / "other"
    scene.write_file(payment_table([line(2)]), other, form)
    asked, begin, judge = [], airlock.ask, formats.judge_csv

    def judged(*args: Any) -> None:
        judge(*args)
        path.rename(aside)
        other.rename(path)

    def ask(file: int, *args: Any) -> airlock.Answer:
        asked.append(os.pread(file, os.fstat(file).st_size, 0))
        return begin(file, *args)

    monkeypatch.setattr(formats, "judge_csv", judged)
    monkeypatch.setattr(airlock, "ask", ask)
    first = path.read_bytes()
    with switch.open(village) as engine, contextlib.suppress(InputRefused):
        engine.run(path)
    assert asked == [first]
