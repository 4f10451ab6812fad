"""The way back lived: what comes back of lines that were sent, done on engine and auditor.

Receivers write, it is decided what becomes of money that came back, days are ended. After each of
these every line has to stand where the auditor says.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import cast

from switch import status
from switch.home.history import Folder, folders, open_breaks
from switch.open_items.breaks import critical as open_critical
from switch.reconcile.line_states import State
from switch.reconcile.take_in import judged
from switch.sim.auditor.expected import Line, Moved, Record, Table
from switch.sim.auditor.notes import Mark
from switch.sim.lives.alarms import Alarms
from switch.sim.lives.difference import read_rows, require
from switch.sim.lives.letters import Post
from switch.sim.lives.operations import Answers, CloseDay, Dispose, NoteBreaks, PayAgain, Payday
from switch.sim.lives.sender import content_of
from switch.sim.lives.sides import Sides
from switch.sim.lives.tables import answers_of

SETS = ("confirmations", "returns")
"""Sets of records whose breaks the auditor foretells."""
REPEATED = 0.3
"""Rate at which files of before are given again."""


LATE = "it came late"
"""Reason that is said with each time, and recorded where the time lies before others."""


class WayBack:
    """The way back of a home and its auditor."""

    def __init__(self, sides: Sides, mail: Path) -> None:
        """mail: folder for files of receivers."""
        self.sides, self.mail = sides, mail
        self._given: list[list[Record]] = []
        """Files that were given before."""

    def answers(self, operation: Answers) -> str:
        """Let receivers write answers, and take them in. Returns the outcome in words, as a log has
        it."""
        sides, day = self.sides, operation.day
        files = self._letters(operation)
        after = sides.auditor.copy()
        paths = self._written(files)
        if day < sides.auditor.days.signed:
            word = self._runs_back(lambda: sides.engine.reconcile(*paths, at=day.isoformat()))
            if not operation.meant:
                return word
        leap = sides.auditor.days.leaps(day)
        moved = after.reconcile([record for file in files for record in file], day)

        def act() -> object:
            return sides.engine.reconcile(*paths, at=day.isoformat(), leap=leap, correct=LATE)

        replay = False if moved.is_something else None
        word, _ = sides.attempt(act, operation.fault, after, replay=replay)
        if sides.auditor is after:
            self._compare_moved(moved)
        return f"{word} {moved.new} {len(moved.refused)} {len(moved.returned)}"

    def _letters(self, operation: Answers) -> list[list[Record]]:
        """Files that receivers give: new ones, and rarely some of before."""
        rng = random.Random(operation.salt)
        way_back, payments = self.sides.auditor.way_back, self.sides.auditor.payments
        records = way_back.records
        sent = [(owed, way_back.day_of(owed)) for _, owed in sorted(payments.sent.items())]
        heads = {seq: head for head, seq in payments.heads().items()}
        post = Post(rng, sent, heads, records.said)
        if operation.whole:
            post.all_open(way_back.states())
        else:
            post.any()
        post.statement(list(way_back.returned))
        sent_now = payments.sent
        asked = way_back.open_recalls() if operation.whole else list(way_back.recalls())
        if asked:
            mine = [sent_now[line] for line in sorted(asked)]
            resolved = records.resolved.items()
            late = {
                name for name, said in resolved if any(r.at.date() >= operation.day for r in said)
            }
            post.recalls(mine, operation.day, late, whole=operation.whole)
        files = post.files()
        self._given += files
        # What a crash kept from being heard may open lines again: not in the end.
        known = [
            file
            for file in self._given
            if not operation.whole or file in files or all(r in records.heard for r in file)
        ]
        if known and rng.random() < REPEATED:
            files = [*files, *rng.choices(known, k=2)]
            rng.shuffle(files)
        return files

    def _written(self, files: Sequence[Sequence[Record]]) -> list[Path]:
        for old in self.mail.iterdir():
            old.unlink()
        paths = [self.mail / f"{number}.parquet" for number in range(len(files))]
        for path, file in zip(paths, files, strict=True):
            path.write_bytes(answers_of(file))
        return paths

    def _runs_back(self, act: Callable[[], object]) -> str:
        """Try something on a day before the last that was closed, and say no why: nothing of it is
        taken."""
        return f"runs back: {self.sides.refused(act, frozenset({'DAYS_RUN_BACK'}))}"

    def close_day(self, operation: CloseDay) -> str:
        """End a day. Returns what came of it, in words."""
        sides, day = self.sides, operation.day
        days = sides.auditor.days
        if day < days.signed:
            word = self._runs_back(lambda: sides.engine.close_day(day.isoformat()))
            if not operation.meant:
                return word
        leap = days.leaps(day)
        after = sides.auditor.copy()
        moved, closed = after.close_day(day)
        last = sides.engine.home.catalog.audit.stamps()[-1]
        signed = last.kind == "day" and days.as_of == day

        def act() -> object:
            return sides.engine.close_day(day.isoformat(), leap=leap, correct=LATE)

        word, _ = sides.attempt(act, operation.fault, after, replay=signed)
        if sides.auditor is after:
            self._compare_moved(moved)
            rows = sides.engine.home.catalog.batches()
            found = sorted(row.seq for row in rows if row.state == "CLOSED")
            require("batches that are closed", sorted(after.way_back.closed), found)
        return f"{word} {closed}"

    def dispose(self, operation: Dispose) -> str:
        """Decide about money that came back. Returns what came of it, in words."""
        sides = self.sides
        after = sides.auditor.copy()
        chosen = self._chosen(operation.salt)
        lines = after.dispose(chosen, operation.again)
        batches = after.payments.batches

        def act() -> object:
            asked = None
            if chosen is not None:
                asked = [(":".join(batches[seq].name), number) for seq, number in chosen]
            use = sides.engine.reissue if operation.again else sides.engine.write_back
            return use(asked)

        if lines is None:
            return sides.refused(act)
        if not batches:
            return "nothing"
        word, _ = sides.attempt(act, operation.fault, after, replay=not lines)
        if sides.auditor is after and lines:
            folder = sides.home / folders(sides.engine.home)[-1].name
            require("lines disposed of", lines, _lines_of(folder / "disposed.parquet"))
        return f"{word} {lines}"

    def note(self, operation: NoteBreaks) -> str:
        """Note something about breaks that are open. Returns what came of it, in words."""
        sides, rng = self.sides, random.Random(operation.salt)
        rows = sides.engine.breaks(sort="value").rows()
        marks = [Mark(str(r["break"]), str(r["class"]), cast(int, r["value"])) for r in rows]
        chosen = sorted(rng.sample(marks, min(len(marks), rng.randint(1, 3))))
        words, owner = rng.choice(["", "the bank was asked"]), rng.choice(["", "", "night desk"])
        accepted = rng.choice([None, True, True, False]) if words else None
        after = sides.auditor.copy()
        is_new = after.note(chosen, words, owner, accepted)

        def act() -> object:
            names = [mark.name for mark in chosen]
            return sides.engine.note_breaks(
                names, by="a clerk", note=words, owner=owner, accepted=accepted
            )

        if not chosen or not (words or owner):
            return sides.refused(act)
        word, _ = sides.attempt(act, operation.fault, after, replay=not is_new)
        self._compare_notes()
        Alarms(sides).note(operation.salt)
        return f"{word} {len(chosen)} {accepted}"

    def _chosen(self, salt: int | None) -> list[Line] | None:
        """Lines to decide about: of those that are back, and rarely one of all."""
        if salt is None:
            return None
        rng, auditor = random.Random(salt), self.sides.auditor
        there = auditor.way_back.returns_there()
        chosen = rng.sample(there, rng.randint(0, len(there)))
        others = sorted(auditor.payments.sent)
        if others and rng.random() < 0.2:
            chosen.append(rng.choice(others))
        return chosen or None

    def pays_again(self, operation: PayAgain) -> Payday:
        """A table with every line whose entitlement may be taken once more."""
        auditor = self.sides.auditor
        rows = [
            {**auditor.payments.sent[line].entry.row, "line_no": number}
            for number, line in enumerate(sorted(auditor.way_back.disposed), start=1)
        ]
        total = sum(row["amount"] for row in rows)
        content = content_of(rows, "rows")
        table = Table("VSS", "AGAIN", operation.day, len(rows), total, tuple(rows), content)
        return Payday(table, "rows", 1000)

    # --- comparing ------------------------------------------------------------------------------

    def all_is_final(self) -> None:
        """Compare the end: every line is refused, credited, or back and disposed of, and every
        batch is closed."""
        way_back = self.sides.auditor.way_back
        waiting = {
            line: state
            for line, state in way_back.states().items()
            if state not in ("CREDITED", "REFUSED")
            and not (state == "RETURNED" and line in way_back.disposed)
        }
        require("lines that are open in the end", {}, waiting)
        home = self.sides.engine.home
        left = [row.batch_id for row in home.catalog.batches() if row.state != "CLOSED"]
        require("batches that are open in the end", [], left)

    def _compare_moved(self, moved: Moved) -> None:
        """Compare what a commit of answers moved, where every line stands after it, and the breaks
        that are open."""
        known = folders(self.sides.engine.home)
        folder = self.sides.home / known[-1].name
        detail = known[-1].detail
        require("new records", moved.new, detail.answer["new"])
        require("cycle of returns", moved.cycle, detail.answer["cycle"])
        require("lines refused", moved.refused, _lines_of(folder / "refused.parquet"))
        require("lines returned", moved.returned, _lines_of(folder / "returned.parquet"))
        self._compare_states(known)
        self._compare_breaks(known)
        self._compare_notes()

    def _compare_notes(self) -> None:
        """Compare what is told of notes about all breaks that are open."""
        notes = self.sides.auditor.notes
        found = self.sides.engine.breaks()
        critical = 0
        for row in found.rows():
            mark = Mark(str(row["break"]), str(row["class"]), cast(int, row["value"]))
            require(f"{mark} is accepted", notes.is_accepted(mark), row["accepted"])
            require(f"words about {mark}", notes.words.get(mark.name), row["note"])
            if mark.name in notes.owners:
                require(f"owner of {mark}", notes.owners[mark.name], row["owner"])
            critical += row["severity"] == "critical" and not notes.is_accepted(mark)
        told = open_critical(self.sides.engine.home)["count"]
        require("critical breaks that nobody accepted", critical, told)

    def _compare_states(self, known: list[Folder]) -> None:
        """Compare the state of every line that was sent."""
        auditor, home = self.sides.auditor, self.sides.engine.home
        states = judged(home, known, set(auditor.payments.batches))
        lines, places = states.lines, states.states().tolist()
        found: dict[Line, str] = {}
        counts: dict[int, int] = {}
        for batch, place in zip(lines.batch().tolist(), places, strict=True):
            counts[batch] = counts.get(batch, 0) + 1
            if place != State.NOT_SENT:
                found[batch, counts[batch]] = State(place).name
        require("state of line", auditor.way_back.states(), found)

    def _compare_breaks(self, known: list[Folder]) -> None:
        """Compare the breaks that are open, as far as the auditor is sure of them."""
        expected = self.sides.auditor.breaks()
        classes: dict[str, list[str]] = {}
        drifts, unbooked, recalls = set(), [], []
        for row in open_breaks(self.sides.engine.home, known).to_pylist():
            if row["class"] == "TOTAL_DRIFT":
                drifts.add(row["participant"])
            elif row["set"] == "recalls":
                recalls.append((row["class"], row["transfer_id"]))
            elif row["set"] == "treasury":
                unbooked.append(row["transfer_id"])
            elif row["set"] in SETS and row["transfer_id"] not in expected.unsure:
                classes.setdefault(row["transfer_id"], []).append(row["class"])
        sure = {k: v for k, v in expected.classes.items() if k not in expected.unsure}
        require("breaks of", sure, {name: sorted(words) for name, words in classes.items()})
        require("returns that no statement has", expected.unbooked, sorted(unbooked))
        require("sums that drift", sorted(expected.drifts), sorted(drifts))
        require("breaks of recalls", expected.recalls, sorted(recalls))

    def compare_story(self, line: Line) -> None:
        """Compare all that a line ever was, as `status` tells it."""
        auditor, (batch, line_no) = self.sides.auditor, line
        name = ":".join(auditor.payments.batches[batch].name)
        told = status.line(self.sides.engine.home, name, line_no)
        states = [state["status"] for state in told["states"]]
        way_back = auditor.way_back
        if way_back.folders:
            # Of several answers in one file each is told, in whatever order.
            states = [s for i, s in enumerate(states) if i == 0 or states[i - 1] != s]
        require(f"states of batch {batch}, line {line_no}", way_back.statuses(line), states)

    def compare_person(self, turn: int) -> None:
        """Compare all lines of a person over all batches, and where each stands now. turn: whose
        turn it is, of all whom lines name."""
        auditor = self.sides.auditor
        people = sorted(auditor.people.lines)
        if not people:
            return
        person, states = people[turn % len(people)], auditor.way_back.states()
        expected = [
            (
                auditor.payments.batches[line[0]].name[1],
                line[1],
                amount,
                auditor.way_back.state_of(line, states),
            )
            for line, amount in auditor.people.lines_of(person)
        ]
        found = [
            (told["batch_id"], told["line_no"], told["amount"], told["states"][-1]["state"])
            for told in self.sides.engine.person(person)["lines"]
        ]
        require(f"lines of person {person}", expected, found)


def _lines_of(path: Path) -> list[Line]:
    rows = read_rows(path) if path.exists() else []
    return sorted((row["batch"], row["line_no"]) for row in rows)
