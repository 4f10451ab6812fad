"""Signatures: who may sign what next, as the auditor knows it, and the many ways to sign wrongly.

Nothing here knows an outcome: what is chosen as right may be refused for budgets or a deadline, and
what is chosen as wrong may be right after all.
"""

from __future__ import annotations

import datetime as dt
import random
from typing import Any

from switch.sim.auditor.control import HOME, Act, Control, Dossier, Sheet
from switch.sim.auditor.policy import STEPS, Person, Policy

DAY = dt.timedelta(days=1)
WRONG = (
    *("role", "key", "expired", "twice", "order", "late", "early", "forged", "edited", "replayed"),
    *(
        "house",
        "house",
        "behalf",
        "algorithm",
        "nobody",
        "version",
        "behind",
        "unanswered",
        "moved",
        "why",
    ),
)
"""Kinds of what may be wrong with an act."""
STOPS = ("hold", "hold", "pause", "resume", "resume", "cancel", "refuse")
REASONS = ("the agency asked for it", "a line looks odd")


class Signatures:
    """Draws acts about the dossiers that an auditor knows."""

    def __init__(
        self, control: Control, rng: random.Random, today: dt.date, is_plain: bool = False
    ) -> None:
        """is_plain: right acts are by people of few roles, and nobody signs for another, so that
        nobody is missing for a later step."""
        self.control, self.rng, self.today = control, rng, today
        self.is_plain = is_plain

    def some_dossier(self) -> int:
        """Number of a dossier: mostly the last that is under way; 0 where there is none."""
        open_ = [
            number
            for number, dossier in enumerate(self.control.dossiers, 1)
            if dossier.stopped not in ("REFUSED", "CANCELLED")
            if not self.control.has_run(dossier.sheet.name)
        ]
        if open_ and self.rng.random() < 0.85:
            return self.rng.choice(open_[-3:])
        return self.rng.randint(1, len(self.control.dossiers)) if self.control.dossiers else 0

    def first(self, sheet: Sheet, *, right: bool) -> Act:
        """The act that begins a dossier."""
        policy = self.control.versions[-1]
        people = policy.with_role("prepare") if right else list(policy.people)
        person = self._signer(people)
        act = Act(
            len(self.control.dossiers) + 1,
            "prepare",
            person.name,
            self._key(person),
            self._day(None),
            len(self.control.versions),
            HOME,
            sheet,
        )
        return act if right or self.rng.random() < 0.4 else self.wrong(act)

    def right(self, number: int) -> Act | None:
        """The act that is due: a step, or that what is held goes on. None where none is."""
        dossier = self.control.dossiers[number - 1]
        if dossier.stopped == "HELD":
            return self._act(number, "resume", self._one_of(dossier, "hold"), why=REASONS[0])
        step = dossier.due
        if step is None or dossier.stopped:
            return None
        signed = {name for act in dossier.acts for name in (act.by, act.behalf)}
        houses = {self._house(dossier, act.by) for act in dossier.signed(step.name)}
        free = [
            person
            for person in self._people(dossier, step.name)
            if person.name not in signed and not (step.apart and person.house in houses)
        ]
        person = self._signer(free or self._people(dossier, step.name))
        act = self._act(number, step.name, person)
        if not self.is_plain and self.rng.random() < 0.4:
            act = self._for_another(act, dossier, signed, houses if step.apart else set())
        return act

    def _for_another(self, act: Act, dossier: Dossier, signed: set[str], houses: set[str]) -> Act:
        """The same act by somebody to whom the step was given for that day, if it was."""
        for given in dossier.policy.delegations:
            taker = self.control.versions[-1].person(given.taker)
            if (
                given.role == act.step
                and given.first <= act.day <= given.last
                and taker
                and not signed & {given.giver, given.taker}
                and self._house(dossier, given.taker) not in houses
            ):
                return act._replace(behalf=given.giver, by=taker.name, key=self._key(taker))
        return act

    def late(self, number: int) -> Act:
        """A step of a dossier of which nothing is due any more."""
        dossier, step = self.control.dossiers[number - 1], self.rng.choice(STEPS)
        return self._act(number, step, self._one_of(dossier, step))

    def stop(self, number: int) -> Act:
        """An act beside the steps."""
        dossier, step = self.control.dossiers[number - 1], self.rng.choice(STOPS)
        if dossier.state == "RELEASED" and step == "hold":
            step = "pause"
        due = dossier.due
        role = {"cancel": "cancel", "refuse": due.name if due else "certify"}.get(step, "hold")
        person = self._one_of(dossier, role)
        if self.rng.random() < 0.15:
            person = self.rng.choice(dossier.policy.people)
        why = "" if self.rng.random() < 0.08 else self.rng.choice(REASONS)
        act = self._act(number, step, person, why=why)
        return self.wrong(act) if self.rng.random() < 0.1 else act

    def wrong(self, act: Act) -> Act:
        """The same act with something that is wrong with it, mostly."""
        rng, kind = self.rng, self.rng.choice(WRONG)
        control, policy = self.control, self.control.versions[-1]
        other = rng.choice(policy.people)
        dossier = (
            control.dossiers[act.dossier - 1] if act.dossier <= len(control.dossiers) else None
        )
        before = rng.choice(dossier.acts) if dossier else act
        if kind == "role":
            return act._replace(by=other.name, key=self._key(other))
        if kind == "house" and dossier:
            signed = {one.by for one in dossier.acts}
            people = [p for p in self._people(dossier, act.step) if p.name not in signed]
            person = rng.choice(people or [other])
            return act._replace(by=person.name, key=self._key(person))
        if kind == "key":
            return act._replace(key=rng.choice([self._key(other), f"{act.by}.99"]))
        if kind == "expired":
            return self._expired(act, policy)
        if kind == "twice":
            return act._replace(by=before.by, key=self._key(policy.person(before.by) or other))
        if kind == "order":
            return self._of_other_step(act, policy)
        if kind in ("late", "early"):
            days = rng.choice([2, 4, 11, 40]) if kind == "late" else -self._far_back()
            return act._replace(day=act.day + days * DAY)
        if kind == "replayed":
            return (
                rng.choice(sorted(control.used)) if control.used and rng.random() < 0.3 else before
            )
        if kind == "behalf":
            return act._replace(behalf=other.name)
        if kind == "behind":
            number, count = act.behind
            return act._replace(behind=(number, count - 1) if count > 1 else HOME)
        if kind == "moved":
            return act._replace(dossier=rng.randint(1, len(control.dossiers) + 2))
        edited = act.sheet._replace(total=act.sheet.total, content=f"{act.sheet.content} edited")
        changes: dict[str, dict[str, Any]] = {
            "forged": {"is_genuine": False},
            "edited": {"sheet": edited},
            "algorithm": {"is_pinned": False},
            "nobody": {"by": "nobody"},
            "version": {"version": act.version + rng.choice([-1, 1])},
            "unanswered": {"answered": act.sheet.lines - 1},
            "why": {"why": ""},
        }
        return act._replace(**changes.get(kind, {}))

    # --- parts ----------------------------------------------------------------------------------

    def _act(self, number: int, step: str, person: Person, why: str = "") -> Act:
        dossier = self.control.dossiers[number - 1]
        return Act(
            number,
            step,
            person.name,
            self._key(person),
            self._day(dossier),
            dossier.version,
            (number, len(dossier.acts)),
            dossier.sheet,
            why=why,
            answered=dossier.sheet.lines if step == "authenticate" else None,
        )

    def _day(self, dossier: Dossier | None) -> dt.date:
        return max(self.today, dossier.acts[-1].day) if dossier else self.today

    def _far_back(self) -> int:
        """Days back to before the last day that was closed, if one was: between that and the last
        time that was said, nobody foretells."""
        signed = self.control.days.signed
        return (self.today - signed).days + 1 if signed > dt.date.min else 0

    def _people(self, dossier: Dossier, role: str) -> list[Person]:
        """People with a role in the version of a dossier, rather such as are there yet."""
        now = self.control.versions[-1]
        people = dossier.policy.with_role(role) or list(dossier.policy.people)
        there = [known for person in people if (known := now.person(person.name))]
        return there or people

    def _one_of(self, dossier: Dossier, role: str) -> Person:
        return self.rng.choice(self._people(dossier, role))

    def _signer(self, people: list[Person]) -> Person:
        least = min(len(person.roles) for person in people) if self.is_plain else None
        return self.rng.choice([p for p in people if least in (None, len(p.roles))])

    def _house(self, dossier: Dossier, name: str) -> str:
        person = dossier.policy.person(name)
        return person.house if person else ""

    def _key(self, person: Person) -> str:
        """A key with which somebody signs today, as the last version has it."""
        known = self.control.versions[-1].person(person.name) or person
        valid = [key.name for key in known.keys if key.signs_on(self.today)]
        return self.rng.choice(valid) if valid else known.keys[-1].name

    def _expired(self, act: Act, policy: Policy) -> Act:
        """An act by a key that is out of its days, where the person has one."""
        ended = [
            (person, key)
            for person in policy.people
            for key in person.keys
            if not key.signs_on(act.day) and act.step in person.roles
        ]
        if not ended:
            return act._replace(key=f"{act.by}.98")
        person, key = self.rng.choice(ended)
        return act._replace(by=person.name, key=key.name)

    def _of_other_step(self, act: Act, policy: Policy) -> Act:
        step = self.rng.choice([*STEPS, "pay"])
        people = policy.with_role(step)
        if not people:
            return act._replace(step=step)
        person = self.rng.choice(people)
        return act._replace(step=step, by=person.name, key=self._key(person))
