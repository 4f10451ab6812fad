"""Fees: bills of agencies and their payments by citizens' banks, in one open home."""

from __future__ import annotations

import datetime
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from switch.arguments import checked
from switch.errors import UsageError
from switch.files.disk import out_folder
from switch.files.exports import export, require_ending
from switch.files.tables import TableLike
from switch.home.copies import export_fees
from switch.home.store import Home
from switch.home.times import day_of, time_text
from switch.home.turns import Turns, acts, asks
from switch.registry.directory import Directory
from switch.registry.settings import Settings
from switch.settlement import fee_bills, fee_book, fee_match, fee_refunds, fee_standing
from switch.settlement import fees as payments
from switch.settlement.fee_bills import AgenciesLoaded, BillsLoaded
from switch.settlement.fee_match import FeesMatched
from switch.settlement.fee_refunds import FeeRefunded
from switch.settlement.fee_standing import FeePayment, FeesStanding
from switch.settlement.fees import FeesTaken

DOCUMENTS: dict[str, dict[str, object]] = {
    "agencies": {"": AgenciesLoaded},
    "bills": {"": BillsLoaded},
    "fees": {"": FeesStanding, "TABLE": FeesTaken, "--payment": FeePayment},
    "match-fees": {"": FeesMatched},
    "refund": {"": FeeRefunded},
}
"""Documents of the commands of fees, by their forms."""


class Open(Protocol):
    """An engine, as fees know it."""

    turns: Turns
    home: Home
    directory: Directory
    settings: Settings

    def look(self) -> None:
        """Take in what the last commit says of the home as a whole."""


@checked
class Fees:
    """Fees to the state (`Engine.fees`): agencies, bills, and payments that clear in the cycles of
    payouts.

    engine: the open home, whose turns it takes.
    """

    def __init__(self, engine: Open) -> None:
        self._engine = engine
        self.turns, self.home = engine.turns, engine.home

    def __repr__(self) -> str:
        return f"<Fees of {self.home.path}>"

    def look(self) -> None:
        """Take in the home as the last commit left it."""
        self._engine.look()

    @acts
    def load_agencies(
        self,
        agencies: TableLike,
        *,
        at: datetime.date | str = "",
        warn: Callable[[str], None] = warnings.warn,
        correct: str | None = None,
    ) -> AgenciesLoaded:
        """Replace the table of agencies. agencies: a path or rows in memory (agency, name,
        participant, account ?, late ?). at, warn, correct: as of `Engine.register`. Raises
        InputRefused for a participant that is not in the directory, and where an agency that has
        bills is left out."""
        time, why = fee_bills.time_of(self.home, time_text(at), correct, warn, needed=False)
        return fee_bills.load_agencies(self.home, self._engine.directory, agencies, time, why)

    @asks
    def agencies(self) -> AgenciesLoaded:
        """Agencies that take fees, in order of code."""
        found = fee_bills.listed(fee_book.agencies(self.home))
        return {"agencies": found, "new": False}

    @acts
    def load_bills(
        self,
        bills: TableLike,
        *,
        at: datetime.date | str = "",
        warn: Callable[[str], None] = warnings.warn,
        correct: str | None = None,
    ) -> BillsLoaded:
        """Load bills: what citizens owe agencies. bills: a path or rows in memory (agency,
        bill_ref, person_id ?, amount, currency ?, due_on ?). The same bills again change nothing.
        at, warn, correct: as of `Engine.register`. Raises InputRefused for a bill that was loaded
        otherwise, and for one that is none."""
        time, why = fee_bills.time_of(self.home, time_text(at), correct, warn, needed=False)
        return fee_bills.load_bills(self.home, bills, time, why)

    @acts
    def take(
        self,
        payments: TableLike,
        *,
        at: datetime.date | str = "",
        out: str | Path | None = None,
        warn: Callable[[str], None] = warnings.warn,
        correct: str | None = None,
    ) -> FeesTaken:
        """Take payments of citizens' banks: each is taken, with a receipt, or refused, with a
        reason. Those that wait enter the cycle before them. payments: a path or rows in memory
        (payment_id, agency, bill_ref, participant, amount, currency ?, paid_on); the same again
        answers what is stored. at: the time that is recorded, by which a cycle takes them (default:
        that of the home). out: where answers and requests are copied to (default HOME/out). warn,
        correct: as of `Engine.register`. Raises InputRefused for a table that is none."""
        return self._take(payments, at, out, warn, correct)

    @acts
    def take_waiting(
        self,
        *,
        at: datetime.date | str = "",
        out: str | Path | None = None,
        warn: Callable[[str], None] = warnings.warn,
        correct: str | None = None,
    ) -> FeesTaken:
        """Let payments that wait, as their cycle was aborted or recast, enter the next one. at,
        out, warn, correct: as of `take`."""
        return self._take(None, at, out, warn, correct)

    @acts
    def refund(
        self,
        payment_id: str,
        *,
        by: str,
        why: str,
        amount: int | None = None,
        at: datetime.date | str = "",
        out: str | Path | None = None,
        warn: Callable[[str], None] = warnings.warn,
        correct: str | None = None,
    ) -> FeeRefunded:
        """Give back a payment that has settled, through the next cycle, once; its bill stays paid.
        payment_id: as its bank gave it. by: the name of whoever says so; why: the reason, 1 to 140
        characters, both for good. amount: at most what was paid (default: all of it). The same
        again answers what is stored. at, out, warn, correct: as of `take`. Raises UsageError for a
        payment that was not taken, has not settled or was refunded, and where a bank is suspended
        or has no room."""
        engine, home = self._engine, self.home
        folder = out_folder(home.path, out)
        time, corrected = fee_bills.time_of(home, time_text(at), correct, warn)
        told = fee_refunds.refund(
            home, engine.directory, engine.settings, payment_id, amount, (by, why), time, corrected
        )
        export_fees(home, folder)
        return told

    @asks
    def standing(self) -> FeesStanding:
        """Fees by agency: bills, and payments by where their money stands."""
        return fee_standing.standing(self.home)

    @asks
    def payment(self, payment_id: str) -> FeePayment:
        """One payment that was taken: its bill, receipt, cycle and state. payment_id: as its bank
        gave it. Raises UsageError for one that was not taken."""
        return fee_standing.payment(self.home, payment_id)

    @asks
    def match(
        self,
        agency: str,
        table: TableLike,
        *,
        at: datetime.date | str,
        out: str | Path | None = None,
    ) -> FeesMatched:
        """Hold the list of an agency against the payments that were taken for it on a day: every
        bill of either side is matched, missing at one of them, or of another amount, and the sums
        add up to both. agency: its code. table: a path or rows in memory (bill_ref, amount,
        currency ?). at: the day, or a time of it. out: a file for the rows (.csv, .parquet, .arrow)
        outside of the home, or in HOME/out. Nothing is recorded. Raises InputRefused for a bill
        that stands twice, UsageError for an agency that is not known."""
        if out is not None:
            require_ending(out)
        time = time_text(at)
        if not time:
            raise UsageError("say which day is matched: at")
        said, rows = fee_match.match(self.home, agency, table, day_of(time))
        if out is not None:
            said["file"] = str(export(rows, out, self.home.path))
        return said

    def _take(
        self,
        table: TableLike | None,
        at: datetime.date | str,
        out: str | Path | None,
        warn: Callable[[str], None],
        correct: str | None,
    ) -> FeesTaken:
        engine, home = self._engine, self.home
        folder = out_folder(home.path, out)
        if not fee_book.agencies(home):
            raise UsageError(f"{home.path} knows no agencies: load them with `switch agencies`")
        time, why = fee_bills.time_of(home, time_text(at), correct, warn)
        taken = payments.take(home, engine.directory, engine.settings, table, time, why)
        export_fees(home, folder)
        return taken
