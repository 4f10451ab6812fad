"""Drawing: pages, pictures and sheets of a home and of a rehearsal, as files for people."""

from __future__ import annotations

import datetime
import functools
import shlex
from pathlib import Path
from typing import Unpack

from switch import status
from switch.arguments import checked
from switch.errors import CopyFailed, UsageError
from switch.files.disk import landing, out_folder
from switch.home.store import Home
from switch.outcomes import HowReported, Report
from switch.proof.verify import verify
from switch.report import sheet
from switch.report.facts import Kind, Scope, facts
from switch.report.page import page
from switch.report.payday_svg import payday_svg
from switch.report.positions_svg import curve_svg
from switch.results import Rehearsal
from switch.words import LANGUAGES, said


def report(home: Home, batch_id: str | None, **how: Unpack[HowReported]) -> Report:
    """Write the page of a report, and of a batch its picture, to the out folder
    (`Engine.report`)."""
    scope, table = _scope(home, batch_id, how), how.get("table")
    if scope.kind != "batch" and (how.get("csv") or table is not None):
        raise UsageError("a sheet of lines, and provinces, are those of one batch: name it")
    language = how.get("language", "en")
    if language not in LANGUAGES:
        raise UsageError(f"{language!r} is none of the languages: {', '.join(LANGUAGES)}")
    checks = list(verify(home.path)) if how.get("prove") else None
    told = facts(home, scope, name=home.path.name, table=table, checks=checks)
    html = page(told, _command(home, scope), language, functools.partial(said, language=language))
    folder = out_folder(home.path, how.get("out"))
    if scope.kind != "batch":
        name = "report" if scope.kind == "home" else f"report-{scope.kind}-{scope.name}"
        return Report(scope.kind, scope.name, _write(folder, f"{name}.html", html))
    summary = status.batch(home, scope.name)
    name = home.catalog.out_name(summary["batch_id"], summary["seq"])
    svg = payday_svg(summary)
    lines = None
    if how.get("csv"):
        lines = sheet.write_status(home, summary["seq"], folder, f"{name}/status.csv")
    return Report(
        scope.kind,
        summary["batch_id"],
        _write(folder, f"{name}/report.html", html),
        _write(folder, f"{name}/payday.svg", svg),
        lines,
        svg,
    )


def _scope(home: Home, batch_id: str | None, how: HowReported) -> Scope:
    """Subject of a report. Raises UsageError where more than one thing is named."""
    day = how.get("day", "")
    named: dict[Kind, str | None] = {
        "batch": batch_id,
        "cycle": how.get("cycle"),
        "day": day.isoformat() if isinstance(day, datetime.date) else day,
        "home": "whole" if how.get("whole") else "",
    }
    chosen = [(kind, name) for kind, name in named.items() if name]
    if len(chosen) > 1:
        words = ("whole" if kind == "home" else kind for kind, _ in chosen)
        raise UsageError(f"{' and '.join(words)} are two reports: name one of them")
    kind, name = chosen[0] if chosen else ("batch", status.last_batch(home))
    return Scope(kind, "" if kind == "home" else name or "")


def _command(home: Home, scope: Scope) -> str:
    """The command that makes the page."""
    words = {"batch": ["--batch", scope.name], "home": ["--whole"]}
    chosen = words.get(scope.kind, [f"--{scope.kind}", scope.name])
    return shlex.join(["switch", "report", home.path.name, *chosen])


@checked
def draw_rehearsal(told: Rehearsal, path: str | Path) -> Path:
    """Draw how positions move through a rehearsed day, as an SVG file. told: what `rehearse` gave.
    path: the file. Returns it. Raises UsageError for what is no rehearsal, EnvironmentFailed where
    the file cannot be written."""
    file = Path(path)
    try:
        svg = _curve(told)
    except (LookupError, TypeError, AttributeError, ValueError) as error:
        raise UsageError("told is no rehearsal: give what `rehearse` returned") from error
    return _write(file.parent, file.name, svg)


def _curve(told: Rehearsal) -> str:
    needs: dict[str, int] = {}
    caps: dict[str, int] = {}
    for cycle in told["cycles"]:
        for row in cycle["participants"]:
            needs[row["participant"]] = max(needs.get(row["participant"], 0), row["needs"])
            limits = [limit for limit in (row["cap"], row["holds"]) if limit is not None]
            caps |= {row["participant"]: min(limits)} if limits else {}
    return curve_svg(told["curve"], needs, told["names"], caps, told["injection"]["given"])


def _write(out: Path, name: str, text: str) -> Path:
    try:
        with landing(out, name) as file:
            file.write(text.encode("utf-8", "replace"))
    except CopyFailed as error:  # Of nothing that is committed.
        raise error.cause from error
    return out / name
