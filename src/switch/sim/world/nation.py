"""An invented nation: people with citizen ids and names, and whose account counts.

Writes population.parquet (docs: contract, "Tables in") and keeps 12 bytes a person in memory for
the payday that is written afterwards.

A citizen id is province (3 digits), century and sex (1), year of birth (2), serial (6), the layout
of Decree 137/2015. Serials are counted per (province, sex, year), so ids never repeat.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from switch.sim.world import draw
from switch.sim.world.names import Names

PEOPLE_MAX = 400_000_000
"""Keeps account numbers unique: at most 3 rows a person in a bank of 9 * 10**8 numbers or more."""

COMMUNES_COUNT = 3321
"""Source: the national gift of 2 September 2025 counted 3,321 communes."""

NO_PARTICIPANT = 127
ALIVE, DECEASED, INVALID = 0, 1, 2
STATUSES = ("alive", "deceased", "missing", "revoked")

HOUSEHOLD_WEIGHTS = (0.08, 0.13, 0.18, 0.25, 0.18, 0.10, 0.05, 0.03)
"""Sizes 1 to 8; the mean 3.97 is that of 106,855,575 citizens in 26,843,417 households."""
AGE_EDGES = (0, 10, 20, 30, 40, 50, 60, 70, 80, 90, 101)
AGE_WEIGHTS = (15, 15, 15, 16, 13, 11, 9, 4, 1.6, 0.4)
"""Shares of ten-year ages, an assumption in the shape of the census of 2019."""


class Rates(NamedTuple):
    """Rates of what goes wrong, as shares of the lines (of people where the person is at fault).

    The sixteen reasons sum to 2 %. A rate of zero also drops the guaranteed specimen of its kind.
    Amounts above a mobile-money limit occur without planting too, with about 0.15 % of the lines.
    """

    amount_not_positive: float = 0.0006
    amount_over_clearing_limit: float = 0.0004
    benefit_unknown: float = 0.0006
    debtor_account_unknown: float = 0.0005
    person_id_malformed: float = 0.0010
    name_unusable: float = 0.0005
    person_unknown: float = 0.0016
    person_deceased: float = 0.0024
    person_record_invalid: float = 0.0010
    name_differs: float = 0.0030
    account_missing: float = 0.0030
    participant_unknown: float = 0.0006
    participant_suspended: float = 0.0010
    amount_over_participant_limit: float = 0.0004
    duplicate_in_table: float = 0.0020
    paid_before: float = 0.0014

    second_reason: float = 0.10
    """Share of the failing lines that get another planted reason besides."""
    corrected: float = 0.0003
    """Good lines that repeat, corrected, the entitlement of an earlier refused line."""
    named_account: float = 0.01
    """Lines that name the creditor's account themselves."""
    commercial_debtor: float = 0.04
    """Lines paid from a treasury payment account at a commercial bank."""
    arrears: float = 0.005
    """Lines for the entitlement of two months before."""
    paid_last_month: float = 0.60
    """Lines whose entitlement of the month before stands in the paid history."""


DEFAULT_RATES = Rates()


class World(NamedTuple):
    """A world as it was asked for."""

    folder: Path
    people: int
    lines: int
    seed: int
    period: int
    """Period of the payday, yyyymm."""
    value_date: dt.date
    rates: Rates
    progress: draw.Progress

    @property
    def value_day(self) -> draw.Day:
        """The value date in days since 1970."""
        return (self.value_date - dt.date(1970, 1, 1)).days


class Provinces(NamedTuple):
    """Communes and id prefixes, from provinces.csv and communes.csv."""

    codes: NDArray[np.int64]
    """Province codes of citizen ids, ascending."""
    communes: list[str]
    """Codes of the communes, wards and special zones since 2025."""
    commune_provinces: NDArray[np.uint16]
    """Index of the province whose code ids of people there have, by commune."""

    @classmethod
    def of(
        cls, provinces: Sequence[Mapping[str, str]], communes: Sequence[Mapping[str, str]]
    ) -> Self:
        """provinces, communes: rows of the two tables. Which commune of today lay in which of the
        provinces that made up its own is not in them: each has an equal run of them, in order."""
        assert len(communes) == COMMUNES_COUNT, "as many as the gift counted"
        before: dict[str, list[int]] = {}
        for index, row in enumerate(provinces):
            before.setdefault(row["gso_code_2025"], []).append(index)
        counts = Counter(row["province"] for row in communes)
        done: Counter[str] = Counter()
        owner = []
        for row in communes:
            mine = before[row["province"]]
            owner.append(mine[done[row["province"]] * len(mine) // counts[row["province"]]])
            done[row["province"]] += 1
        codes = np.array([int(row["cccd_province_code"]) for row in provinces], np.int64)
        return cls(codes, [row["code"] for row in communes], np.array(owner, np.uint16))


class Cells:
    """Hands out citizen ids: a counter for each (province, sex, year of birth)."""

    SERIALS = 1_000_000
    RESERVED = 990_000
    """Counts from here on are never given to people, so they make ids that nobody has."""

    def __init__(self, provinces: Provinces, value_day: draw.Day) -> None:
        last = int(np.datetime64(value_day, "D").astype("datetime64[Y]").astype(int)) + 1970
        self.first_year = max(1900, last - AGE_EDGES[-1])
        year = np.arange(self.first_year, last + 1)
        sex = np.arange(2)
        digit = (year[None, :] >= 2000) * 2 + sex[:, None]
        tail = digit * 10**8 + (year % 100)[None, :] * 10**6
        self.years = len(year)
        self._base = (provinces.codes[:, None, None] * 10**9 + tail).ravel().astype(np.uint64)
        self._given = np.zeros(len(self._base), np.int64)

    def _ids(self, cell: NDArray[np.integer], count: NDArray[np.int64]) -> NDArray[np.uint64]:
        # 387,421 has no factor 2 or 5, so serials of one cell are a permutation of its counts.
        serial = (count.astype(np.uint64) * np.uint64(387_421) + cell * np.uint64(7_919)) % (
            np.uint64(self.SERIALS)
        )
        ids: NDArray[np.uint64] = self._base[cell] + serial
        return ids

    def people(
        self, province: NDArray[np.uint16], sex: NDArray[np.uint8], year: NDArray[np.int16]
    ) -> NDArray[np.uint64]:
        cell = (province * 2 + sex) * np.uint16(self.years)
        column = (year - self.first_year).astype(np.uint16)
        assert int(column.max()) < self.years, "births lie within the years of the cells"
        cell += column
        order = np.argsort(cell, kind="stable")
        counts = np.bincount(cell, minlength=len(self._given))
        starts = np.cumsum(counts) - counts
        sorted_cell = cell[order]
        number = np.empty(len(cell), np.int64)
        number[order] = np.arange(len(cell)) + (self._given - starts)[sorted_cell]
        self._given += counts
        assert self._given.max() < self.RESERVED, "ids of strangers stay free"
        return self._ids(cell, number)

    def strangers(self, rng: np.random.Generator, rows: int) -> NDArray[np.uint64]:
        """Well-formed ids that no person has."""
        cell = rng.integers(0, len(self._base), rows)
        return self._ids(cell, rng.integers(self.RESERVED, self.SERIALS, rows))


_COMMUNE_AT, _PARTICIPANT_AT, _STATUS_AT = (np.uint64(n) for n in (40, 52, 59))


class Few:
    """A number of each of the few people who have one."""

    def __init__(self, none: int) -> None:
        """none: the number of all others."""
        self._none = np.uint16(none)
        self._people: list[NDArray[np.int64]] = []
        self._numbers: list[NDArray[np.uint16]] = []

    def add(self, people: NDArray[np.int64], numbers: NDArray[np.uint16]) -> None:
        """Note numbers of people (rows, ascending, behind all before)."""
        self._people.append(people)
        self._numbers.append(numbers)

    def of(self, people: NDArray[np.integer]) -> NDArray[np.uint16]:
        """Numbers of some people."""
        if len(self._people) > 1:
            self._people = [np.concatenate(self._people)]
            self._numbers = [np.concatenate(self._numbers)]
        known = self._people[0]
        place = np.searchsorted(known, people)
        is_known = np.append(known, -1)[place] == people
        found = np.append(self._numbers[0], self._none)[place]
        return np.where(is_known, found, self._none)


class Nation(NamedTuple):
    """The people as far as a payday knows them: 12 bytes each.

    `packed` holds the id (40 bits), the commune (12), the number of the participant whose account
    counts on the value date (7; NO_PARTICIPANT for none) and the status on that day (2: ALIVE,
    DECEASED, INVALID). `name` is the number of the name. `above` has the participant whose account
    counts for amounts above the limit of the one that counts, where there is another; `died` the
    month of the death (`months_of`) of who is deceased since a day.
    """

    packed: NDArray[np.uint64]
    name: NDArray[np.uint32]
    names: Names
    cells: Cells
    provinces: Provinces
    above: Few
    died: Few

    @staticmethod
    def unpack(
        packed: NDArray[np.uint64],
    ) -> tuple[NDArray[np.uint64], NDArray[np.uint16], NDArray[np.uint8], NDArray[np.uint8]]:
        """(id, commune, participant, status) of packed words."""
        return (
            packed & np.uint64((1 << 40) - 1),
            ((packed >> _COMMUNE_AT) & np.uint64(0xFFF)).astype(np.uint16),
            ((packed >> _PARTICIPANT_AT) & np.uint64(0x7F)).astype(np.uint8),
            (packed >> _STATUS_AT).astype(np.uint8),
        )


class Fates(NamedTuple):
    """People whose fate is decided beforehand, so that small tables show every reason too.

    Rows of the register, ascending, and the number of the reason that shall befall them; zero is a
    person about whom nothing is wrong.
    """

    people: NDArray[np.int64]
    reasons: NDArray[np.int64]

    def within(self, first: int, end: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """(row in the chunk, reason) of the people of a chunk."""
        low, high = np.searchsorted(self.people, [first, end])
        return self.people[low:high] - first, self.reasons[low:high]


POPULATION = pa.schema(
    [
        ("person_id", pa.uint64()),
        ("name", pa.string()),
        ("birth_date", pa.date32()),
        ("status", pa.dictionary(pa.int32(), pa.string())),
        ("status_since", pa.date32()),
        ("household_id", pa.uint64()),
        ("commune", pa.dictionary(pa.int32(), pa.string())),
    ]
)
_POPULATION_STREAM = 1
_OWN_FAMILY_NAME = 0.35
"""Share of household members with another family name than the household, such as the wife."""
_BORN_ELSEWHERE = 0.12
ARREARS_MONTHS = 2
"""So many months before its period a payday is for in its arrears."""
_STATUS_NULL, _STATUS_TODAY = 0.3, 0.1
"""Among the deceased, missing and revoked: without a date; from the value date itself."""


def _births(value_day: draw.Day) -> NDArray[np.int32]:
    """Days of birth by a uniform 16-bit field, in the shape of AGE_WEIGHTS."""
    cumulative = np.concatenate([[0.0], np.cumsum(AGE_WEIGHTS)])
    at = (np.arange(65536) + 0.5) / 65536 * cumulative[-1]
    ages = np.interp(at, cumulative, AGE_EDGES)
    oldest = int(np.datetime64("1900-01-01", "D").astype(int))
    born = (value_day - ages * 365.25).astype(np.int32)
    days_born: NDArray[np.int32] = np.clip(born, oldest, value_day)
    return days_born


def _households(
    rng: np.random.Generator, rows: int
) -> tuple[NDArray[np.int64], NDArray[np.uint16], NDArray[np.uint16]]:
    """(household in the chunk, commune, uniform field for the family name) of each row."""
    sizes = (
        draw.choice_table(HOUSEHOLD_WEIGHTS)[draw.fields(rng, rows // 3 + 64)].astype(np.int64) + 1
    )
    while sizes.sum() < rows:
        sizes = np.concatenate([sizes, sizes])
    household = np.repeat(np.arange(len(sizes)), sizes)[:rows]
    homes = int(household[-1]) + 1
    commune = rng.integers(0, COMMUNES_COUNT, homes, dtype=np.uint16)
    return household, commune[household], draw.fields(rng, homes)[household]


def months_of(period: NDArray[np.integer]) -> NDArray[np.integer]:
    """Months since the year 0 of periods yyyymm: one that lies earlier has fewer."""
    return period // 100 * 12 + period % 100 - 1


def _months_of_days(days: NDArray[np.int32]) -> NDArray[np.uint16]:
    """The same of days since 1970."""
    months = days.astype("datetime64[D]").astype("datetime64[M]").astype(np.int64)
    return (months + 1970 * 12).astype(np.uint16)


def _statuses(
    rng: np.random.Generator, rows: int, world: World, fates: Fates
) -> tuple[NDArray[np.uint8], NDArray[np.int32], NDArray[np.bool_], NDArray[np.uint8]]:
    """(status, since, since is null, status on the value date) of a chunk, and its fates obeyed.

    A status that begins after the value date (as many deaths again as half of those before it) does
    not hold yet. Whose fate is to be deceased died before all that lines are for.
    """
    value_day, rates = world.value_day, world.rates
    shares = (rates.person_deceased, rates.person_record_invalid, rates.person_deceased / 2)
    chosen = np.full(rows, -1, np.int8)
    hits, which = draw.sparse(rng, rows, shares)
    chosen[hits] = which
    fate = np.full(len(fates.reasons), -1, np.int8)
    fate[fates.reasons == 8] = 0
    fate[fates.reasons == 9] = 1
    chosen[fates.people] = fate
    hits = np.flatnonzero(chosen >= 0)
    kind = chosen[hits]

    status = np.zeros(rows, np.uint8)
    invalid = rng.integers(2, 4, len(hits))
    later_invalid = rng.random(len(hits)) < 0.2
    status[hits] = np.where((kind == 1) | ((kind == 2) & later_invalid), invalid, 1)
    since = np.zeros(rows, np.int32)
    missing = np.ones(rows, np.bool_)
    past = value_day - rng.integers(1, 700, len(hits))
    future = value_day + rng.integers(1, 300, len(hits))
    when = rng.random(len(hits))
    since[hits] = np.where(kind == 2, future, np.where(when < _STATUS_TODAY, value_day, past))
    missing[hits] = (kind != 2) & (when > 1 - _STATUS_NULL)
    fated = fates.people[fates.reasons == 8]
    earliest = months_of(np.array([world.period])) - ARREARS_MONTHS
    missing[fated] |= _months_of_days(since[fated]) > earliest
    effective = np.zeros(rows, np.uint8)
    effective[hits] = np.array([DECEASED, INVALID, ALIVE], np.uint8)[kind]
    return status, since, missing, effective


def write_population(world: World, names: Names, provinces: Provinces, fates: Fates) -> Nation:
    """Write population.parquet in register order, households together; participants stay open."""
    people, value_day = world.people, world.value_day
    nation = Nation(
        np.empty(people, np.uint64),
        np.empty(people, np.uint32),
        names,
        Cells(provinces, value_day),
        provinces,
        Few(NO_PARTICIPANT),
        Few(0),
    )
    births = _births(value_day)
    first_day = int(births[-1])
    years = np.arange(first_day, value_day + 1).astype("datetime64[D]").astype("datetime64[Y]")
    year_of = (years.astype(np.int64) + 1970).astype(np.int16)
    homes = 1
    with draw.TableFile(world.folder / "population.parquet", POPULATION) as file:
        for number, first, end in draw.chunks(people):
            rows = end - first
            rng = draw.generator(world.seed, _POPULATION_STREAM, number)
            household, commune, family_field = _households(rng, rows)
            sex = (draw.fields(rng, rows) & 1).astype(np.uint8)
            own = draw.fields(rng, rows) < int(_OWN_FAMILY_NAME * 65536)
            family = names.family_table[np.where(own, draw.fields(rng, rows), family_field)]
            name = names.numbers(sex, family, draw.fields(rng, rows), draw.fields(rng, rows))
            birth = births[draw.fields(rng, rows)]
            province = provinces.commune_provinces[commune]
            away, _ = draw.sparse(rng, rows, [_BORN_ELSEWHERE])
            province[away] = rng.integers(0, len(provinces.codes), len(away))
            person_id = nation.cells.people(province, sex, year_of[birth - first_day])
            within = Fates(*fates.within(first, end))
            status, since, missing, effective = _statuses(rng, rows, world, within)
            dead = np.flatnonzero((effective == DECEASED) & ~missing)
            nation.died.add(first + dead, _months_of_days(since[dead]))
            file.write(
                [
                    pa.array(person_id),
                    names.register_column(name),
                    draw.days(birth, np.zeros(rows, np.bool_)),
                    draw.dictionary(status, STATUSES),
                    draw.days(since, missing),
                    pa.array((household + homes).astype(np.uint64)),
                    draw.dictionary(commune, provinces.communes),
                ]
            )
            homes += int(household[-1]) + 1
            nation.packed[first:end] = (
                person_id
                | (commune.astype(np.uint64) << _COMMUNE_AT)
                | (np.uint64(NO_PARTICIPANT) << _PARTICIPANT_AT)
                | (effective.astype(np.uint64) << _STATUS_AT)
            )
            nation.name[first:end] = name
            world.progress("population", end, people)
    return nation


def set_participants(nation: Nation, first: int, participant: NDArray[np.integer]) -> None:
    """Note for a run of people the participant whose account counts; they had none noted."""
    part = nation.packed[first : first + len(participant)]
    part ^= (np.uint64(NO_PARTICIPANT) ^ participant.astype(np.uint64)) << _PARTICIPANT_AT
