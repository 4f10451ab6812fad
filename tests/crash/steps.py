"""Steps: commands on a home, small ones of every kind and large ones with many files, one after the
other; a fault strikes at one call of one of them."""

from __future__ import annotations

import datetime
import itertools
import json
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import phones
import pyarrow as pa
import pyarrow.parquet as pq
import scene
import signing_people

import switch
from switch.home.store import Home
from switch.registry import delta
from switch.registry.settings import Settings
from switch.sim.authority import SimulatedAuthority


class Step(NamedTuple):
    """One command. done: whether it has happened, for commands that would happen twice."""

    name: str
    do: Callable[[Path], Any]
    done: Callable[[Home], bool] | None = None


class Failed(Exception):
    """A command that ended with an exit code other than 0."""


def _init(participants: Any, debtors: Any) -> Callable[[Path], None]:
    def do(home: Path) -> None:
        switch.init(
            home, participants=participants, debtors=debtors, key=b"0123456789abcdef"
        ).close()

    return do


def _register(version: int, **tables: Any) -> Step:
    def do(home: Path) -> None:
        with switch.open(home) as engine:
            engine.register(**tables)

    return Step(f"register {version}", do, lambda home: home.catalog.register_seq() >= version)


def _pay(batch_id: str, lines: list[Any]) -> Step:
    table = scene.payment_table(lines)

    def do(home: Path) -> Any:
        return scene.pay(home, table, batch_id, threads=1)

    return Step(f"run {batch_id}", do)


def _command(name: str, *args: object) -> Step:
    """A command as a person gives it; HOME is put in as its first argument."""
    verb, *rest = args

    def do(home: Path) -> None:
        said = scene.command(verb, home, *rest)
        if said.code:
            raise Failed(f"exit {said.code}: {said.err.strip().splitlines()[-1]}")

    return Step(name, do)


def small_steps(folder: Path) -> list[Step]:
    """Several small batches in a row: lines that clear, wait, are refused, and are presented
    again after registers or the directory changed; a table from a file by the command line; a
    table that had been run before; a cycle of a calendar, closed and settled; one that is settled
    without the lines of a payer that lacks funds; answers, by which a line is refused and another
    one comes back, what is noted and decided of it, and the end of the day; a cycle that is
    aborted, so that a household waits and is paid by one credit of the next run; a line that waits
    and is cancelled; a household that is paid by one credit, which is recalled; a table that a
    policy's people sign; lines that are recalled, one before its cycle settled, with what is said
    of another; lines that waited beyond their deadline, and cash that nobody proved by its own; a
    citizen; fees; and a participant that is suspended and funded on somebody's word."""
    directory = [pa.Table.from_pylist(list(t)) for t in (scene.PARTICIPANTS, scene.DEBTORS)]
    opened = pa.Table.from_pylist(
        [p | {"status": "active"} for p in scene.PARTICIPANTS],
        schema=directory[0].schema,
    )
    people = [scene.person(n) for n in range(1, 13)]
    accounts = [scene.account(n) for n in range(1, 8)]
    accounts += [
        scene.account(8, participant=scene.CLOSED_BANK),
        scene.account(9, participant=scene.SMALL_BANK),
    ]
    first = [scene.line(n) for n in range(1, 12)]
    second = [
        scene.line(3),
        *(scene.line(n, period=202612) for n in range(1, 10)),
        scene.line(11),
        scene.line(1, debtor_account=scene.BANK_ACCOUNT, benefit="SICK"),
    ]
    third = [scene.line(n, benefit="SICK", debtor_account=scene.BANK_ACCOUNT) for n in range(1, 12)]
    file = scene.write_table(scene.payment_table(third), folder / "third.parquet", batch_id="C")

    def change(home: Path) -> None:
        with switch.open(home) as engine:
            engine.change_directory(participants=opened)

    def is_changed(home: Home) -> bool:
        return bool(scene.asked(home, "SELECT 1 FROM audit WHERE kind = 'directory'"))

    def calendar(home: Path) -> None:
        with switch.open(home) as engine:
            engine.change_directory(settings=Settings(cutoffs=("11:00",)))

    def deadlines(home: Path) -> None:
        with switch.open(home) as engine:
            engine.change_directory(settings={"held_days": 3})

    def counters(home: Path) -> None:
        """The small bank becomes a post office."""
        rows = [
            row | ({"kind": "cash"} if row["participant"] == scene.SMALL_BANK else {})
            for row in opened.to_pylist()
        ]
        with switch.open(home) as engine:
            given = pa.Table.from_pylist(rows, schema=opened.schema)
            engine.change_directory(participants=given, settings={"cash_days": 2})

    def rule(home: Path) -> None:
        with switch.open(home) as engine:
            recast = Settings(cutoffs=("11:00",), insufficient_funds="recast")
            engine.change_directory(settings=recast)

    def funding(name: str, times: int, balance: int) -> Step:
        def fund(home: Path) -> None:
            with switch.open(home) as engine:
                given = {"participant": [scene.BANK], "balance": [balance]}
                engine.change_directory(balances=pa.table(given))

        def is_funded(home: Home) -> bool:
            return len(scene.asked(home, "SELECT 1 FROM audit WHERE kind = 'liquidity'")) == times

        return Step(name, fund, is_funded)

    owed = [
        scene.line(
            n,
            period=202703,
            debtor_account=scene.BANK_ACCOUNT,
            creditor_agent=scene.SMALL_BANK,
            creditor_account=str(n),
        )
        for n in range(1, 4)
    ]

    household = [
        scene.line(
            n,
            period=202708,
            household="H1",
            creditor_agent=scene.BANK,
            creditor_account="7",
        )
        for n in range(1, 4)
    ]

    def has_calendar(home: Home) -> bool:
        return "cutoffs" in home.catalog.meta("settings")

    return [
        Step("init", _init(*directory)),
        _register(
            1,
            population=scene.people_table(people),
            accounts=scene.accounts_table(accounts),
            paid_history=scene.paid_table([scene.entitlement(5)]),
        ),
        _pay("A", first),
        _register(2, accounts=scene.accounts_table([scene.account(10)])),
        _pay("B", second),
        Step("directory", change, is_changed),
        _command("run C", "run", file, "--threads", 1),
        _pay("A", first)._replace(name="replay A"),
        Step("calendar", calendar, has_calendar),
        _pay("D", [scene.line(n, period=202701) for n in range(1, 8)]),
        _command("close", "settle", "--close"),
        _command("settle", "settle"),
        Step("rule", rule, lambda home: "recast" in home.catalog.meta("settings")),
        _pay("E", owed),
        funding("fund", 1, 1),
        _command("close E", "settle", "--close"),
        _command("recast", "settle"),
        _pay("F", [scene.line(n, period=202704) for n in range(1, 4)]),
        _command("reconcile", "reconcile", *_answers(folder), "--at", "2026-11-25T08:00:00"),
        funding("fund F", 2, 10_000_000),
        _command("close F", "settle", "--close"),
        _command("settle F", "settle"),
        _command("dispose", "dispose", "--write-back", "--yes"),
        _command("day", "close", "--at", "2026-11-27"),
        _pay("G", [row | {"period": 202705} for row in household]),
        _command("close G", "settle", "--close"),
        _command("abort", "settle", "--cycle", "20261130-1", "--abort", "it is given up"),
        _pay("H", [scene.line(n, period=202706) for n in range(1, 3)]),
        _command("odd", "reconcile", _odd(folder), "--at", "2026-12-01"),
        _command(
            "note",
            *("breaks", "--class", "AMOUNT", "--accept", "--note", "the bank mends it"),
            *("--by", "a clerk"),
        ),
        _command(
            "alarm",
            *("alarms", "--rule", "break-open", "--acknowledge", "--note", "the bank is called"),
            *("--by", "a clerk", "--at", "home"),
        ),
        _command("cancel", "cancel-line", "A:11", "--by", "a clerk", "--why", "sent in error"),
        _pay("HOME", household),
        _command(
            "recall home",
            *("recall", "HOME:1", "HOME:2", "HOME:3", "--reason", "CUST"),
            *("--by", "a clerk", "--why", "sent in error"),
        ),
        *_control(folder),
        _command(
            "recall",
            *("recall", "D:5", "D:6", "H:1", "--reason", "CUST"),
            *("--by", "a clerk", "--why", "sent in error"),
        ),
        _command("resolve", "reconcile", _resolution(folder), "--at", "2026-12-02"),
        Step("deadlines", deadlines, lambda home: "held_days" in home.catalog.meta("settings")),
        _command("expire", "expire", "--at", "2026-12-02"),
        Step("cash days", counters, lambda home: "cash_days" in home.catalog.meta("settings")),
        _command("ask back", "expire", "--at", "2026-12-03"),
        *(_citizens(folder) if find_spec("pyotp") else ()),
        Step("delta", _delta, lambda home: len(home.catalog.register_chain()) > 1),
        Step("replaced", _replaced, _has_replaced),
        Step("compact", _compact, lambda home: len(home.catalog.register_chain()) == 1),
        Step("identified", _identified, lambda home: _answers_taken(home) == 1),
        *_fees(),
        *_participants(),
    ]


def _participants() -> list[Step]:
    """One participant is suspended, and one is funded, on somebody's word; the same again
    records nothing."""
    said = ("--by", "a clerk", "--why", "it does not answer", "--at", "2026-12-09")
    return [
        _command("suspend", "participant", scene.BANK, "--suspend", *said),
        _command("balance", "participant", scene.BANK, "--balance", 5_000_000, *said),
    ]


def _fees() -> list[Step]:
    """Agencies and bills are loaded, bills are paid, the cycle is given up, and what waits enters
    the next one."""
    agencies = pa.table({"agency": ["TAX"], "name": ["Tax"], "participant": [scene.TREASURY]})
    bills = pa.table({"agency": ["TAX"] * 2, "bill_ref": ["1", "2"], "amount": [100, 200]})
    paid = pa.table(
        {
            "payment_id": ["P1", "P2"],
            "agency": ["TAX"] * 2,
            "bill_ref": ["1", "2"],
            "participant": [scene.BANK] * 2,
            "amount": [100, 201],
            "paid_on": [datetime.date(2026, 12, 7)] * 2,
        }
    )

    def step(name: str, at: str, *tables: pa.Table) -> Callable[[Path], None]:
        def do(home: Path) -> None:
            with switch.open(home) as engine:
                getattr(engine.fees, name)(*tables, at=at)

        return do

    def is_done(kind: str, count: int) -> Callable[[Home], bool]:
        return lambda home: len(home.catalog.audit.stamps(kind)) == count

    day = "2026-12-07"
    return [
        Step("agencies", step("load_agencies", day, agencies), is_done("agencies", 1)),
        Step("bills", step("load_bills", day, bills), is_done("bills", 1)),
        # Both are done again: what was taken is answered, and its copies are made.
        Step("fees", step("take", day, paid)),
        _command("close fees", "settle", "--cycle", "20261207-1", "--close"),
        _command("abort fees", "settle", "--cycle", "20261207-1", "--abort", "it is given up"),
        Step("fees again", step("take_waiting", day)),
        _command("close again", "settle", "--cycle", "20261208-1", "--close"),
        _command("settle again", "settle", "--cycle", "20261208-1"),
        _command("refund", "refund", "P1", "--by", "a clerk", "--why", "x", "--at", day),
        _command("close refund", "settle", "--cycle", "20261209-1", "--close"),
        _command("abort refund", "settle", "--cycle", "20261209-1", "--abort", "it is given up"),
        _command(
            *("withdraw fees", "fees", "--withdraw", "P1", "--by", "a clerk", "--why", "x"),
            *("--at", day),
        ),
    ]


def _identified(home: Path) -> None:
    """The population database is asked for somebody strange, and answers."""
    authority = SimulatedAuthority(scene.people_table([scene.person(13)]))
    table = scene.payment_table([scene.line(13)])
    with mock.patch.object(delta, "CHANGES_SHARE", 1), switch.open(home) as engine:
        engine.identities.authenticate(authority, table, at="2026-12-03")


def _answers_taken(home: Home) -> int:
    return len(scene.asked(home, "SELECT 1 FROM audit WHERE detail LIKE '%\"identity\"%'"))


def _delta(home: Path) -> None:
    """Change few people of a register that is not large enough for a delta elsewhere."""
    people = [scene.person(1, status="deceased"), scene.person(12)]
    with mock.patch.object(delta, "CHANGES_SHARE", 1), switch.open(home) as engine:
        engine.register(
            population=scene.people_table(people),
            accounts=scene.accounts_table([scene.account(12, account="VN-12")]),
            paid_history=scene.paid_table([scene.entitlement(12)]),
        )


def _replaced(home: Path) -> None:
    """Two persons are found to be one, in a delta."""
    pairs = {"person_id": [scene.person_id(11)], "replaced_by": [scene.person_id(12)]}
    with mock.patch.object(delta, "CHANGES_SHARE", 1), switch.open(home) as engine:
        engine.register(replaced=pa.table(pairs))


def _has_replaced(home: Home) -> bool:
    return bool(scene.asked(home, "SELECT 1 FROM audit WHERE detail LIKE '%\"replaced_ids\"%'"))


def _compact(home: Path) -> None:
    with switch.open(home) as engine:
        engine.compact()


def _citizens(folder: Path) -> list[Step]:
    """A device that is bound, a code that is refused, which is a commit, too, and an account."""
    phone, start = folder / "phone", 7 * 24 * 3600
    secrets = ("--secrets", phones.secret_file(folder), "--device", "a phone")

    def claim(at: int, rule: str) -> Callable[[Path], None]:
        """A claim by the right code, or by a wrong one where it is to be refused."""

        def do(home: Path) -> None:
            code = phones.code(phone, at)
            words = ("--code", phones.wrong(code) if rule else code, "--at", phones.later(at))
            place = ("--participant", scene.SMALL_BANK, "--account", "VN-2000")
            who = ("citizen", home, "account", scene.person_id(1))
            said = scene.command(*who, *secrets, *words, *place)
            if said.code and not (rule and f"error: {rule}" in said.err):
                raise Failed(f"exit {said.code}: {said.err.strip().splitlines()[-1]}")

        return do

    def refusals(home: Home) -> int:
        return len(scene.asked(home, "SELECT 1 FROM audit WHERE kind = 'citizen'")) - 1

    bind = ("--by", "an officer", "--out", phone, "--at", phones.later(start))
    return [
        _command("bind", "citizen", "bind", scene.person_id(1), *secrets, *bind),
        Step("wrong code", claim(start + 60, "CODE_WRONG"), lambda home: refusals(home) >= 1),
        Step("account", claim(start + 90, ""), lambda home: home.catalog.register_seq() >= 3),
    ]


def _control(folder: Path) -> list[Step]:
    """A policy, and a table that is signed, step by step, stopped, let go on and run."""
    steps = ("prepare", "certify", "release")
    given = signing_people.policy(steps=[{"step": step} for step in steps])
    (folder / "policy.json").write_text(json.dumps(given))
    table = signing_people.table(folder / "signed", "K", period=202707)

    def said(name: str, *words: object) -> Step:
        """An act by one person; number: how many there are when it is done."""
        number, who = (
            next(numbers),
            {**signing_people.SIGNERS, "resume": "hoa", "hold": "hoa"}[name],
        )
        key = folder / who
        key.write_bytes(signing_people.pem(who))
        step = _command(name, name, *words, "--by", who, "--key", key)
        count = "SELECT 1 FROM audit WHERE kind = 'control'"
        return step._replace(done=lambda home: len(scene.asked(home, count)) >= number)

    numbers = itertools.count(1)
    return [
        _command("policy", "policy", folder / "policy.json"),
        said("prepare", table),
        said("certify", "K"),
        said("hold", "K", "--why", "asked"),
        said("resume", "K", "--why", "answered"),
        said("release", "K"),
        _command("run K", "run", table, "--threads", 1),
    ]


def _answers(folder: Path) -> list[Path]:
    """A line of F refused before its cycle settles, lines of D credited, and one sent back."""
    head, at = (
        "20261125-00000{}-000000000{}",
        datetime.datetime(2026, 11, 25, 5, tzinfo=datetime.UTC),
    )

    def row(batch: int, number: int, **said: str) -> dict[str, Any]:
        transfer = head.format(batch, number)
        known = {"participant": scene.BANK, "transfer_id": transfer, "amount": 1_000_000 + number}
        return known | said | {"booked_at": at}

    files = [folder / "confirmations.parquet", folder / "returns.parquet"]
    said = [row(6, 1, status="RJCT"), *(row(4, n, status="ACCC") for n in (2, 3))]
    pq.write_table(pa.Table.from_pylist(said), files[0])
    back = [row(4, 1, return_id="R1", reason="AC04")]
    pq.write_table(pa.Table.from_pylist(back), files[1])
    return files


def _resolution(folder: Path) -> Path:
    """A line of D that was recalled is not given back."""
    row = {
        "participant": scene.BANK,
        "transfer_id": "20261125-000004-0000000005",
        "status": "RJCR",
        "booked_at": datetime.datetime(2026, 12, 1, 6, tzinfo=datetime.UTC),
    }
    pq.write_table(pa.Table.from_pylist([row]), folder / "resolution.parquet")
    return folder / "resolution.parquet"


def _odd(folder: Path) -> Path:
    """A line of D, credited with another amount."""
    row = {
        "participant": scene.BANK,
        "transfer_id": "20261125-000004-0000000004",
        "amount": 4,
        "status": "ACCC",
        "booked_at": datetime.datetime(2026, 11, 25, 6, tzinfo=datetime.UTC),
    }
    pq.write_table(pa.Table.from_pylist([row]), folder / "odd.parquet")
    return folder / "odd.parquet"


def large_steps(folder: Path) -> list[Step]:
    """A nation and three paydays of it, in several chunks and with threads."""
    nation = switch.generate(folder / "nation", 12_000, 24_000, 7)
    table = pq.read_table(nation.payday)
    parts = [table.slice(0, 16_000), table.slice(12_000, 12_000)]
    shared = {"threads": 2, "chunk_rows": 3_000}

    def payday(number: int, part: Any) -> Step:
        numbers = pa.array(range(1, part.num_rows + 1), pa.uint32())
        part = part.set_column(part.schema.get_field_index("line_no"), "line_no", numbers)

        def do(home: Path) -> None:
            scene.pay(home, part, f"P{number}", **shared)

        return Step(f"run P{number}", do)

    return [
        Step("init", _init(nation.participants, nation.debtors)),
        _register(
            1, population=nation.population, accounts=nation.accounts, paid_history=nation.paid
        ),
        payday(1, parts[0]),
        payday(2, parts[1]),
        _register(2, population=nation.population),
        payday(3, parts[0].slice(0, 9_000)),
    ]
