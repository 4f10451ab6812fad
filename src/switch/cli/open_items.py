"""Commands that list what is open: breaks, cycles, balances, lines that wait or came back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack, cast

import click
from click.shell_completion import CompletionItem

from switch.cli.context import (
    GIVEN_PATH,
    Command,
    Context,
    at_option,
    home_argument,
    parse_time,
    shared,
    wait_option,
)
from switch.cli.voice import tell
from switch.cli.writing import writer
from switch.errors import UsageError, counted
from switch.home.times import local_text

if TYPE_CHECKING:
    from switch.cli.grid import Shown
    from switch.open_items.listing import BreaksAsked, LinesAsked, Listing, RecallsAsked
    from switch.reconcile.break_notes import NoteSaid

MOMENTS = ("opened_at", "closes", "ended_at", "moved_at", "booked_at", "noted_at")
"""Columns of times, which people read by Vietnam's clock."""
ROWS_SHOWN = 20
"""Rows on a screen where no limit is given. JSON and exports have all."""
TOTALS_SHOWN = 40
"""Rows of totals on a screen: all provinces have a place there."""
NOUNS = {"balances": "account", "cycles": "cycle", "breaks": "break", "alarms": "alarm"}
NOUNS |= {"positions": "position", "records": "record", "cut_offs": "row"}
MORE = "more with --limit, all with --out FILE or --json"

age_option = click.option(
    "--age", type=click.IntRange(0), metavar="DAYS", help="So old at least, in days."
)
batch_option = click.option("--batch", metavar="ID", help="Of one batch alone.")
limit_option = click.option(
    "--limit", type=click.IntRange(0), metavar="N", help=f"Rows at most; on a screen {ROWS_SHOWN}."
)
export_option = click.option(
    "--out", type=GIVEN_PATH, metavar="FILE", help="Write these rows: .csv, .parquet or .arrow."
)


def several_option(name: str, metavar: str, text: str) -> Callable[[Command], Command]:
    """An option that may be given more than once."""
    return click.option(f"--{name}", multiple=True, metavar=metavar, help=text)


def say_listing(
    context: Context, found: Listing, title: str, columns: Sequence[Shown], out: Path | None
) -> None:
    """Print a listing, or write it where out is given: the same rows."""
    noun = NOUNS.get(found.name, "line")
    where = {} if out is None else {"file": str(found.write(out))}

    def show() -> None:
        from switch.cli.grid import grid_of

        rows = [_for_people(row) for row in found.rows()]
        if len(found) == found.total["count"] and noun != "account":
            rows = rows[:ROWS_SHOWN]
        if rows and out is None:
            context.console().print(grid_of(title, columns, rows))
            tell("")
        for name, parts in found.parts.items():
            told = ", ".join(f"{part['count']:,} {word}" for word, part in parts.items())
            if told:
                tell(f"{name}: {told}")
        money = f", {found.total['sum']:,} dong" if found.has_money else ""
        tell(f"{counted(found.total['count'], noun)}{money}")
        if out is not None:
            tell(f"{counted(len(found), noun)} written: {out}")
        elif len(rows) < found.total["count"]:
            more = "more with a higher --limit" if len(found) == len(rows) else MORE
            tell(f"{len(rows):,} of them are shown: {more}")

    context.say({**found.document(), **where}, show)


def _for_people(row: dict[str, object]) -> dict[str, object]:
    times = {name: local_text(str(row[name])) for name in MOMENTS if row.get(name)}
    return {**row, **times}


@click.command()
@home_argument
@several_option("class", "CLASS", "Such as MISSING; may be given again.")
@several_option("owner", "DESK", "Who looks after it, as the rules say.")
@several_option("severity", "WORD", "low, medium, high or critical.")
@several_option("receiver", "CODE", "A participant.")
@batch_option
@age_option
@click.option(
    "--sort",
    type=click.Choice(["severity", "value", "age", "class", "owner", "receiver"]),
    default="severity",
    show_default=True,
)
@limit_option
@export_option
@several_option("break", "ID", "One break: its id, or the first 6 characters.")
@click.option("--accepted/--not-accepted", default=None, help="By a note, or not.")
@click.option("--assign", metavar="DESK", help="Note who looks after these breaks from now on.")
@click.option("--note", metavar="WORDS", help="Note something about these breaks.")
@click.option("--accept/--withdraw", default=None, help="They are taken as they are, or no more.")
@click.option("--by", metavar="NAME", help="Who notes it.")
@at_option
@wait_option
@shared
def breaks(
    context: Context,
    home: Path,
    out: Path | None,
    assign: str | None,
    note: str | None,
    accept: bool | None,
    by: str | None,
    at: str | None,
    **asked: Any,
) -> None:
    """List breaks that are open: answers and lines that do not fit each other. With --assign,
    --note, --accept or --withdraw something is noted about those that the filters take."""
    from switch.cli.grid import Shown
    from switch.home.store import asked as answered
    from switch.open_items.breaks import breaks as ask

    names = {"class": "class_", "break": "ids"}
    given = {names.get(n, n): value for n, value in asked.items() if value not in ((), None)}
    filters = cast("BreaksAsked", given)
    if assign is not None or note is not None or accept is not None:
        if not set(given) - {"sort"}:
            raise UsageError("a note is about breaks that are chosen: name them, or give a filter")
        said: NoteSaid = {"by": by or "", "note": note or "", "owner": assign or ""}
        said |= {"accepted": accept, "at": parse_time(at)}
        _note(context, home, filters, said)
        return
    if by is not None or at is not None:
        raise UsageError("--by and --at are of a note: say what is noted")
    found = answered(home, lambda opened: ask(opened, **filters))
    columns = (
        Shown("break", "break", 4),
        Shown("class", "class"),
        Shown("severity", "severity", 1),
        Shown("receiver", "participant", 2),
        Shown("batch", "batch_id"),
        Shown("line", "line_no", grouped=False),
        Shown("value", "value"),
        Shown("expected", "expected", 6),
        Shown("found", "found", 6),
        Shown("days", "days"),
        Shown("owner", "owner", 3, False),
        Shown("accepted", "accepted", 1),
        Shown("note", "note", 5, False),
        Shown("what to do", "action", 7, False),
    )
    say_listing(context, found, f"Open breaks, as of {found.as_of or 'no day yet'}", columns, out)


def _note(context: Context, home: Path, asked: BreaksAsked, said: NoteSaid) -> None:
    """Note something about the breaks that the filters take."""
    with writer(context, home) as engine:
        found = engine.breaks(**asked)
        if not len(found):
            raise UsageError("no open break fits: `switch breaks HOME` lists all")
        taken = engine.note_breaks(found.table["break"].to_pylist(), **said)
    text = {True: "accepted", False: "no more accepted", None: "noted"}[taken["accepted"]]
    if not taken["new"]:
        text += f" already, at {local_text(taken['at'])}: nothing is new"
    context.say(taken, lambda: tell(f"{counted(len(taken['breaks']), 'break')} {text}"))


@click.command()
@home_argument
@several_option("state", "STATE", "OPEN, CLOSED, SETTLED or ABORTED.")
@limit_option
@export_option
@shared
def cycles(
    context: Context, home: Path, state: tuple[str, ...], limit: int | None, out: Path | None
) -> None:
    """List cycles: when they close, what stands in them, and what they wait for."""
    from switch.cli.grid import Shown
    from switch.home.store import asked as answered
    from switch.open_items.cycles import cycles as ask

    found = answered(home, lambda opened: ask(opened, state=state or None, limit=limit))
    columns = (
        Shown("cycle", "cycle"),
        Shown("state", "state"),
        Shown("rule", "rule"),
        Shown("opened", "opened_at", 4),
        Shown("closes", "closes", 2),
        Shown("batches", "batches", 3),
        Shown("lines", "lines"),
        Shown("dong", "sum"),
        Shown("went back", "went_back_lines", 1),
        Shown("returned", "returned_lines", 2),
        Shown("dong returned", "returned_sum", 2),
        Shown("fees", "fees", 2),
        Shown("dong of fees", "fees_sum", 2),
        Shown("waits for", "waits", 0, False),
    )
    say_listing(context, found, "Cycles, oldest first", columns, out)


@click.command()
@home_argument
@click.option("--at", metavar="TIME", help="As of a time (ISO 8601); a day counts to its end.")
@export_option
@shared
def balances(context: Context, home: Path, at: str | None, out: Path | None) -> None:
    """List settlement accounts: what they hold, and what moved them last."""
    from switch.cli.grid import Shown
    from switch.home.store import asked as answered
    from switch.open_items.balances import balances as ask

    found = answered(home, lambda opened: ask(opened, at=parse_time(at) or ""))
    columns = (
        Shown("account", "account"),
        Shown("name", "short_name", 2, False),
        Shown("balance", "balance"),
        Shown("bound", "bound"),
        Shown("set aside", "reserved", 1),
        Shown("moved", "moved", 3),
        Shown("at", "moved_at", 4),
        Shown("by", "moved_by", 5, False),
    )
    say_listing(context, found, "Settlement accounts, in dong", columns, out)


def lines_command(name: str, text: str) -> Callable[[Command], click.Command]:
    """A command that lists lines, with the filters of all such."""

    def made(command: Command) -> click.Command:
        command.__doc__ = text
        sorts = click.Choice(["age", "amount", "reason", "receiver", "batch"])
        for option in (
            shared,
            export_option,
            limit_option,
            click.option("--sort", type=sorts, default="age", show_default=True),
            age_option,
            batch_option,
            several_option("receiver", "CODE", "A participant."),
            several_option("reason", "CODE", "ISO code, such as AC03; may be given again."),
            home_argument,
        ):
            command = option(command)
        return click.command(name)(command)

    return made


def _of_a_line() -> tuple[Shown, ...]:
    """Columns by which people know a line."""
    from switch.cli.grid import Shown

    return (
        Shown("batch", "batch_id"),
        Shown("line", "line_no", grouped=False),
        Shown("benefit", "benefit", 3),
        Shown("period", "period", 3),
        Shown("amount", "amount"),
    )


@lines_command("held", "List lines that wait: why, since when, how often tried.")
def held(context: Context, home: Path, out: Path | None, **asked: Unpack[LinesAsked]) -> None:
    """The command `held`."""
    from switch.cli.grid import Shown
    from switch.home.store import asked as answered
    from switch.open_items.held import held as ask

    found = answered(home, lambda opened: ask(opened, **_said(asked)))
    columns = (
        *_of_a_line(),
        Shown("reason", "reason"),
        Shown("receiver", "participant", 1),
        Shown("since", "since"),
        Shown("days", "days", 2),
        Shown("deadline", "deadline", 1),
        Shown("tried", "tried"),
        Shown("why", "why", 4, False),
    )
    say_listing(context, found, "Lines that wait", columns, out)


@lines_command("returned", "List lines whose money came back and waits for `dispose`.")
def returned(context: Context, home: Path, out: Path | None, **asked: Unpack[LinesAsked]) -> None:
    """The command `returned`."""
    from switch.cli.grid import Shown
    from switch.home.store import asked as answered
    from switch.open_items.held import returned as ask

    found = answered(home, lambda opened: ask(opened, **_said(asked)))
    columns = (
        *_of_a_line(),
        Shown("state", "state"),
        Shown("reason", "reason"),
        Shown("receiver", "participant", 1),
        Shown("booked", "booked_at", 4),
        Shown("days", "days"),
    )
    say_listing(context, found, "Lines that came back", columns, out)


def _said(asked: LinesAsked) -> LinesAsked:
    """Filters as they were said; one that was not given takes all."""
    return {
        **asked,
        "reason": asked["reason"] or None,
        "receiver": asked["receiver"] or None,
    }


@lines_command("recalls", "List lines that were recalled: by whom, since when, how each stands.")
@several_option("state", "STATE", "OPEN, ACCEPTED or REFUSED; may be given again.")
def recalls(context: Context, home: Path, out: Path | None, **asked: Unpack[RecallsAsked]) -> None:
    """The command `recalls`."""
    from switch.cli.grid import Shown
    from switch.home.store import asked as answered
    from switch.open_items.recalls import recalls as ask

    filters = cast("RecallsAsked", {**_said(asked), "state": asked["state"] or None})
    found = answered(home, lambda opened: ask(opened, **filters))
    columns = (
        *_of_a_line(),
        Shown("state", "state"),
        Shown("reason", "reason"),
        Shown("receiver", "participant", 1),
        Shown("days", "days"),
        Shown("by", "by", 2, False),
        Shown("why", "why", 4, False),
    )
    say_listing(context, found, "Recalled lines", columns, out)


def _keys(ctx: click.Context, param: click.Parameter, begin: str) -> list[CompletionItem]:
    """Keys that every table has, for a shell."""
    from switch.open_items.totals import KEYS

    return [CompletionItem(key) for key in KEYS if key.startswith(begin)]


@click.command()
@home_argument
@click.argument("table", metavar="TABLE", type=click.Path(path_type=Path))
@click.option(
    "--by",
    required=True,
    metavar="KEY",
    shell_complete=_keys,
    help="commune, province, benefit, debtor_account, participant, period, creditor_agent, or a"
    " column of the table.",
)
@click.option(
    "--batch", metavar="ID", help="The batch that ran TABLE, where its file does not say."
)
@export_option
@shared
def totals(
    context: Context, home: Path, table: Path, by: str, batch: str | None, out: Path | None
) -> None:
    """Add up the lines of TABLE, which was run, by a key and by where they stand now. All of it
    adds up to the batch."""
    from switch.home.store import asked as answered
    from switch.open_items.totals import totals as ask

    found = answered(home, lambda opened: ask(opened, table, by=by, batch=batch))
    where = {} if out is None else {"file": str(found.write(out))}

    def show() -> None:
        from switch.cli.grid import Shown, grid_of
        from switch.cli.tables import NOW

        words = {state: NOW.get(state, (state, ""))[0] for state in found.states}
        # Where there is no room for all states, those of the fewest lines leave first.
        rarest = sorted(found.states, key=lambda state: -found.states[state]["count"])
        columns = (
            Shown(by.replace("_", " "), "key"),
            Shown("name", "name", 1, by != "benefit"),
            Shown("lines", "lines"),
            Shown("dong", "sum"),
            *(
                Shown(words[state], f"{state}_lines", rarest.index(state) + 2)
                for state in found.states
            ),
        )
        rows = [{**row, "key": row["key"] or "none"} for row in found.rows()[:TOTALS_SHOWN]]
        if out is None:
            title = f"Lines of {found.batch_id}, as of {found.as_of[:10]}"
            context.console().print(grid_of(title, columns, rows))
            tell("")
        told = (f"{part['count']:,} {words[state]}" for state, part in found.states.items())
        tell(f"states: {', '.join(told)}")
        tell(f"{counted(found.total['count'], 'line')}, {found.total['sum']:,} dong")
        if out is not None:
            tell(f"{counted(len(found), 'row')} written: {out}")
        elif len(rows) < len(found):
            more = "are shown: all with --out FILE or --json"
            tell(f"{counted(len(found), 'row')}, {len(rows):,} of them {more}")

    context.say({**found.document(), **where}, show)


COMMANDS = (breaks, cycles, balances, held, returned, recalls, totals)
