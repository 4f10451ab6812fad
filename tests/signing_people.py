"""People who sign, for tests of control: keys that are the same in every run, and policies."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from scene import VALUE_DATE, line, payment_table, write_file

import switch
from switch.control.keys import FileKey

DAY = VALUE_DATE.isoformat()
STEPS = ("prepare", "approve", "control", "certify", "fund", "release")
PEOPLE = {
    "ana": ("vss", "prepare"),
    "anh": ("vss", "prepare"),
    "binh": ("vss", "approve"),
    "bao": ("molisa", "approve"),
    "chi": ("treasury", "control"),
    "cuc": ("treasury", "certify"),
    "cam": ("treasury-hue", "certify"),
    "dung": ("treasury", "fund"),
    "giang": ("treasury", "release"),
    "hoa": ("treasury", "hold", "cancel"),
    "phuc": ("treasury", "policy"),
    "phuong": ("treasury-hue", "policy"),
}
"""Names with the organisation and the roles of each."""
SIGNERS = dict(zip(STEPS, ("ana", "binh", "chi", "cuc", "dung", "giang"), strict=True))
"""Who signs each step in these tests."""


def pem(name: str, number: int = 1) -> bytes:
    """A private key of a person."""
    key = Ed25519PrivateKey.from_private_bytes(hashlib.sha256(f"{name}{number}".encode()).digest())
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def public(name: str, number: int = 1) -> str:
    """The public key of the same."""
    return FileKey(pem(name, number)).public


def policy(**changes: Any) -> dict[str, Any]:
    """The usual policy, with other parts."""
    people = [
        {
            "name": name,
            "organisation": house,
            "roles": roles,
            "keys": [{"public": public(name)}],
        }
        for name, (house, *roles) in PEOPLE.items()
    ]
    return {"people": people, "steps": [{"step": step} for step in STEPS]} | changes


def person(given: dict[str, Any], name: str) -> dict[str, Any]:
    """A person of a policy, to be changed in place."""
    return next(person for person in given["people"] if person["name"] == name)


def table(folder: Path, batch_id: str = "B1", lines: int = 3, **changes: Any) -> Path:
    """A payment table with its dossier: 1,000,001 dong and so on for persons 1, 2, ..."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{batch_id}.parquet"
    rows = [line(n, **changes) for n in range(1, lines + 1)]
    write_file(payment_table(rows), path, "parquet")
    switch.write_dossier(path, source="VSS", batch_id=batch_id, value_date=DAY, force=True)
    return path


def sign_all(engine: switch.Engine, path: Path, batch_id: str = "B1", until: str = "") -> Any:
    """Sign all steps of a table, or those before one. Returns what the last one told."""
    told: Any = None
    for step, name in SIGNERS.items():
        if step == until:
            return told
        said: Any = {"by": name, "key": pem(name)}
        if step == "prepare":
            told = engine.control.prepare(path, **said)
        else:
            told = engine.control.sign(batch_id, step, **said)
    return told
