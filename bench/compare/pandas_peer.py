"""The job in pandas: indexes for people and for who was paid, their hash tables built with the
register; an optimistic pass over all lines, every rule in full only for the others.

`Index.get_indexer` finds people's rows (-1 falls on a sentinel row behind the last), `duplicated`
the entitlements that stand twice, `groupby` makes positions. pandas uses one thread; with two,
status and clearing files are written at once by pyarrow.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from . import columns as c
from .job import (
    DUPLICATE,
    NO_CODE,
    NO_PERSON,
    NOT_GIVEN,
    PAID_BEFORE,
    Answer,
    Job,
    Peer,
    engine_columns,
)
from .later import Later, Went


class ToolPeer(Peer):
    name = "pandas"

    def __init__(self, job: Job, threads: int) -> None:
        super().__init__(job, threads)
        self.limits = c.limit_lookup(job)
        self.lines: dict[str, Any] = {}
        self.frame: Any = None
        self.result: dict[str, Any] = {}

    @staticmethod
    def version() -> str:
        return pd.__version__

    def load_register(self, form: str) -> None:
        def index_of(people: c.People) -> Any:
            self.index = pd.Index(people.ids)
            self.index.get_indexer(people.ids[:1])
            return self.index.get_indexer

        people = self.people = c.load_people(self.job, form, self.threads, index_of)
        self.later = Later(self.job)
        clean = c.clean_people(self.job, people)
        self.key = np.append(np.where(clean, people.key, c.NO_NAME), c.NO_NAME)
        self.participant = np.append(people.participant, np.uint16(NOT_GIVEN))
        ids, benefit, month = c.load_paid(self.job, self.threads)
        entitlement = self.entitlements(self.index.get_indexer(ids), benefit)
        paid = pd.DataFrame({"month": month, "entitlement": entitlement})
        self.paid = {
            int(month): pd.Index(part["entitlement"].unique())
            for month, part in paid.groupby("month", sort=False)
        }
        for index in self.paid.values():
            index.get_indexer(index[:1])

    @staticmethod
    def entitlements(row: Any, benefit: Any) -> Any:
        """int64: a person's row and a benefit."""
        return row.astype(np.int64) << 16 | benefit

    def load_lines(self, form: str) -> None:
        self.lines = engine_columns(self.job, keys=form == "memory")
        self.frame = self.frame_of(self.lines)

    @staticmethod
    def frame_of(lines: dict[str, Any]) -> Any:
        names = ("person_id", "amount", "benefit", "debtor", "agent", "month", "name_key")
        return pd.DataFrame({n: lines[n] for n in names if n in lines}, copy=False)

    def prepare(self, form: str, out: Path) -> None:
        self.result = {}
        if form == "files":
            self.lines = {}

    def screen(self, form: str) -> None:
        keys = self.frame["name_key"] if form == "memory" else c.name_codes(self.lines, self.people)
        self._screen(self.frame, np.asarray(keys))

    def _screen(self, frame: Any, key: Any) -> None:
        row = self.index.get_indexer(frame["person_id"])
        participant = self.participant[row]
        amount = frame["amount"].to_numpy()
        right = (
            (self.key[row] == key)
            & frame["amount"].between(1, self.limits[participant])
            & (frame["benefit"] != NO_CODE)
            & (frame["debtor"] != NO_CODE)
            & (frame["agent"] == NOT_GIVEN)
        ).to_numpy()
        reason = np.zeros(len(frame), np.uint8)
        odd = np.flatnonzero(~right)
        some = frame.take(odd)
        who = row[odd]
        some_ids, some_agents = some["person_id"].to_numpy(), some["agent"].to_numpy()
        why, receiver = c.first_reason(
            self.job,
            some_ids,
            key[odd],
            amount[odd],
            some["benefit"].to_numpy(),
            some["debtor"].to_numpy(),
            some_agents,
            who >= 0,
            self.people.life[who],
            self.people.key[who],
            participant[odd],
            self.limits,
        )
        went: Went = {}
        self.later.apply(went, odd, some_ids, amount[odd], some_agents, why, receiver)
        reason[odd], participant[odd] = why, receiver
        live = np.flatnonzero(reason == 0)
        entitlement = self.entitlements(row[live], frame["benefit"].to_numpy()[live])
        month = frame["month"].to_numpy()[live]
        months = pd.unique(month)
        paid = np.zeros(len(live), bool)
        for one in months:
            if int(one) in self.paid:
                of_month = month == one
                paid[of_month] = self.paid[int(one)].get_indexer(entitlement[of_month]) >= 0
        reason[live[paid]] = PAID_BEFORE
        live, entitlement = live[~paid], entitlement[~paid]
        # Months as small numbers: with row and benefit they make one key.
        number = pd.Categorical(month[~paid], categories=months).codes.astype(np.int64)
        again = pd.Series(entitlement * len(months) + number, copy=False).duplicated().to_numpy()
        reason[live[again]] = DUPLICATE
        live = live[~again]
        size = len(self.job.participants)
        agent = self.job.debtor_agent[frame["debtor"].to_numpy()[live]]
        pair = agent.astype(np.int32) * size + participant[live]
        sums = pd.Series(amount[live], copy=False).groupby(pair, sort=False).agg(["size", "sum"])
        count, total = np.zeros(size * size, np.int64), np.zeros(size * size, np.int64)
        count[sums.index], total[sums.index] = sums["size"], sums["sum"]
        self.result = {
            "reason": reason,
            "row": np.where(row >= 0, row, NO_PERSON).astype(np.uint32),
            "participant": participant,
            "went": went,
            "pair_count": count.reshape(size, size),
            "pair_sum": total.reshape(size, size),
        }

    def run_files(self, out: Path) -> None:
        lines = self.lines = c.read_lines(self.job, self.people, self.threads)
        self._screen(self.frame_of(lines), c.name_codes(lines, self.people))
        c.write_files(self.job, self.people, lines, self.result, out, self.threads)

    def answer(self, *, cleared: bool) -> Answer:
        return c.answer_of(self.job, self.people, self.lines, self.result, cleared=cleared)
