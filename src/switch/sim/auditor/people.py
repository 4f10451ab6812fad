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
        self.replaced: dict[str, str] = {}
        """Ids of before, each with the one in its place."""
        self.lines: dict[str, tuple[tuple[Line, int], ...]] = {}
        """Lines of each person who was known when they came in, with their amounts."""
        self.turns: dict[Line, int] = {}
        """The order in which those came."""
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
        ids = [
            self.now(person) if rows is accounts else person
            for rows in (people, accounts, paid)
            for person in [screening.citizen_id(row["person_id"]) for row in rows or ()]
        ]
        self.write(ids, replace, share)
        if people is not None:
            self.people = {} if replace else self.people
            self.people.update({screening.citizen_id(row["person_id"]): row for row in people})
        if accounts is not None:
            self.accounts = {} if replace else self.accounts
            for row in accounts:
                person = self.now(screening.citizen_id(row["person_id"]))
                key = person, row["participant"], row["account"]
                self.accounts[key] = {**row, "person_id": person}
        if paid is not None:
            self.history = set() if replace else self.history
            self.history.update(map(screening.entitlement, paid))

    # --- ids that changed or were merged ---------------------------------------------------------

    def now(self, person: str) -> str:
        """The id that somebody has now."""
        while person in self.replaced:
            person = self.replaced[person]
        return person

    def present(self, row: screening.Row) -> screening.Row:
        """A line with the id that its person has now."""
        return {**row, "person_id": self.now(screening.citizen_id(row["person_id"]))}

    def is_replaced(self, row: screening.Row) -> bool:
        """Tell whether another id stands in place of a line's."""
        return screening.citizen_id(row["person_id"]) in self.replaced

    def paid_now(self, paid: Iterable[screening.Entitlement]) -> set[screening.Entitlement]:
        """Entitlements that were paid, by the ids that their persons have now."""
        return {(self.now(person), benefit, period) for person, benefit, period in paid}

    def is_of_themself(self, accounts: Iterable[screening.Row]) -> bool:
        """Tell whether an account is of a representative who is the same person, by any id."""
        return any(
            self.now(screening.citizen_id(row["representative"]))
            == self.now(screening.citizen_id(row["person_id"]))
            for row in accounts
            if row.get("representative") is not None
        )

    def refusal_of(self, pairs: Iterable[tuple[str, str]]) -> str:
        """The rule by which pairs of (old id, id in its place) must be refused; '' for none."""
        pairs, known = list(pairs), dict(self.replaced)
        if any(old == by for old, by in pairs):
            return "REPLACED_SELF"
        for old, by in pairs:
            if known.setdefault(old, by) != by:
                return "REPLACED_OTHERWISE"
        ends = set()
        for old, _ in pairs:
            person, seen = old, set()
            while person in known and person not in seen:
                seen.add(person)
                person = known[person]
            if person in seen:
                return "REPLACED_CYCLE"
            ends.add(person)
        is_known = all(self.holding(person).status != "unknown" for person in ends)
        return "" if is_known else "REPLACED_UNKNOWN"

    def put_replaced(self, pairs: Iterable[tuple[str, str]], share: int) -> None:
        """Take in pairs that are not refused, with the accounts of the old ids."""
        pairs = list(pairs)
        fresh = sorted({old for old, _ in pairs if old not in self.replaced})
        self.replaced.update(pairs)
        named = {old for old, _ in pairs} | {self.now(old) for old, _ in pairs}
        self.write_few(len(pairs), named & self.known, share)
        most: dict[str, int] = {}
        for person, row in [(key[0], row) for key, row in self.accounts.items()]:
            most[person] = max(most.get(person, 0), row["priority"])
        for old in fresh:
            person = self.now(old)
            for (whose, *place), row in list(self.accounts.items()):
                acting = row.get("representative")
                itself = acting is not None and self.now(screening.citizen_id(acting)) == person
                if whose != old or itself:
                    continue
                priority = min(255, most.get(person, 0) + row["priority"])
                joined = {**row, "person_id": person, "priority": priority}
                self.accounts.setdefault((person, place[0], place[1]), joined)

    def lines_of(self, person: str) -> list[tuple[Line, int]]:
        """Lines of a person by all ids that they have or had, in their order."""
        ids = [one for one in self.lines if self.now(one) == self.now(person)]
        return sorted((line for one in ids for line in self.lines[one]), key=self._turn_of)

    def _turn_of(self, line: tuple[Line, int]) -> int:
        return self.turns[line[0]]

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
            person = self.now(screening.citizen_id(row["person_id"]))
            if person in self.known:
                told = (seq, row["line_no"]), row["amount"]
                self.turns[told[0]] = len(self.turns)
                self.lines[person] = (*self.lines.get(person, ()), told)

    def write(self, ids: list[str], replace: bool = False, share: int = 20) -> None:
        """Say how a change is written: as a delta where all deltas name no more people than one in
        share of the register, and no more than DELTAS_MAX stand behind the whole."""
        self.write_few(0 if replace else len(ids), set(ids), share)
        self.known |= set(ids)

    def write_few(self, rows: int, named: set[str], share: int) -> None:
        """The same by the count of rows (0: the whole is written) and people whom they name."""
        left = len(self.known) // share - self.changed
        is_few = 0 < rows <= left and self.deltas < DELTAS_MAX
        self.deltas = self.deltas + 1 if is_few else 0
        self.changed = self.changed + len(named) if is_few else 0

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
            now=self.now,
        )
