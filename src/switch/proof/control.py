"""The proof of control: signatures, the order of steps, and that what ran is what was certified.

Reads the audit chain alone and shares no rule with `switch.control`: statements are written again
with another encoder, and what each version of the policy asks for is counted again from its text.
"""

from __future__ import annotations

import datetime
import hashlib
import json
from collections.abc import Iterator
from typing import Any

from switch.home.chain import Record
from switch.home.store import Home
from switch.home.times import day_of, is_before
from switch.outcomes import Check

Doc = dict[str, Any]
_ORDER = ("prepare", "approve", "authenticate", "control", "certify", "fund", "release")
_STOPPING = ("hold", "pause", "cancel", "refuse")
_TRUST = {"hold": "hold", "pause": "hold", "resume": "hold", "cancel": "cancel"}
_TABLE = {"count": "count", "sum": "sum", "value_date": "value_date"}


class _Way:
    """A dossier as its acts have it so far."""

    def __init__(self, version: int, policy: Doc, table: Doc) -> None:
        self.version, self.policy, self.table = version, policy, table
        self.link = ""
        self.last = ("", "")
        """Time of the last act, and of the last act of a step."""
        self.signed: dict[str, list[str]] = {}
        """Persons, with who delegated to them, by step."""
        self.keys: dict[str, str] = {}
        """Persons by the key with which they signed."""
        self.stopped = ""

    def due(self) -> str:
        """The first step that too few have signed; '' where all are signed."""
        for step in self.policy["steps"]:
            most = sum(self.table["programmes"].values())
            more = [a["signers"] for a in step.get("above", ()) if most > a["sum"]]
            needed = max([step.get("signers", 1), *more])
            acts = [name for name in self.signed.get(step["step"], []) if not name.startswith("=")]
            if len(acts) < needed:
                return str(step["step"])
        return ""

    def is_released(self) -> bool:
        """All steps are signed, and nothing stops it."""
        return not self.due() and not self.stopped


class _Book:
    """Everything that was said up to a record."""

    def __init__(self, home: str) -> None:
        self.home = home
        self.policies: list[Doc] = []
        self.ways: dict[int, _Way] = {}
        self.signatures: set[str] = set()
        self.run: set[tuple[str, str]] = set()
        self.delivered: dict[str, tuple[int, str]] = {}
        """Number and digest of the last manifest, by party."""

    def policy(self, record: Record, said: Doc) -> str:
        """Fault of a version of the policy; ''."""
        policy, version = said["policy"], said["version"]
        if version != len(self.policies) + 1:
            return f"version {version} comes behind version {len(self.policies)}"
        signed = said.get("signatures", [])
        told = {"home": self.home, "version": version, "at": record.at, "policy": policy}
        fault = "" if self.policies else ("the first is signed" if signed else "")
        if self.policies:
            before = self.policies[-1]
            names = {one["by"] for one in signed}
            if len(names) < max(before.get("changed_by", 1), len(signed)):
                fault = "too few persons signed it"
            for one in signed:
                fault = fault or _trusted(before, one["by"], "policy")
                fault = fault or _key(before, one["by"], one["key"], day_of(record.at))
                if not _is_signed(one, _message("switch policy 1", told)):
                    fault = fault or f"the signature of {one['by']} is none"
        self.policies.append(policy)
        return fault

    def act(self, record: Record, said: Doc) -> str:
        """Fault of an act; ''."""
        signature = said["signature"]
        body = {name: value for name, value in said.items() if name != "signature"}
        message = _message("switch control 1", body)
        if not self.policies:
            return "there was no policy"
        fault = "" if _is_signed(said, message) else f"the signature of {said['by']} is none"
        if signature in self.signatures or said["at"] != record.at:
            fault = fault or "it was signed for another place"
        self.signatures.add(signature)
        fault = fault or _key(self.policies[-1], said["by"], said["key"], day_of(said["at"]))
        way = self.ways.get(said["dossier"])
        if way is None:
            table = said["table"]
            names = (table["source"], table["batch_id"])
            others = [
                w for w in self.ways.values() if (w.table["source"], w.table["batch_id"]) == names
            ]
            if others and others[-1].stopped not in ("cancel", "refuse"):
                fault = fault or "another dossier of its batch is under way"
            way = _Way(said["policy"], self.policies[-1], said["table"])
            self.ways[said["dossier"]] = way
            way.link = self.home
            if said["policy"] != len(self.policies) or said["dossier"] != len(self.ways):
                fault = fault or "it begins no dossier"
        table = said["table"]
        parts = [sorted(table[name].values()) for name in ("programmes", "debtors")]
        is_sound = table["sum"] <= sum(parts[0]) == sum(parts[1])
        is_sound &= all(part >= 0 for part in (*parts[0], *parts[1]))
        if table != way.table or said["policy"] != way.version or not is_sound:
            fault = fault or "it is about another table than its dossier"
        if said["after"] != way.link:
            fault = fault or "it follows another act than the one before it"
        way.link = hashlib.sha256(message + signature.encode()).hexdigest()
        if (table["source"], table["batch_id"]) in self.run:
            fault = fault or "its table was run before it"
        if way.keys.setdefault(said["key"], said["by"]) != said["by"]:
            fault = fault or "its key signed as another person"
        if said.get("behalf") and not _person(self.policies[-1], said["behalf"]):
            fault = fault or f"{said['behalf']} is nobody any more"
        return fault or _moved(way, said)

    def delivery(self, said: Doc) -> str:
        """Fault of a delivery; ''."""
        manifest = said["manifest"]
        body = {name: value for name, value in manifest.items() if name != "signature"}
        message = _message("switch delivery 1", body)
        number, digest = self.delivered.get(manifest["party"], (0, "0" * 64))
        signed = message + manifest["signature"].encode()
        self.delivered[manifest["party"]] = number + 1, hashlib.sha256(signed).hexdigest()
        parties = self.policies[-1].get("parties", ()) if self.policies else ()
        party = next((p for p in parties if p["name"] == manifest["party"]), None)
        if party is None or not _is_signed(manifest, message):
            return "its manifest is not signed by a party"
        fault = _valid(party, manifest["party"], manifest["key"], day_of(manifest["at"]))
        if manifest["number"] != number + 1:
            fault = fault or f"it comes behind number {number}"
        if said["outcome"] == "taken" and manifest["after"] != digest:
            fault = fault or "it names another manifest than the one before it"
        if said["outcome"] == "taken" and manifest["kind"] not in party["kinds"]:
            fault = fault or f"its party may not deliver {manifest['kind']}"
        if (said["outcome"] == "refused") != bool(said.get("rule")):
            fault = fault or "it does not say why it was refused"
        return fault

    def batch(self, said: Doc, row: Doc) -> str:
        """Fault of a batch that was run; ''."""
        self.run.add((said["source"], said["batch_id"]))
        if not self.policies:
            return ""
        mine = [
            way
            for way in self.ways.values()
            if (way.table["source"], way.table["batch_id"]) == (said["source"], said["batch_id"])
        ]
        if not mine or not mine[-1].is_released():
            return "it was run and not released"
        certified = {name: mine[-1].table[name] for name in row}
        other = [name for name, value in row.items() if value != certified[name]]
        return f"{', '.join(other)} differs from what was certified" if other else ""


def checks(home: Home) -> Iterator[Check]:
    """A check of every policy and act, and of every batch since the first policy."""
    records = home.catalog.audit.records("policy", "control", "portal", "batch")
    if not any(record.kind == "policy" for record in records):
        return
    book = _Book(str(home.catalog.events.link(1)))
    for record in records:
        said = json.loads(record.detail)
        said.pop("files", None)
        subject = f"record {record.seq}"
        if record.kind == "policy":
            yield Check("policy", subject, book.policy(record, said))
        elif record.kind == "control":
            yield Check("acts of control", subject, book.act(record, said))
        elif record.kind == "portal":
            yield Check("deliveries", subject, book.delivery(said))
        else:
            batch = home.catalog.batch(said["seq"])
            row = {
                "digest": batch.digest,
                "count": batch.lines,
                "sum": int(batch.amount),
                "value_date": batch.value_date,
            }
            fault = book.batch(said, row)
            yield Check("I7 executed is certified", f"batch {batch.seq}", fault)


def _moved(way: _Way, said: Doc) -> str:
    """Fault of an act in the state in which its dossier is; then it is in the next."""
    step, by, behalf = said["step"], said["by"], said.get("behalf", "")
    due, late = way.due(), _late(way, said)
    way.last = said["at"], said["at"] if step in _ORDER else way.last[1]
    if late:
        return late
    if way.stopped in ("cancel", "refuse"):
        return "its dossier had ended"
    if step not in _ORDER:
        role = due if step == "refuse" else _TRUST.get(step, "")
        fits = {
            "hold": bool(due) and not way.stopped,
            "pause": not due and not way.stopped,
            "resume": bool(way.stopped),
            "cancel": True,
            "refuse": bool(due),
        }
        is_fit = fits.get(step) and said.get("why") and not behalf
        fault = "" if is_fit else "it fits no state of its dossier"
        way.stopped = step if step in _STOPPING else ""
        return fault or _trusted(way.policy, by, role)
    fault = "" if step == due and not way.stopped else f"{step} was not due"
    if behalf:
        fault = fault or _delegated(way.policy, behalf, by, step, day_of(said["at"]))
        fault = fault or _trusted(way.policy, behalf, step)
    else:
        fault = fault or _trusted(way.policy, by, step)
    known = {name.removeprefix("=") for names in way.signed.values() for name in names}
    if known & ({by, behalf} - {""}):
        fault = fault or f"{by} signed it twice"
    if step == "authenticate" and said.get("answered") != way.table["count"]:
        fault = fault or "not every line was answered"
    here = way.signed.setdefault(step, [])
    here += [by, *([f"={behalf}"] if behalf else [])]
    rule: Doc = next((s for s in way.policy["steps"] if s["step"] == step), {})
    if rule.get("apart"):
        mine = {_house(way.policy, name) for name in (by, behalf) if name}
        before = here[: -2 if behalf else -1]
        if mine & {_house(way.policy, name.removeprefix("=")) for name in before}:
            fault = fault or "two of one organisation signed it"
    return fault


def _house(policy: Doc, name: str) -> str:
    return str(_person(policy, name).get("organisation", ""))


def _late(way: _Way, said: Doc) -> str:
    """Fault of the time of an act; ''."""
    before, stepped = way.last
    if before and is_before(said["at"], before):
        return "its time lies before that of the act before"
    rule: Doc = next((s for s in way.policy["steps"] if s["step"] == said["step"]), {})
    if not stepped or way.signed.get(said["step"]) or rule.get("days") is None:
        return ""
    days = (day_of(said["at"]) - day_of(stepped)).days
    return "" if days <= rule["days"] else f"it comes {days} days behind the step before"


def _message(domain: str, said: Doc) -> bytes:
    text = json.dumps(said, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return f"{domain}\n{text}".encode()


def _is_signed(said: Doc, message: bytes) -> bool:
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(said["key"]))
        key.verify(bytes.fromhex(said["signature"]), message)
    except (InvalidSignature, ValueError):
        return False
    return "algorithm" not in said


def _person(policy: Doc, name: str) -> Doc:
    return next((person for person in policy["people"] if person["name"] == name), {})


def _trusted(policy: Doc, name: str, role: str) -> str:
    has = role in _person(policy, name).get("roles", ())
    return "" if has else f"{name} has not the role {role!r}"


def _delegated(policy: Doc, giver: str, taker: str, role: str, day: datetime.date) -> str:
    for given in policy.get("delegations", ()):
        if (given["giver"], given["taker"], given["role"]) == (giver, taker, role) and (
            given["from"] <= str(day) <= given["until"]
        ):
            return ""
    return f"{giver} gave {taker} no {role}"


def _key(policy: Doc, name: str, public: str, day: datetime.date) -> str:
    return _valid(_person(policy, name), name, public, day)


def _valid(holder: Doc, name: str, public: str, day: datetime.date) -> str:
    for key in holder.get("keys", ()):
        if key["public"] == public:
            first, last = key.get("from"), key.get("until")
            early = first is not None and str(day) < first
            late = last is not None and str(day) > last
            return f"the key of {name} was not valid on {day}" if early or late else ""
    return f"the key is none of {name}"
