"""Commands of the way back: answers come in, what came back is disposed of, days are closed."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

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
from switch.cli.voice import tell, tell_next
from switch.cli.writing import writer
from switch.errors import UsageError, counted
from switch.files.given import read_small
from switch.home.times import local_text

if TYPE_CHECKING:
    from switch.documents import ToDispose
    from switch.results import TakenIn

LINES_SHOWN = 20
"""Returned lines that are shown before somebody decides about them."""


@click.command()
@home_argument
@click.argument("files", nargs=-1, metavar="[FILES]...", type=click.Path(path_type=Path))
@click.option(
    "--kind",
    type=click.Choice(["confirmations", "returns", "statement", "resolutions"]),
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
    from switch.reconcile import read_rules

    ruled = None if rules is None else read_rules(rules)
    with writer(context, home) as engine:
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
        _tell_states(answer)
        if answer["breaks"]:
            tell_next("breaks", home)
        else:
            tell_next("close", home, "--at", answer["as_of"])

    context.say(answer, show)


@click.command()
@home_argument
@click.argument("lines", nargs=-1, metavar="[LINE]...")
@click.option("--write-back", is_flag=True, help="To the budget, for good.")
@click.option("--reissue", is_flag=True, help="One more line may be paid for each.")
@file_option("--from", text="A file with a LINE a row; - is stdin.")
@click.option("--receiver", multiple=True, metavar="CODE", help="That sent the money back.")
@click.option("--reason", multiple=True, metavar="CODE", help="Of the return.")
@click.option("--batch", metavar="ID", help="Of one batch alone.")
@click.option("--age", type=click.IntRange(0), metavar="DAYS", help="So old at least, in days.")
@click.option("--dry", is_flag=True, help="Show the lines, and do nothing.")
@click.option("--yes", is_flag=True, help="It is meant: nobody is asked.")
@said_options
@wait_option
@shared
def dispose(
    context: Context,
    home: Path,
    lines: tuple[str, ...],
    write_back: bool,
    reissue: bool,
    dry: bool,
    yes: bool,
    leap: bool,
    correct: str | None,
    at: str | None,
    **asked: Any,
) -> None:
    """Say what becomes of returned lines. Their money is on T.RETURNS. LINE is ID:NUMBER, or a
    transfer id; default: all that fit, or all."""
    from switch.engine import Engine

    if write_back == reissue:
        raise UsageError("give one of --write-back and --reissue")
    lines += _listed_in(asked.pop("from"))
    filters = {name: value for name, value in asked.items() if value not in (None, ())}
    if lines and filters:
        raise UsageError("give LINEs or filters, not both")
    with Engine(home, mode="r") as engine:
        found = engine.returned(**filters, sort="batch").rows()
    rows, chosen = _chosen(lines, found)
    sum_ = sum(int(str(row["amount"])) for row in rows)
    what = "free for a re-issue" if reissue else "written back"
    shown = f"{counted(len(rows), 'line')}, {sum_:,} dong"
    if dry:
        document = {"count": len(rows), "sum": sum_, "lines": rows}
        context.say(
            cast("ToDispose", document), lambda: _show_lines(rows, f"{shown} would be {what}")
        )
        return
    if rows and len(rows) == len(set(chosen)) and not yes:
        _ask(context, rows, f"{shown} would be {what}")
    with writer(context, home) as engine:
        decide = engine.reissue if reissue else engine.write_back
        answer = decide(chosen, at=parse_time(at), leap=leap, correct=correct)
    context.warn(answer["warnings"])
    context.say(
        answer,
        lambda: tell(f"{counted(answer['count'], 'line')}, {answer['sum']:,} dong: {what}"),
    )


def _listed_in(path: Path | None) -> tuple[str, ...]:
    """Lines that a file names, one a row."""
    if path is None:
        return ()
    try:
        content = sys.stdin.buffer.read() if str(path) == "-" else read_small(path)
        rows = content.decode("utf-8").split()
    except (OSError, ValueError) as error:
        raise UsageError(f"--from {path}: {error}") from error
    if not rows:
        raise UsageError(f"--from {path}: names no line")
    return tuple(rows)


def _chosen(
    lines: tuple[str, ...], found: list[dict[str, Any]]
) -> tuple[list[dict[str, Any]], list[tuple[str, int]]]:
    """(rows of lines that are to be disposed of, their names); a line that is named and does not
    wait has no row. Raises UsageError for a transfer id that nothing returned has."""
    there = [row for row in found if row["state"] == "WAITS"]
    if not lines:
        return there, [(row["batch_id"], row["line_no"]) for row in there]
    ids = {row["transfer_id"]: (row["batch_id"], row["line_no"]) for row in found}
    chosen = []
    for text in lines:
        if ":" not in text and text not in ids:
            raise UsageError(
                f"{text[:200]!r} is no line that came back: give its transfer id, or its batch id,"
                " a colon and its number; `switch returned HOME` lists them"
            )
        chosen.append(ids[text] if text in ids else parse_line(text))
    named = {(name.rpartition(":")[2], number) for name, number in chosen}
    rows = [r for r in there if (r["batch_id"].rpartition(":")[2], r["line_no"]) in named]
    return rows, chosen


def _show_lines(rows: list[dict[str, Any]], what: str) -> None:
    for row in rows[:LINES_SHOWN]:
        tell(
            f"  {row['batch_id']}:{row['line_no']}  {row['transfer_id']}  {row['amount']:,} dong,"
            f" {row['reason']} of {row['participant']}, {counted(row['days'], 'day')}"
        )
    if len(rows) > LINES_SHOWN:
        tell(f"  and {len(rows) - LINES_SHOWN:,} more: `switch returned HOME --out FILE` has all")
    tell(what)


def _ask(context: Context, rows: list[dict[str, Any]], what: str) -> None:
    """Ask on a terminal whether it is meant. Raises UsageError where nobody can be asked."""
    if context.json or sys.stdin is None or not sys.stdin.isatty():
        if not (context.json or context.quiet):
            _show_lines(rows, what)
        raise UsageError(f"{what}: say --yes where it is meant, or --dry to see them alone")
    _show_lines(rows, what)
    if not click.confirm("Do it?"):
        raise UsageError("nothing was done")


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
    that are done with are closed. Exit 1 where critical breaks are open that nobody accepted."""
    with writer(context, home) as engine:
        answer = engine.close_day(parse_time(at) or "", out=out, leap=leap, correct=correct)
    critical = answer["critical"]
    context.warn(answer["warnings"])

    def show() -> None:
        tell(f"day {answer['as_of']} is signed: answers {answer['number']}")
        _tell_states(answer)
        tell(f"  critical and not accepted: {answer['critical']:,}")
        _tell_totals(answer["totals"])
        if answer["closed"]:
            tell(f"  batches closed: {', '.join(map(str, answer['closed']))}")
        tell_next("status", home, files=[(out or home / "out") / "days" / answer["as_of"]])

    context.say(answer, show)
    if critical:
        what = counted(critical, "critical break")
        be = "is" if critical == 1 else "are"
        ask = f"switch breaks {home} --severity critical --not-accepted"
        tell(f"{what} {be} open and not accepted: {ask}", err=True)
        raise SystemExit(1)


def _tell_states(answer: TakenIn) -> None:
    tell(f"  lines: {_list(answer['states']) or 'none'}")
    tell(f"  open breaks: {_list(answer['breaks']) or 'none'}")


def _tell_totals(totals: dict[str, int]) -> None:
    """Totals of batches that are not closed: where receivers are owed or have money, as a sum that
    ties with the books, and the money beside it."""
    from switch.reconcile.day_end import STANDING

    parts = [(totals[state.name], state.name) for state in STANDING if totals[state.name]]
    added = " = " + " + ".join(f"{sum_:,} {name}" for sum_, name in parts) if parts else ""
    tell("  of batches that are not closed, in dong:")
    tell(f"    payable to receivers: {totals['payable']:,}{added}")
    tell(f"    refused by receivers: {totals['REFUSED']:,}; returned: {totals['RETURNED']:,}")
    tell(f"  money back that waits for dispositions: {totals['returns']:,} dong")
    tell(f"  moved at the State Bank by cycles: {totals['asked']:,} dong")


def _list(counts: dict[str, int]) -> str:
    return ", ".join(f"{count:,} {name}" for name, count in sorted(counts.items()) if count)


COMMANDS = (reconcile, dispose, close)
