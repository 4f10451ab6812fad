"""Cover: caps and bound balances as lines clear. Scenes are tables that a payment officer can read.

A scene names who may owe how much, then the lines in table order: the class of priority, who pays,
who receives, how much, what the line is answered, and why where it is not plain. Every line is for
another person, unless it names one.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from covering import CODES, PROGRAMMES, caps_table, make, scene, told
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scene import (
    VALUE_DATE,
    payment_table,
    run,
    tree_digest,
)

import switch
from switch import status as ask
from switch.errors import InputRefused
from switch.reason import Reason
from switch.sim.auditor.cover import Claim, Cover

SCENES = {
    "what fits goes and the rest waits": (
        {"A": 100},
        """
        2 A > B  60 ACSC
        2 A > C  41 AM23
        """,
    ),
    "nobody passes the first in line": (
        {"A": 100},
        """
        2 A > B  60 ACSC
        2 A > C  50 AM23
        2 A > C  10 AM23 it would fit, but waits behind the line before it
        """,
    ),
    "another payer passes": (
        {"A": 100},
        """
        2 A > B 101 AM23
        2 B > C 101 ACSC
        """,
    ),
    "a receipt makes room in the same run": (
        {"A": 100},
        """
        2 A > B 100 ACSC
        2 A > B  50 ACSC waits until line 3 has come
        2 C > A  50 ACSC
        """,
    ),
    "a receipt makes room for the first alone": (
        {"A": 100},
        """
        2 A > B 100 ACSC
        2 A > B  50 ACSC
        2 A > B  10 AM23
        2 C > A  50 ACSC
        """,
    ),
    "two that wait for each other free one another by what comes third": (
        {"A": 10, "B": 10},
        """
        2 A > B  30 ACSC
        2 B > A  30 ACSC
        2 C > A  20 ACSC
        """,
    ),
    "gridlock is not resolved here": (
        {"A": 10, "B": 10},
        """
        2 A > B  30 AM23
        2 B > A  30 AM23
        """,
    ),
    "the first class goes before the older line": (
        {"A": 0},
        """
        2 A > B  40 AM23
        1 A > C  40 ACSC
        2 C > A  40 ACSC
        """,
    ),
    "a line of the first class does not wait behind the last": (
        {"A": 100},
        """
        2 A > B 101 AM23
        1 A > C 100 ACSC
        """,
    ),
    "a line of the last class waits behind the first": (
        {"A": 100},
        """
        1 A > B 101 AM23
        2 A > C  10 AM23
        """,
    ),
    "within one institution nothing moves": (
        {"A": 0},
        """
        2 A > B   1 AM23
        2 A > A 900 ACSC
        """,
    ),
    "a wallet pays and receives through its bank": (
        {"B": 100},
        """
        2 W > A  60 ACSC
        2 B > A  60 AM23
        2 B > W 900 ACSC the bank itself settles for the wallet
        2 W > A  40 ACSC another debtor agent, and there is room
        """,
    ),
    "a line that waits holds no entitlement": (
        {"A": 0},
        """
        2 A > B  10 AM05 person 1
        2 C > B  10 ACSC person 1
        """,
    ),
    "of two lines that wait for one entitlement one goes": (
        {"A": 0},
        """
        2 A > B  10 ACSC person 1
        2 A > B  10 AM05 person 1
        2 C > A  50 ACSC
        """,
    ),
}


@pytest.mark.parametrize("name", SCENES)
def test_cover__scene(name: str, tmp_path: Path) -> None:
    caps, text = SCENES[name]
    rows, expected = scene(text)
    with make(tmp_path / "h", caps) as engine:
        batch = run(engine, rows)
        assert told(batch) == expected
        assert batch.summary["held"]["count"] == expected.count("AM23")
        assert batch.summary["cleared"]["count"] == expected.count("ACSC")
    assert switch.verify(tmp_path / "h")


LATER = {
    "a raised cap": ({"A": 200}, "2 C > B 1 ACSC"),
    "a receipt": ({"A": 100}, "2 C > A 50 ACSC"),
    "a new cycle": ({"A": 100}, "2 C > B 1 ACSC"),
}


@pytest.mark.parametrize("name", LATER)
def test_cover__a_held_line_goes_later(name: str, tmp_path: Path) -> None:
    caps, text = LATER[name]
    home = tmp_path / "h"
    with make(home, {"A": 100}) as engine:
        rows, expected = scene("2 A > B 80 ACSC\n2 A > B 30 AM23\n2 A > C 5 AM23")
        assert told(run(engine, rows, "A")) == expected
        engine.change_directory(participants=caps_table(caps))
        rows, expected = scene(text, first=4)
        batch = run(engine, rows, "B")
        assert told(batch) == expected
        moved = pq.read_table(batch.folder / "represented.parquet").to_pylist()
        assert [(row["line_no"], row["status"]) for row in moved] == [(2, "ACSC"), (3, "ACSC")]
        states = ask.line(engine.home, "A", 2)["states"]
        assert [(s["status"], s["reason"]) for s in states] == [("PDNG", "AM23"), ("ACSC", None)]
    assert switch.verify(home)


def test_cover__a_bound_account_pays_to_its_last_dong(tmp_path: Path) -> None:
    with make(tmp_path / "h", {}, {"A": 100, "B": 0}) as engine:
        rows, expected = scene("2 A > B 60 ACSC\n2 A > B 41 AM23\n2 B > C 60 ACSC\n2 B > C 1 AM23")
        assert told(run(engine, rows, "A")) == expected
        rows, expected = scene("2 C > A 1 ACSC", first=5)
        assert told(run(engine, rows, "B")) == expected
        assert engine.home.catalog.balances()["S.BANK[A]"] == 0
    assert switch.verify(tmp_path / "h")


def test_cover__an_opening_balance_below_zero_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputRefused, match=r"DIRECTORY_INVALID.*below zero"):
        make(tmp_path / "h", {}, {"A": -1})


@pytest.mark.parametrize("priority", [0, 10])
def test_cover__a_priority_that_is_no_class_is_refused(priority: int, tmp_path: Path) -> None:
    rows = [PROGRAMMES[0] | {"priority": priority}]
    with make(tmp_path / "h", {}) as engine, pytest.raises(InputRefused, match="no class"):
        engine.change_directory(programmes=pa.Table.from_pylist(rows))


def many(count: int) -> list[dict[str, Any]]:
    """Lines between three banks of which some must wait, and go when receipts come."""
    text = [
        f"{1 + n % 2} {CODES[n * 7 % 4]} > {CODES[(n * 7 + 1 + n % 3) % 4]} {10 + n * 37 % 60} ?"
        for n in range(count)
    ]
    return scene("\n".join(text)).rows


def test_cover__threads_chunks_and_forms_do_not_show(tmp_path: Path) -> None:
    found = []
    for number, (threads, chunk_rows) in enumerate([(1, 1000), (2, 1000), (2, 1), (1, 7)]):
        with make(tmp_path / f"{number}", {"A": 50, "B": 20, "C": 90}) as engine:
            for name, rows in (("X", many(80)), ("Y", many(60))):
                batch = run(engine, rows, name, threads=threads, chunk_rows=chunk_rows)
                path = batch.folder / "released.parquet"
                assert name == "Y" or pq.read_table(path).num_rows > 3
                assert name == "Y" or "AM23" in told(batch)
        found.append(tree_digest(tmp_path / f"{number}" / "batches"))
        assert switch.verify(tmp_path / f"{number}")
    assert found[1:] == found[:1] * 3
    with make(tmp_path / "arrow", {"A": 50, "B": 20, "C": 90}) as engine:
        batch = run(engine, many(80), "X", form="arrow")
        assert batch.status.to_pylist() == _status(tmp_path / "0")
    assert switch.verify(tmp_path / "arrow")


def _status(home: Path) -> list[dict[str, Any]]:
    return pq.read_table(home / "batches" / "000001" / "status.parquet").to_pylist()


def test_cover__ample_caps_change_no_answer(tmp_path: Path) -> None:
    """Answers, clearing files and positions are those of a home without caps, byte by byte, but
    for the codes that a coded column may hold."""
    found = []
    for name, caps in (("free", {}), ("ample", dict.fromkeys("ABC", 10**12))):
        with make(tmp_path / name, caps) as engine:
            batch = run(engine, many(80), "X")
            assert set(told(batch)) <= {"ACSC", "AM05"}
            found.append((batch.status.to_pylist(), tree_digest(batch.folder / "clearing")))
    assert found[0] == found[1]


line_texts = st.builds(
    lambda priority, payer, receiver, amount: f"{priority} {payer} > {receiver} {amount} ?",
    st.sampled_from("12"),
    st.sampled_from(CODES),
    st.sampled_from(CODES),
    st.integers(1, 60),
)
some_caps = st.dictionaries(st.sampled_from("ABC"), st.integers(0, 80))


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(caps=some_caps, texts=st.lists(line_texts, min_size=1, max_size=30), data=st.data())
def test_cover__engine_and_slow_twin_agree(caps: Any, texts: list[str], data: Any) -> None:
    """Two tables in a row: positions sum to zero, nobody is below its cap, first in is first out,
    and every line is answered as the slow twin says."""
    cut = data.draw(st.integers(0, len(texts)))
    rows = scene("\n".join(texts)).rows
    with tempfile.TemporaryDirectory() as folder, make(Path(folder) / "h", caps) as engine:
        queue: list[tuple[str, dict[str, Any]]] = []
        for name, part in (("A", rows[:cut]), ("B", rows[cut:])):
            if not part:
                continue
            batch = run(engine, part, name, chunk_rows=data.draw(st.sampled_from([1, 4, 100])))
            cover = Cover(caps, set())
            for number, (_, row) in enumerate(queue):
                cover.wait(claim(number, row))
            cover.release()
            for number, row in enumerate(part, start=len(queue)):
                cover.present(claim(number, row))
            cover.release()
            verdicts = [cover.verdicts[n] for n in range(len(queue) + len(part))]
            own = [verdict == Reason.NONE for verdict in verdicts[len(queue) :]]
            assert [said == "ACSC" for said in told(batch)] == own
            assert all(room >= 0 for room in cover.rooms.values())
            nets: Counter[str] = Counter()
            for position in batch.positions.to_pylist():
                nets[position["settled_by"]] += position["net"]
            assert sum(nets.values()) == 0
            assert all(nets[code] == cover.rooms[code] - cap for code, cap in caps.items())
            both = [*queue, *((name, row) for row in part)]
            queue = [entry for entry, v in zip(both, verdicts, strict=True) if v]
            require_first_in_first_out(both, verdicts)
        home = engine.home.path
        engine.close()
        assert switch.verify(home)


def settle(code: str) -> str:
    return "B" if code == "W" else code


def claim(number: int, row: dict[str, Any]) -> Claim:
    return Claim(
        number,
        row["debtor_account"],
        settle(row["debtor_account"]),
        settle(row["creditor_agent"]),
        1 if row["benefit"] == "PENS" else 9,
        row["amount"],
        (row["person_id"], row["benefit"], 202611),
    )


def require_first_in_first_out(rows: list[Any], verdicts: list[Reason]) -> None:
    """No line went while an older one of its agent and class waits."""
    waits = set()
    for (_, row), verdict in zip(rows, verdicts, strict=True):
        key = (row["debtor_account"], row["benefit"])
        if settle(row["debtor_account"]) == settle(row["creditor_agent"]):
            continue
        if verdict == Reason.COVER_MISSING:
            waits.add(key)
        assert verdict != Reason.NONE or key not in waits


def test_cover__without_limits_nothing_is_written_of_them(tmp_path: Path) -> None:
    with make(tmp_path / "h", {}) as engine:
        batch = run(engine, payment_table(many(20)), value_date=VALUE_DATE)
        assert not (batch.folder / "released.parquet").exists()
        assert "rooms" not in (batch.folder / "manifest.json").read_text()
        status = pq.ParquetFile(batch.folder / "status.parquet")
        assert b"AM23" not in (batch.folder / "status.parquet").read_bytes()
        status.close()
