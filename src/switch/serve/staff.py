"""Staff: who may come in, by a token, and what their roles let them see and do.

A file of people (TOML) names each with roles and the digest of a token; the token itself is told
once, when it is made. Roles exclude each other where one person may not have both.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import re
import secrets
import tomllib
from collections.abc import Collection
from pathlib import Path
from typing import NamedTuple

import msgspec

from switch.arguments import BY_MAX, require_words
from switch.errors import UsageError
from switch.files.disk import land
from switch.files.given import read_small

OPERATOR, APPROVER, AUDITOR, AGENCY = "operator", "approver", "auditor", "agency"
ROLES = {
    OPERATOR: "runs the payday: alarms, breaks, cycles, lines that came back, the end of a day",
    APPROVER: "releases money: dossiers, participants, caps and liquidity; gives a cycle up",
    AUDITOR: "sees everything, and does nothing",
    AGENCY: "sees its own batches alone",
}
"""Roles, each with what it is for."""
EXCLUDED = (
    frozenset({OPERATOR, APPROVER}),
    frozenset({OPERATOR, AUDITOR}),
    frozenset({APPROVER, AUDITOR}),
    frozenset({AGENCY, OPERATOR}),
    frozenset({AGENCY, APPROVER}),
    frozenset({AGENCY, AUDITOR}),
)
"""Pairs that one person may not have: who asks for a thing does not decide it, and who audits has
no hand in what is audited."""
TOKEN_BYTES = 32
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


class Person(NamedTuple):
    """Somebody who may come in. sources: of an agency, whose batches are its own."""

    name: str
    roles: frozenset[str]
    sources: frozenset[str] = frozenset()

    @property
    def is_agency(self) -> bool:
        return AGENCY in self.roles

    def sees(self, source: str) -> bool:
        """True where batches of a source may be shown."""
        return not self.is_agency or source in self.sources

    def has(self, *roles: str) -> bool:
        return bool(self.roles & set(roles))


class _Kept(msgspec.Struct, forbid_unknown_fields=True):
    """A person in the file."""

    roles: list[str]
    token: str
    sources: list[str] = []


class _File(msgspec.Struct, forbid_unknown_fields=True):
    people: dict[str, _Kept]


class Staff:
    """People of a file, by the digest of their token, as the file has them now."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._people, self._stamp = _people(path), _stamp(path)

    def of(self, token: str) -> Person | None:
        """Person who has a token; None where nobody has."""
        return self.by_digest(digest_of(token))

    def by_digest(self, given: str) -> Person | None:
        """Person who has the token of a digest; None where nobody has any more."""
        self._look()
        found = None
        for digest, person in self._people.items():  # All of them: no time tells how far it went.
            if hmac.compare_digest(digest, given):
                found = person
        return found

    def _look(self) -> None:
        """Take in a file that was changed. One that is gone or broken lets nobody in."""
        stamp = _stamp(self._path)
        if stamp != self._stamp:
            self._stamp, self._people = stamp, {}
            with contextlib.suppress(UsageError):
                self._people = _people(self._path)

    def __len__(self) -> int:
        return len(self._people)


def digest_of(token: str) -> str:
    return f"sha256:{hashlib.sha256(token.encode()).hexdigest()}"


def read_staff(path: Path) -> Staff:
    """People of a file. Raises UsageError for a file, a role or a pair of roles that is none."""
    return Staff(path)


def _stamp(path: Path) -> tuple[int, int] | None:
    """Mark of the content of a file; None where it is gone."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ino


def _people(path: Path) -> dict[str, Person]:
    kept = _read(path)
    if not kept:
        raise UsageError(f"{path} names nobody: `switch staff {path} NAME --role ROLE` adds one")
    people: dict[str, Person] = {}
    for name, one in kept.items():
        if one.token in people:
            raise UsageError(f"{path}: {name} has the token of {people[one.token].name}")
        people[one.token] = _person(path, name, one)
    return people


def _read(path: Path) -> dict[str, _Kept]:
    try:
        given = tomllib.loads(read_small(path).decode("utf-8"))
        return msgspec.convert(given, _File).people
    except (OSError, ValueError, RecursionError) as error:
        raise UsageError(f"staff {path}: {error}") from error


def _person(path: Path, name: str, kept: _Kept) -> Person:
    require_person(name, kept.roles, kept.sources, f"{path}: ")
    if not _DIGEST.fullmatch(kept.token):
        raise UsageError(f"{path}: the token of {name} is no digest (sha256: and 64 digits)")
    return Person(name, frozenset(kept.roles), frozenset(kept.sources))


def require_person(
    name: str, roles: Collection[str], sources: Collection[str], where: str = ""
) -> None:
    """Raise UsageError where a person has a name, roles or sources that nobody may have."""
    require_words("name", name, BY_MAX)
    if not name or name.strip() != name:
        raise UsageError(f"{where}a person has a name, without blanks around it")
    for role in roles:
        if role not in ROLES:
            raise UsageError(f"{where}role {role!r} of {name} is none: {', '.join(ROLES)}")
    if not roles:
        raise UsageError(f"{where}{name} has no role: {', '.join(ROLES)}")
    for pair in EXCLUDED:
        if pair <= set(roles):
            both = " and ".join(sorted(pair))
            raise UsageError(f"{where}{name} may not be {both}: give them to two people")
    if (AGENCY in roles) != bool(sources):
        raise UsageError(f"{where}an agency, and nobody else, has sources: those of its tables")


def add_person(path: Path, name: str, roles: Collection[str], sources: Collection[str] = ()) -> str:
    """Add a person to a file, or give one who is there other roles and a new token. Returns the
    token, which is kept nowhere. Raises UsageError as `read_staff` does."""
    require_person(name, roles, sources)
    kept = _read(path) if path.exists() else {}
    token = secrets.token_urlsafe(TOKEN_BYTES)
    kept[name] = _Kept(sorted(roles), digest_of(token), sorted(sources))
    land(path, _toml(kept).encode())
    return token


def _toml(kept: dict[str, _Kept]) -> str:
    """The file as text: JSON's strings are TOML's."""
    parts = []
    for name, one in kept.items():
        said = {"roles": one.roles, "token": one.token, "sources": one.sources}
        lines = [f"{key} = {_text(value)}" for key, value in said.items() if value]
        parts.append("\n".join([f"[people.{_text(name)}]", *lines]))
    return "\n\n".join(parts) + "\n"


def _text(value: object) -> str:
    return msgspec.json.encode(value).decode()
