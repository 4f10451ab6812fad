"""A village: the people, institutions and accounts of one life, as they are drawn.

People, entitlements and days are few, so that lines collide, accounts end on the very day and held
lines wait, come back and meet what was paid meanwhile. Nothing here knows an outcome.
"""

from __future__ import annotations

import datetime as dt
import random

from switch.schema import LATE
from switch.sim.auditor.screening import Row
from switch.sim.lives.changes import GROUP, Cells, debtor, participant
from switch.sim.world.institutions import package_rows

TREASURY = "KBNN"
FIRST_DAY = dt.date(2026, 11, 25)
DAY = dt.timedelta(days=1)
BENEFITS = ("PENS", "SASS", "MERT")
PERIODS = (202610, 202611)
NAMES = ("Nguyễn Văn An", "Trần Thị Bé", "Lê Hoà")
SPELLINGS = {
    "Nguyễn Văn An": ("Nguyễn Văn An", "NGUYEN VAN AN", "nguyê\u0303n  văn an "),
    "Trần Thị Bé": ("Trần Thị Bé", "tran thi be"),
    "Lê Hoà": ("Lê Hoà", "Lê Hòa", "LE HOA"),
}
ODD_CELLS = (
    ("amount", 0),
    ("amount", -7),
    ("amount", 5_000_001),
    ("amount", 500_000_001),
    ("benefit", "NOPE"),
    ("debtor_account", "1"),
    ("person_id", "999000000001"),
    ("person_id", "001999999999"),
    ("person_name", "Phạm Khác"),
    ("person_name", " "),
    ("person_name", "Nguyễn\u200bVăn An"),
    ("creditor_agent", "999999"),
)
"""(column, value) of what may be wrong with a line."""


class Village:
    """Draws people, accounts and lines on a day that goes on."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.day = FIRST_DAY
        self.count = rng.randint(10, 60)
        self.banks = [f"9700{n:02d}" for n in range(1, rng.randint(2, 4) + 1)]
        self.wallets = [f"9710{n:02d}" for n in range(1, rng.randint(1, 3) + 1)]
        self.institutions = [participant(TREASURY, "treasury")]
        self.institutions += [participant(code, "bank") for code in self.banks]
        for code in self.wallets:
            owner = rng.choice([*self.banks, *self.banks, TREASURY, ""])
            self.institutions.append(participant(code, "wallet", owner))
        self.debtors = [debtor("371301", TREASURY), debtor("952701", self.banks[0])]
        if rng.random() < 0.3:
            self.debtors.append(debtor("952702", rng.choice(self.wallets)))
        self.caps = rng.choice([0.0, 0.06, 0.3])
        """Rate of institutions that have a cap."""
        classes = rng.choice([(None,), (1, 2, None)])
        self.programmes: tuple[Row, ...] = tuple(
            {name: row[name] for name in ("benefit", "name", "purpose")}
            | {"priority": rng.choice(classes)}
            for row in package_rows("programmes.csv")
        )
        # A stream of its own: lives without groups stay what they were.
        grouping = random.Random(repr(rng.getstate()[1][4:6]))
        grouped = grouping.sample(BENEFITS, grouping.choice([0, 0, 2, 3]))
        self.programmes = tuple(
            row | {"exclusive_group": GROUP if row["benefit"] in grouped else None}
            for row in map(dict, self.programmes)
        )
        self._rename(random.Random(repr(rng.getstate()[1][7:9])))
        self.months = random.Random(repr(rng.getstate()[1][11:13]))
        """Draws limits of a month, in some lives."""
        self.has_months = self.months.random() < 0.35
        self._limit_months()
        self.names: dict[str, str] = {}
        self.silence = random.Random(repr(rng.getstate()[1][6:8]))
        self.late = self.silence.choice([0.0, 0.0, 0.05, 0.3])
        """Rate of people for whom the population database has not answered."""
        self.family = random.Random(repr(rng.getstate()[1][9:11]))
        self.represented = self.family.choice([0.0, 0.0, 0.1, 0.4])
        """Rate of accounts that are a representative's."""
        self.kin = random.Random(repr(rng.getstate()[1][10:12]))
        self.households = self.kin.choice([0.0, 0.0, 0.3, 0.8])
        """Rate of neighbours in a table that are of one household."""
        self.unanswered: dict[str, Row] = {}
        """Rows by which nobody is late any more, of all who were ever said to be."""

    def _rename(self, rng: random.Random) -> None:
        """Let the code of one wallet be replaced by a new one, in some lives. rng: a stream of its
        own, so that lives without stay what they were."""
        if rng.random() > 0.25:
            return
        old = next(row for row in self.institutions if row["participant"] == self.wallets[0])
        new = old | {"participant": f"{old['participant'][:-1]}N"}
        if not old["settled_by"]:
            old["settled_by"] = new["participant"]
        self.institutions.append(new)
        for row in self.institutions:
            row |= {"replaced_by": None, "replaced_from": None}
        day = FIRST_DAY + rng.randint(0, 6) * DAY
        old |= {"replaced_by": new["participant"], "replaced_from": day}

    def _limit_months(self) -> None:
        """Draw what accounts may be sent in a month."""
        for row in self.institutions if self.has_months else ():
            row["amount_month_max"] = self.months.choice(
                [None, 0, 4_000_000, 9_000_000, 20_000_000]
            )

    def ids(self) -> list[str]:
        """Ids of all people."""
        return [f"001{number:09d}" for number in range(self.count)]

    def participants(self) -> tuple[Row, ...]:
        """The institutions as they are now."""
        return tuple(dict(row) for row in self.institutions)

    def trouble_institutions(self) -> None:
        """Draw who is suspended, has a limit or a cap from now on."""
        rng = self.rng
        for row in self.institutions:
            row["status"] = "suspended" if rng.random() < 0.15 else "active"
            row["amount_max"] = 5_000_000 if rng.random() < 0.15 else None
            capped = rng.random() < self.caps
            row["net_debit_cap"] = rng.choice([0, 4_000_000, 30_000_000]) if capped else None
        if self.months.random() < 0.5:
            self._limit_months()

    def some_id(self) -> str:
        """An id of somebody."""
        return f"001{self.rng.randrange(self.count):09d}"

    def _some_day(self) -> dt.date | None:
        rng = self.rng
        if rng.random() < 0.5:
            return None
        return self.day + rng.choice([-40, -1, 0, 1, 3, 30]) * DAY

    def person(self, person_id: str, alive: float = 0.8) -> Row:
        """A row of the population register. alive: the rate of those that are."""
        rng = self.rng
        if person_id not in self.names or rng.random() < 0.05:
            self.names[person_id] = rng.choice(NAMES)
        well = rng.random() < alive
        row = {
            "person_id": person_id,
            "name": self.names[person_id],
            "birth_date": dt.date(1950, 1, 1),
            "status": "alive" if well else rng.choice(["deceased", "missing", "revoked"]),
            "status_since": self._some_day(),
        }
        if self.silence.random() < self.late:
            self.unanswered[person_id] = row | {"status": "alive"}
            row["status"] = LATE
        elif person_id in self.unanswered:  # The home may never come to take this row.
            self.unanswered[person_id] = dict(row)
        return row

    def account(self, person_id: str) -> Row:
        """A row of the account register."""
        rng = self.rng
        codes = [
            *self.banks,
            *self.banks,
            *self.wallets,
            *([TREASURY, "999999"] * (rng.random() < 0.1)),
        ]
        ends = self._some_day() if rng.random() < 0.4 else None
        return self._of_family(person_id, {
            "person_id": person_id,
            "participant": rng.choice(codes),
            "account": rng.choice(["1", "01", "12", "VN-1", "VN-12", "9" * 20, person_id]),
            "kind": rng.choice(["bank", "wallet", "mobile_money"]),
            "priority": rng.randint(1, 2),
            "valid_from": self._some_day(),
            "valid_to": ends,
            "representative": None,
        })  # fmt: skip

    def _of_family(self, person_id: str, row: Row) -> Row:
        """The account, or that of a representative: of a neighbour, as a rule, or of a stranger.
        Drawn from a stream of its own, so that lives without stay what they were."""
        family = self.family
        if family.random() >= self.represented:
            return row
        number = family.randrange(self.count)
        who = family.choice([f"001{number:09d}"] * 9 + ["001777777777"])
        if who == person_id:
            return row
        ends = self.day + family.choice([-30, -1, 0, 1, 3, 30, 90, 90, 90]) * DAY
        return {**row, "representative": who, "valid_to": ends}

    def paid(self) -> Row:
        """A row of the paid history."""
        rng = self.rng
        return {
            "person_id": self.some_id(),
            "benefit": rng.choice([*BENEFITS, "OLD"]),
            "period": rng.choice(PERIODS),
        }

    def as_households(self, rows: list[Cells]) -> None:
        """Let neighbours be households, most of which name one account. Drawn from a stream of its
        own, so that lives without stay what they were."""
        kin, done = self.kin, 0
        while self.households and done < len(rows):
            home = rows[done : done + kin.choice([1, 2, 2, 3, 5])]
            done += len(home)
            name, together = f"H{kin.randrange(50)}", kin.random() < 0.8
            account = kin.choice([*self.banks, *self.wallets]), kin.choice(["7", "X-7"])
            if kin.random() >= self.households:
                continue
            for row in home:
                row |= {n: home[0][n] for n in ("benefit", "period", "debtor_account")}
                row["household"] = name
                if together and kin.random() < 0.9:
                    row["creditor_agent"], row["creditor_account"] = account

    def line(self) -> Cells:
        """A line without its number."""
        rng = self.rng
        person_id = self.some_id()
        given = rng.random() < 0.12
        row = {
            "person_id": person_id,
            "person_name": rng.choice(SPELLINGS[self.names.get(person_id, NAMES[0])]),
            "benefit": rng.choice(BENEFITS),
            "period": rng.choice(PERIODS),
            "amount": rng.randint(1, 40) * 250_000 + rng.randint(0, 1),
            "debtor_account": rng.choice(self.debtors)["debtor_account"],
            "creditor_agent": rng.choice([*self.banks, *self.wallets]) if given else None,
            "creditor_account": rng.choice(["7", "X-7"]) if given else None,
            "commune": rng.choice([None, "00001"]),
            "end_to_end_id": rng.choice([None, None, "E2E-1"]),
        }
        if rng.random() < 0.12:
            column, value = rng.choice(ODD_CELLS)
            row[column] = value
            if column == "creditor_agent":
                row["creditor_account"] = "7"
        return row
