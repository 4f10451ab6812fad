"""The native rooms at their edges: what whole tables seldom reach and a small mistake would break.

Each test is named by a mutant (tests/mutants/table.py) as the one that sees it.
"""

from __future__ import annotations

import datetime as dt
import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from scene import (
    BANK,
    NAME,
    VALUE_DATE,
    account,
    accounts_table,
    answers,
    line,
    make_home,
    pay,
    people_table,
    person,
    person_id,
    run,
)

import switch
from switch.cli.bench import core_of
from switch.files.columns import Texts, text_buffers
from switch.native import csv_text, outbox
from switch.native import ledger as kernel
from switch.native.pages import Pages
from switch.native.people_table import PeopleTable, pack_accounts
from switch.reason import RULES, Reason
from switch.registry.register import name_keys
from switch.registry.versions import ACCOUNT, PERSON
from switch.schema import DAY_MAX, DAY_MIN, MONTHS, NO_CODE

DAY = dt.timedelta(days=1)
MASK_64 = (1 << 64) - 1
IN_TABLE = 3 << 62


# --- screening ------------------------------------------------------------------------------------


def test_screen__status_holds_from_its_day_on(tmp_path: Path) -> None:
    people = [
        person(n, status="deceased", status_since=VALUE_DATE + (n - 9) * DAY) for n in range(1, 18)
    ]
    home = make_home(tmp_path / "h", people, [account(n) for n in range(1, 18)])
    batch = pay(home, [line(n) for n in range(1, 18)])
    assert [reason for _, reason in answers(batch)] == ["MD07"] * 9 + [None] * 8


def test_screen__an_account_makes_nobody_known(village: Path) -> None:
    with switch.open(village) as engine:
        engine.register(accounts=accounts_table([account(20)]))
        assert answers(run(engine, [line(20), line(1)])) == [("RJCT", "BE06"), ("ACSC", None)]


def test_screen__nobody_is_paid_to_the_next_persons_account(tmp_path: Path) -> None:
    """Lists of accounts stand one behind the other; the first person's have all ended."""
    ended = {"valid_to": VALUE_DATE - DAY}
    accounts = [account(1, **ended), account(2, **ended), account(2, account="222", priority=2)]
    home = make_home(tmp_path / "h", [person(1), person(2)], accounts)
    assert answers(pay(home, [line(1), line(2)])) == [("PDNG", "AC03"), ("ACSC", None)]


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_core__threads_change_no_given_account(village: Path, threads: int) -> None:
    """An account that the table names is found by its line in the chunk, in whatever part."""
    n = 20_001
    people = np.arange(n, dtype=np.uint64) % np.uint64(9) + np.uint64(1_000_000_001)
    keys, _, _ = name_keys(Texts(pa.array([NAME]), None))
    with switch.open(village) as engine:
        core = core_of(engine, VALUE_DATE, threads)
        reason, _, participant, words = core.screen(
            np.full(n, 1000, np.int64),
            people,
            np.repeat(keys, n),
            np.zeros(n, np.uint16),
            np.zeros(n, np.uint16),
            np.full(n, engine.directory.index()[BANK], np.uint16),
        )
        core.close()
    assert not reason.any()
    assert set(participant) == {engine.directory.index()[BANK]}
    assert np.array_equal(words, np.arange(n, dtype=np.uint64) | np.uint64(IN_TABLE))


def test_core__what_is_sealed_was_paid_before(tmp_path: Path) -> None:
    """A line that waited takes the entitlement; the table's own line is told of an earlier one."""
    home = make_home(tmp_path / "h", [person(1), person(2)], [account(2)])
    with switch.open(home) as engine:
        assert answers(run(engine, [line(1)], "WAITS")) == [("PDNG", "AC03")]
        engine.register(accounts=accounts_table([account(1)]))
        summary = run(engine, [line(1), line(2), line(2)], "NOW").summary
    assert [row["sentence"] for row in summary["reasons"]] == [
        RULES[Reason.PAID_BEFORE].sentence,
        RULES[Reason.DUPLICATE_IN_TABLE].sentence,
    ]


# --- ledger ---------------------------------------------------------------------------------------


def ledger(benefits: int, participants: int) -> Any:
    return kernel.Ledger(
        benefits,
        participants,
        np.zeros(participants**2, np.int64),
        np.zeros(participants**2, np.int64),
        np.zeros(benefits, np.int64),
        np.zeros(benefits, np.int64),
    )


@pytest.mark.parametrize(("benefits", "participants"), [(1, 2), (2, 1)])
@pytest.mark.parametrize("more", [0, 1])
def test_ledger__a_sum_that_leaves_64_bits_stops(
    benefits: int, participants: int, more: int
) -> None:
    """Two lines of one benefit to two receivers, or of two benefits to one."""
    books = ledger(benefits, participants)
    for benefit in range(benefits):
        books.use(benefit * MONTHS, np.zeros(2, np.uint64))
    columns = (
        np.zeros(2, np.uint8),
        np.arange(2, dtype=np.uint32),
        np.arange(2, dtype=np.uint16) % benefits,
        np.zeros(2, np.uint16),
        np.zeros(2, np.uint16),
        np.zeros(1, np.uint16),
        np.arange(2, dtype=np.uint16) % participants,
    )
    amounts = np.array([2**63 - 2, 1 + more], np.int64)
    if more:
        with pytest.raises(OverflowError):
            books.post(*columns, amounts, 0)
    else:
        books.post(*columns, amounts, 0)
        assert books.tally()[0] == (2, 2**63 - 1)


@pytest.mark.parametrize(
    ("amounts", "start", "expected"),
    [
        ([2**63 - 1], 0, 2**63 - 1),
        ([2**63 - 1, 2**63 - 1, -(2**63 - 1), -5], 0, 2**63 - 6),
        ([1], 2**63 - 2, 2**63 - 1),
        ([1], 2**63 - 1, None),
        ([2**63 - 1, 2], 0, None),
        ([-(2**63), -(2**63)], 0, None),
        ([2**63 - 1] * 4, 0, None),
        ([], 7, 7),
    ],
)
def test_ledger__a_total_is_exact_or_refused(
    amounts: list[int], start: int, expected: int | None
) -> None:
    column = np.array(amounts, np.int64)
    if expected is None:
        with pytest.raises(OverflowError):
            kernel.total(column, start)
    else:
        assert kernel.total(column, start) == expected


@pytest.mark.parametrize("first", [0, 1, 15, 16, 46, 48, 49, 200, 300])
def test_ledger__posting_stops_at_a_key_without_bits(first: int) -> None:
    """Lines before it are posted, lines from it on are not, until its bits come."""
    n = 300
    books = ledger(2, 1)
    books.use(0, np.zeros(2 * (n // 64 + 1), np.uint64))
    reason = np.zeros(n, np.uint8)
    reason[7::10] = Reason.NAME_DIFFERS
    alive = reason == 0
    benefit = np.where(alive, np.arange(n) >= first, NO_CODE).astype(np.uint16)
    row, amount, none = np.arange(n, dtype=np.uint32), np.arange(1, n + 1), np.zeros(n, np.uint16)
    columns = (reason, row, benefit, none, none, none[:1], none, amount)
    assert books.post(*columns, 0) == first
    assert books.tally()[0] == (alive[:first].sum(), amount[:first][alive[:first]].sum())
    assert books.tally()[Reason.NAME_DIFFERS][0] == n - alive.sum() - (~alive[first:]).sum()
    if first < n:
        books.use(MONTHS, np.zeros(2 * (n // 64 + 1), np.uint64))
        assert books.post(*columns, first) == n
    assert books.tally()[0] == (alive.sum(), amount[alive].sum())
    assert books.tally()[Reason.NAME_DIFFERS] == ((~alive).sum(), amount[~alive].sum())


def test_ledger__takes_4096_keys_and_no_more() -> None:
    books = ledger(1, 1)
    for key in range(4096):
        books.use(key, np.zeros(2, np.uint64))
    with pytest.raises(ValueError, match="more than 4096"):
        books.use(4096, np.zeros(2, np.uint64))


# --- people ---------------------------------------------------------------------------------------


def home_slot(person: int, capacity: int) -> int:
    """Where the search for an id begins, as docs/formats.md has it."""
    h = person * 0x9E3779B97F4A7C15 & MASK_64
    h = (h ^ (h >> 32)) * 0xD6E8FEB86659FD93 & MASK_64
    return h * capacity >> 64


def test_table__ids_of_the_last_slot_go_on_at_the_first() -> None:
    table = PeopleTable()
    capacity = table.nbytes // PERSON.itemsize
    last = [n for n in range(1, 20_000) if home_slot(n, capacity) == capacity - 1][:5]
    ids, rows = np.array(last, np.uint64), np.empty(5, np.uint32)
    table.rows(ids, rows, True)
    assert list(rows) == [0, 1, 2, 3, 4]
    assert table.audit() == (0, 0, 0)
    assert {int(word) & (1 << 40) - 1 for word in slots(table)["word"][:4]} == set(last[1:])
    table.rows(ids, rows, False)
    assert list(rows) == [0, 1, 2, 3, 4]


def slots(table: Any) -> Any:
    return np.frombuffer(table.memory(), PERSON)


def test_table__people_keep_their_listed_accounts() -> None:
    """Whoever is put again keeps what the register of accounts said of him."""
    table = PeopleTable()
    ids, rows = np.array([7], np.uint64), np.empty(1, np.uint32)
    key, none = np.array([1], np.uint64), np.zeros(1, np.uint8)
    table.put_people(ids, key, none, none, rows)
    entries = np.zeros(2, ACCOUNT)
    entries["valid_from"], entries["valid_to"] = DAY_MIN, (DAY_MAX - 1, DAY_MAX)
    table.put_accounts(np.array([0, 2], np.uint32), entries.view(np.uint8), np.zeros(1, np.uint32))
    before = slots(table)["word"].copy()
    table.put_people(ids, key, none, none, rows)
    assert np.array_equal(slots(table)["word"], before)
    assert table.audit() == (1, 1, 0)


def test_register__texts_of_accounts_stay_when_others_come(village: Path) -> None:
    with switch.open(village) as engine:
        engine.register(accounts=accounts_table([account(1, account="VNfirst", priority=0)]))
        engine.register(accounts=accounts_table([account(2, account="VN-second", priority=0)]))
        batch = run(engine, [line(1), line(2), line(3)])
    sent = pq.read_table(batch.folder / "clearing" / f"{BANK}.parquet")
    assert sent["creditor_account"].to_pylist() == ["VNfirst", "VN-second", "1000000003"]


@pytest.mark.parametrize(("length", "fault"), [(0, 1), (1, -1), (255, -1), (256, 1)])
def test_register__a_text_has_its_length_in_one_byte(length: int, fault: int) -> None:
    text = b"V" * 20 + b"W" * length
    words, heap = np.zeros(2, np.uint64), np.zeros(len(text) + 2, np.uint8)
    offsets = np.array([0, 20, len(text)], np.int32)
    used, at = pack_accounts(offsets, np.frombuffer(text, np.uint8), words, heap, 0)
    assert at == fault
    assert heap[:used].tobytes().startswith(b"\x14" + b"V" * 20)
    if length == 255:
        assert heap[:used].tobytes() == b"\x14" + b"V" * 20 + b"\xff" + b"W" * 255


def test_register__people_of_many_slots_are_all_found(village: Path) -> None:
    with switch.open(village) as engine:
        engine.register(population=people_table([person(n) for n in range(100, 1100)]))
        batch = run(engine, [line(n) for n in range(100, 1100)])
        ids = np.array([int(person_id(n)) for n in range(100, 1100)], np.uint64)
        rows = engine.open_register().rows_of(ids)
    assert batch.summary["held"]["count"] == 1000
    assert sorted(rows) == list(range(9, 1009))


def test_pages__are_zero_when_memory_is_used_again() -> None:
    for size in (1, 1000, 3 << 20, (3 << 20) + 1) * 4:
        pages = Pages(size)
        memory = np.frombuffer(pages, np.uint8)
        assert len(pages) == len(memory) == size
        assert not memory.any()
        memory.fill(255)
        del memory, pages


# --- text -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("9223372036854775807", 2**63 - 1),
        ("-9223372036854775807", -(2**63 - 1)),
        ("0", 0),
        ("-1", -1),
        ("0000000000000000000000000000001", 1),
        ("922337203685477579", 922337203685477579),
        ("9223372036854775808", csv_text.Fault.RANGE),
        ("9223372036854775809", csv_text.Fault.RANGE),
        ("9223372036854775810", csv_text.Fault.RANGE),
        ("99999999999999999999", csv_text.Fault.RANGE),
        ("", csv_text.Fault.MISSING),
        ("-", csv_text.Fault.FORMAT),
        ("+1", csv_text.Fault.FORMAT),
        ("1 ", csv_text.Fault.FORMAT),
        ("1:", csv_text.Fault.FORMAT),
        ("1/", csv_text.Fault.FORMAT),
    ],
)
def test_text__amounts_are_exact_to_the_last_dong(text: str, value: Any) -> None:
    amounts = np.empty(2, np.int64)
    bad, fault = csv_text.parse_amounts(*text_buffers(pa.array(["12", text])), amounts)
    if isinstance(value, csv_text.Fault):
        assert (bad, fault) == (1, value)
    else:
        assert (bad, fault, list(amounts)) == (-1, csv_text.Fault.FINE, [12, value])


def test_wire__transfer_ids_have_ten_digits() -> None:
    numbers = np.array([1, 0, 4_294_967_280, 1_234_567_890], np.uint32)
    offsets, data = np.empty(5, np.int32), np.full(48 + 40, 120, np.uint8)
    given = np.array([1, 0, 1, 1], np.uint8)
    prefix = np.frombuffer(b"P-", np.uint8)
    assert outbox.transfer_ids(prefix, numbers, given, offsets, data) == 36
    texts = [bytes(data[a:b]) for a, b in itertools.pairwise(offsets)]
    assert texts == [b"P-0000000001", b"", b"P-4294967280", b"P-1234567890"]


def sequences() -> list[tuple[bytes, bool]]:
    """Every lead byte with continuations at all edges, whole and cut, and whether it is UTF-8."""
    edges = (0x00, 0x7F, 0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF, 0xC0, 0xFF)
    rests = ((), (0x80,), (0xBF,), (0x80, 0xBF), (0xBF, 0xBF), (0x80, 0x7F))
    found = []
    for lead in range(0x80, 0x100):
        for tail in ((), *((a, *rest) for a in edges for rest in rests)):
            text = bytes((lead, *tail))
            try:
                text.decode("utf-8")
            except UnicodeDecodeError:
                found.append((text, False))
            else:
                found.append((text, True))
    return found


def test_text__csv_is_the_utf8_that_python_takes() -> None:
    for text, sound in sequences():
        scan = csv_text.CsvScan(1 << 20)
        scan.feed(np.frombuffer(b'"' + text + b'"', np.uint8))
        scan.finish()
        assert scan.fault == (csv_text.Fault.FINE if sound else csv_text.Fault.ENCODING), text


def test_names__are_the_utf8_that_python_takes() -> None:
    for text, sound in sequences():
        _, _, bad = name_keys(Texts(pa.array([text], pa.binary()).view(pa.string()), None))
        assert bad == (-1 if sound else 0), text


@pytest.mark.parametrize("length", [1, 2, 7, 8, 9, 15, 16, 17, 33])
def test_names__every_letter_counts(length: int) -> None:
    names = ["A" * length] + ["A" * n + "B" + "A" * (length - n - 1) for n in range(length)]
    keys, _, _ = name_keys(Texts(pa.array(names), None))
    assert len(set(keys)) == length + 1
