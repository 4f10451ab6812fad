"""Every changed bit is named, signed checkpoints prove history, and a second copy repairs."""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import sqlite3
import stat
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pytest
from households import capped_and_funded, that_waited
from scene import (
    BANK,
    PARTICIPANTS,
    account,
    accounts_table,
    asked,
    command,
    entitlement,
    line,
    make_home,
    new_checkpoint,
    pay,
    payment_table,
    person,
    person_id,
    run,
    tree_digest,
    write_table,
)

import switch
from switch.errors import EnvironmentFailed, InputRefused, UsageError, VerificationFailed
from switch.home import signing
from switch.home.catalog import Catalog
from switch.home.chain import GENESIS, link_of
from switch.home.checkpoint import read_checkpoint, sign
from switch.home.store import Home
from switch.proof.repair import scrub
from switch.sim.lives.faults import Crash, Faults
from switch.sim.lives.operations import Fault

FLIPS = int(os.environ.get("FLIPS", "300"))
"""`make flips` takes 10,000."""
KEY = signing.new_key()
DAMAGED = "people.slots lists.bin since.bin heap.bin register.json replaced.bin paid-0000.bits"
PAIR = pa.table({"person_id": [person_id(5)], "replaced_by": [person_id(4)]})


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A signed home with every kind of file, copies in out included. Not to be changed."""
    folder = tmp_path_factory.mktemp("evidence")
    home = make_home(
        folder / "home",
        map(person, range(1, 9)),
        [account(1), account(2, account="IBAN-2"), account(3), account(4)],
        [entitlement(8)],
        signing_key=KEY,
    )
    with switch.open(home) as engine:
        run(engine, [line(n) for n in range(1, 7)], "A")
        engine.register(accounts=accounts_table([account(5)]), replaced=PAIR)
        one = {"creditor_agent": BANK, "creditor_account": "7", "household": "H1"}
        run(engine, [line(n, period=202612, **one) for n in range(1, 4)], "B")
        engine.change_directory(participants=pa.Table.from_pylist(list(PARTICIPANTS)))
    assert switch.verify(home)
    return home


@pytest.fixture
def home(kept: Path, tmp_path: Path) -> Path:
    return shutil.copytree(kept, tmp_path / "home")


def files_of(home: Path) -> list[Path]:
    """Every file of a home that holds something."""
    return sorted(p for p in home.rglob("*") if p.is_file() and p.stat().st_size)


def fault_of(home: Path) -> str:
    """What `verify` says, '' where all holds."""
    try:
        switch.verify(home)
    except VerificationFailed as failure:
        return str(failure)
    return ""


# --- flipped bits ---------------------------------------------------------------------------------


def test_verify__every_flipped_bit_is_found_and_named(home: Path) -> None:
    """Bits are drawn evenly over all bytes of a home, and each file gets some of its own."""
    that_waited(home)
    capped_and_funded(home, BANK)
    draw = random.Random(20261125)
    files = files_of(home)
    sizes = [path.stat().st_size for path in files]
    points = [(path, draw.randrange(8 * size)) for path, size in zip(files, sizes, strict=True)]
    chosen = draw.choices(files, sizes, k=max(0, FLIPS // 2))
    chosen += draw.choices(files, k=max(0, FLIPS - len(points) - len(chosen)))
    points += [(path, draw.randrange(8 * path.stat().st_size)) for path in chosen]
    missed, unnamed = [], []
    for path, bit in points:
        content = path.read_bytes()
        changed = bytearray(content)
        changed[bit // 8] ^= 1 << bit % 8
        path.write_bytes(changed)
        said, name = fault_of(home), path.relative_to(home).as_posix()
        if name not in said:
            (unnamed if said else missed).append((name, bit, said))
        path.write_bytes(content)
    print(f"{len(points)} flips in {len(files)} files: {len(missed)} missed")
    assert (missed, unnamed) == ([], [])
    assert switch.verify(home)


def test_open__damage_is_not_taken_over_into_a_new_register(home: Path) -> None:
    """A version written from a damaged one would have sound digests."""
    for name in ("people.slots", "accounts.bin", "masks.bin", "heap.bin", "replaced.bin"):
        path = home / "registers" / "000002" / name
        content = path.read_bytes()
        path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
        with switch.open(home) as engine, pytest.raises(VerificationFailed, match=name):
            engine.register(accounts=accounts_table([account(6)]))
        path.write_bytes(content)


@pytest.mark.parametrize("name", DAMAGED.split())
def test_run__a_damaged_register_screens_nothing(name: str, home: Path) -> None:
    damage(home / "registers" / "000002" / name)
    with switch.open(home) as engine, pytest.raises(VerificationFailed, match=name):
        run(engine, [line(1)], "C")


def test_run__damaged_paid_bits_pay_nothing_twice(home: Path) -> None:
    with switch.open(home) as engine:
        query = "SELECT path FROM paid WHERE origin = 'cleared' AND period = 202611"
        (row,) = asked(engine.home, query)
        damage(home / row["path"])
        with pytest.raises(VerificationFailed, match=r"\.bits is not as it was committed"):
            run(engine, [line(1)], "C")


def test_run__damaged_held_lines_are_not_decoded(home: Path) -> None:
    path = home / "batches" / "000002" / "held.parquet"
    path.write_bytes(path.read_bytes()[:-9] + b"\xff" + path.read_bytes()[-8:])
    with switch.open(home) as engine, pytest.raises(VerificationFailed, match="held"):
        run(engine, [line(1, benefit="SICK")], "C")


# --- what the chains cover ------------------------------------------------------------------------


def records(home: Path, chain: str = "audit") -> list[tuple[str, Any]]:
    with Home(home, writing=False) as opened:
        rows = asked(opened, f"SELECT kind, detail FROM {chain} ORDER BY seq")
        return [(row["kind"], msgspec.json.decode(row["detail"])) for row in rows]


def test_chain__tells_every_action_with_what_it_changed(home: Path) -> None:
    (home / "batches" / ".draft-1").mkdir()
    (home / "batches" / ".draft-1" / "half").write_bytes(b"12345")
    with switch.open(home) as engine:
        engine.change_directory(settings=switch.Settings(clearing_limit=77))
    found = records(home)
    assert [kind for kind, _ in found] == [
        "init", "register", "batch", "register", "batch", "directory", "directory",
    ]  # fmt: skip
    assert json.loads(found[-1][1]["settings"])["clearing_limit"] == 77
    assert json.loads(found[0][1]["directory"])["participants"]
    assert set(found[1][1]) == {"version", "population", "accounts", "paid", "manifest", "files"}
    assert {"nets", "summary", "digest", "files"} <= set(found[2][1])
    events = records(home, "events")
    assert [kind for kind, _ in events] == ["keys", "quarantine"]
    assert events[1][1]["moved"] == {"batches-.draft-1": {".draft-1/half": 5}}


CHANGES = {
    "event": "UPDATE events SET detail = replace(detail, 'a', 'b')",
    "event gone": "DELETE FROM events",
    "register manifest": "UPDATE registers SET manifest = replace(manifest, 'people', 'peoplf')",
    "history of another month": "UPDATE paid SET period = 202701 WHERE origin = 'history'",
    "summary": "UPDATE batches SET summary = replace(summary, 'names', 'namez')",
    "directory": "UPDATE meta SET value = replace(value, 'active', 'suspended')"
    " WHERE name = 'directory'",
    "position": "UPDATE positions SET credit_sum = credit_sum + 1",
    "balance": "UPDATE balances SET balance = balance - 1",
    "who settles": "UPDATE positions SET settled_by = '970002' WHERE participant = '970001'",
    "committed files that nothing names": "DELETE FROM files WHERE path LIKE 'batches/000002/%'",
    "a trigger": "CREATE TRIGGER t AFTER INSERT ON paid BEGIN DELETE FROM paid; END",
    "a view": "CREATE VIEW v AS SELECT 1",
    "a table gone": "DROP TABLE positions",
    "opening balances gone": "DELETE FROM meta WHERE name = 'opening'",
    "one more setting": "INSERT INTO meta VALUES ('x', 'y')",
    "a record that is none": "UPDATE audit SET detail = '{' WHERE seq = 3",
    "a record that says nothing": "UPDATE audit SET detail = '{}' WHERE seq = 3",
    "an event that is none": "UPDATE events SET detail = '{'",
    "a manifest that is none": "UPDATE batches SET manifest = '{' WHERE seq = 1",
    "a manifest that says nothing": "UPDATE batches SET manifest = '{}' WHERE seq = 1",
    "a register without a manifest": "UPDATE registers SET manifest = '{'",
    "slack": "PRAGMA user_version = 7",
}


@pytest.mark.parametrize("mended", [False, True], ids=["as found", "with a new checkpoint"])
@pytest.mark.parametrize("case", CHANGES)
def test_verify__a_changed_catalog_is_found(case: str, mended: bool, home: Path) -> None:
    """Also by somebody who knows that the checkpoint holds the catalog's digest."""
    db = sqlite3.connect(home / "catalog.sqlite")
    with db:
        db.execute(CHANGES[case])
    db.close()
    if mended:
        new_checkpoint(home)
    if (case, mended) != ("slack", True):
        assert fault_of(home)


@pytest.mark.parametrize("case", ["balance", "committed files that nothing names", "a trigger"])
def test_commands__do_nothing_with_a_changed_catalog(case: str, home: Path, tmp_path: Path) -> None:
    lines = [line(n) for n in range(1, 7)]
    table = write_table(payment_table(lines), tmp_path / "a", batch_id="A")
    db = sqlite3.connect(home / "catalog.sqlite")
    with db:
        db.execute(CHANGES[case])
    db.close()
    before = tree_digest(home)
    for args in (
        ("run", home, table),
        ("rehearse", home, table),
        ("replay", home, "A", table),
        ("status", home),
        ("report", home),
        ("shared", home),
        ("directory", home),
        ("settle", home),
        ("close", home, "--at", "2026-11-30"),
    ):
        said = command(*args)
        assert said.code == 5, (args, said)
        assert "catalog.sqlite was changed" in said.err
    assert tree_digest(home) == before


@pytest.mark.parametrize("name", ["status.parquet", "clearing/970001.parquet", "settlement.json"])
def test_run__damaged_answers_are_not_handed_out_again(name: str, home: Path) -> None:
    shutil.rmtree(home / "out")
    damage(home / "batches" / "000001" / name)
    with switch.open(home) as engine, pytest.raises(VerificationFailed, match=name):
        run(engine, [line(n) for n in range(1, 7)], "A")
    assert not (home / "out").exists()
    (home / "batches" / "000001" / name).unlink()
    if name != "settlement.json":  # A batch of a calendar has none.
        with switch.open(home) as engine, pytest.raises(VerificationFailed, match=name):
            run(engine, [line(n) for n in range(1, 7)], "A")


def test_verify__changed_copies_that_are_handed_out_are_found(home: Path) -> None:
    path = home / "out" / "A" / "clearing" / "970001.parquet"
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    assert "out/A/clearing/970001.parquet" in fault_of(home)
    path.unlink()
    assert not fault_of(home), "copies may be deleted"


# --- signed checkpoints ---------------------------------------------------------------------------


def forged(home: Path, seq: int) -> None:
    """History rewritten from a record on, with all links made anew, as the owner could."""
    db = sqlite3.connect(home / "catalog.sqlite", isolation_level=None)
    db.row_factory = sqlite3.Row
    rows = db.execute("SELECT * FROM audit ORDER BY seq").fetchall()
    previous = GENESIS
    for row in rows:
        at = "2020-01-01" if row["seq"] == seq else row["at"]
        link = link_of(previous, row["seq"], at, row["kind"], row["detail"])
        db.execute(
            "UPDATE audit SET at = ?, previous = ?, link = ? WHERE seq = ?",
            (at, previous, link, row["seq"]),
        )
        previous = link
    new_checkpoint(home)
    (home / "checkpoints.signed").unlink()
    with contextlib.closing(Catalog(home / "catalog.sqlite")) as catalog:
        sign(home, catalog)
    db.close()


def test_checkpoints__prove_that_history_goes_on(home: Path, tmp_path: Path) -> None:
    signed = home / "checkpoints.signed"
    old = tmp_path / "old"
    old.write_bytes(b"".join(signed.read_bytes().splitlines(keepends=True)[:3]))
    public = home / "signing.pub"
    for file in (old, signed):
        said = command("verify", home, "--checkpoint", file, "--public-key", public)
        assert said.code == 0, said
    pay(home, [line(1, benefit="SICK")], "C")
    assert command("verify", home, "--checkpoint", old, "--public-key", public).code == 0


@pytest.mark.parametrize("seq", range(1, 7))
def test_checkpoints__a_fork_is_found_at_its_record(seq: int, home: Path, tmp_path: Path) -> None:
    kept = shutil.copy(home / "checkpoints.signed", tmp_path / "kept")
    forged(home, seq)
    said = command("verify", home, "--checkpoint", kept, "--public-key", home / "signing.pub")
    assert said.code == 5
    assert f"record {seq} is not what was signed: the history was forked" in said.err


def test_checkpoints__between_two_that_were_kept_the_fork_is_bounded(
    home: Path, tmp_path: Path
) -> None:
    lines = (home / "checkpoints.signed").read_bytes().splitlines(keepends=True)
    (tmp_path / "kept").write_bytes(lines[1] + lines[5])
    forged(home, 4)
    with pytest.raises(VerificationFailed, match="one of records 3 to 6"):
        switch.verify(home, checkpoint=tmp_path / "kept", public_key=signing.public_of(KEY))


def test_checkpoints__a_rollback_of_everything_is_found(home: Path, tmp_path: Path) -> None:
    """The whole home put back, checkpoint too: only what others kept can tell."""
    old = shutil.copytree(home, tmp_path / "old")
    pay(home, [line(1, benefit="SICK")], "C")
    kept = home / "checkpoints.signed"
    assert switch.verify(old)
    with pytest.raises(VerificationFailed, match="ends at record 6, and record 7 was signed"):
        switch.verify(old, checkpoint=kept, public_key=signing.public_of(KEY))


@pytest.mark.parametrize("signed", [True, False], ids=["signed", "not signed"])
def test_open__an_older_catalog_with_its_checkpoint_is_refused(
    signed: bool, home: Path, tmp_path: Path
) -> None:
    """What was committed since would be paid once more. Signatures alone tell it from a crash."""
    old = shutil.copytree(home, tmp_path / "old")
    pay(home, [line(1, benefit="SICK")], "C")
    if not signed:
        pay(home, [line(2, benefit="SICK")], "D")
    for name in ("catalog.sqlite", "checkpoint", *(() if signed else ("checkpoints.signed",))):
        shutil.copyfile(old / name, home / name)
    before = tree_digest(home)
    with pytest.raises(VerificationFailed, match="another history" if signed else "is older than"):
        pay(home, [line(1, benefit="SICK")], "C")
    assert tree_digest(home) == before


def test_checkpoints__another_key_or_signature_is_refused(home: Path, tmp_path: Path) -> None:
    other = signing.public_of(signing.new_key())
    signed = home / "checkpoints.signed"
    with pytest.raises(VerificationFailed, match="record 1 was not signed with this key"):
        switch.verify(home, checkpoint=signed, public_key=other)
    changed = tmp_path / "changed"
    changed.write_bytes(signed.read_bytes().replace(b'"seq":2', b'"seq":5'))
    with pytest.raises(VerificationFailed, match="record 5 was not signed"):
        switch.verify(home, checkpoint=changed, public_key=signing.public_of(KEY))
    changed.write_bytes(b'{"seq":1}\n')
    with pytest.raises(InputRefused, match="CHECKPOINT_INVALID"):
        switch.verify(home, checkpoint=changed, public_key=signing.public_of(KEY))
    changed.write_bytes(b"")
    with pytest.raises(UsageError):
        switch.verify(home, checkpoint=changed, public_key=signing.public_of(KEY))
    assert command("verify", home, "--checkpoint", signed).code == 2
    (tmp_path / "pem").write_bytes(b"-----BEGIN")
    said = command("verify", home, "--checkpoint", signed, "--public-key", tmp_path / "pem")
    assert said.code == 2


def test_checkpoints__are_those_of_the_standard(home: Path) -> None:
    """Checked with the library alone, as a counterparty would."""
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    key: Any = load_pem_public_key((home / "signing.pub").read_bytes())
    lines = (home / "checkpoints.signed").read_text().splitlines()
    assert len(lines) == 6
    for row in map(json.loads, lines):
        statement = f'["switch checkpoint 1",{row["seq"]},"{row["link"]}"]'.encode()
        key.verify(bytes.fromhex(row["signature"]), statement)


@pytest.mark.parametrize("cut", [0, 1, 100])
def test_checkpoints__what_a_crash_cut_off_is_signed_again(cut: int, home: Path) -> None:
    path = home / "checkpoints.signed"
    whole = path.read_bytes()
    lines = whole.splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:-1]) + lines[-1][:cut])
    assert switch.verify(home), "a crash may leave this"
    switch.open(home).close()
    assert path.read_bytes() == whole
    path.write_bytes(b"".join(lines[:-2]))
    assert "checkpoints.signed" in fault_of(home), "but not that"


@pytest.mark.parametrize("kind", ["crash", "power", "full"])
def test_checkpoints__a_fault_anywhere_in_a_commit_is_got_over(kind: str, home: Path) -> None:
    """Struck at every touch of the disk; the next writer signs what is missing."""
    struck = set()
    for point in range(80):
        copy = shutil.copytree(home, home.with_name(f"{point}"))
        fault = Fault(kind=kind, point=point, salt=point)
        with (
            switch.open(copy) as engine,
            Faults(copy, fault) as faults,
            contextlib.suppress(Crash, EnvironmentFailed),
        ):
            run(engine, [line(1, benefit="SICK")], "C", threads=1)
        if not faults.fired:
            break
        struck.add(faults.fired)
        if kind != "full":
            faults.survive()
        with switch.open(copy) as engine:
            assert run(engine, [line(1, benefit="SICK")], "C", threads=1).seq == 3
        assert switch.verify(copy)
        lines = (copy / "checkpoints.signed").read_bytes().splitlines()
        assert [json.loads(said)["seq"] for said in lines] == list(range(1, 8))
        shutil.rmtree(copy)
    assert {"sync", "statement"} <= struck
    assert point > 20


def test_init__takes_a_key_or_makes_one_that_nobody_else_reads(tmp_path: Path) -> None:
    files = []
    for name, rows in (
        ("participants", list(PARTICIPANTS)),
        ("debtors", [{"debtor_account": "1", "debtor_agent": "KBNN"}]),
    ):
        import pyarrow.parquet as pq

        pq.write_table(pa.Table.from_pylist(rows), tmp_path / name)
        files += [f"--{name}", tmp_path / name]
    pem = tmp_path / "key.pem"
    pem.write_bytes(KEY)
    given, made = tmp_path / "given", tmp_path / "made"
    said = [command("init", given, *files, "--signing-key", pem), command("init", made, *files)]
    assert [s.code for s in said] == [0, 0], said
    assert (given / "signing.key").read_bytes() == KEY
    assert (made / "signing.key").read_bytes() not in (KEY, b"")
    for shown in (*said, command("verify", made), command("directory", given, "--json")):
        assert "PRIVATE" not in shown.out + shown.err
        assert KEY.decode().splitlines()[1] not in shown.out + shown.err
    for path in (given, made, given / "batches", given / "registers"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o700
    for path in files_of(given) + files_of(made):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path
    pem.write_bytes(b"-----BEGIN PRIVATE KEY-----\nsecret\n-----END PRIVATE KEY-----\n")
    said_bad = command("init", tmp_path / "bad", *files, "--signing-key", pem)
    assert said_bad.code == 2
    assert "secret" not in said_bad.err
    assert not (tmp_path / "bad").exists()


def test_home__belongs_to_its_owner_alone(home: Path) -> None:
    os.umask(0o022)
    pay(home, [line(1, benefit="SICK")], "C")
    for path in home.rglob("*"):
        mode = stat.S_IMODE(path.stat().st_mode)
        if path.is_file() or path.relative_to(home).parts[0] != "out":
            assert mode & 0o077 == 0, path
    assert stat.S_IMODE(home.stat().st_mode) == 0o700


# --- scrub ----------------------------------------------------------------------------------------


def damage(path: Path) -> None:
    content = path.read_bytes() or b"x"
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 0x10]))


def scrubbed(home: Path) -> list[Path]:
    """What a copy can repair: all but the lock and the copies in out, which `run` writes again."""
    return [p for p in files_of(home) if p.relative_to(home).parts[0] != "out"]


def test_scrub__repairs_every_file_of_a_home(home: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(home, tmp_path / "copy")
    whole = tree_digest(home)
    for number, path in enumerate(scrubbed(home)):
        name = path.relative_to(home).as_posix()
        damage(path) if number % 2 else path.unlink()
        said = command("--json", "scrub", home, "--copy", copy, "--dry-run")
        assert said.code == 5, (name, said)
        said = command("--json", "scrub", home, "--copy", copy)
        assert said.code == 0, (name, said)
        shown = said.out
        assert name in shown
        found = {n: d for n, d in tree_digest(home).items() if n not in HEADS}
        assert found == {n: d for n, d in whole.items() if n not in HEADS}, name
        assert switch.verify(home)
        shutil.rmtree(copy)
        shutil.copytree(home, copy)
    kinds = [kind for kind, _ in records(home, "events")]
    assert kinds == ["keys"] + ["repair"] * len(scrubbed(home))


HEADS = {"catalog.sqlite", "checkpoint"}
"""What changes as a repair is recorded."""


def test_scrub__a_lost_folder_comes_back(home: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(home, tmp_path / "copy")
    shutil.rmtree(home / "batches" / "000001")
    findings = scrub(home, copy)
    assert all(f.repaired and f.fault == "is gone" for f in findings)
    assert switch.verify(home)
    with switch.open(home) as engine:
        assert run(engine, [line(n) for n in range(1, 7)], "A").replayed


def test_scrub__takes_nothing_that_is_not_the_cataloged_content(home: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(home, tmp_path / "copy")
    name = "batches/000001/lines.parquet"
    damage(home / name)
    damage(copy / name)
    other = "batches/000002/manifest.json"
    damage(copy / other)
    before = tree_digest(home)
    said = command("scrub", home, "--copy", copy)
    assert said.code == 5
    assert f"home: {name} was changed" in said.out
    assert f"copy: {name} was changed" in said.out
    assert f"copy: {other} was changed" in said.out
    assert "repaired" not in said.out
    assert tree_digest(home) == before


def test_scrub__of_a_sound_home_writes_nothing(home: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(home, tmp_path / "copy")
    before = tree_digest(home)
    assert scrub(home, copy) == []
    assert tree_digest(home) == before == tree_digest(copy)


def test_scrub__reports_before_it_writes(home: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(home, tmp_path / "copy")
    for name in ("batches/000001/status.parquet", "registers/000002/people.slots", "signing.pub"):
        damage(home / name)
    before = tree_digest(home)
    found = scrub(home, copy, dry_run=True)
    assert len(found) == 3
    assert all(f.repaired and f.side == "home" for f in found)
    assert tree_digest(home) == before


def test_scrub__an_older_copy_repairs_what_it_has(home: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(home, tmp_path / "copy")
    table = write_table(payment_table([line(1, benefit="SICK")]), tmp_path / "c", batch_id="C")
    assert command("run", home, table).code == 0
    damage(home / "batches/000001/status.parquet")
    damage(home / "batches/000003/status.parquet")
    said = command("--json", "scrub", home, "--copy", copy)
    assert said.code == 5
    fate = {f["path"]: f["repaired"] for f in said.document["findings"] if f["side"] == "home"}
    assert fate == {
        "batches/000001/status.parquet": True,
        "batches/000003/status.parquet": False,
    }


def test_scrub__an_older_catalog_is_never_put_in_place(home: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(home, tmp_path / "copy")
    pay(home, [line(1, benefit="SICK")], "C")
    damage(home / "catalog.sqlite")
    before = tree_digest(home)
    with pytest.raises(VerificationFailed, match="restore the whole home"):
        scrub(home, copy)
    assert tree_digest(home) == before


def test_scrub__of_a_home_with_itself_is_a_usage_error(home: Path) -> None:
    assert command("scrub", home, "--copy", home).code == 2


def test_scrub__of_a_folder_that_is_no_copy_names_it(home: Path, tmp_path: Path) -> None:
    """It is a mistyped name, and not a copy of which every file is gone."""
    (tmp_path / "photos").mkdir()
    for name in ("photos", "nothing"):
        said = command("scrub", home, "--copy", tmp_path / name)
        assert (said.code, f"{tmp_path / name} is no copy of {home}" in said.err) == (2, True)


def test_scrub__takes_what_a_crash_left_as_it_is(home: Path, tmp_path: Path) -> None:
    """A catalog ahead of its checkpoint is no damage."""
    behind = (home / "checkpoint").read_bytes()
    pay(home, [line(1, benefit="SICK")], "C")
    copy = shutil.copytree(home, tmp_path / "copy")
    (home / "checkpoint").write_bytes(behind)
    assert [f.path for f in scrub(home, copy)] == []
    assert read_checkpoint(home).seq == 6
    assert switch.verify(home)
