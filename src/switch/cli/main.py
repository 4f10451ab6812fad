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
import time
from pathlib import Path
from typing import Any, cast

import click

from switch import __version__
from switch.cli import upkeep
from switch.cli.answers import COMMANDS
from switch.cli.context import (
    GIVEN_PATH,
    Context,
    NoPandas,
    Progress,
    at_option,
    draw,
    draw_curve,
    fail,
    file_option,
    home_argument,
    kept_settings,
    new_settings,
    of_the_machine,
    out_option,
    parse_line,
    parse_person,
    parse_time,
    said_options,
    say_error,
    say_traceback,
    say_usage,
    settings_of_run,
    shared,
    strict_option,
    tables_argument,
    threads_option,
)
from switch.cli.context import generate as make_nation
from switch.cli.voice import kept, names_in_utf8, tell
from switch.errors import CopyFailed, InputRefused, SwitchError, UsageError, counted

DEMO_PEOPLE, DEMO_LINES, DEMO_SEED = 200_000, 150_000, 2026
SOFTWARE_FAULT, INTERRUPTED = 70, 130
"""Exit codes where we are wrong ourselves (sysexits' EX_SOFTWARE), and of a signal to stop."""


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="switch")
@shared
def cli(context: Context) -> None:
    """Clear bulk social-security credit transfers: a payment table goes in, cleared and settled
    files come out."""


@cli.command()
@home_argument
@file_option("--participants", required=True, text="Participant directory.")
@file_option("--debtors", required=True, text="Accounts that pay.")
@file_option("--programmes", text="Programme table; default: the packaged one.")
@file_option("--balances", text="Opening balances of settlement accounts; they bind.")
@file_option("--key", text="Secret of keyed hashes; default: made at random.")
@file_option("--signing-key", text="Ed25519 key in PEM that signs commits; default: at random.")
@at_option
@shared
def init(
    context: Context,
    home: Path,
    participants: Path,
    debtors: Path,
    programmes: Path | None,
    balances: Path | None,
    key: Path | None,
    signing_key: Path | None,
    at: str | None,
) -> None:
    """Make a new HOME."""
    from switch.engine import init as make
    from switch.home import signing

    secret = None if key is None else upkeep.read_secret("--key", key)
    if secret is not None and len(secret) < 16:
        raise UsageError(f"--key {key}: a key has at least 16 bytes")
    signer = None
    if signing_key is not None:
        signer = upkeep.read_secret("--signing-key", signing_key)
    elif signing.installed():
        signer = signing.new_key()
    with make(
        home,
        participants=participants,
        debtors=debtors,
        programmes=programmes,
        balances=balances,
        settings=new_settings(context),
        key=secret,
        signing_key=signer,
        at=parse_time(at) or "",
    ) as engine:
        counts = {
            "participants": len(engine.directory.participants),
            "debtors": len(engine.directory.debtors),
            "programmes": len(engine.directory.programmes),
        }
    context.say(
        {"home": str(home), **counts, "signed": signer is not None},
        lambda: tell(
            f"{home} is ready: {_list(counts)}"
            + ("" if signer else "; commits are not signed, for the extra [sign] is not installed")
        ),
    )


@cli.command()
@home_argument
@file_option("--participants", text="Participant directory.")
@file_option("--debtors", text="Accounts that pay.")
@file_option("--programmes", text="Programme table.")
@file_option("--balances", text="What settlement accounts hold now; they bind.")
@at_option
@shared
def directory(
    context: Context,
    home: Path,
    participants: Path | None,
    debtors: Path | None,
    programmes: Path | None,
    balances: Path | None,
    at: str | None,
) -> None:
    """Show the directory of HOME, or replace tables of it. Each change is audited."""
    from switch.engine import Engine

    with Engine(home) as engine:
        settings = new_settings(context, engine.settings)
        if participants or debtors or programmes or balances or settings:
            engine.change_directory(
                participants=participants,
                debtors=debtors,
                programmes=programmes,
                balances=balances,
                settings=settings,
                at=parse_time(at) or "",
            )
        import msgspec

        content = msgspec.to_builtins(engine.directory)
        content["settings"] = msgspec.to_builtins(engine.settings)

    def show() -> None:
        from switch.cli.tables import print_directory

        print_directory(context.console(), content)

    context.say(content, show)


@cli.command()
@home_argument
@file_option("--population", text="Population register.")
@file_option("--accounts", text="Account register.")
@file_option("--paid", text="Entitlements paid before this home existed.")
@click.option("--replace", is_flag=True, help="Swap the whole of what is given.")
@strict_option
@at_option
@shared
def register(
    context: Context,
    home: Path,
    population: Path | None,
    accounts: Path | None,
    paid: Path | None,
    replace: bool,
    strict_columns: bool,
    at: str | None,
) -> None:
    """Load registers into HOME. They are upserts by key; --replace swaps the whole."""
    from switch.engine import Engine

    if not (population or accounts or paid):
        raise UsageError("give at least one of --population, --accounts, --paid")
    warnings: list[str] = []
    with _opened(context, home, Engine) as engine, Progress(context) as progress:
        counts = engine.register(
            population=population,
            accounts=accounts,
            paid_history=paid,
            replace=replace,
            strict_columns=strict_columns,
            at=parse_time(at) or "",
            progress=progress,
            warn=warnings.append,
        )
    context.warn(warnings)
    context.log.info("registers loaded", home=str(home), **counts)
    context.say(counts, lambda: tell(f"loaded {_list(counts)}"))


def _opened(context: Context, home: Path, engine: Any) -> Any:
    from switch.files import airlock

    airlock.start()  # The process that reads files gets ready while the home is opened.
    opened = engine(home)
    with contextlib.ExitStack() as refused:
        refused.callback(opened.close)
        settings_of_run(context, opened.settings)
        refused.pop_all()
    for name in opened.home.quarantined:
        context.log.warning("a crash left this behind; it is in quarantine", folder=name)
    return opened


def _list(counts: dict[str, int]) -> str:
    return ", ".join(f"{count:,} {name}" for name, count in counts.items())


@cli.command()
@home_argument
@tables_argument
@out_option
@threads_option
@click.option(
    "--format",
    "form",
    type=click.Choice(["parquet", "arrow"]),
    default="parquet",
    show_default=True,
    help="Of the status and clearing files.",
)
@click.option("--fail-on-refused", is_flag=True, help="Exit 1 if lines were refused or held.")
@strict_option
@said_options
@shared
def run(
    context: Context,
    home: Path,
    tables: tuple[Path, ...],
    out: Path | None,
    threads: int | None,
    form: str,
    fail_on_refused: bool,
    strict_columns: bool,
    leap: bool,
    at: str | None,
) -> None:
    """Clear and settle payment TABLEs. They run in order, and the first refusal stops."""
    from switch.engine import Engine

    config = context.settings()
    done = context.done
    at = parse_time(at)
    out = out or (Path(config["out"]) if "out" in config else None)
    threads = threads or config.get("threads") or os.cpu_count() or 1
    with _opened(context, home, Engine) as engine:
        engine.settings = settings_of_run(context, engine.settings)
        for table in tables:
            began = time.monotonic()
            try:
                with Progress(context) as progress:
                    batch = engine.run(
                        table,
                        out=out,
                        threads=threads,
                        at=at,
                        leap=leap,
                        strict_columns=strict_columns,
                        form=form,
                        progress=progress,
                    )
            except Exception as error:
                if isinstance(error, CopyFailed):
                    done += error.done
                if done and not context.json:
                    tell(f"{len(done)} of {len(tables)} tables are done", err=True)
                raise
            seconds = time.monotonic() - began
            context.warn(batch.warnings, table=str(table))
            context.log.info(
                "batch answered" if batch.replayed else "batch committed",
                batch_id=batch.batch_id,
                cycle=batch.cycle,
                lines=batch.summary["received"]["count"],
                cleared=batch.summary["cleared"]["count"],
            )
            done.append(batch.summary)
            if not (context.json or context.quiet):
                from switch.cli.tables import print_batch

                print_batch(context.console(), batch.summary, seconds=seconds)
    context.say({"batches": done}, lambda: None)
    if fail_on_refused and any(b["refused"]["count"] or b["held"]["count"] for b in done):
        raise SystemExit(1)


@cli.command()
@home_argument
@tables_argument
@threads_option
@click.option("--picture", type=GIVEN_PATH, metavar="FILE", help="Draw it (SVG).")
@said_options
@shared
def rehearse(
    context: Context,
    home: Path,
    tables: tuple[Path, ...],
    threads: int | None,
    picture: Path | None,
    leap: bool,
    at: str | None,
) -> None:
    """Run TABLEs without committing anything: answers, liquidity needed, and what would wait."""
    from switch.files.disk import require_outside
    from switch.rehearsal import rehearse as foretell

    if picture is not None:
        require_outside(picture, home)
    threads = threads or context.settings().get("threads") or os.cpu_count() or 1
    limit = settings_of_run(context, kept_settings(home)).clearing_limit
    told = foretell(
        home, tables, at=parse_time(at), threads=threads, clearing_limit=limit, leap=leap
    )
    for table in told["tables"]:
        context.warn(table.get("warnings", ()), table=table["table"])
    if picture is not None:
        draw_curve(told, picture)

    def show() -> None:
        from switch.cli.tables import print_rehearsal

        print_rehearsal(context.console(), told)

    context.say(told, show)
    if any("error" in table for table in told["tables"]):
        # As `run` would, which stops at the first of them.
        raise SystemExit(InputRefused.exit_code)


@cli.command()
@home_argument
@click.option("--cycle", metavar="C", help="One cycle, such as 20261125-1.")
@click.option("--close", "close_only", is_flag=True, help="Only close, and write the request.")
@click.option("--abort", metavar="WHY", help="Give up --cycle: its lines wait again.")
@out_option
@said_options
@shared
def settle(
    context: Context,
    home: Path,
    cycle: str | None,
    close_only: bool,
    abort: str | None,
    out: Path | None,
    leap: bool,
    at: str | None,
) -> None:
    """Close and settle cycles of HOME's calendar. One with --cycle, or all whose cut-off has come
    at --at; without --at all that are not settled, each at its cut-off."""
    from switch.engine import Engine

    with _opened(context, home, Engine) as engine:
        answers = engine.settle(
            cycle, at=parse_time(at), out=out, close_only=close_only, abort=abort, leap=leap
        )

    def show() -> None:
        from switch.cli.tables import print_cycles

        print_cycles(context.console(), answers)

    context.say({"cycles": answers}, show)


@cli.command()
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

                print_batch(context.console(), summary)
                print_budgets(context.console(), summary["funding"]["budgets"])

            context.say(summary, show_batch)
        elif line is not None:
            found = ask.line(opened, *parse_line(line))
            context.say(found, lambda: print_lines([found]))
        elif person is not None:
            whole = ask.person(opened, parse_person(person))
            context.say(whole, lambda: print_lines(whole["lines"]))
        else:
            rows = ask.batches(opened)
            budgets = ask.budgets(opened)

            def show_batches() -> None:
                from switch.cli.tables import print_batches, print_budgets

                print_batches(context.console(), rows)
                print_budgets(context.console(), budgets)

            context.say({"batches": rows, "budgets": budgets}, show_batches)


@cli.command()
@home_argument
@click.option("--batch", "batch_id", metavar="ID", help="Default: the last one.")
@out_option
@click.option("--csv", "as_csv", is_flag=True, help="The status of every line as CSV, too.")
@shared
def report(
    context: Context, home: Path, batch_id: str | None, out: Path | None, as_csv: bool
) -> None:
    """Draw a batch as a picture: DIR/ID/payday.svg."""
    from switch import status as ask
    from switch.files.disk import out_folder
    from switch.home.store import Home
    from switch.report import sheet

    with Home(home, writing=False) as opened:
        if batch_id is None:
            rows = ask.batches(opened)
            if not rows:
                raise UsageError(f"{home} has no batch yet")
            batch_id = str(rows[-1]["batch_id"])
        summary = ask.batch(opened, batch_id)
        folder = out_folder(home, out)
        name = opened.out_name(summary["batch_id"], summary["seq"])
        made = {"picture": str(draw(summary, folder, name))}
        if as_csv:
            path = sheet.write_status(opened, summary["seq"], folder, f"{name}/status.csv")
            made["csv"] = str(path)

    def show() -> None:
        for kind, path in made.items():
            tell(f"{kind}: {path}")

    context.say({"batch_id": batch_id, **made}, show)


@cli.command()
@home_argument
@click.option("--batch", "batch_id", metavar="ID", help="Default: the last one.")
@out_option
@click.option("--seed", type=click.IntRange(0), default=1, show_default=True, metavar="S")
@shared
def exchange(
    context: Context, home: Path, batch_id: str | None, out: Path | None, seed: int
) -> None:
    """Let simulated receivers answer a batch: DIR/ID/answers."""
    from switch.cli.exchange import run_exchange

    done = run_exchange(home, batch_id, out, seed)
    context.say(
        done,
        lambda: tell(
            f"{done['folder']}: {counted(done['confirmations'], 'confirmation')} and"
            f" {counted(done['returns'], 'return')} for {counted(done['lines'], 'line')}"
            f" ({_list(done['fates'])})"
        ),
    )


for command in (*upkeep.COMMANDS, *COMMANDS):
    cli.add_command(command)


@cli.command()
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--people", type=click.IntRange(1), required=True, metavar="N")
@click.option("--lines", type=click.IntRange(1), required=True, metavar="N")
@click.option("--seed", type=click.IntRange(0), required=True, metavar="S")
@shared
def generate(context: Context, folder: Path, people: int, lines: int, seed: int) -> None:
    """Simulate a nation and its payday into DIR. Directory, registers, payment table, dossier, and
    the true answer to every line."""
    made = make_nation(context, folder, people, lines, seed)
    document = {
        "folder": str(folder),
        "people": people,
        "count": lines,
        "sum": str(made.declared_sum),
    }
    context.say(
        document,
        lambda: tell(
            f"{folder}: {people:,} people, {counted(lines, 'line')}, {made.declared_sum:,} dong"
        ),
    )


@cli.command()
@click.option(
    "--dir",
    "folder",
    type=GIVEN_PATH,
    default=Path("demo"),
    show_default=True,
    help="Where the demo's files go; what an earlier demo left there is replaced.",
)
@click.option("--people", type=click.IntRange(1), default=DEMO_PEOPLE, show_default=True)
@click.option("--lines", type=click.IntRange(1), default=DEMO_LINES, show_default=True)
@click.option("--seed", type=click.IntRange(0), default=DEMO_SEED, show_default=True)
@shared
def demo(context: Context, folder: Path, people: int, lines: int, seed: int) -> None:
    """Run one payday of a small nation. It is simulated, run through the native core, run again,
    proven and drawn."""
    from switch.cli.demo import run_demo

    run_demo(context, folder, people, lines, seed)


@cli.command()
@click.option("--lines", type=click.IntRange(1), default=1_000_000, show_default=True, metavar="N")
@click.option("--threads", type=click.IntRange(1, 256), default=1, show_default=True, metavar="N")
@click.option("--repeat", type=click.IntRange(1), default=3, show_default=True, metavar="N")
@shared
def bench(context: Context, lines: int, threads: int, repeat: int) -> None:
    """Measure the pace of this machine. On a simulated nation: the core alone, and files to
    files."""
    from switch.cli.bench import run_bench

    found = run_bench(context, lines, threads, repeat)

    def show() -> None:
        for name in ("core", "files_to_files"):
            figure = found[name]
            text = name.replace("_", " ")
            tell(f"{text:15} {figure['lines_per_second']:>13,} lines/s   digest {figure['digest']}")

    context.say(found, show)


def main() -> None:
    """Run the command line; every failure becomes its exit code and one clear message."""
    names_in_utf8()
    # What is in memory are people's names and accounts: no core of it lands on a disk, and nobody
    # else reads what is written.
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
    os.umask(0o077)
    sys.meta_path.insert(0, cast(Any, NoPandas))
    with kept():
        raise SystemExit(_run())


def _run() -> int:
    """The exit code of the command that sys.argv names, which has said all that it says."""
    context = Context()
    as_json, done = "--json" in sys.argv[1:], context.done
    try:
        code = cli.main(standalone_mode=False, obj=context)
        return code if isinstance(code, int) else 0
    except SystemExit as stop:
        return cast(int, stop.code)
    except click.exceptions.Exit as stop:
        return stop.exit_code
    except click.ClickException as error:
        if as_json:
            say_error({"rule": "USAGE", "what": error.format_message()}, error.exit_code)
        say_usage(error)
        return error.exit_code
    except click.Abort:
        tell("interrupted: nothing that was not committed has happened", err=True)
        return INTERRUPTED
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
