"""Commands that show where things stand: status, and reports."""

from __future__ import annotations

from pathlib import Path
from typing import TypedDict, Unpack

import click

from switch import words
from switch.cli.context import (
    GIVEN_PATH,
    Context,
    home_argument,
    out_option,
    parse_line,
    parse_person,
    shared,
)
from switch.cli.voice import tell
from switch.errors import UsageError


@click.command()
@home_argument
@click.option("--batch", "batch_id", metavar="ID", help="One batch, with its totals.")
@click.option("--line", metavar="ID:NUMBER", help="One line: batch id and line number.")
@click.option("--person", metavar="ID", help="All lines of one person; - reads the id.")
@shared
def status(
    context: Context, home: Path, batch_id: str | None, line: str | None, person: str | None
) -> None:
    """Show where batches, lines and people's payments stand."""
    from switch import status as ask
    from switch.cli.tables import print_lines
    from switch.home.store import Home

    if sum(choice is not None for choice in (batch_id, line, person)) > 1:
        raise UsageError("give one of --batch, --line, --person")
    with Home(home, writing=False) as opened:
        if batch_id is not None:
            summary = ask.batch(opened, batch_id, answered=True)

            def show_batch() -> None:
                from switch.cli.tables import print_batch, print_budgets

                now, answered = summary["now"], summary.get("answered")
                print_batch(context.console(), summary, now=now, answered=answered)
                print_budgets(context.console(), summary["funding"]["budgets"])

            context.say(summary, show_batch)
        elif line is not None:
            found = ask.line(opened, *parse_line(line))
            context.say(found, lambda: print_lines([found]))
        elif person is not None:
            whole = ask.person(opened, parse_person(person))
            context.say(whole, lambda: print_lines(whole["lines"]))
        else:
            from switch.outlook import home_status

            told = home_status(opened, str(home))

            def show_home() -> None:
                from switch.cli.tables import print_status

                print_status(context.console(), told)

            context.say(told.to_dict(), show_home)


class Asked(TypedDict):
    """Options of a report."""

    cycle: str
    day: str
    whole: bool
    table: Path | None
    prove: bool
    csv: bool


@click.command()
@home_argument
@click.option("--batch", "batch_id", metavar="ID", help="Default: the last one.")
@click.option("--cycle", default="", metavar="ID", help="All batches of a cycle together.")
@click.option("--day", default="", metavar="DATE", help="All batches of a value date together.")
@click.option("--whole", is_flag=True, help="All batches of the home together.")
@click.option("--table", type=GIVEN_PATH, metavar="TABLE", help="Of the batch, for its provinces.")
@click.option("--prove", is_flag=True, help="Recompute every invariant, and show the checks.")
@out_option
@click.option("--csv", is_flag=True, help="The status of every line as CSV, too.")
@shared
def report(
    context: Context, home: Path, batch_id: str | None, out: Path | None, **how: Unpack[Asked]
) -> None:
    """Write a page of where money and lines stand: DIR/ID/report.html, beside it the batch as a
    picture, payday.svg."""
    from switch.engine import Engine

    with Engine(home, mode="r") as engine:
        language = words.Chosen.language
        told = engine.report(batch_id, out=out or home / "out", language=language, **how).document()

    def show() -> None:
        for kind, path in list(told.items())[2:]:
            tell(f"{kind}: {path}")

    context.say(told, show)


COMMANDS = (status, report)
