"""Credits proven: which lines a run sent together, from what it answered for them; and that who
receives them is told of whole credits alone.

Nothing is shared with what made them: lines are grouped by what credits.parquet says, and each
group is held against the answers. That neighbours are of one household, and that all who are were
joined, stands in the table alone: `replay` derives it from there.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from switch.files.file_schemas import CREDITS, CREDITS_FILE
from switch.files.segment import read_table
from switch.home.store import Home
from switch.reason import JOIN_CREDITS, NO_MONTHS
from switch.schema import CLEARING_LIMIT, HOUSEHOLD_LINES_MAX

_ALIKE = ("benefit", "debtor_agent", "participant", "period")
"""Columns of which the lines of a credit have one value."""


FORMAT = "7"
"""The least format of a home with credits."""


class Credits:
    """Credits of one batch, as its file has them, and what its own lines were answered."""

    def __init__(self, folder: Path, manifest: dict[str, Any]) -> None:
        path = folder / CREDITS_FILE
        table = read_table(path) if path.exists() else CREDITS.empty_table()
        self.number, self.first, self.amount = (
            np.asarray(table[name]).astype(np.int64) for name in CREDITS.names
        )
        self._is_there = path.exists()
        self._limit = manifest["settings"].get("clearing_limit", CLEARING_LIMIT)
        self._rules = manifest["rule_set"]
        self._order = np.argsort(self.number, kind="stable")
        self.heads, self._which = np.unique(self.first, return_inverse=True)
        self.sums = np.zeros(len(self.heads), np.int64)
        np.add.at(self.sums, self._which, self.amount)
        self._place = np.full(len(self.number), -1, np.int64)
        self._met = np.zeros(len(self.number), np.int64)
        self._alike: list[pa.Table] = []
        self._done, self._fault = 0, ""

    @property
    def is_told(self) -> bool:
        """The batch says that it has credits, by a file or by the rules that it names."""
        return self._is_there or self._rules == NO_MONTHS

    def take(
        self, status: pa.Table, lines: pa.Table, amount: NDArray[np.int64], alive: NDArray[np.bool_]
    ) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
        """(lines of a row group that have a row of a clearing file, dong of it). alive: lines that
        cleared in their turn."""
        begin, self._done = self._done, self._done + len(status)
        if not len(self.number):
            return alive, amount
        number = np.asarray(status["line_no"]).astype(np.int64)
        at = np.searchsorted(self.number, number, sorter=self._order)
        row = self._order[at.clip(max=len(self._order) - 1)]
        rows = np.flatnonzero(self.number[row] == number)
        row = row[rows]
        self._place[row] = begin + rows
        self._met[row] += 1
        if not alive[rows].all():
            self._fault = self._fault or "a line of a credit did not clear in its turn"
        if not np.array_equal(amount[rows], self.amount[row]):
            self._fault = self._fault or "a line of a credit has another amount"
        columns = {n: lines[n] for n in ("benefit", "period", "debtor_agent")}
        columns["participant"] = status["participant"]
        some = pa.table({n: c.take(pa.array(rows)) for n, c in columns.items()})
        texts = {n: c.cast(pa.string()) if n != "period" else c for n, c in zip(
            some.column_names, some.columns, strict=True)}  # fmt: skip
        self._alike.append(pa.table({**texts, "first": pa.array(self.first[row])}))
        told, dong = alive.copy(), amount.copy()
        told[rows[self.first[row] != self.number[row]]] = False
        lead = rows[self.first[row] == self.number[row]]
        dong[lead] = self.sums[np.searchsorted(self.heads, number[lead])]
        return told, dong

    def more(self, participant: str) -> int:
        """Lines that went to a participant and have no row of their own."""
        mine = [table.filter(pc.equal(table["participant"], participant)) for table in self._alike]
        firsts = [np.asarray(table["first"]) for table in mine]
        return sum(map(len, firsts)) - len(np.unique(np.concatenate([*firsts, []])))

    @property
    def total(self) -> dict[str, int] | None:
        """Counts and dong, as a summary has them; None where there are no credits."""
        if not self._is_there:
            return None
        return {
            "count": len(self.heads), "lines": len(self.number), "sum": int(self.amount.sum())
        }  # fmt: skip

    def fault(self, format_: str) -> str:
        """The fault of all credits, once all lines were taken; '' where there is none. format_: of
        the home."""
        if self._rules not in JOIN_CREDITS if self._is_there else self._rules == NO_MONTHS:
            return (
                f"rules {self._rules} name credits where there are none, or do not where there are"
            )
        if not self._is_there:
            return ""
        if format_ < FORMAT:
            return f"a home with credits has format {format_}"
        if self._fault:
            return self._fault
        if not (self._met == 1).all():
            return "a line of a credit is not one of the batch"
        if not len(self.number) or not (np.diff(self._place) > 0).all():
            return "lines of credits do not stand in table order"
        if (np.bincount(self._which) < 2).any():
            return "a credit has one line"
        _, begin = np.unique(self.first, return_index=True)
        if not np.array_equal(self.number[begin], self.heads):
            return "a credit is not known by its first line"
        if (self._place - self._place[begin][self._which] >= HOUSEHOLD_LINES_MAX).any():
            return "lines of a credit are no neighbours"
        if (self.sums > self._limit).any():
            return "a credit is above the limit of the clearing"
        whole = pa.concat_tables(self._alike)
        kinds = whole.group_by("first").aggregate([(n, "count_distinct") for n in _ALIKE])
        if any(pc.max(kinds[f"{n}_count_distinct"]).as_py() != 1 for n in _ALIKE):
            return "lines of a credit differ in more than their person"
        return ""


def told_ids(home: Home, lines: pa.Table) -> pa.Array:
    """Transfer ids by which receivers know lines. lines: with batch, line_no, cleared_in and
    transfer_id."""
    first, _ = _credits(home, lines)
    ids = lines["transfer_id"].combine_chunks()
    if np.array_equal(first, np.asarray(lines["line_no"])):
        return ids
    digits = pc.utf8_lpad(pa.array(first).cast(pa.string()), 10, "0")
    heads = pc.utf8_slice_codeunits(ids, 0, -10)
    return pc.binary_join_element_wise(heads, digits, "").cast(pa.string())


def as_told(home: Home, lines: pa.Table) -> pa.Table:
    """Lines as receivers know them, a row a credit: with its transfer id and sum, and else as its
    first line has it. lines: as of `told_ids`, with amount."""
    if not len(lines):
        return lines
    names = pa.table({"id": told_ids(home, lines), "amount": lines["amount"]})
    names = names.append_column("row", pa.array(np.arange(len(lines))))
    sums = names.group_by("id").aggregate([("amount", "sum"), ("row", "min")]).sort_by("row_min")
    told = lines.take(sums["row_min"])
    for name, column in (("transfer_id", sums["id"]), ("amount", sums["amount_sum"])):
        at = told.schema.get_field_index(name)
        told = told.set_column(at, told.schema.field(at), column)
    return told


def cut(home: Home, lines: pa.Table) -> str:
    """The fault of lines that went out or came back together: they are a part of a credit; ''
    where each is whole."""
    first, size = _credits(home, lines)
    batch = np.asarray(lines["batch"]).astype(np.int64)
    _, at, count = np.unique(batch << 32 | first, return_index=True, return_counts=True)
    return "" if (size[at] == count).all() else "a part of a credit stands without the rest"


def _credits(home: Home, lines: pa.Table) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(number of the first line of its credit, lines of that) of each line; those that another run
    cleared than that of their batch are alone."""
    batch = np.asarray(lines["batch"]).astype(np.int64)
    first = np.asarray(lines["line_no"]).astype(np.int64)
    size = np.ones(len(first), np.int64)
    own = batch == np.asarray(lines["cleared_in"])
    for seq in np.unique(batch[own]).tolist():
        path = home.folder("batches", seq) / CREDITS_FILE
        if not path.exists():
            continue
        known = read_table(path)
        mine = np.flatnonzero(own & (batch == seq))
        numbers = pa.array(first[mine].astype(np.uint32))
        row = pc.index_in(numbers, known["line_no"].combine_chunks())
        found = np.asarray(row.is_valid())
        row = np.asarray(row.fill_null(0))[found]
        leads = np.asarray(known["first"]).astype(np.int64)
        heads, counts = np.unique(leads, return_counts=True)
        first[mine[found]] = leads[row]
        size[mine[found]] = counts[np.searchsorted(heads, leads[row])]
    return first, size
