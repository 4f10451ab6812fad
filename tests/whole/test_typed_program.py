"""The typed program beside this file runs, and type checkers find no fault and no Any in it.

mypy and basedpyright (pyright, as a package of Python) come with the extra dev, as do the types of
pyarrow. Where one is not installed, its test is skipped and says so.
"""

from __future__ import annotations

import json
import re
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


WRONG_CALLS = {
    "engine.run(5)": "arg-type",
    "engine.run([1, 2])": "arg-type",
    "engine.run(b'table')": "arg-type",
    "engine.run(path, count='1')": "arg-type",
    "engine.run(path, thread=2)": "call-arg",
    "engine.reconcile(5)": "arg-type",
    "engine.reconcile(path, rules=5)": "arg-type",
    "engine.line('B', '3')": "arg-type",
    "engine.register(population=5)": "arg-type",
    "engine.write_back(['B:1'])": "list-item",
    "engine.change_directory(settings=5)": "arg-type",
    "switch.open(5)": "arg-type",
    "switch.init('h', participants=path)": "call-arg",
    "switch.verify(None)": "arg-type",
}
"""Calls of wrong types, and the word by which mypy refuses each."""
RIGHT_CALLS = (
    "engine.run(path)",
    "engine.run('t.parquet')",
    "engine.run(polars.LazyFrame({'a': [1]}))",
    "engine.run(polars.DataFrame({'a': [1]}))",
    "engine.run({'line_no': [1]})",
    "engine.reconcile(path, polars.DataFrame({'a': [1]}), rules='rules.toml')",
    "engine.change_directory(settings={'clearing_limit': 5})",
)


def test_wrong_calls__are_found_by_mypy_and_right_ones_are_not(tmp_path: Path) -> None:
    head = "from pathlib import Path\nimport polars\nimport switch\n"
    head += "engine = switch.open('h')\npath = Path('t')\n"
    program = tmp_path / "calls.py"
    program.write_text(head + "\n".join((*WRONG_CALLS, *RIGHT_CALLS)) + "\n", "utf-8")
    (tmp_path / "mypy.ini").write_text("[mypy]\n")
    options = ("--config-file", tmp_path / "mypy.ini", "--cache-dir", tmp_path, "--strict")
    done = subprocess.run(
        [sys.executable, "-m", "mypy", *map(str, options), str(program)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
    )
    found = {}
    for text in done.stdout.splitlines():
        if told := re.search(r"calls\.py:(\d+): error: .*\[([\w-]+)\]$", text):
            found[int(told[1]) - head.count("\n") - 1] = told[2]
    assert found == dict(enumerate(WRONG_CALLS.values())), done.stdout
