"""Drawing: pictures and sheets of a batch and of a rehearsal, as files for people."""

from __future__ import annotations

from pathlib import Path

from switch import status
from switch.arguments import checked
from switch.errors import CopyFailed, UsageError
from switch.files.disk import landing, out_folder
from switch.home.store import Home
from switch.outcomes import Report
from switch.report import sheet
from switch.report.payday_svg import payday_svg
from switch.report.positions_svg import curve_svg
from switch.results import Rehearsal


def report(
    home: Home, batch_id: str | None, out: str | Path | None = None, *, csv: bool = False
) -> Report:
    """Draw a batch, by default the last, in the out folder (`Engine.report`)."""
    summary = status.batch(home, batch_id or status.last_batch(home))
    folder = out_folder(home.path, out)
    name = home.catalog.out_name(summary["batch_id"], summary["seq"])
    svg = payday_svg(summary)
    picture = _write(folder, f"{name}/payday.svg", svg)
    lines = None
    if csv:
        lines = sheet.write_status(home, summary["seq"], folder, f"{name}/status.csv")
    return Report(summary["batch_id"], picture, lines, svg)


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


def _write(out: Path, name: str, svg: str) -> Path:
    try:
        with landing(out, name) as file:
            file.write(svg.encode("utf-8", "replace"))
    except CopyFailed as error:  # Of nothing that is committed.
        raise error.cause from error
    return out / name
