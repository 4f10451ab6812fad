"""Two sides: lines and the records of one set, each claimed once.

What is plain is certified natively, chunk by chunk (`match.Lines`). What is left, a few records of
a hundred, is read again with all columns and put in order, so that neither the order of files nor
their cut shows; then the passes of the rules run over it. All of it is symmetric: sides that change
places mirror the result.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from switch.files.columns import text_buffers
from switch.files.file_schemas import RECORD
from switch.native.match import CROWDED, Lines
from switch.reconcile.match import passes
from switch.reconcile.match.passes import REFUSED, RETURNED
from switch.reconcile.match.records import DAY_US, Chunk, Records, in_bounds, records_at
from switch.reconcile.match.rules import Rules, Verdict
from switch.schema import NO_ROW

SECRET = 0x5377_6974_6368_2006
"""Default key of the hash table's hashes; a home may give its own. No result depends on it."""
ID_BYTES = 26
"""Length of a transfer id of the engine's own form."""
_FAST = ("transfer_id", "account", "amount", "currency", "status", "at")


class Side:
    """Records of one side that are looked at one by one, in order, without repetitions.

    Index i is the i-th lowest record. verdict 0 is open; mate is the index of the counterpart on
    the other side, or -1; decided the number of the pass that brought them together, or -1; group
    the number of the group, or -1; kin the record of this side that a duplicate repeats, or -1.
    """

    def __init__(self, table: pa.Table, rows: NDArray[np.int64]) -> None:
        order, repeats = _ordered(table)
        self.repeats = rows[order[repeats]]
        order = order[~repeats]
        self.table = _picked(table, order)
        self.rows = rows[order]
        count = len(order)
        self.amount: NDArray[np.int64] = self.table["amount"].to_numpy()
        self.day = (self.table["at"].to_numpy() // DAY_US).astype(np.int64)
        status = self.table["status"]
        self.money = np.zeros(count, np.uint8)
        self.money[np.asarray(pc.fill_null(pc.equal(status, "RJCT"), False))] = REFUSED
        self.money[np.asarray(pc.fill_null(pc.equal(status, "RTRN"), False))] = RETURNED
        self.verdict = np.zeros(count, np.uint8)
        self.mate = np.full(count, -1, np.int64)
        self.decided = np.full(count, -1, np.int64)
        self.group = np.full(count, -1, np.int64)
        self.kin = np.full(count, -1, np.int64)
        self.codes: dict[str, tuple[NDArray[np.int64], NDArray[np.int64]]] = {}
        """Codes of columns over this side and the other, as far as they have been asked for"""

    def __len__(self) -> int:
        return len(self.rows)

    def column(self, name: str) -> pa.Array:
        return self.table[name].combine_chunks()

    def open(self) -> NDArray[np.int64]:
        """Indices of what no pass has claimed, rising."""
        return np.flatnonzero((self.verdict == 0) & (self.mate < 0) & (self.group < 0))


class Comparison(NamedTuple):
    """One set held against the lines. verdicts u8 by row of either side; what was not plain stands
    in left and right."""

    left: Side
    right: Side
    left_verdict: NDArray[np.uint8]
    right_verdict: NDArray[np.uint8]
    rules: Rules
    as_of: int


class ExpectedLines:
    """Lines that answers are expected for, read once and held against any number of sets."""

    def __init__(
        self, lines: Records, rules: Rules, secret: int = SECRET, threads: int = 1
    ) -> None:
        self.records = lines
        self.rules = rules
        self.threads = threads
        self._lines = Lines(len(lines), secret)
        self._at_hand = np.empty(0, np.int64), RECORD.empty_table()
        self._claim = np.empty(len(lines), np.uint32)
        self._words: dict[str, int] = {}
        self._who = np.zeros(len(lines), np.uint16)
        # Lines beside the first of their id, or without one: the table knows the first alone.
        strange, crowded, row = [np.empty(0, np.int64)], [np.empty(0, np.uint32)], 0
        names = (*_FAST, "participant")
        for chunk, columns, plain in lines.chunks(names, _with_columns, threads):
            first = np.empty(len(plain), np.uint32)
            self._who[row : row + len(plain)] = self._coded(chunk)
            self._lines.expect(*columns, first)
            at = np.flatnonzero(first != np.arange(row, row + len(first), dtype=np.uint32))
            strange.append(at + row)
            crowded += [first[at], first[plain != 1]]
            row += len(first)
        self._strange = np.concatenate(strange)
        named = np.unique(np.concatenate(crowded))
        self._crowded = named[named != NO_ROW]

    @property
    def nbytes(self) -> int:
        """Memory that the lines take, the same for any set."""
        return int(self._lines.nbytes)

    def against(self, answers: Records, as_of: int, *, required: bool = True) -> Comparison:
        """Match a set. as_of: days since 1970. required: a line without a record is a break once
        its deadline is over; else it is none at all."""
        right_verdict = np.zeros(len(answers), np.uint8)
        # u8 a line: 0 matched, 1 unanswered, 2 to be judged.
        state = np.ones(len(self.records), np.uint8)
        if self.rules.passes[0].by == "transfer_id":
            right_rows, table = self._certify(answers, right_verdict, state)
            state[self._strange] = 2
        else:
            right_rows = np.arange(len(answers))
            table = answers.take(right_rows)
        left_verdict = (state == 0).view(np.uint8)
        if not required and self.rules.passes[0].by == "transfer_id":
            self._leave_out(table, state)
        left_rows = np.flatnonzero(state != 0)
        left, right = Side(self._take(left_rows), left_rows), Side(table, right_rows)
        passes.run(left, right, self.rules)
        passes.judge(left, right, self.rules, as_of, required=required)
        for side, verdicts in ((left, left_verdict), (right, right_verdict)):
            verdicts[side.rows] = side.verdict
            verdicts[side.repeats] = Verdict.REPEATED
        return Comparison(left, right, left_verdict, right_verdict, self.rules, as_of)

    def _take(self, rows: NDArray[np.int64]) -> pa.Table:
        """The lines of these rows; those of the last set, which are nearly all, are at hand."""
        known, table = self._at_hand
        if not np.isin(rows, known, assume_unique=True).all():
            known, table = self._at_hand = rows, self._spelled(rows)
        return _picked(table, np.searchsorted(known, rows))

    def _spelled(self, rows: NDArray[np.int64]) -> pa.Table:
        """The lines of these rows, of which nearly all have their texts in the table of lines: the
        rest alone is read again with all columns."""
        count = len(rows)
        known, ids = np.empty(count, np.uint8), np.empty(count * ID_BYTES, np.uint8)
        ends, accounts = np.empty(count + 1, np.int32), np.empty(17 * (count + 1), np.uint8)
        amounts = np.empty(count, np.int64)
        found = self._lines.spell(rows, known, ids, ends, accounts, amounts)
        starts = np.arange(found + 1, dtype=np.int32) * ID_BYTES
        told = {
            "transfer_id": _strings(starts, ids),
            "account": _strings(ends[: found + 1], accounts),
            "amount": pa.array(amounts[:found]),
        }
        some, rest = rows[known == 1], rows[known == 0]
        table = pa.concat_tables([self.records.take(some, told), self.records.take(rest)])
        return _picked(table, np.argsort(np.concatenate([some, rest])))

    def _certify(
        self, answers: Records, verdict: NDArray[np.uint8], state: NDArray[np.uint8]
    ) -> tuple[NDArray[np.int64], pa.Table]:
        """Certify what is plain; (rows, records) of the other answers, in order of row."""
        row = 0
        rows, tables, late = [], [RECORD.empty_table()], []
        days, refusal_days = self.rules.days, self.rules.refusal_days
        claim = self._claim
        claim.fill(NO_ROW)
        claim[self._crowded] = CROWDED
        who = np.zeros(len(answers), np.uint16)
        for chunk, columns, plain in answers.chunks(RECORD.names, _with_columns, self.threads):
            who[row : row + len(plain)] = self._coded(chunk)
            clean = np.empty(len(plain), np.uint8)
            ousted = np.empty(len(plain), np.uint32)
            self._lines.answer(*columns, plain, row, days, refusal_days, claim, clean, ousted)
            # MATCHED is 1. What was ousted stands in this chunk, or has to be read once more.
            verdict[row : row + len(clean)] = clean
            ousted = ousted[ousted != NO_ROW].astype(np.int64)
            verdict[ousted] = 0
            late.append(ousted[ousted < row])
            at = np.flatnonzero(verdict[row : row + len(clean)] == 0)
            rows.append(at + row)
            tables.append(records_at(chunk, at))
            row += len(clean)
        strange = self._of_others(claim, who)
        verdict[claim[strange]] = 0
        late.append(claim[strange].astype(np.int64))
        claim[strange] = CROWDED
        self._lines.tell(claim, state)
        again = np.sort(np.concatenate([np.empty(0, np.int64), *late]))
        whole = np.concatenate([again, *rows])
        order = np.argsort(whole)
        table = _picked(pa.concat_tables([answers.take(again), *tables]), order)
        return whole[order], in_bounds(table)

    def _coded(self, chunk: Chunk) -> int | NDArray[np.uint16]:
        """Codes of the participants of a chunk; 0 for none."""
        column = chunk.get("participant")
        if column is None or pa.types.is_null(column.type):
            return 0
        if not pa.types.is_dictionary(column.type):
            column = column.dictionary_encode()
        # A null among the words is none, too.
        code = [
            0 if word is None else min(self._words.setdefault(word, len(self._words) + 1), _MANY)
            for word in column.dictionary.to_pylist()
        ]
        if len(code) == 1 and column.null_count == 0:
            return code[0]
        found: NDArray[np.uint16] = np.array([*code, 0], np.uint16)[
            np.asarray(column.indices.fill_null(len(code)))
        ]
        return found

    def _of_others(self, claim: NDArray[np.uint32], who: NDArray[np.uint16]) -> NDArray[np.int64]:
        """Lines that are claimed by an answer of another participant, as far as both are known."""
        if len(self._words) < 2:
            return np.empty(0, np.int64)
        line = np.flatnonzero(claim < CROWDED)
        here, there = self._who[line], who[claim[line]]
        other = ((here != there) | (here == _MANY)) & (here != 0) & (there != 0)
        found: NDArray[np.int64] = line[other]
        return found

    def _leave_out(self, found: pa.Table, state: NDArray[np.uint8]) -> None:
        """Take lines that nobody answered by their id, and that share no account or end-to-end id
        with a record of found, out of state: they can have no counterpart, and are not read again.
        """
        row = 0
        values = {name: found[name].drop_null().combine_chunks() for name in _SHARED}
        if not any(len(known) for known in values.values()):
            state &= 2
            return
        for chunk in self.records.chunks((*_SHARED, "amount"), dict, self.threads):
            count = len(chunk.pop("amount"))
            shared = np.zeros(count, bool)
            for name, column in chunk.items():
                if len(values[name]):
                    shared |= np.asarray(pc.is_in(column, value_set=values[name]))
            part = state[row : row + count]
            part[(part == 1) & ~shared] = 0
            row += count


_MANY = (1 << 16) - 1
"""Code of participants beyond so many; what it stands for is looked at by name."""
_SHARED = ("end_to_end_id", "account")
"""Columns by which passes beside that of the transfer id find each other."""


_Texts = tuple[NDArray[np.int32], NDArray[np.uint8]]
_Kernel = tuple[*_Texts, *_Texts, NDArray[np.int64], NDArray[np.int64]]


def _with_columns(chunk: Chunk) -> tuple[Chunk, _Kernel, NDArray[np.uint8]]:
    """(chunk, (offsets and data of ids, the same of accounts, amount, at), plain) for the
    kernel."""
    amount, at = (
        np.ascontiguousarray(chunk[name].to_numpy(zero_copy_only=False), np.int64)
        for name in ("amount", "at")
    )
    rows = len(amount)
    ids, accounts = (_texts(chunk.get(name), rows) for name in ("transfer_id", "account"))
    plain = _coded(chunk.get("status"), {"ACCC": 1, "RJCT": 2}, rows)
    if "currency" in chunk:
        plain = plain * _coded(chunk["currency"], {"VND": 1}, rows)
    return chunk, (*ids, *accounts, amount, at), plain


def _coded(column: pa.Array, codes: dict[str, int], rows: int) -> NDArray[np.uint8]:
    """The codes of the words of a column; 1 for a null or where there is no column, else 0."""
    if column is None:
        return np.ones(rows, np.uint8)
    if not pa.types.is_dictionary(column.type):
        column = column.dictionary_encode()
    words = pa.array([codes.get(word, 0) for word in column.dictionary.to_pylist()], pa.uint8())
    return np.asarray(pc.fill_null(words.take(column.indices), 1))


def _strings(offsets: NDArray[np.int32], data: NDArray[np.uint8]) -> pa.Array:
    return pa.StringArray.from_buffers(len(offsets) - 1, pa.py_buffer(offsets), pa.py_buffer(data))


def _texts(column: pa.Array, rows: int) -> _Texts:
    """(offsets, data) of a text column that may be absent; nulls are empty texts."""
    if column is None or pa.types.is_null(column.type):
        return np.zeros(rows + 1, np.int32), np.empty(0, np.uint8)
    if not pa.types.is_string(column.type):
        column = column.cast(pa.string())
    if column.null_count:
        column = pc.fill_null(column, "")
    return text_buffers(column)


def _picked(table: pa.Table, rows: NDArray[np.int64]) -> pa.Table:
    """These rows of a table in one piece; the table where they are all of it, in order."""
    in_place = len(rows) == len(table) and bool((rows == np.arange(len(rows))).all())
    picked = table if in_place else pc.take(table, pa.array(rows), boundscheck=False)
    return picked.combine_chunks()


def _ordered(table: pa.Table) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """(row numbers in the order of records, and for each whether it equals the one before)."""
    rows = len(table)
    repeats = np.zeros(rows, bool)
    if rows == 0:
        return np.empty(0, np.int64), repeats
    ids = table["transfer_id"].combine_chunks()
    order = pc.sort_indices(ids).to_numpy().astype(np.int64)
    same = _like_before(ids.take(pa.array(order)))
    # Nearly all ids stand once; what shares one, or has none, is ordered by all columns.
    tied = same.copy()
    tied[:-1] |= same[1:]
    at = np.flatnonzero(tied)
    if len(at):
        some = table.take(pa.array(order[at])).combine_chunks()
        names = [name for name in RECORD.names if some[name].null_count < len(at)]
        again = pc.sort_indices(some, sort_keys=[(name, "ascending") for name in names])
        order[at] = order[at][again.to_numpy()]
        equal = np.ones(len(at), bool)
        for name in names:
            equal &= _like_before(some[name].combine_chunks().take(again))
        repeats[at] = equal
    return order, repeats


def _like_before(column: pa.Array) -> NDArray[np.bool_]:
    """True where a value equals the one before it, or both are null; the first never does."""
    like = np.zeros(len(column), bool)
    same = pc.fill_null(pc.equal(column[1:], column[:-1]), False)
    if column.null_count:
        null = column.is_null()
        same = pc.or_(same, pc.and_(null[1:], null[:-1]))
    like[1:] = np.asarray(same)
    return like
