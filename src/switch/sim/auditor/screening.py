"""Screening judged: the screening table of the contract, as plain Python over plain dicts.

Obvious rather than fast, and of the engine it imports `schema`, `reason` and `errors` alone: it is
the slow twin with which tests compare the native screen, the generator's truth and every simulated
payday. Rows are dicts with the columns of the contract as keys.
"""

from __future__ import annotations

import datetime as dt
import re
import unicodedata
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, NamedTuple, Protocol

from switch.reason import (
    ARREARS,
    AUTHORITY_ENDED,
    OF_REPRESENTATIVES,
    PASSED_OVER,
    REPRESENTATIVE_UNSURE,
    RULES,
    Reason,
)

Row = Mapping[str, Any]
Entitlement = tuple[str, str, int]
"""(person, benefit, period): what is paid only once for ever."""

NAME_LENGTH_MAX = 140
CONTROL_CATEGORIES = {"Cc", "Cf", "Zl", "Zp"}
ZERO_WIDTH = "\u200b\u200c\u200d\u2060\ufeff"
"""Marks that nobody sees and that change no name."""
ACCOUNT = re.compile(r"[A-Za-z0-9/\-?:().,'+]{1,34}")
NUMBER = re.compile(r"[0-9]+([.,][0-9]+|[.,][0-9]*[Ee][+-]?[0-9]+|[Ee][+-][0-9]+)")
"""A long account after a spreadsheet: with a fraction or an exponent."""


class Answer(NamedTuple):
    """The answer of one line."""

    status: str
    code: str | None
    """ISO external reason code; None for a line that clears."""
    reason: Reason
    participant: str | None
    """Holder of the account that counts, named by the line or the register; None without one."""
    account: str | None
    passed: str | None = None
    """Words about a line: that it is arrears of a deceased person, if it clears, and which accounts
    were passed over, as far as they are told; None where it is neither."""


class Sent(Protocol):
    """Sums that accounts were sent in a month (`months`)."""

    def is_full(self, participant: str, account: str, amount: int) -> bool:
        """Tell whether an account would be beyond its limit with an amount."""
        ...

    def take(self, participant: str, account: str, amount: int) -> None:
        """Count what an account is sent."""
        ...


class Registers(NamedTuple):
    """All that screening looks at, on one value date."""

    people: Mapping[str, Row]
    accounts: Mapping[str, list[Row]]
    """By person."""
    participants: Mapping[str, Row]
    debtors: Collection[str]
    benefits: Collection[str]
    value_date: dt.date
    clearing_limit: int
    months: Sent | None = None
    """Sums of the month of the value date; None where nobody counts."""
    now: Callable[[str], str] = str
    """The id that somebody has now."""


def name_key(text: str) -> str:
    """Two names are the same when their keys are equal; deliberately blind to accents."""
    decomposed = unicodedata.normalize("NFD", text)
    bare = "".join(c for c in decomposed if unicodedata.combining(c) == 0)
    bare = bare.upper()
    for letter in "ĐÐƉ":
        bare = bare.replace(letter, "D")
    for apostrophe in "‘’ʼ`":
        bare = bare.replace(apostrophe, "'")
    for mark in ZERO_WIDTH:
        bare = bare.replace(mark, "")
    return " ".join(bare.split())


def name_unusable(text: str) -> bool:
    """Empty, also after trimming; longer than 140 characters; or with control characters."""
    return (
        not name_key(text)
        or len(text) > NAME_LENGTH_MAX
        or any(unicodedata.category(c) in CONTROL_CATEGORIES for c in text if c not in ZERO_WIDTH)
    )


def citizen_id(value: int | str) -> str:
    """Ids as text: integers are shown zero-padded to 12 digits."""
    return f"{value:012d}" if isinstance(value, int) else value


def id_well_formed(text: str) -> bool:
    """12 ASCII digits; nothing else is tested."""
    return len(text) == 12 and all(c in "0123456789" for c in text)


def is_account(text: str) -> bool:
    """1 to 34 of the characters of an account, and no number of a spreadsheet."""
    return bool(ACCOUNT.fullmatch(text)) and not NUMBER.fullmatch(text)


def period_number(value: int | str) -> int:
    """yyyymm of either way to write a period."""
    return int(value.replace("-", "")) if isinstance(value, str) else value


def entitlement(row: Row) -> Entitlement:
    """The entitlement that a line pays."""
    return citizen_id(row["person_id"]), row["benefit"], period_number(row["period"])


def holds_on(since: dt.date | None, value_date: dt.date) -> bool:
    """Tell whether a status holds on the value date; without a date it always does."""
    return since is None or since <= value_date


def is_arrears(line: Row, person: Row) -> bool:
    """Tell whether a line about a person who died is for a month before that of the death; nobody
    knows it where no day of the death is said."""
    died = person["status_since"]
    return died is not None and period_number(line["period"]) < died.year * 100 + died.month


def account_valid(account: Row, value_date: dt.date) -> bool:
    """Both dates are inclusive; an open end has no limit."""
    begins, ends = account["valid_from"], account["valid_to"]
    return (begins is None or begins <= value_date) and (ends is None or value_date <= ends)


def accounts_in_order(accounts: Iterable[Row], value_date: dt.date) -> list[Row]:
    """Accounts that are valid, in the order in which they count."""
    return [account for account in in_order(accounts) if account_valid(account, value_date)]


def in_order(accounts: Iterable[Row]) -> list[Row]:
    """Accounts by priority, valid_from (no date is the earliest), participant, account."""

    def rank(account: Row) -> tuple[int, dt.date, bytes, bytes]:
        return (
            account["priority"],
            account["valid_from"] or dt.date.min,
            account["participant"].encode(),
            account["account"].encode(),
        )

    return sorted(accounts, key=rank)


def code_on(code: str, registers: Registers) -> str:
    """The code that stands for a participant's on the value date."""
    row = registers.participants.get(code) or {}
    since = row.get("replaced_from")
    return str(row["replaced_by"]) if since and since <= registers.value_date else code


def receiver_reason(participant: str, account: str, amount: int, registers: Registers) -> Reason:
    """Rows 12 to 14a: why nothing, or no such amount, can be paid to an account."""
    institution = registers.participants.get(participant)
    if institution is None:
        return Reason.PARTICIPANT_UNKNOWN
    if institution["status"] == "suspended":
        return Reason.PARTICIPANT_SUSPENDED
    limit = limit_of(institution)
    if limit is not None and amount > limit:
        return Reason.AMOUNT_OVER_PARTICIPANT_LIMIT
    if registers.months is not None and registers.months.is_full(participant, account, amount):
        return Reason.ACCOUNT_OVER_MONTH
    return Reason.NONE


def limit_of(participant: Row) -> int | None:
    """The participant's limit for one line; None for no limit. CSV gives text, empty for none."""
    limit = participant["amount_max"]
    return None if limit in ("", None) else int(limit)


def authority_fault(account: Row, registers: Registers) -> str | None:
    """Words why an account that is a representative's does not count for want of authority: its
    last day is over, or they or the person are deceased; or nobody knows that they live. None for
    any other account, and before its first day."""
    who, day = account.get("representative"), registers.value_date
    begins, ends = account["valid_from"], account["valid_to"]
    if who is None or (begins is not None and begins > day):
        return None
    if ends < day or is_deceased(citizen_id(account["person_id"]), registers.people, day):
        return OF_REPRESENTATIVES[AUTHORITY_ENDED]
    return life_fault(registers.now(citizen_id(who)), registers.people, day)


def life_fault(who: str, people: Mapping[str, Row], day: dt.date) -> str | None:
    """Words why somebody may receive for nobody on a day: they are deceased, or nobody knows that
    they live. None where they do."""
    person = people.get(who)
    if person is None:
        return OF_REPRESENTATIVES[REPRESENTATIVE_UNSURE]
    if person["status"] == "alive" or not holds_on(person["status_since"], day):
        return None
    ended = is_deceased(who, people, day)
    return OF_REPRESENTATIVES[AUTHORITY_ENDED if ended else REPRESENTATIVE_UNSURE]


def is_deceased(who: str, people: Mapping[str, Row], day: dt.date) -> bool:
    """Tell whether the population register has somebody as deceased on a day."""
    person = people.get(who)
    if person is None:
        return False
    return person["status"] == "deceased" and holds_on(person["status_since"], day)


def destination(line: Row, registers: Registers) -> tuple[str | None, str | None, str | None]:
    """(participant, account, what is said of accounts that were passed over): as the line names
    them, else the person's first valid account that can be paid; where none can, the first. An
    account of a representative without authority is passed over as if it were not valid."""
    if line.get("creditor_agent") is not None:
        return code_on(line["creditor_agent"], registers), line["creditor_account"], None
    first: Row | None = None
    before: list[str] = []
    passed: list[str] = []
    for account in in_order(registers.accounts.get(citizen_id(line["person_id"]), [])):
        code = code_on(account["participant"], registers)
        fault = authority_fault(account, registers)
        if fault is None and not account_valid(account, registers.value_date):
            continue
        if fault is None:
            reason = receiver_reason(code, account["account"], line["amount"], registers)
            if reason is Reason.NONE:
                said = f"{PASSED_OVER}: {', '.join(passed)}" if passed else None
                return code, account["account"], said
            if first is None:
                first, before = account, list(passed)
            fault = RULES[reason].sentence
        words = f"{account['participant']} ({fault})"
        if words not in passed:
            passed.append(words)
    if first is None:
        return None, None, f"passed over: {', '.join(passed)}" if passed else None
    said = f"passed over: {', '.join(before)}" if before else None
    return code_on(first["participant"], registers), first["account"], said


def first_reason(
    line: Row, registers: Registers, participant: str | None, number: str | None
) -> Reason:
    """Rows 1 to 14a of the table, in its order; NONE for a line that passes them. participant,
    number: of the account."""
    person_id = citizen_id(line["person_id"])
    if line["amount"] <= 0:
        return Reason.AMOUNT_NOT_POSITIVE
    if line["amount"] > registers.clearing_limit:
        return Reason.AMOUNT_OVER_CLEARING_LIMIT
    if line["benefit"] not in registers.benefits:
        return Reason.BENEFIT_UNKNOWN
    if line["debtor_account"] not in registers.debtors:
        return Reason.DEBTOR_ACCOUNT_UNKNOWN
    if not id_well_formed(person_id):
        return Reason.PERSON_ID_MALFORMED
    if name_unusable(line["person_name"]):
        return Reason.NAME_UNUSABLE
    person = registers.people.get(person_id)
    if person is None or person["status"] == "unknown":
        return Reason.PERSON_UNKNOWN
    if holds_on(person["status_since"], registers.value_date):
        if person["status"] == "deceased" and not is_arrears(line, person):
            return Reason.PERSON_DECEASED
        if person["status"] in ("missing", "revoked"):
            return Reason.PERSON_RECORD_INVALID
        if person["status"] == "late":
            return Reason.IDENTITY_PENDING
        if person["status"] == "duplicate":
            return Reason.IDENTITY_DUPLICATE
    if name_key(line["person_name"]) != name_key(person["name"]):
        return Reason.NAME_DIFFERS
    if participant is None or number is None:
        return Reason.ACCOUNT_MISSING
    if line.get("creditor_agent") is not None and not is_account(line["creditor_account"]):
        return Reason.ACCOUNT_MALFORMED
    return receiver_reason(participant, number, line["amount"], registers)


def answers(
    lines: Iterable[Row], registers: Registers, paid_before: Collection[Entitlement]
) -> list[Answer]:
    """Answers of all lines in table order, row 15 too: an entitlement that was cleared or paid
    before is PAID_BEFORE, else one that an earlier of these lines took is DUPLICATE_IN_TABLE."""
    taken: set[Entitlement] = set()
    found = []
    for line in lines:
        participant, account, passed = destination(line, registers)
        reason = first_reason(line, registers, participant, account)
        if reason is Reason.NONE:
            key = entitlement(line)
            if key in paid_before:
                reason = Reason.PAID_BEFORE
            elif key in taken:
                reason = Reason.DUPLICATE_IN_TABLE
            taken.add(key)
        found.append(
            answer_of(reason, participant, account, words(line, registers, passed, reason))
        )
    return found


def screened(line: Row, registers: Registers) -> Answer:
    """The answer by rows 1 to 14a alone. What a line would be sent counts from then on."""
    participant, account, passed = destination(line, registers)
    reason = first_reason(line, registers, participant, account)
    if reason is Reason.NONE and registers.months is not None:
        assert participant is not None
        assert account is not None
        registers.months.take(participant, account, line["amount"])
    said = words(line, registers, passed, reason)
    return answer_of(reason, participant, account, said)


def words(line: Row, registers: Registers, passed: str | None, reason: Reason) -> str | None:
    """Words about a line of this reason. passed: those about accounts that were passed over."""
    person = registers.people.get(citizen_id(line["person_id"]))
    if reason is not Reason.NONE or person is None or person["status"] != "deceased":
        return passed
    if not holds_on(person["status_since"], registers.value_date):
        return passed
    return ARREARS if passed is None else f"{ARREARS}; {passed}"


def admitted(found: list[Answer], lines: list[Row], most: int) -> list[Answer]:
    """Answers by row 14b: an account receives for the first persons whose lines passed rows 1 to
    14, and lines of others wait."""
    persons: dict[tuple[str | None, str | None], list[str]] = {}
    judged = []
    for answer, line in zip(found, lines, strict=True):
        who = citizen_id(line["person_id"])
        known = persons.setdefault((answer.participant, answer.account), [])
        if answer.reason is Reason.NONE and who not in known:
            if len(known) < most:
                known.append(who)
            else:
                answer = answer_of(Reason.ACCOUNT_SHARED, answer.participant, answer.account)
        judged.append(answer)
    return judged


def answer_of(
    reason: Reason, participant: str | None, account: str | None, passed: str | None = None
) -> Answer:
    """The answer of a line by its reason."""
    if reason is Reason.NONE:
        return Answer("ACSC", None, reason, participant, account, passed)
    rule = RULES[reason]
    return Answer(rule.status, rule.code, reason, participant, account, passed)


def by_person(accounts: Iterable[Row]) -> dict[str, list[Row]]:
    """Accounts as `Registers` has them."""
    found: dict[str, list[Row]] = {}
    for account in accounts:
        found.setdefault(citizen_id(account["person_id"]), []).append(account)
    return found
