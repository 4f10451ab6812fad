"""The portal: what parties deliver is taken whole, once, in order, or refused with a reason."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import msgspec
import pytest
from home_reads import catalog
from scene import command
from signing_people import DAY, pem, policy, public, sign_all, table

import switch
from switch.control.keys import FileKey
from switch.control.spool import GENESIS, MANIFEST
from switch.errors import InputRefused, UsageError

ALL = ("table", "act", "confirmations", "returns", "statement")


def party(name: str, *kinds: str, **changes: Any) -> dict[str, Any]:
    return {"name": name, "keys": [{"public": public(name)}], "kinds": kinds or ALL} | changes


@pytest.fixture
def kept(village: Path) -> Path:
    """A home with the usual policy and two parties: vss, and a bank that may bring answers."""
    with switch.open(village) as engine:
        parties = [party("vss", "table", "act"), party("bank", "confirmations", "returns")]
        engine.control.set_policy(policy(parties=parties))
    return village


@pytest.fixture
def spool(tmp_path: Path) -> Path:
    return tmp_path / "spool"


def deliver(spool: Path, name: str, kind: str, *files: Path, at: str = DAY, **how: Any) -> Any:
    return switch.deliver(spool, name, kind, files, key=how.get("key", pem(name)), at=at)


def taken(kept: Path, spool: Path) -> list[tuple[str, int, str, str]]:
    """(party, number, outcome, rule) of a pass."""
    with switch.open(kept) as engine:
        told = engine.control.portal(spool)
    return [(t["party"], t["number"], t["outcome"], t["rule"]) for t in told]


def answer(spool: Path, name: str, number: int, outcome: str) -> Any:
    path = spool / name / "outbox" / f"{number:06d}.{outcome}.json"
    return json.loads(path.read_bytes())


def signed_statement(kept: Path, folder: Path, path: Path, step: str = "prepare") -> Path:
    """The file of an act by ana, who prepares."""
    with switch.open(kept, mode="r") as engine:
        act = engine.control.statement("B1", step, table=path, by="ana", public=public("ana"))
    out = folder / f"{step}.json"
    out.write_bytes(msgspec.json.encode(act.signed(FileKey(pem("ana")))))
    return out


def test_table_and_act__come_by_the_portal_and_are_taken_once(
    kept: Path, spool: Path, tmp_path: Path
) -> None:
    path = table(tmp_path / "in")
    act = signed_statement(kept, tmp_path, path)
    assert deliver(spool, "vss", "table", path).number == 1
    assert deliver(spool, "vss", "act", act).number == 2
    assert taken(kept, spool) == [("vss", 1, "taken", ""), ("vss", 2, "taken", "")]
    assert taken(kept, spool) == []
    assert answer(spool, "vss", 1, "taken")["outcome"] == "taken"
    kept_table = spool / "vss" / "archive" / "000001" / "B1.parquet"
    assert kept_table.read_bytes() == path.read_bytes()
    with switch.open(kept) as engine:
        assert engine.control.dossiers().rows()[0]["state"] == "DRAFT"
        for step, name in list({"approve": "binh", "control": "chi", "certify": "cuc"}.items()):
            engine.control.sign("B1", step, by=name, key=pem(name))
        engine.control.sign("B1", "fund", by="dung", key=pem("dung"))
        engine.control.sign("B1", "release", by="giang", key=pem("giang"))
        assert engine.run(kept_table).summary["cleared"]["count"] == 3
    assert switch.verify(kept)


def test_answers__come_by_the_portal(kept: Path, spool: Path, tmp_path: Path) -> None:
    path = table(tmp_path / "in")
    with switch.open(kept) as engine:
        sign_all(engine, path)
        batch = engine.run(path)
    assert command("exchange", kept, "--plain").code == 0
    files = sorted((kept / "out" / "B1" / "answers" / "confirmations").iterdir())
    assert files
    deliver(spool, "bank", "confirmations", *files)
    assert taken(kept, spool) == [("bank", 1, "taken", "")]
    with switch.open(kept, mode="r") as engine:
        assert engine.batch("B1")["now"]["credited"]["count"] == batch.summary["cleared"]["count"]
        assert engine.control.dossiers().rows()[0]["state"] == "RECONCILED"
    assert switch.verify(kept)


def test_manifest_missing__later_ones_wait(kept: Path, spool: Path, tmp_path: Path) -> None:
    path = table(tmp_path / "in")
    deliver(spool, "vss", "table", path)
    aside = tmp_path / "aside"
    deliver(spool, "vss", "table", table(tmp_path / "in", "B2"))
    shutil.move(spool / "vss" / "inbox" / "000001", aside)
    assert taken(kept, spool) == [("vss", 2, "missing", "MANIFEST_MISSING")]
    assert answer(spool, "vss", 2, "missing")["what"].startswith("number 1 of vss is missing")
    shutil.move(aside, spool / "vss" / "inbox" / "000001")
    assert taken(kept, spool) == [("vss", 1, "taken", ""), ("vss", 2, "taken", "")]


def test_manifest_without_files_or_files_without_manifest(
    kept: Path, spool: Path, tmp_path: Path
) -> None:
    """Files whose manifest has not landed are nobody's business."""
    deliver(spool, "vss", "table", table(tmp_path / "in"))
    inbox = spool / "vss" / "inbox" / "000001"
    (inbox / MANIFEST).rename(tmp_path / "later")
    assert taken(kept, spool) == []
    (tmp_path / "later").rename(inbox / MANIFEST)
    (inbox / "B1.dossier.json").unlink()
    assert taken(kept, spool) == [("vss", 1, "refused", "MANIFEST_INVALID")]


def test_repeated__is_told_and_changes_nothing(kept: Path, spool: Path, tmp_path: Path) -> None:
    path = table(tmp_path / "in")
    deliver(spool, "vss", "table", path)
    copy = shutil.copytree(spool / "vss" / "inbox" / "000001", tmp_path / "copy")
    assert taken(kept, spool) == [("vss", 1, "taken", "")]
    history = catalog(kept, "SELECT link FROM audit")
    shutil.copytree(copy, spool / "vss" / "inbox" / "000001")
    assert taken(kept, spool) == [("vss", 1, "repeated", "MANIFEST_REPEATED")]
    assert catalog(kept, "SELECT link FROM audit") == history
    manifest = json.loads((copy / MANIFEST).read_bytes())
    other = msgspec.convert(manifest | {"count": 4}, switch.deliveries.Manifest)
    (copy / MANIFEST).write_bytes(msgspec.json.encode(other.signed(FileKey(pem("vss")))))
    shutil.copytree(copy, spool / "vss" / "inbox" / "000001")
    assert taken(kept, spool) == [("vss", 1, "repeated", "MANIFEST_REUSED")]
    assert switch.verify(kept)


def test_deliver__goes_on_from_what_was_answered_and_not_from_what_was_repeated(
    kept: Path, spool: Path, tmp_path: Path
) -> None:
    """A number that was refused and used once more has two answers: the first one counts."""
    deliver(spool, "bank", "table", table(tmp_path / "in"))
    inbox = spool / "bank" / "inbox" / "000001"
    first = msgspec.json.decode((inbox / MANIFEST).read_bytes(), type=switch.deliveries.Manifest)
    copy = shutil.copytree(inbox, tmp_path / "copy")
    assert taken(kept, spool) == [("bank", 1, "refused", "KIND_OTHER")]
    other = msgspec.structs.replace(first, count=4).signed(FileKey(pem("bank")))
    (copy / MANIFEST).write_bytes(msgspec.json.encode(other))
    shutil.copytree(copy, inbox)
    assert taken(kept, spool) == [("bank", 1, "repeated", "MANIFEST_REUSED")]
    assert deliver(spool, "bank", "table", table(tmp_path / "in")).after == first.digest()


def forged(spool: Path, tmp_path: Path, signer: str, **changes: Any) -> None:
    """A delivery of vss whose manifest says something else."""
    deliver(spool, "vss", "table", table(tmp_path / "in"))
    path = spool / "vss" / "inbox" / "000001" / MANIFEST
    manifest = msgspec.convert(json.loads(path.read_bytes()) | changes, switch.deliveries.Manifest)
    path.write_bytes(msgspec.json.encode(manifest.signed(FileKey(pem(signer)))))


@pytest.mark.parametrize(
    ("signer", "changes", "rule"),
    [
        ("bank", {}, "SIGNATURE_INVALID"),
        ("bank", {"key": public("bank")}, "KEY_UNKNOWN"),
        ("vss", {"party": "bank"}, "MANIFEST_INVALID"),
        ("vss", {"number": 2}, "MANIFEST_INVALID"),
        ("vss", {"kind": "letter"}, "MANIFEST_INVALID"),
        ("vss", {"contents": []}, "MANIFEST_INVALID"),
        ("vss", {"contents": [{"name": "../x", "bytes": 1, "sha256": "0"}]}, "MANIFEST_INVALID"),
    ],
)
def test_nobody_can_be_held_to_it__its_number_stays_free(
    kept: Path, spool: Path, tmp_path: Path, signer: str, changes: dict[str, Any], rule: str
) -> None:
    forged(spool, tmp_path, signer, **changes)
    history = catalog(kept, "SELECT link FROM audit")
    assert taken(kept, spool) == [("vss", 1, "refused", rule)]
    assert catalog(kept, "SELECT link FROM audit") == history
    (event,) = catalog(kept, "SELECT detail FROM events WHERE kind = 'refused delivery'")
    assert json.loads(event[0])["rule"] == rule
    shutil.rmtree(spool)
    deliver(spool, "vss", "table", table(tmp_path / "in"))
    assert taken(kept, spool) == [("vss", 1, "taken", "")]


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"after": "1" * 64}, "MANIFEST_ORDER"),
        ({"count": 4}, "CONTROL_SUM"),
        ({"sum": 1}, "CONTROL_SUM"),
        ({"kind": "confirmations"}, "KIND_OTHER"),
    ],
)
def test_signed_and_wrong__is_recorded_as_refused(
    kept: Path, spool: Path, tmp_path: Path, changes: dict[str, Any], rule: str
) -> None:
    forged(spool, tmp_path, "vss", **changes)
    assert taken(kept, spool) == [("vss", 1, "refused", rule)]
    assert answer(spool, "vss", 1, "refused")["rule"] == rule
    assert (spool / "vss" / "refused" / "000001" / MANIFEST).exists()
    assert deliver(spool, "vss", "table", table(tmp_path / "in", "B2")).number == 2
    assert taken(kept, spool) == [("vss", 2, "taken", "")]
    assert switch.verify(kept)


def test_unsigned_before__takes_no_place_of_what_is_recorded(
    kept: Path, spool: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A delivery that nobody signed, then a true one under its number, which is recorded as refused
    and cut off before it has its place: it is no repeated one, and its answer is the true one."""
    forged(spool, tmp_path, "bank")
    assert taken(kept, spool) == [("vss", 1, "refused", "SIGNATURE_INVALID")]
    forged(spool, tmp_path, "vss", count=4)

    def cut_off(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("switch.control.spool.put_aside", cut_off)
        with pytest.raises(KeyboardInterrupt):
            taken(kept, spool)
    assert taken(kept, spool) == [("vss", 1, "refused", "CONTROL_SUM")]
    assert answer(spool, "vss", 1, "refused")["rule"] == "CONTROL_SUM"
    assert answer(spool, "vss", 1, "unsigned")["rule"] == "SIGNATURE_INVALID"
    places = {path.name for path in (spool / "vss" / "refused").iterdir()}
    assert places == {"000001", "000001.unsigned"}
    assert taken(kept, spool) == []


def test_changed_file(kept: Path, spool: Path, tmp_path: Path) -> None:
    deliver(spool, "vss", "table", table(tmp_path / "in"))
    path = spool / "vss" / "inbox" / "000001" / "B1.parquet"
    path.write_bytes(path.read_bytes() + b"\0")
    assert taken(kept, spool) == [("vss", 1, "refused", "FILE_HASH")]
    deliver(spool, "vss", "table", table(tmp_path / "in"))
    path = spool / "vss" / "inbox" / "000002" / "B1.dossier.json"
    changed = path.read_bytes().replace(b" ", b"\t", 1)  # It says the same.
    assert changed != path.read_bytes()
    path.write_bytes(changed)
    assert taken(kept, spool) == [("vss", 2, "refused", "FILE_HASH")]


def test_link_in_place_of_a_file(kept: Path, spool: Path, tmp_path: Path) -> None:
    deliver(spool, "vss", "table", table(tmp_path / "in"))
    path = spool / "vss" / "inbox" / "000001" / "B1.parquet"
    path.rename(tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")
    assert taken(kept, spool) == [("vss", 1, "refused", "NOT_REGULAR")]


def test_key_expired(kept: Path, spool: Path, tmp_path: Path) -> None:
    keys = [{"public": public("vss"), "until": "2026-11-24"}]
    with switch.open(kept) as engine:
        given = policy(parties=[party("vss", keys=keys)])
        engine.control.set_policy(given, signers={"phuc": pem("phuc")}, at=DAY)
    deliver(spool, "vss", "table", table(tmp_path / "in"))
    assert taken(kept, spool) == [("vss", 1, "refused", "KEY_EXPIRED")]


def test_act_that_may_not_be__is_refused_with_its_own_rule(
    kept: Path, spool: Path, tmp_path: Path
) -> None:
    path = table(tmp_path / "in")
    act = signed_statement(kept, tmp_path, path)
    with switch.open(kept) as engine:
        engine.control.prepare(path, by="anh", key=pem("anh"))
    deliver(spool, "vss", "act", act)
    ((*_, outcome, rule),) = taken(kept, spool)
    assert (outcome, rule) == ("refused", "STEP_ORDER")


def test_home_without_parties(village: Path, spool: Path) -> None:
    with switch.open(village) as engine, pytest.raises(UsageError, match="no policy with parties"):
        engine.control.portal(spool)


def test_spool__is_outside_of_homes(kept: Path) -> None:
    with switch.open(kept) as engine:
        told = engine.control.portal(kept / "spool")
    assert {one["outcome"] for one in told} == {"failed"}
    assert "inside the home" in told[0]["what"]
    assert not (kept / "spool").exists()


def test_deliver__is_held_to_its_kind(spool: Path, tmp_path: Path) -> None:
    path = table(tmp_path / "in")
    with pytest.raises(UsageError, match="no kind of delivery"):
        deliver(spool, "vss", "letter", path)
    with pytest.raises(InputRefused):
        deliver(spool, "vss", "act", path)
    manifest = deliver(spool, "vss", "table", path)
    assert manifest.after == GENESIS
    assert deliver(spool, "vss", "table", path).after == manifest.digest()


def test_commands(kept: Path, spool: Path, tmp_path: Path) -> None:
    path, key = table(tmp_path / "in"), tmp_path / "vss.pem"
    key.write_bytes(pem("vss"))
    said = command(
        "deliver", spool, "vss", path, "--kind", "table", "--key", key, "--at", DAY, "--json"
    )
    assert said.code == 0, said.err
    assert said.document == {
        "party": "vss",
        "number": 1,
        "kind": "table",
        "count": 3,
        "sum": 3_000_006,
    }
    said = command("portal", kept, spool, "--json")
    assert said.code == 0, said.err
    assert [one["outcome"] for one in said.document["deliveries"]] == ["taken"]
    assert "nothing was delivered" in command("portal", kept, spool).out
