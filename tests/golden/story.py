"""The golden homes: several small homes, made by every command with fixed keys and times.

    python tests/golden/story.py DIR        makes them in DIR and prints what they hold, as JSON
    python tests/golden/story.py --record   makes them and writes tests/golden/record.json anew

What they hold is the SHA-256 of every file at rest and of every copy, every row of the catalog,
every link of both chains, and every answer that a command gave. A change of any of these is a
decision: the record is then written anew, and the commit says why.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import hashlib
import json
import shutil
import sqlite3
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from unittest import mock

import pyarrow as pa
import pyarrow.parquet as pq

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import counters
import phones
import several
from scene import (
    BANK,
    BANK_ACCOUNT,
    CLOSED_BANK,
    DEBTORS,
    PARTICIPANTS,
    SMALL_BANK,
    TREASURY,
    WALLET,
    account,
    accounts_table,
    command,
    entitlement,
    line,
    paid_table,
    participant,
    payment_table,
    people_table,
    person,
    person_id,
    write_file,
    write_table,
)
from signing_people import pem, policy, public

from switch.reason import DEATH_STOPS_ALL

RECORD = Path(__file__).with_name("record.json")
KEY = b"a key of the golden homes"
SIGNING_KEY = b"""-----BEGIN PRIVATE KEY-----
MC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g
-----END PRIVATE KEY-----
"""
"""The first secret key of RFC 8032, section 7.1."""
NOT_RECORDED = ("seconds",)
"""Keys of answers that no two runs share."""

Row = dict[str, Any]


class Told:
    """What the commands said: a digest a step, and the exit code."""

    def __init__(self) -> None:
        self.answers: dict[str, list[Any]] = {}

    def __call__(self, name: str, *words: object, code: int = 0) -> Any:
        said = command(*words, "--json")
        assert said.code == code, f"{name}: exit {said.code}, not {code}: {said.err}{said.out}"
        document = json.loads(said.out) if said.out else {}
        assert name not in self.answers, name
        text = json.dumps(without_clock(document), sort_keys=True, ensure_ascii=False)
        self.answers[name] = [code, hashlib.sha256(text.encode()).hexdigest()]
        return document


def without_clock(document: Any) -> Any:
    """The same document without what no two runs share."""
    if isinstance(document, dict):
        return {k: without_clock(v) for k, v in document.items() if k not in NOT_RECORDED}
    return [without_clock(v) for v in document] if isinstance(document, list) else document


def make_world(folder: Path) -> None:
    """Registers and directory tables that all homes share."""
    folder.mkdir()
    people = [person(n) for n in range(1, 61)]
    people[7] |= {"status": "deceased", "status_since": dt.date(2026, 11, 1)}
    people[8] |= {"status": "revoked", "status_since": None}
    people[9] |= {"name": "Trần Thị Bưởi"}
    accounts = [account(n) for n in range(1, 41)]
    accounts += [account(n, participant=SMALL_BANK) for n in range(41, 46)]
    accounts += [account(n, participant=WALLET, kind="wallet") for n in range(46, 51)]
    accounts += [account(51, participant=CLOSED_BANK)]
    accounts += [account(52, priority=2), account(52, account="52520001", priority=1)]
    accounts += [account(53, valid_from=dt.date(2026, 12, 1))]
    write_file(people_table(people), folder / "population.parquet", "parquet")
    write_file(accounts_table(accounts), folder / "accounts.arrow", "arrow")
    write_file(paid_table([entitlement(11)]), folder / "paid.csv", "csv")
    write_file(pa.Table.from_pylist(list(PARTICIPANTS)), folder / "participants.csv", "parquet")
    write_file(pa.Table.from_pylist(list(DEBTORS)), folder / "debtors.csv", "parquet")
    (folder / "key").write_bytes(KEY)
    (folder / "signing.pem").write_bytes(SIGNING_KEY)


def table(
    path: Path, rows: list[Row], batch_id: str, form: str = "parquet", **dossier: Any
) -> Path:
    return write_table(payment_table(rows), path, form, batch_id=batch_id, **dossier)


def init(told: Told, home: str, *words: object, directory: str = "world") -> None:
    told(
        f"{home}: init",
        *("init", home, "--key", "world/key", "--signing-key", "world/signing.pem"),
        *("--participants", f"{directory}/participants.csv"),
        *("--debtors", f"{directory}/debtors.csv", "--at", "2026-11-01", *words),
    )
    told(
        f"{home}: register",
        *("register", home, "--population", "world/population.parquet"),
        *("--accounts", "world/accounts.arrow", "--paid", "world/paid.csv", "--at", "2026-11-02"),
    )


def the_plain_home(told: Told) -> None:
    """Batches that settle at once, answers, dispositions, two ends of days, refusals."""
    init(told, "plain")
    rows = [line(n) for n in range(1, 54)]
    rows[2] |= {"amount": 0}
    rows[3] |= {"person_name": "Lê Văn Bình"}
    rows[4] |= {"benefit": "NONE"}
    rows[5] |= {"debtor_account": BANK_ACCOUNT}
    rows[6] |= {"creditor_agent": SMALL_BANK, "creditor_account": "700007"}
    first = table(Path("first.parquet"), [*rows, line(1)], "FIRST")
    table(Path("second.csv"), [line(n, period=202612) for n in range(1, 20)], "SECOND", "csv")
    table(Path("wrong.parquet"), [line(1)], "WRONG", count=2)
    told("plain: rehearse", "rehearse", "plain", first)
    told("plain: run", "run", "plain", first, "--threads", 2)
    told("plain: run again", "run", "plain", first, "--fail-on-refused", code=1)
    told("plain: refused", "run", "plain", "wrong.parquet", code=3)
    told("plain: replay", "replay", "plain", "FIRST", first)
    late = accounts_table([account(54), account(55)])
    pq.write_table(late, "late.parquet")
    told("plain: upsert", "register", "plain", "--accounts", "late.parquet", "--at", "2026-11-26")
    told("plain: run csv", "run", "plain", "second.csv", "--format", "arrow", "--at", "2026-11-26")
    told("plain: exchange", "exchange", "plain", "--batch", "FIRST", "--seed", 5)
    sent = sorted(Path("plain/out/FIRST/answers").glob("*/*.parquet"))
    told("plain: reconcile", "reconcile", "plain", *sent, "--at", "2026-11-27")
    told("plain: nothing new", "reconcile", "plain", *sent[:1], "--at", "2026-11-27")
    ids = pq.read_table("plain/out/FIRST/clearing/970001.parquet")
    sent_back = [
        returned(ids, n, TREASURY if n == 9 else BANK, f"R{n}", "AC04") for n in (0, 1, 2, 9)
    ]
    pq.write_table(pa.Table.from_pylist(sent_back), "returns.parquet")
    told("plain: returns", "reconcile", "plain", "returns.parquet", "--at", "2026-11-28")
    told("plain: close", "close", "plain", "--at", "2026-11-30", code=1)
    states = command("status", "plain", "--batch", "FIRST", "--json").document["answered"]
    assert states["lines"]["RETURNED"]["count"] >= 3, states
    lines = [f"FIRST:{int(text[-10:])}" for text in ids["transfer_id"].to_pylist()[:2]]
    told("plain: reissue", "dispose", "plain", lines[0], "--reissue", "--yes", "--at", "2026-12-01")
    told("plain: write back", "dispose", "plain", "--write-back", "--yes", "--at", "2026-12-01")
    again = int(lines[0].split(":")[1])
    third = table(Path("third.parquet"), [line(again)], "THIRD", "arrow", value_date="2026-12-02")
    told("plain: run reissue", "run", "plain", third)
    told("plain: close again", "close", "plain", "--at", "2026-12-10", code=1)
    told("plain: status", "status", "plain")
    told("plain: batch", "status", "plain", "--batch", "FIRST")
    told("plain: line", "status", "plain", "--line", lines[0])
    told("plain: person", "status", "plain", "--person", person_id(2))
    told("plain: report", "report", "plain", "--batch", "FIRST", "--csv")


def returned(sent: pa.Table, row: int, participant: str, return_id: str, reason: str) -> Row:
    return {
        "participant": participant,
        "return_id": return_id,
        "transfer_id": sent["transfer_id"][row].as_py(),
        "amount": sent["amount"][row].as_py(),
        "reason": reason,
        "booked_at": dt.datetime(2026, 11, 27, 4, tzinfo=dt.UTC),
    }


def settings(path: str, **values: str) -> str:
    Path(path).write_text("".join(f"{name} = {text}\n" for name, text in values.items()), "utf-8")
    return path


def payers(*codes: str) -> None:
    """A world of banks that pay each other: an account of 40 people at each, and a debtor each."""
    folder = Path("banks")
    folder.mkdir()
    members = [participant(code) for code in codes]
    debtors = [
        {"debtor_account": code, "debtor_agent": code, "programme": "", "budget": None}
        for code in codes
    ]
    pq.write_table(pa.Table.from_pylist(members), folder / "participants.csv")
    pq.write_table(pa.Table.from_pylist(debtors), folder / "debtors.csv")
    pq.write_table(
        pa.Table.from_pylist([{"participant": codes[2], "balance": 500}]), folder / "balances"
    )


def bind(home: str, code: str, balance: int, at: str, told: Told) -> None:
    """The settlement account of a participant holds so much, and is bound from now on."""
    file = f"{home}-{code}.parquet"
    pq.write_table(pa.Table.from_pylist([{"participant": code, "balance": balance}]), file)
    told(f"{home}: balance of {code}", "directory", home, "--balances", file, "--at", at)


def moves(text: str, first: int) -> list[Row]:
    """Lines of "A > B 30, B > C 20": each to a person of its own."""
    rows = []
    for n, move in enumerate(text.split(", "), start=first):
        debtor, _, creditor, amount = move.split()
        rows.append(
            line(
                n,
                amount=int(amount),
                debtor_account=debtor,
                creditor_agent=creditor,
                creditor_account=f"88{n:06d}",
            )
        )
    return rows


def the_calendar_home(told: Told) -> None:
    """Cycles of a calendar: a recast, an abort, a shared loss, answers before the cut-off."""
    payers("A", "B", "C", "D")
    config = settings("recast.toml", cutoffs='["11:00", "15:30"]', insufficient_funds='"recast"')
    init(told, "calendar", "--config", config, "--balances", "banks/balances", directory="banks")
    one = table(Path("one.parquet"), moves("A > B 50, A > C 30, B > C 40, D > A 10", 1), "ONE")
    told("calendar: rehearse", "rehearse", "calendar", one, "--at", "2026-11-25T09:00")
    told("calendar: run", "run", "calendar", one, "--at", "2026-11-25T09:00")
    bind("calendar", "A", 50, "2026-11-25T10:00", told)
    told("calendar: close only", "settle", "calendar", "--close", "--at", "2026-11-25T11:00")
    told("calendar: recast", "settle", "calendar", "--at", "2026-11-25T11:05")
    two = table(Path("two.parquet"), moves("C > A 5, B > D 7, D > D 9", 11), "TWO")
    told("calendar: run two", "run", "calendar", two, "--at", "2026-11-25T12:00")
    told(
        "calendar: abort",
        *("settle", "calendar", "--cycle", "20261125-2", "--abort", "the bank is closed"),
        *("--at", "2026-11-25T16:00"),
    )
    three = table(
        Path("three.parquet"), moves("D > B 8, C > D 6", 21), "THREE", value_date="2026-11-26"
    )
    told("calendar: run three", "run", "calendar", three, "--at", "2026-11-26T08:00")
    clearing = Path("calendar/out/THREE/clearing/B.parquet")
    sent = pq.read_table(clearing)
    refusal = {
        "participant": "B",
        "transfer_id": sent["transfer_id"][0].as_py(),
        "amount": sent["amount"][0].as_py(),
        "creditor_account": sent["creditor_account"][0].as_py(),
        "status": "RJCT",
        "reason": "AC04",
        "booked_at": dt.datetime(2026, 11, 26, 2, tzinfo=dt.UTC),
    }
    pq.write_table(pa.Table.from_pylist([refusal]), "refusals.parquet")
    told(
        "calendar: refuse",
        *("reconcile", "calendar", "refusals.parquet", "--at", "2026-11-26T10:00"),
    )
    told("calendar: settle", "settle", "calendar", "--at", "2026-11-26T11:00")
    share = settings("share.toml", insufficient_funds='"share"')
    told("calendar: share", "directory", "calendar", "--config", share, "--at", "2026-11-26T12:00")
    four = table(
        Path("four.parquet"), moves("D > C 9, B > A 2", 31), "FOUR", value_date="2026-11-27"
    )
    told("calendar: run four", "run", "calendar", four, "--at", "2026-11-27T08:00")
    bind("calendar", "D", 4, "2026-11-27T09:00", told)
    told("calendar: settle all", "settle", "calendar", "--at", "2026-11-27T16:00")
    told("calendar: close", "close", "calendar", "--at", "2026-12-04", code=1)
    told("calendar: status", "status", "calendar")
    told("calendar: line", "status", "calendar", "--line", "ONE:1")


def the_budget_home(told: Told) -> None:
    """Budgets that are enforced, caps that hold lines, an amount limit, a changed directory."""
    members = [dict(row) for row in PARTICIPANTS]
    members[0] |= {"net_debit_cap": 5_000_000}
    folder = Path("capped")
    folder.mkdir()
    pq.write_table(pa.Table.from_pylist(members), folder / "participants.csv")
    debtors = [dict(row) for row in DEBTORS]
    debtors[0] |= {"programme": "PENS", "budget": 90_000_000}
    pq.write_table(pa.Table.from_pylist(debtors), folder / "debtors.csv")
    config = settings("budgets.toml", enforce_budgets="true", clearing_limit="20_000_000")
    init(told, "budget", "--config", config, directory="capped")
    held = table(Path("held.parquet"), [line(n) for n in range(12, 30)], "HELD")
    told("budget: run", "run", "budget", held)
    above = [line(n, period=202612, amount=19_000_000) for n in range(12, 30)]
    table(Path("above.parquet"), above, "ABOVE")
    told("budget: exceeded", "run", "budget", "above.parquet", code=3)
    members[0] |= {"net_debit_cap": None}
    pq.write_table(pa.Table.from_pylist(members), "uncapped.parquet")
    told(
        "budget: directory",
        *("directory", "budget", "--participants", "uncapped.parquet", "--at", "2026-11-26"),
    )
    more = table(Path("more.parquet"), [line(31)], "MORE", value_date="2026-11-27")
    told("budget: run held", "run", "budget", more)
    told("budget: close", "close", "budget", "--at", "2026-12-08", code=1)
    told("budget: status", "status", "budget")


def the_lines_home(told: Told) -> None:
    """What is said of single lines: some that wait are cancelled, some that were paid recalled."""
    init(told, "lines")
    waits = table(Path("waits.parquet"), [line(n) for n in (1, 2, 54, 55, 56)], "WAITS")
    told("lines: run", "run", "lines", waits)
    said = ("--by", "a clerk", "--why", "sent in error", "--at", "2026-11-26")
    told("lines: cancel", "cancel-line", "lines", "WAITS:4", "WAITS:3", *said)
    told("lines: cancel again", "cancel-line", "lines", "WAITS:3", "WAITS:4", *said)
    told("lines: paid", "cancel-line", "lines", "WAITS:1", *said, code=2)
    again = table(Path("again.parquet"), [line(54)], "AGAIN", value_date="2026-11-27")
    told("lines: run again", "run", "lines", again)
    told("lines: cancel the last", "cancel-line", "lines", "WAITS:5", "AGAIN:1", *said[:4])
    told("lines: held", "held", "lines")
    recall = ("--reason", "DUPL", *said[:4], "--at", "2026-11-28")
    told("lines: recall", "recall", "lines", "WAITS:2", "WAITS:1", *recall)
    told("lines: recall again", "recall", "lines", "WAITS:1", "WAITS:2", *recall)
    answer = {
        "participant": BANK,
        "transfer_id": "20261125-000001-0000000001",
        "status": "RJCR",
        "reason": "CUST",
        "booked_at": dt.datetime(2026, 11, 28, 2, tzinfo=dt.UTC),
    }
    pq.write_table(pa.Table.from_pylist([answer]), "resolutions.parquet")
    told("lines: resolve", "reconcile", "lines", "resolutions.parquet", "--at", "2026-11-28")
    told("lines: recalls", "recalls", "lines", "--state", "OPEN")
    told("lines: overdue", "close", "lines", "--at", "2026-12-20", code=1)
    told("lines: status", "status", "lines")
    told("lines: batch", "status", "lines", "--batch", "WAITS")
    told("lines: line", "status", "lines", "--line", "WAITS:3")


def the_waiting_home(told: Told) -> None:
    """Lines that may not wait for ever: told before their deadline, paid after it, and expired."""
    deadlines = settings("deadlines.toml", held_days="30", held_days_of="{ SICK = 10 }")
    init(told, "waiting", "--config", deadlines)
    rows = [*(line(n) for n in (1, 54, 55, 56)), line(57, benefit="SICK"), line(58, benefit="SICK")]
    told("waiting: run", "run", "waiting", table(Path("long.parquet"), rows, "LONG"))
    told("waiting: held", "held", "waiting")
    told("waiting: near", "status", "waiting")
    told("waiting: in time", "expire", "waiting", "--at", "2026-12-05")
    told("waiting: expire", "expire", "waiting", "--at", "2026-12-06")
    told("waiting: expire again", "expire", "waiting", "--at", "2026-12-06")
    told("waiting: runs back", "expire", "waiting", "--at", "2026-12-01", code=3)
    told("waiting: leaps", "expire", "waiting", "--at", "2027-12-06", code=2)
    late = accounts_table([account(54), account(57)])
    pq.write_table(late, "later.parquet")
    told("waiting: upsert", "register", "waiting", "--accounts", "later.parquet")
    again = table(Path("late.parquet"), [line(57, benefit="SICK")], "LATE")
    told("waiting: run late", "run", "waiting", again, "--at", "2026-12-28")
    told("waiting: expire the rest", "expire", "waiting", "--at", "2026-12-28")
    told("waiting: status", "status", "waiting")
    told("waiting: batch", "status", "waiting", "--batch", "LONG")
    told("waiting: line", "status", "waiting", "--line", "LONG:5")
    none = settings("no-deadlines.toml", held_days="0", held_days_of="{}")
    told("waiting: for ever", "directory", "waiting", "--config", none, "--at", "2026-12-29")
    told("waiting: no deadlines", "expire", "waiting", "--at", "2026-12-29", code=2)


def the_living_home(told: Told) -> None:
    """Registers that change a little between batches, each of which is derived again with the
    version that it used; then one version is made of all."""
    init(told, "living")
    town = people_table([person(n) for n in range(1, 151)])
    paths = [write_file(town, Path("town.parquet"), "parquet")]
    held = accounts_table([account(n) for n in range(1, 151)])
    paths.append(write_file(held, Path("town-accounts.parquet"), "parquet"))
    words = ("--population", paths[0], "--accounts", paths[1], "--at", "2026-11-03")
    told("living: a town", "register", "living", *words)

    def change(number: int, **rows: Any) -> None:
        words: list[object] = []
        for option, given in rows.items():
            path = write_file(given, Path(f"{option}-{number}.parquet"), "parquet")
            words += [f"--{option}", path]
        at = ("--at", f"2026-11-{10 + number}")
        told(f"living: change {number}", "register", "living", *words, *at)

    def run(number: int) -> None:
        rows = [line(n, period=202600 + number) for n in (1, 2, 3, 54, 160)]
        made = table(Path(f"living-{number}.parquet"), rows, f"L{number}")
        # This home is of when a death stopped all; `replay` below judges by the rules of today.
        with mock.patch("switch.clearing.payday.RULE_SET", DEATH_STOPS_ALL):
            told(f"living: run {number}", "run", "living", made)

    run(1)
    dead = person(1, status="deceased", status_since=dt.date(2026, 11, 1))
    change(1, population=people_table([dead, person(160)]))
    run(2)
    change(2, accounts=accounts_table([account(160)]), paid=paid_table([entitlement(3)]))
    run(3)
    for number in (1, 2, 3):
        words = (f"L{number}", f"living-{number}.parquet")
        told(f"living: replay {number}", "replay", "living", *words)
    told("living: verify deltas", "verify", "living")
    told("living: compact", "compact", "living", "--at", "2026-11-30")
    told("living: compact again", "compact", "living", "--at", "2026-11-30")
    told("living: replay last", "replay", "living", "L3", "living-3.parquet", code=2)
    run(4)


def the_signed_home(told: Told) -> None:
    """A table on the word of several people: signed, stopped, refused, delivered and run."""
    init(told, "signed")
    keys = Path("keys")
    keys.mkdir()
    party = {"name": "vss", "keys": [{"public": public("vss")}], "kinds": ["table", "act"]}
    given = policy(parties=[party], changed_by=2)
    for name in (*(one["name"] for one in given["people"]), "vss"):
        (keys / name).write_bytes(pem(name))
    Path("policy.json").write_text(json.dumps(given))
    Path("next.json").write_text(json.dumps({**given, "changed_by": 1}))
    told("signed: policy", "policy", "signed", "policy.json", "--at", "2026-11-03")
    told("signed: policy alone", "policy", "signed", "next.json", "--at", "2026-11-04", code=3)
    both = ("--sign", "phuc=keys/phuc", "--sign", "phuong=keys/phuong")
    told("signed: policy changed", "policy", "signed", "next.json", "--at", "2026-11-04", *both)
    told("signed: policy shown", "policy", "signed")
    rows = table(Path("signed.parquet"), [line(n) for n in (1, 2, 54)], "SIGNED")
    declared = ("--source", "VSS", "--batch-id", "SIGNED", "--value-date", "2026-11-25", "--force")
    assert command("dossier", rows, *declared).code == 0  # Its answer names the folder.
    told("signed: run too early", "run", "signed", rows, code=3)

    def said(step: str, who: str, *more: object, code: int = 0) -> None:
        target = rows if step == "prepare" else "SIGNED"
        key = ("--by", who, "--key", keys / who, "--at", "2026-11-20")
        told(f"signed: {step} {who}", step, "signed", target, *key, *more, code=code)

    said("prepare", "ana")
    said("approve", "ana", code=3)
    asked = ("--by", "binh", "--public", public("binh"), "--out", "binh.json")
    told("signed: statement", "statement", "signed", "SIGNED", "approve", *asked)
    told("signed: sign", "sign", "binh.json", "--key", keys / "binh")
    told("signed: act", "act", "signed", "binh.json")
    said("control", "chi", code=3)
    told("signed: deliver", "deliver", "spool", "vss", rows, "--kind", "table",
         *("--key", keys / "vss", "--at", "2026-11-25"))  # fmt: skip
    told("signed: portal", "portal", "signed", "spool")
    for step, who in (("control", "chi"), ("certify", "cuc"), ("fund", "dung")):
        key = ("--by", who, "--key", keys / who)
        told(f"signed: {step}", step, "signed", "SIGNED", *key)
    hoa = ("--by", "hoa", "--key", keys / "hoa", "--why", "somebody asked")
    told("signed: hold", "hold", "signed", "SIGNED", *hoa)
    told("signed: resume", "resume", "signed", "SIGNED", *hoa)
    told("signed: release", "release", "signed", "SIGNED", "--by", "giang", "--key", keys / "giang")
    told("signed: dossiers", "dossiers", "signed")
    told("signed: run", "run", "signed", rows)
    told("signed: cancel too late", "cancel", "signed", "SIGNED", *hoa, code=3)
    told("signed: dossiers after", "dossiers", "signed")


def the_gift_home(told: Told) -> None:
    """A gift that two lists promise: who stands in both is paid one, and is told which."""
    rows = [{"benefit": code, "name": code, "purpose": "SSBE", "exclusive_group": group}
            for code, group in (("PENS", None), ("MERT", "tet"), ("SASS", "tet"))]  # fmt: skip
    pq.write_table(pa.Table.from_pylist(rows), "programmes.parquet")
    init(told, "gift", "--programmes", "programmes.parquet")
    merit = [line(n, benefit="MERT") for n in range(1, 6)]
    told("gift: merit", "run", "gift", table(Path("merit.parquet"), merit, "MERIT"))
    social = [line(n, benefit=code) for n in range(4, 9) for code in ("SASS", "MERT")]
    told("gift: social", "run", "gift", table(Path("social.parquet"), social, "SOCIAL"))
    told("gift: status", "status", "gift", "--batch", "SOCIAL")
    told("gift: line", "status", "gift", "--line", "SOCIAL:1")


def the_served_home(told: Told) -> None:
    """Citizens who register accounts: a code that is used, borrowed, wrong too often; a run."""
    init(told, "served")
    secret = phones.secret_file(Path())

    def said(name: str, action: str, number: int, at: int, *more: object, code: int = 0) -> None:
        words = ("--secrets", secret, "--at", phones.later(at), *more)
        told(f"served: {name}", "citizen", "served", action, person_id(number), *words, code=code)

    def claim(
        name: str, number: int, at: int, account: str, *more: object, shown: str = "", code: int = 0
    ) -> None:
        shown = shown or phones.code(Path(f"phone-{number}"), at)
        words = ("--device", f"phone-{number}", "--code", shown, "--participant", SMALL_BANK)
        said(name, "account", number, at, *words, "--account", account, *more, code=code)

    for number in (1, 54):
        words = ("--device", f"phone-{number}", "--by", "an officer", "--out", f"phone-{number}")
        said(f"bind {number}", "bind", number, number, *words)
    claim("another device", 1, 60, "200001", "--device", "phone-54", code=3)
    claim("a borrowed code", 54, 60, "200054", shown=phones.code(Path("phone-1"), 60), code=3)
    claim("an account", 54, 60, "200054")
    claim("a used code", 54, 61, "200055", code=3)
    claim("not the holder", 1, 62, "200054", code=3)
    for at in range(90, 95):
        wrong = phones.wrong(phones.code(Path("phone-1"), at))
        claim(f"wrong at {at}", 1, at, "200001", shown=wrong, code=3)
    claim("locked", 1, 100, "200001", code=3)
    claim("change", 1, 394, "ABC-200001", "--instead-of", BANK, f"1000{1:06d}")
    told("served: show", "citizen", "served", "show", person_id(1))
    rows = table(
        Path("served.parquet"), [line(1), line(2), line(54)], "SERVED", value_date="2026-11-27"
    )
    told("served: run", "run", "served", rows)
    told("served: status", "status", "served")


STORIES = {
    "gift": the_gift_home,
    "several": several.the_several_home,
    "renamed": several.the_renamed_home,
    "arrears": several.the_arrears_home,
    "plain": the_plain_home,
    "calendar": the_calendar_home,
    "budget": the_budget_home,
    "lines": the_lines_home,
    "signed": the_signed_home,
    **({"served": the_served_home} if find_spec("pyotp") else {}),
    "waiting": the_waiting_home,
    "living": the_living_home,
    "counter": counters.the_counter_home,
}


def tell(folder: Path) -> dict[str, Any]:
    """Make the homes below folder, prove each, and say what they hold."""
    folder.mkdir(parents=True, exist_ok=True)
    found: dict[str, Any] = {}
    with contextlib.chdir(folder):
        make_world(Path("world"))
        for home, story in STORIES.items():
            told = Told()
            story(told)
            told(f"{home}: verify", "verify", home)
            signed = ("--checkpoint", f"{home}/checkpoints.signed")
            told(f"{home}: signed", "verify", home, *signed, "--public-key", f"{home}/signing.pub")
            shutil.copytree(home, f"{home}-copy")
            told(f"{home}: scrub", "scrub", home, "--copy", f"{home}-copy", "--at", "2026-12-20")
            found[home] = {"answers": told.answers} | held_by(Path(home))
    return found


def held_by(home: Path) -> dict[str, Any]:
    """Files with their digests, rows of the catalog, links of the chains."""
    files = {
        path.relative_to(home).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(home.rglob("*"))
        if path.is_file() and path.name not in ("lock", "catalog.sqlite", "report.html")
    }  # A page is for people: it may look otherwise tomorrow.
    with contextlib.closing(sqlite3.connect(home / "catalog.sqlite")) as db:
        names = [
            name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        ]
        tables = {
            name: hashlib.sha256(
                repr(db.execute(f"SELECT * FROM {name} ORDER BY 1, 2, 3").fetchall()).encode()
            ).hexdigest()
            for name in sorted(names)
            if name not in ("audit", "events", "meta", "registers", "balances")
        }
        for name in ("meta", "registers", "balances"):
            rows = db.execute(f"SELECT * FROM {name} ORDER BY 1").fetchall()
            tables[name] = hashlib.sha256(repr(rows).encode()).hexdigest()
        chains = {
            chain: [f"{kind} {link}" for kind, link in db.execute(query)]
            for chain in ("audit", "events")
            for query in [f"SELECT kind, link FROM {chain} ORDER BY seq"]
        }
    return {"files": files, "catalog": tables} | chains


def main() -> None:
    if sys.argv[1:] == ["--record"]:
        with tempfile.TemporaryDirectory() as scratch:
            record = {"pyarrow": pa.__version__, "homes": tell(Path(scratch) / "homes")}
        RECORD.write_text(json.dumps(record, indent=1, sort_keys=True) + "\n", "utf-8")
    else:
        print(json.dumps(tell(Path(sys.argv[1])), indent=1, sort_keys=True))


if __name__ == "__main__":
    main()
