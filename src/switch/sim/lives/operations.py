"""Operations: the words in which a life says what is done to a home, and what it begins with.

Nothing here knows an outcome.
"""

from __future__ import annotations

import datetime as dt
import random
from collections.abc import Iterator
from typing import NamedTuple

from switch.schema import CLEARING_LIMIT
from switch.sim.auditor.expected import Table
from switch.sim.auditor.screening import Row


class Fault(NamedTuple):
    """Something fails in the middle of an operation, when it touches the disk for the n-th time."""

    kind: str
    """crash: the process dies. power: the machine dies, and what was not synced may be lost. full:
    the disk is full, or does not obey."""
    point: int
    """Count of touches that succeed before."""
    salt: int
    """Decides what is lost."""


def fault_of(rng: random.Random) -> Fault | None:
    """A fault for one operation in five."""
    if rng.random() > 0.22:
        return None
    kind = rng.choice(["crash", "power", "full"])
    return Fault(kind, rng.choice([rng.randint(0, 12), rng.randint(0, 60)]), rng.getrandbits(32))


class Register(NamedTuple):
    """Registers change. None: not given."""

    people: tuple[Row, ...] | None
    accounts: tuple[Row, ...] | None
    paid: tuple[Row, ...] | None
    replace: bool
    fault: Fault | None = None
    share: int = 20
    """One in so many people may be changed by deltas."""
    replaced: tuple[tuple[str, str], ...] = ()
    """Ids of before with those in their place, which come alone."""


class Compact(NamedTuple):
    """The register is written whole."""

    fault: Fault | None = None


class Rules(NamedTuple):
    """The settings of a home, all of them."""

    clearing_limit: int = CLEARING_LIMIT
    cutoffs: tuple[str, ...] = ()
    """Cut-offs of a calendar; none: every batch settles at once."""
    holidays: tuple[dt.date, ...] = ()
    holidays_only: bool = False
    """No days off and no days worked but these."""
    working_days: tuple[dt.date, ...] = ()
    rule: str = ""
    """The word for what a cycle does whose payer lacks funds; none: it waits."""
    budgets: bool = False
    """A table beyond the budget of a programme is refused."""
    shared_max: int = 0
    """For how many persons an account may receive in a batch; 0: any."""
    held_days: int = 0
    """Days for which a line may wait; 0: for ever."""
    held_days_of: tuple[tuple[str, int], ...] = ()
    """The same by benefit, in place of that."""
    cash_days: int = 0
    """Days for which a cash line may be without a proof; 0: for ever."""


class Change(NamedTuple):
    """The directory or the settings change. None: not given."""

    participants: tuple[Row, ...] | None = None
    debtors: tuple[Row, ...] | None = None
    programmes: tuple[Row, ...] | None = None
    rules: Rules | None = None
    fault: Fault | None = None


class Payday(NamedTuple):
    """A payment table is handed over."""

    table: Table
    form: str
    chunk_rows: int
    fault: Fault | None = None


class Race(NamedTuple):
    """The table is handed to a second writer, too, whom the lock does not exclude."""

    payday: Payday


class Reopen(NamedTuple):
    """The process ends in order, and another one starts."""


class OldCatalog(NamedTuple):
    """Somebody puts an old copy of the catalog back. back: how many copies ago."""

    back: int


class Fund(NamedTuple):
    """Operation: give settlement accounts new balances, in minor units by participant."""

    balances: dict[str, int]


class Settle(NamedTuple):
    """All cycles of the calendar are closed and settled."""


class Abort(NamedTuple):
    """The settlement of the oldest cycle that is not settled is given up."""

    fault: Fault | None = None


class Verify(NamedTuple):
    """Somebody recomputes the home from its files."""


class Answers(NamedTuple):
    """Receivers write: what they say follows from the salt and what was sent to them by then."""

    day: dt.date
    salt: int
    whole: bool = False
    """They answer, plainly, all that is open."""
    fault: Fault | None = None
    meant: bool = False
    """The day is meant, also where it lies before one that was closed."""


class Dispose(NamedTuple):
    """It is decided what becomes of money that came back."""

    salt: int | None
    """Chooses lines, which may be such as have nothing to be decided; None: all that wait."""
    again: bool
    """They may be paid once more, or else go to the budget."""
    fault: Fault | None = None


class NoteBreaks(NamedTuple):
    """Something is noted about breaks that are open."""

    salt: int
    """Chooses breaks and words."""
    fault: Fault | None = None


class CancelLines(NamedTuple):
    """Lines that wait are cancelled."""

    salt: int
    """Chooses lines, which may be such as do not wait, and words."""
    fault: Fault | None = None


class ExpireLines(NamedTuple):
    """Lines that wait beyond their deadline are taken out."""

    day: dt.date
    fault: Fault | None = None


class RecallLines(NamedTuple):
    """Lines that were sent are recalled."""

    day: dt.date
    salt: int
    """Chooses lines, which may be such as cannot be recalled, and words."""
    fault: Fault | None = None


class Bind(NamedTuple):
    """Somebody has a device bound to a person."""

    day: dt.date
    salt: int
    """Chooses the person, and the device, which may be somebody else's."""
    fault: Fault | None = None


class Claim(NamedTuple):
    """Somebody registers an account by a one-time password."""

    day: dt.date
    salt: int
    """Chooses who, what, and the code, which may be wrong, used or borrowed."""
    fault: Fault | None = None


class Identify(NamedTuple):
    """The population database is asked for people, and answers this request or an earlier one."""

    day: dt.date
    salt: int
    """Chooses the persons, and what is answered, which may be none, or be said before."""
    share: int
    """As of Register."""
    fault: Fault | None = None


class PayFees(NamedTuple):
    """Agencies or bills are loaded, or fees are paid."""

    day: dt.date
    salt: int
    """Chooses what, which may be none; 0: what waits enters a cycle."""
    fault: Fault | None = None


class PayAgain(NamedTuple):
    """The sender hands in lines anew that may be paid once more."""

    day: dt.date


class CloseDay(NamedTuple):
    """A day is ended."""

    day: dt.date
    fault: Fault | None = None
    meant: bool = False
    """As of `Answers`."""


class SetPolicy(NamedTuple):
    """The policy is set, or its next version."""

    salt: int
    """Chooses what it says and who signs it."""
    fault: Fault | None = None


class Prepare(NamedTuple):
    """Somebody begins the dossier of a table."""

    table: Table
    form: str
    salt: int
    """Chooses who, who may be one that may not; 0: one that may."""
    fault: Fault | None = None


class Sign(NamedTuple):
    """Somebody signs a step of a dossier, rightly or not."""

    salt: int
    """Chooses the dossier, who signs, and what is wrong with it."""
    fault: Fault | None = None


class Stop(NamedTuple):
    """Somebody holds, pauses, resumes, cancels or refuses a dossier."""

    salt: int
    """Chooses the dossier, who does what, and why."""
    fault: Fault | None = None


class Release(NamedTuple):
    """All that is missing of the dossier of a batch is signed by those who may."""

    source: str
    batch_id: str
    salt: int


class Deliver(NamedTuple):
    """A party delivers, rightly or not, and the portal takes what is there."""

    salt: int
    """Chooses who delivers what, and what is wrong with it."""
    fault: Fault | None = None


DATE_DOORS = ("value date", "time", "close", "status_since", "valid_from", "valid_to", "holiday")
ODD_DATES = (
    *("0001-01-01", "0999-12-31", "1899-12-31", "3000-01-01", "9999-12-31", "2026-02-30"),
    *("1999999999", "9999999-01", "0912345678", "20261125", "2026-W48-3", "25/11/2026"),
)
"""Texts of which none is a day of 1900 to 2999, written as yyyy-mm-dd."""


class OddDate(NamedTuple):
    """A date that is none comes in by a door."""

    door: str
    """One of DATE_DOORS."""
    text: str


TIME_DOORS = ("run", "settle", "answers", "close", "write back", "reissue")
LEAPS = (1, 30, 4000, 13149)
"""Days behind the last that may be said without the word."""


class Leap(NamedTuple):
    """A time far behind all that is known is said, without the word, and then with it."""

    door: str
    """One of TIME_DOORS."""
    days: int
    meant: bool
    """A cycle is settled at it with the word, too."""


def slips(rng: random.Random) -> Iterator[OddDate | Leap]:
    """A date that is none, and a time that leaps."""
    yield OddDate(rng.choice(DATE_DOORS), rng.choice(ODD_DATES))
    yield Leap(rng.choice(TIME_DOORS), rng.choice(LEAPS), rng.random() < 0.5)


WayBack = Answers | Dispose | CloseDay
Controls = SetPolicy | Prepare | Sign | Stop | Release | Deliver
Operation = (
    Register
    | Compact
    | Change
    | Payday
    | Race
    | Reopen
    | OldCatalog
    | Fund
    | Settle
    | Abort
    | Verify
    | PayAgain
    | NoteBreaks
    | CancelLines
    | ExpireLines
    | RecallLines
    | Bind
    | Claim
    | Identify
    | PayFees
    | OddDate
    | Leap
    | WayBack
    | Controls
)


class Nation(NamedTuple):
    """The first directory, as `init` takes it."""

    participants: tuple[Row, ...]
    debtors: tuple[Row, ...]
    programmes: tuple[Row, ...]
    opening: dict[str, int]
    rules: Rules = Rules()
