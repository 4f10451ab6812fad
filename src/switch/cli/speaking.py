"""Speaking: a console of rich that says headings and sentences in the language that was chosen."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from switch.words import said


class Speaking(Console):
    """A console whose texts, also those in cells of tables, are put into words of a language."""

    def render_str(self, text: str, **how: Any) -> Text:
        """A heading or a title as it is shown."""
        return super().render_str(said(text), **how)

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        """Segments of a cell or a line, in words of the language."""
        if isinstance(renderable, Table):
            for column in renderable.columns:
                # They are measured before they are rendered, as they are said.
                column._cells = [_told(cell) for cell in column._cells]
        return super().render(_told(renderable), options)


def _told(one: RenderableType) -> RenderableType:
    """A text in the words of the language, and all else as it is."""
    if not isinstance(one, Text) or (told := said(one.plain)) == one.plain:
        return one
    return Text(told, one.style, justify=one.justify, overflow=one.overflow)
