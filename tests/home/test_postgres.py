"""A home whose catalog a PostgreSQL server keeps: the same answers, links and files, one writer,
and nothing that somebody changed there is passed over."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from postgres import Postgres, Way, cut_before
from scene import (
    BANK,
    DEBTORS,
    PARTICIPANTS,
    Said,
    command,
    payment_table,
    reasons,
    run,
    tree_digest,
    write_table,
)
from served_homes import files, life, links, rows, schema_of, small

import switch
from switch.errors import (
    HomeLocked,
    HomeMoved,
    SwitchError,
    UsageError,
)
from switch.files import disk
from switch.home import dialect, served, store
from switch.home.changes import (
    AddFile,
    AddPosition,
    AddPosting,
    Change,
    CloseBatch,
    CloseCycle,
    EndCycle,
    ForgetHistory,
    ForgetRegisterFiles,
    OpenCycle,
    PutCycle,
    SetBalance,
    SetBatches,
    SetPaid,
    SetRequest,
)
from switch.home.checkpoint import read_checkpoint
from switch.home.store import Home
from switch.rehearsal import rehearse

# --- the same home --------------------------------------------------------------------------------


def test_home__on_a_server_is_the_one_of_files(postgres: Postgres, tmp_path: Path) -> None:
    plain, kept = tmp_path / "plain", tmp_path / "kept"
    life(plain)
    life(kept, postgres.address)
    assert links(kept) == links(plain)
    assert files(kept) == files(plain)
    with contextlib.closing(sqlite3.connect(plain / "catalog.sqlite")) as db:
        assert read_checkpoint(kept).catalog == dialect.digest(db), "and row by row"
    assert [c.name for c in switch.verify(kept)] == [c.name for c in switch.verify(plain)]
    assert not (kept / "catalog.sqlite").exists()


def test_rows__are_there_for_others_by_sql(postgres: Postgres, tmp_path: Path) -> None:
    home = small(tmp_path / "h", postgres.address)
    with switch.open(home) as engine:
        run(engine, rows())
        balances = engine.home.catalog.balances()
    schema = schema_of(home)
    assert dict(postgres.ask("SELECT account, balance FROM balances", schema)) == balances
    kinds = "SELECT pg_typeof(amount)::text, pg_typeof(step)::text FROM postings LIMIT 1"
    assert postgres.ask(kinds, schema) == [("bigint", "text")]


def test_changes__of_every_kind_are_the_same_on_the_server(
    postgres: Postgres, tmp_path: Path
) -> None:
    """Those that only replay makes, too, and each that comes again: what the mirror has is what is
    read from the server at the next open."""
    home = small(tmp_path / "h", postgres.address)
    twice: list[Change] = [
        AddPosition("a", BANK, BANK, 1, 2, 3, 4, -2),
        AddPosition("a", BANK, BANK, 10, 20, 30, 40, -20),
        *(SetBalance("T", amount) for amount in (-(2**63), 2**63 - 1)),
        *(SetPaid("history", "PENS", 202611, path) for path in ("x", "y")),
        *(OpenCycle("a", closes) for closes in ("11:00", "15:30")),
        CloseCycle("a", "", "1", "{}"),
        CloseCycle("d", "16:00", "2", "[]"),
        SetRequest("[1]", "d"),
        EndCycle("SETTLED", "3", "{}", "d"),
        *(AddPosting(1, "a", "P1", "x", "y", amount) for amount in (5, 6)),
        AddFile("registers/9/é", "0", 1),
        SetBatches("X", "no"),
        CloseBatch(9),
    ]
    with Home(home, writing=True) as opened:
        for name, state in (("a", "OPEN"), ("b", "OPEN"), ("a", "SETTLED"), ("c", "OPEN")):
            put = PutCycle(name, "11:00", state, "")
            opened.commit(at="", kind="directory", detail={}, changes=[put])
        opened.commit(at="", kind="directory", detail={}, changes=twice)
        forgotten = [ForgetHistory(), ForgetRegisterFiles()]
        opened.commit(at="", kind="directory", detail={}, changes=forgotten)
        digest = opened.catalog.digest()
        cycles, positions = opened.catalog.cycles(), opened.catalog.positions("a")
    with Home(home, writing=False) as opened:
        assert opened.catalog.digest() == digest
        assert opened.catalog.cycles() == cycles
        assert [cycle.cycle for cycle in cycles] == ["b", "a", "c", "d"]
        assert opened.catalog.positions("a") == positions
        assert [row[3:] for row in positions] == [(11, 22, 33, 44, -22)]


def test_commands__that_read_work_on_it(postgres: Postgres, tmp_path: Path) -> None:
    home = tmp_path / "h"
    life(home, postgres.address)
    for words in (
        ["status"],
        ["status", "--line", "B:1"],
        ["breaks"],
        ["cycles"],
        ["balances"],
        ["held"],
        ["audit"],
        ["verify"],
        ["doctor"],
        ["metrics"],
        ["report", "--csv"],
    ):
        asked = command(words[0], home, *words[1:])
        assert asked.code == 0, (words, asked.err)
    told = command("doctor", home, "--json").document["findings"]
    (found,) = [finding for finding in told if finding["subject"] == "catalog"]
    assert (found["state"], schema_of(home) in found["text"]) == ("ok", True)


def test_rehearsal__works_on_a_copy_of_files(postgres: Postgres, tmp_path: Path) -> None:
    home = small(tmp_path / "h", postgres.address)
    table = write_table(payment_table(rows()), tmp_path / "t.parquet")
    before = postgres.ask("SELECT count(*) FROM audit", schema_of(home))
    (told,) = rehearse(home, [table])["tables"]
    assert "error" not in told
    assert postgres.ask("SELECT count(*) FROM audit", schema_of(home)) == before


def test_scrub__repairs_files_from_a_copy(postgres: Postgres, tmp_path: Path) -> None:
    home = small(tmp_path / "h", postgres.address)
    with switch.open(home) as engine:
        run(engine, rows())
    copy = shutil.copytree(home, tmp_path / "copy")
    (home / "batches/000001/lines.parquet").unlink()
    assert command("verify", home).code == 5
    repaired = command("scrub", home, "--copy", copy)
    assert (repaired.code, "batches/000001/lines.parquet" in repaired.out) == (0, True)
    assert switch.verify(home)


# --- how it is made -------------------------------------------------------------------------------


def init(home: Path, address: str) -> Said:
    """`switch init` of a small directory."""
    words: list[object] = []
    for name, table in (("participants", PARTICIPANTS), ("debtors", DEBTORS)):
        file = home.parent / f"{name}.parquet"
        pq.write_table(pa.Table.from_pylist(list(table)), file)
        words += [f"--{name}", file]
    return command("init", home, *words, "--catalog", address)


@pytest.mark.parametrize(
    ("address", "remedy"),
    [
        ("postgresql://me:secret@{host}/postgres", "PGPASSWORD"),
        ("postgresql://{host}/postgres?password=secret", "PGPASSWORD"),
        ("mysql://{host}/x", "postgresql://HOST/DATABASE"),
        ("{host}", "postgresql://HOST/DATABASE"),
        ("postgresql://{host}/postgres?no=such", "cannot be read"),
    ],
)
def test_init__refuses_an_address(
    address: str, remedy: str, postgres: Postgres, tmp_path: Path
) -> None:
    asked = init(tmp_path / "h", address.format(host="localhost"))
    assert asked.code == 2
    assert remedy in asked.err
    assert "secret" not in asked.err
    assert not (tmp_path / "h").exists()


def test_init__without_psycopg_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    asked = init(tmp_path / "h", "postgresql://localhost/x")
    assert asked.code == 6
    assert "pip install 'payment-switch[postgres]'" in asked.err
    assert not (tmp_path / "h").exists()


def test_init__without_a_server_makes_nothing(postgres: Postgres, tmp_path: Path) -> None:
    asked = init(tmp_path / "h", postgres.through(tmp_path / "nowhere"))
    assert asked.code == 6
    assert "look whether the server runs" in asked.err
    assert not (tmp_path / "h").exists()


def test_init__by_the_command_line_makes_a_home(postgres: Postgres, tmp_path: Path) -> None:
    home = tmp_path / "h"
    assert init(home, postgres.address).code == 0
    assert command("verify", home).code == 0
    again = init(home, postgres.address)
    assert (again.code, "not empty" in again.err) == (2, True)


def test_init__that_died_can_be_done_again(way: Way, tmp_path: Path) -> None:
    """At each message: no home, or the whole of it; a second `init` makes it."""
    number, codes = 0, []
    while True:
        home = tmp_path / str(number)
        home.mkdir()
        way.do_at(number, cut_before)
        asked = init(home / "h", way.address)
        codes.append(asked.code)
        way.do_at(-1, cut_before)
        if asked.code == 0:
            break
        assert asked.code == 6, asked.err
        if not (home / "h/catalog.postgresql").exists():
            assert init(home / "h", way.address).code == 0
        assert command("verify", home / "h").code == 0
        number += 1
    assert number > 10


@pytest.mark.parametrize("setting", ["fsync", "full_page_writes"])
def test_server__that_may_lose_commits_is_refused(
    setting: str, postgres: Postgres, tmp_path: Path
) -> None:
    home = small(tmp_path / "h", postgres.address)
    postgres.set(setting, "off")
    try:
        refused = command("compact", home)
        assert refused.code == 6
        assert f"{setting} is off" in refused.err
        assert init(tmp_path / "new", postgres.address).code == 6
        assert not (tmp_path / "new").exists()
        told = command("doctor", home)
        assert (told.code, f"{setting} is off" in told.out) == (6, True)
        assert command("status", home).code == 0, "who reads is told as ever"
    finally:
        postgres.set(setting, "on")
    assert command("compact", home).code == 0


def test_session__waits_for_the_disk_whatever_the_user_is_set_to(
    postgres: Postgres, tmp_path: Path
) -> None:
    home = small(tmp_path / "h", postgres.address)
    postgres.ask("ALTER ROLE switch SET synchronous_commit = off")
    try:
        with Home(home, writing=True) as opened:
            assert opened.server is not None
            assert opened.server._run("SHOW synchronous_commit") == [("on",)]
    finally:
        postgres.ask("ALTER ROLE switch RESET ALL")


def test_files_alone__import_nothing_of_it(tmp_path: Path) -> None:
    home = small(tmp_path / "h")
    code = (
        "import sys, switch\n"
        f"engine = switch.open({str(home)!r})\n"
        "engine.change_directory(settings=engine.settings)\n"
        "print(sorted(n for n in sys.modules if 'psycopg' in n or n.startswith('switch.home.d')))\n"
        "print('switch.home.served' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["['switch.home.days']", "False"]


# --- one writer -----------------------------------------------------------------------------------


@pytest.fixture
def unlocked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Locks of files that exclude nobody, as between two machines."""
    monkeypatch.setattr(fcntl, "flock", lambda *_: None)


@pytest.mark.usefixtures("unlocked")
def test_writer__on_another_machine_waits_or_is_refused(
    postgres: Postgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(served, "GONE_SECONDS", 0)
    home = small(tmp_path / "h", postgres.address)
    with switch.open(home) as engine:
        refused = command("compact", home)
        assert (refused.code, "another machine" in refused.err) == (4, True)
        with pytest.raises(HomeLocked, match=r"for 0\.1 s"):
            switch.open(home, wait=0.1)
        assert command("status", home).code == 0, "who reads waits for nobody"
        run(engine, rows())
    switch.open(home).close()


@pytest.mark.usefixtures("unlocked")
def test_commit__on_old_history_is_refused_by_the_server(
    postgres: Postgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where even the lock of the schema excludes nobody, heads on the server do."""
    monkeypatch.setattr(served.Server, "_be_alone", lambda *_: None)
    home = small(tmp_path / "h", postgres.address)
    first, second = switch.open(home), switch.open(home)
    run(second, rows())
    second.close()
    before = tree_digest(home), postgres.ask("SELECT * FROM postings", schema_of(home))
    with pytest.raises(HomeMoved):
        run(first, rows(), "OTHER")
    first.close()
    assert (tree_digest(home), postgres.ask("SELECT * FROM postings", schema_of(home))) == before
    with switch.open(home) as engine:
        assert reasons(run(engine, rows(), "OTHER"))[:11] == ["AM05"] * 11
    assert switch.verify(home)


@pytest.mark.usefixtures("unlocked")
def test_commits__of_two_writers_at_once_never_interleave(
    postgres: Postgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One is in the middle of its transaction when the other begins its own: that one waits, and
    then finds the history moved."""
    monkeypatch.setattr(served.Server, "_be_alone", lambda *_: None)
    home = small(tmp_path / "h", postgres.address)
    first, second = switch.open(home), switch.open(home)
    server, commit = first.home.server, served.Server._commit
    raced: list[BaseException | None] = []

    def other() -> None:
        try:
            second.home.note("repair", {"repaired": {}})
            raced.append(None)
        except SwitchError as error:
            raced.append(error)

    racing = threading.Thread(target=other)

    def late(one: served.Server) -> None:
        if one is server:
            racing.start()
            racing.join(0.3)
            assert racing.is_alive(), "it waits"
        commit(one)

    monkeypatch.setattr(served.Server, "_commit", late)
    run(first, rows())
    racing.join()
    assert [type(error) for error in raced] == [HomeMoved]
    first.close()
    second.close()
    assert switch.verify(home)


def test_reader__sees_each_commit_and_a_server_that_was_started_again(
    postgres: Postgres, tmp_path: Path
) -> None:
    home = small(tmp_path / "h", postgres.address)
    with switch.open(home, mode="r") as reader:
        assert [b["batch_id"] for b in reader.status().batches] == []
        with switch.open(home) as engine:
            run(engine, rows())
        assert [b["batch_id"] for b in reader.status().batches] == ["B"]
        postgres.crash_and_start()
        with switch.open(home) as engine:
            run(engine, rows(202612), "C")
        assert [b["batch_id"] for b in reader.status().batches] == ["B", "C"]
        with pytest.raises(UsageError):
            reader.settle()


def test_forked__process_leaves_the_session_to_its_parent(
    postgres: Postgres, tmp_path: Path
) -> None:
    home = small(tmp_path / "h", postgres.address)
    with switch.open(home) as engine:
        child = os.fork()
        if not child:
            with contextlib.suppress(BaseException):
                engine.close()
            os._exit(0)
        os.waitpid(child, 0)
        run(engine, rows())
    assert switch.verify(home)


# --- what somebody changed there ------------------------------------------------------------------


CHANGED = {
    "a balance": "UPDATE balances SET balance = balance + 1 WHERE account LIKE 'T.%'",
    "a state": "UPDATE batches SET state = 'CLOSED'",
    "a row more": "INSERT INTO files VALUES ('batches/x', 'y', 1)",
    "a row less": "DELETE FROM paid",
    "a setting": "UPDATE meta SET value = value || ' ' WHERE name = 'settings'",
    "the order of cycles": "UPDATE cycles SET opened = opened + 100",
}
MADE = {
    "a trigger": "CREATE TRIGGER watch BEFORE UPDATE ON balances FOR EACH ROW"
    " EXECUTE FUNCTION suppress_redundant_updates_trigger()",
    "a rule": "CREATE RULE keep AS ON DELETE TO paid DO INSTEAD NOTHING",
    "a column": "ALTER TABLE batches ADD COLUMN note text",
    "a value of its own": "ALTER TABLE batches ALTER COLUMN state SET DEFAULT 'CLOSED'",
    "a constraint": "ALTER TABLE postings ADD CHECK (amount < 1000000000000)",
    "an index": "CREATE INDEX quick ON postings (cycle)",
    "another type": "ALTER TABLE postings ALTER COLUMN amount TYPE numeric",
    "no key": "ALTER TABLE batches DROP CONSTRAINT batches_source_batch_id_key",
    "a column less": "ALTER TABLE batches DROP COLUMN summary",
    "a table more": "CREATE TABLE extra (a bigint)",
    "a table less": "DROP TABLE paid",
    "an unlogged table": "ALTER TABLE positions SET UNLOGGED",
    "rows for some": "ALTER TABLE audit ENABLE ROW LEVEL SECURITY",
    "a policy": "CREATE POLICY few ON audit USING (seq < 3)",
    "an heir": "CREATE TABLE heir () INHERITS (paid)",
}


@pytest.fixture(scope="module")
def kept(postgres: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with a life; what is changed on its server is changed back."""
    home = tmp_path_factory.mktemp("kept") / "h"
    life(home, postgres.address)
    return home


@pytest.mark.parametrize("what", [*CHANGED, *MADE])
def test_catalog__changed_on_the_server_is_found(
    what: str, kept: Path, postgres: Postgres, tmp_path: Path
) -> None:
    copied = postgres.copied(schema_of(kept))
    home = shutil.copytree(kept, tmp_path / "h")
    named = json.loads((home / "catalog.postgresql").read_text()) | {"schema": copied}
    (home / "catalog.postgresql").write_text(json.dumps(named, separators=(",", ":")) + "\n")
    assert command("verify", home).code == 0
    postgres.ask(CHANGED.get(what) or MADE[what], copied)
    for name in ("status", "compact"):
        asked = command(name, home)
        assert (asked.code, "was changed" in asked.err) == (5, True), asked.err
    found = command("verify", home)
    assert (found.code, "was changed" in found.err) == (5, True), found.err
    assert copied in found.err


def test_catalog__of_before_is_refused(kept: Path, postgres: Postgres, tmp_path: Path) -> None:
    """A dump of the schema that is older than the files beside it."""
    home = small(tmp_path / "h", postgres.address)
    older = postgres.copied(schema_of(home))
    with switch.open(home) as engine:
        run(engine, rows())
    file = home / "catalog.postgresql"
    file.write_text(file.read_text().replace(schema_of(home), older))
    asked = command("status", home)
    assert (asked.code, "an older or another one" in asked.err) == (5, True)


def test_catalog__that_is_gone_from_the_server_is_said(postgres: Postgres, tmp_path: Path) -> None:
    home = small(tmp_path / "h", postgres.address)
    postgres.ask(f"DROP SCHEMA {schema_of(home)} CASCADE")
    for name in ("status", "verify", "compact"):
        asked = command(name, home)
        assert (asked.code, "restore it" in asked.err) == (5, True)


def test_address__with_a_flipped_bit_is_told(postgres: Postgres, tmp_path: Path) -> None:
    """A name of a host may be another one for the same server; else it is said."""
    home = small(tmp_path / "h", postgres.address)
    file = home / "catalog.postgresql"
    content = file.read_bytes()
    for bit in range(0, 8 * len(content), 7):
        changed = bytearray(content)
        changed[bit // 8] ^= 1 << bit % 8
        file.write_bytes(changed)
        asked = command("verify", home)
        assert asked.code in (5, 6), (bit, bytes(changed))
    file.write_bytes(content)
    assert command("verify", home).code == 0


def test_home__with_two_catalogs_is_refused(postgres: Postgres, tmp_path: Path) -> None:
    home, other = small(tmp_path / "h", postgres.address), small(tmp_path / "o")
    shutil.copy(other / "catalog.sqlite", home)
    asked = command("status", home)
    assert (asked.code, "take that away" in asked.err) == (5, True)


def test_engine__of_before_leaves_it_alone(
    postgres: Postgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that knows of no server finds no catalog: neither is a home made nor one mended."""
    home, empty = small(tmp_path / "h", postgres.address), tmp_path / "empty"
    assert init(empty, postgres.address).code == 0
    before = tree_digest(home), tree_digest(empty)
    for module in (disk, store):
        monkeypatch.setattr(module, "SERVED", "not known yet")
    gone = command("compact", home)
    assert (gone.code, "catalog.sqlite is gone" in gone.err) == (5, True)
    none = command("compact", empty)
    assert (none.code, "no home" in none.err) == (2, True)
    for place in (home, empty):
        made = init(place, "")
        assert (made.code, "is gone: restore it" in made.err) == (2, True)
    assert (tree_digest(home), tree_digest(empty)) == before
