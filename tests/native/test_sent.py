"""Lines by place against a slow twin: ids that are written in every way, answers in any order."""

from __future__ import annotations

import random
import re
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from switch.files.columns import text_buffers
from switch.native.sent import ELSEWHERE, FRESH, KNOWN, NOWHERE, REST, Sent

BATCHES = {
    1: (20261125, 3, 0),
    2: (5550101, 2, 3),
    1_234_567: (20261126, 4, 5),
    4: (99991231, 9, -2),
}
"""By number: value date, lines, first place."""
NEVER = -(2**63)
ID = re.compile(rb"([1-9][0-9]*)-([0-9]{6}|[1-9][0-9]{6,})-([0-9]{10})")


def sent(lines: int = 9, secret: int = 7) -> tuple[Sent, list[Any]]:
    table = np.zeros((max(BATCHES) + 1, 3), np.int64)
    table[:, 2] = ELSEWHERE
    for number, row in BATCHES.items():
        table[number] = row
    kinds = ("u2", "u4", "i8", "u8", "i8", "u2")
    columns = [np.zeros(lines, kind) for kind in kinds]
    columns[4][:] = NEVER
    return Sent(table, tuple(columns), NEVER, 35, secret), columns  # type: ignore[arg-type]


def place_of(text: str) -> int:
    found = ID.fullmatch(text.encode())
    if found is None or len(text.encode()) > 35:
        return NOWHERE
    date, batch, number = map(int, found.groups())
    due, lines, first = BATCHES.get(batch, (0, 0, 0))
    if due != date or not 1 <= number <= lines:
        return NOWHERE
    return ELSEWHERE if first < 0 else first + number - 1


def ids(rng: random.Random) -> list[str]:
    found = [f"{d}-{b:06d}-{n:010d}" for b, (d, c, _) in BATCHES.items() for n in range(c + 2)]
    for text in list(found):
        at = rng.randrange(len(text) + 1)
        found += [
            text[:at] + rng.choice("0179-xĐ \n") + text[at + 1 :],
            text[:at] + rng.choice("0-") + text[at:],
            text[:at] + text[at + 1 :],
            text[:at],
        ]
    found += ["", "-", "0" + found[0], f"{'9' * 30}-000001-0000000001", f"1-{'9' * 22}-0000000001"]
    rng.shuffle(found)
    return found


@pytest.mark.parametrize("seed", range(40))
def test_sent__ids_are_places_as_the_slow_twin_says(seed: int) -> None:
    texts = ids(random.Random(seed))
    column = pa.array(["x", *texts])[1:]
    place = np.empty(len(texts), np.int64)
    sent()[0].places(*text_buffers(column), place)
    assert place.tolist() == [place_of(text) for text in texts]


@pytest.mark.parametrize("seed", range(40))
def test_sent__the_first_clean_answer_of_a_line_counts(seed: int) -> None:
    rng, rows = random.Random(seed), 60
    held, columns = sent()
    accounts = ["1", "01", "9" * 17, "9" * 18, "VN-1", "Đ" * 40, "2", "3", "4"]
    amounts = np.arange(9, dtype=np.int64)
    held.keep(np.arange(9), 3, 8, amounts, *text_buffers(pa.array(accounts)))
    assert columns[0].tolist() == [3] * 9
    assert columns[1].tolist() == [8] * 9
    place = np.array([rng.randrange(-2, 9) for _ in range(rows)])
    own = (place >= 0) & np.array([rng.random() < 0.9 for _ in range(rows)])
    amount = np.where(np.array([rng.random() < 0.9 for _ in range(rows)]), place, 77)
    named = [
        rng.choice([None, "", rng.choice(accounts), *[accounts[p]] * 4]) for p in place.tolist()
    ]
    texts = pa.array(named, pa.string())
    clean = own.copy()
    valid = np.asarray(texts.is_valid())
    held.fit(place, amount, *text_buffers(texts), valid.view(np.uint8), clean.view(np.uint8))
    for i, p in enumerate(place.tolist()):
        fits = amount[i] == amounts[p] and named[i] in (None, accounts[p])
        assert clean[i] == (own[i] and fits)
    at = np.array([rng.randrange(2) for _ in range(rows)])
    said = np.array([rng.randrange(2) for _ in range(rows)], np.uint16)
    outcome = np.empty(rows, np.uint8)
    held.hear(place, clean.view(np.uint8), at, said, outcome)
    first: dict[int, tuple[int, int]] = {}
    for i, p in enumerate(place.tolist()):
        due = REST
        if clean[i]:
            due = FRESH if p not in first else KNOWN
            what = int(at[i]), int(said[i])
            due = REST if first.setdefault(p, what) != what else due
        assert outcome[i] == due
    assert {p: (columns[4][p], columns[5][p]) for p in first} == first
