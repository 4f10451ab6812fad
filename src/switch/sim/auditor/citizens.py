"""Citizens judged: which device is whose, which code counts, and what becomes of their accounts.

Of the engine it imports `schema`, `reason` and `errors` alone. Written from docs/contract.md. Which
half minute a code is of is told, not computed.
"""

from __future__ import annotations

import datetime as dt
from typing import NamedTuple

from switch.sim.auditor.control import Control
from switch.sim.auditor.directory import TREASURY_KIND, Directory
from switch.sim.auditor.people import People
from switch.sim.auditor.screening import Row, citizen_id, is_deceased, life_fault

FINAL = {"certify", "fund", "release"}
"""Steps that make a table final."""
LOCK = dt.timedelta(seconds=300)
TRIES = 5
DAY = dt.timedelta(days=1)
Place = tuple[str, str]
"""Participant, and account there."""


class Claim(NamedTuple):
    """An account that somebody wants to be theirs."""

    person: str
    device: str
    at: dt.datetime
    step: int | None
    """Half minute since 1970 of the code by the bound device; None where it is wrong."""
    place: Place
    ends: Place | None
    """The account in whose place it is."""
    holder: str = ""
    """Whom they represent, where it is somebody: the money is that person's."""


class Citizens:
    """Devices and tries of the citizens of one home."""

    def __init__(self, people: People, directory: Directory, control: Control) -> None:
        self.people, self.directory, self.control = people, directory, control
        self.bindings: list[tuple[str, str]] = []
        """(person, device) of each, in order."""
        self.numbers: dict[str, int] = {}
        """Number of the binding that holds, by person."""
        self.used: dict[str, int] = {}
        """The last half minute of which the bound device's code was used."""
        self.wrong: dict[str, int] = {}
        self.locked: dict[str, dt.datetime] = {}
        self.last: dict[str, dt.datetime] = {}
        self.fresh: set[str] = set()
        """Persons who said nothing since their device was bound."""

    def device(self, person: str) -> str:
        """The device that is bound to a person; '' for none."""
        number = self.numbers.get(self.people.now(person))
        return self.bindings[number - 1][1] if number else ""

    def places(self) -> list[str]:
        """Participants that keep accounts of citizens."""
        rows = self.directory.participants.items()
        return sorted(code for code, row in rows if row["kind"] != TREASURY_KIND)

    def bind(self, person: str, device: str, at: dt.datetime) -> str | None:
        """Bind a device. Returns the rule by which it must be refused, '' where it is bound, None
        where it was, and nothing is recorded. What an id of before bound is still the person's, but
        not bound to the id that they have now."""
        person = self.people.now(person)
        if person in self.fresh and self.device(person) == device:
            return None
        self.last[person] = at
        self.fresh.discard(person)
        last = {one: self.bindings[number - 1][1] for one, number in self.numbers.items()}
        if any(self.people.now(one) != person for one, its in last.items() if its == device):
            return "DEVICE_TAKEN"
        self.bindings.append((person, device))
        self.numbers[person] = len(self.bindings)
        self.used.pop(person, None)
        self.fresh.add(person)
        return ""

    def claim(self, said: Claim) -> str:
        """Register an account. Returns the rule by which it must be refused, '' for none."""
        said = said._replace(
            person=self.people.now(said.person),
            holder=self.people.now(said.holder) if said.holder else "",
        )
        person = said.person
        self.last[person] = said.at
        self.fresh.discard(person)
        if not self.device(person):
            return "NOT_BOUND"
        if self.device(person) != said.device:
            return "DEVICE_OTHER"
        if person in self.locked and said.at < self.locked[person]:
            return "LOCKED"
        if said.step is None:
            return self._miss(person, said.at)
        if person in self.used and said.step <= self.used[person]:
            return "CODE_USED"
        self.used[person] = said.step
        self.wrong.pop(person, None)
        return self._take(said)

    def accounts(self, person: str) -> set[tuple[str, int, str, str, str]]:
        """(participant, priority, first and last day or '', representative or '') of each account
        of a person."""
        return {
            (
                *(place, row["priority"], str(row["valid_from"] or "")),
                *(str(row["valid_to"] or ""), _acting(row)),
            )
            for (holder, place, _), row in self.people.accounts.items()
            if holder == self.people.now(person)
        }

    def _miss(self, person: str, at: dt.datetime) -> str:
        self.wrong[person] = self.wrong.get(person, 0) + 1
        if self.wrong[person] == TRIES:
            del self.wrong[person]
            self.locked[person] = at + LOCK
        return "CODE_WRONG"

    def _take(self, said: Claim) -> str:
        """The account is registered, or refused behind a code that was right."""
        today, final = said.at.date(), self._final_days()
        floor, first = min([today, *final]), max([today, *(day + DAY for day in final)])
        rows, holder, now = self.people.accounts, said.holder or said.person, self.people.now
        of_holder = {key[1:]: row for key, row in rows.items() if key[0] == holder}
        until = None
        if said.holder:
            days = [r["valid_to"] for r in of_holder.values() if now(_acting(r)) == said.person]
            if not days:
                return "REPRESENTATIVE_OTHER"
            until = max(days)
            if until < first:
                return "AUTHORITY_OVER"
            if life_fault(said.person, self.people.people, first):
                return "REPRESENTATIVE_NOT_ALIVE"
        if is_deceased(holder, self.people.people, first):
            return "HOLDER_DECEASED"
        living = {
            k: row for k, row in rows.items() if not row["valid_to"] or row["valid_to"] >= floor
        }
        others = [
            key
            for key, row in rows.items()
            if key[1:] == said.place
            and now(_acting(row) or key[0]) != said.person
            and (key in living or (now(key[0]) == holder and _acting(row)))
        ]
        if others:
            return "HOLDER_OTHER"
        if (holder, *said.place) in living:
            return "ACCOUNT_HELD"
        old = living.get((holder, *said.ends)) if said.ends else None
        if old is not None and said.holder and now(_acting(old)) != said.person:
            old = None
        if said.ends and old is None:
            return "ACCOUNT_UNKNOWN"
        mine = [row for key, row in living.items() if key[0] == holder]
        counting = [row for row in mine if not row["valid_to"] or row["valid_to"] >= first]
        behind = min(max((row["priority"] for row in counting), default=0) + 1, 255)
        new: Row = {
            "person_id": holder,
            "participant": said.place[0],
            "account": said.place[1],
            "kind": self.directory.participants[said.place[0]]["kind"] or "bank",
            "priority": old["priority"] if old else behind,
            "valid_from": first,
            "valid_to": until,
            "representative": said.person if said.holder else None,
        }
        ended = [{**old, "valid_to": first - DAY}] if old else []
        self.people.upsert(None, [new, *ended], None, False)
        return ""

    def _final_days(self) -> list[dt.date]:
        """Value dates of tables that are certified and were not run yet."""
        return [
            dossier.sheet.day
            for dossier in self.control.dossiers
            if dossier.has_passed(FINAL) and not self.control.has_run(dossier.sheet.name)
        ]


def _acting(row: Row) -> str:
    """Id of the representative whose an account is; '' for the person's own."""
    who = row.get("representative")
    return "" if who is None else citizen_id(who)
