"""The auditor: what must become of every line, every posting and every balance of a home.

Of the engine it imports `schema`, `reason` and `errors` alone. Written from docs/contract.md and
docs/domain.md as plain dicts and lists, without regard for speed: it is told the same operations as
the engine, and predicts what the engine must answer. Amounts are whole dong.

An operation is tried on a copy (`Auditor.copy`): where the machine fails in the middle of it, the
home must be as one of the two says, and nothing in between.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Iterable, Mapping

from switch.reason import Reason
from switch.sim.auditor.cover import PRIORITY_LAST, Claim, Cover
from switch.sim.auditor.expected import (
    Cycle,
    Expected,
    Outcome,
    Owed,
    Ruled,
    Sent,
    Settled,
    Table,
    Verdict,
    Waiting,
)
from switch.sim.auditor.screening import (
    Answer,
    Entitlement,
    Registers,
    Row,
    admitted,
    answer_of,
    by_person,
    citizen_id,
    entitlement,
    screened,
)
from switch.sim.auditor.way_back import RELEASED, Aftermath

KEPT_BOOKS = ("T.", "S.", "B.")


class Auditor(Aftermath):
    """One home as it must be."""

    def __init__(
        self,
        participants: Iterable[Row],
        debtors: Iterable[Row],
        programmes: Iterable[Row],
        opening: Mapping[str, int],
        rules: Ruled | None = None,
    ) -> None:
        """opening: balances by participant, which may not go below zero."""
        self.rule(rules or Ruled())
        self.amounts: dict[tuple[int, int], tuple[str, int]] = {}
        """(benefit, amount) of every line that was ever taken in."""
        self.cycles: dict[str, Cycle] = {}
        """Cycles of the calendar that were heard of."""
        self.commits = 0
        self.participants: dict[str, Row] = {}
        self.debtors: dict[str, Row] = {}
        self.programmes: dict[str, Row] = {}
        refused = self.change(participants, debtors, programmes)
        assert not refused, "a home begins with a sound directory"
        self.commits = 1
        """Operations that took place: as many as there are audit records."""
        self.guarded = set(opening)
        self.balances = {self._account(code): amount for code, amount in opening.items()}
        self.people: dict[str, Row] = {}
        self.accounts: dict[tuple[str, str, str], Row] = {}
        self.history: set[Entitlement] = set()
        self.cleared: set[Entitlement] = set()
        self.queue: list[Waiting] = []
        self.batches: dict[tuple[str, str], tuple[int, str, tuple[dt.date, int, int]]] = {}
        """(number, content) by (source, batch id)."""
        self.lines: dict[tuple[int, int], str] = {}
        """Present status of every line that was ever taken in, or what was decided about it."""
        self.told: dict[tuple[int, int], tuple[str, ...]] = {}
        """All it ever had until it was answered, oldest first."""
        self.in_cycle: dict[tuple[int, int], tuple[str, str]] = {}
        """(status when it cleared, cycle) of every line that cleared."""
        self.open_way_back()

    def copy(self) -> Auditor:
        """Another auditor that knows the same. Rows are shared: nobody changes them."""
        other = object.__new__(Auditor)
        for name, value in vars(self).items():
            kept = type(value)(value) if isinstance(value, dict | set | list) else value
            setattr(other, name, kept)
        return other

    # --- directory and registers ----------------------------------------------------------------

    def change(
        self,
        participants: Iterable[Row] | None = None,
        debtors: Iterable[Row] | None = None,
        programmes: Iterable[Row] | None = None,
        rules: Ruled | None = None,
    ) -> frozenset[str]:
        """Replace tables of the directory, or the settings; what is None stays. Returns why it
        must be refused."""
        before = self.participants
        if participants is not None:
            self.participants = {row["participant"]: row for row in participants}
        if debtors is not None:
            self.debtors = {row["debtor_account"]: row for row in debtors}
        if programmes is not None:
            self.programmes = {row["benefit"]: row for row in programmes}
        if rules is not None:
            self.rule(rules)
        sound = all(self._settles(self._settles(p)) == self._settles(p) for p in self.participants)
        sound &= all(row["debtor_agent"] in self.participants for row in self.debtors.values())
        if self.budgets:
            sound &= all(benefit in self.programmes for benefit in self._limits())
        # What stands in a cycle that has not ended keeps its account, and whose kind that is of.
        sound &= all(
            self._settles(code) == agent
            and agent in self.participants
            and self.participants[agent]["kind"] == before[agent]["kind"]
            for cycle in self.unsettled().values()
            for code, agent in cycle.positions.items()
        )
        self.commits += 1
        return frozenset() if sound else frozenset({"DIRECTORY_INVALID"})

    def rule(self, rules: Ruled) -> None:
        """The settings are these from now on."""
        self.calendar, self.recasts = rules.calendar, rules.recasts
        self.budgets, self.clearing_limit = rules.budgets, rules.clearing_limit
        self.shared_max = rules.shared_max

    def register(
        self,
        people: Iterable[Row] | None,
        accounts: Iterable[Row] | None,
        paid: Iterable[Row] | None,
        replace: bool,
    ) -> None:
        """Upsert by key, or replace the whole of what is given."""
        if people is not None:
            self.people = {} if replace else self.people
            self.people.update({citizen_id(row["person_id"]): row for row in people})
        if accounts is not None:
            self.accounts = {} if replace else self.accounts
            for row in accounts:
                key = citizen_id(row["person_id"]), row["participant"], row["account"]
                self.accounts[key] = row
        if paid is not None:
            self.history = set() if replace else self.history
            self.history.update(map(entitlement, paid))
        self.commits += 1

    # --- cycles of the calendar ------------------------------------------------------------------

    def with_account(self, balances: Mapping[str, int]) -> dict[str, int]:
        """Those of participants that settle for themselves: no others may be given."""
        return {code: sum_ for code, sum_ in balances.items() if self._settles(code) == code}

    def fund(self, balances: Mapping[str, int]) -> None:
        """Settlement accounts hold so much from now on, and may not go below zero any more."""
        for code, amount in balances.items():
            change = amount - self._holds(code)
            self._move(change, f"S.RTGS[{code}]", self._account(code))
            self.guarded.add(code)
        self.commits += 1

    def settle(self) -> list[Settled]:
        """Close and settle all that is not, oldest cycle first."""
        found = []
        for name in self.unsettled():
            cycle = self.cycles[name]
            assert sum(cycle.nets.values()) == 0
            self.commits += cycle.state == "OPEN"
            short, nets = self._without_defaulters(cycle)
            if short and not (self.recasts and not cycle.answered):
                self.cycles[name] = cycle._replace(state="CLOSED")
                told = {code: str(missing) for code, missing in short.items()}
                found.append(Settled(name, "CLOSED", told, [], {}))
                continue
            gone = [o for o in cycle.owed if o.payer in short and o.payer != o.payee]
            turned = [code for code, net in nets.items() if cycle.nets[code] >= 0 > net]
            for code, net in nets.items():
                account = self._account(code)
                change = cycle.reserved[code] + net
                bound = code in self.guarded and net < 0
                assert self._holds(code) + change >= 0 or not bound, "a bound payer lacks funds"
                self.balances[account] = self.balances.get(account, 0) + change
            self.balances |= dict.fromkeys(cycle.reserves, 0)
            self.cycles[name] = cycle._replace(state="SETTLED")
            self.commits += 1
            told = {code: str(missing) for code, missing in short.items()}
            found.append(Settled(name, "SETTLED", told, sorted(turned), self._take_back(gone)))
        for line, (status, name) in self.in_cycle.items():
            settled = self.cycles[name].state == "SETTLED" if status == "ACSP" else False
            if settled and self.lines[line] == "ACSP":
                self.lines[line] = "ACSC"
                self.told[line] += ("ACSC",)
        return found

    def close(self, name: str) -> None:
        """A cycle takes no more lines."""
        self.commits += self.cycles[name].state == "OPEN"
        self.cycles[name] = self.cycles[name]._replace(state="CLOSED")

    def abort(self) -> Settled:
        """Give up the oldest cycle that is not settled: it is as if its lines had never cleared."""
        name = next(iter(self.unsettled()))
        cycle = self.cycles[name]
        self.commits += 1 + (cycle.state == "OPEN")
        for owed in cycle.owed:
            if owed.agent == owed.participant:
                for account, sign in (("B.TREASURY", 1), ("B.CUSTOMER", -1)):
                    self.balances[f"{account}[{owed.agent}]"] += sign * owed.entry.row["amount"]
        for code, amount in cycle.reserved.items():
            self.balances[self._account(code)] += amount
        self.balances |= dict.fromkeys(cycle.reserves, 0)
        self.cycles[name] = cycle._replace(state="ABORTED")
        return Settled(name, "ABORTED", {}, [], self._take_back(list(cycle.owed)))

    def _without_defaulters(self, cycle: Cycle) -> tuple[dict[str, int], Counter[str]]:
        """(what each defaulter lacked, nets without their payments) of a cycle."""
        short: dict[str, int] = {}
        nets = Counter(cycle.nets)
        while True:
            lacks = {}
            for code, net in nets.items():
                holds = self._holds(code) + cycle.reserved[code]
                if code in self.guarded and net < 0 and -net > max(holds, 0):
                    lacks[code] = -net - max(holds, 0)
            if not lacks:
                return short, nets
            short |= lacks
            if not self.recasts or cycle.answered:
                return short, nets
            nets = Counter(dict.fromkeys(nets, 0))
            for owed in cycle.owed:
                if owed.payer != owed.payee and owed.payer not in short:
                    nets[owed.payer] -= owed.entry.row["amount"]
                    nets[owed.payee] += owed.entry.row["amount"]

    def _take_back(self, gone: list[Owed]) -> dict[str, list[tuple[str, int]]]:
        """Lines wait again, oldest first, and their entitlements are free. Returns what receivers
        are told."""
        recall: dict[str, list[tuple[str, int]]] = {}
        for owed in sorted(gone, key=lambda o: (o.entry.batch, o.entry.row["line_no"])):
            row = owed.entry.row
            line = owed.entry.batch, row["line_no"]
            self.cleared.remove(entitlement(row))
            self.lines[line] = "PDNG"
            self.told[line] += ("PDNG",)
            del self.in_cycle[line], self.standing[line]
            recall.setdefault(owed.participant, []).append((owed.transfer_id, row["amount"]))
            self.balances[f"T.PAYABLE[{owed.cleared_in:06d}]"] -= row["amount"]
            self.balances[f"T.EXPENSE[{row['benefit']}]"] += row["amount"]
        if gone:
            queue = [*self.queue, *(owed.entry for owed in gone)]
            self.queue = sorted(queue, key=lambda entry: (entry.batch, entry.row["line_no"]))
        return recall

    def _enter(self, name: str, expected: Expected) -> None:
        """A batch's positions and reserves join their cycle."""
        new = Cycle("OPEN", {}, Counter(), Counter(), Counter(), closes=expected.closes)
        cycle = self.cycles.get(name, new)
        nets, positions = Counter(cycle.nets), dict(cycle.positions)
        for position in expected.positions:
            nets[position.settled_by] += position.net
            positions[position.participant] = position.settled_by
        reserved, reserves = Counter(cycle.reserved), Counter(cycle.reserves)
        for posting, amount in expected.postings.items():
            if posting.step == "P2":
                reserved[posting.debit.partition("[")[2][:-1]] += amount
                reserves[posting.credit] += amount
        owed = cycle.owed + expected.owed
        self.cycles[name] = cycle._replace(
            positions=positions, nets=nets, reserved=reserved, reserves=reserves, owed=owed
        )

    def registers_on(self, value_date: dt.date) -> Registers:
        return Registers(
            people=self.people,
            accounts=by_person(self.accounts.values()),
            participants=self.participants,
            debtors=self.debtors,
            benefits=self.programmes,
            value_date=value_date,
            clearing_limit=self.clearing_limit,
        )

    # --- the run --------------------------------------------------------------------------------

    def run(self, table: Table) -> Verdict:
        """What must become of a table; where it is accepted, this is how things stand after it."""
        faults = table.faults()
        known = self.batches.get((table.source, table.batch_id))
        if known is not None:
            number, content, declared = known
            if content != table.content or declared != table.declared:
                return Verdict(frozenset(faults | {"REFERENCE_REUSED"}), None, None)
            return Verdict(frozenset(faults), number, None)
        if faults:
            return Verdict(frozenset(faults), None, None)
        expected, cleared = self._clear(table)
        if self.budgets and self._beyond(table, expected):
            return Verdict(frozenset({"BUDGET_EXCEEDED"}), None, None)
        self.heads[f"{table.value_date:%Y%m%d}-{expected.seq:06d}"] = expected.seq
        self._book(expected, cleared)
        for row in table.rows:
            self.amounts[expected.seq, row["line_no"]] = row["benefit"], row["amount"]
        self.batches[table.source, table.batch_id] = expected.seq, table.content, table.declared
        return Verdict(frozenset(), None, expected)

    def _limits(self) -> Counter[str]:
        """Budgets by programme; a programme without one has no limit."""
        found: Counter[str] = Counter()
        for row in self.debtors.values():
            if row["budget"] is not None:
                found[row["programme"]] += row["budget"]
        return found

    def taken(self) -> Counter[str]:
        """Of budgets, by programme: all that was ever taken in and neither refused nor decided
        about."""
        found: Counter[str] = Counter()
        for line, status in self.lines.items():
            if status not in RELEASED:
                benefit, amount = self.amounts[line]
                found[benefit] += amount
        return found

    def _beyond(self, table: Table, expected: Expected) -> bool:
        """What is taken is more than a budget, by this table."""
        after = self.copy()
        after.lines |= {
            (outcome.batch, outcome.line_no): outcome.status
            for outcome in (expected.represented or []) + expected.own
        }
        after.amounts |= {
            (expected.seq, row["line_no"]): (row["benefit"], row["amount"]) for row in table.rows
        }
        taken = after.taken()
        mine = {
            row["benefit"]
            for row, outcome in zip(table.rows, expected.own, strict=True)
            if outcome.status not in RELEASED
        }
        limits = self._limits()
        return any(taken[benefit] > limits[benefit] for benefit in mine & set(limits))

    def _clear(self, table: Table) -> tuple[Expected, list[tuple[Row, Answer, str]]]:
        """The batch, and (row, answer, transfer id) of every line that clears in it."""
        seq = len(self.batches) + 1
        cycle, closes = f"{table.value_date:%Y%m%d}-{seq:06d}", ""
        day = self.day_of_run[seq] = max(table.value_date, self.signed)
        self.days.add(day)
        if self.calendar is not None:
            cycle, closes = self.calendar.cycle_of(day, self.cycles)
        old, fresh = list(self.queue), [Waiting(seq, table.value_date, row) for row in table.rows]
        verdicts, late = self._judge(old, fresh, self.registers_on(table.value_date), cycle)
        turns: list[list[tuple[Row, Answer, str]]] = [[], [], []]
        owed = []
        moved: list[list[Outcome]] = [[], []]
        held, own = [], []
        for number, (entry, answer) in enumerate(zip(old + fresh, verdicts, strict=True)):
            transfer = f"{entry.batch_date:%Y%m%d}-{entry.batch:06d}-{entry.row['line_no']:010d}"
            if _alive(answer):
                turn = 2 if number in late else int(entry.batch == seq)
                turns[turn].append((entry.row, answer, transfer))
                payer, payee = self._agent(entry.row), str(answer.participant)
                settlers = self._settles(payer), self._settles(payee)
                account = str(answer.account)
                owed.append(Owed(entry, seq, payer, *settlers, payee, account, transfer))
            if answer.status == "PDNG":
                held.append(entry)
            outcome = self._outcome(entry, answer, transfer, cycle)
            if entry.batch == seq:
                own.append(outcome)
            elif answer.status != "PDNG":
                moved[number in late].append(outcome)
        # Old lines come first, then the table's, then whoever waited for what the table brought.
        cleared = [line for turn in turns for line in turn]
        sent: dict[str, list[Sent]] = {}
        for row, answer, transfer in cleared:
            assert answer.participant is not None
            sent.setdefault(answer.participant, []).append(self._sent(row, answer, transfer))
        positions = self._positions(cleared)
        postings = self._postings(f"{seq:06d}", cycle, cleared, positions)
        expected = Expected(
            seq=seq,
            cycle=cycle,
            own=own,
            represented=moved[0] + moved[1] if old else None,
            held=held,
            sent=sent,
            positions=positions,
            postings=postings,
            states=_states(table.rows, own),
            owed=tuple(owed),
            closes=closes,
        )
        return expected, cleared

    def _judge(
        self, old: list[Waiting], fresh: list[Waiting], registers: Registers, cycle: str
    ) -> tuple[list[Answer], set[int]]:
        """Answers of old lines and then of the table's, and the numbers of those that moved only
        when the table was through."""
        found = [screened(entry.row, registers) for entry in old + fresh]
        if self.shared_max:
            found = admitted(found, [entry.row for entry in old + fresh], self.shared_max)
        cover = Cover(self._rooms(cycle), self.history | self.cleared)
        for number, (entry, answer) in enumerate(zip(old + fresh, found, strict=True)):
            if number == len(old):
                cover.release()
                cover.before |= cover.taken
                cover.taken = set()
            if _alive(answer):
                agent, payee = self._agent(entry.row), str(answer.participant)
                claim = Claim(
                    number,
                    agent,
                    self._settles(agent),
                    self._settles(payee),
                    self.programmes[entry.row["benefit"]].get("priority") or PRIORITY_LAST,
                    entry.row["amount"],
                    entitlement(entry.row),
                )
                (cover.wait if number < len(old) else cover.present)(claim)
        waited = {claim.number for claim in cover.waiting}
        cover.release()
        for number, reason in cover.verdicts.items():
            found[number] = answer_of(reason, found[number].participant, found[number].account)
        return found, {n for n in waited if cover.verdicts[n] is not Reason.COVER_MISSING}

    def _rooms(self, name: str) -> dict[str, int]:
        """How much more each settlement participant may owe in a cycle; others may owe anything."""
        found: dict[str, int] = {}
        empty = Cycle("OPEN", {}, Counter(), Counter(), Counter())
        cycle = self.cycles.get(name, empty)
        others = [known for other, known in self.unsettled().items() if other != name]
        for code, row in self.participants.items():
            if self._settles(code) == code:
                cap, net = row["net_debit_cap"], cycle.nets[code]
                limits = [] if cap is None else [int(cap) + net]
                if code in self.guarded:
                    taken = sum(min(o.nets[code] + o.reserved[code], 0) for o in others)
                    holds = self._holds(code) + cycle.reserved[code]
                    limits.append(holds + net + taken)
                found |= {code: min(limits)} if limits else {}
        return found

    def _outcome(self, entry: Waiting, answer: Answer, transfer: str, cycle: str) -> Outcome:
        routed = _alive(answer) or answer.reason >= Reason.PARTICIPANT_SUSPENDED
        return Outcome(
            batch=entry.batch,
            line_no=entry.row["line_no"],
            status="ACSP" if _alive(answer) and self.calendar else answer.status,
            code=answer.code,
            reason=int(answer.reason),
            participant=answer.participant if routed else None,
            transfer_id=transfer if _alive(answer) else None,
            cycle=cycle if _alive(answer) else None,
        )

    def _sent(self, row: Row, answer: Answer, transfer: str) -> Sent:
        assert answer.account is not None
        return Sent(
            transfer_id=transfer,
            end_to_end_id=row["end_to_end_id"],
            creditor_account=answer.account,
            creditor_name=row["person_name"],
            amount=row["amount"],
            purpose=self.programmes[row["benefit"]]["purpose"],
            period=row["period"],
            debtor_account=row["debtor_account"],
        )

    def _book(self, expected: Expected, cleared: list[tuple[Row, Answer, str]]) -> None:
        """The batch has happened."""
        for row, _, _ in cleared:
            key = entitlement(row)
            assert key not in self.cleared | self.history, f"{key} would be paid twice"
            self.cleared.add(key)
        for outcome in (expected.represented or []) + expected.own:
            before = self.lines.get((outcome.batch, outcome.line_no))
            assert before in (None, "PDNG"), "a line left a terminal state"
            line = outcome.batch, outcome.line_no
            self.lines[line] = outcome.status
            self.told[line] = (*self.told.get(line, ()), outcome.status)
            if outcome.cycle is not None:
                self.in_cycle[outcome.batch, outcome.line_no] = outcome.status, outcome.cycle
        self.standing |= {(o.entry.batch, o.entry.row["line_no"]): o for o in expected.owed}
        self.cycle_of_run[expected.seq] = expected.cycle
        if self.calendar is not None:
            self._enter(expected.cycle, expected)
        self.queue = list(expected.held)
        self.commits += 1
        for posting, amount in expected.postings.items():
            assert amount > 0
            if posting.debit.startswith(KEPT_BOOKS):
                self.balances[posting.debit] = self.balances.get(posting.debit, 0) - amount
                self.balances[posting.credit] = self.balances.get(posting.credit, 0) + amount


def _alive(answer: Answer) -> bool:
    return answer.reason is Reason.NONE


def _states(rows: Iterable[Row], own: list[Outcome]) -> dict[str, tuple[int, int]]:
    names = {"ACSC": "cleared", "ACSP": "cleared", "PDNG": "held", "RJCT": "refused"}
    found = dict.fromkeys(["received", *names.values()], (0, 0))
    for row, outcome in zip(rows, own, strict=True):
        for state in ("received", names[outcome.status]):
            count, sum_ = found[state]
            found[state] = count + 1, sum_ + row["amount"]
    return found
