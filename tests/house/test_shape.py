"""The shape of the code: how long a function is, what it takes, where attributes are born, which
classes inherit, and how a docstring begins."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
NATIVE = {".pyx", ".pxd", ".pyi"}
SOURCES = sorted((ROOT / "src/switch").rglob("*.py"))
DESCRIBED = sorted(p for p in (ROOT / "src/switch").rglob("*") if p.suffix in NATIVE | {".py"})
LINES_MAX, PARAMETERS_MAX = 70, 8
QUESTIONS = ("What", "Of", "Who", "Whose", "Where", "How", "Whether", "Why", "Which", "When")

KEYWORDS = {
    "engine.py:run",
    "engine.py:init",
    "engine.py:register",
    "sim/world/generate.py:generate",
}
"""Public functions of many options, each given by its name; they hand one record on."""

BORN_OUTSIDE = {"switch.errors", "switch.home.rows", "switch.home.chain"}
"""Modules whose classes are there to be inherited: an error is one of its kind, and a change of
the catalog may be one row of it."""

Function = ast.FunctionDef | ast.AsyncFunctionDef


def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text("utf-8"))


def functions(tree: ast.AST) -> Iterator[Function]:
    return (node for node in ast.walk(tree) if isinstance(node, Function))


def name_of(path: Path, name: str) -> str:
    return f"{path.relative_to(ROOT / 'src/switch')}:{name}"


def is_command(function: Function) -> bool:
    """click hands every option of a command to its function as a parameter."""
    return any("command" in ast.unparse(d) or "option" in ast.unparse(d)
               for d in function.decorator_list)  # fmt: skip


def parameters(function: Function) -> list[str]:
    of = function.args
    names = [a.arg for a in (*of.posonlyargs, *of.args, *of.kwonlyargs)]
    return [name for name in names if name not in ("self", "cls")]


def own_attributes(function: Function) -> Iterator[str]:
    """Attributes of self that a method sets."""
    for node in ast.walk(function):
        targets = node.targets if isinstance(node, ast.Assign) else []
        if isinstance(node, ast.AnnAssign | ast.AugAssign):
            targets = [node.target]
        for target in targets:
            for part in ast.walk(target):
                if (
                    isinstance(part, ast.Attribute)
                    and isinstance(part.value, ast.Name)
                    and part.value.id == "self"
                    and isinstance(part.ctx, ast.Store)
                ):
                    yield part.attr


def fields_of(owner: ast.ClassDef, classes: dict[str, ast.ClassDef]) -> set[str]:
    """Attributes that a class, or one of the same file that it inherits, declares in its body or in
    __init__."""
    born = {
        t.id
        for node in owner.body
        for t in (node.targets if isinstance(node, ast.Assign) else
                  [node.target] if isinstance(node, ast.AnnAssign) else [])
        if isinstance(t, ast.Name)
    }  # fmt: skip
    for node in owner.body:
        if isinstance(node, Function) and node.name in ("__init__", "__post_init__"):
            born |= set(own_attributes(node))
        if isinstance(node, Function) and any("setter" in ast.unparse(d) for d in
                                              node.decorator_list):  # fmt: skip
            born.add(node.name)
    for base in owner.bases:
        if isinstance(base, ast.Name) and base.id in classes:
            born |= fields_of(classes[base.id], classes)
    return born


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: name_of(p, "")[:-1])
def test_functions__are_short_and_take_few_parameters(path: Path) -> None:
    for function in functions(tree_of(path)):
        assert function.end_lineno is not None
        lines = function.end_lineno - function.lineno + 1
        assert lines <= LINES_MAX, f"{name_of(path, function.name)} has {lines} lines"
        if not is_command(function) and name_of(path, function.name) not in KEYWORDS:
            many = len(parameters(function))
            assert many <= PARAMETERS_MAX, f"{name_of(path, function.name)} takes {many} parameters"


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: name_of(p, "")[:-1])
def test_classes__have_every_attribute_from_the_beginning(path: Path) -> None:
    classes = {n.name: n for n in ast.walk(tree_of(path)) if isinstance(n, ast.ClassDef)}
    for owner in classes.values():
        born = fields_of(owner, classes)
        for method in (n for n in owner.body if isinstance(n, Function)):
            late = set(own_attributes(method)) - born
            assert not late, f"{name_of(path, owner.name)}.{method.name} adds {sorted(late)}"


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: name_of(p, "")[:-1])
def test_classes__inherit_from_no_class_of_another_file(path: Path) -> None:
    tree = tree_of(path)
    others = {
        alias.asname or alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module not in BORN_OUTSIDE
        and (node.module or "").startswith("switch")
        for alias in node.names
    }  # fmt: skip
    for owner in (n for n in ast.walk(tree) if isinstance(n, ast.ClassDef)):
        for base in owner.bases:
            first = ast.unparse(base).partition(".")[0].partition("[")[0]
            assert first not in others, f"{name_of(path, owner.name)} inherits {ast.unparse(base)}"


@pytest.mark.parametrize("path", DESCRIBED, ids=lambda p: name_of(p, "")[:-1])
def test_docstrings__begin_with_a_noun_or_a_verb(path: Path) -> None:
    """Those of native code and of attributes too."""
    words = re.compile(rf'^ *"""({"|".join(QUESTIONS)})\b.*', re.MULTILINE)
    assert [found[0] for found in words.finditer(path.read_text("utf-8"))] == []
