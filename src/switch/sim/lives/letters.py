"""Letters: what receivers of a small switch write about the lines that were sent to them.

A receiver knows its clearing files and what it said before, nothing else. It credits, refuses,
sends money back, keeps silent, and now and then it is wrong: another amount, another account,
twice, late, about lines it never got, against its own word. All of it follows from the generator
that is given.
"""

from __future__ import annotations

import datetime as dt
import random
from collections.abc import Collection, Mapping, Sequence

from switch.sim.auditor.expected import BOOKED, Line, Owed, Record

FATES = {
    "credited": 40,
    "refused": 12,
    "returned": 12,
    "refused and returned": 2,
    "credited and returned": 2,
    "silent": 10,
    "another amount": 6,
    "another account": 6,
    "another receiver": 3,
    "another receiver returns": 1,
    "its bank": 3,
    "late": 3,
    "twice": 3,
    "both": 2,
    "never sent": 2,
}
"""Fates of a line that somebody writes about, with their weights."""
STATEMENTS = 0.3
"""Rate at which the treasury's statement comes with them."""
WHOLE_FILES = 0.15
"""Rate at which one row answers for a whole clearing file but for the lines that it refuses."""
FILES_AGAIN = 0.3
"""Rate at which it is given again with another time, and at which a line of it by itself, too."""
OF_PARTS = 0.2
"""Rate at which who got a credit of several lines writes about parts of it."""
OPEN = ("CLEARED", "SETTLED", "UNAPPLIED")


class Post:
    """Letters of receivers on one day."""

    def __init__(
        self,
        rng: random.Random,
        sent: Sequence[tuple[Owed, dt.date]],
        heads: Mapping[int, str],
        said: Mapping[str, Sequence[Record]],
    ) -> None:
        """sent: lines with the business days of their cycles. heads: what transfer ids of a batch
        begin with. said: records of before by transfer id."""
        self.rng, self.sent, self.heads, self.said = rng, sent, heads, said
        self.records: list[Record] = []
        self.leads = [(owed, day) for owed, day in sent if owed.leads]
        """Lines by whose ids receivers know what they got."""

    def any(self) -> None:
        """Some lines are written about, and some files are answered for as a whole."""
        rng = self.rng
        share = rng.choice([0.2, 0.5, 0.9])
        files: dict[tuple[int, str], list[tuple[Owed, dt.date]]] = {}
        for owed, day in self.leads:
            files.setdefault((owed.cleared_in, owed.participant), []).append((owed, day))
        for (run, receiver), lines in files.items():
            if rng.random() < WHOLE_FILES:
                self._whole_file(self.heads[run], receiver, lines)
                continue
            for owed, day in lines:
                # What was answered before is mostly left alone.
                if rng.random() < share * (0.15 if owed.transfer_id in self.said else 1):
                    if owed.credit and rng.random() < OF_PARTS:
                        self._in_parts(owed, day)
                        continue
                    (fate,) = rng.choices(list(FATES), list(FATES.values()))
                    self._say(fate, owed, day)

    def statement(self, returned: Sequence[Line]) -> None:
        """Now and then the treasury tells of most lines whose money came back."""
        if self.rng.random() < STATEMENTS:
            for owed, _ in self.leads:
                if owed.line in returned and self.rng.random() < 0.8:
                    (back, *_) = (r for r in self.said[owed.transfer_id] if r.status == "RTRN")
                    booked_at = dt.datetime.combine(back.at.date(), dt.time(), dt.UTC)
                    entry = "T.RETURNS", None, f"E-{owed.transfer_id}"
                    self.records.append(
                        Record("", owed.transfer_id, owed.due, booked_at, BOOKED, *entry)
                    )

    def all_open(self, states: Mapping[Line, str]) -> None:
        """Everything that is open is answered, so that it is not any more."""
        for owed, day in self.leads:
            if states[owed.line] in OPEN:
                self._say("credited" if self.rng.random() < 0.8 else "returned", owed, day)

    def recalls(
        self, asked: Sequence[Owed], day: dt.date, late: Collection[str], *, whole: bool
    ) -> None:
        """Receivers answer recalls; whole: each of them, for good. asked: lines of which one is
        open, or was; late: transfer ids of those answered later than that day."""
        rng = self.rng
        noon = dt.datetime.combine(day, dt.time(12), dt.UTC)
        for owed in asked:
            if not owed.leads:
                continue
            back = Record(owed.participant, owed.transfer_id, owed.due, noon, "RTRN")
            back = back._replace(reason="FOCR", return_id=f"R-{owed.transfer_id}")
            word = Record(owed.participant, owed.transfer_id, 0, noon, "RJCR", None, "NOAS")
            choices = {
                "back": [back],
                "no": [word],
                "its bank": [word._replace(participant=owed.payee)],
                "yes": [word._replace(status="CNCL", reason=None)],
                "later": [word._replace(status="PDCR", reason=None)],
                "another": [word._replace(participant=self._another())],
                "no line": [word._replace(transfer_id=f"{owed.transfer_id[:-10]}9999999998")],
                "silent": [],
            }
            # A refusal that is older than another answer decides nothing.
            final = ["back"] if owed.transfer_id in late else ["back", "no"]
            names = final if whole else list(choices)
            self.records += choices[rng.choice(names)]

    def files(self) -> list[list[Record]]:
        """The records as files: cut anywhere, in any order, some records in two of them."""
        rng = self.rng
        rng.shuffle(self.records)
        found = []
        kinds = ["confirmations", "returns", "statement"]
        if any(record.kind == "resolutions" for record in self.records):
            kinds.append("resolutions")
        for kind in kinds:
            mine = [record for record in self.records if record.kind == kind]
            mine += rng.sample(mine, len(mine) // 8)
            cut = rng.randint(0, len(mine))
            found += [part for part in (mine[:cut], mine[cut:]) if part]
        return found

    def _say(self, fate: str, owed: Owed, day: dt.date) -> None:
        noon = dt.datetime.combine(day, dt.time(12), dt.UTC)
        account = owed.account if self.rng.random() < 0.3 else None
        hour, day_, week = (dt.timedelta(hours=hours) for hours in (1, 24, 7 * 24))
        about = owed.participant, owed.transfer_id, owed.due
        yes = Record(*about, noon, "ACCC", account)
        no = yes._replace(status="RJCT", reason=self.rng.choice(["AC04", "AC06", None]))
        back = Record(*about, noon + day_, "RTRN", None, "AC04", f"R-{owed.transfer_id}")
        self.records += {
            "credited": [yes],
            "refused": [no],
            "returned": [back],
            "refused and returned": [no, back],
            "credited and returned": [yes, back],
            "silent": [],
            "another amount": [yes._replace(amount=owed.due + 1)],
            "another account": [yes._replace(account="0 wrong")],
            "another receiver": [yes._replace(participant=self._another())],
            "another receiver returns": [back._replace(participant=self._another())],
            # At a time of its own, or it would be the same record but for who gives it.
            "its bank": [yes._replace(participant=owed.payee, at=noon + hour / 2)],
            "late": [yes._replace(at=noon + week)],
            "twice": [yes, yes._replace(at=noon + hour)],
            "both": [yes, no],
            "never sent": [
                yes,
                yes._replace(transfer_id=f"{owed.transfer_id[:-10]}9999999999", account=None),
            ],
        }[fate]

    def _in_parts(self, owed: Owed, day: dt.date) -> None:
        """A credit is answered to as if it were the lines that it is made of: by their amounts, or
        by an id that nobody was told."""
        noon = dt.datetime.combine(day, dt.time(12), dt.UTC)
        mine = [other for other, _ in self.sent if other.credit == owed.credit]
        status = self.rng.choice(["ACCC", "ACCC", "RJCT", "RTRN"])
        for other in self.rng.sample(mine, self.rng.randint(1, len(mine))):
            part = Record(owed.participant, owed.named, other.amount, noon, status)
            if status == "RTRN":
                part = part._replace(reason="AC04", return_id=f"R-{owed.transfer_id}")
            if not other.leads and self.rng.random() < 0.3:
                part = part._replace(transfer_id=other.transfer_id)
            self.records.append(part)

    def _another(self) -> str:
        """Somebody who receives lines, or nobody that is known."""
        return self.rng.choice(["999999", *(owed.participant for owed, _ in self.sent)])

    def _whole_file(self, head: str, receiver: str, lines: list[tuple[Owed, dt.date]]) -> None:
        """All credited except those that are refused by name, now or before."""
        rng = self.rng
        due = 0
        for owed, day in lines:
            refused = any(record.status == "RJCT" for record in self.said.get(owed.transfer_id, ()))
            if not refused and rng.random() < 0.2:
                self._say("refused", owed, day)
                refused = True
            due += 0 if refused else owed.due
        if rng.random() < 0.15:
            due += 1
        noon = dt.datetime.combine(lines[0][1], dt.time(12), dt.UTC)
        whole = Record(receiver, head, due, noon, "ACCC")
        self.records.append(whole)
        if rng.random() < FILES_AGAIN:
            again = dt.timedelta(days=rng.randint(0, 3), hours=1)
            self.records.append(whole._replace(at=noon + again))
        if rng.random() < FILES_AGAIN:
            self._say("credited", *rng.choice(lines))
