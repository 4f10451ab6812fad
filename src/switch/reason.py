"""The one table of reasons: why a line is not cleared, in order of precedence.

Source of codes and texts: ISO 20022 external code sets (status reason), as listed in
data/reason_codes.csv. `reason.pxd` holds the same numbers for the native core; a test compares.
Number 0 means alive: no phase has refused the line. Numbers stand in files at rest and never
change; the precedence is the order of RULES.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum
from typing import NamedTuple


class Reason(IntEnum):
    """Reason why a line is not cleared. Of several reasons that hold, the first of RULES is
    given."""

    NONE = 0
    AMOUNT_NOT_POSITIVE = 1
    AMOUNT_OVER_CLEARING_LIMIT = 2
    BENEFIT_UNKNOWN = 3
    DEBTOR_ACCOUNT_UNKNOWN = 4
    PERSON_ID_MALFORMED = 5
    NAME_UNUSABLE = 6
    PERSON_UNKNOWN = 7
    PERSON_DECEASED = 8
    PERSON_RECORD_INVALID = 9
    NAME_DIFFERS = 10
    ACCOUNT_MISSING = 11
    PARTICIPANT_UNKNOWN = 12
    PARTICIPANT_SUSPENDED = 13
    AMOUNT_OVER_PARTICIPANT_LIMIT = 14
    PAID_BEFORE = 15
    DUPLICATE_IN_TABLE = 16
    COVER_MISSING = 17
    ACCOUNT_MALFORMED = 18
    ACCOUNT_SHARED = 19
    EXCLUDED = 20
    IDENTITY_PENDING = 21
    IDENTITY_DUPLICATE = 22
    ACCOUNT_OVER_MONTH = 23


class Rule(NamedTuple):
    """Meaning of a reason at the doors."""

    code: str
    """ISO 20022 external status reason code, four characters."""
    status: str
    """ISO status of the line: RJCT refused for good, PDNG held and tried again."""
    sentence: str
    """For people: why, without any personal data."""


RULES: dict[Reason, Rule] = {
    Reason.AMOUNT_NOT_POSITIVE: Rule("AM12", "RJCT", "the amount is zero or negative"),
    Reason.AMOUNT_OVER_CLEARING_LIMIT: Rule(
        "AM13", "RJCT", "the amount is above the limit of the clearing"
    ),
    Reason.BENEFIT_UNKNOWN: Rule("FF07", "RJCT", "the benefit is not in the programme table"),
    Reason.DEBTOR_ACCOUNT_UNKNOWN: Rule(
        "AC02", "RJCT", "the debtor account is not in the directory"
    ),
    Reason.PERSON_ID_MALFORMED: Rule("BE17", "RJCT", "the person's id is not 12 digits"),
    Reason.NAME_UNUSABLE: Rule(
        "BE22", "RJCT", "the name is empty, longer than 140 characters or holds control characters"
    ),
    Reason.PERSON_UNKNOWN: Rule("BE06", "RJCT", "the person is not in the population register"),
    Reason.PERSON_DECEASED: Rule("MD07", "RJCT", "the person is deceased on the value date"),
    Reason.PERSON_RECORD_INVALID: Rule(
        "RR04", "RJCT", "the person's record is missing or revoked on the value date"
    ),
    Reason.IDENTITY_PENDING: Rule(
        "G003", "PDNG", "the population database has not answered for the person yet"
    ),
    Reason.IDENTITY_DUPLICATE: Rule(
        "BE17", "RJCT", "the person's identity is not one alone in the population database"
    ),
    Reason.NAME_DIFFERS: Rule("BE01", "RJCT", "the name differs from the population register"),
    Reason.ACCOUNT_MISSING: Rule("AC03", "PDNG", "no account is valid on the value date"),
    Reason.ACCOUNT_MALFORMED: Rule(
        "AC01", "RJCT", "the account that the table names is no account number"
    ),
    Reason.PARTICIPANT_UNKNOWN: Rule(
        "CNOR", "RJCT", "the account's participant is not in the directory"
    ),
    Reason.PARTICIPANT_SUSPENDED: Rule("AB08", "PDNG", "the account's participant is suspended"),
    Reason.AMOUNT_OVER_PARTICIPANT_LIMIT: Rule(
        "AM02", "RJCT", "the amount is above the participant's limit"
    ),
    Reason.ACCOUNT_OVER_MONTH: Rule(
        "AM21", "PDNG", "the account would be sent more in the month than its participant's limit"
    ),
    Reason.ACCOUNT_SHARED: Rule(
        "NOCM", "PDNG", "the account receives for as many other persons as it may in a batch"
    ),
    Reason.PAID_BEFORE: Rule("AM05", "RJCT", "the entitlement was cleared or paid before"),
    Reason.DUPLICATE_IN_TABLE: Rule(
        "AM05", "RJCT", "the entitlement stands earlier in the same table"
    ),
    Reason.EXCLUDED: Rule(
        "AM05", "RJCT", "another benefit of its exclusive group was cleared or paid for the period"
    ),
    Reason.COVER_MISSING: Rule("AM23", "PDNG", "the payer's cap or funds leave no room for it yet"),
}

GIVEN_UP = Rule("ED05", "PDNG", "the settlement of its cycle was given up")
"""Sentence of a line whose cycle was aborted after it had cleared: no phase of a run gives it, so
that it has no number."""
CANCELLED = Rule("DS02", "RJCT", "it was cancelled while it waited")
"""Sentence of a line that somebody cancelled while it waited; no phase of a run gives it either."""
EXPIRED = Rule("AB01", "CANC", "it waited beyond its deadline")
"""Sentence of a line that was taken out of the queue after its deadline; no phase gives it."""
ARREARS = "arrears of a deceased person: the line is for a month before that of the death"
"""Words about a line that clears though its person is deceased on the value date."""
REPLACED_ID = "another id stands in place of the line's: it is judged as that one's person"
"""Words about a line for an id of before, whatever becomes of it."""
AUTHORITY_ENDED, REPRESENTATIVE_UNSURE = 30, 31
"""Numbers, beyond those of reasons, of why an account of a representative does not count: the last
day of the authority is over or the representative deceased; or nobody knows that they live. No line
has them as its reason."""
OF_REPRESENTATIVES = {
    AUTHORITY_ENDED: "the authority of its representative has ended",
    REPRESENTATIVE_UNSURE: "the population register does not have its representative as alive",
}
PASSED_OVER = "the next account of the person counts; passed over"
"""Beginning of what is said of a line that goes to a later account of its person."""
RULE_SET = "contract 2027-05"
"""Rules by which lines are judged. The manifest of a batch names the oldest rules by which all of
its lines are answered, sent and kept so: these where a line that waits, or that its cycle may send
back, keeps a household, or where lines that had waited were sent as one credit."""
WAITS_ALONE = "contract 2027-04"
"""The rules before those: what had waited went by itself. Named where an account was at its limit
of the month."""
NO_MONTHS = "contract 2027-03"
"""The rules before those: no limit was of a month. Named where lines of a household
were sent as one credit."""
EACH_BY_ITSELF = "contract 2027-02"
"""The rules before those: each line that cleared was a credit of its own. Named where some line was
for arrears of a deceased person."""
DEATH_STOPS_ALL = "contract 2027-01"
"""The rules before those: a person who was deceased on the value date was paid nothing. Named where
a line went to a later account."""
FIRST_ACCOUNT = "contract 2026-12"
"""The rules before those: the first valid account of a person was the only one."""
RULE_SET_BEFORE = "contract 2026-11"
"""The rules before those: an id also needed a province code of the package, and any text that a
table named was an account."""
RULE_SETS = (
    RULE_SET,
    WAITS_ALONE,
    NO_MONTHS,
    EACH_BY_ITSELF,
    DEATH_STOPS_ALL,
    FIRST_ACCOUNT,
    RULE_SET_BEFORE,
)
"""All of them, the newest first."""
KEEP_HOUSEHOLDS = (RULE_SET,)
"""Rules by which lines that wait keep their household, and may be sent as one credit."""
LIMIT_MONTHS = (*KEEP_HOUSEHOLDS, WAITS_ALONE)
"""Rules by which a limit may be of a month."""
JOIN_CREDITS = (*LIMIT_MONTHS, NO_MONTHS)
"""Rules by which lines of a household may be sent as one credit."""
PAY_ARREARS = (*JOIN_CREDITS, EACH_BY_ITSELF)
"""Rules by which arrears of a deceased person are paid."""
SAY_MORE = (*PAY_ARREARS, DEATH_STOPS_ALL)
"""Rules by which words may stand beside a line that clears, and later accounts are paid."""
SENTENCES_BEFORE = {
    Reason.PERSON_ID_MALFORMED: "the person's id is not 12 digits with a known province code"
}
"""Sentences of that rule set that are others now."""
REASONS_COUNT = len(Reason)
CLEARED = "ACSP"
"""ISO status of a line that is cleared in a cycle that has not settled."""
OF_ACCOUNTS = (
    Reason.NONE,
    Reason.ACCOUNT_MISSING,
    Reason.PARTICIPANT_UNKNOWN,
    Reason.PARTICIPANT_SUSPENDED,
    Reason.AMOUNT_OVER_PARTICIPANT_LIMIT,
    Reason.ACCOUNT_OVER_MONTH,
)
"""Answers by the accounts of a person, beside which words may stand of those passed over."""
HELD = tuple(reason for reason, rule in RULES.items() if rule.status == "PDNG")
REFUSED = tuple(reason for reason, rule in RULES.items() if rule.status == "RJCT")


def sentence_of(reason: int, excluded_by: str | None = None) -> str:
    """A reason in words; empty where a line is alive. excluded_by: the benefit that was paid in
    place of a line with reason EXCLUDED."""
    if reason == Reason.NONE:
        return ""
    sentence = RULES[Reason(reason)].sentence
    return sentence if excluded_by is None else f"{sentence}: {excluded_by}"


def with_replaced(words: str) -> str:
    """Words about a line for an id that another stands in place of. words: what else is said of it,
    '' where nothing is."""
    return f"{words}; {REPLACED_ID}" if words else REPLACED_ID


def passed_over(accounts: Iterable[tuple[str, int]], reason: int = Reason.NONE) -> str:
    """Words about a line, of whose person accounts were passed over. accounts: participant of each
    of them, and the number of why; those at one fare alike and are named once. reason: of the
    line, where it goes to no later account; what was passed over then are representatives'."""
    known = {**{int(n): rule.sentence for n, rule in RULES.items()}, **OF_REPRESENTATIVES}
    named = ", ".join(f"{who} ({known[why]})" for who, why in dict.fromkeys(accounts))
    if reason == Reason.NONE:
        return f"{PASSED_OVER}: {named}"
    return f"{sentence_of(reason)}; passed over: {named}"


def status_of(reason: int) -> str:
    """ISO status of a line of a settled cycle: ACSC, or the status of its reason."""
    return "ACSC" if reason == Reason.NONE else RULES[Reason(reason)].status
