"""Line sums: what the files of a batch say, summed up with numpy and Arrow for the proof.

Shares no kernel with the engine: lines by state, sums by pair and by benefit, and what every
receiver must have been sent.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from switch.errors import VerificationFailed
from switch.files.file_schemas import HELD_SCHEMA
from switch.files.segment import Groups, read_segment, read_table
from switch.home.batch import answered
from switch.home.store import Home
from switch.reason import REASONS_COUNT, status_of
from switch.schema import HOUSEHOLD
from switch.settlement import accounts
from switch.settlement.accounts import CUSTOMER, PAYABLE, SETTLEMENT, kind_of


def answers(folder: Path, *, own: bool = True) -> Iterator[tuple[pa.Table, pa.Table]]:
    """Answers of a batch, and what was kept of it beside them, by row groups: of lines that had
    waited (they have a column batch), then of its own."""
    for status_file, lines_file in answered(folder, own=own):
        status = Groups(status_file)
        lines = status if lines_file is status_file else Groups(lines_file)
        if len(status) != len(lines):
            raise VerificationFailed(f"{status_file} and its lines differ in length")
        for group in range(len(status)):
            left = status.read(group)
            right = left if lines is status else lines.read(group)
            if left.num_rows != right.num_rows:
                raise VerificationFailed(f"{status_file} and its lines differ in length")
            yield left, coded(right)


def positions(folder: Path) -> list[dict[str, Any]]:
    """Positions of a batch, a row a participant."""
    rows: list[dict[str, Any]] = read_table(folder / "positions.parquet").to_pylist()
    return rows


def nets(positions: list[dict[str, Any]]) -> dict[str, int]:
    """Nets of positions by settlement participant."""
    found: dict[str, int] = {}
    for row in positions:
        found[row["settled_by"]] = found.get(row["settled_by"], 0) + row["net"]
    return found


def queue(home: Home, folder: str) -> pa.Table:
    """All lines that wait by a folder, whole."""
    path = home.path / folder / "held.parquet"
    table = read_segment(path) if path.exists() else HELD_SCHEMA.empty_table()
    kept = table.select(HELD_SCHEMA.names).cast(HELD_SCHEMA)
    none = pa.nulls(len(table), pa.string())
    households = table[HOUSEHOLD] if HOUSEHOLD in table.column_names else none
    return kept.append_column(HOUSEHOLD, households).combine_chunks()


def queue_fault(home: Home, before: str, after: str, gone: pa.Table) -> str:
    """A sentence where the queue of a folder is not that of the folder before, without some lines
    and in no other way."""
    whole, left = queue(home, before), queue(home, after)
    stays = pa.array(~np.isin(_keys(whole), _keys(gone)))
    return "" if whole.filter(stays).equals(left) else "those that wait are others"


def left(home: Home, folder: str) -> list[tuple[int, int]]:
    """(batch, number) of each line that left the queue by a commit."""
    return list(tuples(read_table(home.path / folder / "lines.parquet"), ["batch", "line_no"]))


def _keys(lines: pa.Table) -> Any:
    batch, line_no = (np.asarray(lines[name]).astype(np.int64) for name in ("batch", "line_no"))
    return batch << 32 | line_no


def told(document: dict[str, Any]) -> dict[str, int]:
    """Money that each settlement participant receives (pays: below zero), as a request or answer
    says."""
    return {
        row["participant"]: int(row["amount"]) * (1 if row["side"] == "credit" else -1)
        for row in document["participants"]
    }


def tuples(table: pa.Table, names: list[str]) -> Iterator[tuple[Any, ...]]:
    """Rows of a table, by some columns."""
    return zip(*(table[name].to_pylist() for name in names), strict=True)


def summed(lines: pa.Table, keys: list[str]) -> list[dict[str, Any]]:
    """Counts (count_all) and sums (amount_sum) of lines by keys."""
    grouped = lines.group_by(keys).aggregate([("amount", "sum"), ([], "count_all")])
    rows: list[dict[str, Any]] = grouped.to_pylist()
    return rows


def coded(table: pa.Table) -> pa.Table:
    for name in ("benefit", "debtor_agent"):
        index = table.schema.names.index(name)
        table = table.set_column(index, name, table[name].cast(pa.string()).dictionary_encode())
    return table


def texts(column: pa.ChunkedArray) -> NDArray[np.object_]:
    return np.array(column.cast(pa.string()).to_pylist(), object)


def count(tally: list[list[int]], reason: NDArray[np.uint8], amount: NDArray[np.int64]) -> None:
    for number in np.unique(reason):
        part = amount[reason == number]
        tally[number][0] += len(part)
        # Halves of 32 bits, so that no sum of refused amounts can leave 64 bits.
        tally[number][1] += (int((part >> 32).sum()) << 32) + int((part & 0xFFFFFFFF).sum())


def held_numbers(reason: NDArray[np.uint8]) -> NDArray[np.bool_]:
    held = [n for n in range(REASONS_COUNT) if status_of(n) == "PDNG"]
    return np.isin(reason, held)


def send(
    sent: dict[str, Any], status: pa.Table, amount: NDArray[np.int64], alive: NDArray[np.bool_]
) -> None:
    """Feed every receiver's hash with its lines' transfer ids and amounts, in order."""
    participant = status["participant"].cast(pa.string()).combine_chunks().dictionary_encode()
    index = np.asarray(participant.indices.fill_null(-1))
    for code, name in enumerate(participant.dictionary.to_pylist()):
        mine = np.flatnonzero(alive & (index == code))
        if len(mine):
            ids = status["transfer_id"].combine_chunks().take(pa.array(mine))
            state = sent.setdefault(name, [0, hashlib.sha256(), hashlib.sha256()])
            state[0] += len(mine)
            state[1].update("\n".join(ids.to_pylist()).encode() + b"\n")
            state[2].update(np.ascontiguousarray(amount[mine]))


def released(folder: Path) -> dict[tuple[int, int], tuple[str, str, int] | None]:
    """Lines that cleared when the table was through, in table order; no other column is read."""
    path = folder / "released.parquet"
    table = read_table(path).to_pylist() if path.exists() else []
    return dict.fromkeys((row["batch"], row["line_no"]) for row in table)


def note_late(
    late: dict[tuple[int, int], tuple[str, str, int] | None],
    seq: int,
    status: pa.Table,
    amount: NDArray[np.int64],
) -> NDArray[np.bool_]:
    """Lines of a row group that cleared late; notes (receiver, transfer id, amount)."""
    numbers = np.asarray(status["line_no"])
    found = np.zeros(len(numbers), bool)
    if not late:
        return found
    represented = "batch" in status.schema.names
    batches = np.asarray(status["batch"]) if represented else np.full(len(numbers), seq)
    for at in np.flatnonzero(np.isin(numbers, [line_no for _, line_no in late])):
        line = (int(batches[at]), int(numbers[at]))
        if line in late:
            found[at] = True
            row = status.slice(at, 1).to_pylist()[0]
            if row["transfer_id"] is not None:
                late[line] = (row["participant"], row["transfer_id"], int(amount[at]))
    return found


def send_one(sent: dict[str, Any], name: str, transfer_id: str, amount: int) -> None:
    state = sent.setdefault(name, [0, hashlib.sha256(), hashlib.sha256()])
    state[0] += 1
    state[1].update(f"{transfer_id}\n".encode())
    state[2].update(np.array([amount], np.int64))


def digests(sent: dict[str, Any]) -> dict[str, tuple[int, str, str]]:
    return {name: (n, a.hexdigest(), b.hexdigest()) for name, (n, a, b) in sorted(sent.items())}


def clearing(folder: Path) -> dict[str, tuple[int, str, str]]:
    sent: dict[str, Any] = {}
    for path in (folder / "clearing").iterdir():
        state = sent.setdefault(path.stem, [0, hashlib.sha256(), hashlib.sha256()])
        file = Groups(path)
        for group in range(len(file)):
            table = file.read(group, ["transfer_id", "amount"])
            state[0] += table.num_rows
            state[1].update("\n".join(table["transfer_id"].to_pylist()).encode() + b"\n")
            state[2].update(np.ascontiguousarray(table["amount"].to_numpy()))
    return digests(sent)


def pair(
    pairs: dict[tuple[str, str], list[int]],
    status: pa.Table,
    lines: pa.Table,
    amount: NDArray[np.int64],
    alive: NDArray[np.bool_],
) -> None:
    table = pa.table(
        {
            "debtor": lines["debtor_agent"].cast(pa.string()),
            "creditor": status["participant"].cast(pa.string()),
            "amount": amount,
        }
    ).filter(pa.array(alive))
    for row in summed(table, ["debtor", "creditor"]):
        sums = pairs.setdefault((row["debtor"], row["creditor"]), [0, 0])
        sums[0] += row["count_all"]
        sums[1] += row["amount_sum"]


def by_text(
    sums: dict[str, int],
    texts: pa.ChunkedArray,
    amount: NDArray[np.int64],
    alive: NDArray[np.bool_],
) -> None:
    table = pa.table({"key": texts.cast(pa.string()), "amount": amount}).filter(pa.array(alive))
    for row in summed(table, ["key"]):
        sums[row["key"]] = sums.get(row["key"], 0) + row["amount_sum"]


def expected(
    name: str,
    settles: bool,
    benefits: dict[str, int],
    pairs: dict[tuple[str, str], list[int]],
    positions: list[dict[str, Any]],
) -> dict[str, Any]:
    """Sums that the postings of a batch must come to, from its lines."""
    settled_by = {row["participant"]: row["settled_by"] for row in positions}
    between: dict[str, int] = {}
    on_us: dict[str, int] = {}
    for (debtor, creditor), (_, sum_) in pairs.items():
        if debtor == creditor:
            on_us[accounts.customers_at(debtor)] = sum_
        else:
            for code, amount in ((settled_by[debtor], -sum_), (settled_by[creditor], sum_)):
                key = accounts.position(code)
                between[key] = between.get(key, 0) + amount
    return {
        "P1": {accounts.payable(int(name)): sum(benefits.values())} if benefits else {},
        "P3": {key: sum_ for key, sum_ in sorted(between.items()) if sum_},
        "P4": {code: net for code, net in sorted(nets(positions).items()) if net and settles},
        "P12": dict(sorted(on_us.items())),
    }


def moved(postings: list[Any], settles: bool) -> dict[str, Any]:
    """Sums of the postings of a batch, in the same form."""
    by_step: dict[str, dict[str, int]] = {"P1": {}, "P3": {}, "P4": {}, "P12": {}}
    for step, debit, credit, amount in postings:
        for account, sign in ((debit, -amount), (credit, amount)):
            if step in by_step:
                by_step[step][account] = by_step[step].get(account, 0) + sign
    return {
        "P1": {k: v for k, v in by_step["P1"].items() if kind_of(k) == PAYABLE},
        "P3": {k: v for k, v in sorted(by_step["P3"].items()) if v},
        "P4": settled(postings, ("P2", "P4") if settles else ("P4",)),
        "P12": {k: v for k, v in sorted(by_step["P12"].items()) if kind_of(k) == CUSTOMER},
    }


def settled(postings: Iterable[Any], steps: Collection[str]) -> dict[str, int]:
    """Money that postings of some steps moved on settlement accounts, by participant: what was set
    aside before it was paid (P2) with what came back of it, whatever the kind of account."""
    found: dict[str, int] = {}
    for step, debit, credit, amount in postings:
        for account, sign in ((debit, -amount), (credit, amount)):
            if step in steps and kind_of(account) in SETTLEMENT:
                code = accounts.owner_of(account)
                found[code] = found.get(code, 0) + sign
    return {code: sum_ for code, sum_ in sorted(found.items()) if sum_}
