"""The command line: arguments, progress, what a person sees, exit codes.

Exit codes are the contract's: 0 done, 1 done but lines were refused or held and --fail-on-refused
was given, 2 usage, 3 input refused, 4 home locked, 5 verification failed, 6 environment. With
--json stdout holds one JSON document; everything else goes to stderr. Modules are imported where
they are used, so that `switch --version` is instant.
"""

from __future__ import annotations

import contextlib
import os
import resource
import sys
from typing import TYPE_CHECKING, cast

import click

from switch import __version__, interrupt
from switch.cli import (
    answers,
    citizen,
    completion,
    control,
    doctor,
    fees,
    home,
    identity,
    lines,
    open_items,
    oversight,
    payday,
    play,
    prepare,
    serve,
    show,
    top,
    upkeep,
    watch,
)
from switch.cli.context import (
    Context,
    NoPandas,
    fail,
    say_error,
    say_traceback,
    say_usage,
    shared,
    with_home,
)
from switch.cli.voice import kept, names_in_utf8, tell
from switch.errors import USAGE, SwitchError, of_the_machine

SOFTWARE_FAULT = 70
"""Exit code where we are wrong ourselves (sysexits' EX_SOFTWARE)."""


if TYPE_CHECKING:
    from _typeshed.importlib import MetaPathFinderProtocol


class Commands(click.Group):
    """All commands. HOME may be left out where $SWITCH_HOME names it."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command that is called, and its words, with the home that the environment names."""
        name, command, rest = super().resolve_command(ctx, args)
        return name, command, rest if command is None else with_home(command, ctx, rest)


@click.group(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, prog_name="switch")
@shared
def cli(context: Context) -> None:
    """Clear bulk social-security credit transfers: a payment table goes in, cleared and settled
    files come out."""


for family in (
    *(home, prepare, control, payday, show, open_items, lines, watch, oversight, citizen, identity),
    *(fees, serve, top, answers, upkeep, doctor, completion, play),
):
    for command in family.COMMANDS:
        cli.add_command(command)


def main() -> None:
    """Run the command line; every failure becomes its exit code and one clear message."""
    names_in_utf8()
    # What is in memory are people's names and accounts: no core of it lands on a disk, and nobody
    # else reads what is written.
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
    os.umask(0o077)
    # No product of matrices here is large, and threads that wait for one spin.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    sys.meta_path.insert(0, cast("MetaPathFinderProtocol", NoPandas))
    with kept():
        raise SystemExit(_run())


def _run() -> int:
    """The exit code of the command that sys.argv names, which has said all that it says."""
    context = Context()
    as_json, done = "--json" in sys.argv[1:], context.done
    try:
        with interrupt.allowed():
            code = cli.main(standalone_mode=False, obj=context)
        return code if isinstance(code, int) else 0
    except SystemExit as stop:
        return cast(int, stop.code)
    except click.exceptions.Exit as stop:
        return stop.exit_code
    except click.ClickException as error:
        if as_json:
            say_error({"rule": USAGE, "what": error.format_message()}, error.exit_code)
        say_usage(error)
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        what = f"interrupted: {context.stands()}"
        if as_json:
            say_error({"rule": "INTERRUPTED", "what": what}, interrupt.INTERRUPTED, done)
        tell(what, err=True)
        return interrupt.INTERRUPTED
    except SwitchError as error:
        return fail(error, as_json, done)
    except Exception as error:
        if failed := of_the_machine(error):
            return fail(failed, as_json, done)
        what = "this is a fault of the engine; what is committed stays the truth"
        if as_json:
            say_error({"rule": "FAULT", "what": what}, SOFTWARE_FAULT, done)
        say_traceback()
        tell(what, err=True)
        return SOFTWARE_FAULT
