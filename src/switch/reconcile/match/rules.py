"""Rules as data: the passes, tolerances, ties, ages, severities and owners of a reconciliation.

A TOML or JSON document that operations can edit; the packaged one (data/reconciliation.toml) is the
default. Nothing in it is optional but what a pass does not use, so that a rules file says all.
"""

from __future__ import annotations

import tomllib
from enum import IntEnum
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from switch.errors import EnvironmentFailed, InputRefused
from switch.files.given import decode_once, read_small, reason_of


class Verdict(IntEnum):
    """Verdict on a record. From MISSING on it is the class of a break."""

    NONE = 0
    """Nothing is expected of this set, and nothing came."""
    MATCHED = 1
    PENDING = 2
    REPEATED = 3
    """The same record, read again: the row counts for nothing."""
    MISSING = 4
    AMOUNT = 5
    CURRENCY = 6
    DUPLICATE = 7
    STATUS = 8
    TIMING = 9
    REFERENCE = 10
    SPLIT = 11
    FEE = 12
    RETURN_UNMATCHED = 13
    TOTAL_DRIFT = 14
    AMBIGUOUS = 15
    RECALL_OVERDUE = 16
    """A recall that nobody answered by its deadline: `RECALL_CLASSES`, which no matching gives."""
    RECALL_UNMATCHED = 17
    """An answer to no recall."""


CLASSES = tuple(v for v in Verdict if Verdict.MISSING <= v <= Verdict.AMBIGUOUS)
"""Classes that rules have to treat."""
RECALL_CLASSES = (Verdict.RECALL_OVERDUE, Verdict.RECALL_UNMATCHED)
"""Classes that they may treat; else `RECALL_TREATMENT` does."""
RECALL_DAYS = 15
"""Days for which a recall may be without an answer, where rules do not say it."""
SEVERITIES = ("low", "medium", "high", "critical")
AMOUNT_BOUND = 2**56
"""Amounts and tolerances stay below it, so that 64 of them sum within 64 bits."""

Days = Annotated[int, msgspec.Meta(ge=0, le=100_000)]
Dong = Annotated[int, msgspec.Meta(ge=0, lt=AMOUNT_BOUND)]
Name = Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
Severity = Literal["low", "medium", "high", "critical"]
Side = Literal["left", "right"]


class Pass(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One pass. Of `by`: transfer_id and end_to_end_id bring equal ids together; account is one to
    one within `amount` and `days`; subset is one to many and many to one, `size` members at most
    of `items` open records, in `work` steps; group takes what stands within `days` of the first
    record of the `anchor` side, all against all, or against a subset of one side (`subset_on`)."""

    name: Name
    by: Literal["transfer_id", "end_to_end_id", "account", "subset", "group"]
    ties: Literal["ambiguous", "lowest"] = "ambiguous"
    amount: Dong = 0
    days: Days = 0
    items: Annotated[int, msgspec.Meta(ge=2, le=64)] = 24
    size: Annotated[int, msgspec.Meta(ge=2, le=64)] = 6
    size_min: Annotated[int, msgspec.Meta(ge=1, le=64)] = 2
    work: Annotated[int, msgspec.Meta(ge=1, le=10**9)] = 100_000
    anchor: Side = "left"
    subset_on: Literal["none", "left", "right"] = "none"


class Ageing(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    buckets: tuple[Days, ...]
    """First day of each bucket, rising from 0; the last has no end."""


class SeverityRaise(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Value and age from which a break is one severity higher each: [severity] of the rules."""

    value: Dong
    days: Days


class Treatment(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Severity, owner and action of a class of breaks: [class.NAME] of the rules."""

    severity: Severity
    owner: Name
    action: Annotated[str, msgspec.Meta(min_length=1, max_length=200)]


class Rules(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    version: Literal[1]
    deadline_days: Days
    refusal_days: Days
    amount: Dong
    days: Days
    fees: tuple[Dong, ...]
    passes: Annotated[tuple[Pass, ...], msgspec.Meta(min_length=1)] = msgspec.field(name="pass")
    ageing: Ageing
    severity: SeverityRaise
    treatment: dict[str, Treatment] = msgspec.field(name="class")
    recall_days: Days | msgspec.UnsetType = msgspec.UNSET
    """Days for which a recall may be without an answer."""

    def treated(self, verdict: Verdict) -> Treatment | None:
        """Severity, owner and action of a class; None of what is no break."""
        return self.treatment.get(verdict.name) or RECALL_TREATMENT.get(verdict)

    @property
    def recall_deadline(self) -> int:
        return RECALL_DAYS if self.recall_days is msgspec.UNSET else self.recall_days


RECALL_TREATMENT = {
    Verdict.RECALL_OVERDUE: Treatment(
        "high", "receiver desk", "ask the receiver once more whether it gives the money back"
    ),
    Verdict.RECALL_UNMATCHED: Treatment(
        "medium", "operations", "ask the receiver which recall it answers"
    ),
}


def default_rules() -> Rules:
    """The packaged rules."""
    name = "reconciliation.toml"
    return _checked(tomllib.loads(files("switch").joinpath("data", name).read_text("utf-8")), name)


def read_rules(path: str | Path) -> Rules:
    """The rules of a file, JSON where its name ends so, else TOML. Raises InputRefused, which names
    the file, the key and the remedy."""
    path = Path(path)
    try:
        text = read_small(path).decode("utf-8")
    except (InputRefused, EnvironmentFailed, UnicodeDecodeError) as error:
        why = "it is not UTF-8" if isinstance(error, UnicodeDecodeError) else reason_of(error)
        remedy = "give a file of rules, in TOML or JSON; the packaged rules are a model"
        what = f"the rules cannot be read: {why}"
        raise InputRefused("RULES_INVALID", what, file=str(path), remedy=remedy) from error
    try:
        content = (
            decode_once(text.encode(), object) if path.suffix == ".json" else tomllib.loads(text)
        )
    except (msgspec.DecodeError, tomllib.TOMLDecodeError, RecursionError) as error:
        raise _refused(str(path), None, f"the rules are no document: {error}") from error
    return _checked(content, str(path))


def _checked(content: object, file: str) -> Rules:
    try:
        rules = msgspec.convert(content, Rules)
    except msgspec.ValidationError as error:
        what, _, where = str(error).partition(" - at `$")
        raise _refused(file, where.strip("`.") or None, what) from error
    for number, one in enumerate(rules.passes):
        key = f"pass[{number}]"
        if any(other.name == one.name for other in rules.passes[:number]):
            raise _refused(file, f"{key}.name", f"the name {one.name!r} stands twice")
        if not one.size_min <= one.size <= one.items:
            raise _refused(file, f"{key}.size", "size is not between size_min and items")
    if sum(one.by == "transfer_id" for one in rules.passes[1:]):
        raise _refused(file, "pass", "the pass by transfer_id is the first, or there is none")
    buckets = rules.ageing.buckets
    if buckets[:1] != (0,) or list(buckets) != sorted(set(buckets)):
        raise _refused(file, "ageing.buckets", "the buckets do not rise from 0")
    names = {verdict.name for verdict in CLASSES}
    more = {verdict.name for verdict in RECALL_CLASSES}
    for name in sorted(names ^ set(rules.treatment) - more):
        fault = "no treatment of this class" if name in names else "no class of breaks"
        raise _refused(file, f"class.{name}", fault)
    return rules


def _refused(file: str, key: str | None, what: str) -> InputRefused:
    remedy = "correct the key; docs/reconciliation.md lists all, the packaged rules are a model"
    return InputRefused("RULES_INVALID", what, file=file, column=key, remedy=remedy)
