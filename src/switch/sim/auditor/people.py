"""People, their accounts and their paid history, as registers say.

Of the engine it imports `schema`, `reason` and `errors` alone.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable

from switch.sim.auditor import screening
from switch.sim.auditor.directory import Directory


class People:
    """Registers, upserted by key."""

    def __init__(self) -> None:
        self.people: dict[str, screening.Row] = {}
        self.accounts: dict[tuple[str, str, str], screening.Row] = {}
        self.history: set[screening.Entitlement] = set()

    def upsert(
        self,
        people: Iterable[screening.Row] | None,
        accounts: Iterable[screening.Row] | None,
        paid: Iterable[screening.Row] | None,
        replace: bool,
    ) -> None:
        """Upsert by key, or replace the whole of what is given."""
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
