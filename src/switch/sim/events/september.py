"""The gift of 2 September 2025: a line a citizen, and one credit a household to its head.

106,855,575 citizens in 26,843,417 households of 3,321 communes had 100,000 dong each, paid to the
head of the household, while the number of linked institutions rose from 18 to 32 within eight days.
Here a hundredth of them are paid, a table a day for a part of the provinces; islands and other
special zones come last. The head receives for the others as their representative, until the end of
the year. Lines wait until the institution of the account has joined, or the head has claimed it;
where the head is deceased the others wait, and one of them receives by a later authority. Who has
no account by the ninth day is paid in cash. Assumed: 53 % of the heads have an account from the
beginning (as data/programmes.csv has it), 7 % claim one on the way; how many citizens are dead or
have another name, how many credits come back, which are paid again in cash, and how many nobody
proves.
"""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from switch.sim.events.people import Accounts, Institutions, People, Rows
from switch.sim.events.sheets import (
    ANSWERS,
    DEAD,
    NO_ACCOUNT,
    NOT_JOINED,
    OTHER_NAME,
    RETURNS,
    SILENT,
    Sheet,
    sheet,
)
from switch.sim.events.stage import Stage, require
from switch.sim.events.told import Told
from switch.sim.world.institutions import package_rows
from switch.sim.world.nation import COMMUNES_COUNT, HOUSEHOLD_WEIGHTS

HOUSEHOLDS, CITIZENS = 268_434, 1_068_556
"""A hundredth of those who were paid."""
GIFT = 100_000
DAYS = 9
"""The last of them pays in cash."""
FIRST_DAY = dt.date(2025, 8, 29)
FIRST_JOINED, JOINED = 18, 32
ACCOUNT_SHARE, CLAIM_SHARE = 0.53, 0.07
DEAD_SHARE, OTHER_NAME_SHARE = 0.002, 0.002
RETURNED_SHARE, UNPROVEN_SHARE = 0.003, 0.02
CASH_DAYS = 20
EXPIRES_ON, BACK_ON, CLOSED_ON = "2025-09-29", "2025-10-02", "2025-10-03"
PROGRAMMES = [{"benefit": "GIFT", "name": "Gift of 2 September 2025", "purpose": "SSBE"}]
AUTHORITY_ENDS = dt.date(2025, 12, 31)
"""The last day on which who represents a household receives for the others."""


def day_of(number: int) -> str:
    """The date of a day of the payout, from 1."""
    return str(FIRST_DAY + dt.timedelta(days=number - 1))


class Homes(NamedTuple):
    """Households, and all that is known of each and of its members."""

    of: Rows
    """The household of each citizen; a household's stand one behind the other, the head first."""
    lead: Rows
    """The citizen who receives for each: the head, or who comes next where the head is dead."""
    sent: Rows
    """The day whose table has the lines."""
    claims: Rows
    """The day from which an account is there: 0 from the beginning, DAYS the pay point."""
    receiver: Rows
    joins: Rows
    """The day on which the receiver joins; 0 from the beginning."""
    dead: NDArray[np.bool_]
    """Citizens who are dead, and whose name is another."""
    other_name: NDArray[np.bool_]
    head: Rows
    """The head of each household, dead or alive."""
    old_claims: Rows
    old_receiver: Rows
    """The same of the account of a head who is dead, at which nobody receives for the others."""

    @property
    def pays(self) -> Rows:
        """The day on which the lines clear, where they do."""
        return np.maximum(self.sent, np.maximum(self.claims, self.joins))

    def lines_of(self, chosen: NDArray[np.bool_]) -> Rows:
        """Citizens of some households."""
        return np.flatnonzero(chosen[self.of])


def play(folder: Path, seed: int = 1, share: float = 1.0) -> Told:
    """Play it. folder: a new one; share: of HOUSEHOLDS. Raises Surprise where the engine answers
    other than it has to."""
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True)
    places = Institutions.linked(folder, JOINED)
    household, commune = _households(rng, share)
    people = People.drawn(rng, commune[household], FIRST_DAY, 18)
    homes = _homes(rng, household, people, places)
    stage = Stage(folder, people, places, PROGRAMMES, "2025-08-28", cash_days=CASH_DAYS)
    known = np.ones(len(household), bool)
    stage.engine.register(
        population=people.register(np.flatnonzero(homes.dead), known, household), at="2025-08-28"
    )
    for day in range(1, DAYS + 1):
        _day(stage, homes, day, rng)
    asked = stage.engine.expire(EXPIRES_ON)["cash"]
    given = stage.points_give_back(asked["number"], BACK_ON)
    require(asked["count"] == given, "all that nobody proved is asked back")
    stage.hand_over(BACK_ON)
    stage.write_back(BACK_ON)
    stage.close(CLOSED_ON, stage.sheets)
    stage.require_totals()
    credits_ = stage.require_credits()
    stage.end()
    return _told(stage, homes, credits_)


def _households(rng: np.random.Generator, share: float) -> tuple[Rows, NDArray[np.uint16]]:
    """(household of each citizen, commune of each household): as many as there were, to one."""
    homes, citizens = round(HOUSEHOLDS * share), round(CITIZENS * share)
    sizes = rng.choice(len(HOUSEHOLD_WEIGHTS), homes, p=HOUSEHOLD_WEIGHTS) + 1
    while left := citizens - int(sizes.sum()):
        step = 1 if left > 0 else -1
        able = np.flatnonzero((sizes + step >= 1) & (sizes + step <= len(HOUSEHOLD_WEIGHTS)))
        sizes[rng.choice(able, min(abs(left), len(able)), replace=False)] += step
    # Every commune has a household, where there are enough of them; the islands in any case.
    last = np.flatnonzero([row["kind"] == "special_zone" for row in package_rows("communes.csv")])
    others = rng.permutation(np.setdiff1d(np.arange(COMMUNES_COUNT), last))
    commune = np.append(last, others)[:homes]
    more = rng.integers(0, COMMUNES_COUNT, homes - len(commune))
    commune = np.append(commune, more)
    return np.repeat(np.arange(homes), sizes), commune.astype(np.uint16)


def _homes(
    rng: np.random.Generator, household: Rows, people: People, places: Institutions
) -> Homes:
    _, head = np.unique(household, return_index=True)
    count = len(head)
    commune = people.commune[head]
    rows = package_rows("communes.csv")
    provinces = np.array([int(row["province"]) for row in rows])
    special = np.array([row["kind"] == "special_zone" for row in rows])
    sent = np.unique(provinces, return_inverse=True)[1][commune] % (DAYS - 1) + 1
    sent[special[commune]] = DAYS
    # The fourteen that join later are drawn among all but the three largest.
    late = rng.choice(np.arange(3, JOINED), JOINED - FIRST_JOINED, replace=False)
    joined = np.zeros(len(places.codes), np.int64)
    joined[late] = 2 + np.arange(len(late)) * (DAYS - 2) // len(late)
    luck = rng.random(count)
    claims = np.full(count, DAYS, np.int64)
    by_and_by = (luck >= ACCOUNT_SHARE) & (luck < ACCOUNT_SHARE + CLAIM_SHARE)
    claims[luck < ACCOUNT_SHARE] = 0
    claims[by_and_by] = rng.integers(2, DAYS, int(by_and_by.sum()))
    receiver = rng.choice(len(places.codes), count, p=places.shares)
    receiver[claims == DAYS] = places.post
    fault = rng.random(len(household))
    dead = fault < DEAD_SHARE
    other = (fault >= DEAD_SHARE) & (fault < DEAD_SHARE + OTHER_NAME_SHARE)
    # Who is first among the living; where nobody lives it does not matter.
    order = np.where(dead, len(household), np.arange(len(household)))
    lead = np.minimum(np.minimum.reduceat(order, head), len(household) - 1)
    orphaned = dead[head]
    after = np.where(orphaned, DAYS, claims), np.where(orphaned, places.post, receiver)
    return Homes(
        household, lead, sent, *after, joined[after[1]], dead, other, head, claims, receiver
    )


def _day(stage: Stage, homes: Homes, day: int, rng: np.random.Generator) -> None:
    """Institutions join, accounts are claimed, a table is run, and all who got lines answer."""
    places, at = stage.institutions, day_of(day)
    since = np.zeros(len(places.codes), np.int64)
    since[homes.receiver] = homes.joins
    waiting = [code for code, joins in zip(places.codes, since, strict=True) if joins > day]
    stage.engine.change_directory(participants=places.directory(waiting), at=at)
    _claim(stage, homes, day, at)
    again = _freed(stage, at) if day == DAYS else []
    for one in stage.sheets:
        pays = homes.pays[one.head]
        one.put(one.stands("held") & (pays == day), "settled")
    made = _sheet(homes, day, places, again)
    made.fate[:] = _fates(rng, made, places.post)
    stage.run(made, rng)
    stage.receivers_answer(made, at, days=0)
    stage.hand_over(at)


def _claim(stage: Stage, homes: Homes, day: int, at: str) -> None:
    """Register the accounts of a day, each for all of a household; a head's who is dead as well,
    but for the pay point, over which somebody alive has authority."""
    of_dead = np.where(homes.dead[homes.head] & (homes.old_claims < DAYS), homes.old_claims, -1)
    places = stage.institutions
    for claims, receiver, holder in (
        (homes.claims, homes.receiver, homes.lead),
        (of_dead, homes.old_receiver, homes.head),
    ):
        person = homes.lines_of(claims == day if day > 1 else (claims == 0) | (claims == 1))
        if len(person):
            mine = homes.of[person]
            found = Accounts.of(person, receiver[mine], 9 if day == DAYS else 1)
            found = found.held_by(holder[mine], AUTHORITY_ENDS)
            table = found.register(stage.people, places.codes, places.kinds)
            stage.engine.register(accounts=table, at=at)


def _freed(stage: Stage, at: str) -> list[tuple[Rows, Rows]]:
    """All lines that came back by now are freed, to be paid once more in cash: by table, the
    households that they are of and the citizens."""
    freed = []
    for one in stage.sheets:
        back = one.stands("returned")
        lines = [(one.batch_id, row + 1) for row in np.flatnonzero(back).tolist()]
        if lines:
            told = stage.engine.reissue(lines, at=at)
            require(told["count"] == len(lines), "other lines are freed")
            freed.append((one.head[back], one.person[back]))
        one.put(back, "reissued")
    return freed


def _sheet(homes: Homes, day: int, places: Institutions, again: list[tuple[Rows, Rows]]) -> Sheet:
    """The table of a day, and behind its own lines those that are paid again over a counter."""
    own = homes.lines_of(homes.sent == day)
    home = np.concatenate([homes.of[own], *(rows for rows, _ in again)])
    person = np.concatenate([own, *(who for _, who in again)])
    batch = (f"GIFT-2025-09-{day}", "MOF", day_of(day))
    made = sheet(batch, "GIFT", person, 202509, GIFT)
    made.head = home
    made.names_point[len(own) :] = True
    made.receiver[:] = np.where(made.names_point, places.post, homes.receiver[home])
    waits = (homes.pays[home] > day) & ~made.names_point
    not_there = waits & (homes.claims[home] > day)
    made.answer[waits] = ANSWERS.index(NOT_JOINED)
    made.answer[not_there] = ANSWERS.index(NO_ACCOUNT)
    made.put(~waits, "settled")
    made.put(waits, "held")
    for faulty, answer in ((homes.other_name, OTHER_NAME), (homes.dead, DEAD)):
        made.answer[faulty[person]] = ANSWERS.index(answer)
        made.put(faulty[person], "refused")
        made.receiver[faulty[person]] = -1
    made.wrong_name[:] = homes.other_name[person]
    return made


def _fates(rng: np.random.Generator, made: Sheet, post: int) -> NDArray[np.uint8]:
    """Fates of the lines of a table, one for all of a household: accounts give a few back until the
    pay points begin, and of what these pay a few lines are never proven."""
    _, first, at = np.unique(made.head, return_index=True, return_inverse=True)
    luck = rng.random(len(first))
    # However few there are, some come back and some are never proven.
    luck[at[np.argsort(made.stands("refused"), kind="stable")[:2]]] = 0.0
    luck = luck[at]
    fate = np.zeros(len(made), np.uint8)
    over = made.receiver == post
    fate[over & (luck < UNPROVEN_SHARE)] = SILENT
    early = ~made.stands("refused") & (made.batch_id != f"GIFT-2025-09-{DAYS}")
    fate[~over & early & (luck < RETURNED_SHARE)] = RETURNS
    return fate


def _told(stage: Stage, homes: Homes, credits_: int) -> Told:
    lines, households = len(homes.of), len(homes.lead)
    waited = sum(
        int(np.isin(one.answer, [ANSWERS.index(a) for a in (NO_ACCOUNT, NOT_JOINED)]).sum())
        for one in stage.sheets
    )
    later = int((homes.joins > homes.sent).sum())
    cash = sum(int((one.receiver == stage.institutions.post).sum()) for one in stage.sheets)
    again = sum(int(one.names_point.sum()) for one in stage.sheets)
    facts = {
        "citizens": f"{lines:,}, in {households:,} households",
        "credits": f"{credits_:,}, one a household and what was paid again",
        "institutions": f"{FIRST_JOINED} on the first day, {JOINED} on the eighth",
        "sent before theirs had joined": f"{later:,} households",
        "of a head who is dead": f"{int(homes.dead[homes.head].sum()):,} households",
        "waited": f"{waited:,} lines, {waited / lines:.1%}",
        "in cash": f"{cash:,} lines, {cash / lines:.1%}; {again:,} of them had come back",
    }
    communes = len(np.unique(stage.people.commune))
    return Told("The gift of 2 September 2025", facts, stage.sheets, communes, stage.checks)
