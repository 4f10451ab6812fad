"""Finding: lines and batches by what somebody has of them: an id, a reference, or a piece of one.

A piece of a citizen id is looked for among the people of the register at rest, without loading it,
and their lines in the indexes by person. The answer is bounded, and says so where there is more.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypedDict

import numpy as np
from numpy.typing import NDArray

from switch import status
from switch.errors import UsageError
from switch.home.person_lines import PersonLines
from switch.home.rows import BatchRow
from switch.home.store import Home
from switch.open_items.listing import Words, batch_names, several
from switch.registry.lookup import ids_at_rest, row_of
from switch.schema import NO_ROW

ID_DIGITS = 12
DIGITS_MIN = 4
"""Fewer digits fit too many people to help anybody."""
LIMIT = 50
_LINE = re.compile(r"(?P<batch>\S+?)[\s/]+(?P<line>[0-9]{1,10})")
_TRANSFER = re.compile(r"[0-9]{8}-(?P<seq>[0-9]{6})-(?P<line>[0-9]{10})")


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
        _take_line(home, found, mine, int(transfer["seq"]), int(transfer["line"]))
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
    """Lines of people whose id has these digits in a row, oldest batch first by person."""
    names = batch_names(home)
    for person_id, row in _people(home, digits):
        lines = PersonLines(home, row)
        asked = [(run, answer) for run in mine for answer in lines.own(run)]
        if not asked:
            continue
        found["people"] += 1
        for run, answer in asked:
            if len(found["lines"]) == limit:
                found["more"] = True
                return
            found["lines"].append(_line(names[run.seq], answer, hidden(person_id, digits)))


def hidden(person_id: int, digits: str) -> str:
    """A citizen id of which only these digits are shown."""
    text = f"{person_id:0{ID_DIGITS}d}"
    at = text.index(digits)
    rest = "•" * (ID_DIGITS - at - len(digits))
    return "•" * at + digits + rest


def _people(home: Home, digits: str) -> Iterator[tuple[int, int]]:
    """(id, row) of the people of the current register whose id has these digits in a row."""
    version = home.catalog.register_seq()
    if not version:
        return
    current = home.folder("registers", version)
    if len(digits) == ID_DIGITS:
        row = row_of(current, int(digits))
        if row != NO_ROW:
            yield int(digits), row
        return
    seen: set[int] = set()
    for folder in _folders(home):
        for ids in ids_at_rest(folder):
            for person_id in ids[_has(ids, digits)].tolist():
                row = NO_ROW if person_id in seen else row_of(current, person_id)
                seen.add(person_id)
                if row != NO_ROW:
                    yield person_id, row


def _folders(home: Home) -> list[Path]:
    """The versions that the current register is made of, the newest first."""
    return [home.folder("registers", seq) for seq in reversed(home.catalog.register_chain())]


def _has(ids: NDArray[np.uint64], digits: str) -> NDArray[np.bool_]:
    """Ids that have these digits in a row, with the zeros that they begin with."""
    module, wanted = np.uint64(10 ** len(digits)), np.uint64(int(digits))
    rest, ten = ids.copy(), np.uint64(10)
    fits = np.zeros(len(ids), np.bool_)
    for place in range(ID_DIGITS - len(digits) + 1):
        if place:
            np.floor_divide(rest, ten, out=rest)
        fits |= rest % module == wanted
    return fits
