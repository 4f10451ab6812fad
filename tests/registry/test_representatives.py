"""Representatives at the door of citizens: who is named, lives and may still receive registers an
account of their own for the person, from a device of their own."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import pytest
from phones import Door, later, refused, wrong
from scene import (
    BANK,
    SMALL_BANK,
    WALLET,
    account,
    command,
    line,
    make_home,
    people_table,
    person,
    person_id,
    run,
    tree_digest,
)
from signing_people import policy, sign_all, table

pytest.importorskip("pyotp")

import switch

TODAY = dt.date(2026, 11, 26)
DAY = dt.timedelta(days=1)
CHILD, HEAD, OTHER = 1, 2, 3
UNTIL = TODAY + 30 * DAY


def of_head(number: int = CHILD, **changes: Any) -> dict[str, Any]:
    """An account of the child that is the head's."""
    row = account(number, participant=WALLET, account="0907", valid_to=UNTIL)
    return row | {"representative": person_id(HEAD)} | changes


def door_of(folder: Path, *rows: dict[str, Any], **changes: Any) -> Door:
    """Persons 1 to 4; the child has these accounts, the others one each. changes: of the head."""
    found = Door(folder)
    others = [account(n) for n in (HEAD, OTHER, 4)]
    people = [person(n, **(changes if n == HEAD else {})) for n in range(1, 5)]
    make_home(found.home, people, [*rows, *others])
    for number in (CHILD, HEAD, OTHER):
        assert found.bind(number).code == 0
    return found


@pytest.fixture
def door(tmp_path: Path) -> Door:
    return door_of(tmp_path, of_head())


def acts(door: Door, at: int, who: int = HEAD, code: str = "", **more: Any) -> Any:
    """Somebody registers an account for the child, on their own device."""
    device = more.pop("device", f"phone {who}")
    code = code or door.code(f"phone {who}", at)
    return door.account(CHILD, at, code, device=device, representative=person_id(who), **more)


def last(door: Door) -> dict[str, Any]:
    return door.records()[-1]


def test_claim__a_representative_registers_an_account_until_the_authority_ends(door: Door) -> None:
    said = acts(door, 60, ends=(WALLET, "0907"))
    assert said.code == 0, said.err
    told = said.document
    assert (told["valid_from"], told["valid_to"]) == (str(TODAY), str(UNTIL))
    assert told["representative"] not in ("", person_id(HEAD))
    assert (told["priority"], told["ended"]) == (1, f"{WALLET}:***7")
    shown = door.accounts(CHILD)
    assert [(one["participant"], one["valid_to"]) for one in shown] == [
        (WALLET, str(TODAY - DAY)),
        (SMALL_BANK, str(UNTIL)),
    ]
    assert {one["representative"] for one in shown} == {told["representative"]}
    record = last(door)
    assert record["valid_to"] == str(UNTIL)
    assert record["holder"] != record["person"]
    with switch.open(door.home) as engine:
        day = run(engine, [line(CHILD)], value_date=UNTIL)
        late = run(engine, [line(CHILD, period=202612)], "C", value_date=UNTIL + DAY)
    assert day.status["participant"].to_pylist() == [SMALL_BANK]
    assert late.status["reason"].to_pylist() == ["AC03"]
    assert switch.verify(door.home)


def test_claim__who_is_not_named_is_refused(door: Door) -> None:
    refused(acts(door, 60, OTHER), "REPRESENTATIVE_OTHER")
    record = last(door)
    assert (record["rule"], record["step"] > 0) == ("REPRESENTATIVE_OTHER", True)
    assert record["holder"] != record["person"]
    refused(acts(door, 61, OTHER), "CODE_USED")
    assert len(door.accounts(CHILD)) == 1
    assert switch.verify(door.home)


@pytest.mark.parametrize("days", [0, -1])
def test_claim__an_authority_that_is_over_is_refused(tmp_path: Path, days: int) -> None:
    """The last day counts; a day later neither another account is registered nor the old one
    kept."""
    door = door_of(tmp_path, of_head(valid_to=TODAY + days * DAY))
    kept = {"participant": WALLET, "account": "0907"}
    if days == 0:
        assert acts(door, 60).code == 0
        refused(acts(door, 90, **kept), "ACCOUNT_HELD")
        return
    refused(acts(door, 60), "AUTHORITY_OVER")
    assert last(door)["rule"] == "AUTHORITY_OVER"
    refused(acts(door, 90, **kept), "AUTHORITY_OVER")
    refused(acts(door, 120, ends=(WALLET, "0907")), "AUTHORITY_OVER")
    assert [one["valid_to"] for one in door.accounts(CHILD)] == [str(TODAY - DAY)]
    assert switch.verify(door.home)


LIVES = {
    "deceased": ({"status": "deceased"}, "REPRESENTATIVE_NOT_ALIVE"),
    "deceased today": ({"status": "deceased", "status_since": TODAY}, "REPRESENTATIVE_NOT_ALIVE"),
    "deceased tomorrow": ({"status": "deceased", "status_since": TODAY + DAY}, ""),
    "missing": ({"status": "missing"}, "REPRESENTATIVE_NOT_ALIVE"),
    "revoked": ({"status": "revoked"}, "REPRESENTATIVE_NOT_ALIVE"),
    "late": ({"status": "late"}, "REPRESENTATIVE_NOT_ALIVE"),
}


@pytest.mark.parametrize("case", LIVES)
def test_claim__a_representative_lives(tmp_path: Path, case: str) -> None:
    changes, rule = LIVES[case]
    door = door_of(tmp_path, of_head(), **changes)
    said = acts(door, 60)
    if rule:
        refused(said, rule)
        assert last(door)["rule"] == rule
    else:
        assert said.code == 0
    assert switch.verify(door.home)


def test_claim__a_death_that_came_later_counts(door: Door) -> None:
    assert acts(door, 60).code == 0
    with switch.open(door.home) as engine:
        engine.register(population=people_table([person(HEAD, status="deceased")]))
    refused(acts(door, 90, account="20002001"), "REPRESENTATIVE_NOT_ALIVE")
    assert switch.verify(door.home)


def test_claim__for_a_child_that_died_is_refused(door: Door) -> None:
    """Arrears may still be owed: they go to accounts that stand, and to no new one."""
    with switch.open(door.home) as engine:
        engine.register(
            population=people_table([person(CHILD, status="deceased", status_since=TODAY)])
        )
    refused(acts(door, 60), "HOLDER_DECEASED")
    assert last(door)["rule"] == "HOLDER_DECEASED"
    refused(acts(door, 61), "CODE_USED")
    assert switch.verify(door.home)


def test_claim__a_device_of_somebody_else_is_refused(door: Door) -> None:
    code = door.code(f"phone {CHILD}", 60)
    refused(acts(door, 60, code=code, device=f"phone {CHILD}"), "DEVICE_OTHER")
    assert last(door)["rule"] == "DEVICE_OTHER"
    refused(acts(door, 61, device=f"phone {OTHER}"), "DEVICE_OTHER")
    refused(acts(door, 62, code=code), "CODE_WRONG")
    for at in range(63, 67):
        refused(acts(door, at, code=wrong(door.code(f"phone {HEAD}", at))), "CODE_WRONG")
    refused(acts(door, 68), "LOCKED")
    assert door.show(HEAD)["locked_until"] == later(66 + 300)
    assert not door.show(CHILD)["locked_until"], "the child is not locked by it"
    refused(acts(door, 70, 4, code="123456"), "NOT_BOUND")
    assert switch.verify(door.home)


def test_claim__a_representative_ends_their_own_accounts_alone(tmp_path: Path) -> None:
    mine = account(CHILD, priority=2)
    door = door_of(tmp_path, of_head(), mine)
    refused(acts(door, 60, ends=(BANK, mine["account"])), "ACCOUNT_UNKNOWN")
    refused(acts(door, 90, participant=BANK, account=mine["account"]), "HOLDER_OTHER")
    told = acts(door, 120).document
    assert told["priority"] == 3, "behind all others"
    assert switch.verify(door.home)


def test_claim__the_account_is_the_representatives_own(door: Door) -> None:
    """An account of the head's own may receive for the child, one of somebody else's may not."""
    theirs = {"participant": BANK, "account": "1000000003"}
    refused(acts(door, 60, **theirs), "HOLDER_OTHER")
    assert acts(door, 90, participant=BANK, account="1000000002").code == 0
    said = door.account(HEAD, 120, participant=WALLET, account="0907")
    assert said.code == 0, "the head receives there for the child already: it is the head's"
    refused(door.account(OTHER, 120, participant=WALLET, account="0907"), "HOLDER_OTHER")
    assert switch.verify(door.home)


@pytest.mark.parametrize("days", [30, -1])
def test_claim__a_person_keeps_no_account_of_a_representative_as_their_own(
    tmp_path: Path, days: int
) -> None:
    door = door_of(tmp_path, of_head(valid_to=TODAY + days * DAY))
    refused(door.account(CHILD, 60, participant=WALLET, account="0907"), "HOLDER_OTHER")
    said = door.account(CHILD, 90, ends=(WALLET, "0907") if days > 0 else ())
    assert said.code == 0, said.err
    assert said.document["representative"] == ""
    if days > 0:
        refused(acts(door, 120), "AUTHORITY_OVER")
    assert switch.verify(door.home)


def test_claim__words_of_a_call_are_nobodys_try(door: Door) -> None:
    before = tree_digest(door.home)
    for said in (
        acts(door, 60, priority="1"),
        acts(door, 60, CHILD),
        door.account(CHILD, 60, representative="12"),
        door.account(CHILD, 60, representative=person_id(77)),
        command("citizen", door.home, "show", person_id(1), "--representative", person_id(2)),
    ):
        assert said.code == 2, said
        assert person_id(77) not in said.out + said.err
    assert tree_digest(door.home) == before


def test_claim__alters_no_table_that_is_certified(tmp_path: Path) -> None:
    """An account begins behind a certified table, and the authority has to last until then."""
    door = Door(tmp_path)
    day = TODAY - DAY
    people, long = map(person, range(1, 5)), of_head(4, account="4")
    make_home(door.home, people, [of_head(valid_to=day), long, *map(account, (HEAD, OTHER))])
    door.bind(HEAD, at=-86400 * 10)
    file = table(tmp_path)
    with switch.open(door.home) as engine:
        engine.control.set_policy(policy())
        sign_all(engine, file)
    at = -86400 * 5
    refused(acts(door, at), "AUTHORITY_OVER")
    representative, code = person_id(HEAD), door.code(f"phone {HEAD}", at + 60)
    said = door.account(4, at + 60, code, device=f"phone {HEAD}", representative=representative)
    assert said.document["valid_from"] == str(TODAY), "the table is of the day before"
    assert switch.verify(door.home)


def test_claim__people_are_told_of_it_in_words(door: Door) -> None:
    said = command(
        *("citizen", door.home, "account", person_id(CHILD), "--representative", person_id(HEAD)),
        *("--device", f"phone {HEAD}", "--code", door.code(f"phone {HEAD}", 60)),
        *("--secrets", door.secrets, "--participant", SMALL_BANK, "--account", "20002000"),
        *("--at", later(60)),
    )
    assert said.code == 0, said.err
    assert f"it is a representative's, until {UNTIL}" in said.out + said.err
    told = command("citizen", door.home, "show", person_id(CHILD), "--lang", "vi")
    assert told.out.count("của người đại diện") == 2
    assert person_id(HEAD) not in told.out
