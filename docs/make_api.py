"""API reference: docs/api.md, from the docstrings of all public names.

python docs/make_api.py            writes it
python docs/make_api.py --check    exit 1 where it is not as it would be written
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator
from pathlib import Path

import switch

WIDTH = 100
HIDDEN = {"look"}
"""Methods that an engine has for its own helpers."""
TARGET = Path(__file__).with_name("api.md")
HEAD = """# The library

All public names of `switch`, made from its docstrings by `make docs`.
[The README](../README.md#the-library) has a payday to begin with, [examples](../examples) have
whole programs, [contract.md](contract.md) the tables and answers.
"""


class Words:
    """Text that stands in a signature as it is, without quotes."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __repr__(self) -> str:
        return self.text


def plain(parameter: inspect.Parameter) -> inspect.Parameter:
    """A parameter with its annotation as it stands in the source, and functions by their name."""
    default = parameter.default
    if inspect.isroutine(default):
        default = Words(f"{default.__module__.lstrip('_')}.{default.__qualname__}")
    kind = parameter.annotation
    if isinstance(kind, str):
        kind = Words(kind)
    return parameter.replace(annotation=kind, default=default)


def title(name: str, value: object) -> str:
    """A name with its parameters, as it is called."""
    call = value.__init__ if inspect.isclass(value) else value
    try:
        signature = inspect.signature(call)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return name
    shown = [plain(p) for p in signature.parameters.values() if p.name != "self"]
    gives = "" if inspect.isclass(value) else f" -> {signature.return_annotation}"
    line = f"{name}{inspect.Signature(shown)}{gives}"
    if len(line) <= WIDTH:
        return line
    parts = str(inspect.Signature(shown))[1:-1]
    for one in shown:  # A parameter a line.
        parts = parts.replace(f", {one.name}:", f",\n    {one.name}:", 1)
    return f"{name}(\n    {parts.replace(', *,', f',{chr(10)}    *,', 1)},\n){gives}"


def is_error(value: object) -> bool:
    return inspect.isclass(value) and issubclass(value, Exception)


def entry(mark: str, name: str, value: object) -> Iterator[str]:
    """The lines about one name."""
    yield f"{mark} {name.rpartition('.')[2]}\n"
    if not is_error(value) and callable(value):
        yield f"```text\n{title(name, value)}\n```\n"
    yield f"{inspect.getdoc(value) or ''}\n"


def public(kind: type) -> list[tuple[str, object]]:
    """Methods and properties of a class that are its own, in the order of its source."""
    if is_error(kind):
        return []
    hidden = (*HIDDEN, *(name for name in vars(kind) if name.startswith("_")))
    found = [(name, value) for name, value in vars(kind).items() if name not in hidden]
    return [
        (name, value)
        for name, value in found
        if (inspect.isfunction(value) or isinstance(value, property)) and inspect.getdoc(value)
    ]


def reference() -> str:
    """The whole document."""
    names = sorted({*switch.__all__, "open"} - {"Engine"}, key=str.lower)
    parts = [HEAD, *entry("##", "Engine", switch.Engine)]
    for name, value in public(switch.Engine):
        parts += entry("###", f"engine.{name}", value)
    for name in names:
        value = getattr(switch, name)
        if name == "open":
            parts.append("## open\n\n`switch.open` is `switch.Engine`: it opens a home.\n")
            continue
        parts += entry("##", f"switch.{name}", value)
        for method, inner in public(value) if inspect.isclass(value) else ():
            parts += entry("###", f"{name}.{method}", inner)
    return "\n".join(parts)


def main() -> int:
    text = reference()
    if "--check" in sys.argv[1:]:
        return TARGET.read_text("utf-8") != text
    TARGET.write_text(text, "utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
