"""The command that looks at the machine and at a home before a payday."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, cast

import click

from switch.cli.context import Context, shared
from switch.cli.voice import tell
from switch.errors import counted

if TYPE_CHECKING:
    from switch.documents import Examined


@click.command()
@click.argument("home", metavar="[HOME]", required=False, type=click.Path(path_type=Path))
@shared
def doctor(context: Context, home: Path | None) -> None:
    """Look whether the machine, and HOME, are fit for a payday. Nothing is changed."""
    from switch.doctor import FAIL, WARN, examine

    found = examine(home)

    def show() -> None:
        for one in found.findings:
            tell(f"{one.state:5} {one.subject:16} {one.text}", bold=one.state == FAIL or None)
            if one.remedy:
                tell(f"{'':22} {one.remedy}")
        states = [one.state for one in found.findings]
        tell(
            f"{counted(len(states), 'finding')}: {states.count(FAIL)} fail,"
            f" {states.count(WARN)} to look at"
        )

    told = {"state": found.state, "findings": [one._asdict() for one in found.findings]}
    context.say(cast("Examined", told), show)
    if found.exit_code:
        raise SystemExit(found.exit_code)


COMMANDS = (doctor,)
