"""The life of a small switch: from one seed, where it begins, a script of what happens, and an end.

Nothing here knows an outcome: the script says what is done, the auditor what must come of it. All
randomness comes from the one generator that is given.
"""

from __future__ import annotations

import datetime as dt
import random
from collections.abc import Iterator
from typing import Any

from switch.sim.auditor.expected import Table
from switch.sim.auditor.screening import Row
from switch.sim.lives import operations
from switch.sim.lives.askers import Askers
from switch.sim.lives.changes import CHANGES, CUTOFFS, LIMITS, Facts, debtor
from switch.sim.lives.claimants import Claimants
from switch.sim.lives.office import Office
from switch.sim.lives.payers import Payers
from switch.sim.lives.renumberers import Renumberers
from switch.sim.lives.sender import Sender, content_of
from switch.sim.lives.village import BENEFITS, DAY, FIRST_DAY, TREASURY, Village

ENOUGH = 10**15
ABORTS = 0.15
"""Rate at which a cycle is given up before an operation."""
ANSWERED = 0.1
"""Rate of lives that have a way back."""
RUNS_BACK = 0.15
"""Rate of days that may lie before the last that was closed."""
SHARED = 0.3
"""The rate of lives in which accounts receive for one or two persons alone in a batch."""
ODD = 0.04
"""Rates before an operation: a date that is none is written; a time is said that leaps."""
RACES = 0.05
"""Rate of tables that are handed to two writers at once."""
RECALLS = 0.04, 0.25
"""Rates at which lines that were sent are recalled: without a way back, and with one."""
CANCELS = 0.08
"""Rate at which lines that wait are cancelled before an operation."""
DEADLINES = 0.3
"""Rate of lives in which lines may not wait for ever."""
EXPIRES = 0.12
"""Rate at which lines beyond their deadline are taken out before an operation there."""
NOTES = 0.4
"""Rate at which something is noted about breaks behind that."""
COMPACTS = 0.03
"""Rate at which the register is written whole before an operation."""
SHARES = (1, 1, 1, 3, 20)
"""Shares of a village that deltas may change: one in so many people."""
WAYS_BACK = 0.22
"""Rate at which something comes back before an operation, where there is a way back."""


class Life:
    """Draws one life. `nation` is where it begins, `script` what happens, `repair` the end."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.village = village = Village(rng)
        self.nation = self._nation()
        # Drawn beside, so that lives without it are what they were.
        self.beside = random.Random(repr(rng.getstate()[1][:2]))
        if self.nation.rules.cutoffs and self.beside.random() < 0.5:
            rule = self.beside.choice(["recast", "recast", "wait"])
            # What a treasury pays is set aside; banks that pay may come to lack it.
            for number in range(3, 9):
                village.debtors.append(debtor(f"95270{number}", village.banks[number % 2]))
            self._rule(rule=rule)
            self.nation = self.nation._replace(debtors=tuple(village.debtors))
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
            self._rule(shared_max=1 + village.count % 2)
        self.patience = random.Random(repr(self.clerk.getstate()[1][4:6]))
        """Draws deadlines, and when lines are taken out that wait beyond them."""
        if self.patience.random() < DEADLINES:
            self._rule(**self._deadlines())
        self.sender = Sender(village, self.rival)
        self.facts = Facts(
            random.Random(repr(self.clerk.getstate()[1][:2])),
            self.nation.rules,
            self.nation.participants,
            village.programmes,
            FIRST_DAY,
        )
        self.desk = random.Random(repr(self.facts.rng.getstate()[1][:2]))
        """Draws what is noted about breaks."""
        self.window = random.Random(repr(self.desk.getstate()[1][:2]))
        """Draws what is said of single lines."""
        self.office = Office(random.Random(repr(self.window.getstate()[1][:2])))
        self.claimants = Claimants(
            random.Random(repr(self.window.getstate()[1][2:4])), self.village
        )
        self.askers = Askers(random.Random(repr(self.window.getstate()[1][6:8])), self.village)
        self.renumberers = Renumberers(
            random.Random(repr(self.window.getstate()[1][10:12])), self.village
        )
        # A policy is about tables, whoever they name, and a life with one is long enough.
        self.renumberers.is_busy &= not self.office.is_controlled
        self.registrar = random.Random(repr(self.window.getstate()[1][4:6]))
        """Draws how changes of registers are written."""
        self.settles = bool(self.nation.rules.cutoffs) or self.facts.is_changing
        """There are cycles of a calendar, or there may be."""
        drawn = random.Random(repr(self.window.getstate()[1][8:10]))
        self.payers = Payers(drawn, self.village, self.settles)

    def _rule(self, **rules: Any) -> None:
        self.nation = self.nation._replace(rules=self.nation.rules._replace(**rules))

    def _deadlines(self) -> dict[str, Any]:
        """Days for which lines may wait."""
        rng = self.patience
        some = sorted(rng.sample(BENEFITS, rng.randint(0, len(BENEFITS))))
        of = tuple((benefit, rng.choice([0, 1, 7])) for benefit in some)
        days = {"held_days": rng.choice([0, 1, 3, 10, 40]), "held_days_of": of}
        if rng.random() < 0.6:
            # The last bank is a post office, which pays over counters.
            self._post_office()
            days["cash_days"] = rng.choice([1, 3, 10])
        return days

    def _post_office(self) -> None:
        code = self.village.banks[-1]
        for row in self.village.institutions:
            row |= {"kind": "cash"} if row["participant"] == code else {}
        self.nation = self.nation._replace(participants=self.village.participants())

    def _nation(self) -> operations.Nation:
        village = self.village
        opening: dict[str, int] = {}
        if self.rng.random() < 0.3:
            opening[TREASURY] = ENOUGH
            for code in village.banks:
                if self.rng.random() < 0.5:
                    opening[code] = self.rng.choice([0, 3_000_000, 50_000_000])
        village.trouble_institutions()
        nation = operations.Nation(
            village.participants(), tuple(village.debtors), village.programmes, opening
        )
        if self.rng.random() < 0.5:
            return nation
        years = [dt.date(year, 1, 1) for year in range(FIRST_DAY.year - 1, FIRST_DAY.year + 9)]
        days = tuple(FIRST_DAY + self.rng.randint(0, 60) * DAY for _ in range(5))
        rules = operations.Rules(cutoffs=CUTOFFS[0], holidays=(*years, *days), holidays_only=True)
        return nation._replace(rules=rules)

    def _with_budgets(self) -> tuple[Row, ...]:
        """The accounts that pay, some of them with a part of a programme's budget."""
        rng = self.purse
        amounts = (None, None, 0, 60_000_000, 400_000_000, ENOUGH)
        rows = ({**row, "budget": rng.choice(amounts)} for row in self.village.debtors)
        return tuple({**row, "programme": rng.choice(BENEFITS)} for row in rows)

    # --- operations -----------------------------------------------------------------------------

    def script(self) -> Iterator[operations.Operation]:
        """10 to 40 operations, the first of which is a register; what is said of control, and what
        citizens do."""
        served = self.claimants.served(self.office.controlled(self._script()))
        asked = self.askers.asked(self.renumberers.renumbered(served))
        return self.payers.paid(asked)

    def _script(self) -> Iterator[operations.Operation]:
        rng, village = self.rng, self.village
        yield self._first_register()
        for _ in range(rng.randint(9, 39)):
            if self.clerk.random() < ODD:
                yield from operations.slips(self.clerk)
            if self.facts.is_changing and self.facts.rng.random() < CHANGES:
                change = self.facts.change(
                    village.institutions, village.debtors, village.programmes
                )
                yield change._replace(fault=operations.fault_of(self.facts.rng))
            if self.registrar.random() < COMPACTS:
                fault = operations.fault_of(self.registrar)
                yield operations.Compact(fault)
                if fault is not None and self.registrar.random() < 0.7:
                    yield operations.Compact()
            if self.settles and self.purse.random() < ABORTS:
                yield operations.Abort(operations.fault_of(self.purse))
            if self.answered and self.sender.sent and self.mail.random() < WAYS_BACK:
                yield from self._way_back()
                if self.desk.random() < NOTES:
                    fault = operations.fault_of(self.desk)
                    note = operations.NoteBreaks(self.desk.getrandbits(32), fault)
                    yield note
                    if fault is not None or self.desk.random() < 0.2:
                        yield note._replace(fault=None)
            if self.sender.sent and self.window.random() < CANCELS:
                yield from self._cancel()
            if self._may_expire and self.sender.sent and self.patience.random() < EXPIRES:
                yield from self._expire()
            if self.sender.sent and self.window.random() < RECALLS[self.answered]:
                yield from self._recall()
            if self.nation.rules.budgets and self.purse.random() < 0.1:
                yield operations.Change(debtors=self._with_budgets())
            if self.nation.rules.rule and self.beside.random() < 0.3:
                yield from self._money()
            if rng.random() < 0.3:
                village.day += rng.choice([-1, 0, 1, 1, 2, 7, 30]) * DAY
            kind = rng.choices(
                ["payday", "register", "change", "reopen", "catalog", "settle", "verify"],
                [56, 18, 14, 5, 5, 8 if self.settles else 0, 2],
            )[0]
            if kind in ("payday", "register", "change"):
                operation = self._draw(kind)
                if isinstance(operation, operations.Payday) and self.rival.random() < RACES:
                    yield operations.Race(operation._replace(fault=None))
                    continue
                yield operation
                if operation.fault is not None and rng.random() < 0.7:
                    # Nobody knows whether it happened, so it is done again.
                    yield operation._replace(fault=None)
            elif kind == "reopen":
                yield operations.Reopen()
            elif kind == "catalog":
                yield operations.OldCatalog(rng.randint(1, 3))
            elif kind == "settle":
                yield operations.Settle()
            else:
                yield operations.Verify()

    def _cancel(self) -> Iterator[operations.Operation]:
        """Lines that wait are cancelled; what was broken off, or is known, is said again."""
        rng = self.window
        fault = operations.fault_of(rng)
        cancel = operations.CancelLines(rng.getrandbits(32), fault)
        yield cancel
        if fault is not None or rng.random() < 0.2:
            yield cancel._replace(fault=None)

    @property
    def _may_expire(self) -> bool:
        rules = self.nation.rules
        return bool(rules.held_days or rules.held_days_of or rules.cash_days)

    def _expire(self) -> Iterator[operations.Operation]:
        """Lines beyond their deadline are taken out, on time; now and then deadlines change."""
        rng = self.patience
        if rng.random() < 0.2:
            days = rng.choice([0, 2, 5, 20])
            self.facts.rules = self.facts.rules._replace(held_days=days)
            yield operations.Change(rules=self.facts.rules, fault=operations.fault_of(rng))
        day = max(self.village.day + rng.choice([0, 0, 1, 5, 20]) * DAY, self.signed)
        fault = operations.fault_of(rng)
        expire = operations.ExpireLines(day, fault)
        yield expire
        if fault is not None or rng.random() < 0.2:
            yield expire._replace(fault=None)

    def _recall(self) -> Iterator[operations.Operation]:
        """Lines that were sent are recalled, on time."""
        rng = self.window
        day = max(self.village.day + rng.choice([0, 0, 1, 3]) * DAY, self.signed)
        fault = operations.fault_of(rng)
        recall = operations.RecallLines(day, rng.getrandbits(32), fault)
        yield recall
        if fault is not None or rng.random() < 0.2:
            yield recall._replace(fault=None)

    def _money(self) -> Iterator[operations.Operation]:
        """Money leaves before a cycle settles, and mostly comes back, so that lines clear."""
        rng = self.beside
        codes = [*self.village.banks, TREASURY]
        some = sorted(rng.sample(codes, rng.randint(1, len(codes))))
        amounts = (0, 0, 0, 1_000_000, 20_000_000)
        yield operations.Fund({code: rng.choice(amounts) + rng.randint(1, 999) for code in some})
        if rng.random() < 0.8:
            yield operations.Settle()
        if rng.random() < 0.7:
            yield operations.Fund({code: ENOUGH + rng.randint(1, 999) for code in codes})

    def _way_back(self) -> Iterator[operations.Operation]:
        """Something is said, decided or closed; mostly on time, and sometimes long after."""
        rng = self.mail
        day = self.village.day + rng.choice([0, 0, 1, 2, 3, 9]) * DAY
        if self.rival.random() > RUNS_BACK:
            day = max(day, self.signed)
        kind = rng.choices(["answers", "dispose", "close"], [50, 25, 25])[0]
        fault, salt = operations.fault_of(rng), rng.getrandbits(32)
        operation: operations.WayBack
        if kind == "answers":
            operation = operations.Answers(day, salt, fault=fault, meant=salt % 2 == 0)
        elif kind == "dispose":
            operation = operations.Dispose(rng.choice([None, salt]), rng.random() < 0.6, fault)
        else:
            operation = operations.CloseDay(day, fault, meant=salt % 2 == 0)
            self.signed = max(self.signed, day)
        yield operation
        if fault is not None and rng.random() < 0.7:
            yield operation._replace(fault=None)

    def _draw(self, kind: str) -> operations.Payday | operations.Register | operations.Change:
        if kind == "payday":
            return self._payday()
        if kind == "register":
            return self._register()._replace(share=self.registrar.choice(SHARES))
        return self._change()

    def _first_register(self) -> operations.Register:
        rng, village = self.rng, self.village
        ids = village.ids()
        people = [village.person(i, 0.95) for i in ids if rng.random() < 0.95]
        accounts = [village.account(i) for i in ids for _ in range(rng.choice([0, 1, 1, 1, 2, 4]))]
        paid = [village.paid() for _ in range(rng.choice([0, 5, 15]))]
        return operations.Register(
            tuple(people), tuple(accounts), tuple(paid) or None, replace=False
        )

    def _register(self) -> operations.Register:
        rng, village = self.rng, self.village
        replace = rng.random() < 0.12
        some = range(
            rng.randint(village.count // 2, village.count) if replace else rng.randint(1, 6)
        )
        people = [village.person(village.some_id()) for _ in some] if rng.random() < 0.6 else []
        accounts = [village.account(village.some_id()) for _ in some] if rng.random() < 0.6 else []
        paid = [village.paid() for _ in some[:4]] if rng.random() < 0.2 else []
        if rng.random() < 0.1:
            # A stranger to every population register: a row of the register without a person.
            accounts.append(village.account("001888888888"))
        return operations.Register(
            tuple(people) or None,
            tuple(accounts) or None,
            tuple(paid) or None,
            replace,
            operations.fault_of(rng),
        )

    def _change(self) -> operations.Change:
        rng, village = self.rng, self.village
        fault = operations.fault_of(rng)
        kind = rng.random()
        if kind < 0.6:
            village.trouble_institutions()
            rows = village.participants()
            if rng.random() < 0.15:
                # A wallet leaves, unless an account pays from it; it may come back.
                gone = rng.choice(village.wallets)
                if all(row["debtor_agent"] != gone for row in village.debtors):
                    rows = tuple(row for row in rows if row["participant"] != gone)
            return operations.Change(participants=rows, fault=fault)
        if kind < 0.75:
            agents = [*village.banks, TREASURY, TREASURY]
            rows = tuple(debtor(r["debtor_account"], rng.choice(agents)) for r in village.debtors)
            village.debtors = [dict(row) for row in rows]
            some = rows[1:] if rng.random() < 0.3 else rows
            return operations.Change(participants=village.participants(), debtors=some, fault=fault)
        if kind < 0.9:
            some = village.programmes
            if rng.random() < 0.5:
                some = tuple(row for row in some if row["benefit"] != rng.choice(BENEFITS))
            return operations.Change(
                participants=village.participants(),
                debtors=tuple(village.debtors),
                programmes=some,
                fault=fault,
            )
        self.facts.rules = self.facts.rules._replace(clearing_limit=rng.choice(LIMITS))
        return operations.Change(rules=self.facts.rules, fault=fault)

    def _payday(self) -> operations.Payday:
        table, form = self.sender.table()
        return operations.Payday(
            table, form, self.rng.choice([3, 7, 1000]), operations.fault_of(self.rng)
        )

    # --- the end --------------------------------------------------------------------------------

    def repair(self) -> Iterator[operations.Operation]:
        """All faults stop: nobody is suspended, everybody has an account, the treasury pays."""
        return self.payers.last(self.office.last(self._repair()))

    def _repair(self) -> Iterator[operations.Operation]:
        village = self.village
        if self.nation.rules.rule or self.settles or self.answered:
            # A line that was recalled may have left its cycle short of what others took for room.
            yield operations.Fund(dict.fromkeys([*village.banks, TREASURY], ENOUGH))
        if self.settles:
            yield operations.Settle()
        if self.facts.is_changing:
            yield operations.Fund(dict.fromkeys(village.wallets, ENOUGH))
            yield operations.Settle()
            rules, first = self.facts.begin
            village.institutions = [dict(row) for row in first]
            yield operations.Change(village.participants(), rules=rules)
            yield operations.Fund(dict.fromkeys([*village.banks, TREASURY], ENOUGH))
        for row in village.institutions:
            row |= {"status": "active", "net_debit_cap": None}
            if "amount_month_max" in row:
                row["amount_month_max"] = None
        village.debtors = [dict(debtor(r["debtor_account"], TREASURY)) for r in village.debtors]
        rules = self.nation.rules
        freed = rules._replace(shared_max=0) if rules.shared_max else None
        yield operations.Change(
            village.participants(), tuple(village.debtors), village.programmes, freed
        )
        ids = [*village.ids(), "001888888888", "001999999999"]
        yield operations.Register(
            (*village.unanswered.values(), *self.askers.known()) or None,
            tuple(
                {
                    "person_id": person_id,
                    "participant": village.banks[0],
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
        row = {**village.line(), "line_no": 1, "creditor_agent": None, "creditor_account": None}
        content, sum_ = content_of([row], "rows"), row["amount"]
        yield operations.Payday(
            Table("VSS", "LAST", village.day, 1, sum_, (row,), content), "rows", 1000
        )
        if self.settles:
            yield operations.Settle()
        if self.answered:
            yield from self._ends_answered()

    def _ends_answered(self) -> Iterator[operations.Operation]:
        """Receivers answer all that is open; what comes back goes to the budget, or is paid once
        more and confirmed; the day is closed."""
        day = max(self.village.day + 3 * DAY, self.signed)
        for n in range(2):
            yield operations.Answers(day, self.mail.getrandbits(32), whole=True)
            if self.settles:
                yield operations.Settle()
            if n == 0:
                yield operations.Dispose(self.mail.getrandbits(32), True)
                yield operations.Dispose(None, False)
                yield operations.PayAgain(day)
                if self.settles:
                    yield operations.Settle()
        yield operations.Dispose(None, False)
        yield operations.CloseDay(day)
