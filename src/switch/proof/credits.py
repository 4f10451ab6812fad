"""Credits proven: which lines a run sent together, from what it answered for them; and that who
receives them is told of whole credits alone.

Nothing is shared with what made them: lines are grouped by what credits.parquet says, and each
group is held against the answers. That neighbours are of one household, and that all who are were
joined, stands in the table alone: `replay` derives it from there. Of lines that had waited the
queue has their households, and they are held against that.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from switch.files.file_schemas import CREDITS, CREDITS_FILE
from switch.files.segment import Groups, read_table
from switch.home.store import Home
from switch.reason import JOIN_CREDITS, KEEP_HOUSEHOLDS, NO_MONTHS
from switch.schema import CLEARING_LIMIT, HOUSEHOLD, HOUSEHOLD_LINES_MAX

_ALIKE = ("benefit", "debtor_agent", "participant", "period")
"""Columns of which the lines of a credit have one value."""


FORMAT, FORMAT_KEPT = 7, 9
"""The least format of a home with credits, and of one with lines that keep their household."""
_NAMES = ("batch", HOUSEHOLD, "benefit", "period", "debtor_account")
"""Columns of the queue of which the lines of a household have one value."""


class Credits:
    """Credits of one batch, as its file has them, and what lines were answered by its run."""

    def __init__(self, folder: Path, manifest: dict[str, Any], queue: Path) -> None:
        """queue: the file of the lines that waited before it, if there were any."""
        path = folder / CREDITS_FILE
        table = read_table(path) if path.exists() else CREDITS.empty_table()
        number, first, self.amount = (
            np.asarray(table[name]).astype(np.int64) for name in CREDITS.names
        )
        self._has_batches = "batch" in table.column_names
        self._seq, self._queue, self._folder = manifest["seq"], queue, folder
        batch = np.asarray(table["batch"]) if self._has_batches else self._seq
        self.number, self.first = _keys(batch, number), _keys(batch, first)
        """The batch and number of each line, and of the first of its credit, as one."""
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
        """The batch says that it has credits or households, by files or by its rules."""
        return self._is_there or self._rules in (NO_MONTHS, *KEEP_HOUSEHOLDS) or self._keeps()

    def take(
        self, status: pa.Table, lines: pa.Table, amount: NDArray[np.int64], alive: NDArray[np.bool_]
    ) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
        """(lines of a row group that have a row of a clearing file, dong of it). alive: lines that
        cleared in their turn."""
        begin, self._done = self._done, self._done + len(status)
        if not len(self.number):
            return alive, amount
        batch = np.asarray(status["batch"]) if "batch" in status.column_names else self._seq
        number = _keys(batch, np.asarray(status["line_no"]).astype(np.int64))
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

    def fault(self, format_: int) -> str:
        """The fault of all credits, once all lines were taken; '' where there is none. format_: of
        the home."""
        if self._rules not in JOIN_CREDITS if self._is_there else self._rules == NO_MONTHS:
            return (
                f"rules {self._rules} name credits where there are none, or do not where there are"
            )
        if (self._keeps() or self._has_batches) != (self._rules in KEEP_HOUSEHOLDS):
            return f"rules {self._rules} name households that wait, or do not, against the files"
        if format_ < (FORMAT_KEPT if self._rules in KEEP_HOUSEHOLDS else FORMAT):
            return f"a home with credits has format {format_}"
        if not self._is_there:
            return ""
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
        return self._had_waited() if self._has_batches else ""

    def _keeps(self) -> bool:
        """A file of lines as they came has their households."""
        files = [self._folder / name for name in ("held.parquet", "cleared.parquet")]
        return any(path.exists() and HOUSEHOLD in Groups(path).names for path in files)

    def _had_waited(self) -> str:
        """The fault of credits of lines that had waited: in their queue they stood one behind the
        other, with others of their household alone between them."""
        older = self.number >> 32 != self._seq
        if not older.any() or (older[np.argmin(older) :].any() and not older.all()):
            return "credits name batches where no line had waited, or these do not stand first"
        if not self._queue.exists() or HOUSEHOLD not in Groups(self._queue).names:
            return "lines that had waited without a household were sent together"
        queue = read_table(self._queue, columns=["line_no", *_NAMES]).combine_chunks()
        keys = _keys(np.asarray(queue["batch"]), np.asarray(queue["line_no"]))
        if not np.isin(self.number[older], keys).all():
            return "a line of a credit of before did not wait"
        names = queue[HOUSEHOLD].fill_null("")
        begins = np.ones(len(queue), bool)
        begins[1:] = np.asarray(pc.equal(names[1:], "")).copy()
        for name in _NAMES:
            column = queue[name].fill_null("") if name == HOUSEHOLD else queue[name]
            begins[1:] |= np.asarray(pc.not_equal(column[1:], column[:-1]))
        run, order = np.cumsum(begins), np.argsort(keys)
        number, first = (
            run[order[np.searchsorted(keys, column[older], sorter=order)]]
            for column in (self.number, self.first)
        )
        return "" if np.array_equal(number, first) else "a credit of before is of no household"


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
    keys = _keys(np.asarray(lines["batch"]), first)
    _, at, count = np.unique(keys, return_index=True, return_counts=True)
    return "" if (size[at] == count).all() else "a part of a credit stands without the rest"


def _credits(home: Home, lines: pa.Table) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(number of the first line of its credit, lines of that) of each line, as the run sent it that
    cleared it."""
    run = np.asarray(lines["cleared_in"]).astype(np.int64)
    first = np.asarray(lines["line_no"]).astype(np.int64)
    keys = _keys(np.asarray(lines["batch"]), first)
    size = np.ones(len(first), np.int64)
    for seq in np.unique(run).tolist():
        path = home.folder("batches", seq) / CREDITS_FILE
        if not path.exists():
            continue
        known = read_table(path)
        batch = np.asarray(known["batch"]) if "batch" in known.column_names else seq
        leads = np.asarray(known["first"]).astype(np.int64)
        mine = np.flatnonzero(run == seq)
        of_line = pa.array(_keys(batch, np.asarray(known["line_no"])))
        row = pc.index_in(pa.array(keys[mine]), of_line)
        found = np.asarray(row.is_valid())
        row = np.asarray(row.fill_null(0))[found]
        _, which, counts = np.unique(_keys(batch, leads), return_inverse=True, return_counts=True)
        first[mine[found]] = leads[row]
        size[mine[found]] = counts[which[row]]
    return first, size


def _keys(batch: Any, line_no: NDArray[Any]) -> NDArray[np.int64]:
    """One number for each line: that of its batch, then its own."""
    return np.asarray(batch).astype(np.int64) << 32 | line_no.astype(np.int64)
