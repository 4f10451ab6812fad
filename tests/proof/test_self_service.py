"""Verify proves what citizens did: each record that may not stand where it does is named."""

from __future__ import annotations

import datetime as dt
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from home_reads import catalog
from phones import Door, later, refused, wrong
from scene import (
    BANK,
    account,
    accounts_table,
    change_catalog,
    make_home,
    new_checkpoint,
    person,
    person_id,
)

pytest.importorskip("pyotp")

import switch
from switch.errors import SwitchError, VerificationFailed
from switch.home.chain import link_of


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home in which each kind of record stands; person 2's account is in place of another."""
    door = Door(tmp_path_factory.mktemp("lived"))
    make_home(door.home, map(person, range(1, 5)), map(account, range(1, 4)))
    door.bind(1)
    door.bind(2, at=1)
    refused(door.bind(3, "phone 1", 2), "DEVICE_TAKEN")
    refused(door.account(3, 3, "123456"), "NOT_BOUND")
    refused(door.account(1, 3, device="phone 2"), "DEVICE_OTHER")
    for at in range(4, 9):
        refused(door.account(1, at, wrong(door.code("phone 1", at))), "CODE_WRONG")
    refused(door.account(1, 9), "LOCKED")
    refused(door.account(2, 10, participant=BANK, account="1000000001"), "HOLDER_OTHER")
    refused(door.account(2, 11), "CODE_USED")
    assert door.account(2, 40, ends=(BANK, "1000000002")).code == 0
    assert switch.verify(door.home)
    return door.home


@pytest.fixture
def home(lived: Path, tmp_path: Path) -> Path:
    return shutil.copytree(lived, tmp_path / "home")


@pytest.fixture(scope="module")
def represented(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home in which person 3 may register no account for person 1, and person 2 does, in place of
    one of theirs."""
    door = Door(tmp_path_factory.mktemp("represented"))
    mine = account(1, account="07", valid_to=dt.date(2027, 1, 31), representative=person_id(2))
    make_home(door.home, map(person, range(1, 5)), [mine, *map(account, range(2, 4))])
    for number in (2, 3):
        door.bind(number, at=number)
    for number, rule in ((3, "REPRESENTATIVE_OTHER"), (2, "")):
        said = {"device": f"phone {number}", "representative": person_id(number)}
        told = door.account(1, 60, door.code(f"phone {number}", 60), ends=(BANK, "07"), **said)
        assert told.code == (3 if rule else 0)
    assert switch.verify(door.home)
    return door.home


def said_of(record: tuple[Any, ...]) -> dict[str, Any]:
    """What a citizen said by an audit record; nothing where it is of nobody."""
    detail = json.loads(record[3])
    found: dict[str, Any] = detail.get("citizen", detail if record[2] == "citizen" else {})
    return found


def forge(home: Path, first: str, /, at: str = "", **changes: Any) -> None:
    """Change the first record of one rule ("": a claim, "bound": a binding), with links that fit
    all the way. None takes a field away."""
    done = False

    def changed(row: tuple[Any, ...]) -> tuple[str, Any]:
        nonlocal done
        _, when, kind, text = row
        said = said_of(row)
        word = "bound" if "bound" in said else said.get("rule", "") if said else None
        if word != first or done:
            return when, json.loads(text)
        done = True
        said = {n: v for n, v in {**said, **changes}.items() if v is not None}
        detail = {**json.loads(text), "citizen": said} if kind == "register" else said
        return at or when, detail

    relink(home, changed)
    assert done


def relink(home: Path, changed: Callable[[tuple[Any, ...]], tuple[str, Any]]) -> None:
    """Write the audit chain anew, with times and details that were changed."""
    previous = "0" * 64
    for row in catalog(home, "SELECT seq, at, kind, detail FROM audit ORDER BY seq"):
        seq, _, kind, text = row
        when, detail = changed(row)
        text = msgspec.json.encode(detail, order="sorted").decode()
        link = link_of(previous, seq, when, kind, text)
        change_catalog(
            home,
            "UPDATE audit SET at = ?, detail = ?, previous = ?, link = ? WHERE seq = ?",
            *(when, text, previous, link, seq),
        )
        previous = link
    new_checkpoint(home)


FORGED: dict[str, tuple[str, dict[str, Any]]] = {
    "a binding without a number": ("bound", {"bound": 2}),
    "a binding by nobody": ("bound", {"by": None}),
    "a binding of no authority": ("bound", {"mark": None}),
    "a device nobody has is taken": ("DEVICE_TAKEN", {"device": "0" * 16}),
    "a taken device is bound": ("DEVICE_TAKEN", {"rule": None, "bound": 3, "by": "x", "mark": "y"}),
    "a claim without a device": ("NOT_BOUND", {"rule": "CODE_WRONG"}),
    "no device where one is bound": ("DEVICE_OTHER", {"rule": "NOT_BOUND"}),
    "a claim from another device": ("", {"device": "0" * 16}),
    "the bound device is another": ("LOCKED", {"rule": "DEVICE_OTHER"}),
    "another device is the bound one": ("DEVICE_OTHER", {"rule": "CODE_WRONG"}),
    "a fifth try that was right": ("CODE_WRONG", {"rule": "HOLDER_OTHER", "step": 59_855_160}),
    "a try within the lock": ("LOCKED", {"rule": "CODE_WRONG"}),
    "a lock that is none": ("HOLDER_OTHER", {"rule": "LOCKED", "step": None}),
    "a wrong code with a step": ("CODE_WRONG", {"step": 1}),
    "a code of another time": ("", {"step": 59_855_170}),
    "a code without a step": ("", {"step": None}),
    "a used code that was not": ("HOLDER_OTHER", {"rule": "CODE_USED"}),
    "a code that was used": ("CODE_USED", {"rule": "ACCOUNT_HELD"}),
    "an unknown rule": ("HOLDER_OTHER", {"rule": "TOO_LATE"}),
    "a claim of no account": ("", {"account": None}),
    "a claim of another account": ("", {"account": "0" * 16}),
    "a claim of another person": ("", {"person": 0}),
    "another priority": ("", {"priority": 9}),
    "another day": ("", {"valid_from": "2026-12-01"}),
    "another participant": ("", {"participant": BANK}),
    "another account that ends": ("", {"ended": "0" * 16}),
    "no account that ends": ("", {"ended": None}),
    "a refusal that names an account": ("HOLDER_OTHER", {"account": "0" * 16}),
}


@pytest.mark.parametrize("name", FORGED)
def test_verify__finds_a_record_that_breaks_a_rule(home: Path, name: str) -> None:
    rule, changes = FORGED[name]
    forge(home, rule, **changes)
    with pytest.raises(VerificationFailed, match="self-service"):
        switch.verify(home)


OF_REPRESENTATIVES: dict[str, tuple[str, dict[str, Any]]] = {
    "nobody is represented who refuses": ("REPRESENTATIVE_OTHER", {"holder": None}),
    "somebody represents themself": ("REPRESENTATIVE_OTHER", {"holder": 2}),
    "a device is bound for another": ("bound", {"holder": 0}),
    "an authority without an end": ("", {"valid_to": None}),
    "an authority that ended before": ("", {"valid_to": "2026-11-25"}),
    "another end": ("", {"valid_to": "2027-02-01"}),
    "an end where nobody represents": ("", {"holder": None}),
    "for another person": ("", {"holder": 2}),
    "the account is the person's own": ("", {"holder": None, "valid_to": None}),
    "another one represents": ("", {"person": 2}),
}


@pytest.mark.parametrize("name", OF_REPRESENTATIVES)
def test_verify__finds_a_representative_who_is_none(
    represented: Path, tmp_path: Path, name: str
) -> None:
    home = shutil.copytree(represented, tmp_path / "home")
    rule, changes = OF_REPRESENTATIVES[name]
    forge(home, rule, **changes)
    with pytest.raises(VerificationFailed, match="self-service"):
        switch.verify(home)


def test_verify__finds_a_record_before_its_time(home: Path) -> None:
    forge(home, "LOCKED", at=later(7))
    with pytest.raises(VerificationFailed, match="what the same person said before"):
        switch.verify(home)


def test_verify__finds_a_lock_that_ended_too_early(home: Path) -> None:
    forge(home, "LOCKED", at=later(8 + 300))
    with pytest.raises(VerificationFailed, match="a lock is there exactly where it says so"):
        switch.verify(home)


def test_verify__finds_a_claim_in_a_record_of_another_kind(home: Path) -> None:
    forge(home, "HOLDER_OTHER", rule=None, account="0" * 16, participant=BANK, valid_from=later(0))
    with pytest.raises(VerificationFailed, match=r"self-service.*no record of what it says"):
        switch.verify(home)


def test_verify__finds_accounts_that_were_changed_without_a_word(home: Path) -> None:
    """A table of accounts may change them; it is taken for one of people here."""
    with switch.open(home) as engine:
        engine.register(accounts=accounts_table([account(2)]))

    def changed(row: tuple[Any, ...]) -> tuple[str, Any]:
        detail = json.loads(row[3])
        if row[2] == "register" and "citizen" not in detail:
            detail["population"] = detail.pop("accounts", 0)
        return row[1], detail

    relink(home, changed)
    with pytest.raises(VerificationFailed, match=r"self-service.*ends on another day"):
        switch.verify(home)


def test_verify__a_table_of_accounts_may_change_what_citizens_registered(home: Path) -> None:
    with switch.open(home) as engine:
        engine.register(accounts=accounts_table([account(3)]), replace=True)
    assert switch.verify(home)


def test_verify__finds_every_flipped_bit_of_a_record(home: Path) -> None:
    """By the digest of the catalog, and by the chain where somebody wrote that anew."""
    rows = catalog(home, "SELECT detail FROM audit WHERE kind = 'citizen' ORDER BY seq")
    file, checkpoint = home / "catalog.sqlite", home / "checkpoint"
    content, said = file.read_bytes(), checkpoint.read_bytes()
    for text in (rows[0][0], rows[-1][0]):
        start = content.index(text.encode())
        for bit in range(0, 8 * len(text), 61):
            changed = bytearray(content)
            changed[start + bit // 8] ^= 1 << bit % 8
            file.write_bytes(changed)
            checkpoint.write_bytes(said)
            with pytest.raises(SwitchError):
                switch.verify(home)
            new_checkpoint(home)
            with pytest.raises(SwitchError):
                switch.verify(home)
