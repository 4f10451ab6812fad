"""Results: the documents that methods return and commands print as JSON, field by field.

docs/contract.md fixes these documents as JSON. So each is a plain dict when the program runs, and
its fields have types for whoever calls the library (`TypedDict`). Other results are pyarrow tables
or frozen dataclasses. This file imports nothing of the package.
"""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Literal, NotRequired, Required, TypedDict

Outcome = Literal["received", "cleared", "held", "refused"]
"""The keys under which a batch's lines are counted."""
OUTCOMES: tuple[Outcome, ...] = ("received", "cleared", "held", "refused")


class Total(TypedDict):
    """Lines, and their money in minor units."""

    count: int
    sum: int


class FiledTotal(TypedDict):
    """Lines, and their money as files for banks have it: as text."""

    count: int
    sum: str


# --- a batch --------------------------------------------------------------------------------------


class ReasonTotal(Total):
    """Lines that were held or refused for one reason."""

    reason: str
    """ISO 20022 external code."""
    status: str
    sentence: str


class LineTotals(TypedDict):
    """Lines by what became of them."""

    received: Total
    cleared: Total
    held: Total
    refused: Total
    reasons: list[ReasonTotal]


class ReceiverTotal(Total):
    """Cleared lines of one receiver."""

    participant: str
    short_name: str
    kind: str


class PositionRow(TypedDict):
    """A row of positions.parquet."""

    participant: str
    settled_by: str
    credit_count: int
    credit_sum: int
    debit_count: int
    debit_sum: int
    net: int


class SettlementTotals(TypedDict):
    """Money owed between institutions, and what of it moves after netting."""

    gross: int
    settled: int
    payers: int
    receivers: int
    nets: dict[str, int]
    """Net position by settlement participant; below zero it pays."""


class BudgetUse(TypedDict):
    """Money of a budget: consumed and released are parts of reserved, remaining is the rest."""

    reserved: int
    consumed: int
    released: int
    remaining: int


class BatchBudget(BudgetUse):
    """Money that a batch has of one programme's budget."""

    programme: str


class ProgrammeBudget(BatchBudget):
    """A programme's budget and all that was reserved of it; None: it has no limit."""

    budget: int | None
    available: int | None


class Funding(TypedDict):
    """Money that a batch has of budgets, and what is set aside for it at the State Bank."""

    budgets: list[BatchBudget]
    reserve: BudgetUse


class Answered(TypedDict):
    """Sent lines of a batch by their state on a day."""

    as_of: str
    lines: dict[str, Total]


class Now(TypedDict):
    """Lines of a batch by where they stand now; together they are all that was received."""

    held: Total
    """They wait, and are tried again with the next run."""
    cleared: Total
    """They stand in a cycle that has not settled."""
    settled: Total
    """Their receiver has the money, and has not said that it credited them."""
    unapplied: Total
    """The same, and the deadline for its answer is over."""
    credited: Total
    returned: Total
    """The money came back, or is on its way, and waits for a disposition."""
    written_back: Total
    reissued: Total
    """Their entitlement was freed for one more line."""
    refused: Total
    """By screening, by the receiver before the cycle settled, or cancelled or expired."""


class SentBack(Total):
    """Lines of a batch that a recast or an abort took out of a cycle; they waited again then."""

    cycle: str
    at: str
    rule: str
    """recast or abort."""
    why: str
    """Reason for which the cycle was aborted; '' of a recast."""


class CreditTotal(Total):
    """Credits of two lines or more for households, their money, and the lines in them."""

    lines: int


class StoredSummary(LineTotals):
    """The outcome of a batch as its commit keeps it."""

    source: str
    batch_id: str
    seq: int
    cycle: str
    value_date: str
    at: str
    currency: str
    digest: str
    represented: LineTotals | None
    """Older lines that were held and were tried again with this batch."""
    receivers: list[ReceiverTotal]
    positions: list[PositionRow]
    names: dict[str, str]
    """Short names by participant."""
    settlement: SettlementTotals
    credits: NotRequired[CreditTotal]


class Summary(StoredSummary):
    """The outcome of a batch as it was answered, and the state of the batch now."""

    state: str
    """SETTLED, CLEARING, HELD or CLOSED."""
    replayed: bool
    """The table had been run before."""
    sent_back: list[SentBack]
    """Recasts and aborts that took lines of the batch out of a cycle again, oldest first."""


class Left(TypedDict):
    """Lines that left the queue without a run, where there are any; now has them as refused."""

    cancelled: NotRequired[Total]
    expired: NotRequired[Total]


class BatchStatus(Summary, Left):
    """The outcome of a batch, which never changes, with where it stands now and its funding."""

    now: Now
    cycle_state: str
    """OPEN, CLOSED, SETTLED or ABORTED."""
    funding: Funding
    answered: NotRequired[Answered]
    """Sent lines by state; absent where it was not asked for, or nothing was answered yet."""


class BatchRow(Left):
    """A batch in the list of all batches, as it stands now."""

    seq: int
    source: str
    batch_id: str
    value_date: str
    cycle: str
    cycle_state: str
    """OPEN, CLOSED, SETTLED or ABORTED."""
    state: str
    received: Total
    now: Now
    sent_back: list[SentBack]


class Dossier(TypedDict):
    """A dossier that was written, with its file and what the table was warned of."""

    source: str
    batch_id: str
    currency: str
    count: int
    sum: int
    sha256: str
    value_date: str
    programmes: dict[str, int] | None
    """Minor units of the lines above zero, by benefit; None where it has too many to name."""
    debtors: dict[str, int] | None
    """The same by debtor account."""
    file: str
    warnings: list[str]


class DossierFacts(TypedDict):
    """A table as its dossier declares it, when its file was found to be that one."""

    source: str
    batch_id: str
    value_date: str
    currency: str
    count: int
    sum: int
    digest: str
    """sha256: and 64 hexadecimal digits."""
    programmes: dict[str, int]
    """Minor units by benefit."""
    debtors: dict[str, int]
    """The same by debtor account."""


# --- a cycle --------------------------------------------------------------------------------------


class CycleSide(TypedDict):
    """One entry of a settlement: who pays (debit) or receives (credit), and how much."""

    participant: str
    account: str
    side: str
    amount: int


class CycleAnswer(TypedDict):
    """The end of a cycle, or why it has not come."""

    cycle: str
    state: str
    at: str
    currency: str
    participants: list[CycleSide]
    rule: str
    """Rule that was applied to missing funds: wait, share, recast or abort; '' where none were."""
    short: dict[str, int]
    shares: dict[str, int]
    turned_payer: list[str]
    vanished: NotRequired[dict[str, int]]
    recalled: NotRequired[dict[str, Total]]
    fees: NotRequired[Total]
    """Payments of fees that left the cycle, where there are any."""
    why: NotRequired[str]


class FiledSide(TypedDict):
    """One entry of a settlement in a file."""

    participant: str
    account: str
    side: str
    amount: str


class CycleFile(TypedDict):
    """answer.json: the same with money as text, as other programs lose the last digits."""

    cycle: str
    state: str
    at: str
    currency: str
    participants: list[FiledSide]
    rule: str
    short: dict[str, str]
    shares: dict[str, str]
    turned_payer: list[str]
    vanished: NotRequired[dict[str, str]]
    recalled: NotRequired[dict[str, FiledTotal]]
    fees: NotRequired[FiledTotal]
    why: NotRequired[str]


# --- answers of receivers and banks, and the end of a day -----------------------------------------


class TakenIn(TypedDict):
    """The outcome of taking answers in; number is 0 where nothing was new."""

    number: int
    at: str
    as_of: str
    new: dict[str, int]
    read: dict[str, int]
    moved: dict[str, Total]
    cycle: str
    states: dict[str, int]
    breaks: dict[str, int]
    events: dict[str, int]
    warnings: NotRequired[list[str]]


class DaySigned(TakenIn):
    """The outcome of a day that was closed; closed and later are numbers of batches."""

    closed: list[int]
    later: NotRequired[list[int]]
    totals: dict[str, int]
    slips: NotRequired[list[int]]
    critical: NotRequired[int]
    """Critical breaks that are open and were not accepted, when the answer was given."""


class Recalled(TypedDict):
    """Lines that were recalled: stopped ones left their cycle, receivers are asked for others."""

    number: int
    at: str
    reason: str
    by: str
    why: str
    stopped: Total
    asked: Total
    lines: list[LineName]
    receivers: dict[str, Total]
    warnings: NotRequired[list[str]]


class Disposed(TypedDict):
    """Returned lines that were written back or freed for a re-issue; number is 0 where none was."""

    number: int
    step: str
    count: int
    sum: int
    warnings: NotRequired[list[str]]


class NoteTaken(TypedDict):
    """A note about breaks, as it was recorded; '' and None for what it says nothing of."""

    at: str
    breaks: list[str]
    by: str
    note: str
    owner: str
    accepted: bool | None
    new: bool
    """False where the same was said of these breaks before, at that time: nothing is recorded."""


class LineName(TypedDict):
    """A line by the id of its batch and its number there."""

    batch_id: str
    line_no: int


# --- a line and a person --------------------------------------------------------------------------


class LineState(TypedDict):
    """One state of a line, and the committed file that says so."""

    at: str
    state: str
    status: str
    reason: str | None
    text: str
    transfer_id: str | None
    participant: str | None
    cycle: str | None
    file: str


LineBreak = TypedDict(
    "LineBreak",
    {
        "class": str,
        "set": str,
        "side": str,
        "expected": int | None,
        "found": int | None,
        "age": str,
        "severity": str,
        "owner": str,
        "action": str,
        "rule": str,
    },
)
"""A break that is open about a line."""


class LineHistory(LineName):
    """All that is known of a line, oldest state first."""

    benefit: str | None
    """None where the programme table had none such."""
    period: str
    amount: int
    states: list[LineState]
    breaks: list[LineBreak]
    explained: list[str]
    """Sentences on every record about the line; empty where all is plain."""
    reissue_of: LineName | None


class PersonHistory(TypedDict):
    """All lines of one person, who is named by a keyed hash of the id."""

    person: str
    lines: list[LineHistory]


# --- a rehearsal ----------------------------------------------------------------------------------


class Refusal(TypedDict):
    """A refusal as its exception has it (`errors.InputRefused`)."""

    rule: str
    what: str
    file: str | None
    row: int | None
    column: str | None
    remedy: str


class RehearsedTable(TypedDict, total=False):
    """A table that was rehearsed; one that would be refused has table and error alone."""

    table: Required[str]
    error: Refusal
    batch_id: str
    cycle: str
    replayed: bool
    warnings: list[str]
    received: Total
    cleared: Total
    held: Total
    refused: Total
    reasons: list[ReasonTotal]
    represented: LineTotals | None
    seconds: float


class ParticipantNeed(TypedDict):
    """Net position of a participant in a cycle, and the most that it owes on the way there."""

    participant: str
    net: int
    needs: int
    cap: int | None
    """Its net debit cap; None for no limit."""
    holds: int | None
    """Money on its account, where that binds."""
    lacks: int
    """Money or cap with which what waits for it would go."""


class RehearsedCycle(TypedDict):
    """A cycle as it would settle."""

    cycle: str
    state: str
    short: dict[str, int]
    participants: list[ParticipantNeed]


class PayerTotal(Total):
    """Lines of one payer that would wait."""

    participant: str


class WaitingTotal(Total):
    """Lines that would wait for cover."""

    payers: list[PayerTotal]


class Injection(TypedDict):
    """Money by participant with which all that waits would go, and the least that any comes to."""

    given: dict[str, int]
    sum: int
    at_least: int


class CurvePoint(TypedDict):
    """Net positions that one table adds, or those that stand in its cycle already."""

    batch_id: str
    """'' of what stands there already."""
    cycle: str
    nets: dict[str, int]


class HowRehearsed(TypedDict, total=False):
    """Options of a rehearsal, as `Engine.run` has them; out is in no home."""

    at: datetime.date | str | None
    """Time of the runs."""
    threads: int
    """Number that work."""
    strict_columns: bool
    """Unknown columns are refused."""
    leap: bool
    """The time is meant, far after all that is known as it may be."""
    correct: str | None
    """A reason for which the time lies before what was signed or recorded."""
    out: str | Path | None
    """Folder for the answers that runs would give."""


class Rehearsal(TypedDict):
    """All that would happen if tables were run now."""

    tables: list[RehearsedTable]
    cycles: list[RehearsedCycle]
    waiting: WaitingTotal
    injection: Injection
    curve: list[CurvePoint]
    names: dict[str, str]
    """Short names of participants by code."""
    seconds: float


# --- accounts of several persons ------------------------------------------------------------------


class SharedAccount(TypedDict):
    """An account of more than one person in a batch; the account is masked."""

    participant: str
    creditor_account: str
    persons: int
    lines: int
    sum: int
    names: int
    same_name: int
    held_persons: int
    held_lines: int
    held_sum: int


class SharedTotals(TypedDict):
    """Totals over all shared accounts of a batch, and the first of them."""

    accounts: int
    lines: int
    sum: int
    same_name: int
    held_persons: int
    held_lines: int
    held_sum: int
    shown: list[SharedAccount]


class SharedSheet(SharedTotals):
    """The same, with the batch and the file that has the whole list."""

    batch_id: str
    file: str
