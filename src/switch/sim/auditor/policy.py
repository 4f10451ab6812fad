"""A policy as plain values: who signs with which keys, and what each step takes.

Of the engine it imports `schema`, `reason` and `errors` alone. Written from docs/control.md. A key
goes by a name, as the auditor is told whether a signature is good.
"""

from __future__ import annotations

import datetime as dt
from typing import NamedTuple

STEPS = ("prepare", "approve", "authenticate", "control", "certify", "fund", "release")
NEEDED = {"prepare", "certify", "release"}


class Key(NamedTuple):
    """A key, and the first and last day on which it signs."""

    name: str
    first: dt.date | None = None
    last: dt.date | None = None

    def signs_on(self, day: dt.date) -> bool:
        """Tell whether it may sign on a day."""
        return (self.first or day) <= day <= (self.last or day)


class Person(NamedTuple):
    """Somebody who signs."""

    name: str
    house: str
    """The organisation."""
    roles: tuple[str, ...]
    keys: tuple[Key, ...]


class Step(NamedTuple):
    """Signatures that one step takes."""

    name: str
    signers: int = 1
    above: tuple[tuple[int, int], ...] = ()
    """(sum, signers): so many where the table has more than this sum."""
    apart: bool = False
    days: int | None = None

    def takes(self, total: int) -> int:
        """Signatures that a table of a sum takes."""
        return max([self.signers, *(number for limit, number in self.above if total > limit)])


class Delegation(NamedTuple):
    """A role that somebody gave away, first and last day included."""

    giver: str
    taker: str
    role: str
    first: dt.date
    last: dt.date


class Party(NamedTuple):
    """An institution that delivers, with the kinds that it may."""

    name: str
    keys: tuple[Key, ...]
    kinds: tuple[str, ...]


class Policy(NamedTuple):
    """One version."""

    people: tuple[Person, ...]
    steps: tuple[Step, ...]
    delegations: tuple[Delegation, ...] = ()
    parties: tuple[Party, ...] = ()
    changed_by: int = 1

    def person(self, name: str) -> Person | None:
        """The person of a name."""
        return next((person for person in self.people if person.name == name), None)

    def roles_of(self, name: str) -> tuple[str, ...]:
        """Roles of a person; of nobody, none."""
        person = self.person(name)
        return person.roles if person else ()

    def with_role(self, role: str) -> list[Person]:
        """People who have a role of their own."""
        return [person for person in self.people if role in person.roles]

    def faults_of_key(self, name: str, key: str, day: dt.date) -> set[str]:
        """Rules by which somebody may not sign with a key on a day."""
        person = self.person(name)
        mine = next((k for k in person.keys if k.name == key), None) if person else None
        if mine is None:
            return {"KEY_UNKNOWN"}
        return set() if mine.signs_on(day) else {"KEY_EXPIRED"}

    def can_be_kept(self) -> bool:
        """Tell whether every step can be signed, by people of whom each signs once, and the policy
        changed."""
        names = [step.name for step in self.steps]
        kept = set(names) >= NEEDED and names == [name for name in STEPS if name in names]
        kept &= 1 <= self.changed_by <= len(self.with_role("policy"))
        for step in self.steps:
            most = max([step.signers, *(number for _, number in step.above)])
            people = self.with_role(step.name)
            kept &= len({p.house for p in people} if step.apart else people) >= most
        first = self.steps[0]
        kept &= first.name != "prepare" or (first.signers, first.above, first.days) == (1, (), None)
        return kept and self._has_people_for_all()

    def _has_people_for_all(self) -> bool:
        """Tell whether each place of each step can have a person of its own (Hall's condition)."""
        places = [
            {person.name for person in self.with_role(step.name)}
            for step in self.steps
            for _ in range(max([step.signers, *(number for _, number in step.above)]))
        ]
        free: list[set[str]] = [set()]
        for people in places:
            free = [{*taken, name} for taken in free for name in people - taken]
            free = [set(one) for one in {frozenset(one) for one in free}]
        return bool(free)
