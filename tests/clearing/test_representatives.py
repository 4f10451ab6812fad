"""Representatives: money goes to them while their authority lasts, and never to a former one."""

from __future__ import annotations

import csv
import datetime as dt
import io
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from scene import (
    BANK,
    CLOSED_BANK,
    NAME,
    SMALL_BANK,
    VALUE_DATE,
    WALLET,
    account,
    accounts_table,
    answers,
    command,
    line,
    make_home,
    pay,
    payment_table,
    people_table,
    person,
    person_id,
    run,
    tree_digest,
    write_table,
)
from stored_batches import details, rule_set, sent

import switch
from switch.errors import InputRefused, VerificationFailed
from switch.reason import ARREARS, DEATH_STOPS_ALL, FIRST_ACCOUNT, PASSED_OVER
from switch.sim.auditor.screening import Registers, by_person, screened

Row = dict[str, Any]
DAY = dt.timedelta(days=1)
FAR = VALUE_DATE + 365 * DAY
ENDED = "the authority of its representative has ended"
UNSURE = "the population register does not have its representative as alive"
MISSING = "no account is valid on the value date"
SUSPENDED = "the account's participant is suspended"
HEAD = 7
"""The number of the representative."""


def of_head(number: int = 1, **changes: Any) -> Row:
    """An account of a person that is their head's, at the wallet."""
    row = account(number, participant=WALLET, account="0907", valid_to=FAR)
    return row | {"representative": person_id(HEAD)} | changes


def own(number: int = 1, **changes: Any) -> Row:
    return account(number, priority=2) | changes


def head(**changes: Any) -> Row:
    return person(HEAD, **changes)


def home_of(path: Path, *accounts: Row, head_row: Row | None = None, **options: Any) -> Path:
    people = [person(1), person(2), head() if head_row is None else head_row]
    return make_home(path, people, accounts, **options)


def over(participant: str = WALLET, why: str = ENDED) -> str:
    return f"passed over: {participant} ({why})"


WENT = f"{PASSED_OVER}: {WALLET} ({ENDED})"
HELD = f"{MISSING}; {over()}"
YESTERDAY, TOMORROW = VALUE_DATE - DAY, VALUE_DATE + DAY

CASES: dict[str, tuple[list[Row], Row | None, str | None, str | None, str | None, str | None]] = {
    "a head receives": ([of_head(), own()], None, None, WALLET, "0907", None),
    "on the last day, too": (
        [of_head(valid_to=VALUE_DATE), own()], None, None, WALLET, "0907", None,
    ),
    "a day later it is the holder": (
        [of_head(valid_to=YESTERDAY), own()], None, None, BANK, "1000000001", WENT,
    ),
    "or the line waits": ([of_head(valid_to=YESTERDAY)], None, "AC03", None, None, HELD),
    "before its first day nothing is said": (
        [of_head(valid_from=TOMORROW), own()], None, None, BANK, "1000000001", None,
    ),
    "before the first day of who is deceased, neither": (
        [of_head(valid_from=TOMORROW), own()],
        head(status="deceased"),
        *(None, BANK, "1000000001", None),
    ),
    "behind the account that counts nothing is said": (
        [own(priority=1), of_head(priority=2, valid_to=YESTERDAY)], None,
        None, BANK, "1000000001", None,
    ),
    "a head who is deceased receives nothing": (
        [of_head(), own()], head(status="deceased"), None, BANK, "1000000001", WENT,
    ),
    "nor for who has no other account": (
        [of_head()], head(status="deceased"), "AC03", None, None, HELD,
    ),
    "deceased on the day itself": (
        [of_head()], head(status="deceased", status_since=VALUE_DATE), "AC03", None, None, HELD,
    ),
    "deceased a day later": (
        [of_head()], head(status="deceased", status_since=TOMORROW), None, WALLET, "0907", None,
    ),
    "missing": (
        [of_head()], head(status="missing"), "AC03", None, None,
        f"{MISSING}; {over(why=UNSURE)}",
    ),
    "revoked": (
        [of_head(), own()], head(status="revoked"), None, BANK, "1000000001",
        f"{PASSED_OVER}: {WALLET} ({UNSURE})",
    ),
    "late": (
        [of_head()], head(status="late"), "AC03", None, None, f"{MISSING}; {over(why=UNSURE)}",
    ),
    "a stranger": (
        [of_head(representative=person_id(99))], None, "AC03", None, None,
        f"{MISSING}; {over(why=UNSURE)}",
    ),
    "another head is the next": (
        [of_head(valid_to=YESTERDAY), of_head(participant=SMALL_BANK, account="22",
                                              priority=2, representative=person_id(2))],
        None, None, SMALL_BANK, "22", WENT,
    ),
    "the next cannot be paid: its reason, and who went before": (
        [of_head(valid_to=YESTERDAY), own(participant=CLOSED_BANK)], None,
        "AB08", CLOSED_BANK, None, f"{SUSPENDED}; {over()}",
    ),
    "at who is suspended a head gives way as others do": (
        [of_head(participant=CLOSED_BANK), own()], None, None, BANK, "1000000001",
        f"{PASSED_OVER}: {CLOSED_BANK} ({SUSPENDED})",
    ),
    "a suspended one, then a head who is deceased, then the holder": (
        [own(participant=CLOSED_BANK, account="3", priority=1), of_head(priority=2),
         own(priority=3)], head(status="deceased"), None, BANK, "1000000001",
        f"{PASSED_OVER}: {CLOSED_BANK} ({SUSPENDED}), {WALLET} ({ENDED})",
    ),
    "none can be paid: only what stood before the first is told": (
        [own(participant=CLOSED_BANK, account="3", priority=1),
         of_head(priority=2, valid_to=YESTERDAY)], None, "AB08", CLOSED_BANK, None, SUSPENDED,
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("as_delta", [False, True])
def test_representative__receives_as_long_as_the_authority_lasts(
    tmp_path: Path, case: str, as_delta: bool
) -> None:
    accounts, head_row, reason, participant, account_text, detail = CASES[case]
    path = tmp_path / "home"
    if as_delta:
        people = [person(n) for n in range(1, 100) if n != 99]
        make_home(path, people, [account(2), own(priority=9, account="9", valid_to=YESTERDAY)])
        with switch.open(path) as engine:
            rows = people_table([head_row]) if head_row else None
            engine.register(population=rows, accounts=accounts_table(accounts))
            assert len(engine.home.catalog.register_chain()) == 2
    else:
        home_of(path, *accounts, head_row=head_row)
    batch = pay(path, [line(1)])
    assert batch.status["reason"].to_pylist() == [reason]
    assert batch.status["participant"].to_pylist() == [participant]
    assert details(batch) == [detail]
    assert sent(batch) == ({participant: [account_text]} if reason is None else {})
    assert rule_set(batch) == (DEATH_STOPS_ALL if detail and detail != SUSPENDED else FIRST_ACCOUNT)
    assert switch.verify(path)
    assert switch.replay(path, "B", payment_table([line(1)]))


def registers_of(home: Path, people: list[Row], accounts: list[Row]) -> Registers:
    """The same registers for the auditor, with the directory of a home."""
    with switch.open(home, mode="r") as engine:
        rows = {p.participant: p for p in engine.directory.participants}
    told = {
        code: {"status": p.status, "amount_max": p.amount_max, "replaced_from": None}
        for code, p in rows.items()
    }
    by_id = {row["person_id"]: row for row in people}
    account_of = line(1)["debtor_account"]
    return Registers(
        by_id, by_person(accounts), told, {account_of}, {"PENS"}, VALUE_DATE, 500_000_000
    )


@pytest.mark.parametrize("has_own", [True, False])
def test_representative__authority_ends_with_the_person(tmp_path: Path, has_own: bool) -> None:
    """Arrears of somebody deceased go to an account of their own, or wait."""
    died = person(1, status="deceased", status_since=VALUE_DATE - DAY)
    accounts = [of_head(), *([own()] if has_own else []), of_head(2)]
    path = make_home(tmp_path / "home", [died, person(2), head()], accounts)
    rows = [line(1, period=202610), line(2, period=202610)]
    batch = pay(path, rows)
    assert batch.status["reason"].to_pylist() == [None if has_own else "AC03", None]
    assert sent(batch) == {WALLET: ["0907"]} | ({BANK: ["1000000001"]} if has_own else {})
    detail = details(batch)[0]
    assert over() in detail
    assert detail.startswith(ARREARS if has_own else MISSING)
    answer = screened(rows[0], registers_of(path, [died, person(2), head()], accounts))
    assert answer.code == (None if has_own else "AC03")
    assert detail == (answer.passed if has_own else f"{MISSING}; {answer.passed}")
    assert switch.verify(path)
    assert switch.replay(path, "B", payment_table(rows))


def test_representative__the_auditor_says_the_same(tmp_path: Path) -> None:
    for number, (accounts, head_row, *_, detail) in enumerate(CASES.values()):
        home = home_of(tmp_path / str(number), *accounts, head_row=head_row)
        batch = pay(home, [line(1)])
        people = [person(1), person(2), head_row or head()]
        answer = screened(line(1), registers_of(home, people, accounts))
        assert answer.code == batch.status["reason"].to_pylist()[0]
        said = answer.passed
        if answer.code is not None and said:
            said = f"{MISSING if answer.code == 'AC03' else SUSPENDED}; {said}"
        assert said == (None if detail == SUSPENDED else detail)


def test_representative__the_line_of_a_former_one_is_paid_when_the_holder_has_an_account(
    tmp_path: Path,
) -> None:
    home = home_of(tmp_path / "home", of_head(valid_to=YESTERDAY))
    assert answers(pay(home, [line(1)])) == [("PDNG", "AC03")]
    with switch.open(home) as engine:
        engine.register(accounts=accounts_table([own()]))
        run(engine, [line(2, period=202612)], "C", value_date=VALUE_DATE + DAY)
    said = command("status", home, "--line", "B:1", "--json").document["states"]
    assert [state["state"] for state in said] == ["HELD", "SETTLED"]
    assert said[0]["text"].endswith(f"Reason: {HELD}."), said
    assert said[1]["text"].endswith(f"{WENT[0].upper()}{WENT[1:]}."), said
    assert said[1]["participant"] == BANK
    assert switch.verify(home)


def test_representative__timelines_say_it_in_both_languages(tmp_path: Path) -> None:
    home = home_of(tmp_path / "home", of_head(valid_to=YESTERDAY), of_head(2), own(2))
    pay(home, [line(1), line(2)])
    with switch.open(home) as engine:
        engine.register(population=people_table([head(status="missing")]))
        run(engine, [line(2, period=202612)], "C", value_date=VALUE_DATE + DAY)
    english = command("status", home, "--line", "B:1").out
    assert ENDED in " ".join(english.split())
    told = command("status", home, "--line", "B:1", "--lang", "vi").out
    assert f"đã bỏ qua: {WALLET} (quyền của người đại diện đã chấm dứt)" in " ".join(told.split())
    told = command("status", home, "--person", person_id(2), "--lang", "vi").out
    words = "cơ sở dữ liệu dân cư không xác nhận người đại diện còn sống"
    assert f"đã bỏ qua: {WALLET} ({words})" in " ".join(told.split())


def test_representative__a_death_that_comes_as_a_delta_counts(tmp_path: Path) -> None:
    home = make_home(
        tmp_path / "home", map(person, range(1, 60)), [of_head(), *map(account, range(2, 60))]
    )
    assert sent(pay(home, [line(1)])) == {WALLET: ["0907"]}
    with switch.open(home) as engine:
        engine.register(population=people_table([head(status="deceased")]))
        assert len(engine.home.catalog.register_chain()) == 2
        batch = run(engine, [line(1, period=202612)], "C")
        assert details(batch) == [HELD]
        engine.compact()
        assert details(run(engine, [line(1, period=202701)], "D")) == [HELD]
    assert switch.verify(home)
    with pytest.raises(switch.UsageError, match="was dropped"):
        switch.replay(home, "B", payment_table([line(1)]))


def test_representative__chains_of_deltas_take_over_who_acts(tmp_path: Path) -> None:
    """A delta has the accounts of those whom it names, whoever acts there; later ones count."""
    home = make_home(
        tmp_path / "home", map(person, range(1, 200)), [of_head(), of_head(2), account(3)]
    )
    with switch.open(home) as engine:
        engine.register(accounts=accounts_table([own(), own(2, account="VN-2")]))
        engine.register(accounts=accounts_table([of_head(3, account="VN-3")]))
        engine.register(accounts=accounts_table([of_head(valid_to=YESTERDAY)]))
        # The account is the person's own from now on.
        changed = of_head(2, representative=None, valid_to=None)
        engine.register(accounts=accounts_table([changed]))
        engine.register(population=people_table([head(status="deceased")]))
        assert len(engine.home.catalog.register_chain()) == 6
        before = run(engine, [line(1), line(2), line(3)])
        engine.compact()
        after = run(engine, [line(n, period=202612) for n in (1, 2, 3)], "C")
    for batch in (before, after):
        assert sent(batch) == {BANK: ["1000000001", "1000000003"], WALLET: ["0907"]}
        assert details(batch) == [WENT, None, None]
    assert switch.verify(home)


def test_representative__who_heads_many_receives_for_each(tmp_path: Path) -> None:
    """One in three has a head; each chunk finds its own."""
    people = range(1, 301)
    accounts = [
        of_head(n, account=f"09{n}", valid_to=FAR if n % 2 else YESTERDAY) if n % 3 == 0
        else account(n) for n in people
    ]  # fmt: skip
    home = make_home(tmp_path / "home", map(person, people), accounts)
    batch = pay(home, map(line, people))
    wanted = [("ACSC", None) if n % 3 or n % 2 else ("PDNG", "AC03") for n in people]
    assert answers(batch) == wanted
    assert sent(batch)[WALLET] == [f"09{n}" for n in people if n % 3 == 0 and n % 2]
    assert switch.verify(home)


def test_representative__what_the_table_names_stays(tmp_path: Path) -> None:
    home = home_of(tmp_path / "home", of_head(valid_to=YESTERDAY))
    named = line(1, creditor_agent=BANK, creditor_account="42")
    batch = pay(home, [named])
    assert (sent(batch), details(batch)) == ({BANK: ["42"]}, [None])


def test_representative__an_account_of_several_heads_is_full_as_others_are(tmp_path: Path) -> None:
    settings = switch.Settings(accounts_shared_max=1)
    home = home_of(tmp_path / "home", of_head(), of_head(2, valid_to=YESTERDAY), of_head(3),
                   settings=settings)  # fmt: skip
    with switch.open(home) as engine:
        engine.register(population=people_table([person(3)]))
        batch = run(engine, [line(1), line(2), line(3)])
        assert answers(batch) == [("ACSC", None), ("PDNG", "AC03"), ("PDNG", "NOCM")]
    said = command("shared", home, "--json").document
    assert said["shown"][0]["held_lines"] == 1, "whose authority has ended waits for no room"


# --- at the doors ---------------------------------------------------------------------------------


def csv_of(path: Path, rows: list[Row]) -> Path:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC)
    writer.writeheader()
    writer.writerows({k: "" if v is None else v for k, v in row.items()} for row in rows)
    path.write_text(text.getvalue(), "utf-8")
    return path


BAD = {
    "no end": ({"valid_to": None}, "AUTHORITY_OPEN", "valid_to"),
    "themself": ({"representative": person_id(1)}, "REPRESENTATIVE_SELF", "representative"),
    "a short id": ({"representative": "12345"}, "ID_LENGTH", "representative"),
    "a long id": ({"representative": "0010000000071"}, "ID_LENGTH", "representative"),
    "no digits": ({"representative": "00100000000X"}, "ID_FORMAT", "representative"),
}


@pytest.mark.parametrize("case", BAD)
def test_register__a_representative_is_somebody_until_a_day(tmp_path: Path, case: str) -> None:
    home = home_of(tmp_path / "home", own())
    changes, rule, column = BAD[case]
    before = tree_digest(home)
    table = csv_of(tmp_path / "accounts.csv", [of_head(2), of_head() | changes])
    said = command("register", home, "--accounts", table, "--json")
    error = said.document["error"]
    assert (said.code, error["rule"], error["row"], error["column"]) == (3, rule, 2, column)
    assert error["remedy"]
    assert tree_digest(home) == before
    assert person_id(HEAD) not in said.out + said.err


@pytest.mark.parametrize("kind", [pa.uint64(), pa.int64(), pa.decimal128(20, 0), pa.string()])
def test_register__a_typed_representative_is_read_as_ids_are(
    tmp_path: Path, kind: pa.DataType
) -> None:
    home = home_of(tmp_path / "home")
    rows = [of_head(), own(2)]
    table = accounts_table(rows)
    ids = [int(person_id(HEAD)), None]
    values = pa.array(ids if kind != pa.string() else [person_id(HEAD), None], kind)
    at = table.schema.get_field_index("representative")
    with switch.open(home) as engine:
        engine.register(accounts=table.set_column(at, "representative", values))
        assert sent(run(engine, [line(1), line(2)])) == {BANK: ["1000000002"], WALLET: ["0907"]}
        wrong = pa.array([-2 if kind == pa.int64() else 10**12, None], pa.int64()).cast(kind)
        with pytest.raises(InputRefused) as refused:
            engine.register(accounts=table.set_column(at, "representative", wrong))
    assert (refused.value.rule, refused.value.column) == ("ID_FORMAT", "representative")


def test_register__without_representatives_nothing_is_there_at_rest(tmp_path: Path) -> None:
    homes = [tmp_path / name for name in ("without", "with nobody")]
    table = accounts_table([own(1), own(2)])
    for home, accounts in zip(homes, [table.drop_columns("representative"), table], strict=True):
        home_of(home)
        with switch.open(home) as engine:
            engine.register(accounts=accounts)
    assert tree_digest(homes[0]) == tree_digest(homes[1])
    text = (homes[0] / "registers/000002/register.json").read_text()
    assert "representatives" not in text
    with switch.open(homes[0]) as engine:
        assert engine.home.catalog.meta("format") in ("3", "4")
        engine.register(accounts=accounts_table([of_head()]))
        assert engine.home.catalog.meta("format") == "5"
        engine.register(accounts=accounts_table([own()]), replace=True)
        assert engine.home.catalog.meta("format") == "5", "an old engine stays away"
        engine.register(accounts=accounts_table([own(2)]))
    assert switch.verify(homes[0])


# --- damage ---------------------------------------------------------------------------------------


@pytest.fixture
def damaged(tmp_path: Path) -> Path:
    return home_of(tmp_path / "home", of_head(), of_head(2, account="VN-2"), own())


def test_representative__who_is_exchanged_at_rest_stops_the_run(damaged: Path) -> None:
    path = damaged / "registers/000001/representatives.bin"
    content = bytearray(path.read_bytes())
    content[0] ^= 1
    path.write_bytes(content)
    with pytest.raises(VerificationFailed, match=r"representatives\.bin"):
        pay(damaged, [line(1)])
    assert command("verify", damaged).code == 5


def test_representative__who_has_none_costs_no_look(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = home_of(tmp_path / "home", own(), own(2))

    def never(*_: object) -> None:
        raise AssertionError("accounts are looked up")

    from switch.clearing import next_accounts

    monkeypatch.setattr(next_accounts.NextAccounts, "_accounts_of", never)
    assert answers(pay(home, [line(1), line(2), line(HEAD)])) == [
        ("ACSC", None), ("ACSC", None), ("PDNG", "AC03"),
    ]  # fmt: skip


def test_representative__is_named_in_no_answer(tmp_path: Path) -> None:
    home = home_of(tmp_path / "home", of_head(valid_to=YESTERDAY), own(), of_head(2),
                   head_row=head(name="Trần Thị Bé"))  # fmt: skip
    table = write_table(payment_table([line(1), line(2)]), tmp_path / "B.parquet")
    said = command("run", home, table, "--json")
    assert said.code == 0, said.err
    texts = [said.out, said.err, command("report", home, "--csv").out]
    texts += [command("status", home, "--line", "B:1", "--json").out, command("held", home).out]
    texts += [command("citizen", home, "show", person_id(1)).out]
    for text in texts:
        assert person_id(HEAD) not in text
    for file in (home / "out").rglob("*"):
        if file.is_file():
            assert person_id(HEAD).encode() not in file.read_bytes(), file
            assert "Trần".encode() not in file.read_bytes(), file
    assert NAME  # The holder's name is the one that receivers get.
    names = pq.read_table(home / f"out/B/clearing/{WALLET}.parquet")["creditor_name"].to_pylist()
    assert names == [NAME]
