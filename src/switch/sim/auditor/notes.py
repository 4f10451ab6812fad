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
        self.last: dict[str, tuple[Mark, str, str, bool | None]] = {}
        """All that was said last of a break."""

    def take(self, marks: list[Mark], words: str, owner: str, accepted: bool | None) -> bool:
        """Note something about breaks that are open. Returns true where it was not said before."""
        said = {mark.name: (mark, words, owner, accepted) for mark in marks}
        if all(self.last.get(name) == one for name, one in said.items()):
            return False
        self.last.update(said)
        for mark in marks:
            if words:
                self.words[mark.name] = words
            if owner:
                self.owners[mark.name] = owner
            if accepted is not None:
                self.accepted.pop(mark.name, None)
            if accepted:
                self.accepted[mark.name] = mark
        return True

    def is_accepted(self, mark: Mark) -> bool:
        """A break was accepted, and is what it was then."""
        return self.accepted.get(mark.name) == mark
