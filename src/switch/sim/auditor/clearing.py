"""Clearing of a table: what every line of it is answered, and every held line with it.

Of the engine it imports `schema`, `reason` and `errors` alone. Amounts are whole dong.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence

from switch.reason import OF_ACCOUNTS, Reason
from switch.sim.auditor.cover import PRIORITY_LAST, Claim, Cover
from switch.sim.auditor.credits import credits_of
from switch.sim.auditor.cycles import Cycles
from switch.sim.auditor.directory import Directory
from switch.sim.auditor.expected import Expected, Outcome, Owed, Sent, Table, Waiting
from switch.sim.auditor.months import Months
from switch.sim.auditor.payments import Payments
from switch.sim.auditor.people import People
from switch.sim.auditor.postings import positions_of, postings_of
from switch.sim.auditor.screening import (
    Answer,
    Row,
    admitted,
    answer_of,
    entitlement,
    limit_of,
    screened,
)

STATES = {"ACSC": "cleared", "ACSP": "cleared", "PDNG": "held", "RJCT": "refused"}


class Clearing:
    """Foretells the batch that a table becomes; it changes nothing."""

    def __init__(
        self, directory: Directory, people: People, payments: Payments, cycles: Cycles
    ) -> None:
        self.directory, self.people = directory, people
        self.payments, self.cycles = payments, cycles

    def clear(self, table: Table, day: dt.date) -> Expected:
        """The batch of a table that comes in on a business day."""
        seq = len(self.payments.batches) + 1
        cycle, closes = self.cycles.of_day(day) or (f"{table.value_date:%Y%m%d}-{seq:06d}", "")
        old = len(self.payments.waiting)
        entries = [
            *self.payments.waiting,
            *(Waiting(seq, table.value_date, row) for row in table.rows),
        ]
        answers, late = self._judge(entries, old, table.value_date, cycle)
        outcomes = [self._outcome(*pair, cycle) for pair in zip(entries, answers, strict=True)]
        # Old lines come first, then the table's, then whoever waited for what the table brought.
        turns = sorted(range(len(entries)), key=lambda number: number in late)
        joined = self._joined(entries, [None if n in late else a for n, a in enumerate(answers)])
        of_batches = any(entries[number].batch != seq for number in joined)
        cleared = tuple(
            self._in_credit(
                self._owed(entries[number], answers[number], seq),
                [entries[place] for place in joined.get(number, [])],
            )
            for number in turns
            if _alive(answers[number])
        )
        moved = [outcomes[n] for n in turns if n < old and answers[n].status != "PDNG"]
        sent: dict[str, list[Sent]] = {}
        for owed in cleared:
            if owed.leads:
                sent.setdefault(owed.participant, []).append(self._sent(owed))
        positions = positions_of(cleared, self.directory)
        return Expected(
            seq=seq,
            cycle=cycle,
            own=outcomes[old:],
            represented=moved if old else None,
            held=[e for e, a in zip(entries, answers, strict=True) if a.status == "PDNG"],
            sent=sent,
            positions=positions,
            postings=postings_of(seq, cycle, cleared, positions, self.cycles),
            states=_states(table.rows, outcomes[old:]),
            owed=cleared,
            closes=closes,
            joined=[
                (
                    *((entries[n].batch,) if of_batches else ()),
                    row["line_no"],
                    entries[joined[n][0]].row["line_no"],
                    row["amount"],
                )
                for n in sorted(joined)
                for row in [entries[n].row]
            ],
        )

    def _joined(
        self, entries: Sequence[Waiting], answers: Sequence[Answer | None]
    ) -> dict[int, list[int]]:
        """Numbers of the lines of its credit, by that of each line in one of two or more. answers:
        None of a line that did not clear in its turn."""
        rows, batches = [entry.row for entry in entries], [entry.batch for entry in entries]
        credits_ = credits_of(rows, batches, answers, self._most)
        return {place: credit for credit in credits_ for place in credit}

    def _judge(
        self, entries: Sequence[Waiting], old: int, value_date: dt.date, cycle: str
    ) -> tuple[list[Answer], set[int]]:
        """Answers of old lines and then of the table's, and the numbers of those that moved only
        when the table was through. old: the count of old lines."""
        month = f"{value_date:%Y-%m}"
        sent = Months(self.directory.participants, self.payments, month)
        registers = self.people.on(value_date, self.directory)._replace(months=sent)
        # Whoever has another id now is judged as that person.
        rows = [self.people.present(entry.row) for entry in entries]
        found = [screened(row, registers) for row in rows]
        if self.directory.rules.shared_max:
            found = admitted(found, rows, self.directory.rules.shared_max)
        paid = self.people.paid_now(self.people.history | self.payments.cleared)
        cover = Cover(self.cycles.rooms(cycle), paid, self.directory.groups())
        for number, (row, answer) in enumerate(zip(rows, found, strict=True)):
            if number == old:
                cover.release()
                cover.before |= cover.taken
                cover.taken = set()
            if _alive(answer):
                claim = self._claim(number, row, answer)
                (cover.wait if number < old else cover.present)(claim)
                if not cover.rooms:  # Nobody has a limit: each goes in its turn, of any class.
                    cover.release()
        waited = {claim.number for claim in cover.waiting}
        cover.release()
        for number, reason in cover.verdicts.items():
            found[number] = answer_of(reason, *found[number][3:])
        return found, {n for n in waited if cover.verdicts[n] is not Reason.COVER_MISSING}

    def _claim(self, number: int, row: Row, answer: Answer) -> Claim:
        agent = self.directory.agent(row)
        return Claim(
            number,
            agent,
            self.directory.settler(agent),
            self.directory.settler(str(answer.participant)),
            self.directory.programmes[row["benefit"]].get("priority") or PRIORITY_LAST,
            row["amount"],
            entitlement(row),
        )

    def _outcome(self, entry: Waiting, answer: Answer, cycle: str) -> Outcome:
        alive = _alive(answer)
        of_person = answer.reason in (Reason.IDENTITY_PENDING, Reason.IDENTITY_DUPLICATE)
        routed = alive or (answer.reason >= Reason.PARTICIPANT_SUSPENDED and not of_person)
        return Outcome(
            batch=entry.batch,
            line_no=entry.row["line_no"],
            status="ACSP" if alive and self.directory.rules.calendar else answer.status,
            code=answer.code,
            reason=int(answer.reason),
            participant=answer.participant if routed else None,
            transfer_id=entry.transfer_id if alive else None,
            cycle=cycle if alive else None,
            passed=answer.passed if answer.reason in OF_ACCOUNTS else None,
            is_replaced=self.people.is_replaced(entry.row),
        )

    def _owed(self, entry: Waiting, answer: Answer, seq: int) -> Owed:
        assert answer.participant is not None
        assert answer.account is not None
        agent, payee = self.directory.agent(entry.row), answer.participant
        settlers = self.directory.settler(agent), self.directory.settler(payee)
        return Owed(entry, seq, agent, *settlers, payee, answer.account)

    def _in_credit(self, owed: Owed, together: Sequence[Waiting]) -> Owed:
        """The line as one of those that went together, if any did."""
        if not together:
            return owed
        sum_ = sum(entry.row["amount"] for entry in together)
        return owed._replace(credit=together[0].transfer_id, credit_sum=sum_)

    def _most(self, participant: str) -> int:
        """Dong that a credit to a participant may come to."""
        limit = limit_of(self.directory.participants[participant])
        whole = self.directory.rules.clearing_limit
        return whole if limit is None else min(limit, whole)

    def _sent(self, owed: Owed) -> Sent:
        row = owed.entry.row
        return Sent(
            transfer_id=owed.transfer_id,
            end_to_end_id=row["end_to_end_id"],
            creditor_account=owed.account,
            creditor_name=row["person_name"],
            amount=owed.due,
            purpose=self.directory.programmes[row["benefit"]]["purpose"],
            period=row["period"],
            debtor_account=row["debtor_account"],
        )


def _alive(answer: Answer) -> bool:
    return answer.reason is Reason.NONE


def _states(rows: Iterable[Row], own: Iterable[Outcome]) -> dict[str, tuple[int, int]]:
    found = dict.fromkeys(["received", *STATES.values()], (0, 0))
    for row, outcome in zip(rows, own, strict=True):
        for state in ("received", STATES[outcome.status]):
            count, sum_ = found[state]
            found[state] = count + 1, sum_ + row["amount"]
    return found
