"""Spool: folders through which parties hand files to a home and get answers, on a disk they share.

    SPOOL/PARTY/inbox/000001/      what a party delivers: files, and a manifest that lands last
    SPOOL/PARTY/archive/000001/    what was taken, as it was read
    SPOOL/PARTY/refused/000001/    what was refused
    SPOOL/PARTY/outbox/            an answer for each delivery

A delivery is there when its manifest is: until then nobody looks at it. Whoever can write into an
inbox may change a file at any time, so what is taken is a copy, and what is proven is that copy.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import stat
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import msgspec

from switch.control.keys import Signer
from switch.errors import InputRefused, UsageError
from switch.files.disk import land, machine, require_outside
from switch.files.given import decode_once, opened, read_small
from switch.files.segment import sync_file, sync_folder
from switch.schema import DELIVERED

MANIFEST = "manifest.json"
DOMAIN = "switch delivery 1"
"""First part of what is signed, so that no signature can be taken for one about something else."""
FILES_MAX = 16
BLOCK_BYTES = 1 << 20
SHARED = 0o640
"""Mode of manifests and answers: the other side of the spool reads them by its group."""
UNSIGNED, REPEATED = "unsigned", "repeated"
"""Words for deliveries that are not the one which was recorded under their number."""
GENESIS = "0" * 64
"""`after` of a party's first manifest."""
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")
_NUMBER = re.compile(r"[0-9]{6}")
_ASIDE = re.compile(r"\.(taking|copying|emptied)-([0-9]{6})")


class Content(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One file of a delivery."""

    name: str
    bytes: int
    sha256: str


class Manifest(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True
):
    """Signed description of a delivery."""

    party: str
    number: int
    """1, 2, ... without a gap, for each party."""
    kind: str
    """One of DELIVERED."""
    at: str
    count: int
    """Rows, or lines of a payment table."""
    sum: int
    """Amounts in minor units."""
    contents: list[Content]
    after: str
    """Digest of the party's manifest before; GENESIS in its first."""
    key: str
    signature: str = ""

    def message(self) -> bytes:
        """Bytes that are signed: what they are for, and the manifest without its signature."""
        said = msgspec.structs.replace(self, signature="")
        return DOMAIN.encode() + b"\n" + msgspec.json.encode(said, order="sorted")

    def signed(self, signer: Signer) -> Manifest:
        """This manifest with a signature. signer: holds the key that it names."""
        return msgspec.structs.replace(self, signature=signer.sign(self.message()).hex())

    def digest(self) -> str:
        """Digest by which the next manifest names this one."""
        return hashlib.sha256(self.message() + self.signature.encode()).hexdigest()


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """Answer to a delivery, as the party's outbox has it."""

    party: str
    number: int
    manifest: str
    """Digest of the manifest that is answered; '' where none could be read."""
    outcome: str
    """taken, refused, missing or repeated."""
    rule: str = ""
    what: str = ""
    remedy: str = ""
    at: str = ""


def party_folder(spool: Path, party: str) -> Path:
    """The folder of a party. Raises UsageError for a name that is none."""
    if not _NAME.fullmatch(party):
        raise UsageError(f"{party[:64]!r} names no party: 1 to 64 of A-Z a-z 0-9 . _ -")
    return require_outside(spool.absolute()) / party


def make_folders(spool: Path, party: str) -> Path:
    """Make the folders of a party, where they are not there; its folder."""
    folder = party_folder(spool, party)
    places = [folder / name for name in ("inbox", "outbox", "archive", "refused")]
    with machine(spool):
        for place in places:
            if not os.path.lexists(place):
                place.mkdir(mode=0o770, parents=True)
        for place in (folder, *places):
            if not stat.S_ISDIR(place.lstat().st_mode):
                what, remedy = "a link or a file stands where a folder has to", "remove it"
                raise InputRefused("NOT_REGULAR", what, file=str(place), remedy=remedy)
    return folder


def waiting(folder: Path) -> list[int]:
    """Numbers of the deliveries in an inbox whose manifest has landed, in order."""
    with machine(folder):
        names = [entry.name for entry in os.scandir(folder / "inbox")]
    found = [name for name in names if _NUMBER.fullmatch(name)]
    there = [name for name in found if os.path.lexists(folder / "inbox" / name / MANIFEST)]
    return sorted(map(int, there))


def name_of(number: int) -> str:
    """The name of a delivery's folder."""
    return f"{number:06d}"


def deliver(spool: Path, draft: Manifest, files: Iterable[Path], signer: Signer) -> Manifest:
    """Put a delivery into the inbox of a party: its files first, and its manifest when all of them
    are on the disk. draft: without contents and signature. Raises UsageError where the number was
    delivered already."""
    files = list(files)
    if not all(_NAME.fullmatch(file.name) and file.name != MANIFEST for file in files):
        raise UsageError(
            "files of a delivery have names of A-Z a-z 0-9 . _ -, and none a manifest's"
        )
    if not _NUMBER.fullmatch(name_of(draft.number)):
        raise UsageError(f"{draft.number} is beyond the last number of a delivery")
    folder = party_folder(spool, draft.party) / "inbox" / name_of(draft.number)
    if os.path.lexists(folder / MANIFEST):
        raise UsageError(f"{folder} is delivered already: give the next number")
    with machine(spool):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(mode=0o770, parents=True)
        contents = [_copied(file, folder / file.name) for file in files]
        manifest = msgspec.structs.replace(draft, contents=contents).signed(signer)
        sync_folder(folder)
    land(folder / MANIFEST, _text(manifest))
    with machine(spool):
        (folder / MANIFEST).chmod(SHARED)
        sync_folder(folder)
        sync_folder(folder.parent)
    return manifest


def read_manifest(folder: Path, party: str, number: int) -> Manifest:
    """The manifest of a delivery. Raises InputRefused for what is none, or of another one."""
    path = folder / "inbox" / name_of(number) / MANIFEST
    try:
        manifest = decode_once(_own(path), Manifest)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise _invalid(path, f"it is no manifest: {str(error)[:120]}") from None
    if (manifest.party, manifest.number) != (party, number):
        raise _invalid(path, "it is of another party or number than the folder in which it stands")
    names = [content.name for content in manifest.contents]
    if not 1 <= len(names) <= FILES_MAX or len(set(names)) < len(names):
        raise _invalid(path, f"it does not name 1 to {FILES_MAX} files, each once")
    if MANIFEST in names or not all(map(_NAME.fullmatch, names)):
        raise _invalid(path, "a file has a name of other characters than A-Z a-z 0-9 . _ -")
    if manifest.kind not in DELIVERED:
        raise _invalid(path, f"its kind is none of {', '.join(DELIVERED)}")
    return manifest


def take_copy(folder: Path, manifest: Manifest) -> Path:
    """A copy of the files of a delivery that nobody else writes to, as its manifest has them.
    Raises InputRefused for a file that is missing, or another one."""
    source = folder / "inbox" / name_of(manifest.number)
    whole = folder / f".taking-{name_of(manifest.number)}"
    target = folder / f".copying-{name_of(manifest.number)}"
    with machine(folder):
        shutil.rmtree(whole, ignore_errors=True)
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir(mode=0o700)
        for content in manifest.contents:
            if not os.path.lexists(source / content.name):
                raise _invalid(source / content.name, "the manifest names it, and it is not there")
            if _copied(source / content.name, target / content.name, content.bytes) != content:
                raise InputRefused(
                    "FILE_HASH",
                    "it is not the file that its manifest names",
                    file=str(source / content.name),
                    remedy="deliver it again under the next number",
                )
        (target / MANIFEST).write_bytes(_text(manifest))
        sync_file(target / MANIFEST)
        sync_folder(target)
        target.rename(whole)
    return whole


def put_away(folder: Path, manifest: Manifest) -> None:
    """Empty the inbox of a delivery, and give its copy a place in the archive: each is one
    renaming, so that a crash leaves the one or the other. `tidy` does what is left."""
    name = name_of(manifest.number)
    with machine(folder):
        if not (folder / f".taking-{name}").exists():
            take_copy(folder, manifest)
        shutil.rmtree(folder / f".emptied-{name}", ignore_errors=True)
        (folder / "inbox" / name).rename(folder / f".emptied-{name}")
        sync_folder(folder / "inbox")
    tidy(folder, {manifest.number: "taken"})


def tidy(folder: Path, known: Mapping[int, str]) -> None:
    """Do what a crash left of deliveries that are recorded, and remove what is of no use. known:
    outcomes by number."""
    with machine(folder):
        found = (_ASIDE.fullmatch(entry.name) for entry in os.scandir(folder))
        for match in [one for one in found if one]:
            name, kind, number = match[0], match[1], match[2]
            target = folder / "archive" / number
            is_taken = kind == "taking" and known.get(int(number)) == "taken"
            if is_taken and (folder / "inbox" / number).exists():
                continue  # Its answer may be missing, too.
            if is_taken and not target.exists():
                (folder / name).rename(target)
                sync_folder(target.parent)
            shutil.rmtree(folder / name, ignore_errors=True)


def put_aside(folder: Path, number: int, why: str = "") -> None:
    """Move a delivery out of the inbox to those that were refused, as it is. why: a word behind its
    number where it is not the one that was recorded under that: unsigned or repeated."""
    name = name_of(number)
    with machine(folder):
        again = 1
        target = first = folder / "refused" / (f"{name}.{why}" if why else name)
        while os.path.lexists(target):
            again += 1
            target = first.with_name(f"{first.name}.{again}")
        (folder / "inbox" / name).rename(target)


def is_done(folder: Path, number: int, outcome: str) -> bool:
    """The delivery that was recorded under a number was answered, and has its place."""
    name = name_of(number)
    place = folder / ("archive" if outcome == "taken" else "refused") / name
    return os.path.lexists(place) and (folder / "outbox" / f"{name}.{outcome}.json").exists()


def answer(folder: Path, told: Answer) -> None:
    """Put an answer into the outbox of a party; the same again is the same file, and what nobody
    signed takes the place of no answer to what somebody did."""
    outcome = told.outcome if told.manifest else UNSIGNED
    name = f"{name_of(told.number)}.{outcome}.json"
    land(folder / "outbox" / name, msgspec.json.format(msgspec.json.encode(told), indent=2) + b"\n")
    with machine(folder):
        (folder / "outbox" / name).chmod(SHARED)


def last_of(folder: Path, party: str) -> tuple[int, str]:
    """Number and digest of the last manifest of a party that was taken or refused, or waits in its
    inbox behind that; 0 and GENESIS where there is none."""
    found = {0: GENESIS}
    for told in answers(folder):
        if told.manifest and told.outcome in ("taken", "refused"):
            found[told.number] = told.manifest
    there = waiting(folder)
    last = max(found)
    while last + 1 in there:
        last += 1
        found[last] = read_manifest(folder, party, last).digest()
    return last, found[last]


def answers(folder: Path) -> Iterator[Answer]:
    """Answers in the outbox of a party, in order of names."""
    for path in sorted((folder / "outbox").glob("*.json")):
        try:
            yield msgspec.json.decode(_own(path), type=Answer)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            raise InputRefused(
                "MANIFEST_INVALID", "it is no answer", file=str(path), remedy="remove it"
            ) from None


def _own(path: Path) -> bytes:
    """Bytes of a small file, to which no link leads."""
    if path.is_symlink():
        raise _invalid(path, "it is a link")
    return read_small(path)


def _copied(source: Path, target: Path, most: int | None = None) -> Content:
    """Copy a plain file, synced; its size and digest as it was copied. most: bytes beyond which it
    is another one, whose rest is left."""
    digest, size = hashlib.sha256(), 0
    with opened(source) as (file, _), open(target, "xb") as out:
        while most is None or size <= most:
            block = os.read(file, BLOCK_BYTES)
            if not block:
                break
            digest.update(block)
            size += len(block)
            out.write(block)
    sync_file(target)
    return Content(target.name, size, digest.hexdigest())


def _text(manifest: Manifest) -> bytes:
    return msgspec.json.format(msgspec.json.encode(manifest, order="sorted"), indent=2) + b"\n"


def _invalid(path: Path, what: str) -> InputRefused:
    remedy = "deliver it again: `switch deliver` writes manifests"
    return InputRefused("MANIFEST_INVALID", what, file=str(path), remedy=remedy)
