"""What is kept of a home with a calendar and caps is proven, repaired and derived again."""

from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from scene import (
    asked,
    line,
    new_checkpoint,
    participant,
    payment_table,
    people_table,
    person,
    tree_digest,
    write_table,
)

import switch
from switch.errors import VerificationFailed
from switch.home import signing, store
from switch.proof.repair import scrub
from switch.proof.replay import replay
from switch.registry.settings import Settings

CODES = ("A", "B", "C", "KBNN")
TABLES = {
    "X": "KBNN > A 100\nA > B 30\nC > B 60\nB > C 45",
    "Y": "B > KBNN 20\nC > A 5",
    "Z": "A > C 70\nC > A 10\nKBNN > B 7\nA > B 500",
}
TIMES = {"X": "2026-11-25T09:00:00", "Y": "2026-11-25T10:00:00", "Z": "2026-11-25T12:00:00"}


def lines(text: str, first: int) -> list[dict[str, object]]:
    """`A > B 100` a line, each for another person."""
    rows = []
    for number, (payer, _, payee, amount) in enumerate(map(str.split, text.splitlines()), first):
        given = {"creditor_agent": payee, "creditor_account": f"{number}"}
        rows.append(line(number, amount=int(amount), debtor_account=payer, **given))
    return rows


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three batches in two cycles: lines of X and Z wait and go with what their own tables bring,
    one of Z waits on; the first cycle has settled, and an account got money since. Not to be
    changed."""
    folder = tmp_path_factory.mktemp("cycles")
    caps = {"C": 30}
    kinds = {"KBNN": "treasury"}
    participants = [participant(c, kinds.get(c, "bank"), net_debit_cap=caps.get(c)) for c in CODES]
    home = folder / "home"
    with switch.init(
        home,
        participants=pa.Table.from_pylist(participants),
        debtors=pa.Table.from_pylist([{"debtor_account": c, "debtor_agent": c} for c in CODES]),
        balances=pa.table({"participant": ["A"], "balance": [20]}),
        settings=Settings(cutoffs=("11:00", "15:30")),
        key=b"0123456789abcdef",
        signing_key=signing.new_key(),
    ) as engine:
        engine.register(population=people_table(person(n) for n in range(1, 60)))
        for number, (name, text) in enumerate(TABLES.items()):
            table = payment_table(lines(text, 1 + 10 * number))
            path = write_table(table, folder / f"{name}.parquet", batch_id=name)
            if name == "Z":
                engine.settle("20261125-1")
                balances = pa.table({"participant": ["A"], "balance": [65]})
                engine.change_directory(balances=balances)
            engine.run(path, at=TIMES[name])
        engine.settle("20261125-2", close_only=True)
    return home


@pytest.fixture
def home(kept: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(kept, tmp_path / "home"))


def test_home__lived_through_what_its_tests_are_about(home: Path) -> None:
    assert switch.verify(home)
    released = [pq.read_table(p).to_pylist() for p in home.glob("batches/*/released.parquet")]
    assert sorted(row["batch"] for rows in released for row in rows) == [1, 3]
    assert (home / "batches" / "000003" / "held.parquet").exists()
    with store.Home(home, writing=False) as opened:
        states = {row["cycle"]: row["state"] for row in asked(opened, "SELECT * FROM cycles")}
        kinds = {row["kind"] for row in asked(opened, "SELECT kind FROM audit")}
    assert states == {"20261125-1": "SETTLED", "20261125-2": "CLOSED"}
    assert kinds == {"init", "register", "batch", "cycle", "settlement", "liquidity"}


@pytest.mark.parametrize("name", TABLES)
def test_replay__a_batch_of_a_calendar_derives_again(name: str, home: Path, kept: Path) -> None:
    before = tree_digest(home)
    digests = replay(home, name, kept.parent / f"{name}.parquet")
    assert {"status", "lines", "positions", "postings"} <= set(digests)
    assert ("released" in digests) == (name != "Y")
    assert tree_digest(home) == before


def test_verify__any_changed_file_is_found_and_scrubbed(home: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(home, tmp_path / "copy")
    files = [p for kind in ("batches", "registers") for p in (home / kind).rglob("*.*")]
    files = [path for path in files if path.stat().st_size]
    names = {path.relative_to(home).as_posix() for path in files}
    assert "batches/000001/released.parquet" in names
    for path in files:
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
    with pytest.raises(VerificationFailed):
        switch.verify(home)
    assert {f.path for f in scrub(home, copy) if f.repaired} == names
    assert switch.verify(home)


CHANGES = {
    "a cycle that did not settle": "UPDATE cycles SET state = 'SETTLED' WHERE state = 'CLOSED'",
    "a cycle that opens again": "UPDATE cycles SET state = 'OPEN' WHERE state = 'CLOSED'",
    "another cut-off": "UPDATE cycles SET closes = '2026-11-25T16:30:00+07:00'"
    " WHERE state = 'CLOSED'",
    "a cycle that nobody opened": "INSERT INTO cycles"
    " VALUES ('20261126-1', '', 'OPEN', '', '', '')",
    "another time of finality": "UPDATE cycles SET at = '2026-11-26' WHERE state = 'SETTLED'",
    "another answer": "UPDATE cycles SET answer = replace(answer, '75', '76')",
    "another request": "UPDATE cycles SET request = replace(request, '75', '76')",
    "a cycle gone": "DELETE FROM cycles WHERE state = 'CLOSED'",
    "a posting of a settlement": "UPDATE postings SET amount = amount + 1"
    " WHERE batch = 0 AND step = 'P4'",
    "money from nowhere": "UPDATE postings SET amount = amount + 1 WHERE step = 'P14'",
    "a position of a cycle": "UPDATE positions SET credit_sum = credit_sum + 1, net = net + 1"
    " WHERE participant = 'A'",
    "a batch that is not through": "UPDATE batches SET state = 'SETTLED' WHERE seq = 3",
}


@pytest.mark.parametrize("case", CHANGES)
def test_verify__a_changed_cycle_is_found(case: str, home: Path) -> None:
    """Also where the checkpoint was made anew for it."""
    db = sqlite3.connect(home / "catalog.sqlite", isolation_level=None)
    before = [tuple(map(tuple, db.execute(f"SELECT * FROM {t}"))) for t in ("cycles", "postings")]
    changed = db.execute(CHANGES[case]).rowcount
    assert changed > 0, before
    new_checkpoint(home)
    db.close()
    with pytest.raises(VerificationFailed):
        switch.verify(home)


@pytest.mark.parametrize("name", ["answer.json", "settlement.json"])
def test_verify__changed_copies_of_a_cycle_are_found(name: str, home: Path) -> None:
    path = home / "out" / "cycles" / "20261125-1" / name
    path.write_bytes(path.read_bytes().replace(b"75", b"76"))
    with pytest.raises(VerificationFailed, match=rf"20261125-1/{name}.*settle"):
        switch.verify(home)
    with switch.open(home) as engine:
        engine.settle("20261125-1")
    assert switch.verify(home)


@pytest.mark.parametrize("name", ["answer.json", "settlement.json", "positions.parquet"])
def test_settle__the_last_copies_are_written_again_when_they_were_cut_short(
    name: str, home: Path
) -> None:
    with switch.open(home) as engine:
        (last,) = engine.settle()
        path = home / "out" / "cycles" / last["cycle"] / name
        before = path.read_bytes()
        path.write_bytes(before[:7])
        assert engine.settle() == []
    assert path.read_bytes() == before
