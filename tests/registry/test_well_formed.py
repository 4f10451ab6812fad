"""Ids, accounts and names by their form alone: what is one, what is none, and old homes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import reference
from hypothesis import given, settings
from hypothesis import strategies as st
from scene import (
    BANK,
    CLOSED_BANK,
    account,
    accounts_table,
    command,
    line,
    make_home,
    pay,
    payment_table,
    people_table,
    person,
    reasons,
    run,
    tree_digest,
    write_table,
)

import switch
from switch.errors import InputRefused
from switch.files.columns import Texts
from switch.native import csv_text, names
from switch.proof.replay import replay
from switch.reason import RULE_SET_BEFORE
from switch.registry.register import name_keys

# --- ids ------------------------------------------------------------------------------------------

TWELVE = ("000000000000", "000000000001", "003150000001", "100150000017", "999999999999")
"""No province of Viet Nam has these codes; births registered abroad have some of them."""


@pytest.mark.parametrize("form", ["text", "number"])
def test_id__any_twelve_digits_are_an_id(tmp_path: Path, form: str) -> None:
    """Who is registered is paid, whatever the id begins with; who is not is BE06."""
    people = [person(1, person_id=one) for one in TWELVE]
    home = make_home(tmp_path / "home", people, [account(1, person_id=one) for one in TWELVE])
    strangers = ["003150000002", "888888888888", "999999999998"]
    lines = [line(1, person_id=one) for one in (*TWELVE, *strangers)]
    table = payment_table(lines)
    if form == "number":
        numbers = pa.array([int(one["person_id"]) for one in lines], pa.uint64())
        numbers = pa.concat_arrays([numbers, pa.array([10**12, 2**40 - 1, 2**64 - 1], pa.uint64())])
        table = payment_table([*lines, line(1), line(1), line(1)])
        table = table.set_column(1, "person_id", numbers)
    answers = reasons(pay(home, table))
    assert answers[:8] == [None] * 5 + ["BE06"] * 3
    assert answers[8:] == ["BE17"] * (3 if form == "number" else 0)


@given(st.text(alphabet="0123456789O ٣", min_size=10, max_size=13))
def test_id__the_twin_asks_for_twelve_ascii_digits(text: str) -> None:
    digits = text.isascii() and text.isdigit() and len(text) == 12
    assert reference.id_well_formed(text) == digits


def test_replay__what_the_rules_before_judged_is_judged_by_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A batch of a home made before: an id without a province was BE17."""
    home = make_home(tmp_path / "home", [person(1), person(2, person_id="999000000002")])
    with switch.open(home) as engine:
        engine.register(accounts=pa.Table.from_pylist([account(1)]))
        monkeypatch.setattr("switch.clearing.payday.RULE_SET", RULE_SET_BEFORE)
        table = payment_table([line(1), line(2, person_id="999000000002"), line(3)])
        before = run(engine, table, "BEFORE")
        monkeypatch.undo()
        now = run(engine, table, "NOW")
    assert reasons(before) == [None, "BE17", "BE06"]
    detail = before.status["reason_detail"].to_pylist()[1]
    assert detail == "the person's id is not 12 digits with a known province code"
    assert reasons(now) == ["AM05", "AC03", "BE06"]
    assert replay(home, "BEFORE", table)
    assert replay(home, "NOW", table)


# --- accounts -------------------------------------------------------------------------------------

ACCOUNTS = (
    "1", "19034567890123", "0" * 34, "VN12ABCDe", "3713.0.1057625.00000", "+84912345678", "12E5",
    "/-?:().,'+", "E+13", ".5", "1.", "1.2.3", "1E+", "1903-4567",
)  # fmt: skip
NO_ACCOUNTS = (
    "1.90345678901E+13", "1,90345678901E+13", "1.9e13", "19E+13", "1.E5", "19034567890123.0",
    "19034567890123,00", "####", " ", "\t", " 1", "1 ", "1903 4567", "1\x00", "1\n", "\u202e1",
    "1\u200b", "\ufeff1", "1_2", "é", "１２", "9" * 35, "9" * 256, "x" * 100_000, "\u00a01",
)  # fmt: skip
TEXTS = st.one_of(
    st.text(max_size=40),
    st.text(alphabet="0123456789.,Ee+-", min_size=1, max_size=12),
    st.from_regex(r"[0-9]{1,20}[.,]?[0-9]{0,3}([Ee][+-]?[0-9]{1,2})?", fullmatch=True),
)


def odd(texts: list[str]) -> list[bool]:
    values = pa.array(texts, pa.string())
    offsets, data = Texts(values, None).buffers()
    found = np.empty(len(texts), np.uint8)
    first = csv_text.odd_accounts(offsets, data, found)
    assert first == (found.tolist().index(1) if found.any() else -1)
    return [bool(one) for one in found]


def test_account__examples_are_as_the_contract_says() -> None:
    assert odd([*ACCOUNTS, *NO_ACCOUNTS]) == [False] * len(ACCOUNTS) + [True] * len(NO_ACCOUNTS)
    assert odd([""]) == [True]


@settings(max_examples=400, deadline=None)
@given(st.lists(TEXTS, min_size=1, max_size=8))
def test_account__kernel_and_twin_agree_on_any_text(texts: list[str]) -> None:
    assert odd(texts) == [not reference.is_account(text) for text in texts]


def test_account__every_character_is_judged_as_the_twin_does() -> None:
    texts = [f"1{chr(point)}" for point in range(0x3000) if not 0xD800 <= point <= 0xDFFF]
    assert odd(texts) == [not reference.is_account(text) for text in texts]


@pytest.mark.parametrize("form", ["plain", "dictionary", "csv"])
def test_account__of_a_table_that_is_none_refuses_its_line(tmp_path: Path, form: str) -> None:
    """AC01, after all that is wrong with the person and before what is wrong with the receiver."""
    every = [*ACCOUNTS, *(text for text in NO_ACCOUNTS if form != "csv" or text.isprintable())]
    home = make_home(tmp_path / "home", [person(n) for n in range(1, len(every) + 1)])
    lines = [
        line(n, creditor_agent=BANK, creditor_account=text) for n, text in enumerate(every, start=1)
    ]
    lines += [
        line(1, creditor_agent="999999", creditor_account="####"),
        line(2, creditor_agent=CLOSED_BANK, creditor_account="1,5"),
        line(3, creditor_agent=BANK, creditor_account="####", person_name="Lê Văn Ba"),
        line(4, amount=0, creditor_agent=BANK, creditor_account="####"),
        line(5, period=202612, creditor_agent="999999", creditor_account="1"),
    ]
    table = payment_table(lines)
    if form == "dictionary":
        at = table.schema.get_field_index("creditor_account")
        table = table.set_column(
            at, "creditor_account", table["creditor_account"].dictionary_encode()
        )
    if form == "csv":
        path = write_table(table, tmp_path / "table", "csv")
        with switch.open(home) as engine:
            batch = engine.run(path)
    else:
        batch = pay(home, table)
    bad = len(every) - len(ACCOUNTS)
    rest = ["AC01", "AC01", "BE01", "AM12", "CNOR"]
    assert reasons(batch) == [None] * len(ACCOUNTS) + ["AC01"] * bad + rest
    sent = pq.read_table(batch.folder / "clearing" / f"{BANK}.parquet")
    assert sent["creditor_account"].to_pylist() == list(ACCOUNTS)


@pytest.mark.parametrize("text", [text for text in NO_ACCOUNTS if "\x00" not in text])
def test_account__of_a_register_that_is_none_refuses_the_file(tmp_path: Path, text: str) -> None:
    home = make_home(tmp_path / "home", [person(1), person(2)], [account(1)])
    before = tree_digest(home)
    bad = accounts_table([account(1), account(2, account=text)])
    with switch.open(home) as engine, pytest.raises(InputRefused) as refused:
        engine.register(accounts=bad)
    assert refused.value.rule in ("ACCOUNT_FORMAT", "ACCOUNT_LENGTH")
    assert (refused.value.row, refused.value.column) == (2, "account")
    assert text not in str(refused.value) or len(text.strip()) < 2
    assert tree_digest(home) == before


def test_account__a_held_line_of_before_is_refused_when_it_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = make_home(tmp_path / "home", [person(1), person(2)], [account(2)])
    odd_line = line(1, creditor_agent=CLOSED_BANK, creditor_account="1.9E+13")
    with switch.open(home) as engine:
        monkeypatch.setattr("switch.clearing.payday.RULE_SET", RULE_SET_BEFORE)
        assert reasons(run(engine, payment_table([odd_line]), "BEFORE")) == ["AB08"]
        monkeypatch.undo()
        batch = run(engine, payment_table([line(2)]), "NOW")
    moved = pq.read_table(batch.folder / "represented.parquet").to_pylist()
    assert [(row["batch"], row["reason"]) for row in moved] == [(1, "AC01")]
    assert command("verify", home).code == 0


# --- the fold before ------------------------------------------------------------------------------

ODD_NAMES = ("H'Hen Niê", "H’Hen Niê", "Ðặng Thị Ƀ", "Ðặng", "An\u200b Bình", "Hò\ufeffa", "漢’")


def test_fold__a_register_keeps_the_fold_by_which_it_was_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Keys of a home made before match as they did, until --replace makes them by the fold now."""
    home = tmp_path / "home"
    people = [person(n, name=name) for n, name in enumerate(ODD_NAMES[:4], start=1)]
    monkeypatch.setattr(names, "NOW", names.BEFORE)
    make_home(home, people, [account(n) for n in range(1, 6)])
    monkeypatch.undo()
    folder = next((home / "registers").iterdir())
    assert json.loads((folder / "register.json").read_text())["fold"] == names.BEFORE
    other = ["H‘Hen Niê", "H'Hen Niê", "Đặng Thị Ƀ", "Đặng"]
    with switch.open(home) as engine:
        same = run(engine, [line(n, person_name=name) for n, name in enumerate(ODD_NAMES[:4], 1)])
        assert reasons(same) == [None] * 4
        lines = [line(n, person_name=name, period=202612) for n, name in enumerate(other, 1)]
        assert reasons(run(engine, lines, "OTHER")) == ["BE01"] * 4
        engine.register(population=people_table([person(5, name="An Bình")]))
        assert engine.open_register().fold == names.BEFORE
        marked = [line(5, person_name="An\u200b Bình"), line(5)]
        assert reasons(run(engine, marked, "MARK")) == ["BE22", "BE01"]
        engine.register(population=people_table(people), replace=True)
        assert engine.open_register().fold == names.NOW
        assert reasons(run(engine, lines, "NOW")) == [None] * 4


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet="aáĐđÐðƉɖ'’ʼ‘` \u200b\u200d\u2060\ufeff\u202e漢E\u0301", max_size=8))
def test_fold__only_the_letters_that_changed_have_other_keys(name: str) -> None:
    texts = Texts(pa.array([name, names.fold(name)]), None)
    keys = [name_keys(texts, fold=version)[0].tolist() for version in (names.BEFORE, names.NOW)]
    assert (keys[1][0] == 0) == reference.name_unusable(name)
    assert names.fold(name) == reference.name_key(name)
    if not set(name) & set("ÐðƉɖ’ʼ‘`\u200b\u200d\u2060\ufeff"):
        assert keys[0][0] == keys[1][0]
    if keys[1][0]:
        assert keys[1][0] == keys[1][1]
