"""Lockstep: the engine and the auditor told the same things, and compared after each of them.

One home in a folder, one auditor beside it. `step` does one operation of a life on both; what
differs raises `Difference`. No clock, no thread of its own.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa

from switch import engine as engine_room
from switch.engine import Engine
from switch.errors import HomeMoved, InputRefused, UsageError, VerificationFailed
from switch.home.batch import Batch
from switch.home.history import queue_of
from switch.proof.verify import verify
from switch.reason import RULES, Reason
from switch.registry.directory import Settings
from switch.sim.auditor.auditor import Auditor
from switch.sim.auditor.expected import (
    Calendar,
    Expected,
    Outcome,
    Position,
    Posting,
    Ruled,
    Sent,
    Settled,
    Table,
    Waiting,
)
from switch.sim.lives.faults import KINDS, unlocked
from switch.sim.lives.operations import (
    Abort,
    Answers,
    Change,
    CloseDay,
    Dispose,
    Fund,
    Leap,
    Nation,
    OddDate,
    OldCatalog,
    Operation,
    PayAgain,
    Payday,
    Race,
    Register,
    Reopen,
    Rules,
    Settle,
    Verify,
)
from switch.sim.lives.tables import (
    ACCOUNTS,
    PAID,
    PAYMENT,
    PEOPLE,
    csv_of,
    given,
    parquet_of,
    rows_table,
    typed,
)
from switch.sim.lives.trial import USAGE, Difference, read_rows, require
from switch.sim.lives.way_back import Homeward
from switch.sim.world.institutions import package_rows
from switch.status import budgets

KEY = b"0123456789abcdef"
OLD_CATALOGS = 4
TIMELINES = 8
"""About so many lines of a life are asked for by `status`."""


class Lockstep(Homeward):
    """One home and its auditor. Close it."""

    def __init__(self, folder: Path, nation: Nation, *, chunk_rows: int | None = None) -> None:
        """folder: empty, for the home and the tables. chunk_rows: instead of what a life says."""
        self.home, self.tables = folder / "home", folder / "tables"
        self.tables.mkdir(parents=True)
        self.open_mail(folder / "mail")
        self.chunk_rows = chunk_rows
        self.auditor = Auditor(
            nation.participants,
            nation.debtors,
            nation.programmes,
            nation.opening,
            ruled(nation.rules),
        )
        opening = [{"participant": code, "balance": sum_} for code, sum_ in nation.opening.items()]
        self.engine = engine_room.init(
            self.home,
            participants=rows_table(nation.participants),
            debtors=rows_table(nation.debtors),
            programmes=rows_table(nation.programmes),
            balances=rows_table(opening) if opening else None,
            settings=settings_of(nation.rules),
            key=KEY,
        )
        self._content: dict[int, str] = {}
        """Content digest of every batch by number, as it was when it was committed."""
        self._catalogs: list[tuple[int, bytes]] = []
        self._waited: dict[tuple[int, int], None] = {}
        """Lines that were held at any time."""

    def close(self) -> None:
        self.engine.close()

    def step(self, operation: Operation) -> str:
        """Do one operation on both sides. Returns what happened, in words that depend on nothing
        but the life."""
        match operation:
            case Payday():
                word = self._payday(operation)
            case Race():
                word = self._race(operation.payday)
            case PayAgain():
                word = self._payday(self.pays_again(operation))
            case Answers():
                word = self.answers(operation)
            case Dispose():
                word = self.dispose(operation)
            case CloseDay():
                word = self.close_day(operation)
            case Register():
                word = self._register(operation)
            case Change():
                word = self._change(operation)
            case Reopen():
                word = self._reopen()
            case OldCatalog():
                word = self._old_catalog(operation)
            case Settle():
                word = self._settle()
            case Abort():
                word = self._abort(operation)
            case Fund():
                word = self._fund(operation)
            case OddDate():
                word = self._odd_date(operation)
            case Leap():
                word = self._leap(operation)
            case Verify():
                word = self.verify()
        self._compare_home()
        return f"{type(operation).__name__}: {word}"

    def require_all_terminal(self) -> None:
        """In the end nothing waits: every line that was ever taken in is settled or refused, and
        where receivers answer, what became of it is final."""
        waiting = {line: s for line, s in self.auditor.lines.items() if s in ("PDNG", "ACSP")}
        require("lines that wait in the end", {}, waiting)
        last = self.engine.home.next_batch() - 1
        held = self.engine.home.folder("batches", last) / "held.parquet"
        require("held.parquet in the end", False, held.exists())
        told = budgets(self.engine.home)
        require("remaining in the end", [], [row for row in told if row["remaining"]])
        found = {row["programme"]: row["reserved"] - row["released"] for row in told}
        require("budgets taken", dict(self.auditor.taken()), _nonzero(found))
        if self.auditor.heard:
            self.require_all_final()
        lines, most = list(self._waited), TIMELINES
        if self.auditor.heard:
            # What was answered is told at some length.
            lines, most = [*self.auditor.deeds, *lines, *self.auditor.standing], TIMELINES // 2
        for line in lines[:: 1 + len(lines) // most]:
            self.compare_story(line)

    @property
    def link(self) -> str:
        """The last link of the audit chain: it stands for everything that was ever committed."""
        return self.engine.home.last_link()

    # --- operations -----------------------------------------------------------------------------

    def _register(self, operation: Register) -> str:
        after = self.auditor.copy()
        after.register(operation.people, operation.accounts, operation.paid, operation.replace)

        def act() -> None:
            self.engine.register(
                population=given(operation.people, PEOPLE),
                accounts=given(operation.accounts, ACCOUNTS),
                paid_history=given(operation.paid, PAID),
                replace=operation.replace,
            )

        word, _ = self._attempt(act, operation.fault, after, frozenset())
        return word

    def _change(self, operation: Change) -> str:
        after = self.auditor.copy()
        refusals = after.change(
            operation.participants,
            operation.debtors,
            operation.programmes,
            None if operation.rules is None else ruled(operation.rules),
        )

        def act() -> None:
            self.engine.change_directory(
                participants=given(operation.participants),
                debtors=given(operation.debtors),
                programmes=given(operation.programmes),
                settings=None if operation.rules is None else settings_of(operation.rules),
            )

        word, _ = self._attempt(act, operation.fault, after, refusals)
        return word

    def _payday(self, operation: Payday) -> str:
        after = self.auditor.copy()
        verdict = after.run(operation.table)
        source, declared = self._hand_over(operation)

        def act() -> Batch:
            return self.engine.run(
                source,
                threads=1,
                chunk_rows=self.chunk_rows or operation.chunk_rows,
                **declared,
            )

        new = verdict.batch
        word, batch = self._attempt(
            act, operation.fault, after, verdict.refusals, verdict.replay is not None
        )
        if new is not None and self.auditor is after:
            if batch is None:
                batch = self._committed(operation.table)
            require("replayed", False, batch.replayed)
            self._compare_batch(new, batch)
            self._content[new.seq] = batch.content_digest
        elif batch is not None:
            require("replayed", True, batch.replayed)
            require("number of the stored batch", verdict.replay, batch.seq)
            require("content of the stored batch", self._content[batch.seq], batch.content_digest)
            self._compare_copies(batch)
        return f"{word} {batch.seq if batch else ''} {batch.content_digest if batch else ''}"

    def _race(self, operation: Payday) -> str:
        """Two writers work on one history. The second comes to its commit when the first's is done:
        it is refused, and nothing moves."""
        with unlocked():
            other = Engine(self.home)
        commit, commits = other.home.commit, self.auditor.commits
        words: list[str] = []

        def late(**values: Any) -> None:
            words.append(self._payday(operation))
            commit(**values)

        other.home.commit = late  # type: ignore[method-assign]
        source, declared = self._hand_over(operation)
        said = "answered"
        try:
            rows = self.chunk_rows or operation.chunk_rows
            other.run(source, threads=1, chunk_rows=rows, **declared)
        except HomeMoved:
            said = "moved"
        except InputRefused:
            said = "refused"
        finally:
            other.close()
        words = words or [self._payday(operation)]
        moved = self.auditor.commits != commits
        require("the second of two writers is refused", moved, said == "moved")
        drafts = [path.name for path in (self.home / "batches").glob(".draft*")]
        require("drafts that a refused writer leaves", [], drafts)
        return f"{words[0]} {said if moved else ''}"

    def _odd_date(self, operation: OddDate) -> str:
        """A date that is none is refused where it comes in, and nothing moves."""
        door, text = operation
        before, path = self.link, self.tables / "odd.csv"
        names = {
            "status_since": "person_id,name,birth_date,status,status_since",
            "valid_from": "person_id,participant,account,kind,priority,valid_from,valid_to",
        }
        cells = {
            "status_since": f"001000000001,An,1950-01-01,deceased,{text}",
            "valid_from": f"001000000001,970001,1,bank,1,{text},",
            "valid_to": f"001000000001,970001,1,bank,1,,{text}",
        }
        try:
            if door == "value date":
                none = pa.Table.from_pylist([], schema=PAYMENT)
                declared: dict[str, Any] = {"source": "S", "batch_id": "ODD"}
                self.engine.run(none, value_date=text, count=1, sum=1, **declared)
            elif door == "time":
                self.engine.settle(at=text)
            elif door == "close":
                self.engine.close_day(text)
            elif door == "holiday":
                config = {"cutoffs": ["11:00"], "holidays": [text]}
                settings = msgspec.convert(config, Settings)
                self.engine.change_directory(settings=settings)
            else:
                header = names.get(door, names["valid_from"])
                path.write_text(f"{header}\n{cells[door]}\n", "utf-8")
                kind = "population" if door == "status_since" else "accounts"
                tables: dict[str, Any] = {kind: path}
                self.engine.register(**tables)
            said = "taken"
        except (InputRefused, UsageError, msgspec.ValidationError):
            said = "refused"
        require(f"an odd date by {door}", "refused", said)
        require("history after an odd date", before, self.link)
        return f"{door} {text}"

    def _leap(self, operation: Leap) -> str:
        """Without the word nothing is done by a time that leaps; with it a cycle settles."""
        auditor, before = self.auditor, self.link
        if not auditor.days:
            return "nothing"
        day = auditor.beyond(operation.days)
        at, doors = day.isoformat(), self.doors_of_time(day)
        if operation.door not in doors:
            return "nothing"
        word, _ = self._attempt(
            lambda: doors[operation.door](at), None, auditor, frozenset({USAGE})
        )
        require("history after a leap", before, self.link)
        if operation.door == "settle" and operation.meant:
            auditor.furthest = day
            word = self._ended(self.engine.settle(at=at, leap=True), auditor.settle())
        return f"{operation.door} {operation.days} {word}"

    def _fund(self, operation: Fund) -> str:
        """Accounts of those who have one of their own as things stand."""
        given = self.auditor.with_account(operation.balances)
        balances = [{"participant": code, "balance": sum_} for code, sum_ in given.items()]
        if balances:
            self.engine.change_directory(balances=rows_table(balances))
            self.auditor.fund(given)
        return f"{len(balances)} accounts"

    def _settle(self) -> str:
        """All cycles; what recasts took out waits again, and receivers are told of it."""
        if self.auditor.calendar is None and not self.auditor.cycles:
            word, _ = self._attempt(self.engine.settle, None, self.auditor, frozenset({USAGE}))
            return word
        answers, expected = self.engine.settle(), self.auditor.settle()
        return self._ended(answers, expected)

    def _abort(self, operation: Abort) -> str:
        name = next(iter(self.auditor.unsettled()), None)
        if name is None:
            return "nothing"

        def act() -> Any:
            return self.engine.settle(name, abort="it was drawn")

        after = self.auditor.copy()
        if after.cycles[name].answered:
            word, _ = self._attempt(act, None, after, frozenset({USAGE}))
            return word
        expected = after.abort()
        # It is closed first, which is a commit of its own.
        self.engine.settle(expected.cycle, close_only=True)
        self.auditor.close(expected.cycle)
        word, answers = self._attempt(act, operation.fault, after, frozenset())
        if self.auditor is not after:
            return word
        return self._ended(answers or self.engine.settle(expected.cycle), [expected])

    def _ended(self, answers: list[Any], expected: list[Settled]) -> str:
        words = []
        for answer, settled in zip(answers, expected, strict=True):
            folder = self.home / "out" / "cycles" / answer["cycle"] / "recall"
            recall = {
                path.stem: [(row["transfer_id"], row["amount"]) for row in read_rows(path)]
                for path in folder.glob("*.parquet")
            }
            turned = sorted(answer["turned_payer"])
            said = (answer["cycle"], answer["state"], answer["short"], turned, recall)
            require("cycle", list(settled), list(said))
            count = sum(map(len, recall.values()))
            words.append(f"{answer['cycle']} {answer['state']} {count} back")
        if any(settled.recall for settled in expected):
            queue = queue_of(self.engine.home)
            rows = [] if queue is None else read_rows(self.home / queue[0])
            held = [_waiting(row) for row in rows]
            require("lines that wait", [_kept(entry) for entry in self.auditor.queue], held)
            self._waited |= {(e.batch, e.row["line_no"]): None for e in self.auditor.queue}
        return ", ".join(words) or "nothing"

    def _reopen(self) -> str:
        self.engine.close()
        self.engine = Engine(self.home)
        return "done"

    def _old_catalog(self, operation: OldCatalog) -> str:
        """An older catalog is recognised by writers and by verify, and nothing is moved."""
        commits, old = self._catalogs[-min(operation.back + 1, len(self._catalogs))]
        if commits == self.auditor.commits:
            return "the same"
        self.engine.close()
        catalog = self.home / "catalog.sqlite"
        current = catalog.read_bytes()
        catalog.write_bytes(old)
        folders = _folders(self.home)
        for what, use in (("open", Engine), ("verify", verify)):
            try:
                use(self.home)
            except VerificationFailed:
                continue
            raise Difference(f"{what} with a catalog of {commits} commits", "refused", "taken")
        require("folders after an old catalog", folders, _folders(self.home))
        catalog.write_bytes(current)
        self.engine = Engine(self.home)
        return "recognised"

    def _hand_over(self, operation: Payday) -> tuple[Any, dict[str, Any]]:
        """The table as `Engine.run` takes it: from memory with arguments, or a file."""
        table, form = operation.table, operation.form
        if form in ("rows", "typed rows"):
            arrow = pa.Table.from_pylist(list(table.rows), schema=PAYMENT)
            return typed(arrow) if form == "typed rows" else arrow, {
                "source": table.source,
                "batch_id": table.batch_id,
                "value_date": table.value_date,
                "count": table.declared_count,
                "sum": table.declared_sum,
            }
        for old in self.tables.iterdir():
            old.unlink()
        path = self.tables / f"table.{form}"
        content = csv_of(table.rows) if form == "csv" else parquet_of(table.rows)
        path.write_bytes(content)
        if table.dossier:
            digest = hashlib.sha256(content if table.digest_true else b"").hexdigest()
            dossier = {
                "source": table.source,
                "batch_id": table.batch_id,
                "currency": table.currency,
                "count": table.declared_count,
                "sum": str(table.declared_sum),
                "sha256": digest,
                "value_date": table.value_date.isoformat(),
            }
            path.with_name("table.dossier.json").write_text(json.dumps(dossier), "utf-8")
        return path, {}

    def _committed(self, table: Table) -> Batch:
        """The stored batch of a table whose run did not live to answer."""
        row = self.engine.home.batch(table.source, table.batch_id)
        if row is None:
            raise Difference("batch after a crash behind its commit", table.batch_id, None)
        return self.engine._batch(row, replayed=False)

    # --- comparing ------------------------------------------------------------------------------

    def _compare_home(self) -> None:
        """What the catalog says in sums; an older copy of it is kept."""
        home, auditor = self.engine.home, self.auditor
        count = home.rows("SELECT count(*) AS n FROM audit")[0]["n"]
        require("audit records", auditor.commits, count)
        require("number of the next batch", len(auditor.batches) + 1, home.next_batch())
        live = home.balances()
        if live:
            require("balances", _nonzero(auditor.balances), _nonzero(live))
        if not self._catalogs or self._catalogs[-1][0] != count:
            self._catalogs.append((count, (self.home / "catalog.sqlite").read_bytes()))
            del self._catalogs[:-OLD_CATALOGS]

    def _compare_batch(self, expected: Expected, batch: Batch) -> None:
        """Every file of a batch, and what the catalog keeps of it."""
        name = f"batch {expected.seq}"
        require(f"{name}, number", expected.seq, batch.seq)
        require(f"{name}, cycle", expected.cycle, batch.cycle)
        status, lines = (
            read_rows(batch.folder / "status.parquet"),
            read_rows(batch.folder / "lines.parquet"),
        )
        rows = zip(status, lines, strict=True)
        found = [_outcome({**s, **number, "batch": expected.seq}) for s, number in rows]
        require(f"{name}, line", expected.own, found)
        path = batch.folder / "represented.parquet"
        moved = [_outcome(row) for row in read_rows(path)] if path.exists() else None
        require(f"{name}, represented", _blurred(expected.represented), _blurred(moved))
        path = batch.folder / "held.parquet"
        held = [_waiting(row) for row in read_rows(path)] if path.exists() else []
        self._waited |= {(entry.batch, entry.row["line_no"]): None for entry in expected.held}
        require(f"{name}, held", [_kept(entry) for entry in expected.held], held)
        sent = {
            path.stem: [Sent(**row) for row in read_rows(path)]
            for path in (batch.folder / "clearing").iterdir()
        }
        require(f"{name}, clearing file", expected.sent, sent)
        positions = [Position(**row) for row in read_rows(batch.folder / "positions.parquet")]
        require(f"{name}, position", expected.positions, positions)
        postings: Counter[Posting] = Counter()
        for row in self.engine.home.rows("SELECT * FROM postings WHERE batch = ?", expected.seq):
            postings[Posting(row["step"], row["debit"], row["credit"])] += row["amount"]
        require(f"{name}, postings", dict(expected.postings), dict(postings))
        states = {state: batch.summary[state] for state in expected.states}
        told = {state: (shown["count"], shown["sum"]) for state, shown in states.items()}
        require(f"{name}, states", expected.states, told)

    def _compare_copies(self, batch: Batch) -> None:
        """What stands in the out folder is what was committed."""
        out = self.home / "out" / self.engine.home.out_name(batch.batch_id, batch.seq)
        for path in [batch.folder / "status.parquet", *(batch.folder / "clearing").iterdir()]:
            copy = out / path.relative_to(batch.folder)
            require(f"copy {copy.name}", path.read_bytes(), copy.read_bytes())


def settings_of(rules: Rules) -> Settings:
    """As the engine takes them."""
    return Settings(
        clearing_limit=rules.clearing_limit,
        cutoffs=rules.cutoffs or msgspec.UNSET,
        holidays=rules.holidays or msgspec.UNSET,
        holidays_only=rules.holidays_only or msgspec.UNSET,
        working_days=rules.working_days or msgspec.UNSET,
        insufficient_funds=rules.rule or msgspec.UNSET,
        enforce_budgets=rules.budgets or msgspec.UNSET,
        accounts_shared_max=rules.shared_max or msgspec.UNSET,
    )


def ruled(rules: Rules) -> Ruled:
    """As the auditor takes them: what is packaged of days off and worked is told to it."""
    off, worked = set(rules.holidays), set(rules.working_days)
    if not rules.holidays_only:
        worked |= _packaged("working_days_vn.csv") - off
        off |= _packaged("holidays_vn.csv")
    calendar = Calendar(frozenset(off), frozenset(worked), rules.cutoffs)
    return Ruled(
        calendar if rules.cutoffs else None,
        rules.rule == "recast",
        rules.budgets,
        rules.shared_max,
        rules.clearing_limit,
    )


def _packaged(name: str) -> set[dt.date]:
    return {dt.date.fromisoformat(row["date"]) for row in package_rows(name)}


def _blurred(outcomes: list[Outcome] | None) -> list[Outcome] | None:
    """Held lines that meet an entitlement taken: by whom is not told apart."""
    if outcomes is None:
        return None
    taken = (Reason.PAID_BEFORE, Reason.DUPLICATE_IN_TABLE)
    return [
        o._replace(reason=int(Reason.PAID_BEFORE)) if o.reason in taken else o for o in outcomes
    ]


def _outcome(row: Mapping[str, Any]) -> Outcome:
    number = row["reason_number"]
    if number:
        detail = row["reason_detail"]
        if not str(detail).startswith(RULES[Reason(number)].sentence):
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
    )


def _waiting(row: Mapping[str, Any]) -> dict[str, Any]:
    return {**row, "person_id": f"{row['person_id']:012d}"}


def _kept(entry: Waiting) -> dict[str, Any]:
    return {"batch": entry.batch, **entry.row}


def _nonzero(balances: Mapping[str, int]) -> dict[str, int]:
    return {account: sum_ for account, sum_ in balances.items() if sum_}


def _folders(home: Path) -> list[str]:
    kinds = (*KINDS, "quarantine")
    return sorted(f"{kind}/{path.name}" for kind in kinds for path in (home / kind).glob("*"))
