"""The native side of matching: ids as a dict finds them, sums as every subset gives them."""

from __future__ import annotations

import itertools
import random
import re
from collections import Counter
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings

from switch.native.match import CROWDED, Lines, subset_sums
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
    st.sampled_from(["\0" * 16 + "0000000001", "00000000-000000-0000000001"]),
    st.sampled_from(["20261125_000001-0000000001", "20261125-000001-0000000001"]),
    st.text(max_size=35),
)


def buffers(texts: list[str]) -> tuple[Any, Any]:
    data = [t.encode() for t in texts]
    offsets = np.cumsum([0, *map(len, data)], dtype=np.int32)
    return offsets, np.frombuffer(b"".join(data), np.uint8)


def columns(texts: list[str], accounts: list[str] | None = None) -> tuple[Any, ...]:
    count = len(texts)
    words = buffers(accounts or [""] * count)
    return *buffers(texts), *words, np.ones(count, np.int64), np.zeros(count, np.int64)


def require_as_a_dict(left: list[str], right: list[str]) -> None:
    """Lines of these ids, and answers to them, are found as a dict finds them."""
    lines = Lines(len(left), 7)
    first = np.empty(len(left), np.uint32)
    half = len(left) // 2
    lines.expect(*columns(left[:half]), first[:half])
    lines.expect(*columns(left[half:]), first[half:])
    known: dict[str, int] = {}
    for row, text in enumerate(left):
        assert first[row] == (known.setdefault(text, row) if text else NO_ROW)
    clean, ousted = np.empty(len(right), np.uint8), np.empty(len(right), np.uint32)
    claim = np.full(len(left), NO_ROW, np.uint32)
    again = first[first != np.arange(len(left))]
    claim[again[again != NO_ROW]] = CROWDED
    lines.answer(*columns(right), np.ones(len(right), np.uint8), 0, 0, 0, claim, clean, ousted)
    lines_of, said = Counter(left), Counter[str]()
    earlier: dict[str, int] = {}
    for row, text in enumerate(right):
        alone = lines_of[text] == 1 and text != ""
        assert clean[row] == (alone and said[text] == 0)
        assert ousted[row] == (earlier[text] if alone and said[text] == 1 else NO_ROW)
        said[text] += 1
        earlier.setdefault(text, row)
    for text, row in known.items():
        if text and lines_of[text] == 1:
            wanted = {0: NO_ROW, 1: earlier.get(text)}.get(said[text], CROWDED)
            assert claim[row] == wanted


@settings(max_examples=200, deadline=None)
@given(st.lists(IDS, max_size=30), st.lists(IDS, max_size=30))
def test_match__lines_find_an_id_where_a_dict_finds_it(left: list[str], right: list[str]) -> None:
    require_as_a_dict(left, right)


@pytest.mark.parametrize("moved", [0, 0.02, 0.3, 1])
def test_match__answers_are_found_in_order_and_out_of_it(moved: float) -> None:
    """Enough for many blocks: answers that stand in the order of the lines, but for gaps, strangers
    and repetitions, and a share of them anywhere."""
    rng = random.Random(9)
    left = [transfer(7 * n) if n % 11 else f"text {n}" for n in range(1500)]
    left += rng.sample(left, 5)
    right = [text for text in left if rng.random() > 0.03]
    right += [transfer(7 * n + 1) for n in range(20)]
    for _ in range(30):
        right.insert(rng.randrange(len(right)), rng.choice(right))
    for _ in range(int(moved * len(right))):
        a, b = rng.randrange(len(right)), rng.randrange(len(right))
        right[a], right[b] = right[b], right[a]
    require_as_a_dict(left, right)


@pytest.mark.parametrize("rows", [60, 6000])
def test_match__line_numbers_of_other_batches_are_other_places(rows: int) -> None:
    """Batches whose numbers are the same, one after the other and in turns, and numbers so far
    apart that leaves of them would be empty: those go on in slots, in a set of any size."""
    rng = random.Random(3)
    left = [transfer(n, batch) for batch in (1, 2) for n in range(rows // 4)]
    left += [transfer(n, batch) for n in range(rows // 8) for batch in (3, 4)]
    left += [transfer(5000 * n, 5) for n in range(rows // 4)]
    left += [transfer(5000 * n + 2**31, 1) for n in range(10)]
    right = [text for text in left if rng.random() > 0.1]
    right += [transfer(n, 6) for n in range(20)] + [transfer(n, 5) for n in range(1, 20)]
    require_as_a_dict(left, right)
    rng.shuffle(right)
    require_as_a_dict(left, right)


ACCOUNTS = st.one_of(st.from_regex(r"[0-9]{1,20}", fullmatch=True), st.text(max_size=20))


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(IDS, ACCOUNTS), max_size=30))
def test_match__lines_spell_what_they_know_to_the_letter(pairs: list[tuple[str, str]]) -> None:
    count = len(pairs)
    ids, accounts = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    lines = Lines(count, 7)
    *texts, _, at = columns(ids, accounts)
    lines.expect(*texts, np.arange(1, count + 1), at, np.empty(count, np.uint32))
    rows = np.arange(count)[::-1].copy()
    known, said = np.empty(count, np.uint8), np.empty(26 * count, np.uint8)
    ends, words = np.empty(count + 1, np.int32), np.empty(17 * (count + 1), np.uint8)
    amounts = np.empty(count, np.int64)
    found = lines.spell(rows, known, said, ends, words, amounts)
    plain = [
        (re.fullmatch(r"[0-9]{8}-[0-9]{6}-[0-9]{10}", ids[row], re.ASCII) is not None)
        and ids.index(ids[row]) == row
        and re.fullmatch(r"[0-9]{1,17}", accounts[row], re.ASCII) is not None
        for row in rows
    ]
    assert known.tolist() == plain
    assert found == sum(plain)
    assert amounts[:found].tolist() == (rows[known == 1] + 1).tolist()
    for place, row in enumerate(rows[known == 1]):
        assert said[26 * place : 26 * place + 26].tobytes().decode() == ids[row]
        assert words[ends[place] : ends[place + 1]].tobytes().decode() == accounts[row]
