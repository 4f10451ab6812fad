"""Fees lived: bills are loaded and paid, rightly, wrongly and twice, and wait where their cycle is
given up, on engine and auditor."""

from __future__ import annotations

import datetime as dt
import random
from collections import Counter
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from switch.home import days
from switch.home.times import day_of
from switch.sim.auditor.fees import Owing, Payment
from switch.sim.lives.difference import require
from switch.sim.lives.operations import PayFees
from switch.sim.lives.sides import NOTHING, USAGE, Sides

AGENCIES = ("TAX", "POLICE", "LAND")
AMOUNTS = (1, 70_000, 400_000, 3_000_000)
STATES = ("CLEARED", "SETTLED", "WAITING", "WITHDRAWN")


class Fees:
    """Fees of a home and its auditor."""

    def __init__(self, sides: Sides) -> None:
        self.sides = sides
        self.handed: list[tuple[Payment, ...]] = []
        """Files that were handed in."""

    def pay(self, operation: PayFees) -> str:
        """Do something with agencies, bills or payments. Returns what came of it, in words."""
        rng = random.Random(operation.salt)
        known = days.times(self.sides.engine.home)
        said = [day_of(at) for at in (known.said, known.closed) if at]
        day = max([operation.day, *said])
        if not operation.salt:
            word = self._take(operation, day, ())
            require("fees that wait in the end", [], self.sides.auditor.fees.waiting())
        elif not self.sides.auditor.fees.agencies or rng.random() < 0.08:
            word = self._agencies(rng, operation, day)
        elif not self.sides.auditor.fees.bills or rng.random() < 0.3:
            word = self._bills(rng, operation, day)
        elif rng.random() < 0.1:
            word = self._take(operation, day, ())
        elif self.sides.auditor.fees.taken and rng.random() < 0.2:
            word = self._refund(rng, operation, day)
        elif self.sides.auditor.fees.taken and rng.random() < 0.1:
            word = self._withdraw(rng, operation, day)
        else:
            again = self.handed and rng.random() < 0.12
            rows = rng.choice(self.handed) if again else self._drawn(rng, day)
            self.handed.append(rows)
            word = self._take(operation, day, rows)
        self.compare()
        return word

    def compare(self) -> None:
        """Compare where the money of every payment stands, by agency."""
        fees = self.sides.auditor.fees
        expected: dict[str, Counter[str]] = {agency: Counter() for agency in fees.agencies}
        for bill, owing in fees.bills.items():
            expected[bill[0]]["bills"] += owing.amount
        for name, payment in fees.taken.items():
            state = fees.state((name, False)).lower()
            for part in {"paid", state} - ({"paid"} if state == "withdrawn" else set()):
                expected[payment.agency][part] += payment.amount
        for name, (amount, _) in fees.refunds.items():
            expected[fees.taken[name].agency]["refunded"] += amount
        parts = ("bills", "paid", *(state.lower() for state in STATES), "refunded")
        found: dict[str, Counter[str]] = {}
        for row in self.sides.engine.fees.standing()["agencies"]:
            told: dict[str, Any] = dict(row)
            found[row["agency"]] = +Counter({part: told[part]["sum"] for part in parts})
        require("fees by agency", {k: dict(v) for k, v in expected.items()}, _plain(found))

    # --- tables ---------------------------------------------------------------------------------

    def _agencies(self, rng: random.Random, operation: PayFees, day: dt.date) -> str:
        codes = sorted(self.sides.auditor.directory.participants)
        named = [agency for agency in AGENCIES if rng.random() < 0.9]
        late = ("taken", "refused")
        rows = {agency: (rng.choice(codes), rng.choice(late)) for agency in named}
        if rng.random() < 0.05:
            rows["TAX"] = ("NOBODY", "taken")
        after = self.sides.auditor.copy()
        is_new, leap = after.load_agencies(rows), after.fees.leaps(day)
        table = pa.table(
            {
                "agency": pa.array(list(rows), pa.string()),
                "name": pa.array(list(rows), pa.string()),
                "participant": pa.array([code for code, _ in rows.values()], pa.string()),
                "late": pa.array([late for _, late in rows.values()], pa.string()),
            }
        )
        return self._attempt(
            lambda: self.sides.engine.fees.load_agencies(table, at=day, leap=leap)["new"],
            operation, after, is_new, "AGENCY_INVALID",
        )  # fmt: skip

    def _bills(self, rng: random.Random, operation: PayFees, day: dt.date) -> str:
        fees = self.sides.auditor.fees
        rows: dict[tuple[str, str], Owing] = {}
        for _ in range(rng.randint(1, 6)):
            agency = rng.choice(sorted(fees.agencies)) if fees.agencies else "NOBODY"
            if rng.random() < 0.01:
                agency = "NOBODY"
            bill = agency, str(rng.randint(1, 25))
            due = rng.choice([None, day, day + dt.timedelta(rng.randint(-5, 5))])
            drawn = Owing(rng.choice(AMOUNTS), due)
            rows[bill] = drawn if rng.random() < 0.03 else fees.bills.get(bill, drawn)
        after = self.sides.auditor.copy()
        count, leap = after.load_bills(rows), after.fees.leaps(day)
        table = pa.table(
            {
                "agency": pa.array([agency for agency, _ in rows], pa.string()),
                "bill_ref": pa.array([ref for _, ref in rows], pa.string()),
                "amount": pa.array([owing.amount for owing in rows.values()], pa.int64()),
                "due_on": pa.array([owing.due for owing in rows.values()], pa.date32()),
            }
        )
        return self._attempt(
            lambda: self.sides.engine.fees.load_bills(table, at=day, leap=leap)["count"],
            operation, after, count, "BILL_INVALID", "BILL_CHANGED",
        )  # fmt: skip

    def _refund(self, rng: random.Random, operation: PayFees, day: dt.date) -> str:
        fees = self.sides.auditor.fees
        name = rng.choice([*fees.taken] * 9 + [("A", "nobody's")])
        paid = fees.taken[name].amount if name in fees.taken else 5
        amount = rng.choice([paid, paid, paid, 1, paid + 1, 0])
        words = rng.choice(["it was paid in error", "it was too much"])
        after = self.sides.auditor.copy()
        is_new = after.refund(name, amount, words, day)
        leap = fees.leaps(day)

        def act() -> bool:
            (bank, payment_id), by = name, "an officer"
            told = self.sides.engine.fees.refund(
                payment_id, bank=bank, amount=amount, by=by, why=words, at=day, leap=leap
            )
            return told["new"]

        word = self._attempt(act, operation, after, is_new, *USAGE)
        for key in self.sides.auditor.fees.entered:
            if key[1]:
                told = self.sides.engine.fees.payment(key[0][1], key[0][0])
                state = self.sides.auditor.fees.state(key)
                require("a refund", state, told["refund_state"])
        return f"refund {word}"

    def _withdraw(self, rng: random.Random, operation: PayFees, day: dt.date) -> str:
        """Give up a payment, mostly one that waits."""
        fees = self.sides.auditor.fees
        waiting = [key[0] for key in fees.waiting()]
        name = rng.choice(waiting * 4 + [*fees.taken, *fees.withdrawn])
        words = rng.choice(["its bank is gone", "it was closed"])
        after = self.sides.auditor.copy()
        is_new = after.withdraw(name, words)
        leap = fees.leaps(day)

        def act() -> bool:
            told = self.sides.engine.fees.withdraw(
                name[1], bank=name[0], by="an officer", why=words, at=day, leap=leap
            )
            return told["new"]

        return f"withdrawal {self._attempt(act, operation, after, is_new, *USAGE)}"

    # --- payments -------------------------------------------------------------------------------

    def _drawn(self, rng: random.Random, day: dt.date) -> tuple[Payment, ...]:
        """Payments, mostly of bills that are there and of what they ask for."""
        fees, directory = self.sides.auditor.fees, self.sides.auditor.directory
        bills, codes = sorted(fees.bills), sorted(directory.participants)
        rows: list[Payment] = []
        for _ in range(rng.randint(1, 8)):
            bill = rng.choice(bills)
            amount = fees.bills[bill].amount
            kind = rng.random()
            if kind < 0.05:
                bill = bill[0], "none"
            elif kind < 0.1:
                amount += rng.choice([-amount, 1, -1, 10**9])
            elif kind < 0.12:
                bill = "NOBODY", bill[1]
            bank = "NOBODY" if rng.random() < 0.03 else rng.choice(codes)
            known = [*fees.taken, *(row.name for row in rows)]
            payment_id = f"F{rng.getrandbits(40)}"
            if known and rng.random() < 0.08:
                other, payment_id = rng.choice(known)
                bank = rng.choice([bank, other])
            if fees.taken and rng.random() < 0.05:
                rows.append(rng.choice([*fees.taken.values()]))
                continue
            paid_on = day + dt.timedelta(rng.choice([0, 0, 0, -1, -3, -3, 1]))
            rows.append(Payment(payment_id, *bill, bank, amount, paid_on))
        return tuple(rows)

    def _take(self, operation: PayFees, day: dt.date, rows: tuple[Payment, ...]) -> str:
        sides = self.sides
        after = sides.auditor.copy()
        if not after.fees.agencies:
            return sides.refused(lambda: sides.engine.fees.take_waiting(at=day, leap=True))
        codes, is_new = after.take_fees(rows, day)
        leap = sides.auditor.fees.leaps(day)
        names = ("payment_id", "agency", "bill_ref", "participant", "amount", "paid_on")
        columns = list(zip(*rows, strict=True)) or [()] * len(names)
        kinds = (*(pa.string(),) * 4, pa.int64(), pa.date32())
        table = pa.table(
            {
                name: pa.array(list(column), kind)
                for name, column, kind in zip(names, columns, kinds, strict=True)
            }
        )

        def act() -> Any:
            engine = sides.engine.fees
            if rows:
                return engine.take(table, at=day, leap=leap)
            return engine.take_waiting(at=day, leap=leap)

        word, told = sides.attempt(act, operation.fault, after, NOTHING, replay=not is_new)
        if told is None or not told["number"]:
            return word
        require("fees that wait", len(sides.auditor.fees.waiting()), told["waiting"]["count"])
        answers = pq.read_table(sides.home / "out" / told["file"])["reason"].to_pylist()
        require("answers to payments", codes, [code or "" for code in answers])
        return f"{word} {len(rows)} {codes.count('')} {told['again']['count']}"

    def _attempt(
        self,
        act: Any,
        operation: PayFees,
        after: Any,
        is_new: int | None,
        *rules: str,
    ) -> str:
        """Load a table. is_new: what the auditor says, None where it must be refused."""
        refusals = frozenset(rules) if is_new is None else NOTHING
        replay = is_new is not None and not is_new
        word, found = self.sides.attempt(act, operation.fault, after, refusals, replay=replay)
        if found is not None and is_new is not None:
            require("rows that are new", is_new, found)
        return word


def _plain(found: dict[str, Counter[str]]) -> dict[str, dict[str, int]]:
    return {key: dict(value) for key, value in found.items()}
