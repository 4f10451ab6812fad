"""Fees proven: every payment judged again, one after the other, from bills, agencies, directory and
settings as they were then; where its money stands, and what was posted for it.

Shares no code with the engine's judgement: here one row is looked at after another, as the contract
says it, and each payment is followed through the ends of the cycles that it entered. What a bank
had room for is taken from the record, as it is of batches.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from switch.files.segment import read_table
from switch.home.chain import Record
from switch.home.history import BILLS, FEE_KINDS, FORMAT_FEES_BY_ROW, REFUND, WITHDRAWAL
from switch.home.store import FEES, Home
from switch.home.times import day_of
from switch.outcomes import Check
from switch.proof import line_sums, recasts
from switch.proof.chains import compare
from switch.proof.fee_slots import Slots
from switch.proof.recasts import Paid
from switch.settlement import accounts
from switch.settlement.fee_rules import ACCEPTED, FEE_RULES, REFUSED, RULES, TAKEN, FeeReason

LIMIT = 500_000_000
"""Clearing limit of a home that says none."""
Row = dict[str, Any]
Name = tuple[str, str]
"""A payment as its bank names it: the code of the bank, and the id."""
Key = tuple[int, int]
"""A payment, or a refund, by the commit that took it and its row there."""
SAID = ("agency", "bill_ref", "amount", "paid_on")
"""Columns in which two payments of one name are the same, or not."""


class Fees:
    """All fees of a home, as its files tell them."""

    def __init__(self, home: Home) -> None:
        self.home = home
        self.people: dict[str, Row] = {}
        """Participants by code, as far as records were looked at; so all that follows."""
        self.settings: Row = {}
        self.agencies: dict[str, list[str]] = {}
        self.bills: dict[tuple[str, str], Row] = {}
        self.taken: dict[Name, tuple[Row, Row]] = {}
        """Payments that were taken: as they were given, and as they entered a cycle first."""
        self.banks: dict[str, list[str]] = {}
        """Codes of banks of which a payment of an id was taken, by that."""
        self.paid: set[tuple[str, str]] = set()
        """Bills that were paid."""
        self.refunds: dict[Key, Key] = {}
        """Refunds that were not withdrawn, by payment."""
        self.withdrawn: set[Key] = set()
        self.stands: dict[Key, str] = {}
        """By payment and refund: the cycle that it entered last."""
        self.waits: dict[Key, Row] = {}
        """Payments and refunds that wait, as they last moved, oldest first."""
        self.within: dict[str, dict[Key, tuple[Row, Paid]]] = {}
        """Payments and refunds that stand in a cycle, as what and between whom."""
        self.settled: set[str] = set()
        """Cycles of the calendar that have settled."""
        self.entered: dict[str, list[Paid]] = {}
        self.left: dict[str, list[Paid]] = {}
        """Payments that entered cycles, and that left them, by cycle."""
        self.slots = Slots(home)
        self.answers: dict[str, list[tuple[str, str | None]]] = {}
        """Status and reason of the payments of each file, by what it says, as told last."""
        self.rules = 1
        """Version of how payments are judged, as the last record said it."""

    def checks(
        self,
        positions: dict[str, dict[str, list[int]]],
        settled_by: dict[str, dict[str, str]],
    ) -> Iterator[Check]:
        """All that is proven of fees. positions (counts and sums by cycle and participant) and
        settled_by are carried on."""
        number = 0
        if self.home.catalog.audit.stamps("agencies"):
            made = int(self.home.catalog.meta("format"))
            yield compare("fees", "format of a home with fees", max(6, made), made)
        for record in self.home.catalog.audit.records():
            detail = msgspec.json.decode(record.detail)
            if record.kind in ("init", "directory"):
                # A record says what changed: the directory, settings, or both.
                if "directory" in detail:
                    kept = msgspec.json.decode(detail["directory"])["participants"]
                    self.people = {row["participant"]: row for row in kept}
                if "settings" in detail:
                    self.settings = msgspec.json.decode(detail["settings"])
            elif record.kind == "agencies":
                yield Check("agencies", f"record {record.seq}", self._agencies(detail["agencies"]))
            elif record.kind in FEE_KINDS:
                number += 1
                folder = f"{FEES}/{number:06d}"
                if record.kind == BILLS:
                    yield Check("bills", f"record {record.seq}", self._bills(folder, detail))
                elif record.kind == REFUND:
                    fault = self._refund(record, detail, folder)
                    yield Check("fees", f"record {record.seq}, refund", fault)
                    rows = self._rows(folder, "moved")
                    yield from self._moved(record, detail, number, rows, settled_by)
                else:
                    yield from self._payments(record, detail, folder, settled_by)
            elif record.kind == WITHDRAWAL:
                fault = self._withdrawal(detail)
                yield Check("fees", f"record {record.seq}, withdrawal", fault)
            elif record.kind == "settlement":
                yield from self._ending(record, detail)
            self.slots.see(record, detail)
        for cycle in self.entered:
            mine = positions.setdefault(cycle, {})
            for paid, sign in [
                *((paid, 1) for paid in self.entered[cycle]),
                *((paid, -1) for paid in self.left.get(cycle, ())),
            ]:
                _carry(mine, paid, sign)

    # --- tables ---------------------------------------------------------------------------------

    def _agencies(self, rows: list[list[str]]) -> str:
        codes = [row[0] for row in rows]
        if codes != sorted(set(codes)):
            return "an agency stands twice, or out of order"
        if any(row[2] not in self.people for row in rows):
            return "an agency's participant is not in the directory"
        if not {agency for agency, _ in self.bills} <= set(codes):
            return "an agency that has bills is gone"
        self.agencies = {row[0]: row for row in rows}
        return ""

    def _bills(self, folder: str, detail: Row) -> str:
        rows = self._rows(folder, "bills")
        told = detail["count"], int(detail["sum"])
        if (len(rows), sum(row["amount"] for row in rows)) != told or not rows:
            return "its bills are not as many as it says"
        for row in rows:
            key = row["agency"], row["bill_ref"]
            if key in self.bills:
                return "a bill was loaded twice"
            if row["agency"] not in self.agencies or row["amount"] <= 0:
                return "a bill is of no agency, or of no money"
            self.bills[key] = row
        return ""

    def _rows(self, folder: str, name: str) -> list[Row]:
        rows: list[Row] = read_table(self.home.path / folder / f"{name}.parquet").to_pylist()
        return rows

    # --- payments -------------------------------------------------------------------------------

    def _payments(
        self, record: Record, detail: Row, folder: str, settled_by: dict[str, dict[str, str]]
    ) -> Iterator[Check]:
        subject = f"record {record.seq}"
        rows, moved = self._rows(folder, "payments"), self._rows(folder, "moved")
        yield Check("fees", f"{subject}, rules", self._rules_fault(detail))
        rooms = dict(detail.get("rooms", {}))
        spent = dict.fromkeys(rooms, 0)
        due = [row for row in self._able(record.at) if self._fits(row, rooms, spent)]
        count, sum_ = len(due), sum(row["amount"] for row in due)
        told = detail["again"]["count"], int(detail["again"]["sum"])
        fault = "" if (count, sum_) == told else "others waited than entered the cycle again"
        yield Check("fees", f"{subject}, that had waited", fault)
        number = int(folder.rpartition("/")[2])
        faults, new = self._judge(record.at, rows, number, rooms, spent)
        yield Check("fees", f"{subject}, payments", faults)
        fault = self._file_fault(detail.get("content", ""), rows)
        yield Check("fees", f"{subject}, file", fault)
        due += new
        fault = "" if due == moved else "what entered the cycle is not what was taken"
        yield Check("fees", f"{subject}, moved", fault)
        yield from self._moved(record, detail, number, due, settled_by)

    def _moved(
        self,
        record: Record,
        detail: Row,
        number: int,
        due: list[Row],
        settled_by: dict[str, dict[str, str]],
    ) -> Iterator[Check]:
        """Payments and refunds that enter a cycle: where they stand, and what is posted."""
        subject, cycle = f"record {record.seq}", detail.get("cycle", "")
        yield Check("fees", f"{subject}, cycle", self._cycle_fault(record, detail, number, due))
        mine = [self._paid(row) for row in due]
        for row, paid in zip(due, mine, strict=True):
            key = row["taken_in"], row["row"]
            self.waits.pop(key, None)
            self.stands[key] = cycle
            self.within.setdefault(cycle, {})[key] = row, paid
        if mine:
            self.entered.setdefault(cycle, []).extend(mine)
        agents = settled_by.setdefault(cycle, {}) if mine else {}
        for paid in mine:
            if paid.debtor_agent != paid.participant:
                agents.setdefault(paid.debtor_agent, paid.payer)
                agents.setdefault(paid.participant, paid.payee)
        posted: dict[tuple[str, str, str], int] = {}
        for step, debit, credit, amount in detail.get("postings", {}).get(cycle, []):
            if step != accounts.SETTLE:
                key_ = step, debit, credit
                posted[key_] = posted.get(key_, 0) + amount
        found = {(accounts.FEE, *pair): amount for pair, amount in recasts.of_fees(mine).items()}
        yield compare("postings follow from fees", subject, found, posted)
        if "request" in detail:
            nets = {code: net for code, net in _nets(mine).items() if net}
            moved_ = line_sums.settled(detail["postings"][cycle], ("P4",))
            asked = line_sums.told(detail["request"])
            yield compare("settled", f"cycle {cycle}", [nets, nets], [asked, moved_])

    def _refund(self, record: Record, detail: Row, folder: str) -> str:
        """A refund is of a payment that had settled, once, and of at most what was paid."""
        payment, amount = detail["payment_id"], int(detail["amount"])
        bank = detail.get("bank") or self.banks.get(payment, [""])[0]
        if (bank, payment) not in self.taken:
            return "nobody took the payment"
        _, one = self.taken[bank, payment]
        key, number = (one["taken_in"], one["row"]), int(folder.rpartition("/")[2])
        cycle = self.stands[key]
        own = self.home.catalog.cycle(cycle) is None
        if key in {*self.waits, *self.withdrawn} or not (own or cycle in self.settled):
            return "the payment had not settled"
        if key in self.refunds:
            return "the payment was refunded before"
        if not 0 < amount <= one["amount"] or not (detail["by"] and detail["why"]):
            return "it does not say how much went back, by whom and why"
        self.refunds[key] = number, 1
        due = {
            **one,
            "debtor_agent": self._participant(self.agencies[one["agency"]][2], record.at),
            "participant": self._participant(bank, record.at),
            "amount": amount,
            "taken_in": number,
            "row": 1,
            "back": True,
        }
        rooms = dict(detail.get("rooms", {}))
        if not self._fits(due, rooms, dict.fromkeys(rooms, 0)):
            return "the agency's bank had no room for it"
        return "" if self._rows(folder, "moved") == [due] else "another row entered the cycle"

    def _withdrawal(self, detail: Row) -> str:
        """A payment that is withdrawn waited, and its bill is open then; or a refund did."""
        key, name = (detail["taken_in"], detail["row"]), (detail["bank"], detail["payment_id"])
        if name not in self.taken:
            return "nobody took the payment"
        _, one = self.taken[name]
        mine = one["taken_in"], one["row"]
        if key not in self.waits or key not in (mine, self.refunds.get(mine)):
            return "it did not wait"
        if not (detail["by"] and detail["why"]):
            return "it does not say by whom and why"
        del self.waits[key]
        self.withdrawn.add(key)
        if key == mine:
            self.paid.discard((one["agency"], one["bill_ref"]))
        else:
            del self.refunds[mine]
        return ""

    def _rules_fault(self, detail: Row) -> str:
        """Rules do not go back, and the format of the home says that they are those of today."""
        rules = detail.get("rules", 1)
        if not self.rules <= rules <= RULES:
            return "it was judged by rules of before"
        self.rules = rules
        made = int(self.home.catalog.meta("format"))
        return "" if rules == 1 or made >= FORMAT_FEES_BY_ROW else "the home's format is of before"

    def _file_fault(self, content: str, rows: list[Row]) -> str:
        """A file is recorded again only where an answer of it is another one. By the rules of
        before none was."""
        if not content:
            return ""
        now = [(row["status"], row["reason"]) for row in rows]
        before = self.answers.get(content)
        self.answers[content] = now
        is_new = any(row["reason_number"] == FeeReason.NONE for row in rows) or now != before
        if before is None or (is_new and self.rules == RULES):
            return ""
        return "it was taken before"

    def _able(self, at: str) -> list[Row]:
        """Payments that wait and may enter a cycle, oldest first, with the banks of now."""
        found = []
        for row in self.waits.values():
            agency = self.agencies.get(row["agency"])
            receiver = self._participant(agency[2], at) if agency else None
            payer = self._participant(row["debtor_agent"], at)
            if row["back"]:
                payer, receiver = receiver, self._participant(row["participant"], at)
            both = [self.people[code]["status"] for code in (payer, receiver) if code]
            if both == ["active", "active"]:
                found.append({**row, "debtor_agent": payer, "participant": receiver})
        return found

    def _participant(self, code: str, at: str) -> str | None:
        """The participant that a code names on the day of a time."""
        row = self.people.get(code)
        if row is None:
            return None
        new, since = row.get("replaced_by", ""), row.get("replaced_from", "")
        return new if new and since <= str(day_of(at)) else code

    def _paid(self, row: Row) -> Paid:
        payer, payee = (
            self.people[row[side]]["settled_by"] for side in ("debtor_agent", "participant")
        )
        return Paid(
            *(row["agency"], row["debtor_agent"], row["participant"]),
            *(payer, payee, row["amount"], row["back"]),
        )

    def _fits(self, row: Row, rooms: dict[str, int], spent: dict[str, int]) -> bool:
        """The payer's bank has room for a payment, and had for all before it."""
        paid = self._paid(row)
        if paid.payer == paid.payee or paid.payer not in rooms:
            return True
        spent[paid.payer] += paid.amount
        return spent[paid.payer] <= max(rooms[paid.payer], 0)

    def _judge(
        self, at: str, rows: list[Row], number: int, rooms: dict[str, int], spent: dict[str, int]
    ) -> tuple[str, list[Row]]:
        """(what is wrong with the answers of a file, payments of it that entered the cycle)."""
        fault, new = "", []
        ids: set[Name] = set()
        passed: set[tuple[str, str]] = set()
        for place, row in enumerate(rows, start=1):
            reason = self._reason(row, at, ids, passed)
            ids.add(self._name(row))
            moves = None
            if reason is FeeReason.NONE:
                passed.add((row["agency"], row["bill_ref"]))
                moves = {name: row[name] for name in ("payment_id", "agency", "bill_ref")} | {
                    "debtor_agent": self._participant(row["participant"], at),
                    "participant": self._participant(self.agencies[row["agency"]][2], at),
                    "amount": row["amount"],
                    "taken_in": number,
                    "row": place,
                    "back": False,
                }
                if not self._fits(moves, rooms, spent):
                    reason = FeeReason.COVER_MISSING
            if self._answer(row, reason) != (row["status"], row["reason"], row["receipt"]):
                fault = fault or f"row {place} is not answered as the rules say"
            if row["reason_number"] != reason:
                fault = fault or f"row {place} is answered for another reason"
            if moves and reason is FeeReason.NONE:
                new.append(moves)
        for one in new:
            given = rows[one["row"] - 1]
            self.taken[given["participant"], given["payment_id"]] = given, one
            self.banks.setdefault(given["payment_id"], []).append(given["participant"])
            self.paid.add((one["agency"], one["bill_ref"]))
        return fault, new

    def _name(self, row: Row) -> Name:
        """A payment's own name. By the rules of before an id was one of all banks together."""
        return row["participant"] if self.rules > 1 else "", row["payment_id"]

    def _before(self, row: Row) -> FeeReason:
        """ID_KNOWN where a payment of the name was taken before, KNOWN where it was this one."""
        if self.rules == 1:
            return FeeReason.ID_KNOWN if row["payment_id"] in self.banks else FeeReason.NONE
        given, one = self.taken.get((row["participant"], row["payment_id"]), (None, None))
        if given is None or one is None:
            return FeeReason.NONE
        is_same = all(given[name] == row[name] for name in SAID)
        is_gone = (one["taken_in"], one["row"]) in self.withdrawn
        return FeeReason.KNOWN if is_same and not is_gone else FeeReason.ID_KNOWN

    def _answer(self, row: Row, reason: FeeReason) -> tuple[str, str | None, str | None]:
        if reason not in ACCEPTED:
            return REFUSED, FEE_RULES[reason].code, None
        names = ("payment_id", "agency", "bill_ref", "participant", "amount", "paid_on")
        said = "\t".join(["receipt", *(str(row[name]) for name in names)])
        return TAKEN, None, self.home.id_hash(said)

    def _reason(self, row: Row, at: str, ids: set[Name], passed: set[tuple[str, str]]) -> FeeReason:
        """The first rule that is in the way of a payment, but for cover."""
        agency = self.agencies.get(row["agency"])
        receiver = self._participant(agency[2], at) if agency else None
        payer = self._participant(row["participant"], at)
        key = row["agency"], row["bill_ref"]
        bill = self.bills.get(key)
        late = agency is not None and agency[4] == "refused"
        due = bill["due_on"] if bill else None
        before = self._before(row)
        rules = (
            (before is FeeReason.KNOWN, FeeReason.KNOWN),
            (row["amount"] <= 0, FeeReason.AMOUNT_NOT_POSITIVE),
            (
                row["amount"] > self.settings.get("clearing_limit", LIMIT),
                FeeReason.AMOUNT_OVER_LIMIT,
            ),
            (row["paid_on"] > day_of(at), FeeReason.DAY_AHEAD),
            (receiver is None, FeeReason.AGENCY_UNKNOWN),
            (self._is_suspended(receiver), FeeReason.AGENCY_SUSPENDED),
            (payer is None, FeeReason.PAYER_UNKNOWN),
            (self._is_suspended(payer), FeeReason.PAYER_SUSPENDED),
            (bool(before) or self._name(row) in ids, FeeReason.ID_KNOWN),
            (bill is None, FeeReason.BILL_UNKNOWN),
            (key in self.paid, FeeReason.BILL_PAID),
            (bill is not None and bill["amount"] != row["amount"], FeeReason.AMOUNT_DIFFERS),
            (late and due is not None and row["paid_on"] > due, FeeReason.PAST_DUE),
            (key in passed, FeeReason.BILL_TWICE),
        )
        return next((reason for holds, reason in rules if holds), FeeReason.NONE)

    def _is_suspended(self, code: str | None) -> bool:
        return code is not None and bool(self.people[code]["status"] == "suspended")

    def _cycle_fault(self, record: Record, detail: Row, number: int, due: list[Row]) -> str:
        """Payments entered a cycle that took them; those of a home without a calendar one of their
        own."""
        cycle = detail.get("cycle", "")
        if bool(cycle) != bool(due):
            return "a cycle is named exactly where payments enter one"
        if not cycle:
            return ""
        if fault := self.slots.rooms_fault(self.people, detail):
            return fault
        if ("closes" in detail) != bool(self.settings.get("cutoffs")):
            return "a calendar has cycles, and no others"
        if "closes" in detail:
            return self.slots.fault(record.at, detail, self.settings)
        own = f"{day_of(record.at):%Y%m%d}-F{number:06d}"
        return "" if cycle == own else "the cycle is not one of its own"

    # --- ends of cycles -------------------------------------------------------------------------

    def _ending(self, record: Record, detail: Row) -> Iterator[Check]:
        """Payments that leave a cycle as it is aborted or recast wait again."""
        cycle, answer = detail["cycle"], detail["answer"]
        aborted = answer["state"] == "ABORTED"
        short = set(answer["short"]) if answer["rule"] == "recast" else set()
        if not aborted:
            self.settled.add(cycle)
        gone: list[tuple[Row, Paid]] = []
        for key, (row, paid) in self.within.pop(cycle, {}).items():
            if aborted or (paid.payer in short and paid.payer != paid.payee):
                gone.append((row, paid))
                self.waits[key] = row
        if gone:
            self.waits = dict(sorted(self.waits.items()))
        mine = [paid for _, paid in gone]
        if mine:
            self.left[cycle] = mine
        told = answer.get("fees", {"count": 0, "sum": "0"})
        sums = [len(mine), sum(paid.amount for paid in mine)]
        if mine or "fees" in answer:
            said = [told["count"], int(told["sum"])]
            yield compare("fees", f"cycle {cycle}, left", sums, said)
        if mine and "after" not in detail:
            whole = self.entered.get(cycle, [])
            yield from recasts.endings(self.home, f"cycle {cycle}", detail, None, whole, mine)


def _carry(sums: dict[str, list[int]], paid: Paid, sign: int) -> None:
    """Add a payment to the counts and sums of a cycle, by participant: credits, then debits."""
    if paid.debtor_agent == paid.participant:
        return
    for code, first in ((paid.participant, 0), (paid.debtor_agent, 2)):
        mine = sums.setdefault(code, [0, 0, 0, 0])
        mine[first] += sign
        mine[first + 1] += sign * paid.amount


def _nets(rows: list[Paid]) -> dict[str, int]:
    found: dict[str, int] = {}
    for paid in rows:
        found[paid.payer] = found.get(paid.payer, 0) - paid.amount
        found[paid.payee] = found.get(paid.payee, 0) + paid.amount
    return found
