"""Arguments: values that callers give to public calls, held against the types that these declare.

A value of another type is a UsageError that names the parameter, before anything is done, so that
no call fails half way with words of Python about its inside. Where a value has one meaning only, it
is taken for that: a path as text, a whole number of numpy. What a text or a number says is for the
call to judge, and what a table holds for its reader.
"""

from __future__ import annotations

import datetime
import functools
import inspect
import operator
import os
import types
import typing
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Literal, TypeVar, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from switch import log, outcomes, spans
from switch.errors import SwitchError, UsageError, of_the_machine

Call = TypeVar("Call", bound=Callable[..., object])

SECRET = (
    "key",
    "signing_key",
    "public_key",
    "person_id",
    "secret",
    "secrets",
    "device",
    "code",
    "account",
    "instead_of",
)
"""Parameters whose values no message repeats."""
SHOWN_MAX = 80
BY_MAX, WHY_MAX = 64, 140
"""Characters of who does something, and of why, as the audit chain keeps them for good."""
PATH_MAX, NAME_MAX = 4096, 255
"""Length of a path and of each name in it, as POSIX systems have them."""
_MANY = (Sequence, Collection)
NOUNS: dict[object, str] = {
    str: "text",
    int: "whole number",
    bool: "True or False",
    float: "number",
    tuple: "pair",
    Sequence: "list",
    Collection: "list",
}


def checked(call: Call) -> Call:
    """A public function whose arguments are held against its annotations before it runs, or a class
    all of whose public methods are such. Raises UsageError there; an argument too many, too few or
    of an unknown name stays Python's TypeError. Failures of the machine come out as such."""
    if not isinstance(call, type):
        return cast(Call, _checked(call))
    for name, method in list(vars(call).items()):
        if inspect.isfunction(method) and (name == "__init__" or not name.startswith("_")):
            setattr(call, name, _checked(method))
    return cast(Call, call)


def _checked(call: Callable[..., object]) -> Callable[..., object]:
    signature = inspect.signature(call)
    several = [p.name for p in signature.parameters.values() if p.kind is p.VAR_POSITIONAL]
    options = [p.name for p in signature.parameters.values() if p.kind is p.VAR_KEYWORD]

    @functools.wraps(call)
    def with_checks(*values: object, **named: object) -> object:
        bound = signature.bind(*values, **named)
        kinds = _kinds(call)
        for name, value in bound.arguments.items():
            if name in several:
                bound.arguments[name] = tuple(fit(name, one, kinds[name]) for one in value)
            elif name in options:
                bound.arguments[name] = _options(call, value, kinds[name])
            elif name in kinds:  # `self` has none.
                bound.arguments[name] = fit(name, value, kinds[name])
        if log.WITHIN.get():
            return call(*bound.args, **bound.kwargs)
        token = log.WITHIN.set(True)
        try:
            with spans.span(call.__name__, bound.arguments) as tell:
                answer = call(*bound.args, **bound.kwargs)
                tell(answer)
        except SwitchError as error:
            log.refused(call.__name__, bound.arguments, str(error.told()["rule"]))
            raise
        except Exception as error:
            if failed := of_the_machine(error):
                raise failed from error
            raise
        finally:
            log.WITHIN.reset(token)
        log.done(call.__name__, bound.arguments, answer)
        return outcomes.shown(answer, _noun_of(call, kinds.get("return")))

    return with_checks


def _noun_of(call: Callable[..., object], kind: object) -> str:
    """The name of the document that a call returns, or of each of its rows; else its own name."""
    named = (typing.get_args(kind) or (kind,))[0] if typing.get_origin(kind) is list else kind
    is_named = typing.is_typeddict(named) or hasattr(named, "_fields")
    return str(getattr(named, "__name__", "")) if is_named else call.__name__


@functools.cache
def _kinds(call: Callable[..., object]) -> dict[str, object]:
    """Types of parameters by name; looked up with the first call, when every module is there."""
    return typing.get_type_hints(call)


def _options(
    call: Callable[..., object], given: Mapping[str, object], kind: object
) -> dict[str, object]:
    """Options whose names and types one record has (`Unpack`)."""
    (record,) = typing.get_args(kind)
    kinds = typing.get_type_hints(record)
    for name in given:
        if name not in kinds:
            raise TypeError(f"{call.__name__}() got an unexpected keyword argument {name!r}")
    return {name: fit(name, value, kinds[name]) for name, value in given.items()}


def fit(name: str, value: object, kind: object) -> object:
    """A value as the parameter takes it that has this type. Raises UsageError where it is none."""
    is_union = typing.get_origin(kind) in (typing.Union, types.UnionType)
    kinds = typing.get_args(kind) if is_union else (kind,)
    if value is None and type(None) in kinds:
        return None
    if any(getattr(one, "_is_protocol", False) for one in kinds):
        # A table or a column of any make: whoever opens it says what is wrong with it.
        return Path(os.fsdecode(value)) if isinstance(value, os.PathLike) else value
    kinds = tuple(one for one in kinds if one is not type(None))
    for one in kinds:
        if (one is not str or Path not in kinds) and _is_of(value, one):
            return _taken(name, value, one)
    if Path in kinds:
        return _path(name, value)
    if datetime.date in kinds:
        raise UsageError(f"{name} {_shown(name, value)} is no {_day_or_time(name)}")
    nouns = [_noun(one) for one in kinds]
    raise UsageError(f"{name} {_shown(name, value)} is no {' or '.join(nouns)}")


def _is_of(value: object, kind: object) -> bool:
    """The value is of a type that is no union, whatever its parts are."""
    origin = typing.get_origin(kind) or kind
    if origin in (bool, int, float):
        is_truth = isinstance(value, bool | np.bool_)
        return is_truth if origin is bool else not is_truth and _is_number(value, origin)
    if origin is Callable:
        return callable(value)
    if origin is Literal:
        return isinstance(value, str) and value in typing.get_args(kind)
    if typing.is_typeddict(origin):
        return isinstance(value, dict)
    if not isinstance(origin, type):
        return True
    if origin in _MANY:
        # An array without dimensions has no elements.
        is_array = isinstance(value, np.ndarray) and value.ndim > 0
        is_other = isinstance(value, str | bytes | np.ndarray)
        return is_array or (isinstance(value, origin) and not is_other)
    return isinstance(value, origin)


def _is_number(value: object, kind: object) -> bool:
    if kind is float and isinstance(value, float | np.floating):
        return True
    try:
        operator.index(cast(int, value))
    except TypeError:
        return False
    return True


def _taken(name: str, value: object, kind: object) -> object:
    """A value of the type in the form that calls work with."""
    if kind is int:
        return operator.index(cast(int, value))
    if kind is float:
        try:
            return float(cast(float, value))
        except OverflowError:
            raise UsageError(f"{name} is beyond all floats") from None
    if kind is bool:
        return bool(value)
    if isinstance(value, str):
        return _utf8(name, value)
    if isinstance(value, os.PathLike):
        return _path(name, value)
    parts, origin = typing.get_args(kind), typing.get_origin(kind)
    if parts and origin is tuple:
        values = cast("tuple[object, ...]", value)
        if len(values) != len(parts):
            raise UsageError(f"{name} holds a {len(values)}-tuple in place of {len(parts)} parts")
        return tuple(fit(name, *pair) for pair in zip(values, parts, strict=True))
    if parts and origin in _MANY:
        many = value.tolist() if isinstance(value, np.ndarray) else value
        return [fit(name, one, parts[0]) for one in cast("Collection[object]", many)]
    return value


def whole(values: ArrayLike, name: str) -> NDArray[np.int64]:
    """An array of whole numbers, of whatever shape and width they are given in. Raises UsageError
    for what is none."""
    try:
        given = np.asarray(values)
    except (TypeError, ValueError, OverflowError):
        given = np.empty(1, object)
    if given.size and given.dtype.kind not in "iu":
        raise UsageError(f"{name} holds other things than whole numbers of 64 bits")
    return given


def require_words(name: str, text: str, most: int) -> None:
    """A text of people is as it can be recorded for good and shown anywhere; '' says nothing.
    Raises UsageError."""
    if len(text) > most or not text.isprintable() or text != text.strip():
        raise UsageError(f"{name} is 1 to {most} printable characters, without blanks around")


def require_note(by: str, owner: str, note: str) -> None:
    """A note says by whom it is, in words that can be recorded. Raises UsageError."""
    for name, text, most in (("by", by, BY_MAX), ("owner", owner, BY_MAX), ("note", note, WHY_MAX)):
        require_words(name, text, most)
    if not by:
        raise UsageError("say by whom the note is")


def require_said(deed: str, by: str, why: str) -> None:
    """Somebody does something to lines, for a reason. deed: its participle. Raises UsageError."""
    for name, text, most in (("by", by, BY_MAX), ("why", why, WHY_MAX)):
        require_words(name, text, most)
        if not text:
            raise UsageError(f"a line is {deed} by somebody, for a reason: say {name}")


def _path(name: str, value: object) -> Path:
    if not isinstance(value, str | os.PathLike):
        raise UsageError(f"{name} {_shown(name, value)} is no path")
    text = os.fsdecode(value)
    if not text:
        raise UsageError(f"{name} is empty: name a place")
    if "\0" in text or len(text) >= PATH_MAX or max(map(len, text.split("/"))) > NAME_MAX:
        raise UsageError(f"{name} is no path, or too long for one")
    return Path(text)


def _day_or_time(name: str) -> str:
    if name.endswith("date"):
        return "date: write yyyy-mm-dd"
    return "ISO 8601 time, such as 2026-11-25T08:00:00"


def _utf8(name: str, text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise UsageError(f"{name} is not UTF-8") from None
    return text


def _shown(name: str, value: object) -> str:
    """A value for a message: itself where it is short and says nothing of a person, or its type."""
    is_plain = isinstance(value, str | int | float | datetime.date | None)
    if name in SECRET or not is_plain or len(repr(value)) > SHOWN_MAX:
        return f"(of type {type(value).__name__})"
    return repr(value)


def _noun(kind: object) -> str:
    origin = typing.get_origin(kind) or kind
    if origin is Callable:
        return "function"
    if origin is Literal:
        return f"one of {', '.join(map(str, typing.get_args(kind)))}"
    return NOUNS.get(origin, getattr(origin, "__name__", str(origin)).lower())
