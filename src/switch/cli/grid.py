"""Grid: rows for people, in which no number is ever broken.

Where all columns do not fit, words are wrapped; where that is not enough, columns that matter least
are left out; and where even the numbers are too wide, each row stands as a list of its cells.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from switch.errors import plain

GAP = 2
"""Blanks between columns."""
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
