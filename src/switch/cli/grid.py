"""Grid: rows for people, in which no number is ever broken.

Where all columns do not fit, words are wrapped; where that is not enough, columns that matter least
are left out; and where even the numbers are too wide, each row stands as a list of its cells.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from rich import box
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table
from rich.text import Text

from switch.errors import plain

GAP = 2
"""Blanks between columns."""
WORD_MAX = 24
"""Longest word of a column of words that no line breaks; ids of others can be longer."""
WORDS_MIN = 12
"""Cells that a column of words keeps, though its longest word be longer."""


class Shown(NamedTuple):
    """A column for people. rank: those with the highest leave first where there is no room."""

    head: str
    name: str
    rank: int = 0
    whole: bool = True
    """Its texts are never wrapped: numbers, ids, days."""
    grouped: bool = True
    """Its numbers are amounts and counts; those of names are copied as they stand."""


def print_grid(
    console: Console, title: str, columns: Sequence[Shown], rows: Sequence[Mapping[str, object]]
) -> None:
    """Print rows, which have a value for the name of each column; what is nothing is blank."""
    cells = {c.name: [_text(row[c.name], c.grouped) for row in rows] for c in columns}
    # A column that matters less and has nothing but zeros says nothing either.
    fitting = [c for c in columns if {*cells[c.name]} - {"", "0" if c.rank else ""}]
    least = {c.name: _least(c, cells[c.name]) for c in fitting}
    while sum(least[c.name] + GAP for c in fitting) - GAP > console.width:
        last = max(fitting, key=lambda c: (c.rank, fitting.index(c)))
        if not last.rank:
            break
        fitting.remove(last)
    if sum(least[c.name] + GAP for c in fitting) - GAP > console.width:
        _print_stacked(console, title, fitting, cells, len(rows))
        return
    table = Table(
        title=f"\n{title}",
        title_justify="left",
        title_style="bold",
        box=box.SIMPLE_HEAD,
        show_edge=False,
        pad_edge=False,
        padding=(0, GAP - 1, 0, 0),  # And the line between columns.
    )
    for column in fitting:
        numbers = any(type(row[column.name]) is int for row in rows)
        table.add_column(
            column.head,
            justify="right" if numbers else "left",
            overflow="fold",
            no_wrap=column.whole,
            min_width=least[column.name],
        )
    for at in range(len(rows)):
        table.add_row(*(Text(cells[column.name][at]) for column in fitting))
    console.print(table)


def _text(value: object, grouped: bool) -> str:
    if value is None or value is False:
        return ""
    if value is True:
        return "yes"
    return f"{value:,}" if grouped and isinstance(value, int) else plain(str(value))


def _least(column: Shown, cells: list[str]) -> int:
    """Cells that a column needs."""
    whole = max(map(cell_len, [column.head, *cells]))
    if column.whole:
        return whole
    words = (word for cell in cells for word in cell.split())
    return min(whole, max(WORDS_MIN, cell_len(column.head)), max(map(cell_len, words), default=0))


def _print_stacked(
    console: Console,
    title: str,
    columns: Sequence[Shown],
    cells: dict[str, list[str]],
    count: int,
) -> None:
    console.print(Text(f"\n{title}", "bold"), soft_wrap=True)
    width = max(len(column.head) for column in columns)
    for at in range(count):
        console.print()
        for column in columns:
            text = cells[column.name][at]
            console.print(Text(f"{column.head:{width}}  {text}"), soft_wrap=True)


class Grid:
    """Rows under heads. A head that begins with # is of numbers, to the right; one with = is of
    words that stay whole, such as days and codes; all others are wrapped."""

    def __init__(self, title: str, *heads: str) -> None:
        self.title = title
        self._heads = [head.removeprefix("#").removeprefix("=") for head in heads]
        self._is_number = [head.startswith("#") for head in heads]
        self._is_whole = [head.startswith(("#", "=")) for head in heads]
        self._rows: list[list[Text]] = []

    def add_row(self, *cells: str | Text) -> None:
        assert len(cells) == len(self._heads), "a row has a cell for each head"
        self._rows.append([Text(cell) if isinstance(cell, str) else cell for cell in cells])

    def __len__(self) -> int:
        return len(self._rows)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield Text(f"\n{self.title}", "bold")
        for padding in (1, 0):
            widths = self._widths(options.max_width, 2 * padding + 1)
            if widths:
                yield self._table(widths, padding)
                return
        for row in self._rows:
            yield from self._list(row)

    def _widths(self, width: int, gap: int) -> list[int]:
        """Width of each column; empty where they do not fit."""
        least, most = [], []
        for at, head in enumerate(self._heads):
            cells = [Text(head), *(row[at] for row in self._rows)]
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

    def _table(self, widths: list[int], padding: int) -> Table:
        table = Table(
            box=box.SIMPLE_HEAD,
            show_edge=False,
            pad_edge=False,
            padding=(0, padding),
        )
        for at, (head, width) in enumerate(zip(self._heads, widths, strict=True)):
            table.add_column(
                head,
                justify="right" if self._is_number[at] else "left",
                overflow="fold",
                width=width,
            )
        for row in self._rows:
            table.add_row(*row)
        return table

    def _list(self, row: list[Text]) -> RenderResult:
        """The first words of a row on a line of their own, then each cell with its head."""
        first = next((at for at, cell in enumerate(row) if cell.plain), 0)
        yield Text("")
        yield row[first]
        for head, cell in list(zip(self._heads, row, strict=True))[first + 1 :]:
            if cell.plain:
                yield Text.assemble("  ", f"{head}: " if head else "", cell)
