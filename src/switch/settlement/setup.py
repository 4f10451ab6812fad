"""Setup: the directory, the settings and the balances that a home begins with or is changed to."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec

from switch.errors import UsageError
from switch.files.tables import TableLike
from switch.home import days, signing
from switch.home.changes import SetMeta
from switch.home.create import create_home
from switch.home.days import SaidTime
from switch.home.objects import Objects
from switch.home.store import OBJECTS, Home
from switch.registry.directory import Directory, read_directory
from switch.registry.settings import Settings
from switch.settlement import budgets, standing


@dataclass(frozen=True)
class Given:
    """Tables of a directory, balances and settings, as far as they are given."""

    participants: TableLike | None = None
    debtors: TableLike | None = None
    programmes: TableLike | None = None
    balances: TableLike | None = None
    settings: Settings | Mapping[str, object] | None = None
    catalog: str = ""
    """Address of the server that keeps the catalog of a new home."""
    files: str = ""
    """Address of the store that has its files, too."""


def chosen(home: Home) -> tuple[Directory, Settings]:
    """The directory and the settings that a home keeps."""
    kept = msgspec.json.decode(home.catalog.meta("settings"))
    return Directory.of_json(home.catalog.meta("directory").encode()), Settings.stored(kept)


def begin(path: Path, given: Given, at: str, key: bytes | None, signing_key: bytes | None) -> None:
    """Make a home of what is given (`switch.init`)."""
    if given.participants is None or given.debtors is None:
        raise UsageError("a home has participants and debtors: give both tables")
    directory = read_directory(given.participants, given.debtors, given.programmes)
    settings = Settings.of(given.settings)
    if settings.enforce_budgets is True:
        budgets.require_programmes(directory)
    _require_benefits(directory, settings)
    opening = standing.opening_balances(directory, given.balances)
    meta = {
        **_texts(directory, settings),
        "opening": msgspec.json.encode(opening, order="sorted").decode(),
    }
    if given.files:
        Objects(given.files).try_out()
        meta[OBJECTS] = given.files
    signed_by = None if signing_key is None else signing.read_key(signing_key)
    create_home(path, meta, at, key, signed_by, given.catalog)


def change(
    home: Home,
    directory: Directory,
    settings: Settings,
    given: Given,
    when: SaidTime,
    warn: Callable[[str], None],
) -> tuple[Directory, Settings]:
    """Replace what is given in one commit (`Engine.change_directory`). Returns directory and
    settings as they are then."""
    at, why = days.noted(home, when.at, when.why, warn)
    tables = given.participants, given.debtors, given.programmes
    if given.balances is not None:
        if any(part is not None for part in (*tables, given.settings)):
            raise UsageError("balances are given alone: they are a commit of their own")
        held = standing.opening_balances(directory, given.balances)
        standing.set_balances(home, directory, held, at, why)
        return directory, settings
    new = read_directory(*tables, directory)
    standing.require_nobody_leaves(home, directory, new)
    if given.settings is not None:
        before, settings = settings, Settings.of(given.settings, settings)
        if settings.held_days_of != before.held_days_of:
            _require_benefits(new, settings)
    if settings.enforce_budgets is True:
        budgets.require_programmes(new)
    changed = _texts(new, settings)
    home.commit(
        at=at,
        kind="directory",
        detail={**changed, **why},
        changes=[SetMeta(value, name) for name, value in changed.items()],
    )
    return new, settings


def _require_benefits(directory: Directory, settings: Settings) -> None:
    """Deadlines are of programmes that are there; a programme may go later, and its lines wait by
    theirs. Raises UsageError."""
    known = [programme.benefit for programme in directory.programmes]
    for benefit in settings.held_days_of or {}:
        if benefit not in known:
            shown = ", ".join(known)
            raise UsageError(f"held_days_of {benefit!r} is no programme here; there are {shown}")


def _texts(directory: Directory, settings: Settings) -> dict[str, str]:
    return {
        "directory": directory.to_json().decode(),
        "settings": msgspec.json.encode(settings).decode(),
    }
