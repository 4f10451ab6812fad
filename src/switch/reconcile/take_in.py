"""Take in: confirmations, returns and statements come into a home and are held against its lines.

IN: files of others, and all answers of before. OUT: one commit, a folder of HOME/answers
(docs/formats.md): the records that are new, the lines that were refused or came back by them with
their postings, and the breaks that opened, changed or closed.

What a line's state is follows from the set of its records, never from their order. Records are
known by their whole content, so that a file read twice brings nothing new.
"""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from switch import reconcile as rec
from switch.errors import InputRefused, counted
from switch.files.layout import TAKEN
from switch.files.parquet_reader import in_one
from switch.files.parquet_writer import Style
from switch.files.segment import Segment, write_table
from switch.home.days import behind, times, word
from switch.home.history import (
    MOVES,
    STORED,
    Folder,
    bytes_again,
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
from switch.reconcile.line_states import STATEMENT, Booked, Said, State, Verdicts
from switch.reconcile.sent_lines import SentLines, together
from switch.registry.directory import Directory, Settings
from switch.settlement import booking, recasting, returns
from switch.settlement.booking import Posting
from switch.settlement.calendar import Slot
from switch.settlement.cycle import (
    OPENING,
    Standing,
    Statements,
    keep_balances,
    keep_postings,
    request_of,
    slot_for,
)
from switch.settlement.returns import Moved

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
"""How often a file of answers may be written, taken in and with what comes of it."""


def rules_of(known: list[Folder]) -> Rules:
    """The rules that were given last; the packaged ones where none were."""
    for folder in reversed(known):
        if "rules" in folder.detail:
            return msgspec.convert(folder.detail["rules"], Rules)
    return rec.default_rules()


# --- what was said --------------------------------------------------------------------------------


def taken_in(home: Home, known: list[Folder], lines: SentLines) -> tuple[Said, Booked]:
    """All that was said and done of some batches before. What commits took in that are about none
    of them is not read, but for statements."""
    said = Said(lines)
    moved = {name: np.zeros(len(lines), bool) for name in MOVES}
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
            back = moved_lines(home, folder, name)
            some = back.filter(pc.is_in(back["batch"], pa.array(lines.batches, pa.uint32())))
            marks[lines.at(some["batch"], some["line_no"])] = True
    return said, Booked(**moved)


def judged(home: Home, known: list[Folder], batches: set[int], receiver: str = "") -> Verdicts:
    """Where lines of some batches stand by all that was taken in, on the day of the last answers.
    receiver: whose lines alone are looked at, where it is named."""
    said, booked = taken_in(home, known, SentLines(home, together(home, batches), receiver))
    said.close()
    last = next(folder for folder in reversed(known) if folder.judges)
    as_of = datetime.date.fromisoformat(last.detail["answer"]["as_of"])
    return Verdicts(said, booked, rules_of(known), as_of)


def looked_at(home: Home, known: list[Folder]) -> set[int]:
    """Batches that are not closed, or about which a break is open."""
    rows = home.rows("SELECT seq FROM batches WHERE state != 'CLOSED'")
    breaks = open_breaks(home, known)
    # The sum of a whole clearing file is named by its receiver, a space and its head.
    scopes = breaks["participant"].filter(pc.equal(breaks["class"], "TOTAL_DRIFT")).to_pylist()
    files = pa.array([scope.rpartition(" ")[2] for scope in scopes], pa.string())
    ids = pa.chunked_array([*breaks["transfer_id"].chunks, files], pa.string())
    closed = SentLines(home, ()).batches_of(ids)
    return {row["seq"] for row in rows} | closed


# --- taking in ---------------------------------------------------------------------------------


class _Writer:
    """New records as they are written, a file a kind. named: batches that they name, 0 for none
    that is known."""

    def __init__(self, draft: Path, lines: SentLines) -> None:
        self._draft, self._lines = draft, lines
        self.named: set[int] = set()
        self._segments: dict[str, Segment] = {}
        self.counts = dict.fromkeys(TABLES, 0)

    def write(self, kind: str, table: pa.Table, place: NDArray[np.int64]) -> None:
        """Records with the places of their lines."""
        if not len(table):
            return
        if kind not in self._segments:
            path = self._draft / f"{kind}.parquet"
            self._segments[kind] = Segment(path, STORED, _STYLES)
        self.counts[kind] += len(table)
        if kind != STATEMENT:
            self.named |= self._lines.named(table["transfer_id"], place)
        self._segments[kind].append({name: in_one(table[name]) for name in STORED.names})

    def close(self) -> dict[str, tuple[str, int]]:
        return {f"{kind}.parquet": part.close() for kind, part in self._segments.items()}

    def abandon(self) -> None:
        for part in self._segments.values():
            part.abandon()


class TakingIn:
    """One reconciliation of a home: files in, one commit out, or none where nothing is new."""

    kind = "answers"

    def __init__(
        self,
        home: Home,
        directory: Directory,
        settings: Settings,
        rules: Rules | None,
        at: str | None,
        far: bool = False,
    ) -> None:
        self.home, self.directory, self.settings = home, directory, settings
        self.known = folders(home)
        self.rules = rules or rules_of(self.known)
        known = times(home)
        self.at = time_of(home, at, known, far)
        self.as_of = day_of(self.at)
        self.times = known
        self.number = len(self.known) + 1
        self.standing = Standing(home, directory)
        self.warnings: list[str] = [] if at else behind(known)
        sent = home.rows("SELECT COALESCE(SUM(lines), 0) AS lines FROM batches")[0]["lines"]
        self.rows_most = ROWS_FREE + ROWS_TIMES_LINES * int(sent)
        self.rows = 0

    def carry_out(self, files: Sequence[Path], kind: str | None, strict: bool) -> dict[str, Any]:
        size = sum(path.stat().st_size for path in files if path.is_file())
        again = bytes_again(self.home)
        self.home.require_room(ROOM_TIMES_FILE * (size + again) + ROOM_SPARE)
        named = looked_at(self.home, self.known) | self._named(files, kind)
        batches = together(self.home, named)
        lines = SentLines(self.home, batches)
        said, booked = taken_in(self.home, self.known, lines)
        with self.home.draft(ANSWERS) as draft:
            writer = _Writer(draft, lines)
            try:
                sources = [self._read(path, kind, strict, said, writer) for path in files]
                said.close()
                for name, kept in said.kept.items():
                    writer.write(name, kept.table.filter(pa.array(kept.new)), kept.place[kept.new])
                digests = writer.close()
            except BaseException:
                writer.abandon()
                raise
            verdicts = Verdicts(said, booked, self.rules, self.as_of)
            moves = self._moves(draft, verdicts)
            return self._commit(draft, digests, sources, writer, verdicts, moves)

    def _named(self, files: Sequence[Path], kind: str | None) -> set[int]:
        """Closed batches that the files name; they are read for it only where there are any."""
        if not self.home.rows("SELECT 1 FROM batches WHERE state = 'CLOSED'"):
            return set()
        batches: set[int] = set()
        nowhere = SentLines(self.home, ())
        for path in files:
            reader = opened(path, kind, False, self.home.path, digest=False)
            for table in records_in(reader, self.rows_most):
                batches |= nowhere.batches_of(table["transfer_id"])
        return batches

    def _read(
        self, path: Path, kind: str | None, strict: bool, said: Said, writer: _Writer
    ) -> dict[str, Any]:
        reader = opened(path, kind, strict, self.home.path)
        name = kind_of(reader)
        rows = 0
        for table in records_in(reader, self.rows_most - self.rows):
            if name != "statement" and said.lines.is_elsewhere(table["transfer_id"]):
                # What closed batches the files name was read before.
                raise InputRefused(
                    "CHANGED_DURING_READ",
                    "the file changed while it was read",
                    file=reader.name,
                    remedy="send it again when its writer is done",
                )
            writer.write(name, *said.hear(name, table, new=True))
            rows += len(table)
        self.rows += rows
        self.warnings += [f"{path.name}: {text}" for text in reader.warnings]
        return {"kind": name, "rows": rows, "sha256": reader.sha256}

    # --- what comes of it -----------------------------------------------------------------------

    def _moves(self, draft: Path, verdicts: Verdicts) -> dict[str, Any]:
        """Lines that go back now, by file; each in its file of the draft."""
        lines = verdicts.lines
        found = {name: TAKEN.empty_table() for name in MOVES}
        if len(verdicts.newly_refused):
            found["refused"] = verdicts.taken(lines.lines(verdicts.newly_refused), MOVES["refused"])
        if len(verdicts.newly_returned):
            back = verdicts.taken(lines.lines(verdicts.newly_returned), MOVES["returned"])
            back = returns.known(self.directory, back)
            if not self.has_calendar:
                back = returns.affordable(self.directory, self.standing, back)
            waits = len(verdicts.newly_returned) - len(back)
            if waits:
                self.warnings.append(
                    f"the return of {counted(waits, 'line')} waits: who sends it lacks the funds,"
                    " or one of the two sides is not in the directory"
                )
            found["returned"] = back
            verdicts.returned[lines.at(back["batch"], back["line_no"])] = True
        for name, table in found.items():
            if len(table):
                write_table(draft / f"{name}.parquet", table.cast(TAKEN))
        return found

    @property
    def has_calendar(self) -> bool:
        return self.settings.cutoffs is not msgspec.UNSET

    def _money(self, moves: dict[str, Any]) -> tuple[list[Moved], Statements, dict[str, Any]]:
        """What the lines that go back do to cycles: postings and positions by cycle, statements
        beside them, and what the audit record says."""
        done: list[Moved] = []
        statements: Statements = []
        detail: dict[str, Any] = {}
        cycle_of = {
            row["seq"]: row["cycle"] for row in self.home.rows("SELECT seq, cycle FROM batches")
        }
        refused = moves["refused"]
        for cycle in sorted({cycle_of[seq] for seq in refused["cleared_in"].to_pylist()}):
            seqs = [seq for seq, name in cycle_of.items() if name == cycle]
            mine = refused.filter(pc.is_in(refused["cleared_in"], pa.array(seqs, pa.uint32())))
            gone = returns.refused(self.directory, self.standing, cycle, mine)
            done.append(gone)
            statements += gone.statements()
            request = self._asked_anew(cycle, gone)
            if request:
                detail.setdefault("requests", {})[cycle] = request
                text = msgspec.json.encode(request, order="sorted").decode()
                statements.append(("UPDATE cycles SET request = ? WHERE cycle = ?", (text, cycle)))
        if len(moves["returned"]):
            slot = self._slot()
            cycle = slot.cycle if slot else f"{self.as_of:%Y%m%d}-R{self.number:06d}"
            back = returns.returned(self.directory, cycle, moves["returned"])
            if not self.has_calendar:
                day = str(self.as_of)
                request = booking.request(self.directory, cycle, day, back.nets(), batches=[])
                detail["request"] = request
                back.postings.extend(
                    booking.settling_postings(self.directory, cycle, back.nets(), [])
                )
            done.append(back)
            if slot is not None:
                detail["closes"] = slot.closes
                statements.append((OPENING, slot))
            statements += back.statements()
            detail["cycle"] = cycle
        return done, statements, detail

    def _asked_anew(self, cycle: str, gone: Moved) -> dict[str, Any]:
        """The request of a cycle that was closed already, without what left it."""
        if not self.home.rows("SELECT 1 FROM cycles WHERE cycle = ? AND request != ''", cycle):
            return {}
        nets = self.standing.nets_of(cycle)
        for code, net in gone.nets().items():
            nets[code] += net
        return request_of(self.home, self.directory, cycle, nets)

    def _slot(self) -> Slot | None:
        """The cycle through which returns go: the next of the calendar; None: one of their own."""
        return slot_for(self.home, self.settings, self.at, self.as_of)

    def _commit(
        self,
        draft: Path,
        digests: dict[str, tuple[str, int]],
        sources: list[dict[str, Any]],
        writer: _Writer,
        verdicts: Verdicts,
        moves: dict[str, Any],
    ) -> dict[str, Any]:
        counts = writer.counts
        went = {seq for table in moves.values() for seq in pc.unique(table["batch"]).to_pylist()}
        done, statements, detail = self._money(moves)
        before = open_breaks(self.home, self.known)
        found = verdicts.breaks(self._requests(detail), self._returned(moves), before)
        events = rec.fold(before, found, self.as_of)
        states = np.bincount(verdicts.states(), minlength=len(State))
        answer = {
            "at": self.at,
            "as_of": str(self.as_of),
            "new": counts,
            "read": {k: sum(s["rows"] for s in sources if s["kind"] == k) for k in TABLES},
            "moved": {
                name: {"count": len(table), "sum": str(pc.sum(table["amount"]).as_py() or 0)}
                for name, table in moves.items()
            },
            "cycle": detail.get("cycle", ""),
            "states": {s.name: int(states[s]) for s in State if s is not State.NOT_SENT},
            "breaks": dict(zip(*_counted(found, "class"), strict=True)),
            "events": dict(zip(*_counted(events, "event"), strict=True)),
        }
        ruled = msgspec.to_builtins(self.rules) != msgspec.to_builtins(rules_of(self.known))
        if not (any(counts.values()) or len(events) or done or ruled or self.is_due()):
            return {"number": 0, **answer}
        write_table(draft / "breaks.parquet", events)
        write_table(draft / "open.parquet", found)
        postings: dict[str, list[Posting]] = {}
        for move in done:
            postings.setdefault(move.cycle, []).extend(move.postings)
        after = booking.apply(
            self.standing.balances, [posting for part in postings.values() for posting in part]
        )
        for cycle, part in postings.items():
            booking.require_settled(after, cycle)
            statements += keep_postings(0, cycle, part)
        signed, closing = self.sign(draft, verdicts, moves["returned"], after)
        statements += closing
        folder = self.home.folder(ANSWERS, self.number)
        if len(moves["refused"]):
            names = recasting.free(self.home, draft, moves["refused"])
            path = f"{ANSWERS}/{folder.name}"
            statements += [
                ("INSERT OR REPLACE INTO paid VALUES ('cleared', ?, ?, ?)", (*key, f"{path}/{n}"))
                for key, n in names.items()
            ]
        self.home.commit(
            at=self.at,
            kind=self.kind,
            detail={
                **detail,
                **signed,
                **word(self.times, self.at),
                "after": self.home.next_batch() - 1,
                "answer": answer,
                # 0: of records that name no line that is known.
                "batches": [0, *verdicts.lines.batches],
                "judgement": JUDGEMENT,
                "named": sorted(writer.named | went),
                "postings": postings,
                "rules": msgspec.to_builtins(self.rules),
                "sources": sources,
            },
            statements=[*statements, *keep_balances(after)],
            draft=draft,
            folder=folder,
            digests=digests,
        )
        return {"number": self.number, **answer, **signed}

    def is_due(self) -> bool:
        """A commit is made though nothing is new."""
        return False

    def sign(
        self, draft: Path, verdicts: Verdicts, returned: Any, balances: dict[str, int]
    ) -> tuple[dict[str, Any], Statements]:
        """What the audit record says beside, and what is committed with it. returned: lines that
        come back by this commit; balances: those after it."""
        return {}, []

    def _returned(self, moves: dict[str, Any]) -> Any:
        """All lines whose money came back, now or before."""
        before = [moved_lines(self.home, folder, "returned") for folder in self.known]
        return pa.concat_tables([*before, moves["returned"].cast(TAKEN)])

    def requests_at_once(self) -> list[dict[str, Any]]:
        """What cycles asked for that settled in the commit that made them, as far as they are of
        before."""
        asked = [f.detail["request"] for f in self.known if "request" in f.detail]
        for row in self.home.rows("SELECT seq FROM batches"):
            path = self.home.folder("batches", row["seq"]) / "settlement.json"
            if path.exists():
                asked.append(msgspec.json.decode(self.home.proven(path).read_bytes()))
        return asked

    def _requests(self, detail: dict[str, Any]) -> rec.Records:
        """What was asked of the State Bank by all cycles that have settled."""
        asked = [
            msgspec.json.decode(row["request"])
            for row in self.home.rows("SELECT request FROM cycles WHERE state = 'SETTLED'")
        ]
        asked += self.requests_at_once()
        asked += [detail["request"]] if "request" in detail else []
        whole = rec.Records([])
        for document in asked:
            whole += rec.requests(document, datetime.date.fromisoformat(document["value_date"]))
        return whole


def _counted(table: Any, name: str) -> tuple[list[str], list[int]]:
    counted = table.group_by(name).aggregate([([], "count_all")]).sort_by(name)
    return counted[name].to_pylist(), counted["count_all"].to_pylist()


def take_in(
    home: Home,
    directory: Directory,
    settings: Settings,
    files: Sequence[Path],
    *,
    kind: str | None = None,
    rules: Rules | None = None,
    at: str | None = None,
    strict_columns: bool = False,
    far: bool = False,
) -> dict[str, Any]:
    """Take files of answers into a home in one commit; none where they bring nothing new.

    kind: of all files, where their columns are not to say it. rules: in force from now on (default:
    those given last). at: the time that is recorded, on whose day deadlines are looked at (default:
    that of the home). far: it may lie far after all that is known. Returns the answer; its number
    is 0 where nothing changed.
    Raises InputRefused for a file that is none of these kinds, or cannot be read.
    """
    task = TakingIn(home, directory, settings, rules, at, far)
    answer = task.carry_out(files, kind, strict_columns)
    return {**answer, "warnings": task.warnings}
