"""Limits of a month proven: no account was sent more by a batch than its participant's limit.

What accounts were sent is added up again from clearing files, batch by batch, without what recasts,
aborts, refusals and returns had taken back before. Limits are those of the directory that was in
force, as the audit chain has it.
"""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from switch.files.segment import read_segment, read_table
from switch.home import history
from switch.home.store import Home
from switch.outcomes import Check

NAME = "limits of a month"
_BACK = ["cleared_in", "participant", "transfer_id"]
Sent = Counter[tuple[str, str, str]]
"""Money by month (yyyy-mm), participant and account."""


class Months:
    """Sums that accounts were sent by month, batch by batch: batches are asked for in order."""

    def __init__(self, home: Home) -> None:
        self._home = home
        self._sent: Sent = Counter()
        self._dates = {row.seq: row.value_date[:7] for row in home.catalog.batches()}
        self._taken_back = 0

    @functools.cached_property
    def _directories(self) -> list[tuple[int, dict[str, Any]]]:
        """(number of the last batch before it, participants by code) of each directory, read once
        the chains are known to hold."""
        found, seq = [], 0
        for record in self._home.catalog.audit.records("batch", "init", "directory"):
            detail = msgspec.json.decode(record.detail)
            if record.kind == "batch":
                seq = detail["seq"]
            elif "directory" in detail:
                rows = msgspec.json.decode(detail["directory"])["participants"]
                found.append((seq, {row["participant"]: row for row in rows}))
        return found

    @functools.cached_property
    def _codes(self) -> set[str]:
        """Codes whose accounts ever had a limit, by themselves or by the code that replaces theirs
        or is replaced by it."""
        found = set()
        for _, rows in self._directories:
            names = {_stands_for(rows, code) for code, row in rows.items() if _limit(row)}
            found |= {code for code in rows if _stands_for(rows, code) in names}
        return found

    @functools.cached_property
    def _back(self) -> list[tuple[int, Path]]:
        """(the last batch before it, file) of all lines that were taken back."""
        home = self._home
        found = [(one.after, home.path / one.folder / "lines.parquet")
                 for one in history.recasts(home)]  # fmt: skip
        for folder in history.folders(home):
            names = (home.path / folder.name / f"{name}.parquet" for name in history.MOVES)
            found += [(folder.after, path) for path in names if path.exists()]
        return sorted(found, key=lambda one: one[0])

    def checks(self, seq: int, held: int) -> Iterator[Check]:
        """Check a batch; nothing where no participant ever had a limit. held: lines of its own that
        wait for a month."""
        if not self._codes and not held:
            return
        while self._taken_back < len(self._back) and self._back[self._taken_back][0] < seq:
            self._take_back(self._back[self._taken_back][1])
            self._taken_back += 1
        rows = [rows for before, rows in self._directories if before < seq][-1]
        mine = set()
        for code in sorted(self._codes):
            for account, amount in self._of(seq, code):
                self._sent[self._dates[seq], code, account] += amount
                mine.add((code, account))
        fault = ""
        if held and not any(_limit(row) for row in rows.values()):
            fault = "lines wait by a limit that the directory did not have"
        yield Check(NAME, f"batch {seq}", fault or self._beyond(self._dates[seq], rows, mine))

    def _beyond(self, month: str, rows: dict[str, Any], mine: set[tuple[str, str]]) -> str:
        """Fault where one of the accounts that a batch paid was sent more than its limit; ''."""
        names: dict[str, list[str]] = {}
        for code in rows:
            names.setdefault(_stands_for(rows, code), []).append(code)
        for code, account in sorted(mine):
            limit = _limit(rows[code])
            if limit:
                same = names[_stands_for(rows, code)]
                sent = sum(self._sent[month, one, account] for one in same)
                if sent > limit:
                    return f"an account at {code} was sent {sent} in {month}, of {limit}"
        return ""

    def _take_back(self, path: Path) -> None:
        table = read_table(path).select(_BACK)
        keys: dict[tuple[int, str], list[str]] = {}
        for row in table.to_pylist():
            keys.setdefault((row["cleared_in"], row["participant"]), []).append(row["transfer_id"])
        for (seq, code), ids in keys.items():
            if code in self._codes:
                for account, amount in self._of(seq, code, ids):
                    self._sent[self._dates[seq], code, account] -= amount

    def _of(self, seq: int, code: str, ids: list[str] | None = None) -> Iterator[tuple[str, int]]:
        """(account, money) of what a batch sent a participant. ids: of those lines alone."""
        folder = self._home.folder("batches", seq) / "clearing"
        for path in (folder / f"{code}.parquet", folder / f"{code}.arrow"):
            if path.exists():
                table = read_segment(path)
                if ids is not None:
                    table = table.filter(pc.is_in(table["transfer_id"], pa.array(ids)))
                sums = table.group_by("creditor_account").aggregate([("amount", "sum")])
                for row in sums.to_pylist():
                    yield row["creditor_account"], row["amount_sum"]


def _limit(row: dict[str, Any]) -> int:
    """The limit of a month of a participant; 0 for none."""
    return row.get("amount_month_max") or 0


def _stands_for(rows: dict[str, Any], code: str) -> str:
    """The code that a participant's is replaced by, whatever the day; else its own."""
    return rows[code].get("replaced_by") or code
