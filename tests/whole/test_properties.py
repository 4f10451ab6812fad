"""Random small worlds through the engine and through the slow twin: every answer and invariant.

Few people, few entitlements and few days, so that lines collide, accounts end on the very day and
held lines wait, come back and meet what was paid meanwhile.
"""

from __future__ import annotations

import datetime as dt
import json
import sqlite3
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
import reference
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scene import (
    BANK,
    BANK_ACCOUNT,
    CLOSED_BANK,
    DEBTORS,
    ORPHAN,
    PARTICIPANTS,
    SMALL_BANK,
    SMALL_LIMIT,
    TREASURY_ACCOUNT,
    VALUE_DATE,
    WALLET,
    account,
    accounts_table,
    entitlement,
    line,
    make_home,
    paid_table,
    payment_table,
    people_table,
    person,
    run,
)

import switch

DAY = dt.timedelta(days=1)
DAYS = [
    VALUE_DATE - 40 * DAY,
    VALUE_DATE - DAY,
    VALUE_DATE,
    VALUE_DATE + DAY,
    VALUE_DATE + 30 * DAY,
]
BENEFITS = {"PENS", "SASS", "MERT", "UNEM", "SICK", "MATE", "ONCE", "GIFT"}
AGENT_OF = {row["debtor_account"]: row["debtor_agent"] for row in DEBTORS}
SETTLED_BY = {row["participant"]: row["settled_by"] or row["participant"] for row in PARTICIPANTS}


def mostly(common: Any, rare: Any, one_in: int = 10) -> Any:
    """Values of `common`, and now and then one of `rare`."""
    return st.sampled_from([common] * (one_in - 1) + [rare]).flatmap(lambda chosen: chosen)


some_day = st.one_of(st.none(), st.sampled_from(DAYS))
numbers = st.integers(1, 5)
names = st.sampled_from(["Nguyễn Văn An", "NGUYEN VAN AN", "nguyê\u0303n  văn an"])

people = st.builds(
    lambda n, **row: person(n, **row),
    numbers,
    name=mostly(names, st.just("Trần Thị Bé")),
    status=st.sampled_from(
        ["alive"] * 6 + ["deceased", "missing", "revoked", "late", "duplicate", "unknown"]
    ),
    status_since=some_day,
)
accounts = st.builds(
    lambda n, **row: account(n, **row),
    numbers,
    participant=st.sampled_from([BANK, BANK, SMALL_BANK, CLOSED_BANK, WALLET, ORPHAN, "999999"]),
    account=st.sampled_from(["1", "01", "12", "VN-1", "VN-12", "99999999999999999999"]),
    priority=st.integers(1, 2),
    valid_from=some_day,
    valid_to=some_day,
)
paid = st.builds(
    lambda n, **row: entitlement(n, **row),
    numbers,
    benefit=st.sampled_from(["PENS", "SASS", "OLD"]),
    period=st.sampled_from([202610, 202611]),
)
amounts = mostly(
    st.one_of(st.integers(1, 1000), st.sampled_from([SMALL_LIMIT, SMALL_LIMIT + 1, 500_000_000])),
    st.sampled_from([500_000_001, 0, -7]),
)
given_accounts = mostly(
    st.just({}),
    st.fixed_dictionaries(
        {
            "creditor_agent": st.sampled_from([BANK, SMALL_BANK, CLOSED_BANK, WALLET, "999999"]),
            "creditor_account": st.sampled_from(["7", "X-7"]),
        }
    ),
    one_in=4,
)
lines = st.builds(
    lambda n, extra, **row: line(n, **(row | extra)),
    numbers,
    given_accounts,
    person_name=mostly(names, st.sampled_from(["", "Lê Văn Cường"]), one_in=16),
    benefit=st.sampled_from(["PENS"] * 10 + ["SASS"] * 5 + ["NOPE"]),
    period=st.sampled_from([202610, 202611]),
    amount=amounts,
    debtor_account=st.sampled_from([TREASURY_ACCOUNT] * 9 + [BANK_ACCOUNT] * 6 + ["1"]),
)
odd_lines = st.builds(
    lambda row, person_id: row | {"person_id": person_id},
    lines,
    st.sampled_from(["001000000099", "999000000001", "00100000000x"]),
)


class Payday(NamedTuple):
    """One table, and what changes in registers and directory before it comes."""

    lines: list[dict[str, Any]]
    value_date: dt.date
    people: list[dict[str, Any]]
    accounts: list[dict[str, Any]]
    suspended: set[str] | None
    """Who is suspended from now on; None: as before."""
    chunk_rows: int
    threads: int


paydays = st.builds(
    Payday,
    lines=st.lists(mostly(lines, odd_lines, one_in=16), min_size=1, max_size=14),
    value_date=st.sampled_from(DAYS[1:4]),
    people=st.lists(people, max_size=2),
    accounts=st.lists(accounts, max_size=3),
    suspended=st.one_of(
        st.none(), st.sets(st.sampled_from([BANK, CLOSED_BANK, WALLET]), max_size=2)
    ),
    chunk_rows=st.sampled_from([1, 3, 1000]),
    threads=st.sampled_from([1, 2]),
)


class Twin:
    """What must be true of a home, kept as plain dicts and lists."""

    def __init__(self, paid_history: list[dict[str, Any]]) -> None:
        self.people: dict[str, Any] = {}
        self.accounts: dict[tuple[str, str, str], Any] = {}
        self.participants = [dict(row) for row in PARTICIPANTS]
        self.paid = list(paid_history)
        self.waiting: list[tuple[int, dict[str, Any]]] = []
        """(batch, line) of every line that is held, oldest first."""

    def learn(self, people: list[dict[str, Any]], accounts: list[dict[str, Any]]) -> None:
        self.people |= {row["person_id"]: row for row in people}
        for row in accounts:
            self.accounts[row["person_id"], row["participant"], row["account"]] = row

    def screen(self, rows: list[dict[str, Any]], value_date: dt.date) -> list[reference.Answer]:
        registers = reference.registers_of(
            self.people.values(),
            self.accounts.values(),
            self.participants,
            DEBTORS,
            BENEFITS,
            value_date,
        )
        paid = {reference.entitlement(row) for row in self.paid}
        answers = reference.answers(rows, registers, paid)
        self.paid += [row for row, a in zip(rows, answers, strict=True) if a.status == "ACSC"]
        return answers


def shown(answers: list[reference.Answer]) -> list[tuple[str, str | None, str | None]]:
    """Status, reason and, of lines that clear, the receiver."""
    return [(a.status, a.code, a.participant if a.status == "ACSC" else None) for a in answers]


def shown_in(table: pa.Table) -> list[tuple[str, str | None, str | None]]:
    return [
        (row["status"], row["reason"], row["participant"] if row["status"] == "ACSC" else None)
        for row in table.to_pylist()
    ]


def check_batch(twin: Twin, batch: switch.Batch, payday: Payday) -> None:
    """The batch's answers, files and sums are the twin's."""
    old = list(twin.waiting)
    retried = twin.screen([row for _, row in old], payday.value_date)
    own = twin.screen(payday.lines, payday.value_date)
    assert shown_in(batch.status) == shown(own)

    path = batch.folder / "represented.parquet"
    moved = pq.read_table(path) if path.exists() else None
    expected = [
        (seq, row["line_no"], answer)
        for (seq, row), answer in zip(old, retried, strict=True)
        if answer.status != "PDNG"
    ]
    if moved is None:
        assert not old
    else:
        assert shown_in(moved) == shown([answer for *_, answer in expected])
        where = zip(moved["batch"].to_pylist(), moved["line_no"].to_pylist(), strict=True)
        assert list(where) == [(seq, number) for seq, number, _ in expected]

    both = [
        *zip([row for _, row in old], retried, strict=True),
        *zip(payday.lines, own, strict=True),
    ]
    twin.waiting = [
        entry for entry, answer in zip(old, retried, strict=True) if answer.status == "PDNG"
    ]
    for number, (row, answer) in enumerate(zip(payday.lines, own, strict=True), start=1):
        if answer.status == "PDNG":
            twin.waiting.append((batch.seq, row | {"line_no": number}))
    held = batch.folder / "held.parquet"
    stored = pq.read_table(held, columns=["batch", "line_no"]).to_pylist() if held.exists() else []
    assert [(r["batch"], r["line_no"]) for r in stored] == [
        (seq, row["line_no"]) for seq, row in twin.waiting
    ]

    check_clearing(batch, [(row, a) for row, a in both if a.status == "ACSC"])
    check_states(batch, payday, own)


def check_clearing(batch: switch.Batch, cleared: list[tuple[dict[str, Any], Any]]) -> None:
    """Clearing files and positions hold the cleared lines, each once, in order (I2)."""
    files: dict[str, list[tuple[str, int]]] = {}
    between: Counter[str] = Counter()
    for row, answer in cleared:
        files.setdefault(answer.participant, []).append((answer.account, row["amount"]))
        if AGENT_OF[row["debtor_account"]] != answer.participant:
            between[answer.participant] += row["amount"]
            between[AGENT_OF[row["debtor_account"]]] -= row["amount"]
    found = {}
    for path in (batch.folder / "clearing").iterdir():
        sent = pq.read_table(path)
        columns = (sent[name].to_pylist() for name in ("creditor_account", "amount"))
        found[path.stem] = list(zip(*columns, strict=True))
    assert found == files
    nets = {row["participant"]: row["net"] for row in batch.positions.to_pylist()}
    assert sum(nets.values()) == 0
    assert {code: net for code, net in nets.items() if net} == {
        c: n for c, n in between.items() if n
    }


def check_states(batch: switch.Batch, payday: Payday, own: list[reference.Answer]) -> None:
    """Lines by state add up to what was declared (I4)."""
    names = {"ACSC": "cleared", "PDNG": "held", "RJCT": "refused"}
    for status, name in names.items():
        amounts = [
            r["amount"] for r, a in zip(payday.lines, own, strict=True) if a.status == status
        ]
        assert batch.summary[name] == {"count": len(amounts), "sum": sum(amounts)}
    assert batch.summary["received"] == {
        "count": len(payday.lines),
        "sum": sum(row["amount"] for row in payday.lines),
    }


def check_home(home: Path, twin: Twin, cleared: list[Any]) -> None:
    """What the whole home comes to: I1, I3, I6, I8, and what `verify` makes of it."""
    keys = Counter(reference.entitlement(row) for row in cleared)
    assert not [key for key, count in keys.items() if count > 1], "paid twice (I6)"
    db = sqlite3.connect(home / "catalog.sqlite")
    balances = dict(db.execute("SELECT account, balance FROM balances"))
    db.close()
    rebuilt: Counter[str] = Counter()
    for folder in sorted((home / "batches").iterdir()):
        kept: Counter[str] = Counter()
        postings = json.loads((folder / "manifest.json").read_text())["postings"]
        for _, debit, credit, amount in postings:
            assert amount > 0
            assert debit != credit
            kept[debit] -= amount
            kept[credit] += amount
        assert sum(kept.values()) == 0, "I1"
        for name, amount in kept.items():
            if name.startswith("N."):
                continue
            rebuilt[name] += amount
            if name.startswith(("S.CLEARING", "S.RESERVE")):
                assert amount == 0, "I3"
        moved = {code: sum_ for code, sum_ in kept.items() if code.startswith("N.") and sum_}
        nets = {code: sum_ for code, sum_ in kept.items() if code.startswith(("S.BANK", "S.TREAS"))}
        assert {_code(n): s for n, s in moved.items()} == {
            _code(n): s for n, s in nets.items() if s
        }
    assert {n: s for n, s in rebuilt.items() if s} == {n: s for n, s in balances.items() if s}, "I8"
    assert switch.verify(home)


def _code(name: str) -> str:
    return name.partition("[")[2]


@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(
    first_people=st.lists(people, max_size=3),
    first_accounts=st.lists(accounts, max_size=8),
    history=st.lists(paid, max_size=4),
    days=st.lists(paydays, min_size=1, max_size=4),
)
def test_properties__engine_and_twin_agree_over_several_paydays(
    first_people: list[Any], first_accounts: list[Any], history: list[Any], days: list[Payday]
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        first_people = [*map(person, range(1, 6)), *first_people]
        home = make_home(Path(folder) / "home", first_people, first_accounts, history)
        twin = Twin(history)
        twin.learn(first_people, first_accounts)
        with switch.open(home) as engine:
            for number, payday in enumerate(days):
                twin.learn(payday.people, payday.accounts)
                engine.register(
                    population=people_table(payday.people) if payday.people else None,
                    accounts=accounts_table(payday.accounts) if payday.accounts else None,
                )
                if payday.suspended is not None:
                    for row in twin.participants:
                        suspended = row["participant"] in payday.suspended
                        row["status"] = "suspended" if suspended else "active"
                    engine.change_directory(participants=pa.Table.from_pylist(twin.participants))
                batch = run(
                    engine,
                    payday.lines,
                    f"B{number}",
                    value_date=payday.value_date,
                    chunk_rows=payday.chunk_rows,
                    threads=payday.threads,
                )
                check_batch(twin, batch, payday)
        check_home(home, twin, twin.paid[len(history) :])


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    rows=st.lists(lines, min_size=1, max_size=12),
    first_accounts=st.lists(accounts, max_size=8),
    cut=st.integers(0, 12),
)
def test_properties__one_table_or_two_pay_the_same_once(
    rows: list[Any], first_accounts: list[Any], cut: int
) -> None:
    """Cutting a table in two changes nobody's money, but for lines that wait: they are tried again
    before the second half, so the halves run with nobody suspended and accounts for all."""
    first_accounts = [row | {"participant": BANK} for row in first_accounts]
    everyone = [account(n, account=f"5{n}", priority=9) for n in range(1, 6)]
    active = [row | {"status": "active"} for row in PARTICIPANTS]
    sent = []
    with tempfile.TemporaryDirectory() as folder:
        for name, parts in (("a", [rows]), ("b", [rows[:cut], rows[cut:]])):
            home = make_home(
                Path(folder) / name,
                [person(n) for n in range(1, 6)],
                [*first_accounts, *everyone],
                participants=active,
            )
            cleared = []
            with switch.open(home) as engine:
                for number, part in enumerate(p for p in parts if p):
                    batch = run(engine, payment_table(part), f"B{number}")
                    for row, answer in zip(part, shown_in(batch.status), strict=True):
                        cleared.append((row["person_id"], row["amount"], *answer))
            sent.append(cleared)
    assert sent[0] == sent[1]


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    first_accounts=st.lists(accounts, min_size=1, max_size=12),
    parts=st.integers(1, 4),
    history=st.lists(paid, min_size=1, max_size=8),
)
def test_properties__registers_in_parts_are_the_register(
    first_accounts: list[Any], parts: int, history: list[Any]
) -> None:
    everyone = [person(n) for n in range(1, 6)]
    rows = [line(n, benefit=b, amount=n) for n in range(1, 6) for b in ("PENS", "SASS")]
    with tempfile.TemporaryDirectory() as folder:
        whole = make_home(Path(folder) / "a", everyone, first_accounts, history)
        split = make_home(Path(folder) / "b")
        found = []
        with switch.open(split) as engine:
            for part in range(parts):
                chosen = _part(first_accounts, part, parts)
                some = _part(history, part, parts)
                engine.register(
                    accounts=accounts_table(chosen) if chosen else None,
                    paid_history=paid_table(some) if some else None,
                )
            engine.register(population=people_table(everyone[::-1]))
        for home in (whole, split):
            with switch.open(home) as engine:
                batch = run(engine, rows)
            files = {
                p.stem: pq.read_table(p).to_pylist() for p in (batch.folder / "clearing").iterdir()
            }
            found.append((shown_in(batch.status), files))
            assert switch.verify(home)
    assert found[0] == found[1]


def _part(rows: list[Any], part: int, parts: int) -> list[Any]:
    """A part of the rows in their order: of equal keys the last still comes last."""
    return rows[len(rows) * part // parts : len(rows) * (part + 1) // parts]
