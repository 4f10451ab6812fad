"""Token: keys that a hardware security module keeps, by PKCS #11; needs the extra `[hsm]`.

A key is named by an address (RFC 7512), such as
`pkcs11:token=treasury;object=hoa?module-path=/usr/lib/module.so&pin-source=/run/pin`. The PIN
stands in a file, never in the address: addresses are shown in lists of processes.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import unquote

from switch.errors import EnvironmentFailed, UsageError
from switch.files.given import read_small

_FORM = "pkcs11:token=LABEL;object=LABEL?module-path=FILE&pin-source=FILE"
_NEEDED = ("token", "object", "module-path", "pin-source")
POINT_BYTES = 32


class TokenKey:
    """An Ed25519 key of a module, by an open session. public: 64 hexadecimal digits."""

    def __init__(self, session: Any, private: Any, public: bytes) -> None:
        self._session, self._private = session, private
        self.public = public.hex()

    def sign(self, message: bytes) -> bytes:
        """Signature of a message, made inside of the module: 64 bytes."""
        import pkcs11

        try:
            signature: bytes = self._private.sign(message, mechanism=pkcs11.Mechanism.EDDSA)
        except pkcs11.PKCS11Error as error:
            raise EnvironmentFailed(f"the module did not sign: {type(error).__name__}") from error
        return signature


def token_key(address: str) -> TokenKey:
    """The key of an address. Raises UsageError for an address that is none, or names no key;
    EnvironmentFailed where the module fails."""
    parts = _parts(address)
    try:
        import pkcs11
    except ImportError:
        _refuse("keys of a module need the extra [hsm]: pip install 'payment-switch[hsm]'")
    pin = read_small(Path(parts["pin-source"])).decode("utf-8", "replace").strip()
    try:
        token = pkcs11.lib(parts["module-path"]).get_token(token_label=parts["token"])
        session = token.open(user_pin=pin)
        labelled = {pkcs11.Attribute.LABEL: parts["object"]}
        found = {
            kind: list(session.get_objects({**labelled, pkcs11.Attribute.CLASS: kind}))
            for kind in (pkcs11.ObjectClass.PRIVATE_KEY, pkcs11.ObjectClass.PUBLIC_KEY)
        }
    except pkcs11.PKCS11Error as error:
        raise EnvironmentFailed(f"the module failed: {type(error).__name__}") from error
    except RuntimeError as error:
        raise EnvironmentFailed(f"{parts['module-path']}: {error}") from error
    (private, public) = found.values()
    if len(private) != 1 or len(public) != 1:
        _refuse(f"the token has {len(private)} keys called {parts['object']!r}, and not one pair")
    return TokenKey(session, private[0], _point(public[0][pkcs11.Attribute.EC_POINT]))


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
