"""Take in: confirmations, returns and statements come into a home and are held against its lines.

IN: files of others, and all answers of before. OUT: one commit, a folder of HOME/answers
(docs/formats.md): the records that are new, the lines that were refused or came back by them with
their postings, and the breaks that opened, changed or closed.

What a line's state is follows from the set of its records, never from their order. Records are
known by their whole content, so that a file read twice brings nothing new.
"""

from __future__ import annotations

import datetime
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from switch import reconcile as rec
from switch.errors import InputRefused, counted
from switch.files.disk import machine
from switch.files.file_schemas import TAKEN
from switch.files.parquet_reader import in_one
from switch.files.parquet_writer import Style
from switch.files.segment import Segment, write_table
from switch.home.changes import Change, OpenCycle, SetPaid, SetRequest
from switch.home.days import Times, behind, correction, leaps, times, unusual
from switch.home.history import (
    MOVES,
    RECALL,
    STORED,
    Answers,
    Folder,
    asked_back,
    bytes_again,
    fee_folders,
    folders,
    moved_lines,
    open_breaks,
    stored,
    time_of,
)
from switch.home.store import ANSWERS, ROOM_SPARE, Home
from switch.home.times import day_of
from switch.reconcile import Rules
from switch.reconcile.answer_files import TABLES, kind_of, opened, records_in
from switch.reconcile.asked import open_batches
from switch.reconcile.line_states import RESOLUTIONS, STATEMENT, Booked, Said, State, Verdicts
from switch.reconcile.sent_lines import SentLines, together
from switch.registry.directory import Directory
from switch.registry.settings import Settings
from switch.results import TakenIn
from switch.settlement import postings as books
from switch.settlement import returns, reversal
from switch.settlement.cycle import request_of, slot_for
from switch.settlement.postings import Posting
from switch.settlement.returns import MoneyBack
from switch.settlement.standing import Standing, keep_balances, keep_postings, nets_without

_STYLES = {
    field.name: Style.SHARED if field.name == "transfer_id" else Style.SQUEEZED
    for field in STORED
    if pa.types.is_string(field.type)
}
JUDGEMENT = 2
"""Version of how answers are judged, in each audit record; 1 where a record has none: then only the
line's own participant answered, and anybody's row counted against one to a whole file."""
ROWS_FREE, ROWS_TIMES_LINES = 100_000, 4
"""Rows of all files of one reconciliation: some, and so many for each line that was ever run. A
few bytes can stand for millions of rows, of which those that are not plain are kept in memory."""
ROOM_TIMES_FILE = 4
"""Number of times that a file of answers may be written, taken in and with what comes of it."""


def rules_of(known: list[Folder]) -> Rules:
    """The rules that were given last; the packaged ones where none were."""
    for folder in reversed(known):
        if folder.detail.rules:
            return msgspec.convert(folder.detail.rules, Rules)
    return rec.default_rules()


# --- what was said --------------------------------------------------------------------------------


def taken_in(home: Home, known: list[Folder], lines: SentLines) -> tuple[Said, Booked]:
    """All that was said and done of some batches before. What commits took in that are about none
    of them is not read, but for statements."""
    said = Said(lines)
    moved = {name: np.zeros(len(lines), bool) for name in (*MOVES, "stopped")}
    asked = np.zeros(len(lines), np.int32)
    mine = pa.array(lines.batches, pa.uint32())
    receivers = pa.array(sorted(lines.receivers()), pa.string())
    for folder in known:
        about = folder.is_about(lines.batches)
        for kind in TABLES if about else [STATEMENT]:
            for table in stored(home, folder, kind):
                if lines.receiver:
                    # A line of another receiver has no place here, whoever answers to it.
                    table = table.filter(pc.is_in(table["participant"], receivers))
                said.hear(kind, table, new=False)
        for name, marks in moved.items() if about else ():
            if name == "stopped" and folder.kind != RECALL:
                continue
            back = moved_lines(home, folder, "refused" if name == "stopped" else name)
            some = back.filter(pc.is_in(back["batch"], mine))
            marks[lines.at(some["batch"], some["line_no"])] = True
        if about and folder.kind == RECALL:
            back = asked_back(home, folder)
            some = back.filter(pc.is_in(back["batch"], mine))
            day = (day_of(folder.at) - datetime.date(1970, 1, 1)).days
            asked[lines.at(some["batch"], some["line_no"])] = day
    return said, Booked(**moved, asked=asked)


def judged(home: Home, known: list[Folder], batches: set[int], receiver: str = "") -> Verdicts:
    """States of lines of some batches by all that was taken in, on the day of the last answers.
    receiver: whose lines alone are looked at, where it is named."""
    said, booked = taken_in(home, known, SentLines(home, together(home, batches), receiver))
    said.close()
    last = next((folder for folder in reversed(known) if folder.judges), known[-1])
    as_of = last.detail.answer["as_of"] if last.judges else str(day_of(last.at))
    return Verdicts(said, booked, rules_of(known), datetime.date.fromisoformat(as_of))


def looked_at(home: Home, known: list[Folder]) -> set[int]:
    """Batches that are not closed, or about which a break or a recall is open."""
    breaks = open_breaks(home, known)
    # The sum of a whole clearing file is named by its receiver, a space and its head.
    scopes = breaks["participant"].filter(pc.equal(breaks["class"], "TOTAL_DRIFT")).to_pylist()
    files = pa.array([scope.rpartition(" ")[2] for scope in scopes], pa.string())
    ids = pa.chunked_array([*breaks["transfer_id"].chunks, files], pa.string())
    closed = SentLines(home, ()).batches_of(ids) | open_batches(home, known)
    return {run.seq for run in home.catalog.batches() if run.state != "CLOSED"} | closed


# --- what is known before ------------------------------------------------------------------------


@dataclass(frozen=True)
class Before:
    """A home as it is before answers are taken in, or its day ends. at, as_of: the time that is
    recorded, and its day; known: folders of answers; standing: cycles and balances; why: the time
    is recorded though it lies before others."""

    home: Home
    directory: Directory
    settings: Settings
    rules: Rules
    times: Times
    at: str
    as_of: datetime.date
    known: list[Folder]
    standing: Standing
    why: str | None = None

    @property
    def number(self) -> int:
        """The number of the folder that comes next."""
        return len(self.known) + 1

    @property
    def has_calendar(self) -> bool:
        return self.settings.cutoffs is not msgspec.UNSET


def prepare(
    home: Home,
    directory: Directory,
    settings: Settings,
    *,
    rules: Rules | None = None,
    at: str | None = None,
    far: bool = False,
    why: str | None = None,
) -> Before:
    """Read a home's state, from which answers are judged. rules: in force from now on (default: the
    rules given last). at: the time that is recorded (default: the home's last one). far: that time
    may lie far after all times that the home knows. why: it may lie before them. Raises UsageError
    and InputRefused."""
    known, said = folders(home), times(home)
    time, standing = time_of(home, at, said, far, why), Standing(home, directory)
    rules, day = rules or rules_of(known), day_of(time)
    return Before(home, directory, settings, rules, said, time, day, known, standing, why)


@dataclass(frozen=True)
class AnswerFiles:
    """Files of answers as they are given, or tables that can be read again. kind: of all, where
    their columns are not to say it; strict: unknown columns are refused."""

    tables: Sequence[Path | pa.Table] = ()
    kind: str | None = None
    strict: bool = False


# --- judge: files in, and where lines stand then --------------------------------------------------


class _NewRecords:
    """Files of answers as they are read, and those records of them that are new as they are
    written, a file a kind. named: batches that these name, 0 for none that is known."""

    def __init__(self, before: Before, draft: Path, said: Said) -> None:
        self._before, self._draft, self._said = before, draft, said
        self._left = _rows_max(before.home)
        self._segments: dict[str, Segment] = {}
        self.named: set[int] = set()
        self.counts = dict.fromkeys(TABLES, 0)
        self.sources: list[dict[str, object]] = []
        self.warnings: list[str] = []

    def read(self, source: Path | pa.Table, kind: str | None, strict: bool) -> None:
        reader = opened(source, kind, strict, self._before.home.path)
        # A table in memory has no bytes: it is known by those of its records.
        digest = hashlib.sha256()
        name, rows = kind_of(reader), 0
        for table in records_in(reader, self._left):
            if name != STATEMENT and self._said.lines.is_elsewhere(table["transfer_id"]):
                # What closed batches the files name was read before.
                what = "the file changed while it was read"
                remedy = "send it again when its writer is done"
                raise InputRefused("CHANGED_DURING_READ", what, file=reader.name, remedy=remedy)
            for batch in table.to_batches() if reader.sha256 is None else ():
                digest.update(batch.serialize())
            self._write(name, *self._said.hear(name, table, new=True))
            rows += len(table)
        self._left -= rows
        self.warnings += [f"{Path(reader.name).name}: {text}" for text in reader.warnings]
        sha256 = reader.sha256 or digest.hexdigest()
        self.sources.append({"kind": name, "rows": rows, "sha256": sha256})

    def _write(self, kind: str, table: pa.Table, place: NDArray[np.int64]) -> None:
        """Records with the places of their lines."""
        if not len(table):
            return
        if kind not in self._segments:
            path = self._draft / f"{kind}.parquet"
            self._segments[kind] = Segment(path, STORED, _STYLES)
        self.counts[kind] += len(table)
        if kind != STATEMENT:
            self.named |= self._said.lines.named(table["transfer_id"], place)
        self._segments[kind].append({name: in_one(table[name]) for name in STORED.names})

    def close(self) -> dict[str, tuple[str, int]]:
        """All has been read: (SHA-256, bytes) of the files that were written, by name."""
        self._said.close()
        for kind, kept in self._said.kept.items():
            self._write(kind, kept.table.filter(pa.array(kept.new)), kept.place[kept.new])
        return {f"{kind}.parquet": part.close() for kind, part in self._segments.items()}

    def abandon(self) -> None:
        for part in self._segments.values():
            part.abandon()


@dataclass(frozen=True)
class Judged:
    """New records, which stand in files of the draft (SHA-256 and bytes by name), and where lines
    stand with them."""

    draft: Path
    files: dict[str, tuple[str, int]]
    new: _NewRecords
    verdicts: Verdicts


def judge(before: Before, given: AnswerFiles, draft: Path) -> Judged:
    """Read files of answers, and hold everything against everything."""
    home = before.home
    batches = together(home, looked_at(home, before.known) | _named(home, given))
    said, booked = taken_in(home, before.known, SentLines(home, batches))
    new = _NewRecords(before, draft, said)
    try:
        for table in given.tables:
            new.read(table, given.kind, given.strict)
        files = new.close()
    except BaseException:
        new.abandon()
        raise
    return Judged(draft, files, new, Verdicts(said, booked, before.rules, before.as_of))


def _size_of(table: Path | pa.Table) -> int:
    """Bytes of a file of answers, or of a table; 0 for what is no file and is refused later."""
    if isinstance(table, Path):
        with machine(table):
            return table.stat().st_size if table.is_file() else 0
    return int(table.nbytes)


def _rows_max(home: Home) -> int:
    """Rows of all files of one reconciliation."""
    return ROWS_FREE + ROWS_TIMES_LINES * sum(run.lines for run in home.catalog.batches())


def _named(home: Home, given: AnswerFiles) -> set[int]:
    """Closed batches that the files name; they are read for it only where there are any."""
    if all(run.state != "CLOSED" for run in home.catalog.batches()):
        return set()
    batches: set[int] = set()
    nowhere = SentLines(home, ())
    for source in given.tables:
        reader = opened(source, given.kind, False, home.path, digest=False)
        for table in records_in(reader, _rows_max(home)):
            batches |= nowhere.batches_of(table["transfer_id"])
    return batches


# --- move: what goes back, and what it does to cycles ---------------------------------------------


def move(before: Before, judged: Judged) -> dict[str, pa.Table]:
    """Lines that go back now, by file; each in its file of the draft."""
    verdicts, warnings = judged.verdicts, judged.new.warnings
    lines = verdicts.lines
    found = {name: TAKEN.empty_table() for name in MOVES}
    if len(verdicts.newly_refused):
        found["refused"] = verdicts.taken(lines.lines(verdicts.newly_refused), MOVES["refused"])
    if len(verdicts.newly_returned):
        back = verdicts.taken(lines.lines(verdicts.newly_returned), MOVES["returned"])
        back = returns.known(before.directory, back)
        if not before.has_calendar:
            back = returns.affordable(before.directory, before.standing, back)
        waits = len(verdicts.newly_returned) - len(back)
        if waits:
            warnings.append(
                f"the return of {counted(waits, 'line')} waits: who sends it lacks the funds,"
                " or one of the two sides is not in the directory"
            )
        found["returned"] = back
        verdicts.returned[lines.at(back["batch"], back["line_no"])] = True
    for name, table in found.items():
        if len(table):
            write_table(judged.draft / f"{name}.parquet", table.cast(TAKEN))
    return found


def money(
    before: Before, moves: dict[str, pa.Table]
) -> tuple[list[MoneyBack], list[Change], dict[str, Any]]:
    """Effects of lines that go back on cycles: (postings and positions by cycle, changes beside
    them, what the audit record says)."""
    home, directory = before.home, before.directory
    done: list[MoneyBack] = []
    changes: list[Change] = []
    detail: dict[str, Any] = {}
    cycle_of = {run.seq: run.cycle for run in home.catalog.batches()}
    refused = moves["refused"]
    for cycle in sorted({cycle_of[seq] for seq in refused["cleared_in"].to_pylist()}):
        seqs = [seq for seq, name in cycle_of.items() if name == cycle]
        mine = refused.filter(pc.is_in(refused["cleared_in"], pa.array(seqs, pa.uint32())))
        gone = returns.refused(directory, before.standing, cycle, mine)
        done.append(gone)
        changes += gone.changes()
        request = _asked_anew(before, cycle, gone)
        if request:
            detail.setdefault("requests", {})[cycle] = request
            text = msgspec.json.encode(request, order="sorted").decode()
            changes.append(SetRequest(text, cycle))
    if len(moves["returned"]):
        slot = slot_for(home, before.settings, before.at, before.as_of)
        # Without a calendar returns have a cycle of their own.
        cycle = slot.cycle if slot else f"{before.as_of:%Y%m%d}-R{before.number:06d}"
        back = returns.returned(directory, cycle, moves["returned"])
        if not before.has_calendar:
            day = str(before.as_of)
            detail["request"] = books.request(directory, cycle, day, back.nets(), batches=[])
            back.postings.extend(books.settling_postings(directory, cycle, back.nets(), []))
        done.append(back)
        if slot is not None:
            detail["closes"] = slot.closes
            changes.append(OpenCycle(*slot))
        changes += back.changes()
        detail["cycle"] = cycle
    return done, changes, detail


def _asked_anew(before: Before, cycle: str, gone: MoneyBack) -> dict[str, Any]:
    """The request of a cycle that was closed already, without what left it."""
    kept = before.home.catalog.cycle(cycle)
    if kept is None or not kept.request:
        return {}
    nets = nets_without(before.standing, cycle, gone.positions)
    return request_of(before.home, before.directory, cycle, nets)


# --- commit: of answers, and of a day -------------------------------------------------------------


Signed = tuple[dict[str, Any], list[Change]]
"""Further fields of an audit record, and changes of the catalog committed with it."""


def _nothing(judged: Judged, returned: pa.Table, balances: dict[str, int]) -> Signed:
    """Answers alone sign nothing."""
    return {}, []


@dataclass(frozen=True)
class Extra:
    """Additions of a commit beside answers. kind: of the audit record; is_due: it is made though
    nothing is new; sign: called with lines that come back by it, and the balances after it."""

    kind: str = "answers"
    is_due: bool = False
    sign: Callable[[Judged, pa.Table, dict[str, int]], Signed] = _nothing


def commit(
    before: Before, judged: Judged, moves: dict[str, pa.Table], extra: Extra
) -> dict[str, Any]:
    """Make what was judged final. Returns the answer; its number is 0, and nothing is done, where
    nothing is new."""
    home, draft, new = before.home, judged.draft, judged.new
    done, changes, told_of = money(before, moves)
    was_open = open_breaks(home, before.known)
    back = [moved_lines(home, folder, "returned") for folder in before.known]
    back.append(moves["returned"].cast(TAKEN))
    asked = _requests(before, told_of)
    found = judged.verdicts.breaks(asked, pa.concat_tables(back), was_open)
    events = rec.fold(was_open, found, before.as_of)
    answer = _answer(before, judged, moves) | {
        "cycle": told_of.get("cycle", ""),
        "breaks": dict(zip(*_counted(found, "class"), strict=True)),
        "events": dict(zip(*_counted(events, "event"), strict=True)),
    }
    ruled = msgspec.to_builtins(before.rules) != msgspec.to_builtins(rules_of(before.known))
    if not (any(new.counts.values()) or len(events) or done or ruled or extra.is_due):
        return {"number": 0, **answer}
    write_table(draft / "breaks.parquet", events)
    write_table(draft / "open.parquet", found)
    postings: dict[str, list[Posting]] = {}
    for moved in done:
        postings.setdefault(moved.cycle, []).extend(moved.postings)
    posted = [posting for part in postings.values() for posting in part]
    after = books.apply(before.standing.balances, posted)
    for cycle, part in postings.items():
        books.require_settled(after, cycle)
        changes += keep_postings(0, cycle, part)
    signed, closing = extra.sign(judged, moves["returned"], after)
    folder = home.folder(ANSWERS, before.number)
    changes += [*closing, *freed(before, draft, folder, moves["refused"])]
    went = {seq for table in moves.values() for seq in pc.unique(table["batch"]).to_pylist()}
    home.commit(
        at=before.at,
        kind=extra.kind,
        detail=Answers(
            **told_of,
            **signed,
            leap=leaps(before.times, before.at),
            correct=correction(before.times, before.at, before.why),
            after=home.catalog.next_batch() - 1,
            answer=answer,
            batches=[0, *judged.verdicts.lines.batches],
            judgement=JUDGEMENT,
            named=sorted(new.named | went),
            postings=postings,
            rules=msgspec.to_builtins(before.rules),
            sources=new.sources,
        ),
        changes=[*changes, *keep_balances(after)],
        draft=draft,
        folder=folder,
        digests=judged.files,
    )
    return {"number": before.number, **answer, **signed}


def _answer(before: Before, judged: Judged, moves: dict[str, pa.Table]) -> dict[str, Any]:
    """Answer about records, of lines that moved and of states."""
    new = judged.new
    read = dict.fromkeys(TABLES, 0)
    for source in new.sources:
        read[str(source["kind"])] += int(str(source["rows"]))
    states = np.bincount(judged.verdicts.states(), minlength=len(State))
    return {
        "at": before.at,
        "as_of": str(before.as_of),
        "new": _of_kinds(new.counts),
        "read": _of_kinds(read),
        "moved": {
            name: {"count": len(table), "sum": str(pc.sum(table["amount"]).as_py() or 0)}
            for name, table in moves.items()
        },
        "cycle": "",
        "states": {s.name: int(states[s]) for s in State if s is not State.NOT_SENT},
    }


def _of_kinds(counts: dict[str, int]) -> dict[str, int]:
    """Counts by kind of file; of answers to recalls only where there are any."""
    return {kind: count for kind, count in counts.items() if count or kind != RESOLUTIONS}


def freed(before: Before, draft: Path, folder: Path, refused: pa.Table) -> list[Change]:
    """Entitlements of lines that were refused are free again: bits of who was paid, written into
    the draft, and that they count from now on."""
    if not len(refused):
        return []
    names = reversal.free(before.home, draft, refused)
    path = f"{ANSWERS}/{folder.name}"
    return [SetPaid("cleared", *key, f"{path}/{name}") for key, name in names.items()]


def _counted(table: pa.Table, name: str) -> tuple[list[str], list[int]]:
    counts = table.group_by(name).aggregate([([], "count_all")]).sort_by(name)
    return counts[name].to_pylist(), counts["count_all"].to_pylist()


def requests_at_once(before: Before) -> list[dict[str, Any]]:
    """Settlement requests of cycles that settled in the commit that made them, as far as they are
    of before."""
    home = before.home
    asked = [f.detail.request for f in before.known if f.detail.request]
    asked += [f.detail["request"] for f in fee_folders(home) if "request" in f.detail]
    for run in home.catalog.batches():
        path = home.folder("batches", run.seq) / "settlement.json"
        if path.exists():
            asked.append(msgspec.json.decode(home.proven(path).read_bytes()))
    return asked


def _requests(before: Before, detail: dict[str, Any]) -> rec.Records:
    """Records of what the State Bank was asked by all cycles that have settled."""
    settled = before.home.catalog.cycles("SETTLED")
    asked = [msgspec.json.decode(cycle.request) for cycle in settled]
    asked += requests_at_once(before)
    asked += [detail["request"]] if "request" in detail else []
    whole = rec.Records([])
    for document in asked:
        whole += rec.requests(document, datetime.date.fromisoformat(document["value_date"]))
    return whole


# --- all of it ------------------------------------------------------------------------------------


def carry_out(before: Before, given: AnswerFiles, extra: Extra) -> tuple[dict[str, Any], list[str]]:
    """Judge, move and commit. Returns the answer, and warnings."""
    home = before.home
    size = sum(map(_size_of, given.tables))
    home.require_room(ROOM_TIMES_FILE * (size + bytes_again(home)) + ROOM_SPARE)
    with home.draft(ANSWERS) as draft:
        judged = judge(before, given, draft)
        moves = move(before, judged)
        return commit(before, judged, moves, extra), judged.new.warnings


def take_in(
    home: Home,
    directory: Directory,
    settings: Settings,
    files: AnswerFiles,
    *,
    rules: Rules | None = None,
    at: str | None = None,
    far: bool = False,
    why: str | None = None,
) -> TakenIn:
    """Take files of answers into a home in one commit; none where they bring nothing new.

    rules, at, far, why: as `prepare` has them; on the day of at deadlines are looked at. Returns
    the answer; its number is 0 where nothing changed.
    Raises InputRefused for a file that is none of these kinds, or cannot be read.
    """
    before = prepare(home, directory, settings, rules=rules, at=at, far=far, why=why)
    answer, warnings = carry_out(before, files, Extra())
    about_time = unusual(before.times, at) if at else behind(before.times)
    return cast(TakenIn, {**told(answer), "warnings": [*about_time, *warnings]})


def told(answer: dict[str, Any]) -> dict[str, Any]:
    """An answer as callers get it: money that a home keeps as text is a number."""
    moved = answer["moved"].items()
    return {**answer, "moved": {name: {**part, "sum": int(part["sum"])} for name, part in moved}}
