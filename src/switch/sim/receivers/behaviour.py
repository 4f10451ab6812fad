"""Behaviour of a simulated receiver: the fate of each line that it is sent, from one seed.

A line's fate follows from the seed and its transfer id alone, so that neither the order nor the cut
of files changes it. Rates are those of the simulation and say nothing about real institutions.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from enum import IntEnum
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from switch.sim.world.draw import generator

ID_BYTES = 26
_STREAM = 6
"""The table number of receivers among the streams of `draw.generator`."""


class Fate(IntEnum):
    """Fate of a line at its receiver; the first eight are drawn by rate."""

    REFUSED = 0
    """Refused before the cutoff: the money never arrives"""
    RETURNED = 1
    """Not confirmed, and sent back some days later"""
    SILENT = 2
    """Neither credited nor answered"""
    LATE = 3
    """Credited and confirmed days after the deadline"""
    TWICE = 4
    """Credited once and confirmed twice"""
    AMOUNT = 5
    """Credited and confirmed with another amount"""
    STRAY = 6
    """Credited; besides, a line is confirmed that nobody sent"""
    REFUSED_LATE = 7
    """Refused after the cutoff, and the money stays where it is"""
    CREDITED = 8
    LIMIT = 9
    """Refused before the cutoff: more than the wallet may take"""
    BROKEN = 10
    """Credited, but the receiver's file is cut off and tells nothing"""
    OUTAGE = 11
    """Credited and confirmed when the receiver came back"""


NEVER_CAME = (Fate.REFUSED, Fate.LIMIT)
"""Fates of lines whose money the receiver does not get."""


class Rates(NamedTuple):
    """Shares of lines by fate, in the order of Fate."""

    refused: float = 0.015
    returned: float = 0.002
    silent: float = 0.010
    late: float = 0.001
    twice: float = 0.001
    amount: float = 0.001
    stray: float = 0.001
    refused_late: float = 0.001


class Manner(NamedTuple):
    """Manner of one receiver."""

    rates: Rates
    limit: int = 0
    """Most that it takes in one line, dong; 0: any amount"""
    broken: bool = False
    """Its confirmations arrive cut off"""
    back_after: int = 0
    """Days of an outage, after which it confirms everything at once; 0: none"""
    objects: float = 0.25
    """Share of recalled lines that it does not give back, as its customers object"""


Behaviour = Mapping[str, Manner]
"""By participant."""
LIMITS = {"wallet": 100_000_000, "mobile_money": 10_000_000}
"""Most that an account of the kind takes in one line."""
PAYDAY = Rates()


def payday(participants: Mapping[str, str]) -> Behaviour:
    """Everybody alike: the rates of a payday, by kind the limits, no broken file, no outage."""
    return {code: Manner(PAYDAY, LIMITS.get(kind, 0)) for code, kind in participants.items()}


def plain(participants: Mapping[str, str]) -> Behaviour:
    """Everybody credits and says so, or sends the money back: what a day needs to end clean."""
    rates = Rates(0, PAYDAY.returned, *(0.0 for _ in PAYDAY[2:]))
    return {code: Manner(rates, objects=0) for code in participants}


def varied(participants: Mapping[str, str], seed: int) -> Behaviour:
    """Each its own way: half to one and a half of the rates of a payday; one receiver in ten is out
    for two to five days, one in twenty sends a broken file. participants: kind by code."""
    manners = {}
    for number, (code, kind) in enumerate(sorted(participants.items())):
        rng = generator(seed, _STREAM, number)
        scale = rng.uniform(0.5, 1.5, len(PAYDAY))
        rates = Rates(*(float(rate * s) for rate, s in zip(PAYDAY, scale, strict=True)))
        trouble = rng.random()
        manners[code] = Manner(
            rates,
            LIMITS.get(kind, 0),
            broken=trouble < 0.05,
            back_after=int(rng.integers(2, 6)) if 0.05 <= trouble < 0.15 else 0,
        )
    return manners


class Draws(NamedTuple):
    """The fate of lines, and a second number of 32 random bits for what goes with it."""

    fate: NDArray[np.uint8]
    luck: NDArray[np.uint64]


def draw(
    manner: Manner, seed: int, transfer_id: pa.StringArray, amount: NDArray[np.int64]
) -> Draws:
    """Fates of the lines of one receiver. transfer_id: in the engine's own form.
    Raises ValueError for an id of another form."""
    mixed = _mix(_numbers(transfer_id), seed)
    uniform = (mixed >> np.uint64(32)).astype(np.float64) / 2.0**32
    edges = np.cumsum(manner.rates)
    fate = np.searchsorted(edges, uniform, side="right").astype(np.uint8)
    if manner.limit:
        fate[amount > manner.limit] = Fate.LIMIT
    # A receiver in trouble is right about the lines and wrong about nothing else.
    settled = (fate != Fate.REFUSED) & (fate != Fate.LIMIT)
    if manner.broken:
        fate[:] = Fate.BROKEN
    elif manner.back_after:
        fate[settled] = Fate.OUTAGE
    return Draws(fate, mixed & np.uint64(0xFFFF_FFFF))


def _numbers(transfer_id: pa.StringArray) -> NDArray[np.uint64]:
    """Batch and line number of ids YYYYMMDD-NNNNNN-LLLLLLLLLL in one number."""
    rows = len(transfer_id)
    _, offsets, data = transfer_id.buffers()
    starts = np.frombuffer(offsets, np.int32, rows + 1 + transfer_id.offset)[transfer_id.offset :]
    if rows and (np.diff(starts) != ID_BYTES).any():
        raise ValueError("a transfer id is not of the form YYYYMMDD-NNNNNN-LLLLLLLLLL")
    if not rows:
        return np.empty(0, np.uint64)
    text = np.frombuffer(data, np.uint8)[starts[0] : starts[-1]].reshape(rows, ID_BYTES)
    number = np.zeros(rows, np.uint64)
    for place in (*range(9, 15), *range(16, 26)):
        number = number * np.uint64(10) + (text[:, place] & 15)
    return number


def _mix(number: NDArray[np.uint64], seed: int) -> NDArray[np.uint64]:
    """splitmix64 of number and seed."""
    mixed = number + np.uint64((seed * 2 + 1) * 0x9E3779B97F4A7C15 % 2**64)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))


DAY_US = 86_400_000_000
HOUR_US = DAY_US // 24


class Answers(NamedTuple):
    """Answers of a receiver, in columns. row: the place of the line in the chunk."""

    row: NDArray[np.int64]
    amount: NDArray[np.int64]
    refused: NDArray[np.bool_]
    at: NDArray[np.int64]
    """Microseconds since 1970"""


def answers(
    draws: Draws, manner: Manner, amount: NDArray[np.int64], booked_on: datetime.date
) -> tuple[Answers, Answers]:
    """(confirmations, returns) of a chunk, in order of line; the second confirmation of a line
    follows the first, stray ones are not among them."""
    fate, luck = draws
    begin = (booked_on - datetime.date(1970, 1, 1)).days * DAY_US
    days = np.zeros(len(fate), np.int64)
    days[fate == Fate.LATE] = 2 + luck[fate == Fate.LATE].astype(np.int64) % 5
    days[fate == Fate.REFUSED_LATE] = 1 + luck[fate == Fate.REFUSED_LATE].astype(np.int64) % 3
    days[fate == Fate.OUTAGE] = manner.back_after
    # Between eight and three in the afternoon, before the cutoff.
    at = begin + days * DAY_US + 8 * HOUR_US + luck.astype(np.int64) % (7 * HOUR_US)
    said = amount.copy()
    wrong = fate == Fate.AMOUNT
    said[wrong] += 1000 * (1 + luck[wrong].astype(np.int64) % 9)
    spoken = np.flatnonzero((fate != Fate.RETURNED) & (fate != Fate.SILENT))
    twice = np.flatnonzero(fate == Fate.TWICE)
    row = np.concatenate([spoken, twice])
    row = row[np.argsort(row, kind="stable")]
    again = np.zeros(len(row), bool)
    again[1:] = row[1:] == row[:-1]
    refused = np.isin(fate[row], (Fate.REFUSED, Fate.LIMIT, Fate.REFUSED_LATE))
    confirmed = Answers(row, said[row], refused, at[row] + again * HOUR_US)
    back = np.flatnonzero(fate == Fate.RETURNED)
    later = begin + (1 + luck[back].astype(np.int64) % 5) * DAY_US + 9 * HOUR_US
    return confirmed, Answers(back, amount[back], np.zeros(len(back), bool), later)


def stray_ids(transfer_id: pa.StringArray, luck: NDArray[np.uint64]) -> pa.StringArray:
    """Ids that no batch has, made from those of the lines beside which they are sent."""
    dates = [text[:8] for text in transfer_id.to_pylist()]
    numbers = [int(a) for a in luck]
    return pa.array(
        [f"{d}-999999-{n:010d}" for d, n in zip(dates, numbers, strict=True)], pa.string()
    )
