"""The gift of Tet 2026: one gift a person, whichever of two lists names them first.

Resolution 418/NQ-CP of 28 December 2025: 400,000 dong, due by 31 December; 6.28 million people were
expected. Of what 28 of 34 provinces had paid, 1.7 % went to accounts that were linked in VNeID,
38.6 % to accounts known from allowances, 59.7 % in cash; 26 % of the people were on the list of
merit, the rest on that of social protection. How many were on both is assumed.
"""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from switch.sim.events.people import Accounts, Institutions, People, Rows
from switch.sim.events.sheets import (
    ANSWERS,
    CLEARED,
    DEAD,
    OTHER_NAME,
    RETURNS,
    SILENT,
    STRANGER,
    TWICE,
    Sheet,
    sheet,
)
from switch.sim.events.stage import Stage, require
from switch.sim.events.told import Told
from switch.sim.world.nation import COMMUNES_COUNT

PEOPLE = 62_800
"""A hundredth of those who were expected."""
GIFT = 400_000
MERIT_SHARE, BOTH_SHARE = 0.264, 0.02
VNEID_SHARE, ALLOWANCE_SHARE = 0.017, 0.386
DEAD_SHARE, OTHER_NAME_SHARE, STRANGER_SHARE = 0.003, 0.003, 0.001
RETURNED_SHARE, UNPROVEN_SHARE = 0.005, 0.03
"""Shares of lines to accounts, and of those over counters; assumed, as all of what goes wrong."""
PAID_ON, ANSWERED_ON = "2025-12-30", "2026-01-06"
EXPIRES_ON, BACK_ON, CLOSED_ON = "2026-01-30", "2026-02-04", "2026-02-05"
CASH_DAYS = 30
PROGRAMMES = [
    {
        "benefit": benefit,
        "name": f"Gift of Tet 2026: {whom}",
        "purpose": "SSBE",
        "exclusive_group": "TET-2026",
    }
    for benefit, whom in (("TETM", "merit"), ("TETS", "social protection"))
]


class Guests(NamedTuple):
    """Facts of each person before the gift is paid."""

    dead: Rows
    other_name: Rows
    stranger: Rows
    receiver: NDArray[np.int64]
    """Participants whose accounts count."""
    post: int
    """The participant that pays over counters."""
    vneid: Rows
    allowance: Rows


def play(folder: Path, seed: int = 1, share: float = 1.0) -> Told:
    """Play it. folder: a new one; share: of PEOPLE. Raises Surprise where the engine answers other
    than it has to."""
    rng = np.random.default_rng(seed)
    count = round(PEOPLE * share)
    folder.mkdir(parents=True)
    commune = rng.integers(0, COMMUNES_COUNT, count, dtype=np.uint16)
    people = People.drawn(rng, commune, dt.date(2025, 12, 30), 16)
    places = Institutions.linked(folder, 32)
    guests = _guests(rng, count, places)
    stage = Stage(folder, people, places, PROGRAMMES, "2025-12-28", cash_days=CASH_DAYS)
    known = np.ones(count, bool)
    known[guests.stranger] = False
    stage.engine.register(
        population=people.register(guests.dead, known),
        accounts=_accounts(rng, people, places, guests),
        at="2025-12-28",
    )
    merit_count, both = round(count * MERIT_SHARE), round(count * BOTH_SHARE)
    merit = _list(("TET-MERIT", "MOHA", PAID_ON), "TETM", np.arange(merit_count), guests, rng)
    social = np.arange(merit_count - both, count)
    other = _list(("TET-SOCIAL", "MOH", PAID_ON), "TETS", social, guests, rng)
    twice = other.stands("settled") & (other.person < merit_count)
    other.answer[twice] = ANSWERS.index(TWICE)
    other.put(twice, "refused")
    for one in (merit, other):
        stage.run(one, rng)
    _require_named(stage, other, twice)
    for one in (merit, other):
        stage.receivers_answer(one, ANSWERED_ON)
    stage.hand_over(ANSWERED_ON)
    stage.write_back(ANSWERED_ON)
    stage.require_totals()
    for one in (merit, other):
        stage.require_lists(one)
    asked = stage.engine.expire(EXPIRES_ON)["cash"]
    given = stage.points_give_back(asked["number"], BACK_ON)
    require(asked["count"] == given, "all that nobody proved is asked back")
    stage.hand_over(BACK_ON)
    stage.write_back(BACK_ON)
    stage.close(CLOSED_ON, (merit, other))
    stage.require_totals()
    stage.end()
    return _told(stage, guests, twice)


def _guests(rng: np.random.Generator, count: int, places: Institutions) -> Guests:
    """Draw what is known of people: who cannot be paid, and of all others how each is."""
    order = rng.permutation(count)
    edges = np.rint(np.cumsum([DEAD_SHARE, OTHER_NAME_SHARE, STRANGER_SHARE]) * count).astype(int)
    dead, other_name, stranger, paid = np.split(order, edges)
    vneid, allowance, _ = np.split(
        paid, np.rint(np.cumsum([VNEID_SHARE, ALLOWANCE_SHARE]) * len(paid)).astype(int)
    )
    receiver = np.full(count, places.post, np.int64)
    for some in (vneid, allowance):
        receiver[some] = rng.choice(len(places.codes), len(some), p=places.shares)
    return Guests(dead, other_name, stranger, receiver, places.post, vneid, allowance)


def _accounts(
    rng: np.random.Generator, people: People, places: Institutions, guests: Guests
) -> pa.Table:
    """The account register: linked accounts come first, then those of allowances, which some of the
    linked have, too, then the pay point of everybody's commune."""
    everybody = np.arange(len(people.ids))
    too = rng.choice(guests.vneid, len(guests.vneid) // 3, replace=False)
    rest = rng.choice(len(places.codes), len(too), p=places.shares)
    post = np.full(len(everybody), places.post, np.int64)
    parts = (
        Accounts.of(guests.vneid, guests.receiver[guests.vneid], 1),
        Accounts.of(np.append(guests.allowance, too),
                    np.append(guests.receiver[guests.allowance], rest), 2),
        Accounts.of(everybody, post, 9),
    )  # fmt: skip
    return pa.concat_tables([part.register(people, places.codes, places.kinds) for part in parts])


def _list(
    batch: tuple[str, str, str],
    benefit: str,
    person: Rows,
    guests: Guests,
    rng: np.random.Generator,
) -> Sheet:
    """A list as its ministry sends it, before what another list paid."""
    made = sheet(batch, benefit, person, 202601, GIFT)
    made.receiver[:] = guests.receiver[person]
    for rows, answer in (
        (guests.dead, DEAD),
        (guests.other_name, OTHER_NAME),
        (guests.stranger, STRANGER),
    ):
        mine = np.isin(person, rows)
        made.answer[mine] = ANSWERS.index(answer)
        made.receiver[mine] = -1
    made.wrong_name[:] = np.isin(person, guests.other_name)
    paid = made.answer == ANSWERS.index(CLEARED)
    made.put(paid, "settled")
    made.put(~paid, "refused")
    post = made.receiver == guests.post
    luck = rng.random(len(person))
    made.fate[~post & (luck < RETURNED_SHARE)] = RETURNS
    made.fate[post & (luck < UNPROVEN_SHARE)] = SILENT
    return made


def _require_named(stage: Stage, other: Sheet, twice: NDArray[np.bool_]) -> None:
    """Require that who is on both lists is told of the gift that was paid."""
    status = stage.engine.home.path / "out" / other.batch_id / "status.parquet"
    told = pq.read_table(status, columns=["reason_detail"])["reason_detail"]
    named = np.asarray(pc.match_substring(told, "TETM").fill_null(False))
    require(bool((named == twice).all()), "a second gift does not name the first")


def _told(stage: Stage, guests: Guests, twice: NDArray[np.bool_]) -> Told:
    paid = len(guests.receiver) - sum(map(len, (guests.dead, guests.other_name, guests.stranger)))
    channels = {
        "linked in VNeID": len(guests.vneid),
        "accounts of allowances": len(guests.allowance),
        "cash": paid - len(guests.vneid) - len(guests.allowance),
    }
    shares = ", ".join(f"{name} {count / paid:.1%}" for name, count in channels.items())
    facts = {
        "people": f"{len(guests.receiver):,} on two lists",
        "to": shares,
        "on both": f"{int(twice.sum()):,}, each refused once, naming the first gift",
    }
    communes = len(np.unique(stage.people.commune))
    return Told("The gift of Tet 2026", facts, stage.sheets, communes, stage.checks)
