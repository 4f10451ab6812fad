"""An invented world, from one seed: institutions, people, accounts, a payday and its true answers.

`generate` writes the files that `switch generate` promises (docs: contract, "HOME and commands").
Participants and programmes are real (data/*.csv name their sources); who settles for whom, market
shares, limits and suspensions are assumptions, stated in data/simulated_directory.csv and
data/market_shares.csv. People, accounts and lines are invented.
"""

from __future__ import annotations

import csv
import datetime as dt
import re
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from switch.errors import EnvironmentFailed, UsageError
from switch.sim import payday
from switch.sim.nation import (
    DEFAULT_RATES,
    NO_PARTICIPANT,
    PEOPLE_MAX,
    Day,
    Fates,
    Names,
    Nation,
    Progress,
    Provinces,
    Rates,
    TableFile,
    choice_table,
    chunks,
    days,
    dictionary,
    fields,
    generator,
    set_participants,
    sparse,
    write_population,
)

__all__ = ["DEFAULT_RATES", "Generated", "Rates", "generate"]

TREASURY = "KBNN"
COMMERCIAL_DEBTORS = ("970405", "970415", "970418", "970436")
"""Banks that keep a treasury payment account in this world, so that some lines are on-us."""
UNLISTED = ("970498", "970499", "971098")
"""Participants that registers name and the directory lacks."""
LINES_MAX = 2**32 - 1
UNLIMITED = 2**62


class Directory(NamedTuple):
    """Participants in the order of their codes as text; a position is a participant's number.

    Holds the ones that the account register names and the directory lacks as well (`listed` False).
    """

    codes: list[str]
    kinds: list[str]
    listed: NDArray[np.bool_]
    suspended: NDArray[np.bool_]
    limits: NDArray[np.int64]
    """Highest amount of a line, dong; UNLIMITED where there is none."""
    shares: NDArray[np.float64]
    """Market share among active listed participants; zero for the others."""
    digits: NDArray[np.int64]
    """Digits of an account number."""

    def wrong(self, kind: NDArray[Any], at: NDArray[Any]) -> NDArray[np.uint16]:
        """Unlisted (kind 0) or suspended (kind 1) participants, picked by any number."""
        unlisted, suspended = np.flatnonzero(~self.listed), np.flatnonzero(self.suspended)
        picked = np.where(kind == 0, unlisted[at % len(unlisted)], suspended[at % len(suspended)])
        narrow: NDArray[np.uint16] = picked.astype(np.uint16)
        return narrow

    def holders(self, rng: np.random.Generator, rows: int, rates: Rates) -> NDArray[np.uint16]:
        """Participants by market share, with the stated rates of unlisted and suspended ones."""
        participant = choice_table(self.shares)[fields(rng, rows)]
        rates_wrong = (rates.participant_unknown, rates.participant_suspended)
        hits, kind = sparse(rng, rows, rates_wrong)
        participant[hits] = self.wrong(kind, rng.integers(0, 6, len(hits)))
        return participant

    def account_numbers(
        self, number: NDArray[np.uint64], participant: NDArray[Any]
    ) -> pa.StringArray:
        """Account numbers of the bank's length; they differ for numbers below 7 * 10**8.

        Mobile money has phone numbers: 0, then 3 or more, then eight digits.
        """
        phone_of = np.array([kind == "mobile_money" for kind in self.kinds])
        power = 10 ** (self.digits - 1)
        first = np.where(phone_of, 3 * 10**8, power).astype(np.uint64)
        span = np.where(phone_of, 7 * 10**8, 9 * power).astype(np.uint64)
        # 2,654,435,761 has no factor 2, 3, 5 or 7: within a span, numbers are only permuted.
        value = number * np.uint64(2_654_435_761) % span[participant] + first[participant]
        text = pc.cast(pa.array(value), pa.string())
        phone = phone_of[participant]
        if not phone.any():
            return text
        phones = pc.binary_join_element_wise("0", text.filter(pa.array(phone)), "")
        return pc.replace_with_mask(text, pa.array(phone), phones)


class Generated(NamedTuple):
    """What was written, and what the dossier declares."""

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


def package_rows(name: str) -> list[dict[str, str]]:
    """Rows of a packaged table, in file order."""
    text = files("switch").joinpath("data", name).read_text(encoding="utf-8")
    return list(csv.DictReader(text.splitlines()))


def _write_csv(path: Path, header: str, rows: Sequence[Sequence[object]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header.split(","))
        writer.writerows(rows)


def _write_participants(path: Path) -> Directory:
    """participants.csv: the real institutions, in the roles that this world gives them."""
    roles = {row["participant"]: row for row in package_rows("simulated_directory.csv")}
    market = {row["participant"]: row for row in package_rows("market_shares.csv")}
    known: dict[str, dict[str, str]] = {}
    for row in package_rows("participants.csv"):
        code = row["bin"] or row["short_name"]
        role = roles.get(code, {})
        known[code] = {
            "short_name": row["short_name"],
            "name": row["name"],
            "bic": row["bic"],
            "kind": row["kind"],
            "settled_by": role.get("settled_by", ""),
            "net_debit_cap": "",
            "amount_max": role.get("amount_max", ""),
            "status": role.get("status", "active"),
        }
    header = "participant,short_name,name,bic,kind,settled_by,net_debit_cap,amount_max,status"
    _write_csv(path, header, [(code, *row.values()) for code, row in known.items()])

    codes = sorted([*known, *UNLISTED], key=lambda code: code.encode())
    active = [known[c]["status"] == "active" if c in known else False for c in codes]
    share = [float(market[c]["share_percent"]) if c in market else 0.0 for c in codes]
    limits = [known[c]["amount_max"] if c in known else "" for c in codes]
    return Directory(
        codes,
        [known[c]["kind"] if c in known else "bank" for c in codes],
        np.array([c in known for c in codes]),
        np.array([c in known and known[c]["status"] == "suspended" for c in codes]),
        np.array([int(limit) if limit else UNLIMITED for limit in limits], np.int64),
        np.array(share) * np.array(active),
        np.array([int(market[c]["account_digits"]) if c in market else 12 for c in codes]),
    )


def _write_debtors(path: Path) -> list[list[str]]:
    """debtors.csv; returns the accounts of each programme of the payday, the treasury's first."""
    rows = []
    accounts = []
    for number, programme in enumerate(package_rows("programmes.csv")):
        benefit = programme["benefit"]
        own = [(f"37130100{number + 1:04d}", TREASURY, benefit, "")]
        # Two of the four banks each, so that banks differ in what they pay.
        for at in (number % 4, (number + 1) % 4):
            own.append((f"9527{at + 1:02d}{number + 1:06d}", COMMERCIAL_DEBTORS[at], benefit, ""))
        rows += own
        if benefit in payday.MODELS:
            accounts.append([account for account, *_ in own])
    _write_csv(path, "debtor_account,debtor_agent,programme,budget", rows)
    return accounts


ACCOUNTS = pa.schema(
    [
        ("person_id", pa.uint64()),
        ("participant", pa.dictionary(pa.int32(), pa.string())),
        ("account", pa.string()),
        ("kind", pa.dictionary(pa.int32(), pa.string())),
        ("priority", pa.uint8()),
        ("valid_from", pa.date32()),
        ("valid_to", pa.date32()),
    ]
)
_ACCOUNTS_STREAM = 2
_OPEN, _EXPIRED, _FUTURE, _LATE, _EARLY, _ALWAYS = range(6)
"""When an account is valid: on the value date; ended before; begins after; and three that are open,
the first since lately, the next since long ago, the last with no dates at all."""
_NONE, _SMALLER = -1, -2


class _Pattern(NamedTuple):
    """The accounts of one person: (priority, validity) of each row, and which of them counts."""

    weight: float
    rows: tuple[tuple[int, int], ...]
    counts: int
    """Position among the rows, _NONE, or _SMALLER: the smaller participant of two equals."""


_PATTERNS = (
    _Pattern(0.850, ((1, _OPEN),), 0),
    _Pattern(0.040, ((1, _OPEN), (2, _OPEN)), 0),
    _Pattern(0.030, ((2, _OPEN), (1, _OPEN)), 1),
    _Pattern(0.030, ((1, _EXPIRED), (2, _OPEN)), 1),
    _Pattern(0.015, ((1, _FUTURE), (2, _OPEN)), 1),
    _Pattern(0.010, ((1, _LATE), (1, _EARLY)), 1),
    _Pattern(0.005, ((1, _EARLY), (1, _ALWAYS)), 1),
    _Pattern(0.010, ((1, _ALWAYS), (1, _ALWAYS)), _SMALLER),
    _Pattern(0.010, ((3, _OPEN), (1, _EXPIRED), (2, _OPEN)), 2),
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
_COUNTS = np.array([p.counts for p in _ALL])


def _patterns(
    rng: np.random.Generator, rows: int, rates: Rates, fates: Fates
) -> NDArray[np.uint16]:
    pattern = choice_table([p.weight for p in _PATTERNS])[fields(rng, rows)]
    without, _ = sparse(rng, rows, [rates.account_missing])
    pattern[without] = rng.integers(len(_PATTERNS), len(_ALL), len(without))
    pattern[fates.people] = 0
    lost = fates.people[fates.reasons == 11]
    pattern[lost] = len(_PATTERNS) + np.arange(len(lost)) % len(_MISSING_PATTERNS)
    return pattern


def _validity(
    rng: np.random.Generator, validity: NDArray[np.uint8], value_day: Day
) -> tuple[pa.Array, pa.Array]:
    """(valid_from, valid_to), with the edges of validity well frequented."""
    rows = len(validity)
    where = fields(rng, rows)
    since = (value_day - 1 - (fields(rng, rows) % 3000)).astype(np.int32)
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
    return days(since, open_start), days(until, open_end)


def write_accounts(
    path: Path,
    nation: Nation,
    seed: int,
    value_day: Day,
    rates: Rates,
    directory: Directory,
    fates: Fates,
    progress: Progress,
) -> int:
    """Writes accounts.parquet in register order, tells the nation whose account counts for whom.

    Returns the number of rows.
    """
    people = len(nation.packed)
    kinds = sorted(set(directory.kinds))
    kind_of = np.array([kinds.index(kind) for kind in directory.kinds])
    with TableFile(path, ACCOUNTS, {"account": "DELTA_LENGTH_BYTE_ARRAY"}) as file:
        for number, first, end in chunks(people):
            rng = generator(seed, _ACCOUNTS_STREAM, number)
            within = Fates(*fates.within(first, end))
            pattern = _patterns(rng, end - first, rates, within)
            held = _ROWS[pattern]
            start = np.cumsum(held) - held
            owner = np.repeat(np.arange(end - first), held)
            at = np.arange(len(owner)) - start[owner]
            entry = pattern[owner] * 3 + at
            participant = directory.holders(rng, len(owner), rates)
            plain = start[within.people[within.reasons != 11]]
            fated = within.reasons[within.reasons != 11]
            participant[plain] = np.argmax(directory.shares)
            wrong = plain[(fated == 12) | (fated == 13)]
            kind = fated[(fated == 12) | (fated == 13)] - 12
            participant[wrong] = directory.wrong(kind, np.arange(len(wrong)))

            counts = _COUNTS[pattern]
            padded = np.append(participant, NO_PARTICIPANT)
            effective = padded[np.where(counts >= 0, start + counts, len(participant))]
            tied = np.flatnonzero(counts == _SMALLER)
            effective[tied] = np.minimum(padded[start[tied]], padded[start[tied] + 1])
            set_participants(nation, first, effective)

            valid_from, valid_to = _validity(rng, _VALIDITY.ravel()[entry], value_day)
            serial = np.arange(file.rows, file.rows + len(owner), dtype=np.uint64)
            person_id = Nation.unpack(nation.packed[first:end])[0]
            file.write(
                [
                    pa.array(person_id[owner]),
                    dictionary(participant, directory.codes),
                    directory.account_numbers(serial, participant),
                    dictionary(kind_of[participant], kinds),
                    pa.array(_PRIORITY.ravel()[entry]),
                    valid_from,
                    valid_to,
                ]
            )
            progress("accounts", end, people)
        return file.rows


def _check(people: int, lines: int, seed: int, period: int, date: dt.date, batch: str) -> None:
    def refuse(what: str, remedy: str) -> None:
        raise UsageError(f"{what}. Remedy: {remedy}")

    most = payday.BENEFITS_COUNT
    if not 1 <= people <= PEOPLE_MAX:
        refuse(f"people is {people:,}", f"give 1 to {PEOPLE_MAX:,}")
    if not 1 <= lines <= min(most * people, LINES_MAX):
        refuse(
            f"lines is {lines:,} for {people:,} people, who can have {most} benefits each",
            f"give 1 to {min(most * people, LINES_MAX):,} lines, or more people",
        )
    if seed < 0:
        refuse(f"seed is {seed}", "give zero or more")
    if not (1900 <= period // 100 <= 2999 and 1 <= period % 100 <= 12):
        refuse(f"period is {period}", "give year and month, such as 202611")
    if not 1920 <= date.year <= 2099:
        refuse(f"value date is {date}", "give a year from 1920 to 2099, as citizen ids can show it")
    if not re.fullmatch(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,63}", batch):
        refuse(f"batch id is {batch!r}", "use 1 to 64 of A-Z a-z 0-9 . _ - and no dot in front")


def generate(
    folder: Path,
    people: int,
    lines: int,
    seed: int,
    *,
    period: int = 202611,
    value_date: dt.date = dt.date(2026, 11, 25),
    source: str = "VSS",
    batch_id: str = "PAYDAY-2026-11",
    rates: Rates = DEFAULT_RATES,
    progress: Progress | None = None,
) -> Generated:
    """Writes a whole world into `folder` (made if missing, files replaced).

    At most seven lines a person, one of each monthly benefit. From 200 lines on every reason
    whose rate is not zero happens at least once. Same arguments, same bytes. `progress` is told
    (table, rows done, rows in all) after each chunk of 2**20 rows.

    Raises UsageError for arguments that make no world, EnvironmentFailed when the disk fails.
    """
    _check(people, lines, seed, period, value_date, batch_id)
    if min(rates) < 0 or sum(rates[: payday.RATED]) > 1 or max(rates) > 1:
        raise UsageError("rates are shares. Remedy: give 0 to 1, those of the reasons at most 1")
    tell: Progress = progress or (lambda table, done, rows: None)
    value_day = (value_date - dt.date(1970, 1, 1)).days
    try:
        folder.mkdir(parents=True, exist_ok=True)
        directory = _write_participants(folder / "participants.csv")
        debtors = _write_debtors(folder / "debtors.csv")
        names = Names(package_rows("names.csv"))
        provinces = Provinces.of(package_rows("provinces.csv"))
        plan = payday.Plan.of(people, lines, seed, rates)
        nation = write_population(
            folder / "population.parquet",
            people,
            seed,
            value_day,
            rates,
            names,
            provinces,
            plan.fates,
            tell,
        )
        account_count = write_accounts(
            folder / "accounts.parquet",
            nation,
            seed,
            value_day,
            rates,
            directory,
            plan.fates,
            tell,
        )
        order = payday.Order(
            seed, period, rates, directory, debtors, package_rows("programmes.csv")
        )
        written = payday.write_payday(folder, plan, order, nation, tell)
        payday.write_dossier(folder, written, source, batch_id, value_date)
    except OSError as error:
        raise EnvironmentFailed(
            f"{folder} cannot be written: {error}. Remedy: make room or choose another folder"
        ) from error
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
        people,
        account_count,
        written.paid_count,
        written.declared_count,
        written.amount_sum,
    )
