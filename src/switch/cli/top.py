"""Command that shows a home in the terminal as it moves: alarms, lines, cycles, who is awaited."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from switch.cli.context import Context, home_argument, shared
from switch.cli.watch import limits_options, time_of, watched
from switch.errors import UsageError, plain

if TYPE_CHECKING:
    from rich.console import RenderableType

    from switch.engine import Engine
    from switch.watching import Watch

ALARMS, RECEIVERS = 8, 6
"""Rows at most; `switch alarms` and `switch awaited` have all."""
ENDED = ("SETTLED", "ABORTED")


@click.command()
@home_argument
@click.option(
    "--every",
    type=click.FloatRange(0.1, 3600),
    default=2,
    metavar="SECONDS",
    show_default=True,
    help="Between looks.",
)
@click.option("--times", type=click.IntRange(1), metavar="N", help="Looks; default: until Ctrl-C.")
@limits_options
@shared
def top(
    context: Context,
    home: Path,
    every: float,
    times: int | None,
    at: str | None,
    limits: Path | None,
    spool: Path | None,
) -> None:
    """Show a home in the terminal as it moves: what is wrong, how far lines are, what is next. It
    reads beside whoever writes."""
    from switch.engine import Engine

    if context.json:
        raise UsageError("--json says one thing at its end: `status` and `alarms` have documents")
    if times is None and not sys.stdout.isatty():
        raise UsageError("there is no terminal here: say --times")
    with Engine(home, mode="r") as engine, _shown(context) as show:
        seen, looks = watched(engine, home, limits, spool), 0
        while True:
            show(_view(engine, seen, time_of(at)))
            looks += 1
            if looks == times:
                return
            time.sleep(every)


@contextlib.contextmanager
def _shown(context: Context) -> Iterator[Any]:
    """A way to show a view: in place of the one before on a terminal, else behind it."""
    from rich.live import Live

    console = context.console()
    if not console.is_terminal:
        yield console.print
        return
    with Live(console=console, screen=True, auto_refresh=False) as live:
        yield lambda view: live.update(view, refresh=True)


def _view(engine: Engine, watch: Watch, at: str) -> RenderableType:
    """All that is shown of one look."""
    from rich.console import Group
    from rich.text import Text

    from switch.cli.grid import Shown, grid_of

    status = engine.status()
    alarms = watch.alarms(at)
    cycles = [row for row in engine.cycles().rows() if row["state"] not in ENDED]
    waited = watch.awaited(at=at).rows()
    heading = f"{Path(status.home).name}, {alarms.as_of or 'no day yet'}"
    heading += f": {alarms.total['count']:,} alarms"
    parts: list[RenderableType] = [Text(plain(heading), "bold")]
    grids = (
        ("Alarms", alarms.rows()[:ALARMS], (
            Shown("alarm", "alarm", 0, False),
            Shown("severity", "severity", 1),
            Shown("state", "state", 2),
            Shown("what", "what", 0, False),
            Shown("lines", "lines", 3),
        )),
        ("Lines", _lines(status.batches), (
            Shown("state", "state"),
            Shown("lines", "lines"),
            Shown("dong", "sum"),
        )),
        ("Cycles", cycles, (
            Shown("cycle", "cycle"),
            Shown("state", "state"),
            Shown("closes", "closes", 1),
            Shown("lines", "lines"),
            Shown("dong", "sum"),
            Shown("waits for", "waits", 2, False),
        )),
        ("Answers awaited", waited[:RECEIVERS], (
            Shown("receiver", "participant"),
            Shown("name", "short_name", 1, False),
            Shown("cycle", "cycle"),
            Shown("lines", "lines"),
            Shown("dong", "sum"),
            Shown("days", "days"),
        )),
    )  # fmt: skip
    parts += [grid_of(title, columns, rows) for title, rows, columns in grids if rows]
    steps = [str(row["next"]) for row in alarms.rows()] + [one["command"] for one in status.next]
    if steps:
        parts.append(Text(f"next: {plain(steps[0])}"))
    return Group(*parts)


def _lines(batches: Any) -> list[Mapping[str, object]]:
    """Lines of all batches by where they stand."""
    found: dict[str, list[int]] = {}
    for row in batches:
        for state, total in row["now"].items():
            both = found.setdefault(state, [0, 0])
            both[0] += total["count"]
            both[1] += total["sum"]
    return [
        {"state": state.replace("_", " "), "lines": both[0], "sum": both[1]}
        for state, both in found.items()
        if both[0]
    ]


COMMANDS = (top,)
"""Commands of this module."""
