"""Person's lines: the index by person of each batch says where they stand, and is proven."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from scene import (
    account,
    accounts_table,
    command,
    line,
    make_home,
    new_checkpoint,
    pay,
    payment_table,
    person,
    person_id,
    run,
    tree_digest,
)

import switch
from switch.errors import UsageError, VerificationFailed
from switch.files import row_index, segment
from switch.files.row_index import MOVED, OWN, RowIndex, places
from switch.home.person_lines import PersonLines
from switch.home.store import Home
from switch.proof import row_indexes
from switch.proof.replay import replay
from switch.proof.verify import Verifier
from switch.registry.register import Register
from switch.schema import NO_ROW

BEFORE = Path(__file__).parents[1] / "golden" / "homes-before.tar.xz"


def index_of(path: Path, own: list[np.ndarray[Any, Any]], moved: np.ndarray[Any, Any]) -> Path:
    index = RowIndex(path)
    for rows in own:
        index.add(rows)
    index.add_moved(moved)
    assert index.close() == (segment.digest_of(path), path.stat().st_size)
    return path


def faults(home: Path) -> list[str]:
    with Home(home, writing=False, judging=True) as opened:
        return [f"{c.name}: {c.fault}" for c in Verifier(opened).checks() if c.fault]


def without_index(home: Path, *seqs: int) -> None:
    """A home as engines before there were indexes left it, but for its chain."""
    with contextlib.closing(sqlite3.connect(home / "catalog.sqlite")) as db, db:
        for seq in seqs:
            path = f"batches/{seq:06d}/{row_index.NAME}"
            assert db.execute("DELETE FROM files WHERE path = ?", (path,)).rowcount == 1
            (home / path).unlink()
    new_checkpoint(home)


# --- the index ------------------------------------------------------------------------------------


@pytest.mark.parametrize("part_lines", [1, 7, 64, 1 << 22])
@pytest.mark.parametrize(
    ("lines", "people", "least"),
    [(0, 1, 0), (1, 1, 0), (300, 40, 0), (500, 1 << 31, 5), (1000, 3, (1 << 32) - 5)],
)
def test_index__every_line_of_a_person_is_found(
    lines: int,
    people: int,
    least: int,
    part_lines: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(row_index, "PART_LINES", part_lines)
    rng = np.random.default_rng(lines)
    rows = (rng.integers(0, people, lines) + least).astype(np.uint32)
    rows[rng.random(lines) < 0.1] = NO_ROW
    moved = rows[::-3].copy()
    path = index_of(tmp_path / "rows.index", np.array_split(rows, 5), moved)
    for row in {*rows.tolist(), 0, least + people, NO_ROW - 1} - {NO_ROW}:
        expected = [(OWN, at) for at in np.flatnonzero(rows == row).tolist()]
        expected += [(MOVED, at) for at in np.flatnonzero(moved == row).tolist()]
        assert places(path, row) == expected
    assert places(path, NO_ROW) == []


def test_index__its_bytes_follow_from_the_lines_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither sizes of chunks nor the order in which older lines come in between show."""
    monkeypatch.setattr(row_index, "PART_LINES", 100)
    rows = np.random.default_rng(1).integers(0, 90, 450).astype(np.uint32)
    whole = index_of(tmp_path / "a", [rows], rows[:130]).read_bytes()
    index = RowIndex(tmp_path / "b")
    for at in range(0, 450, 33):
        index.add_moved(rows[:130][at : at + 33])
        index.add(rows[at : at + 33])
    index.close()
    assert (tmp_path / "b").read_bytes() == whole


def test_index__a_question_reads_a_bucket_and_no_more(tmp_path: Path) -> None:
    rows = np.random.default_rng(1).permutation(1 << 16).astype(np.uint32)
    _, starts, words = row_index.part_of(OWN, 0, rows)
    assert len(words) == len(rows)
    assert np.diff(starts).max() <= 2 * row_index.BUCKET_LINES
    assert len(starts) <= len(rows) // row_index.BUCKET_LINES + 2
    assert index_of(tmp_path / "i", [rows], rows[:0]).stat().st_size < 4.1 * len(rows)


def test_index__what_is_no_index_is_refused(tmp_path: Path) -> None:
    """A changed byte gives other places or a refusal, and nothing is read beyond the file."""
    rows = np.random.default_rng(2).integers(0, 50, 200).astype(np.uint32)
    path = index_of(tmp_path / "rows.index", [rows], rows[:9])
    whole, refused = path.read_bytes(), 0
    for at in range(len(whole)):
        broken = bytearray(whole)
        broken[at] ^= 0x80
        path.write_bytes(broken)
        try:
            assert all(0 <= place for _, place in places(path, int(rows[3])))
        except VerificationFailed:
            refused += 1
    assert refused > 40
    for size in range(1, row_index.part_of(OWN, 0, rows)[2].nbytes):
        path.write_bytes(whole[:size])
        with pytest.raises(VerificationFailed, match="damaged"):
            places(path, int(rows[3]))
    path.unlink()
    with pytest.raises(FileNotFoundError):
        places(path, 1)


# --- a person ------------------------------------------------------------------------------------


def told(home: Path, number: int) -> dict[str, Any]:
    with switch.open(home, mode="r") as engine:
        return dict(engine.person(person_id(number)))


@pytest.mark.parametrize("form", ["parquet", "arrow"])
def test_person__is_told_the_same_with_and_without_an_index(form: str, tmp_path: Path) -> None:
    """Lines that clear, wait and move later, are refused, and of strangers."""
    people = list(map(person, range(9)))
    village = make_home(tmp_path / "home", people, [account(n) for n in range(5)])
    with switch.open(village) as engine:
        lines = [line(n % 7, period=202601 + n % 5) for n in range(40)] + [line(99), line(1)]
        run(engine, [*lines, line(2, person_name="X Y")], "A", form=form)
        engine.register(accounts=accounts_table([account(n) for n in range(5, 9)]))
        run(engine, [line(1, period=202612), line(3), line(5)], "B", form=form)
        run(engine, [line(4, period=202512)], "C", form=form)
    before = {n: told(village, n) for n in range(1, 8)}
    assert {len(one["lines"]) for one in before.values()} >= {6, 7, 8}
    assert any(len(one["states"]) > 1 for told_ in before.values() for one in told_["lines"])
    without_index(village, 1, 2, 3)
    assert {n: told(village, n) for n in range(1, 8)} == before


def test_person__a_line_is_the_same_in_both_questions(village: Path) -> None:
    pay(village, [line(n % 7, period=202601 + n % 5) for n in range(40)])
    with switch.open(village) as engine:
        for one in engine.person(person_id(3))["lines"]:
            assert engine.line("B", one["line_no"]) == one


def test_person__no_register_and_no_other_line_is_read(
    village: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither the register nor a row group is decoded."""
    pay(village, [line(n) for n in range(1, 8)])
    monkeypatch.setattr(Register, "load", None)
    monkeypatch.setattr(PersonLines, "_searched", None)
    monkeypatch.setattr(segment.Groups, "read", None)
    (mine,) = told(village, 3)["lines"]
    assert mine["line_no"] == 3
    assert mine["amount"] == 1_000_003


def test_person__somebody_elses_line_is_never_told(village: Path) -> None:
    """An index that was changed together with its digest names a line of another person."""
    done = pay(village, [line(1), line(2), line(3)])
    path = done.folder / row_index.NAME
    content = path.read_bytes()
    bits = int.from_bytes(content[24:28], "little")
    words = np.frombuffer(content[-12:], "<u4") ^ 1  # Another place.
    assert bits == 2
    path.write_bytes(content[:-12] + words.tobytes())
    with switch.open(village, mode="r") as engine, pytest.raises(VerificationFailed, match="index"):
        engine.person(person_id(1))
    said = command("status", village, "--person", person_id(1))
    assert said.code == 5
    assert "scrub" in said.err


def test_person__an_index_that_is_gone_is_missed(village: Path) -> None:
    """A batch whose index a commit names is not looked through instead."""
    done = pay(village, [line(1), line(2)])
    (done.folder / row_index.NAME).unlink()
    with switch.open(village, mode="r") as engine, pytest.raises(VerificationFailed, match="gone"):
        engine.person(person_id(1))


def test_person__of_no_register(tmp_path: Path, village: Path) -> None:
    with switch.open(village, mode="r") as engine, pytest.raises(UsageError, match="no register"):
        engine.person("999999999999")


def test_person__of_a_home_that_was_made_before(tmp_path: Path) -> None:
    """A batch that has no index is looked through; later ones have one."""
    with tarfile.open(BEFORE) as archive:
        archive.extractall(tmp_path, filter="data")
    home = tmp_path / "plain"
    assert not list(home.rglob(row_index.NAME))
    with switch.open(home) as engine:
        before = engine.person(person_id(1))["lines"]
        assert before
        run(engine, [line(1, period=202701)], "NEXT", value_date="2027-01-25")
        assert engine.person(person_id(1))["lines"][:-1] == before
    assert [path.parent.name for path in home.rglob(row_index.NAME)] == ["000004"]
    assert switch.verify(home)


def test_person__nobody_is_late_before_answers_were_looked_at(village: Path) -> None:
    """A recall is a commit among the answers, and no look at deadlines."""
    pay(village, [line(1), line(2)])
    with switch.open(village) as engine:
        said = {"reason": "DUPL", "by": "Desk", "why": "it was sent twice"}
        engine.recall([("B", 1)], **said, at="2026-12-20")
        (mine,) = engine.person(person_id(2))["lines"]
        assert mine["states"][-1]["state"] == "SETTLED"
        assert engine.batches()[0]["now"]["settled"]["count"] == 2
        engine.reconcile(at="2026-12-21")
        (mine,) = engine.person(person_id(2))["lines"]
        assert mine["states"][-1]["state"] == "UNAPPLIED"


def test_person__a_batch_without_an_index_is_derived_again(village: Path) -> None:
    table = payment_table([line(1), line(2)])
    pay(village, table)
    without_index(village, 1)
    assert row_index.NAME not in replay(village, "B", table)


# --- proof ----------------------------------------------------------------------------------------


def as_if_committed(home: Path, path: Path) -> None:
    with contextlib.closing(sqlite3.connect(home / "catalog.sqlite")) as db, db:
        done = db.execute(
            "UPDATE files SET sha256 = ?, bytes = ? WHERE path = ?",
            (segment.digest_of(path), path.stat().st_size, str(path.relative_to(home))),
        )
        assert done.rowcount == 1


def test_verify__makes_every_index_again(village: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In parts, with strangers and lines that moved."""
    monkeypatch.setattr(row_index, "PART_LINES", 5)
    monkeypatch.setattr(row_indexes, "_PART_LINES", 5)
    with switch.open(village) as engine:
        run(engine, [line(n) for n in range(1, 9)] + [line(99)], "A")
        engine.register(accounts=accounts_table([account(n) for n in range(5, 9)]))
        run(engine, [line(1, period=202612)], "B")
    assert faults(village) == []
    for path in village.rglob(row_index.NAME):
        content = path.read_bytes()
        for at in range(0, len(content), 4):
            path.write_bytes(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])
            as_if_committed(village, path)
            assert "index by person: it is not what the lines of the batch say" in faults(village)
        path.write_bytes(content)
        as_if_committed(village, path)


def test_verify__once_a_batch_has_an_index_all_later_ones_do(village: Path) -> None:
    for number, name in enumerate("ABC"):
        pay(village, [line(number)], name)
    without_index(village, 1)
    assert not any("index by person" in fault for fault in faults(village))
    without_index(village, 3)
    assert "index by person: it is missing" in faults(village)


def test_run__the_index_does_not_depend_on_chunks_or_threads(village: Path) -> None:
    lines = payment_table([line(n % 7, period=202601 + n % 5) for n in range(40)])
    digests = set()
    for threads, chunk_rows in ((1, 3), (2, 7), (4, 1000)):
        copy = shutil.copytree(village, village.parent / f"{threads}")
        with switch.open(copy) as engine:
            batch = run(engine, lines, threads=threads, chunk_rows=chunk_rows)
        digests.add(tree_digest(batch.folder)[row_index.NAME])
        assert pq.read_table(batch.folder / "lines.parquet").num_rows == 40
    assert len(digests) == 1
