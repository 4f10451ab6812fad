"""What the documents say is so: commands and code of the README run, links lead somewhere, and the
tables of reasons, rules, exit codes, bits and limits are those of the code."""

from __future__ import annotations

import ast
import contextlib
import csv
import datetime as dt
import io
import os
import re
import shlex
import sys
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path

import pytest
from documents import ROOT, cells
from typed_lines import played

import switch
from switch import errors
from switch.cli import main
from switch.reason import RULES, Reason

SOURCE = Path(switch.__file__).parent
README = (ROOT / "README.md").read_text("utf-8")
SKIPPED_FOLDERS = {"build", "demo", "dist", "node_modules"}


PYTHON = ["README.md", "docs/reconciliation.md", "docs/settlement.md"]
"""Documents with blocks of Python, which all run as they stand."""


def blocks(language: str, text: str = README) -> list[str]:
    """Fenced blocks of a document in one language, in order."""
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)


def commands() -> Iterator[tuple[str, int]]:
    """(command, exit code) of every line in a shell block; `# exit N` says which but zero."""
    for block in blocks("sh"):
        for line in block.replace("\\\n", " ").splitlines():
            command, _, comment = line.partition("#")
            if command.strip() and not command.startswith(("make ", "pip ")):
                said = re.search(r"exit (\d+)", comment)
                yield command.strip(), int(said[1]) if said else 0


def documents() -> list[Path]:
    found = []
    for path in ROOT.rglob("*.md"):
        folders = path.relative_to(ROOT).parts[:-1]
        if not any(name.startswith(".") or name in SKIPPED_FOLDERS for name in folders):
            found.append(path)
    return found


def anchors(path: Path) -> set[str]:
    """Anchors of a document's headings."""
    heads = re.findall(r"^#+ (.+)$", path.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


@pytest.fixture
def shell(tmp_path: Path) -> dict[str, str]:
    """An environment in which `switch` is this interpreter's."""
    program = tmp_path / "bin" / "switch"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m switch "$@"\n')
    program.chmod(0o755)
    paths = [str(SOURCE.parent), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {
        **os.environ,
        "PATH": f"{program.parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": os.pathsep.join(paths),
    }


def test_readme__every_command_exits_as_said(
    tmp_path: Path, shell: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    run = list(commands())
    assert len(run) >= 10
    for command, code in run:
        done = played(command, tmp_path, shell)
        assert done.code == code, f"{command}\n{done.out}\n{done.err}"
    assert (tmp_path / "home/out/PAYDAY-2026-11/payday.svg").exists()
    with switch.open(tmp_path / "home") as engine:
        told = engine.status()
    credited = told.batches[0]["now"]["credited"]["count"]
    assert credited > 14_000
    assert (told.open["unanswered"]["count"], told.open["breaks"]["count"]) == (0, 0)
    assert (told.open["returned"]["count"], told.open["days"]["open"]) == (0, [])
    assert [step["command"].split()[1] for step in told.next] == ["held"]


@pytest.mark.parametrize("document", PYTHON)
def test_docs__python_prints_what_it_says(
    document: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {"__name__": "readme"}
    run = blocks("python", (ROOT / document).read_text("utf-8"))
    assert run
    for block in run:
        last = block.split("\n\n")[-1].splitlines()
        said = [line.removeprefix("# ") for line in last if line.startswith("# ")]
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            exec(compile(block, document, "exec"), names)
        assert out.getvalue().splitlines() == (said if len(said) == len(last) else [])


def test_docs__python_stands_where_it_is_run() -> None:
    found = [path for path in documents() if blocks("python", path.read_text("utf-8"))]
    assert sorted(str(path.relative_to(ROOT)) for path in found) == sorted(PYTHON)


def test_readme__shows_the_two_commands_for_a_fresh_machine() -> None:
    shown = [line for block in blocks("sh") for line in block.splitlines()]
    targets = re.findall(r"^(\w+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
    for target in ("demo", "test"):
        assert f"make {target}" in shown
        assert target in targets


def test_readme__names_every_command() -> None:
    for name in main.cli.commands:
        assert f"switch {name}" in README or f"make {name}" in README, name


def test_contract__names_every_option_of_a_command() -> None:
    rows = [row for row in cells("docs/contract.md") if row[0].startswith("`switch ")]
    listed = {row[0].split()[1].strip("`"): " ".join(row) for row in rows}
    assert set(listed) == set(main.cli.commands)
    for name, command in main.cli.commands.items():
        options = {option for param in command.params for option in param.opts}
        for option in options - {"--json", "--quiet", "--config", "--lang"}:
            assert not option.startswith("-") or option in listed[name], (name, option)


def test_readme__exit_codes_are_those_of_the_errors() -> None:
    shown = {int(row[0]) for row in cells("README.md") if row[0].isdigit()}
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type)]
    codes = {kind.exit_code for kind in kinds if issubclass(kind, errors.SwitchError)}
    assert shown == {0, 1} | codes


def test_readme__road_names_every_reason_code() -> None:
    road = README.split("## The road of a line")[1].split("\n## ")[0]
    assert {rule.code for rule in RULES.values()} <= set(re.findall(r"\b[A-Z0-9]{4}\b", road))


def test_docs__picture_stands_alone() -> None:
    picture = ROOT / "docs" / "payday.svg"
    text = picture.read_text("utf-8")
    assert "docs/payday.svg" in README
    assert ET.fromstring(text).tag == "{http://www.w3.org/2000/svg}svg"
    assert "<script" not in text
    assert "href" not in text


@pytest.mark.parametrize("path", documents(), ids=lambda p: p.relative_to(ROOT).as_posix())
def test_docs__links_lead_somewhere(path: Path) -> None:
    code = re.compile(r"^```.*?^```$|`[^`\n]+`", re.DOTALL | re.MULTILINE)
    text = code.sub("", path.read_text("utf-8"))
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", target):
            continue
        file, _, anchor = target.partition("#")
        found = path if not file else path.parent / file
        assert found.exists(), target
        assert ROOT in found.resolve().parents, f"{target} leads out of the project"
        if anchor:
            assert anchor in anchors(found), target


LATER_ROWS = {
    "9b": int(Reason.IDENTITY_PENDING),
    "9c": int(Reason.IDENTITY_DUPLICATE),
    "11b": int(Reason.ACCOUNT_MALFORMED),
    "14a": int(Reason.ACCOUNT_OVER_MONTH),
    "14b": int(Reason.ACCOUNT_SHARED),
    "15b": int(Reason.EXCLUDED),
}


def test_contract__screening_table_is_the_table_of_reasons() -> None:
    rows = [row for row in cells("docs/contract.md") if len(row) == 4 and row[0][0].isdigit()]
    # A row that came later stands in its place by a letter; its number is the next that was free.
    shown = {LATER_ROWS.get(n) or int(n): (status, code) for n, _, status, code in rows}
    known = {int(reason): (rule.status, rule.code) for reason, rule in RULES.items()}
    # The contract's row 15 has two numbers in the code: paid before, and earlier in the table.
    assert known.pop(Reason.DUPLICATE_IN_TABLE) == known[Reason.PAID_BEFORE]
    known[16] = known.pop(Reason.COVER_MISSING)
    assert shown == known


REFUSING = {"InputRefused": 1, "BadValue": 1, "refuse": 1, "_refuse": 1, "_Fault": 1, "Words": 3}
"""What refuses, or words a refusal, and how many of its first arguments are rules."""
RULE = re.compile("[A-Z_]{4,}")


def rules_in(tree: ast.AST) -> Iterator[str]:
    """Rule words that a module gives: first arguments of what refuses, and tables of such."""
    for node in ast.walk(tree):
        given: list[ast.AST] = []
        if isinstance(node, ast.Call):
            name = getattr(node.func, "id", getattr(node.func, "attr", ""))
            rules = node.args[: REFUSING.get(name, 0)]
            given = [part for arg in rules for part in ast.walk(arg)]
        elif isinstance(node, ast.Dict):
            given = [v.elts[0] if isinstance(v, ast.Tuple) and v.elts else v for v in node.values]
            given = [v for v in given if "_" in str(getattr(v, "value", ""))]
        elif isinstance(node, ast.Tuple) and len(node.elts) == 3:
            given = node.elts[:1]
        words = (str(n.value) for n in given if isinstance(n, ast.Constant))
        yield from (word for word in words if RULE.fullmatch(word))


def test_operations__every_refusal_has_a_remedy() -> None:
    used = {
        word
        for path in SOURCE.rglob("*.py")
        if path.relative_to(SOURCE).parts[0] != "sim"
        for word in rules_in(ast.parse(path.read_text("utf-8")))
    }
    listed = {row[0] for row in cells("docs/operations.md") if RULE.fullmatch(row[0])}
    assert len(listed) > 40
    assert used == listed


def test_formats__flags_of_a_record_are_those_of_the_core() -> None:
    text = (SOURCE / "native" / "types.pxd").read_text("utf-8")
    defined = re.findall(r"#define SW_(\w+)\s+\(1ULL << (\d+)\)\s", text)
    shown = {row[1]: row[0] for row in cells("docs/formats.md") if len(row) == 3}
    assert defined
    for name, bit in defined:
        assert shown.get(name) == bit, name


def test_limits__are_those_of_the_code() -> None:
    checked = 0
    for row in cells("docs/limits.md"):
        where = re.fullmatch(r"`(\w+)\.(\w+)`", row[-1])
        if where is None or len(row) != 3:
            continue
        text = "".join(path.read_text("utf-8") for path in SOURCE.rglob(f"{where[1]}.p*"))
        assert where[2] in text, row
        found = re.search(rf"^\s*{where[2]}\s*=\s*([\w*<+ ]+?)\s*(?:#.*)?$", text, re.MULTILINE)
        if found is None:
            assert where[2] == "CURRENCY", row
            continue
        value = re.match(r"[\d,^]+(?: MiB)?", row[1])
        assert value is not None, row
        shown = value[0].replace(",", "").replace("^", "**").replace(" MiB", " << 20")
        assert eval(shown) == eval(found[1]), row
        checked += 1
    assert checked >= 10


def test_agencies__have_their_time_and_where_it_is_known_from() -> None:
    """A reform is rows of data: an agency that ended ends before those that took over begin."""
    path = ROOT / "src/switch/data/agencies.csv"
    rows = list(csv.DictReader(path.read_text("utf-8").splitlines()))
    assert len({row["agency"] for row in rows}) == len(rows)
    assert all(row["name"] and row["does"] and row["basis"] for row in rows)
    ended = [row["until"] for row in rows if row["until"]]
    begun = [row["since"] for row in rows if row["since"]]
    assert ended
    assert max(map(dt.date.fromisoformat, ended)) < min(map(dt.date.fromisoformat, begun))
