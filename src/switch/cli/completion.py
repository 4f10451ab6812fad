"""The command that completes words of the command line in a shell."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click
from click.shell_completion import get_completion_class

from switch.cli.context import Context, shared
from switch.cli.voice import tell
from switch.errors import EnvironmentFailed

if TYPE_CHECKING:
    from switch.documents import Completion, CompletionInstalled

PLACES = {
    "bash": "XDG_DATA_HOME:.local/share:bash-completion/completions/switch",
    "zsh": "ZDOTDIR::.zfunc/_switch",
    "fish": "XDG_CONFIG_HOME:.config:fish/completions/switch.fish",
}
"""Variable of a folder, that folder in a person's own where it is not set, and the file in it that
a shell reads."""
ZSH = "add to .zshrc, before compinit: fpath=({folder} $fpath)"


@click.command()
@click.argument("shell", type=click.Choice([*PLACES]))
@click.option("--install", is_flag=True, help="Write it where the shell looks for it.")
@shared
def completion(context: Context, shell: Literal["bash", "zsh", "fish"], install: bool) -> None:
    """Complete words of `switch` in a shell: print what it has to read, or install that."""
    made = get_completion_class(shell)
    assert made is not None
    program = click.get_current_context().find_root().command
    words = made(program, {}, "switch", "_SWITCH_COMPLETE")
    source = words.source_template % words.source_vars()
    if not install:
        printed: Completion = {"shell": shell, "source": source}
        context.say(printed, lambda: click.echo(source))
        return
    variable, own, name = PLACES[shell].split(":")
    path = Path(os.environ.get(variable) or Path.home() / own) / name
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source, "utf-8")
    except OSError as error:
        raise EnvironmentFailed(f"{path}: {error.strerror}") from error

    def show() -> None:
        tell(f"{path} is written: open a new shell")
        if shell == "zsh":
            tell(ZSH.format(folder=path.parent))

    installed: CompletionInstalled = {"shell": shell, "file": str(path)}
    context.say(installed, show)


COMMANDS = (completion,)
