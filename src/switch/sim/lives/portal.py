"""The portal lived: what parties deliver, rightly and not, taken by engine and auditor."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from switch.clearing.intake import dossier_path
from switch.control import portal as engine_portal
from switch.control import spool as boxes
from switch.control.spool import Manifest
from switch.deliveries import deliver, totals
from switch.sim.auditor.auditor import Auditor
from switch.sim.auditor.portal import Delivery, Told
from switch.sim.lives.control import Control
from switch.sim.lives.difference import require
from switch.sim.lives.operations import Deliver, Fault
from switch.sim.lives.policies import Pen, public
from switch.sim.lives.sides import NOTHING, USAGE, Sides

KINDS = (
    *("right", "right", "right", "right", "missing", "repeated", "reused", "edited", "forged"),
    *("key", "order", "counted", "late"),
)
"""Kinds of what may be wrong with a delivery."""


class Portal:
    """The portal of a home and its auditor."""

    def __init__(self, sides: Sides, control: Control, folder: Path) -> None:
        """folder: for the spool, and for files that are delivered."""
        self.sides, self.control = sides, control
        self.spool, self.mail, self.aside = folder / "spool", folder / "acts", folder / "aside"
        self.mail.mkdir()
        self._manifests: dict[int, Manifest] = {}
        """Manifests by serial number."""
        self._kept_back: dict[str, Delivery] = {}
        """Deliveries that were not put into their inbox yet, by party."""

    def deliver(self, operation: Deliver) -> str:
        """Put a delivery into an inbox, and take what is there. Returns what became of all, in
        words."""
        rng, versions = random.Random(operation.salt), self.sides.auditor.control.versions
        if not versions:
            return self.sides.refused(lambda: self.sides.engine.control.portal(self.spool))
        self.control.today()
        party = rng.choice(versions[-1].parties)
        kind = rng.choice(KINDS)
        if party.name in self._kept_back:
            kind = "what was missing"
            self._come(self._kept_back.pop(party.name))
        else:
            self._draw(rng, party.name, party.keys[-1].name, kind)
        return f"{party.name} {kind}: {self._take_all(operation.fault)}"

    # --- what is delivered ----------------------------------------------------------------------

    def _draw(self, rng: random.Random, party: str, key: str, kind: str) -> None:
        """Put a delivery into an inbox that is of this kind."""
        portal = self.sides.auditor.portal
        number = portal.last(party) + 1
        draft = Delivery(
            len(self._manifests) + 1,
            party,
            number,
            "act",
            key,
            self.control.today(),
            portal.before(party, number),
        )
        if (party, number) in portal.inbox:
            return
        if kind in ("repeated", "reused"):
            if number > 1:
                self._once_more(rng, draft._replace(number=rng.randrange(1, number)), kind)
            return
        draft, files = self._brings(rng, draft)
        if not files:
            return
        changes: dict[str, dict[str, Any]] = {
            "edited": {"is_whole": False},
            "forged": {"is_genuine": False},
            "key": {"key": rng.choice(["bank.1", "agency.1", "prepare1.1"])},
            "order": {"behind": rng.choice([0, *self._manifests])},
            "counted": {"is_counted": False},
            "late": {"day": draft.day.replace(year=draft.day.year + 1)},
        }
        draft = draft._replace(**changes.get(kind, {}))
        if kind == "right" and rng.random() < 0.5 and not any(portal.inbox):
            self._by_library(draft, files)
            return
        self._put(draft, files)
        if kind == "missing":
            self._keep_back(draft)
            later, files = self._brings(rng, draft._replace(serial=draft.serial + 1))
            if files:
                self._put(later._replace(number=number + 1, behind=draft.serial), files)

    def _brings(self, rng: random.Random, draft: Delivery) -> tuple[Delivery, list[Path]]:
        """(delivery, files) of an act or of a table; no files where there is nothing."""
        draft = draft._replace(kind="act", brings=None)
        signatures = self.control.signatures(rng)
        number = signatures.some_dossier()
        act = signatures.right(number) if number else None
        if act is None or rng.random() < 0.35:
            return self._brings_table(rng, draft)
        if rng.random() < 0.25:
            act = signatures.wrong(act)
        path = self.mail / "act.json"
        path.write_bytes(msgspec.json.encode(self.control.signed(act)))
        return draft._replace(brings=act), [path]

    def _brings_table(self, rng: random.Random, draft: Delivery) -> tuple[Delivery, list[Path]]:
        paydays = [payday for payday in self.control.tables if not payday.table.faults()]
        if not paydays:
            return draft, []
        table, _ = self.control.paydays.hand_over(rng.choice(paydays))
        assert isinstance(table, Path)
        return draft._replace(kind="table"), [table, dossier_path(table)]

    def _put(self, delivery: Delivery, files: list[Path]) -> None:
        """Put a delivery into its inbox."""
        boxes.make_folders(self.spool, delivery.party)
        count, total = totals(delivery.kind, files[:1])
        before = self._manifests.get(delivery.behind)
        draft = Manifest(
            party=delivery.party,
            number=delivery.number,
            kind=delivery.kind,
            at=delivery.day.isoformat(),
            count=count + (not delivery.is_counted),
            sum=total,
            contents=[],
            after=before.digest() if before else boxes.GENESIS,
            key=public(delivery.key),
        )
        pen = Pen(delivery.key, delivery.is_genuine)
        self._manifests[delivery.serial] = boxes.deliver(self.spool, draft, files, pen)
        if not delivery.is_whole:
            with (self._inbox(delivery) / files[0].name).open("ab") as file:
                file.write(b" ")
        self._stands(delivery)

    def _by_library(self, delivery: Delivery, files: list[Path]) -> None:
        """The same by the call of the library, which finds number and manifest before by itself."""
        manifest = deliver(
            self.spool,
            delivery.party,
            delivery.kind,
            files[:1],
            key=Pen(delivery.key),
            at=delivery.day,
        )
        before = self._manifests.get(delivery.behind)
        after = before.digest() if before else boxes.GENESIS
        said = manifest.number, manifest.after
        require("number and manifest before", (delivery.number, after), said)
        self._manifests[delivery.serial] = manifest
        self._stands(delivery)

    def _stands(self, delivery: Delivery) -> None:
        self.sides.auditor.portal.inbox[delivery.party, delivery.number] = delivery

    def _keep_back(self, delivery: Delivery) -> None:
        """Take a delivery out of its inbox: it comes later."""
        del self.sides.auditor.portal.inbox[delivery.party, delivery.number]
        shutil.move(self._inbox(delivery), self.aside / delivery.party)
        self._kept_back[delivery.party] = delivery

    def _come(self, delivery: Delivery) -> None:
        shutil.move(self.aside / delivery.party, self._inbox(delivery))
        self._stands(delivery)

    def _once_more(self, rng: random.Random, draft: Delivery, kind: str) -> None:
        """A number that was answered comes again: the same delivery, or another one."""
        known, outcome = self.sides.auditor.portal.answered[draft.party, draft.number]
        place = "archive" if outcome == "taken" else "refused"
        folder = self.spool / draft.party / place / boxes.name_of(draft.number)
        if outcome == "refused":
            # Others of this number that nobody signed may have been moved there before.
            folder = self._last_place(folder)
            text = (folder / boxes.MANIFEST).read_bytes()
            if msgspec.json.decode(text, type=Manifest) != self._manifests[known.serial]:
                return
        if kind == "repeated":
            shutil.copytree(folder, self._inbox(draft))
            self._stands(known)
            return
        draft, files = self._brings(rng, draft)
        if files:
            self._put(draft, files)

    def _last_place(self, folder: Path) -> Path:
        """The last of folders that have this name, or a longer one."""
        while folder.with_name(f"{folder.name}+").exists():
            folder = folder.with_name(f"{folder.name}+")
        return folder

    def _inbox(self, delivery: Delivery) -> Path:
        return self.spool / delivery.party / "inbox" / boxes.name_of(delivery.number)

    # --- the portal -----------------------------------------------------------------------------

    def _take_all(self, fault: Fault | None) -> str:
        """Take what is there; once more, where that was broken off. Returns what became of all, in
        words."""
        sides = self.sides
        between: list[Auditor] = []
        after, told = self._foretold(between.append)
        if told is None:
            return sides.refused(lambda: sides.engine.control.portal(self.spool), USAGE)
        is_one = len(told) == 1 and bool(between)
        word, found = sides.attempt(
            lambda: sides.engine.control.portal(self.spool),
            fault if is_one else None,
            after,
            NOTHING,
            replay=not between,
            between=between,
        )
        if found is not None:
            sides.auditor = after
            self._compare_told(told, found)
        else:
            self._again(told)
        words = (f"{one.number} {one.outcome} {' '.join(sorted(one.rules))}" for one in told)
        return f"{word} {', '.join(words)}"

    def _again(self, before: list[Told]) -> None:
        """Do to its end what was broken off; what was recorded is told once more, or not."""
        sides = self.sides
        between: list[Auditor] = []
        after, told = self._foretold(between.append)
        assert told is not None
        _, found = sides.attempt(
            lambda: sides.engine.control.portal(self.spool), None, after, replay=not between
        )
        sides.auditor = after
        self._compare_told(told if told or not found else before, found or [])

    def _foretold(self, each: Callable[[Auditor], None]) -> tuple[Auditor, list[Told] | None]:
        after = self.sides.auditor.copy()
        return after, after.take_deliveries(lambda: each(after.copy()))

    def _compare_told(self, told: list[Told], found: list[engine_portal.Delivered]) -> None:
        """Compare what became of deliveries."""
        rows = [(row["party"], row["number"], row["outcome"]) for row in found]
        require("delivery", [(one.party, one.number, one.outcome) for one in told], rows)
        for one, row in zip(told, found, strict=True):
            is_known = row["rule"] in one.rules if one.rules else not row["rule"]
            require(f"rule of {one}, {row['rule']}", True, is_known)

    def compare(self) -> None:
        """Compare what the audit chain keeps of deliveries."""
        kept = engine_portal.kept(self.sides.engine.home)
        found = {(one.manifest.party, one.manifest.number): one.outcome for _, one in kept}
        answered = self.sides.auditor.portal.answered
        require("delivery", {place: one[1] for place, one in answered.items()}, found)
