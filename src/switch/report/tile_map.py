"""Tile map of the 34 provinces: a square each, where it lies roughly in the country.

Source of the provinces: data/provinces.csv (Resolution 202/2025/QH15). Places are drawn by hand.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from switch.report.svg import safe

SIDE, STEP = 46, 50
PLACES = {
    "12": (1, 0), "15": (2, 0), "08": (3, 0), "04": (4, 0),
    "11": (0, 1), "14": (1, 1), "25": (2, 1), "19": (3, 1), "20": (4, 1),
    "01": (2, 2), "24": (3, 2), "22": (4, 2),
    "37": (2, 3), "33": (3, 3), "31": (4, 3),
    "38": (2, 4), "40": (2, 5), "42": (3, 5),
    "44": (3, 6), "46": (4, 6), "48": (5, 6),
    "51": (5, 7), "52": (4, 7),
    "66": (4, 8), "56": (5, 8),
    "80": (2, 9), "75": (3, 9), "68": (4, 9),
    "91": (0, 10), "82": (1, 10), "79": (2, 10),
    "96": (0, 11), "92": (1, 11), "86": (2, 11),
}  # fmt: skip
"""(column, row) of each province, by its code of two digits."""
BOUNDS = (0.01, 0.02, 0.05)
"""Shares of lines at which the next colour begins."""


class Tile(NamedTuple):
    """A province: its name, all of its lines, and those among them that were refused or wait."""

    name: str
    lines: int
    stopped: int


def tile_map(tiles: Mapping[str, Tile], label: str) -> str:
    """An SVG element without styles: classes tile-0 to tile-3 grow with the share of lines that
    were refused or wait; tile-none has no lines. tiles: by code. label: what it shows, in words."""
    parts = []
    for code, (column, row) in PLACES.items():
        tile = tiles.get(code, Tile("", 0, 0))
        share = tile.stopped / tile.lines if tile.lines else 0.0
        tone = f"tile-{sum(share >= bound for bound in BOUNDS)}" if tile.lines else "tile-none"
        x, y = column * STEP, row * STEP
        words = f"{share:.1%}" if tile.lines else ""
        tip = f"{tile.name or code}: {tile.stopped:,} / {tile.lines:,} ({share:.2%})"
        parts.append(
            f'<g><title>{safe(tip)}</title><rect class="{tone}" x="{x}" y="{y}" width="{SIDE}" '
            f'height="{SIDE}" rx="4"/><text class="name" x="{x + SIDE // 2}" y="{y + 17}" '
            f'text-anchor="middle">{safe(_short(tile.name) or code)}</text>'
            f'<text x="{x + SIDE // 2}" y="{y + 35}" text-anchor="middle">{words}</text></g>'
        )
    width = STEP * (1 + max(column for column, _ in PLACES.values()))
    height = STEP * (1 + max(row for _, row in PLACES.values()))
    return (
        f'<svg viewBox="-2 -2 {width} {height}" role="img" aria-label="{safe(label)}">'
        f"{''.join(parts)}</svg>"
    )


def _short(name: str) -> str:
    """The first letters of a name's words: they fit a tile, and the tip has the whole."""
    words = name.split()
    return (
        words[0][:6]
        if len(words) == 1
        else "".join(f"{word[:1]}." for word in words[:-1]) + (words[-1][:5] if words else "")
    )
