"""The life of a small switch: from one seed, a nation of some dozens and a script of what happens.

People, entitlements and days are few, so that lines collide, accounts end on the very day and held
lines wait, come back and meet what was paid meanwhile. Nothing here knows an outcome: the script
says what is done, the auditor what must come of it. All randomness comes from the one generator
that is given.
"""

from __future__ import annotations

import datetime as dt
import random
from collections.abc import Iterator, Sequence
from typing import Any

from switch.sim.auditor.expected import Table
from switch.sim.auditor.screening import Row
from switch.sim.lives.changes import CHANGES, CUTOFFS, LIMITS, Facts, debtor, participant
from switch.sim.lives.operations import (
    Abort,
    Answers,
    Change,
    CloseDay,
    Dispose,
    Fault,
    Fund,
    Nation,
    OldCatalog,
    Operation,
    PayAgain,
    Payday,
    Race,
    Register,
    Reopen,
    Rules,
    Settle,
    Verify,
    WayBack,
    slips,
)
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
ENOUGH = 10**15
ABORTS = 0.15
"""How often a cycle is given up before an operation."""
ANSWERED = 0.1
"""How many lives have a way back."""
OTHER_DAYS = 0.1
"""How often a table of before comes with another value date."""
RUNS_BACK = 0.15
"""How often a day may lie before the last that was closed."""
SHARED = 0.3
"""The rate of lives in which accounts receive for one or two persons alone in a batch."""
ODD = 0.04
"""Rates before an operation: a date that is none is written; a time is said that leaps."""
RACES = 0.05
"""How often a table is handed to two writers at once."""
WAYS_BACK = 0.22
"""How often it is gone there before an operation."""
FORMS = ("rows", "rows", "rows", "typed rows", "parquet", "csv")
"""How a table is handed over: from memory, as texts or as numbers and dictionaries; or as a file
with its dossier."""


class Life:
    """Draws one life. `nation` is where it begins, `script` what happens, `repair` the end."""

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
        self.debtors: list[dict[str, Any]] = [
            debtor("371301", TREASURY),
            debtor("952701", self.banks[0]),
        ]
        if rng.random() < 0.3:
            self.debtors.append(debtor("952702", rng.choice(self.wallets)))
        self.caps = rng.choice([0.0, 0.06, 0.3])
        """How often an institution has a cap."""
        classes = rng.choice([(None,), (1, 2, None)])
        self.programmes: tuple[Row, ...] = tuple(
            {name: row[name] for name in ("benefit", "name", "purpose")}
            | {"priority": rng.choice(classes)}
            for row in package_rows("programmes.csv")
        )
        self.names: dict[str, str] = {}
        self.sent: list[tuple[Table, str]] = []
        """Tables that were handed over, with their forms."""
        self.nation = self._nation()
        # Drawn beside, so that lives without it are what they were.
        self.beside = random.Random(repr(rng.getstate()[1][:2]))
        if self.nation.rules.cutoffs and self.beside.random() < 0.5:
            rule = self.beside.choice(["recast", "recast", "wait"])
            # What a treasury pays is set aside; banks that pay may come to lack it.
            for number in range(3, 9):
                self.debtors.append(debtor(f"95270{number}", self.banks[number % 2]))
            self._rule(rule=rule)
            self.nation = self.nation._replace(debtors=tuple(self.debtors))
        self.purse = random.Random(repr(self.beside.getstate()[1][:2]))
        """Draws budgets and aborts."""
        if self.purse.random() < 0.4:
            self._rule(budgets=True)
            self.nation = self.nation._replace(debtors=self._with_budgets())
        self.mail = random.Random(repr(self.purse.getstate()[1][:2]))
        """Draws what comes back."""
        self.answered = self.mail.random() < ANSWERED
        self.signed = FIRST_DAY
        """The last day that was to be closed."""
        self.rival = random.Random(repr(self.mail.getstate()[1][:2]))
        """Draws what a second writer does, and which days run back."""
        self.clerk = random.Random(repr(self.rival.getstate()[1][:2]))
        """Draws dates that are none."""
        if random.Random(repr(self.clerk.getstate()[1][2:4])).random() < SHARED:
            self._rule(shared_max=1 + self.count % 2)
        self.facts = Facts(
            random.Random(repr(self.clerk.getstate()[1][:2])),
            self.nation.rules,
            self.nation.participants,
            self.programmes,
            FIRST_DAY,
        )
        self.settles = bool(self.nation.rules.cutoffs) or self.facts.is_changing
        """There are cycles of a calendar, or there may be."""

    def _rule(self, **rules: Any) -> None:
        self.nation = self.nation._replace(rules=self.nation.rules._replace(**rules))

    def _nation(self) -> Nation:
        opening: dict[str, int] = {}
        if self.rng.random() < 0.3:
            opening[TREASURY] = ENOUGH
            for code in self.banks:
                if self.rng.random() < 0.5:
                    opening[code] = self.rng.choice([0, 3_000_000, 50_000_000])
        self._trouble_institutions()
        nation = Nation(self._institutions(), tuple(self.debtors), self.programmes, opening)
        if self.rng.random() < 0.5:
            return nation
        years = [dt.date(year, 1, 1) for year in range(FIRST_DAY.year - 1, FIRST_DAY.year + 9)]
        days = tuple(FIRST_DAY + self.rng.randint(0, 60) * DAY for _ in range(5))
        rules = Rules(cutoffs=CUTOFFS[0], holidays=(*years, *days), holidays_only=True)
        return nation._replace(rules=rules)

    def _with_budgets(self) -> tuple[Row, ...]:
        """The accounts that pay, some of them with a part of a programme's budget."""
        rng = self.purse
        amounts = (None, None, 0, 60_000_000, 400_000_000, ENOUGH)
        rows = ({**row, "budget": rng.choice(amounts)} for row in self.debtors)
        return tuple({**row, "programme": rng.choice(BENEFITS)} for row in rows)

    def _institutions(self) -> tuple[Row, ...]:
        return tuple(dict(row) for row in self.institutions)

    def _trouble_institutions(self) -> None:
        """Who is suspended, has a limit or a cap from now on."""
        rng = self.rng
        for row in self.institutions:
            row["status"] = "suspended" if rng.random() < 0.15 else "active"
            row["amount_max"] = 5_000_000 if rng.random() < 0.15 else None
            capped = rng.random() < self.caps
            row["net_debit_cap"] = rng.choice([0, 4_000_000, 30_000_000]) if capped else None

    # --- people, accounts, lines ----------------------------------------------------------------

    def _id(self) -> str:
        return f"001{self.rng.randrange(self.count):09d}"

    def _some_day(self) -> dt.date | None:
        rng = self.rng
        if rng.random() < 0.5:
            return None
        return self.day + rng.choice([-40, -1, 0, 1, 3, 30]) * DAY

    def person(self, person_id: str, alive: float = 0.8) -> Row:
        rng = self.rng
        if person_id not in self.names or rng.random() < 0.05:
            self.names[person_id] = rng.choice(NAMES)
        well = rng.random() < alive
        return {
            "person_id": person_id,
            "name": self.names[person_id],
            "birth_date": dt.date(1950, 1, 1),
            "status": "alive" if well else rng.choice(["deceased", "missing", "revoked"]),
            "status_since": self._some_day(),
        }

    def account(self, person_id: str) -> Row:
        rng = self.rng
        codes = [
            *self.banks,
            *self.banks,
            *self.wallets,
            *([TREASURY, "999999"] * (rng.random() < 0.1)),
        ]
        ends = self._some_day() if rng.random() < 0.4 else None
        return {
            "person_id": person_id,
            "participant": rng.choice(codes),
            "account": rng.choice(["1", "01", "12", "VN-1", "VN-12", "9" * 20, person_id]),
            "kind": rng.choice(["bank", "wallet", "mobile_money"]),
            "priority": rng.randint(1, 2),
            "valid_from": self._some_day(),
            "valid_to": ends,
        }

    def paid(self) -> Row:
        rng = self.rng
        return {
            "person_id": self._id(),
            "benefit": rng.choice([*BENEFITS, "OLD"]),
            "period": rng.choice(PERIODS),
        }

    def line(self) -> dict[str, Any]:
        """A line without its number."""
        rng = self.rng
        person_id = self._id()
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
            column, value = rng.choice(
                [
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
                ]
            )
            row[column] = value
            if column == "creditor_agent":
                row["creditor_account"] = "7"
        return row

    # --- operations -----------------------------------------------------------------------------

    def script(self) -> Iterator[Operation]:
        """10 to 40 operations, the first of which is a register."""
        rng = self.rng
        yield self._first_register()
        for _ in range(rng.randint(9, 39)):
            if self.clerk.random() < ODD:
                yield from slips(self.clerk)
            if self.facts.is_changing and self.facts.rng.random() < CHANGES:
                change = self.facts.change(self.institutions, self.debtors, self.programmes)
                yield change._replace(fault=self._fault(self.facts.rng))
            if self.settles and self.purse.random() < ABORTS:
                yield Abort(self._fault(self.purse))
            if self.answered and self.sent and self.mail.random() < WAYS_BACK:
                yield from self._way_back()
            if self.nation.rules.budgets and self.purse.random() < 0.1:
                yield Change(debtors=self._with_budgets())
            if self.nation.rules.rule and self.beside.random() < 0.3:
                yield from self._money()
            if rng.random() < 0.3:
                self.day += rng.choice([-1, 0, 1, 1, 2, 7, 30]) * DAY
            kind = rng.choices(
                ["payday", "register", "change", "reopen", "catalog", "settle", "verify"],
                [56, 18, 14, 5, 5, 8 if self.settles else 0, 2],
            )[0]
            if kind in ("payday", "register", "change"):
                operation = self._draw(kind)
                if isinstance(operation, Payday) and self.rival.random() < RACES:
                    yield Race(operation._replace(fault=None))
                    continue
                yield operation
                if operation.fault is not None and rng.random() < 0.7:
                    # Nobody knows whether it happened, so it is done again.
                    yield operation._replace(fault=None)
            elif kind == "reopen":
                yield Reopen()
            elif kind == "catalog":
                yield OldCatalog(rng.randint(1, 3))
            elif kind == "settle":
                yield Settle()
            else:
                yield Verify()

    def _money(self) -> Iterator[Operation]:
        """Money leaves before a cycle settles, and mostly comes back, so that lines clear."""
        rng = self.beside
        codes = [*self.banks, TREASURY]
        some = sorted(rng.sample(codes, rng.randint(1, len(codes))))
        amounts = (0, 0, 0, 1_000_000, 20_000_000)
        yield Fund({code: rng.choice(amounts) + rng.randint(1, 999) for code in some})
        if rng.random() < 0.8:
            yield Settle()
        if rng.random() < 0.7:
            yield Fund({code: ENOUGH + rng.randint(1, 999) for code in codes})

    def _way_back(self) -> Iterator[Operation]:
        """Something is said, decided or closed; mostly on time, and sometimes long after."""
        rng = self.mail
        day = self.day + rng.choice([0, 0, 1, 2, 3, 9]) * DAY
        if self.rival.random() > RUNS_BACK:
            day = max(day, self.signed)
        kind = rng.choices(["answers", "dispose", "close"], [50, 25, 25])[0]
        fault, salt = self._fault(rng), rng.getrandbits(32)
        operation: WayBack
        if kind == "answers":
            operation = Answers(day, salt, fault=fault)
        elif kind == "dispose":
            operation = Dispose(rng.choice([None, salt]), rng.random() < 0.6, fault)
        else:
            operation = CloseDay(day, fault)
            self.signed = max(self.signed, day)
        yield operation
        if fault is not None and rng.random() < 0.7:
            yield operation._replace(fault=None)

    def _draw(self, kind: str) -> Payday | Register | Change:
        if kind == "payday":
            return self._payday()
        return self._register() if kind == "register" else self._change()

    def _fault(self, beside: random.Random | None = None) -> Fault | None:
        rng = beside or self.rng
        if rng.random() > 0.22:
            return None
        kind = rng.choice(["crash", "power", "full"])
        return Fault(
            kind, rng.choice([rng.randint(0, 12), rng.randint(0, 60)]), rng.getrandbits(32)
        )

    def _first_register(self) -> Register:
        rng = self.rng
        ids = [f"001{n:09d}" for n in range(self.count)]
        people = [self.person(i, 0.95) for i in ids if rng.random() < 0.95]
        accounts = [self.account(i) for i in ids for _ in range(rng.choice([0, 1, 1, 1, 2, 4]))]
        paid = [self.paid() for _ in range(rng.choice([0, 5, 15]))]
        return Register(tuple(people), tuple(accounts), tuple(paid) or None, replace=False)

    def _register(self) -> Register:
        rng = self.rng
        replace = rng.random() < 0.12
        some = range(rng.randint(self.count // 2, self.count) if replace else rng.randint(1, 6))
        people = [self.person(self._id()) for _ in some] if rng.random() < 0.6 else []
        accounts = [self.account(self._id()) for _ in some] if rng.random() < 0.6 else []
        paid = [self.paid() for _ in some[:4]] if rng.random() < 0.2 else []
        if rng.random() < 0.1:
            # A stranger to every population register: a row of the register without a person.
            accounts.append(self.account("001888888888"))
        return Register(
            tuple(people) or None,
            tuple(accounts) or None,
            tuple(paid) or None,
            replace,
            self._fault(),
        )

    def _change(self) -> Change:
        rng = self.rng
        fault = self._fault()
        kind = rng.random()
        if kind < 0.6:
            self._trouble_institutions()
            rows = self._institutions()
            if rng.random() < 0.15:
                # A wallet leaves, unless an account pays from it; it may come back.
                gone = rng.choice(self.wallets)
                if all(row["debtor_agent"] != gone for row in self.debtors):
                    rows = tuple(row for row in rows if row["participant"] != gone)
            return Change(participants=rows, fault=fault)
        if kind < 0.75:
            agents = [*self.banks, TREASURY, TREASURY]
            rows = tuple(debtor(r["debtor_account"], rng.choice(agents)) for r in self.debtors)
            self.debtors = [dict(row) for row in rows]
            some = rows[1:] if rng.random() < 0.3 else rows
            return Change(participants=self._institutions(), debtors=some, fault=fault)
        if kind < 0.9:
            some = self.programmes
            if rng.random() < 0.5:
                some = tuple(row for row in some if row["benefit"] != rng.choice(BENEFITS))
            return Change(
                participants=self._institutions(),
                debtors=tuple(self.debtors),
                programmes=some,
                fault=fault,
            )
        self.facts.rules = self.facts.rules._replace(clearing_limit=rng.choice(LIMITS))
        return Change(rules=self.facts.rules, fault=fault)

    def _payday(self) -> Payday:
        rng = self.rng
        table, form = self._table()
        self.sent.append((table, form))
        return Payday(table, form, rng.choice([3, 7, 1000]), self._fault())

    def _table(self) -> tuple[Table, str]:
        rng = self.rng
        form = rng.choice(FORMS)
        number = len(self.sent) + 1
        if not self.sent or rng.random() < 0.5:
            rows = [self.line() for _ in range(rng.randint(1, 25))]
            if rng.random() < 0.2:
                rows.append(dict(rng.choice(rows)))
            return self._declare(rows, f"B{number}", form), form
        old, old_form = rng.choice(self.sent[-6:])
        rows = [dict(row) for row in old.rows]
        if self.rival.random() < OTHER_DAYS:
            old = old._replace(value_date=old.value_date + DAY)
        kind = rng.choice(["again", "again", "same id", "new id", "overlap", "permuted", "source"])
        if kind == "again":
            # Whatever was wrong with its dossier has been put right, or not.
            if rng.random() < 0.7:
                old = old._replace(
                    declared_count=len(old.rows),
                    declared_sum=sum(row["amount"] for row in old.rows),
                    digest_true=True,
                    dossier=True,
                )
            return old, old_form
        if kind == "same id":
            at = rng.randrange(len(rows))
            rows[at]["amount"] += 250_000
            return self._declare(rows, old.batch_id, form), form
        if kind == "new id":
            return self._declare(rows, f"B{number}", form, shuffle=False), form
        if kind == "overlap":
            some = rng.sample(rows, rng.randint(1, len(rows)))
            rows = [*some, *(self.line() for _ in range(rng.randint(1, 8)))]
            rng.shuffle(rows)
            return self._declare(rows, f"B{number}", form), form
        if kind == "permuted":
            rng.shuffle(rows)
            name = rng.choice([old.batch_id, f"B{number}"])
            return self._declare(rows, name, form), form
        return self._declare(rows, old.batch_id, form, source="MOLISA"), form

    def _declare(
        self,
        rows: Sequence[dict[str, Any]],
        batch_id: str,
        form: str,
        *,
        source: str = "VSS",
        shuffle: bool = True,
    ) -> Table:
        """The table with its dossier: true, but for a few. Line numbers may come in any order."""
        rng = self.rng
        numbers = list(range(1, len(rows) + 1))
        if shuffle and rng.random() < 0.3:
            rng.shuffle(numbers)
        numbered = [{**row, "line_no": n} for row, n in zip(rows, numbers, strict=True)]
        if rng.random() < 0.06:
            self._spoil(numbered)
        table = Table(
            source=source,
            batch_id=batch_id,
            value_date=self.day,
            declared_count=len(rows),
            declared_sum=sum(row["amount"] for row in rows),
            rows=tuple(numbered),
            content=content_of(numbered, form),
        )
        if rng.random() < 0.12:
            faults: list[dict[str, Any]] = [
                {"declared_count": table.declared_count + 1},
                {"declared_count": max(table.declared_count - 1, 0)},
                {"declared_sum": table.declared_sum - 1},
                {"batch_id": "../out"},
                {"source": ""},
            ]
            if form in ("parquet", "csv"):
                faults += [{"digest_true": False}, {"dossier": False}, {"currency": "USD"}]
            table = table._replace(**rng.choice(faults))
        return table

    def _spoil(self, rows: list[dict[str, Any]]) -> None:
        """Something in the table because of which it is refused whole."""
        row = self.rng.choice(rows)
        column, value = self.rng.choice(
            [("line_no", 1), ("line_no", len(rows) + 1), ("period", 202613)]
        )
        row[column] = value
        if self.rng.random() < 0.3:
            row["creditor_agent"], row["creditor_account"] = self.banks[0], None

    # --- the end --------------------------------------------------------------------------------

    def repair(self) -> Iterator[Operation]:
        """All faults stop: nobody is suspended, everybody has an account, the treasury pays."""
        if self.nation.rules.rule or self.answered or self.facts.is_changing:
            yield Fund(dict.fromkeys([*self.banks, TREASURY], ENOUGH))
        if self.settles:
            yield Settle()
        if self.facts.is_changing:
            yield Fund(dict.fromkeys(self.wallets, ENOUGH))
            yield Settle()
            rules, first = self.facts.begin
            self.institutions = [dict(row) for row in first]
            yield Change(self._institutions(), rules=rules)
            yield Fund(dict.fromkeys([*self.banks, TREASURY], ENOUGH))
        for row in self.institutions:
            row |= {"status": "active", "net_debit_cap": None}
        self.debtors = [dict(debtor(r["debtor_account"], TREASURY)) for r in self.debtors]
        rules = self.nation.rules
        freed = rules._replace(shared_max=0) if rules.shared_max else None
        yield Change(self._institutions(), tuple(self.debtors), self.programmes, freed)
        ids = [*(f"001{n:09d}" for n in range(self.count)), "001888888888", "001999999999"]
        yield Register(
            None,
            tuple(
                {
                    "person_id": person_id,
                    "participant": self.banks[0],
                    "account": f"5{person_id}",
                    "kind": "bank",
                    "priority": 9,
                    "valid_from": None,
                    "valid_to": None,
                }
                for person_id in ids
            ),
            None,
            replace=False,
        )
        rows = [{**self.line(), "line_no": 1, "creditor_agent": None, "creditor_account": None}]
        yield Payday(
            Table(
                "VSS",
                "LAST",
                self.day,
                1,
                rows[0]["amount"],
                tuple(rows),
                content_of(rows, "rows"),
            ),
            "rows",
            1000,
        )
        if self.settles:
            yield Settle()
        if self.answered:
            yield from self._ends_answered()

    def _ends_answered(self) -> Iterator[Operation]:
        """Receivers answer all that is open; what comes back goes to the budget, or is paid once
        more and confirmed; the day is closed."""
        day = max(self.day + 3 * DAY, self.signed)
        for n in range(2):
            yield Answers(day, self.mail.getrandbits(32), whole=True)
            if self.settles:
                yield Settle()
            if n == 0:
                yield Dispose(self.mail.getrandbits(32), True)
                yield Dispose(None, False)
                yield PayAgain(day)
                if self.settles:
                    yield Settle()
        yield Dispose(None, False)
        yield CloseDay(day)


def content_of(rows: Sequence[Row], form: str) -> str:
    """Equal for tables that must count as the same: rows from memory are compared as rows, files
    byte by byte."""
    kind = "rows" if form.endswith("rows") else form
    return f"{kind}: {[sorted(row.items(), key=lambda item: item[0]) for row in rows]}"
