"""Plain credit: the one answer of a line that was credited and of which nothing else was said.

Nearly every line is such a line, and what became of it follows from that answer alone. So it is
looked for by its transfer id, in the answers that name the line's batch or the run that cleared it,
and neither the other lines of these batches nor any other batch is judged. Whatever is not plain
(no answer, several, one to the whole clearing file, one that does not fit in each respect) is left
to `take_in.judged`, which looks at everything together.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import pyarrow.compute as pc

from switch.files.one_row import OneRow, Value
from switch.files.parquet_reader import RowGroups
from switch.files.segment import Groups, segment_at
from switch.home.history import STORED, Folder, asked_back
from switch.home.rows import BatchRow
from switch.home.store import Home
from switch.reconcile import Rules
from switch.reconcile.answer_files import TABLES
from switch.reconcile.match.records import DAY_US, day_us
from switch.reconcile.sent_lines import day_of_cycle

CONFIRMATIONS, STATEMENT = "confirmations", "statement"
REFUSES = "RJCT"
_SAID = ("at", "amount", "account", "participant", "status", "reason")


class Sent(NamedTuple):
    """A line as it was sent: its batch and number, and the run that cleared it."""

    batch: BatchRow
    line_no: int
    run: BatchRow
    transfer_id: str
    participant: str
    amount: int


class Credit(NamedTuple):
    """An answer that says that a line was credited. at: microseconds since 1970."""

    at: int
    reason: str | None
    folder: Folder


def plain_credit(home: Home, known: Sequence[Folder], rules: Rules, sent: Sent) -> Credit | None:
    """The credit of a line that nothing else was said of; None where there may be more to it.

    known: all commits of answers of the home. That the line was not refused, returned or disposed
    of by any of them is the caller's to know.
    """
    head = _head(sent.run)
    found: list[tuple[Folder, dict[str, Value]]] = []
    for folder in known:
        named = folder.detail.named
        if named is not None and not {sent.batch.seq, sent.run.seq} & set(named):
            continue
        asked = asked_back(home, folder)
        mine = pc.and_(
            pc.equal(asked["batch"], sent.batch.seq), pc.equal(asked["line_no"], sent.line_no)
        )
        if pc.any(mine).as_py():
            return None
        for kind in TABLES:
            if kind == STATEMENT:
                continue
            for is_mine, record in _records(home, folder, kind, sent.transfer_id, head):
                if kind != CONFIRMATIONS or not is_mine or found:
                    return None
                found.append((folder, record))
    if not found:
        return None
    ((folder, record),) = found
    at = record["at"]
    assert isinstance(at, int)
    fits = record["participant"] == sent.participant and record["amount"] == sent.amount
    late = abs(at // DAY_US - day_us(day_of_cycle(sent.run.cycle)) // DAY_US) > rules.days
    if not fits or record["status"] == REFUSES or late:
        return None
    if record["account"] is not None and record["account"] != _account(home, sent):
        return None
    reason = record["reason"]
    return Credit(at, None if reason is None else str(reason), folder)


def _head(run: BatchRow) -> str:
    """The name by which an answer speaks of a whole clearing file of a run."""
    return f"{run.value_date.replace('-', '')}-{run.seq:06d}"


def _records(
    home: Home, folder: Folder, kind: str, transfer_id: str, head: str
) -> Iterator[tuple[bool, dict[str, Value]]]:
    """Records of one kind that name a line or a whole file, each with whether it is the line."""
    path = home.path / folder.name / f"{kind}.parquet"
    if not path.exists():
        return
    groups, first = RowGroups(home.proven(path)), 0
    for number in range(len(groups)):
        names = groups.read(number, ["transfer_id"])["transfer_id"]
        mine, of_file = pc.equal(names, transfer_id), pc.equal(names, head)
        for at in np.flatnonzero(pc.or_kleene(mine, of_file)).tolist():
            with OneRow(path, STORED) as file:
                yield bool(mine[at].as_py()), file.read(first + at, _SAID)
        first += len(names)


def _account(home: Home, sent: Sent) -> str | None:
    """The account to which a line was sent."""
    folder = home.folder("batches", sent.run.seq) / "clearing"
    path = home.proven(segment_at(folder, sent.participant))
    groups = Groups(path) if path.suffix == ".arrow" else RowGroups(path)
    for number in range(len(groups)):
        columns = groups.read(number, ["transfer_id", "creditor_account"])
        at = pc.index(columns["transfer_id"], sent.transfer_id).as_py()
        if at >= 0:
            account: str = columns["creditor_account"][at].as_py()
            return account
    return None
