"""Names of people: texts by number, and the many ways in which agencies write one name."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from switch.sim.world.draw import choice_table


def without_marks(text: str) -> str:
    kept = (c for c in unicodedata.normalize("NFD", text) if not unicodedata.combining(c))
    return "".join(kept).replace("đ", "d").replace("Đ", "D")


_TONES = [
    (old, new)
    for olds, news in (("òóỏõọ", "àáảãạ"), ("òóỏõọ", "èéẻẽẹ"), ("ùúủũụ", "ỳýỷỹỵ"))
    for old_first, new_last in zip(olds, news, strict=True)
    for base in [without_marks(new_last)]
    for old, new in [(old_first + base, without_marks(old_first) + new_last)]
]


def other_tone_place(text: str) -> str:
    """Hoà for Hòa: the tone on the second vowel of an open oa, oe, uy."""
    for old, new in _TONES:
        if text.endswith(old):
            return text[: -len(old)] + new
    return text


class Style(NamedTuple):
    """One way in which agencies write names; all of them match by the rule of names."""

    weight: float
    spell: Callable[[str], str]
    lead: str = ""
    gap: str = " "


STYLES = (
    Style(0.55, str),
    Style(0.20, str.upper),
    Style(0.10, lambda text: without_marks(text).upper()),
    Style(0.05, other_tone_place),
    Style(0.02, lambda text: unicodedata.normalize("NFD", text)),
    Style(0.04, str, lead=" ", gap="  "),
    Style(0.04, without_marks),
)
UNUSABLE = (
    "",
    "   ",
    "Nguyễn Văn\tAn",
    "Trần\x00 Thị Hoa",
    "Lê\u202e Thị Thu",
    "Phạm Văn\u2028Hùng",
    "Võ Thị\u2029Mai",
    "Đặng\x7f Văn Bình",
    "Nguyễn " + "Văn " * 33 + "Án",
)
LONGEST_USABLE = "Nguyễn " + "Văn " * 32 + "Hoàng"
"""140 characters: just within the limit, and nobody's name."""
assert len(UNUSABLE[-1]) == 141
assert len(LONGEST_USABLE) == 140


class Names:
    """Texts of names by number.

    A name is prefix * width + given, where a prefix is a family and a middle name (men's first) and
    width the count of given names of the longer of the two lists. A text is two table positions,
    `prefix_at` and `given_at`, which know the style of writing too.
    """

    def __init__(self, rows: Sequence[Mapping[str, str]]) -> None:
        def words(kind: str, sex: str) -> tuple[list[str], list[float]]:
            found = [r for r in rows if r["kind"] == kind and r["sex"] in (sex, "any")]
            return [r["text"] for r in found], [float(r["weight"]) for r in found]

        families, family_weights = words("family", "any")
        middles = [words("middle", sex) for sex in "mf"]
        givens = [words("given", sex) for sex in "mf"]
        self.family_table = choice_table(family_weights)
        self.middle_tables = np.stack([choice_table(weights) for _, weights in middles])
        self.given_tables = np.stack([choice_table(weights) for _, weights in givens])
        self.middle_counts = np.array([len(m) for m, _ in middles], np.uint32)
        self.women_from = len(families) * len(middles[0][0])
        self.prefix_count = self.women_from + len(families) * len(middles[1][0])
        self.width = max(len(texts) for texts, _ in givens)
        self.count = self.prefix_count * self.width

        padded = [texts + texts[:1] * (self.width - len(texts)) for texts, _ in givens]
        given_words = padded[0] + padded[1]
        pairs = [(f, m) for texts, _ in middles for f in families for m in texts]
        words_of_prefixes = {word for pair in pairs for word in pair}
        prefix_texts: list[str] = []
        given_texts: list[str] = []
        for style in STYLES:
            spelled = {w: " ".join(map(style.spell, w.split())) for w in words_of_prefixes}
            prefix_texts += [
                style.lead + spelled[f] + style.gap + spelled[m] + style.gap for f, m in pairs
            ]
            given_texts += [style.spell(word) for word in given_words]
        self.unusable_at = len(prefix_texts)
        self.longest_at = self.unusable_at + len(UNUSABLE)
        self.blank_at = len(given_texts)
        self._prefixes = pa.array([*prefix_texts, *UNUSABLE, LONGEST_USABLE], pa.string())
        self._givens = pa.array([*given_texts, ""], pa.string())
        keys = np.array([without_marks(word).upper() for word in given_words])
        _, self._given_keys = np.unique(keys, return_inverse=True)

    def numbers(
        self,
        sex: NDArray[np.uint8],
        family: NDArray[np.uint16],
        middle: NDArray[np.uint16],
        given: NDArray[np.uint16],
    ) -> NDArray[np.uint32]:
        """Names of men (0) and women (1) from a family and two uniform 16-bit fields."""
        at = sex.astype(np.int64) << 16
        prefix = family * self.middle_counts[sex] + self.middle_tables.ravel()[at + middle]
        prefix += sex * np.uint32(self.women_from)
        given_index = self.given_tables.ravel()[at + given]
        number: NDArray[np.uint32] = prefix * np.uint32(self.width) + given_index
        return number

    def places(
        self, number: NDArray[np.uint32], style: NDArray[np.uint16]
    ) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """(prefix_at, given_at) of names written in these styles."""
        prefix = (number // np.uint32(self.width)).astype(np.int32)
        given = number.astype(np.int32) - prefix * np.int32(self.width)
        given += (prefix >= self.women_from) * np.int32(self.width)
        step = style.astype(np.int32)
        return prefix + step * self.prefix_count, given + step * (2 * self.width)

    def other_given(
        self, rng: np.random.Generator, given_at: NDArray[np.int32]
    ) -> NDArray[np.integer]:
        """Positions of given names, in the same style, whose key differs."""
        block = 2 * self.width
        base, word = np.divmod(given_at, block)
        other = rng.integers(0, block, len(given_at))
        while (same := self._given_keys[other] == self._given_keys[word]).any():
            other = np.where(same, (other + 1) % block, other)
        return (base * block + other).astype(np.int32)

    def texts(self, prefix_at: NDArray[np.int32], given_at: NDArray[np.int32]) -> pa.StringArray:
        heads = self._prefixes.take(pa.array(prefix_at))
        return pc.binary_join_element_wise(heads, self._givens.take(pa.array(given_at)), "")

    def register_column(self, number: NDArray[np.uint32]) -> pa.DictionaryArray:
        """The register's writing, as a dictionary of the names that occur."""
        used = np.flatnonzero(np.bincount(number, minlength=self.count)).astype(np.uint32)
        position = np.zeros(self.count, np.int32)
        position[used] = np.arange(len(used), dtype=np.int32)
        values = self.texts(*self.places(used, np.zeros(len(used), np.uint16)))
        return pa.DictionaryArray.from_arrays(pa.array(position[number]), values)
