"""SVG: strokes, texts and numbers of the pictures, without scripts, fonts or links.

Floats are pixels only.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from html import escape

INK, MUTED, RULE, PAPER = "#1b2733", "#526070", "#d5dde6", "#fbfcfd"
FONTS = "system-ui, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, 'DejaVu Sans', sans-serif"


def money(amount: int) -> str:
    """Dong for reading, rounded to a tenth of its unit: 4,129.4 bn ₫; exact below a million."""
    size, sign = abs(amount), "−" if amount < 0 else ""
    if size >= 10**18:
        return f"{'< −' if sign else '> '}999,999 tn ₫"
    for least, unit, name in ((10**15, 10**12, "tn"), (10**9, 10**9, "bn"), (10**6, 10**6, "m")):
        if size >= least:
            tenths = (size * 10 + unit // 2) // unit
            return f"{sign}{tenths // 10:,}.{tenths % 10} {name} ₫"
    return f"{sign}{size:,} ₫"


def n(pixels: float) -> str:
    return f"{pixels:.1f}".removesuffix(".0")


def safe(text: str) -> str:
    """Text for XML: escaped, and signs that XML forbids or that do not show replaced."""
    return escape("".join(c if c.isprintable() else "\ufffd" for c in text))


def width(text: str) -> float:
    """An upper estimate in units of the font size, for the widest of the fonts named."""

    def one(c: str) -> float:
        wide = c in "MWmw@%—…−=+" or unicodedata.east_asian_width(c) in "WF"
        return 1.0 if wide else 0.7 if c.isupper() else 0.36 if c in " .,:;'ilj|" else 0.64

    return sum(map(one, text))


class Pen:
    """Collects SVG elements."""

    def __init__(self) -> None:
        self.parts: list[str] = []

    @contextmanager
    def group(self, tip: str) -> Iterator[None]:
        self.parts.append(f"<g><title>{safe(tip)}</title>")
        yield
        self.parts.append("</g>")

    def _put(self, tag: str, inner: str = "", /, **more: str | float) -> None:
        """An element; attributes that are "" are left out."""
        texts = (
            f' {name.replace("_", "-")}="{value if isinstance(value, str) else n(value)}"'
            for name, value in more.items()
            if value != ""
        )
        self.parts.append(f"<{tag}{''.join(texts)}>{inner}</{tag}>")

    def text(
        self,
        x: float,
        y: float,
        text: str,
        size: float,
        how: str = "",
        fill: str = "",
        *,
        fit: float = 0,
    ) -> None:
        """how: words of bold, muted, end, middle, cut. fit: the pixels that there are, if not 0;
        the text gets smaller to fit. Words (cut) get no smaller than 3/4, then shorter; numbers
        are never cut."""
        words = how.split()
        bold, cut = "bold" in words, "cut" in words
        if fit:
            wide = 1.1 if bold else 1.0
            size = max(size * 0.75 * cut, min(size, fit / max(1.0, wide * width(text))))
            kept = text
            while cut and len(kept) > 1 and wide * width(text) * size > fit + 0.1:
                kept = kept[:-1]
                text = kept + "…"
        self._put(
            "text",
            safe(text),
            x=x,
            y=y,
            font_size=size,
            fill=fill or (MUTED if "muted" in words else INK),
            font_weight="700" if bold else "",
            text_anchor="end" if "end" in words else "middle" if "middle" in words else "",
        )

    def rect(
        self, x: float, y: float, width: float, height: float, fill: str, **more: str | float
    ) -> None:
        self._put("rect", x=x, y=y, width=width, height=height, fill=fill, **more)

    def path(self, d: str, fill: str) -> None:
        self._put("path", d=d, fill=fill)

    def stroke(self, d: str, colour: str, thick: float) -> None:
        self._put("path", d=d, fill="none", stroke=colour, stroke_width=thick)

    def band(
        self, x0: float, y0: float, h0: float, x1: float, y1: float, h1: float, fill: str
    ) -> None:
        """A ribbon from the left edge (x0, y0..y0+h0) to the right edge (x1, y1..y1+h1)."""
        a, b, c, d = (n(y) for y in (y0, y1, y1 + h1, y0 + h0))
        left, right, mid = n(x0), n(x1), n((x0 + x1) / 2)
        there = f"M{left} {a}C{mid} {a} {mid} {b} {right} {b}"
        self.path(f"{there}V{c}C{mid} {c} {mid} {d} {left} {d}z", fill)

    def shade(self, name: str, x0: float, colour0: str, x1: float, colour1: str) -> None:
        """A named fill that goes from one colour to half of the other."""
        stops = (
            f'<stop offset="0" stop-color="{colour0}"/>'
            f'<stop offset="1" stop-color="{colour1}" stop-opacity="0.5"/>'
        )
        place = {"x1": x0, "x2": x1, "y1": 0, "y2": 0}
        self._put("linearGradient", stops, id=name, gradientUnits="userSpaceOnUse", **place)

    def tick(self, x: float, y: float, colour: str, scale: float = 1.0) -> None:
        a, b, c = (n(scale * v) for v in (4, 8, 9))
        self.stroke(f"M{n(x)} {n(y)}l{a} {a}l{b} -{c}", colour, 2 * scale)
