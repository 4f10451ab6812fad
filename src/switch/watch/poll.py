"""Poll: one look at a home after another, and what changed between them, told to a webhook.

A look that could not be told is told with the next one: what counts is what the other side took
last. So nothing is lost, and nothing is told twice as new.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import json
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, TypedDict

from switch.errors import UsageError

TIMEOUT_SECONDS = 10
SIGNATURE = "X-Switch-Signature"
"""Header with the HMAC-SHA256 of the body by the secret that both sides have."""
KEPT = ("alarm", "rule", "subject", "severity", "level", "state", "since", "what", "owner", "next")
"""Fields of an alarm that are told. Hours change at each look, and are nothing new."""

Row = Mapping[str, object]


class Change(TypedDict):
    """Alarms that changed since the last look that was taken."""

    home: str
    at: str
    raised: list[dict[str, str]]
    """New ones, and those that are another occurrence."""
    changed: list[dict[str, str]]
    """Those of which people said something, or whose words changed."""
    cleared: list[dict[str, str]]


class Webhook(NamedTuple):
    """Address that changes are told to. secret: by which each is signed; empty: none is."""

    url: str
    secret: bytes = b""

    def check(self) -> Webhook:
        """Raises UsageError for an address that is none, or that is told to in the clear."""
        try:
            parts = urllib.parse.urlsplit(self.url)
            host = parts.hostname or ""
        except ValueError:
            raise UsageError(f"webhook {self.url[:200]!r} is no address") from None
        if parts.scheme not in ("http", "https") or not host:
            raise UsageError(f"webhook {self.url[:200]!r} is no http or https address")
        if parts.scheme == "http" and not _is_loopback(host):
            raise UsageError("a webhook beyond this machine is https: alarms are nobody else's")
        return self

    def tell(self, change: Change) -> str:
        """Tell a change. Returns '' where it was taken, else why it was not."""
        body = json.dumps(change, ensure_ascii=False, separators=(",", ":")).encode()
        headers = {"Content-Type": "application/json"}
        if self.secret:
            headers[SIGNATURE] = hmac.new(self.secret, body, hashlib.sha256).hexdigest()
        request = urllib.request.Request(self.url, body, headers, method="POST")
        try:
            with _OPENER.open(request, timeout=TIMEOUT_SECONDS) as answer:
                return "" if 200 <= answer.status < 300 else f"it answered {answer.status}"
        except urllib.error.HTTPError as error:
            return f"it answered {error.code}"
        except (OSError, ValueError) as error:
            return str(getattr(error, "reason", error))


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A webhook is the address that was given, and no other."""

    def redirect_request(self, *_: Any) -> None:
        return None


_OPENER = urllib.request.build_opener(_NoRedirect, urllib.request.ProxyHandler({}))


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class Poll:
    """Looks at one home. home: its name, as it is told."""

    def __init__(self, home: str) -> None:
        self._home = home
        self._told: dict[str, dict[str, str]] = {}

    def change(self, at: str, rows: Sequence[Row]) -> Change:
        """Changes since the last look that was taken. rows: of alarms that are there now."""
        now = _kept(rows)
        marks = ("since", "level")
        raised, changed = [], []
        for name, row in now.items():
            before = self._told.get(name)
            if before is None or any(before[mark] != row[mark] for mark in marks):
                raised.append(row)
            elif before != row:
                changed.append(row)
        cleared = [row for name, row in self._told.items() if name not in now]
        return {
            "home": self._home,
            "at": at,
            "raised": raised,
            "changed": changed,
            "cleared": cleared,
        }

    def take(self, rows: Sequence[Row]) -> None:
        """The other side has taken how alarms stand."""
        self._told = _kept(rows)


def is_new(change: Change) -> bool:
    """Something changed."""
    return bool(change["raised"] or change["changed"] or change["cleared"])


def _kept(rows: Sequence[Row]) -> dict[str, dict[str, str]]:
    return {str(row["alarm"]): {name: str(row[name]) for name in KEPT} for row in rows}
