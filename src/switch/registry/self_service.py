"""Self-service: devices of citizens, and where each person stands, as the audit chain has it.

IN: audit records of bindings and refusals, and those of registers that a citizen changed. OUT:
states; nothing of them is stored. A person is their row in the register, which never changes; a
device and an account are keyed hashes.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import msgspec

from switch.home.store import Home
from switch.home.times import micros_of

CITIZEN = "citizen"
"""Kind of the audit records of bindings and refusals; the field of those of registers that a
citizen changed. They have no files of their own."""
TRIES_MAX, LOCK_SECONDS = 5, 300
"""Codes that are wrong, one after the other, and how long a person is locked behind the last."""
CODE_WRONG, CODE_USED = "CODE_WRONG", "CODE_USED"


class CitizenSaid(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True
):
    """A deed of a citizen, or a try. A field that it says nothing of is not written."""

    person: int
    """Row of the person in the register."""
    device: str
    """Keyed hash of the device that was named."""
    bound: int = 0
    """Number of a binding in this home: 1, 2, ...; 0 where it is none."""
    by: str = ""
    """The officer who bound the device: they saw the person, and the card."""
    mark: str = ""
    """Mark of the authority's secret."""
    rule: str = ""
    """The reason for which it was refused; '' where it was done."""
    step: int | None = None
    """Step of time of a code that was right; it is used by this."""
    participant: str = ""
    """Fields of an account that was registered: where it is, its keyed hash, the day from which on
    it may receive, its priority, and the keyed hash of the account that ends by it."""
    account: str = ""
    valid_from: str = ""
    priority: int = 0
    ended: str = ""
    holder: int | None = None
    """Row of the person whom they represent; the money is that person's."""
    valid_to: str = ""
    """The last day of their authority."""


@dataclass
class Standing:
    """One person, as of now."""

    device: str = ""
    """Keyed hash of the bound device; '' where none ever was."""
    number: int = 0
    """Number of its binding."""
    mark: str = ""
    by: str = ""
    bound_at: str = ""
    step: int = -1
    """The last step of which the bound device gave a code."""
    wrong: int = 0
    """Codes in a row that were wrong."""
    locked_until: int = 0
    """Microseconds since 1970 (UTC)."""
    last_at: str = ""
    """The time of the last that was said."""
    is_new: bool = False
    """Nothing was said since the device was bound."""

    def is_locked(self, at: str) -> bool:
        """No code is looked at, at this time."""
        return micros_of(at) < self.locked_until

    def take(self, at: str, said: CitizenSaid) -> None:
        """Take in what was said at a time."""
        self.last_at, self.is_new = at, bool(said.bound)
        if said.bound:
            self.device, self.number, self.mark = said.device, said.bound, said.mark
            self.by, self.bound_at, self.step = said.by, at, -1
        elif said.rule == CODE_WRONG:
            self.wrong += 1
            if self.wrong == TRIES_MAX:
                self.wrong, self.locked_until = 0, micros_of(at) + LOCK_SECONDS * 1_000_000
        elif said.step is not None and said.rule != CODE_USED:
            self.step, self.wrong = said.step, 0


class SelfService:
    """Everything that citizens did in a home, as of now."""

    def __init__(self, home: Home) -> None:
        self.people: dict[int, Standing] = {}
        """By row."""
        self.bindings = 0
        for record in home.catalog.audit.records(CITIZEN, "register"):
            detail = msgspec.json.decode(record.detail)
            if record.kind == "register" and CITIZEN not in detail:
                continue
            if record.kind == CITIZEN:
                detail.pop("files", None)
            self._take(record.at, msgspec.convert(detail.get(CITIZEN, detail), CitizenSaid))

    def _take(self, at: str, said: CitizenSaid) -> None:
        person = self.person(said.person)
        if said.bound:
            self.bindings = said.bound
        person.take(at, said)

    def is_of_another(self, device: str, rows: Collection[int]) -> bool:
        """Tell whether a device, by its keyed hash, is bound to somebody else. rows: of all ids
        that a person has or had."""
        return any(one.device == device for row, one in self.people.items() if row not in rows)

    def person(self, row: int) -> Standing:
        """The standing of a person by their row."""
        return self.people.setdefault(row, Standing())
