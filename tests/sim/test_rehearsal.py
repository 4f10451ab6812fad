"""Rehearsal: what tomorrow's tables would do, while nothing of it happens."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import shutil
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cycles import CUTOFFS, lines, make, table_of
from hypothesis import given
from hypothesis import strategies as st
from scene import command, payment_table, run, tree_digest, write_table

import switch
from switch.registry.settings import Settings
from switch.rehearsal import Payment, injection, rehearse
from switch.report.positions_svg import curve_svg


def everything(home: Path) -> dict[str, str]:
    """Every byte below a home, the lock's too."""
    return {
        str(path): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(home.rglob("*"))
        if path.is_file()
    }


def tables(folder: Path, *texts: str) -> list[Path]:
    found, first = [], 1
    for number, text in enumerate(texts):
        table = payment_table(lines(text, first))
        first += table.num_rows
        found.append(write_table(table, folder / f"t{number}.parquet", batch_id=f"T{number}"))
    return found


@pytest.mark.parametrize("settings", [Settings(), CUTOFFS], ids=["at once", "calendar"])
def test_rehearse__tells_what_then_happens_and_leaves_no_trace(
    settings: Settings, tmp_path: Path
) -> None:
    home = tmp_path / "h"
    with make(home, settings, {"A": 100, "KBNN": 1000}) as engine:
        run(engine, lines("C > A 1", 50), "OLD")
    files = tables(tmp_path, "KBNN > A 50\nA > B 120\nA > C 40", "B > C 30\nC > B 10")
    before = everything(home)
    told = rehearse(home, files)
    assert everything(home) == before
    with switch.open(home) as engine:
        for table, shown in zip(files, told["tables"], strict=True):
            batch = engine.run(table)
            for name in ("received", "cleared", "held", "refused", "reasons"):
                assert batch.summary[name] == shown[name]
            assert batch.cycle == shown["cycle"]


def test_rehearse__says_what_each_needs_and_what_frees_what_waits(tmp_path: Path) -> None:
    home = tmp_path / "h"
    make(home, CUTOFFS, {"A": 100, "B": 0}).close()
    files = tables(tmp_path, "A > B 80\nA > C 70", "B > C 30\nB > C 60\nC > A 10")
    told = rehearse(home, files)
    [cycle] = told["cycles"]
    told_of = ("participant", "net", "needs")
    assert [{name: row[name] for name in told_of} for row in cycle["participants"]] == [
        {"participant": "A", "net": -70, "needs": 80},
        {"participant": "B", "net": 50, "needs": 0},
        {"participant": "C", "net": 20, "needs": 0},
    ]
    assert told["waiting"]["payers"] == [
        {"participant": "A", "count": 1, "sum": 70},
        {"participant": "B", "count": 1, "sum": 60},
    ]
    assert told["injection"] == {"given": {"A": 40, "B": 10}, "sum": 50, "at_least": 50}
    with switch.open(home) as engine:
        for table in files:
            engine.run(table)
        engine.change_directory(balances=table_of({"A": 140, "B": 10}))
        batch = run(engine, lines("C > B 1", 20), "GO")
        assert batch.summary["represented"]["cleared"] == {"count": 2, "sum": 130}
        assert [a["state"] for a in engine.settle()] == ["SETTLED"]
    assert switch.verify(home)


def test_rehearse__a_table_that_would_be_refused_is_told(tmp_path: Path) -> None:
    home = tmp_path / "h"
    make(home).close()
    good, bad = tables(tmp_path, "A > B 1", "B > C 2")
    write_table(payment_table(lines("B > C 2", 2)), bad, batch_id="T1", count=7)
    before = everything(home)
    told = rehearse(home, [bad, good, good])
    assert told["tables"][0]["error"]["rule"] == "CONTROL_COUNT"
    assert [table["replayed"] for table in told["tables"][1:]] == [False, True]
    assert everything(home) == before


@pytest.mark.parametrize("name", ["status.parquet", "answer.json"], ids=["run", "settle"])
def test_rehearse__without_room_says_that_nothing_happened(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It said that what it could not copy was committed."""
    home = tmp_path / "h"
    make(home, CUTOFFS).close()
    before = everything(home)
    lands = os.rename

    def full(path: str, target: str, **folders: int) -> None:
        if path == f".{name}.part":
            raise OSError(errno.ENOSPC, "No space left on device")
        lands(path, target, **folders)

    monkeypatch.setattr(os, "rename", full)
    with pytest.raises(switch.EnvironmentFailed, match="nothing of it has happened") as failed:
        rehearse(home, tables(tmp_path, "A > B 1"))
    assert "committed" not in str(failed.value)
    assert everything(home) == before


def test_rehearse__without_room_for_the_copy_says_what_is_needed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It quoted a list of all files that found no room."""
    home = tmp_path / "h"
    with make(home) as engine:
        run(engine, lines("A > B 1", 50), "OLD")
    before = everything(home)

    def fails(number: int) -> Callable[..., None]:
        def call(source: Path, target: Path) -> None:
            if source.is_relative_to(home / "batches"):
                raise OSError(number, os.strerror(number), str(source))
            copies(source, target)

        return call

    copies = shutil.copyfile
    monkeypatch.setattr(os, "link", fails(errno.EXDEV))
    monkeypatch.setattr(shutil, "copyfile", fails(errno.ENOSPC))
    said = command("--json", "rehearse", home, *tables(tmp_path, "A > B 1"))
    what = said.document["error"]["what"]
    assert (said.code, what.count("switch-rehearsal-")) == (6, 1)
    assert re.search(
        r"bytes free, about [\d,]+ are needed\): make room. This was a rehearsal", what
    )
    assert everything(home) == before


def test_rehearse__of_tables_that_all_fail_has_nothing_to_tell(tmp_path: Path) -> None:
    home = tmp_path / "h"
    make(home).close()
    told = rehearse(home, [tmp_path / "nowhere.parquet"])
    assert (told["cycles"], told["waiting"]["count"], told["injection"]["sum"]) == ([], 0, 0)


def test_rehearse__the_command_draws_and_tells(tmp_path: Path) -> None:
    home = tmp_path / "h"
    make(home, balances={"A": 100}).close()
    files = tables(tmp_path, "A > B 80\nA > C 70", "B > C 30")
    picture = tmp_path / "day.svg"
    before = tree_digest(home)
    said = command("rehearse", home, *files, "--picture", picture)
    assert said.code == 0
    assert "1 line, 70 dong would wait for cover" in said.out
    assert "they go with 50 dong more at BA" in said.out
    assert ET.fromstring(picture.read_text("utf-8")).tag.endswith("svg")
    document = command("--json", "rehearse", home, *files).document
    assert document["injection"]["given"] == {"A": 50}
    assert tree_digest(home) == before


def test_rehearse__while_somebody_writes_waits_for_nobody(tmp_path: Path) -> None:
    with make(tmp_path / "h"):
        [table] = tables(tmp_path, "A > B 1")
        assert command("rehearse", tmp_path / "h", table).code == 0


def test_curve__of_nothing_is_a_picture_too() -> None:
    assert ET.fromstring(curve_svg([], {})).tag.endswith("svg")


def test_curve__is_the_same_for_the_same_points() -> None:
    points = [
        {
            "batch_id": f"B{i}",
            "cycle": f"C{i // 3}",
            "nets": {f"P{j}": (i - j) * 7 for j in range(20)},
        }
        for i in range(8)
    ]
    assert curve_svg(points, {"P1": 3}) == curve_svg(points, {"P1": 3})


payments = st.lists(
    st.builds(
        lambda agent, payee, priority, amount: Payment(agent, agent, payee, priority, amount),
        st.sampled_from("ABC"),
        st.sampled_from("ABCD"),
        st.sampled_from([1, 9]),
        st.integers(1, 50),
    ),
    max_size=12,
)


@given(waiting=payments, room=st.dictionaries(st.sampled_from("ABC"), st.integers(0, 40)))
def test_injection__lets_everything_go_line_by_line(waiting: Any, room: dict[str, int]) -> None:
    """With what is given every line goes, each agent's in its order; and it is no less than what
    anybody needs at the end."""
    told = injection(waiting, room)
    left = {code: sum_ + told["given"].get(code, 0) for code, sum_ in room.items()}
    queues: dict[str, list[Payment]] = {}
    for payment in sorted(waiting, key=lambda payment: payment.priority):
        queues.setdefault(payment.agent, []).append(payment)
    moved = True
    while moved:
        moved = False
        for queue in queues.values():
            while queue and (
                queue[0].payer == queue[0].payee
                or queue[0].amount <= left.get(queue[0].payer, queue[0].amount)
            ):
                payment = queue.pop(0)
                moved = True
                if payment.payer != payment.payee:
                    for code, change in (
                        (payment.payer, -payment.amount),
                        (payment.payee, payment.amount),
                    ):
                        if code in left:
                            left[code] += change
    assert not any(queues.values())
    assert told["sum"] == sum(told["given"].values()) >= told["at_least"] >= 0
    assert set(told["given"]) <= set(room)


def test_injection__a_gridlock_needs_money_only_to_begin() -> None:
    waiting = [Payment("A", "A", "B", 9, 30), Payment("B", "B", "A", 9, 30)]
    assert injection(waiting, {"A": 10, "B": 15}) == {"given": {"B": 15}, "sum": 15, "at_least": 0}


def test_rehearse__needs_no_limits(tmp_path: Path) -> None:
    make(tmp_path / "h").close()
    told = rehearse(tmp_path / "h", tables(tmp_path, "A > B 5\nB > A 2"))
    assert told["waiting"] == {"count": 0, "sum": 0, "payers": []}
    assert told["injection"] == {"given": {}, "sum": 0, "at_least": 0}
    assert [row["net"] for row in told["cycles"][0]["participants"]] == [-3, 3]


def test_command__a_rehearsal_exits_as_the_run_would(tmp_path: Path) -> None:
    """Each table says its own: refused, run already, or what it would be."""
    home = tmp_path / "h"
    make(home, Settings(), {}).close()
    good, bad = tables(tmp_path, "A > B 10", "B > C 20")
    write_table(payment_table(lines("B > C 20", 5)), bad, batch_id="BAD", sum="1")
    gone = tmp_path / "gone.parquet"
    assert command("rehearse", home, good).code == 0
    for refused, rule in ((bad, "CONTROL_SUM"), (gone, "FILE_MISSING")):
        told = command("rehearse", home, refused, good, "--json")
        assert told.code == command("run", home, refused).code == 3
        assert told.document["tables"][0]["error"]["rule"] == rule
        assert told.document["tables"][1]["cleared"]["count"] == 1, (
            "the next one is told all the same"
        )
        assert f"would be refused, {rule}" in command("rehearse", home, refused).out
    assert command("run", home, good).code == 0
    again = command("rehearse", home, good, bad)
    assert again.code == 3
    assert "T0: already run, nothing moves; it was 1 cleared" in again.out
    assert command("rehearse", home, good, "--json").document["tables"][0]["replayed"] is True
    moved = write_table(
        payment_table(lines("A > B 10", 1)), good, batch_id="T0", value_date="2026-11-26"
    )
    assert command("rehearse", home, moved).code == command("run", home, moved).code == 3
