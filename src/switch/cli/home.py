"""Commands that make a home, and change its directory and registers."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from switch.cli import upkeep
from switch.cli.context import (
    Context,
    Progress,
    at_option,
    correct_option,
    file_option,
    home_argument,
    new_settings,
    parse_time,
    shared,
    strict_anyway_option,
    strict_option,
    wait_option,
)
from switch.cli.voice import tell, tell_next
from switch.cli.writing import opened, writer
from switch.errors import UsageError, counted

if TYPE_CHECKING:
    from switch.documents import DirectoryShown, HomeMade, RegistersLoaded

REGISTERS: dict[Literal["population", "accounts", "paid", "replaced_ids"], tuple[str, ...]] = {
    "population": ("person", "people"),
    "accounts": ("account",),
    "paid": ("entitlement paid before", "entitlements paid before"),
    "replaced_ids": ("id in place of another", "ids in place of others"),
}
"""Rows of registers in words: of one, and of several."""


@click.command()
@home_argument
@file_option("--participants", required=True, text="Participant directory.")
@file_option("--debtors", required=True, text="Accounts that pay.")
@file_option("--programmes", text="Programme table; default: the packaged one.")
@file_option("--balances", text="Opening balances of settlement accounts; they bind.")
@file_option("--key", text="Secret of keyed hashes; default: made at random.")
@file_option("--signing-key", text="Ed25519 key in PEM that signs commits; default: at random.")
@click.option(
    "--catalog",
    metavar="ADDRESS",
    default="",
    help="PostgreSQL database that keeps the catalog: postgresql://HOST/DB; default: a file.",
)
@click.option(
    "--files",
    metavar="ADDRESS",
    default="",
    help="Store that has the files, too: s3://BUCKET/FOLDER, gs:// or file://.",
)
@strict_anyway_option
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
    catalog: str,
    files: str,
    at: str | None,
) -> None:
    """Make a new HOME."""
    from switch.engine import init as make
    from switch.home import signing

    context.stands = functools.partial(_is_made, home)
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
        catalog=catalog,
        files=files,
    ) as engine:
        made: HomeMade = {
            "home": str(home),
            "participants": len(engine.directory.participants),
            "debtors": len(engine.directory.debtors),
            "programmes": len(engine.directory.programmes),
            "signed": signer is not None,
            "warnings": [],  # Its tables are closed: an unknown column is refused.
        }

    def show() -> None:
        unsigned = "; commits are not signed, for the extra [sign] is not installed"
        counts = ", ".join(
            counted(made[noun], noun.removesuffix("s"))
            for noun in ("participants", "debtors", "programmes")
        )
        tell(f"{home} is ready: {counts}{'' if signer else unsigned}")
        tell_next("register", home, "--population", "FILE", "--accounts", "FILE", files=[home])

    context.say(made, show)


def _is_made(home: Path) -> str:
    from switch.files.disk import is_home

    made = is_home(home)
    return f"{home} is made, and complete" if made else f"{home} is not made"


@click.command()
@home_argument
@file_option("--participants", text="Participant directory.")
@file_option("--debtors", text="Accounts that pay.")
@file_option("--programmes", text="Programme table.")
@file_option("--balances", text="What settlement accounts hold now; they bind.")
@strict_anyway_option
@at_option
@wait_option
@correct_option
@shared
def directory(
    context: Context,
    home: Path,
    participants: Path | None,
    debtors: Path | None,
    programmes: Path | None,
    balances: Path | None,
    at: str | None,
    correct: str | None,
) -> None:
    """Show the directory of HOME, or replace tables of it. Each change is audited."""
    warnings: list[str] = []
    with writer(context, home) as engine:
        settings = new_settings(context, engine.settings)
        if participants or debtors or programmes or balances or settings:
            engine.change_directory(
                participants=participants,
                debtors=debtors,
                programmes=programmes,
                balances=balances,
                settings=settings,
                at=parse_time(at) or "",
                correct=correct,
                warn=warnings.append,
            )
        import msgspec

        context.warn(warnings)
        parts = {**msgspec.structs.asdict(engine.directory), "settings": engine.settings}
        content: DirectoryShown = msgspec.to_builtins({**parts, "warnings": warnings})

    def show() -> None:
        from switch.cli.tables import print_directory

        print_directory(context.console(), content)

    context.say(content, show)


@click.command()
@home_argument
@file_option("--population", text="Population register.")
@file_option("--accounts", text="Account register.")
@file_option("--paid", text="Entitlements paid before this home existed.")
@file_option("--replaced", text="Ids of before, with those in their place.")
@click.option("--replace", is_flag=True, help="Swap the whole of what is given.")
@strict_option
@at_option
@wait_option
@correct_option
@shared
def register(
    context: Context,
    home: Path,
    population: Path | None,
    accounts: Path | None,
    paid: Path | None,
    replaced: Path | None,
    replace: bool,
    strict_columns: bool,
    at: str | None,
    correct: str | None,
) -> None:
    """Load registers into HOME. They are upserts by key; --replace swaps the whole."""

    if not (population or accounts or paid or replaced):
        raise UsageError("give at least one of --population, --accounts, --paid, --replaced")
    warnings: list[str] = []
    with opened(context, home) as engine, Progress(context) as progress:
        counts = engine.register(
            population=population,
            accounts=accounts,
            paid_history=paid,
            replaced=replaced,
            replace=replace,
            strict_columns=strict_columns,
            at=parse_time(at) or "",
            progress=progress,
            warn=warnings.append,
            correct=correct,
        )
    context.warn(warnings)
    context.log.info("registers loaded", home=str(home), **counts)
    loaded: RegistersLoaded = {"warnings": warnings}
    for name in REGISTERS:
        if name in counts:
            loaded[name] = counts[name]

    def show() -> None:
        words = (counted(counts[n], *noun) for n, noun in REGISTERS.items() if n in counts)
        tell(f"loaded {', '.join(words)}")
        tell_next("rehearse", home, "TABLE")

    context.say(loaded, show)


@click.command()
@home_argument
@at_option
@wait_option
@correct_option
@shared
def compact(context: Context, home: Path, at: str | None, correct: str | None) -> None:
    """Write the register whole. Changes that came since stand beside it until then; it happens by
    itself once it pays."""
    warnings: list[str] = []
    with writer(context, home) as engine:
        answer = engine.compact(at=parse_time(at) or "", warn=warnings.append, correct=correct)
    context.warn(warnings)
    shown = f"version {answer['version']} of the register is whole"
    if answer["deltas"]:
        people = counted(answer["people"], "person", "people")
        shown += f": {counted(answer['deltas'], 'delta')}, {people}"
    context.say(answer, lambda: tell(shown))


COMMANDS = (init, directory, register, compact)
