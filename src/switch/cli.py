"""The command line: arguments, progress, what a person sees, exit codes.

Floor 6. Exit codes are the contract's: 0 done, 1 done but lines were refused or held and
--fail-on-refused was given, 2 usage, 3 input refused, 4 home locked, 5 verification failed,
6 environment. With --json stdout holds one JSON document; everything else goes to stderr.
Modules are imported where they are used, so that `switch --version` is instant.
"""

from __future__ import annotations

import functools
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from switch import __version__
from switch.errors import EnvironmentFailed, InputRefused, SwitchError, UsageError

DEMO_PEOPLE, DEMO_LINES, DEMO_SEED = 200_000, 150_000, 2026
SOFTWARE_FAULT = 70
"""Exit code where we are wrong ourselves (sysexits' EX_SOFTWARE)."""


class Context:
    """What every command shares: how to speak, and the configuration."""

    def __init__(self) -> None:
        self.json = False
        self.quiet = False
        self.config: Path | None = None

    def say(self, document: dict[str, Any], show: Callable[[], None]) -> None:
        """The answer: as JSON, or as show prints it."""
        if self.json:
            import msgspec

            sys.stdout.write(msgspec.json.encode(document).decode() + "\n")
        elif not self.quiet:
            show()

    @functools.cached_property
    def log(self) -> Any:
        """structlog on stderr: for people on a terminal, JSON elsewhere."""
        import logging

        import structlog

        renderer: Any = structlog.processors.JSONRenderer()
        if sys.stderr.isatty():
            renderer = structlog.dev.ConsoleRenderer()
        structlog.configure(
            processors=[
                structlog.processors.add_log_level,
                structlog.processors.TimeStamper(fmt="iso"),
                renderer,
            ],
            wrapper_class=structlog.make_filtering_bound_logger(
                logging.WARNING if self.quiet else logging.INFO
            ),
            logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        )
        return structlog.get_logger()

    def console(self) -> Any:
        from rich.console import Console

        return Console(highlight=False)

    def settings(self) -> dict[str, Any]:
        """What --config says. Raises UsageError for a file that is no such configuration."""
        if self.config is None:
            return {}
        import tomllib

        try:
            content = tomllib.loads(self.config.read_text("utf-8"))
        except (OSError, ValueError) as error:
            raise UsageError(f"configuration {self.config}: {error}") from error
        unknown = set(content) - {"clearing_limit", "threads", "out"}
        if unknown:
            raise UsageError(
                f"configuration {self.config}: unknown {min(unknown)!r}; known are"
                " clearing_limit, threads, out"
            )
        for name, kind in (("clearing_limit", int), ("threads", int), ("out", str)):
            if name in content and type(content[name]) is not kind:
                raise UsageError(f"configuration {self.config}: {name} is no {kind.__name__}")
        return content


class Progress:
    """A bar with rows per second on stderr, on a terminal only."""

    def __init__(self, context: Context) -> None:
        self._shown = sys.stderr.isatty() and not (context.json or context.quiet)
        self._bar: Any = None
        self._tasks: dict[str, Any] = {}

    def __enter__(self) -> Progress:
        if self._shown:
            from rich.console import Console
            from rich.progress import (
                BarColumn,
                MofNCompleteColumn,
                ProgressColumn,
                TextColumn,
                TimeRemainingColumn,
            )
            from rich.progress import Progress as Bars
            from rich.text import Text

            class Rate(ProgressColumn):
                def render(self, task: Any) -> Text:
                    return Text(f"{task.finished_speed or task.speed or 0:,.0f} lines/s")

            self._bar = Bars(
                TextColumn("{task.description:<20}"),
                BarColumn(),
                MofNCompleteColumn(),
                Rate(),
                TimeRemainingColumn(),
                console=Console(stderr=True),
            )
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def __call__(self, phase: str, done: int, total: int) -> None:
        if self._bar is None:
            return
        if phase not in self._tasks:
            self._tasks[phase] = self._bar.add_task(phase, total=total or None)
        self._bar.update(self._tasks[phase], completed=done, total=total or None)


def shared(command: Callable[..., Any]) -> Callable[..., Any]:
    """Options that stand before or after the command's name."""

    @click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
    @click.option("--quiet", is_flag=True, help="Say nothing but errors.")
    @click.option(
        "--config", type=click.Path(path_type=Path, dir_okay=False), help="A TOML file."
    )
    @click.pass_context
    @functools.wraps(command)
    def wrapped(
        click_context: click.Context, /, as_json: bool, quiet: bool, config: Path | None, **rest: Any
    ) -> Any:
        context = click_context.ensure_object(Context)
        context.json |= as_json
        context.quiet |= quiet
        context.config = config or context.config
        return command(context, **rest)

    return wrapped


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="switch")
@shared
def cli(context: Context) -> None:
    """Clear bulk social-security credit transfers: a payment table goes in, cleared and settled
    files come out."""


def file_option(
    *names: str, required: bool = False, text: str = ""
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    return click.option(
        *names, type=click.Path(path_type=Path), required=required, metavar="FILE", help=text
    )


home_argument = click.argument("home", type=click.Path(path_type=Path))
at_option = click.option("--at", metavar="TIME", help="The time to record (ISO 8601).")
strict_option = click.option("--strict-columns", is_flag=True, help="Refuse unknown columns.")


def _time(at: str | None) -> str | None:
    if at is None:
        return None
    import datetime

    try:
        datetime.datetime.fromisoformat(at)
    except ValueError:
        raise UsageError(f"--at {at!r} is no ISO 8601 time, such as 2026-11-25T08:00:00") from None
    return at


def _new_settings(context: Context) -> Any:
    from switch.directory import Settings

    limit = context.settings().get("clearing_limit")
    return None if limit is None else Settings(clearing_limit=limit).check()


@cli.command()
@home_argument
@file_option("--participants", required=True, text="Participant directory.")
@file_option("--debtors", required=True, text="Accounts that pay.")
@file_option("--programmes", text="Programme table; default: the packaged one.")
@file_option("--balances", text="Opening balances of settlement accounts; they bind.")
@file_option("--key", text="Secret of keyed hashes; default: made at random.")
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
    at: str | None,
) -> None:
    """Make a new HOME."""
    from switch.engine import init as make

    secret = None
    if key is not None:
        try:
            secret = key.read_bytes()
        except OSError as error:
            raise UsageError(f"--key {key}: {error.strerror}") from error
        if len(secret) < 16:
            raise UsageError(f"--key {key}: a key has at least 16 bytes")
    with make(
        home,
        participants=participants,
        debtors=debtors,
        programmes=programmes,
        balances=balances,
        settings=_new_settings(context),
        key=secret,
        at=_time(at) or "",
    ) as engine:
        counts = {
            "participants": len(engine.directory.participants),
            "debtors": len(engine.directory.debtors),
            "programmes": len(engine.directory.programmes),
        }
    context.say({"home": str(home), **counts}, lambda: click.echo(f"{home} is ready: {_list(counts)}"))


@cli.command()
@home_argument
@file_option("--participants", text="Participant directory.")
@file_option("--debtors", text="Accounts that pay.")
@file_option("--programmes", text="Programme table.")
@at_option
@shared
def directory(
    context: Context,
    home: Path,
    participants: Path | None,
    debtors: Path | None,
    programmes: Path | None,
    at: str | None,
) -> None:
    """Show the directory of HOME, or replace tables of it (each change is audited)."""
    from switch.engine import Engine

    with Engine(home) as engine:
        settings = _new_settings(context)
        if participants or debtors or programmes or settings:
            engine.change_directory(
                participants=participants,
                debtors=debtors,
                programmes=programmes,
                settings=settings,
                at=_time(at) or "",
            )
        import msgspec

        content = msgspec.to_builtins(engine.directory)
        content["settings"] = msgspec.to_builtins(engine.settings)

    def show() -> None:
        from rich.table import Table

        table = Table(title=f"{len(content['participants'])} participants")
        for name in ("participant", "short_name", "kind", "settled_by", "status"):
            table.add_column(name, overflow="fold")
        for row in content["participants"]:
            table.add_row(*(row[c.header] for c in table.columns))
        context.console().print(table)

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
    """Load registers into HOME: upserts by key, or --replace swaps the whole."""
    from switch.engine import Engine

    if not (population or accounts or paid):
        raise UsageError("give at least one of --population, --accounts, --paid")
    with _opened(context, home, Engine) as engine, Progress(context) as progress:
        counts = engine.register(
            population=population,
            accounts=accounts,
            paid_history=paid,
            replace=replace,
            strict_columns=strict_columns,
            at=_time(at) or "",
            progress=progress,
        )
    context.log.info("registers loaded", home=str(home), **counts)
    context.say(counts, lambda: click.echo(f"loaded {_list(counts)}"))


def _opened(context: Context, home: Path, engine: Any) -> Any:
    opened = engine(home)
    for name in opened.home.quarantined:
        context.log.warning("a crash left this behind; it is in quarantine", folder=name)
    return opened


def _list(counts: dict[str, int]) -> str:
    return ", ".join(f"{count:,} {name}" for name, count in counts.items())


@cli.command()
@home_argument
@click.argument("tables", nargs=-1, required=True, metavar="TABLE...", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), metavar="DIR", help="Default: HOME/out.")
@click.option("--threads", type=click.IntRange(1, 256), help="Default: the machine's cores.")
@click.option("--fail-on-refused", is_flag=True, help="Exit 1 if lines were refused or held.")
@strict_option
@at_option
@shared
def run(
    context: Context,
    home: Path,
    tables: tuple[Path, ...],
    out: Path | None,
    threads: int | None,
    fail_on_refused: bool,
    strict_columns: bool,
    at: str | None,
) -> None:
    """Clear and settle payment TABLEs, in order; the first refusal stops."""
    from switch.engine import Engine

    config = context.settings()
    done: list[dict[str, Any]] = []
    at = _time(at)
    out = out or (Path(config["out"]) if "out" in config else None)
    threads = threads or config.get("threads") or os.cpu_count() or 1
    with _opened(context, home, Engine) as engine:
        engine.settings = _new_settings(context) or engine.settings
        for table in tables:
            began = time.monotonic()
            try:
                with Progress(context) as progress:
                    batch = engine.run(
                        table,
                        out=out,
                        threads=threads,
                        at=at,
                        strict_columns=strict_columns,
                        progress=progress,
                    )
            except SwitchError:
                if done and not context.json:
                    click.echo(f"{len(done)} of {len(tables)} tables are done", err=True)
                raise
            seconds = time.monotonic() - began
            for warning in batch.warnings:
                context.log.warning(warning, table=str(table))
            context.log.info(
                "batch answered" if batch.replayed else "batch committed",
                batch_id=batch.batch_id,
                cycle=batch.cycle,
                lines=batch.summary["received"]["count"],
                cleared=batch.summary["cleared"]["count"],
            )
            done.append(batch.summary)
            if not (context.json or context.quiet):
                from switch.console import print_batch

                print_batch(context.console(), batch.summary, seconds=seconds)
    context.say({"batches": done}, lambda: None)
    if fail_on_refused and any(b["refused"]["count"] or b["held"]["count"] for b in done):
        raise SystemExit(1)


@cli.command()
@home_argument
@click.option("--batch", "batch_id", metavar="ID", help="One batch, with its totals.")
@click.option("--line", metavar="ID:NUMBER", help="One line: batch id and line number.")
@click.option("--person", metavar="ID", help="All lines of one person (12 digits).")
@shared
def status(
    context: Context, home: Path, batch_id: str | None, line: str | None, person: str | None
) -> None:
    """Show where batches, lines and people's payments stand."""
    from switch import timeline
    from switch.store import Home

    if sum(choice is not None for choice in (batch_id, line, person)) > 1:
        raise UsageError("give one of --batch, --line, --person")
    with Home(home, writing=False) as opened:
        if batch_id is not None:
            summary = timeline.batch(opened, batch_id)

            def show_batch() -> None:
                from switch.console import print_batch

                print_batch(context.console(), summary)

            context.say(summary, show_batch)
        elif line is not None:
            name, _, number = line.rpartition(":")
            if not name or not (number.isascii() and number.isdigit()):
                raise UsageError("--line is a batch id, a colon and a line number: PENS-2026-11:17")
            found = timeline.line(opened, name, int(number))
            context.say(found, lambda: _show_lines([found]))
        elif person is not None:
            whole = timeline.person(opened, person)
            context.say(whole, lambda: _show_lines(whole["lines"]))
        else:
            rows = timeline.batches(opened)
            context.say({"batches": rows}, lambda: _show_batches(context, rows))


def _show_lines(lines: list[dict[str, Any]]) -> None:
    if not lines:
        click.echo("no line of this person came in")
    for line in lines:
        click.echo(
            f"{line['batch_id']}:{line['line_no']}  {line['benefit']} {line['period']}"
            f"  {line['amount']:,} dong"
        )
        for state in line["states"]:
            click.echo(f"  {state['at']}  {state['status']} {state['reason'] or '':4}  {state['text']}")
            if state["transfer_id"]:
                click.echo(
                    f"      transfer {state['transfer_id']} to {state['participant']},"
                    f" cycle {state['cycle']}"
                )


def _show_batches(context: Context, rows: list[dict[str, Any]]) -> None:
    from rich.table import Table

    table = Table(title=f"{len(rows)} batches")
    for name in ("batch", "value date", "state"):
        table.add_column(name, overflow="fold")
    for name in ("lines", "cleared", "held", "refused", "cleared dong"):
        table.add_column(name, justify="right")
    for row in rows:
        table.add_row(
            row["batch_id"],
            row["value_date"],
            row["state"],
            *(f"{row[s]['count']:,}" for s in ("received", "cleared", "held", "refused")),
            f"{row['cleared']['sum']:,}",
        )
    context.console().print(table)


@cli.command()
@home_argument
@click.option("--batch", "batch_id", metavar="ID", help="Default: the last one.")
@click.option("--out", type=click.Path(path_type=Path), metavar="DIR", help="Default: HOME/out.")
@shared
def report(context: Context, home: Path, batch_id: str | None, out: Path | None) -> None:
    """Draw a batch as a picture: DIR/ID/payday.svg."""
    from switch import timeline
    from switch.store import Home

    with Home(home, writing=False) as opened:
        if batch_id is None:
            rows = timeline.batches(opened)
            if not rows:
                raise UsageError(f"{home} has no batch yet")
            batch_id = str(rows[-1]["batch_id"])
        summary = timeline.batch(opened, batch_id)
    path = _draw(summary, out or home / "out")
    context.say({"batch_id": batch_id, "picture": str(path)}, lambda: click.echo(f"drawn: {path}"))


def _draw(summary: dict[str, Any], out: Path) -> Path:
    from switch.picture import payday_svg

    path: Path = out / summary["batch_id"] / "payday.svg"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(payday_svg(summary), "utf-8")
    except OSError as error:
        raise EnvironmentFailed(f"{path}: {error.strerror}") from error
    return path


@cli.command()
@home_argument
@shared
def verify(context: Context, home: Path) -> None:
    """Recompute every invariant of HOME from its files alone."""
    from switch.verify import verify as check

    checks = check(home)

    def show() -> None:
        names: dict[str, int] = {}
        for done in checks:
            names[done.name] = names.get(done.name, 0) + 1
        for name, count in names.items():
            click.echo(f"  holds  {name} ({count})")
        click.echo(f"{home}: {len(checks)} checks, all hold")

    context.say(
        {"checks": [{"name": c.name, "subject": c.subject, "holds": True} for c in checks]}, show
    )


@cli.command()
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--people", type=click.IntRange(1), required=True, metavar="N")
@click.option("--lines", type=click.IntRange(1), required=True, metavar="N")
@click.option("--seed", type=click.IntRange(0), required=True, metavar="S")
@shared
def generate(context: Context, folder: Path, people: int, lines: int, seed: int) -> None:
    """Simulate a nation and its payday into DIR: directory, registers, table, dossier, truth."""
    made = _generate(context, folder, people, lines, seed)
    document = {"folder": str(folder), "people": people, "count": lines, "sum": str(made.declared_sum)}
    context.say(
        document,
        lambda: click.echo(f"{folder}: {people:,} people, {lines:,} lines, {made.declared_sum:,} dong"),
    )


def _generate(context: Context, folder: Path, people: int, lines: int, seed: int) -> Any:
    from switch.sim.world import generate as make

    with Progress(context) as progress:
        try:
            return make(folder, people, lines, seed, progress=progress)
        except OSError as error:
            if isinstance(error, SwitchError):
                raise
            raise EnvironmentFailed(f"{error.filename or folder}: {error.strerror}") from error


@cli.command()
@click.option(
    "--dir",
    "folder",
    type=click.Path(path_type=Path),
    default=Path("demo"),
    show_default=True,
    help="Where the demo's files go; what an earlier demo left there is replaced.",
)
@click.option("--people", type=click.IntRange(1), default=DEMO_PEOPLE, show_default=True)
@click.option("--lines", type=click.IntRange(1), default=DEMO_LINES, show_default=True)
@click.option("--seed", type=click.IntRange(0), default=DEMO_SEED, show_default=True)
@shared
def demo(context: Context, folder: Path, people: int, lines: int, seed: int) -> None:
    """Simulate a small nation, run one payday through the native core, show what happened."""
    import shutil

    from switch.engine import init as make
    from switch.verify import verify as check

    mark = folder / ".switch-demo"
    if folder.exists() and any(folder.iterdir()):
        if not mark.exists():
            raise UsageError(f"{folder} holds other things: give another --dir")
        shutil.rmtree(folder)
    nation, home = folder / "nation", folder / "home"
    folder.mkdir(parents=True, exist_ok=True)
    mark.touch()

    def step(text: str) -> None:
        if not (context.json or context.quiet):
            click.secho(f"\n{text}", bold=True)

    step(f"1  A nation of {people:,} people and a payday of {lines:,} lines  ({nation})")
    _generate(context, nation, people, lines, seed)
    step(f"2  A home with its directory and registers  ({home})")
    with make(
        home, participants=nation / "participants.csv", debtors=nation / "debtors.csv"
    ) as engine:
        with Progress(context) as progress:
            engine.register(
                population=nation / "population.parquet",
                accounts=nation / "accounts.parquet",
                paid_history=nation / "paid.parquet",
                progress=progress,
            )
        step("3  The payday: screened, routed, cleared, netted, settled, committed")
        began = time.monotonic()
        with Progress(context) as progress:
            batch = engine.run(
                nation / "payday.parquet", threads=os.cpu_count() or 1, progress=progress
            )
        seconds = time.monotonic() - began
        if not (context.json or context.quiet):
            from switch.console import print_batch

            print_batch(context.console(), batch.summary, seconds=seconds)
        step("4  The same table once more: nothing is paid twice")
        again = engine.run(nation / "payday.parquet")
        assert again.replayed
        if not (context.json or context.quiet):
            click.echo("   answered from what was stored; no money moved")
    step("5  Every invariant recomputed from the files alone")
    checks = check(home)
    picture = _draw(batch.summary, home / "out")
    document = {"batch": batch.summary, "checks": len(checks), "picture": str(picture)}

    def show() -> None:
        click.echo(f"   {len(checks)} checks, all hold")
        step(f"The picture of the payday: {picture}")
        if sys.stdout.isatty() and (os.environ.get("DISPLAY") or sys.platform in ("darwin", "win32")):
            click.launch(str(picture))

    context.say(document, show)


def main() -> None:
    """Run the command line; every failure becomes its exit code and one clear message."""
    as_json = "--json" in sys.argv[1:]
    try:
        code = cli.main(standalone_mode=False)
        raise SystemExit(code if isinstance(code, int) else 0)
    except click.exceptions.Exit as stop:
        raise SystemExit(stop.exit_code) from None
    except click.ClickException as error:
        if as_json:
            _say_error({"rule": "USAGE", "what": error.format_message()}, error.exit_code)
        error.show(sys.stderr)
        raise SystemExit(error.exit_code) from None
    except click.Abort:
        click.echo("interrupted: nothing that was not committed has happened", err=True)
        raise SystemExit(130) from None
    except SwitchError as error:
        _fail(error, error.exit_code, as_json)
    except MemoryError:
        _fail(EnvironmentFailed("not enough memory"), EnvironmentFailed.exit_code, as_json)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        raise SystemExit(EnvironmentFailed.exit_code) from None
    except OSError as error:
        _fail(EnvironmentFailed(str(error)), EnvironmentFailed.exit_code, as_json)
    except Exception:
        import traceback

        traceback.print_exc()
        click.echo("this is a fault of the engine; what is committed stays the truth", err=True)
        raise SystemExit(SOFTWARE_FAULT) from None


def _fail(error: SwitchError, code: int, as_json: bool) -> None:
    if as_json:
        document: dict[str, Any] = {"rule": type(error).__name__, "what": str(error)}
        if isinstance(error, InputRefused):
            names = ("rule", "what", "file", "row", "column", "remedy")
            document = {name: getattr(error, name) for name in names}
        _say_error(document, code)
    click.echo(f"error: {error}", err=True)
    raise SystemExit(code)


def _say_error(document: dict[str, Any], code: int) -> None:
    import json

    sys.stdout.write(json.dumps({"error": {**document, "exit_code": code}}) + "\n")
