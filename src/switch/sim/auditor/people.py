"""People, their accounts and their paid history, as registers say, and the lines that name them.

Of the engine it imports `schema`, `reason` and `errors` alone.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from switch.sim.auditor import screening
from switch.sim.auditor.directory import Directory
from switch.sim.auditor.expected import Line

DELTAS_MAX = 50
STATUSES = {
    "MATCH": "alive",
    "NAME_DIFFERS": "alive",
    "NOT_FOUND": "unknown",
    "DECEASED": "deceased",
    "DUPLICATE": "duplicate",
    "LATE": "late",
}
"""Status of a person in the register by an answer of the population database."""


class Said(NamedTuple):
    """An answer of the population database for a person."""

    word: str
    name: str | None = None
    died: dt.date | None = None
    is_said: bool = True
    """False where nothing is said, which is LATE."""


class Holding(NamedTuple):
    """A person as the register has them."""

    status: str
    name: str
    since: dt.date | None


class People:
    """Registers, upserted by key."""

    def __init__(self) -> None:
        self.people: dict[str, screening.Row] = {}
        self.accounts: dict[tuple[str, str, str], screening.Row] = {}
        self.history: set[screening.Entitlement] = set()
        self.known: set[str] = set()
        """Ids that a register ever named."""
        self.lines: dict[str, tuple[tuple[Line, int], ...]] = {}
        """Lines of each person who was known when they came in, with their amounts."""
        self.deltas = self.changed = 0
        """Deltas since the register was written whole, and people whom they name."""

    def upsert(
        self,
        people: Iterable[screening.Row] | None,
        accounts: Iterable[screening.Row] | None,
        paid: Iterable[screening.Row] | None,
        replace: bool,
        share: int = 20,
    ) -> None:
        """Upsert by key, or replace the whole of what is given. share: as of `write`."""
        tables = [rows for rows in (people, accounts, paid) if rows is not None]
        ids = [screening.citizen_id(row["person_id"]) for rows in tables for row in rows]
        self.write(ids, replace, share)
        if people is not None:
            self.people = {} if replace else self.people
            self.people.update({screening.citizen_id(row["person_id"]): row for row in people})
        if accounts is not None:
            self.accounts = {} if replace else self.accounts
            for row in accounts:
                key = screening.citizen_id(row["person_id"]), row["participant"], row["account"]
                self.accounts[key] = row
        if paid is not None:
            self.history = set() if replace else self.history
            self.history.update(map(screening.entitlement, paid))

    def holding(self, person: str) -> Holding:
        """A person as they are held; `unknown` of whom the population database does not have."""
        row = self.people.get(person)
        if row is None or row["status"] == "unknown":
            return Holding("unknown", "", None)
        since = None if row["status"] == "alive" else row["status_since"]
        return Holding(row["status"], screening.name_key(row["name"]), since)

    def identify(
        self, asked: Mapping[str, tuple[str, Holding]], said: Mapping[str, Said], share: int
    ) -> int:
        """Take answers. asked: by person, the name and what was held then. Returns how many people
        are held otherwise by it."""
        rows = []
        for person, (name, held) in asked.items():
            one, now = said[person], self.holding(person)
            if now != held:
                continue  # The register was told something else since.
            new = Holding(STATUSES[one.word], screening.name_key(one.name or name), one.died)
            if one.word == "LATE" and now.status not in ("unknown", "alive"):
                continue
            if one.word == "NOT_FOUND":
                new = Holding("unknown", "", None)
            if new != now:
                row = {"person_id": person, "name": one.name or name, "status": new.status}
                rows.append({**row, "status_since": one.died})
        if rows:
            self.upsert(rows, None, None, False, share)
        return len(rows)

    def take_in(self, seq: int, rows: Iterable[screening.Row]) -> None:
        """Note whom the lines of a batch name."""
        for row in rows:
            person = screening.citizen_id(row["person_id"])
            if person in self.known:
                told = (seq, row["line_no"]), row["amount"]
                self.lines[person] = (*self.lines.get(person, ()), told)

    def write(self, ids: list[str], replace: bool = False, share: int = 20) -> None:
        """Say how a change is written: as a delta where all deltas name no more people than one in
        share of the register, and no more than DELTAS_MAX stand behind the whole."""
        left = len(self.known) // share - self.changed
        is_few = bool(ids) and not replace and len(ids) <= left and self.deltas < DELTAS_MAX
        self.deltas = self.deltas + 1 if is_few else 0
        self.changed = self.changed + len(set(ids)) if is_few else 0
        self.known |= set(ids)

    def compact(self) -> bool:
        """Write all deltas into the whole; false where there are none."""
        had, self.deltas, self.changed = self.deltas, 0, 0
        return had > 0

    def on(self, value_date: dt.date, directory: Directory) -> screening.Registers:
        """All that screening looks at on a value date."""
        return screening.Registers(
            people=self.people,
            accounts=screening.by_person(self.accounts.values()),
            participants=directory.participants,
            debtors=directory.debtors,
            benefits=directory.programmes,
            value_date=value_date,
            clearing_limit=directory.rules.clearing_limit,
        )
