"""Sent lines: what was sent to receivers, and the answers that fit it.

IN: clearing files and answers of the batches that are looked at. OUT: for each line its receiver,
amount and account, and the one answer that is clean; what is not clean is handed back to be
reconciled record by record. A line has a place by its batch and number, so that an answer finds it
without a search; 36 bytes a line, and nothing else that grows with lines.

Lines of a household that were sent as one credit have the receiver and the run of its first line,
by whose id alone it is answered to: what was said of it stands at that line (`spread`).

An answer is clean where it fits its line in receiver, amount and, if it names one, account.
"""

from __future__ import annotations

import datetime
import os
from collections.abc import Collection
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from switch.files.columns import text_buffers
from switch.files.file_schemas import RECORD, WENT_BACK
from switch.files.given import is_changed
from switch.files.parquet_reader import RowGroups, in_one
from switch.files.segment import Groups, read_table, segment_at
from switch.home.batch import answered
from switch.home.credits import credits_of
from switch.home.history import SETTLED, recasts, went_back
from switch.home.store import Home
from switch.native.sent import ELSEWHERE, NOWHERE, Sent
from switch.reconcile.match.records import day_us
from switch.schema import NO_CODE, TRANSFER_ID_MAX

S = TypeVar("S", bound=np.generic)

NEVER = np.iinfo(np.int64).min
"""`said_at` of a line that nothing clean was said of."""
REFUSED, NAMED, GROUPED = 1, 2, 4
"""Bits of `said`: the answer refuses; it names the account; it stands for a group of lines. The
bits above them number its reason."""
_REASON_SHIFT = 3
REASONS_MAX = 1 << 13
"""Distinct reasons that clean answers may give, so that `said` has 16 bits."""
_LINE_DIGITS = 10
_ID_MIN = 26
"""Bytes of a transfer id, of which those of old years alone have fewer."""
_SENT = ["transfer_id", "end_to_end_id", "creditor_account", "amount"]


class RunOf(NamedTuple):
    """A batch as the run that clears lines, its own and older ones."""

    seq: int
    cycle: str
    day: datetime.date
    """Business day of the cycle: answers are expected from it on."""
    settled: bool


class _Proven:
    """A file of the home: its digest is proven once, and again where its status changed since. It
    is open only while it is read, for a day has as many files as receivers times runs."""

    def __init__(self, home: Home, path: Path) -> None:
        self._home, self._path = home, path
        self._was = self._proven()
        self._groups = None if path.suffix == ".arrow" else RowGroups(path)
        groups = self._groups or Groups(path)
        self.names: list[str] = groups.names
        self._count = len(groups)

    def __len__(self) -> int:
        return self._count

    def _proven(self) -> os.stat_result:
        """The file's status from before its digest was proven."""
        was = self._path.stat() if self._path.is_file() else None
        self._home.proven(self._path)
        assert was is not None, "what was proven was not there before"
        return was

    def read(self, number: int, names: list[str]) -> dict[str, pa.Array]:
        """Columns of a row group by name."""
        if is_changed(self._was, self._path.stat()):
            # A link or a mode may have changed alone, as a rehearsal or a backup does.
            self._was = self._proven()
        if self._groups is not None:
            return self._groups.read(number, names)
        table = Groups(self._path).read(number, names)
        return {name: in_one(table[name]) for name in names}


class _Part(NamedTuple):
    """A row group of a clearing file of a run, and the places of its lines."""

    run: RunOf
    receiver: str
    file: _Proven
    number: int
    place: NDArray[np.int32 | np.int64]


class Fits(NamedTuple):
    """Agreement of records with their lines, bool each."""

    own: NDArray[np.bool_]
    """The record comes from who got the line, or from who settles for it in the line's cycle."""
    clean: NDArray[np.bool_]
    """And fits in every other respect."""
    named: NDArray[np.bool_]
    """It names an account."""


class SentLines:
    """Lines of some batches by place, and what was said of each. Place 0 is the first line of the
    first of the batches; a line that was not sent has no receiver (NO_CODE)."""

    def __init__(self, home: Home, batches: Collection[int], receiver: str = "") -> None:
        """receiver: whose lines alone are looked at, where it is named."""
        self.home, self.receiver = home, receiver
        rows = home.catalog.batches()
        self.runs = [
            RunOf(row.seq, row.cycle, day_of_cycle(row.cycle), row.state in SETTLED) for row in rows
        ]
        self.batches = sorted(batches)
        self._table = np.zeros((len(rows) + 1, 3), np.int64)
        self._date, self._lines, self._base = self._table.T
        self._base[:] = ELSEWHERE
        done = 0
        for row in rows:
            seq = row.seq
            self._date[seq] = int(row.value_date.replace("-", ""))
            self._lines[seq] = row.lines
            if seq in batches:
                self._base[seq] = done
                done += row.lines
        self.codes: list[str] = []
        self.participant = np.full(done, NO_CODE, np.uint16)
        self.run = np.zeros(done, np.uint32)
        self.amount = np.zeros(done, np.int64)
        self._account = np.zeros(done, np.uint64)
        self.said_at = np.full(done, NEVER, np.int64)
        self.said = np.zeros(done, np.uint16)
        lines = self.participant, self.run, self.amount, self._account, self.said_at, self.said
        secret = int(home.id_hash("accounts of lines"), 16)
        self._held = Sent(self._table, lines, NEVER, TRANSFER_ID_MAX, secret)
        self.due = self.amount
        """Dong of each row of a clearing file, at the line by whose id it is known."""
        self.follows: NDArray[np.int64] | None = None
        """Place of the line by whose id each is known; None where that is its own of all."""
        self._reasons: dict[str | None, int] = {None: 0}
        self._agents: dict[str, dict[str, str]] = {}
        self._parts: list[_Part] = []
        self._read()

    def __len__(self) -> int:
        return len(self.amount)

    # --- where lines stand ----------------------------------------------------------------------

    def places(self, transfer_id: pa.Array) -> NDArray[np.int64]:
        """Places of lines by their transfer ids (pa.StringArray without nulls); NOWHERE or
        ELSEWHERE where there is none. The head of a batch that is not looked at is ELSEWHERE, too.
        """
        found = np.empty(len(transfer_id), np.int64)
        self._held.places(*text_buffers(transfer_id), found)
        strays = np.flatnonzero(found == NOWHERE)
        if len(strays):
            heads = [head for seq, head in self.heads().items() if self._base[seq] < 0]
            named = pc.is_in(transfer_id.take(pa.array(strays)), pa.array(heads, pa.string()))
            found[strays[np.asarray(named)]] = ELSEWHERE
        return found

    def is_elsewhere(self, transfer_id: pa.ChunkedArray) -> bool:
        """One of the ids names a batch that is not looked at."""
        return len(self.batches) < len(self.runs) and bool(
            (self.places(text_of(transfer_id)) == ELSEWHERE).any()
        )

    def heads(self) -> dict[int, str]:
        """Beginnings of the transfer ids of each batch, by number: it names the batch's clearing
        files in an answer to all of one."""
        return {run.seq: f"{self._date[run.seq]}-{run.seq:06d}" for run in self.runs}

    def batches_of(self, transfer_id: pa.ChunkedArray) -> set[int]:
        """Batches that these ids name by a line or as a whole, looked at here or not."""
        known = {head: seq for seq, head in self.heads().items()}
        # What stands before the dash and the line number; the head of a batch stands alone.
        lines = pc.utf8_slice_codeunits(transfer_id, 0, -_LINE_DIGITS - 1)
        heads = {
            *pc.unique(lines).to_pylist(),
            *pc.unique(
                transfer_id.filter(pc.less(pc.utf8_length(transfer_id), _ID_MIN))
            ).to_pylist(),
        }
        return {known[head] for head in heads if head in known}

    def named(self, transfer_id: pa.Array, place: NDArray[np.int64]) -> set[int]:
        """The batches that are looked at of these ids, each of a line or of a whole batch; 0 where
        one is of neither. place: of each (`places`)."""
        found: set[int] = set()
        strays = place < 0
        if strays.any():
            known = {head: seq for seq, head in self.heads().items()}
            others = pc.unique(transfer_id.filter(pa.array(strays))).to_pylist()
            found = {known.get(text, 0) for text in others}
            place = place[~strays]
        first = self._base[self.batches]
        some = place[:1] if len(self.batches) == 1 else place
        at = np.unique(np.searchsorted(first, some, side="right") - 1)
        return found | {self.batches[number] for number in at.tolist()}

    def at(self, batch: pa.Array, line_no: pa.Array) -> NDArray[np.int64]:
        """Places by numbers of batches that are looked at, and of lines."""
        found: NDArray[np.int64] = self._base[np.asarray(batch)] + np.asarray(line_no) - 1
        return found

    def batch(self) -> NDArray[np.uint32]:
        """The batch that each line came in."""
        found: NDArray[np.uint32] = np.repeat(
            np.array(self.batches, np.uint32), self._lines[self.batches]
        )
        return found

    def sent(self) -> NDArray[np.bool_]:
        found: NDArray[np.bool_] = self.participant != NO_CODE
        return found

    def told(self) -> NDArray[np.bool_]:
        """Lines that were sent and have a row of a clearing file: by their ids receivers answer."""
        sent = self.sent()
        if self.follows is not None:
            sent &= self.follows == np.arange(len(self))
        return sent

    def spread(self, values: NDArray[S]) -> NDArray[S]:
        """A column of what was said of rows of clearing files, as it is of all lines in them."""
        return values if self.follows is None else values[self.follows]

    def lead(self, places: NDArray[np.int64]) -> NDArray[np.int64]:
        """Places of the lines by whose ids some lines are known to receivers."""
        return places if self.follows is None else self.follows[places]

    def settled(self) -> NDArray[np.bool_]:
        """Lines whose cycle has settled."""
        table = np.array([False, *(run.settled for run in self.runs)])
        found: NDArray[np.bool_] = table[self.run] & self.sent()
        return found

    def day(self) -> NDArray[np.int32]:
        """Days since 1970 from which answers are expected."""
        epoch = datetime.date(1970, 1, 1)
        table = np.array([0, *((run.day - epoch).days for run in self.runs)], np.int32)
        return table[self.run]

    # --- what was sent --------------------------------------------------------------------------

    def _read(self) -> None:
        """Clearing files in the order of runs: what was sent again later counts."""
        gone = recasts(self.home)
        for run in self.runs:
            if self.batches and run.seq >= self.batches[0]:
                self._read_run(run)
            for recast in gone:
                if recast.after == run.seq:
                    went = went_back(self.home, recast)
                    mine = went.filter(pc.is_in(went["batch"], pa.array(self.batches, pa.uint32())))
                    self.participant[self.at(mine["batch"], mine["line_no"])] = NO_CODE
        for run in self.runs:
            if self.batches and run.seq >= self.batches[0]:
                self._join(run.seq)

    def _join(self, seq: int) -> None:
        """Let lines that a run sent as one credit stand where its first line does, as long as that
        was neither taken back nor sent by another run."""
        again = self.home.folder("batches", seq) / "represented.parquet"
        joined = credits_of(self.home, seq) if seq in self.batches or again.exists() else None
        if joined is None:
            return
        looked_at = self._base[joined["batch"]] >= 0
        joined = {name: column[looked_at] for name, column in joined.items()}
        base = self._base[joined["batch"]] - 1
        line, first = base + joined["line_no"], base + joined["first"]
        stands = (self.run[first] == seq) & (self.participant[first] != NO_CODE)
        line, first = line[stands], first[stands]
        if self.follows is None:
            self.follows, self.amount = np.arange(len(self)), self.due.copy()
        self.follows[line] = first
        self.participant[line], self.run[line] = self.participant[first], seq
        self.amount[line] = joined["amount"][stands]

    def _read_run(self, run: RunOf) -> None:
        """Read the lines that a run sent of the batches that are looked at. Each file is proven
        once."""
        folder = self.home.folder("batches", run.seq)
        sent = (Path(n) for n in self.home.digests(folder) if n.startswith("clearing/"))
        names = {path.stem for path in sent}
        if run.seq not in self.batches:
            names = self._presented_again(folder)
        small = np.int32 if len(self) <= np.iinfo(np.int32).max else np.int64
        for code in sorted(names & {self.receiver} if self.receiver else names):
            file = _Proven(self.home, segment_at(folder / "clearing", code))
            if code not in self.codes and len(file):
                self.codes.append(code)
            for number in range(len(file)):
                found = file.read(number, ["transfer_id", "creditor_account", "amount"])
                place = self.places(found["transfer_id"])
                amount, accounts = found["amount"].to_numpy(), found["creditor_account"]
                receiver = self.codes.index(code)
                self._held.keep(place, receiver, run.seq, amount, *text_buffers(accounts))
                self._parts.append(_Part(run, code, file, number, place.astype(small)))

    def _presented_again(self, folder: Path) -> set[str]:
        """Receivers of older lines that a run cleared."""
        path = folder / "represented.parquet"
        if not path.exists():
            return set()
        table = read_table(path, columns=["batch", "transfer_id", "participant"])
        mine = pc.is_in(table["batch"], pa.array(self.batches, pa.uint32()))
        table = table.filter(pc.and_(mine, table["transfer_id"].is_valid()))
        return set(pc.unique(table["participant"]).to_pylist())

    def records(self, chosen: NDArray[np.bool_], accounts: pa.Array) -> pa.Table:
        """A table of RECORD: the chosen lines, and lines without any answer yet that share one of
        these accounts."""
        wanted = chosen
        if len(accounts):
            words = np.empty(len(accounts), np.uint64)
            self._held.accounts(*text_buffers(accounts), words)
            near = np.asarray(pc.is_in(pa.array(self._account), pa.array(words)))
            wanted = chosen | (near & (self.said_at == NEVER))
        wanted = wanted & self.told()
        parts = [RECORD.empty_table()]
        for part in self._parts:
            known = np.maximum(part.place, 0)
            mine = wanted.take(known) & (part.place >= 0) & (self.run.take(known) == part.run.seq)
            rows = np.flatnonzero(mine)
            if len(rows):
                found = part.file.read(part.number, _SENT)
                some = pa.table({n: c.take(pa.array(rows)) for n, c in found.items()})
                # Words of accounts may be alike where accounts are not.
                near = np.asarray(pc.is_in(some["creditor_account"], accounts))
                some = some.filter(pa.array(near | chosen[part.place[rows]]))
                parts.append(_record(some, part.receiver, day_us(part.run.day)))
        return pa.concat_tables(parts).combine_chunks()

    def lines(self, places: NDArray[np.int64]) -> pa.Table:
        """Lines with all that is known of them: a table of WENT_BACK, oldest first."""
        chosen = np.zeros(len(self), bool)
        chosen[places] = True
        parts = [WENT_BACK.empty_table()]
        for seq in np.unique(self.run[places]).tolist():
            folder = self.home.folder("batches", seq)
            for paths in answered(folder, own=seq in self.batches):
                files = [_Proven(self.home, path) for path in dict.fromkeys(paths)]
                for number in range(len(files[0])):
                    parts.append(self._cleared(files, number, seq, chosen))
        order = [("batch", "ascending"), ("line_no", "ascending")]
        found = pa.concat_tables(parts).sort_by(order).combine_chunks()
        assert len(found) == len(places), "a line that was sent stands in no answer"
        return found

    def _cleared(
        self, files: list[_Proven], number: int, seq: int, chosen: NDArray[np.bool_]
    ) -> pa.Table:
        """Those of the chosen lines that stand in a row group of these files, which a run wrote
        side by side, and that it cleared."""
        names = [[n for n in file.names if n in ("batch", "line_no")] for file in files]
        columns: dict[str, pa.Array] = {}
        for file, keys in zip(files, names, strict=True):
            columns |= file.read(number, keys)
        rows = len(columns["line_no"])
        columns.setdefault("batch", pa.array(np.full(rows, seq, np.uint32)))
        batch = np.asarray(columns["batch"])
        looked_at = self._base[batch] >= 0
        place = np.where(looked_at, self.at(batch, columns["line_no"]), 0)
        at = np.flatnonzero(looked_at & chosen[place] & (self.run[place] == seq))
        for file in files:
            columns |= file.read(number, [n for n in WENT_BACK.names if n in file.names])
        columns["cleared_in"] = pa.array(np.full(rows, seq, np.uint32))
        table = pa.table({n: columns[n].take(pa.array(at)) for n in WENT_BACK.names})
        # Held lines stand in their batch's answer too, without an id.
        return table.filter(table["transfer_id"].is_valid()).cast(WENT_BACK)

    # --- what was said --------------------------------------------------------------------------

    def fits(self, table: pa.Table, place: NDArray[np.int64]) -> Fits:
        """Compare records of a table of RECORD with their lines."""
        rows = len(table)
        if not len(self):
            return Fits(*(np.zeros(rows, bool) for _ in Fits._fields))
        own = self._own(table["participant"], place)
        account = text_of(table["account"])
        named = np.asarray(account.is_valid())
        clean = own.copy()
        amount, flags = table["amount"].to_numpy(), (named.view(np.uint8), clean.view(np.uint8))
        self._held.fit(place, amount, *text_buffers(account), *flags)
        return Fits(own, clean, named)

    def _own(self, participant: pa.ChunkedArray, place: NDArray[np.int64]) -> NDArray[np.bool_]:
        code = pc.index_in(participant, pa.array(self.codes, pa.string()))
        said_by = np.asarray(code.combine_chunks().fill_null(NO_CODE - 1))
        sent_to = self.participant.take(place, mode="clip")
        if self.follows is not None:
            # Nobody was told the id of a line behind the first of its credit.
            known = (place < 0) | (self.lead(place) == place)
            sent_to = np.where(known, sent_to, NO_CODE)
        own: NDArray[np.bool_] = (said_by == sent_to) & (place >= 0)
        others = np.flatnonzero((place >= 0) & ~own & (sent_to != NO_CODE))
        if len(others):
            lines = place[others]
            pairs = self.run[lines].astype(np.int64) << 16 | self.participant[lines]
            pairs, which = np.unique(pairs, return_inverse=True)
            agents = pa.array(
                [self._agent(int(p) >> 16, self.codes[int(p) & 0xFFFF]) for p in pairs], pa.string()
            )
            names = participant.take(pa.array(others)).combine_chunks()
            own[others] = np.asarray(pc.equal(agents.take(pa.array(which)), names))
        return own

    def _agent(self, run: int, participant: str) -> str:
        """The one who settled for a participant in the cycle of a run, and may answer for it; the
        participant itself where nobody did."""
        cycle = self.runs[run - 1].cycle
        if cycle not in self._agents:
            self._agents[cycle] = self.home.catalog.agents(cycle)
        return self._agents[cycle].get(participant, participant)

    def receivers(self) -> set[str]:
        """Participants that may answer to lines of the named receiver: itself, and whoever settles
        for it."""
        return {self.receiver, *(self._agent(run.seq, self.receiver) for run in self.runs)}

    def receiver_of(self, place: NDArray[np.int64]) -> pa.Array:
        """Participants that lines were sent to."""
        return pa.array(self.codes, pa.string()).take(pa.array(self.participant[place]))

    def hear(self, table: pa.Table, place: NDArray[np.int64], fit: Fits) -> NDArray[np.uint8]:
        """Take in confirmations. u8: FRESH, the first clean one of its line; KNOWN, it was said
        already in every respect; REST: all others, which contradict, repeat in part or do not fit.
        """
        refuses = np.asarray(pc.fill_null(pc.equal(table["status"], "RJCT"), False))
        reason = self._reason_of(table)
        said = refuses * REFUSED + fit.named * NAMED + (reason << _REASON_SHIFT)
        clean = fit.clean & (reason < REASONS_MAX)
        outcome = np.empty(len(table), np.uint8)
        at = table["at"].to_numpy()
        self._held.hear(place, clean.view(np.uint8), at, said.astype(np.uint16), outcome)
        return outcome

    def _reason_of(self, table: pa.Table) -> NDArray[np.int64]:
        """Numbers of the reasons that records give."""
        column = text_of(table["reason"]).dictionary_encode()
        known = self._reasons
        values = [known.setdefault(v, len(known)) for v in column.dictionary.to_pylist()]
        indices = column.indices.fill_null(len(values))
        numbers: NDArray[np.int64] = np.array([*values, 0], np.int64)[np.asarray(indices)]
        return numbers

    def said_of(self, places: NDArray[np.int64]) -> pa.Table:
        """place, at, record_id and reason of the clean answers to lines."""
        reasons = pa.array(list(self._reasons), pa.string())
        reason = reasons.take(pa.array(self.said[places].astype(np.int64) >> _REASON_SHIFT))
        return pa.table(
            {
                "at": pa.array(self.said_at[places]),
                "record_id": pa.nulls(len(places), pa.string()),
                "reason": reason,
                "place": pa.array(places),
            }
        )

    def spoken(self, places: NDArray[np.int64], lines: pa.Table) -> pa.Table:
        """The clean answers to lines as a table of RECORD. lines: `records` of the same places."""
        said = self.said_of(places)
        named = pa.array(self.said[places] & NAMED > 0)
        refuses = pa.array(self.said[places] & REFUSED > 0)
        columns = {
            "transfer_id": lines["transfer_id"],
            "at": said["at"],
            "amount": lines["amount"],
            "account": pc.if_else(named, lines["account"], pa.scalar(None, pa.string())),
            "participant": lines["participant"],
            "status": pc.if_else(refuses, "RJCT", "ACCC"),
            "reason": said["reason"],
        }
        nothing = pa.nulls(len(places), pa.string())
        return pa.table([columns.get(n, nothing) for n in RECORD.names], schema=RECORD)


def together(home: Home, batches: Collection[int]) -> set[int]:
    """These batches, those whose runs cleared lines of them, and all that such a run cleared lines
    of, and so on: what an answer to a whole clearing file may speak of."""
    whole = set(batches)
    cleared_by: dict[int, set[int]] = {}
    for batch in home.catalog.batches():
        path = home.folder("batches", batch.seq) / "represented.parquet"
        if path.exists():
            table = read_table(path, columns=["batch", "transfer_id"])
            cleared = table["batch"].filter(table["transfer_id"].is_valid())
            cleared_by[batch.seq] = set(pc.unique(cleared).to_pylist())
    while True:
        more = {
            seq
            for run, held in cleared_by.items()
            if run in whole or held & whole
            for seq in (run, *held)
        }
        if more <= whole:
            return whole
        whole |= more


def day_of_cycle(cycle: str) -> datetime.date:
    """The business day that a cycle's name begins with. Its year is what stands before the last
    four digits: one below 1000, of a home from before years began with 1900, has fewer than four.
    """
    digits = cycle.partition("-")[0]
    return datetime.date(int(digits[:-4]), int(digits[-4:-2]), int(digits[-2:]))


def text_of(column: pa.Array | pa.ChunkedArray) -> pa.Array:
    """A column as one pa.StringArray."""
    whole = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    return whole if pa.types.is_string(whole.type) else whole.cast(pa.string())


def _record(table: pa.Table, code: str, at: int) -> pa.Table:
    """Rows of a clearing file as a table of RECORD."""
    columns = {
        "transfer_id": text_of(table["transfer_id"]),
        "at": pa.array(np.full(len(table), at, np.int64)),
        "amount": table["amount"].combine_chunks(),
        "end_to_end_id": text_of(table["end_to_end_id"]),
        "account": text_of(table["creditor_account"]),
        "participant": pa.repeat(code, len(table)),
    }
    nothing = pa.nulls(len(table), pa.string())
    return pa.table([columns.get(name, nothing) for name in RECORD.names], schema=RECORD)
