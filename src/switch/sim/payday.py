"""The payday: payment table, dossier, paid history, and the true answer to every line.

What is wrong with a line is planted here or known from the nation, so the truth never looks at the
files. Lines come in random order with respect to the register: a seeded permutation of all
(person, turn) pairs is cut off after the wanted number, whatever its size, without keeping it.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import NormalDist
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from switch.reason import RULES, Reason
from switch.sim.nation import (
    ALIVE,
    DECEASED,
    GROUP_ROWS,
    INVALID,
    NO_PARTICIPANT,
    STYLES,
    Fates,
    Nation,
    Progress,
    Rates,
    TableFile,
    choice_table,
    chunks,
    dictionary,
    fields,
    generator,
    sparse,
)

if TYPE_CHECKING:
    from switch.sim.world import Directory

Columns = dict[str, NDArray[Any]]
"""Lines as equally long arrays; texts only as positions in tables."""

CLEARING_LIMIT = 500_000_000
"""Dong; the default of the contract."""


class Model(NamedTuple):
    """How amounts of a programme spread. `text` is that of programmes.csv, which is the source."""

    text: str
    median: float = 0
    deviation: float = 0
    """Standard deviation of the logarithm."""
    steps: tuple[tuple[int, float], ...] = ()
    """Amounts and weights, where the amounts are discrete."""


MODELS = {
    "PENS": Model(
        "log-normal, mean 7000000, sd of log 0.45, floor 2340000, rounded to 100",
        median=7_000_000 * math.exp(-(0.45**2) / 2),
        deviation=0.45,
    ),
    "SASS": Model(
        "discrete: 500000 .45; 750000 .20; 1000000 .25; 1250000 .08; 1500000 .02",
        steps=((500_000, 45), (750_000, 20), (1_000_000, 25), (1_250_000, 8), (1_500_000, 2)),
    ),
    "MERT": Model(
        "discrete: 2789000 .70; 5578000 .15; 8367000 .05; 3500000 .10",
        steps=((2_789_000, 70), (5_578_000, 15), (8_367_000, 5), (3_500_000, 10)),
    ),
    "UNEM": Model("log-normal, median 3800000, sd of log 0.35", 3_800_000, 0.35),
    "SICK": Model("log-normal, median 800000, sd of log 0.6", 800_000, 0.6),
    "MATE": Model("log-normal, median 25000000, sd of log 0.3", 25_000_000, 0.3),
    "ONCE": Model("log-normal, median 45000000, sd of log 0.5", 45_000_000, 0.5),
}
BENEFITS = list(MODELS)
BENEFITS_COUNT = len(BENEFITS)
assert BENEFITS_COUNT == 7, "a prime, so that any step through the benefits meets all of them"
BENEFITS_UNKNOWN = ["XXXX", "HOUS", "TEST"]
DEBTORS_UNKNOWN = ["371399990001", "000000000000", "9527010"]
_QUANTILES = 1 << 14


def amount_table(programmes: Sequence[Mapping[str, str]]) -> NDArray[np.int64]:
    """Amounts in dong by benefit and quantile, 16,384 of them, rounded to 100."""
    rows = {row["benefit"]: row for row in programmes}
    normal = NormalDist()
    table = np.empty((BENEFITS_COUNT, _QUANTILES), np.int64)
    half = [normal.inv_cdf((i + 0.5) / _QUANTILES) for i in range(_QUANTILES // 2)]
    deviates = [*half, *(-z for z in reversed(half))]
    for index, (benefit, model) in enumerate(MODELS.items()):
        row = rows[benefit]
        assert row["amount_model"] == model.text, f"{benefit}: the model follows programmes.csv"
        if model.steps:
            amounts = np.array([amount for amount, _ in model.steps])
            choice = choice_table([weight for _, weight in model.steps])
            table[index] = amounts[choice[:: 65536 // _QUANTILES]]
        else:
            # math.exp and not numpy's, whose last digit depends on the processor.
            factors = [math.exp(model.deviation * z) for z in deviates]
            rounded = np.rint(np.array(factors) * model.median / 100).astype(np.int64) * 100
            table[index] = np.maximum(rounded, int(row["amount_min"]))
    return table


class Shuffle:
    """A seeded permutation of 0..size-1 that computes any entry and keeps only small tables.

    A Feistel network on (column, row) of a near square grid; the few cells of the grid beyond
    `size` are walked on (Black and Rogaway 2002, "Ciphers with arbitrary finite domains").
    """

    ROUNDS = 4

    def __init__(self, size: int, rng: np.random.Generator) -> None:
        self.size = size
        self._columns = max(1, math.isqrt(size))
        self._rows = -(-size // self._columns)
        self._tables = [
            (
                rng.integers(0, self._columns, self._rows, dtype=np.uint32),
                rng.integers(0, self._rows, self._columns, dtype=np.uint32),
            )
            for _ in range(self.ROUNDS // 2)
        ]

    def _once(self, index: NDArray[np.uint64]) -> NDArray[np.uint64]:
        row64 = index // np.uint64(self._columns)
        column = (index - row64 * np.uint64(self._columns)).astype(np.uint32)
        row = row64.astype(np.uint32)
        columns, rows = np.uint32(self._columns), np.uint32(self._rows)
        for by_row, by_column in self._tables:
            column += by_row[row]
            column -= (column >= columns) * columns
            row += by_column[column]
            row -= (row >= rows) * rows
        return row.astype(np.uint64) * np.uint64(self._columns) + column

    def at(self, index: NDArray[np.uint64]) -> NDArray[np.uint64]:
        """Entries of the permutation."""
        result = self._once(index)
        while len(beyond := np.flatnonzero(result >= self.size)):
            result[beyond] = self._once(result[beyond])
        return result


_PLAN_STREAM, _LINES_STREAM, _PAID_STREAM = 3, 4, 5
_CORRECTED = 17
"""Besides the numbers of reasons: a line that repeats a refused one and is good."""
_PLANTED = (1, 2, 3, 4, 5, 6, 7, 10, 14, 15, 16, _CORRECTED)
"""What is planted line by line; 8, 9, 11, 12 and 13 lie in the person."""
_SECOND = (1, 2, 4, 6, 10)
"""What may be planted besides: it leaves the entitlement (person, benefit, period) as it is."""
_SPECIMENS = (*((n, 0) for n in range(1, 17)), (1, 10), (3, 6), (8, 10))
SPECIMENS_FROM = 200
RATED = len(RULES)
"""The rates of the reasons come first in Rates, in the order of their numbers."""


class Plan(NamedTuple):
    """Which person each line is about, and the lines and people whose fate is decided."""

    people: int
    lines: int
    shuffle: Shuffle
    fates: Fates
    specimen_lines: NDArray[np.int64]
    """Ascending positions in the table; all within the first chunk."""
    specimen_kinds: NDArray[np.int64]
    """(kind, second kind) of each."""

    @classmethod
    def of(cls, people: int, lines: int, seed: int, rates: Rates) -> Self:
        """With 200 lines or more, each reason whose rate is not zero gets a line and a person."""
        rng = generator(seed, _PLAN_STREAM)
        shuffle = Shuffle(-(-lines // people) * people, rng)
        wanted = [
            (kind, second)
            for kind, second in _SPECIMENS
            if rates[kind - 1] and (not second or (rates.second_reason and rates[second - 1]))
        ]
        if lines < SPECIMENS_FROM:
            wanted = []
        head = min(lines, GROUP_ROWS)
        candidates = rng.choice(head, min(head, 4096), replace=False).astype(np.uint64)
        people_of = (shuffle.at(candidates) % np.uint64(people)).astype(np.int64)
        distinct = np.sort(np.unique(people_of, return_index=True)[1])[: len(wanted)]
        assert len(distinct) == len(wanted), "29 people at least have 200 lines"
        distinct = distinct[np.argsort(candidates[distinct])]
        # A duplicate needs an earlier line, so it is the last of the specimens.
        wanted.sort(key=lambda pair: pair[0] == Reason.DUPLICATE_IN_TABLE)
        kinds = np.array(wanted, np.int64).reshape(-1, 2)
        in_person = np.isin(kinds[:, 0], _PLANTED, invert=True)
        order = np.argsort(people_of[distinct])
        fates = Fates(people_of[distinct][order], (kinds[:, 0] * in_person)[order])
        planted = np.where(in_person[:, None] & [True, False], 0, kinds)
        return cls(people, lines, shuffle, fates, candidates[distinct].astype(np.int64), planted)


class Order:
    """What the agency orders: tables for benefits, amounts, debtors, and the reasons in people."""

    def __init__(
        self,
        seed: int,
        period: int,
        rates: Rates,
        directory: Directory,
        debtors: Sequence[Sequence[str]],
        programmes: Sequence[Mapping[str, str]],
    ) -> None:
        self.seed = seed
        self.period = period
        self.rates = rates
        self.directory = directory
        self.benefits = [*BENEFITS, *BENEFITS_UNKNOWN]
        self.debtors = [*(text for accounts in debtors for text in accounts), *DEBTORS_UNKNOWN]
        self.debtors_each = len(debtors[0])
        weight = {row["benefit"]: float(row["recipients_per_month"]) for row in programmes}
        self.first_benefit = choice_table([weight[benefit] for benefit in BENEFITS])
        self.amounts = amount_table(programmes)
        self.limits = np.append(directory.limits, np.zeros(128 - len(directory.codes), np.int64))
        self.in_person = self._reasons_in_person()

    def _reasons_in_person(self) -> NDArray[np.uint8]:
        """Reason by status and participant, 255 for none: what is known before the line is."""
        reasons = np.full((3, 128), 255, np.uint8)
        count = len(self.directory.codes)
        reasons[ALIVE, :count][~self.directory.listed] = Reason.PARTICIPANT_UNKNOWN
        reasons[ALIVE, :count][self.directory.suspended] = Reason.PARTICIPANT_SUSPENDED
        reasons[ALIVE, NO_PARTICIPANT] = Reason.ACCOUNT_MISSING
        reasons[DECEASED] = Reason.PERSON_DECEASED
        reasons[INVALID] = Reason.PERSON_RECORD_INVALID
        return reasons

    def benefit(self, person: NDArray[np.uint64], turn: NDArray[np.uint64]) -> NDArray[np.uint8]:
        """The benefit that a person draws at a turn: the first by weight, then all the others.

        A person's hash (splitmix64) decides; so the same pair always has the same benefit.
        """
        mixed = person + np.uint64((self.seed * 2 + 1) * 0x9E3779B97F4A7C15 % 2**64)
        mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        mixed ^= mixed >> np.uint64(31)
        benefit = self.first_benefit[mixed >> np.uint64(48)]
        if turn.any():
            step = (mixed & np.uint64(0xFFFF)) % np.uint64(BENEFITS_COUNT - 1) + np.uint64(1)
            benefit = (benefit + turn * step) % np.uint64(BENEFITS_COUNT)
        narrow: NDArray[np.uint8] = benefit.astype(np.uint8)
        return narrow


def months_before(period: int, months: int) -> int:
    """The period yyyymm that lies some months earlier."""
    count = period // 100 * 12 + period % 100 - 1 - months
    return count // 12 * 100 + count % 12 + 1


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
        used = set(nation.provinces.codes.tolist())
        self._foreign = np.array([n for n in range(1000) if n not in used], np.uint64)

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
            benefit.astype(np.int64) * _QUANTILES + (fields(rng, rows) >> 2)
        ]
        period = np.full(rows, order.period, np.int32)
        late, _ = sparse(rng, rows, [rates.arrears])
        period[late] = months_before(order.period, 2)
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
        """What to plant in each line, and what besides; zero for nothing."""
        rates, rows = self.order.rates, len(in_person)
        shares = [rates[n - 1] if n <= RATED else rates.corrected for n in _PLANTED]
        hits, which = sparse(rng, rows, shares)
        kind = np.zeros(rows, np.uint8)
        kind[hits] = np.array(_PLANTED, np.uint8)[which]
        possible = np.array([n for n in _SECOND if rates[n - 1]], np.uint8)
        failing = np.flatnonzero(((kind > 0) & (kind != _CORRECTED)) | (in_person < 255))
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
        wrong = np.isin(kind, _SECOND) & (second == 0) & (in_person == 255)
        refused = np.flatnonzero(wrong)
        again = np.flatnonzero(kind == _CORRECTED)
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
        for number in reversed(_PLANTED):
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
                    tail = lines["person_id"][rows] % np.uint64(10**9)
                    province = self._foreign[pick % len(self._foreign)]
                    lines["person_id"][rows] = province * np.uint64(10**9) + tail
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
            known = np.where((planted == 0) | (planted == _CORRECTED), np.uint8(255), planted)
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


PAYDAY = pa.schema(
    [
        ("line_no", pa.uint32()),
        ("person_id", pa.uint64()),
        ("person_name", pa.string()),
        ("benefit", pa.dictionary(pa.int32(), pa.string())),
        ("period", pa.int32()),
        ("amount", pa.int64()),
        ("debtor_account", pa.dictionary(pa.int32(), pa.string())),
        ("creditor_agent", pa.dictionary(pa.int32(), pa.string())),
        ("creditor_account", pa.string()),
        ("commune", pa.dictionary(pa.int32(), pa.string())),
    ]
)
TRUTH = pa.schema([("line_no", pa.uint32()), ("status", pa.string()), ("reason", pa.string())])
PAID = pa.schema(
    [
        ("person_id", pa.uint64()),
        ("benefit", pa.dictionary(pa.int32(), pa.string())),
        ("period", pa.int32()),
    ]
)
_STATUSES = ["ACSC", "PDNG", "RJCT"]
_CODES = sorted({rule.code for rule in RULES.values()})


class Written(NamedTuple):
    """What the dossier declares, and the size of the paid history."""

    declared_count: int
    amount_sum: int
    paid_count: int


def _payday_columns(lines: Columns, first: int, order: Order, nation: Nation) -> list[pa.Array]:
    rows = len(lines["amount"])
    named = np.flatnonzero(lines["creditor"])
    agent = np.full(rows, 1 << 14, np.int16)
    agent[named] = lines["participant"][named]
    position = np.zeros(rows, np.int32)
    position[named] = np.arange(len(named))
    accounts = order.directory.account_numbers(lines["creditor"][named], agent[named])
    at = pa.array(position, mask=lines["creditor"] == 0)
    return [
        pa.array(np.arange(first + 1, first + rows + 1, dtype=np.uint32)),
        pa.array(lines["person_id"]),
        nation.names.texts(lines["prefix_at"], lines["given_at"]),
        dictionary(lines["benefit"], order.benefits),
        pa.array(lines["period"]),
        pa.array(lines["amount"]),
        dictionary(lines["debtor"], order.debtors),
        dictionary(agent, order.directory.codes),
        accounts.take(at),
        dictionary(lines["commune"], nation.provinces.commune_names),
    ]


def _truth_columns(reason: NDArray[np.uint8], first: int) -> list[pa.Array]:
    status = np.zeros(RATED + 1, np.int16)
    code = np.full(RATED + 1, 1 << 14, np.int16)
    for number, rule in RULES.items():
        status[number] = _STATUSES.index(rule.status)
        code[number] = _CODES.index(rule.code)
    return [
        pa.array(np.arange(first + 1, first + len(reason) + 1, dtype=np.uint32)),
        dictionary(status[reason], _STATUSES),
        dictionary(code[reason], _CODES),
    ]


def write_payday(
    folder: Path, plan: Plan, order: Order, nation: Nation, progress: Progress
) -> Written:
    """Writes payday.parquet, truth.parquet and paid.parquet."""
    maker = Lines(plan, order, nation)
    total = 0
    packing = {"line_no": "DELTA_BINARY_PACKED"}
    texts = dict.fromkeys(("person_name", "creditor_account"), "DELTA_LENGTH_BYTE_ARRAY")
    with (
        TableFile(folder / "payday.parquet", PAYDAY, packing | texts) as table,
        TableFile(folder / "truth.parquet", TRUTH, packing) as truth,
    ):
        for number, first, end in chunks(plan.lines):
            lines, reason = maker.chunk(number, first, end)
            total += int(lines["amount"].sum())
            table.write(_payday_columns(lines, first, order, nation))
            truth.write(_truth_columns(reason, first))
            progress("payday", end, plan.lines)
    paid = _write_paid(folder / "paid.parquet", maker, progress)
    return Written(plan.lines, total, paid)


def _write_paid(path: Path, maker: Lines, progress: Progress) -> int:
    """The month before for a share of the pairs in an order of their own, then the planted ones."""
    plan, order, nation = maker.plan, maker.order, maker.nation
    again = Shuffle(plan.lines, generator(order.seed, _PAID_STREAM))
    rows = round(order.rates.paid_last_month * plan.lines)
    with TableFile(path, PAID) as file:
        for _, first, end in chunks(rows):
            pair = plan.shuffle.at(again.at(np.arange(first, end, dtype=np.uint64)))
            turn = pair // np.uint64(plan.people)
            person = pair - turn * np.uint64(plan.people)
            period = np.full(end - first, months_before(order.period, 1), np.int32)
            file.write(
                [
                    pa.array(Nation.unpack(nation.packed[person])[0]),
                    dictionary(order.benefit(person, turn), BENEFITS),
                    pa.array(period),
                ]
            )
            progress("paid", end, rows)
        person_id, benefit, period = map(np.concatenate, zip(*maker.paid_before, strict=True))
        file.write([pa.array(person_id), dictionary(benefit, BENEFITS), pa.array(period)])
        return file.rows


def write_dossier(
    folder: Path, written: Written, source: str, batch_id: str, value_date: dt.date
) -> None:
    """payday.dossier.json: what the agency declares about payday.parquet."""
    with (folder / "payday.parquet").open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    dossier = {
        "source": source,
        "batch_id": batch_id,
        "currency": "VND",
        "count": written.declared_count,
        "sum": str(written.amount_sum),
        "sha256": digest,
        "value_date": value_date.isoformat(),
    }
    text = json.dumps(dossier, ensure_ascii=False, indent=2) + "\n"
    (folder / "payday.dossier.json").write_text(text, encoding="utf-8")
