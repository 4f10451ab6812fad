"""Commands about single lines: what waits is cancelled or expires, what was sent is recalled."""

from __future__ import annotations

from pathlib import Path

import click

from switch.cli.context import (
    Context,
    at_option,
    correct_option,
    home_argument,
    leap_option,
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
@click.option("--at", required=True, metavar="TIME", help="The day that it is (ISO 8601).")
@out_option
@leap_option
@correct_option
@wait_option
@shared
def expire(
    context: Context,
    home: Path,
    at: str,
    out: Path | None,
    leap: bool,
    correct: str | None,
) -> None:
    """Let lines that waited beyond their deadline leave the queue. No run pays them then, and the
    entitlement is free for another line. A list of them is written."""
    with writer(context, home) as engine:
        answer = engine.expire(parse_time(at) or "", out=out, leap=leap, correct=correct)
    context.warn(answer.get("warnings", []))

    def show() -> None:
        tell(f"{counted(answer['count'], 'line')}, {answer['sum']:,} dong: beyond the deadline")
        for benefit, total in answer["programmes"].items():
            tell(f"  {benefit}: {counted(total['count'], 'line')}, {total['sum']:,} dong")
        if answer["file"]:
            tell(f"list: {(out or home / 'out') / answer['file']}")
        if asked := answer.get("cash"):
            told = f"{counted(asked['count'], 'cash line')}, {asked['sum']:,} dong: not proven"
            tell(f"{told}, asked back by recall {asked['number']}")

    context.say(answer, show)


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


@click.command()
@home_argument
@click.option("--batch", metavar="ID", help="Its run; default: the last batch.")
@out_option
@shared
def cash(context: Context, home: Path, batch: str | None, out: Path | None) -> None:
    """Write the lists of pay points. Each has the lines that are to be paid over its counter; the
    totals say what was sent, is paid, came back or waits."""
    from switch.engine import Engine

    with Engine(home, mode="r") as engine:
        answer = engine.cash(batch, out=out)

    def show() -> None:
        from switch.cli.grid import Shown, grid_of

        words = ("sent", "to_pay", "paid", "back", "waits")
        rows = [
            {"participant": one["participant"], "point": one["point"]}
            | {word: one[word]["count"] for word in words}  # type: ignore[literal-required]
            | {"sum": one["to_pay"]["sum"]}
            for one in answer["points"]
        ]
        columns = (
            Shown("payer", "participant"),
            Shown("pay point", "point"),
            Shown("sent", "sent"),
            Shown("to pay", "to_pay"),
            Shown("dong", "sum"),
            Shown("paid", "paid"),
            Shown("back", "back"),
            Shown("waits", "waits"),
        )
        if rows:
            title = f"Cash lists of {answer['batch_id']}, as of {answer['as_of']}"
            context.console().print(grid_of(title, columns, rows))
        left = answer["to_pay"]
        tell(f"{counted(left['count'], 'line')}, {left['sum']:,} dong: to pay")
        if answer["until"]:
            tell(f"to be proven by {answer['until']}")
        tell(f"totals: {(out or home / 'out') / answer['file']}")

    context.say(answer, show)


COMMANDS = (cancel_line, cash, expire, recall)
