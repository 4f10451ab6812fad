"""The house rules that no linter knows: native files, twin tables, sizes, stubs, packaged data."""

from __future__ import annotations

import csv
import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from switch import schema
from switch.reason import CANCELLED, EXPIRED, GIVEN_UP, REASONS_COUNT, RULES, Reason
from switch.settlement.fee_rules import FEE_RULES

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "src"
PACKAGE = SOURCE / "switch"
TESTS = ROOT / "tests"
CODE = sorted(path for path in SOURCE.rglob("*") if path.suffix in {".py", ".pyi", ".pyx", ".pxd"})
WRITTEN = sorted([*CODE, *TESTS.rglob("*.py"), *(ROOT / "bench").rglob("*.py")])
"""Files that people read: of the package, of tests and of benchmarks."""
LINES_MAX = 600

STEPS = (
    {"types", "reason", "account", "pages", "parquet_encode", "thrift"},
    {"names", "people_table", "csv_text", "transfer_id", "alone", "parquet_decode", "parquet_row"},
    {
        "screen",
        "ledger",
        "outbox",
        "in_order",
        "by_value",
        "branch",
        "flow",
        "match",
        "sent",
        "parts",
        "by_row",
    },
    {"_core"},
)
"""Native files from the ground up: a file knows only files of lower steps."""
STEP_OF = {name: step for step, names in enumerate(STEPS) for name in names}
NATIVE = sorted(
    path
    for path in PACKAGE.rglob("*")
    if path.suffix in {".pyx", ".pxd"} and path.name != "__init__.pxd"
)
EXTENSIONS = sorted(path for path in NATIVE if path.suffix == ".pyx")

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
    if not (ROOT / ".git").exists():
        pytest.skip("no git repository: an unpacked package, or a copy in which mutants are tried")
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert not listed.returncode, listed.stderr  # A checkout of another owner, for example.
    return [ROOT / name for name in listed.stdout.split("\0") if (ROOT / name).is_file()]


def test_native__each_file_has_a_step_and_a_stub() -> None:
    assert {path.stem for path in NATIVE} == set(STEP_OF)
    assert sorted(PACKAGE.rglob("*.pyi")) == [path.with_suffix(".pyi") for path in EXTENSIONS]
    assert {path.parent for path in NATIVE if path.stem != "_core"} == {PACKAGE / "native"}


@pytest.mark.parametrize("path", NATIVE, ids=lambda path: path.name)
def test_native__knows_only_lower_files(path: Path) -> None:
    for module, _ in imports_of(path):
        package, _, name = module.rpartition(".")
        if not module.startswith("switch") or name == path.stem:
            continue
        assert package == "switch.native", f"{path.name} imports {module}, which is not native"
        assert STEP_OF[name] < STEP_OF[path.stem], f"{path.name} imports {module}"


@pytest.mark.parametrize("path", NATIVE, ids=lambda path: path.name)
def test_native__needs_no_arrow_and_no_numpy_headers(path: Path) -> None:
    for module, verb in imports_of(path):
        package = module.partition(".")[0]
        assert package != "pyarrow"
        assert (package, verb) != ("numpy", "cimport")


def test_reason_pxd__has_the_numbers_of_reason_py() -> None:
    numbers = constants_of(PACKAGE / "native" / "reason.pxd")
    assert numbers.pop("REASONS_COUNT") == REASONS_COUNT
    assert numbers == {reason.name: reason.value for reason in Reason}
    assert sorted(numbers.values()) == list(range(REASONS_COUNT))


def test_reasons__each_has_a_rule_whose_code_is_listed() -> None:
    with (PACKAGE / "data" / "reason_codes.csv").open(encoding="utf-8", newline="") as file:
        listed = {row["code"]: row for row in csv.DictReader(file)}
    assert sorted(RULES) == [reason for reason in Reason if reason is not Reason.NONE]
    for rule in (*RULES.values(), *FEE_RULES.values(), GIVEN_UP, CANCELLED, EXPIRED):
        assert listed[rule.code]["in_status_set"] == "1", rule.code


@pytest.mark.parametrize("name", ["MONTHS", "NO_CODE", "NOT_GIVEN", "NO_ROW", "DAY_MIN", "DAY_MAX"])
def test_types_pxd__has_the_constants_of_schema(name: str) -> None:
    assert constants_of(PACKAGE / "native" / "types.pxd")[name] == getattr(schema, name)


@pytest.mark.parametrize("name", ["MONTHS"])
def test_core_pyx__has_the_constants_of_schema(name: str) -> None:
    assert constants_of(PACKAGE / "_core.pyx")[name] == getattr(schema, name)


def test_types_pxd__numbers_life_as_schema_does() -> None:
    constants = constants_of(PACKAGE / "native" / "types.pxd")
    assert [constants[life.upper()] for life in schema.LIFE] == list(range(len(schema.LIFE)))


@pytest.mark.parametrize("path", WRITTEN, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_files__have_at_most_600_lines(path: Path) -> None:
    lines_count = path.read_text("utf-8").count("\n")
    assert lines_count <= LINES_MAX


def test_sql__stands_in_the_catalog_alone() -> None:
    """A room asks the catalog by name, and says what changes: no one else knows the database."""
    words = r"\b(?:SELECT [\w*(].* FROM|INSERT (?:OR \w+ )?INTO|UPDATE \w+ SET|DELETE FROM|PRAGMA) "
    found = {path for path in CODE if re.search(words, path.read_text("utf-8"))}
    rooms = ("catalog", "changes", "chain", "dialect", "served")
    assert found == {PACKAGE / "home" / f"{name}.py" for name in rooms}


def test_tests__stand_in_a_room_and_import_no_other_test() -> None:
    """What two test files share stands in a module beside scene.py."""
    rooms = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    for path in TESTS.rglob("test_*.py"):
        room = path.parent.relative_to(TESTS).as_posix()
        assert room in rooms | {"native", "whole", "house", "crash"}, path
        found = re.search(r"^\s*(?:from|import) (?:\w+\.)*test_\w+", path.read_text("utf-8"), re.M)
        assert found is None, f"{path.relative_to(ROOT)}: {found and found.group()}"


def test_stubs__say_what_the_built_modules_are() -> None:
    modules = [".".join(p.relative_to(SOURCE).with_suffix("").parts) for p in EXTENSIONS]
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


def test_check__chooses_the_tests_of_a_file() -> None:
    spec = importlib.util.spec_from_file_location("check", ROOT / "tests" / "check.py")
    assert spec is not None
    assert spec.loader is not None
    check = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(check)
    assert all((ROOT / "tests" / name).is_file() for name in check.CHOICE)
    assert check.tests_of(["README.md"]) == []
    assert check.tests_of(["tests/native/test_names.py"]) == ["native/test_names.py"]
    assert "native/test_kernels.py" in check.tests_of(["src/switch/native/ledger.pyx"])
    assert "home/test_days.py" in check.tests_of(["src/switch/home/days.py"])
    assert set(check.CHOICE) <= set(check.tests_of(["tests/scene.py"]))
