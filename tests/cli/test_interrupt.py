"""Ctrl-C at a command: one line and exit 130, whatever is imported; too late when it is done."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from scene import Said

import switch
from switch import interrupt

AT_IMPORT = """
import os, signal, sys
wanted = sys.argv.pop(1)
class Interrupts:
    def find_spec(self, name, path=None, target=None):
        if name == wanted:
            sys.meta_path.remove(self)
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Interrupts())
from switch.__main__ import main
main()
"""
AT_END = """
import atexit, os, signal
atexit.register(lambda: os.kill(os.getpid(), signal.SIGINT))
from switch.__main__ import main
main()
"""


def program(text: str, *words: object) -> Said:
    source = str(Path(switch.__file__).resolve().parents[1])
    done = subprocess.run(
        [sys.executable, "-c", text, *map(str, words)],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"PYTHONPATH": source},
    )
    return Said(done.returncode, done.stdout, done.stderr)


@pytest.mark.parametrize(
    "module",
    [
        *("click", "switch.cli", "switch.cli.main", "switch.errors", "switch.cli.context"),
        *("switch.cli.voice", "switch.cli.payday", "switch.home.times", "resource"),
        *("switch.home.store", "switch.engine", "msgspec", "numpy", "sqlite3"),
    ],
)
def test_interrupt__while_a_module_is_imported_is_no_traceback(module: str, village: Path) -> None:
    said = program(AT_IMPORT, module, "directory", village)
    assert (said.code, said.out) == (interrupt.INTERRUPTED, "")
    # What is imported late is imported whole first, and by then it is known of what home it is.
    nothing = f"interrupted: nothing of it is done, and {village} is as before it"
    assert said.err.strip() in (interrupt.TOLD, nothing)


def test_interrupt__of_a_command_that_is_done_changes_nothing(village: Path) -> None:
    said = program(AT_END, "--json", "status", village)
    assert (said.code, said.document["batches"], said.err) == (0, [], "")


def test_interrupt__that_a_process_ignores_stays_ignored(village: Path) -> None:
    ignoring = "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)\n"
    said = program(ignoring + AT_IMPORT, "switch.engine", "--json", "directory", village)
    assert (said.code, said.err) == (0, "")
