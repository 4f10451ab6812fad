"""People of an event: citizens in real communes, with names, and accounts at real institutions.

All in columns, so that a million of them are drawn in seconds. Nobody of them exists.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from switch import schema
from switch.sim.world import draw
from switch.sim.world.institutions import package_rows, write_participants
from switch.sim.world.names import STYLES, Names
from switch.sim.world.nation import Cells, Provinces

Rows = NDArray[np.int64]
"""Numbers of people, from 0."""

POST = "VNPOST"
"""The participant that pays over counters; its pay points are the communes."""
_POPULATION = draw.arrow_schema(schema.POPULATION, codes=draw.CODES, ids=pa.uint64())
_REPRESENTED = draw.arrow_schema(schema.ACCOUNTS, codes=draw.CODES, ids=pa.uint64())
_ACCOUNTS = draw.arrow_schema(
    schema.ACCOUNTS, codes=draw.CODES, ids=pa.uint64(), without={"representative"}
)
_OLDEST = 100


class People(NamedTuple):
    """Citizens by number, in columns."""

    ids: NDArray[np.uint64]
    names: NDArray[np.uint32]
    """Numbers of names in `book`."""
    commune: NDArray[np.uint16]
    """Index of the commune in `provinces.communes`."""
    book: Names
    provinces: Provinces

    @classmethod
    def drawn(
        cls, rng: np.random.Generator, commune: NDArray[np.uint16], day: dt.date, youngest: int
    ) -> Self:
        """A citizen in each of these communes. youngest: the least age, in years, on a day."""
        book = Names(package_rows("names.csv"))
        provinces = Provinces.of(package_rows("provinces.csv"), package_rows("communes.csv"))
        rows = len(commune)
        sex = rng.integers(0, 2, rows, dtype=np.uint8)
        year = (day.year - 1 - rng.integers(youngest, _OLDEST, rows)).astype(np.int16)
        cells = Cells(provinces, (day - dt.date(1970, 1, 1)).days)
        ids = cells.people(provinces.commune_provinces[commune], sex, year)
        family = book.family_table[draw.fields(rng, rows)]
        names = book.numbers(sex, family, draw.fields(rng, rows), draw.fields(rng, rows))
        return cls(ids, names, commune, book, provinces)

    def register(
        self, dead: Rows, known: NDArray[np.bool_], household: Rows | None = None
    ) -> pa.Table:
        """The population register: who is dead since always, and who is known to it at all.
        household: number of each citizen's, where there are such."""
        status = np.zeros(len(self.ids), np.int16)
        status[dead] = schema.LIFE.index("deceased")
        rows = np.flatnonzero(known)
        born = np.full(len(rows), np.datetime64("1950-09-02").astype(int), np.int32)
        none = np.ones(len(rows), bool)
        homes = pa.nulls(len(rows), pa.string())
        if household is not None:
            homes = pa.array(household[rows]).cast(pa.string())
        return pa.table(
            [
                pa.array(self.ids[rows]),
                self.book.register_column(self.names[rows]).cast(pa.string()),
                draw.days(born, ~none),
                draw.dictionary(status[rows], schema.LIFE).cast(draw.CODES),
                draw.days(born, none),
                homes,
                draw.dictionary(self.commune[rows], self.provinces.communes).cast(draw.CODES),
            ],
            schema=_POPULATION,
        )

    def written(self, rng: np.random.Generator, rows: Rows, wrong: NDArray[np.bool_]) -> pa.Array:
        """Names of people as agencies write them, with another given name where it is wrong."""
        styles = draw.choice_table([style.weight for style in STYLES])
        places = self.book.places(self.names[rows], styles[draw.fields(rng, len(rows))])
        prefix_at, given_at = places
        given_at = given_at.copy()
        given_at[wrong] = self.book.other_given(rng, given_at[wrong])
        return self.book.texts(prefix_at, given_at)

    def communes(self, rows: Rows) -> pa.Array:
        """Codes of the communes of people."""
        return draw.dictionary(self.commune[rows], self.provinces.communes)


class Accounts(NamedTuple):
    """Accounts of people, in columns: rows of the register, each at a participant."""

    person: Rows
    participant: NDArray[np.int64]
    priority: NDArray[np.uint8]
    holder: Rows
    """The person or their representative, who has the account."""
    until: dt.date | None = None
    """The last day of the authority of representatives."""

    @classmethod
    def of(cls, person: Rows, participant: NDArray[np.int64], priority: int) -> Self:
        return cls(person, participant, np.full(len(person), priority, np.uint8), person)

    def held_by(self, holder: Rows, until: dt.date) -> Self:
        """The accounts of others, who receive there for the persons until a day."""
        return self._replace(holder=holder, until=until)

    def register(self, people: People, codes: Sequence[str], kinds: Sequence[str]) -> pa.Table:
        """Rows of the account register. codes, kinds: of the participants; at POST the account is
        the pay point of the person's commune."""
        at_post = self.participant == codes.index(POST)
        number = pa.array(10**9 + self.holder * 7 + self.priority).cast(pa.string())
        points = people.communes(self.person).cast(pa.string())
        account = pa.array(
            np.where(at_post, points.to_numpy(False), number.to_numpy(False)), pa.string()
        )
        rows = len(self.person)
        known = {kind: at for at, kind in enumerate(schema.ACCOUNT_KINDS)}
        kind_of = np.array([known.get(kind, 0) for kind in kinds])
        none = draw.days(np.zeros(rows, np.int32), np.ones(rows, bool))
        columns = [
            pa.array(people.ids[self.person]),
            draw.dictionary(self.participant, codes),
            account,
            draw.dictionary(kind_of[self.participant], schema.ACCOUNT_KINDS),
            pa.array(self.priority),
            none,
        ]
        if self.until is None:
            return pa.table([*columns, none], schema=_ACCOUNTS)
        own = self.holder == self.person
        last = np.full(rows, (self.until - dt.date(1970, 1, 1)).days, np.int32)
        who = pa.array(people.ids[self.holder], mask=own)
        return pa.table([*columns, draw.days(last, own), who], schema=_REPRESENTED)


class Institutions(NamedTuple):
    """The participants of an event: the treasury, who is linked, and who pays over counters."""

    codes: list[str]
    kinds: list[str]
    rows: list[dict[str, object]]
    """Rows of the directory, all of them active."""
    shares: NDArray[np.float64]
    """Shares of the accounts of citizens, by participant."""

    @property
    def post(self) -> int:
        """The participant that pays over counters."""
        return self.codes.index(POST)

    @classmethod
    def linked(cls, folder: Path, count: int) -> Self:
        """The largest by their share of accounts. folder: where a whole directory is drafted."""
        whole = write_participants(folder / "every-participant.csv")
        largest = np.argsort(-whole.shares, kind="stable")[:count]
        names = {
            row["bin"] or row["short_name"]: row["short_name"]
            for row in package_rows("participants.csv")
        }
        codes = [whole.codes[at] for at in largest] + [POST, "KBNN"]
        kinds = [whole.kinds[at] for at in largest] + ["cash", "treasury"]
        rows: list[dict[str, object]] = [
            {"participant": code, "short_name": names.get(code, code), "kind": kind}
            for code, kind in zip(codes, kinds, strict=True)
        ]
        shares = np.append(whole.shares[largest], [0.0, 0.0])
        return cls(codes, kinds, rows, shares / shares.sum())

    def directory(self, suspended: Sequence[str] = ()) -> pa.Table:
        """Rows of the directory; those that have not joined are suspended."""
        rows = [
            {**row, "status": "suspended" if row["participant"] in suspended else "active"}
            for row in self.rows
        ]
        return pa.Table.from_pylist(rows)
