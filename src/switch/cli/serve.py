"""Commands that show a home live: a server of pages, its staff, and a view in the terminal."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from switch.cli.context import GIVEN_PATH, Context, home_argument, shared
from switch.cli.voice import tell
from switch.cli.watch import bounds_of, limits_options, time_of
from switch.errors import EnvironmentFailed, UsageError

if TYPE_CHECKING:
    from switch.serve.front import Done

ROLE_WORDS = ("operator", "approver", "auditor", "agency")


@click.command()
@home_argument
@click.option("--host", default="127.0.0.1", show_default=True, help="Where it listens.")
@click.option("--port", type=click.IntRange(0, 65535), default=8010, show_default=True)
@click.option("--staff", type=GIVEN_PATH, metavar="FILE", help="Who may come in, by a token.")
@click.option("--cert", type=GIVEN_PATH, metavar="FILE", help="Certificate of TLS, in PEM.")
@click.option("--key", type=GIVEN_PATH, metavar="FILE", help="Its private key, in PEM.")
@click.option("--by", metavar="NAME", help="Who is at this machine, where no --staff is given.")
@click.option("--role", multiple=True, metavar="WORD", help="Theirs: operator or approver.")
@limits_options
@shared
def serve(
    context: Context,
    home: Path,
    host: str,
    port: int,
    staff: Path | None,
    cert: Path | None,
    key: Path | None,
    by: str | None,
    role: tuple[str, ...],
    at: str | None,
    limits: Path | None,
    spool: Path | None,
) -> None:
    """Serve live pages of a home: this machine's own address, or any with --staff and TLS. Without
    --by and --role whoever is at this machine sees everything, and does nothing."""
    if context.json:
        raise UsageError("--json says one thing at its end: a server that runs on has none")
    with _installed():
        from switch.serve.house import House
        from switch.serve.server import Address, staff_of
        from switch.serve.server import serve as run
        from switch.serve.staff import Person, require_person
    address = Address(host, port, cert, key)
    people = staff_of(address, staff)
    alone = None
    if people is not None and (by or role):
        raise UsageError("--by and --role are of a machine without --staff: who comes in is named")
    if by or role:
        require_person(by or "", role, ())
        alone = Person(by or "", frozenset(role))
    time_of(at)  # A time that is none is told before anything is served.
    given = {"--limits": limits, "--spool": spool}
    bounds = [word for name, file in given.items() if file for word in (name, str(file))]
    house = House(home, name=str(home), limits=bounds_of(limits), spool=spool, bounds=tuple(bounds))
    try:
        run(
            house,
            address,
            staff=people,
            alone=alone,
            clock=lambda: time_of(at),
            log=_say_done,
            ready=_say_quietly if context.quiet else _say_ready,
        )
    finally:
        house.close()


def _say_ready(address: str) -> None:
    tell(f"{address} shows the home; Ctrl-C ends it")
    sys.stdout.flush()


def _say_quietly(_: str) -> None:
    """Say nothing."""


def _say_done(done: Done) -> None:
    tell(f"{done.person}: {done.command}: {done.fault or 'done'}", err=True)


@contextlib.contextmanager
def _installed() -> Iterator[None]:
    """Tell that the extra is missing, where it is. Raises EnvironmentFailed."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise EnvironmentFailed(
            f"{error.name} is not installed: install the extra [http] (payment-switch[http])"
        ) from error


@click.command()
@click.argument("file", type=GIVEN_PATH)
@click.argument("name")
@click.option("--role", multiple=True, required=True, metavar="WORD", help=", ".join(ROLE_WORDS))
@click.option("--source", multiple=True, metavar="AGENCY", help="Of an agency: whose tables.")
@shared
def staff(
    context: Context, file: Path, name: str, role: tuple[str, ...], source: tuple[str, ...]
) -> None:
    """Add NAME to the staff in FILE, or give who is there other roles and a new token. The token
    is told once, and kept nowhere."""
    with _installed():
        from switch.serve.staff import add_person

    token = add_person(file, name, role, source)
    told = {"file": str(file), "name": name, "roles": sorted(role), "sources": sorted(source)}

    def show() -> None:
        tell(f"{name}: {', '.join(sorted(role))}")
        tell(f"token: {token}")

    context.say({**told, "token": token}, show)


COMMANDS = (serve, staff)
"""Commands of this module."""
