"""The typed program beside this file runs, and type checkers find no fault and no Any in it.

mypy and basedpyright (pyright, as a package of Python) come with the extra dev, as do the types of
pyarrow. Where one is not installed, its test is skipped and says so.
"""

from __future__ import annotations

import json
import subprocess
import sys
from importlib import resources
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = Path(__file__).with_name("typed_program.py")


def run(*arguments: object) -> str:
    done = subprocess.run(
        [sys.executable, *map(str, arguments)], capture_output=True, text=True, cwd=ROOT
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_typed_program__runs(tmp_path: Path) -> None:
    assert run(PROGRAM, tmp_path) == "typed\n"


def test_typed_program__mypy_finds_no_fault(tmp_path: Path) -> None:
    empty = tmp_path / "mypy.ini"
    empty.write_text("[mypy]\n")
    options = ("--strict", "--disallow-any-expr", "--config-file", empty, "--cache-dir", tmp_path)
    run("-m", "mypy", *options, PROGRAM)


def test_typed_program__pyright_finds_no_fault(tmp_path: Path) -> None:
    project = tmp_path / "pyrightconfig.json"
    settings = {"include": [str(PROGRAM)], "typeCheckingMode": "strict"}
    project.write_text(json.dumps(settings), "utf-8")
    run("-m", "basedpyright", "-p", project, "--pythonpath", sys.executable)


def test_package__says_that_it_is_typed() -> None:
    assert resources.files("switch").joinpath("py.typed").is_file()
