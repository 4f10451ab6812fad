"""Documents of commands, held to the JSON Schemas that are published of them."""

from __future__ import annotations

import functools
import json
from collections.abc import Sequence
from typing import Any

from jsonschema import Draft202012Validator

from switch.documents import ANSWERS, answer_schema

FAILED = "(fails)"


@functools.cache
def forms_of(command: str) -> dict[str, Draft202012Validator]:
    """A validator of each form of a command's document, by the option that makes it that form."""
    schema = answer_schema(command)
    Draft202012Validator.check_schema(schema)
    names = [*ANSWERS[command], FAILED]
    whole = {key: value for key, value in schema.items() if key != "anyOf"}
    parts = zip(names, schema["anyOf"], strict=True)  # type: ignore[call-overload]
    return {name: Draft202012Validator({**whole, **part}) for name, part in parts}


def form_of(command: str, document: Any) -> str:
    """The one form that a document has. Fails where it has none, or several."""
    forms = forms_of(command)
    fitting = [name for name, validator in forms.items() if validator.is_valid(document)]
    if len(fitting) != 1:
        faults = {
            name: [
                f"{'/'.join(map(str, e.path))}: {e.message[:300]}" for e in v.iter_errors(document)
            ]
            for name, v in forms.items()
        }
        raise AssertionError(f"switch {command} --json fits {fitting}: {faults}")
    return fitting[0]


def form_said(words: Sequence[object], out: str) -> tuple[str, str] | None:
    """(command, form) of what a call with --json printed; None where it printed no document."""
    command = next((str(word) for word in words if str(word) in ANSWERS), None)
    if command is None or "--json" not in words or not out:
        return None
    return command, form_of(command, json.loads(out))
