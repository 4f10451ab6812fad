"""Fees: bills of agencies and their payments by citizens' banks, in one open home."""

from __future__ import annotations

import datetime
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol, TypedDict, Unpack, cast

from switch.arguments import checked
from switch.errors import UsageError, counted
from switch.files.disk import out_folder
from switch.files.exports import export, require_ending
from switch.files.tables import TableLike
from switch.home.copies import export_fees
from switch.home.days import SaidTime
from switch.home.store import Home
from switch.home.times import day_of, time_text
from switch.home.turns import Turns, acts, asks
from switch.registry.directory import Directory
from switch.registry.settings import Settings
from switch.settlement import (
    fee_bills,
    fee_book,
    fee_match,
    fee_refunds,
    fee_standing,
    fee_withdrawals,
)
from switch.settlement import fees as payments
from switch.settlement.fee_bills import AgenciesLoaded, BillsLoaded
from switch.settlement.fee_match import FeesMatched
from switch.settlement.fee_refunds import Back, FeeRefunded
from switch.settlement.fee_standing import (
    WAY_OUT,
    FeeListed,
    FeePayment,
    FeesListed,
    FeesStanding,
)
from switch.settlement.fee_withdrawals import FeeWithdrawn
from switch.settlement.fees import FeesTaken

DOCUMENTS: dict[str, dict[str, object]] = {
    "agencies": {"": AgenciesLoaded},
    "bills": {"": BillsLoaded},
    "fees": {
        "": FeesStanding,
        "TABLE": FeesTaken,
        "--payment": FeePayment,
        "--state": FeesListed,
        "--withdraw": FeeWithdrawn,
    },
    "match-fees": {"": FeesMatched},
    "refund": {"": FeeRefunded},
}
"""Documents of the commands of fees, by their forms."""


class WhenNoted(TypedDict, total=False):
    """A time that is recorded, and the words that it is meant."""

    at: datetime.date | str
    """The time; default: that of the home, or of its last payments where it has none."""
    leap: bool
    """It is meant, far after all that is known as it may be."""
    correct: str | None
    """A reason for which it lies before what was signed or recorded."""
    warn: Callable[[str], None]
    """Called with each warning, such as of a day far from the home's last."""


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
        leap: bool = False,
    ) -> AgenciesLoaded:
        """Replace the table of agencies. agencies: a path or rows in memory (agency, name,
        participant, account ?, late ?). at, warn, correct, leap: as of `take`. Raises
        InputRefused for a participant that is not in the directory, and where an agency that has
        bills is left out."""
        time, why = fee_bills.time_of(self.home, SaidTime.of(at, leap, correct), warn, False)
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
        leap: bool = False,
    ) -> BillsLoaded:
        """Load bills: what citizens owe agencies. bills: a path or rows in memory (agency,
        bill_ref, person_id ?, amount, currency ?, due_on ?). The same bills again change nothing.
        at, warn, correct, leap: as of `take`. Raises InputRefused for a bill that was loaded
        otherwise, and for one that is none."""
        time, why = fee_bills.time_of(self.home, SaidTime.of(at, leap, correct), warn, False)
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
        leap: bool = False,
    ) -> FeesTaken:
        """Take payments of citizens' banks: each is taken, with a receipt, or refused, with a
        reason. Those that wait enter the cycle before them. payments: a path or rows in memory
        (payment_id, agency, bill_ref, participant, amount, currency ?, paid_on). One that was taken
        before is answered with its receipt, and moves nothing; one that was refused is judged anew.
        at: the time that is recorded, by which a cycle takes them (default: that of the home, or of
        its last payments where it has none). leap: it is meant, far after all that is known as it
        may be. out: where answers and requests are copied to (default HOME/out). warn, correct: as
        of `Engine.register`. Raises InputRefused for a table that is none, UsageError for a time
        that leaps."""
        return self._take(payments, SaidTime.of(at, leap, correct), out, warn)

    @acts
    def take_waiting(
        self,
        *,
        at: datetime.date | str = "",
        out: str | Path | None = None,
        warn: Callable[[str], None] = warnings.warn,
        correct: str | None = None,
        leap: bool = False,
    ) -> FeesTaken:
        """Let payments that wait, as their cycle was aborted or recast, enter the next one. at,
        out, warn, correct, leap: as of `take`."""
        return self._take(None, SaidTime.of(at, leap, correct), out, warn)

    @acts
    def refund(
        self,
        payment_id: str,
        *,
        by: str,
        why: str,
        amount: int | None = None,
        bank: str = "",
        out: str | Path | None = None,
        **when: Unpack[WhenNoted],
    ) -> FeeRefunded:
        """Give back a payment that has settled, through the next cycle, once; its bill stays paid.
        payment_id: as its bank gave it. bank: the code of this, where several gave the same id. by:
        the name of whoever says so; why: the reason, 1 to 140 characters, both for good. amount: at
        most what was paid (default: all of it). The same again answers what is stored. out, at,
        warn, correct, leap: as of `take`. Raises UsageError for a payment that was not taken, has
        not settled or was refunded, and where a bank is suspended or has no room."""
        engine, home = self._engine, self.home
        folder = out_folder(home.path, out)
        time, noted = self._time(when)
        said = Back(payment_id, bank, amount, by, why)
        told = fee_refunds.refund(home, engine.directory, engine.settings, said, time, noted)
        export_fees(home, folder)
        return told

    @acts
    def withdraw(
        self, payment_id: str, *, by: str, why: str, bank: str = "", **when: Unpack[WhenNoted]
    ) -> FeeWithdrawn:
        """Withdraw a payment that waits, such as one whose bank is gone: it enters no cycle any
        more, its bill is open again, and its bank gives the citizen back what it took. Of a payment
        that has settled, the refund that waits is withdrawn. payment_id, bank, by, why: as of
        `refund`; at, warn, correct, leap: as of `take`. The same again answers the same. Raises
        UsageError for a payment of which nothing waits."""
        time, noted = self._time(when)
        return fee_withdrawals.withdraw(self.home, payment_id, bank, (by, why), time, noted)

    @asks
    def standing(self) -> FeesStanding:
        """Fees by agency: bills, and payments by where their money stands."""
        return fee_standing.standing(self.home)

    @asks
    def payment(self, payment_id: str, bank: str = "") -> FeePayment:
        """One payment that was taken: its bill, receipt, cycle and state. payment_id: as its bank
        gave it. bank: the code of this, where several gave the same id. Raises UsageError for one
        that was not taken, and for an id of several banks without the bank."""
        return fee_standing.payment(self.home, payment_id, bank).said

    @asks
    def listed(
        self, *, state: Sequence[str] = (), cycle: str = "", out: str | Path | None = None
    ) -> FeesListed:
        """List payments that were taken, and refunds, oldest first. state: CLEARED, SETTLED,
        WAITING or WITHDRAWN, those alone; cycle: those that entered this one last. out: a file for
        the rows (.csv, .parquet, .arrow) outside of the home, or in HOME/out. Raises UsageError for
        a state that is none."""
        if out is not None:
            require_ending(out)
        rows = fee_standing.listed(self.home, state, cycle)
        file = "" if out is None else str(export(rows, out, self.home.path))
        shown = [{**row, "paid_on": str(row["paid_on"])} for row in rows.to_pylist()]
        return {
            "count": len(rows),
            "sum": sum(rows["amount"].to_pylist()),
            "rows": cast(list[FeeListed], shown),
            "file": file,
        }

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

    def _time(self, when: WhenNoted) -> tuple[str, dict[str, Any]]:
        said = SaidTime.of(when.get("at", ""), when.get("leap", False), when.get("correct"))
        return fee_bills.time_of(self.home, said, when.get("warn", warnings.warn))

    def _take(
        self,
        table: TableLike | None,
        said: SaidTime,
        out: str | Path | None,
        warn: Callable[[str], None],
    ) -> FeesTaken:
        engine, home = self._engine, self.home
        folder = out_folder(home.path, out)
        if not fee_book.agencies(home):
            raise UsageError(f"{home.path} knows no agencies: load them with `switch agencies`")
        time, why = fee_bills.time_of(home, said, warn)
        taken = payments.take(home, engine.directory, engine.settings, table, time, why)
        export_fees(home, folder)
        if stuck := payments.stuck(home, engine.directory, engine.settings, time):
            one = counted(stuck, "payment waits", "payments wait")
            warn(f"{one} whose bank is suspended or gone: {WAY_OUT.format('ID')}")
        return taken
