"""The lines of a payday, chunk by chunk, each with its true answer.

What is wrong with a line is planted here or known from the nation, so the truth never looks at the
files.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from switch.reason import Reason
from switch.sim.world.draw import GROUP_ROWS, choice_table, fields, generator, sparse
from switch.sim.world.names import STYLES
from switch.sim.world.nation import (
    ALIVE,
    ARREARS_MONTHS,
    DECEASED,
    NO_PARTICIPANT,
    Nation,
    months_of,
)
from switch.sim.world.plan import (
    BENEFITS_COUNT,
    BENEFITS_UNKNOWN,
    CLEARING_LIMIT,
    CORRECTED,
    DEBTORS_UNKNOWN,
    PLANTED,
    QUANTILES,
    RATED,
    SECOND,
    Order,
    Plan,
    months_before,
)

Columns = dict[str, NDArray[Any]]
"""Lines as equally long arrays; texts only as positions in tables."""

_LINES_STREAM = 4


class Lines:
    """Makes the lines, chunk by chunk; remembers what later chunks and the paid history need."""

    POOL_ROWS = 1 << 16

    def __init__(self, plan: Plan, order: Order, nation: Nation) -> None:
        self.plan = plan
        self.order = order
        self.nation = nation
        self.paid_before: list[tuple[NDArray[Any], ...]] = []
        self._pool: Columns = {}
        """Good lines of earlier chunks, for duplicates to copy."""
        self._limited = np.flatnonzero(order.directory.limits < CLEARING_LIMIT)

    def chunk(self, number: int, first: int, end: int) -> tuple[Columns, NDArray[np.uint8]]:
        """Columns of these lines and their reasons (Reason.NONE for the good ones)."""
        rng = generator(self.order.seed, _LINES_STREAM, number)
        lines = self._clean(rng, first, end)
        in_person = self.order.in_person[lines["status"], lines["participant"]]
        kind, second = self._plan_wrongs(rng, number, in_person)
        self._name_accounts(rng, lines, first, in_person, number)
        in_person = self.order.in_person[lines["status"], lines["participant"]]
        self._correct(lines, kind, second, in_person)

        copies = np.flatnonzero(kind == Reason.DUPLICATE_IN_TABLE)
        later = np.where(kind == Reason.DUPLICATE_IN_TABLE, second, 0)
        second[copies] = 0
        self._plant(rng, lines, kind, second, first)
        reason = self._reasons(lines, kind, second)
        reason[copies] = self._copy(rng, lines, copies, reason)
        self._plant(rng, lines, np.zeros_like(kind), later, first)
        reason = np.where(later > 0, np.minimum(reason, later), reason)

        paid = np.flatnonzero(kind == Reason.PAID_BEFORE)
        keys = ("person_id", "benefit", "period")
        self.paid_before.append(tuple(lines[key][paid] for key in keys))
        self._remember(rng, lines, reason)
        reason[reason == 255] = Reason.NONE
        return lines, reason

    def _clean(self, rng: np.random.Generator, first: int, end: int) -> Columns:
        """Lines about which nothing is wrong but what is wrong with the person."""
        order, rates, rows = self.order, self.order.rates, end - first
        pair = self.plan.shuffle.at(np.arange(first, end, dtype=np.uint64))
        turn = pair // np.uint64(self.plan.people)
        person = pair - turn * np.uint64(self.plan.people)
        person_id, commune, participant, status = Nation.unpack(self.nation.packed[person])
        style = choice_table([style.weight for style in STYLES])[fields(rng, rows)]
        prefix_at, given_at = self.nation.names.places(self.nation.name[person], style)
        benefit = order.benefit(person, turn)
        amount = order.amounts.ravel()[
            benefit.astype(np.int64) * QUANTILES + (fields(rng, rows) >> 2)
        ]
        over = np.flatnonzero(amount > order.limits[participant])
        other = self.nation.above.of(person[over].astype(np.int64))
        takes = (other != NO_PARTICIPANT) & (
            (order.in_person[ALIVE, other] < 255) | (amount[over] <= order.limits[other])
        )
        participant[over[takes]] = other[takes]
        period = np.full(rows, order.period, np.int32)
        late, _ = sparse(rng, rows, [rates.arrears])
        period[late] = months_before(order.period, ARREARS_MONTHS)
        # What somebody was owed for a month before that of the death is paid.
        dead = np.flatnonzero(status == DECEASED)
        owed = months_of(period[dead]) < self.nation.died.of(person[dead].astype(np.int64))
        status[dead[owed]] = ALIVE
        debtor = benefit.astype(np.uint8) * np.uint8(order.debtors_each)
        elsewhere, _ = sparse(rng, rows, [rates.commercial_debtor])
        debtor[elsewhere] += rng.integers(1, order.debtors_each, len(elsewhere), dtype=np.uint8)
        return {
            "person_id": person_id,
            "prefix_at": prefix_at,
            "given_at": given_at,
            "benefit": benefit,
            "period": period,
            "amount": amount,
            "debtor": debtor,
            "participant": participant,
            "creditor": np.zeros(rows, np.uint64),
            "commune": commune,
            "status": status,
        }

    def _plan_wrongs(
        self, rng: np.random.Generator, number: int, in_person: NDArray[np.uint8]
    ) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """Reasons to plant in each line, and others besides; zero for none."""
        rates, rows = self.order.rates, len(in_person)
        shares = [rates[n - 1] if n <= RATED else rates.corrected for n in PLANTED]
        hits, which = sparse(rng, rows, shares)
        kind = np.zeros(rows, np.uint8)
        kind[hits] = np.array(PLANTED, np.uint8)[which]
        possible = np.array([n for n in SECOND if rates[n - 1]], np.uint8)
        failing = np.flatnonzero(((kind > 0) & (kind != CORRECTED)) | (in_person < 255))
        failing = failing[rng.random(len(failing)) < rates.second_reason]
        second = np.zeros(rows, np.uint8)
        if len(possible):
            second[failing] = possible[rng.integers(0, len(possible), len(failing))]
        if number == 0:
            kind[self.plan.specimen_lines] = self.plan.specimen_kinds[:, 0]
            second[self.plan.specimen_lines] = self.plan.specimen_kinds[:, 1]
        return kind, second

    def _name_accounts(
        self,
        rng: np.random.Generator,
        lines: Columns,
        first: int,
        in_person: NDArray[np.uint8],
        number: int,
    ) -> None:
        """Lines that name the creditor's account: it wins over the register, or stands in for it.

        Where the named institution has a limit, the amount is exactly that.
        """
        rates = self.order.rates
        hits, _ = sparse(rng, len(in_person), [rates.named_account])
        lost = np.flatnonzero(in_person == Reason.ACCOUNT_MISSING)
        lost = lost[rng.random(len(lost)) < min(1, 10 * rates.named_account)]
        hits = np.union1d(hits, lost)
        if number == 0:
            hits = np.setdiff1d(hits, self.plan.specimen_lines)
        participant = self.order.directory.holders(rng, len(hits), rates)
        lines["participant"][hits] = participant
        lines["creditor"][hits] = (hits + first + 1).astype(np.uint64)
        limit = self.order.limits[participant]
        lines["amount"][hits] = np.where(limit < CLEARING_LIMIT, limit, lines["amount"][hits])

    @staticmethod
    def _correct(
        lines: Columns,
        kind: NDArray[np.uint8],
        second: NDArray[np.uint8],
        in_person: NDArray[np.uint8],
    ) -> None:
        """Copies lines that will be refused, before anything is planted: the copies are good."""
        wrong = np.isin(kind, SECOND) & (second == 0) & (in_person == 255)
        refused = np.flatnonzero(wrong)
        again = np.flatnonzero(kind == CORRECTED)
        turn = np.arange(len(again))
        possible = turn < np.searchsorted(refused, again)
        again, source = again[possible], refused[turn[possible]]
        for column in lines.values():
            column[again] = column[source]

    def _plant(
        self,
        rng: np.random.Generator,
        lines: Columns,
        kind: NDArray[np.uint8],
        second: NDArray[np.uint8],
        first: int,
    ) -> None:
        """Spoils lines, the least preceding reason first, so that the one that counts stands."""
        names, order = self.nation.names, self.order
        for number in reversed(PLANTED):
            rows = np.flatnonzero((kind == number) | (second == number))
            some = rng.random(len(rows))
            pick = rng.integers(0, 1 << 30, len(rows))
            amount = lines["amount"]
            match number:
                case Reason.AMOUNT_OVER_PARTICIPANT_LIMIT:
                    participant = self._limited[pick % len(self._limited)]
                    excess = np.where(some < 0.3, 1, 100 + pick % 500 * 100)
                    lines["participant"][rows] = participant
                    lines["creditor"][rows] = (rows + first + 1).astype(np.uint64)
                    amount[rows] = order.limits[participant] + excess
                case Reason.NAME_DIFFERS:
                    given = names.other_given(rng, lines["given_at"][rows])
                    lines["given_at"][rows] = np.where(some < 0.7, given, names.blank_at)
                    lines["prefix_at"][rows[some > 0.99]] = names.longest_at
                case Reason.PERSON_UNKNOWN:
                    lines["person_id"][rows] = self.nation.cells.strangers(rng, len(rows))
                case Reason.NAME_UNUSABLE:
                    span = names.longest_at - names.unusable_at
                    lines["prefix_at"][rows] = names.unusable_at + pick % span
                    lines["given_at"][rows] = names.blank_at
                case Reason.PERSON_ID_MALFORMED:
                    # A digit too many is all that a number can show.
                    lines["person_id"][rows] %= np.uint64(10**12)
                    lines["person_id"][rows] += (1 + pick % 9).astype(np.uint64) * np.uint64(10**12)
                case Reason.DEBTOR_ACCOUNT_UNKNOWN:
                    known = len(order.debtors) - len(DEBTORS_UNKNOWN)
                    lines["debtor"][rows] = known + pick % len(DEBTORS_UNKNOWN)
                case Reason.BENEFIT_UNKNOWN:
                    lines["benefit"][rows] = BENEFITS_COUNT + pick % len(BENEFITS_UNKNOWN)
                case Reason.AMOUNT_OVER_CLEARING_LIMIT:
                    excess = np.where(some < 0.3, 1, 1 + pick * 4)
                    amount[rows] = CLEARING_LIMIT + excess
                case Reason.AMOUNT_NOT_POSITIVE:
                    amount[rows] = np.where(some < 0.5, 0, -amount[rows])
                case _:
                    pass

    def _reasons(
        self, lines: Columns, kind: NDArray[np.uint8], second: NDArray[np.uint8]
    ) -> NDArray[np.uint8]:
        """The least of what was planted and what lies in person, account and limit; 255 if none."""
        reason = self.order.in_person[lines["status"], lines["participant"]]
        over = lines["amount"] > self.order.limits[lines["participant"]]
        least = np.where(over, np.uint8(Reason.AMOUNT_OVER_PARTICIPANT_LIMIT), np.uint8(255))
        reason = np.minimum(reason, least)
        for planted in (kind, second):
            known = np.where((planted == 0) | (planted == CORRECTED), np.uint8(255), planted)
            reason = np.minimum(reason, known)
        return reason

    def _copy(
        self,
        rng: np.random.Generator,
        lines: Columns,
        copies: NDArray[np.int64],
        reason: NDArray[np.uint8],
    ) -> NDArray[np.uint8]:
        """Makes these lines copies of good ones that stand before them; returns their reasons.

        Half of them reach back to earlier chunks. A line with no good one before it stays as it is.
        """
        rows = len(reason)
        good = reason == 255
        good[copies] = False
        latest = np.maximum.accumulate(np.where(good, np.arange(rows), -1))
        far = np.zeros(len(copies), np.bool_)
        if self._pool:
            far = rng.random(len(copies)) < 0.5
        near = latest[(rng.random(len(copies)) * copies).astype(np.int64)]
        near = np.where(near < 0, latest[copies], near)
        distant = rng.integers(0, self.POOL_ROWS, len(copies))
        result = self._reasons_of_rows(lines, copies)
        for name, column in lines.items():
            found = ~far & (near >= 0)
            column[copies[found]] = column[near[found]]
            if far.any():
                pool = self._pool[name]
                column[copies[far]] = pool[distant[far] % len(pool)]
        result[far | (near >= 0)] = Reason.DUPLICATE_IN_TABLE
        other = copies[rng.random(len(copies)) < 0.3]
        lines["amount"][other] = np.maximum(lines["amount"][other] - 100, 1)
        return result

    def _reasons_of_rows(self, lines: Columns, rows: NDArray[np.int64]) -> NDArray[np.uint8]:
        nothing = np.zeros(len(rows), np.uint8)
        return self._reasons({n: column[rows] for n, column in lines.items()}, nothing, nothing)

    def _remember(
        self, rng: np.random.Generator, lines: Columns, reason: NDArray[np.uint8]
    ) -> None:
        good = np.flatnonzero(reason == 255)
        if len(reason) < GROUP_ROWS or not len(good):
            return
        sample = good[rng.integers(0, len(good), self.POOL_ROWS // 16)]
        for name, column in lines.items():
            kept = self._pool.get(name, column[:0])
            self._pool[name] = np.concatenate([kept, column[sample]])
        size = len(self._pool["amount"])
        if size > self.POOL_ROWS:
            keep = rng.permutation(size)[: self.POOL_ROWS]
            self._pool = {name: column[keep] for name, column in self._pool.items()}
