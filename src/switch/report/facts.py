"""Facts of a report: every number of the page, asked of the home as any caller may ask.

The scope chooses batches: one, those of a cycle, those of a value date, or all. What stands in no
batch (budgets, what is open, balances) is that of the home.
"""

from __future__ import annotations

import datetime
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, NamedTuple, TypedDict

from switch.errors import UsageError
from switch.files.tables import TableLike
from switch.home import days
from switch.home.batch import batch_row
from switch.home.store import Home
from switch.home.times import day_of
from switch.open_items import totals as added_up
from switch.open_items.awaited import AWAITED, SENT, parts
from switch.open_items.breaks import breaks
from switch.open_items.cycles import cycles
from switch.open_items.listing import batch_names
from switch.outcomes import Check
from switch.outlook import HomeStatus
from switch.present import Present
from switch.registry.directory import Directory, Participant
from switch.results import BatchRow, LineTotals, Now, ReasonTotal, Total
from switch.settlement.accounts import settlement
from switch.watch.alarms import alarms
from switch.watch.sight import Sight

Names = Mapping[str, Participant]
"""Participants of the directory by code."""
Kind = Literal["home", "batch", "cycle", "day"]


class Scope(NamedTuple):
    """Subject of a report. name: of the batch or cycle, or the date; '' of a home."""

    kind: Kind
    name: str = ""


class Receiver(TypedDict):
    """Lines that went to a participant, by where they stand now."""

    participant: str
    short_name: str
    kind: str
    sent: Total
    states: dict[str, Total]
    awaited: Total
    overdue: Total
    since: str
    """Value date of the oldest batch of which an answer is awaited; '' where none is."""
    age_days: int


class Position(TypedDict):
    """A settlement participant in the cycles of the scope, all of them added up."""

    participant: str
    short_name: str
    debit_sum: int
    credit_sum: int
    net: int
    cap: int | None
    """The most that it may owe in a cycle; None where nothing limits it."""
    balance: int | None
    """Balance of its settlement account now; None where the directory lost it."""


class BreakTotal(TypedDict):
    """Open breaks of one class and severity."""

    name: str
    severity: str
    count: int
    value: int
    accepted: int
    oldest: int
    """Days since the oldest of them."""


class Proof(TypedDict):
    """Proof of the numbers: digests to compare, and checks where they were made."""

    digests: list[tuple[str, str]]
    """(batch, digest of its table)."""
    audit: tuple[int, str]
    """(records, last link) of the chain of audit records."""
    events: tuple[int, str]
    register: int
    checks: list[Check] | None
    """None where nothing was recomputed for this page."""


class Facts(TypedDict):
    """All that a page shows."""

    scope: Scope
    home: HomeStatus
    batches: list[BatchRow]
    received: Total
    now: dict[str, Total]
    """Lines by where they stand, as `Now`; together they are all that was received."""
    reasons: list[ReasonTotal]
    """Reasons for which lines of the batches were held or refused when they were run."""
    receivers: list[Receiver]
    positions: list[Position]
    cycles: list[dict[str, Any]]
    alarms: list[dict[str, Any]]
    """Alarms of the whole home, as of its own time; none where the page is of a part of it."""
    breaks: list[BreakTotal]
    provinces: list[dict[str, Any]] | None
    """Rows of totals by province; None where no table was given."""
    proof: Proof


def facts(
    home: Home,
    scope: Scope,
    *,
    name: str = "",
    table: TableLike | None = None,
    checks: list[Check] | None = None,
) -> Facts:
    """Gather all that a page shows. name: of the home in commands. table: the payment table of the
    one batch of the scope, for its provinces. Raises UsageError where there is no such batch, cycle
    or day."""
    sight = Sight(home, name=name or str(home.path))
    whole, here = sight.status, sight.present
    rows = _chosen(home, scope, whole.batches)
    of_cycles = {row["cycle"] for row in rows} | _sent_in(rows)
    if scope.kind == "cycle":
        of_cycles.add(scope.name)  # Also where returns or fees alone stand in it.
    directory = Directory.of_json(home.catalog.meta("directory").encode())
    names = {one.participant: one for one in directory.participants}
    return {
        "scope": scope,
        "home": whole,
        "batches": rows,
        "received": _added(row["received"] for row in rows),
        "now": {state: _added(row["now"][state] for row in rows) for state in Now.__annotations__},  # type: ignore[literal-required]
        "reasons": _reasons(here, rows),
        "receivers": _receivers(here, rows, names),
        "positions": _positions(home, of_cycles, names),
        "cycles": [
            row for row in cycles(home).rows() if scope.kind == "home" or row["cycle"] in of_cycles
        ],
        "alarms": alarms(home, sight=sight).rows() if scope.kind == "home" else [],
        "breaks": _breaks(home, rows if scope.kind != "home" else None),
        "provinces": _provinces(home, rows, table),
        "proof": _proof(home, rows, checks),
    }


def _chosen(home: Home, scope: Scope, rows: Sequence[BatchRow]) -> list[BatchRow]:
    if scope.kind == "home":
        return list(rows)
    if scope.kind == "batch":
        seq = batch_row(home, scope.name).seq
        return [row for row in rows if row["seq"] == seq]
    key = "cycle" if scope.kind == "cycle" else "value_date"
    found = [row for row in rows if row[key] == scope.name]  # type: ignore[literal-required]
    of_returns = scope.kind == "cycle" and home.catalog.cycle(scope.name) is not None
    if not found and not of_returns:
        what = "in the cycle" if scope.kind == "cycle" else "on the day"
        raise UsageError(f"no batch is {what} {scope.name!r}: see `switch status {home.path}`")
    return found


def _sent_in(rows: Iterable[BatchRow]) -> set[str]:
    """Cycles that lines of batches were taken out of."""
    return {one["cycle"] for row in rows for one in row["sent_back"]}


def _added(totals: Iterable[Total]) -> Total:
    count = total = 0
    for one in totals:
        count, total = count + one["count"], total + one["sum"]
    return {"count": count, "sum": total}


def _reasons(here: Present, rows: Iterable[BatchRow]) -> list[ReasonTotal]:
    """Reasons of all batches, most lines first."""
    found: dict[tuple[str, str, str], list[int]] = defaultdict(lambda: [0, 0])
    for row in rows:
        lines: LineTotals = here.summaries[row["seq"]]
        for one in lines["reasons"]:
            both = found[one["status"], one["reason"], one["sentence"]]
            both[0] += one["count"]
            both[1] += one["sum"]
    told: list[ReasonTotal] = [
        {"status": status, "reason": reason, "sentence": sentence, "count": count, "sum": total}
        for (status, reason, sentence), (count, total) in found.items()
    ]
    return sorted(told, key=lambda one: (one["status"], -one["count"], one["reason"]))


# --- receivers ------------------------------------------------------------------------------------


def _receivers(here: Present, rows: Iterable[BatchRow], names: Names) -> list[Receiver]:
    """Receivers of lines that were sent, most money first."""
    now = days.times(here.home).now
    today = day_of(now) if now else None
    found: dict[str, Receiver] = {}
    for row in rows:
        for part in parts(here, row["seq"]):
            one = found.setdefault(part.participant, _nobody(part.participant, names))
            total: Total = {"count": part.lines, "sum": part.money}
            one["states"][part.state] = _added([one["states"][part.state], total])
            if part.state in AWAITED:
                one["awaited"] = _added([one["awaited"], total])
                one["since"] = min(one["since"] or row["value_date"], row["value_date"])
            if part.state == "unapplied":
                one["overdue"] = _added([one["overdue"], total])
    for one in found.values():
        one["sent"] = _added(one["states"][state] for state in SENT)
        if one["since"] and today is not None:
            one["age_days"] = max((today - datetime.date.fromisoformat(one["since"])).days, 0)
    some = [one for one in found.values() if one["sent"]["count"]]
    return sorted(some, key=lambda one: (-one["sent"]["sum"], one["participant"]))


def _nobody(code: str, names: Names) -> Receiver:
    known = names.get(code)
    none: Total = {"count": 0, "sum": 0}
    return {
        "participant": code,
        "short_name": known.short_name if known else "",
        "kind": known.kind if known else "",
        "sent": none,
        "states": dict.fromkeys(SENT, none),
        "awaited": none,
        "overdue": none,
        "since": "",
        "age_days": 0,
    }


# --- what is beside the lines ---------------------------------------------------------------------


def _positions(home: Home, of_cycles: set[str], names: Names) -> list[Position]:
    sums: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    for cycle in sorted(of_cycles):
        for row in home.catalog.positions(cycle):
            both = sums[row.settled_by]
            both[0] += row.debit_sum
            both[1] += row.credit_sum
    balances = home.catalog.balances()
    told: list[Position] = []
    for code, (debit, credit) in sums.items():
        known = names.get(code)
        told.append(
            {
                "participant": code,
                "short_name": known.short_name if known else "",
                "debit_sum": debit,
                "credit_sum": credit,
                "net": credit - debit,
                "cap": known.net_debit_cap if known else None,
                "balance": balances.get(settlement(known.kind, code), 0) if known else None,
            }
        )
    return sorted(told, key=lambda one: (one["net"], one["participant"]))


def _breaks(home: Home, rows: list[BatchRow] | None) -> list[BreakTotal]:
    """Open breaks by class and severity, the worst first. rows: of the batches whose they are; None
    for all."""
    names = batch_names(home)
    known = None if rows is None else {names[row["seq"]] for row in rows}
    found: dict[tuple[str, str], BreakTotal] = {}
    for one in breaks(home).table.to_pylist():
        if known is not None and one["batch_id"] not in known:
            continue
        both = found.setdefault(
            (one["class"], one["severity"]),
            {
                "name": one["class"],
                "severity": one["severity"],
                "count": 0,
                "value": 0,
                "accepted": 0,
                "oldest": 0,
            },
        )
        both["count"] += 1
        both["value"] += one["value"] or 0
        both["accepted"] += bool(one["accepted"])
        both["oldest"] = max(both["oldest"], one["days"] or 0)
    return list(found.values())


def _provinces(
    home: Home, rows: list[BatchRow], table: TableLike | None
) -> list[dict[str, Any]] | None:
    if table is None:
        return None
    if len(rows) != 1:
        raise UsageError("provinces are those of one batch: name it, --batch")
    name = f"{rows[0]['source']}:{rows[0]['batch_id']}"
    return added_up.totals(home, table, by="province", batch=name).rows()


def _proof(home: Home, rows: list[BatchRow], checks: list[Check] | None) -> Proof:
    heads = home.catalog.heads()
    return {
        "digests": [(row["batch_id"], home.catalog.batch(row["seq"]).digest) for row in rows],
        "audit": (heads.seq, heads.link),
        "events": (heads.events, heads.events_link),
        "register": home.catalog.register_seq(),
        "checks": checks,
    }
