"""History: recasts, cancellations, expiries and folders of answers that were committed, as the
audit chain has them."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

import msgspec
import pyarrow as pa

from switch.errors import UsageError
from switch.files.file_schemas import BREAK, CANCELLED_LINES, RECORD, TAKEN, WENT_BACK
from switch.files.segment import Groups, read_segment, read_table
from switch.home.chain import Record
from switch.home.days import Times, require_forward, require_likely, require_why
from switch.home.store import ANSWERS, CANCELLED, EXPIRED, FEES, Home

SETTLED = ("SETTLED", "CLOSED")
"""States of batches whose cycle has settled."""


RECALL = "recall"
KINDS = ("answers", "disposition", "day", RECALL)
"""Kinds of audit records that have a folder of HOME/answers."""

STORED = pa.schema([field for field in RECORD if field.name != "currency"])

MOVES = {"refused": "confirmations", "returned": "returns"}
"""Files of lines that went back, and the kind of records that say so."""


class Answers(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The audit record of answers, of a disposition or of a day. A field that has no place in it,
    or is of later engines than the one that wrote it, is not written."""

    after: int
    """The last batch before it."""
    batches: list[int]
    """Batches that were looked at; 0 for records that name no line that is known."""
    postings: Mapping[str, Sequence[tuple[str, str, str, int]]]
    """By cycle; '' for those of none."""
    answer: dict[str, Any] = {}
    rules: dict[str, Any] = {}
    sources: list[dict[str, object]] | None = None
    judgement: int = 1
    """Version of how answers are judged."""
    named: list[int] | None = None
    """Batches that its records or moved lines are about, as far as it is known."""
    cycle: str = ""
    """The cycle through which returns go, and when it closes if they opened it."""
    closes: str = ""
    request: dict[str, Any] = {}
    """Asked of the State Bank for returns that settle at once."""
    requests: dict[str, dict[str, Any]] = {}
    """Asked anew of it, by cycle."""
    leap: bool = False
    correct: str = ""
    """A reason for which its time lies before what was signed or recorded."""
    closed: list[int] | None = None
    """Fields of a day: batches that it closes, batches of later days, such as only seem to be of
    later ones, and the totals that tie."""
    later: list[int] | None = None
    slips: list[int] | None = None
    totals: dict[str, str] | None = None
    step: str = ""
    """Fields of a disposition: the step of its postings, and of how many lines and money it is."""
    reason: str = ""
    """Fields of a recall: its ISO code, who recalls, and why in words."""
    by: str = ""
    words: str = ""
    days: int = 0
    """Days for which cash lines might be without a proof, of a recall of those that were so for
    longer; 0 where somebody recalls."""
    count: int = 0
    sum: str = ""


class Folder(NamedTuple):
    """One commit of answers or of what was decided about them."""

    number: int
    kind: str
    at: str
    detail: Answers

    @property
    def name(self) -> str:
        return f"{ANSWERS}/{self.number:06d}"

    @property
    def judges(self) -> bool:
        """Lines were held against answers in it, and breaks found."""
        return self.kind in ("answers", "day")

    @property
    def after(self) -> int:
        """The last batch before it."""
        return self.detail.after

    def signed(self) -> dict[str, Any]:
        """The answer of a day that was closed, as it is kept and filed."""
        # A day that was signed before batches of later days were told apart does not name them.
        told = {n: getattr(self.detail, n) for n in ("closed", "later", "totals", "slips")}
        return {**self.detail.answer, **{n: part for n, part in told.items() if part is not None}}

    def is_about(self, batches: Collection[int]) -> bool:
        """A record in it names one of the batches or, then, no line that was known, or a line of
        them went back by it. It may be so where the audit record is of before it said that."""
        told = self.detail.named
        named = self.detail.batches if told is None else told
        return not {0, *batches}.isdisjoint(named)


def folders(home: Home) -> list[Folder]:
    """All of a home, oldest first."""
    return [
        Folder(number, record.kind, record.at, msgspec.json.decode(record.detail, type=Answers))
        for number, record in enumerate(home.catalog.audit.records(*KINDS), start=1)
    ]


NOTE = "note"
"""Kind of the audit records of notes about breaks; they have no folder."""
BREAK_ID_CHARACTERS = 16


class Note(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The audit record of a note about breaks. A field that it says nothing of is not written."""

    breaks: list[tuple[str, str, int]]
    """Id, class and value of each, as it was open then."""
    by: str
    note: str = ""
    owner: str = ""
    """The desk that looks after them from now on."""
    accepted: bool | None = None
    """They are taken as they are, or are no more."""


def break_id(key: str) -> str:
    """The id by which people name a break: its key is long, and may hold an account."""
    return hashlib.sha256(key.encode()).hexdigest()[:BREAK_ID_CHARACTERS]


def notes(home: Home) -> list[tuple[Record, Note]]:
    """All notes about breaks, oldest first, with their records."""
    records = home.catalog.audit.records(NOTE)
    return [(record, msgspec.json.decode(record.detail, type=Note)) for record in records]


Marks = TypeVar("Marks", bound=tuple[Any, ...])
Words = TypeVar("Words")


def said_before(
    marks: Sequence[Marks], words: Words, said: Iterable[tuple[Sequence[Marks], Words, str]]
) -> str:
    """The time of the same note about the same things, where nothing was said of them since; ''
    where it is new. So a note that was broken off may be given again.

    marks: what it is about, each with its name first. said: marks, words and time of all notes,
    oldest first."""
    last: dict[Any, tuple[Marks, Words, str]] = {}
    for others, other, at in said:
        last.update({mark[0]: (mark, other, at) for mark in others})
    found = [last.get(mark[0]) for mark in marks]
    same = all(
        one is not None and one[:2] == (mark, words) for mark, one in zip(marks, found, strict=True)
    )
    return found[0][2] if same and found[0] else ""


ALARM = "alarm"
"""Kind of the audit records of notes about alarms; they have no folder, and move nothing."""


class AlarmNote(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The audit record of a note about alarms. A field that it says nothing of is not written."""

    alarms: list[tuple[str, str, str]]
    """Name, time since when, and level of each, as it was then."""
    by: str
    note: str = ""
    owner: str = ""
    """The desk that looks after them from now on."""
    acknowledged: bool | None = None
    """Somebody has seen them, or they are to be seen again."""
    until: str = ""
    """The time until which they sleep."""


def alarm_notes(home: Home) -> list[tuple[Record, AlarmNote]]:
    """All notes about alarms, oldest first, with their records."""
    records = home.catalog.audit.records(ALARM)
    return [(record, msgspec.json.decode(record.detail, type=AlarmNote)) for record in records]


def open_breaks(home: Home, known: list[Folder]) -> Any:
    """The breaks that are open: a table of BREAK."""
    for folder in reversed(known):
        path = home.path / folder.name / "open.parquet"
        if path.exists():
            return read_table(home.proven(path)).cast(BREAK)
    return BREAK.empty_table()


def time_of(
    home: Home, at: str | None, known: Times, far: bool = False, why: str | None = None
) -> str:
    """The time that is recorded: the given one, else that of the home (`days`). far: it may lie far
    after all that is known. why: it may lie before what was recorded. Raises UsageError and
    InputRefused for one that may not."""
    require_why(why, at or "")
    time = at or known.now
    if not time:
        raise UsageError(f"{home.path} has no batch yet, so that nothing can be answered")
    far |= require_forward(known, time, why)
    if not far:
        require_likely(known, time)
    return time


def stored(home: Home, folder: Folder, kind: str) -> Iterator[Any]:
    """Records of one kind that a commit took in: tables of RECORD, a row group each."""
    path = home.path / folder.name / f"{kind}.parquet"
    if path.exists():
        groups = Groups(home.proven(path))
        for number in range(len(groups)):
            table = groups.read(number).combine_chunks()
            empty = pa.nulls(len(table), pa.string())
            at = RECORD.get_field_index("currency")
            yield table.add_column(at, RECORD.field(at), empty).cast(RECORD)


def moved_lines(home: Home, folder: Folder, name: str) -> Any:
    """Lines that a commit sent back: a table of TAKEN."""
    path = home.path / folder.name / f"{name}.parquet"
    return read_table(home.proven(path)).cast(TAKEN) if path.exists() else TAKEN.empty_table()


def asked_back(home: Home, folder: Folder) -> Any:
    """Lines that a recall asks receivers to give back, as they had settled: a table of WENT_BACK.
    Those that left their cycle by it are `moved_lines` of refused."""
    path = home.path / folder.name / "recalled.parquet"
    return (
        read_table(home.proven(path)).cast(WENT_BACK) if path.exists() else WENT_BACK.empty_table()
    )


def lines_of(table: pa.Table) -> list[tuple[int, int]]:
    """(number of the batch, line number) of the rows of a table of lines."""
    return list(zip(table["batch"].to_pylist(), table["line_no"].to_pylist(), strict=True))


ABORTED = "ABORTED"
"""State of a cycle whose settlement was given up: it is as if its lines had never cleared."""


class Recast(NamedTuple):
    """A recast that was committed."""

    number: int
    after: int
    """The last batch before it; 0 where there was none."""
    cycle: str
    at: str
    aborted: bool
    """All lines of the cycle went back, and nothing settled."""

    @property
    def folder(self) -> str:
        return f"recasts/{self.number:06d}"


CANCELLATION = "cancellation"
"""Kind of the audit records by which lines that wait are cancelled."""


class Cancellation(NamedTuple):
    """A commit by which lines that waited were cancelled."""

    number: int
    after: int
    """The last batch before it."""
    at: str
    by: str
    why: str
    lines: int
    amount: int

    @property
    def folder(self) -> str:
        return f"{CANCELLED}/{self.number:06d}"


EXPIRY = "expiry"
"""Kind of the audit records by which lines that waited beyond their deadline leave the queue."""


class Expiry(NamedTuple):
    """A commit by which lines that had waited beyond their deadline left the queue."""

    number: int
    after: int
    """The last batch before it."""
    at: str
    lines: int
    amount: int
    seq: int
    """Number of its audit record."""

    @property
    def folder(self) -> str:
        return f"{EXPIRED}/{self.number:06d}"


Queue = Recast | Cancellation | Expiry
"""A commit beside batches that wrote the queue of lines that wait anew."""


def queues(home: Home) -> list[Queue]:
    """All commits beside batches that wrote the queue of lines that wait anew, oldest first."""
    numbers = {Recast: 0, Cancellation: 0, Expiry: 0}
    found: list[Queue] = []

    def number(kind: type[Queue]) -> int:
        numbers[kind] += 1
        return numbers[kind]

    for record in home.catalog.audit.records("settlement", CANCELLATION, EXPIRY):
        detail = msgspec.json.decode(record.detail)
        after = detail.get("after")
        if record.kind == CANCELLATION:
            said = detail["by"], detail["why"], detail["count"], int(detail["sum"])
            found.append(Cancellation(number(Cancellation), after, record.at, *said))
        elif record.kind == EXPIRY:
            sums = detail["count"], int(detail["sum"])
            found.append(Expiry(number(Expiry), after, record.at, *sums, record.seq))
        elif after is not None:
            aborted = detail["answer"]["state"] == ABORTED
            found.append(Recast(number(Recast), after, detail["cycle"], record.at, aborted))
    return found


def recasts(home: Home) -> list[Recast]:
    """All of a home, oldest first."""
    return [one for one in queues(home) if isinstance(one, Recast)]


def cancellations(home: Home) -> list[Cancellation]:
    """All of a home, oldest first."""
    return [one for one in queues(home) if isinstance(one, Cancellation)]


def expiries(home: Home) -> list[Expiry]:
    """All of a home, oldest first."""
    return [one for one in queues(home) if isinstance(one, Expiry)]


def cancelled_lines(home: Home) -> pa.Table:
    """All lines of a home that were cancelled: a table of CANCELLED_LINES, in the order of their
    commits; number: that of the commit."""
    return _left(home, cancellations(home))


def expired_lines(home: Home) -> pa.Table:
    """All lines of a home that expired, as of `cancelled_lines`."""
    return _left(home, expiries(home))


def left_lines(home: Home) -> pa.Table:
    """All lines of a home that left the queue for good, by no run: cancelled ones, then those that
    expired, as of `cancelled_lines`."""
    return pa.concat_tables([cancelled_lines(home), expired_lines(home)]).combine_chunks()


def _left(home: Home, commits: Sequence[Cancellation | Expiry]) -> pa.Table:
    parts = [CANCELLED_LINES.empty_table().add_column(0, "number", pa.array([], pa.int64()))]
    for one in commits:
        lines = read_table(home.proven(home.path / one.folder / "lines.parquet"))
        number = pa.array([one.number] * len(lines), pa.int64())
        lines = lines.select(CANCELLED_LINES.names).cast(CANCELLED_LINES)
        parts.append(lines.add_column(0, "number", number))
    return pa.concat_tables(parts).combine_chunks()


def queue_of(home: Home) -> tuple[str, str] | None:
    """(path below the home, SHA-256) of the lines that wait, oldest first: those of the last batch,
    or of what wrote them anew after it. None where nothing waits."""
    last = home.catalog.next_batch() - 1
    folders = [one.folder for one in queues(home) if one.after == last]
    path = f"{folders[-1] if folders else f'batches/{last:06d}'}/held.parquet"
    file = home.catalog.file(path)
    return None if file is None else (path, file.sha256)


def bytes_again(home: Home) -> int:
    """Bytes of what is written anew whenever lines move: the queue, and who was cleared."""
    path, _ = queue_of(home) or ("", "")
    return home.catalog.bytes_again(path)


def went_back(home: Home, recast: Recast) -> Any:
    """The lines of a recast: a table of WENT_BACK."""
    return read_segment(home.path / recast.folder / "lines.parquet")


BILLS, PAYMENTS, REFUND = "bills", "fees", "refund"
"""Kinds of the audit records of bills that agencies loaded, of payments of fees, and of a refund of
one."""
FEE_KINDS = (BILLS, PAYMENTS, REFUND)
"""Kinds of audit records that have a folder of HOME/fees."""
FORMAT_FEES_BY_ROW = 9
"""Format of a home from the first payments of fees on that were judged each by itself, as well as
from what the store says: an engine before would take those of one id at two banks for one, and move
those that were withdrawn."""
WITHDRAWAL = "withdrawal"
"""Kind of the audit records by which a payment of a fee that waits is withdrawn; they have no
folder."""


class FeeFolder(NamedTuple):
    """A commit of bills, of payments of fees, or of a refund."""

    number: int
    kind: str
    at: str
    detail: dict[str, Any]

    @property
    def name(self) -> str:
        return f"{FEES}/{self.number:06d}"


def fee_folders(home: Home) -> list[FeeFolder]:
    """All of a home, oldest first."""
    return [
        FeeFolder(number, record.kind, record.at, msgspec.json.decode(record.detail))
        for number, record in enumerate(home.catalog.audit.records(*FEE_KINDS), start=1)
    ]
