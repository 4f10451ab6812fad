"""Conditions: what is wrong with a home, or near its deadline, as rules find it.

Each rule (data/alarm_rules.csv) is a function of what is seen, and yields a condition a subject. It
keeps nothing: the same home at the same time has the same conditions, and one that is mended has
none.
"""

from __future__ import annotations

import csv
import datetime
import functools
from collections.abc import Callable, Iterable, Iterator
from importlib import resources
from pathlib import Path
from typing import NamedTuple

import msgspec
import pyarrow.compute as pc

from switch.control import spool as boxes
from switch.control.acts import policies
from switch.doctor import DISK_BYTES, FAIL
from switch.errors import counted
from switch.home.store import ROOM_SPARE
from switch.open_items.listing import batch_names
from switch.outlook import Deadlines, OpenCash
from switch.watch.sight import Sight, hours_since, moment_of

WARNING, RAISED = "warning", "raised"
"""Levels: near what it warns of, and there."""


class Limits(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Bounds of rules. Each is what a desk that watches by day and night would start with."""

    silent_hours: float = 6
    """Hours after settlement in which a receiver answers something; two thirds of them warn."""
    warning_minutes: float = 30
    """Minutes before a cut-off from which on its cycle is near it."""
    settle_minutes: float = 30
    """Minutes after a cut-off in which its cycle settles."""
    share: float = 0.8
    """Part of a cap, of funds or of a budget from which on it is nearly used."""
    refused_share: float = 0.05
    """Part of a batch whose refusal is many; half of it warns."""
    held_days: int = 30
    """Days for which lines without a deadline may wait."""
    held_runs: int = 3
    """Runs that may have tried them."""
    returned_days: int = 3
    """Days in which somebody decides on money that came back."""
    dossier_hours: float = 24
    """Hours in which a table gets its next signature."""
    deliveries: int = 20
    """Deliveries of a party that may wait in a portal; half of them warn."""
    disk_bytes: int = DISK_BYTES
    """Free bytes below which the disk is nearly full."""
    storm: int = 20
    """Alarms of one rule; more are shown as one."""


class Condition(NamedTuple):
    """Something that is wrong, or near it."""

    rule: str
    subject: str
    level: str
    """WARNING or RAISED."""
    since: str
    """Time or day since when it is so; of the machine's state the day."""
    what: str
    """A sentence for people, without anything that names a person."""
    lines: int = 0
    money: int = 0
    """Minor units at stake."""


class Rule(NamedTuple):
    """A rule as the table has it. next: its command, with {home}, {subject} and {day} to put in."""

    name: str
    severity: str
    title: str
    next: str


@functools.cache
def rules() -> dict[str, Rule]:
    """All rules by name, in the order of the table."""
    text = resources.files("switch").joinpath("data/alarm_rules.csv").read_text("utf-8")
    rows = (Rule(*row.values()) for row in csv.DictReader(text.splitlines()))
    return {rule.name: rule for rule in rows}


def rule_of(name: str) -> Rule:
    """The rule of a name; of one that this engine does not know, a rule that says nothing."""
    return rules().get(name) or Rule(name, "low", name, "doctor {home}")


def conditions(sight: Sight, limits: Limits, spool: str = "") -> list[Condition]:
    """All conditions of a home, by rule and subject. spool: of its portal, where one is looked at.
    A home without a time has none but those of the machine."""
    found = [one for look in _LOOKS for one in look(sight, limits)] if sight.now else []
    found += [*_damaged(sight), *_disk(sight, limits)]
    if spool:
        found += _portal(sight, limits, spool)
    order = list(rules())
    return sorted(found, key=lambda one: (order.index(one.rule), one.subject))


# --- answers --------------------------------------------------------------------------------------


def _silent(sight: Sight, limits: Limits) -> Iterator[Condition]:
    """Receivers that have answered nothing of a cycle, the oldest of each."""
    told: set[str] = set()
    for row in sight.awaited:
        hours = hours_since(row["settled_at"], sight.moment)
        if not row["silent"] or row["participant"] in told or hours < limits.silent_hours * 2 / 3:
            continue
        told.add(row["participant"])
        level = RAISED if hours >= limits.silent_hours else WARNING
        what = f"nothing of {counted(row['lines'], 'line')} of cycle {row['cycle']} is answered"
        text = f"{what}, which settled at {row['settled_at']}"
        yield Condition(
            "answers-silent", row["participant"], level, row["settled_at"], text, row["lines"],
            row["sum"],
        )  # fmt: skip


def _overdue(sight: Sight, limits: Limits) -> Iterator[Condition]:
    """Receivers with lines beyond the deadline, or on its day."""
    found: dict[str, list[dict[str, object]]] = {}
    today = str(sight.moment.date())
    for row in sight.awaited:
        if row["overdue"] or row["deadline"] == today:
            found.setdefault(row["participant"], []).append(row)
    for code, rows in found.items():
        past = [row for row in rows if row["overdue"]]
        first = str((past or rows)[0]["deadline"])
        count, money = (sum(int(str(row[key])) for row in past or rows) for key in ("lines", "sum"))
        ends = "had to be answered by" if past else "must be answered by the end of"
        what = f"{counted(count, 'line')} {ends} {first}"
        yield Condition(
            "answers-overdue", code, RAISED if past else WARNING, first, what, count, money
        )


def _breaks(sight: Sight, limits: Limits) -> Iterator[Condition]:
    """Classes of breaks that are high or critical."""
    found: dict[str, list[dict[str, object]]] = {}
    for row in sight.breaks:
        if row["severity"] in ("high", "critical"):
            found.setdefault(str(row["class"]), []).append(row)
    for name, rows in found.items():
        days = [str(row["day"]) for row in rows if row["day"]]
        since = min(days, default=sight.now)
        critical = sum(row["severity"] == "critical" for row in rows)
        what = f"{counted(len(rows), 'break')} of class {name}, {critical:,} of them critical"
        money = sum(int(str(row["value"] or 0)) for row in rows)
        yield Condition("break-open", name, RAISED, since, what, len(rows), money)


# --- cycles and money -----------------------------------------------------------------------------


def _cycles(sight: Sight, limits: Limits) -> Iterator[Condition]:
    """Cycles that are near their cut-off, beyond it, or without their settlement."""
    for row in sight.cycles:
        if row["state"] not in ("OPEN", "CLOSED"):
            continue
        name, closes = row["cycle"], row["closes"]
        late = hours_since(closes, sight.moment) * 60
        lines, money = row["lines"], row["sum"] + row["fees_sum"]
        of = f"cycle {name} with {counted(lines, 'line')}"
        if row["fees"]:
            of += f" and {counted(row['fees'], 'payment of a fee', 'payments of fees')}"
        if row["state"] == "OPEN" and late >= -limits.warning_minutes:
            level = RAISED if late > 0 else WARNING
            what = f"{of} {'closed' if late > 0 else 'closes'} at {moment_of(closes):%H:%M}"
            yield Condition("cycle-unclosed", name, level, closes, what, lines, money)
        if row["state"] == "CLOSED" and row["waits"].startswith("funds"):
            what = f"{of} waits for {row['waits']}"
            yield Condition("cycle-unfunded", name, RAISED, closes, what, lines, money)
        elif row["state"] == "CLOSED" and late > 0:
            level = RAISED if late >= limits.settle_minutes else WARNING
            what = f"{of} has closed and waits for its settlement"
            yield Condition("cycle-unsettled", name, level, closes, what, lines, money)


def _aborted(sight: Sight, limits: Limits) -> Iterator[Condition]:
    """Cycles that were given up, of whose batches lines wait."""
    for row in sight.cycles:
        if row["state"] != "ABORTED":
            continue
        waits = [
            batch["now"]["held"]
            for batch in sight.status.batches
            if any(one["cycle"] == row["cycle"] for one in batch["sent_back"])
        ]
        lines, money = (sum(one[key] for one in waits) for key in ("count", "sum"))
        if lines:
            what = f"cycle {row['cycle']} was given up, and {counted(lines, 'line')} wait"
            yield Condition(
                "cycle-aborted", row["cycle"], RAISED, row["ended_at"], what, lines, money
            )


def _caps(sight: Sight, limits: Limits) -> Iterator[Condition]:
    """Participants near the most that they may owe in a cycle."""
    closes = {row["cycle"]: row["opened_at"] for row in sight.cycles}
    for one in sight.owed:
        most = one.owes + one.room
        if one.owes < limits.share * most:
            continue
        level = RAISED if one.room <= 0 else WARNING
        what = f"{one.participant} owes {one.owes:,} of at most {most:,} dong in {one.cycle}"
        subject = f"{one.participant} {one.cycle}"
        yield Condition("cap-reached", subject, level, closes[one.cycle], what, 0, one.owes)


def _budgets(sight: Sight, limits: Limits) -> Iterator[Condition]:
    """Programmes whose budget is nearly used."""
    for row in sight.status.budgets:
        budget, available = row["budget"], row["available"]
        if budget is None or available is None or budget - available < limits.share * budget:
            continue
        what = f"{budget - available:,} of {budget:,} dong of {row['programme']} are used"
        level = RAISED if available <= 0 else WARNING
        since = _last_day(sight)
        yield Condition("budget-used", row["programme"], level, since, what, 0, max(-available, 0))


# --- lines that wait ------------------------------------------------------------------------------


def _deadlines(sight: Sight, limits: Limits) -> Iterator[Condition]:
    """Held lines beyond their deadline or near it, and cash that nobody proved."""
    parts: tuple[tuple[str, Deadlines | OpenCash | None, str], ...] = (
        ("held-expired", sight.deadlines, "line"),
        ("cash-unproven", sight.cash, "cash line"),
    )
    for rule, due, noun in parts:
        if due and due["past"]["count"]:
            total, what = due["past"], "waited beyond the deadline"
            first = pc.min(sight.held["deadline"]).as_py() if rule == "held-expired" else None
            yield Condition(
                rule, "", RAISED, str(first or sight.moment.date()),
                f"{counted(total['count'], noun)} {what}", total["count"], total["sum"],
            )  # fmt: skip
        elif due and due["near"]["count"]:
            total, what = due["near"], f"have a deadline, the first {due['next']}"
            yield Condition(
                rule, "", WARNING, due["next"],
                f"{counted(total['count'], noun)} {what}", total["count"], total["sum"],
            )  # fmt: skip


def _stuck(sight: Sight, limits: Limits) -> Iterator[Condition]:
    """Held lines, by reason, that are old or that several runs tried."""
    held = sight.held
    old = sight.older(held, limits.held_days)
    tried = pc.greater_equal(held["tried"], limits.held_runs)
    stuck = held.filter(pc.or_(old, tried))
    grouped = stuck.group_by("reason").aggregate(
        [("amount", "sum"), ("since", "min"), ("tried", "max"), ([], "count_all")]
    )
    for row in grouped.to_pylist():
        count = row["count_all"]
        what = (
            f"{counted(count, 'line')} wait with {row['reason']}, tried by up to"
            f" {counted(row['tried_max'], 'run')}"
        )
        yield Condition(
            "held-stuck", row["reason"], RAISED, str(row["since_min"]), what, count,
            row["amount_sum"],
        )  # fmt: skip


def _returned(sight: Sight, limits: Limits) -> Iterator[Condition]:
    """Money that came back and that nobody decided on."""
    waits = sight.returned.filter(pc.equal(sight.returned["state"], "WAITS"))
    old = waits.filter(sight.older(waits, limits.returned_days))
    if len(old):
        since, money = str(pc.min(old["since"]).as_py()), pc.sum(old["amount"]).as_py()
        what = f"{counted(len(old), 'line')} came back, the first on {since}"
        yield Condition("returned-idle", "", RAISED, since, what, len(old), money)


# --- batches, tables, deliveries ------------------------------------------------------------------


def _batches(sight: Sight, limits: Limits) -> Iterator[Condition]:
    """Batches of open days of which many lines were refused when they were run."""
    days = set(sight.status.open["days"]["open"])
    names = batch_names(sight.home)
    for row in sight.present.rows:
        summary = sight.present.summaries[row.seq]
        refused, received = summary["refused"], summary["received"]["count"]
        share = refused["count"] / received if received else 0
        if str(sight.times.day_of_batch(row)) not in days or share < limits.refused_share / 2:
            continue
        worst = max(
            (one for one in summary["reasons"] if one["status"] == "RJCT"),
            key=lambda one: one["count"],
        )
        what = (
            f"{counted(refused['count'], 'line')} of {received:,} were refused, most with"
            f" {worst['reason']}"
        )
        level = RAISED if share >= limits.refused_share else WARNING
        # The sum of refused amounts may be absurd: what was declared wrongly is no money at stake.
        yield Condition(
            "batch-refused", names[row.seq], level, row.at or row.value_date, what, refused["count"]
        )


def _dossiers(sight: Sight, limits: Limits) -> Iterator[Condition]:
    """Tables that wait for a signature."""
    for row in sight.dossiers:
        hours = hours_since(row["last_at"], sight.moment) if row["last_at"] else 0
        if row["due"] and hours >= limits.dossier_hours / 2:
            level = RAISED if hours >= limits.dossier_hours else WARNING
            what = f"{row['batch_id']} waits for {row['due']} since {row['last_at']}"
            subject = f"{row['source']}:{row['batch_id']}"
            yield Condition(
                "dossier-waits", subject, level, row["last_at"], what, row["count"], row["sum"]
            )


def _deliveries(sight: Sight, limits: Limits) -> Iterator[Condition]:
    """Parties whose last delivery of a kind was refused."""
    last = {(one.manifest.party, one.manifest.kind): (at, one) for at, one in sight.deliveries}
    found: dict[str, tuple[str, list[str]]] = {}
    for (party, kind), (at, one) in last.items():
        if one.outcome == "refused":
            since, kinds = found.get(party, (at, []))
            found[party] = min(since, at), [*kinds, f"{kind} ({one.rule})"]
    for party, (since, kinds) in found.items():
        what = f"the last of {party} was refused: {', '.join(kinds)}"
        yield Condition("delivery-refused", party, RAISED, since, what, len(kinds))


def _portal(sight: Sight, limits: Limits, spool: str) -> Iterator[Condition]:
    """Parties whose inbox fills."""
    versions = policies(sight.home)
    parties = versions[-1].policy.parties if versions else ()
    for party in parties:
        folder = boxes.party_folder(Path(spool), party.name)
        count = len(boxes.waiting(folder)) if (folder / "inbox").is_dir() else 0
        if count >= limits.deliveries / 2:
            level = RAISED if count >= limits.deliveries else WARNING
            what = f"{counted(count, 'delivery')} of {party.name} wait"
            yield Condition("portal-full", party.name, level, sight.now[:10], what, count)


def _days(sight: Sight, limits: Limits) -> Iterator[Condition]:
    """Days that are over and not closed, the first of them."""
    over = [day for day in sight.status.open["days"]["open"] if day < sight.now[:10]]
    if over:
        since = str(datetime.date.fromisoformat(over[0]) + datetime.timedelta(days=1))
        what = f"{counted(len(over), 'day')} not closed, the first {over[0]}"
        yield Condition("day-open", over[0], RAISED, since, what)


# --- the machine ----------------------------------------------------------------------------------


def _damaged(sight: Sight) -> Iterator[Condition]:
    """Findings of the doctor that are faults."""
    for one in sight.examined:
        if one.state == FAIL:
            yield Condition("home-damaged", one.subject, RAISED, sight.now[:10], one.text)


def _ahead(sight: Sight, limits: Limits) -> Iterator[Condition]:
    """A home's time that the clock has not reached."""
    home = sight.times.now
    if home and moment_of(home).date() > sight.moment.date():
        what = f"the home is at {home}, and the clock before it"
        yield Condition("time-ahead", "", RAISED, home, what)


def _disk(sight: Sight, limits: Limits) -> Iterator[Condition]:
    """The room that is left."""
    free = sight.free_bytes
    if free < limits.disk_bytes:
        level = RAISED if free < max(limits.disk_bytes // 4, ROOM_SPARE) else WARNING
        what = f"{free >> 30:,} GiB are free"
        yield Condition("disk-full", "", level, sight.now[:10], what)


def _last_day(sight: Sight) -> str:
    return sight.present.rows[-1].at or sight.present.rows[-1].value_date


_Look = Callable[[Sight, Limits], Iterable[Condition]]
_LOOKS: tuple[_Look, ...] = (
    _silent, _overdue, _breaks, _cycles, _aborted, _caps, _budgets, _deadlines, _stuck, _returned,
    _batches, _dossiers, _deliveries, _days, _ahead,
)  # fmt: skip
