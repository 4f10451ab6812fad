"""Changes: one fact of a home at a time, any column of its directory or any of its settings.

Nothing here knows an outcome: much of it is refused while a cycle stands on it, and a later change
hands over the whole table anew.
"""

from __future__ import annotations

import datetime as dt
import random
from typing import Any

from switch.sim.auditor.screening import Row
from switch.sim.lives.operations import Change, Rules

CHANGED = 0.35
"""Rate of lives in which every fact may change."""
CHANGES = 0.3
"""Rate at which a change comes there before an operation."""
Cells = dict[str, Any]
"""A row by column that may be changed."""
KINDS = ("bank", "wallet", "mobile_money", "treasury", "treasury")
CUTOFFS: tuple[tuple[str, ...], ...] = (
    ("11:00", "15:30"),
    ("08:00", "11:00", "15:30"),
    ("15:30",),
    ("08:00", "15:30", "17:00"),
    (),
)
LIMITS = (1_000_000, 6_000_000, 500_000_000)
PARTICIPANT_FACTS = (
    *("short_name", "name", "bic", "kind", "kind", "settled_by"),
    *("net_debit_cap", "amount_max", "status"),
)
DEBTOR_FACTS = ("debtor_agent", "programme", "budget")
GROUP = "relief"
"""Name of the exclusive group that a life may have."""
PROGRAMME_FACTS = ("name", "purpose", "priority")


def participant(code: str, kind: str, settled_by: str = "") -> Cells:
    return {
        "participant": code,
        "short_name": "",
        "name": f"Institution {code}",
        "bic": "",
        "kind": kind,
        "settled_by": settled_by,
        "net_debit_cap": None,
        "amount_max": None,
        "status": "active",
    }


def debtor(account: str, agent: str) -> Cells:
    return {"debtor_account": account, "debtor_agent": agent, "programme": "", "budget": None}


class Facts:
    """The settings of one life as it last handed them over, and with what it began."""

    def __init__(
        self,
        rng: random.Random,
        rules: Rules,
        participants: tuple[Row, ...],
        programmes: tuple[Row, ...],
        first_day: dt.date,
    ) -> None:
        self.rng, self.rules, self.first_day = rng, rules, first_day
        self.is_changing = rng.random() < CHANGED
        self.begin = rules, participants
        self.benefits = [row["benefit"] for row in programmes]

    def change(
        self, participants: list[Cells], debtors: list[Cells], programmes: tuple[Row, ...]
    ) -> Change:
        """A change of one fact of these, which are changed with it."""
        rng = self.rng
        which = rng.choice(["participants", "participants", "debtors", "programmes", "rules"])
        if which == "participants":
            return Change(participants=self._participants(participants))
        if which == "debtors":
            self._debtors(debtors, [row["participant"] for row in participants])
            rows = tuple(dict(row) for row in debtors)
            return Change(debtors=rows[1:] if rng.random() < 0.1 else rows)
        if which == "programmes":
            return Change(programmes=self._programmes(programmes))
        self._rules()
        return Change(rules=self.rules)

    def _participants(self, rows: list[Cells]) -> tuple[Row, ...]:
        rng = self.rng
        row = rng.choice(rows)
        if rng.random() < 0.1:
            # It leaves, and is there again with the next change.
            return tuple(dict(other) for other in rows if other is not row)
        before = dict(row)
        column = rng.choice(PARTICIPANT_FACTS)
        row[column] = {
            "kind": rng.choice(KINDS),
            "settled_by": rng.choice(["", "", rng.choice(rows)["participant"]]),
            "net_debit_cap": rng.choice([None, None, 0, 4_000_000, 30_000_000]),
            "amount_max": rng.choice([None, 5_000_000]),
            "status": rng.choice(["active", "active", "suspended"]),
        }.get(column, f"{column} {rng.randint(1, 9)}")
        found = tuple(dict(other) for other in rows)
        own = {other["participant"]: other["settled_by"] or other["participant"] for other in rows}
        new = {other["participant"]: other.get("replaced_by") for other in rows}
        if any(own.get(agent) != agent for agent in own.values()) or any(
            by and own[by] != own[code] for code, by in new.items()
        ):
            row |= before  # That is refused.
        return found

    def _debtors(self, rows: list[Cells], codes: list[str]) -> None:
        rng = self.rng
        row, column = rng.choice(rows), rng.choice(DEBTOR_FACTS)
        row[column] = {
            "debtor_agent": rng.choice(codes),
            "programme": rng.choice(["", *self.benefits]),
            "budget": rng.choice([None, None, 0, 60_000_000, 10**15]),
        }[column]

    def _programmes(self, rows: tuple[Row, ...]) -> tuple[Row, ...]:
        rng = self.rng
        if rng.random() < 0.3:
            gone = rng.choice(self.benefits)
            return tuple(row for row in rows if row["benefit"] != gone)
        number, column = rng.randrange(len(rows)), rng.choice(PROGRAMME_FACTS)
        word = f"{column} {rng.randint(1, 9)}"
        changed = [dict(row) for row in rows]
        changed[number][column] = rng.choice([1, 2, None]) if column == "priority" else word
        if column == "name":
            # A benefit joins its group, or leaves it, while lives go on.
            changed[number]["exclusive_group"] = GROUP if word[-1] in "13579" else None
        return tuple(changed)

    def _rules(self) -> None:
        rng = self.rng
        which = rng.choice(["limit", "cutoffs", "cutoffs", "days", "rule", "budgets"])
        if which == "limit":
            self.rules = self.rules._replace(clearing_limit=rng.choice(LIMITS))
        elif which == "cutoffs":
            self.rules = self.rules._replace(cutoffs=rng.choice(CUTOFFS))
        elif which == "days":
            days = [self.first_day + dt.timedelta(rng.randint(0, 60)) for _ in range(8)]
            off, worked = set(days[:5]), set(days[5:])
            new_years = (dt.date(y, 1, 1) for y in range(days[0].year - 1, days[0].year + 9))
            self.rules = self.rules._replace(
                holidays=tuple(sorted({*new_years, *off} - worked)),
                working_days=tuple(sorted(worked)),
                holidays_only=rng.random() < 0.5,
            )
        elif which == "rule":
            self.rules = self.rules._replace(rule=rng.choice(["", "wait", "recast"]))
        else:
            self.rules = self.rules._replace(budgets=not self.rules.budgets)
