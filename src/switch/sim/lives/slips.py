"""Slips lived: dates that are none, times that leap, catalogs of before. Nothing moves by them."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from pathlib import Path

import msgspec
import pyarrow as pa

from switch.engine import Engine
from switch.errors import InputRefused, UsageError, VerificationFailed
from switch.proof.verify import verify
from switch.registry.settings import Settings
from switch.sim.lives.comparison import Comparison
from switch.sim.lives.difference import Difference, require
from switch.sim.lives.faults import KINDS
from switch.sim.lives.operations import Leap, OddDate, OldCatalog
from switch.sim.lives.sides import USAGE, Sides
from switch.sim.lives.tables import PAYMENT

OLD_CATALOGS = 4
PEOPLE_HEADER = "person_id,name,birth_date,status,status_since"
ACCOUNTS_HEADER = "person_id,participant,account,kind,priority,valid_from,valid_to"


class Slips:
    """Does on a home what must be refused."""

    def __init__(self, sides: Sides, comparison: Comparison, folder: Path) -> None:
        """folder: for tables."""
        self.sides, self.comparison, self.folder = sides, comparison, folder
        self._catalogs: list[tuple[int, bytes]] = []
        """(commits, content) of the last catalogs, oldest first."""

    def keep_catalog(self) -> None:
        """Keep a copy of the catalog as it is now."""
        commits = self.sides.auditor.commits
        if not self._catalogs or self._catalogs[-1][0] != commits:
            self._catalogs.append((commits, (self.sides.home / "catalog.sqlite").read_bytes()))
            del self._catalogs[:-OLD_CATALOGS]

    def old_catalog(self, operation: OldCatalog) -> str:
        """Put an older catalog back: writers and verify recognise it, and nothing is moved."""
        sides = self.sides
        commits, old = self._catalogs[-min(operation.back + 1, len(self._catalogs))]
        if commits == sides.auditor.commits:
            return "the same"
        sides.close()
        catalog = sides.home / "catalog.sqlite"
        current = catalog.read_bytes()
        catalog.write_bytes(old)
        folders = _folders(sides.home)
        for what, use in (("open", Engine), ("verify", verify)):
            try:
                use(sides.home)
            except VerificationFailed:
                continue
            raise Difference(f"{what} with a catalog of {commits} commits", "refused", "taken")
        require("folders after an old catalog", folders, _folders(sides.home))
        catalog.write_bytes(current)
        sides.reopen()
        return "recognised"

    def odd_date(self, operation: OddDate) -> str:
        """Hand in a date that is none: it is refused where it comes in, and nothing moves."""
        door, text = operation
        before = self.sides.engine.home.catalog.heads().link
        try:
            self._say(door, text)
            said = "taken"
        except (InputRefused, UsageError, msgspec.ValidationError):
            said = "refused"
        require(f"an odd date by {door}", "refused", said)
        require("history after an odd date", before, self.sides.engine.home.catalog.heads().link)
        return f"{door} {text}"

    def _say(self, door: str, text: str) -> None:
        engine, path = self.sides.engine, self.folder / "odd.csv"
        if door == "value date":
            none = pa.Table.from_pylist([], schema=PAYMENT)
            engine.run(none, source="S", batch_id="ODD", value_date=text, count=1, sum=1)
        elif door == "time":
            engine.settle(at=text)
        elif door == "close":
            engine.close_day(text)
        elif door == "holiday":
            config = {"cutoffs": ["11:00"], "holidays": [text]}
            engine.change_directory(settings=msgspec.convert(config, Settings))
        elif door == "status_since":
            row = f"001000000001,An,1950-01-01,deceased,{text}"
            path.write_text(f"{PEOPLE_HEADER}\n{row}\n", "utf-8")
            engine.register(population=path)
        else:
            valid = f"{text}," if door == "valid_from" else f",{text}"
            row = f"001000000001,970001,1,bank,1,{valid}"
            path.write_text(f"{ACCOUNTS_HEADER}\n{row}\n", "utf-8")
            engine.register(accounts=path)

    def leap(self, operation: Leap) -> str:
        """Do something at a time that leaps: nothing is done without the word; with it a cycle
        settles."""
        sides = self.sides
        auditor, before = sides.auditor, sides.engine.home.catalog.heads().link
        if not auditor.days.known:
            return "nothing"
        day = auditor.beyond(operation.days)
        at, doors = day.isoformat(), self._doors_of_time(day)
        if operation.door not in doors:
            return "nothing"
        is_unreleased = operation.door == "run" and auditor.control.versions
        refusals = frozenset({"NOT_RELEASED"}) if is_unreleased else USAGE
        word = sides.refused(lambda: doors[operation.door](at), refusals)
        require("history after a leap", before, sides.engine.home.catalog.heads().link)
        if operation.door == "settle" and operation.meant:
            auditor.days.furthest = day
            answers = sides.engine.settle(at=at, leap=True, warn=lambda _: None)
            word = self.comparison.cycles(answers, auditor.settle(day))
        return f"{operation.door} {operation.days} {word}"

    def _doors_of_time(self, day: dt.date) -> dict[str, Callable[[str], object]]:
        """Operations that can be done at a time as things stand, by door."""
        auditor, engine = self.sides.auditor, self.sides.engine
        none, before = pa.Table.from_pylist([], schema=PAYMENT), day - dt.timedelta(days=1)
        doors: dict[str, Callable[[str], object]] = {
            "run": lambda at: engine.run(
                none, at=at, source="S", batch_id="FAR", value_date=before, count=1, sum=1
            ),
            "answers": lambda at: engine.reconcile(at=at),
            "close": engine.close_day,
        }
        if auditor.cycles.unsettled():
            doors["settle"] = lambda at: engine.settle(at=at)
        if auditor.way_back.returns_there():
            doors["write back"] = lambda at: engine.write_back(at=at)
            doors["reissue"] = lambda at: engine.reissue(at=at)
        return doors


def _folders(home: Path) -> list[str]:
    kinds = (*KINDS, "quarantine")
    return sorted(f"{kind}/{path.name}" for kind in kinds for path in (home / kind).glob("*"))
