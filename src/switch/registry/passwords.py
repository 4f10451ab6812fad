"""Passwords: one-time passwords of citizens' devices (TOTP, RFC 6238); needs the extra `[citizen]`.

No seed is kept. Each follows from the secret of the authority that binds devices, which stands
outside every home and is given at the door: RFC 4226, section 7.5, has it so ("deterministic
generation"). A home keeps a mark of that secret alone, by which another one is noticed.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from pathlib import Path
from typing import Any

from switch.errors import UsageError
from switch.files.disk import machine, require_outside
from switch.files.given import read_small
from switch.home.signing import keyed

DIGITS, STEP_SECONDS = 6, 30
"""RFC 6238, section 4.1, and RFC 4226, section 5.3."""
STEPS_LATE = 1
"""Steps before the current one whose code is taken as well: RFC 6238, section 5.2, for delay."""
SEED_BYTES, SECRET_BYTES_MIN = 20, 32
DOMAIN = "switch citizen 1"
"""First part of what seeds and marks are made of."""


class Authority:
    """The authority that binds devices to people: whoever holds its secret."""

    def __init__(self, secret: bytes) -> None:
        """Raises UsageError for a secret that is too short, or without the library."""
        if len(secret) < SECRET_BYTES_MIN:
            raise UsageError(f"the secret of the authority has {SECRET_BYTES_MIN} bytes or more")
        _library()
        self._secret = secret
        self.mark = keyed(secret, f"{DOMAIN} mark")
        """A keyed hash by which the secret is told apart from others."""

    def __repr__(self) -> str:
        return f"<Authority {self.mark}>"

    def invitation(self, name: str, *parts: object) -> str:
        """The address that an authenticator reads (otpauth), with the seed of a binding. name: what
        the authenticator shows. parts: what the binding is of."""
        uri: str = self._password(*parts, name=name, issuer="switch").provisioning_uri()
        return uri

    def step_of(self, code: str, second: int, *parts: object) -> int | None:
        """The step of time that a code is of, where that is now or just was; None for a code that
        is wrong. second: since 1970. parts: as of `invitation`."""
        password, now = self._password(*parts), second // STEP_SECONDS
        for step in range(now, max(now - STEPS_LATE, 0) - 1, -1):
            if hmac.compare_digest(password.generate_otp(step), code):
                return step
        return None

    def _password(self, *parts: object, **shown: str) -> Any:
        text = "\n".join([DOMAIN, *map(str, parts)])
        seed = hmac.new(self._secret, text.encode(), hashlib.sha256).digest()[:SEED_BYTES]
        secret = base64.b32encode(seed).decode()
        return _library().TOTP(secret, digits=DIGITS, interval=STEP_SECONDS, **shown)


def authority_of(secrets: bytes | str | Path) -> Authority:
    """The authority of a secret. secrets: its bytes, or a file of them that stands in no home and
    that its owner alone may read. Raises UsageError."""
    if isinstance(secrets, bytes):
        return Authority(secrets)
    path = require_outside(Path(secrets).absolute())
    content = read_small(path)
    with machine(path.parent):
        if path.stat().st_mode & 0o077:
            raise UsageError(f"{path} is a secret that others may read: chmod 600 it first")
    return Authority(content)


def _library() -> Any:
    try:
        import pyotp
    except ImportError:
        needed = "one-time passwords need the extra [citizen]: pip install"
        raise UsageError(f"{needed} 'payment-switch[citizen]'") from None
    return pyotp
