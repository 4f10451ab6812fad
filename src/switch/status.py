"""Status: where lines, batches and people's payments stand, from the committed files.

The answer at commit, what happened to a held line later, and what was answered, returned and
decided since. Ids are asked for by people, never listed. Columns of the status file stand in
`files/file_schemas`.
"""

from __future__ import annotations

import functools
from typing import Any, NamedTuple, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from switch.errors import UsageError
from switch.files.segment import Groups, read_table, segment_at
from switch.home.batch import batch_row
from switch.home.credits import told_line
from switch.home.history import (
    RECALL,
    Cancellation,
    Expiry,
    Folder,
    Recast,
    asked_back,
    folders,
    moved_lines,
    open_breaks,
    queues,
    recasts,
    stored,
)
from switch.home.person_lines import PersonLines
from switch.home.rows import BatchRow as CatalogRow
from switch.home.store import Home
from switch.home.times import micros_of
from switch.present import Present
from switch.reason import CANCELLED, CLEARED, EXPIRED, GIVEN_UP, RULES, Reason, status_of
from switch.reconcile import Rules
from switch.reconcile.cash import payers
from switch.reconcile.line_states import State, Verdicts
from switch.reconcile.plain_credit import Sent, plain_credit
from switch.reconcile.sent_lines import SentLines
from switch.reconcile.take_in import judged, rules_of
from switch.registry.directory import Directory
from switch.registry.load_registers import current_chain, rows_of_person, rows_of_row
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
from switch.schema import RESOLVED
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
CASH_PAID = "CASH_PAID"
CASH_STATES = {"SETTLED": "CASH", "CREDITED": CASH_PAID}
"""States of lines that a pay point pays, in place of those of others."""
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
    "EXPIRED": "It waited beyond its deadline: it is not paid, and the entitlement is free.",
    "CASH": "The pay point has the money and pays it over its counter.",
    CASH_PAID: "The pay point says that it was paid over its counter.",
    "UNPROVEN": "It was not proven by its deadline: its pay point is asked to give the money back.",
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
        row.update(here.left(row["seq"]))  # type: ignore[typeddict-item]
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
    summary.update(here.left(row.seq))  # type: ignore[typeddict-item]
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
    answer = answer_to(home, row, line_no)
    return _timeline(_Asked(home, rows_of_row(home, answer["row"])), row, answer)


def answer_to(home: Home, row: CatalogRow, line_no: int) -> dict[str, Any]:
    """Answer of a batch to one of its lines: columns of its status file and of its lines.
    Raises UsageError where there is no such line."""
    folder = home.folder("batches", row.seq)
    status, lines = (Groups(segment_at(folder, name)) for name in ("status", "lines"))
    done = 0
    for group in range(len(status)):
        numbers = np.asarray(status.read(group, ["line_no"])["line_no"])
        for at in np.flatnonzero(numbers == line_no):
            both = (one.read(group).slice(at, 1).to_pylist()[0] for one in (status, lines))
            return {name: value for part in both for name, value in part.items()}
        done += len(numbers)
    raise UsageError(f"batch {row.batch_id!r} has lines 1 to {done}, and no line {line_no}")


def person(home: Home, person_id: str) -> PersonHistory:
    """All lines of one person over all batches. Raises UsageError for what is no citizen id."""
    if len(person_id) != 12 or not (person_id.isascii() and person_id.isdigit()):
        raise UsageError("a citizen id has 12 digits")
    has_register = home.catalog.register_seq() > 0
    rows = rows_of_person(current_chain(home), person_id) if has_register else []
    if not rows:
        raise UsageError("the person is in no register of this home")
    asked = _Asked(home, rows)
    lines = asked.lines
    found = [_timeline(asked, run, answer) for run in lines.batches for answer in lines.own(run)]
    return {"person": home.id_hash(person_id), "lines": found}


class _Asked:
    """A home that is asked about the lines of one person: what more than one of them needs is read
    once."""

    def __init__(self, home: Home, rows: list[int]) -> None:
        self.home, self.lines = home, PersonLines(home, rows)
        self._moved: dict[tuple[str, str], list[dict[str, Any]]] = {}

    @functools.cached_property
    def known(self) -> list[Folder]:
        """Commits of answers, oldest first."""
        return folders(self.home)

    @functools.cached_property
    def rules(self) -> Rules:
        """Rules that were given last."""
        return rules_of(self.known)

    @functools.cached_property
    def recasts(self) -> list[Recast]:
        return recasts(self.home)

    @functools.cached_property
    def left(self) -> list[Cancellation | Expiry]:
        """Commits by which lines left the queue, oldest first."""
        return [one for one in queues(self.home) if not isinstance(one, Recast)]

    @functools.cached_property
    def payers(self) -> set[str]:
        """Participants that pay over a counter."""
        return payers(Directory.of_json(self.home.catalog.meta("directory").encode()))

    @functools.cached_property
    def breaks(self) -> Any:
        """Open breaks: a table of BREAK."""
        return open_breaks(self.home, self.known)

    def went(self, folder: Folder, name: str) -> list[dict[str, Any]]:
        """The person's lines in a folder's file of lines that went back."""
        if (folder.name, name) not in self._moved:
            table = moved_lines(self.home, folder, name)
            mine = pc.is_in(table["row"], pa.array(self.lines.rows, table["row"].type))
            self._moved[folder.name, name] = table.filter(mine).to_pylist()
        return self._moved[folder.name, name]


def _timeline(asked: _Asked, row: CatalogRow, answer: dict[str, Any]) -> LineHistory:
    """A line's states. answer: what its batch, of this row, answered and kept of it."""
    home, known = asked.home, asked.known
    line = {"batch": row.seq, "line_no": answer["line_no"]}
    states = [_of_batch(row, answer)]
    seq = row.seq
    while True:
        found = (_moved if states[-1]["status"] == "PDNG" else _back)(asked, line, seq, states[-1])
        if found is None:
            break
        seq, state = found
        states.append(state)
    if states[-1]["status"] == "PDNG" and (left := _left(asked, line, states[-1])):
        states.append(left)
    about = [folder for folder in known if folder.is_about({line["batch"]})]
    refused = {f.number for f in about if _row_of(asked, f, "refused", line)}
    if states[-1]["status"] == CLEARED and not refused:
        cycle = home.catalog.cycle(states[-1]["cycle"] or "")
        if cycle is not None and cycle.state == "SETTLED":
            status = status_of(Reason.NONE)
            now: LineState = {**states[-1], "at": cycle.at, "text": SENTENCES[status]}
            now["state"], now["status"] = STATES[status], status
            states.append(now)
    breaks: list[LineBreak] = []
    why: list[str] = []
    told = _told_as(asked, row, answer, states[-1])
    plain = _credited(asked, about, row, answer, states[-1], told)
    if plain is not None:
        states.append(plain)
    elif known and states[-1]["transfer_id"]:
        verdicts = judged(home, known, {row.seq}, states[-1]["participant"] or "")
        # Rules say something once answers were looked at, and of a recall alone nothing.
        if any(folder.judges for folder in known):
            why = verdicts.explain(told[0])
        states += _answered(asked, verdicts, line, states[-1], answer, told[0])
        mine = asked.breaks.filter(pc.equal(asked.breaks["transfer_id"], told[0]))
        names = ["class", "set", "side", "expected", "found", "age", "severity", "owner", "action"]
        breaks = mine.select([*names, "rule"]).to_pylist()
    states = _over_the_counter(asked, states)
    return {
        "batch_id": row.batch_id,
        "line_no": answer["line_no"],
        "benefit": answer["benefit"],
        "period": f"{answer['period'] // 100}-{answer['period'] % 100:02d}",
        "amount": answer["amount"],
        "states": states,
        "breaks": breaks,
        "explained": why,
        "reissue_of": None
        if states[-1]["state"] == STATES["RJCT"]
        else _reissue_of(asked, row.seq, answer),
    }


def _over_the_counter(asked: _Asked, states: list[LineState]) -> list[LineState]:
    """States of a line in the words of pay points, where one of them pays it, as the directory has
    it now. It has a deadline of its own, and is not late before."""
    found: list[LineState] = []
    for state in states:
        if state["participant"] in asked.payers:
            if state["state"] == "UNAPPLIED":
                continue
            word = CASH_STATES.get(state["state"], state["state"])
            text = state["text"]
            if text == AFTER["CREDITED"]:
                text = AFTER[word]
            elif text.startswith(SENTENCES["ACSC"]):
                # What is said of arrears and of accounts that were passed over stays behind it.
                text = AFTER[word] + text.removeprefix(SENTENCES["ACSC"])
            found.append({**state, "state": word, "text": text})
        else:
            found.append(state)
    return found


def _run_of(last: LineState) -> int:
    """The run that cleared a line, as its state says."""
    return int(last["file"].rpartition("/")[2])


def _told_as(
    asked: _Asked, row: CatalogRow, answer: dict[str, Any], last: LineState
) -> tuple[str, int]:
    """(transfer id, dong) by which its receiver knows a line: those of its credit."""
    own, amount = last["transfer_id"] or "", answer["amount"]
    if not own or not last["file"].startswith("batches/"):
        return own, amount
    name, sum_ = told_line(asked.home, _run_of(last), (row.seq, answer["line_no"]), own)
    return name, amount if sum_ is None else sum_


def _credited(
    asked: _Asked,
    about: list[Folder],
    row: CatalogRow,
    answer: dict[str, Any],
    last: LineState,
    told: tuple[str, int],
) -> LineState | None:
    """State of a line that was credited and of which nothing else was said; None where more has to
    be looked at: what the rules make of its records is then for all of them together to say."""
    line = {"batch": row.seq, "line_no": answer["line_no"]}
    gone = ("refused", "returned", "disposed")
    if not last["transfer_id"] or any(
        _row_of(asked, f, name, line) for f in about for name in gone
    ):
        return None
    by_seq = {run.seq: run for run in asked.lines.batches}
    run, (transfer_id, amount) = by_seq[_run_of(last)], told
    sent = Sent(row, line["line_no"], run, transfer_id, last["participant"] or "", amount)
    credit = plain_credit(asked.home, asked.known, asked.rules, sent)
    if credit is None or pc.any(pc.equal(asked.breaks["transfer_id"], transfer_id)).as_py():
        return None
    now: LineState = {**last, "at": _instant(credit.at), "reason": credit.reason}
    now["state"], now["status"] = "CREDITED", _STATUS["CREDITED"]
    now["text"] = AFTER["CREDITED"]
    now["file"] = credit.folder.name
    return now


def _row_of(
    asked: _Asked, folder: Folder, name: str, line: dict[str, int]
) -> dict[str, Any] | None:
    """The row of a line in a folder's file of lines; None where it is not there."""
    return _first(asked.went(folder, name), line)


def _first(rows: list[dict[str, Any]], line: dict[str, int]) -> dict[str, Any] | None:
    """The first of some rows that is of a line."""
    return next((row for row in rows if all(row[n] == line[n] for n in line)), None)


def _with(table: Any, **values: int) -> list[dict[str, Any]]:
    """The rows of a table that have these values."""
    for column, value in values.items():
        table = table.filter(pc.equal(table[column], value))
    rows: list[dict[str, Any]] = table.to_pylist()
    return rows


def _answered(
    asked: _Asked,
    verdicts: Verdicts,
    line: dict[str, int],
    last: LineState,
    inner: dict[str, Any],
    transfer_id: str,
) -> list[LineState]:
    """All that was answered to a line that was sent, oldest first, then what was decided about it.
    The last of them names the state that the line has now: neither the order in which answers came
    in nor that of their files shows, and what is booked behind the end of a line does not undo
    it."""
    known = asked.known
    about = [folder for folder in known if folder.is_about({line["batch"]})]
    (place,) = verdicts.lines.at(*([value] for value in line.values())).tolist()
    final = State(int(verdicts.states()[place]))
    heard = _heard(asked, about, verdicts.lines, line, transfer_id, final)
    end = next((folder for folder in reversed(known) if folder.judges), known[-1])
    if final is State.CREDITED and not any(one.state == "CREDITED" for one in heard):
        (lead,) = verdicts.lines.lead(np.array([place])).tolist()
        heard.append(_Heard(int(verdicts.lines.said_at[lead]), "CREDITED", None, end))
    found: list[LineState] = []
    now = last
    for one in sorted(heard, key=_Heard.rank):
        text = one.state
        if now["state"] in _ENDS and one.state not in (*_ENDS, *_ASIDE):
            text = "UNFIT" if one.state == "UNFIT" else "CONTRADICTED"
        elif one.state == "ASKED" and one.folder.detail.days and final is not State.CREDITED:
            text, now = "UNPROVEN", {**now, "state": "EXPIRED"}
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
        if _row_of(asked, folder, "disposed", line):
            again = folder.detail.step == REISSUE
            state = "REISSUED" if again else "WRITTEN_BACK"
            text = AFTER[state].format(line=_reissued_as(asked, folder, inner) if again else "")
            now = {**now, "at": folder.at, "state": state, "text": text, "file": folder.name}
            now["status"], now["reason"] = RETURN_STATUS, None
            found.append(now)
    if final is State.UNAPPLIED and end.judges:
        # Until answers were looked at once, nobody is late.
        now = {**now, "at": str(verdicts.as_of), "reason": None, "text": AFTER["UNAPPLIED"]}
        now["state"], now["status"] = "UNAPPLIED", last["status"]
        now["file"] = end.name
        found.append(now)
    return found


def _heard(
    asked: _Asked,
    about: list[Folder],
    lines: SentLines,
    line: dict[str, int],
    transfer_id: str,
    final: State,
) -> list[_Heard]:
    """All that receivers said of a line, by folder. transfer_id: by which its receiver knows it;
    final: the state that the line has now."""
    home = asked.home
    (place,) = lines.lead(lines.at(*([value] for value in line.values()))).tolist()
    heard: list[_Heard] = []
    for folder in about:
        if gone := _row_of(asked, folder, "refused", line):
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
        if back := _row_of(asked, folder, "returned", line):
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


def _reissued_as(asked: _Asked, folder: Folder, inner: dict[str, Any]) -> str:
    """The line that took an entitlement which was freed, in words; '' where none did yet."""
    home, lines = asked.home, asked.lines
    for run in lines.batches:
        for answer in [*lines.own(run), *lines.moved(run)] if run.seq > folder.after else ():
            same = all(answer[name] == inner[name] for name in ("benefit", "period"))
            if same and answer["reason"] is None:
                named = home.catalog.batch(answer["batch"]).batch_id
                return f": it is {named}:{answer['line_no']}"
    return ""


def _reissue_of(asked: _Asked, seq: int, inner: dict[str, Any]) -> LineName | None:
    """The returned line that a line pays again; None where it is no re-issue."""
    for folder in asked.known:
        if folder.detail.step == REISSUE and folder.after < seq:
            for old in asked.went(folder, "disposed"):
                if all(old[name] == inner[name] for name in ("benefit", "period")):
                    row = asked.home.catalog.batch(old["batch"])
                    return {"batch_id": row.batch_id, "line_no": old["line_no"]}
    return None


def _moved(
    asked: _Asked, line: dict[str, int], seq: int, state: LineState
) -> tuple[int, LineState] | None:
    """(batch, state) with which a line that waits since a batch moved on."""
    for run in asked.lines.batches:
        # A line that waits is presented in every batch until it moves, or leaves the queue.
        if run.seq > seq and (moved := _first(asked.lines.moved(run), line)):
            return run.seq, _of_batch(run, moved)
    return None


def _back(
    asked: _Asked, line: dict[str, int], seq: int, state: LineState
) -> tuple[int, LineState] | None:
    """(last batch before, state) with which a cleared line was taken out of its cycle again."""
    for recast in asked.recasts:
        if recast.after < seq or recast.cycle != state["cycle"]:
            continue
        path = asked.home.path / recast.folder / "lines.parquet"
        for gone in _with(read_table(path), **line):
            rule = GIVEN_UP if recast.aborted else RULES[Reason.COVER_MISSING]
            status, detail = {"status": rule.status, "reason": rule.code}, rule.sentence
            answer = status | {"reason_detail": detail, "transfer_id": None, "cycle": None}
            answer["participant"] = gone["participant"]
            return recast.after, _state(recast.at, recast.folder, answer)
    return None


def _left(asked: _Asked, line: dict[str, int], waits: LineState) -> LineState | None:
    """State of a line that left the queue without a run, cancelled or beyond its deadline; None
    where it did not."""
    for one in asked.left:
        mine = _with(read_table(asked.home.path / one.folder / "lines.parquet"), **line)
        if not mine:
            continue
        if isinstance(one, Cancellation):
            state, rule = "CANCELLED", CANCELLED
            said = f" Reason: {one.why}. By: {one.by}."
        else:
            state, rule = "EXPIRED", EXPIRED
            said = f" Deadline: {mine[0]['deadline']}."
        now: LineState = {**waits, "at": one.at, "text": AFTER[state] + said, "file": one.folder}
        now["state"], now["status"], now["reason"] = state, rule.status, rule.code
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
    said = why and (f" Reason: {why}." if reason else f" {why[0].upper()}{why[1:]}.")
    return {
        "at": at,
        "state": STATES[answer["status"]],
        "status": answer["status"],
        "reason": reason,
        "text": SENTENCES[answer["status"]] + said,
        "transfer_id": answer["transfer_id"],
        "participant": answer["participant"],
        "cycle": answer["cycle"],
        "file": file,
    }
