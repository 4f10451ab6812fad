"""Cut-offs: the days of a calendar with the cycles that close on them, as far as one asks."""

from __future__ import annotations

import datetime
from typing import Any

import msgspec
import pyarrow as pa

from switch.errors import UsageError
from switch.home.days import times
from switch.home.store import Home
from switch.home.times import day_of, local_text
from switch.open_items.listing import Choice, Listing, listing
from switch.registry.settings import Settings
from switch.settlement.calendar import Calendar, Slot

DAYS_MAX = 366
CUT_OFF = pa.schema(
    [
        ("day", pa.date32()),
        ("weekday", pa.string()),
        ("business_day", pa.bool_()),
        ("cycle", pa.string()),
        ("closes", pa.string()),
        ("state", pa.string()),
    ]
)
"""A day, or one of its cycles. cycle, closes: null on a day off. state: of a cycle that was opened;
null of one that is yet to come."""
_WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


def cut_offs(home: Home, *, at: str = "", days: int = 14) -> Listing:
    """Days from a time on, with their cycles (`Watch.cut_offs`). Raises UsageError without a
    calendar, InputRefused for a year of which it knows no holidays."""
    settings = Settings.stored(msgspec.json.decode(home.catalog.meta("settings")))
    if settings.cutoffs is msgspec.UNSET or not settings.cutoffs:
        raise UsageError("this home has no calendar: a batch settles when it is run")
    if type(days) is not int or not 1 <= days <= DAYS_MAX:
        raise UsageError(f"days {days!r} is no whole number from 1 to {DAYS_MAX}")
    time = at or times(home).now
    if not time:
        raise UsageError("this home has no day yet: say as of which one")
    calendar, known = Calendar(settings), {row.cycle: row for row in home.catalog.cycles()}
    opened = [Slot(row.cycle, row.closes) for row in known.values()]
    rows: list[dict[str, Any]] = []
    for number in range(days):
        day = day_of(time) + datetime.timedelta(days=number)
        slots = calendar.slots(day, opened)
        head = {"day": day, "weekday": _WEEKDAYS[day.weekday()], "business_day": bool(slots)}
        for slot in slots:
            row = known.get(slot.cycle)
            state = row.state if row else None
            closes = local_text(slot.closes)
            rows.append({**head, "cycle": slot.cycle, "closes": closes, "state": state})
        if not slots:
            rows.append(head)
    table = pa.Table.from_pylist(rows, CUT_OFF)
    choice = Choice({}, {}, [("day", "ascending"), ("closes", "ascending")], None)
    return listing(home, "cut_offs", time, table, choice, "")
