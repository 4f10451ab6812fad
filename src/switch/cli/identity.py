"""Commands of the population database: who is asked for, and what it answers."""

from __future__ import annotations

from pathlib import Path

import click

from switch.cli.context import (
    GIVEN_PATH,
    Context,
    at_option,
    correct_option,
    home_argument,
    parse_time,
    shared,
    wait_option,
)
from switch.cli.voice import tell, tell_next
from switch.cli.writing import writer


@click.command()
@home_argument
@click.argument("table", type=GIVEN_PATH)
@click.option("--out", type=GIVEN_PATH, required=True, metavar="FILE", help="The request.")
@click.option("--all", "everybody", is_flag=True, help="Also whose answer the register holds.")
@at_option
@shared
def identify(
    context: Context, home: Path, table: Path, out: Path, everybody: bool, at: str | None
) -> None:
    """Write a request to the population database: who stands in TABLE, or in lines that wait, and
    is not in the register, or late. Nothing is recorded."""
    from switch.engine import Engine

    with Engine(home, mode="r") as engine:
        asked = engine.identities.identify(table, out=out, everybody=everybody, at=parse_time(at))

    def show() -> None:
        tell(f"people of the table: {asked['named']:,}")
        tell(f"more of lines that wait: {asked['waiting']:,}")
        tell(f"asked for: {asked['asked']:,}")
        if asked["file"]:
            tell_next("identified", home, asked["file"], "ANSWER", files=[asked["file"]])

    context.say(asked, show)


@click.command()
@home_argument
@click.argument("request", type=GIVEN_PATH)
@click.argument("answer", type=GIVEN_PATH)
@at_option
@correct_option
@wait_option
@shared
def identified(
    context: Context,
    home: Path,
    request: Path,
    answer: Path,
    at: str | None,
    correct: str | None,
) -> None:
    """Take the ANSWER of the population database to a REQUEST: a change of the population register.
    Who is not answered for is late."""
    warnings: list[str] = []
    with writer(context, home) as engine:
        taken = engine.identities.identified(
            request, answer, at=parse_time(at) or "", warn=warnings.append, correct=correct
        )
    context.warn(warnings)

    def show() -> None:
        for word, count in taken["answers"].items():
            tell(f"{word:<14} {count:>12,}")
        if taken["overtaken"]:
            tell(f"the register was told otherwise since: {taken['overtaken']:,}")
        known = "nothing changes: it was taken before or was known"
        tell("taken into the population register" if taken["new"] else known)

    context.say(taken, show)


COMMANDS = (identify, identified)
