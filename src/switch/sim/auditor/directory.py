"""The directory of a home as plain dicts: who takes part, whose account pays, by which settings.

Of the engine it imports `schema`, `reason` and `errors` alone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from switch.sim.auditor.expected import Ruled
from switch.sim.auditor.screening import Row

TREASURY_KIND = "treasury"


class Directory:
    """Participants, accounts that pay, programmes and settings, as they are now."""

    def __init__(self) -> None:
        self.participants: dict[str, Row] = {}
        self.debtors: dict[str, Row] = {}
        self.programmes: dict[str, Row] = {}
        self.rules = Ruled()

    def replace(
        self,
        participants: Iterable[Row] | None,
        debtors: Iterable[Row] | None,
        programmes: Iterable[Row] | None,
        rules: Ruled | None,
    ) -> None:
        """Replace tables or settings; what is None stays."""
        if participants is not None:
            self.participants = {row["participant"]: row for row in participants}
        if debtors is not None:
            self.debtors = {row["debtor_account"]: row for row in debtors}
        if programmes is not None:
            self.programmes = {row["benefit"]: row for row in programmes}
        if rules is not None:
            self.rules = rules

    def is_sound(self) -> bool:
        """Tell whether the tables fit together: every settler settles for itself, every payer is a
        participant and, where budgets count, every budget has its programme."""
        codes = self.participants
        sound = all(self.settler(self.settler(code)) == self.settler(code) for code in codes)
        sound &= all(row["debtor_agent"] in codes for row in self.debtors.values())
        for code, row in codes.items():
            if new := row.get("replaced_by"):
                stays = new in codes and new != code and not codes[new].get("replaced_by")
                sound &= stays and self.settler(new) == self.settler(code)
        if self.rules.budgets:
            sound &= all(benefit in self.programmes for benefit in self.budgets())
        return sound

    def settler(self, code: str) -> str:
        """Code of the participant whose settlement account pays for this one; '' where the
        directory lacks it."""
        row = self.participants.get(code)
        return str(row["settled_by"] or code) if row else ""

    def account(self, code: str) -> str:
        """Settlement account of a participant that settles for itself."""
        kind = "TREASURY" if self._is_treasury(code) else "BANK"
        return f"S.{kind}[{code}]"

    def treasuries(self) -> list[str]:
        """Codes of all treasuries."""
        return [code for code in self.participants if self._is_treasury(code)]

    def agent(self, row: Row) -> str:
        """Debtor agent of a payment line."""
        return str(self.debtors[row["debtor_account"]]["debtor_agent"])

    def budgets(self) -> Counter[str]:
        """Budgets by programme; a programme without one has no limit."""
        found: Counter[str] = Counter()
        for row in self.debtors.values():
            if row["budget"] is not None:
                found[row["programme"]] += row["budget"]
        return found

    def groups(self) -> dict[str, str]:
        """Name of the exclusive group by benefit, of those that have one."""
        named = {code: row.get("exclusive_group") or "" for code, row in self.programmes.items()}
        return {code: name for code, name in named.items() if name}

    def _is_treasury(self, code: str) -> bool:
        return bool(self.participants[code]["kind"] == TREASURY_KIND)
