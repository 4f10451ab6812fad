"""Control lived: policies, acts and dossiers, done on engine and auditor.

After each operation every dossier has to stand where the auditor says, with the step that is due
and the signatures that it takes yet.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import random
from pathlib import Path

import msgspec

from switch.control.acts import Act as SignedAct
from switch.control.acts import Table as SignedTable
from switch.control.acts import acts as acts_of
from switch.control.acts import mark_of
from switch.control.take import REFUSED_ACT
from switch.home.days import times
from switch.home.times import day_of
from switch.sim.auditor.control import HOME, Act, Sheet, Vote, sheet_of, unproven
from switch.sim.auditor.policy import Policy
from switch.sim.lives.difference import require
from switch.sim.lives.operations import Fault, Payday, Prepare, Release, SetPolicy, Sign, Stop
from switch.sim.lives.paydays import Paydays
from switch.sim.lives.policies import Pen, document, first_policy, next_policy, public
from switch.sim.lives.sides import Sides
from switch.sim.lives.signatures import Signatures

FIRST_DAY = dt.date(2026, 11, 25)
STEPS_MAX = 30
RIGHT = 0.6
"""Rate of acts that are signed as they should be."""
WITHOUT_FAULT = 0


class Control:
    """Control of a home and its auditor."""

    def __init__(self, sides: Sides, paydays: Paydays) -> None:
        self.sides, self.paydays = sides, paydays
        self.tables: list[Payday] = []
        """Tables that somebody prepared, or wanted to."""
        self._digests: dict[str, str] = {}
        """Digests of files by their content."""

    # --- the policy -----------------------------------------------------------------------------

    def set_policy(self, operation: SetPolicy) -> str:
        """Set the policy or its next version. Returns what came of it, in words."""
        sides, rng = self.sides, random.Random(operation.salt)
        versions, day = sides.auditor.control.versions, self.today()
        policy = next_policy(rng, versions[-1], day) if versions else first_policy(rng, day)
        votes = self._votes(rng, versions[-1], day) if versions else []
        after = sides.auditor.copy()
        is_known = bool(versions) and policy == versions[-1]
        refusals = frozenset() if is_known else after.set_policy(policy, day, votes)
        pens = {vote.by: Pen(vote.key, vote.is_genuine) for vote in votes}

        def act() -> object:
            control, text = sides.engine.control, day.isoformat()
            return control.set_policy(document(policy), signers=pens or None, at=text)

        fault = None if refusals else operation.fault
        word, _ = sides.attempt(act, fault, after, refusals, replay=is_known)
        return f"{word} {len(sides.auditor.control.versions)}"

    def _votes(self, rng: random.Random, policy: Policy, day: dt.date) -> list[Vote]:
        """The words of those who sign a version: mostly as many as have to."""
        people = policy.with_role("policy")
        count = policy.changed_by if rng.random() < 0.8 else rng.randint(0, policy.changed_by)
        votes = []
        for person in rng.sample(people, count):
            valid = [key.name for key in person.keys if key.signs_on(day)]
            votes.append(Vote(person.name, rng.choice(valid)))
        if votes and rng.random() < 0.15:
            other = rng.choice(policy.people)
            votes[0] = rng.choice(
                [
                    votes[0]._replace(is_genuine=False),
                    votes[0]._replace(key=other.keys[-1].name),
                    Vote("nobody", other.keys[-1].name),
                    Vote(other.name, other.keys[-1].name),
                ]
            )
        return list({vote.by: vote for vote in votes}.values())

    # --- acts -----------------------------------------------------------------------------------

    def prepare(self, operation: Prepare) -> str:
        """Begin the dossier of a table. Returns what came of it, in words."""
        if not self.sides.auditor.control.versions:
            return "no policy"
        payday = Payday(operation.table, operation.form, 1000)
        source, _ = self.paydays.hand_over(payday)
        assert isinstance(source, Path)
        content = source.read_bytes()
        self._digests[operation.table.content] = hashlib.sha256(content).hexdigest()
        self.tables.append(payday)
        rng = random.Random(operation.salt)
        right = operation.salt == WITHOUT_FAULT or rng.random() < 0.85
        signatures = self.signatures(rng, is_plain=operation.salt == WITHOUT_FAULT)
        # A dossier is of its table's day from the beginning, or a step of no days would be late.
        signatures.today = max(signatures.today, operation.table.value_date)
        act = signatures.first(sheet_of(operation.table), right=right)
        if right or unproven(operation.table):
            return self._take(act, operation.fault, source, operation)
        return self._take(act, operation.fault)

    def sign(self, operation: Sign) -> str:
        """Sign a step, rightly or not. Returns what came of it, in words."""
        rng = random.Random(operation.salt)
        signatures = self.signatures(rng)
        number = signatures.some_dossier()
        if not number:
            return "nothing"
        act = signatures.right(number)
        if act is None or rng.random() < RIGHT:
            return self._take(act or signatures.late(number), operation.fault)
        return self._take(signatures.wrong(act), operation.fault)

    def stop(self, operation: Stop) -> str:
        """Stop a dossier, or let it go on. Returns what came of it, in words."""
        signatures = self.signatures(random.Random(operation.salt))
        number = signatures.some_dossier()
        return self._take(signatures.stop(number), operation.fault) if number else "nothing"

    def release(self, operation: Release) -> str:
        """Sign all that is missing. Returns what came of the last act, in words."""
        sides, words = self.sides, ["nothing"]
        is_plain = operation.salt == WITHOUT_FAULT
        signatures = self.signatures(random.Random(operation.salt), is_plain=is_plain)
        name = operation.source, operation.batch_id
        for _ in range(STEPS_MAX):
            signatures.control = control = sides.auditor.control
            number = control.current(name)
            act = signatures.right(number) if number and not control.has_run(name) else None
            if act is None:
                break
            words.append(self._take(act, None))
            if not words[-1].endswith("done"):
                break
        return f"{len(words) - 1} {words[-1]}"

    def pays(self, payday: Payday) -> Payday:
        """A payday whose table was signed by all who have to, where there is a policy."""
        table = payday.table
        self.prepare(Prepare(table, payday.form, WITHOUT_FAULT))
        self.release(Release(table.source, table.batch_id, WITHOUT_FAULT))
        return payday

    def signatures(self, rng: random.Random, *, is_plain: bool = False) -> Signatures:
        """Acts as they are drawn now."""
        return Signatures(self.sides.auditor.control, rng, self.today(), is_plain)

    def today(self) -> dt.date:
        """A day that lies before nothing that was said, of which the auditor is told."""
        control = self.sides.auditor.control
        said = times(self.sides.engine.home).said
        control.said = day_of(said) if said else dt.date.min
        days = [dossier.sheet.day for dossier in control.dossiers]
        return max([FIRST_DAY, *days, *([day_of(said)] if said else [])])

    def _take(
        self,
        act: Act,
        fault: Fault | None,
        source: Path | None = None,
        prepared: Prepare | None = None,
    ) -> str:
        """Do an act by one of the doors. source: the file that is prepared. Returns what came of
        it, in words."""
        sides = self.sides
        after = sides.auditor.copy()
        refusals = after.sign(act, prepared.table if prepared else None)
        before = len(self._noted())

        def do() -> object:
            control = sides.engine.control
            if source is not None:
                pen, at = Pen(act.key, act.is_genuine), act.day.isoformat()
                return control.prepare(source, by=act.by, key=pen, at=at, why=act.why)
            return control.take_act(self.signed(act))

        word, _ = sides.attempt(do, None if refusals else fault, after, refusals)
        noted = self._noted()[before:]
        if refusals and not (prepared and unproven(prepared.table)):
            require("acts that are noted as refused", 1, len(noted))
            require("the rule that is noted", True, noted[0] in refusals)
        elif not refusals:
            require("acts that are noted as refused", [], noted)
        return f"{act.step} {word}"

    def _noted(self) -> list[str]:
        """Rules of acts that were refused, as events keep them."""
        records = self.sides.engine.home.catalog.events.records(REFUSED_ACT)
        return [str(msgspec.json.decode(record.detail)["rule"]) for record in records]

    # --- acts as the engine has them ------------------------------------------------------------

    def signed(self, act: Act) -> SignedAct:
        """An act as the engine takes it, with its signature."""
        said = SignedAct(
            dossier=act.dossier,
            step=act.step,
            by=act.by,
            key=public(act.key),
            at=act.day.isoformat(),
            policy=act.version,
            after=self._digest(act.behind),
            table=self._table(act.sheet),
            behalf=act.behalf,
            why=act.why,
            answered=act.answered,
            **({} if act.is_pinned else {"algorithm": "Ed448"}),
        )
        return said.signed(Pen(act.key, act.is_genuine))

    def _digest(self, behind: tuple[int, int]) -> str:
        """Digest of the act behind which another one is signed."""
        home, (number, count) = self.sides.engine.home, behind
        if behind == HOME:
            return mark_of(home)
        return [act for act in acts_of(home) if act.dossier == number][count - 1].digest()

    def _table(self, sheet: Sheet) -> SignedTable:
        digest = hashlib.sha256(sheet.content.encode()).hexdigest()
        return SignedTable(
            source=sheet.source,
            batch_id=sheet.batch_id,
            value_date=sheet.day.isoformat(),
            currency="VND",
            count=sheet.lines,
            sum=sheet.total,
            digest=f"sha256:{self._digests.get(sheet.content, digest)}",
            programmes=dict(sheet.programmes),
            debtors=dict(sheet.debtors),
        )

    # --- comparing ------------------------------------------------------------------------------

    def compare(self) -> None:
        """Compare the policy, and where every dossier stands."""
        engine, control = self.sides.engine, self.sides.auditor.control
        shown = engine.control.policy()
        require("version of the policy", len(control.versions), shown["version"] if shown else 0)
        if not control.versions:
            return
        found = [
            (row["state"], row["due"], row["missing"], row["policy"], row["signed"])
            for row in engine.control.dossiers().rows()
        ]
        require("dossier", control.told(), found)
