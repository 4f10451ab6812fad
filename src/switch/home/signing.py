"""Signing: the home's two secrets. With one it makes keyed hashes, by which ids are told apart;
with the other, an Ed25519 key, statements about its history that others can keep.

A signed checkpoint says "record `seq` of my audit chain has this link". Whoever keeps the line can
prove later that a history goes on from what was signed, or that it does not. Needs the extra
`[sign]` (cryptography); a home without a key signs nothing.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence
from typing import Any

import msgspec

from switch.errors import InputRefused, UsageError, VerificationFailed

DOMAIN = "switch checkpoint 1"
"""First part of what is signed, so that no signature can be taken for one about something else."""


KEY_MARK = "the key of this home"
"""The keyed hash of this text stands in the first event, so that another key is noticed."""


def keyed(key: bytes, text: str) -> str:
    return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()[:16]


class Signed(msgspec.Struct, forbid_unknown_fields=True):
    """One line of a file of checkpoints."""

    seq: int
    link: str
    signature: str
    """128 hexadecimal digits"""

    def line(self) -> bytes:
        return msgspec.json.encode(self) + b"\n"


def _serialization() -> Any:
    require_library()
    from cryptography.hazmat.primitives import serialization

    return serialization


def require_library() -> None:
    """Raises UsageError where signatures cannot be made or read."""
    if not installed():
        raise UsageError("signatures need the extra [sign]: pip install 'payment-switch[sign]'")


def installed() -> bool:
    from importlib.util import find_spec

    return find_spec("cryptography") is not None


def new_key() -> bytes:
    """A private key made at random, as PEM (PKCS 8)."""
    require_library()
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    return _private_pem(Ed25519PrivateKey.generate())


def read_key(pem: bytes) -> bytes:
    """A private key in the one form that a home keeps. Raises UsageError for what is none."""
    return _private_pem(private_key(pem))


def public_of(pem: bytes) -> bytes:
    """The public key of a private one, as PEM."""
    forms = _serialization()
    key, form = private_key(pem).public_key(), forms.PublicFormat.SubjectPublicKeyInfo
    public: bytes = key.public_bytes(forms.Encoding.PEM, form)
    return public


def _private_pem(key: Any) -> bytes:
    forms = _serialization()
    pem: bytes = key.private_bytes(
        forms.Encoding.PEM, forms.PrivateFormat.PKCS8, forms.NoEncryption()
    )
    return pem


def private_key(pem: bytes) -> Any:
    """An Ed25519 private key of the library. Raises UsageError for what is none."""
    from_pem = _serialization().load_pem_private_key
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    try:
        key = from_pem(pem, None)
    except (ValueError, TypeError, _unsupported()):
        key = None
    if not isinstance(key, Ed25519PrivateKey):
        # Nothing of the text is shown: it is, or nearly is, a secret.
        raise UsageError("the signing key is no Ed25519 private key in PEM without a password")
    return key


def _public(pem: bytes) -> Any:
    from_pem = _serialization().load_pem_public_key
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        key = from_pem(pem)
    except (ValueError, TypeError, _unsupported()):
        key = None
    if not isinstance(key, Ed25519PublicKey):
        raise UsageError("the public key is no Ed25519 key in PEM")
    return key


def _unsupported() -> type[Exception]:
    from cryptography.exceptions import UnsupportedAlgorithm

    return UnsupportedAlgorithm


def sign(pem: bytes, records: Sequence[tuple[int, str]]) -> list[Signed]:
    """Signed checkpoints of audit records (seq, link)."""
    key = private_key(pem)
    return [Signed(seq, link, key.sign(_statement(seq, link)).hex()) for seq, link in records]


def _statement(seq: int, link: str) -> bytes:
    return msgspec.json.encode([DOMAIN, seq, link])


def read_checkpoints(content: bytes, file: str) -> list[Signed]:
    """The lines of a file of checkpoints. Raises InputRefused for what is none."""
    found = []
    for row, line in enumerate(content.splitlines(keepends=True), start=1):
        try:
            said = msgspec.json.decode(line, type=Signed)
            bytes.fromhex(said.signature)
        except (msgspec.MsgspecError, ValueError, RecursionError):
            said = None
        if said is None or said.line() != line:
            what = "the line is no signed checkpoint"
            remedy = "give the file as the home wrote it"
            raise InputRefused("CHECKPOINT_INVALID", what, file=file, row=row, remedy=remedy)
        found.append(said)
    return found


def require_signed(public: bytes, checkpoints: Sequence[Signed], file: str) -> None:
    """Every checkpoint was signed with this key. Raises VerificationFailed."""
    key = _public(public)
    from cryptography.exceptions import InvalidSignature

    for said in checkpoints:
        try:
            key.verify(bytes.fromhex(said.signature), _statement(said.seq, said.link))
        except InvalidSignature:
            raise VerificationFailed(
                f"{file}: the checkpoint of record {said.seq} was not signed with this key"
            ) from None


def departure(links: Sequence[str], checkpoints: Sequence[Signed]) -> str:
    """Reason why a history (links of records 1, 2, ...) does not go on from what was signed; ''
    where it does."""
    agreed = 0
    for said in sorted(checkpoints, key=lambda said: said.seq):
        if said.seq > len(links):
            return (
                f"the history ends at record {len(links)}, and record {said.seq} was signed:"
                " it was rolled back"
            )
        if said.seq < 1 or links[said.seq - 1] != said.link:
            first = "record" if agreed + 1 == said.seq else f"one of records {agreed + 1} to"
            return f"{first} {said.seq} is not what was signed: the history was forked"
        agreed = said.seq
    return ""
