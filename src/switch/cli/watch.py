"""Commands that watch a home: alarms, answers that are awaited, numbers for a monitor.

Here alone a clock is read: whoever watches asks how things stand now.
"""

from __future__ import annotations

import datetime
import sys
import time
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import click

from switch.cli.context import (
    GIVEN_PATH,
    Command,
    Context,
    home_argument,
    parse_time,
    shared,
    wait_option,
)
from switch.cli.open_items import (
    export_option,
    limit_option,
    say_listing,
    several_option,
)
from switch.cli.voice import tell
from switch.cli.writing import writer
from switch.errors import UsageError, counted
from switch.home.times import LOCAL, local_text

if TYPE_CHECKING:
    from switch.engine import Engine
    from switch.watch.alarms import AlarmsAsked
    from switch.watch.notes import AlarmSaid
    from switch.watch.poll import Change, Webhook
    from switch.watching import Watch

OF_HOME = "home"
"""Word for the time of the home, in place of that of the clock."""
clock_option = click.option(
    "--at",
    metavar="TIME",
    help="As of this time (ISO 8601), or `home`: the home's own; default: now, by the clock.",
)


def limits_options(command: Command) -> Command:
    """Options of all that judges by the rules of alarms."""
    for option in (
        click.option(
            "--spool", type=GIVEN_PATH, metavar="DIR", help="The portal's; inboxes are watched."
        ),
        click.option("--limits", type=GIVEN_PATH, metavar="FILE", help="Bounds of rules, as TOML."),
        clock_option,
    ):
        command = option(command)
    return command


def time_of(at: str | None) -> str:
    """The time as of which a home is watched: what is said, else now; '' is that of the home."""
    if at == OF_HOME:
        return ""
    now = datetime.datetime.now(LOCAL).replace(tzinfo=None, microsecond=0)
    return parse_time(at) or now.isoformat()


def watched(engine: Engine, home: Path, limits: Path | None, spool: Path | None) -> Watch:
    """A home, watched with the bounds of a file. home: as it was typed. Raises UsageError for a
    file that is none."""
    return engine.watch.within(bounds_of(limits), spool=spool, name=str(home))


def bounds_of(limits: Path | None) -> dict[str, object]:
    """Bounds of rules in a file. Raises UsageError for a file that is none."""
    from switch.files.given import read_small

    if limits is None:
        return {}
    try:
        return tomllib.loads(read_small(limits).decode("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise UsageError(f"limits {limits}: {error}") from error


@click.command()
@home_argument
@several_option("rule", "RULE", "Such as answers-silent; may be given again.")
@several_option("severity", "WORD", "low, medium, high or critical.")
@several_option("state", "WORD", "open, acknowledged, snoozed, reopened or resolved.")
@several_option("level", "WORD", "warning or raised.")
@several_option("alarm", "NAME", "One alarm.")
@limits_options
@limit_option
@export_option
@click.option("--acknowledge/--unseen", default=None, help="Seen, or to be seen again.")
@click.option("--snooze", metavar="TIME", help="Let these alarms sleep until then; say why.")
@click.option("--assign", metavar="DESK", help="Note who looks after these alarms from now on.")
@click.option("--note", metavar="WORDS", help="Note something about these alarms.")
@click.option("--by", metavar="NAME", help="Who notes it.")
@wait_option
@shared
def alarms(
    context: Context,
    home: Path,
    at: str | None,
    limits: Path | None,
    spool: Path | None,
    out: Path | None,
    by: str | None,
    **asked: Any,
) -> None:
    """List what is wrong or near its deadline, with the command that is next. With --acknowledge,
    --snooze, --assign or --note something is noted about the alarms that the filters take."""
    from switch.engine import Engine

    names = {"alarm": "names"}
    words = ("acknowledge", "snooze", "assign", "note")
    said = {name: asked.pop(name) for name in words}
    given = {names.get(n, n): list(v) if isinstance(v, tuple) else v for n, v in asked.items() if v}
    filters = cast("AlarmsAsked", given)
    when = time_of(at)
    if any(value is not None for value in said.values()):
        if not given:
            raise UsageError("a note is about alarms that are chosen: name them, or give a filter")
        note: AlarmSaid = {"by": by or "", "note": said["note"] or "", "at": when or None}
        note |= {"owner": said["assign"] or "", "acknowledged": said["acknowledge"]}
        if said["snooze"] is not None:
            note["until"] = parse_time(said["snooze"]) or ""
        with writer(context, home) as engine:
            _note(context, watched(engine, home, limits, spool), filters, note)
        return
    if by is not None:
        raise UsageError("--by is of a note: say what is noted")
    with Engine(home, mode="r") as engine:
        found = watched(engine, home, limits, spool).alarms(when, **filters)
    _show(context, found, out)


def _show(context: Context, found: Any, out: Path | None) -> None:
    from switch.cli.grid import Shown
    from switch.watch.alarms import UNSEEN

    columns = (
        Shown("alarm", "alarm", 0, False),
        Shown("severity", "severity", 1),
        Shown("level", "level", 2),
        Shown("state", "state"),
        Shown("hours", "hours", 3),
        Shown("what", "what", 0, False),
        Shown("lines", "lines", 5),
        Shown("dong", "value", 6),
        Shown("owner", "owner", 4, False),
        Shown("note", "note", 7, False),
        Shown("next", "next", 8),
    )
    say_listing(context, found, f"Alarms, as of {found.as_of or 'no day yet'}", columns, out)
    unseen = [row for row in found.rows() if row["state"] in UNSEEN]
    if unseen and out is None and not (context.json or context.quiet):
        tell(f"next: {unseen[0]['next']}")


def _note(context: Context, watch: Watch, filters: AlarmsAsked, said: AlarmSaid) -> None:
    """Note something about the alarms that the filters take."""
    found = watch.alarms(said["at"] or "", **filters)
    if not len(found):
        raise UsageError("no alarm fits: `switch alarms HOME` lists all")
    taken = watch.note(found.table["alarm"].to_pylist(), **said)
    text = {True: "acknowledged", False: "to be seen again", None: "noted"}[taken["acknowledged"]]
    if taken["until"]:
        text = f"asleep until {local_text(taken['until'])}"
    if not taken["new"]:
        text += f" already, at {local_text(taken['at'])}: nothing is new"
    context.say(taken, lambda: tell(f"{counted(len(taken['alarms']), 'alarm')} {text}"))


@click.command()
@home_argument
@several_option("receiver", "CODE", "A participant.")
@clock_option
@limit_option
@export_option
@shared
def awaited(
    context: Context,
    home: Path,
    receiver: tuple[str, ...],
    at: str | None,
    limit: int | None,
    out: Path | None,
) -> None:
    """List answers that are awaited: settled lines by receiver and cycle, the oldest first."""
    from switch.cli.grid import Shown
    from switch.engine import Engine

    with Engine(home, mode="r") as engine:
        found = engine.watch.awaited(receiver=list(receiver) or None, limit=limit, at=time_of(at))
    columns = (
        Shown("receiver", "participant"),
        Shown("name", "short_name", 3, False),
        Shown("cycle", "cycle"),
        Shown("settled", "settled_at", 4),
        Shown("deadline", "deadline"),
        Shown("sent", "sent", 2),
        Shown("lines", "lines"),
        Shown("dong", "sum"),
        Shown("silent", "silent", 1),
        Shown("overdue", "overdue", 1),
        Shown("days", "days"),
    )
    say_listing(context, found, f"Answers awaited, as of {found.as_of}", columns, out)


@click.command()
@home_argument
@limits_options
@click.option("--out", type=GIVEN_PATH, metavar="FILE", help="Write them there, whole or not.")
@shared
def metrics(
    context: Context,
    home: Path,
    at: str | None,
    limits: Path | None,
    spool: Path | None,
    out: Path | None,
) -> None:
    """Print numbers for a monitor, in the text format of Prometheus."""
    from switch.engine import Engine

    with Engine(home, mode="r") as engine:
        text = watched(engine, home, limits, spool).metrics(time_of(at), out=out)
    where = {} if out is None else {"file": str(out)}

    def show() -> None:
        if out is None:
            sys.stdout.write(text)  # As a monitor reads it: lines of its own format.
        else:
            tell(f"metrics: {out}")

    context.say({"metrics": text, **where}, show)


@click.command()
@home_argument
@click.option(
    "--every",
    type=click.FloatRange(0.1, 86_400),
    default=30,
    metavar="SECONDS",
    show_default=True,
    help="Between looks.",
)
@click.option("--times", type=click.IntRange(1), metavar="N", help="Looks; default: for ever.")
@click.option("--webhook", metavar="URL", help="Where changes are told to, as JSON.")
@click.option("--secret", type=GIVEN_PATH, metavar="FILE", help="By which they are signed.")
@limits_options
@click.option("--out", type=GIVEN_PATH, metavar="FILE", help="Metrics of each look, whole or not.")
@shared
def watch(
    context: Context,
    home: Path,
    every: float,
    times: int | None,
    webhook: str | None,
    secret: Path | None,
    out: Path | None,
    **bounds: Any,
) -> None:
    """Look at a home again and again, say what changed, and tell it to a webhook. It reads beside
    whoever writes."""
    from switch.files.given import read_small
    from switch.watch.poll import Webhook

    if context.json and times is None:
        raise UsageError("--json says one thing at its end: say --times")
    if secret is not None and webhook is None:
        raise UsageError("--secret signs what a webhook is told: give its address")
    hook = None
    if webhook is not None:
        hook = Webhook(webhook, read_small(secret).strip() if secret else b"").check()
    _watch(context, home, _Rhythm(every, times), hook, out, **bounds)


class _Rhythm(NamedTuple):
    """Seconds between looks, and how many there are (None: no end)."""

    every: float
    times: int | None


def _watch(
    context: Context,
    home: Path,
    rhythm: _Rhythm,
    hook: Webhook | None,
    out: Path | None,
    *,
    at: str | None,
    limits: Path | None,
    spool: Path | None,
) -> None:
    from switch.engine import Engine
    from switch.watch.poll import Poll, is_new

    poll, looks, told = Poll(home.name), 0, 0
    changes: list[dict[str, object]] = []
    with Engine(home, mode="r") as engine:
        seen = watched(engine, home, limits, spool)
        while True:
            when = time_of(at)
            rows = seen.alarms(when).rows()
            if out is not None:
                seen.metrics(when, out=out)
            change, looks = poll.change(when, rows), looks + 1
            if is_new(change):
                fault = hook.tell(change) if hook else ""
                if fault:
                    context.warn([f"the webhook did not take it: {fault}"])
                else:
                    poll.take(rows)
                    told += 1
                    changes.append({**change})
                    if not context.json and not context.quiet:
                        _say_change(change)
            if looks == rhythm.times:
                break
            time.sleep(rhythm.every)
    context.say({"looks": looks, "told": told, "changes": changes}, lambda: None)


def _say_change(change: Change) -> None:
    for word in ("raised", "changed", "cleared"):
        for row in change[word]:
            tell(f"{change['at']} {word} {row['severity']} {row['alarm']}: {row['what']}")


COMMANDS = (alarms, awaited, metrics, watch)
