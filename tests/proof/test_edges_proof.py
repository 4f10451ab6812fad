"""Proof and timeline where a good day never goes: files that do not follow, lines that lack."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

import covering
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from scene import (
    DEBTORS,
    PARTICIPANTS,
    account,
    accounts_table,
    change_catalog,
    line,
    make_home,
    pay,
    payment_table,
    person,
    person_id,
    run,
    write_table,
)

import switch
from switch import status
from switch.clearing import held
from switch.errors import (
    UsageError,
    VerificationFailed,
)
from switch.files import segment
from switch.home.store import Home
from switch.proof.verify import Verifier

LINES = [line(n) for n in range(1, 10)]

# --- proof ----------------------------------------------------------------------------------------


def faults(home: Path) -> list[str]:
    with Home(home, writing=False, judging=True) as opened:
        return [check.fault for check in Verifier(opened).checks() if check.fault]


def as_if_committed(home: Path, path: Path) -> None:
    """Give the catalog the digest of a changed file: what has another one is not even decoded."""
    with contextlib.closing(sqlite3.connect(home / "catalog.sqlite")) as db, db:
        changed = db.execute(
            "UPDATE files SET sha256 = ?, bytes = ? WHERE path = ?",
            (segment.digest_of(path), path.stat().st_size, str(path.relative_to(home))),
        )
        assert changed.rowcount == 1


@pytest.mark.parametrize(
    ("column", "words"), [("status", "from its reason"), ("reason", "from its number")]
)
def test_proof__a_status_that_does_not_follow(village: Path, column: str, words: str) -> None:
    done = pay(village, [line(1), line(1)])
    path = done.folder / "status.parquet"
    table = pq.read_table(path)
    values = {"status": ["ACSC", "ACSC"], "reason": [None, "AM04"]}[column]
    at = table.schema.names.index(column)
    pq.write_table(table.set_column(at, column, pa.array(values)), path)
    as_if_committed(village, path)
    assert any(words in fault for fault in faults(village))


@pytest.mark.parametrize("keep", [1, 0])
def test_proof__status_and_lines_of_different_lengths(village: Path, keep: int) -> None:
    done = pay(village, [line(1), line(2)])
    path = done.folder / "lines.parquet"
    table = pq.read_table(path)
    pq.write_table(table.slice(0, keep), path)
    if keep == 0:
        pq.write_table(table, path, row_group_size=1)
    as_if_committed(village, path)
    with pytest.raises(VerificationFailed, match="differ in length"):
        faults(village)


def test_proof__of_paid_bits_in_a_file_that_is_none(village: Path) -> None:
    pay(village, [line(1)])
    change_catalog(
        village, "UPDATE paid SET path = 'batches/000001/none.bits' WHERE origin = 'cleared'"
    )
    with pytest.raises(VerificationFailed, match=r"none\.bits cannot be read: No such file"):
        faults(village)


def test_proof__of_a_home_that_is_being_written(village: Path) -> None:
    with switch.open(village):
        assert switch.verify(village)
    assert switch.verify(village)


def test_proof__a_checkpoint_needs_its_key_and_its_file(village: Path, tmp_path: Path) -> None:
    (tmp_path / "kept").write_bytes(b"")
    with pytest.raises(UsageError, match="with the public key"):
        switch.verify(village, checkpoint=tmp_path / "kept")
    with pytest.raises(UsageError, match="none: No such file"):
        switch.verify(village, checkpoint=tmp_path / "none", public_key=b"")


def test_proof__a_line_that_was_released_and_did_not_clear(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """B pays 50 with what it receives; A's 30 and all behind it wait."""
    released = held.write_released

    def one_more(path: Path, moved: list[held.Moved]) -> None:
        released(path, [*moved, moved[0]._replace(line_no=4)])

    monkeypatch.setattr(held, "write_released", one_more)
    text = "2 B > C 50 ACSC\n2 A > B 60 ACSC\n2 A > C 30 AM23\n2 A > C 20 AM23"
    with covering.make(tmp_path / "h", {"A": 60, "B": 10}) as engine:
        run(engine, covering.scene(text).rows)
    assert "line (1, 4) was released and did not clear" in str(faults(tmp_path / "h"))


def test_proof__an_older_line_is_released_beside_one_of_its_number(tmp_path: Path) -> None:
    with covering.make(tmp_path / "h", {"A": 10}) as engine:
        first = run(engine, covering.scene("2 A > B 60 AM23").rows, "X")
        second = run(engine, covering.scene("2 C > A 60 ACSC", 2).rows, "Y")
        assert (covering.told(first), covering.told(second)) == (["AM23"], ["ACSC"])
        released = pq.read_table(second.folder / "released.parquet").to_pylist()
        assert released == [{"batch": 1, "line_no": 1}]
    assert switch.verify(tmp_path / "h")


# --- timeline -------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [-1, 0, 3, 2**31, 2**32, 10**30])
def test_timeline__a_line_that_is_not_there(village: Path, number: int) -> None:
    pay(village, [line(1), line(2)])
    with Home(village, writing=False) as home, pytest.raises(UsageError, match="lines 1 to 2"):
        status.line(home, "B", number)


def test_timeline__of_nobody(village: Path, tmp_path: Path) -> None:
    with Home(village, writing=False) as home, pytest.raises(UsageError, match="in no register"):
        status.person(home, person_id(77))
    empty = tmp_path / "empty"
    switch.init(
        empty,
        participants=pa.Table.from_pylist(list(PARTICIPANTS)),
        debtors=pa.Table.from_pylist(list(DEBTORS)),
    ).close()
    with Home(empty, writing=False) as home, pytest.raises(UsageError, match="in no register"):
        status.person(home, person_id(1))


def test_timeline__a_line_that_waits_for_several_paydays(tmp_path: Path) -> None:
    """Between the payday that held it and the one that cleared it, others went by."""
    home = make_home(tmp_path / "h", [person(1), person(2)], [account(2)])
    with switch.open(home) as engine:
        run(engine, [line(1)], "FIRST")
        run(engine, [line(2)], "SECOND")
        engine.register(accounts=accounts_table([account(1)]))
        run(engine, [line(2, benefit="SASS")], "THIRD")
    with Home(home, writing=False) as opened:
        told = status.line(opened, "FIRST", 1)
    assert [(state["status"], state["file"]) for state in told["states"]] == [
        ("PDNG", "batches/000001"),
        ("ACSC", "batches/000003"),
    ]


def test_timeline__of_a_table_of_several_groups(
    village: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(segment.Segment.__init__, "__kwdefaults__", {"group_rows": 2})
    with switch.open(village) as engine:
        engine.run(write_table(payment_table(LINES), tmp_path / "t"))
    with Home(village, writing=False) as home:
        told = status.line(home, "B", 7)
        assert told["amount"] == LINES[6]["amount"]
        assert len(status.person(home, person_id(9))["lines"]) == 1
    assert switch.verify(village)
