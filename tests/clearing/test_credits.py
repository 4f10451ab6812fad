"""One credit for a household: neighbours that clear to one account, sent as one payment."""

from __future__ import annotations

import csv
import datetime as dt
from pathlib import Path
from typing import Any

import households as house
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from answering import CALENDAR, switch_verify
from households import home_of, joined, lines, members, rows_sent
from scene import (
    BANK,
    FORMATS,
    SMALL_BANK,
    SMALL_LIMIT,
    TREASURY,
    WALLET,
    account,
    command,
    line,
    make_home,
    participant,
    pay,
    payment_table,
    person,
    person_id,
    reasons,
    run,
    tree_digest,
    write_table,
)
from stored_batches import rule_set, stored

import switch
from switch import schema
from switch.errors import VerificationFailed
from switch.reason import EACH_BY_ITSELF, FIRST_ACCOUNT, NO_MONTHS
from switch.registry.settings import Settings
from switch.schema import HOUSEHOLD_LINES_MAX

Row = dict[str, Any]


def alike(*sizes: int, **changes: Any) -> list[Row]:
    """Lines of households whose members all have the account of person 1."""
    return lines(sizes, creditor_agent=BANK, creditor_account="77", **changes)


def paid(path: Path, rows: list[Row], **options: Any) -> tuple[list[list[int]], dict[str, Any]]:
    """(credits of two lines or more, rows of clearing files) of a table that was run."""
    with switch.open(path) as engine:
        run(engine, rows, "A", **options)
        assert switch_verify(engine)
        found = joined(engine), rows_sent(engine)
    assert switch.replay(path, "A", payment_table(rows))
    return found


def test_household__is_paid_by_one_credit(tmp_path: Path) -> None:
    path = home_of(tmp_path / "h")
    with switch.open(path) as engine:
        batch = run(engine, lines(), "A")
        credits_ = [home for home in members() if len(home) > 1]
        assert joined(engine) == credits_
        sent = rows_sent(engine)
        assert sum(map(len, sent.values())) == len(members())
        for at, home in enumerate(members()):
            assert (home[0], house.amount(home)) in sent[house.receiver(at)]
        count, sum_ = sum(map(len, credits_)), sum(map(house.amount, credits_))
        told = {"count": len(credits_), "lines": count, "sum": sum_}
        assert batch.summary["credits"] == told
        assert engine.batch("A")["credits"] == told
        assert rule_set(batch) == NO_MONTHS
        assert engine.home.catalog.meta("format") == "7"
        row = pq.read_table(batch.folder / "clearing" / f"{BANK}.parquet").to_pylist()[0]
        assert (row["creditor_account"], row["creditor_name"]) == (
            "1000000001",
            line(1)["person_name"],
        )
        assert switch_verify(engine)
    assert switch.verify(path)
    assert switch.replay(path, "A", payment_table(lines()))


def test_household__changes_nothing_that_a_line_is_answered(tmp_path: Path) -> None:
    """Status, lines, positions, postings, held lines and paid bits are, to the byte, those of the
    same table without the column; so are all files of one without it."""
    plain = [{n: v for n, v in row.items() if n != "household"} for row in lines()]
    files = {}
    for name, rows in (("with", lines()), ("without", plain), ("empty", lines(household=None))):
        path = home_of(tmp_path / name)
        batch = pay(path, rows, "A")
        files[name] = tree_digest(batch.folder)
        assert (rule_set(batch) == NO_MONTHS) == (name == "with")
        assert ("credits" in batch.summary) == (name == "with")
        with switch.open(path, mode="r") as engine:
            assert engine.home.catalog.meta("format") == ("7" if name == "with" else "3")
    assert files["without"] == files["empty"]
    others = {n for n in files["with"] if files["with"][n] != files["without"].get(n)}
    sent = {f"clearing/{code}.parquet" for code in (BANK, WALLET)}
    assert others == {"credits.parquet", "manifest.json", *sent}


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("rows_max", [1, 3, 7, 1000])
def test_household__neither_formats_nor_chunks_show(
    tmp_path: Path, form: str, rows_max: int
) -> None:
    """Files of one content: the same rows, whatever they were read from and in what pieces."""
    path = home_of(tmp_path / "h")
    table = write_table(payment_table(lines()), tmp_path / "t", form, batch_id="A")
    with switch.open(path) as engine:
        engine.run(table, threads=1 + rows_max % 2, chunk_rows=rows_max)
        assert joined(engine) == [home for home in members() if len(home) > 1]
        assert sum(map(len, rows_sent(engine).values())) == len(members())
        found = tree_digest(engine.home.folder("batches", 1))
        assert switch_verify(engine)
    other = home_of(tmp_path / "o")
    with switch.open(other) as engine:
        engine.run(table, threads=2, chunk_rows=5)
        again = tree_digest(engine.home.folder("batches", 1))
    assert found == again


CASES: dict[str, tuple[list[Row], list[list[int]]]] = {
    "who is refused is in none, and splits nothing": (
        [*alike(2), line(3, household="H1", creditor_agent=BANK, creditor_account="77",
                         person_name="Phạm Khác"),
         line(4, household="H1", creditor_agent=BANK, creditor_account="77")],
        [[1, 2, 4]],
    ),
    "who waits is in none": (
        [line(1, household="H1"), line(2, household="H1"), line(40, household="H1")], [[1, 2]],
    ),
    "the first line that clears names it": (
        [line(40, household="H1"), line(1, household="H1"), line(2, household="H1")], [[2, 3]],
    ),
    "who is paid elsewhere is in none": (
        [line(1, household="H1"), line(4, household="H1"), line(2, household="H1")], [[1, 3]],
    ),
    "accounts may take turns": (
        [line(n, household="H1") for n in (1, 5, 2, 6, 3, 7, 8)], [[1, 3, 5], [2, 4, 6, 7]],
    ),
    "another household begins": ([*lines((2,)), line(3, household="H2")], [[1, 2]]),
    "neighbours alone are grouped": (
        [line(1, household="H1"), line(4, household="H2"), line(2, household="H1")], [],
    ),
    "another benefit, period or payer begins anew": (
        [line(1, household="H1"), line(2, household="H1"),
         line(3, household="H1", benefit="SASS"), line(1, household="H1", benefit="SASS"),
         line(2, household="H1", benefit="SASS", period=202610),
         line(3, household="H1", benefit="SASS", period=202610),
         line(1, household="H1", benefit="MERT"),
         line(2, household="H1", benefit="MERT", debtor_account="952701000001")],
        [[1, 2], [3, 4], [5, 6]],
    ),
    "no name is no household": (
        [line(1, household=""), line(2, household=""), line(3, household=None)], [],
    ),
    "an account that the table names is that of the register": (
        [line(1, household="H1"),
         line(4, household="H1", creditor_agent=BANK, creditor_account="1000000001"),
         line(2, household="H1")],
        [[1, 2, 3]],
    ),
    "texts of accounts count": (
        [line(n, household="H1", creditor_agent=BANK, creditor_account=text)
         for n, text in ((1, "VN-1"), (2, "VN-1"), (3, "VN-2"), (4, "VN-1"), (5, "01"), (6, "1"))],
        [[1, 2, 4]],
    ),
    "one account at two receivers is two": (
        [line(n, household="H1", creditor_agent=agent, creditor_account="9")
         for n, agent in ((1, BANK), (2, WALLET), (3, BANK))],
        [[1, 3]],
    ),
    "a duplicate is in none": (
        [line(1, household="H1"), line(1, household="H1"), line(2, household="H1")], [[1, 3]],
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_household__who_is_in_a_credit(tmp_path: Path, case: str) -> None:
    rows, expected = CASES[case]
    people = [person(n) for n in (*range(1, 15), 40)]
    path = make_home(tmp_path / "h", people, house.accounts())
    found, sent = paid(path, rows)
    assert found == expected
    cleared = [n for n, reason in enumerate(reasons_of(path), start=1) if reason is None]
    behind = {n for credit in expected for n in credit[1:]}
    named = sorted(n for told in sent.values() for n, _ in told)
    assert named == [n for n in cleared if n not in behind]
    total = sum(amount for told in sent.values() for _, amount in told)
    assert total == sum(rows[n - 1]["amount"] for n in cleared)


def reasons_of(path: Path) -> list[str | None]:
    return pq.read_table(path / "batches" / "000001" / "status.parquet")["reason"].to_pylist()


def test_household__texts_of_accounts_in_the_register_count(tmp_path: Path) -> None:
    """They stand once a person, and are one account."""
    texts = {1: "VN-1", 2: "VN-1", 3: "VN-12", 4: "9" * 20, 5: "9" * 20, 6: "9" * 19}
    accounts = [account(n, account=text) for n, text in texts.items()]
    path = make_home(tmp_path / "h", [person(n) for n in texts], accounts)
    assert paid(path, [line(n, household="H1") for n in texts])[0] == [[1, 2], [4, 5]]


def test_household__a_credit_is_of_no_more_than_its_receiver_takes(tmp_path: Path) -> None:
    """It ends before the line by which it would pass the limit; no line waits for it."""
    people, limit = [person(n) for n in range(1, 9)], SMALL_LIMIT
    accounts = [account(n, participant=SMALL_BANK, account="5") for n in range(1, 9)]
    amounts = (4, 6, 1, 10, 3, 3, 3, 3)
    rows = [
        line(n, household="H1", amount=amount * limit // 10)
        for n, amount in enumerate(amounts, start=1)
    ]
    path = make_home(tmp_path / "h", people, accounts)
    found, sent = paid(path, rows)
    assert found == [[1, 2], [5, 6, 7]]
    assert reasons_of(path) == [None] * 8
    assert [amount for _, amount in sent[SMALL_BANK]] == [
        limit,
        limit // 10,
        limit,
        9 * limit // 10,
        3 * limit // 10,
    ]


def test_household__nor_of_more_than_the_clearing_takes(tmp_path: Path) -> None:
    path = make_home(
        tmp_path / "h",
        [person(1), person(2), person(3)],
        settings=Settings(clearing_limit=2_000_003),
    )
    assert paid(path, alike(3))[0] == [[1, 2]]


def test_household__has_so_many_lines_at_most(tmp_path: Path) -> None:
    count = HOUSEHOLD_LINES_MAX
    numbers = list(range(1, 2 * count + 3))
    for rows_max in (1000, 100, count):
        path = make_home(tmp_path / f"h{rows_max}", [person(n) for n in numbers])
        found, _ = paid(path, alike(len(numbers)), chunk_rows=rows_max)
        assert found == [numbers[:count], numbers[count : 2 * count], numbers[2 * count :]]


def test_household__line_numbers_may_stand_in_any_order(tmp_path: Path) -> None:
    path = home_of(tmp_path / "h")
    rows = [row | {"line_no": n} for row, n in zip(lines((3, 1)), (4, 2, 3, 1), strict=True)]
    assert paid(path, rows)[0] == [[4, 2, 3]]


def test_household__is_the_heads_as_long_as_the_authority_lasts(tmp_path: Path) -> None:
    """The head's account is that of a representative for the others."""
    far = dt.date(2027, 11, 25)
    own = [account(n, priority=2) for n in (1, 2, 3)]
    theirs = [
        account(n, account="1000000001", valid_to=end) | {"representative": person_id(1)}
        for n, end in ((2, far), (3, dt.date(2026, 11, 24)))
    ]
    path = make_home(tmp_path / "h", [person(n) for n in (1, 2, 3)], [*own, *theirs])
    assert paid(path, lines((3,)))[0] == [[1, 2]]


def test_household__who_finds_no_cover_is_in_none(tmp_path: Path) -> None:
    """Cover is asked for line by line: what fits goes as one credit, the rest waits."""
    participants = [participant(TREASURY, "treasury", net_debit_cap=2_000_003), participant(BANK)]
    everybody = [person(n) for n in (1, 2, 3, 4)], [account(n, account="1") for n in (1, 2, 3, 4)]
    path = make_home(tmp_path / "h", *everybody, participants=participants)
    with switch.open(path) as engine:
        assert reasons(run(engine, lines((4,)), "A")) == [None, None, "AM23", "AM23"]
        assert joined(engine) == [[1, 2]]
        assert switch_verify(engine)
    assert switch.replay(path, "A", payment_table(lines((4,))))


def test_household__older_rules_send_each_line_by_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A batch that was run before is derived again as it was, though its table had the column."""
    path = home_of(tmp_path / "h")
    with monkeypatch.context() as patch:
        patch.setattr("switch.clearing.payday.RULE_SET", EACH_BY_ITSELF)
        pay(path, lines(), "A")
    assert rule_set(stored(path, 1)) == FIRST_ACCOUNT
    assert not (path / "batches" / "000001" / "credits.parquet").exists()
    assert switch.replay(path, "A", payment_table(lines()))
    assert switch.verify(path)


def test_household__accounts_of_several_persons_are_told_of_all(tmp_path: Path) -> None:
    path = home_of(tmp_path / "h")
    pay(path, lines(), "A")
    told = command("shared", path, "--json").document
    assert [(row["persons"], row["lines"]) for row in told["shown"]] == [
        (4, 4),
        (3, 3),
        (3, 3),
        (2, 2),
    ]
    assert told["sum"] == sum(house.amount(home) for home in members() if len(home) > 1)
    assert told["same_name"] == 0, "of the others of a household no name is kept"
    rows = list(csv.DictReader((path / "out" / "A" / "shared.csv").read_text().splitlines()))
    assert {row["names"] for row in rows} == {"1"}


def test_household__so_many_persons_an_account_count_each(tmp_path: Path) -> None:
    path = home_of(tmp_path / "h", settings=Settings(accounts_shared_max=2))
    with switch.open(path) as engine:
        assert reasons(run(engine, lines((3, 1)), "A")) == [None, None, "NOCM", None]
        assert joined(engine) == [[1, 2]]
        assert switch_verify(engine)
    assert switch.verify(path)


def test_household__totals_are_of_lines(tmp_path: Path) -> None:
    """By command: the run, totals by commune and by receiver, and no totals by household."""
    path = home_of(tmp_path / "h")
    rows = lines(commune="00001")
    table = write_table(payment_table(rows), tmp_path / "t.parquet", batch_id="A")
    told = command("run", path, table, "--json").document["batches"][0]
    assert told["cleared"]["count"] == len(rows)
    assert sum(r["count"] for r in told["receivers"]) == len(rows)
    assert told["credits"]["count"] == 4
    by = command("totals", path, table, "--by", "commune", "--json").document
    assert [(r["key"], r["lines"], r["settled_lines"]) for r in by["totals"]] == [("00001", 14, 14)]
    refused = command("totals", path, table, "--by", "household")
    assert (refused.code, "no key" in refused.err) == (2, True)
    assert command("verify", path).code == 0
    assert command("replay", path, "A", table).code == 0
    assert command("run", path, table, "--json").document["batches"][0]["replayed"]


def test_household__a_name_like_the_column_is_refused(tmp_path: Path) -> None:
    path = home_of(tmp_path / "h")
    table = payment_table(lines()).rename_columns(
        [n if n != "household" else "household_id" for n in payment_table(lines()).column_names]
    )
    said = command("run", path, write_table(table, tmp_path / "t", batch_id="A"))
    assert said.code == 3
    assert "household_id" in said.err
    assert "household" in said.err
    assert switch.open(path).batches() == []


OLD: dict[str, Any] = {
    "household_id": lambda n: str(n // 3),
    "household": lambda n: f"H{n // 3}",
    "household as a number": lambda n: n // 3,
}
"""Columns that a table had before there were households, when nobody read them: of a line."""


@pytest.mark.parametrize("in_memory", [False, True])
@pytest.mark.parametrize("name", OLD)
def test_household__a_batch_of_before_is_known_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, in_memory: bool
) -> None:
    """Its table had a column that was unknown then: it is replayed, answered again and added up."""
    path = home_of(tmp_path / "h")
    plain = [{n: v for n, v in row.items() if n != "household"} for row in lines(commune="00001")]
    table = payment_table(plain)
    values = pa.array([OLD[name](n) for n in range(len(table))])
    with_column = table.append_column(name.split()[0], values)
    file = write_table(with_column, tmp_path / "t.parquet", batch_id="A")
    known = schema.PAYMENT._replace(columns=schema.PAYMENT.columns[:-1])
    with monkeypatch.context() as patch, switch.open(path) as engine:
        patch.setattr("switch.clearing.payday.RULE_SET", EACH_BY_ITSELF)
        for module in ("clearing.payday", "clearing.intake"):
            patch.setattr(f"switch.{module}.PAYMENT", known)
        given = with_column if in_memory else file
        declared = {"source": "VSS", "batch_id": "A", "value_date": dt.date(2026, 11, 25)}
        sums = {"count": len(plain), "sum": sum(row["amount"] for row in plain)}
        engine.run(given, **(declared | sums if in_memory else {}))
        assert joined(engine) == []
    assert switch.replay(path, "A", given)
    if in_memory and name == "household as a number":
        return  # It is not answered again: rows from memory are read for that.
    with switch.open(path) as engine:
        assert engine.run(given, **(declared | sums if in_memory else {})).replayed
        assert engine.totals(given, by="commune", batch="A").rows()[0]["lines"] == len(plain)


def test_household__is_a_text(tmp_path: Path) -> None:
    path = home_of(tmp_path / "h")
    table = payment_table(lines())
    at = table.schema.get_field_index("household")
    for column, rule in (
        (pa.array(range(len(table))), "TYPE"),
        (pa.array(["x" * 141] * len(table)), "FIELD_TOO_LONG"),
    ):
        wrong = write_table(table.set_column(at, "household", column), tmp_path / "t", batch_id="A")
        said = command("run", path, wrong, "--json")
        assert (said.code, said.document["error"]["rule"]) == (3, rule)
        assert said.document["error"]["column"] == "household"


def test_household__a_run_of_a_calendar_keeps_the_lines(tmp_path: Path) -> None:
    path = home_of(tmp_path / "h", settings=CALENDAR)
    with switch.open(path) as engine:
        run(engine, lines(), "A")
        assert len(pq.read_table(path / "batches" / "000001" / "cleared.parquet")) == 14
        engine.settle()
        assert switch_verify(engine)
    assert switch.replay(path, "A", payment_table(lines()))


def test_verify__holds_the_setting_of_the_credits(tmp_path: Path) -> None:
    path = home_of(tmp_path / "h")
    pay(path, lines(), "A")
    (path / "batches" / "000001" / "credits.parquet").write_bytes(b"")
    with pytest.raises(VerificationFailed, match=r"credits\.parquet"):
        switch.verify(path)
