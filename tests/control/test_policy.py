"""Policies: read from files, changed by those whom they name, and refused where they are none."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from scene import command, tree_digest
from signing_people import DAY, STEPS, pem, person, policy, public

import switch
from switch.errors import InputRefused


@pytest.fixture
def kept(village: Path) -> Path:
    """A home with the usual policy."""
    with switch.open(village) as engine:
        engine.control.set_policy(policy())
    return village


def test_policy__takes_as_many_as_the_one_before_asks_for(kept: Path) -> None:
    with switch.open(kept) as engine:
        one = {"phuc": pem("phuc")}
        both = {**one, "phuong": pem("phuong")}
        given = policy(changed_by=2)
        assert engine.control.set_policy(given, signers=one, at=DAY)["version"] == 2
        assert engine.control.set_policy(given, at=DAY)["version"] == 2, "it is the same"
        with pytest.raises(InputRefused, match="POLICY_UNSIGNED"):
            engine.control.set_policy(policy(), signers=one, at=DAY)
        assert engine.control.set_policy(policy(), signers=both, at=DAY)["version"] == 3
        shown = engine.control.policy()
        assert shown is not None
        assert (shown["version"], shown["signed_by"]) == (3, ["phuc", "phuong"])
    assert switch.verify(kept)


WRONG_POLICIES: dict[str, Any] = {
    "no people": {"people": []},
    "no certificate": {"steps": [{"step": s} for s in STEPS if s != "certify"]},
    "another order": {"steps": [{"step": s} for s in reversed(STEPS)]},
    "a step twice": {"steps": [{"step": s} for s in ("prepare", *STEPS)]},
    "an unknown step": {"steps": [{"step": s} for s in (*STEPS, "bless")]},
    "too few people": {"steps": [{"step": s, "signers": 3} for s in STEPS]},
    "no signer": {"steps": [{"step": s, "signers": 0} for s in STEPS]},
    "too few above": {"steps": [{"step": s, "above": [{"sum": 1, "signers": 9}]} for s in STEPS]},
    "too few houses": {"steps": [{"step": s, "signers": 2, "apart": True} for s in STEPS]},
    "an unknown word": {"colour": "red"},
    "nobody changes it": {"changed_by": 3},
    "a delegation to nobody": {
        "delegations": [
            {"giver": "chi", "taker": "eve", "role": "control", "from": DAY, "until": DAY}
        ]
    },
    "a delegation of nothing": {
        "delegations": [{"giver": "chi", "taker": "bao", "role": "fund", "from": DAY, "until": DAY}]
    },
    "a delegation that ends before": {
        "delegations": [
            {"giver": "chi", "taker": "bao", "role": "control", "from": DAY, "until": "2026-11-24"}
        ]
    },
}


@pytest.mark.parametrize("name", WRONG_POLICIES)
def test_policy__that_could_not_be_kept_is_refused(village: Path, name: str) -> None:
    with switch.open(village) as engine:
        history = tree_digest(village)
        with pytest.raises(InputRefused, match="POLICY_INVALID"):
            engine.control.set_policy(policy(**WRONG_POLICIES[name]))
        assert tree_digest(village) == history


@pytest.mark.parametrize(
    "changes",
    [
        {"keys": []},
        {"keys": [{"public": "00"}]},
        {"keys": [{"public": "Z" * 64}]},
        {"keys": [{"public": public("bao")}]},
        {"keys": [{"public": public("binh"), "from": "2026-12-01", "until": "2026-11-01"}]},
        {"roles": []},
        {"roles": ["king"]},
        {"roles": ["approve", "approve"]},
        {"name": "bao"},
        {"name": "a b"},
        {"organisation": "x" * 65},
    ],
)
def test_person__that_is_none_is_refused(village: Path, changes: dict[str, Any]) -> None:
    given = policy()
    person(given, "binh").update(changes)
    with switch.open(village) as engine, pytest.raises(InputRefused, match="POLICY_INVALID"):
        engine.control.set_policy(given)


def test_policy_file__is_toml_or_json(village: Path, tmp_path: Path) -> None:
    text = json.dumps(policy())
    (tmp_path / "policy.json").write_text(text)
    lines = ["changed_by = 1"]
    for step in STEPS:
        lines += ["[[steps]]", f'step = "{step}"']
    for one in policy()["people"]:
        roles = json.dumps(one["roles"])
        lines += ["[[people]]", f'name = "{one["name"]}"', f"roles = {roles}"]
        lines += [f'keys = [{{ public = "{one["keys"][0]["public"]}", until = 2027-01-01 }}]']
    (tmp_path / "policy.toml").write_text("\n".join(lines))
    (tmp_path / "policy.txt").write_text("people: many")
    assert command("policy", village, tmp_path / "policy.json").code == 0
    key = tmp_path / "phuc"
    key.write_bytes(pem("phuc"))
    said = command(
        "policy", village, tmp_path / "policy.toml", "--sign", f"phuc={key}", "--at", DAY
    )
    assert said.code == 0, said.err
    assert "policy 2" in command("policy", village).out
    assert command("policy", village, tmp_path / "policy.txt").code == 3


def test_key__is_made_once_and_shows_its_public_half(tmp_path: Path) -> None:
    path = tmp_path / "ana.pem"
    made = command("key", path, "--new", "--json")
    assert made.code == 0, made.err
    assert path.stat().st_mode & 0o777 == 0o600
    assert made.document["public"] == command("key", path, "--json").document["public"]
    before = path.read_bytes()
    assert command("key", path, "--new").code == 2
    assert path.read_bytes() == before
