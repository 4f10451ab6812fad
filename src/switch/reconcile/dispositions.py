"""Dispositions: what becomes of money that came back to the treasury.

A returned line is written back to the budget (P10), or its entitlement is free for one more line
(P9): the next one of the same person, benefit and period that clears is its re-issue, and no second
one does. Either is a commit with a folder of HOME/answers.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from switch.errors import UsageError
from switch.files.file_schemas import TAKEN
from switch.files.segment import write_table
from switch.home.catalog import PENDING
from switch.home.changes import SetPaid
from switch.home.days import correction, leaps, times
from switch.home.history import (
    Answers,
    Folder,
    bytes_again,
    folders,
    lines_of,
    moved_lines,
    time_of,
)
from switch.home.store import ANSWERS, ROOM_SPARE, Home
from switch.results import Disposed
from switch.settlement import returns, reversal
from switch.settlement.accounts import REISSUE
from switch.settlement.postings import apply
from switch.settlement.standing import keep_balances, keep_postings

Line = tuple[int, int]
"""Number of the batch, and of the line in it."""


def returned(home: Home, known: list[Folder]) -> tuple[pa.Table, pa.Table]:
    """Lines whose money is back and waits for a disposition, and those on their way: tables of
    TAKEN."""
    pending = {cycle.cycle for cycle in home.catalog.cycles(*PENDING)}
    there, coming = [TAKEN.empty_table()], [TAKEN.empty_table()]
    for folder in known:
        on_its_way = folder.detail.cycle in pending
        (coming if on_its_way else there).append(moved_lines(home, folder, "returned"))
    decided = {line for f in known for line in lines_of(moved_lines(home, f, "disposed"))}
    whole = pa.concat_tables(there)
    waits = np.array([line not in decided for line in lines_of(whole)], bool)
    return whole.filter(pa.array(waits)), pa.concat_tables(coming)


def _cycle_of(home: Home, known: list[Folder], line: Line) -> str:
    """The cycle through which a line comes back."""
    return next(
        folder.detail.cycle
        for folder in known
        if line in lines_of(moved_lines(home, folder, "returned"))
    )


def dispose(
    home: Home,
    step: str,
    lines: Sequence[Line] | None = None,
    *,
    at: str | None = None,
    far: bool = False,
    why: str | None = None,
) -> Disposed:
    """Write lines back (returning.WRITE_BACK) or free them for a re-issue (REISSUE); without lines
    all that wait for it. far, why: the time may lie far after all that is known, or before it.
    Returns count and sum; number 0 where none waits. Raises UsageError for a line whose money is
    not on T.RETURNS."""
    known, said = folders(home), times(home)
    waiting, coming = returned(home, known)
    if lines is not None:
        there, wanted = lines_of(waiting), set(lines)
        known_there = set(there)
        for line in lines:
            if line not in known_there:
                why = "is not on T.RETURNS"
                if line in lines_of(coming):
                    name = _cycle_of(home, known, line)
                    why = f"is on its way back through cycle {name}: settle that first"
                batch_id = home.catalog.batch(line[0]).batch_id
                raise UsageError(f"line {line[1]} of batch {batch_id}: its money {why}")
        waiting = waiting.filter(pa.array([line in wanted for line in there], pa.bool_()))
    sum_: int = sum(waiting["amount"].to_pylist())
    answer: Disposed = {"number": 0, "step": step, "count": len(waiting), "sum": sum_}
    if not len(waiting):
        return answer
    time = time_of(home, at, said, far, why)
    number = len(known) + 1
    postings = returns.disposed(waiting, step)
    after = apply(home.catalog.balances(), postings)
    home.require_room(bytes_again(home) + 2 * waiting.nbytes + ROOM_SPARE)
    with home.draft(ANSWERS) as draft:
        folder = home.folder(ANSWERS, number)
        write_table(draft / "disposed.parquet", waiting.cast(TAKEN))
        names = reversal.free(home, draft, waiting) if step == REISSUE else {}
        home.commit(
            at=time,
            kind="disposition",
            detail=Answers(
                leap=leaps(said, time),
                correct=correction(said, time, why),
                after=home.catalog.next_batch() - 1,
                batches=sorted(set(waiting["batch"].to_pylist())),
                postings={"": postings},
                step=step,
                count=len(waiting),
                sum=str(sum_),
            ),
            changes=[
                *keep_postings(0, "", postings),
                *keep_balances(after),
                *(
                    SetPaid("cleared", *key, f"{ANSWERS}/{folder.name}/{name}")
                    for key, name in names.items()
                ),
            ],
            draft=draft,
            folder=folder,
        )
    return {**answer, "number": number}
