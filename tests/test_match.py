"""The native side of matching: ids as a dict finds them, sums as every subset gives them."""

from __future__ import annotations

import itertools
import random
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings

from switch._match import CROWDED, Lines, subset_sums
from switch.schema import NO_ROW


def transfer(number: int, batch: int = 1) -> str:
    return f"20261125-{batch:06d}-{number:010d}"


def test_match__subset_sums_agree_with_every_subset() -> None:
    rng = random.Random(5)
    for _ in range(300):
        items = [rng.randint(-9, 9) for _ in range(rng.randint(0, 9))]
        target, tolerance = rng.randint(-12, 12), rng.randint(0, 1)
        low, high = rng.randint(1, 3), rng.randint(1, 5)
        wanted = {
            sum(1 << k for k in chosen)
            for size in range(low, high + 1)
            for chosen in itertools.combinations(range(len(items)), size)
            if abs(sum(items[k] for k in chosen) - target) <= tolerance
        }
        found = np.empty(600, np.uint64)
        count, complete = subset_sums(
            np.array(items, np.int64), target, tolerance, low, high, 10**6, found
        )
        assert complete
        assert sorted(found[:count].tolist()) == sorted(wanted)


def test_match__subset_sums_stop_at_their_bounds() -> None:
    found = np.empty(3, np.uint64)
    ones = np.ones(64, np.int64)
    assert subset_sums(np.array([2, 4, 6, 9]), 1, 0, 2, 4, 3, found) == (0, False)
    assert subset_sums(ones, 2, 0, 2, 2, 10**6, found) == (3, False)
    with pytest.raises(ValueError, match="64 items"):
        subset_sums(np.ones(65, np.int64), 1, 0, 1, 2, 10, found)
    with pytest.raises(ValueError, match="2\\*\\*56"):
        subset_sums(np.array([2**56]), 1, 0, 1, 2, 10, found)


IDS = st.one_of(
    st.builds(transfer, st.integers(0, 2**33), st.integers(0, 999_999)),
    st.sampled_from(["20261125-000001-000000000A", "20261125-000001-0000000001 ", "é", "A" * 35]),
    st.text(max_size=35),
)


@settings(max_examples=200, deadline=None)
@given(st.lists(IDS, max_size=30), st.lists(IDS, max_size=30))
def test_match__lines_find_an_id_where_a_dict_finds_it(left: list[str], right: list[str]) -> None:
    def buffers(texts: list[str]) -> tuple[Any, Any]:
        data = [t.encode() for t in texts]
        offsets = np.cumsum([0, *map(len, data)], dtype=np.int32)
        return offsets, np.frombuffer(b"".join(data), np.uint8)

    def of(texts: list[str]) -> tuple[Any, ...]:
        count = len(texts)
        zeros = np.zeros(count + 1, np.int32), np.empty(0, np.uint8)
        return *buffers(texts), *zeros, np.ones(count, np.int64), np.zeros(count, np.int64)

    lines = Lines(len(left), 7)
    first = np.empty(len(left), np.uint32)
    half = len(left) // 2
    lines.expect(*of(left[:half]), first[:half])
    lines.expect(*of(left[half:]), first[half:])
    known: dict[str, int] = {}
    for row, text in enumerate(left):
        assert first[row] == (known.setdefault(text, row) if text else NO_ROW)
    clean, ousted = np.empty(len(right), np.uint8), np.empty(len(right), np.uint32)
    claim = np.full(len(left), NO_ROW, np.uint32)
    again = first[first != np.arange(len(left))]
    claim[again[again != NO_ROW]] = CROWDED
    lines.answer(*of(right), np.ones(len(right), np.uint8), 0, 0, 0, claim, clean, ousted)
    for row, text in enumerate(right):
        alone = left.count(text) == 1 and text not in right[:row] and text != ""
        assert clean[row] == alone
        earlier = right[:row]
        claimed = left.count(text) == 1 and earlier.count(text) == 1 and text != ""
        assert ousted[row] == (earlier.index(text) if claimed else NO_ROW)
