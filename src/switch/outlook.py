"""Outlook: all that a home has open, how old it is, and what to do next.

Nothing is looked up in a clock: a home's day is that of its time (`home/days`).
"""

from __future__ import annotations

import datetime
import shlex
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from html import escape
from typing import Any, NotRequired, TypedDict

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from switch import status
from switch.errors import counted
from switch.home import days, paid_bits
from switch.home.catalog import PENDING
from switch.home.history import moved_lines, open_breaks
from switch.home.store import Home
from switch.home.times import day_of, local_text
from switch.present import Present
from switch.reconcile import cash
from switch.reconcile.asked import OPEN, standing
from switch.registry.load_registers import rows_of_pairs
from switch.results import BatchRow, ProgrammeBudget, Total
from switch.settlement import queue, setup
from switch.settlement.accounts import REISSUE
from switch.settlement.fee_standing import in_cycles


class OpenLines(TypedDict):
    """Lines that are open, since the value date of the oldest of their batches ('': none is)."""

    count: int
    sum: int
    since: str
    age_days: int
    """Days from then to the day of the home."""


class Unanswered(OpenLines):
    """Settled lines whose receiver has not said that it credited them."""

    overdue: Total
    """Those among them that are beyond the deadline."""


class OpenReturns(OpenLines):
    """Returned lines without a disposition, since the answers by which the first came back."""

    coming: Total
    """Lines that come back with a cycle that has not settled; they are in no other total here."""


class Deadlines(TypedDict):
    """Lines that wait and may not for ever, where some are near their deadline or beyond it."""

    past: Total
    """Beyond it: a run may pay them until `expire` takes them out."""
    near: Total
    """They reach it within WARNING_DAYS."""
    next: str
    """The first deadline that is yet to come; '' where all are over."""


class OpenCash(TypedDict):
    """Lines that pay points are to pay over their counters, where there are any."""

    count: int
    sum: int
    past: Total
    """Beyond their deadline: `expire` asks them back."""
    near: Total
    """They reach it within WARNING_DAYS."""
    next: str
    """The first deadline that is yet to come; '' where there is none."""


class OpenCycle(TypedDict):
    """A cycle of the calendar that has not come to its end, and its cleared lines."""

    count: int
    sum: int
    cycle: str
    state: str
    """OPEN or CLOSED."""
    closes: str
    """Its cut-off."""
    returns: Total
    """Lines that come back with it."""
    fees: Total
    """Payments of fees, and refunds, that stand in it."""


class OpenBreaks(TypedDict):
    """Breaks that are open."""

    count: int
    value: int
    """Dong at stake."""
    severities: dict[str, int]
    since: str
    age_days: int


class OpenDays(TypedDict):
    """Days that were recorded behind the last one that was closed."""

    closed: str
    """The last day that was closed; '' where none was."""
    open: list[str]


class OpenItems(TypedDict):
    """All that a home has open."""

    cash: NotRequired[OpenCash]
    recalls: NotRequired[OpenLines]
    """Recalled lines whose receivers have not answered, where there are any; since: the first was
    recalled."""

    deadlines: NotRequired[Deadlines]
    held: OpenLines
    cycles: list[OpenCycle]
    unanswered: Unanswered
    breaks: OpenBreaks
    returned: OpenReturns
    reissued: OpenLines
    """Lines that were freed for a re-issue, since then, and that no line has paid again."""
    days: OpenDays


class NextStep(TypedDict):
    """A step that is due, and its command; words in capitals stand for what only its user knows."""

    why: str
    command: str


@dataclass(frozen=True, repr=False)
class HomeStatus:
    """A home as it stands: its batches, its budgets, what is open, and what to do next."""

    home: str
    at: str
    """The time of the home; '' where it has no batch."""
    batches: list[BatchRow]
    budgets: list[ProgrammeBudget]
    open: OpenItems
    next: list[NextStep]
    """Steps in the order in which they are due, each with its command; empty where none is."""

    def to_dict(self) -> dict[str, Any]:
        """The document that `switch status --json` prints."""
        return asdict(self)

    def __repr__(self) -> str:
        todo = self.next[0]["why"] if self.next else "nothing is open"
        return f"<HomeStatus of {self.home}: {len(self.batches)} batches; {todo}>"

    def _repr_html_(self) -> str:
        """A table of the batches, and the steps that come next, for a notebook."""
        names = list(self.batches[0]["now"]) if self.batches else []
        heads = "".join(f"<th>{escape(n)}</th>" for n in ("batch", "state", "received", *names))
        rows = []
        for row in self.batches:
            totals: list[Total] = [row["received"], *row["now"].values()]  # type: ignore[list-item]
            cells = [escape(row["batch_id"]), escape(row["state"])]
            cells += [f"{total['count']:,}" for total in totals]
            rows.append("".join(f"<td>{cell}</td>" for cell in cells))
        steps = "".join(
            f"<li>{escape(step['why'])}<br><code>{escape(step['command'])}</code></li>"
            for step in self.next
        )
        body = "".join(f"<tr>{row}</tr>" for row in rows)
        return f"<table><tr>{heads}</tr>{body}</table><ol>{steps}</ol>"


def home_status(home: Home, name: str = "", present: Present | None = None) -> HomeStatus:
    """The status of an open home. name: of the home in commands; default: its whole path. present:
    of the home, where it is known."""
    name = name or str(home.path)
    here = present or Present(home)
    rows = status.batches(home, here)
    known = days.times(home)
    items = _open_items(home, here, rows, known)
    return HomeStatus(
        home=name,
        at=known.now,
        batches=rows,
        budgets=status.budgets(home),
        open=items,
        next=_steps(home, name, rows, items, known),
    )


# --- what is open --------------------------------------------------------------------------------


def _open_items(home: Home, here: Present, rows: list[BatchRow], known: days.Times) -> OpenItems:
    today = day_of(known.now) if known.now else None
    items: OpenItems = {
        "held": _lines(rows, ("held",), today),
        "cycles": open_cycles(home, here),
        "unanswered": _unanswered(rows, today),
        "breaks": _breaks(home, here),
        "returned": _returned(here, today),
        "reissued": _reissued(home, here, today),
        "days": _days(known),
    }
    lines = standing(home, here.known)
    asked = lines.filter(pc.equal(lines["state"], OPEN))
    if len(asked):
        since = str(min(map(day_of, asked["at"].to_pylist())))
        sum_ = sum(asked["amount"].to_pylist())
        ages: OpenLines = {
            "count": len(asked),
            "sum": sum_,
            "since": since,
            "age_days": _age(since, today),
        }
        items["recalls"] = ages
    if today and (near := deadlines(home, known, today)):
        items["deadlines"] = near
    if today and (over := open_cash(home, today)):
        items["cash"] = over
    return items


def open_cash(home: Home, today: datetime.date) -> OpenCash | None:
    """Lines that are to be paid over a counter on a day; None where there are none."""
    directory, settings = setup.chosen(home)
    found = cash.left(home, directory, today)
    if not len(found.amounts):
        return None
    days = settings.cash_days or 0
    over = (today - queue.EPOCH).days - found.days.astype(int) - days
    """Days since the deadline of each."""
    past, near = (days > 0) & (over > 0), (days > 0) & (over <= 0) & (over >= -queue.WARNING_DAYS)

    def total(which: NDArray[np.bool_]) -> Total:
        amounts = found.amounts[which].tolist()
        return {"count": len(amounts), "sum": sum(amounts)}

    first = today + datetime.timedelta(days=int(-over[over <= 0].max())) if near.any() else ""
    whole = total(np.ones(len(over), bool))
    return {**whole, "past": total(past), "near": total(near), "next": str(first)}


def deadlines(home: Home, known: days.Times, today: datetime.date) -> Deadlines | None:
    """Lines that wait and are near their deadline on a day, or beyond it; None where none is."""
    _, settings = setup.chosen(home)
    if not settings.has_deadlines:
        return None
    lines = queue.waiting(home)
    began, _ = queue.since(home, known, lines)
    deadline = queue.deadlines(settings, lines["benefit"], began)
    last = pa.scalar(today + datetime.timedelta(days=queue.WARNING_DAYS), pa.date32())
    near = pc.less_equal(deadline, last).fill_null(False)
    lines, deadline = lines.filter(near), deadline.filter(near)
    past = pc.less(deadline, pa.scalar(today, pa.date32()))

    def total(which: pa.Array) -> Total:
        amounts = lines["amount"].filter(which).to_pylist()
        return {"count": len(amounts), "sum": sum(amounts)}

    if not len(lines):
        return None
    to_come = pc.invert(past)
    first = pc.min(deadline.filter(to_come)).as_py()
    return {"past": total(past), "near": total(to_come), "next": str(first or "")}


def _lines(rows: list[BatchRow], states: Iterable[str], today: datetime.date | None) -> OpenLines:
    """Lines in some states, and the value date of the oldest batch that has any."""
    count = sum_ = 0
    since = ""
    for row in rows:
        for state, total in row["now"].items():
            here: Total = total  # type: ignore[assignment]
            if state in states and here["count"]:
                count, sum_ = count + here["count"], sum_ + here["sum"]
                since = min(since or row["value_date"], row["value_date"])
    return {"count": count, "sum": sum_, "since": since, "age_days": _age(since, today)}


def _age(since: str, today: datetime.date | None) -> int:
    """Days from a day to today; 0 where there is none, or it is yet to come."""
    return max(0, (today - day_of(since)).days) if since and today else 0


def _unanswered(rows: list[BatchRow], today: datetime.date | None) -> Unanswered:
    late = _lines(rows, ("unapplied",), today)
    overdue: Total = {"count": late["count"], "sum": late["sum"]}
    return {**_lines(rows, ("settled", "unapplied"), today), "overdue": overdue}


def open_cycles(home: Home, here: Present | None = None) -> list[OpenCycle]:
    """Cycles of the calendar that have not come to their end, by their cut-off, with the lines that
    are to settle and come back with them."""
    present = here or Present(home)
    rows = sorted(home.catalog.cycles(*PENDING), key=lambda row: row.closes)
    found: list[OpenCycle] = []
    fees = in_cycles(home)
    for row in rows:
        count, sum_ = present.coming[row.cycle]
        found.append(
            {
                "cycle": row.cycle,
                "state": row.state,
                "closes": row.closes,
                **present.in_cycle(row.cycle),
                "returns": {"count": count, "sum": sum_},
                "fees": fees.get(row.cycle, {"count": 0, "sum": 0}),
            }
        )
    return found


def lines_in(cycle: OpenCycle) -> str:
    """Lines of a cycle in words: those that settle with it, those that come back, and fees."""
    parts = (
        (cycle, "line"),
        (cycle["returns"], "returned line"),
        (cycle["fees"], "payment of a fee", "payments of fees"),
    )
    is_empty = not (cycle["returns"]["count"] or cycle["fees"]["count"])
    told = [
        f"{counted(part['count'], *nouns)} of {part['sum']:,} dong"
        for part, *nouns in parts
        if part["count"] or (part is cycle and is_empty)
    ]
    return ", ".join(told)


def _breaks(home: Home, here: Present) -> OpenBreaks:
    table = open_breaks(home, here.known)
    first = pc.min(table["day"]).as_py()
    severities: dict[str, int] = {}
    for one in table["severity"].value_counts().to_pylist():
        severities[one["values"]] = one["counts"]
    return {
        "count": len(table),
        "value": pc.sum(table["value"]).as_py() or 0,
        "severities": dict(sorted(severities.items())),
        "since": str(first or ""),
        "age_days": _age(str(first or ""), here.today),
    }


def _returned(here: Present, today: datetime.date | None) -> OpenReturns:
    count = sum(count for count, _ in here.returned.values())
    sum_ = sum(amount for _, amount in here.returned.values())
    coming = here.coming.values()
    on_its_way: Total = {"count": sum(c for c, _ in coming), "sum": sum(a for _, a in coming)}
    return {
        "count": count - on_its_way["count"],
        "sum": sum_ - on_its_way["sum"],
        "since": here.returned_since,
        "age_days": _age(here.returned_since, today),
        "coming": on_its_way,
    }


def _reissued(home: Home, here: Present, today: datetime.date | None) -> OpenLines:
    """Lines whose entitlement was freed, and is free still: its paid bit says so."""
    freed: dict[tuple[str, int], dict[int, tuple[int, str]]] = {}
    for folder in here.known:
        if folder.detail.step == REISSUE:
            day = str(day_of(folder.at))
            for line in moved_lines(home, folder, "disposed").to_pylist():
                mine = freed.setdefault((line["benefit"], line["period"]), {})
                mine[line["row"]] = line["amount"], day
    files = home.paid_files("cleared") if freed else {}
    left = []
    # The line that pays again may be of the id that the person has now.
    now = dict(zip(*(rows.tolist() for rows in rows_of_pairs(home)), strict=True)) if freed else {}
    for key, lines in freed.items():
        words = paid_bits.read(*files[key]) if key in files else ()
        left += [
            line
            for row, line in lines.items()
            if not any(paid_bits.is_set(words, one) for one in {row, now.get(row, row)})
        ]
    since = min((day for _, day in left), default="")
    sum_ = sum(amount for amount, _ in left)
    return {"count": len(left), "sum": sum_, "since": since, "age_days": _age(since, today)}


def _days(known: days.Times) -> OpenDays:
    closed = str(day_of(known.closed)) if known.closed else ""
    return {"closed": closed, "open": [str(d) for d in sorted(known.days) if str(d) > closed]}


# --- what to do next -----------------------------------------------------------------------------


def _steps(
    home: Home, name: str, rows: list[BatchRow], items: OpenItems, known: days.Times
) -> list[NextStep]:
    place = shlex.quote(name)
    found: list[NextStep] = []

    def step(why: str, command: str) -> None:
        found.append({"why": why, "command": f"switch {command}"})

    if not home.catalog.register_seq():
        step("no register is loaded", f"register {place} --population FILE --accounts FILE")
    elif not rows:
        step("no table was run yet", f"run {place} TABLE")
    day = f" --at {day_of(known.now)}" if known.now else ""
    for cycle in items["cycles"]:
        closes = local_text(cycle["closes"])
        state = f"is open until {closes}" if cycle["state"] == "OPEN" else "waits for settlement"
        what = f"cycle {cycle['cycle']} {state}: {lines_in(cycle)}"
        step(what, f"settle {place} --cycle {cycle['cycle']}")
    waits = items["unanswered"]
    if waits["count"]:
        late = waits["overdue"]["count"]
        told = f", {late:,} of them beyond the deadline" if late else ""
        what = f"{counted(waits['count'], 'settled line')} without an answer{told}"
        step(what, f"reconcile {place} ANSWERS...{day}")
    if items["breaks"]["count"]:
        kinds = ", ".join(f"{n:,} {name}" for name, n in items["breaks"]["severities"].items())
        step(f"{counted(items['breaks']['count'], 'break')} open: {kinds}", f"breaks {place}")
    if "recalls" in items:
        what = f"{counted(items['recalls']['count'], 'recall')} without an answer"
        step(what, f"recalls {place} --state OPEN")
    if items["returned"]["count"]:
        back = counted(items["returned"]["count"], "returned line")
        step(f"{back} without a disposition", f"dispose {place} --write-back{day}")
    if items["reissued"]["count"]:
        free = counted(items["reissued"]["count"], "line")
        step(f"{free} free for a re-issue, not paid again", f"run {place} TABLE")
    if items["days"]["open"]:
        first = items["days"]["open"][0]
        step(
            f"{counted(len(items['days']['open']), 'day')} not closed",
            f"close {place} --at {first}",
        )
    for due, what, past, near, first, shown in (
        (items.get("deadlines"), "line", "held beyond", "held until a deadline", "is", "held"),
        (items.get("cash"), "cash line", "not proven by", "to be proven", "by", "cash"),
    ):
        if due and due["past"]["count"]:
            over = counted(due["past"]["count"], what)
            step(f"{over} {past} the deadline", f"expire {place}{day}")
        if due and due["near"]["count"]:
            soon = f"{counted(due['near']['count'], what)} {near} within {queue.WARNING_DAYS} days"
            step(f"{soon}: the first {first} {due['next']}", f"{shown} {place}")
    if items["held"]["count"]:
        what = f"{counted(items['held']['count'], 'line')} held, tried again with the next run"
        step(what, f"held {place}")
    return found
