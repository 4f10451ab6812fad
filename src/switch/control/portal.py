"""Portal: takes what parties deliver, once, in their order, and answers each delivery.

A delivery is taken in five steps, each of which a crash may cut off: a private copy; what it brings
(an act, answers; the same again changes nothing); a record in the audit chain, from which it counts
as taken or refused; the answer; its place in the archive. What is recorded is never taken again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple, TypedDict

import msgspec

from switch.control import spool as boxes
from switch.control.acts import policies
from switch.control.keys import is_signed
from switch.control.policy import Party, Policy
from switch.control.spool import Answer, Manifest
from switch.errors import USAGE, EnvironmentFailed, InputRefused, SwitchError, UsageError
from switch.home import days
from switch.home.store import Home
from switch.home.times import day_of, latest, time_text

KIND = "portal"
"""Kind of the audit records of deliveries."""
REFUSED_DELIVERY = "refused delivery"
"""Kind of the events of deliveries that nobody can be held to: their manifest is none."""

RULES = {
    "missing": "MANIFEST_MISSING",
    "repeated": "MANIFEST_REPEATED",
    "reused": "MANIFEST_REUSED",
}
"""Words for what is told and not taken."""


class Kept(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The audit record of a delivery that was taken or refused."""

    manifest: Manifest
    outcome: str
    rule: str = ""
    what: str = ""
    remedy: str = ""


class Delivered(TypedDict):
    """A delivery, and what became of it."""

    party: str
    number: int
    kind: str
    outcome: str
    """taken, refused, missing, repeated; or failed: its folders keep the portal from the party."""
    rule: str
    what: str


class Taker(NamedTuple):
    """A way to take one kind of delivery, from the folder of its private copy."""

    totals: Callable[[Path, Manifest], tuple[int, int]]
    """Rows and amounts of what it brings. Raises InputRefused for what is none of its kind."""
    take: Callable[[Path, Manifest], None]
    """Takes it; the same again changes nothing. Raises InputRefused where it may not be."""


def kept(home: Home) -> list[tuple[str, Kept]]:
    """All deliveries with the time of their record, oldest first."""
    found = []
    for record in home.catalog.audit.records(KIND):
        said = msgspec.json.decode(record.detail)
        del said["files"]
        found.append((record.at, msgspec.convert(said, Kept)))
    return found


class Portal:
    """The portal of a home, for one pass over all inboxes. takers: by kind of delivery."""

    def __init__(self, home: Home, spool: Path, takers: Mapping[str, Taker]) -> None:
        versions = policies(home)
        if not versions or not versions[-1].policy.parties:
            raise UsageError(
                f"{home.path} has no policy with parties, so that nobody may deliver to it"
            )
        self._home, self._spool, self._takers = home, spool, takers
        self._policy: Policy = versions[-1].policy
        self._last: dict[str, dict[int, tuple[str, Kept]]] = {}
        for at, one in kept(home):
            self._last.setdefault(one.manifest.party, {})[one.manifest.number] = at, one

    def take_all(self) -> list[Delivered]:
        """Take what is there, party by party in order of names."""
        told: list[Delivered] = []
        for party in sorted(self._policy.parties, key=lambda party: party.name):
            try:
                for one in self._of_party(party):
                    told.append(one)
            except (InputRefused, UsageError, EnvironmentFailed) as error:
                if self._home.stopped:
                    raise
                told.append(_failed(party, error))
        return told

    def _of_party(self, party: Party) -> Iterator[Delivered]:
        """Take what one party delivered. What keeps the portal from it keeps no other party
        waiting."""
        folder = boxes.make_folders(self._spool, party.name)
        known = self._last.get(party.name, {})
        boxes.tidy(folder, {number: one.outcome for number, (_, one) in known.items()})
        for number in boxes.waiting(folder):
            yield self._take(party, folder, number)

    def _take(self, party: Party, folder: Path, number: int) -> Delivered:
        known = self._last.setdefault(party.name, {})
        try:
            manifest = boxes.read_manifest(folder, party.name, number)
            _require_party(party, manifest)
        except InputRefused as error:
            return self._refuse_unsigned(party, folder, number, error)
        if number in known:
            return self._again(folder, manifest, *known[number])
        last = max(known, default=0)
        if number != last + 1:
            what = f"number {last + 1} of {party.name} is missing: {number} waits for it"
            return self._tell(folder, manifest, "missing", RULES["missing"], what)
        before = known[last][1].manifest.digest() if last else boxes.GENESIS
        try:
            if manifest.after != before:
                what = "it names another manifest than the last one of its party"
                remedy = "deliver again, after the manifest that was answered last"
                raise InputRefused("MANIFEST_ORDER", what, remedy=remedy)
            copy = boxes.take_copy(folder, manifest)
            if manifest.kind not in party.kinds:
                what = f"{party.name} may not deliver {manifest.kind}"
                remedy = f"it may deliver {', '.join(party.kinds)}"
                raise InputRefused("KIND_OTHER", what, remedy=remedy)
            taker = self._takers[manifest.kind]
            count, total = taker.totals(copy, manifest)
            if (count, total) != (manifest.count, manifest.sum):
                what = f"it brings {count:,} rows and {total:,} dong, and not what its manifest"
                remedy = "deliver it again with its own totals"
                raise InputRefused("CONTROL_SUM", f"{what} says", remedy=remedy)
            taker.take(copy, manifest)
            outcome = Kept(manifest=manifest, outcome="taken")
        except InputRefused as error:
            said = {"rule": error.rule, "what": error.what, "remedy": error.remedy}
            outcome = Kept(manifest=manifest, outcome="refused", **said)
        except UsageError as error:
            outcome = Kept(manifest=manifest, outcome="refused", rule=USAGE, what=str(error))
        at = latest([days.times(self._home).now, manifest.at])
        self._home.commit(at=at, kind=KIND, detail=msgspec.to_builtins(outcome), changes=[])
        known[number] = at, outcome
        return self._finish(folder, at, outcome)

    def _finish(self, folder: Path, at: str, outcome: Kept) -> Delivered:
        """Answer a delivery that is recorded, and give it its place."""
        manifest = outcome.manifest
        told = Answer(
            party=manifest.party,
            number=manifest.number,
            manifest=manifest.digest(),
            outcome=outcome.outcome,
            rule=outcome.rule,
            what=outcome.what,
            remedy=outcome.remedy,
            at=at,
        )
        boxes.answer(folder, told)
        if outcome.outcome == "taken":
            boxes.put_away(folder, manifest)
        else:
            boxes.put_aside(folder, manifest.number)
            boxes.tidy(folder, {})
        return _told(manifest, outcome.outcome, outcome.rule, outcome.what)

    def _again(self, folder: Path, manifest: Manifest, at: str, before: Kept) -> Delivered:
        """A number that was answered: the same delivery, whose answer a crash cut off, or one that
        is repeated."""
        same = manifest == before.manifest
        if same and not boxes.is_done(folder, manifest.number, before.outcome):
            return self._finish(folder, at, before)
        rule = RULES["repeated" if same else "reused"]
        what = f"number {manifest.number} of {manifest.party} was {before.outcome} before"
        told = self._tell(folder, manifest, "repeated", rule, what)
        boxes.put_aside(folder, manifest.number, boxes.REPEATED)
        return told

    def _tell(
        self, folder: Path, manifest: Manifest, outcome: str, rule: str, what: str
    ) -> Delivered:
        """Tell a party of what is not taken, and note it beside the history."""
        said = {"rule": rule, "party": manifest.party, "number": manifest.number}
        if outcome != "missing":
            self._home.note(REFUSED_DELIVERY, {**said, "manifest": manifest.digest()})
        remedy = "deliver what is missing" if outcome == "missing" else "give the next number"
        boxes.answer(
            folder,
            Answer(
                party=manifest.party,
                number=manifest.number,
                manifest=manifest.digest(),
                outcome=outcome,
                rule=rule,
                what=what,
                remedy=remedy,
            ),
        )
        return _told(manifest, outcome, rule, what)

    def _refuse_unsigned(
        self, party: Party, folder: Path, number: int, error: InputRefused
    ) -> Delivered:
        """Refuse what nobody can be held to; its number stays free."""
        said = {"rule": error.rule, "party": party.name, "number": number}
        self._home.note(REFUSED_DELIVERY, said)
        boxes.answer(
            folder,
            Answer(
                party=party.name,
                number=number,
                manifest="",
                outcome="refused",
                rule=error.rule,
                what=error.what,
                remedy=error.remedy,
            ),
        )
        boxes.put_aside(folder, number, boxes.UNSIGNED)
        return {
            "party": party.name,
            "number": number,
            "kind": "",
            "outcome": "refused",
            "rule": error.rule,
            "what": error.what,
        }


def _require_party(party: Party, manifest: Manifest) -> None:
    """A manifest is signed by a key that its party has on the day that it says."""
    try:
        if not time_text(manifest.at):
            raise UsageError("it has no time")
    except UsageError as error:
        remedy = "write it as 2026-11-25T08:30:00, and deliver it again"
        raise InputRefused("TIME_INVALID", str(error), remedy=remedy) from None
    key = next((key for key in party.keys if key.public == manifest.key), None)
    if key is None:
        what, remedy = (
            f"the key is none of {party.name}",
            "sign with one that the policy has for it",
        )
        raise InputRefused("KEY_UNKNOWN", what, remedy=remedy)
    if not key.is_valid(day_of(manifest.at)):
        what, remedy = f"the key is not valid on {day_of(manifest.at)}", "sign with one that is"
        raise InputRefused("KEY_EXPIRED", what, remedy=remedy)
    if not is_signed(manifest.key, manifest.message(), manifest.signature):
        what = f"the signature is not of {party.name} for this manifest"
        raise InputRefused("SIGNATURE_INVALID", what, remedy="sign it, and deliver it again")


def _failed(party: Party, error: SwitchError) -> Delivered:
    """Words for a party whose folders keep the portal from its deliveries."""
    rule = str(error.told()["rule"])
    return {
        "party": party.name,
        "number": 0,
        "kind": "",
        "outcome": "failed",
        "rule": rule,
        "what": str(error),
    }


def _told(manifest: Manifest, outcome: str, rule: str, what: str) -> Delivered:
    return {
        "party": manifest.party,
        "number": manifest.number,
        "kind": manifest.kind,
        "outcome": outcome,
        "rule": rule,
        "what": what,
    }
