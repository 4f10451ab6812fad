"""Present: where the lines of each batch stand now, in sums that tie to what was received.

The answer of a batch is that of its commit and never changes; lines that waited, recasts, aborts
and answers of receivers move them later. Sums come from the catalog and from small files: lines
that were presented again in a run in which one moved, that a recast sent back, that were cancelled
or expired, and that went back by answers. Lines themselves are read only of batches whose receivers
answered since the last day that was closed, or whose run cleared lines of several batches.
"""

from __future__ import annotations

import datetime
import functools
from collections.abc import Iterable, Iterator

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from switch.files.file_schemas import REPRESENTED
from switch.files.segment import Groups, read_table, segment_at
from switch.home.history import (
    RECALL,
    SETTLED,
    Folder,
    cancelled_lines,
    expired_lines,
    folders,
    moved_lines,
    recasts,
    went_back,
)
from switch.home.rows import BatchRow
from switch.home.sent_back import PAIR, Pair, Sums, by_pair, sent_back_by
from switch.home.store import Home
from switch.home.times import day_of
from switch.reason import Reason
from switch.reconcile.day_end import KIND as DAY
from switch.reconcile.line_states import State
from switch.reconcile.sent_lines import day_of_cycle
from switch.reconcile.take_in import JUDGEMENT, judged, looked_at, rules_of
from switch.results import Left, Now, SentBack, StoredSummary, Total
from switch.schema import NO_CODE
from switch.settlement.accounts import REISSUE


def _told(total: tuple[int, int]) -> Total:
    return {"count": total[0], "sum": total[1]}


class Present:
    """All batches of a home as they stand now."""

    def __init__(self, home: Home, batch: int | None = None) -> None:
        """batch: the number of the only one that is asked for, where lines have to be read."""
        self.home, self._only = home, batch
        self.rows = home.catalog.batches()
        self.runs = {row.seq: row for row in self.rows}
        self.known = folders(home)
        self.summaries: dict[int, StoredSummary] = {
            row.seq: msgspec.json.decode(home.catalog.summary(row.seq)) for row in self.rows
        }
        self.cycles = {row.cycle: row for row in home.catalog.cycles()}
        self.sent: Sums[Pair] = Sums()
        """Lines that are cleared or settled, and neither refused by their receiver nor returned."""
        self.refused: Sums[int] = Sums()
        self.refused_by_receiver: Sums[int] = Sums()
        self.returned: Sums[Pair] = Sums()
        """Lines that came back, or are on their way, and wait for what becomes of them."""
        self.written_back: Sums[Pair] = Sums()
        self.reissued: Sums[Pair] = Sums()
        self.coming: Sums[str] = Sums()
        """Returned lines that come back with a cycle which has not settled, by cycle."""
        self.returned_since = ""
        """The day of the first answers by which a line came back that waits, as far as is known."""
        self.sent_back: dict[int, list[SentBack]] = {row.seq: [] for row in self.rows}
        """Recasts and aborts that sent lines of a batch back to wait, oldest first."""
        self._went: set[Pair] = set()
        self.cancelled: Sums[int] = Sums()
        """Lines that were cancelled while they waited; they are refused."""
        self.expired: Sums[int] = Sums()
        """Lines that waited beyond their deadline and left the queue; they are refused, too."""
        self._clear()
        self._go_back()
        self._answer()
        self.today = self._today()
        """The day on which answers were last looked at; None where none ever were."""
        self.deadline_days = rules_of(self.known).deadline_days
        self._by_batch: dict[int, list[Pair]] | None = None
        self._moved: dict[int, pa.Table] = {}

    def moved_in(self, run: BatchRow) -> pa.Table:
        """Older lines that had waited and moved in a run: a table of REPRESENTED, read once."""
        if run.seq not in self._moved:
            path = self.home.folder("batches", run.seq) / "represented.parquet"
            lines = REPRESENTED.empty_table()
            if path.exists():
                lines = read_table(self.home.proven(path))
            waits = pc.equal(lines["status"].cast(pa.string()), "PDNG")
            self._moved[run.seq] = lines.filter(pc.invert(waits))
        return self._moved[run.seq]

    # --- what happened to lines -----------------------------------------------------------------

    def _clear(self) -> None:
        """Lines by the answers of runs: their own, and those that waited and moved."""
        for row in self.rows:
            own = self.summaries[row.seq]
            self.sent.put((row.seq, row.seq), own["cleared"]["count"], own["cleared"]["sum"])
            self.refused.put(row.seq, own["refused"]["count"], own["refused"]["sum"])
            again = own["represented"]
            if again is None or not again["cleared"]["count"] + again["refused"]["count"]:
                continue
            path = self.home.folder("batches", row.seq) / "represented.parquet"
            names = ["batch", "amount", "status", "reason_number"]
            table = read_table(self.home.proven(path), columns=names)
            moved = table.filter(pc.not_equal(table["status"].cast(pa.string()), "PDNG"))
            keys = ["batch", "reason_number"]
            grouped = moved.group_by(keys).aggregate([("amount", "sum"), ([], "count_all")])
            for one in grouped.to_pylist():
                total = one["count_all"], one["amount_sum"]
                if one["reason_number"] == Reason.NONE:
                    self.sent.put((one["batch"], row.seq), *total)
                else:
                    self.refused.put(one["batch"], *total)

    def _go_back(self) -> None:
        for recast in recasts(self.home):
            gone = by_pair(went_back(self.home, recast))
            self.sent.move(gone, -1)
            self._went |= gone.keys()
            for seq, told in sent_back_by(self.home, recast, gone).items():
                self.sent_back[seq].append(told)
        for mine, lines in (
            (self.cancelled, cancelled_lines(self.home)),
            (self.expired, expired_lines(self.home)),
        ):
            grouped = lines.group_by("batch").aggregate([("amount", "sum"), ([], "count_all")])
            for row in grouped.to_pylist():
                for sums in (mine, self.refused):
                    sums.put(row["batch"], row["count_all"], row["amount_sum"])

    def _answer(self) -> None:
        pending = {name for name, row in self.cycles.items() if not row.answer}
        disposed: Sums[Pair] = Sums()
        came: list[tuple[str, Sums[Pair]]] = []
        for folder in self.known:
            if folder.kind == "disposition":
                gone = by_pair(moved_lines(self.home, folder, "disposed"))
                disposed.move(gone, 1)
                again = folder.detail.step == REISSUE
                (self.reissued if again else self.written_back).move(gone, 1)
                continue
            refused = by_pair(moved_lines(self.home, folder, "refused"))
            returned = by_pair(moved_lines(self.home, folder, "returned"))
            self.sent.move(refused, -1)
            self.sent.move(returned, -1)
            self.returned.move(returned, 1)
            for (batch, _), total in refused.items():
                self.refused.put(batch, *total)
                self.refused_by_receiver.put(batch, *total)
            if folder.detail.cycle in pending:
                for total in returned.values():
                    self.coming.put(folder.detail.cycle, *total)
            else:
                came.append((str(day_of(folder.at)), returned))
        self.returned.move(disposed, -1)
        for day, returned in came:
            if not self.returned_since and any(self.returned[pair][0] for pair in returned):
                self.returned_since = day

    # --- what receivers credited ----------------------------------------------------------------

    def _today(self) -> datetime.date | None:
        last = next((folder for folder in reversed(self.known) if folder.judges), None)
        return last and datetime.date.fromisoformat(last.detail.answer["as_of"])

    @functools.cached_property
    def credited(self) -> Sums[Pair]:
        """Lines of which a clean answer says that they were credited, by pair. Lines are read only
        where neither that nobody answered, nor that a batch is closed, nor the statements of the
        last day that was closed tell."""
        found: Sums[Pair] = Sums()
        named = _named(self.known)
        if not named:
            return found
        closed = {row.seq for row in self.rows if row.state == "CLOSED"}
        closed -= looked_at(self.home, self.known)
        last = next((folder for folder in reversed(self.known) if folder.kind == DAY), None)
        since = _named(self.known[last.number :], recalls=True) if last else set()
        signed: Sums[int] | None = None
        unknown: set[Pair] = set()
        origins: dict[int, set[int]] = {}
        for batch, run in self.sent:
            origins.setdefault(run, set()).add(batch)
        for pair in [pair for pair, total in self.sent.items() if total[0]]:
            batch, run = pair
            if self._only not in (None, batch):
                continue
            if batch in closed:
                found[pair] = self.sent[pair]
            elif not {batch, run} & named:
                continue
            elif (
                last
                and self._is_signed(last, run)
                and origins[run] == {batch}
                and pair not in self._went
                and not {batch, run} & since
            ):
                signed = signed or self._signed(last)
                found[pair] = signed[run]
            else:
                unknown.add(pair)
        if unknown:
            self._judge(unknown, found)
        return found

    def _is_signed(self, day: Folder, run: int) -> bool:
        """The statements of a day have the lines of a run, judged as they are today."""
        later = day.detail.later or ()
        return run <= day.after and run not in later and day.detail.judgement == JUDGEMENT

    def _signed(self, day: Folder) -> Sums[int]:
        """Credited lines by run, from the statements of a day."""
        found: Sums[int] = Sums()
        folder = self.home.path / day.name / "statements"
        for path in sorted(folder.glob("*.parquet")):
            table = read_table(
                self.home.proven(path), columns=["batch", "state", "count", "amount"]
            )
            for row in table.filter(pc.equal(table["state"], State.CREDITED.name)).to_pylist():
                found.put(row["batch"], row["count"], row["amount"])
        return found

    def _judge(self, pairs: set[Pair], found: Sums[Pair]) -> None:
        """Count what was credited of some pairs line by line."""
        verdicts = judged(self.home, self.known, {batch for batch, _ in pairs})
        lines = verdicts.lines
        mine = np.flatnonzero(verdicts.states() == State.CREDITED)
        columns = (lines.batch()[mine], lines.run[mine], lines.amount[mine])
        table = pa.table(dict(zip([*PAIR, "amount"], columns, strict=True)))
        for pair, total in by_pair(table).items():
            if pair in pairs:
                found[pair] = total

    # --- what is told ---------------------------------------------------------------------------

    def state_of_run(self, row: BatchRow) -> str:
        """State of lines that a run sent and of which nothing was said: a key of `Now`."""
        if row.state not in SETTLED:
            return "cleared"
        return "unapplied" if self.is_overdue(row) else "settled"

    def is_overdue(self, row: BatchRow) -> bool:
        """The deadline for answers to lines that a run sent is over."""
        if self.today is None:
            return False
        return (self.today - day_of_cycle(row.cycle)).days > self.deadline_days

    def now(self, seq: int) -> Now:
        """Sums of a batch's lines by where they stand; all together are what was received."""
        sums: Sums[str] = Sums()
        for pair in self._pairs(seq):
            run, credited = self.runs[pair[1]], self.credited[pair]
            count, amount = self.sent[pair]
            state = self.state_of_run(run)
            sums.put("credited", *credited)
            sums.put(state, count - credited[0], amount - credited[1])
            sums.put("returned", *self.returned[pair])
            sums.put("written_back", *self.written_back[pair])
            sums.put("reissued", *self.reissued[pair])
        sums.put("refused", *self.refused[seq])
        received = self.summaries[seq]["received"]
        moved = [sum(total[at] for total in sums.values()) for at in (0, 1)]
        sums.put("held", received["count"] - moved[0], received["sum"] - moved[1])
        assert all(count >= 0 for count, _ in sums.values()), "more lines moved than came in"
        return {
            "held": _told(sums["held"]),
            "cleared": _told(sums["cleared"]),
            "settled": _told(sums["settled"]),
            "unapplied": _told(sums["unapplied"]),
            "credited": _told(sums["credited"]),
            "returned": _told(sums["returned"]),
            "written_back": _told(sums["written_back"]),
            "reissued": _told(sums["reissued"]),
            "refused": _told(sums["refused"]),
        }

    def is_reconciled(self, seq: int) -> bool:
        """Nothing of a batch waits, for cover, for its cycle or for an answer."""
        now = self.now(seq)
        open_now = (now["held"], now["cleared"], now["settled"], now["unapplied"])
        return not any(total["count"] for total in open_now)

    def answered(self, seq: int) -> dict[str, Total]:
        """Lines of a batch that were sent, by the state that answers left them in; none that is
        nothing."""
        now = self.now(seq)
        back = [now["returned"], now["written_back"], now["reissued"]]
        found = {
            State.CLEARED: now["cleared"],
            State.SETTLED: now["settled"],
            State.UNAPPLIED: now["unapplied"],
            State.CREDITED: now["credited"],
            State.RETURNED: _told((sum(t["count"] for t in back), sum(t["sum"] for t in back))),
            State.REFUSED: _told(self.refused_by_receiver[seq]),
        }
        return {state.name: total for state, total in found.items() if total["count"]}

    def left(self, seq: int) -> Left:
        """Lines of a batch that left the queue without a run, as far as there are any."""
        found: Left = {}
        if self.cancelled[seq][0]:
            found["cancelled"] = _told(self.cancelled[seq])
        if self.expired[seq][0]:
            found["expired"] = _told(self.expired[seq])
        return found

    def same_state(self, seq: int) -> str:
        """The state, a key of `Now`, of all lines that the run of a batch cleared, where they went
        one way and nothing else of it moved; '' where its lines have to be looked at."""
        pairs, cleared = self._pairs(seq), self.summaries[seq]["cleared"]
        if pairs != [(seq, seq)] or self.sent[pairs[0]] != (cleared["count"], cleared["sum"]):
            return ""
        credited = self.credited[pairs[0]]
        if not credited[0]:
            return self.state_of_run(self.runs[seq])
        return "credited" if credited == self.sent[pairs[0]] else ""

    def _pairs(self, seq: int) -> list[Pair]:
        """Pairs of a batch: a line is told by the run that cleared it last."""
        if self._by_batch is None:
            self._by_batch = {}
            for pair in self.sent:
                self._by_batch.setdefault(pair[0], []).append(pair)
        return self._by_batch.get(seq, [])

    def cycle_state(self, row: BatchRow) -> str:
        """State of a batch's own cycle; without a calendar it settled with its run."""
        cycle = self.cycles.get(row.cycle)
        return cycle.state if cycle else "SETTLED"

    def in_cycle(self, cycle: str) -> Total:
        """Cleared lines that stand in a cycle now."""
        runs = {row.seq for row in self.rows if row.cycle == cycle}
        mine = [total for (_, run), total in self.sent.items() if run in runs]
        return _told((sum(count for count, _ in mine), sum(amount for _, amount in mine)))


STANDS = (
    *("held", "cleared", "settled", "unapplied", "credited", "returned", "written_back"),
    *("reissued", "refused", "cancelled", "expired", "recalled"),
)
"""States of a line: keys of `Now`, and why a refused one is so where no run and no receiver refused
it: it was cancelled or expired while it waited, or left its cycle by a recall."""
_CODE = {name: code for code, name in enumerate(STANDS)}


def now_of(code: int) -> str:
    """The key of `Now` that a state counts to."""
    return STANDS[min(code, _CODE["refused"])]


def line_states(home: Home, seq: int, present: Present | None = None) -> NDArray[np.uint8]:
    """States of the lines of a batch now, by line number from 1: indices of STANDS. Every line of
    it is read. present: of the home, where it is known."""
    return line_runs(home, seq, present)[0]


def line_runs(
    home: Home, seq: int, present: Present | None = None
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """States of the lines of a batch now, as `line_states`, and for each the number of the batch
    whose run cleared it last: 0 where it waits, -1 where it was refused."""
    here = present or Present(home, seq)
    run_of = np.zeros(here.runs[seq].lines, np.int64)
    for status in answers_of(home, seq, ["line_no", "status"]):
        words = status["status"].cast(pa.string())
        at = np.asarray(status["line_no"]) - 1
        waits, refused = (np.asarray(pc.equal(words, word)) for word in ("PDNG", "RJCT"))
        run_of[at] = np.where(refused, -1, np.where(waits, 0, seq))
    gone = recasts(home)
    for row in here.rows[seq - 1 :]:
        moved = _moved_later(here, row, seq)
        cleared = np.asarray(pc.equal(moved["reason_number"], int(Reason.NONE)))
        run_of[np.asarray(moved["line_no"]) - 1] = np.where(cleared, row.seq, -1)
        for recast in gone:
            if recast.after == row.seq:
                run_of[np.asarray(_lines_of(went_back(home, recast), seq)["line_no"]) - 1] = 0
    # By run; 0 waits, and the last one, which -1 finds, is refused.
    codes = [_CODE[here.state_of_run(row)] for row in here.rows]
    found = np.array([_CODE["held"], *codes, _CODE["refused"]], np.uint8).take(run_of)
    if here.today is not None:
        verdicts = judged(home, here.known, {seq})
        states = verdicts.states()[verdicts.lines.batch() == seq]
        found[states == State.CREDITED] = _CODE["credited"]

    def put(lines: pa.Table, state: str) -> None:
        found[np.asarray(_lines_of(lines, seq)["line_no"]) - 1] = _CODE[state]

    put(cancelled_lines(home), "cancelled")
    put(expired_lines(home), "expired")
    for folder in here.known:
        left = "recalled" if folder.kind == RECALL else "refused"
        again = "reissued" if folder.detail.step == REISSUE else "written_back"
        for name, state in (("refused", left), ("returned", "returned"), ("disposed", again)):
            put(moved_lines(home, folder, name), state)
    return found, run_of


def line_receivers(
    home: Home, seq: int, present: Present | None = None
) -> tuple[NDArray[np.uint16], list[str]]:
    """Codes of the participants that the lines of a batch went to, or would go to, as they were
    answered last, by line number from 1: indices of the names; NO_CODE where there is none.
    present: as of `line_states`."""
    names: dict[str, int] = {}
    here = present or Present(home, seq)
    found = np.full(here.runs[seq].lines, NO_CODE, np.uint16)

    def put(lines: pa.Table) -> None:
        column = lines["participant"].combine_chunks().cast(pa.string()).dictionary_encode()
        known = [names.setdefault(name, len(names)) for name in column.dictionary.to_pylist()]
        table = np.array([*known, NO_CODE], np.uint16)
        at = np.asarray(lines["line_no"]) - 1
        found[at] = table.take(np.asarray(column.indices.fill_null(len(known))))

    for status in answers_of(home, seq, ["line_no", "participant"]):
        put(status)
    for later in here.rows[seq:]:
        put(_moved_later(here, later, seq))
    return found, list(names)


def answers_of(home: Home, seq: int, columns: list[str]) -> Iterator[pa.Table]:
    """The answer to a batch at its commit, a table of some columns a row group."""
    status = Groups(home.proven(segment_at(home.folder("batches", seq), "status")))
    for group in range(len(status)):
        yield status.read(group, columns)


def _moved_later(here: Present, run: BatchRow, seq: int) -> pa.Table:
    """Lines of a batch that had waited and moved in a later run: a table of REPRESENTED."""
    if run.seq <= seq:
        return REPRESENTED.empty_table()
    return _lines_of(here.moved_in(run), seq)


def _lines_of(lines: pa.Table, seq: int) -> pa.Table:
    return lines.filter(pc.equal(lines["batch"], seq))


def _named(known: Iterable[Folder], *, recalls: bool = False) -> set[int]:
    """Batches that answers named, one by one or as a whole. recalls: or recalls, by which lines
    leave their cycle though they were credited."""
    kinds = ("answers", DAY, RECALL) if recalls else ("answers", DAY)
    judges = [folder.detail for folder in known if folder.kind in kinds]
    named = (one.batches if one.named is None else one.named for one in judges)
    return {seq for batches in named for seq in batches} - {0}
