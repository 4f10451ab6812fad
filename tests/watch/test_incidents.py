"""Incidents: what happens in the life of a payday raises its alarm, in the list and in the numbers,
at the next look, and clears it when it is mended."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pyarrow as pa
import pytest
from answering import NOON, back, home_of, said, take
from cycles import BOUND, CUTOFFS, CYCLE, aborted, lines, make, short, table_of
from scene import BANK, DEBTORS, account, command, line, make_home, pay, person, run
from signing_people import DAY, pem, policy, public, sign_all, table

import switch
from switch.control.keys import FileKey
from switch.engine import Engine
from switch.registry.settings import Settings


class Incident(NamedTuple):
    """A home in which something happens, and how that ends."""

    home: Path
    alarm: str
    at: str
    """A time at which it is there."""
    mend: Callable[[], object]
    calm_at: str
    """A time after it was mended."""
    level: str = "raised"
    options: tuple[object, ...] = ()
    """Options of the command."""


def opened(home: Path, act: Callable[[Engine], object]) -> Callable[[], object]:
    """Something that is done to a home, which is open for it."""

    def do() -> object:
        with switch.open(home) as engine:
            return act(engine)

    return do


def everything(engine: Engine) -> object:
    rows = [said(n) for n in range(1, 13)]
    return take(engine, engine.home.path, *rows, at="2026-11-26T08:00:00")


def bank_silent(folder: Path) -> Incident:
    home = home_of(folder / "home")
    return Incident(
        home, f"answers-silent:{BANK}", "2026-11-26T06:30:00", opened(home, everything),
        "2026-11-26T09:00:00",
    )  # fmt: skip


def bank_slow(folder: Path) -> Incident:
    return bank_silent(folder)._replace(at="2026-11-26T04:30:00", level="warning")


def bank_answers_some(folder: Path) -> Incident:
    """Its other lines are beyond the deadline."""
    home = home_of(folder / "home")
    opened(home, lambda e: take(e, home, said(3), at="2026-11-26"))()
    at = "2026-11-28T08:00:00"
    rows = [said(n) for n in range(1, 13) if n != 3]
    mend = opened(home, lambda e: take(e, home, *rows, at=at))
    return Incident(home, f"answers-overdue:{BANK}", at, mend, at)


def answers_twice(folder: Path) -> Incident:
    """A bank credits a line a second time: it may have paid twice."""
    home = home_of(folder / "home")
    twice = [said(1), said(1, booked_at=NOON + dt.timedelta(hours=1), amount=2_000_002)]
    opened(home, lambda e: take(e, home, *twice, at="2026-11-26"))()
    mend = accepted(home, "DUPLICATE")
    return Incident(home, "break-open:DUPLICATE", "2026-11-26T08:00:00", mend, "2026-11-26")


def wrong_amount(folder: Path) -> Incident:
    home = home_of(folder / "home")
    opened(home, lambda e: take(e, home, said(5, amount=5), at="2026-11-26"))()
    return Incident(
        home, "break-open:AMOUNT", "2026-11-26T08:00:00", accepted(home, "AMOUNT"), "2026-11-26"
    )


def accepted(home: Path, name: str) -> Callable[[], object]:
    """Breaks of a class are taken as they are."""
    words = ("--accept", "--note", "the bank paid the rest", "--by", "a clerk")
    return lambda: command("breaks", home, "--class", name, *words)


def lost_file(folder: Path) -> Incident:
    home = home_of(folder / "home")
    file = next((home / "batches").glob("*/status.parquet"))
    content = file.read_bytes()
    file.unlink()
    return Incident(
        home, "home-damaged:files", "2026-11-25", lambda: file.write_bytes(content), "2026-11-25"
    )


def wrong_key(folder: Path) -> Incident:
    home = home_of(folder / "home")
    key = (home / "key").read_bytes()
    (home / "key").write_bytes(bytes(len(key)))
    mend = lambda: (home / "key").write_bytes(key)  # noqa: E731
    return Incident(home, "home-damaged:key", "2026-11-25", mend, "2026-11-25")


def cap_reached(folder: Path) -> Incident:
    """A has money for 100 and owes them."""
    home = folder / "home"
    with make(home, CUTOFFS, BOUND) as engine:
        run(engine, lines("A > C 100"), "X")
    mend = opened(home, lambda e: e.settle(CYCLE, at="2026-11-25T11:05:00"))
    return Incident(home, f"cap-reached:A {CYCLE}", "2026-11-25T10:00:00", mend, "2026-11-25T12:00")


def cap_near(folder: Path) -> Incident:
    home = folder / "home"
    with make(home, CUTOFFS, BOUND) as engine:
        run(engine, lines("A > C 80"), "X")
    mend = opened(home, lambda e: e.settle(CYCLE, at="2026-11-25T11:05:00"))
    return Incident(
        home, f"cap-reached:A {CYCLE}", "2026-11-25T10:00:00", mend, "2026-11-25T12:00", "warning"
    )


def cycle_short(folder: Path) -> Incident:
    """A cycle cannot settle: money is missing."""
    home = folder / "home"
    with short(home) as engine:
        engine.settle(at="2026-11-25T11:05:00")

    def mend(engine: Engine) -> object:
        engine.change_directory(balances=table_of({"A": 100}))
        return engine.settle(CYCLE, at="2026-11-25T11:40:00")

    return Incident(
        home,
        f"cycle-unfunded:{CYCLE}",
        "2026-11-25T11:10:00",
        opened(home, mend),
        "2026-11-25T12:00",
    )


def cycle_late(folder: Path) -> Incident:
    """Its cut-off is over, and nobody closed it."""
    home = folder / "home"
    with make(home) as engine:
        run(engine, lines("A > C 80"), "X")
    mend = opened(home, lambda e: e.settle(CYCLE, at="2026-11-25T11:20:00"))
    return Incident(
        home, f"cycle-unclosed:{CYCLE}", "2026-11-25T11:15:00", mend, "2026-11-25T11:30:00"
    )


def cycle_closes(folder: Path) -> Incident:
    return cycle_late(folder)._replace(at="2026-11-25T10:45:00", level="warning")


def cycle_not_settled(folder: Path) -> Incident:
    home = folder / "home"
    with make(home) as engine:
        run(engine, lines("A > C 80"), "X")
        engine.settle(CYCLE, at="2026-11-25T11:05:00", close_only=True)
    mend = opened(home, lambda e: e.settle(CYCLE, at="2026-11-25T11:50:00"))
    return Incident(
        home, f"cycle-unsettled:{CYCLE}", "2026-11-25T11:40:00", mend, "2026-11-25T12:00"
    )


def cycle_given_up(folder: Path) -> Incident:
    home = folder / "home"
    aborted(home).close()
    mend = opened(home, lambda e: run(e, lines("KBNN > A 1", 9), "Z", at="2026-11-25T12:00:00"))
    return Incident(
        home, f"cycle-aborted:{CYCLE}", "2026-11-25T11:30:00", mend, "2026-11-25T12:00:00"
    )


def clock_back(folder: Path) -> Incident:
    """The clock jumps: the home is two days ahead of it."""
    home = home_of(folder / "home")
    return Incident(home, "time-ahead", "2026-11-23T08:00:00", lambda: None, "2026-11-25T08:00:00")


def batch_twice(folder: Path) -> Incident:
    """The same table comes again under another name: every line is a duplicate."""
    home = home_of(folder / "home")
    again = [line(n) for n in range(1, 13)]
    opened(home, lambda e: run(e, again, "A2", at="2026-11-25"))()
    mend = opened(home, lambda e: e.close_day("2026-11-25"))
    return Incident(home, "batch-refused:A2", "2026-11-25T08:00:00", mend, "2026-11-25T20:00:00")


def day_left_open(folder: Path) -> Incident:
    home = home_of(folder / "home")
    mend = opened(home, lambda e: e.close_day("2026-11-25"))
    return Incident(home, "day-open:2026-11-25", "2026-11-26T00:10:00", mend, "2026-11-26T00:20:00")


def waits_too_long(folder: Path) -> Incident:
    """A line waits beyond its deadline."""
    home = make_home(folder / "home", [person(1)], settings=Settings(held_days=5))
    pay(home, [line(1)])
    mend = opened(home, lambda e: e.expire("2026-12-02"))
    return Incident(home, "held-expired", "2026-12-02T08:00:00", mend, "2026-12-02T09:00:00")


def deadline_near(folder: Path) -> Incident:
    home = make_home(folder / "home", [person(1)], settings=Settings(held_days=5))
    pay(home, [line(1)])
    mend = opened(home, lambda e: e.cancel_lines([("B", 1)], by="a clerk", why="sent in error"))
    return Incident(
        home, "held-expired", "2026-11-26T08:00:00", mend, "2026-11-26T09:00:00", "warning"
    )


def tried_again_and_again(folder: Path) -> Incident:
    home = make_home(folder / "home", [person(1)])
    pay(home, [line(1)])
    for number in range(3):
        pay(home, [line(2, amount=number + 1)], f"C{number}")
    mend = opened(home, lambda e: e.cancel_lines([("B", 1)], by="a clerk", why="sent in error"))
    return Incident(home, "held-stuck:AC03", "2026-11-25T08:00:00", mend, "2026-11-25T09:00:00")


def money_back(folder: Path) -> Incident:
    """Nobody decides on money that came back."""
    home = home_of(folder / "home")
    opened(home, lambda e: take(e, home, back(1), at="2026-11-27"))()
    opened(home, lambda e: take(e, home, said(2), at="2026-12-01"))()
    mend = opened(home, lambda e: e.write_back(at="2026-12-01"))
    return Incident(home, "returned-idle", "2026-12-01T08:00:00", mend, "2026-12-01T09:00:00")


def budget_used(folder: Path) -> Incident:
    home = make_home(folder / "home", [person(1)], [account(1)])

    def budget(dong: int) -> Callable[[], object]:
        rows = [{**row, "programme": "PENS", "budget": dong} for row in DEBTORS[:1]]
        table = pa.Table.from_pylist(rows)
        return opened(home, lambda e: e.change_directory(debtors=table))

    budget(1_000_001)()
    pay(home, [line(1)])
    at = "2026-11-25T08:00:00"
    return Incident(home, "budget-used:PENS", at, budget(9_000_000), at)


def disk_full(folder: Path) -> Incident:
    """The bound is one that no disk keeps."""
    home = home_of(folder / "home")
    limits = folder / "limits.toml"
    limits.write_text("disk_bytes = 9_000_000_000_000_000_000")
    return Incident(
        home, "disk-full", "2026-11-25T08:00:00", lambda: limits.write_text("disk_bytes = 1"),
        "2026-11-25T08:00:00", options=("--limits", limits),
    )  # fmt: skip


def with_policy(folder: Path) -> Path:
    """A home under control, with a party that delivers."""
    home = make_home(folder / "home", [person(n) for n in range(1, 10)])
    party = {"name": "vss", "kinds": ["table", "act"], "keys": [{"public": public("vss")}]}
    with switch.open(home) as engine:
        engine.control.set_policy(policy(parties=[party]))
    return home


def table_waits(folder: Path) -> Incident:
    """A table waits for its next signature."""
    home = with_policy(folder)
    pay_file = table(folder / "in")
    with switch.open(home) as engine:
        sign_all(engine, pay_file, until="approve")
    mend = opened(
        home, lambda e: e.control.sign("B1", "cancel", by="hoa", key=pem("hoa"), why="no")
    )
    return Incident(
        home, "dossier-waits:VSS:B1", "2027-01-05T09:00:00", mend, "2027-01-05T09:30:00"
    )


def delivered(folder: Path, home: Path, number: int) -> None:
    switch.deliver(
        folder / "spool", "vss", "table", [table(folder / f"in{number}", f"B{number}")],
        key=pem("vss"), at=DAY,
    )  # fmt: skip


def portal_fills(folder: Path) -> Incident:
    home = with_policy(folder)
    for number in (1, 2, 3):
        delivered(folder, home, number)
    limits = folder / "limits.toml"
    limits.write_text("deliveries = 3")
    mend = opened(home, lambda e: e.control.portal(folder / "spool"))
    at = "2026-11-25T08:00:00"
    options = ("--limits", limits, "--spool", folder / "spool")
    return Incident(home, "portal-full:vss", at, mend, at, options=options)


def delivery_refused(folder: Path) -> Incident:
    """An act comes that another key signed, and then with the right one."""
    home = with_policy(folder)

    def act_comes(key: str) -> None:
        path = table(folder / "in")
        with switch.open(home) as engine:
            said = {"by": "ana", "public": public("ana")}
            act = engine.control.statement("B1", "prepare", table=path, **said)
            file = folder / f"{key}.json"
            file.write_bytes(msgspec.json.encode(act.signed(FileKey(pem(key)))))
            switch.deliver(folder / "spool", "vss", "act", [file], key=pem("vss"), at=DAY)
            engine.control.portal(folder / "spool")

    act_comes("binh")
    return Incident(home, "delivery-refused:vss", DAY, lambda: act_comes("ana"), DAY)


INCIDENTS = [
    bank_silent, bank_slow, bank_answers_some, answers_twice, wrong_amount, lost_file, wrong_key,
    cap_reached, cap_near, cycle_short, cycle_late, cycle_closes, cycle_not_settled, cycle_given_up,
    clock_back, batch_twice, day_left_open, waits_too_long, deadline_near, tried_again_and_again,
    money_back, budget_used, disk_full, table_waits, portal_fills, delivery_refused,
]  # fmt: skip


def there(incident: Incident, at: str) -> dict[str, dict[str, Any]]:
    """Alarms that the command lists at a time, by name."""
    names = ("--rule", incident.alarm.partition(":")[0])
    told = command("alarms", incident.home, "--at", at, *names, *incident.options, "--json")
    assert told.code == 0, told.err
    return {row["alarm"]: row for row in told.document["alarms"]}


def counted(incident: Incident, at: str) -> float:
    """Alarms of the rule and level that the numbers for a monitor have."""
    told = command("metrics", incident.home, "--at", at, *incident.options)
    assert told.code == 0, told.err
    mark = (f'rule="{incident.alarm.partition(":")[0]}"', f'level="{incident.level}"')
    rows = [r for r in told.out.splitlines() if r.startswith("switch_alarms{")]
    return sum(float(r.rsplit(" ", 1)[1]) for r in rows if all(word in r for word in mark))


@pytest.mark.parametrize("happens", INCIDENTS, ids=lambda happens: happens.__name__)
def test_incident__raises_its_alarm_and_clears_it_when_it_is_mended(
    happens: Callable[[Path], Incident], tmp_path: Path
) -> None:
    incident = happens(tmp_path)
    found = there(incident, incident.at)
    assert incident.alarm in found
    row = found[incident.alarm]
    assert (row["level"], row["state"]) == (incident.level, "open")
    assert row["next"].startswith("switch ")
    assert counted(incident, incident.at) >= 1
    before = counted(incident, incident.calm_at) if incident.at != incident.calm_at else 1
    incident.mend()
    assert incident.alarm not in there(incident, incident.calm_at)
    assert counted(incident, incident.calm_at) <= before
