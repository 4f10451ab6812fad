"""Control judged: whether an act may be added to a dossier, and a table run on the word of others.

Of the engine it imports `schema`, `reason` and `errors` alone. Written from docs/control.md and the
rules of docs/operations.md: each refusal is the set of all rules that are broken, of which one has
to be named. Whether a signature is good is told, not computed.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

from switch.sim.auditor.books import Books
from switch.sim.auditor.cycles import Cycles
from switch.sim.auditor.days import Days
from switch.sim.auditor.expected import Table
from switch.sim.auditor.payments import Payments
from switch.sim.auditor.policy import STEPS, Policy, Step
from switch.sim.auditor.way_back import OPEN, WayBack

STATES = {
    "prepare": "DRAFT",
    "approve": "SUBMITTED",
    "authenticate": "SUBMITTED",
    "control": "CONTROLLED",
    "certify": "CERTIFIED",
    "fund": "FUNDED",
    "release": "RELEASED",
}
STOPS = {"hold": "HELD", "pause": "HELD", "refuse": "REFUSED", "cancel": "CANCELLED", "resume": ""}
ENDED = ("REFUSED", "CANCELLED")
RESERVES = {"control", "certify", "fund", "release"}
"""Steps from which on a dossier takes of budgets."""
FUNDS = {"fund", "release"}
"""Steps from which on it takes of what accounts hold."""
ACT_DAYS = 92
"""Days so far behind what was signed, said or is due an act may be."""
HOME = (0, 0)
"""Place behind which a first act is signed."""
OF_CYCLE = {"OPEN": "CLEARING", "CLOSED": "CLEARING", "SETTLED": "SETTLED", "ABORTED": "HELD"}


class Sheet(NamedTuple):
    """A table as its maker declares it."""

    source: str
    batch_id: str
    day: dt.date
    lines: int
    total: int
    content: str
    programmes: tuple[tuple[str, int], ...]
    debtors: tuple[tuple[str, int], ...]

    @property
    def name(self) -> tuple[str, str]:
        return self.source, self.batch_id

    @property
    def most(self) -> int:
        """Sum of the lines above zero."""
        return sum(part for _, part in self.programmes)


class Act(NamedTuple):
    """Something that somebody signs about a table."""

    dossier: int
    step: str
    by: str
    key: str
    day: dt.date
    version: int
    """Version of the policy that it names."""
    behind: tuple[int, int]
    """(dossier, number of its act) behind which it was signed."""
    sheet: Sheet
    behalf: str = ""
    why: str = ""
    answered: int | None = None
    is_genuine: bool = True
    """The signature is of this key, and of what stands here."""
    is_pinned: bool = True
    """It names the one algorithm that there is."""


class Vote(NamedTuple):
    """The word of somebody for a version of the policy."""

    by: str
    key: str
    is_genuine: bool = True


class Dossier(NamedTuple):
    """A table on its way."""

    sheet: Sheet
    version: int
    policy: Policy
    acts: tuple[Act, ...] = ()

    @property
    def stopped(self) -> str:
        """State into which it was stopped; '' where it goes on."""
        state = ""
        for act in self.acts:
            state = STOPS.get(act.step, state)
        return state

    @property
    def state(self) -> str:
        """State until the table is run."""
        done = [step.name for step in self.policy.steps if self.lacks(step) < 1]
        return self.stopped or STATES[done[-1] if done else "prepare"]

    @property
    def due(self) -> Step | None:
        """The step that comes next."""
        return next((step for step in self.policy.steps if self.lacks(step) > 0), None)

    def lacks(self, step: Step) -> int:
        """Signatures that a step still takes."""
        return step.takes(self.sheet.most) - len(self.signed(step.name))

    def signed(self, step: str) -> list[Act]:
        """Acts of a step."""
        return [act for act in self.acts if act.step == step]

    def has_passed(self, steps: set[str]) -> bool:
        """Tell whether one of these steps is done, and the dossier not ended."""
        return self.stopped not in ENDED and any(
            self.lacks(step) < 1 for step in self.policy.steps if step.name in steps
        )


def sheet_of(table: Table) -> Sheet:
    """A table as its dossier declares it."""
    parts = [Counter[str](), Counter[str]()]
    for row in table.rows:
        if row["amount"] > 0:
            parts[0][row["benefit"]] += row["amount"]
            parts[1][row["debtor_account"]] += row["amount"]
    sums = [tuple(sorted(part.items())) for part in parts]
    declared = table.declared_count, table.declared_sum
    return Sheet(table.source, table.batch_id, table.value_date, *declared, table.content, *sums)


def unproven(table: Table) -> frozenset[str]:
    """Rules by which a file is no table to begin a dossier with."""
    told = {"DOSSIER_MISSING", "NAME_UNSAFE", "CURRENCY", "FILE_HASH"}
    faults = table.faults() & told
    if table.declared_count < 1:
        faults.add("CONTROL_COUNT")
    return frozenset(faults | unequal_parts(table))


def unequal_parts(table: Table) -> set[str]:
    """The rule for a table whose lines above zero add up to less than its declared sum."""
    found = sum(max(row["amount"], 0) for row in table.rows)
    return set() if table.declared_sum <= found else {"CONTROL_PARTS"}


class Control:
    """Versions of the policy and dossiers of one home."""

    def __init__(
        self, books: Books, cycles: Cycles, days: Days, payments: Payments, way_back: WayBack
    ) -> None:
        self.books, self.cycles, self.days = books, cycles, days
        self.payments, self.way_back = payments, way_back
        self.versions: list[Policy] = []
        self.dossiers: list[Dossier] = []
        self.used: set[Act] = set()
        self.said = dt.date.min
        """The latest day that was said, as the life tells it."""
        self.last: dt.date | None = None
        """The last day of a policy or an act."""

    # --- the policy -----------------------------------------------------------------------------

    def set_policy(self, policy: Policy, day: dt.date, votes: Iterable[Vote]) -> frozenset[str]:
        """Take the next version. Returns the rules by which it must be refused."""
        votes, faults = list(votes), set[str]()
        if not policy.can_be_kept():
            faults.add("POLICY_INVALID")
        if day < self.days.signed:
            faults.add("DAYS_RUN_BACK")
        if not self.versions:
            faults |= {"USAGE"} if votes else set()
        else:
            before = self.versions[-1]
            faults |= {"POLICY_UNSIGNED"} if len(votes) < before.changed_by else set()
            for vote in votes:
                faults |= self._unknown(vote.by, before)
                faults |= set() if "policy" in before.roles_of(vote.by) else {"ROLE_MISSING"}
                faults |= before.faults_of_key(vote.by, vote.key, day)
                faults |= set() if vote.is_genuine else {"SIGNATURE_INVALID"}
        if not faults:
            self.versions.append(policy)
            self.last = max(day, self.last or day)
        return frozenset(faults)

    def _unknown(self, name: str, policy: Policy) -> set[str]:
        return set() if policy.person(name) else {"SIGNER_UNKNOWN"}

    # --- acts -----------------------------------------------------------------------------------

    def current(self, name: tuple[str, str]) -> int:
        """Number of the last dossier of a batch; 0 where there is none."""
        found = [n for n, dossier in enumerate(self.dossiers, 1) if dossier.sheet.name == name]
        return found[-1] if found else 0

    def has_run(self, name: tuple[str, str]) -> bool:
        """Tell whether the batch of a name was run."""
        return any(ran.name == name for ran in self.payments.batches.values())

    def take(self, act: Act) -> frozenset[str]:
        """Add an act. Returns the rules by which it must be refused, none where it is added."""
        is_new = act.dossier > len(self.dossiers) or act.dossier < 1
        dossier = None if is_new else self.dossiers[act.dossier - 1]
        faults = self._faults_of_statement(act, dossier) | self._faults_of_signer(act, dossier)
        if dossier is None:
            faults |= self._faults_of_first(act)
        elif act.step in STOPS:
            faults |= self._faults_of_stop(act, dossier)
        elif act.step in STEPS:
            faults |= self._faults_of_step(act, dossier)
        if not faults:
            if dossier is None:
                dossier = Dossier(act.sheet, act.version, self.versions[-1])
                self.dossiers.append(dossier)
            taken = dossier._replace(acts=(*dossier.acts, act))
            self.dossiers[act.dossier - 1] = taken
            self.used.add(act)
            self.last = max(act.day, self.last or act.day)
        return frozenset(faults)

    def _faults_of_statement(self, act: Act, dossier: Dossier | None) -> set[str]:
        """Faults of what stands there, whoever says it."""
        faults = set[str]()
        version = dossier.version if dossier else len(self.versions)
        behind = (act.dossier, len(dossier.acts)) if dossier else HOME
        last = dossier.acts[-1].day if dossier else act.day
        known = max(self.last or act.sheet.day, act.sheet.day, self.said)
        far = (act.day - known).days
        for rule, is_broken in {
            "ALGORITHM_OTHER": not act.is_pinned,
            "SIGNATURE_INVALID": not act.is_genuine,
            "CERTIFICATE_USED": act in self.used or self.has_run(act.sheet.name),
            "STEP_UNKNOWN": act.step not in STOPS and act.step not in STEPS,
            "WHY_MISSING": act.step in STOPS and not act.why,
            "POLICY_OTHER": act.version != version,
            "STEP_ORDER": act.behind != behind,
            "TABLE_OTHER": dossier is not None and act.sheet != dossier.sheet,
            "TABLE_INVALID": act.sheet.total < 0 or act.sheet.lines < 1,
            "TIME_ORDER": act.day < last or far > ACT_DAYS,
            "DAYS_RUN_BACK": act.day < max(self.days.signed, self.said),
        }.items():
            faults |= {rule} if is_broken else set()
        return faults

    def _faults_of_signer(self, act: Act, dossier: Dossier | None) -> set[str]:
        """Faults of a name and a key: rules are of the dossier's version, keys of the last."""
        policy = dossier.policy if dossier else self.versions[-1]
        faults = self._unknown(act.by, policy) | self._unknown(act.by, self.versions[-1])
        if act.behalf:
            faults |= self._unknown(act.behalf, self.versions[-1])
        return faults | self.versions[-1].faults_of_key(act.by, act.key, act.day)

    def _faults_of_first(self, act: Act) -> set[str]:
        faults = set[str]()
        before = self.current(act.sheet.name)
        if before and self.dossiers[before - 1].stopped not in ENDED:
            # Once it was run, that is what is said.
            faults.add("CERTIFICATE_USED" if self.has_run(act.sheet.name) else "DOSSIER_THERE")
        if act.step != "prepare" or act.dossier != len(self.dossiers) + 1:
            faults.add("STEP_ORDER")
        return faults | self._faults_of_role(act, self.versions[-1])

    def _faults_of_role(self, act: Act, policy: Policy) -> set[str]:
        if not act.behalf:
            return set() if act.step in policy.roles_of(act.by) else {"ROLE_MISSING"}
        is_given = any(
            (given.giver, given.taker, given.role) == (act.behalf, act.by, act.step)
            and given.first <= act.day <= given.last
            for given in policy.delegations
        )
        holds = act.step in policy.roles_of(act.behalf)
        return set() if is_given and holds else {"DELEGATION_INVALID"}

    def _faults_of_step(self, act: Act, dossier: Dossier) -> set[str]:
        faults = self._faults_of_role(act, dossier.policy)
        step, signing = dossier.due, {act.by, act.behalf} - {""}
        if dossier.stopped:
            faults.add(f"DOSSIER_{dossier.stopped}")
        if step is None or step.name != act.step:
            return faults | {"STEP_ORDER"}
        steps = [before for before in dossier.acts if before.step in STEPS]
        renamed = any(a.key == act.key and a.by != act.by for a in dossier.acts)
        if renamed or any(signing & {before.by, before.behalf} for before in steps):
            faults.add("SIGNER_TWICE")
        if act.step != "prepare" and signing & {steps[0].by, steps[0].behalf}:
            faults.add("SIGNER_OWN_BATCH")
        signed = dossier.signed(act.step)
        known = {name for other in signed for name in (other.by, other.behalf)}
        houses = {p.house for p in dossier.policy.people if p.name in known}
        if step.apart and houses & {p.house for p in dossier.policy.people if p.name in signing}:
            faults.add("SIGNER_NOT_APART")
        before = [other for other in steps if other.step != act.step]
        if step.days is not None and before and not signed:
            late = (act.day - before[-1].day).days > step.days
            faults |= {"DEADLINE_PASSED"} if late else set()
        if act.step == "authenticate" and act.answered != act.sheet.lines:
            faults.add("AUTHENTICATION_INCOMPLETE")
        if act.step == "control" and self._is_beyond_budget(act):
            faults.add("BUDGET_EXCEEDED")
        if act.step == "fund" and self._lacks_money(act):
            faults.add("FUNDS_MISSING")
        return faults

    def _faults_of_stop(self, act: Act, dossier: Dossier) -> set[str]:
        due = dossier.due.name if dossier.due else ""
        role = {"refuse": due, "cancel": "cancel"}.get(act.step, "hold")
        faults = set[str]()
        if act.behalf or role not in dossier.policy.roles_of(act.by):
            faults.add("ROLE_MISSING")
        fits = {
            "hold": not dossier.stopped and bool(due),
            "pause": not dossier.stopped and not due,
            "resume": dossier.stopped == "HELD",
            "cancel": dossier.stopped not in ENDED,
            "refuse": dossier.stopped not in ENDED and bool(due),
        }
        return faults if fits[act.step] else faults | {"STEP_ORDER"}

    # --- money ----------------------------------------------------------------------------------

    def _others(self, act: Act, steps: set[str], *, ran: bool) -> list[Sheet]:
        """Tables of other dossiers that have passed one of these steps. ran: run ones, too."""
        return [
            dossier.sheet
            for number, dossier in enumerate(self.dossiers, 1)
            if number != act.dossier
            and dossier.has_passed(steps)
            and (ran or not self.has_run(dossier.sheet.name))
        ]

    def _is_beyond_budget(self, act: Act) -> bool:
        """Budgets of programmes, less what is reserved and under way; budgets of debtor accounts,
        less what all dossiers take."""
        directory = self.cycles.directory
        taken = Counter(self.payments.taken())
        for sheet in self._others(act, RESERVES, ran=False):
            taken.update(dict(sheet.programmes))
        limits = directory.budgets()
        beyond = any(
            amount and amount + taken[name] > limits[name]
            for name, amount in act.sheet.programmes
            if name in limits
        )
        spent = Counter[str]()
        for sheet in self._others(act, RESERVES, ran=True):
            spent.update(dict(sheet.debtors))
        for name, amount in act.sheet.debtors:
            budget = directory.debtors[name]["budget"] if name in directory.debtors else None
            beyond |= bool(budget is not None and amount and amount + spent[name] > budget)
        return beyond

    def _lacks_money(self, act: Act) -> bool:
        """Money that bound accounts hold, less what unsettled cycles and funded dossiers take."""
        directory, needs = self.cycles.directory, Counter[str]()
        for sheet in (act.sheet, *self._others(act, FUNDS, ran=False)):
            for account, amount in sheet.debtors:
                if account in directory.debtors:
                    agent = directory.debtors[account]["debtor_agent"]
                    needs[directory.settler(str(agent))] += amount
        cycles = self.cycles.unsettled().values()
        return any(
            code in self.books.guarded
            and needed
            > self.books.holds(code) + sum(min(c.nets[code] + c.reserved[code], 0) for c in cycles)
            for code, needed in needs.items()
        )

    # --- runs and states ------------------------------------------------------------------------

    def may_run(self, table: Table, in_memory: bool) -> frozenset[str]:
        """Rules by which a table that was not run yet may not be."""
        if not self.versions:
            return frozenset()
        number = self.current((table.source, table.batch_id))
        if in_memory or not number or self.dossiers[number - 1].state != "RELEASED":
            return frozenset({"NOT_RELEASED"})
        sheet = self.dossiers[number - 1].sheet
        certified = (sheet.content, sheet.day, sheet.lines, sheet.total)
        same = (table.content, *table.declared) == certified and table.digest_true
        return frozenset() if same else frozenset({"TABLE_OTHER"})

    def told(self) -> list[tuple[str, str, int, int, str]]:
        """(state, due step, missing signatures, version, who signed what) of every dossier."""
        unanswered = {entry.batch for entry in self.payments.waiting}
        unanswered |= {line[0] for line, s in self.way_back.states().items() if s in OPEN}
        batches = {ran.name: seq for seq, ran in self.payments.batches.items()}
        found = []
        for dossier in self.dossiers:
            seq, due = batches.get(dossier.sheet.name), dossier.due
            state = dossier.state
            if seq and dossier.stopped not in ENDED:
                state = self._state_of(seq, seq in unanswered)
            is_over = bool(dossier.stopped or seq or not due)
            name, missing = ("", 0) if is_over or due is None else (due.name, dossier.lacks(due))
            signed = ", ".join(f"{act.step} {act.by}" for act in dossier.acts)
            found.append((state, name, missing, dossier.version, signed))
        return found

    def _state_of(self, seq: int, is_unanswered: bool) -> str:
        """State of a batch that was run."""
        if seq in self.way_back.closed:
            return "CLOSED"
        cycle = self.cycles.known.get(self.payments.batches[seq].cycle)
        state = OF_CYCLE[cycle.state] if cycle else "SETTLED"
        return "RECONCILED" if state == "SETTLED" and not is_unanswered else state
