"""The sender of a life: tables that it hands over, new ones and, in many ways, those of before."""

from __future__ import annotations

import random
from collections.abc import Sequence

from switch.sim.auditor.expected import ROWS, Table
from switch.sim.auditor.screening import Row
from switch.sim.lives.changes import Cells
from switch.sim.lives.village import DAY, Village

FORMS = ("rows", "rows", "rows", "typed rows", "parquet", "csv")
"""Ways to hand a table over: from memory, as texts or as numbers and dictionaries; or as a file
with its dossier."""
OTHER_DAYS = 0.1
"""Rate at which a table of before comes with another value date."""


class Sender:
    """Draws tables of lines about the people of a village."""

    def __init__(self, village: Village, rival: random.Random) -> None:
        """rival: draws which tables of before come with another value date."""
        self.village, self.rng, self.rival = village, village.rng, rival
        self.sent: list[tuple[Table, str]] = []
        """Tables that were handed over, with their forms."""

    def table(self) -> tuple[Table, str]:
        """A table, and its form."""
        drawn = self._table()
        self.sent.append(drawn)
        return drawn

    def _table(self) -> tuple[Table, str]:
        rng = self.rng
        form = rng.choice(FORMS)
        number = len(self.sent) + 1
        if not self.sent or rng.random() < 0.5:
            rows = [self.village.line() for _ in range(rng.randint(1, 25))]
            self.village.as_households(rows)
            if rng.random() < 0.2:
                rows.append(dict(rng.choice(rows)))
            return self._declare(rows, f"B{number}", form), form
        old, old_form = rng.choice(self.sent[-6:])
        rows = [dict(row) for row in old.rows]
        if self.rival.random() < OTHER_DAYS:
            old = old._replace(value_date=old.value_date + DAY)
        kind = rng.choice(["again", "again", "same id", "new id", "overlap", "permuted", "source"])
        if kind == "again":
            # Whatever was wrong with its dossier has been put right, or not.
            if rng.random() < 0.7:
                old = old._replace(
                    declared_count=len(old.rows),
                    declared_sum=sum(row["amount"] for row in old.rows),
                    digest_true=True,
                    dossier=True,
                )
            return old, old_form
        if kind == "same id":
            at = rng.randrange(len(rows))
            rows[at]["amount"] += 250_000
            return self._declare(rows, old.batch_id, form), form
        if kind == "new id":
            return self._declare(rows, f"B{number}", form, shuffle=False), form
        if kind == "overlap":
            some = rng.sample(rows, rng.randint(1, len(rows)))
            rows = [*some, *(self.village.line() for _ in range(rng.randint(1, 8)))]
            rng.shuffle(rows)
            return self._declare(rows, f"B{number}", form), form
        if kind == "permuted":
            rng.shuffle(rows)
            name = rng.choice([old.batch_id, f"B{number}"])
            return self._declare(rows, name, form), form
        return self._declare(rows, old.batch_id, form, source="MOH"), form

    def _declare(
        self,
        rows: Sequence[Cells],
        batch_id: str,
        form: str,
        *,
        source: str = "VSS",
        shuffle: bool = True,
    ) -> Table:
        """The table with its dossier: true, but for a few. Line numbers may come in any order."""
        rng = self.rng
        numbers = list(range(1, len(rows) + 1))
        if shuffle and rng.random() < 0.3:
            rng.shuffle(numbers)
        numbered = [{**row, "line_no": n} for row, n in zip(rows, numbers, strict=True)]
        if rng.random() < 0.06:
            self._spoil(numbered)
        table = Table(
            source=source,
            batch_id=batch_id,
            value_date=self.village.day,
            declared_count=len(rows),
            declared_sum=sum(row["amount"] for row in rows),
            rows=tuple(numbered),
            content=content_of(numbered, form),
        )
        if rng.random() < 0.12:
            faults: list[Cells] = [
                {"declared_count": table.declared_count + 1},
                {"declared_count": max(table.declared_count - 1, 0)},
                {"declared_sum": table.declared_sum - 1},
                {"batch_id": "../out"},
                {"source": ""},
            ]
            if form in ("parquet", "csv"):
                faults += [{"digest_true": False}, {"dossier": False}, {"currency": "USD"}]
            table = table._replace(**rng.choice(faults))
        return table

    def _spoil(self, rows: list[Cells]) -> None:
        """Something in the table because of which it is refused whole."""
        row = self.rng.choice(rows)
        column, value = self.rng.choice(
            [("line_no", 1), ("line_no", len(rows) + 1), ("period", 202613)]
        )
        row[column] = value
        if self.rng.random() < 0.3:
            row["creditor_agent"], row["creditor_account"] = self.village.banks[0], None


def content_of(rows: Sequence[Row], form: str) -> str:
    """A word for the content of a table (`expected.Table.content`)."""
    kind = ROWS if form.endswith("rows") else form
    return f"{kind}: {[sorted(row.items(), key=lambda item: item[0]) for row in rows]}"
