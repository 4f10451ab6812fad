"""Grid: rows for people, in which no number is ever broken.

Where all columns do not fit, words are wrapped; where that is not enough, columns that matter least
are left out; and where even the numbers are too wide, each row stands as a list of its cells.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from rich import box
from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table
from rich.text import Text

from switch.errors import plain
from switch.words import said

WORD_MAX = 24
"""Longest word of a column of words that no line breaks; ids of others can be longer."""


class Shown(NamedTuple):
    """A column for people. rank: those with the highest leave first where there is no room."""

    head: str
    name: str
    rank: int = 0
    whole: bool = True
    """Its texts are never wrapped: numbers, ids, days."""
    grouped: bool = True
    """Its numbers are amounts and counts; those of names are copied as they stand."""
    verbatim: bool = False
    """Its texts are somebody's own, and codes, the same in every language."""


def grid_of(title: str, columns: Sequence[Shown], rows: Sequence[Mapping[str, object]]) -> Grid:
    """Rows, which have a value for the name of each column; what is nothing is blank."""
    cells = {c.name: [_text(row[c.name], c.grouped) for row in rows] for c in columns}
    # A column that matters less and has nothing but zeros says nothing either.
    shown = [c for c in columns if {*cells[c.name]} - {"", "0" if c.rank else ""}]
    marks = {
        c.name: "#" if any(type(row[c.name]) is int for row in rows) else "=" if c.whole else ""
        for c in shown
    }
    heads = [f"{marks[c.name]}{c.head}" for c in shown]
    grid = Grid(title, *heads, ranks=[c.rank for c in shown])
    for at in range(len(rows)):
        row = ((c, cells[c.name][at]) for c in shown)
        grid.add_row(*(Text(cell) if c.verbatim else cell for c, cell in row))
    return grid


def _text(value: object, grouped: bool) -> str:
    if value is None or value is False:
        return ""
    if value is True:
        return "yes"
    return f"{value:,}" if grouped and isinstance(value, int) else plain(str(value))


class Grid:
    """Rows under heads. A head that begins with # is of numbers, to the right; one with = is of
    words that stay whole, such as days and codes; all others are wrapped. ranks: where there is no
    room, the column with the highest leaves first, the last of several; one of 0 stays."""

    def __init__(self, title: str, *heads: str, ranks: Sequence[int] = ()) -> None:
        self.title = said(title)
        self._ranks = ranks or [0] * len(heads)
        self._heads = [said(head.removeprefix("#").removeprefix("=")) for head in heads]
        self._is_number = [head.startswith("#") for head in heads]
        self._is_whole = [head.startswith(("#", "=")) for head in heads]
        self._rows: list[list[Text]] = []

    def add_row(self, *cells: str | Text) -> None:
        assert len(cells) == len(self._heads), "a row has a cell for each head"
        self._rows.append([Text(said(cell)) if isinstance(cell, str) else cell for cell in cells])

    def __len__(self) -> int:
        return len(self._rows)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield Text(f"\n{self.title}", "bold")
        kept = list(range(len(self._heads)))
        while True:
            for padding in (1, 0):
                widths = self._widths(kept, options.max_width, 2 * padding + 1)
                if widths:
                    yield self._table(kept, widths, padding)
                    return
            last = max(kept, key=lambda at: (self._ranks[at], at))
            if not self._ranks[last]:
                break
            kept.remove(last)
        for row in self._rows:
            yield from self._list(kept, row)

    def _widths(self, kept: list[int], width: int, gap: int) -> list[int]:
        """Width of each column that is kept; empty where they do not fit."""
        least, most = [], []
        for at in kept:
            cells = [Text(self._heads[at]), *(row[at] for row in self._rows)]
            most.append(max(cell.cell_len for cell in cells))
            words = [Text(word).cell_len for cell in cells for word in cell.plain.split()]
            word = max(words, default=0)
            least.append(most[-1] if self._is_whole[at] else min(word, WORD_MAX))
        left = width - gap * (len(least) - 1) - sum(least)
        if left < 0:
            return []
        while left and least != most:
            at = max(range(len(least)), key=lambda at: most[at] - least[at])
            least[at] += 1
            left -= 1
        return least

    def _table(self, kept: list[int], widths: list[int], padding: int) -> Table:
        table = Table(
            box=box.SIMPLE_HEAD,
            show_edge=False,
            pad_edge=False,
            padding=(0, padding),
        )
        for at, width in zip(kept, widths, strict=True):
            table.add_column(
                self._heads[at],
                justify="right" if self._is_number[at] else "left",
                overflow="fold",
                width=width,
            )
        for row in self._rows:
            table.add_row(*(row[at] for at in kept))
        return table

    def _list(self, kept: list[int], row: list[Text]) -> RenderResult:
        """The first words of a row on a line of their own, then each cell with its head."""
        shown = [at for at in kept if row[at].plain]
        yield Text("")
        for at in shown:
            head = "" if at == shown[0] else f"  {self._heads[at]}: " if self._heads[at] else "  "
            yield Text.assemble(head, row[at])
