"""The command of citizens: a device is bound, its holder registers an account, both are shown."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from switch.cli.context import (
    GIVEN_PATH,
    Context,
    at_option,
    home_argument,
    parse_person,
    parse_time,
    shared,
    wait_option,
)
from switch.cli.voice import tell, tell_next
from switch.cli.writing import writer
from switch.errors import UsageError

if TYPE_CHECKING:
    from switch.engine import Engine

NEEDED = {
    "bind": ["device", "by", "secrets", "out", "at"],
    "account": ["device", "code", "secrets", "participant", "account", "at"],
    "show": [],
}
"""Options that each action needs."""
FREE = ("instead_of", "priority", "representative")
"""Options that `account` takes beside them."""


@click.command()
@home_argument
@click.argument("action", type=click.Choice(tuple(NEEDED)))
@click.argument("person", metavar="PERSON")
@click.option("--device", metavar="NAME", help="The device that is bound, or used.")
@click.option("--by", metavar="NAME", help="bind: who saw the person and the card.")
@click.option("--secrets", type=GIVEN_PATH, metavar="FILE", help="The authority's, in no home.")
@click.option("--out", type=GIVEN_PATH, metavar="FILE", help="bind: gets the otpauth address.")
@click.option("--code", metavar="DIGITS", help="account: the one-time password of the device.")
@click.option("--participant", metavar="CODE", help="account: who keeps it.")
@click.option("--account", metavar="TEXT", help="account: as its participant writes it.")
@click.option("--instead-of", nargs=2, metavar="CODE TEXT", help="account: of theirs, which ends.")
@click.option("--priority", type=click.IntRange(1, 255), help="account: 1 first; default: last.")
@click.option("--representative", metavar="PERSON", help="account: who acts, on their own device.")
@at_option
@wait_option
@shared
def citizen(
    context: Context, home: Path, action: str, person: str, at: str | None, **given: Any
) -> None:
    """Self-service of PERSON (12 digits, or - for stdin): bind a device, register an account with
    its one-time password, or show what is registered."""
    said = {name: value for name, value in {**given, "at": parse_time(at)}.items() if value}
    for name in NEEDED[action]:
        if name not in said:
            raise UsageError(f"citizen {action} needs --{name}")
    for name in said:
        if name not in NEEDED[action] and not (action == "account" and name in FREE):
            raise UsageError(f"--{name.replace('_', '-')} is not of citizen {action}")
    person_id = parse_person(person)
    if "representative" in said:
        said["representative"] = parse_person(said["representative"])
    if action == "show":
        from switch.engine import Engine

        with Engine(home, mode="r") as reading:
            _show(context, reading, person_id)
        return
    with writer(context, home) as engine:
        if action == "bind":
            _bind(context, engine, person_id, said)
        else:
            _account(context, engine, person_id, said)


def _bind(context: Context, engine: Engine, person_id: str, said: dict[str, Any]) -> None:
    told = engine.citizens.bind(person_id, **said)

    def show() -> None:
        tell(f"device {told['number']} is bound to {told['person']}, by {told['by']}")
        tell(f"the address for its authenticator: {told['file']}")
        tell_next("citizen", engine.home.path, "account", "PERSON", "--code", "DIGITS")

    context.say(told, show)


def _account(context: Context, engine: Engine, person_id: str, said: dict[str, Any]) -> None:
    told = engine.citizens.account(person_id, **said)

    def show() -> None:
        name = f"{told['participant']}:{told['account']}"
        tell(f"{name} receives from {told['valid_from']} on, with priority {told['priority']}")
        if told["valid_to"]:
            tell(f"it is a representative's, until {told['valid_to']}")
        if told["ended"]:
            tell(f"{told['ended']} ends the day before")

    context.say(told, show)


def _show(context: Context, engine: Engine, person_id: str) -> None:
    told = engine.citizens.show(person_id)

    def show() -> None:
        bound = f"device bound: {told['bound_at']}, {told['by']}"
        tell(bound if told["bound"] else "no device is bound")
        if told["locked_until"]:
            tell(f"locked until: {told['locked_until']}")
        for one in told["accounts"]:
            days = f"{one['valid_from'] or '...'} to {one['valid_to'] or '...'}"
            name = f"{one['priority']:3}  {one['participant']}:{one['account']}  {days}"
            tell(f"{name}  a representative's" if one["representative"] else name)
        if not told["accounts"]:
            tell("no account is registered")

    context.say(told, show)


COMMANDS = (citizen,)
