"""Due: cycles of the calendar whose cut-off is over, each closed and brought to its end in turn."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from switch.errors import UsageError
from switch.files.disk import out_folder
from switch.home import days
from switch.home.copies import export_cycle, not_exported
from switch.home.days import SaidTime
from switch.home.store import Home
from switch.registry.directory import Directory
from switch.registry.settings import Settings
from switch.results import CycleAnswer, CycleFile
from switch.settlement import cycle as cycles
from switch.settlement.calendar import Calendar, Slot


@dataclass(frozen=True)
class Wanted:
    """Cycles that are to end: the one of a name, or all that are due. close_only: they take no more
    lines, and wait. abort: why the settlement of the named one is given up."""

    cycle: str | None = None
    close_only: bool = False
    abort: str | None = None


def settle(
    home: Home,
    directory: Directory,
    settings: Settings,
    wanted: Wanted,
    when: SaidTime,
    out: str | Path | None,
    warn: Callable[[str], None],
) -> list[CycleAnswer]:
    """Close and settle cycles, or give one up (`Engine.settle`). Returns their answers, oldest
    first; copies of them and of all that ended unseen before are in the out folder then."""
    cycle, at = wanted.cycle, when.at or None
    days.require_why(when.why, when.at)
    rows = cycles.cycle_rows(home, cycle, at)
    cycles.require_calendar(home, settings, rows if cycle else None)
    if wanted.abort is not None:
        if cycle is None or wanted.close_only:
            raise UsageError("name the one cycle that is to be aborted, with --cycle alone")
        cycles.require_abortable(home, cycle, wanted.abort)
    folder = out_folder(home.path, out)
    slots = [Slot(row.cycle, row.closes) for row in rows]
    if cycle is not None and not slots:
        slots = [Calendar(settings).slot_named(cycle, cycles.slots_of(home)[1])]
    ended = {row.cycle for row in rows if row.answer}
    if at is not None and slots:
        for text in days.unusual(days.times(home), at):
            warn(text)
    answers: list[CycleFile] = []
    for slot in slots:
        time = when.at or slot.closes
        if slot.cycle not in ended:
            time = days.time_for(home, when.at, slot.closes, when.leap, when.why)
        answers.append(_end(home, directory, settings, wanted, slot, cycles.When(time, when.why)))
    settled = {answer["cycle"]: answer for answer in not_exported(home, folder)}
    for answer in (settled | {answer["cycle"]: answer for answer in answers}).values():
        export_cycle(home, answer, folder)
    return [cycles.told(answer) for answer in answers]


def _end(
    home: Home,
    directory: Directory,
    settings: Settings,
    wanted: Wanted,
    slot: Slot,
    when: cycles.When,
) -> CycleFile:
    """Close one cycle, and settle it or give it up as is wanted. Returns its answer."""
    answer = cycles.close(home, directory, *slot, when)
    if wanted.abort is not None and answer["state"] == "SETTLED":
        raise UsageError(f"cycle {slot.cycle} is settled, which is final")
    if answer["state"] != "CLOSED":
        return answer
    if wanted.abort is not None:
        return cycles.abort(home, directory, slot.cycle, wanted.abort, when)
    if wanted.close_only:
        return answer
    return cycles.settle(home, directory, settings, slot.cycle, when)
