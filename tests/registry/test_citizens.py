"""Citizens register accounts themselves: the holder alone, from the bound device, by a code that
counts once."""

from __future__ import annotations

import datetime as dt
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from phones import MINE, SECRET, Door, code_of, later, refused, secret_file, wrong
from scene import (
    BANK,
    SMALL_BANK,
    TREASURY,
    WALLET,
    Said,
    account,
    accounts_table,
    command,
    line,
    make_home,
    payment_table,
    people_table,
    person,
    person_id,
    run,
    tree_digest,
)
from signing_people import policy, sign_all, table

pytest.importorskip("pyotp")

import switch
from switch.errors import EnvironmentFailed, UsageError
from switch.registry.passwords import Authority

TODAY = dt.date(2026, 11, 26)


@pytest.fixture
def door(tmp_path: Path) -> Door:
    """Persons 1 to 4; 1 to 3 have an account, and 1 and 2 a bound phone."""
    found = Door(tmp_path)
    make_home(found.home, map(person, range(1, 5)), map(account, range(1, 4)))
    for number in (1, 2):
        assert found.bind(number).code == 0
    return found


def test_citizen__holder_registers_an_account_and_runs_use_it(door: Door) -> None:
    said = door.account(1, 60, ends=(BANK, "1000000001"))
    assert said.code == 0, said.err
    assert {**said.document, "person": ""} == {
        "person": "",
        "at": later(60),
        "participant": SMALL_BANK,
        "account": "******00",
        "kind": "bank",
        "priority": 1,
        "valid_from": "2026-11-26",
        "valid_to": "",
        "representative": "",
        "ended": f"{BANK}:********01",
        "register": 2,
    }
    shown = door.show(1)
    assert [
        (one["participant"], one["valid_from"], one["valid_to"]) for one in shown["accounts"]
    ] == [
        (BANK, "", "2026-11-25"),
        (SMALL_BANK, "2026-11-26", ""),
    ]
    with switch.open(door.home) as engine:
        before = run(engine, [line(1)], "B", value_date="2026-11-25")
        after = run(engine, [line(1, period=202612)], "C", value_date="2026-11-26")
        assert before.status["participant"].to_pylist() == [BANK]
        assert after.status["participant"].to_pylist() == [SMALL_BANK]
    assert switch.verify(door.home)


def test_citizen__another_account_stands_behind_those_before(door: Door) -> None:
    assert door.account(1, 60).document["priority"] == 2
    told = door.account(1, 90, participant=WALLET, account="0912345678", priority="1").document
    assert (told["kind"], told["priority"]) == ("wallet", 1)
    assert [one["participant"] for one in door.accounts(1)] == [BANK, WALLET, SMALL_BANK]
    assert switch.verify(door.home)


def test_citizen__a_borrowed_code_is_wrong(door: Door) -> None:
    borrowed = door.code("phone 2", 60)
    refused(door.account(1, 60, borrowed), "CODE_WRONG")
    assert door.show(1)["wrong_codes"] == 1
    assert door.records()[-1]["rule"] == "CODE_WRONG"
    assert door.account(2, 60).code == 0, "it is still the code of its own phone"


def test_citizen__another_device_is_refused_even_with_the_right_code(door: Door) -> None:
    refused(door.account(1, 60, device="phone 2"), "DEVICE_OTHER")
    refused(door.account(1, 60, device="a new phone"), "DEVICE_OTHER")
    assert [one["rule"] for one in door.records()[-2:]] == ["DEVICE_OTHER"] * 2
    assert door.show(1)["wrong_codes"] == 0
    refused(door.account(3, 60, "123456"), "NOT_BOUND")
    assert door.records()[-1]["rule"] == "NOT_BOUND"
    assert door.account(1, 60).code == 0
    assert switch.verify(door.home)


def test_citizen__a_sixth_try_is_locked_out_for_300_seconds(door: Door) -> None:
    for at in range(60, 65):
        refused(door.account(1, at, wrong(door.code("phone 1", at))), "CODE_WRONG")
    assert door.show(1)["locked_until"] == later(64 + 300)
    refused(door.account(1, 65), "LOCKED")
    refused(door.account(1, 363), "LOCKED")
    assert door.account(2, 100, account="20002002").code == 0, "others are not locked"
    assert [one["rule"] for one in door.records() if "rule" in one] == [
        *["CODE_WRONG"] * 5,
        *["LOCKED"] * 2,
    ]
    assert door.account(1, 364).code == 0
    assert switch.verify(door.home)


def test_citizen__a_right_code_begins_the_count_anew(door: Door) -> None:
    for at in range(60, 64):
        refused(door.account(1, at, wrong(door.code("phone 1", at))), "CODE_WRONG")
    assert door.account(1, 64).code == 0
    refused(door.account(1, 65, wrong(door.code("phone 1", 65))), "CODE_WRONG")
    assert (door.show(1)["wrong_codes"], door.show(1)["locked_until"]) == (1, "")
    assert switch.verify(door.home)


def test_citizen__a_new_device_lifts_no_lock(door: Door) -> None:
    for at in range(60, 65):
        refused(door.account(1, at, wrong(door.code("phone 1", at))), "CODE_WRONG")
    assert door.bind(1, "a new phone", 70).code == 0
    mine = door.code("a new phone", 80)
    refused(door.account(1, 80, mine, device="a new phone"), "LOCKED")
    assert switch.verify(door.home)


def test_citizen__a_used_code_and_one_before_it_are_refused(door: Door) -> None:
    assert door.account(1, 60).code == 0
    refused(door.account(1, 62, account="20002001"), "CODE_USED")
    refused(door.account(1, 63), "CODE_USED")
    refused(door.account(1, 61 + 2, door.code("phone 1", 60, -1), account="2"), "CODE_USED")
    assert door.show(1)["wrong_codes"] == 0
    assert [one["rule"] for one in door.records()[-3:]] == ["CODE_USED"] * 3
    assert door.account(1, 90, account="20002001").code == 0
    assert switch.verify(door.home)


def test_citizen__a_code_lives_for_its_half_minute_and_the_next(door: Door) -> None:
    early, old = door.code("phone 1", 60, 1), door.code("phone 1", 60, -2)
    refused(door.account(1, 60, early), "CODE_WRONG")
    refused(door.account(1, 60, old), "CODE_WRONG")
    assert door.account(1, 60, door.code("phone 1", 60, -1)).code == 0
    assert door.account(1, 61, account="20002001").code == 0, "the one after it was not used"
    assert switch.verify(door.home)


def test_citizen__only_the_holder_registers_an_account_and_the_code_is_used(door: Door) -> None:
    theirs = {"participant": BANK, "account": "1000000002"}
    refused(door.account(1, 60, **theirs), "HOLDER_OTHER")
    refused(door.account(1, 61), "CODE_USED")
    refused(door.account(1, 90, participant=BANK, account="1000000001"), "ACCOUNT_HELD")
    assert door.account(1, 120, account="ABC-1").code == 0
    refused(door.account(2, 120, account="ABC-1"), "HOLDER_OTHER")
    assert door.account(2, 150, account="ABC-2").code == 0
    assert switch.verify(door.home)


@pytest.mark.parametrize("since", [None, TODAY, TODAY + dt.timedelta(days=1)])
def test_citizen__of_somebody_deceased_nobody_registers_an_account(
    door: Door, since: dt.date | None
) -> None:
    """Whoever has the device is not the person; from the day of the death on, not before it."""
    with switch.open(door.home) as engine:
        dead = person(1, status="deceased", status_since=since)
        engine.register(population=people_table([dead]))
    before, said = door.accounts(1), door.account(1, 60)
    if since is None or since <= TODAY:
        refused(said, "HOLDER_DECEASED")
        assert door.records()[-1]["rule"] == "HOLDER_DECEASED"
        refused(door.account(1, 61), "CODE_USED")
        assert door.accounts(1) == before
    else:
        assert said.code == 0, said.err
    assert switch.verify(door.home)


def test_citizen__an_account_that_ends_is_one_of_theirs(door: Door) -> None:
    refused(door.account(1, 60, ends=(BANK, "1000000002")), "ACCOUNT_UNKNOWN")
    assert door.records()[-1]["rule"] == "ACCOUNT_UNKNOWN"
    assert switch.verify(door.home)


def test_citizen__a_device_is_of_one_person_and_a_new_one_takes_its_place(door: Door) -> None:
    refused(door.bind(3, "phone 1", 10), "DEVICE_TAKEN")
    assert door.records()[-1]["rule"] == "DEVICE_TAKEN"
    assert door.bind(1, "a new phone", 20).code == 0
    refused(door.account(1, 60), "DEVICE_OTHER")
    mine = door.code("a new phone", 60)
    assert door.account(1, 60, mine, device="a new phone").code == 0
    assert door.bind(3, "phone 1", 70).code == 0, "nobody has it any more"
    assert switch.verify(door.home)


def test_bind__the_same_again_records_nothing_and_writes_the_address_again(door: Door) -> None:
    first = door.phone("phone 1").read_text("utf-8")
    before = tree_digest(door.home)
    door.phone("phone 1").unlink()
    again = door.bind(1, at=30)
    assert (again.code, again.document["new"], again.document["number"]) == (0, False, 1)
    assert door.phone("phone 1").read_text("utf-8") == first
    assert door.phone("phone 1").stat().st_mode & 0o777 == 0o600
    assert tree_digest(door.home) == before
    refused(door.account(1, 60, wrong(door.code("phone 1", 60))), "CODE_WRONG")
    assert door.bind(1, at=90).document["number"] == 3, "it was used since: a binding of its own"
    assert door.phone("phone 1").read_text("utf-8") != first


def test_bind__an_address_that_cannot_be_written_says_what_to_do(door: Door) -> None:
    said = door.bind(3, "phone 3", out=str(door.secrets / "phone"))
    assert said.code == 6
    assert "the same command writes its copies again" in said.err
    assert door.bind(3, "phone 3").document["new"] is False


WRONG: dict[str, Callable[[Door], Said]] = {
    "12 digits": lambda door: command("citizen", door.home, "show", "12345"),
    "in no register": lambda door: command("citizen", door.home, "show", person_id(9)),
    "needs --device": lambda door: door.say("account", 1, code="123456"),
    "--code is not of citizen bind": lambda door: door.bind(1, code="123456"),
    "a code is 6 digits": lambda door: door.account(1, 60, "12345"),
    "participant '999999' is none": lambda door: door.account(1, 60, participant="999999"),
    f"participant '{TREASURY}' is none": lambda door: door.account(1, 60, participant=TREASURY),
    "instead of itself": lambda door: door.account(1, 60, ends=MINE),
    "needs --by": lambda door: door.bind(3, by=""),
    "at is a day": lambda door: door.say(
        "account", 1, device="phone 1", code="123456", secrets=str(door.secrets),
        participant=BANK, account="1", at="2026-11-26"),
    "is inside the home": lambda door: door.bind(3, secrets=str(door.home / "key")),
    "inside the home": lambda door: door.bind(3, out=str(door.home / "phone")),
    "64 printable characters": lambda door: door.bind(3, "x" * 65),
    "32 bytes or more": lambda door: door.bind(
        3, secrets=str(secret_file(door.folder, b"short"))),
    "is not that of the authority": lambda door: door.account(
        1, 60, secrets=str(secret_file(door.folder, b"x" * 40))),
}  # fmt: skip


@pytest.mark.parametrize("words", WRONG)
def test_citizen__a_call_that_is_wrong_itself_is_nobodys_try(door: Door, words: str) -> None:
    before = tree_digest(door.home)
    said = WRONG[words](door)
    assert said.code == 2, said.err
    assert words in said.err
    assert tree_digest(door.home) == before


def test_citizen__an_account_that_is_none_uses_no_code(door: Door) -> None:
    before = tree_digest(door.home)
    refused(door.account(1, 60, account="1 000"), "ACCOUNT_FORMAT")
    refused(door.account(1, 60, account="1" * 35), "ACCOUNT_LENGTH")
    assert tree_digest(door.home) == before


def test_citizen__calls_of_the_library_say_what_they_lack(door: Door) -> None:
    said: dict[str, Any] = {"device": "phone 1", "code": "123456", "secrets": SECRET}
    said |= {"participant": MINE[0], "account": MINE[1], "at": later(60)}
    person = person_id(1)
    with switch.open(door.home) as engine:
        citizens = engine.citizens
        assert repr(citizens) == f"<Citizens of {door.home}>"
        for changes in ({"at": ""}, {"priority": 256}, {"device": ""}, {"device": None}):
            with pytest.raises(UsageError):
                citizens.account(person, **said | changes)
        with pytest.raises(UsageError, match="say code"):
            citizens.account(person, **{n: v for n, v in said.items() if n != "code"})
        with pytest.raises(UsageError, match="who saw the person"):
            citizens.bind(person, device="x", by="", secrets=SECRET, out="phone", at=later(1))
        assert citizens.show(person)["wrong_codes"] == 0


def test_citizen__a_person_has_255_accounts_at_most(door: Door) -> None:
    many = [account(1, account=f"7{n:05d}") for n in range(254)]
    with switch.open(door.home) as engine:
        engine.register(accounts=accounts_table(many))
    refused(door.account(1, 60), "ACCOUNTS_FULL")
    assert door.records()[-1]["rule"] == "ACCOUNTS_FULL"
    assert switch.verify(door.home)


def test_citizen__time_of_a_person_does_not_run_back(door: Door) -> None:
    for at in range(160, 165):
        refused(door.account(1, at, wrong(door.code("phone 1", at))), "CODE_WRONG")
    refused(door.account(1, 100), "DAYS_RUN_BACK")
    assert door.account(2, 100).code == 0, "another one's may be earlier"


def test_citizen__secret_that_others_may_read_is_refused(door: Door) -> None:
    door.secrets.chmod(0o640)
    said = door.account(1, 60)
    assert said.code == 2
    assert "chmod 600" in said.err


def test_citizen__no_secret_seed_code_or_id_stands_in_the_home_or_in_words(door: Door) -> None:
    seed = door.phone("phone 1").read_text("utf-8").partition("secret=")[2].partition("&")[0]
    used = door.code("phone 1", 60)
    told = [door.account(1, 60, account="77665544332211"), door.account(1, 61)]
    told += [door.account(1, 62, "000000"), door.bind(3, "phone 1")]
    words = [person_id(1), "phone 1", seed, used, SECRET.decode(), "77665544332211"]
    for said in told:
        for word in words:
            assert word not in said.out.replace(str(door.folder), "")
            assert word not in said.err
    catalog = (door.home / "catalog.sqlite").read_bytes()
    for word in words:
        assert word.encode() not in catalog
    with pytest.raises(UsageError) as error:
        Authority(b"a short secret")
    assert "a short secret" not in f"{error.value}{Authority(SECRET)!r}"


def test_password__is_that_of_rfc_6238() -> None:
    """Appendix B, by six digits: the seed is 12345678901234567890."""
    for second, shown in ((59, "287082"), (1111111109, "081804"), (20000000000, "353130")):
        assert code_of(b"12345678901234567890", second // 30) == shown


def test_citizen__without_the_library_says_which_extra(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pyotp", None)
    said = door.account(1, 60, "123456")
    assert said.code == 2
    assert "payment-switch[citizen]" in said.err


def test_citizen__reads_the_person_from_stdin(door: Door) -> None:
    import io
    from unittest import mock

    given = io.TextIOWrapper(io.BytesIO(person_id(1).encode()))
    with mock.patch("sys.stdin", given):
        said = command("citizen", door.home, "show", "-", "--json")
    assert said.document == door.show(1)


def test_bind__full_disk_leaves_no_try(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise EnvironmentFailed("the disk is full")

    with switch.open(door.home) as engine:
        monkeypatch.setattr(engine.home, "commit", full)
        with pytest.raises(EnvironmentFailed):
            engine.citizens.bind(
                person_id(3), device="phone 3", by="an officer", secrets=SECRET,
                out=door.phone("phone 3"), at=later(1),
            )  # fmt: skip
    assert not door.phone("phone 3").exists()


def test_copy_of_a_home_has_the_same_codes(door: Door) -> None:
    """So it can be rehearsed; a home of another key has others."""
    shutil.copytree(door.home, door.folder / "copy")
    door.home = door.folder / "copy"
    assert door.account(1, 60).code == 0


def test_citizen__a_change_does_not_alter_a_certified_table(tmp_path: Path) -> None:
    """It receives behind the value dates of all that are certified and were not run yet."""
    found = Door(tmp_path)
    make_home(found.home, map(person, range(1, 5)), map(account, range(1, 4)))
    found.bind(1, at=-86400 * 10)
    tables = [
        table(tmp_path, name, period=period) for name, period in (("B1", 202611), ("B2", 202612))
    ]
    with switch.open(found.home) as engine:
        engine.control.set_policy(policy())
        sign_all(engine, tables[0])
        sign_all(engine, tables[1], "B2", until="certify")
    said = found.account(1, -86400 * 5, ends=(BANK, "1000000001"))
    assert said.document["valid_from"] == "2026-11-26", "B1 is of the 25th"
    with switch.open(found.home) as engine:
        assert engine.run(tables[0]).status["participant"].to_pylist()[0] == BANK
    assert switch.verify(found.home)


def test_citizen__a_batch_is_derived_again_with_the_register_that_it_used(door: Door) -> None:
    rows = payment_table([line(1)])
    with switch.open(door.home) as engine:
        run(engine, rows, "B")
        shutil.copytree(door.home / "registers" / "000001", door.folder / "kept")
    assert door.account(1, 60, ends=(BANK, "1000000001")).code == 0
    with pytest.raises(UsageError, match="version 1 of the register"):
        switch.replay(door.home, "B", rows)
    assert switch.replay(door.home, "B", rows, register=door.folder / "kept")


def test_citizen__speaks_vietnamese(door: Door) -> None:
    def said(*words: str) -> str:
        return command("--lang", "vi", "citizen", door.home, *words).out

    assert "chưa gắn thiết bị nào" in said("show", person_id(3))
    assert "chưa đăng ký tài khoản nào" in said("show", person_id(4))
    words = ("--device", "phone 3", "--by", "an officer", "--secrets", str(door.secrets))
    told = said("bind", person_id(3), *words, "--out", str(door.phone("phone 3")), "--at", later(0))
    assert "thiết bị 3 đã gắn với" in told
    code = ("--code", door.code("phone 3", 60), "--at", later(60), *words[:2], *words[4:])
    place = ("--participant", SMALL_BANK, "--account", "20003000")
    ends = ("--instead-of", BANK, "1000000003")
    told = said("account", person_id(3), *code, *place, *ends)
    assert f"{SMALL_BANK}:******00 nhận tiền từ 2026-11-26, thứ tự ưu tiên 1" in told
    assert "hết hiệu lực vào ngày hôm trước" in told
    assert "thiết bị đã gắn: 2026-11-26" in said("show", person_id(3))
