"""The way back lived: what comes back of lines that were sent, done on engine and auditor.

Receivers write, it is decided what becomes of money that came back, days are ended. After each of
these every line has to stand where the auditor says.
"""

from __future__ import annotations

import datetime as dt
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from switch import status
from switch.home.history import Folder, folders, open_breaks
from switch.reconcile.line_states import State
from switch.reconcile.take_in import judged
from switch.sim.auditor.expected import Line, Moved, Record, Table
from switch.sim.lives.letters import Post
from switch.sim.lives.life import content_of
from switch.sim.lives.operations import Answers, CloseDay, Dispose, PayAgain, Payday
from switch.sim.lives.tables import PAYMENT, answers_of
from switch.sim.lives.trial import USAGE, Trial, read_rows, require

SETS = ("confirmations", "returns")
"""Whose breaks the auditor foretells."""
REPEATED = 0.3
"""How often files of before are given again."""


class Homeward(Trial):
    """The way back of a home and its auditor."""

    mail: Path
    """Folder for files of receivers."""

    def open_mail(self, folder: Path) -> None:
        self.mail = folder
        folder.mkdir()
        self._given: list[list[Record]] = []
        """Files that were given before."""

    def answers(self, operation: Answers) -> str:
        rng = random.Random(operation.salt)
        auditor = self.auditor
        sent = [(o, auditor.day_of(o)) for _, o in sorted(auditor.standing.items())]
        heads = {seq: head for head, seq in auditor.heads.items()}
        post = Post(rng, sent, heads, auditor.said)
        if operation.whole:
            post.all_open(auditor.states())
        else:
            post.any()
        post.statement(list(auditor.returned))
        files = post.files()
        self._given += files
        # What a crash kept from being heard may open lines again: not in the end.
        known = [
            file
            for file in self._given
            if not operation.whole or file in files or all(r in auditor.heard for r in file)
        ]
        if known and rng.random() < REPEATED:
            files = [*files, *rng.choices(known, k=2)]
            rng.shuffle(files)
        after = auditor.copy()
        paths = self._written(files)
        if operation.day < auditor.signed:
            late = operation.day.isoformat()
            return self._runs_back(lambda: self.engine.reconcile(*paths, at=late))
        leap = auditor.leaps(operation.day)
        moved = after.reconcile([record for file in files for record in file], operation.day)

        def act() -> dict[str, Any]:
            return self.engine.reconcile(*paths, at=operation.day.isoformat(), leap=leap)

        replay = False if moved.is_something else None
        word, answer = self._attempt(act, operation.fault, after, frozenset(), replay)
        if self.auditor is after:
            self._compare_moved(moved, answer)
        return f"{word} {moved.new} {len(moved.refused)} {len(moved.returned)}"

    def doors_of_time(self, day: dt.date) -> dict[str, Callable[[str], Any]]:
        """Operations that can be done at a time as things stand, by door."""
        engine, none = self.engine, pa.Table.from_pylist([], schema=PAYMENT)
        declared: dict[str, Any] = {"source": "S", "batch_id": "FAR", "count": 1, "sum": 1}
        declared["value_date"] = day - dt.timedelta(days=1)
        doors: dict[str, Callable[[str], Any]] = {
            "run": lambda at: engine.run(none, at=at, **declared),
            "answers": lambda at: engine.reconcile(at=at),
            "close": engine.close_day,
        }
        if self.auditor.unsettled():
            doors["settle"] = lambda at: engine.settle(at=at)
        if self.auditor.returns_there():
            doors["write back"] = lambda at: engine.write_back(at=at)
            doors["reissue"] = lambda at: engine.reissue(at=at)
        return doors

    def _runs_back(self, act: Callable[[], Any]) -> str:
        """Of a day before the last that was closed nothing is taken."""
        word, _ = self._attempt(act, None, self.auditor, frozenset({USAGE}))
        return f"runs back: {word}"

    def close_day(self, operation: CloseDay) -> str:
        if operation.day < self.auditor.signed:
            return self._runs_back(lambda: self.engine.close_day(operation.day.isoformat()))
        leap = self.auditor.leaps(operation.day)
        after = self.auditor.copy()
        moved, closed = after.close_day(operation.day)
        last = self.engine.home.rows("SELECT kind FROM audit ORDER BY seq DESC LIMIT 1")
        signed = last[0]["kind"] == "day" and self.auditor.as_of == operation.day

        def act() -> dict[str, Any]:
            return self.engine.close_day(operation.day.isoformat(), leap=leap)

        word, answer = self._attempt(act, operation.fault, after, frozenset(), signed)
        if self.auditor is after:
            self._compare_moved(moved, answer)
            rows = self.engine.home.rows("SELECT seq FROM batches WHERE state = 'CLOSED'")
            found = sorted(row["seq"] for row in rows)
            require("batches that are closed", sorted(after.closed), found)
        return f"{word} {closed}"

    def dispose(self, operation: Dispose) -> str:
        after = self.auditor.copy()
        chosen = self._chosen(operation.salt)
        lines = after.dispose(chosen, operation.again)
        names = {number: name for name, (number, *_) in after.batches.items()}

        def act() -> dict[str, Any]:
            asked = None
            if chosen is not None:
                asked = [(":".join(names[seq]), number) for seq, number in chosen]
            use = self.engine.reissue if operation.again else self.engine.write_back
            return use(asked)

        if lines is None:
            word, _ = self._attempt(act, None, after, frozenset({USAGE}))
            return word
        if not after.batches:
            return "nothing"
        word, _ = self._attempt(act, operation.fault, after, frozenset(), not lines)
        if self.auditor is after and lines:
            folder = self._last_folder()
            require("lines disposed of", lines, _lines_of(folder / "disposed.parquet"))
        return f"{word} {lines}"

    def pays_again(self, operation: PayAgain) -> Payday:
        """A table with every line whose entitlement may be taken once more."""
        auditor = self.auditor
        rows = [
            {**auditor.standing[line].entry.row, "line_no": number}
            for number, line in enumerate(sorted(auditor.disposed), start=1)
        ]
        total = sum(row["amount"] for row in rows)
        content = content_of(rows, "rows")
        table = Table("VSS", "AGAIN", operation.day, len(rows), total, tuple(rows), content)
        return Payday(table, "rows", 1000)

    def require_all_final(self) -> None:
        """Every line is refused, credited, or back and disposed of, and every batch is closed."""
        auditor = self.auditor
        waiting = {
            line: state
            for line, state in auditor.states().items()
            if state not in ("CREDITED", "REFUSED")
            and not (state == "RETURNED" and line in auditor.disposed)
        }
        require("lines that are open in the end", {}, waiting)
        rows = self.engine.home.rows("SELECT batch_id FROM batches WHERE state != 'CLOSED'")
        require("batches that are open in the end", [], [row["batch_id"] for row in rows])

    def _chosen(self, salt: int | None) -> list[Line] | None:
        """Lines to decide about: of those that are back, and rarely one of all."""
        if salt is None:
            return None
        rng = random.Random(salt)
        there = self.auditor.returns_there()
        chosen = rng.sample(there, rng.randint(0, len(there)))
        others = sorted(self.auditor.standing)
        if others and rng.random() < 0.2:
            chosen.append(rng.choice(others))
        return chosen or None

    def _written(self, files: Sequence[Sequence[Record]]) -> list[Path]:
        for old in self.mail.iterdir():
            old.unlink()
        paths = [self.mail / f"{number}.parquet" for number in range(len(files))]
        for path, file in zip(paths, files, strict=True):
            path.write_bytes(answers_of(file))
        return paths

    # --- comparing ------------------------------------------------------------------------------

    def _last_folder(self) -> Path:
        return self.home / folders(self.engine.home)[-1].name

    def _compare_moved(self, moved: Moved, answer: dict[str, Any] | None) -> None:
        """What a commit of answers moved, where every line stands after it, and what is open."""
        known = folders(self.engine.home)
        folder = self.home / known[-1].name
        detail = known[-1].detail
        require("new records", moved.new, detail["answer"]["new"])
        require("cycle of returns", moved.cycle, detail["answer"]["cycle"])
        require("lines refused", moved.refused, _lines_of(folder / "refused.parquet"))
        require("lines returned", moved.returned, _lines_of(folder / "returned.parquet"))
        self.compare_standing(known)

    def compare_standing(self, known: list[Folder]) -> None:
        """State of every line that was sent, and the breaks that are open."""
        auditor, home = self.auditor, self.engine.home
        seqs = set(auditor.cycle_of_run)
        states = judged(home, known, seqs)
        lines, places = states.lines, states.states().tolist()
        batches = lines.batch().tolist()
        found: dict[Line, str] = {}
        counts: dict[int, int] = {}
        for batch, place in zip(batches, places, strict=True):
            counts[batch] = counts.get(batch, 0) + 1
            if place != State.NOT_SENT:
                found[batch, counts[batch]] = State(place).name
        require("state of line", auditor.states(), found)
        expected = auditor.breaks()
        classes: dict[str, list[str]] = {}
        drifts, unbooked = set(), []
        for row in open_breaks(home, known).to_pylist():
            if row["class"] == "TOTAL_DRIFT":
                drifts.add(row["participant"])
            elif row["set"] == "treasury":
                unbooked.append(row["transfer_id"])
            elif row["set"] in SETS and row["transfer_id"] not in expected.unsure:
                classes.setdefault(row["transfer_id"], []).append(row["class"])
        sure = {k: v for k, v in expected.classes.items() if k not in expected.unsure}
        require("breaks of", sure, {name: sorted(words) for name, words in classes.items()})
        require("returns that no statement has", expected.unbooked, sorted(unbooked))
        require("sums that drift", sorted(expected.drifts), sorted(drifts))

    def compare_story(self, line: Line) -> None:
        """All that a line ever was, as `status` tells it."""
        names = {number: name for name, (number, *_) in self.auditor.batches.items()}
        told = status.line(self.engine.home, ":".join(names[line[0]]), line[1])
        states = [state["status"] for state in told["states"]]
        if self.auditor.heard:
            # Of several answers in one file each is told, in whatever order.
            states = [s for i, s in enumerate(states) if i == 0 or states[i - 1] != s]
        require(f"states of batch {line[0]}, line {line[1]}", self.auditor.statuses(line), states)


def _lines_of(path: Path) -> list[Line]:
    rows = read_rows(path) if path.exists() else []
    return sorted((row["batch"], row["line_no"]) for row in rows)
