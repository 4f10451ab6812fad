"""Public calls describe themselves: each docstring names every parameter of its call."""

from __future__ import annotations

import ast
import inspect
import re
import sys
import textwrap
import typing
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import switch


def public() -> Iterator[tuple[str, Callable[..., Any]]]:
    """All public functions and classes, and the public methods of those classes."""
    for name in switch.__all__:
        value = getattr(switch, name)
        is_error = inspect.isclass(value) and issubclass(value, Exception)
        if not is_error or inspect.isfunction(value.__init__):
            yield name, value
        if inspect.isclass(value):
            methods = inspect.getmembers(value, inspect.isfunction)
            own = [(n, method) for n, method in methods if not n.startswith("_")]
            yield from ((f"{name}.{n}", m) for n, m in own if m.__module__.startswith("switch"))


def of_record(call: Callable[..., Any], parameter: inspect.Parameter) -> type:
    """The record whose fields a call takes as keywords."""
    (record,) = typing.get_args(typing.get_type_hints(call)[parameter.name])
    assert isinstance(record, type)
    return record


def parameters(call: Callable[..., Any]) -> Iterator[str]:
    """Names of a call's parameters, those of its options among them."""
    for parameter in inspect.signature(call).parameters.values():
        if parameter.kind is parameter.VAR_KEYWORD:
            yield from typing.get_type_hints(of_record(call, parameter))
        elif parameter.name != "self":
            yield parameter.name


def described_fields(kind: type) -> set[str]:
    """Fields of a class, and of records that it adds to, that have a docstring of their own."""
    (tree,) = ast.parse(textwrap.dedent(inspect.getsource(kind))).body
    assert isinstance(tree, ast.ClassDef)
    # A TypedDict does not keep its bases, so they are looked up by name.
    module = sys.modules[kind.__module__]
    bases = [getattr(module, base.id, None) for base in tree.bases if isinstance(base, ast.Name)]
    inherited = [described_fields(base) for base in bases if base and typing.is_typeddict(base)]
    return set[str]().union(*inherited) | {
        field.target.id
        for field, text in zip(tree.body, tree.body[1:], strict=False)
        if isinstance(field, ast.AnnAssign)
        and isinstance(field.target, ast.Name)
        and isinstance(text, ast.Expr)
        and isinstance(text.value, ast.Constant)
    }


@pytest.mark.parametrize(
    ("name", "call"), [*public()], ids=lambda one: one if isinstance(one, str) else ""
)
def test_docstring__names_every_parameter(name: str, call: Callable[..., Any]) -> None:
    said = inspect.getdoc(call) or ""
    assert said, f"{name} has no docstring"
    known = set(re.findall(r"\w+", said))
    if inspect.isclass(call):
        known |= described_fields(call)
    lacking = [one for one in parameters(call) if one not in known]
    assert not lacking, f"{name} says nothing of {', '.join(lacking)}"


def test_options__have_a_docstring_each() -> None:
    records = {
        of_record(call, parameter)
        for _, call in public()
        for parameter in inspect.signature(call).parameters.values()
        if parameter.kind is parameter.VAR_KEYWORD
    }
    assert len(records) >= 3
    for record in records:
        lacking = typing.get_type_hints(record).keys() - described_fields(record)
        assert not lacking, f"{record.__name__} says nothing of {', '.join(sorted(lacking))}"
