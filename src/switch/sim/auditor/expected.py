"""Expected: the words in which the auditor says what must become of tables, lines and cycles.

Of the engine it imports `schema`, `reason` and `errors` alone. Amounts are whole dong.
"""

from __future__ import annotations

import datetime as dt
import re
from collections import Counter
from collections.abc import Mapping
from typing import NamedTuple

from switch.schema import BATCH_ID_RULE, CLEARING_LIMIT, month_of
from switch.sim.auditor.screening import Row

Line = tuple[int, int]
"""(number of the batch it came in, line number)."""


ROWS = "rows"
"""Form of the content of a table that was handed over from memory."""


def is_again(ran: str, content: str) -> bool:
    """True where a table holds what one held that was run: the same file, or, where rows came from
    memory, the same rows in any form."""
    form, _, rows = ran.partition(":")
    return content == ran or (form == ROWS and content.partition(":")[2] == rows)


class Table(NamedTuple):
    """A payment table with what is declared of it."""

    source: str
    batch_id: str
    value_date: dt.date
    declared_count: int
    declared_sum: int
    rows: tuple[Row, ...]
    content: str
    """Its form, ROWS or that of a file, a colon, and its rows."""
    digest_true: bool = True
    """The dossier's digest is that of the file."""
    dossier: bool = True
    """There is a dossier, or the declarations come as arguments."""
    currency: str = "VND"

    @property
    def declared(self) -> tuple[dt.date, int, int]:
        """Facts that are declared of it beside its name: once it was run they stay."""
        return self.value_date, self.declared_count, self.declared_sum

    def faults(self) -> set[str]:
        """Rules by which a table may be refused whole, whatever stands in the home."""
        if not self.dossier:
            return {"DOSSIER_MISSING"}
        found = set()
        if not all(re.fullmatch(BATCH_ID_RULE, name) for name in (self.batch_id, self.source)):
            found.add("NAME_UNSAFE")
        if self.currency != "VND":
            found.add("CURRENCY")
        if not self.digest_true:
            found.add("FILE_HASH")
        if self.declared_count != len(self.rows) or self.declared_count < 1:
            found.add("CONTROL_COUNT")
        if self.declared_sum != sum(row["amount"] for row in self.rows):
            found.add("CONTROL_SUM")
        numbers = [row["line_no"] for row in self.rows]
        if len(set(numbers)) != len(numbers):
            found.add("LINE_NO_DUPLICATE")
        if max(numbers, default=1) > self.declared_count:
            found.add("LINE_NO_RANGE")
        for row in self.rows:
            if (row["creditor_agent"] is None) != (row["creditor_account"] is None):
                found.add("ACCOUNT_INCOMPLETE")
            if month_of(row["period"]) is None:
                found.add("PERIOD_INVALID")
        return found


class Outcome(NamedTuple):
    """One line's answer in one run."""

    batch: int
    """The batch it came in."""
    line_no: int
    status: str
    code: str | None
    reason: int
    participant: str | None
    """Holder of the account that counts; None before a line got so far, and where the directory
    lacks it."""
    transfer_id: str | None
    cycle: str | None
    passed: str | None = None
    """Words about a line that clears: arrears of the deceased, accounts that were passed over."""
    is_replaced: bool = False
    """Another id stands in place of the line's."""

    @property
    def line(self) -> Line:
        return self.batch, self.line_no


class Sent(NamedTuple):
    """A line of a clearing file."""

    transfer_id: str
    end_to_end_id: str | None
    creditor_account: str
    creditor_name: str
    amount: int
    purpose: str
    period: int
    debtor_account: str


class Position(NamedTuple):
    """Sums of one participant in a batch, and its net: credit less debit."""

    participant: str
    settled_by: str
    credit_count: int
    credit_sum: int
    debit_count: int
    debit_sum: int
    net: int


class Posting(NamedTuple):
    """A step of the domain's table, and the accounts between which it moves money."""

    step: str
    debit: str
    credit: str


class Waiting(NamedTuple):
    """A held line: (batch, line number) is its identity."""

    batch: int
    batch_date: dt.date
    row: Row

    @property
    def line(self) -> Line:
        return self.batch, self.row["line_no"]

    @property
    def transfer_id(self) -> str:
        return f"{self.batch_date:%Y%m%d}-{self.batch:06d}-{self.row['line_no']:010d}"


class Calendar(NamedTuple):
    """Days off besides weekends, days that count all the same, and cut-offs of a day (HH:MM)."""

    holidays: frozenset[dt.date]
    worked: frozenset[dt.date]
    cutoffs: tuple[str, ...]

    def cycle_of(self, day: dt.date, known: Mapping[str, Cycle]) -> tuple[str, str]:
        """(name, cut-off) of the first cycle from the beginning of a day on that is not closed."""
        while True:
            if day in self.worked or (day.isoweekday() < 6 and day not in self.holidays):
                for closes, name in self._of_day(f"{day:%Y%m%d}-", known):
                    if name not in known or known[name].state == "OPEN":
                        return name, closes
            day += dt.timedelta(days=1)

    def _of_day(self, head: str, known: Mapping[str, Cycle]) -> list[tuple[str, str]]:
        """(cut-off, name) of its cycles, earliest first. What was heard of keeps both; a cut-off
        that none of these has is given its own number, or one after all others."""
        found = {name: cycle.closes for name, cycle in known.items() if name.startswith(head)}
        for number, closes in enumerate(self.cutoffs, start=1):
            if closes not in found.values():
                more = range(len(self.cutoffs) + 1, len(self.cutoffs) + len(found) + 2)
                free = next(n for n in (number, *more) if f"{head}{n}" not in found)
                found[f"{head}{free}"] = closes
        return sorted((closes, name) for name, closes in found.items())


class Owed(NamedTuple):
    """A line that cleared, as far as it may be taken back."""

    entry: Waiting
    cleared_in: int
    agent: str
    """Debtor agent."""
    payer: str
    payee: str
    """Participants whose settlement accounts pay and receive."""
    participant: str
    account: str
    credit: str = ""
    """Transfer id of the first line of its credit, where it went with others of its household."""
    credit_sum: int = 0
    """Dong of that credit."""

    @property
    def named(self) -> str:
        """The transfer id by which its receiver knows it."""
        return self.credit or self.transfer_id

    @property
    def due(self) -> int:
        """Dong that its receiver got under that id."""
        return self.credit_sum or self.amount

    @property
    def leads(self) -> bool:
        """It has a row of a clearing file."""
        return self.named == self.transfer_id

    @property
    def amount(self) -> int:
        return int(self.entry.row["amount"])

    @property
    def line(self) -> Line:
        return self.entry.line

    @property
    def transfer_id(self) -> str:
        return self.entry.transfer_id

    @property
    def sides(self) -> tuple[str, str]:
        """The institutions that pay and receive."""
        return self.agent, self.participant

    @property
    def is_on_us(self) -> bool:
        """One institution pays and receives it."""
        return self.agent == self.participant

    @property
    def payable(self) -> str:
        """Account of what is owed to people by the batch in which it cleared."""
        return f"T.PAYABLE[{self.cleared_in:06d}]"

    @property
    def expense(self) -> str:
        """Account of the expense for its benefit."""
        return f"T.EXPENSE[{self.entry.row['benefit']}]"


class FeePaid(NamedTuple):
    """A payment of a fee in a cycle, or its refund."""

    name: tuple[str, str]
    """Code of the payer's bank, and the id that this gave it."""
    agency: str
    bank: str
    """Institution that pays: the payer's bank, or of a refund the agency's."""
    agent: str
    """The other one."""
    payer: str
    payee: str
    """Participants whose settlement accounts pay and receive."""
    amount: int
    back: bool = False
    """It is a refund."""

    @property
    def books(self) -> tuple[str, str]:
        """Accounts of the books that it debits and credits."""
        if self.back:
            return f"T.FEES[{self.agency}]", f"B.CUSTOMER[{self.agent}]"
        return f"B.CUSTOMER[{self.bank}]", f"T.FEES[{self.agency}]"

    @property
    def key(self) -> tuple[tuple[str, str], bool]:
        return self.name, self.back


class Ran(NamedTuple):
    """A batch that was run."""

    name: tuple[str, str]
    """(source, batch id)."""
    content: str
    declared: tuple[dt.date, int, int]
    head: str
    """Beginning of the transfer ids of its lines."""
    cycle: str
    day: dt.date
    """Its business day: the value date, or a later day where that one was closed."""


BOOKED = "BOOKED"
"""Status of an entry in the statement of the treasury's account for what came back."""


RESOLVED = ("CNCL", "RJCR", "PDCR")
"""Status of answers to recalls: yes, no, not decided yet."""


class Record(NamedTuple):
    """One saying of a receiver, or of a statement, about a transfer. Its whole content is its
    identity."""

    participant: str
    transfer_id: str
    """Id of a line; or the beginning of all ids of a whole clearing file."""
    amount: int
    at: dt.datetime
    status: str
    """ACCC, RJCT, or RTRN where money is sent back; or BOOKED; or of RESOLVED."""
    account: str | None = None
    reason: str | None = None
    return_id: str | None = None
    """Or that of the entry."""

    @property
    def kind(self) -> str:
        """Kind of the file that it stands in."""
        if self.status in RESOLVED:
            return "resolutions"
        return {"RTRN": "returns", BOOKED: "statement"}.get(self.status, "confirmations")

    def is_of(self, owed: Owed) -> bool:
        """True where the record comes from the line's receiver, or from who settles for it."""
        return self.participant in (owed.participant, owed.payee)

    def fits(self, owed: Owed) -> bool:
        """True where the record is of the line's receiver, amount and, if it names one, account."""
        same = self.is_of(owed) and self.amount == owed.due
        return same and self.account in (None, owed.account)


class Moved(NamedTuple):
    """Lines that a reconciliation must move."""

    new: dict[str, int]
    """Records that were not heard before, by kind of file."""
    refused: list[Line]
    returned: list[Line]
    cycle: str
    """Through which lines come back; '' where none do."""

    @property
    def is_something(self) -> bool:
        return bool(any(self.new.values()) or self.refused or self.returned)


class Breaks(NamedTuple):
    """Breaks of receivers' answers that must be open."""

    classes: dict[str, list[str]]
    """By transfer id."""
    unsure: set[str]
    """Transfer ids of which so much was said that the rules have to choose."""
    drifts: set[str]
    """Receivers and clearing files whose sum is not ours."""
    unbooked: list[str]
    """Transfer ids that came back, and of which the treasury's statement does not tell."""
    recalls: list[tuple[str, str]]
    """(class, transfer id) of recalls that nobody answered in time, and of answers to none."""


class Settled(NamedTuple):
    """The end of a cycle, or why it has not come."""

    cycle: str
    state: str
    short: dict[str, int]
    turned: list[str]
    """Participants that had nothing to pay before defaulters were taken out."""
    recall: dict[str, list[tuple[str, int]]]
    """By receiver: transfer ids and amounts that it must not credit."""


class Cycle(NamedTuple):
    """A cycle of the calendar. Counters are never changed, but made anew."""

    state: str
    positions: dict[str, str]
    """By participant with a position: who settles for it."""
    nets: Counter[str]
    """By settlement participant."""
    reserved: Counter[str]
    """By participant: what was set aside, by account."""
    reserves: Counter[str]
    """By account of what was set aside."""
    owed: tuple[Owed, ...] = ()
    answered: bool = False
    """Lines were refused out of it, or come back through it: then it settles whole or waits."""
    closes: str = ""
    """Its cut-off: HH:MM of the day in its name."""
    fees: tuple[FeePaid, ...] = ()
    """Payments of fees that stand in it."""


class Ruled(NamedTuple):
    """Settings of a home."""

    calendar: Calendar | None = None
    """None where every batch settles at once."""
    recasts: bool = False
    """A cycle settles without those who lack funds."""
    budgets: bool = False
    """A table beyond that of a programme is refused."""
    shared_max: int = 0
    """For how many persons an account may receive in a batch; 0: any."""
    clearing_limit: int = CLEARING_LIMIT
    held_days: int = 0
    """Days for which a line may wait; 0: for ever."""
    held_days_of: tuple[tuple[str, int], ...] = ()
    """The same by benefit, in place of that."""
    cash_days: int = 0
    """Days for which a cash line may be without a proof; 0: for ever."""

    def days_held(self, benefit: str) -> int:
        """Days for which a line of a benefit may wait; 0: for ever."""
        return dict(self.held_days_of).get(benefit, self.held_days)


class Expected(NamedTuple):
    """A committed batch as it must be."""

    seq: int
    cycle: str
    own: list[Outcome]
    """In table order."""
    represented: list[Outcome] | None
    """Held lines that moved, oldest first; None where none waited."""
    held: list[Waiting]
    """Lines that wait afterwards, oldest first."""
    sent: dict[str, list[Sent]]
    """By receiver, in order of clearing."""
    positions: list[Position]
    postings: Counter[Posting]
    """Amounts by (step, debit, credit)."""
    states: dict[str, tuple[int, int]]
    """(count, sum) of received, cleared, held, refused own lines."""
    owed: tuple[Owed, ...]
    """Lines that cleared, in order of clearing."""
    closes: str
    """Cut-off of the cycle, where it is one of the calendar."""
    joined: list[tuple[int, ...]]
    """(line number, that of the first, amount) of lines that went in credits of two or more, those
    that had waited first; where there are such, the number of each line's batch stands before."""

    @property
    def outcomes(self) -> list[Outcome]:
        """Answers of all lines that were told anything."""
        return [*(self.represented or []), *self.own]


class Verdict(NamedTuple):
    """The way in which `run` must answer: refuse by one of the rules, answer as before, or clear a
    new batch.

    Of several faults any may be named. A table that was run before and whose dossier is wrong this
    time may be refused or answered again: neither moves anything.
    """

    refusals: frozenset[str]
    replay: int | None
    batch: Expected | None
