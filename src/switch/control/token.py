"""Token: keys that a hardware security module keeps, by PKCS #11; needs the extra `[hsm]`.

A key is named by an address (RFC 7512), such as
`pkcs11:token=treasury;object=hoa?module-path=/usr/lib/module.so&pin-source=/run/pin`. The PIN
stands in a file, never in the address: addresses are shown in lists of processes.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import Any, NoReturn
from urllib.parse import unquote

from switch.errors import EnvironmentFailed, UsageError
from switch.files.given import read_small

_FORM = "pkcs11:token=LABEL;object=LABEL?module-path=FILE&pin-source=FILE"
_NEEDED = ("token", "object", "module-path", "pin-source")
POINT_BYTES = 32
_ONE_AT_A_TIME = Lock()
"""A process is logged in to a token, not a session: who is done logs out for all."""


class TokenKey:
    """An Ed25519 key of a module, by its address; logged in for as long as it signs. public: 64
    hexadecimal digits."""

    def __init__(self, address: str) -> None:
        """Raises UsageError for an address that is none, or names no key; EnvironmentFailed where
        the module fails."""
        self._address = address
        with _opened(address) as (_, public):
            from pkcs11 import Attribute

            self.public = _point(public[Attribute.EC_POINT]).hex()

    def sign(self, message: bytes) -> bytes:
        """Signature of a message, made inside of the module: 64 bytes. Raises as the key itself."""
        with _opened(self._address) as (private, _):
            from pkcs11 import Mechanism

            signature: bytes = private.sign(message, mechanism=Mechanism.EDDSA)
        return signature


@contextmanager
def _opened(address: str) -> Iterator[tuple[Any, Any]]:
    """The private and the public key of an address, while logged in."""
    parts = _parts(address)
    try:
        import pkcs11
    except ImportError:
        _refuse("keys of a module need the extra [hsm]: pip install 'payment-switch[hsm]'")
    module = parts["module-path"]
    pin = read_small(Path(parts["pin-source"])).decode("utf-8", "replace").strip()
    try:
        with _ONE_AT_A_TIME:
            token = pkcs11.lib(module).get_token(token_label=parts["token"])
            with _session(token, pin) as session:
                yield _pair(session, parts["object"])
    except (pkcs11.NoSuchToken, pkcs11.MultipleTokensReturned):
        _refuse(f"{module} has no token, or several, called {parts['token']!r}")
    except (pkcs11.PinIncorrect, pkcs11.PinInvalid, pkcs11.PinLenRange):
        _refuse(f"{parts['pin-source']} holds another PIN than the token's; tries are counted")
    except (pkcs11.PKCS11Error, RuntimeError) as error:
        raise EnvironmentFailed(f"{module} failed: {type(error).__name__} {error}") from error


def _session(token: Any, pin: str) -> Any:
    """A session with a token, to which this process may be logged in for ends of its own."""
    from pkcs11 import UserAlreadyLoggedIn

    try:
        return token.open(user_pin=pin)
    except UserAlreadyLoggedIn:
        return token.open()


def _pair(session: Any, label: str) -> tuple[Any, Any]:
    """The private and the public key of a label."""
    from pkcs11 import Attribute, ObjectClass

    found = [
        list(session.get_objects({Attribute.LABEL: label, Attribute.CLASS: kind}))
        for kind in (ObjectClass.PRIVATE_KEY, ObjectClass.PUBLIC_KEY)
    ]
    if [len(keys) for keys in found] != [1, 1]:
        _refuse(f"the token has {len(found[0])} keys called {label!r}, and not one pair")
    return found[0][0], found[1][0]


def _parts(address: str) -> dict[str, str]:
    scheme, _, rest = address.partition(":")
    path, _, query = rest.partition("?")
    pairs = [text.partition("=") for text in (*path.split(";"), *query.split("&")) if text]
    parts = {name: unquote(value) for name, _, value in pairs}
    if scheme != "pkcs11" or set(parts) != set(_NEEDED) or not all(parts.values()):
        _refuse(f"the address of the key is not {_FORM}")
    return parts


def _point(encoded: bytes) -> bytes:
    """The 32 bytes of a public key, which modules give as they are or as an OCTET STRING."""
    if len(encoded) == POINT_BYTES + 2 and encoded[:2] == b"\x04\x20":
        return encoded[2:]
    if len(encoded) != POINT_BYTES:
        _refuse("the key is no Ed25519 key")
    return encoded


def _refuse(what: str) -> NoReturn:
    raise UsageError(what)
