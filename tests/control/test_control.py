"""Control: a table is run when all have signed who have to, and not otherwise."""

from __future__ import annotations

import datetime as dt
import json
import shutil
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from home_reads import catalog
from scene import (
    BANK,
    BANK_ACCOUNT,
    DEBTORS,
    PARTICIPANTS,
    TREASURY,
    TREASURY_ACCOUNT,
    account,
    command,
    make_home,
    tree_digest,
)
from scene import person as person_row
from signing_people import DAY, SIGNERS, STEPS, pem, person, policy, public, sign_all, table

import switch
from switch.control.acts import acts
from switch.control.keys import FileKey
from switch.errors import InputRefused, UsageError


@pytest.fixture
def kept(village: Path, tmp_path: Path) -> Path:
    """A home with the usual policy, and the private keys of all people in a folder beside it."""
    with switch.open(village) as engine:
        engine.control.set_policy(policy())
    keys = tmp_path / "keys"
    keys.mkdir()
    for given in policy()["people"]:
        (keys / given["name"]).write_bytes(pem(given["name"]))
    return village


def signed(kept: Path, step: str, target: object, name: str, *more: object) -> Any:
    """A step by the command line."""
    key = kept.parent / "keys" / name
    return command(step, kept, target, "--by", name, "--key", key, *more)


def refused(kept: Path, *call: Any) -> str:
    """The rule by which a step is refused, exit 3: history is as before, and it is noted."""
    history = catalog(kept, "SELECT link FROM audit")
    noted = len(catalog(kept, "SELECT seq FROM events WHERE kind = 'refused act'"))
    said = signed(kept, *call, "--json")
    assert said.code == 3, said.err
    rule = str(said.document["error"]["rule"])
    assert catalog(kept, "SELECT link FROM audit") == history
    events = catalog(kept, "SELECT detail FROM events WHERE kind = 'refused act'")
    assert len(events) == noted + 1
    assert json.loads(events[-1][0])["rule"] == rule
    return rule


def run_by_hand(kept: Path, path: Path, until: str = "") -> None:
    for step, name in SIGNERS.items():
        if step == until:
            return
        said = signed(kept, step, path if step == "prepare" else "B1", name)
        assert said.code == 0, said.err


def test_payday__through_every_step_by_the_command_line(kept: Path, tmp_path: Path) -> None:
    path = table(tmp_path / "in")
    states = []
    for step, name in SIGNERS.items():
        said = signed(kept, step, path if step == "prepare" else "B1", name, "--json")
        assert said.code == 0, said.err
        states.append(said.document["state"])
    assert states == ["DRAFT", "SUBMITTED", "CONTROLLED", "CERTIFIED", "FUNDED", "RELEASED"]
    assert command("run", kept, path).code == 0
    assert switch.verify(kept)
    with switch.open(kept, mode="r") as engine:
        (row,) = engine.control.dossiers().rows()
    assert row["state"] == "SETTLED"
    assert row["signed"] == ", ".join(f"{step} {name}" for step, name in SIGNERS.items())
    lines = [check for check in switch.verify(kept) if "I7 executed is certified" in check.name]
    assert len(lines) == 1


@pytest.mark.parametrize("until", STEPS)
def test_run__refuses_what_is_not_released(kept: Path, tmp_path: Path, until: str) -> None:
    path = table(tmp_path / "in")
    run_by_hand(kept, path, until)
    before = tree_digest(kept)
    said = command("run", kept, path, "--json")
    assert said.code == 3
    assert said.document["error"]["rule"] == "NOT_RELEASED"
    assert tree_digest(kept) == before


def test_run__refuses_a_table_in_memory_and_takes_one_that_was_run_before(
    kept: Path, tmp_path: Path
) -> None:
    path = table(tmp_path / "in")
    run_by_hand(kept, path)
    assert command("run", kept, path).code == 0
    assert command("run", kept, path).code == 0, "it is answered again"
    with switch.open(kept) as engine, pytest.raises(InputRefused, match="is a table in memory"):
        engine.run(
            pq.read_table(path), source="VSS", batch_id="B2", value_date=DAY, count=3, sum=3_000_006
        )


def test_verify__judges_a_signed_table_in_which_nothing_is_paid(kept: Path, tmp_path: Path) -> None:
    """Lines of no money have no sums by programme and account; simulation found it (seed 533)."""
    path = table(tmp_path / "in", amount=0)
    with switch.open(kept) as engine:
        sign_all(engine, path)
        engine.verify()
        assert engine.run(path).summary["cleared"]["count"] == 0
        engine.verify()


def test_refused__same_person_twice(kept: Path, tmp_path: Path) -> None:
    given = policy()
    person(given, "binh")["roles"] = ["approve", "control"]
    with switch.open(kept) as engine:
        keys = {"phuc": pem("phuc")}
        engine.control.set_policy(given, signers=keys, at=DAY)
    run_by_hand(kept, table(tmp_path / "in"), "control")
    assert refused(kept, "control", "B1", "binh") == "SIGNER_TWICE"


def test_refused__same_person_twice_for_one_step(kept: Path, tmp_path: Path) -> None:
    steps = [{"step": s, "signers": 2 if s == "approve" else 1} for s in STEPS]
    with switch.open(kept) as engine:
        engine.control.set_policy(policy(steps=steps), signers={"phuc": pem("phuc")}, at=DAY)
    run_by_hand(kept, table(tmp_path / "in"), "control")
    assert refused(kept, "approve", "B1", "binh") == "SIGNER_TWICE"
    assert signed(kept, "approve", "B1", "bao").code == 0


def test_refused__own_batch(kept: Path, tmp_path: Path) -> None:
    given = policy()
    person(given, "ana")["roles"] = ["prepare", "approve"]
    with switch.open(kept) as engine:
        engine.control.set_policy(given, signers={"phuc": pem("phuc")}, at=DAY)
    run_by_hand(kept, table(tmp_path / "in"), "approve")
    assert refused(kept, "approve", "B1", "ana") == "SIGNER_OWN_BATCH"


def test_refused__unknown_person(kept: Path, tmp_path: Path) -> None:
    run_by_hand(kept, table(tmp_path / "in"), "approve")
    (kept.parent / "keys" / "eve").write_bytes(pem("eve"))
    assert refused(kept, "approve", "B1", "eve") == "SIGNER_UNKNOWN"


def test_refused__unknown_key(kept: Path, tmp_path: Path) -> None:
    run_by_hand(kept, table(tmp_path / "in"), "approve")
    (kept.parent / "keys" / "binh").write_bytes(pem("binh", 2))
    assert refused(kept, "approve", "B1", "binh") == "KEY_UNKNOWN"


def test_refused__key_of_another(kept: Path, tmp_path: Path) -> None:
    run_by_hand(kept, table(tmp_path / "in"), "approve")
    (kept.parent / "keys" / "binh").write_bytes(pem("bao"))
    assert refused(kept, "approve", "B1", "binh") == "KEY_UNKNOWN"


def test_refused__expired_key(kept: Path, tmp_path: Path) -> None:
    given = policy()
    person(given, "binh")["keys"] = [{"public": public("binh"), "until": "2026-11-24"}]
    with switch.open(kept) as engine:
        engine.control.set_policy(given, signers={"phuc": pem("phuc")}, at=DAY)
    run_by_hand(kept, table(tmp_path / "in"), "approve")
    assert refused(kept, "approve", "B1", "binh") == "KEY_EXPIRED"


def test_refused__key_of_another_role(kept: Path, tmp_path: Path) -> None:
    run_by_hand(kept, table(tmp_path / "in"), "approve")
    assert refused(kept, "approve", "B1", "chi") == "ROLE_MISSING"


def test_refused__changed_file(kept: Path, tmp_path: Path) -> None:
    path = table(tmp_path / "in")
    run_by_hand(kept, path, "approve")
    path.write_bytes(path.read_bytes() + b"\0")
    said = signed(kept, "approve", "B1", "binh", "--table", path, "--json")
    assert said.code == 3
    assert said.document["error"]["rule"] == "FILE_HASH"
    table(tmp_path / "in", lines=2)
    said = signed(kept, "approve", "B1", "binh", "--table", path, "--json")
    assert said.code == 3
    assert said.document["error"]["rule"] == "FILE_CHANGED"


def test_refused__another_table_under_a_signed_dossier(kept: Path, tmp_path: Path) -> None:
    path = table(tmp_path / "in")
    run_by_hand(kept, path)
    table(tmp_path / "in", lines=4)
    said = command("run", kept, path, "--json")
    assert said.code == 3
    assert said.document["error"]["rule"] == "TABLE_OTHER"
    table(tmp_path / "in", creditor_agent=BANK, creditor_account="1")
    said = command("run", kept, path, "--json")
    assert said.document["error"]["rule"] == "TABLE_OTHER"
    assert "content differs" in said.err, "lines, sums and days are the same"


def test_refused__over_budget__with_what_is_under_way(kept: Path, tmp_path: Path) -> None:
    first, second = table(tmp_path / "in"), table(tmp_path / "in", "B2", period=202612)
    debtors = [
        {
            **debtor,
            "budget": 5_000_000 if debtor["debtor_account"] == TREASURY_ACCOUNT else None,
        }
        for debtor in DEBTORS
    ]
    with switch.open(kept) as engine:
        engine.change_directory(debtors=pa.Table.from_pylist(debtors))
    run_by_hand(kept, first, "certify")
    assert signed(kept, "prepare", second, "ana").code == 0
    assert signed(kept, "approve", "B2", "binh").code == 0
    assert refused(kept, "control", "B2", "chi") == "BUDGET_EXCEEDED"
    assert signed(kept, "cancel", "B1", "hoa", "--why", "not needed").code == 0
    assert signed(kept, "control", "B2", "chi").code == 0


def test_refused__wrong_order(kept: Path, tmp_path: Path) -> None:
    run_by_hand(kept, table(tmp_path / "in"), "approve")
    assert refused(kept, "certify", "B1", "cuc") == "STEP_ORDER"


def test_refused__certificate_used_again(kept: Path, tmp_path: Path) -> None:
    path = table(tmp_path / "in")
    run_by_hand(kept, path)
    assert command("run", kept, path).code == 0
    assert refused(kept, "prepare", path, "ana") == "CERTIFICATE_USED"
    assert refused(kept, "cancel", "B1", "hoa", "--why", "too late") == "CERTIFICATE_USED"


def test_refused__no_reason(kept: Path, tmp_path: Path) -> None:
    run_by_hand(kept, table(tmp_path / "in"), "approve")
    assert refused(kept, "hold", "B1", "hoa", "--why", "") == "WHY_MISSING"


def test_refused__deadline(kept: Path, tmp_path: Path) -> None:
    steps = [{"step": s} | ({"days": 3} if s != "prepare" else {}) for s in STEPS]
    with switch.open(kept) as engine:
        engine.control.set_policy(policy(steps=steps), signers={"phuc": pem("phuc")}, at=DAY)
    run_by_hand(kept, table(tmp_path / "in"), "approve")
    late = str(dt.date.fromisoformat(DAY) + dt.timedelta(days=4))
    assert refused(kept, "approve", "B1", "binh", "--at", late) == "DEADLINE_PASSED"


def test_refused__time_order(kept: Path, tmp_path: Path) -> None:
    run_by_hand(kept, table(tmp_path / "in"), "approve")
    assert refused(kept, "approve", "B1", "binh", "--at", "2026-11-24") == "TIME_ORDER"


def test_refused__sums_above_need_more(kept: Path, tmp_path: Path) -> None:
    steps = [{"step": s} for s in STEPS]
    steps[3]["above"] = [{"sum": 3_000_005, "signers": 2}]  # type: ignore[index, assignment]
    with switch.open(kept) as engine:
        engine.control.set_policy(policy(steps=steps), signers={"phuc": pem("phuc")}, at=DAY)
    run_by_hand(kept, table(tmp_path / "in"), "fund")
    assert refused(kept, "fund", "B1", "dung") == "STEP_ORDER"
    assert signed(kept, "certify", "B1", "cam").code == 0
    assert signed(kept, "fund", "B1", "dung").code == 0


def test_refused__delegation(kept: Path, tmp_path: Path) -> None:
    given = {"giver": "chi", "taker": "bao", "role": "control", "from": DAY, "until": DAY}
    with switch.open(kept) as engine:
        engine.control.set_policy(
            policy(delegations=[given]), signers={"phuc": pem("phuc")}, at=DAY
        )
    run_by_hand(kept, table(tmp_path / "in"), "control")
    late = "2026-11-26"
    assert refused(kept, "control", "B1", "bao", "--for", "chi", "--at", late) == (
        "DELEGATION_INVALID"
    )
    assert refused(kept, "control", "B1", "bao", "--for", "cuc") == "DELEGATION_INVALID"
    assert refused(kept, "control", "B1", "bao") == "ROLE_MISSING"
    assert signed(kept, "control", "B1", "bao", "--for", "chi").code == 0


def refusal_of(engine: switch.Engine, act: Any) -> str:
    with pytest.raises(InputRefused) as error:
        engine.control.take_act(act)
    events = catalog(engine.home.path, "SELECT detail FROM events WHERE kind = 'refused act'")
    assert json.loads(events[-1][0])["rule"] == error.value.rule
    return error.value.rule


def approval(engine: switch.Engine, path: Path, name: str = "binh") -> Any:
    if not len(engine.control.dossiers()):
        sign_all(engine, path, until="approve")
    return engine.control.statement("B1", "approve", by=name, public=public(name))


def key_of(name: str) -> Any:
    return FileKey(pem(name))


def test_forged__signed_elsewhere__is_taken_once(kept: Path, tmp_path: Path) -> None:
    with switch.open(kept) as engine:
        act = approval(engine, table(tmp_path / "in")).signed(key_of("binh"))
        assert engine.control.take_act(act)["state"] == "SUBMITTED"
        assert refusal_of(engine, act) in ("CERTIFICATE_USED", "STEP_ORDER")
    assert switch.verify(kept)


def test_forged__by_another_signer(kept: Path, tmp_path: Path) -> None:
    with switch.open(kept) as engine:
        act = approval(engine, table(tmp_path / "in")).signed(key_of("bao"))
        assert refusal_of(engine, act) == "SIGNATURE_INVALID"


def test_forged__unsigned(kept: Path, tmp_path: Path) -> None:
    with switch.open(kept) as engine:
        assert refusal_of(engine, approval(engine, table(tmp_path / "in"))) == ("SIGNATURE_INVALID")


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"algorithm": "RS256"}, "ALGORITHM_OTHER"),
        ({"algorithm": "none"}, "ALGORITHM_OTHER"),
        ({"policy": 2}, "POLICY_OTHER"),
        ({"after": "0" * 64}, "STEP_ORDER"),
        ({"step": "bless"}, "STEP_UNKNOWN"),
        ({"why": " blank"}, "WHY_INVALID"),
    ],
)
def test_forged__signed_for_something_else(
    kept: Path, tmp_path: Path, changes: dict[str, Any], rule: str
) -> None:
    with switch.open(kept) as engine:
        act = msgspec.structs.replace(approval(engine, table(tmp_path / "in")), **changes)
        assert refusal_of(engine, act.signed(key_of("binh"))) == rule


def test_forged__edited_table(kept: Path, tmp_path: Path) -> None:
    with switch.open(kept) as engine:
        act = approval(engine, table(tmp_path / "in"))
        other = msgspec.structs.replace(act.table, digest="sha256:" + "0" * 64)
        forged = msgspec.structs.replace(act, table=other).signed(key_of("binh"))
        assert refusal_of(engine, forged) == "TABLE_OTHER"
        forged = msgspec.structs.replace(act.signed(key_of("binh")), table=other)
        assert refusal_of(engine, forged) == "SIGNATURE_INVALID"


def test_forged__certificate_of_a_cancelled_dossier_used_for_the_next(
    kept: Path, tmp_path: Path
) -> None:
    with switch.open(kept) as engine:
        path = table(tmp_path / "in")
        act = approval(engine, path).signed(key_of("binh"))
        engine.control.take_act(act)
        engine.control.sign("B1", "cancel", by="hoa", key=pem("hoa"), why="a mistake")
        sign_all(engine, path, until="approve")
        assert refusal_of(engine, act) == "CERTIFICATE_USED"
        assert engine.control.dossiers().rows()[-1]["state"] == "DRAFT"
    assert switch.verify(kept)


def test_forged__certificate_of_another_home(kept: Path, tmp_path: Path) -> None:
    """A home's first act names its first record, which holds a hash by the home's own key."""
    path = table(tmp_path / "in")
    nation = {
        "participants": pa.Table.from_pylist(list(PARTICIPANTS)),
        "debtors": pa.Table.from_pylist(list(DEBTORS)),
    }
    with switch.init(tmp_path / "other", **nation, key=b"another key 16 b") as other:
        other.control.set_policy(policy())
        other.control.prepare(path, by="ana", key=pem("ana"))
        (act,) = acts(other.home)
    with switch.open(kept) as engine:
        assert refusal_of(engine, act) == "STEP_ORDER"
        assert not len(engine.control.dossiers())


def test_forged__policy_edited_in_mid_dossier(kept: Path, tmp_path: Path) -> None:
    """Who is added later signs no step of a dossier that began before; who is taken out, none
    at all; and what the steps ask for stays."""
    path = table(tmp_path / "in")
    with switch.open(kept) as engine:
        sign_all(engine, path, until="approve")
        given = policy(steps=[{"step": s} for s in ("prepare", "certify", "release")])
        given["people"].append(
            {"name": "eve", "roles": ["approve"], "keys": [{"public": public("eve")}]}
        )
        given["people"] = [p for p in given["people"] if p["name"] != "binh"]
        with pytest.raises(InputRefused, match="POLICY_UNSIGNED"):
            engine.control.set_policy(given, at=DAY)
        with pytest.raises(InputRefused, match="ROLE_MISSING"):
            engine.control.set_policy(given, signers={"chi": pem("chi")}, at=DAY)
        with pytest.raises(InputRefused, match="KEY_UNKNOWN"):
            engine.control.set_policy(given, signers={"phuc": pem("phuong")}, at=DAY)
        assert (
            engine.control.set_policy(given, signers={"phuc": pem("phuc")}, at=DAY)["version"] == 2
        )
        with pytest.raises(InputRefused, match="SIGNER_UNKNOWN"):
            engine.control.sign("B1", "approve", by="eve", key=pem("eve"))
        with pytest.raises(InputRefused, match="SIGNER_UNKNOWN"):
            engine.control.sign("B1", "approve", by="binh", key=pem("binh"))
        with pytest.raises(InputRefused, match="STEP_ORDER"):
            engine.control.sign("B1", "certify", by="cuc", key=pem("cuc"))
        assert (
            engine.control.sign("B1", "approve", by="bao", key=pem("bao"))["state"] == "SUBMITTED"
        )
    assert switch.verify(kept)


def test_forged__keys_rotate_with_overlap(kept: Path, tmp_path: Path) -> None:
    path = table(tmp_path / "in")
    given = policy(steps=[{"step": s, "signers": 1} for s in STEPS])
    person(given, "chi")["keys"] = [
        {"public": public("chi"), "until": "2026-11-26"},
        {"public": public("chi", 2), "from": "2026-11-26"},
    ]
    with switch.open(kept) as engine:
        sign_all(engine, path, until="control")
        engine.control.set_policy(given, signers={"phuc": pem("phuc")}, at=DAY)

        def control(number: int, day: str) -> Any:
            key = pem("chi", number)
            return engine.control.sign("B1", "control", by="chi", key=key, at=day)

        for number, day in ((2, "2026-11-25"), (1, "2026-11-27")):
            with pytest.raises(InputRefused, match="KEY_EXPIRED"):
                control(number, day)
        both = []
        for number in (1, 2):
            copy = shutil.copytree(kept, tmp_path / f"copy{number}")
            with switch.open(copy) as other:
                key = pem("chi", number)
                both.append(
                    other.control.sign("B1", "control", by="chi", key=key, at="2026-11-26")["state"]
                )
            assert switch.verify(copy)
        assert both == ["CONTROLLED"] * 2


def test_budget__of_a_programme_with_what_is_under_way(tmp_path: Path) -> None:
    """The debtor accounts have room for either table; together they are beyond the programme."""
    programmes = [{"benefit": name, "name": name, "purpose": "SSBE"} for name in ("PENS", "SICK")]
    budgeted = {TREASURY_ACCOUNT: ("PENS", 3_500_000), BANK_ACCOUNT: ("SICK", 9_000_000)}
    debtors = [
        {**debtor, "programme": name, "budget": budget}
        for debtor in DEBTORS
        for name, budget in [budgeted[str(debtor["debtor_account"])]]
    ]
    home = make_home(tmp_path / "home", map(person_row, range(1, 4)), map(account, range(1, 4)))
    first = table(tmp_path / "in")
    second = table(tmp_path / "in", "B2", debtor_account=BANK_ACCOUNT, period=202612)
    with switch.open(home) as engine:
        engine.change_directory(
            programmes=pa.Table.from_pylist(programmes), debtors=pa.Table.from_pylist(debtors)
        )
        engine.control.set_policy(policy())
        sign_all(engine, first, until="certify")
        sign_all(engine, second, "B2", until="control")
        with pytest.raises(InputRefused, match=r"programme PENS needs 3,000,006 and has 499,994"):
            engine.control.sign("B2", "control", by="chi", key=pem("chi"))
        engine.control.sign("B1", "cancel", by="hoa", key=pem("hoa"), why="not needed")
        engine.control.sign("B2", "control", by="chi", key=pem("chi"))


def test_funds__with_what_is_under_way(kept: Path, tmp_path: Path) -> None:
    first, second = table(tmp_path / "in"), table(tmp_path / "in", "B2", period=202612)
    with switch.open(kept) as engine:
        given = {"participant": [TREASURY], "balance": [5_000_000]}
        engine.change_directory(balances=pa.table(given))
        sign_all(engine, first, until="release")
        sign_all(engine, second, "B2", until="fund")
        with pytest.raises(InputRefused, match="FUNDS_MISSING"):
            engine.control.sign("B2", "fund", by="dung", key=pem("dung"))
        engine.control.sign("B1", "release", by="giang", key=pem("giang"))
        engine.run(first)
        with pytest.raises(InputRefused, match=r"needs 3,000,006 and has 1,999,994"):
            engine.control.sign("B2", "fund", by="dung", key=pem("dung"))
        engine.change_directory(balances=pa.table({**given, "balance": [3_000_006]}))
        engine.control.sign("B2", "fund", by="dung", key=pem("dung"))
    assert switch.verify(kept)


def test_hold__pause_resume_cancel(kept: Path, tmp_path: Path) -> None:
    path = table(tmp_path / "in")
    run_by_hand(kept, path, "certify")
    assert signed(kept, "hold", "B1", "hoa", "--why", "the ministry asked").code == 0
    assert refused(kept, "certify", "B1", "cuc") == "DOSSIER_HELD"
    assert refused(kept, "hold", "B1", "hoa", "--why", "again") == "STEP_ORDER"
    assert signed(kept, "resume", "B1", "hoa", "--why", "it is clear").code == 0
    assert refused(kept, "pause", "B1", "hoa", "--why", "not released") == "STEP_ORDER"
    for step in ("certify", "fund", "release"):
        assert signed(kept, step, "B1", SIGNERS[step]).code == 0
    assert signed(kept, "pause", "B1", "hoa", "--why", "funds are late").code == 0
    assert command("run", kept, path).code == 3
    assert signed(kept, "resume", "B1", "hoa", "--why", "funds came").code == 0
    assert refused(kept, "cancel", "B1", "giang", "--why", "no") == "ROLE_MISSING"
    assert command("run", kept, path).code == 0
    assert switch.verify(kept)


def test_cancelled__is_prepared_anew(kept: Path, tmp_path: Path) -> None:
    path = table(tmp_path / "in")
    run_by_hand(kept, path)
    assert refused(kept, "prepare", path, "anh") == "DOSSIER_THERE"
    assert signed(kept, "cancel", "B1", "hoa", "--why", "wrong month").code == 0
    assert command("run", kept, path).code == 3
    run_by_hand(kept, table(tmp_path / "in", lines=2))
    assert command("run", kept, path).code == 0
    with switch.open(kept, mode="r") as engine:
        assert [row["state"] for row in engine.control.dossiers().rows()] == [
            "CANCELLED",
            "SETTLED",
        ]
    assert switch.verify(kept)


def test_refuse__by_who_may_sign_the_due_step(kept: Path, tmp_path: Path) -> None:
    run_by_hand(kept, table(tmp_path / "in"), "control")
    assert refused(kept, "refuse", "B1", "cuc", "--why", "no") == "ROLE_MISSING"
    assert signed(kept, "refuse", "B1", "chi", "--why", "no budget line").code == 0
    assert refused(kept, "control", "B1", "chi") == "DOSSIER_REFUSED"


def test_home_without_a_policy__has_no_steps(village: Path, tmp_path: Path) -> None:
    path = table(tmp_path / "in")
    with switch.open(village) as engine:
        with pytest.raises(UsageError, match="no policy"):
            engine.control.prepare(path, by="ana", key=pem("ana"))
        assert engine.control.policy() is None
        engine.run(path)
    assert switch.verify(village)


def test_fund__asks_for_money_and_not_for_caps(kept: Path, tmp_path: Path) -> None:
    """A net debit cap limits what is owed in a cycle, where lines wait for it: no money is missing
    by it, and none would help."""
    path = table(tmp_path / "in")
    capped = [
        row | {"net_debit_cap": 0 if row["kind"] == "treasury" else None} for row in PARTICIPANTS
    ]
    balance = {"participant": "KBNN", "balance": 3_000_005}
    with switch.open(kept) as engine:
        engine.change_directory(participants=pa.Table.from_pylist(capped))
        engine.change_directory(balances=pa.Table.from_pylist([balance]))
    run_by_hand(kept, path, "fund")
    assert refused(kept, "fund", "B1", "dung") == "FUNDS_MISSING"
    enough = pa.Table.from_pylist([balance | {"balance": 3_000_006}])
    with switch.open(kept) as engine:
        engine.change_directory(balances=enough)
    assert signed(kept, "fund", "B1", "dung").code == 0
