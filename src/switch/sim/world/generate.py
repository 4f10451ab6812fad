"""An invented world, from one seed: institutions, people, accounts, a payday and its true answers.

`generate` writes the files that `switch generate` promises (docs: contract, "HOME and commands").
Participants and programmes are real (data/*.csv name their sources); all else is an assumption or
invented.
"""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from switch import schema
from switch.arguments import checked
from switch.errors import EnvironmentFailed, UsageError
from switch.outcomes import brief, in_html
from switch.sim.world import draw, payday
from switch.sim.world.gift import write_gift
from switch.sim.world.institutions import Directory, package_rows, write_debtors, write_participants
from switch.sim.world.names import Names
from switch.sim.world.nation import (
    DEFAULT_RATES,
    NO_PARTICIPANT,
    PEOPLE_MAX,
    Fates,
    Nation,
    Provinces,
    Rates,
    World,
    set_participants,
    write_population,
)
from switch.sim.world.plan import BENEFITS, BENEFITS_COUNT, RATED, Order, Plan

__all__ = ["DEFAULT_RATES", "Generated", "Rates", "generate"]

LINES_MAX = 2**32 - 1


class Generated(NamedTuple):
    """Files of a world, and the declarations of its dossier."""

    folder: Path
    participants: Path
    debtors: Path
    population: Path
    accounts: Path
    paid: Path
    payday: Path
    dossier: Path
    truth: Path
    people_count: int
    account_count: int
    paid_count: int
    declared_count: int
    """Lines of the payday."""
    declared_sum: int
    """Sum of their amounts, dong."""
    gift: Path | None = None
    """Table of a gift by households, where one was asked for."""
    gift_count: int = 0
    """Its lines."""

    def __repr__(self) -> str:
        return brief(self)

    def _repr_html_(self) -> str:
        return in_html(self)


ACCOUNTS = draw.arrow_schema(
    schema.ACCOUNTS, codes=draw.CODES, ids=pa.uint64(), without={"representative"}
)
_ACCOUNTS_STREAM = 2
_OPEN, _EXPIRED, _FUTURE, _LATE, _EARLY, _ALWAYS = range(6)
"""Validity of an account: on the value date; ended before; begins after; and three that are open,
the first since lately, the next since long ago, the last with no dates at all."""
_NONE = -1


class _Pattern(NamedTuple):
    """The accounts of one person: (priority, validity) of each row, and the valid ones in order."""

    weight: float
    rows: tuple[tuple[int, int], ...]
    first: int
    """Position among the rows of the first valid account, or _NONE."""
    second: int = _NONE
    """Position of the next valid one, or _NONE."""
    is_tied: bool = False
    """The smaller participant is the first, whatever its position."""


_PATTERNS = (
    _Pattern(0.850, ((1, _OPEN),), 0),
    _Pattern(0.040, ((1, _OPEN), (2, _OPEN)), 0, 1),
    _Pattern(0.030, ((2, _OPEN), (1, _OPEN)), 1, 0),
    _Pattern(0.030, ((1, _EXPIRED), (2, _OPEN)), 1),
    _Pattern(0.015, ((1, _FUTURE), (2, _OPEN)), 1),
    _Pattern(0.010, ((1, _LATE), (1, _EARLY)), 1, 0),
    _Pattern(0.005, ((1, _EARLY), (1, _ALWAYS)), 1, 0),
    _Pattern(0.010, ((1, _ALWAYS), (1, _ALWAYS)), 0, 1, is_tied=True),
    _Pattern(0.010, ((3, _OPEN), (1, _EXPIRED), (2, _OPEN)), 2, 0),
)
_MISSING_PATTERNS = (
    _Pattern(0, (), _NONE),
    _Pattern(0, ((1, _EXPIRED),), _NONE),
    _Pattern(0, ((1, _FUTURE), (2, _EXPIRED)), _NONE),
)
_ALL = (*_PATTERNS, *_MISSING_PATTERNS)
_ROWS = np.array([len(p.rows) for p in _ALL])
_PRIORITY = np.array([[*(r[0] for r in p.rows), 0, 0, 0][:3] for p in _ALL], np.uint8)
_VALIDITY = np.array([[*(r[1] for r in p.rows), 0, 0, 0][:3] for p in _ALL], np.uint8)
_VALID = np.array([(p.first, p.second) for p in _ALL]).T
_TIED = np.array([p.is_tied for p in _ALL])


def _patterns(
    rng: np.random.Generator, rows: int, rates: Rates, fates: Fates
) -> NDArray[np.uint16]:
    pattern = draw.choice_table([p.weight for p in _PATTERNS])[draw.fields(rng, rows)]
    without, _ = draw.sparse(rng, rows, [rates.account_missing])
    pattern[without] = rng.integers(len(_PATTERNS), len(_ALL), len(without))
    pattern[fates.people] = 0
    lost = fates.people[fates.reasons == 11]
    pattern[lost] = len(_PATTERNS) + np.arange(len(lost)) % len(_MISSING_PATTERNS)
    return pattern


def _validity(
    rng: np.random.Generator, validity: NDArray[np.uint8], value_day: draw.Day
) -> tuple[pa.Array, pa.Array]:
    """(valid_from, valid_to), with the edges of validity well frequented."""
    rows = len(validity)
    where = draw.fields(rng, rows)
    since = (value_day - 1 - (draw.fields(rng, rows) % 3000)).astype(np.int32)
    since[where < 2000] = value_day
    open_start = where > 45000
    until = np.zeros(rows, np.int32)
    open_end = np.ones(rows, np.bool_)
    hits = np.flatnonzero((validity != _OPEN) | (where % 8 == 0))
    kind = validity[hits]
    # A quarter of the offsets is zero: the account ends or begins at the very edge.
    offset = np.maximum(rng.integers(-100, 300, len(hits)), 0).astype(np.int32)
    ends = (kind == _OPEN) | (kind == _EXPIRED)
    until[hits] = np.where(kind == _EXPIRED, value_day - 1 - offset, value_day + offset)
    open_end[hits] = ~ends
    open_start[hits] = np.where(kind == _OPEN, open_start[hits], kind == _ALWAYS)
    since[hits] = np.select(
        [kind == _FUTURE, kind == _LATE, kind == _EARLY, kind == _EXPIRED],
        [
            value_day + 1 + offset,
            value_day - offset % 100,
            value_day - 101 - offset,
            value_day - 400 - offset,
        ],
        since[hits],
    )
    return draw.days(since, open_start), draw.days(until, open_end)


def _note_participants(
    nation: Nation,
    directory: Directory,
    first: int,
    accounts: tuple[NDArray[np.integer], NDArray[np.integer], NDArray[np.uint16]],
) -> None:
    """Tell the nation whose account counts for each of a run of people: the first valid one that
    can be paid, and above the limit of its participant the other one. accounts: pattern and first
    row of each person, participant of each row."""
    pattern, start, participant = accounts
    padded = np.append(participant, np.uint16(NO_PARTICIPANT))
    valid = _VALID[:, pattern]
    one, other = padded[np.where(valid >= 0, start + valid, len(participant))]
    tied = _TIED[pattern]
    one[tied], other[tied] = np.minimum(one, other)[tied], np.maximum(one, other)[tied]
    able = np.append(directory.listed & ~directory.suspended, np.zeros(128, np.bool_))
    limits = np.append(directory.limits, np.zeros(128, np.int64))
    passed = ~able[one] & able[other]
    counts = np.where(passed, other, one)
    set_participants(nation, first, counts)
    # Above the limit of the one that counts: a second with a higher one, or the answer of the first
    # where that was passed over, for then no account can be paid.
    above = (able[one] & able[other] & (limits[other] > limits[one])) | passed
    above &= limits[counts] < schema.CLEARING_LIMIT
    people = np.flatnonzero(above)
    nation.above.add(first + people, np.where(passed, one, other)[people])


def write_accounts(world: World, nation: Nation, directory: Directory, fates: Fates) -> int:
    """Write accounts.parquet in register order, and tell the nation whose account counts for whom.

    Returns the number of rows.
    """
    people, value_day = world.people, world.value_day
    path, encodings = world.folder / "accounts.parquet", {"account": "DELTA_LENGTH_BYTE_ARRAY"}
    kinds = sorted(set(directory.kinds))
    kind_of = np.array([kinds.index(kind) for kind in directory.kinds])
    with draw.TableFile(path, ACCOUNTS, encodings) as file:
        for number, first, end in draw.chunks(people):
            rng = draw.generator(world.seed, _ACCOUNTS_STREAM, number)
            within = Fates(*fates.within(first, end))
            pattern = _patterns(rng, end - first, world.rates, within)
            held = _ROWS[pattern]
            start = np.cumsum(held) - held
            owner = np.repeat(np.arange(end - first), held)
            at = np.arange(len(owner)) - start[owner]
            entry = pattern[owner] * 3 + at
            participant = directory.holders(rng, len(owner), world.rates)
            plain = start[within.people[within.reasons != 11]]
            fated = within.reasons[within.reasons != 11]
            participant[plain] = np.argmax(directory.shares)
            wrong = plain[(fated == 12) | (fated == 13)]
            kind = fated[(fated == 12) | (fated == 13)] - 12
            participant[wrong] = directory.wrong(kind, np.arange(len(wrong)))

            _note_participants(nation, directory, first, (pattern, start, participant))

            valid_from, valid_to = _validity(rng, _VALIDITY.ravel()[entry], value_day)
            serial = np.arange(file.rows, file.rows + len(owner), dtype=np.uint64)
            person_id = Nation.unpack(nation.packed[first:end])[0]
            file.write(
                [
                    pa.array(person_id[owner]),
                    draw.dictionary(participant, directory.codes),
                    directory.account_numbers(serial, participant),
                    draw.dictionary(kind_of[participant], kinds),
                    pa.array(_PRIORITY.ravel()[entry]),
                    valid_from,
                    valid_to,
                ]
            )
            world.progress("accounts", end, people)
        return file.rows


def _check(world: World) -> None:
    def refuse(what: str, remedy: str) -> None:
        raise UsageError(f"{what}. Remedy: {remedy}")

    people, lines, period, most = world.people, world.lines, world.period, BENEFITS_COUNT
    if not 1 <= people <= PEOPLE_MAX:
        refuse(f"people is {people:,}", f"give 1 to {PEOPLE_MAX:,}")
    if not 1 <= lines <= min(most * people, LINES_MAX):
        refuse(
            f"lines is {lines:,} for {people:,} people, who can have {most} benefits each",
            f"give 1 to {min(most * people, LINES_MAX):,} lines, or more people",
        )
    if world.seed < 0:
        refuse(f"seed is {world.seed}", "give zero or more")
    if not (1900 <= period // 100 <= 2999 and 1 <= period % 100 <= 12):
        refuse(f"period is {period}", "give year and month, such as 202611")
    if isinstance(world.value_date, dt.datetime):
        refuse("value date has a time of day", "give the date alone")
    if not 1920 <= world.value_date.year <= 2099:
        what = f"value date is {world.value_date}"
        refuse(what, "give a year from 1920 to 2099, as citizen ids can show it")
    rates = world.rates
    if not all(isinstance(rate, int | float) for rate in rates):
        refuse("rates are shares", "give a number for each")
    if min(rates) < 0 or sum(rates[:RATED]) > 1 or max(rates) > 1:
        refuse("rates are shares", "give 0 to 1, those of the reasons at most 1")


@checked
def generate(
    folder: str | Path,
    people: int,
    lines: int,
    seed: int,
    *,
    period: int = 202611,
    value_date: dt.date = dt.date(2026, 11, 25),
    rates: Rates = DEFAULT_RATES,
    households: bool = False,
    progress: draw.Progress | None = None,
) -> Generated:
    """Write a whole world into `folder`, which is new or empty.

    people, lines: so many of each. period: yyyymm of its entitlements. value_date: of its dossier.
    rates: shares of lines that fail, by reason. seed: another one is another nation. households:
    write a gift, too: gift.parquet has a line a citizen with the household of each, heads first,
    and gift-accounts.parquet (in place of accounts.parquet) one account for all of a household,
    where the head receives for the others until an authority ends; gift-truth.parquet as truth.

    At most seven lines a person, one of each monthly benefit. From 200 lines on every reason
    whose rate is not zero happens at least once. Same arguments, same bytes. `progress` is told
    (table, rows done, rows in all) after each chunk of 2**20 rows.

    Raises UsageError for arguments that make no world, EnvironmentFailed when the disk fails.
    """
    folder, tell = Path(folder), progress or (lambda table, done, rows: None)
    world = World(folder, people, lines, seed, period, value_date, rates, tell)
    _check(world)
    try:
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise UsageError(f"{folder} holds other things. Remedy: give a new folder, or empty it")
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return _written(world, households)
    except OSError as error:
        raise EnvironmentFailed(
            f"{folder} cannot be written: {error}. Remedy: make room or choose another folder"
        ) from error


def _written(world: World, households: bool) -> Generated:
    """All files of a world, once they are written."""
    folder, rates = world.folder, world.rates
    directory = write_participants(folder / "participants.csv")
    debtors = write_debtors(folder / "debtors.csv", BENEFITS)
    names = Names(package_rows("names.csv"))
    provinces = Provinces.of(package_rows("provinces.csv"), package_rows("communes.csv"))
    plan = Plan.of(world.people, world.lines, world.seed, rates)
    nation = write_population(world, names, provinces, plan.fates)
    account_count = write_accounts(world, nation, directory, plan.fates)
    programmes = package_rows("programmes.csv")
    order = Order(world.seed, world.period, rates, directory, debtors, programmes)
    written = payday.write_payday(folder, plan, order, nation, world.progress)
    payday.write_dossier(folder, written, world.value_date)
    gift_count = write_gift(world, directory) if households else 0
    return Generated(
        folder,
        folder / "participants.csv",
        folder / "debtors.csv",
        folder / "population.parquet",
        folder / "accounts.parquet",
        folder / "paid.parquet",
        folder / "payday.parquet",
        folder / "payday.dossier.json",
        folder / "truth.parquet",
        world.people,
        account_count,
        written.paid_count,
        written.declared_count,
        written.amount_sum,
        folder / "gift.parquet" if households else None,
        gift_count,
    )
