"""A committed batch derives again from its table; what is gone or other is said clearly."""

from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from answering import back, home_of, take
from scene import (
    CLOSED_BANK,
    PARTICIPANTS,
    account,
    accounts_table,
    command,
    entitlement,
    line,
    make_home,
    new_checkpoint,
    payment_table,
    person,
    run,
    tree_digest,
    write_table,
)

import switch
from switch.errors import InputRefused, UsageError, VerificationFailed
from switch.files.segment import digest_of
from switch.home.store import Home
from switch.proof.replay import logical_digest, replay
from switch.sim.world.generate import Generated

FORMS = ("parquet", "csv", "arrow")


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Path]]:
    """A home with four batches: held lines that move, history, a directory that changed, balances
    that bind, and paid bits of several keys."""
    folder = tmp_path_factory.mktemp("replay")
    balances = pa.Table.from_pylist([{"participant": "KBNN", "balance": 10**12}])
    home = make_home(
        folder / "home",
        map(person, range(1, 10)),
        [*map(account, range(1, 7)), account(7, participant=CLOSED_BANK)],
        [entitlement(6)],
        balances=balances,
    )
    opened = pa.Table.from_pylist([r | {"status": "active"} for r in PARTICIPANTS])
    tables = [
        [line(n) for n in (1, 2, 6, 7, 8)] + [line(1), line(3, amount=0), line(4, amount=700)],
        [line(n, period=202612) for n in (1, 2)] + [line(2), line(5)],
        [line(n, benefit="SICK") for n in (1, 3)] + [line(7, end_to_end_id="x")],
        [line(n) for n in range(1, 10)],
    ]
    paths = [
        write_table(payment_table(rows), folder / f"{n}.{form}", form, batch_id=f"B{n}")
        for n, (rows, form) in enumerate(zip(tables, [*FORMS, "parquet"], strict=True), start=1)
    ]
    for number, path in enumerate(paths, start=1):
        with switch.open(home) as engine:
            if number == 3:
                engine.change_directory(participants=opened)
            if number == 2:
                engine.settings = switch.Settings(clearing_limit=1_000_001)
            engine.run(path, form="arrow" if number == 4 else "parquet", chunk_rows=2)
    return home, paths


@pytest.mark.parametrize("number", [1, 2, 3, 4])
def test_replay__every_batch_derives_again(number: int, lived: tuple[Path, list[Path]]) -> None:
    home, paths = lived
    before = tree_digest(home)
    said = command("--json", "replay", home, f"B{number}", paths[number - 1])
    assert said.code == 0, said
    assert {"status", "lines", "positions", "postings", "settlement"} <= set(
        said.document["digests"]
    )
    assert tree_digest(home) == before


def test_replay__nation(home: Path, nation: Generated) -> None:
    with switch.open(home) as engine:
        batch = engine.run(nation.payday)
    assert replay(home, batch.batch_id, nation.payday)


def test_replay__a_table_in_memory_derives_its_batch(village: Path) -> None:
    from scene import pay

    table = payment_table([line(1), line(2)])
    pay(village, table, "M")
    assert replay(village, "M", table)
    with pytest.raises(InputRefused, match="not the one"):
        replay(village, "M", payment_table([line(1), line(2, person_name="Another")]))


def test_replay__of_rules_that_nobody_knows_any_more_is_refused(
    village: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = payment_table([line(1)])
    with switch.open(village) as engine:
        run(engine, table, "OLD")
    monkeypatch.setattr("switch.proof.replay.RULE_SETS", ("other rules",))
    with pytest.raises(UsageError, match=r"'OLD' was judged by .* does not know"):
        replay(village, "OLD", table)


def test_replay__goes_back_before_no_answer_that_moved_money(tmp_path: Path) -> None:
    path = home_of(tmp_path / "home")
    with switch.open(path) as engine:
        take(engine, path, back(1))
        again = payment_table([line(1)])
        run(engine, again, "AGAIN")
    with pytest.raises(UsageError, match="answers moved money before batch 'AGAIN'"):
        replay(path, "AGAIN", again)


def test_replay__another_table_is_refused(lived: tuple[Path, list[Path]]) -> None:
    home, paths = lived
    said = command("--json", "replay", home, "B1", paths[1])
    assert (said.code, said.document["error"]["rule"]) == (3, "FILE_HASH")


@pytest.mark.parametrize("name", ["status", "lines"])
def test_replay__a_forged_answer_is_found(
    name: str, lived: tuple[Path, list[Path]], tmp_path: Path
) -> None:
    """Somebody who forges rows and all digests of them still cannot make the table say so."""
    home = shutil.copytree(lived[0], tmp_path / "home")
    path = home / "batches" / "000001" / f"{name}.parquet"
    table = pq.read_table(path)
    column = "participant" if name == "status" else "amount"
    other = pa.array(["970002" if name == "status" else 5] * table.num_rows, table[column].type)
    pq.write_table(table.set_column(table.schema.get_field_index(column), column, other), path)
    with pytest.raises(VerificationFailed, match="not as it was committed"):
        replay(home, "B1", lived[1][0])
    db = sqlite3.connect(home / "catalog.sqlite", isolation_level=None)
    forged = (digest_of(path), f"batches/000001/{name}.parquet")
    db.execute("UPDATE files SET sha256 = ? WHERE path = ?", forged)
    new_checkpoint(home)
    db.close()
    with pytest.raises(VerificationFailed, match=f"derived again is not .*{name}"):
        replay(home, "B1", lived[1][0])


def test_replay__a_dropped_register_is_said_and_may_be_given(
    lived: tuple[Path, list[Path]], tmp_path: Path
) -> None:
    home = shutil.copytree(lived[0], tmp_path / "home")
    kept = shutil.copytree(home / "registers" / "000001", tmp_path / "kept")
    with switch.open(home) as engine:
        engine.register(accounts=accounts_table([account(8)]), replace=True)
    with pytest.raises(UsageError, match="version 1 of the register, which was dropped"):
        replay(home, "B4", lived[1][3])
    assert replay(home, "B4", lived[1][3], register=kept)
    assert command("replay", home, "B4", lived[1][3], "--register", kept).code == 0
    (kept / "since.bin").write_bytes(b"12345678")
    with pytest.raises(VerificationFailed, match=r"since\.bin"):
        replay(home, "B4", lived[1][3], register=kept)


def test_replay__digests_do_not_depend_on_the_writer(tmp_path: Path) -> None:
    table = payment_table([line(1, commune=""), line(2, end_to_end_id="Đ" * 3), line(3)])
    found = {logical_digest(table)}
    for number, options in enumerate(
        ({}, {"compression": "gzip"}, {"use_dictionary": False, "row_group_size": 1})
    ):
        pq.write_table(table, tmp_path / f"{number}", **options)
        found.add(logical_digest(pq.read_table(tmp_path / f"{number}")))
    found.add(logical_digest(pa.concat_tables([table.slice(0, 2), table.slice(2)])))
    assert len(found) == 1
    changed = table.set_column(5, "amount", pa.array([1, 2, 3]))
    empty = table.set_column(9, "commune", pa.array([None, None, None], pa.string()))
    assert len(found | {logical_digest(changed), logical_digest(empty)}) == 3


def test_replay__leaves_no_files_behind(
    lived: tuple[Path, list[Path]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import tempfile

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    replay(lived[0], "B3", lived[1][2])
    assert list(tmp_path.iterdir()) == []
    with Home(lived[0], writing=False) as home:
        assert home.catalog.next_batch() == 5
