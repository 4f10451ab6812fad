"""Commits: answers taken in, money disposed of, days ended; each with its copies and warnings."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from switch.home import days
from switch.home.batch import batch_row
from switch.home.copies import export_day, export_recalls, export_requests
from switch.home.days import SaidTime
from switch.home.store import Home
from switch.reconcile import Rules, day_end, dispositions, read_rules, recalls, take_in
from switch.reconcile.take_in import AnswerFiles
from switch.registry.directory import Directory
from switch.registry.settings import Settings
from switch.results import DaySigned, Disposed, Recalled, TakenIn


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
