"""Ways around control that somebody found: each is closed, and what is taken can be proven."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pytest
from scene import BANK_ACCOUNT, DEBTORS, TREASURY_ACCOUNT, line, payment_table, write_file
from signing_people import DAY, STEPS, pem, person, policy, public, sign_all, table

import switch
from switch.control.keys import FileKey
from switch.control.spool import MANIFEST, Manifest
from switch.errors import InputRefused
from switch.reconcile import read_rules

PHUC = {"phuc": pem("phuc")}


@pytest.fixture
def kept(village: Path) -> Path:
    """A home with the usual policy and two parties."""
    parties = [
        {"name": name, "keys": [{"public": public(name)}], "kinds": ["table"]}
        for name in ("aaa", "vss")
    ]
    with switch.open(village) as engine:
        engine.control.set_policy(policy(parties=parties))
    return village


def below_zero(folder: Path) -> Path:
    """A table of 4,000,010 dong and a line of 3,000,000 below zero."""
    folder.mkdir()
    path = folder / "B1.parquet"
    rows = [*(line(n) for n in range(1, 5)), line(5, amount=-3_000_000)]
    write_file(payment_table(rows), path, "parquet")
    switch.write_dossier(path, source="VSS", batch_id="B1", value_date=DAY)
    return path


def test_lines_below_zero__hide_no_sum(kept: Path, tmp_path: Path) -> None:
    """Thresholds and budgets are of what a table pays: a line below zero takes nothing of it."""
    steps: list[dict[str, Any]] = [{"step": step} for step in STEPS]
    steps[3]["above"] = [{"sum": 2_000_000, "signers": 2}]
    debtors = [
        {**d, "budget": 4_000_009 if d["debtor_account"] == TREASURY_ACCOUNT else None}
        for d in DEBTORS
    ]
    path = below_zero(tmp_path / "in")
    with switch.open(kept) as engine:
        engine.control.set_policy(policy(steps=steps), signers=PHUC, at=DAY)
        sign_all(engine, path, until="control")
        engine.change_directory(debtors=pa.Table.from_pylist(debtors))
        with pytest.raises(InputRefused, match="BUDGET_EXCEEDED"):
            engine.control.sign("B1", "control", by="chi", key=pem("chi"))
        debtors[0]["budget"] = 4_000_010
        engine.change_directory(debtors=pa.Table.from_pylist(debtors))
        engine.control.sign("B1", "control", by="chi", key=pem("chi"))
        told = engine.control.sign("B1", "certify", by="cuc", key=pem("cuc"))
        assert (told["state"], told["missing"]) == ("CONTROLLED", 1)
        engine.control.sign("B1", "certify", by="cam", key=pem("cam"))
        engine.control.sign("B1", "fund", by="dung", key=pem("dung"))
        engine.control.sign("B1", "release", by="giang", key=pem("giang"))
        assert engine.run(path).summary["cleared"]["sum"] == 4_000_010
    assert switch.verify(kept)


def test_run__is_held_to_the_sums_that_were_signed(kept: Path, tmp_path: Path) -> None:
    """A maker signs other sums by debtor account than the table has, and puts true ones back."""
    path = table(tmp_path / "in")
    file = path.with_name("B1.dossier.json")
    honest = json.loads(file.read_bytes())
    file.write_text(json.dumps(honest | {"debtors": {BANK_ACCOUNT: honest["sum"]}}))
    with switch.open(kept) as engine:
        sign_all(engine, path)
        for dossier in (honest, {k: v for k, v in honest.items() if k != "debtors"}):
            file.write_text(json.dumps(dossier))
            with pytest.raises(InputRefused, match="TABLE_OTHER"):
                engine.run(path)
        assert not engine.batches()


def test_one_key_under_two_names(kept: Path, tmp_path: Path) -> None:
    given = policy()
    given["people"] = [one for one in given["people"] if one["name"] != "ana"]
    given["people"].append(
        {"name": "ana", "roles": ["prepare"], "keys": [{"public": public("ana", 2)}]}
    )
    person(given, "binh")["keys"] = [{"public": public("ana")}]
    with switch.open(kept) as engine:
        sign_all(engine, table(tmp_path / "in"), until="approve")
        engine.control.set_policy(given, signers=PHUC, at=DAY)
        with pytest.raises(InputRefused, match="SIGNER_TWICE"):
            engine.control.sign("B1", "approve", by="binh", key=pem("ana"))
    assert switch.verify(kept)


def test_who_was_taken_out__delegates_no_more(kept: Path, tmp_path: Path) -> None:
    given = {"giver": "cuc", "taker": "bao", "role": "certify", "from": DAY, "until": DAY}
    without = policy()
    without["people"] = [one for one in without["people"] if one["name"] != "cuc"]
    with switch.open(kept) as engine:
        engine.control.set_policy(policy(delegations=[given]), signers=PHUC, at=DAY)
        sign_all(engine, table(tmp_path / "in"), until="certify")
        engine.control.set_policy(without, signers=PHUC, at=DAY)
        with pytest.raises(InputRefused, match="SIGNER_UNKNOWN"):
            engine.control.sign("B1", "certify", by="bao", key=pem("bao"), behalf="cuc")


def test_apart__is_not_dodged_by_a_delegate(kept: Path, tmp_path: Path) -> None:
    steps: list[dict[str, Any]] = [{"step": step} for step in STEPS]
    steps[3] |= {"signers": 2, "apart": True}
    lent = {"giver": "cuc", "taker": "bao", "role": "certify", "from": DAY, "until": DAY}
    given = policy(steps=steps, delegations=[lent])
    person(given, "phuc")["roles"] = ["policy", "certify"]
    with switch.open(kept) as engine:
        engine.control.set_policy(given, signers=PHUC, at=DAY)
        sign_all(engine, table(tmp_path / "in"), until="certify")
        engine.control.sign("B1", "certify", by="bao", key=pem("bao"), behalf="cuc")
        with pytest.raises(InputRefused, match="SIGNER_NOT_APART"):
            engine.control.sign("B1", "certify", by="phuc", key=pem("phuc"))
        engine.control.sign("B1", "certify", by="cam", key=pem("cam"))
    assert switch.verify(kept)


@pytest.mark.parametrize(
    "changes",
    [
        {"programmes": {}, "debtors": {}},
        {"programmes": {"PENS": 3_000_005}},
        {"programmes": {"PENS": 4_000_006, "SICK": -1_000_000}},
        {"debtors": {"\x1b[31m": 3_000_006}},
        {"currency": "USD"},
        {"count": 2**63},
        {"sum": 2**63},
        {"value_date": "garbage"},
        {"value_date": "9999-01-01"},
        {"source": "V\x1b[31mSS"},
        {"digest": "sha256:0"},
    ],
)
def test_act__of_a_table_that_could_not_be_proven_is_refused(
    kept: Path, tmp_path: Path, changes: dict[str, Any]
) -> None:
    with switch.open(kept) as engine:
        asked: Any = {"by": "ana", "public": public("ana"), "table": table(tmp_path / "in")}
        act = engine.control.statement("B1", "prepare", **asked)
        forged = msgspec.structs.replace(act, table=msgspec.structs.replace(act.table, **changes))
        with pytest.raises(InputRefused, match="TABLE_INVALID"):
            engine.control.take_act(forged.signed(FileKey(pem("ana"))))
        assert not len(engine.control.dossiers())
    assert switch.verify(kept)


@pytest.mark.parametrize("at", ["9999-01-01", "20261125", "x", "", "2026-W48-3", "2999-01-01"])
def test_act__of_a_time_that_could_not_be_proven_is_refused(
    kept: Path, tmp_path: Path, at: str
) -> None:
    with switch.open(kept) as engine:
        asked: Any = {"by": "ana", "public": public("ana"), "table": table(tmp_path / "in")}
        act = engine.control.statement("B1", "prepare", **asked)
        forged = msgspec.structs.replace(act, at=at).signed(FileKey(pem("ana")))
        with pytest.raises(InputRefused, match=r"TIME_INVALID|TIME_ORDER"):
            engine.control.take_act(forged)
    assert switch.verify(kept)


@pytest.mark.parametrize("first", ["00", "01", "ec", "ed", "ee"])
def test_key__by_which_anybody_signs_is_refused(village: Path, first: str) -> None:
    rest, end = ("00", "00") if first in ("00", "01") else ("ff", "7f")
    given = policy()
    person(given, "binh")["keys"] = [{"public": first + rest * 30 + end}]
    with switch.open(village) as engine, pytest.raises(InputRefused, match="POLICY_INVALID"):
        engine.control.set_policy(given)


@pytest.mark.parametrize("at", ["x", "", "9999-01-01"])
def test_portal__is_not_stopped_by_one_manifest(kept: Path, tmp_path: Path, at: str) -> None:
    spool, path = tmp_path / "spool", table(tmp_path / "in")
    for name in ("aaa", "vss"):
        switch.deliver(spool, name, "table", [path], key=pem(name), at=DAY)
    file = spool / "aaa" / "inbox" / "000001" / MANIFEST
    manifest = msgspec.convert(json.loads(file.read_bytes()) | {"at": at}, Manifest)
    file.write_bytes(msgspec.json.encode(manifest.signed(FileKey(pem("aaa")))))
    with switch.open(kept) as engine:
        told = engine.control.portal(spool)
    assert [(one["party"], one["outcome"]) for one in told] == [
        ("aaa", "refused"),
        ("vss", "taken"),
    ]


@pytest.mark.parametrize("place", ["inbox", "outbox", "archive", "refused"])
def test_portal__follows_no_link_and_serves_the_next_party(
    kept: Path, tmp_path: Path, place: str
) -> None:
    spool, path = tmp_path / "spool", table(tmp_path / "in")
    switch.deliver(spool, "vss", "table", [path], key=pem("vss"), at=DAY)
    (spool / "aaa").mkdir()
    (spool / "aaa" / place).symlink_to(spool / "vss" / "archive")
    with switch.open(kept) as engine:
        told = engine.control.portal(spool)
    assert [(one["party"], one["outcome"]) for one in told] == [
        ("aaa", "failed"),
        ("vss", "taken"),
    ]


def doubled(text: bytes, name: str, other: object) -> bytes:
    """A JSON object in which a name stands twice: first with another value."""
    return b"{" + json.dumps(name).encode() + b": " + json.dumps(other).encode() + b"," + text[1:]


def test_name_that_stands_twice__is_read_by_nobody(kept: Path, tmp_path: Path) -> None:
    """Whoever signs a document reads it with another reader than the switch's."""
    path = table(tmp_path / "in")
    act, given = tmp_path / "act.json", tmp_path / "policy.json"
    given.write_bytes(doubled(json.dumps(policy()).encode(), "people", []))
    with switch.open(kept) as engine:
        stated = engine.control.statement(
            "B1", "prepare", table=path, by="ana", public=public("ana")
        )
        sound = msgspec.json.encode(stated.signed(FileKey(pem("ana"))))
        act.write_bytes(doubled(sound, "by", "binh"))
        with pytest.raises(InputRefused, match="people stands twice"):
            engine.control.set_policy(given, signers=PHUC, at=DAY)
        with pytest.raises(InputRefused, match="by stands twice"):
            engine.control.take_act(act)
        spool = tmp_path / "spool"
        switch.deliver(spool, "vss", "table", [path], key=pem("vss"), at=DAY)
        manifest = spool / "vss" / "inbox" / "000001" / MANIFEST
        manifest.write_bytes(doubled(manifest.read_bytes(), "sum", 1))
        (told,) = engine.control.portal(spool)
        assert (told["outcome"], told["rule"]) == ("refused", "MANIFEST_INVALID")
        act.write_bytes(sound)
        assert engine.control.take_act(act)["state"] == "DRAFT"


def test_rules__whose_name_stands_twice_are_refused(tmp_path: Path) -> None:
    rules = tmp_path / "rules.json"
    rules.write_bytes(doubled(b'{"order": []}', "order", ["x"]))
    with pytest.raises(InputRefused, match="order stands twice"):
        read_rules(rules)
