"""Notes: who looks after a break or an alarm, whether a break is taken as it is, and whether
somebody has seen an alarm."""

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


class Occurrence(NamedTuple):
    """An alarm as it was when something was noted about it."""

    name: str
    since: str
    level: str


class AlarmWords(NamedTuple):
    """All that a note says of alarms. seen: none where it says nothing of that."""

    note: str
    owner: str
    seen: bool | None
    until: str


class AlarmNotes:
    """All that was noted about alarms: every note, oldest first."""

    def __init__(self) -> None:
        self.all: list[tuple[Occurrence, AlarmWords]] = []

    def take(self, found: list[Occurrence], words: AlarmWords) -> bool:
        """Note something. Returns true where it was not said before, of each of them, last."""
        if all(self._last(one.name) == (one, words) for one in found):
            return False
        self.all += [(one, words) for one in found]
        return True

    def _last(self, name: str) -> tuple[Occurrence, AlarmWords] | None:
        mine = [pair for pair in self.all if pair[0].name == name]
        return mine[-1] if mine else None

    def state(self, one: Occurrence) -> str:
        """The state of an alarm that is there, at a time before all times until which one sleeps:
        what was said last of its being seen, or its sleep, counts, if it was of this occurrence."""
        mine = [pair for pair in self.all if pair[0].name == one.name]
        if not mine:
            return "open"
        told = [(of, words) for of, words in mine if words.seen is not None or words.until]
        if told and told[-1][1].until and told[-1][0] == one:
            return "snoozed"
        seen = [(of, words) for of, words in mine if words.seen is not None]
        if seen and seen[-1][1].seen and seen[-1][0] == one:
            return "acknowledged"
        return "open" if mine[-1][0] == one else "reopened"

    def owner(self, name: str) -> str:
        """The desk that looks after an alarm; '' where none was named."""
        owners = [words.owner for of, words in self.all if of.name == name and words.owner]
        return owners[-1] if owners else ""
