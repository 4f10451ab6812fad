"""Deltas of the register: few changes write little, and read with what is before them as a register
that was written whole."""

from __future__ import annotations

import datetime as dt
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from home_reads import clearing_rows
from scene import (
    BANK,
    PARTICIPANTS,
    SMALL_BANK,
    Row,
    account,
    accounts_table,
    change_catalog,
    command,
    entitlement,
    line,
    make_home,
    paid_table,
    pay,
    payment_table,
    people_table,
    person,
    person_id,
    reasons,
    write_table,
)

import switch
from switch.errors import InputRefused, UsageError, VerificationFailed
from switch.home import paid_bits
from switch.home.store import FORMATS, Home
from switch.registry import delta
from switch.registry.load_registers import current, current_chain
from switch.registry.register import Register
from switch.registry.versions import LISTED, PERSON, REFERENCE, account_texts, accounts_of

PEOPLE = 200
STEPS = 8
DAY = dt.timedelta(days=1)
APRIL, MARCH = dt.date(2026, 4, 25), dt.date(2026, 3, 25)


@pytest.fixture
def town(tmp_path: Path) -> Path:
    """A home with people enough for deltas of ten."""
    people = [person(n) for n in range(1, PEOPLE + 1)]
    accounts = [account(n) for n in range(1, PEOPLE + 1)]
    accounts += [account(7, account="VN-7", priority=2), account(9, valid_to=APRIL)]
    return make_home(tmp_path / "town", people, accounts, paid=[entitlement(PEOPLE)])


def change(home: Path, **rows: list[Row]) -> None:
    made: dict[str, Callable[..., Any]] = {
        "population": people_table, "accounts": accounts_table, "paid_history": paid_table,
    }  # fmt: skip
    with switch.open(home) as engine:
        engine.register(**{name: made[name](table) for name, table in rows.items()})


def chain_of(home: Path) -> list[int]:
    with Home(home, writing=False) as opened:
        return opened.catalog.register_chain()


# --- as one that was written whole ----------------------------------------------------------------


class Invented:
    """Rows of registers as they come, of a few hundred people."""

    def __init__(self, seed: int) -> None:
        self.random, self.family = random.Random(seed), random.Random(-seed)

    def _day(self) -> dt.date:
        return dt.date(2026, self.random.randint(1, 12), 1)

    def person(self, number: int) -> Row:
        status = self.random.choice(
            ["alive", "alive", "alive", "deceased", "missing", "late", "duplicate", "unknown"]
        )
        name = self.random.choice(["Nguyễn Văn A", "Lê Thị B", "Trần C", "D"])
        dated = status != "alive" and self.random.random() < 0.5
        since = {"status_since": self._day()} if dated else {}
        return person(number, name=name, status=status, **since)

    def account(self, number: int) -> Row:
        texts = [str(self.random.randint(1, 10**9)), f"VN-{self.random.randint(1, 40)}", "9" * 30]
        days = {
            name: self._day() for name in ("valid_from", "valid_to") if self.random.random() < 0.3
        }
        code = self.random.choice([BANK, BANK, SMALL_BANK, f"9{self.random.randint(1, 30):05d}"])
        changes: Row = {"account": self.random.choice(texts), "participant": code}
        head = self.family.randint(1, 900)
        if head != number and self.family.random() < 0.4:
            changes |= {"representative": person_id(head)}
            days.setdefault("valid_to", dt.date(2026, 12, 31))
        return account(number, priority=self.random.randint(1, 3), **changes, **days)

    def change(self, most: int) -> dict[str, list[Row]]:
        ids = [self.random.randint(1, most) for _ in range(self.random.randint(1, 4))]
        given: dict[str, list[Row]] = {}
        kinds = self.random.choice(["p", "a", "pa", "h", "pah"])
        if "p" in kinds:
            given["population"] = [self.person(n) for n in ids]
        if "a" in kinds:
            given["accounts"] = [self.account(n) for n in ids]
        if "h" in kinds:
            given["paid_history"] = [
                entitlement(n, period=self.random.choice([202601, 202612])) for n in ids
            ]
        return given


def content(register: Register) -> list[Any]:
    """All that screening looks at, by row and without the places at which it stands."""
    slots = np.frombuffer(register.table.memory(), PERSON)
    slots = np.sort(slots[slots["word"] != 0], order="row")

    def text(word: int) -> Any:
        start = word & ~int(REFERENCE)
        end = start + 1 + int(register.heap[start]) if word & int(REFERENCE) else 0
        return bytes(register.heap[start + 1 : end]) if end else word

    found = []
    for word, key, at, row, participant, start in slots.tolist():
        listed: list[Any] = []
        if word & int(LISTED):
            while at < len(register.lists) and register.lists["row"][at] == row:
                listed.append([text(int(register.lists["account"][at])), register.lists[at]])
                at += 1
            listed = [[said, *entry.tolist()[1:]] for said, entry in listed]
        else:
            listed = [text(at)]
        found.append((word, key, listed, row, participant, start))
    return [found, register.since.tolist(), register.participants, register.fold]


def read(home: Path) -> dict[str, Any]:
    """What a home's register is, as a run, a change and a look at accounts read it."""
    with Home(home, writing=False) as opened:
        register, whole = current(opened), current(opened, whole=True)
        assert register.info is not None
        chain, rows = current_chain(opened), np.arange(register.rows + 1, dtype=np.uint32)
        accounts, whose = accounts_of(chain.account_files(1 << 30), rows)
        return {
            "run": content(register),
            "change": [content(whole), whole.accounts.tolist(), whole.all_masks().tolist()],
            "representatives": [
                whole.acting.tolist(),
                whose.tolist(),
                register.info.representatives,
            ],
            "counts": [register.info.rows, register.info.people, register.info.accounts],
            "late": register.late,
            "initials": register.initials.of_rows(rows[:-1]).tolist(),
            "accounts": [
                *(part.to_pylist() for part in account_texts(chain, accounts, opened.proven)),
                *(accounts[name].tolist() for name in ("row", "priority", "valid_from")),
            ],
            "paid": {
                key: np.trim_zeros(paid_bits.read(*file), "b").tolist()
                for key, file in opened.paid_files("history").items()
            },
        }


@pytest.mark.parametrize("seed", range(4))
def test_delta__a_chain_reads_as_a_register_that_was_written_whole(
    seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = Invented(seed)
    people = [rows.person(n) for n in range(1, PEOPLE)]
    accounts = [rows.account(rows.random.randint(1, PEOPLE + 20)) for _ in range(PEOPLE)]
    once = make_home(tmp_path / "a", people, accounts, paid=[entitlement(5), entitlement(900)])
    again = shutil.copytree(once, tmp_path / "b")
    for _ in range(STEPS):
        came = rows.change(PEOPLE + 40)
        monkeypatch.setattr(delta, "CHANGES_SHARE", 2)
        change(once, **came)
        monkeypatch.setattr(delta, "CHANGES_SHARE", 10**9)
        change(again, **came)
        assert read(once) == read(again), came
        assert switch.verify(once)
    assert (len(chain_of(once)), len(chain_of(again))) == (STEPS + 1, 1)


# --- births, deaths, corrections ------------------------------------------------------------------


def test_delta__births_deaths_and_corrections_are_seen_by_the_next_run(town: Path) -> None:
    change(
        town,
        population=[person(1, status="deceased"), person(2, name="Lê Thị Mới"), person(900)],
        accounts=[account(900), account(3, account="33", priority=0)],
        paid_history=[entitlement(4)],
    )
    assert chain_of(town) == [1, 2]
    batch = pay(town, [line(n) for n in (1, 2, 3, 4, 5, 900)])
    assert reasons(batch) == ["MD07", "BE01", None, "AM05", None, None]
    assert clearing_rows(batch)[BANK][0]["creditor_account"] == "33"
    assert "register L* T* M*" in str(batch.status["reason_detail"].to_pylist()[1])
    assert switch.verify(town)


def test_delta__writes_no_more_than_what_changes(town: Path) -> None:
    change(town, population=[person(1)])
    whole, later = (
        sum(path.stat().st_size for path in (town / "registers" / name).iterdir())
        for name in ("000001", "000002")
    )
    assert later < whole / 3
    assert not [*(town / "registers" / "000002").glob("*.bits")]


def test_delta__an_arrears_line_of_before_a_death_is_paid(town: Path) -> None:
    change(town, population=[person(n, status="deceased", status_since=APRIL) for n in (1, 2)])
    march = [line(1, period=202603)]
    assert reasons(pay(town, march, "M", value_date=MARCH)) == [None]
    april = [line(2, period=202604)]
    assert reasons(pay(town, april, "A", value_date=APRIL)) == ["MD07"]


def test_delta__beyond_its_share_the_register_is_written_whole(town: Path) -> None:
    change(town, population=[person(n) for n in range(1, 7)])
    change(town, population=[person(n) for n in range(1, 5)])
    assert chain_of(town) == [1, 2, 3]
    change(town, population=[person(1)])
    assert chain_of(town) == [4]
    assert sorted(path.name for path in (town / "registers").iterdir()) == ["000004"]
    assert reasons(pay(town, [line(n) for n in (1, 9, PEOPLE)])) == [None, "AC03", "AM05"]
    assert switch.verify(town)


def test_delta__a_replaced_table_is_written_whole(town: Path) -> None:
    with switch.open(town) as engine:
        engine.register(accounts=accounts_table([account(1)]), replace=True)
    assert chain_of(town) == [2]


def test_delta__at_most_so_many_follow_a_whole_version(
    town: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delta, "LINKS_MAX", 2)
    for n in (1, 2, 3):
        change(town, population=[person(n)])
    assert chain_of(town) == [4]


def test_delta__a_refused_row_changes_nothing(town: Path) -> None:
    with pytest.raises(InputRefused, match="VALUE_UNKNOWN"):
        change(town, population=[person(900)], accounts=[account(1, kind="?")])
    assert chain_of(town) == [1]
    assert reasons(pay(town, [line(900)])) == ["BE06"]


# --- versions -------------------------------------------------------------------------------------


def test_replay__finds_the_version_of_each_batch_in_the_chain(town: Path, tmp_path: Path) -> None:
    for number in range(3):
        rows = [line(n, period=202601 + number) for n in range(1, 12)]
        table = write_table(
            payment_table(rows), tmp_path / f"{number}.parquet", batch_id=f"B{number}"
        )
        assert command("run", town, table).code == 0
        change(
            town,
            population=[person(number + 1, status="deceased")],
            paid_history=[entitlement(11, period=202601 + number)],
        )
    kept = shutil.copytree(town / "registers", tmp_path / "kept")
    for number in range(3):
        assert command("replay", town, f"B{number}", tmp_path / f"{number}.parquet").code == 0
    with switch.open(town) as engine:
        engine.register(accounts=accounts_table([account(1)]), replace=True)
    table = tmp_path / "1.parquet"
    said = command("replay", town, "B1", table)
    assert (said.code, "version 2 of the register" in said.err) == (2, True)
    assert "version 5 was committed" in said.err
    assert command("replay", town, "B1", table, "--register", kept / "000002").code == 0
    (kept / "000001" / "since.bin").write_bytes(b"12345678")
    said = command("replay", town, "B1", table, "--register", kept / "000002")
    assert (said.code, "is not version 1 of the register" in said.err) == (5, True)


def test_home__says_a_later_format_from_its_first_delta_on(town: Path) -> None:
    """So that an engine which knows no deltas does not drop the version that they change."""

    def made() -> str:
        with Home(town, writing=False) as opened:
            return opened.catalog.meta("format")

    assert made() == "3"
    change(town, population=[person(1)])
    assert made() == "4"
    assert switch.verify(town)


@pytest.mark.parametrize("name", ["people.slots", "accounts.bin", "masks.bin", "since.bin"])
@pytest.mark.parametrize("version", ["000001", "000002"])
def test_delta__is_made_of_no_file_that_was_changed(version: str, name: str, town: Path) -> None:
    change(
        town, population=[person(1, status="deceased", status_since=APRIL)], accounts=[account(1)]
    )
    path = town / "registers" / version / name
    text = bytearray(path.read_bytes()) or bytearray(8)
    text[len(text) // 2] ^= 4
    path.write_bytes(text)
    with pytest.raises(VerificationFailed, match="restore it"):
        change(town, population=[person(1)], accounts=[account(1)])
    assert chain_of(town) == [1, 2]


def test_home__a_version_of_the_chain_that_is_gone_stops_everything(town: Path) -> None:
    change(town, population=[person(1)])
    shutil.rmtree(town / "registers" / "000001")
    with pytest.raises(VerificationFailed, match="000001 is gone"):
        switch.open(town)


def test_rehearsal__and_scrub_know_every_version_of_the_chain(town: Path, tmp_path: Path) -> None:
    change(town, population=[person(1, status="deceased")])
    table = write_table(payment_table([line(1), line(2)]), tmp_path / "t.parquet", batch_id="T")
    assert command("rehearse", town, table).code == 0
    copy = shutil.copytree(town, tmp_path / "copy")
    (town / "registers" / "000001" / "heap.bin").unlink()
    assert (
        "registers/000001/heap.bin is gone; repaired" in command("scrub", town, "--copy", copy).out
    )
    assert switch.verify(town)
    person_id = people_table([person(1)])["person_id"][0]
    assert command("status", town, "--person", person_id).code == 0


# --- written whole again --------------------------------------------------------------------------


def test_compact__says_the_same_in_one_version(town: Path) -> None:
    change(town, population=[person(1, status="deceased")], accounts=[account(900)])
    change(town, accounts=[account(900, account="VN-900", priority=0)])
    change(town, paid_history=[entitlement(3)])
    before = read(town)
    said = command("compact", town, "--json")
    assert said.code == 0
    assert said.document == {"version": 5, "deltas": 3, "people": PEOPLE, "accounts": 203}
    assert chain_of(town) == [5]
    assert sorted(path.name for path in (town / "registers").iterdir()) == ["000005"]
    assert read(town) == before
    assert switch.verify(town)
    lines = [line(n) for n in (1, 2, 3, 900)]
    assert reasons(pay(town, lines)) == ["MD07", None, "AM05", "BE06"]


def test_compact__without_deltas_nothing_is_done(town: Path) -> None:
    said = command("compact", town)
    assert (said.code, said.out) == (0, "version 1 of the register is whole\n")
    assert chain_of(town) == [1]


def test_compact__is_told_in_words(town: Path) -> None:
    change(town, population=[person(1)])
    assert (
        command("compact", town).out == "version 3 of the register is whole: 1 delta, 200 people\n"
    )


def test_compact__without_a_register_is_refused(tmp_path: Path) -> None:
    directory = {
        "participants": pa.Table.from_pylist(list(PARTICIPANTS)),
        "debtors": pa.table({"debtor_account": ["1"], "debtor_agent": [BANK]}),
    }
    switch.init(tmp_path / "h", **directory).close()
    said = command("compact", tmp_path / "h")
    assert (said.code, "has no register" in said.err) == (2, True)


def test_verify__finds_a_compaction_that_loses_somebody(
    town: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    change(town, population=[person(900)], accounts=[account(900)])
    whole = Register._read_rest

    def wrong(register: Register, chain: Any) -> None:
        whole(register, chain)
        register.accounts = register.accounts[:-1]
        register._place_accounts()

    monkeypatch.setattr(Register, "_read_rest", wrong)
    assert command("compact", town).code == 0
    monkeypatch.undo()
    with pytest.raises(VerificationFailed, match="it was compacted, and is not what was before"):
        switch.verify(town)


# --- proof ----------------------------------------------------------------------------------------


def _records(parts: dict[str, Any]) -> np.ndarray[Any, Any]:
    slots = np.frombuffer(bytes(parts["people.slots"]), PERSON).copy()
    parts["people.slots"] = slots.view(np.uint8).data
    return slots


def _set(name: str, value: Callable[[Any], Any]) -> Callable[[dict[str, Any]], None]:
    """Change a field of the record of row 0."""

    def wrong(parts: dict[str, Any]) -> None:
        slots = _records(parts)
        one = np.flatnonzero((slots["word"] != 0) & (slots["row"] == 0))
        slots[name][one] = value(slots[name][one])

    return wrong


def _without(name: str, size: int) -> Callable[[dict[str, Any]], None]:
    """Leave out the last record of a file."""

    def wrong(parts: dict[str, Any]) -> None:
        parts[name] = parts[name][: len(parts[name]) - size]

    return wrong


def _other_row(parts: dict[str, Any]) -> None:
    slots = _records(parts)
    one = np.flatnonzero((slots["word"] != 0) & (slots["row"] == 0))
    slots["row"][one] = 150


WRONG: dict[str, Callable[[dict[str, Any]], None]] = {
    "row 0 has another number": _other_row,
    "new people have no rows of their own": _set("word", lambda word: word | 1 << 39),
    "in the population register no more": _set("word", lambda word: word & ~np.uint64(1 << 43)),
    "row 0 has a status without its day": _set("word", lambda word: word | 1 << 44),
    "row 0 is late, and not revoked": _set("word", lambda word: word | np.uint64(1 << 47)),
    "row 0 leads to another account": _set("account", lambda word: word + 1),
    "row 0 leads to another account than": _set("valid_from", lambda day: day + 1),
    "is gone": _without("accounts.bin", 24),
    "stands in it twice": _without("masks.bin", 8),
}


@pytest.mark.parametrize("what", WRONG)
def test_verify__finds_a_delta_that_is_wrong(
    what: str, town: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = delta.write_parts

    def wrong(folder: Path, parts: Any) -> dict[str, str]:
        changed = dict(parts)
        WRONG[what](changed)
        return write(folder, changed)

    monkeypatch.setattr(delta, "write_parts", wrong)
    accounts = {} if WRONG[what] is _other_row else {"accounts": [account(1), account(9)]}
    change(town, population=[person(1, name="Lê Thị Mới"), person(7)], **accounts)
    monkeypatch.undo()
    with pytest.raises(VerificationFailed, match=what):
        switch.verify(town)


def test_delta__somebody_leaves_the_population_register_where_it_is_said(town: Path) -> None:
    change(town, population=[person(1, status="unknown"), person(2, status="duplicate")])
    assert len(chain_of(town)) == 2
    switch.verify(town)
    lines = [line(1), line(2), line(3)]
    assert reasons(pay(town, lines, "A")) == ["BE06", "BE17", None]
    change(town, population=[person(1), person(2)])
    assert reasons(pay(town, lines, "B")) == [None, None, "AM05"]
    switch.verify(town)


def test_delta__counts_who_is_late(town: Path) -> None:
    def late() -> list[int]:
        with Home(town, writing=False) as home:
            return [current(home).late, current_chain(home).last.info.late or 0]

    assert late() == [0, 0]
    change(town, population=[person(1, status="late"), person(2, status="late"), person(201)])
    assert late() == [2, 2]
    change(town, population=[person(2), person(3, status="late"), person(202, status="late")])
    assert late() == [3, 3]
    switch.verify(town)
    with switch.open(town) as engine:
        engine.compact()
    assert late() == [3, 3]
    change(town, population=[person(n) for n in (1, 3, 202)])
    assert late() == [0, 0]
    switch.verify(town)


COUNTS: dict[str, Callable[[delta.Delta], None]] = {
    "_known": lambda made: setattr(made, "_known", made._known + 1),
    "_late": lambda made: setattr(made, "_late", made._late + 1),
    "_accounts_before": lambda made: setattr(made, "_accounts_before", made._accounts_before + 1),
}


@pytest.mark.parametrize("name", COUNTS)
def test_verify__finds_a_delta_that_counts_wrong(
    name: str, town: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save = delta.Delta.save

    def wrong(made: delta.Delta, folder: Path) -> Any:
        COUNTS[name](made)
        return save(made, folder)

    monkeypatch.setattr(delta.Delta, "save", wrong)
    change(town, population=[person(1)], accounts=[account(1)])
    monkeypatch.undo()
    with pytest.raises(VerificationFailed, match="are not as many as it says"):
        switch.verify(town)


def test_verify__finds_a_history_that_forgets_a_payment(
    town: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(paid_bits, "read", lambda *_: np.zeros(1, np.uint64))
    change(town, paid_history=[entitlement(1)])
    monkeypatch.undo()
    with pytest.raises(VerificationFailed, match="somebody was paid"):
        switch.verify(town)


def test_home__of_a_format_of_tomorrow_is_refused(town: Path) -> None:
    last = int(FORMATS[-1])
    change_catalog(town, f"UPDATE meta SET value = '{last + 1}' WHERE name = 'format'")
    with pytest.raises(UsageError, match=f"has format {last + 1}, this engine {last}"):
        switch.open(town, mode="r")
