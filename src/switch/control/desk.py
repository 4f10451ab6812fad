"""Desk: one call for each thing that people do about a dossier, by the library or a command."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Required, TypedDict, Unpack

import msgspec

from switch.control.acts import POLICY, Act, Table, policies
from switch.control.dossiers import Dossier
from switch.control.keys import Signer, signer_of
from switch.control.policy import Policy, policy_of
from switch.control.take import (
    ActTaken,
    Asked,
    Book,
    PolicySet,
    named,
    set_policy,
    statement,
    take,
)
from switch.errors import InputRefused, UsageError
from switch.files.disk import land, require_outside
from switch.files.given import decode_once, read_small
from switch.home.store import Home
from switch.home.times import time_text
from switch.registry.directory import Directory
from switch.results import DossierFacts


class Said(TypedDict, total=False):
    """Words of an act, with the key that signs it (`Control.sign`)."""

    by: Required[str]
    """The person, as the policy names them."""
    key: Required[Signer | bytes | str | Path]
    """A PEM file, its content, a pkcs11 address, or anything that signs."""
    at: datetime.date | str | None
    """The time that is signed; default: the value date, or that of the last act if it is later."""
    why: str
    """The reason, which stops need."""
    behalf: str
    """The person who delegated the step to whoever signs."""
    answered: int | None
    """Lines that the population database answered: of `authenticate`."""


class PolicyShown(TypedDict):
    """A version of the policy as JSON has it."""

    version: int
    at: str
    policy: dict[str, Any]
    signed_by: list[str]


def prepare(
    home: Home, directory: Directory, facts: DossierFacts, **said: Unpack[Said]
) -> ActTaken:
    """Begin a dossier (`Control.prepare`). facts: of its table."""
    return _signed(Book(home), directory, table_of(facts), "prepare", said)


def sign(
    home: Home,
    directory: Directory,
    batch_id: str,
    step: str,
    facts: DossierFacts | None,
    **said: Unpack[Said],
) -> ActTaken:
    """Sign a step, or stop a dossier (`Control.sign`). facts: of its file, to be compared."""
    book = Book(home)
    book.require_policy()
    dossier = named(book, batch_id)
    if facts is not None:
        require_same(dossier, table_of(facts))
    return _signed(book, directory, dossier, step, said)


def _signed(
    book: Book, directory: Directory, about: Dossier | Table, step: str, said: Said
) -> ActTaken:
    if step == "prepare" and isinstance(about, Dossier):
        raise UsageError("a dossier begins with the table that is prepared: `prepare`")
    if "by" not in said or "key" not in said:
        raise UsageError("say who signs, by the name that the policy has (by), and with which key")
    signer = signer_of(said["key"])
    asked: Asked = {
        "by": said["by"],
        "public": signer.public,
        "at": said.get("at"),
        "why": said.get("why", ""),
        "behalf": said.get("behalf", ""),
        "answered": said.get("answered"),
    }
    return take(book, directory, statement(book, about, step, asked).signed(signer))


def to_sign(
    home: Home, batch_id: str, step: str, facts: DossierFacts | None, **asked: Unpack[Asked]
) -> Act:
    """The act that somebody is to sign elsewhere (`Control.statement`). facts: of the file that
    is meant, or None."""
    book = Book(home)
    book.require_policy()
    if "by" not in asked or "public" not in asked:
        raise UsageError("say who will sign (by), and with which public key (public)")
    if step == "prepare":
        if facts is None or facts["batch_id"] != batch_id.rpartition(":")[2]:
            raise UsageError("to prepare a batch, name the file of its table")
        return statement(book, table_of(facts), step, asked)
    dossier = named(book, batch_id)
    if facts is not None:
        require_same(dossier, table_of(facts))
    return statement(book, dossier, step, asked)


def take_signed(home: Home, directory: Directory, act: Act | str | Path) -> ActTaken:
    """Take an act that was signed elsewhere (`Control.take_act`). act: itself, or its file."""
    if not isinstance(act, Act):
        return take(Book(home), directory, read_act(act))
    try:
        told = msgspec.convert(msgspec.to_builtins(act), Act)
    except (msgspec.ValidationError, TypeError, OverflowError) as error:
        raise UsageError(f"the act is none: {str(error)[:120]}") from None
    return take(Book(home), directory, told)


def read_act(file: str | Path) -> Act:
    """An act from its file. Raises InputRefused for what is none."""
    try:
        return decode_once(read_small(Path(file)), Act)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise InputRefused(
            "ACT_INVALID",
            f"it is no act: {str(error)[:120]}",
            file=str(file),
            remedy="give the file that `switch statement` wrote, signed with `switch sign`",
        ) from None


def write_act(path: Path, act: Act) -> None:
    """Write an act into its file, whole or not at all: JSON for people and programs."""
    path = require_outside(path.absolute())
    land(path, msgspec.json.format(msgspec.json.encode(act, order="sorted"), indent=2) + b"\n")


def table_of(facts: DossierFacts) -> Table:
    """A table as acts sign it."""
    return msgspec.convert(facts, Table)


def require_same(dossier: Dossier, table: Table) -> None:
    """The file is still the table of the dossier. Raises InputRefused."""
    if table == dossier.table:
        return
    named_same = (table.source, table.batch_id) == (dossier.table.source, dossier.table.batch_id)
    what = f"the file is not the table of dossier {dossier.number}, {dossier.name}"
    remedy = "give the file as it was prepared"
    if named_same:
        raise InputRefused("FILE_CHANGED", what, remedy=remedy)
    raise InputRefused("TABLE_OTHER", what, remedy=remedy)


def give_policy(
    home: Home,
    policy: Policy | Mapping[str, object] | str | Path,
    signers: Mapping[str, Signer | bytes | str | Path] | None,
    at: datetime.date | str | None,
) -> PolicySet:
    """Set the policy (`Control.set_policy`)."""
    keys = {name: signer_of(key) for name, key in (signers or {}).items()}
    return set_policy(home, policy_of(policy), keys, time_text(at))


def policy_now(home: Home) -> PolicyShown | None:
    """The version that holds now; None where the home has none (`Control.policy`)."""
    kept = policies(home)
    if not kept:
        return None
    return {
        "version": kept[-1].version,
        "at": home.catalog.audit.records(POLICY)[-1].at,
        "policy": msgspec.to_builtins(kept[-1].policy),
        "signed_by": [one.by for one in kept[-1].signatures],
    }
