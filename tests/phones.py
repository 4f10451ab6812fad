"""Phones of citizens for tests: an authenticator that reads its address from a file, and shows the
code of a time as RFC 6238 has it, by nothing that the engine uses."""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import hmac
import json
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from scene import SMALL_BANK, Said, command, person_id

import switch

SECRET = b"a secret of the authority, kept outside"
START = dt.datetime(2026, 11, 26, 8, tzinfo=dt.timezone(dt.timedelta(hours=7)))


def secret_file(folder: Path, content: bytes = SECRET) -> Path:
    """A file of the authority's secret that its owner alone may read."""
    path = folder / "authority"
    path.write_bytes(content)
    path.chmod(0o600)
    return path


def later(seconds: int) -> str:
    """A time so many seconds behind the first."""
    return (START + dt.timedelta(seconds=seconds)).isoformat()


def code(invitation: Path, seconds: int, steps: int = 0) -> str:
    """The code that a phone shows at a time as of `later`. steps: so many half minutes on."""
    seed = parse_qs(urlsplit(invitation.read_text("utf-8").strip()).query)["secret"][0]
    return code_of(base64.b32decode(seed), (int(START.timestamp()) + seconds) // 30 + steps)


def code_of(seed: bytes, step: int) -> str:
    """RFC 4226, section 5.3: six digits of a counter."""
    digest = hmac.new(seed, step.to_bytes(8, "big"), hashlib.sha1).digest()
    place = digest[-1] & 0xF
    number = int.from_bytes(digest[place : place + 4], "big") & 0x7FFFFFFF
    return f"{number % 1_000_000:06d}"


def wrong(right: str) -> str:
    """A code of six digits that is another one."""
    return f"{(int(right) + 1) % 1_000_000:06d}"


MINE = (SMALL_BANK, "20002000")


class Door:
    """The door of citizens: commands on one home, with the phones of those who come."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.home = folder, folder / "home"
        self.secrets = secret_file(folder)

    def bind(self, number: int, device: str = "", at: int = 0, **more: str) -> Said:
        """A device is bound; its phone is the file that it got."""
        device = device or f"phone {number}"
        said = {"by": "an officer", "secrets": str(self.secrets), "out": str(self.phone(device))}
        return self.say("bind", number, device=device, at=later(at), **(said | more))

    def phone(self, device: str) -> Path:
        return self.folder / device.replace(" ", "-")

    def account(
        self, number: int, at: int, code: str = "", ends: tuple[str, ...] = (), **more: str
    ) -> Said:
        """A claim of an account, by the code that the person's own phone shows. ends: in place of
        this one."""
        device = f"phone {number}"
        said = {
            "device": device,
            "code": code or self.code(device, at),
            "secrets": str(self.secrets),
            "participant": MINE[0],
            "account": MINE[1],
        }
        return self.say("account", number, *ends, at=later(at), **(said | more))

    def code(self, device: str, at: int, steps: int = 0) -> str:
        return code(self.phone(device), at, steps)

    def accounts(self, number: int) -> Any:
        return self.show(number)["accounts"]

    def show(self, number: int) -> Any:
        return command("citizen", self.home, "show", person_id(number), "--json").document

    def say(self, action: str, number: int, *ends: str, **options: str) -> Said:
        words = [w for n, text in options.items() for w in (f"--{n.replace('_', '-')}", text)]
        words += ["--instead-of", *ends] if ends else []
        return command("citizen", self.home, action, person_id(number), *words, "--json")

    def records(self) -> list[dict[str, Any]]:
        """What the audit chain has of citizens."""
        with switch.open(self.home, mode="r") as engine:
            rows = engine.home.catalog.audit.records("citizen", "register")
        details = [json.loads(row.detail) for row in rows]
        return [one.get("citizen", one) for one in details if "citizen" in one or "person" in one]


def refused(said: Said, rule: str) -> None:
    assert (said.code, said.document["error"]["rule"]) == (3, rule)
