"""Take: an act, or a policy, into the home, in a commit of its own; or refuse it, which is noted.

Who signs need not be who writes the home: `statement` gives the act that is to be signed, wherever
the key is, and `take` takes the signed one.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from typing import Required, TypedDict

import msgspec

from switch.control.acts import (
    ACT,
    POLICY,
    STOPS,
    Act,
    PolicyKept,
    PolicySigned,
    Table,
    acts,
    mark_of,
    policies,
    policy_message,
)
from switch.control.dossiers import FUNDED, RESERVING, Dossier, current, folded
from switch.control.judge import Stand, require_allowed, require_next
from switch.control.keys import Signer
from switch.control.policy import STEPS, Policy
from switch.errors import InputRefused, UsageError
from switch.home import days
from switch.home.store import Home
from switch.home.times import latest, time_text
from switch.registry.directory import Directory
from switch.settlement import budgets
from switch.settlement.standing import Standing

REFUSED_ACT = "refused act"
"""Kind of the events that say which act was refused, and by which rule."""


class Asked(TypedDict, total=False):
    """Words of a statement (`Control.statement`)."""

    by: Required[str]
    """The person who will sign."""
    public: Required[str]
    """The public key of whoever signs: 64 hexadecimal digits."""
    at: datetime.date | str | None
    """The time that is signed; default: the value date, or the time of the home or of the act
    before, where that is later."""
    why: str
    """The reason, which stops need."""
    behalf: str
    """The person who delegated the step to whoever signs."""
    answered: int | None
    """Lines that the population database answered: of `authenticate`."""


class ActTaken(TypedDict):
    """An act that was taken, and where it brought its dossier."""

    dossier: int
    source: str
    batch_id: str
    step: str
    by: str
    at: str
    state: str
    """State of the dossier now."""
    next: str
    """The step that is due; '' where it is released or was stopped."""
    missing: int
    """Signatures that the due step takes yet."""


class PolicySet(TypedDict):
    """A version of the policy, and where it stands."""

    version: int
    at: str
    signed_by: list[str]


class Book:
    """Everything that was said in a home about its dossiers, as of now."""

    def __init__(self, home: Home) -> None:
        self.home = home
        self.acts = acts(home)
        self.rules = [kept.policy for kept in policies(home)]
        self.dossiers = folded(self.acts, self.rules)

    def require_policy(self) -> None:
        """Raise UsageError where the home has no policy."""
        if not self.rules:
            raise UsageError(
                f"{self.home.path} has no policy: `switch policy HOME FILE` sets one, and nothing"
                " needs to be signed without"
            )

    def dossier(self, source: str, batch_id: str) -> Dossier | None:
        """The dossier of a batch; None where none was prepared."""
        return current(self.dossiers, source, batch_id)

    def ran(self, dossier: Dossier) -> bool:
        """Its table was run."""
        table = dossier.table
        return self.home.catalog.batch_of(table.source, table.batch_id) is not None

    def under_way(self, steps: Sequence[str], without: int) -> list[Dossier]:
        """Dossiers that have passed one of these steps and were not run yet. without: the number of
        one that does not count."""
        known = [d for d in self.dossiers if d.number != without and d.has_passed(steps)]
        return [d for d in known if not self.ran(d)]

    def now(self) -> str:
        """The time of the home, or of the last policy or act, where that is later."""
        stamps = self.home.catalog.audit.stamps(ACT, POLICY)
        return latest([days.times(self.home).now, *(stamp.at for stamp in stamps)])

    def after(self, dossier: Dossier | None) -> str:
        """Digest that the next act of a dossier has to name."""
        return dossier.acts[-1].digest() if dossier else mark_of(self.home)


def named(book: Book, batch_id: str) -> Dossier:
    """The dossier of a batch. batch_id: SOURCE:ID where several sources use the id. Raises
    UsageError for none."""
    source, _, name = batch_id.rpartition(":")
    found = [
        d for d in book.dossiers if d.table.batch_id == name and source in ("", d.table.source)
    ]
    if not found:
        raise UsageError(f"no dossier of batch {batch_id!r}: `switch dossiers HOME` lists them")
    if len({d.table.source for d in found}) > 1:
        sources = ", ".join(sorted({d.table.source for d in found}))
        raise UsageError(f"batch {batch_id!r} is of {sources}: name it SOURCE:{name}")
    return found[-1]


def statement(book: Book, about: Dossier | Table, step: str, asked: Asked) -> Act:
    """The act that is to be signed, without its signature. about: the dossier, or the table of a
    new one."""
    book.require_policy()
    dossier = None if isinstance(about, Table) else about
    table = about if isinstance(about, Table) else about.table
    last = dossier.acts[-1].at if dossier else ""
    known = [days.times(book.home).now, last, table.value_date]
    return Act(
        dossier=len(book.dossiers) + 1 if dossier is None else dossier.number,
        step=step,
        by=asked["by"],
        key=asked["public"],
        at=time_text(asked.get("at")) or latest(known),
        policy=len(book.rules) if dossier is None else dossier.version,
        after=book.after(dossier),
        table=table,
        behalf=asked.get("behalf", ""),
        why=asked.get("why", ""),
        answered=asked.get("answered"),
    )


def take(book: Book, directory: Directory, act: Act) -> ActTaken:
    """Take a signed act. Raises InputRefused where it may not be: it is noted then, beside the
    history, and nothing else happens."""
    book.require_policy()
    home = book.home
    try:
        dossier = _require(book, directory, act)
    except InputRefused as error:
        refused = {
            "rule": error.rule,
            "dossier": act.dossier,
            "step": act.step if act.step in (*STEPS, *STOPS) else "",
            "by": home.id_hash(act.by),
            "digest": act.digest(),
        }
        home.note(REFUSED_ACT, refused)
        raise
    home.commit(at=act.at, kind=ACT, detail=act, changes=[])
    found = folded([*(dossier.acts if dossier else ()), act], book.rules)[0]
    return told(found)


def told(dossier: Dossier) -> ActTaken:
    """The last act of a dossier, and what is due."""
    act, due = dossier.acts[-1], dossier.due
    stopped = bool(dossier.stop)
    return {
        "dossier": dossier.number,
        "source": dossier.table.source,
        "batch_id": dossier.table.batch_id,
        "step": act.step,
        "by": act.by,
        "at": act.at,
        "state": dossier.state,
        "next": due.step if due and not stopped else "",
        "missing": 0 if stopped else dossier.missing(),
    }


def _require(book: Book, directory: Directory, act: Act) -> Dossier | None:
    """The dossier of an act that may be taken; None where it begins one."""
    table = act.table
    before = book.dossier(table.source, table.batch_id)
    numbered = next((d for d in book.dossiers if d.number == act.dossier), None)
    ran = book.home.catalog.batch_of(table.source, table.batch_id) is not None
    if act.step == "prepare" and numbered is None:
        if before is not None and not before.is_final and not ran:
            what = f"batch {table.batch_id!r} of {table.source!r} is prepared already"
            remedy = "go on with it; or cancel it, and prepare it anew"
            raise InputRefused("DOSSIER_THERE", what, remedy=remedy)
        if act.dossier != len(book.dossiers) + 1:
            what = f"it is signed for dossier {act.dossier}, and the next is"
            remedy = "sign it anew"
            raise InputRefused("STEP_ORDER", f"{what} {len(book.dossiers) + 1}", remedy=remedy)
    stand = Stand(
        rules=book.rules,
        dossier=numbered,
        after=book.after(numbered),
        now=book.now(),
        ran=ran,
        used=frozenset(known.signature for known in book.acts),
    )
    require_allowed(act, stand)
    days.require_forward(days.times(book.home), act.at, None)
    if act.step == "control":
        _require_budgets(book, directory, act)
    if act.step == "fund":
        _require_funds(book, directory, act)
    return numbered


def _require_budgets(book: Book, directory: Directory, act: Act) -> None:
    """The table is within the budgets of its programmes and debtor accounts, with all that were
    reserved, and those of dossiers under way."""
    others = book.under_way(RESERVING, act.dossier)
    ways: dict[str, int] = {}
    for dossier in others:
        for name, amount in dossier.table.programmes.items():
            ways[name] = ways.get(name, 0) + amount
    beyond = []
    for row in budgets.told(book.home, directory):
        name, left = row["programme"], row["available"]
        needed = act.table.programmes.get(name, 0)
        if left is not None and needed and needed + ways.get(name, 0) > left:
            beyond.append(_beyond(f"programme {name}", needed, left - ways.get(name, 0)))
    spent: dict[str, int] = {}
    for dossier in [
        d for d in book.dossiers if d.number != act.dossier and d.has_passed(RESERVING)
    ]:
        for name, amount in dossier.table.debtors.items():
            spent[name] = spent.get(name, 0) + amount
    for debtor in directory.debtors:
        needed, name = act.table.debtors.get(debtor.debtor_account, 0), debtor.debtor_account
        if debtor.budget is not None and needed and needed + spent.get(name, 0) > debtor.budget:
            left = debtor.budget - spent.get(name, 0)
            beyond.append(_beyond(f"debtor account {name}", needed, left))
    if beyond:
        what = f"the table is over budget: {'; '.join(beyond)}, with what is under way"
        remedy = "raise the budget with `switch directory --debtors`, or send fewer lines"
        raise InputRefused("BUDGET_EXCEEDED", what, remedy=remedy)


def _beyond(whose: str, needed: int, left: int) -> str:
    return f"{whose} needs {needed:,} and has {left:,} left"


def _require_funds(book: Book, directory: Directory, act: Act) -> None:
    """Settlement accounts that are bound hold what the table takes, beside what unsettled cycles
    and funded tables take. A net debit cap is no matter of money: lines beyond it wait."""
    standing = Standing(book.home, directory)
    settles = {p.participant: p.settled_by for p in directory.participants}
    payers = {d.debtor_account: settles[d.debtor_agent] for d in directory.debtors}
    needs: dict[str, int] = {}
    under_way = [d.table for d in book.under_way(FUNDED, act.dossier)]
    for table in (act.table, *under_way):
        for account, amount in table.debtors.items():
            payer = payers.get(account, "")
            needs[payer] = needs.get(payer, 0) + amount
    short = []
    funds = standing.funds("")
    for payer, needed in sorted(needs.items()):
        if payer in funds and needed > funds[payer]:
            short.append(_beyond(payer, needed, max(funds[payer], 0)))
    if short:
        what = f"money is missing: {'; '.join(short)}, with what is under way"
        remedy = "bring money to the account (`switch directory --balances`), then fund it"
        raise InputRefused("FUNDS_MISSING", what, remedy=remedy)


def set_policy(home: Home, policy: Policy, signers: Mapping[str, Signer], at: str) -> PolicySet:
    """Set the policy, or its next version. signers: keys by the name of who signs it. Raises
    InputRefused where too few sign, and notes that; the same policy again is answered as it was."""
    kept = policies(home)
    if kept and kept[-1].policy == policy:
        return _set(kept[-1], home.catalog.audit.records(POLICY)[-1].at)
    version = len(kept) + 1
    book = Book(home)
    time = at or book.now()
    if time:
        days.require_forward(days.times(home), time, None)
    if kept and not time:
        raise UsageError("say when the policy changes: --at TIME")
    message = policy_message(mark_of(home), version, time, policy)
    signed = [
        PolicySigned(name, signer.public, signer.sign(message).hex())
        for name, signer in sorted(signers.items())
    ]
    if kept:
        try:
            require_next(policy, kept[-1].policy, time, mark_of(home), version, signed)
        except InputRefused as error:
            home.note(REFUSED_ACT, {"rule": error.rule, "policy": version})
            raise
    elif signed:
        raise UsageError("the first policy is set by whoever owns the home: nobody signs it")
    said = PolicyKept(version=version, policy=policy, signatures=signed)
    home.commit(at=time, kind=POLICY, detail=msgspec.to_builtins(said), changes=[])
    return _set(said, time)


def _set(kept: PolicyKept, at: str) -> PolicySet:
    names = [one.by for one in kept.signatures]
    return {"version": kept.version, "at": at, "signed_by": names}
