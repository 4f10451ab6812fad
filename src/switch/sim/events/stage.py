"""Stage: the home of an event, and all who deal with it: people of a policy who sign its tables,
receivers that answer, pay points that prove or give back. Only the library's own calls are used.

What the engine answers is held against the sheets, line by line and in totals; a `Surprise` is an
answer that whoever made the tables does not expect.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

import switch
from switch import schema
from switch.sim.events.people import POST, Institutions, People
from switch.sim.events.sheets import ANSWERS, RETURNS, SILENT, STATES, Sheet, account_of
from switch.sim.world.draw import arrow_schema

SIGNERS = {
    "approve": "checker",
    "control": "controller",
    "certify": "certifier",
    "fund": "funder",
    "release": "releaser",
}
"""Steps of the drafted policy, and who signs each."""
_CONFIRMATIONS = arrow_schema(schema.CONFIRMATIONS)
_RETURNS = arrow_schema(schema.RETURNS)
ID_AT, LINE_AT = 9, 16
"""Places where the number of the batch, and that of the line, begin in a transfer id."""


class Surprise(AssertionError):
    """The engine answered other than whoever made the tables knows."""


def require(is_so: bool, what: str) -> None:
    """Raise Surprise where something is not as it has to be."""
    if not is_so:
        raise Surprise(what)


class Stage:
    """A home with a policy, and its sheets as they are run."""

    def __init__(
        self,
        folder: Path,
        people: People,
        institutions: Institutions,
        programmes: Sequence[Mapping[str, object]],
        at: str,
        **settings: object,
    ) -> None:
        """programmes: rows of the programme table; each has an account at the treasury."""
        self.folder, self.people, self.institutions = folder, people, institutions
        self.sheets: list[Sheet] = []
        self.checks = 0
        """Proofs that held: of each table, of its totals, and of `verify`."""
        self._policy = switch.draft_policy(folder / "policy")
        debtors = [
            {"debtor_account": account_of(str(row["benefit"])), "debtor_agent": "KBNN"}
            for row in programmes
        ]
        self.engine = switch.init(
            folder / "home",
            participants=institutions.directory(),
            debtors=pa.Table.from_pylist(debtors),
            programmes=pa.Table.from_pylist([dict(row) for row in programmes]),
            settings=settings,
            at=at,
        )
        self.engine.control.set_policy(self._policy, at=at)
        self._answers = 0

    # --- tables ---------------------------------------------------------------------------------

    def run(self, sheet: Sheet, rng: np.random.Generator) -> None:
        """Prepare, sign, release and run a table; each line is answered as the sheet says."""
        sheet.write(self.folder, self.people, rng, POST)
        day, batch_id = sheet.value_date, sheet.batch_id
        switch.write_dossier(sheet.path, source=sheet.source, batch_id=batch_id, value_date=day)
        control, keys = self.engine.control, self._policy.parent
        at = sheet.value_date
        control.prepare(sheet.path, by="maker", key=keys / "maker.pem", at=at)
        for step, name in SIGNERS.items():
            control.sign(sheet.batch_id, step, by=name, key=keys / f"{name}.pem", at=at)
        batch = self.engine.run(sheet.path, at=at)
        sheet.number = batch.seq
        self.sheets.append(sheet)
        self._require_answers(sheet, batch.status)

    def _require_answers(self, sheet: Sheet, status: pa.Table) -> None:
        told = pa.table(
            {
                "line_no": np.arange(1, len(sheet) + 1, dtype=np.uint32),
                "status": pa.array([a for a, _ in ANSWERS]).take(pa.array(sheet.answer)),
                "reason": pa.array([r for _, r in ANSWERS], pa.string()).take(
                    pa.array(sheet.answer)
                ),
            }
        )
        given = status.select(told.column_names).cast(told.schema)
        if not given.equals(told):
            pairs = zip(given.to_pylist(), told.to_pylist(), strict=True)
            found, wanted = next(pair for pair in pairs if pair[0] != pair[1])
            raise Surprise(f"{sheet.batch_id}: a line is {found}, and not {wanted}")
        self.checks += 1

    # --- receivers ------------------------------------------------------------------------------

    def receivers_answer(self, sheet: Sheet, at: str, days: int = 1) -> None:
        """All who got lines by the run of a sheet, its own and older ones, answer as each line's
        sheet says. days: from its value date to their bookings."""
        folder = self.engine.home.path / "out" / sheet.batch_id / "clearing"
        booked = dt.datetime.fromisoformat(sheet.value_date).replace(tzinfo=dt.UTC)
        booked += dt.timedelta(days=days, hours=3)
        for path in sorted(folder.glob("*.parquet")):
            lines = pq.read_table(path, columns=["transfer_id", "amount", "creditor_account"])
            fate = self._fates(lines["transfer_id"])
            credits = lines.filter(pa.array((fate != RETURNS) & (fate != SILENT)))
            self._take(self._confirmed(path.stem, credits, booked), at)
            back = lines.filter(pa.array(fate == RETURNS))
            self._take(self._given_back(path.stem, back, booked, "AC04"), at)
        self._move_on()

    def _fates(self, ids: pa.ChunkedArray) -> NDArray[np.uint8]:
        """Fates of lines, by their transfer ids."""
        batch = _number(ids, ID_AT, LINE_AT - 1)
        line = _number(ids, LINE_AT, None)
        fates = np.zeros(len(line), np.uint8)
        for sheet in self.sheets:
            mine = batch == sheet.number
            fates[mine] = sheet.fate[line[mine] - 1]
        return fates

    def _move_on(self) -> None:
        """Lines that are settled stand where their receivers left them."""
        for sheet in self.sheets:
            settled = sheet.stands("settled")
            sheet.put(settled & (sheet.fate == 0), "credited")
            sheet.put(settled & (sheet.fate == RETURNS), "returned")

    def points_give_back(self, number: int, at: str) -> int:
        """Pay points give back what a recall asks them for; how many lines that are."""
        path = self.engine.home.path / "out" / "recalls" / f"{number:06d}" / f"{POST}.parquet"
        lines = pq.read_table(path)
        booked = dt.datetime.fromisoformat(at).replace(tzinfo=dt.UTC) - dt.timedelta(hours=8)
        self._take(self._given_back(POST, lines, booked, "FOCR"), at)
        batch = _number(lines["transfer_id"], ID_AT, LINE_AT - 1)
        line = _number(lines["transfer_id"], LINE_AT, None)
        amount, found = lines["amount"].to_numpy(), 0
        for sheet in self.sheets:
            chosen = np.zeros(len(sheet), bool)
            rows = line[batch == sheet.number] - 1
            chosen[rows] = True
            if len(sheet.head):
                chosen = np.isin(sheet.head, sheet.head[rows]) & ~sheet.stands("refused")
            unproven = sheet.stands("settled") & (sheet.fate == SILENT)
            require(bool((chosen == unproven).all()), f"{sheet.batch_id}: others are asked back")
            sheet.put(chosen, "returned")
            found += int(chosen.sum())
            require(
                int(sheet.amount[chosen].sum()) == int(amount[batch == sheet.number].sum()),
                f"{sheet.batch_id}: another sum is asked back than that of its lines",
            )
        return found

    def write_back(self, at: str) -> None:
        """All money that came back goes to the budget."""
        waits = sum(int(sheet.stands("returned").sum()) for sheet in self.sheets)
        told = self.engine.write_back(at=at)
        require(told["count"] == waits, f"{told['count']} lines were written back, not {waits}")
        for sheet in self.sheets:
            sheet.put(sheet.stands("returned"), "written_back")

    def _confirmed(self, code: str, lines: pa.Table, booked: dt.datetime) -> pa.Table:
        rows = len(lines)
        columns = {
            "participant": pa.repeat(code, rows),
            "transfer_id": lines["transfer_id"],
            "amount": lines["amount"],
            "creditor_account": lines["creditor_account"],
            "status": pa.repeat("ACCC", rows),
            "reason": pa.nulls(rows, pa.string()),
            "booked_at": pa.repeat(pa.scalar(booked, pa.timestamp("us", "UTC")), rows),
        }
        return pa.table(columns).cast(_CONFIRMATIONS)

    def _given_back(self, code: str, lines: pa.Table, booked: dt.datetime, reason: str) -> pa.Table:
        rows = len(lines)
        columns = {
            "participant": pa.repeat(code, rows),
            "return_id": pc.binary_join_element_wise("R", lines["transfer_id"], ""),
            "transfer_id": lines["transfer_id"],
            "amount": lines["amount"],
            "reason": pa.repeat(reason, rows),
            "booked_at": pa.repeat(pa.scalar(booked, pa.timestamp("us", "UTC")), rows),
        }
        return pa.table(columns).cast(_RETURNS)

    def _take(self, records: pa.Table, at: str) -> None:
        """Keep a file of answers until they are handed over."""
        if len(records):
            self._answers += 1
            pq.write_table(records, self.folder / f"answers-{self._answers:05d}.parquet")

    def hand_over(self, at: str) -> None:
        """Hand all answers over that were kept, in one go."""
        files = sorted(self.folder.glob("answers-*.parquet"))
        self.engine.reconcile(*files, at=at)
        for file in files:
            file.rename(file.with_name(f"taken-{file.name}"))

    # --- proofs ---------------------------------------------------------------------------------

    def require_lists(self, sheet: Sheet) -> None:
        """Lists of the pay points of a run have the lines of its own that were not proven, and each
        point that it sent a line to."""
        told = self.engine.cash(f"{sheet.source}:{sheet.batch_id}")
        post = self.institutions.post
        mine = (sheet.receiver == post) & ~sheet.stands("refused") & ~sheet.stands("held")
        to_pay = sheet.amount[mine & sheet.stands("settled")]
        wanted = {"count": len(to_pay), "sum": int(to_pay.sum())}
        require(told["to_pay"] == wanted, f"lists have {told['to_pay']}, not {wanted}")
        points = np.unique(self.people.commune[sheet.person[mine]])
        require(len(told["points"]) == len(points), "other pay points than the communes")
        self.checks += 1

    def require_totals(self) -> None:
        """Lines of each sheet stand where it says, per commune and per receiver, in lines and in
        money."""
        for sheet in self.sheets:
            communes = np.array(self.people.provinces.communes)[self.people.commune[sheet.person]]
            self._require_by(sheet, "commune", communes)
            sent = (sheet.receiver >= 0) & ~sheet.stands("refused") & ~sheet.stands("held")
            codes = np.array([*self.institutions.codes, ""])[sheet.receiver]
            found = self._rows(sheet, "participant")
            for code in np.unique(codes[sent]).tolist():
                mine = sheet.amount[(codes == code) & sent]
                row, apart = found[code], ("refused", "held", "expired")
                lines = row["lines"] - sum(row[f"{state}_lines"] for state in apart)
                money = row["sum"] - sum(row[f"{state}_sum"] for state in apart)
                wanted = len(mine), int(mine.sum())
                require((lines, money) == wanted, f"{sheet.batch_id}: {code} has {lines} lines")
            self.checks += 2

    def _rows(self, sheet: Sheet, by: str) -> dict[str, dict[str, int]]:
        found = self.engine.totals(sheet.path, by=by, batch=f"{sheet.source}:{sheet.batch_id}")
        return {row["key"]: row for row in found.rows()}

    def _require_by(self, sheet: Sheet, by: str, keys: NDArray[np.str_]) -> None:
        """Totals of a sheet by a key are those that its own columns come to."""
        found = self._rows(sheet, by)
        names, at = np.unique(keys, return_inverse=True)
        require(sorted(found) == names.tolist(), f"{sheet.batch_id}: other keys than its own")
        size = len(names) * len(STATES)
        cell = at * len(STATES) + sheet.state
        lines = np.bincount(cell, minlength=size).reshape(-1, len(STATES))
        money = np.bincount(cell, sheet.amount, size).reshape(-1, len(STATES)).astype(np.int64)
        for number, key in enumerate(names.tolist()):
            row = found[key]
            for code, state in enumerate(STATES):
                # A line without an answer is late by the calendar alone.
                names_of = ("settled", "unapplied") if state == "settled" else (state,)
                told = tuple(
                    sum(row[f"{name}_{what}"] for name in names_of) for what in ("lines", "sum")
                )
                wanted = int(lines[number, code]), int(money[number, code])
                require(told == wanted, f"{sheet.batch_id}, {key}: {state} {told}, not {wanted}")
            require(row["lines"] == int(lines[number].sum()), f"{key}: lines in another state")

    def require_credits(self) -> int:
        """Credits of households, by commune: as many as households that were sent to by each sheet,
        with the money of their lines. Returns their number."""
        found = np.zeros((2, len(self.people.provinces.communes)), np.int64)
        wanted = np.zeros_like(found)
        for sheet in self.sheets:
            folder = self.engine.home.folder("batches", sheet.number) / "clearing"
            for path in sorted(folder.glob("*.parquet")):
                rows = pq.read_table(path, columns=["transfer_id", "amount"])
                batch = _number(rows["transfer_id"], ID_AT, LINE_AT - 1)
                line = _number(rows["transfer_id"], LINE_AT, None)
                for one in self.sheets:
                    mine = batch == one.number
                    commune = self.people.commune[one.person[line[mine] - 1]]
                    np.add.at(found[0], commune, 1)
                    np.add.at(found[1], commune, rows["amount"].to_numpy()[mine])
            sent = ~sheet.stands("refused")
            _, first = np.unique(sheet.head[sent], return_index=True)
            np.add.at(wanted[0], self.people.commune[sheet.person[sent][first]], 1)
            np.add.at(wanted[1], self.people.commune[sheet.person[sent]], sheet.amount[sent])
        for commune in np.flatnonzero((found != wanted).any(axis=0)).tolist():
            code = self.people.provinces.communes[commune]
            told = f"{found[:, commune].tolist()}, not {wanted[:, commune].tolist()}"
            require(False, f"{code}: credits and their money are {told}")
        self.checks += 1
        return int(found[0].sum())

    def close(self, at: str, closed: Collection[Sheet]) -> None:
        """End the last day: these sheets are done with, their dossiers closed, and nothing is open;
        every invariant is proven from the files."""
        self.engine.close_day(at)
        require(self.engine.breaks().total["count"] == 0, "a break is open")
        states = {row["batch_id"]: row["state"] for row in self.engine.control.dossiers().rows()}
        wanted = {sheet.batch_id: "CLOSED" for sheet in closed}
        require(states == wanted, f"dossiers are {states}, not {wanted}")
        self.checks += len(self.engine.verify())

    def end(self) -> None:
        """Let go of the home."""
        self.engine.close()


def _number(ids: pa.ChunkedArray, begin: int, end: int | None) -> NDArray[np.int64]:
    """A part of transfer ids, as numbers."""
    part = pc.utf8_slice_codeunits(ids, begin, end)
    return np.asarray(part.cast(pa.int64()))
