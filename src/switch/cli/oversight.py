"""Commands that show what is beside the lines: positions, the audit chain, the calendar, and a
search; and the one that changes a participant."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from switch.cli.context import (
    Context,
    at_option,
    correct_option,
    home_argument,
    parse_found,
    parse_time,
    shared,
    wait_option,
)
from switch.cli.open_items import export_option, limit_option, say_listing, several_option
from switch.cli.voice import tell
from switch.cli.watch import clock_option, time_of
from switch.cli.writing import writer
from switch.errors import UsageError, counted

if TYPE_CHECKING:
    from switch.finding import Found
    from switch.settlement.participants import ParticipantChanged, ParticipantSaid


@click.command()
@home_argument
@several_option("cycle", "NAME", "Such as 20261125-1.")
@several_option("participant", "CODE", "A settlement participant.")
@several_option("state", "WORD", "OPEN, CLOSED, SETTLED or ABORTED.")
@limit_option
@export_option
@shared
def positions(context: Context, home: Path, out: Path | None, **asked: Any) -> None:
    """List positions: what each participant pays and receives in a cycle, its cap and its room."""
    from switch.cli.grid import Shown
    from switch.engine import Engine

    with Engine(home, mode="r") as engine:
        found = engine.watch.positions(**{n: _words(v) for n, v in asked.items()})
    columns = (
        Shown("cycle", "cycle"),
        Shown("state", "state", 4),
        Shown("participant", "participant"),
        Shown("name", "short_name", 3, False),
        Shown("pays", "debit_sum", 2),
        Shown("receives", "credit_sum", 2),
        Shown("net", "net"),
        Shown("cap", "cap", 5),
        Shown("room", "room", 1),
        Shown("account", "balance", 6),
    )
    say_listing(context, found, "Positions", columns, out)


@click.command()
@home_argument
@several_option("kind", "WORD", "Such as batch, settlement or control.")
@several_option("by", "NAME", "Who said so.")
@click.option("--since", metavar="DAY", help="From this day on.")
@click.option("--until", metavar="DAY", help="To this day, which is in it.")
@limit_option
@export_option
@shared
def audit(
    context: Context,
    home: Path,
    since: str | None,
    until: str | None,
    out: Path | None,
    **asked: Any,
) -> None:
    """List the audit chain: what was committed, when, by whom, why, and its link."""
    from switch.cli.grid import Shown
    from switch.engine import Engine

    asked |= {"since": parse_time(since) or "", "until": parse_time(until) or ""}
    with Engine(home, mode="r") as engine:
        found = engine.watch.records(**{n: _words(v) for n, v in asked.items()})
    columns = (
        Shown("record", "record"),
        Shown("at", "at"),
        Shown("kind", "kind", verbatim=True),
        Shown("of", "subject", 0, False, verbatim=True),
        Shown("by", "by", 1, False, verbatim=True),
        Shown("why", "why", 2, False, verbatim=True),
        Shown("link", "link", 3, False),
    )
    say_listing(context, found, "Audit chain, the newest first", columns, out)


@click.command()
@home_argument
@click.option("--days", type=click.IntRange(1, 366), default=14, show_default=True, metavar="N")
@clock_option
@export_option
@shared
def calendar(context: Context, home: Path, days: int, at: str | None, out: Path | None) -> None:
    """List the days to come, and the cycles that close on them."""
    from switch.cli.grid import Shown
    from switch.engine import Engine

    with Engine(home, mode="r") as engine:
        found = engine.watch.cut_offs(time_of(at), days=days)
    columns = (
        Shown("day", "day"),
        Shown("weekday", "weekday"),
        Shown("cycle", "cycle"),
        Shown("closes", "closes"),
        Shown("state", "state"),
    )
    say_listing(context, found, f"Calendar from {found.as_of[:10]}", columns, out)


@click.command()
@home_argument
@click.argument("text")
@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True, metavar="N")
@several_option("source", "AGENCY", "In batches of this agency alone.")
@shared
def find(context: Context, home: Path, text: str, limit: int, source: tuple[str, ...]) -> None:
    """Find lines and batches. TEXT is "BATCH LINE", a transfer id, a citizen id or four of its
    digits or more, or a piece of a batch's name; - reads it from stdin."""
    from switch.engine import Engine

    with Engine(home, mode="r") as engine:
        found = engine.watch.find(parse_found(text), limit=limit, sources=list(source) or None)
    context.say(found, lambda: _show_found(context, found))


def _show_found(context: Context, found: Found) -> None:
    from switch.cli.grid import Shown, grid_of

    if found["lines"]:
        columns = (
            Shown("batch", "batch_id"),
            Shown("line", "line_no"),
            Shown("dong", "amount"),
            Shown("status", "status"),
            Shown("reason", "reason"),
            Shown("person", "person"),
        )
        context.console().print(grid_of("Lines", columns, [{**row} for row in found["lines"]]))
    if found["batches"]:
        heads = (
            Shown("batch", "batch_id"),
            Shown("source", "source"),
            Shown("value date", "value_date"),
            Shown("state", "state"),
        )
        context.console().print(grid_of("Batches", heads, [{**row} for row in found["batches"]]))
    counts = [
        counted(len(found["lines"]), "line"),
        counted(len(found["batches"]), "batch", "batches"),
    ]
    tell(", ".join(counts))
    if found["more"]:
        tell("there are more: give more digits or a higher --limit")


@click.command()
@home_argument
@click.argument("code")
@click.option("--suspend", "status", flag_value="suspended", help="It receives nothing new.")
@click.option("--enable", "status", flag_value="active", help="It receives again.")
@click.option("--cap", metavar="DONG", help="The most that it may owe in a cycle, or none.")
@click.option(
    "--balance", type=click.IntRange(0), metavar="DONG", help="What its account holds; it binds."
)
@click.option("--by", required=True, metavar="NAME", help="Who says so.")
@click.option("--why", required=True, metavar="WORDS", help="The reason, for good.")
@at_option
@wait_option
@correct_option
@shared
def participant(
    context: Context,
    home: Path,
    code: str,
    status: str | None,
    cap: str | None,
    at: str | None,
    **given: Any,
) -> None:
    """Suspend or enable a participant, cap it, or say what its settlement account holds."""
    from switch.settlement.participants import NO_CAP

    said: ParticipantSaid = {"status": status, "at": parse_time(at), **given}  # type: ignore[typeddict-item]
    if cap is not None:
        if cap != "none" and not (cap.isascii() and cap.isdigit()):
            raise UsageError(f"--cap {cap!r} is no amount of dong: say digits, or none")
        said["cap"] = NO_CAP if cap == "none" else int(cap)
    warnings: list[str] = []
    said["warn"] = warnings.append
    with writer(context, home) as engine:
        changed = engine.control.participant(code, **said)
    context.warn(warnings)
    context.say(changed, lambda: _show_changed(changed))


def _show_changed(changed: ParticipantChanged) -> None:
    one = changed["participant"]
    cap = "no cap" if one.net_debit_cap is None else f"cap {one.net_debit_cap:,} dong"
    told = f"{one.participant}: {one.status}, {cap}"
    if changed["balance"] is not None:
        told += f", account {changed['balance']:,} dong"
    tell(told if changed["new"] else f"{told} already: nothing is new")


def _words(asked: Any) -> Any:
    """Words of an option that may be given more than once, None where it is not."""
    return (list(asked) or None) if isinstance(asked, tuple) else asked


COMMANDS = (positions, audit, calendar, find, participant)
"""Commands of this module."""
