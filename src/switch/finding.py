"""Finding: lines and batches by what somebody has of them: an id, a reference, or a piece of one.

A piece of a citizen id is looked for among the people of the register at rest, without loading it,
and their lines in the indexes by person. The answer is bounded, and says so where there is more.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from typing import Any, TypedDict

import numpy as np
from numpy.typing import NDArray

from switch import status
from switch.errors import UsageError
from switch.home.person_lines import PersonLines, with_lines
from switch.home.rows import BatchRow
from switch.home.store import Home
from switch.open_items.listing import Words, batch_names, several
from switch.registry.load_registers import current_chain, rows_of_pairs, rows_of_person
from switch.registry.lookup import people_at_rest

ID_DIGITS = 12
DIGITS_MIN = 4
"""Fewer digits fit too many people to help anybody."""
LIMIT = 50
LOOKS_MAX = 200_000
"""People times batches that are looked at for a piece of an id."""
HALF_DIGITS, HALF = 6, 10**6
_HALF = np.uint64(HALF)
_IN_LEFT, _IN_RIGHT = 1, 1 << 7
_LINE = re.compile(r"(?P<batch>\S+?)[\s/:]+(?P<line>[0-9]{1,10})")
_TRANSFER = re.compile(r"(?P<day>[0-9]{8})-(?P<seq>[0-9]{6})-(?P<line>[0-9]{10})")


class FoundLine(TypedDict):
    """A line that fits, as its run answered it. person: the citizen id, of which digits that were
    not asked for are hidden; '' of a line that was asked for by its name."""

    batch_id: str
    line_no: int
    amount: int
    status: str
    reason: str | None
    person: str


class FoundBatch(TypedDict):
    """A batch that fits."""

    batch_id: str
    source: str
    value_date: str
    state: str


class Found(TypedDict):
    """All that fits, as far as the bound goes. more: there may be others beyond it. people: who
    were found; lines: theirs, or the one that is named."""

    what: str
    people: int
    lines: list[FoundLine]
    batches: list[FoundBatch]
    more: bool


def find(home: Home, text: str, *, limit: int = LIMIT, sources: Words = None) -> Found:
    """All that fits a text (`Watch.find`)."""
    words = text.strip()
    if not words or len(words) > 128:
        raise UsageError("say what is looked for, in 1 to 128 characters")
    if type(limit) is not int or not 1 <= limit <= 1000:
        raise UsageError(f"limit {limit!r} is no whole number from 1 to 1000")
    names = batch_names(home)
    asked = None if sources is None else several(sources)
    mine = [b for b in home.catalog.batches() if asked is None or b.source in asked]
    found: Found = {"what": "", "people": 0, "lines": [], "batches": [], "more": False}
    if transfer := _TRANSFER.fullmatch(words):
        found["what"] = "transfer"
        dated = [run for run in mine if run.value_date.replace("-", "") == transfer["day"]]
        _take_line(home, found, dated, int(transfer["seq"]), int(transfer["line"]))
    elif words.isascii() and words.isdigit() and len(words) <= ID_DIGITS:
        found["what"] = "person"
        if len(words) < DIGITS_MIN:
            raise UsageError(f"a piece of a citizen id has {DIGITS_MIN} digits or more")
        _take_people(home, found, mine, words, limit)
    elif line := _LINE.fullmatch(words):
        found["what"] = "line"
        for row in mine:
            if line["batch"] in (row.batch_id, names[row.seq], f"{row.source}:{row.batch_id}"):
                _take_line(home, found, mine, row.seq, int(line["line"]))
    if not found["lines"]:
        fits = [b for b in mine if words.casefold() in f"{b.source}:{b.batch_id}".casefold()]
        found["more"] |= len(fits) > limit
        found["batches"] = [
            {
                "batch_id": names[b.seq],
                "source": b.source,
                "value_date": b.value_date,
                "state": b.state,
            }
            for b in fits[-limit:]
        ]
        found["what"] = found["what"] or "batch"
    return found


def _take_line(home: Home, found: Found, mine: list[BatchRow], seq: int, line_no: int) -> None:
    """The line of a number in a batch, if it is there."""
    for row in mine:
        if row.seq == seq:
            with contextlib.suppress(UsageError):  # It has no such line.
                answer = status.answer_to(home, row, line_no)
                found["lines"].append(_line(batch_names(home)[seq], answer, ""))


def _line(batch_id: str, answer: dict[str, Any], person: str) -> FoundLine:
    return {
        "batch_id": batch_id,
        "line_no": answer["line_no"],
        "amount": answer["amount"],
        "status": answer["status"],
        "reason": answer["reason"],
        "person": person,
    }


def _take_people(home: Home, found: Found, mine: list[BatchRow], digits: str, limit: int) -> None:
    """Lines of people who have or had an id with these digits in a row, by the least such id, the
    oldest batch first."""
    names = batch_names(home)
    ids, rows, found["more"] = _people(home, digits, max(LOOKS_MAX // max(len(mine), 1), 1))
    ids, rows, olds, owners = _whole_people(home, ids, rows)
    there = np.ones((len(mine), len(rows)), np.bool_)
    if len(rows) > 1:  # For one it costs less to ask each batch for the lines themselves.
        for at, run in enumerate(mine):
            there[at] = with_lines(home, run, rows)
            there[at][owners[with_lines(home, run, olds)]] = True
    for place in np.flatnonzero(there.any(axis=0)).tolist():
        lines = PersonLines(home, [int(rows[place]), *olds[owners == place].tolist()])
        runs = [mine[at] for at in np.flatnonzero(there[:, place]).tolist()]
        answers = ((run, answer) for run in runs for answer in lines.own(run))
        for count, (run, answer) in enumerate(answers):
            if len(found["lines"]) == limit:
                found["more"] = True
                return
            found["people"] += not count
            shown = hidden(int(ids[place]), digits)
            found["lines"].append(_line(names[run.seq], answer, shown))


def _whole_people(
    home: Home, ids: NDArray[np.int64], rows: NDArray[np.int64]
) -> tuple[NDArray[np.int64], ...]:
    """(ids, rows, olds, owners): people once each, by the row of the id that they carry now, with
    the least id that was found; rows of ids of before, and the place of the person of each."""
    old, to = (pairs.astype(np.int64) for pairs in rows_of_pairs(home))
    by_old = np.argsort(old)
    before, is_before = _places(old[by_old], rows)
    now = rows.copy()
    now[is_before] = to[by_old][before[is_before]]
    now, first = np.unique(now, return_index=True)
    order = np.argsort(first)  # Ids are in order, and so are the first of each person.
    owners, is_theirs = _places(now, to)
    where = np.empty_like(order)
    where[order] = np.arange(len(order))
    return ids[first[order]], now[order], old[is_theirs], where[owners[is_theirs]]


def _places(
    known: NDArray[np.int64], asked: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """(places, found): where each asked number stands among those that are in order."""
    places = np.searchsorted(known, asked)
    found = places < len(known)
    found[found] = known[places[found]] == asked[found]
    return places, found


def hidden(person_id: int, digits: str) -> str:
    """A citizen id of which only these digits are shown."""
    text = f"{person_id:0{ID_DIGITS}d}"
    at = text.index(digits)
    rest = "•" * (ID_DIGITS - at - len(digits))
    return "•" * at + digits + rest


def _people(
    home: Home, digits: str, people_max: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], bool]:
    """(ids, rows, more) of the people of the current register whose id has these digits in a row,
    by id; more: there may be others, for when so many are found, no others are looked for."""
    ids, rows, more = [np.empty(0, np.uint64)], [np.empty(0, np.uint64)], False
    version = home.catalog.register_seq()
    if version and len(digits) == ID_DIGITS:
        for row in rows_of_person(current_chain(home), digits)[:1]:
            ids, rows = [np.array([int(digits)])], [np.array([row])]
    elif version:
        left = people_max
        for some, of in _fitting(home, Fragment(digits)):
            ids.append(some[:left])
            rows.append(of[:left])
            left -= len(some)
            if left < 0:
                more = True
                break
    # Who is changed by a delta stands in the base, too, by the same row.
    found, first = np.unique(np.concatenate(ids).astype(np.int64), return_index=True)
    return found, np.concatenate(rows).astype(np.int64)[first], more


def _fitting(home: Home, has: Fragment) -> Iterator[tuple[NDArray[np.uint64], NDArray[np.uint64]]]:
    """(ids, rows) in all versions that the current register is made of, the newest first."""
    for seq in reversed(home.catalog.register_chain()):
        yield from people_at_rest(home.folder("registers", seq), has)


class Fragment:
    """Digits in a row that ids have or have not, with the zeros that they begin with.

    An id is two halves of six digits. Two tables say of every half what of the digits it has: with
    bit n that the left half ends with the first n of them, or that the right half begins with all
    but these; with a bit of its own that one half has them all. An id has them where both say the
    same: a division and two look-ups an id, however long the digits are."""

    def __init__(self, digits: str) -> None:
        self._left = np.full(HALF, _IN_RIGHT, np.uint8)
        self._right = np.full(HALF, _IN_LEFT, np.uint8)
        for split in range(max(1, len(digits) - HALF_DIGITS), min(len(digits), HALF_DIGITS + 1)):
            first, rest = digits[:split], digits[split:]
            below = 10 ** (HALF_DIGITS - len(rest))
            self._left[int(first) :: 10**split] |= 1 << split
            self._right[int(rest) * below : (int(rest) + 1) * below] |= 1 << split
        for behind in range(HALF_DIGITS - len(digits) + 1):
            parts = (-1, 10 ** len(digits), 10**behind)
            self._left.reshape(parts)[:, int(digits)] |= _IN_LEFT
            self._right.reshape(parts)[:, int(digits)] |= _IN_RIGHT

    def __call__(self, ids: NDArray[np.uint64]) -> NDArray[np.bool_]:
        """True for each of some ids that has them."""
        left = ids // _HALF
        right = ids - left * _HALF
        both = self._left[left.view(np.intp)] & self._right[right.view(np.intp)]
        return both.astype(np.bool_)
