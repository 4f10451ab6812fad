"""Dossiers: where each table stands on its way to release, as its acts say.

IN: acts and versions of the policy. OUT: states; nothing of them is stored.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from switch.control.acts import CANCEL, HOLD, PAUSE, REFUSE, RESUME, Act, Table, acts, policies
from switch.control.policy import Policy, Step
from switch.home.store import Home

STATES = {
    "prepare": "DRAFT",
    "approve": "SUBMITTED",
    "authenticate": "SUBMITTED",
    "control": "CONTROLLED",
    "certify": "CERTIFIED",
    "fund": "FUNDED",
    "release": "RELEASED",
}
"""State of a dossier after each step."""
REFUSED, CANCELLED, HELD, RELEASED = "REFUSED", "CANCELLED", "HELD", "RELEASED"
FINAL = (REFUSED, CANCELLED)
RESERVING = ("control", "certify", "fund", "release")
"""Steps from which on a table that was not run yet counts against budgets."""
FUNDED = ("fund", "release")


@dataclass
class Dossier:
    """One table on its way. policy: of the version with which it was prepared."""

    number: int
    table: Table
    version: int
    policy: Policy
    acts: list[Act] = field(default_factory=list)

    @property
    def name(self) -> str:
        """The name of its batch: SOURCE:ID."""
        return f"{self.table.source}:{self.table.batch_id}"

    @property
    def stop(self) -> str:
        """The last of the acts that stop it: hold, pause, cancel or refuse; '' where none does."""
        last = ""
        for act in self.acts:
            if act.step in (HOLD, PAUSE, CANCEL, REFUSE):
                last = act.step
            elif act.step == RESUME:
                last = ""
        return last

    @property
    def state(self) -> str:
        """One of STATES, or REFUSED, CANCELLED or HELD; of a table that was run, RELEASED."""
        stopped = {CANCEL: CANCELLED, REFUSE: REFUSED, HOLD: HELD, PAUSE: HELD}.get(self.stop)
        return stopped or self.reached

    @property
    def reached(self) -> str:
        """State of the last step that all have signed who have to; '' before `prepare` is."""
        done = [step.step for step in self.policy.steps if self.is_done(step)]
        return STATES[done[-1]] if done else "DRAFT"

    @property
    def is_final(self) -> bool:
        """It was refused or cancelled: nothing is added to it any more."""
        return self.state in FINAL

    @property
    def due(self) -> Step | None:
        """The step that has to be signed next; None where all are."""
        return next((step for step in self.policy.steps if not self.is_done(step)), None)

    def signed(self, step: str) -> list[Act]:
        """Acts of a step, oldest first."""
        return [act for act in self.acts if act.step == step]

    def is_done(self, step: Step) -> bool:
        """As many have signed a step as have to."""
        return len(self.signed(step.step)) >= step.signers_for(self.table.most)

    def missing(self) -> int:
        """Signatures that the due step still takes."""
        step = self.due
        return step.signers_for(self.table.most) - len(self.signed(step.step)) if step else 0

    def has_passed(self, steps: Iterable[str]) -> bool:
        """One of these steps is done, and the dossier neither refused nor cancelled."""
        known = [step for step in self.policy.steps if step.step in steps]
        return not self.is_final and any(self.is_done(step) for step in known)


def dossiers(home: Home) -> list[Dossier]:
    """All of a home, in the order of preparation."""
    return folded(acts(home), [kept.policy for kept in policies(home)])


def folded(said: Sequence[Act], versions: Sequence[Policy]) -> list[Dossier]:
    """Dossiers from their acts. versions: of the policy, oldest first."""
    found: dict[int, Dossier] = {}
    for act in said:
        if act.dossier not in found:
            policy = versions[act.policy - 1]
            found[act.dossier] = Dossier(act.dossier, act.table, act.policy, policy)
        found[act.dossier].acts.append(act)
    return list(found.values())


def current(known: Iterable[Dossier], source: str, batch_id: str) -> Dossier | None:
    """The dossier of a batch: the last that was prepared, as one that was refused or cancelled may
    be prepared anew."""
    names = (source, batch_id)
    return next(
        (d for d in reversed(list(known)) if (d.table.source, d.table.batch_id) == names), None
    )
