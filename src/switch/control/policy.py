"""Policy: the steps that a payment table takes before it is run, and who may take each.

A home without a policy runs what it is given. The first one is set by whoever owns the home; each
later one is signed by those whom the one before names for it. Versions are kept for ever: a table
goes on by the rules of the version with which it was prepared. Source: docs/domain.md, section 4.
"""

from __future__ import annotations

import datetime
import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NoReturn

import msgspec

from switch.control.keys import require_public
from switch.errors import InputRefused
from switch.files.given import decode_once, read_small
from switch.schema import DELIVERED, MONEY_BOUND, is_in_years

STEPS = ("prepare", "approve", "authenticate", "control", "certify", "fund", "release")
"""Steps in their order. A policy may leave out those that are not NEEDED."""
NEEDED = ("prepare", "certify", "release")
OTHERS = ("hold", "cancel", "policy")
"""Roles beside the steps; who may hold also lets go on."""
ROLES = (*STEPS, *OTHERS)
NAME_RULE = r"[A-Za-z0-9_][A-Za-z0-9._-]{0,63}"
PEOPLE_MAX, KEYS_MAX, SIGNERS_MAX, DAYS_MAX = 500, 16, 20, 366


class Key(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A public key, and the days on which its holder may sign with it, both ends included."""

    public: str
    """64 hexadecimal digits."""
    first: datetime.date | None = msgspec.field(name="from", default=None)
    last: datetime.date | None = msgspec.field(name="until", default=None)

    def is_valid(self, day: datetime.date) -> bool:
        """The key signs on this day."""
        return _within(self.first, self.last, day)


class Person(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A person, or a service, that signs."""

    name: str
    """1 to 64 of A-Z a-z 0-9 . _ -, unique in the policy."""
    roles: tuple[str, ...]
    keys: tuple[Key, ...]
    organisation: str = ""

    def key(self, public: str) -> Key | None:
        """The person's key of this text."""
        return next((key for key in self.keys if key.public == public), None)


class Above(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A sum in minor units above which a step needs more signatures."""

    sum: int
    signers: int


class Step(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One step of the road to release."""

    step: str
    """One of STEPS."""
    signers: int = 1
    """Persons who have to sign it, of all that have its role."""
    above: tuple[Above, ...] = ()
    apart: bool = False
    """Each of them is of another organisation."""
    days: int | None = None
    """Days after the step before by which it has to be signed."""

    def signers_for(self, total: int) -> int:
        """Persons who have to sign for a table of a sum."""
        return max(self.signers, *(0, *(a.signers for a in self.above if total > a.sum)))


class Delegation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A role that one person gives to another for some days, both ends included."""

    giver: str
    taker: str
    role: str
    first: datetime.date = msgspec.field(name="from")
    last: datetime.date = msgspec.field(name="until")


class Party(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """An institution that delivers files through the portal."""

    name: str
    """1 to 64 of A-Z a-z 0-9 . _ -, unique in the policy."""
    keys: tuple[Key, ...]
    kinds: tuple[str, ...]
    """Kinds of what it may deliver: some of DELIVERED."""
    participants: tuple[str, ...] = ()
    """Participants for which its answers may speak; none: for all."""


class Policy(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Rules of a home about whose word releases money."""

    people: tuple[Person, ...]
    steps: tuple[Step, ...]
    delegations: tuple[Delegation, ...] = ()
    parties: tuple[Party, ...] = ()
    changed_by: int = 1
    """Persons with the role `policy` who have to sign the next version."""

    def person(self, name: str) -> Person | None:
        """The person of a name."""
        return next((person for person in self.people if person.name == name), None)

    def step(self, name: str) -> Step | None:
        """The step of a name; None where this policy leaves it out."""
        return next((step for step in self.steps if step.step == name), None)

    def delegation(self, giver: str, taker: str, role: str, day: datetime.date) -> bool:
        """A role was given to a person for this day."""
        return any(
            (given.giver, given.taker, given.role) == (giver, taker, role)
            and _within(given.first, given.last, day)
            for given in self.delegations
        )

    def with_role(self, role: str) -> list[Person]:
        """Persons with a role of their own."""
        return [person for person in self.people if role in person.roles]


def _within(first: datetime.date | None, last: datetime.date | None, day: datetime.date) -> bool:
    return (first is None or first <= day) and (last is None or day <= last)


def policy_of(given: Policy | Mapping[str, object] | str | Path) -> Policy:
    """A policy from what people name: a TOML or JSON file, a mapping as such a file has it, or a
    policy. Raises InputRefused for what cannot be read or can never be kept."""
    file = str(given) if isinstance(given, str | Path) else "the policy"
    document: object = given
    if isinstance(given, str | Path):
        document = _document(read_small(Path(given)), file)
    try:
        policy = msgspec.convert(msgspec.to_builtins(document), Policy)
    except (msgspec.ValidationError, TypeError, RecursionError, OverflowError) as error:
        _refuse(file, str(error)[:200], "write it as docs/control.md has it")
    for what, remedy in _faults(policy):
        _refuse(file, what, remedy)
    return policy


def _document(content: bytes, file: str) -> object:
    try:
        if content.lstrip()[:1] != b"{":
            return tomllib.loads(content.decode())
        return decode_once(content, object)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        _refuse(file, f"not to be read as TOML or JSON: {str(error)[:120]}", "correct the file")


def _refuse(file: str, what: str, remedy: str) -> NoReturn:
    raise InputRefused("POLICY_INVALID", what, file=file, remedy=remedy) from None


def _faults(policy: Policy) -> Iterator[tuple[str, str]]:
    """Faults of a policy, each with what to do."""
    yield from _faults_of_people(policy)
    yield from _faults_of_steps(policy)
    yield from _faults_of_order(policy)
    for given in policy.delegations:
        giver, taker = policy.person(given.giver), policy.person(given.taker)
        whom = f"the delegation of {given.role!r} from {given.giver!r} to {given.taker!r}"
        if giver is None or taker is None or giver is taker:
            yield f"{whom} is not between two persons of the policy", "name two of its people"
        elif given.role not in STEPS or given.role not in giver.roles:
            yield f"{whom} is of no step that the giver may sign", "give away a step of the giver"
        if given.first > given.last or not all(map(is_in_years, (given.first, given.last))):
            yield f"{whom} ends before it begins", "correct its days"
    if not 1 <= policy.changed_by <= SIGNERS_MAX:
        yield f"changed_by is not 1 to {SIGNERS_MAX}", "correct it"
    elif len(policy.with_role("policy")) < policy.changed_by:
        needed = f"{policy.changed_by} with the role 'policy'"
        yield f"it could never be changed: that takes {needed}", "give more people that role"


def _faults_of_people(policy: Policy) -> Iterator[tuple[str, str]]:
    names, keys = set[str](), set[str]()
    for party in policy.parties:
        if not re.fullmatch(NAME_RULE, party.name) or party.name in names:
            what = f"the party {party.name[:64]!r} is not 1 to 64 of A-Z a-z 0-9 . _ -, and unique"
            yield what, "name each party once by that rule"
        names.add(party.name)
        if not party.kinds or not set(party.kinds) <= set(DELIVERED):
            what = f"kinds of {party.name} are not some of {', '.join(DELIVERED)}"
            yield what, "name what it may deliver"
        yield from _faults_of_keys(party.name, party.keys, keys)
    names.clear()
    if not 1 <= len(policy.people) <= PEOPLE_MAX:
        yield f"it has not 1 to {PEOPLE_MAX} people", "name those who sign"
    for person in policy.people:
        if not re.fullmatch(NAME_RULE, person.name) or person.name in names:
            what = f"the name {person.name[:64]!r} is not 1 to 64 of A-Z a-z 0-9 . _ -, and unique"
            yield what, "name each person once by that rule"
        names.add(person.name)
        unknown = [role for role in person.roles if role not in ROLES]
        if unknown or not person.roles or len(set(person.roles)) < len(person.roles):
            what = f"roles of {person.name} are not some of {', '.join(ROLES)}"
            yield what, "give at least one of these, each once"
        if len(person.organisation) > 64 or not person.organisation.isprintable():
            yield f"the organisation of {person.name} is no name", "take 64 characters at most"
        yield from _faults_of_keys(person.name, person.keys, keys)


def _faults_of_keys(
    name: str, given: tuple[Key, ...], known: set[str]
) -> Iterator[tuple[str, str]]:
    """Faults of the keys of one holder. known: public keys of all before."""
    if not 1 <= len(given) <= KEYS_MAX:
        yield f"{name} has not 1 to {KEYS_MAX} keys", "name the public keys"
    for key in given:
        try:
            require_public(key.public)
        except ValueError as error:
            yield f"a key of {name}: {error}", "`switch key FILE` prints the public key"
        if key.public in known:
            yield f"a key of {name} stands twice", "give every holder keys of their own"
        known.add(key.public)
        days = [day for day in (key.first, key.last) if day]
        if days != sorted(days) or not all(map(is_in_years, days)):
            yield f"a key of {name} ends before it begins", "correct its days"


def _faults_of_order(policy: Policy) -> Iterator[tuple[str, str]]:
    """Steps that could never all be signed, as nobody signs a table twice."""
    prepare = policy.step("prepare")
    if prepare and (prepare.signers != 1 or prepare.above or prepare.days is not None):
        yield "prepare is signed by one maker, without a deadline", "let approve take more"
    places = [
        step.step
        for step in policy.steps
        for _ in range(max(step.signers, *(0, *(above.signers for above in step.above))))
    ]
    if len(places) > PEOPLE_MAX:
        yield "its steps take more persons than it may have", "ask for fewer"
        return
    taken: dict[str, int] = {}

    def place(at: int, seen: set[str]) -> bool:
        """Find a person for a place, moving others to places of theirs."""
        for person in policy.with_role(places[at]):
            if person.name not in seen:
                seen.add(person.name)
                if person.name not in taken or place(taken[person.name], seen):
                    taken[person.name] = at
                    return True
        return False

    for at in range(len(places)):
        if not place(at, set()):
            what = "no table could be released by it: nobody signs a table twice, and too few have"
            yield f"{what} the role {places[at]!r}", "give more people roles, or ask for fewer"
            return


def _faults_of_steps(policy: Policy) -> Iterator[tuple[str, str]]:
    names = [step.step for step in policy.steps]
    if names != [name for name in STEPS if name in names] or set(NEEDED) - set(names):
        what = f"steps are not some of {', '.join(STEPS)}, in this order, each once"
        yield what, f"give at least {', '.join(NEEDED)}"
        return
    for step in policy.steps:
        most = max(step.signers, *(0, *(above.signers for above in step.above)))
        people = policy.with_role(step.step)
        if not all(1 <= n <= SIGNERS_MAX for n in (step.signers, most)):
            yield f"{step.step} has not 1 to {SIGNERS_MAX} signers", "correct it"
        if any(not 0 <= above.sum < MONEY_BOUND for above in step.above):
            yield f"{step.step} has a sum that is none", "give minor units, from 0"
        if step.days is not None and not 0 <= step.days <= DAYS_MAX:
            yield f"days of {step.step} are not 0 to {DAYS_MAX}", "correct them"
        if len(people) < most:
            what = f"{step.step} takes {most} persons, and {len(people)} may sign it"
            yield what, "give more people its role, or ask for fewer"
        elif step.apart and len({person.organisation for person in people}) < most:
            what = f"{step.step} takes persons of {most} organisations, and there are fewer"
            yield what, "give people of more organisations its role, or ask for fewer"
