"""The portal judged: what becomes of each delivery of a party, in the order of their numbers.

Of the engine it imports `schema`, `reason` and `errors` alone. Written from docs/control.md.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import NamedTuple

from switch.sim.auditor.control import Act, Control
from switch.sim.auditor.policy import Party


class Delivery(NamedTuple):
    """A manifest and its files, as a party put them into its inbox."""

    serial: int
    """Number of the manifest in this life: two are the same where these are equal."""
    party: str
    number: int
    kind: str
    key: str
    day: dt.date
    behind: int
    """Serial of the manifest that it names as the one before; 0 for the first."""
    brings: Act | None = None
    is_genuine: bool = True
    """The signature is of this key, and of this manifest."""
    is_whole: bool = True
    """Files are those that it names."""
    is_counted: bool = True
    """Rows and amounts are what it says."""


class Told(NamedTuple):
    """Outcome that a delivery must have."""

    party: str
    number: int
    outcome: str
    rules: frozenset[str]
    """One of these is named; there are none where it is taken."""


class Portal:
    """Inboxes of all parties, and what was answered."""

    def __init__(self, control: Control) -> None:
        self.control = control
        self.inbox: dict[tuple[str, int], Delivery] = {}
        self.answered: dict[tuple[str, int], tuple[Delivery, str]] = {}
        """Deliveries that were taken or refused, with which of both."""

    def last(self, party: str) -> int:
        """Number of the last delivery of a party that was answered."""
        return max((number for name, number in self.answered if name == party), default=0)

    def before(self, party: str, number: int) -> int:
        """Serial of the manifest before a number; 0 where there is none."""
        known = self.answered.get((party, number - 1))
        return known[0].serial if known else 0

    def take_all(self, committed: Callable[[], None]) -> list[Told] | None:
        """Take what is there; None where nobody may deliver. committed: is told of each record of
        the audit chain."""
        versions = self.control.versions
        if not versions or not versions[-1].parties:
            return None
        told = []
        for party in sorted(versions[-1].parties):
            for name, number in sorted(self.inbox):
                if name == party.name:
                    told.append(self._take(party, self.inbox[name, number], committed))
        return told

    def _take(self, party: Party, delivery: Delivery, committed: Callable[[], None]) -> Told:
        place = delivery.party, delivery.number
        unsigned = _unsigned(party, delivery)
        known = self.answered.get(place)
        if not unsigned and not known and delivery.number != self.last(party.name) + 1:
            return Told(*place, "missing", frozenset({"MANIFEST_MISSING"}))
        del self.inbox[place]
        if unsigned:
            return Told(*place, "refused", unsigned)
        if known:
            rule = "MANIFEST_REPEATED" if known[0] == delivery else "MANIFEST_REUSED"
            return Told(*place, "repeated", frozenset({rule}))
        rules = self._refused(party, delivery)
        act = delivery.brings
        if not rules and act is not None and act not in self.control.used:
            rules = self.control.take(act)
            if not rules:
                self._still_there(delivery, committed)
        outcome = "refused" if rules else "taken"
        self.answered[place] = delivery, outcome
        committed()
        return Told(*place, outcome, rules)

    def _still_there(self, delivery: Delivery, committed: Callable[[], None]) -> None:
        """Commit what a delivery brings before the delivery itself."""
        place = delivery.party, delivery.number
        self.inbox[place] = delivery
        committed()
        del self.inbox[place]

    def _refused(self, party: Party, delivery: Delivery) -> frozenset[str]:
        """Rules by which a delivery is refused for itself."""
        rules = {
            "MANIFEST_ORDER": delivery.behind != self.before(party.name, delivery.number),
            "FILE_HASH": not delivery.is_whole,
            "KIND_OTHER": delivery.kind not in party.kinds,
            "CONTROL_SUM": not delivery.is_counted,
        }
        return frozenset(rule for rule, is_broken in rules.items() if is_broken)


def _unsigned(party: Party, delivery: Delivery) -> frozenset[str]:
    """Rules by which nobody can be held to a manifest."""
    rules = set() if delivery.is_genuine else {"SIGNATURE_INVALID"}
    key = next((key for key in party.keys if key.name == delivery.key), None)
    if key is None:
        rules.add("KEY_UNKNOWN")
    elif not key.signs_on(delivery.day):
        rules.add("KEY_EXPIRED")
    return frozenset(rules)
