"""Commands of the way back: answers come in, what came back is disposed of, days are closed."""

from __future__ import annotations

from pathlib import Path

import click

from switch.cli.context import (
    Context,
    correct_option,
    file_option,
    home_argument,
    leap_option,
    out_option,
    parse_line,
    parse_time,
    said_options,
    shared,
    strict_option,
    wait_option,
)
from switch.cli.voice import tell
from switch.errors import UsageError, counted
from switch.home.times import local_text


@click.command()
@home_argument
@click.argument("files", nargs=-1, metavar="[FILES]...", type=click.Path(path_type=Path))
@click.option(
    "--kind",
    type=click.Choice(["confirmations", "returns", "statement"]),
    help="Of all FILES; default: what their columns say.",
)
@file_option("--rules", text="Rules from now on; default: those given last.")
@out_option
@strict_option
@said_options
@wait_option
@shared
def reconcile(
    context: Context,
    home: Path,
    files: tuple[Path, ...],
    kind: str | None,
    rules: Path | None,
    out: Path | None,
    strict_columns: bool,
    leap: bool,
    correct: str | None,
    at: str | None,
) -> None:
    """Take answers of receivers and banks into HOME. Confirmations, returns and statements are
    held against its lines; without FILES breaks age."""
    from switch.engine import Engine
    from switch.reconcile import read_rules

    ruled = None if rules is None else read_rules(rules)
    with Engine(home, wait=context.wait) as engine:
        answer = engine.reconcile(
            *files,
            kind=kind,
            rules=ruled,
            at=parse_time(at),
            out=out,
            strict_columns=strict_columns,
            leap=leap,
            correct=correct,
        )
    context.warn(answer["warnings"])

    def show() -> None:
        new = _list(answer["new"]) or "no records"
        tell(
            f"answers {answer['number']} at {local_text(answer['at'])}: {new} are new"
            if answer["number"]
            else "nothing new"
        )
        for name, moved in answer["moved"].items():
            if moved["count"]:
                tell(f"  {counted(moved['count'], 'line')} {name}, {moved['sum']:,} dong")
        tell(f"  lines: {_list(answer['states'])}")
        tell(f"  open breaks: {_list(answer['breaks']) or 'none'}")

    context.say(answer, show)


@click.command()
@home_argument
@click.argument("lines", nargs=-1, metavar="[ID:NUMBER]...")
@click.option("--write-back", is_flag=True, help="To the budget, for good.")
@click.option("--reissue", is_flag=True, help="One more line may be paid for each.")
@said_options
@wait_option
@shared
def dispose(
    context: Context,
    home: Path,
    lines: tuple[str, ...],
    write_back: bool,
    reissue: bool,
    leap: bool,
    correct: str | None,
    at: str | None,
) -> None:
    """Say what becomes of returned lines. Their money is on T.RETURNS; default: all of them."""
    from switch.engine import Engine

    if write_back == reissue:
        raise UsageError("give one of --write-back and --reissue")
    chosen = [parse_line(text) for text in lines] or None
    with Engine(home, wait=context.wait) as engine:
        decide = engine.reissue if reissue else engine.write_back
        answer = decide(chosen, at=parse_time(at), leap=leap, correct=correct)
    context.warn(answer["warnings"])
    what = "free for a re-issue" if reissue else "written back"
    context.say(
        answer,
        lambda: tell(f"{counted(answer['count'], 'line')}, {answer['sum']:,} dong: {what}"),
    )


@click.command()
@home_argument
@click.option("--at", required=True, metavar="DATE", help="The day, or a time of it (ISO 8601).")
@out_option
@leap_option
@wait_option
@correct_option
@shared
def close(
    context: Context,
    home: Path,
    at: str,
    out: Path | None,
    leap: bool,
    correct: str | None,
) -> None:
    """End a day of HOME. Breaks age, receivers get statements, totals have to tie, and batches
    that are done with are closed."""
    from switch.engine import Engine

    with Engine(home, wait=context.wait) as engine:
        answer = engine.close_day(parse_time(at) or "", out=out, leap=leap, correct=correct)
    context.warn(answer["warnings"])

    def show() -> None:
        tell(f"day {answer['as_of']} is signed: answers {answer['number']}")
        tell(f"  lines: {_list(answer['states'])}")
        tell(f"  open breaks: {_list(answer['breaks']) or 'none'}")
        tell(f"  critical and not accepted: {answer['critical']:,}")
        tell(f"  dong: {_list(answer['totals'])}")
        if answer["closed"]:
            tell(f"  batches closed: {', '.join(map(str, answer['closed']))}")

    context.say(answer, show)


def _list(counts: dict[str, int]) -> str:
    return ", ".join(f"{count:,} {name}" for name, count in sorted(counts.items()) if count)


COMMANDS = (reconcile, dispose, close)
