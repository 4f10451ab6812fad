"""The order of the agency: benefits and their amounts, and the person of each line.

Lines come in random order with respect to the register: a seeded permutation of all (person, turn)
pairs is cut off after the wanted number, whatever its size, without keeping it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import NormalDist
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from switch.reason import Reason
from switch.sim.world.draw import GROUP_ROWS, Shuffle, choice_table, generator
from switch.sim.world.institutions import Directory
from switch.sim.world.nation import ALIVE, DECEASED, INVALID, NO_PARTICIPANT, Fates, Rates

CLEARING_LIMIT = 500_000_000
"""Dong; the default of the contract."""


class Model(NamedTuple):
    """Spread of the amounts of a programme. text: that of programmes.csv, which is the source."""

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
QUANTILES = 1 << 14


def amount_table(programmes: Sequence[Mapping[str, str]]) -> NDArray[np.int64]:
    """Amounts in dong by benefit and quantile, 16,384 of them, rounded to 100."""
    rows = {row["benefit"]: row for row in programmes}
    normal = NormalDist()
    table = np.empty((BENEFITS_COUNT, QUANTILES), np.int64)
    half = [normal.inv_cdf((i + 0.5) / QUANTILES) for i in range(QUANTILES // 2)]
    deviates = [*half, *(-z for z in reversed(half))]
    for index, (benefit, model) in enumerate(MODELS.items()):
        row = rows[benefit]
        assert row["amount_model"] == model.text, f"{benefit}: the model follows programmes.csv"
        if model.steps:
            amounts = np.array([amount for amount, _ in model.steps])
            choice = choice_table([weight for _, weight in model.steps])
            table[index] = amounts[choice[:: 65536 // QUANTILES]]
        else:
            # math.exp and not numpy's, whose last digit depends on the processor.
            factors = [math.exp(model.deviation * z) for z in deviates]
            rounded = np.rint(np.array(factors) * model.median / 100).astype(np.int64) * 100
            table[index] = np.maximum(rounded, int(row["amount_min"]))
    return table


_PLAN_STREAM = 3
CORRECTED = 18
"""Besides the numbers of reasons: a line that repeats a refused one and is good."""
PLANTED = (1, 2, 3, 4, 5, 6, 7, 10, 14, 15, 16, CORRECTED)
"""Reasons that are planted line by line; 8, 9, 11, 12 and 13 lie in the person."""
SECOND = (1, 2, 4, 6, 10)
"""Reasons planted besides: they leave the entitlement (person, benefit, period) as it is."""
_SPECIMENS = (*((n, 0) for n in range(1, 17)), (1, 10), (3, 6), (8, 10))
SPECIMENS_FROM = 200
RATED = int(Reason.DUPLICATE_IN_TABLE)
"""The rates of the reasons come first in Rates, in the order of their numbers; nobody has a cap, so
that cover is never missing."""


class Plan(NamedTuple):
    """The person of each line, and the lines and people whose fate is decided."""

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
        in_person = np.isin(kinds[:, 0], PLANTED, invert=True)
        order = np.argsort(people_of[distinct])
        fates = Fates(people_of[distinct][order], (kinds[:, 0] * in_person)[order])
        planted = np.where(in_person[:, None] & [True, False], 0, kinds)
        return cls(people, lines, shuffle, fates, candidates[distinct].astype(np.int64), planted)


class Order:
    """Tables of an order: benefits, amounts, debtors, and the reasons in people."""

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
