"""Status: where lines, batches and people's payments stand, from the committed files.

Floor 4. First form: the answer at commit, and what happened to a held line later. Ids are asked
for by people, never listed.
"""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pyarrow.parquet as pq

from switch.directory import Directory
from switch.errors import UsageError
from switch.funding import told, told_of_batch
from switch.reason import CLEARED, GIVEN_UP, RULES, Reason, status_of
from switch.recasting import recasts
from switch.register import Register
from switch.schema import NO_ROW
from switch.segment import Groups, segment_at
from switch.store import Home

SENTENCES = {
    "ACSP": "Cleared: sent to the receiver, and settled with its cycle.",
    "ACSC": "Paid to the receiver and settled between institutions.",
    "PDNG": "Held: it is tried again with every payday.",
    "RJCT": "Refused: it was not paid.",
}


def batches(home: Home) -> list[dict[str, Any]]:
    """All batches, oldest first: identity, cycle, counts and money by state."""
    out = []
    for row in home.rows("SELECT * FROM batches ORDER BY seq"):
        summary = msgspec.json.decode(row["summary"])
        states = ("received", "cleared", "held", "refused")
        out.append(
            {
                "seq": row["seq"],
                "source": row["source"],
                "batch_id": row["batch_id"],
                "value_date": row["value_date"],
                "cycle": row["cycle"],
                "state": row["state"],
                **{state: summary[state] for state in states},
            }
        )
    return out


def budgets(home: Home) -> list[dict[str, Any]]:
    """Every programme with a budget or with money reserved: what became of it."""
    return told(home, Directory.of_json(home.meta("directory").encode()))


def batch(home: Home, batch_id: str) -> dict[str, Any]:
    """The stored summary of a batch, and its funding as it is now. Raises UsageError where there is
    none."""
    row = batch_row(home, batch_id)
    summary = msgspec.json.decode(row["summary"])
    funds = told_of_batch(home, row["seq"])
    return {**summary, "state": row["state"], "replayed": False, "funding": funds}


def batch_row(home: Home, name: str) -> Any:
    """The batch of a name: its id, or SOURCE:ID where several sources use the id."""
    source, _, batch_id = name.rpartition(":")
    rows = home.rows("SELECT * FROM batches WHERE batch_id = ? ORDER BY seq", batch_id)
    rows = [row for row in rows if source in ("", row["source"])]
    if not rows:
        raise UsageError(f"no batch {name!r} here; `switch status HOME` lists them")
    if len(rows) > 1:
        sources = ", ".join(row["source"] for row in rows)
        raise UsageError(f"batch {batch_id!r} came from {sources}: ask for SOURCE:{batch_id}")
    return rows[0]


def line(home: Home, batch_id: str, line_no: int) -> dict[str, Any]:
    """One line's states, oldest first. Raises UsageError where there is no such line."""
    row = batch_row(home, batch_id)
    folder = home.folder("batches", row["seq"])
    status, lines = (Groups(segment_at(folder, name)) for name in ("status", "lines"))
    done = 0
    for group in range(len(status)):
        numbers = np.asarray(status.read(group, ["line_no"])["line_no"])
        for at in np.flatnonzero(numbers == line_no):
            answer = status.read(group).slice(at, 1).to_pylist()[0]
            inner = lines.read(group).slice(at, 1).to_pylist()[0]
            return _timeline(home, row, answer, inner)
        done += len(numbers)
    raise UsageError(f"batch {batch_id!r} has lines 1 to {done}")


def person(home: Home, person_id: str) -> dict[str, Any]:
    """All lines of one person over all batches. Raises UsageError for what is no citizen id."""
    if len(person_id) != 12 or not (person_id.isascii() and person_id.isdigit()):
        raise UsageError("a citizen id has 12 digits")
    version = home.register_seq()
    row = NO_ROW
    if version:
        folder = home.folder("registers", version)
        register = Register.load(folder, digests=home.digests(folder))
        row = int(register.rows_of(np.array([int(person_id)], np.uint64))[0])
    if row == NO_ROW:
        raise UsageError("the person is in no register of this home")
    found = []
    for batch_row in home.rows("SELECT * FROM batches ORDER BY seq"):
        folder = home.folder("batches", batch_row["seq"])
        lines, status = (Groups(segment_at(folder, name)) for name in ("lines", "status"))
        for group in range(len(lines)):
            rows = np.asarray(lines.read(group, ["row"])["row"])
            for at in np.flatnonzero(rows == row):
                answer = status.read(group).slice(at, 1).to_pylist()[0]
                inner = lines.read(group).slice(at, 1).to_pylist()[0]
                found.append(_timeline(home, batch_row, answer, inner))
    return {"person": home.id_hash(person_id), "lines": found}


def _timeline(
    home: Home, row: Any, answer: dict[str, Any], inner: dict[str, Any]
) -> dict[str, Any]:
    line = [("batch", "=", row["seq"]), ("line_no", "=", answer["line_no"])]
    states = [_state(row, answer)]
    seq = row["seq"]
    while True:
        found = (_moved if states[-1]["status"] == "PDNG" else _back)(home, line, seq, states[-1])
        if found is None:
            break
        seq, state = found
        states.append(state)
    if states[-1]["status"] == CLEARED:
        settled = "SELECT * FROM cycles WHERE cycle = ? AND state = 'SETTLED'"
        for cycle in home.rows(settled, states[-1]["cycle"]):
            status = status_of(Reason.NONE)
            said = {"at": cycle["at"], "status": status, "text": SENTENCES[status]}
            states.append(states[-1] | said)
    return {
        "batch_id": row["batch_id"],
        "line_no": answer["line_no"],
        "benefit": inner["benefit"],
        "period": f"{inner['period'] // 100}-{inner['period'] % 100:02d}",
        "amount": inner["amount"],
        "states": states,
    }


def _moved(
    home: Home, line: list[Any], seq: int, state: dict[str, Any]
) -> tuple[int, dict[str, Any]] | None:
    """(batch, state) with which a line that waits since a batch moved on."""
    for batch_row in home.rows("SELECT * FROM batches WHERE seq > ? ORDER BY seq", seq):
        # A line that waits is presented in every batch until it moves.
        path = home.folder("batches", batch_row["seq"]) / "represented.parquet"
        for moved in pq.read_table(path, filters=line).to_pylist():
            return batch_row["seq"], _state(batch_row, moved)
    return None


def _back(
    home: Home, line: list[Any], seq: int, state: dict[str, Any]
) -> tuple[int, dict[str, Any]] | None:
    """(last batch before, state) with which a cleared line was taken out of its cycle again."""
    for recast in recasts(home):
        if recast.after < seq or recast.cycle != state["cycle"]:
            continue
        path = home.path / recast.folder / "lines.parquet"
        for gone in pq.read_table(path, filters=line).to_pylist():
            rule = GIVEN_UP if recast.aborted else RULES[Reason.COVER_MISSING]
            status, detail = {"status": rule.status, "reason": rule.code}, rule.sentence
            answer = status | {"reason_detail": detail, "transfer_id": None, "cycle": None}
            answer["participant"] = gone["participant"]
            return recast.after, _state({"at": recast.at, "seq": 0}, answer) | {
                "file": recast.folder
            }
    return None


def _state(row: Any, answer: dict[str, Any]) -> dict[str, Any]:
    reason = answer["reason"]
    why = answer["reason_detail"] or ""
    return {
        "at": row["at"],
        "status": answer["status"],
        "reason": reason,
        "text": SENTENCES[answer["status"]] + (f" Reason: {why}." if why else ""),
        "transfer_id": answer["transfer_id"],
        "participant": answer["participant"],
        "cycle": answer["cycle"],
        "file": f"batches/{row['seq']:06d}",
    }
