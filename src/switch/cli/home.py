"""Commands that make a home, and change its directory and registers."""

from __future__ import annotations

from pathlib import Path

import click

from switch.cli import upkeep
from switch.cli.context import (
    Context,
    Progress,
    at_option,
    correct_option,
    file_option,
    home_argument,
    listed,
    new_settings,
    opened,
    parse_time,
    shared,
    strict_option,
    wait_option,
)
from switch.cli.voice import tell, tell_next
from switch.errors import UsageError


@click.command()
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

    def show() -> None:
        unsigned = "; commits are not signed, for the extra [sign] is not installed"
        tell(f"{home} is ready: {listed(counts)}{'' if signer else unsigned}")
        tell_next("register", home, "--population", "FILE", "--accounts", "FILE", files=[home])

    context.say(
        {"home": str(home), **counts, "signed": signer is not None},
        show,
    )


@click.command()
@home_argument
@file_option("--participants", text="Participant directory.")
@file_option("--debtors", text="Accounts that pay.")
@file_option("--programmes", text="Programme table.")
@file_option("--balances", text="What settlement accounts hold now; they bind.")
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
    from switch.engine import Engine

    warnings: list[str] = []
    with Engine(home, wait=context.wait) as engine:
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
        content = msgspec.to_builtins(engine.directory)
        content["settings"] = msgspec.to_builtins(engine.settings)
        content["warnings"] = warnings

    def show() -> None:
        from switch.cli.tables import print_directory

        print_directory(context.console(), content)

    context.say(content, show)


@click.command()
@home_argument
@file_option("--population", text="Population register.")
@file_option("--accounts", text="Account register.")
@file_option("--paid", text="Entitlements paid before this home existed.")
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
    replace: bool,
    strict_columns: bool,
    at: str | None,
    correct: str | None,
) -> None:
    """Load registers into HOME. They are upserts by key; --replace swaps the whole."""

    if not (population or accounts or paid):
        raise UsageError("give at least one of --population, --accounts, --paid")
    warnings: list[str] = []
    with opened(context, home) as engine, Progress(context) as progress:
        counts = engine.register(
            population=population,
            accounts=accounts,
            paid_history=paid,
            replace=replace,
            strict_columns=strict_columns,
            at=parse_time(at) or "",
            progress=progress,
            warn=warnings.append,
            correct=correct,
        )
    context.warn(warnings)
    context.log.info("registers loaded", home=str(home), **counts)

    def show() -> None:
        tell(f"loaded {listed(counts)}")
        tell_next("rehearse", home, "TABLE")

    context.say({**counts, "warnings": warnings}, show)


COMMANDS = (init, directory, register)
