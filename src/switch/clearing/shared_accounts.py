"""Shared accounts: those of a batch that receive for more than one person, from its committed
files.

An account that a table names wins over the register, so an agency could send many people's money to
one account; and one person may stand in the register with two ids. Neither is refused. This is the
look that people take before a cycle settles: columns alone, one receiver at a time, and nothing is
read that has not the digest of its commit.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from switch.errors import VerificationFailed
from switch.files.columns import Texts
from switch.files.segment import Groups, read_table, segment_at
from switch.home.store import Home
from switch.registry.register import name_keys

SHARED = pa.schema(
    [
        pa.field(name, kind, nullable=False)
        for name, kind in (
            ("participant", pa.string()),
            ("creditor_account", pa.string()),
            ("persons", pa.int64()),
            ("lines", pa.int64()),
            ("sum", pa.int64()),
            ("names", pa.int64()),
            ("same_name", pa.int64()),
        )
    ]
)
"""persons: ids behind the lines. names: that differ by the fold of the contract. same_name: persons
who have their name in common with another one of the account, whose id is another."""
SHOWN = 100
"""Accounts that are shown; totals are of all."""
_LINE_DIGITS = 10
_SENT = ["transfer_id", "creditor_account"]
_BY = [("persons", "descending"), ("lines", "descending"), ("sum", "descending")]
_BY += [("participant", "ascending"), ("creditor_account", "ascending")]


def shared_accounts(home: Home, seq: int) -> Any:
    """A pyarrow Table of SHARED, most persons first: accounts that receive for more than one person
    by what batch seq cleared, lines that had waited too. Raises VerificationFailed where a file is
    not as it was committed."""
    folder = home.folder("batches", seq)
    people = _People(home, folder, seq)
    parts = [SHARED.empty_table()]
    for name in sorted(name for name in home.digests(folder) if name.startswith("clearing/")):
        groups = Groups(home.proven(folder / name))
        parts.append(_shared_of(Path(name).stem, groups, people))
    return pa.concat_tables(parts).sort_by(_BY)


def most_persons(home: Home, seq: int) -> int:
    """For how many persons an account receives at most by what batch seq cleared: what `verify`
    holds against the setting. Raises as `shared_accounts`."""
    folder = home.folder("batches", seq)
    people, most = _People(home, folder, seq), 0
    for name in home.digests(folder):
        if name.startswith("clearing/"):
            persons = _persons(Groups(home.proven(folder / name)), people)["row_count"]
            most = max(most, pc.max(persons).as_py())
    return most


def told(table: Any) -> dict[str, Any]:
    """Totals of shared accounts, and the first of them, for people: no account stands there whole.
    table: of SHARED."""
    totals = {name: sum(table[name].to_pylist()) for name in ("lines", "sum", "same_name")}
    return {
        "accounts": len(table),
        **totals,
        "shown": [
            row | {"creditor_account": masked(row["creditor_account"])}
            for row in table.slice(0, SHOWN).to_pylist()
        ],
    }


def masked(account: str) -> str:
    """An account of which its end alone is shown: a quarter of it, four characters at most."""
    shown = min(4, len(account) // 4)
    return "*" * (len(account) - shown) + account[len(account) - shown :]


class _People:
    """Whose the lines are that a batch cleared: rows of the register by transfer id."""

    def __init__(self, home: Home, folder: Path, seq: int) -> None:
        keys, rows = [], []
        status, lines = (
            Groups(home.proven(segment_at(folder, name))) for name in ("status", "lines")
        )
        for group in range(len(status)):
            answer = status.read(group, ["line_no", "transfer_id"])
            cleared = np.asarray(answer["transfer_id"].is_valid())
            keys.append(_keys(seq, np.asarray(answer["line_no"])[cleared]))
            rows.append(np.asarray(lines.read(group, ["row"])["row"])[cleared])
        again = folder / "represented.parquet"
        if again.exists():
            moved = read_table(home.proven(again), ["batch", "line_no", "transfer_id", "row"])
            moved = moved.filter(moved["transfer_id"].is_valid())
            keys.append(_keys(np.asarray(moved["batch"]), np.asarray(moved["line_no"])))
            rows.append(np.asarray(moved["row"]))
        all_keys = np.concatenate(keys)
        order = np.argsort(all_keys, kind="stable")
        self._keys, self._rows = all_keys[order], np.concatenate(rows)[order]

    def rows_of(self, transfer_id: Any) -> NDArray[np.uint32]:
        """Rows of the persons of transfers (a column of texts), each of which the batch cleared."""
        transfer_id = transfer_id.combine_chunks()
        heads = pc.utf8_slice_codeunits(transfer_id, 0, -_LINE_DIGITS - 1).dictionary_encode()
        batches = [int(head.rpartition("-")[2]) for head in heads.dictionary.to_pylist()]
        batch = np.array(batches, np.int64)[np.asarray(heads.indices)]
        line = pc.utf8_slice_codeunits(transfer_id, -_LINE_DIGITS, None).cast(pa.int64())
        keys = _keys(batch, np.asarray(line))
        place = np.searchsorted(self._keys, keys)
        if len(self._keys) == 0 or not np.array_equal(self._keys.take(place, mode="clip"), keys):
            raise VerificationFailed("a line was sent that was not answered as cleared")
        return self._rows[place]


def _keys(batch: Any, line_no: NDArray[Any]) -> NDArray[np.int64]:
    """One number for a line: that of its batch, then its own (both of 32 bits)."""
    return np.asarray(batch).astype(np.int64) << 32 | line_no.astype(np.int64)


def _persons(groups: Groups, people: _People) -> Any:
    """account, row_count: persons by account of one receiver."""
    parts = [
        pa.table({"account": part["creditor_account"], "row": people.rows_of(part["transfer_id"])})
        for part in _parts(groups, _SENT)
    ]
    pairs = pa.concat_tables(parts).group_by(["account", "row"]).aggregate([])
    return pairs.group_by("account").aggregate([("row", "count")])


def _shared_of(participant: str, groups: Groups, people: _People) -> Any:
    """The shared accounts of one receiver (SHARED, in no order)."""
    persons = _persons(groups, people)
    many = persons.filter(pc.greater(persons["row_count"], 1))["account"].combine_chunks()
    if not len(many):
        return SHARED.empty_table()
    parts = []
    for part in _parts(groups, [*_SENT, "creditor_name", "amount"]):
        mine = part.filter(pc.is_in(part["creditor_account"], many)).combine_chunks()
        names = mine["creditor_name"].combine_chunks()
        named, _, bad = name_keys(Texts(names, None))
        assert bad < 0, "names of lines that cleared are texts"
        row = people.rows_of(mine["transfer_id"])
        account, amount = mine["creditor_account"], mine["amount"]
        parts.append(pa.table({"account": account, "row": row, "name": named, "amount": amount}))
    return _counted(participant, pa.concat_tables(parts))


def _parts(groups: Groups, columns: list[str]) -> Iterator[Any]:
    for group in range(len(groups)):
        yield groups.read(group, columns)


def _counted(participant: str, lines: Any) -> Any:
    """SHARED of lines: account, row, name (uint64), amount."""
    found = lines.group_by("account").aggregate(
        [
            ("row", "count_distinct"),
            ("row", "count"),
            ("amount", "sum"),
            ("name", "count_distinct"),
        ]
    )
    twins = lines.group_by(["account", "name"]).aggregate([("row", "count_distinct")])
    twins = twins.filter(pc.greater(twins["row_count_distinct"], 1))
    twins = twins.group_by("account").aggregate([("row_count_distinct", "sum")])
    place = pc.index_in(found["account"], twins["account"].combine_chunks())
    same = twins["row_count_distinct_sum"].combine_chunks().take(place.combine_chunks())
    columns = {
        "participant": pa.array([participant] * len(found)),
        "creditor_account": found["account"],
        "persons": found["row_count_distinct"],
        "lines": found["row_count"],
        "sum": found["amount_sum"],
        "names": found["name_count_distinct"],
        "same_name": pc.fill_null(same, 0),
    }
    return pa.table(columns, schema=SHARED)
