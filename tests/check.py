"""A choice of the tests, for `make check`: what a change is likely to break, in two minutes.

    python tests/check.py            a choice over all rooms that ends within two minutes
    python tests/check.py REVISION   tests of the files that differ from REVISION

A test file is about every module of the engine that it imports by name, and about itself. What
every test stands on (scenes, fixtures, the description of the project) brings the choice besides.
Before that every test file is imported once: one may need a name that another no longer has.
"""

from __future__ import annotations

import ast
import functools
import re
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TESTS = ROOT / "tests"
CHOICE = (
    "house/test_house.py",
    "house/test_mutants.py",
    "house/test_golden.py",
    "native/test_kernels.py",
    "native/test_names.py",
    "home/test_commit.py",
    "settlement/test_cycles.py",
    "home/test_days.py",
    "settlement/test_recast.py",
    "proof/test_answered.py",
    "settlement/test_liquidity.py",
    "whole/test_library.py",
)
"""Rules of the house, bytes at rest, kernels, one commit, cycles, days, the way back, its proof."""
COMMON = {"pyproject.toml", "setup.py"}
SUFFIXES = {".py", ".pyi", ".pyx", ".pxd"}


@functools.cache
def modules_of(text: str) -> set[str]:
    """Modules of the engine that a test names in its imports."""
    found = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ImportFrom) and str(node.module).partition(".")[0] == "switch":
            found |= {str(node.module), *(f"{node.module}.{name.name}" for name in node.names)}
        elif isinstance(node, ast.Import):
            found |= {name.name for name in node.names}
    return found


def tests_of(changed: Iterable[str]) -> list[str]:
    """Test files, as paths below tests/, of changed files, as paths below the root."""
    names = set(changed)
    modules = {
        ".".join(Path(name).with_suffix("").parts[1:]).removesuffix(".__init__")
        for name in names
        if name.startswith("src/") and Path(name).suffix in SUFFIXES
    }
    shared = {name for name in names if re.fullmatch(r"tests/\w+\.py", name)}
    chosen = set(CHOICE) if shared or names & COMMON else set()
    for path in sorted(TESTS.rglob("test_*.py")):
        name = path.relative_to(TESTS).as_posix()
        if f"tests/{name}" in names or modules & modules_of(path.read_text("utf-8")):
            chosen.add(name)
    return sorted(chosen)


def changed_since(revision: str) -> list[str]:
    """Files that differ from a revision, also such as git does not know yet."""
    listed = []
    for command in (
        ["git", "diff", "--name-only", revision],
        ["git", "ls-files", "--others", "--exclude-standard"],
    ):
        told = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
        listed += told.stdout.splitlines()
    return listed


def main() -> int:
    pytest = [sys.executable, "-m", "pytest"]
    told = subprocess.run(
        [*pytest, "--collect-only", "-qq", str(TESTS)], cwd=ROOT, capture_output=True, text=True
    )
    if told.returncode:
        print(told.stdout, told.stderr)
        return told.returncode
    chosen = tests_of(changed_since(sys.argv[1])) if len(sys.argv) > 1 else list(CHOICE)
    if not chosen:
        print("no test file is about what changed")
        return 0
    print(*chosen)
    paths = [str(TESTS / name) for name in chosen]
    return subprocess.run([*pytest, "-n", "2", *paths], cwd=ROOT).returncode


if __name__ == "__main__":
    raise SystemExit(main())
