"""Answers proven: what they did to a home, from the stored records and the batches' answers.

Shares no kernel with the engine: lines, records and accounts are brought together by joins of whole
tables, money is added up anew. I5 is proven here: what settled is credited, unapplied or returned,
and what returned stands on T.RETURNS or has a disposition.
"""

from __future__ import annotations

import bisect
import datetime
from collections.abc import Callable, Collection, Iterator
from functools import cached_property
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from switch import reconcile as rec
from switch.files.file_schemas import BREAK, TAKEN, WENT_BACK
from switch.files.segment import Groups, read_table
from switch.home.days import LEAP_DAYS
from switch.home.history import (
    EXPIRY,
    KINDS,
    RECALL,
    Folder,
    Recast,
    asked_back,
    folders,
    moved_lines,
    recasts,
    stored,
    went_back,
)
from switch.home.store import Home
from switch.home.times import day_of
from switch.outcomes import Check
from switch.proof import line_sums
from switch.proof.chains import compare
from switch.proof.credits import as_told, cut, told_ids
from switch.proof.line_sums import summed, tuples
from switch.settlement import accounts

DATED = ("batch", "settlement", EXPIRY, *KINDS)
LINE = ["batch", "line_no"]
Bits = Callable[[tuple[str, int], int], Any]
"""Persons paid by (benefit, period): bool arrays of at least one value for each row."""
Due = dict[str, dict[tuple[str, str, str], int]]
"""Money by cycle, and by step, debit and credit."""
KNOWN = (*LINE, "transfer_id", "participant", "debtor_agent", "row", "benefit", "period", "amount")
_TEXTS = {"transfer_id", "participant", "debtor_agent", "benefit"}
_SAYS = {"confirmations": "RJCT", "returns": "RTRN"}
"""Kinds of records that name lines, and the status that sends one back."""
_TOLD = ["transfer_id", "participant", "amount", "at"]
_SENT_TO = pa.schema(
    [("transfer_id", pa.string()), ("sent_to", pa.string()), ("cleared_in", pa.uint32())]
)
_LINE_DIGITS = 10


class Answered:
    """Walks the folders of answers in their order, after the batches that they stand behind."""

    def __init__(self, home: Home) -> None:
        self.home = home
        self.known = known = folders(home)
        self.cycles = {f.detail.cycle for f in known if f.detail.cycle}
        """Through which returns went."""
        self.open = BREAK.empty_table()
        self.latest = ""
        """The latest day that was closed, as far as days were looked at."""
        self.rows = home.catalog.batches()
        self.cycle_of = {row.seq: row.cycle for row in self.rows}
        self.ends: dict[str, int] = {}
        """Seq of the audit record with which a cycle settled; without a calendar that of its
        batch."""
        self.recasts: list[tuple[int, Recast]] = []
        """Every recast, and the seq of its audit record."""
        self.seqs: list[int] = []
        """Seq of the audit record of each folder."""
        self.said: dict[str, set[tuple[Any, ...]]] = {kind: set() for kind in _SAYS}
        """Records that send lines back, as far as they were said."""
        self.coming: list[Folder] = []
        """Folders whose returns had not settled yet."""
        self.taken = 0
        self.there: set[tuple[Any, ...]] = set()
        self.decided: set[tuple[int, int]] = set()
        self._closed = {seq for f in known for seq in f.detail.closed or ()}
        kinds = {folder.kind for folder in known}
        gone = iter(recasts(home))
        for record in home.catalog.audit.records():
            detail = msgspec.json.decode(record.detail)
            if record.kind in ("settlement", "batch"):
                self.ends[detail["cycle"]] = record.seq
                if record.kind == "settlement" and "after" in detail:
                    self.recasts.append((record.seq, next(gone)))
            elif record.kind in kinds:
                self.seqs.append(record.seq)
        for cycle in home.catalog.cycles("OPEN", "CLOSED", "ABORTED"):
            self.ends.pop(cycle.cycle, None)

    def checks(
        self,
        folder: Folder,
        positions: dict[str, dict[str, list[int]]],
        bits: Bits,
        waiting: Collection[tuple[int, int]],
    ) -> Iterator[Check]:
        """All of one folder. positions (by cycle and participant) and bits are carried on: what was
        refused is free and owed no more, what came back is owed the other way. waiting: lines
        (batch, number) that were held at that time."""
        subject = f"answers {folder.number}"
        due: Due = {}
        named = self._hear(folder)
        for name, lines in self.moved(folder).items():
            named.update(pc.unique(lines["batch"]).to_pylist())
            fault = cut(self.home, lines) or self._fault(folder, name, lines)
            yield Check(f"{name} lines", subject, fault)
            for cycle, mine in self._by_cycle(folder, name, lines):
                self._post(due.setdefault(cycle, {}), cycle, name, mine)
                carry(positions.setdefault(cycle, {}), name, mine)
            if name == "refused":
                yield Check("I6 entitlements are free", subject, free(lines, bits))
        asks = asked_back(self.home, folder)
        named.update(pc.unique(asks["batch"]).to_pylist())
        disposed = moved_lines(self.home, folder, "disposed")
        if len(disposed):
            yield Check("disposed lines", subject, self._disposed(folder, disposed))
            step = folder.detail.step
            if step == accounts.REISSUE:
                yield Check("I6 entitlements are free", subject, free(disposed, bits))
            due[""] = {
                (step, accounts.RETURNED, accounts.expense(row["benefit"])): row["amount_sum"]
                for row in summed(disposed, ["benefit"])
            }
        told = folder.detail.named
        yield compare(
            "named batches", subject, sorted(named), sorted(named) if told is None else told
        )
        yield compare("answers posted", subject, due, _posted(folder))
        if folder.judges:
            yield Check("breaks follow from events", subject, self._breaks(folder))
        held = {batch for batch, _ in waiting} & set(folder.detail.closed or ())
        yield Check("closed batches", subject, f"a line of {min(held)} waits" if held else "")

    def is_closed(self, seq: int) -> bool:
        """True where a day found that a batch is done with."""
        return seq in self._closed

    def _breaks(self, folder: Folder) -> str:
        events = read_table(self.home.path / folder.name / "breaks.parquet")
        told = read_table(self.home.path / folder.name / "open.parquet").cast(BREAK)
        try:
            self.open = rec.apply(self.open, events)
        except (AssertionError, KeyError):
            return "an event does not fit what was open"
        return "" if self.open.equals(told) else "those that are open are others"

    def _disposed(self, folder: Folder, lines: Any) -> str:
        """They came back by a cycle that had settled, and nothing was decided about them. Returns
        are taken up once, when they have settled."""
        seq = self.seqs[folder.number - 1]
        waits = []
        for before in [*self.coming, *self.known[self.taken : folder.number]]:
            if not before.detail.cycle or self._has_settled(before.detail.cycle, seq):
                self.there.update(tuples(self.back["returned"][before.number - 1], TAKEN.names))
            else:
                waits.append(before)
        self.coming, self.taken = waits, folder.number
        if not self.there.issuperset(tuples(lines, TAKEN.names)):
            return "a line had not come back"
        known = len(self.decided)
        self.decided.update(tuples(lines, LINE))
        once = len(self.decided) == known + len(lines)
        return "" if once else "a line was disposed of twice"

    def _has_settled(self, cycle: str, seq: int) -> bool:
        """True where a cycle had settled before an audit record. One that was made for returns
        alone settles with them."""
        if cycle not in self.ends:
            return self.home.catalog.cycle(cycle) is None
        return self.ends[cycle] < seq

    @cached_property
    def back(self) -> dict[str, list[Any]]:
        """Lines that each folder sent back: a table of TAKEN by name and folder."""
        names = "refused", "returned"
        return {name: [moved_lines(self.home, f, name) for f in self.known] for name in names}

    def moved(self, folder: Folder) -> dict[str, Any]:
        return {name: tables[folder.number - 1] for name, tables in self.back.items()}

    @cached_property
    def _went_out(self) -> dict[tuple[int, str], int]:
        """The number of lines sent back that had gone out with equal columns, by (folder, name).
        Answers of a run are read once for all folders."""
        keys = [*KNOWN, "cleared_in"]
        parts = [
            table.select(keys)
            .append_column("folder", pa.array(np.full(len(table), number)))
            .append_column("name", pa.repeat(name, len(table)))
            for name, tables in self.back.items()
            for number, table in enumerate(tables, start=1)
        ]
        whole = pa.concat_tables(parts).sort_by("cleared_in")
        runs, starts = np.unique(np.asarray(whole["cleared_in"]), return_index=True)
        found: dict[tuple[int, str], int] = {}
        for run, mine in zip(
            runs.tolist(), np.split(np.arange(len(whole)), starts[1:]), strict=True
        ):
            same = self.sent({run}).join(whole.take(pa.array(mine)), keys, join_type="inner")
            for row in same.group_by(["folder", "name"]).aggregate([([], "count_all")]).to_pylist():
                key = row["folder"], row["name"]
                found[key] = found.get(key, 0) + row["count_all"]
        return found

    def _hear(self, folder: Folder) -> set[int]:
        """Take up what records of a folder say; returns the batches that they name."""
        named: set[int] = set()
        for kind, status in _SAYS.items():
            for table in stored(self.home, folder, kind):
                named |= self._named(table["transfer_id"].combine_chunks(), folder.after)
                back = table.filter(pc.equal(table["status"], status))
                self.said[kind].update(tuples(back, _TOLD))
        for table in stored(self.home, folder, "resolutions"):
            named |= self._named(table["transfer_id"].combine_chunks(), folder.after)
        return named

    def _named(self, ids: Any, after: int) -> set[int]:
        """Batches up to a number that ids name, by a line or as a whole; 0 where one names none."""
        heads = self._heads["transfer_id"].combine_chunks()
        last = np.array([row.lines for row in self.rows] or [0], np.int64)
        seqs = np.array([row.seq for row in self.rows] or [0], np.int64)
        begin = pc.index_in(pc.utf8_slice_codeunits(ids, 0, -_LINE_DIGITS - 1), heads)
        at = np.asarray(begin.fill_null(-1))
        shaped = pc.match_substring_regex(ids, f"-[0-9]{{{_LINE_DIGITS}}}\\z")
        digits = pc.utf8_slice_codeunits(ids, -_LINE_DIGITS, 1 << 30)
        number = np.asarray(pc.if_else(shaped, digits, "0").cast(pa.int64()))
        line = (at >= 0) & (number >= 1) & (number <= last[at])
        at = np.where(line, at, np.asarray(pc.index_in(ids, heads).fill_null(-1)))
        return set(np.unique(np.where((at >= 0) & (seqs[at] <= after), seqs[at], 0)).tolist())

    def _by_cycle(self, folder: Folder, name: str, lines: Any) -> Iterator[tuple[str, Any]]:
        """(cycle whose positions they change, lines): their own, or that of the returns."""
        if name == "returned":
            if len(lines):
                yield folder.detail.cycle, lines
            return
        cycles = pa.array([self.cycle_of[seq] for seq in lines["cleared_in"].to_pylist()])
        for cycle in pc.unique(cycles.cast(pa.string())).to_pylist():
            yield cycle, lines.filter(pc.equal(cycles, cycle))

    def _post(
        self, due: dict[tuple[str, str, str], int], cycle: str, name: str, lines: Any
    ) -> None:
        """Postings that must stand for lines that went back, by the agents of that cycle: those
        of another may be others."""
        step = "P7" if name == "refused" else "P8"
        settled_by = self.home.catalog.agents(cycle)

        def post(debit: str, credit: str, amount: int) -> None:
            due[step, debit, credit] = due.get((step, debit, credit), 0) + amount

        for row in summed(lines, ["debtor_agent", "participant"]):
            payer, payee = row["debtor_agent"], row["participant"]
            if payer == payee:
                post(accounts.customers_at(payee), accounts.treasury_at(payee), row["amount_sum"])
            elif settled_by[payer] != settled_by[payee]:
                sides = accounts.position(settled_by[payee]), accounts.position(settled_by[payer])
                post(*sides, row["amount_sum"])
        for row in summed(lines, ["cleared_in", "benefit"]):
            to = accounts.RETURNED if name == "returned" else accounts.expense(row["benefit"])
            post(accounts.payable(row["cleared_in"]), to, row["amount_sum"])

    def _fault(self, folder: Folder, name: str, lines: Any) -> str:
        """The fault of lines sent back that do not equal what went out or were not answered so; ''
        where there is none."""
        if not len(lines):
            return ""
        seq = self.seqs[folder.number - 1]
        for batch in pc.unique(lines["cleared_in"]).to_pylist():
            settled = self.ends.get(self.cycle_of[batch], seq + 1) < seq
            if settled != (name == "returned"):
                return f"a line of batch {batch} is {name} at the wrong side of its settlement"
        if self._went_out.get((folder.number, name), 0) != len(lines):
            return "a line did not go out as it came back"
        said = self.said["confirmations" if name == "refused" else "returns"]
        judgement = folder.detail.judgement
        if folder.kind == RECALL:
            # Nobody answered: it is said by who recalled.
            reasons = pc.unique(lines["reason"]).to_pylist()
            return "" if reasons == [folder.detail.reason] else "a line has another reason"
        told = as_told(self.home, lines).rename_columns({"booked_at": "at"})
        rows = tuples(self._answerable(told.select([*_TOLD, "cleared_in"]), judgement), _TOLD)
        if len({row[0] for row in rows if row in said}) != len(told):
            return "no answer says so of a line"
        return ""

    def _tells_of(self, folder: Folder, batches: set[int]) -> bool:
        """A folder may say something of these batches."""
        named = folder.detail.named
        if named is None or not batches.isdisjoint(named):
            return True
        # What named no line when it came may name one of a batch that came later.
        return 0 in named and any(seq > folder.after for seq in batches)

    def records(self, kind: str, until: int, batches: set[int]) -> Any:
        """Records of a kind that may be about some batches, as far as a folder."""
        tables = [
            table
            for folder in self.known[:until]
            if self._tells_of(folder, batches)
            for table in stored(self.home, folder, kind)
        ]
        return pa.concat_tables([rec.RECORD.empty_table(), *tables])

    def sent(self, runs: set[int], own: set[int] | None = None) -> Any:
        """Lines that some runs cleared, from what they answered; cleared_in is the run. own: runs
        of which lines of their own batch are read (default: all)."""
        parts = [WENT_BACK.empty_table().select([*KNOWN, "cleared_in"])]
        for seq in sorted(runs):
            folder = self.home.folder("batches", seq)
            for status, lines in line_sums.answers(folder, own=own is None or seq in own):
                columns = {n: t[n] for t in (lines, status) for n in t.schema.names}
                number = pa.array(np.full(len(status), seq, np.uint32))
                columns.setdefault("batch", number)
                chosen = {
                    name: columns[name].cast(pa.string()) if name in _TEXTS else columns[name]
                    for name in KNOWN
                }
                alive = pa.array(np.asarray(lines["reason_number"]) == 0)
                parts.append(pa.table(chosen | {"cleared_in": number}).filter(alive))
        return pa.concat_tables(parts)

    # --- where lines stand ----------------------------------------------------------------------

    def lines_add_up(self) -> Iterator[Check]:
        """I5, and the states that the last commit told, from all records at once."""
        judging = [folder for folder in self.known if folder.judges]
        for folder in judging:
            if folder is judging[-1] or folder.kind == "day":
                yield from self._judged(folder)
        moved = [part.select(LINE) for parts in self.back.values() for part in parts]
        if not moved:
            return
        whole = pa.concat_tables(moved)
        twice = len(whole) - len(whole.group_by(LINE).aggregate([]))
        fault = f"{twice} lines went back twice" if twice else ""
        yield Check("I5 a line goes back once", "all answers", fault)
        returned = sum(pc.sum(part["amount"]).as_py() or 0 for part in self.back["returned"])
        disposed = sum(
            posting[3]
            for folder in self.known
            for part in folder.detail.postings.values()
            for posting in part
            if posting[1] == accounts.RETURNED
        )
        balance = self.home.catalog.balances().get(accounts.RETURNED, 0)
        yield compare("I5 returned", accounts.RETURNED, returned - disposed, balance)

    def _judged(self, folder: Folder) -> Iterator[Check]:
        """States as they were told, and of a day its statements and what it closed."""
        subject, day = f"answers {folder.number}", folder.detail.answer["as_of"]
        if folder.detail.later is not None:
            later = self._later(folder)
            signed = folder.detail.later, folder.detail.slips or []
            yield compare("batches of later days", subject, later, signed)
            # None is after a later one, but for such as were a slip.
            ran_back = self.latest > day and not folder.detail.correct
            yield Check("days", subject, f"{self.latest} was closed before" if ran_back else "")
            self.latest = max(self.latest, day)
        batches = {seq for seq in folder.detail.batches if seq}
        runs = {seq for seq in self.cycle_of if batches and min(batches) <= seq <= folder.after}
        out = self.standing(runs, batches, folder)
        told = folder.detail.answer["states"]
        counts = dict.fromkeys(told, 0)
        for row in summed(out, ["state"]):
            counts[row["state"]] = row["count_all"]
        yield compare("I5 states of lines", subject, counts, told)
        if folder.kind != "day":
            return
        keys = ["participant", "cleared_in", "state"]
        found = {
            tuple(row[key] for key in keys): (row["count_all"], row["amount_sum"])
            for row in summed(out, keys)
            if row["cleared_in"] not in (folder.detail.later or ())
        }
        stored = {
            (path.stem, row["batch"], row["state"]): (row["count"], row["amount"])
            for path in (self.home.path / folder.name / "statements").iterdir()
            for row in read_table(path).to_pylist()
        }
        yield compare("statements", subject, found, stored)
        closed = pa.array(folder.detail.closed, pa.int64())
        mine = out.filter(pc.is_in(out["batch"].cast(pa.int64()), closed))
        left = pc.is_in(mine["state"], pa.array(["CLEARED", "SETTLED", "UNAPPLIED"]))
        fault = "a line is open" if pc.any(left).as_py() else ""
        yield Check("closed batches", f"{subject}, lines", fault)

    def _later(self, folder: Folder) -> tuple[list[int], list[int]]:
        """Batches before a folder whose day comes after its, and such whose time alone does, which
        does not count; a day that was signed when all times counted names none of these."""
        day = folder.detail.answer["as_of"]
        after = {s for s, days in self.days.items() if s <= folder.after and days[0] > day}
        slips = {s for s in after if self.days[s][1] <= day and folder.detail.slips is not None}
        return sorted(after - slips), sorted(slips)

    @cached_property
    def days(self) -> dict[int, tuple[str, str]]:
        """(recorded day, day that it counts by) of each batch; a leap that nobody said to be meant
        counts by a day no later than the value date."""
        closes = {cycle.cycle: cycle.closes for cycle in self.home.catalog.cycles()}
        value_date = {row.seq: row.value_date for row in self.rows}
        found: dict[int, tuple[str, str]] = {}
        known: list[int] = []
        for _, at, kind, text, *_ in self.home.catalog.audit.records(*DATED):
            detail, due, day = msgspec.json.decode(text), "", day_of(at)
            if kind in ("batch", "settlement"):
                due = value_date[detail["seq"]] if kind == "batch" else closes[detail["cycle"]]
            others = known or [day_of(due).toordinal()] if due else known
            last = bisect.bisect_right(others, day.toordinal())
            far = last and day.toordinal() - others[last - 1] > LEAP_DAYS
            stands: datetime.date | None = day
            if far and at != due and "leap" not in detail:
                stands = min(day, day_of(due)) if due else None
            if stands:
                bisect.insort(known, stands.toordinal())
            if kind == "batch":
                found[detail["seq"]] = str(day), str(stands)
        return found

    def standing(self, runs: set[int], batches: set[int], last: Folder) -> Any:
        """Lines of batches with their states at the time of the last answers."""
        out = self.sent(runs, batches)
        out = out.filter(
            pc.is_in(out["batch"].cast(pa.int64()), pa.array(sorted(batches), pa.int64()))
        )
        seq = self.seqs[last.number - 1]
        keys = [*LINE, "cleared_in"]
        cycles = {self.cycle_of[run] for run in pc.unique(out["cleared_in"]).to_pylist()}
        for at, recast in self.recasts:
            if at < seq and recast.cycle in cycles:
                known = went_back(self.home, recast).select(keys).cast(out.select(keys).schema)
                out = out.join(known, keys, join_type="left anti")
        # One row a run, and no word a line before the end.
        run = np.asarray(out["cleared_in"])
        settled, day = (np.zeros(max(self.cycle_of, default=0) + 1, np.int64) for _ in range(2))
        for number, cycle in self.cycle_of.items():
            settled[number] = self.ends.get(cycle, seq + 1) < seq
            date = cycle.partition("-")[0].zfill(8)  # Homes from before 1900 was the first year.
            day[number] = datetime.date.fromisoformat(date).toordinal()
        deadline = last.detail.rules.get("deadline_days", 0)  # A recall goes by none.
        as_of = last.detail.answer.get("as_of") or str(day_of(last.at))
        today = datetime.date.fromisoformat(as_of).toordinal()
        words = ["CLEARED", "SETTLED", "UNAPPLIED", "CREDITED", "RETURNED", "REFUSED"]
        state = settled[run]
        state[(state == 1) & (today - day[run] > deadline)] = words.index("UNAPPLIED")
        ids, known_as = out["transfer_id"], told_ids(self.home, out)
        credited = pc.is_in(known_as, self._credited(as_told(self.home, out), runs, last))
        state[np.asarray(credited)] = words.index("CREDITED")
        for name, word in (("returned", "RETURNED"), ("refused", "REFUSED")):
            parts = [
                table["transfer_id"]
                for f, table in zip(self.known[: last.number], self.back[name], strict=False)
                if self._tells_of(f, batches)
            ]
            gone_ids = pa.chunked_array([c for part in parts for c in part.chunks], pa.string())
            state[np.asarray(pc.is_in(ids, gone_ids.combine_chunks()))] = words.index(word)
        return out.append_column("state", pa.array(words).take(pa.array(state)))

    def _credited(self, out: Any, runs: set[int], last: Folder) -> Any:
        """Ids of lines that an answer credits: its own, or one to all of its clearing file. Tables
        are joined and grouped whole, so that it costs the same however many answer for a file."""
        runs = runs & set(pc.unique(out["cleared_in"]).to_pylist())
        batches = runs | set(pc.unique(out["batch"]).to_pylist())
        said = self.records("confirmations", last.number, batches)
        judgement = last.detail.judgement
        accounts = pa.concat_tables(
            [
                self._accounts(seq, path)
                for seq in sorted(runs)
                for path in sorted((self.home.folder("batches", seq) / "clearing").iterdir())
            ]
            or [_SENT_TO.empty_table()]
        )
        lines = out.select(["transfer_id", "participant", "amount", "cleared_in"]).join(
            accounts, ["transfer_id", "cleared_in"]
        )
        # What was recalled in time is in no sum of a whole file.
        stopped = [
            name
            for f, table in zip(self.known[: last.number], self.back["refused"], strict=False)
            if f.kind == RECALL
            for name in table["transfer_id"].to_pylist()
        ]
        lines = lines.filter(
            pc.invert(pc.is_in(lines["transfer_id"], pa.array(stopped, pa.string())))
        )
        own = said.join(
            self._answerable(lines, judgement).rename_columns({"amount": "due"}),
            ["transfer_id", "participant"],
            join_type="inner",
        )
        heard = own if judgement > 1 else said
        named = pc.unique(heard["transfer_id"])
        refused = pc.unique(heard.filter(pc.equal(heard["status"], "RJCT"))["transfer_id"])
        fits = pc.and_(pc.equal(own["status"], "ACCC"), pc.equal(own["amount"], own["due"]))
        fits = pc.and_(fits, pc.fill_null(pc.equal(own["account"], own["sent_to"]), True))
        credits_ = own.filter(fits)["transfer_id"]
        file = ["cleared_in", "participant"]
        due = lines.filter(pc.invert(pc.is_in(lines["transfer_id"], refused)))
        sums_ = due.group_by(file).aggregate([("amount", "sum")])
        heads = self._heads.join(said.filter(pc.equal(said["status"], "ACCC")), ["transfer_id"])
        keys = [*file, "amount"]
        right = sums_.rename_columns({"amount_sum": "amount"}).join(heads, keys, keys, "left semi")
        silent = lines.filter(pc.invert(pc.is_in(lines["transfer_id"], named)))
        silent = silent.join(right, file, file, "left semi")
        found = [*credits_.chunks, *silent["transfer_id"].chunks]
        return pa.chunked_array(found, pa.string()).combine_chunks()

    @cached_property
    def _heads(self) -> Any:
        """Heads by which an answer names the files of a batch: transfer_id and cleared_in."""
        heads = [
            f"{row.value_date.replace('-', '').lstrip('0')}-{row.seq:06d}" for row in self.rows
        ]
        numbers = pa.array([row.seq for row in self.rows], pa.uint32())
        return pa.table({"transfer_id": pa.array(heads, pa.string()), "cleared_in": numbers})

    def _answerable(self, lines: Any, judgement: int) -> Any:
        """Lines by who may answer to them: their participant, and once more who settled for it in
        the cycle of the run that cleared them."""
        if judgement == 1:
            return lines
        rows = [
            (seq, code, agent)
            for seq in pc.unique(lines["cleared_in"]).to_pylist()
            for code, agent in self.home.catalog.agents(self.cycle_of[seq]).items()
            if code != agent
        ]
        known = pa.table(
            {
                "cleared_in": pa.array([row[0] for row in rows], pa.uint32()),
                "participant": pa.array([row[1] for row in rows], pa.string()),
                "agent": pa.array([row[2] for row in rows], pa.string()),
            }
        )
        others = lines.join(known, ["cleared_in", "participant"], join_type="inner")
        others = others.drop(["participant"]).rename_columns({"agent": "participant"})
        return pa.concat_tables([lines, others.select(lines.column_names).cast(lines.schema)])

    def _accounts(self, seq: int, path: Any) -> Any:
        groups = Groups(path)
        tables = [groups.read(n, ["transfer_id", "creditor_account"]) for n in range(len(groups))]
        whole = pa.concat_tables(tables, promote_options="permissive")
        run = pa.array(np.full(len(whole), seq, np.uint32))
        return whole.append_column("cleared_in", run).rename_columns(_SENT_TO.names).cast(_SENT_TO)


def free(went: Any, bits: Bits) -> str:
    """Take back that the entitlements of lines were paid; what is wrong with that."""
    fault = ""
    for key in went.group_by(["benefit", "period"]).aggregate([]).to_pylist():
        mine = pc.and_(
            pc.equal(went["benefit"], key["benefit"]), pc.equal(went["period"], key["period"])
        )
        rows = np.asarray(went["row"].filter(mine))
        paid = bits((key["benefit"], key["period"]), int(rows.max()) + 1)
        if not paid[rows].all():
            fault = f"an entitlement of {key['benefit']} {key['period']} was not taken"
        paid[rows] = False
    return fault


def carry(whole: dict[str, list[int]], name: str, lines: Any) -> None:
    """Add lines that went back to the counts and sums of a cycle, by participant: credits, then
    debits."""
    for row in summed(lines, ["debtor_agent", "participant"]):
        payee, payer = row["participant"], row["debtor_agent"]
        for code, first in ((payee, 0), (payer, 2)):
            at, sign = (first, -1) if name == "refused" else (2 - first, 1)
            if payee != payer:
                mine = whole.setdefault(code, [0, 0, 0, 0])
                mine[at] += sign * row["count_all"]
                mine[at + 1] += sign * row["amount_sum"]


def _posted(folder: Folder) -> Due:
    """Postings of a folder but for settlement and reserves."""
    found: Due = {}
    for cycle, part in folder.detail.postings.items():
        sums_ = found.setdefault(cycle, {})
        for step, debit, credit, amount in part:
            if step not in ("P2", "P4") and accounts.kind_of(debit) != accounts.RESERVE:
                key = (step, debit, credit)
                sums_[key] = sums_.get(key, 0) + amount
    return found
