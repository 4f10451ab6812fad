"""Every document that a command prints with --json is what its published JSON Schema says."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import click
import phones
import pytest
import scene
from answer_forms import FAILED, form_of, form_said, forms_of
from cycles import CYCLE
from paying import AT, home_with_bills, payments_table
from scene import command, person_id
from signing_people import DAY, SIGNERS, pem, policy, public, table

import switch
from switch.cli.main import cli
from switch.control.policy import STEPS as POLICY_STEPS
from switch.documents import ANSWERS
from switch.errors import UsageError

WITHOUT = {"serve", "top"}
"""Commands that run on, and refuse --json."""


def printing(group: click.Group, before: str = "") -> Iterator[str]:
    """Names of all commands that have --json."""
    for name, found in group.commands.items():
        if isinstance(found, click.Group):
            yield from printing(found, f"{before}{name} ")
        elif any("--json" in option.opts for option in found.params):
            yield f"{before}{name}"


def test_answer_schema__is_there_for_every_command_with_a_document() -> None:
    assert sorted({*printing(cli)} - WITHOUT) == sorted(ANSWERS)


def test_answers__have_the_forms_of_their_schemas(
    golden: Any, golden_homes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, seen = golden_homes, set(golden.forms)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("XDG_DATA_HOME", str(folder / "own"))
    shutil.copytree("plain", "again")

    def say(*words: object, code: int = 0) -> Any:
        said = command(*words, "--json")
        assert said.code == code, (words, said.err)
        form = form_said((*words, "--json"), said.out)
        assert form is not None
        seen.add(form)
        return said.document

    for home in ("plain", "calendar", "budget"):
        for name in ("status", "breaks", "cycles", "balances", "held", "returned", "directory"):
            say(name, home)
        for row in say("status", home)["batches"]:
            named = f"{row['source']}:{row['batch_id']}"
            say("status", home, "--batch", named)
            say("status", home, "--line", f"{named}:1")
            say("shared", home, "--batch", named)
            say("report", home, "--batch", named, "--csv")
        for name in ("breaks", "cycles", "balances", "held", "returned"):
            say(name, home, "--out", f"{home}-{name}.csv")
        say("doctor", home)
    say("status", "plain", "--person", person_id(2))
    say("totals", "plain", "first.parquet", "--by", "commune")
    say("totals", "plain", "first.parquet", "--by", "benefit", "--out", "benefits.csv")
    say("breaks", "plain", "--class", "MISSING", "--note", "asked", "--by", "An")
    say("alarms", "plain", "--at", "home")
    say("alarms", "plain", "--at", "home", "--rule", "break-open", "--acknowledge", "--by", "An")
    say("awaited", "plain", "--at", "home")
    say("staff", "staff.toml", "an", "--role", "operator")
    for name in ("positions", "audit"):
        say(name, "plain")
        say(name, "calendar", "--out", f"{name}.csv")
    say("calendar", "calendar", "--at", "home")
    for text in (person_id(2), "0002", "FIRST 1", "fir"):
        say("find", "plain", text)
    say("metrics", "plain", "--at", "home")
    say("watch", "plain", "--at", "home", "--times", "1")
    say("dispose", "plain", "--write-back", "--dry")
    for rows in ("returns", "payment"):
        say("schema", rows)
    say("schema", "payment", "--out", "empty.csv")
    for words in (("schema",), ("schema", "--answers"), ("schema", "--answer", "run")):
        say(*words)
    said = ("--by", "An", "--why", "it does not answer")
    say("participant", "again", scene.BANK, "--suspend", *said)
    say("participant", "again", scene.BANK, "--balance", 1, *said)
    say("completion", "bash")
    say("completion", "bash", "--install")
    dossier = ("--source", "VSS", "--batch-id", "NEW", "--value-date", "2026-11-25", "--force")
    say("dossier", "first.parquet", *dossier)
    say("run", "nowhere", "first.parquet", code=2)
    say("rehearse", "again", "first.parquet", "wrong.parquet", "--dry")
    say("generate", "nation", "--people", 20, "--lines", 20, "--seed", 1)
    say("bench", "--lines", 100, "--repeat", 1)
    say("demo", "--dir", "demo", "--people", 50, "--lines", 40)
    _control(say, folder)
    with home_with_bills(folder / "waits") as engine:
        engine.fees.take(payments_table("A > TAX/1 100"), at=AT)
        engine.settle(CYCLE, abort="it is given up")
    say("fees", "waits", "--state", "WAITING")
    say("fees", "waits", "--withdraw", "P1", "--by", "an", "--why", "x")
    wanted = {(name, form) for name, forms in ANSWERS.items() for form in forms}
    if find_spec("pyotp"):
        _citizens(say, folder)
    else:
        wanted -= {("citizen", form) for form in ANSWERS["citizen"]}
    assert wanted <= seen, wanted - seen
    assert FAILED in {form for _, form in seen}


def _control(say: Any, folder: Path) -> None:
    """Every command of control, in a home of its own."""
    scene.make_home(
        folder / "kept", map(scene.person, range(1, 4)), map(scene.account, range(1, 4))
    )
    parties = [{"name": "vss", "keys": [{"public": public("vss")}], "kinds": ["table"]}]
    steps = [{"step": step} for step in POLICY_STEPS]
    given = policy(parties=parties, steps=steps)
    given["people"][0]["roles"] = ["prepare", "authenticate"]
    given["people"][1]["roles"] = ["prepare", "authenticate"]
    (folder / "policy.json").write_text(json.dumps(given))
    for name in (*(person["name"] for person in given["people"]), "vss"):
        (folder / name).write_bytes(pem(name))
    table(folder)
    say("draft", "people")
    say("key", "ana")
    say("policy", "kept", "policy.json")
    say("policy", "kept")
    ana, anh = ("--by", "ana", "--key", "ana"), ("--by", "anh", "--key", "anh")
    hoa = ("--by", "hoa", "--key", "hoa", "--why", "asked")
    say("prepare", "kept", "B1.parquet", *ana)
    asked = ("--by", "binh", "--public", public("binh"), "--out", "binh.json")
    say("statement", "kept", "B1", "approve", *asked)
    say("sign", "binh.json", "--key", "binh")
    say("act", "kept", "binh.json")
    say("hold", "kept", "B1", *hoa)
    say("resume", "kept", "B1", *hoa)
    say("authenticate", "kept", "B1", *anh, "--answered", 3)
    for step, name in list(SIGNERS.items())[2:]:
        say(step, "kept", "B1", "--by", name, "--key", name)
    say("pause", "kept", "B1", *hoa)
    say("cancel", "kept", "B1", *hoa)
    say("prepare", "kept", "B1.parquet", *ana)
    say("approve", "kept", "B1", "--by", "bao", "--key", "bao")
    say("refuse", "kept", "B1", *anh, "--why", "not known")
    say("dossiers", "kept")
    say("dossiers", "kept", "--out", "kept-dossiers.csv")
    say("identify", "kept", "B1.parquet", "--all", "--out", "request.csv", "--at", DAY)
    asked = (folder / "request.csv").read_text("utf-8-sig").splitlines()[1].split(",")
    rows = f"request,person_id,answer\n{asked[0]},{asked[3]},MATCH\n"
    (folder / "answer.csv").write_text(rows)
    say("identified", "kept", "request.csv", "answer.csv", "--at", DAY)
    (folder / "agencies.csv").write_text("agency,name,participant\nTAX,Tax department,KBNN\n")
    (folder / "bills.csv").write_text("agency,bill_ref,amount\nTAX,1,100\n")
    paid = (
        f"payment_id,agency,bill_ref,participant,amount,paid_on\nP1,TAX,1,{scene.BANK},100,{DAY}\n"
    )
    (folder / "paid.csv").write_text(paid)
    say("agencies", "kept", "agencies.csv")
    say("bills", "kept", "bills.csv")
    say("fees", "kept", "paid.csv", "--at", DAY)
    say("fees", "kept", "--payment", "P1")
    say("fees", "kept")
    say("refund", "kept", "P1", "--by", "an", "--why", "x")
    (folder / "list.csv").write_text("bill_ref,amount\n1,100\n")
    say("match-fees", "kept", "TAX", "list.csv", "--at", DAY)
    say("deliver", "spool", "vss", "B1.parquet", "--kind", "table", "--key", "vss", "--at", DAY)
    say("portal", "kept", "spool")


def _citizens(say: Any, folder: Path) -> None:
    """Every form of the command of citizens."""
    secret = ("--secrets", phones.secret_file(folder))
    phone = ("--device", "phone", *secret)
    person = person_id(3)
    bound = ("--by", "an officer", "--out", "phone", "--at", phones.later(0))
    say("citizen", "kept", "bind", person, *phone, *bound)
    code = ("--code", phones.code(folder / "phone", 60), "--at", phones.later(60))
    claim = ("--participant", scene.SMALL_BANK, "--account", "200003")
    say("citizen", "kept", "account", person, *phone, *code, *claim)
    say("citizen", "kept", "show", person)


def test_answers__with_another_key_or_type_do_not_fit(tmp_path: Path) -> None:
    home = scene.make_home(tmp_path / "home")
    found = command("status", home, "--json").document
    assert form_of("status", found) == ""
    wrong = (
        {**found, "more": 1},
        {**found, "open": {**found["open"], "held": {**found["open"]["held"], "sum": "0"}}},
        {name: value for name, value in found.items() if name != "next"},
    )
    for one in wrong:
        with pytest.raises(AssertionError):
            form_of("status", one)


@pytest.mark.parametrize("name", ANSWERS)
def test_answer_schema__leaves_no_object_open(name: str) -> None:
    assert forms_of(name)
    for part in switch.answer_schema(name)["$defs"].values():  # type: ignore[attr-defined]
        if "properties" in part:
            assert part["additionalProperties"] is False
        assert "\n" not in part.get("description", "")


def test_schema__says_the_same_as_the_library() -> None:
    said = command("schema", "--answer", "run")
    assert json.loads(said.out) == switch.answer_schema("run")
    told = command("schema", "--answer", "run", "--json").document
    assert told == {"answer": "run", "json_schema": switch.answer_schema("run")}
    listed = command("schema", "--answers").out.splitlines()
    assert [line.split()[0] for line in listed] == [*ANSWERS]
    for words in (("--answer", "fly"), ("--answer", "run", "--answers"), ("payment", "--answers")):
        assert command("schema", *words).code == 2
    with pytest.raises(UsageError, match="'fly' is no command that prints a document"):
        switch.answer_schema("fly")
