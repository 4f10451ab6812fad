"""Alarms: conditions with a life. Somebody sees one, looks after it, lets it sleep; it ends when
what it says is mended, and opens again in its place when it comes back.

An alarm is known by its rule and subject, and its occurrence by the time since when it is so and
its level. What people say of one occurrence holds for no other, so that an acknowledged warning
opens again where what it warned of has come. Nothing is kept of alarms but what people said.
"""

from __future__ import annotations

import shlex
from typing import NamedTuple, TypedDict

import pyarrow as pa
import pyarrow.compute as pc

from switch.errors import counted
from switch.home.history import alarm_notes
from switch.home.store import Home
from switch.home.times import is_before
from switch.open_items.listing import Choice, Listing, Words, listing, require_known, several
from switch.reconcile.match.rules import SEVERITIES
from switch.watch.conditions import (
    RAISED,
    WARNING,
    Condition,
    Limits,
    conditions,
    rule_of,
    rules,
)
from switch.watch.sight import Sight, hours_since

OPEN, ACKNOWLEDGED, SNOOZED, REOPENED, RESOLVED = (
    *("open", "acknowledged", "snoozed", "reopened", "resolved"),
)
STATES = (OPEN, ACKNOWLEDGED, SNOOZED, REOPENED, RESOLVED)
UNSEEN = (OPEN, REOPENED)
"""States of alarms that nobody has seen yet."""
LEVELS = (WARNING, RAISED)
_TEXT, _COUNT = pa.string(), pa.int64()
SCHEMA = pa.schema(
    [
        ("alarm", _TEXT),
        ("rule", _TEXT),
        ("subject", _TEXT),
        ("severity", _TEXT),
        ("level", _TEXT),
        ("state", _TEXT),
        ("since", _TEXT),
        ("hours", _COUNT),
        ("what", _TEXT),
        ("lines", _COUNT),
        ("value", _COUNT),
        ("owner", _TEXT),
        ("note", _TEXT),
        ("noted_by", _TEXT),
        ("noted_at", _TEXT),
        ("until", _TEXT),
        ("next", _TEXT),
        ("place", _COUNT),
        ("rank", _COUNT),
    ]
)
"""An alarm. level: warning or raised, '' of one that is resolved. hours: since then. value: dong at
stake. until: the time until which it sleeps. next: the command by which it is mended. place and
rank are to sort by."""
STORM = "storm"


class AlarmsAsked(TypedDict, total=False):
    """Filters and limit of alarms (`Watch.alarms`)."""

    rule: Words
    """Such as answers-silent; where it is asked for, no storm stands for it."""
    severity: Words
    """Low, medium, high or critical."""
    state: Words
    """Open, acknowledged, snoozed, reopened or resolved; None: all but resolved."""
    level: Words
    """Warning or raised."""
    names: Words
    """Names of alarms."""
    limit: int | None
    """Rows at most."""


class Mark(NamedTuple):
    """An occurrence of an alarm."""

    name: str
    since: str
    level: str


class Stand(NamedTuple):
    """All that notes say of an alarm: the last words of each kind."""

    owner: str = ""
    note: str = ""
    by: str = ""
    at: str = ""
    mark: Mark = Mark("", "", "")
    """The occurrence that was spoken of last."""
    acknowledged: Mark | None = None
    asleep: Mark | None = None
    until: str = ""


def name_of(one: Condition) -> str:
    """The name by which people know an alarm: its rule, and its subject if it has one."""
    return f"{one.rule}:{one.subject}" if one.subject else one.rule


def mark_of(one: Condition) -> Mark:
    """The occurrence of a condition."""
    return Mark(name_of(one), one.since, one.level)


def stands(home: Home) -> dict[str, Stand]:
    """Alarms of which something was said, by name."""
    found: dict[str, Stand] = {}
    for record, said in alarm_notes(home):
        for name, since, level in said.alarms:
            mark, before = Mark(name, since, level), found.get(name, Stand())
            acknowledged, asleep, until = before.acknowledged, before.asleep, before.until
            if said.acknowledged is not None:
                acknowledged = mark if said.acknowledged else None
                asleep, until = None, ""  # Who looks at one wakes it.
            if said.until:
                asleep, until = mark, said.until
            found[name] = Stand(
                said.owner or before.owner, said.note or before.note, said.by, record.at, mark,
                acknowledged, asleep, until,
            )  # fmt: skip
    return found


def state_of(mark: Mark, stand: Stand | None, now: str) -> str:
    """The state of an occurrence. stand: what was said of its alarm; now: the time."""
    if stand is None:
        return OPEN
    if stand.asleep == mark and is_before(now, stand.until):
        return SNOOZED
    if stand.acknowledged == mark:
        return ACKNOWLEDGED
    return OPEN if stand.mark == mark else REOPENED


def alarms(
    home: Home,
    at: str = "",
    *,
    limits: Limits | None = None,
    spool: str = "",
    sight: Sight | None = None,
    **asked: object,
) -> Listing:
    """Alarms of a home (`Watch.alarms`), the worst first. sight: of it, where it was looked at."""
    seen = sight or Sight(home, at)
    bounds = limits or Limits()
    known = rules()
    wanted = asked.get("rule")
    words: dict[str, Words] = {n: asked.get(n) for n in ("rule", "severity", "state", "level")}  # type: ignore[misc]
    for option, there in (
        ("rule", tuple(known)),
        ("severity", SEVERITIES),
        ("state", STATES),
        ("level", LEVELS),
    ):
        require_known(option, words[option], there)
    rows = _rows(seen, bounds, spool)
    storms, folded = _storms(rows, bounds, seen)
    rows += storms
    names: Words = asked.get("names")  # type: ignore[assignment]
    require_known("alarm", names, {str(row["alarm"]) for row in rows})
    if wanted is None and names is None:
        rows = [row for row in rows if row["alarm"] not in folded]
    if words["state"] is None:
        rows = [row for row in rows if row["state"] != RESOLVED]
    table = pa.Table.from_pylist(rows, SCHEMA)
    if names is not None:
        table = table.filter(pc.is_in(table["alarm"], pa.array(several(names), pa.string())))
    order = [("rank", "ascending"), ("place", "ascending"), ("alarm", "ascending")]
    limit: int | None = asked.get("limit")  # type: ignore[assignment]
    choice = Choice(words, {}, order, limit, ("place", "rank"))
    return listing(home, "alarms", seen.now, table, choice, "value", "severity", "state", "rule")


def _rows(seen: Sight, limits: Limits, spool: str) -> list[dict[str, object]]:
    """All alarms, resolved ones of which something was said among them."""
    said = stands(seen.home)
    found = [_row(one, said.get(name_of(one)), seen) for one in conditions(seen, limits, spool)]
    there = {row["alarm"] for row in found}
    for name, stand in said.items():
        if name not in there:
            rule, _, subject = name.partition(":")
            gone = Condition(rule, subject, "", stand.mark.since, rule_of(rule).title)
            found.append({**_row(gone, stand, seen), "state": RESOLVED, "next": ""})
    return found


def _row(one: Condition, stand: Stand | None, seen: Sight) -> dict[str, object]:
    rule, told = rule_of(one.rule), stand or Stand()
    state = state_of(mark_of(one), stand, seen.now)
    severity = rule.severity
    if one.level == WARNING:  # What is near is one step less than what is there.
        severity = SEVERITIES[max(SEVERITIES.index(severity) - 1, 0)]
    place = shlex.quote(seen.name)
    day = str(seen.moment.date()) if seen.now else ""
    command = rule.next.format(home=place, subject=shlex.quote(one.subject), day=day)
    return {
        "alarm": name_of(one),
        "rule": one.rule,
        "subject": one.subject,
        "severity": severity,
        "level": one.level,
        "state": state,
        "since": one.since,
        "hours": max(int(hours_since(one.since, seen.moment)), 0) if one.since and seen.now else 0,
        "what": one.what,
        "lines": one.lines,
        "value": one.money,
        "owner": told.owner,
        "note": told.note,
        "noted_by": told.by,
        "noted_at": told.at,
        "until": told.until if state == SNOOZED else "",
        "next": f"switch {command}",
        "place": [*rules(), one.rule].index(one.rule),
        "rank": -SEVERITIES.index(severity),
    }


def _storms(
    rows: list[dict[str, object]], limits: Limits, seen: Sight
) -> tuple[list[dict[str, object]], set[object]]:
    """One storm for each rule with many alarms that nobody has seen, and the names of these. They
    are there as before, and are listed by their rule or name."""
    unseen: dict[str, list[dict[str, object]]] = {}
    for row in rows:
        if row["state"] in UNSEEN:
            unseen.setdefault(str(row["rule"]), []).append(row)
    found: list[dict[str, object]] = []
    folded: set[object] = set()
    said = stands(seen.home)
    for rule, mine in unseen.items():
        if len(mine) <= limits.storm:
            continue
        folded |= {row["alarm"] for row in mine}
        lines, value = (sum(int(str(row[key])) for row in mine) for key in ("lines", "value"))
        since = min(str(row["since"]) for row in mine)
        what = f"{counted(len(mine), 'alarm')} of {rule}: {rules()[rule].title}"
        one = Condition(STORM, rule, RAISED, since, what, lines, value)
        found.append(_row(one, said.get(name_of(one)), seen))
    return found, folded
