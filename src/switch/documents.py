"""Documents: what each command prints with --json, by its form, and the JSON Schema of it.

A schema is made of the types that the engine is checked with, so that none says what another does
not. Types of what calls of the library return stand in `results`.
"""

from __future__ import annotations

import inspect
from typing import Any, NotRequired, Required, TypedDict

from switch import outlook, results
from switch.arguments import checked
from switch.control.acts import STOPS
from switch.control.desk import PolicyShown
from switch.control.policy import STEPS
from switch.control.portal import Delivered
from switch.control.take import ActTaken, PolicySet
from switch.errors import UsageError
from switch.fees import DOCUMENTS as FEES
from switch.open_items.totals import TotalsShown
from switch.outcomes import Reported
from switch.reconcile import cash
from switch.registry.claims import AccountClaimed, CitizenBound, CitizenShown
from switch.registry.directory import Debtor, Participant, Programme
from switch.registry.identities import IdentityAsked, IdentityTaken
from switch.registry.load_registers import RegisterCompacted
from switch.registry.settings import Settings
from switch.results import Total
from switch.settlement import cancel, expire
from switch.settlement.participants import ParticipantChanged
from switch.watching import DOCUMENTS as WATCHED

JSON_SCHEMA = "https://json-schema.org/draft/2020-12/schema"


# --- when a command fails -------------------------------------------------------------------------


class Told(TypedDict):
    """A failure: a word for programs (rule), what is wrong, and where, as far as that is known."""

    rule: str
    what: str
    exit_code: int
    file: NotRequired[str | None]
    row: NotRequired[int | None]
    column: NotRequired[str | None]
    remedy: NotRequired[str]


class Failure(TypedDict):
    """The document of a command that failed; batches: those that it had committed."""

    error: Told
    batches: NotRequired[list[results.Summary]]


# --- a home and its tables ------------------------------------------------------------------------


class HomeMade(TypedDict):
    """A home that was made: rows of its directory, and whether its commits are signed."""

    home: str
    participants: int
    debtors: int
    programmes: int
    signed: bool
    warnings: list[str]


class DirectoryShown(TypedDict):
    """The directory and the settings of a home, after the change, if there was one."""

    participants: list[Participant]
    debtors: list[Debtor]
    programmes: list[Programme]
    settings: Settings
    warnings: list[str]


class RegistersLoaded(TypedDict, total=False):
    """Rows that were read, by register."""

    population: int
    accounts: int
    paid: int
    replaced_ids: int
    warnings: Required[list[str]]


class Kinds(TypedDict):
    """Tables at the doors, by their kind."""

    kinds: dict[str, str]


class ColumnShown(TypedDict):
    """A column of a table; reads: the types that are read."""

    column: str
    type: str
    optional: bool
    reads: str


class Template(TypedDict):
    """A table at a door: its columns, its schema in words of Arrow, and the JSON Schema of rows."""

    kind: str
    columns: list[ColumnShown]
    arrow: str
    json_schema: dict[str, Any]
    file: NotRequired[str]


class Forms(TypedDict):
    """Commands that print a document, each with the options by which it is another one ('': none
    of them)."""

    answers: dict[str, list[str]]


class AnswerShown(TypedDict):
    """The JSON Schema of the document of a command."""

    answer: str
    json_schema: dict[str, Any]


# --- a payday -------------------------------------------------------------------------------------


class Ran(TypedDict):
    """Batches that were run, or answered again, in order."""

    batches: list[results.Summary]
    warnings: list[str]


class Settled(TypedDict):
    """Cycles that were to settle, and those whose cut-off has not come."""

    cycles: list[results.CycleAnswer]
    waiting: list[outlook.OpenCycle]
    warnings: list[str]


# --- control --------------------------------------------------------------------------------------


class KeyShown(TypedDict):
    """A public key, and the file of its private one."""

    file: str
    public: str


class PolicyDrafted(TypedDict):
    """The file of a policy to begin with."""

    policy: str


class StatementWritten(TypedDict):
    """The file of a statement that was written or signed."""

    file: str
    dossier: int
    step: str
    by: str


class Taken(TypedDict):
    """Deliveries, and what became of each."""

    deliveries: list[Delivered]


class Delivery(TypedDict):
    """A delivery that landed in an inbox."""

    party: str
    number: int
    kind: str
    count: int
    sum: int


# --- what is open ---------------------------------------------------------------------------------


class Listed(TypedDict):
    """Totals of all that a listing could show; file: where its rows were written."""

    as_of: str
    count: int
    sum: int
    file: NotRequired[str]


BreakRow = TypedDict(
    "BreakRow",
    {
        "break": str,
        "class": str,
        "severity": str,
        "owner": str,
        "accepted": bool,
        "participant": str | None,
        "batch_id": str | None,
        "line_no": int | None,
        "expected": int | None,
        "found": int | None,
        "value": int,
        "day": str,
        "age": str,
        "days": int,
        "set": str,
        "side": str,
        "transfer_id": str | None,
        "record_id": str | None,
        "account": str | None,
        "counterpart": str | None,
        "rule": str,
        "action": str,
        "note": str | None,
        "noted_by": str | None,
        "noted_at": str | None,
    },
)
"""A break that is open."""


class Breaks(Listed):
    """Breaks that are open."""

    classes: dict[str, Total]
    severities: dict[str, Total]
    breaks: list[BreakRow]


class DossierRow(TypedDict):
    """A dossier: where it stands, who signed, who may sign what is due."""

    dossier: int
    source: str
    batch_id: str
    state: str
    value_date: str
    count: int
    sum: int
    digest: str
    policy: int
    due: str
    missing: int
    may_sign: str
    signed: str
    last_at: str
    last_by: str
    why: str


class Dossiers(Listed):
    """Dossiers in the order of preparation."""

    states: dict[str, Total]
    dossiers: list[DossierRow]


class CycleRow(TypedDict):
    """A cycle: its times, what stands in it now, and what it waits for."""

    cycle: str
    state: str
    rule: str
    opened_at: str
    closes: str | None
    ended_at: str | None
    batches: int
    lines: int
    sum: int
    went_back_lines: int
    went_back_sum: int
    returned_lines: int
    returned_sum: int
    fees: int
    fees_sum: int
    waits: str
    batch_ids: str


class Cycles(Listed):
    """Cycles in the order of their opening."""

    states: dict[str, Total]
    cycles: list[CycleRow]


class BalanceRow(TypedDict):
    """A settlement account, and what moved it last."""

    participant: str
    short_name: str
    account: str
    balance: int
    bound: bool
    reserved: int
    moved: int | None
    moved_at: str | None
    moved_by: str | None


class Balances(Listed):
    """Settlement accounts, by participant."""

    balances: list[BalanceRow]


class OpenLine(TypedDict):
    """A line that is open."""

    batch_id: str
    line_no: int
    benefit: str
    period: str
    amount: int
    reason: str
    participant: str | None
    since: str
    days: int


class HeldRow(OpenLine):
    """A line that waits: how many runs have tried it, and why it waits."""

    deadline: str | None
    """The last day on which it may wait; null where it may for ever."""
    tried: int
    why: str


class Held(Listed):
    """Lines that wait."""

    reasons: dict[str, Total]
    held: list[HeldRow]


class ReturnedRow(OpenLine):
    """A line that came back: it WAITS for a disposition, or is COMING with a cycle."""

    state: str
    transfer_id: str
    booked_at: str


class Returned(Listed):
    """Lines that came back and have no disposition."""

    states: dict[str, Total]
    returned: list[ReturnedRow]


class RecallRow(OpenLine):
    """A line that was recalled: OPEN, ACCEPTED or REFUSED."""

    state: str
    transfer_id: str
    action: str
    """STOP: it left its cycle; RETURN: its receiver is asked."""
    by: str
    why: str


class RecallsListed(Listed):
    """Lines that were recalled, and how each recall stands."""

    states: dict[str, Total]
    recalls: list[RecallRow]


class ToDispose(TypedDict):
    """Lines of which a disposition would be taken."""

    count: int
    sum: int
    lines: list[ReturnedRow]


# --- proof and play -------------------------------------------------------------------------------


class CheckMade(TypedDict):
    """A check that holds, and of what."""

    name: str
    subject: str
    holds: bool


class Verified(TypedDict):
    """Checks of a home, all of which hold."""

    checks: list[CheckMade]


class Damage(TypedDict):
    """A damaged or missing file of a home or its copy (side)."""

    side: str
    path: str
    fault: str
    repaired: bool


class Scrubbed(TypedDict):
    """Findings of a comparison with a copy, and how much of the home is still damaged."""

    findings: list[Damage]
    remaining: int


class Replayed(TypedDict):
    """Digests of a batch that was derived again, all as committed."""

    batch: str
    digests: dict[str, str]


class Looked(TypedDict):
    """One thing that was looked at: ok, warn or fail, and what to do."""

    area: str
    subject: str
    state: str
    text: str
    remedy: str


class Examined(TypedDict):
    """All that was looked at; state: the worst."""

    state: str
    findings: list[Looked]


class Completion(TypedDict):
    """Words that a shell reads."""

    shell: str
    source: str


class CompletionInstalled(TypedDict):
    """The file that a shell reads."""

    shell: str
    file: str


class Exchanged(TypedDict):
    """Answers that receivers wrote: how many, and where."""

    batch_id: str
    folder: str
    seed: int
    lines: int
    confirmations: int
    returns: int
    resolutions: int
    """Answers to recalls."""
    fates: dict[str, int]


class Generated(TypedDict):
    """An invented nation and its payday."""

    folder: str
    people: int
    count: int
    sum: int


class Demonstrated(TypedDict):
    """The payday of the demo."""

    batch: results.Summary
    checks: int
    picture: str


class Figure(TypedDict):
    """A pace, and a digest that runs of the same lines share."""

    lines_per_second: int
    digest: str


class Pace(TypedDict):
    """The pace of a machine."""

    lines: int
    threads: int
    repeat: int
    core: Figure
    files_to_files: Figure


SIGNED = (*STEPS, *STOPS, "act")
"""Commands that take an act into a home."""
ANSWERS: dict[str, dict[str, object]] = {
    "init": {"": HomeMade},
    "directory": {"": DirectoryShown},
    "participant": {"": ParticipantChanged},
    "register": {"": RegistersLoaded},
    "compact": {"": RegisterCompacted},
    "dossier": {"": results.Dossier},
    "schema": {"": Kinds, "KIND": Template, "--answers": Forms, "--answer": AnswerShown},
    "draft": {"": PolicyDrafted},
    "key": {"": KeyShown},
    "policy": {"": PolicyShown, "FILE": PolicySet},
    **{name: {"": ActTaken} for name in SIGNED},
    **{name: {"": StatementWritten} for name in ("statement", "sign")},
    "dossiers": {"": Dossiers},
    "portal": {"": Taken},
    "deliver": {"": Delivery},
    "identify": {"": IdentityAsked},
    "identified": {"": IdentityTaken},
    **FEES,
    **WATCHED,
    "citizen": {"bind": CitizenBound, "account": AccountClaimed, "show": CitizenShown},
    "run": {"": Ran},
    "rehearse": {"": results.Rehearsal},
    "settle": {"": Settled},
    "status": {
        "": outlook.HomeStatus,
        "--batch": results.BatchStatus,
        "--line": results.LineHistory,
        "--person": results.PersonHistory,
    },
    "report": {"": Reported},
    "breaks": {"": Breaks, "--note": results.NoteTaken},
    "cycles": {"": Cycles},
    "balances": {"": Balances},
    "held": {"": Held},
    "returned": {"": Returned},
    "cancel-line": {"": cancel.LinesCancelled},
    "expire": {"": expire.LinesExpired},
    "cash": {"": cash.CashLists},
    "recall": {"": results.Recalled},
    "recalls": {"": RecallsListed},
    "totals": {"": TotalsShown},
    "reconcile": {"": results.TakenIn},
    "dispose": {"": results.Disposed, "--dry": ToDispose},
    "close": {"": results.DaySigned},
    "shared": {"": results.SharedSheet},
    "verify": {"": Verified},
    "scrub": {"": Scrubbed},
    "replay": {"": Replayed},
    "doctor": {"": Examined},
    "completion": {"": Completion, "--install": CompletionInstalled},
    "exchange": {"": Exchanged},
    "generate": {"": Generated},
    "demo": {"": Demonstrated},
    "bench": {"": Pace},
}
"""The type of each command's document, by the option that makes it another one."""


@checked
def answer_schema(command: str) -> dict[str, object]:
    """The JSON Schema (2020-12) of the document that a command prints with --json: one of its
    forms, or error where it fails. Objects have the keys that are named, and no others. Raises
    UsageError for what is no command with a document."""
    import msgspec

    if command not in ANSWERS:
        known = ", ".join(ANSWERS)
        raise UsageError(f"{command!r} is no command that prints a document; there are {known}")
    forms = ANSWERS[command]
    refs, parts = msgspec.json.schema_components([*forms.values(), Failure])
    told = [f"switch {command} {form}".strip() for form in forms]
    return {
        "$schema": JSON_SCHEMA,
        "title": f"switch {command} --json",
        "anyOf": [
            {**ref, "description": text}
            for ref, text in zip(refs, [*told, "where it fails"], strict=True)
        ],
        "$defs": {name: _closed(part) for name, part in sorted(parts.items())},
    }


def _closed(part: dict[str, object]) -> dict[str, object]:
    """An object without other keys than those that its type names."""
    if "description" in part:
        part["description"] = inspect.cleandoc(str(part["description"])).replace("\n", " ")
    return {"additionalProperties": False, **part} if "properties" in part else part
