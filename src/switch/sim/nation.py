"""An invented nation: people with citizen ids and names, and the accounts they registered.

Writes population.parquet and accounts.parquet (docs: contract, "Tables in") and keeps 12 bytes a
person in memory for the payday that is written afterwards. Everything follows from the seed: each
chunk of each table has its own numpy Generator, so no table depends on another one's draws.

A citizen id is province (3 digits), century and sex (1), year of birth (2), serial (6), the layout
of Decree 137/2015. Serials are counted per (province, sex, year), so ids never repeat.
"""

from __future__ import annotations

import base64
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

Progress = Callable[[str, int, int], None]
Day = int
"""Days since 1970-01-01."""

GROUP_ROWS = 1 << 20
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
    """How often things go wrong, as shares of the lines (of people where the person is at fault).

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


def generator(seed: int, table: int, chunk: int = 0) -> np.random.Generator:
    """The only source of randomness: a stream of its own for each chunk of each table."""
    sequence = np.random.SeedSequence(entropy=seed, spawn_key=(table, chunk))
    return np.random.Generator(np.random.PCG64(sequence))


def fields(rng: np.random.Generator, rows: int) -> NDArray[np.uint16]:
    """Uniform 16-bit fields, the input of choice tables."""
    return rng.integers(0, 1 << 16, rows, dtype=np.uint16)


def choice_table(weights: Sequence[float] | NDArray[np.float64]) -> NDArray[np.uint16]:
    """A table of 65,536 entries that turns a uniform 16-bit field into a weighted choice."""
    total = np.cumsum(np.asarray(weights, dtype=np.float64))
    edges = np.rint(total / total[-1] * 65536).astype(np.int64)
    counts = np.diff(edges, prepend=0)
    return np.repeat(np.arange(len(counts), dtype=np.uint16), counts)


def sparse(
    rng: np.random.Generator, rows: int, rates: Sequence[float]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows that are hit, ascending, and by which of the exclusive rates (any size, exactly)."""
    uniform = rng.random(rows)
    edges = np.cumsum(np.asarray(rates, dtype=np.float64))
    hits = np.flatnonzero(uniform < edges[-1])
    return hits, np.searchsorted(edges, uniform[hits], side="right")


def chunks(rows: int) -> list[tuple[int, int, int]]:
    """(number, first row, end row) of each chunk of at most GROUP_ROWS rows."""
    return [
        (number, first, min(first + GROUP_ROWS, rows))
        for number, first in enumerate(range(0, rows, GROUP_ROWS))
    ]


def dictionary(index: NDArray[Any], values: Sequence[str]) -> pa.DictionaryArray:
    """Dictionary array of these values; an index outside them is null."""
    narrow = index.astype(np.int16)
    missing = narrow >= len(values)
    indices = pa.array(narrow, mask=missing if missing.any() else None)
    return pa.DictionaryArray.from_arrays(indices, pa.array(values, pa.string()))


def days(values: NDArray[np.int32], missing: NDArray[np.bool_]) -> pa.Array:
    """Date column from days since 1970; null where missing."""
    return pa.array(values, pa.int32(), mask=missing).cast(pa.date32())


class TableFile:
    """A Parquet file of full row groups, whatever the sizes of the pieces that come in.

    Columns may be dictionary arrays while the file declares them utf8: the declared schema is what
    readers see, the dictionaries are only how the bytes are laid.
    """

    def __init__(
        self, path: Path, declared: pa.Schema, encodings: Mapping[str, str] | None = None
    ) -> None:
        self._path = path
        self._declared = declared
        self._encodings = dict(encodings or {})
        self._writer: pq.ParquetWriter | None = None
        self._pending: list[pa.Table] = []
        self._pending_rows = 0
        self.rows = 0

    def write(self, columns: Sequence[pa.Array]) -> None:
        table = pa.Table.from_arrays(list(columns), names=self._declared.names)
        self._pending.append(table)
        self._pending_rows += table.num_rows
        self.rows += table.num_rows
        while self._pending_rows >= GROUP_ROWS:
            self._flush(GROUP_ROWS)

    def _flush(self, rows: int) -> None:
        table = pa.concat_tables(self._pending)
        self._group(table.slice(0, rows))
        rest = table.slice(rows)
        self._pending = [rest] if rest.num_rows else []
        self._pending_rows = rest.num_rows

    def _group(self, table: pa.Table) -> None:
        if self._writer is None:
            schema = table.schema
            numeric = [f.name for f in schema if pa.types.is_primitive(f.type)]
            self._writer = pq.ParquetWriter(
                self._path,
                schema,
                compression="zstd",
                compression_level=1,
                use_dictionary=[f.name for f in schema if pa.types.is_dictionary(f.type)],
                column_encoding=self._encodings or None,
                dictionary_pagesize_limit=1 << 27,
                write_statistics=numeric,
                store_schema=False,
            )
        self._writer.write_table(table, row_group_size=GROUP_ROWS)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None and (self._pending or self._writer is None):
            empty = pa.Table.from_batches([], self._declared)
            self._pending = self._pending or [empty]
            self._flush(self._pending_rows)
        if self._writer is not None:
            stored = base64.b64encode(self._declared.serialize().to_pybytes())
            self._writer.add_key_value_metadata({"ARROW:schema": stored.decode("ascii")})
            self._writer.close()


def without_marks(text: str) -> str:
    kept = (c for c in unicodedata.normalize("NFD", text) if not unicodedata.combining(c))
    return "".join(kept).replace("đ", "d").replace("Đ", "D")


_TONES = [
    (old, new)
    for olds, news in (("òóỏõọ", "àáảãạ"), ("òóỏõọ", "èéẻẽẹ"), ("ùúủũụ", "ỳýỷỹỵ"))
    for old_first, new_last in zip(olds, news, strict=True)
    for base in [without_marks(new_last)]
    for old, new in [(old_first + base, without_marks(old_first) + new_last)]
]


def other_tone_place(text: str) -> str:
    """Hoà for Hòa: the tone on the second vowel of an open oa, oe, uy."""
    for old, new in _TONES:
        if text.endswith(old):
            return text[: -len(old)] + new
    return text


class Style(NamedTuple):
    """One way in which agencies write names; all of them match by the rule of names."""

    weight: float
    spell: Callable[[str], str]
    lead: str = ""
    gap: str = " "


STYLES = (
    Style(0.55, str),
    Style(0.20, str.upper),
    Style(0.10, lambda text: without_marks(text).upper()),
    Style(0.05, other_tone_place),
    Style(0.02, lambda text: unicodedata.normalize("NFD", text)),
    Style(0.04, str, lead=" ", gap="  "),
    Style(0.04, without_marks),
)
UNUSABLE = (
    "",
    "   ",
    "Nguyễn Văn\tAn",
    "Trần\x00 Thị Hoa",
    "Lê\u200b Thị Thu",
    "Phạm Văn\u2028Hùng",
    "Võ Thị\u2029Mai",
    "Đặng\x7f Văn Bình",
    "Nguyễn " + "Văn " * 33 + "Án",
)
LONGEST_USABLE = "Nguyễn " + "Văn " * 32 + "Hoàng"
"""140 characters: just within the limit, and nobody's name."""
assert len(UNUSABLE[-1]) == 141
assert len(LONGEST_USABLE) == 140


class Names:
    """Texts of names by number.

    A name is prefix * width + given, where a prefix is a family and a middle name (men's first) and
    width the count of given names of the longer of the two lists. A text is two table positions,
    `prefix_at` and `given_at`, which know the style of writing too.
    """

    def __init__(self, rows: Sequence[Mapping[str, str]]) -> None:
        def words(kind: str, sex: str) -> tuple[list[str], list[float]]:
            found = [r for r in rows if r["kind"] == kind and r["sex"] in (sex, "any")]
            return [r["text"] for r in found], [float(r["weight"]) for r in found]

        families, family_weights = words("family", "any")
        middles = [words("middle", sex) for sex in "mf"]
        givens = [words("given", sex) for sex in "mf"]
        self.family_table = choice_table(family_weights)
        self.middle_tables = np.stack([choice_table(weights) for _, weights in middles])
        self.given_tables = np.stack([choice_table(weights) for _, weights in givens])
        self.middle_counts = np.array([len(m) for m, _ in middles], np.uint32)
        self.women_from = len(families) * len(middles[0][0])
        self.prefix_count = self.women_from + len(families) * len(middles[1][0])
        self.width = max(len(texts) for texts, _ in givens)
        self.count = self.prefix_count * self.width

        padded = [texts + texts[:1] * (self.width - len(texts)) for texts, _ in givens]
        given_words = padded[0] + padded[1]
        pairs = [(f, m) for texts, _ in middles for f in families for m in texts]
        words_of_prefixes = {word for pair in pairs for word in pair}
        prefix_texts: list[str] = []
        given_texts: list[str] = []
        for style in STYLES:
            spelled = {w: " ".join(map(style.spell, w.split())) for w in words_of_prefixes}
            prefix_texts += [
                style.lead + spelled[f] + style.gap + spelled[m] + style.gap for f, m in pairs
            ]
            given_texts += [style.spell(word) for word in given_words]
        self.unusable_at = len(prefix_texts)
        self.longest_at = self.unusable_at + len(UNUSABLE)
        self.blank_at = len(given_texts)
        self._prefixes = pa.array([*prefix_texts, *UNUSABLE, LONGEST_USABLE], pa.string())
        self._givens = pa.array([*given_texts, ""], pa.string())
        keys = np.array([without_marks(word).upper() for word in given_words])
        _, self._given_keys = np.unique(keys, return_inverse=True)

    def numbers(
        self,
        sex: NDArray[np.uint8],
        family: NDArray[np.uint16],
        middle: NDArray[np.uint16],
        given: NDArray[np.uint16],
    ) -> NDArray[np.uint32]:
        """Names of men (0) and women (1) from a family and two uniform 16-bit fields."""
        at = sex.astype(np.int64) << 16
        prefix = family * self.middle_counts[sex] + self.middle_tables.ravel()[at + middle]
        prefix += sex * np.uint32(self.women_from)
        given_index = self.given_tables.ravel()[at + given]
        number: NDArray[np.uint32] = prefix * np.uint32(self.width) + given_index
        return number

    def places(
        self, number: NDArray[np.uint32], style: NDArray[np.uint16]
    ) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """(prefix_at, given_at) of names written in these styles."""
        prefix = (number // np.uint32(self.width)).astype(np.int32)
        given = number.astype(np.int32) - prefix * np.int32(self.width)
        given += (prefix >= self.women_from) * np.int32(self.width)
        step = style.astype(np.int32)
        return prefix + step * self.prefix_count, given + step * (2 * self.width)

    def other_given(self, rng: np.random.Generator, given_at: NDArray[np.int32]) -> NDArray[Any]:
        """Positions of given names, in the same style, whose key differs."""
        block = 2 * self.width
        base, word = np.divmod(given_at, block)
        other = rng.integers(0, block, len(given_at))
        while (same := self._given_keys[other] == self._given_keys[word]).any():
            other = np.where(same, (other + 1) % block, other)
        return (base * block + other).astype(np.int32)

    def texts(self, prefix_at: NDArray[np.int32], given_at: NDArray[np.int32]) -> pa.StringArray:
        heads = self._prefixes.take(pa.array(prefix_at))
        return pc.binary_join_element_wise(heads, self._givens.take(pa.array(given_at)), "")

    def register_column(self, number: NDArray[np.uint32]) -> pa.DictionaryArray:
        """The register's writing, as a dictionary of the names that occur."""
        used = np.flatnonzero(np.bincount(number, minlength=self.count)).astype(np.uint32)
        position = np.zeros(self.count, np.int32)
        position[used] = np.arange(len(used), dtype=np.int32)
        values = self.texts(*self.places(used, np.zeros(len(used), np.uint16)))
        return pa.DictionaryArray.from_arrays(pa.array(position[number]), values)


class Provinces(NamedTuple):
    """Communes and id prefixes, from provinces.csv."""

    codes: NDArray[np.int64]
    """Province codes of citizen ids, ascending."""
    commune_names: list[str]
    """Invented five digits: the province since 2025 (2) and a number (3)."""
    commune_provinces: NDArray[np.uint16]
    """Index of the province, by commune."""

    @classmethod
    def of(cls, rows: Sequence[Mapping[str, str]]) -> Self:
        codes = np.array([int(row["cccd_province_code"]) for row in rows], np.int64)
        owner = np.sort(np.arange(COMMUNES_COUNT) % len(codes)).astype(np.uint16)
        counters: dict[int, int] = {}
        names = []
        for index in owner:
            province = int(rows[int(index)]["gso_code_2025"])
            counters[province] = counters.get(province, 0) + 1
            names.append(f"{province:02d}{counters[province]:03d}")
        return cls(codes, names, owner)


class Cells:
    """Hands out citizen ids: a counter for each (province, sex, year of birth)."""

    SERIALS = 1_000_000
    RESERVED = 990_000
    """Counts from here on are never given to people, so they make ids that nobody has."""

    def __init__(self, provinces: Provinces, value_day: Day) -> None:
        last = int(np.datetime64(value_day, "D").astype("datetime64[Y]").astype(int)) + 1970
        self.first_year = max(1900, last - AGE_EDGES[-1])
        year = np.arange(self.first_year, last + 1)
        sex = np.arange(2)
        digit = (year[None, :] >= 2000) * 2 + sex[:, None]
        tail = digit * 10**8 + (year % 100)[None, :] * 10**6
        self.years = len(year)
        self._base = (provinces.codes[:, None, None] * 10**9 + tail).ravel().astype(np.uint64)
        self._given = np.zeros(len(self._base), np.int64)

    def _ids(self, cell: NDArray[Any], count: NDArray[np.int64]) -> NDArray[np.uint64]:
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


class Nation(NamedTuple):
    """What a payday knows of the people: 12 bytes each.

    `packed` holds the id (40 bits), the commune (12), the number of the participant whose account
    counts on the value date (7; NO_PARTICIPANT for none) and the status on that day (2: ALIVE,
    DECEASED, INVALID). `name` is the number of the name.
    """

    packed: NDArray[np.uint64]
    name: NDArray[np.uint32]
    names: Names
    cells: Cells
    provinces: Provinces

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
_STATUS_NULL, _STATUS_TODAY = 0.3, 0.1
"""Among the deceased, missing and revoked: without a date; from the value date itself."""


def _births(value_day: Day) -> NDArray[np.int32]:
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
    sizes = choice_table(HOUSEHOLD_WEIGHTS)[fields(rng, rows // 3 + 64)].astype(np.int64) + 1
    while sizes.sum() < rows:
        sizes = np.concatenate([sizes, sizes])
    household = np.repeat(np.arange(len(sizes)), sizes)[:rows]
    homes = int(household[-1]) + 1
    commune = rng.integers(0, COMMUNES_COUNT, homes, dtype=np.uint16)
    return household, commune[household], fields(rng, homes)[household]


def _statuses(
    rng: np.random.Generator, rows: int, value_day: Day, rates: Rates, fates: Fates
) -> tuple[NDArray[np.uint8], NDArray[np.int32], NDArray[np.bool_], NDArray[np.uint8]]:
    """(status, since, since is null, status on the value date) of a chunk, and its fates obeyed.

    A status that begins after the value date (as many deaths again as half of those before it) does
    not hold yet.
    """
    shares = (rates.person_deceased, rates.person_record_invalid, rates.person_deceased / 2)
    chosen = np.full(rows, -1, np.int8)
    hits, which = sparse(rng, rows, shares)
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
    effective = np.zeros(rows, np.uint8)
    effective[hits] = np.array([DECEASED, INVALID, ALIVE], np.uint8)[kind]
    return status, since, missing, effective


def write_population(
    path: Path,
    people: int,
    seed: int,
    value_day: Day,
    rates: Rates,
    names: Names,
    provinces: Provinces,
    fates: Fates,
    progress: Progress,
) -> Nation:
    """Writes population.parquet in register order, households together; participants stay open."""
    nation = Nation(
        np.empty(people, np.uint64),
        np.empty(people, np.uint32),
        names,
        Cells(provinces, value_day),
        provinces,
    )
    births = _births(value_day)
    first_day = int(births[-1])
    years = np.arange(first_day, value_day + 1).astype("datetime64[D]").astype("datetime64[Y]")
    year_of = (years.astype(np.int64) + 1970).astype(np.int16)
    homes = 1
    with TableFile(path, POPULATION) as file:
        for number, first, end in chunks(people):
            rows = end - first
            rng = generator(seed, _POPULATION_STREAM, number)
            household, commune, family_field = _households(rng, rows)
            sex = (fields(rng, rows) & 1).astype(np.uint8)
            own = fields(rng, rows) < int(_OWN_FAMILY_NAME * 65536)
            family = names.family_table[np.where(own, fields(rng, rows), family_field)]
            name = names.numbers(sex, family, fields(rng, rows), fields(rng, rows))
            birth = births[fields(rng, rows)]
            province = provinces.commune_provinces[commune]
            away, _ = sparse(rng, rows, [_BORN_ELSEWHERE])
            province[away] = rng.integers(0, len(provinces.codes), len(away))
            person_id = nation.cells.people(province, sex, year_of[birth - first_day])
            within = Fates(*fates.within(first, end))
            status, since, missing, effective = _statuses(rng, rows, value_day, rates, within)
            file.write(
                [
                    pa.array(person_id),
                    names.register_column(name),
                    days(birth, np.zeros(rows, np.bool_)),
                    dictionary(status, STATUSES),
                    days(since, missing),
                    pa.array((household + homes).astype(np.uint64)),
                    dictionary(commune, provinces.commune_names),
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
            progress("population", end, people)
    return nation


def set_participants(nation: Nation, first: int, participant: NDArray[np.integer[Any]]) -> None:
    """Notes for a run of people whose account counts; they had none noted before."""
    part = nation.packed[first : first + len(participant)]
    part ^= (np.uint64(NO_PARTICIPANT) ^ participant.astype(np.uint64)) << _PARTICIPANT_AT
