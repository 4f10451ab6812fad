"""Upkeep: commands that look after a home: repair from a copy, proof, deriving a batch again, and
a look at accounts that many persons share.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, cast

import click

from switch.cli.context import (
    Context,
    at_option,
    file_option,
    home_argument,
    out_option,
    parse_time,
    shared,
    wait_option,
)
from switch.cli.voice import tell
from switch.errors import (
    CopyFailed,
    EnvironmentFailed,
    InputRefused,
    UsageError,
    VerificationFailed,
    counted,
)
from switch.files.given import read_small, reason_of
from switch.results import SharedSheet

if TYPE_CHECKING:
    from switch.documents import Replayed, Scrubbed, Verified


@click.command()
@home_argument
@click.option(
    "--copy",
    required=True,
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="A second copy of HOME, such as a backup.",
)
@click.option("--dry-run", is_flag=True, help="Report, and repair nothing.")
@at_option
@wait_option
@shared
def scrub(context: Context, home: Path, copy: Path, dry_run: bool, at: str | None) -> None:
    """Compare HOME with a copy, and repair it. File by file, from what the copy still has."""
    from switch.proof.repair import scrub as compare

    findings = compare(home, copy, dry_run=dry_run, at=parse_time(at) or "", wait=context.wait)
    left = [f for f in findings if f.side == "home" and (dry_run or not f.repaired)]

    def show() -> None:
        for found in findings:
            mended = ("; can be repaired" if dry_run else "; repaired") if found.repaired else ""
            tell(f"  {found.side}: {found.path} {found.fault}{mended}")
        mine = [found for found in findings if found.side == "home"]
        tell(
            f"{home}: {counted(len(mine), 'damaged file')}, the home still has {len(left)};"
            f" the copy has {len(findings) - len(mine)}"
        )

    told = {"findings": [found._asdict() for found in findings], "remaining": len(left)}
    context.say(cast("Scrubbed", told), show)
    if left:
        tell(f"error: {counted(len(left), 'damaged file')} in {home}", err=True)
        raise SystemExit(VerificationFailed.exit_code)


@click.command()
@home_argument
@click.argument("batch", metavar="BATCH")
@click.argument("table", metavar="TABLE", type=click.Path(path_type=Path))
@click.option(
    "--register",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="HOME/registers/NNNNNN as it was, kept elsewhere; default: the current version.",
)
@shared
def replay(context: Context, home: Path, batch: str, table: Path, register: Path | None) -> None:
    """Derive BATCH again from its TABLE. The state before it is rebuilt, and all rows are compared
    with what was committed."""
    from switch.proof.replay import replay as derive

    digests = derive(home, batch, table, register=register)

    def show() -> None:
        for name, digest in digests.items():
            tell(f"  {digest[:16]}  {name}")
        tell(f"{batch}: {counted(len(digests), 'logical digest')}, all as committed")

    told: Replayed = {"batch": batch, "digests": digests}
    context.say(told, show)


@click.command()
@home_argument
@file_option("--checkpoint", text="Signed checkpoints that were kept: proves that history goes on.")
@file_option("--public-key", text="The key they were signed with (PEM).")
@shared
def verify(context: Context, home: Path, checkpoint: Path | None, public_key: Path | None) -> None:
    """Recompute every invariant of HOME from its files."""
    from switch.proof.verify import verify as check

    if (checkpoint is None) != (public_key is None):
        raise UsageError("--checkpoint and --public-key go together")
    key = None if public_key is None else read_secret("--public-key", public_key)
    checks = check(home, checkpoint=checkpoint, public_key=key)

    def show() -> None:
        names: dict[str, int] = {}
        for done in checks:
            names[done.name] = names.get(done.name, 0) + 1
        for name, count in names.items():
            tell(f"  holds  {name} ({count})")
        tell(f"{home}: {counted(len(checks), 'check')}, all hold")

    told: Verified = {
        "checks": [{"name": c.name, "subject": c.subject, "holds": True} for c in checks]
    }
    context.say(told, show)


@click.command("shared")
@home_argument
@click.option("--batch", "batch_id", metavar="ID", help="Default: the last one.")
@out_option
@shared
def shared_accounts(context: Context, home: Path, batch_id: str | None, out: Path | None) -> None:
    """List accounts of many persons in a batch, paid or waiting (NOCM). The whole list is written
    to DIR/ID/shared.csv; here accounts are masked."""
    from switch import status
    from switch.clearing import shared_accounts as shared
    from switch.files.disk import out_folder
    from switch.home.batch import batch_row
    from switch.home.store import Home
    from switch.report import sheet

    with Home(home, writing=False) as opened:
        row = batch_row(opened, batch_id or status.last_batch(opened))
        folder = out_folder(home, out)
        table = shared.shared_accounts(opened, row.seq)
        name = opened.catalog.out_name(row.batch_id, row.seq)
        try:
            path = sheet.write_sheet([table], folder, f"{name}/shared.csv")
        except CopyFailed as error:  # Of nothing that is committed.
            raise error.cause from error
    found: SharedSheet = {
        "batch_id": str(row.batch_id),
        **shared.told(table),
        "file": str(path),
    }

    def show() -> None:
        from switch.cli.tables import print_shared

        print_shared(context.console(), found)

    context.say(found, show)


def read_secret(option: str, path: Path) -> bytes:
    """The content of a file that was given for a key."""
    try:
        return read_small(path)
    except (InputRefused, EnvironmentFailed) as error:
        raise UsageError(f"{option} {path}: {reason_of(error)}") from error


COMMANDS = (shared_accounts, verify, scrub, replay)
