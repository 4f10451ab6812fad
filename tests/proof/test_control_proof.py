"""The proof of control finds what no rule would have let in, also where it is signed and linked."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from home_reads import catalog
from scene import change_catalog, new_checkpoint
from signing_people import DAY, pem, person, policy, public, sign_all, table

import switch
from switch.control.acts import Act
from switch.control.keys import FileKey
from switch.control.spool import Manifest
from switch.errors import VerificationFailed
from switch.home.chain import GENESIS, link_of

Docs = list[dict[str, Any]]
"""Records of the audit chain, each with its kind and at beside what it says."""


@pytest.fixture
def released(village: Path, tmp_path: Path) -> Path:
    """A home that ran one table of a policy, and took two deliveries."""
    given = policy(
        parties=[{"name": "vss", "keys": [{"public": public("vss")}], "kinds": ["table"]}],
        delegations=[
            {"giver": "chi", "taker": "bao", "role": "control", "from": DAY, "until": DAY}
        ],
    )
    with switch.open(village) as engine:
        engine.control.set_policy(given)
        engine.control.set_policy({**given, "changed_by": 2}, signers={"phuc": pem("phuc")}, at=DAY)
        path = table(tmp_path / "in")
        sign_all(engine, path)
        engine.run(path)
        for _ in range(2):
            switch.deliver(tmp_path / "spool", "vss", "table", [path], key=pem("vss"), at=DAY)
        engine.control.portal(tmp_path / "spool")
    assert switch.verify(village)
    return village


def rewrite(home: Path, edit: Callable[[Docs], None], sign: bool) -> None:
    """Change what audit records say, with links that fit. sign: acts are signed again, by who they
    say has signed, and each names the one before it."""
    rows = catalog(home, "SELECT seq, at, kind, detail FROM audit ORDER BY seq")
    docs = [{**json.loads(detail), "kind": kind, "at": at} for _, at, kind, detail in rows]
    edit(docs)
    after = str(catalog(home, "SELECT link FROM events WHERE seq = 1")[0][0])
    previous = GENESIS
    for (seq, _, was, _), doc in zip(rows, docs, strict=True):
        if was == "control" and sign:
            body = {name: doc[name] for name in doc if name not in ("files", "kind")}
            is_forged, signer = body.pop("forged_after", False), body.pop("signer", "")
            act = msgspec.convert(body if is_forged else {**body, "after": after}, Act)
            act = act.signed(FileKey(pem(signer or act.by)))
            after = act.digest()
            doc = {**msgspec.to_builtins(act), "files": {}, "kind": "control"}
        kind, at = doc.pop("kind"), doc.pop("at") if was != "control" else doc["at"]
        text = json.dumps(doc, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        link = link_of(previous, seq, at, kind, text)
        change_catalog(
            home,
            "UPDATE audit SET at = ?, kind = ?, detail = ?, previous = ?, link = ? WHERE seq = ?",
            *(at, kind, text, previous, link, seq),
        )
        previous = link
    new_checkpoint(home)


def acts(docs: Docs) -> dict[str, dict[str, Any]]:
    """Acts by their step."""
    return {doc["step"]: doc for doc in docs if doc["kind"] == "control"}


def policies(docs: Docs) -> Docs:
    return [doc for doc in docs if doc["kind"] == "policy"]


def by(step: str, name: str, **changes: Any) -> Callable[[Docs], None]:
    """An act is another person's."""

    def edit(docs: Docs) -> None:
        acts(docs)[step].update(by=name, key=public(name), **changes)

    return edit


def set_in_table(name: str, value: Any) -> Callable[[Docs], None]:
    def edit(docs: Docs) -> None:
        for act in acts(docs).values():
            act["table"][name] = value

    return edit


def swapped(docs: Docs) -> None:
    """Approval and control change places, with who signed them."""
    found = acts(docs)
    first, second = found["approve"], found["control"]
    for name in ("step", "by", "key"):
        first[name], second[name] = second[name], first[name]


def in_policies(change: Callable[[dict[str, Any]], None]) -> Callable[[Docs], None]:
    """Both versions of the policy say something else."""

    def edit(docs: Docs) -> None:
        for doc in policies(docs):
            change(doc["policy"])

    return edit


def certified_by_two(given: dict[str, Any]) -> None:
    given["steps"][3]["signers"] = 2


def certified_by_two_above(given: dict[str, Any]) -> None:
    given["steps"][3]["above"] = [{"sum": 3_000_005, "signers": 2}]


def key_that_ended(given: dict[str, Any]) -> None:
    person(given, "cuc")["keys"][0]["until"] = "2026-11-24"


def key_that_has_not_begun(given: dict[str, Any]) -> None:
    person(given, "cuc")["keys"][0]["from"] = "2026-11-26"


def nobody(given: dict[str, Any]) -> None:
    given["people"] = [one for one in given["people"] if one["name"] != "cuc"]


def maker_may_certify(docs: Docs) -> None:
    for doc in policies(docs):
        person(doc["policy"], "ana")["roles"].append("certify")
    by("certify", "ana")(docs)


def late(docs: Docs) -> None:
    for doc in policies(docs):
        doc["policy"]["steps"][1]["days"] = 3
    for act in list(acts(docs).values())[1:]:
        act["at"] = "2026-11-29"


def first_act_of_another_home(docs: Docs) -> None:
    acts(docs)["prepare"]["forged_after"] = True
    acts(docs)["prepare"]["after"] = "0" * 64


FORGED: dict[str, tuple[str, str, Callable[[Docs], None]]] = {
    "another role": ("acts of control", "has not the role", by("certify", "chi")),
    "the maker again": ("acts of control", "signed it twice", maker_may_certify),
    "another key": (
        "acts of control",
        "the key is none of",
        lambda docs: acts(docs)["certify"].update(key=public("bao"), signer="bao"),
    ),
    "wrong order": ("acts of control", "was not due", swapped),
    "a delegation that is none": (
        "acts of control",
        "gave bao no",
        by("control", "bao", behalf="cuc"),
    ),
    "a stop in place of the release": (
        "I7 executed is certified",
        "not released",
        lambda docs: acts(docs)["release"].update(
            step="hold", by="hoa", key=public("hoa"), why="x"
        ),
    ),
    "another batch": (
        "I7 executed is certified",
        "not released",
        set_in_table("batch_id", "B9"),
    ),
    "another digest": (
        "I7 executed is certified",
        "digest differs",
        set_in_table("digest", "sha256:" + "0" * 64),
    ),
    "another count": ("I7 executed is certified", "count differs", set_in_table("count", 4)),
    "another value date": (
        "I7 executed is certified",
        "value_date differs",
        set_in_table("value_date", "2026-11-26"),
    ),
    "sums that do not add up": (
        "acts of control",
        "another table",
        set_in_table("programmes", {"PENS": 1}),
    ),
    "another table in one act": (
        "acts of control",
        "another table",
        lambda docs: acts(docs)["certify"]["table"].update(count=4),
    ),
    "too few signatures": (
        "acts of control",
        "was not due",
        in_policies(certified_by_two),
    ),
    "too few signatures above a sum": (
        "acts of control",
        "was not due",
        in_policies(certified_by_two_above),
    ),
    "a key that ended": ("acts of control", "was not valid", in_policies(key_that_ended)),
    "a key that has not begun": (
        "acts of control",
        "was not valid",
        in_policies(key_that_has_not_begun),
    ),
    "nobody": ("acts of control", "the key is none of", in_policies(nobody)),
    "days that run back": (
        "acts of control",
        "lies before",
        lambda docs: acts(docs)["certify"].update(at="2026-11-24"),
    ),
    "a deadline": ("acts of control", "behind the step before", late),
    "the mark of another home": (
        "acts of control",
        "follows another act",
        first_act_of_another_home,
    ),
}


@pytest.mark.parametrize("name", FORGED)
def test_verify__finds_what_is_signed_and_wrong(released: Path, name: str) -> None:
    check, fault, edit = FORGED[name]
    rewrite(released, edit, sign=True)
    with pytest.raises(VerificationFailed) as error:
        switch.verify(released)
    found = [part for part in str(error.value).split("; ") if check in part]
    assert any(fault in part for part in found), str(error.value)


UNSIGNED: dict[str, tuple[str, Callable[[Docs], None]]] = {
    "a word of an act": ("acts of control", lambda docs: acts(docs)["release"].update(why="x")),
    "an algorithm": (
        "acts of control",
        lambda docs: acts(docs)["release"].update(algorithm="none"),
    ),
    "a signature": (
        "acts of control",
        lambda docs: acts(docs)["release"].update(signature=acts(docs)["fund"]["signature"]),
    ),
    "who may sign": ("policy", lambda docs: policies(docs)[1]["policy"].update(changed_by=1)),
    "no signature": ("policy", lambda docs: policies(docs)[1].update(signatures=[])),
    "a version": ("policy", lambda docs: policies(docs)[1].update(version=3)),
    "a signed beginning": (
        "policy",
        lambda docs: policies(docs)[0].update(signatures=policies(docs)[1]["signatures"]),
    ),
    "a file": (
        "deliveries",
        lambda docs: _delivery(docs, 0)["manifest"]["contents"][0].update(sha256="0" * 64),
    ),
    "a number": ("deliveries", lambda docs: _delivery(docs, 1)["manifest"].update(number=3)),
    "a word of refusal": ("deliveries", lambda docs: _delivery(docs, 1).update(outcome="refused")),
}


def _delivery(docs: Docs, index: int) -> dict[str, Any]:
    return [doc for doc in docs if doc["kind"] == "portal"][index]


@pytest.mark.parametrize("name", UNSIGNED)
def test_verify__finds_what_nobody_signed(released: Path, name: str) -> None:
    check, edit = UNSIGNED[name]
    rewrite(released, edit, sign=False)
    with pytest.raises(VerificationFailed, match=check):
        switch.verify(released)


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"after": "1" * 64}, "names another manifest"),
        ({"kind": "act"}, "may not deliver"),
        ({"number": 7}, "comes behind number"),
        ({"key": public("ana")}, "not signed by a party"),
        ({"party": "bank"}, "not signed by a party"),
    ],
)
def test_verify__finds_a_delivery_that_is_signed_and_wrong(
    released: Path, changes: dict[str, Any], fault: str
) -> None:
    def edit(docs: Docs) -> None:
        doc = _delivery(docs, 1)
        manifest = msgspec.convert({**doc["manifest"], **changes}, Manifest)
        doc["manifest"] = msgspec.to_builtins(manifest.signed(FileKey(pem("vss"))))

    rewrite(released, edit, sign=False)
    with pytest.raises(VerificationFailed, match=fault):
        switch.verify(released)


def test_verify__finds_a_policy_that_too_few_signed(village: Path) -> None:
    given = policy(changed_by=2)
    with switch.open(village) as engine:
        engine.control.set_policy(given)
        both = {"phuc": pem("phuc"), "phuong": pem("phuong")}
        engine.control.set_policy({**given, "changed_by": 1}, signers=both, at=DAY)
    assert switch.verify(village)
    rewrite(village, lambda docs: policies(docs)[1]["signatures"].pop(), sign=False)
    with pytest.raises(VerificationFailed, match="too few persons"):
        switch.verify(village)


def test_verify__a_rewritten_home_without_a_change_holds(released: Path) -> None:
    """The forger of these tests changes nothing by itself."""
    rewrite(released, lambda docs: None, sign=True)
    assert switch.verify(released)
