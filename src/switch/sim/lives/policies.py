"""Policies of lives: drawn as plain values, written as the engine takes them, with keys that sign.

A key follows from its name, so that it is the same in every run. In every policy that is drawn each
step has people of its own and everybody a key without an end, so that in the end all can be signed.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import random
from functools import cache
from typing import Any

from switch.sim.auditor.policy import STEPS, Delegation, Key, Party, Person, Policy, Step

SPARE = 3
"""Number of the person of each step who may be left out."""
KEYS_MAX = 3
PARTIES = {"agency": ("table", "act"), "bank": ("act",)}
DAY = dt.timedelta(days=1)


@cache
def _private(key: str) -> Any:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    return Ed25519PrivateKey.from_private_bytes(hashlib.sha256(key.encode()).digest())


def public(key: str) -> str:
    """The public key of a name."""
    return str(_private(key).public_key().public_bytes_raw().hex())


class Pen:
    """A key that signs; one that is not genuine signs something else."""

    def __init__(self, key: str, is_genuine: bool = True) -> None:
        self.key, self.is_genuine = key, is_genuine
        self.public = public(key)

    def sign(self, message: bytes) -> bytes:
        signature: bytes = _private(self.key).sign(message if self.is_genuine else message + b"?")
        return signature


def document(policy: Policy) -> dict[str, Any]:
    """A policy as the engine takes it."""
    return {
        "people": [
            {
                "name": person.name,
                "organisation": person.house,
                "roles": list(person.roles),
                "keys": _keys(person.keys),
            }
            for person in policy.people
        ],
        "steps": [
            {
                "step": step.name,
                "signers": step.signers,
                "above": [{"sum": sum_, "signers": number} for sum_, number in step.above],
                "apart": step.apart,
                "days": step.days,
            }
            for step in policy.steps
        ],
        "delegations": [
            {"giver": d.giver, "taker": d.taker, "role": d.role, "from": d.first, "until": d.last}
            for d in policy.delegations
        ],
        "parties": [
            {"name": party.name, "keys": _keys(party.keys), "kinds": list(party.kinds)}
            for party in policy.parties
        ],
        "changed_by": policy.changed_by,
    }


def _keys(keys: tuple[Key, ...]) -> list[dict[str, Any]]:
    rows = ({"public": public(key.name), "from": key.first, "until": key.last} for key in keys)
    return [{name: value for name, value in row.items() if value is not None} for row in rows]


def first_policy(rng: random.Random, day: dt.date) -> Policy:
    """A policy to begin with."""
    steps = [
        _step(rng, name)
        for name in STEPS
        if name in ("prepare", "certify", "release") or rng.random() < 0.75
    ]
    people = [_person(rng, name, number) for name in STEPS for number in range(1, SPARE + 1)]
    people += [_person(rng, "policy", number) for number in range(1, SPARE + 1)]
    people += [Person("hold1", "h1", ("hold", "cancel"), (Key("hold1.1"),))]
    people += [Person("cancel1", "h2", ("cancel",), (Key("cancel1.1"),))]
    parties = tuple(Party(name, (Key(f"{name}.1"),), kinds) for name, kinds in PARTIES.items())
    policy = Policy(tuple(people), tuple(steps), (), parties, rng.choice([1, 1, 2]))
    return _delegated(rng, policy, day) if rng.random() < 0.6 else policy


def _person(rng: random.Random, role: str, number: int) -> Person:
    name = f"{role}{number}"
    roles = (role,) if rng.random() < 0.8 else tuple(dict.fromkeys([role, rng.choice(STEPS)]))
    house = f"h{number}" if number < SPARE else rng.choice(["h1", "h2", "h3"])
    return Person(name, house, roles, (Key(f"{name}.1"),))


def _step(rng: random.Random, name: str) -> Step:
    above = ((rng.choice([0, 5_000_000, 50_000_000]), 2),) if rng.random() < 0.25 else ()
    signers = 2 if rng.random() < 0.25 else 1
    days = rng.choice([None, None, None, None, None, None, 0, 3, 10])
    return Step(name, signers, above, rng.random() < 0.4, days)


def _delegated(rng: random.Random, policy: Policy, day: dt.date) -> Policy:
    """The policy with another delegation."""
    giver = rng.choice([p for p in policy.people if p.roles[0] in STEPS])
    taker = rng.choice([p for p in policy.people if p is not giver])
    first = day + rng.choice([-5, -1, 0, 2]) * DAY
    last = first + rng.choice([0, 3, 40]) * DAY
    given = Delegation(giver.name, taker.name, giver.roles[0], first, last)
    return policy._replace(delegations=(*policy.delegations, given)[-4:])


def next_policy(rng: random.Random, policy: Policy, day: dt.date) -> Policy:
    """A policy that may follow another one; rarely one that nobody could keep."""
    kind = rng.choice(["out", "rotate", "rotate", "lost", "step", "back", "party", "give", "none"])
    if kind == "out":
        spare = [person for person in policy.people if person.name.endswith(str(SPARE))]
        gone = rng.choice([person.name for person in spare or policy.people[:1]])
        return policy._replace(
            people=tuple(person for person in policy.people if person.name != gone),
            delegations=tuple(d for d in policy.delegations if gone not in (d.giver, d.taker)),
        )
    if kind in ("rotate", "lost"):
        person = rng.choice(policy.people)
        return _with(policy, person._replace(keys=_rotated(rng, person.keys, day, kind == "lost")))
    if kind == "step":
        at = rng.randrange(len(policy.steps))
        step = _step(rng, policy.steps[at].name)
        return policy._replace(steps=(*policy.steps[:at], step, *policy.steps[at + 1 :]))
    if kind == "back":
        names = {person.name for person in policy.people}
        gone_before = [step for step in STEPS if f"{step}{SPARE}" not in names]
        back = tuple(_person(rng, step, SPARE) for step in gone_before)
        return policy._replace(people=policy.people + back, changed_by=rng.choice([1, 2]))
    if kind == "party":
        party = rng.choice(policy.parties)
        keys = _rotated(rng, party.keys, day, rng.random() < 0.5)
        parties = [party._replace(keys=keys) if p is party else p for p in policy.parties]
        return policy._replace(parties=tuple(parties))
    if kind == "give":
        return _delegated(rng, policy, day)
    return policy._replace(steps=(policy.steps[0]._replace(signers=9), *policy.steps[1:]))


def _rotated(
    rng: random.Random, keys: tuple[Key, ...], day: dt.date, is_lost: bool
) -> tuple[Key, ...]:
    """Keys with a new one that lasts. The last one before it signs for some days yet, or is out at
    once."""
    name, _, number = keys[-1].name.partition(".")
    new = Key(f"{name}.{int(number) + 1}", rng.choice([None, day - DAY, day]))
    if is_lost:
        return (new,)
    old = keys[-1]._replace(last=day + rng.choice([0, 2, 10]) * DAY)
    return (*keys[:-1], old, new)[-KEYS_MAX:]


def _with(policy: Policy, changed: Person) -> Policy:
    people = [changed if person.name == changed.name else person for person in policy.people]
    return policy._replace(people=tuple(people))
