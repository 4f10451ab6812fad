"""The gift of an occasion: a line for each citizen of a world, households one behind the other,
with the accounts of heads, who receive for the others as representatives, and the true answers.

Columns IN: population.parquet, whose households stand together, the head first. Whoever registers
the accounts of the gift in place of accounts.parquet is answered as gift-truth.parquet says.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from switch import schema
from switch.reason import Reason
from switch.sim.world import draw, payday
from switch.sim.world.institutions import Directory, package_rows
from switch.sim.world.nation import World, months_of

BENEFIT, AMOUNT = "GIFT", 100_000
"""Programme of the gift, and dong a citizen, as it was on 2 September 2025."""
SOURCE = "MOF"
ENDED_SHARE = 0.01
"""Share of representatives whose authority ended before the value date."""
_STREAM = 6
_GIFT = draw.arrow_schema(
    schema.PAYMENT,
    codes=draw.CODES,
    ids=pa.uint64(),
    without={"creditor_agent", "creditor_account", "end_to_end_id"},
)
_ACCOUNTS = draw.arrow_schema(schema.ACCOUNTS, codes=draw.CODES, ids=pa.uint64())


def write_gift(world: World, directory: Directory) -> int:
    """Write gift.parquet with its dossier, gift-accounts.parquet and gift-truth.parquet.
    Returns the number of lines."""
    folder = world.folder
    programmes = [row["benefit"] for row in package_rows("programmes.csv")]
    debtor = f"37130100{programmes.index(BENEFIT) + 1:04d}"
    with (
        draw.TableFile(folder / "gift.parquet", _GIFT) as table,
        draw.TableFile(folder / "gift-accounts.parquet", _ACCOUNTS) as accounts,
        draw.TableFile(folder / "gift-truth.parquet", payday.TRUTH) as truth,
    ):
        for number, people in enumerate(_whole_households(folder / "population.parquet")):
            first, rows = table.rows, len(people)
            rng = draw.generator(world.seed, _STREAM, number)
            head = _heads(people)
            ended = (rng.random(rows) < ENDED_SHARE) & (head != np.arange(rows))
            participant = directory.holders(rng, rows, world.rates)[head]
            columns = _accounts(people, head, participant, directory, first)
            accounts.write([*columns, *_authority(rng, world, people, head, ended)])
            reason = _answers(world, people, head, ended, participant, directory)
            truth.write(payday.truth_columns(reason, first))
            table.write(
                [
                    pa.array(np.arange(first + 1, first + rows + 1, dtype=np.uint32)),
                    people["person_id"],
                    people["name"],
                    draw.dictionary(np.zeros(rows, np.int16), [BENEFIT]),
                    pa.array(np.full(rows, world.period, np.int32)),
                    pa.array(np.full(rows, AMOUNT, np.int64)),
                    draw.dictionary(np.zeros(rows, np.int16), [debtor]),
                    people["commune"].cast(pa.string()),
                    people["household_id"].cast(pa.string()),
                ]
            )
            world.progress("gift", table.rows, world.people)
        count = table.rows
    name = f"{BENEFIT}-{world.period // 100}-{world.period % 100:02d}"
    declared = payday.Written(count, count * AMOUNT, 0)
    payday.write_dossier(folder, declared, world.value_date, ("gift", SOURCE, name))
    return count


def _whole_households(path: Path) -> Iterator[pa.Table]:
    """The population in pieces that cut no household."""
    left: list[pa.Table] = []
    with pq.ParquetFile(path) as file:
        for number in range(file.num_row_groups):
            group = pa.concat_tables([*left, file.read_row_group(number)]).combine_chunks()
            household = np.asarray(group["household_id"])
            last = int(np.searchsorted(household, household[-1]))
            left = [group.slice(last)]
            if last:
                yield group.slice(0, last).combine_chunks()
    yield from (table.combine_chunks() for table in left)


def _heads(people: pa.Table) -> NDArray[np.int64]:
    """Row of the head of the household of each."""
    household = np.asarray(people["household_id"])
    begins = np.append(True, household[1:] != household[:-1])
    heads: NDArray[np.int64] = np.flatnonzero(begins)[np.cumsum(begins) - 1]
    return heads


def _accounts(
    people: pa.Table,
    head: NDArray[np.int64],
    participant: NDArray[np.uint16],
    directory: Directory,
    first: int,
) -> list[pa.Array]:
    """Columns of accounts up to their validity: each is that of the head."""
    rows = len(people)
    serial = (first + head).astype(np.uint64)
    kinds = sorted(set(directory.kinds))
    kind_of = np.array([kinds.index(kind) for kind in directory.kinds])
    return [
        people["person_id"],
        draw.dictionary(participant, directory.codes),
        directory.account_numbers(serial, participant),
        draw.dictionary(kind_of[participant], kinds),
        pa.array(np.ones(rows, np.uint8)),
        draw.days(np.zeros(rows, np.int32), np.ones(rows, bool)),
    ]


def _authority(
    rng: np.random.Generator,
    world: World,
    people: pa.Table,
    head: NDArray[np.int64],
    ended: NDArray[np.bool_],
) -> list[pa.Array]:
    """(last day, representative) of each account; heads have their own, without an end."""
    rows = len(people)
    own = head == np.arange(rows)
    after = rng.integers(0, 300, rows)
    until = np.where(ended, world.value_day - 1 - after, world.value_day + after).astype(np.int32)
    who = np.asarray(people["person_id"])[head]
    return [draw.days(until, own), pa.array(who, mask=own)]


def _answers(
    world: World,
    people: pa.Table,
    head: NDArray[np.int64],
    ended: NDArray[np.bool_],
    participant: NDArray[np.uint16],
    directory: Directory,
) -> NDArray[np.uint8]:
    """The reason of each line; 0 where it clears."""
    status = people["status"].cast(pa.string())
    since = people["status_since"].cast(pa.int32()).fill_null(world.value_day)
    now = np.asarray(since) <= world.value_day
    dead = now & np.asarray(pc.equal(status, "deceased"))
    gone = now & ~dead & np.asarray(pc.not_equal(status, "alive"))
    # Arrears are owed where the death came in a later month, and go to an account of the person's.
    died = since.cast(pa.date32()).to_numpy().astype("datetime64[M]").astype(np.int64) + 1970 * 12
    known = np.asarray(people["status_since"].is_valid())
    owed = known & (died > int(months_of(np.array([world.period]))[0]))
    own = head == np.arange(len(people))
    reason = np.zeros(len(people), np.uint8)
    reason[directory.suspended[participant]] = Reason.PARTICIPANT_SUSPENDED
    reason[~directory.listed[participant]] = Reason.PARTICIPANT_UNKNOWN
    reason[ended | ((dead | (dead | gone)[head]) & ~own)] = Reason.ACCOUNT_MISSING
    reason[gone] = Reason.PERSON_RECORD_INVALID
    reason[dead & ~owed] = Reason.PERSON_DECEASED
    return reason
