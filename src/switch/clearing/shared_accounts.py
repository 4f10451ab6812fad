"""Shared accounts: those of a batch that receive, or would if lines of theirs did not wait
(NOCM), for more than one person, from its committed files.

An account that a table names wins over the register, so an agency could send many people's money to
one account; and one person may stand in the register with two ids. Neither is refused. This is the
look that people take before a cycle settles: columns alone, one receiver at a time, and nothing is
read that has not the digest of its commit. Accounts of lines that wait are those that the lines
name, else those that count by register and directory as they are now, for no older version is kept.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple, cast

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from switch.clearing.next_accounts import ACCOUNTS_PROVEN_MAX, Receivers, accounts_of_each
from switch.errors import VerificationFailed
from switch.files.columns import Texts
from switch.files.segment import Groups, read_table, segment_at
from switch.home.credits import credits_of
from switch.home.store import Home
from switch.reason import Reason
from switch.registry.directory import Directory
from switch.registry.holdings import masked
from switch.registry.load_registers import current_chain
from switch.registry.register import name_keys
from switch.registry.representatives import Representatives
from switch.registry.versions import REPRESENTATIVES, account_texts
from switch.results import SharedTotals
from switch.schema import NO_ROW

_ACCOUNT = ("participant", "creditor_account")
_HELD = ("held_persons", "held_lines", "held_sum")
_COUNTS = ("persons", "lines", "sum", "names", "same_name", *_HELD)
SHARED = pa.schema(
    [
        *(pa.field(name, pa.string(), nullable=False) for name in _ACCOUNT),
        *(pa.field(name, pa.int64(), nullable=False) for name in _COUNTS),
    ]
)
"""Columns of an account. Of lines that cleared: persons (ids behind them), lines, sum; names: how
many that differ by the fold of the contract; same_name: persons who have their name in common with
another one of the account, whose id is another. Of lines that wait as the account is full:
held_persons (others than those), held_lines, held_sum."""
SHOWN = 100
"""Accounts that are shown; totals are of all."""
_LINE_DIGITS = 10
_SENT = ["transfer_id", "creditor_account"]
_NUMBERS = ["persons", "lines", "sum"]
_BY = [(name, "descending") for name in _NUMBERS]
_BY += [("participant", "ascending"), ("creditor_account", "ascending")]
_PAIRS = pa.schema([("account", pa.string()), ("row", pa.uint32())])
_LINES = pa.schema([*_PAIRS, ("name", pa.uint64()), ("amount", pa.int64())])
_WAITING = pa.schema(
    [
        ("participant", pa.string()),
        *_PAIRS,
        ("amount", pa.int64()),
        ("said", pa.bool_()),
        ("older", pa.bool_()),
    ]
)
"""said: it was answered with ACCOUNT_SHARED when it came in. older: it came with a batch before."""


def shared_accounts(home: Home, seq: int) -> pa.Table:
    """The table SHARED, most persons first: accounts that receive for more than one person
    by what batch seq cleared, lines that had waited too, and by what waits as they are full. Raises
    VerificationFailed where a file is not as it was committed."""
    folder = home.folder("batches", seq)
    people = _People(home, folder, seq)
    most, waiting = _waiting(home, folder, seq)
    sent = {Path(name).stem: name for name in home.digests(folder) if name.startswith("clearing/")}
    parts = [SHARED.empty_table()]
    for participant in sorted({*sent, *waiting["participant"].unique().to_pylist()}):
        groups = None
        if name := sent.get(participant):
            groups = Groups(home.proven(folder / name))
        pairs = _pairs(groups, people)
        mine = waiting.filter(pc.equal(waiting["participant"], participant))
        held = _held(mine, pairs, most)
        parts.append(_shared_of(participant, groups, people, pairs, held))
    return _most_first(pa.concat_tables(parts))


def _most_first(table: Any) -> Any:
    """SHARED in its order: persons who wait count as those who were paid."""
    both = {name: pc.add_checked(table[name], table[f"held_{name}"]) for name in _NUMBERS}
    texts = {name: table[name] for name, _ in _BY if name not in both}
    return table.take(pc.sort_indices(pa.table(both | texts), sort_keys=_BY))


def most_persons(home: Home, seq: int) -> int:
    """For how many persons an account receives at most by what batch seq cleared: what `verify`
    holds against the setting. Raises as `shared_accounts`."""
    folder = home.folder("batches", seq)
    people, most = _People(home, folder, seq), 0
    for name in home.digests(folder):
        if name.startswith("clearing/"):
            persons = _persons(_pairs(Groups(home.proven(folder / name)), people))
            most = max(most, pc.max(persons["row_count"]).as_py())
    return most


def told(table: pa.Table) -> SharedTotals:
    """Totals of shared accounts, and the first of them, for people: no account stands there whole.
    table: of SHARED."""
    added = ("lines", "sum", "same_name", *_HELD)
    totals = {name: sum(table[name].to_pylist()) for name in added}
    told = {
        "accounts": len(table),
        **totals,
        "shown": [
            row | {"creditor_account": masked(row["creditor_account"])}
            for row in table.slice(0, SHOWN).to_pylist()
        ],
    }
    return cast(SharedTotals, told)


class _Lines(NamedTuple):
    """Lines of transfers."""

    at: NDArray[np.intp]
    """Place of the transfer of each."""
    first: NDArray[np.bool_]
    """It is the one by whose name the transfer went; no home keeps the names of the others."""
    row: NDArray[np.uint32]
    amount: NDArray[np.int64]


class _People:
    """People whose lines a batch cleared: rows of the register by transfer id."""

    def __init__(self, home: Home, folder: Path, seq: int) -> None:
        keys, rows = [], []
        for answer, inner in _answers(home, seq, ["line_no", "transfer_id"], ["row"]):
            cleared = np.asarray(answer["transfer_id"].is_valid())
            keys.append(_keys(seq, np.asarray(answer["line_no"])[cleared]))
            rows.append(np.asarray(inner["row"])[cleared])
        again = folder / "represented.parquet"
        if again.exists():
            moved = read_table(home.proven(again), ["batch", "line_no", "transfer_id", "row"])
            moved = moved.filter(moved["transfer_id"].is_valid())
            keys.append(_keys(np.asarray(moved["batch"]), np.asarray(moved["line_no"])))
            rows.append(np.asarray(moved["row"]))
        all_keys = np.concatenate(keys)
        order = np.argsort(all_keys, kind="stable")
        self._keys, self._rows = all_keys[order], np.concatenate(rows)[order]
        joined = credits_of(home, seq)
        self._joined = None
        if joined is not None:
            order = np.argsort(_keys(joined["batch"], joined["first"]), kind="stable")
            self._joined = {name: column[order] for name, column in joined.items()}

    def lines_of(self, transfer_id: Any, amount: Any = None) -> _Lines:
        """The lines of transfers (a column of texts, and one of dong), each of which the batch
        cleared; those of a credit stand behind its first."""
        keys = self._keys_of(transfer_id)
        money = np.zeros(len(keys), np.int64) if amount is None else np.asarray(amount)
        at, first = np.arange(len(keys)), np.ones(len(keys), bool)
        if self._joined is not None:
            heads = _keys(self._joined["batch"], self._joined["first"])
            begin, end = np.searchsorted(heads, keys), np.searchsorted(heads, keys, "right")
            at = np.repeat(at, np.maximum(end - begin, 1))
            first = np.append(True, at[1:] != at[:-1])[: len(at)]
            place = begin[at] + np.arange(len(at)) - np.flatnonzero(first)[at]
            is_in = (end > begin)[at]
            keys, money = keys[at], money[at]
            mine = {name: column[place[is_in]] for name, column in self._joined.items()}
            keys[is_in] = _keys(mine["batch"], mine["line_no"])
            money[is_in] = mine["amount"]
        place = np.searchsorted(self._keys, keys)
        if len(self._keys) == 0 or not np.array_equal(self._keys.take(place, mode="clip"), keys):
            raise VerificationFailed("a line was sent that was not answered as cleared")
        return _Lines(at, first, self._rows[place], money)

    def _keys_of(self, transfer_id: Any) -> NDArray[np.int64]:
        transfer_id = transfer_id.combine_chunks()
        heads = pc.utf8_slice_codeunits(transfer_id, 0, -_LINE_DIGITS - 1).dictionary_encode()
        batches = [int(head.rpartition("-")[2]) for head in heads.dictionary.to_pylist()]
        batch = np.array(batches, np.int64)[np.asarray(heads.indices)]
        line = pc.utf8_slice_codeunits(transfer_id, -_LINE_DIGITS, None).cast(pa.int64())
        return _keys(batch, np.asarray(line))


def _keys(batch: Any, line_no: NDArray[Any]) -> NDArray[np.int64]:
    """One number for a line: that of its batch, then its own (both of 32 bits)."""
    return np.asarray(batch).astype(np.int64) << 32 | line_no.astype(np.int64)


def _answers(
    home: Home, seq: int, status: list[str], lines: list[str]
) -> Iterator[tuple[Any, Any]]:
    """Columns of what was answered for the lines of a batch, and of what stands beside it."""
    folder = home.folder("batches", seq)
    files = [Groups(home.proven(segment_at(folder, name))) for name in ("status", "lines")]
    for group in range(len(files[0])):
        yield files[0].read(group, status), files[1].read(group, lines)


def _waiting(home: Home, folder: Path, seq: int) -> tuple[int, Any]:
    """Persons that an account of batch seq receives for at most, and the lines that waited after
    it and have an account (_WAITING); none where it had no such setting."""
    most = msgspec.json.decode(home.catalog.manifest(seq))["settings"].get("accounts_shared_max")
    if most is None or "held.parquet" not in home.digests(folder):
        return 0, _WAITING.empty_table()
    names = ["batch", "line_no", "person_id", "amount", "creditor_agent", "creditor_account"]
    held = read_table(home.proven(folder / "held.parquet"), names)
    number = np.asarray(held["batch"])
    keys = _keys(number, np.asarray(held["line_no"]))
    row, said = np.full(len(held), NO_ROW, np.uint32), np.zeros(len(held), bool)
    order = np.argsort(keys, kind="stable")
    for came in np.unique(number).tolist():
        for answer, inner in _answers(home, came, ["line_no"], ["row", "reason_number"]):
            its = _keys(came, np.asarray(answer["line_no"]))
            place = order[np.searchsorted(keys, its, sorter=order).clip(max=len(order) - 1)]
            waits = keys[place] == its
            row[place[waits]] = np.asarray(inner["row"])[waits]
            reason = np.asarray(inner["reason_number"])[waits]
            said[place[waits]] = reason == Reason.ACCOUNT_SHARED
    day = datetime.date.fromisoformat(home.catalog.batch(seq).value_date)
    ids = np.asarray(held["person_id"].cast(pa.uint64()))
    agent, account = _registered(home, row, ids, np.asarray(held["amount"]), day)
    columns = {
        "participant": pc.coalesce(held["creditor_agent"], agent),
        "account": pc.coalesce(held["creditor_account"], account),
        "row": pa.array(row),
        "amount": held["amount"],
        "said": pa.array(said),
        "older": pa.array(number != seq),
    }
    table = pa.table(columns, schema=_WAITING)
    return most, table.filter(table["account"].is_valid())


def _registered(
    home: Home,
    row: NDArray[np.uint32],
    ids: NDArray[np.uint64],
    amount: NDArray[np.int64],
    day: datetime.date,
) -> tuple[Any, Any]:
    """(participants, accounts) that count for lines on a day by the register, null where there are
    none. row: of their persons, or NO_ROW; ids: of the same."""
    chain = current_chain(home)
    directory = Directory.of_json(home.catalog.meta("directory").encode())
    for link in chain.links:
        for name in {"accounts.bin", REPRESENTATIVES} & {*link.info.files}:
            home.proven(link.folder / name)
    line, accounts, whose = accounts_of_each(chain.account_files(0), row)
    receivers = Receivers(chain.last.info.participants, directory, day)
    verdict = receivers.judge(accounts, amount[line])
    if chain.last.info.representatives:
        representatives = Representatives(chain, receivers.day, ACCOUNTS_PROVEN_MAX)
        ended = representatives.judge(accounts, whose, representatives.died(ids)[line])
        verdict[ended != Reason.NONE] = Reason.ACCOUNT_MISSING
    # The first that can be paid counts, and where none can the first that is valid.
    order = np.lexsort((verdict != Reason.NONE, line))
    order = order[verdict[order] != Reason.ACCOUNT_MISSING]
    found, first = np.unique(line[order], return_index=True)
    place = np.searchsorted(found, np.arange(len(row)))
    absent = np.append(found, -1)[place] != np.arange(len(row))
    place[absent] = 0
    texts = account_texts(chain, accounts[order[first]], home.proven)
    known, names = (column.take(pa.array(place, mask=absent)) for column in texts)
    index = directory.index_on(str(day))
    codes = {code: directory.participants[at].participant for code, at in index.items()}
    return pa.array([codes.get(code, code) for code in known.to_pylist()], pa.string()), names


def _held(waiting: Any, pairs: Any, most: int) -> Any:
    """Those lines of one receiver (of _WAITING) that wait as their account is full. pairs: whom the
    batch paid. Why a line of a batch before waits now is written nowhere: where its account is
    full, it is for that, whatever it waited for first."""
    persons = _persons(pairs)
    full = persons.filter(pc.greater_equal(persons["row_count"], most))["account"]
    known = waiting["account"].unique()
    paid = pairs.filter(pc.is_in(pairs["account"], value_set=known))
    waits, went = (
        _keys(np.asarray(pc.index_in(table["account"], value_set=known)), np.asarray(table["row"]))
        for table in (waiting, paid)
    )
    said, older = np.asarray(waiting["said"]), np.asarray(waiting["older"])
    is_full = np.asarray(pc.is_in(waiting["account"], value_set=full.combine_chunks()))
    return waiting.filter(pa.array((said | older & is_full) & ~np.isin(waits, went)))


def _pairs(groups: Groups | None, people: _People) -> Any:
    """account, row: whom one receiver was sent money for, each once (_PAIRS)."""
    parts = []
    for part in _parts(groups, _SENT):
        lines = people.lines_of(part["transfer_id"])
        account = part["creditor_account"].take(pa.array(lines.at))
        parts.append(pa.table({"account": account, "row": lines.row}))
    return _distinct(pa.concat_tables([_PAIRS.empty_table(), *parts]))


def _distinct(lines: Any) -> Any:
    return lines.group_by(["account", "row"]).aggregate([])


def _persons(pairs: Any) -> Any:
    """account, row_count: persons by account of one receiver."""
    return pairs.group_by("account").aggregate([("row", "count")])


def _shared_of(
    participant: str, groups: Groups | None, people: _People, pairs: Any, held: Any
) -> Any:
    """The shared accounts of one receiver (SHARED, in no order). held: its lines that wait as their
    account is full."""
    persons = _persons(_distinct(pa.concat_tables([pairs, held.select(_PAIRS.names)])))
    many = persons.filter(pc.greater(persons["row_count"], 1))["account"].combine_chunks()
    if not len(many):
        return SHARED.empty_table()
    parts = [_LINES.empty_table()]
    for part in _parts(groups, [*_SENT, "creditor_name", "amount"]):
        mine = part.filter(pc.is_in(part["creditor_account"], many)).combine_chunks()
        names = mine["creditor_name"].combine_chunks()
        named, _, bad = name_keys(Texts(names, None))
        assert bad < 0, "names of lines that cleared are texts"
        lines = people.lines_of(mine["transfer_id"], mine["amount"])
        account = mine["creditor_account"].take(pa.array(lines.at))
        name = pa.array(named[lines.at], mask=~lines.first)
        columns = {"account": account, "row": lines.row, "name": name, "amount": lines.amount}
        parts.append(pa.table(columns))
    return _counted(participant, many, pa.concat_tables(parts), held)


def _parts(groups: Groups | None, columns: list[str]) -> Iterator[Any]:
    """groups: None where the batch sent a receiver nothing."""
    if groups is not None:
        for group in range(len(groups)):
            yield groups.read(group, columns)


def _counted(participant: str, accounts: Any, lines: Any, held: Any) -> Any:
    """SHARED of accounts. lines: account, row, name (uint64), amount; held: of _WAITING."""
    counts = [("row", "count_distinct"), ("row", "count"), ("amount", "sum")]
    found = lines.group_by("account").aggregate([*counts, ("name", "count_distinct")])
    twins = (
        lines.filter(lines["name"].is_valid())
        .group_by(["account", "name"])
        .aggregate([("row", "count_distinct")])
    )
    twins = twins.filter(pc.greater(twins["row_count_distinct"], 1))
    twins = twins.group_by("account").aggregate([("row_count_distinct", "sum")])
    waits = held.group_by("account").aggregate(counts)

    def of(table: Any, column: str) -> Any:
        place = pc.index_in(accounts, value_set=table["account"].combine_chunks())
        return pc.fill_null(table[column].combine_chunks().take(place), 0)

    columns = {
        "participant": pa.array([participant] * len(accounts)),
        "creditor_account": accounts,
        "persons": of(found, "row_count_distinct"),
        "lines": of(found, "row_count"),
        "sum": of(found, "amount_sum"),
        "names": of(found, "name_count_distinct"),
        "same_name": of(twins, "row_count_distinct_sum"),
        "held_persons": of(waits, "row_count_distinct"),
        "held_lines": of(waits, "row_count"),
        "held_sum": of(waits, "amount_sum"),
    }
    return pa.table(columns, schema=SHARED)
