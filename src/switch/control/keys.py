"""Keys: with what people sign, and whether a signature is theirs. Ed25519 alone (RFC 8032).

A private key stands in a file, or in a hardware module that never gives it out (`token`). Whatever
has a public key and signs bytes will do: `Signer`.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from switch.errors import UsageError
from switch.files.disk import machine, require_outside
from switch.files.given import read_small
from switch.home import signing

ALGORITHM = "Ed25519"
PUBLIC_FORM = re.compile("[0-9a-f]{64}")
SIGNATURE_FORM = re.compile("[0-9a-f]{128}")
_FIELD, _WITHOUT_SIGN = 2**255 - 19, 2**255 - 1
_EIGHTH = 0x05FC536D880238B13933C6D305ACDFD5F098EFF289F4C345B027B2C28F95E826
_SMALL_ORDER = (0, 1, _EIGHTH, _FIELD - _EIGHTH, _FIELD - 1, _FIELD, _FIELD + 1)
"""Points of small order by their y, without the bit of the sign; RFC 8032, section 5.1."""
TOKEN = "pkcs11:"
"""Beginning of the name of a key that a hardware module keeps (RFC 7512)."""


@runtime_checkable
class Signer(Protocol):
    """Anything that signs for a person."""

    @property
    def public(self) -> str:
        """Public key: 32 bytes as 64 hexadecimal digits in lower case."""

    def sign(self, message: bytes) -> bytes:
        """Signature of a message: 64 bytes."""


class FileKey:
    """A private key from a file, as PEM (PKCS 8)."""

    def __init__(self, pem: bytes) -> None:
        """Raises UsageError for what is no Ed25519 key without a password."""
        self._key = signing.private_key(pem)
        self.public: str = self._key.public_key().public_bytes_raw().hex()

    def sign(self, message: bytes) -> bytes:
        signature: bytes = self._key.sign(message)
        return signature


def signer_of(key: object) -> Signer:
    """A signer from what people name: the path of a PEM file, a pkcs11 address, PEM, or a signer.
    Raises UsageError for what is none of these."""
    if isinstance(key, bytes):
        return FileKey(key)
    if isinstance(key, str) and key.startswith(TOKEN):
        from switch.control.token import TokenKey

        return TokenKey(key)
    if isinstance(key, str | Path):
        return FileKey(read_small(Path(key)))
    if isinstance(key, Signer) and PUBLIC_FORM.fullmatch(str(key.public)):
        return key
    raise UsageError("the key is no PEM file, no pkcs11 address, and nothing that signs")


def make_key(path: Path) -> None:
    """Write a private key, made at random, into a new file that its owner alone may read. Raises
    UsageError where there is a file, EnvironmentFailed."""
    path = require_outside(path.absolute())
    pem = signing.new_key()
    with machine(path.parent):
        try:
            file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        except FileExistsError:
            raise UsageError(f"{path} is there already, and a key may be in it") from None
        with open(file, "wb") as stream:
            stream.write(pem)


def require_public(text: str) -> str:
    """The text of a public key. Raises ValueError for what is none."""
    if not PUBLIC_FORM.fullmatch(text):
        raise ValueError("a public key is 64 hexadecimal digits in lower case")
    _public(text)
    if int.from_bytes(bytes.fromhex(text), "little") & _WITHOUT_SIGN in _SMALL_ORDER:
        raise ValueError("a public key of small order is one by which anybody signs")
    return text


def is_signed(public: str, message: bytes, signature: str) -> bool:
    """A signature (128 hexadecimal digits) of a message was made with the key of this public
    one."""
    if not SIGNATURE_FORM.fullmatch(signature):
        return False
    key = _public(public)
    from cryptography.exceptions import InvalidSignature

    try:
        key.verify(bytes.fromhex(signature), message)
    except InvalidSignature:
        return False
    return True


def _public(text: str) -> Any:
    signing.require_library()
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    return Ed25519PublicKey.from_public_bytes(bytes.fromhex(text))
