"""Commits: answers taken in, money disposed of, days ended; each with its copies and warnings."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from switch.errors import counted
from switch.home import days
from switch.home.batch import batch_row
from switch.home.copies import export_day, export_expired, export_recalls, export_requests
from switch.home.days import SaidTime
from switch.home.history import folders
from switch.home.store import Home
from switch.home.times import day_of
from switch.reconcile import Rules, cash, day_end, dispositions, read_rules, recalls, take_in
from switch.reconcile.take_in import AnswerFiles
from switch.registry.directory import Directory
from switch.registry.settings import Settings
from switch.results import DaySigned, Disposed, Recalled, TakenIn
from switch.settlement import expire as leave
from switch.settlement import setup
from switch.settlement.expire import LinesExpired


def reconcile(
    home: Home,
    directory: Directory,
    settings: Settings,
    files: AnswerFiles,
    rules: Rules | str | Path | None,
    when: SaidTime,
    out: Path,
) -> TakenIn:
    """Take files of answers in (`Engine.reconcile`)."""
    answer = take_in.take_in(
        home,
        directory,
        settings,
        files,
        rules=read_rules(rules) if isinstance(rules, str | Path) else rules,
        at=when.at or None,
        far=when.leap,
        why=when.why,
    )
    export_requests(home, out)
    return answer


def recall(
    home: Home,
    directory: Directory,
    settings: Settings,
    lines: Sequence[tuple[str, int]],
    said: recalls.Said,
    when: SaidTime,
    out: Path,
    what_is: Callable[[Home, int, int], str],
) -> Recalled:
    """Recall lines, and write the lists of receivers (`Engine.recall`)."""
    answer = recalls.recall(home, directory, settings, lines, said, when, what_is)
    export_requests(home, out)
    export_recalls(home, out)
    return answer


def expire(
    home: Home, when: SaidTime, out: Path, what_is: Callable[[Home, int, int], str]
) -> LinesExpired:
    """Let lines that wait beyond their deadline leave the queue, and recall cash lines that nobody
    proved by theirs (`Engine.expire`)."""
    directory, settings = setup.chosen(home)
    answer = leave.expire(home, settings, when)
    day = day_of(answer["at"])
    late = cash.overdue(home, directory, settings, day)
    if late:
        days = int(settings.cash_days or 0)
        why = f"it was not proven within {counted(days, 'day')}"
        words = recalls.Said("NARR", "expire", why, days)
        recalls.recall(home, directory, settings, late, words, when, what_is)
    # All that is to be committed is, before the first copy: one that fails says so.
    export_expired(home, out)
    export_requests(home, out)
    export_recalls(home, out)
    asked = [f for f in folders(home) if f.detail.days and f.at == answer["at"]]
    if asked:
        last = asked[-1]
        sums = {"count": last.detail.count, "sum": int(last.detail.sum)}
        answer["cash"] = {"number": last.number, **sums}  # type: ignore[typeddict-item]
    return answer


def close_day(
    home: Home, directory: Directory, settings: Settings, when: SaidTime, out: Path
) -> DaySigned:
    """End a day and sign it (`Engine.close_day`)."""
    far = days.unusual(days.times(home), when.at)
    answer = day_end.close(home, directory, settings, at=when.at, far=when.leap, why=when.why)
    export_requests(home, out)
    export_day(home, out)
    return {**answer, "warnings": far}


def dispose(
    home: Home, step: str, lines: Sequence[tuple[str, int]] | None, when: SaidTime
) -> Disposed:
    """Write lines, (batch id, line number), back or free them; without any, all that wait."""
    chosen = None
    if lines is not None:
        chosen = [(batch_row(home, name).seq, line) for name, line in lines]
    far = days.unusual(days.times(home), when.at)
    answer = dispositions.dispose(
        home, step, chosen, at=when.at or None, far=when.leap, why=when.why
    )
    return {**answer, "warnings": far}
