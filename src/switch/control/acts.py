"""Acts: what people sign about a payment table, as the audit chain keeps it.

A dossier is a table on its way to release. It begins with `prepare`, which says what the table is;
every act after it signs the same table again, and the act before it, so that none can be moved to
another dossier, left out or put elsewhere.
"""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec

from switch.control.keys import ALGORITHM, Signer
from switch.control.policy import Policy
from switch.home.chain import Record
from switch.home.store import Home

ACT, POLICY = "control", "policy"
"""Kinds of audit records. Neither has files, nor moves anything."""
ACT_DOMAIN, POLICY_DOMAIN = "switch control 1", "switch policy 1"
"""First part of what is signed, so that no signature can be taken for one about something else."""
HOLD, RESUME, PAUSE, CANCEL, REFUSE = "hold", "resume", "pause", "cancel", "refuse"
STOPS = (HOLD, PAUSE, RESUME, CANCEL, REFUSE)
"""Acts beside the steps; each needs a reason. hold: before release; pause: of a released table;
resume ends both. cancel and refuse are final."""


class Table(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A payment table as its maker declares it: its totals, and the digest of its file."""

    source: str
    batch_id: str
    value_date: str
    currency: str
    count: int
    sum: int
    digest: str
    """sha256: and 64 hexadecimal digits."""
    programmes: dict[str, int]
    """Minor units of the lines above zero, by benefit."""
    debtors: dict[str, int]
    """The same by debtor account."""

    @property
    def most(self) -> int:
        """The most that the table pays: a line below zero takes nothing from it."""
        return sum(self.programmes.values())


class Act(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True
):
    """One signed act about a dossier. A field that it says nothing of is not written."""

    dossier: int
    """Number of the dossier: 1, 2, ... in the order of preparation."""
    step: str
    """A step of the policy, or one of STOPS."""
    by: str
    """The person who signs, as the policy names them."""
    key: str
    """The public key of the signature."""
    at: str
    policy: int
    """Version with which the dossier was prepared."""
    after: str
    """Digest of the act before it; `mark_of` the home where it is the first act."""
    table: Table
    behalf: str = ""
    """The person who delegated the step to whoever signs."""
    why: str = ""
    answered: int | None = None
    """Lines that the population database answered: of `authenticate` alone."""
    algorithm: str = ALGORITHM
    signature: str = ""
    """128 hexadecimal digits; '' in a statement that is to be signed yet."""

    def message(self) -> bytes:
        """Bytes that are signed: a line that says what they are for, and the act as JSON in order
        of names, without its signature."""
        said = msgspec.structs.replace(self, signature="")
        return ACT_DOMAIN.encode() + b"\n" + msgspec.json.encode(said, order="sorted")

    def digest(self) -> str:
        """Digest by which the next act names this one."""
        return hashlib.sha256(self.message() + self.signature.encode()).hexdigest()

    def signed(self, signer: Signer) -> Act:
        """This act with a signature. signer: holds the key that the act names."""
        return msgspec.structs.replace(self, signature=signer.sign(self.message()).hex())


class PolicySigned(msgspec.Struct, frozen=True):
    """The word of one person for a version of the policy."""

    by: str
    key: str
    signature: str


class PolicyKept(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The audit record of a version of the policy."""

    version: int
    policy: Policy
    signatures: list[PolicySigned] = []


def policy_message(home: str, version: int, at: str, policy: Policy) -> bytes:
    """Bytes that are signed for a version of the policy. home: its mark (`mark_of`)."""
    said: dict[str, Any] = {"home": home, "version": version, "at": at, "policy": policy}
    return POLICY_DOMAIN.encode() + b"\n" + msgspec.json.encode(said, order="sorted")


def mark_of(home: Home) -> str:
    """The link of a home's first event, which no other home has: it holds a hash by its key."""
    return str(home.catalog.events.link(1))


def policies(home: Home) -> list[PolicyKept]:
    """All versions of the policy, oldest first."""
    records = home.catalog.audit.records(POLICY)
    return [_kept(record, PolicyKept) for record in records]


def acts(home: Home) -> list[Act]:
    """All acts, oldest first."""
    return [_kept(record, Act) for record in home.catalog.audit.records(ACT)]


def _kept(record: Record, kind: type[Any]) -> Any:
    """The content of a record; `files` is of every commit."""
    said = msgspec.json.decode(record.detail)
    return msgspec.convert({name: said[name] for name in said if name != "files"}, kind)
