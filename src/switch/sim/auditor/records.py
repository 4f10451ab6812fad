"""Records of answers: all that receivers and the treasury's statement ever said, each once.

Of the engine it imports `schema`, `reason` and `errors` alone. Amounts are whole dong.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

from switch.sim.auditor.expected import BOOKED, RESOLVED, Line, Owed, Record
from switch.sim.auditor.payments import Payments


class Files(NamedTuple):
    """Answers to whole clearing files, as they hit lines."""

    credited: dict[Line, dt.datetime]
    """Lines that one of them credits, with its time."""
    twice: dict[Line, dt.datetime]
    """Lines of which an answer of their own says so, too."""
    drifts: set[str]
    """Receivers and files whose sum is not ours."""
    again: Counter[str]
    """Answers too many, by file."""


class Records:
    """Records by the transfer id that they name."""

    def __init__(self, payments: Payments) -> None:
        self.payments = payments
        self.said: dict[str, tuple[Record, ...]] = {}
        self.booked: dict[str, dt.date] = {}
        """Days of the treasury's entries."""
        self.resolved: dict[str, tuple[Record, ...]] = {}
        """Answers to recalls by the transfer id that they name."""
        self.heard: dict[Record, int] = {}
        """Every record, with the number of the commit that took it in."""

    def take_in(self, records: Iterable[Record], commit: int) -> dict[str, int]:
        """Take in records that were not heard before. Returns their count by kind of file."""
        new = Counter(confirmations=0, returns=0, statement=0)
        sent = {owed.named: owed for owed in self.payments.sent.values()}
        for record in records:
            name = record.transfer_id
            if self._is_heard(record, sent.get(name)):
                continue
            self.heard[record] = commit
            new[record.kind] += 1
            if record.status in RESOLVED:
                self.resolved[name] = (*self.resolved.get(name, ()), record)
            elif record.status == BOOKED:
                self.booked[name] = record.at.date()
            else:
                self.said[name] = (*self.said.get(name, ()), record)
        return dict(new)

    def _is_heard(self, record: Record, owed: Owed | None) -> bool:
        """Tell whether it was said before. What a settlement bank says as its wallet did, or the
        other way round, is the line's first clean answer once more."""
        if owed is None or record.kind != "confirmations" or not record.fits(owed):
            return record in self.heard
        said = self.said.get(record.transfer_id, ())
        first = next((r for r in said if r.kind == record.kind and r.fits(owed)), None)
        as_first = first and record._replace(participant=first.participant)
        return record in self.heard or (first is not None and as_first == first)

    def clean(self, owed: Owed, status: str) -> list[Record]:
        """Records of a line that say a status and fit the line."""
        found = self.said.get(owed.named, ())
        return [record for record in found if record.status == status and record.fits(owed)]

    def denies(self, owed: Owed) -> bool:
        """Tell whether the receiver refuses to give a line back, by the last answer that decides;
        of one time a refusal does."""
        mine = [r for r in self.resolved.get(owed.named, ()) if r.is_of(owed)]
        said = [(r.at, r.status) for r in mine if r.status != "PDCR"]
        return max(said, default=(None, ""))[1] == "RJCR"

    def own(self, owed: Owed) -> tuple[Record, ...]:
        """Records of a line by those who may answer to it."""
        return tuple(r for r in self.said.get(owed.named, ()) if r.is_of(owed))

    def files(self) -> Files:
        """All that answers to whole clearing files say."""
        found = Files({}, {}, set(), Counter())
        for head, seq in self.payments.heads().items():
            right: dict[str, list[dt.datetime]] = {}
            for record in self.said.get(head, ()):
                mine = [
                    owed
                    for owed in self.payments.sent.values()
                    if owed.cleared_in == seq
                    and owed.participant == record.participant
                    and owed.line not in self.payments.stopped
                ]
                said = {o.line: {r.status for r in self.own(o)} for o in mine}
                due = sum(o.amount for o in mine if "RJCT" not in said[o.line])
                if not mine or record.amount != due:
                    found.drifts.add(f"{record.participant} {head}")
                    continue
                times = right.setdefault(record.participant, [])
                times.append(record.at)
                for owed in mine:
                    if not said[owed.line] & {"ACCC", "RJCT"}:
                        found.credited[owed.line] = min(times)
                    elif self.clean(owed, "ACCC") and "RJCT" not in said[owed.line]:
                        found.twice[owed.line] = min(times)
            found.again[head] += sum(len(times) - 1 for times in right.values())
        return found
