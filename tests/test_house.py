"""The house rules that no linter knows: native rooms, twin tables, sizes, stubs, packaged data."""

from __future__ import annotations

import csv
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from switch import schema
from switch.reason import REASONS_COUNT, RULES, Reason

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "src"
PACKAGE = SOURCE / "switch"
CODE = sorted(path for path in SOURCE.rglob("*") if path.suffix in {".py", ".pyi", ".pyx", ".pxd"})
LINES_MAX = 600

STEPS = (
    {"_types", "_reason", "_account", "_pages", "_encode", "_decode"},
    {"_names", "_table", "_text", "_transfer", "_alone"},
    {"_screen", "_ledger", "_wire", "_gridlock", "_choice", "_branch", "_flow", "_match"},
    {"_core"},
)
"""Native rooms from the ground up: a room knows only rooms of lower steps."""
STEP_OF = {room: step for step, rooms in enumerate(STEPS) for room in rooms}
NATIVE = sorted([*PACKAGE.glob("*.pyx"), *PACKAGE.glob("*.pxd")])
ROOMS = sorted(path.stem for path in PACKAGE.glob("*.pyx"))

IMPORT = re.compile(r"^\s*(?:from\s+([\w.]+)\s+(c?import)\b|(c?import)\s+([\w.]+))", re.MULTILINE)
HOME_PATH = re.compile(r"(?<![\w.~)}])/(?:home|Users|root|work|mnt|srv)/\w|\b[A-Z]:\\Users\\")


def imports_of(path: Path) -> list[tuple[str, str]]:
    """(module, "import" or "cimport") of a Cython file; `from switch import x` is switch.x."""
    found = []
    for module, verb, bare_verb, bare in IMPORT.findall(path.read_text("utf-8")):
        assert module != "switch", f"{path.name}: write `from switch.room {verb} name`"
        found.append((module or bare, verb or bare_verb))
    return found


def constants_of(path: Path) -> dict[str, int]:
    """Whole numbers by name: #defines (SW_ left out), enumerators and module constants."""
    text = path.read_text("utf-8")
    found = {}
    for name, value in re.findall(r"^ *(?:#define )?(?:SW_)?([A-Z]\w*) (?:= )? *(.+)$", text, re.M):
        number = re.sub(r"/\*.*\*/|(?<=[0-9A-F])U?L*\b|#.*", "", value).strip("() ")
        terms = re.fullmatch(r"(-?)(0x[0-9A-F]+|\d+)(?: - (\d+))?", number)
        if terms:
            sign, first, less = terms.groups()
            found[name] = int(f"{sign}{first}", 0) - int(less or 0)
    return found


def run(*command: str) -> subprocess.CompletedProcess[str]:
    """A fresh Python in the repository's root, which finds the package from anywhere."""
    environment = {**os.environ, "PYTHONPATH": str(SOURCE), "MYPYPATH": str(SOURCE)}
    return subprocess.run(
        [sys.executable, *command], cwd=ROOT, env=environment, capture_output=True, text=True
    )


def tracked_files() -> list[Path]:
    """Files that git tracks or would add."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("not a git repository")
    return [ROOT / name for name in listed.stdout.split("\0") if (ROOT / name).is_file()]


def test_native_rooms__each_has_a_step_and_a_stub() -> None:
    assert {path.stem for path in NATIVE} == set(STEP_OF)
    assert sorted(path.stem for path in PACKAGE.glob("*.pyi")) == ROOMS


@pytest.mark.parametrize("path", NATIVE, ids=lambda path: path.name)
def test_native_rooms__know_only_lower_rooms(path: Path) -> None:
    for module, _ in imports_of(path):
        package, _, room = module.partition(".")
        if package != "switch" or room == path.stem:
            continue
        assert room in STEP_OF, f"{path.name} imports {module}, which is no native room"
        assert STEP_OF[room] < STEP_OF[path.stem], f"{path.name} imports {module}"


@pytest.mark.parametrize("path", NATIVE, ids=lambda path: path.name)
def test_native_rooms__need_no_arrow_and_no_numpy_headers(path: Path) -> None:
    for module, verb in imports_of(path):
        package = module.partition(".")[0]
        assert package != "pyarrow"
        assert (package, verb) != ("numpy", "cimport")


def test_reason_pxd__has_the_numbers_of_reason_py() -> None:
    numbers = constants_of(PACKAGE / "_reason.pxd")
    assert numbers.pop("REASONS_COUNT") == REASONS_COUNT
    assert numbers == {reason.name: reason.value for reason in Reason}
    assert sorted(numbers.values()) == list(range(REASONS_COUNT))


def test_reasons__each_has_a_rule_whose_code_is_listed() -> None:
    with (PACKAGE / "data" / "reason_codes.csv").open(encoding="utf-8", newline="") as file:
        listed = {row["code"]: row for row in csv.DictReader(file)}
    assert sorted(RULES) == [reason for reason in Reason if reason is not Reason.NONE]
    for rule in RULES.values():
        assert listed[rule.code]["in_status_set"] == "1", rule.code


@pytest.mark.parametrize("name", ["MONTHS", "NO_CODE", "NOT_GIVEN", "NO_ROW", "DAY_MIN", "DAY_MAX"])
def test_types_pxd__has_the_constants_of_schema(name: str) -> None:
    assert constants_of(PACKAGE / "_types.pxd")[name] == getattr(schema, name)


@pytest.mark.parametrize("name", ["MONTHS"])
def test_core_pyx__has_the_constants_of_schema(name: str) -> None:
    assert constants_of(PACKAGE / "_core.pyx")[name] == getattr(schema, name)


def test_types_pxd__numbers_life_as_schema_does() -> None:
    constants = constants_of(PACKAGE / "_types.pxd")
    assert [constants[life.upper()] for life in schema.LIFE] == list(range(len(schema.LIFE)))


@pytest.mark.parametrize("path", CODE, ids=lambda path: path.relative_to(SOURCE).as_posix())
def test_files__have_at_most_600_lines(path: Path) -> None:
    lines_count = path.read_text("utf-8").count("\n")
    assert lines_count <= LINES_MAX


def test_stubs__say_what_the_built_modules_are() -> None:
    modules = [f"switch.{room}" for room in ROOMS]
    options = ["--concise", "--allowlist", "tests/stubtest-allowlist.txt"]
    checked = run("-m", "mypy.stubtest", *modules, *options, "--ignore-unused-allowlist")
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_repository__names_no_path_of_somebodys_machine() -> None:
    for path in tracked_files():
        try:
            text = path.read_text("utf-8")
        except UnicodeDecodeError:
            continue
        found = HOME_PATH.search(text)
        assert found is None, f"{path.relative_to(ROOT)}: {found and found.group()}"


def test_data__every_table_stands_in_its_readme() -> None:
    readme = (PACKAGE / "data" / "README.md").read_text("utf-8")
    tables = {path.name for path in (PACKAGE / "data").iterdir()} - {"README.md"}
    assert tables
    assert {name for name in tables if f"| {name} |" not in readme} == set()


def test_package__imports_neither_numpy_nor_pyarrow_by_itself() -> None:
    asked = run("-c", "import json, sys, switch; print(json.dumps(sorted(sys.modules)))")
    assert asked.returncode == 0, asked.stderr
    loaded = set(json.loads(asked.stdout))
    assert "switch" in loaded
    assert loaded & {"numpy", "pyarrow", "switch.engine"} == set()
