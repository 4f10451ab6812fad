"""Fees by the command line: each refusal with its reason and words, and tables that are none."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from cycles import CUTOFFS, PARTICIPANTS, lines, make, table_of
from paying import AGENCIES, AT, agencies_table, bills_table, home_with_bills, payments_table
from scene import Said, command, run, tree_digest

import switch
from switch.registry.settings import Settings

LIMITED = Settings(cutoffs=CUTOFFS.cutoffs, clearing_limit=150)


def written(folder: Path, table: pa.Table) -> Path:
    path = folder / "given.parquet"
    pq.write_table(table, path)
    return path


@pytest.fixture
def home(tmp_path: Path) -> Path:
    home_with_bills(tmp_path / "h", balances={"B": 60}).close()
    return tmp_path / "h"


def pay(home: Path, table: pa.Table, *more: object, at: str = AT) -> Said:
    return command("fees", home, written(home.parent, table), "--at", at, *more, "--json")


def changed(table: pa.Table, column: str, values: list[Any]) -> pa.Table:
    at = table.schema.get_field_index(column)
    return table.set_column(at, column, pa.array(values, table.schema.field(at).type))


def reason_of(home: Path, text: str, **column: Any) -> tuple[str, str]:
    """(code, sentence) by which the last payment of a file is refused, as the command says it."""
    table = payments_table(text, 50)
    for name, value in column.items():
        values = table[name].to_pylist()
        table = changed(table, name, [*values[:-1], value])
    said = pay(home, table)
    assert said.code == 0, said.err
    rows = pq.read_table(home / "out" / said.document["file"]).to_pylist()
    assert (rows[-1]["status"], rows[-1]["receipt"]) == ("RJCT", None)
    (why,) = [why for why in said.document["reasons"] if why["reason"] == rows[-1]["reason"]]
    assert switch.verify(home)
    return why["reason"], why["sentence"]


@pytest.mark.parametrize(
    ("payment", "changes", "reason"),
    [
        ("A > TAX/1 0", {}, ("AM12", "the amount is zero or negative")),
        ("A > TAX/1 -5", {}, ("AM12", "the amount is zero or negative")),
        ("A > TAX/1 500000001", {}, ("AM13", "the amount is above the limit of the clearing")),
        (
            "A > TAX/1 100",
            {"paid_on": dt.date(2026, 11, 26)},
            ("DT01", "it is paid on a day that has not come"),
        ),
        ("A > NOBODY/1 100", {}, ("CNOR", "the agency, or its bank, is not known here")),
        ("X > TAX/1 100", {}, ("RC08", "the payer's bank is not in the directory")),
        (
            "A > TAX/1 100\nA > TAX/2 200",
            {"payment_id": "P50"},
            ("DU03", "the payment id was taken before, or stands twice"),
        ),
        ("A > TAX/9 100", {}, ("NARR", "the bill is not known")),
        ("A > POLICE/9 100", {}, ("NARR", "the bill is not known")),
        ("A > TAX/1 99", {}, ("AM09", "the amount differs from that of the bill")),
        ("A > POLICE/1 50", {}, ("TM01", "the bill was due before, and is not paid late")),
        (
            "A > TAX/1 100\nB > TAX/1 100",
            {},
            ("AM05", "an earlier payment of the file pays the bill"),
        ),
        ("B > TAX/1 100", {}, ("AM23", "the payer's bank has no room for it in the cycle")),
    ],
)
def test_fees__each_refusal_has_one_reason(
    payment: str, changes: dict[str, Any], reason: tuple[str, str], home: Path
) -> None:
    assert reason_of(home, payment, **changes) == reason


def test_fees__a_bill_is_paid_once_and_an_id_is_taken_once(home: Path) -> None:
    assert pay(home, payments_table("A > TAX/1 100")).code == 0
    assert reason_of(home, "C > TAX/1 100") == ("AM05", "the bill is paid already")
    assert reason_of(home, "A > TAX/2 200", payment_id="P1")[0] == "DU03"


@pytest.mark.parametrize(("code", "reason"), [("A", "AB07"), ("KBNN", "AB08")])
def test_fees__a_suspended_bank_neither_pays_nor_receives(
    code: str, reason: str, home: Path
) -> None:
    rows = [
        {**row, "status": "suspended" if row["participant"] == code else "active"}
        for row in PARTICIPANTS
    ]
    with switch.open(home) as engine:
        engine.change_directory(participants=pa.Table.from_pylist(rows))
    assert reason_of(home, "A > TAX/1 100")[0] == reason


def test_fees__an_agency_whose_bank_left_the_directory_takes_nothing(home: Path) -> None:
    rows = [row for row in PARTICIPANTS if row["participant"] != "C"]
    debtors = [{"debtor_account": c, "debtor_agent": c} for c in ("A", "B", "KBNN")]
    with switch.open(home) as engine:
        engine.change_directory(
            participants=pa.Table.from_pylist(rows), debtors=pa.Table.from_pylist(debtors)
        )
    assert reason_of(home, "A > POLICE/2 70")[0] == "CNOR"


def test_fees__rules_go_before_one_another_as_their_table_has_them(home: Path) -> None:
    """Each row breaks the rule of its place and all that can be broken behind it."""
    with switch.open(home) as engine:
        engine.fees.take(payments_table("A > TAX/1 100"), at=AT)
        engine.change_directory(settings=LIMITED)
    rows = [
        ("X > NO/1 -1", "AM12"),
        ("X > NO/1 151", "AM13"),
        ("X > NO/1 99", "CNOR"),
        ("X > TAX/1 99", "RC08"),
        ("A > TAX/1 99 P1", "DU03"),
        ("A > TAX/9 99", "NARR"),
        ("A > TAX/1 99", "AM05"),
        ("A > POLICE/1 51", "AM09"),
        ("A > POLICE/1 50", "TM01"),
        ("C > TAX/3 39", "AM09"),
        ("C > TAX/3 40", None),
        ("B > TAX/3 40", "AM05"),
        ("B > POLICE/2 70", "AM23"),
    ]
    table = payments_table("\n".join(text for text, _ in rows), 20)
    said = pay(home, table)
    answers = pq.read_table(home / "out" / said.document["file"])["reason"].to_pylist()
    assert answers == [reason for _, reason in rows]
    late = changed(table.slice(2, 1), "paid_on", [dt.date(2026, 11, 26)])
    assert pay(home, late).document["reasons"][0]["reason"] == "DT01"
    assert switch.verify(home)


def test_fees__the_same_file_again_pays_nothing_twice_in_any_form(home: Path) -> None:
    table = payments_table("A > TAX/1 100\nA > TAX/9 1")
    first = pay(home, table).document
    before = tree_digest(home)
    again = pay(home, table).document
    assert (first["new"], again) == (True, {**first, "new": False})
    with switch.open(home) as engine:
        assert engine.fees.take(table)["new"] is False
    assert tree_digest(home) == before
    said = command("fees", home, written(home.parent, table), "--at", AT)
    assert "nothing is paid twice" in said.out


def test_fees__a_file_that_was_refused_comes_again_with_the_same_bytes(home: Path) -> None:
    """By a slip it was given a day early, and one bill was not there: all is judged anew."""
    table = changed(
        payments_table("A > TAX/1 100\nA > TAX/9 5\nB > TAX/3 40"),
        "paid_on",
        [dt.date(2026, 11, 26), dt.date(2026, 11, 25), dt.date(2026, 11, 25)],
    )
    first = pay(home, table).document
    assert first["taken"] == {"count": 1, "sum": 40}
    with switch.open(home) as engine:
        engine.fees.load_bills(bills_table("TAX/9 5"))
    second = pay(home, table, at="2026-11-26").document
    assert (second["new"], second["number"]) == (True, first["number"] + 2)
    assert (second["taken"]["sum"], second["known"]["sum"]) == (105, 40)
    answers = [pq.read_table(home / "out" / d["file"]).to_pylist() for d in (first, second)]
    assert [row["status"] for row in answers[1]] == ["ACSP"] * 3
    assert answers[1][2]["receipt"] == answers[0][2]["receipt"]
    before = tree_digest(home)
    third = pay(home, table, at="2026-11-26").document
    assert third == {**second, "new": False}
    assert tree_digest(home) == before
    assert switch.verify(home)


def test_fees__a_file_without_room_comes_again_when_its_bank_has_some(home: Path) -> None:
    table = payments_table("B > TAX/1 100")
    before = pay(home, table).document
    assert pay(home, table).document == {**before, "new": False}, "there is no room yet"
    with switch.open(home) as engine:
        engine.change_directory(balances=table_of({"B": 100}))
    assert pay(home, table).document["taken"] == {"count": 1, "sum": 100}
    assert switch.verify(home)


def test_fees__a_payment_that_was_taken_is_known_wherever_it_stands(home: Path) -> None:
    """Among others, twice, and though its bank is suspended meanwhile; another one of its id is
    refused."""
    pay(home, payments_table("A > TAX/1 100"))
    rows = [
        {**row, "status": "suspended" if row["participant"] == "A" else "active"}
        for row in PARTICIPANTS
    ]
    with switch.open(home) as engine:
        engine.change_directory(participants=pa.Table.from_pylist(rows))
    said = pay(home, payments_table("A > TAX/1 100 P1\nC > TAX/2 200 P9\nA > TAX/1 100 P1"))
    found = {name: said.document[name]["count"] for name in ("taken", "known", "refused")}
    assert found == {"taken": 1, "known": 2, "refused": 0}
    more = written(home.parent, payments_table("A > TAX/1 100 P1\nC > TAX/3 40 P1"))
    assert "payments taken before: 1, 100 dong\n" in command("fees", home, more, "--at", AT).out
    other = pay(home, payments_table("C > TAX/2 199 P9\nC > TAX/2 200 P9"))
    answers = pq.read_table(home / "out" / other.document["file"]).to_pylist()
    assert [(row["status"], row["reason"]) for row in answers] == [("RJCT", "DU03"), ("ACSP", None)]
    assert switch.verify(home)


def test_fees__an_id_is_one_of_its_bank_alone(home: Path) -> None:
    said = pay(home, payments_table("A > TAX/1 100 P1\nC > TAX/2 200 P1"))
    assert said.document["taken"]["count"] == 2
    assert pay(home, payments_table("A > TAX/2 200 P1")).document["reasons"][0]["reason"] == "DU03"
    which = command("fees", home, "--payment", "P1")
    assert (which.code, "name the one with --bank: A, C" in which.err) == (2, True)
    found = command("fees", home, "--payment", "P1", "--bank", "C", "--json").document
    assert (found["participant"], found["bill_ref"]) == ("C", "2")
    none = command("fees", home, "--payment", "P1", "--bank", "B")
    assert (none.code, "no payment 'P1' of B was taken" in none.err) == (2, True)
    alone = command("fees", home, "--bank", "B")
    assert (alone.code, "--bank goes with" in alone.err) == (2, True)
    with switch.open(home) as engine:
        engine.settle()
    words = ("--by", "an officer", "--why", "paid in error")
    assert command("refund", home, "P1", *words).code == 2
    done = command("refund", home, "P1", "--bank", "C", *words, "--json").document
    assert (done["participant"], done["amount"]) == ("C", 200)
    assert (
        command("fees", home, "--payment", "P1", "--bank", "A", "--json").document["refunded"] == 0
    )
    assert switch.verify(home)


def test_fees__a_time_that_leaps_needs_the_word(home: Path) -> None:
    """A slip in the year is refused, of bills as of payments; and it moves nothing that comes."""
    with switch.open(home) as engine:
        run(engine, lines("KBNN > A 600"), "X")
    before = tree_digest(home)
    paid = written(home.parent, payments_table("A > TAX/1 100"))
    bills = home.parent / "bills.parquet"
    pq.write_table(bills_table("TAX/9 5"), bills)
    for words in (("fees", home, paid), ("bills", home, bills)):
        said = command(*words, "--at", "2027-11-25")
        assert (said.code, "lies 365 days after all that this home knows" in said.err) == (2, True)
    assert tree_digest(home) == before
    assert command("bills", home, bills, "--at", "2027-11-25", "--leap").code == 0
    table = payments_table("A > TAX/1 100")
    assert pay(home, table, at="2027-11-25").code == 2, "bills say nothing of what day it is"
    now = command("fees", home, paid, "--json").document
    assert now["cycle"] == "20261125-1"
    far = payments_table("A > TAX/2 200", 2)
    assert pay(home, far, "--leap", at="2027-11-25").document["cycle"] == "20271125-1"
    late = command("fees", home, written(home.parent, payments_table("C > TAX/3 40", 3)), "--json")
    assert late.document["cycle"] == "20261125-1", "the home's own time did not move"
    assert switch.verify(home)


def test_fees__what_was_refused_may_come_again_by_its_id(home: Path) -> None:
    assert pay(home, payments_table("A > TAX/9 5")).document["refused"]["count"] == 1
    with switch.open(home) as engine:
        engine.fees.load_bills(bills_table("TAX/9 5"))
    more = payments_table("A > TAX/9 5\nA > TAX/1 100")
    assert pay(home, more).document["taken"] == {"count": 2, "sum": 105}


def test_fees__the_receipt_is_the_same_whenever_it_is_asked_for(home: Path, tmp_path: Path) -> None:
    pay(home, payments_table("A > TAX/1 100"))
    said = command("fees", home, "--payment", "P1", "--json").document
    assert (len(said["receipt"]), said["state"]) == (16, "CLEARED")
    home_with_bills(tmp_path / "other").close()
    pay(tmp_path / "other", payments_table("A > TAX/2 200\nA > TAX/1 100", 0))
    other = command("fees", tmp_path / "other", "--payment", "P1", "--json").document
    assert other["receipt"] == said["receipt"]
    assert "CLEARED" in command("fees", home, "--payment", "P1").out
    unknown = command("fees", home, "--payment", "P9")
    assert (unknown.code, "no payment 'P9' was taken" in unknown.err) == (2, True)


def test_fees__shows_what_stands_by_agency(home: Path) -> None:
    pay(home, payments_table("A > TAX/1 100"))
    found = command("fees", home, "--json").document["agencies"]
    assert [one["agency"] for one in found] == ["POLICE", "TAX"]
    assert found[1]["bills"] == {"count": 3, "sum": 340}
    assert found[1]["paid"] == found[1]["cleared"] == {"count": 1, "sum": 100}
    out = command("fees", home).out
    assert "TAX: Tax department\n  bills: 3, 340 dong\n  bills paid: 1, 100 dong" in out


def test_fees__words_of_the_command_that_takes_them(home: Path) -> None:
    table = written(home.parent, payments_table("A > TAX/1 100\nA > TAX/9 1"))
    out = command("fees", home, table, "--at", AT).out
    assert "payments taken: 1, 100 dong\npayments refused: 1, 1 dong\n" in out
    assert "\n  NARR the bill is not known: 1, 1 dong\n" in out
    assert "cycle: 20261125-1" in out
    with switch.open(home) as engine:
        engine.settle("20261125-1", abort="the bank was closed")
    assert "payments again: 1, 100 dong" in command("fees", home, "--again").out
    vi = command("--lang", "vi", "fees", home, table).out
    assert "hóa đơn không có ở đây" in vi


# --- tables that are none -------------------------------------------------------------------------


def refused(said: Said, rule: str, **where: object) -> None:
    """A command refused a table by a rule, and says where."""
    assert said.code == 3, said
    error = said.document["error"]
    assert (error["rule"], bool(error["remedy"])) == (rule, True)
    assert {name: error[name] for name in where} == where


def test_fees__a_payment_without_a_reference_refuses_the_file(home: Path) -> None:
    before = tree_digest(home)
    table = payments_table("A > TAX/1 100\nA > TAX/2 200")
    for column, value in (("payment_id", ""), ("bill_ref", "x" * 36), ("payment_id", "a\x1fb")):
        said = pay(home, changed(table, column, ["P1", value]))
        refused(said, "REFERENCE_INVALID", row=2, column=column)
    foreign = table.append_column("currency", pa.array(["VND", "USD"]))
    refused(pay(home, foreign), "CURRENCY", row=2, column="currency")
    unknown = table.append_column("colour", pa.array(["", ""]))
    assert pay(home, unknown).code == 3
    assert tree_digest(home) == before


def test_fees__a_home_without_agencies_or_a_time_says_so(tmp_path: Path) -> None:
    home_with_bills(tmp_path / "h").close()
    table = written(tmp_path, payments_table("A > TAX/1 100"))
    said = command("fees", tmp_path / "h", table)
    assert (said.code, "--at, for this home knows no time" in said.err) == (2, True)
    make(tmp_path / "bare").close()
    said = command("fees", tmp_path / "bare", table, "--at", AT)
    assert (said.code, "load them with `switch agencies`" in said.err) == (2, True)
    twice = command("fees", tmp_path / "h", table, "--again")
    assert (twice.code, "give one of TABLE" in twice.err) == (2, True)


def test_fees__a_time_is_one_that_the_calendar_has(home: Path) -> None:
    assert pay(home, payments_table("A > TAX/1 100"), at="2029-11-25").code == 3
    assert pay(home, payments_table("A > TAX/1 100"), at="yesterday").code == 2


def load(home: Path, kind: str, table: pa.Table) -> Said:
    return command(kind, home, written(home.parent, table), "--json")


def test_bills__are_loaded_once_and_stay_as_they_are(home: Path) -> None:
    table = bills_table("TAX/1 100\nTAX/4 7")
    said = load(home, "bills", table).document
    assert (said["count"], said["sum"], said["known"]) == (1, 7, 1)
    before = tree_digest(home)
    again = load(home, "bills", table).document
    assert (again["number"], again["count"], again["known"]) == (0, 0, 2)
    refused(load(home, "bills", bills_table("TAX/5 1\nTAX/1 101")), "BILL_CHANGED", row=2)
    assert tree_digest(home) == before
    assert "bills known before: 2" in command("bills", home, written(home.parent, table)).out


@pytest.mark.parametrize(
    ("text", "row", "column"),
    [
        ("NOBODY/1 5", 1, "agency"),
        ("TAX/8 5\nTAX/9 0", 2, "amount"),
        ("TAX/8 -5", 1, "amount"),
        ("TAX/8 1000000000001", 1, "amount"),
        ("TAX/8 5\nTAX/8 5", 2, "bill_ref"),
    ],
)
def test_bills__one_that_is_none_refuses_the_file(
    text: str, row: int, column: str, home: Path
) -> None:
    before = tree_digest(home)
    refused(load(home, "bills", bills_table(text)), "BILL_INVALID", row=row, column=column)
    assert tree_digest(home) == before


def test_bills__whose_they_are_stands_in_the_home_as_a_hash_alone(home: Path) -> None:
    ids = pa.array(["001099000001", None], pa.string())
    table = bills_table("TAX/8 5\nTAX/9 6").append_column("person_id", ids)
    assert load(home, "bills", table).code == 0
    content = b"".join(p.read_bytes() for p in sorted(home.rglob("*")) if p.is_file())
    assert b"001099000001" not in content
    bad = changed(table, "person_id", ["001099000001", "12"])
    refused(load(home, "bills", bad), "ID_FORMAT", row=2, column="person_id")


def test_agencies__are_data_and_none_with_bills_leaves(home: Path) -> None:
    assert len(command("agencies", home, "--json").document["agencies"]) == 2
    assert load(home, "agencies", agencies_table()).document["new"] is False
    land = {"agency": "LAND", "name": "Land registry", "participant": "B", "late": "taken"}
    assert load(home, "agencies", agencies_table((*AGENCIES, land))).document["new"] is True
    before = tree_digest(home)
    refused(load(home, "agencies", agencies_table(AGENCIES[:1])), "AGENCY_INVALID")
    assert tree_digest(home) == before
    assert load(home, "agencies", agencies_table()).document["new"] is True, "LAND has no bills"
    shown = command("agencies", home).out
    assert "POLICE: Traffic police, C , not late\n" in shown
    assert "2 agencies" in shown
    told = command("agencies", home, written(home.parent, agencies_table((*AGENCIES, land)))).out
    assert "next: switch bills" in told


@pytest.mark.parametrize(
    ("column", "value"),
    [("agency", "TAX"), ("agency", ""), ("agency", "A]"), ("participant", "X"), ("late", "maybe")],
)
def test_agencies__one_that_is_none_refuses_the_table(column: str, value: str, home: Path) -> None:
    bad = {"agency": "LAND", "name": "Land", "participant": "B"} | {column: value}
    before = tree_digest(home)
    said = load(home, "agencies", agencies_table((*AGENCIES, bad)))
    refused(said, "AGENCY_INVALID", row=3, column=column)
    assert tree_digest(home) == before


def test_home__without_fees_keeps_its_format(tmp_path: Path) -> None:
    with make(tmp_path / "h") as engine:
        assert engine.home.catalog.meta("format") == "3"
        engine.fees.load_agencies(agencies_table())
        assert engine.home.catalog.meta("format") == "6"
