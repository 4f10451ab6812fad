"""Judge: whether an act may be added to a dossier. Every refusal has a word of its own.

Rules are those of the version with which the dossier was prepared; keys are those of the last one,
so that a lost key signs nothing from the moment at which the policy leaves it out, and a new key of
the same person does. Pure: IN an act and what it is about, OUT nothing, or InputRefused.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NoReturn

from switch.arguments import WHY_MAX
from switch.control.acts import (
    CANCEL,
    HOLD,
    PAUSE,
    REFUSE,
    RESUME,
    STOPS,
    Act,
    PolicySigned,
    Table,
    policy_message,
)
from switch.control.dossiers import HELD, RELEASED, Dossier
from switch.control.keys import ALGORITHM, PUBLIC_FORM, is_signed
from switch.control.policy import STEPS, Person, Policy, Step
from switch.errors import InputRefused, UsageError, counted
from switch.files.columns import day_of_text
from switch.home.days import LEAP_DAYS
from switch.home.times import day_of, is_before, latest, time_text
from switch.schema import BATCH_ID_RULE, CURRENCY, LINES_MAX, PARTS_MAX, is_in_years

ROLE_OF = {HOLD: "hold", PAUSE: "hold", RESUME: "hold", CANCEL: "cancel"}
"""Role that stops a dossier or lets it go on; who may sign the due step may refuse it."""


STOPPED = {
    HELD: "DOSSIER_HELD",
    "REFUSED": "DOSSIER_REFUSED",
    "CANCELLED": "DOSSIER_CANCELLED",
}
"""Rules by which a step is refused, by the state of its dossier."""


@dataclass(frozen=True)
class Stand:
    """Everything that is known when an act comes. rules: versions of the policy, oldest first.
    dossier: the one that the act names; None where it begins one. after: digest that the act has to
    name. now: the time of the home, or of its last policy or act. ran: its table was run. used:
    signatures of all acts before."""

    rules: Sequence[Policy]
    dossier: Dossier | None
    after: str
    now: str
    ran: bool
    used: frozenset[str]


def require_allowed(act: Act, stand: Stand) -> None:
    """An act may be added. Raises InputRefused, with a rule for each reason."""
    _require_words(act)
    _require_table(act.table)
    policy = _policy_of(act, stand)
    person = _require_signer(act, policy, stand.rules[-1])
    if act.signature in stand.used:
        _refuse("CERTIFICATE_USED", "the signature stands in an act before", "sign this one anew")
    if not is_signed(act.key, act.message(), act.signature):
        what = f"the signature is not of {act.by} for what it stands under"
        _refuse("SIGNATURE_INVALID", what, "sign what stands there, with the key that is named")
    _require_dossier(act, stand)
    if act.step in STOPS:
        _require_stop(act, policy, person, stand)
    else:
        _require_step(act, policy, person, stand)
    if act.after != stand.after:
        what = "it was signed behind another act than the last one of its dossier"
        _refuse("STEP_ORDER", what, "sign it anew behind the last act")


def require_next(
    policy: Policy, before: Policy, at: str, home: str, version: int, signed: list[PolicySigned]
) -> None:
    """A policy may follow another one. signed: by whom. Raises InputRefused."""
    day = day_of(at)
    message = policy_message(home, version, at, policy)
    names = [one.by for one in signed]
    for one in signed:
        person = _known(one.by, before)
        if "policy" not in person.roles:
            _role_missing(one.by, "policy")
        _require_key(person, one.key, before, day)
        if not is_signed(one.key, message, one.signature):
            what = f"the signature is not of {one.by} for this version of the policy"
            _refuse("SIGNATURE_INVALID", what, "sign the version that is to follow")
        if names.count(one.by) > 1:
            _refuse("SIGNER_TWICE", f"{one.by} signs twice", "let each person sign once")
    if len(signed) < before.changed_by:
        needed = counted(before.changed_by, "person")
        what = f"a change of the policy takes {needed} with the role 'policy', and {len(signed)}"
        _refuse("POLICY_UNSIGNED", f"{what} signed it", "let as many sign it: --sign NAME=KEY")


def _policy_of(act: Act, stand: Stand) -> Policy:
    """Rules that the act is under."""
    version = len(stand.rules) if stand.dossier is None else stand.dossier.version
    if act.policy != version:
        what = f"it was signed under version {act.policy} of the policy, its dossier is under"
        _refuse("POLICY_OTHER", f"{what} {version}", f"sign it anew, under version {version}")
    return stand.rules[version - 1]


def _require_words(act: Act) -> None:
    try:
        time_text(act.at)
    except UsageError as error:
        _refuse("TIME_INVALID", str(error), "write it as 2026-11-25T08:30:00")
    if not act.at:
        _refuse("TIME_INVALID", "it has no time", "write it as 2026-11-25T08:30:00")
    if act.algorithm != ALGORITHM:
        _refuse("ALGORITHM_OTHER", f"the signature is no {ALGORITHM} one", f"sign with {ALGORITHM}")
    if act.step not in (*STEPS, *STOPS):
        what = f"{act.step[:64]!r} is no step"
        _refuse("STEP_UNKNOWN", what, f"it is one of {', '.join((*STEPS, *STOPS))}")
    if not act.why.isprintable() or act.why != act.why.strip() or len(act.why) > WHY_MAX:
        _refuse(
            "WHY_INVALID",
            f"the reason is not up to {WHY_MAX} printable characters",
            "say it shorter",
        )
    if act.step in STOPS and not act.why:
        _refuse("WHY_MISSING", f"{act.step} needs a reason", "say why: --why WORDS")


def _require_table(table: Table) -> None:
    """The table of an act is one that may be run: a hand-made act says whatever it likes."""
    names = (table.source, table.batch_id)
    day = day_of_text(table.value_date)
    parts = (table.programmes, table.debtors)
    faults = {
        "source or batch id": not all(re.fullmatch(BATCH_ID_RULE, name) for name in names),
        "value date": day is None or not is_in_years(day),
        "currency": table.currency != CURRENCY,
        "count": not 1 <= table.count <= LINES_MAX,
        "sum": not 0 <= table.sum < 2**63,
        "digest": not re.fullmatch("sha256:[0-9a-f]{64}", table.digest),
        "sums by programme and debtor account": any(
            not table.sum <= sum(part.values()) == table.most < 2**63
            or min(part.values(), default=0) < 0
            for part in parts
        ),
        "names": any(len(part) > PARTS_MAX for part in parts)
        or not all(name.isprintable() for part in parts for name in part),
    }
    wrong = [name for name, is_wrong in faults.items() if is_wrong]
    if wrong:
        what = f"the table cannot be one that is run: {', '.join(wrong)}"
        _refuse("TABLE_INVALID", what, "prepare a table with the dossier that `dossier` writes")


def _known(name: str, policy: Policy) -> Person:
    person = policy.person(name)
    if person is None:
        what = f"{name[:64]!r} is nobody of the policy"
        _refuse("SIGNER_UNKNOWN", what, "let one of its people sign; `switch policy HOME` has them")
    return person


def _require_signer(act: Act, policy: Policy, now: Policy) -> Person:
    """The person who signs: known when the dossier began, and by a key that is theirs now."""
    person = _known(act.by, policy)
    _known(act.by, now)
    if act.behalf:
        _known(act.behalf, now)
    _require_key(person, act.key, now, day_of(act.at))
    return person


def _require_key(person: Person, public: str, now: Policy, day: datetime.date) -> None:
    holder = now.person(person.name)
    key = holder.key(public) if holder and PUBLIC_FORM.fullmatch(public) else None
    if key is None:
        owner = next((p.name for p in now.people if p.key(public)), "")
        what = f"the key is not one of {person.name}" + (f" but of {owner}" if owner else "")
        _refuse("KEY_UNKNOWN", what, f"sign with a key that the policy has for {person.name}")
    if not key.is_valid(day):
        days = f"{key.first or 'the beginning'} to {key.last or 'the end'}"
        what = f"the key of {person.name} is valid from {days}, and not on {day}"
        _refuse("KEY_EXPIRED", what, "sign with a key that is valid then")


def _require_dossier(act: Act, stand: Stand) -> None:
    """It is about the table of its dossier, which was not run yet."""
    dossier = stand.dossier
    if dossier is None:
        if act.step != "prepare":
            what = f"batch {act.table.batch_id!r} of {act.table.source!r} was not prepared"
            _refuse("STEP_ORDER", what, "prepare it first: `switch prepare HOME TABLE`")
    elif act.table != dossier.table:
        what = "it was signed for another table than that of its dossier"
        _refuse("TABLE_OTHER", what, "sign for the table that was prepared")
    if stand.ran:
        what = f"batch {act.table.batch_id!r} of {act.table.source!r} was run already"
        _refuse("CERTIFICATE_USED", what, "prepare a new table under a new batch id")
    last = dossier.acts[-1].at if dossier and dossier.acts else act.at
    if is_before(act.at, last):
        what = f"its time {act.at} lies before {last}, that of the act before"
        _refuse("TIME_ORDER", what, "sign it at a time that is not before that")
    known = latest([stand.now, act.table.value_date])
    if (day_of(act.at) - day_of(known)).days > LEAP_DAYS:
        what = f"its time {act.at} lies more than {LEAP_DAYS} days after {known}"
        _refuse("TIME_ORDER", what, "sign it at the time that it is")


def _require_step(act: Act, policy: Policy, person: Person, stand: Stand) -> None:
    dossier = stand.dossier
    step = policy.steps[0] if dossier is None else dossier.due
    if dossier and dossier.state in STOPPED:
        last = dossier.acts[-1]
        what = f"the dossier is {dossier.state} since {last.at}, by {last.by}: {last.why}"
        _refuse(STOPPED[dossier.state], what, "let go on what is held, or prepare it anew")
    if step is None or act.step != step.step:
        due = f"{step.step} is" if step else "nothing is"
        _refuse("STEP_ORDER", f"{act.step} is not due: {due}", "sign the steps in their order")
    _require_role(act, policy, person)
    if dossier is not None:
        _require_once(act, dossier)
        _require_apart(act, dossier, step)
        _require_in_time(act, dossier, step)
    if act.step == "authenticate" and act.answered != act.table.count:
        what = f"{act.answered or 0:,} of {act.table.count:,} lines were answered"
        _refuse("AUTHENTICATION_INCOMPLETE", what, "sign it when every line was answered")


def _require_role(act: Act, policy: Policy, person: Person) -> None:
    if not act.behalf:
        if act.step not in person.roles:
            _role_missing(person.name, act.step)
        return
    giver = policy.person(act.behalf)
    day = day_of(act.at)
    given = policy.delegation(act.behalf, act.by, act.step, day)
    if giver is None or act.step not in giver.roles or not given:
        what = f"{act.behalf[:64]!r} did not give {act.step} to {person.name} for {day}"
        _refuse("DELEGATION_INVALID", what, "let who has the role sign, or change the policy")


def _require_once(act: Act, dossier: Dossier) -> None:
    """Nobody signs a dossier twice, for themselves or for another, nor for who has signed."""
    maker = {dossier.acts[0].by, dossier.acts[0].behalf} - {""}
    if maker & {act.by, act.behalf} and act.step != "prepare":
        whose = f"{act.by} prepared this table" if act.by in maker else f"{act.behalf} prepared it"
        what = f"{whose}: nobody takes a further step on their own batch"
        _refuse("SIGNER_OWN_BATCH", what, "let another person sign")
    for before in dossier.acts:
        if before.key == act.key and before.by != act.by:
            what = f"its key signed {before.step} of this dossier as {before.by}"
            _refuse("SIGNER_TWICE", what, "let another person sign, with a key of their own")
        if before.step in STEPS and {before.by, before.behalf} & ({act.by, act.behalf} - {""}):
            who = act.by if act.by in (before.by, before.behalf) else act.behalf
            what = f"{who} signed {before.step} of this dossier at {before.at}"
            _refuse("SIGNER_TWICE", what, "let another person sign")


def _require_apart(act: Act, dossier: Dossier, step: Step) -> None:
    if not step.apart:
        return
    mine = _houses(act, dossier.policy)
    taken = [house for a in dossier.signed(step.step) for house in _houses(a, dossier.policy)]
    if twice := sorted(mine & set(taken)):
        what = f"one of {twice[0] or 'no organisation'} signed {step.step} already"
        _refuse("SIGNER_NOT_APART", what, "let a person of another organisation sign")


def _houses(act: Act, policy: Policy) -> set[str]:
    """Organisations of whoever signs, and of whoever delegated it to them."""
    people = [policy.person(name) for name in (act.by, act.behalf)]
    return {person.organisation for person in people if person}


def _require_in_time(act: Act, dossier: Dossier, step: Step) -> None:
    before = [a for a in dossier.acts if a.step in STEPS and a.step != step.step]
    if step.days is None or not before or dossier.signed(step.step):
        return
    late = (day_of(act.at) - day_of(before[-1].at)).days - step.days
    if late > 0:
        what = f"{step.step} had to be signed within {counted(step.days, 'day')} of"
        what += f" {before[-1].step}, and is {counted(late, 'day')} late"
        _refuse("DEADLINE_PASSED", what, "cancel the dossier, and prepare the table anew")


def _require_stop(act: Act, policy: Policy, person: Person, stand: Stand) -> None:
    """It may be stopped, or let go on."""
    dossier = stand.dossier
    assert dossier is not None, "a dossier begins with prepare"
    due = dossier.due
    role = due.step if act.step == REFUSE and due else ROLE_OF.get(act.step, "certify")
    if role not in person.roles or act.behalf:
        _role_missing(person.name, role)
    state = dossier.state
    fits = {
        HOLD: state not in (HELD, RELEASED),
        PAUSE: state == RELEASED,
        RESUME: state == HELD,
        CANCEL: True,
        REFUSE: due is not None,
    }
    if dossier.is_final or not fits[act.step]:
        what = f"a dossier that is {state} cannot be given {act.step}"
        _refuse("STEP_ORDER", what, "`switch dossiers HOME` shows where each stands")


def _role_missing(name: str, role: str) -> NoReturn:
    what = f"{name} has not the role {role!r}"
    _refuse("ROLE_MISSING", what, "let one sign who has it; `switch policy HOME` has them")


def _refuse(rule: str, what: str, remedy: str) -> NoReturn:
    raise InputRefused(rule, what, remedy=remedy)
