"""Citizens: everything that citizens may do about their own accounts in one open home."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Protocol, Unpack

from switch.arguments import checked
from switch.control.take import Book
from switch.home.store import Home
from switch.home.turns import Turns, acts, asks
from switch.registry import claims
from switch.registry.claims import AccountClaimed, CitizenBound, CitizenShown, Claimed
from switch.registry.directory import Directory

CERTIFIED = ("certify", "fund", "release")
"""Steps from which on a table is final."""


class Open(Protocol):
    """An engine, as self-service knows it."""

    turns: Turns
    home: Home
    directory: Directory

    def look(self) -> None:
        """Take in what the last commit says of the home as a whole."""


@checked
class Citizens:
    """Self-service of citizens in one home (`Engine.citizens`), as VssID and VNeID have it: the
    holder of an account registers it from a bound device by a one-time password.

    engine: the open home, whose turns it takes. Needs the extra `[citizen]`.
    """

    def __init__(self, engine: Open) -> None:
        self._engine = engine
        self.turns, self.home = engine.turns, engine.home

    def __repr__(self) -> str:
        return f"<Citizens of {self.home.path}>"

    def look(self) -> None:
        """Take in the directory as the last commit left it."""
        self._engine.look()

    @acts
    def bind(
        self,
        person_id: str,
        *,
        device: str,
        by: str,
        secrets: bytes | str | Path,
        out: str | Path,
        at: datetime.date | str,
    ) -> CitizenBound:
        """Bind a device to a person, in place of the one before. person_id: 12 digits, of the
        register. device: its name, 1 to 64 characters; nobody else's device. by: who saw the person
        and the card. secrets: the secret of the authority, 32 bytes or more, or a file of it
        outside of every home; no seed is kept, each follows from it. out: a file, in no home, that
        gets the address (otpauth) for the person's authenticator. at: the time that is recorded.
        The same again, where nothing was said since, answers what is stored and writes the file
        again. Raises UsageError, and InputRefused (DEVICE_TAKEN), which is recorded."""
        return claims.bind(self.home, person_id, device, by=by, secrets=secrets, out=out, at=at)

    @acts
    def account(self, person_id: str, **said: Unpack[Claimed]) -> AccountClaimed:
        """Register an account of a person, by a code that their bound device shows: a new version
        of the account register. It receives from the day of `at` on, or behind the value dates of
        all tables that are certified and were not run yet, so that it alters none of them.
        person_id: as of `bind`. The rest as `Claimed` has it: device, code, secrets, participant,
        account, instead_of, priority, representative, at. Raises UsageError for a call that is
        wrong itself, and InputRefused with a rule for each reason why it may not be, which is
        recorded: NOT_BOUND, DEVICE_OTHER, LOCKED (five wrong codes, for 300 seconds), CODE_WRONG,
        CODE_USED, of a representative REPRESENTATIVE_OTHER, AUTHORITY_OVER and
        REPRESENTATIVE_NOT_ALIVE, then HOLDER_DECEASED, HOLDER_OTHER, ACCOUNT_HELD, ACCOUNTS_FULL,
        ACCOUNT_UNKNOWN.
        """
        return claims.claim(self.home, self._engine.directory, person_id, self._certified, **said)

    @asks
    def show(self, person_id: str) -> CitizenShown:
        """A person's bound device, wrong codes and accounts, as registered. person_id: as of
        `bind`. Raises UsageError for who is in no register."""
        return claims.shown(self.home, person_id)

    def _certified(self) -> list[str]:
        return [one.table.value_date for one in Book(self.home).under_way(CERTIFIED, 0)]
