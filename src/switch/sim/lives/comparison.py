"""Comparison: every file of a batch and every sum of a home, held against the auditor's."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import cast

from switch import status
from switch.home.batch import Batch
from switch.home.history import queue_of
from switch.reason import OF_ACCOUNTS, REPLACED_ID, RULES, Reason
from switch.results import Total
from switch.schema import HOUSEHOLD
from switch.sim.auditor.expected import (
    Expected,
    Line,
    Outcome,
    Position,
    Posting,
    Sent,
    Settled,
    Waiting,
)
from switch.sim.auditor.screening import Row
from switch.sim.lives.difference import Difference, read_rows, require
from switch.sim.lives.sides import Sides


class Comparison:
    """Compares one home with its auditor, and remembers what was compared."""

    def __init__(self, sides: Sides) -> None:
        self.sides = sides
        self.waited: dict[Line, None] = {}
        """Lines that were held at any time."""
        self._content: dict[int, str] = {}
        """Content digest of every batch by number, as it was when it was committed."""

    def home(self) -> None:
        """Compare the sums of the catalog."""
        home, auditor = self.sides.engine.home, self.sides.auditor
        require("audit records", auditor.commits, home.catalog.heads().seq)
        following = home.catalog.next_batch()
        require("number of the next batch", len(auditor.payments.batches) + 1, following)
        live = home.catalog.balances()
        if live:
            require("balances", nonzero(auditor.books.balances), nonzero(live))

    def present(self) -> None:
        """Compare where the lines of every batch stand now, in counts and in dong."""
        auditor, home = self.sides.auditor, self.sides.engine.home
        payments, way_back = auditor.payments, auditor.way_back
        waiting = {entry.line for entry in payments.waiting}
        states = way_back.states()
        words = {"REISSUED": "reissued", "WRITTEN_BACK": "written_back"}
        expected: dict[int, Counter[str]] = {seq: Counter() for seq in payments.batches}
        for line in payments.status:
            word = "held" if line in waiting else states.get(line, "REFUSED").lower()
            expected[line[0]][words.get(way_back.disposed.get(line, ""), word)] += 1
        found = {}
        for row in status.batches(home):
            totals = cast(dict[str, Total], row["now"])
            found[row["seq"]] = {k: total["count"] for k, total in totals.items() if total["count"]}
            own = totals["held"]["sum"]
            queue = sum(e.row["amount"] for e in payments.waiting if e.batch == row["seq"])
            require(f"dong of batch {row['seq']} that wait", queue, own)
        require("where lines stand", {k: dict(v) for k, v in expected.items()}, found)

    def new_batch(self, expected: Expected, batch: Batch) -> None:
        """Compare a batch that has just been cleared."""
        require("replayed", False, batch.replayed)
        self._files(expected, batch)
        self._content[expected.seq] = batch.content_digest

    def stored_batch(self, seq: int | None, batch: Batch) -> None:
        """Compare a batch that was answered from what is stored, and its copies in the out
        folder."""
        require("replayed", True, batch.replayed)
        require("number of the stored batch", seq, batch.seq)
        require("content of the stored batch", self._content[batch.seq], batch.content_digest)
        out = self.sides.home / "out"
        out /= self.sides.engine.home.catalog.out_name(batch.batch_id, batch.seq)
        for path in [batch.folder / "status.parquet", *(batch.folder / "clearing").iterdir()]:
            copy = out / path.relative_to(batch.folder)
            require(f"copy {copy.name}", path.read_bytes(), copy.read_bytes())

    def _files(self, expected: Expected, batch: Batch) -> None:
        """Compare every file of a batch, and what the catalog keeps of it."""
        name, folder = f"batch {expected.seq}", batch.folder
        require(f"{name}, number", expected.seq, batch.seq)
        require(f"{name}, cycle", expected.cycle, batch.cycle)
        status, lines = read_rows(folder / "status.parquet"), read_rows(folder / "lines.parquet")
        rows = zip(status, lines, strict=True)
        found = [_outcome({**s, **number, "batch": expected.seq}) for s, number in rows]
        require(f"{name}, line", expected.own, found)
        path = folder / "represented.parquet"
        moved = [_outcome(row) for row in read_rows(path)] if path.exists() else None
        require(f"{name}, represented", _blurred(expected.represented), _blurred(moved))
        path = folder / "held.parquet"
        held = read_rows(path) if path.exists() else []
        self._held(f"{name}, held", expected.held, held)
        sent = {
            path.stem: [Sent(**row) for row in read_rows(path)]
            for path in (folder / "clearing").iterdir()
        }
        require(f"{name}, clearing file", expected.sent, sent)
        path = folder / "credits.parquet"
        joined = [tuple(row.values()) for row in read_rows(path)] if path.exists() else []
        require(f"{name}, credits", expected.joined, joined)
        positions = [Position(**row) for row in read_rows(folder / "positions.parquet")]
        require(f"{name}, position", expected.positions, positions)
        postings: Counter[Posting] = Counter()
        home = self.sides.engine.home
        for row in home.catalog.postings(expected.seq):
            postings[Posting(row.step, row.debit, row.credit)] += row.amount
        require(f"{name}, postings", dict(expected.postings), dict(postings))
        shown = cast(Mapping[str, Total], batch.summary)
        told = {state: (shown[state]["count"], shown[state]["sum"]) for state in expected.states}
        require(f"{name}, states", expected.states, told)

    def cycles(self, answers: Iterable[Row], expected: Iterable[Settled]) -> str:
        """Compare the ends of cycles, what receivers are told, and the lines that wait again.
        Returns them in words."""
        words, recalled = [], False
        for answer, settled in zip(answers, expected, strict=True):
            folder = self.sides.home / "out" / "cycles" / answer["cycle"] / "recall"
            recall = {
                path.stem: [(row["transfer_id"], row["amount"]) for row in read_rows(path)]
                for path in folder.glob("*.parquet")
            }
            turned = sorted(answer["turned_payer"])
            said = (answer["cycle"], answer["state"], answer["short"], turned, recall)
            require("cycle", list(settled), list(said))
            count = sum(map(len, recall.values()))
            words.append(f"{answer['cycle']} {answer['state']} {count} back")
            recalled |= bool(recall)
        if recalled:
            self.queue()
        return ", ".join(words) or "nothing"

    def queue(self) -> None:
        """Compare the lines that wait, whole and in their order."""
        queue = queue_of(self.sides.engine.home)
        held = read_rows(self.sides.home / queue[0]) if queue else []
        self._held("lines that wait", self.sides.auditor.payments.waiting, held)

    def _held(self, where: str, entries: Iterable[Waiting], rows: Iterable[Row]) -> None:
        """Compare lines that wait."""
        found = [{**row, "person_id": f"{row['person_id']:012d}"} for row in rows]
        self.waited |= {entry.line: None for entry in entries}
        expected = [{"batch": entry.batch, **entry.row} for entry in entries]
        # Who names no household has no column of them, as long as nobody else who waits does.
        has = any(row.get(HOUSEHOLD) for row in expected)
        for row in expected:
            name = row.pop(HOUSEHOLD, None)
            if has:
                row[HOUSEHOLD] = name
        require(where, expected, found)

    def nothing_waits(self) -> None:
        """Compare the end: every line that was ever taken in is settled or refused."""
        home, payments = self.sides.engine.home, self.sides.auditor.payments
        waiting = {line: s for line, s in payments.status.items() if s in ("PDNG", "ACSP")}
        require("lines that wait in the end", {}, waiting)
        held = home.folder("batches", home.catalog.next_batch() - 1) / "held.parquet"
        require("held.parquet in the end", False, held.exists())
        told = status.budgets(home)
        require("remaining in the end", [], [row for row in told if row["remaining"]])
        found = {row["programme"]: row["reserved"] - row["released"] for row in told}
        require("budgets taken", dict(payments.taken()), nonzero(found))


def nonzero(balances: Mapping[str, int]) -> dict[str, int]:
    """Balances without those that are zero."""
    return {account: sum_ for account, sum_ in balances.items() if sum_}


def _blurred(outcomes: list[Outcome] | None) -> list[Outcome] | None:
    """Held lines that meet an entitlement taken: by whom is not told apart."""
    if outcomes is None:
        return None
    taken = (Reason.PAID_BEFORE, Reason.DUPLICATE_IN_TABLE)
    return [
        o._replace(reason=int(Reason.PAID_BEFORE)) if o.reason in taken else o for o in outcomes
    ]


def _outcome(row: Row) -> Outcome:
    number, detail = row["reason_number"], row["reason_detail"]
    is_replaced = detail is not None and detail.endswith(REPLACED_ID)
    if is_replaced:
        detail = detail.removesuffix(REPLACED_ID).removesuffix("; ") or None
    if number and not str(detail).startswith(RULES[Reason(number)].sentence):
        raise Difference("reason in words", RULES[Reason(number)].sentence, detail)
    return Outcome(
        batch=row["batch"],
        line_no=row["line_no"],
        status=row["status"],
        code=row["reason"],
        reason=number,
        participant=row["participant"],
        transfer_id=row["transfer_id"],
        cycle=row["cycle"],
        passed=_passed(number, detail),
        is_replaced=is_replaced,
    )


def _passed(number: int, detail: str | None) -> str | None:
    """Words about accounts that were passed over, behind those of the reason."""
    if number == Reason.NONE or detail is None:
        return detail
    words = detail.removeprefix(RULES[Reason(number)].sentence)
    return words.removeprefix("; ") if words and number in OF_ACCOUNTS else None
