"""Asked: lines that were recalled, and how each recall stands.

A recall stops a line whose cycle has not settled; for one that has settled its receiver is asked,
and it stands open until the money comes back. All of it follows from the set of commits.
"""

from __future__ import annotations

import pyarrow as pa

from switch.files.file_schemas import RECORD, WENT_BACK
from switch.home.credits import told_ids
from switch.home.history import RECALL, Folder, asked_back, lines_of, moved_lines, stored
from switch.home.store import Home
from switch.schema import DECIDED

OPEN = "OPEN"
ACCEPTED = "ACCEPTED"
REFUSED = "REFUSED"
"""States of a recall: its receiver is asked; the line left its cycle, or the money came back; its
receiver said no."""
STANDING = pa.schema(
    [
        *WENT_BACK,
        ("number", pa.int64()),
        ("at", pa.string()),
        ("code", pa.string()),
        ("by", pa.string()),
        ("why", pa.string()),
        ("action", pa.string()),
        ("state", pa.string()),
    ]
)
"""Recalled lines. number: of the commit; code: its ISO reason; action: as of ASKED."""
STOP, RETURN = "STOP", "RETURN"


def refusals(answers: pa.Table) -> set[str]:
    """Transfer ids that their receivers refuse to give back. answers: a table of RECORD, by who may
    answer. Of several the last that decides counts; of one time a refusal does."""
    last: dict[str, tuple[int, bool]] = {}
    rows = zip(*(answers[n].to_pylist() for n in ("transfer_id", "at", "status")), strict=True)
    for name, at, status in rows:
        if status in DECIDED:
            last[name] = max(last.get(name, (at, False)), (at, status == "RJCR"))
    return {name for name, (_, refuses) in last.items() if refuses}


def standing(home: Home, known: list[Folder]) -> pa.Table:
    """All lines that were ever recalled: a table of STANDING, in the order of their commits."""
    parts = [STANDING.empty_table()]
    recalls = [folder for folder in known if folder.kind == RECALL]
    came = _came_back(home, known) if recalls else set()
    denied = refusals(_answers(home, known, recalls)) if recalls else set()
    for folder in recalls:
        stopped = moved_lines(home, folder, "refused").select(WENT_BACK.names)
        for action, lines in ((STOP, stopped), (RETURN, asked_back(home, folder))):
            states = [
                ACCEPTED if action == STOP or line in came else REFUSED if name in denied else OPEN
                for line, name in zip(
                    lines_of(lines), told_ids(home, lines).to_pylist(), strict=True
                )
            ]
            said = folder.detail
            words = (folder.number, folder.at, said.reason, said.by, said.words, action)
            table = lines.cast(WENT_BACK)
            for name, word in zip(STANDING.names[len(WENT_BACK) :], words, strict=False):
                column = pa.array([word] * len(lines), STANDING.field(name).type)
                table = table.append_column(name, column)
            parts.append(table.append_column("state", pa.array(states, pa.string())))
    return pa.concat_tables(parts).combine_chunks()


def open_batches(home: Home, known: list[Folder]) -> set[int]:
    """Batches with a line of which a recall is open."""
    table = standing(home, known)
    rows = zip(table["batch"].to_pylist(), table["state"].to_pylist(), strict=True)
    return {batch for batch, state in rows if state == OPEN}


def _answers(home: Home, known: list[Folder], recalls: list[Folder]) -> pa.Table:
    """Answers to recalls, by who got the line or settled for it."""
    cycles = {run.seq: run.cycle for run in home.catalog.batches()}
    may: set[tuple[str, str]] = set()
    for folder in recalls:
        lines = asked_back(home, folder)
        columns = (told_ids(home, lines), lines["participant"], lines["cleared_in"])
        for name, code, run in zip(*(column.to_pylist() for column in columns), strict=True):
            agent = home.catalog.agents(cycles[run]).get(code, code)
            may |= {(name, code), (name, agent)}
    parts = [RECORD.empty_table()]
    for folder in known:
        for table in stored(home, folder, "resolutions"):
            rows = zip(*(table[n].to_pylist() for n in ("transfer_id", "participant")), strict=True)
            parts.append(table.filter(pa.array([row in may for row in rows], pa.bool_())))
    return pa.concat_tables(parts)


def _came_back(home: Home, known: list[Folder]) -> set[tuple[int, int]]:
    return {line for f in known for line in lines_of(moved_lines(home, f, "returned"))}
