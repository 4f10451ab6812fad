"""Notes about breaks: who looks after one, and whether it is taken as it is."""

from __future__ import annotations

from typing import NamedTuple


class Mark(NamedTuple):
    """A break as it was open when something was noted about it."""

    name: str
    """Its id."""
    kind: str
    """Its class."""
    value: int


class Notes:
    """All that was noted."""

    def __init__(self) -> None:
        self.owners: dict[str, str] = {}
        """Desks by id of the break."""
        self.accepted: dict[str, Mark] = {}
        self.words: dict[str, str] = {}

    def take(self, marks: list[Mark], words: str, owner: str, accepted: bool | None) -> None:
        """Note something about breaks that are open."""
        for mark in marks:
            if words:
                self.words[mark.name] = words
            if owner:
                self.owners[mark.name] = owner
            if accepted is not None:
                self.accepted.pop(mark.name, None)
            if accepted:
                self.accepted[mark.name] = mark

    def is_accepted(self, mark: Mark) -> bool:
        """A break was accepted, and is what it was then."""
        return self.accepted.get(mark.name) == mark
