"""Commands about single lines: what waits is cancelled, what was sent is recalled."""

from __future__ import annotations

from pathlib import Path

import click

from switch.cli.context import (
    Context,
    at_option,
    home_argument,
    out_option,
    parse_line,
    parse_time,
    said_options,
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


@click.command()
@home_argument
@lines_argument
@click.option("--reason", required=True, metavar="CODE", help="ISO code, such as DUPL.")
@by_option
@why_option
@out_option
@said_options
@wait_option
@shared
def recall(
    context: Context,
    home: Path,
    lines: tuple[str, ...],
    reason: str,
    by: str,
    why: str,
    out: Path | None,
    leap: bool,
    correct: str | None,
    at: str | None,
) -> None:
    """Recall lines that were sent. One whose cycle has not settled leaves it; of one that has
    settled its receiver is asked. LINE is ID:NUMBER; all are recalled, or none."""
    from switch.engine import Engine

    chosen = [parse_line(text) for text in lines]
    with Engine(home, wait=context.wait) as engine:
        answer = engine.recall(
            chosen,
            reason=reason,
            by=by,
            why=why,
            at=parse_time(at),
            out=out,
            leap=leap,
            correct=correct,
        )
    context.warn(answer.get("warnings", []))

    def show() -> None:
        for what, total in (
            ("left their cycle", answer["stopped"]),
            ("are asked for", answer["asked"]),
        ):
            if total["count"]:
                tell(f"{counted(total['count'], 'line')}, {total['sum']:,} dong: {what}")
        folder = (out or home / "out") / "recalls" / f"{answer['number']:06d}"
        tell(f"lists of receivers: {folder}")

    context.say(answer, show)


COMMANDS = (cancel_line, recall)
