"""Status: where lines, batches and people's payments stand, from the committed files.

The answer at commit, what happened to a held line later, and what was answered, returned and
decided since. Ids are asked for by people, never listed. Columns of the status file stand in
`files/file_schemas`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from switch.errors import UsageError
from switch.files.segment import Groups, read_table, segment_at
from switch.home.batch import batch_row
from switch.home.history import (
    RECALL,
    Folder,
    asked_back,
    cancellations,
    folders,
    moved_lines,
    open_breaks,
    recasts,
    stored,
)
from switch.home.rows import BatchRow as CatalogRow
from switch.home.store import Home
from switch.home.times import micros_of
from switch.present import Present
from switch.reason import CANCELLED, CLEARED, GIVEN_UP, RULES, Reason, status_of
from switch.reconcile.line_states import State, Verdicts
from switch.reconcile.sent_lines import SentLines
from switch.reconcile.take_in import judged
from switch.registry.directory import Directory
from switch.registry.register import Register
from switch.results import (
    BatchRow,
    BatchStatus,
    LineBreak,
    LineHistory,
    LineName,
    LineState,
    PersonHistory,
    ProgrammeBudget,
)
from switch.schema import NO_ROW, RESOLVED
from switch.settlement.accounts import REISSUE
from switch.settlement.budgets import told, told_of_batch

SENTENCES = {
    "ACSP": "Cleared: sent to the receiver, to be settled with its cycle.",
    "ACSC": "Paid to the receiver and settled between institutions.",
    "PDNG": "Held: it is tried again with every payday.",
    "RJCT": "Refused: it was not paid.",
}
STATES = {"ACSP": "CLEARED", "ACSC": "SETTLED", "PDNG": "HELD", "RJCT": "REJECTED"}
"""State of the domain by the status that is answered."""
RETURN_STATUS = "RTRN"
"""ISO 20022 has a message for a return (pacs.004) and no status."""
AFTER = {
    "REFUSED": "The receiver refused it before its cycle settled: it left the cycle, and the"
    " entitlement is free.",
    "CREDITED": "The receiver says that the account was credited.",
    "RETURNED": "The receiver sent the money back: it goes to the treasury with cycle {cycle}.",
    "UNAPPLIED": "The receiver has the money and gave no clean answer by the deadline.",
    "STOPPED": "It was recalled before its cycle settled: it left the cycle, and the entitlement is"
    " free.",
    "ASKED": "It was recalled: its receiver is asked to give the money back.",
    "CNCL": "The receiver agrees to give the money back.",
    "RJCR": "The receiver refuses to give the money back: the line stays as it was.",
    "PDCR": "The receiver has not decided yet whether it gives the money back.",
    "CANCELLED": "Cancelled while it waited: it is not paid, and the entitlement is free.",
    "WRITTEN_BACK": "The money went back to the budget. It is not paid again.",
    "REISSUED": "The money is free for one more line{line}.",
    "LATE": "The receiver refused it after its cycle had settled: the money has to come back.",
    "CONTRADICTED": "The receiver's answer contradicts that; see the open breaks.",
    "UNFIT": "The receiver's answer does not fit the line; see the open breaks.",
}


def batches(home: Home, present: Present | None = None) -> list[BatchRow]:
    """All batches as they stand now, oldest first. present: of the home, where it is known."""
    here = present or Present(home)
    rows: list[BatchRow] = [
        {
            "seq": row.seq,
            "source": row.source,
            "batch_id": row.batch_id,
            "value_date": row.value_date,
            "cycle": row.cycle,
            "cycle_state": here.cycle_state(row),
            "state": row.state,
            "received": here.summaries[row.seq]["received"],
            "now": here.now(row.seq),
            "sent_back": here.sent_back[row.seq],
        }
        for row in here.rows
    ]
    for row in rows:
        if total := here.told_cancelled(row["seq"]):
            row["cancelled"] = total
    return rows


def budgets(home: Home) -> list[ProgrammeBudget]:
    """Every programme with a budget or with money reserved: what became of it."""
    return told(home, Directory.of_json(home.catalog.meta("directory").encode()))


def batch(home: Home, batch_id: str, *, answered: bool = False) -> BatchStatus:
    """The stored summary of a batch, which is its answer at commit, with where its lines stand now
    and its funding. answered: and the states of lines that were sent, once something was answered.
    Raises UsageError where there is none."""
    row = batch_row(home, batch_id)
    here = Present(home, row.seq)
    more = {
        "state": row.state,
        "replayed": False,
        "sent_back": here.sent_back[row.seq],
        "now": here.now(row.seq),
        "cycle_state": here.cycle_state(row),
        "funding": told_of_batch(home, row.seq),
    }
    summary = cast(BatchStatus, {**here.summaries[row.seq], **more})
    if total := here.told_cancelled(row.seq):
        summary["cancelled"] = total
    if answered and here.today is not None:
        lines = here.answered(row.seq)
        summary["answered"] = {"as_of": str(here.today), "lines": lines}
    return summary


def last_batch(home: Home) -> str:
    """The name of the batch that was run last, SOURCE:ID. Raises UsageError where there is none."""
    rows = home.catalog.batches()
    if not rows:
        raise UsageError(f"{home.path} has no batch yet")
    return f"{rows[-1].source}:{rows[-1].batch_id}"


def line(home: Home, batch_id: str, line_no: int) -> LineHistory:
    """One line's states, oldest first. Raises UsageError where there is no such line."""
    row = batch_row(home, batch_id)
    folder = home.folder("batches", row.seq)
    status, lines = (Groups(segment_at(folder, name)) for name in ("status", "lines"))
    done = 0
    for group in range(len(status)):
        numbers = np.asarray(status.read(group, ["line_no"])["line_no"])
        for at in np.flatnonzero(numbers == line_no):
            answer = status.read(group).slice(at, 1).to_pylist()[0]
            inner = lines.read(group).slice(at, 1).to_pylist()[0]
            return _timeline(home, row, answer, inner)
        done += len(numbers)
    raise UsageError(f"batch {batch_id!r} has lines 1 to {done}, and no line {line_no}")


def person(home: Home, person_id: str) -> PersonHistory:
    """All lines of one person over all batches. Raises UsageError for what is no citizen id."""
    if len(person_id) != 12 or not (person_id.isascii() and person_id.isdigit()):
        raise UsageError("a citizen id has 12 digits")
    version = home.catalog.register_seq()
    row = NO_ROW
    if version:
        folder = home.folder("registers", version)
        register = Register.load(folder, digests=home.digests(folder))
        row = int(register.rows_of(np.array([int(person_id)], np.uint64))[0])
    if row == NO_ROW:
        raise UsageError("the person is in no register of this home")
    found = []
    for run in home.catalog.batches():
        for batch, answer in _of_person(home, run, row):
            if batch == run.seq:
                found.append(_timeline(home, run, answer, answer))
    return {"person": home.id_hash(person_id), "lines": found}


def _timeline(
    home: Home, row: CatalogRow, answer: dict[str, Any], inner: dict[str, Any]
) -> LineHistory:
    line = {"batch": row.seq, "line_no": answer["line_no"]}
    states = [_of_batch(row, answer)]
    seq = row.seq
    while True:
        found = (_moved if states[-1]["status"] == "PDNG" else _back)(home, line, seq, states[-1])
        if found is None:
            break
        seq, state = found
        states.append(state)
    if states[-1]["status"] == "PDNG" and (cancelled := _cancelled(home, line, states[-1])):
        states.append(cancelled)
    known = folders(home)
    about = [folder for folder in known if folder.is_about({line["batch"]})]
    refused = {f.number for f in about if _row_of(home, f, "refused", line)}
    if states[-1]["status"] == CLEARED and not refused:
        cycle = home.catalog.cycle(states[-1]["cycle"] or "")
        if cycle is not None and cycle.state == "SETTLED":
            status = status_of(Reason.NONE)
            now: LineState = {**states[-1], "at": cycle.at, "text": SENTENCES[status]}
            now["state"], now["status"] = STATES[status], status
            states.append(now)
    breaks: list[LineBreak] = []
    why: list[str] = []
    if known and states[-1]["transfer_id"]:
        verdicts = judged(home, known, {row.seq}, states[-1]["participant"] or "")
        why = verdicts.explain(states[-1]["transfer_id"])
        states += _answered(home, known, verdicts, line, states[-1], inner)
        open_now = open_breaks(home, known)
        mine = open_now.filter(pc.equal(open_now["transfer_id"], states[-1]["transfer_id"]))
        names = ["class", "set", "side", "expected", "found", "age", "severity", "owner", "action"]
        breaks = mine.select([*names, "rule"]).to_pylist()
    return {
        "batch_id": row.batch_id,
        "line_no": answer["line_no"],
        "benefit": inner["benefit"],
        "period": f"{inner['period'] // 100}-{inner['period'] % 100:02d}",
        "amount": inner["amount"],
        "states": states,
        "breaks": breaks,
        "explained": why,
        "reissue_of": None
        if states[-1]["state"] == STATES["RJCT"]
        else _reissue_of(home, known, row.seq, inner),
    }


def _row_of(home: Home, folder: Folder, name: str, line: dict[str, int]) -> dict[str, Any] | None:
    """The row of a line in a folder's file of lines; None where it is not there."""
    return next(iter(_with(moved_lines(home, folder, name), **line)), None)


def _with(table: Any, **values: int) -> list[dict[str, Any]]:
    """The rows of a table that have these values."""
    for column, value in values.items():
        table = table.filter(pc.equal(table[column], value))
    rows: list[dict[str, Any]] = table.to_pylist()
    return rows


def _answered(
    home: Home,
    known: list[Folder],
    verdicts: Verdicts,
    line: dict[str, int],
    last: LineState,
    inner: dict[str, Any],
) -> list[LineState]:
    """All that was answered to a line that was sent, oldest first, then what was decided about it.
    The last of them names the state that the line has now: neither the order in which answers came
    in nor that of their files shows, and what is booked behind the end of a line does not undo
    it."""
    about = [folder for folder in known if folder.is_about({line["batch"]})]
    (place,) = verdicts.lines.at(*([value] for value in line.values())).tolist()
    final = State(int(verdicts.states()[place]))
    heard = _heard(home, about, verdicts.lines, line, last["transfer_id"], final)
    end = next((folder for folder in reversed(known) if folder.judges), known[-1])
    if final is State.CREDITED and not any(one.state == "CREDITED" for one in heard):
        heard.append(_Heard(int(verdicts.lines.said_at[place]), "CREDITED", None, end))
    found: list[LineState] = []
    now = last
    for one in sorted(heard, key=_Heard.rank):
        text = one.state
        if now["state"] in _ENDS and one.state not in (*_ENDS, *_ASIDE):
            text = "UNFIT" if one.state == "UNFIT" else "CONTRADICTED"
        elif one.state in _STATUS:
            text = "STOPPED" if one.folder.kind == RECALL else text
            now = {**now, "state": one.state, "status": _STATUS[one.state]}
        text = AFTER[text].format(cycle=one.folder.detail.cycle)
        if one.folder.kind == RECALL:
            text = f"{text} Reason: {one.folder.detail.words}. By: {one.folder.detail.by}."
        now = {**now, "at": _instant(one.at), "reason": one.reason, "text": text}
        now["file"] = one.folder.name
        found.append(now)
    for folder in about:
        if _row_of(home, folder, "disposed", line):
            again = folder.detail.step == REISSUE
            state = "REISSUED" if again else "WRITTEN_BACK"
            text = AFTER[state].format(line=_reissued_as(home, folder, inner) if again else "")
            now = {**now, "at": folder.at, "state": state, "text": text, "file": folder.name}
            now["status"], now["reason"] = RETURN_STATUS, None
            found.append(now)
    if final is State.UNAPPLIED:
        now = {**now, "at": str(verdicts.as_of), "reason": None, "text": AFTER["UNAPPLIED"]}
        now["state"], now["status"] = "UNAPPLIED", last["status"]
        now["file"] = end.name
        found.append(now)
    return found


def _heard(
    home: Home,
    about: list[Folder],
    lines: SentLines,
    line: dict[str, int],
    transfer_id: str | None,
    final: State,
) -> list[_Heard]:
    """All that receivers said of a line, by folder. final: the state that the line has now."""
    (place,) = lines.at(*([value] for value in line.values())).tolist()
    heard: list[_Heard] = []
    for folder in about:
        if gone := _row_of(home, folder, "refused", line):
            heard.append(_Heard(gone["booked_at"], "REFUSED", gone["reason"], folder))
        if folder.kind == RECALL and _with(asked_back(home, folder), **line):
            heard.append(_Heard(micros_of(folder.at), "ASKED", folder.detail.reason, folder))
        for table in stored(home, folder, "resolutions"):
            mine = table.filter(pc.equal(table["transfer_id"], transfer_id))
            own = lines.fits(mine, np.full(len(mine), place)).own
            for record in mine.filter(pa.array(own)).to_pylist():
                heard.append(_Heard(record["at"], record["status"], record["reason"], folder))
        for table in stored(home, folder, "confirmations"):
            mine = table.filter(pc.equal(table["transfer_id"], transfer_id))
            fit = lines.fits(mine, np.full(len(mine), place)).clean
            for record, fits in zip(mine.to_pylist(), fit.tolist(), strict=True):
                refuses = record["status"] == "RJCT"
                if refuses and final is State.REFUSED:
                    continue  # It is told by what it did.
                state = "UNFIT" if not fits else "LATE" if refuses else "CREDITED"
                heard.append(_Heard(record["at"], state, record["reason"], folder))
        if back := _row_of(home, folder, "returned", line):
            heard.append(_Heard(back["booked_at"], "RETURNED", back["reason"], folder))
    return heard


class _Heard(NamedTuple):
    """One thing that was said of a line."""

    at: int
    """Microseconds since 1970 at which it was booked."""
    state: str
    reason: str | None
    folder: Folder

    def rank(self) -> tuple[int, int, str, str, int]:
        """Place in the story: by time; of one time what ends a line comes last."""
        return (
            self.at, self.state in _ENDS, self.state, self.reason or "", self.folder.number
        )  # fmt: skip


_STATUS = {"REFUSED": "RJCT", "CREDITED": "ACCC", "RETURNED": RETURN_STATUS}
_ASIDE = ("ASKED", *RESOLVED)
"""Words about a recall, which by themselves change no state."""
_ENDS = ("REFUSED", "RETURNED")
"""States that no answer leads out of."""


def _instant(microseconds: int) -> str:
    return str(np.datetime64(microseconds, "us").astype("datetime64[s]")) + "+00:00"


def _reissued_as(home: Home, folder: Folder, inner: dict[str, Any]) -> str:
    """The line that took an entitlement which was freed, in words; '' where none did yet."""
    for row in home.catalog.batches(after=folder.after):
        for batch, answer in _of_person(home, row, inner["row"]):
            same = all(answer[name] == inner[name] for name in ("benefit", "period"))
            if same and answer["reason_number"] == Reason.NONE:
                return f": it is {home.catalog.batch(batch).batch_id}:{answer['line_no']}"
    return ""


def _reissue_of(
    home: Home, known: list[Folder], seq: int, inner: dict[str, Any]
) -> LineName | None:
    """The returned line that a line pays again; None where it is no re-issue."""
    names = ("row", "benefit", "period")
    for folder in known:
        if folder.detail.step == REISSUE and folder.after < seq:
            for old in moved_lines(home, folder, "disposed").to_pylist():
                if all(old[name] == inner[name] for name in names):
                    row = home.catalog.batch(old["batch"])
                    return {"batch_id": row.batch_id, "line_no": old["line_no"]}
    return None


def _of_person(home: Home, run: CatalogRow, row: int) -> Iterator[tuple[int, dict[str, Any]]]:
    """(batch of the line, answer) of a person's lines that a batch answered, own ones first."""
    folder = home.folder("batches", run.seq)
    lines, status = (Groups(segment_at(folder, name)) for name in ("lines", "status"))
    for group in range(len(lines)):
        rows = np.asarray(lines.read(group, ["row"])["row"])
        for at in np.flatnonzero(rows == row):
            parts = (status.read(group), lines.read(group))
            yield (
                run.seq,
                {k: v for p in parts for k, v in p.slice(at, 1).to_pylist()[0].items()},
            )
    again = folder / "represented.parquet"
    if again.exists():
        for moved in _with(read_table(again), row=row):
            yield moved["batch"], moved


def _moved(
    home: Home, line: dict[str, int], seq: int, state: LineState
) -> tuple[int, LineState] | None:
    """(batch, state) with which a line that waits since a batch moved on."""
    for run in home.catalog.batches(after=seq):
        # A line that waits is presented in every batch until it moves, or is cancelled.
        path = home.folder("batches", run.seq) / "represented.parquet"
        if home.catalog.file(path.relative_to(home.path).as_posix()) is None:
            continue
        for moved in _with(read_table(path), **line):
            return run.seq, _of_batch(run, moved)
    return None


def _back(
    home: Home, line: dict[str, int], seq: int, state: LineState
) -> tuple[int, LineState] | None:
    """(last batch before, state) with which a cleared line was taken out of its cycle again."""
    for recast in recasts(home):
        if recast.after < seq or recast.cycle != state["cycle"]:
            continue
        path = home.path / recast.folder / "lines.parquet"
        for gone in _with(read_table(path), **line):
            rule = GIVEN_UP if recast.aborted else RULES[Reason.COVER_MISSING]
            status, detail = {"status": rule.status, "reason": rule.code}, rule.sentence
            answer = status | {"reason_detail": detail, "transfer_id": None, "cycle": None}
            answer["participant"] = gone["participant"]
            return recast.after, _state(recast.at, recast.folder, answer)
    return None


def _cancelled(home: Home, line: dict[str, int], waits: LineState) -> LineState | None:
    """State of a line that was cancelled while it waited; None where it was not."""
    for one in cancellations(home):
        if _with(read_table(home.path / one.folder / "lines.parquet"), **line):
            text = f"{AFTER['CANCELLED']} Reason: {one.why}. By: {one.by}."
            now: LineState = {**waits, "at": one.at, "text": text, "file": one.folder}
            now["state"], now["status"] = "CANCELLED", CANCELLED.status
            now["reason"] = CANCELLED.code
            return now
    return None


def what_is(home: Home, seq: int, line_no: int) -> str:
    """State of a line now, in a word and a sentence."""
    row = home.catalog.batch(seq)
    now = line(home, f"{row.source}:{row.batch_id}", line_no)["states"][-1]
    return f"it is {now['state']}. {now['text']}"


def _of_batch(row: CatalogRow, answer: dict[str, Any]) -> LineState:
    return _state(row.at, f"batches/{row.seq:06d}", answer)


def _state(at: str, file: str, answer: dict[str, Any]) -> LineState:
    reason = answer["reason"]
    why = answer["reason_detail"] or ""
    return {
        "at": at,
        "state": STATES[answer["status"]],
        "status": answer["status"],
        "reason": reason,
        "text": SENTENCES[answer["status"]] + (f" Reason: {why}." if why else ""),
        "transfer_id": answer["transfer_id"],
        "participant": answer["participant"],
        "cycle": answer["cycle"],
        "file": file,
    }
