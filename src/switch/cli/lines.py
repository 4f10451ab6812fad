"""Commands about single lines: what waits is cancelled."""

from __future__ import annotations

from pathlib import Path

import click

from switch.cli.context import (
    Context,
    at_option,
    home_argument,
    parse_line,
    parse_time,
    shared,
    wait_option,
)
from switch.cli.voice import tell
from switch.cli.writing import writer
from switch.errors import counted

lines_argument = click.argument("lines", nargs=-1, required=True, metavar="LINE...")
by_option = click.option("--by", required=True, metavar="NAME", help="Who says so.")
why_option = click.option("--why", required=True, metavar="WORDS", help="The reason, for good.")


@click.command("cancel-line")
@home_argument
@lines_argument
@by_option
@why_option
@at_option
@wait_option
@shared
def cancel_line(
    context: Context, home: Path, lines: tuple[str, ...], by: str, why: str, at: str | None
) -> None:
    """Cancel lines that wait. No run pays them, and the entitlement is free for another line. LINE
    is ID:NUMBER; all are cancelled, or none."""
    chosen = [parse_line(text) for text in lines]
    with writer(context, home) as engine:
        answer = engine.cancel_lines(chosen, by=by, why=why, at=parse_time(at))
    shown = f"{counted(answer['count'], 'line')}, {answer['sum']:,} dong: cancelled"
    context.say(answer, lambda: tell(shown))


COMMANDS = (cancel_line,)
