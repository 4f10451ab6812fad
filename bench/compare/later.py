"""Later accounts: of the few people whose first account may not be paid, all accounts in order.

Every tool looks at a person's first valid account alone, and asks here for the lines that this
leaves over: what costs a tool its time is the nation, not the handful.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from switch.reason import Reason, passed_over

from .job import NOT_GIVEN, Job

Went = dict[int, tuple[str, str]]
"""(account, words) of lines that go to a later account, by line."""
_REASONS = (
    Reason.PARTICIPANT_UNKNOWN,
    Reason.PARTICIPANT_SUSPENDED,
    Reason.AMOUNT_OVER_PARTICIPANT_LIMIT,
)


class Later:
    """Accounts of people with several, of whom the first is at nobody, at who is suspended, or at
    who has a limit."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self._index = {code: i for i, code in enumerate(job.participants)}
        self._accounts: dict[int, list[tuple[str, str]]] = defaultdict(list)
        for person, participant, account in self._candidates():
            self._accounts[person].append((participant, account))

    def _candidates(self) -> Any:
        job, day = self.job, self.job.value_day
        table = pq.read_table(job.path("accounts"))
        begins = np.asarray(pc.fill_null(table["valid_from"].cast(pa.int32()), -(2**31)))
        ends = np.asarray(pc.fill_null(table["valid_to"].cast(pa.int32()), 2**31 - 1))
        ids = table["person_id"].to_numpy()
        valid = np.flatnonzero((begins <= day) & (ends >= day))
        _, place, count = np.unique(ids[valid], return_inverse=True, return_counts=True)
        valid = valid[count[place] > 1]
        part = table.take(pa.array(valid)).combine_chunks()
        known = np.asarray(pc.fill_null(part["priority"], 0))
        participants = part["participant"].cast(pa.string()).to_pylist()
        accounts = part["account"].cast(pa.string()).to_pylist()
        rank = list(
            zip(ids[valid].tolist(), known.tolist(), begins[valid].tolist(), participants, accounts,
                strict=True)
        )  # fmt: skip
        rank.sort(key=lambda one: (*one[:3], one[3].encode(), one[4].encode()))
        chosen, last = False, None
        for person, _, _, participant, account in rank:
            if person != last:
                last, chosen = person, self._reason(participant, job.clearing_limit) is not None
            if chosen:
                yield person, participant, account

    def _reason(self, participant: str, amount: int) -> Reason | None:
        at = self._index.get(participant)
        if at is None:
            return Reason.PARTICIPANT_UNKNOWN
        if self.job.suspended[at]:
            return Reason.PARTICIPANT_SUSPENDED
        if amount > self.job.amount_max[at]:
            return Reason.AMOUNT_OVER_PARTICIPANT_LIMIT
        return None

    def choose(self, person: int, amount: int) -> tuple[int, str, str] | None:
        """(participant's number, account, words) of the first account that can be paid; None where
        none can, or the person has no other."""
        passed = []
        for participant, account in self._accounts.get(person, ()):
            reason = self._reason(participant, amount)
            if reason is None:
                return self._index[participant], account, passed_over(passed)
            passed.append((participant, int(reason)))
        return None

    def apply(
        self,
        went: Went,
        lines: Any,
        ids: Any,
        amount: Any,
        agent: Any,
        reason: Any,
        participant: Any,
    ) -> None:
        """Let lines go, and note them. went: what is known by line. All others have equal lengths:
        lines their numbers; reason and participant are changed."""
        for i in np.flatnonzero(np.isin(reason, _REASONS) & (agent == NOT_GIVEN)).tolist():
            chosen = self.choose(int(ids[i]), int(amount[i]))
            if chosen is not None:
                reason[i], participant[i] = 0, chosen[0]
                went[int(lines[i])] = chosen[1:]
