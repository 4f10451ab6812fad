"""Deliveries: ways to take what parties hand to the portal, kind by kind."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from switch.arguments import checked
from switch.clearing.dossiers import proven_facts
from switch.clearing.intake import dossier_path, exact_sum
from switch.control import desk
from switch.control import spool as boxes
from switch.control.acts import Act, acts, policies
from switch.control.keys import Signer, signer_of
from switch.control.portal import Taker
from switch.control.spool import Manifest
from switch.errors import InputRefused, UsageError
from switch.files.tables import open_table
from switch.home.days import SaidTime
from switch.home.store import Home
from switch.home.times import time_text
from switch.reconcile import commits
from switch.reconcile.take_in import AnswerFiles
from switch.registry.directory import Directory
from switch.registry.settings import Settings
from switch.schema import CONFIRMATIONS, DELIVERED, RETURNS, STATEMENT, Table

ANSWERS = {"confirmations": CONFIRMATIONS, "returns": RETURNS, "statement": STATEMENT}


def takers(home: Home, directory: Directory, settings: Settings) -> dict[str, Taker]:
    """A taker for each kind of delivery. settings: of the home."""

    def take_acts(folder: Path, manifest: Manifest) -> None:
        known = {act.signature for act in acts(home)}
        for act in _acts(folder, manifest):
            if act.signature not in known:
                desk.take_signed(home, directory, act)

    def take_answers(folder: Path, manifest: Manifest) -> None:
        given = AnswerFiles(_paths(folder, manifest), manifest.kind, False)
        when = SaidTime("")
        commits.reconcile(home, directory, settings, given, None, when, home.path / "out")

    def keep(folder: Path, manifest: Manifest) -> None:
        """A table is kept in the archive, for whoever prepares and runs it."""

    return {
        "table": Taker(_totals_of_table, keep),
        "act": Taker(_totals_of_acts, take_acts),
        **{name: Taker(_totals_by(home, table), take_answers) for name, table in ANSWERS.items()},
    }


@checked
def deliver(
    spool: str | Path,
    party: str,
    kind: str,
    files: Sequence[str | Path],
    *,
    key: Signer | bytes | str | Path,
    at: datetime.date | str,
) -> Manifest:
    """Put files into the inbox of a party, with a signed manifest that lands last.

    spool: the folder that the party and the home share. kind: table (with the dossier beside it),
    act, confirmations, returns or statement. files: of one delivery. key: the party's, as of
    `Control.sign`. at: the time that is signed. Returns the manifest; its number is the next of the
    party. Raises InputRefused for files that are none of the kind, UsageError for another kind.
    """
    if kind not in DELIVERED:
        raise UsageError(f"{kind!r} is no kind of delivery: {', '.join(DELIVERED)}")
    if not files or not time_text(at):
        raise UsageError("name the files of the delivery, and the time that is signed")
    signer, paths = signer_of(key), [Path(file) for file in files]
    count, total = totals(kind, paths)
    folder = boxes.make_folders(Path(spool), party)
    last, before = boxes.last_of(folder, party)
    draft = Manifest(
        party=party,
        number=last + 1,
        kind=kind,
        at=time_text(at),
        count=count,
        sum=total,
        contents=[],
        after=before,
        key=signer.public,
    )
    with_dossier = [dossier_path(paths[0])] if kind == "table" else []
    return boxes.deliver(Path(spool), draft, [*paths, *with_dossier], signer)


def totals(kind: str, files: list[Path]) -> tuple[int, int]:
    """Rows and amounts of what is to be delivered, as its manifest says them."""
    if kind in ("table", "act") and len(files) != 1:
        what, remedy = f"a delivery brings one {kind}", "deliver each by itself"
        raise InputRefused("MANIFEST_INVALID", what, remedy=remedy)
    if kind == "table":
        facts = proven_facts(files[0])
        return facts["count"], facts["sum"]
    if kind == "act":
        return 1, desk.read_act(files[0]).table.sum
    return _sums(files, ANSWERS[kind])


def _paths(folder: Path, manifest: Manifest) -> list[Path]:
    return [folder / content.name for content in manifest.contents]


def _totals_of_table(folder: Path, manifest: Manifest) -> tuple[int, int]:
    paths = _paths(folder, manifest)
    tables = [path for path in paths if dossier_path(path) in paths]
    if len(paths) != 2 or len(tables) != 1:
        raise InputRefused(
            "DOSSIER_MISSING",
            "a table is delivered with its dossier, and nothing else",
            remedy="deliver NAME.parquet and NAME.dossier.json together",
        )
    return totals("table", tables)


def _acts(folder: Path, manifest: Manifest) -> list[Act]:
    return [desk.read_act(path) for path in _paths(folder, manifest)]


def _totals_of_acts(folder: Path, manifest: Manifest) -> tuple[int, int]:
    return totals("act", _paths(folder, manifest))


def _totals_by(home: Home, table: Table) -> Callable[[Path, Manifest], tuple[int, int]]:
    def totals_of(folder: Path, manifest: Manifest) -> tuple[int, int]:
        parties = policies(home)[-1].policy.parties
        (party,) = [one for one in parties if one.name == manifest.party]
        return _sums(_paths(folder, manifest), table, party.participants)

    return totals_of


def _sums(files: list[Path], table: Table, speaking: Sequence[str] = ()) -> tuple[int, int]:
    """Rows of answer files, and the sum of their amounts. speaking: participants for which alone
    they may speak; none: for all. Raises InputRefused for an answer of another one."""
    count = total = 0
    for path in files:
        for chunk in open_table(path, table).chunks():
            named = chunk.get("participant")
            if speaking and (named is None or not set(named.rows().to_pylist()) <= {*speaking}):
                what = "it speaks for another participant than its party may"
                remedy = f"deliver answers of {', '.join(speaking)} alone"
                raise InputRefused("PARTY_OTHER", what, file=path.name, remedy=remedy)
            amount = np.ascontiguousarray(chunk["amount"])
            count += len(amount)
            total += exact_sum(amount)
    return count, total
