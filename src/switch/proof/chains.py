"""Chains proven: the records of a home, and whether everything it keeps is what they recorded.

Nothing is decoded here that has not the digest of its commit. The audit chain records what changed
answers or money: the home's making, directory and settings, registers, batches, liquidity, cycles
that close and settle. The chain of events records what was done beside that: quarantine and repair.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from switch.arguments import BY_MAX, WHY_MAX
from switch.errors import EnvironmentFailed, HomeLocked, InputRefused, UsageError
from switch.files.disk import CATALOG
from switch.files.given import CHECKPOINTS_BYTES_MAX, read_small, reason_of
from switch.files.segment import digest_of, json_of
from switch.home import signing
from switch.home.catalog import tables_as_made
from switch.home.chain import GENESIS, Record, link_of
from switch.home.checkpoint import SIGNED, SIGNING_KEY, SIGNING_PUB, read_checkpoint
from switch.home.history import (
    CANCELLATION,
    EXPIRY,
    FEE_KINDS,
    PAYMENTS,
    RECALL,
    REFUND,
    expiries,
    fee_folders,
    folders,
    recasts,
)
from switch.home.history import KINDS as ANSWERS
from switch.home.rows import RegisterRow
from switch.home.signing import Signed, read_checkpoints, require_signed
from switch.home.store import Home, lock
from switch.outcomes import Check

SHOWN_TEXT = 80
WAITED = b'"state": "CLOSED"'
"""So says an answer of a cycle that has not settled."""
FILED = ("batch", "register", "settlement", CANCELLATION, EXPIRY, *ANSWERS, *FEE_KINDS)
"""Kinds of audit records that have files."""
_IDENTITY = ("source", "batch_id", "digest", "cycle")
"""Fields that the audit record of a batch has of its row."""


def compare(name: str, subject: str, found: Any, stored: Any) -> Check:
    """Compare two things: equal, or where they first differ."""
    if found == stored:
        return Check(name, subject, "")
    if isinstance(found, dict) and isinstance(stored, dict):
        keys = [k for k in {**found, **stored} if found.get(k) != stored.get(k)]
        key = sorted(keys, key=str)[0]
        says, has = (str(side.get(key))[:SHOWN_TEXT] for side in (found, stored))
        return Check(name, subject, f"{key}: the files say {says}, stored is {has}")
    return Check(name, subject, "the files say other than what is stored")


class Records:
    """The records of a home's chains, read once."""

    def __init__(self, home: Home) -> None:
        self.home = home
        self.audit = home.catalog.audit.records()
        self.events = home.catalog.events.records()
        self.links = [record.link for record in self.audit]

    def details(self, *kinds: str) -> list[tuple[str, dict[str, Any]]]:
        """(kind, detail) of the audit records of some kinds, in order."""
        return [
            (record.kind, msgspec.json.decode(record.detail))
            for record in self.audit
            if record.kind in kinds
        ]

    def checks(self) -> Iterator[Check]:
        """The chains hold, and so does what they say of catalog, keys and copies."""
        yield from self.chains()
        yield Check("checkpoint", self.home.catalog.path.name, catalog_fault(self.home))
        yield compare("catalog", "tables", tables_as_made(), self.home.catalog.tables())
        yield from self._meta()
        yield from self._batches()
        yield from self._registers()
        if not self.events:
            yield Check("chain of events", "keys", "the record of the keys is gone")
            return
        faults = self.key_faults(self.home.path)
        shown = ", ".join(f"{name} {fault}" for name, fault in faults.items())
        yield Check("keys and signatures", "beside the catalog", shown)

    def chains(self) -> Iterator[Check]:
        """Each record follows from the one before it."""
        yield _chain("audit chain", self.audit)
        yield _chain("chain of events", self.events)

    def _meta(self) -> Iterator[Check]:
        audited: dict[str, str] = {}
        faults: list[str] | None = None
        for _, detail in self.details("init", "directory"):
            beside = ("files", "correct", "said")
            if "said" in detail:
                faults = [*(faults or ()), *_said_faults(audited, detail)]
            audited |= {name: value for name, value in detail.items() if name not in beside}
        for _, detail in self.details("liquidity"):
            if "said" in detail:
                faults = [*(faults or ()), *_word_faults(detail["said"], detail.get("bound", []))]
        if faults is not None:  # Homes in which nobody said so are proven as ever.
            yield Check("audit chain", "changes of participants", "; ".join(faults))
        live = self.home.catalog.metas()
        del live["format"]
        yield compare("audit chain", "covers directory and settings", audited, live)

    def _batches(self) -> Iterator[Check]:
        audited = {
            detail["seq"]: [*(detail[name] for name in _IDENTITY), detail["summary"]]
            for _, detail in self.details("batch")
        }
        live = {
            batch.seq: [
                *(getattr(batch, name) for name in _IDENTITY),
                _sha256(self.home.catalog.summary(batch.seq)),
            ]
            for batch in self.home.catalog.batches()
        }
        yield compare("audit chain", "covers every batch", audited, live)

    def _registers(self) -> Iterator[Check]:
        audited = {d["version"]: d["manifest"] for _, d in self.details("register")}
        rows = self.home.catalog.registers()
        live = {row.seq: _sha256(row.manifest) for row in rows}
        yield compare("audit chain", "covers every register", audited, live)
        stored = {
            (paid.benefit, paid.period): paid.path for paid in self.home.catalog.paid("history")
        }
        yield compare("I6 paid bits", "history", history_paths(rows[-1]) if rows else {}, stored)

    def key_faults(self, root: Path) -> dict[str, str]:
        """Keys and signatures of a folder (a home or a copy) that are gone or changed, by name."""
        marks = msgspec.json.decode(self.events[0].detail)
        content = {
            name: (root / name).read_bytes() if (root / name).is_file() else b""
            for name in ("key", SIGNING_KEY, SIGNING_PUB, SIGNED)
        }
        sound = {"key": signing.keyed(content["key"], signing.KEY_MARK) == marks["key"]}
        if "signing" in marks:
            public, private = content[SIGNING_PUB], content[SIGNING_KEY]
            sound[SIGNING_PUB] = _sha256(public) == marks["signing"]
            try:
                derived = signing.public_of(private)
                sound[SIGNING_KEY] = (
                    signing.read_key(private) == private and _sha256(derived) == marks["signing"]
                )
            except UsageError:
                sound[SIGNING_KEY] = False
            if sound[SIGNING_KEY]:
                sound[SIGNED] = self._is_signed(content[SIGNED], private)
        return {
            name: "was changed" if (root / name).is_file() else "is gone"
            for name, holds in sound.items()
            if not holds
        }

    def signed(self, private: bytes) -> list[bytes]:
        """The lines of signed checkpoints, one a record: the same key signs the same bytes."""
        records = list(enumerate(self.links, start=1))
        return [said.line() for said in signing.sign(private, records)]

    def _is_signed(self, content: bytes, private: bytes) -> bool:
        """Every record has its line; a crash may have cut off the last."""
        lines = self.signed(private)
        whole = b"".join(lines)
        return whole.startswith(content) and len(content) >= len(whole) - len(lines[-1])


class Cutoffs:
    """Cut-offs of the calendar's cycles as whoever opened each says: a batch in its manifest, an
    answer or a closing in its audit record.

    Before cycles kept their cut-offs, a batch that came when the settings had others took the one
    that they gave the number of its cycle. So a batch may differ from its cycle by just that; and
    an answer that opened a cycle without a word of when it closes said the same.
    """

    def __init__(self, records: Records) -> None:
        self.opened: dict[str, str] = {}
        self._in_force: dict[int, list[str]] = {}
        """Cut-offs of the settings by number of the batch that came under them."""
        manifests = {
            batch.seq: msgspec.json.decode(records.home.catalog.manifest(batch.seq))
            for batch in records.home.catalog.batches()
        }
        opened = {row.cycle for row in records.home.catalog.cycles()}
        in_force: list[str] = []
        for kind, detail in records.details(
            "init", "directory", "batch", "cycle", *ANSWERS, PAYMENTS, REFUND
        ):
            cycle = detail.get("cycle", "")
            if "settings" in detail:
                in_force = msgspec.json.decode(detail["settings"]).get("cutoffs", [])
            closes = detail.get("closes") or _closing(cycle, in_force)
            if kind == "batch" and detail["seq"] in manifests:
                self._in_force[detail["seq"]] = in_force
                closes = manifests[detail["seq"]].get("closes", "")
            if cycle in opened:
                self.opened.setdefault(cycle, closes)

    def kept(self, manifest: dict[str, Any], closes: str | None) -> bool:
        """A batch's manifest has the cut-off of its cycle, or that of the settings of its time."""
        mine = manifest.get("closes")
        if mine is None or closes is None or mine == closes:
            return bool(mine == closes)
        in_force = self._in_force.get(manifest["seq"], [])
        return bool(mine == _closing(manifest["cycle"], in_force))


def _closing(cycle: str, cutoffs: list[str]) -> str:
    """Time at which the cycle of a number closes by these cut-offs; '' where they have no such
    number."""
    day, _, number = cycle.partition("-")
    at = int(number) if number.isdecimal() else 0
    if not 1 <= at <= len(cutoffs):
        return ""
    return f"{day[:4]}-{day[4:6]}-{day[6:]}T{cutoffs[at - 1]}:00+07:00"


_SAID_CHANGES = {"status", "net_debit_cap"}
"""Fields of a participant that are changed on somebody's word."""


def _said_faults(before: Mapping[str, str], detail: Mapping[str, Any]) -> list[str]:
    """Faults of a record by which one participant was changed: who said so and why stand in it, and
    of the directory nothing else changes. before: what records before it say, by name."""
    old, new = (msgspec.json.decode(one["directory"]) for one in (before, detail))
    rows = [{p["participant"]: p for p in one.pop("participants")} for one in (old, new)]
    changed = [code for code in {**rows[0], **rows[1]} if rows[0].get(code) != rows[1].get(code)]
    found = _word_faults(detail["said"], changed)
    if old != new or before["settings"] != detail["settings"]:
        found.append("more than a participant is changed on the word of one")
    for code in changed:
        parts = rows[0].get(code, {}), rows[1].get(code, {})
        fields = {name for one in parts for name in one if parts[0].get(name) != parts[1].get(name)}
        if not fields <= _SAID_CHANGES:
            found.append(f"of participant {code} more is changed than its status and its cap")
    return found


def _word_faults(said: Mapping[str, Any], changed: Sequence[str]) -> list[str]:
    """Faults of the word on which a participant was changed. changed: codes of those that were."""
    found = [] if list(changed) == [said.get("participant")] else ["another participant is changed"]
    for name, most in (("by", BY_MAX), ("why", WHY_MAX)):
        text = said.get(name)
        if not isinstance(text, str) or not 0 < len(text) <= most:
            found.append(f"a participant is changed, and the record does not say {name}")
    return found


def _chain(name: str, records: list[Record]) -> Check:
    previous, fault = GENESIS, ""
    for count, record in enumerate(records, start=1):
        link = link_of(previous, record.seq, record.at, record.kind, record.detail)
        if (record.seq, record.previous, record.link) != (count, previous, link):
            fault = fault or f"record {record.seq} does not follow from the one before it"
        previous = record.link
    return Check(name, f"{len(records)} records", fault)


def catalog_fault(home: Home) -> str:
    """Compare the catalog's bytes with those of the last commit. One that is ahead of its
    checkpoint was left by a crash, and only its chain can speak for it."""
    if home.catalog.heads() != home.checkpoint.heads:
        return ""
    same = home.catalog.digest() == home.checkpoint.catalog
    return "" if same else f"{home.catalog.called} was changed"


def is_changed(path: Path) -> bool:
    """Say whether a home's catalog, which SQLite may not be able to read, is other than as it was
    written; not beside a writer, whose locks go where its process closes the file."""
    with contextlib.suppress(HomeLocked), lock(path, writing=False):
        return digest_of(path / CATALOG) != read_checkpoint(path).catalog
    return False


def file_faults(home: Home, root: Path) -> dict[str, str]:
    """Committed files that are gone or changed below a folder (a home or a copy), by path."""
    faults = {}
    for path, sha256, size in home.catalog.files():
        file = root / path
        if not file.is_file():
            faults[path] = "is gone"
        elif file.stat().st_size != size or digest_of(file) != sha256:
            faults[path] = "was changed"
    return faults


def strangers(home: Home) -> list[str]:
    """Files in committed folders that no commit names. A whole folder that no commit names is what
    a crash left behind: it was never read, and the next writer puts it into quarantine."""
    named = {file.path for file in home.catalog.files()}
    folders = {"/".join(path.split("/")[:2]) for path in named}
    return sorted(
        path
        for folder in folders
        for file in (home.path / folder).rglob("*")
        if file.is_file() and (path := file.relative_to(home.path).as_posix()) not in named
    )


def history_paths(version: RegisterRow) -> dict[tuple[str, int], str]:
    """Files of the loaded history of a version of the register, by (benefit, period): where no
    folder is named, its own."""
    return {
        (benefit, period): f"registers/{name}"
        if "/" in name
        else f"registers/{version.seq:06d}/{name}"
        for benefit, period, name in msgspec.json.decode(version.manifest)["history"]
    }


def files(home: Home, records: Records, faults: dict[str, str]) -> Iterator[Check]:
    """The files are those of the catalog, and the catalog's are those of the chain."""
    rows = home.catalog.files()
    for path, fault in faults.items():
        yield Check("files", path, f"{path} {fault}")
    if not faults:
        yield Check("files", f"{len(rows)} files", "")
    extra = strangers(home)
    yield Check("files", "no strangers", f"{extra[0]} is not in the catalog" if extra else "")
    audited: dict[str, str] = {}
    for kind, detail in records.details(*FILED):
        if kind == "register" and "before" not in detail:  # The versions before are dropped.
            audited = {path: d for path, d in audited.items() if not path.startswith("registers/")}
        audited |= detail["files"]
    stored = {file.path: file.sha256 for file in rows}
    differ = sorted(path for path, _ in audited.items() ^ stored.items())
    yield Check(
        "audit chain", "covers every file", f"{differ[0]} is not as audited" if differ else ""
    )
    yield Check("copies", "HOME/out", _copies_fault(home))


def _copies_fault(home: Home) -> str:
    """Copies that still stand in HOME/out are what was committed: they are what is handed out."""
    of_calendar = {row.cycle: row for row in home.catalog.cycles()}
    for batch in home.catalog.batches():
        folder = home.folder("batches", batch.seq)
        own = home.path / "out" / home.catalog.out_name(batch.batch_id, batch.seq)
        cycle = home.path / "out" / "cycles" / batch.cycle
        for name, sha256 in home.digests(folder).items():
            if name == "positions.parquet" and batch.cycle in of_calendar:
                continue  # The copy is of the whole cycle.
            root = cycle if name in ("positions.parquet", "settlement.json") else own
            if (root / name).is_file() and digest_of(root / name) != sha256:
                shown = (root / name).relative_to(home.path).as_posix()
                return f"{shown} is no copy of the committed file: run the table again"
    closed = home.catalog.audit.records("cycle")
    requests = [msgspec.json.decode(record.detail) for record in closed]
    asked = {said["cycle"]: [json_of(said["request"])] for said in requests}
    for record in home.catalog.audit.records("answers", "day", RECALL):
        for name, request in msgspec.json.decode(record.detail).get("requests", {}).items():
            asked[name].append(json_of(request))
    for row in of_calendar.values():
        for name, kept in (("settlement.json", row.request), ("answer.json", row.answer)):
            copy = home.path / "out" / "cycles" / row.cycle / name
            if not kept or not copy.is_file():
                continue
            content = copy.read_bytes()
            if name == "answer.json" and WAITED in content:
                continue  # An older answer: a crash came before the copy of the last one.
            if name == "settlement.json" and content in asked.get(row.cycle, ()):
                continue  # Asked before a recast or refusal: a crash came before the next copy.
            if content != json_of(msgspec.json.decode(kept)):
                shown = copy.relative_to(home.path).as_posix()
                return f"{shown} is no copy of what was committed: settle the cycle again"
    faults = (_recall_fault, _recalled_fault, _expired_fault, _fees_fault, _day_fault)
    return next(filter(None, (fault(home) for fault in faults)), "")


def _day_fault(home: Home) -> str:
    """Statements that were handed out are those of the last sign-off of their day."""
    days = {f.detail.answer["as_of"]: f for f in folders(home) if f.kind == "day"}
    for day, folder in days.items():
        for name, sha256 in home.digests(home.path / folder.name).items():
            copy = home.path / "out" / "days" / day / name
            if copy.is_file() and digest_of(copy) != sha256:
                shown = copy.relative_to(home.path).as_posix()
                return f"{shown} is no copy of the committed file: close the day again"
    return ""


def _recall_fault(home: Home) -> str:
    for recast in recasts(home):
        folder = home.path / "out" / "cycles" / recast.cycle
        for name, sha256 in home.digests(home.path / recast.folder).items():
            copy = folder / name
            if name.startswith("recall/") and copy.is_file() and digest_of(copy) != sha256:
                shown = copy.relative_to(home.path).as_posix()
                return f"{shown} is no copy of the committed file: settle the cycle again"
    return ""


def _recalled_fault(home: Home) -> str:
    """Lists of recalls that were handed out are those that were committed."""
    for folder in folders(home):
        for name, sha256 in home.digests(home.path / folder.name).items():
            copy = home.path / "out" / "recalls" / f"{folder.number:06d}" / Path(name).name
            is_list = folder.kind == RECALL and name.startswith("recall/")
            if is_list and copy.is_file() and digest_of(copy) != sha256:
                shown = copy.relative_to(home.path).as_posix()
                return f"{shown} is no copy of the committed file: recall the lines again"
    return ""


def _expired_fault(home: Home) -> str:
    """Lists of lines that expired which were handed out are those that were committed."""
    for one in expiries(home):
        copy = home.path / "out" / f"{one.folder}.parquet"
        stored = home.catalog.file(f"{one.folder}/lines.parquet")
        if copy.is_file() and (stored is None or digest_of(copy) != stored.sha256):
            shown = copy.relative_to(home.path).as_posix()
            return f"{shown} is no copy of the committed file: expire the lines again"
    return ""


def _fees_fault(home: Home) -> str:
    """Answers to payments of fees that were handed out are those that were committed."""
    for one in fee_folders(home):
        copy = home.path / "out" / f"{one.name}.parquet"
        stored = home.catalog.file(f"{one.name}/payments.parquet")
        if stored is not None and copy.is_file() and digest_of(copy) != stored.sha256:
            shown = copy.relative_to(home.path).as_posix()
            return f"{shown} is no copy of the committed file: take the payments again"
    return ""


def _sha256(text: str | bytes) -> str:
    return hashlib.sha256(text.encode() if isinstance(text, str) else text).hexdigest()


def kept_checkpoints(checkpoint: Path, public_key: bytes | None) -> list[Signed]:
    """Checkpoints of a file that somebody kept, each signed by the key of the home."""
    if public_key is None:
        raise UsageError("a checkpoint is proven with the public key of the home that signed it")
    try:
        content = read_small(checkpoint, CHECKPOINTS_BYTES_MAX)
    except (InputRefused, EnvironmentFailed) as error:
        raise UsageError(f"{checkpoint}: {reason_of(error)}") from error
    signed = read_checkpoints(content, str(checkpoint))
    if not signed:
        raise UsageError(f"{checkpoint} holds no checkpoint")
    require_signed(public_key, signed, str(checkpoint))
    return signed
