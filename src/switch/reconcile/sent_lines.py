"""Sent lines: what was sent to receivers, and the answers that fit it.

IN: clearing files and answers of the batches that are looked at. OUT: for each line its receiver,
amount and account, and the one answer that is clean; what is not clean is handed back to be
reconciled record by record. A line has a place by its batch and number, so that an answer finds it
without a search; 36 bytes a line, and nothing else that grows with lines.

An answer is clean where it fits its line in receiver, amount and, if it names one, account.
"""

from __future__ import annotations

import datetime
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from switch.files.columns import text_buffers
from switch.files.layout import RECORD, WENT_BACK
from switch.files.segment import Groups, read_table, segment_at
from switch.home.history import SETTLED, recasts, went_back
from switch.home.store import Home
from switch.reconcile.match.records import day_us
from switch.schema import NO_CODE, TRANSFER_ID_MAX

NOWHERE, ELSEWHERE = -1, -2
"""Places of records that name no line, and of those that name one of a batch that is not looked
at."""
NEVER = np.iinfo(np.int64).min
"""`said_at` of a line that nothing clean was said of."""
REFUSED, NAMED, GROUPED = 1, 2, 4
"""Bits of `said`: the answer refuses; it names the account; it stands for a group of lines. The
bits above them number its reason."""
_REASON_SHIFT = 3
REASONS_MAX = 1 << 13
"""Distinct reasons that clean answers may give, so that `said` has 16 bits."""
_LINE_DIGITS, _DATE_DIGITS = 10, 8
_ID_MORE = 6 + _LINE_DIGITS + 2
_ID_MIN = _DATE_DIGITS + _ID_MORE
_SENT = ["transfer_id", "end_to_end_id", "creditor_account", "amount"]


class RunOf(NamedTuple):
    """A batch as the run that clears lines, its own and older ones."""

    seq: int
    cycle: str
    day: datetime.date
    """Business day of the cycle: answers are expected from it on."""
    settled: bool


class Fits(NamedTuple):
    """How records fit their lines, bool each."""

    own: NDArray[np.bool_]
    """The record comes from who got the line, or from who settles for it in the line's cycle."""
    clean: NDArray[np.bool_]
    """And fits in every other respect."""
    named: NDArray[np.bool_]
    """It names an account."""


class Expected:
    """Lines of some batches by place, and what was said of each. Place 0 is the first line of the
    first of the batches; a line that was not sent has no receiver (NO_CODE)."""

    def __init__(self, home: Home, batches: Collection[int], receiver: str = "") -> None:
        """receiver: whose lines alone are looked at, where it is named."""
        self.home, self.receiver = home, receiver
        rows = home.rows("SELECT seq, value_date, lines, cycle, state FROM batches ORDER BY seq")
        self.runs = [
            RunOf(row["seq"], row["cycle"], _day(row["cycle"]), row["state"] in SETTLED)
            for row in rows
        ]
        count = len(rows) + 1
        self._base = np.full(count, -1, np.int64)
        self._lines = np.zeros(count, np.int64)
        self._date = np.zeros(count, np.int64)
        self.batches = sorted(batches)
        done = 0
        for row in rows:
            seq = row["seq"]
            self._date[seq] = int(row["value_date"].replace("-", ""))
            self._lines[seq] = row["lines"]
            if seq in batches:
                self._base[seq] = done
                done += row["lines"]
        # Before years began with 1900, one below 1000 was written without its leading zeros.
        widths = {_DATE_DIGITS, *(len(str(date)) for date in self._date[1:])}
        self._widths = sorted(widths, reverse=True)
        self.codes: list[str] = []
        self._secret = int(home.id_hash("accounts of lines"), 16)
        self.participant = np.full(done, NO_CODE, np.uint16)
        self.run = np.zeros(done, np.uint32)
        self.amount = np.zeros(done, np.int64)
        self._account = np.zeros(done, np.uint64)
        self.said_at = np.full(done, NEVER, np.int64)
        self.said = np.zeros(done, np.uint16)
        self._turn = np.zeros(done, np.uint32)
        self._reasons: dict[str | None, int] = {None: 0}
        self._agents: dict[str, dict[str, str]] = {}
        self._read()

    def __len__(self) -> int:
        return len(self.amount)

    # --- where lines stand ----------------------------------------------------------------------

    def places(self, transfer_id: Any) -> NDArray[np.int64]:
        """Places of lines by their transfer ids (pa.StringArray without nulls); NOWHERE or
        ELSEWHERE where there is none. The head of a batch that is not looked at is ELSEWHERE, too.
        """
        offsets, data = text_buffers(transfer_id)
        rows = len(transfer_id)
        starts, lengths = offsets[:-1].astype(np.int64), np.diff(offsets)
        found = np.full(rows, -1, np.int64)
        for length in np.unique(lengths).tolist() if rows else ():
            widths = [width for width in self._widths if width + _ID_MORE <= length]
            if not widths or length > TRANSFER_ID_MAX:
                continue
            at = np.flatnonzero(lengths == length)
            if len(at) == rows:
                text = data[starts[0] : starts[0] + rows * length].reshape(rows, length)
            else:
                text = data[starts[at][:, None] + np.arange(length)]
            for width in widths:
                found[at] = np.where(
                    found[at] == NOWHERE, self._places(text, length, width), found[at]
                )
        strays = np.flatnonzero(found == NOWHERE)
        if len(strays):
            heads = [head for seq, head in self.heads().items() if self._base[seq] < 0]
            named = pc.is_in(transfer_id.take(pa.array(strays)), pa.array(heads, pa.string()))
            found[strays[np.asarray(named)]] = ELSEWHERE
        return found

    def _places(self, text: Any, length: int, width: int) -> NDArray[np.int64]:
        """Places of ids of one length: YYYYMMDD-NNNNNN-LLLLLLLLLL, six or more in the middle.
        width: digits of the date."""
        dashes = (width, length - _LINE_DIGITS - 1)
        digits = np.ones(length, bool)
        digits[list(dashes)] = False
        sound = (text[:, list(dashes)] == ord("-")).all(axis=1)
        sound &= ((text[:, digits] - np.uint8(48)) <= 9).all(axis=1)
        # Numbers of up to 15 digits are exact as floats, and their product has a fast road.
        number = [
            ((text[:, first:last] & 15).astype(np.float64) @ _powers(last - first))
            for first, last in (
                (0, dashes[0]),
                (dashes[0] + 1, dashes[1]),
                (dashes[1] + 1, length),
            )
        ]
        date, batch, line = (part.astype(np.int64) for part in number)
        sound &= (batch < len(self._base)) & (text[:, 0] != ord("0"))
        # A batch of more than six digits is written without leading zeros.
        if dashes[1] - dashes[0] - 1 > 6:
            sound &= text[:, dashes[0] + 1] != ord("0")
        batch[~sound] = 0
        sound &= self._date[batch] == date
        sound &= (line >= 1) & (line <= self._lines[batch])
        here = np.where(self._base[batch] >= 0, self._base[batch] + line - 1, ELSEWHERE)
        return np.where(sound, here, NOWHERE)

    def is_elsewhere(self, transfer_id: Any) -> bool:
        """One of the ids names a batch that is not looked at."""
        return len(self.batches) < len(self.runs) and bool(
            (self.places(text_of(transfer_id)) == ELSEWHERE).any()
        )

    def heads(self) -> dict[int, str]:
        """What the transfer ids of each batch begin with, by number: it names the batch's clearing
        files in an answer to all of one."""
        return {run.seq: f"{self._date[run.seq]}-{run.seq:06d}" for run in self.runs}

    def batches_of(self, transfer_id: Any) -> set[int]:
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

    def named_by(self, transfer_id: Any) -> set[int]:
        """The batches that are looked at of these ids, each of a line or of a whole batch; 0 where
        one is of neither."""
        ids = text_of(transfer_id)
        place = self.places(ids)
        known = {head: seq for seq, head in self.heads().items()}
        others = pc.unique(ids.filter(pa.array(place < 0))).to_pylist()
        found = {known.get(text, 0) for text in others}
        first = self._base[self.batches]
        at = np.unique(np.searchsorted(first, place[place >= 0], side="right") - 1)
        return found | {self.batches[number] for number in at.tolist()}

    def at(self, batch: Any, line_no: Any) -> NDArray[np.int64]:
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

    def sent_to(self, receiver: str) -> NDArray[np.bool_]:
        if receiver not in self.codes:
            return np.zeros(len(self), bool)
        found: NDArray[np.bool_] = self.participant == self.codes.index(receiver)
        return found

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
                for code, table, place in self._sent_by(run):
                    if code not in self.codes:
                        self.codes.append(code)
                    self.participant[place] = self.codes.index(code)
                    self.run[place] = run.seq
                    self.amount[place] = table["amount"].to_numpy()
                    self._account[place] = self._keys(table["creditor_account"])
            for recast in gone:
                if recast.after == run.seq:
                    went = went_back(self.home, recast)
                    mine = went.filter(pc.is_in(went["batch"], pa.array(self.batches, pa.uint32())))
                    self.participant[self.at(mine["batch"], mine["line_no"])] = NO_CODE

    def _sent_by(self, run: RunOf) -> Iterator[tuple[str, Any, NDArray[np.int64]]]:
        """(receiver, columns of its clearing file, places) of what a run sent of the batches that
        are looked at, a row group at a time."""
        folder = self.home.folder("batches", run.seq)
        sent = (Path(n) for n in self.home.digests(folder) if n.startswith("clearing/"))
        names = {path.stem for path in sent}
        if run.seq not in self.batches:
            names = self._presented_again(folder)
        for code in sorted(names & {self.receiver} if self.receiver else names):
            path = segment_at(folder / "clearing", code)
            groups = Groups(self.home.proven(path))
            for number in range(len(groups)):
                table = groups.read(number, _SENT).combine_chunks()
                place = self.places(text_of(table["transfer_id"]))
                known = place >= 0
                yield code, table.filter(pa.array(known)), place[known]

    def _presented_again(self, folder: Path) -> set[str]:
        """Receivers of older lines that a run cleared."""
        path = folder / "represented.parquet"
        if not path.exists():
            return set()
        table = read_table(path, columns=["batch", "transfer_id", "participant"])
        mine = pc.is_in(table["batch"], pa.array(self.batches, pa.uint32()))
        table = table.filter(pc.and_(mine, table["transfer_id"].is_valid()))
        return set(pc.unique(table["participant"]).to_pylist())

    def _keys(self, account: Any) -> NDArray[np.uint64]:
        return text_keys(text_of(account), self._secret)

    def records(self, chosen: NDArray[np.bool_], accounts: Any) -> Any:
        """A table of RECORD: the chosen lines, and lines without any answer yet that share one of
        these accounts."""
        silent = self.sent() & (self.said_at == NEVER) & ~chosen
        parts = [RECORD.empty_table()]
        for run in self.runs:
            if not self.batches or run.seq < self.batches[0]:
                continue
            for code, table, place in self._sent_by(run):
                mine = (self.run[place] == run.seq) & self.sent()[place]
                wanted = chosen[place]
                if len(accounts) and (silent[place] & mine).any():
                    near = pc.is_in(text_of(table["creditor_account"]), accounts)
                    wanted = wanted | (silent[place] & np.asarray(near))
                some = table.filter(pa.array(wanted & mine))
                if len(some):
                    parts.append(_record(some, code, day_us(run.day)))
        return pa.concat_tables(parts).combine_chunks()

    def lines(self, places: NDArray[np.int64]) -> Any:
        """What is known of lines: a table of WENT_BACK, oldest first."""
        chosen = np.zeros(len(self), bool)
        chosen[places] = True
        parts = [WENT_BACK.empty_table()]
        for seq in np.unique(self.run[places]).tolist():
            folder = self.home.folder("batches", seq)
            both = [segment_at(folder, "status"), folder / "lines.parquet"]
            again = folder / "represented.parquet"
            sources = [both] if seq in self.batches else []
            sources += [[again]] if again.exists() else []
            for paths in sources:
                files = [Groups(self.home.proven(path)) for path in paths]
                for number in range(len(files[0])):
                    tables = [file.read(number) for file in files]
                    columns = {n: t[n] for t in tables for n in t.schema.names}
                    rows = len(tables[0])
                    columns.setdefault("batch", pa.array(np.full(rows, seq, np.uint32)))
                    columns["cleared_in"] = pa.array(np.full(rows, seq, np.uint32))
                    looked_at = self._base[np.asarray(columns["batch"])] >= 0
                    place = np.where(looked_at, self.at(columns["batch"], columns["line_no"]), 0)
                    mine = looked_at & chosen[place] & (self.run[place] == seq)
                    # Held lines stand in their batch's answer too, without an id.
                    mine &= np.asarray(columns["transfer_id"].is_valid())
                    table = pa.table({n: columns[n] for n in WENT_BACK.names})
                    parts.append(table.filter(pa.array(mine)).cast(WENT_BACK))
        order = [("batch", "ascending"), ("line_no", "ascending")]
        found = pa.concat_tables(parts).sort_by(order).combine_chunks()
        assert len(found) == len(places), "a line that was sent stands in no answer"
        return found

    # --- what was said --------------------------------------------------------------------------

    def fits(self, table: Any, place: NDArray[np.int64]) -> Fits:
        """How records of a table of RECORD fit their lines."""
        rows = len(table)
        if not len(self):
            return Fits(*(np.zeros(rows, bool) for _ in Fits._fields))
        known = np.maximum(place, 0)
        own = self._own(table["participant"], place)
        clean = own & (table["amount"].to_numpy() == self.amount[known])
        account = text_of(table["account"])
        named = np.asarray(account.is_valid())
        if named.any():
            clean &= ~named | (self._keys(account) == self._account[known])
        return Fits(own, clean, named)

    def _own(self, participant: Any, place: NDArray[np.int64]) -> NDArray[np.bool_]:
        known = np.maximum(place, 0)
        code = pc.index_in(participant, pa.array(self.codes, pa.string()))
        own = np.asarray(code.combine_chunks().fill_null(NO_CODE - 1)) == self.participant[known]
        own &= place >= 0
        others = np.flatnonzero((place >= 0) & ~own & self.sent()[known])
        if len(others):
            lines = place[others]
            pairs = self.run[lines].astype(np.int64) << 16 | self.participant[lines]
            pairs, which = np.unique(pairs, return_inverse=True)
            agents = pa.array(
                [self._agent(int(p) >> 16, self.codes[int(p) & 0xFFFF]) for p in pairs], pa.string()
            )
            said_by = participant.take(pa.array(others)).combine_chunks()
            own[others] = np.asarray(pc.equal(agents.take(pa.array(which)), said_by))
        found: NDArray[np.bool_] = own
        return found

    def _agent(self, run: int, participant: str) -> str:
        """The one who settled for a participant in the cycle of a run, and may answer for it; the
        participant itself where nobody did."""
        cycle = self.runs[run - 1].cycle
        if cycle not in self._agents:
            query = "SELECT participant, settled_by FROM positions WHERE cycle = ?"
            rows = self.home.rows(query, cycle)
            self._agents[cycle] = {row["participant"]: row["settled_by"] for row in rows}
        return self._agents[cycle].get(participant, participant)

    def receivers(self) -> set[str]:
        """Who may answer to lines of the named receiver: itself, and whoever settles for it."""
        return {self.receiver, *(self._agent(run.seq, self.receiver) for run in self.runs)}

    def receiver_of(self, place: NDArray[np.int64]) -> Any:
        """Participants that lines were sent to."""
        return pa.array(self.codes, pa.string()).take(pa.array(self.participant[place]))

    def say(self, table: Any, place: NDArray[np.int64], fit: Any, named: Any) -> Any:
        """Take in confirmations: (rows that are the first clean one of their line, rows that were
        said already in every respect). All others contradict, repeat in part, or do not fit."""
        said_at = table["at"].to_numpy()
        refuses = np.asarray(pc.fill_null(pc.equal(table["status"], "RJCT"), False))
        reason = self._reason_of(table)
        said = refuses * REFUSED + named * NAMED + (reason << _REASON_SHIFT)
        clean = np.flatnonzero(fit & (reason < REASONS_MAX))
        where = place[clean]
        # Of several rows for one line the first takes the turn.
        self._turn[where[::-1]] = clean[::-1]
        first = (self._turn[where] == clean) & (self.said_at[where] == NEVER)
        fresh = clean[first]
        self.said_at[place[fresh]], self.said[place[fresh]] = said_at[fresh], said[fresh]
        like = (self.said_at[where] == said_at[clean]) & (self.said[where] == said[clean])
        return fresh, clean[like & ~first]

    def _reason_of(self, table: Any) -> NDArray[np.int64]:
        """Numbers of the reasons that records give."""
        column = text_of(table["reason"]).dictionary_encode()
        known = self._reasons
        values = [known.setdefault(v, len(known)) for v in column.dictionary.to_pylist()]
        indices = column.indices.fill_null(len(values))
        numbers: NDArray[np.int64] = np.array([*values, 0], np.int64)[np.asarray(indices)]
        return numbers

    def said_of(self, places: NDArray[np.int64]) -> Any:
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

    def spoken(self, places: NDArray[np.int64], lines: Any) -> Any:
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
    for row in home.rows("SELECT seq FROM batches"):
        path = home.folder("batches", row["seq"]) / "represented.parquet"
        if path.exists():
            table = read_table(path, columns=["batch", "transfer_id"])
            cleared = table["batch"].filter(table["transfer_id"].is_valid())
            cleared_by[row["seq"]] = set(pc.unique(cleared).to_pylist())
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


def text_keys(column: Any, secret: int) -> NDArray[np.uint64]:
    """Keyed 64-bit hashes of texts (pa.StringArray), eight bytes a step; those of nulls mean
    nothing."""
    offsets, data = text_buffers(column)
    starts, length = offsets[:-1].astype(np.int64), np.diff(offsets).astype(np.int64)
    padded = np.zeros(len(data) + 8, np.uint8)
    padded[: len(data)] = data
    words: Any = np.ndarray(len(data) + 1, "<u8", padded, strides=(1,))
    key = _mixed(length.astype(np.uint64) ^ np.uint64(secret))
    for first in range(0, int(length.max(initial=0)), 8):
        left = np.clip(length - first, 0, 8)
        mask = _MASKS[left]
        word = words[np.minimum(starts + first, len(data))] & mask
        key = np.where(left > 0, _mixed(key ^ word), key)
    return key


_MASKS = np.array([(1 << 8 * count) - 1 for count in range(9)], np.uint64)
"""Of the first so many bytes of a word."""


def _mixed(key: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """splitmix64."""
    key = key + np.uint64(0x9E3779B97F4A7C15)
    key = (key ^ (key >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    key = (key ^ (key >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return key ^ (key >> np.uint64(31))


def _powers(digits: int) -> Any:
    return 10.0 ** np.arange(digits - 1, -1, -1)


def _day(cycle: str) -> datetime.date:
    """The business day that a cycle's name begins with. Its year is what stands before the last
    four digits: one below 1000, of a home from before years began with 1900, has fewer than four.
    """
    digits = cycle.partition("-")[0]
    return datetime.date(int(digits[:-4]), int(digits[-4:-2]), int(digits[-2:]))


def text_of(column: Any) -> Any:
    """A column as one pa.StringArray."""
    whole = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    return whole if pa.types.is_string(whole.type) else whole.cast(pa.string())


def _record(table: Any, code: str, at: int) -> Any:
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
