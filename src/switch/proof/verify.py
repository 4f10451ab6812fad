"""Verify: every invariant of the domain recomputed from the committed files alone.

Shares no kernel with the engine: sums and bits are computed again with numpy from what is on disk,
and compared with what the catalog says. Invariants are numbered as in docs/domain.md: I1 postings
balance, I2 positions sum to zero, I3 nothing stays on a clearing account, I4 lines by state add up,
I6 nothing is paid twice, I7 executed is what was declared, I8 balances follow from the files. I5,
settled is credited, unapplied or returned, is `answered`'s.
"""

from __future__ import annotations

import datetime
import functools
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from switch.arguments import checked
from switch.clearing import shared_accounts
from switch.errors import HomeLocked, SwitchError, VerificationFailed
from switch.files.disk import CATALOG
from switch.files.segment import read_segment, read_table
from switch.home import history
from switch.home.history import Cancellation, Folder, Queue, Recast
from switch.home.rows import BatchRow
from switch.home.signing import departure
from switch.home.store import Home
from switch.home.times import day_of
from switch.outcomes import Check
from switch.proof import (
    cancellations,
    cash,
    control,
    expiries,
    fees,
    identities,
    line_sums,
    notes,
    recalled,
    registers,
    self_service,
)
from switch.proof import recasts as recasts_module
from switch.proof.answers import LINE, Answered, carry, free
from switch.proof.budgets import Funded
from switch.proof.chains import (
    Cutoffs,
    Records,
    compare,
    file_faults,
    files,
    is_changed,
    kept_checkpoints,
)
from switch.proof.credits import Credits
from switch.proof.entitlements import Entitlements
from switch.proof.months import Months
from switch.proof.row_indexes import RowIndexes
from switch.reason import CLEARED, REASONS_COUNT, RULES, Reason, status_of
from switch.settlement.accounts import clearing, reserve

FEES = (history.PAYMENTS, history.REFUND)
SHOWN_MAX = 20
STATES = {"OPEN": "CLEARING", "CLOSED": "CLEARING", "SETTLED": "SETTLED", "ABORTED": "HELD"}
"""State of a batch by that of its cycle."""
POSITION_SUMS = ("credit_count", "credit_sum", "debit_count", "debit_sum")


class _Batch:
    """One committed batch as its files tell it."""

    def __init__(self, home: Home, row: BatchRow) -> None:
        self.row = row
        self.name = f"{row.seq:06d}"
        self.folder = home.folder("batches", row.seq)
        self.manifest = msgspec.json.decode(home.catalog.manifest(row.seq))
        self.postings: list[list[Any]] = []


class Verifier:
    """Walks a home; `checks` yields every check as it is made."""

    def __init__(self, home: Home) -> None:
        self.home = home
        self.records = Records(home)
        self.entitlements = Entitlements(home)
        self.waiting: dict[tuple[int, int], None] = {}
        self.back: dict[tuple[int, int], datetime.date] = {}
        """Days since which lines wait that were sent back."""
        self.queue = ""
        """The folder that has the queue of lines that wait, as far as was looked."""
        self.funded = Funded()
        self.indexes = RowIndexes(home)
        self.months = Months(home)
        self.recalled: set[tuple[int, int]] = set()
        """Lines that were recalled."""
        self.balances: dict[str, int] = {}
        self.positions: dict[str, dict[str, list[int]]] = {}
        """By cycle of the calendar and participant: counts and sums of its batches' lines."""
        self.settled_by: dict[str, dict[str, str]] = {}
        """Participant that settles for each, as the first batch of a cycle that names it says."""
        self.fees = fees.Fees(home)
        cycles = home.catalog.cycles()
        self.states = {row.cycle: row.state for row in cycles}
        self.closes = {row.cycle: row.closes for row in cycles}

    @functools.cached_property
    def cutoffs(self) -> Cutoffs:
        """Cut-offs as they were said, read once the chains are known to hold."""
        return Cutoffs(self.records)

    @functools.cached_property
    def answered(self) -> Answered:
        """Answers and days, read once the files are known to be whole."""
        return Answered(self.home)

    def checks(self) -> Iterator[Check]:
        """Every check, as it is made."""
        records = self.records
        yield from records.checks()
        faults = file_faults(self.home, self.home.path)
        yield from files(self.home, records, faults)
        self.balances = msgspec.json.decode(self.home.catalog.meta("opening"))
        # What has another digest is not decoded: damage may take the decoder down.
        broken = {"/".join(path.split("/")[:2]) for path in faults}
        self.entitlements.load(faults)
        if not any(top.startswith("registers/") for top in broken):
            yield from registers.checks(self.home, records)
            yield from self.entitlements.replaced.checks()
            yield from identities.checks(self.home)
        if not broken:
            yield from self.fees.checks(self.positions, self.settled_by)
        queues = history.queues(self.home)
        behind: dict[int, list[Folder]] = {}
        for folder in self.answered.known:
            behind.setdefault(folder.after, []).append(folder)
        for row in self.home.catalog.batches():
            if f"batches/{row.seq:06d}" in broken:
                continue
            try:
                yield from self._batch(_Batch(self.home, row))
            except (OSError, pa.ArrowException, KeyError, IndexError, ValueError) as error:
                yield Check("files", f"batch {row.seq}", f"cannot be read: {error}")
            for queue in queues:
                if queue.after == row.seq and not broken:
                    yield from self._queue(queue)
            for folder in behind.get(row.seq, ()) if not broken else ():
                carried = self.positions, self.entitlements.bits, self.waiting
                yield from self.answered.checks(folder, *carried)
                yield from cash.checks(self.answered, self.recalled, folder)
                yield from recalled.checks(self.answered, self.recalled, folder)
                self.funded.release(self.home, folder)
        if broken:
            return  # What follows adds up all batches.
        yield from self.entitlements.checks()
        yield from self._cycles()
        yield from self.answered.lines_add_up()
        yield from notes.checks(self.home, self.answered.known, self.answered.seqs)
        yield from notes.alarm_checks(self.home)
        yield from control.checks(self.home)
        yield from self_service.checks(self.home, self.entitlements.replaced)
        yield from self.funded.checks(self.home, self.states)
        live = self.home.catalog.balances()
        if live or self.home.catalog.batches():
            yield compare("I8 balances", "catalog", self.balances, live)

    def _batch(self, batch: _Batch) -> Iterator[Check]:
        subject = f"batch {batch.row.seq}"
        tally = [[0, 0] for _ in range(REASONS_COUNT)]
        pairs: dict[tuple[str, str], list[int]] = {}
        benefits: dict[str, int] = {}
        sent: dict[str, Any] = {}
        fault = ""
        moved: list[tuple[int, int]] = []
        waiting: list[tuple[int, int]] = []
        late = line_sums.released(batch.folder)
        queue = self.home.path / self.queue / "held.parquet"
        credits = Credits(batch.folder, batch.manifest, queue)
        seq, register = batch.row.seq, batch.manifest["register"]
        for status, lines in line_sums.answers(batch.folder):
            reason = np.asarray(lines["reason_number"])
            fault = fault or self._states(status, reason, batch)
            amount = np.asarray(lines["amount"])
            self.funded.take(batch.row, status, lines, reason, amount)
            if "batch" in status.schema.names:
                moved += line_sums.tuples(status, LINE)
            else:
                line_sums.count(tally, reason, amount)
                held = line_sums.held_numbers(reason)
                numbers = np.asarray(status["line_no"])[held]
                waiting += [(batch.row.seq, int(n)) for n in numbers]
            alive = reason == Reason.NONE
            gone_late = line_sums.note_late(late, batch.row.seq, status, amount)
            told, dong = credits.take(status, lines, amount, alive & ~gone_late)
            line_sums.send(sent, status, dong, told)
            line_sums.pair(pairs, status, lines, amount, alive)
            line_sums.by_text(benefits, lines["benefit"], amount, alive)
            fault = fault or self.entitlements.pay(seq, register, lines, alive)
        for line, said in late.items():
            fault = fault or ("" if said else f"line {line} was released and did not clear")
            line_sums.send_one(sent, *(said or ("", "", 0)))
        yield Check("I6 nothing paid twice", subject, fault)
        yield self.funded.within(subject, batch.manifest["funding"].get("budgets", {}))
        if credits.is_told:
            yield Check("credits", subject, credits.fault(int(self.home.catalog.meta("format"))))
        yield from self._row(batch, subject, credits)
        yield from self._totals(batch, subject, tally)
        yield from self._money(batch, subject, pairs, benefits)
        yield compare(
            "clearing files", subject, line_sums.digests(sent), line_sums.clearing(batch.folder)
        )
        yield from self.indexes.checks(batch.row.seq)
        yield from self._admitted(batch, subject, tally[Reason.ACCOUNT_SHARED][0])
        yield from self.months.checks(batch.row.seq, tally[Reason.ACCOUNT_OVER_MONTH][0])
        yield from self._held(batch, subject, moved, waiting)

    def _admitted(self, batch: _Batch, subject: str, held: int) -> Iterator[Check]:
        """No account receives for more persons than the batch's settings let it."""
        most, fault = batch.manifest["settings"].get("accounts_shared_max"), ""
        if most is not None and shared_accounts.most_persons(self.home, batch.row.seq) > most:
            fault = f"an account receives for more than {most} persons"
        if most is None and held:
            fault = "lines wait by a setting that the batch did not have"
        if most is not None or held:
            yield Check("persons an account", subject, fault)

    def _states(self, status: Any, reason: Any, batch: _Batch) -> str:
        """Status and reason code say what the number says."""
        names = [status_of(n) for n in range(REASONS_COUNT)]
        if "closes" in batch.manifest:
            names[Reason.NONE] = CLEARED
        statuses = np.array(names, object)[reason]
        codes = np.array([None, *(RULES[Reason(n)].code for n in range(1, REASONS_COUNT))], object)[
            reason
        ]
        if not np.array_equal(line_sums.texts(status["status"]), statuses):
            return "a status does not follow from its reason"
        if not np.array_equal(line_sums.texts(status["reason"]), codes):
            return "a reason code does not follow from its number"
        return ""

    def _row(self, batch: _Batch, subject: str, credits: Credits) -> Iterator[Check]:
        """The catalog says of a batch what its manifest says."""
        manifest = msgspec.json.decode((batch.folder / "manifest.json").read_bytes())
        batch.postings = manifest.pop("postings")
        yield compare("catalog", f"{subject}, manifest", manifest, batch.manifest)
        row, declared = batch.row, manifest["declared"]
        found = {name: declared[name] for name in ("source", "batch_id", "value_date")}
        found |= {name: manifest[name] for name in ("seq", "cycle", "at", "digest")}
        stored = {name: getattr(row, name) for name in found}
        found |= {"lines": declared["count"], "amount": declared["sum"]}
        ended = STATES[self.states.get(manifest["cycle"], "SETTLED")]
        found["state"] = "CLOSED" if self.answered.is_closed(row.seq) else ended
        stored |= {name: getattr(row, name) for name in ("lines", "amount", "state")}
        found["closes"] = manifest.get("closes")
        kept = self.cutoffs.kept(manifest, self.closes.get(manifest["cycle"]))
        stored["closes"] = found["closes"] if kept else self.closes.get(manifest["cycle"])
        yield compare("catalog", f"{subject}, row", found, stored)
        summary = msgspec.json.decode(self.home.catalog.summary(row.seq))
        positions = line_sums.positions(batch.folder)
        receivers = {}
        for path in (batch.folder / "clearing").iterdir():
            amount = read_segment(path)["amount"]
            count = len(amount) + credits.more(path.stem)
            receivers[path.stem] = [count, pc.sum(amount).as_py()]
        shown = {
            **{name: summary[name] for name in found if name in summary},
            **{name: summary[name] for name in manifest["outcome"]},
            "positions": [
                {name: shown[name] for name in told}
                for shown, told in zip(summary["positions"], positions, strict=True)
            ],
            "receivers": {r["participant"]: [r["count"], r["sum"]] for r in summary["receivers"]},
            "credits": summary.get("credits"),
        }
        told = {
            **{name: found[name] for name in found if name in summary},
            **manifest["outcome"],
            "positions": positions,
            "receivers": receivers,
            "credits": credits.total,
        }
        yield compare("catalog", f"{subject}, summary", told, shown)

    def _totals(self, batch: _Batch, subject: str, tally: list[list[int]]) -> Iterator[Check]:
        declared = batch.manifest["declared"]
        found = {"count": sum(c for c, _ in tally), "sum": sum(s for _, s in tally)}
        told = {"count": declared["count"], "sum": int(declared["sum"])}
        yield compare("I4 lines add up", subject, found, told)
        states = {"cleared": "ACSC", "held": "PDNG", "refused": "RJCT"}
        yield compare(
            "I4 states add up",
            subject,
            {
                name: {
                    "count": sum(t[0] for n, t in enumerate(tally) if status_of(n) == status),
                    "sum": sum(t[1] for n, t in enumerate(tally) if status_of(n) == status),
                }
                for name, status in states.items()
            },
            {name: batch.manifest["outcome"][name] for name in states},
        )
        executed = batch.manifest["digest"]
        wrong = executed != batch.row.digest or (
            declared["sha256"] and executed != f"sha256:{declared['sha256']}"
        )
        yield Check("I7 executed is declared", subject, "the digests differ" if wrong else "")

    def _money(
        self,
        batch: _Batch,
        subject: str,
        pairs: dict[tuple[str, str], list[int]],
        benefits: dict[str, int],
    ) -> Iterator[Check]:
        between = {pair: mine for pair, mine in pairs.items() if pair[0] != pair[1]}
        found: dict[str, list[int]] = {}
        for (debtor, creditor), (count, sum_) in between.items():
            credit = found.setdefault(creditor, [0, 0, 0, 0])
            credit[0] += count
            credit[1] += sum_
            debit = found.setdefault(debtor, [0, 0, 0, 0])
            debit[2] += count
            debit[3] += sum_
        cycle = batch.row.cycle
        table = line_sums.positions(batch.folder)
        yield compare(
            "positions",
            subject,
            found,
            {row["participant"]: [row[c] for c in POSITION_SUMS] for row in table},
        )
        said = {row["participant"]: row["settled_by"] for row in table}
        self.settled_by[cycle] = said | self.settled_by.get(cycle, {})
        whole = self.positions.setdefault(cycle, {})
        for code, mine in found.items():
            before = whole.get(code, [0] * len(mine))
            whole[code] = [a + b for a, b in zip(before, mine, strict=True)]
        if cycle not in self.states:
            yield from self._positions(cycle)
        nets = line_sums.nets(table)
        rooms = batch.manifest.get("rooms", {})
        over = [code for code, room in rooms.items() if nets.get(code, 0) < min(-room, 0)]
        yield Check("caps", f"cycle {cycle}", f"{over[0]} owes more than it may" if over else "")
        postings = batch.postings
        live = [list(posted[2:]) for posted in self.home.catalog.postings(batch.row.seq)]
        yield compare("I1 postings", subject, postings, live)
        self._post(postings)
        if cycle not in self.states:
            yield self._nothing_left(cycle, [batch.name])
        yield compare(
            "postings follow from lines",
            subject,
            line_sums.expected(batch.name, cycle not in self.states, benefits, pairs, table),
            line_sums.moved(postings, cycle not in self.states),
        )

    def _positions(self, cycle: str) -> Iterator[Check]:
        """The catalog says of a cycle the sum of its batches."""
        catalog = self.home.catalog.positions(cycle)
        stored = {row.participant: [getattr(row, c) for c in POSITION_SUMS] for row in catalog}
        yield compare("positions", f"cycle {cycle}", self.positions.get(cycle, {}), stored)
        told = self.settled_by.get(cycle, {})
        settlers = {r.participant: r.settled_by for r in catalog if r.participant in told}
        yield compare("positions", f"cycle {cycle}, settled by", told, settlers)
        wrong = [r.participant for r in catalog if r.credit_sum - r.debit_sum != r.net]
        total = sum(row.net for row in catalog)
        fault = f"the net of {wrong[0]} is not credit less debit" if wrong else ""
        yield Check("I2 positions sum to zero", f"cycle {cycle}", f"{total}" if total else fault)

    def _nothing_left(self, cycle: str, batches: list[str]) -> Check:
        names = [clearing(cycle), *(reserve(int(name)) for name in batches)]
        left = [account for account in names if self.balances.get(account, 0)]
        fault = f"{left[0]} holds {self.balances[left[0]]}" if left else ""
        return Check("I3 clearing account is zero", f"cycle {cycle}", fault)

    def _cycles(self) -> Iterator[Check]:
        """Cycles of the calendar: what was audited of them happened, whole or not at all."""
        kinds = ("cycle", "settlement", "liquidity", *FEES, *history.KINDS)
        audited: dict[str, dict[str, Any]] = {cycle: {"state": "OPEN"} for cycle in self.positions}
        audited = {cycle: said for cycle, said in audited.items() if cycle in self.states}
        postings: dict[str, list[Any]] = {}
        for record in self.home.catalog.audit.records(*kinds):
            detail = msgspec.json.decode(record.detail)
            cycle = detail.get("cycle", "")
            if record.kind == "cycle":
                audited[cycle] = {name: detail[name] for name in ("state", "closes", "request")}
                audited[cycle]["at"] = record.at
            elif record.kind == "settlement":
                answer = detail["answer"]
                settled = {"state": answer["state"], "at": record.at, "answer": answer}
                again = {"request": detail["request"]} if "request" in detail else {}
                audited[cycle] = audited.get(cycle, {}) | settled | again
            for asked, request in detail.get("requests", {}).items():
                audited[asked]["request"] = request
            parts = detail.get("postings", [])
            for name, part in (parts if isinstance(parts, dict) else {cycle: parts}).items():
                postings.setdefault(name, []).extend(part)
        stored: dict[str, dict[str, Any]] = {}
        for row in self.home.catalog.cycles():
            said: dict[str, Any] = row._asdict()
            del said["cycle"]
            if row.state == "OPEN":
                del said["closes"]  # It is compared with that of its batches.
            stored[row.cycle] = said = {name: value for name, value in said.items() if value}
            for name in said.keys() & {"request", "answer"}:
                said[name] = msgspec.json.decode(said[name])
        yield compare("audit chain", "covers every cycle", audited, stored)
        yield compare("catalog", "cut-offs of cycles", self.cutoffs.opened, self.closes)
        live: dict[str, list[Any]] = {cycle: [] for cycle in postings}
        for posted in self.home.catalog.postings(0):
            live.setdefault(posted.cycle, []).append(list(posted[2:]))
        yield compare("I1 postings", "of cycles and accounts", postings, live)
        self._post([posting for part in postings.values() for posting in part])
        own = self.answered.cycles | self.fees.entered.keys()
        for cycle in sorted(own - self.states.keys()):
            yield from self._positions(cycle)
            yield self._nothing_left(cycle, [])
        for cycle, state in self.states.items():
            yield from self._positions(cycle)
            if "request" in stored[cycle]:
                owed = {code: net for code, net in self._nets(cycle).items() if net}
                asked = line_sums.told(stored[cycle]["request"])
                yield compare("request is the positions", f"cycle {cycle}", owed, asked)
            if state in ("SETTLED", "ABORTED") and "answer" in audited.get(cycle, {}):
                batches = self.home.catalog.batches(cycle=cycle)
                yield self._nothing_left(cycle, [f"{batch.seq:06d}" for batch in batches])
                yield self._settled(cycle, audited[cycle]["answer"])

    def _nets(self, cycle: str) -> dict[str, int]:
        return line_sums.nets([row._asdict() for row in self.home.catalog.positions(cycle)])

    def _settled(self, cycle: str, answer: dict[str, Any]) -> Check:
        """Money that moved, with what was set aside and came back, is what each was told, and that
        is its net but for shared losses."""
        nets = self._nets(cycle)
        lost = answer["short"].items() if answer["shares"] else ()
        for part, sign in ((answer["shares"].items(), -1), (lost, 1)):
            for code, amount in part:
                nets[code] += sign * int(amount)
        told = line_sums.told(answer)
        posted = [row[2:] for row in self.home.catalog.postings_of_cycle(cycle)]
        moved = line_sums.settled(posted, ("P2", "P4", "P7"))
        owed = {code: net for code, net in nets.items() if net}
        return compare("settled", f"cycle {cycle}", [owed, told], [told, moved])

    def _post(self, postings: list[Any]) -> None:
        for _, debit, credit, amount in postings:
            if not debit.startswith("N."):
                self.balances[debit] = self.balances.get(debit, 0) - amount
                self.balances[credit] = self.balances.get(credit, 0) + amount

    def _held(
        self,
        batch: _Batch,
        subject: str,
        moved: list[tuple[int, int]],
        waiting: list[tuple[int, int]],
    ) -> Iterator[Check]:
        unknown = [line for line in moved if line not in self.waiting]
        for line in moved:
            self.waiting.pop(line, None)
        self.waiting.update(dict.fromkeys(waiting))
        path = batch.folder / "held.parquet"
        held = read_table(path, columns=LINE) if path.exists() else None
        stored = [] if held is None else list(line_sums.tuples(held, LINE))
        fault = "a line moved that did not wait" if unknown else ""
        if stored != list(self.waiting):
            fault = "the lines that wait are not those that were held and did not move"
        yield Check("held lines", subject, fault)
        self.queue = f"batches/{batch.name}"

    def _recast(self, recast: Recast) -> Iterator[Check]:
        """Lines that went back are those that defaulters had cleared, and is free, waiting and owed
        no more."""
        sums = self.fees.entered, self.fees.left
        mine = [part.get(recast.cycle, []) for part in sums]
        yield from recasts_module.checks(self.home, recast, *mine)
        folder = self.home.path / recast.folder
        went = read_table(folder / "lines.parquet")
        self.funded.send_back(recast.cycle, went)
        fault = free(went, self.entitlements.bits)
        yield Check("I6 entitlements are free", f"recast {recast.number}", fault)
        carry(self.positions.setdefault(recast.cycle, {}), "refused", went)
        back = dict.fromkeys(line_sums.tuples(went, LINE))
        self.back |= dict.fromkeys(back, day_of(recast.at))
        self.waiting = dict(sorted((self.waiting | back).items()))
        stored = line_sums.tuples(read_table(folder / "held.parquet", columns=LINE), LINE)
        fault = "" if list(stored) == list(self.waiting) else "those that wait are others"
        yield Check("held lines", f"recast {recast.number}", fault)

    def _queue(self, queue: Queue) -> Iterator[Check]:
        """A commit that wrote the queue of lines that wait anew."""
        if isinstance(queue, Recast):
            yield from self._recast(queue)
        else:
            before = self.queue, self.funded
            if isinstance(queue, Cancellation):
                yield from cancellations.checks(self.home, queue, *before)
            else:
                days = self.answered.days, self.back
                yield from expiries.checks(self.home, queue, *before, *days)
            for line in line_sums.left(self.home, queue.folder):
                self.waiting.pop(line, None)
        self.queue = queue.folder


@checked
def verify(
    path: str | Path, *, checkpoint: str | Path | None = None, public_key: bytes | None = None
) -> list[Check]:
    """All checks of the home at path. Raises VerificationFailed with the faults, if there are any.

    checkpoint: a file of signed checkpoints that somebody kept, and public_key (PEM) what they were
    signed with: the history is proven to go on from them.
    """
    path = Path(path)
    signed = [] if checkpoint is None else kept_checkpoints(Path(checkpoint), public_key)
    checks: list[Check] = []
    try:
        with Home(path, writing=False, judging=True) as home:

            def judge() -> list[Check]:
                checks.clear()
                checks.extend(Verifier(home).checks())  # Those before a failure stay.
                if checkpoint is not None:
                    links = [link for _, link in home.catalog.audit.links()]
                    about = f"{len(signed)} checkpoints"
                    checks.append(Check("signed history", about, departure(links, signed)))
                return checks

            home.of_last_commit(judge, lambda found: not any(check.fault for check in found))
    except HomeLocked:
        raise
    except Exception as error:
        # A damaged catalog may fail as anything; that its bytes are others can be said for sure.
        if (path / CATALOG).is_file() and is_changed(path):
            told = f"{path / CATALOG} was changed: restore it ({error})"
            raise VerificationFailed(told) from error
        # So may one of which the checkpoint was made anew, and a file that a check has named.
        is_known = isinstance(error, VerificationFailed) and any(check.fault for check in checks)
        if not is_known:
            if isinstance(error, SwitchError) or not isinstance(error, _OF_CONTENT):
                raise
            what = f"cannot be judged ({type(error).__name__})"
            checks.append(Check("catalog", "what no check before this one names", what))
    faults = [check for check in checks if check.fault]
    if faults:
        shown = "; ".join(f"{c.name}, {c.subject}: {c.fault}" for c in faults[:SHOWN_MAX])
        raise VerificationFailed(f"{len(faults)} of {len(checks)} checks failed: {shown}")
    return checks


_OF_CONTENT = (LookupError, ValueError, TypeError, sqlite3.DatabaseError, pa.ArrowException)
"""Errors as one of which a file fails that is not as it was written."""
