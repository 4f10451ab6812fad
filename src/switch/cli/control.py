"""Commands of control: a policy, the steps of a dossier up to its release, and what stops it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

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
from switch.cli.open_items import export_option, limit_option, say_listing, several_option
from switch.cli.voice import tell, tell_next
from switch.cli.writing import writer
from switch.errors import UsageError, counted
from switch.schema import DELIVERED

if TYPE_CHECKING:
    from switch.control.take import ActTaken

STEPS = {
    "approve": "Approve the table that another person prepared.",
    "authenticate": "Sign that the population database answered for every line.",
    "control": "Control it: budgets of programmes and debtor accounts, with all that is under way.",
    "certify": "Certify it: its digest and totals are final from now on.",
    "fund": "Sign that the money is there, with all that is under way.",
    "release": "Release it: the home runs it from now on, and nothing else in its place.",
}
STOPS = {
    "hold": "Hold a batch before its release, until `resume`.",
    "pause": "Pause a batch that is released and was not run, until `resume`.",
    "resume": "Let a batch go on that was held or paused.",
    "cancel": "Cancel a batch that was not run, for good; its table may be prepared anew.",
    "refuse": "Refuse a batch instead of signing the step that is due, for good.",
}
by_option = click.option("--by", required=True, metavar="NAME", help="Who signs, by the policy.")
key_option = click.option(
    "--key", required=True, metavar="KEY", help="Their private key: a PEM file, or pkcs11:..."
)
why_option = click.option("--why", default="", metavar="WORDS", help="Said with it, for good.")
needed_why_option = click.option("--why", required=True, metavar="WORDS", help="The reason.")
behalf_option = click.option(
    "--for", "behalf", default="", metavar="NAME", help="Who delegated the step to who signs."
)
answered_option = click.option(
    "--answered", type=click.IntRange(0), metavar="N", help="Lines that were answered."
)
table_option = click.option(
    "--table", type=GIVEN_PATH, metavar="FILE", help="Make sure that this is still the file."
)
batch_argument = click.argument("batch", metavar="BATCH")


@click.command()
@click.argument("file", metavar="KEY")
@click.option("--new", is_flag=True, help="Make a private key at random, and write it there.")
@shared
def key(context: Context, file: str, new: bool) -> None:
    """Show the public key of a private one, as a policy names it: a PEM file, or pkcs11:..."""
    from switch.control.keys import TOKEN, make_key, signer_of

    if new and file.startswith(TOKEN):
        raise UsageError("a key of a module is made with the module's own tools")
    if new:
        make_key(Path(file))
    public = signer_of(file).public
    context.say({"file": file, "public": public}, lambda: tell(public))


@click.command()
@click.argument("folder", type=GIVEN_PATH, metavar="DIR")
@shared
def draft(context: Context, folder: Path) -> None:
    """Write a policy to begin with into DIR, a new folder: a person for each step, and keys."""
    from switch.control.draft import draft_policy

    path = draft_policy(folder)

    def show() -> None:
        tell_next("policy", "HOME", path, files=[path])

    context.say({"policy": str(path)}, show)


@click.command()
@home_argument
@click.argument("file", required=False, type=GIVEN_PATH)
@several_option("sign", "NAME=KEY", "Who signs the change, and their private key.")
@at_option
@wait_option
@shared
def policy(
    context: Context, home: Path, file: Path | None, sign: tuple[str, ...], at: str | None
) -> None:
    """Set the policy of HOME from FILE (TOML or JSON), or show the one that holds."""
    if file is None:
        if sign or at:
            raise UsageError("--sign and --at are of a new policy: name its FILE")
        _show_policy(context, home)
        return
    signers = {}
    for text in sign:
        name, equals, path = text.partition("=")
        if not equals or not name or not path:
            raise UsageError(f"--sign {text!r} is not NAME=KEY")
        signers[name] = path
    with writer(context, home) as engine:
        told = engine.control.set_policy(file, signers=signers, at=parse_time(at))

    def show() -> None:
        tell(f"policy {told['version']} holds from now on")
        tell_next("prepare", home, "TABLE", "--by", "NAME", "--key", "FILE")

    context.say(told, show)


def _show_policy(context: Context, home: Path) -> None:
    from switch.engine import Engine

    with Engine(home, mode="r") as engine:
        told = engine.control.policy()
    if told is None:
        raise UsageError(f"{home} has no policy: `switch policy {home} FILE` sets one")

    def show() -> None:
        tell(f"policy {told['version']}")
        for step in told["policy"]["steps"]:
            people = [p["name"] for p in told["policy"]["people"] if step["step"] in p["roles"]]
            tell(f"{step['step']:13} {step.get('signers', 1)} of {', '.join(people)}")
            for above in step.get("above", ()):
                tell(f"{'':13} {above['signers']} above {above['sum']:,} dong")

    context.say(told, show)


@click.command()
@home_argument
@click.argument("table", type=GIVEN_PATH)
@by_option
@key_option
@why_option
@behalf_option
@at_option
@wait_option
@shared
def prepare(context: Context, home: Path, table: Path, at: str | None, **said: Any) -> None:
    """Prepare TABLE for release, with its dossier: the first step, by its maker."""
    with writer(context, home) as engine:
        told = engine.control.prepare(table, **said, at=parse_time(at))
    _say_act(context, home, told)


def _step_command(name: str, text: str, *options: Callable[[Command], Command]) -> click.Command:
    """A command that signs one step, or stops a dossier."""

    def command(
        context: Context, home: Path, batch: str, at: str | None, table: Path | None, **said: Any
    ) -> None:
        with writer(context, home) as engine:
            told = engine.control.sign(batch, name, table=table, **said, at=parse_time(at))
        _say_act(context, home, told)

    command.__doc__ = text
    made: Command = command
    made = table_option(at_option(wait_option(shared(made))))
    for option in reversed(options):
        made = option(made)
    made = home_argument(batch_argument(by_option(key_option(made))))
    return click.command(name)(made)


def _say_act(context: Context, home: Path, told: ActTaken) -> None:
    name = told["batch_id"]

    def show() -> None:
        tell(f"{name}: {told['step']} by {told['by']}, {told['state']}")
        if told["missing"] and told["step"] == told["next"]:
            tell(f"{counted(told['missing'], 'signature')} more: {told['next']}")
        if told["next"]:
            tell_next(told["next"], home, name, "--by", "NAME", "--key", "FILE")
        elif told["state"] == "RELEASED":
            tell_next("run", home, "TABLE")

    context.say(told, show)


@click.command()
@home_argument
@batch_argument
@click.argument("step")
@by_option
@click.option("--public", required=True, metavar="HEX", help="The public key of who signs.")
@why_option
@behalf_option
@answered_option
@table_option
@click.option("--out", required=True, type=GIVEN_PATH, metavar="FILE", help="Where it is written.")
@at_option
@shared
def statement(
    context: Context,
    home: Path,
    batch: str,
    step: str,
    out: Path,
    table: Path | None,
    at: str | None,
    **asked: Any,
) -> None:
    """Write the statement that somebody signs elsewhere, where the key is: STEP of BATCH."""
    from switch.control.desk import write_act
    from switch.engine import Engine

    with Engine(home, mode="r") as engine:
        act = engine.control.statement(batch, step, table=table, **asked, at=parse_time(at))
    write_act(out, act)

    def show() -> None:
        tell(f"{out}: {step} of {batch}, to be signed by {act.by}")
        tell_next("sign", out, "--key", "FILE")

    context.say({"file": str(out), "dossier": act.dossier, "step": step, "by": act.by}, show)


@click.command()
@click.argument("file", type=GIVEN_PATH)
@key_option
@shared
def sign(context: Context, file: Path, key: str) -> None:
    """Sign the statement in FILE, in its place; no home is needed."""
    from switch.control.desk import read_act, write_act
    from switch.control.keys import signer_of

    act, signer = read_act(file), signer_of(key)
    if signer.public != act.key:
        raise UsageError(f"the statement names another key than this one, {signer.public}")
    write_act(file, act.signed(signer))

    def show() -> None:
        table = act.table
        tell(f"{act.step} of {table.source}:{table.batch_id} is signed:")
        tell(f"{counted(table.count, 'line')}, {table.sum:,} dong, due {table.value_date}")
        tell_next("act", "HOME", file)

    context.say({"file": str(file), "dossier": act.dossier, "step": act.step, "by": act.by}, show)


@click.command()
@home_argument
@click.argument("file", type=GIVEN_PATH)
@wait_option
@shared
def act(context: Context, home: Path, file: Path) -> None:
    """Take the statement in FILE, which was signed elsewhere, into HOME."""
    with writer(context, home) as engine:
        told = engine.control.take_act(file)
    _say_act(context, home, told)


@click.command()
@home_argument
@several_option("state", "STATE", "Such as CERTIFIED; may be given again.")
@limit_option
@export_option
@shared
def dossiers(
    context: Context, home: Path, state: tuple[str, ...], limit: int | None, out: Path | None
) -> None:
    """List dossiers: where each stands, who signed, who has to sign next."""
    from switch.cli.grid import Shown
    from switch.home.store import asked as answered
    from switch.open_items.dossiers import dossiers as ask

    found = answered(home, lambda opened: ask(opened, state=state or None, limit=limit))
    columns = (
        Shown("dossier", "dossier"),
        Shown("source", "source", 3),
        Shown("batch", "batch_id"),
        Shown("state", "state"),
        Shown("due", "due"),
        Shown("more", "missing", 2),
        Shown("may sign", "may_sign", 1, False),
        Shown("lines", "count", 3),
        Shown("dong", "sum"),
        Shown("value date", "value_date", 4),
        Shown("signed", "signed", 5, False),
        Shown("last", "last_at", 6),
        Shown("why", "why", 7, False),
    )
    say_listing(context, found, "Dossiers, oldest first", columns, out)


@click.command()
@home_argument
@click.argument("spool", type=GIVEN_PATH)
@wait_option
@shared
def portal(context: Context, home: Path, spool: Path) -> None:
    """Take what parties delivered into SPOOL, once, and answer each delivery."""
    with writer(context, home) as engine:
        told = engine.control.portal(spool)

    def show() -> None:
        for one in told:
            name = f"{one['party']} {one['number']:06d}"
            why = f": {one['rule']}, {one['what']}" if one["rule"] else ""
            tell(f"{name} {one['kind']} {one['outcome']}{why}")
        if not told:
            tell("nothing was delivered")

    context.say({"deliveries": told}, show)


@click.command()
@click.argument("spool", type=GIVEN_PATH)
@click.argument("party")
@click.argument("files", nargs=-1, required=True, type=GIVEN_PATH, metavar="FILE...")
@click.option("--kind", required=True, type=click.Choice(DELIVERED), help="What the files are.")
@key_option
@click.option("--at", required=True, metavar="TIME", help="Time that is signed, ISO 8601.")
@shared
def deliver(
    context: Context,
    spool: Path,
    party: str,
    files: tuple[Path, ...],
    kind: str,
    key: str,
    at: str,
) -> None:
    """Deliver FILEs into the inbox of PARTY, with a signed manifest that lands last."""
    from switch.deliveries import deliver as put

    manifest = put(spool, party, kind, files, key=key, at=at)

    def show() -> None:
        told = f"{counted(manifest.count, 'row')}, {manifest.sum:,} dong"
        tell(f"{party} {manifest.number:06d}: {kind}, {told}")
        tell_next("portal", "HOME", spool)

    said = {"party": party, "number": manifest.number, "kind": kind}
    context.say({**said, "count": manifest.count, "sum": manifest.sum}, show)


COMMANDS = (
    draft,
    key,
    policy,
    prepare,
    *(
        _step_command(
            name,
            text,
            why_option,
            behalf_option,
            *((answered_option,) if name == "authenticate" else ()),
        )
        for name, text in STEPS.items()
    ),
    *(_step_command(name, text, needed_why_option) for name, text in STOPS.items()),
    statement,
    sign,
    act,
    dossiers,
    portal,
    deliver,
)
