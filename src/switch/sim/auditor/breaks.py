"""Breaks foretold: what must be open of what receivers said, as far as it follows from one line's
records alone.

Of the engine it imports `schema`, `reason` and `errors` alone.
"""

from __future__ import annotations

import datetime as dt

from switch.sim.auditor.expected import Breaks, Owed, Record
from switch.sim.auditor.way_back import WayBack

RECALL_DAYS = 15
"""Days for which a recall may be without an answer."""
APART_DAYS = 1
"""Days by which a booking may differ from the business day of its line's cycle."""


class OpenBreaks:
    """Holds records against the lines that were sent, as things stand."""

    def __init__(self, way_back: WayBack) -> None:
        self.way_back, self.records = way_back, way_back.records
        self.files = self.records.files()
        self.heads = way_back.payments.heads()

    def all(self) -> Breaks:
        """All breaks that must be open."""
        by_id = {owed.named: owed for owed in self.way_back.payments.sent.values()}
        classes: dict[str, list[str]] = {}
        unsure: set[str] = set()
        shared: set[str] = set()
        """Accounts by which a record may find another line than the one it names."""
        for name, records in self.records.said.items():
            owed = by_id.get(name)
            others = owed is not None and any(not record.is_of(owed) for record in records)
            if name not in self.heads and (owed is None or others or len(records) > 1):
                shared |= {record.account for record in records if record.account}
            if owed is None and name not in self.heads:
                found = self._strays(records)
                classes |= {name: found or []}
                unsure |= {name} if found is None else set()
        for name, owed in by_id.items():
            strange = tuple(r for r in self.records.said.get(name, ()) if not r.is_of(owed))
            parts = [self._of_line(owed), self._strays(strange) if strange else []]
            classes[name] = sorted(word for part in parts for word in part or [])
            if None in parts or owed.account in shared:
                unsure.add(name)
        classes |= {head: ["DUPLICATE"] * many for head, many in self.files.again.items()}
        classes = {name: words for name, words in classes.items() if words}
        return Breaks(classes, unsure, self.files.drifts, self._unbooked(), self._recalls())

    def _recalls(self) -> list[tuple[str, str]]:
        """Recalls that nobody answered by the deadline, and answers to none."""
        way_back, sent = self.way_back, self.way_back.payments.sent
        late = {
            sent[line].named
            for line in way_back.open_recalls()
            if (way_back.days.as_of - way_back.asked[line]).days > RECALL_DAYS
        }
        found = [("RECALL_OVERDUE", name) for name in late]
        by_id = {owed.named: owed for owed in sent.values()}
        for name, records in self.records.resolved.items():
            owed = by_id.get(name)
            for record in records:
                is_asked = owed is not None and record.is_of(owed) and owed.line in way_back.asked
                is_stopped = (
                    owed is not None
                    and record.is_of(owed)
                    and owed.line in way_back.payments.stopped
                    and record.status != "RJCR"
                )
                if not (is_asked or is_stopped):
                    found.append(("RECALL_UNMATCHED", name))
        return sorted(found)

    def _unbooked(self) -> list[str]:
        """Returned lines that no statement books in time, or on another day than they came back on,
        from the first day that one covers; and entries of such that came back long before that day.
        """
        booked = self.records.booked
        begin = min(booked.values(), default=dt.date.max)
        found = []
        for line in self.way_back.returned:
            owed = self.way_back.payments.sent[line]
            if owed.named in found:
                continue  # Another line of the credit told of it.
            day = min(record.at.date() for record in self.records.clean(owed, "RTRN"))
            if (entry := booked.get(owed.named)) is None:
                is_open = self.way_back.days.is_late(day) and day >= begin
            else:
                is_apart = abs((entry - day).days) > APART_DAYS
                is_open = is_apart and (day >= begin or self.way_back.days.is_late(entry))
            found += [owed.named] if is_open else []
        return sorted(found)

    def _strays(self, records: tuple[Record, ...]) -> list[str] | None:
        """Breaks of records of no line that was sent to who gives them; None where the rules have
        to choose."""
        (record, *more) = records
        batch = self.heads.get(record.transfer_id[:15])
        if more or record.account or batch in self.way_back.closed:
            return None
        word = "RETURN_UNMATCHED" if record.status == "RTRN" else "MISSING"
        return [word] if self.way_back.days.is_late(record.at.date()) else []

    def _of_line(self, owed: Owed) -> list[str] | None:
        """Classes of breaks about a line; None where the rules have to choose."""
        records = self.records.own(owed)
        by_file, twice = self.files.credited.get(owed.line), self.files.twice.get(owed.line)
        if owed.line in self.way_back.payments.stopped:
            return self._of_stopped(records)
        if not records:
            if by_file is not None:
                return self._timing(owed, by_file)
            return ["MISSING"] if self.way_back.is_overdue(owed) else []
        (record, *more) = records
        if not all(record.fits(owed) for record in records):
            if more or record.status != "ACCC":
                return None
            return ["AMOUNT"] if record.amount != owed.due else ["REFERENCE"]
        if twice is not None:
            late = self._timing(owed, twice) or self._timing(owed, record.at)
            return ["DUPLICATE"] if not more and not late else None
        statuses = sorted(record.status for record in records)
        if statuses == ["ACCC"]:
            return self._timing(owed, record.at)
        if statuses == ["RJCT"]:
            return [] if owed.line in self.way_back.refused else ["STATUS"]
        returned = owed.line in self.way_back.returned
        if returned and owed.line in self.way_back.asked and len(records) < 3:
            return [] if len(set(statuses)) == len(statuses) else None
        if returned and statuses in (["RTRN"], ["RJCT", "RTRN"], ["ACCC", "RTRN"]):
            credits = [record.at for record in records if record.status == "ACCC"]
            credits += [] if by_file is None else [by_file]
            return [word for at in credits for word in ("STATUS", *self._timing(owed, at))]
        on_time = not any(self._timing(owed, record.at) for record in records)
        return ["DUPLICATE"] if statuses == ["ACCC", "ACCC"] and on_time else None

    def _of_stopped(self, records: tuple[Record, ...]) -> list[str] | None:
        """Classes of breaks about a line that was recalled in time: nobody owes an answer to it."""
        if not records:
            return []
        (record, *more) = records
        owed = self.way_back.payments.by_id(record.transfer_id)
        if more or not record.fits(owed):
            return None
        return {"RJCT": [], "ACCC": ["STATUS"]}.get(record.status)

    def _timing(self, owed: Owed, at: dt.datetime) -> list[str]:
        apart = abs((at.date() - self.way_back.day_of(owed)).days)
        return ["TIMING"] if apart > APART_DAYS else []
