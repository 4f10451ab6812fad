"""Controlled: everything a caller may do about the control of one open home."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol, Unpack

from switch.arguments import checked
from switch.clearing.dossiers import proven_facts
from switch.control import desk
from switch.control.acts import Act
from switch.control.keys import Signer
from switch.control.policy import Policy
from switch.control.portal import Delivered, Portal
from switch.control.take import ActTaken, Asked, PolicySet
from switch.deliveries import takers
from switch.home.store import Home
from switch.home.turns import Turns, acts, asks
from switch.open_items import dossiers
from switch.open_items.listing import Listing, Words
from switch.registry.directory import Directory
from switch.registry.settings import Settings
from switch.settlement import participants


class Open(Protocol):
    """An engine, as control knows it."""

    turns: Turns
    home: Home
    directory: Directory
    settings: Settings

    def look(self) -> None:
        """Take in what the last commit says of the home as a whole."""


@checked
class Control:
    """Control of one home (`Engine.control`): who may release money, and on whose word.

    engine: the open home, whose turns it takes.
    """

    def __init__(self, engine: Open) -> None:
        self._engine = engine
        self.turns, self.home = engine.turns, engine.home

    def __repr__(self) -> str:
        return f"<Control of {self.home.path}>"

    def look(self) -> None:
        """Take in directory and settings as the last commit left them."""
        self._engine.look()

    @asks
    def policy(self) -> desk.PolicyShown | None:
        """The policy that holds now, with its version; None where the home has none."""
        return desk.policy_now(self.home)

    @acts
    def set_policy(
        self,
        policy: Policy | Mapping[str, object] | str | Path,
        *,
        signers: Mapping[str, Signer | bytes | str | Path] | None = None,
        at: datetime.date | str | None = None,
    ) -> PolicySet:
        """Set the policy: only released tables are run from then on. policy: a TOML or JSON file,
        or what such a file has (docs/control.md). signers: private keys by the name of who signs;
        the first policy is signed by nobody, a later one by as many as the one before asks for. at:
        the time that is recorded. Raises InputRefused for one that is none, or too few sign."""
        return desk.give_policy(self.home, policy, signers, at)

    @acts
    def prepare(self, table: str | Path, **said: Unpack[desk.Said]) -> ActTaken:
        """Begin the dossier of a table, by its maker. table: its file, with a dossier beside it.
        The rest as `Said` has it: by, key, at, why, behalf (answered is of another step). Raises
        InputRefused, with a rule for each reason, where it may not be."""
        return desk.prepare(self.home, self._engine.directory, proven_facts(table), **said)

    @acts
    def sign(
        self,
        batch_id: str,
        step: str,
        *,
        table: str | Path | None = None,
        **said: Unpack[desk.Said],
    ) -> ActTaken:
        """Sign a step of a dossier (approve, authenticate, control, certify, fund, release), or
        stop it (hold, pause, resume, cancel, refuse; each with why). batch_id: as of `line`. table:
        its file, to make sure that it is still the same. The rest as `Said` has it: by, key, at,
        why, behalf, answered. Raises InputRefused, with a rule for each reason, where it may not
        be: that is noted in the home, and nothing else happens."""
        facts = None if table is None else proven_facts(table)
        return desk.sign(self.home, self._engine.directory, batch_id, step, facts, **said)

    @asks
    def statement(
        self, batch_id: str, step: str, *, table: str | Path | None = None, **asked: Unpack[Asked]
    ) -> Act:
        """The act that somebody is to sign elsewhere, where their key is: `act.signed(signer)`.
        batch_id, step, table: as of `sign`; `prepare` needs the table. The rest as `Asked` has it:
        by, public, at, why, behalf, answered."""
        facts = None if table is None else proven_facts(table)
        return desk.to_sign(self.home, batch_id, step, facts, **asked)

    @acts
    def take_act(self, act: Act | str | Path) -> ActTaken:
        """Take an act that was signed elsewhere. act: itself, or its file. Raises InputRefused, as
        `sign` does."""
        return desk.take_signed(self.home, self._engine.directory, act)

    @acts
    def participant(
        self, code: str, **said: Unpack[participants.ParticipantSaid]
    ) -> participants.ParticipantChanged:
        """Suspend or enable a participant, cap it, or say what its settlement account holds, in one
        commit. code: of the directory. by, why: who says so, and the reason, both for good. status:
        active or suspended. cap: the most that it may owe in a cycle; -1: no limit. balance: given
        alone; it binds from now on. at, correct, warn: as of `Engine.register`. What is so already
        is recorded no second time. Raises UsageError for a participant that is not there."""
        changed = participants.change_participant(self.home, self._engine.directory, code, **said)
        self._engine.look()
        return changed

    @asks
    def dossiers(self, *, state: Words = None, limit: int | None = None) -> Listing:
        """All dossiers, oldest first: where each stands, who signed, who has to sign next. state:
        such as CERTIFIED, or several. limit: rows at most."""
        return dossiers.dossiers(self.home, state=state, limit=limit)

    @acts
    def portal(self, spool: str | Path) -> list[Delivered]:
        """Take what parties delivered into a spool (`switch.deliver`), once, and answer each
        delivery in the outbox of its party. spool: a folder outside of the home. Returns what
        became of each, party by party. Raises UsageError where the policy has no parties."""
        known = takers(self.home, self._engine.directory, self._engine.settings)
        return Portal(self.home, Path(spool), known).take_all()
