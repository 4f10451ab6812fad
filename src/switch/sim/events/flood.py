"""The flood advance: three months at once in four provinces, and January's national table after it.

Resolution 380/NQ-CP of 25 November 2025: Vietnam Social Security paid December to February at once
in Dak Lak, Gia Lai, Khanh Hoa and Lam Dong. Some 3.4 million people have a pension or an allowance
of social insurance each month, 81 % of them by account. January's table names everybody again: who
had January in advance is refused, and nobody else is. Assumed: how many lines come back and are
freed for January or written back, and how many wait because their holder has no account yet; half
of those claim one in time, and have all three months first.
"""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import NamedTuple

import numpy as np

from switch.sim.events.people import Accounts, Institutions, People, Rows
from switch.sim.events.sheets import ANSWERS, NO_ACCOUNT, RETURNS, TWICE, Sheet, sheet
from switch.sim.events.stage import Stage, require
from switch.sim.events.told import Told
from switch.sim.world.institutions import package_rows
from switch.sim.world.nation import COMMUNES_COUNT

PENSIONERS = 34_000
"""A hundredth of the nation's."""
FLOODED = {"66", "52", "56", "68"}
"""Codes of the four provinces."""
MONTHS = (202512, 202601, 202602)
JANUARY = 1
"""Its place among MONTHS."""
ACCOUNT_SHARE = 0.81
NO_ACCOUNT_SHARE, RETURNED_SHARE = 0.01, 0.01
ADVANCED_ON, ANSWERED_ON = "2025-11-28", "2025-12-02"
JANUARY_ON, JANUARY_ANSWERED_ON = "2026-01-05", "2026-01-07"
EXPIRED_ON, CLOSED_ON = "2026-03-10", "2026-03-11"
HELD_DAYS = 60
PROGRAMMES = [{"benefit": "PENS", "name": "Pension", "purpose": "PENS"}]


class Pensioners(NamedTuple):
    """Facts of each of them."""

    receiver: Rows
    pension: Rows
    flooded: Rows
    claims: Rows
    """Without an account in November; they claim one before January."""
    without: Rows
    """People who never have an account."""


def play(folder: Path, seed: int = 1, share: float = 1.0) -> Told:
    """Play it. folder: a new one; share: of PENSIONERS. Raises Surprise where the engine answers
    other than it has to."""
    rng = np.random.default_rng(seed)
    count = round(PENSIONERS * share)
    folder.mkdir(parents=True)
    commune = rng.integers(0, COMMUNES_COUNT, count, dtype=np.uint16)
    people = People.drawn(rng, commune, dt.date(2025, 11, 28), 60)
    places = Institutions.linked(folder, 32)
    known = _pensioners(rng, people, places)
    stage = Stage(folder, people, places, PROGRAMMES, "2025-11-26", held_days=HELD_DAYS)
    at_first = np.setdiff1d(np.arange(count), np.append(known.claims, known.without))
    register = Accounts.of(at_first, known.receiver[at_first], 1)
    stage.engine.register(
        population=people.register(np.empty(0, np.int64), np.ones(count, bool)),
        accounts=register.register(people, places.codes, places.kinds),
        at="2025-11-26",
    )
    advance = _advance(rng, known)
    stage.run(advance, rng)
    stage.receivers_answer(advance, ANSWERED_ON)
    stage.hand_over(ANSWERED_ON)
    freed = _freed(stage, advance)
    stage.write_back(ANSWERED_ON)
    stage.require_totals()
    later = Accounts.of(known.claims, known.receiver[known.claims], 1)
    claimed = later.register(people, places.codes, places.kinds)
    stage.engine.register(accounts=claimed, at="2025-12-15")
    january = _january(known, advance, freed)
    advance.put(np.isin(advance.person, known.claims), "settled")
    stage.run(january, rng)
    stage.receivers_answer(january, JANUARY_ANSWERED_ON)
    stage.hand_over(JANUARY_ANSWERED_ON)
    stage.require_totals()
    told = stage.engine.expire(EXPIRED_ON)
    held = sum(int(one.stands("held").sum()) for one in (advance, january))
    require(told["count"] == held, f"{told['count']} lines expire, not {held}")
    for one in (advance, january):
        one.put(one.stands("held"), "expired")
    stage.close(CLOSED_ON, (advance, january))
    stage.require_totals()
    stage.end()
    return _told(stage, known, advance, january)


def _pensioners(rng: np.random.Generator, people: People, places: Institutions) -> Pensioners:
    count = len(people.ids)
    provinces = np.array([row["province"] for row in package_rows("communes.csv")])
    flooded = np.flatnonzero(np.isin(provinces[people.commune], list(FLOODED)))
    receiver = rng.choice(len(places.codes), count, p=places.shares)
    cash = rng.random(count) >= ACCOUNT_SHARE
    receiver[cash] = places.post
    pension = rng.integers(23_400, 120_000, count) * 100
    few = max(4, round(len(flooded) * NO_ACCOUNT_SHARE))
    some = rng.choice(flooded, few, replace=False)
    return Pensioners(receiver, pension, flooded, some[: few // 2], some[few // 2 :])


def _advance(rng: np.random.Generator, known: Pensioners) -> Sheet:
    """Three lines for each of the four provinces' pensioners, month by month."""
    person = np.tile(known.flooded, len(MONTHS))
    period = np.repeat(np.array(MONTHS, np.int32), len(known.flooded))
    batch = ("FLOOD-2025-12", "VSS", ADVANCED_ON)
    made = sheet(batch, "PENS", person, period, known.pension[person])
    made.receiver[:] = known.receiver[person]
    waits = np.isin(person, np.append(known.claims, known.without))
    made.answer[waits] = ANSWERS.index(NO_ACCOUNT)
    made.receiver[np.isin(person, known.without)] = -1
    made.put(~waits, "settled")
    made.put(waits, "held")
    luck = rng.random(len(person))
    luck[:: len(known.flooded)] = 0.0  # One of each month at least comes back, if it was sent.
    made.fate[~waits & (luck < RETURNED_SHARE)] = RETURNS
    return made


def _freed(stage: Stage, advance: Sheet) -> Rows:
    """Every second line of January that came back is freed for January's table; who had it."""
    back = np.flatnonzero(advance.stands("returned") & (advance.period == MONTHS[JANUARY]))
    chosen = np.zeros(len(advance), bool)
    chosen[back[::2]] = True
    lines = [(advance.batch_id, at + 1) for at in np.flatnonzero(chosen).tolist()]
    told = stage.engine.reissue(lines, at=ANSWERED_ON)
    require(told["count"] == len(lines), "other lines are freed")
    advance.put(chosen, "reissued")
    return advance.person[chosen]


def _january(known: Pensioners, advance: Sheet, freed: Rows) -> Sheet:
    """The nation's table of January: refused is who had that month in advance, also where the money
    went back to the budget, or is paid the advance just before it; who was freed for it is paid."""
    person = np.arange(len(known.receiver))
    made = sheet(("JANUARY-2026", "VSS", JANUARY_ON), "PENS", person, 202601, known.pension)
    made.receiver[:] = known.receiver
    had = np.isin(person, known.flooded) & ~np.isin(person, np.append(freed, known.without))
    waits = np.isin(person, known.without)
    made.answer[had] = ANSWERS.index(TWICE)
    made.answer[waits] = ANSWERS.index(NO_ACCOUNT)
    made.receiver[waits] = -1
    made.put(~had & ~waits, "settled")
    made.put(had, "refused")
    made.put(waits, "held")
    assert len(advance) == len(MONTHS) * len(known.flooded), "each has a line a month"
    return made


def _told(stage: Stage, known: Pensioners, advance: Sheet, january: Sheet) -> Told:
    refused = int(january.stands("refused").sum())
    facts = {
        "pensioners": f"{len(january):,}, {len(known.flooded):,} of them in four provinces",
        "in advance": f"{len(advance):,} lines of three months",
        "January": f"{refused:,} refused, who had it in advance, and nobody else",
        "claimed an account later": f"{len(known.claims):,}; never had one {len(known.without):,}",
    }
    communes = len(np.unique(stage.people.commune))
    return Told("The flood advance", facts, stage.sheets, communes, stage.checks)
