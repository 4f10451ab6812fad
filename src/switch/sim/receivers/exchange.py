"""Simulated receivers: banks, wallets and mobile money that answer the clearing files of a batch.

Knows nothing of the engine but its files: clearing files and settlement requests in, confirmations,
returns, books, statements and the truth out (docs/reconciliation.md has the columns). Lines pass
row group by row group; what is kept are sums.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.ipc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from switch import schema
from switch.sim.receivers.behaviour import (
    DAY_US,
    NEVER_CAME,
    Answers,
    Behaviour,
    Draws,
    Fate,
    Manner,
    answers,
    draw,
    stray_ids,
)
from switch.sim.receivers.books import Books
from switch.sim.receivers.recalled import (
    FOLLOWS,
    GIVEN_BACK,
    GONE,
    KEPT,
    OBJECTS,
    Asked,
    Lists,
    Said,
    resolve,
)
from switch.sim.world.draw import TableFile, arrow_schema, dictionary

_TEXT = pa.dictionary(pa.int16(), pa.string())
_INSTANT = pa.timestamp("us", "UTC")
CONFIRMATIONS = arrow_schema(schema.CONFIRMATIONS, codes=_TEXT)
RETURNS = arrow_schema(schema.RETURNS, codes=_TEXT)
RESOLUTIONS = arrow_schema(schema.RESOLUTIONS, codes=_TEXT)
TRUTH = pa.schema([("participant", _TEXT), ("transfer_id", pa.string()), ("fate", _TEXT)])
STATEMENT = arrow_schema(schema.STATEMENT)
REASONS = ("AC04", "AC06", "AM02", "MS03")
"""Account closed, account blocked, more than the limit, not said why."""
RETURN_REASONS = ("AC04", "BE05", "MS03")


class Exchanged(NamedTuple):
    """Counts of what all receivers did."""

    lines: int
    confirmations: int
    returns: int
    resolutions: int
    """Answers to recalls"""
    fates: dict[str, int]
    """Lines by fate; a stray confirmation counts beside its line"""


class Finality(NamedTuple):
    """Facts of the cycle that lines stand in, by which their receivers know what they may do."""

    settled: bool = True
    """The money is theirs. Before, they credit nothing, and send refusals alone."""
    recalled: Sequence[Asked] = ()
    """Lists of lines that were taken out of the cycle, which nobody answers, or are asked back."""


FINAL = Finality()


def exchange(
    clearing: Path,
    out: Path,
    participants: Mapping[str, str],
    behaviour: Behaviour,
    seed: int,
    booked_on: datetime.date,
    finality: Finality = FINAL,
) -> Exchanged:
    """Let every receiver with a clearing file answer it.

    clearing: folder of <participant>.parquet or .arrow; participants: kind by code; booked_on: the
    value date; finality: of the lines' cycle. Writes into out: confirmations/<participant>.parquet,
    returns/<participant>.parquet, resolutions/<participant>.parquet of who was asked for lines
    back, books.parquet, truth.parquet (lines that were not simply credited, and stray ids; what
    becomes of recalls is not among it). The same seed and lines: the same answers. Raises
    ValueError for a file of somebody unknown.
    """
    for folder in ("confirmations", "returns", "resolutions"):
        (out / folder).mkdir(parents=True, exist_ok=True)
    totals, counts = np.zeros(4, np.int64), np.zeros(len(Fate), np.int64)
    books, lists = Books(booked_on), Lists(finality.recalled)
    with TableFile(out / "truth.parquet", TRUTH) as truth:
        for path in sorted(clearing.iterdir()):
            code = path.stem
            if code not in participants:
                raise ValueError(f"{path.name} is of no known participant")
            who = code, participants[code], behaviour[code]
            receiver = _Receiver(*who, seed, booked_on, finality, lists)
            done = receiver.answer(path, out, books, truth)
            totals += done[:4]
            counts += done[4]
    books.require_balanced()
    pq.write_table(books.table(), out / "books.parquet")
    fates = {fate.name: int(counts[fate]) for fate in Fate if counts[fate]}
    lines, confirmed, returned, resolved = totals.tolist()
    return Exchanged(lines, confirmed, returned, resolved, fates)


class _Receiver:
    """One receiver and its file."""

    def __init__(
        self,
        code: str,
        kind: str,
        manner: Manner,
        seed: int,
        booked_on: datetime.date,
        finality: Finality,
        lists: Lists,
    ) -> None:
        self.code, self.kind, self.manner = code, kind, manner
        self.seed, self.booked_on, self.finality, self.lists = seed, booked_on, finality, lists

    def answer(
        self, path: Path, out: Path, books: Books, truth: TableFile
    ) -> tuple[int, int, int, int, NDArray[np.int64]]:
        """(lines, confirmations, returns, answers to recalls, lines by fate) of its file."""
        file = out / "confirmations" / f"{self.code}.parquet"
        counts = np.zeros(len(Fate), np.int64)
        lines = 0
        with (
            TableFile(file, CONFIRMATIONS) as confirmations,
            TableFile(out / "returns" / f"{self.code}.parquet", RETURNS) as returns,
            TableFile(out / "resolutions" / f"{self.code}.parquet", RESOLUTIONS) as resolutions,
        ):
            for chunk in _groups(path):
                chunk = self._answerable(chunk)
                amount = chunk["amount"].to_numpy()
                ids, accounts = chunk["transfer_id"], chunk["creditor_account"]
                draws = draw(self.manner, self.seed, ids, amount)
                said, back = answers(draws, self.manner, amount, self.booked_on)
                confirmations.write(self._confirmations(said, draws, ids, accounts))
                stray = np.flatnonzero(draws.fate == Fate.STRAY)
                stray_id = stray_ids(ids.take(pa.array(stray)), draws.luck[stray])
                confirmations.write(self._strays(stray_id, draws.luck[stray]))
                returns.write(self._returns(back, draws, ids))
                books.post(self.code, self.kind, draws.fate, amount, said, back)
                told = resolve(draws, self.manner, *self.lists.back(ids))
                given = told.returns(amount)
                resolutions.write(self._resolutions(told, ids))
                returns.write(self._returns(given, draws, ids, follows=True))
                books.give_back(self.code, self.kind, draws.fate, given)
                counts += np.bincount(draws.fate, minlength=len(Fate))
                self._tell(truth, draws, ids, stray_id)
                lines += len(amount)
        if self.manner.broken and self.finality.settled:
            content = file.read_bytes()
            file.write_bytes(content[: len(content) // 2])
        if not resolutions.rows:
            (out / "resolutions" / f"{self.code}.parquet").unlink()
        return lines, confirmations.rows, returns.rows, resolutions.rows, counts

    def _answerable(self, chunk: pa.RecordBatch) -> pa.RecordBatch:
        """Lines that the receiver answers now: none that was recalled, and before finality those
        alone that it refuses."""
        stopped = self.lists.stopped
        if len(stopped):
            chunk = chunk.filter(pc.invert(pc.is_in(chunk["transfer_id"], stopped)))
        if not self.finality.settled:
            amount = chunk["amount"].to_numpy()
            fate = draw(self.manner, self.seed, chunk["transfer_id"], amount).fate
            chunk = chunk.filter(pa.array(np.isin(fate, NEVER_CAME), pa.bool_()))
        return chunk

    def _one(self, rows: int) -> pa.DictionaryArray:
        return dictionary(np.zeros(rows, np.int16), [self.code])

    def _confirmations(
        self, said: Answers, draws: Draws, ids: pa.StringArray, accounts: pa.StringArray
    ) -> list[pa.Array]:
        rows = len(said.row)
        why = draws.luck[said.row].astype(np.int64) % 2
        why[draws.fate[said.row] == Fate.LIMIT] = REASONS.index("AM02")
        at = pa.array(said.row)
        return [
            self._one(rows),
            ids.take(at),
            pa.array(said.amount),
            accounts.take(at),
            dictionary(said.refused.astype(np.int16), ["ACCC", "RJCT"]),
            dictionary(np.where(said.refused, why, len(REASONS)), REASONS),
            pa.array(said.at).cast(pa.timestamp("us")).cast(_INSTANT),
        ]

    def _strays(self, stray_id: pa.StringArray, luck: NDArray[np.uint64]) -> list[pa.Array]:
        rows = len(stray_id)
        begin = (self.booked_on - datetime.date(1970, 1, 1)).days * DAY_US
        number = luck.astype(np.int64)
        # Eighteen digits: no account of this world is so long.
        accounts = pa.array([f"{10**17 + n}" for n in number.tolist()], pa.string())
        return [
            self._one(rows),
            stray_id,
            pa.array(100_000 + number % 900 * 1000),
            accounts,
            dictionary(np.zeros(rows, np.int16), ["ACCC", "RJCT"]),
            dictionary(np.full(rows, len(REASONS)), REASONS),
            pa.array(begin + DAY_US // 2 + number % 1000).cast(pa.timestamp("us")).cast(_INSTANT),
        ]

    def _returns(
        self, back: Answers, draws: Draws, ids: pa.StringArray, follows: bool = False
    ) -> list[pa.Array]:
        """follows: they were asked for."""
        rows = len(back.row)
        why = draws.luck[back.row].astype(np.int64) % len(RETURN_REASONS)
        if follows:
            why[:] = len(RETURN_REASONS)
        transfer = ids.take(pa.array(back.row))
        names = [f"R-{self.code}-{text}"[:64] for text in transfer.to_pylist()]
        return [
            self._one(rows),
            pa.array(names, pa.string()),
            transfer,
            pa.array(back.amount),
            dictionary(why, [*RETURN_REASONS, FOLLOWS]),
            pa.array(back.at).cast(pa.timestamp("us")).cast(_INSTANT),
        ]

    def _resolutions(self, told: Said, ids: pa.StringArray) -> list[pa.Array]:
        return [
            self._one(len(told.row)),
            ids.take(pa.array(told.row)),
            dictionary(told.kept.astype(np.int16), [GIVEN_BACK, KEPT]),
            dictionary(np.where(told.kept, told.gone, 2), [OBJECTS, GONE]),
            pa.array(told.at).cast(pa.timestamp("us")).cast(_INSTANT),
        ]

    def _tell(
        self, truth: TableFile, draws: Draws, ids: pa.StringArray, stray_id: pa.StringArray
    ) -> None:
        """Tell of what was not simply credited; of a stray confirmation by its own id."""
        told = np.flatnonzero((draws.fate != Fate.CREDITED) & (draws.fate != Fate.STRAY))
        names = [fate.name for fate in Fate]
        for transfer, fate in (
            (ids.take(pa.array(told)), draws.fate[told]),
            (stray_id, np.full(len(stray_id), Fate.STRAY)),
        ):
            truth.write([self._one(len(fate)), transfer, dictionary(fate, names)])


def _groups(path: Path) -> Iterator[pa.RecordBatch]:
    """The row groups of a clearing file, each as a table of plain arrays."""
    names = ["transfer_id", "creditor_account", "amount"]
    if path.suffix == ".arrow":
        with pa.ipc.open_file(pa.OSFile(str(path))) as reader:
            for index in range(reader.num_record_batches):
                yield reader.get_batch(index).select(names)
        return
    with pq.ParquetFile(path) as reader:
        for index in range(reader.num_row_groups):
            table = reader.read_row_group(index, columns=names, use_threads=False)
            yield from table.combine_chunks().to_batches()


def statements(
    requests: Sequence[Mapping[str, Any]], returns: Path, out: Path, booked_on: datetime.date
) -> None:
    """The statements of a day, from settlement requests (settlement.json, parsed) and returns.

    statement-SBV.parquet has an entry for every account of a cycle, statement-treasury.parquet
    those of the treasury and a credit for every return in the folder."""
    entries = [
        {
            "account": row["account"],
            "entry_id": f"{request['cycle']}-{number:04d}",
            "end_to_end_id": request["cycle"],
            "amount": int(row["amount"]),
            "side": "C" if row["side"] == "credit" else "D",
            "booked_on": booked_on,
        }
        for request in requests
        for number, row in enumerate(request["participants"], 1)
    ]
    pq.write_table(pa.Table.from_pylist(entries, STATEMENT), out / "statement-SBV.parquet")
    own = [entry for entry in entries if str(entry["account"]).startswith("S.TREASURY")]
    with TableFile(out / "statement-treasury.parquet", STATEMENT) as file:
        file.write(pa.Table.from_pylist(own, STATEMENT).columns)
        for path in sorted(returns.glob("*.parquet")):
            table = pq.read_table(path, columns=["return_id", "transfer_id", "amount", "booked_at"])
            rows = len(table)
            file.write(
                [
                    pa.repeat("T.RETURNS", rows),
                    table["return_id"],
                    table["transfer_id"],
                    pa.nulls(rows, pa.string()),
                    table["amount"],
                    pa.repeat("C", rows),
                    table["booked_at"].cast(pa.timestamp("us")).cast(pa.date32()),
                ]
            )
