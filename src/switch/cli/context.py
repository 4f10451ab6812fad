"""Context: what every command shares: how to speak, the options, progress, and drawing a picture.

Nothing here knows a command.
"""

from __future__ import annotations

import functools
import os
import re
import resource
import sys
from collections.abc import Callable, Iterable, Mapping, MutableMapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from switch import words
from switch.cli.voice import json_line, tell
from switch.errors import (
    EnvironmentFailed,
    SwitchError,
    UsageError,
    plain,
)
from switch.files.disk import is_home
from switch.files.given import read_small
from switch.log import LOG_FIELDS
from switch.results import Summary

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress as Bars
    from rich.progress import Task, TaskID
    from rich.text import Text
    from structlog.typing import FilteringBoundLogger, Processor

    from switch.registry.settings import Settings
    from switch.sim.world.generate import Generated

Command = Callable[..., object]
"""A function that is a command, or becomes one."""

LINE_BYTES_MAX = 600
CONFIGURATION = {
    "clearing_limit": int,
    "threads": int,
    "out": str,
    "cutoffs": list,
    "holidays": list,
    "holidays_only": bool,
    "working_days": list,
    "insufficient_funds": str,
    "enforce_budgets": bool,
    "accounts_shared_max": int,
    "held_days": int,
    "held_days_of": dict,
    "cash_days": int,
}
"""Names of a configuration, and the types of their values."""


def allowed_fields(_: object, __: str, event: MutableMapping[str, object]) -> dict[str, object]:
    """A structlog processor: only the fields of LOG_FIELDS."""
    return {name: value for name, value in event.items() if name in LOG_FIELDS}


def plain_fields(_: object, __: str, event: MutableMapping[str, object]) -> dict[str, object]:
    """A structlog processor: no text of others steers a terminal. JSON has its own escapes."""
    return {n: plain(value) if isinstance(value, str) else value for n, value in event.items()}


class NoPandas:
    """A finder that says that pandas is not there: pyarrow imports it for the first value that it
    converts, a third of a second for nothing, as no command uses it."""

    @staticmethod
    def find_spec(name: str, *_: object) -> None:
        if name == "pandas":
            raise ModuleNotFoundError("commands do without pandas", name=name)


class Context:
    """State that all commands share: how to speak, and the configuration."""

    def __init__(self) -> None:
        self.json = False
        self.quiet = False
        self.config: Path | None = None
        self.language: str | None = None
        self.wait = 0.0
        """Seconds for which another writer of the home is waited for."""
        self.done: list[Summary] = []
        """Summaries of the batches that the command has finished, which stand whatever comes."""
        self.stands: Callable[[], str] = lambda: "nothing that was not committed has happened"
        """A sentence of what was done, for who interrupts the command."""

    def say(self, document: Mapping[str, object], show: Callable[[], None]) -> None:
        """The answer: as JSON, or as show prints it."""
        if self.json:
            sys.stdout.write(json_line(document))
        elif not self.quiet:
            show()

    def warn(self, warnings: Iterable[str], **where: str) -> None:
        for warning in warnings:
            self.log.warning(warning, **where)

    @functools.cached_property
    def log(self) -> FilteringBoundLogger:
        """structlog on stderr: for people on a terminal, JSON elsewhere."""
        import logging

        import structlog

        renderer: Processor = structlog.processors.JSONRenderer()
        shown: list[Processor] = []
        if sys.stderr.isatty():
            shown = [plain_fields]
            plain = "NO_COLOR" in os.environ or os.environ.get("TERM") in ("dumb", "unknown")
            renderer = structlog.dev.ConsoleRenderer(colors=not plain)
        structlog.configure(
            processors=[
                allowed_fields,
                structlog.processors.add_log_level,
                structlog.processors.TimeStamper(fmt="iso"),
                *shown,
                renderer,
            ],
            wrapper_class=structlog.make_filtering_bound_logger(
                logging.WARNING if self.quiet else logging.INFO
            ),
            logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        )
        log: FilteringBoundLogger = structlog.get_logger()
        return log

    def console(self) -> Console:
        from switch.cli.speaking import Speaking

        return Speaking(highlight=False)

    def settings(self) -> dict[str, Any]:
        """Values of --config. Raises UsageError for a file that is no such configuration."""
        if self.config is None:
            return {}
        import tomllib

        try:
            content = tomllib.loads(read_small(self.config).decode("utf-8"))
        except (OSError, ValueError, RecursionError) as error:
            raise UsageError(f"configuration {self.config}: {error}") from error
        unknown = set(content) - set(CONFIGURATION)
        if unknown:
            raise UsageError(
                f"configuration {self.config}: unknown {min(unknown)!r}; known are"
                f" {', '.join(CONFIGURATION)}"
            )
        for name, kind in CONFIGURATION.items():
            if name in content and type(content[name]) is not kind:
                raise UsageError(f"configuration {self.config}: {name} is no {kind.__name__}")
        if content.get("out") == "":
            raise UsageError(f"configuration {self.config}: out is empty")
        return content


class Progress:
    """A bar with rows per second on stderr, on a terminal only."""

    def __init__(self, context: Context) -> None:
        self._shown = sys.stderr.isatty() and not (context.json or context.quiet)
        self._bar: Bars | None = None
        self._tasks: dict[str, TaskID] = {}

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
                def render(self, task: Task) -> Text:
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


def shared(command: Command) -> Command:
    """Options that stand before or after the command's name."""

    @click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
    @click.option("--quiet", is_flag=True, help="Say nothing but warnings and errors.")
    @click.option("--config", type=click.Path(path_type=Path, dir_okay=False), help="A TOML file.")
    @click.option(
        "--lang",
        type=click.Choice(words.LANGUAGES),
        help="Of tables, reasons and timelines; default: the locale's.",
    )
    @click.pass_context
    @functools.wraps(command)
    def wrapped(
        click_context: click.Context,
        /,
        as_json: bool,
        quiet: bool,
        config: Path | None,
        lang: str | None,
        **rest: object,
    ) -> object:
        context = click_context.ensure_object(Context)
        context.language = lang or context.language
        words.Chosen.language = context.language or words.of_the_locale()
        context.json |= as_json
        context.quiet |= quiet
        context.config = config or context.config
        _require_text(click_context.command, rest)
        if click_context.invoked_subcommand is None:
            require_address_space()
        context.settings()  # A word that is none is told by every command, whatever it reads of it.
        try:
            return command(context, **rest)
        except BrokenPipeError as error:  # Click would call it 1, which means refused lines.
            raise EnvironmentFailed(str(error)) from error

    return wrapped


def _require_text(command: click.Command, options: dict[str, object]) -> None:
    """Options that are no paths are texts of UTF-8: nothing in a home has another name."""
    for option in command.params:
        value = options.get(option.name or "")
        for text in value if isinstance(value, tuple) else (value,):
            try:
                if isinstance(text, str):
                    text.encode()
            except UnicodeEncodeError:
                raise UsageError(f"{option.opts[0]} is not UTF-8") from None


def file_option(
    *names: str, required: bool = False, text: str = ""
) -> Callable[[Command], Command]:
    return click.option(
        *names, type=click.Path(path_type=Path), required=required, metavar="FILE", help=text
    )


home_argument = click.argument("home", type=click.Path(path_type=Path))
HOME_VARIABLE = "SWITCH_HOME"


def with_home(command: click.Command, ctx: click.Context, words: list[str]) -> list[str]:
    """Words of a call, with the home that the environment names where they name none: the first of
    several is HOME where it is a folder with a catalog, a single one where no other is needed."""
    named = os.environ.get(HOME_VARIABLE)
    places = [param.name for param in command.params if isinstance(param, click.Argument)]
    if not named or places[:1] != ["home"]:
        return words
    try:
        found, _, _ = command.make_parser(ctx).parse_args([*words])
    except click.UsageError:
        return words  # It is said when the call is parsed, and not here.
    first = found.get("home")
    if isinstance(first, str) and (len(places) == 1 or is_home(Path(first))):
        return words
    return [named, *words]


tables_argument = click.argument(
    "tables", nargs=-1, required=True, metavar="TABLE...", type=click.Path(path_type=Path)
)
threads_option = click.option(
    "--threads", type=click.IntRange(1, 256), help="Default: the machine's cores."
)
workers_option = click.option(
    "--workers",
    type=click.IntRange(0, 256),
    default=0,
    help="Processes that judge the lines, each those of a share of all persons; 0: this one.",
)
at_option = click.option(
    "--at", metavar="TIME", help="The time to record (ISO 8601); without a zone Vietnam's."
)


class GivenPath(click.Path):
    """A place to write to that was said: an empty text, such as that of a variable that was never
    set, is no name for the current folder."""

    def convert(
        self,
        value: str | os.PathLike[str],
        param: click.Parameter | None,
        ctx: click.Context | None,
    ) -> str | bytes | os.PathLike[str]:
        if value == "" and param is not None:
            raise UsageError(f"{param.opts[0]} is empty: name a place, or leave it out")
        return super().convert(value, param, ctx)


GIVEN_PATH = GivenPath(path_type=Path)
out_option = click.option("--out", type=GIVEN_PATH, metavar="DIR", help="Default: HOME/out.")
leap_option = click.option(
    "--leap", is_flag=True, help="Take a TIME more than 92 days after all that HOME knows."
)


correct_option = click.option(
    "--correct",
    metavar="WHY",
    help="Take a TIME that lies before what was signed or recorded; WHY is recorded.",
)


def said_options(command: Command) -> Command:
    """A time, and the words that it is meant."""
    return correct_option(leap_option(at_option(command)))


def _keep_wait(click_context: click.Context, _: click.Parameter, seconds: float) -> None:
    click_context.ensure_object(Context).wait = seconds


wait_option = click.option(
    "--wait",
    type=click.FloatRange(min=0),
    default=0,
    metavar="SECONDS",
    expose_value=False,
    callback=_keep_wait,
    help="Wait so long for another writer of HOME; default: not at all.",
)


strict_option = click.option("--strict-columns", is_flag=True, help="Refuse unknown columns.")
strict_anyway_option = click.option(
    "--strict-columns",
    is_flag=True,
    expose_value=False,
    help="Refuse unknown columns, as these tables do anyway.",
)
"""For tables that are closed (`Table.is_closed`): one word says the same at every door."""


def parse_line(text: str) -> tuple[str, int]:
    """(batch id, line number) of a line as options name it. Raises UsageError."""
    name, _, number = text.rpartition(":")
    if not name or not re.fullmatch("[0-9]{1,10}", number):
        raise UsageError(f"{text[:200]!r} is no line: write a batch id, a colon and a line number")
    return name, int(number)


def parse_person(text: str) -> str:
    """The id of a person: `-` has it read from stdin, for arguments stand in the list of processes,
    which others of the machine can read."""
    alone = "--person -: give one id alone, for one person is shown at a time"
    return text if text != "-" else line_of_stdin("--person -", alone)


def parse_found(text: str) -> str:
    """Text that is looked for; as of `parse_person`, for it may be of a person."""
    alone = "TEXT -: give one line alone, for one text is looked for at a time"
    return text if text != "-" else line_of_stdin("TEXT -", alone)


def line_of_stdin(name: str, alone: str) -> str:
    """The one line of stdin. name: of what is read there. alone: what is said where there are more.
    Raises UsageError."""
    if sys.stdin is None:
        raise UsageError(f"{name}: stdin is closed")
    first = sys.stdin.buffer.readline(LINE_BYTES_MAX)
    # Whoever types an id is not asked for an end of the file.
    if not sys.stdin.isatty() and sys.stdin.buffer.read(LINE_BYTES_MAX).strip():
        raise UsageError(alone)
    return first.decode("utf-8", "replace").strip()


def parse_time(at: str | None) -> str | None:
    if at is None:
        return None
    from switch.home.times import time_text

    try:
        if not at:
            raise UsageError("is empty")
        return time_text(at)
    except UsageError as error:
        raise UsageError(f"--at {error}") from None


def new_settings(context: Context, now: Settings | None = None) -> Settings | None:
    """The home's settings with what the configuration changes of them; None where it changes none.
    now: settings of a home that exists already."""
    import msgspec

    from switch.registry.settings import Settings

    names = set(Settings.__struct_fields__)
    given = {name: value for name, value in context.settings().items() if name in names}
    if not given:
        return None
    try:
        changes = msgspec.convert(given, Settings)
    except msgspec.ValidationError as error:
        raise UsageError(f"configuration {context.config}: {error}") from error
    return msgspec.structs.replace(
        now or Settings(), **{name: getattr(changes, name) for name in given}
    ).check()


def kept_settings(home: Path) -> Settings:
    """The settings that a home keeps, which is only read."""
    import msgspec

    from switch.home.store import Home
    from switch.registry.settings import Settings

    with Home(home, writing=False) as opened:
        return Settings.stored(msgspec.json.decode(opened.catalog.meta("settings")))


OF_A_RUN = ("clearing_limit", "threads", "out")


def settings_of_run(context: Context, now: Settings) -> Settings:
    """The home's settings with the limit that the configuration gives a run. Raises UsageError for
    any other that it would change: those are the home's own, and change with its directory."""
    import msgspec

    settings = new_settings(context, now)
    if settings is None:
        return now
    for name in context.settings():
        if name not in OF_A_RUN and getattr(settings, name) != getattr(now, name):
            raise UsageError(
                f"configuration {context.config}: {name} is not as HOME keeps it, which goes by its"
                f" own; change it with `switch directory HOME --config {context.config}`, or leave"
                " it out"
            )
    return msgspec.structs.replace(now, clearing_limit=settings.clearing_limit)


def generate(
    context: Context,
    folder: Path,
    people: int,
    lines: int,
    seed: int,
    *,
    households: bool = False,
) -> Generated:
    from switch.files.disk import require_outside
    from switch.sim.world.generate import generate as make

    require_outside(folder)
    with Progress(context) as progress:
        try:
            return make(folder, people, lines, seed, households=households, progress=progress)
        except OSError as error:
            if isinstance(error, SwitchError):
                raise
            raise EnvironmentFailed(f"{error.filename or folder}: {error.strerror}") from error


def fail(error: SwitchError, as_json: bool, done: Sequence[Summary] = ()) -> int:
    """Say why a command failed. Returns its exit code."""
    if as_json:
        say_error(error.told(), error.exit_code, done)
    tell(f"error: {error}", err=True)
    return error.exit_code


ADDRESS_BYTES_MIN = 3 << 30
"""Address space that a command needs: libraries, stacks and arenas of threads take 2.7 GiB of it,
most of which is never touched. With less some of them end the process, or wait for ever."""


def require_address_space() -> None:
    """Raise EnvironmentFailed where the limit of the process is below what a command needs."""
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    if limit != resource.RLIM_INFINITY and limit < ADDRESS_BYTES_MIN:
        raise EnvironmentFailed(
            f"the limit of address space is {limit >> 10} KB, and {ADDRESS_BYTES_MIN >> 10} are"
            " needed: raise it (`ulimit -v`), and limit memory by a control group in its place"
        )


def say_usage(error: click.ClickException) -> None:
    """A call that is none, as click says it; what was given in it does not steer a terminal."""
    context = getattr(error, "ctx", None)
    if context is not None:
        tell(context.get_usage(), err=True)
        tell(f"Try '{context.command_path} -h' for help.", err=True)
    tell(f"Error: {error.format_message()}", err=True)


def say_traceback() -> None:
    """Print where the engine failed, without the words of the exception: they may quote a file. Our
    own assertions quote nothing of a line."""
    import traceback

    kind, error, place = sys.exc_info()
    assert kind is not None
    click.echo("Traceback (most recent call last):", err=True)
    click.echo("".join(traceback.format_tb(place)), err=True, nl=False)
    what = str(error) if kind is AssertionError else "(what it says is not shown)"
    click.echo(f"{kind.__name__}: {what}", err=True)


def say_error(document: Mapping[str, object], code: int, done: Sequence[Summary] = ()) -> None:
    """The one document of a command that failed; done: the batches that it had finished."""
    batches: dict[str, object] = {"batches": done} if done else {}
    sys.stdout.write(json_line(batches | {"error": {**document, "exit_code": code}}))
    sys.stdout.flush()


def listed(counts: dict[str, int]) -> str:
    return ", ".join(f"{count:,} {name}" for name, count in counts.items())
